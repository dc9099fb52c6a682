//! A request that shows something: who, what, where, with which data.

use std::collections::BTreeMap;

use cedar_policy::{Authorizer, Decision, Entity, EntityUid, PolicySet};
use cedar_policy_symcc::Env;
use serde::Serialize;
use serde_json::Value;

/// A request that shows what was found. Everything that is not said in it does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Example {
    /// Who asks, or what works: its attributes, and under `in` the groups, roles or project.
    pub principal: BTreeMap<String, Value>,
    /// The site, the place, the secret, the thing.
    pub resource: BTreeMap<String, Value>,
    /// The tags of the data, those above them included.
    pub data: Vec<String>,
    /// The rest of the request: `domain`, `from`, `site`, `labelled`.
    pub context: BTreeMap<String, Value>,
}

impl Example {
    pub(crate) fn of(env: &Env) -> Example {
        let thing = |uid: Option<&EntityUid>| uid.map(|uid| described(env, uid)).unwrap_or_default();
        let mut example =
            Example { principal: thing(env.request.principal()), resource: thing(env.request.resource()), ..Example::default() };
        let Some(context) = env.request.context() else { return example };
        let Ok(Value::Object(parts)) = context.to_json_value() else { return example };
        for (name, value) in parts {
            match (named(&value), name.as_str()) {
                (Some(data), "data") => example.data = above(env, &data),
                (Some(other), _) => {
                    let described = described(env, &other);
                    example.context.insert(name, Value::Object(described.into_iter().collect()));
                }
                (None, _) => drop(example.context.insert(name, value)),
            }
        }
        example
    }

    /// What it says, a line each.
    pub fn lines(&self) -> Vec<String> {
        let said = |part: &BTreeMap<String, Value>| {
            let one = |(name, value): (&String, &Value)| match value {
                Value::String(text) => format!("{name} `{text}`"),
                other => format!("{name} {other}"),
            };
            part.iter().map(one).collect::<Vec<_>>().join(", ")
        };
        let mut lines = vec![format!("who:   {}", said(&self.principal)), format!("what:  {}", said(&self.resource))];
        if !self.data.is_empty() {
            lines.push(format!("data:  {}", self.data.join(", ")));
        }
        if !self.context.is_empty() {
            lines.push(format!("with:  {}", said(&self.context)));
        }
        lines
    }
}

/// The entity that a value of a context names.
fn named(value: &Value) -> Option<EntityUid> {
    let entity = value.get("__entity")?;
    let kind = entity.get("type")?.as_str()?.parse().ok()?;
    Some(EntityUid::from_type_name_and_id(kind, cedar_policy::EntityId::new(entity.get("id")?.as_str()?)))
}

fn entity<'e>(env: &'e Env, uid: &EntityUid) -> Option<&'e Entity> {
    env.entities.get(uid)
}

/// The names of all that a thing is in.
fn above(env: &Env, uid: &EntityUid) -> Vec<String> {
    let mut names: Vec<String> =
        env.entities.ancestors(uid).into_iter().flatten().map(|above| above.id().unescaped().to_owned()).collect();
    names.sort();
    names.dedup();
    names
}

/// The attributes of a thing, without those that are empty, and what it is in.
fn described(env: &Env, uid: &EntityUid) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    let json = entity(env, uid).and_then(|entity| entity.to_json_value().ok());
    for part in ["attrs", "tags"] {
        let attributes = json.as_ref().and_then(|json| json.get(part)).and_then(Value::as_object);
        for (name, value) in attributes.into_iter().flatten() {
            let empty = value.as_str() == Some("") || value.as_array().is_some_and(Vec::is_empty);
            if !empty {
                found.insert(name.clone(), value.clone());
            }
        }
    }
    let above = above(env, uid);
    if !above.is_empty() {
        found.insert("in".into(), above.into());
    }
    if found.is_empty() {
        found.insert("id".into(), uid.id().unescaped().into());
    }
    found
}

/// What policies say to a request as it is decided here: what errs refuses.
pub(crate) fn permits(policies: &PolicySet, env: &Env) -> bool {
    let response = Authorizer::new().is_authorized(&env.request, policies, &env.entities);
    response.decision() == Decision::Allow && response.diagnostics().errors().next().is_none()
}

/// The policies that decided, by id.
pub(crate) fn decided(policies: &PolicySet, env: &Env) -> Vec<String> {
    let response = Authorizer::new().is_authorized(&env.request, policies, &env.entities);
    let mut ids: Vec<String> = response.diagnostics().reason().map(ToString::to_string).collect();
    ids.sort();
    ids
}
