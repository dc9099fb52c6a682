//! What an expression reads: inputs, outputs of nodes, the item of a map. Labels go by it, before a run and during it.
//!
//! It errs on the side of more: what is not understood reads everything it names.

use std::collections::BTreeSet;

use cel::common::ast::{EntryExpr, Expr, IdedExpr, LiteralValue, operators};
use model::Read;
use serde_json::Value;

use crate::expression::{Part, parts};

/// What a value with expressions in its texts reads.
pub fn of_value(value: &Value) -> BTreeSet<Read> {
    let mut found = BTreeSet::new();
    walk(value, &mut found);
    found
}

fn walk(value: &Value, found: &mut BTreeSet<Read>) {
    match value {
        Value::String(text) if text.contains("${") => {
            for part in parts(text).unwrap_or_default() {
                if let Part::Expression(source, _) = part {
                    found.extend(of_expression(&source));
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| walk(item, found)),
        Value::Object(fields) => fields.values().for_each(|field| walk(field, found)),
        _ => {}
    }
}

/// What an expression reads.
pub fn of_expression(source: &str) -> BTreeSet<Read> {
    let mut found = BTreeSet::new();
    match cel::Program::compile(source) {
        Ok(program) => read(program.expression(), &mut found),
        // It has no value either; whoever asks is told so elsewhere.
        Err(_) => found.extend([Read::Input(None), Read::Item]),
    }
    found
}

fn read(node: &IdedExpr, found: &mut BTreeSet<Read>) {
    if let Some(path) = path(node) {
        let mut path = path.into_iter();
        match path.next() {
            Some("inputs") => drop(found.insert(Read::Input(path.next().map(str::to_owned)))),
            Some("nodes") => {
                if let Some(id) = path.next() {
                    found.insert(Read::Node(id.to_owned(), path.next().map(str::to_owned)));
                }
            }
            Some("item") => drop(found.insert(Read::Item)),
            _ => {}
        }
        return;
    }
    let mut all = |nodes: &[&IdedExpr]| nodes.iter().for_each(|node| read(node, found));
    match &node.expr {
        Expr::Select(select) => all(&[&select.operand]),
        Expr::Call(call) => all(&call.target.as_deref().into_iter().chain(&call.args).collect::<Vec<_>>()),
        Expr::List(list) => all(&list.elements.iter().collect::<Vec<_>>()),
        Expr::Map(map) => {
            for entry in &map.entries {
                if let EntryExpr::MapEntry(entry) = &entry.expr {
                    all(&[&entry.key, &entry.value]);
                }
            }
        }
        Expr::Comprehension(inner) => {
            all(&[&inner.iter_range, &inner.accu_init, &inner.loop_cond, &inner.loop_step, &inner.result]);
        }
        Expr::Struct(_) | Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => {}
    }
}

/// The names of a path from one of our roots: fields as `a.b` or `a["b"]`. An element in between ends it: `a[0].b` is all of `a`.
fn path(node: &IdedExpr) -> Option<Vec<&str>> {
    match &node.expr {
        Expr::Ident(name) if ["inputs", "nodes", "item", "index", "run"].contains(&name.as_str()) => Some(vec![name]),
        Expr::Select(select) => {
            let mut names = path(&select.operand)?;
            names.push(&select.field);
            Some(names)
        }
        Expr::Call(call) if call.func_name == operators::INDEX && call.target.is_none() => {
            let [operand, place] = call.args.as_slice() else { return None };
            match &place.expr {
                Expr::Literal(LiteralValue::String(key)) => {
                    let mut names = path(operand)?;
                    names.push(key.inner());
                    Some(names)
                }
                // The number of an element reads nothing; what gives the number by an expression may.
                Expr::Literal(_) => path(operand),
                _ => None,
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(source: &str) -> Vec<String> {
        let name = |read: Read| match read {
            Read::Input(name) => format!("inputs.{}", name.unwrap_or("*".into())),
            Read::Node(id, field) => format!("{id}.{}", field.unwrap_or("*".into())),
            Read::Item => "item".into(),
        };
        of_expression(source).into_iter().map(name).collect()
    }

    #[test]
    fn paths_read_what_they_name_and_no_more() {
        assert_eq!(of("inputs.a + inputs['b'].c"), ["inputs.a", "inputs.b"]);
        assert_eq!(of("nodes.x.rows > 3 && nodes[\"a-b\"].ok"), ["a-b.ok", "x.rows"]);
        assert_eq!(of("nodes.x.parts[0].size"), ["x.parts"]);
        assert_eq!(of("nodes.x"), ["x.*"]);
        assert_eq!(of("inputs"), ["inputs.*"]);
        assert_eq!(of("item.name == 'x' ? index : 0"), ["item"]);
        assert!(of("run.name + 'x'").is_empty());
    }

    #[test]
    fn what_is_computed_reads_all_it_may() {
        assert_eq!(of("inputs.rows[inputs.at]"), ["inputs.at", "inputs.rows"]);
        assert_eq!(of("inputs[inputs.key]"), ["inputs.*", "inputs.key"]);
        assert_eq!(of("nodes.x.rows.filter(r, r.age > inputs.age).map(r, nodes.y.z)"), ["inputs.age", "x.rows", "y.z"]);
        assert_eq!(of("{'a': [nodes.x.y, inputs.b]}.a"), ["inputs.b", "x.y"]);
        assert_eq!(of("has(inputs.a)"), ["inputs.a"]);
        assert_eq!(of("size(inputs.a +"), ["inputs.*", "item"]);
    }

    #[test]
    fn templates_read_what_their_texts_do() {
        let value = serde_json::json!({"a": "x ${ inputs.a } y", "b": [{"c": "${ nodes.n }"}], "d": "$${ inputs.e }"});
        assert_eq!(of_value(&value), BTreeSet::from([Read::Input(Some("a".into())), Read::Node("n".into(), None)]));
    }
}
