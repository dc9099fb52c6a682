//! Decisions of people.

use axum::Json;
use axum::extract::{Extension, Path, Query, State};
use controlplane::{Fault, FaultKind};
use engine::Command;
use model::{ActionKey, ActionNo};
use serde::Deserialize;
use serde_json::Value;

use super::App;
use super::access::Caller;
use super::problem::{ApiResult, blocking};
use super::projection::{rfc3339, run_view};
use super::views::{ApprovalView, DecisionRequest, RunView};

/// Lists the human actions that wait, the oldest first.
#[utoipa::path(get, path = "/api/v1/approvals", responses((status = 200, body = Vec<ApprovalView>)))]
pub(crate) async fn list(State(app): State<App>) -> ApiResult<Json<Vec<ApprovalView>>> {
    let reader = app.control.reader().clone();
    let rows = blocking(move || reader.approvals(1_000).map_err(Fault::internal)).await?;
    let view = |row: journal::ApprovalRow| {
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
            since: rfc3339(row.action.opened_at),
        }
    };
    Ok(Json(rows.into_iter().map(view).collect()))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
pub(crate) struct PathQuery {
    /// The action's path; not needed when one waits.
    path: Option<String>,
}

/// Decides a human action.
#[utoipa::path(post, path = "/api/v1/runs/{run}/decision", params(PathQuery), request_body = DecisionRequest, responses((status = 200, body = RunView)))]
pub(crate) async fn decide(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(run): Path<String>,
    Query(query): Query<PathQuery>,
    Json(request): Json<DecisionRequest>,
) -> ApiResult<Json<RunView>> {
    caller.needs("approve")?;
    let control = app.control.clone();
    let name = run.clone();
    let form = request.form.clone();
    let key = blocking(move || {
        let row = control.find_run(&name)?;
        let waiting = control.reader().approvals(10_000).map_err(Fault::internal)?;
        let mine: Vec<_> = waiting.into_iter().filter(|approval| approval.run.id == row.id).collect();
        let chosen = match &query.path {
            Some(path) => mine.iter().find(|approval| approval.action.path == *path),
            None if mine.len() == 1 => mine.first(),
            None => None,
        };
        let chosen = chosen.ok_or_else(|| {
            let paths: Vec<&str> = mine.iter().map(|approval| approval.action.path.as_str()).collect();
            let fault = Fault::new(FaultKind::NotFound, format!("the run `{name}` waits for no such decision"));
            fault.hint(if paths.is_empty() {
                "nothing of it waits for a person".into()
            } else {
                format!("these wait: {}", paths.join(", "))
            })
        })?;
        check_form(&chosen.input, &form)?;
        Ok(ActionKey::new(row.id, ActionNo(chosen.action.no)))
    });
    let action = key.await?;
    let Caller { principal, groups, .. } = caller;
    let command = Command::Decide { action, principal, groups, decision: request.decision, form: request.form };
    app.control.inbox().ask(command).await?;
    let control = app.control.clone();
    Ok(Json(blocking(move || control.find_run(&run).map(|row| run_view(&row))).await?))
}

fn check_form(input: &Value, form: &Value) -> Result<(), Fault> {
    let Some(schema) = input.get("form").filter(|schema| !schema.is_null()) else { return Ok(()) };
    let given = if form.is_null() { Value::Object(Default::default()) } else { form.clone() };
    controlplane::check_value(schema, &given).map_err(|why| Fault::new(FaultKind::InvalidInputs, format!("the form: {why}")))
}
