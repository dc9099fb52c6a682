//! The walk over an expression: what is evaluated in which order, and what errors do. Every part that is visited is a step of the meter.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use cel::Env;
use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators};
use model::limits::EXPRESSION_DEPTH_MAX;
use regex::Regex;

use super::Names;
use super::meter::{Meter, Stop, VALUE_BYTES};
use super::path::{self, Found};
use super::term::{Key, Term};

/// Evaluates one expression.
pub(super) struct Walker<'a, 'm> {
    pub(super) names: &'m Names<'a>,
    pub(super) meter: &'m mut Meter,
    pub(super) library: &'m Arc<Env>,
    /// Variables of macros, the innermost last.
    pub(super) variables: Vec<(&'a str, Term<'a>)>,
    /// Patterns that were read.
    pub(super) patterns: BTreeMap<String, Regex>,
    pub(super) depth: usize,
}

pub(super) type Evaluated<'a> = Result<Term<'a>, Stop>;

impl<'a> Walker<'a, '_> {
    /// The value of a part.
    pub(super) fn value(&mut self, node: &'a IdedExpr) -> Evaluated<'a> {
        self.meter.spend(1)?;
        if self.depth > 2 * EXPRESSION_DEPTH_MAX {
            return Err(Stop::Spent(format!("it is nested deeper than {EXPRESSION_DEPTH_MAX} (W0304)")));
        }
        self.depth += 1;
        let found = self.value_within(node);
        self.depth -= 1;
        found
    }

    fn value_within(&mut self, node: &'a IdedExpr) -> Evaluated<'a> {
        match &node.expr {
            Expr::Literal(literal) => self.literal(literal),
            Expr::Ident(name) => self.name(name),
            Expr::Select(select) => self.select(&select.operand, &select.field, select.test),
            Expr::Call(call) => self.call(call),
            Expr::List(list) if list.optional_indices.is_empty() => {
                let mut items = Vec::new();
                for element in &list.elements {
                    items.push(self.value(element)?);
                }
                self.meter.hold(VALUE_BYTES * items.len())?;
                Ok(Term::List(Rc::new(items)))
            }
            Expr::Map(map) => {
                let mut fields = BTreeMap::new();
                for entry in &map.entries {
                    let EntryExpr::MapEntry(entry) = &entry.expr else { continue };
                    if entry.optional {
                        return Stop::failed("optional fields are not part of the language");
                    }
                    let key = self.value(&entry.key)?.key()?;
                    let value = self.value(&entry.value)?;
                    self.meter.hold(2 * VALUE_BYTES)?;
                    fields.insert(key, value);
                }
                Ok(Term::Map(Rc::new(fields)))
            }
            Expr::Comprehension(inner) => self.comprehension(inner),
            Expr::List(_) | Expr::Struct(_) | Expr::Unspecified => {
                Stop::failed("this kind of expression is not part of the language")
            }
        }
    }

    fn literal(&mut self, literal: &'a LiteralValue) -> Evaluated<'a> {
        Ok(match literal {
            LiteralValue::Null => Term::Null,
            LiteralValue::Boolean(value) => Term::Bool(*value.inner()),
            LiteralValue::Int(value) => Term::Int(*value.inner()),
            LiteralValue::UInt(value) => Term::UInt(*value.inner()),
            LiteralValue::Double(value) => Term::Float(*value.inner()),
            LiteralValue::String(text) => Term::Seen(text.inner()),
            LiteralValue::Bytes(bytes) => {
                self.meter.hold(bytes.inner().len())?;
                Term::Other(cel::Value::Bytes(Arc::new(bytes.inner().to_vec())))
            }
        })
    }

    fn variable(&self, name: &str) -> Option<&Term<'a>> {
        self.variables.iter().rev().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    fn name(&mut self, name: &str) -> Evaluated<'a> {
        if let Some(found) = self.variable(name) {
            return Ok(found.clone());
        }
        match path::name(name, self.names).map_err(Stop::Failed)? {
            Found::Value(value) => Ok(Term::of(value)),
            Found::Index(index) => Ok(Term::Int(i64::from(index))),
        }
    }

    /// Whether this is `nodes`, and not a variable of a macro that is called so.
    fn is_nodes(&self, node: &IdedExpr) -> bool {
        matches!(&node.expr, Expr::Ident(name) if name == "nodes") && self.variable("nodes").is_none()
    }

    fn select(&mut self, operand: &'a IdedExpr, field: &str, test: bool) -> Evaluated<'a> {
        if self.is_nodes(operand) {
            let found = path::node(field, self.names);
            return if test { Ok(Term::Bool(found.is_ok())) } else { found.map(Term::of).map_err(Stop::Failed) };
        }
        let value = self.value(operand)?;
        let found = match &value {
            // What was skipped has no fields, and whoever asks for one gets nothing.
            Term::Null => return Ok(if test { Term::Bool(false) } else { Term::Null }),
            Term::Fields(_) | Term::Map(_) => value.field(&Key::text(field)),
            other => return Stop::failed(format!("{} has no field `{field}`", other.name())),
        };
        match found {
            found if test => Ok(Term::Bool(found.is_some())),
            Some(found) => Ok(found),
            None => Stop::failed(match spelled(operand) {
                Some(name) => format!("`{name}` has no field `{field}`"),
                None => format!("there is no field `{field}`"),
            }),
        }
    }

    /// `a[b]`.
    fn element(&mut self, operand: &'a IdedExpr, place: &'a IdedExpr) -> Evaluated<'a> {
        if self.is_nodes(operand) {
            let id = self.value(place)?;
            let Some(id) = id.as_text() else { return Stop::failed("a node is called by a text") };
            return path::node(id, self.names).map(Term::of).map_err(Stop::Failed);
        }
        let value = self.value(operand)?;
        let place = self.value(place)?;
        if matches!(value, Term::Null) {
            return Ok(Term::Null);
        }
        if value.is_list() {
            let index = match place {
                Term::Int(place) => usize::try_from(place).ok(),
                Term::UInt(place) => usize::try_from(place).ok(),
                Term::Float(place) if place >= 0.0 && place.fract() == 0.0 => Some(place as usize),
                other => return Stop::failed(format!("{} is no place in a list", other.name())),
            };
            let count = value.len().unwrap_or(0);
            let found = index.and_then(|index| value.item(index));
            return found.ok_or_else(|| Stop::Failed(format!("there is no such element in a list of {count}")));
        }
        if value.len().is_none() {
            return Stop::failed(format!("{} has no elements", value.name()));
        }
        let key = place.key()?;
        value.field(&key).ok_or_else(|| {
            let name: String = place.as_text().unwrap_or("that").chars().take(60).collect();
            Stop::Failed(format!("there is no field `{name}`"))
        })
    }

    fn call(&mut self, call: &'a CallExpr) -> Evaluated<'a> {
        match (call.func_name.as_str(), call.target.is_some(), call.args.as_slice()) {
            (operators::CONDITIONAL, false, [condition, yes, no]) => {
                let condition = self.value(condition)?;
                self.value(if boolean(&condition, "what stands before `?`")? { yes } else { no })
            }
            (operators::LOGICAL_AND, false, [a, b]) => self.logic(a, b, false),
            (operators::LOGICAL_OR, false, [a, b]) => self.logic(a, b, true),
            (operators::LOGICAL_NOT, false, [a]) => {
                let value = self.value(a)?;
                Ok(Term::Bool(!boolean(&value, "what stands after `!`")?))
            }
            (operators::NOT_STRICTLY_FALSE, false, [a]) => match self.value(a) {
                Ok(value) => Ok(Term::Bool(!matches!(value, Term::Bool(false)))),
                Err(Stop::Failed(_)) => Ok(Term::Bool(true)),
                Err(spent) => Err(spent),
            },
            (operators::INDEX, false, [operand, place]) => self.element(operand, place),
            (name, member, arguments) => {
                let mut operands = Vec::new();
                for argument in call.target.as_deref().into_iter().chain(arguments) {
                    operands.push(self.value(argument)?);
                }
                self.function(name, member, &operands)
            }
        }
    }

    /// `&&` and `||`: what decides on one side stands, whatever became of the other.
    fn logic(&mut self, a: &'a IdedExpr, b: &'a IdedExpr, decides: bool) -> Evaluated<'a> {
        let left = match self.value(a) {
            Ok(Term::Bool(value)) if value == decides => return Ok(Term::Bool(decides)),
            Ok(Term::Bool(_)) => Ok(()),
            Ok(other) => Err(Stop::Failed(format!("`&&` and `||` take booleans, and this is {}", other.name()))),
            Err(error @ Stop::Failed(_)) => Err(error),
            Err(spent) => return Err(spent),
        };
        match (left, self.value(b)?) {
            (Ok(()), Term::Bool(right)) => Ok(Term::Bool(right)),
            (Err(_), Term::Bool(right)) if right == decides => Ok(Term::Bool(decides)),
            (Err(error), _) => Err(error),
            (Ok(()), other) => Stop::failed(format!("`&&` and `||` take booleans, and this is {}", other.name())),
        }
    }

    /// `all`, `exists`, `exists_one`, `map`, `filter`: a value that grows with every element.
    fn comprehension(&mut self, inner: &'a ComprehensionExpr) -> Evaluated<'a> {
        if inner.iter_var2.is_some() {
            return Stop::failed("macros have one variable");
        }
        let range = self.value(&inner.iter_range)?;
        let Some(count) = range.len() else { return Stop::failed(format!("{} cannot be gone through", range.name())) };
        self.meter.spend(count as u64)?;
        let steps = range.steps().unwrap_or_default();
        let below = self.variables.len();
        let found = match Gather::of(inner) {
            Some(gather) => self.gather(inner, &gather, steps),
            None => self.fold(inner, steps),
        };
        self.variables.truncate(below);
        found
    }

    /// A list that every element may add to. It is built in place: joining lists would take the square of its length.
    fn gather(&mut self, inner: &'a ComprehensionExpr, gather: &Gather<'a>, steps: Vec<Term<'a>>) -> Evaluated<'a> {
        let mut items = Vec::new();
        let below = self.variables.len();
        for step in steps {
            self.variables.truncate(below);
            self.variables.push((&inner.iter_var, step));
            if let Some(guard) = gather.guard {
                let holds = self.value(guard)?;
                if !boolean(&holds, "a condition")? {
                    continue;
                }
            }
            for element in gather.elements {
                let value = self.value(element)?;
                self.meter.hold(VALUE_BYTES)?;
                items.push(value);
            }
        }
        Ok(Term::List(Rc::new(items)))
    }

    fn fold(&mut self, inner: &'a ComprehensionExpr, steps: Vec<Term<'a>>) -> Evaluated<'a> {
        let start = self.value(&inner.accu_init)?;
        let below = self.variables.len();
        self.variables.push((&inner.accu_var, start));
        let decides = decides(inner);
        let mut pending = None;
        for step in steps {
            self.variables.truncate(below + 1);
            let goes_on = self.value(&inner.loop_cond)?;
            if !boolean(&goes_on, "a condition")? {
                break;
            }
            self.variables.push((&inner.iter_var, step));
            match (self.value(&inner.loop_step), decides) {
                // An element that has no value may not matter: another one can decide.
                (Err(error @ Stop::Failed(_)), Some(_)) => pending = Some(error),
                (Err(error), _) => return Err(error),
                (Ok(Term::Bool(value)), Some(decides)) if pending.is_some() && value != decides => {}
                (Ok(value), _) => {
                    pending = None;
                    if let Some(grown) = self.variables.get_mut(below) {
                        grown.1 = value;
                    }
                }
            }
        }
        if let Some(error) = pending {
            return Err(error);
        }
        self.variables.truncate(below + 1);
        self.value(&inner.result)
    }
}

/// What decides `all` (false) and `exists` (true), whatever the other elements are; none for other macros.
fn decides(inner: &ComprehensionExpr) -> Option<bool> {
    let Expr::Call(call) = &inner.loop_step.expr else { return None };
    if !call.args.first().is_some_and(|first| is_grown(first, inner)) {
        return None;
    }
    match call.func_name.as_str() {
        operators::LOGICAL_AND => Some(false),
        operators::LOGICAL_OR => Some(true),
        _ => None,
    }
}

fn is_grown(node: &IdedExpr, inner: &ComprehensionExpr) -> bool {
    matches!(&node.expr, Expr::Ident(name) if *name == inner.accu_var)
}

/// The step of `map` and `filter`: `grown + [elements]`, perhaps only where a condition holds.
struct Gather<'a> {
    guard: Option<&'a IdedExpr>,
    elements: &'a [IdedExpr],
}

impl<'a> Gather<'a> {
    fn of(inner: &'a ComprehensionExpr) -> Option<Gather<'a>> {
        let starts_empty = matches!(&inner.accu_init.expr, Expr::List(list) if list.elements.is_empty());
        if !starts_empty || !is_grown(&inner.result, inner) || !matches!(inner.loop_cond.expr, Expr::Literal(_)) {
            return None;
        }
        let elements = |node: &'a IdedExpr| match &node.expr {
            Expr::Call(call) if call.func_name == operators::ADD => match call.args.as_slice() {
                [grown, IdedExpr { expr: Expr::List(list), .. }]
                    if is_grown(grown, inner) && list.optional_indices.is_empty() =>
                {
                    Some(list.elements.as_slice())
                }
                _ => None,
            },
            _ => None,
        };
        match &inner.loop_step.expr {
            Expr::Call(call) if call.func_name == operators::CONDITIONAL => match call.args.as_slice() {
                [guard, step, otherwise] if is_grown(otherwise, inner) => {
                    Some(Gather { guard: Some(guard), elements: elements(step)? })
                }
                _ => None,
            },
            _ => Some(Gather { guard: None, elements: elements(&inner.loop_step)? }),
        }
    }
}

fn boolean(value: &Term<'_>, what: &str) -> Result<bool, Stop> {
    match value {
        Term::Bool(value) => Ok(*value),
        other => Stop::failed(format!("{what} has to be true or false, and this is {}", other.name())),
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
