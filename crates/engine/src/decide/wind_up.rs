//! Ending runs: well, or by stopping what is in flight, undoing what succeeded, and saying why.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{ActionKey, ActionNo, Failure, FailureClass, Payload, Phase, RunId};

use crate::action::{Action, ActionState};
use crate::event::{
    ActionFinished, ActionsOpened, CancelReason, CancelRequested, CompensationStarted, Opened, Role, RunFailing, RunFinished,
};
use crate::run::RunStatus;
use crate::{Event, Scope as Names};

use super::Stepper;

impl Stepper<'_, '_> {
    pub(super) fn finish_well(&mut self, id: RunId) {
        let Some(run) = self.run(id) else { return };
        let Some(root) = run.scopes.first() else { return };
        match self.render(run, &root.compiled.graph.outputs, &run.names_for_outputs(root)) {
            Ok(outputs) => self.finish_run(id, Phase::Succeeded, outputs, None),
            Err(mut failure) => {
                failure.message = format!("the outputs of the workflow: {}", failure.message());
                self.emit(Event::RunFailing(RunFailing { run: id, action: None, failure }));
            }
        }
    }

    fn finish_run(&mut self, id: RunId, phase: Phase, outputs: Option<Payload>, failure: Option<Failure>) {
        let cost = self.run(id).map(|run| run.cost).unwrap_or_default();
        self.emit(Event::RunFinished(Box::new(RunFinished { run: id, phase, outputs, failure, cost })));
    }

    /// Something failed for good. The item of a map that goes on without it answers for what is within it; otherwise the run begins to
    /// wind up.
    pub(super) fn answer_trouble(&mut self, id: RunId) {
        let Some(run) = self.run(id) else { return };
        let Some(number) = run.troubles.first().copied() else { return };
        let item = run.contained_in(number);
        let failure = match run.action(number) {
            Some(action) => {
                let cause = action.failure.clone().unwrap_or_else(|| Failure::new(FailureClass::Unknown, "it failed"));
                let mut failure = Failure::new(cause.class, format!("`{}`: {}", action.path, cause.message()));
                failure.exit_code = cause.exit_code;
                failure.code = cause.code;
                failure
            }
            None => Failure::new(FailureClass::Unknown, "it failed"),
        };
        if let Some(item) = item {
            let key = ActionKey::new(id, item);
            let failure = self.told_failure(key, failure);
            self.stop_below(key);
            self.finish(key, Phase::Failed, None, Some(failure));
            return;
        }
        self.emit(Event::RunFailing(RunFailing { run: id, action: Some(number), failure }));
    }

    /// The failure within something as it may be told to whoever asked for that. What a workflow's nodes say may hold more than whoever asked for it
    /// carries: then it is told that one failed, and of what kind.
    pub(super) fn told_failure(&self, key: ActionKey, failure: Failure) -> Failure {
        let beyond = self.run(key.run).and_then(|run| {
            let action = run.action(key.action).filter(|action| matches!(action.role, Role::Child { .. }))?;
            Some(run.read_beyond(action))
        });
        match beyond.filter(|beyond| !beyond.is_empty()) {
            None => failure,
            Some(beyond) => {
                let message =
                    format!("a node of it failed, and what it says may carry {beyond}: that is not told to whoever asked");
                Failure { message, text: None, ..failure }
            }
        }
    }

    /// Stops what is still open although nothing waits for it any more. False when all of it is stopping already.
    pub(super) fn stop_leftovers(&mut self, id: RunId) -> bool {
        let Some(run) = self.run(id) else { return false };
        let all = run.actions.iter().enumerate().map(|(index, action)| (ActionNo(index as u32), action));
        let (actions, ended) = to_stop(all);
        self.give_up(id, actions, ended)
    }

    /// Gives up actions that nobody waits for. False when there are none.
    fn give_up(&mut self, run: RunId, actions: Vec<ActionNo>, ended: Vec<ActionNo>) -> bool {
        let some = !actions.is_empty() || !ended.is_empty();
        if some {
            self.emit(Event::CancelRequested(CancelRequested { run, actions, why: CancelReason::Unwanted, ended }));
        }
        some
    }

    /// Stops everything that a map or a sub-workflow has opened.
    pub(super) fn stop_below(&mut self, key: ActionKey) {
        let Some(run) = self.run(key.run) else { return };
        let mut below: BTreeSet<ActionNo> = BTreeSet::from([key.action]);
        let mut found = Vec::new();
        // Children are numbered after their parents, so that one pass finds them all.
        for (index, action) in run.actions.iter().enumerate().skip(key.action.0 as usize) {
            let number = ActionNo(index as u32);
            let inside = match &action.role {
                // Others may wait for what it brings.
                Role::Transfer { artifact, to, .. } => {
                    let arriving = run.arriving.get(&(*artifact, Arc::from(to.as_str())));
                    arriving.is_some_and(|arriving| arriving.wanted_by.iter().all(|wanted| below.contains(wanted)))
                }
                _ => run.parent_of(action).is_some_and(|parent| below.contains(&parent)),
            };
            if inside {
                below.insert(number);
                found.push((number, action));
            }
        }
        let (actions, ended) = to_stop(found.into_iter());
        self.give_up(key.run, actions, ended);
    }

    /// Stops what is in flight and ends what is not.
    pub(super) fn stop_everything(&mut self, id: RunId) {
        let Some(run) = self.run(id) else { return };
        let (why, stops) = match &run.status {
            RunStatus::Cancelling { .. } => (CancelReason::RunCancelled, true),
            _ => {
                let lets_finish =
                    run.scopes.first().is_some_and(|root| root.compiled.graph.on_failure == model::graph::OnFailure::Finish);
                (CancelReason::RunFailing, !lets_finish)
            }
        };
        let all = run.actions.iter().enumerate().map(|(index, action)| (ActionNo(index as u32), action));
        let (mut actions, ended) = to_stop(all);
        if !stops {
            actions.clear();
        }
        self.emit(Event::CancelRequested(CancelRequested { run: id, actions, why, ended }));
    }

    /// Once nothing is in flight: undoes what can be undone, or ends the run. False while something is in flight.
    pub(super) fn compensate(&mut self, id: RunId) -> bool {
        let Some(run) = self.run(id) else { return false };
        if run.in_flight > 0 || run.open > 0 {
            return false;
        }
        let order: Vec<ActionNo> = run.succeeded.iter().rev().copied().collect();
        if !order.is_empty() {
            self.emit(Event::CompensationStarted(CompensationStarted { run: id, order }));
            return true;
        }
        let (phase, failure) = match run.status.clone() {
            RunStatus::Failing { failure, phase, .. } => (phase, Some(failure)),
            RunStatus::Cancelling { reason, .. } => (Phase::Aborted, Some(Failure::new(FailureClass::Cancelled, reason))),
            _ => (Phase::Failed, None),
        };
        self.finish_run(id, phase, None, failure);
        true
    }

    /// Opens the next undo, or ends the run after the last.
    pub(super) fn undo_next(&mut self, id: RunId) {
        let Some(run) = self.run(id) else { return };
        let RunStatus::Compensating { queue, ends, failure, .. } = &run.status else { return };
        let Some(of) = queue.front().copied() else {
            let (phase, failure) = (*ends, failure.clone());
            self.finish_run(id, phase, None, failure);
            return;
        };
        let number = ActionNo(run.actions.len() as u32);
        let Some((opened, failure)) = self.undo_of(id, of, number) else { return };
        self.emit(Event::ActionsOpened(ActionsOpened { run: id, actions: vec![opened] }));
        if let Some(failure) = failure {
            self.emit(Event::ActionFinished(Box::new(ActionFinished {
                run: id,
                action: number,
                phase: Phase::Failed,
                output: None,
                failure: Some(failure),
                reused: false,
                locations: Vec::new(),
            })));
        }
    }

    fn undo_of(&self, id: RunId, of: ActionNo, number: ActionNo) -> Option<(Opened, Option<Failure>)> {
        let run = self.run(id)?;
        let action = run.action(of)?;
        let undo = action.unit.undo.as_ref()?;
        let scope = run.scopes.get(action.scope as usize)?;
        let item = match &action.role {
            Role::Item { each, index } => {
                let items = run.action(*each).and_then(|each| each.input.as_ref()?.value().get("items")?.get(*index as usize));
                items.map(|item| (item, *index))
            }
            _ => None,
        };
        let mut names: Names<'_> = run.names_for(scope, &undo.node.refs, item);
        // Its own output, which for an item of a map is the item's and not the map's.
        if let (Some(output), Some(own)) = (&action.output, scope.compiled.units.get(action.node as usize)) {
            names.nodes.retain(|(name, _)| *name != own.node.id);
            names.nodes.push((own.node.id.as_str(), output.value()));
        }
        let (input, failure) = match self.render(run, &undo.node.input, &names) {
            Ok(input) => (input, None),
            Err(failure) => (None, Some(failure)),
        };
        let opened = Opened {
            action: number,
            role: Role::Undo { of },
            scope: action.scope,
            node: action.node,
            input,
            label: run.label_at(&format!("{}!undo", action.path)).joined(&action.label),
            recall: None,
            path: format!("{}!undo", action.path),
            kind: undo.kind(),
            instant: failure.is_some(),
        };
        Some((opened, failure))
    }
}

/// Which attempts have to be stopped, and which actions have none in flight and end at once. What is stopping already is neither.
fn to_stop<'a>(actions: impl Iterator<Item = (ActionNo, &'a Action)>) -> (Vec<ActionNo>, Vec<ActionNo>) {
    let (mut stop, mut ended) = (Vec::new(), Vec::new());
    for (number, action) in actions {
        match action.state {
            ActionState::Running => stop.push(number),
            ActionState::Stopping(_) | ActionState::Done(_) => {}
            _ => ended.push(number),
        }
    }
    (stop, ended)
}
