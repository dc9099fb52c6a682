//! Figures about this process: counted as it works, gone when it ends, read by `/metrics`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use artifacts::Swept;
use engine::Event;
use journal::Entry;
use parking_lot::Mutex;

/// Upper bounds of a histogram of seconds.
pub const SECONDS: &[f64] = &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Upper bounds of a histogram of counts.
pub(crate) const COUNTS: &[f64] = &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0, 5_000.0, 10_000.0];

/// Observations in buckets.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [f64],
    /// One for each bound, and one for what is larger.
    buckets: Vec<AtomicU64>,
    /// The sum in millionths: whole numbers add up without a lock.
    sum_micro: AtomicU64,
}

impl Histogram {
    /// An empty histogram with these upper bounds.
    pub fn new(bounds: &'static [f64]) -> Histogram {
        Histogram { bounds, buckets: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(), sum_micro: AtomicU64::new(0) }
    }

    /// Counts an observation.
    pub fn observe(&self, value: f64) {
        let index = self.bounds.iter().position(|bound| value <= *bound).unwrap_or(self.bounds.len());
        self.buckets[index].fetch_add(1, Ordering::Relaxed);
        self.sum_micro.fetch_add((value * 1e6) as u64, Ordering::Relaxed);
    }

    /// Counts a span of time in seconds.
    pub fn observe_span(&self, span: Duration) {
        self.observe(span.as_secs_f64());
    }

    /// Each upper bound with how many observations are not above it; then the count of all, and their sum.
    pub fn read(&self) -> (Vec<(f64, u64)>, u64, f64) {
        let mut count = 0;
        let mut cumulated = Vec::with_capacity(self.bounds.len());
        for (bound, bucket) in self.bounds.iter().zip(&self.buckets) {
            count += bucket.load(Ordering::Relaxed);
            cumulated.push((*bound, count));
        }
        count += self.buckets.last().map_or(0, |bucket| bucket.load(Ordering::Relaxed));
        (cumulated, count, self.sum_micro.load(Ordering::Relaxed) as f64 / 1e6)
    }
}

/// What the run loop does.
#[derive(Debug)]
pub struct Meters {
    /// From the decision of a batch to its durability, in seconds.
    pub commit_seconds: Histogram,
    /// Entries of a batch.
    pub batch_entries: Histogram,
    ended: Mutex<Ended>,
    swept: Mutex<Swept>,
}

/// Ends by phase.
#[derive(Clone, Debug, Default)]
pub struct Ended {
    /// Runs.
    pub runs: BTreeMap<&'static str, u64>,
    /// Actions.
    pub actions: BTreeMap<&'static str, u64>,
    /// Attempts.
    pub attempts: BTreeMap<&'static str, u64>,
}

impl Default for Meters {
    fn default() -> Meters {
        Meters {
            commit_seconds: Histogram::new(SECONDS),
            batch_entries: Histogram::new(COUNTS),
            ended: Mutex::default(),
            swept: Mutex::default(),
        }
    }
}

impl Meters {
    /// A sweep of the stores of artifacts has ended.
    pub(crate) fn swept(&self, swept: Swept) {
        let mut all = self.swept.lock();
        *all = all.plus(swept);
    }

    /// What sweeps did since this process began.
    pub fn sweeps(&self) -> Swept {
        *self.swept.lock()
    }

    /// Ends so far by phase, since this process began.
    pub fn ended(&self) -> Ended {
        self.ended.lock().clone()
    }

    /// What ends in these entries.
    pub(crate) fn count(entries: &[Entry]) -> Ended {
        let mut ended = Ended::default();
        for entry in entries {
            let (by_phase, phase) = match &entry.event {
                Event::RunFinished(finished) => (&mut ended.runs, finished.phase),
                Event::ActionFinished(finished) => (&mut ended.actions, finished.phase),
                Event::AttemptFinished(finished) => (&mut ended.attempts, finished.phase),
                _ => continue,
            };
            *by_phase.entry(phase.as_str()).or_default() += 1;
        }
        ended
    }

    /// A batch is durable.
    pub(crate) fn durable(&self, entries: usize, ended: Ended, took: Duration) {
        self.commit_seconds.observe_span(took);
        self.batch_entries.observe(entries as f64);
        let mut all = self.ended.lock();
        let add = |all: &mut BTreeMap<&'static str, u64>, some: BTreeMap<&'static str, u64>| {
            some.into_iter().for_each(|(phase, count)| *all.entry(phase).or_default() += count);
        };
        add(&mut all.runs, ended.runs);
        add(&mut all.actions, ended.actions);
        add(&mut all.attempts, ended.attempts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_cumulates() {
        let histogram = Histogram::new(&[1.0, 10.0]);
        [0.5, 1.0, 2.0, 100.0].into_iter().for_each(|value| histogram.observe(value));
        assert_eq!(histogram.read(), (vec![(1.0, 2), (10.0, 3)], 4, 103.5));
    }
}
