//! Proofs about rules.

use std::path::PathBuf;

use api::rest::governance_views::PolicyStatus;
use controlplane::FaultKind;
use model::govern::{PolicySpec, TagSpec};
use policy::{Rules, Sources};
use prover::{Analysis, Compared, OfAction, ProveError, Range, Solver};

use super::line;
use crate::cli::Door;
use crate::failure::{CommandError, Exit};
use crate::in_process::Need;
use crate::output::{self, Form, Format};
use crate::{session, sources, variables};

#[derive(Debug, clap::Args)]
pub(super) struct Analyze {
    /// Files and folders with rules. They are put in the place of those of the same names.
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Files and folders with the rules that they are held against, in the place of those in force: no server is asked then.
    #[arg(long, value_name = "PATH", requires = "paths")]
    against: Vec<PathBuf>,
    /// About this action alone: run, move, egress, release, view, submit, ….
    #[arg(long, value_name = "ACTION", value_delimiter = ',')]
    action: Vec<String>,
    #[command(flatten)]
    form: Form,
}

impl Analyze {
    pub(super) async fn run(self, door: &Door) -> Result<Exit, CommandError> {
        let solver = Solver::find(std::env::var_os(variables::SOLVER)).await.map_err(no_solver)?;
        let (now, before) = self.sides(door).await?;
        let (now, before) = (ready(now, "the rules")?, before.map(|before| ready(before, "the rules before")).transpose()?);
        let known =
            || policy::schema().into_iter().flat_map(|schema| schema.actions()).map(|action| action.id().unescaped().to_owned());
        if let Some(unknown) = self.action.iter().find(|action| !known().any(|known| known == **action)) {
            return Err(CommandError::usage(format!("there is no action `{unknown}`"))
                .hint("run, move, egress, release, view, or an operation of the API"));
        }
        let found = prover::analyze(&solver, &now, before.as_ref(), &self.action).await.map_err(unproved)?;
        match self.form.output {
            Format::Table => print(&found)?,
            Format::Name => {
                found.actions.iter().filter(|action| !action.holds()).try_for_each(|action| line(&action.action))?;
            }
            form => output::value(&found, form)?,
        }
        Ok(if found.holds() { Exit::Done } else { Exit::Failed })
    }

    /// The rules that are asked about, and those that they are held against.
    async fn sides(&self, door: &Door) -> Result<(Sources, Option<Sources>), CommandError> {
        let given = if self.paths.is_empty() { None } else { Some(sources::rules(&self.paths)?) };
        if let (Some(given), false) = (&given, self.against.is_empty()) {
            return Ok((given.clone(), Some(sources::rules(&self.against)?)));
        }
        let status: PolicyStatus =
            session::with(door, Need::Look, async |session| session.client.get("/api/v1/policy").await).await?;
        let in_force = in_force(&status);
        Ok(match given {
            None => (in_force, None),
            Some(given) => (put(in_force.clone(), given), Some(in_force)),
        })
    }
}

/// The rules in force, as a server tells them.
fn in_force(status: &PolicyStatus) -> Sources {
    let tag = |tag: &api::rest::governance_views::TagView| TagSpec {
        name: tag.name.clone(),
        parent: tag.parent.clone(),
        ..TagSpec::default()
    };
    let policy = |policy: &api::rest::governance_views::PolicyView| PolicySpec {
        name: policy.name.clone(),
        cedar: policy.cedar.clone(),
        closed: policy.closed,
        ..PolicySpec::default()
    };
    Sources {
        tags: status.tags.iter().map(tag).collect(),
        policies: status.policies.iter().filter(|policy| policy.in_force.is_some()).map(policy).collect(),
        ..Sources::default()
    }
}

/// Rules with others in the place of those of the same names.
fn put(mut rules: Sources, given: Sources) -> Sources {
    rules.tags.retain(|known| given.tags.iter().all(|tag| tag.name != known.name));
    rules.policies.retain(|known| given.policies.iter().all(|policy| policy.name != known.name));
    rules.tags.extend(given.tags);
    rules.policies.extend(given.policies);
    rules
}

fn ready(sources: Sources, which: &str) -> Result<Rules, CommandError> {
    let (rules, problems) = Rules::new(sources);
    match problems.into_iter().find(|problem| !problem.warning) {
        None => Ok(rules),
        Some(problem) => {
            let (kind, name) = &problem.document;
            let error =
                CommandError::of(FaultKind::InvalidWorkflow, format!("{which}: the {kind} `{name}`: {}", problem.message));
            Err(match problem.hint {
                Some(hint) => error.hint(hint),
                None => error,
            })
        }
    }
}

fn no_solver(error: prover::NoSolver) -> CommandError {
    let error = CommandError::of(FaultKind::NoSolver, error.to_string());
    error.hint("install cvc5 (`apt-get install cvc5`), or name it: CVC5=/path/to/cvc5")
}

fn unproved(error: ProveError) -> CommandError {
    match error {
        ProveError::NoSolver(error) => no_solver(error),
        other => CommandError::of(FaultKind::InvalidWorkflow, other.to_string()),
    }
}

fn print(found: &Analysis) -> Result<(), CommandError> {
    for action in &found.actions {
        print_action(action)?;
    }
    let open = found.actions.iter().filter(|action| !action.holds()).count();
    eprintln!("{} actions, {open} to look at; asked of: {}", found.actions.len(), found.solver);
    Ok(())
}

fn print_action(action: &OfAction) -> Result<(), CommandError> {
    let permits = match &action.permits {
        Range::Nothing => "nothing is ever permitted".to_owned(),
        Range::Some => "some is permitted, some refused".to_owned(),
        Range::Everything => "everything is permitted".to_owned(),
        Range::Unknown(why) => format!("how much is permitted is left open: {why}"),
    };
    let errs = if action.errs.is_empty() { "no policy errs" } else { "POLICIES ERR" };
    line(&format!("{:<11} {} policies: {errs}; {permits}", action.action, action.policies))?;
    for erring in &action.errs {
        match (&erring.example, &erring.unknown) {
            (Some(example), _) => {
                line(&format!("            `{}` errs, and so refuses everything, when:", erring.policy))?;
                lines(example)?;
            }
            (None, why) => {
                let why = why.as_deref().unwrap_or("no answer");
                line(&format!("            whether `{}` errs is left open: {why}", erring.policy))?;
            }
        }
    }
    let decided = |policies: &[String], none: &str| match policies.is_empty() {
        true => none.to_owned(),
        false => format!("by {}", policies.join(", ")),
    };
    match &action.compared {
        None => Ok(()),
        Some(Compared::Same) => line("            beside the rules before: every request has the same answer"),
        Some(Compared::Less { example, policies }) => {
            let by = decided(policies, "since nothing permits it");
            line(&format!("            beside the rules before: nothing more is permitted; refused now, {by}:"))?;
            lines(example)
        }
        Some(Compared::More { example, policies }) => {
            let by = decided(policies, "since nothing permitted it");
            line(&format!("            beside the rules before: MORE IS PERMITTED; this was refused, {by}:"))?;
            lines(example)
        }
        Some(Compared::Unknown(why)) => line(&format!("            beside the rules before: left open: {why}")),
    }
}

fn lines(example: &prover::Example) -> Result<(), CommandError> {
    example.lines().iter().try_for_each(|text| line(&format!("              {text}")))
}
