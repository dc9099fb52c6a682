//! What `v15.journal` says: work that a running action asked for and that carries tags of its own.

use std::collections::BTreeMap;

use engine::Event;
use engine::event::*;
use model::{ActionNo, Digest, Duration, Label, Payload, RunId};

pub(crate) fn events() -> Vec<Event> {
    let opened = Opened {
        action: ActionNo(4),
        role: Role::Child { parent: ActionNo(0) },
        scope: 0,
        node: 0,
        input: Some(Payload { body: None, ..Payload::new(&[7; 32], "call".into()) }),
        label: Label::of(["pii", "phi"]),
        recall: Some(RecallKey { kind: RecallKind::Cache, key: Digest([2; 32]), max_age: Some(Duration(9)) }),
        path: "3kq".into(),
        kind: ActionKind::Task,
        instant: false,
    };
    let entered = BTreeMap::from([("phi".to_owned(), "the task `scan.read`".to_owned())]);
    vec![Event::ChildOpened(Box::new(ChildOpened {
        run: RunId(9),
        opened,
        definition: "{\"task\":\"scan.read\"}".into(),
        entered: Some(entered),
        inside: None,
    }))]
}
