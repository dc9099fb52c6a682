//! Backup while the journal is in use, and restore.

use std::sync::atomic::{AtomicBool, Ordering};

use journal::{JournalError, backup, differences, restore, verify};
use model::Seq;

use crate::samples::{Teller, append, filled, options};

#[test]
fn a_backup_made_while_facts_are_appended_is_a_journal_as_of_one_commit() {
    let folder = tempfile::tempdir().unwrap();
    let opened = filled(&folder.path().join("live"), 11, 3_000);
    let stop = AtomicBool::new(false);
    let before = opened.reader.tree().unwrap().size();
    let (reports, appended) = std::thread::scope(|scope| {
        let appending = scope.spawn(|| {
            // Batches of four: a copy in the middle of one would show.
            let (mut teller, mut count) = (Teller::new(12), 0);
            teller.at += 1_000_000;
            teller.next();
            while !stop.load(Ordering::Relaxed) {
                let entries = (0..4).map(|_| fleet_fact(&mut teller)).collect();
                append(&opened.writer, entries).unwrap();
                count += 4;
            }
            count
        });
        // Also when what follows panics.
        let _stop = StopAtEnd(&stop);
        let reports: Vec<_> =
            (0..3).map(|number| backup(&opened.reader, &folder.path().join(format!("backup-{number}"))).unwrap()).collect();
        stop.store(true, Ordering::Relaxed);
        (reports, appending.join().unwrap())
    });
    assert!(appended > 0);
    let live = opened.reader.entries(Seq(0), 1_000_000).unwrap();
    for (number, report) in reports.iter().enumerate() {
        assert!(report.holds && report.entries >= before && (report.entries - before).is_multiple_of(4), "{report:?}");
        let target = folder.path().join(format!("restored-{number}"));
        assert_eq!(&restore(&folder.path().join(format!("backup-{number}")), &target, None).unwrap(), report);
        let restored = journal::open(options(&target)).unwrap();
        let entries = restored.reader.entries(Seq(0), 1_000_000).unwrap();
        assert_eq!(entries.len() as u64, report.entries);
        assert!(entries.iter().zip(&live).all(|(one, other)| one.bytes == other.bytes && one.leaf == other.leaf));
        assert_eq!(differences(&restored.reader).unwrap(), Vec::<String>::new());
        // It goes on from there.
        let mut teller = Teller::new(13);
        teller.at += 9_000_000_000;
        append(&restored.writer, vec![fleet_fact(&mut teller)]).unwrap();
        assert!(verify(&restored.reader).unwrap().holds);
    }
}

struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn fleet_fact(teller: &mut Teller) -> journal::Entry {
    use engine::event::SiteHealthChanged;
    teller.at += 1;
    let reason = format!("probe {}", teller.at);
    let event = engine::Event::SiteHealthChanged(SiteHealthChanged { site: "a".into(), healthy: true, reason });
    journal::Entry { run: model::RunId::FLEET, at: model::Timestamp(teller.at), event }
}

#[test]
fn a_backup_goes_to_a_new_directory_and_a_restore_to_an_empty_one() {
    let folder = tempfile::tempdir().unwrap();
    let opened = filled(&folder.path().join("live"), 14, 100);
    let (copy, target) = (folder.path().join("copy"), folder.path().join("target"));
    backup(&opened.reader, &copy).unwrap();
    let again = backup(&opened.reader, &copy);
    assert!(matches!(again, Err(JournalError::Foreign(_))), "{again:?}");
    std::fs::create_dir(&target).unwrap();
    std::fs::write(target.join("notes.txt"), "mine").unwrap();
    assert!(matches!(restore(&copy, &target, None), Err(JournalError::Foreign(_))));
    assert_eq!(std::fs::read_dir(&target).unwrap().count(), 1, "nothing was put beside what was there");
    std::fs::remove_file(target.join("notes.txt")).unwrap();
    restore(&copy, &target, None).unwrap();
}

#[test]
fn what_does_not_verify_is_not_restored() {
    let folder = tempfile::tempdir().unwrap();
    let opened = filled(&folder.path().join("live"), 15, 400);
    let bend = |name: &str, sql: &str| {
        let (copy, target) = (folder.path().join(name), folder.path().join(format!("{name}-target")));
        backup(&opened.reader, &copy).unwrap();
        rusqlite::Connection::open(copy.join("journal.db")).unwrap().execute_batch(sql).unwrap();
        let restored = restore(&copy, &target, None);
        assert!(matches!(restored, Err(JournalError::Damaged(_))), "{name}: {restored:?}");
        assert_eq!(std::fs::read_dir(&target).unwrap().count(), 0, "{name}: something was left there");
    };
    bend("bytes", "UPDATE journal SET bytes = x'00' WHERE seq = 77");
    bend("body", "UPDATE bodies SET bytes = x'7b7d' WHERE n = 0 AND seq = (SELECT max(seq) FROM bodies)");
    bend("tail", "DELETE FROM journal WHERE seq = 400");
    // A file that was cut off.
    let copy = folder.path().join("cut");
    backup(&opened.reader, &copy).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(copy.join("journal.db")).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    assert!(restore(&copy, &folder.path().join("cut-target"), None).is_err());
    // A copy of a journal that is open is no backup.
    let live = restore(&folder.path().join("live"), &folder.path().join("live-target"), None);
    assert!(matches!(&live, Err(JournalError::Foreign(text)) if text.contains("log")), "{live:?}");
    let nothing = restore(folder.path(), &folder.path().join("nothing-target"), None);
    assert!(matches!(nothing, Err(JournalError::Io { .. })), "{nothing:?}");
}
