//! Bodies of payloads: they lie beside the journal, numbered within their entry in the order of the walk below, and can be destroyed
//! without touching a hash.

use engine::Event;
use model::Payload;

/// The number under which a run's salt lies with its submission.
pub(crate) const SALT: i64 = -1;

/// Calls `visit` with every payload of an event, always in the same order.
pub(crate) fn walk<'e>(event: &'e mut Event, visit: &mut dyn FnMut(&'e mut Payload)) {
    match event {
        Event::RunSubmitted(e) => {
            visit(&mut e.inputs);
            e.reused.iter_mut().for_each(|reused| visit(&mut reused.output));
        }
        Event::ActionsOpened(e) => e.actions.iter_mut().filter_map(|opened| opened.input.as_mut()).for_each(visit),
        Event::AttemptFinished(e) => e.output.iter_mut().for_each(visit),
        Event::ActionFinished(e) => e.output.iter_mut().for_each(visit),
        Event::RunFinished(e) => e.outputs.iter_mut().for_each(visit),
        Event::HumanDecided(e) => visit(&mut e.form),
        Event::SignalReceived(e) => visit(&mut e.payload),
        Event::OutputKept(e) => visit(&mut e.output),
        Event::ResourceApplied(e) => visit(&mut e.body),
        _ => {}
    }
}
