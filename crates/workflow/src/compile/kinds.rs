//! What nodes do: the eight kinds, and the shape of their rendered input (`model::graph::NodeKind`).

use std::sync::Arc;

use model::graph::{Branch, CodeFile, NodeKind};
use model::limits::EACH_ITEMS_MAX;
use model::{Digest, Node, Template};
use serde_json::{Map, Value, json};

use crate::Diagnostic;
use crate::check::Environment;
use crate::fields::Fields;
use crate::source::{Data, Tree};
use crate::types::Type;

use super::{Compiler, Names};

/// The keys that name a kind.
pub(crate) const KINDS: [&str; 8] = ["use", "run", "task", "workflow", "human", "wait", "each", "decide"];
/// Items of a map that run at once when nothing is said.
const CONCURRENCY: u32 = 16;

impl Compiler<'_> {
    /// Reads the kind of a node and its input.
    pub(crate) fn kind(
        &self,
        kind: &str,
        fields: &Fields<'_>,
        node: &mut Node,
        environment: &Environment,
        names: &Names,
        refs: &mut Vec<String>,
    ) {
        match kind {
            "use" => self.use_kind(fields, node, environment, refs),
            "run" => self.run_kind(fields, node, environment, refs),
            "task" => self.task_kind(fields, node, environment, refs),
            "workflow" => self.workflow_kind(fields, node, environment, refs),
            "human" => self.human_kind(fields, node, environment, refs),
            "wait" => self.wait_kind(fields, node, environment, refs),
            "each" => self.each_kind(fields, node, environment, names, refs),
            _ => self.decide_kind(fields, node, environment, names, refs),
        }
    }

    fn use_kind(&self, fields: &Fields<'_>, node: &mut Node, environment: &Environment, refs: &mut Vec<String>) {
        let (Some(text), Some(tree)) = (fields.text("use"), fields.get("use")) else { return };
        let (name, version) = text.rsplit_once('@').unwrap_or((&text, "1"));
        let version: u32 = version.parse().unwrap_or_else(|_| {
            self.findings.error("W0104", &tree.span, format!("`{version}` is not a version: write `{name}@1`"));
            1
        });
        let found = self.catalogue.connector(name, version);
        if found.is_none() {
            let mut finding = Diagnostic::error("W0203", tree.span.clone(), format!("there is no connector `{name}@{version}`"));
            let known = self.catalogue.connectors();
            finding.hint = Some(match crate::suggest::nearest(name, known.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there are {}; apply a `kind: connector` document for one of your own", known.join(", ")),
            });
            self.findings.push(finding);
        }
        let wanted = found.map_or(Type::Any, |found| Type::of_schema(&found.inputs));
        node.input = self.template(fields.get("with"), &wanted, &format!("`{name}`"), environment, refs);
        if let Type::Object(..) = wanted
            && let Some(required) =
                self.catalogue.connector(name, version).and_then(|found| found.inputs.get("required").cloned())
        {
            self.check_required(name, required.as_array().map_or(&[], Vec::as_slice), fields, tree);
        }
        node.kind = NodeKind::Use { connector: name.to_owned(), version };
    }

    /// Refuses a `with` in which something is missing. What an expression gives as a whole is not known yet.
    fn check_required(&self, name: &str, required: &[Value], fields: &Fields<'_>, tree: &Tree) {
        let given = fields.get("with").is_some_and(|with| with.as_str().is_some());
        for field in required.iter().filter_map(Value::as_str) {
            if !given && fields.get("with").and_then(|with| with.get(field)).is_none() {
                self.findings.error("W0102", &tree.span, format!("`{name}` needs `{field}` in `with`"));
            }
        }
    }

    fn run_kind(&self, fields: &Fields<'_>, node: &mut Node, environment: &Environment, refs: &mut Vec<String>) {
        let Some(tree) = fields.get("run") else { return };
        let known = ["command", "script", "interpreter", "env", "files", "image"];
        // `run: [program, argument]` is short for a command alone.
        let short = matches!(tree.data, Data::List(_));
        let mut input = Map::new();
        let (mut image, mut code) = (None, Vec::new());
        if short {
            self.command(tree, environment, refs);
            input.insert("command".into(), tree.to_value());
        } else {
            let Some(run) = Fields::of(tree, "`run`", &known, self.findings) else { return };
            match (run.get("command"), run.get("script")) {
                (Some(command), None) => {
                    self.command(command, environment, refs);
                    input.insert("command".into(), command.to_value());
                }
                (None, Some(script)) => {
                    let found = self.check_template(script, environment, refs);
                    if !found.fits(&Type::Text) {
                        self.findings.error(
                            "W0103",
                            &script.span,
                            format!("`script` has to be a text, and this is {}", found.name()),
                        );
                    }
                    self.warn_of_pasting(script, environment);
                    input.insert("script".into(), script.to_value());
                }
                _ => self.findings.error("W0106", &tree.span, "`run` has to have either `command` or `script`"),
            }
            for key in ["interpreter", "env"] {
                if let Some(value) = run.get(key) {
                    self.check_template(value, environment, refs);
                    input.insert(key.into(), value.to_value());
                }
            }
            image = run.text("image");
            code = self.code_files(&run);
        }
        let with = self.template(fields.get("with"), &Type::Any, "`run`", environment, refs);
        if !with.is_null() {
            input.insert("with".into(), with.json);
        }
        node.input = Template::new(Value::Object(input));
        node.kind = NodeKind::Run { image, code };
    }

    fn command(&self, tree: &Tree, environment: &Environment, refs: &mut Vec<String>) {
        match &tree.data {
            Data::List(items) if !items.is_empty() => {
                self.check_template(tree, environment, refs);
                self.warn_of_command(tree, environment);
            }
            _ => {
                let finding =
                    Diagnostic::error("W0103", tree.span.clone(), "a command has to be a list that begins with the program");
                self.findings.push(finding.hint("write `[python, train.py]`; for a line of shell use `script`"));
            }
        }
    }

    /// `files`: names of files beside the workflow; `*` stands for anything but `/`.
    fn code_files(&self, run: &Fields<'_>) -> Vec<CodeFile> {
        let mut code: Vec<CodeFile> = Vec::new();
        let paths = self.files.paths();
        for (pattern, span) in run.texts("files") {
            let pattern = pattern.strip_prefix("./").unwrap_or(&pattern).to_owned();
            if !crate::is_relative_path(&pattern) {
                self.findings.error("W0205", &span, format!("`{pattern}` does not stay in the folder of the workflow"));
                continue;
            }
            let found: Vec<&String> = paths.iter().filter(|path| glob(&pattern, path)).collect();
            if found.is_empty() {
                self.findings.error("W0205", &span, format!("there is no file `{pattern}` beside the workflow"));
            }
            for path in found {
                if let Some(bytes) = self.files.read(path)
                    && code.iter().all(|file| file.path != *path)
                {
                    code.push(CodeFile { path: path.clone(), digest: Digest::of(&bytes), size: bytes.len() as u64 });
                }
            }
        }
        code
    }

    fn task_kind(&self, fields: &Fields<'_>, node: &mut Node, environment: &Environment, refs: &mut Vec<String>) {
        let (Some(name), Some(tree)) = (fields.text("task"), fields.get("task")) else { return };
        let found = self.catalogue.task(&name);
        if found.is_none() && self.catalogue.knows_tasks() {
            let finding = Diagnostic::error("W0204", tree.span.clone(), format!("there is no task `{name}`"));
            self.findings.push(finding.hint("deploy it first: `flyte deploy FILE ENVIRONMENT`"));
        }
        let wanted = found.as_ref().map_or(Type::Any, |found| Type::of_schema(&found.types.inputs));
        node.input = self.template(fields.get("with"), &wanted, &format!("`{name}`"), environment, refs);
        let required = found.as_ref().and_then(|found| found.types.inputs.get("required")?.as_array().cloned());
        self.check_required(&name, required.as_deref().unwrap_or_default(), fields, tree);
        node.kind = NodeKind::Task { name: found.map_or(name, |found| found.name) };
    }

    fn workflow_kind(&self, fields: &Fields<'_>, node: &mut Node, environment: &Environment, refs: &mut Vec<String>) {
        let (Some(name), Some(tree)) = (fields.text("workflow"), fields.get("workflow")) else { return };
        let graph = if is_file(&name) { self.sub_file(&name, tree) } else { self.catalogue.workflow(&name) };
        let Some(graph) = graph else {
            if !is_file(&name) {
                let finding = Diagnostic::error("W0204", tree.span.clone(), format!("there is no workflow `{name}`"));
                self.findings.push(finding.hint("apply it first, or give its file: `./name.workflow.yaml`"));
            }
            return;
        };
        let inputs = graph.inputs.iter().map(|port| (port.name.clone(), Type::of_schema(&port.schema)));
        node.input =
            self.template(fields.get("with"), &Type::object(inputs, false), &format!("`{}`", graph.workflow), environment, refs);
        let given = fields.get("with");
        for port in graph.inputs.iter().filter(|port| port.default.is_none()) {
            if given.is_none_or(|with| with.as_str().is_none() && with.get(&port.name).is_none()) {
                self.findings.error("W0102", &tree.span, format!("`{}` needs the input `{}`", graph.workflow, port.name));
            }
        }
        self.check_depth(&graph, tree);
        node.kind = NodeKind::Workflow { graph };
    }

    fn human_kind(&self, fields: &Fields<'_>, node: &mut Node, environment: &Environment, refs: &mut Vec<String>) {
        let Some(tree) = fields.get("human") else { return };
        let Some(human) = Fields::of(tree, "`human`", &["title", "assign", "show", "form", "second"], self.findings) else {
            return;
        };
        let mut input = Map::new();
        match human.get("title") {
            Some(title) => drop(self.check_template(title, environment, refs)),
            None => self.findings.error("W0102", &tree.span, "`human` needs a `title`: what is asked of the person"),
        }
        for key in ["title", "show"] {
            if let Some(value) = human.get(key) {
                self.check_template(value, environment, refs);
                input.insert(key.into(), value.to_value());
            }
        }
        if let Some(assign) = human.get("assign") {
            self.assign(assign, environment, refs, true);
            input.insert("assign".into(), assign.to_value());
        }
        if let Some(form) = human.get("form") {
            input.insert("form".into(), self.schema(form));
        }
        if let Some(second) = human.get("second") {
            // Kept as a template: whether a second person is needed is known when the action is opened.
            let source = self.condition(second, environment, refs);
            input.insert("second".into(), source.map_or(Value::Bool(false), |source| Value::String(format!("${{ {source} }}"))));
        }
        node.input = Template::new(Value::Object(input));
        node.kind = NodeKind::Human;
    }

    fn assign(&self, tree: &Tree, environment: &Environment, refs: &mut Vec<String>, first: bool) {
        let known: &[&str] = if first { &["users", "groups", "then"] } else { &["users", "groups", "after"] };
        let Some(fields) = Fields::of(tree, "`assign`", known, self.findings) else { return };
        for key in ["users", "groups"] {
            if let Some(list) = fields.get(key) {
                let found = self.check_template(list, environment, refs);
                if !found.fits(&Type::list(Type::Text, None)) {
                    self.findings.error(
                        "W0303",
                        &list.span,
                        format!("`{key}` has to be a list of texts, and this is {}", found.name()),
                    );
                }
            }
        }
        if !first {
            if fields.duration("after").is_none() {
                self.findings.error("W0102", &tree.span, "a step of `then` needs `after`: how long the one before it has");
            }
            return;
        }
        match fields.get("then").map(|then| &then.data) {
            Some(Data::List(steps)) => steps.iter().for_each(|step| self.assign(step, environment, refs, false)),
            Some(_) => self.findings.error("W0103", &tree.span, "`then` has to be a list of steps"),
            None => {}
        }
    }

    fn wait_kind(&self, fields: &Fields<'_>, node: &mut Node, environment: &Environment, refs: &mut Vec<String>) {
        let Some(tree) = fields.get("wait") else { return };
        let Some(wait) = Fields::of(tree, "`wait`", &["for", "until", "event", "match", "signal"], self.findings) else { return };
        let given = ["for", "until", "event", "signal"].iter().filter(|key| wait.get(key).is_some()).count();
        if given != 1 {
            self.findings.error("W0106", &tree.span, "`wait` has to have one of `for`, `until`, `event`, `signal`");
        }
        let literal = |key: &str| wait.get(key).filter(|tree| !tree.as_str().is_some_and(|text| text.contains("${")));
        if literal("for").is_some() {
            wait.duration("for");
        }
        if let Some(until) = literal("until")
            && until.as_str().is_none_or(|text| chrono::DateTime::parse_from_rfc3339(text).is_err())
        {
            let finding = Diagnostic::error("W0104", until.span.clone(), "`until` has to be a moment of RFC 3339");
            self.findings.push(finding.hint("such as `2030-01-01T08:00:00Z`, in quotes or without"));
        }
        for key in ["event", "signal"] {
            if literal(key).is_some() {
                wait.text(key);
            }
        }
        if let Some((key, _)) = wait.tree.entry("match").filter(|_| wait.get("event").is_none()) {
            self.findings.error("W0107", &key.span, "`match` says nothing without `event`");
        }
        self.check_template(tree, environment, refs);
        node.input = Template::new(tree.to_value());
        node.kind = NodeKind::Wait;
    }

    fn each_kind(&self, fields: &Fields<'_>, node: &mut Node, environment: &Environment, names: &Names, refs: &mut Vec<String>) {
        let Some(tree) = fields.get("each") else { return };
        let Some(each) = Fields::of(tree, "`each`", &["items", "concurrency", "on_failure", "do"], self.findings) else { return };
        let (Some(items), Some(body)) = (each.get("items"), each.get("do")) else {
            self.findings.error("W0102", &tree.span, "`each` needs `items` (a list) and `do` (the node that runs for each)");
            return;
        };
        let item = match self.check_template(items, environment, refs) {
            Type::List(item, _) => (*item).clone(),
            Type::Any | Type::Null => Type::Any,
            other => {
                self.findings.error("W0303", &items.span, format!("`items` has to be a list, and this is {}", other.name()));
                Type::Any
            }
        };
        let mut inner = environment.clone();
        inner.names.insert("item".into(), item);
        inner.names.insert("index".into(), Type::Integer);
        let mut inner_node = self.node_within(&node.id, &body.span, body, &inner, names, true);
        if matches!(inner_node.kind, NodeKind::Human | NodeKind::Wait | NodeKind::Each { .. } | NodeKind::Decide { .. }) {
            let message = format!("`do` has to be `use`, `run`, `task` or `workflow`, not `{}`", inner_node.kind.as_str());
            self.findings.push(Diagnostic::error("W0104", body.span.clone(), message).hint("put it into a sub-workflow"));
        }
        for index in std::mem::take(&mut inner_node.refs) {
            refs.extend(names.id(index).map(str::to_owned));
        }
        let go_on = match each.text("on_failure").as_deref() {
            None | Some("stop") => false,
            Some("continue") => true,
            Some(other) => {
                self.findings.error("W0104", &tree.span, format!("`on_failure` of `each` is stop or continue, not `{other}`"));
                false
            }
        };
        let concurrency = each.count("concurrency").map_or(CONCURRENCY, |count| count.clamp(1, EACH_ITEMS_MAX as u64) as u32);
        node.input = Template::new(json!({ "items": items.to_value() }));
        node.kind = NodeKind::Each { body: Arc::new(inner_node), concurrency, go_on };
    }

    fn decide_kind(
        &self,
        fields: &Fields<'_>,
        node: &mut Node,
        environment: &Environment,
        names: &Names,
        refs: &mut Vec<String>,
    ) {
        let Some(tree) = fields.get("decide") else { return };
        let Data::List(items) = &tree.data else {
            self.findings.error(
                "W0103",
                &tree.span,
                format!("`decide` has to be a list of branches, and this is {}", tree.kind()),
            );
            return;
        };
        let mut branches: Vec<Branch> = Vec::new();
        for (place, item) in items.iter().enumerate() {
            let Some(branch) = Fields::of(item, "a branch", &["when", "then", "otherwise", "name"], self.findings) else {
                continue;
            };
            let targets = if branch.get("otherwise").is_some() { branch.texts("otherwise") } else { branch.texts("then") };
            let when = branch.get("when").and_then(|tree| self.condition(tree, environment, refs));
            match (branch.get("when"), branch.get("otherwise")) {
                (None, Some(_)) if place + 1 < items.len() => {
                    self.findings.error("W0104", &item.span, "`otherwise` has to be the last branch");
                }
                (None, None) => self.findings.error("W0102", &item.span, "a branch needs `when` and `then`, or `otherwise`"),
                (Some(_), None) if branch.get("then").is_none() => {
                    let finding = Diagnostic::error("W0102", item.span.clone(), "a branch with `when` needs `then`");
                    self.findings.push(finding.hint("write `then: []` when nothing is to run"));
                }
                (Some(_), Some(_)) => {
                    self.findings.error("W0106", &item.span, "a branch has either `when` and `then`, or `otherwise`")
                }
                _ => {}
            }
            let then: Vec<u32> = targets.iter().filter_map(|(name, span)| self.node_index(name, span, names)).collect();
            let name = branch
                .text("name")
                .or_else(|| targets.first().map(|(name, _)| name.clone()))
                .unwrap_or_else(|| format!("branch-{place}"));
            if branches.iter().any(|known| known.name == name) {
                self.findings.error("W0104", &item.span, format!("two branches are called `{name}`: give one a `name`"));
            }
            branches.push(Branch { name, when, then });
        }
        node.kind = NodeKind::Decide { branches };
    }
}

/// Whether a `workflow` node names a file.
pub(crate) fn is_file(name: &str) -> bool {
    name.ends_with(".yaml") || name.ends_with(".yml")
}

/// Whether a path is one that a pattern means; `*` stands for anything but `/`.
fn glob(pattern: &str, path: &str) -> bool {
    let (patterns, parts) = (pattern.split('/'), path.split('/'));
    patterns.clone().count() == parts.clone().count() && patterns.zip(parts).all(|(pattern, part)| glob_part(pattern, part))
}

/// The same for one part of a path. Where a star ends is only ever moved on: no pattern takes more than the product of both lengths.
fn glob_part(pattern: &str, part: &str) -> bool {
    let (pattern, part) = (pattern.as_bytes(), part.as_bytes());
    let (mut p, mut at, mut star) = (0, 0, None);
    while at < part.len() {
        match (pattern.get(p), star) {
            (Some(b'*'), _) => {
                star = Some((p, at));
                p += 1;
            }
            (Some(byte), _) if part.get(at) == Some(byte) => {
                p += 1;
                at += 1;
            }
            (_, Some((before, taken))) => {
                star = Some((before, taken + 1));
                p = before + 1;
                at = taken + 1;
            }
            _ => return false,
        }
    }
    pattern.get(p..).unwrap_or_default().iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::glob;

    #[test]
    fn patterns() {
        assert!(glob("*.py", "a.py") && glob("lib/*", "lib/x") && glob("a*b*c", "aXbYc") && glob("a", "a"));
        assert!(glob("*", "") && glob("a*", "a") && glob("**", "abc") && glob("*/x*", "lib/xy") && glob("é*", "éa"));
        assert!(!glob("*b", "abc") && !glob("a/*", "a/b/c") && !glob("*a*", "bcd"));
        assert!(!glob("*.py", "lib/a.py") && !glob("a", "ab") && !glob("*.py", "a.pyc"));
    }
}
