//! What `v14.journal` says: failures whose sentence is a value, and no part of the entry.

use engine::Event;
use engine::event::*;
use model::{ActionNo, AttemptNo, Digest, Failure, FailureClass, Money, Payload, Phase, RunId, Timestamp};

fn failure() -> Failure {
    let text = Payload { body: None, ..Payload::new(&[7; 32], "no such key: `ann@example.org`".into()) };
    Failure { exit_code: Some(1), code: Some("KeyError".into()), text: Some(text), ..Failure::new(FailureClass::User, "") }
}

pub(crate) fn events() -> Vec<Event> {
    let (run, action) = (RunId(7), ActionNo(3));
    let output = |n: u8| Some(Payload { commitment: Digest([n; 32]), size: 10, body: None });
    let locations = || vec![Located { artifact: Digest([9; 32]), size: 1, site: "here".into() }];
    vec![
        Event::AttemptFinished(Box::new(AttemptFinished {
            run,
            action,
            attempt: AttemptNo(2),
            phase: Phase::Failed,
            output: output(1),
            failure: Some(failure()),
            usage: Usage::default(),
            cost: Money(1),
            retry_at: Some(Timestamp(2)),
            locations: locations(),
            memory_bytes: Some(3),
        })),
        Event::ActionFinished(Box::new(ActionFinished {
            run,
            action,
            phase: Phase::Failed,
            output: output(2),
            failure: Some(failure()),
            reused: true,
            locations: locations(),
        })),
        Event::RunFailing(RunFailing { run, action: Some(action), failure: failure() }),
        Event::RunFinished(Box::new(RunFinished {
            run,
            phase: Phase::Failed,
            outputs: output(3),
            failure: Some(failure()),
            cost: Money(3),
        })),
    ]
}
