//! From the tree of a workflow file to its graph.

mod graph_check;
mod kinds;
mod modifiers;
mod node;
mod outputs;
mod pasting;
mod schemas;
mod scope;
mod subs;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use scope::scope;

use model::graph::{Deadline, OnFailure, Port};
use model::limits::{FINDINGS_MAX, WORKFLOW_NODES_MAX};
use model::{Graph, Money, NodeIx, Template};
use serde_json::Value;

use crate::check::Environment;
use crate::fields::{Fields, Findings};
use crate::source::{Data, Tree, parse};
use crate::suggest::nearest;
use crate::types::Type;
use crate::{Catalogue, Diagnostic, Files};

/// What became of a workflow file.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The graph; none when there are errors.
    pub graph: Option<Arc<Graph>>,
    /// Errors and warnings, in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
}

/// Compiles the text of a workflow file with one document.
pub fn compile(text: &str, files: &dyn Files, catalogue: &dyn Catalogue) -> Compiled {
    let (trees, mut diagnostics) = parse(text);
    let broken = !diagnostics.is_empty();
    match trees.as_slice() {
        [tree] if !broken => compile_document(tree, text, files, catalogue),
        [] if !broken => {
            diagnostics.push(Diagnostic::error("W0102", 0..0, "the file is empty").hint("begin with `workflow: project/name`"));
            Compiled { graph: None, diagnostics }
        }
        [_, second, ..] if !broken => {
            diagnostics.push(Diagnostic::error("W0104", second.span.clone(), "a workflow file has one document"));
            Compiled { graph: None, diagnostics }
        }
        _ => Compiled { graph: None, diagnostics },
    }
}

/// Compiles one document.
pub fn compile_document(tree: &Tree, text: &str, files: &dyn Files, catalogue: &dyn Catalogue) -> Compiled {
    compile_within(tree, text, files, catalogue, &subs::Subs::default())
}

/// Compiles one document as a part of others.
pub(crate) fn compile_within(
    tree: &Tree,
    text: &str,
    files: &dyn Files,
    catalogue: &dyn Catalogue,
    subs: &subs::Subs,
) -> Compiled {
    let findings = Findings::default();
    let compiler =
        Compiler { text, files, catalogue, findings: &findings, written: BTreeMap::new(), types: BTreeMap::new(), subs };
    let graph = compiler.workflow(tree);
    let failed = findings.has_errors();
    let mut diagnostics: Vec<Diagnostic> = findings.into_inner().into_iter().map(|finding| finding.inside(text)).collect();
    diagnostics.sort_by_key(|finding| (finding.span.start, finding.code));
    diagnostics.dedup();
    if diagnostics.len() > FINDINGS_MAX {
        diagnostics.sort_by_key(|finding| finding.severity == crate::Severity::Warning);
        diagnostics.truncate(FINDINGS_MAX);
        diagnostics.sort_by_key(|finding| (finding.span.start, finding.code));
    }
    Compiled { graph: graph.filter(|_| !failed).map(Arc::new), diagnostics }
}

/// What a document runs that says so as a node does, with `run` or `use` and `with`: its identity, and the same for people.
pub(crate) fn what_runs(
    fields: &Fields<'_>,
    text: &str,
    files: &dyn Files,
    catalogue: &dyn Catalogue,
    findings: &Findings,
) -> Option<(model::Digest, String)> {
    let start = fields.tree.span.start;
    let subs = subs::Subs::default();
    let written = BTreeMap::new();
    let compiler = Compiler { text, files, catalogue, findings, written, types: BTreeMap::new(), subs: &subs };
    let kind = match (fields.get("run"), fields.get("use")) {
        (Some(_), None) => "run",
        (None, Some(_)) => "use",
        _ => {
            findings.error("W0106", &(start..start + 1), "it has to say what it is: either `run` or `use`");
            return None;
        }
    };
    let mut node = model::Node::default();
    // Only what is given by `with` may hold expressions, and what they would read is not known here.
    let open = ["inputs", "nodes", "item", "run"].map(|name| (name.to_owned(), Type::Any));
    let environment = Environment { names: BTreeMap::from(open) };
    compiler.kind(kind, fields, &mut node, &environment, &Names::default(), &mut Vec::new());
    let Some(identity) = node.identity() else {
        let finding =
            Diagnostic::error("W0104", start..start + 1, "what it runs is made by an expression, so that it is not fixed");
        findings.push(finding.hint("write the command out; what changes goes into `with`"));
        return None;
    };
    let runs = match &node.kind {
        model::NodeKind::Use { connector, version } => format!("{connector}@{version}"),
        _ => match node.input.json.get("command").and_then(Value::as_array) {
            Some(words) => words.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
            None => "a script".into(),
        },
    };
    Some((identity, runs))
}

/// The ids of the nodes of a file, in the order written.
#[derive(Default)]
pub(crate) struct Names {
    ids: Vec<String>,
    by_id: BTreeMap<String, NodeIx>,
}

impl Names {
    fn new(ids: Vec<String>) -> Names {
        let by_id = ids.iter().enumerate().map(|(index, id)| (id.clone(), index as NodeIx)).collect();
        Names { ids, by_id }
    }

    pub(crate) fn index(&self, id: &str) -> Option<NodeIx> {
        self.by_id.get(id).copied()
    }

    pub(crate) fn id(&self, index: NodeIx) -> Option<&str> {
        self.ids.get(index as usize).map(String::as_str)
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = &str> {
        self.ids.iter().map(String::as_str)
    }
}

pub(crate) struct Compiler<'c> {
    pub(crate) text: &'c str,
    pub(crate) files: &'c dyn Files,
    pub(crate) catalogue: &'c dyn Catalogue,
    pub(crate) findings: &'c Findings,
    /// `types:` of the file, as they are written.
    pub(crate) written: BTreeMap<&'c str, &'c Tree>,
    /// `types:` of the file, as far as they were read.
    pub(crate) types: BTreeMap<String, Value>,
    /// Files of sub-workflows, each read once.
    pub(crate) subs: &'c subs::Subs,
}

const TOP: [&str; 10] =
    ["workflow", "description", "inputs", "types", "nodes", "outputs", "timeout", "deadline", "on_failure", "layout"];

impl<'c> Compiler<'c> {
    fn workflow(mut self, tree: &'c Tree) -> Option<Graph> {
        let fields = Fields::of(tree, "a workflow", &TOP, self.findings)?;
        let workflow = fields.needed_name("workflow", "a workflow file").unwrap_or_default();
        self.read_types(&fields);
        let inputs = self.ports(fields.get("inputs"), "inputs", true);
        let names = self.node_names(&fields)?;
        let mut graph = Graph {
            workflow,
            description: fields.text("description").unwrap_or_default(),
            timeout: fields.duration("timeout"),
            deadline: self.deadline(&fields),
            on_failure: self.on_failure(&fields),
            inputs,
            ..Graph::default()
        };
        let environment = self.environment(&graph, fields.get("nodes"));
        let Some(Tree { data: Data::Map(nodes), .. }) = fields.get("nodes") else { return Some(graph) };
        for (key, value) in nodes {
            if self.findings.full() {
                return Some(graph);
            }
            graph.nodes.push(self.node(&key.text, &key.span, value, &environment, &names));
        }
        self.resolve_decisions(&mut graph, nodes, &names);
        self.check_cycles(&graph, nodes);
        if let Some(outputs) = fields.get("outputs") {
            self.check_template(outputs, &environment, &mut Vec::new());
            graph.outputs = Template::new(outputs.to_value());
            if !matches!(outputs.data, Data::Map(_)) {
                self.findings.error("W0103", &outputs.span, format!("`outputs` has to be a map, and this is {}", outputs.kind()));
            }
        }
        self.check_layout(fields.get("layout"), &names);
        Some(graph)
    }

    /// `deadline: 2h`, or `deadline: {within: 2h, late_per_hour: 5, late_fee: 20}`.
    fn deadline(&self, fields: &Fields<'_>) -> Option<Deadline> {
        let tree = fields.get("deadline")?;
        if !matches!(tree.data, Data::Map(_)) {
            return fields.duration("deadline").map(|within| Deadline { within, late_per_hour: None, late_fee: None });
        }
        let known = ["within", "late_per_hour", "late_fee"];
        let inner = Fields::of(tree, "`deadline`", &known, self.findings)?;
        let money = |key: &str| {
            let tree = inner.get(key)?;
            let amount = tree.to_value().as_f64().filter(|amount| (0.0..1e9).contains(amount));
            if amount.is_none() {
                self.findings.error("W0104", &tree.span, format!("`{key}` has to be an amount of money such as 12.5"));
            }
            amount.map(Money::from_units)
        };
        let (late_per_hour, late_fee) = (money("late_per_hour"), money("late_fee"));
        match inner.duration("within") {
            Some(within) => Some(Deadline { within, late_per_hour, late_fee }),
            None => {
                self.findings.error("W0102", &tree.span, "`deadline` needs `within`");
                None
            }
        }
    }

    fn on_failure(&self, fields: &Fields<'_>) -> OnFailure {
        match fields.text("on_failure").as_deref() {
            None | Some("cancel") => OnFailure::Cancel,
            Some("finish") => OnFailure::Finish,
            Some(other) => {
                let span = fields.get("on_failure").map_or(0..0, |tree| tree.span.clone());
                self.findings.error("W0104", &span, format!("`on_failure` is cancel or finish, not `{other}`"));
                OnFailure::Cancel
            }
        }
    }

    /// The ids of the nodes, in the order written.
    fn node_names(&self, fields: &Fields<'_>) -> Option<Names> {
        let Some(tree) = fields.get("nodes") else {
            self.findings.error("W0102", &(0..1), "a workflow needs `nodes`");
            return None;
        };
        let Data::Map(nodes) = &tree.data else {
            self.findings.error("W0103", &tree.span, format!("`nodes` has to be a map, and this is {}", tree.kind()));
            return None;
        };
        if nodes.len() > WORKFLOW_NODES_MAX {
            let message = format!("the workflow has {} nodes; at most {WORKFLOW_NODES_MAX} are allowed", nodes.len());
            self.findings.push(
                Diagnostic::error("W0001", tree.span.start..tree.span.start + 1, message).hint("use `each`, or sub-workflows"),
            );
            return None;
        }
        for (key, _) in nodes {
            if !crate::is_name(&key.text) {
                let message =
                    format!("`{}` is not a name: letters, digits, `-` and `_`, beginning with a letter, at most 63", key.text);
                self.findings.error("W0105", &key.span, message);
            }
        }
        Some(Names::new(nodes.iter().map(|(key, _)| key.text.clone()).collect()))
    }

    /// What expressions of the file see. Outputs of nodes are read ahead, so that a node may be written before what it refers to.
    fn environment(&self, graph: &Graph, nodes: Option<&Tree>) -> Environment {
        let inputs = graph.inputs.iter().map(|port| (port.name.clone(), Type::of_schema(&port.schema)));
        let run = ["name", "project", "domain", "workflow"].map(|name| (name.to_owned(), Type::Text));
        let nodes = match nodes.map(|tree| &tree.data) {
            Some(Data::Map(nodes)) => nodes.iter().map(|(key, node)| (key.text.clone(), self.output(node))).collect(),
            _ => BTreeMap::new(),
        };
        Environment {
            names: BTreeMap::from([
                ("inputs".to_owned(), Type::object(inputs, false)),
                ("run".to_owned(), Type::object(run, true)),
                ("nodes".to_owned(), Type::object(nodes, false)),
            ]),
        }
    }

    /// Named, typed ports. A type may be written as its name alone.
    pub(crate) fn ports(&self, tree: Option<&Tree>, what: &str, defaults: bool) -> Vec<Port> {
        let Some(tree) = tree else { return Vec::new() };
        let Data::Map(fields) = &tree.data else {
            self.findings.error("W0103", &tree.span, format!("`{what}` has to be a map, and this is {}", tree.kind()));
            return Vec::new();
        };
        let port = |(key, value): &(crate::source::Key, Tree)| {
            let mut schema = self.schema(value);
            let default = schema.as_object_mut().and_then(|fields| fields.remove("default"));
            if default.is_some() && !defaults {
                self.findings.error("W0104", &value.span, "an output has no default");
            }
            if let Some(default) = &default
                && !Type::of_value(default).fits(&Type::of_schema(&schema))
            {
                let wanted = Type::of_schema(&schema).name();
                self.findings.error("W0104", &value.span, format!("the default of `{}` is not {wanted}", key.text));
            }
            Port { name: key.text.clone(), schema, default }
        };
        fields.iter().map(port).collect()
    }

    /// A file beside the workflow.
    pub(crate) fn file(&self, path: &str, tree: &Tree) -> Option<Arc<[u8]>> {
        let relative = path.strip_prefix("./").unwrap_or(path);
        if !crate::is_relative_path(relative) {
            let message = format!("`{path}` does not stay in the folder of the workflow");
            self.findings.push(Diagnostic::error("W0205", tree.span.clone(), message).hint("put the file beside the workflow"));
            return None;
        }
        let found = self.files.read(relative);
        if found.is_none() {
            let mut finding =
                Diagnostic::error("W0205", tree.span.clone(), format!("there is no file `{relative}` beside the workflow"));
            let paths = self.files.paths();
            finding.hint = nearest(relative, paths.iter().map(String::as_str)).map(|near| format!("did you mean `{near}`?"));
            self.findings.push(finding);
        }
        found
    }

    fn check_layout(&self, tree: Option<&Tree>, names: &Names) {
        let Some(tree) = tree else { return };
        let Data::Map(pins) = &tree.data else {
            self.findings.error("W0103", &tree.span, format!("`layout` has to be a map, and this is {}", tree.kind()));
            return;
        };
        for (key, value) in pins {
            if names.index(&key.text).is_none() {
                self.findings.push(Diagnostic::warning(
                    "W0201",
                    key.span.clone(),
                    format!("there is no node `{}` to pin", key.text),
                ));
            }
            let point = matches!(&value.data, Data::List(items) if items.len() == 2 && items.iter().all(|item| item.kind() == "a number"));
            if !point {
                self.findings.error("W0103", &value.span, "a pin is two numbers: `[x, y]`");
            }
        }
    }
}
