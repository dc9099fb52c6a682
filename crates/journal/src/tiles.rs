//! Runs of any size in a picture of bounded size: neighbouring actions are counted together, so that a reader of a run of 100,000
//! actions is given as many rows as fit on a screen.

use std::collections::BTreeMap;

use model::{Phase, RunId, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::rows::phase_of;
use crate::{JournalError, Reader};

/// Which actions, in how many tiles.
#[derive(Clone, Copy, Debug)]
pub struct TileFilter {
    /// From this number on.
    pub from: u32,
    /// Up to and without this number; all that there are when it is `None`.
    pub to: Option<u32>,
    /// At most so many tiles; at least one.
    pub tiles: u32,
}

/// Neighbouring actions of a run, in the order in which they were opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tile {
    /// The number of the first.
    pub from: u32,
    /// The number after that of the last.
    pub to: u32,
    /// The path of the first.
    pub first: String,
    /// The path of the last.
    pub last: String,
    /// How many are in each phase.
    pub phases: BTreeMap<Phase, u64>,
    /// When the first of them began, or was opened where none has begun.
    pub began_at: Timestamp,
    /// When the last of them ended; none while one is open.
    pub ended_at: Option<Timestamp>,
    /// What their attempts cost.
    pub cost: model::Money,
}

/// A run in tiles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tiles {
    /// Actions of the run.
    pub total: u32,
    /// The tiles, in order; those without an action are left out.
    pub tiles: Vec<Tile>,
}

/// What of an action is counted.
struct Counted {
    no: u32,
    phase: Phase,
    began: u64,
    /// None while it is open.
    ended: Option<u64>,
    cost: i64,
}

impl Tile {
    /// One of the first action alone. Its paths are looked up when the last is known.
    fn of(action: &Counted) -> Tile {
        Tile {
            from: action.no,
            to: action.no + 1,
            first: String::new(),
            last: String::new(),
            phases: BTreeMap::from([(action.phase, 1)]),
            began_at: Timestamp(action.began),
            ended_at: action.ended.map(Timestamp),
            cost: model::Money(action.cost),
        }
    }

    /// Takes the next action in.
    fn add(&mut self, action: &Counted) {
        self.to = action.no + 1;
        *self.phases.entry(action.phase).or_default() += 1;
        self.began_at = self.began_at.min(Timestamp(action.began));
        self.ended_at = self.ended_at.zip(action.ended).map(|(known, ended)| known.max(Timestamp(ended)));
        self.cost = model::Money(self.cost.0.saturating_add(action.cost));
    }
}

impl Reader {
    /// The actions of a run as at most `filter.tiles` tiles of the same number of actions. One scan of the run's actions in the range,
    /// whatever their number.
    pub fn tiles(&self, run: RunId, filter: &TileFilter) -> Result<Tiles, JournalError> {
        self.with(|db| {
            let last: Option<u32> = db
                .prepare_cached("SELECT max(no) FROM actions WHERE run = ?1")?
                .query_row(params![run.0], |row| row.get(0))
                .optional()?
                .flatten();
            let Some(last) = last else { return Ok(Tiles::default()) };
            let total: u32 =
                db.prepare_cached("SELECT count(*) FROM actions WHERE run = ?1")?.query_row(params![run.0], |row| row.get(0))?;
            let end = filter.to.unwrap_or(u32::MAX).min(last.saturating_add(1));
            let width = end.saturating_sub(filter.from).div_ceil(filter.tiles.max(1)).max(1);
            let mut tiles: Vec<(u32, Tile)> = Vec::new();
            // Rows lie in the order of their numbers: they are counted as they come.
            each(db, run, filter, end, |action| {
                let number = (action.no - filter.from) / width;
                match tiles.last_mut() {
                    Some((known, tile)) if *known == number => tile.add(&action),
                    _ => tiles.push((number, Tile::of(&action))),
                }
            })?;
            let mut path_of = db.prepare_cached("SELECT path FROM actions WHERE run = ?1 AND no = ?2")?;
            let mut named = Vec::with_capacity(tiles.len());
            for (_, mut tile) in tiles {
                tile.first = path_of.query_row(params![run.0, tile.from], |row| row.get(0))?;
                tile.last = path_of.query_row(params![run.0, tile.to - 1], |row| row.get(0))?;
                named.push(tile);
            }
            Ok(Tiles { total, tiles: named })
        })
    }
}

/// The actions of a range, by number.
fn each(db: &Connection, run: RunId, filter: &TileFilter, end: u32, mut take: impl FnMut(Counted)) -> rusqlite::Result<()> {
    let sql = "SELECT no, phase, coalesce(started_at, opened_at), finished_at, cost FROM actions
         WHERE run = ?1 AND no >= ?2 AND no < ?3 AND path IS NOT NULL ORDER BY no";
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query(params![run.0, filter.from, end])?;
    while let Some(row) = rows.next()? {
        let ended = row.get::<_, Option<i64>>(3)?.and_then(|ended| u64::try_from(ended).ok());
        take(Counted { no: row.get(0)?, phase: phase_of(row.get(1)?), began: row.get(2)?, ended, cost: row.get(4)? });
    }
    Ok(())
}
