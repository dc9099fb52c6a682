//! Runs.

use std::time::Duration;

use axum::extract::{Extension, Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::{Json, response::IntoResponse};
use controlplane::{Fault, FaultKind, Rerun, Submission, Submitted};
use engine::Command;
use journal::RunFilter;
use model::limits::BULK_RUNS_MAX;
use model::{Phase, RunId};
use serde::Deserialize;
use serde_json::Value;

use super::App;
use super::access::Caller;
use super::problem::{ApiError, ApiResult, blocking, problem};
use super::projection::{run_view, whole_run};
use super::views::{Page, ReasonRequest, RerunRequest, RunView, SignalRequest, SubmitManyRequest, SubmitRequest, SubmitResult};

/// Rows of a page when nothing is said.
const PAGE: usize = 50;
/// Rows of a page at most.
const PAGE_MAX: usize = 1_000;
/// The longest that a request waits for the end of a run.
const PATIENCE_MAX: Duration = Duration::from_secs(300);

#[derive(Debug, Deserialize, utoipa::IntoParams)]
pub(crate) struct ListQuery {
    /// Of this project.
    project: Option<String>,
    /// Of this workflow.
    workflow: Option<String>,
    /// In this phase.
    phase: Option<String>,
    /// Where the page before ended.
    cursor: Option<u64>,
    /// At most so many.
    limit: Option<usize>,
}

/// Lists runs, the newest first.
#[utoipa::path(get, path = "/api/v1/runs", params(ListQuery), responses((status = 200, body = Page<RunView>)))]
pub(crate) async fn list(State(app): State<App>, Query(query): Query<ListQuery>) -> ApiResult<Json<Page<RunView>>> {
    let phase = match query.phase.as_deref() {
        Some(text) => {
            Some(Phase::parse(text).ok_or_else(|| Fault::new(FaultKind::Malformed, format!("`{text}` is not a phase")))?)
        }
        None => None,
    };
    let limit = query.limit.unwrap_or(PAGE).clamp(1, PAGE_MAX);
    let filter = RunFilter { project: query.project, workflow: query.workflow, phase, before: query.cursor.map(RunId), limit };
    let reader = app.control.reader().clone();
    let rows = blocking(move || reader.runs(&filter).map_err(Fault::internal)).await?;
    let next = (rows.len() == limit).then(|| rows.last().map(|row| row.id.to_string())).flatten();
    Ok(Json(Page { items: rows.iter().map(run_view).collect(), next }))
}

#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
pub(crate) struct WaitQuery {
    /// Wait so many seconds for the end of the run.
    wait: Option<f64>,
}

impl WaitQuery {
    fn patience(&self) -> Option<Duration> {
        let seconds = self.wait.filter(|seconds| *seconds > 0.0 && seconds.is_finite())?;
        Some(Duration::from_secs_f64(seconds.min(PATIENCE_MAX.as_secs_f64())))
    }
}

fn submission(request: SubmitRequest, caller: &Caller) -> Submission {
    Submission {
        workflow: request.workflow,
        version: request.version,
        inputs: request.inputs,
        name: request.name,
        project: request.project,
        domain: request.domain,
        priority: request.priority,
        idempotency_key: request.idempotency_key,
        principal: caller.principal.clone(),
        ..Submission::default()
    }
}

/// Starts a run. The same `Idempotency-Key` gives the same run. With `wait` the answer comes when the run has ended, or then.
#[utoipa::path(post, path = "/api/v1/runs", params(WaitQuery), request_body = SubmitRequest, responses((status = 201, body = RunView)))]
pub(crate) async fn submit(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<WaitQuery>,
    headers: HeaderMap,
    Json(mut request): Json<SubmitRequest>,
) -> ApiResult<impl IntoResponse> {
    caller.needs("run")?;
    if let Some(key) = headers.get("idempotency-key").and_then(|key| key.to_str().ok()) {
        request.idempotency_key = Some(key.to_owned());
    }
    let submitted = app.control.submit(submission(request, &caller)).await?;
    let status = if submitted.fresh { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(answer(&app, &submitted, query.patience()).await?)))
}

/// The run as it is, or as it ended.
async fn answer(app: &App, submitted: &Submitted, patience: Option<Duration>) -> ApiResult<RunView> {
    let end = match patience {
        Some(patience) => app.control.end_of(submitted.run, patience).await?,
        None => None,
    };
    let (reader, run) = (app.control.reader().clone(), submitted.run);
    let row = tokio::task::block_in_place(|| reader.run(run)).map_err(Fault::internal)?;
    let row = row.ok_or_else(|| Fault::not_found("run", &run.to_string()))?;
    let mut view = run_view(&row);
    if let Some(end) = end {
        view.phase = end.phase.to_string();
        view.outputs = end.outputs.as_ref().map(|outputs| outputs.value().clone());
    }
    Ok(view)
}

/// Starts many runs in one request: they share commits.
#[utoipa::path(post, path = "/api/v1/runs:batch", params(WaitQuery), request_body = SubmitManyRequest, responses((status = 200, body = Vec<SubmitResult>)))]
pub(crate) async fn submit_many(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<WaitQuery>,
    Json(request): Json<SubmitManyRequest>,
) -> ApiResult<Json<Vec<SubmitResult>>> {
    caller.needs("run")?;
    if request.runs.len() > BULK_RUNS_MAX {
        let message = format!("{} runs in one request; at most {BULK_RUNS_MAX} are allowed", request.runs.len());
        return Err(ApiError(Fault::new(FaultKind::TooLarge, message)));
    }
    let submissions = request.runs.into_iter().map(|request| submission(request, &caller)).collect();
    let submitted = app.control.submit_many(submissions).await;
    if let Some(patience) = query.patience() {
        let until = tokio::time::Instant::now() + patience;
        for run in submitted.iter().flatten() {
            let left = until.saturating_duration_since(tokio::time::Instant::now());
            app.control.end_of(run.run, left).await?;
        }
    }
    let result = |result: Result<Submitted, Fault>| match result {
        Ok(submitted) => SubmitResult { number: Some(submitted.run.0), ..SubmitResult::default() },
        Err(fault) => SubmitResult { error: Some(problem(&fault)), ..SubmitResult::default() },
    };
    Ok(Json(submitted.into_iter().map(result).collect()))
}

#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
pub(crate) struct GetQuery {
    /// Wait so many seconds for the end of the run.
    wait: Option<f64>,
    /// Actions to show at most; 1,000 when nothing is said.
    actions: Option<usize>,
}

/// A run by name or number, with inputs, outputs and actions.
#[utoipa::path(get, path = "/api/v1/runs/{run}", params(GetQuery), responses((status = 200, body = RunView)))]
pub(crate) async fn get_run(
    State(app): State<App>,
    Path(run): Path<String>,
    Query(query): Query<GetQuery>,
) -> ApiResult<Json<RunView>> {
    let control = app.control.clone();
    let name = run.clone();
    let row = blocking(move || control.find_run(&name)).await?;
    let wait = WaitQuery { wait: query.wait };
    if let Some(patience) = wait.patience().filter(|_| row.finished_at.is_none()) {
        app.control.end_of(row.id, patience).await?;
    }
    let control = app.control.clone();
    let actions_max = query.actions.unwrap_or(PAGE_MAX).min(100_000);
    let view = blocking(move || {
        let row = control.find_run(&run)?;
        whole_run(control.reader(), &row, actions_max)
    });
    Ok(Json(view.await?))
}

async fn order(app: &App, caller: &Caller, run: String, command: impl FnOnce(RunId) -> Command) -> ApiResult<Json<RunView>> {
    caller.needs("run")?;
    let control = app.control.clone();
    let name = run.clone();
    let row = blocking(move || control.find_run(&name)).await?;
    if row.finished_at.is_some() {
        let message = format!("the run `{run}` has ended: {}", row.phase);
        return Err(ApiError(Fault::new(FaultKind::Conflict, message).hint("`tutti rerun` repeats it")));
    }
    app.control.inbox().ask(command(row.id)).await?;
    let control = app.control.clone();
    Ok(Json(blocking(move || control.find_run(&run).map(|row| run_view(&row))).await?))
}

/// Stops a run and undoes what can be undone.
#[utoipa::path(post, path = "/api/v1/runs/{run}/cancel", request_body = ReasonRequest, responses((status = 200, body = RunView)))]
pub(crate) async fn cancel(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(run): Path<String>,
    Json(request): Json<ReasonRequest>,
) -> ApiResult<Json<RunView>> {
    let principal = caller.principal.clone();
    let reason = if request.reason.is_empty() { format!("cancelled by {principal}") } else { request.reason };
    order(&app, &caller, run, |run| Command::Cancel { run, principal, reason }).await
}

/// Holds a run: nothing new is opened or placed.
#[utoipa::path(post, path = "/api/v1/runs/{run}/pause", responses((status = 200, body = RunView)))]
pub(crate) async fn pause(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(run): Path<String>,
) -> ApiResult<Json<RunView>> {
    let principal = caller.principal.clone();
    order(&app, &caller, run, |run| Command::Pause { run, principal }).await
}

/// Goes on with a held run.
#[utoipa::path(post, path = "/api/v1/runs/{run}/resume", responses((status = 200, body = RunView)))]
pub(crate) async fn resume(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(run): Path<String>,
) -> ApiResult<Json<RunView>> {
    let principal = caller.principal.clone();
    order(&app, &caller, run, |run| Command::Resume { run, principal }).await
}

/// Sends a signal to a run. It is kept until a wait asks for it.
#[utoipa::path(post, path = "/api/v1/runs/{run}/signal", request_body = SignalRequest, responses((status = 200, body = RunView)))]
pub(crate) async fn signal(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(run): Path<String>,
    Json(request): Json<SignalRequest>,
) -> ApiResult<Json<RunView>> {
    let principal = caller.principal.clone();
    let payload = if request.payload.is_null() { Value::Object(Default::default()) } else { request.payload };
    order(&app, &caller, run, |run| Command::Signal { run, name: request.name, payload, principal }).await
}

/// Repeats a run as a new one.
#[utoipa::path(post, path = "/api/v1/runs/{run}/rerun", request_body = RerunRequest, responses((status = 201, body = RunView)))]
pub(crate) async fn rerun(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(run): Path<String>,
    Json(request): Json<RerunRequest>,
) -> ApiResult<impl IntoResponse> {
    caller.needs("run")?;
    let rerun = Rerun { from: request.from, inputs: request.inputs, principal: caller.principal };
    let submitted = app.control.rerun(&run, rerun).await?;
    Ok((StatusCode::CREATED, Json(answer(&app, &submitted, None).await?)))
}
