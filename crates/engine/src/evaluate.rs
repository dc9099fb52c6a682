//! The port through which the engine evaluates expressions. The result is recorded in events; a replay evaluates nothing.

use model::Template;
use serde_json::Value;

/// The names an expression can see.
#[derive(Clone, Debug, Default)]
pub struct Scope<'a> {
    /// `inputs`: the inputs of the workflow.
    pub inputs: Option<&'a Value>,
    /// `nodes`: the outputs of the nodes that the expression's node refers to, null for a skipped one, by id.
    pub nodes: Vec<(&'a str, &'a Value)>,
    /// `item` and `index`, inside an `each`.
    pub item: Option<(&'a Value, u32)>,
    /// `run`: `name`, `project`, `domain`, `workflow` of the run.
    pub run: Option<&'a Value>,
}

/// Evaluates expressions. Implemented by the language, handed in by the shell; it must be a function of its arguments alone.
pub trait Evaluate {
    /// The document with every expression replaced by its value.
    fn render(&self, template: &Template, scope: &Scope<'_>) -> Result<Value, EvalError>;

    /// The value of a condition (CEL source without `${}`), which must be a boolean.
    fn test(&self, source: &str, scope: &Scope<'_>) -> Result<bool, EvalError>;
}

/// An expression that has no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{expression}`: {message}")]
pub struct EvalError {
    /// The expression.
    pub expression: String,
    /// Why.
    pub message: String,
}
