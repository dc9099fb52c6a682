//! What `v13.journal` says: questions that were shown to people and handed on.

use engine::Event;
use engine::event::*;
use model::{ActionNo, Digest, Payload, RunId};

pub(crate) fn events() -> Vec<Event> {
    let (run, action) = (RunId(9), ActionNo(3));
    let reason = Payload { body: None, ..Payload::new(&[7; 32], "on leave".into()) };
    vec![
        Event::HumanSeen(HumanSeen { run, action, principal: "rita".into(), shown: Digest([5; 32]) }),
        Event::HumanDelegated(Box::new(HumanDelegated {
            run,
            action,
            principal: "rita".into(),
            users: vec!["tom".into()],
            groups: vec!["leads".into(), "risk".into()],
            reason,
        })),
    ]
}
