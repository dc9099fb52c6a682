//! Plans of runs: made when a run is accepted where there is something to choose, made anew when a site that they name is lost.

use std::time::Duration;

use engine::event::RunPlanned;
use engine::{Command, SiteOrder};

use super::{apply, open, options, start};
use controlplane::{ControlPlane, Options, Side, SourceFile, Suppose};
use model::{Money, RunId};

const SITES: &str = "
kind: site
name: own
capacity: {cpu: 2, memory: 4Gi}
prices: {cpu_hour: 0.01}
---
kind: site
name: rented
capacity: {cpu: 32, memory: 64Gi}
prices: {cpu_hour: 0.05}
---
";

fn plan_of(control: &ControlPlane, run: RunId) -> Option<RunPlanned> {
    let row = control.reader().run(run).unwrap().unwrap();
    control.reader().last_plan(&row).unwrap()
}

/// A workflow that waits for a signal before it works, so that nothing of it ends meanwhile.
fn workflow(deadline: &str, tasks: u32) -> String {
    let mut text = format!("workflow: t/w\n{deadline}\nnodes:\n  go: {{wait: {{signal: go}}}}\n");
    for number in 0..tasks {
        text += &format!("  n{number}: {{run: [\"true\"], after: [go], needs: {{cpu: 1}}}}\n");
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_planned_at_home_while_its_deadline_holds_and_away_when_it_does_not() {
    let data = tempfile::tempdir().unwrap();
    let control = open(data.path()).await;
    apply(&control, format!("{SITES}{}", workflow("deadline: 10h", 8))).await;
    let calm = plan_of(&control, start(&control).await).unwrap();
    let away = |plan: &RunPlanned| plan.places.iter().filter(|place| place.site == "rented").count();
    // The machine itself is a site as well, and costs nothing.
    assert_eq!((calm.why.as_str(), calm.places.len(), away(&calm)), ("admission", 8, 0));
    let explanation: serde_json::Value = serde_json::from_str(&calm.explanation).unwrap();
    assert_eq!(explanation["expected"]["p_late"], 0.0, "{explanation}");
    assert!(explanation["critical_path"].as_array().is_some_and(|path| !path.is_empty()), "{explanation}");
    control.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_site_is_planned_around_and_plans_outlive_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let control = open(data.path()).await;
    let only_rented_is_quick = workflow("deadline: {within: 2m, late_per_hour: 500}", 60);
    apply(&control, format!("{SITES}{only_rented_is_quick}")).await;
    let run = start(&control).await;
    let before = plan_of(&control, run).unwrap();
    assert!(before.places.iter().any(|place| place.site == "rented"), "{before:?}");
    assert_eq!(before.goal.unwrap().late_per_hour, Money::from_units(500.0));
    let order = Command::SiteOrder { site: "rented".into(), order: SiteOrder::Drain, principal: "test".into() };
    // The watcher has to have seen the fleet as it was; any change of it does.
    tokio::time::timeout(Duration::from_secs(30), async {
        control.inbox().ask(order).await.unwrap();
        let mut seq = control.notices().watch();
        while plan_of(&control, run).unwrap() == before {
            seq.changed().await.unwrap();
        }
    })
    .await
    .unwrap();
    let after = plan_of(&control, run).unwrap();
    assert!(after.places.iter().all(|place| place.site != "rented"), "{after:?}");
    assert_eq!(after.why, "rented takes no new work");
    let stay: Vec<_> = before.places.iter().filter(|place| place.site != "rented").collect();
    assert!(!stay.is_empty(), "some of it was planned elsewhere: {before:?}");
    for place in stay {
        let now = after.places.iter().find(|now| now.path == place.path).map(|now| &now.site);
        assert_eq!(now, Some(&place.site), "what is not affected stays: {}", place.path);
    }
    control.stop().await;
    let control = open(data.path()).await;
    assert_eq!(plan_of(&control, run).unwrap(), after);
    control.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_there_is_nothing_to_choose_nothing_is_planned() {
    let data = tempfile::tempdir().unwrap();
    let control = open(data.path()).await;
    apply(&control, "workflow: t/w\nnodes:\n  a: {use: core/noop@1}\n  b: {use: core/noop@1, after: [a]}\n".into()).await;
    assert_eq!(plan_of(&control, start(&control).await), None);
    apply(&control, format!("{SITES}workflow: t/w\ndeadline: 1h\nnodes:\n  a: {{use: core/noop@1}}\n")).await;
    let plan = plan_of(&control, start(&control).await).unwrap();
    assert!(plan.goal.is_some() && plan.places.is_empty(), "a deadline is kept: {plan:?}");
    control.stop().await;
}

/// Two sites of one zone: a cheap small one and a dear large one. The machine itself is not in the zone.
const ZONE: &str = "
kind: site
name: own
capacity: {cpu: 2, memory: 4Gi}
attributes: {zone: bank}
prices: {cpu_hour: 1}
---
kind: site
name: rented
capacity: {cpu: 32, memory: 64Gi}
attributes: {zone: bank}
prices: {cpu_hour: 50}
---
";

/// Work that two own cores do too late, and that waits for a signal before it begins.
fn late_at_home() -> String {
    let mut text = "workflow: t/w\ndeadline: {within: 2m, late_per_hour: 500}\nnodes:\n  go: {wait: {signal: go}}\n".to_owned();
    for number in 0..8 {
        text += &format!("  n{number}: {{run: [\"true\"], after: [go], needs: {{cpu: 1, site: {{zone: bank}}}}}}\n");
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_keeps_within_what_its_project_may_spend_and_hold() {
    let data = tempfile::tempdir().unwrap();
    let control = open(data.path()).await;
    apply(&control, format!("{ZONE}{}", late_at_home())).await;
    let away = |plan: &RunPlanned| plan.places.iter().filter(|place| place.site == "rented").count();
    let budget_of = |plan: &RunPlanned| {
        let explanation: serde_json::Value = serde_json::from_str(&plan.explanation).unwrap();
        explanation["budget"].clone()
    };
    let free = plan_of(&control, start(&control).await).unwrap();
    assert!(away(&free) >= 4, "two own cores are late: {free:?}");
    assert!(budget_of(&free).is_null(), "{free:?}");

    // One action at the dear site costs more than all that may be spent.
    let project = |bounds: &str| format!("kind: project\nname: t\n{bounds}\n");
    apply(&control, project("budget: {day: 0.6}")).await;
    let kept = plan_of(&control, start(&control).await).unwrap();
    assert_eq!(away(&kept), 0, "{kept:?}");
    let budget = budget_of(&kept);
    assert_eq!((budget["left"].as_i64(), budget["over"].as_i64()), (Some(600_000), Some(0)), "{budget}");
    assert!(budget["said"].as_str().is_some_and(|said| said.contains("of its budget of 0.6")), "{budget}");
    assert_eq!(kept.goal, free.goal.map(|goal| engine::event::Goal { deadline: kept.goal.unwrap().deadline, ..goal }));

    // Less than anything costs: the plan says by how much, and the run is let in.
    apply(&control, project("budget: {day: 0.05}")).await;
    let over = plan_of(&control, start(&control).await).unwrap();
    assert!(away(&over) == 0 && budget_of(&over)["over"].as_i64() > Some(0), "{over:?}");

    // A quota of one core is no reason to spread.
    apply(&control, project("quota: {cpu: 1}")).await;
    let narrow = plan_of(&control, start(&control).await).unwrap();
    let ends = |plan: &RunPlanned| {
        let explanation: serde_json::Value = serde_json::from_str(&plan.explanation).unwrap();
        explanation["expected"]["ends_in_s"][1].as_f64().unwrap()
    };
    assert!(ends(&narrow) > 1.5 * ends(&free), "one at a time there: {} and {}", ends(&narrow), ends(&free));
    control.stop().await;
}

fn documents(text: &str) -> Vec<SourceFile> {
    vec![SourceFile { path: "d.yaml".into(), text: text.into() }]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_what_if_of_an_open_run_keeps_within_what_its_project_may_spend_and_hold() {
    let data = tempfile::tempdir().unwrap();
    let control = open(data.path()).await;
    apply(&control, format!("{ZONE}{}", late_at_home())).await;
    let run = start(&control).await;
    let name = control.reader().run(run).unwrap().unwrap().name;
    let away = |side: &Side| side.places.values().filter(|site| *site == "rented").count();
    let free = control.suppose(&name, &Suppose::default()).unwrap();
    assert!(away(&free.before) >= 4 && free.before.budget.is_none(), "two own cores are late: {free:?}");

    // One action at the dear site costs more than all that may be spent, whatever the deadline.
    const POOR: &str = "kind: project\nname: t\nbudget: {day: 0.6}\n";
    let as_if = |text: &str| Suppose { documents: documents(text), ..Suppose::default() };
    let supposed = control.suppose(&name, &as_if(POOR)).unwrap();
    assert_eq!((away(&supposed.before), away(&supposed.after)), (away(&free.before), 0), "{supposed:?}");
    let budget = supposed.after.budget.unwrap();
    assert_eq!((budget.left, budget.over), (Money::from_units(0.6), Money(0)), "{budget:?}");
    assert!(budget.said.contains("of its budget of 0.6"), "{budget:?}");
    apply(&control, POOR.into()).await;
    let kept = control.suppose(&name, &as_if("kind: project\nname: t\n")).unwrap();
    assert_eq!((away(&kept.before), kept.before.places.len(), away(&kept.after)), (0, 8, away(&free.before)), "{kept:?}");
    let over = control.suppose(&name, &as_if("kind: project\nname: t\nbudget: {day: 0.05}\n")).unwrap().after;
    assert!(away(&over) == 0 && over.budget.as_ref().is_some_and(|budget| budget.over > Money(0)), "{over:?}");

    // One core at once is not quicker at two sites than at one.
    let ends = |side: &Side| side.to_come.as_ref().unwrap().ends_in_s[1];
    let narrow = control.suppose(&name, &as_if("kind: project\nname: t\nquota: {cpu: 1}\n")).unwrap().after;
    assert!(ends(&narrow) > 1.5 * ends(&free.before), "{} and {}", ends(&narrow), ends(&free.before));

    let other = control.suppose(&name, &as_if("kind: project\nname: other\nbudget: {day: 1}\n")).unwrap_err();
    assert!(other.detail.contains("of the project `t`"), "{other:?}");
    // Of what has ended the whole is looked at: what may be spent today says nothing of it.
    let cancel = Command::Cancel { run, principal: "test".into(), reason: String::new() };
    control.inbox().ask(cancel).await.unwrap();
    control.end_of(run, Duration::from_secs(60)).await.unwrap().unwrap();
    let over = control.suppose(&name, &Suppose::default()).unwrap().before;
    assert!(away(&over) >= 4 && over.budget.is_none(), "{over:?}");
    control.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_run_holds_of_the_quota_counts_in_a_what_if_and_what_the_run_itself_holds_does_not() {
    let data = tempfile::tempdir().unwrap();
    // A wrapper that begins nothing and ends with the server: what has its place keeps it.
    let shim = ("/bin/sh".into(), vec!["-c".into(), "cat > /dev/null".into()]);
    let control = ControlPlane::open(Options { shim, ..options(data.path()) }).await.unwrap();
    let work = "workflow: t/w\nnodes:\n  a: {run: [\"true\"], needs: {cpu: 1, site: {zone: bank}}}\n";
    apply(&control, format!("{ZONE}kind: project\nname: t\nquota: {{cpu: 1}}\n")).await;
    apply(&control, work.into()).await;
    let (holds, waits) = (start(&control).await, start(&control).await);
    let name = |run: RunId| control.reader().run(run).unwrap().unwrap().name;
    let asked = |run: RunId, text: &str| {
        let documents = if text.is_empty() { Vec::new() } else { documents(text) };
        control.suppose(&name(run), &Suppose { documents, action: Some("a".into()), ..Suppose::default() }).unwrap()
    };
    let chosen = |side: &Side| {
        let explained = side.explanation.as_ref().unwrap();
        let chosen = explained.sites.iter().any(|site| site.verdict == placement::Verdict::Chosen);
        (chosen, explained.bounds.clone().unwrap_or_default())
    };
    let own = asked(holds, "");
    assert!(chosen(&own.before).0, "what it holds itself is planned anew: {own:?}");
    assert!(chosen(&own.before).1.contains("holds 0 cores"), "{own:?}");
    let other = asked(waits, "kind: project\nname: t\nquota: {cpu: 2}\n");
    let (placed, said) = chosen(&other.before);
    assert!(!placed && said.contains("holds 1 cores") && said.contains("of its quota of 1 cores"), "{other:?}");
    assert!(chosen(&other.after).0, "with two cores there is room beside the other run: {other:?}");
    control.stop().await;
}
