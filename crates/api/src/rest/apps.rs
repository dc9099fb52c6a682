//! Apps: services of Flyte programs, looked at, started and stopped. The SDK deploys them.

use axum::extract::{Extension, State};
use controlplane::{Fault, FaultKind};
use flyte::wire::AppId;
use model::Label;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::App;
use super::access::Caller;
use super::extract::{Json, Path};
use super::permission::{app_target, permits};
use super::problem::{ApiError, ApiResult, blocking};
use super::projection::rfc3339;

/// An app.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct AppView {
    /// Its full name: project, domain and name.
    pub name: String,
    /// pending, starting, active, stopped or failed.
    pub state: String,
    /// Why it is not active.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// Where it is called, on the machine of the server.
    pub url: String,
    /// Whether anybody may call it.
    pub anonymous: bool,
    /// Grows with every change.
    pub revision: u64,
    /// The run that serves it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub run: String,
    /// When it was changed last.
    pub changed_at: String,
    /// Who deployed it first.
    pub by: String,
}

/// The apps.
#[utoipa::path(get, path = "/api/v1/apps", operation_id = "listApps", tag = "apps",
    responses((status = 200, description = "What apps there are.", body = Vec<AppView>)))]
pub(crate) async fn list(State(server): State<App>, Extension(caller): Extension<Caller>) -> ApiResult<Json<Vec<AppView>>> {
    let views = blocking(move || {
        let control = &server.control;
        let mut views = Vec::new();
        for app in control.apps()? {
            let target = app_target(&app.id.project, &app.id.domain, &app.id.name);
            if !permits(&server, &caller, "read", &target, &Label::empty()) {
                continue;
            }
            let (state, why) = control.app_state(&app)?;
            views.push(AppView {
                name: app.name(),
                state: state.as_str().into(),
                why,
                url: crate::flyte::app_url(control, &app),
                anonymous: app.read()?.anonymous,
                revision: app.revision,
                changed_at: rfc3339(app.at),
                run: app.run,
                by: app.by,
            });
        }
        Ok(views)
    });
    Ok(Json(views.await?))
}

/// Starts an app or stops it.
#[utoipa::path(post, path = "/api/v1/apps/{project}/{domain}/{name}/{order}", operation_id = "orderApp", tag = "apps",
    responses((status = 200, description = "The apps as they are now.", body = Vec<AppView>)))]
pub(crate) async fn order(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path((project, domain, name, order)): Path<(String, String, String, String)>,
) -> ApiResult<Json<Vec<AppView>>> {
    let runs = match order.as_str() {
        "start" => true,
        "stop" => false,
        other => {
            let message = format!("`{other}` is no order to an app: start or stop");
            return Err(ApiError(Fault::new(FaultKind::Malformed, message)));
        }
    };
    let id = AppId { org: String::new(), project, domain, name };
    app.control.want_app(&id, runs, &caller.principal).await?;
    list(State(app), Extension(caller)).await
}
