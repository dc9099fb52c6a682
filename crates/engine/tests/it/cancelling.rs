//! Cancelling runs, and what it reaches.

use engine::{Command, Effect, Outcome, Rejection};
use model::{Duration, FailureClass, Phase, RunId};
use serde_json::json;
use testkit::{Answer, Rig, fail, flow, site, step, system};

#[test]
fn cancelling_reaches_every_living_action_of_every_kind() {
    let mut rig = Rig::new([site("here").cores(3).spec()]);
    let leaf = flow("t/leaf").step(step("deep").needs(1_000)).step(step("deeper").after(&["deep"])).build();
    let inner = flow("t/inner").step(step("leaf").workflow(&leaf)).step(step("ask").human(json!({"title": "?"}))).build();
    let graph = flow("t/all")
        .step(step("sub").workflow(&inner))
        .step(step("map").each(json!([1, 2, 3]), 2, step("map").needs(1_000)))
        .step(step("parked").needs(4_000))
        .step(step("backoff").retry(1, Duration::from_secs(60), Duration::from_secs(60)))
        .step(step("sleep").waits(json!({"for": "1h"})))
        .step(step("signal").waits(json!({"signal": "s"})))
        .step(step("event").waits(json!({"event": "e"})))
        .step(step("twins").each(json!([1, 2]), 2, step("twins").once(json!("k"))))
        .step(step("never").after(&["sub"]))
        .build();
    for silent in ["sub/leaf/deep", "map[*", "twins[*"] {
        rig.on(silent, [Answer::Silent]);
    }
    rig.on("backoff", [fail("no")]);
    let run = rig.submit(&graph, json!({}));
    rig.work();
    let open = rig.paths(run);
    rig.cancel(run);
    let finished = rig.finish(run);
    assert_eq!((finished.phase, finished.failure.unwrap().class), (Phase::Aborted, FailureClass::Cancelled));
    for path in open {
        assert_eq!(rig.phase(run, &path), Some(Phase::Aborted), "{path}");
    }
    assert_eq!(rig.state.fleet().queued(), 0);
    assert_eq!(rig.state.next_due(), None);
    assert!(rig.state.fleet().sites()["here"].running.is_empty());
}

#[test]
fn a_run_that_is_being_cancelled_opens_nothing_more() {
    let mut rig = Rig::new([site("here").spec()]);
    rig.on("a", [Answer::Deaf]);
    let run = rig.submit(&flow("t/w").step(step("a")).step(step("b").after(&["a"])).build(), json!({}));
    rig.work();
    rig.cancel(run);
    rig.work();
    rig.report(rig.attempt(run, "a"), Outcome::Succeeded(json!({})));
    assert_eq!(rig.finish(run).phase, Phase::Aborted);
    assert_eq!(rig.phase(run, "a"), Some(Phase::Succeeded));
    assert_eq!(rig.phase(run, "b"), None);
}

#[test]
fn asking_twice_is_asking_once_and_a_closed_run_cannot_be_cancelled() {
    let mut rig = Rig::new([site("here").spec()]);
    rig.on("a", [Answer::Silent]);
    let run = rig.submit(&flow("t/w").step(step("a")).build(), json!({}));
    rig.work();
    assert!(!rig.cancel(run).is_empty());
    assert!(rig.cancel(run).is_empty());
    rig.finish(run);
    for run in [run, RunId(77)] {
        let again = rig.try_step(Command::Cancel { run, principal: "ada".into(), reason: String::new() });
        assert!(matches!(again, Err(Rejection::NotFound { .. })));
    }
}

/// Such a run once waited for the end of what nobody had asked to stop.
#[test]
fn a_failing_run_that_lets_work_finish_stops_it_when_it_is_cancelled() {
    let mut rig = Rig::new([site("here").spec()]);
    let graph = flow("t/w").finishes_on_failure().step(step("bad")).step(step("long")).build();
    rig.on("bad", [fail("no")]);
    rig.on("long", [Answer::Silent]);
    let run = rig.submit(&graph, json!({}));
    rig.work();
    assert!(rig.ended(run).is_none(), "it lets `long` finish");
    rig.cancel(run);
    assert_eq!(rig.finish(run).phase, Phase::Aborted);
    assert_eq!(rig.phase(run, "long"), Some(Phase::Aborted));
}

#[test]
fn a_failing_run_stops_what_is_in_flight_unless_it_is_told_to_let_it_finish() {
    for (lets, long) in [(false, Phase::Aborted), (true, Phase::Succeeded)] {
        let mut rig = Rig::new([site("here").spec()]);
        let graph = flow("t/w").step(step("bad")).step(step("long")).step(step("next").after(&["long"]));
        let graph = if lets { graph.finishes_on_failure() } else { graph }.build();
        rig.on("bad", [fail("no")]);
        rig.on("long", [Answer::Silent]);
        let run = rig.submit(&graph, json!({}));
        rig.work();
        if lets {
            rig.report(rig.attempt(run, "long"), Outcome::Succeeded(json!({})));
        }
        assert_eq!(rig.finish(run).phase, Phase::Failed);
        assert_eq!((rig.phase(run, "long"), rig.phase(run, "next")), (Some(long), None));
    }
}

#[test]
fn an_attempt_that_is_stopped_and_lost_is_not_repeated() {
    let mut rig = Rig::new([site("here").spec()]);
    rig.on("a", [Answer::Deaf]);
    let run = rig.submit(&flow("t/w").step(step("a").retry(5, Duration(0), Duration(0))).build(), json!({}));
    rig.work();
    rig.cancel(run);
    let Answer::Fail(lost) = system(FailureClass::NodeLost) else { unreachable!() };
    rig.report(rig.attempt(run, "a"), Outcome::Failed(lost));
    assert_eq!(rig.finish(run).phase, Phase::Aborted);
    assert_eq!(rig.dispatched(), ["a"]);
}

#[test]
fn the_order_to_stop_is_outstanding_until_it_is_answered() {
    let mut rig = Rig::new([site("here").spec()]);
    rig.on("a", [Answer::Deaf]);
    let run = rig.submit(&flow("t/w").step(step("a")).build(), json!({}));
    rig.work();
    rig.cancel(run);
    rig.restart();
    let outstanding = rig.state.outstanding();
    assert!(matches!(outstanding.as_slice(), [Effect::Cancel { site, .. }] if site == "here"), "{outstanding:?}");
    assert_eq!(rig.finish(run).phase, Phase::Aborted);
}
