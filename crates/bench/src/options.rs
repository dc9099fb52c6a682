//! What to measure, where, and how often.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};

use crate::report::Report;
use crate::{connections, flyte, foresight, growth, rounds, trust, web};

/// The parts of a measurement, in their order.
pub(crate) const PARTS: [(&str, fn(&Options, &mut Report) -> anyhow::Result<()>); 10] = [
    ("rounds", rounds::run_all),
    ("memory", rounds::memory),
    ("connections", connections::idle),
    ("restart", growth::restart),
    ("run", growth::within_a_run),
    ("journal", growth::over_the_journal),
    ("placement", foresight::measure),
    ("trust", trust::measure),
    ("flyte", flyte::measure),
    ("web", web::measure),
];

/// Measures Tutti.
#[derive(Parser)]
#[command(name = "bench")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) options: Options,
}

/// What else the program is.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Serves a connector as an external worker does, until its stream ends.
    Worker {
        /// Where the server is.
        address: String,
        /// `namespace/action@version`.
        connector: String,
        /// Actions at a time.
        slots: usize,
    },
}

/// What to measure, and how often.
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// The program to measure.
    #[arg(long, default_value = "tutti")]
    pub(crate) tutti: PathBuf,
    /// Where data directories are made; a folder on the disk that is to be measured.
    #[arg(long)]
    pub(crate) data: Option<PathBuf>,
    /// Rounds. Every round measures everything once, in another order.
    #[arg(long, default_value_t = 5)]
    pub(crate) rounds: u32,
    /// Only these parts: rounds, memory, connections, restart, run, journal, placement, trust, flyte, web.
    #[arg(long, value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Only workloads whose name begins so, such as `W1` or `W4 worker`.
    #[arg(long, value_delimiter = ',')]
    pub(crate) workloads: Vec<String>,
    /// Actions in the journal at the end of the part `journal`, and entries at the end of the part `trust`.
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) actions: u64,
    /// Open actions before the restart.
    #[arg(long, default_value_t = 100_000)]
    pub(crate) open: u64,
    /// Where the JSON goes.
    #[arg(long, default_value = "bench/results")]
    pub(crate) results: PathBuf,
    /// A peer to measure in the same rounds: `restate=FOLDER`, a folder with its `node_modules`.
    #[arg(long)]
    pub(crate) peer: Option<String>,
    /// The Python environment with the Flyte SDK, for the part `flyte`.
    #[arg(long)]
    pub(crate) flyte: Option<PathBuf>,
}

impl Options {
    /// Whether a part is wanted.
    pub(crate) fn wants(&self, part: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == part)
    }

    /// Whether a workload is wanted.
    pub(crate) fn wants_workload(&self, name: &str) -> bool {
        self.workloads.is_empty() || self.workloads.iter().any(|prefix| name.starts_with(prefix.as_str()))
    }

    /// A new folder for a data directory.
    pub(crate) fn folder(&self, name: &str) -> anyhow::Result<PathBuf> {
        let parent = self.data.clone().unwrap_or_else(std::env::temp_dir);
        let folder = parent.join(format!("tutti-bench-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).with_context(|| format!("make `{}`", folder.display()))?;
        Ok(folder)
    }
}
