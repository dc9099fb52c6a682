//! Actions of a run: what they were given and gave, why they are where they are, what they wrote.

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use controlplane::{ControlPlane, Fault, FaultKind, wall};
use executors::{Executor as _, Stream};
use journal::{ActionFilter, ActionRow};
use model::{AttemptKey, AttemptNo, Phase};
use serde::Deserialize;
use serde_json::Value;

use super::App;
use super::access::Caller;
use super::extract::{Json, Listed, Path, Query, page_size};
use super::foresight_views::WaitView;
use super::pasts;
use super::problem::{ApiError, ApiResult, blocking};
use super::projection::{action_view, attempt_view, retry_at, rfc3339};
use super::sight::Sight;
use super::views::{ActionView, ExplanationView, Page};

/// Rows of a page when nothing is said.
const PAGE: usize = 1_000;
/// Rows of a page at most.
const PAGE_MAX: usize = 10_000;
/// Bytes of a log sent at a time.
const LOG_CHUNK: usize = 64 << 10;
/// How often a log that is followed is looked at.
const LOG_PAUSE: std::time::Duration = std::time::Duration::from_millis(150);

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// `next` of the page before.
    cursor: Option<u32>,
    /// Rows of the page: 1,000 when nothing is said, at most 10,000.
    #[param(minimum = 1, maximum = 10000)]
    limit: Option<usize>,
    /// In this phase.
    phase: Option<String>,
    /// With these letters somewhere in the path, large or small.
    find: Option<String>,
    /// As they were at this point in time (RFC 3339) instead of now.
    at: Option<String>,
    /// As they were after this entry of the journal instead of now.
    position: Option<u64>,
}

/// Lists the actions of a run in the order in which they were opened.
#[utoipa::path(get, path = "/api/v1/runs/{run}/actions", operation_id = "listActions", tag = "runs", params(ListQuery),
    responses((status = 200, description = "A page of actions.", body = Page<ActionView>)))]
pub(crate) async fn list(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(run): Path<String>,
    Query(query): Query<ListQuery>,
) -> ApiResult<Json<Page<ActionView>>> {
    let limit = page_size(query.limit, PAGE, PAGE_MAX)?;
    let phase = query.phase.as_deref().map(parse_phase).transpose()?;
    let until = pasts::until(query.at.as_deref(), query.position)?;
    let _turn = pasts::turn(&app, until).await?;
    let control = app.control.clone();
    let page = blocking(move || {
        let row = control.find_run(&run)?;
        let sites = control.reader().sites().map_err(Fault::internal)?;
        let filter = ActionFilter { from: query.cursor.unwrap_or(0), limit, phase };
        let (rows, now) = pasts::read(&app, row.id, until, |reader, moment| {
            let rows = reader.find_actions(row.id, &filter, query.find.as_deref()).map_err(Fault::internal)?;
            Ok((rows, moment.map_or_else(wall, |(_, at)| at)))
        })?;
        let next = next_action(&rows, limit);
        let sight = Sight::of(&app, &caller, &row)?;
        Ok(Page { items: rows.iter().map(|action| sight.action(action_view(action, &sites, now))).collect(), next })
    });
    Ok(Json(page.await?))
}

/// A phase, as people write it.
pub(crate) fn parse_phase(text: &str) -> ApiResult<Phase> {
    Phase::parse(text).ok_or_else(|| ApiError(Fault::new(FaultKind::Malformed, format!("`{text}` is not a phase"))))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ActionQuery {
    /// The action's path.
    path: String,
    /// As it was at this point in time (RFC 3339) instead of now.
    at: Option<String>,
    /// As it was after this entry of the journal instead of now.
    position: Option<u64>,
}

fn no_such(run: &str, path: &str) -> Fault {
    Fault::new(FaultKind::NotFound, format!("the run `{run}` has no action `{path}`")).hint("`tutti describe` lists them")
}

pub(crate) fn find(control: &ControlPlane, run: &str, path: &str) -> Result<ActionRow, Fault> {
    let row = control.find_run(run)?;
    let action = control.reader().action(row.id, path).map_err(Fault::internal)?;
    action.ok_or_else(|| no_such(run, path))
}

/// An action with its input and output.
#[utoipa::path(get, path = "/api/v1/runs/{run}/action", operation_id = "getAction", tag = "runs", params(ActionQuery),
    responses((status = 200, description = "The action.", body = ActionView)))]
pub(crate) async fn get_action(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(run): Path<String>,
    Query(query): Query<ActionQuery>,
) -> ApiResult<Json<ActionView>> {
    let until = pasts::until(query.at.as_deref(), query.position)?;
    let _turn = pasts::turn(&app, until).await?;
    let control = app.control.clone();
    let view = blocking(move || {
        let whole = control.find_run(&run)?;
        let (row, earlier, now) = pasts::read(&app, whole.id, until, |reader, moment| {
            let row = reader.action(whole.id, &query.path).map_err(Fault::internal)?;
            let row = row.ok_or_else(|| no_such(&run, &query.path))?;
            let earlier = reader.attempts(whole.id, row.no).map_err(Fault::internal)?;
            Ok((row, earlier, moment.map_or_else(wall, |(_, at)| at)))
        })?;
        let reader = control.reader();
        let sight = Sight::of(&app, &caller, &whole)?;
        let mut view = action_view(&row, &reader.sites().map_err(Fault::internal)?, now);
        view.earlier = earlier.iter().map(attempt_view).collect();
        let mut view = sight.action(view);
        view.label = sight.label(Some(&row.path));
        view.withheld = sight.withheld(Some(&row.path));
        view.wait = control.waited(&row, view.withheld.is_none())?.map(WaitView::from);
        if view.withheld.is_some() {
            return Ok(view);
        }
        view.input = row.input.map(|(seq, n)| reader.body(seq, n)).transpose().map_err(Fault::internal)?.flatten();
        view.output = row.output_seq.map(|seq| reader.body(seq, 0)).transpose().map_err(Fault::internal)?.flatten();
        Ok(view)
    });
    Ok(Json(view.await?))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ExplainQuery {
    /// The action's path; all placed actions when there is none.
    path: Option<String>,
    /// `next` of the page before.
    cursor: Option<u32>,
    /// Actions looked at for the page: 1,000 when nothing is said, at most 10,000.
    #[param(minimum = 1, maximum = 10000)]
    limit: Option<usize>,
}

/// Why actions are where they are, or nowhere.
#[utoipa::path(get, path = "/api/v1/runs/{run}/explain", operation_id = "explainActions", tag = "runs", params(ExplainQuery),
    responses((status = 200, description = "A page of explanations.", body = Vec<ExplanationView>)))]
pub(crate) async fn explain(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(run): Path<String>,
    Query(query): Query<ExplainQuery>,
) -> ApiResult<Listed<ExplanationView>> {
    let limit = page_size(query.limit, PAGE, PAGE_MAX)?;
    let control = app.control.clone();
    let page = blocking(move || {
        let row = control.find_run(&run)?;
        let sight = Sight::of(&app, &caller, &row)?;
        if let Some(path) = &query.path {
            let item = explanation(&control, &sight, &find(&control, &run, path)?)?;
            return Ok(Listed { items: vec![item], next: None, limit });
        }
        let filter = ActionFilter { from: query.cursor.unwrap_or(0), limit, phase: None };
        let rows = control.reader().actions(row.id, &filter).map_err(Fault::internal)?;
        let next = next_action(&rows, limit);
        let items = rows.iter().filter(|row| row.explanation.is_some()).map(|row| explanation(&control, &sight, row));
        Ok(Listed { items: items.collect::<Result<_, _>>()?, next, limit })
    });
    page.await
}

/// Where the page after a full one begins.
fn next_action(rows: &[ActionRow], limit: usize) -> Option<String> {
    rows.last().filter(|_| rows.len() == limit).map(|row| (row.no + 1).to_string())
}

/// One sentence about where an action is and why, by what has become of it.
fn summary(row: &ActionRow, sight: &Sight, considered: bool) -> String {
    let said = row.failure.as_ref().and_then(|failure| failure["message"].as_str());
    let said = said.map(|said| sight.says(Some(&row.path), said));
    let why = said.as_deref().map(|why| why.lines().next().unwrap_or_default()).filter(|why| !why.is_empty());
    let because = why.map(|why| format!(": {why}")).unwrap_or_default();
    let attempts = if row.attempt > 1 { format!(" in {} attempts", row.attempt) } else { String::new() };
    match (row.phase, row.site.as_deref()) {
        (phase, _) if phase.is_terminal() && row.reused => "an earlier output was taken: it did not run".to_owned(),
        (phase, Some(site)) if phase.is_terminal() && considered => {
            let ended = phase.to_string().replace('_', " ");
            format!("it was placed at `{site}` and is over: {ended}{attempts}{because}")
        }
        (phase, None) if phase.is_terminal() && considered => {
            format!("it ended before it had a place: {}{because}", phase.to_string().replace('_', " "))
        }
        (Phase::WaitingForResources, Some(site)) if considered && row.waits_for.is_some() => {
            let connector = row.waits_for.as_deref().unwrap_or_default();
            format!("it was placed at `{site}` and waits for a worker that serves `{connector}`")
        }
        (Phase::WaitingForResources, _) if considered && row.attempt > 0 => format!(
            "attempt {} came to nothing ({}): it is repeated, and no site has room for it, or may take it, at the moment",
            row.attempt,
            why.unwrap_or("it was taken from its site")
        ),
        (Phase::WaitingForResources, _) if considered => "no site has room for it, or may take it, at the moment".to_owned(),
        (Phase::Paused, Some(site)) if considered => {
            format!(
                "its process at `{site}` was let go while what it asked for waits for people: it begins again with the answer"
            )
        }
        (Phase::Queued, Some(_)) if considered && row.attempt > 0 && row.failure.is_none() => {
            "it begins again: something of what it asked for has ended, and its process had been let go".to_owned()
        }
        (Phase::Queued, Some(site)) if considered && row.attempt > 0 => {
            let again = match retry_at(row) {
                Some(at) => format!("it is repeated at {}", rfc3339(at)),
                None => "it is repeated".to_owned(),
            };
            format!("attempt {} at `{site}` came to nothing ({}): {again}", row.attempt, why.unwrap_or("it was taken from there"))
        }
        (Phase::Initializing, Some(site)) if considered => {
            format!("it was placed at `{site}`, and what it needs is brought there")
        }
        (_, Some(site)) if considered => format!("it was placed at `{site}`"),
        (Phase::Queued, _) => "it has not been considered yet".to_owned(),
        _ => "it needs no place: the control plane itself does it".to_owned(),
    }
}

fn explanation(control: &ControlPlane, sight: &Sight, row: &ActionRow) -> Result<ExplanationView, Fault> {
    let placement = row.explanation.map(|id| control.reader().explanation(id)).transpose().map_err(Fault::internal)?.flatten();
    let mut summary = summary(row, sight, placement.is_some());
    // Nothing was decided about it, and there may be a reason for that.
    if row.phase == Phase::Queued
        && placement.is_none()
        && let Some(waited) = control.waited(row, false)?
    {
        summary = format!("it has not been considered yet: it waits for {}", waited.words);
    }
    Ok(ExplanationView {
        path: row.path.clone(),
        phase: row.phase.to_string(),
        summary,
        site: row.site.clone(),
        placement: placement.unwrap_or(Value::Null),
    })
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct LogQuery {
    /// The action's path.
    path: String,
    /// stdout (the default) or stderr.
    stream: Option<String>,
    /// From this byte on.
    offset: Option<u64>,
    /// Another attempt than the last, wherever it ran.
    attempt: Option<u32>,
    /// Go on until the process has ended.
    follow: Option<bool>,
}

/// Where an attempt of an action ran: each may have been somewhere else.
fn site_of(control: &ControlPlane, row: &ActionRow, attempt: AttemptNo) -> Result<Option<String>, Fault> {
    if attempt.0 == row.attempt {
        return Ok(row.site.clone());
    }
    let earlier = control.reader().attempts(row.run, row.no).map_err(Fault::internal)?;
    Ok(earlier.into_iter().find(|earlier| earlier.attempt == attempt.0).and_then(|earlier| earlier.site))
}

/// What a process wrote. The header `Tutti-Log-Offset` says where the text begins: later than asked for when older parts were dropped.
#[utoipa::path(get, path = "/api/v1/runs/{run}/logs", operation_id = "getLogs", tag = "runs", params(LogQuery),
    responses((status = 200, description = "The text, as it was written.", body = String, content_type = "text/plain",
        headers(("Tutti-Log-Offset" = u64, description = "Where the text begins.")))))]
pub(crate) async fn logs(State(app): State<App>, Path(run): Path<String>, Query(query): Query<LogQuery>) -> ApiResult<Response> {
    let control = app.control.clone();
    let path = query.path.clone();
    let (row, attempt, site) = blocking(move || {
        let row = find(&control, &run, &path)?;
        let attempt = AttemptNo(query.attempt.unwrap_or(row.attempt));
        let site = site_of(&control, &row, attempt)?;
        Ok((row, attempt, site))
    })
    .await?;
    let none = || ApiError(Fault::new(FaultKind::NotFound, format!("`{}` has no process and so no log", query.path)));
    let executor = site.and_then(|site| app.control.sites().executor(&site)).ok_or_else(none)?;
    let key = AttemptKey { run: row.run, action: model::ActionNo(row.no), attempt };
    let stream = match query.stream.as_deref() {
        None | Some("stdout") => Stream::Stdout,
        Some("stderr") => Stream::Stderr,
        Some(other) => {
            let message = format!("`{other}` is not a stream: stdout or stderr");
            return Err(ApiError(Fault::new(FaultKind::Malformed, message)));
        }
    };
    let first = executor.logs(key, stream, query.offset.unwrap_or(0), LOG_CHUNK).await.map_err(Fault::internal)?;
    let offset = first.offset.to_string();
    let follow = query.follow.unwrap_or(false);
    let chunks = futures::stream::unfold((Some(first), 0u64), move |(ready, mut at)| {
        let (executor, app) = (executor.clone(), app.clone());
        async move {
            let mut chunk = ready?;
            loop {
                if !chunk.bytes.is_empty() {
                    at = chunk.offset + chunk.bytes.len() as u64;
                    let next = executor.logs(key, stream, at, LOG_CHUNK).await.ok();
                    return Some((Ok::<Bytes, std::io::Error>(chunk.bytes.into()), (next, at)));
                }
                if !(follow && chunk.open) || *app.stopped.borrow() {
                    return None;
                }
                tokio::time::sleep(LOG_PAUSE).await;
                chunk = executor.logs(key, stream, at, LOG_CHUNK).await.ok()?;
            }
        }
    });
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()),
        (header::HeaderName::from_static("tutti-log-offset"), offset),
    ];
    Ok((headers, Body::from_stream(chunks)).into_response())
}
