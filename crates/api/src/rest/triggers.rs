//! Triggers: when they are due, and what became of their firings.

use axum::extract::State;
use controlplane::{ControlPlane, Fault};
use journal::ResourceRow;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use workflow::documents::{TriggerKind, TriggerSpec};

use super::App;
use super::extract::{Json, Listed, Path, Query, page_size};
use super::problem::{ApiResult, blocking};
use super::projection::rfc3339;

/// Firings of one trigger that are shown.
const FIRINGS: usize = 20;

/// A trigger, with when it is due and what became of its last firings.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct TriggerView {
    /// Its name.
    pub name: String,
    /// The workflow it starts.
    pub workflow: String,
    /// What starts it: `cron 30 2 * * * Europe/Berlin`, `every 15m`, `webhook`, `event NAME`.
    pub starts: String,
    /// What becomes of a firing while a run of an earlier one is open: `allow`, `skip`, `queue`, `replace`.
    pub overlap: String,
    /// What becomes of firings that were missed while the server was down: `last`, `all`, `skip`.
    pub catch_up: String,
    /// Whether it is held.
    pub paused: bool,
    /// Its version, dense from 1.
    pub version: u64,
    /// When this version was applied (RFC 3339).
    pub applied_at: String,
    /// Who applied it.
    pub principal: String,
    /// When it is due next (RFC 3339); none when it is held, or waits for something else than time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_due: Option<String>,
    /// Runs that it started so far.
    #[serde(default)]
    pub started: u64,
    /// Firings that were left out so far, for whatever reason.
    #[serde(default)]
    pub left_out: u64,
    /// Why it could start nothing now: its workflow is not there or does not take its inputs, or its secret is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// The document, of one trigger.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub definition: Value,
    /// Its last firings, the latest first: the last alone in lists, 20 of one trigger.
    pub firings: Vec<FiringView>,
}

/// What became of a firing.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct FiringView {
    /// When it was due (RFC 3339).
    pub due: String,
    /// When it was recorded (RFC 3339).
    pub at: String,
    /// The run it started; none when it was left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// The phase of that run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// Why there is no run: `still_runs`, `queue_full`, or `refused` when the workflow is gone or does not take the inputs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out: Option<String>,
    /// Firings before it that were left out by the catch-up policy.
    pub missed: u32,
}

fn starts(on: &TriggerKind) -> String {
    match on {
        TriggerKind::Cron { expression, timezone } => format!("cron {expression} {timezone}"),
        TriggerKind::Every(every) => format!("every {every}"),
        TriggerKind::EveryFrom { every, from } => format!("every {every} from {}", rfc3339(*from)),
        TriggerKind::Demand => "on demand".into(),
        TriggerKind::Webhook { .. } => "webhook".into(),
        TriggerKind::Event { name, .. } => format!("event {name}"),
    }
}

/// A word of the language, as it stands in a document.
fn word<T: Serialize>(value: &T) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

fn view(control: &ControlPlane, row: ResourceRow, firings: usize) -> Result<TriggerView, Fault> {
    let definition = if firings > 1 { row.body.clone() } else { Value::Null };
    let trigger: TriggerSpec = serde_json::from_value(row.body).map_err(Fault::internal)?;
    let reader = control.reader();
    let mut found = Vec::new();
    for firing in reader.firings(&row.name, firings).map_err(Fault::internal)? {
        let run = firing.run.map(|run| reader.run(run)).transpose().map_err(Fault::internal)?.flatten();
        let run = run.map(|run| super::projection::run_view(&run));
        found.push(FiringView {
            due: rfc3339(firing.due),
            at: rfc3339(firing.at),
            run: run.as_ref().map(|run| run.name.clone()),
            phase: run.map(|run| run.phase),
            left_out: firing.left_out,
            missed: firing.missed,
        });
    }
    let (started, left_out) = reader.firings_counted(&row.name).map_err(Fault::internal)?;
    Ok(TriggerView {
        started,
        left_out,
        trouble: control.trouble_of(&trigger),
        next_due: control.next_firing_of(&row.name).map(rfc3339),
        name: row.name,
        workflow: trigger.workflow,
        starts: starts(&trigger.on),
        overlap: word(&trigger.overlap),
        catch_up: word(&trigger.catch_up),
        paused: trigger.paused,
        version: row.version,
        applied_at: rfc3339(row.at),
        principal: row.principal,
        definition,
        firings: found,
    })
}

#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// `next` of the page before.
    cursor: Option<String>,
    /// Rows of the page: 200 when nothing is said, at most 1,000.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// Lists the triggers by name, each with its last firing.
#[utoipa::path(get, path = "/api/v1/triggers", operation_id = "listTriggers", tag = "resources", params(ListQuery),
    responses((status = 200, description = "A page of triggers.", body = Vec<TriggerView>)))]
pub(crate) async fn list(State(app): State<App>, Query(query): Query<ListQuery>) -> ApiResult<Listed<TriggerView>> {
    let limit = page_size(query.limit, 200, 1_000)?;
    let control = app.control.clone();
    let items = blocking(move || {
        let rows = control.reader().resources("trigger", None, None).map_err(Fault::internal)?;
        let after = |row: &ResourceRow| query.cursor.as_ref().is_none_or(|cursor| row.name > *cursor);
        rows.into_iter().filter(after).take(limit).map(|row| view(&control, row, 1)).collect::<Result<Vec<_>, Fault>>()
    });
    let items = items.await?;
    let next = items.last().filter(|_| items.len() == limit).map(|last| last.name.clone());
    Ok(Listed { items, next, limit })
}

/// A trigger: when it is due next, and what became of its last firings.
#[utoipa::path(get, path = "/api/v1/triggers/{trigger}", operation_id = "getTrigger", tag = "resources",
    responses((status = 200, description = "The trigger.", body = TriggerView)))]
pub(crate) async fn get_trigger(State(app): State<App>, Path(trigger): Path<String>) -> ApiResult<Json<TriggerView>> {
    let control = app.control.clone();
    let found = blocking(move || {
        let row = control.reader().resources("trigger", Some(&trigger), None).map_err(Fault::internal)?.pop();
        view(&control, row.ok_or_else(|| Fault::not_found("trigger", &trigger))?, FIRINGS)
    });
    Ok(Json(found.await?))
}
