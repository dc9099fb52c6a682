//! What `v30.journal` says: a repetition that takes over what items of a map gave.

use engine::Event;
use engine::event::*;
use model::{Digest, Payload};

pub(crate) fn events() -> Vec<Event> {
    let output = Payload { commitment: Digest([7; 32]), size: 107, body: None };
    let locations = vec![Located { artifact: Digest([8; 32]), size: 5_000_000_000, site: "on-premise".into() }];
    let item = ReusedItem { node: 4, input: Digest([6; 32]), output, locations, index: None };
    let submitted = super::v23::events().into_iter().filter_map(|event| match event {
        Event::RunSubmitted(submitted) => {
            let reused_items = Some(vec![item.clone()]);
            Some(Event::RunSubmitted(Box::new(RunSubmitted { reused_items, ..*submitted })))
        }
        _ => None,
    });
    submitted.collect()
}
