//! The command line as types. Each command's arguments stand beside what it does, in `commands/`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::commands::{applying, demo, get, runs, up};
use crate::variables;

/// One control plane to design, run, watch and govern workflows across places.
#[derive(Debug, Parser)]
#[command(name = "tutti", version, propagate_version = true, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) door: Door,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Which server, or which directory.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Server")]
pub(crate) struct Door {
    /// The server to talk to: `http://HOST:PORT`.
    #[arg(long, global = true, value_name = "URL", env = variables::SERVER, hide_env_values = true)]
    pub(crate) server: Option<String>,
    /// The token to show to it.
    #[arg(long, global = true, value_name = "TOKEN", env = variables::TOKEN, hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// The data directory [default: .tutti]. A server that owns it is used; without one the command does the work itself.
    #[arg(long, global = true, value_name = "DIR", env = variables::DATA, hide_env_values = true)]
    pub(crate) data: Option<PathBuf>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Up(up::Up),
    Apply(applying::Apply),
    Run(runs::Run),
    Get(get::Get),
    Demo(demo::Demo),
}
