//! The simulator over a bounded number of seeds, its determinism, what it covers, and that it bites.

use std::collections::BTreeSet;

use sim::{Mutation, Options, Stats, hunt, run, shrink};

/// Seeds of the ordinary tests; `make sim` runs more. Those from the first on take every way within fifty.
const SEEDS: std::ops::Range<u64> = 75..125;
/// Seeds within which every planted bug has to be found.
const HUNT_SEEDS: u64 = 150;

#[test]
fn every_rule_holds_and_every_way_is_taken() {
    let mut stats = Stats::default();
    for seed in SEEDS {
        let outcome = run(seed, Options::default());
        if let Some(broken) = outcome.broken {
            let (operations, small) = shrink(seed, Options::default());
            println!("{}", small.trace.join("\n"));
            panic!("seed {seed} breaks `{}`: {} (and still with {operations} operations)", broken.rule, broken.what);
        }
        stats.add(&outcome.stats);
    }
    println!("{}", stats.table());
    covers(&stats);
}

/// Kinds of events, by the numbers of their variants, that worlds have to see: all of them.
fn kinds() -> BTreeSet<u8> {
    (0..=22).chain([31, 32, 34]).chain(40..=50).collect()
}

/// Ways from state to state that worlds have to take.
const WAYS: &[(&str, &str)] = &[
    ("none", "instant"),
    ("instant", "done"),
    ("none", "recalling"),
    ("recalling", "queued"),
    ("recalling", "done"),
    ("none", "awaiting_twin"),
    ("awaiting_twin", "recalling"),
    ("awaiting_twin", "done"),
    ("none", "queued"),
    ("queued", "running"),
    ("queued", "staging"),
    ("queued", "done"),
    ("staging", "queued"),
    ("staging", "backoff"),
    ("staging", "done"),
    ("running", "done"),
    ("running", "backoff"),
    ("running", "queued"),
    ("running", "stopping"),
    ("stopping", "done"),
    ("stopping", "queued"),
    ("stopping", "backoff"),
    ("backoff", "queued"),
    ("backoff", "running"),
    ("backoff", "done"),
    ("none", "running"),
    ("none", "human"),
    ("human", "done"),
    ("none", "sleeping"),
    ("sleeping", "done"),
    ("none", "awaiting_signal"),
    ("awaiting_signal", "done"),
    ("none", "awaiting_event"),
    ("awaiting_event", "done"),
    ("none", "each"),
    ("each", "done"),
    ("none", "scope"),
    ("scope", "done"),
];

fn covers(stats: &Stats) {
    let unseen: Vec<u8> = kinds().difference(&stats.kinds).copied().collect();
    assert!(unseen.is_empty(), "no world saw the events numbered {unseen:?}");
    let untaken: Vec<_> = WAYS.iter().filter(|way| !stats.ways.contains_key(*way)).collect();
    let other: Vec<_> = stats.ways.keys().filter(|way| !WAYS.contains(way)).collect();
    assert!(untaken.is_empty(), "no action went {untaken:?}; others went {other:?}");
    assert!(stats.faults.len() >= 12, "{:?}", stats.faults);
    for phase in ["succeeded", "failed", "aborted", "timed_out"] {
        assert!(stats.runs.contains_key(phase), "no run {phase}: {:?}", stats.runs);
    }
    assert!(!stats.runs.contains_key("open"));
}

#[test]
fn the_same_seed_gives_the_same_world() {
    for seed in [1, 7, 23] {
        let (first, second) = (run(seed, Options::default()), run(seed, Options { trace: true, ..Options::default() }));
        assert_eq!(first.hash, second.hash);
        assert_eq!(first.stats.happenings, second.stats.happenings);
        assert_ne!(first.hash, run(seed + 100, Options::default()).hash);
    }
}

#[test]
fn every_planted_bug_is_found() {
    let missed: Vec<Mutation> = Mutation::ALL.iter().copied().filter(|bug| hunt(*bug, 0..HUNT_SEEDS).is_none()).collect();
    assert!(missed.is_empty(), "not found within {HUNT_SEEDS} seeds: {missed:?}");
}
