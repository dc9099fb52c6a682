//! What `tutti` says about itself: logs on standard error, traces to a collector.

mod follow;
mod otlp;
mod traces;

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::failure::CommandError;
use crate::variables;

pub(crate) use traces::{Collector, follow};

/// How logs look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging. `level` is what is logged when [`variables::LOG`] does not say.
pub(crate) fn start(format: LogFormat, level: &str) -> Result<(), CommandError> {
    let wanted = std::env::var(variables::LOG).unwrap_or_else(|_| level.to_owned());
    let filter = EnvFilter::try_new(&wanted).map_err(|error| {
        CommandError::of(
            controlplane::FaultKind::Configuration,
            format!("`{wanted}` ({}) is not a filter of logs: {error}", variables::LOG),
        )
    })?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Json => lines.json().flatten_event(true).init(),
        LogFormat::Text => {
            let coloured = std::io::stderr().is_terminal() && std::env::var_os(variables::NO_COLOR).is_none();
            lines.with_ansi(coloured).init();
        }
    }
    Ok(())
}
