//! Backup of a whole data directory, and restore.

use std::path::{Path, PathBuf};

use controlplane::{FaultKind, restore};

use crate::{apply, open, start};

const WORKFLOW: &str = "workflow: t/w\nnodes:\n  a: {use: core/noop, with: {n: 1}}\n";

/// A backup of a server that has done something and has an artifact.
async fn backed_up(folder: &Path) -> PathBuf {
    let (data, to) = (folder.join("data"), folder.join("backup"));
    let control = open(&data).await;
    apply(&control, WORKFLOW.into()).await;
    let run = start(&control).await;
    control.end_of(run, std::time::Duration::from_secs(20)).await.unwrap().unwrap();
    control.sites().store("local").unwrap().put_bytes(b"an artifact of some bytes").unwrap();
    let summary = control.backup(to.clone(), false).await.unwrap();
    assert!(summary.entries > 3 && summary.files > 0, "{summary:?}");
    let again = control.backup(to.clone(), false).await.unwrap_err();
    assert_eq!(again.kind, FaultKind::Conflict);
    control.stop().await;
    to
}

fn find(folder: &Path, bytes: &[u8]) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?;
    entries.flatten().map(|entry| entry.path()).find_map(|path| match path.is_dir() {
        true => find(&path, bytes),
        false => (std::fs::read(&path).ok()? == bytes).then_some(path),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_restored_and_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let backup = backed_up(folder.path()).await;
    let target = folder.path().join("restored");
    let summary = restore(&backup, &target).unwrap();
    let control = open(&target).await;
    assert!(control.reader().stats().unwrap().entries > summary.entries, "a new epoch has begun");
    assert_eq!(control.reader().run_named("w-1").unwrap().unwrap().phase, model::Phase::Succeeded);
    let digest = model::Digest::of(b"an artifact of some bytes");
    assert!(control.sites().store("local").unwrap().has(&digest));
    start(&control).await;
    control.stop().await;
    let taken = folder.path().join("taken");
    std::fs::create_dir(&taken).unwrap();
    std::fs::write(taken.join("notes.txt"), "mine").unwrap();
    let refused = restore(&backup, &taken).unwrap_err();
    assert_eq!(refused.kind, FaultKind::Conflict, "{refused}");
    assert!(!taken.join("journal").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_not_whole_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let backup = backed_up(folder.path()).await;
    let target = |name: &str| folder.path().join(name);
    // An artifact that rotted: same length, another byte.
    let artifact = find(&backup, b"an artifact of some bytes").unwrap();
    let bend = |bytes: &[u8]| {
        std::fs::remove_file(&artifact).unwrap();
        std::fs::write(&artifact, bytes).unwrap();
    };
    bend(b"an artifact of some bytez");
    let rotten = restore(&backup, &target("rotten")).unwrap_err();
    assert!(rotten.detail.contains("not what its name says"), "{rotten}");
    bend(b"an artifact");
    let short = restore(&backup, &target("short")).unwrap_err();
    assert!(short.detail.contains("bytes beside the journal"), "{short}");
    bend(b"an artifact of some bytes");
    restore(&backup, &target("sound")).unwrap();
    // Interrupted before its end.
    std::fs::remove_file(backup.join("backup.json")).unwrap();
    let unfinished = restore(&backup, &target("unfinished")).unwrap_err();
    assert!(unfinished.detail.contains("no backup that was finished"), "{unfinished}");
    // A data directory is no backup.
    assert!(restore(&folder.path().join("data"), &target("data")).is_err());
}
