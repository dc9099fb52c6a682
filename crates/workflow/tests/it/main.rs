//! The language from outside: files in, graphs and findings out.

mod compile;
mod documents;
mod documents_of_all_kinds;
mod edit;
mod edit_properties;
mod evaluation;
mod fuzz;
mod growth;
mod hostile;
mod pages;
mod schema;
mod semantic;
mod types;

use std::collections::BTreeMap;
use std::sync::Arc;

use model::Graph;
use serde_json::{Value, json};
use workflow::{Catalogue, Compiled, ConnectorType};

/// A catalogue with a few connectors.
pub struct Shelf;

impl Catalogue for Shelf {
    fn connector(&self, name: &str, version: u32) -> Option<ConnectorType> {
        let closed = |properties: Value, required: Value| json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false});
        let (inputs, outputs) = match (name, version) {
            ("core/noop", 1) => (json!({"type": "object"}), json!({"type": "object"})),
            ("core/fib", 1) => (closed(json!({"n": {"type": "integer"}}), json!(["n"])), json!({"type": "object"})),
            ("core/http" | "core/file" | "core/fail", 1) => (json!({}), json!({})),
            ("dicom/deidentify" | "directory/on-call" | "fhir/create" | "fhir/void" | "x12/claim-837p", 1) => {
                (json!({}), json!({}))
            }
            _ => return None,
        };
        Some(ConnectorType { inputs, outputs })
    }

    fn connectors(&self) -> Vec<String> {
        ["core/noop", "core/fib", "core/http", "core/file", "core/fail"].map(str::to_owned).into()
    }

    fn workflow(&self, _name: &str) -> Option<Arc<Graph>> {
        None
    }

    fn task(&self, name: &str) -> Option<workflow::TaskType> {
        let (name, version) = name.split_once('@').unwrap_or((name, "7"));
        if (name, version) != ("scoring.score", "7") {
            return None;
        }
        let inputs = json!({
            "type": "object", "properties": {"n": {"type": "integer"}, "by": {"type": "number"}}, "required": ["n"],
            "additionalProperties": false,
        });
        let outputs = json!({"type": "object", "properties": {"o0": {"type": "number"}}, "additionalProperties": false});
        let resources = model::Resources { cpu_millis: 2_000, ..model::Resources::default() };
        Some(workflow::TaskType { name: "scoring.score@7".into(), types: ConnectorType { inputs, outputs }, resources })
    }
}

/// Files beside the workflow.
pub fn files(files: &[(&str, &str)]) -> BTreeMap<String, Arc<[u8]>> {
    files.iter().map(|(path, text)| ((*path).to_owned(), Arc::from(text.as_bytes()))).collect()
}

/// Compiles a text without files.
pub fn compile(text: &str) -> Compiled {
    workflow::compile(text, &files(&[]), &Shelf)
}

/// The graph of a text without errors.
pub fn graph(text: &str) -> Arc<Graph> {
    let compiled = compile(text);
    let findings: String = compiled.diagnostics.iter().map(|finding| finding.render("test", text)).collect();
    compiled.graph.unwrap_or_else(|| panic!("{findings}"))
}

/// The codes of the findings.
pub fn codes(text: &str) -> Vec<&'static str> {
    compile(text).diagnostics.iter().map(|finding| finding.code).collect()
}
