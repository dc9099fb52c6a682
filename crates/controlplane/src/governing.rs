//! The gate: rules as they are in force, asked before a workflow is registered, before a run is accepted, and before an action is placed.

mod ahead;
mod asking;
mod carried;
mod certified;
mod placing;
mod record;
mod registered;
mod simulating;
mod supposing;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use engine::event::RunLabelled;
use engine::{Candidate, Event, Moving, State};
use model::govern::UNLABELED;
use model::{ActionKey, ArtifactRef, AttemptKey, Digest, EgressGrant, Graph, Label, Lowering, Node, SiteSpec, Timestamp};
use parking_lot::{Mutex, RwLock};
use placement::Permitted;
use policy::{Cache, Certificate, Fleet, Flow, Rules, Step};
use serde_json::Value;
use workflow::labels::{Table, pass_with};

use crate::{ControlPlane, Fault, FaultKind};

pub(crate) use ahead::Ahead;
pub use asking::{ApprovalRequest, Approved, CaseOutcome, RunLabels};
pub(crate) use carried::{CarriedByRun, CarriedByRuns};
pub use certified::{Certification, Certifications};
pub(crate) use placing::{may_not_be_told, obstacle, work_of};
pub use record::{Change, What};
pub use registered::{Registered, Vouched};
pub use simulating::{Changed, Simulated};

/// Kinds of resources that rules are made of.
pub(crate) const KINDS: [&str; 4] = ["tag", "policy", "sanitizer", "approval"];

/// Whether documents of a kind are what rules are made of.
pub fn is_of_rules(kind: &str) -> bool {
    KINDS.contains(&kind) || kind == crate::secrets::KIND
}

/// The domains of runs: a workflow is registered when it may run in one of them.
pub(crate) const DOMAINS: [&str; 3] = ["development", "staging", "production"];

/// The rules in force, for everybody who asks. The run loop replaces them.
#[derive(Clone, Default)]
pub(crate) struct Governance {
    rules: Arc<RwLock<Arc<Rules>>>,
    /// Answers that doors have asked for.
    cache: Arc<Mutex<Cache>>,
    /// What happened to the rules, as far as it was looked for.
    record: Arc<Mutex<record::Record>>,
    /// What attempts were given of the network: it is asked again when rules change.
    ways: Ways,
}

/// Attempts that were given a way out, where they are, and which.
pub(crate) type Ways = Arc<Mutex<HashMap<AttemptKey, (String, BTreeSet<EgressGrant>)>>>;

impl Governance {
    pub(crate) fn rules(&self) -> Arc<Rules> {
        self.rules.read().clone()
    }

    /// What attempts were given of the network.
    pub(crate) fn ways(&self) -> Ways {
        self.ways.clone()
    }

    /// Answers that doors have asked for.
    pub(crate) fn cache(&self) -> parking_lot::MutexGuard<'_, Cache> {
        self.cache.lock()
    }
}

/// The gate as the run loop holds it.
pub(crate) struct Gate {
    registered: Registered,
    rules: Arc<Rules>,
    shared: Governance,
    fleet: Fleet,
    specs: Vec<Arc<SiteSpec>>,
    cache: Cache,
    /// Whether what runs has to be looked at again.
    changed: bool,
}

impl Gate {
    pub(crate) fn new(registered: Registered, shared: Governance) -> Gate {
        let mut gate = Gate {
            registered,
            rules: Arc::default(),
            shared,
            fleet: Fleet::default(),
            specs: Vec::new(),
            cache: Cache::default(),
            changed: false,
        };
        gate.make();
        gate
    }

    fn make(&mut self) {
        let (rules, problems) = Rules::new(self.registered.sources());
        for problem in problems.iter().filter(|problem| !problem.warning) {
            // It was checked when it was applied, with everything else as it was then.
            tracing::error!(document = ?problem.document, message = problem.message, "the rules are broken: nothing is permitted");
        }
        self.rules = Arc::new(rules);
        *self.shared.rules.write() = self.rules.clone();
        self.changed = true;
    }

    /// Takes what happened: rules are made anew when one was applied or deleted.
    pub(crate) fn note(&mut self, event: &Event) {
        if matches!(event, Event::SiteRegistered(_) | Event::SiteRemoved(_)) {
            self.changed = true;
        }
        if self.registered.note(event) {
            self.make();
        }
    }

    fn look(&mut self, state: &State) {
        let sites = state.fleet().sites();
        let same = self.specs.len() == sites.len()
            && self.specs.iter().zip(sites.values()).all(|(known, site)| Arc::ptr_eq(known, &site.spec));
        if !same {
            self.specs = sites.values().map(|site| site.spec.clone()).collect();
            self.fleet = Fleet::new(self.specs.iter().map(|spec| &**spec));
        }
    }

    /// Where a candidate may go: the sites that the rules permit for what it can read, and where its inputs may move.
    pub(crate) fn permitted(&mut self, state: &State, candidate: &Candidate) -> Permitted {
        if !self.rules.governed() {
            return Permitted::all();
        }
        self.look(state);
        let work = work_of(&candidate.names, candidate.work.clone());
        let heard = candidate.asked_by.as_ref().filter(|asked_by| !candidate.label.0.is_subset(&asked_by.label.0));
        let heard = heard.and_then(|asked_by| Some((asked_by, asked_by.site.as_deref()?)));
        // Where it comes from is the first site with a copy, as the engine brings it.
        let from = |site: &str| {
            let away = candidate.inputs.iter().filter(move |input| !input.sites.iter().any(|known| known == site));
            away.filter_map(|input| input.sites.first().map(String::as_str)).collect::<Vec<_>>().into_iter()
        };
        let by_rules = (&*self.rules, &self.fleet, &mut self.cache);
        let permitted = placing::permitted(by_rules, &work, &candidate.label, from);
        let Some((asked_by, site)) = heard else { return permitted };
        let by_rules = (&*self.rules, &self.fleet, &mut self.cache);
        placing::permitted_to_tell(by_rules, &candidate.names, (asked_by, site), &candidate.label, permitted)
    }

    /// What runs has to be looked at again: the data of some of it carry more.
    pub(crate) fn look_again(&mut self) {
        self.changed = true;
    }

    /// What runs where it may not, and what is on its way to where it may not go, after a change of the rules or of a site. Tags say whether such work is stopped or may end.
    pub(crate) fn denied(&mut self, state: &State) -> Vec<ActionKey> {
        if !std::mem::take(&mut self.changed) || !self.rules.governed() {
            return Vec::new();
        }
        self.look(state);
        let mut denied = Vec::new();
        let ways = self.given();
        for (key, names, work, label, site) in state.held() {
            let work = work_of(&names, work);
            let reaches = |way: &EgressGrant| self.rules.may_reach(&work, &label, &self.fleet, &site, way).allowed;
            let may = ways.get(&key).is_none_or(|ways| ways.iter().all(reaches)) && self.may_be(&work, &label, &site);
            if !may && !self.may_finish(&label) {
                denied.push(key);
            }
        }
        for Moving { key, names, work, label, from, to } in state.moving() {
            let work = work_of(&names, work);
            // Where the work that wants it may not be, it has no business either.
            let may = self.may_be(&work, &label, &to) && self.rules.may_move(&work, &label, &self.fleet, &from, &to).allowed;
            if !may && !self.may_finish(&label) {
                denied.push(key);
            }
        }
        denied
    }

    /// The ways out of the actions that were given some.
    fn given(&self) -> BTreeMap<ActionKey, BTreeSet<EgressGrant>> {
        let ways = self.shared.ways.lock();
        let some = ways.iter().filter(|(_, (_, ways))| !ways.is_empty());
        some.map(|(attempt, (_, ways))| (attempt.action_key(), ways.clone())).collect()
    }

    /// Whether work on data with a label may be at a site. One that is gone is nobody's refusal.
    fn may_be(&mut self, work: &policy::Work, label: &Label, site: &str) -> bool {
        self.cache.places(&self.rules, &self.fleet, work, label).get(site).is_none_or(|verdict| verdict.allowed)
    }

    /// Whether what began under other rules may end: when every tag of its data says so.
    fn may_finish(&self, label: &Label) -> bool {
        let finish =
            |tag: &String| self.rules.tags().get(tag).is_some_and(|spec| spec.on_revoke == model::govern::OnRevoke::Finish);
        !label.is_empty() && label.0.iter().all(finish)
    }
}

/// Whether a node may take tags off, by the rules at a time.
pub(crate) fn may_lower(rules: &Rules, now: Timestamp) -> impl Fn(&Node) -> Option<Result<Lowering, String>> {
    move |node| Some(rules.lowering(node.identity().as_ref(), &node.lowers, now))
}

/// A graph's labels as the certificate wants them.
pub(crate) fn flow(graph: &Graph, project: &str, table: &Table) -> Flow {
    let step = |(number, step): (usize, &workflow::labels::Step)| Step {
        path: step.path.clone(),
        work: step.work.clone(),
        label: step.label.clone(),
        site: step.site.clone(),
        takes: step.takes.iter().copied().collect(),
        trails: step.label.0.iter().map(|tag| (tag.clone(), table.trail(number, tag))).collect(),
        notes: step.not_lowered.iter().cloned().collect(),
    };
    let steps: Vec<Step> = table.steps.iter().enumerate().map(step).collect();
    let mut flow = Flow { workflow: graph.workflow.clone(), project: project.to_owned(), graph: Some(graph.digest()), steps };
    // Why a tag was not taken off is said where it does harm, too.
    let notes: BTreeMap<String, Vec<String>> =
        flow.steps.iter().filter(|step| !step.notes.is_empty()).map(|step| (step.path.clone(), step.notes.clone())).collect();
    for step in &mut flow.steps {
        let passed = step.trails.values().flatten().filter(|path| **path != step.path);
        let said = passed.filter_map(|path| notes.get(path).map(|notes| (path.clone(), notes.clone())));
        let said: BTreeMap<String, Vec<String>> = said.collect();
        step.notes
            .extend(said.into_iter().flat_map(|(path, notes)| notes.into_iter().map(move |note| format!("`{path}`: {note}"))));
    }
    flow
}

/// The project of a workflow.
pub(crate) fn project_of(workflow: &str) -> &str {
    workflow.split_once('/').map_or("default", |(project, _)| project)
}

/// The label pass of a graph under rules: sanitizers take off what they may, secrets bring their tags, and so do tasks, which do not say themselves
/// what they read. Without a domain only what holds in each of them counts: a run is looked at again in its own.
pub(crate) fn labelled(
    rules: &Rules,
    graph: &Graph,
    domain: Option<&str>,
    inputs: &BTreeMap<String, Label>,
    now: Timestamp,
) -> Table {
    labelled_with(rules, graph, domain, inputs, &|_| None, now)
}

/// The same with what is known of the data at a path beside what is said of it.
pub(crate) fn labelled_with(
    rules: &Rules,
    graph: &Graph,
    domain: Option<&str>,
    inputs: &BTreeMap<String, Label>,
    known: &dyn Fn(&str) -> Option<Label>,
    now: Timestamp,
) -> Table {
    let project = project_of(&graph.workflow);
    let adds = |node: &Node, path: &str| {
        let mut adds = match &node.kind {
            model::NodeKind::Task { name } if rules.tags_tasks() => rules.tags_of_task(project, domain, task_of(name)),
            _ => crate::secrets::tags_of(rules, project, node),
        };
        known(path).iter().for_each(|known| adds.join(known));
        adds
    };
    pass_with(graph, inputs, &may_lower(rules, now), &adds)
}

/// The name of a task without its version.
pub(crate) fn task_of(work: &str) -> &str {
    work.split_once('@').map_or(work, |(name, _)| name)
}

/// What the inputs of a run carry: what is declared, what is stored with the artifacts among them, whatever the client or the workflow says, and what
/// entered with the call of a program.
/// An artifact of which neither says anything is `unlabeled` where the rules have that.
pub(crate) fn inputs_carry<E>(
    rules: &Rules,
    graph: &Graph,
    inputs: &Value,
    stored: impl Fn(&Digest) -> Result<Label, E>,
) -> Result<BTreeMap<String, Label>, E> {
    let mut carried = workflow::labels::declared(graph);
    for (name, value) in inputs.as_object().into_iter().flatten() {
        let declared = carried.entry(name.clone()).or_default();
        if let Some(call) = flyte::Call::of(value) {
            declared.join(&Label::of(call.entered.into_keys()));
        }
        for artifact in ArtifactRef::all_in(value) {
            let stored = stored(&artifact.digest)?;
            if declared.is_empty() && stored.is_empty() && rules.marks_unlabeled() {
                declared.join(&Label::of([UNLABELED]));
            }
            declared.join(&stored);
        }
    }
    Ok(carried)
}

/// What is recorded of the labels of a run, but for the rules that they were counted by.
pub(crate) fn labels_of(carried: &BTreeMap<String, Label>, table: &Table) -> RunLabelled {
    let inputs = carried.iter().filter(|(_, label)| !label.is_empty());
    let inputs = inputs.map(|(name, label)| (name.clone(), label.clone())).collect();
    let mut labels = RunLabelled { inputs, ..RunLabelled::default() };
    for step in &table.steps {
        if !step.label.is_empty() {
            labels.reads.insert(step.path.clone(), step.label.clone());
        }
        if let Some(sanitizer) = &step.lowered_by {
            labels.lowered.insert(step.path.clone(), sanitizer.clone());
        }
        if !step.output.is_empty() {
            labels.gives.insert(step.path.clone(), step.output.clone());
        }
    }
    labels
}

/// What is recorded of the labels of a workflow that a running action asked for: those of its nodes by their paths within it, and under the empty
/// path what it gives as a whole, which is what its only node gives.
pub(crate) fn labels_of_asked(carried: &BTreeMap<String, Label>, table: &Table) -> RunLabelled {
    let mut labels = labels_of(carried, table);
    if let Some(given) = labels.gives.get(crate::flyte::ASKED_NODE).cloned() {
        labels.gives.insert(String::new(), given);
    }
    labels
}

/// The graph of a workflow that a running action asked for, by its definition.
pub(crate) fn asked_graph(definition: &str) -> Option<Arc<Graph>> {
    match serde_json::from_str::<Node>(definition).ok()?.kind {
        model::NodeKind::Workflow { graph } => Some(graph),
        _ => None,
    }
}

/// What the steps of a graph run, by their paths behind a prefix. It does not hang on labels.
pub(crate) fn works_of(graph: &Graph, prefix: &str) -> BTreeMap<String, String> {
    let table = workflow::labels::pass(graph, &BTreeMap::new(), &|_| None);
    table.steps.into_iter().filter_map(|step| Some((format!("{prefix}{}", step.path), step.work?))).collect()
}

/// Whether anything of a run carries anything. What only comes in counts too: another workflow may be given it without a word.
pub(crate) fn carries_anything(labels: &RunLabelled) -> bool {
    !(labels.inputs.is_empty() && labels.reads.is_empty() && labels.gives.is_empty())
}

/// Looks at a graph as it is registered: with what its inputs are declared to carry.
pub(crate) fn certify(
    rules: &Rules,
    graph: &Graph,
    fleet: &Fleet,
    cache: &mut Cache,
    now: Timestamp,
) -> Result<Certificate, Box<Fault>> {
    let table = labelled(rules, graph, None, &workflow::labels::declared(graph), now);
    rules
        .certify(&flow(graph, project_of(&graph.workflow), &table), &DOMAINS, fleet, cache)
        .map_err(|refused| refusal(graph, &refused))
}

fn refusal(graph: &Graph, refused: &[policy::Refused]) -> Box<Fault> {
    let text: Vec<String> = refused.iter().map(policy::Refused::render).collect();
    let detail = format!("`{}` is refused by policy\n{}", graph.workflow, text.join("\n"));
    let mut fault = Fault::new(FaultKind::Refused, detail.trim_end().to_owned())
        .hint("let the step run where its data may be, or take the tag off before it with an approved sanitizer (`lowers`)");
    fault.diagnostics = serde_json::to_value(refused).ok().map(|refused| serde_json::json!({ "refused": refused }));
    Box::new(fault)
}

impl ControlPlane {
    /// The rules in force.
    pub fn rules(&self) -> Arc<Rules> {
        self.governance().rules()
    }

    /// The sites as policies see them.
    pub fn policy_fleet(&self) -> Result<Fleet, Fault> {
        let rows = self.reader().sites().map_err(Fault::internal)?;
        Ok(Fleet::new(rows.iter().map(|row| &row.spec)))
    }

    /// The flow certificate of a registered workflow, or why it has none.
    pub fn certificate(&self, workflow: &str, version: Option<u64>) -> Result<Certificate, Fault> {
        let (graph, _) = self.workflow(workflow, version)?;
        let (rules, fleet) = (self.rules(), self.policy_fleet()?);
        certify(&rules, &graph, &fleet, &mut self.governance().cache.lock(), crate::clock::wall()).map_err(|fault| *fault)
    }

    /// What a run's inputs carry, what that means for its nodes, and whether each has a place. Labels that are stored with an artifact
    /// count, whatever the client or the workflow says.
    pub(crate) fn label_run(
        &self,
        graph: &Graph,
        project: &str,
        domain: &str,
        inputs: &Value,
    ) -> Result<Option<Box<RunLabelled>>, Fault> {
        let rules = self.rules();
        let stored = |artifact: &Digest| self.label_given(artifact);
        let carried = inputs_carry(&rules, graph, inputs, stored)?;
        self.label_graph(&rules, graph, (project, domain), &carried, labels_of)
    }

    /// The same of a workflow that a running action asks for, whose one input carries this. A refusal by the rules is an answer.
    pub(crate) fn label_asked(
        &self,
        graph: &Graph,
        (project, domain): (&str, &str),
        carried: BTreeMap<String, Label>,
    ) -> Result<Result<Option<Box<RunLabelled>>, String>, Fault> {
        match self.label_graph(&self.rules(), graph, (project, domain), &carried, labels_of_asked) {
            Ok(labels) => Ok(Ok(labels)),
            Err(fault) if fault.kind == FaultKind::Refused => Ok(Err(fault.detail)),
            Err(fault) => Err(fault),
        }
    }

    fn label_graph(
        &self,
        rules: &Rules,
        graph: &Graph,
        (project, domain): (&str, &str),
        carried: &BTreeMap<String, Label>,
        labels_of: impl Fn(&BTreeMap<String, Label>, &Table) -> RunLabelled,
    ) -> Result<Option<Box<RunLabelled>>, Fault> {
        let tagged = rules.tags_secrets() || rules.tags_tasks();
        let anything = carried.values().any(|label| !label.is_empty()) || declares(graph) || tagged;
        if !anything && !rules.governed() {
            return Ok(None);
        }
        let now = crate::clock::wall();
        let table = labelled(rules, graph, Some(domain), carried, now);
        if rules.governed() {
            let fleet = self.policy_fleet()?;
            let flow = flow(graph, project, &table);
            let certified = rules.certify(&flow, &[domain], &fleet, &mut self.governance().cache.lock());
            certified.map_err(|refused| *refusal(graph, &refused))?;
        }
        let labels = labels_of(carried, &table);
        let labels = RunLabelled { rules: Some(rules.digest()), vouched: vouched(rules, &labels), ..labels };
        Ok(carries_anything(&labels).then(|| Box::new(labels)))
    }
}

/// What the rules say was approved of the sanitizers that take tags off: none where nothing is taken off.
pub(crate) fn vouched(rules: &Rules, labels: &RunLabelled) -> Option<BTreeMap<String, Digest>> {
    let of_it = |name: &String| Some((name.clone(), rules.sanitizers().get(name)?.digest()));
    (!labels.lowered.is_empty()).then(|| labels.lowered.values().filter_map(of_it).collect())
}

/// Whether any node of a graph says that its output carries something.
fn declares(graph: &Graph) -> bool {
    graph.nodes.iter().any(node_declares)
}

fn node_declares(node: &Node) -> bool {
    !node.carries.is_empty()
        || match &node.kind {
            model::NodeKind::Each { body, .. } => node_declares(body),
            model::NodeKind::Workflow { graph } => declares(graph),
            _ => false,
        }
}
