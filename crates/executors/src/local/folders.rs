//! The folders of attempts: who is there, who may go.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use model::AttemptKey;
use model::limits::ATTEMPT_LOGS_KEPT_DAYS;

use super::process::owner_of;
use crate::record::CompletionRecord;
use crate::{Owned, OwnedPhase, shim};

/// What becomes of the orders of an attempt that was released: no longer needed, and the sign that it was.
const RELEASED: &str = "released.json";

fn attempts(folder: &Path) -> io::Result<Vec<AttemptKey>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        found.extend(entry?.file_name().to_str().and_then(|name| name.parse::<AttemptKey>().ok()));
    }
    found.sort_unstable();
    Ok(found)
}

/// Where a folder goes that is about to be removed. Nothing takes it for an attempt.
pub(super) fn aside(folder: &Path) -> PathBuf {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    folder.with_file_name(format!(".{name}.removed"))
}

/// The attempts that were not released.
pub(super) fn owned(folder: &Path) -> io::Result<Vec<Owned>> {
    let mut owned = Vec::new();
    for key in attempts(folder)? {
        let folder = folder.join(key.to_string());
        if is_released(&folder) {
            continue;
        }
        let phase = match owner_of(&folder) {
            _ if CompletionRecord::read(&folder).is_some() => OwnedPhase::Ended,
            Some((pid, started)) if shim::start_time(pid) == Some(started) => OwnedPhase::Running,
            _ => OwnedPhase::Begun,
        };
        owned.push(Owned { key, phase });
    }
    Ok(owned)
}

/// Whether its outcome was collected, and only logs may be left.
pub(super) fn is_released(folder: &Path) -> bool {
    folder.join(RELEASED).exists()
}

/// Removes what an attempt left, logs apart. One that left no logs leaves nothing.
pub(super) fn release(folder: &Path) {
    if std::fs::rename(folder.join(shim::SPEC), folder.join(RELEASED)).is_err() {
        // Its orders are gone: half prepared, or the process removed them. Where the folder is gone too, there is nothing to mark.
        let _ = std::fs::File::create(folder.join(RELEASED));
    }
    let rest = if shim::logs_are_empty(folder) { folder.to_owned() } else { folder.join("work") };
    if let Err(error) = std::fs::remove_dir_all(&rest)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(folder = %rest.display(), %error, "what an attempt left could not be removed");
    }
}

/// Removes what a killed server did not come to remove, and logs that are older than anybody wants them.
pub(super) fn sweep(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(|name| name.starts_with('.') && name.ends_with(".removed")) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    let oldest = SystemTime::now() - Duration::from_secs(u64::from(ATTEMPT_LOGS_KEPT_DAYS) * 86_400);
    for key in attempts(folder).unwrap_or_default() {
        let folder = folder.join(key.to_string());
        let released = std::fs::metadata(folder.join(RELEASED)).and_then(|file| file.modified());
        if released.is_ok_and(|at| at < oldest) {
            let _ = std::fs::remove_dir_all(&folder);
        }
    }
}
