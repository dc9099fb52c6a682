//! Queues: names for a choice of sites that programs use without knowing the sites.

use std::collections::BTreeMap;

/// A queue, as `tutti apply` registers it. Work that is sent to it runs at sites that have these attributes.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QueueSpec {
    /// Its name.
    pub name: String,
    /// What it is for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Attributes that a site must have.
    pub site: BTreeMap<String, String>,
}
