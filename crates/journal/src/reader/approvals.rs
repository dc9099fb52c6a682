//! What waits for people.

use engine::Event;
use model::{RunId, Seq};
use rusqlite::params;
use serde_json::Value;

use super::{Reader, Result};
use crate::rows::{ACTION_COLUMNS, ActionRow, ApprovalRow, RunRow};

impl Reader {
    /// Human actions that wait for a decision, the oldest first: of one run or of all, after a position.
    pub fn approvals(&self, run: Option<RunId>, after: Option<(RunId, u32)>, limit: usize) -> Result<Vec<ApprovalRow>> {
        let actions: Vec<ActionRow> = self.with(|db| {
            let sql = format!(
                "SELECT {ACTION_COLUMNS} FROM actions WHERE kind = 4 AND finished_at IS NULL AND (?1 IS NULL OR run = ?1)
                 AND (run, no) > (?2, ?3) ORDER BY run, no LIMIT ?4"
            );
            let (after_run, after_no) = after.map_or((0, 0), |(run, no)| (run.0, i64::from(no)));
            let mut statement = db.prepare_cached(&sql)?;
            let rows = statement.query_map(params![run.map(|run| run.0), after_run, after_no, limit as i64], ActionRow::read)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })?;
        let mut approvals = Vec::with_capacity(actions.len());
        for action in actions {
            let input = action.input.map(|(seq, n)| self.body(seq, n)).transpose()?.flatten().unwrap_or_default();
            if let Some(run) = self.run(action.run)? {
                let first_form = if action.first_by.is_some() { self.last_form(&run, action.no)? } else { None };
                approvals.push(ApprovalRow { run, action, input, first_form });
            }
        }
        Ok(approvals)
    }

    /// How many human actions wait for a decision.
    pub fn approvals_waiting(&self) -> Result<u64> {
        self.with(|db| {
            let sql = "SELECT count(*) FROM actions WHERE kind = 4 AND finished_at IS NULL";
            Ok(db.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
        })
    }

    /// The running actions that asked a person something that is not answered, or for a workflow that did, and all above those: by the number of
    /// their run and their own.
    pub fn asking(&self) -> Result<Vec<ActionRow>> {
        self.with(|db| {
            let columns: Vec<String> = ACTION_COLUMNS.split(", ").map(|column| format!("a.{column}")).collect();
            let sql = format!(
                "WITH RECURSIVE above(run, no) AS (
                   SELECT h.run, c.parent FROM actions h
                   JOIN actions w ON w.run = h.run AND w.path = substr(h.path, 1, instr(h.path || '/', '/') - 1)
                   JOIN children c ON c.run = w.run AND c.no = w.no
                   WHERE h.kind = 4 AND h.finished_at IS NULL
                   UNION SELECT c.run, c.parent FROM above p JOIN children c ON c.run = p.run AND c.no = p.no)
                 SELECT {} FROM above JOIN actions a ON a.run = above.run AND a.no = above.no
                 WHERE a.phase = 3 AND a.finished_at IS NULL ORDER BY a.run, a.no",
                columns.join(", ")
            );
            let mut statement = db.prepare_cached(&sql)?;
            let rows = statement.query_map([], ActionRow::read)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// The form of the last decision about a human action.
    fn last_form(&self, run: &RunRow, action: u32) -> Result<Option<Value>> {
        let seqs: Vec<(i64, Vec<u8>)> = self.with(|db| {
            let sql = "SELECT seq, bytes FROM journal WHERE run = ?1 AND seq BETWEEN ?2 AND ?3 AND kind = 16 ORDER BY seq DESC";
            let mut statement = db.prepare_cached(sql)?;
            let range = params![run.id.0, run.first_seq.0, run.last_seq.0];
            let rows = statement.query_map(range, |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })?;
        let of_it =
            |bytes: &[u8]| matches!(engine::codec::decode(bytes), Ok(Event::HumanDecided(decided)) if decided.action.0 == action);
        match seqs.into_iter().find(|(_, bytes)| of_it(bytes)) {
            Some((seq, _)) => self.body(Seq(seq as u64), 0),
            None => Ok(None),
        }
    }

    /// How many human actions of a run wait.
    pub fn waiting(&self, run: RunId) -> Result<u64> {
        self.with(|db| {
            let sql = "SELECT count(*) FROM actions WHERE run = ?1 AND kind = 4 AND finished_at IS NULL";
            Ok(db.prepare_cached(sql)?.query_row(params![run.0], |row| row.get(0))?)
        })
    }
}
