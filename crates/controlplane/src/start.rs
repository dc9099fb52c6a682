//! Opening a data directory: from the journal to a server that goes on where the last one stopped.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use engine::{Command, State};
use failpoint::Point;
use journal::{Batch, Durability, Keeper, Reader, Writer};
use keyring::Keyring;
use model::site::ExecutorKind;
use model::{Digest, Graph, Resources, RunId, SiteSpec};
use parking_lot::Mutex;
use tokio::sync::mpsc::WeakUnboundedSender;
use tokio::task::JoinHandle as Task;

use crate::admission::Plans;
use crate::audit::AuditLog;
use crate::catalogue::Latest;
use crate::clock::Clock;
use crate::core_loop::{CoreLoop, Release, inbox};
use crate::dispatcher::{Dispatcher, end_orphans, forward};
use crate::evaluator::LanguageEvaluator;
use crate::governing::{Gate, Governance, Registered};
use crate::keys::Sealing;
use crate::learning::Learned;
use crate::placer::Placer;
use crate::projects::{Projects, Shown};
use crate::sanitizing::Sanitizing;
use crate::secrets::Secrets;
use crate::triggers::Triggers;
use crate::warm::Arrivals;
use crate::{Fault, FaultKind, Flyte, Inbox, Notices, Owner, Sites, Workers, tickets};

/// The version of the server.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");
/// How often sites are probed.
const PROBE_EVERY: std::time::Duration = std::time::Duration::from_secs(5);
/// How often it is looked whether the data directory is still there.
const DIRECTORY_EVERY: std::time::Duration = std::time::Duration::from_secs(1);
/// How long a site may take to say how it is.
const PROBE_PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);
/// Graphs of workflows kept at hand.
const GRAPHS_MAX: usize = 1_024;

/// How to open a data directory.
#[derive(Clone, Debug)]
pub struct Options {
    /// The directory.
    pub data: PathBuf,
    /// What an acknowledgement means.
    pub durability: Durability,
    /// The program that wraps processes, and its first arguments.
    pub shim: (PathBuf, Vec<String>),
    /// The search path of processes.
    pub path: String,
    /// Whether and how what is stored is sealed.
    pub keys: Sealing,
}

/// An open control plane. Cheap to clone; [`ControlPlane::stop`] ends it.
#[derive(Clone)]
pub struct ControlPlane {
    inner: Arc<Inner>,
}

struct Inner {
    inbox: Inbox,
    reader: Reader,
    notices: Notices,
    sites: Sites,
    workers: Workers,
    triggers: Triggers,
    flyte: Flyte,
    graphs: Mutex<BTreeMap<Digest, Arc<Graph>>>,
    latest: Latest,
    audit: AuditLog,
    data: PathBuf,
    /// Not one that keeps the dispatcher waiting for more: it ends with the loop.
    releases: WeakUnboundedSender<Release>,
    core: Mutex<Option<JoinHandle<Writer>>>,
    keeper: Keeper,
    tasks: Mutex<Vec<Task<()>>>,
    owner: Mutex<Option<Owner>>,
    learned: Learned,
    plans: Plans,
    governance: Governance,
    stands: Shown,
    keys: Option<Keyring>,
    secrets: Secrets,
    /// Held while stores are swept.
    sweeping: tokio::sync::Mutex<()>,
    /// Up to this run it is known who holds what.
    holders_known: Mutex<RunId>,
}

/// Where projects stand, in a process that only looks.
fn project_stands(reader: &Reader) -> Result<Shown, Fault> {
    let stands = Shown::default();
    Projects::read(reader, &State::default(), stands.clone()).map_err(unusable)?;
    Ok(stands)
}

pub(crate) fn unusable(error: impl std::fmt::Display) -> Fault {
    Fault::new(FaultKind::DataDirectory, error.to_string())
}

/// The first command, with what verifies this incarnation's tickets.
fn begin_epoch(authority: &executors::tickets::Authority) -> Command {
    Command::BeginEpoch { version: VERSION.into(), ticket_key: Some(Digest(authority.key().0)) }
}

impl ControlPlane {
    /// Opens a data directory and carries out what is outstanding there.
    pub async fn open(options: Options) -> Result<ControlPlane, Fault> {
        let owner = Owner::take(&options.data)?;
        let keys = tokio::task::block_in_place(|| crate::keys::open(&options.data, &options.keys))?;
        let journal_options =
            journal::Options { path: options.data.join("journal"), shard: 0, durability: options.durability, keys: keys.clone() };
        let opened = tokio::task::block_in_place(|| journal::open(journal_options)).map_err(unusable)?;
        failpoint::check(Point::StartOpened).map_err(unusable)?;
        let (reader, tree) = (opened.reader.clone(), opened.writer.tree());
        let audit = tokio::task::block_in_place(|| AuditLog::open(&options.data, reader, tree))?;
        let (observed, seen) = tokio::sync::mpsc::unbounded_channel();
        let authority = tickets::authority(&options.data).map_err(unusable)?;
        let sites =
            Sites::new(&options.data, options.shim.clone(), options.path.clone(), authority.key(), keys.clone(), observed);
        let sites = sites.map_err(unusable)?;
        let flyte = Flyte::of_sites(&options.data, &sites, keys.as_ref(), &opened.reader).map_err(unusable)?;
        let (state, last) = tokio::task::block_in_place(|| restore(&opened.reader, &sites))?;
        failpoint::check(Point::StartRestored).map_err(unusable)?;
        let (inbox, mailbox) = inbox();
        let (releases, released) = tokio::sync::mpsc::unbounded_channel();
        let has_sites = !state.fleet().sites().is_empty();
        let wanted = state.outstanding().iter().filter_map(|effect| effect.attempt()).collect();
        // Before the first order: whatever sites hold now is of earlier servers.
        let orphans = end_orphans(&sites, &wanted).await;
        flyte.outlived(&wanted);
        let notices = Notices::new(last.0);
        let keeper = opened.writer.keeper();
        let (learned, lessons) = Learned::new();
        let governance = Governance::default();
        let secrets = Secrets::new(keys.clone(), governance.clone(), opened.reader.clone());
        let governs = tokio::task::block_in_place(|| Registered::read(&opened.reader)).map_err(unusable)?;
        let (stands, arrivals) = (Shown::default(), Arrivals::default());
        let projects =
            tokio::task::block_in_place(|| Projects::read(&opened.reader, &state, stands.clone())).map_err(unusable)?;
        let core = CoreLoop {
            state,
            writer: opened.writer,
            evaluator: Arc::new(LanguageEvaluator::default()),
            clock: Clock::new(last.1),
            releases: releases.clone(),
            notices: notices.clone(),
            placer: Placer::new(learned.clone(), projects, arrivals.clone()),
            gate: Gate::new(governs, governance.clone()),
            looked_at: model::Timestamp(0),
            halt: audit.halt().clone(),
            flyte: flyte.clone(),
        };
        let core = core.start(mailbox).map_err(unusable)?;
        let workers = Workers::new(inbox.clone(), Sanitizing::new(sites.clone()));
        for row in opened.reader.resources("connector", None, None).map_err(unusable)? {
            // A body that is not understood is of a later version, and promises nothing here.
            serde_json::from_value(row.body).into_iter().for_each(|connector| workers.promise(&connector));
        }
        let inner = Inner {
            inbox: inbox.clone(),
            reader: opened.reader.clone(),
            notices,
            sites: sites.clone(),
            workers: workers.clone(),
            triggers: Triggers::default(),
            flyte: flyte.clone(),
            graphs: Mutex::default(),
            latest: Latest::default(),
            audit,
            data: options.data.clone(),
            releases: releases.downgrade(),
            core: Mutex::new(Some(core)),
            keeper,
            tasks: Mutex::default(),
            owner: Mutex::new(Some(owner)),
            learned: learned.clone(),
            plans: Plans::with(arrivals.clone()),
            governance,
            stands,
            secrets: secrets.clone(),
            keys,
            sweeping: tokio::sync::Mutex::default(),
            holders_known: Mutex::new(RunId::FLEET),
        };
        let control = ControlPlane { inner: Arc::new(inner) };
        control.start_task(learned.run(opened.reader.clone(), lessons));
        control.inbox().ask(begin_epoch(&authority)).await?;
        failpoint::hit(Point::StartEpoch);
        let dispatcher = Dispatcher::new(inbox.clone(), sites, opened.reader, workers, flyte.clone(), authority, secrets.clone());
        control.start_task(forward(seen, orphans, dispatcher.endings()));
        control.start_task(dispatcher.run(released));
        if !has_sites {
            let site = tokio::task::block_in_place(|| control.sites().attested(this_machine()));
            let command = Command::RegisterSite { site, principal: "system".into() };
            control.inbox().ask(command).await?;
            control.carried_out().await;
        }
        // What an earlier server had asked for and not heard of came with the new epoch: attempts are found again by their tokens.
        drop(releases);
        control.keep_watch(arrivals)?;
        Ok(control)
    }

    /// What runs beside the loop for as long as the server does.
    fn keep_watch(&self, arrivals: Arrivals) -> Result<(), Fault> {
        self.start_task(self.clone().attest_sites());
        self.start_task(self.clone().probe());
        self.start_task(self.clone().watch_fleet());
        self.start_task(self.clone().foresee(arrivals));
        self.start_task(self.clone().watch_directory());
        self.start_task(self.workers().clone().watch());
        tokio::task::block_in_place(|| self.load_triggers())?;
        self.start_task(self.clone().run_triggers());
        self.look_after_programs();
        self.start_task(self.clone().finish_pruning());
        self.start_task(self.clone().seal_as_it_grows());
        self.start_task(self.clone().sweep_now_and_then());
        Ok(())
    }

    /// Opens a data directory to look at what is there: nothing is begun, carried out or written, and every command is refused.
    pub async fn look(options: Options) -> Result<ControlPlane, Fault> {
        let owner = Owner::take(&options.data)?;
        let keys = tokio::task::block_in_place(|| crate::keys::open(&options.data, &options.keys))?;
        let journal_options =
            journal::Options { path: options.data.join("journal"), shard: 0, durability: options.durability, keys: keys.clone() };
        let opened = tokio::task::block_in_place(|| journal::open(journal_options)).map_err(unusable)?;
        let (observed, _) = tokio::sync::mpsc::unbounded_channel();
        let key = tickets::nobody().map_err(unusable)?.key();
        let sites = Sites::new(&options.data, options.shim.clone(), options.path.clone(), key, keys.clone(), observed);
        let sites = sites.map_err(unusable)?;
        let flyte = Flyte::of_sites(&options.data, &sites, keys.as_ref(), &opened.reader).map_err(unusable)?;
        for site in opened.reader.sites().map_err(unusable)? {
            sites.open(&site.spec).map_err(unusable)?;
        }
        let (_, seq, _) = opened.reader.last().map_err(unusable)?;
        let audited = opened.reader.clone();
        let governance = Governance::default();
        let secrets = Secrets::new(keys.clone(), governance.clone(), opened.reader.clone());
        let _ = Gate::new(Registered::read(&opened.reader).map_err(unusable)?, governance.clone());
        // Nobody reads the other end: commands are answered with "the server is stopping".
        let (inbox, _) = inbox();
        let inner = Inner {
            inbox: inbox.clone(),
            reader: opened.reader.clone(),
            notices: Notices::new(seq),
            workers: Workers::new(inbox, Sanitizing::new(sites.clone())),
            sites,
            triggers: Triggers::default(),
            flyte,
            graphs: Mutex::default(),
            latest: Latest::default(),
            audit: AuditLog::look(&options.data, audited)?,
            data: options.data.clone(),
            releases: tokio::sync::mpsc::unbounded_channel().0.downgrade(),
            core: Mutex::default(),
            keeper: opened.writer.keeper(),
            tasks: Mutex::default(),
            owner: Mutex::new(Some(owner)),
            learned: Learned::of(&opened.reader),
            plans: Plans::default(),
            governance,
            stands: project_stands(&opened.reader)?,
            secrets: secrets.clone(),
            keys,
            sweeping: tokio::sync::Mutex::default(),
            holders_known: Mutex::new(RunId::FLEET),
        };
        let control = ControlPlane { inner: Arc::new(inner) };
        tokio::task::block_in_place(|| control.load_triggers())?;
        Ok(control)
    }

    pub(crate) fn start_task(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.inner.tasks.lock().push(tokio::spawn(task));
    }

    /// Whether the run loop has been told to end, or never began.
    pub(crate) fn is_stopping(&self) -> bool {
        self.inner.core.lock().is_none()
    }

    /// Held while stores are swept.
    pub(crate) fn sweeping(&self) -> &tokio::sync::Mutex<()> {
        &self.inner.sweeping
    }

    /// Up to which run it is known who holds what. Held while that is found out.
    pub(crate) fn holders_known(&self) -> &Mutex<RunId> {
        &self.inner.holders_known
    }

    /// Where commands go.
    pub fn inbox(&self) -> &Inbox {
        &self.inner.inbox
    }

    /// What has happened.
    pub fn reader(&self) -> &Reader {
        &self.inner.reader
    }

    /// What happens.
    pub fn notices(&self) -> &Notices {
        &self.inner.notices
    }

    /// The open sites.
    pub fn sites(&self) -> &Sites {
        &self.inner.sites
    }

    /// The queue of actions for workers.
    pub fn workers(&self) -> &Workers {
        &self.inner.workers
    }

    pub(crate) fn learned(&self) -> &Learned {
        &self.inner.learned
    }

    pub(crate) fn plans(&self) -> &Plans {
        &self.inner.plans
    }

    /// What Flyte programs need.
    pub fn flyte(&self) -> &Flyte {
        &self.inner.flyte
    }

    pub(crate) fn secrets_of_dispatch(&self) -> &Secrets {
        &self.inner.secrets
    }

    pub(crate) fn keys(&self) -> Option<&Keyring> {
        self.inner.keys.as_ref()
    }

    pub(crate) fn stands(&self) -> &Shown {
        &self.inner.stands
    }

    pub(crate) fn governance(&self) -> &Governance {
        &self.inner.governance
    }

    pub(crate) fn triggers(&self) -> &Triggers {
        &self.inner.triggers
    }

    pub(crate) fn known_graphs(&self) -> &Mutex<BTreeMap<Digest, Arc<Graph>>> {
        &self.inner.graphs
    }

    pub(crate) fn keeper(&self) -> &Keeper {
        &self.inner.keeper
    }

    pub(crate) fn latest(&self) -> &Latest {
        &self.inner.latest
    }

    /// Waits until the dispatcher has been through everything that is durable by now: a site that was registered is open.
    pub(crate) async fn carried_out(&self) {
        let (waiting, reached) = tokio::sync::oneshot::channel();
        let Some(releases) = self.inner.releases.upgrade() else { return };
        if releases.send(Release::Reached(waiting)).is_ok() {
            drop(releases);
            // A dispatcher that is gone carries out nothing any more.
            let _ = reached.await;
        }
    }

    /// The audit log.
    pub fn audit(&self) -> &AuditLog {
        &self.inner.audit
    }

    /// The data directory.
    pub fn data(&self) -> &Path {
        &self.inner.data
    }

    /// Tells others on this machine where this server listens.
    pub fn announce(&self, address: &str) -> std::io::Result<()> {
        self.inner.flyte.listens_at(address);
        self.inner.owner.lock().as_mut().map_or(Ok(()), |owner| owner.announce(address))
    }

    /// Makes a graph durable beside the journal.
    pub(crate) async fn keep_graph(&self, graph: &Arc<Graph>) -> Result<(), Fault> {
        let digest = graph.digest();
        {
            let mut known = self.inner.graphs.lock();
            if known.len() >= GRAPHS_MAX {
                known.clear();
            }
            known.insert(digest, graph.clone());
        }
        self.inner.inbox.keep_graph(digest, graph.clone()).await?;
        Ok(())
    }

    /// Stops taking work, writes what was decided, and ends. Processes go on under their wrappers; the next start finds them.
    pub async fn stop(&self) {
        self.inner.inbox.stop();
        let core = self.inner.core.lock().take();
        if let Some(core) = core {
            let stopped = tokio::task::spawn_blocking(move || core.join().map(Writer::stop));
            if !matches!(stopped.await, Ok(Ok(()))) {
                tracing::error!("the run loop did not stop in order");
            }
        }
        let tasks: Vec<Task<()>> = self.inner.tasks.lock().drain(..).collect();
        for task in tasks {
            task.abort();
            // It was told to end, and has.
            let _ = task.await;
        }
        // The last checkpoint is of all there is.
        let audit = self.audit().clone();
        if let Err(error) = tokio::task::spawn_blocking(move || audit.seal()).await.map_err(std::io::Error::other).flatten() {
            tracing::error!(%error, "the last checkpoint of the audit log cannot be written");
        }
        // Nothing is written any more: the next owner may come, though somebody may still hold a handle of this one.
        drop(self.inner.owner.lock().take());
    }

    /// Destroys what an earlier server recorded as pruned and did not come to destroy.
    async fn finish_pruning(self) {
        if let Err(error) = self.finish_erasing().await {
            tracing::error!(%error, "what was erased could not be destroyed");
        }
        let reader = self.reader().clone();
        if let Ok(Ok(true)) = tokio::task::spawn_blocking(move || reader.is_unswept()).await
            && let Err(error) = self.sweep().await
        {
            tracing::error!(%error, "what was pruned could not be destroyed");
        }
    }

    /// Ends everything when the data directory was removed: what is decided from then on is kept nowhere.
    async fn watch_directory(self) {
        loop {
            tokio::time::sleep(DIRECTORY_EVERY).await;
            if self.inner.owner.lock().as_ref().is_some_and(|owner| !owner.is_there()) {
                return self.notices().fail(&format!("the data directory `{}` was removed", self.data().display()));
            }
        }
    }

    /// Brings what is said of sites up to date with what this machine enforces: it may be another one, or have another kernel.
    async fn attest_sites(self) {
        let control = self.clone();
        let changed = tokio::task::spawn_blocking(move || {
            let known = control.reader().sites().unwrap_or_default().into_iter().map(|row| row.spec);
            let attested = known.map(|spec| (control.sites().attested(spec.clone()), spec));
            attested.filter(|(attested, known)| attested != known).map(|(attested, _)| attested).collect::<Vec<_>>()
        });
        for site in changed.await.unwrap_or_default() {
            self.inbox().report(Command::RegisterSite { site, principal: "system".into() });
        }
    }

    /// Probes sites.
    async fn probe(self) {
        loop {
            self.probe_sites().await;
            tokio::time::sleep(PROBE_EVERY).await;
        }
    }

    /// Asks every site how it is, and tells the engine. Done every few seconds anyway.
    pub async fn probe_sites(&self) {
        let mut known = BTreeMap::new();
        for row in self.reader().sites().unwrap_or_default() {
            self.sites().hold_pool(&row.spec.name, !row.cordoned && !row.drained);
            known.insert(row.spec.name.clone(), (row.healthy, row.spec));
        }
        for (site, (healthy, spec)) in known {
            let health = self.sites().probe(&spec, PROBE_PATIENCE).await;
            if health.healthy != healthy {
                self.inbox().report(Command::SiteHealth { site, healthy: health.healthy, reason: health.reason });
            }
        }
    }
}

/// Folds the journal into the state and opens its sites.
fn restore(reader: &Reader, sites: &Sites) -> Result<(State, (model::Seq, model::Timestamp)), Fault> {
    let (last_run, seq, at) = reader.last().map_err(unusable)?;
    let mut state = State::new(last_run.0);
    for (digest, graph) in reader.open_graphs().map_err(unusable)? {
        state.add_graph(digest, &graph);
    }
    reader.replay(|_, at, event| state.evolve(&event, at)).map_err(unusable)?;
    state.replayed();
    for (project, domain, name, run) in reader.names_ahead(last_run).map_err(unusable)? {
        state.reserve_name(&project, &domain, &name, run);
    }
    // What left each site in this month, whatever became of the runs: tiers of prices hang on it.
    let now = crate::clock::wall();
    for (site, bytes) in reader.sent_since(now.month_begin()).map_err(unusable)? {
        state.count_sent(&site, now, bytes);
    }
    for site in state.fleet().sites().values() {
        // A site that cannot be opened is one that is not healthy: the first probe says so, and later ones try again.
        if let Err(error) = sites.open(&site.spec) {
            tracing::error!(site = %site.spec.name, %error, "a site cannot be opened");
        }
    }
    Ok((state, (seq, at)))
}

/// The site that is there when none was registered: the machine itself.
pub(crate) fn this_machine() -> SiteSpec {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let memory = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    });
    SiteSpec {
        name: "local".into(),
        executor: ExecutorKind::Local,
        capacity: Resources {
            cpu_millis: (cores * 1000) as u32,
            memory_bytes: memory.map_or(4 << 30, |kib| kib * 1024),
            gpus: 0,
            disk_bytes: 0,
        },
        attributes: BTreeMap::from([("zone".into(), "local".into())]),
        prices: Default::default(),
        simulates: None,
        sandbox: None,
        store: None,
    }
}

/// A batch that holds nothing but a graph.
pub(crate) fn graph_batch(
    digest: Digest,
    graph: Arc<Graph>,
    durable: impl FnOnce(Result<journal::Appended, journal::JournalError>) + Send + 'static,
) -> Batch {
    Batch { entries: Vec::new(), graphs: vec![(digest, graph)], durable: Box::new(durable) }
}
