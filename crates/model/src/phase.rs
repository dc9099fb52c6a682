//! The phases of runs, actions and attempts: the words of Flyte 2, and `skipped` for nodes that a branch left out.

use std::fmt;

/// Where a run, an action or an attempt is in its life.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    minicbor::Encode,
    minicbor::Decode,
)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum Phase {
    /// Known, and not yet considered for a place.
    #[n(0)]
    Queued,
    /// Fits nowhere at the moment: capacity, a gate or a missing worker. The explanation says which.
    #[n(1)]
    WaitingForResources,
    /// Placed; its inputs or its environment are on the way.
    #[n(2)]
    Initializing,
    /// At work. A human decision, a wait, a map or a sub-workflow runs from the moment it is opened.
    #[n(3)]
    Running,
    /// Ended well.
    #[n(4)]
    Succeeded,
    /// Ended badly, with a failure that says why.
    #[n(5)]
    Failed,
    /// Ended because somebody, or the failure of something else, asked for it.
    #[n(6)]
    Aborted,
    /// Ended by its deadline.
    #[n(7)]
    TimedOut,
    /// Held by an operator; or without a process, while what it asked for waits for people.
    #[n(8)]
    Paused,
    /// Left out: its condition was false, its branch was not chosen, or what it refers to was left out.
    #[n(9)]
    Skipped,
}

impl Phase {
    /// Whether nothing follows this phase.
    pub fn is_terminal(self) -> bool {
        matches!(self, Phase::Succeeded | Phase::Failed | Phase::Aborted | Phase::TimedOut | Phase::Skipped)
    }

    /// The phase as users write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Queued => "queued",
            Phase::WaitingForResources => "waiting_for_resources",
            Phase::Initializing => "initializing",
            Phase::Running => "running",
            Phase::Succeeded => "succeeded",
            Phase::Failed => "failed",
            Phase::Aborted => "aborted",
            Phase::TimedOut => "timed_out",
            Phase::Paused => "paused",
            Phase::Skipped => "skipped",
        }
    }

    /// Every phase, in order.
    pub const ALL: [Phase; 10] = [
        Phase::Queued,
        Phase::WaitingForResources,
        Phase::Initializing,
        Phase::Running,
        Phase::Succeeded,
        Phase::Failed,
        Phase::Aborted,
        Phase::TimedOut,
        Phase::Paused,
        Phase::Skipped,
    ];

    /// The phase with this name.
    pub fn parse(text: &str) -> Option<Phase> {
        Phase::ALL.into_iter().find(|phase| phase.as_str() == text)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
