//! Processes of the machine the server runs on, and the built-in connectors. Several local sites may share a machine: each has a folder
//! and a store of its own.

mod attempt;
mod machine;
mod process;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use artifacts::Store;
use connectors::{Given, Place};
use engine::Outcome;
use engine::event::{Located, Usage};
use model::{AttemptKey, Duration, Epoch, Failure, FailureClass, NodeKind};
use tokio::sync::mpsc::UnboundedSender;

use crate::{AttemptSpec, Capacity, Caps, Executor, Health, Idempotency, LogChunk, Observed, Owned, Stream, SubmitError, shim};

/// How a local site is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// The site's name.
    pub site: String,
    /// The site's folder: `store/`, `attempts/` and `files/` lie below it.
    pub folder: PathBuf,
    /// The program that wraps processes, and what stands before the attempt's folder on its command line.
    pub shim: (PathBuf, Vec<String>),
    /// The search path of processes.
    pub path: String,
}

/// Drives attempts as local processes. Cheap to clone.
#[derive(Clone)]
pub struct LocalExecutor {
    inner: Arc<Inner>,
}

struct Inner {
    options: Options,
    store: Store,
    observed: UnboundedSender<Observed>,
    running: Mutex<Running>,
}

#[derive(Default)]
struct Running {
    /// The highest epoch that ever gave an order here.
    epoch: Epoch,
    /// Attempts that are being watched, and how to stop those that are no processes.
    watched: BTreeMap<AttemptKey, Option<tokio::task::AbortHandle>>,
}

impl LocalExecutor {
    /// Opens a site. What is observed goes to `observed`.
    pub fn open(options: Options, observed: UnboundedSender<Observed>) -> Result<LocalExecutor, artifacts::StoreError> {
        let store = Store::open_at(options.folder.join("store"))?;
        for folder in ["attempts", "files"] {
            let folder = options.folder.join(folder);
            std::fs::create_dir_all(&folder).map_err(|error| artifacts::StoreError::Io { path: folder, error })?;
        }
        Ok(LocalExecutor { inner: Arc::new(Inner { options, store, observed, running: Mutex::default() }) })
    }

    /// The site's store.
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// The folder that `core/file` reads and writes.
    pub fn files(&self) -> PathBuf {
        self.inner.options.folder.join("files")
    }
}

impl Inner {
    fn folder(&self, key: AttemptKey) -> PathBuf {
        self.options.folder.join("attempts").join(key.to_string())
    }

    fn running(&self) -> std::sync::MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(|poison| poison.into_inner())
    }

    /// Whoever listens may be gone when the server stops; the next start asks again.
    fn observe(&self, observed: Observed) {
        let _ = self.observed.send(observed);
    }

    fn finish(&self, key: AttemptKey, epoch: Epoch, outcome: Outcome, usage: Usage, stored: Vec<(model::Digest, u64)>) {
        self.running().watched.remove(&key);
        let site = &self.options.site;
        let locations = stored.into_iter().map(|(artifact, size)| Located { artifact, size, site: site.clone() }).collect();
        self.observe(Observed::Finished { key, epoch, outcome, usage, locations });
    }

    /// Runs a connector that takes its time.
    async fn run_connector(&self, spec: AttemptSpec, connector: String) {
        let began = std::time::Instant::now();
        self.observe(Observed::Started { key: spec.key, host: "control plane".into() });
        let files = self.options.folder.join("files");
        let place = Place { store: &self.store, files: &files, idempotency_key: &spec.idempotency_key };
        let run = connectors::run(&connector, &spec.input, &place);
        let given = match spec.timeout {
            Some(span) => tokio::time::timeout(span.to_std(), run).await.unwrap_or_else(|_| {
                Err(Failure::new(FailureClass::Timeout, format!("it took longer than its timeout of {span}")))
            }),
            None => run.await,
        };
        let usage = Usage { wall_us: began.elapsed().as_micros() as u64, ..Usage::default() };
        match given {
            Ok(Given { output, stored }) => self.finish(spec.key, spec.epoch, Outcome::Succeeded(output), usage, stored),
            Err(failure) => self.finish(spec.key, spec.epoch, Outcome::Failed(failure), usage, Vec::new()),
        }
    }
}

#[async_trait::async_trait]
impl Executor for LocalExecutor {
    fn caps(&self) -> Caps {
        Caps { containers: false, gpus: false, live_logs: true, outlives_server: true, idempotency: Idempotency::Name }
    }

    async fn capacity(&self) -> Capacity {
        let attempts = self.inner.running().watched.len() as u32;
        let folder = self.inner.options.folder.clone();
        tokio::task::spawn_blocking(move || machine::capacity(&folder, &[], attempts)).await.unwrap_or_default()
    }

    async fn list_owned(&self) -> std::io::Result<Vec<Owned>> {
        let folder = self.inner.options.folder.join("attempts");
        tokio::task::spawn_blocking(move || process::owned(&folder)).await.map_err(std::io::Error::other)?
    }

    async fn probe(&self) -> Health {
        let probe = self.inner.options.folder.join("attempts/.probe");
        let tried =
            tokio::task::spawn_blocking(move || std::fs::write(&probe, [0; 4096]).and_then(|()| std::fs::remove_file(&probe)))
                .await;
        match tried {
            Ok(Ok(())) => Health { healthy: true, reason: String::new() },
            Ok(Err(error)) => Health { healthy: false, reason: format!("its folder cannot be written: {error}") },
            Err(error) => Health { healthy: false, reason: format!("the probe broke off: {error}") },
        }
    }

    async fn submit(&self, spec: AttemptSpec) -> Result<(), SubmitError> {
        {
            let mut running = self.inner.running();
            if spec.epoch < running.epoch {
                return Err(SubmitError::Stale { given: spec.epoch, known: running.epoch });
            }
            running.epoch = spec.epoch;
            if running.watched.contains_key(&spec.key) {
                return Ok(());
            }
            running.watched.insert(spec.key, None);
        }
        let inner = self.inner.clone();
        match spec.kind.clone() {
            NodeKind::Use { connector, .. } => {
                if let Some(outcome) = connectors::run_instant(&connector, &spec.input, spec.key.attempt.0) {
                    let outcome = outcome.map_or_else(Outcome::Failed, Outcome::Succeeded);
                    self.inner.finish(spec.key, spec.epoch, outcome, Usage::default(), Vec::new());
                    return Ok(());
                }
                let key = spec.key;
                let task = tokio::spawn(async move { inner.run_connector(spec, connector).await });
                if let Some(place) = self.inner.running().watched.get_mut(&key) {
                    *place = Some(task.abort_handle());
                }
            }
            NodeKind::Run { .. } => {
                tokio::spawn(process::drive(inner, spec));
            }
            other => {
                let message = format!("this site cannot run `{}` nodes", other.as_str());
                let failure = Failure::new(FailureClass::Environment, message);
                self.inner.finish(spec.key, spec.epoch, Outcome::Failed(failure), Usage::default(), Vec::new());
            }
        }
        Ok(())
    }

    async fn cancel(&self, key: AttemptKey, grace: Duration) {
        let watched = self.inner.running().watched.get(&key).cloned();
        let folder = self.inner.folder(key);
        match watched {
            Some(Some(task)) => {
                task.abort();
                self.inner.finish(key, Epoch(0), Outcome::Aborted, Usage::default(), Vec::new());
            }
            // The wrapper stops the process and leaves its record, which is reported as any other. A process that is yet to be started
            // finds the order in its pipe.
            Some(None) => {
                if shim::ask_to_stop(&folder, grace.to_std()).is_err() {
                    self.inner.running().watched.remove(&key);
                    self.inner.observe(aborted(key));
                }
            }
            None if folder.join(shim::OWNER).exists() => {
                let inner = self.inner.clone();
                let _ = shim::ask_to_stop(&folder, grace.to_std());
                inner.running().watched.insert(key, None);
                tokio::spawn(process::follow(inner, key));
            }
            None => self.inner.observe(aborted(key)),
        }
    }

    async fn logs(&self, key: AttemptKey, stream: Stream, offset: u64, limit: usize) -> std::io::Result<LogChunk> {
        let folder = self.inner.folder(key);
        let open = self.inner.running().watched.contains_key(&key);
        let read = tokio::task::spawn_blocking(move || shim::read_log(&folder, stream, offset, limit)).await;
        let mut chunk = read.map_err(std::io::Error::other)??;
        chunk.open = open;
        Ok(chunk)
    }

    async fn release(&self, key: AttemptKey) {
        let folder = self.inner.folder(key);
        // Logs and the record stay for people; the work folder is the large part. A folder that cannot be removed is no reason to stop.
        let _ = tokio::task::spawn_blocking(move || std::fs::remove_dir_all(folder.join("work"))).await;
    }
}

fn aborted(key: AttemptKey) -> Observed {
    Observed::Finished { key, epoch: Epoch(0), outcome: Outcome::Aborted, usage: Usage::default(), locations: Vec::new() }
}
