//! The wrapper of a process as a program of its own, for tests of this crate. The `tutti` binary carries the same code.

use executors::shim;

fn main() -> std::process::ExitCode {
    let first = std::env::args_os().nth(1);
    // As on a machine that lets nobody make control groups.
    if first.as_ref().is_some_and(|first| first == "--watch-only") {
        return shim::main_without_groups(std::env::args_os().nth(2));
    }
    shim::main(first)
}
