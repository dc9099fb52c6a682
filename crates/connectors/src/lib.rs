//! L2: connectors: what `use:` nodes do. A manifest says what goes in and out; a runtime does it. What touches the outside does so through
//! [`Ways`]: as far as its ticket grants, and written down.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod file;
mod http;
mod instant;
mod manifest;
#[cfg(test)]
mod pages;
mod tls;
mod ways;

use artifacts::Store;
use keyring::Secret;
use model::{EgressGrant, Failure, FailureClass};
use serde_json::Value;

pub use instant::run_instant;
pub use manifest::{Manifest, built_in, find};
pub use ways::Ways;

/// Where a connector's action runs.
pub struct Place<'p> {
    /// The store of the site.
    pub store: &'p Store,
    /// The folder that `core/file` may read and write.
    pub files: &'p std::path::Path,
    /// The key that stays the same over all attempts, for the far side if it knows such keys.
    pub idempotency_key: &'p str,
    /// The trace context of the attempt, as a W3C `traceparent`.
    pub traceparent: Option<&'p str>,
    /// Secrets that were released to it.
    pub secrets: &'p [Secret],
    /// What it may reach.
    pub ways: Ways<'p>,
}

/// What an action gave back, and the artifacts it stored with their sizes.
#[derive(Debug, Default)]
pub struct Given {
    /// The output.
    pub output: Value,
    /// Artifacts that are new at the site.
    pub stored: Vec<(model::Digest, u64)>,
}

/// The way out that an action with an input asks for. None when its input is none: it fails by itself then.
pub fn asks_for(connector: &str, input: &Value) -> Option<EgressGrant> {
    match connector {
        "core/http" => http::destination(input),
        "core/file" => input.get("write").map(|_| EgressGrant::shared_folder()),
        _ => None,
    }
}

/// Runs an action that takes its time.
pub async fn run(connector: &str, input: &Value, place: &Place<'_>) -> Result<Given, Failure> {
    match connector {
        "core/http" => http::run(input, place).await.map(|output| Given { output, ..Given::default() }),
        "core/file" => file::go(input, place).await,
        other => Err(Failure::new(FailureClass::Environment, format!("this site has no connector `{other}`"))),
    }
}
