//! A run as it was: its read models folded again from its entries up to a moment, for every question that a [`Reader`] answers.
//!
//! The tables of one run are filled by the code that fills those of the file, in memory, under the same names: they hide those of the file
//! on one connection, so that what asks for the past asks the way that it asks for the present. There is no second idea of what a run looks like.

use std::sync::{Arc, Mutex};

use model::{RunId, Seq, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::projection::Projection;
use crate::reader::bare_event_of;
use crate::rebuild::copy_empty;
use crate::{Entry, JournalError, Reader, schema};

/// The read models that entries of a run change.
const OF_RUNS: &[&str] = &[
    "runs",
    "actions",
    "children",
    "skipped",
    "attempts",
    "explanations",
    "recalls",
    "artifact_labels",
    "people",
    "artifact_origins",
    "run_labels",
];
/// What a search by path and by parent hangs on.
const INDEXES: &str = "CREATE INDEX temp.past_path ON actions(run, path); CREATE INDEX temp.past_parent ON children(run, parent)";
/// Entries folded at a time.
const STEP: usize = 2_000;

/// Up to where the past goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Until {
    /// All that happened up to this time, and at it.
    Time(Timestamp),
    /// All up to this entry, and it.
    Position(Seq),
}

/// A run as it was at a moment, which can be moved on.
pub struct Past {
    run: RunId,
    reader: Reader,
    connection: Arc<Mutex<Connection>>,
    /// The last entry that was folded.
    position: Seq,
    /// When it was made; that of the run's beginning at first.
    at: Timestamp,
    /// When the next was made, where one is known.
    next: Option<(Seq, Timestamp)>,
}

impl Reader {
    /// A run before its first entry. Blocks, as everything that is asked of it does.
    pub fn past(&self, run: RunId) -> Result<Past, JournalError> {
        let connection = Connection::open(self.file())?;
        connection.busy_timeout(schema::BUSY_WAIT)?;
        connection.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        // What failures say is sealed in the file, and lies in no other.
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        connection.set_prepared_statement_cache_capacity(64);
        for table in OF_RUNS {
            copy_empty(&connection, table)?;
        }
        connection.execute_batch(INDEXES)?;
        let connection = Arc::new(Mutex::new(connection));
        Ok(Past { run, reader: self.pinned(connection.clone()), connection, position: Seq(0), at: Timestamp(0), next: None })
    }
}

impl Past {
    /// Answers as of the moment: about this run as it was, and about what is no run as it is.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// The last entry of the run up to the moment, and when it was made.
    pub fn position(&self) -> (Seq, Timestamp) {
        (self.position, self.at)
    }

    /// Whether it holds more than there was then: the past is moved on, never back.
    pub fn is_beyond(&self, until: Until) -> bool {
        match until {
            Until::Time(at) => self.at > at,
            Until::Position(position) => self.position > position,
        }
    }

    /// Moves on to a moment.
    pub fn advance(&mut self, until: Until) -> Result<(), JournalError> {
        if self.next.is_some_and(|(seq, at)| !covers(until, seq, at)) {
            return Ok(());
        }
        self.next = None;
        let connection = self.connection.lock().unwrap_or_else(|poison| poison.into_inner());
        // Of the file's own tables: those of the past know what was folded already.
        let span = "SELECT first_seq, last_seq FROM main.runs WHERE id = ?1";
        let span: Option<(u64, u64)> =
            connection.prepare_cached(span)?.query_row(params![self.run.0], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let Some((first, last)) = span else { return Ok(()) };
        let mut after = self.position.0.max(first.saturating_sub(1));
        loop {
            let transaction = connection.unchecked_transaction()?;
            let (mut projection, mut folded) = (Projection::default(), 0);
            {
                let sql = "SELECT seq, at, bytes FROM journal WHERE seq > ?1 AND seq <= ?2 AND run = ?3 ORDER BY seq LIMIT ?4";
                let mut statement = transaction.prepare_cached(sql)?;
                let mut rows = statement.query(params![after, last, self.run.0, STEP as i64])?;
                while let Some(row) = rows.next()? {
                    let (seq, at) = (Seq(row.get(0)?), Timestamp(row.get(1)?));
                    if !covers(until, seq, at) {
                        self.next = Some((seq, at));
                        break;
                    }
                    let event = bare_event_of(seq.0, row.get_ref(2)?.as_blob().unwrap_or_default())?;
                    projection.note(seq.0, &Entry { run: self.run, at, event });
                    (after, self.position, self.at) = (seq.0, seq, at);
                    folded += 1;
                }
            }
            projection.write(&transaction)?;
            transaction.commit()?;
            if folded < STEP || self.next.is_some() {
                return Ok(());
            }
        }
    }
}

/// Whether an entry had happened at a moment.
fn covers(until: Until, seq: Seq, at: Timestamp) -> bool {
    match until {
        Until::Time(moment) => at <= moment,
        Until::Position(position) => seq <= position,
    }
}
