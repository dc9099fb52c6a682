//! What people and programs may do.

use std::collections::BTreeMap;

use cedar_policy::{
    Context, Decision, Entity, EntityUid, PartialEntities, PartialEntityUid, PartialRequest, Request, RestrictedExpression,
};
use model::Label;
use serde::{Deserialize, Serialize};

use crate::entities::{entities, plain, uid};
use crate::rules::Rules;
use crate::schema::schema;
use crate::slices::acting;
use crate::verdict::Verdict;

/// The operations of the API.
pub const OPERATIONS: [&str; 13] = [
    "read",
    "submit",
    "steer",
    "author",
    "decide",
    "operate",
    "govern",
    "audit",
    "secrets",
    "administer",
    "work",
    "view",
    "approve",
];

/// The built-in roles.
pub const ROLES: [&str; 10] =
    ["viewer", "runner", "author", "approver", "operator", "policy-admin", "auditor", "secrets-admin", "worker", "admin"];

/// What the built-in roles may do. A policy of one's own adds to it, or forbids.
pub(crate) const BUILT_IN: &str = r#"
@id("viewer") @reason("viewers see")
permit (principal in Role::"viewer", action in [Action::"read", Action::"view"], resource);
@id("runner") @reason("runners start and steer runs")
permit (principal in Role::"runner", action in [Action::"read", Action::"view", Action::"submit", Action::"steer"], resource);
@id("author") @reason("authors write workflows, triggers and connectors")
permit (principal in Role::"author", action in [Action::"read", Action::"view", Action::"submit", Action::"steer", Action::"author"], resource);
@id("approver") @reason("approvers decide")
permit (principal in Role::"approver", action in [Action::"decide", Action::"approve"], resource);
@id("operator") @reason("operators look after sites and runs")
permit (principal in Role::"operator", action in [Action::"read", Action::"steer", Action::"operate"], resource);
@id("policy-admin") @reason("policy administrators write the rules")
permit (principal in Role::"policy-admin", action in [Action::"read", Action::"govern", Action::"approve", Action::"audit"], resource);
@id("auditor") @reason("auditors read the record")
permit (principal in Role::"auditor", action in [Action::"read", Action::"audit"], resource);
@id("secrets-admin") @reason("secrets administrators look after secrets")
permit (principal in Role::"secrets-admin", action in [Action::"read", Action::"secrets"], resource);
@id("worker") @reason("workers do the work of connectors")
permit (principal in Role::"worker", action == Action::"work", resource);
@id("scope-read") @reason("the scope `read` sees, and reads the record")
permit (principal in Role::"scope-read", action in [Action::"read", Action::"view", Action::"audit"], resource);
@id("scope-run") @reason("the scope `run` starts and steers runs")
permit (principal in Role::"scope-run", action in [Action::"submit", Action::"steer"], resource);
@id("admin") @reason("administrators may do everything")
permit (principal in Role::"admin", action in Action::"operation", resource);
@id("not-the-author") @reason("whoever wrote it does not approve it")
forbid (principal, action == Action::"approve", resource) when { resource.author == principal.name };
"#;

/// What is left when the rules are broken: somebody has to be able to repair them.
pub(crate) const REPAIR: &str = r#"
@id("repair") @reason("the rules are broken: administrators may look and repair them, and nobody else may do anything")
permit (principal in Role::"admin", action in [Action::"read", Action::"audit", Action::"govern"], resource);
@id("repair-by-policy-admin") @reason("the rules are broken: policy administrators may look and repair them, and nobody else may do anything")
permit (principal in Role::"policy-admin", action in [Action::"read", Action::"audit", Action::"govern"], resource);
"#;

/// What may be said of an operation before it is known what it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ever {
    /// It is permitted, whatever it is about.
    Always,
    /// It is refused, whatever it is about.
    Never,
    /// It depends.
    Depends,
}

/// Who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Caller {
    /// Their name.
    pub name: String,
    /// Their groups.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Their roles.
    #[serde(default)]
    pub roles: Vec<String>,
}

/// What an operation is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Target {
    /// run, workflow, site, secret, policy, … or `server` for the server as a whole.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its project.
    pub project: String,
    /// Its domain.
    pub domain: String,
    /// Who made it.
    pub author: String,
}

impl Target {
    /// The server as a whole.
    pub fn server() -> Target {
        Target { kind: "server".into(), ..Target::default() }
    }
}

impl Rules {
    /// Whether a caller may do an operation. `label` counts for `view` alone: what the values carry.
    pub fn may(&self, caller: &Caller, operation: &str, target: &Target, label: &Label) -> Verdict {
        match self.try_may(caller, operation, target, label) {
            Some(verdict) => verdict,
            None => Verdict::broken(format!("the question `{operation}` could not be put")),
        }
    }

    /// Whether a caller may do an operation at all. It is found by partial evaluation, with what it is about unknown; what gives no clear
    /// answer depends, and is to be asked in full.
    pub fn ever(&self, caller: &Caller, operation: &str) -> Ever {
        self.try_ever(caller, operation).unwrap_or(Ever::Depends)
    }

    fn try_ever(&self, caller: &Caller, operation: &str) -> Option<Ever> {
        let schema = schema()?;
        let principal = uid("User", &caller.name)?;
        let groups = caller.groups.iter().map(|group| uid("Group", group));
        let roles = caller.roles.iter().map(|role| uid("Role", role));
        let parents: Option<Vec<EntityUid>> = groups.chain(roles).collect();
        let parents = parents?;
        let policies = self.slices.of_caller(operation, &principal, &parents);
        let mut known = vec![plain(principal.clone(), &[("name", caller.name.as_str())], parents)?];
        known.extend(acting(operation).iter().cloned());
        let context = (operation != "view").then(Context::empty);
        let thing = PartialEntityUid::new("Thing".parse().ok()?, None);
        let action = uid("Action", operation)?;
        let request = PartialRequest::new(PartialEntityUid::from_concrete(principal), action, thing, context, schema).ok()?;
        let known = PartialEntities::from_concrete(entities(known).ok()?, schema).ok()?;
        let response = policies.tpe(&request, &known, schema).ok()?;
        if response.error_permits().next().is_some() || response.error_forbids().next().is_some() {
            return None;
        }
        Some(match response.decision() {
            Some(Decision::Allow) => Ever::Always,
            Some(Decision::Deny) => Ever::Never,
            None => Ever::Depends,
        })
    }

    fn try_may(&self, caller: &Caller, operation: &str, target: &Target, label: &Label) -> Option<Verdict> {
        let principal = uid("User", &caller.name)?;
        let groups = caller.groups.iter().map(|group| uid("Group", group));
        let roles = caller.roles.iter().map(|role| uid("Role", role));
        let parents: Option<Vec<EntityUid>> = groups.chain(roles).collect();
        let thing = uid("Thing", &format!("{}/{}", target.kind, target.name))?;
        let attributes = [
            ("kind", target.kind.as_str()),
            ("name", target.name.as_str()),
            ("project", target.project.as_str()),
            ("domain", target.domain.as_str()),
            ("author", target.author.as_str()),
        ];
        let project = (!target.project.is_empty()).then(|| uid("Project", &target.project)).flatten();
        let parents = parents?;
        let policies = self.slices.of_caller(operation, &principal, &parents);
        let mut known: Vec<Entity> = vec![
            plain(principal.clone(), &[("name", caller.name.as_str())], parents)?,
            plain(thing.clone(), &attributes, project.into_iter().collect())?,
        ];
        let mut pairs = Vec::new();
        if operation == "view" {
            let (data, tags) = self.data(label)?;
            known.extend(tags);
            pairs.push(("data".to_owned(), RestrictedExpression::new_entity_uid(data)));
        }
        let action = uid("Action", operation)?;
        known.extend(acting(operation).iter().cloned());
        let context = Context::from_pairs(pairs).ok()?;
        let found: BTreeMap<String, String> =
            attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let request = Request::new(principal, action, thing, context, schema());
        Some(self.answer(&policies, request, known, label, &found))
    }
}
