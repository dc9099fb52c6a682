//! The wrapper of a process as a program of its own, for tests of this crate. The `tutti` binary carries the same code.

fn main() -> std::process::ExitCode {
    executors::shim::main(std::env::args_os().nth(1))
}
