//! L2: connectors: what `use:` nodes do. A manifest says what goes in and out; a runtime does it.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod file;
mod http;
mod instant;
mod manifest;

use artifacts::Store;
use model::Failure;
use serde_json::Value;

pub use instant::run_instant;
pub use manifest::{Manifest, built_in, find};

/// Where a connector's action runs.
pub struct Place<'p> {
    /// The store of the site.
    pub store: &'p Store,
    /// The folder that `core/file` may read and write.
    pub files: &'p std::path::Path,
    /// The key that stays the same over all attempts.
    pub idempotency_key: &'p str,
}

/// What an action gave back, and the artifacts it stored with their sizes.
#[derive(Debug, Default)]
pub struct Given {
    /// The output.
    pub output: Value,
    /// Artifacts that are new at the site.
    pub stored: Vec<(model::Digest, u64)>,
}

/// Runs an action that takes its time.
pub async fn run(connector: &str, input: &Value, place: &Place<'_>) -> Result<Given, Failure> {
    match connector {
        "core/http" => http::run(input, place.idempotency_key).await.map(|output| Given { output, ..Given::default() }),
        "core/file" => tokio::task::block_in_place(|| file::run(input, place)),
        other => Err(Failure::new(model::FailureClass::Environment, format!("this site has no connector `{other}`"))),
    }
}
