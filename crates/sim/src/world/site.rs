//! What happens at sites: orders arrive, attempts begin and end, reports go out and get lost, sites go away and come back.

use std::collections::VecDeque;

use engine::event::{Located, Usage};
use engine::{Command, Dispatch, Effect, Outcome, Report};
use model::{ArtifactRef, AttemptKey, Digest, Epoch, Failure, FailureClass};
use serde_json::{Value, json};
use testkit::site as build;

use super::{Happening, World};
use crate::fleet::{SimAttempt, SimSite};
use crate::generate::ZONES;
use crate::monitor::{At, broken};
use crate::tags;

/// How often a report is repeated before the site waits to be asked.
const REPEATS_MAX: u32 = 12;

impl World {
    /// Two to four sites, some in each zone.
    pub(super) fn found_sites(&mut self) {
        for number in 0..self.rng.between(2, 4) {
            let name = format!("s{number}");
            let zone = ZONES[number as usize % 2];
            let spec = build(&name)
                .cores(self.rng.between(3, 6) as u32)
                .prices(self.rng.below(3) as f64 / 10.0, 0.1)
                .attribute("zone", zone)
                .spec();
            self.sites.insert(name, SimSite::new(spec));
        }
    }

    /// Sends an order to a site.
    pub(super) fn send(&mut self, site: &str, effect: Effect) {
        let incarnation = self.incarnation;
        self.outbox.entry(site.to_owned()).or_default().push_back((incarnation, effect));
        let delay = self.delay();
        self.after(delay, Happening::Deliver(site.to_owned()));
    }

    /// An order reaches a site, or waits until that can be reached. One of an incarnation that is no more may arrive as well.
    pub(super) fn deliver(&mut self, name: &str) {
        if !self.sites.get(name).is_some_and(|site| site.up) {
            return self.after(5_000_000, Happening::Deliver(name.to_owned()));
        }
        let Some((incarnation, effect)) = self.outbox.get_mut(name).and_then(VecDeque::pop_front) else { return };
        let current = incarnation == self.incarnation;
        match effect {
            Effect::Dispatch(order) => self.begin(current, name, *order),
            Effect::Cancel { attempt, .. } => self.stop(name, attempt),
            Effect::Release { attempt, .. } => {
                if let Some(site) = self.sites.get_mut(name)
                    && site.attempts.get(&attempt).is_some_and(|attempt| attempt.ended.is_some())
                {
                    site.attempts.remove(&attempt);
                }
            }
            Effect::Transfer(_) | Effect::Recall { .. } => {}
        }
    }

    fn begin(&mut self, current: bool, name: &str, order: Dispatch) {
        let Some(site) = self.sites.get_mut(name) else { return };
        if order.epoch < site.epoch {
            if current {
                let what = format!("`{name}` refuses {} of epoch {}: {} is in charge", order.key, order.epoch, site.epoch);
                self.judge(broken("I6 epochs", what));
            }
            return;
        }
        site.epoch = order.epoch;
        if let Some(known) = site.attempts.get_mut(&order.key) {
            known.repeats = 0;
            if known.ended.is_some() {
                self.send_report(name, order.key);
            }
            return;
        }
        let input = order.input.as_ref().map_or(Value::Null, |input| input.value().clone());
        let inputs = ArtifactRef::all_in(&input);
        let rots = inputs.first().map(|artifact| artifact.digest).filter(|_| self.fault(30, "an input rotted at its site"));
        let Some(site) = self.sites.get_mut(name) else { return };
        rots.into_iter().for_each(|artifact| site.lose(artifact));
        let missing = inputs.into_iter().find(|artifact| !site.store.contains(&artifact.digest));
        let lost = missing.as_ref().is_some_and(|artifact| site.lost.contains(&artifact.digest));
        if let Some(artifact) = missing.filter(|_| !lost) {
            let what = format!("`{}` begins at `{name}` without its input `{}`", order.path, artifact.name);
            return self.judge(broken("I4 inputs", what));
        }
        if current {
            // What an order of a live server begins is placed there, under this number.
            let checked = self.monitor.check_effect(&Effect::Dispatch(Box::new(order.clone())));
            self.judge(checked);
        }
        self.lives += 1;
        let (life, deaf) = (self.lives, !current || self.rng.chance(30));
        let (outcome, made) = match lost {
            true => (Outcome::Failed(Failure::new(FailureClass::Transfer, "an input is not there any more")), Vec::new()),
            false => self.fate(order.key, true, &tags::read_by(&input, &order.node)),
        };
        let takes_us = match self.rng.below(100) {
            0..=69 => self.rng.between(500, 2_000_000),
            70..=94 => self.rng.between(2_000_000, 60_000_000),
            _ => self.rng.between(60_000_000, 600_000_000),
        };
        let attempt = SimAttempt { epoch: order.epoch, ended: None, deaf, life, repeats: 0, made, outcome };
        if let Some(site) = self.sites.get_mut(name) {
            site.attempts.insert(order.key, attempt);
        }
        self.say(|| format!("{} begins at `{name}`, deaf: {deaf}", order.key));
        self.after(takes_us, Happening::AttemptEnds(name.to_owned(), order.key, life));
        if self.rng.chance(500) {
            let delay = self.delay();
            let started = Command::Started { attempt: order.key, host: name.to_owned() };
            self.after(delay, Happening::Arrives(Box::new(started)));
        }
    }

    /// What an attempt comes to, and the artifacts it makes. It gives back what it has `read`.
    pub(super) fn fate(&mut self, attempt: AttemptKey, makes: bool, read: &Value) -> (Outcome, Vec<Digest>) {
        let fail = |class: FailureClass, message: &str| (Outcome::Failed(Failure::new(class, message)), Vec::new());
        match self.rng.below(100) {
            0..=9 => return fail(FailureClass::User, "exit code 1"),
            10..=11 => return fail(FailureClass::Oom, "killed for memory"),
            12..=14 => return fail(FailureClass::NodeLost, "the machine vanished"),
            15 => return fail(FailureClass::DiskFull, "the disk of the site is full"),
            16 => return (Outcome::Aborted, Vec::new()),
            17 => return fail(FailureClass::Timeout, "the executor's own deadline"),
            _ => {}
        }
        if !makes || !self.rng.chance(800) {
            return (Outcome::Succeeded(json!({"n": self.rng.below(5), "read": read})), Vec::new());
        }
        let name = attempt.to_string();
        let digest = Digest::of(name.as_bytes());
        let artifact = ArtifactRef { digest, size: self.rng.below(1 << 20), kind: Default::default(), name };
        (Outcome::Succeeded(json!({"n": self.rng.below(5), "read": read, "file": artifact.to_value()})), vec![digest])
    }

    fn stop(&mut self, name: &str, attempt: AttemptKey) {
        self.say(|| format!("`{name}` is told to stop {attempt}"));
        let Some(site) = self.sites.get_mut(name) else { return };
        let Some(known) = site.attempts.get_mut(&attempt) else {
            // Nothing of that name: the shell says so. The order to begin it may still be on its way, and comes to nothing.
            let outcome = Outcome::Aborted;
            let (epoch, ended) = (site.epoch, Some(outcome.clone()));
            let stone = SimAttempt { epoch, ended, deaf: false, life: 0, repeats: REPEATS_MAX, made: Vec::new(), outcome };
            site.attempts.insert(attempt, stone);
            return self.arrives_about(attempt, Epoch(0), Outcome::Aborted, Vec::new());
        };
        if known.ended.is_none() && !known.deaf {
            // Some end well before the order reaches them.
            if !self.rng.chance(200) {
                (known.outcome, known.made) = (Outcome::Aborted, Vec::new());
            }
            let (life, name) = (known.life, name.to_owned());
            let takes = self.rng.between(100, 5_000_000);
            self.after(takes, Happening::AttemptEnds(name, attempt, life));
        } else if known.ended.is_some() {
            self.send_report(name, attempt);
        }
    }

    pub(super) fn attempt_ends(&mut self, name: &str, attempt: AttemptKey, life: u64) {
        let (now, stopped) = (self.now, self.stopped.get(&attempt).copied());
        let Some(site) = self.sites.get_mut(name) else { return };
        let steady = site.up && stopped.is_some_and(|stopped| site.up_since < stopped);
        let Some(known) = site.attempts.get_mut(&attempt).filter(|known| known.life == life && known.ended.is_none()) else {
            return;
        };
        known.ended = Some(known.outcome.clone());
        let made = if matches!(known.outcome, Outcome::Succeeded(_)) { known.made.clone() } else { Vec::new() };
        let unheard = !known.deaf && known.outcome != Outcome::Aborted && steady;
        made.into_iter().for_each(|artifact| site.store(artifact));
        if unheard && stopped.is_some_and(|stopped| now > stopped + 60_000_000) {
            let what = format!("{attempt} at `{name}` went on for a minute after it was stopped");
            self.judge(broken("I8 cancel", what));
        }
        self.send_report(name, attempt);
        let pause = self.rng.between(15_000_000, 30_000_000);
        self.after(pause, Happening::Repeats(name.to_owned()));
    }

    /// Sends the report of an attempt that has ended: it may get lost, come twice, or late.
    fn send_report(&mut self, name: &str, attempt: AttemptKey) {
        let Some(site) = self.sites.get(name).filter(|site| site.up) else { return };
        let Some(known) = site.attempts.get(&attempt) else { return };
        let Some(outcome) = known.ended.clone() else { return };
        let locations = match &outcome {
            Outcome::Succeeded(value) => ArtifactRef::all_in(value)
                .into_iter()
                .map(|artifact| Located { artifact: artifact.digest, size: artifact.size, site: name.to_owned() })
                .collect(),
            _ => Vec::new(),
        };
        let usage = Usage { wall_us: 1_000_000, ..Usage::default() };
        let report = Report { attempt, epoch: known.epoch, outcome, usage, locations };
        if self.fault(40, "a report was lost") {
            return;
        }
        let copies = 1 + u64::from(self.fault(40, "a report came twice"));
        for _ in 0..copies {
            let late = if self.fault(40, "a report came late") { self.rng.between(1_000_000, 120_000_000) } else { 0 };
            let delay = self.delay() + late;
            self.after(delay, Happening::Arrives(Box::new(Command::Report(Box::new(report.clone())))));
        }
    }

    /// A site repeats what it has not been told to forget. One that is away begins again when it is back: what nobody could hear does not
    /// count as said.
    pub(super) fn repeats(&mut self, name: &str) {
        let Some(site) = self.sites.get_mut(name).filter(|site| site.up) else { return };
        let mut due = Vec::new();
        for (attempt, known) in &mut site.attempts {
            if known.ended.is_some() && known.repeats < REPEATS_MAX {
                known.repeats += 1;
                due.push(*attempt);
            }
        }
        if due.is_empty() {
            return;
        }
        for attempt in due {
            self.send_report(name, attempt);
        }
        let pause = self.rng.between(15_000_000, 30_000_000);
        self.after(pause, Happening::Repeats(name.to_owned()));
    }

    /// A site cannot be reached any more, and may have lost its power.
    pub(super) fn site_down(&mut self, name: &str) {
        let power = self.rng.chance(400);
        let away = self.rng.between(1_000_000, 400_000_000);
        let Some(site) = self.sites.get_mut(name).filter(|site| site.up) else { return };
        site.up = false;
        if power {
            site.attempts.retain(|_, attempt| attempt.ended.is_some());
        }
        self.stats.fault(if power { "a site lost its power" } else { "a site was cut off" });
        self.after(away, Happening::SiteUp(name.to_owned()));
        let health = Command::SiteHealth { site: name.to_owned(), healthy: false, reason: "it does not answer".into() };
        self.after(3_000_000, Happening::Arrives(Box::new(health)));
        self.watch(name);
    }

    pub(super) fn site_up(&mut self, name: &str) {
        let now = self.now;
        let Some(site) = self.sites.get_mut(name).filter(|site| !site.up) else { return };
        (site.up, site.up_since) = (true, now);
        let health = Command::SiteHealth { site: name.to_owned(), healthy: true, reason: "it answers".into() };
        self.after(2_000_000, Happening::Arrives(Box::new(health)));
        self.watch(name);
        self.repeats(name);
        self.stop_orphans(name);
    }

    /// Stops what runs at a site and is nobody's any more: the order to stop it went down with a server, or met a site that was away.
    pub(super) fn stop_orphans(&mut self, name: &str) {
        let wanted = |attempt: &AttemptKey| {
            let action = self.monitor.action(attempt.action_key());
            action.is_some_and(|action| action.attempt == attempt.attempt.0 && matches!(action.phase, At::Placed | At::Stopping))
        };
        let Some(site) = self.sites.get(name).filter(|site| site.up) else { return };
        let running = site.attempts.iter().filter(|(_, attempt)| attempt.ended.is_none()).map(|(attempt, _)| *attempt);
        let orphans: Vec<AttemptKey> = running.filter(|attempt| !wanted(attempt)).collect();
        for attempt in orphans {
            self.stop(name, attempt);
        }
    }
}
