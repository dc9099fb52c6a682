//! The messages of the worker protocol, as they go over the wire.

use std::collections::BTreeMap;

use controlplane::{Fault, FaultKind, Holding, Lease, LeaseRequest, WorkerReport, WorkerTurn};
use model::FailureClass;
use model::limits::{WORKER_CONNECTORS_MAX, WORKER_SLOTS_MAX};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::views::Problem;

/// Bytes of a worker's or a connector's name.
const NAME_BYTES_MAX: usize = 255;

/// A worker says who it is, and asks for work.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WorkerHello {
    /// Its name, unique among workers: a process that starts anew takes a new one.
    worker: String,
    /// The connectors it serves: `namespace/action@version`.
    connectors: Vec<String>,
    /// How many actions it can take (in a stream: hold at a time).
    slots: usize,
    /// What it still works at, from a time when it was connected before.
    #[serde(default)]
    holding: Vec<HoldingView>,
}

/// An attempt under an epoch.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HoldingView {
    /// The attempt's token.
    attempt: String,
    /// The epoch of its lease.
    epoch: u64,
}

impl WorkerHello {
    /// The request, if it is one.
    pub(crate) fn check(self) -> Result<LeaseRequest, Fault> {
        let malformed = |message: String| Err(Fault::new(FaultKind::Malformed, message));
        if self.worker.is_empty() || self.worker.len() > NAME_BYTES_MAX || self.worker.chars().any(char::is_control) {
            return malformed(format!("the name of a worker has 1 to {NAME_BYTES_MAX} bytes of plain text"));
        }
        if self.connectors.is_empty() || self.connectors.len() > WORKER_CONNECTORS_MAX {
            return malformed(format!("a worker serves 1 to {WORKER_CONNECTORS_MAX} connectors, not {}", self.connectors.len()));
        }
        if let Some(wrong) = self.connectors.iter().find(|name| !is_connector(name)) {
            return malformed(format!(
                "`{wrong}` is not a connector that workers serve: `namespace/action@version`, not of `core`"
            ));
        }
        if self.slots > WORKER_SLOTS_MAX || self.holding.len() > WORKER_SLOTS_MAX {
            return malformed(format!("a worker has at most {WORKER_SLOTS_MAX} slots"));
        }
        let holding = self.holding.into_iter().map(|holding| Holding { attempt: holding.attempt, epoch: holding.epoch });
        Ok(LeaseRequest { worker: self.worker, connectors: self.connectors, slots: self.slots, holding: holding.collect() })
    }
}

fn is_connector(name: &str) -> bool {
    let parts = name.split_once('@').and_then(|(name, version)| Some((name.split_once('/')?, version.parse::<u32>().ok()?)));
    name.len() <= NAME_BYTES_MAX
        && parts.is_some_and(|((namespace, action), _)| !namespace.is_empty() && !action.is_empty() && namespace != "core")
}

/// An action given to a worker.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LeaseView {
    /// The attempt's token; reports carry it.
    attempt: String,
    /// The epoch of the lease; reports carry it.
    epoch: u64,
    /// The connector: `namespace/action@version`.
    connector: String,
    /// The input.
    input: Value,
    /// The key that stays the same over all attempts.
    idempotency_key: String,
    /// How long it may take, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_ms: Option<u64>,
    /// What a process would find in its environment: `TUTTI_RUN`, `TUTTI_ACTION`, `TUTTI_ATTEMPT`, `TRACEPARENT`, …
    environment: BTreeMap<String, String>,
}

impl From<Lease> for LeaseView {
    fn from(lease: Lease) -> LeaseView {
        let Lease { attempt, epoch, connector, input, idempotency_key, timeout_ms, environment } = lease;
        LeaseView { attempt, epoch, connector, input, idempotency_key, timeout_ms, environment }
    }
}

impl From<LeaseView> for Lease {
    fn from(lease: LeaseView) -> Lease {
        let LeaseView { attempt, epoch, connector, input, idempotency_key, timeout_ms, environment } = lease;
        Lease { attempt, epoch, connector, input, idempotency_key, timeout_ms, environment }
    }
}

/// What a worker is told.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct TurnView {
    /// Actions to run.
    pub(crate) leases: Vec<LeaseView>,
    /// Attempts to stop: nobody waits for them any more.
    pub(crate) stop: Vec<String>,
    /// Attempts of `holding` that it goes on with, under the epoch of now.
    pub(crate) kept: Vec<HoldingView>,
    /// Attempts that it does not hold (any more): to be given up.
    pub(crate) lost: Vec<String>,
}

impl From<WorkerTurn> for TurnView {
    fn from(turn: WorkerTurn) -> TurnView {
        let kept = turn.kept.into_iter().map(|kept| HoldingView { attempt: kept.attempt, epoch: kept.epoch });
        TurnView {
            leases: turn.leases.into_iter().map(LeaseView::from).collect(),
            stop: turn.stop,
            kept: kept.collect(),
            lost: turn.lost,
        }
    }
}

/// How an action ended.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReportView {
    /// The attempt's token.
    attempt: String,
    /// The epoch of the lease.
    epoch: u64,
    /// The output, an object, when it went well.
    #[serde(default)]
    output: Option<Value>,
    /// Why it did not: a message.
    #[serde(default)]
    error: Option<String>,
    /// What kind of failure it was: `user` when nothing is said, or `oom`, `timeout`, `preempted`, `environment`, `quota`, …
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    class: Option<FailureClass>,
    /// Microseconds it took.
    #[serde(default)]
    wall_us: u64,
}

impl From<ReportView> for WorkerReport {
    fn from(view: ReportView) -> WorkerReport {
        let ReportView { attempt, epoch, output, error, class, wall_us } = view;
        WorkerReport { attempt, epoch, output, error, class, wall_us }
    }
}

/// Reports of a worker.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReportRequest {
    /// Its name.
    pub(crate) worker: String,
    /// How actions ended.
    pub(crate) reports: Vec<ReportView>,
}

/// A sign of life.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HeartbeatRequest {
    /// The worker's name.
    pub(crate) worker: String,
}

/// What became of reports.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReportAnswer {
    /// Attempts that are not held any more: their reports were not taken.
    pub(crate) lost: Vec<String>,
}

/// What became of a sign of life.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HeartbeatAnswer {
    /// Milliseconds for which the leases hold from now on.
    pub(crate) lease_ms: u64,
}

/// A line from a worker. The first has `hello`; an empty object is a sign of life.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WorkerLine {
    /// Who it is and what it serves.
    #[serde(default)]
    pub(crate) hello: Option<WorkerHello>,
    /// How actions ended.
    #[serde(default)]
    pub(crate) reports: Vec<ReportView>,
}

/// A line to a worker. What is not there is empty; an empty line is a sign of life.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct ServerLine {
    /// The answer to `hello`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) welcome: Option<Welcome>,
    /// Actions to run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) leases: Vec<LeaseView>,
    /// Attempts to stop: nobody waits for them any more.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) stop: Vec<String>,
    /// Attempts of `holding` that it goes on with, under the epoch of now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) kept: Vec<HoldingView>,
    /// Attempts that it does not hold (any more): to be given up.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) lost: Vec<String>,
    /// Why the server ends the stream: a line that it does not understand, or its own stop (`E0012`: connect again).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<Problem>,
}

impl ServerLine {
    /// Whether it says nothing: a sign of life.
    pub(crate) fn is_empty(&self) -> bool {
        let ServerLine { welcome, leases, stop, kept, lost, error } = self;
        let nothing = leases.is_empty() && stop.is_empty() && kept.is_empty() && lost.is_empty();
        nothing && welcome.is_none() && error.is_none()
    }
}

impl From<WorkerTurn> for ServerLine {
    fn from(turn: WorkerTurn) -> ServerLine {
        let TurnView { leases, stop, kept, lost } = turn.into();
        ServerLine { leases, stop, kept, lost, ..ServerLine::default() }
    }
}

/// What holds for this stream.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Welcome {
    /// Milliseconds of silence after which leases are lost. A third of it is a good rhythm for signs of life.
    pub(crate) lease_ms: u64,
    /// Bytes of a line at most.
    pub(crate) line_bytes_max: usize,
    /// Connectors of `hello` that nobody has registered (yet).
    pub(crate) unknown: Vec<String>,
    /// The version of the server.
    pub(crate) version: &'static str,
}
