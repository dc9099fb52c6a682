//! Actions that are functions of their input.

use std::time::Duration;

use model::Phase;
use model::limits::BATCH_COMMANDS_MAX;

use crate::{apply, open, start};

const PATIENCE: Duration = Duration::from_secs(60);

fn chain(steps: usize, action: &str) -> String {
    let node = |step: usize| match step.checked_sub(1) {
        None => format!("  s0: {{{action}}}\n"),
        Some(before) => format!("  s{step}: {{{action}, after: s{before}}}\n"),
    };
    format!("workflow: t/w\nnodes:\n{}", (0..steps).map(node).collect::<String>())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_functions_has_ended_when_its_submission_is_durable() {
    let data = tempfile::tempdir().unwrap();
    let control = open(data.path()).await;
    apply(&control, chain(40, "use: core/fib, with: {n: 10}")).await;
    let run = start(&control).await;
    let row = control.reader().run(run).unwrap().unwrap();
    assert_eq!((row.phase, row.actions_done), (Phase::Succeeded, 40));
    control.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_repeat_and_stop_the_others_as_ever() {
    let data = tempfile::tempdir().unwrap();
    let control = open(data.path()).await;
    let text = "workflow: t/w\nnodes:\n  a: {use: core/fail, with: {times: 1}, retry: {max: 1, backoff: 1ms}}\n  \
                b: {use: core/fail, with: {message: no}, after: a}\n  c: {use: core/noop, after: a}\n";
    apply(&control, text.into()).await;
    let run = start(&control).await;
    let end = control.end_of(run, PATIENCE).await.unwrap().unwrap();
    assert_eq!(end.phase, Phase::Failed);
    assert_eq!(end.failure.as_ref().map(|failure| failure.message().into_owned()).as_deref(), Some("`b`: no"));
    control.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_one_turn_computes_goes_on_in_the_next() {
    let data = tempfile::tempdir().unwrap();
    let control = open(data.path()).await;
    let steps = BATCH_COMMANDS_MAX + 100;
    apply(&control, chain(steps, "use: core/noop")).await;
    let run = start(&control).await;
    let end = control.end_of(run, PATIENCE).await.unwrap().unwrap();
    assert_eq!(end.phase, Phase::Succeeded);
    let row = control.reader().run(run).unwrap().unwrap();
    assert_eq!(row.actions_done, steps as u64);
    control.stop().await;
}
