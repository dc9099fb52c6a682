//! Workflows that a running action asks for, as actions of its run.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::event::RunLabelled;
use engine::{Command, Event, Outcome, Rejection, Spawn};
use model::limits::SUBWORKFLOW_DEPTH_MAX;
use model::{Carried, Failure, FailureClass, Graph, Label, Node, NodeKind, Phase, RunId};
use serde_json::{Value, json};
use testkit::{Answer, Rig, flow, site, step};

/// A rig whose run has one node, which runs and says nothing.
fn rig() -> (Rig, RunId) {
    let mut rig = Rig::new([site("here").cores(8).spec()]);
    rig.on("a0", [Answer::Silent, Answer::Silent]);
    let run = rig.submit(&flow("t/main").step(step("a0").task("env.main")).build(), Value::Null);
    rig.work();
    (rig, run)
}

/// Two nodes after one another, and an output.
fn greet() -> Arc<Graph> {
    let say = step("say").task("env.say").input(json!({ "name": "${ inputs.name }" }));
    let outputs = json!({ "said": "${ nodes.say.said }", "to": "${ inputs.name }" });
    flow("t/greet").input("name", None).step(say).step(step("last").task("env.last").after(&["say"])).outputs(outputs).build()
}

fn asked(rig: &Rig, run: RunId, parent: &str, path: &str, graph: Arc<Graph>) -> Spawn {
    let node = Node { id: "greet".into(), kind: NodeKind::Workflow { graph }, ..Node::default() };
    let (parent, input) = (rig.action(run, parent), Some(json!({ "name": "ada" })));
    Spawn { parent, path: path.into(), node: Arc::new(node), input, ..Spawn::default() }
}

fn ask(rig: &mut Rig, spawn: Spawn) -> Vec<Event> {
    rig.step(Command::Spawn(Box::new(spawn)))
}

fn end(rig: &mut Rig, run: RunId, path: &str, output: Value) {
    rig.report(rig.attempt(run, path), Outcome::Succeeded(output));
}

fn label_of(rig: &Rig, run: RunId, path: &str) -> Label {
    let key = rig.action(run, path);
    let held = rig.state.held();
    held.iter().find(|(held, ..)| *held == key).map(|(_, _, _, label, _)| label.clone()).unwrap()
}

#[test]
fn its_nodes_are_actions_of_the_run_and_its_output_is_what_it_came_to() {
    let (mut rig, run) = rig();
    for path in ["w/say", "w/last"] {
        rig.on(path, [Answer::Silent]);
    }
    let spawn = asked(&rig, run, "a0", "w", greet());
    ask(&mut rig, spawn.clone());
    rig.work();
    assert_eq!(rig.dispatched(), ["a0", "w/say"]);
    assert!(ask(&mut rig, spawn).is_empty(), "asked again it is the same");
    rig.restart();
    end(&mut rig, run, "w/say", json!({ "said": "hello" }));
    rig.work();
    assert_eq!(rig.phase(run, "w"), None, "a node of it is open");
    end(&mut rig, run, "w/last", json!({}));
    assert_eq!(rig.output(run, "w"), json!({ "said": "hello", "to": "ada" }));
    end(&mut rig, run, "a0", json!({}));
    assert_eq!(rig.finish(run).phase, Phase::Succeeded);
}

#[test]
fn one_that_fails_fails_alone() {
    let (mut rig, run) = rig();
    let code = Some("ValueError".to_owned());
    let failure = Failure { permanent: true, code: code.clone(), ..Failure::new(FailureClass::User, "it fell") };
    rig.on("w/say", [Answer::Fail(failure)]);
    rig.on("other", [Answer::Silent]);
    let (of_workflow, mut other) = (asked(&rig, run, "a0", "w", greet()), asked(&rig, run, "a0", "other", greet()));
    other.node = Arc::new(Node { id: "task".into(), kind: NodeKind::Task { name: "env.child".into() }, ..Node::default() });
    ask(&mut rig, of_workflow);
    ask(&mut rig, other);
    rig.work();
    let failed = rig.failure(run, "w").unwrap();
    assert_eq!((rig.phase(run, "w"), failed.class, failed.code.clone()), (Some(Phase::Failed), FailureClass::User, code));
    assert!(failed.message().contains("`w/say`: it fell"), "{failed}");
    assert_eq!(rig.phase(run, "other"), None, "nobody else is stopped for it");
    end(&mut rig, run, "other", json!({}));
    end(&mut rig, run, "a0", json!({}));
    assert_eq!(rig.finish(run).phase, Phase::Succeeded);
}

#[test]
fn one_is_stopped_with_all_of_it_by_itself_and_with_whoever_asked() {
    let (mut rig, run) = rig();
    for path in ["w/say", "v/say"] {
        rig.on(path, [Answer::Silent]);
    }
    for path in ["w", "v"] {
        let spawn = asked(&rig, run, "a0", path, greet());
        ask(&mut rig, spawn);
    }
    rig.work();
    let stop = Command::StopAction { action: rig.action(run, "w"), principal: "ada".into(), reason: "enough".into() };
    rig.step(stop);
    rig.work();
    assert_eq!([rig.phase(run, "w"), rig.phase(run, "w/say")], [Some(Phase::Aborted); 2]);
    assert_eq!([rig.phase(run, "v"), rig.phase(run, "v/say")], [None; 2]);
    end(&mut rig, run, "a0", json!({}));
    assert_eq!(rig.finish(run).phase, Phase::Succeeded);
    assert_eq!([rig.phase(run, "v"), rig.phase(run, "v/say")], [Some(Phase::Aborted); 2]);
}

#[test]
fn what_the_rules_refuse_fails_where_it_is_opened_and_too_deep_a_one_is_not_opened() {
    let (mut rig, run) = rig();
    let refused = Spawn { refused: Some("nobody may".into()), ..asked(&rig, run, "a0", "no", greet()) };
    ask(&mut rig, refused);
    let failure = rig.failure(run, "no").unwrap();
    assert_eq!((rig.phase(run, "no"), failure.class, failure.permanent), (Some(Phase::Failed), FailureClass::Refused, true));
    assert_eq!(rig.dispatched(), ["a0"], "nothing of it began");
    // Each asks for the next from within the one before.
    let within = flow("t/deep").step(step("asks").task("env.asks")).build();
    let mut parent = "a0".to_owned();
    for depth in 0..SUBWORKFLOW_DEPTH_MAX {
        let path = format!("d{depth}");
        rig.on(&format!("{path}/asks"), [Answer::Silent]);
        let spawn = asked(&rig, run, &parent, &path, within.clone());
        ask(&mut rig, spawn);
        rig.work();
        parent = format!("{path}/asks");
    }
    let deeper = Command::Spawn(Box::new(asked(&rig, run, &parent, "deeper", within)));
    assert!(matches!(rig.try_step(deeper), Err(Rejection::Invalid(_))));
    end(&mut rig, run, "a0", json!({}));
    assert_eq!(rig.finish(run).phase, Phase::Succeeded);
}

/// What a workflow can read and give whose inputs carry `phi`, and whose first node takes that off.
fn inside(run: RunId) -> RunLabelled {
    let all = |tags: &[&str]| Carried { all: Label::of(tags.iter().copied()), fields: BTreeMap::new() };
    RunLabelled {
        run,
        inputs: BTreeMap::from([("name".to_owned(), Label::of(["phi"]))]),
        reads: BTreeMap::from([("say".to_owned(), Label::of(["phi"])), ("last".to_owned(), Label::of(["eu"]))]),
        gives: BTreeMap::from([(String::new(), all(&["eu"])), ("say".to_owned(), all(&["eu"]))]),
        ..RunLabelled::default()
    }
}

#[test]
fn its_nodes_carry_what_was_counted_and_what_came_in_between() {
    let (mut rig, run) = rig();
    for path in ["w/say", "w/last", "later"] {
        rig.on(path, [Answer::Silent]);
    }
    // The rules were asked before `late` had come to whoever asks.
    let entered = BTreeMap::from([("phi".to_owned(), "a rule".to_owned()), ("late".to_owned(), "another".to_owned())]);
    let spawn = Spawn { entered, inside: Some(Box::new(inside(run))), ..asked(&rig, run, "a0", "w", greet()) };
    ask(&mut rig, spawn);
    rig.work();
    assert_eq!(label_of(&rig, run, "w/say"), Label::of(["phi", "late"]));
    assert_eq!(label_of(&rig, run, "a0"), Label::empty(), "it was told nothing yet");
    rig.restart();
    end(&mut rig, run, "w/say", json!({ "said": "hello" }));
    rig.work();
    assert_eq!(label_of(&rig, run, "w/last"), Label::of(["eu", "late"]));
    end(&mut rig, run, "w/last", json!({}));
    assert_eq!(label_of(&rig, run, "a0"), Label::of(["eu", "late"]), "what it gives, and not what it reads");
    assert_eq!(rig.state.take_grown().len(), 1);
}

#[test]
fn of_one_that_fails_nothing_is_told_that_whoever_asked_does_not_carry() {
    // What its inputs carry entered with them, and is not with whoever asks: its label has it, and theirs does not.
    for entered in [BTreeMap::new(), BTreeMap::from([("phi".to_owned(), "a rule".to_owned())])] {
        let (mut rig, run) = rig();
        rig.on("w/say", [Answer::Fail(Failure { permanent: true, ..Failure::new(FailureClass::User, "the patient is eva") })]);
        let inside = Some(Box::new(inside(run)));
        let spawn = Spawn { entered, inside, ..asked(&rig, run, "a0", "w", greet()) };
        ask(&mut rig, spawn);
        rig.work();
        let failure = rig.failure(run, "w").unwrap();
        assert!(!failure.message().contains("eva") && failure.message().contains("phi"), "{failure}");
        assert_eq!(label_of(&rig, run, "a0"), Label::empty());
        assert!(rig.failure(run, "w/say").unwrap().message().contains("eva"), "whoever may see the node is told");
    }
}
