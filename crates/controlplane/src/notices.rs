//! Who wants to know what: the position that is durable (for streams), the end of single runs (for callers that wait), and that
//! resources changed (for what is kept at hand of them).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use engine::Event;
use engine::event::RunFinished;
use journal::Entry;
use model::{Resources, RunId, Seq};
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};

use crate::Meters;
use crate::meters::Ended;

/// Tells whoever listens. Cheap to clone.
#[derive(Clone)]
pub struct Notices {
    seq: Arc<watch::Sender<Seq>>,
    waiting: Arc<Mutex<BTreeMap<RunId, Vec<oneshot::Sender<Arc<RunFinished>>>>>>,
    failure: Arc<watch::Sender<Option<Arc<str>>>>,
    resources: Arc<AtomicU64>,
    meters: Arc<Meters>,
    held: Arc<Mutex<BTreeMap<String, Resources>>>,
}

/// What is to be told of a batch once it is durable.
pub(crate) struct Interesting {
    finished: Vec<Arc<RunFinished>>,
    resources: bool,
    entries: usize,
    ended: Ended,
    decided: Instant,
    held: Vec<(String, Resources)>,
}

impl Notices {
    pub(crate) fn new(last: Seq) -> Notices {
        Notices {
            seq: Arc::new(watch::Sender::new(last)),
            waiting: Arc::default(),
            failure: Arc::default(),
            resources: Arc::default(),
            meters: Arc::default(),
            held: Arc::default(),
        }
    }

    /// The position of the last durable entry.
    pub fn position(&self) -> Seq {
        *self.seq.borrow()
    }

    /// The position of the last durable entry, as it grows.
    pub fn watch(&self) -> watch::Receiver<Seq> {
        self.seq.subscribe()
    }

    /// Grows whenever a resource (workflow, trigger, connector, token) was applied or deleted.
    pub fn resources(&self) -> u64 {
        self.resources.load(Ordering::Acquire)
    }

    /// What attempts hold of each site, as of the last durable entry; of a site that is not named nothing is held.
    pub fn held(&self) -> BTreeMap<String, Resources> {
        self.held.lock().clone()
    }

    /// Figures about the run loop.
    pub fn meters(&self) -> &Meters {
        &self.meters
    }

    /// The end of a run, when it comes. Ask before looking at the run's phase, or the end may pass unseen in between.
    pub fn end_of(&self, run: RunId) -> oneshot::Receiver<Arc<RunFinished>> {
        let (sender, receiver) = oneshot::channel();
        self.listen(run, sender);
        receiver
    }

    /// Lets somebody know the end of a run when it comes.
    pub(crate) fn listen(&self, run: RunId, sender: oneshot::Sender<Arc<RunFinished>>) {
        let mut waiting = self.waiting.lock();
        let listeners = waiting.entry(run).or_default();
        listeners.retain(|listener| !listener.is_closed());
        listeners.push(sender);
    }

    /// Why the journal cannot be written any more, when that comes: the process has to be started again.
    pub async fn failure(&self) -> Arc<str> {
        let mut failure = self.failure.subscribe();
        loop {
            if let Some(reason) = failure.borrow_and_update().clone() {
                return reason;
            }
            if failure.changed().await.is_err() {
                // The sender lives as long as this.
                return "the control plane is gone".into();
            }
        }
    }

    /// Why the journal cannot be written any more; none as long as it can.
    pub(crate) fn failed(&self) -> Option<Arc<str>> {
        self.failure.borrow().clone()
    }

    /// The journal cannot be written any more.
    pub(crate) fn fail(&self, reason: &str) {
        self.failure.send_if_modified(|failure| {
            let first = failure.is_none();
            failure.get_or_insert_with(|| reason.into());
            first
        });
    }

    /// Forgets listeners of a run that have gone away.
    pub(crate) fn tidy(&self, run: RunId) {
        let mut waiting = self.waiting.lock();
        if let Some(listeners) = waiting.get_mut(&run) {
            listeners.retain(|listener| !listener.is_closed());
            if listeners.is_empty() {
                waiting.remove(&run);
            }
        }
    }

    /// What is to be told of these entries, behind which the fleet is like this.
    pub(crate) fn interesting(&self, entries: &[Entry], fleet: &engine::fleet::Fleet) -> Interesting {
        let finished = entries.iter().filter_map(|entry| match &entry.event {
            Event::RunFinished(finished) => Some(Arc::new((**finished).clone())),
            _ => None,
        });
        let resources = entries.iter().any(|entry| matches!(entry.event, Event::ResourceApplied(_) | Event::ResourceDeleted(_)));
        let ended = Meters::count(entries);
        let held = fleet.sites().iter().filter(|(_, site)| !site.running.is_empty());
        let held = held.map(|(name, site)| (name.clone(), site.used)).collect();
        Interesting { finished: finished.collect(), resources, entries: entries.len(), ended, decided: Instant::now(), held }
    }

    /// Entries up to `seq` are durable.
    pub(crate) fn durable(&self, seq: Seq, batch: Interesting) {
        if batch.resources {
            self.resources.fetch_add(1, Ordering::Release);
        }
        if batch.entries > 0 {
            *self.held.lock() = batch.held.into_iter().collect();
            self.meters.durable(batch.entries, batch.ended, batch.decided.elapsed());
        }
        self.seq.send_if_modified(|last| std::mem::replace(last, seq.max(*last)) < seq);
        if batch.finished.is_empty() {
            return;
        }
        let mut waiting = self.waiting.lock();
        for run in batch.finished {
            for listener in waiting.remove(&run.run).into_iter().flatten() {
                // Whoever waited may have gone away.
                let _ = listener.send(run.clone());
            }
        }
    }
}
