//! Plans of runs: made when a run is accepted where there is something to choose, made anew when a site that they name is lost.

use std::time::Duration;

use engine::event::RunPlanned;
use engine::{Command, SiteOrder};

use super::{apply, open, start};
use controlplane::ControlPlane;
use model::RunId;

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
    assert_eq!(before.goal.unwrap().late_per_hour, model::Money::from_units(500.0));
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
