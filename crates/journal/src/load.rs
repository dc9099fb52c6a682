//! When actions waited and ran, for pictures of how busy sites were.

use model::Timestamp;
use rusqlite::params;

use crate::{JournalError, Reader};

/// When one action waited and ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When its last attempt began; none when none has.
    pub started_at: Option<Timestamp>,
    /// When it ended; none when it has not.
    pub finished_at: Option<Timestamp>,
    /// Processor time of its last attempt, in microseconds.
    pub cpu_us: u64,
}

impl Reader {
    /// Tells of every placed action, and of every one that waits for a place, that was there within a time: its site, empty without one, and its
    /// span. At most `limit`, those of the latest runs; true when there were more.
    pub fn spans(
        &self,
        (since, until): (Timestamp, Timestamp),
        limit: usize,
        mut tell: impl FnMut(&str, Span),
    ) -> Result<bool, JournalError> {
        self.with(|db| {
            // Kinds 0 to 2 take a place. Runs that ended before are not looked into.
            let sql = "SELECT coalesce(a.site, ''), a.opened_at, a.started_at, a.finished_at, coalesce(a.cpu_us, 0) FROM runs r
                 JOIN actions a ON a.run = r.id WHERE (r.finished_at IS NULL OR r.finished_at >= ?1) AND r.submitted_at < ?2
                 AND a.kind <= 2 AND a.opened_at < ?2 AND (a.finished_at IS NULL OR a.finished_at >= ?1)
                 AND (a.site IS NOT NULL OR a.finished_at IS NULL) AND coalesce(a.reused, 0) = 0 ORDER BY r.id DESC, a.no DESC LIMIT ?3";
            let mut statement = db.prepare_cached(sql)?;
            let mut rows = statement.query(params![since.0, until.0.min(i64::MAX as u64), limit as i64 + 1])?;
            let mut told = 0;
            while let Some(row) = rows.next()? {
                if told == limit {
                    return Ok(true);
                }
                told += 1;
                let site = row.get_ref(0)?.as_str().unwrap_or_default();
                let at = |index: usize| Ok::<_, rusqlite::Error>(row.get::<_, Option<u64>>(index)?.map(Timestamp));
                let span =
                    Span { opened_at: at(1)?.unwrap_or_default(), started_at: at(2)?, finished_at: at(3)?, cpu_us: row.get(4)? };
                tell(site, span);
            }
            Ok(false)
        })
    }
}
