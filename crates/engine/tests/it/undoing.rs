//! Compensation: what succeeded is undone, last first.

use engine::{Event, Outcome};
use model::{Duration, FailureClass, Phase};
use serde_json::json;
use testkit::{Answer, Rig, fail, flow, site, step};

fn undone(rig: &Rig) -> Vec<String> {
    rig.dispatched().iter().filter(|path| path.ends_with("!undo")).cloned().collect()
}

#[test]
fn what_succeeded_is_undone_in_reverse_order_of_success() {
    let mut rig = Rig::new([site("here").spec()]);
    let graph = flow("t/saga")
        .step(step("hotel").undo(json!({"cancel": "${ nodes.hotel.id }"})))
        .step(step("flight").undo(json!({})))
        .step(step("plain"))
        .step(step("car").undo(json!({})).after(&["hotel", "flight", "plain"]))
        .step(step("pay").after(&["car"]))
        .build();
    for path in ["hotel", "flight"] {
        rig.on(path, [Answer::Silent]);
    }
    rig.on("pay", [fail("no money")]);
    let run = rig.submit(&graph, json!({}));
    rig.work();
    rig.report(rig.attempt(run, "flight"), Outcome::Succeeded(json!({})));
    rig.report(rig.attempt(run, "hotel"), Outcome::Succeeded(json!({"id": 7})));
    let finished = rig.finish(run);
    assert_eq!((finished.phase, &*finished.failure.unwrap().message()), (Phase::Failed, "`pay`: no money"));
    assert_eq!(undone(&rig), ["car!undo", "hotel!undo", "flight!undo"]);
    let input = rig.events().iter().find_map(|event| match event {
        Event::ActionsOpened(e) => e.actions.iter().find(|opened| opened.path == "hotel!undo").cloned(),
        _ => None,
    });
    assert_eq!(input.unwrap().input.unwrap().value(), &json!({"cancel": 7}));
}

#[test]
fn items_of_maps_and_nodes_of_sub_workflows_are_undone_with_their_own_names() {
    let mut rig = Rig::new([site("here").spec()]);
    let inner = flow("t/inner").input("n", None).step(step("in").undo(json!({"n": "${ inputs.n }"}))).build();
    let body = step("m").undo(json!({"item": "${ item }", "at": "${ index }", "own": "${ nodes.m.made }"}));
    let graph = flow("t/saga")
        .step(step("m").each(json!(["a", "b"]), 1, body))
        .step(step("sub").workflow(&inner).input(json!({"n": 3})).after(&["m"]))
        .step(step("bad").after(&["sub"]))
        .build();
    for (index, made) in ["x", "y"].iter().enumerate() {
        rig.on(&format!("m[{index}]"), [Answer::Done(json!({"made": made}))]);
    }
    rig.on("bad", [fail("no")]);
    let run = rig.submit(&graph, json!({}));
    assert_eq!(rig.finish(run).phase, Phase::Failed);
    assert_eq!(undone(&rig), ["sub/in!undo", "m[1]!undo", "m[0]!undo"]);
    let inputs: Vec<_> = rig
        .events()
        .iter()
        .filter_map(|event| match event {
            Event::ActionsOpened(e) => e.actions.iter().find(|opened| opened.path.ends_with("!undo")),
            _ => None,
        })
        .map(|opened| opened.input.as_ref().unwrap().value().clone())
        .collect();
    let expected = [json!({"n": 3}), json!({"item": "b", "at": 1, "own": "y"}), json!({"item": "a", "at": 0, "own": "x"})];
    assert_eq!(inputs, expected);
}

#[test]
fn an_undo_that_fails_is_told_and_the_others_go_on() {
    let mut rig = Rig::new([site("here").spec()]);
    let graph = flow("t/saga")
        .step(step("a").undo(json!({})))
        .step(step("b").undo(json!({})).undo_retry(1).after(&["a"]))
        .step(step("c").undo(json!("${ nodes.c.none }")).after(&["b"]))
        .step(step("bad").after(&["c"]))
        .build();
    rig.on("bad", [fail("no")]);
    rig.on("b!undo", [fail("stuck")]);
    let finished = rig.run(&graph, json!({}));
    assert_eq!(undone(&rig), ["b!undo", "b!undo", "a!undo"]);
    let failure = finished.failure.unwrap();
    assert_eq!(failure.class, FailureClass::User);
    for path in ["`c!undo`", "`b!undo`"] {
        assert!(failure.message().contains(&format!("{path} did not succeed")), "{}", failure.message());
    }
    assert!(!failure.message().contains("`a!undo`"));
}

#[test]
fn cancelling_undoes_too_and_what_ended_well_on_the_way_out_is_undone_as_well() {
    let mut rig = Rig::new([site("here").spec()]);
    let graph = flow("t/saga").step(step("a").undo(json!({}))).step(step("b").undo(json!({})).after(&["a"])).build();
    rig.on("b", [Answer::Deaf]);
    let run = rig.submit(&graph, json!({}));
    rig.work();
    rig.cancel(run);
    rig.work();
    assert!(undone(&rig).is_empty(), "nothing is undone before everything has stopped");
    rig.report(rig.attempt(run, "b"), Outcome::Succeeded(json!({})));
    assert_eq!(rig.finish(run).phase, Phase::Aborted);
    assert_eq!(undone(&rig), ["b!undo", "a!undo"]);
}

#[test]
fn undoing_cannot_be_cancelled_and_one_at_a_time_is_at_work() {
    let mut rig = Rig::new([site("here").spec()]);
    let graph = flow("t/saga")
        .step(step("a").undo(json!({})))
        .step(step("b").undo(json!({})))
        .step(step("bad").after(&["a", "b"]))
        .build();
    rig.on("bad", [fail("no")]);
    rig.on("b!undo", [Answer::Silent]);
    let run = rig.submit(&graph, json!({}));
    rig.work();
    assert_eq!(undone(&rig), ["b!undo"]);
    let order = engine::Command::Cancel { run, principal: "ada".into(), reason: String::new() };
    assert!(matches!(rig.try_step(order), Err(engine::Rejection::Conflict(_))));
    rig.report(rig.attempt(run, "b!undo"), Outcome::Succeeded(json!({})));
    assert_eq!(rig.finish(run).phase, Phase::Failed);
    assert_eq!(undone(&rig), ["b!undo", "a!undo"]);
}

#[test]
fn an_undo_survives_the_drain_of_its_site_and_a_restart() {
    let mut rig = Rig::new([site("here").spec(), site("there").spec()]);
    let graph = flow("t/saga").step(step("a").undo(json!({}))).step(step("bad").after(&["a"])).build();
    rig.on("bad", [fail("no")]);
    rig.on("a!undo", [Answer::Silent, Answer::Done(json!({}))]);
    let run = rig.submit(&graph, json!({}));
    rig.work();
    let site = rig.site_of(run, "a!undo");
    rig.order(&site, engine::SiteOrder::Drain);
    rig.restart();
    assert_eq!(rig.finish(run).phase, Phase::Failed);
    assert_eq!(rig.phase(run, "a!undo"), Some(Phase::Succeeded));
    assert_eq!(undone(&rig).len(), 2);
}

#[test]
fn a_run_that_failed_while_paused_is_undone_when_it_is_resumed() {
    let mut rig = Rig::new([site("here").spec()]);
    let graph = flow("t/saga").step(step("a").undo(json!({}))).step(step("b")).build();
    rig.on("b", [Answer::Silent]);
    let run = rig.submit(&graph, json!({}));
    rig.work();
    rig.step(engine::Command::Pause { run, principal: "ada".into() });
    rig.report(rig.attempt(run, "b"), Outcome::Failed(model::Failure::new(FailureClass::User, "no")));
    rig.work();
    assert!(undone(&rig).is_empty() && rig.ended(run).is_none());
    rig.step(engine::Command::Resume { run, principal: "ada".into() });
    assert_eq!(rig.finish(run).phase, Phase::Failed);
    assert_eq!(undone(&rig), ["a!undo"]);
}

#[test]
fn what_was_reused_is_not_undone_by_the_run_that_reused_it() {
    let mut rig = Rig::new([site("here").spec()]);
    let good = flow("t/pay").step(step("charge").once(json!("order-7")).undo(json!({}))).build();
    assert_eq!(rig.run(&good, json!({})).phase, Phase::Succeeded);
    let bad =
        flow("t/pay").step(step("charge").once(json!("order-7")).undo(json!({}))).step(step("ship").after(&["charge"])).build();
    rig.on("ship", [fail("no")]);
    let run = rig.submit(&bad, json!({}));
    assert_eq!(rig.finish(run).phase, Phase::Failed);
    assert_eq!(rig.phase(run, "charge"), Some(Phase::Succeeded));
    assert!(undone(&rig).is_empty());
}

#[test]
fn a_deadline_that_passes_while_undoing_changes_nothing() {
    let mut rig = Rig::new([site("here").spec()]);
    let graph =
        flow("t/saga").timeout(Duration::from_secs(60)).step(step("a").undo(json!({}))).step(step("bad").after(&["a"])).build();
    rig.on("bad", [fail("no")]);
    rig.on("a!undo", [Answer::Silent]);
    let run = rig.submit(&graph, json!({}));
    rig.work();
    rig.advance(Duration::from_secs(600));
    rig.report(rig.attempt(run, "a!undo"), Outcome::Succeeded(json!({})));
    assert_eq!(rig.finish(run).phase, Phase::Failed);
}
