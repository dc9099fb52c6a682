//! What `v32.journal` says: a person rejects, and says why.

use engine::Event;
use engine::event::*;
use model::{Digest, Payload};

pub(crate) fn events() -> Vec<Event> {
    let reason = Payload { commitment: Digest([9; 32]), size: 31, body: None };
    let decided = super::v1::events().into_iter().filter_map(|event| match event {
        Event::HumanDecided(decided) => {
            let decision = "reject".into();
            Some(Event::HumanDecided(Box::new(HumanDecided { decision, reason: Some(reason.clone()), ..*decided })))
        }
        _ => None,
    });
    decided.collect()
}
