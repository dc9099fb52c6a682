//! Facts about runs as a whole.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use model::{ActionKey, ActionNo, Digest, Failure, FailureClass, Money, NodeIx, Phase, RunId, Timestamp};

use crate::State;
use crate::action::ActionState;
use crate::effect::RunNames;
use crate::event::{
    ArtifactsLabelled, CompensationStarted, NodesSkipped, Origin, PlannedPlace, ReusedItem, RunCancelRequested, RunFailing,
    RunFinished, RunPlanned, RunSubmitted, SignalReceived,
};
use crate::evolve::endings::settle_node;
use crate::run::{Kept, Location, NodeState, Run, RunStatus, Scope};
use crate::state::{RecentRun, handle, number_at_end};
use crate::timer::{Timer, TimerKind};

pub(super) fn submitted(state: &mut State, event: &RunSubmitted, at: Timestamp) {
    state.last_run = state.last_run.max(event.run.0);
    let Some(compiled) = state.graphs.get(&event.graph).cloned() else { return };
    let names = RunNames {
        run: event.run,
        name: event.name.clone(),
        project: event.project.clone(),
        domain: event.domain.clone(),
        workflow: event.workflow.clone(),
        submitted_at: at,
        traceparent: event.traceparent.clone(),
    };
    let waits_its_turn = event.behind.is_some();
    // The time of a run that waits its turn begins with that turn.
    let deadline = compiled.graph.timeout.filter(|_| !waits_its_turn).map(|span| at.after(span));
    let trigger: Option<Arc<str>> = match &event.origin {
        Origin::Trigger { trigger, .. } => Some(Arc::from(trigger.as_str())),
        _ => None,
    };
    if let Some(trigger) = &trigger {
        state.triggered.entry(trigger.clone()).or_default().insert(event.run);
    }
    let mut locations: BTreeMap<_, Location> = BTreeMap::new();
    for located in &event.locations {
        let entry = locations.entry(located.artifact).or_default();
        entry.size = located.size;
        entry.sites.insert(Arc::from(located.site.as_str()));
    }
    let root = Scope::new(compiled, None, event.inputs.clone(), Arc::from(""), 0);
    let ready = first_ready(0, &root);
    let run = Run {
        names_value: serde_json::json!({
            "name": names.name, "project": names.project, "domain": names.domain, "workflow": names.workflow, "number": event.run.0,
        }),
        graph: event.graph,
        idempotency_key: event.idempotency_key.clone(),
        priority: event.priority,
        label: event.label.clone(),
        reads: BTreeMap::new(),
        gives: BTreeMap::new(),
        salt: event.salt,
        beyond: BTreeMap::new(),
        status: RunStatus::Active,
        paused: false,
        trigger,
        waits_its_turn,
        root_complete: root.nodes.is_empty(),
        scopes: vec![root],
        actions: Vec::new(),
        ready,
        hungry: BTreeSet::new(),
        complete: BTreeSet::new(),
        in_flight: 0,
        open: 0,
        succeeded: Vec::new(),
        stranded: BTreeSet::new(),
        children: BTreeMap::new(),
        orphaned: BTreeSet::new(),
        woken: BTreeSet::new(),
        troubles: BTreeSet::new(),
        reused: event.reused.iter().map(|reused| (reused.node, reused.output.clone())).collect(),
        reused_items: items_of(event.reused_items.iter().flatten()),
        signals: BTreeMap::new(),
        signals_kept: 0,
        signal_waits: BTreeMap::new(),
        deliverable: BTreeSet::new(),
        locations,
        arriving: BTreeMap::new(),
        cost: Money(0),
        goal: None,
        plan: BTreeMap::new(),
        began_at: at,
        concurrency: event.concurrency,
        deadline,
        names: Arc::new(names),
    };
    if let Some(deadline) = deadline {
        state.timers.set(Timer { at: deadline, run: event.run, action: None, kind: TimerKind::RunTimeout });
    }
    state.names.insert(handle([&event.project, &event.domain, &event.name]), event.run);
    if let Some(key) = &event.idempotency_key {
        state.keys.insert(handle([&event.project, key]), event.run);
    }
    state.runs.insert(event.run, run);
    state.passing.dirty.insert(event.run);
}

/// What stands for items, by what these are given.
fn items_of<'i>(items: impl Iterator<Item = &'i ReusedItem>) -> BTreeMap<(NodeIx, Digest), VecDeque<Kept>> {
    let mut kept: BTreeMap<(NodeIx, Digest), VecDeque<Kept>> = BTreeMap::new();
    for ReusedItem { node, input, output, locations, index } in items.cloned() {
        kept.entry((node, input)).or_default().push_back(Kept { index, output, locations });
    }
    // The one that stood somewhere is found without a look at all of them.
    kept.values_mut().for_each(|kept| kept.make_contiguous().sort_by_key(|one| one.index));
    kept
}

/// The nodes of a new scope that wait for nothing.
pub(super) fn first_ready(number: u32, scope: &Scope) -> BTreeSet<(u32, u32)> {
    let waits_for_none = |(index, node): (usize, &NodeState)| (*node == NodeState::Waiting(0)).then_some((number, index as u32));
    scope.nodes.iter().enumerate().filter_map(waits_for_none).collect()
}

pub(super) fn cancel_requested(state: &mut State, event: &RunCancelRequested) {
    let Some(run) = state.runs.get_mut(&event.run) else { return };
    // A run that winds up for a failure may have let work finish; now it is stopped.
    run.status = RunStatus::Cancelling { reason: event.reason.clone(), told: false };
    run.paused = false;
    run.troubles.clear();
    state.fleet.queue.let_go(event.run);
    clear_deadline(state, event.run);
    state.passing.dirty.insert(event.run);
}

pub(super) fn failing(state: &mut State, event: &RunFailing) {
    let Some(run) = state.runs.get_mut(&event.run) else { return };
    let phase = match event.action {
        None if event.failure.class == FailureClass::Timeout => Phase::TimedOut,
        _ => Phase::Failed,
    };
    run.status = RunStatus::Failing { failure: event.failure.clone(), phase, told: false };
    run.troubles.clear();
    clear_deadline(state, event.run);
    state.passing.dirty.insert(event.run);
}

pub(super) fn paused(state: &mut State, id: RunId, paused: bool) {
    let Some(run) = state.runs.get_mut(&id) else { return };
    run.paused = paused;
    if paused {
        let queued = run.actions.iter().enumerate().filter(|(_, action)| action.state == ActionState::Queued);
        for (index, _) in queued {
            state.fleet.queue.hold(ActionKey::new(id, ActionNo(index as u32)));
        }
    } else {
        state.fleet.queue.let_go(id);
    }
    state.passing.dirty.insert(id);
}

/// The turn of a run has come; its time runs from now on.
pub(super) fn began(state: &mut State, id: RunId, at: Timestamp) {
    let Some(run) = state.runs.get_mut(&id) else { return };
    run.waits_its_turn = false;
    run.began_at = at;
    let timeout = run.scopes.first().and_then(|root| root.compiled.graph.timeout);
    run.deadline = timeout.map(|span| at.after(span));
    if let Some(at) = run.deadline {
        state.timers.set(Timer { at, run: id, action: None, kind: TimerKind::RunTimeout });
    }
    state.passing.dirty.insert(id);
}

pub(super) fn compensation(state: &mut State, event: &CompensationStarted) {
    let Some(run) = state.runs.get_mut(&event.run) else { return };
    let (ends, failure) = match &run.status {
        RunStatus::Failing { failure, phase, .. } => (*phase, Some(failure.clone())),
        RunStatus::Cancelling { reason, .. } => (Phase::Aborted, Some(Failure::new(FailureClass::Cancelled, reason.clone()))),
        _ => (Phase::Failed, None),
    };
    run.status =
        RunStatus::Compensating { queue: event.order.iter().copied().collect::<VecDeque<_>>(), current: None, ends, failure };
    run.succeeded.clear();
    state.passing.dirty.insert(event.run);
}

pub(super) fn signal(state: &mut State, event: &SignalReceived) {
    let Some(run) = state.runs.get_mut(&event.run) else { return };
    run.signals.entry(event.name.clone()).or_default().push_back(event.payload.clone());
    run.signals_kept += 1;
    run.note_deliverable(&event.name);
    state.passing.dirty.insert(event.run);
}

pub(super) fn skipped(state: &mut State, event: &NodesSkipped) {
    let Some(run) = state.runs.get_mut(&event.run) else { return };
    for skipped in &event.nodes {
        run.ready.remove(&(event.scope, skipped.node));
        settle_node(run, event.scope, skipped.node, NodeState::Skipped);
    }
    state.passing.dirty.insert(event.run);
}

/// Keeps what the nodes of a run can read and give.
pub(super) fn labelled(state: &mut State, event: &crate::event::RunLabelled) {
    let Some(run) = state.runs.get_mut(&event.run) else { return };
    run.reads = event.reads.clone();
    run.gives = event.gives.clone();
    // What stands for nodes from an earlier run was brought by them.
    let stands: Vec<_> = run.reused.iter().map(|(node, output)| (*node, output.clone())).collect();
    for (node, output) in stands {
        let path = run.scopes.first().and_then(|root| root.compiled.graph.nodes.get(node as usize)).map(|node| node.id.clone());
        let Some(given) = path.and_then(|path| run.gives.get(path.as_str())).cloned() else { continue };
        for (artifact, label) in given.of_artifacts(output.value()) {
            run.locations.entry(artifact).or_default().bring(&label);
        }
    }
}

/// Notes what the artifacts carry that a run was given.
pub(super) fn artifacts_labelled(state: &mut State, event: &ArtifactsLabelled) {
    let Some(run) = state.runs.get_mut(&event.run).filter(|_| event.action.is_none()) else { return };
    for (artifact, label) in &event.labels {
        run.locations.entry(*artifact).or_default().bring(label);
    }
}

pub(super) fn planned(state: &mut State, event: &RunPlanned) {
    let Some(run) = state.runs.get_mut(&event.run) else { return };
    run.goal = event.goal.or(run.goal);
    let place = |place: &PlannedPlace| (Arc::from(place.path.as_str()), (Arc::from(place.site.as_str()), place.rest_s));
    run.plan = event.places.iter().map(place).collect();
    state.passing.room = true;
}

pub(super) fn finished(state: &mut State, event: &RunFinished) {
    clear_deadline(state, event.run);
    let Some(run) = state.runs.remove(&event.run) else { return };
    for (number, action) in run.actions.iter().enumerate() {
        for (at, kind) in &action.timers {
            let action = Some(ActionNo(number as u32));
            state.timers.clear(&Timer { at: *at, run: event.run, action, kind: *kind });
        }
    }
    if let Some(trigger) = &run.trigger
        && let Some(open) = state.triggered.get_mut(trigger)
    {
        open.remove(&event.run);
        match open.first() {
            // It may be its turn now.
            Some(next) => drop(state.passing.dirty.insert(*next)),
            None => drop(state.triggered.remove(trigger)),
        }
    }
    let names = &run.names;
    state.remember(RecentRun {
        name: handle([&names.project, &names.domain, &names.name]),
        number: number_at_end(&names.name),
        key: run.idempotency_key.as_ref().map(|key| handle([&names.project, key])),
    });
}

fn clear_deadline(state: &mut State, id: RunId) {
    if let Some(at) = state.runs.get_mut(&id).and_then(|run| run.deadline.take()) {
        state.timers.clear(&Timer { at, run: id, action: None, kind: TimerKind::RunTimeout });
    }
}
