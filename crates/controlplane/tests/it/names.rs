//! Names and keys over runs that have closed: what is in no memory any more, and has to be known all the same.

use std::time::Duration;

use controlplane::{ControlPlane, Submission};
use journal::ActionFilter;
use model::Phase;

use crate::{apply, open, start};

const PATIENCE: Duration = Duration::from_secs(20);

/// Runs `t/w` under this name, and gives the name it got.
async fn run(control: &ControlPlane, name: Option<&str>) -> String {
    let name = name.map(str::to_owned);
    let submission = Submission { workflow: "t/w".into(), principal: "test".into(), name, ..Submission::default() };
    let run = control.submit(submission).await.unwrap().run;
    control.end_of(run, PATIENCE).await.unwrap().unwrap();
    control.reader().run(run).unwrap().unwrap().name
}

/// Two runs once had one name when somebody had chosen what a later run was given.
#[tokio::test(flavor = "multi_thread")]
async fn a_made_name_is_never_that_of_a_run_that_closed_long_ago() {
    let folder = tempfile::tempdir().unwrap();
    let control = open(folder.path()).await;
    apply(&control, "workflow: t/w\nnodes:\n  a: {use: core/noop, with: {n: 1}}\n".into()).await;
    assert_eq!(run(&control, Some("w-3")).await, "w-3");
    assert_eq!(run(&control, None).await, "w-2");
    control.stop().await;
    // A restart reads no closed run.
    let control = open(folder.path()).await;
    let third = run(&control, None).await;
    assert!(third.starts_with("w-3-") && third.len() > "w-3-".len(), "{third}");
    assert_eq!(run(&control, None).await, "w-4");
    control.stop().await;
}

/// What was undone was once given again as a success.
#[tokio::test(flavor = "multi_thread")]
async fn a_once_key_is_free_again_when_what_was_done_under_it_is_undone() {
    let folder = tempfile::tempdir().unwrap();
    let control = open(folder.path()).await;
    let text = "workflow: t/w\ninputs: {fail: {type: boolean, default: true}}\nnodes:\n  pay: {use: core/noop, with: {n: 1}, once: k, \
                undo: {use: core/noop, with: {n: 2}}}\n  bad: {if: '${ inputs.fail }', use: core/fail, with: {message: no}, after: [pay]}\n";
    apply(&control, text.into()).await;
    for _ in 0..2 {
        let run = start(&control).await;
        assert_eq!(control.end_of(run, PATIENCE).await.unwrap().unwrap().phase, Phase::Failed);
        let actions = control.reader().actions(run, &ActionFilter { from: 0, limit: 100, phase: None }).unwrap();
        let pay = actions.iter().find(|action| action.path == "pay").unwrap();
        assert!(!pay.reused, "it is done again, since the first was undone");
        assert!(actions.iter().any(|action| action.path == "pay!undo" && action.phase == Phase::Succeeded));
    }
    let reused = async || {
        let inputs = serde_json::Map::from_iter([("fail".to_owned(), serde_json::Value::Bool(false))]);
        let submission = Submission { workflow: "t/w".into(), principal: "test".into(), inputs, ..Submission::default() };
        let run = control.submit(submission).await.unwrap().run;
        assert_eq!(control.end_of(run, PATIENCE).await.unwrap().unwrap().phase, Phase::Succeeded);
        let actions = control.reader().actions(run, &ActionFilter { from: 0, limit: 100, phase: None }).unwrap();
        actions.iter().find(|action| action.path == "pay").unwrap().reused
    };
    assert!(!reused().await, "both were undone");
    assert!(reused().await, "this one stands");
    control.stop().await;
}
