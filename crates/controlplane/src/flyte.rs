//! Tasks of Flyte programs: from an order to a process at a site, and from what the process left to the outcome. The door that speaks
//! the protocol is in `api`.

mod apps;
mod artifacts;
mod calls;
mod files;
mod images;
mod labels;
mod notifying;
mod offline;
mod questions;
mod queues;
mod settings;
mod stores;
mod suspending;
mod triggers;
mod workflows;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::artifacts::Store;
use engine::{Command, Dispatch, Outcome, Submit};
use executors::{AttemptSpec, Host, Reuse};
use flyte::images::Images;
use flyte::process::Surroundings;
use flyte::seals::Seals;
use flyte::wire::TaskSpec;
use flyte::{Buckets, Call, Objects, Reach};
use model::graph::Port;
use model::{AttemptKey, Digest, EgressGrant, Failure, FailureClass, Graph, Node, NodeKind, Template};
use parking_lot::{Mutex, RwLock};
use serde_json::{Value, json};

use crate::clock::random_bytes;
pub(crate) use apps::DOORS_MAX;
pub use apps::{AppState, DeployedApp};
pub use artifacts::{ARTIFACT_EVENT, Version as ArtifactVersion};
pub use calls::cache_of_root;
pub(crate) use calls::{check_inputs, inputs_given, started_by};
use files::Called;
pub(crate) use files::given as artifacts_given;
use flyte::interface::Placed;
use images::no_environment;
pub use labels::{Asked, run_labels};
use notifying::spec_of;
pub(crate) use triggers::call_of;
pub use triggers::{SAID, inputs_of_trigger};
pub(crate) use workflows::ASKED_NODE;
pub use workflows::{AskedWorkflow, Registered as RegisteredWorkflow};

use crate::runs::Submitted;
use crate::{ControlPlane, Fault, FaultKind};

/// The node that is the program itself. The client knows it by this name.
pub const ROOT: &str = "a0";
/// The kind of resource that a deployed task is.
pub const TASKS: &str = "flyte-task";
/// The field of a deployed task that says that its files and tables are artifacts to the workflows that call it.
pub const TAKES_FILES: &str = "takes_files";
/// How the launcher says that there is no environment for the image.
const NO_ENVIRONMENT: i32 = 78;
/// The variable that names the environment of tasks whose image is everybody's.
const DEFAULT_ENVIRONMENT: &str = "TUTTI_FLYTE_VENV";

/// What Flyte programs need beside the engine. Cheap to clone.
#[derive(Clone)]
pub struct Flyte {
    inner: Arc<Inner>,
}

struct Inner {
    objects: Objects,
    secret: String,
    /// Specifications of tasks, by digest.
    specs: Store,
    images: Images,
    default_environment: Option<String>,
    /// The program that forks processes which have the SDK already.
    host: PathBuf,
    /// The program that builds images.
    builder: PathBuf,
    address: RwLock<String>,
    /// Where processes of programs reach the server.
    inside: RwLock<String>,
    /// What attempts that are under way may touch.
    attempts: Mutex<BTreeMap<AttemptKey, Open>>,
    /// Held while a label is joined to the one that is kept, or one of two would be lost.
    labels: Mutex<()>,
    /// Those that an earlier server ordered.
    outlived: Mutex<BTreeSet<AttemptKey>>,
    /// Runs whose end somebody is to be told.
    told: notifying::Told,
    /// A version of an artifact was registered.
    artifacts: tokio::sync::Notify,
    apps: apps::Apps,
    /// Held while a question of the SDK's plugin is given its name: two in the same words are two.
    questions: Mutex<()>,
    /// Held while settings are changed: what is written was looked at before.
    settings: tokio::sync::Mutex<()>,
}

/// An attempt that is under way.
struct Open {
    reach: Arc<Reach>,
    /// Where it runs.
    site: String,
    /// The node of a workflow that calls it, which wants values and not where they lie.
    called: Option<Called>,
    /// Whether its outputs may say that they are artifacts.
    produces: bool,
    /// Whether it serves an app.
    is_app: bool,
    /// How long it waits for people before its process is let go; none when it keeps it.
    suspends_after: Option<model::Duration>,
    /// Whether its data carry more by now than is kept beside its objects.
    is_unkept: bool,
    /// Why the store of its site could not be used when it was last asked for something.
    away: Option<String>,
}

/// An order for a process, and what comes with it.
pub(crate) struct Prepared {
    pub(crate) order: AttemptSpec,
    /// The names of the secrets that it is to be given.
    pub(crate) secrets: BTreeSet<String>,
    /// Whether it installs packages: it builds an image, or makes the environment that it needs.
    pub(crate) installs: bool,
}

/// A Flyte program to be run.
#[derive(Clone, Debug)]
pub struct Program {
    /// The name of the run.
    pub name: String,
    /// The project.
    pub project: String,
    /// The domain.
    pub domain: String,
    /// The task.
    pub node: Node,
    /// What it is given.
    pub call: Call,
    /// Who asks.
    pub principal: String,
    /// The client's key.
    pub idempotency_key: Option<String>,
    /// What whoever starts it puts on it to find it again: values by key.
    pub run_labels: BTreeMap<String, String>,
    /// Whom it is about.
    pub subject: Option<String>,
    /// What an earlier run gave, which is taken instead of running it.
    pub reused: Option<Value>,
}

impl Flyte {
    pub(crate) fn open(
        data: &Path,
        specs: Store,
        seals: Option<Seals>,
        stores: Option<Arc<dyn Buckets>>,
    ) -> std::io::Result<Flyte> {
        let root = data.join("flyte");
        let objects = Objects::open(root.join("store"), seals)?;
        let objects = match stores {
            Some(stores) => objects.with_stores(stores)?,
            None => objects,
        };
        let secret = objects.secret("secret", || Digest(random_bytes()).hex())?;
        let images = Images::open(&root)?;
        // Of this version of the server.
        let host = root.join("host.py");
        let builder = root.join("build_image.py");
        for (path, text) in [(&host, flyte::process::HOST), (&builder, flyte::images::BUILDER)] {
            let beside = path.with_extension("py.new");
            std::fs::write(&beside, text)?;
            std::fs::rename(&beside, path)?;
        }
        let inner = Inner {
            host: host.canonicalize()?,
            builder: builder.canonicalize()?,
            objects,
            secret,
            specs,
            images,
            default_environment: std::env::var(DEFAULT_ENVIRONMENT).ok().filter(|folder| !folder.is_empty()),
            address: RwLock::default(),
            inside: RwLock::default(),
            attempts: Mutex::default(),
            labels: Mutex::default(),
            outlived: Mutex::default(),
            told: notifying::Told::open(&root)?,
            artifacts: tokio::sync::Notify::new(),
            apps: apps::Apps::open(&root)?,
            questions: Mutex::default(),
            settings: tokio::sync::Mutex::default(),
        };
        Ok(Flyte { inner: Arc::new(inner) })
    }

    /// Attempts that an earlier server ordered: their processes may have lived through a time without any, and those that this one begins may
    /// begin before it listens.
    pub(crate) fn outlived(&self, attempts: &BTreeSet<AttemptKey>) {
        self.inner.outlived.lock().clone_from(attempts);
    }

    /// The objects.
    pub fn objects(&self) -> &Objects {
        &self.inner.objects
    }

    /// What objects are sealed with, where there are keys.
    pub(crate) fn seals(keys: Option<&keyring::Keyring>, reader: &journal::Reader) -> Option<Seals> {
        let (keys, reader) = (keys?.clone(), reader.clone());
        let run_of = move |project: &str, domain: &str, name: &str| {
            Some(reader.find_run(project, domain, Some(name), None).ok()?.by_name?.0)
        };
        Some(Seals::new(keys, Arc::new(run_of)))
    }

    /// Removes what a run wrote and passed on. Code that was uploaded for it stays.
    pub(crate) fn erase(&self, run: &journal::RunRow) -> std::io::Result<()> {
        self.inner.objects.delete_below(&questions::folder_of(&run.project, &run.domain, &run.name))?;
        self.inner.objects.delete_below(&run_key(&run.project, &run.domain, &run.name))
    }

    /// The secret with which links and requests are signed.
    pub fn secret(&self) -> &str {
        &self.inner.secret
    }

    /// Where processes of this machine reach the server.
    pub(crate) fn listens_at(&self, address: &str) {
        let address = address.split(' ').next().unwrap_or_default();
        *self.inner.address.write() = address.to_owned();
        self.programs_call(address);
    }

    /// Where processes of programs reach the server.
    pub(crate) fn programs_call(&self, address: &str) {
        *self.inner.inside.write() = address.to_owned();
    }

    /// Where processes of this machine reach the server.
    pub fn address(&self) -> String {
        self.inner.address.read().clone()
    }

    /// Keeps a specification; gives its name.
    pub fn keep_spec(&self, bytes: &[u8]) -> Result<String, Fault> {
        let put = self.inner.specs.put_bytes(bytes).map_err(Fault::internal)?;
        Ok(put.digest.to_string())
    }

    /// A specification, as it was sent.
    pub fn spec(&self, name: &str) -> Result<Vec<u8>, Fault> {
        use std::io::Read as _;
        let digest: Digest = name.parse().map_err(|_| Fault::internal("not the name of a specification"))?;
        let mut bytes = Vec::new();
        let read = self.inner.specs.open(&digest).map_err(Fault::internal)?.read_to_end(&mut bytes);
        read.map_err(Fault::internal)?;
        Ok(bytes)
    }

    /// An order for a task as one for a process. Artifacts that it is given lie where `placed` says.
    pub(crate) fn process(
        &self,
        dispatch: &Dispatch,
        mut order: AttemptSpec,
        placed: &Placed,
        (reader, is_governed): (&journal::Reader, bool),
    ) -> Result<Prepared, Failure> {
        let broken = |message: String| Failure::new(FailureClass::Environment, message);
        let own = Some(&order.input).filter(|_| calls::comes_from_a_program(&dispatch.node, &dispatch.path));
        let (mut call, called) = match own.and_then(Call::of) {
            Some(call) => (call, None),
            None => self.call_of_node(dispatch, &order.input, placed, reader).map(|(call, called)| (call, Some(called)))?,
        };
        let spec = self.spec(&call.spec).map_err(|fault| broken(fault.detail))?;
        let spec: TaskSpec = flyte::task::read(&spec).map_err(|unfit| broken(unfit.to_string()))?;
        let names = &dispatch.names;
        self.check_environment(&spec, &names.project)?;
        let builds = flyte::images::runs_the_builder(&spec, &self.inner.builder);
        if builds {
            // Whoever asks for an image says what it is made of, and not how pip and uv work.
            call.envs.clear();
        }
        if call.name == ROOT {
            // A run that repeats another has its inputs, and writes to a place of its own.
            call.base = base_of(&names.project, &names.domain, &names.name);
        }
        let access = dispatch.key.to_string();
        let secret = flyte::sign::secret_of(&self.inner.secret, &access);
        let at = Surroundings {
            endpoint: self.inner.inside.read().clone(),
            // Where nobody needs one, processes that are kept go on with the connections they have. By rules about data who asks has to be known: what
            // it could read goes on with what it starts.
            token: match reader.resources("token", None, None).map_err(|error| broken(error.to_string()))?.is_empty() {
                true if !is_governed => None,
                _ => Some(flyte::sign::token_of(&self.inner.secret, &access)),
            },
            access: (access, secret),
            environments: self.inner.images.environments().to_string_lossy().into_owned(),
            default_environment: self.inner.default_environment.clone(),
            run: names.name.clone(),
            project: names.project.clone(),
            domain: names.domain.clone(),
            attempt: dispatch.key.attempt.0,
        };
        order.input = flyte::process::input(&spec, &call, &at);
        let early = self.prepare_environment(&spec, &mut order.input);
        let is_app = call.port != 0;
        let suspends_after = flyte::process::suspends_after(&order.input);
        let suspends_after = suspends_after
            .map_err(|message| Failure { permanent: true, ..Failure::new(FailureClass::User, message) })?
            .filter(|_| !is_app);
        if is_app {
            self.give_port(dispatch.key, &call, &mut order.input, reader)?;
        }
        order.host = self.host(&spec, &call, dispatch, &order.input).filter(|_| !early);
        order.kind = NodeKind::Run { image: None, code: Vec::new() };
        order.outputs = Vec::new();
        self.show(&mut order);
        // Whoever calls an app comes from outside, and nobody gets into a network of its own.
        order.unboxed = is_app;
        let makes = match builds {
            true => self.prepare_build(&mut order, &call, &names.project).map(|()| true)?,
            false => self.let_make(&mut order).map_err(|error| broken(format!("its environment: {error}")))?,
        };
        let secrets = spec.task_template.as_ref().map(flyte::task::secrets).transpose();
        let secrets = secrets.map_err(|unfit| broken(unfit.to_string()))?.unwrap_or_default();
        let reach = Reach {
            project: at.project,
            domain: at.domain,
            base: call.base,
            name: call.name,
            attempt: at.attempt,
            inputs: call.inputs,
            label: dispatch.label.clone(),
            by: call.by,
            site: dispatch.site.clone(),
        };
        self.note_label(&reach, &reach.name).map_err(|error| broken(error.to_string()))?;
        let produces = spec.task_template.as_ref().and_then(|template| template.metadata.as_ref());
        let produces = produces.is_some_and(|metadata| metadata.produces_artifacts);
        let (reach, site) = (Arc::new(reach), dispatch.site.clone());
        let open = Open { reach, site, called, produces, is_app, suspends_after, is_unkept: false, away: None };
        self.inner.attempts.lock().insert(dispatch.key, open);
        Ok(Prepared { order, secrets: secrets.into_values().collect(), installs: makes })
    }

    /// The ways from a task to the server itself, which it needs for everything, and to the doors of its apps; none for what is no task. Blocks for a
    /// look at what is kept.
    pub(crate) fn ways(&self, dispatch: &Dispatch, reader: &journal::Reader) -> BTreeSet<EgressGrant> {
        let NodeKind::Task { .. } = dispatch.node.kind else { return BTreeSet::new() };
        let mut ways = apps::ways(&dispatch.names, reader);
        let address = self.inner.inside.read();
        let place = address.split_once("://").and_then(|(_, place)| place.split('/').next()?.parse().ok());
        ways.extend(place.map(|grant: EgressGrant| EgressGrant { bytes_max: u64::MAX, ..grant }));
        ways
    }

    /// Shows a process the environments.
    fn show(&self, order: &mut AttemptSpec) {
        order.shown = vec![self.inner.images.environments().to_owned()];
        order.shown.extend(self.inner.default_environment.iter().map(PathBuf::from));
        // What a process of such a program starts in its own way begins with the file that it was forked from.
        order.shown.push(self.inner.host.clone());
    }

    /// A task that needs an environment which is not there makes it. True then.
    fn let_make(&self, order: &mut AttemptSpec) -> std::io::Result<bool> {
        let Some(folder) = self.to_be_made(&order.input) else { return Ok(false) };
        std::fs::create_dir_all(&folder)?;
        order.writable = vec![folder];
        order.shown.extend(flyte::images::files_of_pip(&BTreeMap::new()));
        Ok(true)
    }

    /// The folder of an environment that the first who needs it makes; none when it is there, or nobody does.
    fn to_be_made(&self, input: &Value) -> Option<PathBuf> {
        let environment = |key: &str| input.get("env")?.get(key)?.as_str();
        let folder = self.plain_environment(environment("TUTTI_FLYTE_ENVIRONMENT")?);
        (environment("TUTTI_FLYTE_KIND") == Some("plain") && !folder.join(".ready").exists()).then_some(folder)
    }

    /// Where the environment with the SDK of a version and nothing else is.
    fn plain_environment(&self, version: &str) -> PathBuf {
        self.inner.images.environments().join(format!("flyte-{}", if version.is_empty() { "latest" } else { version }))
    }

    /// How a process stands in that has the SDK already, where there is one of the environment.
    fn host(&self, spec: &TaskSpec, call: &Call, dispatch: &Dispatch, input: &Value) -> Option<Host> {
        let environment = |key: &str| input.get("env")?.get(key)?.as_str();
        let (kind, name) = (environment("TUTTI_FLYTE_KIND")?, environment("TUTTI_FLYTE_ENVIRONMENT")?);
        let folder = match kind {
            "at" => PathBuf::from(name),
            "named" => self.inner.images.environments().join(name),
            // One that is being made is used when it is there.
            _ => {
                let folder = self.plain_environment(name);
                folder.join(".ready").exists().then_some(folder)?
            }
        };
        let names = &dispatch.names;
        let label = dispatch.label.to_string();
        let hosted = flyte::process::hosted(spec, call, input, &[&names.project, &names.domain, &label], &names.name)?;
        let text = |path: &Path| path.to_string_lossy().into_owned();
        Some(Host {
            program: vec![text(&folder.join("bin/python")), text(&self.inner.host), "nursery".into()],
            arguments: hosted.arguments,
            reuse: hosted.reuse.map(|(key, keep, idle)| Reuse { key, keep, idle }),
        })
    }

    /// What the end of a process means: its program says that itself, in what it wrote.
    pub(crate) fn judge(&self, key: AttemptKey, outcome: Outcome) -> Outcome {
        let known = self.inner.attempts.lock().get(&key).map(|open| (open.reach.outputs(), open.is_app, open.away.clone()));
        let outlived = self.inner.outlived.lock().contains(&key);
        let Some((outputs, is_app, away)) = known else { return outcome };
        if is_app {
            return apps::judge(outcome);
        }
        let failure = match outcome {
            Outcome::Aborted => return Outcome::Aborted,
            Outcome::Succeeded(_) => None,
            Outcome::Failed(failure) => Some(failure),
        };
        if failure.as_ref().is_some_and(|failure| !matches!(failure.class, FailureClass::User | FailureClass::Unknown)) {
            return Outcome::Failed(failure.unwrap_or_else(|| Failure::new(FailureClass::Unknown, "it failed")));
        }
        let error = flyte::key(&format!("{outputs}/error.pb")).and_then(|key| self.inner.objects.get(key).ok());
        let failure = match (error, failure) {
            (Some(document), _) => without_server(outlived, flyte::ending::failure_of(&document)),
            (None, Some(failure)) if failure.exit_code == Some(NO_ENVIRONMENT) => no_environment(failure.message),
            (None, Some(failure)) => without_server(outlived, failure),
            (None, None) => return Outcome::Succeeded(json!({ "output_uri": outputs })),
        };
        Outcome::Failed(stores::without_store(away, failure))
    }

    /// The outcome of an attempt is durable.
    pub(crate) fn forget(&self, key: AttemptKey) {
        self.inner.outlived.lock().remove(&key);
        if self.inner.attempts.lock().remove(&key).is_some_and(|open| open.is_app) {
            self.inner.apps.forget(key);
        }
    }
}

/// A program that needs the server for its inputs and for its account of an error, and had none for a while, is not to blame when it ends
/// without such an account, or with one that blames the system.
fn without_server(outlived: bool, failure: Failure) -> Failure {
    let is_account = matches!(failure.class, FailureClass::User | FailureClass::Oom) && failure.exit_code.is_none();
    if is_account || !outlived {
        return failure;
    }
    let message = format!("the task ended after the server was away: {}", failure.message());
    Failure { exit_code: failure.exit_code, ..Failure::new(FailureClass::NodeLost, message) }
}

/// The address below which outputs of a run go.
pub fn base_of(project: &str, domain: &str, run: &str) -> String {
    flyte::uri(&run_key(project, domain, run))
}

/// The key below which objects of a run lie.
pub fn run_key(project: &str, domain: &str, run: &str) -> String {
    format!("runs/{project}/{domain}/{run}")
}

/// The graph of a run that is one program. It is the same for every run of the same task.
fn graph_of(project: &str, mut node: Node) -> Arc<Graph> {
    let call = || Template { json: Value::String(calls::GIVEN.into()), dynamic: true };
    let (name, input) = match &node.kind {
        NodeKind::Workflow { graph } => (workflows::name_in(project, &graph.workflow).to_owned(), workflows::given(graph)),
        NodeKind::Task { name } => (name.clone(), call()),
        _ => (ROOT.into(), call()),
    };
    (node.id, node.input) = (ROOT.into(), input);
    let port = Port { name: calls::CALL.into(), schema: json!({}), default: None };
    let outputs = Template { json: Value::String(format!("${{ nodes.{ROOT} }}")), dynamic: true };
    Arc::new(Graph {
        workflow: format!("{project}/{name}"),
        description: "A Flyte program.".into(),
        inputs: vec![port],
        nodes: vec![node],
        outputs,
        ..Graph::default()
    })
}

impl ControlPlane {
    /// Begins what goes on beside the runs of programs, for as long as the process lives.
    pub(crate) fn look_after_programs(&self) {
        self.start_task(self.clone().tell_of_ends());
        self.start_task(self.clone().run_artifact_triggers());
        self.start_task(self.clone().watch_apps());
        self.start_task(self.clone().let_go_of_waiting());
        self.start_task(self.clone().clear_stores());
    }

    /// What an attempt may touch; none when it is not under way. What its data carry by now is kept, or this fails. Blocks.
    pub fn flyte_reach(&self, key: AttemptKey) -> Result<Option<Arc<Reach>>, Fault> {
        self.flyte().keep_grown(key.run, key.action).map_err(Fault::internal)?;
        if let Some(open) = self.flyte().inner.attempts.lock().get(&key) {
            return Ok(Some(open.reach.clone()));
        }
        // A server that was just started has not ordered it again yet.
        let filter = journal::ActionFilter { from: key.action.0, limit: 1, phase: None };
        let row = self.reader().actions(key.run, &filter).map_err(Fault::internal)?.pop();
        let open = |row: &journal::ActionRow| row.no == key.action.0 && row.finished_at.is_none() && row.attempt == key.attempt.0;
        let Some(row) = row.filter(open) else { return Ok(None) };
        let Some(run) = self.reader().run(key.run).map_err(Fault::internal)? else { return Ok(None) };
        let call = match self.call_of_row(&run, &row)? {
            Some(call) => call,
            None if row.kind == engine::event::ActionKind::Task => {
                calls::node_call(&run.project, &run.domain, &run.name, &row.path)
            }
            None => return Ok(None),
        };
        let base = match call.name.as_str() {
            ROOT => base_of(&run.project, &run.domain, &run.name),
            _ => call.base,
        };
        let label = self.flyte().label_of(flyte::key(&base).unwrap_or_default(), &call.name).map_err(Fault::internal)?;
        let reach = Reach {
            project: run.project,
            domain: run.domain,
            base,
            name: call.name,
            attempt: row.attempt,
            inputs: call.inputs,
            label,
            by: call.by,
            site: row.site.unwrap_or_default(),
        };
        Ok(Some(Arc::new(reach)))
    }

    /// Starts a Flyte program as a run.
    pub async fn submit_program(&self, program: Program) -> Result<Submitted, Fault> {
        let this = self.clone();
        let submit = tokio::task::spawn_blocking(move || this.program_to_submit(program));
        self.submit_looked_at(submit.await.map_err(Fault::internal)??).await
    }

    /// Starts a Flyte program that was looked at.
    async fn submit_looked_at(&self, submit: Submit) -> Result<Submitted, Fault> {
        let given = crate::erasing::given(&submit.inputs);
        let answer = self.inbox().ask(Command::Submit(Box::new(submit))).await?;
        self.flyte().submitted();
        let run = answer.run.ok_or_else(|| Fault::new(FaultKind::Internal, "a submission made no run"))?;
        if answer.fresh && self.keys().is_some() && !given.is_empty() {
            // Nobody waits for it: whoever erases the run takes what it was given first.
            let this = self.clone();
            tokio::task::spawn_blocking(move || {
                if let Err(fault) = this.take_artifacts(run, &given) {
                    tracing::warn!(%run, %fault, "that a run holds its inputs could not be noted");
                }
            });
        }
        Ok(Submitted { run, fresh: answer.fresh })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_ends_without_a_server_is_not_to_blame_unless_it_says_so_itself() {
        let crashed = || Failure { exit_code: Some(1), ..Failure::new(FailureClass::User, "it crashed") };
        let system = || Failure::new(FailureClass::Environment, "its inputs could not be read");
        for failure in [crashed(), system()] {
            assert_eq!(without_server(true, failure.clone()).class, FailureClass::NodeLost);
            assert_eq!(without_server(false, failure.clone()), failure);
        }
        let own = Failure { code: Some("ValueError".into()), ..Failure::new(FailureClass::User, "no") };
        assert_eq!(without_server(true, own.clone()), own);
    }
}
