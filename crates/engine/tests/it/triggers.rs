//! Firings of triggers: recorded whatever becomes of them, and what becomes of them while an earlier run is open.

use engine::event::{LeftOut, Origin};
use engine::{Command, Event, Outcome, Overlap, Submit};
use model::limits::QUEUED_FIRINGS_MAX;
use model::{Duration, Phase, RunId, Timestamp};
use serde_json::json;
use testkit::{Rig, flow, site, step};

fn rig() -> Rig {
    Rig::new([site("here").cores(1_000).spec()])
}

/// Fires `nightly`, due at a time; gives what was recorded.
fn fire(rig: &mut Rig, due: u64, overlap: Overlap) -> Result<RunId, LeftOut> {
    let graph = flow("bank/score").step(step("a").undo(json!({}))).timeout(Duration::from_secs(60)).build();
    let submit = rig.submission(&graph, json!({}));
    rig.tape.keep_graph(submit.graph_digest, &submit.graph);
    let origin = Origin::Trigger { trigger: "nightly".into(), due: Timestamp(due) };
    let submit = Submit { idempotency_key: Some(format!("nightly/{due}")), origin, ..submit };
    order(rig, due, Some(Box::new(submit)), overlap)
}

fn order(rig: &mut Rig, due: u64, submit: Option<Box<Submit>>, overlap: Overlap) -> Result<RunId, LeftOut> {
    let command = Command::FireTrigger { trigger: "nightly".into(), due: Timestamp(due), submit, missed: 2, overlap };
    let fired = rig.step(command).into_iter().find_map(|event| match event {
        Event::TriggerFired(fired) => Some(fired),
        _ => None,
    });
    let fired = fired.expect("every firing is recorded");
    assert_eq!((fired.due, fired.missed), (Timestamp(due), 2));
    fired.run.ok_or_else(|| fired.left_out.expect("why there is no run"))
}

fn succeed(rig: &mut Rig, run: RunId) {
    let attempt = rig.attempt(run, "a");
    rig.report(attempt, Outcome::Succeeded(json!({})));
}

/// Whether a run has opened anything.
fn began(rig: &Rig, run: RunId) -> bool {
    !rig.paths(run).is_empty()
}

#[test]
fn a_firing_is_recorded_with_its_run_or_with_why_there_is_none() {
    for overlap in [Overlap::Allow, Overlap::Skip, Overlap::Queue, Overlap::Replace] {
        let mut rig = rig();
        assert_eq!(fire(&mut rig, 5, overlap), Ok(RunId(1)));
        // Fired again after a crash: the same run, which is not in its own way.
        assert_eq!(fire(&mut rig, 5, overlap), Ok(RunId(1)));
        assert!(began(&rig, RunId(1)) && rig.ended(RunId(1)).is_none(), "{overlap:?}");
        assert_eq!(order(&mut rig, 6, None, overlap), Err(LeftOut::Refused));
        succeed(&mut rig, RunId(1));
        assert_eq!(fire(&mut rig, 7, overlap), Ok(RunId(2)), "{overlap:?}");
        assert!(began(&rig, RunId(2)));
    }
}

#[test]
fn runs_of_a_trigger_run_beside_each_other_or_are_left_out() {
    let mut rig = rig();
    assert_eq!(fire(&mut rig, 1, Overlap::Allow), Ok(RunId(1)));
    assert_eq!(fire(&mut rig, 2, Overlap::Allow), Ok(RunId(2)));
    assert!(began(&rig, RunId(2)));
    assert_eq!(fire(&mut rig, 3, Overlap::Skip), Err(LeftOut::StillRuns));
    // Any earlier one is in the way, not the last alone.
    succeed(&mut rig, RunId(2));
    assert_eq!(fire(&mut rig, 4, Overlap::Skip), Err(LeftOut::StillRuns));
    rig.restart();
    assert_eq!(fire(&mut rig, 5, Overlap::Skip), Err(LeftOut::StillRuns), "it is known after a restart");
    succeed(&mut rig, RunId(1));
    assert_eq!(fire(&mut rig, 6, Overlap::Skip), Ok(RunId(3)));
}

#[test]
fn queued_runs_begin_one_after_another_over_restarts_and_whatever_becomes_of_those_between() {
    let mut rig = rig();
    for due in 1..=4 {
        assert_eq!(fire(&mut rig, due, Overlap::Queue), Ok(RunId(due)));
    }
    let waits = |rig: &Rig| (1..=4).map(|run| began(rig, RunId(run))).collect::<Vec<_>>();
    assert_eq!(waits(&rig), [true, false, false, false]);
    rig.restart();
    // One that waits and is cancelled is gone at once and lets nobody past.
    rig.cancel(RunId(2));
    assert_eq!(rig.ended(RunId(2)).map(|end| end.phase), Some(Phase::Aborted));
    assert_eq!(waits(&rig), [true, false, false, false]);
    // Its time does not run while it waits.
    succeed(&mut rig, RunId(1));
    assert_eq!(waits(&rig), [true, false, true, false]);
    rig.advance(Duration::from_secs(59));
    assert!(rig.ended(RunId(3)).is_none());
    rig.restart();
    rig.advance(Duration::from_secs(2));
    let attempt = rig.attempt(RunId(3), "a");
    rig.report(attempt, Outcome::Aborted);
    assert_eq!(rig.ended(RunId(3)).map(|end| end.phase), Some(Phase::TimedOut));
    assert_eq!(waits(&rig), [true, false, true, true]);
    rig.advance(Duration::from_secs(59));
    assert!(rig.ended(RunId(4)).is_none(), "its time began with its turn");
    succeed(&mut rig, RunId(4));
    assert_eq!(rig.ended(RunId(4)).map(|end| end.phase), Some(Phase::Succeeded));
}

#[test]
fn a_paused_run_that_waits_begins_neither_before_its_turn_nor_while_it_is_paused() {
    let mut rig = rig();
    for due in 1..=2 {
        fire(&mut rig, due, Overlap::Queue).unwrap();
    }
    let by = || "ada".to_owned();
    rig.step(Command::Pause { run: RunId(2), principal: by() });
    rig.step(Command::Resume { run: RunId(2), principal: by() });
    assert!(!began(&rig, RunId(2)));
    rig.step(Command::Pause { run: RunId(2), principal: by() });
    succeed(&mut rig, RunId(1));
    assert!(!began(&rig, RunId(2)));
    rig.step(Command::Resume { run: RunId(2), principal: by() });
    assert!(began(&rig, RunId(2)));
}

#[test]
fn the_queue_of_a_trigger_is_bounded() {
    let mut rig = rig().unchecked();
    let last = QUEUED_FIRINGS_MAX as u64 + 1;
    for due in 1..=last {
        assert_eq!(fire(&mut rig, due, Overlap::Queue), Ok(RunId(due)));
    }
    assert_eq!(fire(&mut rig, last + 1, Overlap::Queue), Err(LeftOut::QueueFull));
    succeed(&mut rig, RunId(1));
    assert_eq!(fire(&mut rig, last + 2, Overlap::Queue), Ok(RunId(last + 1)));
    rig.check();
}

#[test]
fn a_firing_that_replaces_waits_until_the_cancelled_run_has_undone_what_it_did() {
    let mut rig = rig();
    let graph = flow("bank/two").step(step("a").undo(json!({}))).step(step("b").after(&["a"])).build();
    let submit = rig.submission(&graph, json!({}));
    rig.tape.keep_graph(submit.graph_digest, &submit.graph);
    let origin = Origin::Trigger { trigger: "nightly".into(), due: Timestamp(1) };
    assert_eq!(order(&mut rig, 1, Some(Box::new(Submit { origin, ..submit })), Overlap::Replace), Ok(RunId(1)));
    succeed(&mut rig, RunId(1));
    assert_eq!(fire(&mut rig, 2, Overlap::Replace), Ok(RunId(2)));
    let stopped = rig.attempt(RunId(1), "b");
    rig.report(stopped, Outcome::Aborted);
    assert!(!began(&rig, RunId(2)), "`a` is being undone");
    // One that has not begun is replaced without having run.
    assert_eq!(fire(&mut rig, 3, Overlap::Replace), Ok(RunId(3)));
    assert_eq!(rig.ended(RunId(2)).map(|end| end.phase), Some(Phase::Aborted));
    rig.restart();
    let undo = rig.attempt(RunId(1), "a!undo");
    rig.report(undo, Outcome::Succeeded(json!({})));
    let end = rig.ended(RunId(1)).expect("it has ended");
    assert_eq!(end.phase, Phase::Aborted);
    assert!(end.failure.as_ref().is_some_and(|failure| failure.message().contains("replaces")), "{end:?}");
    assert!(began(&rig, RunId(3)) && !began(&rig, RunId(2)));
}

#[test]
fn other_runs_of_the_workflow_are_in_nobodys_way() {
    let mut rig = rig();
    let graph = flow("bank/score").step(step("a")).build();
    rig.submit(&graph, json!({}));
    assert_eq!(fire(&mut rig, 1, Overlap::Skip), Ok(RunId(2)));
    assert_eq!(fire(&mut rig, 2, Overlap::Replace), Ok(RunId(3)));
    assert!(rig.ended(RunId(1)).is_none());
}
