//! Starting, following, steering and repeating runs.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use api::rest::views::{ApplyResult, ReasonRequest, RerunRequest, ResourceView, RunView, SignalRequest, SubmitRequest};
use model::Digest;
use serde_json::{Map, Value, json};

use crate::cli::Door;
use crate::client::Client;
use crate::failure::{CommandError, Exit};
use crate::in_process::Need;
use crate::inputs;
use crate::names::{self, Kind, resource_path, run_path};
use crate::output::{self, Form, Format};
use crate::progress::{self, Until};
use crate::session::{self, Session};
use crate::sources;

/// Start a run of a registered workflow, or of a workflow file.
///
/// With --wait the exit code says how it ended: 0 succeeded, 1 failed, 3 refused by a policy, 4 it waits for a person and for nothing else.
/// When no server runs, the same engine runs in this process, on the data directory, and the command waits in any case.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  tutti run bank/fraud-model --input rows=1000 --wait\n  tutti run greet.workflow.yaml --input name=Ada --wait -o json\n  tutti run bank/score --input data=@accounts.csv --inputs rest.json"
)]
pub(crate) struct Run {
    /// A registered workflow, or a file (`*.yaml`), which is registered first.
    #[arg(value_name = "NAME|FILE")]
    workflow: String,
    /// An input: `k=text`, `k=JSON`, or `k=@file` for a file that is uploaded.
    #[arg(short, long = "input", value_name = "K=V")]
    input: Vec<String>,
    /// A file with inputs, JSON or YAML.
    #[arg(long, value_name = "FILE")]
    inputs: Option<PathBuf>,
    /// Wait for the end, and show how it goes.
    #[arg(short, long)]
    wait: bool,
    /// The name of the run; the server makes one when there is none.
    #[arg(long)]
    name: Option<String>,
    /// The version of the workflow; the latest when there is none.
    #[arg(long, value_name = "NUMBER")]
    workflow_version: Option<u64>,
    /// The project; taken from the workflow's name when there is none.
    #[arg(long)]
    project: Option<String>,
    /// development (the default), staging or production.
    #[arg(long)]
    domain: Option<String>,
    /// Larger is placed first.
    #[arg(long, value_name = "NUMBER", default_value_t = 0, allow_negative_numbers = true)]
    priority: i32,
    /// Whom it is about: `tutti erase --subject` erases all runs about one.
    #[arg(long, value_name = "NAME")]
    subject: Option<String>,
    /// In what time it should be done, such as `2h`; as the workflow says when there is none. Nothing is stopped when that passes.
    #[arg(long, value_name = "DURATION")]
    deadline: Option<model::Duration>,
    /// The same key again gives the same run.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// The site that stores uploaded files.
    #[arg(long, value_name = "SITE")]
    upload_to: Option<String>,
    #[command(flatten)]
    form: Form,
}

impl Run {
    /// Starts it.
    pub(crate) async fn run(mut self, door: &Door) -> Result<Exit, CommandError> {
        // What follows may begin anew when another command's engine goes away; the run is started once, also when its answer was lost.
        self.idempotency_key.get_or_insert_with(|| Digest(controlplane::random_bytes()).hex());
        let started = RefCell::new(None);
        session::with(door, Need::Change, async |session| {
            let known = started.borrow().clone();
            let run = match known {
                Some(run) => run,
                None => {
                    let run = self.start(&session.client).await.map_err(CommandError::may_be_asked_again)?;
                    started.replace(Some(run.clone()));
                    run
                }
            };
            // What is left is looking at it.
            let finished = finish(session, run, self.wait, self.form.output).await;
            if session.is_fleeting() { finished.map_err(CommandError::may_be_asked_again) } else { finished }
        })
        .await
    }

    async fn start(&self, client: &Client) -> Result<RunView, CommandError> {
        let request = self.request(client).await?;
        match client.post("/api/v1/runs", &request).await {
            Ok(run) => Ok(run),
            Err(error) => Err(names::suggest(client, Kind::Workflow, &request.workflow, error).await),
        }
    }

    async fn request(&self, client: &Client) -> Result<SubmitRequest, CommandError> {
        let workflow = self.registered(client).await?;
        let mut given = Map::new();
        if let Some(path) = &self.inputs {
            given = inputs::from_file(path)?;
        }
        if !self.input.is_empty() {
            let resource: ResourceView = match client.get(&resource_path(Kind::Workflow, &workflow)).await {
                Ok(resource) => resource,
                Err(error) => return Err(names::suggest(client, Kind::Workflow, &workflow, error).await),
            };
            let schema = |key: &str| {
                let port = resource.body["inputs"].as_array()?.iter().find(|port| port["name"] == key)?;
                Some(port["schema"].clone())
            };
            given.extend(inputs::from_pairs(&self.input, schema, client, self.upload_to.as_deref()).await?);
        }
        Ok(SubmitRequest {
            workflow,
            version: self.workflow_version,
            inputs: given,
            subject: self.subject.clone(),
            name: self.name.clone(),
            project: self.project.clone(),
            domain: self.domain.clone(),
            priority: self.priority,
            deadline_s: self.deadline.map(|within| within.0.div_ceil(1_000_000)),
            idempotency_key: self.idempotency_key.clone(),
        })
    }

    /// The registered workflow's name; a file is registered first.
    async fn registered(&self, client: &Client) -> Result<String, CommandError> {
        let path = Path::new(&self.workflow);
        if !sources::is_document(path) {
            return Ok(self.workflow.clone());
        }
        let result: ApplyResult = client.post("/api/v1/apply", &sources::read(&[path.to_path_buf()])?).await?;
        eprint!("{}", result.rendered);
        let mut workflows = result.applied.iter().filter(|applied| applied.kind == "workflow");
        match (workflows.next(), workflows.next()) {
            (Some(one), None) => Ok(one.name.clone()),
            (None, _) => Err(CommandError::usage(format!("`{}` holds no workflow", self.workflow))),
            _ => Err(CommandError::usage(format!("`{}` holds several workflows", self.workflow))
                .hint("`tutti apply -f` it, then run one by its name")),
        }
    }
}

/// Waits for a run when that is wanted, or when nobody else would carry it on, and prints it.
pub(crate) async fn finish(session: &Session, run: RunView, wait: bool, form: Format) -> Result<Exit, CommandError> {
    let (mut run, mut exit) = (run, Exit::Done);
    if wait || session.is_local() || session.is_fleeting() {
        (run, exit) = progress::follow(session, &run.name, Until::People).await?;
    }
    match form {
        Format::Name => output::write(&format!("{}\n", run.name))?,
        Format::Table => {
            output::list(std::slice::from_ref(&run), Format::Table, "")?;
            if let Some(outputs) = run.outputs.filter(|outputs| outputs.as_object().is_some_and(|fields| !fields.is_empty())) {
                let lines: String = output::to_yaml(&outputs).lines().map(|line| format!("  {line}\n")).collect();
                output::write(&format!("\noutputs:\n{lines}"))?;
            }
        }
        form => output::value(&json!({"name": run.name, "phase": run.phase}), form)?,
    }
    Ok(exit)
}

/// Show how a run goes, until its end.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tutti watch fraud-model-7")]
pub(crate) struct Watch {
    /// The run.
    run: String,
    #[command(flatten)]
    form: Form,
}

impl Watch {
    /// Watches.
    pub(crate) async fn run(self, door: &Door) -> Result<Exit, CommandError> {
        session::with(door, Need::Change, async |session| {
            let (run, exit) = progress::follow(session, &self.run, Until::End).await?;
            if exit != Exit::Interrupted {
                output::one(&run, self.form.output)?;
            }
            Ok(exit)
        })
        .await
    }
}

/// Gives an order to a run. What follows from it is carried on here when there is no server.
async fn steer<B: serde::Serialize>(
    door: &Door,
    run: &str,
    order: &str,
    body: Option<&B>,
    form: Format,
) -> Result<Exit, CommandError> {
    session::with(door, Need::Change, async |session| {
        let path = format!("{}/{order}", run_path(run));
        let ordered = match body {
            Some(body) => session.client.post(&path, body).await,
            None => session.client.order(&path).await,
        };
        let mut view: RunView = match ordered {
            Ok(view) => view,
            Err(error) => return Err(names::suggest(&session.client, Kind::Run, run, error).await),
        };
        if session.is_local() && order != "pause" {
            (view, _) = progress::follow(session, &view.name, Until::People).await?;
        }
        output::one(&view, form)?;
        Ok(Exit::Done)
    })
    .await
}

/// Stop a run, and undo what can be undone.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tutti cancel fraud-model-7 --reason 'wrong month'")]
pub(crate) struct Cancel {
    /// The run.
    run: String,
    /// Why; it is kept with the run.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,
    #[command(flatten)]
    form: Form,
}

impl Cancel {
    /// Cancels.
    pub(crate) async fn run(self, door: &Door) -> Result<Exit, CommandError> {
        let request = ReasonRequest { reason: self.reason };
        steer(door, &self.run, "cancel", Some(&request), self.form.output).await
    }
}

/// Hold a run: nothing new of it starts.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tutti pause fraud-model-7")]
pub(crate) struct Pause {
    /// The run.
    run: String,
    #[command(flatten)]
    form: Form,
}

impl Pause {
    /// Holds.
    pub(crate) async fn run(self, door: &Door) -> Result<Exit, CommandError> {
        steer(door, &self.run, "pause", None::<&()>, self.form.output).await
    }
}

/// Go on with a run that is held.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tutti resume fraud-model-7")]
pub(crate) struct Resume {
    /// The run.
    run: String,
    #[command(flatten)]
    form: Form,
}

impl Resume {
    /// Goes on.
    pub(crate) async fn run(self, door: &Door) -> Result<Exit, CommandError> {
        steer(door, &self.run, "resume", None::<&()>, self.form.output).await
    }
}

/// Send a signal to a run. It is kept until a `wait` node asks for it.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  tutti signal fraud-model-7 go\n  tutti signal fraud-model-7 price --payload '{\"eur\": 12.5}'"
)]
pub(crate) struct Signal {
    /// The run.
    run: String,
    /// The name of the signal.
    signal: String,
    /// What comes with it: a JSON object.
    #[arg(long, value_name = "JSON")]
    payload: Option<String>,
    #[command(flatten)]
    form: Form,
}

impl Signal {
    /// Sends it.
    pub(crate) async fn run(self, door: &Door) -> Result<Exit, CommandError> {
        let payload = match &self.payload {
            Some(text) => serde_json::from_str(text).map_err(|error| {
                CommandError::usage(format!("`--payload` is not JSON: {error}")).hint("--payload '{\"k\": 1}'")
            })?,
            None => Value::Null,
        };
        let request = SignalRequest { name: self.signal, payload };
        steer(door, &self.run, "signal", Some(&request), self.form.output).await
    }
}

/// Repeat a run as a new one, from a node on.
///
/// What runs is the node, what reads an input that is changed, what did not succeed, and everything behind; the rest is taken over.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  tutti rerun fraud-model-7 --from train --wait\n  tutti rerun fraud-model-7 --input rows=5000"
)]
pub(crate) struct Rerun {
    /// The run.
    run: String,
    /// The node to begin with; may be given several times.
    #[arg(long, value_name = "NODE")]
    from: Vec<String>,
    /// An input to change: `k=text`, `k=JSON` or `k=@file`.
    #[arg(short, long = "input", value_name = "K=V")]
    input: Vec<String>,
    /// Wait for the end, and show how it goes.
    #[arg(short, long)]
    wait: bool,
    #[command(flatten)]
    form: Form,
}

impl Rerun {
    /// Repeats.
    pub(crate) async fn run(self, door: &Door) -> Result<Exit, CommandError> {
        session::with(door, Need::Change, async |session| {
            let before = names::run(&session.client, &self.run, "?actions=1").await?;
            let given = before.inputs.as_ref();
            // A text stays a text where the run had one.
            let schema = |key: &str| given?.get(key).filter(|value| value.is_string()).map(|_| json!({"type": "string"}));
            let inputs = inputs::from_pairs(&self.input, schema, &session.client, None).await?;
            let request = RerunRequest { from: self.from.clone(), inputs };
            repeat(session, &self.run, &request, self.wait, self.form.output).await
        })
        .await
    }
}

async fn repeat(session: &Session, run: &str, request: &RerunRequest, wait: bool, form: Format) -> Result<Exit, CommandError> {
    let again: RunView = session.client.post(&format!("{}/rerun", run_path(run)), request).await?;
    finish(session, again, wait, form).await
}

/// Repeat what did not succeed in a run that failed, as a new run.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tutti retry fraud-model-7 --wait")]
pub(crate) struct Retry {
    /// The run.
    run: String,
    /// Wait for the end, and show how it goes.
    #[arg(short, long)]
    wait: bool,
    #[command(flatten)]
    form: Form,
}

impl Retry {
    /// Repeats.
    pub(crate) async fn run(self, door: &Door) -> Result<Exit, CommandError> {
        session::with(door, Need::Change, async |session| {
            let before = names::run(&session.client, &self.run, "?actions=1").await?;
            let conflict = |detail: String| controlplane::Fault::new(controlplane::FaultKind::Conflict, detail);
            if before.finished_at.is_none() {
                let fault = conflict(format!("the run `{}` has not ended yet: {}", before.name, before.phase));
                return Err(fault.hint(format!("`tutti watch {}` shows how it goes", before.name)).into());
            }
            if before.phase == "succeeded" {
                let fault = conflict(format!("the run `{}` succeeded: there is nothing to repeat", before.name));
                return Err(fault.hint(format!("`tutti rerun {} --from NODE` repeats from a node on", before.name)).into());
            }
            repeat(session, &self.run, &RerunRequest::default(), self.wait, self.form.output).await
        })
        .await
    }
}
