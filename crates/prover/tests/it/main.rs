//! Rules put to a real solver. Without one these tests show nothing, and say so loudly; `TUTTI_NEED_SOLVER=1` lets them fail instead.

use model::govern::{PolicySpec, TagSpec};
use policy::{Rules, Sources};
use prover::{Compared, NoSolver, OfAction, Range, Solver, analyze};

const HOME: &str = r#"
@id("home")
forbid (principal, action in Action::"place", resource)
when { context.data in Tag::"pii" }
unless { resource.zone == "on-premise" };
"#;

fn rules(policies: &[&str]) -> Rules {
    let tag =
        |name: &str, parent: Option<&str>| TagSpec { name: name.into(), parent: parent.map(str::to_owned), ..TagSpec::default() };
    let policy = |(number, text): (usize, &&str)| PolicySpec {
        name: format!("p{number}"),
        cedar: (*text).to_owned(),
        closed: text.contains("// closed"),
        ..PolicySpec::default()
    };
    let sources = Sources {
        tags: vec![tag("pii", None), tag("pii.ssn", Some("pii"))],
        policies: policies.iter().enumerate().map(policy).collect(),
        ..Sources::default()
    };
    let (rules, problems) = Rules::new(sources);
    assert!(problems.iter().all(|problem| problem.warning), "{problems:?}");
    rules
}

/// The solver of this machine, when there is one.
async fn solver() -> Option<Solver> {
    match Solver::find(std::env::var_os("CVC5")).await {
        Ok(solver) => Some(solver),
        Err(error) if std::env::var_os("TUTTI_NEED_SOLVER").is_none() => {
            eprintln!("SKIPPED, NOTHING WAS SHOWN: {error}. Install cvc5, or set CVC5.");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

async fn about(solver: &Solver, action: &str, now: &Rules, before: Option<&Rules>) -> OfAction {
    let mut found = analyze(solver, now, before, &[action.to_owned()]).await.unwrap();
    assert_eq!(found.actions.len(), 1, "{found:?}");
    found.actions.remove(0)
}

#[tokio::test]
async fn without_a_solver_it_is_said_that_there_is_none() {
    let broken = Solver::find(Some("/nonexistent/cvc5".into())).await.unwrap_err();
    assert!(matches!(&broken, NoSolver::Unusable { path, .. } if path == "/nonexistent/cvc5"), "{broken}");
    let other = Solver::find(Some("true".into())).await.unwrap_err();
    assert!(other.to_string().contains("does not say that it is cvc5"), "{other}");
}

#[tokio::test]
async fn how_much_is_permitted_is_proved() {
    let Some(solver) = solver().await else { return };
    let open = rules(&[]);
    assert_eq!(about(&solver, "run", &open, None).await.permits, Range::Everything);
    let home = about(&solver, "run", &rules(&[HOME]), None).await;
    assert_eq!((home.permits.clone(), home.errs.len(), home.holds()), (Range::Some, 0, true), "{home:?}");
    let closed = rules(&[
        "// closed\n@id(\"none\") forbid (principal, action == Action::\"run\", resource) when { resource.zone == \"x\" };",
    ]);
    assert_eq!(about(&solver, "run", &closed, None).await.permits, Range::Nothing);
}

#[tokio::test]
async fn a_policy_that_can_err_is_shown_at_what() {
    let Some(solver) = solver().await else { return };
    let errs = rules(&[r#"@id("sum") forbid (principal, action == Action::"egress", resource) when { resource.port + 1 > 5 };"#]);
    let found = about(&solver, "egress", &errs, None).await;
    assert_eq!(found.errs.len(), 1, "{found:?}");
    let example = found.errs[0].example.as_ref().unwrap();
    assert_eq!((found.errs[0].policy.as_str(), example.resource["port"].as_i64()), ("p0/sum", Some(i64::MAX)), "{example:?}");
    assert!(!found.holds());
    let bounded = rules(&[
        r#"@id("sum") forbid (principal, action == Action::"egress", resource) when { resource.port < 70000 && resource.port + 1 > 5 };"#,
    ]);
    assert!(about(&solver, "egress", &bounded, None).await.errs.is_empty());
}

#[tokio::test]
async fn what_a_new_version_opens_is_shown_by_a_request() {
    let Some(solver) = solver().await else { return };
    let before = rules(&[HOME]);
    let wider = HOME.replace("resource.zone == \"on-premise\"", "resource.zone != \"cloud\"");
    let found = about(&solver, "run", &rules(&[&wider]), Some(&before)).await;
    let Some(Compared::More { example, policies }) = found.compared else { panic!("{found:?}") };
    assert_eq!(policies, ["p0/home"]);
    assert!(example.data.contains(&"pii".to_owned()), "{example:?}");
    let zone = example.resource.get("zone").and_then(|zone| zone.as_str()).unwrap_or_default();
    assert!(zone != "on-premise" && zone != "cloud", "{example:?}");
    // What the data is moved for is asked by itself.
    assert!(matches!(about(&solver, "move", &rules(&[&wider]), Some(&before)).await.compared, Some(Compared::More { .. })));
    assert_eq!(about(&solver, "release", &rules(&[&wider]), Some(&before)).await.compared, Some(Compared::Same));
}

#[tokio::test]
async fn what_a_new_version_does_not_open_is_proved() {
    let Some(solver) = solver().await else { return };
    let before = rules(&[HOME]);
    // The same in other words.
    let again = r#"@id("home") forbid (principal, action in Action::"place", resource)
        when { resource.zone != "on-premise" && context.data in Tag::"pii" };"#;
    assert_eq!(about(&solver, "run", &rules(&[again]), Some(&before)).await.compared, Some(Compared::Same));
    let narrower = r#"@id("no") forbid (principal, action == Action::"run", resource) when { resource.simulated };"#;
    let found = about(&solver, "run", &rules(&[HOME, narrower]), Some(&before)).await;
    let Some(Compared::Less { example, policies }) = &found.compared else { panic!("{found:?}") };
    assert!(found.holds() && policies == &["p1/no"] && example.resource["simulated"] == true, "{found:?}");
}

/// That what is `pii.ssn` is `pii` stands in no policy and in no vocabulary: it is what tags are.
#[tokio::test]
async fn what_is_so_of_all_requests_is_known() {
    let Some(solver) = solver().await else { return };
    let both = HOME.replace("context.data in Tag::\"pii\"", "context.data in Tag::\"pii\" || context.data in Tag::\"pii.ssn\"");
    let found = about(&solver, "run", &rules(&[HOME]), Some(&rules(&[&both]))).await;
    assert_eq!(found.compared, Some(Compared::Same), "{found:?}");
    let named = r#"@id("one") forbid (principal, action == Action::"run", resource) when { resource.name == "x" };"#;
    let itself = r#"@id("one") forbid (principal, action == Action::"run", resource == Site::"x");"#;
    let found = about(&solver, "run", &rules(&[named]), Some(&rules(&[itself]))).await;
    assert_eq!(found.compared, Some(Compared::Same), "{found:?}");
    let project = r#"@id("one") forbid (principal, action == Action::"run", resource) when { principal.project == "bank" };"#;
    let member = r#"@id("one") forbid (principal in Project::"bank", action == Action::"run", resource);"#;
    assert_eq!(about(&solver, "run", &rules(&[project]), Some(&rules(&[member]))).await.compared, Some(Compared::Same));
}

/// Where a policy of before can err, it refused what it seems to permit, and nothing is promised.
#[tokio::test]
async fn errors_are_refusals_here_and_no_proof_overlooks_that() {
    let Some(solver) = solver().await else { return };
    let errs =
        rules(&[r#"@id("sum") forbid (principal, action == Action::"egress", resource) when { resource.port + 1 > 500 };"#]);
    let without =
        rules(&[r#"@id("sum") forbid (principal, action == Action::"egress", resource) when { resource.port > 499 };"#]);
    // Cedar alone leaves out the policy that errs, and lets the largest port through.
    let found = about(&solver, "egress", &without, Some(&errs)).await;
    assert!(matches!(found.compared, Some(Compared::Unknown(_) | Compared::Same | Compared::Less { .. })), "{found:?}");
    assert_ne!(found.compared, Some(Compared::Same), "{found:?}");
}
