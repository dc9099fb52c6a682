//! Random workflows: every kind of node, every modifier, in graphs that make sense often enough to get somewhere.

use std::sync::Arc;

use model::{Duration, Graph};
use serde_json::{Value, json};
use testkit::{Flow, Step, flow, step};

use crate::rng::Rng;
use crate::tags::{DATA, TAGS};

/// The names that signals and events have.
pub(crate) const NAMES: [&str; 3] = ["go", "paid", "done"];
/// The zones of sites.
pub(crate) const ZONES: [&str; 2] = ["near", "far"];

/// A random workflow.
pub(crate) fn workflow(rng: &mut Rng, number: usize) -> Arc<Graph> {
    graph(rng, &format!("sim/w{number}"), 0)
}

fn graph(rng: &mut Rng, name: &str, depth: u32) -> Arc<Graph> {
    let count = rng.between(1, if depth == 0 { 7 } else { 3 }) as usize;
    let ids: Vec<String> = (0..count).map(|index| format!("n{index}")).collect();
    let mut flow = flow(name).input("n", Some(json!(3))).input("go", Some(json!(true))).input(DATA, Some(Value::Null));
    let mut outputs = json!({});
    // The targets of a branch have to come after it: they are drawn when it is made.
    for index in 0..count {
        let before = &ids[..index];
        let after = &ids[index + 1..];
        let made = node(rng, &ids[index], before, after, depth);
        flow = flow.step(made);
        if rng.chance(300) {
            outputs[&ids[index]] = json!(format!("${{ nodes.{} }}", ids[index]));
        }
    }
    finish(rng, flow.outputs(outputs), depth)
}

fn finish(rng: &mut Rng, mut flow: Flow, depth: u32) -> Arc<Graph> {
    if rng.chance(150) {
        flow = flow.finishes_on_failure();
    }
    if rng.chance(if depth == 0 { 120 } else { 60 }) {
        flow = flow.timeout(Duration::from_secs(rng.between(20, 3_600)));
    }
    flow.build()
}

fn node(rng: &mut Rng, id: &str, before: &[String], after: &[String], depth: u32) -> Step {
    let (reads, follows) = (some_of(rng, before, 2), some_of(rng, before, 1));
    let mut made = match rng.below(100) {
        0..=29 => placed(rng, id).input(input(rng, &reads)),
        30..=44 => placed(rng, id).task("job").input(input(rng, &reads)),
        45..=52 => placed(rng, id).runs().input(input(rng, &reads)),
        53..=60 if depth < 2 => {
            let inner = graph(rng, &format!("sim/{id}d{depth}"), depth + 1);
            let mut with = json!({"n": rng.below(6), "go": rng.chance(700)});
            if rng.chance(400) {
                with[DATA] = data();
            }
            step(id).workflow(&inner).input(with)
        }
        61..=66 => human(rng, id),
        67..=75 => waits(rng, id),
        76..=88 => each(rng, id, depth),
        89..=95 if !after.is_empty() => decides(rng, id, after),
        _ => placed(rng, id),
    };
    made = made.reads(&names(&reads)).after(&names(&follows));
    if rng.chance(120) {
        made = made.when(if rng.chance(500) { "inputs.go" } else { "inputs.n < 4" });
    }
    if let Some(read) = reads.first().filter(|_| rng.chance(60)) {
        made = made.when(&format!("nodes.{read} != 9"));
    }
    if rng.chance(80) {
        made = made.carries(TAGS[rng.below(3) as usize]);
    }
    if rng.chance(15) {
        // An expression that has no value.
        made = made.when("nodes.nobody");
    }
    if rng.chance(80) {
        made = made.timeout(Duration::from_millis(rng.between(500, 400_000)));
    }
    made
}

/// A node that takes a place on a site, with its modifiers.
fn placed(rng: &mut Rng, id: &str) -> Step {
    let mut made = step(id);
    if rng.chance(700) {
        made = made.needs(rng.between(1, 6) as u32 * 500);
    }
    if rng.chance(400) {
        made = made.at("zone", ZONES[rng.below(2) as usize]);
    }
    if rng.chance(400) {
        let shortest = Duration::from_millis(rng.between(0, 5_000));
        made = made.retry(rng.between(1, 4) as u32, shortest, Duration(shortest.0 * 8));
    }
    if rng.chance(300) {
        made = made.undo(json!({"undoes": id})).undo_retry(rng.below(3) as u32);
    }
    if rng.chance(150) {
        made = made.once(json!(format!("key-{}", rng.below(4))));
    } else if rng.chance(120) {
        made = made.cached(rng.chance(500).then(|| Duration::from_secs(60)));
    }
    made
}

fn human(rng: &mut Rng, id: &str) -> Step {
    let mut assign = json!({"users": ["ada"]});
    let steps: Vec<Value> =
        (0..rng.below(3)).map(|_| json!({"after": format!("{}s", rng.between(5, 120)), "groups": ["leads"]})).collect();
    assign["then"] = Value::Array(steps);
    let second = rng.chance(300);
    if second {
        assign["groups"] = json!(["leads"]);
    }
    step(id).human(json!({"title": "Is this right?", "assign": assign, "second": second}))
}

fn waits(rng: &mut Rng, id: &str) -> Step {
    let name = NAMES[rng.below(3) as usize];
    let input = match rng.below(3) {
        0 => json!({"for": format!("{}ms", rng.between(0, 200_000))}),
        1 => json!({"signal": name}),
        _ if rng.chance(500) => json!({"event": name, "match": {"n": rng.below(2)}}),
        _ => json!({"event": name}),
    };
    step(id).waits(input)
}

fn each(rng: &mut Rng, id: &str, depth: u32) -> Step {
    let mut items: Vec<Value> = (0..rng.between(0, 6)).map(Value::from).collect();
    if rng.chance(200) {
        items.push(data());
    }
    let body = if depth < 2 && rng.chance(300) {
        let inner = graph(rng, &format!("sim/{id}m{depth}"), depth + 1);
        let body = step(id).workflow(&inner).input(json!({"n": "${ item }"}));
        if rng.chance(300) { body.timeout(Duration::from_secs(rng.between(1, 60))) } else { body }
    } else {
        let body = placed(rng, id).input(json!({"item": "${ item }", "index": "${ index }"}));
        if rng.chance(100) { body.when("item < 3") } else { body }
    };
    let made = step(id).each(json!(items), rng.between(1, 4) as u32, body);
    if rng.chance(400) { made.goes_on() } else { made }
}

fn decides(rng: &mut Rng, id: &str, after: &[String]) -> Step {
    let mut made = step(id);
    let conditions = [Some("inputs.n < 2"), Some("inputs.go"), None];
    for (number, condition) in conditions.iter().enumerate().take(rng.between(1, 3) as usize) {
        let targets = some_of(rng, after, 1);
        made = made.branch(&format!("b{number}"), *condition, &names(&targets));
    }
    made
}

/// What a node is given: whole outputs of others, so that it fits whatever those are.
fn input(rng: &mut Rng, reads: &[String]) -> Value {
    let mut input = json!({"x": rng.below(3)});
    if rng.chance(250) {
        input[DATA] = data();
    }
    for id in reads {
        input[id] = json!(format!("${{ nodes.{id} }}"));
    }
    input
}

/// The input of the workflow that carries tags.
fn data() -> Value {
    json!(format!("${{ inputs.{DATA} }}"))
}

fn some_of(rng: &mut Rng, ids: &[String], most: u64) -> Vec<String> {
    let mut found: Vec<String> = (0..rng.below(most + 1)).filter_map(|_| rng.pick(ids).cloned()).collect();
    found.sort();
    found.dedup();
    found
}

fn names(ids: &[String]) -> Vec<&str> {
    ids.iter().map(String::as_str).collect()
}
