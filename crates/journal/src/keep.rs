//! Keeping a journal: backup, restore, retention, verification.

use std::path::Path;

use audit::Frontier;
use model::{Seq, Timestamp};
use rusqlite::{Connection, backup::Backup, params};

use crate::{JournalError, Pruned, Reader, schema};

/// Copies the database to a new file, page by page, while it is in use.
pub(crate) fn copy_to(connection: &Connection, file: &Path) -> Result<(), JournalError> {
    if file.exists() {
        return Err(JournalError::Foreign(format!("`{}` exists already; a backup goes to a new file", file.display())));
    }
    let mut target = Connection::open(file)?;
    Backup::new(connection, &mut target)?.run_to_completion(1_000, std::time::Duration::ZERO, None)?;
    target.pragma_update(None, "journal_mode", "DELETE")?;
    drop(target);
    let file = std::fs::File::open(file).map_err(JournalError::io(file))?;
    file.sync_all().map_err(JournalError::io("backup"))
}

/// Copies the journal in `from` to the directory `to` while it is in use.
pub fn backup(writer: &crate::Writer, to: &Path) -> Result<(), JournalError> {
    std::fs::create_dir_all(to).map_err(JournalError::io(to))?;
    writer.backup(&to.join(schema::FILE))
}

/// Puts the journal of a backup into an empty directory and verifies it.
pub fn restore(from: &Path, to: &Path) -> Result<Report, JournalError> {
    let (source, target) = (from.join(schema::FILE), to.join(schema::FILE));
    if target.exists() {
        return Err(JournalError::Foreign(format!("`{}` exists already; restore into an empty directory", target.display())));
    }
    std::fs::create_dir_all(to).map_err(JournalError::io(to))?;
    std::fs::copy(&source, &target).map_err(JournalError::io(&source))?;
    let file = std::fs::File::open(&target).map_err(JournalError::io(&target))?;
    file.sync_all().map_err(JournalError::io(&target))?;
    let report = verify(&Reader::new(target))?;
    match &report.problem {
        Some(problem) => Err(JournalError::Damaged(problem.clone())),
        None => Ok(report),
    }
}

/// Destroys the bodies of runs that ended before a time, and what projections repeat of them.
pub(crate) fn prune(connection: &mut Connection, before: Timestamp, dry_run: bool) -> Result<Pruned, JournalError> {
    let transaction = connection.transaction()?;
    let chosen = "finished_at IS NOT NULL AND finished_at < ?1 AND pruned = 0";
    let bodies = format!(
        "FROM bodies WHERE EXISTS (SELECT 1 FROM journal j JOIN runs r ON r.id = j.run WHERE j.seq = bodies.seq AND {chosen})"
    );
    let runs =
        transaction.query_row(&format!("SELECT count(*) FROM runs WHERE {chosen}"), params![before.0], |row| row.get(0))?;
    let (count, bytes) = transaction.query_row(
        &format!("SELECT count(*), coalesce(sum(length(bytes)), 0) {bodies}"),
        params![before.0],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let pruned = Pruned { runs, bodies: count, bytes };
    if !dry_run {
        transaction.execute(&format!("DELETE {bodies}"), params![before.0])?;
        let kept = format!("DELETE FROM recalls WHERE run IN (SELECT id FROM runs WHERE {chosen})");
        transaction.execute(&kept, params![before.0])?;
        transaction.execute(&format!("UPDATE runs SET pruned = 1 WHERE {chosen}"), params![before.0])?;
        transaction.commit()?;
    }
    Ok(pruned)
}

/// What a verification found.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// Entries looked at.
    pub entries: u64,
    /// Entries whose bytes were pruned, of which only the hash could be looked at.
    pub pruned: u64,
    /// The root of the tree, in hexadecimal digits.
    pub root: String,
    /// What is wrong; none when nothing is.
    pub problem: Option<String>,
}

/// Computes every hash again and compares.
pub fn verify(reader: &Reader) -> Result<Report, JournalError> {
    let edge = reader.tree()?;
    let mut frontier = Frontier::new();
    let mut report = Report { entries: 0, pruned: 0, root: String::new(), problem: None };
    let mut after = Seq(0);
    // What is appended while this runs is not part of what is verified.
    while after.0 < edge.size() {
        let limit = usize::try_from(edge.size() - after.0).unwrap_or(usize::MAX).min(10_000);
        let entries = reader.entries(after, limit)?;
        if entries.is_empty() {
            break;
        }
        for entry in entries {
            if entry.seq.0 != after.0 + 1 {
                report.problem.get_or_insert(format!("after entry {after} comes entry {}", entry.seq));
            }
            after = entry.seq;
            report.entries += 1;
            match &entry.bytes {
                Some(bytes) if audit::leaf_hash(bytes) != entry.leaf => {
                    report.problem.get_or_insert(format!("entry {after} is not what was hashed"));
                }
                Some(_) => {}
                None => report.pruned += 1,
            }
            frontier.append(entry.leaf);
        }
    }
    if frontier != edge {
        report.problem.get_or_insert(format!("the tree over {} entries is not the one that was stored", frontier.size()));
    }
    report.root = model::Digest(frontier.root()).hex();
    Ok(report)
}
