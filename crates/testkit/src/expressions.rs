//! A little language of expressions: enough for tests of the engine, without the real one.

use engine::{EvalError, Evaluate, Scope};
use model::Template;
use serde_json::{Map, Value};

/// Evaluates paths (`inputs.x`, `nodes.a.b`, `item`, `item.x`, `index`, `run.name`), literals, and comparisons of two of those with `==`,
/// `!=`, `<`, `<=`, `>`, `>=`. A node that was left out is null, and so is a field of null; anything else unknown is an error.
#[derive(Clone, Copy, Debug, Default)]
pub struct Paths;

impl Evaluate for Paths {
    fn render(&self, template: &Template, scope: &Scope<'_>) -> Result<Value, EvalError> {
        render(&template.json, scope)
    }

    fn test(&self, source: &str, scope: &Scope<'_>) -> Result<bool, EvalError> {
        match value(source, scope)? {
            Value::Bool(holds) => Ok(holds),
            other => Err(error(source, format!("gives {other}, which is not true or false"))),
        }
    }
}

fn error(expression: &str, message: impl Into<String>) -> EvalError {
    EvalError { expression: expression.to_owned(), message: message.into() }
}

fn render(json: &Value, scope: &Scope<'_>) -> Result<Value, EvalError> {
    Ok(match json {
        Value::String(text) => text_of(text, scope)?,
        Value::Array(items) => Value::Array(items.iter().map(|item| render(item, scope)).collect::<Result<_, _>>()?),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(key, field)| Ok((key.clone(), render(field, scope)?)));
            Value::Object(fields.collect::<Result<Map<_, _>, EvalError>>()?)
        }
        other => other.clone(),
    })
}

/// A text that is one whole expression keeps the type of its value.
fn text_of(text: &str, scope: &Scope<'_>) -> Result<Value, EvalError> {
    if let Some(inner) = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'))
        && !inner.contains("${")
    {
        return value(inner, scope);
    }
    let mut result = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (inner, after) = after.split_once('}').ok_or_else(|| error(text, "an expression is not closed"))?;
        result.push_str(before);
        match value(inner, scope)? {
            Value::String(text) => result.push_str(&text),
            other => result.push_str(&other.to_string()),
        }
        rest = after;
    }
    result.push_str(rest);
    Ok(Value::String(result))
}

fn value(source: &str, scope: &Scope<'_>) -> Result<Value, EvalError> {
    for operator in ["==", "!=", "<=", ">=", "<", ">"] {
        if let Some((left, right)) = source.split_once(operator) {
            let (left, right) = (operand(left.trim(), scope)?, operand(right.trim(), scope)?);
            let order = left.as_f64().zip(right.as_f64()).and_then(|(left, right)| left.partial_cmp(&right));
            let holds = match operator {
                "==" => Some(left == right),
                "!=" => Some(left != right),
                "<=" => order.map(std::cmp::Ordering::is_le),
                ">=" => order.map(std::cmp::Ordering::is_ge),
                "<" => order.map(std::cmp::Ordering::is_lt),
                _ => order.map(std::cmp::Ordering::is_gt),
            };
            return holds.map(Value::Bool).ok_or_else(|| error(source, "compares what has no order"));
        }
    }
    operand(source.trim(), scope)
}

fn operand(source: &str, scope: &Scope<'_>) -> Result<Value, EvalError> {
    if let Ok(literal) = serde_json::from_str(source) {
        return Ok(literal);
    }
    let mut names = source.split('.');
    let root = names.next().unwrap_or_default();
    let unknown = || error(source, format!("there is no `{source}`"));
    let start: &Value = match root {
        "inputs" => scope.inputs.ok_or_else(unknown)?,
        "run" => scope.run.ok_or_else(unknown)?,
        "item" => scope.item.ok_or_else(unknown)?.0,
        "index" => return scope.item.map(|(_, index)| index.into()).ok_or_else(unknown),
        "nodes" => {
            let node = names.next().unwrap_or_default();
            scope.nodes.iter().find(|(name, _)| *name == node).map(|(_, output)| *output).ok_or_else(unknown)?
        }
        _ => return Err(unknown()),
    };
    let mut found = start;
    for name in names {
        if found.is_null() {
            return Ok(Value::Null);
        }
        let inner = name.parse::<usize>().ok().and_then(|index| found.get(index)).or_else(|| found.get(name));
        found = inner.ok_or_else(unknown)?;
    }
    Ok(found.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_tests_need_is_understood() {
        let (inputs, a, none, item) = (json!({"x": [1, 2]}), json!({"b": 3}), Value::Null, json!({"k": "v"}));
        let scope = Scope { inputs: Some(&inputs), nodes: vec![("a", &a), ("gone", &none)], item: Some((&item, 7)), run: None };
        let render = |json| Paths.render(&Template::new(json), &scope);
        assert_eq!(render(json!({"n": "${ nodes.a.b }", "t": "${item.k}-${ index }"})), Ok(json!({"n": 3, "t": "v-7"})));
        assert_eq!(render(json!("${ inputs.x.1 }")), Ok(json!(2)));
        assert_eq!(render(json!("${ nodes.gone.x }")), Ok(Value::Null));
        assert!(render(json!("${ nodes.other }")).is_err() && render(json!("${ inputs.y }")).is_err());
        assert_eq!(Paths.test("nodes.a.b >= 3", &scope), Ok(true));
        assert_eq!(Paths.test("nodes.gone == null", &scope), Ok(true));
        assert!(Paths.test("nodes.a.b", &scope).is_err());
    }
}
