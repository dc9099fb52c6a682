//! Templates: JSON documents with `${ … }` expressions in their strings.

use serde_json::Value;

/// A JSON document whose strings may hold `${ … }` expressions. A string that is one whole expression takes the type of its
/// result; an expression inside a longer string becomes text.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Template {
    /// The document as written.
    pub json: Value,
    /// Whether any string of it holds an expression; without one the document is its own result.
    pub dynamic: bool,
}

impl Template {
    /// Wraps `json`, looking for expressions.
    pub fn new(json: Value) -> Template {
        fn dynamic(value: &Value) -> bool {
            match value {
                Value::String(text) => text.contains("${"),
                Value::Array(items) => items.iter().any(dynamic),
                Value::Object(fields) => fields.values().any(dynamic),
                _ => false,
            }
        }
        Template { dynamic: dynamic(&json), json }
    }

    /// Whether there is nothing in it.
    pub fn is_null(&self) -> bool {
        self.json.is_null()
    }
}
