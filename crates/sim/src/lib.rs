//! Dev: the seeded whole-system simulator.
//!
//! A [`world`] is one server (the engine's own state, steps and codec, with a journal on a simulated disk), sites with fake executors,
//! workers, clients and a clock. Everything follows from its seed. Faults strike at every point; then they stop, and every run has to
//! settle. A [`monitor`] keeps an account of its own and finds what must not have happened. [`Mutation`]s are bugs planted on purpose:
//! the simulator has to find each of them.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod cli;
mod disk;
mod fleet;
mod generate;
mod monitor;
mod mutation;
mod rng;
mod stats;
mod tags;
mod world;

pub use monitor::Broken;
pub use mutation::Mutation;
pub use rng::Rng;
pub use stats::Stats;
pub use world::{Options, Outcome, run};

/// The fewest operations of clients with which a seed still breaks a rule, and what happened last in that world.
pub fn shrink(seed: u64, options: Options) -> (u32, Outcome) {
    let fails = |operations| {
        let outcome = run(seed, Options { operations, trace: true, ..options });
        outcome.broken.is_some().then_some((operations, outcome))
    };
    let smaller = (1..).map(|step| 1u32 << step).take_while(|operations| *operations < options.operations);
    let found = smaller.into_iter().find_map(fails);
    found.unwrap_or_else(|| (options.operations, run(seed, Options { trace: true, ..options })))
}

/// Looks for a planted bug, seed after seed. Gives the seed that found it, and the rule it broke.
pub fn hunt(mutation: Mutation, seeds: std::ops::Range<u64>) -> Option<(u64, Broken)> {
    seeds.into_iter().find_map(|seed| {
        let options = Options { mutation: Some(mutation), ..Options::default() };
        run(seed, options).broken.map(|broken| (seed, broken))
    })
}
