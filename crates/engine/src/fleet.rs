//! The fleet aggregate: sites with what is reserved on them, and the queue of actions that want a place.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use model::{ActionKey, ActionNo, Epoch, Label, Needs, Resources, RunId, SiteSpec};

use crate::event::PoolSized;

/// Sites, queue, versions of resources.
#[derive(Debug, Default)]
pub struct Fleet {
    pub(crate) epoch: Epoch,
    pub(crate) sites: BTreeMap<String, Site>,
    pub(crate) queue: Queue,
    /// By kind and name: the latest version.
    pub(crate) resources: BTreeMap<(String, String), u64>,
}

/// A site as the engine sees it.
#[derive(Clone, Debug)]
pub struct Site {
    /// As registered.
    pub spec: Arc<SiteSpec>,
    /// What attempts hold.
    pub used: Resources,
    /// The actions that hold it.
    pub running: BTreeSet<ActionKey>,
    /// Takes no new work by order.
    pub cordoned: bool,
    /// What ran there was moved by order.
    pub drained: bool,
    /// Takes work as far as its probe knows.
    pub healthy: bool,
    /// What the last probe with another result said.
    pub reason: String,
    /// What of it is kept started for work that is expected; none when nothing is.
    pub pool: Option<Arc<PoolSized>>,
}

impl Site {
    /// What is left.
    pub fn free(&self) -> Resources {
        self.spec.capacity.minus(&self.used)
    }

    /// Whether new work may go there.
    pub fn is_open(&self) -> bool {
        self.healthy && !self.cordoned
    }
}

impl Fleet {
    /// The latest version of a resource; 0 when there is none.
    pub(crate) fn version(&self, kind: &str, name: &str) -> u64 {
        self.resources.get(&(kind.to_owned(), name.to_owned())).copied().unwrap_or(0)
    }

    /// The incarnation of the server.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The sites by name.
    pub fn sites(&self) -> &BTreeMap<String, Site> {
        &self.sites
    }

    /// How many actions wait for a place.
    pub fn queued(&self) -> usize {
        self.queue.fresh.len() + self.queue.demand_of.len() + self.queue.held.len()
    }
}

/// What makes queued actions alike for the placer, whatever their run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Demand {
    /// Its project: one that may spend or hold no more does not stand before others.
    pub(crate) project: String,
    pub(crate) needs: Needs,
    pub(crate) label: Label,
    pub(crate) work: String,
}

/// Actions that want a place. What has not been looked at is fresh; what fitted nowhere is parked by demand and looked at again
/// when something is released or the fleet changes, a few of each demand at a time: a long queue costs nothing while it waits. What
/// belongs to a paused run is held, out of everybody's way.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    pub(crate) fresh: BTreeSet<(Reverse<i32>, u64, ActionKey)>,
    pub(crate) parked: BTreeMap<Demand, BTreeSet<(Reverse<i32>, u64, ActionKey)>>,
    pub(crate) demand_of: BTreeMap<ActionKey, (Demand, i32, u64)>,
    pub(crate) fresh_of: BTreeMap<ActionKey, (i32, u64)>,
    pub(crate) held: BTreeMap<ActionKey, (i32, u64)>,
    next: u64,
}

impl Queue {
    pub(crate) fn push(&mut self, key: ActionKey, priority: i32, held: bool) {
        self.next += 1;
        if held {
            self.held.insert(key, (priority, self.next));
        } else {
            self.fresh.insert((Reverse(priority), self.next, key));
            self.fresh_of.insert(key, (priority, self.next));
        }
    }

    /// Takes an action that waits out of the placer's sight.
    pub(crate) fn hold(&mut self, key: ActionKey) {
        let fresh = self.fresh_of.get(&key).copied();
        let place = fresh.or_else(|| self.demand_of.get(&key).map(|(_, priority, number)| (*priority, *number)));
        if let Some(place) = place {
            self.remove(key);
            self.held.insert(key, place);
        }
    }

    /// Lets what is held of a run be looked at again, where it stood in the queue.
    pub(crate) fn let_go(&mut self, run: RunId) {
        let range = ActionKey::new(run, ActionNo(0))..=ActionKey::new(run, ActionNo(u32::MAX));
        let keys: Vec<(ActionKey, (i32, u64))> = self.held.range(range).map(|(key, place)| (*key, *place)).collect();
        for (key, (priority, number)) in keys {
            self.held.remove(&key);
            self.fresh.insert((Reverse(priority), number, key));
            self.fresh_of.insert(key, (priority, number));
        }
    }

    /// Moves a fresh action among the parked.
    pub(crate) fn park(&mut self, key: ActionKey, demand: Demand) {
        let Some((priority, number)) = self.fresh_of.remove(&key) else { return };
        self.fresh.remove(&(Reverse(priority), number, key));
        self.parked.entry(demand.clone()).or_default().insert((Reverse(priority), number, key));
        self.demand_of.insert(key, (demand, priority, number));
    }

    pub(crate) fn remove(&mut self, key: ActionKey) {
        self.held.remove(&key);
        if let Some((priority, number)) = self.fresh_of.remove(&key) {
            self.fresh.remove(&(Reverse(priority), number, key));
        }
        if let Some((demand, priority, number)) = self.demand_of.remove(&key)
            && let Some(waiting) = self.parked.get_mut(&demand)
        {
            waiting.remove(&(Reverse(priority), number, key));
            if waiting.is_empty() {
                self.parked.remove(&demand);
            }
        }
    }

    pub(crate) fn is_parked(&self, key: ActionKey) -> bool {
        self.demand_of.contains_key(&key)
    }

    /// The first of each parked demand, at most so many, of runs that may have something placed.
    pub(crate) fn heads(&self, most: usize, mut may: impl FnMut(RunId) -> bool) -> VecDeque<ActionKey> {
        let mut heads = VecDeque::new();
        for waiting in self.parked.values() {
            heads.extend(waiting.iter().map(|(_, _, key)| *key).filter(|key| may(key.run)).take(most));
        }
        heads
    }

    /// Every action that waits, as the queue is worked off: what is looked at first stands first.
    pub(crate) fn order(&self) -> Vec<ActionKey> {
        let fresh = self.fresh.iter().map(|(_, _, key)| *key);
        let parked = self.parked.values().flatten().map(|(_, _, key)| *key);
        fresh.chain(parked).chain(self.held.keys().copied()).collect()
    }
}
