//! Operators and functions on values. What grows is counted before it is made.

use std::cmp::Ordering;
use std::rc::Rc;

use cel::Context;
use cel::common::ast::{CallExpr, Expr, IdedExpr, operators};
use regex::RegexBuilder;

use super::meter::{Stop, VALUE_BYTES};
use super::term::{Term, float};
use super::walk::{Evaluated, Walker};

/// Bytes that a pattern may take once it is read.
const PATTERN_BYTES_MAX: usize = 256 << 10;
/// Steps for reading a pattern.
const PATTERN_STEPS: u64 = 2_000;
/// Letters of a text that one letter of a pattern is held against in a step.
const MATCHES_A_STEP: usize = 256;

impl<'a> Walker<'a, '_> {
    /// An operator or a function, given what it is applied to; of a member the first is what stands before the dot.
    pub(super) fn function(&mut self, name: &str, member: bool, operands: &[Term<'a>]) -> Evaluated<'a> {
        match (name, operands) {
            (operators::EQUALS, [a, b]) => a.same(b, self.meter, 0).map(Term::Bool),
            (operators::NOT_EQUALS, [a, b]) => a.same(b, self.meter, 0).map(|same| Term::Bool(!same)),
            (operators::LESS, [a, b]) => self.compare(a, b).map(|order| Term::Bool(order == Ordering::Less)),
            (operators::LESS_EQUALS, [a, b]) => self.compare(a, b).map(|order| Term::Bool(order != Ordering::Greater)),
            (operators::GREATER, [a, b]) => self.compare(a, b).map(|order| Term::Bool(order == Ordering::Greater)),
            (operators::GREATER_EQUALS, [a, b]) => self.compare(a, b).map(|order| Term::Bool(order != Ordering::Less)),
            (operators::IN, [a, b]) => self.is_in(a, b),
            (operators::NEGATE, [a]) => match a {
                Term::Int(value) => value.checked_neg().map(Term::Int).ok_or_else(|| Stop::Failed(overflow("-"))),
                Term::Float(value) => Ok(Term::Float(-value)),
                other => Stop::failed(format!("`-` does not go with {}", other.name())),
            },
            (operators::ADD, [a, b]) => self.add(a, b),
            (operators::SUBSTRACT | operators::MULTIPLY | operators::DIVIDE | operators::MODULO, [a, b]) => {
                self.arithmetic(name, a, b)
            }
            ("size", [value]) if value.len().is_some() => Ok(Term::Int(value.len().unwrap_or(0) as i64)),
            ("size", [value]) if value.as_text().is_some() => {
                let text = value.as_text().unwrap_or_default();
                self.meter.read(text.len())?;
                Ok(Term::Int(text.chars().count() as i64))
            }
            ("contains" | "startsWith" | "endsWith" | "matches", [a, b]) => match (a.as_text(), b.as_text()) {
                (Some(text), Some(part)) => self.text(name, text, part).map(Term::Bool),
                _ => Stop::failed(format!("`{name}` takes texts, and this is {} and {}", a.name(), b.name())),
            },
            ("min", operands) => self.extreme(operands, Ordering::Less),
            ("max", operands) => self.extreme(operands, Ordering::Greater),
            ("type", [list]) if list.is_list() => Ok(Term::Seen("list")),
            ("type", [object]) if object.len().is_some() => Ok(Term::Seen("map")),
            ("string", [text]) if text.as_text().is_some() => Ok(text.clone()),
            _ => self.delegate(name, member, operands),
        }
    }

    fn compare(&mut self, a: &Term<'a>, b: &Term<'a>) -> Result<Ordering, Stop> {
        let order = a.order(b, self.meter)?;
        order.ok_or_else(|| Stop::Failed(format!("{} and {} cannot be compared", a.name(), b.name())))
    }

    fn is_in(&mut self, wanted: &Term<'a>, within: &Term<'a>) -> Evaluated<'a> {
        if within.is_list() {
            for place in 0..within.len().unwrap_or(0) {
                let Some(item) = within.item(place) else { break };
                if item.same(wanted, self.meter, 0)? {
                    return Ok(Term::Bool(true));
                }
            }
            return Ok(Term::Bool(false));
        }
        if within.len().is_none() {
            return Stop::failed(format!("`in` takes a list or an object, and this is {}", within.name()));
        }
        // What can be no key is not there.
        Ok(Term::Bool(wanted.key().is_ok_and(|key| within.field(&key).is_some())))
    }

    fn add(&mut self, a: &Term<'a>, b: &Term<'a>) -> Evaluated<'a> {
        if let (Some(a), Some(b)) = (a.as_text(), b.as_text()) {
            self.meter.hold(a.len() + b.len())?;
            return Ok(Term::owned(format!("{a}{b}")));
        }
        if a.is_list() && b.is_list() {
            let count = a.len().unwrap_or(0) + b.len().unwrap_or(0);
            self.meter.hold(VALUE_BYTES * count)?;
            let mut items = a.steps().unwrap_or_default();
            items.extend(b.steps().unwrap_or_default());
            return Ok(Term::List(Rc::new(items)));
        }
        self.arithmetic(operators::ADD, a, b)
    }

    /// Numbers of different kinds mix: a whole one with one that has a fraction gives one that has a fraction.
    fn arithmetic(&mut self, operator: &str, a: &Term<'a>, b: &Term<'a>) -> Evaluated<'a> {
        let sign = operator.trim_matches('_');
        let whole = |term: &Term<'a>| match term {
            Term::Int(value) => Some(i128::from(*value)),
            Term::UInt(value) => Some(i128::from(*value)),
            _ => None,
        };
        if let (Some(x), Some(y)) = (whole(a), whole(b)) {
            if y == 0 && matches!(operator, operators::DIVIDE | operators::MODULO) {
                return Stop::failed("a division by zero");
            }
            let value = match operator {
                operators::ADD => x.checked_add(y),
                operators::SUBSTRACT => x.checked_sub(y),
                operators::MULTIPLY => x.checked_mul(y),
                operators::DIVIDE => x.checked_div(y),
                _ => x.checked_rem(y),
            };
            let unsigned = matches!((a, b), (Term::UInt(_), Term::UInt(_)));
            return match value.map(|value| (i64::try_from(value), u64::try_from(value))) {
                Some((_, Ok(value))) if unsigned => Ok(Term::UInt(value)),
                Some((Ok(value), _)) if !unsigned => Ok(Term::Int(value)),
                _ => Stop::failed(overflow(sign)),
            };
        }
        if let (Some(x), Some(y)) = (float(a), float(b)) {
            return match operator {
                operators::ADD => Ok(Term::Float(x + y)),
                operators::SUBSTRACT => Ok(Term::Float(x - y)),
                operators::MULTIPLY => Ok(Term::Float(x * y)),
                operators::DIVIDE => Ok(Term::Float(x / y)),
                _ => Stop::failed("`%` takes whole numbers"),
            };
        }
        match (a, b) {
            // Spans and moments.
            (Term::Other(_), Term::Other(_)) => self.delegate(operator, false, &[a.clone(), b.clone()]),
            _ => Stop::failed(format!("`{sign}` does not go with {} and {}", a.name(), b.name())),
        }
    }

    fn text(&mut self, name: &str, text: &str, part: &str) -> Result<bool, Stop> {
        let looked_at = if name == "contains" || name == "matches" { text.len() } else { part.len() };
        self.meter.read(looked_at)?;
        Ok(match name {
            "contains" => text.contains(part),
            "startsWith" => text.starts_with(part),
            "endsWith" => text.ends_with(part),
            _ => return self.matches(text, part),
        })
    }

    fn matches(&mut self, text: &str, pattern: &str) -> Result<bool, Stop> {
        if !self.patterns.contains_key(pattern) {
            self.meter.spend(PATTERN_STEPS)?;
            let read = RegexBuilder::new(pattern).size_limit(PATTERN_BYTES_MAX).dfa_size_limit(PATTERN_BYTES_MAX).build();
            let shown: String = pattern.chars().take(60).collect();
            let regex = read.map_err(|_| Stop::Failed(format!("`{shown}` is no regular expression that can be used here")))?;
            self.patterns.insert(pattern.to_owned(), regex);
        }
        // Looking takes at most the product of both.
        self.meter.spend((text.len().saturating_mul(pattern.len()) / MATCHES_A_STEP) as u64)?;
        Ok(self.patterns.get(pattern).is_some_and(|regex| regex.is_match(text)))
    }

    /// The least or the greatest of a list, or of several values.
    fn extreme(&mut self, operands: &[Term<'a>], wanted: Ordering) -> Evaluated<'a> {
        let items = match operands {
            [list] if list.is_list() => list.steps().unwrap_or_default(),
            operands => operands.to_vec(),
        };
        self.meter.spend(items.len() as u64)?;
        let mut items = items.into_iter();
        let mut best = items.next().unwrap_or(Term::Null);
        for item in items {
            if self.compare(&item, &best)? == wanted {
                best = item;
            }
        }
        Ok(best)
    }

    /// Functions of texts, spans and moments, which the library has: it is asked for one step, with values that have no parts.
    fn delegate(&mut self, name: &str, member: bool, operands: &[Term<'a>]) -> Evaluated<'a> {
        let mut context = Context::with_env(self.library.clone());
        let mut arguments = Vec::new();
        for (place, operand) in operands.iter().enumerate() {
            let value = operand.to_cel(self.meter).map_err(|stop| match stop {
                Stop::Failed(_) => Stop::Failed(format!("`{name}` does not go with {}", operand.name())),
                spent => spent,
            })?;
            let variable = format!("@{place}");
            context.add_variable_from_value(variable.clone(), value);
            arguments.push(IdedExpr { id: 0, expr: Expr::Ident(variable) });
        }
        let target = (member && !arguments.is_empty()).then(|| Box::new(arguments.remove(0)));
        let call = IdedExpr { id: 0, expr: Expr::Call(CallExpr { func_name: name.to_owned(), target, args: arguments }) };
        let found = cel::Value::resolve(&call, &context).map_err(|error| {
            let told: String = error.to_string().chars().take(200).collect();
            Stop::Failed(told.replace("'@in'", "`in`"))
        })?;
        Term::of_cel(found, self.meter)
    }
}

fn overflow(sign: &str) -> String {
    format!("the result of `{sign}` does not fit into a whole number")
}
