//! Level 4: labels, computed again. The flow certificate, which is a decision about them, is made again with them (level 3).

use std::collections::BTreeMap;
use std::convert::Infallible;

use engine::event::{ActionKind, ArtifactsLabelled, AttemptFinished, ChildOpened, Opened, Role, RunLabelled, RunSubmitted};
use model::{ActionNo, ArtifactRef, Digest, Label, Node, Phase, RunId, Seq, Timestamp};
use policy::{Cache, Rules};
use workflow::labels::declared;

use super::files::Files;
use super::run::{Action, Gave, Run};
use super::{Rederive, UNDER_WAY};
use crate::governing::{
    asked_graph, carries_anything, flow, inputs_carry, labelled, labels_of, labels_of_asked, task_of, vouched, works_of,
};

impl Rederive<'_> {
    pub(super) fn submitted(&mut self, seq: Seq, at: Timestamp, event: &RunSubmitted) {
        let graph = (self.graphs)(&event.graph).filter(|graph| graph.digest() == event.graph);
        if graph.is_none() {
            self.problem(4, seq, format!("the graph {} is not at hand, or is not what its digest says", event.graph));
        }
        let works = graph.as_ref().map(|graph| works_of(graph, "")).unwrap_or_default();
        let mut files = Files::default();
        files.known(&event.locations);
        let path = |node: u32| Some(graph.as_ref()?.nodes.get(node as usize)?.id.clone());
        let reused = event.reused.iter().filter_map(|one| Some((path(one.node)?, one.output.clone()))).collect();
        let run = Run {
            project: event.project.clone(),
            workflow: event.workflow.clone(),
            domain: event.domain.clone(),
            label: event.label.clone(),
            graph,
            inputs: event.inputs.body.as_deref().cloned(),
            unlabelled: Some((seq, at)),
            labels: RunLabelled::default(),
            works,
            beyond: BTreeMap::new(),
            actions: BTreeMap::new(),
            released: BTreeMap::new(),
            reach: BTreeMap::new(),
            files,
            reused,
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
            for (path, output) in std::mem::take(&mut run.reused) {
                let given = run.labels.gives.get(&path).map(|given| given.of_artifacts(output.value())).unwrap_or_default();
                given.iter().for_each(|(file, label)| run.files.bring(*file, label));
            }
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
            let table = labelled(&rules, &graph, Some(&domain), &inputs, time);
            let expected = labels_of(&inputs, &table);
            match differs(event, &expected).or_else(|| differs_in_checks(event, vouched(&rules, &expected))) {
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
        let Some(inputs) = self.runs.get(&id).and_then(|run| run.inputs.clone()) else {
            let mut carried = declared(graph);
            for (name, label) in &event.inputs {
                carried.entry(name.clone()).or_default().join(label);
            }
            self.left_out("labels of inputs that are not at hand: what is recorded was taken, beside what is declared");
            return carried;
        };
        let stored = |artifact: &Digest| Ok::<_, Infallible>(self.stored.get(artifact).cloned().unwrap_or_default());
        let Ok(carried) = inputs_carry(rules, graph, &inputs, stored);
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

    /// The tags that came to what a running action asked for: all that the rules of then say by its name must be among them. What else came by what it
    /// was given is taken as it is recorded, since values are no part of the record; but no tag that the rules of then do not know.
    pub(super) fn entered(&mut self, id: RunId, seq: Seq, at: Timestamp, event: &ChildOpened) {
        let Some(run) = self.runs.get(&id) else { return };
        let task = work_of_definition(&event.definition).unwrap_or_default();
        let (project, domain, label) = (run.project.clone(), run.domain.clone(), &event.opened.label);
        let is_task = event.opened.kind == ActionKind::Task && !event.opened.instant;
        let rules = self.rules_at(at);
        let holds = |rules: &Rules| {
            let by_name = rules.tags_of_task(&project, Some(&domain), task_of(&task));
            let known = event.entered.iter().flatten().all(|(tag, _)| rules.knows(tag));
            known && (!is_task || by_name.0.is_subset(&label.0))
        };
        if !rules.iter().any(|rules| holds(rules)) {
            let what =
                format!("`{}` is recorded to read {label}, and the rules of then say otherwise of `{task}`", event.opened.path);
            self.problem(4, seq, what);
        }
    }

    /// A workflow that a running action asked for: what its nodes can read and give is counted again, and its certificate made again. Whatever the
    /// action carries that its inputs were not said to carry is carried by all of it.
    pub(super) fn inside(&mut self, id: RunId, seq: Seq, at: Timestamp, event: &ChildOpened) {
        let Some(graph) = asked_graph(&event.definition) else { return };
        let (path, none) = (&event.opened.path, RunLabelled::default());
        let recorded = event.inside.as_deref().unwrap_or(&none);
        // Nothing of one that ends where it begins is run.
        if !event.opened.instant {
            self.count_inside(id, seq, at, event, recorded, &graph);
        }
        let Some(run) = self.runs.get_mut(&id) else { return };
        let below = |step: &String| if step.is_empty() { path.clone() } else { format!("{path}/{step}") };
        run.works.extend(works_of(&graph, &format!("{path}/")));
        run.labels.reads.extend(recorded.reads.iter().map(|(step, label)| (below(step), label.clone())));
        run.labels.gives.extend(recorded.gives.iter().map(|(step, given)| (below(step), given.clone())));
        let mut beyond = event.opened.label.clone();
        beyond.0.retain(|tag| !recorded.inputs.values().any(|label| label.0.contains(tag)));
        run.beyond.insert(path.clone(), beyond);
    }

    fn count_inside(
        &mut self,
        id: RunId,
        seq: Seq,
        at: Timestamp,
        event: &ChildOpened,
        recorded: &RunLabelled,
        graph: &model::Graph,
    ) {
        let Some(run) = self.runs.get(&id) else { return };
        let (path, project, domain) = (&event.opened.path, run.project.clone(), run.domain.clone());
        self.computed("workflows that were asked for");
        if let Some(tag) = recorded.inputs.values().flat_map(|label| &label.0).find(|tag| !event.opened.label.0.contains(*tag)) {
            let what = format!("the inputs of `{path}` are recorded to carry `{tag}`, which whoever asked for it does not carry");
            return self.problem(4, seq, what);
        }
        let mut rules = self.rules_at(at);
        if event.inside.is_some() {
            rules.retain(|rules| Some(rules.digest()) == recorded.rules);
        }
        let times = [at, Timestamp(at.0.saturating_sub(UNDER_WAY.0))];
        let mut wrong = None;
        for (rules, time) in rules.iter().flat_map(|rules| times.map(|time| (rules.clone(), time))) {
            let table = labelled(&rules, graph, Some(&domain), &recorded.inputs, time);
            match differs(recorded, &labels_of_asked(&recorded.inputs, &table)) {
                None => return self.certify(seq, &rules, &flow(graph, &project, &table), &domain),
                Some(what) => wrong = wrong.or(Some(what)),
            }
        }
        let wrong = wrong.unwrap_or_else(|| "its labels were counted by rules that were not in force".into());
        self.problem(4, seq, format!("the workflow `{path}` that was asked for: {wrong}"));
    }

    /// An action has ended: whoever asked for it is told what it came to.
    pub(super) fn ended(&mut self, id: RunId, number: ActionNo, phase: Phase, reused: bool) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        let Some(action) = run.actions.get_mut(&number) else { return };
        action.has_ended = true;
        if phase != Phase::Aborted && (reused || !action.placed.is_empty() || action.is_begun_workflow) {
            run.told(number, phase);
        }
    }

    pub(super) fn opened(&mut self, id: RunId, seq: Seq, one: &Opened, child: Option<&ChildOpened>) {
        let Some(run) = self.runs.get(&id) else { return };
        let of = |number| run.actions.get(number).map(|action| action.label.clone());
        let entered =
            || Label::of(child.and_then(|child| child.entered.as_ref()).into_iter().flatten().map(|(tag, _)| tag.clone()));
        let (expected, work) = match &one.role {
            Role::Child { parent } => {
                (of(parent).map(|label| label.joined(&entered())), child.and_then(|child| work_of_definition(&child.definition)))
            }
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
        let asked_by = match one.role {
            Role::Child { parent } => Some(parent),
            _ => None,
        };
        let moves = match &one.role {
            Role::Transfer { wanted_by, from, to, .. } => Some((*wanted_by, from.clone(), to.clone())),
            _ => None,
        };
        let action = Action {
            path: one.path.clone(),
            label: one.label.clone(),
            input: one.input.clone(),
            work,
            asked_by,
            is_workflow: one.kind == ActionKind::Workflow,
            is_begun_workflow: one.kind == ActionKind::Workflow && !one.instant,
            grown: Label::empty(),
            has_ended: false,
            moves,
            at: None,
            placed: BTreeMap::new(),
        };
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
        let Some(expected) = output.map(|output| gave.carried.of_artifacts(output)) else { return };
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
                        let expected = gave.carried.of_artifacts(output);
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
        if let (None, Some(run)) = (event.action, self.runs.get_mut(&event.run)) {
            recorded.iter().for_each(|(file, label)| run.files.bring(*file, label));
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

/// How what is recorded differs from what comes out.
fn differs(event: &RunLabelled, expected: &RunLabelled) -> Option<String> {
    if event.inputs != expected.inputs {
        return Some("its inputs carry other tags than recorded".into());
    }
    if event.reads != expected.reads {
        let mut steps = expected.reads.keys().chain(event.reads.keys());
        let at = steps.find(|step| event.reads.get(*step) != expected.reads.get(*step)).cloned().unwrap_or_default();
        return Some(format!("`{at}` can read other tags than recorded"));
    }
    // Where nothing carries anything, nothing is recorded.
    if carries_anything(expected) && event.lowered != expected.lowered {
        return Some("tags are taken off elsewhere, or by another sanitizer, than recorded".into());
    }
    (event.gives != expected.gives).then(|| "what its steps give carries other tags than recorded".into())
}

/// How what is recorded of the sanitizers differs from what was approved. Earlier versions did not record it.
fn differs_in_checks(event: &RunLabelled, expected: Option<BTreeMap<String, Digest>>) -> Option<String> {
    let differs = event.vouched.is_some() && event.vouched != expected;
    differs.then(|| "tags are taken off by sanitizers of which something else was approved than recorded".into())
}

/// What a child runs, by its own definition.
fn work_of_definition(definition: &str) -> Option<String> {
    serde_json::from_str::<Node>(definition).ok().map(|node| node.kind.work())
}
