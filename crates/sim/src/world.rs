//! A world: one server with its disk, sites with executors, workers, clients and a clock, driven by one queue of what happens next. All
//! of it is a function of the seed.

mod client;
mod instants;
mod seal;
mod server;
mod shell;
mod site;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use engine::{Command, Effect, Recall};
use model::{ActionKey, AttemptKey, Digest, Graph, RunId, Timestamp};

use crate::disk::Disk;
use crate::fleet::SimSite;
use crate::monitor::{Broken, Monitor};
use crate::mutation::Mutation;
use crate::rng::Rng;
use crate::stats::Stats;
use client::Client;
use server::Server;

/// Simulated time begins here.
const START: u64 = 1_800_000_000_000_000;
/// Happenings after which a world is given up: seven times as many as any had that came to rest (280,821, most of them turns that found
/// nothing to do).
const HAPPENINGS_MAX: u64 = 2_000_000;
/// How long runs may take to settle after the last fault.
const SETTLE_US: u64 = 40 * 86_400_000_000;

/// How to make a world.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How many things clients do before faults stop.
    pub operations: u32,
    /// A planted bug.
    pub mutation: Option<Mutation>,
    /// Whether to keep an account of the last things that happened.
    pub trace: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options { operations: 120, mutation: None, trace: false }
    }
}

/// What became of a world.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// A hash over everything that became durable, with its time.
    pub hash: u64,
    /// The rule that was broken, if one was.
    pub broken: Option<Broken>,
    /// What happened last.
    pub trace: Vec<String>,
    /// Counts.
    pub stats: Stats,
}

/// Something that happens at a point in time. What belongs to an incarnation of the server is void in another.
pub(crate) enum Happening {
    /// The server takes a turn.
    Turn(u64),
    /// The disk has synced so many frames.
    Flushed(u64, usize),
    /// The server starts.
    Start,
    /// A command reaches the server, if it is there.
    Arrives(Box<Command>),
    /// The next order on its way to a site reaches it.
    Deliver(String),
    /// An attempt at a site ends, if it is still in that life.
    AttemptEnds(String, AttemptKey, u64),
    /// A site repeats what it has not been told to forget.
    Repeats(String),
    SiteUp(String),
    /// A transfer of an incarnation ends.
    TransferEnds(u64, Box<engine::Transfer>),
    /// A question about a key is answered.
    Recalled(u64, ActionKey, Recall),
    /// The server asks itself whether an attempt at a site that is away is lost.
    Missing(u64, AttemptKey, String),
    WorkerPolls(u64),
    WorkerEnds(AttemptKey, u64, model::Epoch, engine::Outcome),
    LeaseEnds(u64, AttemptKey),
    /// A client does something.
    Operation,
    /// A client sends again what was not answered.
    Resends,
    DiskFreed,
}

/// What is known under a key.
#[derive(Clone)]
struct Kept {
    output: serde_json::Value,
    since: Timestamp,
    /// Where its artifacts lie.
    locations: Vec<engine::event::Located>,
    /// Which action gave it.
    of: ActionKey,
    carried: model::Carried,
}

pub(crate) struct World {
    rng: Rng,
    options: Options,
    /// The true time.
    now: u64,
    /// How far the clock of the server's machine is off.
    skew: i64,
    queue: BTreeMap<(u64, u64), Happening>,
    next: u64,
    disk: Disk,
    server: Option<Server>,
    incarnation: u64,
    sites: BTreeMap<String, SimSite>,
    /// Orders on their way to sites, with the incarnation that gave them. They keep their order.
    outbox: BTreeMap<String, VecDeque<(u64, Effect)>>,
    client: Client,
    monitor: Monitor,
    graphs: Vec<Arc<Graph>>,
    /// What the store knows under keys: changed when entries become durable.
    kept: BTreeMap<(String, Digest), Kept>,
    known_keys: BTreeMap<(String, String), RunId>,
    projects: BTreeMap<RunId, String>,
    /// What the nodes of runs give carries, by path.
    gives: BTreeMap<RunId, BTreeMap<String, model::Carried>>,
    /// How many frames they were made from.
    projected: usize,
    /// The highest sequence that anybody outside was told of.
    told: u64,
    told_what: &'static str,
    seen: seal::Seen,
    /// Attempts that were begun, by site: each at most once while its record stands.
    lives: u64,
    /// Attempts that were to be stopped, and since when.
    stopped: BTreeMap<AttemptKey, u64>,
    calm: bool,
    calm_since: u64,
    stats: Stats,
    trace: VecDeque<String>,
    broken: Option<Broken>,
    hash: u64,
}

/// Makes the world of a seed, and lets it go on until all has settled or a rule is broken.
pub fn run(seed: u64, options: Options) -> Outcome {
    let mut world = World::new(seed, options);
    world.live();
    let World { hash, broken, trace, mut stats, now, .. } = world;
    stats.worlds = 1;
    stats.simulated_us = now - START;
    Outcome { hash, broken, trace: trace.into(), stats }
}

impl World {
    fn new(seed: u64, options: Options) -> World {
        let mut rng = Rng::new(seed);
        let graphs: Vec<Arc<Graph>> =
            (0..rng.between(2, 5) as usize).map(|number| crate::generate::workflow(&mut rng, number)).collect();
        let monitor = Monitor::new(graphs.iter().map(|graph| (graph.digest(), graph.clone())).collect());
        let mut world = World {
            rng,
            options,
            now: START,
            skew: 0,
            queue: BTreeMap::new(),
            next: 0,
            disk: Disk::default(),
            server: None,
            incarnation: 0,
            sites: BTreeMap::new(),
            outbox: BTreeMap::new(),
            client: Client::default(),
            monitor,
            graphs,
            kept: BTreeMap::new(),
            known_keys: BTreeMap::new(),
            projects: BTreeMap::new(),
            gives: BTreeMap::new(),
            projected: 0,
            told: 0,
            told_what: "nothing",
            seen: seal::Seen::default(),
            lives: 0,
            stopped: BTreeMap::new(),
            calm: false,
            calm_since: 0,
            stats: Stats::default(),
            trace: VecDeque::new(),
            broken: None,
            hash: 0xcbf2_9ce4_8422_2325,
        };
        world.found_sites();
        world.after(0, Happening::Start);
        world.after(1_000, Happening::Operation);
        world.after(5_000_000, Happening::Resends);
        for worker in 0..2 {
            world.after(1_000_000, Happening::WorkerPolls(worker));
        }
        world
    }

    fn live(&mut self) {
        while self.broken.is_none() {
            let Some(((at, _), happening)) = self.queue.pop_first() else { break };
            self.now = self.now.max(at);
            self.stats.happenings += 1;
            self.happen(happening);
            self.look();
            if self.calm && self.client.at_rest(&self.monitor) && self.server.as_ref().is_some_and(Server::is_idle) {
                self.at_the_end();
                break;
            }
            let late = self.calm && self.now - self.calm_since > SETTLE_US;
            if late || self.stats.happenings > HAPPENINGS_MAX {
                self.stuck();
            }
        }
        self.count();
    }

    /// Counts what became of it all, and hashes what was written.
    fn count(&mut self) {
        for stored in self.disk.entries() {
            let words = stored.bytes.iter().map(|byte| u64::from(*byte)).chain([stored.at.0]);
            self.hash = words.fold(self.hash, |hash, word| (hash ^ word).wrapping_mul(0x0000_0100_0000_01b3));
            self.stats.transitions += 1;
            self.stats.kinds.insert(engine::codec::kind(&stored.bytes));
        }
        for run in self.monitor.runs.values() {
            let phase = run.ended.map_or("open".to_owned(), |phase| phase.to_string());
            *self.stats.runs.entry(phase).or_default() += 1;
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Turn(incarnation) if incarnation == self.incarnation => self.turn(),
            Happening::Flushed(incarnation, frames) if incarnation == self.incarnation => self.flushed(frames),
            Happening::Start => self.start(),
            Happening::Arrives(command) => self.arrives(*command),
            Happening::Deliver(site) => self.deliver(&site),
            Happening::AttemptEnds(site, attempt, life) => self.attempt_ends(&site, attempt, life),
            Happening::Repeats(site) => self.repeats(&site),
            Happening::SiteUp(site) => self.site_up(&site),
            Happening::TransferEnds(incarnation, transfer) if incarnation == self.incarnation => self.transfer_ends(&transfer),
            Happening::Recalled(incarnation, action, answer) if incarnation == self.incarnation => {
                self.arrives(Command::Recalled { action, answer });
            }
            Happening::Missing(incarnation, attempt, site) if incarnation == self.incarnation => self.missing(attempt, &site),
            Happening::WorkerPolls(worker) => self.worker_polls(worker),
            Happening::WorkerEnds(attempt, worker, epoch, outcome) => self.worker_ends(attempt, worker, epoch, outcome),
            Happening::LeaseEnds(incarnation, attempt) if incarnation == self.incarnation => self.lease_ends(attempt),
            Happening::Operation => self.operation(),
            Happening::Resends => self.resends(),
            Happening::DiskFreed => self.disk.full = false,
            // Of an incarnation that is no more.
            _ => {}
        }
    }

    /// Lets something happen later.
    fn after(&mut self, micros: u64, happening: Happening) {
        self.next += 1;
        self.queue.insert((self.now + micros, self.next), happening);
    }

    /// A time from the network or a machine: mostly short, seldom long.
    fn delay(&mut self) -> u64 {
        match self.rng.below(100) {
            0..=79 => self.rng.between(100, 5_000),
            80..=97 => self.rng.between(5_000, 300_000),
            _ => self.rng.between(300_000, 20_000_000),
        }
    }

    /// Whether a fault strikes: never after the calm has come.
    fn fault(&mut self, in_thousand: u64, kind: &'static str) -> bool {
        let strikes = !self.calm && self.rng.chance(in_thousand);
        if strikes {
            self.stats.fault(kind);
            self.say(|| format!("fault: {kind}"));
        }
        strikes
    }

    fn has(&self, mutation: Mutation) -> bool {
        self.options.mutation == Some(mutation)
    }

    fn say(&mut self, line: impl FnOnce() -> String) {
        if self.options.trace {
            if self.trace.len() >= 80 {
                self.trace.pop_front();
            }
            let line = format!("{:>14.6} s  {}", (self.now - START) as f64 / 1e6, line());
            self.trace.push_back(line);
        }
    }

    /// Notes the first rule that was broken.
    fn judge(&mut self, checked: Result<(), Broken>) {
        if let Err(broken) = checked {
            self.say(|| format!("BROKEN {}: {}", broken.rule, broken.what));
            self.broken.get_or_insert(broken);
        }
    }

    fn stuck(&mut self) {
        let open = self.monitor.open_runs().next();
        let what = open.map_or("no run is open".to_owned(), |(id, run)| {
            let open = run.actions.iter().filter(|action| action.is_open());
            let open: Vec<String> = open.map(|action| format!("`{}` {:?}", action.path, action.phase)).collect();
            format!("run {id} ({:?}, paused: {}) does not settle: {}", run.doing, run.paused, open.join(", "))
        });
        let idle = self.server.as_ref().is_some_and(Server::is_idle);
        self.judge(Err(Broken { rule: "I12 liveness", what: format!("{what}; the server is idle: {idle}") }));
    }

    /// What has to hold when all has settled.
    fn at_the_end(&mut self) {
        self.compare();
        let Some(server) = &self.server else { return };
        let mut wrong = Vec::new();
        if server.state.open_actions() != 0 || server.state.fleet().queued() != 0 {
            wrong.push(("I12 liveness", "actions are open or queued, and no run is open".to_owned()));
        }
        if server.state.next_due().is_some() {
            wrong.push(("I7 timers", "a timer is set, and no run is open".to_owned()));
        }
        for site in server.state.fleet().sites().values().filter(|site| !site.running.is_empty()) {
            wrong.push(("I9 capacity", format!("`{}` holds places for nobody", site.spec.name)));
        }
        for (name, site) in &self.sites {
            let stopped = |attempt: &AttemptKey| self.stopped.get(attempt).is_some_and(|since| *since + 60_000_000 < self.now);
            let mut still = site.attempts.iter().filter(|(_, attempt)| attempt.ended.is_none() && !attempt.deaf);
            if let Some((attempt, _)) = still.find(|(attempt, _)| stopped(attempt)) {
                wrong.push(("I8 cancel", format!("{attempt} still runs at `{name}`, and nobody waits for it")));
            }
        }
        if self.monitor.sites.values().any(|site| !Monitor::is_idle(site)) {
            wrong.push(("I9 capacity", "events say that a place is held".to_owned()));
        }
        for (rule, what) in wrong {
            self.judge(Err(Broken { rule, what }));
        }
    }
}
