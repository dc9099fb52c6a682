//! What happens because time passed.

use model::{ActionKey, AttemptKey, Failure, FailureClass, Money, Phase};
use serde_json::json;

use crate::action::ActionState;
use crate::event::{ActionRef, CancelReason, CancelRequested, HumanEscalated, Usage};
use crate::timer::{Timer, TimerKind};
use crate::{Event, Outcome, wait};

use super::Stepper;

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
            TimerKind::RunTimeout => {}
        }
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
