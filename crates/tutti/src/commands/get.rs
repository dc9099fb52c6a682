//! `tutti get`: lists and single things of every kind.

use api::rest::views::{ActionView, Page, RunView};

use crate::cli::Door;
use crate::client::segment;
use crate::failure::{CommandError, Exit};
use crate::output::{self, Format, Row};
use crate::session::Session;

/// Show what there is: runs, workflows, sites, triggers, connectors, approvals, tokens.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tutti get runs\n  tutti get run fraud-model-7 -o json")]
pub(crate) struct Get {
    /// The kind: run, workflow, site, trigger, connector, approval, token.
    kind: String,
    /// The name; all of the kind when there is none.
    name: Option<String>,
    /// The form of what is printed.
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,
}

impl Row for RunView {
    const COLUMNS: &'static [&'static str] = &["NAME", "WORKFLOW", "PHASE", "ACTIONS", "TIME", "COST"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            self.workflow.clone(),
            self.phase.clone(),
            format!("{}/{}", self.actions_done, self.actions_total),
            output::seconds(self.seconds),
            output::money(self.cost),
        ]
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

impl Row for ActionView {
    const COLUMNS: &'static [&'static str] = &["ACTION", "KIND", "PHASE", "SITE", "TIME", "COST"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.path.clone(),
            self.kind.clone(),
            self.phase.clone(),
            self.site.clone().unwrap_or_default(),
            output::seconds(self.seconds),
            output::money(self.cost),
        ]
    }

    fn name(&self) -> String {
        self.path.clone()
    }
}

impl Get {
    /// Prints.
    pub(crate) async fn run(self, door: &Door) -> Result<Exit, CommandError> {
        let session = Session::open(door).await?;
        let printed = self.print(&session).await;
        session.close().await;
        printed.map(|()| Exit::Done)
    }

    async fn print(&self, session: &Session) -> Result<(), CommandError> {
        match (self.kind.as_str(), &self.name) {
            ("run" | "runs", None) => {
                let page: Page<RunView> = session.client.get("/api/v1/runs").await?;
                output::list(&page.items, self.output, "no runs")
            }
            ("run" | "runs", Some(name)) => {
                let run: RunView = session.client.get(&format!("/api/v1/runs/{}", segment(name))).await?;
                match self.output {
                    Format::Table => output::list(std::slice::from_ref(&run), Format::Table, ""),
                    Format::Name => output::write(&format!("{}\n", run.name)),
                    form => output::value(&run, form),
                }
            }
            (other, _) => Err(CommandError::usage(format!("`{other}` is not a kind"))),
        }
    }
}
