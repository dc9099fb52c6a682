//! The command line of the simulator.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::Parser;

use crate::{Mutation, Options, Outcome, Stats, hunt, run, shrink};

/// Runs simulated worlds, each from its seed, and stops at the first rule that is broken.
#[derive(Debug, Parser)]
#[command(name = "sim")]
struct Arguments {
    /// How many seeds.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Operations of clients in each world before faults stop.
    #[arg(long, default_value_t = Options::default().operations)]
    operations: u32,
    /// Looks for the planted bugs instead, each within so many seeds.
    #[arg(long)]
    planted: bool,
}

/// Runs the command line.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let worked = if arguments.planted { planted(&arguments) } else { worlds(&arguments) };
    if worked { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[expect(clippy::print_stderr, reason = "progress and failures are talk")]
fn worlds(arguments: &Arguments) -> bool {
    let options = Options { operations: arguments.operations, ..Options::default() };
    let terminal = std::io::stderr().is_terminal();
    let mut stats = Stats::default();
    for number in 0..arguments.seeds {
        let seed = arguments.from + number;
        let outcome = run(seed, options);
        stats.add(&outcome.stats);
        if outcome.broken.is_some() {
            eprintln!();
            tell(seed, options);
            return false;
        }
        let (done, all) = (number + 1, arguments.seeds);
        if terminal || done.is_multiple_of(1_000) {
            let end = if terminal { "\r" } else { "\n" };
            let faults: u64 = stats.faults.values().sum();
            eprint!("{done} of {all} seeds, {} transitions, {faults} faults{end}", stats.transitions);
            // A progress line that cannot be written is no reason to stop.
            let _ = std::io::stderr().flush();
        }
    }
    if terminal {
        eprintln!();
    }
    show(&format!("{}\n\nevery rule held over {} seeds from {}", stats.table(), arguments.seeds, arguments.from));
    true
}

/// Tells what a seed found, in its smallest world.
#[expect(clippy::print_stderr, reason = "progress and failures are talk")]
fn tell(seed: u64, options: Options) {
    let (operations, Outcome { broken, trace, .. }) = shrink(seed, options);
    for line in trace {
        eprintln!("{line}");
    }
    if let Some(broken) = broken {
        eprintln!("\nseed {seed} breaks `{}`: {}", broken.rule, broken.what);
    }
    eprintln!("again: cargo run -p sim -- --seeds 1 --from {seed} --operations {operations}");
}

fn planted(arguments: &Arguments) -> bool {
    let mut missed = 0;
    show(&format!("{:24} {:>6}  {:18} {}", "planted bug", "seed", "rule broken", "what is wrong with it"));
    for mutation in Mutation::ALL {
        let found = hunt(*mutation, arguments.from..arguments.from + arguments.seeds);
        missed += u32::from(found.is_none());
        let (seed, rule) = found.map_or(("-".to_owned(), "NOT FOUND"), |(seed, broken)| (seed.to_string(), broken.rule));
        show(&format!("{:24} {seed:>6}  {rule:18} {}", format!("{mutation:?}"), mutation.about()));
    }
    show(&format!(
        "{} of {} found within {} seeds each",
        Mutation::ALL.len() as u32 - missed,
        Mutation::ALL.len(),
        arguments.seeds
    ));
    missed == 0
}

#[expect(clippy::print_stdout, reason = "the result is data")]
fn show(text: &str) {
    println!("{text}");
}
