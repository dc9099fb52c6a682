//! What `v26.journal` says: places of a site that are kept started for work that is expected.

use engine::Event;
use engine::event::PoolSized;
use model::Duration;

pub(crate) fn events() -> Vec<Event> {
    vec![Event::PoolSized(Box::new(PoolSized {
        site: "burst".into(),
        pieces: 3,
        an_hour: 180,
        boot: Duration::from_secs(60),
        why: "about 180 begin in the next hour, and a place takes 1m to start: 3 begin meanwhile".into(),
    }))]
}
