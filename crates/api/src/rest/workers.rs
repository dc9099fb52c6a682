//! The worker protocol: an external process leases actions of the connectors it declares, reports, and keeps its leases by being heard.
//! One request a turn, or one stream of lines in each direction; the messages are the same.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, State};
use axum::response::{IntoResponse, Response};
use controlplane::{Lease, LeaseRequest, WorkerReport, Workers};
use futures::StreamExt as _;
use serde::{Deserialize, Serialize};

use super::App;
use super::access::Caller;
use super::problem::ApiResult;

/// How long a request for work waits for some.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of one line of the stream.
const LINE_BYTES_MAX: usize = 4 << 20;

#[derive(Debug, Serialize)]
pub(crate) struct LeaseAnswer {
    /// Actions to run.
    leases: Vec<Lease>,
    /// Attempts to stop.
    stop: Vec<String>,
}

/// Asks for work. The answer comes when there is some, or after ten seconds.
#[utoipa::path(post, path = "/api/v1/workers/lease", request_body = Value, responses((status = 200, body = Value)))]
pub(crate) async fn lease(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Json(request): Json<LeaseRequest>,
) -> ApiResult<Json<LeaseAnswer>> {
    caller.needs("worker")?;
    let (leases, stop) = app.control.workers().lease(&request, PATIENCE).await;
    Ok(Json(LeaseAnswer { leases, stop }))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReportRequest {
    worker: String,
    #[serde(default)]
    reports: Vec<WorkerReport>,
}

#[derive(Debug, Serialize)]
pub(crate) struct ReportAnswer {
    /// Attempts that are not held any more: their reports were not taken.
    lost: Vec<String>,
}

/// Reports how actions ended.
#[utoipa::path(post, path = "/api/v1/workers/report", request_body = Value, responses((status = 200, body = Value)))]
pub(crate) async fn report(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Json(request): Json<ReportRequest>,
) -> ApiResult<Json<ReportAnswer>> {
    caller.needs("worker")?;
    let lost = tokio::task::block_in_place(|| app.control.workers().report(&request.worker, request.reports));
    Ok(Json(ReportAnswer { lost }))
}

/// Keeps the leases of a worker that has nothing to say.
#[utoipa::path(post, path = "/api/v1/workers/heartbeat", request_body = Value, responses((status = 200, body = Value)))]
pub(crate) async fn heartbeat(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Json(request): Json<ReportRequest>,
) -> ApiResult<Json<ReportAnswer>> {
    caller.needs("worker")?;
    app.control.workers().heartbeat(&request.worker);
    Ok(Json(ReportAnswer { lost: Vec::new() }))
}

/// One line from a worker.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FromWorker {
    /// Who it is and what it serves; in the first line.
    #[serde(default)]
    hello: Option<LeaseRequest>,
    /// How actions ended.
    #[serde(default)]
    reports: Vec<WorkerReport>,
}

/// One line to a worker.
#[derive(Debug, Default, Serialize)]
struct ToWorker {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    leases: Vec<Lease>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stop: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    lost: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// One stream in each direction: lines of JSON. The worker's first line is `{"hello": {…}}`, later ones carry `reports` (or nothing, to
/// be heard); the server's carry `leases`, `stop` and `lost`. Slots are counted here: what is leased and not reported is held.
#[utoipa::path(post, path = "/api/v1/workers/stream", request_body = String, responses((status = 200, body = String, content_type = "application/x-ndjson")))]
pub(crate) async fn stream(State(app): State<App>, Extension(caller): Extension<Caller>, body: Body) -> ApiResult<Response> {
    caller.needs("worker")?;
    let (lines, answers) = tokio::sync::mpsc::channel::<Result<String, std::io::Error>>(64);
    tokio::spawn(converse(app.control.workers().clone(), body, lines));
    let answers = futures::stream::unfold(answers, |mut answers| async move { answers.recv().await.map(|line| (line, answers)) });
    Ok(([("content-type", "application/x-ndjson")], Body::from_stream(answers)).into_response())
}

type Lines = tokio::sync::mpsc::Sender<Result<String, std::io::Error>>;

async fn say(lines: &Lines, message: ToWorker) -> Option<()> {
    let line = serde_json::to_string(&message).ok()? + "\n";
    lines.send(Ok(line)).await.ok()
}

async fn converse(workers: Workers, body: Body, lines: Lines) -> Option<()> {
    let mut chunks = body.into_data_stream();
    let mut buffer: Vec<u8> = Vec::new();
    let mut request: Option<LeaseRequest> = None;
    let mut held = 0usize;
    loop {
        let free = request.clone().map(|request| LeaseRequest { slots: request.slots.saturating_sub(held), ..request });
        let wanting = free.as_ref().is_some_and(|free| free.slots > 0);
        tokio::select! {
            chunk = chunks.next() => buffer.extend_from_slice(&chunk?.ok()?),
            (leases, stop) = async {
                match &free {
                    Some(free) => workers.lease(free, PATIENCE).await,
                    None => std::future::pending().await,
                }
            }, if wanting => {
                held += leases.len();
                if !leases.is_empty() || !stop.is_empty() {
                    say(&lines, ToWorker { leases, stop, ..ToWorker::default() }).await?;
                }
                continue;
            }
        }
        while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = buffer.drain(..=end).collect();
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let message: FromWorker = match serde_json::from_slice(&line) {
                Ok(message) => message,
                Err(error) => {
                    say(&lines, ToWorker { error: Some(format!("not a message: {error}")), ..ToWorker::default() }).await?;
                    return None;
                }
            };
            if message.hello.is_some() {
                request = message.hello;
            }
            let Some(hello) = &request else { continue };
            workers.heartbeat(&hello.worker);
            held = held.saturating_sub(message.reports.len());
            let lost = tokio::task::block_in_place(|| workers.report(&hello.worker, message.reports));
            if !lost.is_empty() {
                say(&lines, ToWorker { lost, ..ToWorker::default() }).await?;
            }
        }
        if buffer.len() > LINE_BYTES_MAX {
            let error = Some(format!("a line is longer than {LINE_BYTES_MAX} bytes"));
            say(&lines, ToWorker { error, ..ToWorker::default() }).await?;
            return None;
        }
    }
}
