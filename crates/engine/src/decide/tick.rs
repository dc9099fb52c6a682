//! What happens because time passed.

use model::{ActionKey, AttemptKey, Failure, FailureClass, Money, Phase};
use serde_json::json;

use crate::action::{Action, ActionState};
use crate::event::{ActionRef, CancelReason, CancelRequested, HumanEscalated, Usage};
use crate::timer::{Timer, TimerKind};
use crate::{Event, Outcome, wait};

use super::Stepper;

/// What a wait for a place that took too long is called.
const TOO_LONG_QUEUED: &str = "QUEUED_TIMEOUT_EXCEEDED";
/// What it is called when all attempts together took too long.
const TOO_LATE: &str = "DEADLINE_EXCEEDED";

/// Timers fired in one step; the rest follow with the next tick, which is due at once.
const FIRED_MAX: usize = 10_000;

impl Stepper<'_, '_> {
    pub(super) fn tick(&mut self) {
        for _ in 0..FIRED_MAX {
            let Some(timer) = self.state.timers.next().filter(|timer| timer.at <= self.now()) else { return };
            self.fire(timer);
            // What follows from one firing is settled before the next: it may have taken that away.
            self.progress();
            if self.state.timers.contains(&timer) {
                // Every firing is recorded by a fact that takes the timer away. One that does not would fire for ever.
                self.state.timers.clear(&timer);
            }
        }
    }

    fn fire(&mut self, timer: Timer) {
        let Some(number) = timer.action else {
            let span = self.run(timer.run).map(|run| self.now().since(run.began_at)).unwrap_or_default();
            self.fail_run(timer.run, FailureClass::Timeout, format!("the run has taken {span}, longer than its timeout"));
            return;
        };
        let key = ActionKey::new(timer.run, number);
        let Some(action) = self.action(key) else { return };
        match timer.kind {
            TimerKind::Retry => self.emit(Event::RetryDue(ActionRef { run: key.run, action: key.action })),
            TimerKind::Wake => {
                let output = self.payload(key.run, json!({ "at": wait::rfc3339(self.now()) }));
                self.finish(key, Phase::Succeeded, Some(output), None);
            }
            TimerKind::Escalate(step) => {
                self.emit(Event::HumanEscalated(HumanEscalated { run: key.run, action: key.action, step }));
            }
            TimerKind::StopGrace => {
                let why = match action.state {
                    ActionState::Stopping(why) => why,
                    _ => CancelReason::RunCancelled,
                };
                let attempt = AttemptKey { run: key.run, action: key.action, attempt: action.attempt };
                let (phase, output, failure) = self.judge(key, Some(why), Outcome::Aborted);
                self.end_attempt(attempt, phase, output, failure, Usage::default(), Money(0), Vec::new());
            }
            TimerKind::Timeout => self.time_out(key),
            TimerKind::QueueTimeout => {
                let span = action.unit.node.queue_timeout.unwrap_or_default();
                let failure = late(TOO_LONG_QUEUED, format!("`{}` waited for a place for longer than {span}", action.path));
                self.finish(key, Phase::TimedOut, None, Some(failure));
            }
            TimerKind::TotalTimeout => self.miss_deadline(key),
            TimerKind::RunTimeout => {}
        }
    }

    /// Ends an action that has taken too long over all its attempts, whatever it is at.
    fn miss_deadline(&mut self, key: ActionKey) {
        let Some(action) = self.action(key) else { return };
        if action.in_flight() {
            let (run, actions, ended) = (key.run, vec![key.action], Vec::new());
            self.emit(Event::CancelRequested(CancelRequested { run, actions, why: CancelReason::Deadline, ended }));
            return;
        }
        let failure = too_late(action);
        self.stop_below(key);
        self.finish(key, Phase::TimedOut, None, Some(failure));
    }

    fn time_out(&mut self, key: ActionKey) {
        let Some(action) = self.action(key) else { return };
        if matches!(action.state, ActionState::Running) {
            let (run, actions, ended) = (key.run, vec![key.action], Vec::new());
            self.emit(Event::CancelRequested(CancelRequested { run, actions, why: CancelReason::Timeout, ended }));
            return;
        }
        let span = action.unit.timeout().unwrap_or_default();
        let failure = Failure::new(FailureClass::Timeout, format!("`{}` took longer than its timeout of {span}", action.path));
        self.stop_below(key);
        self.finish(key, Phase::TimedOut, None, Some(failure));
    }
}

/// An action took longer than it may, and no repeat makes up for that.
fn late(code: &str, message: String) -> Failure {
    Failure { code: Some(code.into()), permanent: true, ..Failure::new(FailureClass::Timeout, message) }
}

/// An action took too long over all its attempts.
pub(super) fn too_late(action: &Action) -> Failure {
    let span = action.unit.node.total_timeout.unwrap_or_default();
    late(TOO_LATE, format!("`{}` took longer than {span} over all its attempts", action.path))
}
