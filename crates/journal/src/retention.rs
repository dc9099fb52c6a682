//! Retention: what values of ended runs are destroyed. First an entry of the journal says so, then the bodies go, in steps; a stop in between
//! leaves runs marked, and the next start goes on.

use model::{RunId, Seq, Timestamp};
use rusqlite::{Connection, params};

use crate::{JournalError, Reader};

/// Entries looked at in one step.
const STEP: u64 = 20_000;
/// Bodies destroyed in one step.
const STEP_BODIES: u64 = 5_000;

/// What pruning destroyed, or would.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Pruned {
    /// Runs whose bodies went.
    pub runs: u64,
    /// Bodies.
    pub bodies: u64,
    /// Bytes of them.
    pub bytes: u64,
}

impl Reader {
    /// What pruning the runs that ended before a time would destroy.
    pub fn prunable(&self, before: Timestamp) -> Result<Pruned, JournalError> {
        self.with(|db| {
            let chosen = "finished_at < ?1 AND pruned = 0";
            let runs = db.query_row(&format!("SELECT count(*) FROM runs WHERE {chosen}"), params![before.0], |row| row.get(0))?;
            let sql = format!(
                "SELECT count(*), coalesce(sum(length(b.bytes)), 0) FROM journal j JOIN bodies b ON b.seq = j.seq
                 WHERE j.seq >= (SELECT min(first_seq) FROM runs WHERE {chosen}) AND j.run IN (SELECT id FROM runs WHERE {chosen})"
            );
            let (bodies, bytes) = db.query_row(&sql, params![before.0], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(Pruned { runs, bodies, bytes })
        })
    }

    /// The runs that ended before a time and still have their values: each with its first entry and when it ended, the oldest first.
    pub fn ended_before(&self, before: Timestamp) -> Result<Vec<(RunId, Seq, Timestamp)>, JournalError> {
        self.with(|db| {
            let sql =
                "SELECT id, first_seq, finished_at FROM runs WHERE finished_at < ?1 AND pruned = 0 ORDER BY finished_at, id";
            let mut statement = db.prepare_cached(sql)?;
            let row = |row: &rusqlite::Row<'_>| Ok((RunId(row.get(0)?), Seq(row.get(1)?), Timestamp(row.get(2)?)));
            Ok(statement.query_map(params![before.0], row)?.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// Whether bodies are still there that an entry says are pruned: [`crate::Keeper::sweep`] was interrupted.
    pub fn is_unswept(&self) -> Result<bool, JournalError> {
        self.with(|db| Ok(db.query_row("SELECT EXISTS (SELECT 1 FROM runs WHERE pruned < 0)", [], |row| row.get(0))?))
    }
}

/// A pass over the entries of the runs that are marked.
pub(crate) struct Sweep {
    /// The next entry to look at.
    next: u64,
    /// The last.
    last: u64,
    /// The pass is about runs that were marked by an entry up to this one.
    marked_by: u64,
    pruned: Pruned,
    done: bool,
}

impl Sweep {
    /// A pass over all that is marked; none when nothing is.
    pub(crate) fn begin(connection: &Connection) -> Result<Option<Sweep>, JournalError> {
        let marked_by: u64 = connection.query_row("SELECT size FROM tree", [], |row| row.get(0))?;
        let sql = "SELECT min(first_seq), max(finished_seq) FROM runs WHERE pruned < 0";
        let range: (Option<u64>, Option<u64>) = connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let (Some(next), Some(last)) = range else { return Ok(None) };
        Ok(Some(Sweep { next, last, marked_by, pruned: Pruned::default(), done: false }))
    }

    /// Destroys the bodies of the next entries, in one transaction.
    pub(crate) fn step(mut self, connection: &mut Connection) -> Result<Sweep, JournalError> {
        let transaction = connection.transaction()?;
        let end = self.next.saturating_add(STEP).min(self.last + 1);
        let mut reached = end;
        {
            let mut find = transaction.prepare_cached(
                "SELECT b.seq, count(*), sum(length(b.bytes)) FROM journal j JOIN runs r ON r.id = j.run JOIN bodies b ON b.seq = j.seq
                 WHERE j.seq >= ?1 AND j.seq < ?2 AND r.pruned < 0 GROUP BY b.seq ORDER BY b.seq",
            )?;
            let mut destroy = transaction.prepare_cached("DELETE FROM bodies WHERE seq = ?1")?;
            let mut found: Vec<(u64, u64, u64)> = Vec::new();
            let (mut rows, mut bodies) = (find.query(params![self.next, end])?, 0);
            while let Some(row) = rows.next()? {
                let (seq, count, bytes): (u64, u64, u64) = (row.get(0)?, row.get(1)?, row.get(2)?);
                if bodies >= STEP_BODIES {
                    reached = seq;
                    break;
                }
                bodies += count;
                found.push((seq, count, bytes));
            }
            drop(rows);
            for (seq, count, bytes) in found {
                destroy.execute(params![seq])?;
                self.pruned.bodies += count;
                self.pruned.bytes += bytes;
            }
        }
        self.next = reached;
        if self.next > self.last {
            let sql = "UPDATE runs SET pruned = 1 WHERE pruned < 0 AND pruned >= -?1";
            self.pruned.runs = transaction.execute(sql, params![self.marked_by])? as u64;
            self.done = true;
        }
        crate::step(failpoint::Point::PruneStep)?;
        transaction.commit()?;
        Ok(self)
    }

    /// Whether all of it is done.
    pub(crate) fn is_done(&self) -> bool {
        self.done
    }

    /// What went so far.
    pub(crate) fn pruned(&self) -> Pruned {
        self.pruned
    }
}
