//! The vocabulary of policies: entity types, their attributes, and actions, as Cedar's strict validation knows them.

use std::sync::OnceLock;

use cedar_policy::Schema;

/// Attributes that every site has; one that was not set is an empty text, so that no policy has to ask whether it is there.
pub(crate) const SITE_ATTRIBUTES: [&str; 8] =
    ["zone", "jurisdiction", "country", "region", "provider", "tenancy", "sandbox", "encryption"];

const TEXT: &str = r#"
// Who works. People and programs are users; what runs for a workflow is a task.
entity Group;
entity Role;
entity User in [Group, Role] = { name: String };
entity Project;
entity Task in [Project] = { project: String, workflow: String, domain: String, work: String };

// Data is known by its tags: `context.data in Tag::"pii"` holds for data that carries `pii` or a tag below it.
entity Tag in [Tag];
entity Data in [Tag];

// A place. Other attributes of a site are its tags: `resource.hasTag("rack") && resource.getTag("rack") == "7"`.
entity Site = {
  name: String, zone: String, jurisdiction: String, country: String, region: String, provider: String, tenancy: String,
  sandbox: String, encryption: String, simulated: Bool, regimes: Set<String>
} tags String;

// What operations are about: a workflow, a run, a site, a secret, a document, or the server as a whole.
entity Thing in [Project] = { kind: String, name: String, project: String, domain: String, author: String };

// May this work run at this site; may its data move there.
action place;
action run in [place] appliesTo { principal: Task, resource: Site, context: { data: Data, domain: String } };
action move in [place] appliesTo { principal: Task, resource: Site, context: { data: Data, domain: String, from: Site } };

// May this work have this secret, at this site.
action release appliesTo { principal: Task, resource: Thing, context: { data: Data, domain: String, site: Site } };

// A place in the network, as a site grants it: `api.example.com:443`, `*.example.com:443`.
entity Host = { name: String, port: Long };

// May this work, at this site, reach this place; `labelled` is whether its data carries any tag.
action egress appliesTo { principal: Task, resource: Host, context: { data: Data, labelled: Bool, domain: String, site: Site } };

// What people and programs do through the API.
action operation;
action "read", "submit", "steer", "author", "decide", "operate", "govern", "audit", "secrets", "administer", "work"
  in [operation] appliesTo { principal: User, resource: Thing, context: {} };
// Seeing values and files, with the tags that they carry.
action view in [operation] appliesTo { principal: User, resource: Thing, context: { data: Data } };
// Approving that a sanitizer takes a tag off, or a version of a policy.
action approve in [operation] appliesTo { principal: User, resource: Thing, context: {} };
"#;

/// What is always there.
pub(crate) const BUILT_IN: &str = r#"
@id("own-secrets")
@reason("work may have the secrets of its own project")
permit (principal is Task, action == Action::"release", resource is Thing) when { principal.project == resource.project };
@id("untagged-egress")
@reason("work on data without tags reaches what its site may reach; with tags only what a policy permits")
permit (principal is Task, action == Action::"egress", resource is Host) unless { context.labelled };
@id("unlabeled-stays")
@reason("data that nobody has labelled stays where it came from")
forbid (principal, action == Action::"move", resource) when { context.data in Tag::"unlabeled" };
"#;

/// What is there until a policy says that what is not permitted is refused.
pub(crate) const OPEN: &str = r#"
@id("run-anywhere")
@reason("work runs anywhere unless a policy forbids it")
permit (principal is Task, action in Action::"place", resource is Site);
"#;

/// The vocabulary of policies; none would be an error of this program.
pub fn schema() -> Option<&'static Schema> {
    static SCHEMA: OnceLock<Option<Schema>> = OnceLock::new();
    // A test reads it; none would be an error of this program, and everything is refused then.
    SCHEMA.get_or_init(|| Schema::from_cedarschema_str(TEXT).ok().map(|(schema, _)| schema)).as_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_is_one() {
        assert!(Schema::from_cedarschema_str(TEXT).is_ok() && schema().is_some());
        for attribute in SITE_ATTRIBUTES {
            assert!(TEXT.contains(&format!("{attribute}: String")), "{attribute}");
        }
    }
}
