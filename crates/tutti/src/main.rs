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
mod sources;
mod telemetry;
mod variables;
mod yaml;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    // The wrapper of a process has no use for a runtime, and a machine may hold thousands.
    if arguments.next().is_some_and(|first| first == "shim") {
        match arguments.next() {
            Some(asked) if asked == "--help" => {}
            folder => return executors::shim::main(folder),
        }
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
