//! What goes along the wires of a graph, for whoever draws them; and the graph as it would be with one wire more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{Carried, Graph, Label, Node, NodeIx, NodeKind, Read};
use serde_json::{Value, json};

use super::Table;
use crate::reads;

/// The input by which a wire is tried. No expression of a workflow can name it, so that it stands in the way of nothing.
const TRIED: &str = " wire";

/// What goes from one node of a graph to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wire {
    /// Where it begins.
    pub from: String,
    /// Where it ends.
    pub to: String,
    /// What is read along it carries this.
    pub label: Label,
}

/// What goes along every wire of a graph, not counting those within sub-workflows.
pub fn wires(graph: &Graph, table: &Table) -> Vec<Wire> {
    let gives: BTreeMap<&str, &Carried> = table.steps.iter().map(|step| (step.path.as_str(), &step.output)).collect();
    let mut wires = Vec::new();
    for node in &graph.nodes {
        let mut found: BTreeMap<String, Label> = BTreeMap::new();
        for read in reads_of(node) {
            let Read::Node(from, field) = read else { continue };
            let Some(carried) = gives.get(from.as_str()) else { continue };
            found.entry(from).or_default().join(&carried.of(field.as_deref()));
        }
        wires.extend(found.into_iter().map(|(from, label)| Wire { from, to: node.id.clone(), label }));
    }
    wires
}

/// What a node reads, in its condition and in what stands within it too.
pub fn reads_of(node: &Node) -> BTreeSet<Read> {
    let mut found = reads::of_value(&node.input.json);
    found.extend(node.condition.iter().flat_map(|condition| reads::of_expression(condition)));
    match &node.kind {
        NodeKind::Each { body, .. } => found.extend(reads_of(body)),
        NodeKind::Decide { branches } => {
            found.extend(
                branches.iter().filter_map(|branch| branch.when.as_ref()).flat_map(|source| reads::of_expression(source)),
            );
        }
        _ => {}
    }
    found
}

/// Adds a wire to a graph: a node reads a field of another, or all of it. False when the node takes no values, or when a sub-workflow is to
/// read: what comes of that depends on which of its inputs it is.
pub fn add(graph: &mut Graph, from: NodeIx, field: Option<&str>, to: NodeIx) -> bool {
    let Some(source) = graph.nodes.get(from as usize) else { return false };
    let expression = match field {
        Some(field) => format!("${{ nodes.{}.{field} }}", source.id),
        None => format!("${{ nodes.{} }}", source.id),
    };
    let Some(node) = graph.nodes.get_mut(to as usize) else { return false };
    if !node.refs.contains(&from) {
        node.refs.push(from);
    }
    give(node, expression)
}

fn give(node: &mut Node, expression: String) -> bool {
    let within = match &mut node.kind {
        NodeKind::Use { .. } | NodeKind::Task { .. } => None,
        NodeKind::Run { .. } => Some("with"),
        NodeKind::Human => Some("show"),
        NodeKind::Each { body, .. } => return give(Arc::make_mut(body), expression),
        NodeKind::Workflow { .. } | NodeKind::Wait | NodeKind::Decide { .. } => return false,
    };
    let mut at = &mut node.input.json;
    if let Some(key) = within {
        if !at.is_object() {
            return false;
        }
        at = &mut at[key];
    }
    if !at.is_object() {
        *at = if at.is_null() { json!({}) } else { json!({ "": at.take() }) };
    }
    at[TRIED] = Value::String(expression);
    node.input.dynamic = true;
    true
}
