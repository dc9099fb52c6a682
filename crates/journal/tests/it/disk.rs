//! Disks that fail and disks that are full: the writer stops for good and says why, and what was acknowledged is there afterwards.

use journal::{JournalError, Opened, verify};
use model::Seq;
use rusqlite::ffi;

use crate::samples::{Teller, append, options};
use crate::vfs::{Fault, Op, Watch, What};

/// A journal with ten acknowledged batches.
fn ten_batches(folder: &std::path::Path, teller: &mut Teller) -> Opened {
    let opened = journal::open(options(folder)).unwrap();
    for _ in 0..10 {
        append(&opened.writer, teller.entries(5)).unwrap();
    }
    opened
}

/// After a failure: every later batch is refused, nothing more is written, synced or merged, not even at the end.
fn stops_for_good(opened: Opened, watch: &Watch, teller: &mut Teller, reason: &str) {
    assert!(!watch.is_armed(), "the failure that was ordered never came");
    let before = watch.ops().len();
    for _ in 0..3 {
        let refused = append(&opened.writer, teller.entries(1));
        assert!(matches!(&refused, Err(JournalError::Stopped(why)) if why.contains(reason)), "{refused:?}");
    }
    assert!(matches!(opened.writer.keeper().sweep(), Err(JournalError::Stopped(_))));
    drop(opened);
    let after = watch.ops();
    let changes = after[before..].iter().filter(|op| !matches!(op, Op::Mark(_))).count();
    assert_eq!(changes, 0, "after the failure the disk was still written to: {:?}", after[before..].first());
}

/// A start on what is there: at least what was acknowledged, and nothing half.
fn is_whole(folder: &std::path::Path, acknowledged: u64, teller: &mut Teller) {
    let opened = journal::open(options(folder)).unwrap();
    let report = verify(&opened.reader).unwrap();
    assert!(report.holds && report.entries >= acknowledged && report.entries.is_multiple_of(5), "{report:?}");
    teller.at += 1_000;
    append(&opened.writer, teller.entries(5)).unwrap();
    assert!(verify(&opened.reader).unwrap().holds);
}

#[test]
fn a_failed_sync_of_the_log_is_final() {
    let folder = tempfile::tempdir().unwrap();
    let (watch, mut teller) = (Watch::over(folder.path()), Teller::new(41));
    let opened = ten_batches(folder.path(), &mut teller);
    watch.fail_once(Fault { file: "-wal", what: What::Sync, code: ffi::SQLITE_IOERR_FSYNC });
    let failed = append(&opened.writer, teller.entries(5));
    assert!(matches!(&failed, Err(JournalError::Sqlite(_))), "{failed:?}");
    // Readers do not see what was not acknowledged.
    assert_eq!(opened.reader.last().unwrap().1, Seq(50));
    stops_for_good(opened, &watch, &mut teller, "disk I/O error");
    is_whole(folder.path(), 50, &mut teller);
}

/// Merging the log into the file is the sync whose failure SQLite keeps to itself.
#[test]
fn a_failed_sync_of_the_file_is_final_too() {
    let folder = tempfile::tempdir().unwrap();
    let (watch, mut teller) = (Watch::over(folder.path()), Teller::new(42));
    let opened = ten_batches(folder.path(), &mut teller);
    watch.fail_once(Fault { file: "journal.db", what: What::Sync, code: ffi::SQLITE_IOERR_FSYNC });
    let mut acknowledged = 50;
    while watch.is_armed() {
        assert!(acknowledged < 50_000, "the log is never merged");
        match append(&opened.writer, teller.entries(5)) {
            Ok(_) => acknowledged += 5,
            Err(error) => panic!("a commit is not concerned: {error}"),
        }
        // The merge comes after the commit was told of.
        opened.writer.keeper().sweep().ok();
    }
    stops_for_good(opened, &watch, &mut teller, "disk I/O error");
    is_whole(folder.path(), acknowledged, &mut teller);
}

#[test]
fn a_full_disk_is_named_and_loses_nothing() {
    for file in ["-wal", "journal.db"] {
        let folder = tempfile::tempdir().unwrap();
        let (watch, mut teller) = (Watch::over(folder.path()), Teller::new(43));
        let opened = ten_batches(folder.path(), &mut teller);
        watch.fail_once(Fault { file, what: What::Write, code: ffi::SQLITE_FULL });
        let mut acknowledged = 50;
        while watch.is_armed() {
            assert!(acknowledged < 50_000, "nothing is written to {file}");
            match append(&opened.writer, teller.entries(5)) {
                Ok(_) => acknowledged += 5,
                Err(error) => assert!(matches!(error, JournalError::DiskFull), "{error}"),
            }
            opened.writer.keeper().sweep().ok();
        }
        stops_for_good(opened, &watch, &mut teller, "full");
        is_whole(folder.path(), acknowledged, &mut teller);
    }
}
