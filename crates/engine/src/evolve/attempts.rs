//! Facts about attempts: placed, on their way, at work, stopped, ended.

use std::sync::Arc;

use model::{ActionKey, ActionNo, ArtifactRef, AttemptKey, AttemptNo, FailureClass, Payload, Phase, Timestamp};

use super::actions::{clear_timers, set_queue_timer, set_timer};
use super::endings::{Ending, end, note_woken};
use super::fleet;
use crate::State;
use crate::action::ActionState;
use crate::effect::Effect;
use crate::event::{ActionsParked, ActionsPlaced, AttemptFinished, AttemptStarted, CancelReason, CancelRequested, Located, Role};
use crate::fleet::Demand;
use crate::outstanding::{dispatch_of, transfer_of};
use crate::run::{Run, RunStatus};
use crate::timer::{STOP_GRACE, TimerKind};

/// Begins the next attempt of a transfer, which takes no place in the queue.
pub(super) fn start_transfer(state: &mut State, key: ActionKey) {
    let epoch = state.fleet.epoch;
    let Some(run) = state.runs.get_mut(&key.run) else { return };
    run.in_flight += 1;
    let Some(action) = run.action_mut(key.action) else { return };
    action.attempt = AttemptNo(action.attempt.0 + 1);
    action.epoch = epoch;
    action.state = ActionState::Running;
    if let Role::Transfer { to, .. } = &action.role {
        action.site = Some(Arc::from(to.as_str()));
    }
    state.passing.effects.extend(transfer_of(run, key.action, epoch));
}

pub(super) fn placed(state: &mut State, event: &ActionsPlaced, at: Timestamp) {
    let site: Arc<str> = Arc::from(event.site.as_str());
    for placed in &event.actions {
        let key = ActionKey::new(event.run, placed.action);
        state.passing.room |= state.fleet.queue.is_parked(key);
        state.fleet.queue.remove(key);
        clear_timers(state, key, |kind| kind == TimerKind::QueueTimeout);
        let Some(run) = state.runs.get_mut(&event.run) else { return };
        for digest in &placed.awaits {
            run.arriving.entry((*digest, site.clone())).or_default().wanted_by.insert(placed.action);
        }
        let Some(action) = run.action_mut(placed.action) else { continue };
        action.attempt = placed.attempt;
        action.epoch = event.epoch;
        action.site = Some(site.clone());
        action.placed_at = at;
        action.holds = action.children == 0 && event.worker.is_none();
        fleet::reserve(&mut state.fleet, &site, key, &action.unit.node.needs.resources, action.holds);
        if placed.awaits.is_empty() {
            dispatch(state, key, at);
        } else {
            action.state = ActionState::Staging(placed.awaits.iter().copied().collect());
        }
    }
}

/// An attempt is at work. One that waited for a worker holds from now on what it needs, whether or not there is room: how much a worker takes
/// is the worker's own limit.
pub(super) fn started(state: &mut State, event: &AttemptStarted) {
    let Some(action) = state.runs.get_mut(&event.run).and_then(|run| run.action_mut(event.action)) else { return };
    if action.holds || action.children > 0 || action.attempt != event.attempt || !action.in_flight() {
        return;
    }
    if let (Some(site), false) = (action.site.clone(), matches!(action.role, Role::Transfer { .. })) {
        action.holds = true;
        fleet::take_back(&mut state.fleet, &site, &action.unit.node.needs.resources);
    }
}

/// Hands a placed action whose inputs are all there to its executor.
pub(super) fn dispatch(state: &mut State, key: ActionKey, at: Timestamp) {
    let epoch = state.fleet.epoch;
    let Some(run) = state.runs.get_mut(&key.run) else { return };
    run.in_flight += 1;
    let Some(action) = run.action_mut(key.action) else { return };
    action.state = ActionState::Running;
    let timeout = action.unit.timeout();
    state.passing.effects.extend(dispatch_of(run, key.action, epoch));
    set_timer(state, key, timeout.map(|span| (at.after(span), TimerKind::Timeout)));
}

pub(super) fn parked(state: &mut State, event: &ActionsParked) {
    for number in &event.actions {
        let key = ActionKey::new(event.run, *number);
        if let Some(demand) = demand_of(state, key) {
            state.fleet.queue.park(key, demand);
        }
    }
}

/// What makes an action like others for the placer.
pub(crate) fn demand_of(state: &State, key: ActionKey) -> Option<Demand> {
    let run = state.runs.get(&key.run)?;
    let action = run.action(key.action)?;
    let (project, needs) = (run.names.project.clone(), action.unit.node.needs.clone());
    Some(Demand { project, needs, label: action.label.clone(), work: action.unit.work() })
}

/// Takes an action off its site: it holds no capacity and nothing is in flight for it.
pub(super) fn leave_site(state: &mut State, key: ActionKey) {
    clear_timers(state, key, |kind| matches!(kind, TimerKind::Timeout | TimerKind::StopGrace));
    let Some(run) = state.runs.get_mut(&key.run) else { return };
    run.stranded.remove(&key.action);
    let Some(action) = run.actions.get_mut(key.action.0 as usize) else { return };
    if action.in_flight() {
        run.in_flight = run.in_flight.saturating_sub(1);
    }
    if let Some(site) = action.site.take()
        && !matches!(action.role, Role::Transfer { .. })
    {
        let holds = std::mem::take(&mut action.holds);
        fleet::release(&mut state.fleet, &site, key, &action.unit.node.needs.resources, holds);
        state.passing.room = true;
    }
}

pub(super) fn attempt_finished(state: &mut State, event: &AttemptFinished, at: Timestamp) {
    let key = ActionKey::new(event.run, event.action);
    let Some(run) = state.runs.get_mut(&event.run) else { return };
    run.cost += event.cost;
    brought(run, event.action, event.output.as_ref(), &event.locations);
    add_locations(run, &event.locations);
    let Some(action) = run.action_mut(event.action) else { return };
    if let (Some(site), false) = (&action.site, matches!(action.role, Role::Transfer { .. })) {
        let attempt = AttemptKey { run: event.run, action: event.action, attempt: event.attempt };
        state.passing.effects.push(Effect::Release { attempt, site: site.to_string() });
    }
    let class = event.failure.as_ref().map(|failure| failure.class);
    match (class, &action.role) {
        (None, _) => {}
        (Some(class), _) if class.is_system() => action.system_retries += 1,
        // An input that cannot be brought is not the work's doing.
        (Some(FailureClass::Transfer), role) if !matches!(role, Role::Transfer { .. }) => action.system_retries += 1,
        (Some(_), _) => action.retries += 1,
    }
    let from = match &action.role {
        Role::Transfer { artifact, from, .. } => Some((*artifact, from.clone())),
        _ => None,
    };
    if let Some((artifact, from)) = from {
        // Its source has lost it, and is none any more.
        if class == Some(FailureClass::Transfer)
            && let Some(location) = run.locations.get_mut(&artifact)
        {
            location.sites.remove(from.as_str());
        }
        state.count_sent(&from, at, event.usage.bytes_in);
    }
    leave_site(state, key);
    match event.retry_at {
        None => {
            let (output, failure) = (event.output.clone(), event.failure.clone());
            end(state, key, Ending { phase: event.phase, output, failure, reused: false }, at);
        }
        Some(_) if event.phase == Phase::Paused => {
            let Some(run) = state.runs.get_mut(&event.run) else { return };
            if let Some(action) = run.action_mut(event.action) {
                action.state = ActionState::Suspended;
            }
            // What it waits for may have come while its process ended.
            note_woken(run, event.action);
        }
        Some(due) => {
            let Some(action) = state.runs.get_mut(&event.run).and_then(|run| run.action_mut(event.action)) else { return };
            action.state = ActionState::Backoff;
            if let Some(bytes) = event.memory_bytes {
                action.unit = Arc::new(action.unit.with_memory(bytes));
            }
            if due <= at {
                requeue(state, key, at);
            } else {
                set_timer(state, key, Some((due, TimerKind::Retry)));
            }
        }
    }
    state.passing.dirty.insert(event.run);
}

/// Notes under which label an action brings the files that it stored. What it only names it does not bring.
pub(super) fn brought(run: &mut Run, number: ActionNo, output: Option<&Payload>, located: &[Located]) {
    let Some(output) = output.filter(|_| run.is_labelled() && !located.is_empty()) else { return };
    let Some(action) = run.action(number) else { return };
    let labels = run.labels_of(action, output.value());
    for artifact in ArtifactRef::all_in(output.value()).into_iter().map(|artifact| artifact.digest) {
        if !located.iter().any(|located| located.artifact == artifact) {
            continue;
        }
        let label = labels.get(&artifact).cloned().unwrap_or_default();
        match run.locations.get_mut(&artifact) {
            // It came in without a tag.
            Some(known) if known.brought.is_empty() => {}
            Some(known) => known.bring(&label),
            None => run.locations.entry(artifact).or_default().bring(&label),
        }
    }
}

pub(super) fn add_locations(run: &mut Run, locations: &[Located]) {
    for located in locations {
        let entry = run.locations.entry(located.artifact).or_default();
        entry.size = located.size;
        entry.sites.insert(Arc::from(located.site.as_str()));
    }
}

pub(super) fn retry_due(state: &mut State, key: ActionKey, at: Timestamp) {
    clear_timers(state, key, |kind| kind == TimerKind::Retry);
    if let Some(run) = state.runs.get_mut(&key.run) {
        run.woken.remove(&key.action);
    }
    requeue(state, key, at);
}

fn requeue(state: &mut State, key: ActionKey, at: Timestamp) {
    let Some(run) = state.runs.get_mut(&key.run) else { return };
    let (priority, paused) = (run.priority, run.paused);
    let Some(action) = run.action_mut(key.action) else { return };
    if matches!(action.role, Role::Transfer { .. }) {
        start_transfer(state, key);
    } else {
        action.state = ActionState::Queued;
        action.queued_at = at;
        state.fleet.queue.push(key, priority, paused);
        set_queue_timer(state, key, at);
    }
}

pub(super) fn cancel_requested(state: &mut State, event: &CancelRequested, at: Timestamp) {
    for number in &event.ended {
        let key = ActionKey::new(event.run, *number);
        leave_site(state, key);
        end(state, key, Ending::aborted(), at);
    }
    for number in &event.actions {
        let key = ActionKey::new(event.run, *number);
        // One that goes on elsewhere still has to be done in time.
        let goes_on = event.why.lets_go_on() || event.why == CancelReason::Timeout;
        clear_timers(state, key, |kind| match kind {
            TimerKind::Timeout | TimerKind::StopGrace => true,
            TimerKind::TotalTimeout => !goes_on,
            _ => false,
        });
        let Some(action) = state.runs.get_mut(&event.run).and_then(|run| run.action_mut(*number)) else { continue };
        action.state = ActionState::Stopping(event.why);
        action.stopped_with = action.children;
        let attempt = AttemptKey { run: event.run, action: *number, attempt: action.attempt };
        let site = action.site.as_deref().unwrap_or_default().to_owned();
        state.passing.effects.push(Effect::Cancel { attempt, site });
        set_timer(state, key, Some((at.after(STOP_GRACE), TimerKind::StopGrace)));
    }
    if matches!(event.why, CancelReason::RunCancelled | CancelReason::RunFailing)
        && let Some(run) = state.runs.get_mut(&event.run)
        && let RunStatus::Failing { told, .. } | RunStatus::Cancelling { told, .. } = &mut run.status
    {
        *told = true;
    }
    if let Some(run) = state.runs.get_mut(&event.run) {
        let orphaned = std::mem::take(&mut run.orphaned);
        run.orphaned = orphaned.into_iter().filter(|parent| run.has_living_children(*parent)).collect();
    }
    state.passing.dirty.insert(event.run);
}
