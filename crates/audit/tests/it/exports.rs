//! Exports: a good one holds, and whatever is done to one is found.

use audit::export::{Check, Head, Line, Report, Trust};
use audit::{Checkpoint, Frontier, KeyKind, SecretKey, entry_hash};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

/// An entry as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stored {
    pub(crate) seq: u64,
    pub(crate) run: u64,
    pub(crate) at: u64,
    pub(crate) bytes: Vec<u8>,
}

/// A number in CBOR.
fn number(value: u64) -> Vec<u8> {
    match u8::try_from(value) {
        Ok(small @ 0..=23) => vec![small],
        Ok(byte) => vec![0x18, byte],
        _ => [[0x1b].as_slice(), &value.to_be_bytes()].concat(),
    }
}

/// The bytes of an event of a kind, with a number beside its run.
fn event(kind: u64, run: u64, more: u64) -> Vec<u8> {
    [vec![0x82], number(kind), vec![0x81, 0x82], number(run), number(more)].concat()
}

/// Runs that begin, go on and end, beside one another, and facts that belong to none.
pub(crate) fn history(entries: u64) -> Vec<Stored> {
    let mut stored = Vec::new();
    for seq in 1..=entries {
        let (run, step) = ((seq - 1) / 6 + 1, (seq - 1) % 6);
        let (run, bytes) = match step {
            0 => (run, event(0, run, seq)),
            5 => (run, event(15, run, seq)),
            3 => (0, event(46, run, seq)),
            _ => (run, event(6, run, seq)),
        };
        stored.push(Stored { seq, run, at: 1_000_000 + seq * 7, bytes });
    }
    stored
}

pub(crate) fn tree(stored: &[Stored]) -> Frontier {
    let mut tree = Frontier::new();
    stored.iter().for_each(|entry| tree.append(entry_hash(entry.at, &entry.bytes)));
    tree
}

pub(crate) fn key() -> SecretKey {
    SecretKey::from_seed("example.com/log", KeyKind::Log, [3; 32]).unwrap()
}

fn hex(hash: [u8; 32]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The export of what is stored, with the hashes that whoever stores it computes, and a checkpoint.
pub(crate) fn export(stored: &[Stored], checkpoint: Option<String>) -> Vec<String> {
    let tree = tree(stored);
    let head = Head { size: tree.size(), root: hex(tree.root()), key: Some(key().public().to_string()), checkpoint };
    let mut lines = vec![serde_json::to_string(&head).unwrap()];
    lines.extend(stored.iter().map(|entry| {
        let (leaf, bytes) = (hex(entry_hash(entry.at, &entry.bytes)).into(), STANDARD.encode(&entry.bytes).into());
        serde_json::to_string(&Line { seq: entry.seq, run: entry.run, at_us: entry.at, leaf, bytes }).unwrap()
    }));
    lines
}

pub(crate) fn check(lines: &[String], trust: Trust) -> Report {
    let mut check = Check::new(trust);
    lines.iter().for_each(|line| check.line(line));
    check.finish()
}

fn signed(stored: &[Stored]) -> String {
    Checkpoint::of("example.com/log", &tree(stored)).sign(&key()).to_string()
}

fn trusted() -> Trust {
    Trust { key: Some(key().public().clone()), ..Trust::default() }
}

#[test]
fn a_good_export_holds() {
    for entries in [0, 1, 2, 5, 6, 64, 100] {
        let stored = history(entries);
        let report = check(&export(&stored, Some(signed(&stored))), trusted());
        assert!(report.holds(), "{report:?}");
        assert_eq!((report.entries, report.sealed, report.root), (entries, entries, hex(tree(&stored).root())));
        assert_eq!(report.runs, entries.div_ceil(6));
    }
    // A checkpoint over fewer entries, as of a server under load.
    let stored = history(50);
    let report = check(&export(&stored, Some(signed(&stored[..20]))), trusted());
    assert!(report.holds() && report.sealed == 20, "{report:?}");
    // Without a key that is trusted it holds, and nothing is sealed.
    let report = check(&export(&stored, Some(signed(&stored))), Trust::default());
    assert!(report.holds() && report.sealed == 0, "{report:?}");
}

/// Whoever rewrites the entries leaves the checkpoint out: what was asked for is not there, and that is told as what it is.
#[test]
fn a_key_or_a_policy_is_given_and_nothing_is_signed() {
    let stored = history(40);
    let policy = |text: &str| Trust { policy: Some(audit::policy::Policy::parse(text).unwrap()), ..Trust::default() };
    let log = format!("log {}\nquorum none\n", key().public());
    for trust in [trusted(), policy(&log), policy("quorum none\n"), Trust { key: trusted().key, ..policy(&log) }] {
        let report = check(&export(&stored, None), trust.clone());
        assert!(report.problems.iter().any(|problem| problem.what.contains("nothing is signed")), "{report:?}");
        assert_eq!(report.sealed, 0);
        assert!(check(&export(&stored, Some(signed(&stored))), trust).holds());
    }
    // Who kept a checkpoint has something signed; who trusts nothing asks for nothing.
    let kept = vec![Checkpoint::of("example.com/log", &tree(&stored[..20]))];
    let report = check(&export(&stored, None), Trust { kept: kept.clone(), ..trusted() });
    assert!(report.holds() && report.sealed == 20, "{report:?}");
    assert!(!check(&export(&stored, None), Trust { kept, ..policy(&log) }).holds());
    assert!(check(&export(&stored, None), Trust::default()).holds());
}

#[test]
fn what_was_rewritten_is_found_by_what_was_kept() {
    let stored = history(40);
    let kept = Checkpoint::of("example.com/log", &tree(&stored[..20]));
    let trust = || Trust { kept: vec![kept.clone()], ..trusted() };
    assert!(check(&export(&stored, Some(signed(&stored))), trust()).holds());
    // Whoever has the key signs anew what was changed.
    let mut changed = stored.clone();
    changed[4].at += 1;
    let report = check(&export(&changed, Some(signed(&changed))), trust());
    assert!(report.problems.iter().any(|problem| problem.what.contains("entries before it were changed")), "{report:?}");
    let report = check(&export(&stored[..19], Some(signed(&stored[..19]))), trust());
    assert!(report.problems.iter().any(|problem| problem.what.contains("entries are gone")), "{report:?}");
    // After what was kept, only the server's word counts.
    let mut later = stored.clone();
    later[30].at += 1;
    assert!(check(&export(&later, Some(signed(&later))), trust()).holds());
}

#[test]
fn structure_is_checked_where_hashes_are_right() {
    let good = history(30);
    let cases: [(&str, Box<dyn Fn(&mut Vec<Stored>)>); 7] = [
        ("filed under run", Box::new(|all| all[1].run = 2)),
        ("has not begun", Box::new(|all| all[1].bytes = event(6, 9, 1))),
        ("ends a second time", Box::new(|all| all[8].bytes = event(15, 1, 1))),
        ("begins after run", Box::new(|all| all[12].bytes = event(0, 1, 1))),
        ("not those of an event", Box::new(|all| all[2].bytes.push(0))),
        ("is older than", Box::new(|all| all[2].at = 1)),
        ("it comes after entry", Box::new(|all| all[2].seq = 9)),
    ];
    for (expected, spoil) in cases {
        let mut bad = good.clone();
        spoil(&mut bad);
        let report = check(&export(&bad, Some(signed(&bad))), trusted());
        assert!(
            report.problems.iter().any(|problem| problem.level == 2 && problem.what.contains(expected)),
            "{expected}: {report:?}"
        );
    }
}

proptest! {
    #[test]
    fn any_lines_are_checked_without_a_panic(lines in prop::collection::vec("[\\[\\]{}\":,a-z0-9=+]{0,80}", 0..6), bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let _ = check(&lines, Trust::default());
        let head = r#"{"size":1,"root":""}"#.to_owned();
        let entry = format!(r#"{{"seq":1,"run":0,"at_us":0,"leaf":"","bytes":"{}"}}"#, STANDARD.encode(&bytes));
        prop_assert!(!check(&[head, entry], Trust::default()).holds());
        let _ = audit::shape::shape(&bytes);
    }
}
