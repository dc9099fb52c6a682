//! What workers and the server say to each other.

use std::collections::BTreeMap;

use model::FailureClass;
use serde_json::Value;

/// A worker asks for work.
#[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct LeaseRequest {
    /// Its name, unique among workers: a process that starts anew takes a new one.
    pub worker: String,
    /// The connectors it serves: `namespace/action@version`.
    pub connectors: Vec<String>,
    /// How many actions it can take.
    pub slots: usize,
    /// What it still works at, from a time when it was connected before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holding: Vec<Holding>,
}

/// An attempt under an epoch.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct Holding {
    /// The attempt's token.
    pub attempt: String,
    /// The epoch of its lease.
    pub epoch: u64,
}

/// An action given to a worker.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Lease {
    /// The attempt's token; reports carry it.
    pub attempt: String,
    /// The epoch of the order; reports carry it.
    pub epoch: u64,
    /// The connector: `namespace/action@version`.
    pub connector: String,
    /// The input.
    pub input: Value,
    /// The key that stays the same over all attempts.
    pub idempotency_key: String,
    /// How long it may take, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Names and keys of the attempt: `TUTTI_RUN`, `TUTTI_ACTION`, `TRACEPARENT`, …
    pub environment: BTreeMap<String, String>,
}

/// What a worker reports.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerReport {
    /// The attempt's token.
    pub attempt: String,
    /// The epoch of the lease.
    pub epoch: u64,
    /// The output, when it went well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// Why it did not: a message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What kind of failure it was; `user` when nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<FailureClass>,
    /// Microseconds it took.
    #[serde(default)]
    pub wall_us: u64,
}

/// What a worker is told.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Turn {
    /// Actions to run.
    pub leases: Vec<Lease>,
    /// Attempts to stop.
    pub stop: Vec<String>,
    /// Attempts that it says it holds and goes on with, under the epoch of now.
    pub kept: Vec<Holding>,
    /// Attempts that it says it holds and does not: to be given up.
    pub lost: Vec<String>,
}

impl PartialEq for Lease {
    fn eq(&self, other: &Lease) -> bool {
        (&self.attempt, self.epoch) == (&other.attempt, other.epoch)
    }
}

impl Turn {
    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.leases.is_empty() && self.stop.is_empty() && self.kept.is_empty() && self.lost.is_empty()
    }
}
