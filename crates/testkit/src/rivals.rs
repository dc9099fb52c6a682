//! The rules for requests of memory that [`prediction::sizing`] is held against, and the traces on which it is: what tests and figures have in
//! common.
//!
//! A past is a list of what attempts read and what they held at most, in bytes.

use placement::search::Random;
use prediction::Beliefs;
use prediction::sizing::{Sizer, wasted};

/// Attempts of a task before the first that is judged.
const BEFORE: usize = 30;
/// Attempts of a task in a trace.
const ATTEMPTS: usize = 250;
/// Tasks of a trace: one of each kind.
const KINDS: u32 = 6;
/// Seconds that every attempt runs.
const WALL_S: f64 = 60.0;

/// A percentile of what was held.
pub fn percentile(past: &[(f64, f64)], share: f64) -> f64 {
    let mut peaks: Vec<f64> = past.iter().map(|sample| sample.1).collect();
    peaks.sort_by(f64::total_cmp);
    peaks.get((peaks.len().saturating_sub(1) as f64 * share).round() as usize).copied().unwrap_or_default()
}

/// Witt's linear regression with the standard deviation of its residuals on top (Witt, Wagner and Leser 2019).
pub fn witt_regression(past: &[(f64, f64)], bytes_in: f64) -> f64 {
    let n = past.len().max(1) as f64;
    let (mean_x, mean_y) = (past.iter().map(|s| s.0).sum::<f64>() / n, past.iter().map(|s| s.1).sum::<f64>() / n);
    let across: f64 = past.iter().map(|s| (s.0 - mean_x).powi(2)).sum();
    let slope = past.iter().map(|s| (s.0 - mean_x) * (s.1 - mean_y)).sum::<f64>() / across.max(1e-9);
    let line = |x: f64| mean_y + slope * (x - mean_x);
    let deviation = (past.iter().map(|s| (s.1 - line(s.0)).powi(2)).sum::<f64>() / n).sqrt();
    line(bytes_in) + deviation
}

/// Tovar's first allocation: of the peaks seen, the one that would have wasted least if the next request were the largest.
pub fn tovar(past: &[(f64, f64)]) -> f64 {
    let largest = past.iter().map(|sample| sample.1).fold(0.0, f64::max);
    let cost =
        |first: f64| past.iter().map(|(_, peak)| if *peak <= first { first - peak } else { first + largest - peak }).sum::<f64>();
    past.iter().map(|sample| sample.1).min_by(|a, b| cost(*a).total_cmp(&cost(*b))).unwrap_or(largest)
}

/// A task whose memory follows its input, or does not, in one of six ways.
fn attempts(random: &mut Random, kind: u32) -> Vec<(f64, f64)> {
    let one = |_| {
        let bytes_in = 1e8 * (0.9 * random.normal()).exp();
        let noise = (0.06 * random.normal()).exp();
        let peak = match kind {
            0 => 5e8 + 6.0 * bytes_in,
            1 => 2e4 * bytes_in.powf(0.6),
            2 if bytes_in < 1e8 => 6e8,
            2 => 4e9,
            3 => 1e9 * (0.3 * random.normal()).exp(),
            4 => 3e8 + 0.05 * bytes_in.powf(1.2),
            _ if random.share() < 0.1 => 8e9,
            _ => 1e9,
        };
        (bytes_in, peak * noise)
    };
    (0..ATTEMPTS).map(one).collect()
}

/// Byte-seconds that the rules waste on a trace.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wasted {
    /// Ours.
    pub ours: f64,
    /// Witt's regression.
    pub witt_regression: f64,
    /// Witt's percentile of 95.
    pub percentile_95: f64,
    /// And of 99.
    pub percentile_99: f64,
    /// Tovar's first allocation.
    pub tovar: f64,
}

impl Wasted {
    /// The best of the others.
    pub fn best_of_others(&self) -> f64 {
        self.witt_regression.min(self.percentile_95).min(self.percentile_99).min(self.tovar)
    }
}

/// Plays a trace: one task of each kind; a rule is judged by all that it wastes on it, from the thirtieth attempt of each task on. Seeds below 100
/// were looked at when the models were chosen.
pub fn judge(seed: u64) -> Wasted {
    judge_believing(seed, Beliefs::default())
}

/// The same when ours believes something else.
pub fn judge_believing(seed: u64, beliefs: Beliefs) -> Wasted {
    let (mut random, mut sums) = (Random(seed), Wasted::default());
    for kind in 0..KINDS {
        let attempts = attempts(&mut random, kind);
        let mut sizer = Sizer::believing(beliefs);
        let mut largest = 0.0f64;
        for (number, (bytes_in, peak)) in attempts.iter().enumerate() {
            if number >= BEFORE {
                let past = attempts.get(..number).unwrap_or_default();
                let waste = |request: f64| wasted(request.max(1.0), *peak, largest, WALL_S);
                sums.ours += waste(sizer.advise(*bytes_in, None).map_or(largest, |advice| advice.bytes));
                sums.witt_regression += waste(witt_regression(past, *bytes_in));
                sums.percentile_95 += waste(percentile(past, 0.95));
                sums.percentile_99 += waste(percentile(past, 0.99));
                sums.tovar += waste(tovar(past));
            }
            sizer.learn(*bytes_in, *peak, WALL_S, false);
            largest = largest.max(*peak);
        }
    }
    sums
}
