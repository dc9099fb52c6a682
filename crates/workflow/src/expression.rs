//! Expressions: finding `${ … }` in texts, and evaluating them.
//!
//! The value of an expression is a function of the names it sees. Plain paths such as `nodes.a.b[0]` never enter the CEL interpreter. A
//! node that was skipped is null. Everything that evaluates does so on the caller's thread; the caller keeps it off async workers.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use cel::common::ast::{EntryExpr, Expr, IdedExpr};
use cel::{Context, Env, Program};
use model::Template;
use model::value::ARTIFACT_KEY;
use serde_json::{Map, Value, json};

/// Compiled expressions kept.
const COMPILED_MAX: usize = 10_000;
/// Levels of nesting of a value that an expression gives.
const DEPTH_MAX: usize = 64;

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
    environment: Arc<Env>,
    compiled: Mutex<BTreeMap<String, Arc<Compiled>>>,
}

enum Compiled {
    Path(Vec<Step>),
    /// With the plain paths in it, by the name they spell.
    Program(Box<Program>, Vec<(String, Vec<Step>)>),
}

/// A step of a plain path.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Field(String),
    Index(usize),
}

impl Default for Evaluator {
    fn default() -> Self {
        Evaluator { environment: Arc::new(Env::stdlib()), compiled: Mutex::default() }
    }
}

impl Evaluator {
    /// The document with every expression replaced by its value. A text that is one whole expression takes its type.
    pub fn render(&self, template: &Template, names: &Names<'_>) -> Result<Value, ExpressionError> {
        if template.dynamic { self.render_value(&template.json, names) } else { Ok(template.json.clone()) }
    }

    fn render_value(&self, value: &Value, names: &Names<'_>) -> Result<Value, ExpressionError> {
        Ok(match value {
            Value::String(text) if text.contains("${") => self.render_text(text, names)?,
            Value::Array(items) => {
                Value::Array(items.iter().map(|item| self.render_value(item, names)).collect::<Result<_, _>>()?)
            }
            Value::Object(fields) => {
                let mut rendered = Map::new();
                for (key, field) in fields {
                    rendered.insert(key.clone(), self.render_value(field, names)?);
                }
                Value::Object(rendered)
            }
            other => other.clone(),
        })
    }

    fn render_text(&self, text: &str, names: &Names<'_>) -> Result<Value, ExpressionError> {
        let parts = parts(text).map_err(|error| ExpressionError { expression: text.into(), message: error.to_string() })?;
        if let [Part::Expression(source, _)] = parts.as_slice() {
            return self.value(source, names);
        }
        let mut out = String::new();
        for part in parts {
            match part {
                Part::Text(text) => out.push_str(&text),
                Part::Expression(source, _) => match self.value(&source, names)? {
                    Value::String(text) => out.push_str(&text),
                    Value::Null => {}
                    other => out.push_str(&other.to_string()),
                },
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
                Err(ExpressionError {
                    expression: source.into(),
                    message: format!("a condition has to be true or false, and this is {text}"),
                })
            }
        }
    }

    /// The value of an expression.
    pub fn value(&self, source: &str, names: &Names<'_>) -> Result<Value, ExpressionError> {
        let failed = |message: String| ExpressionError { expression: source.to_owned(), message };
        match &*self.compiled(source).map_err(&failed)? {
            Compiled::Path(steps) => follow(steps, names).map_err(failed),
            Compiled::Program(program, paths) => {
                let mut context = Context::with_env(self.environment.clone());
                for variable in program.references().variables() {
                    if let Some(value) = root(variable, names) {
                        context.add_variable_from_value(variable.to_owned(), to_cel(&value));
                    }
                }
                // What was skipped has no fields, and gives nothing to whoever asks for one: in a program as in a plain path.
                for (name, steps) in paths {
                    if follow(steps, names) == Ok(Value::Null) {
                        context.add_variable_from_value(name.clone(), cel::Value::Null);
                    }
                }
                let value = program.execute(&context).map_err(|error| failed(error.to_string()))?;
                from_cel(&value, 0).map_err(failed)
            }
        }
    }

    fn compiled(&self, source: &str) -> Result<Arc<Compiled>, String> {
        let mut known = self.compiled.lock().unwrap_or_else(|poison| poison.into_inner());
        if let Some(compiled) = known.get(source) {
            return Ok(compiled.clone());
        }
        let compiled = match path(source) {
            Some(steps) => Compiled::Path(steps),
            None => {
                let program = Program::compile(source).map_err(|error| error.to_string())?;
                let mut paths = Vec::new();
                paths_in(program.expression(), &mut paths);
                Compiled::Program(Box::new(program), paths)
            }
        };
        let compiled = Arc::new(compiled);
        if known.len() >= COMPILED_MAX {
            known.clear();
        }
        known.insert(source.to_owned(), compiled.clone());
        Ok(compiled)
    }
}

/// The steps of an expression that is a plain path from one of our names.
fn path(source: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    for segment in source.split('.') {
        let (name, mut rest) = match segment.find('[') {
            Some(at) => segment.split_at(at),
            None => (segment, ""),
        };
        let word = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !word {
            return None;
        }
        steps.push(Step::Field(name.to_owned()));
        while !rest.is_empty() {
            let (index, after) = rest.strip_prefix('[')?.split_once(']')?;
            steps.push(Step::Index(index.parse().ok()?));
            rest = after;
        }
    }
    matches!(steps.first(), Some(Step::Field(root)) if ["inputs", "nodes", "item", "index", "run"].contains(&root.as_str()))
        .then_some(steps)
}

/// Collects the plain paths of fields in a program. The interpreter takes a variable of the whole name before it selects fields.
fn paths_in(node: &IdedExpr, paths: &mut Vec<(String, Vec<Step>)>) {
    let mut all = |nodes: &[&IdedExpr]| nodes.iter().for_each(|node| paths_in(node, paths));
    match &node.expr {
        Expr::Select(select) => match spelled(node).and_then(|name| Some((path(&name)?, name))) {
            Some((steps, name)) => paths.push((name, steps)),
            None => all(&[&select.operand]),
        },
        Expr::Call(call) => {
            all(&call.target.as_deref().into_iter().chain(&call.args).collect::<Vec<_>>());
        }
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

/// The name that selections of fields spell: `a.b.c`.
fn spelled(node: &IdedExpr) -> Option<String> {
    match &node.expr {
        Expr::Ident(name) => Some(name.clone()),
        Expr::Select(select) if !select.test => Some(format!("{}.{}", spelled(&select.operand)?, select.field)),
        _ => None,
    }
}

fn root(name: &str, names: &Names<'_>) -> Option<Value> {
    match name {
        "inputs" => names.inputs.cloned(),
        "nodes" => Some(Value::Object(names.nodes.iter().map(|(id, value)| ((*id).to_owned(), (*value).clone())).collect())),
        "item" => names.item.map(|(item, _)| item.clone()),
        "index" => names.item.map(|(_, index)| json!(index)),
        "run" => names.run.cloned(),
        _ => None,
    }
}

fn follow(steps: &[Step], names: &Names<'_>) -> Result<Value, String> {
    let mut rest = steps.iter();
    let Some(Step::Field(first)) = rest.next() else { return Err("nothing to look up".into()) };
    let mut walked = first.clone();
    let index;
    let mut value: &Value = match first.as_str() {
        "nodes" => {
            let Some(Step::Field(id)) = rest.next() else {
                return root("nodes", names).ok_or_else(|| "there are no nodes".into());
            };
            walked = format!("nodes.{id}");
            names
                .nodes
                .iter()
                .find(|(known, _)| known == id)
                .map(|(_, value)| *value)
                .ok_or(format!("there is no node `{id}` to see here"))?
        }
        "inputs" => names.inputs.ok_or("there are no inputs")?,
        "run" => names.run.ok_or("there is no run")?,
        "item" => names.item.map(|(item, _)| item).ok_or("`item` exists inside `each` only")?,
        _ => {
            index = names.item.map(|(_, index)| json!(index)).ok_or("`index` exists inside `each` only")?;
            &index
        }
    };
    for step in rest {
        let next = match step {
            // What is said of an artifact stands inside its mark.
            Step::Field(name) => value.get(name).or_else(|| value.get(ARTIFACT_KEY)?.get(name)),
            Step::Index(index) => value.get(index),
        };
        match (next, step) {
            (Some(next), Step::Field(name)) => {
                walked = format!("{walked}.{name}");
                value = next;
            }
            (Some(next), Step::Index(index)) => {
                walked = format!("{walked}[{index}]");
                value = next;
            }
            // What was skipped has no fields, and whoever asks for one gets nothing.
            (None, _) if value.is_null() => return Ok(Value::Null),
            (None, Step::Field(name)) => return Err(format!("`{walked}` has no field `{name}`")),
            (None, Step::Index(index)) => return Err(format!("`{walked}` has no element {index}")),
        }
    }
    Ok(value.clone())
}

fn to_cel(value: &Value) -> cel::Value {
    match value {
        Value::Null => cel::Value::Null,
        Value::Bool(value) => cel::Value::Bool(*value),
        // Whole numbers are int unless they do not fit, so that `n + 1` means what it says.
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => cel::Value::Int(number),
            (None, Some(number)) => cel::Value::UInt(number),
            _ => cel::Value::Float(number.as_f64().unwrap_or_default()),
        },
        Value::String(text) => cel::Value::String(Arc::new(text.clone())),
        Value::Array(items) => cel::Value::List(Arc::new(items.iter().map(to_cel).collect())),
        Value::Object(fields) => {
            // The interpreter wants a hash map; on the way back keys are sorted, so that its order is never seen.
            #[expect(clippy::disallowed_types, reason = "the interpreter's own map type; its order is never observed")]
            let mut map: std::collections::HashMap<String, cel::Value> =
                fields.iter().map(|(key, field)| (key.clone(), to_cel(field))).collect();
            if let Some(Value::Object(said)) = fields.get(ARTIFACT_KEY) {
                map.extend(said.iter().map(|(key, field)| (key.clone(), to_cel(field))));
            }
            cel::Value::Map(map.into())
        }
    }
}

fn from_cel(value: &cel::Value, depth: usize) -> Result<Value, String> {
    if depth > DEPTH_MAX {
        return Err(format!("the value is nested deeper than {DEPTH_MAX}"));
    }
    Ok(match value {
        cel::Value::Null => Value::Null,
        cel::Value::Bool(value) => json!(value),
        cel::Value::Int(value) => json!(value),
        cel::Value::UInt(value) => json!(value),
        cel::Value::Float(value) => {
            Value::Number(serde_json::Number::from_f64(*value).ok_or_else(|| format!("{value} cannot be written as a number"))?)
        }
        cel::Value::String(text) => json!(**text),
        cel::Value::Bytes(bytes) => json!(String::from_utf8_lossy(bytes)),
        cel::Value::Duration(span) => json!(format!("{}us", span.num_microseconds().unwrap_or_default().max(0))),
        cel::Value::Timestamp(moment) => json!(moment.to_rfc3339()),
        cel::Value::List(items) => Value::Array(items.iter().map(|item| from_cel(item, depth + 1)).collect::<Result<_, _>>()?),
        cel::Value::Map(map) => {
            let mut fields = BTreeMap::new();
            for (key, field) in map.map.iter() {
                fields.insert(key.to_string(), from_cel(field, depth + 1)?);
            }
            // An artifact that went through is the artifact again.
            if let Some(said) = fields.remove(ARTIFACT_KEY) {
                return Ok(json!({ ARTIFACT_KEY: said }));
            }
            Value::Object(fields.into_iter().collect())
        }
        other => return Err(format!("a {:?} is not a value", other.type_of())),
    })
}

#[cfg(test)]
mod tests {
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
