//! Types of values, read from JSON Schema.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

/// What is known of a value before it exists.
#[derive(Clone, Debug, PartialEq)]
pub enum Type {
    /// Anything.
    Any,
    /// null.
    Null,
    /// true or false.
    Boolean,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// A text.
    Text,
    /// A file, a directory, a table or a model.
    Artifact,
    /// A list of values of one type, and how many there are at most.
    List(Arc<Type>, Option<u64>),
    /// An object: the fields that are known, and whether there may be others.
    Object(Arc<BTreeMap<String, Type>>, bool),
    /// A value that carries tags.
    Labelled(Arc<BTreeSet<String>>, Arc<Type>),
}

/// Types that stand for artifacts.
pub const ARTIFACT_TYPES: [&str; 5] = ["artifact", "file", "directory", "table", "model"];
/// Levels of a schema that are read.
const DEPTH_MAX: usize = 32;

impl Type {
    /// The type that a schema describes. What is not understood is anything.
    pub fn of_schema(schema: &Value) -> Type {
        Type::of(schema, 0)
    }

    fn of(schema: &Value, depth: usize) -> Type {
        let Some(fields) = schema.as_object().filter(|_| depth < DEPTH_MAX) else { return Type::Any };
        let tags = fields.get("labels").and_then(Value::as_array);
        let tags: BTreeSet<String> = tags.into_iter().flatten().filter_map(|tag| tag.as_str().map(str::to_owned)).collect();
        let plain = Type::of_fields(fields, depth);
        if tags.is_empty() { plain } else { Type::Labelled(Arc::new(tags), Arc::new(plain)) }
    }

    fn of_fields(fields: &serde_json::Map<String, Value>, depth: usize) -> Type {
        match fields.get("type").and_then(Value::as_str) {
            Some("null") => Type::Null,
            Some("boolean") => Type::Boolean,
            Some("integer") => Type::Integer,
            Some("number") => Type::Number,
            Some("string") => Type::Text,
            Some("array") => {
                let items = fields.get("items").map_or(Type::Any, |items| Type::of(items, depth + 1));
                Type::List(Arc::new(items), fields.get("maxItems").and_then(Value::as_u64))
            }
            Some("object") => {
                let known = fields.get("properties").and_then(Value::as_object);
                let known: BTreeMap<String, Type> =
                    known.into_iter().flatten().map(|(name, schema)| (name.clone(), Type::of(schema, depth + 1))).collect();
                let open = known.is_empty() || fields.get("additionalProperties") != Some(&Value::Bool(false));
                Type::Object(Arc::new(known), open)
            }
            Some(artifact) if ARTIFACT_TYPES.contains(&artifact) => Type::Artifact,
            _ => Type::Any,
        }
    }

    /// The type of a value.
    pub fn of_value(value: &Value) -> Type {
        match value {
            Value::Null => Type::Null,
            Value::Bool(_) => Type::Boolean,
            Value::Number(number) if number.is_f64() => Type::Number,
            Value::Number(_) => Type::Integer,
            Value::String(_) => Type::Text,
            Value::Array(items) => {
                let mut types = items.iter().map(Type::of_value);
                let first = types.next().unwrap_or(Type::Any);
                let all = if types.all(|other| other == first) { first } else { Type::Any };
                Type::List(Arc::new(all), Some(items.len() as u64))
            }
            Value::Object(_) if model::ArtifactRef::from_value(value).is_some() => Type::Artifact,
            Value::Object(fields) => Type::object(fields.iter().map(|(key, field)| (key.clone(), Type::of_value(field))), false),
        }
    }

    /// An object with these fields.
    pub fn object(fields: impl IntoIterator<Item = (String, Type)>, open: bool) -> Type {
        Type::Object(Arc::new(fields.into_iter().collect()), open)
    }

    /// A list of such values.
    pub fn list(item: Type, at_most: Option<u64>) -> Type {
        Type::List(Arc::new(item), at_most)
    }

    /// The type without its tags, and the tags.
    pub fn peel(&self) -> (&Type, BTreeSet<String>) {
        match self {
            Type::Labelled(tags, inner) => {
                let (plain, mut all) = inner.peel();
                all.extend(tags.iter().cloned());
                (plain, all)
            }
            plain => (plain, BTreeSet::new()),
        }
    }

    /// Every tag that the value or a part of it carries.
    pub fn tags(&self, into: &mut BTreeSet<String>) {
        match self {
            Type::Labelled(tags, inner) => {
                into.extend(tags.iter().cloned());
                inner.tags(into);
            }
            Type::List(item, _) => item.tags(into),
            Type::Object(fields, _) => fields.values().for_each(|field| field.tags(into)),
            _ => {}
        }
    }

    /// Whether a value of this type may stand where `wanted` is asked for. What is not known may.
    pub fn fits(&self, wanted: &Type) -> bool {
        match (self, wanted) {
            (Type::Labelled(_, inner), wanted) => inner.fits(wanted),
            (found, Type::Labelled(_, inner)) => found.fits(inner),
            (Type::Any | Type::Null, _) | (_, Type::Any) => true,
            (Type::Integer, Type::Number) | (Type::Number, Type::Integer) => true,
            (Type::List(a, _), Type::List(b, _)) => a.fits(b),
            (Type::Object(a, _), Type::Object(b, _)) => {
                b.iter().all(|(name, wanted)| a.get(name).is_none_or(|found| found.fits(wanted)))
            }
            (a, b) => a == b,
        }
    }

    /// The type in words.
    pub fn name(&self) -> String {
        match self {
            Type::Any => "anything".into(),
            Type::Null => "nothing".into(),
            Type::Boolean => "a boolean".into(),
            Type::Integer => "a whole number".into(),
            Type::Number => "a number".into(),
            Type::Text => "a text".into(),
            Type::Artifact => "an artifact".into(),
            Type::List(item, _) => format!("a list of {}", item.name().trim_start_matches("a ").trim_start_matches("an ")),
            Type::Object(..) => "an object".into(),
            Type::Labelled(_, inner) => inner.name(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn schemas_are_types() {
        let schema = json!({"type": "object", "properties": {"a": {"type": "array", "items": {"type": "string"}, "maxItems": 3}, "m": {"type": "model"}}, "additionalProperties": false});
        let Type::Object(fields, open) = Type::of_schema(&schema) else { panic!() };
        assert!(!open);
        assert_eq!(fields["a"], Type::List(Arc::new(Type::Text), Some(3)));
        assert_eq!(fields["m"], Type::Artifact);
        assert!(Type::of_value(&json!([1])).fits(&Type::List(Arc::new(Type::Number), None)));
        assert!(!Type::Text.fits(&Type::Boolean));
    }
}
