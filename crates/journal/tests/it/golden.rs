//! A journal of an earlier version is opened, read, verified and gone on with.
//!
//! `fixtures/journal-v1.db` is a file as the version with tables 1 wrote it. Once released such a file is **never made anew**: a later version
//! brings its own, and these tests go over all of them. (Until the first release, `cargo test -p journal --test it -- --ignored write_fixture`
//! makes it anew when tables 1 change.)

use std::path::{Path, PathBuf};

use engine::{Event, codec};
use journal::{Entry, differences, verify};
use model::{RunId, Seq, Timestamp};

use crate::samples::{Teller, append, filled, options};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixtures").join(name)
}

fn golden_events() -> Vec<Event> {
    events_of(include_str!("../../../engine/tests/golden/v1.journal"))
}

fn events_of(text: &str) -> Vec<Event> {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| codec::decode(&line.as_bytes().chunks(2).map(byte).collect::<Vec<_>>()).unwrap()).collect()
}

/// The verifier, which does not know events, finds the run that each belongs to.
#[test]
fn the_shape_of_every_golden_entry_names_its_run() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../engine/tests/golden");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let texts = files.filter(|path| path.extension().is_some_and(|extension| extension == "journal"));
    let events: Vec<Event> = texts.flat_map(|path| events_of(&std::fs::read_to_string(path).unwrap())).collect();
    assert!(events.len() > 30);
    for event in events {
        let shape = audit::shape::shape(&codec::encode(&event)).unwrap();
        assert_eq!(shape.run, event.run().map_or(0, |run| run.0), "{event:?}");
    }
}

/// Every entry that was ever written goes into the tables, whatever figures are in it.
#[test]
fn golden_entries_can_be_stored_and_projected() {
    let folder = tempfile::tempdir().unwrap();
    let opened = journal::open(options(folder.path())).unwrap();
    let mut runs = 0;
    for (event, at) in golden_events().into_iter().zip(1_000..) {
        // The same run is submitted three times, from each origin; a journal takes a run once.
        if matches!(event, Event::RunSubmitted(_)) {
            runs += 1;
            if runs > 1 {
                continue;
            }
        }
        append(&opened.writer, vec![Entry { run: event.run().unwrap_or(RunId::FLEET), at: Timestamp(at), event }]).unwrap();
    }
    assert_eq!(differences(&opened.reader).unwrap(), Vec::<String>::new());
    let row = opened.reader.run(RunId(7)).unwrap().unwrap();
    assert_eq!((row.name.as_str(), row.project.as_str()), ("nightly-7", "bank"));
}

/// A printed row without the field `retry_at` of a failure, whose text is printed as bytes.
fn without_retry_at(row: &str) -> String {
    let field: Vec<String> = b",\"retry_at\":".iter().map(u8::to_string).collect();
    let Some((before, after)) = row.split_once(&format!(", {}", field.join(", "))) else { return row.to_owned() };
    let numbers = after.strip_prefix(", ").into_iter().flat_map(|rest| rest.split(", "));
    let digits: usize = numbers.take_while(|byte| matches!(byte.parse(), Ok(48..=57))).map(|byte| byte.len() + 2).sum();
    format!("{before}{}", &after[digits..])
}

#[test]
fn a_file_of_version_1_is_opened_read_verified_and_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(fixture("journal-v1.db"), folder.path().join("journal.db")).unwrap();
    let opened = journal::open(options(folder.path())).unwrap();
    let report = verify(&opened.reader).unwrap();
    assert!(report.holds, "{report:?}");
    assert_eq!(report.entries, 120);
    assert_eq!(report.root, include_str!("fixtures/journal-v1.root").trim());
    assert_eq!(opened.reader.events(Seq(0), None, 1_000).unwrap().len(), 120);
    // When a failed attempt is repeated is told since; rows that are there already do not say it.
    let found = differences(&opened.reader).unwrap();
    let without_times = |what: &str| -> Vec<String> {
        let mut rows: Vec<String> = found.iter().filter_map(|row| row.strip_prefix(what)).map(without_retry_at).collect();
        rows.sort();
        rows
    };
    assert_eq!(without_times("actions, too much: "), without_times("actions, missing: "));
    assert!(found.iter().all(|row| row.starts_with("actions, ")), "{found:?}");
    let mut teller = Teller::new(99);
    teller.at += 1_000_000_000;
    let first = teller.next();
    append(&opened.writer, vec![first]).unwrap();
    assert!(verify(&opened.reader).unwrap().holds);
}

#[test]
#[ignore = "makes the fixture of the present version anew"]
fn write_fixture() {
    let folder = tempfile::tempdir().unwrap();
    let opened = filled(folder.path(), 31, 120);
    let root = verify(&opened.reader).unwrap().root;
    drop(opened);
    // Without free pages it is smaller.
    rusqlite::Connection::open(folder.path().join("journal.db"))
        .unwrap()
        .execute_batch("PRAGMA journal_mode = DELETE; VACUUM")
        .unwrap();
    std::fs::create_dir_all(fixture("")).unwrap();
    std::fs::copy(folder.path().join("journal.db"), fixture("journal-v1.db")).unwrap();
    std::fs::write(fixture("journal-v1.root"), root + "\n").unwrap();
}
