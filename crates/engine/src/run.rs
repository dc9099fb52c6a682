//! The run aggregate: scopes of nodes, actions, and what the run is doing as a whole.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use model::{ActionNo, ArtifactRef, Carried, Digest, Failure, Label, Money, NodeIx, NodeKind, Payload, Phase, Timestamp};
use serde_json::Value;

use crate::Scope as Names;
use crate::action::{Action, ActionState};
use crate::effect::RunNames;
use crate::event::{Goal, Located, Role, ScopeNo};
use crate::state::without_items;
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
    /// What each node can read, by its path without the numbers of items; what is not named reads nothing that carries a tag.
    pub(crate) reads: BTreeMap<String, Label>,
    /// What each node gives.
    pub(crate) gives: BTreeMap<String, Carried>,
    /// By the path of a workflow that a running action asked for: what it carries beyond what its labels were counted with, and so does all of it.
    pub(crate) beyond: BTreeMap<Arc<str>, Label>,
    pub(crate) salt: [u8; 32],
    pub(crate) status: RunStatus,
    pub(crate) paused: bool,
    /// The trigger that started it.
    pub(crate) trigger: Option<Arc<str>>,
    /// Whether it begins only when no earlier run of its trigger is open.
    pub(crate) waits_its_turn: bool,
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
    /// Actions that another one asked for, by their paths.
    pub(crate) children: BTreeMap<Arc<str>, ActionNo>,
    /// Actions that have ended while some of what they asked for was open.
    pub(crate) orphaned: BTreeSet<ActionNo>,
    /// Actions that let go of their process and that there is something to tell now.
    pub(crate) woken: BTreeSet<ActionNo>,
    /// Failures that have not been answered yet: by the map they happened in, or by the run.
    pub(crate) troubles: BTreeSet<ActionNo>,
    /// Outputs of an earlier run that stand for nodes of the root scope.
    pub(crate) reused: BTreeMap<NodeIx, Payload>,
    /// Outputs that stand for items of maps and have not been taken, by the map and what the item is given, in the order of where
    /// they stood.
    pub(crate) reused_items: BTreeMap<(NodeIx, Digest), VecDeque<Kept>>,
    /// Signals that came before anyone waited for them.
    pub(crate) signals: BTreeMap<String, VecDeque<Payload>>,
    /// How many they are.
    pub(crate) signals_kept: u32,
    /// Actions that wait for a signal, by its name.
    pub(crate) signal_waits: BTreeMap<String, BTreeSet<ActionNo>>,
    /// Names of signals of which there is one, and somebody who waits for it.
    pub(crate) deliverable: BTreeSet<String>,
    /// Where artifacts have copies, and their sizes.
    pub(crate) locations: BTreeMap<Digest, Location>,
    /// Actions that wait for an artifact at a site, and the transfer that brings it.
    pub(crate) arriving: BTreeMap<(Digest, Arc<str>), Arriving>,
    pub(crate) cost: Money,
    /// When it should be done.
    pub(crate) goal: Option<Goal>,
    /// Where the actions of its nodes should go, by path without the numbers of items, with the seconds that are to follow.
    pub(crate) plan: BTreeMap<Arc<str>, (Arc<str>, u32)>,
    /// How many of its actions may be at work at once.
    pub(crate) concurrency: Option<u32>,
    /// When it was submitted, or when its turn came.
    pub(crate) began_at: Timestamp,
    pub(crate) deadline: Option<Timestamp>,
}

/// Where an artifact has copies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Location {
    pub(crate) size: u64,
    pub(crate) sites: BTreeSet<Arc<str>>,
    /// What those carry who brought it into the run, as far as all of them carry anything: none of it is within another. An artifact is known
    /// by its content alone, so that naming one is no way to have been given it.
    pub(crate) brought: Vec<Label>,
}

impl Location {
    /// Somebody brings it, or brings it again, who carries this.
    pub(crate) fn bring(&mut self, label: &Label) {
        let is_free = self.brought.iter().any(|known| known.0.is_subset(&label.0));
        if !is_free {
            self.brought.retain(|known| !label.0.is_subset(&known.0));
            self.brought.push(label.clone());
        }
    }

    /// What it carries, when that is more than somebody may read who carries `own`.
    pub(crate) fn beyond(&self, own: &Label) -> Option<&Label> {
        match self.brought.iter().any(|label| label.0.is_subset(&own.0)) {
            true => None,
            false => self.brought.first(),
        }
    }
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

/// An output of an item of an earlier run that one item of this run may take.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    /// Where it stood in its list.
    pub(crate) index: Option<u32>,
    pub(crate) output: Payload,
    /// Where the artifacts of the output lie.
    pub(crate) locations: Vec<Located>,
}

impl Run {
    pub(crate) fn action(&self, number: ActionNo) -> Option<&Action> {
        self.actions.get(number.0 as usize)
    }

    pub(crate) fn action_mut(&mut self, number: ActionNo) -> Option<&mut Action> {
        self.actions.get_mut(number.0 as usize)
    }

    /// How many of its actions are at work, or placed to be: those that wait for what they asked for are not, and those that wait for a worker are,
    /// though they hold nothing yet.
    fn at_work(&self) -> u32 {
        let is_placed = |action: &Action| action.in_flight() || matches!(action.state, ActionState::Staging(_));
        let is_work = |action: &Action| action.children == 0 && !matches!(action.role, Role::Transfer { .. });
        let at_work = |action: &&Action| action.holds || (is_placed(action) && is_work(action));
        self.actions.iter().filter(at_work).count() as u32
    }

    /// How many of its actions may begin beside those that are at work.
    pub(crate) fn may_begin(&self) -> usize {
        self.concurrency.map_or(usize::MAX, |most| most.saturating_sub(self.at_work()) as usize)
    }

    /// Whether the placer may place an action of it: never while it is winding up, but an undo is placed while compensating.
    pub(crate) fn may_place(&self) -> bool {
        !self.paused && matches!(self.status, RunStatus::Active | RunStatus::Compensating { .. })
    }

    /// The action that an action belongs to: the map of an item, the sub-workflow of a node, whoever wants a transfer.
    pub(crate) fn parent_of(&self, action: &Action) -> Option<ActionNo> {
        match action.role {
            Role::Item { each, .. } => Some(each),
            Role::Transfer { wanted_by, .. } => Some(wanted_by),
            Role::Child { parent } => Some(parent),
            Role::Undo { .. } => None,
            Role::Node => self.scopes.get(action.scope as usize)?.parent,
        }
    }

    /// The actions that an action belongs to, from the inside out.
    pub(crate) fn ancestors(&self, number: ActionNo) -> impl Iterator<Item = (ActionNo, &Action)> {
        let above = move |number: ActionNo| self.parent_of(self.action(number)?);
        std::iter::successors(above(number), move |number| above(*number))
            .filter_map(move |number| Some((number, self.action(number)?)))
    }

    /// What answers for a failure within it: the item of a map that goes on without the item, and what a running action asked for, which is the
    /// business of whoever asked.
    pub(crate) fn contained_in(&self, number: ActionNo) -> Option<ActionNo> {
        let goes_on = |action: &Action| match action.role {
            Role::Child { .. } => true,
            Role::Item { each, .. } => {
                self.action(each).is_some_and(|map| matches!(map.unit.node.kind, NodeKind::Each { go_on: true, .. }))
            }
            _ => false,
        };
        self.ancestors(number).find(|(_, action)| goes_on(action)).map(|(number, _)| number)
    }

    /// Whether something that an action asked for is open and not being stopped.
    pub(crate) fn has_living_children(&self, parent: ActionNo) -> bool {
        // Children are numbered after their parents.
        self.actions.iter().skip(parent.0 as usize).any(|action| {
            action.role == Role::Child { parent } && !matches!(action.state, ActionState::Done(_) | ActionState::Stopping(_))
        })
    }

    /// Whether a scope's sub-workflow has ended, so that nothing of it is opened any more.
    pub(crate) fn is_closed(&self, scope: &Scope) -> bool {
        scope.parent.and_then(|parent| self.action(parent)).is_some_and(Action::is_done)
    }

    /// Notes whether a signal of this name can be handed over.
    pub(crate) fn note_deliverable(&mut self, name: &str) {
        let kept = self.signals.get(name).is_some_and(|queue| !queue.is_empty());
        if kept && self.signal_waits.get(name).is_some_and(|waiting| !waiting.is_empty()) {
            self.deliverable.insert(name.to_owned());
        } else {
            self.deliverable.remove(name);
        }
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

    /// What the action at a path can read.
    pub(crate) fn label_at(&self, path: &str) -> Label {
        let mut label = self.label.clone();
        if !self.reads.is_empty()
            && let Some(read) = self.reads.get(&without_items(path))
        {
            label.join(read);
        }
        self.beyond_at(path).into_iter().for_each(|beyond| label.join(beyond));
        label
    }

    /// What all carries that belongs to the workflow that a path begins with, when a running action asked for that.
    fn beyond_at(&self, path: &str) -> Option<&Label> {
        self.beyond.get(path.split('/').next().unwrap_or(path))
    }

    /// What an action gives back carries.
    pub(crate) fn carried_by(&self, action: &Action) -> Carried {
        match action.role {
            // What an action asked for by itself gives what it could read.
            Role::Child { .. } if !action.is_workflow() => Carried { all: action.label.clone(), fields: BTreeMap::new() },
            _ => {
                let mut carried = self.gives.get(&without_items(&action.path)).cloned().unwrap_or_default();
                carried.all.join(&action.grown);
                self.beyond_at(&action.path).into_iter().for_each(|beyond| carried.all.join(beyond));
                carried
            }
        }
    }

    /// What whoever asked for an action is told carries, when it ended so. Of a workflow that failed nothing is told that they do not carry.
    pub(crate) fn told_of(&self, action: &Action, phase: Phase) -> Label {
        match action.is_workflow() {
            true if phase == Phase::Succeeded => self.carried_by(action).of(None).joined(&self.label),
            true => Label::empty(),
            false => action.label.clone(),
        }
    }

    /// What a workflow that an action asked for, and its nodes, can read beyond what whoever asked carries now: also what it was entered with, which
    /// only its results bring to them.
    pub(crate) fn read_beyond(&self, action: &Action) -> Label {
        let within = format!("{}/", action.path);
        let mut all = self.label.clone().joined(&action.label);
        self.beyond_at(&action.path).into_iter().for_each(|beyond| all.join(beyond));
        let inside = self.reads.range(within.clone()..).take_while(|(path, _)| path.starts_with(&within));
        inside.for_each(|(_, label)| all.join(label));
        let gives = self.gives.range(within.clone()..).take_while(|(path, _)| path.starts_with(&within));
        gives.for_each(|(_, given)| all.join(&given.of(None)));
        let carried = match action.role {
            Role::Child { parent } => self.action(parent).map(|asking| asking.label.clone()),
            _ => None,
        };
        Label(all.0.difference(&carried.unwrap_or_default().0).cloned().collect())
    }

    /// What the artifacts of an output carry.
    pub(crate) fn labels_of(&self, action: &Action, output: &Value) -> BTreeMap<Digest, Label> {
        self.carried_by(action).of_artifacts(output)
    }

    /// Whether anything in the run carries anything.
    pub(crate) fn is_labelled(&self) -> bool {
        !(self.label.is_empty() && self.reads.is_empty() && self.gives.is_empty())
    }

    /// An open action below another one that waits neither for a person nor for the time, nor for what is below it.
    pub(crate) fn at_work_below(&self, number: ActionNo) -> Option<&Action> {
        let mut below = BTreeSet::from([number]);
        // What is below another one is numbered after it, so that one pass finds all.
        for (index, action) in self.actions.iter().enumerate().skip(number.0 as usize) {
            if self.parent_of(action).is_some_and(|parent| below.contains(&parent)) {
                below.insert(ActionNo(index as u32));
                if !action.is_done() && !action.state.waits_for_others() {
                    return Some(action);
                }
            }
        }
        None
    }

    /// Where the artifacts inside a value lie.
    pub(crate) fn copies_of(&self, value: &Value) -> Vec<Located> {
        let mut copies = Vec::new();
        for artifact in ArtifactRef::all_in(value) {
            let Some(location) = self.locations.get(&artifact.digest) else { continue };
            let at = |site: &Arc<str>| Located { artifact: artifact.digest, size: location.size, site: site.to_string() };
            copies.extend(location.sites.iter().map(at));
        }
        copies
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
