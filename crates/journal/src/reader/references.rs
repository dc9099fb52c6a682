//! What values refer to: the digests that stand in them, whatever they stand for.

use std::collections::HashSet;

use model::Digest;
use rusqlite::params;

use crate::bodies::{self, Kept};
use crate::reader::Result;
use crate::{JournalError, Reader};

/// Bodies read at a time: nobody else waits for longer.
const STEP: i64 = 2_000;
/// Digits of a digest.
const DIGITS: usize = 64;

impl Reader {
    /// Every digest that stands in a value of a run, in a document or in a graph, as far as they have not been destroyed. It is found by its
    /// digits alone, so that no way of writing one is missed. `pause` is called between steps.
    pub fn references(&self, pause: &mut dyn FnMut()) -> Result<HashSet<Digest>> {
        let mut found = HashSet::new();
        let mut last = (-1i64, i64::MIN);
        loop {
            let step = self.with(|db| {
                let sql = "SELECT seq, n, bytes FROM bodies WHERE (seq, n) > (?1, ?2) ORDER BY seq, n LIMIT ?3";
                let mut statement = db.prepare_cached(sql)?;
                let mut rows = statement.query(params![last.0, last.1, STEP])?;
                let mut count = 0;
                while let Some(row) = rows.next()? {
                    let (seq, n, bytes): (i64, i64, Vec<u8>) = (row.get(0)?, row.get(1)?, row.get(2)?);
                    (last, count) = ((seq, n), count + 1);
                    // Salts and subjects refer to nothing.
                    if n < 0 {
                        continue;
                    }
                    match bodies::open(self.keys(), seq.unsigned_abs(), n, bytes)? {
                        Kept::Bytes(bytes) => digests_in(&bytes, &mut found),
                        Kept::Erased => {}
                        Kept::Sealed | Kept::Tampered => {
                            return Err(JournalError::Damaged(format!("the value {n} of entry {seq} cannot be read")));
                        }
                    }
                }
                Ok(count)
            })?;
            if step < STEP {
                break;
            }
            pause();
        }
        self.with(|db| {
            let mut statement = db.prepare_cached("SELECT json FROM graphs")?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                digests_in(row.get_ref(0)?.as_bytes().unwrap_or_default(), &mut found);
            }
            Ok(())
        })?;
        Ok(found)
    }
}

/// Every run of as many hexadecimal digits as a digest has.
fn digests_in(bytes: &[u8], found: &mut HashSet<Digest>) {
    for digits in bytes.split(|byte| !byte.is_ascii_hexdigit()).filter(|digits| digits.len() == DIGITS) {
        found.extend(std::str::from_utf8(digits).ok().and_then(|digits| digits.to_ascii_lowercase().parse::<Digest>().ok()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_found_by_their_digits() {
        let (one, two) = (Digest::of(b"1"), Digest::of(b"2"));
        let text = format!(
            "{{\"a\": \"sha256:{}\", \"b\": \"x/{}?y\", \"c\": \"{}0\"}}",
            one.hex(),
            two.hex().to_uppercase(),
            one.hex()
        );
        let mut found = HashSet::new();
        digests_in(text.as_bytes(), &mut found);
        assert_eq!(found, HashSet::from([one, two]));
    }
}
