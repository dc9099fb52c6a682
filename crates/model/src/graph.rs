//! The checked graph of a workflow: what the language compiles to and what the engine runs.
//!
//! Edges are indices into [`Graph::nodes`]. A graph is immutable and named by its digest; the engine never looks at the text
//! it came from.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use crate::{Digest, Duration, Money, Resources, Template};

/// The index of a node within its graph.
pub type NodeIx = u32;

/// A checked workflow.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Graph {
    /// The name, `project/name` or `name`.
    pub workflow: String,
    /// What it is for (`description:`).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// What a run takes, in the order written.
    #[serde(default)]
    pub inputs: Vec<Port>,
    /// The nodes, in the order written.
    pub nodes: Vec<Node>,
    /// What a run gives back: an object whose values may hold expressions.
    #[serde(default)]
    pub outputs: Template,
    /// What happens to work in flight when a node fails for good.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// The longest a run may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// When a run should be done, and what lateness costs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Deadline>,
}

/// When a run should be done. Nothing is stopped when that passes; places are chosen so that it does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Deadline {
    /// From its acceptance.
    pub within: Duration,
    /// What an hour of lateness costs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late_per_hour: Option<Money>,
    /// What being late at all costs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late_fee: Option<Money>,
}

/// A named, typed input or output.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Port {
    /// The name.
    pub name: String,
    /// JSON Schema 2020-12, with `labels: [...]` on any sub-schema and `type: artifact` (also `file`, `directory`, `table`,
    /// `model`) for artifacts. `{}` takes anything.
    pub schema: Value,
    /// The value when none is given. Without a default an input is required; `null` is a default too.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    pub default: Option<Value>,
}

/// A value that is there, were it `null`: serde takes that for none otherwise.
fn given<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Value>, D::Error> {
    serde::Deserialize::deserialize(from).map(Some)
}

/// What happens to work in flight when a node fails for good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// It is cancelled, then compensation runs. The default: work whose result nobody will use costs money.
    #[default]
    Cancel,
    /// It ends by itself; nothing new is opened; then compensation runs.
    Finish,
}

/// A node of a workflow.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Node {
    /// Its id, unique within the graph.
    pub id: String,
    /// What it does.
    pub kind: NodeKind,
    /// What it is given; the shape by kind is described at [`NodeKind`].
    #[serde(default)]
    pub input: Template,
    /// `if`: the source of a CEL expression that gives a boolean, without `${}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// Nodes whose outputs this one's expressions refer to (`with`, `if`, `once`, the body of an `each`, …). A skipped one
    /// skips this node too, unless it has a condition, which then sees null.
    #[serde(default)]
    pub refs: Vec<NodeIx>,
    /// `after`: nodes that must have ended well or been skipped first.
    #[serde(default)]
    pub after: Vec<NodeIx>,
    /// `decide` nodes that name this one in a branch: it runs only when each of them that was not skipped chose it.
    #[serde(default)]
    pub chosen_by: Vec<NodeIx>,
    /// `needs`: what it takes to run it.
    #[serde(default)]
    pub needs: Needs,
    /// `retry`.
    #[serde(default)]
    pub retry: Retry,
    /// `timeout`: of one attempt; of the whole for a human decision or a wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// How long each attempt may wait for a place. Tasks of Flyte programs have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_timeout: Option<Duration>,
    /// How long it may take over all attempts and the pauses between them. Tasks of Flyte programs have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_timeout: Option<Duration>,
    /// `cache`: reuse the output of an equal earlier action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<Cache>,
    /// `undo`: what reverses it when the run fails or is cancelled later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<Arc<Undo>>,
    /// `once`: a template that gives the idempotency key. Two actions with the same key in one project run once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub once: Option<Template>,
    /// `lowers`: tags this node is meant to take off, and what each becomes. Policy decides whether it may.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lowers: BTreeMap<String, String>,
    /// Tags that its output carries because it or its connector says so: by field, or of the whole under an empty name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub carries: BTreeMap<String, BTreeSet<String>>,
    /// `outputs`: the types of what it gives back; empty takes anything.
    #[serde(default)]
    pub outputs: Vec<Port>,
}

/// What a node does, and the shape of its rendered input.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeKind {
    /// `use: connector@version`. Input: the `with` object.
    Use {
        /// `namespace/action`, for example `core/http`.
        connector: String,
        /// Its major version.
        version: u32,
    },
    /// `run:` a command or a script in a process of its own.
    /// Input: `{"command": [text…] | "script": text, "interpreter": [text…], "env": {…}, "with": {…}}`.
    Run {
        /// A container image or the name of an environment of the site.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        image: Option<String>,
        /// Files of the workflow's folder that the command needs, by path relative to it.
        #[serde(default)]
        code: Vec<CodeFile>,
    },
    /// `task:` a registered Flyte task. Input: the `with` object.
    Task {
        /// The task's name.
        name: String,
    },
    /// `workflow:` a sub-workflow, pinned when the workflow was registered. Input: the `with` object, its inputs.
    Workflow {
        /// The sub-workflow.
        graph: Arc<Graph>,
    },
    /// `human:` a decision of a person.
    /// Input: `{"title", "assign": {"users", "groups", "then": [{"after", "users", "groups"}]}, "show", "form", "second"}`.
    /// Output: the form's fields, `decision`, `by`, `at` and, with a second person, `second_by`.
    Human,
    /// `wait:` for time, an event or a signal.
    /// Input: `{"for": duration}`, `{"until": RFC 3339}`, `{"event": name, "match": {…}}` or `{"signal": name}`.
    /// Output: `{"at"}` for time, the payload of the event or signal otherwise.
    Wait,
    /// `each:` one node for every item of a list. Input: `{"items": list}`. Output: the list of outputs in the same order
    /// (null where the body was skipped or failed under `on_failure: continue`).
    Each {
        /// What runs for each item, with `item` and `index` in scope. Its `refs` are those of the `each` node.
        body: Arc<Node>,
        /// How many run at once.
        concurrency: u32,
        /// Whether the rest goes on when an item fails.
        go_on: bool,
    },
    /// `decide:` the first branch whose condition holds. Input: null. Output: `{"branch": name}`.
    Decide {
        /// The branches, in order.
        branches: Vec<Branch>,
    },
}

impl Default for NodeKind {
    fn default() -> Self {
        NodeKind::Use { connector: "core/noop".into(), version: 1 }
    }
}

impl NodeKind {
    /// The key that names the kind in a workflow file.
    pub fn as_str(&self) -> &'static str {
        match self {
            NodeKind::Use { .. } => "use",
            NodeKind::Run { .. } => "run",
            NodeKind::Task { .. } => "task",
            NodeKind::Workflow { .. } => "workflow",
            NodeKind::Human => "human",
            NodeKind::Wait => "wait",
            NodeKind::Each { .. } => "each",
            NodeKind::Decide { .. } => "decide",
        }
    }

    /// What runs, for people, placers and policies: the connector with its version, the task, or the kind.
    pub fn work(&self) -> String {
        match self {
            NodeKind::Use { connector, version } => format!("{connector}@{version}"),
            NodeKind::Task { name } => name.clone(),
            other => other.as_str().to_owned(),
        }
    }

    /// Whether it takes a place on a site: only these have attempts.
    pub fn is_placed(&self) -> bool {
        matches!(self, NodeKind::Use { .. } | NodeKind::Run { .. } | NodeKind::Task { .. })
    }
}

/// A file that comes with the workflow.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct CodeFile {
    /// Its path relative to the workflow file, `/`-separated, without `..`.
    pub path: String,
    /// Its content.
    pub digest: Digest,
    /// Bytes of it.
    pub size: u64,
}

/// A branch of a `decide` node.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Branch {
    /// Its name: the first target's id unless written.
    pub name: String,
    /// The source of a CEL expression that gives a boolean; none for `otherwise`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// The nodes that run when it is chosen.
    pub then: Vec<NodeIx>,
}

/// What it takes to run a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Needs {
    /// Amounts of capacity.
    pub resources: Resources,
    /// Attributes that the site must have (`needs: {site: {zone: on-premise}}`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub site: BTreeMap<String, String>,
}

impl Needs {
    /// The first attribute that a site with these does not have as it has to be, and what it has to be.
    pub fn unmet(&self, attributes: &BTreeMap<String, String>) -> Option<(&String, &String)> {
        self.site.iter().find(|(name, wanted)| attributes.get(*name) != Some(*wanted))
    }
}

/// How often and when a failed attempt is repeated.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Retry {
    /// Repeats after the first attempt.
    pub max: u32,
    /// The pause before the first repeat; it doubles with each.
    pub backoff_min: Duration,
    /// The longest pause.
    pub backoff_max: Duration,
    /// By how much each pause is longer than the one before, in percent, where whoever asked says that: then pauses are as long as that makes them.
    /// Otherwise they double, and a random part between half and all of it is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub growth_percent: Option<u32>,
}

impl Default for Retry {
    fn default() -> Self {
        Retry { max: 0, backoff_min: Duration::from_secs(1), backoff_max: Duration::from_secs(300), growth_percent: None }
    }
}

/// How the output of an equal earlier action is reused. Equal: same node definition (semantic), same input, same version.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Cache {
    /// How long an output stays good; none is as long as it is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Duration>,
    /// Changed by hand to make earlier outputs stale.
    #[serde(default)]
    pub version: String,
    /// The key instead of all that, where whoever starts the run knows it: a template that gives `{key, once, max_age_us}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given: Option<Template>,
}

/// What reverses a node.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Undo {
    /// What it does: `use` or `run`.
    pub kind: NodeKind,
    /// Its input, rendered with the outputs of the run so far, the node's own included.
    pub input: Template,
    /// Its needs.
    #[serde(default)]
    pub needs: Needs,
    /// Its retries.
    #[serde(default)]
    pub retry: Retry,
    /// The timeout of one attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
}

impl Node {
    /// What the node is, apart from what it is given: the command with its files, or the connector's action with what is fixed of its
    /// `with`. None when what runs is itself made by an expression: nobody can vouch for that. A sanitizer is pinned by it.
    pub fn identity(&self) -> Option<Digest> {
        let what = match &self.kind {
            NodeKind::Run { image, code } => {
                let mut fixed = self.input.json.clone();
                if let Some(fields) = fixed.as_object_mut() {
                    fields.shift_remove("with");
                }
                if is_dynamic(&fixed) {
                    return None;
                }
                serde_json::json!({ "run": sorted(&fixed), "image": image, "code": code })
            }
            NodeKind::Use { connector, version } => {
                serde_json::json!({ "use": connector, "version": version, "with": sorted(&fixed_parts(&self.input.json)) })
            }
            _ => return None,
        };
        Some(Digest::of(what.to_string().as_bytes()))
    }
}

/// Whether an expression stands anywhere in a value.
fn is_dynamic(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains("${"),
        Value::Array(items) => items.iter().any(is_dynamic),
        Value::Object(fields) => fields.values().any(is_dynamic),
        _ => false,
    }
}

/// A value with null in place of its expressions.
fn fixed_parts(value: &Value) -> Value {
    match value {
        Value::String(text) if text.contains("${") => Value::Null,
        Value::Array(items) => Value::Array(items.iter().map(fixed_parts).collect()),
        Value::Object(fields) => Value::Object(fields.iter().map(|(key, field)| (key.clone(), fixed_parts(field))).collect()),
        other => other.clone(),
    }
}

/// A value with its keys in order.
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

impl Graph {
    /// The digest that names the graph: over its canonical JSON (keys sorted). Comments and layout have no part in it; the
    /// order in which nodes were written has, since it numbers them (the language's semantic hash is blind to that too).
    pub fn digest(&self) -> Digest {
        let json = serde_json::to_value(self).unwrap_or(Value::Null);
        Digest::of(sorted(&json).to_string().as_bytes())
    }

    /// The index of the node with this id.
    pub fn find(&self, id: &str) -> Option<NodeIx> {
        self.nodes.iter().position(|node| node.id == id).map(|index| index as NodeIx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_of_null_is_a_default() {
        for default in [None, Some(Value::Null), Some(Value::from(3))] {
            let port = Port { name: "x".into(), schema: Value::Object(serde_json::Map::new()), default };
            let text = serde_json::to_string(&port).unwrap();
            assert_eq!(serde_json::from_str::<Port>(&text).unwrap(), port, "{text}");
        }
    }
    use serde_json::json;

    fn run(input: Value, digest: &[u8]) -> Node {
        let code = vec![CodeFile { path: "a.py".into(), digest: Digest::of(digest), size: 1 }];
        Node { kind: NodeKind::Run { image: None, code }, input: Template::new(input), ..Node::default() }
    }

    #[test]
    fn what_a_node_is_hangs_on_its_code_and_not_on_what_it_is_given() {
        let one = run(json!({"command": ["python", "a.py"], "with": {"x": "${ inputs.x }"}}), b"code");
        let other = run(json!({"with": {"y": 1}, "command": ["python", "a.py"]}), b"code");
        assert_eq!(one.identity(), other.identity());
        assert_ne!(one.identity(), run(json!({"command": ["python", "a.py"]}), b"other code").identity());
        assert_ne!(one.identity(), run(json!({"command": ["python", "a.py", "--all"]}), b"code").identity());
        assert_eq!(run(json!({"command": ["python", "${ inputs.x }"]}), b"code").identity(), None);
    }

    #[test]
    fn settings_of_a_connector_are_part_of_what_it_is() {
        let of = |with: Value| Node { input: Template::new(with), ..Node::default() }.identity();
        assert_eq!(
            of(json!({"profile": "basic", "study": "${ inputs.a }"})),
            of(json!({"study": "${ inputs.b }", "profile": "basic"}))
        );
        assert_ne!(of(json!({"profile": "basic"})), of(json!({"profile": "none"})));
    }
}
