//! What the local search gains in the time that it is given, so that its effort is chosen by a figure and not by a feeling.
//!
//! The protocol, written down before it was run. Graphs of `worlds.rs` with 24 to 200 tasks; seeds 0..20 are tuning: the effort of admission may be changed by
//! them. Seeds 6000..6020 are held out: they are run for the table, and nothing is changed after that. The search counts plays and reads no clock,
//! so that a budget of time becomes a number of moves first: half of them are tried once and their time is taken, beside the time of the
//! variants of the rule alone, which is not part of the budget. What comes of that number is reported: the geometric mean and the worst of what the
//! plan comes to as a part of what it came to before tasks were moved (less is better), the share of graphs on which it came to less by one in a
//! thousand, and the moves and milliseconds that it really were (medians). Plans depend on the machine through the number of moves alone.

use std::time::Instant;

use placement::search::{Effort, Found, search};
use placement::world::World;

use super::worlds::graph;
use crate::report::Report;
use crate::sample::{Sample, quantile};

const SETS: [(&str, std::ops::Range<u64>); 2] = [("tuning", 0..20), ("held out", 6_000..6_020)];
/// Milliseconds for moves.
const BUDGETS: [u32; 6] = [0, 5, 10, 20, 40, 80];
const SIZES: [usize; 5] = [24, 40, 60, 100, 200];
/// Moves that are tried first, to see how long one takes.
const PROBE: u32 = 500;
/// More than any machine does in the longest budget.
const MOVES_MAX: f64 = 2e6;

/// What one graph came to with one budget.
struct Gained {
    to_before: f64,
    moves: f64,
    took_ms: f64,
}

/// Searches every graph with every budget.
pub(super) fn measure(report: &mut Report) {
    for (set, seeds) in SETS {
        let worlds: Vec<World> = seeds.map(|seed| graph(seed, &SIZES)).collect();
        for budget_ms in BUDGETS {
            let gained: Vec<Gained> = worlds.iter().map(|world| gained(world, budget_ms)).collect();
            report.add(&format!("search {set} {budget_ms} ms"), sample(&gained));
        }
        eprintln!("search {set}: done");
    }
}

fn gained(world: &World, budget_ms: u32) -> Gained {
    let (_, variants_ms) = timed(world, 0);
    let moves_ms = |moves: u32| (timed(world, moves).1 - variants_ms).max(1e-3);
    let budget = f64::from(budget_ms);
    // What is given up early makes a late move cheaper than an early one: the second look is at about as many moves as there will be.
    let first = (f64::from(PROBE) * budget / moves_ms(PROBE)).min(MOVES_MAX);
    let looked = ((first / 2.0) as u32).max(1);
    let moves = (f64::from(looked) * budget / moves_ms(looked)).min(MOVES_MAX) as u32;
    let (found, took_ms) = timed(world, moves);
    Gained {
        to_before: found.played.total() / found.before_moves,
        moves: f64::from(moves),
        took_ms: (took_ms - variants_ms).max(0.0),
    }
}

fn timed(world: &World, moves: u32) -> (Found, f64) {
    let begun = Instant::now();
    let found = search(world, &Effort { moves, seed: 1 });
    (found, begun.elapsed().as_secs_f64() * 1e3)
}

fn sample(gained: &[Gained]) -> Sample {
    let sorted = |of: fn(&Gained) -> f64| {
        let mut all: Vec<f64> = gained.iter().map(of).collect();
        all.sort_by(f64::total_cmp);
        all
    };
    let parts = sorted(|gained| gained.to_before);
    let count = parts.len() as f64;
    let logs: f64 = parts.iter().map(|part| part.ln()).sum();
    let less = parts.iter().filter(|part| **part < 0.999).count() as f64;
    Sample::one("to_before_moves", (logs / count).exp())
        .with("worst", quantile(&parts, 1.0))
        .with("better_percent", less / count * 100.0)
        .with("moves", quantile(&sorted(|gained| gained.moves), 0.5))
        .with("took_ms", quantile(&sorted(|gained| gained.took_ms), 0.5))
        .with("graphs", count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_time_moves_nothing_and_time_makes_no_plan_worse() {
        let world = graph(3, &[24]);
        let none = gained(&world, 0);
        assert_eq!((none.to_before, none.moves), (1.0, 0.0));
        let some = gained(&world, 5);
        assert!(some.moves >= 1.0 && some.to_before <= 1.0, "{} by {}", some.to_before, some.moves);
    }

    #[test]
    fn what_is_reported_is_the_geometric_mean_and_the_worst() {
        let one = |to_before: f64| Gained { to_before, moves: 10.0, took_ms: 1.0 };
        let sample = sample(&[one(0.5), one(1.0), one(0.5), one(1.0)]);
        let of = |name: &str| sample.0.get(name).copied().unwrap();
        assert!((of("to_before_moves") - 0.5f64.sqrt()).abs() < 1e-12);
        assert_eq!((of("worst"), of("better_percent"), of("graphs")), (1.0, 50.0, 4.0));
    }
}
