//! Triggers on a real control plane: what fires, once, and what it costs to have many.

use std::time::Duration;

use model::RunId;
use workflow::documents::{CatchUp, Overlap, TriggerKind, TriggerSpec};

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

/// A workflow that stays open: a person is asked.
const ASKS: &str = "workflow: t/w\nnodes:\n  a: {human: {title: Go on?}}\n";

/// Reports `seen` once; gives the run it starts, or why there is none.
async fn seen(control: &controlplane::ControlPlane) -> Result<RunId, String> {
    let runs = control.event("seen", serde_json::json!({}), "test").await.unwrap();
    let last = control.reader().firings("seen", 1).unwrap().pop().unwrap();
    assert_eq!(runs.first().copied(), last.run);
    runs.first().copied().ok_or_else(|| last.left_out.unwrap_or_default())
}

fn phase(control: &controlplane::ControlPlane, run: RunId) -> &'static str {
    control.reader().run(run).unwrap().unwrap().phase.as_str()
}

async fn cancel(control: &controlplane::ControlPlane, run: RunId) {
    let command = engine::Command::Cancel { run, principal: "test".into(), reason: "enough".into() };
    control.inbox().ask(command).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_becomes_of_a_firing_while_a_run_is_open_is_what_the_document_says() {
    let data = tempfile::tempdir().unwrap();
    let control = open(data.path()).await;
    let on = |overlap: &str| ASKS.to_owned() + &trigger("seen", &format!("event: {{name: seen}}\noverlap: {overlap}"));
    apply(&control, on("allow")).await;
    let (first, second) = (seen(&control).await.unwrap(), seen(&control).await.unwrap());
    assert_eq!((phase(&control, first), phase(&control, second)), ("running", "running"));
    apply(&control, on("skip")).await;
    assert_eq!(seen(&control).await, Err("still_runs".into()));
    // Reported at once by many, one gets through: the engine decides, not who looked first.
    cancel(&control, first).await;
    cancel(&control, second).await;
    let at_once = futures_of(&control, 10).await;
    assert_eq!(at_once.len(), 1, "{at_once:?}");
    apply(&control, on("queue")).await;
    let queued = seen(&control).await.unwrap();
    assert_eq!((phase(&control, at_once[0]), phase(&control, queued)), ("running", "queued"));
    apply(&control, on("replace")).await;
    let last = seen(&control).await.unwrap();
    assert_eq!((phase(&control, at_once[0]), phase(&control, queued), phase(&control, last)), ("aborted", "aborted", "running"));
    control.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_waits_its_turn_does_so_over_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let control = open(data.path()).await;
    apply(&control, ASKS.to_owned() + &trigger("seen", "event: {name: seen}\noverlap: queue")).await;
    let (first, second) = (seen(&control).await.unwrap(), seen(&control).await.unwrap());
    control.stop().await;
    drop(control);
    let control = open(data.path()).await;
    assert_eq!((phase(&control, first), phase(&control, second)), ("running", "queued"));
    cancel(&control, first).await;
    assert_eq!((phase(&control, first), phase(&control, second)), ("aborted", "running"));
    control.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_whose_workflow_does_not_fit_any_more_says_so() {
    let data = tempfile::tempdir().unwrap();
    let control = open(data.path()).await;
    apply(&control, WORKFLOW.to_owned() + &trigger("seen", "event: {name: seen}")).await;
    apply(&control, "workflow: t/w\ninputs: {n: {type: integer}}\nnodes:\n  a: {use: core/noop, with: {n: 1}}\n".into()).await;
    assert_eq!(seen(&control).await, Err("refused".into()));
    control.stop().await;
}

/// What is many costs once, when it is read; then only what is due.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_triggers_start_and_fire_side_by_side() {
    const MANY: usize = 10_000;
    let data = tempfile::tempdir().unwrap();
    let control = open(data.path()).await;
    apply(&control, WORKFLOW.to_owned()).await;
    let body = |name: &str, seconds: u64| TriggerSpec {
        name: name.into(),
        workflow: "t/w".into(),
        domain: None,
        inputs: Default::default(),
        on: TriggerKind::Every(model::Duration::from_secs(seconds)),
        catch_up: CatchUp::Last,
        overlap: Overlap::Allow,
        paused: false,
    };
    let register = |name: String, seconds: u64| engine::Command::ApplyResource {
        kind: "trigger".into(),
        body: serde_json::to_value(body(&name, seconds)).unwrap(),
        name,
        principal: "test".into(),
    };
    // As if by an earlier server: the journal knows them, the schedule is made at the start.
    let waiting: Vec<_> =
        (0..MANY).map(|number| control.inbox().post(register(format!("slow-{number}"), 86_400)).unwrap()).collect();
    for answer in waiting {
        answer.await.unwrap().unwrap();
    }
    let ask = |number: usize| control.inbox().post(register(format!("quick-{number}"), 2)).unwrap();
    for answer in (0..200).map(ask).collect::<Vec<_>>() {
        answer.await.unwrap().unwrap();
    }
    control.stop().await;
    drop(control);
    let control = open(data.path()).await;
    assert!(control.next_firing_of("slow-9999").is_some());
    // All that are due fire, none waits behind those that are not.
    for number in 0..200 {
        fired(&control, &format!("quick-{number}"), 1).await;
    }
    assert!(control.reader().firings("slow-0", 1).unwrap().is_empty());
    control.stop().await;
}
