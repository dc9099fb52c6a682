//! Effects: what the shell has to do because of what happened. They are derived from state, never stored: after a crash
//! [`crate::State::outstanding`] gives every effect that has not been answered yet, and each is safe to carry out again.

use std::sync::Arc;

use model::{ActionKey, AttemptKey, Digest, Duration, Epoch, Label, Node, Payload, RunId, Timestamp};

use crate::event::RecallKey;

/// An instruction to the shell. Idempotent by the keys it carries.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Start (or find again) this attempt.
    Dispatch(Box<Dispatch>),
    /// Move an artifact between the stores of two sites.
    Transfer(Box<Transfer>),
    /// Stop this attempt; the executor reports when it has ended.
    Cancel {
        /// The attempt.
        attempt: AttemptKey,
        /// Where it runs.
        site: String,
    },
    /// Look up what is known of a key, and answer with [`crate::Command::Recalled`].
    Recall {
        /// Who asks.
        action: ActionKey,
        /// The project, within which keys are unique.
        project: String,
        /// The key.
        key: RecallKey,
    },
    /// What an attempt left at its site (work folder, completion record) may be removed: its outcome is durable.
    Release {
        /// The attempt.
        attempt: AttemptKey,
        /// Where it ran.
        site: String,
    },
}

impl Effect {
    /// The attempt that an effect is about, when it keeps one alive.
    pub fn attempt(&self) -> Option<AttemptKey> {
        match self {
            Effect::Dispatch(dispatch) => Some(dispatch.key),
            Effect::Transfer(transfer) => Some(transfer.key),
            Effect::Cancel { attempt, .. } => Some(*attempt),
            Effect::Recall { .. } | Effect::Release { .. } => None,
        }
    }
}

/// An order to start an attempt. It becomes the ticket that the executor checks.
#[derive(Clone, Debug, PartialEq)]
pub struct Dispatch {
    /// The attempt.
    pub key: AttemptKey,
    /// The epoch of the order.
    pub epoch: Epoch,
    /// Where.
    pub site: String,
    /// The run's name, the project, the domain and the path of the action, for people and for the task's environment.
    pub names: Arc<RunNames>,
    /// The path of the action within the run: `train`, `score[3]`, `sub/clean`.
    pub path: String,
    /// What to run: `kind`, `outputs`, `needs` matter here.
    pub node: Arc<Node>,
    /// The rendered input.
    pub input: Option<Payload>,
    /// Its label.
    pub label: Label,
    /// The key that stays the same over all attempts of the action, for outside systems that know idempotency keys.
    pub idempotency_key: String,
    /// The deadline of the attempt, from its dispatch.
    pub timeout: Option<Duration>,
}

/// The names of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunNames {
    /// The run.
    pub run: RunId,
    /// Its name.
    pub name: String,
    /// Its project.
    pub project: String,
    /// Its domain.
    pub domain: String,
    /// Its workflow.
    pub workflow: String,
    /// When it was accepted.
    pub submitted_at: Timestamp,
    /// The trace that its submitter was in, as a W3C `traceparent`.
    pub traceparent: Option<String>,
}

/// An order to move an artifact.
#[derive(Clone, Debug, PartialEq)]
pub struct Transfer {
    /// The transfer's own attempt.
    pub key: AttemptKey,
    /// The epoch of the order.
    pub epoch: Epoch,
    /// What moves.
    pub artifact: Digest,
    /// Bytes that move.
    pub size: u64,
    /// From where.
    pub from: String,
    /// To where.
    pub to: String,
}
