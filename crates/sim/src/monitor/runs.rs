//! Rules about runs as a whole.

use std::collections::{BTreeMap, BTreeSet};

use engine::event::{CompensationStarted, NodesSkipped, Role, RunFailing, RunFinished, RunSubmitted, SignalReceived};
use model::graph::OnFailure;
use model::{FailureClass, Phase, RunId, Timestamp};

use super::{At, Checked, Doing, Monitor, RunFacts, broken};

impl Monitor {
    pub(super) fn submitted(&mut self, e: &RunSubmitted, at: Timestamp) -> Checked {
        if self.runs.contains_key(&e.run) {
            return broken("I3 numbers", format!("run {} was submitted twice", e.run));
        }
        let Some(graph) = self.graphs.get(&e.graph).cloned() else {
            return broken("I10 replay", format!("the graph of run {} is not beside the journal", e.run));
        };
        if let Some(key) = &e.idempotency_key
            && let Some(other) = self.keys.insert((e.project.clone(), key.clone()), e.run)
        {
            return broken("idempotent submit", format!("runs {other} and {} have the key `{key}`", e.run));
        }
        let facts = RunFacts {
            project: e.project.clone(),
            graph,
            doing: Doing::Active,
            paused: false,
            submitted: at,
            actions: Vec::new(),
            by_path: BTreeMap::new(),
            scopes: BTreeMap::from([(0, None)]),
            settled: BTreeMap::new(),
            reused: e.reused.iter().map(|reused| reused.node).collect::<BTreeSet<_>>(),
            succeeded: Vec::new(),
            undo: Vec::new(),
            undone: 0,
            open: 0,
            ended: None,
            signals: BTreeMap::new(),
            inputs: e.inputs.value().clone(),
            at_node: BTreeMap::new(),
        };
        self.runs.insert(e.run, facts);
        Ok(())
    }

    pub(super) fn doing(&mut self, run: RunId, doing: Doing) -> Checked {
        if let Some(run) = self.runs.get_mut(&run) {
            run.doing = doing;
            run.paused &= doing != Doing::Cancelling;
        }
        Ok(())
    }

    pub(super) fn failing(&mut self, e: &RunFailing, at: Timestamp) -> Checked {
        let Some(run) = self.runs.get_mut(&e.run) else { return Ok(()) };
        if run.doing != Doing::Active {
            return broken("run states", format!("run {} fails while it is {:?}", e.run, run.doing));
        }
        if e.action.is_none() && e.failure.class == FailureClass::Timeout {
            let due = run.graph.timeout.map(|span| run.submitted.after(span));
            if due.is_none_or(|due| at < due) {
                return broken("I7 timers", format!("run {} timed out before its time", e.run));
            }
        }
        run.doing = Doing::Failing;
        Ok(())
    }

    pub(super) fn paused(&mut self, run: RunId, paused: bool) -> Checked {
        if let Some(run) = self.runs.get_mut(&run) {
            run.paused = paused;
        }
        Ok(())
    }

    pub(super) fn signalled(&mut self, e: &SignalReceived) -> Checked {
        if let Some(run) = self.runs.get_mut(&e.run) {
            *run.signals.entry(e.name.clone()).or_default() += 1;
        }
        Ok(())
    }

    pub(super) fn finished(&mut self, e: &RunFinished) -> Checked {
        let Some(run) = self.runs.get_mut(&e.run) else {
            return broken("I10 replay", format!("run {} ends and was never submitted", e.run));
        };
        if let Some(action) = run.actions.iter().find(|action| action.is_open()) {
            return broken("I8 cancel", format!("run {} ends while `{}` is open ({:?})", e.run, action.path, action.phase));
        }
        if e.phase == Phase::Succeeded {
            let unsettled = (0..run.graph.nodes.len() as u32).find(|node| run.settled.get(&(0, *node)) != Some(&true));
            if run.doing != Doing::Active || unsettled.is_some() {
                return broken("run states", format!("run {} succeeds, but not its node {unsettled:?}", e.run));
            }
        } else if run.doing == Doing::Active {
            return broken("run states", format!("run {} ends as {} out of the blue", e.run, e.phase));
        }
        if run.doing == Doing::Undoing && run.undone < run.undo.len() {
            return broken("undo", format!("run {} ends with {} of {} undone", e.run, run.undone, run.undo.len()));
        }
        if run.doing != Doing::Undoing && run.doing != Doing::Active && !run.succeeded.is_empty() {
            return broken("undo", format!("run {} ends and undoes nothing of what succeeded", e.run));
        }
        run.ended = Some(e.phase);
        Ok(())
    }

    pub(super) fn compensation(&mut self, e: &CompensationStarted) -> Checked {
        let Some(run) = self.runs.get_mut(&e.run) else { return Ok(()) };
        let expected: Vec<_> = run.succeeded.iter().rev().copied().collect();
        if e.order != expected {
            return broken("undo", format!("run {} undoes {:?}; last success first is {expected:?}", e.run, e.order));
        }
        if run.open > 0 || !matches!(run.doing, Doing::Failing | Doing::Cancelling) {
            return broken("undo", format!("run {} undoes while it is {:?}", e.run, run.doing));
        }
        (run.doing, run.undo, run.undone) = (Doing::Undoing, e.order.clone(), 0);
        Ok(())
    }

    pub(super) fn skipped(&mut self, e: &NodesSkipped) -> Checked {
        let Some(run) = self.runs.get_mut(&e.run) else { return Ok(()) };
        for node in &e.nodes {
            run.scope_of(e.scope, &node.path);
            if run.doing != Doing::Active || run.paused {
                return broken("run states", format!("`{}` is left out while the run is {:?}", node.path, run.doing));
            }
            run.check_ready(e.scope, node.node, &node.path)?;
            run.settle(e.scope, node.node, true, &node.path)?;
        }
        Ok(())
    }
}

impl RunFacts {
    /// What has to hold between steps.
    pub(super) fn check(&self, id: RunId) -> Checked {
        let open = || self.actions.iter().filter(|action| action.is_open());
        let lets_finish = self.doing == Doing::Failing && self.graph.on_failure == OnFailure::Finish;
        if matches!(self.doing, Doing::Failing | Doing::Cancelling)
            && let Some(action) = open().find(|action| match action.phase {
                At::Stopping => false,
                At::Placed => !lets_finish,
                _ => true,
            })
        {
            let what = format!("run {id} is {:?}, and `{}` is {:?}", self.doing, action.path, action.phase);
            return broken("I8 cancel", what);
        }
        if self.doing == Doing::Undoing && open().filter(|action| matches!(action.role, Role::Undo { .. })).count() > 1 {
            return broken("undo", format!("run {id} undoes two things at once"));
        }
        Ok(())
    }
}
