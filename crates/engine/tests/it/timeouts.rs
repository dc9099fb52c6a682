//! Deadlines of attempts, waits, people, maps, sub-workflows and runs.

use std::sync::Arc;

use engine::event::CancelReason;
use engine::{Effect, Event, Outcome};
use model::{Duration, FailureClass, Graph, Phase, RunId};
use serde_json::json;
use testkit::{Answer, Rig, flow, site, step};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn an_attempt_that_takes_too_long_is_stopped_and_repeated() {
    let mut rig = Rig::new([site("here").spec()]);
    let graph = flow("t/slow").step(step("a").timeout(Duration::from_secs(30)).retry(1, SECOND, SECOND)).build();
    rig.on("a", [Answer::Silent, Answer::Done(json!({"x": 1}))]);
    let run = rig.submit(&graph, json!({}));
    rig.work();
    rig.advance(Duration::from_secs(29));
    assert!(!rig.events().iter().any(|event| matches!(event, Event::CancelRequested(_))));
    rig.advance(SECOND);
    let stopped = rig.events().iter().find_map(|event| match event {
        Event::CancelRequested(stop) => Some(stop.why),
        _ => None,
    });
    assert_eq!(stopped, Some(CancelReason::Timeout));
    assert_eq!(rig.finish(run).phase, Phase::Succeeded);
    assert_eq!(rig.dispatched().len(), 2);
}

#[test]
fn an_executor_that_never_says_so_is_given_up_after_a_minute() {
    let mut rig = Rig::new([site("here").spec()]);
    let graph = flow("t/deaf").step(step("a").timeout(Duration::from_secs(5))).build();
    rig.on("a", [Answer::Deaf]);
    let run = rig.submit(&graph, json!({}));
    rig.work();
    rig.advance(Duration::from_secs(5));
    rig.work();
    rig.advance(Duration::from_secs(59));
    assert!(rig.ended(run).is_none());
    rig.advance(SECOND);
    assert_eq!(rig.ended(run).unwrap().phase, Phase::Failed);
    assert_eq!(rig.phase(run, "a"), Some(Phase::TimedOut));
    assert!(rig.state.fleet().sites()["here"].running.is_empty());
}

#[test]
fn what_ended_well_before_the_order_to_stop_reached_it_ended_well() {
    let mut rig = Rig::new([site("here").spec()]);
    rig.on("a", [Answer::Silent]);
    let run = rig.submit(&flow("t/close").step(step("a").timeout(SECOND)).build(), json!({}));
    rig.work();
    rig.advance(SECOND);
    let attempt = rig.attempt(run, "a");
    rig.report(attempt, Outcome::Succeeded(json!({})));
    assert_eq!(rig.finish(run).phase, Phase::Succeeded);
}

#[test]
fn the_deadline_of_an_attempt_counts_from_its_dispatch_not_from_the_queue() {
    let mut rig = Rig::new([site("here").cores(1).spec()]);
    let graph = flow("t/queue")
        .step(step("first").needs(1_000))
        .step(step("second").needs(1_000).timeout(Duration::from_secs(10)))
        .build();
    rig.on("first", [Answer::Silent]);
    let run = rig.submit(&graph, json!({}));
    rig.work();
    rig.advance(Duration::from_secs(60));
    rig.report(rig.attempt(run, "first"), Outcome::Succeeded(json!({})));
    assert_eq!(rig.finish(run).phase, Phase::Succeeded);
}

#[test]
fn a_wait_for_a_signal_and_a_person_time_out() {
    for node in [step("w").waits(json!({"signal": "go"})), step("w").human(json!({"title": "?"}))] {
        let mut rig = Rig::new([site("here").spec()]);
        let run = rig.submit(&flow("t/wait").step(node.timeout(Duration::from_secs(10))).build(), json!({}));
        rig.advance(Duration::from_secs(10));
        let finished = rig.finish(run);
        assert_eq!((finished.phase, finished.failure.unwrap().class), (Phase::Failed, FailureClass::Timeout));
        assert_eq!(rig.phase(run, "w"), Some(Phase::TimedOut));
    }
}

#[test]
fn a_run_past_its_deadline_stops_everything_and_has_timed_out() {
    let mut rig = Rig::new([site("here").spec()]);
    let graph = flow("t/run")
        .timeout(Duration::from_secs(60))
        .step(step("work"))
        .step(step("person").human(json!({"title": "?"})))
        .step(step("wait").waits(json!({"event": "e"})))
        .step(step("later").after(&["work"]))
        .build();
    rig.on("work", [Answer::Silent]);
    let run = rig.submit(&graph, json!({}));
    rig.work();
    rig.advance(Duration::from_secs(60));
    let finished = rig.finish(run);
    assert_eq!((finished.phase, finished.failure.unwrap().class), (Phase::TimedOut, FailureClass::Timeout));
    for path in ["work", "person", "wait"] {
        assert_eq!(rig.phase(run, path), Some(Phase::Aborted), "{path}");
    }
}

/// The firing of an action's deadline in the same tick once took the run for told to stop.
#[test]
fn the_deadlines_of_a_run_and_of_its_attempt_may_come_at_once() {
    let mut rig = Rig::new([site("here").spec()]);
    let graph = flow("t/both")
        .timeout(Duration::from_secs(60))
        .step(step("work").timeout(Duration::from_secs(60)))
        .step(step("person").human(json!({"title": "?"})))
        .build();
    rig.on("work", [Answer::Silent]);
    let run = rig.submit(&graph, json!({}));
    rig.work();
    rig.advance(Duration::from_secs(60));
    assert_eq!(rig.finish(run).phase, Phase::TimedOut);
}

#[test]
fn a_cancelled_run_does_not_time_out_afterwards() {
    let mut rig = Rig::new([site("here").spec()]);
    let graph = flow("t/late").timeout(Duration::from_secs(60)).step(step("work").undo(json!({}))).step(step("slow")).build();
    rig.on("slow", [Answer::Deaf]);
    rig.on("work!undo", [Answer::Silent]);
    let run = rig.submit(&graph, json!({}));
    rig.work();
    rig.cancel(run);
    rig.work();
    rig.advance(Duration::from_secs(120));
    rig.work();
    assert!(rig.ended(run).is_none(), "its undo is still at work");
    rig.report(rig.attempt(run, "work!undo"), Outcome::Succeeded(json!({})));
    assert_eq!(rig.finish(run).phase, Phase::Aborted);
}

#[test]
fn a_map_past_its_deadline_stops_its_items_and_fails() {
    let mut rig = Rig::new([site("here").spec()]);
    let map = step("m").each(json!([1, 2, 3]), 2, step("m")).timeout(Duration::from_secs(10));
    rig.on("m[*", [Answer::Silent]);
    let run = rig.submit(&flow("t/map").step(map).build(), json!({}));
    rig.work();
    rig.advance(Duration::from_secs(10));
    assert_eq!(rig.finish(run).phase, Phase::Failed);
    assert_eq!(rig.phase(run, "m"), Some(Phase::TimedOut));
    assert_eq!((rig.phase(run, "m[0]"), rig.phase(run, "m[1]")), (Some(Phase::Aborted), Some(Phase::Aborted)));
    assert!(!rig.paths(run).contains("m[2]"));
}

#[test]
fn the_timeout_of_a_workflow_holds_where_it_is_a_sub_workflow() {
    let mut rig = Rig::new([site("here").spec()]);
    let inner = flow("t/inner").timeout(Duration::from_secs(10)).step(step("a")).build();
    rig.on("sub/a", [Answer::Silent]);
    let run = rig.submit(&flow("t/outer").step(step("sub").workflow(&inner)).build(), json!({}));
    rig.work();
    rig.advance(Duration::from_secs(10));
    assert_eq!(rig.finish(run).phase, Phase::Failed);
    assert_eq!(rig.phase(run, "sub"), Some(Phase::TimedOut));
}

/// A sub-workflow that timed out once was completed again when its last attempt had stopped, for ever.
#[test]
fn an_item_that_timed_out_does_not_come_back_when_what_it_ran_has_stopped() {
    let mut rig = Rig::new([site("here").spec()]);
    let inner = flow("t/inner").step(step("a")).step(step("b").after(&["a"])).build();
    let body = step("m").workflow(&inner).timeout(Duration::from_secs(10));
    let graph = flow("t/map").step(step("m").each(json!([1, 2]), 1, body).goes_on()).step(step("z").after(&["m"])).build();
    rig.on("m[0]/a", [Answer::Silent]);
    let run = rig.submit(&graph, json!({}));
    rig.work();
    rig.advance(Duration::from_secs(10));
    // It ends well in the end: what comes after it in the dead sub-workflow is not opened.
    rig.report(rig.attempt(run, "m[0]/a"), Outcome::Succeeded(json!({})));
    assert_eq!(rig.finish(run).phase, Phase::Succeeded);
    assert_eq!(rig.phase(run, "m[0]"), Some(Phase::TimedOut));
    assert!(!rig.paths(run).contains("m[0]/b"));
    assert_eq!(rig.phase(run, "z"), Some(Phase::Succeeded));
}

/// A run once ended while attempts that nobody waited for held their places for ever.
#[test]
fn a_run_does_not_end_before_what_it_stopped_has_ended() {
    let mut rig = Rig::new([site("here").spec()]);
    let inner = flow("t/inner").step(step("a").needs(1_000)).build();
    let body = step("m").workflow(&inner).timeout(Duration::from_secs(10));
    rig.on("m[0]/a", [Answer::Deaf]);
    let run = rig.submit(&flow("t/map").step(step("m").each(json!([1]), 1, body).goes_on()).build(), json!({}));
    rig.work();
    rig.advance(Duration::from_secs(10));
    rig.work();
    assert!(rig.ended(run).is_none());
    assert_eq!(rig.finish(run).phase, Phase::Succeeded);
    assert!(rig.state.fleet().sites()["here"].running.is_empty());
    let cancels = rig.state.take_effects().iter().filter(|effect| matches!(effect, Effect::Cancel { .. })).count();
    assert_eq!(cancels, 0);
}

/// A graph of one step with bounds that tasks of programs have.
fn bounded(queue: Option<Duration>, total: Option<Duration>, retries: u32) -> Arc<Graph> {
    let graph = flow("t/bounded").step(step("a").needs(1_000).retry(retries, SECOND, SECOND)).build();
    let mut graph = Graph::clone(&graph);
    graph.nodes[0].queue_timeout = queue;
    graph.nodes[0].total_timeout = total;
    Arc::new(graph)
}

fn code(rig: &Rig, run: RunId) -> Option<String> {
    rig.failure(run, "a").and_then(|failure| failure.code)
}

#[test]
fn who_waits_too_long_for_a_place_has_timed_out_and_who_got_one_has_not() {
    let mut rig = Rig::new([site("here").cores(1).spec()]);
    let first = rig.submit(&bounded(None, None, 0), json!({}));
    rig.on("a", [Answer::Silent, Answer::Silent]);
    rig.work();
    let second = rig.submit(&bounded(Some(Duration::from_secs(10)), None, 3), json!({}));
    rig.work();
    rig.advance(Duration::from_secs(9));
    assert!(rig.ended(second).is_none());
    rig.restart();
    rig.advance(SECOND);
    assert_eq!(rig.finish(second).phase, Phase::Failed);
    assert_eq!(rig.phase(second, "a"), Some(Phase::TimedOut), "no repeat makes up for it");
    assert_eq!(code(&rig, second).as_deref(), Some("QUEUED_TIMEOUT_EXCEEDED"));
    rig.report(rig.attempt(first, "a"), Outcome::Succeeded(json!({})));
    // One that found a place in time may work for as long as it likes.
    let third = rig.submit(&bounded(Some(Duration::from_secs(10)), None, 0), json!({}));
    rig.work();
    rig.advance(Duration::from_secs(60));
    rig.report(rig.attempt(third, "a"), Outcome::Succeeded(json!({})));
    assert_eq!(rig.finish(third).phase, Phase::Succeeded);
}

#[test]
fn all_attempts_together_have_one_deadline() {
    // At work, in the pause before a repeat, in the queue.
    for at in ["work", "pause", "queue"] {
        let mut rig = Rig::new([site("here").cores(1).spec()]);
        if at == "queue" {
            rig.on("a", [Answer::Silent]);
            rig.submit(&bounded(None, None, 0), json!({}));
            rig.work();
        }
        let mut graph = Graph::clone(&bounded(None, Some(Duration::from_secs(30)), 9));
        graph.nodes[0].retry.backoff_min = Duration::from_secs(50);
        graph.nodes[0].retry.backoff_max = Duration::from_secs(50);
        let run = rig.submit(&Arc::new(graph), json!({}));
        match at {
            "work" => rig.on("a", [Answer::Silent]),
            "pause" => rig.on("a", [testkit::fail("once")]),
            _ => {}
        }
        rig.work();
        rig.advance(Duration::from_secs(29));
        assert!(rig.ended(run).is_none(), "{at}");
        rig.restart();
        rig.advance(SECOND);
        rig.work();
        assert_eq!(rig.finish(run).phase, Phase::Failed, "{at}");
        assert_eq!(rig.phase(run, "a"), Some(Phase::TimedOut), "{at}");
        assert_eq!(code(&rig, run).as_deref(), Some("DEADLINE_EXCEEDED"), "{at}");
    }
}
