//! What of a run a caller may see: its values and, like values, what its failures say. Both may hold what the attempt could read.

use std::collections::BTreeMap;
use std::sync::Arc;

use controlplane::{Fault, RunLabels};
use journal::RunRow;
use model::{Failure, Label};
use parking_lot::Mutex;
use policy::{Ever, Rules, Target};

use super::App;
use super::access::Caller;
use super::projection::run_view;
use super::views::{ActionView, FailureView, RunView, WithheldView};

/// What a caller may see of one run.
pub(crate) struct Sight {
    rules: Arc<Rules>,
    who: policy::Caller,
    /// Whether the caller sees everything, whatever it carries.
    always: bool,
    target: Target,
    labels: RunLabels,
    /// What was asked already.
    known: Mutex<BTreeMap<Label, Option<WithheldView>>>,
}

impl Sight {
    /// Of a run. Blocks.
    pub(crate) fn of(app: &App, caller: &Caller, run: &RunRow) -> Result<Sight, Fault> {
        let (rules, who) = (app.control.rules(), caller.as_policy());
        let always = app.said.ever(&rules, &who, "view") == Ever::Always;
        let labels = if rules.governed() { app.control.labels_of_run(run)? } else { RunLabels::default() };
        let target = Target {
            kind: "run".into(),
            name: run.name.clone(),
            project: run.project.clone(),
            domain: run.domain.clone(),
            author: run.principal.clone(),
        };
        Ok(Sight { rules, who, always, target, labels, known: Mutex::default() })
    }

    /// What the action of a path can read, or any of them.
    pub(crate) fn label(&self, path: Option<&str>) -> Vec<String> {
        self.labels.of(path).0.into_iter().collect()
    }

    /// Whether the values of the run, or of an action of it, are kept from the caller; what of them may be told then.
    pub(crate) fn withheld(&self, path: Option<&str>) -> Option<WithheldView> {
        if self.always {
            return None;
        }
        let label = self.labels.of(path);
        self.known.lock().entry(label.clone()).or_insert_with(|| self.ask(label)).clone()
    }

    fn ask(&self, label: Label) -> Option<WithheldView> {
        let verdict = self.rules.may(&self.who, "view", &self.target, &label);
        if verdict.allowed {
            return None;
        }
        let enough = |role: &&str| {
            let other = policy::Caller { roles: vec![(**role).to_owned()], ..self.who.clone() };
            self.rules.may(&other, "view", &self.target, &label).allowed
        };
        let roles = policy::ROLES.into_iter().filter(enough).map(str::to_owned).collect();
        Some(WithheldView { label: label.0.into_iter().collect(), why: verdict.why(), roles })
    }

    /// A failure as the caller may see it: whoever may not see the values learns that there is one, its class, its code and what it carries.
    fn failure(&self, path: Option<&str>, failure: &mut FailureView) {
        failure.label = self.label(path);
        if self.withheld(path).is_some() {
            failure.withheld = true;
            failure.message = unsaid(&failure.label);
        }
    }

    /// What a failure of an action says, as the caller may see it.
    pub(crate) fn says<'s>(&self, path: Option<&str>, message: &'s str) -> std::borrow::Cow<'s, str> {
        match self.withheld(path) {
            None => message.into(),
            Some(withheld) => unsaid(&withheld.label).into(),
        }
    }

    /// A failure of an action, or of the whole run, as the engine knows it, as the caller may see it.
    pub(crate) fn of_failure(&self, path: Option<&str>, failure: Failure) -> Failure {
        match self.withheld(path) {
            None => failure,
            Some(withheld) => Failure { message: unsaid(&withheld.label), text: None, ..failure },
        }
    }

    /// An action with its failure as the caller may see it.
    pub(crate) fn action(&self, mut view: ActionView) -> ActionView {
        // That a node was left out is said by the graph, and by nothing that was read.
        if let Some(failure) = view.failure.as_mut().filter(|failure| failure.class != "skipped") {
            self.failure(Some(&view.path), failure);
        }
        for failure in view.earlier.iter_mut().filter_map(|attempt| attempt.failure.as_mut()) {
            self.failure(Some(&view.path), failure);
        }
        view
    }

    /// A run and its actions with their failures as the caller may see them.
    pub(crate) fn run(&self, mut view: RunView) -> RunView {
        if let Some(failure) = &mut view.failure {
            self.failure(None, failure);
        }
        view.actions = view.actions.into_iter().map(|action| self.action(action)).collect();
        view
    }
}

/// What stands for the sentence of a failure that a caller may not see.
fn unsaid(label: &[String]) -> String {
    match label.is_empty() {
        true => "what it says is not shown: whoever asks may not see values".into(),
        false => format!("what it says is not shown: it may hold what the attempt could read ({})", label.join(", ")),
    }
}

/// A run without its values and actions, as a caller may see it. Blocks when it failed.
pub(crate) fn seen_run(app: &App, caller: &Caller, row: &RunRow) -> Result<RunView, Fault> {
    let view = run_view(row);
    if view.failure.is_none() { Ok(view) } else { Ok(Sight::of(app, caller, row)?.run(view)) }
}

/// Whether a caller sees all values, whatever they carry.
pub(crate) fn sees_all(app: &App, caller: &Caller) -> bool {
    app.said.ever(&app.control.rules(), &caller.as_policy(), "view") == Ever::Always
}

/// Whether a caller may read every run, whosever it is.
pub(crate) fn reads_all(app: &App, caller: &Caller) -> bool {
    app.said.ever(&app.control.rules(), &caller.as_policy(), "read") == Ever::Always
}

/// Whether the values of a run, or of an action of it, are kept from a caller; what of them may be told then. Blocks.
pub(crate) fn withheld(app: &App, caller: &Caller, run: &RunRow, path: Option<&str>) -> Result<Option<WithheldView>, Fault> {
    if sees_all(app, caller) {
        return Ok(None);
    }
    Ok(Sight::of(app, caller, run)?.withheld(path))
}
