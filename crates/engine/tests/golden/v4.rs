//! What `v4.journal` says: what runs and artifacts carry, and the trace that a run belongs to.

use std::collections::BTreeMap;

use engine::Event;
use engine::event::*;
use model::{ActionNo, Carried, Digest, Label, RunId};

pub(crate) fn events() -> Vec<Event> {
    let run = RunId(7);
    let label = Label::of(["phi", "pii.ssn"]);
    let carried = Carried { all: Label::of(["phi"]), fields: BTreeMap::from([("scan".to_owned(), Label::of(["raw"]))]) };
    let submitted = match super::v1::events().swap_remove(0) {
        Event::RunSubmitted(submitted) => {
            let traceparent = Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned());
            Event::RunSubmitted(Box::new(RunSubmitted { traceparent, ..*submitted }))
        }
        other => other,
    };
    vec![
        submitted,
        Event::RunLabelled(Box::new(RunLabelled {
            run,
            rules: Some(Digest([3; 32])),
            inputs: BTreeMap::from([("study".to_owned(), label.clone())]),
            reads: BTreeMap::from([("score".to_owned(), label.clone())]),
            gives: BTreeMap::from([("score".to_owned(), carried)]),
            lowered: BTreeMap::from([("deid".to_owned(), "deidentify".to_owned())]),
            vouched: None,
        })),
        Event::ArtifactsLabelled(ArtifactsLabelled {
            run,
            action: Some(ActionNo(2)),
            labels: BTreeMap::from([(Digest([9; 32]), label.clone())]),
        }),
        Event::CancelRequested(CancelRequested {
            run,
            actions: vec![ActionNo(1)],
            why: CancelReason::Denied,
            ended: vec![ActionNo(2)],
        }),
    ]
}
