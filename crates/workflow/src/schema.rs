//! The JSON Schema of the language, for editors and other programs. `schema.json` beside this file is its only source;
//! `docs/reference/workflow.schema.json` is made from it by `cargo xtask generate`.

use serde_json::Value;

/// The text of the schema, JSON Schema 2020-12.
pub const TEXT: &str = include_str!("schema.json");

/// The schema of every document that `tutti apply` takes: workflows, sites, triggers, connectors.
pub fn schema() -> Value {
    // A test reads it.
    serde_json::from_str(TEXT).unwrap_or_default()
}
