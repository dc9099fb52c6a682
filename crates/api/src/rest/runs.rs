//! Runs.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use controlplane::{Awaited, Fault, FaultKind, Rerun, Submission, Submitted};
use engine::Command;
use engine::event::RunFinished;
use journal::{Reader, RunFilter, RunRow};
use model::limits::BULK_RUNS_MAX;
use model::{RunId, Seq, Timestamp};
use serde::Deserialize;
use serde_json::Value;

use super::App;
use super::access::Caller;
use super::extract::{Json, Path, Query, page_size};
use super::foresight_views::WaitView;
use super::pasts;
use super::problem::{ApiError, ApiResult, blocking, problem};
use super::projection::{rfc3339, run_view, whole_run};
use super::shared::{self, What};
use super::sight::{Sight, seen_run};
use super::views::{
    MomentView, Page, ReasonRequest, RerunNodeView, RerunPlanView, RerunRequest, RunView, SignalRequest, SubmitManyRequest,
    SubmitRequest, SubmitResult,
};

/// Rows of a page when nothing is said.
const PAGE: usize = 50;
/// Rows of a page at most.
const PAGE_MAX: usize = 1_000;
/// Actions of one answer at most.
const ACTIONS_MAX: usize = 100_000;
/// The longest that a request waits for the end of a run.
const PATIENCE_MAX: Duration = Duration::from_secs(300);

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Of this project.
    project: Option<String>,
    /// Of this workflow.
    workflow: Option<String>,
    /// In this phase: queued, running, succeeded, failed, aborted, timed_out.
    phase: Option<String>,
    /// With this label: `key=value`, or `key` whatever its value; several with `,` between them.
    label: Option<String>,
    /// `next` of the page before.
    cursor: Option<u64>,
    /// Rows of the page: 50 when nothing is said, at most 1,000.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// `key=value` and `key`, with `,` between them.
fn labels_of(text: &str) -> Vec<(String, Option<String>)> {
    let one = |label: &str| match label.split_once('=') {
        Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
        None => (label.to_owned(), None),
    };
    text.split(',').filter(|label| !label.is_empty()).map(one).collect()
}

/// Lists runs, the newest first.
#[utoipa::path(get, path = "/api/v1/runs", operation_id = "listRuns", tag = "runs", params(ListQuery), responses((status = 200, description = "A page of runs.", body = Page<RunView>)))]
pub(crate) async fn list(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<ListQuery>,
) -> ApiResult<Json<Page<RunView>>> {
    let phase = match query.phase.as_deref() {
        Some(text) => Some(super::actions::parse_phase(text)?),
        None => None,
    };
    let limit = page_size(query.limit, PAGE, PAGE_MAX)?;
    let filter = RunFilter {
        project: query.project,
        workflow: query.workflow,
        phase,
        run_labels: query.label.as_deref().map(labels_of).unwrap_or_default(),
        before: query.cursor.map(RunId),
        limit,
        ..RunFilter::default()
    };
    let reader = app.control.reader().clone();
    let page = blocking(move || {
        let rows = reader.runs(&filter).map_err(Fault::internal)?;
        let next = (rows.len() == limit).then(|| rows.last().map(|row| row.id.to_string())).flatten();
        let view = |row: &RunRow| {
            let mut view = seen_run(&app, &caller, row)?;
            // A run that waits for a person is not busy: whoever reads the list sees whose turn it is.
            view.waiting_for_human =
                if row.finished_at.is_none() { reader.waiting(row.id).map_err(Fault::internal)? } else { 0 };
            Ok(view)
        };
        Ok(Page { items: rows.iter().map(view).collect::<Result<_, Fault>>()?, next })
    });
    Ok(Json(page.await?))
}

#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct WaitQuery {
    /// Wait so many seconds for the end of the run, at most 300. A run that has not ended then is answered as it is.
    #[param(minimum = 0, maximum = 300)]
    wait: Option<f64>,
}

impl WaitQuery {
    fn patience(&self) -> ApiResult<Option<Duration>> {
        match self.wait {
            None => Ok(None),
            Some(seconds) if (0.0..=PATIENCE_MAX.as_secs_f64()).contains(&seconds) => {
                Ok(Some(Duration::from_secs_f64(seconds)).filter(|patience| !patience.is_zero()))
            }
            Some(seconds) => {
                let message = format!("`wait` is {seconds}, not from 0 to {} seconds", PATIENCE_MAX.as_secs());
                Err(ApiError(Fault::new(FaultKind::Malformed, message)))
            }
        }
    }
}

/// What came of a submission, and the end of its run; none when it does not come in time, or the server stops.
async fn ended(app: &App, mut awaited: Awaited, patience: Duration) -> ApiResult<(Submitted, Option<Arc<RunFinished>>)> {
    let until = tokio::time::Instant::now() + patience;
    let end = tokio::select! {
        end = awaited.end(patience) => end,
        () = app.stopping() => None,
    };
    let submitted = app.control.accept(awaited).await?;
    let end = match end {
        // The key of an earlier run.
        None if !submitted.fresh => {
            end_of(app, submitted.run, until.saturating_duration_since(tokio::time::Instant::now())).await?
        }
        end => end,
    };
    Ok((submitted, end))
}

/// The end of a run; none when it does not come in time, or the server stops.
async fn end_of(app: &App, run: RunId, patience: Duration) -> ApiResult<Option<Arc<RunFinished>>> {
    tokio::select! {
        end = app.control.end_of(run, patience) => Ok(end?),
        () = app.stopping() => Ok(None),
    }
}

/// The trace that the caller is in. What is no `traceparent` is left out, as its specification asks for.
fn traceparent(headers: &HeaderMap) -> Option<String> {
    headers.get("traceparent").and_then(|context| context.to_str().ok()).map(str::to_owned)
}

/// Whether the rules let a caller start this workflow, in its project and domain; in another project it has to be one that they may read. What
/// they give it they have to see, or to have brought.
fn may_submit(app: &App, caller: &Caller, request: &SubmitRequest) -> ApiResult<()> {
    let of_workflow = request.workflow.split_once('/').map_or("default", |(project, _)| project);
    let may = |operation: &'static str, project: &str| {
        let target = policy::Target {
            kind: "workflow".into(),
            name: request.workflow.clone(),
            project: project.to_owned(),
            domain: request.domain.clone().unwrap_or_else(|| "development".into()),
            ..policy::Target::default()
        };
        super::permission::may(app, caller, operation, &target, &model::Label::empty())
    };
    match request.project.as_deref().filter(|project| *project != of_workflow) {
        Some(project) => may("submit", project).and_then(|()| may("read", of_workflow))?,
        None => may("submit", of_workflow)?,
    }
    super::naming::check(app, caller, request.inputs.values())
}

fn submission(request: SubmitRequest, caller: &Caller, headers: &HeaderMap) -> Submission {
    Submission {
        workflow: request.workflow,
        version: request.version,
        inputs: request.inputs,
        subject: request.subject,
        name: request.name,
        project: request.project,
        domain: request.domain,
        priority: request.priority,
        deadline: request.deadline_s.map(model::Duration::from_secs),
        idempotency_key: request.idempotency_key,
        principal: caller.principal.clone(),
        traceparent: traceparent(headers),
        ..Submission::default()
    }
}

/// Starts a run. The same `Idempotency-Key` gives the same run. With `wait` the answer comes when the run has ended, or then.
#[utoipa::path(post, path = "/api/v1/runs", operation_id = "submitRun", tag = "runs", params(
        WaitQuery,
        ("Idempotency-Key" = Option<String>, Header, description = "The key of this submission: sent again, it gives the same run. At most 255 bytes."),
        ("traceparent" = Option<String>, Header, description = "The trace that the caller is in (W3C Trace Context): the spans of the run continue it.")
    ), request_body = SubmitRequest, responses(
        (status = 201, description = "The new run; as it ended, when it was waited for.", body = RunView),
        (status = 200, description = "The run that the same key made earlier.", body = RunView)
    ))]
pub(crate) async fn submit(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<WaitQuery>,
    headers: HeaderMap,
    Json(mut request): Json<SubmitRequest>,
) -> ApiResult<impl IntoResponse> {
    let patience = query.patience()?;
    if let Some(key) = headers.get("idempotency-key") {
        let key = key.to_str().map_err(|_| Fault::new(FaultKind::Malformed, "`Idempotency-Key` is not plain text"))?;
        if request.idempotency_key.as_deref().is_some_and(|other| other != key) {
            let message = "the header `Idempotency-Key` and `idempotency_key` of the body say different things";
            return Err(ApiError(Fault::new(FaultKind::Malformed, message)));
        }
        request.idempotency_key = Some(key.to_owned());
    }
    may_submit(&app, &caller, &request)?;
    let submission = submission(request, &caller, &headers);
    let (submitted, end) = match patience {
        Some(patience) => ended(&app, app.control.submit_and_await(submission)?, patience).await?,
        None => (app.control.submit(submission).await?, None),
    };
    let status = if submitted.fresh { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(answer(&app, &caller, &submitted, end)?)))
}

/// The run as it is, or as it ended, without what the caller may not see.
fn answer(app: &App, caller: &Caller, submitted: &Submitted, end: Option<Arc<RunFinished>>) -> ApiResult<RunView> {
    let run = submitted.run;
    // Read where we are: a row that was written a moment ago is in memory, and another thread would cost more than the reading.
    let row = app.control.reader().run(run).map_err(Fault::internal)?;
    let row = row.ok_or_else(|| Fault::not_found("run", &run.to_string()))?;
    let mut view = run_view(&row);
    if let Some(end) = end {
        view.phase = end.phase.to_string();
        view.outputs = end.outputs.as_ref().map(|outputs| outputs.value().clone());
    } else if let Some(seq) = row.outputs_seq {
        view.outputs = tokio::task::block_in_place(|| app.control.reader().body(seq, 0)).map_err(Fault::internal)?;
    }
    // Most callers see everything, and most runs go well: then there is nothing to look up.
    if view.failure.is_none() && (view.outputs.is_none() || super::sight::sees_all(app, caller)) {
        return Ok(view);
    }
    Ok(tokio::task::block_in_place(|| seen(app, caller, &row, view))?)
}

/// A run without the values and the texts that a caller may not see.
fn seen(app: &App, caller: &Caller, row: &RunRow, view: RunView) -> Result<RunView, Fault> {
    let sight = Sight::of(app, caller, row)?;
    let mut view = sight.run(view);
    view.withheld = sight.withheld(None);
    if view.withheld.is_some() {
        (view.inputs, view.outputs) = (None, None);
    }
    Ok(view)
}

/// Starts many runs in one request: they share commits.
#[utoipa::path(post, path = "/api/v1/runs:batch", operation_id = "submitRuns", tag = "runs", params(WaitQuery), request_body = SubmitManyRequest, responses((status = 200, description = "What came of each, in order.", body = Vec<SubmitResult>)))]
pub(crate) async fn submit_many(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<WaitQuery>,
    headers: HeaderMap,
    Json(request): Json<SubmitManyRequest>,
) -> ApiResult<Json<Vec<SubmitResult>>> {
    let patience = query.patience()?;
    if request.runs.len() > BULK_RUNS_MAX {
        let message = format!("{} runs in one request; at most {BULK_RUNS_MAX} are allowed", request.runs.len());
        return Err(ApiError(Fault::new(FaultKind::TooLarge, message)));
    }
    // With one that may not be started none is: whoever asked knows where they are.
    for request in &request.runs {
        may_submit(&app, &caller, request)?;
    }
    let submissions = request.runs.into_iter().map(|request| submission(request, &caller, &headers)).collect();
    let submitted = match patience {
        None => app.control.submit_many(submissions).await,
        Some(patience) => {
            let awaited = app.control.submit_and_await_many(submissions);
            let until = tokio::time::Instant::now() + patience;
            let mut submitted = Vec::with_capacity(awaited.len());
            for awaited in awaited {
                let left = until.saturating_duration_since(tokio::time::Instant::now());
                submitted.push(match awaited {
                    Ok(awaited) => ended(&app, awaited, left).await.map(|(submitted, _)| submitted).map_err(|error| error.0),
                    Err(fault) => Err(fault),
                });
            }
            submitted
        }
    };
    let result = |result: Result<Submitted, Fault>| match result {
        Ok(submitted) => SubmitResult { number: Some(submitted.run.0), ..SubmitResult::default() },
        Err(fault) => SubmitResult { error: Some(problem(&fault)), ..SubmitResult::default() },
    };
    Ok(Json(submitted.into_iter().map(result).collect()))
}

#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct GetQuery {
    /// Wait so many seconds for the end of the run, at most 300. A run that has not ended then is answered as it is.
    #[param(minimum = 0, maximum = 300)]
    wait: Option<f64>,
    /// Actions to show: 1,000 when nothing is said, at most 100,000. `/actions` gives all, page by page.
    #[param(minimum = 1, maximum = 100000)]
    actions: Option<usize>,
    /// The run as it was at this point in time (RFC 3339) instead of now, with `moment`.
    at: Option<String>,
    /// The run as it was after this entry of the journal instead of now, with `moment`.
    position: Option<u64>,
}

/// A run by name or number, with inputs, outputs and actions.
#[utoipa::path(get, path = "/api/v1/runs/{run}", operation_id = "getRun", tag = "runs", params(GetQuery), responses((status = 200, description = "The run.", body = RunView)))]
pub(crate) async fn get_run(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    Path(run): Path<String>,
    Query(query): Query<GetQuery>,
) -> ApiResult<Response> {
    let patience = WaitQuery { wait: query.wait }.patience()?;
    let actions = page_size(query.actions, PAGE_MAX, ACTIONS_MAX)?;
    let until = pasts::until(query.at.as_deref(), query.position)?;
    let _turn = pasts::turn(&app, until).await?;
    let control = app.control.clone();
    let row = blocking(move || control.find_run(&run)).await?;
    if let Some(patience) = patience.filter(|_| row.finished_at.is_none() && until.is_none()) {
        end_of(&app, row.id, patience).await?;
    }
    let run = row.id;
    let read = move |app: &App, caller: &Caller| {
        let row = app.control.reader().run(run).map_err(Fault::internal)?;
        let row = row.ok_or_else(|| Fault::not_found("run", &run.to_string()))?;
        let view = pasts::read(app, run, until, |reader, moment| match moment {
            None => whole_run(reader, &row, actions, controlplane::wall()),
            Some(moment) => run_then(app, caller, reader, &row, actions, moment),
        })?;
        // What is seen of it is what may be seen now.
        seen(app, caller, &row, view)
    };
    if actions > PAGE_MAX {
        // What a program takes at once is not kept for others.
        return Ok(Json(blocking(move || read(&app, &caller)).await?).into_response());
    }
    Ok(shared::of_run(&app, &caller, run, What::Run { actions, until }, read).await?.respond(&headers))
}

/// A run as it was at a moment, and how its actions stood then.
fn run_then(
    app: &App,
    caller: &Caller,
    reader: &Reader,
    now: &RunRow,
    actions: usize,
    (position, at): (Seq, Timestamp),
) -> Result<RunView, Fault> {
    let row = reader.run(now.id).map_err(Fault::internal)?.ok_or_else(|| pasts::not_yet(&now.name))?;
    let mut view = whole_run(reader, &row, actions, at)?;
    let values = super::sight::withheld(app, caller, now, None)?.is_none();
    let (waits, running) = app.control.waits_in(reader, &row, values)?;
    view.moment = Some(MomentView {
        position: position.0,
        at: rfc3339(at),
        phases: reader.phases(now.id).map_err(Fault::internal)?.into_iter().map(|(phase, n)| (phase.to_string(), n)).collect(),
        running,
        waits: waits.into_iter().map(WaitView::from).collect(),
        sites: reader.sites_of_run(now.id).map_err(Fault::internal)?,
    });
    Ok(view)
}

async fn order(app: &App, caller: Caller, run: String, command: impl FnOnce(RunId) -> Command) -> ApiResult<Json<RunView>> {
    let app = app.clone();
    let control = app.control.clone();
    let name = run.clone();
    let row = blocking(move || control.find_run(&name)).await?;
    if row.finished_at.is_some() {
        let message = format!("the run `{run}` has ended: {}", row.phase);
        return Err(ApiError(Fault::new(FaultKind::Conflict, message).hint("`tutti rerun` repeats it")));
    }
    app.control.inbox().ask(command(row.id)).await?;
    let control = app.control.clone();
    let view = blocking(move || control.find_run(&run).and_then(|row| seen_run(&app, &caller, &row)));
    Ok(Json(view.await?))
}

/// Stops a run and undoes what can be undone.
#[utoipa::path(post, path = "/api/v1/runs/{run}/cancel", operation_id = "cancelRun", tag = "runs", request_body = ReasonRequest, responses((status = 200, description = "The run as it is now.", body = RunView)))]
pub(crate) async fn cancel(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(run): Path<String>,
    body: Option<Json<ReasonRequest>>,
) -> ApiResult<Json<RunView>> {
    let request = body.map(|Json(request)| request).unwrap_or_default();
    let principal = caller.principal.clone();
    let reason = if request.reason.is_empty() { format!("cancelled by {principal}") } else { request.reason };
    order(&app, caller, run, |run| Command::Cancel { run, principal, reason }).await
}

/// Holds a run: nothing new is opened or placed.
#[utoipa::path(post, path = "/api/v1/runs/{run}/pause", operation_id = "pauseRun", tag = "runs", responses((status = 200, description = "The run as it is now.", body = RunView)))]
pub(crate) async fn pause(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(run): Path<String>,
) -> ApiResult<Json<RunView>> {
    let principal = caller.principal.clone();
    order(&app, caller, run, |run| Command::Pause { run, principal }).await
}

/// Goes on with a held run.
#[utoipa::path(post, path = "/api/v1/runs/{run}/resume", operation_id = "resumeRun", tag = "runs", responses((status = 200, description = "The run as it is now.", body = RunView)))]
pub(crate) async fn resume(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(run): Path<String>,
) -> ApiResult<Json<RunView>> {
    let principal = caller.principal.clone();
    order(&app, caller, run, |run| Command::Resume { run, principal }).await
}

/// Sends a signal to a run. It is kept until a wait asks for it.
#[utoipa::path(post, path = "/api/v1/runs/{run}/signal", operation_id = "signalRun", tag = "runs", request_body = SignalRequest, responses((status = 200, description = "The run as it is now.", body = RunView)))]
pub(crate) async fn signal(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(run): Path<String>,
    Json(request): Json<SignalRequest>,
) -> ApiResult<Json<RunView>> {
    let principal = caller.principal.clone();
    let payload = if request.payload.is_null() { Value::Object(Default::default()) } else { request.payload };
    order(&app, caller, run, |run| Command::Signal { run, name: request.name, payload, principal }).await
}

/// Whether the values of a run are kept from a caller. Blocks.
fn is_blind(app: &App, caller: &Caller, run: &str) -> Result<bool, Fault> {
    Ok(super::sight::withheld(app, caller, &app.control.find_run(run)?, None)?.is_some())
}

/// Repeats a run as a new one.
#[utoipa::path(post, path = "/api/v1/runs/{run}/rerun", operation_id = "rerunRun", tag = "runs", request_body = RerunRequest, responses((status = 201, description = "The new run.", body = RunView)))]
pub(crate) async fn rerun(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(run): Path<String>,
    headers: HeaderMap,
    body: Option<Json<RerunRequest>>,
) -> ApiResult<impl IntoResponse> {
    let request = body.map(|Json(request)| request).unwrap_or_default();
    let (shared, asker, of) = (app.clone(), caller.clone(), run.clone());
    let blind = blocking(move || is_blind(&shared, &asker, &of)).await?;
    super::naming::check(&app, &caller, request.inputs.values())?;
    let rerun = Rerun {
        from: request.from,
        inputs: request.inputs,
        principal: caller.principal.clone(),
        traceparent: traceparent(&headers),
        blind,
    };
    let submitted = app.control.rerun(&run, rerun).await?;
    Ok((StatusCode::CREATED, Json(answer(&app, &caller, &submitted, None)?)))
}

/// What a repetition would take over and what it would run, and why. Nothing is started.
#[utoipa::path(post, path = "/api/v1/runs/{run}/rerun/plan", operation_id = "planRerun", tag = "runs", request_body = RerunRequest, responses((status = 200, description = "What it would do.", body = RerunPlanView)))]
pub(crate) async fn plan_rerun(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(run): Path<String>,
    Json(request): Json<RerunRequest>,
) -> ApiResult<Json<RerunPlanView>> {
    let plan = blocking(move || {
        let blind = is_blind(&app, &caller, &run)?;
        let (from, inputs, principal) = (request.from, request.inputs, caller.principal);
        app.control.plan_rerun(&run, &Rerun { from, inputs, principal, traceparent: None, blind })
    });
    let plan = plan.await?;
    let again = plan.again.into_iter().map(|(node, why)| RerunNodeView { node, why });
    Ok(Json(RerunPlanView { reused: plan.reused, again: again.collect(), items: plan.items }))
}
