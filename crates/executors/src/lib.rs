//! L2: the code that drives attempts on a kind of site: one trait, one contract, one module a kind.

#![deny(unsafe_code)]
#![deny(missing_docs)]

pub mod local;
mod record;
pub mod shim;

use engine::Outcome;
use engine::event::{Located, Usage};
use model::graph::Port;
use model::{AttemptKey, Duration, Epoch, NodeKind, Resources};
use serde_json::Value;

/// An order to run an attempt.
#[derive(Clone, Debug)]
pub struct AttemptSpec {
    /// The attempt.
    pub key: AttemptKey,
    /// The epoch of the order.
    pub epoch: Epoch,
    /// What to run: `use` or `run`.
    pub kind: NodeKind,
    /// The rendered input.
    pub input: Value,
    /// The outputs that were declared; empty takes anything.
    pub outputs: Vec<Port>,
    /// What it may use.
    pub resources: Resources,
    /// How long it may take.
    pub timeout: Option<Duration>,
    /// Names and keys for the process's environment: `TUTTI_RUN`, `TUTTI_ACTION`, …
    pub environment: Vec<(String, String)>,
    /// The key that stays the same over all attempts.
    pub idempotency_key: String,
}

/// What an executor sees. Reported at least once.
#[derive(Clone, Debug)]
pub enum Observed {
    /// The process began.
    Started {
        /// The attempt.
        key: AttemptKey,
        /// The process, for people.
        host: String,
    },
    /// The attempt ended.
    Finished {
        /// The attempt.
        key: AttemptKey,
        /// The epoch of the order that was carried out.
        epoch: Epoch,
        /// How.
        outcome: Outcome,
        /// What it used.
        usage: Usage,
        /// Artifacts it made.
        locations: Vec<Located>,
    },
}

/// Why an order was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// It was given by an incarnation of the control plane that is no longer in charge.
    #[error("the order is of epoch {given}, and epoch {known} is in charge")]
    Stale {
        /// The epoch of the order.
        given: Epoch,
        /// The epoch in charge.
        known: Epoch,
    },
}

/// How a site is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Whether it takes work.
    pub healthy: bool,
    /// Why not.
    pub reason: String,
}

/// Output of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Its standard output.
    Stdout,
    /// Its standard error.
    Stderr,
}

impl Stream {
    /// The stream's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        }
    }
}

/// A piece of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogChunk {
    /// The offset of the first byte: larger than asked for when older parts were dropped.
    pub offset: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Whether more may come.
    pub open: bool,
}

/// Drives attempts on one site. Every order is idempotent by the attempt's key.
#[async_trait::async_trait]
pub trait Executor: Send + Sync {
    /// Whether the site takes work.
    async fn probe(&self) -> Health;

    /// Starts an attempt, or finds the one that was started before.
    async fn submit(&self, spec: AttemptSpec) -> Result<(), SubmitError>;

    /// Asks an attempt to stop: gracefully at first, by force after `grace`. It is reported as finished when it has. Whatever is not
    /// known here is reported as aborted.
    async fn cancel(&self, key: AttemptKey, grace: Duration);

    /// A piece of a log from an offset on.
    async fn logs(&self, key: AttemptKey, stream: Stream, offset: u64, limit: usize) -> std::io::Result<LogChunk>;

    /// The outcome is durable: what the attempt left may be removed, logs apart.
    async fn release(&self, key: AttemptKey);
}
