//! Tasks of Flyte programs: from an order to a process at a site, and from what the process left to the outcome. The door that speaks
//! the protocol is in `api`.

mod triggers;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use artifacts::Store;
use engine::{Command, Dispatch, Outcome};
use executors::{AttemptSpec, Host, Reuse};
use flyte::process::{Environment, Surroundings};
use flyte::wire::TaskSpec;
use flyte::{Call, Objects};
use model::graph::Port;
use model::{AttemptKey, Digest, EgressGrant, Failure, FailureClass, Graph, Node, NodeKind, Template};
use parking_lot::{Mutex, RwLock};
use serde_json::{Value, json};

use crate::clock::random_bytes;
pub(crate) use triggers::call_of;
pub use triggers::{SAID, inputs_of_trigger};

use crate::runs::Submitted;
use crate::{ControlPlane, Fault, FaultKind};

/// The node that is the program itself. The client knows it by this name.
pub const ROOT: &str = "a0";
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
    environments: PathBuf,
    default_environment: Option<String>,
    /// The program that forks processes which have the SDK already.
    host: PathBuf,
    address: RwLock<String>,
    /// Where attempts that are under way write.
    attempts: Mutex<BTreeMap<AttemptKey, String>>,
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
}

impl Flyte {
    pub(crate) fn open(data: &Path, specs: Store) -> std::io::Result<Flyte> {
        let root = data.join("flyte");
        let objects = Objects::open(root.join("store"))?;
        let secret = objects.secret("secret", || Digest(random_bytes()).hex())?;
        let environments = root.join("environments");
        std::fs::create_dir_all(&environments)?;
        // Of this version of the server.
        let host = root.join("host.py");
        let beside = root.join("host.py.new");
        std::fs::write(&beside, flyte::process::HOST)?;
        std::fs::rename(&beside, &host)?;
        let inner = Inner {
            host: host.canonicalize()?,
            objects,
            secret,
            specs,
            environments: environments.canonicalize()?,
            default_environment: std::env::var(DEFAULT_ENVIRONMENT).ok().filter(|folder| !folder.is_empty()),
            address: RwLock::default(),
            attempts: Mutex::default(),
        };
        Ok(Flyte { inner: Arc::new(inner) })
    }

    /// The objects.
    pub fn objects(&self) -> &Objects {
        &self.inner.objects
    }

    /// The secret with which links and requests are signed.
    pub fn secret(&self) -> &str {
        &self.inner.secret
    }

    /// Where processes of this machine reach the server.
    pub(crate) fn listens_at(&self, address: &str) {
        *self.inner.address.write() = address.split(' ').next().unwrap_or_default().to_owned();
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

    /// An order for a task as one for a process, and the names of the secrets that it is to be given.
    pub(crate) fn process(
        &self,
        dispatch: &Dispatch,
        mut order: AttemptSpec,
    ) -> Result<(AttemptSpec, BTreeSet<String>), Failure> {
        let broken = |message: String| Failure::new(FailureClass::Environment, message);
        let Some(mut call) = Call::of(&order.input) else {
            return Err(broken("a `task` node calls a deployed Flyte task, and this one has none".into()));
        };
        let spec = self.spec(&call.spec).map_err(|fault| broken(fault.detail))?;
        let spec: TaskSpec = flyte::task::read(&spec).map_err(|unfit| broken(unfit.to_string()))?;
        self.check_environment(&spec)?;
        let names = &dispatch.names;
        if call.name == ROOT {
            // A run that repeats another has its inputs, and writes to a place of its own.
            call.base = flyte::uri(&format!("runs/{}/{}/{}", names.project, names.domain, names.name));
        }
        let access = format!("{}-{}", names.run, dispatch.path.replace(|c: char| !c.is_ascii_alphanumeric(), "-"));
        let secret = flyte::sign::secret_of(&self.inner.secret, &access);
        let at = Surroundings {
            endpoint: self.inner.address.read().clone(),
            access: (access, secret),
            environments: self.inner.environments.to_string_lossy().into_owned(),
            default_environment: self.inner.default_environment.clone(),
            run: names.name.clone(),
            project: names.project.clone(),
            domain: names.domain.clone(),
            attempt: dispatch.key.attempt.0,
        };
        order.input = flyte::process::input(&spec, &call, &at);
        order.host = self.host(&spec, &call, dispatch, &order.input);
        order.kind = NodeKind::Run { image: None, code: Vec::new() };
        order.outputs = Vec::new();
        // Programs of others expect the network and make their environments themselves; a site that requires walls gets them.
        order.unboxed = true;
        order.shown = vec![self.inner.environments.clone()];
        order.shown.extend(self.inner.default_environment.iter().map(PathBuf::from));
        self.inner.attempts.lock().insert(dispatch.key, call.outputs(at.attempt));
        let secrets = spec.task_template.as_ref().map(flyte::task::secrets).transpose();
        let secrets = secrets.map_err(|unfit| broken(unfit.to_string()))?.unwrap_or_default();
        Ok((order, secrets.into_values().collect()))
    }

    /// The way from a task to the server itself, which it needs for everything; none for what is no task.
    pub(crate) fn way(&self, dispatch: &Dispatch) -> Option<EgressGrant> {
        let NodeKind::Task { .. } = dispatch.node.kind else { return None };
        let address = self.inner.address.read();
        let (_, place) = address.split_once("://")?;
        let place = place.split('/').next().unwrap_or(place);
        place.parse().ok().map(|grant| EgressGrant { bytes_max: u64::MAX, ..grant })
    }

    /// How a process stands in that has the SDK already, where there is one of the environment.
    fn host(&self, spec: &TaskSpec, call: &Call, dispatch: &Dispatch, input: &Value) -> Option<Host> {
        let environment = |key: &str| input.get("env")?.get(key)?.as_str();
        let (kind, name) = (environment("TUTTI_FLYTE_KIND")?, environment("TUTTI_FLYTE_ENVIRONMENT")?);
        let folder = match kind {
            "at" => PathBuf::from(name),
            "named" => self.inner.environments.join(name),
            // One that is being made is used when it is there.
            _ => {
                let folder = self.inner.environments.join(format!("flyte-{}", if name.is_empty() { "latest" } else { name }));
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

    /// Refuses an image that no environment stands for, before a process is begun.
    fn check_environment(&self, spec: &TaskSpec) -> Result<(), Failure> {
        let container = spec.task_template.as_ref().and_then(|template| template.container.as_ref());
        let image = container.map(|container| container.image.as_str()).unwrap_or_default();
        let Environment::Named(name) = flyte::process::environment(image, "") else { return Ok(()) };
        let folder = self.inner.environments.join(&name);
        if folder.join("bin/python").exists() {
            return Ok(());
        }
        Err(no_environment(format!("no environment stands for the image `{image}`: make one in `{}`", folder.display())))
    }

    /// What the end of a process means: its program says that itself, in what it wrote.
    pub(crate) fn judge(&self, key: AttemptKey, outcome: Outcome) -> Outcome {
        let Some(outputs) = self.inner.attempts.lock().get(&key).cloned() else { return outcome };
        let failure = match outcome {
            Outcome::Aborted => return Outcome::Aborted,
            Outcome::Succeeded(_) => None,
            Outcome::Failed(failure) => Some(failure),
        };
        if failure.as_ref().is_some_and(|failure| !matches!(failure.class, FailureClass::User | FailureClass::Unknown)) {
            return Outcome::Failed(failure.unwrap_or_else(|| Failure::new(FailureClass::Unknown, "it failed")));
        }
        let error = flyte::key(&format!("{outputs}/error.pb")).and_then(|key| self.inner.objects.get(key).ok());
        match (error, failure) {
            (Some(document), _) => Outcome::Failed(flyte::ending::failure_of(&document)),
            (None, Some(failure)) if failure.exit_code == Some(NO_ENVIRONMENT) => {
                Outcome::Failed(no_environment(failure.message))
            }
            (None, Some(failure)) => Outcome::Failed(failure),
            (None, None) => Outcome::Succeeded(json!({ "output_uri": outputs })),
        }
    }

    /// The outcome of an attempt is durable.
    pub(crate) fn forget(&self, key: AttemptKey) {
        self.inner.attempts.lock().remove(&key);
    }
}

fn no_environment(message: String) -> Failure {
    let mut failure = Failure::new(FailureClass::Environment, message);
    failure.code = Some("InvalidImageName".into());
    failure.permanent = true;
    failure
}

/// The graph of a run that is one program. It is the same for every run of the same task.
fn graph_of(project: &str, mut node: Node) -> Arc<Graph> {
    let name = match &node.kind {
        NodeKind::Task { name } => name.clone(),
        _ => ROOT.into(),
    };
    node.id = ROOT.into();
    node.input = Template { json: Value::String("${ inputs.call }".into()), dynamic: true };
    let port = Port { name: "call".into(), schema: json!({}), default: None };
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
    /// Starts a Flyte program as a run.
    pub async fn submit_program(&self, program: Program) -> Result<Submitted, Fault> {
        let this = self.clone();
        let submit = tokio::task::spawn_blocking(move || this.program_to_submit(program));
        let submit = submit.await.map_err(Fault::internal)??;
        let answer = self.inbox().ask(Command::Submit(Box::new(submit))).await?;
        let run = answer.run.ok_or_else(|| Fault::new(FaultKind::Internal, "a submission made no run"))?;
        Ok(Submitted { run, fresh: answer.fresh })
    }
}
