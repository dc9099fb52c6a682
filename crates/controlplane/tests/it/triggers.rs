//! Triggers on a real control plane: what fires, once, and what it costs to have many.

use std::time::Duration;

use model::RunId;

use super::{apply, open};

const WORKFLOW: &str = "workflow: t/w\nnodes:\n  a: {use: core/noop, with: {n: 1}}\n";

fn trigger(name: &str, rest: &str) -> String {
    format!("---\nkind: trigger\nname: {name}\nworkflow: t/w\n{rest}\n")
}

/// Waits until a trigger has fired so many times; gives the runs, the latest first.
async fn fired(control: &controlplane::ControlPlane, name: &str, times: usize) -> Vec<(u64, Option<RunId>)> {
    let mut seen = control.notices().watch();
    let look = async {
        loop {
            let firings = control.reader().firings(name, 1_000).unwrap();
            if firings.len() >= times {
                return firings.into_iter().map(|firing| (firing.due.0, firing.run)).collect();
            }
            seen.changed().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(30), look).await.expect("it fires")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_due_time_gives_one_run_over_restarts() {
    let data = tempfile::tempdir().unwrap();
    let control = open(data.path()).await;
    apply(&control, WORKFLOW.to_owned() + &trigger("beat", "every: 1s\ncatch_up: all")).await;
    fired(&control, "beat", 1).await;
    control.stop().await;
    drop(control);
    // While nobody was there, one more came due.
    let control = open(data.path()).await;
    let firings = fired(&control, "beat", 3).await;
    let mut due: Vec<u64> = firings.iter().map(|(due, _)| *due).collect();
    due.reverse();
    assert!(due.windows(2).all(|pair| pair[1] - pair[0] == 1_000_000), "none is left out and none comes twice: {due:?}");
    let runs: std::collections::BTreeSet<_> = firings.iter().map(|(_, run)| run.expect("a run")).collect();
    assert_eq!(runs.len(), firings.len());
    control.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_fire_each_time_and_a_held_or_changed_trigger_does_as_it_says_now() {
    let data = tempfile::tempdir().unwrap();
    let control = open(data.path()).await;
    let on = |rest: &str| WORKFLOW.to_owned() + &trigger("seen", &format!("event: {{name: seen}}\n{rest}"));
    apply(&control, on("")).await;
    let sent = futures_of(&control, 20).await;
    assert_eq!(sent.iter().collect::<std::collections::BTreeSet<_>>().len(), 20, "twenty events at once are twenty runs");
    apply(&control, on("paused: true")).await;
    assert_eq!(futures_of(&control, 1).await, []);
    apply(&control, on("").replace("name: seen}", "name: other}")).await;
    assert_eq!(futures_of(&control, 1).await, []);
    control.stop().await;
}

/// Reports events at once, and gives the runs they start.
async fn futures_of(control: &controlplane::ControlPlane, count: usize) -> Vec<RunId> {
    let sent: Vec<_> = (0..count)
        .map(|_| {
            let control = control.clone();
            tokio::spawn(async move { control.event("seen", serde_json::json!({}), "test").await.unwrap() })
        })
        .collect();
    let mut runs = Vec::new();
    for sent in sent {
        runs.extend(sent.await.unwrap());
    }
    runs
}
