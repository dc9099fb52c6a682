//! The folders of attempts: who is there, who may go.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use model::AttemptKey;
use model::limits::ATTEMPT_LOGS_KEPT_DAYS;

use super::process::owner_of;
use crate::record::CompletionRecord;
use crate::{Owned, OwnedPhase, shim};

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

/// The attempts that were not released: all that have a folder among the `attempts/`.
pub(super) fn owned(folder: &Path) -> io::Result<Vec<Owned>> {
    let mut owned = Vec::new();
    for key in attempts(folder)? {
        let folder = folder.join(key.to_string());
        let phase = match owner_of(&folder) {
            _ if CompletionRecord::read(&folder).is_some() => OwnedPhase::Ended,
            Some((pid, started)) if shim::start_time(pid) == Some(started) => OwnedPhase::Running,
            _ => OwnedPhase::Begun,
        };
        owned.push(Owned { key, phase });
    }
    Ok(owned)
}

/// Removes what an attempt left. Its logs move to where nobody looks for attempts; one without logs leaves nothing.
pub(super) fn release(folder: &Path, logs: &Path) {
    let kept = !shim::logs_are_empty(folder) || folder.join(crate::sandbox::egress::RECORD).exists();
    let removed = remove(&if kept { folder.join("work") } else { folder.to_owned() });
    shim::remove_control(folder);
    // Logs of another attempt of that name are of a journal that was replaced by a backup.
    let moved = if kept { removed.and_then(|()| remove(logs)).and_then(|()| std::fs::rename(folder, logs)) } else { removed };
    match moved {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(folder = %folder.display(), %error, "what an attempt left could not be removed");
        }
        _ => {}
    }
}

/// Removes a folder with all that is in it, also when a process took its own permissions away. What is not there needs no removing.
fn remove(folder: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            permit(folder);
            std::fs::remove_dir_all(folder)
        }
        other => other,
    }
}

fn permit(folder: &Path) {
    // Links are not followed: only what is a folder itself is changed.
    if !std::fs::symlink_metadata(folder).is_ok_and(|found| found.is_dir()) {
        return;
    }
    let _ = std::fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o700));
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        permit(&entry.path());
    }
}

/// Removes what a killed server did not come to remove, and logs that are older than anybody wants them.
pub(super) fn sweep(attempts_folder: &Path, logs: &Path) {
    for entry in std::fs::read_dir(attempts_folder).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(|name| name.starts_with('.') && name.ends_with(".removed")) {
            let _ = remove(&entry.path());
        }
    }
    let oldest = SystemTime::now() - Duration::from_secs(u64::from(ATTEMPT_LOGS_KEPT_DAYS) * 86_400);
    for key in attempts(logs).unwrap_or_default() {
        let folder = logs.join(key.to_string());
        // The last thing that happened in it is that the work folder was removed.
        if std::fs::metadata(&folder).and_then(|found| found.modified()).is_ok_and(|at| at < oldest) {
            let _ = remove(&folder);
        }
    }
}

/// Removes homes of processes that are gone: each holds a lock on its own for as long as it lives.
pub(super) fn sweep_homes(homes: &Path) {
    for entry in std::fs::read_dir(homes).into_iter().flatten().flatten() {
        let Ok(home) = std::fs::File::open(entry.path()) else { continue };
        if rustix::fs::flock(&home, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_ok() {
            let _ = remove(&entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_logs_and_what_was_being_removed_go() {
        let folder = tempfile::tempdir().unwrap();
        let (live, logs) = (folder.path().join("attempts"), folder.path().join("logs"));
        for made in ["attempts/.tutti-1-1-1.removed/x", "attempts/tutti-1-1-2", "logs/tutti-1-1-3", "logs/tutti-1-1-4"] {
            std::fs::create_dir_all(folder.path().join(made)).unwrap();
        }
        let long_ago = SystemTime::now() - Duration::from_secs(u64::from(ATTEMPT_LOGS_KEPT_DAYS + 1) * 86_400);
        std::fs::File::open(logs.join("tutti-1-1-3")).unwrap().set_modified(long_ago).unwrap();
        sweep(&live, &logs);
        let left = |folder: &Path| std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
        assert_eq!((left(&live), left(&logs)), (vec!["tutti-1-1-2".into()], vec!["tutti-1-1-4".into()]));
    }
}
