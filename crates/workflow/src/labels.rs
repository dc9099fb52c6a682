//! The label pass: what each node of a graph can read before it runs, and how each tag came there.
//!
//! Tags accumulate by union along references, conditions, branches, maps and sub-workflows. A node's output carries what the node could
//! read, and what it is declared to carry; only a lowering takes tags off. The engine goes by the same rules while a run runs.

mod wires;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{Carried, Graph, Label, Lowering, Node, NodeIx, NodeKind, Read};

use crate::reads;

pub use wires::{Wire, add as add_wire, reads_of, wires};

/// Where a tag comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Origin {
    /// Somebody said that it is there: an input, an output.
    Said(Arc<str>),
    /// It was read from an earlier step.
    From(usize),
}

/// A label with the origin of each tag.
type Tagged = BTreeMap<Arc<str>, Origin>;

/// Whether a node may take off the tags that it wants to, or why not; none when it does not want to.
pub type MayLower<'l> = &'l dyn Fn(&Node) -> Option<Result<Lowering, String>>;

/// What a node, at a path, carries from then on beside what it reads by its expressions: the tags of the secrets that it is given, and what is known
/// of it from elsewhere.
pub type Adds<'l> = &'l dyn Fn(&Node, &str) -> Label;

/// A step: a node, the body of a map, an undo.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its path: `train`, `score[]`, `sub/clean`, `deploy!undo`.
    pub path: String,
    /// What it runs, with version; none when it takes no place on a site.
    pub work: Option<String>,
    /// What its site must have.
    pub site: BTreeMap<String, String>,
    /// What it can read carries this.
    pub label: Label,
    /// What it gives back carries this.
    pub output: Carried,
    /// The steps that it reads from.
    pub takes: BTreeSet<usize>,
    /// The sanitizer by which it takes tags off.
    pub lowered_by: Option<String>,
    /// Why it does not take tags off that it wants to.
    pub not_lowered: Option<String>,
    origins: Tagged,
}

/// The steps of a workflow with their labels.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// In an order in which data flows.
    pub steps: Vec<Step>,
    /// What the workflow gives back, by name.
    pub outputs: BTreeMap<String, Label>,
}

impl Table {
    /// How a tag came to a step: from where it was said to the step itself.
    pub fn trail(&self, step: usize, tag: &str) -> Vec<String> {
        let (mut trail, mut at) = (Vec::new(), step);
        while let Some(step) = self.steps.get(at) {
            trail.push(step.path.clone());
            match step.origins.get(tag) {
                // Steps are numbered in the order of data: this ends.
                Some(Origin::From(before)) if *before < at => at = *before,
                Some(Origin::Said(said)) => {
                    trail.push(said.to_string());
                    break;
                }
                _ => break,
            }
        }
        trail.reverse();
        trail
    }
}

/// What a node gives.
#[derive(Clone, Debug, Default)]
struct Given {
    all: Tagged,
    fields: BTreeMap<String, Tagged>,
    step: usize,
}

/// What the expressions of a scope see.
#[derive(Clone, Default)]
struct Scope<'g> {
    inputs: BTreeMap<String, Tagged>,
    ids: BTreeMap<&'g str, NodeIx>,
    nodes: BTreeMap<NodeIx, Given>,
    item: Tagged,
    control: Tagged,
    prefix: String,
}

struct Pass<'l> {
    table: Table,
    may_lower: MayLower<'l>,
    adds: Adds<'l>,
}

/// Among what the inputs of a graph carry: what led to it being run at all, which all of it carries. No input is called so.
pub const CONTROL: &str = "";

/// The labels of the inputs of a graph as it declares them.
pub fn declared(graph: &Graph) -> BTreeMap<String, Label> {
    graph.inputs.iter().map(|port| (port.name.clone(), Label::of_schema(&port.schema))).collect()
}

/// Goes through a graph whose inputs carry these labels, and whose nodes are given no secrets.
pub fn pass(graph: &Graph, inputs: &BTreeMap<String, Label>, may_lower: MayLower<'_>) -> Table {
    pass_with(graph, inputs, may_lower, &|_, _| Label::empty())
}

/// Goes through a graph whose inputs carry these labels, and whose nodes are given something beside. What led to the graph being run stands among the
/// inputs as [`CONTROL`].
pub fn pass_with(graph: &Graph, inputs: &BTreeMap<String, Label>, may_lower: MayLower<'_>, adds: Adds<'_>) -> Table {
    let said = |name: &String, label: &Label| {
        let origin: Arc<str> = if name == CONTROL { "whoever asked for it".into() } else { format!("inputs.{name}").into() };
        label.0.iter().map(|tag| (Arc::from(tag.as_str()), Origin::Said(origin.clone()))).collect()
    };
    let mut inputs: BTreeMap<String, Tagged> = inputs.iter().map(|(name, label)| (name.clone(), said(name, label))).collect();
    let control = inputs.remove(CONTROL).unwrap_or_default();
    let mut pass = Pass { table: Table::default(), may_lower, adds };
    let given = pass.graph(graph, Scope { inputs, control, ..Scope::default() });
    let outputs = given.fields.into_iter().map(|(name, tags)| (name, label(&tags))).collect();
    Table { outputs, ..pass.table }
}

fn label(tags: &Tagged) -> Label {
    Label(tags.keys().map(ToString::to_string).collect())
}

fn join(into: &mut Tagged, tags: &Tagged) {
    for (tag, origin) in tags {
        into.entry(tag.clone()).or_insert_with(|| origin.clone());
    }
}

impl<'l> Pass<'l> {
    /// Goes through the nodes of a graph; gives what its outputs carry.
    fn graph<'g>(&mut self, graph: &'g Graph, mut scope: Scope<'g>) -> Given {
        let ids: BTreeMap<&str, NodeIx> =
            graph.nodes.iter().enumerate().map(|(index, node)| (node.id.as_str(), index as NodeIx)).collect();
        scope.ids = ids;
        for index in in_order(graph) {
            let Some(node) = graph.nodes.get(index as usize) else { continue };
            let path = format!("{}{}", scope.prefix, node.id);
            let given = self.node(node, path, &scope);
            scope.nodes.insert(index, given);
        }
        let mut given = Given::default();
        match &graph.outputs.json {
            serde_json::Value::Object(fields) => {
                for (name, value) in fields {
                    let (tags, _) = read(&scope, &reads::of_value(value));
                    given.fields.insert(name.clone(), tags);
                }
            }
            value => given.all = read(&scope, &reads::of_value(value)).0,
        }
        given
    }

    fn node(&mut self, node: &Node, path: String, scope: &Scope<'_>) -> Given {
        let mut control = scope.control.clone();
        let mut takes = BTreeSet::new();
        if let Some(condition) = &node.condition {
            let (tags, from) = read(scope, &reads::of_expression(condition));
            join(&mut control, &tags);
            takes.extend(from);
        }
        for decider in &node.chosen_by {
            if let Some(given) = scope.nodes.get(decider) {
                join(&mut control, &given.all);
            }
        }
        let mut tags = control.clone();
        let (read_here, from) = read(scope, &reads::of_value(&node.input.json));
        join(&mut tags, &read_here);
        takes.extend(from);
        self.given_beside(node, &path, &mut tags);
        let mut inside = Given::default();
        match &node.kind {
            NodeKind::Each { body, .. } => {
                let scope = Scope { item: tags.clone(), control: tags.clone(), ..scope.clone() };
                let body = self.node(body, format!("{path}[]"), &scope);
                inside.all = body.all.clone();
                body.fields.values().for_each(|field| join(&mut inside.all, field));
            }
            NodeKind::Workflow { graph } => inside = self.sub_workflow(node, graph, &path, scope, &control),
            NodeKind::Decide { branches } => {
                for source in branches.iter().filter_map(|branch| branch.when.as_ref()) {
                    let (read_here, from) = read(scope, &reads::of_expression(source));
                    join(&mut tags, &read_here);
                    takes.extend(from);
                }
            }
            _ => {}
        }
        // What a sub-workflow gives goes by its own outputs, not by all that it takes.
        let kept = if matches!(node.kind, NodeKind::Workflow { .. }) { control } else { tags.clone() };
        let given = self.step(node, path.clone(), tags, kept, takes, inside);
        if let Some(undo) = &node.undo {
            self.undo(node, undo, &path, scope, &given);
        }
        given
    }

    /// What a node is given beside what it reads is read by it too.
    fn given_beside(&self, node: &Node, path: &str, tags: &mut Tagged) {
        for tag in (self.adds)(node, path).0 {
            let said = || Origin::Said(format!("the secrets of {path}").into());
            tags.entry(tag.into()).or_insert_with(said);
        }
    }

    fn sub_workflow(&mut self, node: &Node, graph: &Graph, path: &str, scope: &Scope<'_>, control: &Tagged) -> Given {
        let mut inputs = BTreeMap::new();
        let with = node.input.json.as_object();
        for port in &graph.inputs {
            let value = match with {
                Some(fields) => fields.get(&port.name),
                None => Some(&node.input.json),
            };
            let mut tags = value.map(|value| read(scope, &reads::of_value(value)).0).unwrap_or_default();
            let said: Arc<str> = format!("{path}/inputs.{}", port.name).into();
            for tag in Label::of_schema(&port.schema).0 {
                tags.entry(tag.into()).or_insert_with(|| Origin::Said(said.clone()));
            }
            inputs.insert(port.name.clone(), tags);
        }
        let inner = Scope { inputs, control: control.clone(), prefix: format!("{path}/"), ..Scope::default() };
        self.graph(graph, inner)
    }

    /// Writes a step down, and makes what it gives: `kept` of what it read, what is `inside` it, what it declares; all of it lowered.
    fn step(&mut self, node: &Node, path: String, tags: Tagged, kept: Tagged, takes: BTreeSet<usize>, inside: Given) -> Given {
        let number = self.table.steps.len();
        let said: Arc<str> = path.as_str().into();
        let (mut lowering, mut not_lowered) = (None, None);
        if !node.lowers.is_empty() {
            match (self.may_lower)(node) {
                Some(Ok(found)) => lowering = Some(found),
                Some(Err(why)) => not_lowered = Some(why),
                None => {}
            }
        }
        let lower = |mut tags: Tagged| {
            if let Some(lowering) = &lowering {
                tags.retain(|tag, _| !lowering.strips.contains(&**tag));
                let adds = lowering.adds.iter().map(|tag| (Arc::from(tag.as_str()), Origin::Said(said.clone())));
                tags = adds.fold(tags, |mut tags, (tag, origin)| {
                    tags.entry(tag).or_insert(origin);
                    tags
                });
            }
            tags
        };
        let mut all: Tagged = kept.keys().map(|tag| (tag.clone(), Origin::From(number))).collect();
        join(&mut all, &inside.all);
        for tag in node.carries.get("").into_iter().flatten() {
            all.entry(tag.as_str().into()).or_insert_with(|| Origin::Said(said.clone()));
        }
        let mut fields = inside.fields;
        for (field, declared) in node.carries.iter().filter(|(field, _)| !field.is_empty()) {
            let own: Arc<str> = format!("{path}.{field}").into();
            let tags = fields.entry(field.clone()).or_default();
            for tag in declared {
                tags.entry(tag.as_str().into()).or_insert_with(|| Origin::Said(own.clone()));
            }
        }
        let given =
            Given { all: lower(all), fields: fields.into_iter().map(|(name, tags)| (name, lower(tags))).collect(), step: number };
        let carried = given.fields.iter().map(|(name, tags)| (name.clone(), label(tags)));
        self.table.steps.push(Step {
            path,
            work: work_of(&node.kind),
            site: node.needs.site.clone(),
            label: label(&tags),
            output: Carried { all: label(&given.all), fields: carried.collect() },
            takes,
            lowered_by: lowering.as_ref().map(|lowering| lowering.sanitizer.clone()),
            not_lowered,
            origins: tags,
        });
        given
    }

    fn undo(&mut self, node: &Node, undo: &model::graph::Undo, path: &str, scope: &Scope<'_>, given: &Given) {
        let mut scope = scope.clone();
        let (mut tags, mut takes) = read(&scope, &reads::of_value(&undo.input.json));
        // It runs because the node did, and may read what it gave.
        join(&mut tags, &given.all);
        given.fields.values().for_each(|field| join(&mut tags, field));
        takes.insert(given.step);
        scope.control.clear();
        let undone = Node {
            id: node.id.clone(),
            kind: undo.kind.clone(),
            input: undo.input.clone(),
            needs: undo.needs.clone(),
            ..Node::default()
        };
        let path = format!("{path}!undo");
        self.given_beside(&undone, &path, &mut tags);
        self.step(&undone, path, tags.clone(), tags, takes, Given::default());
    }
}

/// What takes a place on a site, with its version.
fn work_of(kind: &NodeKind) -> Option<String> {
    match kind {
        NodeKind::Use { connector, version } => Some(format!("{connector}@{version}")),
        NodeKind::Task { name } => Some(name.clone()),
        NodeKind::Run { .. } => Some("run".into()),
        _ => None,
    }
}

/// What is read carries, and the steps it is read from.
fn read(scope: &Scope<'_>, reads: &BTreeSet<Read>) -> (Tagged, BTreeSet<usize>) {
    let (mut tags, mut from) = (Tagged::new(), BTreeSet::new());
    for one in reads {
        match one {
            Read::Input(Some(name)) => scope.inputs.get(name).into_iter().for_each(|input| join(&mut tags, input)),
            Read::Input(None) => scope.inputs.values().for_each(|input| join(&mut tags, input)),
            Read::Item => join(&mut tags, &scope.item),
            Read::Node(id, field) => {
                let Some(given) = scope.ids.get(id.as_str()).and_then(|index| scope.nodes.get(index)) else { continue };
                from.insert(given.step);
                join(&mut tags, &given.all);
                match field {
                    Some(field) => given.fields.get(field).into_iter().for_each(|own| join(&mut tags, own)),
                    None => given.fields.values().for_each(|own| join(&mut tags, own)),
                }
            }
        }
    }
    (tags, from)
}

/// The nodes of a graph, each after what it waits for.
fn in_order(graph: &Graph) -> Vec<NodeIx> {
    let mut waits: Vec<usize> = Vec::with_capacity(graph.nodes.len());
    let mut successors: Vec<Vec<NodeIx>> = vec![Vec::new(); graph.nodes.len()];
    for (index, node) in graph.nodes.iter().enumerate() {
        let before: BTreeSet<NodeIx> = node.refs.iter().chain(&node.after).chain(&node.chosen_by).copied().collect();
        waits.push(before.len());
        for other in before {
            if let Some(list) = successors.get_mut(other as usize) {
                list.push(index as NodeIx);
            }
        }
    }
    let mut ready: BTreeSet<NodeIx> =
        waits.iter().enumerate().filter(|(_, count)| **count == 0).map(|(index, _)| index as NodeIx).collect();
    let mut order = Vec::with_capacity(graph.nodes.len());
    while let Some(next) = ready.pop_first() {
        order.push(next);
        for successor in successors.get(next as usize).into_iter().flatten() {
            if let Some(count) = waits.get_mut(*successor as usize) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    ready.insert(*successor);
                }
            }
        }
    }
    order
}
