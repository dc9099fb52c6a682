//! A node: its kind, its modifiers, and the expressions in both.

use std::ops::Range;
use std::sync::Arc;

use model::{Node, NodeIx, Template};

use crate::Diagnostic;
use crate::check::{Environment, check};
use crate::expression::{Part, parts};
use crate::fields::Fields;
use crate::source::{Data, Tree};
use crate::types::Type;

use super::kinds::KINDS;
use super::{Compiler, Names};

/// Fields of every node beside its kind.
const MODIFIERS: [&str; 12] =
    ["if", "with", "after", "needs", "retry", "timeout", "cache", "undo", "once", "lowers", "outputs", "description"];

impl Compiler<'_> {
    /// Reads a node. What is wrong with it is a finding, and the rest of it is read all the same.
    pub(crate) fn node(&self, id: &str, id_span: &Range<usize>, tree: &Tree, environment: &Environment, names: &Names) -> Node {
        self.node_within(id, id_span, tree, environment, names, false)
    }

    /// The same, perhaps of what runs for every item of an `each`.
    pub(crate) fn node_within(
        &self,
        id: &str,
        id_span: &Range<usize>,
        tree: &Tree,
        environment: &Environment,
        names: &Names,
        inside_each: bool,
    ) -> Node {
        let known: Vec<&str> = KINDS.iter().chain(&MODIFIERS).copied().collect();
        let mut node = Node { id: id.to_owned(), ..Node::default() };
        let Some(fields) = Fields::of(tree, &format!("node `{id}`"), &known, self.findings) else { return node };
        let mut refs: Vec<String> = Vec::new();
        let kinds: Vec<&str> = KINDS.iter().copied().filter(|kind| fields.get(kind).is_some()).collect();
        match kinds.as_slice() {
            [kind] => {
                self.refuse_idle(kind, &fields, inside_each);
                self.kind(kind, &fields, &mut node, environment, names, &mut refs);
            }
            [] => {
                let finding = Diagnostic::error("W0106", id_span.clone(), format!("node `{id}` does nothing"));
                self.findings.push(finding.hint(format!("give it one of {}", KINDS.join(", "))));
            }
            several => {
                let message = format!("node `{id}` has {} kinds: {}", several.len(), several.join(", "));
                self.findings.push(Diagnostic::error("W0106", id_span.clone(), message).hint("split it into one node for each"));
            }
        }
        self.modifiers(&fields, &mut node, environment, &mut refs);
        refs.retain(|name| {
            name != id || {
                let message = format!("node `{id}` refers to its own output");
                self.findings.error("W0202", id_span, message);
                false
            }
        });
        node.refs = indices(&refs, names);
        node.after = self.after(&fields, id, names);
        node
    }

    fn after(&self, fields: &Fields<'_>, id: &str, names: &Names) -> Vec<NodeIx> {
        let mut after = Vec::new();
        for (name, span) in fields.texts("after") {
            if name == id {
                self.findings.error("W0202", &span, format!("node `{id}` waits for itself"));
            } else if let Some(index) = self.node_index(&name, &span, names) {
                after.push(index);
            }
        }
        after.sort_unstable();
        after.dedup();
        after
    }

    /// The index of a node by its id; a finding when there is none.
    pub(crate) fn node_index(&self, name: &str, span: &Range<usize>, names: &Names) -> Option<NodeIx> {
        let found = names.index(name);
        if found.is_none() {
            let mut finding = Diagnostic::error("W0201", span.clone(), format!("there is no node `{name}`"));
            finding.hint = crate::suggest::nearest(name, names.ids()).map(|near| format!("did you mean `{near}`?"));
            self.findings.push(finding);
        }
        found
    }

    /// Checks an expression; its type, and in `refs` the nodes it refers to.
    pub(crate) fn check_expression(
        &self,
        source: &str,
        span: &Range<usize>,
        environment: &Environment,
        refs: &mut Vec<String>,
    ) -> Type {
        match check(source, environment) {
            Ok(checked) => {
                refs.extend(checked.nodes);
                checked.result
            }
            Err(problem) => {
                let mut finding = Diagnostic::error(problem.code, span.clone(), problem.message);
                finding.hint = problem.hint;
                self.findings.push(finding);
                Type::Any
            }
        }
    }

    /// A condition: `${ … }` or the bare expression; it has to be a boolean. Gives its source.
    pub(crate) fn condition(&self, tree: &Tree, environment: &Environment, refs: &mut Vec<String>) -> Option<String> {
        if let Data::Scalar(serde_json::Value::Bool(value)) = &tree.data {
            return Some(value.to_string());
        }
        let Some(text) = tree.as_str() else {
            self.findings.error("W0103", &tree.span, format!("a condition has to be an expression, and this is {}", tree.kind()));
            return None;
        };
        let source = match parts(text).as_deref() {
            Ok([Part::Expression(source, _)]) => source.clone(),
            Ok([Part::Text(text)]) if !text.contains("${") => text.trim().to_owned(),
            _ => {
                self.findings.error("W0301", &tree.span, "a condition has to be one expression: `${ … }`");
                return None;
            }
        };
        let found = self.check_expression(&source, &tree.span, environment, refs);
        if !found.fits(&Type::Boolean) {
            self.findings.error("W0303", &tree.span, format!("a condition has to be a boolean, and this is {}", found.name()));
        }
        Some(source)
    }

    /// Checks every expression of a value; the type of the whole.
    pub(crate) fn check_template(&self, tree: &Tree, environment: &Environment, refs: &mut Vec<String>) -> Type {
        match &tree.data {
            Data::Scalar(serde_json::Value::String(text)) if text.contains("${") => {
                self.check_text(text, tree, environment, refs)
            }
            Data::Scalar(value) => Type::of_value(value),
            Data::List(items) => {
                let types: Vec<Type> = items.iter().map(|item| self.check_template(item, environment, refs)).collect();
                let first = types.first().cloned().unwrap_or(Type::Any);
                let item = if types.iter().all(|found| *found == first) { first } else { Type::Any };
                Type::List(Arc::new(item), Some(types.len() as u64))
            }
            Data::Map(fields) => {
                let fields = fields.iter().map(|(key, value)| (key.text.clone(), self.check_template(value, environment, refs)));
                Type::object(fields, false)
            }
        }
    }

    fn check_text(&self, text: &str, tree: &Tree, environment: &Environment, refs: &mut Vec<String>) -> Type {
        let parts = match parts(text) {
            Ok(parts) => parts,
            Err(unclosed) => {
                let finding = Diagnostic::error("W0301", tree.span.clone(), unclosed.to_string());
                self.findings.push(finding.hint("close it with `}`, or write `$${` for the characters themselves"));
                return Type::Any;
            }
        };
        let whole = matches!(parts.as_slice(), [Part::Expression(..)]);
        let mut result = Type::Text;
        for part in &parts {
            if let Part::Expression(source, range) = part {
                let span = self.expression_span(text, tree, range);
                let found = self.check_expression(source, &span, environment, refs);
                if whole {
                    result = found;
                }
            }
        }
        result
    }

    /// The bytes of an expression within the file: exact where the text stands as it was written.
    pub(crate) fn expression_span(&self, text: &str, tree: &Tree, range: &Range<usize>) -> Range<usize> {
        let written = self.text.get(tree.span.clone()).unwrap_or_default();
        match written.find(text) {
            Some(offset) => tree.span.start + offset + range.start..tree.span.start + offset + range.end,
            // In a text of several lines what is read differs from what is written, but not within one expression of a line.
            None => match text.get(range.clone()).and_then(|source| Some((written.find(source)?, source.len()))) {
                Some((offset, length)) if length > 0 => tree.span.start + offset..tree.span.start + offset + length,
                _ => tree.span.clone(),
            },
        }
    }

    /// A template for `with` and its like, checked against the type that is asked for.
    pub(crate) fn template(
        &self,
        tree: Option<&Tree>,
        wanted: &Type,
        what: &str,
        environment: &Environment,
        refs: &mut Vec<String>,
    ) -> Template {
        let Some(tree) = tree else { return Template::default() };
        if !matches!((wanted, &tree.data), (Type::Object(..), Data::Map(_))) {
            self.check_template(tree, environment, refs);
        }
        if let (Type::Object(known, open), Data::Map(fields)) = (wanted, &tree.data) {
            for (key, value) in fields {
                let found = self.check_template(value, environment, refs);
                match known.get(&key.text) {
                    Some(wanted) => {
                        if !found.fits(wanted) {
                            let message =
                                format!("`{}` of {what} has to be {}, and this is {}", key.text, wanted.name(), found.name());
                            self.findings.error("W0303", &value.span, message);
                        }
                    }
                    None if *open => {}
                    None => {
                        let mut finding = Diagnostic::error("W0101", key.span.clone(), format!("{what} takes no `{}`", key.text));
                        finding.hint = Some(match crate::suggest::nearest(&key.text, known.keys().map(String::as_str)) {
                            Some(near) => format!("did you mean `{near}`?"),
                            None => format!("it takes {}", known.keys().cloned().collect::<Vec<_>>().join(", ")),
                        });
                        self.findings.push(finding);
                    }
                }
            }
        } else if !matches!(tree.data, Data::Map(_)) && tree.as_str().is_none() {
            self.findings.error("W0103", &tree.span, format!("`with` has to be a map, and this is {}", tree.kind()));
        }
        Template::new(tree.to_value())
    }
}

/// The indices of nodes by their ids, each once. Ids that do not exist have been found already.
pub(crate) fn indices(refs: &[String], names: &Names) -> Vec<NodeIx> {
    let mut found: Vec<NodeIx> = refs.iter().filter_map(|name| names.index(name)).collect();
    found.sort_unstable();
    found.dedup();
    found
}
