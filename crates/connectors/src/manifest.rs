//! What the built-in connectors take and give.

use std::sync::LazyLock;

use serde_json::{Value, json};

/// What a connector's action is.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// `namespace/action`.
    pub name: &'static str,
    /// Its major version.
    pub version: u32,
    /// What it does, in a sentence.
    pub description: &'static str,
    /// JSON Schema of its `with`.
    pub inputs: Value,
    /// JSON Schema of its output.
    pub outputs: Value,
    /// Whether it is a function of its input that takes no time worth a thread.
    pub instant: bool,
}

static BUILT_IN: LazyLock<Vec<Manifest>> = LazyLock::new(|| {
    vec![
        Manifest {
            name: "core/noop",
            version: 1,
            description: "Does nothing and gives back what it was given.",
            inputs: json!({"type": "object"}),
            outputs: json!({"type": "object"}),
            instant: true,
        },
        Manifest {
            name: "core/fib",
            version: 1,
            description: "The n-th Fibonacci number: a little work for tests and benchmarks.",
            inputs: json!({"type": "object", "properties": {"n": {"type": "integer", "minimum": 0, "maximum": 90}}, "required": ["n"], "additionalProperties": false}),
            outputs: json!({"type": "object", "properties": {"value": {"type": "integer"}}, "required": ["value"], "additionalProperties": false}),
            instant: true,
        },
        Manifest {
            name: "core/fail",
            version: 1,
            description: "Fails, to see what happens then: for ever, or only the first `times` attempts.",
            inputs: json!({"type": "object", "properties": {"message": {"type": "string"}, "class": {"type": "string"},
                "times": {"type": "integer", "minimum": 0}}, "additionalProperties": false}),
            outputs: json!({"type": "object"}),
            instant: true,
        },
        Manifest {
            name: "core/http",
            version: 1,
            description: "Sends an HTTP request. Statuses from 400 on are failures unless `accept` names them; redirects are followed to the same server only.",
            inputs: json!({"type": "object", "properties": {
                "method": {"type": "string", "enum": ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"]},
                "url": {"type": "string"}, "headers": {"type": "object", "additionalProperties": {"type": "string"}},
                "json": {}, "body": {"type": "string"}, "accept": {"type": "array", "items": {"type": "integer"}},
                "timeout": {"type": "string"}}, "required": ["url"], "additionalProperties": false}),
            outputs: json!({"type": "object", "properties": {"status": {"type": "integer"},
                "headers": {"type": "object", "additionalProperties": {"type": "string"}}, "body": {"type": "string"}, "json": {}},
                "required": ["status", "headers"], "additionalProperties": false}),
            instant: false,
        },
        Manifest {
            name: "core/file",
            version: 1,
            description: "Reads a file of the site's shared folder as an artifact, or writes an artifact or a text there.",
            inputs: json!({"type": "object", "properties": {"read": {"type": "string"}, "write": {"type": "string"},
                "artifact": {}, "text": {"type": "string"}}, "additionalProperties": false}),
            outputs: json!({"type": "object", "properties": {"file": {"type": "artifact"}, "path": {"type": "string"}}, "required": ["path"], "additionalProperties": false}),
            instant: false,
        },
    ]
});

/// The built-in connectors.
pub fn built_in() -> &'static [Manifest] {
    &BUILT_IN
}

/// The built-in connector of this name and version.
pub fn find(name: &str, version: u32) -> Option<&'static Manifest> {
    BUILT_IN.iter().find(|manifest| manifest.name == name && manifest.version == version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests_are_whole_and_unlike_each_other() {
        let mut seen = std::collections::BTreeSet::new();
        for manifest in built_in() {
            assert!(seen.insert((manifest.name, manifest.version)), "{} twice", manifest.name);
            assert!(manifest.name.split_once('/').is_some_and(|(space, action)| !space.is_empty() && !action.is_empty()));
            assert!(manifest.description.ends_with('.') && manifest.version > 0);
            assert_eq!(manifest.inputs["type"], "object");
            assert_eq!(manifest.outputs["type"], "object");
            assert_eq!(manifest.instant, crate::run_instant(manifest.name, &json!({}), 1).is_some(), "{}", manifest.name);
            assert!(find(manifest.name, manifest.version).is_some() && find(manifest.name, manifest.version + 1).is_none());
        }
    }
}
