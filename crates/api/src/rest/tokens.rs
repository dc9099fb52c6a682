//! Tokens: made once, shown once, stored as hashes.

use axum::extract::{Extension, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use controlplane::{Fault, FaultKind, random_bytes};
use engine::Command;
use model::{Digest, Duration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::App;
use super::access::{Caller, EXPIRES_AT, SCOPES};
use super::extract::{Json, Path};
use super::problem::{ApiError, ApiResult, blocking};
use super::projection::rfc3339;
use super::views::TokenView;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenRequest {
    /// The name of the token.
    name: String,
    /// Who uses it; the name when nobody is given.
    #[serde(default)]
    user: Option<String>,
    /// Groups of the user.
    #[serde(default)]
    groups: Vec<String>,
    /// read, run, approve, admin, worker. Each allows what it says and no more; `admin` allows all.
    #[serde(default)]
    scopes: Vec<String>,
    /// Roles: viewer, runner, author, approver, operator, policy-admin, auditor, secrets-admin, worker, admin, and those of which policies
    /// speak.
    #[serde(default)]
    roles: Vec<String>,
    /// After how long it is worth nothing: `12h`, `90d`. 365 days when nothing is said, at most 3,650.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    expires: Option<Duration>,
}

/// How long a token is good when nothing is said, and at most.
const GOOD_FOR: Duration = Duration::from_secs(365 * 86_400);
const GOOD_FOR_MAX: Duration = Duration::from_secs(3_650 * 86_400);

/// Makes a token. It is shown this once.
#[utoipa::path(post, path = "/api/v1/tokens", operation_id = "createToken", tag = "system", request_body = TokenRequest,
    responses((status = 201, description = "The token, this once.", body = TokenView)))]
pub(crate) async fn create(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Json(request): Json<TokenRequest>,
) -> ApiResult<impl IntoResponse> {
    if let Some(unknown) = request.scopes.iter().find(|scope| !SCOPES.contains(&scope.as_str())) {
        let fault = Fault::new(FaultKind::Malformed, format!("`{unknown}` is not a scope"));
        return Err(ApiError(fault.hint(format!("there are {}", SCOPES.join(", ")))));
    }
    let (nothing, many) = (request.scopes.is_empty() && request.roles.is_empty(), request.groups.len().max(request.roles.len()));
    if nothing || many > 100 {
        let message = "a token has at least one scope or role, and at most 100 groups and 100 roles";
        return Err(ApiError(Fault::new(FaultKind::Malformed, message)));
    }
    if let Some(wrong) = request.roles.iter().find(|role| !workflow::is_name(role)) {
        return Err(ApiError(Fault::new(FaultKind::Malformed, format!("`{wrong}` is not the name of a role"))));
    }
    if !workflow::is_name(&request.name) {
        return Err(ApiError(Fault::new(FaultKind::Malformed, format!("`{}` is not a name", request.name))));
    }
    let good_for = request.expires.unwrap_or(GOOD_FOR);
    if good_for.0 == 0 || good_for > GOOD_FOR_MAX {
        let message =
            format!("a token expires after {good_for}; it can be good for up to {GOOD_FOR_MAX}, and for no less than a moment");
        return Err(ApiError(Fault::new(FaultKind::Malformed, message)));
    }
    let now = controlplane::wall();
    let expires_at = Timestamp(now.0.saturating_add(good_for.0));
    let secret: [u8; 32] = random_bytes();
    let token = format!("{}.{}", request.name, Digest(secret).hex());
    let user = request.user.unwrap_or_else(|| request.name.clone());
    let hash = Digest::of(token.as_bytes());
    let body = json!({"hash": hash, "user": user, "groups": request.groups, "scopes": request.scopes, "roles": request.roles,
        EXPIRES_AT: expires_at.0});
    let command = Command::ApplyResource { kind: "token".into(), name: request.name.clone(), body, principal: caller.principal };
    app.control.inbox().ask(command).await?;
    let view = TokenView {
        name: request.name,
        user,
        groups: request.groups,
        scopes: request.scopes,
        roles: request.roles,
        created_at: rfc3339(now),
        expires_at: Some(rfc3339(expires_at)),
        token: Some(token),
    };
    Ok((StatusCode::CREATED, Json(view)))
}

/// Lists the tokens, without the tokens.
#[utoipa::path(get, path = "/api/v1/tokens", operation_id = "listTokens", tag = "system",
    responses((status = 200, description = "All tokens.", body = Vec<TokenView>)))]
pub(crate) async fn list(State(app): State<App>) -> ApiResult<Json<Vec<TokenView>>> {
    let reader = app.control.reader().clone();
    let rows = blocking(move || reader.resources("token", None, None).map_err(Fault::internal)).await?;
    let view = |row: journal::ResourceRow| {
        let texts = |key: &str| serde_json::from_value(row.body[key].clone()).unwrap_or_default();
        TokenView {
            user: row.body["user"].as_str().unwrap_or_default().to_owned(),
            groups: texts("groups"),
            scopes: texts("scopes"),
            roles: texts("roles"),
            created_at: rfc3339(row.at),
            expires_at: row.body[EXPIRES_AT].as_u64().map(|at| rfc3339(Timestamp(at))),
            name: row.name,
            token: None,
        }
    };
    Ok(Json(rows.into_iter().map(view).collect()))
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RevokedView {
    /// The name of the token.
    name: String,
    /// `revoked`.
    change: &'static str,
}

/// Revokes a token. What it opened goes on; the next request with it is refused.
#[utoipa::path(delete, path = "/api/v1/tokens/{name}", operation_id = "revokeToken", tag = "system",
    responses((status = 200, description = "It is worth nothing now.", body = RevokedView)))]
pub(crate) async fn revoke(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> ApiResult<Json<RevokedView>> {
    let command = Command::DeleteResource { kind: "token".into(), name: name.clone(), principal: caller.principal };
    app.control.inbox().ask(command).await?;
    Ok(Json(RevokedView { name, change: "revoked" }))
}
