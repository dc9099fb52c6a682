//! The quick way gives what the plain loop does, and a tag more never gives a site more: over many made-up rules.

use model::Label;
use policy::{Cache, Fleet, Rules, Sources, Work};
use proptest::prelude::*;

use crate::support::*;

const TAGS: [&str; 8] = ["pii", "pii.ssn", "pii.name", "phi", "raw", "model", "pseudonymous", "unlabeled"];
const ZONES: [&str; 4] = ["on-premise", "cloud", "edge", ""];
const PLACES: [&str; 3] = ["eu", "us", ""];

/// What a condition may ask beside the label.
fn facts() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(&ZONES[..]).prop_map(|zone| format!("resource.zone == \"{zone}\"")),
        prop::sample::select(&PLACES[..]).prop_map(|place| format!("resource.jurisdiction != \"{place}\"")),
        Just("context.domain == \"production\"".to_owned()),
        Just("principal.workflow == \"bank/fraud\"".to_owned()),
        Just("resource.hasTag(\"rack\") && resource.getTag(\"rack\") == \"7\"".to_owned()),
        Just("resource.regimes.contains(\"hipaa\")".to_owned()),
        Just("principal in Project::\"bank\"".to_owned()),
        Just("resource.simulated".to_owned()),
        Just("resource == Site::\"cloud-eu-1\"".to_owned()),
        Just("resource.name == \"edge-us-2\"".to_owned()),
        Just("[Site::\"on-premise-eu-0\", Site::\"edge--2\"].contains(resource)".to_owned()),
        Just("resource.hasTag(\"rack\")".to_owned()),
    ]
}

fn policy_text() -> impl Strategy<Value = String> {
    (any::<bool>(), prop::sample::select(&TAGS[..]), facts(), facts(), any::<bool>()).prop_map(|(forbids, tag, one, other, both)| {
        let joint = if both { "&&" } else { "||" };
        match forbids {
            true => format!(
                "forbid (principal, action == Action::\"run\", resource) when {{ context.data in Tag::\"{tag}\" && ({one} {joint} {other}) }};"
            ),
            false => format!(
                "permit (principal, action in Action::\"place\", resource) when {{ {one} {joint} {other} }} unless {{ context.data in Tag::\"{tag}\" }};"
            ),
        }
    })
}

fn sites() -> Fleet {
    let mut sites = Vec::new();
    for (number, zone) in ZONES.iter().enumerate() {
        for place in PLACES {
            let name = format!("{zone}-{place}-{number}");
            let rack = if number % 2 == 0 { "7" } else { "8" };
            let regimes = if place == "us" { "hipaa, sox" } else { "" };
            sites.push(site(&name, &[("zone", zone), ("jurisdiction", place), ("rack", rack), ("regimes", regimes)]));
        }
    }
    Fleet::new(&sites)
}

fn rules_of(policies: &[String], closed: bool) -> Rules {
    let parent = |tag: &'static str| tag.split_once('.').map(|(parent, _)| parent);
    let tags = TAGS.iter().map(|name| tag(name, parent(name))).collect();
    let documents = policies.iter().enumerate().map(|(number, text)| {
        let mut policy = policy(&format!("p{number}"), text);
        policy.closed = closed;
        policy
    });
    let (rules, problems) = Rules::new(Sources { tags, policies: documents.collect(), ..Sources::default() });
    assert!(problems.iter().all(|problem| problem.warning), "{problems:?}");
    rules
}

fn labels() -> impl Strategy<Value = Label> {
    prop::collection::btree_set(prop::sample::select(&TAGS[..]), 0..5).prop_map(Label::of)
}

proptest! {
    // 140 sets of rules × 60 questions × 12 sites: 100,800 decisions, each by both ways.
    #![proptest_config(ProptestConfig { cases: 140, ..ProptestConfig::default() })]

    #[test]
    fn partial_evaluation_and_the_cache_give_what_the_loop_gives(
        policies in prop::collection::vec(policy_text(), 1..12),
        closed in any::<bool>(),
        questions in prop::collection::vec((labels(), 0..3usize, 0..2usize), 60),
    ) {
        let (rules, fleet, mut cache) = (rules_of(&policies, closed), sites(), Cache::default());
        for (label, domain, workflow) in questions {
            let domain = ["development", "staging", "production"][domain];
            let work = Work { domain: domain.into(), workflow: ["bank/fraud", "bank/other"][workflow].into(), ..work() };
            let plain = rules.places_one_by_one(&work, &label, &fleet);
            let quick = cache.places(&rules, &fleet, &work, &label);
            prop_assert_eq!(quick.len(), plain.len());
            for (site, verdict) in &plain {
                prop_assert_eq!(verdict.allowed, quick[site].allowed, "{} {:?} {:?}", site, label, policies);
                if !verdict.allowed {
                    prop_assert_eq!(verdict, &quick[site]);
                }
            }
        }
    }

    #[test]
    fn a_tag_more_never_gives_a_site_more(
        policies in prop::collection::vec(policy_text(), 1..8),
        closed in any::<bool>(),
        label in labels(),
        more in prop::sample::select(&TAGS[..]),
    ) {
        let (rules, fleet) = (rules_of(&policies, closed), sites());
        let wider = label.clone().joined(&Label::of([more]));
        let (before, after) = (rules.places(&work(), &label, &fleet), rules.places(&work(), &wider, &fleet));
        for (site, verdict) in after {
            prop_assert!(!verdict.allowed || before[&site].allowed, "{site}: {more} adds it: {policies:?}");
        }
    }
}
