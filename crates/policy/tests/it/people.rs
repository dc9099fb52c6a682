//! Who may do what.

use model::Label;
use policy::{Caller, Ever, OPERATIONS, ROLES, Rules, Target};

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
fn what_is_said_before_it_is_known_what_it_is_about_holds_whatever_it_is_about() {
    let own = r#"@id("desk") permit (principal in Role::"desk", action == Action::"read", resource in Project::"bank");
                 @id("own") forbid (principal, action == Action::"decide", resource) when { resource.author == principal.name };
                 @id("eyes") forbid (principal, action == Action::"view", resource) when { context.data in Tag::"pii" };
                 @id("eve") forbid (principal == User::"ada", action == Action::"audit", resource);"#;
    for rules in [Rules::default(), rules(own)] {
        let (mut always, mut never, mut depends) = (0, 0, 0);
        for role in ROLES.into_iter().chain(["desk", "scope-read", "scope-run", "nobody"]) {
            for operation in OPERATIONS {
                let of = |project: &str, author: &str, label: Label| {
                    let target =
                        Target { kind: "run".into(), project: project.into(), author: author.into(), ..Target::default() };
                    rules.may(&caller(&[role]), operation, &target, &label).allowed
                };
                let all = [
                    of("bank", "bob", Label::empty()),
                    of("bank", "ada", Label::empty()),
                    of("else", "bob", Label::of(["pii.ssn"])),
                    of("", "", Label::empty()),
                ];
                match rules.ever(&caller(&[role]), operation) {
                    Ever::Always => always += usize::from(all.iter().all(|may| *may)),
                    Ever::Never => never += usize::from(all.iter().all(|may| !*may)),
                    Ever::Depends => depends += 1,
                }
            }
        }
        assert_eq!(always + never + depends, 14 * OPERATIONS.len(), "every clear answer holds for all of them");
        assert!(always > 20 && never > 80 && depends < 40, "{always} {never} {depends}");
    }
}

#[test]
fn rules_by_which_nobody_could_change_the_rules_are_not_accepted() {
    let locked = problems(r#"forbid (principal, action == Action::"govern", resource);"#);
    assert!(locked.iter().any(|problem| problem.message.contains("nobody could change the rules")), "{locked:?}");
    // One that cannot be evaluated refuses as well.
    let erring = problems(r#"forbid (principal, action, resource) when { 9223372036854775807 + 1 > 5 };"#);
    assert!(erring.iter().any(|problem| problem.message.contains("nobody could change the rules")), "{erring:?}");
    let others =
        problems(r#"forbid (principal, action == Action::"govern", resource) unless { principal in Role::"policy-admin" };"#);
    assert!(others.iter().all(|problem| problem.warning), "{others:?}");
}

#[test]
fn broken_rules_can_be_repaired_and_permit_nothing_else() {
    let (broken, problems) = Rules::new(sources("permit (principal, action, resource) when { resource.zoone == 1 };"));
    assert!(problems.iter().any(|problem| !problem.warning));
    assert_eq!(may(&broken, &["admin"]), ["read", "govern", "audit"]);
    assert_eq!(may(&broken, &["policy-admin"]), ["read", "govern", "audit"]);
    assert!(ROLES.iter().filter(|role| !role.ends_with("admin")).all(|role| may(&broken, &[role]).is_empty()));
    assert!(broken.places(&work(), &Label::empty(), &fleet()).values().all(|verdict| !verdict.allowed));
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
