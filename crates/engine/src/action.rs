//! Actions: everything that runs, as the state holds it.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{AttemptNo, Digest, Epoch, Failure, Label, NodeIx, Payload, Phase, Timestamp};

use crate::event::{CancelReason, RecallKey, Role, ScopeNo};
use crate::timer::TimerKind;
use crate::unit::Unit;

/// An action of an open run.
#[derive(Debug)]
pub(crate) struct Action {
    pub(crate) role: Role,
    pub(crate) scope: ScopeNo,
    pub(crate) node: NodeIx,
    pub(crate) unit: Arc<Unit>,
    pub(crate) path: Arc<str>,
    pub(crate) input: Option<Payload>,
    pub(crate) label: Label,
    /// The tags of its label that came with the results of what it asked for.
    pub(crate) grown: Label,
    pub(crate) recall: Option<RecallKey>,
    pub(crate) state: ActionState,
    /// The current attempt; 0 before the first.
    pub(crate) attempt: AttemptNo,
    /// Attempts repeated on the node's own budget.
    pub(crate) retries: u32,
    /// Attempts repeated because the platform failed.
    pub(crate) system_retries: u32,
    /// Where the current attempt is placed. It holds a reservation there from placement to the end of the attempt.
    pub(crate) site: Option<Arc<str>>,
    /// The epoch in which the current attempt was placed: no report about it can come from an earlier one.
    pub(crate) epoch: Epoch,
    /// When it last came into the queue, and when it was last placed.
    pub(crate) queued_at: Timestamp,
    pub(crate) placed_at: Timestamp,
    /// Whether it holds its reservation. While it waits for what it asked for, it holds none.
    pub(crate) holds: bool,
    /// Actions that it asked for and that are open.
    pub(crate) children: u32,
    /// When one was last added to them, or ended.
    pub(crate) told_at: Timestamp,
    /// How many they were when it was last asked to stop: when it let go of its process, with fewer there is something to tell it.
    pub(crate) stopped_with: u32,
    /// Timers that are set for it.
    pub(crate) timers: Vec<(Timestamp, TimerKind)>,
    /// What it gave back.
    pub(crate) output: Option<Payload>,
    /// Why it ended badly.
    pub(crate) failure: Option<Failure>,
}

/// Where an action is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ActionState {
    /// Asks what is known of its key.
    Recalling,
    /// Waits for the action that holds the same once key.
    AwaitingTwin,
    /// Waits for a place.
    Queued,
    /// Placed; these artifacts are on their way.
    Staging(BTreeSet<Digest>),
    /// Given to an executor.
    Running,
    /// Given to an executor and asked to stop.
    Stopping(CancelReason),
    /// Pauses before a repeat.
    Backoff,
    /// Its process was let go: it begins again when something of what it asked for has ended.
    Suspended,
    /// Waits for a person.
    Human(HumanState),
    /// Waits for time.
    Sleeping,
    /// Waits for a signal of this name.
    AwaitingSignal(String),
    /// Waits for an event of this name.
    AwaitingEvent(String),
    /// Runs its items.
    Each(Box<EachState>),
    /// Runs the nodes of this scope.
    Scope(ScopeNo),
    /// Ready to be ended by what comes next in the same step: a branch, a reused node, an expression that failed.
    Instant,
    /// Ended.
    Done(Phase),
}

/// A human action that waits.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct HumanState {
    /// How many steps of `assign.then` it has been offered to.
    pub(crate) escalated: u32,
    /// The first of two approvals: who, and their form.
    pub(crate) first: Option<(String, Payload)>,
    /// Whom it was handed to: these users and groups, instead of those that the workflow names.
    pub(crate) delegated: Option<(Vec<String>, Vec<String>)>,
    /// Who was shown it.
    pub(crate) seen: BTreeSet<String>,
}

/// A map that runs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct EachState {
    pub(crate) total: u32,
    pub(crate) next: u32,
    pub(crate) running: u32,
    pub(crate) outputs: Vec<Option<Payload>>,
}

impl ActionState {
    /// Whether nothing of it goes on before a person, the time, somebody outside or what is below it says so.
    pub(crate) fn waits_for_others(&self) -> bool {
        match self {
            ActionState::Human(_)
            | ActionState::Sleeping
            | ActionState::AwaitingSignal(_)
            | ActionState::AwaitingEvent(_)
            | ActionState::Suspended
            | ActionState::Each(_)
            | ActionState::Scope(_) => true,
            ActionState::Recalling
            | ActionState::AwaitingTwin
            | ActionState::Queued
            | ActionState::Staging(_)
            | ActionState::Running
            | ActionState::Stopping(_)
            | ActionState::Backoff
            | ActionState::Instant
            | ActionState::Done(_) => false,
        }
    }

    /// Its name, for people and for tests that look at which ways were taken.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            ActionState::Recalling => "recalling",
            ActionState::AwaitingTwin => "awaiting_twin",
            ActionState::Queued => "queued",
            ActionState::Staging(_) => "staging",
            ActionState::Running => "running",
            ActionState::Stopping(_) => "stopping",
            ActionState::Backoff => "backoff",
            ActionState::Suspended => "suspended",
            ActionState::Human(_) => "human",
            ActionState::Sleeping => "sleeping",
            ActionState::AwaitingSignal(_) => "awaiting_signal",
            ActionState::AwaitingEvent(_) => "awaiting_event",
            ActionState::Each(_) => "each",
            ActionState::Scope(_) => "scope",
            ActionState::Instant => "instant",
            ActionState::Done(_) => "done",
        }
    }
}

impl Action {
    /// Whether an executor may be at work for it.
    pub(crate) fn in_flight(&self) -> bool {
        matches!(self.state, ActionState::Running | ActionState::Stopping(_))
    }

    /// Whether it is a workflow within the run.
    pub(crate) fn is_workflow(&self) -> bool {
        matches!(self.unit.node.kind, model::NodeKind::Workflow { .. })
    }

    pub(crate) fn is_done(&self) -> bool {
        matches!(self.state, ActionState::Done(_))
    }
}
