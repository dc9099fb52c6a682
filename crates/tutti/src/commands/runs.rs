//! Starting runs.

use std::path::PathBuf;

use anyhow::Context as _;
use api::rest::views::{ApplyResult, ResourceView, RunView, SubmitRequest};
use serde_json::{Map, Value, json};

use crate::cli::Door;
use crate::failure::{CommandError, Exit};
use crate::output::{self, Format};
use crate::session::Session;
use crate::{progress, sources};

/// Start a run of a registered workflow, or of a workflow file.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  tutti run bank/fraud-model --input rows=1000 --wait\n  tutti run greet.workflow.yaml --input name=Ada --wait -o json"
)]
pub(crate) struct Run {
    /// A registered workflow, or a file (`*.yaml`), which is registered first.
    #[arg(value_name = "NAME|FILE")]
    workflow: String,
    /// An input: `k=text`, `k=JSON`, or `k=@file` for a file that is uploaded.
    #[arg(short, long = "input", value_name = "K=V")]
    input: Vec<String>,
    /// A JSON or YAML file with inputs.
    #[arg(long, value_name = "FILE")]
    inputs: Option<PathBuf>,
    /// Wait for the end, and show how it goes.
    #[arg(short, long)]
    wait: bool,
    /// The name of the run; the server makes one when there is none.
    #[arg(long)]
    name: Option<String>,
    /// The form of what is printed.
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,
}

impl Run {
    /// Starts it.
    pub(crate) async fn run(self, door: &Door) -> Result<Exit, CommandError> {
        let session = Session::open(door).await?;
        let ended = self.drive(&session).await;
        session.close().await;
        ended
    }

    async fn drive(&self, session: &Session) -> Result<Exit, CommandError> {
        let workflow = self.workflow(session).await?;
        let request = SubmitRequest {
            inputs: self.read_inputs(session, &workflow).await?,
            workflow,
            name: self.name.clone(),
            ..SubmitRequest::default()
        };
        let mut run: RunView = session.client.post("/api/v1/runs", &request).await?;
        let mut exit = Exit::Done;
        if self.wait || session.is_local() {
            (run, exit) = progress::follow(&session.client, &run.name).await?;
        }
        match self.output {
            Format::Name => output::write(&format!("{}\n", run.name))?,
            Format::Table => output::list(std::slice::from_ref(&run), Format::Table, "")?,
            form => output::value(&json!({"name": run.name, "phase": run.phase}), form)?,
        }
        Ok(exit)
    }

    /// The registered workflow's name; a file is registered first.
    async fn workflow(&self, session: &Session) -> Result<String, CommandError> {
        let path = PathBuf::from(&self.workflow);
        if !path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
            return Ok(self.workflow.clone());
        }
        let result: ApplyResult = session.client.post("/api/v1/apply", &sources::read(&[path])?).await?;
        eprint!("{}", result.rendered);
        let mut workflows = result.applied.iter().filter(|applied| applied.kind == "workflow");
        match (workflows.next(), workflows.next()) {
            (Some(one), None) => Ok(one.name.clone()),
            (None, _) => Err(CommandError::usage(format!("`{}` holds no workflow", self.workflow))),
            _ => Err(CommandError::usage(format!("`{}` holds several workflows; apply it and name one", self.workflow))),
        }
    }

    async fn read_inputs(&self, session: &Session, workflow: &str) -> Result<Map<String, Value>, CommandError> {
        let mut inputs = Map::new();
        if let Some(path) = &self.inputs {
            let text = std::fs::read_to_string(path).with_context(|| format!("`{}` cannot be read", path.display()))?;
            let value: Value = serde_json::from_str(&text).with_context(|| format!("`{}` is not JSON", path.display()))?;
            let Value::Object(fields) = value else {
                return Err(CommandError::usage(format!("`{}` is not a map of inputs", path.display())));
            };
            inputs = fields;
        }
        if self.input.is_empty() {
            return Ok(inputs);
        }
        let resource: ResourceView = session.client.get(&format!("/api/v1/resources/workflow/{workflow}")).await?;
        for pair in &self.input {
            let (key, text) =
                pair.split_once('=').ok_or_else(|| CommandError::usage(format!("`{pair}` is not an input: give NAME=VALUE")))?;
            inputs.insert(key.to_owned(), value_of(&resource.body, key, text, session).await?);
        }
        Ok(inputs)
    }
}

/// A text as the value that the workflow's input asks for.
async fn value_of(workflow: &Value, key: &str, text: &str, session: &Session) -> Result<Value, CommandError> {
    let ports = workflow.get("inputs").and_then(Value::as_array);
    let port = ports.and_then(|ports| ports.iter().find(|port| port["name"] == key));
    let is_text = port.is_some_and(|port| port["schema"]["type"] == "string");
    if is_text {
        return Ok(text.into());
    }
    if let Some(path) = text.strip_prefix('@') {
        return session.client.upload(std::path::Path::new(path)).await;
    }
    Ok(serde_json::from_str(text).unwrap_or_else(|_| text.into()))
}
