//! What has to hold after any number of crashes, read from the journal and from what the processes did.

use std::collections::{BTreeMap, BTreeSet};

use engine::Event;
use journal::{Durability, Options, differences, verify};
use model::{Phase, Seq};

use crate::server::Place;
use crate::story::Acknowledged;

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) runs: usize,
    pub(crate) entries: u64,
    pub(crate) attempts: usize,
    pub(crate) processes: usize,
    pub(crate) lost: usize,
    pub(crate) duplicated: usize,
}

/// The journal of a server that is stopped.
pub(crate) fn open(place: &Place) -> journal::Opened {
    let source = keyring::Source::File(place.data().join("keys/key"));
    let keys = keyring::Keyring::open(&place.data().join("keys"), &source, None, None).unwrap();
    let options = Options { path: place.data().join("journal"), shard: 0, durability: Durability::Full, keys: Some(keys) };
    journal::open(options).unwrap()
}

/// Looks at everything. The server is stopped.
pub(crate) fn judge(place: &Place, acknowledged: &Acknowledged) -> Verdict {
    let opened = open(place);
    let report = verify(&opened.reader).unwrap();
    assert!(report.holds, "{report:?}");
    assert_eq!(differences(&opened.reader).unwrap(), Vec::<String>::new());
    let mut verdict = Verdict { entries: report.entries, ..Verdict::default() };
    let (mut keys, mut names, mut ends, mut attempts) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let mut decided = BTreeSet::new();
    for (_, _, _, event) in opened.reader.events(Seq(0), None, usize::MAX >> 1).unwrap() {
        match event {
            Event::RunSubmitted(run) => {
                names.insert(run.run, run.name.clone());
                if let Some(key) = run.idempotency_key.clone() {
                    verdict.duplicated += usize::from(keys.insert(key, run.run).is_some());
                }
            }
            Event::RunFinished(run) => {
                assert_eq!(run.phase, Phase::Succeeded, "{:?}", run.failure);
                *ends.entry(run.run).or_insert(0) += 1;
            }
            Event::AttemptFinished(end) => *attempts.entry((end.run, end.action, end.attempt)).or_insert(0) += 1,
            Event::HumanDecided(decision) => drop(decided.insert(names[&decision.run].clone())),
            _ => {}
        }
    }
    for (key, number) in acknowledged.runs.lock().unwrap().iter() {
        verdict.lost += usize::from(keys.get(key).is_none_or(|run| run.0 != *number));
    }
    verdict.lost += acknowledged.decisions.lock().unwrap().difference(&decided).count();
    verdict.lost += names.keys().filter(|run| !ends.contains_key(run)).count();
    verdict.duplicated += ends.values().chain(attempts.values()).filter(|count| **count != 1).count();
    // A process that ran twice under one token wrote its line twice.
    let tally =
        |site: &str| std::fs::read_to_string(place.data().join("sites").join(site).join("files/tally")).unwrap_or_default();
    let tally = tally("local") + &tally("shed");
    let mut lines = BTreeSet::new();
    for line in tally.lines() {
        verdict.processes += 1;
        if !lines.insert(line) {
            eprintln!("ran twice: {line}");
            verdict.duplicated += 1;
        }
    }
    verdict.runs = names.len();
    verdict.attempts = attempts.len();
    verdict
}
