//! Folding facts into the state. These rules are stable for ever: journals of earlier versions must fold to the same state.
//! Nothing is decided here and nothing can fail; a fact about something unknown changes nothing.

mod actions;
mod attempts;
mod endings;
mod fleet;
mod runs;

pub(crate) use attempts::demand_of;
use model::Timestamp;

use crate::{Event, State};

/// Kinds of resources that say where work may run.
const GOVERNING: [&str; 4] = ["tag", "policy", "sanitizer", "approval"];

pub(crate) fn evolve(state: &mut State, event: &Event, at: Timestamp) {
    match event {
        Event::RunSubmitted(e) => runs::submitted(state, e, at),
        Event::RunCancelRequested(e) => runs::cancel_requested(state, e),
        Event::RunFailing(e) => runs::failing(state, e),
        Event::RunPaused(e) => runs::paused(state, e.run, true),
        Event::RunResumed(e) => runs::paused(state, e.run, false),
        Event::RunBegan(e) => runs::began(state, e.run, at),
        Event::RunFinished(e) => runs::finished(state, e),
        Event::SignalReceived(e) => runs::signal(state, e),
        Event::CompensationStarted(e) => runs::compensation(state, e),
        Event::NodesSkipped(e) => runs::skipped(state, e),
        Event::RunPlanned(e) => runs::planned(state, e),
        Event::RunLabelled(e) => runs::labelled(state, e),

        Event::ActionsOpened(e) => actions::opened(state, e, at),
        Event::ChildOpened(e) => actions::child_opened(state, e, at),
        Event::ActionsPlaced(e) => attempts::placed(state, e, at),
        Event::ActionsParked(e) => attempts::parked(state, e),
        Event::AttemptStarted(e) => attempts::started(state, e),
        Event::AttemptFinished(e) => attempts::attempt_finished(state, e, at),
        Event::RetryDue(e) => attempts::retry_due(state, (*e).into(), at),
        Event::ActionFinished(e) => actions::finished(state, e, at),
        Event::CancelRequested(e) => attempts::cancel_requested(state, e, at),
        Event::HumanDecided(e) => actions::human_decided(state, e),
        Event::HumanEscalated(e) => actions::human_escalated(state, e, at),
        Event::HumanDelegated(e) => actions::human_delegated(state, e),
        Event::HumanSeen(e) => actions::human_seen(state, e),
        Event::RecallAsked(e) => actions::recall_asked(state, e),
        Event::RecallMissed(e) => actions::recall_missed(state, (*e).into(), at),

        Event::EpochBegan(e) => state.fleet.epoch = e.epoch,
        Event::SiteRegistered(e) => fleet::registered(state, e),
        Event::SiteRemoved(e) => fleet::removed(state, &e.site),
        Event::SiteCordoned(e) => fleet::cordon(state, &e.site, true, false),
        Event::SiteUncordoned(e) => fleet::cordon(state, &e.site, false, false),
        Event::SiteDrained(e) => fleet::cordon(state, &e.site, true, true),
        Event::SiteHealthChanged(e) => fleet::health(state, e),
        Event::PoolSized(e) => fleet::pool(state, e),
        Event::ResourceApplied(e) => {
            state.fleet.resources.insert((e.kind.clone(), e.name.clone()), e.version);
            // What was refused may be permitted now.
            state.passing.room |= GOVERNING.contains(&e.kind.as_str());
        }
        Event::ResourceDeleted(e) => {
            state.fleet.resources.remove(&(e.kind.clone(), e.name.clone()));
            state.passing.room |= GOVERNING.contains(&e.kind.as_str());
        }

        Event::ArtifactsLabelled(e) => runs::artifacts_labelled(state, e),

        // Facts that only projections and people care about.
        Event::ReportIgnored(_)
        | Event::OutputKept(_)
        | Event::ActionStopRequested(_)
        | Event::TriggerFired(_)
        | Event::BodiesPruned(_)
        | Event::SecretsReleased(_)
        | Event::TicketIssued(_)
        | Event::EgressDecided(_)
        | Event::NetworkUsed(_)
        | Event::DataErased(_) => {}
    }
}
