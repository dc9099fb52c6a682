//! Sites.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use axum::extract::{Extension, State};
use axum::http::HeaderMap;
use axum::response::Response;
use controlplane::{Fault, FaultKind, Queued};
use engine::{Command, SiteOrder};
use model::{Label, RunId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::access::Caller;
use super::extract::{Json, Listed, Path, Query, page_size};
use super::problem::{ApiError, ApiResult, blocking};
use super::projection::{kind_name, rfc3339, site_view};
use super::shared::{self, What};
use super::views::SiteView;
use super::{App, permission};

#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// `next` of the page before.
    cursor: Option<String>,
    /// Rows of the page: 1,000 when nothing is said, at most 10,000.
    #[param(minimum = 1, maximum = 10000)]
    limit: Option<usize>,
}

/// Lists the sites with what they hold now, by name.
#[utoipa::path(get, path = "/api/v1/sites", operation_id = "listSites", tag = "resources", params(ListQuery),
    responses((status = 200, description = "A page of sites.", body = Vec<SiteView>)))]
pub(crate) async fn list(State(app): State<App>, Query(query): Query<ListQuery>) -> ApiResult<Listed<SiteView>> {
    let limit = page_size(query.limit, 1_000, 10_000)?;
    let (reader, open) = (app.control.reader().clone(), app.control.sites().clone());
    let held = app.control.notices().held();
    let page = blocking(move || {
        let sites = reader.sites().map_err(Fault::internal)?;
        let running = reader.running_by_site().map_err(Fault::internal)?;
        let after = |site: &&journal::SiteRow| query.cursor.as_ref().is_none_or(|cursor| site.spec.name > *cursor);
        let view = |site: &journal::SiteRow| {
            let name = &site.spec.name;
            let (held, running) = (held.get(name).copied().unwrap_or_default(), running.get(name).copied().unwrap_or_default());
            site_view(site, &open, held, running)
        };
        let items: Vec<SiteView> = sites.iter().filter(after).take(limit).map(view).collect();
        let next = items.last().filter(|_| items.len() == limit).map(|last| last.name.clone());
        Ok(Listed { items, next, limit })
    });
    page.await
}

/// Actions of a site that are listed when nothing is said, and at most.
const HELD: usize = 50;
const HELD_MAX: usize = 500;
/// Groups of waiting actions that are listed of a site when nothing is said.
const QUEUED: usize = 5;

/// An action that holds capacity of a site.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct HeldView {
    /// Its run.
    pub run: String,
    /// Its path in the run.
    pub path: String,
    /// Its kind.
    pub kind: String,
    /// initializing or running.
    pub phase: String,
    /// Since when (RFC 3339): when it began to run, or was opened.
    pub since: String,
}

#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct HeldQuery {
    /// At most so many: 50 when nothing is said, at most 500.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
}

/// Lists what holds capacity of a site now: what runs, then what is starting, the earliest first.
#[utoipa::path(get, path = "/api/v1/sites/{site}/actions", operation_id = "listHeld", tag = "resources", params(HeldQuery),
    responses((status = 200, description = "What is there.", body = Vec<HeldView>)))]
pub(crate) async fn held(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(site): Path<String>,
    Query(query): Query<HeldQuery>,
) -> ApiResult<Json<Vec<HeldView>>> {
    let limit = page_size(query.limit, HELD, HELD_MAX)?;
    let found = blocking(move || {
        let reader = app.control.reader();
        if !reader.sites().map_err(Fault::internal)?.iter().any(|row| row.spec.name == site) {
            return Err(Fault::not_found("site", &site));
        }
        let view = |(run, row): (String, journal::ActionRow)| HeldView {
            run,
            path: row.path,
            kind: kind_name(row.kind).into(),
            phase: row.phase.to_string(),
            since: rfc3339(row.started_at.unwrap_or(row.opened_at)),
        };
        // Whoever may read a site may not read the runs of every project.
        let told =
            |run: &journal::RunRow| permission::permits(&app, &caller, "read", &permission::run_target(run), &Label::empty());
        Ok(reader.held_at(&site, limit, told).map_err(Fault::internal)?.into_iter().map(view).collect())
    });
    Ok(Json(found.await?))
}

/// What waits for a site.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct SiteQueueView {
    /// The site.
    pub site: String,
    /// How many actions could go there, or are placed there, and wait. One that could go to several sites waits for each of them.
    pub waiting: u64,
    /// Since when the first of them does (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// The first of them, what has waited for the longest first: those of runs that whoever asks may read.
    pub items: Vec<QueuedView>,
    /// Whether more waits on the server than was looked at: then there may be more here too.
    pub cut: bool,
}

/// Actions of one run that wait for a site for the same reason.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct QueuedView {
    /// Their run.
    pub run: String,
    /// The path of the first.
    pub path: String,
    /// How many they are.
    pub actions: u64,
    /// Since when (RFC 3339): when the first was opened.
    pub since: String,
    /// What is waited for, in words that follow `waits for`.
    pub why: String,
    /// Other sites that could take them as well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub or_at: Vec<String>,
}

#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct QueueQuery {
    /// Of this site; of all when nothing is said.
    site: Option<String>,
    /// At most so many items a site: 5 when nothing is said, at most 500.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
}

/// Lists what waits for each site: how much, since when, what, and why.
#[utoipa::path(get, path = "/api/v1/sites/queues", operation_id = "listQueues", tag = "resources", params(QueueQuery),
    responses((status = 200, description = "The queues, by site.", body = Vec<SiteQueueView>)))]
pub(crate) async fn queues(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    Query(query): Query<QueueQuery>,
) -> ApiResult<Response> {
    let limit = page_size(query.limit, QUEUED, HELD_MAX)?;
    let what = What::Queues { site: query.site.clone(), limit };
    let read = move |app: &App, caller: &Caller| queues_of(app, caller, query.site.as_ref(), limit);
    // However many look at them: all that waits on the server is counted once for all of them.
    Ok(shared::of_run(&app, &caller, RunId::FLEET, what, read).await?.respond(&headers))
}

/// What waits for one site, or for each. Blocks.
fn queues_of(app: &App, caller: &Caller, wanted: Option<&String>, limit: usize) -> Result<Vec<SiteQueueView>, Fault> {
    let sites = app.control.reader().sites().map_err(Fault::internal)?;
    let names: Vec<String> = sites.into_iter().map(|row| row.spec.name).collect();
    if let Some(site) = wanted.filter(|site| !names.contains(site)) {
        return Err(Fault::not_found("site", site));
    }
    let mut queues = app.control.queues()?;
    let mut told = Told::default();
    let mut views = Vec::new();
    for site in names.into_iter().filter(|name| wanted.is_none_or(|wanted| wanted == name)) {
        let groups = queues.sites.remove(&site).unwrap_or_default();
        let waiting = groups.iter().map(|group| group.actions).sum();
        let since = groups.first().map(|first| rfc3339(first.since));
        let mut items = Vec::new();
        for group in groups {
            if items.len() < limit
                && let Some(item) = told.view(app, caller, group)?
            {
                items.push(item);
            }
        }
        views.push(SiteQueueView { site, waiting, since, items, cut: queues.cut });
    }
    Ok(views)
}

/// The names of runs that a caller may read, looked up once each.
#[derive(Default)]
struct Told(BTreeMap<RunId, Option<String>>);

impl Told {
    /// What waits, as a caller is told of it; none when they may not read its run.
    fn view(&mut self, app: &App, caller: &Caller, group: Queued) -> Result<Option<QueuedView>, Fault> {
        let reader = app.control.reader();
        let name = match self.0.entry(group.run) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let run = reader.run(group.run).map_err(Fault::internal)?;
                let may = |run: &journal::RunRow| {
                    permission::permits(app, caller, "read", &permission::run_target(run), &Label::empty())
                };
                new.insert(run.filter(may).map(|run| run.name))
            }
        };
        let Some(run) = name.clone() else { return Ok(None) };
        let Some(row) = reader.action_no(group.run, group.first).map_err(Fault::internal)? else { return Ok(None) };
        let (actions, since) = (group.actions, rfc3339(group.since));
        Ok(Some(QueuedView { run, path: row.path, actions, since, why: group.why, or_at: group.or_at }))
    }
}

/// Gives an order to a site: cordon, uncordon, drain or remove.
#[utoipa::path(post, path = "/api/v1/sites/{site}/{order}", operation_id = "orderSite", tag = "resources",
    responses((status = 200, description = "The sites as they are now.", body = Vec<SiteView>)))]
pub(crate) async fn order(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path((site, order)): Path<(String, String)>,
) -> ApiResult<Listed<SiteView>> {
    let order = match order.as_str() {
        "cordon" => SiteOrder::Cordon,
        "uncordon" => SiteOrder::Uncordon,
        "drain" => SiteOrder::Drain,
        "remove" => SiteOrder::Remove,
        other => {
            return Err(ApiError(Fault::new(
                FaultKind::NotFound,
                format!("`{other}` is not an order: cordon, uncordon, drain, remove"),
            )));
        }
    };
    app.control.inbox().ask(Command::SiteOrder { site, order, principal: caller.principal }).await?;
    list(State(app), Query(ListQuery::default())).await
}
