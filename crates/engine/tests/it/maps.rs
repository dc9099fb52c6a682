//! Maps: one node for each item of a list, so many at once.

use engine::{Event, KnownItem, Outcome, Submit};
use model::limits::EACH_ITEMS_MAX;
use model::{Duration, FailureClass, Payload, Phase};
use serde_json::{Value, json};
use testkit::{Answer, Rig, fail, flow, site, step};

fn doubling() -> testkit::Step {
    step("m").input(json!({"x": "${ item }", "i": "${ index }"}))
}

#[test]
fn outputs_stand_in_the_order_of_the_items() {
    let mut rig = Rig::new([site("here").spec()]);
    let graph = flow("t/map")
        .step(step("m").each(json!("${ inputs.list }"), 2, doubling()))
        .outputs(json!({"all": "${ nodes.m }"}))
        .input("list", None)
        .build();
    for (index, output) in ["a", "b", "c"].iter().enumerate() {
        rig.on(&format!("m[{index}]"), [Answer::Silent, Answer::Done(json!(output))]);
    }
    let run = rig.submit(&graph, json!({"list": [1, 2, 3]}));
    rig.work();
    for index in [1, 0, 2] {
        rig.report(rig.attempt(run, &format!("m[{index}]")), Outcome::Succeeded(json!(index * 10)));
        rig.work();
    }
    let finished = rig.finish(run);
    assert_eq!(finished.outputs.unwrap().value(), &json!({"all": [0, 10, 20]}));
}

#[test]
fn items_that_are_given_what_items_of_an_earlier_run_were_given_take_over_what_those_gave() {
    let mut rig = Rig::new([site("here").spec()]);
    let body = step("m").input(json!({"x": "${ item }", "by": "${ inputs.by }"}));
    let graph = flow("t/map")
        .step(step("m").each(json!("${ inputs.list }"), 1, body))
        .step(step("n").each(json!("${ inputs.list }"), 1, step("n").input(json!({"x": "${ item }", "by": "${ inputs.by }"}))))
        .outputs(json!({"all": "${ nodes.m }"}))
        .input("list", None)
        .input("by", None)
        .build();
    let submit = rig.submission(&graph, json!({"list": [3, 1, 2, 1], "by": 5}));
    let salt = submit.salt;
    let item = |index: u32, x: u32, by: u32, output: &str| KnownItem {
        node: 0,
        index,
        input: Payload::new(&salt, json!({"x": x, "by": by})).commitment,
        output: json!(output),
        locations: Vec::new(),
    };
    // The place in the list is nothing; what else the item reads is.
    let reused_items = vec![item(0, 1, 5, "one"), item(1, 2, 6, "two, by another"), item(2, 7, 5, "gone")];
    let run = rig.try_submit(Submit { reused_items, ..submit }).unwrap();
    rig.on("m[*", [Answer::Done(json!("new"))]);
    let finished = rig.finish(run);
    assert_eq!(finished.outputs.unwrap().value(), &json!({"all": ["new", "one", "new", "new"]}));
    let of_m: Vec<String> = rig.dispatched().iter().filter(|path| path.starts_with('m')).cloned().collect();
    assert_eq!(of_m, ["m[0]", "m[2]", "m[3]"], "what one item gave is taken by one item");
    assert_eq!(rig.dispatched().iter().filter(|path| path.starts_with("n[")).count(), 4, "another map is another");
    // What an item was given is kept for the next repetition, whether it ran or not.
    let given = rig.events().iter().find_map(|event| match event {
        Event::ActionsOpened(opened) => opened.actions.iter().find(|action| action.path == "m[1]").cloned(),
        _ => None,
    });
    assert_eq!(given.unwrap().input.unwrap().value(), &json!({"x": 1, "by": 5}));
}

#[test]
fn items_that_are_alike_take_what_each_of_them_gave_and_what_failed_runs_again() {
    // Bodies that read nothing of the item, and lists that name one thing twice.
    for (body, list) in
        [(step("m"), json!([1, 2, 3])), (step("m").input(json!({"x": "${ item }"})), json!(["bob", "bob", "bob"]))]
    {
        for failed in 0..3 {
            let mut rig = Rig::new([site("here").spec()]);
            let graph = flow("t/alike")
                .step(step("m").each(list.clone(), 2, body.clone()))
                .outputs(json!({"all": "${ nodes.m }"}))
                .build();
            let submit = rig.submission(&graph, json!({}));
            let given = if list[0] == 1 { Value::Null } else { json!({"x": "bob"}) };
            let known = (0..3).filter(|index| *index != failed).map(|index| KnownItem {
                node: 0,
                index,
                input: Payload::new(&submit.salt, given.clone()).commitment,
                output: json!(format!("sample {index}")),
                locations: Vec::new(),
            });
            let run = rig.try_submit(Submit { reused_items: known.collect(), ..submit }).unwrap();
            rig.on("m[*", [Answer::Done(json!("new"))]);
            let all = rig.finish(run).outputs.unwrap().value()["all"].clone();
            let mut seen: Vec<String> = all.as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect();
            seen.sort();
            let mut wanted: Vec<String> =
                (0..3).filter(|index| *index != failed).map(|index| format!("sample {index}")).collect();
            wanted.insert(0, "new".into());
            assert_eq!((seen, rig.dispatched().len()), (wanted, 1), "{all}");
        }
    }
}

#[test]
fn no_more_items_run_at_once_than_asked() {
    for (items, at_once) in [(10usize, 3u32), (3, 10), (5, 1), (4, 0)] {
        let mut rig = Rig::new([site("here").spec()]);
        rig.on("m[*", [Answer::Silent]);
        let list: Vec<usize> = (0..items).collect();
        let run = rig.submit(&flow("t/map").step(step("m").each(json!(list), at_once, doubling())).build(), json!({}));
        rig.work();
        let mut running: Vec<usize> = (0..items.min(at_once.max(1) as usize)).collect();
        let mut next = running.len();
        while let Some(first) = running.first().copied() {
            let opened = rig.paths(run).iter().filter(|path| path.contains('[')).count();
            assert_eq!(opened, next, "of {items}, {at_once} at once");
            running.remove(0);
            rig.report(rig.attempt(run, &format!("m[{first}]")), Outcome::Succeeded(json!({})));
            if next < items {
                running.push(next);
                next += 1;
            }
        }
        assert_eq!(rig.finish(run).phase, Phase::Succeeded);
    }
}

#[test]
fn an_item_that_fails_fails_the_run_unless_the_map_goes_on() {
    for goes_on in [false, true] {
        let mut rig = Rig::new([site("here").spec()]);
        let map = step("m").each(json!([1, 2, 3]), 1, doubling());
        let map = if goes_on { map.goes_on() } else { map };
        rig.on("m[1]", [fail("no")]);
        let run = rig.submit(&flow("t/map").step(map).step(step("z").reads(&["m"])).build(), json!({}));
        let finished = rig.finish(run);
        if goes_on {
            assert_eq!(finished.phase, Phase::Succeeded);
            assert_eq!(rig.output(run, "m"), json!([{}, null, {}]));
            assert_eq!(rig.phase(run, "m[1]"), Some(Phase::Failed));
        } else {
            assert_eq!(finished.failure.unwrap().message(), "`m[1]`: no");
            assert_eq!((rig.phase(run, "m"), rig.phase(run, "z")), (Some(Phase::Aborted), None));
        }
    }
}

/// A node that failed within the sub-workflow of an item once failed the run.
#[test]
fn a_failure_deep_within_an_item_ends_the_item_and_the_map_goes_on() {
    let mut rig = Rig::new([site("here").spec()]);
    let leaf = flow("t/leaf").step(step("x")).step(step("y").after(&["x"])).step(step("slow")).build();
    let inner = flow("t/inner").step(step("leaf").workflow(&leaf)).build();
    let graph = flow("t/map").step(step("m").each(json!([1, 2]), 2, step("m").workflow(&inner)).goes_on()).build();
    rig.on("m[0]/leaf/x", [fail("no")]);
    rig.on("m[0]/leaf/slow", [Answer::Silent]);
    let run = rig.submit(&graph, json!({}));
    let finished = rig.finish(run);
    assert_eq!(finished.phase, Phase::Succeeded);
    assert_eq!(rig.output(run, "m")[0], Value::Null);
    assert_eq!(rig.failure(run, "m[0]").unwrap().message(), "`m[0]/leaf/x`: no");
    assert_eq!(rig.phase(run, "m[0]/leaf/slow"), Some(Phase::Aborted));
    assert_eq!(rig.phase(run, "m[1]/leaf/y"), Some(Phase::Succeeded));
    assert!(!rig.paths(run).contains("m[0]/leaf/y"));
}

#[test]
fn two_failures_at_once_are_both_answered() {
    let mut rig = Rig::new([site("here").spec()]);
    // Both expressions fail in the step that opens them: one within an item that may fail, one outside.
    let inner = flow("t/inner").step(step("x").input(json!("${ nodes.none }"))).build();
    let graph = flow("t/map")
        .step(step("m").each(json!([1]), 1, step("m").workflow(&inner)).goes_on())
        .step(step("bad").input(json!("${ nodes.none }")).after(&["m"]))
        .build();
    let finished = rig.run(&graph, json!({}));
    assert_eq!((finished.phase, finished.failure.unwrap().class), (Phase::Failed, FailureClass::Expression));
}

#[test]
fn items_whose_condition_is_false_are_left_out() {
    let mut rig = Rig::new([site("here").spec()]);
    let map = step("m").each(json!([1, 5, 2]), 3, doubling().when("item < 3"));
    let run = rig.submit(&flow("t/map").step(map).build(), json!({}));
    assert_eq!(rig.finish(run).phase, Phase::Succeeded);
    assert_eq!(rig.phase(run, "m[1]"), Some(Phase::Skipped));
    assert_eq!(rig.output(run, "m"), json!([{}, null, {}]));
}

#[test]
fn a_map_over_nothing_ends_at_once_and_one_over_no_list_fails() {
    let mut rig = Rig::new([site("here").spec()]);
    let graph = flow("t/map").step(step("m").each(json!("${ inputs.list }"), 2, doubling())).input("list", None).build();
    let run = rig.submit(&graph, json!({"list": []}));
    assert_eq!((rig.finish(run).phase, rig.output(run, "m")), (Phase::Succeeded, json!([])));
    for (list, class) in [(json!("text"), FailureClass::Expression), (json!(vec![0; EACH_ITEMS_MAX + 1]), FailureClass::Quota)] {
        assert_eq!(rig.run(&graph, json!({"list": list})).failure.unwrap().class, class);
    }
}

#[test]
fn a_map_within_the_sub_workflow_of_an_item_has_items_of_its_own() {
    let mut rig = Rig::new([site("here").spec()]);
    let inner = flow("t/inner")
        .input("list", None)
        .step(step("n").each(json!("${ inputs.list }"), 2, step("n").input(json!({"x": "${ item }"}))))
        .outputs(json!({"n": "${ nodes.n }"}))
        .build();
    let body = step("m").workflow(&inner).input(json!({"list": "${ item }"}));
    let graph = flow("t/outer").step(step("m").each(json!([[1, 2], [], [3]]), 2, body)).build();
    let run = rig.submit(&graph, json!({}));
    assert_eq!(rig.finish(run).phase, Phase::Succeeded);
    assert_eq!(rig.output(run, "m"), json!([{"n": [{}, {}]}, {"n": []}, {"n": [{}]}]));
    assert!(rig.paths(run).contains("m[0]/n[1]"));
}

#[test]
fn ten_thousand_items_with_repeats_in_a_window_of_a_hundred() {
    let mut rig = Rig::new([site("here").cores(50).spec()]).unchecked();
    let second = Duration::from_secs(1);
    let body = step("m").needs(1_000).retry(1, second, second);
    let list: Vec<usize> = (0..EACH_ITEMS_MAX).collect();
    rig.on("m[77*", [fail("once"), Answer::Done(json!({}))]);
    let run = rig.submit(&flow("t/large").step(step("m").each(json!(list), 100, body)).build(), json!({}));
    assert_eq!(rig.finish(run).phase, Phase::Succeeded);
    let (mut running, mut most) = (0i64, 0);
    for event in rig.events() {
        match event {
            Event::ActionsPlaced(placed) => running += placed.actions.len() as i64,
            Event::AttemptFinished(_) => running -= 1,
            _ => {}
        }
        most = most.max(running);
    }
    assert_eq!((running, most), (0, 50));
    assert_eq!(rig.output(run, "m").as_array().map(Vec::len), Some(EACH_ITEMS_MAX));
}

#[test]
fn outputs_that_are_too_large_together_fail_the_map() {
    let mut rig = Rig::new([site("here").spec()]);
    rig.on("m[*", [Answer::Silent]);
    let run = rig.submit(&flow("t/large").step(step("m").each(json!([1, 2, 3]), 4, doubling())).build(), json!({}));
    rig.work();
    let half = json!("x".repeat(model::limits::VALUE_BYTES_MAX / 2));
    for item in 0..3 {
        rig.report(rig.attempt(run, &format!("m[{item}]")), Outcome::Succeeded(half.clone()));
    }
    assert_eq!(rig.finish(run).phase, Phase::Failed);
    let failure = rig.failure(run, "m").unwrap();
    assert_eq!(failure.class, FailureClass::Output);
    assert!(failure.message().contains("use an artifact"), "{}", failure.message());
}
