//! Work that a running action asks for.

use std::sync::Arc;

use engine::{Command, Outcome, Rejection, Spawn, Submit};
use model::graph::Retry;
use model::{Duration, Failure, FailureClass, Graph, Node, NodeKind, Phase, Resources, RunId};
use serde_json::{Value, json};
use testkit::{Answer, Rig, flow, site, step};

fn graph() -> Arc<Graph> {
    flow("t/main").step(step("a0").task("env.main").needs(1_000)).build()
}

/// A rig with so many cores, and a run whose only node runs and says nothing.
fn rig(cores: u32) -> (Rig, RunId) {
    let mut rig = Rig::new([site("here").cores(cores).spec()]);
    rig.on("a0", [Answer::Silent, Answer::Silent]);
    let run = rig.submit(&graph(), Value::Null);
    rig.work();
    (rig, run)
}

fn task(cpu_millis: u32) -> Node {
    let mut node = Node { id: "task".into(), kind: NodeKind::Task { name: "env.child".into() }, ..Node::default() };
    node.needs.resources = Resources { cpu_millis, ..Resources::default() };
    node
}

fn ask(rig: &Rig, run: RunId, parent: &str, path: &str, node: Node) -> Command {
    let parent = rig.action(run, parent);
    let input = Some(json!({ "of": path }));
    Command::Spawn(Box::new(Spawn { parent, path: path.into(), node: Arc::new(node), input, ..Spawn::default() }))
}

fn spawn(rig: &mut Rig, run: RunId, parent: &str, path: &str, node: Node) {
    let command = ask(rig, run, parent, path, node);
    rig.step(command);
}

fn end(rig: &mut Rig, run: RunId, path: &str) {
    rig.report(rig.attempt(run, path), Outcome::Succeeded(json!({ "done": path })));
}

#[test]
fn a_parent_that_waits_holds_nothing_and_children_run_where_it_is() {
    let (mut rig, run) = rig(1);
    assert_eq!(rig.state.fleet().sites()["here"].used.cpu_millis, 1_000);
    rig.on("one", [Answer::Silent]);
    rig.on("two", [Answer::Silent]);
    spawn(&mut rig, run, "a0", "one", task(1_000));
    spawn(&mut rig, run, "a0", "two", task(1_000));
    rig.work();
    assert_eq!(rig.dispatched(), ["a0", "one"], "one of them fits beside a parent that waits");
    end(&mut rig, run, "one");
    rig.work();
    assert_eq!(rig.dispatched(), ["a0", "one", "two"]);
    end(&mut rig, run, "two");
    assert_eq!(rig.state.fleet().sites()["here"].used.cpu_millis, 1_000, "the parent works again");
    end(&mut rig, run, "a0");
    assert_eq!(rig.finish(run).phase, Phase::Succeeded);
    let site = &rig.state.fleet().sites()["here"];
    assert!(site.running.is_empty() && site.used == Resources::default());
}

#[test]
fn a_run_has_no_more_at_work_than_it_says() {
    let mut rig = Rig::new([site("here").cores(8).spec()]);
    let names = ["one", "two", "three", "four"];
    for path in ["a0"].iter().chain(&names) {
        rig.on(path, [Answer::Silent]);
    }
    let submit = rig.submission(&graph(), Value::Null);
    let run = rig.try_submit(Submit { concurrency: Some(2), ..submit }).unwrap();
    rig.work();
    for path in names {
        spawn(&mut rig, run, "a0", path, task(1_000));
    }
    rig.work();
    // The parent waits and is not counted.
    assert_eq!(rig.dispatched(), ["a0", "one", "two"]);
    // Others have the room that is left.
    rig.on("a0", [Answer::Silent]);
    let other = rig.submit(&graph(), Value::Null);
    rig.work();
    assert_eq!(rig.dispatched().len(), 4);
    end(&mut rig, run, "two");
    rig.work();
    assert_eq!(rig.dispatched().last().map(String::as_str), Some("three"));
    end(&mut rig, run, "one");
    end(&mut rig, run, "three");
    rig.work();
    end(&mut rig, run, "four");
    end(&mut rig, run, "a0");
    assert_eq!(rig.finish(run).phase, Phase::Succeeded);
    end(&mut rig, other, "a0");
    assert_eq!(rig.finish(other).phase, Phase::Succeeded);
}

#[test]
fn what_has_no_place_does_not_use_up_what_its_run_may_have_at_work() {
    let mut rig = Rig::new([site("here").cores(2).spec()]);
    for path in ["a0", "fits"] {
        rig.on(path, [Answer::Silent]);
    }
    let submit = rig.submission(&graph(), Value::Null);
    let run = rig.try_submit(Submit { concurrency: Some(1), ..submit }).unwrap();
    let other = rig.submit(&graph(), Value::Null);
    rig.work();
    // Less of it is needed than of the one that fits, so that it stands before that one; the same of more, so that one stands behind it.
    for (path, cpu_millis) in [("nowhere", 1_000), ("larger", 3_000)] {
        let mut node = task(cpu_millis);
        node.needs.resources.gpus = 1;
        spawn(&mut rig, run, "a0", path, node);
    }
    spawn(&mut rig, run, "a0", "fits", task(2_000));
    rig.work();
    assert_eq!(rig.dispatched(), ["a0", "a0"], "there is no room for it beside the other run");
    end(&mut rig, other, "a0");
    rig.work();
    assert_eq!(rig.dispatched(), ["a0", "a0", "fits"]);
    end(&mut rig, run, "fits");
    end(&mut rig, run, "a0");
    assert_eq!(rig.finish(run).phase, Phase::Succeeded);
}

#[test]
fn what_waits_for_a_worker_is_at_work() {
    let mut rig = Rig::new([site("here").cores(8).spec()]);
    for path in ["one", "two"] {
        rig.on(path, [Answer::Silent]);
    }
    let steps = ["one", "two"].map(|id| step(id).uses("shop/price"));
    let graph = steps.into_iter().fold(flow("t/workers"), |flow, step| flow.step(step)).build();
    let submit = rig.submission(&graph, json!({}));
    let run = rig.try_submit(Submit { concurrency: Some(1), ..submit }).unwrap();
    rig.work();
    assert_eq!(rig.dispatched(), ["one"], "nobody has said that it began");
    end(&mut rig, run, "one");
    rig.work();
    assert_eq!(rig.dispatched(), ["one", "two"]);
    end(&mut rig, run, "two");
    assert_eq!(rig.finish(run).phase, Phase::Succeeded);
}

#[test]
fn asking_twice_is_asking_once_and_an_ended_parent_asks_for_nothing() {
    let (mut rig, run) = rig(4);
    spawn(&mut rig, run, "a0", "one", task(0));
    let again = ask(&rig, run, "a0", "one", task(0));
    assert!(rig.step(again).is_empty());
    rig.work();
    let again = ask(&rig, run, "a0", "one", task(0));
    assert!(rig.step(again).is_empty(), "also when it has ended");
    assert_eq!(rig.phase(run, "one"), Some(Phase::Succeeded));
    let node = ask(&rig, run, "a0", "a0", task(0));
    assert!(matches!(rig.try_step(node), Err(Rejection::Invalid(_))));
    let of_child = ask(&rig, run, "one", "late", task(0));
    assert!(matches!(rig.try_step(of_child), Err(Rejection::Conflict(_))));
    end(&mut rig, run, "a0");
    rig.finish(run);
    let parent = rig.action(run, "a0");
    let spawn = Spawn { parent, path: "x".into(), node: Arc::new(task(0)), ..Spawn::default() };
    assert!(matches!(rig.try_step(Command::Spawn(Box::new(spawn))), Err(Rejection::NotFound { .. })));
}

#[test]
fn a_child_that_fails_is_its_parents_business() {
    let (mut rig, run) = rig(4);
    let mut node = task(0);
    node.retry = Retry { max: 3, backoff_min: Duration(0), backoff_max: Duration(0), growth_percent: None };
    let permanent = Failure { permanent: true, code: Some("ValueError".into()), ..Failure::new(FailureClass::User, "no") };
    rig.on("one", [Answer::Fail(Failure::new(FailureClass::User, "again")), Answer::Fail(permanent)]);
    spawn(&mut rig, run, "a0", "one", node);
    rig.work();
    assert_eq!(rig.phase(run, "one"), Some(Phase::Failed));
    assert_eq!(rig.dispatched(), ["a0", "one", "one"], "what is permanent is not repeated");
    end(&mut rig, run, "a0");
    assert_eq!(rig.finish(run).phase, Phase::Succeeded);
}

#[test]
fn children_end_with_their_parent_at_any_depth() {
    let (mut rig, run) = rig(8);
    for path in ["one", "two", "three"] {
        rig.on(path, [Answer::Silent]);
    }
    spawn(&mut rig, run, "a0", "one", task(0));
    rig.work();
    spawn(&mut rig, run, "one", "two", task(0));
    spawn(&mut rig, run, "one", "large", task(900_000));
    rig.work();
    spawn(&mut rig, run, "two", "three", task(0));
    rig.work();
    rig.report(rig.attempt(run, "a0"), Outcome::Failed(Failure::new(FailureClass::User, "no")));
    let finished = rig.finish(run);
    assert_eq!(finished.phase, Phase::Failed);
    for path in ["one", "two", "three", "large"] {
        assert_eq!(rig.phase(run, path), Some(Phase::Aborted), "{path}");
    }
    assert_eq!(rig.state.fleet().queued(), 0);
}

#[test]
fn a_parent_that_is_repeated_finds_its_children() {
    let (mut rig, run) = rig(1);
    rig.on("one", [Answer::Silent]);
    spawn(&mut rig, run, "a0", "one", task(1_000));
    rig.work();
    rig.report(rig.attempt(run, "a0"), Outcome::Failed(Failure::new(FailureClass::NodeLost, "gone")));
    rig.advance(Duration::from_secs(5));
    rig.work();
    let path = rig.dispatched().last().cloned();
    assert_eq!(path.as_deref(), Some("one"), "the core is the child's");
    end(&mut rig, run, "one");
    rig.work();
    assert_eq!(rig.dispatched(), ["a0", "one", "a0"]);
    rig.restart();
    let again = ask(&rig, run, "a0", "one", task(1_000));
    assert!(rig.step(again).is_empty());
    end(&mut rig, run, "a0");
    assert_eq!(rig.finish(run).phase, Phase::Succeeded);
}

#[test]
fn one_child_is_stopped_with_what_it_asked_for() {
    let (mut rig, run) = rig(8);
    for path in ["one", "below", "other"] {
        rig.on(path, [Answer::Silent]);
    }
    spawn(&mut rig, run, "a0", "one", task(0));
    spawn(&mut rig, run, "a0", "other", task(0));
    rig.work();
    spawn(&mut rig, run, "one", "below", task(0));
    rig.work();
    let stop = |action| Command::StopAction { action, principal: "ada".into(), reason: "enough".into() };
    let root = stop(rig.action(run, "a0"));
    assert!(matches!(rig.try_step(root), Err(Rejection::Conflict(_))));
    let one = stop(rig.action(run, "one"));
    rig.step(one);
    rig.work();
    assert_eq!(rig.phase(run, "one"), Some(Phase::Aborted));
    assert_eq!(rig.phase(run, "below"), Some(Phase::Aborted));
    assert_eq!(rig.phase(run, "other"), None);
    end(&mut rig, run, "other");
    end(&mut rig, run, "a0");
    assert_eq!(rig.finish(run).phase, Phase::Succeeded);
}

#[test]
fn what_a_parent_did_by_itself_is_recorded_as_it_says() {
    let (mut rig, run) = rig(1);
    let parent = rig.action(run, "a0");
    let outcomes =
        [Outcome::Succeeded(json!({ "output_uri": "s3://b/o" })), Outcome::Failed(Failure::new(FailureClass::User, "no"))];
    for (number, outcome) in outcomes.into_iter().enumerate() {
        let (path, node) = (format!("trace{number}"), Arc::new(task(0)));
        let spawn = Spawn { parent, path, node, done: Some(outcome), ..Spawn::default() };
        rig.step(Command::Spawn(Box::new(spawn)));
    }
    assert_eq!(rig.phase(run, "trace0"), Some(Phase::Succeeded));
    assert_eq!(rig.phase(run, "trace1"), Some(Phase::Failed));
    assert_eq!(rig.state.fleet().sites()["here"].used.cpu_millis, 1_000, "it never stopped working");
    end(&mut rig, run, "a0");
    assert_eq!(rig.finish(run).phase, Phase::Succeeded);
}

#[test]
fn a_person_may_be_asked_on_the_way() {
    let (mut rig, run) = rig(1);
    let human = Node { id: "approve".into(), kind: NodeKind::Human, timeout: Some(Duration::from_secs(60)), ..Node::default() };
    for path in ["ask", "late"] {
        spawn(&mut rig, run, "a0", path, human.clone());
    }
    assert_eq!(rig.state.fleet().sites()["here"].used.cpu_millis, 0, "waiting for a person costs nothing");
    let action = rig.action(run, "ask");
    let (principal, groups, decision, form) = ("ada".into(), Vec::new(), "approve".into(), json!({ "value": 3 }));
    rig.step(Command::Decide { action, principal, groups, decision, form, reason: String::new() });
    assert_eq!(rig.phase(run, "ask"), Some(Phase::Succeeded));
    rig.advance(Duration::from_secs(61));
    assert_eq!(rig.phase(run, "late"), Some(Phase::TimedOut));
    end(&mut rig, run, "a0");
    assert_eq!(rig.finish(run).phase, Phase::Succeeded);
}
