//! What a workflow means: a hash that is blind to comments, layout and order of writing, and a comparison node by node.

use std::collections::BTreeMap;

use model::{Digest, Graph, Node, NodeKind};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// A digest over what a workflow means. Two files that differ in comments, layout, or the order of keys and nodes have the same.
pub fn hash(graph: &Graph) -> Digest {
    Digest::of(sorted(&meaning(graph)).to_string().as_bytes())
}

/// A difference between two workflows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// What it concerns: `nodes.train`, `inputs.n`, `outputs`.
    pub at: String,
    /// added, removed or changed.
    pub change: &'static str,
    /// Before.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub before: Value,
    /// After.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub after: Value,
    /// Whether labels are concerned: who reviews data protection looks here first.
    pub labels: bool,
}

/// The differences from one workflow to another.
pub fn diff(before: &Graph, after: &Graph) -> Vec<Change> {
    let mut changes = Vec::new();
    compare("", &meaning(before), &meaning(after), &mut changes);
    changes
}

/// Differences as text, a line each.
pub fn render(changes: &[Change]) -> String {
    let text = |value: &Value| {
        let text = value.to_string();
        let short: String = text.chars().take(100).collect();
        if short.len() < text.len() { short + "…" } else { short }
    };
    let line = |change: &Change| {
        let mark = if change.labels { "  [labels]" } else { "" };
        match change.change {
            "added" => format!("+ {}: {}{mark}\n", change.at, text(&change.after)),
            "removed" => format!("- {}: {}{mark}\n", change.at, text(&change.before)),
            _ => format!("~ {}: {} → {}{mark}\n", change.at, text(&change.before), text(&change.after)),
        }
    };
    changes.iter().map(line).collect()
}

fn compare(at: &str, before: &Value, after: &Value, changes: &mut Vec<Change>) {
    if before == after {
        return;
    }
    let join = |key: &str| if at.is_empty() { key.to_owned() } else { format!("{at}.{key}") };
    if let (Value::Object(old), Value::Object(new)) = (before, after) {
        let keys: BTreeMap<&String, ()> = old.keys().chain(new.keys()).map(|key| (key, ())).collect();
        for key in keys.keys() {
            compare(&join(key), old.get(*key).unwrap_or(&Value::Null), new.get(*key).unwrap_or(&Value::Null), changes);
        }
        return;
    }
    let change = match (before, after) {
        (Value::Null, _) => "added",
        (_, Value::Null) => "removed",
        _ => "changed",
    };
    let labels = at.split('.').any(|part| part == "labels" || part == "lowers") || has_labels(before) || has_labels(after);
    changes.push(Change { at: at.to_owned(), change, before: before.clone(), after: after.clone(), labels });
}

fn has_labels(value: &Value) -> bool {
    match value {
        Value::Object(fields) => {
            fields.contains_key("labels") || fields.contains_key("lowers") || fields.values().any(has_labels)
        }
        Value::Array(items) => items.iter().any(has_labels),
        _ => false,
    }
}

/// A graph by names instead of indices.
fn meaning(graph: &Graph) -> Value {
    let ports = |ports: &[model::graph::Port]| {
        let port = |port: &model::graph::Port| {
            let default = port.default.iter().map(|default| ("default".to_owned(), default.clone()));
            let meaning = [("schema".to_owned(), port.schema.clone())].into_iter().chain(default);
            (port.name.clone(), Value::Object(meaning.collect()))
        };
        Value::Object(ports.iter().map(port).collect())
    };
    let nodes: Map<String, Value> = graph.nodes.iter().map(|node| (node.id.clone(), node_meaning(node, graph, &ports))).collect();
    json!({
        "workflow": graph.workflow, "inputs": ports(&graph.inputs), "nodes": nodes, "outputs": graph.outputs.json,
        "on_failure": graph.on_failure, "timeout": graph.timeout, "deadline": graph.deadline,
    })
}

fn node_meaning(node: &Node, graph: &Graph, ports: &dyn Fn(&[model::graph::Port]) -> Value) -> Value {
    let id = |index: &u32| graph.nodes.get(*index as usize).map_or("?", |node| node.id.as_str()).to_owned();
    let kind = match &node.kind {
        NodeKind::Workflow { graph } => json!({"workflow": meaning(graph)}),
        NodeKind::Each { body, concurrency, go_on } => {
            json!({"each": {"do": node_meaning(body, graph, ports), "concurrency": concurrency, "go_on": go_on}})
        }
        NodeKind::Decide { branches } => {
            let branch = |branch: &model::graph::Branch| json!({"name": branch.name, "when": branch.when, "then": branch.then.iter().map(id).collect::<Vec<_>>()});
            json!({"decide": branches.iter().map(branch).collect::<Vec<_>>()})
        }
        other => serde_json::to_value(other).unwrap_or_default(),
    };
    let mut after: Vec<String> = node.after.iter().map(id).collect();
    after.sort();
    let mut fields = json!({
        "kind": kind, "with": node.input.json, "if": node.condition, "after": after, "needs": node.needs, "retry": node.retry,
        "timeout": node.timeout, "cache": node.cache, "undo": node.undo, "once": node.once.as_ref().map(|once| &once.json),
        "lowers": node.lowers, "outputs": ports(&node.outputs),
    });
    if let Some(fields) = fields.as_object_mut() {
        let empty = |value: &Value| {
            value.is_null() || value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty)
        };
        fields.retain(|_, value| !empty(value));
    }
    fields
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let by_key: BTreeMap<&String, &Value> = fields.iter().collect();
            Value::Object(by_key.into_iter().map(|(key, field)| (key.clone(), sorted(field))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        other => other.clone(),
    }
}
