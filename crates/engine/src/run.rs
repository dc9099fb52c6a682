//! The run aggregate: scopes of nodes, actions, and what the run is doing as a whole.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use model::{ActionNo, Digest, Failure, Label, Money, NodeIx, Payload, Phase, Timestamp};
use serde_json::Value;

use crate::Scope as Names;
use crate::action::Action;
use crate::effect::RunNames;
use crate::event::ScopeNo;
use crate::unit::Compiled;

/// An open run.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) names: Arc<RunNames>,
    /// `names` as an expression sees it.
    pub(crate) names_value: Value,
    pub(crate) graph: Digest,
    pub(crate) idempotency_key: Option<String>,
    pub(crate) priority: i32,
    pub(crate) label: Label,
    pub(crate) salt: [u8; 32],
    pub(crate) status: RunStatus,
    pub(crate) paused: bool,
    pub(crate) scopes: Vec<Scope>,
    pub(crate) actions: Vec<Action>,
    /// Nodes whose dependencies are settled and that are neither opened nor skipped yet.
    pub(crate) ready: BTreeSet<(ScopeNo, NodeIx)>,
    /// Maps that may open more items.
    pub(crate) hungry: BTreeSet<ActionNo>,
    /// Maps and scopes with nothing left to wait for, and actions that end in the same step.
    pub(crate) complete: BTreeSet<ActionNo>,
    /// Whether every node of the root scope is settled.
    pub(crate) root_complete: bool,
    /// Actions with an attempt in flight, placed or stopping.
    pub(crate) in_flight: u32,
    /// Actions not yet done.
    pub(crate) open: u32,
    /// Actions with an undo, in the order in which they succeeded.
    pub(crate) succeeded: Vec<ActionNo>,
    /// Actions whose inputs could not be brought to their site.
    pub(crate) stranded: BTreeSet<ActionNo>,
    /// The first failure that the run has not answered yet.
    pub(crate) trouble: Option<ActionNo>,
    /// Outputs of an earlier run that stand for nodes of the root scope.
    pub(crate) reused: BTreeMap<NodeIx, Payload>,
    /// Signals that came before anyone waited for them.
    pub(crate) signals: BTreeMap<String, VecDeque<Payload>>,
    /// Where artifacts have copies, and their sizes.
    pub(crate) locations: BTreeMap<Digest, Location>,
    /// Actions that wait for an artifact at a site, and the transfer that brings it.
    pub(crate) arriving: BTreeMap<(Digest, Arc<str>), Arriving>,
    pub(crate) cost: Money,
    pub(crate) submitted_at: Timestamp,
    pub(crate) deadline: Option<Timestamp>,
}

/// Where an artifact has copies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Location {
    pub(crate) size: u64,
    pub(crate) sites: BTreeSet<Arc<str>>,
}

/// An artifact on its way to a site.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Arriving {
    pub(crate) transfer: Option<ActionNo>,
    pub(crate) wanted_by: BTreeSet<ActionNo>,
}

/// What the run as a whole is doing.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum RunStatus {
    /// Going forward.
    Active,
    /// Winding up because a node failed or the deadline passed.
    Failing { failure: Failure, phase: Phase, told: bool },
    /// Winding up because somebody asked.
    Cancelling { reason: String, told: bool },
    /// Undoing what succeeded.
    Compensating { queue: VecDeque<ActionNo>, current: Option<ActionNo>, ends: Phase, failure: Option<Failure> },
}

/// The nodes of one graph as they run: the root, or a sub-workflow.
#[derive(Debug)]
pub(crate) struct Scope {
    pub(crate) compiled: Arc<Compiled>,
    /// The action that the sub-workflow is; none for the root.
    pub(crate) parent: Option<ActionNo>,
    pub(crate) inputs: Payload,
    pub(crate) nodes: Vec<NodeState>,
    /// Nodes not settled yet.
    pub(crate) unsettled: u32,
    /// What stands before the ids of its nodes in paths: empty, or ends with `/`.
    pub(crate) prefix: Arc<str>,
    pub(crate) depth: u32,
}

/// Where a node is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum NodeState {
    /// Waits for so many nodes.
    Waiting(u32),
    /// Its action is open.
    Open,
    /// Ended well, with this output.
    Succeeded(Option<Payload>),
    /// Left out.
    Skipped,
    /// Ended badly.
    Failed,
}

static NULL: Value = Value::Null;

impl Run {
    pub(crate) fn action(&self, number: ActionNo) -> Option<&Action> {
        self.actions.get(number.0 as usize)
    }

    pub(crate) fn action_mut(&mut self, number: ActionNo) -> Option<&mut Action> {
        self.actions.get_mut(number.0 as usize)
    }

    /// Whether the placer may place an action of it: never while it is winding up, but an undo is placed while compensating.
    pub(crate) fn may_place(&self) -> bool {
        !self.paused && matches!(self.status, RunStatus::Active | RunStatus::Compensating { .. })
    }

    /// The names that the expressions of a node see.
    pub(crate) fn names_for<'a>(&'a self, scope: &'a Scope, refs: &[NodeIx], item: Option<(&'a Value, u32)>) -> Names<'a> {
        let nodes = refs
            .iter()
            .filter_map(|index| {
                let id = scope.compiled.units.get(*index as usize)?.node.id.as_str();
                Some((id, scope.output(*index)))
            })
            .collect();
        Names { inputs: Some(scope.inputs.value()), nodes, item, run: Some(&self.names_value) }
    }

    /// The names that the outputs of a scope see: all its nodes.
    pub(crate) fn names_for_outputs<'a>(&'a self, scope: &'a Scope) -> Names<'a> {
        let all: Vec<NodeIx> = (0..scope.nodes.len() as NodeIx).collect();
        self.names_for(scope, &all, None)
    }

    /// Whether an artifact has a copy at a site.
    pub(crate) fn has_copy(&self, artifact: &Digest, site: &str) -> bool {
        self.locations.get(artifact).is_some_and(|location| location.sites.contains(site))
    }
}

impl Scope {
    pub(crate) fn new(compiled: Arc<Compiled>, parent: Option<ActionNo>, inputs: Payload, prefix: Arc<str>, depth: u32) -> Scope {
        let nodes: Vec<NodeState> = compiled.dependencies.iter().map(|count| NodeState::Waiting(*count)).collect();
        Scope { unsettled: nodes.len() as u32, compiled, parent, inputs, nodes, prefix, depth }
    }

    /// The output of a node; null when it was skipped or gave nothing.
    pub(crate) fn output(&self, node: NodeIx) -> &Value {
        match self.nodes.get(node as usize) {
            Some(NodeState::Succeeded(Some(payload))) => payload.value(),
            _ => &NULL,
        }
    }
}
