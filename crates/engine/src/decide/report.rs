//! What executors report.

use model::limits::{SYSTEM_RETRIES_MAX, VALUE_BYTES_MAX};
use model::site::is_near;
use model::{ActionKey, AttemptKey, Duration, Epoch, Failure, FailureClass, Money, Phase, Timestamp};

use crate::action::{Action, ActionState};
use crate::event::{ArtifactsLabelled, AttemptFinished, AttemptStarted, CancelReason, Located, ReportIgnored, Role, Usage};
use crate::run::{Run, RunStatus};
use crate::{Effect, Event, Outcome, Report};

use super::Stepper;

/// The first pause before an attempt is repeated because the platform failed, and the longest.
const SYSTEM_BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));
/// How often a transfer is tried again.
const TRANSFER_RETRIES_MAX: u32 = 8;

impl Stepper<'_, '_> {
    pub(super) fn started(&mut self, attempt: AttemptKey, host: String) {
        let current = self.action(attempt.action_key());
        if current.is_some_and(|action| action.attempt == attempt.attempt && action.state == ActionState::Running) {
            self.emit(Event::AttemptStarted(AttemptStarted {
                run: attempt.run,
                action: attempt.action,
                attempt: attempt.attempt,
                host,
            }));
        }
    }

    /// The first terminal report of the current attempt decides; any other is recorded and changes nothing.
    pub(super) fn report(&mut self, report: Report) {
        let key = report.attempt.action_key();
        let epoch = self.state.fleet.epoch;
        let current = self.action(key).filter(|action| {
            action.attempt == report.attempt.attempt && action.in_flight() && is_of_its_time(action, report.epoch, epoch)
        });
        let Some(action) = current else {
            self.ignore(&report);
            return;
        };
        let stopping = match action.state {
            ActionState::Stopping(why) => Some(why),
            _ => None,
        };
        let cost = self.cost_of(action, &report);
        let (phase, output, failure) = self.judge(key, stopping, report.outcome);
        self.end_attempt(report.attempt, phase, output, failure, report.usage, cost, report.locations);
    }

    fn ignore(&mut self, report: &Report) {
        let AttemptKey { run, action, attempt } = report.attempt;
        let current = self.action(report.attempt.action_key());
        let at_work = current.is_some_and(|action| action.attempt == attempt && action.in_flight());
        let site = current.and_then(|action| action.site.as_deref()).unwrap_or_default().to_owned();
        self.emit(Event::ReportIgnored(ReportIgnored { run, action, attempt, phase: report.outcome.phase() }));
        if at_work {
            // Somebody without a mandate speaks of an attempt that is still at work elsewhere.
            return;
        }
        // Whoever repeats itself has not heard that the outcome is known.
        self.state.passing.effects.push(Effect::Release { attempt: report.attempt, site });
    }

    /// What a report means, given what was asked of the attempt.
    pub(super) fn judge(
        &self,
        key: ActionKey,
        stopping: Option<CancelReason>,
        outcome: Outcome,
    ) -> (Phase, Option<model::Payload>, Option<Failure>) {
        match (outcome, stopping) {
            // It ended well before the order to stop reached it: a fact is a fact, and compensation has to know of it.
            (Outcome::Succeeded(value), _) => {
                let payload = self.payload(key.run, value);
                if payload.size as usize > VALUE_BYTES_MAX {
                    let message =
                        format!("the output is {} bytes; at most {VALUE_BYTES_MAX} may pass between nodes", payload.size);
                    return (Phase::Failed, None, Some(Failure::new(FailureClass::Output, message)));
                }
                (Phase::Succeeded, Some(payload), None)
            }
            (_, Some(CancelReason::RunCancelled | CancelReason::RunFailing | CancelReason::Unwanted | CancelReason::Asked)) => {
                (Phase::Aborted, None, None)
            }
            (_, Some(CancelReason::Suspended)) => match self.is_wanted(key) {
                true => (Phase::Paused, None, None),
                false => (Phase::Aborted, None, None),
            },
            (_, Some(CancelReason::Denied)) => {
                (Phase::Aborted, None, Some(Failure::new(FailureClass::Preempted, "a policy does not permit it there any more")))
            }
            (_, Some(CancelReason::Drained)) => {
                (Phase::Aborted, None, Some(Failure::new(FailureClass::Preempted, "its site is being drained")))
            }
            (_, Some(CancelReason::Timeout)) => {
                let span = self.action(key).and_then(|action| action.unit.timeout()).unwrap_or_default();
                (
                    Phase::TimedOut,
                    None,
                    Some(Failure::new(FailureClass::Timeout, format!("it took longer than its timeout of {span}"))),
                )
            }
            (_, Some(CancelReason::Deadline)) => {
                let failure = self.action(key).map(super::tick::too_late);
                (Phase::TimedOut, None, failure.or_else(|| Some(Failure::new(FailureClass::Timeout, "it took too long"))))
            }
            (Outcome::Failed(failure), None) if failure.class == FailureClass::Timeout => (Phase::TimedOut, None, Some(failure)),
            (Outcome::Failed(failure), None) => (Phase::Failed, None, Some(failure)),
            (Outcome::Aborted, None) => {
                let message = "it was stopped at its site, and not by order of the control plane";
                (Phase::Failed, None, Some(Failure::new(FailureClass::Preempted, message)))
            }
        }
    }

    /// Ends an attempt, and with it the action unless it is to be repeated.
    pub(super) fn end_attempt(
        &mut self,
        attempt: AttemptKey,
        phase: Phase,
        output: Option<model::Payload>,
        failure: Option<Failure>,
        usage: Usage,
        cost: Money,
        locations: Vec<Located>,
    ) {
        let key = attempt.action_key();
        let retry_at = match phase {
            Phase::Paused => Some(self.now()),
            _ => failure.as_ref().and_then(|failure| self.retry_at(key, failure)),
        };
        // Preempted once too often: nobody asked for the end of the action, so that somebody has to answer for it.
        let stopped_for_good = phase == Phase::Aborted && failure.is_some() && retry_at.is_none() && self.is_wanted(key);
        let phase = if stopped_for_good { Phase::Failed } else { phase };
        let killed = failure.as_ref().is_some_and(|failure| failure.class == FailureClass::Oom);
        let memory_bytes = (killed && retry_at.is_some()).then(|| self.more_memory(key)).flatten();
        self.emit(Event::AttemptFinished(Box::new(AttemptFinished {
            run: attempt.run,
            action: attempt.action,
            attempt: attempt.attempt,
            phase,
            output: output.clone(),
            failure,
            usage,
            cost,
            retry_at,
            locations: locations.clone(),
            memory_bytes,
        })));
        if phase == Phase::Succeeded {
            self.label_artifacts(key, output.as_ref());
            self.keep(key, output, locations);
        }
    }

    /// Records what the artifacts of an output carry.
    fn label_artifacts(&mut self, key: ActionKey, output: Option<&model::Payload>) {
        let labels = match (self.run(key.run), output) {
            (Some(run), Some(output)) => {
                run.action(key.action).map(|action| run.labels_of(action, output.value())).unwrap_or_default()
            }
            _ => return,
        };
        if !labels.is_empty() {
            let (run, action) = (key.run, Some(key.action));
            self.emit(Event::ArtifactsLabelled(ArtifactsLabelled { run, action, labels }));
        }
    }

    /// Whether anything still depends on what an action comes to.
    fn is_wanted(&self, key: ActionKey) -> bool {
        let Some(run) = self.run(key.run) else { return false };
        let Some(action) = run.action(key.action) else { return false };
        if matches!(action.role, Role::Undo { .. }) {
            return true;
        }
        run.status == RunStatus::Active
            && action.state != ActionState::Stopping(CancelReason::Unwanted)
            && !run.ancestors(key.action).any(|(_, above)| above.is_done() && !matches!(action.role, Role::Transfer { .. }))
    }

    /// When a failed attempt is repeated; none when it is not.
    fn retry_at(&mut self, key: ActionKey, failure: &Failure) -> Option<Timestamp> {
        let draw = self.draw();
        let now = self.now();
        if !self.is_wanted(key) {
            return None;
        }
        let action = self.action(key)?;
        let is_transfer = matches!(action.role, Role::Transfer { .. });
        if is_transfer && action.state == ActionState::Stopping(CancelReason::Denied) {
            // Whoever wants it is placed again, by the rules as they are now.
            return None;
        }
        if failure.class == FailureClass::Preempted {
            return (action.system_retries < SYSTEM_RETRIES_MAX).then_some(now);
        }
        if is_transfer {
            // A source that has lost it will not find it: whoever wants it is placed again, to be brought it from elsewhere.
            if failure.class == FailureClass::Transfer {
                return None;
            }
            let tried = action.retries + action.system_retries;
            return (tried < TRANSFER_RETRIES_MAX).then(|| now.after(pause(SYSTEM_BACKOFF, tried, draw)));
        }
        // Bringing an input failed after its own repeats: the site or its store is in trouble, not the work.
        if failure.class.is_system() || failure.class == FailureClass::Transfer {
            let tried = action.system_retries;
            return (tried < SYSTEM_RETRIES_MAX).then(|| now.after(pause(SYSTEM_BACKOFF, tried, draw)));
        }
        if failure.permanent {
            return None;
        }
        let retry = &action.unit.node.retry;
        let bounds = (retry.backoff_min, retry.backoff_max);
        let pause = || match retry.growth_percent {
            Some(growth) => grown(bounds, action.retries, growth),
            None => pause(bounds, action.retries, draw),
        };
        (action.retries < retry.max).then(|| now.after(pause()))
    }

    /// The memory for the repeat of an action that used up what it had asked for: what was learned of it, else twice as much, as far as its
    /// site has it. When that is all its site has, as far as another one does that has the attributes it needs.
    fn more_memory(&self, key: ActionKey) -> Option<u64> {
        let action = self.action(key)?;
        let needs = &action.unit.node.needs;
        let asked = needs.resources.memory_bytes;
        if asked == 0 {
            return None;
        }
        let sites = &self.state.fleet.sites;
        let here = action.site.as_deref().and_then(|site| sites.get(site)).map_or(0, |site| site.spec.capacity.memory_bytes);
        let fitting = || sites.values().filter(|site| needs.unmet(&site.spec.attributes).is_none());
        let largest = || fitting().map(|site| site.spec.capacity.memory_bytes).max().unwrap_or(0);
        let most = if here > asked { here } else { largest() };
        let learned = self.state.passing.memory_hint.filter(|(of, bytes)| *of == key && *bytes > asked);
        let wanted = learned.map_or(asked.saturating_mul(2), |(_, bytes)| bytes);
        Some(wanted.min(most)).filter(|more| *more > asked)
    }

    /// The inputs of a placed action could not be brought to its site. It is placed again, and fails there when nothing is left to bring.
    pub(super) fn strand(&mut self, key: ActionKey) {
        let Some((run, action)) = self.run(key.run).and_then(|run| Some((run, run.action(key.action)?))) else { return };
        let attempt = AttemptKey { run: key.run, action: key.action, attempt: action.attempt };
        let site = action.site.clone().unwrap_or_default();
        let why = why_not_brought(run, action, &site).map_or(String::new(), |why| format!(": {why}"));
        let failure = Failure::new(FailureClass::Transfer, format!("an input could not be brought to `{site}`{why}"));
        self.end_attempt(attempt, Phase::Failed, None, Some(failure), Usage::default(), Money(0), Vec::new());
    }

    fn cost_of(&self, action: &Action, report: &Report) -> Money {
        let site = |name: &str| self.state.fleet.sites.get(name);
        match &action.role {
            Role::Transfer { from, to, .. } => site(from).map(|source| {
                let near = site(to).is_some_and(|site| is_near(&source.spec.attributes, &site.spec.attributes));
                source.spec.prices.of_transfer(self.state.sent_bytes(from, self.context.now), report.usage.bytes_in, near)
            }),
            _ => action.site.as_deref().and_then(site).map(|site| {
                let needs = &action.unit.node.needs.resources;
                site.spec.prices.of_use(needs, report.usage.wall_us)
            }),
        }
        .unwrap_or_default()
    }
}

/// Why what an action still misses did not come: what the last transfer of it said.
fn why_not_brought(run: &Run, action: &Action, site: &str) -> Option<String> {
    let ActionState::Staging(missing) = &action.state else { return None };
    let brought =
        |other: &&Action| matches!(&other.role, Role::Transfer { artifact, to, .. } if missing.contains(artifact) && to == site);
    let mut last_first = run.actions.iter().rev().filter(brought);
    last_first.find_map(|transfer| Some(transfer.failure.as_ref()?.message().into_owned()))
}

/// Whether a report can be about the attempt as it was ordered: under the epoch in which it was placed, or a later one that ordered it
/// again. What the shell itself found out (a lost process, an attempt that nobody knows) comes without an epoch.
fn is_of_its_time(action: &Action, reported: Epoch, now: Epoch) -> bool {
    reported == Epoch(0) || (action.epoch..=now).contains(&reported)
}

/// The pause before the next repeat: it doubles with each, and a random part between half and all of it is taken, so that many
/// that failed together do not come back together.
fn pause((min, max): (Duration, Duration), tried: u32, draw: u64) -> Duration {
    let full = min.0.saturating_mul(1u64.checked_shl(tried.min(40)).unwrap_or(u64::MAX)).min(max.0.max(min.0));
    let half = full / 2;
    Duration(half + if half == 0 { 0 } else { draw % (half + 1) })
}

/// The pause before the next repeat where it was said how much longer each is than the one before.
fn grown((min, max): (Duration, Duration), tried: u32, growth_percent: u32) -> Duration {
    let max = max.0.max(min.0);
    let mut pause = min.0;
    // What does not grow, or has grown enough, stays as it is.
    for _ in (0..tried).take_while(|_| growth_percent != 100) {
        let next = u128::from(pause) * u128::from(growth_percent) / 100;
        let next = u64::try_from(next).unwrap_or(u64::MAX).min(max);
        if next == pause {
            break;
        }
        pause = next;
    }
    Duration(pause.min(max))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_as_long_as_was_said() {
        let seconds = |number| Duration::from_secs(number);
        let of = |growth, tried| grown((seconds(10), seconds(300)), tried, growth);
        assert_eq!([0, 1, 2, 3, 9].map(|tried| of(200, tried)), [10, 20, 40, 80, 300].map(seconds));
        assert_eq!([0, 1, 7].map(|tried| of(100, tried)), [10; 3].map(seconds));
        assert_eq!(of(150, 2), Duration(22_500_000));
        assert_eq!((of(300, u32::MAX), of(100, u32::MAX)), (seconds(300), seconds(10)));
        assert_eq!(grown((Duration(0), Duration(0)), 5, 100), Duration(0), "at once");
        assert_eq!(grown((Duration(0), seconds(9)), u32::MAX, 400), Duration(0));
    }

    #[test]
    fn pauses_double_within_their_bounds() {
        let bounds = (Duration::from_secs(1), Duration::from_secs(60));
        for tried in 0..70 {
            for draw in [0, 1, u64::MAX / 3, u64::MAX] {
                let full = (1_000_000u64 << tried.min(6)).min(60_000_000);
                let pause = pause(bounds, tried, draw).0;
                assert!((full / 2..=full).contains(&pause), "{tried} {draw} {pause}");
            }
        }
    }
}
