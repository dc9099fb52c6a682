//! The sites that are open in this process: an executor and a store each.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use artifacts::Store;
use engine::event::PoolSized;
use executors::local::{LocalExecutor, Options};
use executors::sandbox::{Isolation, Machine, Settings};
use executors::tickets::TicketKey;
use executors::{Executor as _, Health, Observed};
use keyring::Keyring;
use model::site::{SandboxMode, SandboxSpec, StoreSpec};
use model::{Digest, EgressGrant, SiteSpec};
use parking_lot::{Mutex, RwLock};
use policy::Fleet;
use tokio::sync::mpsc::UnboundedSender;

/// The attribute that says what is enforced around processes: `sandbox`, `partial` or `none`.
pub(crate) const ISOLATION: &str = "isolation";
/// The same for policies, whose sites have a field of this name: nobody may claim another.
const SANDBOX: &str = "sandbox";

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
    /// What walls this machine can build.
    machine: Arc<Machine>,
    /// The data of the server, which no process is shown.
    data: PathBuf,
    /// What sites say of their walls and of what may be reached from them.
    walls: RwLock<BTreeMap<String, SandboxSpec>>,
    /// The buckets that sites name for large objects of tasks.
    stores: RwLock<BTreeMap<String, StoreSpec>>,
    /// Each site as policies see it.
    seen: RwLock<BTreeMap<String, Arc<Fleet>>>,
    /// The places that simulated sites stand for.
    simulates: RwLock<BTreeMap<String, String>>,
    /// What sites keep started for work that is expected.
    pools: RwLock<BTreeMap<String, PoolSized>>,
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
                machine: Machine::new(shim.clone()),
                data: data.canonicalize().unwrap_or_else(|_| data.to_owned()),
                walls: RwLock::default(),
                stores: RwLock::default(),
                seen: RwLock::default(),
                shim,
                path,
                tickets,
                keys,
                observed,
                opening: Mutex::default(),
                open: RwLock::default(),
                simulates: RwLock::default(),
                pools: RwLock::default(),
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
        self.inner.walls.write().insert(spec.name.clone(), spec.sandbox.clone().unwrap_or_default());
        match &spec.store {
            Some(store) => drop(self.inner.stores.write().insert(spec.name.clone(), store.clone())),
            None => drop(self.inner.stores.write().remove(&spec.name)),
        }
        self.inner.seen.write().insert(spec.name.clone(), Arc::new(Fleet::new([spec])));
        if let Some(executor) = self.inner.open.read().get(&spec.name) {
            executor.set_capacity(spec.capacity);
            executor.set_sandbox(self.settings(spec));
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
            sandbox: self.settings(spec),
        };
        let executor = LocalExecutor::open(options, self.inner.observed.clone())?;
        self.inner.open.write().insert(spec.name.clone(), executor);
        Ok(())
    }

    /// How the processes of a site are kept in.
    fn settings(&self, spec: &SiteSpec) -> Settings {
        let wanted = spec.sandbox.clone().unwrap_or_default();
        Settings {
            mode: wanted.mode,
            machine: self.inner.machine.clone(),
            runtime: wanted.runtime.iter().map(PathBuf::from).collect(),
            writable: Vec::new(),
            hidden: vec![self.inner.data.clone()],
        }
    }

    /// The first folder of a site's `runtime` that lies within the server's data, wherever its links lead.
    pub(crate) fn shows_data(&self, spec: &SiteSpec) -> Option<String> {
        let settings = self.settings(spec);
        let folder = settings.runtime.iter().find(|folder| settings.hides(folder))?;
        Some(folder.display().to_string())
    }

    /// What this machine enforces around processes. The first time this starts a process and waits for it.
    pub fn isolation(&self) -> Isolation {
        self.inner.machine.isolation().clone()
    }

    /// The same site with what this machine enforces there as its attribute: a fact, whatever its document says.
    pub(crate) fn attested(&self, mut spec: SiteSpec) -> SiteSpec {
        let tier = match spec.sandbox.as_ref().map(|sandbox| sandbox.mode).unwrap_or_default() {
            SandboxMode::Off => "none",
            SandboxMode::Prefer | SandboxMode::Require => self.inner.machine.isolation().tier(),
        };
        for attribute in [ISOLATION, SANDBOX] {
            spec.attributes.insert(attribute.into(), tier.into());
        }
        spec
    }

    /// A site as policies see it; none of it when it is not open.
    pub(crate) fn as_policies_see(&self, site: &str) -> Arc<Fleet> {
        self.inner.seen.read().get(site).cloned().unwrap_or_default()
    }

    /// Whether there are walls at a site.
    pub(crate) fn sandbox_mode(&self, site: &str) -> SandboxMode {
        self.inner.walls.read().get(site).map(|walls| walls.mode).unwrap_or_default()
    }

    /// What the processes of a site may reach over the network.
    pub(crate) fn egress(&self, site: &str) -> BTreeSet<EgressGrant> {
        self.inner.walls.read().get(site).map(|walls| walls.granted().collect()).unwrap_or_default()
    }

    /// What builds of images may reach from a site to get packages, beside that.
    pub(crate) fn packages(&self, site: &str) -> BTreeSet<EgressGrant> {
        self.inner.walls.read().get(site).map(|walls| walls.granted_to_builds().collect()).unwrap_or_default()
    }

    /// The bucket that a site names for large objects of tasks.
    pub(crate) fn bucket(&self, site: &str) -> Option<StoreSpec> {
        self.inner.stores.read().get(site).cloned()
    }

    /// Whether connectors may use a way out from a site, as far as the site is concerned.
    pub(crate) fn lets_connectors_use(&self, site: &str, way: &EgressGrant) -> bool {
        self.inner.walls.read().get(site).is_some_and(|walls| walls.lets_connectors_use(way))
    }

    /// Forgets a site that was removed. Its folder stays: what is in it may be wanted.
    pub(crate) fn close(&self, name: &str) {
        self.inner.open.write().remove(name);
        self.inner.simulates.write().remove(name);
        self.inner.pools.write().remove(name);
        self.inner.walls.write().remove(name);
        self.inner.stores.write().remove(name);
        self.inner.seen.write().remove(name);
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

    /// Has a site keep so many places started.
    pub(crate) fn keep_warm(&self, pool: PoolSized) {
        let site = pool.site.clone();
        self.inner.pools.write().insert(site.clone(), pool);
        self.hold_pool(&site, true);
    }

    /// Has a site hold what was decided for it, or nothing while it takes no work. One that stands for another place starts no processes ahead: there
    /// may be many such sites on one machine, and their boots are not this machine's.
    pub(crate) fn hold_pool(&self, site: &str, takes_work: bool) {
        let pieces = self.inner.pools.read().get(site).map(|pool| pool.pieces as usize);
        if let (Some(pieces), Some(executor)) = (pieces, self.executor(site)) {
            executor.keep_warm(if takes_work && self.simulates(site).is_none() { pieces } else { 0 });
        }
    }

    /// What a site keeps started, and how many places are there and without work; none where nothing was decided yet.
    pub fn pool(&self, site: &str) -> Option<(PoolSized, usize)> {
        let pool = self.inner.pools.read().get(site).cloned()?;
        Some((pool, self.executor(site).map_or(0, |executor| executor.idle())))
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
