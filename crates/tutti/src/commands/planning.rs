//! Looking ahead: where a workflow would run, and what differs between two.

use std::path::{Path, PathBuf};

use api::rest::planning_views::{ChangeView, DiffRequest, PlanRequest, PlanView, PlannedNodeView, SourceRequest};
use placement::Explanation;

use crate::cli::Door;
use crate::commands::actions::candidates;
use crate::failure::{CommandError, Exit};
use crate::in_process::Need;
use crate::names::{self, Kind};
use crate::output::{self, Form, Format};
use crate::{session, sources};

/// Show where a workflow would run, for how much, and where it may not.
///
/// Sites are taken as if they were idle; rules and the budget of the project count as they do for a run. Times are medians of earlier runs; a workflow that never ran has none. Nothing is registered.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  tutti plan greet.workflow.yaml\n  tutti plan bank/fraud-model --all\n  tutti plan examples/bank --workflow bank/fraud-model"
)]
pub(crate) struct Plan {
    /// A file or folder, or the name of a registered workflow.
    #[arg(value_name = "FILE|NAME")]
    what: String,
    /// Which workflow, when several stand there.
    #[arg(long)]
    workflow: Option<String>,
    /// The domain that it would run in: development, staging or production.
    #[arg(long)]
    domain: Option<String>,
    /// Show every site of every node with its terms.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    form: Form,
}

/// A workflow by file, or by name and version (`NAME@3`).
pub(crate) fn source(what: &str) -> Result<SourceRequest, CommandError> {
    let path = Path::new(what);
    if sources::is_document(path) || path.exists() {
        let request = sources::read(&[PathBuf::from(what)])?;
        return Ok(SourceRequest { documents: request.documents, files: request.files, ..SourceRequest::default() });
    }
    let (name, version) = match what.split_once('@') {
        Some((name, version)) => {
            let number = version.parse().map_err(|_| CommandError::usage(format!("`{version}` is not a version")))?;
            (name, Some(number))
        }
        None => (what, None),
    };
    Ok(SourceRequest { workflow: Some(name.to_owned()), version, ..SourceRequest::default() })
}

impl Plan {
    /// Prints the plan.
    pub(crate) async fn run(self, door: &Door) -> Result<Exit, CommandError> {
        let mut source = source(&self.what)?;
        source.workflow = self.workflow.clone().or(source.workflow);
        let request = PlanRequest { source, domain: self.domain.clone() };
        let plan: PlanView =
            session::with(door, Need::Look, async |session| match session.client.post("/api/v1/plan", &request).await {
                Ok(plan) => Ok(plan),
                Err(error) => Err(names::suggest(&session.client, Kind::Workflow, &self.what, error).await),
            })
            .await?;
        self.print(&plan)?;
        let has = |verdict: &str| plan.nodes.iter().any(|node| node.verdict == verdict);
        Ok(match () {
            () if has("refused") => Exit::Refused,
            () if has("nowhere") => Exit::Failed,
            () => Exit::Done,
        })
    }

    fn print(&self, plan: &PlanView) -> Result<(), CommandError> {
        eprint!("{}", plan.rendered);
        if self.form.output != Format::Table {
            return match self.form.output {
                Format::Name => output::list(&plan.nodes, Format::Name, ""),
                form => output::value(plan, form),
            };
        }
        output::list(&plan.nodes, Format::Table, "it has no nodes")?;
        for node in &plan.nodes {
            let stuck = matches!(node.verdict.as_str(), "nowhere" | "refused");
            if let Some(text) = (stuck || self.all).then(|| terms(node)).flatten() {
                output::write(&format!("\n{text}"))?;
            }
        }
        let cost: f64 = plan.nodes.iter().filter_map(|node| node.cost).sum();
        let known = plan.nodes.iter().filter(|node| node.verdict == "placed" && node.cost.is_some()).count();
        let placed = plan.nodes.iter().filter(|node| node.verdict == "placed").count();
        if known > 0 {
            eprintln!("about {} for {known} of {placed} nodes, one item of each map", output::money(cost));
        }
        Ok(())
    }
}

fn terms(node: &PlannedNodeView) -> Option<String> {
    let placement: Explanation = serde_json::from_value(node.placement.clone()).ok()?;
    let title = match node.verdict.as_str() {
        "nowhere" => format!("{}: no site can take it", node.path),
        "refused" => format!("{}: a policy is in the way", node.path),
        _ => format!("{}:", node.path),
    };
    let bounds = placement.bounds.map_or(String::new(), |bounds| format!("  {bounds}\n"));
    Some(format!("{title}\n{bounds}{}", candidates(&placement.sites)))
}

/// Show what differs in meaning between two workflows.
///
/// Comments, layout and the order of keys have no meaning. Each side is a file, or a registered workflow with or without a version. It fails
/// when there is a difference, as `diff` does.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tutti diff demo/greet greet.workflow.yaml\n  tutti diff demo/greet@1 demo/greet@2 -o json")]
pub(crate) struct Diff {
    /// The one: a file, `NAME` or `NAME@VERSION`.
    before: String,
    /// The other.
    after: String,
    #[command(flatten)]
    form: Form,
}

impl Diff {
    /// Prints the differences.
    pub(crate) async fn run(self, door: &Door) -> Result<Exit, CommandError> {
        let differs = match self.changes(door).await {
            Ok(changes) => {
                output::list(&changes, self.form.output, "they mean the same")?;
                !changes.is_empty()
            }
            Err(error @ (CommandError::Unreachable { .. } | CommandError::Untrusted(..))) => return Err(error),
            // As diff(1) has it: 1 is an answer and no failure.
            Err(error) => {
                error.print();
                return Ok(Exit::Usage);
            }
        };
        Ok(if differs { Exit::Failed } else { Exit::Done })
    }

    async fn changes(&self, door: &Door) -> Result<Vec<ChangeView>, CommandError> {
        let request = DiffRequest { before: source(&self.before)?, after: source(&self.after)? };
        session::with(door, Need::Look, async |session| session.client.post("/api/v1/diff", &request).await).await
    }
}
