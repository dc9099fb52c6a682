//! Verification: whatever was changed is found, and named.

use journal::{Entry, Report, verify};
use model::Seq;
use rusqlite::Connection;

use crate::samples::{Dice, append, filled, finished, options, submitted};

/// Bends a copy of a journal and verifies it.
fn bent(seed: u64, sql: &str) -> Report {
    let folder = tempfile::tempdir().unwrap();
    let opened = filled(folder.path(), seed, 500);
    assert!(verify(&opened.reader).unwrap().holds);
    opened.writer.stop();
    let database = Connection::open(folder.path().join("journal.db")).unwrap();
    let changed: i64 = {
        database.execute_batch(sql).unwrap();
        database.query_row("SELECT total_changes()", [], |row| row.get(0)).unwrap()
    };
    assert!(changed > 0, "`{sql}` changed nothing");
    verify(&opened.reader).unwrap()
}

fn names(report: &Report, seq: u64) -> bool {
    report.problems.iter().any(|problem| problem.seq == Some(Seq(seq)))
}

#[test]
fn every_column_of_an_entry_is_covered() {
    for (sql, seq) in [
        ("UPDATE journal SET bytes = substr(bytes, 1, length(bytes) - 1) || x'7f' WHERE seq = 123", 123),
        ("UPDATE journal SET at = at + 1 WHERE seq = 500", 500),
        ("UPDATE journal SET at = at - 1000000 WHERE seq = 250", 250),
        ("UPDATE journal SET run = run + 1 WHERE seq = 200", 200),
        ("UPDATE journal SET kind = kind + 1 WHERE seq = 201", 201),
        ("UPDATE journal SET shard = 3 WHERE seq = 202", 202),
        ("UPDATE journal SET leaf = zeroblob(32) WHERE seq = 203", 203),
    ] {
        let report = bent(21, sql);
        assert!(!report.holds && names(&report, seq), "{sql}: {report:?}");
    }
}

#[test]
fn entries_that_are_missing_moved_or_new_are_found() {
    let report = bent(22, "DELETE FROM journal WHERE seq = 300");
    assert!(names(&report, 301), "{report:?}");
    let report = bent(22, "DELETE FROM journal WHERE seq > 490");
    assert!(
        report.problems.iter().any(|problem| problem.what.contains("490 entries") && problem.what.contains("500 leaves")),
        "{report:?}"
    );
    let report = bent(22, "INSERT INTO journal SELECT 501, shard, run, at, kind, bytes, leaf FROM journal WHERE seq = 500");
    assert!(!report.holds, "{report:?}");
    let swap = "UPDATE journal SET seq = 1000 WHERE seq = 7; UPDATE journal SET seq = 7 WHERE seq = 8; UPDATE journal SET seq = 8 WHERE seq = 1000";
    assert!(!bent(22, swap).holds);
    assert!(!bent(22, "UPDATE tree SET size = 499").holds);
    assert!(!bent(22, "UPDATE tree SET edge = zeroblob(8), size = 0").holds);
}

#[test]
fn an_entry_forged_with_its_leaf_still_does_not_fit_the_tree() {
    let folder = tempfile::tempdir().unwrap();
    let opened = filled(folder.path(), 23, 300);
    let entry = opened.reader.entries(Seq(149), 1).unwrap().remove(0);
    let leaf = audit::entry_hash(entry.at.0 - 1, &entry.bytes);
    opened.writer.stop();
    let database = Connection::open(folder.path().join("journal.db")).unwrap();
    database.execute("UPDATE journal SET at = at - 1, leaf = ?1 WHERE seq = 150", [leaf]).unwrap();
    let report = verify(&opened.reader).unwrap();
    assert!(!report.holds && report.problems.iter().any(|problem| problem.what.contains("tree")), "{report:?}");
}

#[test]
fn values_are_covered_by_their_commitments() {
    let some_body = "(SELECT max(seq) FROM bodies WHERE n = 0)";
    for sql in [
        format!("UPDATE bodies SET bytes = bytes || ' ' WHERE n = 0 AND seq = {some_body}"),
        format!("UPDATE bodies SET bytes = x'31' WHERE n = 0 AND seq = {some_body}"),
        format!("DELETE FROM bodies WHERE n = 0 AND seq = {some_body}"),
        format!("INSERT INTO bodies SELECT seq, 9, bytes FROM bodies WHERE n = 0 AND seq = {some_body}"),
        "INSERT INTO bodies VALUES (501, 0, x'31')".into(),
        "DELETE FROM bodies WHERE n = -1 AND seq = (SELECT max(first_seq) FROM runs WHERE finished_at IS NULL)".into(),
        "UPDATE bodies SET bytes = zeroblob(32) WHERE n = -1 AND seq = (SELECT max(first_seq) FROM runs WHERE finished_at IS NULL)".into(),
        "UPDATE graphs SET json = replace(json, 'n0', 'n9')".into(),
        "DELETE FROM graphs".into(),
    ] {
        let report = bent(24, &sql);
        assert!(!report.holds, "{sql}: {report:?}");
    }
}

#[test]
fn to_claim_that_a_value_was_pruned_takes_an_entry_that_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let opened = filled(folder.path(), 25, 200);
    let ended = [submitted(9_000, None), finished(9_000, model::Phase::Succeeded)];
    let at = opened.reader.last().unwrap().2;
    append(&opened.writer, ended.into_iter().map(|event| Entry { run: model::RunId(9_000), at, event }).collect()).unwrap();
    assert!(verify(&opened.reader).unwrap().holds);
    opened.writer.stop();
    let database = Connection::open(folder.path().join("journal.db")).unwrap();
    let claim =
        "DELETE FROM bodies WHERE seq IN (SELECT seq FROM journal WHERE run = 9000); UPDATE runs SET pruned = 1 WHERE id = 9000";
    database.execute_batch(claim).unwrap();
    let report = verify(&opened.reader).unwrap();
    assert!(names(&report, 201) && report.problems[0].what.contains("no entry says that it was pruned"), "{report:?}");
}

/// Flips bits anywhere in the file. Either something is found, or everything that counts is as it was.
#[test]
fn a_flipped_bit_is_found_or_does_not_matter() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("journal.db");
    let opened = filled(folder.path(), 26, 400);
    let entries = |reader: &journal::Reader| {
        let entries = reader.entries(Seq(0), 1_000)?.into_iter().map(|entry| (entry.seq, entry.at, entry.bytes));
        let values = reader.events(Seq(0), None, 1_000)?.into_iter().map(|(.., event)| format!("{event:?}"));
        Ok::<_, journal::JournalError>((entries.collect::<Vec<_>>(), values.collect::<Vec<_>>()))
    };
    let expected = entries(&opened.reader).unwrap();
    opened.writer.stop();
    let sound = std::fs::read(&file).unwrap();
    let (mut dice, mut found, mut harmless) = (Dice::new(27), 0, 0);
    for _ in 0..300 {
        let mut bytes = sound.clone();
        let at = dice.below(bytes.len() as u64) as usize;
        bytes[at] ^= 1 << dice.below(8);
        let bent = tempfile::tempdir().unwrap();
        std::fs::write(bent.path().join("journal.db"), &bytes).unwrap();
        let opened = match journal::open(options(bent.path())) {
            Ok(opened) => opened,
            Err(_) => {
                found += 1;
                continue;
            }
        };
        match verify(&opened.reader) {
            Ok(report) if report.holds => {
                // A leaf of another type has the same bytes; whoever reads it in full is told.
                let Ok(read) = entries(&opened.reader) else {
                    found += 1;
                    continue;
                };
                harmless += 1;
                assert_eq!(read, expected, "byte {at}: not found, and it matters");
            }
            _ => found += 1,
        }
    }
    println!("300 bits flipped: {found} found, {harmless} without harm to entries and values");
    assert!(found > 50);
}

/// Whatever stands in the rows, of whatever type: an error or an answer, never a panic, and nothing is taken for sound.
#[test]
fn whatever_stands_in_the_rows_nothing_panics() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path(), 28, 120).writer.stop();
    let sound = std::fs::read(folder.path().join("journal.db")).unwrap();
    let mut dice = Dice::new(29);
    let columns = ["seq", "shard", "run", "at", "kind", "bytes", "leaf"];
    for case in 0..250 {
        let bent = tempfile::tempdir().unwrap();
        std::fs::write(bent.path().join("journal.db"), &sound).unwrap();
        let database = Connection::open(bent.path().join("journal.db")).unwrap();
        for _ in 0..1 + dice.below(4) {
            bend_a_row(&database, &columns, &mut dice);
        }
        drop(database);
        let Ok(opened) = journal::open(options(bent.path())) else { continue };
        let _ = opened.reader.events(Seq(0), None, 1_000);
        let _ = opened.reader.replay(|_, _, _| {});
        let _ = opened.reader.entries(Seq(0), 1_000);
        let _ = opened.reader.runs(&journal::RunFilter { limit: 100, ..Default::default() });
        let _ = journal::differences(&opened.reader);
        let report = verify(&opened.reader);
        assert!(report.is_err() || report.is_ok_and(|report| !report.holds), "case {case}: bent rows are taken for sound");
    }
}

fn bend_a_row(database: &Connection, columns: &[&str], dice: &mut Dice) {
    let seq = 1 + dice.below(120);
    let bytes: Vec<u8> =
        database.query_row("SELECT bytes FROM journal WHERE seq = ?1", [seq], |row| row.get(0)).unwrap_or_default();
    let column = columns[dice.below(columns.len() as u64) as usize];
    let value: rusqlite::types::Value = match dice.below(6) {
        0 => (dice.next() as i64).into(),
        1 => (-1 - dice.below(9) as i64).into(),
        2 => "a text".to_owned().into(),
        3 => 0.5.into(),
        // Bytes that look like an entry almost to the end.
        _ => {
            let mut bent = bytes;
            match bent.len() as u64 {
                0 => bent.push(0x9f),
                length => bent[dice.below(length) as usize] = dice.next() as u8,
            }
            bent.push(dice.next() as u8);
            bent.into()
        }
    };
    // What a column cannot take leaves the row as it is; another change has to show then.
    let _ = database.execute(&format!("UPDATE journal SET {column} = ?1 WHERE seq = ?2"), rusqlite::params![value, seq]);
    database.execute("UPDATE journal SET leaf = x'00' WHERE seq = 60", []).unwrap();
}
