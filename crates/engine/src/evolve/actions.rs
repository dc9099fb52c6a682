//! Facts about actions and attempts.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{ActionKey, ActionNo, AttemptNo, Failure, NodeIx, NodeKind, Payload, Phase, RunId, Timestamp};

use crate::action::{Action, ActionState, EachState, HumanState};
use crate::effect::Effect;
use crate::event::{
    ActionFinished, ActionsOpened, ActionsParked, ActionsPlaced, AttemptFinished, CancelRequested, HumanDecided, HumanEscalated,
    Located, Opened, RecallAsked, RecallKind, Role, ScopeNo,
};
use crate::evolve::{fleet, runs};
use crate::fleet::Demand;
use crate::outstanding::{dispatch_of, transfer_of};
use crate::run::{NodeState, Run, RunStatus, Scope};
use crate::state::OnceHolder;
use crate::timer::{STOP_GRACE, Timer, TimerKind};
use crate::unit::Unit;
use crate::{State, wait};

pub(super) fn opened(state: &mut State, event: &ActionsOpened, at: Timestamp) {
    for opened in &event.actions {
        open(state, event.run, opened, at);
    }
    state.passing.dirty.insert(event.run);
}

/// The definition that an action of this role runs.
fn unit_of(run: &Run, opened: &Opened) -> Option<Arc<Unit>> {
    let of_node = || run.scopes.get(opened.scope as usize)?.compiled.units.get(opened.node as usize).cloned();
    match &opened.role {
        Role::Node => of_node(),
        Role::Item { .. } => of_node()?.body.clone(),
        Role::Undo { of } => run.action(*of)?.unit.undo.clone(),
        Role::Transfer { wanted_by, .. } => Some(run.action(*wanted_by)?.unit.clone()),
    }
}

fn open(state: &mut State, id: RunId, opened: &Opened, at: Timestamp) {
    let Some(run) = state.runs.get_mut(&id) else { return };
    let Some(unit) = unit_of(run, opened) else { return };
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
        recall: opened.recall.clone(),
        state: ActionState::Instant,
        attempt: AttemptNo(0),
        retries: 0,
        system_retries: 0,
        site: None,
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
    let priority = run.priority;
    let Some(action) = run.action_mut(key.action) else { return };
    let unit = action.unit.clone();
    match &unit.node.kind {
        NodeKind::Use { .. } | NodeKind::Run { .. } | NodeKind::Task { .. } => {
            action.state = ActionState::Queued;
            state.fleet.queue.push(key, priority);
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
    set_timer(state, key, unit.node.timeout.map(|span| (at.after(span), TimerKind::Timeout)));
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
    let Some(action) = state.runs.get_mut(&key.run).and_then(|run| run.action_mut(key.action)) else { return };
    match wait::parse(action.input.as_ref(), at) {
        Ok(wait::Wait::Until(due)) => {
            action.state = ActionState::Sleeping;
            set_timer(state, key, Some((due, TimerKind::Wake)));
        }
        Ok(wait::Wait::Signal(name)) => action.state = ActionState::AwaitingSignal(name),
        Ok(wait::Wait::Event(name)) => {
            action.state = ActionState::AwaitingEvent(name.clone());
            state.event_waits.entry(name).or_default().insert(key);
        }
        // Decided to fail in the step that opened it.
        Err(_) => {}
    }
}

fn set_timer(state: &mut State, key: ActionKey, timer: Option<(Timestamp, TimerKind)>) {
    let Some((at, kind)) = timer else { return };
    let Some(action) = state.runs.get_mut(&key.run).and_then(|run| run.action_mut(key.action)) else { return };
    action.timers.push((at, kind));
    state.timers.set(Timer { at, run: key.run, action: Some(key.action), kind });
}

fn clear_timers(state: &mut State, key: ActionKey, which: impl Fn(TimerKind) -> bool) {
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
        let holder = entry.or_insert_with(|| OnceHolder { holder: key, waiting: Default::default() });
        if holder.holder != key {
            holder.waiting.push_back(key);
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

fn start_transfer(state: &mut State, key: ActionKey) {
    let epoch = state.fleet.epoch;
    let Some(run) = state.runs.get_mut(&key.run) else { return };
    run.in_flight += 1;
    let Some(action) = run.action_mut(key.action) else { return };
    action.attempt = AttemptNo(action.attempt.0 + 1);
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
        let Some(run) = state.runs.get_mut(&event.run) else { return };
        for digest in &placed.awaits {
            run.arriving.entry((*digest, site.clone())).or_default().wanted_by.insert(placed.action);
        }
        let Some(action) = run.action_mut(placed.action) else { continue };
        action.attempt = placed.attempt;
        action.site = Some(site.clone());
        fleet::reserve(&mut state.fleet, &site, key, &action.unit.node.needs.resources);
        if placed.awaits.is_empty() {
            dispatch(state, key, at);
        } else {
            action.state = ActionState::Staging(placed.awaits.iter().copied().collect());
        }
    }
}

/// Hands a placed action whose inputs are all there to its executor.
fn dispatch(state: &mut State, key: ActionKey, at: Timestamp) {
    let epoch = state.fleet.epoch;
    let Some(run) = state.runs.get_mut(&key.run) else { return };
    run.in_flight += 1;
    let Some(action) = run.action_mut(key.action) else { return };
    action.state = ActionState::Running;
    let timeout = action.unit.node.timeout;
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
    let action = state.runs.get(&key.run)?.action(key.action)?;
    Some(Demand { needs: action.unit.node.needs.clone(), label: action.label.clone(), work: action.unit.work() })
}

/// Takes an action off its site: it holds no capacity and nothing is in flight for it.
fn leave_site(state: &mut State, key: ActionKey) {
    clear_timers(state, key, |kind| matches!(kind, TimerKind::Timeout | TimerKind::StopGrace));
    let Some(run) = state.runs.get_mut(&key.run) else { return };
    let Some(action) = run.actions.get_mut(key.action.0 as usize) else { return };
    if action.in_flight() {
        run.in_flight = run.in_flight.saturating_sub(1);
    }
    if let Some(site) = action.site.take()
        && !matches!(action.role, Role::Transfer { .. })
    {
        fleet::release(&mut state.fleet, &site, key, &action.unit.node.needs.resources);
        state.passing.room = true;
    }
}

pub(super) fn attempt_finished(state: &mut State, event: &AttemptFinished, at: Timestamp) {
    let key = ActionKey::new(event.run, event.action);
    let Some(run) = state.runs.get_mut(&event.run) else { return };
    run.cost += event.cost;
    add_locations(run, &event.locations);
    let Some(action) = run.action_mut(event.action) else { return };
    if let (Some(site), false) = (&action.site, matches!(action.role, Role::Transfer { .. })) {
        let attempt = model::AttemptKey { run: event.run, action: event.action, attempt: event.attempt };
        state.passing.effects.push(Effect::Release { attempt, site: site.to_string() });
    }
    match event.failure.as_ref().map(|failure| failure.class.is_system()) {
        Some(true) => action.system_retries += 1,
        Some(false) => action.retries += 1,
        None => {}
    }
    leave_site(state, key);
    match event.retry_at {
        None => end(state, key, event.phase, event.output.clone(), event.failure.clone(), at),
        Some(due) => {
            let Some(action) = state.runs.get_mut(&event.run).and_then(|run| run.action_mut(event.action)) else { return };
            action.state = ActionState::Backoff;
            if due <= at {
                requeue(state, key);
            } else {
                set_timer(state, key, Some((due, TimerKind::Retry)));
            }
        }
    }
    state.passing.dirty.insert(event.run);
}

fn add_locations(run: &mut Run, locations: &[Located]) {
    for located in locations {
        let entry = run.locations.entry(located.artifact).or_default();
        entry.size = located.size;
        entry.sites.insert(Arc::from(located.site.as_str()));
    }
}

pub(super) fn retry_due(state: &mut State, key: ActionKey) {
    clear_timers(state, key, |kind| kind == TimerKind::Retry);
    requeue(state, key);
}

fn requeue(state: &mut State, key: ActionKey) {
    let Some(run) = state.runs.get_mut(&key.run) else { return };
    let priority = run.priority;
    let Some(action) = run.action_mut(key.action) else { return };
    if matches!(action.role, Role::Transfer { .. }) {
        start_transfer(state, key);
    } else {
        action.state = ActionState::Queued;
        state.fleet.queue.push(key, priority);
    }
}

pub(super) fn finished(state: &mut State, event: &ActionFinished, at: Timestamp) {
    let key = ActionKey::new(event.run, event.action);
    if let Some(run) = state.runs.get_mut(&event.run) {
        add_locations(run, &event.locations);
        if let Some(Action { state: ActionState::AwaitingSignal(name), .. }) = run.action(event.action) {
            let name = name.clone();
            if event.phase == Phase::Succeeded
                && let Some(queue) = run.signals.get_mut(&name)
            {
                queue.pop_front();
            }
        }
    }
    leave_site(state, key);
    end(state, key, event.phase, event.output.clone(), event.failure.clone(), at);
    state.passing.dirty.insert(event.run);
}

pub(super) fn cancel_requested(state: &mut State, event: &CancelRequested, at: Timestamp) {
    for number in &event.ended {
        let key = ActionKey::new(event.run, *number);
        leave_site(state, key);
        end(state, key, Phase::Aborted, None, None, at);
    }
    for number in &event.actions {
        let key = ActionKey::new(event.run, *number);
        clear_timers(state, key, |kind| matches!(kind, TimerKind::Timeout | TimerKind::StopGrace));
        let Some(action) = state.runs.get_mut(&event.run).and_then(|run| run.action_mut(*number)) else { continue };
        action.state = ActionState::Stopping(event.why);
        let attempt = model::AttemptKey { run: event.run, action: *number, attempt: action.attempt };
        let site = action.site.as_deref().unwrap_or_default().to_owned();
        state.passing.effects.push(Effect::Cancel { attempt, site });
        set_timer(state, key, Some((at.after(STOP_GRACE), TimerKind::StopGrace)));
    }
    if let Some(run) = state.runs.get_mut(&event.run)
        && let RunStatus::Failing { told, .. } | RunStatus::Cancelling { told, .. } = &mut run.status
    {
        *told = true;
    }
    state.passing.dirty.insert(event.run);
}

pub(super) fn human_decided(state: &mut State, event: &HumanDecided) {
    let Some(action) = state.runs.get_mut(&event.run).and_then(|run| run.action_mut(event.action)) else { return };
    if let ActionState::Human(human) = &mut action.state {
        human.first = Some((event.principal.clone(), event.form.clone()));
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

/// Ends an action for good and tells whoever waits for it.
fn end(state: &mut State, key: ActionKey, phase: Phase, output: Option<Payload>, failure: Option<Failure>, at: Timestamp) {
    clear_timers(state, key, |_| true);
    state.fleet.queue.remove(key);
    let Some(run) = state.runs.get_mut(&key.run) else { return };
    let project = run.names.project.clone();
    let Some(action) = run.actions.get_mut(key.action.0 as usize) else { return };
    if action.is_done() {
        return;
    }
    if let ActionState::AwaitingEvent(name) = &action.state
        && let Some(waiting) = state.event_waits.get_mut(name)
    {
        waiting.remove(&key);
        if waiting.is_empty() {
            state.event_waits.remove(name);
        }
    }
    let once = action.recall.as_ref().filter(|recall| recall.kind == RecallKind::Once).map(|recall| (project, recall.key));
    action.state = ActionState::Done(phase);
    action.output = output.clone();
    action.failure = failure;
    let (role, scope, node) = (action.role.clone(), action.scope, action.node);
    let undoable = phase == Phase::Succeeded && action.unit.undo.is_some();
    run.open = run.open.saturating_sub(1);
    run.complete.remove(&key.action);
    run.hungry.remove(&key.action);
    match role {
        Role::Node => {
            settle_node(run, scope, node, node_state(phase, output));
            note_trouble(run, key.action, phase);
        }
        Role::Item { each, index } => item_ended(run, key.action, each, index, phase, output),
        Role::Undo { .. } => undo_ended(run, key.action, phase),
        Role::Transfer { artifact, to, .. } => {
            let waiting = run.arriving.remove(&(artifact, Arc::from(to.as_str()))).map(|arriving| arriving.wanted_by);
            arrived(state, key.run, &artifact, phase, waiting.unwrap_or_default(), at);
        }
    }
    if undoable && let Some(run) = state.runs.get_mut(&key.run) {
        run.succeeded.push(key.action);
    }
    if let Some(once) = once {
        leave_once(state, &once, key);
    }
}

fn node_state(phase: Phase, output: Option<Payload>) -> NodeState {
    match phase {
        Phase::Succeeded => NodeState::Succeeded(output),
        Phase::Skipped => NodeState::Skipped,
        _ => NodeState::Failed,
    }
}

fn note_trouble(run: &mut Run, number: ActionNo, phase: Phase) {
    if matches!(phase, Phase::Failed | Phase::TimedOut) && run.trouble.is_none() {
        run.trouble = Some(number);
    }
}

/// Settles a node and frees what waited for it.
pub(super) fn settle_node(run: &mut Run, number: ScopeNo, node: NodeIx, settled: NodeState) {
    let Some(scope) = run.scopes.get_mut(number as usize) else { return };
    let frees = matches!(settled, NodeState::Succeeded(_) | NodeState::Skipped);
    if let Some(place) = scope.nodes.get_mut(node as usize) {
        *place = settled;
    }
    scope.unsettled = scope.unsettled.saturating_sub(1);
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
            Some(failure) => failure.message = format!("{}; {sentence}", failure.message),
            None => *failure = Some(Failure::new(model::FailureClass::Child, sentence)),
        }
    }
}

/// An artifact arrived at a site, or will not.
fn arrived(state: &mut State, id: RunId, artifact: &model::Digest, phase: Phase, waiting: BTreeSet<ActionNo>, at: Timestamp) {
    for number in waiting {
        let Some(run) = state.runs.get_mut(&id) else { return };
        let Some(action) = run.actions.get_mut(number.0 as usize) else { continue };
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

/// Gives a once key free and lets those that wait for it ask again.
fn leave_once(state: &mut State, once: &(String, model::Digest), key: ActionKey) {
    let Some(holder) = state.once.get_mut(once) else { return };
    if holder.holder == key {
        if let Some(holder) = state.once.remove(once) {
            state.passing.freed.extend(holder.waiting);
        }
    } else {
        holder.waiting.retain(|waiting| *waiting != key);
    }
}
