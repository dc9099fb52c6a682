//! Looking ahead: where the nodes of a workflow would run and at what price, and what differs between two workflows. Nothing is
//! registered and nothing is started.

use std::collections::BTreeMap;
use std::sync::Arc;

use journal::{ActionFilter, Reader, RunFilter, SiteRow};
use model::{Graph, Money, Node, NodeKind, Phase};
use placement::{Demand, Explanation, SiteView, Verdict};
use workflow::documents::Document;

use crate::applying::read_all;
use crate::{ControlPlane, Fault, FaultKind, SourceFile};

/// Earlier runs that a plan looks at.
const RUNS_MAX: usize = 20;
/// Actions of each of them.
const ACTIONS_MAX: usize = 2_000;

/// Where a workflow comes from: registered, or a document.
#[derive(Clone, Debug, Default)]
pub struct WorkflowSource {
    /// The name; the only workflow among the documents when there is none.
    pub name: Option<String>,
    /// The registered version; the latest when there is none.
    pub version: Option<u64>,
    /// Documents that are read as if they were applied.
    pub documents: Vec<SourceFile>,
    /// The files they refer to.
    pub files: BTreeMap<String, Arc<[u8]>>,
}

/// Where a node would run.
#[derive(Clone, Debug)]
pub struct PlannedNode {
    /// Its path: `train`, `score[]` for the items of a map, `sub/clean`.
    pub path: String,
    /// Its kind.
    pub kind: &'static str,
    /// Every site with its terms; none when it needs no place.
    pub explanation: Option<Explanation>,
    /// The site that would take it.
    pub site: Option<String>,
    /// How long it took in earlier runs, in microseconds: the median.
    pub wall_us: Option<u64>,
    /// What it cost there: the price of that long at the site that would take it.
    pub cost: Option<Money>,
    /// How many earlier actions that is from.
    pub seen: usize,
}

/// A plan.
#[derive(Clone, Debug, Default)]
pub struct WorkflowPlan {
    /// The workflow.
    pub workflow: String,
    /// Its nodes, in the order written.
    pub nodes: Vec<PlannedNode>,
    /// Findings of the documents, as text.
    pub rendered: String,
}

impl ControlPlane {
    /// Reads a workflow without registering it.
    fn look_up(&self, source: WorkflowSource) -> Result<(Arc<Graph>, Vec<SiteView>, String), Fault> {
        let rows = self.reader().sites().map_err(Fault::internal)?;
        let mut sites: Vec<SiteView> = rows.iter().map(idle).collect();
        if source.documents.is_empty() {
            let name = source.name.ok_or_else(|| Fault::new(FaultKind::Malformed, "neither a name nor a document is given"))?;
            return Ok((self.workflow(&name, source.version)?.0, sites, String::new()));
        }
        let (documents, outcome) = read_all(self.reader(), &source.documents, &source.files);
        if outcome.failed() {
            return Err(outcome.into());
        }
        let mut graphs = Vec::new();
        for sourced in documents {
            match sourced.document {
                Document::Workflow(graph) => graphs.push(graph),
                Document::Site(spec) => {
                    sites.retain(|known| known.name != spec.name);
                    let row = SiteRow { spec, cordoned: false, drained: false, healthy: true, reason: String::new() };
                    sites.push(idle(&row));
                }
                _ => {}
            }
        }
        if let Some(name) = &source.name {
            graphs.retain(|graph| graph.workflow == *name);
        }
        match (graphs.len(), graphs.pop()) {
            (1, Some(graph)) => Ok((graph, sites, outcome.rendered)),
            (0, _) => Err(Fault::new(FaultKind::NotFound, "there is no workflow among the documents")),
            _ => Err(Fault::new(FaultKind::Malformed, "there are several workflows among the documents").hint("name one")),
        }
    }

    /// Where the nodes of a workflow would run if every open site were idle.
    pub fn plan(&self, source: WorkflowSource) -> Result<WorkflowPlan, Fault> {
        let (graph, sites, rendered) = self.look_up(source)?;
        let past = past(self.reader(), &graph.workflow)?;
        let mut plan = WorkflowPlan { workflow: graph.workflow.clone(), nodes: Vec::new(), rendered };
        plan_graph(&graph, "", &sites, &past, &mut plan.nodes);
        Ok(plan)
    }

    /// What differs in meaning between two workflows.
    pub fn diff(&self, before: WorkflowSource, after: WorkflowSource) -> Result<Vec<workflow::semantic::Change>, Fault> {
        let (before, ..) = self.look_up(before)?;
        let (after, ..) = self.look_up(after)?;
        Ok(workflow::semantic::diff(&before, &after))
    }
}

/// A site as it is when nothing runs there.
fn idle(row: &SiteRow) -> SiteView {
    let closed = match (row.drained, row.cordoned, row.healthy) {
        (true, _, _) => Some("it is being drained".to_owned()),
        (_, true, _) => Some("it is cordoned".to_owned()),
        (_, _, false) => Some(format!("it is not healthy: {}", row.reason)),
        _ => None,
    };
    SiteView {
        name: row.spec.name.clone(),
        capacity: row.spec.capacity,
        free: row.spec.capacity,
        attributes: row.spec.attributes.clone(),
        prices: row.spec.prices,
        closed,
        refused: None,
        simulated: row.spec.simulates.is_some(),
    }
}

fn plan_graph(graph: &Graph, prefix: &str, sites: &[SiteView], past: &BTreeMap<String, Vec<u64>>, nodes: &mut Vec<PlannedNode>) {
    for node in &graph.nodes {
        plan_node(node, format!("{prefix}{}", node.id), sites, past, nodes);
    }
}

fn plan_node(node: &Node, path: String, sites: &[SiteView], past: &BTreeMap<String, Vec<u64>>, nodes: &mut Vec<PlannedNode>) {
    let mut walls = past.get(&path).cloned().unwrap_or_default();
    walls.sort_unstable();
    let wall_us = walls.get(walls.len() / 2).copied();
    let mut planned =
        PlannedNode { path, kind: node.kind.as_str(), explanation: None, site: None, wall_us, cost: None, seen: walls.len() };
    if node.kind.is_placed() {
        let demand = Demand { needs: node.needs.clone(), count: 1, inputs: Vec::new() };
        let plan = placement::plan(sites, &demand);
        planned.site = plan.explanation.sites.iter().find(|site| site.verdict == Verdict::Chosen).map(|site| site.site.clone());
        let chosen = planned.site.as_ref().and_then(|name| sites.iter().find(|site| site.name == *name));
        planned.cost = chosen.zip(wall_us).map(|(site, wall)| site.prices.of_use(&node.needs.resources, wall));
        planned.explanation = Some(plan.explanation);
    }
    let path = planned.path.clone();
    nodes.push(planned);
    match &node.kind {
        NodeKind::Each { body, .. } => plan_node(body, format!("{path}[]"), sites, past, nodes),
        NodeKind::Workflow { graph } => plan_graph(graph, &format!("{path}/"), sites, past, nodes),
        _ => {}
    }
}

/// How long the actions of earlier runs took, by path; the items of a map together.
fn past(reader: &Reader, workflow: &str) -> Result<BTreeMap<String, Vec<u64>>, Fault> {
    let filter =
        RunFilter { workflow: Some(workflow.to_owned()), phase: Some(Phase::Succeeded), limit: RUNS_MAX, ..RunFilter::default() };
    let mut walls: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for run in reader.runs(&filter).map_err(Fault::internal)? {
        let filter = ActionFilter { from: 0, limit: ACTIONS_MAX, phase: Some(Phase::Succeeded) };
        for action in reader.actions(run.id, &filter).map_err(Fault::internal)? {
            if !action.reused && action.usage.wall_us > 0 {
                walls.entry(without_items(&action.path)).or_default().push(action.usage.wall_us);
            }
        }
    }
    Ok(walls)
}

/// `score[3]/clean` as `score[]/clean`.
fn without_items(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    let mut inside = false;
    for c in path.chars() {
        inside = inside && c != ']';
        if !inside {
            out.push(c);
        }
        inside = inside || c == '[';
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_items_of_a_map_are_taken_together() {
        assert_eq!(without_items("score[31]/clean"), "score[]/clean");
        assert_eq!(without_items("a[1][2]"), "a[][]");
        assert_eq!(without_items("train"), "train");
    }
}
