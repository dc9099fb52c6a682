//! The `tutti` binary: arguments → settings → command → exit code.

mod cli;
mod client;
mod commands;
mod failure;
mod in_process;
mod inputs;
mod names;
mod output;
mod progress;
mod reference_page;
mod rows;
mod session;
mod settings;
mod shim;
mod sources;
mod telemetry;
mod transport;
mod variables;
mod yaml;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    if let Some(ended) = shim::main() {
        return ended;
    }
    let cli = cli::Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: no threads can be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(commands::run(cli));
    // A thread that waits for the disk must not hold up the end.
    runtime.shutdown_background();
    match ended {
        Ok(exit) => exit.into(),
        Err(error) => {
            error.print();
            error.exit().into()
        }
    }
}
