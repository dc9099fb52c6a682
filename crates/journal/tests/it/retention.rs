//! Retention: values go for good, facts and hashes stay.

use engine::Event;
use engine::event::{BodiesPruned, OutputKept, RecallKey, RecallKind};
use journal::{Entry, Pruned, Reader, differences, verify};
use model::{ActionNo, Digest, Payload, Phase, RunId, Seq, Timestamp};
use serde_json::json;

use crate::samples::{append, finished, options, salt, secret, submitted};

fn entry(at: u64, event: Event) -> Entry {
    Entry { run: event.run().unwrap_or(RunId::FLEET), at: Timestamp(at), event }
}

fn key() -> RecallKey {
    RecallKey { kind: RecallKind::Once, key: Digest::of(b"key"), max_age: None }
}

fn kept(run: u64) -> Event {
    let output = Payload::new(&salt(run), json!({ "kept": secret(run) }));
    Event::OutputKept(OutputKept { run: RunId(run), action: ActionNo(0), key: key(), output, locations: Vec::new() })
}

/// Runs 1 to 4: the first two ended long ago, the third of late, the fourth is open.
fn four_runs(folder: &std::path::Path) -> journal::Opened {
    let opened = journal::open(options(folder)).unwrap();
    let mut entries: Vec<Entry> = (1..=4).map(|run| entry(100 + run, submitted(run, None))).collect();
    entries.push(entry(110, kept(1)));
    entries.push(entry(200, finished(1, Phase::Succeeded)));
    entries.push(entry(201, finished(2, Phase::Succeeded)));
    entries.push(entry(900, finished(3, Phase::Succeeded)));
    append(&opened.writer, entries).unwrap();
    opened
}

fn prune_entry(at: u64) -> Entry {
    entry(at, Event::BodiesPruned(BodiesPruned { before: Timestamp(500), runs: 2, principal: "tester".into() }))
}

/// Which secrets lie in the files, in whatever page.
fn found(folder: &std::path::Path) -> Vec<u64> {
    let files = std::fs::read_dir(folder).unwrap().map(|file| std::fs::read(file.unwrap().path()).unwrap());
    let bytes: Vec<Vec<u8>> = files.collect();
    let contains = |text: &str| bytes.iter().any(|file| file.windows(text.len()).any(|window| window == text.as_bytes()));
    (1..=4).filter(|run| contains(&secret(*run))).collect()
}

fn root(reader: &Reader) -> [u8; 32] {
    reader.tree().unwrap().root()
}

#[test]
fn pruned_values_are_in_no_file_any_more_and_the_log_still_verifies() {
    let folder = tempfile::tempdir().unwrap();
    let opened = four_runs(folder.path());
    assert_eq!(found(folder.path()), [1, 2, 3, 4], "the search finds nothing at all");
    let prunable = opened.reader.prunable(Timestamp(500)).unwrap();
    assert_eq!((prunable.runs, prunable.bodies), (2, 2 * 3 + 1));
    assert_eq!(
        opened.reader.recall("test", &key(), Timestamp(0)).unwrap().map(|row| row.output),
        Some(json!({ "kept": secret(1) }))
    );

    append(&opened.writer, vec![prune_entry(1_000)]).unwrap();
    assert!(opened.reader.is_unswept().unwrap());
    assert!(verify(&opened.reader).unwrap().holds, "a pruning that is under way is no damage");
    assert_eq!(opened.writer.keeper().sweep().unwrap(), prunable);
    assert!(!opened.reader.is_unswept().unwrap());
    let root_before = root(&opened.reader);
    let report = verify(&opened.reader).unwrap();
    assert!(report.holds && report.pruned == 7, "{report:?}");
    assert_eq!(opened.reader.recall("test", &key(), Timestamp(0)).unwrap().map(|row| row.output), None);
    assert_eq!(opened.reader.body(Seq(1), 0).unwrap(), None);
    assert_eq!(opened.reader.body(Seq(3), 0).unwrap(), Some(json!({ "patient": secret(3) })));
    assert_eq!(opened.writer.keeper().sweep().unwrap(), Pruned::default(), "there is nothing left to do");
    opened.writer.stop();
    assert_eq!(found(folder.path()), [3, 4]);

    let opened = journal::open(options(folder.path())).unwrap();
    assert_eq!(root(&opened.reader), root_before);
    assert_eq!(differences(&opened.reader).unwrap(), Vec::<String>::new());
}

#[test]
fn a_running_server_empties_its_log_when_nobody_reads_from_it_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let opened = four_runs(folder.path());
    // Somebody reads, and holds the old pages in place.
    let reading = rusqlite::Connection::open(folder.path().join("journal.db")).unwrap();
    reading.execute_batch("BEGIN; SELECT count(*) FROM bodies").unwrap();
    append(&opened.writer, vec![prune_entry(1_000)]).unwrap();
    opened.writer.keeper().sweep().unwrap();
    assert_eq!(found(folder.path()), [1, 2, 3, 4]);
    drop(reading);
    // The next commits are an occasion.
    append(&opened.writer, vec![entry(1_001, submitted(5, None))]).unwrap();
    append(&opened.writer, vec![entry(1_002, submitted(6, None))]).unwrap();
    assert_eq!(found(folder.path()), [3, 4]);
}

#[test]
fn an_interrupted_sweep_is_finished_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let opened = four_runs(folder.path());
    append(&opened.writer, vec![prune_entry(1_000)]).unwrap();
    opened.writer.stop();
    let opened = journal::open(options(folder.path())).unwrap();
    assert!(opened.reader.is_unswept().unwrap());
    assert_eq!(opened.writer.keeper().sweep().unwrap().runs, 2);
    assert!(verify(&opened.reader).unwrap().holds);
}

#[test]
fn a_run_that_ends_in_the_commit_of_the_pruning_but_after_it_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let opened = journal::open(options(folder.path())).unwrap();
    let entries = [submitted(1, None), submitted(2, None), finished(1, Phase::Succeeded)];
    let mut entries: Vec<Entry> = entries.into_iter().map(|event| entry(100, event)).collect();
    entries.push(prune_entry(100));
    entries.push(entry(100, finished(2, Phase::Succeeded)));
    append(&opened.writer, entries).unwrap();
    assert_eq!(opened.writer.keeper().sweep().unwrap().runs, 1);
    assert_eq!(opened.reader.body(Seq(2), 0).unwrap(), Some(json!({ "patient": secret(2) })));
    assert!(verify(&opened.reader).unwrap().holds);
}

#[test]
fn a_sweep_of_many_runs_goes_in_steps_and_appending_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let opened = journal::open(options(folder.path())).unwrap();
    for first in (0..12_000).step_by(4_000) {
        let runs = first + 1..=first + 4_000;
        append(&opened.writer, runs.clone().map(|run| entry(100 + first, submitted(run, None))).collect()).unwrap();
        append(&opened.writer, runs.map(|run| entry(101 + first, finished(run, Phase::Succeeded))).collect()).unwrap();
    }
    let pruned = BodiesPruned { before: Timestamp(100_000), runs: 12_000, principal: "tester".into() };
    append(&opened.writer, vec![entry(100_000, Event::BodiesPruned(pruned))]).unwrap();
    let keeper = opened.writer.keeper();
    let (swept, appended) = std::thread::scope(|scope| {
        let sweeping = scope.spawn(move || keeper.sweep().unwrap());
        let mut appended = 0;
        while !sweeping.is_finished() {
            appended += 1;
            append(&opened.writer, vec![entry(100_000, submitted(20_000 + appended, None))]).unwrap();
        }
        (sweeping.join().unwrap(), appended)
    });
    assert_eq!((swept.runs, swept.bodies), (12_000, 36_000));
    assert!(appended > 1, "appending waited for the whole sweep");
    assert!(verify(&opened.reader).unwrap().holds);
}
