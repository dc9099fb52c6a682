//! The static checker of expressions: names, types, functions, and what evaluating may cost. What is known to cost too much is refused before
//! it runs; what only the values decide is counted while it runs, by the meter of the evaluator.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cel::common::ast::{EntryExpr, Expr, IdedExpr, LiteralValue, operators};
use cel::parser::PrattParser;
use model::limits::{
    EACH_ITEMS_MAX, EVALUATION_BYTES_MAX, EXPRESSION_BRACKETS_MAX, EXPRESSION_BYTES_MAX, EXPRESSION_COST_MAX,
    EXPRESSION_DEPTH_MAX,
};

use crate::functions::FUNCTIONS;
use crate::suggest::nearest;
use crate::types::Type;

/// Lists of unknown length within one another: more is refused.
const UNBOUNDED_NESTS_MAX: u32 = 2;
/// Bytes that a value counts with beside its text.
const VALUE_BYTES: u64 = 32;
/// What an expression can see.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// Types by name: `inputs`, `nodes`, `item`, `index`, `run`.
    pub names: BTreeMap<String, Type>,
}

/// What is wrong with an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The code of the finding.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// What is known of an expression.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    /// The type of its value.
    pub result: Type,
    /// Nodes whose outputs it refers to.
    pub nodes: BTreeSet<String>,
    /// Tags that what it reads carries: those of every value it looks at, conditions included.
    pub labels: BTreeSet<String>,
    /// What evaluating it takes at most, as far as it can be known.
    pub cost: Cost,
}

/// What evaluating takes. Texts of unknown length count with nothing: they are counted while it happens, by the meter of the evaluator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Steps.
    pub steps: u64,
    /// Bytes of the value.
    pub size: u64,
    /// Bytes of other values made on the way.
    pub made: u64,
}

impl Cost {
    fn one() -> Cost {
        Cost { steps: 1, ..Cost::default() }
    }

    /// With what a part of it takes; the value of the part is none of it.
    fn and(self, part: Cost) -> Cost {
        Cost { steps: self.steps.saturating_add(part.steps), made: self.made.saturating_add(part.made), ..self }
    }

    /// With what a part of it takes; the value of the part is a part of its value.
    fn with(self, part: Cost) -> Cost {
        Cost { size: self.size.saturating_add(part.size), ..self.and(part) }
    }

    fn times(self, count: u64) -> Cost {
        let times = |amount: u64| amount.saturating_mul(count);
        Cost { steps: times(self.steps), size: times(self.size), made: times(self.made) }
    }

    fn bytes(self) -> u64 {
        self.size.saturating_add(self.made)
    }
}

/// Reads an expression that is neither too long nor too deep to be read. Of the library's two readers this is the one written by hand: the
/// generated one takes more than 100 kB of the stack for every bracket, which a text of twenty brackets uses up.
pub(crate) fn read(source: &str) -> Result<IdedExpr, Problem> {
    let too_much = |message: String| Problem { code: "W0304", message, hint: Some("do the work in a node".into()) };
    if source.len() > EXPRESSION_BYTES_MAX {
        return Err(too_much(format!("the expression is {} bytes; at most {EXPRESSION_BYTES_MAX} are allowed", source.len())));
    }
    let (levels, brackets) = depth(source);
    if levels > EXPRESSION_DEPTH_MAX {
        return Err(too_much(format!("the expression is nested deeper than {EXPRESSION_DEPTH_MAX}")));
    }
    if brackets > EXPRESSION_BRACKETS_MAX {
        return Err(too_much(format!("the expression has more than {EXPRESSION_BRACKETS_MAX} brackets within one another")));
    }
    PrattParser::new().parse(source).map_err(|error| {
        let told = error.to_string();
        let message = in_words(told.lines().next().unwrap_or_default());
        Problem { code: "W0301", message: format!("`{source}` is not an expression: {message}"), hint: None }
    })
}

/// What the reader of expressions says, without its own place and the list of all that could stand there.
fn in_words(told: &str) -> String {
    let message = told.rsplit_once("Syntax error: ").map_or(told, |(_, message)| message);
    let message =
        message.split(" expecting ").next().unwrap_or(message).replace("'<EOF>'", "the end").replace("<EOF>", "the end");
    let message =
        message.replace("mismatched input the end", "it ends too early").replace("mismatched input", "there should not be");
    message.chars().take(200).collect()
}

/// Checks an expression.
pub fn check(source: &str, environment: &Environment) -> Result<Checked, Problem> {
    let expression = read(source)?;
    let mut checker = Checker {
        scopes: vec![environment.names.clone()],
        nodes: BTreeSet::new(),
        labels: BTreeSet::new(),
        unbounded: 0,
        depth: 0,
    };
    let (result, cost) = checker.infer(&expression)?;
    if cost.steps > EXPRESSION_COST_MAX {
        let message = format!("evaluating `{source}` may take {} steps; at most {EXPRESSION_COST_MAX} are allowed", cost.steps);
        return Err(Problem {
            code: "W0304",
            message,
            hint: Some("give the lists a `maxItems`, or do the work in a node".into()),
        });
    }
    if cost.bytes() > EVALUATION_BYTES_MAX {
        let message = format!("`{source}` may make {} bytes of values; at most {EVALUATION_BYTES_MAX} are allowed", cost.bytes());
        return Err(Problem {
            code: "W0304",
            message,
            hint: Some("give the lists a `maxItems`, or pass the data as an artifact".into()),
        });
    }
    Ok(Checked { result, nodes: checker.nodes, labels: checker.labels, cost })
}

/// Levels that reading an expression may take at most, counted on its letters: the parser has to be kept from what would use up the stack.
/// Operators of a chain nest; a comma begins anew at the level of its bracket. And how many brackets are open at once: each takes many calls.
fn depth(source: &str) -> (usize, usize) {
    let (mut level, mut most, mut open, mut quote, mut escaped) = (0usize, 0usize, Vec::new(), None, false);
    let mut brackets = 0;
    for c in source.chars() {
        match (quote, c) {
            (Some(_), _) if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(mark), c) if c == mark => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '(' | '[' | '{') => {
                level += 1;
                open.push(level);
                brackets = brackets.max(open.len());
            }
            (None, ')' | ']' | '}') => level = open.pop().unwrap_or(level),
            (None, ',') => level = open.last().copied().unwrap_or(0),
            (None, '+' | '-' | '*' | '/' | '%' | '!' | '&' | '|' | '<' | '>' | '=' | '?' | ':' | '.') => level += 1,
            _ => {}
        }
        most = most.max(level);
    }
    (most, brackets)
}

struct Checker {
    scopes: Vec<BTreeMap<String, Type>>,
    nodes: BTreeSet<String>,
    labels: BTreeSet<String>,
    unbounded: u32,
    depth: usize,
}

type Inferred = Result<(Type, Cost), Problem>;

fn wrong(message: String) -> Problem {
    Problem { code: "W0303", message, hint: None }
}

impl Checker {
    /// The type of an expression that is read: all its tags count.
    fn infer(&mut self, node: &IdedExpr) -> Inferred {
        let (found, cost) = self.path(node)?;
        found.tags(&mut self.labels);
        Ok((found.peel().0.clone(), cost))
    }

    /// The type of an expression of which perhaps only a part is read.
    fn path(&mut self, node: &IdedExpr) -> Inferred {
        self.depth += 1;
        if self.depth > EXPRESSION_DEPTH_MAX {
            let message = format!("the expression is nested deeper than {EXPRESSION_DEPTH_MAX}");
            return Err(Problem { code: "W0304", message, hint: Some("do the work in a node".into()) });
        }
        let inferred = self.path_within(node);
        self.depth -= 1;
        inferred
    }

    fn path_within(&mut self, node: &IdedExpr) -> Inferred {
        match &node.expr {
            Expr::Literal(literal) => {
                let size = match literal {
                    LiteralValue::String(text) => text.inner().len() as u64,
                    _ => 0,
                };
                Ok((of_literal(literal), Cost { size, ..Cost::one() }))
            }
            Expr::Ident(name) if name == "nodes" => Err(Problem {
                code: "W0302",
                message: "`nodes` alone is not a value: what a node waits for has to be known before it runs".into(),
                hint: Some("name one of them: `nodes.my_node`, or `nodes[\"my-node\"]`".into()),
            }),
            Expr::Ident(name) => self.name(name),
            Expr::Select(select) => self.select(&select.operand, &select.field, select.test),
            Expr::List(list) => {
                let mut cost = Cost { size: VALUE_BYTES * list.elements.len() as u64, ..Cost::one() };
                let mut types = Vec::new();
                for element in &list.elements {
                    let (found, part) = self.infer(element)?;
                    cost = cost.with(part);
                    types.push(found);
                }
                let first = types.first().cloned().unwrap_or(Type::Any);
                let item = if types.iter().all(|found| *found == first) { first } else { Type::Any };
                Ok((Type::List(Arc::new(item), Some(types.len() as u64)), cost))
            }
            Expr::Map(map) => {
                let (mut fields, mut cost, mut open) = (BTreeMap::new(), Cost::one(), false);
                for entry in &map.entries {
                    let EntryExpr::MapEntry(entry) = &entry.expr else { continue };
                    let (_, key) = self.infer(&entry.key)?;
                    let (found, part) = self.infer(&entry.value)?;
                    cost = cost.with(key).with(part).with(Cost { size: VALUE_BYTES, ..Cost::default() });
                    match &entry.key.expr {
                        Expr::Literal(LiteralValue::String(key)) => drop(fields.insert(key.inner().to_owned(), found)),
                        _ => open = true,
                    }
                }
                Ok((Type::object(fields, open), cost))
            }
            Expr::Call(call) => self.call(&call.func_name, call.target.as_deref(), &call.args),
            Expr::Comprehension(inner) => self.comprehension(inner),
            Expr::Struct(_) | Expr::Unspecified => Err(wrong("this kind of expression is not part of the language".into())),
        }
    }

    fn name(&self, name: &str) -> Inferred {
        if let Some(found) = self.scopes.iter().rev().find_map(|scope| scope.get(name)) {
            return Ok((found.clone(), Cost::one()));
        }
        let known: Vec<&str> =
            self.scopes.iter().flat_map(|scope| scope.keys().map(String::as_str)).filter(|name| !name.starts_with('@')).collect();
        let hint = match nearest(name, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("expressions see {}; a shell's `${{{name}}}` is written `$${{{name}}}`", known.join(", ")),
        };
        Err(Problem { code: "W0302", message: format!("there is no `{name}` here"), hint: Some(hint) })
    }

    fn select(&mut self, operand: &IdedExpr, field: &str, test: bool) -> Inferred {
        if is_nodes(operand) {
            let found = self.node(field)?;
            return Ok((if test { Type::Boolean } else { found }, Cost::one()));
        }
        let (found, cost) = self.path(operand)?;
        let (found, tags) = found.peel();
        self.labels.extend(tags);
        let result = match found {
            Type::Object(fields, open) => match fields.get(field) {
                Some(found) => found.clone(),
                None if *open || test => Type::Any,
                None => return Err(no_field(field, fields)),
            },
            Type::Any | Type::Null => Type::Any,
            Type::Artifact if field == "size" => Type::Integer,
            Type::Artifact if matches!(field, "digest" | "name" | "kind") => Type::Text,
            other => return Err(wrong(format!("{} has no field `{field}`", other.name()))),
        };
        Ok((if test { Type::Boolean } else { result }, Cost::one().and(cost)))
    }

    /// The output of a node, `nodes.id` or `nodes["id"]`.
    fn node(&mut self, id: &str) -> Result<Type, Problem> {
        let (all, _) = self.name("nodes")?;
        let Type::Object(known, _) = &all else { return Ok(Type::Any) };
        let Some(found) = known.get(id) else {
            let near = nearest(id, known.keys().map(String::as_str)).map(|near| format!("did you mean `{near}`?"));
            let dashed = known.keys().find(|name| name.split('-').next() == Some(id));
            let hint =
                near.or_else(|| dashed.map(|name| format!("write `nodes[\"{name}\"]`: a `-` within a path is a subtraction")));
            return Err(Problem { code: "W0201", message: format!("there is no node `{id}`"), hint });
        };
        self.nodes.insert(id.to_owned());
        Ok(found.clone())
    }

    /// `a[b]`.
    fn element(&mut self, operand: &IdedExpr, place: &IdedExpr) -> Inferred {
        if is_nodes(operand) {
            let Expr::Literal(LiteralValue::String(id)) = &place.expr else {
                let message = "the node in `nodes[…]` has to be written out as a text";
                return Err(Problem {
                    code: "W0302",
                    message: message.into(),
                    hint: Some("what a node waits for has to be known before it runs".into()),
                });
            };
            return Ok((self.node(id.inner())?, Cost::one()));
        }
        let (found, cost) = self.path(operand)?;
        let (_, part) = self.infer(place)?;
        let (found, tags) = found.peel();
        self.labels.extend(tags);
        let cost = Cost::one().and(cost).and(part);
        match found {
            Type::List(item, _) => Ok(((**item).clone(), cost)),
            Type::Object(fields, open) => match &place.expr {
                Expr::Literal(LiteralValue::String(key)) => match fields.get(key.inner()) {
                    Some(found) => Ok((found.clone(), cost)),
                    None if *open => Ok((Type::Any, cost)),
                    None => Err(no_field(key.inner(), fields)),
                },
                _ => {
                    fields.values().for_each(|field| field.tags(&mut self.labels));
                    Ok((Type::Any, cost))
                }
            },
            Type::Any | Type::Null => Ok((Type::Any, cost)),
            other => Err(wrong(format!("{} has no elements", other.name()))),
        }
    }

    fn call(&mut self, function: &str, target: Option<&IdedExpr>, arguments: &[IdedExpr]) -> Inferred {
        if let (operators::INDEX, None, [operand, place]) = (function, target, arguments) {
            return self.element(operand, place);
        }
        let mut types = Vec::new();
        let mut cost = Cost::one();
        // What joins or chooses has a value made of theirs.
        let keeps = matches!(function, operators::ADD | operators::CONDITIONAL);
        for argument in target.into_iter().chain(arguments) {
            let (found, part) = self.infer(argument)?;
            cost = if keeps { cost.with(part) } else { cost.and(part) };
            types.push(found);
        }
        let result = match function {
            operators::LOGICAL_AND | operators::LOGICAL_OR | operators::LOGICAL_NOT => {
                if let Some(other) = types.iter().find(|found| !found.fits(&Type::Boolean)) {
                    return Err(wrong(format!("`&&`, `||` and `!` take booleans, and this is {}", other.name())));
                }
                Type::Boolean
            }
            operators::CONDITIONAL => {
                if let Some(other) = types.first().filter(|found| !found.fits(&Type::Boolean)) {
                    return Err(wrong(format!("what stands before `?` has to be a boolean, and this is {}", other.name())));
                }
                let (yes, no) = (types.get(1).cloned().unwrap_or(Type::Any), types.get(2).cloned().unwrap_or(Type::Any));
                if yes == no { yes } else { Type::Any }
            }
            operators::EQUALS | operators::NOT_EQUALS => {
                comparable(&types, true)?;
                Type::Boolean
            }
            operators::LESS | operators::LESS_EQUALS | operators::GREATER | operators::GREATER_EQUALS => {
                comparable(&types, false)?;
                Type::Boolean
            }
            operators::ADD
            | operators::SUBSTRACT
            | operators::MULTIPLY
            | operators::DIVIDE
            | operators::MODULO
            | operators::NEGATE => arithmetic(function, &types)?,
            operators::IN => Type::Boolean,
            operators::NOT_STRICTLY_FALSE => Type::Boolean,
            "size" | "int" => Type::Integer,
            "string" => Type::Text,
            "double" => Type::Number,
            "contains" | "startsWith" | "endsWith" | "matches" | "bool" => Type::Boolean,
            known if FUNCTIONS.contains(&known) => Type::Any,
            other => {
                let hint = nearest(other, FUNCTIONS).map(|near| format!("did you mean `{near}`?"));
                let message = format!("there is no function `{other}`");
                return Err(Problem {
                    code: "W0305",
                    message,
                    hint: hint.or_else(|| Some(format!("there are {}", FUNCTIONS.join(", ")))),
                });
            }
        };
        Ok((result, cost))
    }

    /// `all`, `exists`, `map`, `filter`: the steps of the body for every element.
    fn comprehension(&mut self, inner: &cel::common::ast::ComprehensionExpr) -> Inferred {
        let (range, range_cost) = self.infer(&inner.iter_range)?;
        let (item, count) = match range {
            Type::List(item, Some(count)) => ((*item).clone(), count),
            Type::List(item, None) => ((*item).clone(), EACH_ITEMS_MAX as u64),
            Type::Object(..) => (Type::Text, 1_000),
            Type::Any | Type::Null => (Type::Any, EACH_ITEMS_MAX as u64),
            other => return Err(wrong(format!("{} cannot be gone through", other.name()))),
        };
        let bounded = count < EACH_ITEMS_MAX as u64;
        self.unbounded += u32::from(!bounded);
        if self.unbounded > UNBOUNDED_NESTS_MAX {
            let message = format!("more than {UNBOUNDED_NESTS_MAX} lists of unknown length are gone through within one another");
            return Err(Problem { code: "W0304", message, hint: Some("give the lists a `maxItems`".into()) });
        }
        let (start, _) = self.infer(&inner.accu_init)?;
        // A list being built holds what its steps put there; its type is learned from one of them.
        let gathers = matches!(start, Type::List(..));
        let start = if gathers { Type::List(Arc::new(Type::Any), Some(count)) } else { start };
        for name in [Some(&inner.iter_var), inner.iter_var2.as_ref()].into_iter().flatten() {
            if self.scopes.first().is_some_and(|names| names.contains_key(name)) || name == "nodes" {
                let message = format!("`{name}` is a name of the language, and no variable of a macro");
                return Err(Problem { code: "W0302", message, hint: Some("call the variable something else".into()) });
            }
        }
        let mut scope = BTreeMap::from([(inner.iter_var.clone(), item), (inner.accu_var.clone(), start)]);
        if let Some(second) = &inner.iter_var2 {
            scope.insert(second.clone(), Type::Any);
        }
        self.scopes.push(scope);
        let condition = self.infer(&inner.loop_cond);
        let step = self.infer(&inner.loop_step);
        let result = self.infer(&inner.result);
        self.scopes.pop();
        self.unbounded -= u32::from(!bounded);
        let (condition, step, result) = (condition?, step?, result?);
        let body = if gathers { condition.1.with(step.1) } else { condition.1.and(step.1) };
        let cost = body.times(count).and(range_cost).and(result.1);
        Ok((if gathers { Type::List(Arc::new(Type::Any), Some(count)) } else { result.0 }, cost))
    }
}

fn no_field(field: &str, fields: &BTreeMap<String, Type>) -> Problem {
    let known: Vec<&str> = fields.keys().map(String::as_str).take(20).collect();
    let hint = match nearest(field, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => "it has no fields".into(),
        None => format!("it has {}", known.join(", ")),
    };
    Problem { code: "W0306", message: format!("there is no field `{field}` here"), hint: Some(hint) }
}

fn is_nodes(operand: &IdedExpr) -> bool {
    matches!(&operand.expr, Expr::Ident(name) if name == "nodes")
}

fn of_literal(literal: &LiteralValue) -> Type {
    match literal {
        LiteralValue::Boolean(_) => Type::Boolean,
        LiteralValue::Double(_) => Type::Number,
        LiteralValue::Int(_) | LiteralValue::UInt(_) => Type::Integer,
        LiteralValue::Null => Type::Null,
        LiteralValue::String(_) => Type::Text,
        LiteralValue::Bytes(_) => Type::Any,
    }
}

fn comparable(types: &[Type], equality: bool) -> Result<(), Problem> {
    let [a, b] = types else { return Ok(()) };
    let ordered =
        |found: &Type| matches!(found, Type::Any | Type::Integer | Type::Number | Type::Text | Type::Boolean | Type::Null);
    let related = a.fits(b) || b.fits(a);
    if !related || !(equality || ordered(a) && ordered(b)) {
        return Err(wrong(format!("{} and {} cannot be compared", a.name(), b.name())));
    }
    Ok(())
}

fn arithmetic(operator: &str, types: &[Type]) -> Result<Type, Problem> {
    let number = |found: &Type| matches!(found, Type::Integer | Type::Number);
    match types {
        [Type::Any | Type::Null, ..] | [_, Type::Any | Type::Null] => Ok(Type::Any),
        [a] if number(a) => Ok(a.clone()),
        [a, b] if number(a) && number(b) => Ok(if a == b { a.clone() } else { Type::Number }),
        [Type::Text, Type::Text] if operator == operators::ADD => Ok(Type::Text),
        [Type::List(a, n), Type::List(b, m)] if operator == operators::ADD => {
            let item = if a == b { (**a).clone() } else { Type::Any };
            Ok(Type::List(Arc::new(item), n.zip(*m).map(|(n, m)| n + m)))
        }
        _ => {
            let names: Vec<String> = types.iter().map(Type::name).collect();
            let mut problem = wrong(format!("`{}` does not go with {}", operator.trim_matches('_'), names.join(" and ")));
            if types.contains(&Type::Text) {
                problem.hint = Some("turn the other side into a text with `string(…)`".into());
            }
            Err(problem)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn run(source: &str) -> Result<Checked, Problem> {
        let types = |value| Type::of_schema(&value);
        let inputs = types(json!({"type": "object", "properties": {
            "n": {"type": "integer"}, "s": {"type": "string"}, "long": {"type": "array", "items": {"type": "integer"}},
            "short": {"type": "array", "items": {"type": "string"}, "maxItems": 10}}, "additionalProperties": false}));
        let nodes = Type::object(
            BTreeMap::from([
                (
                    "a".into(),
                    types(json!({"type": "object", "properties": {"auc": {"type": "number"}}, "additionalProperties": false})),
                ),
                ("b".into(), Type::Any),
            ]),
            false,
        );
        check(source, &Environment { names: BTreeMap::from([("inputs".into(), inputs), ("nodes".into(), nodes)]) })
    }

    fn code(source: &str) -> &'static str {
        run(source).unwrap_err().code
    }

    #[test]
    fn types_are_inferred() {
        assert_eq!(run("nodes.a.auc >= 0.75 && inputs.n == 1").unwrap().result, Type::Boolean);
        assert_eq!(run("inputs.n + 1").unwrap().result, Type::Integer);
        assert_eq!(run("inputs.s + 'x'").unwrap().result, Type::Text);
        assert_eq!(run("inputs.short[0]").unwrap().result, Type::Text);
        assert_eq!(run("has(nodes.b.x) ? nodes.b.x : 0").unwrap().nodes, BTreeSet::from(["b".to_owned()]));
        assert_eq!(run("inputs.long.exists(x, x > nodes.a.auc)").unwrap().result, Type::Boolean);
        assert_eq!(run("inputs.short.map(x, x + 'y')").unwrap().nodes.len(), 0);
    }

    #[test]
    fn mistakes_are_found() {
        assert_eq!(code("inputs.s + 1"), "W0303");
        assert_eq!(code("!inputs.n"), "W0303");
        assert_eq!(code("inputs.s > 1"), "W0303");
        assert_eq!(code("inputs.m"), "W0306");
        assert_eq!(code("nodes.c.x"), "W0201");
        assert_eq!(code("nodes.a.acu"), "W0306");
        assert_eq!(code("HOME"), "W0302");
        assert_eq!(code("now()"), "W0305");
        assert_eq!(code("1 +"), "W0301");
        assert_eq!(code(&"1 + ".repeat(2_000)), "W0304");
        assert!(run("nodes.a.acu").unwrap_err().hint.unwrap().contains("auc"));
    }

    #[test]
    fn what_costs_too_much_is_refused() {
        assert!(run("inputs.short.all(x, inputs.short.all(y, inputs.short.all(z, x == y || y == z)))").is_ok());
        assert_eq!(code("inputs.long.all(x, inputs.long.all(y, x == y))"), "W0304");
        assert_eq!(code("inputs.long.map(a, inputs.long.map(b, inputs.long.map(c, c)))"), "W0304");
        let list =
            "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30]";
        let text = "x".repeat(3_000);
        assert_eq!(code(&format!("{list}.map(a, {list}.map(b, {list}.map(c, '{text}')))")), "W0304", "27,000 texts of 3 kB");
        assert!(run(&format!("{list}.map(a, {list}.map(b, '{text}'))")).is_ok());
        assert_eq!(code(&format!("inputs.long.map(a, {{'text': '{text}{text}'}})")), "W0304");
    }
}
