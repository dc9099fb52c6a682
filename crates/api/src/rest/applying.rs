//! Applying files, and what was applied.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Extension, State};
use base64::Engine as _;
use controlplane::{ApplyOutcome, Fault, FaultKind, SourceFile};
use model::limits::APPLY_FILES_MAX;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use workflow::documents::Document;

use super::App;
use super::access::Caller;
use super::extract::{Json, Listed, Path, Query, page_size};
use super::problem::{ApiError, ApiResult, blocking};
use super::projection::rfc3339;
use super::views::{Applied, ApplyRequest, ApplyResult, ResourceView};

/// Kinds that are kept as resources; `site` has a door of its own.
const KINDS: [&str; 9] = ["workflow", "trigger", "connector", "prices", "project", "queue", "tag", "policy", "sanitizer"];

/// Contents by path.
pub(crate) type Files = BTreeMap<String, Arc<[u8]>>;

/// What writing a document of a kind is: sites are operated, rules govern, everything else is written by authors.
fn operation_on(kind: &str) -> &'static str {
    match kind {
        "site" | "prices" | "project" | "queue" => "operate",
        "tag" | "policy" | "sanitizer" => "govern",
        _ => "author",
    }
}

/// The project that a document belongs to, when its name says so.
pub(super) fn project_of<'n>(kind: &str, name: &'n str) -> &'n str {
    match kind {
        "workflow" => name.split_once('/').map_or("default", |(project, _)| project),
        _ => "",
    }
}

/// What a document gives to runs, whoever starts them.
fn given_by(document: &Document) -> Vec<&Value> {
    match document {
        Document::Workflow(graph) => graph.inputs.iter().filter_map(|port| port.default.as_ref()).collect(),
        Document::Trigger(trigger) => trigger.inputs.values().collect(),
        _ => Vec::new(),
    }
}

async fn run(app: App, caller: Caller, request: ApplyRequest, dry_run: bool, asks: bool) -> ApiResult<ApplyOutcome> {
    if request.documents.len() + request.files.len() > APPLY_FILES_MAX {
        let message =
            format!("{} files; at most {APPLY_FILES_MAX} are applied at a time", request.documents.len() + request.files.len());
        return Err(ApiError(Fault::new(FaultKind::TooLarge, message)));
    }
    let files = files_of(&app, request.files, request.beside).await?;
    let may = |document: &Document| {
        let (kind, name) = (document.kind(), document.name());
        let target = policy::Target {
            kind: kind.to_owned(),
            name: name.to_owned(),
            project: project_of(kind, name).to_owned(),
            ..policy::Target::default()
        };
        super::permission::may(&app, &caller, operation_on(kind), &target, &model::Label::empty())
            .and_then(|()| super::naming::check(&app, &caller, given_by(document)))
            .map_err(|error| error.0)
    };
    // Checking a file changes nothing, and anybody who may look may do it.
    let documents = source_files(request.documents);
    let outcome = match asks {
        true => app.control.apply_if(documents, files, dry_run, &caller.principal, &request.expects, may).await?,
        false => app.control.apply(documents, files, dry_run, &caller.principal).await?,
    };
    Ok(outcome)
}

/// The files sent, and those of a registered workflow that were not sent.
pub(crate) async fn files_of(app: &App, sent: BTreeMap<String, String>, beside: Option<String>) -> ApiResult<Files> {
    let mut files = decode_files(sent)?;
    if let Some(name) = beside {
        let control = app.control.clone();
        for (path, bytes) in blocking(move || control.files_beside(&name)).await? {
            files.entry(path).or_insert(bytes);
        }
    }
    Ok(files)
}

pub(crate) fn decode_files(encoded: BTreeMap<String, String>) -> ApiResult<Files> {
    let mut files = Files::new();
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

/// Registers sites, workflows, triggers, connectors and rules. With any error nothing is registered.
#[utoipa::path(post, path = "/api/v1/apply", operation_id = "apply", tag = "resources", request_body = ApplyRequest,
    responses((status = 200, description = "What was registered.", body = ApplyResult)))]
pub(crate) async fn apply(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Json(request): Json<ApplyRequest>,
) -> ApiResult<Json<ApplyResult>> {
    let dry_run = request.dry_run;
    let outcome = run(app, caller, request, dry_run, true).await?;
    if outcome.failed() { Err(ApiError(outcome.into())) } else { Ok(Json(result(outcome))) }
}

/// Checks files and registers nothing. Findings come with status 200.
#[utoipa::path(post, path = "/api/v1/check", operation_id = "check", tag = "resources", request_body = ApplyRequest,
    responses((status = 200, description = "What was found.", body = ApplyResult)))]
pub(crate) async fn check(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Json(request): Json<ApplyRequest>,
) -> ApiResult<Json<ApplyResult>> {
    Ok(Json(result(run(app, caller, request, true, false).await?)))
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

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// `next` of the page before.
    cursor: Option<String>,
    /// Rows of the page: 1,000 when nothing is said, at most 10,000.
    #[param(minimum = 1, maximum = 10000)]
    limit: Option<usize>,
}

/// Lists the resources of a kind (workflow, trigger, connector, tag, policy, sanitizer) by name, without their bodies.
#[utoipa::path(get, path = "/api/v1/resources/{kind}", operation_id = "listResources", tag = "resources", params(ListQuery),
    responses((status = 200, description = "A page of resources.", body = Vec<ResourceView>)))]
pub(crate) async fn list(
    State(app): State<App>,
    Path(kind): Path<String>,
    Query(query): Query<ListQuery>,
) -> ApiResult<Listed<ResourceView>> {
    check_kind(&kind)?;
    let limit = page_size(query.limit, 1_000, 10_000)?;
    let reader = app.control.reader().clone();
    let rows = blocking(move || reader.resources(&kind, None, None).map_err(Fault::internal)).await?;
    let after = |row: &journal::ResourceRow| query.cursor.as_ref().is_none_or(|cursor| row.name > *cursor);
    let items: Vec<ResourceView> = rows.into_iter().filter(after).take(limit).map(|row| view(row, false)).collect();
    let next = items.last().filter(|_| items.len() == limit).map(|last| last.name.clone());
    Ok(Listed { items, next, limit })
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct VersionQuery {
    /// The version; the latest when there is none.
    version: Option<u64>,
}

/// A resource. For a workflow `body.definition` is its checked graph.
#[utoipa::path(get, path = "/api/v1/resources/{kind}/{name}", operation_id = "getResource", tag = "resources", params(VersionQuery),
    responses((status = 200, description = "The resource with its body.", body = ResourceView)))]
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

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeletedView {
    /// The kind.
    kind: String,
    /// The name.
    name: String,
    /// `deleted`.
    change: &'static str,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DeleteQuery {
    /// A workflow goes although a trigger starts it or another workflow runs it.
    force: Option<bool>,
}

/// Deletes a resource. Runs that use it go on. A workflow that a trigger starts or that another workflow runs is not deleted
/// unless `force` is given. A policy that asks for approvals is not deleted: its change has to be approved first.
#[utoipa::path(delete, path = "/api/v1/resources/{kind}/{name}", operation_id = "deleteResource", tag = "resources", params(DeleteQuery),
    responses((status = 200, description = "It is gone.", body = DeletedView)))]
pub(crate) async fn delete_resource(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path((kind, name)): Path<(String, String)>,
    Query(query): Query<DeleteQuery>,
) -> ApiResult<Json<DeletedView>> {
    check_kind(&kind)?;
    let target = policy::Target {
        kind: kind.clone(),
        name: name.clone(),
        project: project_of(&kind, &name).to_owned(),
        ..policy::Target::default()
    };
    super::permission::may(&app, &caller, operation_on(&kind), &target, &model::Label::empty())?;
    app.control.delete_resource(&kind, &name, query.force.unwrap_or(false), &caller.principal).await?;
    Ok(Json(DeletedView { kind, name, change: "deleted" }))
}
