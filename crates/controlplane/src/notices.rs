//! Who wants to know what: the position that is durable (for streams), and the end of single runs (for callers that wait).

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::Event;
use engine::event::RunFinished;
use journal::Entry;
use model::{RunId, Seq};
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};

/// Tells whoever listens. Cheap to clone.
#[derive(Clone)]
pub struct Notices {
    seq: Arc<watch::Sender<Seq>>,
    waiting: Arc<Mutex<BTreeMap<RunId, Vec<oneshot::Sender<Arc<RunFinished>>>>>>,
    failure: Arc<watch::Sender<Option<Arc<str>>>>,
}

impl Notices {
    pub(crate) fn new(last: Seq) -> Notices {
        Notices { seq: Arc::new(watch::Sender::new(last)), waiting: Arc::default(), failure: Arc::default() }
    }

    /// The position of the last durable entry, as it grows.
    pub fn watch(&self) -> watch::Receiver<Seq> {
        self.seq.subscribe()
    }

    /// The end of a run, when it comes. Ask before looking at the run's phase, or the end may pass unseen in between.
    pub fn end_of(&self, run: RunId) -> oneshot::Receiver<Arc<RunFinished>> {
        let (sender, receiver) = oneshot::channel();
        let mut waiting = self.waiting.lock();
        let listeners = waiting.entry(run).or_default();
        listeners.retain(|listener| !listener.is_closed());
        listeners.push(sender);
        receiver
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

    /// The ends of runs among these entries.
    pub(crate) fn interesting(&self, entries: &[Entry]) -> Vec<Arc<RunFinished>> {
        let finished = entries.iter().filter_map(|entry| match &entry.event {
            Event::RunFinished(finished) => Some(Arc::new((**finished).clone())),
            _ => None,
        });
        finished.collect()
    }

    /// Entries up to `seq` are durable.
    pub(crate) fn durable(&self, seq: Seq, finished: Vec<Arc<RunFinished>>) {
        self.seq.send_if_modified(|last| std::mem::replace(last, seq.max(*last)) < seq);
        if finished.is_empty() {
            return;
        }
        let mut waiting = self.waiting.lock();
        for run in finished {
            for listener in waiting.remove(&run.run).into_iter().flatten() {
                // Whoever waited may have gone away.
                let _ = listener.send(run.clone());
            }
        }
    }
}
