//! What is open: of a run in groups that wait for the same, and at a site.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use engine::Event;
use model::{Phase, RunId, Seq, Timestamp};
use rusqlite::params;

use super::{Reader, Result};
use crate::rows::{ACTION_COLUMNS, phase_of};
use crate::{ActionRow, RunRow};

/// Groups that are told apart at most: who waits for more different things than these is told of the first.
const GROUPS_MAX: i64 = 500;
/// The same over all runs.
const WAITING_MAX: usize = 2_000;

/// Actions of a run that wait for the same.
#[derive(Clone, Debug)]
pub struct WaitingRow {
    /// The run.
    pub run: RunId,
    /// Why they have no place.
    pub explanation: Option<i64>,
    /// Where they were placed, at last.
    pub site: Option<String>,
    /// The connector of which they wait for a worker.
    pub waits_for: Option<String>,
    /// How many they are.
    pub actions: u64,
    /// The number of the first.
    pub first: u32,
    /// When the first of them was opened.
    pub since: Timestamp,
}

impl Reader {
    /// Open actions of a run that are in the same phase for the same reason: how many, and the number of the first. The earliest come first.
    pub fn open_groups(&self, run: RunId) -> Result<Vec<(u64, u32)>> {
        self.with(|db| {
            // People and waits are told apart by node; what is repeated by when.
            let sql = "SELECT count(*), min(no) FROM actions WHERE run = ?1 AND finished_at IS NULL AND path IS NOT NULL
                 GROUP BY phase, kind, waits_for, explanation, CASE WHEN kind IN (4, 5) THEN scope END,
                 CASE WHEN kind IN (4, 5) THEN node END, CASE WHEN phase = 0 THEN failure IS NOT NULL END
                 ORDER BY min(no) LIMIT ?2";
            let mut statement = db.prepare_cached(sql)?;
            let rows = statement.query_map(params![run.0, GROUPS_MAX], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// How many actions of a run may be at work at once, where it says, and how many are or are about to be: those that wait for what they asked for
    /// are not, nor are files on their way.
    pub fn at_work(&self, run: &RunRow) -> Result<Option<(u32, u32)>> {
        let first = self.facts_within(Seq(run.first_seq.0.saturating_sub(1)), Some(run.id), 1, usize::MAX)?.pop();
        let Some((.., Event::RunSubmitted(submitted))) = first else { return Ok(None) };
        let Some(most) = submitted.concurrency else { return Ok(None) };
        let at_work = self.with(|db| {
            let sql = "SELECT count(*) FROM actions a WHERE a.run = ?1 AND a.finished_at IS NULL AND a.phase IN (2, 3) AND a.kind IN (0, 1, 2)
                 AND NOT EXISTS (SELECT 1 FROM children c JOIN actions b ON b.run = c.run AND b.no = c.no
                                 WHERE c.run = a.run AND c.parent = a.no AND b.finished_at IS NULL)";
            Ok(db.prepare_cached(sql)?.query_row(params![run.id.0], |row| row.get(0))?)
        })?;
        Ok(Some((most, at_work)))
    }

    /// How many actions of a run are in each phase.
    pub fn phases(&self, run: RunId) -> Result<BTreeMap<Phase, u64>> {
        self.with(|db| {
            let sql = "SELECT phase, count(*) FROM actions WHERE run = ?1 AND path IS NOT NULL GROUP BY phase";
            let mut statement = db.prepare_cached(sql)?;
            let rows = statement.query_map(params![run.0], |row| Ok((phase_of(row.get(0)?), row.get(1)?)))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// How many actions below one, by their paths, are in each phase: items of a map, nodes of a sub-workflow, what a program
    /// asked for. Copies that were brought for them, and what undid them, are not counted.
    pub fn phases_below(&self, run: RunId, path: &str) -> Result<BTreeMap<Phase, u64>> {
        self.with(|db| {
            // What is below begins with the path and `[` or `/`: two spans of the index over paths.
            let sql = "SELECT phase, count(*) FROM actions WHERE run = ?1 AND (path > ?2 || '[' AND path < ?2 || '\\'
                 OR path > ?2 || '/' AND path < ?2 || '0')
                 AND kind != 8 AND path NOT LIKE '%!undo' GROUP BY phase";
            let mut statement = db.prepare_cached(sql)?;
            let rows = statement.query_map(params![run.0, path], |row| Ok((phase_of(row.get(0)?), row.get(1)?)))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// The sites that actions of a run are or were at last, by name.
    pub fn sites_of_run(&self, run: RunId) -> Result<Vec<String>> {
        self.with(|db| {
            let sql = "SELECT DISTINCT site FROM actions WHERE run = ?1 AND site IS NOT NULL ORDER BY site";
            let mut statement = db.prepare_cached(sql)?;
            let rows = statement.query_map(params![run.0], |row| row.get(0))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// Open actions of all runs that have no place, or wait for a worker at the one that they have, in groups of a run that wait for the same: what
    /// was opened first first. And whether there are more groups than are looked at.
    pub fn waiting_groups(&self) -> Result<(Vec<WaitingRow>, bool)> {
        self.with(|db| {
            let sql = "SELECT a.run, a.explanation, a.site, a.waits_for, count(*), min(a.no), min(a.opened_at)
                 FROM runs r JOIN actions a ON a.run = r.id WHERE r.finished_at IS NULL AND a.phase = 1 AND a.path IS NOT NULL
                 GROUP BY a.run, a.explanation, a.site, a.waits_for ORDER BY min(a.opened_at), a.run LIMIT ?1";
            let mut statement = db.prepare_cached(sql)?;
            let rows = statement.query_map(params![WAITING_MAX as i64 + 1], |row| {
                Ok(WaitingRow {
                    run: RunId(row.get(0)?),
                    explanation: row.get(1)?,
                    site: row.get(2)?,
                    waits_for: row.get(3)?,
                    actions: row.get(4)?,
                    first: row.get(5)?,
                    since: Timestamp(row.get(6)?),
                })
            })?;
            let mut rows = rows.collect::<rusqlite::Result<Vec<_>>>()?;
            let cut = rows.len() > WAITING_MAX;
            rows.truncate(WAITING_MAX);
            Ok((rows, cut))
        })
    }

    /// What holds capacity of a site, what runs before what is starting and the earliest first, each with the name of its run: at most so many,
    /// of runs that may be `told` of.
    pub fn held_at(&self, site: &str, limit: usize, mut told: impl FnMut(&RunRow) -> bool) -> Result<Vec<(String, ActionRow)>> {
        self.with(|db| {
            let columns: Vec<String> = ACTION_COLUMNS.split(", ").map(|column| format!("a.{column}")).collect();
            let sql = format!(
                "SELECT {} FROM runs r JOIN actions a ON a.run = r.id
                 WHERE r.finished_at IS NULL AND a.phase IN (2, 3) AND a.site = ?1 ORDER BY a.phase DESC, a.opened_at, a.run, a.no",
                columns.join(", ")
            );
            let mut statement = db.prepare_cached(&sql)?;
            let mut rows = statement.query(params![site])?;
            // Many actions may be of one run: that is looked up, and asked about, once.
            let mut names: BTreeMap<RunId, Option<String>> = BTreeMap::new();
            let mut held = Vec::new();
            while held.len() < limit
                && let Some(row) = rows.next()?
            {
                let action = ActionRow::read(row)?;
                let name = match names.entry(action.run) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(new) => {
                        let run = self.run_where(db, "id = ?1", params![action.run.0])?.filter(&mut told);
                        new.insert(run.map(|run| run.name))
                    }
                };
                if let Some(name) = name.as_ref() {
                    held.push((name.clone(), action));
                }
            }
            Ok(held)
        })
    }
}
