//! What expressions of a workflow see, for whoever writes one: the names with their types, also while the file has errors.

use std::collections::BTreeMap;

use model::Graph;

use crate::check::Environment;
use crate::fields::{Fields, Findings};
use crate::source::{Data, Tree, parse};
use crate::types::Type;
use crate::{Catalogue, Files};

use super::{Compiler, TOP, subs};

/// The names that expressions of a text see, with their types. Within an `each`, given by its id, they see `item` and `index` too. Of a text
/// that cannot be read nothing is known.
pub fn scope(text: &str, files: &dyn Files, catalogue: &dyn Catalogue, within: Option<&str>) -> Environment {
    let (trees, broken) = parse(text);
    let [tree] = trees.as_slice() else { return Environment::default() };
    if !broken.is_empty() {
        return Environment::default();
    }
    let findings = Findings::default();
    let subs = subs::Subs::default();
    let written = BTreeMap::new();
    let mut compiler = Compiler { text, files, catalogue, findings: &findings, written, types: BTreeMap::new(), subs: &subs };
    let Some(fields) = Fields::of(tree, "a workflow", &TOP, &findings) else { return Environment::default() };
    compiler.read_types(&fields);
    let graph = Graph { inputs: compiler.ports(fields.get("inputs"), "inputs", true), ..Graph::default() };
    let mut environment = compiler.environment(&graph, fields.get("nodes"));
    if let Some(each) = within.and_then(|id| fields.get("nodes")?.get(id)?.get("each")) {
        let item = each.get("items").map_or(Type::Any, |items| compiler.item_type(items, &environment));
        environment.names.insert("item".into(), item);
        environment.names.insert("index".into(), Type::Integer);
    }
    environment
}

impl Compiler<'_> {
    /// The type of an item of what stands in `items`.
    fn item_type(&self, items: &Tree, environment: &Environment) -> Type {
        let found = match &items.data {
            Data::Map(_) => Type::Any,
            _ => self.check_template(items, environment, &mut Vec::new()),
        };
        match found.peel().0 {
            Type::List(item, _) => (**item).clone(),
            _ => Type::Any,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Nothing;

    const TEXT: &str = "workflow: t/w
inputs:
  bar: {type: number, labels: [secret]}
nodes:
  split:
    run: [\"true\"]
    outputs: {parts: {type: array, items: {type: integer}}, rows: integer}
  broken: {use: nobody/knows, with: {x: \"${ nodes.nobody }\"}}
  all:
    each: {items: \"${ nodes.split.parts }\", do: {run: [\"true\"]}}
";

    fn names(within: Option<&str>) -> BTreeMap<String, Type> {
        scope(TEXT, &BTreeMap::new(), &Nothing, within).names
    }

    #[test]
    fn names_have_types_though_the_file_has_errors() {
        let names = names(None);
        let Type::Object(nodes, _) = &names["nodes"] else { panic!("{names:?}") };
        let Type::Object(split, _) = &nodes["split"] else { panic!("{nodes:?}") };
        assert_eq!(split["rows"], Type::Integer);
        let Type::Object(inputs, false) = &names["inputs"] else { panic!("{names:?}") };
        assert_eq!(inputs["bar"].peel().0, &Type::Number);
        assert_eq!(inputs["bar"].peel().1.into_iter().collect::<Vec<_>>(), ["secret"]);
        assert!(!names.contains_key("item"));
    }

    #[test]
    fn an_item_is_of_the_type_of_the_items() {
        let names = names(Some("all"));
        assert_eq!((&names["item"], &names["index"]), (&Type::Integer, &Type::Integer));
        assert!(!self::names(Some("split")).contains_key("item"));
    }

    #[test]
    fn nothing_is_known_of_what_cannot_be_read() {
        assert!(scope("a: [", &BTreeMap::new(), &Nothing, None).names.is_empty());
        assert!(scope("a: 1\n---\nb: 2\n", &BTreeMap::new(), &Nothing, None).names.is_empty());
    }
}
