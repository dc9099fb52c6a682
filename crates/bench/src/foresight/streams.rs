//! Streams of workflows with noise and preemption, on seeds that settings were chosen on and on seeds that they were not.

use placement::objective::Settings;
use placement::sim::{Chooser, play};

use super::worlds::{Noisy, stream};
use crate::report::Report;
use crate::sample::Sample;

const MARGINS: [f64; 6] = [1.0, 0.8, 0.65, 0.5, 0.35, 0.2];
/// What the objective is held against.
const KNOWN: [&str; 5] = ["HEFT", "queue burst", "spot only", "on demand only", "cheapest"];

fn choosers() -> Vec<(String, Chooser)> {
    let known = [Chooser::EarliestFinish, Chooser::QueueBurst(1.0), Chooser::Cheapest, Chooser::Cheapest, Chooser::Cheapest];
    let mut all: Vec<(String, Chooser)> = KNOWN.iter().map(|name| (*name).to_owned()).zip(known).collect();
    for margin in MARGINS {
        all.push((format!("margin {margin}"), Chooser::Priced(Settings { margin, ..Settings::default() })));
    }
    let variants = MARGINS.map(|margin| Settings { margin, ..Settings::default() }).to_vec();
    all.push(("rollout".into(), Chooser::Rollout { variants, futures: 6, stray: 0.35 }));
    all
}

/// Plays the seeds with every rule.
pub(super) fn measure(name: &str, seeds: std::ops::Range<u64>, report: &mut Report) {
    let choosers = choosers();
    let mut sums = vec![(0.0, 0.0, 0.0); choosers.len()];
    let flows = (seeds.end - seeds.start) as f64 * 24.0;
    for seed in seeds {
        let world = stream(seed);
        let only = |site: u16| {
            Chooser::Fixed(world.tasks.iter().map(|task| if world.may(task, site.into()) { site } else { 0 }).collect())
        };
        for ((rule, chooser), sum) in choosers.iter().zip(&mut sums) {
            let chooser = match rule.as_str() {
                "spot only" => only(2),
                "on demand only" => only(1),
                _ => chooser.clone(),
            };
            let played = play(&world, &chooser, &Noisy { seed, stray: 0.35 });
            let late = played.late.iter().filter(|late| **late > 1e-6).count() as f64;
            *sum = (sum.0 + played.total(), sum.1 + played.money, sum.2 + late);
        }
        eprintln!("streams {name}: seed {seed}");
    }
    let of = |wanted: &str| choosers.iter().position(|(rule, _)| rule == wanted).and_then(|at| sums.get(at)).copied();
    let best = KNOWN.iter().filter_map(|rule| of(rule)).map(|sum| sum.0).fold(f64::INFINITY, f64::min);
    let heft = of("HEFT").unwrap_or_default();
    for ((rule, _), (total, bill, late)) in choosers.iter().zip(&sums) {
        let mut sample = Sample::default();
        sample.0.insert("objective", *total);
        sample.0.insert("bill", *bill);
        sample.0.insert("late_percent", late / flows * 100.0);
        sample.0.insert("to_best_known", total / best);
        sample.0.insert("late_points_over_HEFT", (late - heft.2) / flows * 100.0);
        report.add(&format!("streams {name} {rule}"), sample);
    }
}
