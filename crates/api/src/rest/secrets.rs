//! Secrets: set, listed, removed. No answer holds a value.

use axum::extract::{Extension, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::App;
use super::access::Caller;
use super::extract::{Json, Path, Query};
use super::problem::ApiResult;
use super::projection::rfc3339;

/// What is known of a secret without its value.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SecretView {
    /// The project whose workflows may name it.
    project: String,
    /// The domain whose runs are given it; without one those of every domain are.
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<String>,
    /// Its name: workflows say `secret://NAME`.
    name: String,
    /// How often it was set.
    version: u64,
    /// Tags that whoever is given it carries.
    tags: Vec<String>,
    /// When it was set.
    set_at: String,
    /// Who set it.
    set_by: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SecretRequest {
    /// The value. It is sealed, and given to no one but the attempts whose nodes name it.
    value: String,
    /// Tags that whoever is given it carries from then on.
    #[serde(default)]
    tags: Vec<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SecretSet {
    /// The version it has now.
    version: u64,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SecretQuery {
    /// Those of this project alone.
    project: Option<String>,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ScopeQuery {
    /// The domain whose runs alone are given it: `development`, `staging` or `production`. It comes before one of the whole project.
    domain: Option<String>,
}

/// The secrets, without their values.
#[utoipa::path(get, path = "/api/v1/secrets", operation_id = "listSecrets", tag = "keys", params(SecretQuery),
    responses((status = 200, description = "What secrets there are.", body = Vec<SecretView>)))]
pub(crate) async fn list(State(app): State<App>, Query(query): Query<SecretQuery>) -> ApiResult<Json<Vec<SecretView>>> {
    let secrets = app.control.secrets(query.project).await?;
    let view = |secret: controlplane::SecretInfo| SecretView {
        project: secret.project,
        domain: secret.domain,
        name: secret.name,
        version: secret.version,
        tags: secret.tags,
        set_at: rfc3339(model::Timestamp(secret.set_at)),
        set_by: secret.set_by,
    };
    Ok(Json(secrets.into_iter().map(view).collect()))
}

/// Sets a secret of a project, or of one domain of it.
#[utoipa::path(put, path = "/api/v1/secrets/{project}/{name}", operation_id = "setSecret", tag = "keys", params(ScopeQuery),
    request_body = SecretRequest,
    responses((status = 200, description = "It is set.", body = SecretSet)))]
pub(crate) async fn set(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path((project, name)): Path<(String, String)>,
    Query(scope): Query<ScopeQuery>,
    Json(request): Json<SecretRequest>,
) -> ApiResult<Json<SecretSet>> {
    let place = (&*project, scope.domain.as_deref());
    let version = app.control.set_secret(place, &name, request.value, request.tags, &caller.principal).await?;
    Ok(Json(SecretSet { version }))
}

/// Destroys a secret of a project, or of one domain of it.
#[utoipa::path(delete, path = "/api/v1/secrets/{project}/{name}", operation_id = "removeSecret", tag = "keys", params(ScopeQuery),
    responses((status = 204, description = "It is gone.")))]
pub(crate) async fn remove(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path((project, name)): Path<(String, String)>,
    Query(scope): Query<ScopeQuery>,
) -> ApiResult<StatusCode> {
    app.control.remove_secret((&project, scope.domain.as_deref()), &name, &caller.principal).await?;
    Ok(StatusCode::NO_CONTENT)
}
