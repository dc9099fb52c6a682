//! Sites.

use axum::Json;
use axum::extract::{Extension, Path, State};
use controlplane::{Fault, FaultKind};
use engine::{Command, SiteOrder};
use model::Resources;

use super::App;
use super::access::Caller;
use super::problem::{ApiError, ApiResult, blocking};
use super::projection::site_view;
use super::views::SiteView;

/// Lists the sites with what they hold now.
#[utoipa::path(get, path = "/api/v1/sites", responses((status = 200, body = Vec<SiteView>)))]
pub(crate) async fn list(State(app): State<App>) -> ApiResult<Json<Vec<SiteView>>> {
    let reader = app.control.reader().clone();
    let views = blocking(move || {
        let sites = reader.sites().map_err(Fault::internal)?;
        let running = reader.running_by_site().map_err(Fault::internal)?;
        Ok(sites
            .iter()
            .map(|site| site_view(site, running.get(&site.spec.name).map(|count| (Resources::default(), *count))))
            .collect())
    });
    Ok(Json(views.await?))
}

/// Gives an order to a site: cordon, uncordon, drain or remove.
#[utoipa::path(post, path = "/api/v1/sites/{site}/{order}", responses((status = 200, body = Vec<SiteView>)))]
pub(crate) async fn order(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path((site, order)): Path<(String, String)>,
) -> ApiResult<Json<Vec<SiteView>>> {
    caller.needs("admin")?;
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
    list(State(app)).await
}
