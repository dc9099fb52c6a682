//! What plans and differences between workflows look like in the API.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::views::SourceFile;

/// A workflow: a registered one, or one among documents that are read as if they were applied.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceRequest {
    /// Its name; not needed when one workflow stands in the documents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<String>,
    /// The registered version; the latest when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// Documents.
    #[serde(default)]
    pub documents: Vec<SourceFile>,
    /// The files they refer to, as in an apply.
    #[serde(default)]
    pub files: std::collections::BTreeMap<String, String>,
    /// A registered workflow whose files the documents may refer to as well, as in an apply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beside: Option<String>,
}

/// A request for a plan.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanRequest {
    /// The workflow. Sites, rules and projects among its documents count as if they were registered.
    pub source: SourceRequest,
    /// The domain that it would run in; development when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
}

/// Where the nodes of a workflow would run if every open site were idle, by the rules and the bounds of its project.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct PlanView {
    /// The workflow.
    pub workflow: String,
    /// Its nodes, in the order written.
    pub nodes: Vec<PlannedNodeView>,
    /// Findings of the documents, as text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rendered: String,
}

/// Where a node would run.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct PlannedNodeView {
    /// Its path: `train`, `score[]` for the items of a map, `sub/clean`.
    pub path: String,
    /// Its kind.
    pub kind: String,
    /// placed, nowhere (no site can take it), refused (a policy is in the way), or unplaced (it needs no place).
    pub verdict: String,
    /// The site that would take it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// Whether that site stands for another place.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub simulated: bool,
    /// The price of one hour of it there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_hour: Option<f64>,
    /// The median of what it took in earlier runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// What so long costs at the site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
    /// How many earlier actions `seconds` is from.
    pub seen: usize,
    /// Every site with its terms and verdict.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub placement: Value,
}

/// A request for the differences between two workflows.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DiffRequest {
    /// The one.
    pub before: SourceRequest,
    /// The other.
    pub after: SourceRequest,
}

/// A difference in meaning.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct ChangeView {
    /// What it concerns: `nodes.train.with.rows`, `inputs.n`.
    pub at: String,
    /// added, removed, changed, or renamed (a node that differs in nothing else; `before` and `after` are its names).
    pub change: String,
    /// Before.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub before: Value,
    /// After.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub after: Value,
    /// Whether labels are concerned.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub labels: bool,
}
