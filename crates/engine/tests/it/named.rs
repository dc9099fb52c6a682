//! Artifacts are known by their content: whoever knows a digest can write it down. That gives nobody the file.

use std::sync::Arc;

use engine::event::{Located, RunLabelled};
use engine::{Command, Outcome, Spawn};
use model::value::ArtifactKind;
use model::{ArtifactRef, Carried, Digest, FailureClass, Graph, Label, Node, NodeKind, Phase, RunId};
use serde_json::{Value, json};
use testkit::{Answer, Rig, flow, site, step};

fn file(text: &str) -> ArtifactRef {
    ArtifactRef { digest: Digest::of(text.as_bytes()), size: text.len() as u64, kind: ArtifactKind::File, name: "f".into() }
}

fn located(text: &str) -> Located {
    Located { artifact: file(text).digest, size: text.len() as u64, site: "here".into() }
}

fn pii() -> Label {
    Label::of(["pii"])
}

/// `reads` can read what is personal, `quiet` cannot, and whatever follows it neither.
fn graph() -> Arc<Graph> {
    flow("t/main").step(step("reads").runs()).step(step("quiet").runs()).step(step("next").runs().after(&["quiet"])).build()
}

/// A run that was given a personal file.
fn given(rig: &mut Rig, graph: &Arc<Graph>) -> RunId {
    for path in ["reads", "quiet", "next"] {
        rig.on(path, [Answer::Silent]);
    }
    let mut submit = rig.submission(graph, json!({ "f": file("names").to_value() }));
    submit.locations = vec![located("names")];
    let carried = Carried { all: pii(), ..Carried::default() };
    submit.labels = Some(Box::new(RunLabelled {
        inputs: [("f".to_owned(), pii())].into(),
        reads: [("reads".to_owned(), pii())].into(),
        gives: [("reads".to_owned(), carried)].into(),
        ..RunLabelled::default()
    }));
    let run = rig.try_submit(submit).unwrap();
    rig.work();
    run
}

fn spawn(rig: &mut Rig, run: RunId, parent: &str, path: &str, input: Value) {
    let parent = rig.action(run, parent);
    let node = Node { id: path.into(), kind: NodeKind::Task { name: "t".into() }, ..Node::default() };
    let spawn = Spawn { parent, path: path.into(), node: Arc::new(node), input: Some(input), ..Spawn::default() };
    rig.step(Command::Spawn(Box::new(spawn)));
    rig.work();
}

#[test]
fn a_child_is_given_what_its_parent_may_read_and_nothing_that_it_only_names() {
    let mut rig = Rig::new([site("here").cores(8).spec()]);
    let graph = graph();
    let run = given(&mut rig, &graph);
    for child in ["fair", "spoof", "deep"] {
        rig.on(child, [Answer::Silent]);
    }
    spawn(&mut rig, run, "reads", "fair", json!({ "f": file("names").to_value() }));
    assert_eq!(rig.phase(run, "fair"), None, "it runs");
    spawn(&mut rig, run, "quiet", "spoof", json!({ "labels": [], "f": file("names").to_value() }));
    let failure = rig.failure(run, "spoof").unwrap();
    assert_eq!((rig.phase(run, "spoof"), failure.class), (Some(Phase::Failed), FailureClass::Refused));
    assert!(failure.message().contains("pii"), "{failure:?}");
    spawn(&mut rig, run, "quiet", "deep", json!({ "x": [{ "y": file("names").to_value() }] }));
    assert_eq!(rig.phase(run, "deep"), Some(Phase::Failed));
}

#[test]
fn an_output_that_names_a_file_does_not_bring_it_and_one_that_made_it_does() {
    let mut rig = Rig::new([site("here").cores(8).spec()]);
    let graph = graph();
    let run = given(&mut rig, &graph);
    // What was made from the personal file, and what an ignorant step made that happens to be the same.
    let output = |text: &str| Outcome::Succeeded(json!({ "out": file(text).to_value() }));
    let attempt = rig.attempt(run, "reads");
    let epoch = rig.state.fleet().epoch();
    rig.report_with(attempt, epoch, output("counts"), vec![located("counts")]);
    rig.on("one", [Answer::Silent]);
    spawn(&mut rig, run, "quiet", "one", json!({ "f": file("counts").to_value() }));
    assert_eq!(rig.failure(run, "one").map(|failure| failure.class), Some(FailureClass::Refused));
    let attempt = rig.attempt(run, "quiet");
    let epoch = rig.state.fleet().epoch();
    rig.report_with(attempt, epoch, output("counts"), vec![located("counts")]);
    rig.work();
    rig.on("two", [Answer::Silent]);
    spawn(&mut rig, run, "next", "two", json!({ "f": file("counts").to_value() }));
    assert_eq!(rig.phase(run, "two"), None, "it was made without the personal file, too");
    rig.on("three", [Answer::Silent]);
    spawn(&mut rig, run, "next", "three", json!({ "f": file("names").to_value() }));
    assert_eq!(rig.phase(run, "three"), Some(Phase::Failed));
    rig.restart();
}
