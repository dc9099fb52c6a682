//! What `v31.journal` says: a repetition that takes over what items of a map gave, with where these stood in their list.

use engine::Event;
use engine::event::*;

pub(crate) fn events() -> Vec<Event> {
    let submitted = super::v30::events().into_iter().map(|event| match event {
        Event::RunSubmitted(submitted) => {
            let items = submitted.reused_items.iter().flatten().cloned();
            let reused_items = Some(items.map(|item| ReusedItem { index: Some(2), ..item }).collect());
            Event::RunSubmitted(Box::new(RunSubmitted { reused_items, ..*submitted }))
        }
        other => other,
    });
    submitted.collect()
}
