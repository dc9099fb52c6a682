//! Actions that were refused and failed for it.

use engine::event::ActionKind;
use model::{Phase, RunId, Timestamp};
use rusqlite::params;

use super::{Reader, Result};
use crate::rows::{ACTION_COLUMNS, ActionRow, RunRow};

/// Where a page of refused actions begins: after this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefusedAt {
    /// When it ended.
    pub at: Timestamp,
    /// Its run.
    pub run: RunId,
    /// Its number.
    pub no: u32,
}

/// Which refused actions.
#[derive(Clone, Debug, Default)]
pub struct RefusedFilter {
    /// Of this run.
    pub run: Option<RunId>,
    /// Of runs of this project.
    pub project: Option<String>,
    /// Older than this one (for the next page; the newest come first).
    pub before: Option<RefusedAt>,
    /// At most so many.
    pub limit: usize,
}

/// The condition is the one that the index is made with.
const REFUSED: &str = "finished_at IS NOT NULL AND json_extract(failure, '$.class') = 'refused'";

impl Reader {
    /// Actions that failed because they were refused, each with its run, the newest first. A workflow that failed for what was refused within it is
    /// not among them: what was refused is.
    pub fn refused(&self, filter: &RefusedFilter) -> Result<Vec<(RunRow, ActionRow)>> {
        let last = RefusedAt { at: Timestamp(i64::MAX as u64), run: RunId(i64::MAX as u64), no: u32::MAX };
        let RefusedAt { at, run, no } = filter.before.unwrap_or(last);
        let rows: Vec<ActionRow> = self.with(|db| {
            let sql = format!(
                "SELECT {ACTION_COLUMNS} FROM actions AS a WHERE {REFUSED} AND phase = ?1 AND (?2 IS NULL OR run = ?2)
                 AND (?3 IS NULL OR run IN (SELECT id FROM runs WHERE project = ?3)) AND (finished_at, run, no) < (?4, ?5, ?6)
                 AND NOT (kind = ?8 AND EXISTS (SELECT 1 FROM actions AS below WHERE below.run = a.run AND below.path > a.path || '/'
                     AND below.path < a.path || '0' AND below.phase = ?1 AND {REFUSED}))
                 ORDER BY finished_at DESC, run DESC, no DESC LIMIT ?7"
            );
            let of_run = filter.run.map(|run| run.0);
            let (failed, workflow) = (Phase::Failed as i64, ActionKind::Workflow as i64);
            let values = params![failed, of_run, filter.project, at.0, run.0, no, filter.limit as i64, workflow];
            let mut statement = db.prepare_cached(&sql)?;
            let rows = statement.query_map(values, ActionRow::read)?;
            let mut rows = rows.collect::<rusqlite::Result<Vec<_>>>()?;
            rows.iter_mut().for_each(|row| self.say(db, &mut row.failure));
            Ok(rows)
        })?;
        let mut refused = Vec::with_capacity(rows.len());
        for action in rows {
            if let Some(run) = self.run(action.run)? {
                refused.push((run, action));
            }
        }
        Ok(refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_actions_are_found_by_their_index() {
        let folder = tempfile::tempdir().unwrap();
        let opened = crate::open(crate::Options {
            path: folder.path().to_owned(),
            shard: 0,
            durability: crate::Durability::Relaxed,
            keys: None,
        });
        let reader = opened.unwrap().reader;
        let plan: Vec<String> = reader
            .with(|db| {
                let sql = format!(
                    "EXPLAIN QUERY PLAN SELECT no FROM actions WHERE {REFUSED} ORDER BY finished_at DESC, run DESC, no DESC"
                );
                let mut statement = db.prepare(&sql)?;
                let rows = statement.query_map([], |row| row.get(3))?;
                Ok(rows.collect::<rusqlite::Result<_>>()?)
            })
            .unwrap();
        assert!(plan.len() == 1 && plan[0].contains("actions_refused"), "{plan:?}");
    }
}
