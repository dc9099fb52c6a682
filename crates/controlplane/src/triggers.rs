//! Triggers: runs that start by themselves. One task looks at every trigger, fires what is due, and sleeps until the next.
//!
//! Catch-up: firings that were due while the server was down (or the trigger's task asleep for too long) are skipped, made up for once
//! (the default), or all made up for, at most [`model::limits::CATCH_UP_FIRINGS_MAX`] of them. What is left out is recorded.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use engine::event::Origin;
use engine::{Command, Submit};
use hmac::{Hmac, KeyInit as _, Mac as _};
use model::limits::CATCH_UP_FIRINGS_MAX;
use model::{Duration, Timestamp};
use serde_json::Value;
use sha2::Sha256;
use tokio::sync::Notify;
use workflow::documents::{CatchUp, Overlap, TriggerKind, TriggerSpec};

use crate::clock::{random_bytes, wall};
use crate::{ControlPlane, Fault, FaultKind, Submission};

/// The longest sleep: changes made by other means, and clocks that were set, are noticed after this.
const SLEEP_MAX: std::time::Duration = std::time::Duration::from_secs(30);

/// Wakes the task that fires triggers. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Triggers {
    change: Arc<Notify>,
}

impl Triggers {
    /// A trigger was applied or removed.
    pub(crate) fn changed(&self) {
        self.change.notify_one();
    }
}

/// Whether a cron expression and a time zone are understood.
pub(crate) fn check_cron(expression: &str, timezone: &str) -> Result<(), String> {
    let zone: Result<chrono_tz::Tz, _> = timezone.parse();
    zone.map_err(|_| format!("`{timezone}` is not a time zone: use a name such as `Europe/Berlin`"))?;
    let cron = expression.parse::<croner::Cron>();
    cron.map(drop).map_err(|error| format!("`{expression}` is not a cron expression (minute hour day month weekday): {error}"))
}

/// When a trigger is due next, after a point in time. None for webhooks and events, and when there is no next time.
pub fn next_firing(on: &TriggerKind, applied: Timestamp, after: Timestamp) -> Option<Timestamp> {
    match on {
        TriggerKind::Every(every) => {
            let passed = after.since(applied).0 / every.0.max(1);
            Some(applied.after(Duration((passed + 1).saturating_mul(every.0))))
        }
        TriggerKind::Cron { expression, timezone } => {
            let zone: chrono_tz::Tz = timezone.parse().ok()?;
            let cron = expression.parse::<croner::Cron>().ok()?;
            let after: DateTime<Utc> = DateTime::from_timestamp_micros(i64::try_from(after.0).ok()?)?;
            let next = cron.find_next_occurrence(&after.with_timezone(&zone), false).ok()?;
            u64::try_from(next.timestamp_micros()).ok().map(Timestamp)
        }
        TriggerKind::Webhook { .. } | TriggerKind::Event { .. } => None,
    }
}

/// Whether a webhook's signature is right: `sha256=` and the HMAC-SHA256 of `TIMESTAMP.BODY` in hexadecimal digits.
pub fn verify_signature(secret: &[u8], timestamp: &str, body: &[u8], signature: &str) -> bool {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else { return false };
    mac.update(timestamp.as_bytes());
    mac.update(b".");
    mac.update(body);
    let Some(hex) = signature.strip_prefix("sha256=").filter(|hex| hex.len() == 64 && hex.is_ascii()) else { return false };
    let bytes: Option<Vec<u8>> = (0..32).map(|index| u8::from_str_radix(&hex[index * 2..index * 2 + 2], 16).ok()).collect();
    // Compared in constant time by the library.
    bytes.is_some_and(|bytes| mac.verify_slice(&bytes).is_ok())
}

impl ControlPlane {
    /// Fires what is due, for as long as the process lives.
    pub(crate) async fn run_triggers(self) {
        loop {
            let next = match tokio::task::block_in_place(|| self.due_triggers()) {
                Ok((due, next)) => {
                    for (trigger, at, missed) in due {
                        self.fire(&trigger, at, missed, None, None).await;
                    }
                    next
                }
                Err(fault) => {
                    tracing::error!(%fault, "triggers cannot be read");
                    None
                }
            };
            let sleep = next.map_or(SLEEP_MAX, |next| next.since(wall()).to_std().min(SLEEP_MAX));
            tokio::select! {
                () = tokio::time::sleep(sleep.max(std::time::Duration::from_millis(5))) => {}
                () = self.triggers().change.notified() => {}
            }
        }
    }

    /// What is due now, with how many firings before it were left out; and when the next is.
    #[expect(clippy::type_complexity, reason = "three facts about a firing, used once")]
    fn due_triggers(&self) -> Result<(Vec<(TriggerSpec, Timestamp, u32)>, Option<Timestamp>), Fault> {
        let now = wall();
        let (mut due, mut next) = (Vec::new(), None::<Timestamp>);
        for row in self.reader().resources("trigger", None, None).map_err(Fault::internal)? {
            let Ok(trigger) = serde_json::from_value::<TriggerSpec>(row.body) else { continue };
            if trigger.paused {
                continue;
            }
            let last = self.reader().firings(&trigger.name, 1).map_err(Fault::internal)?.pop();
            let since = last.map_or(row.at, |last| last.due.max(row.at));
            let (missed, upcoming) = missed_firings(&trigger, row.at, since, now);
            due.extend(catch_up(&trigger, &missed, now));
            next = [next, upcoming].into_iter().flatten().min();
        }
        Ok((due, next))
    }

    /// Starts the run of a firing, or records that it was left out.
    pub(crate) async fn fire(
        &self,
        trigger: &TriggerSpec,
        due: Timestamp,
        missed: u32,
        payload: Option<Value>,
        call: Option<&str>,
    ) -> Option<model::RunId> {
        let submit = tokio::task::block_in_place(|| self.firing(trigger, due, payload, call));
        let submit: Option<Box<Submit>> = match submit {
            Ok(submit) => submit.map(Box::new),
            Err(fault) => {
                tracing::warn!(trigger = trigger.name, %fault, "a trigger cannot start its run");
                None
            }
        };
        let command = Command::FireTrigger { trigger: trigger.name.clone(), due, submit, missed };
        match self.inbox().ask(command).await {
            Ok(answer) => answer.run,
            Err(refusal) => {
                tracing::warn!(trigger = trigger.name, %refusal, "a firing was not accepted");
                None
            }
        }
    }

    fn firing(
        &self,
        trigger: &TriggerSpec,
        due: Timestamp,
        payload: Option<Value>,
        call: Option<&str>,
    ) -> Result<Option<Submit>, Fault> {
        if trigger.overlap == Overlap::Skip {
            let last = self.reader().firings(&trigger.name, 10).map_err(Fault::internal)?;
            let running = last
                .iter()
                .filter_map(|firing| firing.run)
                .any(|run| self.reader().run(run).ok().flatten().is_some_and(|row| row.finished_at.is_none()));
            if running {
                return Ok(None);
            }
        }
        let mut inputs = trigger.inputs.clone();
        if let Some(payload) = payload {
            // What came with the call is given to the input of that name, when the workflow has one.
            let (graph, _) = self.workflow(&trigger.workflow, None)?;
            if graph.inputs.iter().any(|port| port.name == "event") {
                inputs.insert("event".into(), payload);
            }
        }
        let request = Submission {
            workflow: trigger.workflow.clone(),
            inputs,
            domain: trigger.domain.clone(),
            principal: format!("trigger:{}", trigger.name),
            // The same firing after a crash in between gives the same run.
            idempotency_key: Some(match call {
                Some(signature) => format!("trigger/{}/call/{signature}", trigger.name),
                None => format!("trigger/{}/{}", trigger.name, due.0),
            }),
            origin: Origin::Trigger { trigger: trigger.name.clone(), due },
            ..Submission::default()
        };
        self.prepare(request).map(Some)
    }

    /// A call of a webhook.
    pub async fn webhook(
        &self,
        name: &str,
        timestamp: &str,
        body: &[u8],
        signature: &str,
    ) -> Result<Option<model::RunId>, Fault> {
        let row = self.reader().resources("trigger", Some(name), None).map_err(Fault::internal)?.pop();
        let trigger = row.and_then(|row| serde_json::from_value::<TriggerSpec>(row.body).ok());
        let trigger = trigger.filter(|trigger| !trigger.paused);
        let Some((trigger, secret_env)) = trigger.and_then(|trigger| match &trigger.on {
            TriggerKind::Webhook { secret_env } => Some((trigger.clone(), secret_env.clone())),
            _ => None,
        }) else {
            return Err(Fault::new(FaultKind::NotFound, format!("there is no webhook `{name}`")));
        };
        let secret = std::env::var(&secret_env).unwrap_or_default();
        let fresh = timestamp.parse::<u64>().is_ok_and(|seconds| (wall().0 / 1_000_000).abs_diff(seconds) <= 300);
        if secret.is_empty() || !fresh || !verify_signature(secret.as_bytes(), timestamp, body, signature) {
            return Err(Fault::new(FaultKind::Unauthenticated, "the signature of the call is missing, wrong or too old"));
        }
        let payload: Value = serde_json::from_slice(body).unwrap_or_else(|_| String::from_utf8_lossy(body).into_owned().into());
        // The same call, played again while its time is still fresh, gives the run that it gave before.
        Ok(self.fire(&trigger, wall(), 0, Some(payload), Some(signature)).await)
    }

    /// An event: waits for it end, and triggers on it fire.
    pub async fn event(&self, name: &str, payload: Value, principal: &str) -> Result<Vec<model::RunId>, Fault> {
        let command = Command::Event { name: name.to_owned(), payload: payload.clone(), principal: principal.to_owned() };
        self.inbox().ask(command).await?;
        let mut runs = Vec::new();
        for row in self.reader().resources("trigger", None, None).map_err(Fault::internal)? {
            let Ok(trigger) = serde_json::from_value::<TriggerSpec>(row.body) else { continue };
            if let TriggerKind::Event { name: wanted, matching } = &trigger.on
                && wanted == name
                && !trigger.paused
                && covers(matching, &payload)
            {
                // Two events at the same microsecond are two.
                let call = format!("{:032x}", u128::from_le_bytes(random_bytes()));
                runs.extend(self.fire(&trigger, wall(), 0, Some(payload.clone()), Some(&call)).await);
            }
        }
        Ok(runs)
    }
}

fn covers(wanted: &Value, found: &Value) -> bool {
    match (wanted, found) {
        (Value::Object(wanted), Value::Object(found)) => {
            wanted.iter().all(|(key, value)| found.get(key).is_some_and(|other| covers(value, other)))
        }
        (wanted, found) => wanted == found,
    }
}

/// How far back missed firings of a cron expression are looked for.
const LOOK_BACK: Duration = Duration::from_secs(366 * 24 * 3_600);

/// The firings between the last one and now, the latest last and no more than are ever made up for; and the one to come.
fn missed_firings(
    trigger: &TriggerSpec,
    applied: Timestamp,
    since: Timestamp,
    now: Timestamp,
) -> (Vec<Timestamp>, Option<Timestamp>) {
    let mut missed = std::collections::VecDeque::new();
    // Nothing older than what is made up for is looked at one by one: an interval is reckoned, of a cron the last year counts.
    let mut at = match &trigger.on {
        TriggerKind::Every(every) => {
            let kept = every.0.max(1).saturating_mul(u64::from(CATCH_UP_FIRINGS_MAX) + 1);
            since.max(Timestamp(now.0.saturating_sub(kept)))
        }
        _ => since.max(Timestamp(now.0.saturating_sub(LOOK_BACK.0))),
    };
    loop {
        match next_firing(&trigger.on, applied, at) {
            Some(next) if next <= now => {
                missed.push_back(next);
                if missed.len() > CATCH_UP_FIRINGS_MAX as usize {
                    missed.pop_front();
                }
                at = next;
            }
            upcoming => return (missed.into(), upcoming),
        }
    }
}

/// A firing that is this late was missed; before that it is merely being fired.
const LATE: Duration = Duration::from_secs(60);

fn catch_up(trigger: &TriggerSpec, missed: &[Timestamp], now: Timestamp) -> Vec<(TriggerSpec, Timestamp, u32)> {
    let Some((last, before)) = missed.split_last() else { return Vec::new() };
    let fire = |at: &Timestamp, missed: u32| (trigger.clone(), *at, missed);
    match trigger.catch_up {
        CatchUp::All => missed.iter().map(|at| fire(at, 0)).collect(),
        CatchUp::Last => vec![fire(last, before.len() as u32)],
        CatchUp::Skip if now.since(*last) <= LATE => vec![fire(last, before.len() as u32)],
        CatchUp::Skip => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(text: &str) -> Timestamp {
        Timestamp(DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros() as u64)
    }

    #[test]
    fn cron_knows_time_zones_and_summer() {
        let on = TriggerKind::Cron { expression: "30 2 * * *".into(), timezone: "Europe/Berlin".into() };
        let next = |after: &str| next_firing(&on, Timestamp(0), micros(after)).unwrap();
        assert_eq!(next("2026-01-10T00:00:00Z"), micros("2026-01-10T01:30:00Z"));
        assert_eq!(next("2026-07-10T00:00:00Z"), micros("2026-07-10T00:30:00Z"));
        assert!(check_cron("* * * *", "UTC").is_err() && check_cron("* * * * *", "Mars/Base").is_err());
    }

    #[test]
    fn intervals_keep_their_beat() {
        let on = TriggerKind::Every(Duration::from_secs(10));
        let applied = Timestamp(5_000_000);
        assert_eq!(next_firing(&on, applied, Timestamp(5_000_000)), Some(Timestamp(15_000_000)));
        assert_eq!(next_firing(&on, applied, Timestamp(26_000_000)), Some(Timestamp(35_000_000)));
    }

    fn cron(expression: &str) -> TriggerKind {
        TriggerKind::Cron { expression: expression.into(), timezone: "Europe/Berlin".into() }
    }

    /// The next firings after a time.
    fn firings(on: &TriggerKind, after: &str, count: usize) -> Vec<Timestamp> {
        let next = |at: &Timestamp| next_firing(on, Timestamp(0), *at);
        std::iter::successors(Some(micros(after)), next).skip(1).take(count).collect()
    }

    /// Nights on which clocks are put forward and back: `docs/concepts/triggers.md` says what is tested here.
    #[test]
    fn an_hour_that_is_left_out_and_an_hour_that_comes_twice() {
        let forward = firings(&cron("30 2 * * *"), "2026-03-28T12:00:00Z", 2);
        let at_the_end_of_the_gap = [micros("2026-03-29T01:00:00Z"), micros("2026-03-30T00:30:00Z")];
        assert_eq!(forward, at_the_end_of_the_gap, "{forward:?}");
        let back = firings(&cron("30 2 * * *"), "2026-10-24T12:00:00Z", 2);
        assert_eq!(back, [micros("2026-10-25T00:30:00Z"), micros("2026-10-26T01:30:00Z")], "once, the first time: {back:?}");
        // What runs every half hour goes on every half hour of real time.
        let often = firings(&cron("*/30 * * * *"), "2026-10-25T00:00:00Z", 5);
        assert!(often.windows(2).all(|pair| pair[1].since(pair[0]) == Duration::from_secs(1_800)), "{often:?}");
        let often = firings(&cron("*/30 * * * *"), "2026-03-29T00:00:00Z", 5);
        assert!(often.windows(2).all(|pair| pair[1].since(pair[0]) == Duration::from_secs(1_800)), "{often:?}");
    }

    fn every(span: Duration, catch_up: CatchUp) -> TriggerSpec {
        TriggerSpec {
            name: "t".into(),
            workflow: "a/b".into(),
            domain: None,
            inputs: Default::default(),
            on: TriggerKind::Every(span),
            catch_up,
            overlap: Overlap::Allow,
            paused: false,
        }
    }

    #[test]
    fn missed_firings_follow_the_policy() {
        let now = Timestamp(35_000_000);
        let due = |policy, now: Timestamp| {
            let trigger = every(Duration::from_secs(10), policy);
            let (missed, next) = missed_firings(&trigger, Timestamp(0), Timestamp(0), now);
            let due: Vec<(u64, u32)> = catch_up(&trigger, &missed, now).iter().map(|(_, at, left)| (at.0, *left)).collect();
            (due, next)
        };
        let next = Some(Timestamp(40_000_000));
        assert_eq!(due(CatchUp::All, now), (vec![(10_000_000, 0), (20_000_000, 0), (30_000_000, 0)], next));
        assert_eq!(due(CatchUp::Last, now), (vec![(30_000_000, 2)], next));
        // It is being fired, not made up for: it was due five seconds ago.
        assert_eq!(due(CatchUp::Skip, now), (vec![(30_000_000, 2)], next));
        let trigger = every(Duration::from_secs(3_600), CatchUp::Skip);
        let late = Timestamp(3_600_000_000 + 61_000_000);
        let (missed, _) = missed_firings(&trigger, Timestamp(0), Timestamp(0), late);
        assert_eq!((missed.len(), catch_up(&trigger, &missed, late).len()), (1, 0));
    }

    #[test]
    fn an_outage_of_any_length_costs_no_more_than_what_is_made_up_for() {
        // A microsecond, a year: a count that nobody waits for, were they counted one by one.
        let now = Timestamp(366 * 24 * 3_600_000_000);
        let trigger = every(Duration(1), CatchUp::All);
        let (missed, next) = missed_firings(&trigger, Timestamp(0), Timestamp(0), now);
        assert_eq!((missed.len(), missed.last(), next), (CATCH_UP_FIRINGS_MAX as usize, Some(&now), Some(Timestamp(now.0 + 1))));
        // A clock that was set back is no reason to fire.
        assert_eq!(missed_firings(&trigger, Timestamp(0), now, Timestamp(5)).0, []);
    }

    #[test]
    fn signatures_are_checked() {
        let mut mac = Hmac::<Sha256>::new_from_slice(b"s").unwrap();
        mac.update(b"1.body");
        let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(verify_signature(b"s", "1", b"body", &format!("sha256={hex}")));
        assert!(!verify_signature(b"s", "2", b"body", &format!("sha256={hex}")));
        assert!(!verify_signature(b"x", "1", b"body", &format!("sha256={hex}")));
        assert!(!verify_signature(b"s", "1", b"body", "sha256=zz") && !verify_signature(b"s", "1", b"body", ""));
    }
}
