//! What nodes give, as far as it is known before they run.

use serde_json::Value;

use crate::fields::Findings;
use crate::source::{Data, Tree};
use crate::types::Type;

use super::Compiler;
use super::kinds::is_file;

impl Compiler<'_> {
    /// The type of a node's output. What is wrong with the node is said elsewhere.
    pub(crate) fn output(&self, node: &Tree) -> Type {
        let silent = Findings::default();
        let quiet = Compiler { findings: &silent, types: self.types.clone(), written: self.written.clone(), ..*self };
        quiet.output_of(node)
    }

    fn output_of(&self, node: &Tree) -> Type {
        if let Some(Data::Map(fields)) = node.get("outputs").map(|tree| &tree.data) {
            // What is declared is checked when it arrives; a process may give more than that.
            let declared = fields.iter().map(|(key, value)| (key.text.clone(), Type::of_schema(&self.schema(value))));
            return Type::object(declared, true);
        }
        let text = |key: &str| node.get(key).and_then(Tree::as_str);
        if let Some(name) = text("use") {
            let (name, version) = name.rsplit_once('@').unwrap_or((name, "1"));
            let found = version.parse().ok().and_then(|version| self.catalogue.connector(name, version));
            return found.map_or(Type::Any, |found| Type::of_schema(&found.outputs));
        }
        if let Some(name) = text("task") {
            return self.catalogue.task(name).map_or(Type::Any, |found| Type::of_schema(&found.types.outputs));
        }
        if let Some(name) = text("workflow") {
            let tree = node.get("workflow").unwrap_or(node);
            let graph = if is_file(name) { self.sub_file(name, tree) } else { self.catalogue.workflow(name) };
            return match graph.as_deref().map(|graph| &graph.outputs.json) {
                Some(Value::Object(fields)) => Type::object(fields.keys().map(|key| (key.clone(), Type::Any)), false),
                _ => Type::Any,
            };
        }
        if let Some(human) = node.get("human") {
            let form = human.get("form").map_or(Type::Any, |form| Type::of_schema(&self.schema(form)));
            let said = ["decision", "by", "at", "second_by"].map(|name| (name.to_owned(), Type::Text));
            return match form {
                Type::Object(fields, open) => Type::object(said.into_iter().chain((*fields).clone()), open),
                _ => Type::object(said, true),
            };
        }
        if let Some(wait) = node.get("wait") {
            let time = wait.get("for").is_some() || wait.get("until").is_some();
            return if time { Type::object([("at".to_owned(), Type::Text)], false) } else { Type::Any };
        }
        if let Some(each) = node.get("each") {
            let count = match each.get("items").map(|items| &items.data) {
                Some(Data::List(items)) => Some(items.len() as u64),
                _ => None,
            };
            return Type::list(each.get("do").map_or(Type::Any, |body| self.output_of(body)), count);
        }
        if node.get("decide").is_some() {
            return Type::object([("branch".to_owned(), Type::Text)], false);
        }
        Type::Any
    }
}
