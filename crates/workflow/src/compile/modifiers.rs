//! What may be said of every node, whatever it does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::graph::{Cache, Needs, Retry, Undo};
use model::limits::RETRY_ATTEMPTS_MAX;
use model::resources::Resources;
use model::{Duration, Label, Node, NodeKind, Template};
use serde_json::Value;

use crate::Diagnostic;
use crate::check::Environment;
use crate::fields::Fields;
use crate::source::{Data, Tree};

use super::{Compiler, Names};

/// Modifiers that say nothing about a kind, and what to do instead.
pub(crate) const IDLE: &[(&str, &[&str], &str)] = &[
    ("workflow", &["retry", "needs", "lowers"], "say it of the nodes of that workflow: they are what is repeated and placed"),
    ("workflow", &["outputs"], "its outputs and their types are those of that workflow"),
    ("human", &["with"], "what the person sees stands in `show`"),
    ("human", &["retry", "cache", "needs", "lowers"], "a person is asked once, and nothing is placed: remove it"),
    ("human", &["outputs"], "its outputs are the fields of `form`"),
    ("wait", &["with"], "what is waited for stands in `wait`"),
    ("wait", &["retry", "cache", "needs", "lowers"], "nothing is run and nothing is placed: remove it"),
    ("each", &["with"], "say it of the node in `do`"),
    ("each", &["retry", "cache", "needs", "lowers", "outputs"], "say it of the node in `do`: it holds for every item"),
    ("decide", &["with"], "what decides stands in `when`"),
    (
        "decide",
        &["retry", "cache", "needs", "lowers", "outputs", "timeout", "once", "undo"],
        "it chooses and does nothing else: remove it",
    ),
];

impl Compiler<'_> {
    pub(crate) fn modifiers(&self, fields: &Fields<'_>, node: &mut Node, environment: &Environment, refs: &mut Vec<String>) {
        if let Some(tree) = fields.get("if") {
            node.condition = self.condition(tree, environment, refs);
        }
        if let Some(tree) = fields.get("once") {
            self.check_template(tree, environment, refs);
            node.once = Some(Template::new(tree.to_value()));
        }
        let default = match &node.kind {
            NodeKind::Run { .. } => Resources { cpu_millis: 1000, memory_bytes: 256 << 20, ..Resources::default() },
            // What its program says.
            NodeKind::Task { name } => self.catalogue.task(name).map(|found| found.resources).unwrap_or_default(),
            _ => Resources::default(),
        };
        node.needs = self.needs(fields.get("needs"), default);
        node.retry = self.retry(fields.get("retry"));
        node.timeout = fields.duration("timeout");
        node.cache = self.cache(fields.get("cache"));
        node.lowers = self.lowers(fields.get("lowers"));
        node.outputs = self.ports(fields.get("outputs"), "outputs", false);
        node.carries = self.carries(node);
        node.undo = fields.get("undo").and_then(|tree| self.undo(tree, &node.id, environment, refs));
    }

    /// Refuses what says nothing about a node of a kind: a field that is taken and does nothing would be worse.
    pub(crate) fn refuse_idle(&self, kind: &str, fields: &Fields<'_>, inside_each: bool) {
        let idle = IDLE
            .iter()
            .filter(|(known, ..)| *known == kind)
            .flat_map(|(_, keys, hint)| keys.iter().map(move |key| (*key, *hint)));
        let after = inside_each.then_some(("after", "the items of an `each` run side by side: say it of the node itself"));
        for (key, hint) in idle.chain(after) {
            let Some((key, _)) = fields.tree.entry(key) else { continue };
            let place = if inside_each { "within `each`" } else { "here" };
            let message = format!("`{}` of `{kind}` says nothing {place}", key.text);
            self.findings.push(Diagnostic::error("W0107", key.span.clone(), message).hint(hint));
        }
    }

    pub(crate) fn needs(&self, tree: Option<&Tree>, default: Resources) -> Needs {
        let Some(tree) = tree else { return Needs { resources: default, ..Needs::default() } };
        let known = ["cpu", "memory", "gpu", "disk", "site"];
        let Some(fields) = Fields::of(tree, "`needs`", &known, self.findings) else { return Needs::default() };
        let resources = Resources {
            cpu_millis: fields.cpu("cpu").unwrap_or(default.cpu_millis),
            memory_bytes: fields.bytes("memory").unwrap_or(default.memory_bytes),
            gpus: fields.count("gpu").map_or(default.gpus, |count| u32::try_from(count).unwrap_or(u32::MAX)),
            disk_bytes: fields.bytes("disk").unwrap_or(default.disk_bytes),
        };
        Needs { resources, site: self.texts_by_key(fields.get("site"), "`needs.site`") }
    }

    fn texts_by_key(&self, tree: Option<&Tree>, what: &str) -> BTreeMap<String, String> {
        let Some(tree) = tree else { return BTreeMap::new() };
        let Data::Map(fields) = &tree.data else {
            self.findings.error("W0103", &tree.span, format!("{what} has to be a map, and this is {}", tree.kind()));
            return BTreeMap::new();
        };
        let mut texts = BTreeMap::new();
        for (key, value) in fields {
            match &value.data {
                Data::Scalar(Value::String(text)) => drop(texts.insert(key.text.clone(), text.clone())),
                Data::Scalar(other) if !other.is_null() => drop(texts.insert(key.text.clone(), other.to_string())),
                _ => self.findings.error("W0103", &value.span, format!("`{}` of {what} has to be a text", key.text)),
            }
        }
        texts
    }

    /// The tags that the output of a node carries because the node or its connector says so.
    fn carries(&self, node: &Node) -> BTreeMap<String, BTreeSet<String>> {
        let mut carries: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut add = |field: &str, label: Label| {
            if !label.is_empty() {
                carries.entry(field.to_owned()).or_default().extend(label.0);
            }
        };
        for port in &node.outputs {
            add(&port.name, Label::of_schema(&port.schema));
        }
        if let NodeKind::Use { connector, version } = &node.kind
            && let Some(Value::Object(schema)) = self.catalogue.connector(connector, *version).map(|found| found.outputs)
        {
            for (key, part) in &schema {
                match (key.as_str(), part) {
                    ("properties", Value::Object(fields)) => {
                        fields.iter().for_each(|(field, schema)| add(field, Label::of_schema(schema)));
                    }
                    ("labels", tags) => add("", Label::of_schema(&serde_json::json!({ "labels": tags }))),
                    (_, part) => add("", Label::of_schema(part)),
                }
            }
        }
        carries
    }

    fn lowers(&self, tree: Option<&Tree>) -> BTreeMap<String, String> {
        self.texts_by_key(tree, "`lowers`")
    }

    pub(crate) fn retry(&self, tree: Option<&Tree>) -> Retry {
        let mut retry = Retry::default();
        let Some(tree) = tree else { return retry };
        if let Data::Scalar(Value::Number(number)) = &tree.data {
            retry.max = self.retry_count(number.as_u64(), tree);
            return retry;
        }
        let Some(fields) = Fields::of(tree, "`retry`", &["max", "backoff"], self.findings) else { return retry };
        if let Some(max) = fields.get("max") {
            retry.max = self.retry_count(fields.count("max"), max);
        }
        let Some(backoff) = fields.get("backoff") else { return retry };
        let text = backoff.as_str().unwrap_or_default();
        let (min, max) = text.split_once("..").unwrap_or((text, text));
        match (min.parse::<Duration>(), max.parse::<Duration>()) {
            (Ok(min), Ok(max)) if min <= max => (retry.backoff_min, retry.backoff_max) = (min, max),
            (Ok(_), Ok(_)) => self.findings.error("W0104", &backoff.span, "`backoff` ends before it begins"),
            _ => self.findings.error("W0104", &backoff.span, "`backoff` has to be a span such as `10s..5m`, or one duration"),
        }
        retry
    }

    fn retry_count(&self, count: Option<u64>, tree: &Tree) -> u32 {
        match count {
            Some(count) if count <= u64::from(RETRY_ATTEMPTS_MAX) => count as u32,
            _ => {
                self.findings.error("W0104", &tree.span, format!("`retry` is a whole number from 0 to {RETRY_ATTEMPTS_MAX}"));
                0
            }
        }
    }

    fn cache(&self, tree: Option<&Tree>) -> Option<Cache> {
        let tree = tree?;
        match &tree.data {
            Data::Scalar(Value::Bool(true)) => Some(Cache::default()),
            Data::Scalar(Value::Bool(false)) => None,
            _ => {
                let fields = Fields::of(tree, "`cache`", &["ttl", "version"], self.findings)?;
                let version = fields.get("version").map(|tree| match tree.to_value() {
                    Value::String(text) => text,
                    other => other.to_string(),
                });
                Some(Cache { ttl: fields.duration("ttl"), version: version.unwrap_or_default(), given: None })
            }
        }
    }

    fn undo(&self, tree: &Tree, id: &str, environment: &Environment, refs: &mut Vec<String>) -> Option<Arc<Undo>> {
        let known = ["use", "run", "with", "needs", "retry", "timeout"];
        let fields = Fields::of(tree, "`undo`", &known, self.findings)?;
        let kind = match (fields.get("use"), fields.get("run")) {
            (Some(_), None) => "use",
            (None, Some(_)) => "run",
            _ => {
                self.findings.error("W0106", &tree.span, "`undo` has to have either `use` or `run`");
                return None;
            }
        };
        let mut node = Node::default();
        let mut own = Vec::new();
        self.kind(kind, &fields, &mut node, environment, &Names::default(), &mut own);
        // It runs after the node: its own output is there to be seen.
        own.retain(|name| name != id);
        refs.extend(own);
        let default = if kind == "run" {
            Resources { cpu_millis: 1000, memory_bytes: 256 << 20, ..Resources::default() }
        } else {
            Resources::default()
        };
        Some(Arc::new(Undo {
            kind: node.kind,
            input: node.input,
            needs: self.needs(fields.get("needs"), default),
            retry: self.retry(fields.get("retry")),
            timeout: fields.duration("timeout"),
        }))
    }
}
