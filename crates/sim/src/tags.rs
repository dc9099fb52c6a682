//! Tags as they travel: values of these worlds carry their tags in themselves, and whatever runs gives back the tags of all that it was
//! given. So what an action really read can be seen in its input, whatever labels say.

use std::collections::{BTreeMap, BTreeSet};

use engine::event::RunLabelled;
use model::{Graph, Label, Node, NodeKind};
use serde_json::{Value, json};

use crate::mutation::Mutation;
use crate::rng::Rng;

/// The tags there are.
pub(crate) const TAGS: [&str; 3] = ["health", "money", "person"];
/// What marks a text as a tag.
const MARK: &str = "tag:";
/// The input that carries tags. It says what it carries itself (`own`), and what the inputs of those names do.
pub(crate) const DATA: &str = "data";
/// Inputs that decide about ways, whose tags nobody sees in what follows.
pub(crate) const DECIDING: [&str; 2] = ["n", "go"];

/// A set of tags.
pub(crate) type Tags = BTreeSet<String>;

/// Tags as a value carries them.
pub(crate) fn value_of<'t>(tags: impl IntoIterator<Item = &'t String>) -> Value {
    tags.into_iter().map(|tag| Value::from(format!("{MARK}{tag}"))).collect()
}

/// All tags in a value.
pub(crate) fn tags_in(value: &Value) -> Tags {
    fn walk(value: &Value, found: &mut Tags) {
        match value {
            Value::String(text) => found.extend(text.strip_prefix(MARK).map(str::to_owned)),
            Value::Array(items) => items.iter().for_each(|item| walk(item, found)),
            Value::Object(fields) => fields.values().for_each(|field| walk(field, found)),
            _ => {}
        }
    }
    let mut found = Tags::new();
    walk(value, &mut found);
    found
}

/// What an attempt gives beside its result: the tags of all that it read, and those that its node says it brings.
pub(crate) fn read_by(input: &Value, node: &Node) -> Value {
    let mut tags = tags_in(input);
    tags.extend(node.carries.values().flatten().cloned());
    value_of(&tags)
}

/// The inputs of a run, some of them with tags.
pub(crate) fn inputs(rng: &mut Rng) -> Value {
    let mut data = json!({});
    for about in DECIDING.iter().copied().chain(["own"]) {
        let tags: Tags = TAGS.iter().filter(|_| rng.chance(220)).map(|tag| (*tag).to_owned()).collect();
        data[about] = value_of(&tags);
    }
    json!({"n": rng.below(6), "go": rng.chance(700), DATA: data})
}

/// Which sites which tags must not go to. The first two take everything, one in each zone: so there is a place for all work.
pub(crate) fn rules(rng: &mut Rng, sites: impl Iterator<Item = String>) -> Value {
    let mut rules = json!({});
    for site in sites.skip(2) {
        let tags: Vec<&str> = TAGS.iter().filter(|_| rng.chance(600)).copied().collect();
        rules[site] = json!(tags);
    }
    rules
}

/// The kind of resource that rules are.
pub(crate) const RULES: &str = "policy";

/// Rules as they are read.
pub(crate) fn read_rules(body: &Value) -> BTreeMap<String, Tags> {
    serde_json::from_value(body.clone()).unwrap_or_default()
}

/// What the nodes of a run can read and give, by the language's own pass, as the control plane asks it when it accepts a run.
pub(crate) fn label(graph: &Graph, inputs: &Value, mutation: Option<Mutation>) -> Option<Box<RunLabelled>> {
    let data = inputs.get(DATA)?;
    let of = |name: &str| Label(data.get(name).map(tags_in).unwrap_or_default());
    let mut carried: BTreeMap<String, Label> = DECIDING.iter().map(|name| ((*name).to_owned(), of(name))).collect();
    carried.insert(DATA.to_owned(), Label(tags_in(data)));
    let blind;
    let graph = if mutation == Some(Mutation::LoseControlLabel) {
        blind = without_control(graph);
        &blind
    } else {
        graph
    };
    let table = workflow::labels::pass(graph, &carried, &|_| None);
    let mut labels = RunLabelled { inputs: carried, ..RunLabelled::default() };
    labels.inputs.retain(|_, label| !label.is_empty());
    for step in table.steps {
        let mut read = step.label;
        if mutation == Some(Mutation::LoseUnion) {
            read.0 = read.0.into_iter().take(1).collect();
        }
        if !read.is_empty() {
            labels.reads.insert(step.path.clone(), read);
        }
        if !step.output.is_empty() {
            labels.gives.insert(step.path, step.output);
        }
    }
    let anything = !labels.inputs.is_empty() || !labels.reads.is_empty() || !labels.gives.is_empty();
    anything.then(|| Box::new(labels))
}

/// The same graph as somebody sees it who overlooks that a way tells what it was chosen by.
fn without_control(graph: &Graph) -> Graph {
    let mut graph = graph.clone();
    graph.nodes.iter_mut().for_each(forget_control);
    graph
}

fn forget_control(node: &mut Node) {
    node.condition = None;
    node.chosen_by.clear();
    match &mut node.kind {
        NodeKind::Workflow { graph } => *graph = without_control(graph).into(),
        NodeKind::Each { body, .. } => {
            let mut inner = Node::clone(body);
            forget_control(&mut inner);
            *body = inner.into();
        }
        _ => {}
    }
}

/// The gate: which sites the rules forbid for a label. It is made anew from the journal at every start.
#[derive(Default)]
pub(crate) struct Gate {
    rules: BTreeMap<String, Tags>,
}

impl Gate {
    /// Takes what happened.
    pub(crate) fn note(&mut self, event: &engine::Event) {
        match event {
            engine::Event::ResourceApplied(e) if e.kind == RULES => self.rules = read_rules(e.body.value()),
            engine::Event::ResourceDeleted(e) if e.kind == RULES => self.rules.clear(),
            _ => {}
        }
    }

    /// Why a label must not go to a site; none when it may.
    pub(crate) fn refusal(&self, site: &str, label: &Label) -> Option<String> {
        let tag = self.rules.get(site)?.intersection(&label.0).next()?;
        Some(format!("`{tag}` must not go there"))
    }

    /// What runs where it must not any more, and with `moving` what is on its way there.
    pub(crate) fn denied(&self, state: &engine::State, moving: bool) -> Vec<model::ActionKey> {
        let held = state.held().into_iter();
        let held = held.filter(|(_, _, _, label, site)| self.refusal(site, label).is_some()).map(|(key, ..)| key);
        let on_its_way = state.moving().into_iter().filter(|file| moving && self.refusal(&file.to, &file.label).is_some());
        held.chain(on_its_way.map(|file| file.key)).collect()
    }
}
