//! What `v8.journal` says: runs of a trigger that wait for one another, and firings that started none.

use engine::Event;
use engine::event::*;
use model::{RunId, Timestamp};

pub(crate) fn events() -> Vec<Event> {
    let run = RunId(8);
    let submitted = match super::v4::events().swap_remove(0) {
        Event::RunSubmitted(submitted) => {
            Event::RunSubmitted(Box::new(RunSubmitted { run, behind: Some(RunId(7)), ..*submitted }))
        }
        other => other,
    };
    vec![
        submitted,
        Event::RunBegan(ByWhom { run, principal: "trigger:nightly".into() }),
        Event::TriggerFired(Box::new(TriggerFired {
            trigger: "nightly".into(),
            due: Timestamp(1_799_999_999_999_999),
            run: Some(run),
            missed: 2,
            left_out: Some(LeftOut::QueueFull),
        })),
    ]
}
