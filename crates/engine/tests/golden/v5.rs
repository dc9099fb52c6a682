//! What `v5.journal` says: secrets released to an attempt, and runs that are erased.

use std::collections::BTreeMap;

use engine::Event;
use engine::event::*;
use model::{ActionNo, AttemptNo, RunId};

pub(crate) fn events() -> Vec<Event> {
    vec![
        Event::SecretsReleased(Box::new(SecretsReleased {
            run: RunId(7),
            action: ActionNo(3),
            attempt: AttemptNo(2),
            site: "onprem".into(),
            secrets: BTreeMap::from([("bank-token".to_owned(), 4), ("pin".to_owned(), 1)]),
        })),
        Event::DataErased(DataErased { runs: vec![RunId(7), RunId(9)], by_subject: true, principal: "operator".into() }),
    ]
}
