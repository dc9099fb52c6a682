//! Entries: as a restart folds them, as a stream tells them, as they are stored and hashed.

use std::sync::Arc;

use engine::Event;
use keyring::Keyring;
use model::{Payload, RunId, Seq, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{Reader, Result, body_of, bytes_of};
use crate::bodies::{SALT, walk};
use crate::{EntryRow, JournalError};

impl Reader {
    /// Calls `fold` with every entry that a restart needs, in order: those of the fleet and those of open runs that change the state, bodies
    /// in place.
    pub fn replay(&self, mut fold: impl FnMut(Seq, Timestamp, Event)) -> Result<()> {
        self.with(|db| {
            let unfolded = engine::codec::UNFOLDED.map(|kind| kind.to_string()).join(", ");
            let mut statement = db.prepare(&format!(
                "SELECT seq, at, bytes, kind FROM journal WHERE run = 0 AND kind NOT IN ({unfolded}) UNION ALL
                 SELECT seq, at, bytes, kind FROM journal WHERE seq >= (SELECT min(first_seq) FROM runs WHERE finished_at IS NULL)
                 AND run IN (SELECT id FROM runs WHERE finished_at IS NULL) AND kind NOT IN ({unfolded}) ORDER BY seq"
            ))?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let (seq, at): (u64, u64) = (row.get(0)?, row.get(1)?);
                fold(Seq(seq), Timestamp(at), event_of(db, self.keys(), seq, row.get_ref(2)?.as_blob().unwrap_or_default())?);
            }
            Ok(())
        })
    }

    /// Entries after a position, of one run or of all, bodies in place where they are still there.
    pub fn events(&self, after: Seq, run: Option<RunId>, limit: usize) -> Result<Vec<Told>> {
        self.events_within(after, run, limit, usize::MAX)
    }

    /// Entries after a position, until there are so many or so many bytes of them; the first is given however large it is.
    pub fn events_within(&self, after: Seq, run: Option<RunId>, limit: usize, bytes_max: usize) -> Result<Vec<Told>> {
        self.within(after, run, limit, bytes_max, |db, seq, bytes| event_of(db, self.keys(), seq, bytes))
    }

    /// The same without values: what is told of entries needs none, and reading and opening them is most of the work.
    pub fn facts_within(&self, after: Seq, run: Option<RunId>, limit: usize, bytes_max: usize) -> Result<Vec<Told>> {
        self.within(after, run, limit, bytes_max, |_, seq, bytes| bare_event_of(seq, bytes))
    }

    fn within(
        &self,
        after: Seq,
        run: Option<RunId>,
        limit: usize,
        bytes_max: usize,
        event: impl Fn(&Connection, u64, &[u8]) -> Result<Event>,
    ) -> Result<Vec<Told>> {
        self.with(|db| {
            // Those of a run lie between its first and its last. Whoever follows one that waits must not look through all that others did.
            let (first, last) = match run.filter(|run| *run != RunId::FLEET) {
                None => (0, i64::MAX),
                Some(run) => {
                    let sql = "SELECT first_seq, last_seq FROM runs WHERE id = ?1";
                    let found = db.prepare_cached(sql)?.query_row(params![run.0], |row| Ok((row.get(0)?, row.get(1)?)));
                    found.optional()?.unwrap_or_default()
                }
            };
            let sql =
                "SELECT seq, at, run, bytes FROM journal WHERE seq > max(?1, ?4 - 1) AND seq <= ?5 AND (?2 IS NULL OR run = ?2)
                 AND bytes IS NOT NULL ORDER BY seq LIMIT ?3";
            let mut statement = db.prepare_cached(sql)?;
            let mut rows = statement.query(params![after.0, run.map(|run| run.0), limit as i64, first, last])?;
            let (mut events, mut taken) = (Vec::new(), 0);
            while taken < bytes_max
                && let Some(row) = rows.next()?
            {
                let (seq, at, run): (u64, u64, u64) = (row.get(0)?, row.get(1)?, row.get(2)?);
                let bytes = row.get_ref(3)?.as_blob().unwrap_or_default();
                taken = taken.saturating_add(bytes.len());
                events.push((Seq(seq), Timestamp(at), RunId(run), event(db, seq, bytes)?));
            }
            Ok(events)
        })
    }

    /// Entries as they are stored, after a position.
    pub fn entries(&self, after: Seq, limit: usize) -> Result<Vec<EntryRow>> {
        self.with(|db| {
            let mut statement =
                db.prepare_cached("SELECT seq, run, at, bytes, leaf FROM journal WHERE seq > ?1 ORDER BY seq LIMIT ?2")?;
            let rows = statement.query_map(params![after.0, limit as i64], |row| {
                Ok(EntryRow {
                    seq: Seq(row.get(0)?),
                    run: RunId(row.get(1)?),
                    at: Timestamp(row.get(2)?),
                    bytes: row.get(3)?,
                    leaf: row.get(4)?,
                })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// The number of leaves of the tree and its edge.
    pub fn tree(&self) -> Result<audit::Frontier> {
        self.with(|db| {
            let edge: Vec<u8> = db.query_row("SELECT edge FROM tree WHERE id = 0", [], |row| row.get(0))?;
            audit::Frontier::from_bytes(&edge).map_err(|error| JournalError::Damaged(error.to_string()))
        })
    }
}

/// An entry: its position, its time, its run, what happened.
pub type Told = (Seq, Timestamp, RunId, Event);

/// The event of an entry without the values beside it.
pub(crate) fn bare_event_of(seq: u64, bytes: &[u8]) -> Result<Event> {
    engine::codec::decode(bytes).map_err(|error| match error {
        engine::codec::DecodeError::Newer(_) => JournalError::Foreign(format!("entry {seq}: {error}")),
        _ => JournalError::Damaged(format!("entry {seq}: {error}")),
    })
}

/// Decodes an entry and puts its bodies in place.
pub(crate) fn event_of(db: &Connection, keys: Option<&Keyring>, seq: u64, bytes: &[u8]) -> Result<Event> {
    let mut event = bare_event_of(seq, bytes)?;
    if let Event::RunSubmitted(submitted) = &mut event {
        let salt = bytes_of(db, keys, seq, SALT)?;
        submitted.salt = salt.and_then(|salt| salt.try_into().ok()).unwrap_or_default();
    }
    let mut payloads: Vec<&mut Payload> = Vec::new();
    walk(&mut event, &mut |payload| payloads.push(payload));
    for (n, payload) in payloads.into_iter().enumerate() {
        payload.body = body_of(db, keys, seq, n as i64)?.map(Arc::new);
    }
    Ok(event)
}
