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
    /// A workflow that uses it.
    pub example: &'static str,
}

static BUILT_IN: LazyLock<Vec<Manifest>> = LazyLock::new(|| vec![noop(), fib(), fail(), http(), file()]);

fn noop() -> Manifest {
    Manifest {
        name: "core/noop",
        version: 1,
        description: "Does nothing and gives back what it was given.",
        inputs: json!({"type": "object"}),
        outputs: json!({"type": "object"}),
        instant: true,
        example: "workflow: demo/join\nnodes:\n  both:\n    use: core/noop\n    with: {one: 1, other: \"${ [1, 2, 3] }\"}\noutputs: {other: \"${ nodes.both.other }\"}\n",
    }
}

fn fib() -> Manifest {
    Manifest {
        name: "core/fib",
        version: 1,
        description: "The n-th Fibonacci number: a little work for tests and benchmarks.",
        inputs: json!({"type": "object", "properties": {
            "n": {"type": "integer", "minimum": 0, "maximum": 90, "description": "Which one; the 0th is 0, the first is 1."}},
            "required": ["n"], "additionalProperties": false}),
        outputs: json!({"type": "object", "properties": {"value": {"type": "integer", "description": "The number."}},
            "required": ["value"], "additionalProperties": false}),
        instant: true,
        example: "workflow: demo/fib\nnodes:\n  tenth: {use: core/fib, with: {n: 10}}\noutputs: {value: \"${ nodes.tenth.value }\"}\n",
    }
}

fn fail() -> Manifest {
    Manifest {
        name: "core/fail",
        version: 1,
        description: "Fails, to see what happens then: for ever, or only the first `times` attempts.",
        inputs: json!({"type": "object", "properties": {
            "message": {"type": "string", "description": "What the failure says."},
            "class": {"type": "string", "description": "What kind of failure it is, such as `user`, `timeout` or `node_lost`; `user` when nothing is said."},
            "times": {"type": "integer", "minimum": 0, "description": "Attempts that fail; the one after them succeeds. Without it all fail."}},
            "additionalProperties": false}),
        outputs: json!({"type": "object"}),
        instant: true,
        example: "workflow: demo/second-try\nnodes:\n  shaky:\n    use: core/fail\n    with: {message: not yet, times: 1}\n    retry: {max: 3, backoff: 1s..10s}\n",
    }
}

fn http() -> Manifest {
    Manifest {
        name: "core/http",
        version: 1,
        description: "Sends an HTTP request. Statuses from 400 on are failures unless `accept` names them; redirects are followed to the same server only.",
        inputs: json!({"type": "object", "properties": {
            "method": {"type": "string", "enum": ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"], "description": "`GET` when nothing is said."},
            "url": {"type": "string", "description": "Where to: `http://`, or `https://` to servers whose certificate the machine trusts."},
            "headers": {"type": "object", "additionalProperties": {"type": "string"}, "description": "Headers beside those of the protocol. The idempotency key and the trace are sent by themselves."},
            "json": {"description": "A body of JSON: any value."},
            "body": {"type": "string", "description": "A body as text; not together with `json`."},
            "accept": {"type": "array", "items": {"type": "integer"}, "description": "Statuses from 400 on that are answers like any other."},
            "timeout": {"type": "string", "description": "How long it may take with all redirects, such as `5s`; half a minute when nothing is said."}},
            "required": ["url"], "additionalProperties": false}),
        outputs: json!({"type": "object", "properties": {
            "status": {"type": "integer", "description": "The status."},
            "headers": {"type": "object", "additionalProperties": {"type": "string"}, "description": "The headers, names in small letters."},
            "body": {"type": "string", "description": "The body as text, when it is not JSON."},
            "json": {"description": "The body, when it is JSON."}},
            "required": ["status", "headers"], "additionalProperties": false}),
        instant: false,
        example: "workflow: demo/rate\nnodes:\n  ask:\n    use: core/http\n    with: {url: \"https://rates.example.org/eur\", accept: [404], timeout: 5s}\n    retry: {max: 3, backoff: 1s..1m}\noutputs: {status: \"${ nodes.ask.status }\"}\n",
    }
}

fn file() -> Manifest {
    Manifest {
        name: "core/file",
        version: 1,
        description: "Reads a file of the site's shared folder as an artifact, or writes an artifact or a text there.",
        inputs: json!({"type": "object", "properties": {
            "read": {"type": "string", "description": "The path to read, from the shared folder; either this or `write`."},
            "write": {"type": "string", "description": "The path to write, from the shared folder."},
            "artifact": {"description": "The artifact to write, of one file."},
            "text": {"type": "string", "description": "The text to write, instead of an artifact."}},
            "additionalProperties": false}),
        outputs: json!({"type": "object", "properties": {
            "file": {"type": "artifact", "description": "What was read."},
            "path": {"type": "string", "description": "The path, as it was given."}},
            "required": ["path"], "additionalProperties": false}),
        instant: false,
        example: "workflow: demo/note\nnodes:\n  keep:\n    use: core/file\n    with: {write: notes/today.txt, text: all is well}\noutputs: {path: \"${ nodes.keep.path }\"}\n",
    }
}

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
