//! What `v21.journal` says: a workflow that a running action asked for, with what its nodes can read and give.

use std::collections::BTreeMap;

use engine::Event;
use engine::event::*;
use model::{ActionNo, Carried, Digest, Duration, Label, Payload, RunId};

pub(crate) fn events() -> Vec<Event> {
    let opened = Opened {
        action: ActionNo(2),
        role: Role::Child { parent: ActionNo(0) },
        scope: 0,
        node: 0,
        input: Some(Payload { body: None, ..Payload::new(&[7; 32], "call".into()) }),
        label: Label::of(["phi"]),
        recall: Some(RecallKey { kind: RecallKind::Cache, key: Digest([2; 32]), max_age: Some(Duration(9)) }),
        path: "7wd".into(),
        kind: ActionKind::Workflow,
        instant: false,
    };
    let carried = |tags: &[&str]| {
        let fields = BTreeMap::from([("report".to_owned(), Label::of(["phi"]))]);
        Carried { all: Label::of(tags.iter().copied()), fields }
    };
    let inside = RunLabelled {
        run: RunId(9),
        rules: Some(Digest([5; 32])),
        inputs: BTreeMap::from([("flyte".to_owned(), Label::of(["phi"]))]),
        reads: BTreeMap::from([
            ("workflow".to_owned(), Label::of(["phi"])),
            ("workflow/clean".to_owned(), Label::of(["phi"])),
            ("workflow/send".to_owned(), Label::of(["eu"])),
        ]),
        gives: BTreeMap::from([(String::new(), carried(&["eu"])), ("workflow/clean".to_owned(), carried(&["eu"]))]),
        lowered: BTreeMap::from([("workflow/clean".to_owned(), "scrub".to_owned())]),
        vouched: None,
    };
    vec![Event::ChildOpened(Box::new(ChildOpened {
        run: RunId(9),
        opened,
        definition: "{\"workflow\":\"loan\"}".into(),
        entered: Some(BTreeMap::from([("phi".to_owned(), "the task `loan`".to_owned())])),
        inside: Some(Box::new(inside)),
    }))]
}
