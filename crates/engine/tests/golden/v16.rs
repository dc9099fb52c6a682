//! What `v16.journal` says: labels of runs, and an action that took too long over all its attempts.

use std::collections::BTreeMap;

use engine::Event;
use engine::event::*;
use model::{ActionNo, RunId};

pub(crate) fn events() -> Vec<Event> {
    let run_labels = Some(BTreeMap::from([("stage".to_owned(), String::new()), ("team".to_owned(), "ml".to_owned())]));
    let submitted = match super::v8::events().swap_remove(0) {
        Event::RunSubmitted(submitted) => Event::RunSubmitted(Box::new(RunSubmitted { run_labels, ..*submitted })),
        other => other,
    };
    vec![
        submitted,
        Event::CancelRequested(CancelRequested {
            run: RunId(7),
            actions: vec![ActionNo(1)],
            why: CancelReason::Deadline,
            ended: vec![ActionNo(2)],
        }),
    ]
}
