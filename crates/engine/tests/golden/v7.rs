//! What `v7.journal` says: an attempt that used up its memory and is repeated with more.

use engine::Event;
use engine::event::*;
use model::{Failure, FailureClass};

pub(crate) fn events() -> Vec<Event> {
    let ended = super::v1::events().into_iter().find_map(|event| match event {
        Event::AttemptFinished(ended) => Some(*ended),
        _ => None,
    });
    let more = |ended: AttemptFinished| {
        let failure =
            ended.failure.map(|failure| Failure { class: FailureClass::Oom, code: Some("MemoryError".into()), ..failure });
        Event::AttemptFinished(Box::new(AttemptFinished { failure, memory_bytes: Some(2 << 30), ..ended }))
    };
    ended.map(more).into_iter().collect()
}
