//! What a workflow means: a hash that is blind to comments, layout and order of writing, and a comparison node by node.

use std::collections::{BTreeMap, BTreeSet};

use model::graph::{Branch, Needs, Port, Retry};
use model::{Digest, Graph, Node, NodeKind, Resources};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// Pairs of nodes that are held against each other in search of one that was renamed.
const RENAMES_TRIED_MAX: usize = 10_000;

/// A digest over what a workflow means. Two files that differ in comments, layout, or the order of keys and nodes have the same.
pub fn hash(graph: &Graph) -> Digest {
    Digest::of(sorted(&meaning(graph)).to_string().as_bytes())
}

/// A difference between two workflows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// What it concerns, by the path that it has in the file: `nodes.train.retry.max`, `inputs.n`, `outputs`.
    pub at: String,
    /// added, removed, changed or renamed.
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

/// The differences from one workflow to another. A node that only has another name is renamed, and references that follow it are none.
pub fn diff(before: &Graph, after: &Graph) -> Vec<Change> {
    let (mut old, new) = (meaning(before), meaning(after));
    let mut changes = Vec::new();
    for (from, to) in renames(&mut old, &new) {
        let (before, after) = (Value::String(from), Value::String(to.clone()));
        changes.push(Change { at: step("nodes", &to), change: "renamed", before, after, labels: false });
    }
    compare("", &old, &new, &mut changes);
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
            "renamed" => format!("~ {}: was called {}{mark}\n", change.at, text(&change.before)),
            _ => format!("~ {}: {} → {}{mark}\n", change.at, text(&change.before), text(&change.after)),
        }
    };
    changes.iter().map(line).collect()
}

/// A path with one more step: what is no name stands in brackets.
fn step(at: &str, key: &str) -> String {
    let plain = !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-');
    match (at.is_empty(), plain) {
        (true, _) => key.to_owned(),
        (false, true) => format!("{at}.{key}"),
        (false, false) => format!("{at}[{}]", Value::String(key.to_owned())),
    }
}

/// Nodes that have another name and mean the same. The old meaning is told in the new names afterwards.
fn renames(old: &mut Value, new: &Value) -> Vec<(String, String)> {
    let only = |one: &Value, other: &Value| -> Vec<(String, Value)> {
        let nodes = one.get("nodes").and_then(Value::as_object).into_iter().flatten();
        nodes.filter(|(id, _)| other["nodes"].get(id.as_str()).is_none()).map(|(id, node)| (id.clone(), node.clone())).collect()
    };
    let (gone, mut come) = (only(old, new), only(new, old));
    // Each is held against each: with more than a few this is another workflow, and no renaming.
    if gone.len().saturating_mul(come.len()) > RENAMES_TRIED_MAX {
        return Vec::new();
    }
    let mut renamed: Vec<(String, String)> = Vec::new();
    for (from, node) in gone {
        let own = |to: &str| in_new_names(&node, &[(from.clone(), to.to_owned())]);
        if let Some(place) = come.iter().position(|(to, other)| own(to) == *other) {
            renamed.push((from, come.remove(place).0));
        }
    }
    if !renamed.is_empty() {
        *old = in_new_names(old, &renamed);
        if let Some(nodes) = old.get_mut("nodes").and_then(Value::as_object_mut) {
            let told = std::mem::take(nodes).into_iter().map(|(id, node)| {
                let to = renamed.iter().find(|(from, _)| *from == id).map(|(_, to)| to.clone());
                (to.unwrap_or(id), node)
            });
            *nodes = told.collect();
        }
    }
    renamed
}

/// A value in which nodes are called by other names: in expressions, and where they are named by themselves (`after`, branches).
fn in_new_names(value: &Value, names: &[(String, String)]) -> Value {
    match value {
        Value::String(text) => Value::String(
            names.iter().fold(text.clone(), |text, (from, to)| if text == *from { to.clone() } else { called(&text, from, to) }),
        ),
        Value::Array(items) => Value::Array(items.iter().map(|item| in_new_names(item, names)).collect()),
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(key, field)| (key.clone(), in_new_names(field, names))).collect())
        }
        other => other.clone(),
    }
}

/// A text in which references to a node lead to another: `nodes.a`, `nodes["a"]`, `nodes['a']`.
fn called(text: &str, from: &str, to: &str) -> String {
    if !text.contains("nodes") {
        return text.to_owned();
    }
    let mut text = text.replace(&format!("nodes[\"{from}\"]"), &format!("nodes[\"{to}\"]"));
    text = text.replace(&format!("nodes['{from}']"), &format!("nodes['{to}']"));
    let (dotted, mut out, mut rest) = (format!("nodes.{from}"), String::new(), text.as_str());
    while let Some((before, after)) = rest.split_once(&dotted) {
        let whole = !after.starts_with(|c: char| c.is_alphanumeric() || c == '_');
        out.push_str(before);
        out.push_str(if whole { "nodes." } else { &dotted });
        out.push_str(if whole { to } else { "" });
        rest = after;
    }
    out + rest
}

fn compare(at: &str, before: &Value, after: &Value, changes: &mut Vec<Change>) {
    if before == after {
        return;
    }
    if let (Value::Object(old), Value::Object(new)) = (before, after) {
        let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for key in keys {
            let (old, new) = (old.get(key).unwrap_or(&Value::Null), new.get(key).unwrap_or(&Value::Null));
            compare(&step(at, key), old, new, changes);
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

/// A graph by names instead of indices, in the words of the file.
fn meaning(graph: &Graph) -> Value {
    let nodes: Map<String, Value> = graph.nodes.iter().map(|node| (node.id.clone(), node_meaning(node, graph))).collect();
    json!({
        "workflow": graph.workflow, "inputs": ports(&graph.inputs), "nodes": nodes, "outputs": graph.outputs.json,
        "on_failure": graph.on_failure, "timeout": graph.timeout, "deadline": graph.deadline,
    })
}

/// Types by name, as the file has them: a default stands within the type.
fn ports(ports: &[Port]) -> Value {
    let port = |port: &Port| {
        let mut schema = port.schema.clone();
        if let (Some(fields), Some(default)) = (schema.as_object_mut(), &port.default) {
            fields.insert("default".to_owned(), default.clone());
        }
        (port.name.clone(), schema)
    };
    Value::Object(ports.iter().map(port).collect())
}

fn node_meaning(node: &Node, graph: &Graph) -> Value {
    let id = |index: &u32| graph.nodes.get(*index as usize).map_or("?", |node| node.id.as_str()).to_owned();
    let mut fields = work(&node.kind, &node.input.json, graph);
    let mut after: Vec<String> = node.after.iter().map(id).collect();
    after.sort();
    let mut say = |key: &str, value: Value| drop(fields.insert(key.to_owned(), value));
    say("if", json!(node.condition));
    say("after", json!(after));
    say("needs", needs(&node.needs));
    if node.retry != Retry::default() {
        say("retry", json!(node.retry));
    }
    say("timeout", json!(node.timeout));
    say("cache", json!(node.cache));
    say("once", json!(node.once.as_ref().map(|once| &once.json)));
    say("lowers", json!(node.lowers));
    say("outputs", ports(&node.outputs));
    if let Some(undo) = &node.undo {
        let mut fields = work(&undo.kind, &undo.input.json, graph);
        fields.insert("needs".into(), needs(&undo.needs));
        fields.insert("retry".into(), json!(undo.retry));
        fields.insert("timeout".into(), json!(undo.timeout));
        say("undo", without_empty(fields));
    }
    match without_empty(fields) {
        // What is asked for at most once is asked for by its presence.
        Value::Object(mut fields) if node.cache.is_some() => {
            fields.entry("cache").or_insert(json!(true));
            Value::Object(fields)
        }
        other => other,
    }
}

/// What a node does, in the words of the file.
fn work(kind: &NodeKind, input: &Value, graph: &Graph) -> Map<String, Value> {
    let id = |index: &u32| graph.nodes.get(*index as usize).map_or("?", |node| node.id.as_str()).to_owned();
    let mut fields = Map::new();
    let mut say = |key: &str, value: Value| drop(fields.insert(key.to_owned(), value));
    match kind {
        NodeKind::Use { connector, version } => say("use", json!(format!("{connector}@{version}"))),
        NodeKind::Task { name } => say("task", json!(name)),
        NodeKind::Workflow { graph } => say("workflow", meaning(graph)),
        NodeKind::Human => say("human", input.clone()),
        NodeKind::Wait => say("wait", input.clone()),
        NodeKind::Run { image, code } => {
            let mut run = input.as_object().cloned().unwrap_or_default();
            if let Some(with) = run.remove("with") {
                say("with", with);
            }
            let files: Map<String, Value> = code.iter().map(|file| (file.path.clone(), json!(file.digest))).collect();
            run.insert("image".into(), json!(image));
            run.insert("files".into(), Value::Object(files));
            say("run", without_empty(run));
        }
        NodeKind::Each { body, concurrency, go_on } => say(
            "each",
            json!({
                "items": input.get("items"), "do": node_meaning(body, graph), "concurrency": concurrency,
                "on_failure": if *go_on { "continue" } else { "stop" },
            }),
        ),
        NodeKind::Decide { branches } => {
            let branch = |branch: &Branch| {
                let then: Vec<String> = branch.then.iter().map(id).collect();
                (branch.name.clone(), json!({ "when": branch.when, "then": then }))
            };
            // The first that holds is taken: their order means something.
            let order: Vec<&str> = branches.iter().map(|branch| branch.name.as_str()).collect();
            say("decide", json!({ "branches": branches.iter().map(branch).collect::<Map<_, _>>(), "order": order }));
        }
    }
    if matches!(kind, NodeKind::Use { .. } | NodeKind::Task { .. } | NodeKind::Workflow { .. }) {
        say("with", input.clone());
    }
    fields
}

fn needs(needs: &Needs) -> Value {
    let Resources { cpu_millis, memory_bytes, gpus, disk_bytes } = needs.resources;
    let amounts = [
        ("cpu_millis", u64::from(cpu_millis)),
        ("memory_bytes", memory_bytes),
        ("gpu", u64::from(gpus)),
        ("disk_bytes", disk_bytes),
    ];
    let amounts = amounts.into_iter().filter(|(_, amount)| *amount > 0).map(|(name, amount)| (name.to_owned(), json!(amount)));
    let site = Some(("site".to_owned(), json!(needs.site))).filter(|_| !needs.site.is_empty());
    Value::Object(amounts.chain(site).collect())
}

fn without_empty(mut fields: Map<String, Value>) -> Value {
    let empty = |value: &Value| {
        value.is_null() || value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty)
    };
    fields.retain(|_, value| !empty(value));
    Value::Object(fields)
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
