//! How an action ends, and who hears of it: its node and those that wait for that, its map, whoever wanted the transfer, its twins under
//! the same once key, the compensation it is part of.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{
    ActionKey, ActionNo, AttemptKey, Digest, Failure, FailureClass, Label, NodeIx, NodeKind, Payload, Phase, RunId, Timestamp,
};

use super::actions::clear_timers;
use super::attempts::dispatch;
use super::fleet;
use crate::State;
use crate::action::{Action, ActionState};
use crate::event::{RecallKind, Role, ScopeNo};
use crate::run::{NodeState, Run, RunStatus};
use crate::state::Freed;

/// How an action ended.
pub(super) struct Ending {
    pub(super) phase: Phase,
    pub(super) output: Option<Payload>,
    pub(super) failure: Option<Failure>,
    /// Whether the output is that of another action, whose business its undoing is.
    pub(super) reused: bool,
}

impl Ending {
    pub(super) fn aborted() -> Ending {
        Ending { phase: Phase::Aborted, output: None, failure: None, reused: false }
    }
}

/// Ends an action for good and tells whoever waits for it.
pub(super) fn end(state: &mut State, key: ActionKey, ending: Ending, at: Timestamp) {
    clear_timers(state, key, |_| true);
    state.fleet.queue.remove(key);
    let Ending { phase, output, failure, reused } = ending;
    let Some(run) = state.runs.get_mut(&key.run) else { return };
    run.complete.remove(&key.action);
    run.hungry.remove(&key.action);
    run.stranded.remove(&key.action);
    run.woken.remove(&key.action);
    let Some(action) = run.actions.get_mut(key.action.0 as usize) else { return };
    if action.is_done() {
        return;
    }
    let before = std::mem::replace(&mut action.state, ActionState::Done(phase));
    let once = action.recall.as_ref().filter(|recall| recall.kind == RecallKind::Once).map(|recall| recall.key);
    action.output = output.clone();
    action.failure = failure;
    let asked = action.children > 0;
    let (role, scope, node) = (action.role.clone(), action.scope, action.node);
    // A transfer has the definition of whoever wants it, and nothing of its own to undo.
    let undoable = phase == Phase::Succeeded && !reused && action.unit.undo.is_some() && !matches!(role, Role::Transfer { .. });
    run.open = run.open.saturating_sub(1);
    if undoable {
        run.succeeded.push(key.action);
    }
    let once = once.map(|once| (run.names.project.clone(), once));
    let counted = before != ActionState::Instant;
    // What never ran and was not taken from elsewhere has nothing to tell.
    let has_told = phase != Phase::Aborted && (reused || action.attempt.0 > 0 || matches!(before, ActionState::Scope(_)));
    leave(state, key, before);
    if let (Role::Child { parent }, true) = (&role, has_told) {
        let told = state.runs.get(&key.run).and_then(|run| Some(run.told_of(run.action(key.action)?, phase)));
        grow(state, ActionKey::new(key.run, *parent), &told.unwrap_or_default());
    }
    let Some(run) = state.runs.get_mut(&key.run) else { return };
    if asked && run.has_living_children(key.action) {
        run.orphaned.insert(key.action);
    }
    match role {
        Role::Node => {
            settle_node(run, scope, node, node_state(phase, output));
            note_trouble(run, key.action, phase);
        }
        Role::Item { each, index } => item_ended(run, key.action, each, index, phase, output),
        Role::Undo { .. } => undo_ended(run, key.action, phase),
        Role::Transfer { artifact, to, .. } => arrived(state, key.run, &artifact, &to, phase, at),
        Role::Child { parent } if counted => child_ended(state, ActionKey::new(key.run, parent), at),
        Role::Child { .. } => {}
    }
    if let Some(once) = once {
        leave_once(state, &once, key, phase);
    }
}

/// An action is told what something came to that it asked for: from now on it carries the tags of that. What follows a node that does carries them
/// too, since the labels of nodes were counted before anybody knew.
fn grow(state: &mut State, key: ActionKey, label: &Label) {
    let Some(run) = state.runs.get_mut(&key.run) else { return };
    let Some(action) = run.actions.get_mut(key.action.0 as usize) else { return };
    let new = Label(label.0.difference(&action.label.0).cloned().collect());
    if new.is_empty() || action.is_done() {
        return;
    }
    action.label.join(&new);
    action.grown.join(&new);
    if !matches!(action.role, Role::Child { .. }) {
        run.label.join(&new);
    }
    let attempt = AttemptKey { run: key.run, action: key.action, attempt: action.attempt };
    state.passing.grown.push((attempt, action.label.clone()));
}

/// Something that an action asked for has ended. When it was the last, the action works again and needs what it holds.
fn child_ended(state: &mut State, key: ActionKey, at: Timestamp) {
    let Some(parent) = state.runs.get_mut(&key.run).and_then(|run| run.action_mut(key.action)) else { return };
    parent.children = parent.children.saturating_sub(1);
    parent.told_at = at;
    let at_work = parent.in_flight() && !parent.holds && parent.children == 0;
    if let (true, Some(site)) = (at_work, parent.site.clone()) {
        parent.holds = true;
        fleet::take_back(&mut state.fleet, &site, &parent.unit.node.needs.resources);
    }
    let Some(run) = state.runs.get_mut(&key.run) else { return };
    note_woken(run, key.action);
    if run.orphaned.contains(&key.action) && !run.has_living_children(key.action) {
        run.orphaned.remove(&key.action);
    }
}

/// Notes that an action without a process has something to be told, when it has.
pub(super) fn note_woken(run: &mut Run, number: ActionNo) {
    let wakes = |action: &Action| action.state == ActionState::Suspended && action.children < action.stopped_with;
    if run.action(number).is_some_and(wakes) {
        run.woken.insert(number);
    }
}

/// Takes an action out of what its last state had put it into.
fn leave(state: &mut State, key: ActionKey, before: ActionState) {
    let Some(run) = state.runs.get_mut(&key.run) else { return };
    match before {
        ActionState::AwaitingEvent(name) => {
            if let Some(waiting) = state.event_waits.get_mut(&name) {
                waiting.remove(&key);
                if waiting.is_empty() {
                    state.event_waits.remove(&name);
                }
            }
        }
        ActionState::AwaitingSignal(name) => {
            if let Some(waiting) = run.signal_waits.get_mut(&name) {
                waiting.remove(&key.action);
                if waiting.is_empty() {
                    run.signal_waits.remove(&name);
                }
            }
            run.note_deliverable(&name);
        }
        // What a map or a sub-workflow had not opened yet is never opened, and what failed within it has been answered.
        ActionState::Scope(scope) => {
            let ready: Vec<_> = run.ready.range((scope, 0)..=(scope, NodeIx::MAX)).copied().collect();
            for place in ready {
                run.ready.remove(&place);
            }
            forget_troubles(run, key.action);
        }
        ActionState::Each(_) => forget_troubles(run, key.action),
        _ => {}
    }
}

fn forget_troubles(run: &mut Run, ended: ActionNo) {
    let answered = |number: &ActionNo| run.ancestors(*number).any(|(above, _)| above == ended);
    let answered: Vec<ActionNo> = run.troubles.iter().copied().filter(answered).collect();
    for number in answered {
        run.troubles.remove(&number);
    }
}

fn node_state(phase: Phase, output: Option<Payload>) -> NodeState {
    match phase {
        Phase::Succeeded => NodeState::Succeeded(output),
        Phase::Skipped => NodeState::Skipped,
        _ => NodeState::Failed,
    }
}

/// Notes a failure that somebody has to answer. Below something that has ended nobody has to.
fn note_trouble(run: &mut Run, number: ActionNo, phase: Phase) {
    if matches!(phase, Phase::Failed | Phase::TimedOut) && !run.ancestors(number).any(|(_, action)| action.is_done()) {
        run.troubles.insert(number);
    }
}

/// Settles a node and frees what waited for it.
pub(super) fn settle_node(run: &mut Run, number: ScopeNo, node: NodeIx, settled: NodeState) {
    let Some(scope) = run.scopes.get(number as usize) else { return };
    let closed = run.is_closed(scope);
    let Some(scope) = run.scopes.get_mut(number as usize) else { return };
    let frees = matches!(settled, NodeState::Succeeded(_) | NodeState::Skipped);
    if let Some(place) = scope.nodes.get_mut(node as usize) {
        *place = settled;
    }
    scope.unsettled = scope.unsettled.saturating_sub(1);
    if closed {
        return;
    }
    if frees {
        let compiled = scope.compiled.clone();
        for successor in compiled.successors.get(node as usize).into_iter().flatten() {
            if let Some(NodeState::Waiting(missing)) = scope.nodes.get_mut(*successor as usize) {
                *missing = missing.saturating_sub(1);
                if *missing == 0 {
                    run.ready.insert((number, *successor));
                }
            }
        }
    }
    if scope.unsettled == 0 {
        match scope.parent {
            None => run.root_complete = true,
            Some(parent) => {
                run.complete.insert(parent);
            }
        }
    }
}

fn item_ended(run: &mut Run, number: ActionNo, each: ActionNo, index: u32, phase: Phase, output: Option<Payload>) {
    let failed = matches!(phase, Phase::Failed | Phase::TimedOut);
    let mut fails_the_map = false;
    let (mut hungry, mut complete) = (false, false);
    if let Some(Action { state: ActionState::Each(map), unit, .. }) = run.action_mut(each) {
        let NodeKind::Each { go_on, concurrency, .. } = unit.node.kind else { return };
        map.running = map.running.saturating_sub(1);
        if let Some(place) = map.outputs.get_mut(index as usize) {
            *place = output;
        }
        fails_the_map = failed && !go_on;
        hungry = map.next < map.total && map.running < concurrency.max(1);
        complete = map.next == map.total && map.running == 0;
    }
    if fails_the_map {
        note_trouble(run, number, phase);
    } else if hungry {
        run.hungry.insert(each);
    } else if complete {
        run.complete.insert(each);
    }
}

fn undo_ended(run: &mut Run, number: ActionNo, phase: Phase) {
    let path = run.action(number).map(|action| action.path.to_string()).unwrap_or_default();
    let RunStatus::Compensating { current, failure, .. } = &mut run.status else { return };
    *current = None;
    if phase != Phase::Succeeded {
        // What could not be undone has to reach a person: it goes into the failure of the run.
        let sentence = format!("`{path}` did not succeed; what it should have undone still stands");
        match failure {
            Some(failure) => failure.add(&sentence),
            None => *failure = Some(Failure::new(FailureClass::Child, sentence)),
        }
    }
}

/// An artifact arrived at a site, or will not. An action that was moved to another site in the meantime waits for another transfer.
fn arrived(state: &mut State, id: RunId, artifact: &Digest, to: &str, phase: Phase, at: Timestamp) {
    let Some(run) = state.runs.get_mut(&id) else { return };
    let waiting: BTreeSet<ActionNo> =
        run.arriving.remove(&(*artifact, Arc::from(to))).map(|arriving| arriving.wanted_by).unwrap_or_default();
    for number in waiting {
        let Some(run) = state.runs.get_mut(&id) else { return };
        let Some(action) = run.actions.get_mut(number.0 as usize) else { continue };
        if action.site.as_deref() != Some(to) {
            continue;
        }
        let ActionState::Staging(missing) = &mut action.state else { continue };
        if phase == Phase::Succeeded {
            missing.remove(artifact);
            if missing.is_empty() {
                dispatch(state, ActionKey::new(id, number), at);
            }
        } else {
            run.stranded.insert(number);
        }
    }
}

/// Gives up a once key. After a success all who wait for it take the output; otherwise the next holds it and everybody else goes on waiting.
fn leave_once(state: &mut State, once: &(String, Digest), key: ActionKey, phase: Phase) {
    let Some(holder) = state.once.get_mut(once) else { return };
    if holder.holder != key {
        holder.leave(key);
        return;
    }
    if phase != Phase::Succeeded
        && let Some(waiting) = holder.hand_over()
    {
        state.passing.freed.push_back(Freed { waiting, twin: None });
    } else if let Some(holder) = state.once.remove(once) {
        let freed = holder.waiting.into_values().map(|waiting| Freed { waiting, twin: Some(key) });
        state.passing.freed.extend(freed);
    }
}
