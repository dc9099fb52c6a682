//! `tutti shim FOLDER`: the wrapper that holds one process of a `run` node. It is this same binary, started by the local executor.

use std::process::ExitCode;

/// The end of the wrapper, when that is what this process was started as. A wrapper has no use for a runtime, and a machine may hold
/// thousands of them, so it is told apart before anything else is set up.
pub(crate) fn main() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != "shim" {
        return None;
    }
    match arguments.next() {
        Some(asked) if asked == "--help" => None,
        folder => Some(executors::shim::main(folder)),
    }
}
