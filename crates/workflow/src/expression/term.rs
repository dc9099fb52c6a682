//! Values while an expression is evaluated. What comes from outside is looked at where it lies; only what is new is made.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::{Map, Number, Value, json};

use super::meter::{Meter, Stop, VALUE_BYTES};
use super::path;

/// Levels of nesting of a value that is compared or given back.
const DEPTH_MAX: usize = 128;

/// A value.
#[derive(Clone, Debug)]
pub(super) enum Term<'a> {
    Null,
    Bool(bool),
    Int(i64),
    UInt(u64),
    Float(f64),
    /// A text that lies elsewhere.
    Seen(&'a str),
    Text(Rc<str>),
    /// A list that lies elsewhere.
    Items(&'a [Value]),
    List(Rc<Vec<Term<'a>>>),
    /// An object that lies elsewhere.
    Fields(&'a Value),
    Map(Rc<BTreeMap<Key, Term<'a>>>),
    /// Bytes, spans and moments of time, types.
    Other(cel::Value),
}

/// A key of a map made by an expression.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Bool(bool),
    Int(i64),
    UInt(u64),
    Text(Rc<str>),
}

impl Key {
    pub(super) fn text(text: &str) -> Key {
        Key::Text(Rc::from(text))
    }

    fn written(&self) -> String {
        match self {
            Key::Bool(value) => value.to_string(),
            Key::Int(value) => value.to_string(),
            Key::UInt(value) => value.to_string(),
            Key::Text(text) => text.to_string(),
        }
    }

    pub(super) fn term<'a>(&self) -> Term<'a> {
        match self {
            Key::Bool(value) => Term::Bool(*value),
            Key::Int(value) => Term::Int(*value),
            Key::UInt(value) => Term::UInt(*value),
            Key::Text(text) => Term::Text(text.clone()),
        }
    }
}

impl<'a> Term<'a> {
    /// A value that lies elsewhere.
    pub(super) fn of(value: &'a Value) -> Term<'a> {
        match value {
            Value::Null => Term::Null,
            Value::Bool(value) => Term::Bool(*value),
            // Whole numbers are int unless they do not fit, so that `n + 1` means what it says.
            Value::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(number), _) => Term::Int(number),
                (None, Some(number)) => Term::UInt(number),
                _ => Term::Float(number.as_f64().unwrap_or_default()),
            },
            Value::String(text) => Term::Seen(text),
            Value::Array(items) => Term::Items(items),
            Value::Object(_) => Term::Fields(value),
        }
    }

    /// A text of one's own.
    pub(super) fn owned(text: String) -> Term<'a> {
        Term::Text(Rc::from(text))
    }

    pub(super) fn as_text(&self) -> Option<&str> {
        match self {
            Term::Seen(text) => Some(text),
            Term::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The number of its elements or fields.
    pub(super) fn len(&self) -> Option<usize> {
        match self {
            Term::Items(items) => Some(items.len()),
            Term::List(items) => Some(items.len()),
            Term::Fields(value) => Some(value.as_object().map_or(0, Map::len)),
            Term::Map(fields) => Some(fields.len()),
            _ => None,
        }
    }

    pub(super) fn is_list(&self) -> bool {
        matches!(self, Term::Items(_) | Term::List(_))
    }

    /// An element of a list.
    pub(super) fn item(&self, place: usize) -> Option<Term<'a>> {
        match self {
            Term::Items(items) => items.get(place).map(Term::of),
            Term::List(items) => items.get(place).cloned(),
            _ => None,
        }
    }

    /// A field of an object.
    pub(super) fn field(&self, key: &Key) -> Option<Term<'a>> {
        match (self, key) {
            (Term::Fields(value), Key::Text(name)) => path::field(value, name).map(Term::of),
            (Term::Map(fields), key) => fields.get(key).cloned(),
            _ => None,
        }
    }

    /// What is gone through: the elements of a list, the keys of an object in alphabetical order.
    pub(super) fn steps(&self) -> Option<Vec<Term<'a>>> {
        match self {
            Term::Items(items) => Some(items.iter().map(Term::of).collect()),
            Term::List(items) => Some(items.to_vec()),
            Term::Fields(Value::Object(fields)) => {
                let mut keys: Vec<&str> = fields.keys().map(String::as_str).collect();
                keys.sort_unstable();
                Some(keys.into_iter().map(Term::Seen).collect())
            }
            Term::Map(fields) => Some(fields.keys().map(Key::term).collect()),
            _ => None,
        }
    }

    /// As a key of a map.
    pub(super) fn key(&self) -> Result<Key, Stop> {
        match self {
            Term::Bool(value) => Ok(Key::Bool(*value)),
            Term::Int(value) => Ok(Key::Int(*value)),
            Term::UInt(value) => Ok(i64::try_from(*value).map_or(Key::UInt(*value), Key::Int)),
            other => match other.as_text() {
                Some(text) => Ok(Key::text(text)),
                None => Stop::failed(format!("{} is no key of a map", other.name())),
            },
        }
    }

    /// What it is, in a word.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Term::Null => "nothing",
            Term::Bool(_) => "a boolean",
            Term::Int(_) | Term::UInt(_) => "a whole number",
            Term::Float(_) => "a number",
            Term::Seen(_) | Term::Text(_) => "a text",
            Term::Items(_) | Term::List(_) => "a list",
            Term::Fields(_) | Term::Map(_) => "an object",
            Term::Other(cel::Value::Bytes(_)) => "bytes",
            Term::Other(cel::Value::Duration(_)) => "a span of time",
            Term::Other(cel::Value::Timestamp(_)) => "a moment",
            Term::Other(_) => "a type",
        }
    }

    /// As the interpreter's own value, for what has no parts.
    pub(super) fn to_cel(&self, meter: &mut Meter) -> Result<cel::Value, Stop> {
        Ok(match self {
            Term::Null => cel::Value::Null,
            Term::Bool(value) => cel::Value::Bool(*value),
            Term::Int(value) => cel::Value::Int(*value),
            Term::UInt(value) => cel::Value::UInt(*value),
            Term::Float(value) => cel::Value::Float(*value),
            Term::Other(value) => value.clone(),
            other => match other.as_text() {
                Some(text) => {
                    meter.hold(text.len())?;
                    cel::Value::from(text)
                }
                None => return Stop::failed(format!("{} is not taken here", other.name())),
            },
        })
    }

    /// The interpreter's own value.
    pub(super) fn of_cel(value: cel::Value, meter: &mut Meter) -> Result<Term<'a>, Stop> {
        Ok(match value {
            cel::Value::Null => Term::Null,
            cel::Value::Bool(value) => Term::Bool(value),
            cel::Value::Int(value) => Term::Int(value),
            cel::Value::UInt(value) => Term::UInt(value),
            cel::Value::Float(value) => Term::Float(value),
            cel::Value::String(text) => {
                meter.hold(text.len())?;
                Term::Text(Rc::from(text.as_str()))
            }
            other => Term::Other(other),
        })
    }

    /// Whether two values are the same. Values of different kinds are not, numbers of different kinds may be.
    pub(super) fn same(&self, other: &Term<'_>, meter: &mut Meter, depth: usize) -> Result<bool, Stop> {
        meter.spend(1)?;
        if depth > DEPTH_MAX {
            return Stop::failed(format!("the values are nested deeper than {DEPTH_MAX}"));
        }
        if let (Some(a), Some(b)) = (self.as_text(), other.as_text()) {
            meter.read(a.len().min(b.len()))?;
            return Ok(a == b);
        }
        if self.is_list() && other.is_list() {
            let count = self.len().unwrap_or(0);
            if other.len() != Some(count) {
                return Ok(false);
            }
            for place in 0..count {
                let (Some(a), Some(b)) = (self.item(place), other.item(place)) else { return Ok(false) };
                if !a.same(&b, meter, depth + 1)? {
                    return Ok(false);
                }
            }
            return Ok(true);
        }
        match (self, other) {
            (Term::Fields(_) | Term::Map(_), Term::Fields(_) | Term::Map(_)) => {
                if self.len() != other.len() {
                    return Ok(false);
                }
                for key in self.steps().unwrap_or_default() {
                    let key = key.key()?;
                    let (Some(a), Some(b)) = (self.field(&key), other.field(&key)) else { return Ok(false) };
                    if !a.same(&b, meter, depth + 1)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            (Term::Other(a), Term::Other(b)) => Ok(a == b),
            _ => Ok(numbers(self, other) == Some(Ordering::Equal) || plain(self, other)),
        }
    }

    /// Which of two comes first; none when they have no order.
    pub(super) fn order(&self, other: &Term<'_>, meter: &mut Meter) -> Result<Option<Ordering>, Stop> {
        if let (Some(a), Some(b)) = (self.as_text(), other.as_text()) {
            meter.read(a.len().min(b.len()))?;
            return Ok(Some(a.cmp(b)));
        }
        Ok(match (self, other) {
            (Term::Null, Term::Null) => Some(Ordering::Equal),
            (Term::Bool(a), Term::Bool(b)) => Some(a.cmp(b)),
            (Term::Other(a), Term::Other(b)) => a.partial_cmp(b),
            _ => numbers(self, other),
        })
    }

    /// As JSON: what an expression gives.
    pub(super) fn to_json(&self, meter: &mut Meter, depth: usize) -> Result<Value, Stop> {
        if depth > DEPTH_MAX {
            return Stop::failed(format!("the value is nested deeper than {DEPTH_MAX}"));
        }
        if let Some(text) = self.as_text() {
            meter.hold(VALUE_BYTES + text.len())?;
            return Ok(Value::String(text.to_owned()));
        }
        meter.spend(1)?;
        meter.hold(VALUE_BYTES)?;
        Ok(match self {
            Term::Bool(value) => json!(value),
            Term::Int(value) => json!(value),
            Term::UInt(value) => json!(value),
            Term::Float(value) => match Number::from_f64(*value) {
                Some(number) => Value::Number(number),
                None => return Stop::failed(format!("{value} cannot be written as a number")),
            },
            Term::Items(items) => {
                items.iter().try_for_each(|item| weigh(item, meter))?;
                Value::Array(items.to_vec())
            }
            Term::Fields(value) => {
                weigh(value, meter)?;
                (*value).clone()
            }
            Term::List(items) => Value::Array(items.iter().map(|item| item.to_json(meter, depth + 1)).collect::<Result<_, _>>()?),
            Term::Map(fields) => {
                let mut written = BTreeMap::new();
                for (key, field) in fields.iter() {
                    let key = key.written();
                    meter.hold(key.len())?;
                    written.insert(key, field.to_json(meter, depth + 1)?);
                }
                Value::Object(written.into_iter().collect())
            }
            Term::Other(value) => other_json(value)?,
            Term::Null | Term::Seen(_) | Term::Text(_) => Value::Null,
        })
    }
}

fn other_json(value: &cel::Value) -> Result<Value, Stop> {
    Ok(match value {
        cel::Value::Bytes(bytes) => json!(String::from_utf8_lossy(bytes)),
        cel::Value::Duration(span) => json!(format!("{}us", span.num_microseconds().unwrap_or_default().max(0))),
        cel::Value::Timestamp(moment) => json!(moment.to_rfc3339()),
        other => return Stop::failed(format!("a {:?} is not a value", other.type_of())),
    })
}

/// What a copy of a value costs. It may be as deep as the reader of JSON lets through.
pub(super) fn weigh(value: &Value, meter: &mut Meter) -> Result<(), Stop> {
    meter.spend(1)?;
    meter.hold(VALUE_BYTES)?;
    match value {
        Value::String(text) => meter.hold(text.len()),
        Value::Array(items) => items.iter().try_for_each(|item| weigh(item, meter)),
        Value::Object(fields) => fields.iter().try_for_each(|(key, field)| {
            meter.hold(key.len())?;
            weigh(field, meter)
        }),
        _ => Ok(()),
    }
}

/// The order of two numbers of any kind.
fn numbers(a: &Term<'_>, b: &Term<'_>) -> Option<Ordering> {
    let whole = |term: &Term<'_>| match term {
        Term::Int(value) => Some(i128::from(*value)),
        Term::UInt(value) => Some(i128::from(*value)),
        _ => None,
    };
    match (whole(a), whole(b)) {
        (Some(a), Some(b)) => Some(a.cmp(&b)),
        _ => float(a)?.partial_cmp(&float(b)?),
    }
}

/// A number of any kind as one with a fraction.
pub(super) fn float(term: &Term<'_>) -> Option<f64> {
    match term {
        Term::Int(value) => Some(*value as f64),
        Term::UInt(value) => Some(*value as f64),
        Term::Float(value) => Some(*value),
        _ => None,
    }
}

fn plain(a: &Term<'_>, b: &Term<'_>) -> bool {
    match (a, b) {
        (Term::Null, Term::Null) => true,
        (Term::Bool(a), Term::Bool(b)) => a == b,
        _ => false,
    }
}
