//! Timers: what happens by itself at a point in time. A timer is state like any other: set and taken away by events, so that it
//! fires exactly once however often the process restarts.

use std::collections::BTreeSet;

use model::{ActionNo, Duration, RunId, Timestamp};

/// How long an executor may take to report that a stopped attempt has ended, before it is given up.
pub(crate) const STOP_GRACE: Duration = Duration::from_secs(60);

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TimerKind {
    /// The pause before a repeat is over.
    Retry,
    /// The deadline of an attempt, a decision or a wait for something else.
    Timeout,
    /// An action has waited too long for a place.
    QueueTimeout,
    /// An action has taken too long over all its attempts.
    TotalTimeout,
    /// A wait for time is over.
    Wake,
    /// An undecided human action goes to the next in line.
    Escalate(u32),
    /// An executor did not report the end of a stopped attempt.
    StopGrace,
    /// The deadline of the run.
    RunTimeout,
}

/// A timer of an action, or of the run itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Timer {
    pub(crate) at: Timestamp,
    pub(crate) run: RunId,
    pub(crate) action: Option<ActionNo>,
    pub(crate) kind: TimerKind,
}

/// Every timer that is set, by time.
#[derive(Debug, Default)]
pub(crate) struct Timers(BTreeSet<Timer>);

impl Timers {
    pub(crate) fn set(&mut self, timer: Timer) {
        self.0.insert(timer);
    }

    pub(crate) fn clear(&mut self, timer: &Timer) {
        self.0.remove(timer);
    }

    pub(crate) fn next(&self) -> Option<Timer> {
        self.0.first().copied()
    }

    pub(crate) fn contains(&self, timer: &Timer) -> bool {
        self.0.contains(timer)
    }
}
