//! The engine's port for expressions, served by the language.

use engine::{EvalError, Evaluate, Scope};
use model::Template;
use serde_json::Value;
use workflow::expression::{Evaluator, ExpressionError, Names};

/// Evaluates the engine's expressions.
#[derive(Default)]
pub(crate) struct LanguageEvaluator(Evaluator);

fn names<'a>(scope: &Scope<'a>) -> Names<'a> {
    Names { inputs: scope.inputs, nodes: scope.nodes.clone(), item: scope.item, run: scope.run }
}

fn error(error: ExpressionError) -> EvalError {
    EvalError { expression: error.expression, message: error.message }
}

impl Evaluate for LanguageEvaluator {
    fn render(&self, template: &Template, scope: &Scope<'_>) -> Result<Value, EvalError> {
        self.0.render(template, &names(scope)).map_err(error)
    }

    fn test(&self, source: &str, scope: &Scope<'_>) -> Result<bool, EvalError> {
        self.0.test(source, &names(scope)).map_err(error)
    }
}
