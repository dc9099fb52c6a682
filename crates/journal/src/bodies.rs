//! Bodies of payloads: they lie beside the journal, numbered within their entry in the order of the walk below, and can be destroyed
//! without touching a hash.

use engine::Event;
use model::Payload;

/// The number under which a run's salt lies with its submission.
pub(crate) const SALT: i64 = -1;

/// Calls `visit` with every payload of an event, always in the same order.
pub(crate) fn walk<'e>(event: &'e mut Event, visit: &mut dyn FnMut(&'e mut Payload)) {
    event.each_payload(visit);
}
