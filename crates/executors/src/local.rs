//! Processes of the machine the server runs on, and the built-in connectors. Several local sites may share a machine: each has a folder
//! and a store of its own.

mod attempt;
mod folders;
mod nurseries;
mod outputs;
mod process;
mod wrappers;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use artifacts::{Store, StoreError};
use connectors::{Given, Place, Ways};
use engine::Outcome;
use engine::event::{Located, Usage};
use keyring::{Holder, Keyring, Redactor};
use model::limits::SITE_PROCESSES_MAX;
use model::site::SandboxMode;
use model::{AttemptKey, Duration, EgressGrant, Epoch, Failure, FailureClass, NodeKind, Resources, SignedTicket};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::spawn_blocking;

use crate::sandbox::runtime::Runtime;
use crate::tickets::{Gate, TicketKey};
use crate::{
    AttemptSpec, Capacity, Caps, Executor, Health, Idempotency, LogChunk, Observed, Owned, Stream, SubmitError, machine, sandbox,
    shim,
};

/// How a local site is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// The site's name.
    pub site: String,
    /// The site's folder: `store/`, `attempts/`, `homes/`, `logs/` and `files/` lie below it.
    pub folder: PathBuf,
    /// The program that wraps processes, and what stands before the attempt's folder on its command line.
    pub shim: (PathBuf, Vec<String>),
    /// The search path of processes.
    pub path: String,
    /// What the site was registered with; zeros stand for what the machine has.
    pub capacity: Resources,
    /// Whose orders it takes.
    pub tickets: TicketKey,
    /// What seals the artifacts of its store; without keys they lie open.
    pub keys: Option<Keyring>,
    /// How its processes are kept in.
    pub sandbox: sandbox::Settings,
}

/// Drives attempts as local processes. Cheap to clone.
#[derive(Clone)]
pub struct LocalExecutor {
    inner: Arc<Inner>,
}

/// Where attempts are laid out, and what they are told of the site.
struct SiteFolder {
    name: String,
    /// Without links, so that paths in it can be handed to processes.
    folder: PathBuf,
    path: String,
    registered: Mutex<Resources>,
    sandbox: Mutex<Arc<Kept>>,
}

/// How processes are kept in, and what of the machine they are shown.
struct Kept {
    settings: sandbox::Settings,
    runtime: Runtime,
}

struct Inner {
    site: SiteFolder,
    store: Store,
    wrappers: wrappers::Wrappers,
    observed: UnboundedSender<Observed>,
    known: Mutex<Known>,
    gate: Mutex<Gate>,
    /// One for each process that may run.
    places: Semaphore,
    /// One for each process that may be on its way to run: wrappers are reused by those that come after.
    starting: Semaphore,
}

#[derive(Default)]
struct Known {
    /// The highest epoch that ever gave an order here.
    epoch: Epoch,
    /// Attempts that are being watched, and what they asked for.
    watched: BTreeMap<AttemptKey, (Watched, Resources)>,
    /// Outcomes of attempts that leave no record, until they are released.
    ended: BTreeMap<AttemptKey, Observed>,
}

enum Watched {
    /// A process in the making.
    Waiting,
    /// A process, and whether it was ordered to stop.
    Process(Option<Duration>),
    /// A connector, and what ends it.
    Connector(Option<tokio::task::AbortHandle>),
}

/// Holds the highest epoch that gave orders here, over restarts.
const EPOCH: &str = "epoch";

impl LocalExecutor {
    /// Opens a site. What is observed goes to `observed`.
    pub fn open(options: Options, observed: UnboundedSender<Observed>) -> Result<LocalExecutor, StoreError> {
        let store = Store::open_with(options.folder.join("store"), options.keys)?;
        let io = |path: &Path| {
            let path = path.to_owned();
            move |error| StoreError::Io { path, error }
        };
        for folder in ["attempts", "files", "homes", "logs"] {
            let folder = options.folder.join(folder);
            std::fs::create_dir_all(&folder).map_err(io(&folder))?;
        }
        let folder = options.folder.canonicalize().map_err(io(&options.folder))?;
        shim::clear_abandoned();
        folders::sweep(&folder.join("attempts"), &folder.join("logs"));
        folders::sweep_homes(&folder.join("homes"));
        let epoch = std::fs::read_to_string(folder.join(EPOCH)).ok().and_then(|text| text.trim().parse().ok());
        let known = Known { epoch: Epoch(epoch.unwrap_or(0)), ..Known::default() };
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let gate = Gate::open(options.tickets, &options.site, &folder);
        let homes = folder.join("homes");
        let kept = Mutex::new(Arc::new(Kept::of(&options.path, options.sandbox)));
        let (name, path, registered) = (options.site, options.path, Mutex::new(options.capacity));
        let site = SiteFolder { name, folder, path, registered, sandbox: kept };
        let inner = Inner {
            site,
            store,
            wrappers: wrappers::Wrappers::new(options.shim, homes),
            observed,
            known: Mutex::new(known),
            gate: Mutex::new(gate),
            places: Semaphore::new(SITE_PROCESSES_MAX),
            starting: Semaphore::new((cores * 2).max(4)),
        };
        Ok(LocalExecutor { inner: Arc::new(inner) })
    }

    /// The site's store.
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// The folder that `core/file` reads and writes.
    pub fn files(&self) -> PathBuf {
        self.inner.site.folder.join("files")
    }

    /// Removes the logs of a run that is erased.
    pub fn erase_logs(&self, run: model::RunId) -> std::io::Result<()> {
        let folder = self.inner.site.folder.join("logs");
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            let key: Option<AttemptKey> = entry.file_name().to_str().and_then(|name| name.parse().ok());
            if key.is_some_and(|key| key.run == run) {
                std::fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }

    /// The site was registered with something else.
    pub fn set_capacity(&self, capacity: Resources) {
        *self.inner.site.registered.lock() = capacity;
    }

    /// Keeps so many wrappers started and without work, beside those that have some. What was kept beyond that goes at once.
    pub fn keep_warm(&self, pieces: usize) {
        self.inner.wrappers.keep(pieces);
    }

    /// How many wrappers are started and without work.
    pub fn idle(&self) -> usize {
        self.inner.wrappers.idle()
    }

    /// The capacity that the site is registered with.
    pub fn registered(&self) -> Resources {
        *self.inner.site.registered.lock()
    }

    /// Its processes are kept in otherwise from now on; what runs is not changed.
    pub fn set_sandbox(&self, settings: sandbox::Settings) {
        let known = self.inner.site.sandbox.lock().clone();
        if (known.settings.mode, &known.settings.runtime) != (settings.mode, &settings.runtime) {
            let kept = Arc::new(Kept::of(&self.inner.site.path, settings));
            *self.inner.site.sandbox.lock() = kept;
            self.inner.wrappers.begin_anew();
        }
    }

    /// How its processes are kept in, and what this machine enforces of that.
    pub fn sandbox(&self) -> (SandboxMode, sandbox::Isolation) {
        let kept = self.inner.site.sandbox.lock().clone();
        (kept.settings.mode, kept.settings.machine.isolation().clone())
    }

    /// What the processes of an attempt have done so far; none when it has none. Reads what lies about them: blocks.
    pub fn activity(&self, key: AttemptKey) -> Option<shim::Activity> {
        let folder = self.inner.folder(key);
        let (wrapper, started) = process::owner_of(&folder)?;
        shim::activity(&folder, wrapper).filter(|_| shim::start_time(wrapper) == Some(started))
    }

    /// What an attempt did over the network, as far as it is written down by now; nothing once its logs are gone.
    pub fn connections(&self, key: AttemptKey) -> Vec<sandbox::Connection> {
        let (folder, released) = (self.inner.folder(key), self.inner.logs(key));
        sandbox::egress::read(if folder.exists() { &folder } else { &released })
    }
}

impl Kept {
    fn of(path: &str, settings: sandbox::Settings) -> Kept {
        // Looking for it is work that a site without walls does not need.
        let mut runtime = match settings.mode {
            SandboxMode::Off => Runtime::default(),
            _ => Runtime::of(path, &shown_of(&settings)),
        };
        for folder in runtime.forget_hidden(&settings.hidden, &[]) {
            tracing::warn!(folder = %folder.display(), "what the search path leads to lies within the server's data, and is not shown");
        }
        Kept { settings, runtime }
    }
}

/// The folders that a site names, but for those that lie within what is never shown: a link may lead there since the site was applied.
fn shown_of(settings: &sandbox::Settings) -> Vec<PathBuf> {
    let (hidden, shown) = settings.runtime.iter().cloned().partition(|folder| settings.hides(folder));
    let hidden: Vec<PathBuf> = hidden;
    for folder in hidden {
        tracing::warn!(folder = %folder.display(), "a folder of `runtime` lies within the server's data, and is not shown");
    }
    shown
}

impl SiteFolder {
    fn capacity(&self) -> Resources {
        machine::capacity(&self.folder, &self.registered.lock(), &[]).total
    }
}

impl Inner {
    /// The store, for what an attempt leaves: its run holds that.
    fn store_of(&self, key: AttemptKey) -> Store {
        self.store.held_by(Holder::Run(key.run.0))
    }

    fn folder(&self, key: AttemptKey) -> PathBuf {
        self.site.folder.join("attempts").join(key.to_string())
    }

    /// Where the logs of an attempt lie after it was released.
    fn logs(&self, key: AttemptKey) -> PathBuf {
        self.site.folder.join("logs").join(key.to_string())
    }

    /// Whoever listens may be gone when the server stops; the next start asks again.
    fn observe(&self, observed: Observed) {
        let _ = self.observed.send(observed);
    }

    fn is_watched(&self, key: AttemptKey) -> bool {
        self.known.lock().watched.contains_key(&key)
    }

    /// From here on an order to stop goes to the wrapper. False when one came before.
    fn begin(&self, key: AttemptKey) -> bool {
        match self.known.lock().watched.get_mut(&key) {
            Some((watched @ Watched::Waiting, _)) => {
                *watched = Watched::Process(None);
                true
            }
            Some((Watched::Process(_), _)) => true,
            _ => false,
        }
    }

    fn stop_ordered(&self, key: AttemptKey) -> Option<Duration> {
        match self.known.lock().watched.get(&key) {
            Some((Watched::Process(stop), _)) => *stop,
            _ => None,
        }
    }

    fn finish(&self, key: AttemptKey, epoch: Epoch, outcome: Outcome, usage: Usage, stored: Vec<(model::Digest, u64)>) {
        let site = &self.site.name;
        let locations = stored.into_iter().map(|(artifact, size)| Located { artifact, size, site: site.clone() }).collect();
        let observed = Observed::Finished { key, epoch, outcome, usage, locations };
        {
            let mut known = self.known.lock();
            // Cancelled while it came to its end: one of the two is the outcome, and the other was reported.
            if known.watched.remove(&key).is_none() {
                return;
            }
            // A process leaves its record; of anything else nothing would be known when the order is repeated.
            if !process::is_known(&self.folder(key)) {
                known.ended.insert(key, observed.clone());
            }
        }
        self.observe(observed);
    }

    /// Runs a connector that takes its time.
    async fn run_connector(&self, spec: AttemptSpec, connector: String, granted: BTreeSet<EgressGrant>) {
        let began = std::time::Instant::now();
        self.observe(Observed::Started { key: spec.key, host: "control plane".into() });
        let files = self.site.folder.join("files");
        let traceparent = spec.environment.iter().find(|(key, _)| key == "TRACEPARENT").map(|(_, context)| context.as_str());
        let store = self.store_of(spec.key);
        // It has no folder among the attempts: what it did over the network lies where the logs of attempts go.
        let logs = self.logs(spec.key);
        let ways = Ways { granted: &granted, note: &|connection| sandbox::egress::note(&logs, connection) };
        let place = Place {
            store: &store,
            files: &files,
            idempotency_key: &spec.idempotency_key,
            traceparent,
            secrets: &spec.secrets,
            ways,
        };
        let run = connectors::run(&connector, &spec.input, &place);
        let given = match spec.timeout {
            Some(span) => tokio::time::timeout(span.to_std(), run).await.unwrap_or_else(|_| {
                Err(Failure::new(FailureClass::Timeout, format!("it took longer than its timeout of {span}")))
            }),
            None => run.await,
        };
        let wall_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        // The far side may send back what it was sent.
        let redactor = Redactor::new(&spec.secrets);
        match given {
            Ok(Given { output, stored }) => {
                let usage = Usage { wall_us, bytes_out: stored.iter().map(|(_, size)| size).sum(), ..Usage::default() };
                self.finish(spec.key, spec.epoch, Outcome::Succeeded(redacted(&redactor, output)), usage, stored);
            }
            Err(failure) => {
                let failure = Failure { message: redactor.text(&failure.message), ..failure };
                let usage = Usage { wall_us, ..Usage::default() };
                self.finish(spec.key, spec.epoch, Outcome::Failed(failure), usage, Vec::new());
            }
        }
    }

    /// Checks the ticket and the epoch of an order, and whether it was given before. Some when there is something to do.
    fn take_order(&self, spec: &AttemptSpec, ticket: &SignedTicket) -> Result<Option<()>, SubmitError> {
        self.gate.lock().check(spec, ticket).map_err(SubmitError::Ticket)?;
        let mut known = self.known.lock();
        if spec.epoch < known.epoch {
            return Err(SubmitError::Stale { given: spec.epoch, known: known.epoch });
        }
        if spec.epoch > known.epoch {
            known.epoch = spec.epoch;
            // Written beside and renamed. Without it a stale order could be taken after a restart, and no worse.
            let path = self.site.folder.join(EPOCH);
            let beside = path.with_extension("new");
            let written = std::fs::write(&beside, spec.epoch.0.to_string()).and_then(|()| std::fs::rename(&beside, &path));
            if let Err(error) = written {
                tracing::warn!(site = %self.site.name, %error, "the epoch could not be noted");
            }
        }
        if known.watched.contains_key(&spec.key) {
            return Ok(None);
        }
        if let Some(observed) = known.ended.get(&spec.key) {
            self.observe(observed.clone());
            return Ok(None);
        }
        let watched = match spec.kind {
            NodeKind::Use { .. } => Watched::Connector(None),
            NodeKind::Run { image: None, .. } => Watched::Waiting,
            NodeKind::Run { image: Some(_), .. } => {
                return Err(SubmitError::Rejected("it runs processes of the machine, and no container images".into()));
            }
            _ => return Err(SubmitError::Rejected(format!("it cannot run `{}` nodes", spec.kind.as_str()))),
        };
        // What an earlier server began is found, not begun: no ticket is used up by that.
        if !process::is_known(&self.folder(spec.key)) {
            self.gate.lock().consume(ticket)?;
        }
        known.watched.insert(spec.key, (watched, spec.resources));
        Ok(Some(()))
    }
}

#[async_trait::async_trait]
impl Executor for LocalExecutor {
    fn caps(&self) -> Caps {
        Caps { containers: false, gpus: false, live_logs: true, outlives_server: true, idempotency: Idempotency::Name }
    }

    async fn probe(&self) -> Health {
        self.inner.wrappers.expire();
        let inner = self.inner.clone();
        let tried = spawn_blocking(move || {
            let folder = &inner.site.folder;
            if let Some(why) = inner.site.sandbox.lock().clone().settings.unfit() {
                return Err(why);
            }
            if machine::disk_is_nearly_full(folder) {
                return Err("its disk is full".to_owned());
            }
            let probe = folder.join("attempts/.probe");
            let written = std::fs::write(&probe, [0; 4096]).and_then(|()| std::fs::remove_file(&probe));
            written.map_err(|error| format!("its folder cannot be written: {error}"))
        });
        match tried.await.unwrap_or_else(|error| Err(format!("the probe broke off: {error}"))) {
            Ok(()) => Health { healthy: true, reason: String::new() },
            Err(reason) => Health { healthy: false, reason },
        }
    }

    async fn capacity(&self) -> Capacity {
        let inner = self.inner.clone();
        let measured = spawn_blocking(move || {
            let asked: Vec<Resources> = inner.known.lock().watched.values().map(|(_, asked)| *asked).collect();
            let registered = *inner.site.registered.lock();
            machine::capacity(&inner.site.folder, &registered, &asked)
        });
        measured.await.unwrap_or_default()
    }

    async fn submit(&self, spec: AttemptSpec, ticket: SignedTicket) -> Result<(), SubmitError> {
        if self.inner.take_order(&spec, &ticket)?.is_none() {
            return Ok(());
        }
        let inner = self.inner.clone();
        let NodeKind::Use { connector, .. } = spec.kind.clone() else {
            tokio::spawn(process::drive(inner, spec, ticket.ticket));
            return Ok(());
        };
        if let Some(outcome) = connectors::run_instant(&connector, &spec.input, spec.key.attempt.0) {
            let outcome = outcome.map_or_else(Outcome::Failed, Outcome::Succeeded);
            self.inner.finish(spec.key, spec.epoch, outcome, Usage::default(), Vec::new());
            return Ok(());
        }
        let key = spec.key;
        let task = tokio::spawn(async move { inner.run_connector(spec, connector, ticket.ticket.egress).await });
        if let Some((Watched::Connector(handle), _)) = self.inner.known.lock().watched.get_mut(&key) {
            *handle = Some(task.abort_handle());
        }
        Ok(())
    }

    async fn list_owned(&self) -> std::io::Result<Vec<Owned>> {
        let folder = self.inner.site.folder.join("attempts");
        spawn_blocking(move || folders::owned(&folder)).await.map_err(std::io::Error::other)?
    }

    async fn cancel(&self, key: AttemptKey, grace: Duration) {
        let folder = self.inner.folder(key);
        let mut known = self.inner.known.lock();
        match known.watched.get_mut(&key) {
            Some((Watched::Connector(task), _)) => {
                task.take().inspect(|task| task.abort());
                drop(known);
                self.inner.finish(key, Epoch(0), Outcome::Aborted, Usage::default(), Vec::new());
            }
            // Nothing runs yet, and nothing will.
            Some((Watched::Waiting, _)) => {
                known.watched.remove(&key);
                self.inner.observe(aborted(key));
            }
            // The wrapper stops the process and leaves its record, which is reported as any other. One that does not listen yet is told
            // when it does.
            Some((Watched::Process(stop), _)) => {
                *stop = Some(grace);
                let _ = shim::ask_to_stop(&folder, grace.to_std());
            }
            None if process::is_known(&folder) => {
                known.watched.insert(key, (Watched::Process(Some(grace)), Resources::default()));
                let _ = shim::ask_to_stop(&folder, grace.to_std());
                tokio::spawn(process::follow(self.inner.clone(), key));
            }
            None => {
                let ended = known.ended.get(&key).cloned();
                self.inner.observe(ended.unwrap_or_else(|| aborted(key)));
            }
        }
    }

    async fn logs(&self, key: AttemptKey, stream: Stream, offset: u64, limit: usize) -> std::io::Result<LogChunk> {
        let (folder, released) = (self.inner.folder(key), self.inner.logs(key));
        // Asked before reading: what is written in between is there for the next reader.
        let open = self.inner.is_watched(key);
        let read = spawn_blocking(move || {
            let folder = if folder.exists() { &folder } else { &released };
            shim::read_log(folder, stream, offset, limit)
        });
        let mut chunk = read.await.map_err(std::io::Error::other)??;
        chunk.open = open;
        Ok(chunk)
    }

    async fn release(&self, key: AttemptKey) {
        {
            let mut known = self.inner.known.lock();
            known.ended.remove(&key);
            if known.watched.contains_key(&key) {
                return;
            }
        }
        let (folder, logs) = (self.inner.folder(key), self.inner.logs(key));
        let _ = spawn_blocking(move || folders::release(&folder, &logs)).await;
    }
}

/// A value without the secrets, wherever they stand in it.
fn redacted(redactor: &Redactor, value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        value if redactor.is_empty() => value,
        Value::String(text) => Value::String(redactor.text(&text)),
        Value::Array(items) => items.into_iter().map(|item| redacted(redactor, item)).collect(),
        Value::Object(fields) => {
            fields.into_iter().map(|(key, field)| (redactor.text(&key), redacted(redactor, field))).collect()
        }
        other => other,
    }
}

fn aborted(key: AttemptKey) -> Observed {
    Observed::Finished { key, epoch: Epoch(0), outcome: Outcome::Aborted, usage: Usage::default(), locations: Vec::new() }
}
