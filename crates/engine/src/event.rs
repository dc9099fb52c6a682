//! Events: the facts that make up the journal. A field number or variant number, once released, never changes its meaning;
//! new fields are optional. `golden/` holds journals of earlier versions that must still read.

mod actions;
mod attempts;
mod fleet;
mod labels;
mod runs;

pub use actions::*;
pub use attempts::*;
pub use fleet::*;
pub use labels::*;
pub use runs::*;

use minicbor::{Decode, Encode};
use model::{Failure, Payload, RunId};

/// The number of a scope within its run: the graph of the run itself is 0, each sub-workflow opens another.
pub type ScopeNo = u32;

/// A fact. The journal stores it with its time, its run and its position.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub enum Event {
    /// A run was accepted.
    #[n(0)]
    RunSubmitted(#[n(0)] Box<RunSubmitted>),
    /// Actions came into being.
    #[n(1)]
    ActionsOpened(#[n(0)] ActionsOpened),
    /// Nodes were left out.
    #[n(2)]
    NodesSkipped(#[n(0)] NodesSkipped),
    /// Actions were given a place: the decision of the placer, with its reasons.
    #[n(3)]
    ActionsPlaced(#[n(0)] ActionsPlaced),
    /// The gate or the placer found no place for these actions for now, with the reason. They stay queued.
    #[n(4)]
    ActionsParked(#[n(0)] ActionsParked),
    /// An attempt's process began.
    #[n(5)]
    AttemptStarted(#[n(0)] AttemptStarted),
    /// An attempt ended, and with it the action unless it is to be repeated.
    #[n(6)]
    AttemptFinished(#[n(0)] Box<AttemptFinished>),
    /// A pause before a repeat is over.
    #[n(7)]
    RetryDue(#[n(0)] ActionRef),
    /// An action that is not placed (or whose fate does not hang on an attempt) ended.
    #[n(8)]
    ActionFinished(#[n(0)] Box<ActionFinished>),
    /// A report came that no longer mattered: of an earlier attempt, of an ended action, of an older epoch.
    #[n(9)]
    ReportIgnored(#[n(0)] ReportIgnored),
    /// An attempt was given up and its executor told to stop it.
    #[n(10)]
    CancelRequested(#[n(0)] CancelRequested),
    /// The whole run was asked to stop.
    #[n(11)]
    RunCancelRequested(#[n(0)] RunCancelRequested),
    /// A node failed for good; the run is winding up.
    #[n(12)]
    RunFailing(#[n(0)] RunFailing),
    /// Nothing new is opened or placed until the run is resumed.
    #[n(13)]
    RunPaused(#[n(0)] ByWhom),
    /// The run goes on.
    #[n(14)]
    RunResumed(#[n(0)] ByWhom),
    /// The run ended.
    #[n(15)]
    RunFinished(#[n(0)] Box<RunFinished>),
    /// A person decided. With a second person to come the action stays open.
    #[n(16)]
    HumanDecided(#[n(0)] Box<HumanDecided>),
    /// An undecided human action was offered to the next in line.
    #[n(17)]
    HumanEscalated(#[n(0)] HumanEscalated),
    /// A signal was sent to the run; waits for it end, or it is kept until one asks.
    #[n(18)]
    SignalReceived(#[n(0)] SignalReceived),
    /// An action asks what is known of a cache key or a once key.
    #[n(19)]
    RecallAsked(#[n(0)] RecallAsked),
    /// The answer, when it is that the action has to run.
    #[n(20)]
    RecallMissed(#[n(0)] ActionRef),
    /// All that was in flight has ended: what succeeded is being undone, last first.
    #[n(21)]
    CompensationStarted(#[n(0)] CompensationStarted),
    /// An output was stored under a cache key or once key.
    #[n(22)]
    OutputKept(#[n(0)] OutputKept),
    /// A running action asked for another one.
    #[n(23)]
    ChildOpened(#[n(0)] Box<ChildOpened>),
    /// A single action was asked to stop.
    #[n(24)]
    ActionStopRequested(#[n(0)] ActionStopRequested),

    /// It was decided when a run should be done by, and where its actions should go if nothing changes.
    #[n(30)]
    RunPlanned(#[n(0)] Box<RunPlanned>),

    /// Which tags the nodes of a run can read and give: by the labels of its inputs and the rules in force when it was accepted.
    #[n(31)]
    RunLabelled(#[n(0)] Box<RunLabelled>),
    /// Artifacts came into being that carry tags.
    #[n(32)]
    ArtifactsLabelled(#[n(0)] ArtifactsLabelled),
    /// Secrets were released to an attempt: their names and versions, never their values.
    #[n(33)]
    SecretsReleased(#[n(0)] Box<SecretsReleased>),

    /// A run that waited for an earlier one of its trigger begins.
    #[n(34)]
    RunBegan(#[n(0)] ByWhom),

    /// A person handed a question to others.
    #[n(75)]
    HumanDelegated(#[n(0)] Box<HumanDelegated>),
    /// A person was shown a question with its evidence.
    #[n(76)]
    HumanSeen(#[n(0)] HumanSeen),
    /// A ticket was signed for an attempt: what its site was told that it may do.
    #[n(80)]
    TicketIssued(#[n(0)] Box<TicketIssued>),
    /// It was decided what an attempt may reach over the network, of what its site grants.
    #[n(81)]
    EgressDecided(#[n(0)] Box<EgressDecided>),
    /// An attempt that was given ways into the network has ended, and went over some of them.
    #[n(82)]
    NetworkUsed(#[n(0)] Box<NetworkUsed>),

    /// The server began a new incarnation.
    #[n(40)]
    EpochBegan(#[n(0)] EpochBegan),
    /// A site was registered or changed.
    #[n(41)]
    SiteRegistered(#[n(0)] Box<SiteRegistered>),
    /// A site was removed.
    #[n(42)]
    SiteRemoved(#[n(0)] SiteNamed),
    /// No new work goes to the site.
    #[n(43)]
    SiteCordoned(#[n(0)] SiteNamed),
    /// Work goes to the site again.
    #[n(44)]
    SiteUncordoned(#[n(0)] SiteNamed),
    /// What runs on the site is moved elsewhere.
    #[n(45)]
    SiteDrained(#[n(0)] SiteNamed),
    /// The site's health, as its executor's probe found it, changed.
    #[n(46)]
    SiteHealthChanged(#[n(0)] SiteHealthChanged),
    /// A resource (workflow, trigger, connector, connection, token, …) was applied; its body lies beside the journal.
    #[n(47)]
    ResourceApplied(#[n(0)] Box<ResourceApplied>),
    /// A resource was deleted.
    #[n(48)]
    ResourceDeleted(#[n(0)] ResourceDeleted),
    /// A trigger fired, or skipped firings it was too late for.
    #[n(49)]
    TriggerFired(#[n(0)] Box<TriggerFired>),
    /// Bodies older than the retention were destroyed; hashes stay.
    #[n(50)]
    BodiesPruned(#[n(0)] BodiesPruned),
    /// The keys and values of runs were ordered to be destroyed; hashes stay.
    #[n(51)]
    DataErased(#[n(0)] DataErased),

    /// It was decided how much of a site is kept started for work that is expected.
    #[n(55)]
    PoolSized(#[n(0)] Box<PoolSized>),
}

impl Event {
    /// The run that the fact belongs to; none for a fact about the fleet.
    pub fn run(&self) -> Option<RunId> {
        Some(match self {
            Event::RunSubmitted(e) => e.run,
            Event::ActionsOpened(e) => e.run,
            Event::NodesSkipped(e) => e.run,
            Event::ActionsPlaced(e) => e.run,
            Event::ActionsParked(e) => e.run,
            Event::AttemptStarted(e) => e.run,
            Event::AttemptFinished(e) => e.run,
            Event::RetryDue(e) | Event::RecallMissed(e) => e.run,
            Event::ActionFinished(e) => e.run,
            Event::ReportIgnored(e) => e.run,
            Event::CancelRequested(e) => e.run,
            Event::RunCancelRequested(e) => e.run,
            Event::RunFailing(e) => e.run,
            Event::RunPaused(e) | Event::RunResumed(e) | Event::RunBegan(e) => e.run,
            Event::RunFinished(e) => e.run,
            Event::HumanDecided(e) => e.run,
            Event::HumanEscalated(e) => e.run,
            Event::HumanDelegated(e) => e.run,
            Event::HumanSeen(e) => e.run,
            Event::SignalReceived(e) => e.run,
            Event::RecallAsked(e) => e.run,
            Event::CompensationStarted(e) => e.run,
            Event::OutputKept(e) => e.run,
            Event::RunLabelled(e) => e.run,
            Event::ArtifactsLabelled(e) => e.run,
            Event::SecretsReleased(e) => e.run,
            Event::TicketIssued(e) => e.run,
            Event::EgressDecided(e) => e.run,
            Event::NetworkUsed(e) => e.run,
            Event::RunPlanned(e) => e.run,
            Event::ChildOpened(e) => e.run,
            Event::ActionStopRequested(e) => e.run,
            Event::EpochBegan(_)
            | Event::SiteRegistered(_)
            | Event::SiteRemoved(_)
            | Event::SiteCordoned(_)
            | Event::SiteUncordoned(_)
            | Event::SiteDrained(_)
            | Event::SiteHealthChanged(_)
            | Event::ResourceApplied(_)
            | Event::ResourceDeleted(_)
            | Event::TriggerFired(_)
            | Event::BodiesPruned(_)
            | Event::DataErased(_)
            | Event::PoolSized(_) => return None,
        })
    }

    /// Why something failed, when the event says so.
    pub(crate) fn failure_mut(&mut self) -> Option<&mut Failure> {
        match self {
            Event::AttemptFinished(e) => e.failure.as_mut(),
            Event::ActionFinished(e) => e.failure.as_mut(),
            Event::RunFailing(e) => Some(&mut e.failure),
            Event::RunFinished(e) => e.failure.as_mut(),
            _ => None,
        }
    }

    /// Calls `visit` with every payload of the event, always in the same order. Bodies are no part of an event's bytes: whoever keeps
    /// and restores them numbers them by this walk.
    pub fn each_payload<'e>(&'e mut self, visit: &mut dyn FnMut(&'e mut Payload)) {
        match self {
            Event::RunSubmitted(e) => {
                visit(&mut e.inputs);
                e.reused.iter_mut().for_each(|reused| visit(&mut reused.output));
                e.reused_items.iter_mut().flatten().for_each(|reused| visit(&mut reused.output));
            }
            Event::ActionsOpened(e) => e.actions.iter_mut().filter_map(|opened| opened.input.as_mut()).for_each(visit),
            Event::ChildOpened(e) => e.opened.input.iter_mut().for_each(visit),
            Event::AttemptFinished(e) => e.output.iter_mut().chain(text_of(e.failure.as_mut())).for_each(visit),
            Event::ActionFinished(e) => e.output.iter_mut().chain(text_of(e.failure.as_mut())).for_each(visit),
            Event::RunFailing(e) => text_of(Some(&mut e.failure)).for_each(visit),
            Event::RunFinished(e) => e.outputs.iter_mut().chain(text_of(e.failure.as_mut())).for_each(visit),
            Event::HumanDecided(e) => {
                visit(&mut e.form);
                e.reason.iter_mut().for_each(visit);
            }
            Event::HumanDelegated(e) => visit(&mut e.reason),
            Event::SignalReceived(e) => visit(&mut e.payload),
            Event::OutputKept(e) => visit(&mut e.output),
            Event::ResourceApplied(e) => visit(&mut e.body),
            _ => {}
        }
    }
}

/// The sentence of a failure, as a value.
fn text_of(failure: Option<&mut Failure>) -> std::option::IntoIter<&mut Payload> {
    failure.and_then(|failure| failure.text.as_mut()).into_iter()
}
