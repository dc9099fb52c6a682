//! What `v11.journal` says: what an attempt did with the ways into the network that it was given.

use std::collections::BTreeMap;

use engine::Event;
use engine::event::*;
use model::{ActionNo, AttemptNo, RunId};

pub(crate) fn events() -> Vec<Event> {
    let way = WayUsed { connections: 3, failed: 1, cut: 1, sent: 4_096, received: 1 << 33 };
    vec![Event::NetworkUsed(Box::new(NetworkUsed {
        run: RunId(7),
        action: ActionNo(3),
        attempt: AttemptNo(2),
        site: "onprem".into(),
        ways: BTreeMap::from([("api.bank.example:443".to_owned(), way), ("shared-folder:0".to_owned(), WayUsed::default())]),
        refused: 2,
    }))]
}
