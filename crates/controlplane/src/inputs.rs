//! Checking what people and programs give against the schemas of the language.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use jsonschema::Validator;
use model::graph::Port;
use model::{ArtifactRef, Graph};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use workflow::types::ARTIFACT_TYPES;

use crate::{Fault, FaultKind};

/// The inputs of a run with defaults filled in, or what is wrong with them.
pub(crate) fn check(graph: &Graph, mut given: Map<String, Value>) -> Result<Value, Fault> {
    let known: Vec<&str> = graph.inputs.iter().map(|port| port.name.as_str()).collect();
    if let Some(unknown) = given.keys().find(|name| !known.contains(&name.as_str())) {
        let fault = Fault::new(FaultKind::InvalidInputs, format!("`{}` has no input `{unknown}`", graph.workflow));
        return Err(fault.hint(format!("it takes {}", if known.is_empty() { "none".into() } else { known.join(", ") })));
    }
    for port in &graph.inputs {
        if !given.contains_key(&port.name) {
            let Some(default) = &port.default else {
                let fault = Fault::new(FaultKind::InvalidInputs, format!("`{}` needs the input `{}`", graph.workflow, port.name));
                return Err(fault.hint(format!("give it with --input {}=…", port.name)));
            };
            given.insert(port.name.clone(), default.clone());
        }
        check_port(port, &given[&port.name])?;
    }
    Ok(Value::Object(given))
}

fn check_port(port: &Port, value: &Value) -> Result<(), Fault> {
    check_value(&port.schema, value)
        .map_err(|why| Fault::new(FaultKind::InvalidInputs, format!("the input `{}`: {why}", port.name)))
}

/// Compiled schemas that are kept.
const VALIDATORS_MAX: usize = 1_024;

/// Compiled schemas by their text: the same ports are checked over and over.
static VALIDATORS: LazyLock<Mutex<HashMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);

fn validator(schema: &Value) -> Result<Arc<Validator>, String> {
    let text = schema.to_string();
    if let Some(known) = VALIDATORS.lock().get(&text) {
        return Ok(known.clone());
    }
    let made = jsonschema::validator_for(&plain(schema)).map_err(|error| format!("its schema is not right: {error}"))?;
    let made = Arc::new(made);
    let mut known = VALIDATORS.lock();
    if known.len() >= VALIDATORS_MAX {
        known.clear();
    }
    known.insert(text, made.clone());
    Ok(made)
}

/// Checks a value against a schema of the language.
pub fn check_value(schema: &Value, value: &Value) -> Result<(), String> {
    let validator = validator(schema)?;
    match validator.iter_errors(value).next() {
        None => Ok(()),
        Some(error) => {
            let at = error.instance_path().to_string();
            // Without the value itself: it may be long, and somebody's own.
            let message = error.masked_with(what(error.instance())).to_string();
            Err(if at.is_empty() { message } else { format!("at `{at}`: {message}") })
        }
    }
}

/// What a value is, without saying it.
fn what(value: &Value) -> String {
    match value {
        Value::Null => "nothing (null)".to_owned(),
        Value::Bool(_) => "a truth value".to_owned(),
        Value::Number(_) => "a number".to_owned(),
        Value::String(text) => match text.chars().count() {
            1 => "a text of 1 character".into(),
            count => format!("a text of {count} characters"),
        },
        Value::Array(items) => format!("a list of {} items", items.len()),
        Value::Object(fields) => format!("a map of {} fields", fields.len()),
    }
}

/// A schema of the language as plain JSON Schema: artifacts are objects with our mark.
fn plain(schema: &Value) -> Value {
    match schema {
        Value::Object(fields) => {
            let artifact = fields.get("type").and_then(Value::as_str).is_some_and(|name| ARTIFACT_TYPES.contains(&name));
            if artifact {
                return json!({"type": "object", "required": [model::value::ARTIFACT_KEY]});
            }
            Value::Object(fields.iter().map(|(key, field)| (key.clone(), plain(field))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(plain).collect()),
        other => other.clone(),
    }
}

/// The artifacts of a value that are where they are said to be.
pub(crate) fn locate(sites: &crate::Sites, value: &Value) -> Result<Vec<engine::event::Located>, Fault> {
    let mut located = Vec::new();
    for artifact in ArtifactRef::all_in(value) {
        let found = tokio::task::block_in_place(|| sites.with_copy(&artifact.digest));
        if found.is_empty() {
            let fault = Fault::new(FaultKind::InvalidInputs, format!("no site has the artifact {}", artifact.digest));
            return Err(fault.hint("upload it first: `tutti run … --input name=@file` does"));
        }
        located.extend(found.into_iter().map(|site| engine::event::Located {
            artifact: artifact.digest,
            size: artifact.size,
            site,
        }));
    }
    Ok(located)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph() -> Graph {
        let port = |name: &str, schema: Value, default: Option<Value>| Port { name: name.into(), schema, default };
        let inputs = vec![
            port("n", json!({"type": "integer", "minimum": 1}), None),
            port("s", json!({"type": "string"}), Some(json!("x"))),
            port("f", json!({"type": "artifact"}), Some(json!({"$artifact": {}}))),
        ];
        Graph { workflow: "t/w".into(), inputs, ..Graph::default() }
    }

    fn run(value: Value) -> Result<Value, String> {
        let Value::Object(given) = value else { panic!() };
        check(&graph(), given).map_err(|fault| fault.detail)
    }

    #[test]
    fn inputs_are_checked_and_completed() {
        assert_eq!(run(json!({"n": 2})).unwrap()["s"], "x");
        assert!(run(json!({})).unwrap_err().contains("needs the input `n`"));
        assert!(run(json!({"n": 2, "m": 1})).unwrap_err().contains("no input `m`"));
        assert!(run(json!({"n": 0})).unwrap_err().contains("`n`"));
        assert!(run(json!({"n": "2"})).is_err() && run(json!({"n": 2, "f": "x"})).is_err());
    }
}
