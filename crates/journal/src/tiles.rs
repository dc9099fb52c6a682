//! Runs of any size in a picture of bounded size: neighbouring actions are counted together, so that a reader of a run of 100,000
//! actions is given as many rows as fit on a screen.

use std::collections::BTreeMap;

use model::{Phase, RunId, Timestamp};
use rusqlite::{OptionalExtension as _, params};

use crate::rows::phase_of;
use crate::{JournalError, Reader};

/// Which actions, in how many tiles, at which moment.
#[derive(Clone, Copy, Debug)]
pub struct TileFilter {
    /// From this number on.
    pub from: u32,
    /// Up to and without this number; all that there are when it is `None`.
    pub to: Option<u32>,
    /// At most so many tiles; at least one.
    pub tiles: u32,
    /// Phases as they were then; as they are when it is `None`.
    pub at: Option<Timestamp>,
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
            let total: u32 = db
                .prepare_cached("SELECT count(*) FROM actions WHERE run = ?1")?
                .query_row(params![run.0], |row| row.get(0))?;
            let end = filter.to.unwrap_or(u32::MAX).min(last.saturating_add(1));
            let width = end.saturating_sub(filter.from).div_ceil(filter.tiles.max(1)).max(1);
            let at = filter.at.map_or(i64::MAX, |at| at.0 as i64);
            // What was not opened at the moment asked for is not counted; what had begun and not ended was running.
            let sql = "SELECT (no - ?2) / ?4,
                     CASE WHEN ?5 = 9223372036854775807 OR finished_at <= ?5 THEN phase WHEN started_at <= ?5 THEN 3 ELSE 0 END AS then_phase,
                     count(*), min(coalesce(started_at, opened_at)), max(CASE WHEN finished_at <= ?5 THEN finished_at END),
                     sum(finished_at IS NULL OR finished_at > ?5), sum(cost), min(no), max(no)
                 FROM actions WHERE run = ?1 AND no >= ?2 AND no < ?3 AND opened_at <= ?5 GROUP BY 1, 2 ORDER BY 1";
            let mut statement = db.prepare_cached(sql)?;
            let mut rows = statement.query(params![run.0, filter.from, end, width, at])?;
            let mut tiles: Vec<(i64, Tile, bool)> = Vec::new();
            while let Some(row) = rows.next()? {
                let number: i64 = row.get(0)?;
                let phase = phase_of(row.get(1)?);
                let (count, began, ended): (u64, u64, Option<u64>) = (row.get(2)?, row.get(3)?, row.get(4)?);
                let open = row.get::<_, u64>(5)? > 0;
                let (cost, first, last): (i64, u32, u32) = (row.get(6)?, row.get(7)?, row.get(8)?);
                if tiles.last().is_none_or(|(known, ..)| *known != number) {
                    let tile = Tile {
                        from: first,
                        to: last + 1,
                        first: String::new(),
                        last: String::new(),
                        phases: BTreeMap::new(),
                        began_at: Timestamp(began),
                        ended_at: None,
                        cost: model::Money(0),
                    };
                    tiles.push((number, tile, false));
                }
                let Some((_, tile, any_open)) = tiles.last_mut() else { continue };
                tile.from = tile.from.min(first);
                tile.to = tile.to.max(last + 1);
                tile.phases.insert(phase, count);
                tile.began_at = tile.began_at.min(Timestamp(began));
                tile.ended_at = tile.ended_at.max(ended.map(Timestamp));
                tile.cost = model::Money(tile.cost.0.saturating_add(cost));
                *any_open |= open;
            }
            let mut path_of = db.prepare_cached("SELECT path FROM actions WHERE run = ?1 AND no = ?2")?;
            let mut done = Vec::with_capacity(tiles.len());
            for (_, mut tile, any_open) in tiles {
                if any_open {
                    tile.ended_at = None;
                }
                tile.first = path_of.query_row(params![run.0, tile.from], |row| row.get(0))?;
                tile.last = path_of.query_row(params![run.0, tile.to - 1], |row| row.get(0))?;
                done.push(tile);
            }
            Ok(Tiles { total, tiles: done })
        })
    }
}
