//! Facts about attempts: where they are placed, how they end.

use minicbor::{Decode, Encode};
use model::{ActionNo, AttemptNo, Digest, Epoch, Failure, Money, Payload, Phase, RunId, Timestamp};

use super::Located;

/// See [`super::Event::ActionsPlaced`].
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct ActionsPlaced {
    /// The run.
    #[n(0)]
    pub run: RunId,
    /// The site chosen.
    #[n(1)]
    pub site: String,
    /// The epoch under which the order is given.
    #[n(2)]
    pub epoch: Epoch,
    /// The actions with the number of the attempt that begins.
    #[n(3)]
    pub actions: Vec<Placed>,
    /// Every candidate with its terms and verdict, as JSON: the same for all actions of the event.
    #[n(4)]
    pub explanation: String,
    /// The connector that a worker serves, when it takes one: the actions wait for it, and hold nothing of the site until one has begun.
    #[n(5)]
    pub worker: Option<String>,
}

/// One action given a place.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Placed {
    /// The action.
    #[n(0)]
    pub action: ActionNo,
    /// The attempt that begins.
    #[n(1)]
    pub attempt: AttemptNo,
    /// Artifacts that have to be brought to the site first.
    #[n(2)]
    pub awaits: Vec<Digest>,
}

/// See [`super::Event::ActionsParked`].
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct ActionsParked {
    /// The run.
    #[n(0)]
    pub run: RunId,
    /// The actions.
    #[n(1)]
    pub actions: Vec<ActionNo>,
    /// Every site with why it will not do, as JSON.
    #[n(2)]
    pub explanation: String,
}

/// See [`super::Event::AttemptStarted`].
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct AttemptStarted {
    /// The run.
    #[n(0)]
    pub run: RunId,
    /// The action.
    #[n(1)]
    pub action: ActionNo,
    /// The attempt.
    #[n(2)]
    pub attempt: AttemptNo,
    /// The node, process or worker it runs on, for people.
    #[n(3)]
    pub host: String,
}

/// What an attempt used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, serde::Serialize, serde::Deserialize)]
pub struct Usage {
    /// Microseconds from the start of the process to its end.
    #[n(0)]
    pub wall_us: u64,
    /// Microseconds of processor time, user and system.
    #[n(1)]
    pub cpu_us: u64,
    /// The largest resident memory of its processes together, in bytes.
    #[n(2)]
    pub memory_peak_bytes: u64,
    /// Bytes of artifacts that came in from other sites, for transfers: bytes moved.
    #[n(3)]
    pub bytes_in: u64,
    /// Bytes of artifacts made.
    #[n(4)]
    pub bytes_out: u64,
}

/// See [`super::Event::AttemptFinished`].
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct AttemptFinished {
    /// The run.
    #[n(0)]
    pub run: RunId,
    /// The action.
    #[n(1)]
    pub action: ActionNo,
    /// The attempt.
    #[n(2)]
    pub attempt: AttemptNo,
    /// Succeeded, failed, aborted or timed_out; paused, when its process was let go while the action waits for people.
    #[n(3)]
    pub phase: Phase,
    /// What it gave back.
    #[n(4)]
    pub output: Option<Payload>,
    /// Why it failed.
    #[n(5)]
    pub failure: Option<Failure>,
    /// What it used.
    #[n(6)]
    pub usage: Usage,
    /// What that cost.
    #[n(7)]
    pub cost: Money,
    /// When it is repeated, or could be at the earliest; none means the action ended with it.
    #[n(8)]
    pub retry_at: Option<Timestamp>,
    /// Where the artifacts of the output lie.
    #[n(9)]
    pub locations: Vec<Located>,
    /// The memory that the repeat asks for, when it used up what it had asked for before.
    #[n(10)]
    pub memory_bytes: Option<u64>,
}

/// See [`super::Event::ReportIgnored`].
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct ReportIgnored {
    /// The run.
    #[n(0)]
    pub run: RunId,
    /// The action.
    #[n(1)]
    pub action: ActionNo,
    /// The attempt that was reported.
    #[n(2)]
    pub attempt: AttemptNo,
    /// What the report said.
    #[n(3)]
    pub phase: Phase,
}

/// See [`super::Event::CancelRequested`].
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct CancelRequested {
    /// The run.
    #[n(0)]
    pub run: RunId,
    /// The actions whose attempts are to stop.
    #[n(1)]
    pub actions: Vec<ActionNo>,
    /// Why.
    #[n(2)]
    pub why: CancelReason,
    /// Actions that had no attempt in flight and so ended at once, aborted.
    #[n(3)]
    pub ended: Vec<ActionNo>,
}

impl CancelReason {
    /// Whether the action goes on without the attempt: elsewhere, or later.
    pub fn lets_go_on(self) -> bool {
        matches!(self, CancelReason::Drained | CancelReason::Denied | CancelReason::Suspended)
    }
}

/// Why an attempt is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum CancelReason {
    /// The run is cancelled.
    #[n(0)]
    RunCancelled,
    /// The run fails because of another node.
    #[n(1)]
    RunFailing,
    /// Its deadline passed.
    #[n(2)]
    Timeout,
    /// Its site is drained: it will be repeated elsewhere.
    #[n(3)]
    Drained,
    /// Nobody waits for it any more: the map or sub-workflow it belongs to has ended without it, or the run has.
    #[n(4)]
    Unwanted,
    /// Somebody asked that this action stops; the run goes on.
    #[n(5)]
    Asked,
    /// A changed rule does not permit it where it is: it waits for a place that is permitted.
    #[n(6)]
    Denied,
    /// It has taken too long over all its attempts.
    #[n(7)]
    Deadline,
    /// All that it asked for waits for people: its process is let go, and it begins again when there is something to tell it.
    #[n(8)]
    Suspended,
}
