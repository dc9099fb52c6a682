//! What `v9.journal` says: actions that are placed and wait for a worker, and one that a worker has begun.

use engine::Event;
use engine::event::*;
use model::{ActionNo, AttemptNo, Digest, Epoch, RunId};

pub(crate) fn events() -> Vec<Event> {
    let (run, action) = (RunId(9), ActionNo(1));
    vec![
        Event::ActionsPlaced(ActionsPlaced {
            run,
            site: "cloud".into(),
            epoch: Epoch(3),
            actions: vec![Placed { action, attempt: AttemptNo(2), awaits: vec![Digest([12; 32])] }],
            explanation: r#"{"sites":[{"site":"cloud","verdict":"chosen"}]}"#.into(),
            worker: Some("shop/price@1".into()),
        }),
        Event::AttemptStarted(AttemptStarted { run, action, attempt: AttemptNo(2), host: "worker shop-1".into() }),
    ]
}
