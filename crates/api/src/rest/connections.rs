//! What the attempts of a run did over the network, connection by connection. A process chooses the words of what it asks for, so that whoever
//! looks has to be one who may see what it could read.

use axum::extract::State;
use controlplane::{ControlPlane, Fault};
use journal::{ActionFilter, ActionRow};
use model::{ActionNo, AttemptKey, AttemptNo, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::App;
use super::actions::find;
use super::extract::{Json, Path, Query, page_size};
use super::problem::{ApiResult, blocking};
use super::projection::rfc3339;
use super::views::Page;

/// Actions of a page when nothing is said.
const PAGE: usize = 1_000;
/// Actions of a page at most.
const PAGE_MAX: usize = 10_000;
/// Connections of an answer at most: those of the actions after it are on the next page.
const CONNECTIONS_MAX: usize = 20_000;

/// A connection that an attempt made, or wanted to make.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct ConnectionView {
    /// The action's path.
    pub path: String,
    /// The attempt.
    pub attempt: u32,
    /// Where it ran.
    pub site: String,
    /// When it was asked for (RFC 3339).
    pub at: String,
    /// The host that was asked for.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The address it was connected to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// closed, refused, failed, cut, or ended (with the attempt).
    pub outcome: String,
    /// Why, where that is not clear.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Bytes that went out.
    pub sent: u64,
    /// Bytes that came in.
    pub received: u64,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ConnectionsQuery {
    /// Of the action at this path only.
    path: Option<String>,
    /// `next` of the page before.
    cursor: Option<u32>,
    /// Actions looked at for the page: 1,000 when nothing is said, at most 10,000.
    #[param(minimum = 1, maximum = 10000)]
    limit: Option<usize>,
}

/// What the attempts of a run did over the network: every connection, refused ones too, for as long as the logs of the attempt are kept.
#[utoipa::path(get, path = "/api/v1/runs/{run}/connections", operation_id = "listConnections", tag = "runs", params(ConnectionsQuery),
    responses((status = 200, description = "A page of connections.", body = Page<ConnectionView>)))]
pub(crate) async fn list(
    State(app): State<App>,
    Path(run): Path<String>,
    Query(query): Query<ConnectionsQuery>,
) -> ApiResult<Json<Page<ConnectionView>>> {
    let limit = page_size(query.limit, PAGE, PAGE_MAX)?;
    let control = app.control.clone();
    let page = blocking(move || {
        if let Some(path) = &query.path {
            let row = find(&control, &run, path)?;
            return Ok(Page { items: of_action(&control, &row)?, next: None });
        }
        let row = control.find_run(&run)?;
        let filter = ActionFilter { from: query.cursor.unwrap_or(0), limit, phase: None };
        let rows = control.reader().actions(row.id, &filter).map_err(Fault::internal)?;
        let (mut items, mut seen) = (Vec::new(), 0);
        for row in &rows {
            if items.len() >= CONNECTIONS_MAX {
                break;
            }
            items.extend(of_action(&control, row)?);
            seen += 1;
        }
        let more = seen < rows.len() || rows.len() == limit;
        let next = seen.checked_sub(1).and_then(|last| rows.get(last)).filter(|_| more).map(|row| (row.no + 1).to_string());
        Ok(Page { items, next })
    });
    Ok(Json(page.await?))
}

/// What all attempts of an action did, each where it ran.
fn of_action(control: &ControlPlane, row: &ActionRow) -> Result<Vec<ConnectionView>, Fault> {
    if row.attempt == 0 {
        return Ok(Vec::new());
    }
    let earlier = control.reader().attempts(row.run, row.no).map_err(Fault::internal)?;
    let mut attempts: Vec<(u32, Option<String>)> = earlier.into_iter().map(|one| (one.attempt, one.site)).collect();
    if attempts.iter().all(|(attempt, _)| *attempt != row.attempt) {
        attempts.push((row.attempt, row.site.clone()));
    }
    let mut found = Vec::new();
    for (attempt, site) in attempts {
        let Some((site, executor)) = site.and_then(|site| Some((site.clone(), control.sites().executor(&site)?))) else {
            continue;
        };
        let key = AttemptKey { run: row.run, action: ActionNo(row.no), attempt: AttemptNo(attempt) };
        found.extend(executor.connections(key).into_iter().map(|one| ConnectionView {
            path: row.path.clone(),
            attempt,
            site: site.clone(),
            at: rfc3339(Timestamp(one.at)),
            host: one.host,
            port: one.port,
            address: one.address,
            outcome: one.outcome,
            reason: one.reason,
            sent: one.sent,
            received: one.received,
        }));
    }
    Ok(found)
}
