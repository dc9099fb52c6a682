//! What the rules say about the wires of a workflow, while somebody draws it.

use axum::extract::State;
use controlplane::{Forbidden, Remedy};
use model::Label;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::App;
use super::extract::Json;
use super::governance_views::CertifiedStep;
use super::problem::{ApiResult, blocking};

/// A text, edits that are tried on it, and a node from which somebody draws a wire.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WiringRequest {
    /// The text of the workflow file.
    text: String,
    /// Edits, as in `/edit`; they are tried and not kept.
    #[serde(default)]
    #[schema(value_type = Vec<Value>)]
    edits: Vec<workflow::edit::Edit>,
    /// The registered workflow whose files the text may refer to.
    #[serde(default)]
    workflow: Option<String>,
    /// Files that are not applied yet and that the text may refer to, by path, in base64.
    #[serde(default)]
    files: std::collections::BTreeMap<String, String>,
    /// The node at which wires would begin: those that the rules forbid are told.
    #[serde(default)]
    from: Option<String>,
}

/// What the rules say.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WiringView {
    /// Whether all of the text could be read. Of one with errors that part is looked at which has none.
    checked: bool,
    /// Nodes that have errors, or read one that has: nothing is said of them.
    left_out: Vec<String>,
    /// What goes along each wire.
    wires: Vec<WireView>,
    /// Each step: what it can read, and where it may be. While steps are refused, no sites are told.
    steps: Vec<CertifiedStep>,
    /// Steps that may run nowhere.
    refused: Vec<RefusedStepView>,
    /// What the node `from` gives.
    gives: Vec<GivesView>,
    /// Wires from it that would be refused.
    forbidden: Vec<ForbiddenView>,
}

/// A wire.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WireView {
    /// The node that gives.
    from: String,
    /// The node that reads.
    to: String,
    /// What it reads carries this.
    label: Vec<String>,
}

/// A step that may run nowhere.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RefusedStepView {
    /// Its path.
    path: String,
    /// What it can read carries this.
    label: Vec<String>,
    /// How each tag came there: from where it was said, to the step.
    trails: std::collections::BTreeMap<String, Vec<String>>,
    /// The policies that refuse, with what they say.
    policies: std::collections::BTreeMap<String, String>,
    /// The sites that came closest.
    closest: Vec<ClosestView>,
    /// What else is to be said.
    notes: Vec<String>,
}

/// A site that came close.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ClosestView {
    /// The site.
    site: String,
    /// What is in the way.
    why: String,
}

/// What a node gives.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GivesView {
    /// The field; the whole output when there is none.
    field: Option<String>,
    /// It carries this.
    label: Vec<String>,
}

/// A wire that would be refused.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ForbiddenView {
    /// The field that would be read; the whole output when there is none.
    field: Option<String>,
    /// The node that would read it.
    to: String,
    /// The step that would have no place.
    refused: RefusedStepView,
    /// The sites where the rules let it read this.
    allowed_at: Vec<String>,
    /// What could be done instead.
    remedies: Vec<RemedyView>,
}

/// An approved sanitizer to put in between.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RemedyView {
    /// The sanitizer.
    sanitizer: String,
    /// What comes out of it carries this.
    label: Vec<String>,
    /// A node of the text that does it already.
    existing: Option<String>,
    /// A node to add; the text `${ wired }` stands for what is wired to it.
    insert: Value,
    /// The field of its output to read; the whole when there is none.
    field: Option<String>,
}

fn tags(label: Label) -> Vec<String> {
    label.0.into_iter().collect()
}

fn refused(step: policy::Refused) -> RefusedStepView {
    let closest = step.closest.into_iter().map(|(site, why)| ClosestView { site, why }).collect();
    let (path, label, trails) = (step.path, tags(step.label), step.trails);
    RefusedStepView { path, label, trails, policies: step.policies, closest, notes: step.notes }
}

fn remedy(remedy: Remedy) -> RemedyView {
    RemedyView {
        sanitizer: remedy.sanitizer,
        label: tags(remedy.label),
        existing: remedy.existing,
        insert: remedy.insert.unwrap_or_default(),
        field: remedy.field,
    }
}

fn forbidden(wire: Forbidden) -> ForbiddenView {
    ForbiddenView {
        field: wire.field,
        to: wire.to,
        refused: refused(wire.refused),
        allowed_at: wire.allowed_at,
        remedies: wire.remedies.into_iter().map(remedy).collect(),
    }
}

/// What goes along the wires of a text, which steps the rules would refuse, and which wires from a node they would: with the policy, the
/// sites that would be permitted, and approved sanitizers to put in between. Nothing is stored.
#[utoipa::path(post, path = "/api/v1/policy/wires", operation_id = "checkWires", tag = "policy", request_body = WiringRequest,
    responses((status = 200, description = "What the rules say.", body = WiringView)))]
pub(crate) async fn wires(State(app): State<App>, Json(request): Json<WiringRequest>) -> ApiResult<Json<WiringView>> {
    let control = app.control.clone();
    let WiringRequest { text, edits, workflow, files, from } = request;
    let beside = super::editing::beside(workflow, files)?;
    let found = blocking(move || control.wiring(&text, &edits, &beside, from.as_deref())).await?;
    let wire = |wire: workflow::labels::Wire| WireView { from: wire.from, to: wire.to, label: tags(wire.label) };
    let step = |step: policy::Certified| CertifiedStep { path: step.path, label: tags(step.label), sites: step.sites };
    Ok(Json(WiringView {
        checked: found.checked,
        left_out: found.left_out,
        wires: found.wires.into_iter().map(wire).collect(),
        steps: found.steps.into_iter().map(step).collect(),
        refused: found.refused.into_iter().map(refused).collect(),
        gives: found.gives.into_iter().map(|(field, label)| GivesView { field, label: tags(label) }).collect(),
        forbidden: found.forbidden.into_iter().map(forbidden).collect(),
    }))
}
