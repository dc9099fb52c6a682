//! Applying documents, and looking at them before.

use std::path::PathBuf;

use api::rest::views::{Applied, ApplyResult};

use crate::cli::Door;
use crate::failure::{CommandError, Exit};
use crate::output::{self, Format, Row};
use crate::session::Session;
use crate::sources;

/// Register sites, workflows, triggers and connectors.
///
/// Everything is checked first; with any error nothing is registered. Files that workflows refer to go along.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tutti apply -f examples/bank\n  tutti apply -f sites.yaml nightly.workflow.yaml --dry-run")]
pub(crate) struct Apply {
    /// Files, or folders with `*.yaml` files in them and below.
    #[arg(short, long = "file", value_name = "PATH", num_args = 1.., required = true)]
    file: Vec<PathBuf>,
    /// Check everything and register nothing.
    #[arg(long)]
    dry_run: bool,
    /// The form of what is printed.
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,
}

impl Row for Applied {
    const COLUMNS: &'static [&'static str] = &["KIND", "NAME", "CHANGE", "VERSION"];

    fn cells(&self) -> Vec<String> {
        vec![self.kind.clone(), self.name.clone(), self.change.clone(), self.version.to_string()]
    }

    fn name(&self) -> String {
        format!("{}/{}", self.kind, self.name)
    }
}

impl Apply {
    /// Registers.
    pub(crate) async fn run(self, door: &Door) -> Result<Exit, CommandError> {
        let mut request = sources::read(&self.file)?;
        request.dry_run = self.dry_run;
        let session = Session::open(door).await?;
        let result: Result<ApplyResult, CommandError> = session.client.post("/api/v1/apply", &request).await;
        session.close().await;
        let result = result?;
        eprint!("{}", result.rendered);
        output::list(&result.applied, self.output, "nothing to register")?;
        Ok(Exit::Done)
    }
}
