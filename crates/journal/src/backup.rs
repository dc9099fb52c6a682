//! Backup while the journal is in use, and restore.

use std::fs::File;
use std::path::{Path, PathBuf};

use keyring::Keyring;
use rusqlite::{Connection, backup::Backup};

use crate::{JournalError, Reader, Report, schema, verify};

/// Copies the journal, as of its last commit, to a file in the directory `to`, and verifies the copy. Appending goes on meanwhile; the log
/// grows until the copy is made.
pub fn backup(reader: &Reader, to: &Path) -> Result<Report, JournalError> {
    std::fs::create_dir_all(to).map_err(JournalError::io(to))?;
    let file = to.join(schema::FILE);
    if file.exists() {
        return Err(JournalError::Foreign(format!("`{}` exists already; a backup goes to a new directory", file.display())));
    }
    let partial = to.join(".journal.partial");
    remove(&partial)?;
    let copied = reader.with(|db| copy(db, &partial)).and_then(|()| put_in_place(&partial, &file, reader.keys()));
    copied.inspect_err(|_| drop(std::fs::remove_file(&partial)))
}

/// Puts the journal of a backup into an empty directory and verifies it. What does not verify is not left there. Sealed values are verified
/// when there are keys.
pub fn restore(from: &Path, to: &Path, keys: Option<&Keyring>) -> Result<Report, JournalError> {
    let (source, target) = (from.join(schema::FILE), to.join(schema::FILE));
    std::fs::create_dir_all(to).map_err(JournalError::io(to))?;
    let foreign = |entry: &std::fs::DirEntry| entry.file_name() != "keyring";
    if std::fs::read_dir(to).map_err(JournalError::io(to))?.flatten().any(|entry| foreign(&entry)) {
        return Err(JournalError::Foreign(format!("`{}` is not empty; restore into an empty directory", to.display())));
    }
    // A copy of the files of a running server is not a backup: its newest entries are in the log beside.
    if source.with_extension("db-wal").metadata().is_ok_and(|log| log.len() > 0) {
        let message =
            format!("`{}` was not closed: a log lies beside it; make a backup of it instead of copying it", source.display());
        return Err(JournalError::Foreign(message));
    }
    let partial = to.join(".journal.partial");
    let copied = std::fs::copy(&source, &partial).map_err(JournalError::io(&source));
    let restored = copied.and_then(|_| put_in_place(&partial, &target, keys));
    restored.inspect_err(|_| drop(std::fs::remove_file(&partial)))
}

/// In one go, so that what is appended meanwhile does not make it begin anew.
fn copy(source: &Connection, partial: &Path) -> Result<(), JournalError> {
    let mut target = Connection::open(partial)?;
    Backup::new(source, &mut target)?.run_to_completion(i32::MAX, std::time::Duration::ZERO, None)?;
    // One file, without a log beside it.
    let mode: String = target.pragma_update_and_check(None, "journal_mode", "DELETE", |row| row.get(0))?;
    if !mode.eq_ignore_ascii_case("delete") {
        return Err(JournalError::Foreign(format!("the backup cannot be closed: its journal mode is {mode}")));
    }
    target.close().map_err(|(_, error)| error.into())
}

/// Syncs and verifies a copy, and only then gives it its name.
fn put_in_place(partial: &PathBuf, file: &Path, keys: Option<&Keyring>) -> Result<Report, JournalError> {
    File::open(partial).and_then(|file| file.sync_all()).map_err(JournalError::io(partial))?;
    schema::check_file(partial)?;
    let report = verify(&Reader::new(partial.clone(), keys.cloned()))?;
    if let Some(problem) = report.problems.first() {
        return Err(JournalError::Damaged(problem.to_string()));
    }
    std::fs::rename(partial, file).map_err(JournalError::io(file))?;
    let folder = file.parent().unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(JournalError::io(folder))?;
    Ok(report)
}

fn remove(file: &Path) -> Result<(), JournalError> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(JournalError::io(file)(error)),
        _ => Ok(()),
    }
}
