//! Graphs made ready to run: successors, dependency counts, and every definition behind an `Arc`, so that an action holds its
//! own definition and nothing is looked up by name on the way.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{Duration, Graph, Node, NodeIx, NodeKind};

use crate::event::ActionKind;

/// A definition an action runs: a node, the body of a map, or an undo.
#[derive(Debug)]
pub(crate) struct Unit {
    pub(crate) node: Arc<Node>,
    /// What reverses it.
    pub(crate) undo: Option<Arc<Unit>>,
    /// The graph of a sub-workflow.
    pub(crate) sub: Option<Arc<Compiled>>,
    /// The body of a map.
    pub(crate) body: Option<Arc<Unit>>,
}

/// A graph made ready to run.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) graph: Arc<Graph>,
    pub(crate) units: Vec<Arc<Unit>>,
    /// By node: the nodes that wait for it.
    pub(crate) successors: Vec<Vec<NodeIx>>,
    /// By node: how many nodes it waits for.
    pub(crate) dependencies: Vec<u32>,
}

impl Unit {
    pub(crate) fn new(node: Arc<Node>) -> Unit {
        let undo = node.undo.as_ref().map(|undo| {
            Arc::new(Unit::new(Arc::new(Node {
                id: node.id.clone(),
                kind: undo.kind.clone(),
                input: undo.input.clone(),
                refs: node.refs.clone(),
                needs: undo.needs.clone(),
                retry: undo.retry.clone(),
                timeout: undo.timeout,
                ..Node::default()
            })))
        });
        let sub = match &node.kind {
            NodeKind::Workflow { graph } => Some(Arc::new(Compiled::new(graph.clone()))),
            _ => None,
        };
        let body = match &node.kind {
            NodeKind::Each { body, .. } => Some(Arc::new(Unit::new(body.clone()))),
            _ => None,
        };
        Unit { node, undo, sub, body }
    }

    /// The same with another request for memory.
    pub(crate) fn with_memory(&self, bytes: u64) -> Unit {
        let mut node = Node::clone(&self.node);
        node.needs.resources.memory_bytes = bytes;
        Unit { node: Arc::new(node), undo: self.undo.clone(), sub: self.sub.clone(), body: self.body.clone() }
    }

    /// The kind of the actions it makes.
    pub(crate) fn kind(&self) -> ActionKind {
        kind_of(&self.node.kind)
    }

    /// The deadline of an attempt, a decision, a wait, a map or a sub-workflow, from its beginning.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        let own = self.node.timeout;
        let inner = self.sub.as_ref().and_then(|sub| sub.graph.timeout);
        own.into_iter().chain(inner).min()
    }

    /// What it runs, for people and placers: the connector, the task, or the kind.
    pub(crate) fn work(&self) -> String {
        self.node.kind.work()
    }
}

/// The kind of the actions that a node of this kind makes.
pub(crate) fn kind_of(kind: &NodeKind) -> ActionKind {
    match kind {
        NodeKind::Use { .. } => ActionKind::Use,
        NodeKind::Run { .. } => ActionKind::Run,
        NodeKind::Task { .. } => ActionKind::Task,
        NodeKind::Workflow { .. } => ActionKind::Workflow,
        NodeKind::Human => ActionKind::Human,
        NodeKind::Wait => ActionKind::Wait,
        NodeKind::Each { .. } => ActionKind::Each,
        NodeKind::Decide { .. } => ActionKind::Decide,
    }
}

impl Compiled {
    pub(crate) fn new(graph: Arc<Graph>) -> Compiled {
        let count = graph.nodes.len();
        let mut successors = vec![Vec::new(); count];
        let mut dependencies = vec![0u32; count];
        for (index, node) in graph.nodes.iter().enumerate() {
            let before: BTreeSet<NodeIx> = node.refs.iter().chain(&node.after).chain(&node.chosen_by).copied().collect();
            for dependency in before {
                let (Some(list), Some(number)) = (successors.get_mut(dependency as usize), dependencies.get_mut(index)) else {
                    continue;
                };
                list.push(index as NodeIx);
                *number += 1;
            }
        }
        let units = graph.nodes.iter().map(|node| Arc::new(Unit::new(Arc::new(node.clone())))).collect();
        Compiled { graph, units, successors, dependencies }
    }
}
