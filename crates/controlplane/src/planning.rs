//! Looking ahead: where the nodes of a workflow would run and at what price, and what differs between two workflows. Nothing is
//! registered and nothing is started.

use std::collections::BTreeMap;
use std::sync::Arc;

use journal::SiteRow;
use model::{Graph, Money, Node, NodeKind, Timestamp};
use placement::{Demand, Explanation, SiteView, Verdict};
use prediction::{Basis, Estimates, Family};
use workflow::documents::Document;

use crate::applying::{Sourced, read_all};
use crate::governing::{Ahead, DOMAINS, project_of};
use crate::placer::outlook;
use crate::projects::ProjectStand;
use crate::{ControlPlane, Fault, FaultKind, SourceFile};

/// Where a workflow comes from: registered, or a document.
#[derive(Clone, Debug, Default)]
pub struct WorkflowSource {
    /// The name; the only workflow among the documents when there is none.
    pub name: Option<String>,
    /// The registered version; the latest when there is none.
    pub version: Option<u64>,
    /// The domain that it would run in; development when there is none.
    pub domain: Option<String>,
    /// Documents that are read as if they were applied.
    pub documents: Vec<SourceFile>,
    /// The files they refer to.
    pub files: BTreeMap<String, Arc<[u8]>>,
}

/// Where a node would run.
#[derive(Clone, Debug, Default)]
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

/// What was looked up of a source.
struct LookedUp {
    graph: Arc<Graph>,
    sites: Vec<SiteRow>,
    /// The documents that were read as if they were applied.
    documents: Vec<Sourced>,
    rendered: String,
}

impl ControlPlane {
    /// Reads a workflow without registering it.
    fn look_up(&self, source: &WorkflowSource) -> Result<LookedUp, Fault> {
        let open = |spec| SiteRow { spec, cordoned: false, drained: false, healthy: true, reason: String::new() };
        let mut sites = self.reader().sites().map_err(Fault::internal)?;
        if sites.is_empty() {
            // Nothing was run here yet: the first run would register the machine itself.
            sites.push(open(crate::start::this_machine()));
        }
        if source.documents.is_empty() {
            let name = source.name.as_ref();
            let name = name.ok_or_else(|| Fault::new(FaultKind::Malformed, "neither a name nor a document is given"))?;
            let graph = self.workflow(name, source.version)?.0;
            return Ok(LookedUp { graph, sites, documents: Vec::new(), rendered: String::new() });
        }
        let (documents, outcome) = read_all(self.reader(), &source.documents, &source.files);
        if outcome.failed() {
            return Err(outcome.into());
        }
        let mut graphs = Vec::new();
        for sourced in &documents {
            match &sourced.document {
                Document::Workflow(graph) => graphs.push(graph.clone()),
                Document::Site(spec) => {
                    sites.retain(|known| known.spec.name != spec.name);
                    sites.push(open(spec.clone()));
                }
                _ => {}
            }
        }
        if let Some(name) = &source.name {
            graphs.retain(|graph| graph.workflow == *name);
        }
        match (graphs.len(), graphs.pop()) {
            (1, Some(graph)) => Ok(LookedUp { graph, sites, documents, rendered: outcome.rendered }),
            (0, _) => Err(Fault::new(FaultKind::NotFound, "there is no workflow among the documents")),
            _ => Err(Fault::new(FaultKind::Malformed, "there are several workflows among the documents").hint("name one")),
        }
    }

    /// Where the nodes of a workflow would run if every open site were idle: by the rules and the bounds of its project, as the dispatcher
    /// asks them.
    pub fn plan(&self, source: WorkflowSource) -> Result<WorkflowPlan, Fault> {
        let LookedUp { graph, sites, documents, rendered } = self.look_up(&source)?;
        let specs: Vec<model::SiteSpec> = sites.iter().map(|row| row.spec.clone()).collect();
        let domain = source.domain.as_deref().unwrap_or(crate::runs::DOMAIN);
        if !DOMAINS.contains(&domain) {
            return Err(Fault::new(FaultKind::Malformed, format!("`{domain}` is not a domain: use {}", DOMAINS.join(", "))));
        }
        let ahead = self.ahead_with(&graph, domain, &specs, &documents)?;
        let mut plan = WorkflowPlan { workflow: graph.workflow.clone(), nodes: Vec::new(), rendered };
        let views: Vec<SiteView> = sites.iter().map(idle).collect();
        let project = project_of(&graph.workflow);
        let estimates = self.learned().read();
        let mut look = Look {
            workflow: &graph.workflow,
            project,
            stand: self.stand_with(project, &documents),
            now: crate::clock::wall(),
            sites: &views,
            estimates: &estimates,
            ahead: &ahead,
            places: BTreeMap::new(),
        };
        look.plan_graph(&graph, "", &mut plan.nodes);
        Ok(plan)
    }

    /// Where a project stands now, with the bounds that these documents give it.
    fn stand_with(&self, project: &str, documents: &[Sourced]) -> ProjectStand {
        let mut stand = self.stands().read().of(project, crate::clock::wall());
        for sourced in documents {
            if let Document::Project(spec) = &sourced.document
                && spec.name == project
            {
                stand.spec = spec.clone();
            }
        }
        stand
    }

    /// What differs in meaning between two workflows.
    pub fn diff(&self, before: WorkflowSource, after: WorkflowSource) -> Result<Vec<workflow::semantic::Change>, Fault> {
        let (before, after) = (self.look_up(&before)?.graph, self.look_up(&after)?.graph);
        Ok(workflow::semantic::diff(&before, &after))
    }
}

/// A site as it is when nothing runs there.
pub(crate) fn idle(row: &SiteRow) -> SiteView {
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
        simulated: row.spec.simulates.is_some(),
        ..SiteView::default()
    }
}

/// What a plan looks at.
struct Look<'a> {
    workflow: &'a str,
    project: &'a str,
    stand: ProjectStand,
    now: Timestamp,
    sites: &'a [SiteView],
    estimates: &'a Estimates,
    ahead: &'a Ahead,
    /// Where what was planned already would run, by path.
    places: BTreeMap<String, String>,
}

impl Look<'_> {
    fn plan_graph(&mut self, graph: &Graph, prefix: &str, nodes: &mut Vec<PlannedNode>) {
        for node in &graph.nodes {
            self.plan_node(node, format!("{prefix}{}", node.id), nodes);
        }
    }

    fn plan_node(&mut self, node: &Node, path: String, nodes: &mut Vec<PlannedNode>) {
        let mut planned = PlannedNode { path, kind: node.kind.as_str(), ..PlannedNode::default() };
        if node.kind.is_placed() {
            self.place(node, &mut planned);
        }
        let path = planned.path.clone();
        nodes.push(planned);
        match &node.kind {
            NodeKind::Each { body, .. } => self.plan_node(body, format!("{path}[]"), nodes),
            NodeKind::Workflow { graph } => self.plan_graph(graph, &format!("{path}/"), nodes),
            _ => {}
        }
    }

    fn place(&mut self, node: &Node, planned: &mut PlannedNode) {
        let work = node.kind.work();
        let family = Family { workflow: self.workflow, path: &planned.path, work: &work };
        let mut demand = Demand::new(node.needs.clone(), 1, Vec::new());
        demand.outlooks = self.sites.iter().map(|site| outlook(self.estimates, &family, site)).collect();
        demand.permitted = self.ahead.permitted(&planned.path, &work, &|from| self.places.get(from).cloned());
        let bounds = self.stand.bounds(self.project, &node.needs.resources, self.now);
        demand.settings.risk /= bounds.thrift;
        (demand.budget, demand.at_most, demand.bounds) = (bounds.budget, bounds.count, bounds.said);
        let plan = placement::plan(self.sites, &demand);
        let chosen = plan.explanation.sites.iter().find(|site| site.verdict == Verdict::Chosen);
        planned.site = chosen.map(|site| site.site.clone());
        if let Some(chosen) = chosen {
            // What is planned before is spent by then.
            let bill = chosen.expected.0.saturating_sub(chosen.late.0);
            self.stand.promise(Money(bill));
            self.places.insert(planned.path.clone(), chosen.site.clone());
        }
        let known = planned.site.as_ref().and_then(|site| self.estimates.duration(&family, site));
        if let Some(known) = known.filter(|known| known.basis <= Basis::Task) {
            planned.wall_us = Some((known.mid * 1e6) as u64);
            planned.cost = chosen.map(|site| site.compute + site.boot + site.repeats + site.preemption);
            planned.seen = usize::try_from(known.samples).unwrap_or(usize::MAX);
        }
        planned.explanation = Some(plan.explanation);
    }
}
