//! The gate asked ahead of time: where the nodes of a workflow may run, before anything runs.
//!
//! It puts the questions that the run loop puts for every action, with the labels that are known by then: of a workflow that is looked at,
//! what its inputs are declared to carry; of a run that is accepted, what they really carry; of one that has begun, what was found out since as well.
//! What nobody can know before, such as what an undeclared file carries, is asked when the action is queued, and that answer counts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{Graph, Label, Node, NodeKind, Timestamp};
use parking_lot::Mutex;
use placement::Permitted;
use policy::{Cache, Fleet, Rules, Work};

use super::{CarriedByRun, labelled_with, placing, project_of};
use crate::{ControlPlane, Fault};

/// Where the nodes of a workflow may run.
pub(crate) struct Ahead {
    rules: Arc<Rules>,
    fleet: Fleet,
    work: Work,
    /// By path: what it can read carries this.
    reads: BTreeMap<String, Label>,
    /// By path: the paths whose files it reads.
    files_of: BTreeMap<String, Vec<String>>,
    cache: Arc<Mutex<Cache>>,
}

impl Ahead {
    /// Of a workflow by rules over sites, with the answers that are known of them, and with what its data carry.
    pub(crate) fn new(
        (rules, cache): (Arc<Rules>, Arc<Mutex<Cache>>),
        fleet: Fleet,
        graph: &Graph,
        (project, domain): (&str, &str),
        carried: &CarriedByRun,
        now: Timestamp,
    ) -> Ahead {
        let mut ahead = Ahead {
            fleet,
            work: Work {
                project: project.to_owned(),
                workflow: graph.workflow.clone(),
                domain: domain.to_owned(),
                work: String::new(),
            },
            reads: BTreeMap::new(),
            files_of: BTreeMap::new(),
            cache,
            rules,
        };
        if ahead.rules.governed() {
            let known = |path: &str| Some(carried.at(path)).filter(|label| !label.is_empty());
            let table = labelled_with(&ahead.rules, graph, Some(domain), &carried.inputs, &known, now);
            let mut gives_files = BTreeSet::new();
            files_given(graph, "", &mut gives_files);
            for step in &table.steps {
                let from = step.takes.iter().filter_map(|taken| table.steps.get(*taken));
                let from = from.filter(|from| gives_files.contains(&from.path)).map(|from| from.path.clone());
                ahead.files_of.insert(step.path.clone(), from.collect());
            }
            ahead.reads = table.steps.into_iter().map(|step| (step.path, step.label)).collect();
            // What running actions asked for is in no graph.
            let others = carried.found.keys().filter(|path| !ahead.reads.contains_key(*path)).cloned();
            let others: Vec<(String, Label)> = others.map(|path| (path.clone(), carried.at(&path))).collect();
            ahead.reads.extend(others);
        }
        ahead
    }

    /// Where a node may go, whose work is named as the engine names it. `place` says where earlier nodes are to run, as far as that is known:
    /// what their files may not be moved to is refused as well.
    pub(crate) fn permitted(&self, path: &str, work: &str, place: &dyn Fn(&str) -> Option<String>) -> Permitted {
        if !self.rules.governed() {
            return Permitted::all();
        }
        let work = Work { work: work.to_owned(), ..self.work.clone() };
        let nothing = Label::empty();
        let label = self.reads.get(path).unwrap_or(&nothing);
        let from: Vec<String> = self.files_of.get(path).into_iter().flatten().filter_map(|from| place(from)).collect();
        let asked = (&*self.rules, &self.fleet, &mut *self.cache.lock());
        placing::permitted(asked, &work, label, |_| from.iter().map(String::as_str))
    }
}

/// The paths of nodes that say that they give files.
fn files_given(graph: &Graph, prefix: &str, found: &mut BTreeSet<String>) {
    for node in &graph.nodes {
        files_of_node(node, format!("{prefix}{}", node.id), found);
    }
}

fn files_of_node(node: &Node, path: String, found: &mut BTreeSet<String>) {
    let is_file = |port: &model::graph::Port| {
        let kind = port.schema.get("type").and_then(serde_json::Value::as_str);
        kind.is_some_and(|kind| workflow::types::ARTIFACT_TYPES.contains(&kind))
    };
    if node.outputs.iter().any(is_file) {
        found.insert(path.clone());
    }
    match &node.kind {
        NodeKind::Each { body, .. } => files_of_node(body, format!("{path}[]"), found),
        NodeKind::Workflow { graph } => files_given(graph, &format!("{path}/"), found),
        _ => {}
    }
}

impl ControlPlane {
    /// The gate ahead of a workflow of its own project, as it would be if these documents were applied.
    pub(crate) fn ahead_with(
        &self,
        graph: &Graph,
        domain: &str,
        sites: &[model::SiteSpec],
        documents: &[crate::applying::Sourced],
    ) -> Result<Ahead, Fault> {
        let rules = (self.rules_with(documents, &[])?, Arc::default());
        Ok(self.ahead_by(rules, graph, domain, sites, &CarriedByRun::declared(graph)))
    }

    /// The gate ahead of a workflow of its own project by these rules, with the answers that are known of them over these sites.
    pub(crate) fn ahead_by(
        &self,
        rules: (Arc<Rules>, Arc<Mutex<Cache>>),
        graph: &Graph,
        domain: &str,
        sites: &[model::SiteSpec],
        carried: &CarriedByRun,
    ) -> Ahead {
        let (fleet, now) = (Fleet::new(sites.iter()), crate::clock::wall());
        Ahead::new(rules, fleet, graph, (project_of(&graph.workflow), domain), carried, now)
    }

    /// The gate ahead of a run, with what its data carry.
    pub(crate) fn ahead_of_run(
        &self,
        graph: &Graph,
        names: (&str, &str),
        carried: &CarriedByRun,
        sites: &[journal::SiteRow],
    ) -> Ahead {
        let fleet = Fleet::new(sites.iter().map(|row| &row.spec));
        // These questions were put a moment ago, when the run was let in.
        let cache = self.governance().cache.clone();
        Ahead::new((self.rules(), cache), fleet, graph, names, carried, crate::clock::wall())
    }
}
