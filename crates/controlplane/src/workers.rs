//! Workers: external processes that lease actions of the connectors they declare, report, and lose their leases when they fall silent.
//! A lease that is lost fails its attempt as lost; the engine repeats it under the next number, which fences the lost one.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration as StdDuration, Instant};

use engine::event::Usage;
use engine::{Command, Outcome, Report};
use executors::AttemptSpec;
use model::{AttemptKey, Epoch, Failure, FailureClass, NodeKind};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::Notify;

use crate::Inbox;

/// How long a worker may be silent.
pub(crate) const LEASE: StdDuration = StdDuration::from_secs(15);
/// Actions that one request may lease.
const LEASES_MAX: usize = 256;

/// The queue of actions for workers. Cheap to clone.
#[derive(Clone)]
pub struct Workers {
    inner: Arc<Inner>,
}

struct Inner {
    inbox: Inbox,
    queues: Mutex<Queues>,
    /// Told when something is offered or taken back.
    offered: Notify,
}

#[derive(Default)]
struct Queues {
    waiting: BTreeMap<String, VecDeque<AttemptSpec>>,
    leased: BTreeMap<AttemptKey, Held>,
    /// Attempts a worker is to stop, by worker.
    stopping: BTreeMap<String, Vec<AttemptKey>>,
}

struct Held {
    worker: String,
    epoch: Epoch,
    until: Instant,
}

/// A worker asks for work.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct LeaseRequest {
    /// Its name, unique among workers: a process that starts anew takes a new one.
    pub worker: String,
    /// The connectors it serves: `namespace/action@version`.
    pub connectors: Vec<String>,
    /// How many actions it can take.
    pub slots: usize,
}

/// An action given to a worker.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Lease {
    /// The attempt's token; reports carry it.
    pub attempt: String,
    /// The epoch of the order; reports carry it.
    pub epoch: u64,
    /// The connector: `namespace/action@version`.
    pub connector: String,
    /// The input.
    pub input: Value,
    /// The key that stays the same over all attempts.
    pub idempotency_key: String,
    /// How long it may take, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
}

/// What a worker reports.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerReport {
    /// The attempt's token.
    pub attempt: String,
    /// The epoch of the lease.
    pub epoch: u64,
    /// The output, when it went well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// Why it did not: a message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Microseconds it took.
    #[serde(default)]
    pub wall_us: u64,
}

fn connector_of(spec: &AttemptSpec) -> String {
    match &spec.kind {
        NodeKind::Use { connector, version } => format!("{connector}@{version}"),
        other => other.as_str().to_owned(),
    }
}

impl Workers {
    pub(crate) fn new(inbox: Inbox) -> Workers {
        Workers { inner: Arc::new(Inner { inbox, queues: Mutex::default(), offered: Notify::new() }) }
    }

    /// Offers an action to whoever serves its connector. Offered twice is offered once.
    pub(crate) fn offer(&self, spec: AttemptSpec, _site: String) {
        let mut queues = self.inner.queues.lock();
        let connector = connector_of(&spec);
        let queue = queues.waiting.entry(connector).or_default();
        if queue.iter().any(|waiting| waiting.key == spec.key) {
            return;
        }
        queue.push_back(spec);
        drop(queues);
        self.inner.offered.notify_waiters();
    }

    /// Gives a worker up to `slots` actions, waiting for the first of them for at most `patience`.
    pub async fn lease(&self, request: &LeaseRequest, patience: StdDuration) -> (Vec<Lease>, Vec<String>) {
        let until = tokio::time::Instant::now() + patience;
        loop {
            let offered = self.inner.offered.notified();
            tokio::pin!(offered);
            // Registered before looking, so that what is offered in between is not missed.
            offered.as_mut().enable();
            let (leases, stopping) = self.take(request);
            if !leases.is_empty() || !stopping.is_empty() || request.slots == 0 {
                return (leases, stopping);
            }
            if tokio::time::timeout_at(until, offered).await.is_err() {
                return (Vec::new(), Vec::new());
            }
        }
    }

    fn take(&self, request: &LeaseRequest) -> (Vec<Lease>, Vec<String>) {
        let mut queues = self.inner.queues.lock();
        let now = Instant::now();
        queues.leased.values_mut().filter(|held| held.worker == request.worker).for_each(|held| held.until = now + LEASE);
        let stopping = queues.stopping.remove(&request.worker).unwrap_or_default().iter().map(ToString::to_string).collect();
        let mut leases = Vec::new();
        for connector in &request.connectors {
            while leases.len() < request.slots.min(LEASES_MAX) {
                let Some(spec) = queues.waiting.get_mut(connector).and_then(VecDeque::pop_front) else { break };
                let held = Held { worker: request.worker.clone(), epoch: spec.epoch, until: now + LEASE };
                queues.leased.insert(spec.key, held);
                leases.push(Lease {
                    attempt: spec.key.to_string(),
                    epoch: spec.epoch.0,
                    connector: connector.clone(),
                    input: spec.input,
                    idempotency_key: spec.idempotency_key,
                    timeout_ms: spec.timeout.map(|span| span.as_millis()),
                });
            }
        }
        queues.waiting.retain(|_, queue| !queue.is_empty());
        (leases, stopping)
    }

    /// Takes reports. Gives the tokens that are not held any more: their work was for nothing.
    pub fn report(&self, worker: &str, reports: Vec<WorkerReport>) -> Vec<String> {
        let mut lost = Vec::new();
        for report in reports {
            let key: Option<AttemptKey> = report.attempt.parse().ok();
            let held = key.and_then(|key| {
                let mut queues = self.inner.queues.lock();
                let held = queues.leased.get(&key).is_some_and(|held| held.worker == worker && held.epoch.0 == report.epoch);
                if held { queues.leased.remove(&key).map(|_| key) } else { None }
            });
            let Some(key) = held else {
                lost.push(report.attempt);
                continue;
            };
            let outcome = match (report.output, report.error) {
                (_, Some(error)) => Outcome::Failed(Failure::new(FailureClass::User, error)),
                (output, None) => Outcome::Succeeded(output.unwrap_or_else(|| serde_json::json!({}))),
            };
            let usage = Usage { wall_us: report.wall_us, ..Usage::default() };
            self.inner.inbox.report(Command::Report(Box::new(Report {
                attempt: key,
                epoch: Epoch(report.epoch),
                outcome,
                usage,
                locations: Vec::new(),
            })));
        }
        lost
    }

    /// Keeps a worker's leases.
    pub fn heartbeat(&self, worker: &str) {
        let until = Instant::now() + LEASE;
        let mut queues = self.inner.queues.lock();
        queues.leased.values_mut().filter(|held| held.worker == worker).for_each(|held| held.until = until);
    }

    /// Takes an action back, or tells its worker to stop it. False when it is not known here.
    pub(crate) fn cancel(&self, key: AttemptKey) -> bool {
        let mut queues = self.inner.queues.lock();
        let waiting = queues.waiting.values_mut().any(|queue| {
            let before = queue.len();
            queue.retain(|spec| spec.key != key);
            queue.len() < before
        });
        if waiting {
            drop(queues);
            self.finish(key, Outcome::Aborted);
            return true;
        }
        let Some(held) = queues.leased.remove(&key) else { return false };
        queues.stopping.entry(held.worker).or_default().push(key);
        drop(queues);
        self.inner.offered.notify_waiters();
        // The worker's own end of it does not matter any more: what it may report is fenced.
        self.finish(key, Outcome::Aborted);
        true
    }

    /// Forgets an attempt whose outcome is known.
    pub(crate) fn release(&self, key: AttemptKey) {
        self.inner.queues.lock().leased.remove(&key);
    }

    /// Ends leases of workers that have been silent for too long.
    pub(crate) fn expire(&self) {
        let now = Instant::now();
        let mut queues = self.inner.queues.lock();
        let lost: Vec<(AttemptKey, String)> =
            queues.leased.iter().filter(|(_, held)| held.until <= now).map(|(key, held)| (*key, held.worker.clone())).collect();
        lost.iter().for_each(|(key, _)| drop(queues.leased.remove(key)));
        drop(queues);
        for (key, worker) in lost {
            let failure =
                Failure::new(FailureClass::NodeLost, format!("the worker `{worker}` has been silent for {} s", LEASE.as_secs()));
            self.finish(key, Outcome::Failed(failure));
        }
    }

    fn finish(&self, attempt: AttemptKey, outcome: Outcome) {
        let (usage, locations) = (Usage::default(), Vec::new());
        self.inner.inbox.report(Command::Report(Box::new(Report { attempt, epoch: Epoch(0), outcome, usage, locations })));
    }
}
