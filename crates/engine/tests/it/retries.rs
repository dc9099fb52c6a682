//! Attempts that fail and are repeated.

use engine::event::AttemptFinished;
use engine::{Event, Outcome};
use model::limits::SYSTEM_RETRIES_MAX;
use model::{ActionKey, ActionNo, Duration, Failure, FailureClass, Phase, Timestamp};
use serde_json::json;
use testkit::{Answer, Rig, fail, flow, site, step, system};

fn ends(rig: &Rig) -> Vec<AttemptFinished> {
    let ended = rig.events().iter().filter_map(|event| match event {
        Event::AttemptFinished(ended) => Some((**ended).clone()),
        _ => None,
    });
    ended.collect()
}

#[test]
fn a_failed_attempt_is_repeated_after_a_pause_that_is_recorded() {
    let mut rig = Rig::new([site("here").spec()]);
    let (shortest, longest) = (Duration::from_secs(10), Duration::from_secs(300));
    let graph = flow("t/retry").step(step("a").retry(3, shortest, longest)).build();
    rig.on("a", [fail("no"), fail("no"), fail("no"), Answer::Done(json!({"x": 1}))]);
    let run = rig.submit(&graph, json!({}));
    let finished = rig.finish(run);
    assert_eq!(finished.phase, Phase::Succeeded);
    let ends = ends(&rig);
    assert_eq!(ends.iter().map(|end| end.attempt.0).collect::<Vec<_>>(), [1, 2, 3, 4]);
    let starts = [0u64, 10, 20, 40];
    let mut last = Timestamp(1_800_000_000_000_000);
    for (end, full) in ends.iter().zip(&starts[1..]) {
        let pause = end.retry_at.unwrap().since(last).0;
        assert!((full * 500_000..=full * 1_000_000).contains(&pause), "{pause} of {full} s");
        last = end.retry_at.unwrap();
    }
    assert_eq!(rig.dispatched(), ["a", "a", "a", "a"]);
}

#[test]
fn pauses_of_actions_that_failed_together_differ() {
    let mut rig = Rig::new([site("here").spec()]);
    let body = step("m").retry(1, Duration::from_secs(60), Duration::from_secs(60));
    let graph = flow("t/herd").step(step("m").each(json!([1, 2, 3, 4, 5, 6, 7, 8]), 8, body)).build();
    rig.on("m[*", [fail("no"), Answer::Done(json!({}))]);
    let run = rig.submit(&graph, json!({}));
    rig.work();
    let pauses: std::collections::BTreeSet<_> = ends(&rig).iter().map(|end| end.retry_at).collect();
    assert!(pauses.len() >= 7, "{pauses:?}");
    assert_eq!(rig.finish(run).phase, Phase::Succeeded);
}

#[test]
fn when_the_repeats_are_used_up_the_run_fails_with_the_reason() {
    let mut rig = Rig::new([site("here").spec()]);
    let second = Duration::from_secs(1);
    let graph = flow("t/hopeless").step(step("a").retry(2, second, second)).step(step("b").after(&["a"])).build();
    rig.on("a", [fail("exit code 3")]);
    let finished = rig.run(&graph, json!({}));
    assert_eq!(finished.phase, Phase::Failed);
    let failure = finished.failure.unwrap();
    assert_eq!((failure.class, &*failure.message()), (FailureClass::User, "`a`: exit code 3"));
    assert_eq!(rig.dispatched().len(), 3);
}

#[test]
fn what_the_platform_did_does_not_count_against_the_retries_of_the_node() {
    let mut rig = Rig::new([site("here").spec()]);
    let second = Duration::from_secs(1);
    let graph = flow("t/platform").step(step("a").retry(1, second, second)).build();
    let lost = || system(FailureClass::NodeLost);
    rig.on("a", [lost(), lost(), fail("mine"), lost(), lost(), Answer::Done(json!({}))]);
    assert_eq!(rig.run(&graph, json!({})).phase, Phase::Succeeded);
    assert_eq!(ends(&rig).len(), 6);
}

#[test]
fn the_platform_is_not_tried_for_ever() {
    let mut rig = Rig::new([site("here").spec()]);
    rig.on("a", [system(FailureClass::SiteDown)]);
    let finished = rig.run(&flow("t/down").step(step("a")).build(), json!({}));
    assert_eq!((finished.phase, finished.failure.unwrap().class), (Phase::Failed, FailureClass::SiteDown));
    assert_eq!(ends(&rig).len() as u32, SYSTEM_RETRIES_MAX + 1);
}

#[test]
fn being_moved_from_drained_sites_too_often_fails_the_action() {
    let mut rig = Rig::new([site("here").spec()]);
    let graph = flow("t/nomad").step(step("a")).step(step("b").after(&["a"])).build();
    rig.on("a", [Answer::Silent]);
    let run = rig.submit(&graph, json!({}));
    for _ in 0..=SYSTEM_RETRIES_MAX {
        rig.work();
        rig.order("here", engine::SiteOrder::Drain);
        rig.work();
        rig.order("here", engine::SiteOrder::Uncordon);
    }
    let finished = rig.finish(run);
    assert_eq!((finished.phase, finished.failure.unwrap().class), (Phase::Failed, FailureClass::Preempted));
}

#[test]
fn an_output_that_is_too_large_fails_the_attempt() {
    let mut rig = Rig::new([site("here").spec()]);
    rig.on("a", [Answer::Silent]);
    let run = rig.submit(&flow("t/large").step(step("a")).build(), json!({}));
    rig.work();
    let output = json!("x".repeat(model::limits::VALUE_BYTES_MAX));
    rig.report(rig.attempt(run, "a"), Outcome::Succeeded(output));
    assert_eq!(rig.failure(run, "a").map(|failure: Failure| failure.class), Some(FailureClass::Output));
    assert_eq!(rig.finish(run).phase, Phase::Failed);
}

#[test]
fn what_used_up_its_memory_is_repeated_with_more() {
    const GIB: u64 = 1 << 30;
    let second = Duration::from_secs(1);
    let oom = || system(FailureClass::Oom);
    let raised = |sites: Vec<model::SiteSpec>, asked: u64| {
        let mut rig = Rig::new(sites);
        let graph = flow("t/hungry").step(step("a").memory(asked).at("zone", "x").retry(4, second, second)).build();
        rig.on("a", [oom(), fail("exit code 1"), oom(), oom(), Answer::Done(json!({}))]);
        assert_eq!(rig.run(&graph, json!({})).phase, Phase::Succeeded);
        let ends = ends(&rig);
        ends.iter().map(|end| end.memory_bytes.map(|bytes| bytes / GIB)).collect::<Vec<_>>()
    };
    let small = || site("small").attribute("zone", "x").memory(6 * GIB).spec();
    // Twice as much each time, as far as its site has it; no other failure asks for more.
    assert_eq!(raised(vec![small()], 2 * GIB), [Some(4), None, Some(6), None, None]);
    // When its site has no more, what a larger one has that may be used.
    let both = || {
        let large = site("large").attribute("zone", "x").memory(9 * GIB).spec();
        vec![small(), large, site("elsewhere").attribute("zone", "y").memory(64 * GIB).spec()]
    };
    assert_eq!(raised(both(), 2 * GIB), [Some(4), None, Some(8), Some(9), None]);
    assert_eq!(raised(both(), 6 * GIB), [Some(9), None, None, None, None]);
    // Nothing was asked for, so that nothing is known to have been too little.
    assert_eq!(raised(vec![small()], 0), [None, None, None, None, None]);
}

#[test]
fn what_was_learned_of_its_memory_counts_more_than_twice_as_much() {
    const GIB: u64 = 1 << 30;
    let second = Duration::from_secs(1);
    let asks = |hint: u64| {
        let mut rig = Rig::new(vec![site("a").memory(16 * GIB).spec()]);
        let graph = flow("t/hungry").step(step("a").memory(4 * GIB).retry(1, second, second)).build();
        rig.on("a", [system(FailureClass::Oom), Answer::Done(json!({}))]);
        let run = rig.submit(&graph, json!({}));
        rig.state.hint_memory(ActionKey::new(run, ActionNo(0)), hint);
        assert_eq!(rig.finish(run).phase, Phase::Succeeded);
        ends(&rig).first().and_then(|end| end.memory_bytes)
    };
    assert_eq!(asks(5 * GIB), Some(5 * GIB));
    assert_eq!(asks(64 * GIB), Some(16 * GIB), "no site has more");
    assert_eq!(asks(GIB), Some(8 * GIB), "what is less than it had says nothing");
}
