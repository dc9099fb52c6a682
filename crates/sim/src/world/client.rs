//! Clients: they submit with keys and without, twice and again, cancel, pause, signal, decide, and order sites about. In the calm they
//! help every run to its end.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::event::Origin;
use engine::{Command, Known, Overlap, Rejection, SiteOrder, Submit};
use model::{ActionKey, ActionNo, Graph, NodeKind, RunId, Timestamp};
use serde_json::json;

use super::{Happening, World};
use crate::generate::NAMES;
use crate::monitor::{At, Doing, Monitor, broken};
use crate::mutation::Mutation;
use crate::tags;

/// Commands that wait for an answer, and what was answered.
#[derive(Default)]
pub(super) struct Client {
    /// By ticket: what was asked, and when.
    asked: BTreeMap<u64, (Command, u64)>,
    next: u64,
    operations: u32,
    submitted: u64,
    /// The run that each key was answered with.
    by_key: BTreeMap<String, RunId>,
    acked: Vec<RunId>,
    founded: bool,
}

/// The same graph, whose maps know no bound.
fn unbounded(graph: &Graph) -> Arc<Graph> {
    let mut graph = graph.clone();
    for node in &mut graph.nodes {
        if let NodeKind::Each { concurrency, .. } = &mut node.kind {
            *concurrency = 100;
        }
    }
    Arc::new(graph)
}

impl Client {
    /// Whether everything was answered and every run has ended.
    pub(super) fn at_rest(&self, monitor: &Monitor) -> bool {
        self.asked.is_empty() && monitor.open_runs().next().is_none()
    }
}

impl World {
    /// A client does something, or a fault strikes; after enough of that the calm begins.
    pub(super) fn operation(&mut self) {
        let pause = if self.rng.chance(900) { self.rng.between(1_000, 900_000) } else { self.rng.between(900_000, 90_000_000) };
        if self.calm {
            self.help();
            return self.after(7_000_000, Happening::Operation);
        }
        self.client.operations += 1;
        if self.client.operations > self.options.operations {
            self.begin_calm();
        } else {
            self.act();
        }
        self.after(pause, Happening::Operation);
    }

    fn act(&mut self) {
        let run = self.some_run();
        match self.rng.below(100) {
            0..=34 => self.submit(),
            35..=36 => self.rule(),
            37..=40 => self.order_run(run, |run| Command::Cancel { run, principal: "ada".into(), reason: "not needed".into() }),
            41..=44 => self.order_run(run, |run| Command::Pause { run, principal: "ada".into() }),
            45..=48 => self.order_run(run, |run| Command::Resume { run, principal: "ada".into() }),
            49..=56 => self.signal(run),
            57..=62 => self.happens(),
            63..=72 => self.decide(),
            73..=79 => self.order_site(),
            80..=81 => self.rule(),
            82..=83 => self.resources(),
            84..=87 => self.fire(),
            88..=92 => {
                let names: Vec<String> = self.sites.keys().cloned().collect();
                if let Some(name) = self.rng.pick(&names).cloned() {
                    self.site_down(&name);
                }
            }
            93..=95 => {
                let jump = self.rng.below(7_200_000_000) as i64 - 3_600_000_000;
                self.skew += jump;
                self.stats.fault(if jump < 0 { "the clock was set back" } else { "the clock jumped ahead" });
                let incarnation = self.incarnation;
                self.after(1_000, Happening::Turn(incarnation));
            }
            96 => {
                self.disk.full = true;
                let freed = self.rng.between(1_000_000, 60_000_000);
                self.after(freed, Happening::DiskFreed);
            }
            _ => {
                self.stats.fault("crash at any time");
                self.crash();
            }
        }
    }

    fn some_run(&mut self) -> Option<RunId> {
        let open: Vec<RunId> = self.monitor.open_runs().map(|(run, _)| run).collect();
        self.rng.pick(&open).copied()
    }

    fn order_run(&mut self, run: Option<RunId>, order: impl FnOnce(RunId) -> Command) {
        if let Some(run) = run {
            self.ask(order(run), None);
        }
    }

    fn submission(&mut self, key: Option<String>) -> Option<Submit> {
        let graph = self.rng.pick(&self.graphs.clone())?.clone();
        let mut salt = [0; 32];
        salt[..8].copy_from_slice(&self.rng.bits().to_le_bytes());
        let inputs = tags::inputs(&mut self.rng);
        let labels = tags::label(&graph, &inputs, self.options.mutation);
        Some(Submit {
            project: "sim".into(),
            domain: "development".into(),
            graph_digest: graph.digest(),
            graph: if self.has(Mutation::IgnoreConcurrency) { unbounded(&graph) } else { graph },
            labels,
            inputs,
            principal: "ada".into(),
            known: Known { by_key: self.known(key.as_deref()), by_name: None },
            idempotency_key: key,
            priority: self.rng.below(3) as i32,
            salt,
            ..Submit::default()
        })
    }

    /// What the store knows of a key when a client asks.
    fn known(&self, key: Option<&str>) -> Option<RunId> {
        self.known_keys.get(&("sim".to_owned(), key?.to_owned())).copied()
    }

    fn submit(&mut self) {
        // An old key sent once more, a new one, or none.
        let old: Vec<String> = self.client.by_key.keys().cloned().collect();
        let key = match self.rng.below(10) {
            0 | 1 => self.rng.pick(&old).cloned(),
            2..=7 => {
                self.client.submitted += 1;
                Some(format!("key-{}", self.client.submitted))
            }
            _ => None,
        };
        let keyed = key.is_some();
        let Some(mut submit) = self.submission(key) else { return };
        if self.rng.chance(100) {
            submit.reused = vec![(0, json!({"n": 1}))];
            submit.origin = Origin::Rerun { of: RunId(1) };
        }
        let command = Command::Submit(Box::new(submit));
        if keyed && self.rng.chance(200) {
            self.ask_for(command.clone());
        }
        if keyed {
            self.ask_for(command);
        } else {
            self.ask(command, None);
        }
    }

    /// Asks, and asks again until there is an answer.
    fn ask_for(&mut self, command: Command) {
        self.client.next += 1;
        let ticket = self.client.next;
        self.client.asked.insert(ticket, (command.clone(), self.now));
        self.ask(command, Some(ticket));
    }

    pub(super) fn resends(&mut self) {
        self.after(5_000_000, Happening::Resends);
        if self.server.is_none() {
            return;
        }
        let now = self.now;
        let due = self.client.asked.iter_mut().filter(|(_, (_, asked))| *asked + 10_000_000 <= now);
        let due: Vec<(u64, Command)> = due
            .map(|(ticket, (command, asked))| {
                *asked = now;
                (*ticket, command.clone())
            })
            .collect();
        for (ticket, mut command) in due {
            if let Command::Submit(submit) = &mut command {
                submit.known.by_key = self.known(submit.idempotency_key.as_deref());
            }
            self.ask(command, Some(ticket));
        }
    }

    /// An answer reaches a client.
    pub(super) fn answered(&mut self, ticket: u64, result: Result<Option<RunId>, Rejection>) {
        let Some((command, _)) = self.client.asked.remove(&ticket) else { return };
        let (Command::Submit(submit), Ok(Some(run))) = (command, result) else { return };
        self.client.acked.push(run);
        let Some(key) = submit.idempotency_key else { return };
        let first = *self.client.by_key.entry(key.clone()).or_insert(run);
        if first != run {
            let what = format!("the key `{key}` is answered with run {run}, and was with run {first}");
            self.judge(broken("idempotent submit", what));
        }
    }

    /// Clients find the server again after a start.
    pub(super) fn reconnect(&mut self) {
        if !self.client.founded {
            self.client.founded = true;
            self.register_all();
        }
        let names: Vec<String> = self.sites.keys().cloned().collect();
        names.iter().for_each(|name| self.stop_orphans(name));
        let lost = self.client.acked.iter().find(|run| !self.monitor.runs.contains_key(run)).copied();
        if let Some(run) = lost {
            self.judge(broken("I1 durable", format!("run {run} was acknowledged and is lost")));
        }
    }

    fn register_all(&mut self) {
        let specs: Vec<_> = self.sites.values().map(|site| site.spec.clone()).collect();
        for site in specs {
            self.ask_for(Command::RegisterSite { site, principal: "operator".into() });
        }
        self.rule();
    }

    fn signal(&mut self, run: Option<RunId>) {
        let name = NAMES[self.rng.below(3) as usize].to_owned();
        let payload = json!({"n": self.rng.below(2)});
        self.order_run(run, |run| Command::Signal { run, name, payload, principal: "ada".into() });
    }

    fn happens(&mut self) {
        let name = NAMES[self.rng.below(3) as usize].to_owned();
        let payload = json!({"n": self.rng.below(2), "more": true});
        self.ask(Command::Event { name, payload, principal: "ada".into() }, None);
    }

    /// Actions that wait for something from outside.
    fn waiting(&self) -> Vec<(ActionKey, serde_json::Value, bool)> {
        let mut found = Vec::new();
        for (id, run) in self.monitor.open_runs() {
            for (index, action) in run.actions.iter().enumerate().filter(|(_, action)| action.phase == At::Open) {
                let human = matches!(action.node.kind, NodeKind::Human);
                if human || matches!(action.node.kind, NodeKind::Wait) {
                    found.push((ActionKey::new(id, ActionNo(index as u32)), action.input.clone(), human));
                }
            }
        }
        found
    }

    fn decide(&mut self) {
        let people: Vec<ActionKey> = self.waiting().into_iter().filter(|(_, _, human)| *human).map(|(key, ..)| key).collect();
        let Some(action) = self.rng.pick(&people).copied() else { return };
        let who = ["ada", "lea", "eve"][self.rng.below(3) as usize];
        self.decide_as(action, who);
    }

    fn decide_as(&mut self, action: ActionKey, who: &str) {
        let groups = if who == "lea" { vec!["leads".to_owned()] } else { Vec::new() };
        let decision = ["approve", "reject", "amend"][self.rng.below(3) as usize].to_owned();
        let form = json!({"note": who});
        self.ask(Command::Decide { action, principal: who.into(), groups, decision, form, reason: String::new() }, None);
    }

    fn order_site(&mut self) {
        let names: Vec<String> = self.sites.keys().cloned().collect();
        let Some(name) = self.rng.pick(&names).cloned() else { return };
        let order = match self.rng.below(8) {
            0 | 1 => SiteOrder::Cordon,
            2 | 3 => SiteOrder::Drain,
            4 => SiteOrder::Remove,
            5 => {
                let Some(mut site) = self.sites.get(&name).map(|site| site.spec.clone()) else { return };
                site.capacity.cpu_millis = self.rng.between(3, 6) as u32 * 1_000;
                return self.ask(Command::RegisterSite { site, principal: "operator".into() }, None);
            }
            _ => SiteOrder::Uncordon,
        };
        self.ask(Command::SiteOrder { site: name, order, principal: "operator".into() }, None);
    }

    /// Somebody changes the rules, or takes them away.
    fn rule(&mut self) {
        let (kind, name, principal) = (tags::RULES.to_owned(), "walls".to_owned(), "officer".to_owned());
        if self.rng.chance(100) {
            return self.ask(Command::DeleteResource { kind, name, principal }, None);
        }
        let sites: Vec<String> = self.sites.keys().cloned().collect();
        let body = tags::rules(&mut self.rng, sites.into_iter());
        self.ask(Command::ApplyResource { kind, name, body, principal }, None);
    }

    fn resources(&mut self) {
        let name = format!("r{}", self.rng.below(3));
        let principal = "ada".to_owned();
        let command = match self.rng.below(4) {
            0 => Command::DeleteResource { kind: "trigger".into(), name, principal },
            1 => Command::RecordPruning { before: Timestamp(1), runs: 0, principal },
            _ => Command::ApplyResource { kind: "trigger".into(), name, body: json!({"at": self.now}), principal },
        };
        self.ask(command, None);
    }

    fn fire(&mut self) {
        let due = Timestamp(self.now);
        let key = self.rng.chance(800).then(|| format!("nightly/{}", self.rng.below(6)));
        let submit = if key.is_some() { self.submission(key) } else { None };
        let origin = Origin::Trigger { trigger: "nightly".into(), due };
        let submit = submit.map(|submit| Box::new(Submit { origin, ..submit }));
        // No draw of its own: what else happens stays as it was without it.
        let overlap = match due.0 % 8 {
            0 => Overlap::Skip,
            1 => Overlap::Replace,
            2 | 3 => Overlap::Queue,
            _ => Overlap::Allow,
        };
        self.ask(Command::FireTrigger { trigger: "nightly".into(), due, submit, missed: 0, overlap }, None);
    }

    /// Faults stop. From here on every run has to settle.
    fn begin_calm(&mut self) {
        self.say(|| "the calm begins".to_owned());
        (self.calm, self.calm_since, self.disk.full) = (true, self.now, false);
        let names: Vec<String> = self.sites.keys().cloned().collect();
        for name in names {
            self.site_up(&name);
        }
    }

    /// Gives every run what it waits for from outside, and opens every site.
    fn help(&mut self) {
        let known: Vec<(String, bool, bool)> =
            self.monitor.sites.iter().map(|(name, site)| (name.clone(), site.cordoned, site.healthy)).collect();
        let whole = self.sites.keys().all(|name| known.iter().any(|(known, ..)| known == name));
        if !whole && self.client.asked.is_empty() {
            self.register_all();
        }
        for (site, cordoned, healthy) in known {
            if cordoned {
                let order = SiteOrder::Uncordon;
                self.ask(Command::SiteOrder { site: site.clone(), order, principal: "operator".into() }, None);
            }
            if !healthy {
                self.ask(Command::SiteHealth { site, healthy: true, reason: "it answers".into() }, None);
            }
        }
        self.restore_capacity();
        let paused: Vec<RunId> = self
            .monitor
            .open_runs()
            .filter(|(_, run)| run.paused && run.doing != Doing::Cancelling)
            .map(|(run, _)| run)
            .collect();
        for run in paused {
            self.ask(Command::Resume { run, principal: "ada".into() }, None);
        }
        for (action, input, human) in self.waiting() {
            let text = |key: &str| input.get(key).and_then(|name| name.as_str()).map(str::to_owned);
            if human {
                let who = if self.rng.chance(500) { "ada" } else { "lea" };
                self.decide_as(action, who);
            } else if let Some(name) = text("signal") {
                let (run, payload) = (action.run, json!({}));
                self.ask(Command::Signal { run, name, payload, principal: "ada".into() }, None);
            } else if let Some(name) = text("event") {
                let payload = input.get("match").cloned().unwrap_or_else(|| json!({}));
                self.ask(Command::Event { name, payload, principal: "ada".into() }, None);
            }
        }
    }

    /// Work that fitted somewhere once has to fit again.
    fn restore_capacity(&mut self) {
        let short: Vec<_> = self
            .sites
            .values()
            .filter(|site| {
                let known = self.monitor.sites.get(&site.spec.name);
                known.is_some_and(|known| known.spec.capacity != site.spec.capacity)
            })
            .map(|site| site.spec.clone())
            .collect();
        for site in short {
            self.ask(Command::RegisterSite { site, principal: "operator".into() }, None);
        }
    }
}
