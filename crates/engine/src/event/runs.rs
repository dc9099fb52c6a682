//! Facts about runs as a whole.

use std::collections::BTreeMap;

use minicbor::{Decode, Encode};
use model::{ActionNo, Digest, Failure, Label, Money, NodeIx, Payload, Phase, RunId, Timestamp};

use super::{ActionKind, ScopeNo};

/// See [`super::Event::RunSubmitted`].
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
    /// The trace that the submitter is in, as a W3C `traceparent`: the run's spans continue it.
    #[n(14)]
    pub traceparent: Option<String>,
    /// The earlier run of the same trigger that it waits for: it begins once no earlier one is open.
    #[n(15)]
    pub behind: Option<RunId>,
    /// What whoever started it put on it to find it again: values by key.
    #[n(16)]
    pub run_labels: Option<BTreeMap<String, String>>,
    /// How many of its actions may be at work at once; none for as many as find a place.
    #[n(17)]
    pub concurrency: Option<u32>,
    /// Outputs of items of maps in an earlier run (top level) that stand for items of this one which are given the same.
    #[n(18)]
    pub reused_items: Option<Vec<ReusedItem>>,
    /// Salt of the run's commitments. Not part of the journal: it lies with the bodies and dies with them.
    #[cbor(skip)]
    pub salt: [u8; 32],
    /// Whom the run is about. Not part of the journal either: it lies with the bodies and dies with them.
    #[cbor(skip)]
    pub subject: Option<String>,
}

/// See [`super::Event::RunPlanned`].
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct RunPlanned {
    /// The run.
    #[n(0)]
    pub run: RunId,
    /// When it should be done, and what lateness costs; none leaves it as it was.
    #[n(1)]
    pub goal: Option<Goal>,
    /// Where its actions should go. It takes the place of an earlier plan.
    #[n(2)]
    pub places: Vec<PlannedPlace>,
    /// How the plan was found and what it is expected to come to, as JSON.
    #[n(3)]
    pub explanation: String,
    /// Why there is a plan now: `admission`, or what changed.
    #[n(4)]
    pub why: String,
}

/// When a run should be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Goal {
    /// By when.
    #[n(0)]
    pub deadline: Timestamp,
    /// What an hour of lateness costs.
    #[n(1)]
    pub late_per_hour: Money,
    /// What being late at all costs.
    #[n(2)]
    pub late_fee: Money,
}

/// Where the actions of a node should go.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct PlannedPlace {
    /// The path of the node, without the numbers of items: `train`, `score[]`, `sub/clean`.
    #[n(0)]
    pub path: String,
    /// The site.
    #[n(1)]
    pub site: String,
    /// Seconds of the critical path behind it, as planned.
    #[n(2)]
    pub rest_s: u32,
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

/// An output of an item of a map in an earlier run. It stands for one item of the map that is given the same here, wherever that stands in its list.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct ReusedItem {
    /// The map, in the run's own graph.
    #[n(0)]
    pub node: NodeIx,
    /// What the item was given, as this run commits to it.
    #[n(1)]
    pub input: Digest,
    /// Its output.
    #[n(2)]
    pub output: Payload,
    /// Where the artifacts of the output lie.
    #[n(3)]
    pub locations: Vec<Located>,
    /// Where it stood in the list: an item that stands there now takes it before others.
    #[n(4)]
    pub index: Option<u32>,
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

/// See [`super::Event::NodesSkipped`].
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

/// See [`super::Event::RunCancelRequested`].
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

/// See [`super::Event::RunFailing`].
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

/// See [`super::Event::RunFinished`].
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

/// See [`super::Event::SignalReceived`].
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

/// See [`super::Event::CompensationStarted`].
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct CompensationStarted {
    /// The run.
    #[n(0)]
    pub run: RunId,
    /// The actions to undo, in the order in which it happens: last success first.
    #[n(1)]
    pub order: Vec<ActionNo>,
}
