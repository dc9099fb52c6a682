//! Level 4: labels, computed again. The flow certificate, which is a decision about them, is made again with them (level 3).

use std::collections::BTreeMap;

use engine::event::{ArtifactsLabelled, AttemptFinished, Opened, Role, RunLabelled, RunSubmitted};
use model::govern::UNLABELED;
use model::{ArtifactRef, Carried, Digest, Label, Node, RunId, Seq, Timestamp};
use policy::{Cache, Rules};
use serde_json::Value;
use workflow::labels::{Table, declared};

use super::run::{Action, Gave, Run};
use super::{Rederive, UNDER_WAY};
use crate::governing::{flow, labelled};

impl Rederive<'_> {
    pub(super) fn submitted(&mut self, seq: Seq, at: Timestamp, event: &RunSubmitted) {
        let graph = (self.graphs)(&event.graph).filter(|graph| graph.digest() == event.graph);
        if graph.is_none() {
            self.problem(4, seq, format!("the graph {} is not at hand, or is not what its digest says", event.graph));
        }
        // What each step runs does not hang on labels.
        let table = graph.as_ref().map(|graph| workflow::labels::pass(graph, &BTreeMap::new(), &|_| None)).unwrap_or_default();
        let run = Run {
            project: event.project.clone(),
            workflow: event.workflow.clone(),
            domain: event.domain.clone(),
            label: event.label.clone(),
            graph,
            inputs: event.inputs.body.as_deref().cloned(),
            unlabelled: Some((seq, at)),
            labels: RunLabelled::default(),
            works: table.steps.into_iter().filter_map(|step| Some((step.path, step.work?))).collect(),
            actions: BTreeMap::new(),
            released: BTreeMap::new(),
            reach: BTreeMap::new(),
            gave: None,
        };
        self.runs.insert(event.run, run);
    }

    /// A run is recorded without labels: there must be nothing that carries any.
    pub(super) fn without_labels(&mut self, id: RunId) {
        let Some((seq, at)) = self.runs.get_mut(&id).and_then(|run| run.unlabelled.take()) else { return };
        self.compare(id, seq, at, &RunLabelled { run: id, ..RunLabelled::default() }, self.rules_at(at));
    }

    pub(super) fn run_labelled(&mut self, seq: Seq, at: Timestamp, event: &RunLabelled) {
        let id = event.run;
        let first = self.runs.get_mut(&id).and_then(|run| run.unlabelled.take()).is_some();
        if !first {
            return self.problem(4, seq, "the labels of a run are recorded a second time, or not at its beginning");
        }
        let named: Vec<_> = self.rules_at(at).into_iter().filter(|rules| Some(rules.digest()) == event.rules).collect();
        if named.is_empty() {
            self.problem(3, seq, "the labels of the run were counted by rules that were not in force");
        } else {
            self.compare(id, seq, at, event, named);
        }
        if let Some(run) = self.runs.get_mut(&id) {
            run.labels = event.clone();
        }
    }

    /// Compares what is recorded of a run's labels with what comes out of its graph, by any of these rules.
    fn compare(&mut self, id: RunId, seq: Seq, at: Timestamp, event: &RunLabelled, rules: Vec<std::sync::Arc<Rules>>) {
        let Some(run) = self.runs.get(&id) else { return };
        let Some(graph) = run.graph.clone() else { return };
        let (project, domain) = (run.project.clone(), run.domain.clone());
        // An approval may have ended in between.
        let times = [at, Timestamp(at.0.saturating_sub(UNDER_WAY.0))];
        let tries = rules.iter().flat_map(|rules| times.map(|time| (rules.clone(), time)));
        let mut wrong = None;
        for (rules, time) in tries {
            let inputs = self.inputs(&graph, id, &rules, event);
            let table = labelled(&rules, &graph, &inputs, time);
            match differs(event, &inputs, &table) {
                None => {
                    self.computed("runs");
                    self.certify(seq, &rules, &flow(&graph, &project, &table), &domain);
                    return;
                }
                Some(what) => wrong = wrong.or(Some(what)),
            }
        }
        self.computed("runs");
        self.problem(4, seq, wrong.unwrap_or_else(|| "its labels cannot be computed".into()));
    }

    /// What the inputs carry: exactly, where they are at hand; otherwise at least what is declared, and what is recorded beside.
    fn inputs(&mut self, graph: &model::Graph, id: RunId, rules: &Rules, event: &RunLabelled) -> BTreeMap<String, Label> {
        let mut carried = declared(graph);
        let Some(inputs) = self.runs.get(&id).and_then(|run| run.inputs.clone()) else {
            for (name, label) in &event.inputs {
                carried.entry(name.clone()).or_default().join(label);
            }
            self.left_out("labels of inputs that are not at hand: what is recorded was taken, beside what is declared");
            return carried;
        };
        for (name, value) in inputs.as_object().into_iter().flatten() {
            let declared = carried.entry(name.clone()).or_default();
            for artifact in ArtifactRef::all_in(value) {
                let stored = self.stored.get(&artifact.digest).cloned().unwrap_or_default();
                if declared.is_empty() && stored.is_empty() && rules.marks_unlabeled() {
                    declared.join(&Label::of([UNLABELED]));
                }
                declared.join(&stored);
            }
        }
        carried
    }

    fn certify(&mut self, seq: Seq, rules: &Rules, flow: &policy::Flow, domain: &str) {
        if !rules.governed() {
            return;
        }
        self.decided("flow certificates");
        if let Err(refused) = rules.certify(flow, &[domain], &self.fleet, &mut Cache::default()) {
            let text: Vec<String> = refused.iter().map(policy::Refused::render).collect();
            self.problem(3, seq, format!("the run was accepted, and the rules of then refuse it: {}", text.join(" ").trim()));
        }
    }

    pub(super) fn opened(&mut self, id: RunId, seq: Seq, one: &Opened, definition: Option<&str>) {
        let Some(run) = self.runs.get(&id) else { return };
        let of = |number| run.actions.get(number).map(|action| action.label.clone());
        let (expected, work) = match &one.role {
            Role::Child { parent } => (of(parent), definition.and_then(work_of_definition)),
            Role::Transfer { wanted_by, .. } => (of(wanted_by), None),
            // It may read what the action gave that it undoes.
            Role::Undo { of: undone } => (
                of(undone).map(|label| run.reads(&one.path).joined(&label)),
                run.works.get(&engine::without_items(&one.path)).cloned(),
            ),
            _ => (Some(run.reads(&one.path)), run.works.get(&engine::without_items(&one.path)).cloned()),
        };
        self.computed("actions");
        match expected {
            Some(expected) if expected == one.label => {}
            Some(expected) => {
                let what = format!("`{}` is recorded to read {}, and reads {expected}", one.path, one.label);
                self.problem(4, seq, what);
            }
            None => self.problem(4, seq, format!("`{}` belongs to an action that was never opened", one.path)),
        }
        let is_child = matches!(one.role, Role::Child { .. });
        let action =
            Action { path: one.path.clone(), label: one.label.clone(), work, is_child, at: None, placed: BTreeMap::new() };
        if let Some(run) = self.runs.get_mut(&id) {
            run.actions.insert(one.action, action);
        }
        if let Role::Transfer { wanted_by, from, to, .. } = &one.role {
            self.brought(id, seq, *wanted_by, from, to);
        }
    }

    /// What an attempt gave: the labels of its artifacts come next.
    pub(super) fn gave(&mut self, id: RunId, seq: Seq, event: &AttemptFinished) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        let Some(action) = run.actions.get(&event.action) else { return };
        let carried = run.gives(action);
        run.gave = Some(Gave { seq, action: event.action, carried, output: event.output.clone() });
    }

    /// Nothing is recorded of what an attempt gave: nothing of it may carry anything.
    pub(super) fn without_artifacts(&mut self, id: RunId) {
        let Some(gave) = self.runs.get_mut(&id).and_then(|run| run.gave.take()) else { return };
        let output = gave.output.as_ref().and_then(|output| output.body.as_deref());
        let Some(expected) = output.map(|output| labels_of(&gave.carried, output)) else { return };
        if let Some((artifact, label)) = expected.first_key_value() {
            self.problem(4, gave.seq, format!("the artifact {artifact} carries {label}, and nothing is recorded of it"));
        }
    }

    pub(super) fn artifacts(&mut self, seq: Seq, event: &ArtifactsLabelled) {
        let gave = self.runs.get_mut(&event.run).and_then(|run| run.gave.take());
        let recorded = &event.labels;
        for _ in recorded {
            self.computed("artifacts");
        }
        let wrong = match (event.action, gave) {
            (None, _) => self.runs.get(&event.run).and_then(|run| {
                let expected = given(run)?;
                (expected != *recorded).then(|| "the labels of the run's input artifacts are others than recorded".to_owned())
            }),
            (Some(action), Some(gave)) if gave.action == action => {
                match gave.output.as_ref().and_then(|output| output.body.as_deref()) {
                    Some(output) => {
                        let expected = labels_of(&gave.carried, output);
                        (expected != *recorded).then(|| "the labels of its artifacts are others than what it gives".to_owned())
                    }
                    None => {
                        self.left_out("outputs that are not at hand: the labels of their artifacts were compared with bounds");
                        let (least, most) = (&gave.carried.all, gave.carried.of(None));
                        let fits = |label: &Label| least.0.is_subset(&label.0) && label.0.is_subset(&most.0);
                        recorded.iter().find(|(_, label)| !fits(label)).map(|(artifact, label)| {
                            format!("the artifact {artifact} carries {label}, and what its step gives is {least} to {most}")
                        })
                    }
                }
            }
            (Some(_), _) => Some("labels of artifacts are recorded that nothing gave".to_owned()),
        };
        if let Some(what) = wrong {
            self.problem(4, seq, what);
        }
        for (artifact, label) in recorded {
            self.stored.entry(*artifact).or_default().join(label);
        }
    }
}

/// The labels of the artifacts among a run's inputs; none when the inputs are not at hand.
fn given(run: &Run) -> Option<BTreeMap<Digest, Label>> {
    let inputs = run.inputs.as_ref()?;
    let mut given: BTreeMap<Digest, Label> = BTreeMap::new();
    for (name, label) in run.labels.inputs.iter().filter(|(_, label)| !label.is_empty()) {
        for artifact in inputs.get(name).map(ArtifactRef::all_in).unwrap_or_default() {
            given.entry(artifact.digest).or_default().join(label);
        }
    }
    Some(given)
}

/// The labels of the artifacts in an output.
fn labels_of(carried: &Carried, output: &Value) -> BTreeMap<Digest, Label> {
    let mut labels: BTreeMap<Digest, Label> = BTreeMap::new();
    let mut note = |value: &Value, label: &Label| {
        for artifact in ArtifactRef::all_in(value) {
            labels.entry(artifact.digest).or_default().join(label);
        }
    };
    match output {
        Value::Object(fields) if ArtifactRef::from_value(output).is_none() => {
            fields.iter().for_each(|(name, value)| note(value, &carried.of(Some(name))));
        }
        other => note(other, &carried.of(None)),
    }
    labels.retain(|_, label| !label.is_empty());
    labels
}

/// How what is recorded differs from what comes out.
fn differs(event: &RunLabelled, inputs: &BTreeMap<String, Label>, table: &Table) -> Option<String> {
    let inputs: BTreeMap<_, _> = inputs.iter().filter(|(_, label)| !label.is_empty()).collect();
    if event.inputs.iter().collect::<BTreeMap<_, _>>() != inputs {
        return Some("its inputs carry other tags than recorded".into());
    }
    let (mut reads, mut gives, mut lowered) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for step in &table.steps {
        if !step.label.is_empty() {
            reads.insert(&step.path, &step.label);
        }
        if !step.output.is_empty() {
            gives.insert(&step.path, &step.output);
        }
        if let Some(sanitizer) = &step.lowered_by {
            lowered.insert(&step.path, sanitizer);
        }
    }
    let path =
        |known: Vec<&String>, recorded: Vec<&String>| known.into_iter().chain(recorded).next().cloned().unwrap_or_default();
    if event.reads.iter().collect::<BTreeMap<_, _>>() != reads {
        let of = |step: &&&String| event.reads.get(**step) != reads.get(**step).copied();
        let at = path(reads.keys().filter(of).copied().collect(), event.reads.keys().filter(|step| of(&step)).collect());
        return Some(format!("`{at}` can read other tags than recorded"));
    }
    // Where nothing carries anything, nothing is recorded.
    let anything = !(inputs.is_empty() && reads.is_empty() && gives.is_empty());
    if anything && event.lowered.iter().collect::<BTreeMap<_, _>>() != lowered {
        return Some("tags are taken off elsewhere, or by another sanitizer, than recorded".into());
    }
    if event.gives.iter().collect::<BTreeMap<_, _>>() != gives {
        return Some("what its steps give carries other tags than recorded".into());
    }
    None
}

/// What a child runs, by its own definition.
fn work_of_definition(definition: &str) -> Option<String> {
    serde_json::from_str::<Node>(definition).ok().map(|node| node.kind.work())
}
