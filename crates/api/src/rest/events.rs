//! What happens, as a stream with a cursor; and what happened outside.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Extension, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::IntoResponse;
use controlplane::{Fault, FaultKind};
use engine::Event;
use engine::event::Origin;
use model::{RunId, Seq, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::Instant;
use utoipa::ToSchema;

use super::App;
use super::access::Caller;
use super::extract::{Json, Path, Query, page_size};
use super::observe::POSITION;
use super::problem::{ApiError, ApiResult, blocking};
use super::projection::rfc3339;
use super::views::{Page, SignalRequest};

/// Facts of a page when nothing is said.
const FACTS: usize = 200;
/// Facts of a page at most.
const FACTS_MAX: usize = 1_000;
/// Events that come one after the other are gathered for so long before they are sent together.
const GATHER: Duration = Duration::from_millis(50);

/// Seconds of silence after which a line is sent to show that the stream is alive.
const HEARTBEAT_SECONDS: u64 = 15;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct StreamQuery {
    /// After this position; 0 is from the beginning, and nothing is from now on. `Last-Event-ID` says the same and goes before.
    after: Option<u64>,
    /// Of this run only.
    run: Option<String>,
    /// Seconds of silence after which a comment is sent to show that the stream is alive: 15 when nothing is said, 1 to 60.
    #[param(minimum = 1, maximum = 60)]
    heartbeat: Option<u64>,
}

/// Server-sent events: every fact of the journal, its position as the id, so that a client goes on where it stopped.
#[utoipa::path(get, path = "/api/v1/events", operation_id = "streamEvents", tag = "events", params(
        StreamQuery,
        ("Last-Event-ID" = Option<u64>, Header, description = "The id of the last event that was seen: the stream goes on after it.")
    ),
    responses((status = 200, description = "Server-sent events: `id` is the position, `event` the name of the fact, `data` JSON.", body = String,
        content_type = "text/event-stream", headers(("Tutti-Position" = u64, description = "The position after which the stream begins. Every answer of the \
            API says in this header up to which position it holds everything, but for the outlook of a run of more than a thousand actions, which may be up to \
            3 s older while that is under way: what was read before a stream began is stale when its position is before that of the stream.")))))]
pub(crate) async fn stream(
    State(app): State<App>,
    headers: HeaderMap,
    Query(query): Query<StreamQuery>,
) -> ApiResult<impl IntoResponse> {
    let control = app.control.clone();
    let run = match query.run {
        Some(name) => Some(blocking(move || control.find_run(&name).map(|row| row.id)).await?),
        None => None,
    };
    let last = match headers.get("last-event-id") {
        None => None,
        Some(id) => {
            let id = id.to_str().ok().and_then(|id| id.parse().ok());
            Some(id.ok_or_else(|| Fault::new(FaultKind::Malformed, "`Last-Event-ID` is not the id of an event"))?)
        }
    };
    let heartbeat = query.heartbeat.unwrap_or(HEARTBEAT_SECONDS);
    if !(1..=60).contains(&heartbeat) {
        return Err(ApiError(Fault::new(FaultKind::Malformed, format!("`heartbeat` is {heartbeat}, not from 1 to 60 seconds"))));
    }
    let mut seen = app.control.notices().watch();
    // A browser that connects again sends the header with the address it was given at first.
    let after = last.or(query.after).map_or_else(|| *seen.borrow_and_update(), Seq);
    let heartbeat = Duration::from_secs(heartbeat);
    let listener = Listener { app, seen, after, run, heartbeat, wrote: Instant::now(), caught_up: false };
    let text = futures::stream::unfold(listener, |mut listener| async move {
        let text = listener.next().await?;
        Some((Ok::<_, Infallible>(text), listener))
    });
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (POSITION, after.0.into()),
    ];
    Ok((headers, Body::from_stream(text)))
}

/// One that listens.
struct Listener {
    app: App,
    seen: tokio::sync::watch::Receiver<Seq>,
    after: Seq,
    run: Option<RunId>,
    heartbeat: Duration,
    /// When something was written last.
    wrote: Instant,
    /// Whether that was all there was.
    caught_up: bool,
}

impl Listener {
    /// What is written next; none when the stream ends.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            // A client that is still behind when the server stops comes back for the rest.
            if *self.app.stopped.borrow() {
                return None;
            }
            self.gather().await;
            self.seen.borrow_and_update();
            let sent = self.app.feed.after(&self.app.control, self.after, self.run).await?;
            (self.after, self.caught_up) = (sent.after, sent.end);
            if !sent.text.is_empty() {
                self.wrote = Instant::now();
                return Some(sent.text.into());
            }
            if !sent.end {
                continue;
            }
            tokio::select! {
                changed = self.seen.changed() => changed.ok()?,
                () = self.app.stopping() => return None,
                () = tokio::time::sleep_until(self.wrote + self.heartbeat) => {
                    self.wrote = Instant::now();
                    return Some(Bytes::from_static(b":\n\n"));
                }
            }
        }
    }

    /// What comes after a pause is sent at once; what comes close after the last is gathered, so that five hundred changes a second are twenty
    /// writes. Who is behind does not wait.
    async fn gather(&self) {
        if !self.caught_up {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep_until(self.wrote + GATHER) => {}
            () = self.app.stopping() => {}
        }
    }
}

/// The name of a fact.
pub(crate) fn name_of(event: &Event) -> &'static str {
    match event {
        Event::RunSubmitted(_) => "run_submitted",
        Event::ActionsOpened(_) => "actions_opened",
        Event::NodesSkipped(_) => "nodes_skipped",
        Event::ActionsPlaced(_) => "actions_placed",
        Event::ActionsParked(_) => "actions_parked",
        Event::AttemptStarted(_) => "attempt_started",
        Event::AttemptFinished(_) => "attempt_finished",
        Event::RetryDue(_) => "retry_due",
        Event::ActionFinished(_) => "action_finished",
        Event::ReportIgnored(_) => "report_ignored",
        Event::CancelRequested(_) => "cancel_requested",
        Event::RunCancelRequested(_) => "run_cancel_requested",
        Event::RunFailing(_) => "run_failing",
        Event::RunPaused(_) => "run_paused",
        Event::RunResumed(_) => "run_resumed",
        Event::RunBegan(_) => "run_began",
        Event::RunFinished(_) => "run_finished",
        Event::HumanDecided(_) => "human_decided",
        Event::HumanEscalated(_) => "human_escalated",
        Event::HumanDelegated(_) => "human_delegated",
        Event::HumanSeen(_) => "human_seen",
        Event::SignalReceived(_) => "signal_received",
        Event::RecallAsked(_) => "recall_asked",
        Event::RecallMissed(_) => "recall_missed",
        Event::CompensationStarted(_) => "compensation_started",
        Event::OutputKept(_) => "output_kept",
        Event::RunPlanned(_) => "run_planned",
        Event::RunLabelled(_) => "run_labelled",
        Event::ArtifactsLabelled(_) => "artifacts_labelled",
        Event::ChildOpened(_) => "child_opened",
        Event::ActionStopRequested(_) => "action_stop_requested",
        Event::EpochBegan(_) => "epoch_began",
        Event::SiteRegistered(_) => "site_registered",
        Event::SiteRemoved(_) => "site_removed",
        Event::SiteCordoned(_) => "site_cordoned",
        Event::SiteUncordoned(_) => "site_uncordoned",
        Event::SiteDrained(_) => "site_drained",
        Event::SiteHealthChanged(_) => "site_health_changed",
        Event::PoolSized(_) => "pool_sized",
        Event::ResourceApplied(_) => "resource_applied",
        Event::ResourceDeleted(_) => "resource_deleted",
        Event::TriggerFired(_) => "trigger_fired",
        Event::BodiesPruned(_) => "bodies_pruned",
        Event::DataErased(_) => "data_erased",
        Event::SecretsReleased(_) => "secrets_released",
        Event::TicketIssued(_) => "ticket_issued",
        Event::EgressDecided(_) => "egress_decided",
        Event::NetworkUsed(_) => "network_used",
    }
}

/// What a site tells of itself, and what is kept started there.
fn of_site(data: &mut Value, event: &Event) {
    match event {
        Event::SiteHealthChanged(e) => {
            data["site"] = e.site.clone().into();
            data["healthy"] = e.healthy.into();
        }
        Event::PoolSized(e) => {
            data["site"] = e.site.clone().into();
            data["pieces"] = e.pieces.into();
            data["an_hour"] = e.an_hour.into();
            data["why"] = e.why.clone().into();
        }
        _ => {}
    }
}

/// The same of the acceptance of a run.
fn submitted(e: &engine::event::RunSubmitted, data: &mut Value) {
    data["name"] = e.name.clone().into();
    data["principal"] = e.principal.clone().into();
    if let Origin::Rerun { of } = &e.origin {
        // Nodes by their number in the graph: what each gave stands for it here.
        data["repeats"] = of.0.into();
        data["reused"] = e.reused.iter().map(|reused| reused.node).collect();
        if let Some(items) = &e.reused_items {
            data["reused_items"] = items.len().into();
        }
    }
}

/// What a client needs to know which view to read again: values stay behind their own doors.
pub(crate) fn data_of(at: Timestamp, run: RunId, event: &Event) -> Value {
    let mut data = json!({ "at": rfc3339(at) });
    if run != RunId::FLEET {
        data["run"] = run.0.into();
    }
    match event {
        Event::RunSubmitted(e) => submitted(e, &mut data),
        Event::ActionsOpened(e) => data["paths"] = e.actions.iter().map(|opened| opened.path.clone()).collect(),
        Event::ChildOpened(e) => data["paths"] = vec![e.opened.path.clone()].into(),
        Event::ActionStopRequested(e) => data["action"] = e.action.0.into(),
        Event::ActionsPlaced(e) => {
            data["site"] = e.site.clone().into();
            data["actions"] = e.actions.iter().map(|placed| placed.action.0).collect();
        }
        Event::ActionsParked(e) => data["actions"] = e.actions.iter().map(|action| action.0).collect(),
        Event::AttemptStarted(e) => data["action"] = e.action.0.into(),
        Event::AttemptFinished(e) => {
            data["action"] = e.action.0.into();
            data["phase"] = e.phase.as_str().into();
        }
        Event::ActionFinished(e) => {
            data["action"] = e.action.0.into();
            data["phase"] = e.phase.as_str().into();
            if e.reused {
                data["reused"] = true.into();
            }
        }
        Event::HumanDecided(e) => {
            data["action"] = e.action.0.into();
            data["principal"] = e.principal.clone().into();
        }
        Event::HumanEscalated(e) => data["action"] = e.action.0.into(),
        Event::HumanDelegated(e) => {
            data["action"] = e.action.0.into();
            data["principal"] = e.principal.clone().into();
            data["to"] = e.users.iter().chain(&e.groups).cloned().collect();
        }
        Event::HumanSeen(e) => {
            data["action"] = e.action.0.into();
            data["principal"] = e.principal.clone().into();
            data["shown"] = e.shown.to_string().into();
        }
        Event::OutputKept(e) => data["action"] = e.action.0.into(),
        Event::RunCancelRequested(e) => data["principal"] = e.principal.clone().into(),
        Event::RunPaused(e) | Event::RunResumed(e) | Event::RunBegan(e) => data["principal"] = e.principal.clone().into(),
        Event::SignalReceived(e) => {
            data["name"] = e.name.clone().into();
            data["principal"] = e.principal.clone().into();
        }
        Event::RunFinished(e) => data["phase"] = e.phase.as_str().into(),
        Event::EpochBegan(e) => data["version"] = e.version.clone().into(),
        Event::SiteRegistered(e) => {
            data["site"] = e.site.name.clone().into();
            data["principal"] = e.principal.clone().into();
        }
        Event::SiteRemoved(e) | Event::SiteCordoned(e) | Event::SiteUncordoned(e) | Event::SiteDrained(e) => {
            data["site"] = e.site.clone().into();
            data["principal"] = e.principal.clone().into();
        }
        Event::SiteHealthChanged(_) | Event::PoolSized(_) => of_site(&mut data, event),
        Event::ResourceApplied(e) => {
            data["name"] = format!("{} {}", e.kind, e.name).into();
            data["version"] = e.version.into();
            data["principal"] = e.principal.clone().into();
        }
        Event::ResourceDeleted(e) => {
            data["name"] = format!("{} {}", e.kind, e.name).into();
            data["principal"] = e.principal.clone().into();
        }
        Event::TriggerFired(e) => {
            data["name"] = e.trigger.clone().into();
            if let Some(run) = e.run {
                data["run"] = run.0.into();
            }
            if let Some(why) = e.left_out {
                data["left_out"] = why.as_str().into();
            }
        }
        Event::BodiesPruned(e) => data["principal"] = e.principal.clone().into(),
        Event::DataErased(e) => {
            data["runs"] = e.runs.iter().map(|run| run.0).collect();
            data["principal"] = e.principal.clone().into();
        }
        Event::NetworkUsed(_) | Event::EgressDecided(_) | Event::TicketIssued(_) | Event::SecretsReleased(_) => {
            allowed(event, &mut data)
        }
        _ => {}
    }
    data
}

/// What an attempt was allowed.
fn allowed(event: &Event, data: &mut Value) {
    match event {
        Event::EgressDecided(e) => {
            data["action"] = e.action.0.into();
            data["site"] = e.site.clone().into();
            data["permitted"] = e.permitted.iter().map(ToString::to_string).collect();
            data["refused"] = json!(e.refused);
        }
        Event::NetworkUsed(e) => {
            data["action"] = e.action.0.into();
            data["site"] = e.site.clone().into();
            let way = |(way, used): (&String, &engine::event::WayUsed)| {
                (
                    way.clone(),
                    json!({"connections": used.connections, "failed": used.failed, "cut": used.cut, "sent": used.sent, "received": used.received}),
                )
            };
            data["ways"] = Value::Object(e.ways.iter().map(way).collect());
            data["refused"] = e.refused.into();
        }
        Event::TicketIssued(e) => {
            data["action"] = e.ticket.ticket.attempt.action.0.into();
            data["site"] = e.ticket.ticket.site.clone().into();
        }
        Event::SecretsReleased(e) => {
            data["action"] = e.action.0.into();
            data["site"] = e.site.clone().into();
            data["secrets"] = json!(e.secrets);
        }
        _ => {}
    }
}

/// A fact of the journal.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FactView {
    /// Its position; the first is 1.
    seq: u64,
    /// What it is: `run_submitted`, `human_decided`, ….
    event: String,
    /// When, of which run, by whom. Values stay behind their own doors.
    data: Value,
    /// The name of the run whose number is in `data`.
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<String>,
    /// The paths of the actions whose numbers are in `data`: the first few of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    actions: Vec<String>,
}

/// Actions that are named with a fact about many of them.
const NAMED_MAX: usize = 4;

/// Names of what facts tell by numbers. A page is about few runs: each is looked up once.
struct Names<'a> {
    reader: &'a journal::Reader,
    runs: BTreeMap<u64, Option<String>>,
}

impl Names<'_> {
    fn fact(&mut self, (seq, at, run, event): &(Seq, Timestamp, RunId, Event)) -> Result<FactView, Fault> {
        let data = data_of(*at, *run, event);
        let numbers = data["actions"].as_array().into_iter().flatten().chain(data.get("action")).filter_map(Value::as_u64);
        let mut actions = Vec::new();
        for no in numbers.take(NAMED_MAX) {
            let row = self.reader.action_no(*run, no as u32).map_err(Fault::internal)?;
            actions.extend(row.map(|row| row.path));
        }
        let run = data["run"].as_u64().map(|run| self.run(run)).transpose()?.flatten();
        Ok(FactView { seq: seq.0, event: name_of(event).into(), data, run, actions })
    }

    fn run(&mut self, number: u64) -> Result<Option<String>, Fault> {
        if let Some(known) = self.runs.get(&number) {
            return Ok(known.clone());
        }
        let name = self.reader.run(RunId(number)).map_err(Fault::internal)?.map(|row| row.name);
        self.runs.insert(number, name.clone());
        Ok(name)
    }
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct FactsQuery {
    /// `next` of the page before, or a position: facts after it are listed.
    cursor: Option<u64>,
    /// Of this run only.
    run: Option<String>,
    /// Rows of the page: 200 when nothing is said, at most 1,000.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// Lists the facts of the journal in order, of one run or of all: what the stream of events sends, page by page.
#[utoipa::path(get, path = "/api/v1/facts", operation_id = "listFacts", tag = "events", params(FactsQuery),
    responses((status = 200, description = "A page of facts.", body = Page<FactView>)))]
pub(crate) async fn list(State(app): State<App>, Query(query): Query<FactsQuery>) -> ApiResult<Json<Page<FactView>>> {
    let limit = page_size(query.limit, FACTS, FACTS_MAX)?;
    let control = app.control.clone();
    let page = blocking(move || {
        let run = query.run.as_deref().map(|name| control.find_run(name).map(|row| row.id)).transpose()?;
        let found = control.reader().events(Seq(query.cursor.unwrap_or(0)), run, limit).map_err(Fault::internal)?;
        let next = found.last().filter(|_| found.len() == limit).map(|(seq, ..)| seq.0.to_string());
        let mut names = Names { reader: control.reader(), runs: BTreeMap::new() };
        let items = found.iter().map(|fact| names.fact(fact)).collect::<Result<_, Fault>>()?;
        Ok(Page { items, next })
    });
    Ok(Json(page.await?))
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FiredView {
    /// The numbers of the runs that triggers started.
    runs: Vec<u64>,
}

/// Reports something that happened outside: waits for it end, and triggers on it fire.
#[utoipa::path(post, path = "/api/v1/events", operation_id = "reportEvent", tag = "events", request_body = SignalRequest,
    responses((status = 200, description = "It was recorded.", body = FiredView)))]
pub(crate) async fn report(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Json(request): Json<SignalRequest>,
) -> ApiResult<Json<FiredView>> {
    // Triggers give it to the runs that they start.
    super::naming::check(&app, &caller, [&request.payload])?;
    let runs = app.control.event(&request.name, request.payload, &caller.principal).await?;
    Ok(Json(FiredView { runs: runs.into_iter().map(|run| run.0).collect() }))
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HookView {
    /// The run that was started; null when the firing was left out because an earlier run still runs.
    run: Option<String>,
}

/// A call of a webhook. `X-Tutti-Timestamp` is the time in seconds, `X-Tutti-Signature` is `sha256=` and the HMAC-SHA256 of
/// `TIMESTAMP.BODY` under the trigger's secret.
#[utoipa::path(post, path = "/hooks/{trigger}", operation_id = "callWebhook", tag = "events",
    params(
        ("X-Tutti-Timestamp" = u64, Header, description = "The time of the call, in seconds since 1970."),
        ("X-Tutti-Signature" = String, Header, description = "`sha256=` and the HMAC in hexadecimal digits.")
    ),
    request_body(content = String, content_type = "application/octet-stream", description = "What is signed. JSON is given to the workflow as such."),
    responses((status = 200, description = "It fired, or had fired for this very call.", body = HookView)))]
pub(crate) async fn webhook(
    State(app): State<App>,
    Path(trigger): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> ApiResult<Json<HookView>> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let run = app.control.webhook(&trigger, header("x-tutti-timestamp"), &body, header("x-tutti-signature")).await?;
    let name = match run {
        Some(run) => app.control.reader().run(run).map_err(Fault::internal)?.map(|row| row.name),
        None => None,
    };
    Ok(Json(HookView { run: name }))
}
