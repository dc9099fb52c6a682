//! The `tutti` binary: arguments → settings → command → exit code.

mod cli;
mod client;
mod commands;
mod completion;
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

fn main() -> ExitCode {
    if let Some(ended) = shim::main() {
        return ended;
    }
    if let Some(ended) = completion::answer() {
        return ended;
    }
    let cli = match cli::read() {
        Ok(cli) => cli,
        Err(ended) => return ended,
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failure::end(Err(error.into())),
    };
    let ended = runtime.block_on(commands::run(cli));
    // A thread that waits for the disk must not hold up the end.
    runtime.shutdown_background();
    failure::end(ended)
}
