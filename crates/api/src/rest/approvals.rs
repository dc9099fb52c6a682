//! Decisions of people.

use axum::extract::{Extension, State};
use controlplane::{ControlPlane, Fault, FaultKind};
use engine::Command;
use journal::ApprovalRow;
use model::{ActionKey, ActionNo, RunId};
use serde::Deserialize;
use serde_json::Value;

use super::App;
use super::access::Caller;
use super::extract::{Json, Listed, Path, Query, page_size};
use super::problem::{ApiError, ApiResult, blocking};
use super::projection::{rfc3339, run_view};
use super::views::{ApprovalView, DecisionRequest, RunView};

/// Rows of a page when nothing is said.
const PAGE: usize = 100;
/// Rows of a page at most.
const PAGE_MAX: usize = 1_000;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Of this run only.
    run: Option<String>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// Rows of the page: 100 when nothing is said, at most 1,000.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

fn view(row: ApprovalRow) -> ApprovalView {
    let part = |key: &str| row.input.get(key).cloned().unwrap_or(Value::Null);
    ApprovalView {
        title: part("title").as_str().unwrap_or_default().to_owned(),
        assign: part("assign"),
        show: part("show"),
        form: part("form"),
        second: part("second").as_bool().unwrap_or(false),
        run: row.run.name,
        action: row.action.path,
        first_by: row.action.first_by,
        first_form: row.first_form.unwrap_or_default(),
        since: rfc3339(row.action.opened_at),
    }
}

/// Lists the human actions that wait, the oldest first.
#[utoipa::path(get, path = "/api/v1/approvals", operation_id = "listApprovals", tag = "approvals", params(ListQuery),
    responses((status = 200, description = "A page of what waits.", body = Vec<ApprovalView>)))]
pub(crate) async fn list(State(app): State<App>, Query(query): Query<ListQuery>) -> ApiResult<Listed<ApprovalView>> {
    let limit = page_size(query.limit, PAGE, PAGE_MAX)?;
    let after = query.cursor.as_deref().map(|cursor| {
        let (run, no) = cursor.split_once('.')?;
        Some((RunId(run.parse().ok()?), no.parse().ok()?))
    });
    let after = match after {
        Some(None) => return Err(ApiError(Fault::new(FaultKind::Malformed, "`cursor` is not one that a page gave"))),
        after => after.flatten(),
    };
    let control = app.control.clone();
    let page = blocking(move || {
        let run = query.run.as_deref().map(|name| control.find_run(name)).transpose()?.map(|row| row.id);
        let rows = control.reader().approvals(run, after, limit).map_err(Fault::internal)?;
        let next = rows.last().filter(|_| rows.len() == limit).map(|row| format!("{}.{}", row.run.id, row.action.no));
        Ok(Listed { items: rows.into_iter().map(view).collect(), next, limit })
    });
    page.await
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PathQuery {
    /// The action's path; not needed when one waits.
    path: Option<String>,
}

/// Decides a human action.
#[utoipa::path(post, path = "/api/v1/runs/{run}/decision", operation_id = "decideAction", tag = "approvals", params(PathQuery),
    request_body = DecisionRequest, responses((status = 200, description = "The run as it is now.", body = RunView)))]
pub(crate) async fn decide(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(run): Path<String>,
    Query(query): Query<PathQuery>,
    Json(request): Json<DecisionRequest>,
) -> ApiResult<Json<RunView>> {
    let control = app.control.clone();
    let (name, form) = (run.clone(), request.form.clone());
    let action = blocking(move || waiting(&control, &name, query.path.as_deref(), &form)).await?;
    let Caller { principal, groups, .. } = caller;
    let command = Command::Decide { action, principal, groups, decision: request.decision, form: request.form };
    app.control.inbox().ask(command).await?;
    let control = app.control.clone();
    Ok(Json(blocking(move || control.find_run(&run).map(|row| run_view(&row))).await?))
}

/// The action that is decided on: the one of the path, or the only one that waits.
fn waiting(control: &ControlPlane, run: &str, path: Option<&str>, form: &Value) -> Result<ActionKey, Fault> {
    let row = control.find_run(run)?;
    let mine = control.reader().approvals(Some(row.id), None, 10_000).map_err(Fault::internal)?;
    let chosen = match path {
        Some(path) => mine.iter().find(|approval| approval.action.path == path),
        None if mine.len() == 1 => mine.first(),
        None => None,
    };
    let chosen = chosen.ok_or_else(|| {
        let paths: Vec<&str> = mine.iter().take(20).map(|approval| approval.action.path.as_str()).collect();
        let fault = Fault::new(FaultKind::NotFound, format!("the run `{run}` waits for no such decision"));
        fault.hint(if paths.is_empty() {
            "nothing of it waits for a person".into()
        } else {
            format!("these wait: {}", paths.join(", "))
        })
    })?;
    check_form(&chosen.input, form)?;
    Ok(ActionKey::new(row.id, ActionNo(chosen.action.no)))
}

fn check_form(input: &Value, form: &Value) -> Result<(), Fault> {
    let Some(schema) = input.get("form").filter(|schema| !schema.is_null()) else { return Ok(()) };
    let given = if form.is_null() { Value::Object(Default::default()) } else { form.clone() };
    controlplane::check_value(schema, &given).map_err(|why| Fault::new(FaultKind::InvalidInputs, format!("the form: {why}")))
}
