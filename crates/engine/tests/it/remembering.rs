//! `once` and `cache`: outputs that are remembered across runs.

use engine::{Command, Effect, Event, Outcome, Recall};
use model::{Duration, Phase};
use serde_json::json;
use testkit::{Answer, Rig, fail, flow, site, step};

fn charge(key: &str) -> std::sync::Arc<model::Graph> {
    flow("t/pay").step(step("charge").once(json!(key))).outputs(json!({"receipt": "${ nodes.charge.n }"})).build()
}

#[test]
fn a_once_key_runs_once_across_runs() {
    let mut rig = Rig::new([site("here").spec()]);
    rig.on("charge", [Answer::Done(json!({"n": 1}))]);
    for key in ["a", "a", "b", "a"] {
        let finished = rig.run(&charge(key), json!({}));
        assert_eq!(finished.outputs.unwrap().value(), &json!({"receipt": 1}));
    }
    assert_eq!(rig.dispatched().len(), 2);
}

#[test]
fn actions_under_a_key_that_is_taken_wait_and_take_the_output() {
    let mut rig = Rig::new([site("here").spec()]);
    rig.on("charge", [Answer::Silent]);
    let runs: Vec<_> = (0..5).map(|_| rig.submit(&charge("k"), json!({}))).collect();
    rig.work();
    assert_eq!(rig.dispatched().len(), 1);
    let events = rig.events().len();
    rig.report(rig.attempt(runs[0], "charge"), Outcome::Succeeded(json!({"n": 7})));
    rig.work();
    for run in &runs {
        assert_eq!(rig.ended(*run).unwrap().outputs.as_ref().unwrap().value(), &json!({"receipt": 7}));
    }
    assert_eq!(rig.dispatched().len(), 1);
    let asked = rig.events()[events..].iter().filter(|event| matches!(event, Event::RecallAsked(_))).count();
    assert_eq!(asked, 0, "nobody has to ask for what has just become known");
}

#[test]
fn when_the_holder_fails_or_is_cancelled_the_next_in_line_runs() {
    for fails in [true, false] {
        let mut rig = Rig::new([site("here").spec()]);
        rig.on("charge", [Answer::Silent]);
        let runs: Vec<_> = (0..3).map(|_| rig.submit(&charge("k"), json!({}))).collect();
        rig.work();
        if fails {
            let failure = model::Failure::new(model::FailureClass::User, "no");
            rig.report(rig.attempt(runs[0], "charge"), Outcome::Failed(failure));
        } else {
            rig.cancel(runs[0]);
        }
        rig.work();
        assert!(rig.ended(runs[0]).is_some() && rig.ended(runs[1]).is_none());
        assert_eq!(rig.dispatched().len(), 2);
        rig.report(rig.attempt(runs[1], "charge"), Outcome::Succeeded(json!({"n": 2})));
        rig.work();
        assert_eq!(rig.ended(runs[2]).unwrap().phase, Phase::Succeeded);
        assert_eq!(rig.dispatched().len(), 2);
    }
}

#[test]
fn a_waiting_twin_that_is_cancelled_leaves_the_line() {
    let mut rig = Rig::new([site("here").spec()]);
    rig.on("charge", [Answer::Silent]);
    let runs: Vec<_> = (0..3).map(|_| rig.submit(&charge("k"), json!({}))).collect();
    rig.work();
    rig.cancel(runs[1]);
    rig.cancel(runs[0]);
    rig.work();
    assert_eq!(rig.ended(runs[1]).unwrap().phase, Phase::Aborted);
    rig.report(rig.attempt(runs[2], "charge"), Outcome::Succeeded(json!({"n": 2})));
    assert_eq!(rig.finish(runs[2]).phase, Phase::Succeeded);
}

#[test]
fn ten_thousand_twins_are_answered_by_one_success() {
    let mut rig = Rig::new([site("here").spec()]).unchecked();
    let list = vec![0; 10_000];
    let graph = flow("t/pay").step(step("m").each(json!(list), 10_000, step("m").once(json!("k")))).build();
    let run = rig.submit(&graph, json!({}));
    assert_eq!(rig.finish(run).phase, Phase::Succeeded);
    assert_eq!(rig.dispatched().len(), 1);
    assert!(rig.events().len() < 30_000, "{} events", rig.events().len());
}

#[test]
fn a_key_is_free_again_after_every_failure_and_attempts_share_it() {
    let mut rig = Rig::new([site("here").spec()]);
    let second = Duration::from_secs(1);
    let graph = flow("t/pay").step(step("charge").once(json!("k")).retry(1, second, second)).build();
    rig.on("charge", [fail("first"), Answer::Done(json!({"n": 1}))]);
    let mut keys = std::collections::BTreeSet::new();
    let run = rig.submit(&graph, json!({}));
    for effect in rig.state.outstanding() {
        if let Effect::Recall { key, .. } = effect {
            keys.insert(key);
        }
    }
    assert_eq!(rig.finish(run).phase, Phase::Succeeded);
    assert_eq!((keys.len(), rig.dispatched().len()), (1, 2));
}

#[test]
fn a_cached_output_is_reused_for_equal_input_and_only_then() {
    let mut rig = Rig::new([site("here").spec()]);
    let graph = flow("t/cache").input("n", None).step(step("a").input(json!({"n": "${ inputs.n }"})).cached(None)).build();
    rig.on("a", [Answer::Done(json!({"made": true}))]);
    for n in [1, 1, 2, 1] {
        assert_eq!(rig.run(&graph, json!({"n": n})).phase, Phase::Succeeded);
    }
    assert_eq!(rig.dispatched().len(), 2);
    let reused = rig.events().iter().filter(|event| matches!(event, Event::ActionFinished(e) if e.reused)).count();
    assert_eq!(reused, 2);
}

#[test]
fn the_answer_to_a_question_is_taken_once_and_only_while_it_is_asked() {
    let mut rig = Rig::new([site("here").spec()]);
    rig.on("a", [Answer::Silent]);
    let run = rig.submit(&flow("t/cache").step(step("a").cached(None)).build(), json!({}));
    let action = rig.action(run, "a");
    rig.step(Command::Recalled { action, answer: Recall::Unknown });
    let late = Recall::Output { value: json!({"late": true}), locations: Vec::new(), carried: Default::default() };
    assert!(rig.step(Command::Recalled { action, answer: late }).is_empty());
    rig.work();
    rig.report(rig.attempt(run, "a"), Outcome::Succeeded(json!({})));
    assert_eq!(rig.finish(run).phase, Phase::Succeeded);
}

#[test]
fn a_question_is_asked_again_after_a_restart() {
    let mut rig = Rig::new([site("here").spec()]);
    let run = rig.submit(&charge("k"), json!({}));
    rig.restart();
    assert!(matches!(rig.state.outstanding().as_slice(), [Effect::Recall { .. }]));
    rig.on("charge", [Answer::Done(json!({"n": 1}))]);
    assert_eq!(rig.finish(run).phase, Phase::Succeeded);
}
