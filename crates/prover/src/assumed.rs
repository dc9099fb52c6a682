//! What is always so in the requests that are really asked, and that the vocabulary of policies alone does not say: a tag below another is that
//! one too, data that is labelled has a tag, and who and what things are stands twice in them and is the same each time.
//!
//! It is put as policies that forbid what cannot be. They stand on the side of what is asked whether it permits something.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::str::FromStr;

use cedar_policy::{EntityUid, PolicyId, PolicySet};
use policy::Rules;

/// Actions of work on data.
const OF_WORK: [&str; 4] = ["run", "move", "release", "egress"];

/// The policies of an action with what cannot be forbidden.
pub(crate) fn with_what_is_so(policies: &PolicySet, action: &str, rules: &[&Rules]) -> Result<PolicySet, String> {
    let mut all = policies.clone();
    let text = impossible(action, rules);
    let added = PolicySet::from_str(&text).map_err(|error| error.to_string())?;
    for (number, policy) in added.policies().enumerate() {
        all.add(policy.new_id(PolicyId::new(format!("assumed/{number}")))).map_err(|error| error.to_string())?;
    }
    Ok(all)
}

/// Everything that could be asked, and nothing else.
pub(crate) fn whatever_is_so(action: &str, rules: &[&Rules]) -> Result<PolicySet, String> {
    let anything = PolicySet::from_str("permit (principal, action, resource);").map_err(|error| error.to_string())?;
    with_what_is_so(&anything, action, rules)
}

fn impossible(action: &str, rules: &[&Rules]) -> String {
    let mut text = String::new();
    let mut forbid = |what: String| {
        let _ = writeln!(text, "forbid (principal, action == Action::\"{action}\", resource) when {{ {what} }};");
    };
    let named = literals(action, rules);
    let of_type = |kind: &'static str| named.iter().filter(move |uid| uid.type_name().to_string() == kind);
    let work = OF_WORK.contains(&action);
    if work || action == "view" {
        for tag in rules.iter().flat_map(|rules| rules.tags().values()) {
            let (own, parent) = (quoted("Tag", &tag.name), tag.parent.as_ref().map(|parent| quoted("Tag", parent)));
            if let (Some(own), Some(Some(parent))) = (&own, parent) {
                forbid(format!("context.data in {own} && !(context.data in {parent})"));
            }
            if let (Some(own), "egress") = (&own, action) {
                forbid(format!("context.data in {own} && !context.labelled"));
            }
        }
    }
    if work {
        forbid("principal.domain != context.domain".into());
        of_type("Project").for_each(|uid| forbid(format!("(principal in {uid}) != (principal.project == {})", text_of(uid))));
    } else {
        of_type("User").for_each(|uid| forbid(format!("(principal == {uid}) != (principal.name == {})", text_of(uid))));
        of_type("Project").for_each(|uid| forbid(format!("(resource in {uid}) != (resource.project == {})", text_of(uid))));
    }
    match action {
        "move" => {
            // What is there already does not move, and nobody asks.
            forbid("context.from == resource".into());
            of_type("Site").for_each(|uid| forbid(format!("(resource == {uid}) != (resource.name == {})", text_of(uid))));
            of_type("Site").for_each(|uid| forbid(format!("(context.from == {uid}) != (context.from.name == {})", text_of(uid))));
        }
        "run" => of_type("Site").for_each(|uid| forbid(format!("(resource == {uid}) != (resource.name == {})", text_of(uid)))),
        "egress" | "release" => {
            of_type("Site").for_each(|uid| forbid(format!("(context.site == {uid}) != (context.site.name == {})", text_of(uid))));
        }
        _ => {}
    }
    text
}

/// The things that policies about an action name.
fn literals(action: &str, rules: &[&Rules]) -> BTreeSet<EntityUid> {
    let policies = rules.iter().flat_map(|rules| rules.policies_about(action).policies());
    policies.flat_map(|policy| policy.entity_literals()).collect()
}

/// The name of a thing as a text of Cedar.
fn text_of(uid: &EntityUid) -> String {
    format!("\"{}\"", uid.id().escaped())
}

fn quoted(kind: &str, id: &str) -> Option<EntityUid> {
    Some(EntityUid::from_type_name_and_id(kind.parse().ok()?, cedar_policy::EntityId::new(id)))
}
