//! Events: the facts that make up the journal. A field number or variant number, once released, never changes its meaning;
//! new fields are optional. `golden/` holds journals of earlier versions that must still read.

use minicbor::{Decode, Encode};
use model::{
    ActionKey, ActionNo, AttemptNo, Digest, Duration, Epoch, Failure, Label, Money, NodeIx, Payload, Phase, RunId, SiteSpec,
    Timestamp,
};

/// The number of a scope within its run: the graph of the run itself is 0, each sub-workflow opens another.
pub type ScopeNo = u32;

/// A fact. The journal stores it with its time, its run and its position.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub enum Event {
    /// A run was accepted.
    #[n(0)]
    RunSubmitted(#[n(0)] Box<RunSubmitted>),
    /// Actions came into being.
    #[n(1)]
    ActionsOpened(#[n(0)] ActionsOpened),
    /// Nodes were left out.
    #[n(2)]
    NodesSkipped(#[n(0)] NodesSkipped),
    /// Actions were given a place: the decision of the placer, with its reasons.
    #[n(3)]
    ActionsPlaced(#[n(0)] ActionsPlaced),
    /// The gate or the placer found no place for these actions for now, with the reason. They stay queued.
    #[n(4)]
    ActionsParked(#[n(0)] ActionsParked),
    /// An attempt's process began.
    #[n(5)]
    AttemptStarted(#[n(0)] AttemptStarted),
    /// An attempt ended, and with it the action unless it is to be repeated.
    #[n(6)]
    AttemptFinished(#[n(0)] Box<AttemptFinished>),
    /// A pause before a repeat is over.
    #[n(7)]
    RetryDue(#[n(0)] ActionRef),
    /// An action that is not placed (or whose fate does not hang on an attempt) ended.
    #[n(8)]
    ActionFinished(#[n(0)] Box<ActionFinished>),
    /// A report came that no longer mattered: of an earlier attempt, of an ended action, of an older epoch.
    #[n(9)]
    ReportIgnored(#[n(0)] ReportIgnored),
    /// An attempt was given up and its executor told to stop it.
    #[n(10)]
    CancelRequested(#[n(0)] CancelRequested),
    /// The whole run was asked to stop.
    #[n(11)]
    RunCancelRequested(#[n(0)] RunCancelRequested),
    /// A node failed for good; the run is winding up.
    #[n(12)]
    RunFailing(#[n(0)] RunFailing),
    /// Nothing new is opened or placed until the run is resumed.
    #[n(13)]
    RunPaused(#[n(0)] ByWhom),
    /// The run goes on.
    #[n(14)]
    RunResumed(#[n(0)] ByWhom),
    /// The run ended.
    #[n(15)]
    RunFinished(#[n(0)] Box<RunFinished>),
    /// A person decided. With a second person to come the action stays open.
    #[n(16)]
    HumanDecided(#[n(0)] Box<HumanDecided>),
    /// An undecided human action was offered to the next in line.
    #[n(17)]
    HumanEscalated(#[n(0)] HumanEscalated),
    /// A signal was sent to the run; waits for it end, or it is kept until one asks.
    #[n(18)]
    SignalReceived(#[n(0)] SignalReceived),
    /// An action asks what is known of a cache key or a once key.
    #[n(19)]
    RecallAsked(#[n(0)] RecallAsked),
    /// The answer, when it is that the action has to run.
    #[n(20)]
    RecallMissed(#[n(0)] ActionRef),
    /// All that was in flight has ended: what succeeded is being undone, last first.
    #[n(21)]
    CompensationStarted(#[n(0)] CompensationStarted),
    /// An output was stored under a cache key or once key.
    #[n(22)]
    OutputKept(#[n(0)] OutputKept),

    /// The server began a new incarnation.
    #[n(40)]
    EpochBegan(#[n(0)] EpochBegan),
    /// A site was registered or changed.
    #[n(41)]
    SiteRegistered(#[n(0)] Box<SiteRegistered>),
    /// A site was removed.
    #[n(42)]
    SiteRemoved(#[n(0)] SiteNamed),
    /// No new work goes to the site.
    #[n(43)]
    SiteCordoned(#[n(0)] SiteNamed),
    /// Work goes to the site again.
    #[n(44)]
    SiteUncordoned(#[n(0)] SiteNamed),
    /// What runs on the site is moved elsewhere.
    #[n(45)]
    SiteDrained(#[n(0)] SiteNamed),
    /// The site's health, as its executor's probe found it, changed.
    #[n(46)]
    SiteHealthChanged(#[n(0)] SiteHealthChanged),
    /// A resource (workflow, trigger, connector, connection, token, …) was applied; its body lies beside the journal.
    #[n(47)]
    ResourceApplied(#[n(0)] Box<ResourceApplied>),
    /// A resource was deleted.
    #[n(48)]
    ResourceDeleted(#[n(0)] ResourceDeleted),
    /// A trigger fired, or skipped firings it was too late for.
    #[n(49)]
    TriggerFired(#[n(0)] Box<TriggerFired>),
    /// Bodies older than the retention were destroyed; hashes stay.
    #[n(50)]
    BodiesPruned(#[n(0)] BodiesPruned),
}

impl Event {
    /// The run that the fact belongs to; none for a fact about the fleet.
    pub fn run(&self) -> Option<RunId> {
        Some(match self {
            Event::RunSubmitted(e) => e.run,
            Event::ActionsOpened(e) => e.run,
            Event::NodesSkipped(e) => e.run,
            Event::ActionsPlaced(e) => e.run,
            Event::ActionsParked(e) => e.run,
            Event::AttemptStarted(e) => e.run,
            Event::AttemptFinished(e) => e.run,
            Event::RetryDue(e) | Event::RecallMissed(e) => e.run,
            Event::ActionFinished(e) => e.run,
            Event::ReportIgnored(e) => e.run,
            Event::CancelRequested(e) => e.run,
            Event::RunCancelRequested(e) => e.run,
            Event::RunFailing(e) => e.run,
            Event::RunPaused(e) | Event::RunResumed(e) => e.run,
            Event::RunFinished(e) => e.run,
            Event::HumanDecided(e) => e.run,
            Event::HumanEscalated(e) => e.run,
            Event::SignalReceived(e) => e.run,
            Event::RecallAsked(e) => e.run,
            Event::CompensationStarted(e) => e.run,
            Event::OutputKept(e) => e.run,
            Event::EpochBegan(_)
            | Event::SiteRegistered(_)
            | Event::SiteRemoved(_)
            | Event::SiteCordoned(_)
            | Event::SiteUncordoned(_)
            | Event::SiteDrained(_)
            | Event::SiteHealthChanged(_)
            | Event::ResourceApplied(_)
            | Event::ResourceDeleted(_)
            | Event::TriggerFired(_)
            | Event::BodiesPruned(_) => return None,
        })
    }
}

/// See [`Event::RunSubmitted`].
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct RunSubmitted {
    /// The run.
    #[n(0)]
    pub run: RunId,
    /// Its name, unique within the project and domain.
    #[n(1)]
    pub name: String,
    /// The project.
    #[n(2)]
    pub project: String,
    /// development, staging or production.
    #[n(3)]
    pub domain: String,
    /// The workflow's name.
    #[n(4)]
    pub workflow: String,
    /// The graph that runs.
    #[n(5)]
    pub graph: Digest,
    /// Its inputs.
    #[n(6)]
    pub inputs: Payload,
    /// Who submitted it.
    #[n(7)]
    pub principal: String,
    /// The client's key for idempotent submission.
    #[n(8)]
    pub idempotency_key: Option<String>,
    /// What it came from.
    #[n(9)]
    pub origin: Origin,
    /// Outputs of an earlier run that stand for nodes of this one (top level), by node.
    #[n(10)]
    pub reused: Vec<ReusedNode>,
    /// Larger is placed first.
    #[n(11)]
    pub priority: i32,
    /// The label of the inputs.
    #[n(12)]
    pub label: Label,
    /// Where the input artifacts lie.
    #[n(13)]
    pub locations: Vec<Located>,
    /// Salt of the run's commitments. Not part of the journal: it lies with the bodies and dies with them.
    #[cbor(skip)]
    pub salt: [u8; 32],
}

/// Where an artifact has a copy.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Located {
    /// The artifact.
    #[n(0)]
    pub artifact: Digest,
    /// Its size in bytes.
    #[n(1)]
    pub size: u64,
    /// The site.
    #[n(2)]
    pub site: String,
}

/// An output of an earlier run that stands for a node of this one.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct ReusedNode {
    /// The node, in the run's own graph.
    #[n(0)]
    pub node: NodeIx,
    /// Its output.
    #[n(1)]
    pub output: Payload,
}

/// Where a run came from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub enum Origin {
    /// Somebody submitted it.
    #[default]
    #[n(0)]
    Submitted,
    /// A trigger fired.
    #[n(1)]
    Trigger {
        /// The trigger.
        #[n(0)]
        trigger: String,
        /// When it was due.
        #[n(1)]
        due: Timestamp,
    },
    /// It repeats an earlier run, from some nodes on.
    #[n(2)]
    Rerun {
        /// The earlier run.
        #[n(0)]
        of: RunId,
    },
}

/// See [`Event::ActionsOpened`]. Many at once: a map opens its window in one event.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct ActionsOpened {
    /// The run.
    #[n(0)]
    pub run: RunId,
    /// The actions, numbered from the run's next number on.
    #[n(1)]
    pub actions: Vec<Opened>,
}

/// One action that came into being.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct Opened {
    /// Its number.
    #[n(0)]
    pub action: ActionNo,
    /// What it stands for.
    #[n(1)]
    pub role: Role,
    /// The scope of its node.
    #[n(2)]
    pub scope: ScopeNo,
    /// Its node.
    #[n(3)]
    pub node: NodeIx,
    /// Its rendered input; none when there is nothing in it.
    #[n(4)]
    pub input: Option<Payload>,
    /// Its label.
    #[n(5)]
    pub label: Label,
    /// The once key or the cache key, hashed with project and node.
    #[n(6)]
    pub recall: Option<RecallKey>,
    /// Its path within the run: `train`, `score[3]`, `sub/clean`, `report!undo`, `train<-sha256:1f2e…`. Unique within the run.
    #[n(7)]
    pub path: String,
    /// What kind of action it is, for people and projections.
    #[n(8)]
    pub kind: ActionKind,
    /// Whether it ends in the same step without running: a branch, a reused output, an expression that failed.
    #[n(9)]
    pub instant: bool,
}

/// What kind of action it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum ActionKind {
    /// A connector's action.
    #[n(0)]
    Use,
    /// A command or script.
    #[n(1)]
    Run,
    /// A registered task.
    #[n(2)]
    Task,
    /// A sub-workflow.
    #[n(3)]
    Workflow,
    /// A person's decision.
    #[n(4)]
    Human,
    /// A wait.
    #[n(5)]
    Wait,
    /// A map.
    #[n(6)]
    Each,
    /// A branch.
    #[n(7)]
    Decide,
    /// A transfer of an artifact between sites.
    #[n(8)]
    Transfer,
}

/// What an action stands for.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub enum Role {
    /// A node of a graph.
    #[n(0)]
    Node,
    /// One item of a map.
    #[n(1)]
    Item {
        /// The map.
        #[n(0)]
        each: ActionNo,
        /// The item's index.
        #[n(1)]
        index: u32,
    },
    /// The undoing of an action that succeeded.
    #[n(2)]
    Undo {
        /// The action undone.
        #[n(0)]
        of: ActionNo,
    },
    /// The transfer of an artifact to the site of the action that needs it.
    #[n(3)]
    Transfer {
        /// Who needs it.
        #[n(0)]
        wanted_by: ActionNo,
        /// What moves.
        #[n(1)]
        artifact: Digest,
        /// Bytes that move.
        #[n(2)]
        size: u64,
        /// From where.
        #[n(3)]
        from: String,
        /// To where.
        #[n(4)]
        to: String,
    },
}

/// A key under which outputs are remembered across runs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct RecallKey {
    /// Which memory.
    #[n(0)]
    pub kind: RecallKind,
    /// The key, hashed.
    #[n(1)]
    pub key: Digest,
    /// How old an output may be.
    #[n(2)]
    pub max_age: Option<Duration>,
}

/// Which memory of outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum RecallKind {
    /// `cache`: reuse saves work; running twice is harmless.
    #[n(0)]
    Cache,
    /// `once`: the same key never runs twice to success; a second action waits for the first.
    #[n(1)]
    Once,
}

/// See [`Event::NodesSkipped`].
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct NodesSkipped {
    /// The run.
    #[n(0)]
    pub run: RunId,
    /// The scope.
    #[n(1)]
    pub scope: ScopeNo,
    /// The nodes, with why.
    #[n(2)]
    pub nodes: Vec<SkippedNode>,
}

/// A node left out.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct SkippedNode {
    /// The node.
    #[n(0)]
    pub node: NodeIx,
    /// Why.
    #[n(1)]
    pub why: SkipReason,
    /// Its path within the run.
    #[n(2)]
    pub path: String,
    /// What kind of node it is.
    #[n(3)]
    pub kind: ActionKind,
}

/// Why a node was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum SkipReason {
    /// Its `if` was false.
    #[n(0)]
    Condition,
    /// Something it refers to was left out.
    #[n(1)]
    Upstream,
    /// A `decide` chose another branch.
    #[n(2)]
    Branch,
}

/// See [`Event::ActionsPlaced`].
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

/// See [`Event::ActionsParked`].
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

/// See [`Event::AttemptStarted`].
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

/// See [`Event::AttemptFinished`].
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
    /// Succeeded, failed, aborted or timed_out.
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
    /// When it is repeated; none means the action ended with it.
    #[n(8)]
    pub retry_at: Option<Timestamp>,
    /// Where the artifacts of the output lie.
    #[n(9)]
    pub locations: Vec<Located>,
}

/// An action of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ActionRef {
    /// The run.
    #[n(0)]
    pub run: RunId,
    /// The action.
    #[n(1)]
    pub action: ActionNo,
}

impl From<ActionRef> for ActionKey {
    fn from(action: ActionRef) -> ActionKey {
        ActionKey { run: action.run, action: action.action }
    }
}

/// See [`Event::ActionFinished`].
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct ActionFinished {
    /// The run.
    #[n(0)]
    pub run: RunId,
    /// The action.
    #[n(1)]
    pub action: ActionNo,
    /// How it ended.
    #[n(2)]
    pub phase: Phase,
    /// What it gave back.
    #[n(3)]
    pub output: Option<Payload>,
    /// Why it failed.
    #[n(4)]
    pub failure: Option<Failure>,
    /// Whether the output of an earlier action was taken instead of running this one.
    #[n(5)]
    pub reused: bool,
    /// Where the artifacts of a reused output lie.
    #[n(6)]
    pub locations: Vec<Located>,
}

/// See [`Event::ReportIgnored`].
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

/// See [`Event::CancelRequested`].
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
}

/// See [`Event::RunCancelRequested`].
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct RunCancelRequested {
    /// The run.
    #[n(0)]
    pub run: RunId,
    /// Who asked.
    #[n(1)]
    pub principal: String,
    /// Why, in their words.
    #[n(2)]
    pub reason: String,
}

/// See [`Event::RunFailing`].
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct RunFailing {
    /// The run.
    #[n(0)]
    pub run: RunId,
    /// The action that failed, when it was one (the run's own deadline has none).
    #[n(1)]
    pub action: Option<ActionNo>,
    /// Why.
    #[n(2)]
    pub failure: Failure,
}

/// Somebody did something to a run.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct ByWhom {
    /// The run.
    #[n(0)]
    pub run: RunId,
    /// Who.
    #[n(1)]
    pub principal: String,
}

/// See [`Event::RunFinished`].
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct RunFinished {
    /// The run.
    #[n(0)]
    pub run: RunId,
    /// How it ended.
    #[n(1)]
    pub phase: Phase,
    /// What it gives back.
    #[n(2)]
    pub outputs: Option<Payload>,
    /// Why it failed.
    #[n(3)]
    pub failure: Option<Failure>,
    /// What its attempts cost together.
    #[n(4)]
    pub cost: Money,
}

/// See [`Event::HumanDecided`].
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct HumanDecided {
    /// The run.
    #[n(0)]
    pub run: RunId,
    /// The action.
    #[n(1)]
    pub action: ActionNo,
    /// Who decided.
    #[n(2)]
    pub principal: String,
    /// The form, with `decision`.
    #[n(3)]
    pub form: Payload,
    /// The decision: approve, reject or amend.
    #[n(4)]
    pub decision: String,
}

/// See [`Event::HumanEscalated`].
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct HumanEscalated {
    /// The run.
    #[n(0)]
    pub run: RunId,
    /// The action.
    #[n(1)]
    pub action: ActionNo,
    /// The step of `assign.then` it is offered to, from 0.
    #[n(2)]
    pub step: u32,
}

/// See [`Event::SignalReceived`].
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct SignalReceived {
    /// The run.
    #[n(0)]
    pub run: RunId,
    /// The signal's name.
    #[n(1)]
    pub name: String,
    /// What came with it.
    #[n(2)]
    pub payload: Payload,
    /// Who sent it.
    #[n(3)]
    pub principal: String,
}

/// See [`Event::RecallAsked`].
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct RecallAsked {
    /// The run.
    #[n(0)]
    pub run: RunId,
    /// The action.
    #[n(1)]
    pub action: ActionNo,
    /// The key.
    #[n(2)]
    pub key: RecallKey,
}

/// See [`Event::CompensationStarted`].
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct CompensationStarted {
    /// The run.
    #[n(0)]
    pub run: RunId,
    /// The actions to undo, in the order in which it happens: last success first.
    #[n(1)]
    pub order: Vec<ActionNo>,
}

/// See [`Event::OutputKept`].
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct OutputKept {
    /// The run.
    #[n(0)]
    pub run: RunId,
    /// The action.
    #[n(1)]
    pub action: ActionNo,
    /// The key.
    #[n(2)]
    pub key: RecallKey,
    /// The output.
    #[n(3)]
    pub output: Payload,
    /// Where its artifacts lie.
    #[n(4)]
    pub locations: Vec<Located>,
}

/// See [`Event::EpochBegan`].
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct EpochBegan {
    /// The epoch.
    #[n(0)]
    pub epoch: Epoch,
    /// The version of the server.
    #[n(1)]
    pub version: String,
}

/// See [`Event::SiteRegistered`].
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct SiteRegistered {
    /// The site.
    #[n(0)]
    pub site: SiteSpec,
    /// Who registered it.
    #[n(1)]
    pub principal: String,
}

/// Somebody did something to a site.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct SiteNamed {
    /// The site.
    #[n(0)]
    pub site: String,
    /// Who.
    #[n(1)]
    pub principal: String,
}

/// See [`Event::SiteHealthChanged`].
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct SiteHealthChanged {
    /// The site.
    #[n(0)]
    pub site: String,
    /// Whether it takes work.
    #[n(1)]
    pub healthy: bool,
    /// What the probe said.
    #[n(2)]
    pub reason: String,
}

/// See [`Event::ResourceApplied`].
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct ResourceApplied {
    /// workflow, trigger, connector, connection, token, …
    #[n(0)]
    pub kind: String,
    /// Its name, unique within the kind.
    #[n(1)]
    pub name: String,
    /// The version, dense from 1 within the name.
    #[n(2)]
    pub version: u64,
    /// Its body.
    #[n(3)]
    pub body: Payload,
    /// Who applied it.
    #[n(4)]
    pub principal: String,
}

/// See [`Event::ResourceDeleted`].
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct ResourceDeleted {
    /// The kind.
    #[n(0)]
    pub kind: String,
    /// The name.
    #[n(1)]
    pub name: String,
    /// Who deleted it.
    #[n(2)]
    pub principal: String,
}

/// See [`Event::TriggerFired`].
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct TriggerFired {
    /// The trigger.
    #[n(0)]
    pub trigger: String,
    /// When it was due.
    #[n(1)]
    pub due: Timestamp,
    /// The run it started; none when the firing was left out (too late, or the one before still runs).
    #[n(2)]
    pub run: Option<RunId>,
    /// Firings before this one that were left out by the catch-up policy.
    #[n(3)]
    pub missed: u32,
}

/// See [`Event::BodiesPruned`].
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct BodiesPruned {
    /// Bodies of runs that ended before this time were destroyed.
    #[n(0)]
    pub before: Timestamp,
    /// How many runs.
    #[n(1)]
    pub runs: u64,
    /// Who asked.
    #[n(2)]
    pub principal: String,
}
