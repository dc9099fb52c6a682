//! The picture of a run: the nodes of the very graph that it runs, each with its action and with how what lies below it stands. It is as large as
//! the graph is, however many actions the run has.

use std::collections::BTreeMap;

use axum::extract::{Extension, State};
use axum::http::HeaderMap;
use axum::response::Response;
use controlplane::{Fault, wall};
use journal::{Reader, RunRow};
use model::{Graph, Node, NodeKind, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::App;
use super::access::Caller;
use super::extract::{Path, Query};
use super::pasts;
use super::problem::{ApiResult, blocking};
use super::projection::action_view;
use super::shared::{self, What};
use super::sight::Sight;
use super::views::ActionView;

/// Nodes of one picture at most.
const NODES_MAX: usize = 1_000;

#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct GraphQuery {
    /// As it was at this point in time (RFC 3339) instead of now.
    at: Option<String>,
    /// As it was after this entry of the journal instead of now.
    position: Option<u64>,
}

/// The graph of a run.
#[derive(Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct RunGraphView {
    /// The workflow that it is the graph of, in the version that runs.
    pub workflow: String,
    /// What that version takes: each with its `name`, its JSON Schema as `schema`, and its `default` when it has one.
    #[serde(default)]
    pub inputs: Vec<Value>,
    /// Its nodes, in the order written.
    pub nodes: Vec<RunNodeView>,
    /// Nodes that are left out: a graph of more than a thousand is cut.
    pub left_out: usize,
}

/// A node of a run.
#[derive(Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct RunNodeView {
    /// Its id.
    pub id: String,
    /// use, run, task, workflow, human, wait, each or decide.
    pub kind: String,
    /// The places in this list of the nodes that it waits for.
    pub after: Vec<u32>,
    /// Its action; none when it has not been reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<ActionView>,
    /// How many actions below it are in each phase: the items of a map, the nodes of a sub-workflow.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub below: BTreeMap<String, u64>,
}

/// The graph that a run runs, each node with its action and counts of what is below it: of the size of the graph, whatever the run's.
#[utoipa::path(get, path = "/api/v1/runs/{run}/graph", operation_id = "getRunGraph", tag = "runs", params(GraphQuery),
    responses((status = 200, description = "The nodes.", body = RunGraphView)))]
pub(crate) async fn graph(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    Path(run): Path<String>,
    Query(query): Query<GraphQuery>,
) -> ApiResult<Response> {
    let until = pasts::until(query.at.as_deref(), query.position)?;
    let _turn = pasts::turn(&app, until).await?;
    let control = app.control.clone();
    let row = blocking(move || control.find_run(&run)).await?;
    let run = row.id;
    let read = move |app: &App, caller: &Caller| {
        let row = app.control.reader().run(run).map_err(Fault::internal)?;
        let row = row.ok_or_else(|| Fault::not_found("run", &run.to_string()))?;
        let sight = Sight::of(app, caller, &row)?;
        let graph = app.control.reader().graph(&row.graph).map_err(Fault::internal)?;
        let Some(graph) = graph else { return Ok(RunGraphView { workflow: row.workflow, ..RunGraphView::default() }) };
        pasts::read(app, run, until, |reader, moment| {
            picture(reader, &row, &graph, &sight, moment.map_or_else(wall, |(_, at)| at))
        })
    };
    Ok(shared::of_run(&app, &caller, run, What::Graph { until }, read).await?.respond(&headers))
}

fn picture(reader: &Reader, run: &RunRow, graph: &Graph, sight: &Sight, now: Timestamp) -> Result<RunGraphView, Fault> {
    let sites = reader.sites().map_err(Fault::internal)?;
    let skipped = super::projection::skipped_views(reader, run.id)?;
    let shown = graph.nodes.len().min(NODES_MAX);
    let mut nodes = Vec::with_capacity(shown);
    for node in graph.nodes.iter().take(shown) {
        let row = reader.action(run.id, &node.id).map_err(Fault::internal)?;
        let action = match &row {
            Some(row) => Some(sight.action(action_view(row, &sites, now))),
            None => skipped.iter().find(|view| view.path == node.id).cloned(),
        };
        let below = match row.is_some() && holds(node) {
            true => reader.phases_below(run.id, &node.id).map_err(Fault::internal)?,
            false => BTreeMap::new(),
        };
        nodes.push(RunNodeView {
            id: node.id.clone(),
            kind: node.kind.as_str().into(),
            after: before(node, shown),
            action,
            below: below.into_iter().map(|(phase, count)| (phase.to_string(), count)).collect(),
        });
    }
    let inputs = graph.inputs.iter().map(serde_json::to_value).collect::<Result<_, _>>().map_err(Fault::internal)?;
    Ok(RunGraphView { workflow: run.workflow.clone(), inputs, nodes, left_out: graph.nodes.len() - shown })
}

/// The nodes that one waits for, each once.
fn before(node: &Node, shown: usize) -> Vec<u32> {
    let all = node.refs.iter().chain(&node.after).chain(&node.chosen_by);
    let mut before: Vec<u32> = all.copied().filter(|at| (*at as usize) < shown).collect();
    before.sort_unstable();
    before.dedup();
    before
}

/// Whether a node has others below it.
fn holds(node: &Node) -> bool {
    matches!(node.kind, NodeKind::Each { .. } | NodeKind::Workflow { .. } | NodeKind::Task { .. })
}
