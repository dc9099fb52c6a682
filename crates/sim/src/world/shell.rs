//! What the shell does with effects, and with what comes back: the dispatcher, the queue for workers, transfers, look-ups.

use engine::event::{Located, Usage};
use engine::{Command, Dispatch, Effect, Outcome, Recall, Report, Transfer};
use model::{AttemptKey, Epoch, Failure, FailureClass, NodeKind};
use serde_json::Value;

use super::{Happening, World, instants};
use crate::fleet::Lease;
use crate::mutation::Mutation;
use crate::tags;

/// How long a site may be away before what ran there is given up.
const LOST_US: u64 = 60_000_000;
/// A worker's lease.
const LEASE_US: u64 = 30_000_000;

impl World {
    /// Carries out an effect.
    pub(super) fn carry_out(&mut self, effect: Effect) {
        let incarnation = self.incarnation;
        match effect {
            Effect::Dispatch(order) => self.dispatch(*order),
            Effect::Transfer(order) => {
                // Some are large: much can happen to what waits for them.
                let delay = if self.rng.chance(400) { self.rng.between(300_000, 60_000_000) } else { self.delay() };
                self.after(delay, Happening::TransferEnds(incarnation, order));
            }
            Effect::Cancel { attempt, site } => self.cancel(attempt, site),
            Effect::Recall { action, project, key } => {
                let found = self.kept.get(&(project, key.key));
                let now = self.now.saturating_add_signed(self.skew);
                let fresh = found.filter(|kept| {
                    key.max_age.is_none_or(|age| kept.since.after(age).0 >= now) && !self.monitor.is_undone(kept.of)
                });
                let bare = self.has(Mutation::ForgetCarried);
                let answer = fresh.map_or(Recall::Unknown, |kept| Recall::Output {
                    value: kept.output.clone(),
                    locations: kept.locations.clone(),
                    carried: if bare { Default::default() } else { kept.carried.clone() },
                });
                let delay = self.delay();
                self.after(delay, Happening::Recalled(incarnation, action, answer));
            }
            Effect::Release { attempt, site } => {
                let everywhere = site.is_empty();
                let sites: Vec<String> = self.sites.keys().filter(|name| everywhere || **name == site).cloned().collect();
                for site in sites {
                    self.send(&site, Effect::Release { attempt, site: site.clone() });
                }
                if let Some(server) = &mut self.server {
                    server.leases.leased.remove(&attempt);
                }
            }
        }
    }

    fn dispatch(&mut self, mut order: Dispatch) {
        // What a turn had no time for.
        if let Some(report) = instants::compute(&order) {
            return self.arrives(Command::Report(Box::new(report)));
        }
        if self.has(Mutation::LoseDispatch) && self.rng.chance(30) {
            return;
        }
        let Some(server) = &mut self.server else { return };
        if matches!(order.node.kind, NodeKind::Task { .. }) {
            if !server.leases.leased.contains_key(&order.key) {
                server.leases.offered.insert(order.key, order.epoch);
            }
            return;
        }
        if let Some(mutation) = self.options.mutation {
            order.key.attempt = mutation.attempt(order.key.attempt);
            if mutation == Mutation::WrongSite {
                let other = self.sites.keys().find(|name| **name != order.site).cloned();
                order.site = other.unwrap_or(order.site);
            }
        }
        server.sent.insert(order.key, order.site.clone());
        let site = order.site.clone();
        self.send(&site, Effect::Dispatch(Box::new(order)));
    }

    fn cancel(&mut self, attempt: AttemptKey, site: String) {
        self.stopped.entry(attempt).or_insert(self.now);
        self.say(|| format!("{attempt} at `{site}` is to stop"));
        if self.has(Mutation::ForgetCancel) {
            return;
        }
        let Some(server) = &mut self.server else { return };
        if server.leases.offered.remove(&attempt).is_some() {
            return self.arrives_about(attempt, Epoch(0), Outcome::Aborted, Vec::new());
        }
        let delay = self.delay();
        let Some(server) = &self.server else { return };
        if let Some(lease) = server.leases.leased.get(&attempt).copied() {
            self.after(delay, Happening::WorkerEnds(attempt, lease.worker, lease.epoch, Outcome::Aborted));
            return;
        }
        self.send(&site, Effect::Cancel { attempt, site: site.clone() });
    }

    /// A command reaches the server, or nobody.
    pub(super) fn arrives(&mut self, command: Command) {
        if let Command::Report(report) = &command {
            let attempt = report.attempt;
            if self.has(Mutation::DropReport) && self.rng.chance(100) {
                let effect = Effect::Release { attempt, site: String::new() };
                return self.carry_out(effect);
            }
            if let Some(server) = &mut self.server {
                server.sent.remove(&attempt);
            }
        }
        self.ask(command, None);
    }

    /// The shell itself reports about an attempt.
    pub(super) fn arrives_about(&mut self, attempt: AttemptKey, epoch: Epoch, outcome: Outcome, locations: Vec<Located>) {
        let usage = Usage { wall_us: 1_000_000, ..Usage::default() };
        self.arrives(Command::Report(Box::new(Report { attempt, epoch, outcome, usage, locations })));
    }

    /// A transfer ends: well when both sites can be reached and the source has a copy.
    pub(super) fn transfer_ends(&mut self, order: &Transfer) {
        // One that was stopped has let go, unless it had come to its end before the order reached it.
        if self.stopped.contains_key(&order.key) && !self.rng.chance(300) {
            return;
        }
        let fails = self.fault(60, "a transfer failed");
        if self.fault(30, "a source lost an artifact")
            && let Some(site) = self.sites.get_mut(&order.from)
        {
            site.lose(order.artifact);
        }
        let up = |name: &str| self.sites.get(name).is_some_and(|site| site.up);
        let has = self.sites.get(&order.from).is_some_and(|site| site.store.contains(&order.artifact));
        let failure = match () {
            () if fails || !up(&order.from) || !up(&order.to) => Some((FailureClass::SiteDown, "the way is blocked")),
            () if !has => Some((FailureClass::Transfer, "its source has lost it")),
            () => None,
        };
        if let Some((class, message)) = failure {
            let failure = Failure::new(class, message);
            return self.arrives_about(order.key, order.epoch, Outcome::Failed(failure), Vec::new());
        }
        if let Some(site) = self.sites.get_mut(&order.to) {
            site.store(order.artifact);
        }
        let located = Located { artifact: order.artifact, size: order.size, site: order.to.clone() };
        self.arrives_about(order.key, order.epoch, Outcome::Succeeded(Value::Null), vec![located]);
    }

    /// Whether what was sent to a site is still known there.
    pub(super) fn missing(&mut self, attempt: AttemptKey, site: &str) {
        let sent = self.server.as_ref().is_some_and(|server| server.sent.contains_key(&attempt));
        let there = self.sites.get(site).is_some_and(|site| site.up && site.attempts.contains_key(&attempt));
        if sent && !there {
            self.stats.fault("an attempt was given up for lost");
            let failure = Failure::new(FailureClass::NodeLost, "its site does not know it");
            self.arrives_about(attempt, Epoch(0), Outcome::Failed(failure), Vec::new());
        }
    }

    /// Looks after a while for all that was sent to a site.
    pub(super) fn watch(&mut self, site: &str) {
        let Some(server) = &self.server else { return };
        let there: Vec<AttemptKey> = server.sent.iter().filter(|(_, at)| *at == site).map(|(attempt, _)| *attempt).collect();
        let incarnation = self.incarnation;
        for attempt in there {
            self.after(LOST_US, Happening::Missing(incarnation, attempt, site.to_owned()));
        }
    }

    pub(super) fn worker_polls(&mut self, worker: u64) {
        let pause = self.rng.between(100_000, 2_000_000);
        self.after(pause, Happening::WorkerPolls(worker));
        let (now, incarnation) = (self.now, self.incarnation);
        let Some(server) = &mut self.server else { return };
        let Some((attempt, epoch)) = server.leases.offered.pop_first() else { return };
        server.leases.leased.insert(attempt, Lease { worker, epoch, until: now + LEASE_US });
        self.ask(Command::Started { attempt, host: format!("worker {worker}") }, None);
        if self.fault(60, "a worker died with its lease") {
            return self.after(LEASE_US, Happening::LeaseEnds(incarnation, attempt));
        }
        let read = self.read_by(attempt);
        let (takes, outcome) = (self.rng.between(1_000, 25_000_000), self.fate(attempt, false, &read).0);
        self.after(takes, Happening::WorkerEnds(attempt, worker, epoch, outcome));
    }

    /// What an attempt of a worker gives beside its result.
    fn read_by(&self, attempt: AttemptKey) -> Value {
        let action = self.monitor.action(attempt.action_key());
        action.map_or(Value::Null, |action| tags::read_by(&action.input, &action.node))
    }

    /// A worker says how it went. Without its lease nobody listens.
    pub(super) fn worker_ends(&mut self, attempt: AttemptKey, worker: u64, epoch: Epoch, outcome: Outcome) {
        let Some(server) = &mut self.server else { return };
        let holds = |lease: &Lease| lease.worker == worker && lease.epoch == epoch;
        if server.leases.leased.get(&attempt).is_some_and(holds) {
            server.leases.leased.remove(&attempt);
            self.arrives_about(attempt, epoch, outcome, Vec::new());
        }
    }

    pub(super) fn lease_ends(&mut self, attempt: AttemptKey) {
        let now = self.now;
        let Some(server) = &mut self.server else { return };
        if server.leases.leased.get(&attempt).is_some_and(|lease| lease.until <= now) {
            server.leases.leased.remove(&attempt);
            let failure = Failure::new(FailureClass::NodeLost, "its worker is silent");
            self.arrives_about(attempt, Epoch(0), Outcome::Failed(failure), Vec::new());
        }
    }
}
