//! Work that a running action asks for, and stopping a piece of it.

use model::limits::{RUN_ACTIONS_MAX, SUBWORKFLOW_DEPTH_MAX, VALUE_BYTES_MAX};
use model::{ActionKey, ActionNo, AttemptNo, Digest, Failure, FailureClass, Label, NodeKind, Phase, RunId, Timestamp};

use crate::action::ActionState;
use crate::event::{
    ActionFinished, ActionKind, ActionStopRequested, CancelReason, CancelRequested, ChildOpened, Opened, RecallKey, Role,
};
use crate::run::RunStatus;
use crate::unit::kind_of;
use crate::{Event, Outcome, Rejection, Spawn};

use super::Stepper;

/// The key of what is remembered, apart for data that carry other tags.
pub(super) fn under_label(recall: RecallKey, label: &Label) -> RecallKey {
    if label.is_empty() {
        return recall;
    }
    let key = Digest::of_parts(&[b"under\0", &recall.key.0, label.to_string().as_bytes()]);
    RecallKey { key, ..recall }
}

/// The failure of what the rules refuse.
pub(super) fn refusal(why: impl Into<String>) -> Failure {
    Failure { permanent: true, ..Failure::new(FailureClass::Refused, why) }
}

impl Stepper<'_, '_> {
    /// Opens what a running action asks for. What is there under the path already is left as it is.
    pub(super) fn spawn(&mut self, spawn: Spawn) -> Result<RunId, Rejection> {
        let Spawn { parent, path, node, input, recall, done, reused, entered, inside, refused } = spawn;
        let id = parent.run;
        let run = self.run(id).ok_or(Rejection::NotFound { kind: "open run", name: id.to_string() })?;
        let asking = run.action(parent.action).ok_or(Rejection::NotFound { kind: "action", name: parent.to_string() })?;
        if run.children.contains_key(path.as_str()) {
            return Ok(id);
        }
        if run.status != RunStatus::Active || asking.state != ActionState::Running {
            return Err(Rejection::Conflict(format!("`{}` is not running any more and cannot ask for work", asking.path)));
        }
        if run.scopes.first().is_some_and(|root| root.compiled.graph.find(&path).is_some()) {
            return Err(Rejection::Invalid(format!("`{path}` is a node of the workflow")));
        }
        if run.actions.len() >= RUN_ACTIONS_MAX as usize {
            return Err(Rejection::Limit(format!("the run has {RUN_ACTIONS_MAX} actions already")));
        }
        let input = input.map(|input| self.payload(id, input));
        if input.as_ref().is_some_and(|input| input.size as usize > VALUE_BYTES_MAX) {
            return Err(Rejection::Limit(format!("the input is larger than {VALUE_BYTES_MAX} bytes")));
        }
        let depth = run.scopes.get(asking.scope as usize).map_or(0, |scope| scope.depth) as usize;
        if matches!(node.kind, NodeKind::Workflow { .. }) && depth >= SUBWORKFLOW_DEPTH_MAX {
            return Err(Rejection::Invalid(format!("sub-workflows are nested deeper than {SUBWORKFLOW_DEPTH_MAX}")));
        }
        let definition = serde_json::to_string(&*node).map_err(|error| Rejection::Invalid(error.to_string()))?;
        // What led there is part of what it knows.
        let label = asking.label.clone().joined(&Label::of(entered.keys().cloned()));
        let is_known = done.is_some() || reused.is_some() || refused.is_some();
        let opened = Opened {
            action: ActionNo(run.actions.len() as u32),
            role: Role::Child { parent: parent.action },
            scope: asking.scope,
            node: asking.node,
            input,
            recall: recall.filter(|_| !is_known).map(|recall| under_label(recall, &label)),
            label,
            path,
            kind: if done.is_some() { ActionKind::Trace } else { kind_of(&node.kind) },
            instant: is_known,
        };
        let key = ActionKey::new(id, opened.action);
        let entered = Some(entered).filter(|entered| !entered.is_empty());
        self.emit(Event::ChildOpened(Box::new(ChildOpened { run: id, opened, definition, entered, inside })));
        match (refused, done, reused) {
            (Some(why), ..) => self.say(key, Outcome::Failed(refusal(why)), false),
            (None, Some(outcome), reused) => self.say(key, outcome, reused.is_some()),
            (None, None, Some(output)) => self.say(key, Outcome::Succeeded(output), true),
            (None, None, None) => {}
        }
        Ok(id)
    }

    /// Records what an action says it has done by itself, or what an earlier run did.
    fn say(&mut self, key: ActionKey, outcome: Outcome, reused: bool) {
        let (phase, output, failure): (Phase, Option<serde_json::Value>, Option<Failure>) = match outcome {
            Outcome::Succeeded(value) => (Phase::Succeeded, Some(value), None),
            Outcome::Failed(failure) => (Phase::Failed, None, Some(failure)),
            Outcome::Aborted => (Phase::Aborted, None, None),
        };
        let output = output.map(|value| self.payload(key.run, value));
        self.emit(Event::ActionFinished(Box::new(ActionFinished {
            run: key.run,
            action: key.action,
            phase,
            output,
            failure,
            reused,
            locations: Vec::new(),
        })));
    }

    /// Lets go of the process of an action, when nothing that it asked for is at work or will be before a person or the time says so.
    pub(super) fn suspend(&mut self, key: ActionKey, attempt: AttemptNo, since: Timestamp) -> Result<(), Rejection> {
        let run = self.run(key.run).ok_or(Rejection::NotFound { kind: "open run", name: key.run.to_string() })?;
        let action = run.action(key.action).ok_or(Rejection::NotFound { kind: "action", name: key.to_string() })?;
        let is_quiet = action.state == ActionState::Running && action.attempt == attempt && action.told_at < since;
        if run.status != RunStatus::Active || !is_quiet || action.children == 0 {
            return Err(Rejection::Conflict(format!("`{}` does not wait for what it asked for", action.path)));
        }
        if let Some(busy) = run.at_work_below(key.action) {
            return Err(Rejection::Conflict(format!("`{}` waits for `{}`, which waits for nobody", action.path, busy.path)));
        }
        let (run, actions, ended) = (key.run, vec![key.action], Vec::new());
        self.emit(Event::CancelRequested(CancelRequested { run, actions, why: CancelReason::Suspended, ended }));
        Ok(())
    }

    /// Stops one action and what it asked for. Nothing happens to one that has ended or is stopping.
    pub(super) fn stop_action(&mut self, key: ActionKey, principal: String, reason: String) -> Result<(), Rejection> {
        let action = self.action(key).ok_or(Rejection::NotFound { kind: "action", name: key.to_string() })?;
        if !matches!(action.role, Role::Child { .. }) {
            return Err(Rejection::Conflict(format!("`{}` is a node of the run: cancel the run", action.path)));
        }
        let (actions, ended) = match action.state {
            // One that was to go on later or elsewhere does not.
            ActionState::Stopping(why) if why.lets_go_on() => (vec![key.action], Vec::new()),
            ActionState::Done(_) | ActionState::Stopping(_) => return Ok(()),
            ActionState::Running => (vec![key.action], Vec::new()),
            _ => (Vec::new(), vec![key.action]),
        };
        let (run, action) = (key.run, key.action);
        self.emit(Event::ActionStopRequested(ActionStopRequested { run, action, principal, reason }));
        self.emit(Event::CancelRequested(CancelRequested { run, actions, why: CancelReason::Asked, ended }));
        self.stop_below(key);
        Ok(())
    }
}
