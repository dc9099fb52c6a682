//! How fast the engine decides and folds, without disk or network: `cargo run --release -p engine --example speed`.
//!
//! Figures for people, no test. Each line is one shape of work; where a shape comes in two sizes, time for each action shows whether it
//! grows with the size.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a benchmark measures time and prints it"
)]

use std::time::Instant;

use engine::{Command, Effect, SiteOrder};
use model::{Graph, RunId};
use serde_json::{Value, json};
use testkit::{Answer, Rig, flow, placements, site, step};

fn main() {
    chain(40);
    for items in [1_000, 10_000] {
        fan_out(items, 0);
        fan_out(items, 1_000);
    }
    for runs in [500, 5_000] {
        short_runs(runs);
    }
    for runs in [1, 10] {
        open_actions(runs);
    }
    placing();
}

fn rig() -> Rig {
    Rig::new([site("a").cores(64).spec(), site("b").cores(64).spec(), site("c").cores(64).spec()]).unchecked()
}

fn tell(what: &str, actions: usize, began: Instant) {
    let took = began.elapsed();
    let each = took.as_secs_f64() * 1e6 / actions as f64;
    println!("{what:52} {:>9.2} ms  {each:>7.2} us an action", took.as_secs_f64() * 1e3);
}

fn chain(length: usize) {
    let ids: Vec<String> = (0..length).map(|index| format!("n{index}")).collect();
    let mut graph = flow("bench/chain");
    for (index, id) in ids.iter().enumerate() {
        let made = step(id);
        graph = graph.step(if index == 0 { made } else { made.after(&[&ids[index - 1]]) });
    }
    let (mut rig, graph) = (rig(), graph.build());
    let began = Instant::now();
    rig.run(&graph, json!({}));
    tell(&format!("one run, {length} chained steps"), length, began);
}

fn mapped(items: usize, cpu: u32) -> std::sync::Arc<Graph> {
    let list: Vec<usize> = (0..items).collect();
    flow("bench/map").step(step("m").each(json!(list), 10_000, step("m").needs(cpu))).build()
}

fn fan_out(items: usize, cpu: u32) {
    let (mut rig, graph) = (rig(), mapped(items, cpu));
    let run = rig.submit(&graph, json!({}));
    let began = Instant::now();
    rig.work();
    assert!(rig.ended(run).is_some());
    tell(&format!("one run, {items} parallel steps of {cpu} millicores"), items, began);
}

fn short_runs(runs: usize) {
    let graph = flow("bench/short").step(step("a")).step(step("b").after(&["a"])).step(step("c").after(&["b"])).build();
    let mut rig = rig();
    let began = Instant::now();
    for _ in 0..runs {
        rig.submit(&graph, Value::Null);
    }
    rig.work();
    tell(&format!("{runs} runs of 3 steps"), runs * 3, began);
}

/// Many open actions: a report, a tick, a restart and a cancellation among them.
fn open_actions(runs: usize) {
    let (mut rig, graph) = (rig(), mapped(10_000, 0));
    rig.on("m[*", [Answer::Silent]);
    let ids: Vec<RunId> = (0..runs).map(|_| rig.submit(&graph, json!({}))).collect();
    rig.work();
    let open = runs * 10_000;
    let began = Instant::now();
    for index in 0..1_000 {
        let attempt = rig.attempt(ids[0], &format!("m[{index}]"));
        rig.report(attempt, engine::Outcome::Succeeded(json!({})));
    }
    tell(&format!("1,000 reports among {open} open actions"), 1_000, began);
    let began = Instant::now();
    for _ in 0..1_000 {
        let signal = Command::Signal { run: ids[0], name: "nobody".into(), payload: json!({}), principal: "ada".into() };
        rig.step(signal);
    }
    tell(&format!("1,000 signals among {open} open actions"), 1_000, began);
    let began = Instant::now();
    let state = rig.tape.restore();
    tell(&format!("a restart with {open} open actions"), open, began);
    let began = Instant::now();
    let dispatches = state.outstanding().iter().filter(|effect| matches!(effect, Effect::Dispatch(_))).count();
    tell(&format!("what is outstanding, {dispatches} orders"), dispatches, began);
    let began = Instant::now();
    rig.cancel(ids[0]);
    tell("cancelling one run of 10,000 open actions", 10_000, began);
    let began = Instant::now();
    rig.order("a", SiteOrder::Drain);
    tell("draining a site", open / 3, began);
}

/// One decision of the placer: 10 sites, 1,000 queued actions that are alike.
fn placing() {
    let sites = (0..10).map(|number| site(&format!("s{number}")).cores(64).prices(f64::from(number), 0.1).spec());
    let mut rig = Rig::new(sites).unchecked().unplaced();
    rig.submit(&mapped(1_000, 1_000), json!({}));
    let candidates = rig.state.take_candidates(4_096);
    let candidate = &candidates[0];
    let mut times: Vec<f64> = (0..10_000)
        .map(|_| {
            let began = Instant::now();
            let placements = placements(rig.state.fleet(), candidate);
            assert!(!placements.is_empty());
            began.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    times.sort_by(f64::total_cmp);
    let alike = candidate.actions.len();
    println!("placing {alike} alike over 10 sites: p50 {:.1} us, p99 {:.1} us a decision", times[5_000], times[9_900]);
}
