//! Registered workflows as the SDK sees them: tasks that are deployed already, with an interface made of what the workflow takes. What it
//! gives is one dictionary, since the fields of a workflow's outputs have no types of their own.

use model::graph::Port;
use serde_json::{Value, json};

use crate::interface::{self, BOOLEAN, FLOAT, INTEGER, STRING, STRUCT};
use crate::wire::{
    Interface, NamedLiteral, NamedParameter, Parameter, TaskId, TaskMetadata, TaskSpec, TaskTemplate, TemplateId, Type, Values,
    Variable, VariableType, Variables,
};
use prost::Message as _;

/// The type of the tasks that are workflows.
pub const KIND: &str = "tutti-workflow";
/// The output of such a task.
const OUTPUT: &str = "o0";

/// An input for which the SDK has no type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the input `{0}` of the workflow cannot be given by a program: it takes strings, integers, numbers, booleans, objects, and lists and maps of them, each with a default of its own type or with none"
)]
pub struct Untyped(pub String);

/// Whether a task is a workflow.
pub fn is_workflow(spec: &TaskSpec) -> bool {
    spec.task_template.as_ref().is_some_and(|template| template.kind == KIND)
}

/// What a specification calls its task: the client's word.
pub fn named(spec: &TaskSpec) -> TaskId {
    let id = spec.task_template.as_ref().and_then(|template| template.id.clone()).unwrap_or_default();
    TaskId { org: id.org, project: id.project, domain: id.domain, name: id.name, version: id.version }
}

/// A workflow as a task.
pub fn spec(id: &TaskId, ports: &[Port], description: &str) -> Result<TaskSpec, Untyped> {
    let (mut inputs, mut default_inputs) = (Vec::new(), Vec::new());
    for port in ports {
        let untyped = || Untyped(port.name.clone());
        let of = type_of(&port.schema).ok_or_else(untyped)?;
        if let Some(default) = &port.default {
            let default = interface::literal(&port.name, default, &of, &interface::Placed::new()).map_err(|_| untyped())?;
            default_inputs
                .push(NamedParameter { name: port.name.clone(), parameter: Some(Parameter { default: Some(default) }) });
        }
        inputs.push(variable(&port.name, of, ""));
    }
    let outputs = vec![variable(OUTPUT, simple(STRUCT), description)];
    let side = |variables| Some(Variables { variables });
    let template = TaskTemplate {
        id: Some(TemplateId {
            project: id.project.clone(),
            domain: id.domain.clone(),
            name: id.name.clone(),
            version: id.version.clone(),
            org: id.org.clone(),
        }),
        kind: KIND.into(),
        metadata: Some(TaskMetadata::default()),
        interface: Interface { inputs: side(inputs), outputs: side(outputs) }.encode_to_vec(),
        ..TaskTemplate::default()
    };
    Ok(TaskSpec { task_template: Some(template), default_inputs, short_name: id.name.clone(), environment: None })
}

/// What a workflow gave, as the output of the task that it is.
pub fn outputs(given: &Value) -> Vec<u8> {
    let given = if given.is_object() { given.clone() } else { json!({}) };
    let value = interface::literal(OUTPUT, &given, &simple(STRUCT), &interface::Placed::new()).ok();
    Values { literals: vec![NamedLiteral { name: OUTPUT.into(), value }] }.encode_to_vec()
}

fn simple(of: i32) -> Type {
    Type { simple: Some(of), ..Type::default() }
}

fn variable(key: &str, of: Type, description: &str) -> Variable {
    let value = Some(VariableType { of: Some(of), description: description.to_owned() });
    Variable { key: key.to_owned(), value }
}

/// The type of what a schema takes; none when the SDK has no such type.
fn type_of(schema: &Value) -> Option<Type> {
    match schema.get("type")?.as_str()? {
        "integer" => Some(simple(INTEGER)),
        "number" => Some(simple(FLOAT)),
        "string" => Some(simple(STRING)),
        "boolean" => Some(simple(BOOLEAN)),
        "array" => {
            let items = Some(Box::new(type_of(schema.get("items")?)?));
            Some(Type { items, ..Type::default() })
        }
        "object" if schema.get("properties").is_none() => match schema.get("additionalProperties").and_then(type_of) {
            Some(values) => Some(Type { values: Some(Box::new(values)), ..Type::default() }),
            None => Some(simple(STRUCT)),
        },
        "object" => Some(simple(STRUCT)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(name: &str, schema: Value, default: Option<Value>) -> Port {
        Port { name: name.into(), schema, default }
    }

    #[test]
    fn what_a_workflow_takes_is_what_the_task_takes() {
        let ports = [
            port("n", json!({ "type": "integer" }), None),
            port("x", json!({ "type": "number" }), Some(json!(0))),
            port("names", json!({ "type": "array", "items": { "type": "string" } }), None),
            port("by", json!({ "type": "object", "additionalProperties": { "type": "boolean" } }), None),
            port("free", json!({ "type": "object" }), None),
        ];
        let spec = spec(&TaskId { name: "loan".into(), ..TaskId::default() }, &ports, "").unwrap();
        assert!(is_workflow(&spec) && !is_workflow(&TaskSpec::default()));
        let schema = interface::inputs_schema(&spec);
        assert_eq!(schema["required"], json!(["n", "names", "by", "free"]));
        assert_eq!(schema["properties"]["names"], ports[2].schema);
        assert_eq!(schema["properties"]["by"], ports[3].schema);
        let given = json!({ "n": 1, "names": ["a"], "by": { "a": true }, "free": { "deep": [1, "x", null] } });
        let bytes = interface::inputs(&spec, &given, &interface::Placed::new()).unwrap();
        let read = interface::outputs(&bytes).unwrap();
        assert_eq!((&read["n"], &read["x"], &read["free"]), (&json!(1), &json!(0.0), &given["free"]));
        assert_eq!(interface::outputs(&outputs(&given)), Some(json!({ "o0": given })));
        assert_eq!(interface::outputs(&outputs(&Value::Null)), Some(json!({ "o0": {} })));
    }

    #[test]
    fn what_has_no_type_is_named() {
        for schema in [json!({}), json!({ "type": "file" }), json!({ "type": ["string", "null"] }), json!({ "type": "array" })] {
            assert_eq!(spec(&TaskId::default(), &[port("x", schema, None)], ""), Err(Untyped("x".into())));
        }
        let wrong = port("x", json!({ "type": "string" }), Some(Value::Null));
        assert_eq!(spec(&TaskId::default(), &[wrong], ""), Err(Untyped("x".into())));
    }
}
