//! Graphs for tests, by the ids of their nodes.

use std::sync::Arc;

use model::graph::{Branch, Cache, OnFailure, Port, Undo};
use model::{Duration, Graph, Node, NodeIx, NodeKind, Resources, Template};
use serde_json::{Value, json};

/// Builds a graph.
#[derive(Clone, Debug, Default)]
pub struct Flow {
    graph: Graph,
    steps: Vec<Step>,
}

/// A workflow of this name, `project/name`.
pub fn flow(name: &str) -> Flow {
    Flow { graph: Graph { workflow: name.into(), ..Graph::default() }, steps: Vec::new() }
}

impl Flow {
    /// Adds a node. It may refer to nodes that are added later.
    pub fn step(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// An input, with a default when there is one.
    pub fn input(mut self, name: &str, default: Option<Value>) -> Self {
        self.graph.inputs.push(Port { name: name.into(), schema: json!({}), default });
        self
    }

    /// What a run gives back.
    pub fn outputs(mut self, outputs: Value) -> Self {
        self.graph.outputs = Template::new(outputs);
        self
    }

    /// Lets work in flight finish when a node fails.
    pub fn finishes_on_failure(mut self) -> Self {
        self.graph.on_failure = OnFailure::Finish;
        self
    }

    /// The longest a run may take.
    pub fn timeout(mut self, span: Duration) -> Self {
        self.graph.timeout = Some(span);
        self
    }

    /// The graph. An id that no node has is a mistake of the test.
    pub fn build(mut self) -> Arc<Graph> {
        let ids: Vec<String> = self.steps.iter().map(|step| step.node.id.clone()).collect();
        let find = |id: &String| match ids.iter().position(|known| known == id) {
            Some(index) => index as NodeIx,
            None => panic!("no node is called `{id}`"),
        };
        for step in &self.steps {
            let mut node = step.node.clone();
            node.refs = step.reads.iter().map(find).collect();
            node.after = step.after.iter().map(find).collect();
            if let NodeKind::Decide { branches } = &mut node.kind {
                let branch = |(name, when, then): &(String, Option<String>, Vec<String>)| Branch {
                    name: name.clone(),
                    when: when.clone(),
                    then: then.iter().map(find).collect(),
                };
                *branches = step.branches.iter().map(branch).collect();
            }
            if let NodeKind::Each { body, .. } = &mut node.kind {
                let mut inner = Node::clone(body);
                inner.refs = node.refs.clone();
                *body = Arc::new(inner);
            }
            self.graph.nodes.push(node);
        }
        let chosen: Vec<(NodeIx, NodeIx)> = self
            .graph
            .nodes
            .iter()
            .enumerate()
            .filter_map(|(index, node)| match &node.kind {
                NodeKind::Decide { branches } => Some((index, branches)),
                _ => None,
            })
            .flat_map(|(index, branches)| {
                branches.iter().flat_map(|branch| branch.then.clone()).map(move |then| (index as u32, then))
            })
            .collect();
        for (decider, node) in chosen {
            let chosen_by = &mut self.graph.nodes[node as usize].chosen_by;
            if !chosen_by.contains(&decider) {
                chosen_by.push(decider);
            }
        }
        Arc::new(self.graph)
    }
}

/// Builds a node.
#[derive(Clone, Debug)]
pub struct Step {
    node: Node,
    reads: Vec<String>,
    after: Vec<String>,
    branches: Vec<(String, Option<String>, Vec<String>)>,
}

/// A node that uses `core/noop`, unless it is made into something else.
pub fn step(id: &str) -> Step {
    Step { node: Node { id: id.into(), ..Node::default() }, reads: Vec::new(), after: Vec::new(), branches: Vec::new() }
}

impl Step {
    /// Uses another connector.
    pub fn uses(mut self, connector: &str) -> Self {
        self.node.kind = NodeKind::Use { connector: connector.into(), version: 1 };
        self
    }

    /// Runs a command.
    pub fn runs(mut self) -> Self {
        self.node.kind = NodeKind::Run { image: None, code: Vec::new() };
        self
    }

    /// Calls a task.
    pub fn task(mut self, name: &str) -> Self {
        self.node.kind = NodeKind::Task { name: name.into() };
        self
    }

    /// Runs a sub-workflow.
    pub fn workflow(mut self, graph: &Arc<Graph>) -> Self {
        self.node.kind = NodeKind::Workflow { graph: graph.clone() };
        self
    }

    /// Asks a person: `assign`, `then`, `second` as in [`NodeKind::Human`].
    pub fn human(mut self, input: Value) -> Self {
        self.node.kind = NodeKind::Human;
        self.input(input)
    }

    /// Waits: `for`, `until`, `signal` or `event` as in [`NodeKind::Wait`].
    pub fn waits(mut self, input: Value) -> Self {
        self.node.kind = NodeKind::Wait;
        self.input(input)
    }

    /// Runs `body` for each of `items`, so many at once.
    pub fn each(mut self, items: Value, concurrency: u32, body: Step) -> Self {
        self.node.kind = NodeKind::Each { body: Arc::new(body.node), concurrency, go_on: false };
        self.input(json!({ "items": items }))
    }

    /// Lets a map go on when an item fails.
    pub fn goes_on(mut self) -> Self {
        if let NodeKind::Each { go_on, .. } = &mut self.node.kind {
            *go_on = true;
        }
        self
    }

    /// Adds a branch: it makes the node a `decide`.
    pub fn branch(mut self, name: &str, when: Option<&str>, then: &[&str]) -> Self {
        self.node.kind = NodeKind::Decide { branches: Vec::new() };
        self.branches.push((name.into(), when.map(str::to_owned), then.iter().map(|id| (*id).to_owned()).collect()));
        self
    }

    /// Its input, which may hold expressions.
    pub fn input(mut self, input: Value) -> Self {
        self.node.input = Template::new(input);
        self
    }

    /// Nodes that its expressions refer to.
    pub fn reads(mut self, ids: &[&str]) -> Self {
        self.reads.extend(ids.iter().map(|id| (*id).to_owned()));
        self
    }

    /// Nodes that it comes after.
    pub fn after(mut self, ids: &[&str]) -> Self {
        self.after.extend(ids.iter().map(|id| (*id).to_owned()));
        self
    }

    /// Its condition.
    pub fn when(mut self, condition: &str) -> Self {
        self.node.condition = Some(condition.into());
        self
    }

    /// How often it is repeated, and the pauses.
    pub fn retry(mut self, max: u32, from: Duration, to: Duration) -> Self {
        (self.node.retry.max, self.node.retry.backoff_min, self.node.retry.backoff_max) = (max, from, to);
        self
    }

    /// Its timeout.
    pub fn timeout(mut self, span: Duration) -> Self {
        self.node.timeout = Some(span);
        self
    }

    /// What reverses it: a connector that is given this.
    pub fn undo(mut self, input: Value) -> Self {
        let kind = NodeKind::Use { connector: "core/undo".into(), version: 1 };
        self.node.undo = Some(Arc::new(Undo { kind, input: Template::new(input), ..Undo::default() }));
        self
    }

    /// Repeats of its undo.
    pub fn undo_retry(mut self, max: u32) -> Self {
        if let Some(undo) = &self.node.undo {
            let mut undo = Undo::clone(undo);
            undo.retry.max = max;
            self.node.undo = Some(Arc::new(undo));
        }
        self
    }

    /// Its once key.
    pub fn once(mut self, key: Value) -> Self {
        self.node.once = Some(Template::new(key));
        self
    }

    /// Reuses outputs of equal actions.
    pub fn cached(mut self, ttl: Option<Duration>) -> Self {
        self.node.cache = Some(Cache { ttl, ..Cache::default() });
        self
    }

    /// A tag that all of its output carries.
    pub fn carries(mut self, tag: &str) -> Self {
        self.node.carries.entry(String::new()).or_default().insert(tag.into());
        self
    }

    /// How many thousandths of a core it needs.
    pub fn needs(mut self, cpu_millis: u32) -> Self {
        self.node.needs.resources = Resources { cpu_millis, ..Resources::default() };
        self
    }

    /// How much memory it needs, in bytes.
    pub fn memory(mut self, bytes: u64) -> Self {
        self.node.needs.resources.memory_bytes = bytes;
        self
    }

    /// An attribute that its site must have.
    pub fn at(mut self, key: &str, value: &str) -> Self {
        self.node.needs.site.insert(key.into(), value.into());
        self
    }
}
