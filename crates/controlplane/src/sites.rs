//! The sites that are open in this process: an executor and a store each.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use artifacts::Store;
use executors::local::{LocalExecutor, Options};
use executors::tickets::TicketKey;
use executors::{Executor as _, Health, Observed};
use keyring::Keyring;
use model::{Digest, SiteSpec};
use parking_lot::{Mutex, RwLock};
use tokio::sync::mpsc::UnboundedSender;

/// Open sites by name. Cheap to clone.
#[derive(Clone)]
pub struct Sites {
    inner: Arc<Inner>,
}

struct Inner {
    folder: PathBuf,
    shim: (PathBuf, Vec<String>),
    path: String,
    /// Whose orders the sites take.
    tickets: TicketKey,
    keys: Option<Keyring>,
    observed: UnboundedSender<Observed>,
    /// Held while a site is opened: two executors of one folder would not know of each other.
    opening: Mutex<()>,
    open: RwLock<BTreeMap<String, LocalExecutor>>,
    /// The places that simulated sites stand for.
    simulates: RwLock<BTreeMap<String, String>>,
    /// Files of workflows, from which sites get theirs.
    code: Store,
}

impl Sites {
    pub(crate) fn new(
        data: &std::path::Path,
        shim: (PathBuf, Vec<String>),
        path: String,
        tickets: TicketKey,
        keys: Option<Keyring>,
        observed: UnboundedSender<Observed>,
    ) -> Result<Sites, artifacts::StoreError> {
        let code = Store::open_at(data.join("code"))?;
        Ok(Sites {
            inner: Arc::new(Inner {
                folder: data.join("sites"),
                shim,
                path,
                tickets,
                keys,
                observed,
                opening: Mutex::default(),
                open: RwLock::default(),
                simulates: RwLock::default(),
                code,
            }),
        })
    }

    /// Opens a site, or tells the one that is open what it is registered with now.
    pub(crate) fn open(&self, spec: &SiteSpec) -> Result<(), artifacts::StoreError> {
        let _opening = self.inner.opening.lock();
        match &spec.simulates {
            Some(place) => drop(self.inner.simulates.write().insert(spec.name.clone(), place.clone())),
            None => drop(self.inner.simulates.write().remove(&spec.name)),
        }
        if let Some(executor) = self.inner.open.read().get(&spec.name) {
            executor.set_capacity(spec.capacity);
            return Ok(());
        }
        let options = Options {
            site: spec.name.clone(),
            folder: self.inner.folder.join(&spec.name),
            shim: self.inner.shim.clone(),
            path: self.inner.path.clone(),
            capacity: spec.capacity,
            tickets: self.inner.tickets,
            keys: self.inner.keys.clone(),
        };
        let executor = LocalExecutor::open(options, self.inner.observed.clone())?;
        self.inner.open.write().insert(spec.name.clone(), executor);
        Ok(())
    }

    /// Forgets a site that was removed. Its folder stays: what is in it may be wanted.
    pub(crate) fn close(&self, name: &str) {
        self.inner.open.write().remove(name);
        self.inner.simulates.write().remove(name);
    }

    /// Asks a site how it is. One that is not open is opened, if that is possible now.
    pub(crate) async fn probe(&self, spec: &SiteSpec, patience: std::time::Duration) -> Health {
        let sick = |reason: String| Health { healthy: false, reason };
        let Some(executor) = self.executor(&spec.name) else {
            return match self.open(spec) {
                Ok(()) => Health { healthy: true, reason: String::new() },
                Err(error) => sick(format!("it cannot be opened: {error}")),
            };
        };
        let answer = tokio::time::timeout(patience, executor.probe()).await;
        answer.unwrap_or_else(|_| sick(format!("it did not answer within {} s", patience.as_secs())))
    }

    /// The executor of a site.
    pub fn executor(&self, site: &str) -> Option<LocalExecutor> {
        self.inner.open.read().get(site).cloned()
    }

    /// The store of a site.
    pub fn store(&self, site: &str) -> Option<Store> {
        self.executor(site).map(|executor| executor.store().clone())
    }

    /// The place that a site stands for, when it is simulated.
    pub(crate) fn simulates(&self, site: &str) -> Option<String> {
        self.inner.simulates.read().get(site).cloned()
    }

    /// The names of the open sites.
    pub fn names(&self) -> Vec<String> {
        self.inner.open.read().keys().cloned().collect()
    }

    /// The sites that have a copy of an artifact.
    pub fn with_copy(&self, artifact: &Digest) -> Vec<String> {
        let open = self.inner.open.read();
        open.iter().filter(|(_, executor)| executor.store().has(artifact)).map(|(name, _)| name.clone()).collect()
    }

    /// The store of the files of workflows.
    pub fn code(&self) -> &Store {
        &self.inner.code
    }
}
