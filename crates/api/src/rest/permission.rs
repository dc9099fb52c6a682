//! What callers may do: asked of the rules on every request.
//!
//! Most answers do not depend on what the request is about, and are kept for as long as the rules are the same. Where they do, the address
//! says what it is about; and where only the body does, the endpoint asks again, see [`Needs::Within`].

use std::collections::BTreeMap;

use axum::extract::{FromRequestParts as _, RawPathParams};
use axum::http::request::Parts;
use controlplane::{ControlPlane, Fault, FaultKind};
use model::{Digest, Label};
use parking_lot::RwLock;
use policy::{Ever, Rules, Target, Verdict};
use serde_json::json;

use super::App;
use super::access::{Caller, Needs};
use super::endpoints::scope_of;
use super::problem::{ApiError, ApiResult, blocking};

/// Answers that are kept.
const KEPT_MAX: usize = 4_096;

/// What the rules said of callers and operations, whatever these are about.
#[derive(Debug, Default)]
pub(crate) struct Said {
    known: RwLock<(Option<Digest>, BTreeMap<(policy::Caller, &'static str), Ever>)>,
}

impl Said {
    pub(super) fn ever(&self, rules: &Rules, who: &policy::Caller, operation: &'static str) -> Ever {
        let key = (who.clone(), operation);
        {
            let known = self.known.read();
            if known.0 == Some(rules.digest())
                && let Some(ever) = known.1.get(&key)
            {
                return ever.clone();
            }
        }
        let ever = rules.ever(who, operation);
        let mut known = self.known.write();
        if known.0 != Some(rules.digest()) || known.1.len() >= KEPT_MAX {
            *known = (Some(rules.digest()), BTreeMap::new());
        }
        known.1.insert(key, ever.clone());
        ever
    }
}

/// Refuses what the rules do not permit, as far as the address tells.
pub(super) async fn check(app: &App, caller: &Caller, needs: Needs, parts: &mut Parts) -> ApiResult<()> {
    let (rules, who) = (app.control.rules(), caller.as_policy());
    let ever = |operation: &&'static str| app.said.ever(&rules, &who, operation);
    let answers: Vec<Ever> = needs.operations().iter().map(ever).collect();
    if answers.contains(&Ever::Always) {
        return Ok(());
    }
    let first = needs.operations().first().copied().unwrap_or("administer");
    if answers.iter().all(|answer| *answer == Ever::Never) {
        let verdict = rules.may(&who, first, &Target::server(), &Label::empty());
        return Err(refused(&rules, &who, first, &Target::server(), &verdict));
    }
    let Needs::Operation(operation) = needs else { return Ok(()) };
    let parameters: BTreeMap<String, String> = match RawPathParams::from_request_parts(parts, &()).await {
        Ok(parameters) => parameters.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        Err(_) => BTreeMap::new(),
    };
    let project = axum::extract::Query::<BTreeMap<String, String>>::try_from_uri(&parts.uri)
        .ok()
        .and_then(|query| query.0.get("project").cloned())
        .unwrap_or_default();
    let path = parts.uri.query().map(str::to_owned);
    let control = app.control.clone();
    let (target, label) = blocking(move || about(&control, operation, &parameters, project, path.as_deref())).await?;
    let verdict = rules.may(&who, operation, &target, &label);
    if verdict.allowed { Ok(()) } else { Err(refused(&rules, &who, operation, &target, &verdict)) }
}

/// Whether the rules permit an operation to a caller whatever it is about.
pub(crate) fn always(app: &App, caller: &Caller, operation: &'static str) -> bool {
    app.said.ever(&app.control.rules(), &caller.as_policy(), operation) == Ever::Always
}

/// Refuses what the rules do not permit for a thing. What is always permitted costs a look-up.
pub(crate) fn may(app: &App, caller: &Caller, operation: &'static str, target: &Target, label: &Label) -> ApiResult<()> {
    let (rules, who) = (app.control.rules(), caller.as_policy());
    if app.said.ever(&rules, &who, operation) == Ever::Always {
        return Ok(());
    }
    let verdict = rules.may(&who, operation, target, label);
    if verdict.allowed { Ok(()) } else { Err(refused(&rules, &who, operation, target, &verdict)) }
}

/// Whether the rules permit an operation on a thing, where a refusal is not told.
pub(crate) fn permits(app: &App, caller: &Caller, operation: &'static str, target: &Target, label: &Label) -> bool {
    let (rules, who) = (app.control.rules(), caller.as_policy());
    app.said.ever(&rules, &who, operation) == Ever::Always || rules.may(&who, operation, target, label).allowed
}

/// A run as the rules see it.
pub(crate) fn run_target(run: &journal::RunRow) -> Target {
    let (name, author) = (run.name.clone(), run.principal.clone());
    Target { kind: "run".into(), name, project: run.project.clone(), domain: run.domain.clone(), author }
}

/// An app as the rules see it.
pub(crate) fn app_target(project: &str, domain: &str, name: &str) -> Target {
    Target { kind: "app".into(), name: name.into(), project: project.into(), domain: domain.into(), author: String::new() }
}

/// What an address is about, and what is known of the data behind it.
fn about(
    control: &ControlPlane,
    operation: &str,
    parameters: &BTreeMap<String, String>,
    project: String,
    query: Option<&str>,
) -> Result<(Target, Label), Fault> {
    let named = |kind: &str, name: &str, project: &str| Target {
        kind: kind.into(),
        name: name.into(),
        project: project.into(),
        ..Target::default()
    };
    if let Some(run) = parameters.get("run") {
        // A run that is not there has no project: whoever may see only one learns nothing.
        let Ok(row) = control.find_run(run) else { return Ok((named("run", run, ""), Label::empty())) };
        let label = match operation {
            "view" => control.label_of_run(&row, query.and_then(|query| value_of(query, "path")).as_deref())?,
            _ => Label::empty(),
        };
        return Ok((run_target(&row), label));
    }
    if let Some(digest) = parameters.get("digest") {
        let parsed: Digest = digest.parse().map_err(|error| Fault::new(FaultKind::Malformed, format!("{error}")))?;
        let label = control.label_of_artifact(&parsed)?;
        return Ok((named("artifact", digest, ""), label));
    }
    if let Some(site) = parameters.get("site") {
        return Ok((named("site", site, ""), Label::empty()));
    }
    if let (Some(kind), Some(name)) = (parameters.get("kind"), parameters.get("name")) {
        let project = if kind == "workflow" { name.split_once('/').map_or("default", |(project, _)| project) } else { "" };
        return Ok((named(kind, name, project), Label::empty()));
    }
    if let (Some(project), Some(name)) = (parameters.get("project"), parameters.get("name")) {
        // What the path names counts: that is what is changed, whatever else the query says.
        let target = match parameters.contains_key("order") {
            true => app_target(project, parameters.get("domain").map_or("", String::as_str), name),
            // The domain of a secret stands in the query, and is taken from there by the endpoint too.
            false => Target {
                domain: query.and_then(|query| value_of(query, "domain")).unwrap_or_default(),
                ..named("secret", name, project)
            },
        };
        return Ok((target, Label::empty()));
    }
    Ok((Target { project, ..Target::server() }, Label::empty()))
}

/// A value of a query.
fn value_of(query: &str, name: &str) -> Option<String> {
    let uri = axum::http::Uri::builder().path_and_query(format!("/?{query}")).build().ok()?;
    axum::extract::Query::<BTreeMap<String, String>>::try_from_uri(&uri).ok()?.0.remove(name)
}

/// A refusal that says which policies and what of the request they looked at; or, when none permits it, which roles would be enough.
fn refused(rules: &Rules, who: &policy::Caller, operation: &str, target: &Target, verdict: &Verdict) -> ApiError {
    let enough = |role: &&str| {
        let other = policy::Caller { roles: vec![(**role).to_owned()], ..who.clone() };
        rules.may(&other, operation, target, &Label::empty()).allowed
    };
    let roles: Vec<&str> = policy::ROLES.into_iter().filter(enough).collect();
    let what = match target.kind.as_str() {
        "server" | "" => operation.to_owned(),
        kind => format!("{operation} the {kind} {}", target.name),
    };
    let message = format!("`{}` may not `{what}`: {}", who.name, verdict.why());
    let none = verdict.reasons.is_empty() && verdict.errors.is_empty();
    // Nobody permits it, or somebody refuses it: the second is a decision, and is told as one.
    let kind = if none { FaultKind::Forbidden } else { FaultKind::Refused };
    let mut fault = Fault::new(kind, message);
    if none {
        let scope = scope_of(operation);
        let listed = roles.iter().map(|role| format!("`{role}`")).collect::<Vec<_>>().join(", ");
        fault = fault.hint(match roles.is_empty() {
            true => "no role is permitted this".to_owned(),
            false => format!("the scope `{scope}` would do, or a role of {listed}: `tutti token create --scope {scope}`"),
        });
    }
    let attributes = [("kind", &target.kind), ("name", &target.name), ("project", &target.project), ("domain", &target.domain)];
    let resource: BTreeMap<&str, &String> = attributes.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    fault.diagnostics = Some(json!({
        "operation": operation,
        "principal": who.name,
        "groups": who.groups,
        "roles": who.roles,
        "resource": resource,
        "policies": verdict.reasons,
        "errors": verdict.errors,
        "roles_that_may": roles,
        "rules": rules.digest().to_string(),
    }));
    ApiError(fault)
}
