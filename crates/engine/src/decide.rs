//! Deciding: a command and the state give events. Every event is folded at once, so that what follows from it can be decided in
//! the same step; a rejection comes before the first event or not at all.

mod children;
mod fire;
mod human;
mod open;
mod orders;
mod place;
mod report;
mod submit;
mod tick;
mod wind_up;

use model::{ActionKey, Carried, Failure, FailureClass, Payload, Phase, RunId, Timestamp};

use crate::action::{Action, ActionState};
use crate::event::{ActionFinished, ActionRef, Located, OutputKept, RecallAsked, RecallKind, Role};
use crate::run::{Run, RunStatus};
use crate::state::Freed;
use crate::{Command, Context, Event, Recall, Rejection, State};

/// One step in the making.
pub(crate) struct Stepper<'s, 'c> {
    pub(crate) state: &'s mut State,
    pub(crate) context: &'c Context<'c>,
    events: Vec<Event>,
    draws: u64,
}

impl<'s, 'c> Stepper<'s, 'c> {
    pub(crate) fn new(state: &'s mut State, context: &'c Context<'c>) -> Self {
        Stepper { state, context, events: Vec::new(), draws: 0 }
    }

    pub(crate) fn into_events(self) -> Vec<Event> {
        self.events
    }

    pub(crate) fn decide(&mut self, command: Command) -> Result<Option<RunId>, Rejection> {
        match command {
            Command::Submit(submit) => return self.submit(*submit).map(Some),
            Command::FireTrigger { trigger, due, submit, missed, overlap } => {
                return Ok(self.fire_trigger(trigger, due, submit, missed, overlap));
            }
            Command::Spawn(spawn) => return self.spawn(*spawn).map(Some),
            Command::Suspend { action, attempt, since } => self.suspend(action, attempt, since)?,
            Command::StopAction { action, principal, reason } => self.stop_action(action, principal, reason)?,
            Command::Started { attempt, host } => self.started(attempt, host),
            Command::Report(report) => self.report(*report),
            Command::Place(placements) => self.place(placements),
            Command::PlanRun(plan) => self.plan_run(*plan),
            Command::Recalled { action, answer } => self.recalled(action, answer),
            Command::Tick => self.tick(),
            Command::Cancel { run, principal, reason } => self.cancel(run, principal, reason)?,
            Command::Pause { run, principal } => self.pause(run, principal)?,
            Command::Resume { run, principal } => self.resume(run, principal)?,
            Command::Decide { action, principal, groups, decision, form, reason } => {
                self.human(action, principal, &groups, decision, (form, reason))?;
            }
            Command::Delegate { action, principal, groups, to_users, to_groups, reason } => {
                self.delegate(action, principal, &groups, (to_users, to_groups), reason)?;
            }
            Command::See { action, principal } => self.see(action, principal)?,
            Command::Signal { run, name, payload, principal } => self.signal(run, name, payload, principal)?,
            Command::Event { name, payload, principal: _ } => self.outside_event(&name, &payload),
            other => self.fleet_order(other)?,
        }
        Ok(None)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.context.now
    }

    /// Records a fact and folds it. What is said of a failure may hold what the attempt could read: it becomes a value, and no part of the entry.
    pub(crate) fn emit(&mut self, mut event: Event) {
        if let Some(salt) = event.run().and_then(|run| self.run(run)).map(|run| run.salt)
            && let Some(failure) = event.failure_mut()
        {
            failure.seal(&salt);
        }
        self.state.evolve(&event, self.context.now);
        self.events.push(event);
    }

    /// Random bits, different at each call within a step, the same for the same step.
    pub(crate) fn draw(&mut self) -> u64 {
        self.draws += 1;
        let mut bits = self.context.entropy.wrapping_add(self.draws.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }

    pub(crate) fn run(&self, id: RunId) -> Option<&Run> {
        self.state.runs.get(&id)
    }

    pub(crate) fn action(&self, key: ActionKey) -> Option<&Action> {
        self.run(key.run)?.action(key.action)
    }

    /// Lets everything follow that follows by itself, until nothing does.
    pub(crate) fn progress(&mut self) {
        loop {
            if let Some(freed) = self.state.passing.freed.pop_front() {
                self.after_twin(freed);
            } else if let Some(id) = self.state.passing.dirty.pop_first() {
                while self.advance(id) {}
            } else {
                return;
            }
        }
    }

    /// Takes one more step in a run; false when nothing follows.
    fn advance(&mut self, id: RunId) -> bool {
        let Some(run) = self.run(id) else { return false };
        if let Some(number) = run.stranded.first().copied() {
            self.strand(ActionKey::new(id, number));
            return true;
        }
        if let Some(number) = run.orphaned.first().copied() {
            self.stop_below(ActionKey::new(id, number));
            return true;
        }
        match &run.status {
            RunStatus::Active if !run.troubles.is_empty() => self.answer_trouble(id),
            RunStatus::Active if run.paused => return false,
            RunStatus::Active if run.waits_its_turn => return self.begin_in_turn(id),
            RunStatus::Active => {
                if let Some(action) = run.woken.first().copied() {
                    self.emit(Event::RetryDue(ActionRef { run: id, action }));
                } else if let Some(number) = run.complete.first().copied() {
                    self.complete(ActionKey::new(id, number));
                } else if run.root_complete && run.open > 0 {
                    return self.stop_leftovers(id);
                } else if run.root_complete {
                    self.finish_well(id);
                } else if !run.ready.is_empty() {
                    self.open_ready(id);
                } else if let Some(each) = run.hungry.first().copied() {
                    self.open_items(ActionKey::new(id, each));
                } else {
                    return self.hand_over_signals(id);
                }
            }
            RunStatus::Failing { told: false, .. } | RunStatus::Cancelling { told: false, .. } => self.stop_everything(id),
            RunStatus::Failing { .. } | RunStatus::Cancelling { .. } => return self.compensate(id),
            RunStatus::Compensating { current: None, .. } => self.undo_next(id),
            RunStatus::Compensating { .. } => return false,
        }
        true
    }

    /// Ends an action that no attempt ends.
    pub(crate) fn finish(&mut self, key: ActionKey, phase: Phase, output: Option<Payload>, failure: Option<Failure>) {
        self.emit(Event::ActionFinished(Box::new(ActionFinished {
            run: key.run,
            action: key.action,
            phase,
            output: output.clone(),
            failure,
            reused: false,
            locations: Vec::new(),
        })));
        if phase == Phase::Succeeded {
            self.keep(key, output, Vec::new());
        }
    }

    /// Keeps an output under the action's cache or once key.
    pub(crate) fn keep(&mut self, key: ActionKey, output: Option<Payload>, locations: Vec<Located>) {
        let Some(action) = self.action(key) else { return };
        let Some(recall) = action.recall.clone() else { return };
        // Who takes it is told what its run was accepted for, and not what came later. What is to happen once is kept all the same.
        let is_spared = recall.kind == RecallKind::Cache || matches!(action.role, Role::Child { .. });
        if is_spared && !action.grown.is_empty() {
            return;
        }
        let output = output.unwrap_or_else(|| self.payload(key.run, serde_json::json!({})));
        self.emit(Event::OutputKept(OutputKept { run: key.run, action: key.action, key: recall, output, locations }));
    }

    /// A value of a run, committed to under its salt.
    pub(crate) fn payload(&self, run: RunId, value: serde_json::Value) -> Payload {
        let salt = self.run(run).map(|run| run.salt).unwrap_or_default();
        Payload::new(&salt, value)
    }

    fn recalled(&mut self, key: ActionKey, answer: Recall) {
        if self.action(key).map(|action| &action.state) != Some(&ActionState::Recalling) {
            return;
        }
        match answer {
            Recall::Unknown => self.emit(Event::RecallMissed(ActionRef { run: key.run, action: key.action })),
            Recall::Output { carried, .. } if !self.may_take(key, &carried) => self.not_taken(key, &carried),
            Recall::Output { value, locations, .. } => {
                let output = Some(self.payload(key.run, value));
                self.emit(Event::ActionFinished(Box::new(ActionFinished {
                    run: key.run,
                    action: key.action,
                    phase: Phase::Succeeded,
                    output,
                    failure: None,
                    reused: true,
                    locations,
                })));
            }
        }
    }

    /// Whether an output that was made elsewhere carries nothing that is not known of what this action gives.
    fn may_take(&self, key: ActionKey, carried: &Carried) -> bool {
        carried.is_empty() || self.carried_by(key).is_some_and(|own| carried.is_within(&own))
    }

    fn carried_by(&self, key: ActionKey) -> Option<Carried> {
        Some(self.run(key.run)?.carried_by(self.action(key)?))
    }

    /// An output that carries more than this run was accepted for: taken as it is, it would lose its tags. What is cached is computed
    /// again; what is to happen once must not happen again, so that the action fails.
    fn not_taken(&mut self, key: ActionKey, carried: &Carried) {
        let once = self.action(key).and_then(|action| action.recall.as_ref()).is_some_and(|key| key.kind == RecallKind::Once);
        if !once {
            return self.emit(Event::RecallMissed(ActionRef { run: key.run, action: key.action }));
        }
        let message =
            format!("the output that is kept under its key carries {}, and this run was not accepted for that", carried.of(None));
        self.emit(Event::ActionFinished(Box::new(ActionFinished {
            run: key.run,
            action: key.action,
            phase: Phase::Failed,
            output: None,
            failure: Some(Failure::new(FailureClass::Refused, message)),
            reused: false,
            locations: Vec::new(),
        })));
    }

    /// The action that held the once key of this one has ended. Its output is taken; without one, this action holds the key now.
    fn after_twin(&mut self, freed: Freed) {
        let key = freed.waiting;
        let Some(Action { state: ActionState::AwaitingTwin, recall: Some(recall), .. }) = self.action(key) else { return };
        let recall = recall.clone();
        let twin = freed.twin.and_then(|twin| Some((self.run(twin.run)?, self.action(twin)?)));
        let Some((run, twin)) = twin else {
            self.emit(Event::RecallAsked(RecallAsked { run: key.run, action: key.action, key: recall }));
            return;
        };
        let carried = run.carried_by(twin);
        if !self.may_take(key, &carried) {
            return self.not_taken(key, &carried);
        }
        let value = twin.output.as_ref().map_or_else(|| serde_json::json!({}), |output| output.value().clone());
        let locations = run.copies_of(&value);
        let output = Some(self.payload(key.run, value));
        self.emit(Event::ActionFinished(Box::new(ActionFinished {
            run: key.run,
            action: key.action,
            phase: Phase::Succeeded,
            output,
            failure: None,
            reused: true,
            locations,
        })));
    }

    /// Gives signals that have arrived to the waits that ask for them.
    fn hand_over_signals(&mut self, id: RunId) -> bool {
        let waiting = self.run(id).and_then(|run| {
            let name = run.deliverable.first()?;
            Some((*run.signal_waits.get(name)?.first()?, run.signals.get(name)?.front()?.clone()))
        });
        let Some((number, payload)) = waiting else { return false };
        self.finish(ActionKey::new(id, number), Phase::Succeeded, Some(payload), None);
        true
    }
}
