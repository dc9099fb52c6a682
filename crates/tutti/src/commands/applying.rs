//! Applying documents, looking at them before, and taking them away.

use std::path::PathBuf;

use api::rest::views::ApplyResult;
use serde_json::Value;

use crate::cli::Door;
use crate::failure::{CommandError, Exit};
use crate::in_process::Need;
use crate::names::{self, Kind, resource_path};
use crate::output::{self, Form, Format};
use crate::{session, sources};

/// Register workflows, sites, rules, triggers and other documents.
///
/// Everything is checked first; with any error nothing is registered. Files that workflows refer to go along.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  tutti apply -f examples/bank/sites.yaml examples/bank/rules.yaml\n  tutti apply -f sites.yaml nightly.workflow.yaml --dry-run"
)]
pub(crate) struct Apply {
    /// Files, or folders with `*.yaml` files in them and below.
    #[arg(short, long = "file", value_name = "PATH", num_args = 1.., required = true)]
    file: Vec<PathBuf>,
    /// Check everything and register nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    form: Form,
}

impl Apply {
    /// Registers.
    pub(crate) async fn run(self, door: &Door) -> Result<Exit, CommandError> {
        let mut request = sources::read(&self.file)?;
        request.dry_run = self.dry_run;
        let result: ApplyResult =
            session::with(door, Need::Change, async |session| session.client.post("/api/v1/apply", &request).await).await?;
        eprint!("{}", result.rendered);
        output::list(&result.applied, self.form.output, "nothing to register")?;
        if self.dry_run {
            eprintln!("nothing was registered (--dry-run)");
        }
        Ok(Exit::Done)
    }
}

/// Check files and register nothing.
///
/// The findings have a position, a code and a hint. It fails when there is an error; warnings alone do not fail.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tutti check greet.workflow.yaml\n  tutti check examples/bank -o json")]
pub(crate) struct Check {
    /// Files, or folders with `*.yaml` files in them and below.
    #[arg(value_name = "FILE", required = true)]
    file: Vec<PathBuf>,
    #[command(flatten)]
    form: Form,
}

impl Check {
    /// Checks.
    pub(crate) async fn run(self, door: &Door) -> Result<Exit, CommandError> {
        let request = sources::read(&self.file)?;
        let result: ApplyResult =
            session::with(door, Need::Look, async |session| session.client.post("/api/v1/check", &request).await).await?;
        let errors = result.diagnostics.iter().filter(|entry| entry["finding"]["severity"] == "error").count();
        match self.form.output {
            Format::Table => {
                eprint!("{}", result.rendered);
                let warnings = result.diagnostics.len() - errors;
                let files = request.documents.len();
                let text = if errors + warnings == 0 {
                    format!("{}: no findings\n", counted(files, "file"))
                } else {
                    format!("{}: {}, {}\n", counted(files, "file"), counted(errors, "error"), counted(warnings, "warning"))
                };
                output::write(&text)?;
            }
            Format::Name => {
                let code = |entry: &Value| format!("{}\n", entry["finding"]["code"].as_str().unwrap_or_default());
                output::write(&result.diagnostics.iter().map(code).collect::<String>())?;
            }
            form => output::value(&result.diagnostics, form)?,
        }
        Ok(if errors == 0 { Exit::Done } else { Exit::Failed })
    }
}

fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// What `tutti delete` takes away.
pub(crate) const DELETED: [Kind; 7] =
    [Kind::Workflow, Kind::Queue, Kind::Trigger, Kind::Connector, Kind::Tag, Kind::Policy, Kind::Sanitizer];

/// Take away a registered workflow, trigger, connector or rule. Runs that use it go on.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tutti delete trigger nightly\n  tutti delete workflow demo/greet")]
pub(crate) struct Delete {
    /// The kind of thing: workflow, trigger, connector, tag, policy or sanitizer.
    #[arg(hide_possible_values = true)]
    kind: Kind,
    /// Its name.
    name: String,
    /// Take a workflow away although a trigger starts it or another workflow runs it.
    #[arg(long)]
    force: bool,
}

impl Delete {
    /// Deletes.
    pub(crate) async fn run(self, door: &Door) -> Result<Exit, CommandError> {
        if !DELETED.contains(&self.kind) {
            let hint = match self.kind {
                Kind::Site => "`tutti site remove NAME` takes a site away",
                Kind::Token => "`tutti token revoke NAME` revokes a token",
                Kind::Run => "`tutti cancel RUN` stops a run; `tutti prune` destroys old values",
                _ => "workflows, triggers, connectors and rules can be deleted",
            };
            return Err(CommandError::usage(format!("a {} cannot be deleted", self.kind.word())).hint(hint));
        }
        let force = if self.force { "?force=true" } else { "" };
        let path = resource_path(self.kind, &self.name) + force;
        session::with(door, Need::Change, async |session| match session.client.delete::<Value>(&path).await {
            Ok(_) => Ok(()),
            Err(error) => Err(names::suggest(&session.client, self.kind, &self.name, error).await),
        })
        .await?;
        eprintln!("{} `{}` is deleted", self.kind.word(), self.name);
        Ok(Exit::Done)
    }
}
