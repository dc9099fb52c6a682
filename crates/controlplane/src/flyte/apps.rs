//! Apps of Flyte programs: services that run until they are stopped. An app is a resource, and what runs of it is a run of one action that is repeated
//! whenever it ends: it is placed, given secrets, limited, logged, explained and stopped like any other. This room keeps the two together, gives every
//! attempt a port of its own, and looks whether it answers.

mod watching;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::time::Instant;

use engine::{Command, Outcome};
use flyte::apps::{self, Unfit};
use flyte::call::{from_hex, to_hex};
use flyte::wire::AppId;
use flyte::{Call, Message as _};
use journal::ResourceRow;
use model::graph::Retry;
use model::limits::RETRY_ATTEMPTS_MAX;
use model::{ActionNo, AttemptKey, AttemptNo, Digest, EgressGrant, Failure, FailureClass, Phase, RunId, Timestamp};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::{Flyte, Program, ROOT, base_of};
use crate::{ControlPlane, Fault, FaultKind};

/// The kind of resource that an app is.
const KIND: &str = "flyte-app";
/// The pause before an app that ended is started again, and the longest.
const PAUSES: (model::Duration, model::Duration) = (model::Duration::from_secs(1), model::Duration::from_secs(60));
/// Doors that a task finds: it may be granted no more places than there are listeners for.
pub(crate) const DOORS_MAX: usize = 16;

/// How it stands with an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppState {
    /// It waits for a place, or for the pause before it is started again.
    Pending,
    /// It is started and does not answer yet.
    Starting,
    /// It answers.
    Active,
    /// It was stopped.
    Stopped,
    /// It ended more often than it is started again, or could not be started.
    Failed,
}

impl AppState {
    /// The state as users read it.
    pub fn as_str(self) -> &'static str {
        match self {
            AppState::Pending => "pending",
            AppState::Starting => "starting",
            AppState::Active => "active",
            AppState::Stopped => "stopped",
            AppState::Failed => "failed",
        }
    }
}

/// An app that was deployed.
#[derive(Clone, Debug)]
pub struct DeployedApp {
    /// Its name.
    pub id: AppId,
    /// Grows with every change.
    pub revision: u64,
    /// What is said of it, as it was sent.
    pub spec: Vec<u8>,
    /// What the client calls it by.
    pub labels: BTreeMap<String, String>,
    /// Where its code lies.
    pub bundle: String,
    /// Who deployed it first.
    pub by: String,
    /// When it was changed last.
    pub at: Timestamp,
    /// The port of this machine at which it is reached.
    pub front: u16,
    /// The run that serves it; empty while it is stopped.
    pub run: String,
}

impl DeployedApp {
    /// Its full name.
    pub fn name(&self) -> String {
        name_of(&self.id)
    }

    /// What it is, as far as running it needs.
    pub fn read(&self) -> Result<apps::App, Fault> {
        apps::read(&self.spec, [&self.id.project, &self.id.domain, &self.id.name]).map_err(unfit)
    }

    /// Whether it is the service of the SDK's plugin for people: the server itself answers in its place, and nothing is run.
    pub fn is_service_for_people(&self) -> bool {
        flyte::conditions::is_service(&self.spec)
    }

    fn of(row: &ResourceRow) -> Option<DeployedApp> {
        let text = |key: &str| row.body.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let number = |key: &str| row.body.get(key).and_then(Value::as_u64).unwrap_or_default();
        Some(DeployedApp {
            id: AppId { org: text("org"), project: text("project"), domain: text("domain"), name: text("name") },
            revision: number("revision"),
            spec: from_hex(&text("spec"))?,
            labels: serde_json::from_value(row.body.get("labels").cloned().unwrap_or_default()).unwrap_or_default(),
            bundle: text("bundle"),
            by: text("by"),
            at: row.at,
            front: u16::try_from(number("front")).ok()?,
            run: text("run"),
        })
    }

    fn body(&self) -> Value {
        json!({
            "org": self.id.org, "project": self.id.project, "domain": self.id.domain, "name": self.id.name,
            "revision": self.revision, "spec": to_hex(&self.spec), "labels": self.labels, "bundle": self.bundle,
            "by": self.by, "front": self.front, "run": self.run,
        })
    }
}

fn name_of(id: &AppId) -> String {
    format!("{}/{}/{}", id.project, id.domain, id.name)
}

fn unfit(unfit: Unfit) -> Fault {
    Fault::new(FaultKind::Malformed, unfit.to_string())
}

/// What was seen of an attempt of an app.
#[derive(Clone, Copy, Debug)]
struct Seen {
    attempt: AttemptKey,
    answers: bool,
    since: Instant,
    silent: u32,
    looked: Instant,
}

/// Ports of attempts, and what was seen of them.
pub(super) struct Apps {
    folder: PathBuf,
    picking: Mutex<()>,
    /// Held while one is changed: what is written is made of what was read.
    changing: tokio::sync::Mutex<()>,
    seen: Mutex<BTreeMap<String, Seen>>,
    /// Why the run of an app could not be submitted, and when that was tried.
    refused: Mutex<BTreeMap<String, (String, Instant)>>,
    change: tokio::sync::Notify,
}

impl Apps {
    pub(super) fn open(root: &std::path::Path) -> std::io::Result<Apps> {
        let folder = root.join("ports");
        std::fs::create_dir_all(&folder)?;
        let change = tokio::sync::Notify::new();
        Ok(Apps {
            folder,
            picking: Mutex::default(),
            changing: Default::default(),
            seen: Mutex::default(),
            refused: Mutex::default(),
            change,
        })
    }

    fn file(&self, key: AttemptKey) -> PathBuf {
        self.folder.join(key.to_string().replace('/', "."))
    }

    fn known(&self, key: AttemptKey) -> Option<u16> {
        std::fs::read_to_string(self.file(key)).ok()?.trim().parse().ok()
    }

    /// The port of an attempt: the one that it was given before, or a free one. `doors` are those at which apps are called.
    fn port_of(&self, key: AttemptKey, doors: &BTreeSet<u16>) -> std::io::Result<u16> {
        let _turn = self.picking.lock();
        if let Some(port) = self.known(key) {
            return Ok(port);
        }
        let port = self.pick(doors)?;
        std::fs::write(self.file(key), port.to_string())?;
        Ok(port)
    }

    /// A port for the door of an app.
    fn door(&self, doors: &BTreeSet<u16>) -> std::io::Result<u16> {
        let _turn = self.picking.lock();
        self.pick(doors)
    }

    /// A free port that no attempt was given and no door has, whether anything listens there at the moment or not.
    fn pick(&self, doors: &BTreeSet<u16>) -> std::io::Result<u16> {
        let mut taken = doors.clone();
        for entry in std::fs::read_dir(&self.folder)? {
            taken.extend(std::fs::read_to_string(entry?.path())?.trim().parse::<u16>().ok());
        }
        // Held until one is found that nobody was given: the system would offer the same again.
        let mut held = Vec::new();
        loop {
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            let port = free.local_addr()?.port();
            if !taken.contains(&port) {
                return Ok(port);
            }
            held.push(free);
        }
    }

    pub(super) fn forget(&self, key: AttemptKey) {
        let _ = std::fs::remove_file(self.file(key));
    }
}

impl Flyte {
    /// Gives the process of an app its port. Blocks.
    pub(super) fn give_port(
        &self,
        key: AttemptKey,
        call: &Call,
        input: &mut Value,
        reader: &journal::Reader,
    ) -> Result<(), Failure> {
        let broken = |error: &dyn std::fmt::Display| {
            Failure::new(FailureClass::Environment, format!("there is no port for the app: {error}"))
        };
        let doors = doors(&reader.resources(KIND, None, None).map_err(|error| broken(&error))?);
        apps::listen_at(input, call.port, self.inner.apps.port_of(key, &doors).map_err(|error| broken(&error))?);
        Ok(())
    }
}

/// The ports at which apps are called.
fn doors(rows: &[ResourceRow]) -> BTreeSet<u16> {
    rows.iter().filter_map(DeployedApp::of).map(|app| app.front).collect()
}

/// The ways to the doors of the apps of a task's own project and domain. Who may go through one is asked there.
pub(super) fn ways(names: &engine::RunNames, reader: &journal::Reader) -> BTreeSet<EgressGrant> {
    let rows = reader.resources(KIND, None, None).unwrap_or_default();
    let own = rows
        .iter()
        .filter_map(DeployedApp::of)
        .filter(|app| (&app.id.project, &app.id.domain) == (&names.project, &names.domain));
    let way = |app: DeployedApp| EgressGrant { bytes_max: u64::MAX, ..EgressGrant::place("127.0.0.1", app.front) };
    own.take(DOORS_MAX).map(way).collect()
}

/// What the end of an app's process means: it is never meant to end, so that it is started again.
pub(super) fn judge(outcome: Outcome) -> Outcome {
    let ended = |message: &str| Outcome::Failed(Failure::new(FailureClass::User, message));
    match outcome {
        Outcome::Succeeded(_) => ended("the app ended by itself"),
        Outcome::Aborted => ended("the app did not answer, or was stopped at its site"),
        Outcome::Failed(failure) if failure.exit_code == Some(super::NO_ENVIRONMENT) => {
            Outcome::Failed(super::no_environment(failure.message))
        }
        failed => failed,
    }
}

impl ControlPlane {
    /// The apps that were deployed. Blocks.
    pub fn apps(&self) -> Result<Vec<DeployedApp>, Fault> {
        let rows = self.reader().resources(KIND, None, None).map_err(Fault::internal)?;
        Ok(rows.iter().filter_map(DeployedApp::of).collect())
    }

    /// An app. Blocks.
    pub fn app(&self, id: &AppId) -> Result<DeployedApp, Fault> {
        let row = self.reader().resources(KIND, Some(&name_of(id)), None).map_err(Fault::internal)?.pop();
        row.as_ref().and_then(DeployedApp::of).ok_or_else(|| Fault::not_found("app", &name_of(id)))
    }

    /// How it stands with an app, and in which words. Blocks.
    pub fn app_state(&self, app: &DeployedApp) -> Result<(AppState, String), Fault> {
        if app.is_service_for_people() && app.read()?.wanted {
            return Ok((AppState::Active, String::new()));
        }
        if app.run.is_empty() {
            return Ok((AppState::Stopped, String::new()));
        }
        let Some((run, action)) = self.serving(app)? else {
            let refused = self.flyte().inner.apps.refused.lock().get(&app.run).map(|(why, _)| why.clone());
            return Ok(match refused {
                Some(why) => (AppState::Failed, why),
                None => (AppState::Pending, "it is being submitted".into()),
            });
        };
        let why = action.failure.as_ref().map(|failure| why_of(failure, &app.run)).unwrap_or_default();
        if let Some(phase) = action.finished_at.map(|_| action.phase) {
            let state = if phase == Phase::Aborted { AppState::Stopped } else { AppState::Failed };
            return Ok((state, why));
        }
        let attempt = AttemptKey { run, action: ActionNo(action.no), attempt: AttemptNo(action.attempt) };
        let seen = self.flyte().inner.apps.seen.lock().get(&app.name()).copied();
        Ok(match (action.phase, seen.filter(|seen| seen.attempt == attempt)) {
            (Phase::Running, Some(seen)) if seen.answers => (AppState::Active, String::new()),
            (Phase::Running, _) => (AppState::Starting, "it does not answer yet".into()),
            _ => (AppState::Pending, why),
        })
    }

    fn serving(&self, app: &DeployedApp) -> Result<Option<(RunId, journal::ActionRow)>, Fault> {
        let known = self.reader().find_run(&app.id.project, &app.id.domain, Some(&app.run), None).map_err(Fault::internal)?;
        let Some(run) = known.by_name else { return Ok(None) };
        Ok(self.reader().action(run, ROOT).map_err(Fault::internal)?.map(|action| (run, action)))
    }

    /// The port at which an app's process listens; none while there is none. Blocks.
    pub fn app_port(&self, app: &DeployedApp) -> Result<Option<u16>, Fault> {
        let Some((run, action)) = self.serving(app)? else { return Ok(None) };
        let attempt = AttemptKey { run, action: ActionNo(action.no), attempt: AttemptNo(action.attempt) };
        Ok(self.flyte().inner.apps.known(attempt).filter(|_| action.phase == Phase::Running))
    }

    /// Deploys an app, or changes one. Only that of `revision` is changed, when one is named.
    pub async fn deploy_app(
        &self,
        id: AppId,
        spec: Vec<u8>,
        labels: BTreeMap<String, String>,
        bundle: String,
        principal: &str,
        replaces: Option<u64>,
    ) -> Result<DeployedApp, Fault> {
        let _turn = self.flyte().inner.apps.changing.lock().await;
        let (control, wanted) = (self.clone(), id.clone());
        let before = tokio::task::spawn_blocking(move || match control.app(&wanted) {
            Ok(app) => Ok(Some(app)),
            Err(fault) if fault.kind == FaultKind::NotFound => Ok(None),
            Err(fault) => Err(fault),
        });
        let before = before.await.map_err(Fault::internal)??;
        match (&before, replaces) {
            (Some(app), None) => {
                return Err(Fault::new(FaultKind::NameTaken, format!("there is an app `{}` already", app.name())));
            }
            (None, Some(_)) => return Err(Fault::not_found("app", &name_of(&id))),
            (Some(app), Some(revision)) if revision != 0 && revision != app.revision => {
                let message = format!("the app `{}` was changed meanwhile: it is at revision {}", app.name(), app.revision);
                return Err(Fault::new(FaultKind::Conflict, message));
            }
            _ => {}
        }
        let front = match &before {
            Some(app) => app.front,
            None => self.free_door().await?,
        };
        let by = before.as_ref().map_or(principal, |app| &app.by).to_owned();
        let revision = before.as_ref().map_or(0, |app| app.revision) + 1;
        let mut app = DeployedApp { id, revision, spec, labels, bundle, by, at: crate::clock::wall(), front, run: String::new() };
        let read = app.read()?;
        let runs = read.wanted && !app.is_service_for_people();
        let submit = if runs {
            app.run = run_name(&app);
            // What cannot be run takes nothing away that is.
            let (control, of, principal) = (self.clone(), app.clone(), principal.to_owned());
            let submit =
                tokio::task::spawn_blocking(move || control.program_to_submit(control.program_of(&of, &read, principal)?));
            Some(submit.await.map_err(Fault::internal)??)
        } else {
            None
        };
        if let Some(before) = before.filter(|before| !before.run.is_empty()) {
            self.end_run(&before, principal).await?;
        }
        let command =
            Command::ApplyResource { kind: KIND.into(), name: app.name(), body: app.body(), principal: principal.to_owned() };
        self.inbox().ask(command).await?;
        if let Some(submit) = submit {
            self.submit_looked_at(submit).await?;
        }
        self.flyte().inner.apps.change.notify_one();
        Ok(app)
    }

    /// A port for the door of an app that has none.
    async fn free_door(&self) -> Result<u16, Fault> {
        let control = self.clone();
        let pick = tokio::task::spawn_blocking(move || {
            let rows = control.reader().resources(KIND, None, None).map_err(Fault::internal)?;
            control.flyte().inner.apps.door(&doors(&rows)).map_err(Fault::internal)
        });
        pick.await.map_err(Fault::internal)?
    }

    /// Gives an app another door: something else listens at the port that it had. Nothing happens when it has another already.
    pub async fn move_door(&self, id: &AppId, taken: u16) -> Result<(), Fault> {
        let _turn = self.flyte().inner.apps.changing.lock().await;
        let (control, wanted) = (self.clone(), id.clone());
        let mut app = tokio::task::spawn_blocking(move || control.app(&wanted)).await.map_err(Fault::internal)??;
        if app.front != taken {
            return Ok(());
        }
        app.front = self.free_door().await?;
        tracing::warn!(
            app = app.name(),
            taken,
            port = app.front,
            "something else listens at the port of an app: it has another now"
        );
        let principal = app.by.clone();
        let command = Command::ApplyResource { kind: KIND.into(), name: app.name(), body: app.body(), principal };
        self.inbox().ask(command).await?;
        Ok(())
    }

    /// Starts an app, or stops it.
    pub async fn want_app(&self, id: &AppId, runs: bool, principal: &str) -> Result<DeployedApp, Fault> {
        let (control, wanted) = (self.clone(), id.clone());
        let app = tokio::task::spawn_blocking(move || control.app(&wanted)).await.map_err(Fault::internal)??;
        let spec = apps::wanting(app.spec, runs);
        self.deploy_app(app.id, spec, app.labels, app.bundle, principal, Some(app.revision)).await
    }

    /// Stops an app and takes it away.
    pub async fn remove_app(&self, id: &AppId, principal: &str) -> Result<(), Fault> {
        let _turn = self.flyte().inner.apps.changing.lock().await;
        let (control, wanted) = (self.clone(), id.clone());
        let app = tokio::task::spawn_blocking(move || control.app(&wanted)).await.map_err(Fault::internal)??;
        if !app.run.is_empty() {
            self.end_run(&app, principal).await?;
        }
        let command = Command::DeleteResource { kind: KIND.into(), name: app.name(), principal: principal.to_owned() };
        self.inbox().ask(command).await?;
        self.flyte().inner.apps.change.notify_one();
        Ok(())
    }

    async fn end_run(&self, app: &DeployedApp, principal: &str) -> Result<(), Fault> {
        let (control, of) = (self.clone(), app.clone());
        let serving = tokio::task::spawn_blocking(move || control.serving(&of)).await.map_err(Fault::internal)??;
        if let Some((run, _)) = serving.filter(|(_, action)| action.finished_at.is_none()) {
            let reason = format!("the app `{}` was stopped or changed", app.name());
            self.inbox().ask(Command::Cancel { run, principal: principal.to_owned(), reason }).await?;
        }
        Ok(())
    }

    fn program_of(&self, app: &DeployedApp, read: &apps::App, principal: String) -> Result<Program, Fault> {
        let mut node = flyte::task::node(ROOT, &read.task).map_err(|why| Fault::new(FaultKind::Malformed, why.to_string()))?;
        node.retry = Retry { max: RETRY_ATTEMPTS_MAX, backoff_min: PAUSES.0, backoff_max: PAUSES.1, growth_percent: None };
        let AppId { org, project, domain, name } = app.id.clone();
        let call = Call {
            spec: self.flyte().keep_spec(&read.task.encode_to_vec())?,
            task: [org, project.clone(), domain.clone(), format!("app.{name}"), app.revision.to_string()],
            base: base_of(&project, &domain, &app.run),
            name: ROOT.into(),
            port: read.port,
            ..Call::default()
        };
        let key = format!("app/{}/{}", app.name(), app.revision);
        Ok(Program {
            name: app.run.clone(),
            project,
            domain,
            node,
            call,
            principal,
            idempotency_key: Some(key),
            run_labels: BTreeMap::from([("app".to_owned(), name)]),
            subject: None,
            reused: None,
        })
    }
}

/// Why an app is not up, without the words of its process, which may hold what not everybody may see.
fn why_of(failure: &Value, run: &str) -> String {
    let class = failure.get("class").and_then(Value::as_str).unwrap_or("unknown");
    let code = failure.get("exit_code").and_then(Value::as_i64).map(|code| format!(", exit code {code}")).unwrap_or_default();
    format!("its process ended ({class}{code}): `tutti describe run {run}` says more")
}

/// The name of the run that serves a revision of an app.
fn run_name(app: &DeployedApp) -> String {
    let of = Digest::of(format!("{}/{}", app.name(), app.revision).as_bytes()).hex();
    let name: String = app.id.name.chars().take(14).collect();
    format!("app-{}-{}", name.trim_end_matches('-'), &of[..10])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_given_a_port_that_somebody_has() {
        let folder = tempfile::tempdir().unwrap();
        let apps = Apps::open(folder.path()).unwrap();
        let key = |attempt| AttemptKey { run: RunId(7), action: ActionNo(1), attempt: AttemptNo(attempt) };
        // One is free as far as the system knows: its door is not open yet.
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let mut doors = BTreeSet::from([free]);
        let mut given = BTreeSet::new();
        for attempt in 1..=200 {
            let port = apps.port_of(key(attempt), &doors).unwrap();
            assert_eq!(apps.port_of(key(attempt), &doors).unwrap(), port, "it stays the same");
            assert!(!doors.contains(&port) && given.insert(port), "{port}");
            let door = apps.door(&doors).unwrap();
            assert!(!given.contains(&door) && doors.insert(door), "{door}");
        }
        apps.forget(key(1));
        assert_eq!(apps.known(key(1)), None);
    }
}
