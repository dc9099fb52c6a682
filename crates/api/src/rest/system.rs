//! The server about itself.

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::header;
use axum::response::IntoResponse;
use controlplane::{Fault, FaultKind};
use model::{Duration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::App;
use super::access::Caller;
use super::problem::{ApiError, ApiResult, blocking};

/// Whether the server works: its journal can be read.
#[utoipa::path(get, path = "/healthz", responses((status = 200, body = Value)))]
pub(crate) async fn healthz(State(app): State<App>) -> ApiResult<Json<Value>> {
    let reader = app.control.reader().clone();
    let (_, seq, _) = blocking(move || reader.last().map_err(Fault::internal)).await?;
    Ok(Json(json!({"status": "ok", "version": env!("CARGO_PKG_VERSION"), "seq": seq})))
}

/// Figures for Prometheus.
#[utoipa::path(get, path = "/metrics", responses((status = 200, body = String, content_type = "text/plain")))]
pub(crate) async fn metrics(State(app): State<App>) -> ApiResult<impl IntoResponse> {
    let reader = app.control.reader().clone();
    let (stats, running) =
        blocking(move || Ok((reader.stats().map_err(Fault::internal)?, reader.running_by_site().map_err(Fault::internal)?)))
            .await?;
    let mut text = String::new();
    let mut metric = |name: &str, kind: &str, help: &str, value: u64| {
        text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n"));
    };
    metric("tutti_journal_entries_total", "counter", "Entries of the journal.", stats.entries);
    metric("tutti_runs_total", "counter", "Runs accepted.", stats.runs);
    metric("tutti_runs_open", "gauge", "Runs that have not ended.", stats.open_runs);
    metric("tutti_journal_file_bytes", "gauge", "Bytes of the journal's file.", stats.file_bytes);
    text.push_str("# HELP tutti_site_actions_running Actions at work by site.\n# TYPE tutti_site_actions_running gauge\n");
    for (site, count) in running {
        text.push_str(&format!("tutti_site_actions_running{{site=\"{site}\"}} {count}\n"));
    }
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text))
}

/// The OpenAPI description.
pub(crate) async fn openapi() -> impl IntoResponse {
    Json(super::description())
}

/// Anything else.
pub(crate) async fn not_found(uri: axum::http::Uri) -> ApiError {
    ApiError(
        Fault::new(FaultKind::NotFound, format!("there is nothing at `{}`", uri.path()))
            .hint("/api/v1/openapi.json describes what there is"),
    )
}

/// Computes every hash of the journal again and compares.
#[utoipa::path(get, path = "/api/v1/audit/verify", responses((status = 200, body = Value)))]
pub(crate) async fn verify(State(app): State<App>) -> ApiResult<Json<Value>> {
    let reader = app.control.reader().clone();
    let report = blocking(move || journal::verify(&reader).map_err(Fault::internal)).await?;
    Ok(Json(serde_json::to_value(report).map_err(Fault::internal)?))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BackupRequest {
    /// A directory of the server's machine that does not exist yet.
    to: String,
}

/// Copies journal and artifacts to a new directory while the server runs.
#[utoipa::path(post, path = "/api/v1/backup", request_body = BackupRequest, responses((status = 200, body = Value)))]
pub(crate) async fn backup(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Json(request): Json<BackupRequest>,
) -> ApiResult<Json<Value>> {
    caller.needs("admin")?;
    let summary = app.control.backup(request.to.clone().into()).await?;
    Ok(Json(json!({ "backup": request.to, "summary": summary })))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PruneRequest {
    /// Runs that ended so long ago: `30d`.
    older_than: String,
    /// Say what would go, and destroy nothing.
    #[serde(default)]
    dry_run: bool,
}

/// Destroys the values of runs that ended long ago. Facts and hashes stay.
#[utoipa::path(post, path = "/api/v1/prune", request_body = PruneRequest, responses((status = 200, body = Value)))]
pub(crate) async fn prune(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Json(request): Json<PruneRequest>,
) -> ApiResult<Json<Value>> {
    caller.needs("admin")?;
    let age: Duration = request.older_than.parse().map_err(|error| Fault::new(FaultKind::Malformed, format!("{error}")))?;
    let before = Timestamp(controlplane::wall().0.saturating_sub(age.0));
    let pruned = app.control.prune(before, request.dry_run, &caller.principal).await?;
    Ok(Json(serde_json::to_value(pruned).map_err(Fault::internal)?))
}
