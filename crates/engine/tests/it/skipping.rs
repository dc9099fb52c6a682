//! Nodes that are left out: by their condition, by what they refer to, by a branch.

use engine::Event;
use engine::event::SkipReason;
use model::{FailureClass, Phase};
use serde_json::json;
use testkit::{Answer, Rig, flow, site, step};

fn reasons(rig: &Rig) -> Vec<(String, SkipReason)> {
    let skipped = rig.events().iter().filter_map(|event| match event {
        Event::NodesSkipped(skipped) => Some(&skipped.nodes),
        _ => None,
    });
    skipped.flatten().map(|node| (node.path.clone(), node.why)).collect()
}

#[test]
fn a_node_whose_condition_is_false_takes_along_what_refers_to_it() {
    let mut rig = Rig::new([site("here").spec()]);
    let graph = flow("t/skip")
        .step(step("a").when("inputs.go"))
        .step(step("b").input(json!({"x": "${ nodes.a.x }"})).reads(&["a"]))
        .step(step("c").reads(&["b"]))
        .step(step("after").after(&["a"]))
        .step(step("sees").when("nodes.a == null").reads(&["a"]))
        .outputs(json!({"a": "${ nodes.a }", "c": "${ nodes.c.x }"}))
        .build();
    let run = rig.submit(&graph, json!({"go": false}));
    let finished = rig.finish(run);
    assert_eq!(finished.phase, Phase::Succeeded);
    assert_eq!(finished.outputs.unwrap().value(), &json!({"a": null, "c": null}));
    let expected = [("a", SkipReason::Condition), ("b", SkipReason::Upstream), ("c", SkipReason::Upstream)];
    assert_eq!(reasons(&rig), expected.map(|(path, why)| (path.to_owned(), why)));
    assert_eq!(rig.phase(run, "after"), Some(Phase::Succeeded), "`after` is order, not data");
    assert_eq!(rig.phase(run, "sees"), Some(Phase::Succeeded), "a condition sees null and decides");
}

#[test]
fn a_branch_runs_what_it_names_and_leaves_the_rest_out() {
    for (n, chosen, ran) in [(1, "low", "small"), (5, "mid", "middle"), (9, "rest", "large")] {
        let mut rig = Rig::new([site("here").spec()]);
        let graph = flow("t/decide")
            .step(
                step("d")
                    .branch("low", Some("inputs.n < 3"), &["small"])
                    .branch("mid", Some("inputs.n < 7"), &["middle"])
                    .branch("rest", None, &["large"]),
            )
            .step(step("small"))
            .step(step("middle"))
            .step(step("large"))
            .step(step("joined").after(&["small", "middle", "large"]))
            .build();
        let run = rig.submit(&graph, json!({"n": n}));
        assert_eq!(rig.finish(run).phase, Phase::Succeeded);
        assert_eq!(rig.output(run, "d"), json!({"branch": chosen}));
        for path in ["small", "middle", "large"] {
            let phase = if path == ran { Phase::Succeeded } else { Phase::Skipped };
            assert_eq!(rig.phase(run, path), Some(phase), "{path}");
        }
        assert_eq!(rig.phase(run, "joined"), Some(Phase::Succeeded));
    }
}

#[test]
fn when_no_branch_holds_all_are_left_out() {
    let mut rig = Rig::new([site("here").spec()]);
    let graph = flow("t/none").step(step("d").branch("b", Some("false"), &["x"])).step(step("x")).build();
    let run = rig.submit(&graph, json!({}));
    assert_eq!((rig.finish(run).phase, rig.phase(run, "x")), (Phase::Succeeded, Some(Phase::Skipped)));
    assert_eq!(rig.output(run, "d"), json!({"branch": null}));
}

#[test]
fn a_branch_that_is_itself_left_out_leaves_its_targets_out() {
    let mut rig = Rig::new([site("here").spec()]);
    let graph = flow("t/orphan")
        .step(step("outer").branch("no", Some("false"), &["inner"]))
        .step(step("inner").branch("yes", None, &["x"]))
        .step(step("x"))
        .build();
    let run = rig.submit(&graph, json!({}));
    assert_eq!((rig.finish(run).phase, rig.phase(run, "x")), (Phase::Succeeded, Some(Phase::Skipped)));
    assert_eq!(reasons(&rig)[1].1, SkipReason::Upstream);
}

#[test]
fn a_node_of_two_deciders_runs_when_those_that_ran_chose_it() {
    let mut rig = Rig::new([site("here").spec()]);
    let graph = flow("t/two")
        .step(step("one").branch("x", Some("inputs.one"), &["x"]))
        .step(step("two").branch("x", Some("inputs.two"), &["x"]).when("inputs.ask"))
        .step(step("x"))
        .build();
    for (one, two, ask, phase) in [
        (true, true, true, Phase::Succeeded),
        (true, false, true, Phase::Skipped),
        (true, false, false, Phase::Succeeded),
        (false, true, true, Phase::Skipped),
    ] {
        let run = rig.submit(&graph, json!({"one": one, "two": two, "ask": ask}));
        rig.finish(run);
        assert_eq!(rig.phase(run, "x"), Some(phase), "{one} {two} {ask}");
    }
}

#[test]
fn expressions_that_fail_fail_the_node_in_the_step_that_opens_it() {
    for bad in [
        step("bad").when("nodes.none"),
        step("bad").input(json!("${ inputs.none }")),
        step("bad").once(json!("${ inputs.none }")),
        step("bad").waits(json!({"for": "soon"})),
        step("bad").branch("b", Some("inputs.none"), &["next"]),
    ] {
        let mut rig = Rig::new([site("here").spec()]);
        let run = rig.submit(&flow("t/bad").step(bad).step(step("next").after(&["bad"])).build(), json!({}));
        let finished = rig.finish(run);
        assert_eq!((finished.phase, finished.failure.unwrap().class), (Phase::Failed, FailureClass::Expression));
        assert_eq!(rig.phase(run, "bad"), Some(Phase::Failed));
        assert!(rig.dispatched().is_empty());
    }
}

#[test]
fn outputs_that_cannot_be_made_fail_the_run() {
    let mut rig = Rig::new([site("here").spec()]);
    rig.on("a", [Answer::Done(json!({"y": 1}))]);
    let graph = flow("t/out").step(step("a")).outputs(json!({"x": "${ nodes.a.x }"})).build();
    let finished = rig.run(&graph, json!({}));
    assert_eq!(finished.phase, Phase::Failed);
    assert!(finished.failure.unwrap().message().starts_with("the outputs of the workflow: "));
}
