//! Single graphs: what a plan comes to, beside what no plan can be better than.

use std::time::Instant;

use placement::objective::Settings;
use placement::search::{Effort, search};
use placement::sim::{AsExpected, Chooser, Played, play};

use super::bound::{bound, optimum};
use super::worlds::graph;
use crate::report::Report;
use crate::sample::Sample;

/// Plays that looking for the best plan of a graph may take: some seconds.
const PLAYS_MAX: u64 = 3_000_000;

/// A set of graphs.
pub(super) struct Set {
    pub(super) name: &'static str,
    pub(super) seeds: std::ops::Range<u64>,
    pub(super) sizes: &'static [usize],
    /// Whether the bound is of whole sites, or its relaxation.
    pub(super) whole: bool,
}

/// Plays of moved plans for a graph of so many tasks.
pub(super) fn moves(tasks: usize) -> u32 {
    (8_000_000 / tasks.max(20) as u32).clamp(8_000, 200_000)
}

fn is_late(played: &Played) -> bool {
    played.late.iter().any(|late| *late > 1e-6)
}

/// Ratios of one rule, and how many deadlines it missed.
#[derive(Default)]
struct Row {
    ratios: Vec<f64>,
    late: u32,
}

/// Measures a set.
pub(super) fn measure(set: &Set, report: &mut Report) {
    let mut rows: Vec<(&str, Row)> = Vec::new();
    let mut note = |name: &'static str, ratio: f64, late: bool| {
        if rows.iter().all(|(known, _)| *known != name) {
            rows.push((name, Row::default()));
        }
        for (_, row) in rows.iter_mut().filter(|(known, _)| *known == name) {
            row.ratios.push(ratio);
            row.late += u32::from(late);
        }
    };
    let (mut slowest, mut to_best, mut bound_to_best) = (0.0f64, Vec::new(), Vec::new());
    for seed in set.seeds.clone() {
        let world = graph(seed, set.sizes);
        let begun = Instant::now();
        let found = search(&world, &Effort { moves: moves(world.tasks.len()), seed: 1 });
        slowest = slowest.max(begun.elapsed().as_secs_f64());
        let relaxed = bound(&world, set.whole, found.played.total());
        // Where the best assignment of all is known, that is what a plan is held against; the program is a bound of what cannot be done either.
        let best = set.whole.then(|| optimum(&world, &found.sites, PLAYS_MAX)).flatten();
        let least = best.unwrap_or(relaxed);
        let one = |site: u16| Chooser::Fixed(world.tasks.iter().map(|_| site).collect());
        let mut avoidable = false;
        for (name, chooser) in [
            ("on premises only", one(0)),
            ("one cloud only", one(1)),
            ("cheapest", Chooser::Cheapest),
            ("HEFT", Chooser::EarliestFinish),
            ("queue burst", Chooser::QueueBurst(1.0)),
            ("objective", Chooser::Priced(Settings::default())),
        ] {
            let played = play(&world, &chooser, &AsExpected);
            avoidable |= !is_late(&played);
            note(name, played.total() / least, is_late(&played));
        }
        note("rollout", found.before_moves / least, false);
        note("plan", found.played.total() / least, is_late(&found.played) && avoidable);
        note("plan of the program", found.played.total() / relaxed, false);
        if let Some(best) = best {
            to_best.push(found.played.total() / best);
            bound_to_best.push(best / relaxed);
        }
        eprintln!(
            "{} {seed}: {} tasks, plan {:.3} of the bound{}",
            set.name,
            world.tasks.len(),
            found.played.total() / least,
            best.map_or(String::new(), |best| format!(
                ", {:.3} of the best plan, which is {:.3} of it",
                found.played.total() / best,
                best / relaxed
            ))
        );
    }
    for (name, row) in rows {
        let mut sample = Sample::default();
        sample.0.insert("geometric_mean", geometric(&row.ratios));
        sample.0.insert("worst", row.ratios.iter().copied().fold(0.0, f64::max));
        sample.0.insert("late", f64::from(row.late));
        if name == "plan" {
            sample.0.insert("slowest_s", slowest);
            if !to_best.is_empty() {
                sample.0.insert("best_known_of", to_best.len() as f64);
                sample.0.insert("to_best_mean", geometric(&to_best));
                sample.0.insert("to_best_worst", to_best.iter().copied().fold(0.0, f64::max));
                sample.0.insert("bound_gap_worst", bound_to_best.iter().copied().fold(0.0, f64::max));
            }
        }
        report.add(&format!("graphs {} {name}", set.name), sample);
    }
}

/// The geometric mean.
pub(super) fn geometric(ratios: &[f64]) -> f64 {
    (ratios.iter().map(|ratio| ratio.ln()).sum::<f64>() / ratios.len().max(1) as f64).exp()
}
