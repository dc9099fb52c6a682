//! How good estimates are: memory beside known rules, and how often intervals hold, on seeds that nothing was chosen on.

use prediction::{Ended, Estimates, Family, Observation};
use testkit::{Random, rivals::judge};

use super::graphs::geometric;
use crate::report::Report;
use crate::sample::Sample;

/// Measures both.
pub(super) fn measure(report: &mut Report) {
    report.add("memory sizing tuning", sizing(0..8));
    report.add("memory sizing held out", sizing(500..508));
    for (name, draw) in SHAPES {
        let shares: Vec<f64> = (9_000..9_008).map(|seed| coverage(seed, draw)).collect();
        let mut sample = Sample::one("percent", 100.0 * shares.iter().sum::<f64>() / shares.len() as f64);
        sample.0.insert("least", 100.0 * shares.iter().copied().fold(f64::INFINITY, f64::min));
        sample.0.insert("most", 100.0 * shares.iter().copied().fold(0.0, f64::max));
        report.add(&format!("intervals {name}"), sample);
    }
}

/// Waste beside that of the best of the known rules on each trace.
fn sizing(seeds: std::ops::Range<u64>) -> Sample {
    let judged: Vec<_> = seeds.map(judge).collect();
    let to_best: Vec<f64> = judged.iter().map(|of| of.ours / of.best_of_others()).collect();
    let mut sample = Sample::one("to_best_known", geometric(&to_best));
    sample.0.insert("worst", to_best.iter().copied().fold(0.0, f64::max));
    let all: [(&'static str, Vec<f64>); 4] = [
        ("to_witt_regression", judged.iter().map(|of| of.ours / of.witt_regression).collect()),
        ("to_percentile_95", judged.iter().map(|of| of.ours / of.percentile_95).collect()),
        ("to_percentile_99", judged.iter().map(|of| of.ours / of.percentile_99).collect()),
        ("to_tovar", judged.iter().map(|of| of.ours / of.tovar).collect()),
    ];
    sample.0.extend(all.map(|(name, of)| (name, geometric(&of))));
    sample
}

type Draw = fn(&mut Random, u32) -> f64;

const SHAPES: [(&str, Draw); 5] = [
    ("log-normal", |random, _| 60.0 * (0.5 * random.normal()).exp()),
    ("heavy tail", |random, _| 10.0 / random.share().max(1e-6).powf(0.5)),
    ("uniform", |random, _| 10.0 + 90.0 * random.share()),
    ("two kinds", |random, _| if random.share() < 0.3 { 300.0 } else { 20.0 } * (0.1 * random.normal()).exp()),
    ("drifting", |random, number| (30.0 + f64::from(number)) * (0.3 * random.normal()).exp()),
];

/// The share of values of tasks inside of what was said of them before.
fn coverage(seed: u64, draw: Draw) -> f64 {
    let mut random = Random(seed);
    let family = Family { workflow: "bench/one", path: "task", work: "run" };
    let (mut inside, mut all) = (0.0, 0.0);
    for _ in 0..30 {
        let mut estimates = Estimates::default();
        for number in 0..300 {
            let wall_s = draw(&mut random, number);
            if let Some(said) = estimates.duration(&family, "a") {
                inside += f64::from(u8::from((said.low..=said.high).contains(&wall_s)));
                all += 1.0;
            }
            estimates.learn(&Observation {
                family,
                site: "a",
                ended: Ended::Succeeded,
                wall_s,
                memory_bytes: 0.0,
                asked_bytes: 0.0,
                bytes_in: 0.0,
                bytes_out: 0.0,
                wait_s: 0.0,
                overhead_s: 0.0,
            });
        }
    }
    inside / all
}
