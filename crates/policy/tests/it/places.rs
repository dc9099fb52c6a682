//! Which sites may see which data, and what a refusal says.

use std::collections::BTreeMap;

use model::{Digest, Label, Timestamp};
use policy::{Cache, Flow, Rules, Sources, Step};

use crate::support::*;

fn allowed(rules: &Rules, tags: &[&str]) -> Vec<String> {
    let places = rules.places(&work(), &Label::of(tags.iter().copied()), &fleet());
    places.into_iter().filter(|(_, verdict)| verdict.allowed).map(|(site, _)| site).collect()
}

#[test]
fn a_tag_below_another_is_kept_where_the_other_is() {
    let rules = rules(HOME);
    assert_eq!(allowed(&rules, &["pii"]), ["onprem"]);
    assert_eq!(allowed(&rules, &["pii.ssn"]), ["onprem"]);
    assert_eq!(allowed(&rules, &["pseudonymous"]).len(), 4);
    assert_eq!(allowed(&rules, &[]).len(), 4);
}

#[test]
fn a_refusal_names_the_policy_why_it_is_there_and_what_it_looked_at() {
    let rules = rules(HOME);
    let places = rules.places(&work(), &Label::of(["pii.ssn"]), &fleet());
    let why = places["frankfurt"].why();
    for part in ["`data/home`", "personal data stays on-premise", "`pii.ssn`, which is `pii`", "`zone` is `cloud`"] {
        assert!(why.contains(part), "{part}: {why}");
    }
    assert!(places["nowhere"].why().contains("`zone` is not set"), "{}", places["nowhere"].why());
}

#[test]
fn without_rules_everything_is_permitted_and_a_closed_set_permits_nothing_by_itself() {
    assert_eq!(allowed(&Rules::default(), &["pii", "anything"]).len(), 4);
    let closed = |cedar: &str| {
        let mut sources = sources(cedar);
        sources.policies[0].closed = true;
        Rules::new(sources).0
    };
    assert!(allowed(&closed(HOME), &[]).is_empty());
    let rules =
        closed(r#"@id("eu") permit (principal, action == Action::"run", resource) when { resource.jurisdiction == "eu" };"#);
    assert_eq!(allowed(&rules, &[]), ["frankfurt", "onprem"]);
    assert!(rules.places(&work(), &Label::empty(), &fleet())["virginia"].why().contains("no policy permits it"));
}

/// Cedar leaves out a `forbid` that errs, and lets through what it was written against.
#[test]
fn a_policy_that_errs_refuses() {
    let overflow = r#"forbid (principal, action == Action::"run", resource)
        when { resource.regimes.contains("x") && 9223372036854775807 + 1 > 5 };"#;
    let (rules, problems) = Rules::new(sources(overflow));
    assert!(problems.iter().any(|problem| problem.warning && problem.message.contains("overflow")), "{problems:?}");
    let fleet = policy::Fleet::new(&[site("a", &[("regimes", "x, y")]), site("b", &[])]);
    let places = rules.places(&work(), &Label::empty(), &fleet);
    assert!(!places["a"].allowed && places["b"].allowed, "{places:?}");
    assert!(places["a"].why().contains("could not be evaluated"), "{}", places["a"].why());
    assert_eq!(places, rules.places_one_by_one(&work(), &Label::empty(), &fleet));
}

#[test]
fn bad_policies_are_found_where_they_stand() {
    let found = |cedar: &str| {
        let problems = problems(cedar);
        let problem = problems.iter().find(|problem| !problem.warning).unwrap_or_else(|| panic!("nothing is wrong with {cedar}"));
        (problem.message.clone(), cedar[problem.span.clone()].to_owned())
    };
    let (message, at) = found("forbid (principal, action, resource) when { resource.zoone == \"x\" };");
    assert!(message.contains("zoone") && at.contains("zoone"), "{message} at {at}");
    let (message, at) = found("forbid (principal, action == Action::\"run\", resource) when { context.data in Tag::\"pi\" };");
    assert!(message.contains("no tag `pi`") && at == "\"pi\"", "{message} at {at}");
    assert!(found("forbid (principal, action, resource").0.contains("not a policy"));
    assert!(found(&format!("{HOME}{HOME}")).0.contains("two policies"));
    assert!(
        found("permit (principal, action == Action::\"run\", resource) when { context.data in Tag::\"pii\" };")
            .0
            .contains("permitted more")
    );
    assert!(found("forbid (principal == ?principal, action, resource);").0.contains("slot"));
    let huge = format!("// {}\n{HOME}", "x".repeat(model::limits::POLICY_BYTES_MAX));
    assert!(found(&huge).0.contains("at most"));
}

#[test]
fn broken_rules_permit_nothing() {
    let (rules, problems) = Rules::new(sources("forbid (principal, action, resource) when { resource.zoone == 1 };"));
    assert!(!problems.is_empty());
    assert!(allowed(&rules, &[]).is_empty());
}

#[test]
fn what_nobody_has_labelled_does_not_move() {
    let rules = rules("");
    let moves =
        |tags: &[&str]| rules.may_move(&work(), &Label::of(tags.iter().copied()), &fleet(), "onprem", "frankfurt").allowed;
    assert!(moves(&[]) && moves(&["pii"]) && !moves(&["unlabeled"]));
    assert!(rules.may_move(&work(), &Label::of(["unlabeled"]), &fleet(), "onprem", "onprem").allowed);
}

fn governed(approvals: Vec<model::govern::Approval>) -> Rules {
    let sources = Sources { sanitizers: vec![sanitizer()], approvals, ..sources(HOME) };
    let (rules, problems) = Rules::new(sources);
    assert_eq!(problems, vec![]);
    rules
}

#[test]
fn a_sanitizer_counts_when_enough_owners_who_did_not_write_it_vouch_for_exactly_this_code() {
    let wanted = BTreeMap::from([("pii".to_owned(), "pseudonymous".to_owned())]);
    let code = Digest::of(b"the code");
    let ask = |approvals: Vec<model::govern::Approval>, code: Option<&Digest>, second: u64| {
        governed(approvals).lowering(code, &wanted, Timestamp(second * 1_000_000))
    };
    let both = || vec![approval("eve", &["officers"], 1), approval("max", &["officers"], 2)];
    let lowering = ask(both(), Some(&code), 10).unwrap();
    assert_eq!(lowering.of(&Label::of(["pii", "pii.ssn", "other"])), Label::of(["other", "pseudonymous"]));
    let refused = |approvals, code: Option<&Digest>, second, part: &str| {
        let why = ask(approvals, code, second).unwrap_err();
        assert!(why.contains(part), "{part}: {why}");
    };
    refused(vec![], Some(&code), 10, "0 of 2");
    refused(vec![approval("eve", &["officers"], 1)], Some(&code), 10, "1 of 2");
    refused(vec![approval("eve", &["officers"], 1), approval("eve", &["officers"], 2)], Some(&code), 10, "1 of 2");
    refused(vec![approval("eve", &["officers"], 1), approval("ada", &["officers"], 2)], Some(&code), 10, "1 of 2");
    refused(vec![approval("eve", &["officers"], 1), approval("tom", &["others"], 2)], Some(&code), 10, "1 of 2");
    // Changed after approval, expired, taken back, made by an expression.
    refused(both(), Some(&Digest::of(b"other code")), 10, "no sanitizer is registered");
    refused(both(), Some(&code), 101, "1 of 2");
    refused(both(), Some(&code), 102, "0 of 2");
    let mut back = both();
    back.push(model::govern::Approval { revoked: true, ..approval("max", &["officers"], 3) });
    refused(back, Some(&code), 10, "1 of 2");
    refused(both(), None, 10, "not fixed");
    // It ends when it was said to end, however long the sanitizer says later; and earlier when the sanitizer says so now.
    let given_for = |seconds: u64| {
        let until = Some(model::Duration::from_secs(seconds));
        both().into_iter().map(move |approval| model::govern::Approval { good_for: until, ..approval }).collect::<Vec<_>>()
    };
    assert!(ask(given_for(20), Some(&code), 19).is_ok());
    refused(given_for(20), Some(&code), 21, "1 of 2");
    refused(given_for(900), Some(&code), 102, "0 of 2");
    let mut other_version = both();
    other_version[0].digest = Digest::of(b"an earlier version");
    refused(other_version, Some(&code), 10, "1 of 2");
    let more = BTreeMap::from([("pii".to_owned(), String::new())]);
    assert!(governed(both()).lowering(Some(&code), &more, Timestamp(0)).unwrap_err().contains("does not make"));
}

fn step(path: &str, tags: &[&str], zone: Option<&str>, takes: Vec<usize>) -> Step {
    Step {
        path: path.into(),
        work: Some("run".into()),
        label: Label::of(tags.iter().copied()),
        site: zone.map(|zone| BTreeMap::from([("zone".to_owned(), zone.to_owned())])).unwrap_or_default(),
        takes,
        trails: tags.iter().map(|tag| ((*tag).to_owned(), vec!["source.ssn".into(), "join".into(), path.into()])).collect(),
        notes: vec![],
    }
}

fn flow(steps: Vec<Step>) -> Flow {
    Flow { workflow: "bank/fraud".into(), project: "bank".into(), graph: None, steps }
}

#[test]
fn a_workflow_that_has_no_place_for_a_step_is_refused_with_path_policy_and_the_closest_sites() {
    let rules = rules(HOME);
    let certify = |steps| rules.certify(&flow(steps), &["development"], &fleet(), &mut Cache::default());
    let certificate = certify(vec![step("join", &["pii"], None, vec![]), step("score", &[], Some("cloud"), vec![0])]).unwrap();
    assert_eq!(certificate.steps[0].sites, ["onprem"]);
    assert_eq!(certificate.steps[1].sites, ["frankfurt", "virginia"]);
    let refused = certify(vec![step("score", &["pii"], Some("cloud"), vec![])]).unwrap_err();
    let text = refused[0].render();
    for part in [
        "`score` may run nowhere",
        "source.ssn [pii] → join → score",
        "data/home: personal data stays on-premise",
        "closest: onprem: policy permits it, but the step asks for `zone` to be `cloud`, and it is `on-premise`",
        "frankfurt: policy `data/home`",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    // A site that is not there yet is not the policy's fault.
    assert!(certify(vec![step("score", &["pii"], Some("moon"), vec![])]).is_ok());
}

#[test]
fn data_has_to_be_able_to_come_where_it_is_used() {
    let rules =
        rules(r#"@id("no-move") forbid (principal, action == Action::"move", resource) when { context.data in Tag::"pii" };"#);
    let steps = vec![step("a", &["pii"], Some("on-premise"), vec![]), step("b", &["pii"], Some("cloud"), vec![0])];
    let refused = rules.certify(&flow(steps), &["development"], &fleet(), &mut Cache::default()).unwrap_err();
    assert!(refused[0].render().contains("may not move there"), "{}", refused[0].render());
}
