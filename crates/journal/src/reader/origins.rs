//! Where artifacts came from.

use model::{Digest, Label, RunId, Seq};
use rusqlite::{OptionalExtension as _, params};

use super::{Reader, Result};
use crate::rows::{ACTION_COLUMNS, ActionRow, OriginRow};

fn origin(row: &rusqlite::Row<'_>) -> rusqlite::Result<OriginRow> {
    let no: i64 = row.get(2)?;
    Ok(OriginRow {
        artifact: Digest(row.get(0)?),
        run: RunId(row.get::<_, i64>(1)? as u64),
        action: u32::try_from(no).ok(),
        size: row.get::<_, i64>(3)? as u64,
        seq: Seq(row.get::<_, i64>(4)? as u64),
    })
}

impl Reader {
    /// Where artifacts came from, the latest first, before a position: all of them, or those that carry a tag.
    pub fn origins(&self, before: Option<Seq>, tag: Option<&str>, limit: usize) -> Result<Vec<OriginRow>> {
        self.with(|db| {
            let sql = "SELECT artifact, run, no, size, seq FROM artifact_origins o WHERE (?1 IS NULL OR seq < ?1)
                 AND (?2 IS NULL OR EXISTS (SELECT 1 FROM artifact_labels l WHERE l.artifact = o.artifact AND l.tag = ?2))
                 ORDER BY seq DESC, artifact LIMIT ?3";
            let mut statement = db.prepare_cached(sql)?;
            let rows = statement.query_map(params![before.map(|seq| seq.0 as i64), tag, limit as i64], origin)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// The rest of what came to be in the same entry as the last one of a page: pages end between entries.
    pub fn origins_at(&self, seq: Seq) -> Result<Vec<OriginRow>> {
        self.with(|db| {
            let sql = "SELECT artifact, run, no, size, seq FROM artifact_origins WHERE seq = ?1 ORDER BY artifact";
            let mut statement = db.prepare_cached(sql)?;
            let rows = statement.query_map(params![seq.0 as i64], origin)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// Everywhere an artifact came from: the first time first. Runs that were given it are among them.
    pub fn origins_of(&self, artifact: &Digest, limit: usize) -> Result<Vec<OriginRow>> {
        self.with(|db| {
            let sql = "SELECT artifact, run, no, size, seq FROM artifact_origins WHERE artifact = ?1 ORDER BY seq LIMIT ?2";
            let mut statement = db.prepare_cached(sql)?;
            let rows = statement.query_map(params![artifact.0.as_slice(), limit as i64], origin)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// The artifacts with tags that a run was given or made.
    pub fn tagged_of_run(&self, run: RunId) -> Result<Vec<Digest>> {
        self.with(|db| {
            // By the entries of the run, of which there is an index.
            let sql = "SELECT DISTINCT o.artifact FROM runs r JOIN artifact_origins o ON o.seq BETWEEN r.first_seq AND r.last_seq AND o.run = r.id
                       JOIN artifact_labels l ON l.artifact = o.artifact WHERE r.id = ?1";
            let mut statement = db.prepare_cached(sql)?;
            let rows = statement.query_map(params![run.0], |row| Ok(Digest(row.get(0)?)))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// An action by its number.
    pub fn action_no(&self, run: RunId, no: u32) -> Result<Option<ActionRow>> {
        self.with(|db| {
            let sql = format!("SELECT {ACTION_COLUMNS} FROM actions WHERE run = ?1 AND no = ?2");
            let mut statement = db.prepare_cached(&sql)?;
            let mut row = statement.query_row(params![run.0, no], ActionRow::read).optional()?;
            row.iter_mut().for_each(|row| self.say(db, &mut row.failure));
            Ok(row)
        })
    }

    /// What artifacts carry, for lists.
    pub fn artifact_labels(&self, artifacts: &[Digest]) -> Result<Vec<Label>> {
        artifacts.iter().map(|artifact| self.artifact_label(artifact)).collect()
    }

    /// Entries about a human action, in order: who saw it, handed it on, decided.
    pub fn people(&self, run: RunId, no: u32, limit: usize) -> Result<Vec<Seq>> {
        self.with(|db| {
            let sql = "SELECT seq FROM people WHERE run = ?1 AND no = ?2 ORDER BY seq LIMIT ?3";
            let mut statement = db.prepare_cached(sql)?;
            let rows = statement.query_map(params![run.0, no, limit as i64], |row| Ok(Seq(row.get::<_, i64>(0)? as u64)))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// To which users and groups a question was handed by an entry.
    pub fn delegated(&self, seq: Seq) -> Result<Option<(Vec<String>, Vec<String>)>> {
        let bytes: Option<Vec<u8>> = self.with(|db| {
            let mut statement = db.prepare_cached("SELECT bytes FROM journal WHERE seq = ?1")?;
            Ok(statement.query_row(params![seq.0 as i64], |row| row.get(0)).optional()?)
        })?;
        Ok(bytes.and_then(|bytes| match engine::codec::decode(&bytes) {
            Ok(engine::Event::HumanDelegated(e)) => Some((e.users, e.groups)),
            _ => None,
        }))
    }

    /// Bytes that the journal's parts take: entries, values beside them, all that is read from them.
    pub fn bytes(&self) -> Result<(u64, u64, u64)> {
        self.with(|db| {
            let sum =
                |sql: &str| -> rusqlite::Result<u64> { db.query_row(sql, [], |row| row.get::<_, i64>(0)).map(|sum| sum as u64) };
            let pages = sum("SELECT page_count FROM pragma_page_count()")? * sum("SELECT page_size FROM pragma_page_size()")?;
            let entries = sum("SELECT coalesce(sum(length(bytes)), 0) FROM journal")?;
            let bodies = sum("SELECT coalesce(sum(length(bytes)), 0) FROM bodies")?;
            Ok((entries, bodies, pages))
        })
    }

    /// The projects that have runs: their runs, those that are open, the last submission, what they cost.
    pub fn projects(&self) -> Result<Vec<crate::rows::ProjectRow>> {
        self.with(|db| {
            let sql = "SELECT project, count(*), sum(finished_at IS NULL), max(submitted_at), sum(cost) FROM runs GROUP BY project ORDER BY project";
            let mut statement = db.prepare_cached(sql)?;
            let rows = statement.query_map([], |row| {
                Ok(crate::rows::ProjectRow {
                    name: row.get(0)?,
                    runs: row.get::<_, i64>(1)? as u64,
                    open: row.get::<_, i64>(2)? as u64,
                    last: model::Timestamp(row.get::<_, i64>(3)? as u64),
                    cost: model::Money(row.get(4)?),
                })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }
}
