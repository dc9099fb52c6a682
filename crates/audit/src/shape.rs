//! The shape of an entry's bytes, as far as it can be known without the engine: one CBOR item, the number of the event's kind, and the run
//! that it belongs to.

/// Items inside of items.
const DEPTH_MAX: u32 = 64;

/// The kind of the event that a run begins with.
pub const RUN_SUBMITTED: u64 = 0;
/// The kind of the event that a run ends with.
pub const RUN_FINISHED: u64 = 15;
/// The kinds that belong to no run; all others do.
const OF_THE_FLEET: std::ops::Range<u64> = 40..60;

/// What the bytes of an entry say about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The number of the event's kind.
    pub kind: u64,
    /// The run; 0 for what concerns none.
    pub run: u64,
}

/// The shape of an entry's bytes; none when they are not those of an event.
pub fn shape(bytes: &[u8]) -> Option<Shape> {
    let mut whole = Bytes { rest: bytes };
    whole.skip(0)?;
    if !whole.rest.is_empty() {
        return None;
    }
    let mut item = Bytes { rest: bytes };
    // A pair of the kind's number and the fields: one, which is a record.
    item.array().filter(|items| *items == 2)?;
    let kind = item.number()?;
    let run = match !OF_THE_FLEET.contains(&kind) {
        true => {
            item.array().filter(|items| *items == 1)?;
            item.array().filter(|items| *items > 0)?;
            item.number()?
        }
        false => 0,
    };
    Some(Shape { kind, run })
}

struct Bytes<'b> {
    rest: &'b [u8],
}

impl Bytes<'_> {
    /// The major type and the argument of the next head (RFC 8949, 3); an indefinite length has none.
    fn head(&mut self) -> Option<(u8, Option<u64>)> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        let (major, info) = (first >> 5, first & 0x1f);
        let wide = |bytes: &[u8]| bytes.iter().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
        let argument = match info {
            0..=23 => u64::from(info),
            24..=27 => wide(self.take(1 << (info - 24))?),
            31 => return Some((major, None)),
            _ => return None,
        };
        Some((major, Some(argument)))
    }

    fn take(&mut self, count: usize) -> Option<&[u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u64> {
        self.head().and_then(|(major, argument)| argument.filter(|_| major == 0))
    }

    fn array(&mut self) -> Option<u64> {
        self.head().and_then(|(major, argument)| argument.filter(|_| major == 4))
    }

    /// Passes over one item. True when it was the end of an item of indefinite length.
    fn skip(&mut self, depth: u32) -> Option<bool> {
        if depth > DEPTH_MAX {
            return None;
        }
        let (major, argument) = self.head()?;
        match (major, argument) {
            (0 | 1, Some(_)) | (7, Some(_)) => {}
            (2 | 3, Some(count)) => drop(self.take(usize::try_from(count).ok()?)?),
            (4, Some(items)) => self.skip_many(items, depth)?,
            (5, Some(pairs)) => self.skip_many(pairs.checked_mul(2)?, depth)?,
            (6, Some(_)) => self.skip_many(1, depth)?,
            (2..=5, None) => while !self.skip(depth + 1)? {},
            (7, None) => return Some(true),
            _ => return None,
        }
        Some(false)
    }

    fn skip_many(&mut self, items: u64, depth: u32) -> Option<()> {
        for _ in 0..items {
            if self.skip(depth + 1)? {
                return None;
            }
        }
        Some(())
    }
}
