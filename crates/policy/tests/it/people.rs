//! Who may do what.

use model::Label;
use policy::{Caller, OPERATIONS, ROLES, Rules, Target};

use crate::support::*;

fn caller(roles: &[&str]) -> Caller {
    Caller { name: "ada".into(), groups: vec!["team".into()], roles: roles.iter().map(|role| (*role).to_owned()).collect() }
}

fn may(rules: &Rules, roles: &[&str]) -> Vec<&'static str> {
    let target = Target { kind: "run".into(), name: "r".into(), project: "bank".into(), ..Target::default() };
    OPERATIONS.into_iter().filter(|operation| rules.may(&caller(roles), operation, &target, &Label::empty()).allowed).collect()
}

#[test]
fn each_role_may_do_what_it_is_for() {
    let rules = Rules::default();
    assert!(may(&rules, &[]).is_empty());
    assert_eq!(may(&rules, &["viewer"]), ["read", "view"]);
    assert_eq!(may(&rules, &["runner"]), ["read", "submit", "steer", "view"]);
    assert_eq!(may(&rules, &["auditor"]), ["read", "audit"]);
    assert_eq!(may(&rules, &["worker"]), ["work"]);
    assert_eq!(may(&rules, &["admin"]).len(), OPERATIONS.len());
    assert!(ROLES.iter().all(|role| !may(&rules, &[role]).is_empty()));
}

#[test]
fn roles_of_ones_own_and_rules_about_payloads() {
    let rules = rules(
        r#"@id("desk") permit (principal in Role::"desk", action in [Action::"read", Action::"view"], resource in Project::"bank");
           @id("eyes") @reason("names are for the officers") forbid (principal, action == Action::"view", resource)
           when { context.data in Tag::"pii" } unless { principal in Group::"officers" };"#,
    );
    assert_eq!(may(&rules, &["desk"]), ["read", "view"]);
    let target = Target { kind: "run".into(), project: "bank".into(), ..Target::default() };
    let refused = rules.may(&caller(&["viewer"]), "view", &target, &Label::of(["pii.ssn"]));
    assert!(!refused.allowed && refused.why().contains("names are for the officers"), "{}", refused.why());
    let officer = Caller { groups: vec!["officers".into()], ..caller(&["viewer"]) };
    assert!(rules.may(&officer, "view", &target, &Label::of(["pii.ssn"])).allowed);
}

#[test]
fn whoever_wrote_it_does_not_approve_it() {
    let target = |author: &str| Target { kind: "sanitizer".into(), author: author.into(), ..Target::default() };
    let may = |author: &str| Rules::default().may(&caller(&["admin"]), "approve", &target(author), &Label::empty());
    assert!(may("eve").allowed);
    assert!(!may("ada").allowed && may("ada").why().contains("does not approve"));
}

#[test]
fn names_are_only_names() {
    let rules = Rules::default();
    for name in ["\"; permit(principal,action,resource);//", "Role::\"admin\"", "", "ü\n\0"] {
        let caller = Caller { name: name.into(), groups: vec![name.into()], roles: vec![] };
        let target = Target { kind: "run".into(), name: name.into(), ..Target::default() };
        assert!(!rules.may(&caller, "read", &target, &Label::of([name])).allowed);
    }
    assert!(!rules.may(&caller(&["admin"]), "no-such-operation", &Target::server(), &Label::empty()).allowed);
}
