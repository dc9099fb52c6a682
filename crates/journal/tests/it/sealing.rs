//! Values that are sealed under the keys of their runs: what lies in the files, what becomes of it when somebody changes it, and what is left
//! when a key is destroyed.

use std::path::Path;

use engine::Event;
use engine::event::DataErased;
use journal::{Entry, JournalError, Opened, Options, differences, open, verify};
use keyring::{Keyring, Source};
use model::{Phase, RunId, Seq, Timestamp};
use serde_json::json;

use crate::samples::{append, finished, options, secret, submitted};

fn keys(folder: &Path) -> Keyring {
    Keyring::open(&folder.join("keys"), &Source::File(folder.join("keys/key")), None, None).unwrap()
}

fn opened(folder: &Path, keys: Option<Keyring>) -> Opened {
    open(Options { keys, ..options(&folder.join("journal")) }).unwrap()
}

fn entry(at: u64, event: Event) -> Entry {
    Entry { run: event.run().unwrap_or(RunId::FLEET), at: Timestamp(at), event }
}

fn two_runs(opened: &Opened) {
    let mut entries = Vec::new();
    for run in [1, 2] {
        entries.push(entry(2 * run, submitted(run, None)));
        entries.push(entry(2 * run + 1, finished(run, Phase::Succeeded)));
    }
    append(&opened.writer, entries).unwrap();
}

fn lies_open(folder: &Path, text: &str) -> bool {
    let files = std::fs::read_dir(folder.join("journal")).unwrap().map(|file| std::fs::read(file.unwrap().path()).unwrap());
    files.into_iter().any(|file| file.windows(text.len()).any(|window| window == text.as_bytes()))
}

fn bend(folder: &Path, sql: &str) {
    let db = rusqlite::Connection::open(folder.join("journal/journal.db")).unwrap();
    assert!(db.execute(sql, []).unwrap() > 0, "{sql}");
}

#[test]
fn values_are_sealed_and_verified_and_of_no_use_without_their_keys() {
    let folder = tempfile::tempdir().unwrap();
    let keys = keys(folder.path());
    let sealed = opened(folder.path(), Some(keys.clone()));
    two_runs(&sealed);
    assert!(!lies_open(folder.path(), &secret(1)), "nothing of a value lies open");
    assert_eq!(sealed.reader.body(Seq(1), 0).unwrap(), Some(json!({ "patient": secret(1) })));
    let report = verify(&sealed.reader).unwrap();
    assert!(report.holds && report.bodies > 0 && report.sealed == 0, "{report:?}");
    assert_eq!(differences(&sealed.reader).unwrap(), Vec::<String>::new());
    drop(sealed);
    let bare = opened(folder.path(), None);
    assert!(matches!(bare.reader.body(Seq(1), 0), Err(JournalError::Keys(_))));
    let report = verify(&bare.reader).unwrap();
    assert!(report.holds && report.bodies == 0 && report.sealed > 0, "facts are verified without keys: {report:?}");
}

#[test]
fn values_from_before_there_were_keys_stay_readable() {
    let folder = tempfile::tempdir().unwrap();
    two_runs(&opened(folder.path(), None));
    let after = opened(folder.path(), Some(keys(folder.path())));
    append(&after.writer, vec![entry(30, submitted(3, None))]).unwrap();
    for run in [1, 3] {
        let seq = if run == 1 { 1 } else { 5 };
        assert_eq!(after.reader.body(Seq(seq), 0).unwrap(), Some(json!({ "patient": secret(run) })));
    }
    assert!(lies_open(folder.path(), &secret(1)) && !lies_open(folder.path(), &secret(3)));
    assert!(verify(&after.reader).unwrap().holds);
}

#[test]
fn values_that_were_changed_or_moved_are_found() {
    for sql in [
        "UPDATE bodies SET bytes = substr(bytes, 1, length(bytes) - 1) WHERE seq = 1 AND n = 0",
        // The value of one run in the place of another's, with the name of either run in front.
        "UPDATE bodies SET bytes = (SELECT bytes FROM bodies WHERE seq = 3 AND n = 0) WHERE seq = 1 AND n = 0",
        "UPDATE bodies SET bytes = CAST(substr(bytes, 1, 9) || (SELECT substr(bytes, 10) FROM bodies WHERE seq = 3 AND n = 0) AS BLOB)
         WHERE seq = 1 AND n = 0",
        // Something that lies open and that nobody committed to.
        "UPDATE bodies SET bytes = CAST('{\"patient\":\"nobody\"}' AS BLOB) WHERE seq = 1 AND n = 0",
    ] {
        let folder = tempfile::tempdir().unwrap();
        two_runs(&opened(folder.path(), Some(keys(folder.path()))));
        bend(folder.path(), sql);
        let report = verify(&opened(folder.path(), Some(keys(folder.path()))).reader).unwrap();
        assert!(!report.holds && report.problems.iter().any(|problem| problem.seq == Some(Seq(1))), "{sql}: {report:?}");
    }
}

#[test]
fn a_run_that_is_erased_has_no_values_any_more_and_the_log_still_verifies() {
    let folder = tempfile::tempdir().unwrap();
    let keys = keys(folder.path());
    let sealed = opened(folder.path(), Some(keys.clone()));
    two_runs(&sealed);
    keys.destroy_runs(&[1]).unwrap();
    let report = verify(&sealed.reader).unwrap();
    assert!(!report.holds, "no entry says that it was erased: {report:?}");
    let erased = DataErased { runs: vec![RunId(1)], by_subject: false, principal: "tester".into() };
    append(&sealed.writer, vec![entry(40, Event::DataErased(erased))]).unwrap();
    for swept in [false, true] {
        if swept {
            sealed.writer.keeper().sweep().unwrap();
        }
        let report = verify(&sealed.reader).unwrap();
        assert!(report.holds && report.erased > 0, "swept: {swept}: {report:?}");
        assert_eq!(sealed.reader.body(Seq(1), 0).unwrap(), None);
        assert!(sealed.reader.body(Seq(3), 0).unwrap().is_some());
    }
    assert!(sealed.reader.is_erased(RunId(1)).unwrap() && !sealed.reader.is_erased(RunId(2)).unwrap());
    assert_eq!(differences(&sealed.reader).unwrap(), Vec::<String>::new());
}

#[test]
fn whom_a_run_is_about_is_sealed_and_found() {
    let folder = tempfile::tempdir().unwrap();
    let sealed = opened(folder.path(), Some(keys(folder.path())));
    let about = |run: u64, subject: &str| match submitted(run, None) {
        Event::RunSubmitted(mut submitted) => {
            submitted.subject = Some(subject.into());
            entry(run, Event::RunSubmitted(submitted))
        }
        _ => panic!(),
    };
    append(&sealed.writer, vec![about(1, "patient-4711"), about(2, "patient-12"), about(3, "patient-4711")]).unwrap();
    assert_eq!(sealed.reader.about("patient-4711").unwrap(), [RunId(1), RunId(3)]);
    assert_eq!(sealed.reader.about("patient-471").unwrap(), []);
    assert_eq!(sealed.reader.subject(RunId(2)).unwrap().as_deref(), Some("patient-12"));
    assert!(!lies_open(folder.path(), "patient-4711"));
    assert!(verify(&sealed.reader).unwrap().holds);
}
