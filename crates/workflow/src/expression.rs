//! Expressions: finding `${ … }` in texts, and evaluating them.
//!
//! The value of an expression is a function of the names it sees. The walk over it is our own, since CEL's interpreter knows no budget: a
//! [`Meter`] counts every step and every byte made, and stops what passes the limits. A node that was skipped is null. Everything that
//! evaluates does so on the caller's thread; the caller keeps it off async workers.

mod functions;
mod meter;
mod path;
mod term;
mod walk;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use cel::Env;
use cel::common::ast::IdedExpr;
use model::Template;
use serde_json::{Map, Value};

pub use meter::{Budget, Meter};

use meter::Stop;
use path::{Found, Step, follow, path};
use term::Term;
use walk::Walker;

/// Compiled expressions kept.
const COMPILED_MAX: usize = 10_000;
/// Letters of an expression that a message shows.
const SHOWN_MAX: usize = 200;

/// A part of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// As it stands.
    Text(String),
    /// An expression, with the bytes of its source within the text.
    Expression(String, Range<usize>),
}

/// A `${` without its `}`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`${{` is never closed")]
pub struct Unclosed {
    /// Where it stands.
    pub at: usize,
}

/// Splits a text into plain parts and expressions. `$${` stands for `${` itself.
pub fn parts(text: &str) -> Result<Vec<Part>, Unclosed> {
    let (mut parts, mut plain, mut at) = (Vec::new(), String::new(), 0);
    while let Some(found) = text[at..].find("${") {
        let start = at + found;
        if start > at && text.as_bytes().get(start - 1) == Some(&b'$') {
            plain.push_str(&text[at..start - 1]);
            plain.push_str("${");
            at = start + 2;
            continue;
        }
        plain.push_str(&text[at..start]);
        let end = closing(text, start + 2).ok_or(Unclosed { at: start })?;
        if !plain.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut plain)));
        }
        parts.push(Part::Expression(text[start + 2..end].trim().to_owned(), start + 2..end));
        at = end + 1;
    }
    plain.push_str(&text[at..]);
    if !plain.is_empty() || parts.is_empty() {
        parts.push(Part::Text(plain));
    }
    Ok(parts)
}

/// The position of the brace that closes an expression, past texts and inner braces.
fn closing(text: &str, from: usize) -> Option<usize> {
    let (mut depth, mut quote, mut escaped) = (0u32, None, false);
    for (offset, c) in text[from..].char_indices() {
        match (quote, c) {
            (Some(_), _) if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '{') => depth += 1,
            (None, '}') if depth == 0 => return Some(from + offset),
            (None, '}') => depth -= 1,
            _ => {}
        }
    }
    None
}

/// The names that an expression sees.
#[derive(Clone, Debug, Default)]
pub struct Names<'a> {
    /// `inputs`.
    pub inputs: Option<&'a Value>,
    /// `nodes`, by id.
    pub nodes: Vec<(&'a str, &'a Value)>,
    /// `item` and `index`.
    pub item: Option<(&'a Value, u32)>,
    /// `run`.
    pub run: Option<&'a Value>,
}

/// An expression that has no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{expression}`: {message}")]
pub struct ExpressionError {
    /// The expression.
    pub expression: String,
    /// Why.
    pub message: String,
}

/// Evaluates expressions. One for the whole process; compiled expressions are kept.
pub struct Evaluator {
    library: Arc<Env>,
    compiled: Mutex<BTreeMap<String, Arc<Compiled>>>,
    budget: Budget,
}

enum Compiled {
    Path(Vec<Step>),
    Tree(Box<IdedExpr>),
}

impl Default for Evaluator {
    fn default() -> Self {
        Evaluator::new(Budget::default())
    }
}

impl Evaluator {
    /// An evaluator that lets every call use this much.
    pub fn new(budget: Budget) -> Evaluator {
        Evaluator { library: Arc::new(Env::stdlib()), compiled: Mutex::default(), budget }
    }

    /// The document with every expression replaced by its value. A text that is one whole expression takes its type. All of them share one
    /// budget.
    pub fn render(&self, template: &Template, names: &Names<'_>) -> Result<Value, ExpressionError> {
        if !template.dynamic {
            return Ok(template.json.clone());
        }
        self.render_value(&template.json, names, &mut Meter::new(self.budget))
    }

    fn render_value(&self, value: &Value, names: &Names<'_>, meter: &mut Meter) -> Result<Value, ExpressionError> {
        Ok(match value {
            Value::String(text) if text.contains("${") => self.render_text(text, names, meter)?,
            Value::Array(items) => {
                Value::Array(items.iter().map(|item| self.render_value(item, names, meter)).collect::<Result<_, _>>()?)
            }
            Value::Object(fields) => {
                let mut rendered = Map::new();
                for (key, field) in fields {
                    rendered.insert(key.clone(), self.render_value(field, names, meter)?);
                }
                Value::Object(rendered)
            }
            other => other.clone(),
        })
    }

    fn render_text(&self, text: &str, names: &Names<'_>, meter: &mut Meter) -> Result<Value, ExpressionError> {
        let failed = |message: String| ExpressionError { expression: shown(text), message };
        let parts = parts(text).map_err(|error| failed(error.to_string()))?;
        if let [Part::Expression(source, _)] = parts.as_slice() {
            return self.value_within(source, names, meter);
        }
        let mut out = String::new();
        for part in parts {
            match part {
                Part::Text(text) => out.push_str(&text),
                Part::Expression(source, _) => {
                    let written = match self.value_within(&source, names, meter)? {
                        Value::String(text) => text,
                        Value::Null => continue,
                        other => other.to_string(),
                    };
                    meter.hold(written.len()).map_err(|stop| failed(said(stop)))?;
                    out.push_str(&written);
                }
            }
        }
        Ok(Value::String(out))
    }

    /// The value of a condition, which has to be a boolean.
    pub fn test(&self, source: &str, names: &Names<'_>) -> Result<bool, ExpressionError> {
        match self.value(source, names)? {
            Value::Bool(value) => Ok(value),
            other => {
                let text: String = other.to_string().chars().take(60).collect();
                let message = format!("a condition has to be true or false, and this is {text}");
                Err(ExpressionError { expression: shown(source), message })
            }
        }
    }

    /// The value of an expression.
    pub fn value(&self, source: &str, names: &Names<'_>) -> Result<Value, ExpressionError> {
        self.value_within(source, names, &mut Meter::new(self.budget))
    }

    /// The value of an expression within what is left of a budget.
    pub fn value_within(&self, source: &str, names: &Names<'_>, meter: &mut Meter) -> Result<Value, ExpressionError> {
        let failed = |message: String| ExpressionError { expression: shown(source), message };
        let compiled = self.compiled(source).map_err(failed)?;
        let value = match &*compiled {
            Compiled::Path(steps) => match follow(steps, names).map_err(failed)? {
                Found::Value(value) => Ok(Term::of(value)),
                Found::Index(index) => Ok(Term::Int(i64::from(index))),
            },
            Compiled::Tree(tree) => {
                let (variables, patterns) = (Vec::new(), BTreeMap::new());
                let mut walker = Walker { names, meter, library: &self.library, variables, patterns, depth: 0 };
                walker.value(tree)
            }
        };
        value.and_then(|value| value.to_json(meter, 0)).map_err(|stop| failed(said(stop)))
    }

    fn compiled(&self, source: &str) -> Result<Arc<Compiled>, String> {
        let mut known = self.compiled.lock().unwrap_or_else(|poison| poison.into_inner());
        if let Some(compiled) = known.get(source) {
            return Ok(compiled.clone());
        }
        let compiled = match path(source) {
            Some(steps) => Compiled::Path(steps),
            None => Compiled::Tree(Box::new(crate::check::read(source).map_err(|problem| problem.message)?)),
        };
        let compiled = Arc::new(compiled);
        if known.len() >= COMPILED_MAX {
            known.clear();
        }
        known.insert(source.to_owned(), compiled.clone());
        Ok(compiled)
    }
}

fn said(stop: Stop) -> String {
    match stop {
        Stop::Failed(message) | Stop::Spent(message) => message,
    }
}

/// An expression as it is told of: not more of it than helps.
fn shown(source: &str) -> String {
    let short: String = source.chars().take(SHOWN_MAX).collect();
    if short.len() < source.len() { short + "…" } else { short }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn value(source: &str) -> Result<Value, String> {
        let inputs = json!({"n": 3, "f": 1.5, "big": 18_446_744_073_709_551_615u64, "s": "x", "l": [1, 2, {"a": "b"}]});
        let (a, skipped) = (json!({"auc": 0.81, "ok": true}), Value::Null);
        let names = Names {
            inputs: Some(&inputs),
            nodes: vec![("a", &a), ("skipped", &skipped)],
            item: Some((&inputs, 7)),
            run: Some(&inputs),
        };
        Evaluator::default().value(source, &names).map_err(|error| error.message)
    }

    #[test]
    fn paths_and_programs_agree() {
        for path in ["inputs.n", "inputs.l[2].a", "nodes.a.auc", "item.s", "index", "inputs.big", "nodes.skipped"] {
            assert_eq!(value(path), value(&format!("({path})")), "{path}");
        }
        assert_eq!(value("inputs.l[2].a"), Ok(json!("b")));
        assert_eq!(value("nodes.skipped.x.y"), Ok(Value::Null));
        assert_eq!(value("nodes.skipped.x.y == null && nodes.skipped.x != 'approve'"), Ok(json!(true)));
        assert_eq!(value("[1].map(inputs, nodes.skipped.x)"), Ok(json!([null])));
        assert_eq!(value("inputs.l.filter(n, n == nodes.skipped.x).size()"), Ok(json!(0)));
        // What is bound within is not ours.
        assert_eq!(value("[{'s': 'inner'}].map(item, item.s)"), Ok(json!(["inner"])));
        assert!(value("nodes.a.nothing == 'x'").is_err());
    }

    #[test]
    fn expressions() {
        assert_eq!(value("inputs.n + 1"), Ok(json!(4)));
        assert_eq!(value("nodes.a.auc >= 0.75 && nodes.a.ok"), Ok(json!(true)));
        assert_eq!(value("inputs.s in ['x', 'y']"), Ok(json!(true)));
        assert_eq!(value("{'b': 1, 'a': [inputs.f]}").unwrap().to_string(), r#"{"a":[1.5],"b":1}"#);
        assert_eq!(value("inputs.l.size() == 3 ? 'three' : 'other'"), Ok(json!("three")));
        assert_eq!(value("[1, 2, 3].filter(x, x > 1).map(x, x * 2)"), Ok(json!([4, 6])));
        assert!(value("inputs.nothing").unwrap_err().contains("no field `nothing`"));
        assert!(value("inputs.n / 0").is_err() && value("inputs.n +").is_err());
    }

    #[test]
    fn texts_are_split() {
        let expression = |source: &str, span| Part::Expression(source.into(), span);
        assert_eq!(parts("a").unwrap(), vec![Part::Text("a".into())]);
        assert_eq!(parts("${ x }").unwrap(), vec![expression("x", 2..5)]);
        assert_eq!(parts("a ${ {'}': '\\'}'} } b").unwrap()[1], expression("{'}': '\\'}'}", 4..18));
        assert_eq!(parts("$${x} ${y}").unwrap(), vec![Part::Text("${x} ".into()), expression("y", 8..9)]);
        assert_eq!(parts("a ${ b"), Err(Unclosed { at: 2 }));
    }

    #[test]
    fn artifacts_say_what_they_are_and_pass_through() {
        let artifact = json!({"$artifact": {"digest": "sha256:x", "size": 3, "kind": "file", "name": "a"}});
        let inputs = json!({ "a": artifact });
        let names = Names { inputs: Some(&inputs), ..Names::default() };
        let value = |source: &str| Evaluator::default().value(source, &names).unwrap();
        assert_eq!(value("inputs.a.size"), json!(3));
        assert_eq!(value("inputs.a.size + 1"), json!(4));
        assert_eq!(value("true ? inputs.a : null"), artifact);
    }

    #[test]
    fn templates_keep_types() {
        let inputs = json!({"n": 3});
        let names = Names { inputs: Some(&inputs), ..Names::default() };
        let template = Template::new(json!({"a": "${ inputs.n }", "b": "n=${inputs.n}", "c": [1, "${ inputs }"]}));
        assert_eq!(Evaluator::default().render(&template, &names), Ok(json!({"a": 3, "b": "n=3", "c": [1, {"n": 3}]})));
    }
}
