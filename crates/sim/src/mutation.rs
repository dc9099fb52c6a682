//! Planted bugs: each changes one thing at a port of the engine (what is acknowledged when, what reaches the disk, what is carried out,
//! what an event says), and the simulator has to find it. A simulator that finds nothing may also be one that looks at nothing.

use engine::Event;
use engine::event::CancelReason;
use model::{AttemptNo, Phase};

use crate::rng::Rng;

macro_rules! mutations {
    ($($(#[doc = $doc:literal])* $name:ident,)*) => {
        /// A planted bug.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Mutation {
            $($(#[doc = $doc])* $name,)*
        }

        impl Mutation {
            /// All of them.
            pub const ALL: &[Mutation] = &[$(Mutation::$name,)*];

            /// What is wrong with it.
            pub fn about(self) -> &'static str {
                match self {
                    $(Mutation::$name => concat!($($doc),*).trim_ascii(),)*
                }
            }
        }
    };
}

mutations! {
    /// Commands are answered when their events are written, not when they are synced.
    AckBeforeDurable,
    /// Effects leave when their events are written, not when they are synced.
    ReleaseBeforeDurable,
    /// The disk says it has synced, and has not.
    LyingSync,
    /// The half of a torn batch is read as if it were whole.
    TrustTornTail,
    /// Two batches reach the disk in the wrong order.
    SwapBatches,
    /// A sequence number is left out.
    GapInSequence,
    /// The stored event forgets when an attempt is to be repeated.
    ForgetRetryTime,
    /// Bodies of payloads do not reach the disk.
    LoseBodies,
    /// The graph of a run is not kept beside the journal.
    LoseGraph,
    /// What is outstanding is not ordered again after a restart.
    ForgetOutstanding,
    /// Orders of a restart carry the epoch of before.
    OldEpochAfterRestart,
    /// A restart begins no new epoch.
    SameEpochAfterRestart,
    /// After a restart run numbers are given again.
    ReuseRunNumbers,
    /// An order to run something is sometimes lost within the server.
    LoseDispatch,
    /// An attempt is ordered under another number than it was placed.
    ForeignAttempt,
    /// An attempt is ordered at another site than it was placed.
    WrongSite,
    /// Orders to stop are never carried out.
    ForgetCancel,
    /// A report is taken in and thrown away, and its executor told that it counts.
    DropReport,
    /// The end of an attempt is recorded twice.
    DoubleFinish,
    /// A report that comes too late is taken as if it were the first.
    LateReportWins,
    /// A pause before a repeat ends twice.
    DoubleTimer,
    /// Timers fire before their time.
    EarlyTimer,
    /// Timers do not fire.
    DeafTimer,
    /// The clock of the entries follows the machine's when that is set back.
    ClockBack,
    /// Maps run more items at once than they may.
    IgnoreConcurrency,
    /// What succeeded is undone first things first.
    ReverseUndo,
    /// One of the things that succeeded is not undone.
    ForgetUndo,
    /// What is known under once keys is not found.
    ForgetOnce,
    /// The idempotency key of a submission is not kept.
    ForgetKey,
    /// A drained site keeps one of its attempts.
    DrainLeavesOne,
    /// Cancelling a run misses one of its actions.
    CancelMissesOne,
    /// Inputs are not brought to the site before the work begins.
    ForgetInputs,
    /// An entry is stored under another time after a checkpoint was made of it.
    RewriteSealed,
    /// What a condition or a branch was decided by is no part of the label of what it led to.
    LoseControlLabel,
    /// What reads several things is labelled by one of them.
    LoseUnion,
    /// Placing asks no gate.
    OpenGate,
    /// The gate does not know the rules any more after a restart.
    ForgetRules,
    /// What runs goes on where a changed rule forbids it.
    ForgetRevoke,
    /// What is on its way goes on to where a changed rule does not let it be any more.
    ForgetMoving,
    /// An output that is known under a key is given without what it carries.
    ForgetCarried,
    /// Artifacts are not labelled.
    ForgetArtifactLabels,
    /// A checkpoint is shown over entries that are written and not synced.
    SealAhead,
    /// A start shows a checkpoint over what it has read, before it has synced anything.
    SealAtStart,
    /// The stored event forgets that actions wait for a worker, and hold nothing until one has begun.
    ForgetWorker,
}

impl Mutation {
    /// Changes what a step has decided, before anybody sees it. True when it did.
    pub(crate) fn alter(self, events: &mut Vec<Event>, rng: &mut Rng) -> bool {
        let find = |events: &[Event], wanted: fn(&Event) -> bool| events.iter().position(wanted);
        match self {
            Mutation::DoubleFinish => {
                let found = find(events, |event| matches!(event, Event::AttemptFinished(e) if e.retry_at.is_none()));
                repeat(events, found.filter(|_| rng.chance(100)))
            }
            Mutation::DoubleTimer => {
                let found = find(events, |event| matches!(event, Event::RetryDue(_)));
                repeat(events, found)
            }
            Mutation::LateReportWins => {
                let Some(Event::ReportIgnored(e)) = events.first().cloned() else { return false };
                events[0] = Event::AttemptFinished(Box::new(engine::event::AttemptFinished {
                    run: e.run,
                    action: e.action,
                    attempt: e.attempt,
                    phase: e.phase,
                    output: None,
                    failure: None,
                    usage: Default::default(),
                    cost: Default::default(),
                    retry_at: None,
                    locations: Vec::new(),
                    memory_bytes: None,
                }));
                true
            }
            _ => events.iter_mut().any(|event| self.bend(event)),
        }
    }

    /// Changes one event.
    fn bend(self, event: &mut Event) -> bool {
        match (self, event) {
            (Mutation::ReverseUndo, Event::CompensationStarted(e)) if e.order.len() > 1 => {
                e.order.reverse();
                true
            }
            (Mutation::ForgetUndo, Event::CompensationStarted(e)) => e.order.pop().is_some(),
            (Mutation::ForgetKey, Event::RunSubmitted(e)) => e.idempotency_key.take().is_some(),
            (Mutation::DrainLeavesOne, Event::CancelRequested(e)) if e.why == CancelReason::Drained => e.actions.pop().is_some(),
            (Mutation::CancelMissesOne, Event::CancelRequested(e)) if e.why == CancelReason::RunCancelled => {
                e.actions.pop().or(e.ended.pop()).is_some()
            }
            (Mutation::ForgetArtifactLabels, Event::ArtifactsLabelled(e)) => !std::mem::take(&mut e.labels).is_empty(),
            (Mutation::ForgetInputs, Event::ActionsPlaced(e)) => e.actions.iter_mut().fold(false, |changed, placed| {
                let awaits = !placed.awaits.is_empty();
                placed.awaits.clear();
                changed | awaits
            }),
            _ => false,
        }
    }

    /// Changes what is stored of an event, and not what the server has in memory.
    pub(crate) fn misstore(self, event: &mut Event) {
        match (self, event) {
            (Mutation::ForgetRetryTime, Event::AttemptFinished(e)) if e.phase != Phase::Succeeded => e.retry_at = None,
            (Mutation::ForgetWorker, Event::ActionsPlaced(e)) => e.worker = None,
            (Mutation::LoseBodies, event) => event.each_payload(&mut |payload| payload.body = None),
            _ => {}
        }
    }

    /// The number under which an attempt is ordered.
    pub(crate) fn attempt(self, attempt: AttemptNo) -> AttemptNo {
        if self == Mutation::ForeignAttempt { AttemptNo(attempt.0 + 1) } else { attempt }
    }
}

fn repeat(events: &mut Vec<Event>, found: Option<usize>) -> bool {
    let Some(index) = found else { return false };
    let again = events[index].clone();
    events.insert(index + 1, again);
    true
}
