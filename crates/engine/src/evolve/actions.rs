//! Facts about actions: how they come into being and begin, what they wait for, how they end without an attempt.

use std::sync::Arc;

use model::{ActionKey, ActionNo, AttemptNo, Epoch, Label, NodeKind, Payload, RunId, Timestamp};

use super::attempts::{add_locations, brought, leave_site, start_transfer};
use super::endings::{Ending, end};
use super::{fleet, runs};
use crate::action::{Action, ActionState, EachState, HumanState};
use crate::effect::Effect;
use crate::event::{
    ActionFinished, ActionsOpened, ChildOpened, HumanDecided, HumanDelegated, HumanEscalated, HumanSeen, Opened, RecallAsked,
    RecallKind, Role, ScopeNo,
};
use crate::run::{Kept, NodeState, Run, RunStatus, Scope};
use crate::state::OnceHolder;
use crate::timer::{Timer, TimerKind};
use crate::unit::Unit;
use crate::{State, wait};

pub(super) fn opened(state: &mut State, event: &ActionsOpened, at: Timestamp) {
    for opened in &event.actions {
        let unit = state.runs.get(&event.run).and_then(|run| unit_of(run, opened));
        open(state, event.run, opened, unit, at);
    }
    state.passing.dirty.insert(event.run);
}

/// What a running action asked for. It brings its definition along.
pub(super) fn child_opened(state: &mut State, event: &ChildOpened, at: Timestamp) {
    let Ok(node) = serde_json::from_str(&event.definition) else { return };
    let unit = Unit::new(Arc::new(node));
    if unit.sub.is_some()
        && let Some(run) = state.runs.get_mut(&event.run)
    {
        label_inside(run, event);
    }
    open(state, event.run, &event.opened, Some(Arc::new(unit)), at);
    state.passing.dirty.insert(event.run);
}

/// Keeps what the nodes of a workflow can read and give that a running action asked for.
fn label_inside(run: &mut Run, event: &ChildOpened) {
    let (path, mut beyond) = (event.opened.path.as_str(), event.opened.label.clone());
    if let Some(inside) = &event.inside {
        let at = |below: &String| if below.is_empty() { path.to_owned() } else { format!("{path}/{below}") };
        run.reads.extend(inside.reads.iter().map(|(below, label)| (at(below), label.clone())));
        run.gives.extend(inside.gives.iter().map(|(below, given)| (at(below), given.clone())));
        beyond.0.retain(|tag| !inside.inputs.values().any(|label| label.0.contains(tag)));
    }
    if !beyond.is_empty() {
        run.beyond.insert(Arc::from(path), beyond);
    }
}

/// The definition that an action of this role runs.
fn unit_of(run: &Run, opened: &Opened) -> Option<Arc<Unit>> {
    let of_node = || run.scopes.get(opened.scope as usize)?.compiled.units.get(opened.node as usize).cloned();
    match &opened.role {
        Role::Node => of_node(),
        Role::Item { each, .. } => run.action(*each)?.unit.body.clone(),
        Role::Undo { of } => run.action(*of)?.unit.undo.clone(),
        Role::Transfer { wanted_by, .. } => Some(run.action(*wanted_by)?.unit.clone()),
        Role::Child { .. } => None,
    }
}

fn open(state: &mut State, id: RunId, opened: &Opened, unit: Option<Arc<Unit>>, at: Timestamp) {
    let (Some(run), Some(unit)) = (state.runs.get_mut(&id), unit) else { return };
    if opened.action.0 as usize != run.actions.len() {
        return;
    }
    run.actions.push(Action {
        role: opened.role.clone(),
        scope: opened.scope,
        node: opened.node,
        unit,
        path: Arc::from(opened.path.as_str()),
        input: opened.input.clone(),
        label: opened.label.clone(),
        grown: Label::empty(),
        recall: opened.recall.clone(),
        state: ActionState::Instant,
        attempt: AttemptNo(0),
        retries: 0,
        system_retries: 0,
        site: None,
        epoch: Epoch(0),
        queued_at: at,
        placed_at: Timestamp(0),
        holds: false,
        children: 0,
        told_at: Timestamp(0),
        stopped_with: 0,
        timers: Vec::new(),
        output: None,
        failure: None,
    });
    run.open += 1;
    match &opened.role {
        Role::Node => {
            run.ready.remove(&(opened.scope, opened.node));
            if let Some(node) =
                run.scopes.get_mut(opened.scope as usize).and_then(|scope| scope.nodes.get_mut(opened.node as usize))
            {
                *node = NodeState::Open;
            }
        }
        Role::Item { each, .. } => item_opened(run, *each),
        Role::Undo { .. } => {
            if let RunStatus::Compensating { queue, current, .. } = &mut run.status {
                queue.pop_front();
                *current = Some(opened.action);
            }
        }
        Role::Transfer { wanted_by, artifact, to, .. } => {
            let arriving = run.arriving.entry((*artifact, Arc::from(to.as_str()))).or_default();
            arriving.transfer = Some(opened.action);
            arriving.wanted_by.insert(*wanted_by);
        }
        Role::Child { parent } => {
            run.children.insert(Arc::from(opened.path.as_str()), opened.action);
            // Also what it did by itself and only says so is a sign of life.
            if let Some(asking) = run.action_mut(*parent) {
                asking.told_at = at;
            }
            if !opened.instant {
                asked_for_one(state, ActionKey::new(id, *parent));
            }
        }
    }
    let key = ActionKey::new(id, opened.action);
    if opened.instant {
        return;
    }
    match &opened.role {
        Role::Transfer { .. } => start_transfer(state, key),
        _ if opened.recall.is_some() => recall(state, key),
        _ => begin(state, key, at),
    }
}

/// An action asked for another one: from now on it waits, and others may use what it holds.
fn asked_for_one(state: &mut State, key: ActionKey) {
    let Some(parent) = state.runs.get_mut(&key.run).and_then(|run| run.action_mut(key.action)) else { return };
    parent.children += 1;
    let is_first = parent.children == 1;
    let needs = parent.unit.node.needs.resources;
    if let (true, Some(site)) = (std::mem::take(&mut parent.holds), parent.site.clone()) {
        fleet::lend(&mut state.fleet, &site, &needs);
    }
    // Also where it held nothing: of its run one less is at work.
    state.passing.room |= is_first;
}

fn item_opened(run: &mut Run, each: ActionNo) {
    let mut hungry = false;
    if let Some(Action { state: ActionState::Each(map), unit, .. }) = run.action_mut(each) {
        map.next += 1;
        map.running += 1;
        let NodeKind::Each { concurrency, .. } = unit.node.kind else { return };
        hungry = map.next < map.total && map.running < concurrency.max(1);
    }
    if !hungry {
        run.hungry.remove(&each);
    }
}

/// Puts an action to work after it was opened, or after nothing was found under its key.
fn begin(state: &mut State, key: ActionKey, at: Timestamp) {
    let Some(run) = state.runs.get_mut(&key.run) else { return };
    let (priority, paused) = (run.priority, run.paused);
    let Some(action) = run.action_mut(key.action) else { return };
    let unit = action.unit.clone();
    match &unit.node.kind {
        NodeKind::Use { .. } | NodeKind::Run { .. } | NodeKind::Task { .. } => {
            action.state = ActionState::Queued;
            state.fleet.queue.push(key, priority, paused);
            let span = unit.node.total_timeout;
            set_timer(state, key, span.map(|span| (at.after(span), TimerKind::TotalTimeout)));
            set_queue_timer(state, key, at);
            return;
        }
        NodeKind::Workflow { .. } => open_scope(run, key.action, &unit),
        NodeKind::Human => {
            action.state = ActionState::Human(HumanState::default());
            let first = wait::escalation(action.input.as_ref(), 0);
            set_timer(state, key, first.map(|span| (at.after(span), TimerKind::Escalate(0))));
        }
        NodeKind::Wait => begin_wait(state, key, at),
        NodeKind::Each { .. } => {
            let total = action.input.as_ref().and_then(|input| input.value().get("items")?.as_array()).map_or(0, Vec::len) as u32;
            action.state =
                ActionState::Each(Box::new(EachState { total, next: 0, running: 0, outputs: vec![None; total as usize] }));
            run.hungry.insert(key.action);
        }
        NodeKind::Decide { .. } => {}
    }
    set_timer(state, key, unit.timeout().map(|span| (at.after(span), TimerKind::Timeout)));
}

fn open_scope(run: &mut Run, number: ActionNo, unit: &Unit) {
    let scope_no = run.scopes.len() as ScopeNo;
    let depth = run.action(number).and_then(|action| run.scopes.get(action.scope as usize)).map_or(0, |scope| scope.depth);
    let salt = run.salt;
    let (Some(compiled), Some(action)) = (unit.sub.clone(), run.action_mut(number)) else { return };
    let inputs = action.input.clone().unwrap_or_else(|| Payload::new(&salt, serde_json::json!({})));
    let prefix = Arc::from(format!("{}/", action.path));
    action.state = ActionState::Scope(scope_no);
    let scope = Scope::new(compiled, Some(number), inputs, prefix, depth + 1);
    run.ready.extend(runs::first_ready(scope_no, &scope));
    if scope.nodes.is_empty() {
        run.complete.insert(number);
    }
    run.scopes.push(scope);
}

fn begin_wait(state: &mut State, key: ActionKey, at: Timestamp) {
    let Some(run) = state.runs.get_mut(&key.run) else { return };
    let Some(action) = run.action_mut(key.action) else { return };
    match wait::parse(action.input.as_ref(), at) {
        Ok(wait::Wait::Until(due)) => {
            action.state = ActionState::Sleeping;
            set_timer(state, key, Some((due, TimerKind::Wake)));
        }
        Ok(wait::Wait::Signal(name)) => {
            action.state = ActionState::AwaitingSignal(name.clone());
            run.signal_waits.entry(name.clone()).or_default().insert(key.action);
            run.note_deliverable(&name);
        }
        Ok(wait::Wait::Event(name)) => {
            action.state = ActionState::AwaitingEvent(name.clone());
            state.event_waits.entry(name).or_default().insert(key);
        }
        // Decided to fail in the step that opened it.
        Err(_) => {}
    }
}

/// An action begins to wait for a place.
pub(super) fn set_queue_timer(state: &mut State, key: ActionKey, at: Timestamp) {
    let action = state.runs.get(&key.run).and_then(|run| run.action(key.action));
    let span = action.and_then(|action| action.unit.node.queue_timeout);
    set_timer(state, key, span.map(|span| (at.after(span), TimerKind::QueueTimeout)));
}

pub(super) fn set_timer(state: &mut State, key: ActionKey, timer: Option<(Timestamp, TimerKind)>) {
    let Some((at, kind)) = timer else { return };
    let Some(action) = state.runs.get_mut(&key.run).and_then(|run| run.action_mut(key.action)) else { return };
    action.timers.push((at, kind));
    state.timers.set(Timer { at, run: key.run, action: Some(key.action), kind });
}

pub(super) fn clear_timers(state: &mut State, key: ActionKey, which: impl Fn(TimerKind) -> bool) {
    let Some(action) = state.runs.get_mut(&key.run).and_then(|run| run.action_mut(key.action)) else { return };
    let timers = &mut state.timers;
    action.timers.retain(|(at, kind)| {
        let clear = which(*kind);
        if clear {
            timers.clear(&Timer { at: *at, run: key.run, action: Some(key.action), kind: *kind });
        }
        !clear
    });
}

/// Asks what is known of the action's key; under a once key that another action holds, waits for that one.
fn recall(state: &mut State, key: ActionKey) {
    let Some(run) = state.runs.get_mut(&key.run) else { return };
    let project = run.names.project.clone();
    let Some(action) = run.action_mut(key.action) else { return };
    let Some(recall) = action.recall.clone() else { return };
    if recall.kind == RecallKind::Once {
        let entry = state.once.entry((project.clone(), recall.key));
        let holder = entry.or_insert_with(|| OnceHolder::new(key));
        if holder.holder != key {
            holder.wait(key);
            action.state = ActionState::AwaitingTwin;
            return;
        }
    }
    action.state = ActionState::Recalling;
    state.passing.effects.push(Effect::Recall { action: key, project, key: recall });
}

pub(super) fn recall_asked(state: &mut State, event: &RecallAsked) {
    recall(state, ActionKey::new(event.run, event.action));
}

pub(super) fn recall_missed(state: &mut State, key: ActionKey, at: Timestamp) {
    begin(state, key, at);
}

pub(super) fn finished(state: &mut State, event: &ActionFinished, at: Timestamp) {
    let key = ActionKey::new(event.run, event.action);
    if let Some(run) = state.runs.get_mut(&event.run) {
        brought(run, event.action, event.output.as_ref(), &event.locations);
        add_locations(run, &event.locations);
        if event.reused {
            taken(run, event.action, event.output.as_ref());
        }
        if let Some(Action { state: ActionState::AwaitingSignal(name), .. }) = run.action(event.action) {
            let name = name.clone();
            if event.phase == model::Phase::Succeeded
                && let Some(queue) = run.signals.get_mut(&name)
                && queue.pop_front().is_some()
            {
                run.signals_kept = run.signals_kept.saturating_sub(1);
                if queue.is_empty() {
                    run.signals.remove(&name);
                }
            }
        }
    }
    leave_site(state, key);
    let (output, failure) = (event.output.clone(), event.failure.clone());
    end(state, key, Ending { phase: event.phase, output, failure, reused: event.reused }, at);
    state.passing.dirty.insert(event.run);
}

/// What an item of an earlier run gave is taken by one item, and by no other after that.
fn taken(run: &mut Run, number: ActionNo, output: Option<&Payload>) {
    let Some(output) = output.map(|output| output.commitment) else { return };
    let Some(action) = run.action(number) else { return };
    let Role::Item { index, .. } = action.role else { return };
    let given = action
        .input
        .as_ref()
        .map_or_else(|| Payload::new(&run.salt, serde_json::Value::Null).commitment, |input| input.commitment);
    let key = (action.node, given);
    let Some(kept) = run.reused_items.get_mut(&key) else { return };
    let same = |kept: &Kept| kept.output.commitment == output;
    let own = kept.binary_search_by_key(&Some(index), |one| one.index).ok().filter(|at| kept.get(*at).is_some_and(same));
    let at = own.or_else(|| kept.iter().position(same));
    if let Some(at) = at {
        kept.remove(at);
    }
    if kept.is_empty() {
        run.reused_items.remove(&key);
    }
}

pub(super) fn human_decided(state: &mut State, event: &HumanDecided) {
    let Some(action) = state.runs.get_mut(&event.run).and_then(|run| run.action_mut(event.action)) else { return };
    if let ActionState::Human(human) = &mut action.state {
        human.first = Some((event.principal.clone(), event.form.clone()));
    }
}

fn human(state: &mut State, run: RunId, action: ActionNo) -> Option<&mut HumanState> {
    match &mut state.runs.get_mut(&run)?.action_mut(action)?.state {
        ActionState::Human(human) => Some(human),
        _ => None,
    }
}

pub(super) fn human_delegated(state: &mut State, event: &HumanDelegated) {
    if let Some(human) = human(state, event.run, event.action) {
        human.delegated = Some((event.users.clone(), event.groups.clone()));
    }
}

pub(super) fn human_seen(state: &mut State, event: &HumanSeen) {
    if let Some(human) = human(state, event.run, event.action) {
        human.seen.insert(event.principal.clone());
    }
}

pub(super) fn human_escalated(state: &mut State, event: &HumanEscalated, at: Timestamp) {
    let key = ActionKey::new(event.run, event.action);
    clear_timers(state, key, |kind| matches!(kind, TimerKind::Escalate(_)));
    let Some(action) = state.runs.get_mut(&event.run).and_then(|run| run.action_mut(event.action)) else { return };
    let next = event.step + 1;
    if let ActionState::Human(human) = &mut action.state {
        human.escalated = next;
    }
    let due = wait::escalation(action.input.as_ref(), next as usize);
    set_timer(state, key, due.map(|span| (at.after(span), TimerKind::Escalate(next))));
}
