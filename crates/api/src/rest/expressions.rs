//! Expressions while they are written: what they see, of which type they are, and what they would give.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use axum::extract::State;
use controlplane::{Fault, FaultKind};
use model::limits::EXPRESSIONS_ASKED_MAX;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use workflow::check::{Environment, check};
use workflow::expression::{Budget, Evaluator, Meter, Names};
use workflow::functions::FUNCTIONS;
use workflow::types::Type;

use super::App;
use super::editing::beside;
use super::extract::Json;
use super::problem::{ApiError, ApiResult, blocking};

/// Levels of fields that are told.
const LEVELS_MAX: usize = 8;

/// A text, and where in it an expression stands.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScopeRequest {
    /// The text of the workflow file. It may have errors.
    text: String,
    /// The registered workflow whose files the text may refer to.
    #[serde(default)]
    workflow: Option<String>,
    /// Files that are not applied yet and that the text may refer to, by path, in base64.
    #[serde(default)]
    files: BTreeMap<String, String>,
    /// The node that the expression stands in: what an `each` does sees `item` and `index` too.
    #[serde(default)]
    node: Option<String>,
}

/// What expressions see.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ScopeView {
    /// The names: `inputs`, `nodes`, `run`, `item`, `index`.
    names: BTreeMap<String, TypeView>,
    /// The functions of the language.
    functions: Vec<String>,
}

/// A type.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TypeView {
    /// The type in words: `a number`, `a list of artifact`.
    name: String,
    /// The tags that the value or a part of it carries.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    labels: BTreeSet<String>,
    /// The fields of an object that are known.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(no_recursion)]
    fields: BTreeMap<String, TypeView>,
    /// Whether there may be other fields.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    open: bool,
    /// The type of the items of a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(no_recursion)]
    item: Option<Box<TypeView>>,
}

impl TypeView {
    fn of(found: &Type, level: usize) -> TypeView {
        let mut labels = BTreeSet::new();
        found.tags(&mut labels);
        let mut view = TypeView { name: found.name(), labels, fields: BTreeMap::new(), open: false, item: None };
        match found.peel().0 {
            _ if level >= LEVELS_MAX => {}
            Type::Object(fields, open) => {
                view.fields = fields.iter().map(|(name, field)| (name.clone(), TypeView::of(field, level + 1))).collect();
                view.open = *open;
            }
            Type::List(item, _) => view.item = Some(Box::new(TypeView::of(item, level + 1))),
            Type::Artifact => {
                let said = [("digest", Type::Text), ("kind", Type::Text), ("name", Type::Text), ("size", Type::Integer)];
                view.fields = said.iter().map(|(name, field)| ((*name).to_owned(), TypeView::of(field, level + 1))).collect();
            }
            _ => {}
        }
        view
    }
}

/// What expressions in a workflow file see, with types and labels: what an editor offers while one is written. Nothing is stored.
#[utoipa::path(post, path = "/api/v1/expressions/scope", operation_id = "getScope", tag = "resources", request_body = ScopeRequest,
    responses((status = 200, description = "The names and their types.", body = ScopeView)))]
pub(crate) async fn scope(State(app): State<App>, Json(request): Json<ScopeRequest>) -> ApiResult<Json<ScopeView>> {
    let ScopeRequest { text, workflow, files, node } = request;
    let beside = beside(workflow, files)?;
    let found = blocking(move || app.control.scope(&text, &beside, node.as_deref())).await?;
    Ok(Json(ScopeView {
        names: found.names.iter().map(|(name, found)| (name.clone(), TypeView::of(found, 0))).collect(),
        functions: FUNCTIONS.iter().map(|name| (*name).to_owned()).collect(),
    }))
}

/// Expressions, what they stand in, and values for the names that they see.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EvaluateRequest {
    /// The expressions, without `${` and `}`.
    expressions: Vec<String>,
    /// The text of the workflow file that they stand in: without it no type is known.
    #[serde(default)]
    text: Option<String>,
    /// The registered workflow whose files the text may refer to.
    #[serde(default)]
    workflow: Option<String>,
    /// Files that are not applied yet and that the text may refer to, by path, in base64.
    #[serde(default)]
    files: BTreeMap<String, String>,
    /// The node that they stand in.
    #[serde(default)]
    node: Option<String>,
    /// Values of names; those of an earlier run, or made up. Without them there is no value.
    #[serde(default)]
    values: Option<ValuesRequest>,
}

/// Values that an expression sees.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ValuesRequest {
    /// The inputs of the workflow.
    #[serde(default)]
    inputs: Value,
    /// What nodes gave, by their ids.
    #[serde(default)]
    nodes: BTreeMap<String, Value>,
    /// The item of an `each`.
    #[serde(default)]
    item: Option<Value>,
    /// Its number.
    #[serde(default)]
    index: u32,
}

/// What is known of an expression.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct EvaluatedView {
    /// The type of its value, in words; none without the text, or when it is wrong.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    /// The tags that what it reads carries.
    labels: BTreeSet<String>,
    /// The nodes that it reads.
    nodes: BTreeSet<String>,
    /// What is wrong with it: `code`, `message`, `hint`.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Value>,
    /// Its value with the given values.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Value>,
    /// Why it has none with them.
    #[serde(skip_serializing_if = "Option::is_none")]
    failed: Option<String>,
}

/// One for all requests: what is compiled once is kept.
static EVALUATOR: LazyLock<Evaluator> = LazyLock::new(Evaluator::default);

impl EvaluatedView {
    fn check(&mut self, source: &str, environment: &Environment) {
        match check(source, environment) {
            Ok(checked) => {
                (self.kind, self.labels, self.nodes) = (Some(checked.result.name()), checked.labels, checked.nodes);
            }
            Err(problem) => {
                self.problem = Some(json!({"code": problem.code, "message": problem.message, "hint": problem.hint}));
            }
        }
    }

    fn evaluate(&mut self, source: &str, values: &ValuesRequest, meter: &mut Meter) {
        let names = Names {
            inputs: Some(&values.inputs),
            nodes: values.nodes.iter().map(|(id, output)| (id.as_str(), output)).collect(),
            item: values.item.as_ref().map(|item| (item, values.index)),
            run: None,
        };
        match EVALUATOR.value_within(source, &names, meter) {
            Ok(value) => self.value = Some(value),
            Err(error) => self.failed = Some(error.message),
        }
    }
}

/// Checks expressions where they stand, and evaluates them with values that are given, within the same bounds as in a run. It reads nothing of
/// the server's runs: whoever asks gives the values that they may see. Nothing is stored.
#[utoipa::path(post, path = "/api/v1/expressions/evaluate", operation_id = "evaluateExpressions", tag = "resources",
    request_body = EvaluateRequest,
    responses((status = 200, description = "Of each its type and its value, or what is wrong.", body = Vec<EvaluatedView>)))]
pub(crate) async fn evaluate(
    State(app): State<App>,
    Json(request): Json<EvaluateRequest>,
) -> ApiResult<Json<Vec<EvaluatedView>>> {
    let EvaluateRequest { expressions, text, workflow, files, node, values } = request;
    if expressions.len() > EXPRESSIONS_ASKED_MAX {
        let message = format!("{} expressions; at most {EXPRESSIONS_ASKED_MAX} are looked at at a time", expressions.len());
        return Err(ApiError(Fault::new(FaultKind::TooLarge, message)));
    }
    let beside = beside(workflow, files)?;
    let views = blocking(move || {
        let scope = text.map(|text| app.control.scope(&text, &beside, node.as_deref())).transpose()?;
        // All of them together may take what one run's evaluation may.
        let mut meter = Meter::new(Budget::default());
        let view = |source: &String| {
            let mut view = EvaluatedView::default();
            if let Some(scope) = &scope {
                view.check(source, scope);
            }
            if let (None, Some(values)) = (&view.problem, &values) {
                view.evaluate(source, values, &mut meter);
            }
            view
        };
        Ok::<_, Fault>(expressions.iter().map(view).collect())
    });
    Ok(Json(views.await?))
}
