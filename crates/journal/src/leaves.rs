//! The leaves of the tree, for proofs. Hashes over 256 leaves each are kept at hand, so that a proof does not read the whole journal.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use audit::{Frontier, Hash};
use rusqlite::params;

use crate::{JournalError, Reader};

/// Leaves under a hash that is kept.
const TILE: u64 = 256;

/// The leaves of a journal. Cheap to clone.
#[derive(Clone)]
pub struct Leaves {
    reader: Reader,
    /// The root over each whole tile, as far as one was asked for.
    tiles: Arc<Mutex<Vec<Hash>>>,
}

impl Leaves {
    /// The leaves that a reader reads.
    pub fn new(reader: Reader) -> Leaves {
        Leaves { reader, tiles: Arc::default() }
    }

    /// The hashes of leaves.
    pub fn hashes(&self, range: Range<u64>) -> Result<Vec<Hash>, JournalError> {
        let mut hashes = Vec::new();
        self.each(range, |hash| hashes.push(hash))?;
        Ok(hashes)
    }

    /// The root over a subtree: over leaves from 0 on, or over a range that a proof names.
    pub fn root(&self, range: Range<u64>) -> Result<Hash, JournalError> {
        let (size, mut rest) = (range.end.saturating_sub(range.start), Frontier::new());
        if size <= TILE || !range.start.is_multiple_of(TILE) {
            self.each(range, |hash| rest.append(hash))?;
            return Ok(rest.root());
        }
        let (first, last) = (range.start / TILE, range.end / TILE);
        let mut tiles = self.tiles.lock().unwrap_or_else(PoisonError::into_inner);
        let known = tiles.len() as u64;
        if known < last {
            let mut tile = Frontier::new();
            self.each(known * TILE..last * TILE, |hash| {
                tile.append(hash);
                if tile.size() == TILE {
                    tiles.push(std::mem::take(&mut tile).root());
                }
            })?;
        }
        let mut whole = Frontier::new();
        let range_of_tiles = tiles.iter().skip(first as usize).take((last - first) as usize);
        range_of_tiles.for_each(|hash| whole.append(*hash));
        drop(tiles);
        self.each(last * TILE..range.end, |hash| rest.append(hash))?;
        Ok(whole.root_before(&rest))
    }

    /// The roots of these subtrees: a proof.
    pub fn roots(&self, path: Vec<Range<u64>>) -> Result<Vec<Hash>, JournalError> {
        path.into_iter().map(|range| self.root(range)).collect()
    }

    fn each(&self, range: Range<u64>, mut take: impl FnMut(Hash)) -> Result<(), JournalError> {
        self.reader.with(|db| {
            let sql = "SELECT seq, leaf FROM journal WHERE seq > ?1 AND seq <= ?2 ORDER BY seq";
            let mut statement = db.prepare_cached(sql)?;
            let mut rows = statement.query(params![range.start, range.end])?;
            let mut next = range.start;
            while let Some(row) = rows.next()? {
                next += 1;
                if row.get::<_, u64>(0)? != next {
                    break;
                }
                take(row.get(1)?);
            }
            match next == range.end {
                true => Ok(()),
                false => Err(JournalError::Damaged(format!("there is no whole leaf {next} in the range {range:?}"))),
            }
        })
    }
}
