//! Whom runs are about, and which were erased.

use engine::Event;
use model::{RunId, Seq};
use rusqlite::{OptionalExtension as _, params};

use super::{Reader, Result, bytes_of};
use crate::bodies::{Kept, SUBJECT, open};

impl Reader {
    /// Whom a run is about.
    pub fn subject(&self, run: RunId) -> Result<Option<String>> {
        self.with(|db| {
            let sql = "SELECT first_seq FROM runs WHERE id = ?1";
            let seq: Option<u64> = db.prepare_cached(sql)?.query_row(params![run.0], |row| row.get(0)).optional()?;
            let bytes = seq.map(|seq| bytes_of(db, self.keys(), seq, SUBJECT)).transpose()?.flatten();
            Ok(bytes.and_then(|bytes| String::from_utf8(bytes).ok()))
        })
    }

    /// The runs about a subject. Every run that is about one is looked at: their names are sealed.
    pub fn about(&self, subject: &str) -> Result<Vec<RunId>> {
        self.with(|db| {
            let sql = "SELECT r.id, b.seq, b.bytes FROM runs r JOIN bodies b ON b.seq = r.first_seq AND b.n = ?1";
            let mut statement = db.prepare_cached(sql)?;
            let mut rows = statement.query(params![SUBJECT])?;
            let mut about = Vec::new();
            while let Some(row) = rows.next()? {
                let (run, seq, kept): (u64, u64, Vec<u8>) = (row.get(0)?, row.get(1)?, row.get(2)?);
                if let Kept::Bytes(bytes) = open(self.keys(), seq, SUBJECT, kept)?
                    && bytes == subject.as_bytes()
                {
                    about.push(RunId(run));
                }
            }
            Ok(about)
        })
    }

    /// The runs after one and the entries that their inputs are in, in the order of their numbers.
    pub fn runs_after(&self, last: RunId, limit: usize) -> Result<Vec<(RunId, Seq)>> {
        self.with(|db| {
            let mut statement = db.prepare_cached("SELECT id, first_seq FROM runs WHERE id > ?1 ORDER BY id LIMIT ?2")?;
            let rows = statement.query_map(params![last.0, limit as i64], |row| Ok((RunId(row.get(0)?), Seq(row.get(1)?))))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// Whether the values of a run were erased, or are about to be.
    pub fn is_erased(&self, run: RunId) -> Result<bool> {
        Ok(self.erased()?.contains(&run))
    }

    /// The runs that entries say are erased.
    pub fn erased(&self) -> Result<std::collections::BTreeSet<RunId>> {
        self.with(|db| {
            // An entry of this kind is of the fleet, of which there are few.
            let mut statement = db.prepare_cached("SELECT bytes FROM journal WHERE run = 0 AND kind = 51")?;
            let mut rows = statement.query([])?;
            let mut erased = std::collections::BTreeSet::new();
            while let Some(row) = rows.next()? {
                if let Ok(Event::DataErased(entry)) = engine::codec::decode(row.get_ref(0)?.as_blob().unwrap_or_default()) {
                    erased.extend(entry.runs);
                }
            }
            Ok(erased)
        })
    }
}
