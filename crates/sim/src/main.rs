//! `sim --seeds N`: the whole-system simulator over N seeds.

fn main() -> std::process::ExitCode {
    sim::cli::main()
}
