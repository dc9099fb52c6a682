//! Rules and sites as the tests use them.

use std::collections::BTreeMap;

use model::govern::{Approval, Checks, PolicySpec, SanitizerSpec, TagSpec};
use model::{Digest, Duration, SiteSpec, Timestamp};
use policy::{Fleet, Problem, Rules, Sources, Work};

pub(crate) const HOME: &str = r#"
@id("home")
@reason("personal data stays on-premise")
forbid (principal, action == Action::"run", resource)
when { context.data in Tag::"pii" }
unless { resource.zone == "on-premise" };
"#;

pub(crate) fn tag(name: &str, parent: Option<&str>) -> TagSpec {
    let owners = vec!["officers".into()];
    TagSpec { name: name.into(), parent: parent.map(str::to_owned), owners, approvals: 2, ..TagSpec::default() }
}

pub(crate) fn tags() -> Vec<TagSpec> {
    vec![tag("pii", None), tag("pii.ssn", Some("pii")), tag("pseudonymous", None), tag("unlabeled", None)]
}

pub(crate) fn policy(name: &str, cedar: &str) -> PolicySpec {
    PolicySpec { name: name.into(), cedar: cedar.into(), ..PolicySpec::default() }
}

pub(crate) fn sources(cedar: &str) -> Sources {
    Sources { tags: tags(), policies: vec![policy("data", cedar)], ..Sources::default() }
}

pub(crate) fn rules(cedar: &str) -> Rules {
    let (rules, problems) = Rules::new(sources(cedar));
    assert!(problems.iter().all(|problem| problem.warning), "{problems:?}");
    rules
}

pub(crate) fn problems(cedar: &str) -> Vec<Problem> {
    Rules::new(sources(cedar)).1
}

pub(crate) fn site(name: &str, attributes: &[(&str, &str)]) -> SiteSpec {
    let attributes: BTreeMap<&str, &str> = attributes.iter().copied().collect();
    serde_json::from_value(serde_json::json!({"name": name, "capacity": {}, "attributes": attributes})).unwrap()
}

pub(crate) fn fleet() -> Fleet {
    let sites = [
        site("onprem", &[("zone", "on-premise"), ("jurisdiction", "eu"), ("rack", "7")]),
        site("frankfurt", &[("zone", "cloud"), ("jurisdiction", "eu")]),
        site("virginia", &[("zone", "cloud"), ("jurisdiction", "us")]),
        site("nowhere", &[]),
    ];
    Fleet::new(&sites)
}

pub(crate) fn work() -> Work {
    Work { project: "bank".into(), workflow: "bank/fraud".into(), domain: "production".into(), work: "run".into() }
}

pub(crate) fn sanitizer() -> SanitizerSpec {
    SanitizerSpec {
        name: "pseudonymise".into(),
        description: String::new(),
        identity: Digest::of(b"the code"),
        runs: "python pseudonymise.py".into(),
        strips: BTreeMap::from([("pii".into(), "pseudonymous".into())]),
        checks: Checks::default(),
        expires: Duration::from_secs(100),
        author: "ada".into(),
    }
}

pub(crate) fn approval(by: &str, groups: &[&str], at: u64) -> Approval {
    Approval {
        kind: "sanitizer".into(),
        name: "pseudonymise".into(),
        digest: sanitizer().digest(),
        version: None,
        by: by.into(),
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        at: Timestamp(at * 1_000_000),
        good_for: None,
        revoked: false,
        reason: String::new(),
    }
}
