//! The keys that what is stored is sealed under. No answer holds one.

use axum::extract::State;
use controlplane::{Fault, FaultKind};
use serde::Serialize;
use utoipa::ToSchema;

use super::App;
use super::extract::Json;
use super::problem::ApiResult;

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeyStatus {
    /// The name of the keyring: what is sealed remembers it.
    keyring: String,
    /// What wraps its root keys.
    service: String,
    /// When the newest root key was made: at the beginning, or by the last rotation.
    rotated_at: String,
    /// Root keys: more than one while a rotation has not come to its end.
    roots: u64,
    /// Keys of runs, among them those made ahead.
    run_keys: u64,
    /// Keys of stored files.
    file_keys: u64,
    /// Secrets.
    secrets: u64,
}

/// How the keys stand.
#[utoipa::path(get, path = "/api/v1/keys", operation_id = "getKeys", tag = "keys",
    responses((status = 200, description = "How they stand.", body = KeyStatus)))]
pub(crate) async fn status(State(app): State<App>) -> ApiResult<Json<KeyStatus>> {
    let status = app.control.key_status().await?;
    let status =
        status.ok_or_else(|| Fault::new(FaultKind::NotFound, "nothing is sealed here: it was started with `keys: none`"))?;
    let rotated_at = super::rfc3339(model::Timestamp(status.root_made_at));
    let controlplane::KeyStatus { keyring, service, roots, run_keys, file_keys, secrets, .. } = status;
    Ok(Json(KeyStatus { keyring, service, rotated_at, roots, run_keys, file_keys, secrets }))
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RotateAnswer {
    /// Keys of runs that were wrapped anew.
    run_keys: u64,
    /// Keys of files.
    file_keys: u64,
    /// Secrets.
    secrets: u64,
}

/// Rotates the keys: a new version of the key service's key, a new root key, and every other key wrapped anew. What is stored stays as it
/// is, and work goes on.
#[utoipa::path(post, path = "/api/v1/keys/rotate", operation_id = "rotateKeys", tag = "keys",
    responses((status = 200, description = "What was wrapped anew.", body = RotateAnswer)))]
pub(crate) async fn rotate(State(app): State<App>) -> ApiResult<Json<RotateAnswer>> {
    let keyring = app.control.rotate_keys().await?;
    Ok(Json(RotateAnswer { run_keys: keyring.run_keys, file_keys: keyring.file_keys, secrets: keyring.secrets }))
}
