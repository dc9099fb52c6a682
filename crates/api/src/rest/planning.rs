//! Looking ahead: plans and differences.

use axum::extract::State;
use controlplane::{PlannedNode, WorkflowSource};
use serde_json::Value;

use super::App;
use super::applying::{files_of, source_files};
use super::extract::Json;
use super::planning_views::{ChangeView, DiffRequest, PlanRequest, PlanView, PlannedNodeView, SourceRequest};
use super::problem::{ApiResult, blocking};

async fn source(app: &App, request: SourceRequest, domain: Option<String>) -> ApiResult<WorkflowSource> {
    Ok(WorkflowSource {
        domain,
        name: request.workflow,
        version: request.version,
        documents: source_files(request.documents),
        files: files_of(app, request.files, request.beside).await?,
    })
}

/// Where the nodes of a workflow would run, at what price, and where they may not. Nothing is registered.
#[utoipa::path(post, path = "/api/v1/plan", operation_id = "planWorkflow", tag = "resources", request_body = PlanRequest,
    responses((status = 200, description = "Where the nodes would run.", body = PlanView)))]
pub(crate) async fn plan(State(app): State<App>, Json(request): Json<PlanRequest>) -> ApiResult<Json<PlanView>> {
    let source = source(&app, request.source, request.domain).await?;
    let control = app.control.clone();
    let plan = blocking(move || control.plan(source)).await?;
    let nodes = plan.nodes.into_iter().map(node).collect();
    Ok(Json(PlanView { workflow: plan.workflow, nodes, rendered: plan.rendered }))
}

fn node(node: PlannedNode) -> PlannedNodeView {
    let chosen = |site: &&placement::Candidate| Some(&site.site) == node.site.as_ref();
    let candidates = node.explanation.as_ref().map(|explanation| explanation.sites.as_slice()).unwrap_or_default();
    let refused = candidates.iter().any(|site| site.verdict == placement::Verdict::Refused);
    PlannedNodeView {
        verdict: match (&node.explanation, &node.site) {
            (None, _) => "unplaced",
            (_, Some(_)) => "placed",
            (_, None) if refused => "refused",
            _ => "nowhere",
        }
        .into(),
        simulated: candidates.iter().find(chosen).is_some_and(|site| site.simulated),
        per_hour: candidates.iter().find(chosen).map(|site| site.compute_per_hour.units()),
        path: node.path,
        kind: node.kind.into(),
        site: node.site,
        seconds: node.wall_us.map(|wall| wall as f64 / 1e6),
        cost: node.cost.map(|cost| cost.units()),
        seen: node.seen,
        placement: node.explanation.and_then(|explanation| serde_json::to_value(explanation).ok()).unwrap_or(Value::Null),
    }
}

/// What differs in meaning between two workflows.
#[utoipa::path(post, path = "/api/v1/diff", operation_id = "diffWorkflows", tag = "resources", request_body = DiffRequest,
    responses((status = 200, description = "What differs.", body = Vec<ChangeView>)))]
pub(crate) async fn diff(State(app): State<App>, Json(request): Json<DiffRequest>) -> ApiResult<Json<Vec<ChangeView>>> {
    let (before, after) = (source(&app, request.before, None).await?, source(&app, request.after, None).await?);
    let control = app.control.clone();
    let changes = blocking(move || control.diff(before, after)).await?;
    let view = |change: workflow::semantic::Change| ChangeView {
        at: change.at,
        change: change.change.into(),
        before: change.before,
        after: change.after,
        labels: change.labels,
    };
    Ok(Json(changes.into_iter().map(view).collect()))
}
