//! L2: the code that drives attempts on a kind of site: one trait, one contract, one module a kind.

#![deny(unsafe_code)]
#![deny(missing_docs)]

#[cfg(any(test, feature = "contract"))]
pub mod contract;
#[cfg(test)]
mod fuzz;
pub mod local;
mod machine;
mod record;
pub mod sandbox;
mod secrets;
pub mod shim;
pub mod tickets;

use engine::Outcome;
use engine::event::{Located, Usage};
use keyring::Secret;
use model::graph::Port;
use model::{AttemptKey, Duration, Epoch, NodeKind, Resources, SignedTicket};
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
    /// Folders of the machine that it is shown beside the site's runtime, to be read.
    pub shown: Vec<std::path::PathBuf>,
    /// Folders of the machine that it may write beside its own. They are there.
    pub writable: Vec<std::path::PathBuf>,
    /// Whether it runs without walls around it where the site does not require them: it is called from outside.
    pub unboxed: bool,
    /// Secrets that were released to it. No record of it holds them.
    pub secrets: Vec<Secret>,
    /// What may stand in for starting the command, where the site can do that.
    pub host: Option<Host>,
}

/// A process that is there already and becomes that of an attempt: it was made by a program that has loaded what such attempts need. Where
/// the program cannot serve, the command is started.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Host {
    /// The program that makes such processes, and its arguments. What it is told and what it answers is in `local/nurseries.rs` and
    /// `shim/host.rs`.
    pub program: Vec<String>,
    /// What the process is told instead of the command.
    pub arguments: Vec<String>,
    /// Whether the process stays for other attempts.
    pub reuse: Option<Reuse>,
}

/// Which attempts may have the same process one after another, and for how long.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Reuse {
    /// Those of the same key.
    pub key: String,
    /// How many processes of the key may be without work.
    pub keep: usize,
    /// For how long.
    pub idle: Duration,
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
    /// It was given by an incarnation of the control plane that is no longer in charge. Whoever is in charge gives its own orders: the
    /// one that was refused stops.
    #[error("the order is of epoch {given}, and epoch {known} is in charge")]
    Stale {
        /// The epoch of the order.
        given: Epoch,
        /// The epoch in charge.
        known: Epoch,
    },
    /// The ticket that came with it is not one for it. Nothing was started.
    #[error("the ticket was refused: {0}")]
    Ticket(tickets::TicketError),
    /// This site cannot run it, and will not later either. Nothing was started.
    #[error("this site cannot run it: {0}")]
    Rejected(String),
    /// This site cannot run it now. Nothing was started; the same order may be given again.
    #[error("this site has no room for it now: {0}")]
    Capacity(String),
    /// Whether it was started is not known: look with [`Executor::list_owned`], or give the same order again, before anything else.
    #[error("it is not known whether the order was taken: {0}")]
    Ambiguous(String),
}

/// What an executor can do, whatever the state of its site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Runs container images.
    pub containers: bool,
    /// Gives attempts accelerators of their own.
    pub gpus: bool,
    /// Logs can be read while an attempt runs.
    pub live_logs: bool,
    /// Attempts go on while the control plane is away, and are found again.
    pub outlives_server: bool,
    /// How an order that is given twice is kept from running twice.
    pub idempotency: Idempotency,
}

/// How an order that is given twice is kept from running twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idempotency {
    /// The engine takes the attempt's token as the name of the thing it makes, and refuses a second of that name.
    Name,
    /// The engine knows idempotency tokens for a limited time.
    Token,
    /// The engine knows nothing of the kind: it is asked first, and the wrapper fences what slips through.
    LookUp,
}

/// What a site has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capacity {
    /// All of it.
    pub total: Resources,
    /// What the attempts that are there did not ask for; of memory and disk no more than what is free.
    pub free: Resources,
    /// Attempts that are there.
    pub attempts: u32,
}

/// An attempt that an executor holds something of: a process, a record, a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owned {
    /// The attempt.
    pub key: AttemptKey,
    /// Where it is.
    pub phase: OwnedPhase,
}

/// Where an attempt is that an executor holds something of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OwnedPhase {
    /// It was begun, and nothing runs yet, or what ran vanished without a record.
    Begun,
    /// It runs.
    Running,
    /// It has ended, and its outcome waits to be collected and released.
    Ended,
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

/// Drives attempts on one site. Every order is idempotent by the attempt's key. What is seen goes to the channel that the executor was
/// opened with: an outcome at least once, until the attempt is released.
#[async_trait::async_trait]
pub trait Executor: Send + Sync {
    /// What it can do.
    fn caps(&self) -> Caps;

    /// Whether the site takes work.
    async fn probe(&self) -> Health;

    /// What the site has.
    async fn capacity(&self) -> Capacity;

    /// Starts an attempt, or finds the one that was started before. Without a ticket for exactly this order nothing is looked at.
    async fn submit(&self, spec: AttemptSpec, ticket: SignedTicket) -> Result<(), SubmitError>;

    /// Every attempt that has not been released, to find what a restarted control plane knows nothing of.
    async fn list_owned(&self) -> std::io::Result<Vec<Owned>>;

    /// Asks an attempt to stop: gracefully at first, by force after `grace`. It is reported as finished when it has. Whatever is not
    /// known here is reported as aborted.
    async fn cancel(&self, key: AttemptKey, grace: Duration);

    /// A piece of a log from an offset on, also after the end of the attempt.
    async fn logs(&self, key: AttemptKey, stream: Stream, offset: u64, limit: usize) -> std::io::Result<LogChunk>;

    /// The outcome is durable: what the attempt left may be removed, logs apart.
    async fn release(&self, key: AttemptKey);
}
