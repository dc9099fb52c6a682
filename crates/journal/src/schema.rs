//! The file: pragmas that are read back, tables, versions.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use crate::JournalError;

/// The name of the file in the directory.
pub(crate) const FILE: &str = "journal.db";
/// "Tutt" in ASCII: a file of ours.
const APPLICATION_ID: i64 = 0x5475_7474;
/// The version of the tables below.
const VERSION: i64 = 1;

/// What an acknowledgement means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// It survives a power cut: SQLite syncs the log at every commit.
    #[default]
    Full,
    /// It survives the death of the process, and may be lost by a power cut.
    Relaxed,
}

const TABLES: &str = "
CREATE TABLE journal (
  seq INTEGER PRIMARY KEY, shard INTEGER NOT NULL, run INTEGER NOT NULL, at INTEGER NOT NULL, kind INTEGER NOT NULL,
  bytes BLOB, leaf BLOB NOT NULL);
CREATE INDEX journal_fleet ON journal(seq) WHERE run = 0;
CREATE TABLE bodies (seq INTEGER NOT NULL, n INTEGER NOT NULL, bytes BLOB NOT NULL, PRIMARY KEY (seq, n)) WITHOUT ROWID;
CREATE TABLE tree (id INTEGER PRIMARY KEY CHECK (id = 0), size INTEGER NOT NULL, edge BLOB NOT NULL);
INSERT INTO tree VALUES (0, 0, x'0000000000000000');
CREATE TABLE graphs (digest BLOB PRIMARY KEY, json TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE runs (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL, project TEXT NOT NULL, domain TEXT NOT NULL, workflow TEXT NOT NULL,
  graph BLOB NOT NULL, principal TEXT NOT NULL, origin TEXT NOT NULL, idempotency_key TEXT, phase INTEGER NOT NULL,
  paused INTEGER NOT NULL DEFAULT 0, submitted_at INTEGER NOT NULL, finished_at INTEGER, cost INTEGER NOT NULL DEFAULT 0,
  failure TEXT, outputs_seq INTEGER, first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL,
  actions_total INTEGER NOT NULL DEFAULT 0, actions_done INTEGER NOT NULL DEFAULT 0, pruned INTEGER NOT NULL DEFAULT 0);
CREATE UNIQUE INDEX runs_name ON runs(name, project, domain);
CREATE UNIQUE INDEX runs_key ON runs(idempotency_key, project) WHERE idempotency_key IS NOT NULL;
CREATE INDEX runs_open ON runs(id) WHERE finished_at IS NULL;
CREATE TABLE actions (
  run INTEGER NOT NULL, no INTEGER NOT NULL, path TEXT, kind INTEGER, scope INTEGER, node INTEGER, phase INTEGER, site TEXT, host TEXT,
  opened_at INTEGER, started_at INTEGER, finished_at INTEGER, attempt INTEGER, cost INTEGER NOT NULL DEFAULT 0,
  wall_us INTEGER, cpu_us INTEGER, memory_peak INTEGER, bytes_in INTEGER, bytes_out INTEGER, failure TEXT,
  input_seq INTEGER, input_n INTEGER, output_seq INTEGER, reused INTEGER, explanation INTEGER, first_by TEXT, escalated INTEGER,
  PRIMARY KEY (run, no)) WITHOUT ROWID;
CREATE INDEX actions_human ON actions(run, no) WHERE kind = 4 AND finished_at IS NULL;
CREATE TABLE skipped (run INTEGER NOT NULL, path TEXT NOT NULL, kind INTEGER NOT NULL, why INTEGER NOT NULL, at INTEGER NOT NULL,
  PRIMARY KEY (run, path)) WITHOUT ROWID;
CREATE TABLE attempts (
  run INTEGER NOT NULL, no INTEGER NOT NULL, attempt INTEGER NOT NULL, site TEXT, phase INTEGER NOT NULL, finished_at INTEGER NOT NULL,
  cost INTEGER NOT NULL, wall_us INTEGER NOT NULL, failure TEXT, PRIMARY KEY (run, no, attempt)) WITHOUT ROWID;
CREATE TABLE explanations (id INTEGER PRIMARY KEY, json TEXT NOT NULL);
CREATE TABLE resources (kind TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL, at INTEGER NOT NULL, principal TEXT NOT NULL,
  body TEXT, seq INTEGER NOT NULL, PRIMARY KEY (kind, name, version)) WITHOUT ROWID;
CREATE TABLE sites (name TEXT PRIMARY KEY, spec TEXT NOT NULL, cordoned INTEGER NOT NULL, drained INTEGER NOT NULL, healthy INTEGER NOT NULL,
  reason TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE firings (seq INTEGER PRIMARY KEY, name TEXT NOT NULL, due INTEGER NOT NULL, at INTEGER NOT NULL, run INTEGER, missed INTEGER NOT NULL);
CREATE INDEX firings_name ON firings(name, due);
CREATE TABLE recalls (project TEXT NOT NULL, kind INTEGER NOT NULL, key BLOB NOT NULL, seq INTEGER NOT NULL, run INTEGER NOT NULL,
  at INTEGER NOT NULL, locations TEXT NOT NULL, PRIMARY KEY (project, kind, key)) WITHOUT ROWID;
";

/// Opens the file to write, makes its tables when it is new, and reads back what it was asked to be.
pub(crate) fn open_to_write(file: &Path, durability: Durability) -> Result<Connection, JournalError> {
    let mut connection = Connection::open(file)?;
    connection.busy_timeout(std::time::Duration::from_secs(10))?;
    let application: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let is_new = application == 0 && version == 0 && tables == 0;
    if !is_new && application != APPLICATION_ID {
        return Err(JournalError::Foreign(format!("`{}` is another program's database", file.display())));
    }
    if version > VERSION {
        let message =
            format!("`{}` was written by a later version (tables {version}, this program knows {VERSION})", file.display());
        return Err(JournalError::Foreign(message));
    }
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", if durability == Durability::Full { "FULL" } else { "NORMAL" })?;
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "cache_size", -4096)?;
    connection.pragma_update(None, "wal_autocheckpoint", 2000)?;
    // An overwritten log costs half of an appended one, so it is kept at its size.
    connection.pragma_update(None, "journal_size_limit", -1)?;
    read_back(&connection, durability)?;
    if is_new {
        let transaction = connection.transaction()?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
        transaction.execute_batch(TABLES)?;
        transaction.commit()?;
    }
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// A promise of durability is worth what the database says it does, not what it was told.
fn read_back(connection: &Connection, durability: Durability) -> Result<(), JournalError> {
    let mode: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
    let synchronous: i64 = connection.pragma_query_value(None, "synchronous", |row| row.get(0))?;
    let wanted = if durability == Durability::Full { 2 } else { 1 };
    if !mode.eq_ignore_ascii_case("wal") || synchronous != wanted {
        let message =
            format!("asked for WAL and synchronous={wanted}, and the database says {mode} and synchronous={synchronous}");
        return Err(JournalError::Foreign(message));
    }
    Ok(())
}

/// Opens the file to read.
pub(crate) fn open_to_read(file: &Path) -> Result<Connection, JournalError> {
    let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(std::time::Duration::from_secs(10))?;
    connection.pragma_update(None, "query_only", true)?;
    connection.pragma_update(None, "cache_size", -1024)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let connection = open_to_write(&folder.path().join(FILE), Durability::Full).unwrap();
        assert!(read_back(&connection, Durability::Full).is_ok());
        connection.pragma_update(None, "synchronous", "NORMAL").unwrap();
        assert!(read_back(&connection, Durability::Full).is_err());
    }

    #[test]
    fn foreign_and_later_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let other = folder.path().join("other.db");
        Connection::open(&other).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
        assert!(matches!(open_to_write(&other, Durability::Full), Err(JournalError::Foreign(_))));
        let later = folder.path().join("later.db");
        open_to_write(&later, Durability::Full).unwrap().pragma_update(None, "user_version", VERSION + 1).unwrap();
        assert!(matches!(open_to_write(&later, Durability::Full), Err(JournalError::Foreign(_))));
    }
}
