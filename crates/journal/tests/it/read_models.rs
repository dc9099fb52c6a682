//! Read models say what the journal says, however the facts were cut into commits.

use journal::{differences, rebuild};
use proptest::prelude::*;

use crate::samples::{Teller, append, options};

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn it_does_not_matter_how_facts_are_cut_into_commits(seed in any::<u64>(), sizes in prop::collection::vec(1usize..40, 1..20)) {
        let folder = tempfile::tempdir().unwrap();
        let opened = journal::open(options(folder.path())).unwrap();
        let mut teller = Teller::new(seed);
        for size in sizes {
            append(&opened.writer, teller.entries(size)).unwrap();
        }
        // Made anew, all facts are folded in one go.
        prop_assert_eq!(differences(&opened.reader).unwrap(), Vec::<String>::new());
        opened.writer.keeper().sweep().unwrap();
        prop_assert_eq!(differences(&opened.reader).unwrap(), Vec::<String>::new());
    }
}

#[test]
fn damaged_read_models_are_found_and_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let opened = crate::samples::filled(folder.path(), 9, 400);
    opened.writer.stop();
    let database = rusqlite::Connection::open(folder.path().join("journal.db")).unwrap();
    database
        .execute_batch("UPDATE runs SET cost = cost + 1 WHERE id = 1; DELETE FROM actions WHERE run = 2; DELETE FROM sites")
        .unwrap();
    drop(database);
    let differ = differences(&opened.reader).unwrap();
    for table in ["runs", "actions", "sites"] {
        assert!(differ.iter().any(|line| line.starts_with(table)), "{table}: {differ:?}");
    }
    rebuild(&options(folder.path())).unwrap();
    assert_eq!(differences(&opened.reader).unwrap(), Vec::<String>::new());
    assert!(journal::open(options(folder.path())).is_ok());
}
