//! Editing workflow files, for editors that draw: every edit and every check is made here.

use std::collections::BTreeMap;

use axum::extract::State;
use controlplane::{Beside, Fault, FaultKind};
use model::limits::APPLY_FILES_MAX;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::App;
use super::applying::decode_files;
use super::extract::Json;
use super::problem::{ApiError, ApiResult, blocking};

/// Edits on a text.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EditRequest {
    /// The text of the workflow file.
    text: String,
    /// The edits, made in order, all or none: `{"op": "add" | "set" | "unset" | "rename" | "remove" | "note" | "pin" | "unpin", …}`.
    #[serde(default)]
    #[schema(value_type = Vec<Value>)]
    edits: Vec<workflow::edit::Edit>,
    /// The registered workflow whose files the text may refer to.
    #[serde(default)]
    workflow: Option<String>,
    /// Files that are not applied yet and that the text may refer to, by path, in base64.
    #[serde(default)]
    files: BTreeMap<String, String>,
    /// Whether the checked graph is answered too: it is when nothing is said. An editor has no need of it.
    #[serde(default = "yes")]
    graph: bool,
}

fn yes() -> bool {
    true
}

/// The files that a text may refer to.
pub(crate) fn beside(workflow: Option<String>, files: BTreeMap<String, String>) -> ApiResult<Beside> {
    if files.len() > APPLY_FILES_MAX {
        let message = format!("{} files; at most {APPLY_FILES_MAX} are sent at a time", files.len());
        return Err(ApiError(Fault::new(FaultKind::TooLarge, message)));
    }
    Ok(Beside { workflow, files: decode_files(files)? })
}

/// A text after edits.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EditResult {
    /// The text. Bytes that no edit concerns are as they were.
    text: String,
    /// What to know about the edits: `path` and `message`.
    notices: Vec<Value>,
    /// Errors and warnings: `code`, `severity`, `message`, `span` in bytes, `hint`.
    findings: Vec<Value>,
    /// The document as plain data, also while it has errors.
    document: Value,
    /// The checked graph, when there are no errors and it is asked for.
    graph: Value,
    /// The comment above each node.
    notes: BTreeMap<String, String>,
}

/// Edits the text of a workflow file and checks the result. Nothing is stored.
#[utoipa::path(post, path = "/api/v1/edit", operation_id = "edit", tag = "resources", request_body = EditRequest,
    responses((status = 200, description = "The text after the edits.", body = EditResult)))]
pub(crate) async fn edit(State(app): State<App>, Json(request): Json<EditRequest>) -> ApiResult<Json<EditResult>> {
    let control = app.control.clone();
    let EditRequest { text, edits, workflow, files, graph } = request;
    let beside = beside(workflow, files)?;
    let sheet = blocking(move || control.edit(&text, &edits, &beside)).await?;
    let values = |list: serde_json::Result<Value>| list.ok().and_then(|list| list.as_array().cloned()).unwrap_or_default();
    Ok(Json(EditResult {
        notices: values(serde_json::to_value(&sheet.notices)),
        findings: values(serde_json::to_value(&sheet.findings)),
        document: sheet.document,
        graph: if graph { serde_json::to_value(&sheet.graph).unwrap_or_default() } else { Value::Null },
        notes: sheet.notes,
        text: sheet.text,
    }))
}

/// A connector's action.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConnectorView {
    /// `namespace/action`.
    name: String,
    /// Its major version.
    version: u32,
    /// What it does.
    description: String,
    /// JSON Schema of its `with`.
    inputs: Value,
    /// JSON Schema of its output.
    outputs: Value,
}

/// Lists what `use` can name: built-in connectors, and those that workers serve.
#[utoipa::path(get, path = "/api/v1/connectors", operation_id = "listConnectors", tag = "resources",
    responses((status = 200, description = "All connectors.", body = Vec<ConnectorView>)))]
pub(crate) async fn connectors(State(app): State<App>) -> ApiResult<Json<Vec<ConnectorView>>> {
    let control = app.control.clone();
    let all = blocking(move || control.all_connectors()).await?;
    let view = |spec: workflow::documents::ConnectorSpec| ConnectorView {
        name: spec.name,
        version: spec.version,
        description: spec.description,
        inputs: spec.inputs,
        outputs: spec.outputs,
    };
    Ok(Json(all.into_iter().map(view).collect()))
}
