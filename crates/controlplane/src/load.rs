//! How busy sites were: how many actions ran and waited, and how many cores they used, in equal steps of time.

use std::collections::BTreeMap;

use journal::Span;
use model::Timestamp;

use crate::{ControlPlane, Fault};

/// Actions that are looked at for one picture.
const ACTIONS_MAX: usize = 500_000;

/// What went on at one site, step by step, on average.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SiteLoad {
    /// Actions that ran.
    pub running: Vec<f64>,
    /// Actions that were opened and had not begun: of a site those that began there later, of no site those that have no place yet.
    pub waiting: Vec<f64>,
    /// Cores in use, as it was measured of actions that have ended.
    pub cores: Vec<f64>,
}

/// The load of a fleet over time.
#[derive(Clone, Debug, Default)]
pub struct Load {
    /// Where the first step begins.
    pub from: Timestamp,
    /// The length of a step, in microseconds.
    pub step_us: u64,
    /// By site; an empty name stands for what has no place yet.
    pub sites: BTreeMap<String, SiteLoad>,
    /// Whether there were more actions than are looked at: the earliest runs are missing then.
    pub cut: bool,
}

impl ControlPlane {
    /// How busy sites were within a time, in so many steps.
    pub fn load(&self, since: Timestamp, until: Timestamp, steps: usize) -> Result<Load, Fault> {
        let length = until.0.saturating_sub(since.0).max(1);
        let step_us = length.div_ceil(steps.max(1) as u64).max(1);
        let mut load = Load { from: since, step_us, ..Load::default() };
        let now = crate::clock::wall().min(until);
        let cut = self
            .reader()
            .spans((since, until), ACTIONS_MAX, |site, span| {
                let of = load.sites.entry(site.to_owned()).or_insert_with(|| SiteLoad::empty(steps));
                of.add(&span, (since, now), step_us);
            })
            .map_err(Fault::internal)?;
        Ok(Load { cut, ..load })
    }
}

impl SiteLoad {
    fn empty(steps: usize) -> SiteLoad {
        SiteLoad { running: vec![0.0; steps], waiting: vec![0.0; steps], cores: vec![0.0; steps] }
    }

    /// Adds an action as it was within a time.
    fn add(&mut self, span: &Span, (since, now): (Timestamp, Timestamp), step_us: u64) {
        let end = span.finished_at.unwrap_or(now).min(now);
        let begun = span.started_at.unwrap_or(end);
        spread(&mut self.waiting, since, step_us, (span.opened_at, begun.min(end)), 1.0);
        if span.started_at.is_some() {
            spread(&mut self.running, since, step_us, (begun, end), 1.0);
        }
        let ran = end.since(begun).0;
        if span.finished_at.is_some() && ran > 0 {
            spread(&mut self.cores, since, step_us, (begun, end), span.cpu_us as f64 / ran as f64);
        }
    }
}

/// Adds a height over a stretch of time to the steps that it goes through, by the share of each that it takes.
fn spread(steps: &mut [f64], since: Timestamp, step_us: u64, (from, to): (Timestamp, Timestamp), height: f64) {
    let (from, to) = (from.0.max(since.0) - since.0, to.0.max(since.0) - since.0);
    if to <= from {
        return;
    }
    let first = usize::try_from(from / step_us).unwrap_or(usize::MAX);
    for (index, step) in steps.iter_mut().enumerate().skip(first) {
        let begin = index as u64 * step_us;
        if begin >= to {
            return;
        }
        let share = (to.min(begin + step_us) - from.max(begin)) as f64 / step_us as f64;
        *step += height * share;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(opened: u64, started: Option<u64>, finished: Option<u64>, cpu_us: u64) -> Span {
        let at = Timestamp;
        Span { opened_at: at(opened), started_at: started.map(at), finished_at: finished.map(at), cpu_us }
    }

    #[test]
    fn what_waited_and_ran_is_spread_over_the_steps_that_it_went_through() {
        let mut load = SiteLoad::empty(4);
        let within = (Timestamp(100), Timestamp(140));
        // Opened in the middle of the first step, begun in the second, ended in the middle of the third, with half a core.
        load.add(&span(105, Some(110), Some(125), 7), within, 10);
        assert_eq!(load.waiting, [0.5, 0.0, 0.0, 0.0]);
        assert_eq!(load.running, [0.0, 1.0, 0.5, 0.0]);
        let cores: f64 = load.cores.iter().sum();
        assert!((cores - 0.7).abs() < 1e-9, "{cores}");
        // What began before and goes on counts within the time only.
        load.add(&span(50, Some(60), None, 0), within, 10);
        assert_eq!(load.running, [1.0, 2.0, 1.5, 1.0]);
        // What has no place yet only waits.
        load.add(&span(130, None, None, 0), within, 10);
        assert_eq!((load.waiting[3], load.running[3]), (1.0, 1.0));
        // What ended before is not there.
        let before = load.clone();
        load.add(&span(10, Some(20), Some(90), 5), within, 10);
        assert_eq!(load, before);
    }
}
