//! How objects are written: beside what is there, and of parts.

use std::io::{self, Read};

use keyring::Content;

/// What becomes of an object that is there when one is written under its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Earlier {
    /// It is replaced.
    Replaced,
    /// It stays, and what is written has to be the same.
    Same,
    /// It stays, and nothing is written.
    Kept,
}

/// Parts one after the other: an upload has more of them than files can be open.
pub(super) struct Parts<I> {
    pub(super) rest: I,
    pub(super) current: Option<Content>,
}

impl<I: Iterator<Item = io::Result<Content>>> Read for Parts<I> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(current) = &mut self.current {
                match current.read(buffer)? {
                    0 if !buffer.is_empty() => {}
                    read => return Ok(read),
                }
            }
            self.current = match self.rest.next() {
                Some(part) => Some(part?),
                None => return Ok(0),
            };
        }
    }
}

/// Whether two hold the same.
pub(super) fn is_same(mut one: impl Read, mut other: impl Read) -> io::Result<bool> {
    const PIECE: u64 = 64 << 10;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    loop {
        (&mut one).take(PIECE).read_to_end(&mut ours)?;
        (&mut other).take(PIECE).read_to_end(&mut theirs)?;
        if ours != theirs || ours.is_empty() {
            return Ok(ours == theirs);
        }
        ours.clear();
        theirs.clear();
    }
}
