//! The file: pragmas that are read back, tables, versions.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, TransactionBehavior, config::DbConfig, params};

use crate::JournalError;

/// The name of the file in the directory.
pub(crate) const FILE: &str = "journal.db";
/// "Tutt" in ASCII: a file of ours.
const APPLICATION_ID: i64 = 0x5475_7474;
/// How long somebody else's lock is waited for.
pub(crate) const BUSY_WAIT: std::time::Duration = std::time::Duration::from_secs(10);

/// What an acknowledgement means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// It survives a power cut: SQLite syncs the log at every commit.
    #[default]
    Full,
    /// It survives the death of the process, and may be lost by a power cut.
    Relaxed,
}

/// Bytes of a page of a new file.
const PAGE_BYTES: i64 = 2_048;

/// What each version of the tables changes, oldest first; the number of the last is the version that this program writes.
const MIGRATIONS: &[&str] = &[
    include_str!("tables/v1.sql"),
    include_str!("tables/v2.sql"),
    include_str!("tables/v3.sql"),
    include_str!("tables/v4.sql"),
    include_str!("tables/v5.sql"),
    include_str!("tables/v6.sql"),
    include_str!("tables/v7.sql"),
    include_str!("tables/v8.sql"),
    include_str!("tables/v9.sql"),
    include_str!("tables/v10.sql"),
];

/// Opens the file to write, brings its tables to this version, and reads back what it was asked to be.
pub(crate) fn open_to_write(file: &Path, durability: Durability) -> Result<Connection, JournalError> {
    let mut connection = Connection::open(file)?;
    connection.busy_timeout(BUSY_WAIT)?;
    check_origin(&connection, file)?;
    // Of a new file, before it is in WAL. A commit writes whole pages and changes little on each of a few.
    connection.pragma_update(None, "page_size", PAGE_BYTES)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", if durability == Durability::Full { "FULL" } else { "NORMAL" })?;
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "checkpoint_fullfsync", true)?;
    connection.pragma_update(None, "cache_size", -4096)?;
    // The writer merges the log itself: SQLite's own way does not tell when a sync fails.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    // An overwritten log costs half of an appended one, so it is kept at its size.
    connection.pragma_update(None, "journal_size_limit", -1)?;
    // What is destroyed is overwritten, so that no free page keeps a value.
    connection.pragma_update(None, "secure_delete", true)?;
    read_back(&connection, durability)?;
    migrate(&mut connection)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// Refuses what is not a journal, or one of a later version. Nothing is written before.
fn check_origin(connection: &Connection, file: &Path) -> Result<(), JournalError> {
    let application: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let (is_new, file) = (application == 0 && version == 0 && tables == 0, file.display());
    if !is_new && application != APPLICATION_ID {
        return Err(JournalError::Foreign(format!("`{file}` is another program's database")));
    }
    let known = MIGRATIONS.len();
    if usize::try_from(version).is_err() || usize::try_from(version).is_ok_and(|version| version > known) {
        let message = format!("`{file}` was written by a later version (tables {version}, this program knows {known})");
        return Err(JournalError::Foreign(message));
    }
    Ok(())
}

/// Brings the tables to the last version, each step whole or not at all.
fn migrate(connection: &mut Connection) -> Result<(), JournalError> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    for (version, tables) in (1..).zip(MIGRATIONS).skip(usize::try_from(version).unwrap_or_default()) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(tables)?;
        let noted = "INSERT INTO migrations VALUES (?1, CAST(unixepoch('subsec') * 1000000 AS INTEGER), ?2)";
        transaction.execute(noted, params![version, env!("CARGO_PKG_VERSION")])?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()?;
    }
    Ok(())
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

/// Refuses a file to read that is not a journal, or one of a later version.
pub(crate) fn check_file(file: &Path) -> Result<(), JournalError> {
    let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    check_origin(&connection, file)?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    match version {
        0 => Err(JournalError::Foreign(format!("`{}` is empty", file.display()))),
        _ => Ok(()),
    }
}

/// Opens the file to read.
pub(crate) fn open_to_read(file: &Path) -> Result<Connection, JournalError> {
    let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY_WAIT)?;
    connection.pragma_update(None, "query_only", true)?;
    // Only the writer merges the log into the file, and only while it trusts the disk.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
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
        let next = MIGRATIONS.len() + 1;
        open_to_write(&later, Durability::Full).unwrap().pragma_update(None, "user_version", next).unwrap();
        let before = std::fs::read(&later).unwrap();
        assert!(matches!(open_to_write(&later, Durability::Full), Err(JournalError::Foreign(_))));
        assert_eq!(std::fs::read(&later).unwrap(), before, "a refused file is left as it is");
    }

    #[test]
    fn each_version_of_the_tables_is_noted_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(FILE);
        for _ in 0..2 {
            let connection = open_to_write(&file, Durability::Full).unwrap();
            let noted: Vec<(i64, String)> = {
                let mut rows = connection.prepare("SELECT version, program FROM migrations WHERE at > 1700000000000000").unwrap();
                let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
                rows.collect::<Result<_, _>>().unwrap()
            };
            let expected: Vec<_> =
                (1..=MIGRATIONS.len() as i64).map(|version| (version, env!("CARGO_PKG_VERSION").into())).collect();
            assert_eq!(noted, expected);
        }
    }
}
