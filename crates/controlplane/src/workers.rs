//! Workers: external processes that lease actions of the connectors they declare, report, and lose their leases when they fall silent.
//! A lease that is lost fails its attempt as lost; the engine repeats it under the next number, which fences the lost one.
//!
//! The queue lives in memory. After a restart every attempt that was not answered is offered again under the new epoch, and a worker that
//! still works at one says so (`holding`) and goes on with it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration as StdDuration, Instant};

use engine::event::Usage;
use engine::{Command, Outcome, Report};
use executors::AttemptSpec;
use model::graph::Port;
use model::limits::{WORKER_LEASES_MAX, WORKER_SLOTS_MAX};
use model::{AttemptKey, Epoch, Failure, FailureClass, NodeKind, Resources};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Notify;
use workflow::documents::ConnectorSpec;

use crate::Inbox;
use crate::sanitizing::Sanitizing;

mod messages;

pub use messages::{Holding, Lease, LeaseRequest, Turn, WorkerReport};

/// How long a worker may be silent.
pub const LEASE: StdDuration = StdDuration::from_secs(15);
/// Bytes of inputs after which no more leases are put into one answer.
const TURN_BYTES: usize = 1 << 20;
/// How many actions that have no room at their site are passed over in search of one that has.
const PASSED_MAX: usize = 64;
/// How often leases are looked at.
const WATCH_EVERY: StdDuration = StdDuration::from_secs(1);
/// An action that is held for longer is said to run: shorter ones would only make events.
const SHORT: StdDuration = StdDuration::from_millis(500);

/// The queue of actions for workers. Cheap to clone.
#[derive(Clone)]
pub struct Workers {
    inner: Arc<Inner>,
}

struct Inner {
    inbox: Inbox,
    /// What sanitizers give is looked at.
    sanitizing: Sanitizing,
    queues: Mutex<Queues>,
    /// Told when something is offered or taken back.
    offered: Notify,
}

#[derive(Default)]
struct Queues {
    /// What waits, by connector, in order. A key without a spec was taken back.
    waiting: BTreeMap<String, VecDeque<AttemptKey>>,
    specs: HashMap<AttemptKey, Offered>,
    /// Who holds what.
    holders: HashMap<AttemptKey, String>,
    workers: BTreeMap<String, Worker>,
    /// The schemas of the outputs of connectors, `name@version`.
    promised: BTreeMap<String, Arc<Value>>,
    /// What sites have, and what workers hold of it together.
    places: BTreeMap<String, Place>,
    /// Somebody was given less than there is, for want of room at a site.
    crowded: bool,
}

/// An action that waits for a worker.
struct Offered {
    spec: AttemptSpec,
    site: String,
}

/// A site as workers fill it.
#[derive(Default)]
struct Place {
    capacity: Resources,
    held: Resources,
}

impl Place {
    /// Whether workers may hold so much more of it. What is more than all of it is taken alone: the site may have shrunk meanwhile.
    fn has_room(&self, needs: &Resources) -> bool {
        self.held == Resources::default() || self.capacity.minus(&self.held).covers(needs)
    }
}

/// A worker that is or was there.
struct Worker {
    /// Its leases end then.
    until: Instant,
    held: BTreeMap<AttemptKey, Held>,
    /// Attempts it is to stop, and has not been told of.
    stop: Vec<AttemptKey>,
}

struct Held {
    epoch: Epoch,
    site: String,
    kind: NodeKind,
    resources: Resources,
    outputs: Vec<Port>,
    /// What the connector's manifest says of its output.
    promised: Option<Arc<Value>>,
    since: Instant,
    announced: bool,
}

fn connector_of(spec: &AttemptSpec) -> String {
    match &spec.kind {
        NodeKind::Use { connector, version } => format!("{connector}@{version}"),
        other => other.as_str().to_owned(),
    }
}

impl Queues {
    /// The worker of a name, heard of just now.
    fn heard(&mut self, worker: &str, now: Instant) -> &mut Worker {
        let until = now + LEASE;
        let new = || Worker { until, held: BTreeMap::new(), stop: Vec::new() };
        let known = self.workers.entry(worker.to_owned()).or_insert_with(new);
        known.until = until;
        known
    }

    /// Gives what waits to a worker.
    fn hold(&mut self, worker: &str, offered: Offered, now: Instant) -> Lease {
        let Offered { spec, site } = offered;
        let place = self.places.entry(site.clone()).or_default();
        place.held = place.held.plus(&spec.resources);
        let lease = Lease {
            attempt: spec.key.to_string(),
            epoch: spec.epoch.0,
            connector: connector_of(&spec),
            input: spec.input,
            idempotency_key: spec.idempotency_key,
            timeout_ms: spec.timeout.map(|span| span.as_millis()),
            environment: spec.environment.into_iter().collect(),
        };
        let promised = self.promised.get(&lease.connector).cloned();
        let held = Held {
            epoch: spec.epoch,
            site,
            kind: spec.kind,
            resources: spec.resources,
            outputs: spec.outputs,
            promised,
            since: now,
            announced: false,
        };
        self.holders.insert(spec.key, worker.to_owned());
        self.heard(worker, now).held.insert(spec.key, held);
        lease
    }

    /// Takes an attempt from whoever holds it.
    fn take_from_holder(&mut self, key: AttemptKey) -> Option<(String, Held)> {
        let worker = self.holders.remove(&key)?;
        let held = self.workers.get_mut(&worker)?.held.remove(&key)?;
        self.leave(&held);
        Some((worker, held))
    }

    /// Gives back what a lease held of its site.
    fn leave(&mut self, held: &Held) {
        if let Some(place) = self.places.get_mut(&held.site) {
            place.held = place.held.minus(&held.resources);
        }
    }

    /// The next action of a connector that its site has room for. Those without room keep their turn.
    fn next(&mut self, connector: &str) -> Option<Offered> {
        let mut passed = Vec::new();
        let mut found = None;
        let waiting = self.waiting.get_mut(connector)?;
        while passed.len() < PASSED_MAX
            && let Some(key) = waiting.pop_front()
        {
            // Taken back, or gone on with, meanwhile.
            let Some(offered) = self.specs.get(&key) else { continue };
            let place = self.places.get(&offered.site);
            if place.is_none_or(|place| place.has_room(&offered.spec.resources)) {
                found = self.specs.remove(&key);
                break;
            }
            passed.push(key);
        }
        self.crowded |= !passed.is_empty();
        passed.into_iter().rev().for_each(|key| waiting.push_front(key));
        if waiting.is_empty() {
            self.waiting.remove(connector);
        }
        found
    }

    /// Goes on with what a worker says it holds, or tells it that it does not.
    fn adopt(&mut self, request: &LeaseRequest, now: Instant, turn: &mut Turn) {
        for holding in &request.holding {
            let key: Option<AttemptKey> = holding.attempt.parse().ok();
            let serves = |offered: &Offered| request.connectors.contains(&connector_of(&offered.spec));
            let epoch = key.and_then(|key| {
                if self.specs.get(&key).is_some_and(serves)
                    && let Some(offered) = self.specs.remove(&key)
                {
                    return Some(self.hold(&request.worker, offered, now).epoch);
                }
                Some(self.workers.get(&request.worker)?.held.get(&key)?.epoch.0)
            });
            match epoch {
                Some(epoch) => turn.kept.push(Holding { attempt: holding.attempt.clone(), epoch }),
                None => turn.lost.push(holding.attempt.clone()),
            }
        }
    }
}

impl Workers {
    pub(crate) fn new(inbox: Inbox, sanitizing: Sanitizing) -> Workers {
        Workers { inner: Arc::new(Inner { inbox, sanitizing, queues: Mutex::default(), offered: Notify::new() }) }
    }

    /// What looks at what sanitizers give.
    pub(crate) fn sanitizing(&self) -> &Sanitizing {
        &self.inner.sanitizing
    }

    /// What a connector's output has to be: its manifest's schema.
    pub(crate) fn promise(&self, connector: &ConnectorSpec) {
        if !connector.outputs.is_object() {
            return;
        }
        let name = format!("{}@{}", connector.name, connector.version);
        self.inner.queues.lock().promised.insert(name, Arc::new(connector.outputs.clone()));
    }

    /// Offers an action, placed at a site of this capacity, to whoever serves its connector. Offered twice is offered once.
    pub(crate) fn offer(&self, spec: AttemptSpec, site: String, capacity: Resources) {
        let mut queues = self.inner.queues.lock();
        queues.places.entry(site.clone()).or_default().capacity = capacity;
        if queues.holders.contains_key(&spec.key) {
            return;
        }
        let (key, connector) = (spec.key, connector_of(&spec));
        if queues.specs.insert(key, Offered { spec, site }).is_none() {
            queues.waiting.entry(connector).or_default().push_back(key);
        }
        drop(queues);
        self.inner.offered.notify_waiters();
    }

    /// Gives a worker up to `slots` actions, waiting for the first of them for at most `patience`.
    pub async fn lease(&self, request: &LeaseRequest, patience: StdDuration) -> Turn {
        let until = tokio::time::Instant::now() + patience;
        loop {
            let offered = self.inner.offered.notified();
            tokio::pin!(offered);
            // Registered before looking, so that what is offered in between is not missed.
            offered.as_mut().enable();
            let turn = self.take(request);
            if !turn.is_empty() {
                return turn;
            }
            if tokio::time::timeout_at(until, offered).await.is_err() {
                return Turn::default();
            }
            // What is offered comes in batches: the rest of this one is offered while others have their turn.
            tokio::task::yield_now().await;
        }
    }

    /// Takes what there is, without waiting.
    pub fn take(&self, request: &LeaseRequest) -> Turn {
        let mut queues = self.inner.queues.lock();
        let queues = &mut *queues;
        let now = Instant::now();
        let mut turn = Turn::default();
        let stop = std::mem::take(&mut queues.heard(&request.worker, now).stop);
        turn.stop = stop.iter().map(ToString::to_string).collect();
        queues.adopt(request, now, &mut turn);
        let mut bytes = 0;
        for connector in &request.connectors {
            while turn.leases.len() < request.slots.min(WORKER_LEASES_MAX) && bytes < TURN_BYTES {
                let Some(offered) = queues.next(connector) else { break };
                bytes += weight(&offered.spec.input);
                turn.leases.push(queues.hold(&request.worker, offered, now));
            }
        }
        turn
    }

    /// Gives back what never reached the worker it was leased to: others have it at once, under the same attempt.
    pub fn give_back(&self, worker: &str, leases: Vec<Lease>) {
        let mut queues = self.inner.queues.lock();
        let mut some = false;
        for lease in leases {
            let Ok(key) = lease.attempt.parse::<AttemptKey>() else { continue };
            // Somebody may have it by now, under a later epoch.
            let holds = |worker: &Worker| worker.held.get(&key).is_some_and(|held| held.epoch.0 == lease.epoch);
            if !queues.workers.get(worker).is_some_and(holds) {
                continue;
            }
            let Some((_, held)) = queues.take_from_holder(key) else { continue };
            let spec = AttemptSpec {
                key,
                epoch: held.epoch,
                kind: held.kind,
                input: lease.input,
                outputs: held.outputs,
                resources: held.resources,
                timeout: lease.timeout_ms.map(model::Duration::from_millis),
                environment: lease.environment.into_iter().collect(),
                idempotency_key: lease.idempotency_key,
                shown: Vec::new(),
                writable: Vec::new(),
                unboxed: false,
                host: None,
                secrets: Vec::new(),
            };
            queues.waiting.entry(lease.connector).or_default().push_front(key);
            queues.specs.insert(key, Offered { spec, site: held.site });
            some = true;
        }
        drop(queues);
        if some {
            self.inner.offered.notify_waiters();
        }
    }

    /// How many more actions a worker may hold that has so many slots.
    pub fn free(&self, worker: &str, slots: usize) -> usize {
        let queues = self.inner.queues.lock();
        let held = queues.workers.get(worker).map_or(0, |worker| worker.held.len());
        slots.min(WORKER_SLOTS_MAX).saturating_sub(held)
    }

    /// How many actions wait for a worker, and how many are held by one.
    pub fn depth(&self) -> (usize, usize) {
        let queues = self.inner.queues.lock();
        (queues.specs.len(), queues.holders.len())
    }

    /// Takes reports. Gives the tokens that are not held any more: their work was for nothing.
    pub fn report(&self, worker: &str, reports: Vec<WorkerReport>) -> Vec<String> {
        let mut lost = Vec::new();
        let mut taken = Vec::with_capacity(reports.len());
        {
            let mut queues = self.inner.queues.lock();
            queues.heard(worker, Instant::now());
            for report in reports {
                let key: Option<AttemptKey> = report.attempt.parse().ok();
                let holds = |key: &AttemptKey| {
                    let held = queues.workers.get(worker).and_then(|worker| worker.held.get(key));
                    held.is_some_and(|held| held.epoch.0 == report.epoch)
                };
                match key.filter(holds).and_then(|key| Some((key, queues.take_from_holder(key)?))) {
                    Some((key, (_, held))) => taken.push((key, held, report)),
                    None => lost.push(report.attempt),
                }
            }
        }
        self.tell_of_room();
        for (key, held, report) in taken {
            let usage = Usage { wall_us: report.wall_us, ..Usage::default() };
            self.finish(key, held.epoch, outcome(&held, report), usage);
        }
        lost
    }

    /// Keeps a worker's leases.
    pub fn heartbeat(&self, worker: &str) {
        self.inner.queues.lock().heard(worker, Instant::now());
    }

    /// Takes an action back, or tells its worker to stop it. False when it is not known here.
    pub(crate) fn cancel(&self, key: AttemptKey) -> bool {
        let mut queues = self.inner.queues.lock();
        if let Some(offered) = queues.specs.remove(&key) {
            drop(queues);
            self.finish(key, offered.spec.epoch, Outcome::Aborted, Usage::default());
            return true;
        }
        let Some((worker, held)) = queues.take_from_holder(key) else { return false };
        if let Some(worker) = queues.workers.get_mut(&worker) {
            worker.stop.push(key);
        }
        drop(queues);
        self.inner.offered.notify_waiters();
        // The worker's own end of it does not matter any more: what it may report is fenced.
        self.finish(key, held.epoch, Outcome::Aborted, Usage::default());
        true
    }

    /// Forgets an attempt whose outcome is known.
    pub(crate) fn release(&self, key: AttemptKey) {
        let mut queues = self.inner.queues.lock();
        queues.specs.remove(&key);
        queues.take_from_holder(key);
        drop(queues);
        self.tell_of_room();
    }

    /// Lets those look again for whom there was no room.
    fn tell_of_room(&self) {
        if std::mem::take(&mut self.inner.queues.lock().crowded) {
            self.inner.offered.notify_waiters();
        }
    }

    /// Looks at leases, for as long as the process lives.
    pub(crate) async fn watch(self) {
        loop {
            tokio::time::sleep(WATCH_EVERY).await;
            tokio::task::block_in_place(|| {
                self.announce(Instant::now());
                self.expire(Instant::now());
            });
        }
    }

    /// Says of actions that have been held for a moment that they run, and where.
    fn announce(&self, now: Instant) {
        let mut started = Vec::new();
        for (name, worker) in &mut self.inner.queues.lock().workers {
            for (key, held) in
                worker.held.iter_mut().filter(|(_, held)| !held.announced && now.duration_since(held.since) > SHORT)
            {
                held.announced = true;
                started.push((*key, format!("worker {name}")));
            }
        }
        for (attempt, host) in started {
            self.inner.inbox.report(Command::Started { attempt, host });
        }
    }

    /// Ends leases of workers that have been silent for too long at a time.
    pub fn expire(&self, now: Instant) {
        let mut lost = Vec::new();
        {
            let mut queues = self.inner.queues.lock();
            let silent: Vec<String> =
                queues.workers.iter().filter(|(_, worker)| worker.until <= now).map(|(name, _)| name.clone()).collect();
            for name in silent {
                let Some(worker) = queues.workers.remove(&name) else { continue };
                for (key, held) in worker.held {
                    queues.holders.remove(&key);
                    queues.leave(&held);
                    lost.push((key, held.epoch, name.clone()));
                }
            }
        }
        self.tell_of_room();
        for (key, epoch, worker) in lost {
            let message = format!("the worker `{worker}` has been silent for {} s", LEASE.as_secs());
            self.finish(key, epoch, Outcome::Failed(Failure::new(FailureClass::NodeLost, message)), Usage::default());
        }
    }

    fn finish(&self, attempt: AttemptKey, epoch: Epoch, outcome: Outcome, usage: Usage) {
        let outcome = self.inner.sanitizing.judge(attempt, outcome, &[]);
        let report = Report { attempt, epoch, outcome, usage, locations: Vec::new() };
        self.inner.inbox.report(Command::Report(Box::new(report)));
    }
}

/// About how many bytes a value takes as JSON.
fn weight(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() + 2,
        Value::Array(items) => items.iter().map(weight).sum::<usize>() + 2,
        Value::Object(fields) => fields.iter().map(|(key, value)| key.len() + 4 + weight(value)).sum::<usize>() + 2,
        _ => 8,
    }
}

/// What a report says, if its output keeps what was promised.
fn outcome(held: &Held, report: WorkerReport) -> Outcome {
    let failed = |class, message: String| Outcome::Failed(Failure::new(class, message));
    if let Some(error) = report.error {
        return failed(report.class.unwrap_or(FailureClass::User), error);
    }
    let output = report.output.unwrap_or_else(|| json!({}));
    let Some(fields) = output.as_object() else {
        return failed(FailureClass::Output, "the output is not an object".into());
    };
    if let Some(why) = held.promised.as_ref().and_then(|schema| crate::inputs::check_value(schema, &output).err()) {
        return failed(FailureClass::Output, format!("the output is not what its connector promises: {why}"));
    }
    for port in &held.outputs {
        let wrong = match fields.get(&port.name) {
            Some(value) => crate::inputs::check_value(&port.schema, value).err(),
            None => Some("is missing".into()),
        };
        if let Some(why) = wrong {
            return failed(FailureClass::Output, format!("the output `{}`: {why}", port.name));
        }
    }
    Outcome::Succeeded(output)
}
