//! What work that a running action asks for carries, and what its results bring back.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::event::{RecallKey, RecallKind};
use engine::{Command, Event, Outcome, Placement, Spawn};
use model::{Digest, Failure, FailureClass, Label, Node, NodeKind, Phase, RunId};
use serde_json::{Value, json};
use testkit::{Answer, Rig, flow, site, step};

fn rig() -> (Rig, RunId) {
    let mut rig = Rig::new([site("here").cores(8).spec()]);
    rig.on("a0", [Answer::Silent, Answer::Silent]);
    let run = rig.submit(&flow("t/main").step(step("a0").task("env.main")).build(), Value::Null);
    rig.work();
    (rig, run)
}

fn asked(rig: &Rig, run: RunId, parent: &str, path: &str, tags: &[&str]) -> Spawn {
    let node = Node { id: "task".into(), kind: NodeKind::Task { name: "env.child".into() }, ..Node::default() };
    let entered: BTreeMap<String, String> = tags.iter().map(|tag| ((*tag).to_owned(), "a rule".to_owned())).collect();
    Spawn { parent: rig.action(run, parent), path: path.into(), node: Arc::new(node), entered, ..Spawn::default() }
}

fn spawn(rig: &mut Rig, asked: Spawn) -> Vec<Event> {
    rig.step(Command::Spawn(Box::new(asked)))
}

/// Places an action at a site, or refuses it everywhere.
fn place(rig: &mut Rig, run: RunId, path: &str, at: Result<&str, &str>) -> Vec<Event> {
    let (site, refused) = (at.ok().map(str::to_owned), at.err().map(str::to_owned));
    let (actions, explanation) = (vec![rig.action(run, path)], "{}".into());
    rig.step(Command::Place(vec![Placement { actions, site, explanation, by_worker: false, refused }]))
}

fn label_of(rig: &Rig, run: RunId, path: &str) -> Label {
    let key = rig.action(run, path);
    let held = rig.state.held();
    held.iter().find(|(held, ..)| *held == key).map(|(_, _, _, label, _)| label.clone()).unwrap()
}

#[test]
fn a_child_carries_what_its_parent_does_and_what_enters_and_its_result_brings_that_back() {
    let (mut rig, run) = rig();
    rig.on("one", [Answer::Silent]);
    rig.on("deep", [Answer::Silent]);
    let one = asked(&rig, run, "a0", "one", &["phi"]);
    let events = spawn(&mut rig, one);
    assert!(
        matches!(&events[0], Event::ChildOpened(e) if e.opened.label == Label::of(["phi"]) && e.entered.is_some()),
        "{events:?}"
    );
    rig.work();
    let deep = asked(&rig, run, "one", "deep", &["genome"]);
    spawn(&mut rig, deep);
    rig.work();
    assert_eq!(label_of(&rig, run, "deep"), Label::of(["phi", "genome"]));
    assert_eq!(label_of(&rig, run, "a0"), Label::empty(), "it was told nothing yet");
    rig.report(rig.attempt(run, "deep"), Outcome::Succeeded(json!({})));
    assert_eq!(label_of(&rig, run, "one"), Label::of(["phi", "genome"]));
    assert_eq!(rig.state.take_grown().len(), 1);
    rig.report(rig.attempt(run, "one"), Outcome::Succeeded(json!({})));
    assert_eq!(label_of(&rig, run, "a0"), Label::of(["phi", "genome"]));
    let later = asked(&rig, run, "a0", "later", &[]);
    let events = spawn(&mut rig, later);
    assert!(matches!(&events[0], Event::ChildOpened(e) if e.opened.label == Label::of(["phi", "genome"])), "{events:?}");
}

#[test]
fn what_follows_a_node_carries_what_came_to_it() {
    let mut rig = Rig::new([site("here").cores(8).spec()]);
    rig.on("a0", [Answer::Silent]);
    rig.on("one", [Answer::Silent]);
    rig.on("next", [Answer::Silent]);
    let graph = flow("t/main").step(step("a0").task("env.main")).step(step("next").task("env.next").after(&["a0"])).build();
    let run = rig.submit(&graph, Value::Null);
    rig.work();
    let one = asked(&rig, run, "a0", "one", &["phi"]);
    spawn(&mut rig, one);
    rig.work();
    rig.report(rig.attempt(run, "one"), Outcome::Succeeded(json!({})));
    rig.report(rig.attempt(run, "a0"), Outcome::Succeeded(json!({})));
    rig.work();
    assert_eq!(label_of(&rig, run, "next"), Label::of(["phi"]));
}

#[test]
fn what_never_ran_tells_nothing_and_what_failed_does() {
    let mut rig = Rig::new([site("here").cores(8).spec()]).unplaced();
    rig.on("a0", [Answer::Silent]);
    let run = rig.submit(&flow("t/main").step(step("a0").task("env.main")).build(), Value::Null);
    place(&mut rig, run, "a0", Ok("here"));
    rig.work();
    let one = asked(&rig, run, "a0", "one", &["phi"]);
    spawn(&mut rig, one);
    let events = place(&mut rig, run, "one", Err("nowhere: `no-phi` forbids it"));
    let finished = events.iter().find_map(|event| match event {
        Event::ActionFinished(e) => Some((e.phase, e.failure.clone().unwrap())),
        _ => None,
    });
    let (phase, failure) = finished.unwrap();
    assert_eq!((phase, failure.class, failure.permanent), (Phase::Failed, FailureClass::Refused, true));
    let text = failure.text.and_then(|text| text.body).unwrap_or_default();
    assert!(text.as_str().is_some_and(|text| text.contains("no-phi")), "{events:?}");
    assert!(matches!(events[0], Event::ActionsParked(_)), "{events:?}");
    assert_eq!(label_of(&rig, run, "a0"), Label::empty());
    rig.on("two", [Answer::Silent]);
    let two = asked(&rig, run, "a0", "two", &["phi"]);
    spawn(&mut rig, two);
    place(&mut rig, run, "two", Ok("here"));
    rig.work();
    rig.report(rig.attempt(run, "two"), Outcome::Failed(Failure::new(FailureClass::User, "it says what it read")));
    assert_eq!(label_of(&rig, run, "a0"), Label::of(["phi"]));
}

#[test]
fn what_an_earlier_run_did_is_taken_with_its_tags() {
    let (mut rig, run) = rig();
    let asked = Spawn { reused: Some(json!({"output_uri": "s3://x"})), ..asked(&rig, run, "a0", "one", &["phi"]) };
    let events = spawn(&mut rig, asked);
    assert!(matches!(&events[1], Event::ActionFinished(e) if e.reused && e.phase == Phase::Succeeded), "{events:?}");
    assert_eq!(label_of(&rig, run, "a0"), Label::of(["phi"]));
}

#[test]
fn what_is_remembered_of_data_with_other_tags_is_another_thing() {
    let (mut rig, run) = rig();
    let recall = RecallKey { kind: RecallKind::Cache, key: Digest::of(b"key"), max_age: None };
    let mut keys = Vec::new();
    for (path, tags) in [("one", &[][..]), ("two", &["phi"]), ("three", &["phi"])] {
        let asked = Spawn { recall: Some(recall.clone()), ..asked(&rig, run, "a0", path, tags) };
        for event in spawn(&mut rig, asked) {
            if let Event::ChildOpened(e) = event {
                keys.push(e.opened.recall.unwrap().key);
            }
        }
    }
    assert!(keys[0] == recall.key && keys[1] != keys[0] && keys[1] == keys[2], "{keys:?}");
}
