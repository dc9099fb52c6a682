//! Every environment variable that `tutti` itself reads, in one place. What a task finds in its environment is in
//! `docs/reference/run-nodes.md`.

/// The server to talk to: `http://HOST:PORT`.
pub(crate) const SERVER: &str = "TUTTI_SERVER";
/// The token to show to it.
pub(crate) const TOKEN: &str = "TUTTI_TOKEN";
/// The data directory.
pub(crate) const DATA: &str = "TUTTI_DATA";
/// Where the server listens.
pub(crate) const LISTEN: &str = "TUTTI_LISTEN";
/// How much is logged: `warn`, `info`, `info,controlplane=debug`.
pub(crate) const LOG: &str = "TUTTI_LOG";
/// How logs look: `text` or `json`.
pub(crate) const LOG_FORMAT: &str = "TUTTI_LOG_FORMAT";
/// Set to anything: no colours and nothing that moves.
pub(crate) const NO_COLOR: &str = "NO_COLOR";
