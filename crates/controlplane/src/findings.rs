//! Findings: what is wrong with what ran, told from what is recorded, each with the commands that are proposed against it. Nothing is kept of
//! them beside the record: whoever asks is told what it says now, also of runs of earlier versions.

use journal::{ActionRow, RefusedAt, RefusedFilter, RunRow};

use crate::{ControlPlane, FLYTE_ROOT, Fault};

/// A problem that was found.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What kind of problem: `refused`.
    pub kind: &'static str,
    /// The run.
    pub run: RunRow,
    /// The action; what it says is in its failure.
    pub action: ActionRow,
    /// What is proposed, the first to be done first.
    pub remedies: Vec<Proposed>,
}

/// A command that is proposed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposed {
    /// What it is good for.
    pub what: &'static str,
    /// The command.
    pub command: String,
}

/// Which findings.
#[derive(Clone, Debug, Default)]
pub struct FindingFilter {
    /// Of this run, by its name or number.
    pub run: Option<String>,
    /// Of runs of this project.
    pub project: Option<String>,
    /// After this one.
    pub before: Option<RefusedAt>,
    /// At most so many.
    pub limit: usize,
}

impl Finding {
    /// Where the next page begins.
    pub fn place(&self) -> RefusedAt {
        let at = self.action.finished_at.unwrap_or_default();
        RefusedAt { at, run: self.action.run, no: self.action.no }
    }
}

impl ControlPlane {
    /// What is wrong, the newest first: work that failed since the rules permit it nowhere, or refuse it what it was given. Blocks.
    pub fn findings(&self, filter: FindingFilter) -> Result<Vec<Finding>, Fault> {
        let run = filter.run.as_deref().map(|name| self.find_run(name)).transpose()?.map(|row| row.id);
        let wanted = RefusedFilter { run, project: filter.project, before: filter.before, limit: filter.limit };
        let refused = self.reader().refused(&wanted).map_err(Fault::internal)?;
        let finding = |(run, action): (RunRow, ActionRow)| -> Result<Finding, Fault> {
            let is_program = self.reader().action(run.id, FLYTE_ROOT).map_err(Fault::internal)?.is_some();
            let remedies = remedies(&run.name, &action.path, action.explanation.is_some(), is_program);
            Ok(Finding { kind: "refused", run, action, remedies })
        };
        refused.into_iter().map(finding).collect()
    }
}

/// What is proposed against a refusal. That the rules are changed, or a tag taken off, is for people to decide. Of what was refused before a place
/// was looked for, its failure says all: no site was weighed.
fn remedies(run: &str, path: &str, is_explained: bool, is_program: bool) -> Vec<Proposed> {
    let look = Proposed { what: "see which policies refuse it, site by site", command: format!("tutti explain {run} {path}") };
    let what = "once the rules permit it somewhere, or an approved sanitizer takes the tag off before it: do again what failed";
    let command = if is_program { format!("flyte rerun {run} --recover") } else { format!("tutti rerun {run}") };
    is_explained.then_some(look).into_iter().chain([Proposed { what, command }]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_of_a_program_is_repeated_with_the_client_of_the_program() {
        let of = |is_explained, is_program| {
            let remedies = remedies("r", "a/b", is_explained, is_program);
            remedies.into_iter().map(|one| one.command).collect::<Vec<_>>()
        };
        assert_eq!(of(true, true), ["tutti explain r a/b", "flyte rerun r --recover"]);
        assert_eq!(of(true, false), ["tutti explain r a/b", "tutti rerun r"]);
        assert_eq!(of(false, false), ["tutti rerun r"], "no site was weighed");
    }
}
