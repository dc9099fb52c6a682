//! Applying files, and what was applied.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, Path, Query, State};
use base64::Engine as _;
use controlplane::{ApplyOutcome, Fault, FaultKind, SourceFile};
use engine::Command;
use serde::Deserialize;
use serde_json::{Value, json};

use super::App;
use super::access::Caller;
use super::problem::{ApiError, ApiResult, blocking};
use super::projection::rfc3339;
use super::views::{Applied, ApplyRequest, ApplyResult, ResourceView};

/// Kinds that are kept as resources; `site` has a door of its own.
const KINDS: [&str; 3] = ["workflow", "trigger", "connector"];

async fn run(app: App, caller: Caller, request: ApplyRequest, dry_run: bool) -> ApiResult<ApplyOutcome> {
    let mut files = decode_files(request.files)?;
    if let Some(name) = request.beside {
        let control = app.control.clone();
        for (path, bytes) in blocking(move || control.files_beside(&name)).await? {
            files.entry(path).or_insert(bytes);
        }
    }
    Ok(app.control.apply(source_files(request.documents), files, dry_run, &caller.principal).await?)
}

pub(crate) fn decode_files(encoded: BTreeMap<String, String>) -> ApiResult<BTreeMap<String, Arc<[u8]>>> {
    let mut files: BTreeMap<String, Arc<[u8]>> = BTreeMap::new();
    for (path, text) in encoded {
        let bytes = base64::engine::general_purpose::STANDARD.decode(text);
        let bytes =
            bytes.map_err(|error| Fault::new(FaultKind::Malformed, format!("the file `{path}` is not base64: {error}")))?;
        files.insert(path, bytes.into());
    }
    Ok(files)
}

pub(crate) fn source_files(documents: Vec<super::views::SourceFile>) -> Vec<SourceFile> {
    documents.into_iter().map(|file| SourceFile { path: file.path, text: file.text }).collect()
}

fn result(outcome: ApplyOutcome) -> ApplyResult {
    let applied = |applied: controlplane::Applied| Applied {
        kind: applied.kind,
        name: applied.name,
        change: applied.change.into(),
        version: applied.version,
    };
    ApplyResult {
        applied: outcome.applied.into_iter().map(applied).collect(),
        diagnostics: outcome.diagnostics.iter().map(|(path, finding)| json!({"path": path, "finding": finding})).collect(),
        rendered: outcome.rendered,
    }
}

/// Registers sites, workflows, triggers and connectors. With any error nothing is registered.
#[utoipa::path(post, path = "/api/v1/apply", request_body = ApplyRequest, responses((status = 200, body = ApplyResult)))]
pub(crate) async fn apply(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Json(request): Json<ApplyRequest>,
) -> ApiResult<Json<ApplyResult>> {
    caller.needs("admin")?;
    let dry_run = request.dry_run;
    let outcome = run(app, caller, request, dry_run).await?;
    if outcome.failed() { Err(ApiError(outcome.into())) } else { Ok(Json(result(outcome))) }
}

/// Checks files and registers nothing. Findings come with status 200.
#[utoipa::path(post, path = "/api/v1/check", request_body = ApplyRequest, responses((status = 200, body = ApplyResult)))]
pub(crate) async fn check(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Json(request): Json<ApplyRequest>,
) -> ApiResult<Json<ApplyResult>> {
    Ok(Json(result(run(app, caller, request, true).await?)))
}

fn check_kind(kind: &str) -> ApiResult<()> {
    if KINDS.contains(&kind) {
        return Ok(());
    }
    Err(ApiError(
        Fault::new(FaultKind::NotFound, format!("there is no kind `{kind}`")).hint(format!("there are {}", KINDS.join(", "))),
    ))
}

fn view(row: journal::ResourceRow, body: bool) -> ResourceView {
    ResourceView {
        kind: row.kind,
        name: row.name,
        version: row.version,
        applied_at: rfc3339(row.at),
        principal: row.principal,
        body: if body { row.body } else { Value::Null },
    }
}

/// Lists the resources of a kind: workflow, trigger, connector.
#[utoipa::path(get, path = "/api/v1/resources/{kind}", responses((status = 200, body = Vec<ResourceView>)))]
pub(crate) async fn list(State(app): State<App>, Path(kind): Path<String>) -> ApiResult<Json<Vec<ResourceView>>> {
    check_kind(&kind)?;
    let reader = app.control.reader().clone();
    let rows = blocking(move || reader.resources(&kind, None, None).map_err(Fault::internal)).await?;
    Ok(Json(rows.into_iter().map(|row| view(row, false)).collect()))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
pub(crate) struct VersionQuery {
    /// The version; the latest when there is none.
    version: Option<u64>,
}

/// A resource. For a workflow `body.definition` is its checked graph.
#[utoipa::path(get, path = "/api/v1/resources/{kind}/{name}", params(VersionQuery), responses((status = 200, body = ResourceView)))]
pub(crate) async fn get_resource(
    State(app): State<App>,
    Path((kind, name)): Path<(String, String)>,
    Query(query): Query<VersionQuery>,
) -> ApiResult<Json<ResourceView>> {
    check_kind(&kind)?;
    let control = app.control.clone();
    let view = blocking(move || {
        let row = control.reader().resources(&kind, Some(&name), query.version).map_err(Fault::internal)?.pop();
        let mut view = view(row.ok_or_else(|| Fault::not_found(&kind, &name))?, true);
        if kind == "workflow" {
            let (graph, _) = control.workflow(&name, query.version)?;
            view.body["definition"] = serde_json::to_value(&*graph).map_err(Fault::internal)?;
        }
        Ok(view)
    });
    Ok(Json(view.await?))
}

/// Deletes a resource. Runs that use it go on.
#[utoipa::path(delete, path = "/api/v1/resources/{kind}/{name}", responses((status = 200, body = Value)))]
pub(crate) async fn delete_resource(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path((kind, name)): Path<(String, String)>,
) -> ApiResult<Json<Value>> {
    caller.needs("admin")?;
    check_kind(&kind)?;
    let command = Command::DeleteResource { kind: kind.clone(), name: name.clone(), principal: caller.principal };
    app.control.inbox().ask(command).await?;
    Ok(Json(json!({"kind": kind, "name": name, "change": "deleted"})))
}
