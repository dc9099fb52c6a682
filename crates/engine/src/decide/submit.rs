//! Accepting runs.

use std::collections::BTreeMap;

use model::{ArtifactRef, Digest, Failure, FailureClass, Label, Payload, RunId};

use crate::event::{ArtifactsLabelled, ReusedItem, ReusedNode, RunFailing, RunLabelled, RunPlanned, RunSubmitted};
use crate::state::handle;
use crate::{Event, KnownItem, Rejection, Submit};

use super::Stepper;

impl Stepper<'_, '_> {
    /// Accepts a run, or finds the run that the same submission made before.
    pub(super) fn submit(&mut self, submit: Submit) -> Result<RunId, Rejection> {
        match self.known_run(&submit) {
            Some(run) => Ok(run),
            None => self.accept(submit, None),
        }
    }

    /// The run that the same submission made before.
    pub(super) fn known_run(&self, submit: &Submit) -> Option<RunId> {
        let key = submit.idempotency_key.as_ref()?;
        self.state.keys.get(&handle([&submit.project, key])).copied().or(submit.known.by_key)
    }

    /// Accepts a run that nobody has submitted before. It begins once nothing of its trigger before it is open, when it is behind a run.
    pub(super) fn accept(&mut self, submit: Submit, behind: Option<RunId>) -> Result<RunId, Rejection> {
        let run = RunId(self.state.last_run + 1);
        let taken = |name: &str| self.state.names.get(&handle([&submit.project, &submit.domain, name])).copied();
        let name = match &submit.name {
            Some(name) => {
                if let Some(run) = taken(name).or(submit.known.by_name) {
                    return Err(Rejection::NameTaken { name: name.clone(), run });
                }
                name.clone()
            }
            None => {
                let stem = format!("{}-{run}", submit.graph.workflow.rsplit('/').next().unwrap_or("run"));
                // Somebody may have given this very name to another run: then random digits follow, which nobody can have chosen before.
                match taken(&stem) {
                    None => stem,
                    Some(_) => format!("{stem}-{}", Digest(submit.salt).hex().chars().take(16).collect::<String>()),
                }
            }
        };
        self.state.add_graph(submit.graph_digest, &submit.graph);
        let reused =
            submit.reused.into_iter().map(|(node, value)| ReusedNode { node, output: Payload::new(&submit.salt, value) });
        let reused_items = submit.reused_items.into_iter().map(|KnownItem { node, index, input, output, locations }| {
            ReusedItem { node, input, output: Payload::new(&submit.salt, output), locations, index: Some(index) }
        });
        let reused_items: Vec<ReusedItem> = reused_items.collect();
        self.emit(Event::RunSubmitted(Box::new(RunSubmitted {
            run,
            name,
            project: submit.project,
            domain: submit.domain,
            workflow: submit.graph.workflow.clone(),
            graph: submit.graph_digest,
            inputs: Payload::new(&submit.salt, submit.inputs),
            principal: submit.principal,
            idempotency_key: submit.idempotency_key,
            origin: submit.origin,
            reused: reused.collect(),
            priority: submit.priority,
            label: submit.label,
            locations: submit.locations,
            traceparent: submit.traceparent,
            behind,
            run_labels: Some(submit.run_labels).filter(|labels| !labels.is_empty()),
            concurrency: submit.concurrency,
            reused_items: Some(reused_items).filter(|items| !items.is_empty()),
            salt: submit.salt,
            subject: submit.subject,
        })));
        if let Some(labels) = submit.labels {
            let given = self.given_labels(run, &labels);
            self.emit(Event::RunLabelled(Box::new(RunLabelled { run, ..*labels })));
            if !given.is_empty() {
                self.emit(Event::ArtifactsLabelled(ArtifactsLabelled { run, action: None, labels: given }));
            }
        }
        if let Some(plan) = submit.plan {
            self.emit(Event::RunPlanned(Box::new(RunPlanned { run, ..*plan })));
        }
        Ok(run)
    }

    /// What the artifacts among a run's inputs carry.
    fn given_labels(&self, run: RunId, labels: &RunLabelled) -> BTreeMap<Digest, Label> {
        let mut given: BTreeMap<Digest, Label> = BTreeMap::new();
        let Some(inputs) = self.run(run).and_then(|run| run.scopes.first()).map(|scope| scope.inputs.value()) else {
            return given;
        };
        for (name, label) in labels.inputs.iter().filter(|(_, label)| !label.is_empty()) {
            for artifact in inputs.get(name).map(ArtifactRef::all_in).unwrap_or_default() {
                given.entry(artifact.digest).or_default().join(label);
            }
        }
        given
    }

    /// Keeps a plan for a run that is still open; of one that has ended there is nothing to plan.
    pub(super) fn plan_run(&mut self, plan: RunPlanned) {
        if self.run(plan.run).is_some() {
            self.emit(Event::RunPlanned(Box::new(plan)));
        }
    }

    /// Fails the run as a whole.
    pub(super) fn fail_run(&mut self, run: RunId, class: FailureClass, message: impl Into<String>) {
        self.emit(Event::RunFailing(RunFailing { run, action: None, failure: Failure::new(class, message) }));
    }
}
