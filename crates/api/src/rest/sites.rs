//! Sites.

use axum::extract::{Extension, State};
use controlplane::{Fault, FaultKind};
use engine::{Command, SiteOrder};
use model::{Label, Resources};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::access::Caller;
use super::extract::{Json, Listed, Path, Query, page_size};
use super::problem::{ApiError, ApiResult, blocking};
use super::projection::{kind_name, rfc3339, site_view};
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
    let page = blocking(move || {
        let sites = reader.sites().map_err(Fault::internal)?;
        let running = reader.running_by_site().map_err(Fault::internal)?;
        let after = |site: &&journal::SiteRow| query.cursor.as_ref().is_none_or(|cursor| site.spec.name > *cursor);
        let view = |site: &journal::SiteRow| {
            site_view(site, &open, running.get(&site.spec.name).map(|count| (Resources::default(), *count)))
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
