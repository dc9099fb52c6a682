//! Triggers: runs that start by themselves. One task sleeps until the next trigger is due, fires what is, and looks at nothing else.
//!
//! Catch-up: firings that were due while the server was down (or the trigger's task asleep for too long) are skipped, made up for once
//! (the default), or all made up for, at most [`model::limits::CATCH_UP_FIRINGS_MAX`] of them. What is left out is recorded.
//!
//! Overlap: what becomes of a firing while a run of an earlier one is open is decided by the engine, in the step that accepts the run and
//! records the firing. Both are one batch of the journal, so that a time that was due is fired once, however often the server is killed:
//! what was not recorded is due again, and what was recorded is not.

mod fitting;
mod schedule;
mod times;
mod webhook;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use engine::event::Origin;
use engine::{Command, Submit};
use failpoint::Point;
use model::{RunId, Timestamp};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use workflow::documents::{Overlap, TriggerKind, TriggerSpec};

use crate::clock::{random_bytes, wall};
use crate::{ControlPlane, Fault, Refusal, Submission};
use schedule::{Due, Schedule};

pub(crate) use fitting::findings;
pub(crate) use times::check_cron;
pub use times::next_firing;
pub use webhook::verify_signature;

/// The longest sleep: a clock that was set is noticed after this.
const SLEEP_MAX: Duration = Duration::from_secs(30);
/// Triggers that are fired at the same time.
const FIRING_MAX: usize = 64;
/// How long a firing waits for room among the commands that wait already, and how often it looks.
const ROOM_PATIENCE: Duration = Duration::from_secs(10);
const ROOM_EVERY: Duration = Duration::from_millis(50);
/// When a trigger that could not be fired is tried again.
const TRY_AGAIN: model::Duration = model::Duration::from_secs(1);

/// What is known of triggers, and what wakes the task that fires them. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Triggers {
    schedule: Arc<Mutex<Schedule>>,
    change: Arc<Notify>,
}

impl Triggers {
    /// The trigger of a name.
    fn get(&self, name: &str) -> Option<Arc<TriggerSpec>> {
        self.schedule.lock().get(name)
    }
}

/// A trigger that fires.
#[derive(Clone, Debug)]
struct Firing {
    trigger: Arc<TriggerSpec>,
    /// When it was due.
    due: Timestamp,
    /// Firings before it that are left out.
    missed: u32,
    /// Who asked for it, when it was not time.
    asked: Option<Asked>,
}

/// A call or an event that makes a trigger fire.
#[derive(Clone, Debug)]
struct Asked {
    /// What came with it.
    payload: Value,
    /// What is the same only for the same call.
    call: String,
    /// What stands in place of what came where labels are not carried on, when what came carries any.
    untagged: Option<Value>,
}

/// The idempotency key of a firing: by the call that asked for it, or by when it was due. The same firing gives the same run.
pub(crate) fn firing_key(trigger: &str, due: Timestamp, call: Option<&str>) -> String {
    match call {
        Some(call) => format!("trigger/{trigger}/call/{call}"),
        None => format!("trigger/{trigger}/{}", due.0),
    }
}

impl ControlPlane {
    /// Reads every trigger: once, at the start.
    pub(crate) fn load_triggers(&self) -> Result<(), Fault> {
        let rows = self.reader().resources("trigger", None, None).map_err(Fault::internal)?;
        let last: BTreeMap<String, Timestamp> = self.reader().last_firings().map_err(Fault::internal)?;
        let mut schedule = self.triggers().schedule.lock();
        for row in rows {
            let since = last.get(&row.name).map_or(row.at, |due| row.at.max(*due));
            match serde_json::from_value::<TriggerSpec>(row.body) {
                Ok(trigger) => {
                    if let Some(why) = fitting::without_secret(&trigger) {
                        tracing::warn!(trigger = trigger.name, "{why}");
                    }
                    schedule.set(trigger, row.at, since, Timestamp(0));
                }
                Err(error) => tracing::error!(trigger = row.name, %error, "a trigger cannot be read"),
            }
        }
        Ok(())
    }

    /// Looks at one trigger anew: it was applied or removed, or could not be fired.
    pub(crate) fn trigger_changed(&self, name: &str) -> Result<(), Fault> {
        let before = self.triggers().get(name);
        self.look_at_trigger(name, Timestamp(0))?;
        self.triggers().change.notify_one();
        before.map_or(Ok(()), |before| self.release_of_trigger(&before))
    }

    fn look_at_trigger(&self, name: &str, not_before: Timestamp) -> Result<(), Fault> {
        // Under the lock, so that of two looks the later one counts.
        let mut schedule = self.triggers().schedule.lock();
        let row = self.reader().resources("trigger", Some(name), None).map_err(Fault::internal)?.pop();
        let last = self.reader().firings(name, 1).map_err(Fault::internal)?.pop();
        let Some((trigger, row)) = row.and_then(|row| Some((serde_json::from_value(row.body.clone()).ok()?, row))) else {
            schedule.remove(name);
            return Ok(());
        };
        let since = last.map_or(row.at, |last| row.at.max(last.due));
        schedule.set(trigger, row.at, since, not_before);
        Ok(())
    }

    /// When a trigger is due next; none of one that is held, or that waits for something else than time.
    pub fn next_firing_of(&self, trigger: &str) -> Option<Timestamp> {
        self.triggers().schedule.lock().next_of(trigger)
    }

    /// Fires what is due, for as long as the process lives.
    pub(crate) async fn run_triggers(self) {
        loop {
            let due = self.triggers().schedule.lock().take_due(wall(), FIRING_MAX);
            if !due.is_empty() {
                self.fire_all(due).await;
                continue;
            }
            let next = self.triggers().schedule.lock().next();
            let sleep = next.map_or(SLEEP_MAX, |next| next.since(wall()).to_std().min(SLEEP_MAX));
            tokio::select! {
                () = tokio::time::sleep(sleep.max(Duration::from_millis(1))) => {}
                () = self.triggers().change.notified() => {}
            }
        }
    }

    /// Fires triggers side by side, the times of each in order.
    async fn fire_all(&self, due: Vec<Due>) {
        let mut firing = JoinSet::new();
        for Due { trigger, times } in due {
            let control = self.clone();
            firing.spawn(async move {
                for (due, missed) in times {
                    let firing = Firing { trigger: trigger.clone(), due, missed, asked: None };
                    if let Err(refusal) = control.fire(firing).await {
                        tracing::warn!(trigger = trigger.name, %refusal, "a firing was not accepted; it is tried again");
                        return Some(trigger.name.clone());
                    }
                }
                None
            });
        }
        while let Some(done) = firing.join_next().await {
            if let Ok(Some(name)) = done {
                // What was recorded of it is read, and nothing of the rest is lost.
                let looked = tokio::task::block_in_place(|| self.look_at_trigger(&name, wall().after(TRY_AGAIN)));
                if let Err(fault) = looked {
                    tracing::error!(trigger = name, %fault, "a trigger cannot be read");
                }
            }
        }
    }

    /// Starts the run of a firing, or records that it was left out. Refused only when it could not be recorded.
    async fn fire(&self, firing: Firing) -> Result<Option<RunId>, Refusal> {
        failpoint::hit(Point::TriggerDue);
        let until = tokio::time::Instant::now() + ROOM_PATIENCE;
        loop {
            let submit = match tokio::task::block_in_place(|| self.submit_of(&firing)) {
                Ok(submit) => Some(Box::new(submit)),
                Err(fault) => {
                    tracing::warn!(trigger = firing.trigger.name, %fault, "a trigger cannot start its run");
                    None
                }
            };
            let given = submit.as_ref().map(|submit| crate::erasing::given(&submit.inputs)).unwrap_or_default();
            let command = Command::FireTrigger {
                trigger: firing.trigger.name.clone(),
                due: firing.due,
                submit,
                missed: firing.missed,
                overlap: match firing.trigger.overlap {
                    Overlap::Allow => engine::Overlap::Allow,
                    Overlap::Skip => engine::Overlap::Skip,
                    Overlap::Queue => engine::Overlap::Queue,
                    Overlap::Replace => engine::Overlap::Replace,
                },
            };
            match self.inbox().ask(command).await {
                Ok(answer) => {
                    failpoint::hit(Point::TriggerFired);
                    if let Some(run) = answer.run.filter(|_| !given.is_empty()) {
                        tokio::task::block_in_place(|| self.take_artifacts(run, &given)).unwrap_or_else(
                            |fault| tracing::warn!(%run, %fault, "that a run holds its inputs could not be noted"),
                        );
                    }
                    self.flyte().submitted();
                    return Ok(answer.run);
                }
                Err(Refusal::Busy) if tokio::time::Instant::now() < until => tokio::time::sleep(ROOM_EVERY).await,
                Err(refusal) => return Err(refusal),
            }
        }
    }

    fn submit_of(&self, firing: &Firing) -> Result<Submit, Fault> {
        let trigger = &firing.trigger;
        if let Some(call) = crate::flyte::call_of(trigger) {
            let asked = firing.asked.as_ref().map(|asked| (&asked.payload, asked.call.as_str()));
            return self.submit_of_program(trigger, call, firing.due, asked);
        }
        let mut inputs = trigger.inputs.clone();
        if let Some(asked) = &firing.asked {
            // What came with the call is given to the input of that name, when the workflow has one.
            let (graph, _) = self.workflow(&trigger.workflow, None)?;
            if graph.inputs.iter().any(|port| port.name == "event") {
                // An input of a workflow carries what the workflow says, and not what came with a call.
                inputs.insert("event".into(), asked.untagged.as_ref().unwrap_or(&asked.payload).clone());
            }
        }
        self.prepare(Submission {
            workflow: trigger.workflow.clone(),
            inputs,
            domain: trigger.domain.clone(),
            principal: format!("trigger:{}", trigger.name),
            // The same firing after a crash in between gives the same run.
            idempotency_key: Some(firing_key(&trigger.name, firing.due, firing.asked.as_ref().map(|asked| asked.call.as_str()))),
            origin: Origin::Trigger { trigger: trigger.name.clone(), due: firing.due },
            ..Submission::default()
        })
    }

    /// Something came that triggers wait for: each fires once for it, however often this is said. `call` names it; `at` is when it came, and
    /// triggers that were applied later are not meant. What came is told as `untagged` where its labels would be lost.
    pub(crate) async fn fire_for(
        &self,
        event: &str,
        (payload, untagged): (&Value, Option<&Value>),
        call: &str,
        at: Timestamp,
    ) -> Result<(), Fault> {
        let triggers = self.triggers().schedule.lock().on_event(event);
        for trigger in triggers {
            let fits = matches!(&trigger.on, TriggerKind::Event { matching, .. } if covers(matching, payload));
            if !fits || tokio::task::block_in_place(|| self.has_fired(&trigger, call, at))? {
                continue;
            }
            let asked = Some(Asked { payload: payload.clone(), call: call.to_owned(), untagged: untagged.cloned() });
            self.fire(Firing { trigger, due: wall(), missed: 0, asked }).await?;
        }
        Ok(())
    }

    /// Whether a trigger has nothing to do with what came, or has fired for it.
    fn has_fired(&self, trigger: &TriggerSpec, call: &str, at: Timestamp) -> Result<bool, Fault> {
        let row = self.reader().resources("trigger", Some(&trigger.name), None).map_err(Fault::internal)?.pop();
        if row.is_none_or(|row| row.at > at) {
            return Ok(true);
        }
        let key = firing_key(&trigger.name, at, Some(call));
        let project = crate::governing::project_of(&trigger.workflow);
        let known = self.reader().find_run(project, "", None, Some(&key)).map_err(Fault::internal)?;
        Ok(known.by_key.is_some())
    }

    /// An event: waits for it end, and triggers on it fire.
    pub async fn event(&self, name: &str, payload: Value, principal: &str) -> Result<Vec<RunId>, Fault> {
        let command = Command::Event { name: name.to_owned(), payload: payload.clone(), principal: principal.to_owned() };
        self.inbox().ask(command).await?;
        let mut runs = Vec::new();
        let triggers = self.triggers().schedule.lock().on_event(name);
        for trigger in triggers {
            if matches!(&trigger.on, TriggerKind::Event { matching, .. } if covers(matching, &payload)) {
                // Two events at the same microsecond are two.
                let call = format!("{:032x}", u128::from_le_bytes(random_bytes()));
                let asked = Some(Asked { payload: payload.clone(), call, untagged: None });
                runs.extend(self.fire(Firing { trigger, due: wall(), missed: 0, asked }).await?);
            }
        }
        Ok(runs)
    }
}

fn covers(wanted: &Value, found: &Value) -> bool {
    match (wanted, found) {
        // An event that brings nothing has every field that none asks for.
        (Value::Object(wanted), _) if wanted.is_empty() => true,
        (Value::Object(wanted), Value::Object(found)) => {
            wanted.iter().all(|(key, value)| found.get(key).is_some_and(|other| covers(value, other)))
        }
        (wanted, found) => wanted == found,
    }
}
