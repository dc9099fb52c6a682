//! What a simulation did: counted, so that nobody has to believe that it did anything.

use std::collections::{BTreeMap, BTreeSet};

/// Counts of one world, or of many together.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Worlds.
    pub worlds: u64,
    /// Events that became durable.
    pub transitions: u64,
    /// Steps of the worlds: everything that happened at a point in time.
    pub happenings: u64,
    /// Attempts that were computed in the turn that placed them.
    pub instants: u64,
    /// Checkpoints that somebody saw.
    pub checkpoints: u64,
    /// Faults by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// Microseconds of simulated time.
    pub simulated_us: u64,
    /// Runs by how they ended.
    pub runs: BTreeMap<String, u64>,
    /// Kinds of events that were seen, by the number of their variant.
    pub kinds: BTreeSet<u8>,
    /// Ways that actions took from state to state.
    pub ways: BTreeMap<(&'static str, &'static str), u64>,
}

impl Stats {
    /// Counts a fault.
    pub(crate) fn fault(&mut self, kind: &'static str) {
        *self.faults.entry(kind).or_default() += 1;
    }

    /// Adds the counts of another world.
    pub fn add(&mut self, other: &Stats) {
        self.worlds += other.worlds;
        self.transitions += other.transitions;
        self.happenings += other.happenings;
        self.instants += other.instants;
        self.checkpoints += other.checkpoints;
        self.simulated_us += other.simulated_us;
        for (kind, count) in &other.faults {
            *self.faults.entry(kind).or_default() += count;
        }
        for (phase, count) in &other.runs {
            *self.runs.entry(phase.clone()).or_default() += count;
        }
        for (way, count) in &other.ways {
            *self.ways.entry(*way).or_default() += count;
        }
        self.kinds.extend(&other.kinds);
    }

    /// A table for people.
    pub fn table(&self) -> String {
        let mut lines = vec![
            format!("{:>12}  worlds", self.worlds),
            format!("{:>12}  transitions made durable", self.transitions),
            format!("{:>12}  things that happened", self.happenings),
            format!("{:>12}  attempts computed in the turn that placed them", self.instants),
            format!("{:>12}  checkpoints seen", self.checkpoints),
            format!("{:>12.1}  hours of simulated time", self.simulated_us as f64 / 3.6e9),
            format!("{:>12}  kinds of events", self.kinds.len()),
            format!("{:>12}  ways from state to state", self.ways.len()),
        ];
        lines.extend(self.runs.iter().map(|(phase, count)| format!("{count:>12}  runs {phase}")));
        let faults: u64 = self.faults.values().sum();
        lines.push(format!("{faults:>12}  faults of {} kinds:", self.faults.len()));
        lines.extend(self.faults.iter().map(|(kind, count)| format!("{count:>12}    {kind}")));
        lines.join("\n")
    }
}
