//! Appending: in order, as a whole, without gaps.

use std::sync::mpsc::channel;

use engine::Event;
use journal::{Batch, JournalError, Options};
use model::{RunId, Seq};

use crate::samples::{Teller, append, filled, graph, options};

#[test]
fn entries_have_positions_without_gaps_across_batches_and_starts() {
    let folder = tempfile::tempdir().unwrap();
    let mut teller = Teller::new(1);
    let mut expected = 0;
    for _ in 0..4 {
        let opened = journal::open(options(folder.path())).unwrap();
        for size in [3, 1, 0, 7] {
            let appended = append(&opened.writer, teller.entries(size)).unwrap();
            assert_eq!((appended.first, appended.last), (Seq(expected + 1), Seq(expected + size as u64)));
            expected += size as u64;
        }
        let found: Vec<u64> = opened.reader.entries(Seq(0), 1_000).unwrap().iter().map(|entry| entry.seq.0).collect();
        assert_eq!(found, (1..=expected).collect::<Vec<_>>());
        assert_eq!(opened.reader.tree().unwrap().size(), expected);
    }
}

#[test]
fn what_is_queued_meanwhile_shares_a_commit_and_is_told_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let opened = journal::open(options(folder.path())).unwrap();
    let (sender, receiver) = channel();
    let mut teller = Teller::new(2);
    for number in 0..200 {
        let sender = sender.clone();
        let durable =
            Box::new(move |result: Result<journal::Appended, JournalError>| sender.send((number, result.unwrap())).unwrap());
        opened.writer.append(Batch { entries: teller.entries(2), graphs: vec![(graph().digest(), graph())], durable }).unwrap();
    }
    let told: Vec<_> = (0..200).map(|_| receiver.recv().unwrap()).collect();
    for (number, (told, appended)) in told.iter().enumerate() {
        assert_eq!((*told, appended.first, appended.last), (number, Seq(2 * number as u64 + 1), Seq(2 * number as u64 + 2)));
    }
}

#[test]
fn entries_are_read_until_there_are_so_many_or_so_many_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let opened = journal::open(options(folder.path())).unwrap();
    append(&opened.writer, Teller::new(3).entries(100)).unwrap();
    let (mut after, mut pages, mut found) = (Seq(0), 0, 0);
    loop {
        let page = opened.reader.events_within(after, None, 40, 1_000).unwrap();
        let Some((last, ..)) = page.last() else { break };
        // One entry is smaller than that, and so many as are asked for are larger.
        assert!(page.len() < 40);
        (after, pages, found) = (*last, pages + 1, found + page.len());
    }
    assert!(found == 100 && pages > 3, "{found} entries on {pages} pages");
    assert_eq!(opened.reader.events_within(Seq(0), None, 40, 1).unwrap().len(), 1, "the first, however large");
    assert_eq!(opened.reader.events_within(Seq(0), None, 7, usize::MAX).unwrap().len(), 7);
}

#[test]
fn an_event_comes_back_with_its_values_and_the_salt() {
    let folder = tempfile::tempdir().unwrap();
    let opened = journal::open(options(folder.path())).unwrap();
    let entries = Teller::new(3).entries(300);
    append(&opened.writer, entries.clone()).unwrap();
    let found = opened.reader.events(Seq(0), None, 1_000).unwrap();
    assert_eq!(found.len(), entries.len());
    for (entry, (_, at, run, event)) in entries.iter().zip(&found) {
        assert_eq!((&entry.event, entry.at, entry.run), (event, *at, *run));
        assert_eq!(bodies(&entry.event), bodies(event));
        if let (Event::RunSubmitted(one), Event::RunSubmitted(other)) = (&entry.event, event) {
            assert_eq!(one.salt, other.salt);
        }
    }
    // Of one run alone, and of the fleet alone.
    for run in (0..12).map(RunId) {
        let of_run: Vec<_> = opened.reader.events(Seq(0), Some(run), 1_000).unwrap().into_iter().map(|(seq, ..)| seq).collect();
        let expected: Vec<_> = found.iter().filter(|(_, _, of, _)| *of == run).map(|(seq, ..)| *seq).collect();
        assert_eq!(of_run, expected, "run {run}");
    }
}

/// The values in an event, as the text shows them: equality of payloads looks at commitments alone.
fn bodies(event: &Event) -> String {
    format!("{event:?}")
}

#[test]
fn a_restart_reads_what_is_open_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let opened = filled(folder.path(), 4, 3_000);
    let all = opened.reader.events(Seq(0), None, 10_000).unwrap();
    let is_open = |run: RunId| opened.reader.run(run).unwrap().is_some_and(|row| row.finished_at.is_none());
    let changes = |event: &Event| !engine::codec::UNFOLDED.contains(&engine::codec::kind(&engine::codec::encode(event)));
    let expected: Vec<_> = all
        .iter()
        .filter(|(_, _, run, event)| (*run == RunId::FLEET || is_open(*run)) && changes(event))
        .map(|(seq, at, _, event)| (*seq, *at, bodies(event)))
        .collect();
    let mut found = Vec::new();
    opened.reader.replay(|seq, at, event| found.push((seq, at, bodies(&event)))).unwrap();
    assert!(found.len() < all.len());
    assert_eq!(found, expected);
    assert_eq!(opened.reader.open_graphs().unwrap(), vec![(graph().digest(), graph())]);
}

#[test]
fn one_shard_does_not_open_the_journal_of_another() {
    let folder = tempfile::tempdir().unwrap();
    drop(filled(folder.path(), 5, 10));
    let other = journal::open(Options { shard: 1, ..options(folder.path()) });
    assert!(matches!(other.err(), Some(JournalError::Foreign(_))));
}

#[test]
fn a_tail_that_is_missing_is_noticed_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    drop(filled(folder.path(), 6, 50));
    let database = rusqlite::Connection::open(folder.path().join("journal.db")).unwrap();
    database.execute("DELETE FROM journal WHERE seq = 50", []).unwrap();
    drop(database);
    let error = journal::open(options(folder.path())).err().unwrap();
    assert!(matches!(&error, JournalError::Damaged(text) if text.contains("49") && text.contains("50")), "{error}");
}

#[test]
fn a_stopped_writer_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let opened = journal::open(options(folder.path())).unwrap();
    let keeper = opened.writer.keeper();
    opened.writer.stop();
    assert!(matches!(keeper.sweep(), Err(JournalError::Stopped(_))));
}
