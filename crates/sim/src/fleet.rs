//! Fake executors and workers, with what survives the death of the server: attempts by their tokens, and a store of artifacts a site.

use std::collections::{BTreeMap, BTreeSet};

use engine::Outcome;
use model::{AttemptKey, Digest, Epoch, SiteSpec};

/// A site as it is in the world, whatever the server believes.
pub(crate) struct SimSite {
    pub(crate) spec: SiteSpec,
    /// Whether it can be reached.
    pub(crate) up: bool,
    /// Since when.
    pub(crate) up_since: u64,
    /// The highest epoch that ever gave an order here.
    pub(crate) epoch: Epoch,
    pub(crate) attempts: BTreeMap<AttemptKey, SimAttempt>,
    pub(crate) store: BTreeSet<Digest>,
    /// What was in the store and rotted there.
    pub(crate) lost: BTreeSet<Digest>,
}

/// An attempt at a site.
pub(crate) struct SimAttempt {
    /// The epoch under which it was begun.
    pub(crate) epoch: Epoch,
    /// How it ended, when it has.
    pub(crate) ended: Option<Outcome>,
    /// Whether it hears the order to stop.
    pub(crate) deaf: bool,
    /// Which life it is: a machine that died and came back begins attempts anew.
    pub(crate) life: u64,
    /// How often its report was repeated.
    pub(crate) repeats: u32,
    /// The artifacts it made.
    pub(crate) made: Vec<Digest>,
    /// What it will come to.
    pub(crate) outcome: Outcome,
}

impl SimSite {
    pub(crate) fn new(spec: SiteSpec) -> SimSite {
        let (attempts, store, lost) = Default::default();
        SimSite { spec, up: true, up_since: 0, epoch: Epoch(0), attempts, store, lost }
    }
}

impl SimSite {
    /// The store loses an artifact.
    pub(crate) fn lose(&mut self, artifact: Digest) {
        if self.store.remove(&artifact) {
            self.lost.insert(artifact);
        }
    }

    /// The store has an artifact, from wherever it came.
    pub(crate) fn store(&mut self, artifact: Digest) {
        self.store.insert(artifact);
        self.lost.remove(&artifact);
    }
}

/// Attempts that workers serve, as the server holds them: gone with it.
#[derive(Default)]
pub(crate) struct Leases {
    /// Offered, with the epoch of the order.
    pub(crate) offered: BTreeMap<AttemptKey, Epoch>,
    /// Leased: to which worker, under which epoch, until when.
    pub(crate) leased: BTreeMap<AttemptKey, Lease>,
}

/// A worker's hold on an attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lease {
    pub(crate) worker: u64,
    pub(crate) epoch: Epoch,
    pub(crate) until: u64,
}
