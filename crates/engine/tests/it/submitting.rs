//! Submitting, names and keys, sub-workflows, repeating.

use engine::event::Origin;
use engine::{Command, Event, Known, Rejection, Submit};
use model::limits::SUBWORKFLOW_DEPTH_MAX;
use model::{FailureClass, Phase, RunId};
use serde_json::json;
use testkit::{Answer, Rig, fail, flow, site, step};

fn one() -> std::sync::Arc<model::Graph> {
    flow("bank/score").step(step("a")).build()
}

#[test]
fn a_key_sent_again_gives_the_same_run_open_or_closed_or_only_known_to_the_store() {
    let mut rig = Rig::new([site("here").spec()]);
    let mut send = |known: Option<RunId>| {
        let submit = rig.submission(&one(), json!({}));
        let known = Known { by_key: known, by_name: None };
        let before = rig.events().len();
        let run = rig.try_submit(Submit { idempotency_key: Some("k".into()), known, ..submit }).unwrap();
        let fresh = rig.events().len() > before;
        rig.work();
        (run, fresh)
    };
    assert_eq!(send(None), (RunId(1), true));
    assert_eq!(send(None), (RunId(1), false));
    rig.restart();
    let submit = rig.submission(&one(), json!({}));
    let known = Known { by_key: Some(RunId(1)), by_name: None };
    let answer = rig.try_step(Command::Submit(Box::new(Submit { idempotency_key: Some("k".into()), known, ..submit })));
    assert_eq!(answer, Ok(Vec::new()));
}

#[test]
fn a_name_is_taken_once_within_project_and_domain() {
    let mut rig = Rig::new([site("here").spec()]);
    let mut named = |name: &str, domain: &str, key: Option<&str>, by_name: Option<RunId>| {
        let submit = rig.submission(&one(), json!({}));
        let (name, domain, idempotency_key) = (Some(name.to_owned()), domain.to_owned(), key.map(str::to_owned));
        rig.try_submit(Submit { name, domain, idempotency_key, known: Known { by_key: None, by_name }, ..submit })
    };
    let first = named("nightly", "production", None, None).unwrap();
    assert_eq!(named("nightly", "production", None, None), Err(Rejection::NameTaken { name: "nightly".into(), run: first }));
    assert!(named("nightly", "staging", None, None).is_ok());
    // The store knows the name of a run that closed long ago; a new key does not make it free.
    assert!(matches!(named("old", "production", Some("k"), Some(RunId(1))), Err(Rejection::NameTaken { .. })));
}

#[test]
fn a_name_made_for_a_run_evades_one_that_somebody_chose() {
    let mut rig = Rig::new([site("here").spec()]);
    let submit = rig.submission(&one(), json!({}));
    rig.try_submit(Submit { name: Some("score-2".into()), ..submit }).unwrap();
    rig.submit(&one(), json!({}));
    let names: Vec<_> = rig
        .events()
        .iter()
        .filter_map(|event| match event {
            Event::RunSubmitted(submitted) => Some(submitted.name.clone()),
            _ => None,
        })
        .collect();
    assert!(names[0] == "score-2" && names[1].starts_with("score-2-") && names[1].len() == "score-2-".len() + 16, "{names:?}");
    // Told by the store of one that closed long ago.
    rig.state.reserve_name("bank", "development", "score-3", RunId(1));
    let before = rig.events().len();
    rig.submit(&one(), json!({}));
    assert!(
        matches!(&rig.events()[before], Event::RunSubmitted(e) if e.name.starts_with("score-3-")),
        "{:?}",
        rig.events()[before]
    );
}

#[test]
fn runs_are_numbered_on_over_restarts() {
    let mut rig = Rig::new([site("here").spec()]);
    rig.run(&one(), json!({}));
    rig.restart();
    assert_eq!(rig.submit(&one(), json!({})), RunId(2));
}

#[test]
fn sub_workflows_have_inputs_outputs_and_names_of_their_own() {
    let mut rig = Rig::new([site("here").spec()]);
    let leaf = flow("t/leaf")
        .input("n", None)
        .input("m", Some(json!(5)))
        .step(step("x").input(json!({"n": "${ inputs.n }", "m": "${ inputs.m }"})))
        .outputs(json!({"made": "${ nodes.x.y }"}))
        .build();
    let inner = flow("t/inner")
        .input("n", None)
        .step(step("leaf").workflow(&leaf).input(json!({"n": "${ inputs.n }"})))
        .outputs(json!({"got": "${ nodes.leaf.made }"}))
        .build();
    let graph = flow("t/outer")
        .step(step("sub").workflow(&inner).input(json!({"n": 3})))
        .outputs(json!({"all": "${ nodes.sub.got }"}))
        .build();
    rig.on("sub/leaf/x", [Answer::Done(json!({"y": 8}))]);
    let finished = rig.run(&graph, json!({}));
    assert_eq!(finished.outputs.unwrap().value(), &json!({"all": 8}));
    let input = rig.events().iter().find_map(|event| match event {
        Event::ActionsOpened(opened) => opened.actions.iter().find(|action| action.path == "sub/leaf/x").cloned(),
        _ => None,
    });
    assert_eq!(input.unwrap().input.unwrap().value(), &json!({"n": 3, "m": 5}));
}

#[test]
fn a_failure_in_a_sub_workflow_fails_the_run_and_names_the_node() {
    let mut rig = Rig::new([site("here").spec()]);
    let inner = flow("t/inner").step(step("x")).build();
    let missing = flow("t/needs").input("n", None).step(step("x")).build();
    rig.on("sub/x", [fail("no")]);
    let finished = rig.run(&flow("t/outer").step(step("sub").workflow(&inner)).build(), json!({}));
    assert_eq!(finished.failure.unwrap().message(), "`sub/x`: no");
    let finished = rig.run(&flow("t/outer").step(step("sub").workflow(&missing)).build(), json!({}));
    assert!(finished.failure.unwrap().message().contains("needs the input `n`"));
}

#[test]
fn sub_workflows_are_nested_only_so_deep() {
    let mut rig = Rig::new([site("here").spec()]);
    let mut graph = flow("t/bottom").step(step("x")).build();
    for _ in 0..SUBWORKFLOW_DEPTH_MAX {
        graph = flow("t/level").step(step("sub").workflow(&graph)).build();
    }
    assert_eq!(rig.run(&graph, json!({})).phase, Phase::Succeeded);
    let deeper = flow("t/top").step(step("sub").workflow(&graph)).build();
    assert_eq!(rig.run(&deeper, json!({})).failure.unwrap().class, FailureClass::Quota);
}

#[test]
fn empty_workflows_end_at_once() {
    let mut rig = Rig::new([]);
    let empty = flow("t/empty").build();
    assert_eq!(rig.run(&empty, json!({})).phase, Phase::Succeeded);
    let graph =
        flow("t/outer").step(step("sub").workflow(&empty)).step(step("m").each(json!([1, 2]), 1, step("m").workflow(&empty)));
    assert_eq!(rig.run(&graph.build(), json!({})).phase, Phase::Succeeded);
}

#[test]
fn a_repeated_run_reuses_what_it_is_given_and_runs_the_rest() {
    let mut rig = Rig::new([site("here").spec()]);
    let graph = flow("t/again")
        .step(step("a").when("inputs.none"))
        .step(step("b").input(json!({"a": "${ nodes.a.n }"})).reads(&["a"]))
        .step(step("c").after(&["b"]))
        .build();
    let submit = rig.submission(&graph, json!({}));
    let origin = Origin::Rerun { of: RunId(1) };
    let run = rig.try_submit(Submit { reused: vec![(0, json!({"n": 4}))], origin, ..submit }).unwrap();
    assert_eq!(rig.finish(run).phase, Phase::Succeeded);
    assert_eq!(rig.dispatched(), ["b", "c"]);
    assert_eq!(rig.output(run, "a"), json!({"n": 4}), "its condition is not asked again");
    let input = rig.events().iter().find_map(|event| match event {
        Event::ActionsOpened(opened) => opened.actions.iter().find(|action| action.path == "b").cloned(),
        _ => None,
    });
    assert_eq!(input.unwrap().input.unwrap().value(), &json!({"a": 4}));
}

#[test]
fn a_rejected_command_leaves_the_state_as_it_was() {
    let mut rig = Rig::new([site("here").spec()]);
    let run = rig.submit(&one(), json!({}));
    let before = rig.state.fingerprint();
    let submit = Submit { name: Some("score-1".into()), ..rig.submission(&one(), json!({})) };
    assert!(rig.try_step(Command::Submit(Box::new(submit))).is_err());
    let missing = Command::Signal { run: RunId(9), name: "x".into(), payload: json!({}), principal: "ada".into() };
    assert!(rig.try_step(missing).is_err());
    assert_eq!(rig.state.fingerprint(), before);
    assert_eq!(rig.finish(run).phase, Phase::Succeeded);
}
