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

/// The file of an artifact: it is sealed, and named by the digest of its content.
fn find(folder: &Path, digest: &str) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?;
    entries.flatten().map(|entry| entry.path()).find_map(|path| match path.is_dir() {
        true => find(&path, digest),
        false => digest.ends_with(path.file_name()?.to_str()?).then_some(path),
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
    let artifact = find(&backup.join("sites"), &model::Digest::of(b"an artifact of some bytes").hex()).unwrap();
    let sound = std::fs::read(&artifact).unwrap();
    assert!(!sound.windows(8).any(|part| part == b"artifact"), "it is sealed");
    let bend = |bytes: &[u8]| {
        std::fs::remove_file(&artifact).unwrap();
        std::fs::write(&artifact, bytes).unwrap();
    };
    let mut other = sound.clone();
    *other.last_mut().unwrap() ^= 1;
    bend(&other);
    let rotten = restore(&backup, &target("rotten")).unwrap_err();
    assert!(rotten.detail.contains("not what its name says"), "{rotten}");
    bend(&sound[..11]);
    let short = restore(&backup, &target("short")).unwrap_err();
    assert!(short.detail.contains("bytes beside the journal"), "{short}");
    bend(&sound);
    restore(&backup, &target("sound")).unwrap();
    // Interrupted before its end.
    std::fs::remove_file(backup.join("backup.json")).unwrap();
    let unfinished = restore(&backup, &target("unfinished")).unwrap_err();
    assert!(unfinished.detail.contains("no backup that was finished"), "{unfinished}");
    // A data directory is no backup.
    assert!(restore(&folder.path().join("data"), &target("data")).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_keys_are_told_at_the_start_and_nothing_is_made_in_their_place() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    open(&data).await.stop().await;
    let options = || crate::options(&data);
    for lost in ["keys/key", "keys"] {
        let (here, away) = (data.join(lost), folder.path().join("away"));
        std::fs::rename(&here, &away).unwrap();
        let refused = controlplane::ControlPlane::open(options()).await.err().unwrap();
        assert_eq!(refused.kind, FaultKind::Keys, "{refused}");
        assert!(!here.exists(), "{lost}");
        std::fs::rename(&away, &here).unwrap();
    }
    let off = controlplane::Options { keys: controlplane::Sealing::Off, ..options() };
    assert_eq!(controlplane::ControlPlane::open(off).await.err().unwrap().kind, FaultKind::Keys);
    // The key moves to another file: the new one is used from then on, and the old one opens nothing any more.
    let elsewhere = keyring::Source::File(folder.path().join("elsewhere"));
    keyring::KeyFile::open(&folder.path().join("elsewhere"), true).unwrap();
    let moved = controlplane::Options { keys: controlplane::Sealing::Under(elsewhere), ..options() };
    controlplane::ControlPlane::open(moved).await.unwrap().stop().await;
    std::fs::remove_file(data.join("keys/key")).unwrap();
    let control = open(&data).await;
    assert!(control.key_status().await.unwrap().unwrap().service.contains("elsewhere"));
    let summary = control.backup(folder.path().join("backup"), false).await.unwrap();
    assert_eq!(summary.keys, controlplane::KeysKept::Wrapped);
    control.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_takes_what_nothing_refers_to_and_leaves_what_runs_and_caches_name() {
    let folder = tempfile::tempdir().unwrap();
    let control = open(&folder.path().join("data")).await;
    let store = control.sites().store("local").unwrap();
    let put = |text: &str| store.put_bytes(text.as_bytes()).unwrap().digest;
    let (named, never) = (put("a run names it"), put("nobody ever names it"));
    let file = format!("{{\"$artifact\": {{\"digest\": \"{named}\", \"size\": 14, \"kind\": \"file\", \"name\": \"f\"}}}}");
    apply(&control, format!("workflow: t/w\nnodes:\n  a: {{use: core/noop, cache: true, with: {{file: {file}}}}}\n")).await;
    let run = start(&control).await;
    control.end_of(run, std::time::Duration::from_secs(20)).await.unwrap().unwrap();
    let none = control.sweep_artifacts(false).await.unwrap();
    assert_eq!(none, artifacts::Swept::default(), "all of it was stored a moment ago");
    let now = std::time::Duration::ZERO;
    assert_eq!(control.sweep_older(now, true).await.unwrap().set_aside, 1);
    assert_eq!(control.sweep_older(now, false).await.unwrap().set_aside, 1);
    assert_eq!(control.sweep_older(now, false).await.unwrap().removed, 1);
    assert!(store.has(&named) && !store.has(&never));
    let gone = store.open(&never).map(drop);
    assert!(matches!(gone, Err(artifacts::StoreError::Erased(_))), "its key is gone as well: {gone:?}");
    assert_eq!(store.put_bytes(b"nobody ever names it").unwrap().digest, never);
    assert!(store.open(&never).is_ok());
    assert_eq!(control.sweep_older(now, false).await.unwrap().set_aside, 1);
    assert_eq!(control.sweep_older(now, false).await.unwrap().removed, 1);
    // Pruned, the run names nothing; the document still does.
    control.prune(model::Timestamp(u64::MAX >> 1), false, "ada").await.unwrap();
    assert_eq!(control.sweep_older(now, false).await.unwrap(), artifacts::Swept::default());
    assert!(store.has(&named));
    control.stop().await;
}
