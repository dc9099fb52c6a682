//! The worker protocol: an external process leases actions of the connectors it declares, reports, and keeps its leases by being heard.
//! One request a turn, or one stream of lines in each direction; the messages are the same.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use controlplane::{Fault, FaultKind, LEASE, LeaseRequest, WorkerReport, Workers};
use futures::StreamExt as _;
use model::limits::WORKER_LINE_BYTES_MAX;
use serde_json::Value;

use super::App;
use super::extract::Json;
use super::problem::{ApiResult, problem};
use super::worker_views::{
    HeartbeatAnswer, HeartbeatRequest, ReportAnswer, ReportRequest, ServerLine, TurnView, Welcome, WorkerHello, WorkerLine,
};

/// How long a request for work waits for some.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a silent server shows that it is alive.
const PULSE: Duration = Duration::from_secs(5);
/// Lines for a worker that wait to be sent.
const LINES: usize = 64;

/// Asks for work. The answer comes when there is some, or after ten seconds.
#[utoipa::path(post, path = "/api/v1/workers/lease", operation_id = "leaseActions", tag = "workers", request_body = WorkerHello,
    responses((status = 200, description = "Actions to run, attempts to stop.", body = TurnView)))]
pub(crate) async fn lease(State(app): State<App>, Json(request): Json<WorkerHello>) -> ApiResult<Json<TurnView>> {
    let request = request.check()?;
    let turn = tokio::select! {
        turn = app.control.workers().lease(&request, PATIENCE) => turn,
        () = app.stopping() => Default::default(),
    };
    Ok(Json(turn.into()))
}

/// Reports how actions ended.
#[utoipa::path(post, path = "/api/v1/workers/report", operation_id = "reportActions", tag = "workers", request_body = ReportRequest,
    responses((status = 200, description = "They were taken, except those that are lost.", body = ReportAnswer)))]
pub(crate) async fn report(State(app): State<App>, Json(request): Json<ReportRequest>) -> ApiResult<Json<ReportAnswer>> {
    let reports = request.reports.into_iter().map(WorkerReport::from).collect();
    let lost = taken(&app, &request.worker, reports);
    Ok(Json(ReportAnswer { lost }))
}

/// Hands reports on. That waits when the loop has too much to do, and is left to another thread only then: it costs more than they do.
fn taken(app: &App, worker: &str, reports: Vec<WorkerReport>) -> Vec<String> {
    let report = |reports| app.control.workers().report(worker, reports);
    if app.control.inbox().has_room(reports.len()) { report(reports) } else { tokio::task::block_in_place(|| report(reports)) }
}

/// Keeps the leases of a worker that has nothing to say.
#[utoipa::path(post, path = "/api/v1/workers/heartbeat", operation_id = "keepLeases", tag = "workers", request_body = HeartbeatRequest,
    responses((status = 200, description = "They are kept.", body = HeartbeatAnswer)))]
pub(crate) async fn heartbeat(State(app): State<App>, Json(request): Json<HeartbeatRequest>) -> ApiResult<Json<HeartbeatAnswer>> {
    app.control.workers().heartbeat(&request.worker);
    Ok(Json(HeartbeatAnswer { lease_ms: LEASE.as_millis() as u64 }))
}

/// One stream in each direction: lines of JSON. The worker's first line is `{"hello": {…}}`, later ones carry `reports` or nothing, to
/// be heard; the server's carry `welcome`, `leases`, `stop`, `kept`, `lost`. What is leased and not reported counts against the slots.
#[utoipa::path(post, path = "/api/v1/workers/stream", operation_id = "streamActions", tag = "workers",
    request_body(content = WorkerLine, content_type = "application/x-ndjson", description = "Lines, as long as the worker lives."),
    responses((status = 200, description = "Lines, as long as the worker lives.", body = ServerLine, content_type = "application/x-ndjson")))]
pub(crate) async fn stream(State(app): State<App>, body: Body) -> Response {
    let (lines, queue) = tokio::sync::mpsc::channel(LINES);
    let workers = app.control.workers().clone();
    let name = Arc::new(OnceLock::new());
    let answers = Answers { queue, workers: workers.clone(), name: name.clone() };
    tokio::spawn(async move {
        let mut conversation = Conversation { workers, app, lines, name, hello: None };
        // However it ends, the leases stay for as long as they hold: the worker may come back.
        if let Some(fault) = conversation.hold(body.into_data_stream()).await {
            let error = Some(problem(&fault));
            conversation.say(ServerLine { error, ..ServerLine::default() }).await;
        }
    });
    ([("content-type", "application/x-ndjson")], Body::from_stream(answers)).into_response()
}

/// What waits to be sent to a worker. What it never took is nobody's: others have it at once.
struct Answers {
    queue: tokio::sync::mpsc::Receiver<ServerLine>,
    workers: Workers,
    name: Arc<OnceLock<String>>,
}

impl futures::Stream for Answers {
    type Item = Result<Bytes, std::io::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.queue.poll_recv(context).map(|line| {
            line.map(|line| {
                let mut bytes = if line.is_empty() { Vec::new() } else { serde_json::to_vec(&line)? };
                bytes.push(b'\n');
                Ok(bytes.into())
            })
        })
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        self.queue.close();
        while let Ok(line) = self.queue.try_recv() {
            give_back(&self.workers, self.name.get(), line);
        }
    }
}

fn give_back(workers: &Workers, name: Option<&String>, line: ServerLine) {
    if let Some(name) = name.filter(|_| !line.leases.is_empty()) {
        workers.give_back(name, line.leases.into_iter().map(Into::into).collect());
    }
}

struct Conversation {
    app: App,
    workers: Workers,
    lines: tokio::sync::mpsc::Sender<ServerLine>,
    /// The worker's name, for whoever sends the lines.
    name: Arc<OnceLock<String>>,
    hello: Option<LeaseRequest>,
}

impl Conversation {
    /// Sends a line. None when the worker takes none.
    async fn say(&self, line: ServerLine) -> Option<()> {
        // A worker that does not read is as good as gone. What it holds is lost when its leases are, and what did not reach it at once.
        match tokio::time::timeout(LEASE, self.lines.reserve()).await {
            Ok(Ok(room)) => {
                room.send(line);
                Some(())
            }
            _ => {
                give_back(&self.workers, self.name.get(), line);
                None
            }
        }
    }

    /// Talks until either side ends. Gives what was wrong with the worker's part, if anything was.
    async fn hold(&mut self, mut chunks: BodyDataStream) -> Option<Fault> {
        let mut buffer = Lines::default();
        let mut heard = tokio::time::Instant::now();
        let mut pulse = tokio::time::interval(PULSE);
        pulse.reset();
        loop {
            let free = self.hello.as_ref().map(|hello| LeaseRequest {
                slots: self.workers.free(&hello.worker, hello.slots),
                holding: Vec::new(),
                ..hello.clone()
            });
            tokio::select! {
                chunk = chunks.next() => {
                    heard = tokio::time::Instant::now();
                    buffer.take(&chunk?.ok()?);
                }
                turn = async {
                    match &free {
                        Some(free) => self.workers.lease(free, PATIENCE).await,
                        None => std::future::pending().await,
                    }
                } => {
                    if !turn.is_empty() {
                        self.say(turn.into()).await?;
                    }
                    continue;
                }
                _ = pulse.tick() => {
                    if heard.elapsed() > LEASE {
                        return Some(Fault::new(FaultKind::Malformed, "nothing was heard from the worker for as long as a lease holds"));
                    }
                    self.say(ServerLine::default()).await?;
                    continue;
                }
                () = self.app.stopping() => return Some(Fault::new(FaultKind::Unavailable, "the server is stopping")),
            }
            loop {
                match buffer.next() {
                    Ok(Some(line)) => match self.hear(&line).await {
                        Ok(Some(())) => {}
                        Ok(None) => return None,
                        Err(fault) => return Some(fault),
                    },
                    Ok(None) => break,
                    Err(fault) => return Some(fault),
                }
            }
        }
    }

    /// Takes a line of the worker. None when it does not take the answer.
    async fn hear(&mut self, line: &[u8]) -> Result<Option<()>, Fault> {
        let line: WorkerLine = serde_json::from_slice(line)
            .map_err(|error| Fault::new(FaultKind::Malformed, format!("a line of the worker: {error}")))?;
        if let Some(hello) = line.hello {
            let hello = hello.check()?;
            let unknown = tokio::task::block_in_place(|| self.unknown(&hello.connectors))?;
            let welcome = Welcome {
                lease_ms: LEASE.as_millis() as u64,
                line_bytes_max: WORKER_LINE_BYTES_MAX,
                unknown,
                version: env!("CARGO_PKG_VERSION"),
            };
            // What it holds is sorted out before it is given more.
            let turn = self.workers.take(&LeaseRequest { slots: 0, ..hello.clone() });
            let _ = self.name.set(hello.worker.clone());
            self.hello = Some(hello);
            if self.say(ServerLine { welcome: Some(welcome), ..turn.into() }).await.is_none() {
                return Ok(None);
            }
        }
        let Some(hello) = &self.hello else {
            return Err(Fault::new(FaultKind::Malformed, "the first line of a worker has `hello`"));
        };
        self.workers.heartbeat(&hello.worker);
        if line.reports.is_empty() {
            return Ok(Some(()));
        }
        let reports = line.reports.into_iter().map(WorkerReport::from).collect();
        let lost = taken(&self.app, &hello.worker, reports);
        if lost.is_empty() { Ok(Some(())) } else { Ok(self.say(ServerLine { lost, ..ServerLine::default() }).await) }
    }

    /// Connectors that nobody has registered.
    fn unknown(&self, connectors: &[String]) -> Result<Vec<String>, Fault> {
        let rows = self.app.control.reader().resources("connector", None, None).map_err(Fault::internal)?;
        let known: Vec<String> = rows
            .iter()
            .map(|row| format!("{}@{}", row.name, row.body.get("version").and_then(Value::as_u64).unwrap_or(1)))
            .collect();
        Ok(connectors.iter().filter(|name| !known.contains(name)).cloned().collect())
    }
}

/// Bytes as they come, lines as they go.
#[derive(Default)]
struct Lines {
    buffer: BytesMut,
    /// Bytes that were looked at and hold no end of a line.
    searched: usize,
}

impl Lines {
    fn take(&mut self, chunk: &[u8]) {
        self.buffer.extend_from_slice(chunk);
    }

    /// The next line that is not empty.
    fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        loop {
            let end = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n').map(|end| self.searched + end);
            if end.unwrap_or(self.buffer.len()) > WORKER_LINE_BYTES_MAX {
                return Err(Fault::new(
                    FaultKind::TooLarge,
                    format!("a line of the worker is longer than {WORKER_LINE_BYTES_MAX} bytes"),
                ));
            }
            let Some(end) = end else {
                self.searched = self.buffer.len();
                return Ok(None);
            };
            self.searched = 0;
            let line = self.buffer.split_to(end + 1).freeze();
            if !line.iter().all(u8::is_ascii_whitespace) {
                return Ok(Some(line));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_wherever_chunks_are() {
        let text = b"{\"a\":1}\n\n  \r\n{\"b\":2}\n{\"c\"";
        for size in 1..text.len() {
            let mut lines = Lines::default();
            let mut found = Vec::new();
            for chunk in text.chunks(size) {
                lines.take(chunk);
                while let Some(line) = lines.next().unwrap() {
                    found.push(line);
                }
            }
            assert_eq!(found, [&b"{\"a\":1}\n"[..], b"{\"b\":2}\n"], "chunks of {size}");
        }
        let mut lines = Lines::default();
        lines.take(&vec![b'x'; WORKER_LINE_BYTES_MAX + 1]);
        assert!(lines.next().is_err());
    }
}
