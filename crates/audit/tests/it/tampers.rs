//! Ten thousand random tampers by somebody who can write every file and, in a quarter of them, has the key as well: each is found as long as
//! it touches what came before a checkpoint that was kept. `TUTTI_TAMPERS`, when the test is built, asks for more.

use audit::export::Trust;
use audit::{Checkpoint, Frontier, entry_hash};
use proptest::prelude::*;

use crate::exports::{Stored, check, export, history, key, tree};

/// Entries of the history.
const ENTRIES: u64 = 30;
/// Entries before the checkpoint that was kept.
const KEPT: usize = 24;
/// Tests that share the work.
const PARTS: u32 = 4;

fn cases() -> u32 {
    option_env!("TUTTI_TAMPERS").and_then(|count| count.parse().ok()).unwrap_or(10_000)
}

/// What is done to the entries.
#[derive(Clone, Debug)]
enum Tamper {
    Flip { entry: usize, byte: usize, bit: u8 },
    Later { entry: usize, by: u64 },
    Refile { entry: usize, run: u64 },
    Drop { entry: usize },
    Swap { one: usize, other: usize },
    Insert { before: usize, like: usize },
    Truncate { to: usize },
    RollBack { to: usize, grow: usize },
}

/// How much whoever tampers can do.
#[derive(Clone, Copy, Debug)]
enum Power {
    /// Changes what is stored and nothing else.
    Writes,
    /// Computes every hash, the root and the head anew.
    Rehashes,
    /// Signs anew as well.
    Signs,
    /// Computes everything anew, and leaves the signature out.
    Unsigned,
}

fn tampers() -> impl Strategy<Value = Tamper> {
    let entry = 0..KEPT;
    prop_oneof![
        (entry.clone(), any::<usize>(), 0u8..8).prop_map(|(entry, byte, bit)| Tamper::Flip { entry, byte, bit }),
        (entry.clone(), 1u64..1_000_000).prop_map(|(entry, by)| Tamper::Later { entry, by }),
        (entry.clone(), 90u64..100).prop_map(|(entry, run)| Tamper::Refile { entry, run }),
        entry.clone().prop_map(|entry| Tamper::Drop { entry }),
        (entry.clone(), entry.clone()).prop_filter("two", |(a, b)| a != b).prop_map(|(one, other)| Tamper::Swap { one, other }),
        // Before the last that was kept: what follows is none of the checkpoint's business.
        (0..KEPT - 1, entry.clone()).prop_map(|(before, like)| Tamper::Insert { before, like }),
        entry.clone().prop_map(|to| Tamper::Truncate { to }),
        (entry, 0usize..12).prop_map(|(to, grow)| Tamper::RollBack { to, grow }),
    ]
}

fn powers() -> impl Strategy<Value = Power> {
    prop_oneof![Just(Power::Writes), Just(Power::Rehashes), Just(Power::Signs), Just(Power::Unsigned)]
}

/// The entries after it, with positions and times made to look right.
fn done(tamper: &Tamper, mut stored: Vec<Stored>) -> Vec<Stored> {
    match *tamper {
        Tamper::Flip { entry, byte, bit } => {
            let place = byte % stored[entry].bytes.len();
            stored[entry].bytes[place] ^= 1 << bit;
        }
        Tamper::Later { entry, by } => stored[entry].at += by,
        Tamper::Refile { entry, run } => stored[entry].run = run,
        Tamper::Drop { entry } => drop(stored.remove(entry)),
        Tamper::Swap { one, other } => stored.swap(one, other),
        Tamper::Insert { before, like } => {
            let more = stored[like].clone();
            stored.insert(before, more);
        }
        Tamper::Truncate { to } => stored.truncate(to),
        Tamper::RollBack { to, grow } => {
            stored.truncate(to);
            // Another history from there on.
            for n in 0..grow {
                let seq = (to + n) as u64 + 1;
                let mut entry = history(seq).pop().unwrap();
                entry.at += 3;
                stored.push(entry);
            }
        }
    }
    if !matches!(tamper, Tamper::Flip { .. } | Tamper::Later { .. } | Tamper::Refile { .. }) {
        let mut times: Vec<u64> = stored.iter().map(|entry| entry.at).collect();
        times.sort_unstable();
        for ((seq, entry), at) in (1..).zip(&mut stored).zip(times) {
            (entry.seq, entry.at) = (seq, at);
        }
    }
    stored
}

fn signed(tree: &Frontier) -> String {
    Checkpoint::of("example.com/log", tree).sign(&key()).to_string()
}

/// What an auditor is shown.
fn shown(before: &[Stored], after: &[Stored], power: Power) -> Vec<String> {
    match power {
        // The head and the leaves are those of before, as far as there are some.
        Power::Writes => {
            let (old, new) = (export(before, Some(signed(&tree(before)))), export(after, None));
            let leaf_of = |line: &str| line.split_once("\"leaf\":\"").unwrap().1[..64].to_owned();
            let mut lines = vec![old[0].clone()];
            lines.extend(
                new.iter()
                    .skip(1)
                    .zip(old.iter().skip(1).map(Some).chain(std::iter::repeat(None)))
                    .map(|(new, old)| old.map_or_else(|| new.clone(), |old| new.replace(&leaf_of(new), &leaf_of(old)))),
            );
            lines
        }
        Power::Rehashes => export(after, Some(signed(&tree(before)))),
        Power::Signs => export(after, Some(signed(&tree(after)))),
        Power::Unsigned => export(after, None),
    }
}

/// Whether what is hashed stayed the same; where it is filed is no part of that.
fn same_leaves(one: &[Stored], other: &[Stored]) -> bool {
    let leaves = |stored: &[Stored]| stored.iter().map(|entry| entry_hash(entry.at, &entry.bytes)).collect::<Vec<_>>();
    leaves(one) == leaves(other)
}

fn part(part: u32) {
    let config = ProptestConfig { cases: cases().div_ceil(PARTS), failure_persistence: None, ..ProptestConfig::default() };
    let seed = [part as u8 + 1; 32];
    let rng = proptest::test_runner::TestRng::from_seed(proptest::test_runner::RngAlgorithm::ChaCha, &seed);
    let mut runner = proptest::test_runner::TestRunner::new_with_rng(config, rng);
    let before = history(ENTRIES);
    let kept = Checkpoint::of("example.com/log", &tree(&before[..KEPT]));
    let trust = Trust { key: Some(key().public().clone()), kept: vec![kept], ..Trust::default() };
    assert!(check(&export(&before, Some(signed(&tree(&before)))), trust.clone()).holds());
    let found = runner.run(&(tampers(), powers()), |(tamper, power)| {
        let after = done(&tamper, before.clone());
        // Putting back what was there is no tamper.
        prop_assume!(after != before);
        let report = check(&shown(&before, &after, power), trust.clone());
        prop_assert!(!report.holds(), "{tamper:?} {power:?}");
        let refiled = matches!(tamper, Tamper::Refile { .. });
        prop_assert!(refiled || !same_leaves(&before, &after));
        // Without anything that was kept a signature that is missing is found all the same.
        if matches!(power, Power::Unsigned) {
            let key = trust.key.clone();
            let alone = check(&shown(&before, &after, power), Trust { key, ..Trust::default() });
            prop_assert!(!alone.holds(), "{:?}", tamper);
        }
        // The history that was kept is not vouched for.
        prop_assert!(refiled || report.sealed == 0, "{tamper:?} {power:?}: {report:?}");
        Ok(())
    });
    found.unwrap();
}

#[test]
fn every_tamper_is_found_1() {
    part(0);
}

#[test]
fn every_tamper_is_found_2() {
    part(1);
}

#[test]
fn every_tamper_is_found_3() {
    part(2);
}

#[test]
fn every_tamper_is_found_4() {
    part(3);
}
