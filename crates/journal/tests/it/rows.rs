//! Rows that something has bent: a disk, an editor, an intruder. Whoever reads is told, or reads something else, and nothing dies of it; the
//! verification finds every change to what counts.
//!
//! Everything comes from a seed: `TUTTI_FUZZ_SEED=7`; `TUTTI_FUZZ_ROUNDS=1000` goes on for longer.

use journal::{ActionFilter, RunFilter, verify};
use model::{RunId, Seq, Timestamp};
use rusqlite::{Connection, params};

use crate::samples::{Dice, filled, options};

fn setting(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// A table, a column that can be bent, and whether the verification covers it.
const COLUMNS: [(&str, &str, bool); 12] = [
    ("journal", "bytes", true),
    ("journal", "leaf", true),
    ("journal", "run", true),
    ("journal", "kind", true),
    ("journal", "at", true),
    ("bodies", "bytes", true),
    // Its digest is of what it says: a space more changes nothing.
    ("graphs", "json", false),
    ("tree", "edge", true),
    ("runs", "phase", false),
    ("actions", "failure", false),
    ("explanations", "json", false),
    ("recalls", "locations", false),
];

/// Bends one value of a column, and says whether it is another now.
fn bend(database: &Connection, table: &str, column: &str, dice: &mut Dice) -> bool {
    let count: u64 = database.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap();
    if count == 0 {
        return false;
    }
    let pick = format!("SELECT {column} FROM {table} ORDER BY 1 LIMIT 1 OFFSET {}", dice.below(count));
    let old: rusqlite::types::Value = database.query_row(&pick, [], |row| row.get(0)).unwrap();
    let mut bytes = match &old {
        rusqlite::types::Value::Blob(bytes) => bytes.clone(),
        rusqlite::types::Value::Text(text) => text.clone().into_bytes(),
        rusqlite::types::Value::Integer(_) => Vec::new(),
        _ => return false,
    };
    let at = dice.below(bytes.len().max(1) as u64) as usize;
    match dice.below(4) {
        _ if bytes.is_empty() => {}
        0 => bytes[at] ^= 1 << dice.below(8),
        1 => bytes.truncate(at),
        2 => bytes.insert(at, dice.next() as u8),
        _ => bytes = (0..dice.below(200)).map(|_| dice.next() as u8).collect(),
    }
    let new: rusqlite::types::Value = match &old {
        rusqlite::types::Value::Blob(_) => bytes.into(),
        rusqlite::types::Value::Text(_) => String::from_utf8_lossy(&bytes).into_owned().into(),
        _ => [0, 1, -1, i64::MAX, dice.next() as i64][dice.below(5) as usize].into(),
    };
    let changed = new != old;
    let sql = format!("UPDATE {table} SET {column} = ?1 WHERE {column} = ?2");
    database.execute(&sql, params![new, old]).unwrap();
    changed
}

#[test]
fn bent_rows_are_told_of_and_kill_nobody() {
    let seed = setting("TUTTI_FUZZ_SEED", 31);
    println!("TUTTI_FUZZ_SEED={seed}");
    let folder = tempfile::tempdir().unwrap();
    filled(&folder.path().join("sound"), seed, 400).writer.stop();
    let mut dice = Dice::new(seed);
    let (mut refused, mut found) = (0, 0);
    for round in 0..setting("TUTTI_FUZZ_ROUNDS", 48) {
        let (table, column, covered) = COLUMNS[(round % COLUMNS.len() as u64) as usize];
        let copy = folder.path().join(format!("{round}"));
        std::fs::create_dir(&copy).unwrap();
        std::fs::copy(folder.path().join("sound/journal.db"), copy.join("journal.db")).unwrap();
        let changed = {
            let database = Connection::open(copy.join("journal.db")).unwrap();
            bend(&database, table, column, &mut dice)
        };
        let Ok(opened) = journal::open(options(&copy)) else {
            refused += 1;
            continue;
        };
        let reader = &opened.reader;
        // Each may fail or answer; none may panic.
        let replayed = reader.replay(|_, _, _| {});
        let read = [
            reader.runs(&RunFilter { limit: 1_000, ..RunFilter::default() }).is_ok(),
            reader.events(Seq(0), None, 1_000).is_ok(),
            reader.entries(Seq(0), 1_000).is_ok(),
            reader.open_graphs().is_ok(),
            reader.sites().is_ok(),
            reader.stats().is_ok(),
            reader.references(&mut || {}).is_ok(),
            reader.prunable(Timestamp(u64::MAX >> 1)).is_ok(),
        ];
        for run in 1..200 {
            let rows = reader.actions(RunId(run), &ActionFilter { limit: 1_000, ..ActionFilter::default() }).unwrap_or_default();
            rows.iter().filter_map(|row| row.explanation).for_each(|id| drop(reader.explanation(id)));
        }
        for seq in 1..=400 {
            let _ = reader.body(Seq(seq), 0);
        }
        let holds = verify(reader).is_ok_and(|report| report.holds);
        assert!(!(covered && changed && holds), "round {round}: a change to {table}.{column} was not found");
        found += u64::from(!holds);
        refused += u64::from(replayed.is_err() || read.contains(&false));
        opened.writer.stop();
        std::fs::remove_dir_all(&copy).unwrap();
    }
    assert!(refused > 0 && found > 10, "{refused} were refused, {found} found: nothing was tried");
}
