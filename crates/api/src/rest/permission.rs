//! What callers may do: asked of the rules on every request.
//!
//! Most answers do not depend on what the request is about, and are kept for as long as the rules are the same. Where they do, the table of
//! endpoints says what the endpoint acts on, and the address which one it is; where only the body does, the endpoint asks again, see
//! [`Needs::Within`].

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
use super::endpoints::{Subject, scope_of};
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

/// Refuses what the rules do not permit, as far as is known before the body is read.
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
    let Needs::Operation(operation, subject) = needs else { return Ok(()) };
    let query = parts.uri.query().map(str::to_owned);
    let named = match RawPathParams::from_request_parts(parts, &()).await {
        Ok(named) => named.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        Err(_) => BTreeMap::new(),
    };
    let address = Address { named, query };
    let control = app.control.clone();
    let (target, label) = blocking(move || about(&control, operation, subject, &address)).await?;
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

/// What an address says.
struct Address {
    /// The parts of the path that have a name.
    named: BTreeMap<String, String>,
    query: Option<String>,
}

impl Address {
    /// A part of the path. One that is not there names nothing, which is of no project.
    fn part(&self, name: &str) -> &str {
        self.named.get(name).map_or("", String::as_str)
    }

    /// A value of the query.
    fn value(&self, name: &str) -> Option<String> {
        let uri = axum::http::Uri::builder().path_and_query(format!("/?{}", self.query.as_deref()?)).build().ok()?;
        axum::extract::Query::<BTreeMap<String, String>>::try_from_uri(&uri).ok()?.0.remove(name)
    }
}

/// What an endpoint acts on at an address, and what is known of the data behind it.
fn about(control: &ControlPlane, operation: &str, subject: Subject, address: &Address) -> Result<(Target, Label), Fault> {
    let named = |kind: &str, name: &str, project: &str| Target {
        kind: kind.into(),
        name: name.into(),
        project: project.into(),
        ..Target::default()
    };
    let target = match subject {
        Subject::Server => Target::server(),
        Subject::List => Target { project: address.value("project").unwrap_or_default(), ..Target::server() },
        Subject::Run => return of_run(control, operation, address),
        Subject::Artifact => {
            let digest = address.part("digest");
            let parsed: Digest = digest.parse().map_err(|error| Fault::new(FaultKind::Malformed, format!("{error}")))?;
            return Ok((named("artifact", digest, ""), control.label_of_artifact(&parsed)?));
        }
        Subject::Site => named("site", address.part("site"), ""),
        Subject::Resource => {
            let (kind, name) = (address.part("kind"), address.part("name"));
            named(kind, name, super::applying::project_of(kind, name))
        }
        Subject::App => app_target(address.part("project"), address.part("domain"), address.part("name")),
        // The domain of a secret stands in the query, and is taken from there by the endpoint too.
        Subject::Secret => Target {
            domain: address.value("domain").unwrap_or_default(),
            ..named("secret", address.part("name"), address.part("project"))
        },
    };
    Ok((target, Label::empty()))
}

/// A run that a path names.
fn of_run(control: &ControlPlane, operation: &str, address: &Address) -> Result<(Target, Label), Fault> {
    let name = address.part("run");
    // A run that is not there has no project: whoever may see only one learns nothing.
    let Ok(row) = control.find_run(name) else {
        return Ok((Target { kind: "run".into(), name: name.into(), ..Target::default() }, Label::empty()));
    };
    let label = match operation {
        "view" => control.label_of_run(&row, address.value("path").as_deref())?,
        _ => Label::empty(),
    };
    Ok((run_target(&row), label))
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
