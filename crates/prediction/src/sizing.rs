//! How much memory to ask for: the pair of a model and a quantile that would have wasted least so far, its failures included.
//!
//! Waste is what was reserved and not held, in byte-seconds; an attempt that was killed wasted all that it had reserved. Every pair is
//! judged by every value before it is taken in, so that no knob is turned by what it is to be measured with.

use std::collections::VecDeque;

use crate::beliefs::Beliefs;
use crate::window::quantile_of;

/// The quantiles of each model.
pub const QUANTILES: [f64; 9] = [0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 1.0];
/// The models.
pub const MODELS: [Model; 6] =
    [Model::Constant, Model::Linear, Model::LogLinear, Model::Nearest(5), Model::Nearest(12), Model::LeastWaste];
/// What the peak that would have wasted least is multiplied with, in the place of each quantile.
const PADS: [f64; 9] = [1.0, 1.01, 1.02, 1.04, 1.06, 1.1, 1.15, 1.25, 1.4];
/// Values from which on advice is given.
const ENOUGH: usize = 4;
/// Beyond the largest that was seen, the next request after a kill.
const ABOVE_LARGEST: f64 = 1.05;
/// The smallest request.
const LEAST_BYTES: f64 = (16u64 << 20) as f64;

/// How memory hangs on the size of what is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// Not at all.
    Constant,
    /// A part of it and something fixed, times a quantile of the ratios.
    Linear,
    /// A power of it, fitted on logarithms, times a quantile of the residuals.
    LogLinear,
    /// As that of the so many nearest sizes.
    Nearest(usize),
    /// Not at all; the peak that would have wasted least if all that was killed had asked for the largest next (Tovar and others 2018),
    /// and somewhat more in the place of each quantile.
    LeastWaste,
}

/// How much to ask for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Advice {
    /// Bytes.
    pub bytes: f64,
    /// The model that would have wasted least.
    pub model: Model,
    /// Its quantile.
    pub quantile: f64,
    /// Values it is from.
    pub samples: usize,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    log_in: f64,
    peak: f64,
}

/// Learns how much memory a task holds.
#[derive(Clone, Debug, Default)]
pub struct Sizer {
    samples: VecDeque<Sample>,
    /// By model, then quantile.
    waste: Vec<f64>,
    /// The largest peak that was seen, of attempts that were killed too.
    largest: f64,
    /// The largest that was enough.
    enough: f64,
    beliefs: Beliefs,
}

impl Sizer {
    /// Nothing seen yet.
    pub fn believing(beliefs: Beliefs) -> Sizer {
        Sizer { beliefs, ..Sizer::default() }
    }

    /// Takes in an attempt: what it read, what it held at most, how long. Of one that was killed only a lower bound is known.
    pub fn learn(&mut self, bytes_in: f64, peak: f64, wall_s: f64, killed: bool) {
        if !peak.is_finite() || peak <= 0.0 {
            return;
        }
        self.largest = self.largest.max(peak);
        if killed {
            // What it would have needed is not known: the next request is above it, and it teaches the models nothing.
            return;
        }
        self.enough = self.enough.max(peak);
        let sample = Sample { log_in: bytes_in.max(1.0).ln(), peak };
        if self.samples.len() >= ENOUGH {
            self.judge(sample, wall_s.max(1e-3));
        }
        if self.samples.len() >= self.beliefs.sizes {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }

    fn judge(&mut self, sample: Sample, wall_s: f64) {
        let said = self.all(sample.log_in);
        self.waste.resize(said.len(), 0.0);
        let kept = self.beliefs.waste_kept;
        for (waste, request) in self.waste.iter_mut().zip(said) {
            *waste = *waste * kept + wasted(request.max(LEAST_BYTES), sample.peak, self.largest, wall_s);
        }
    }

    /// What every pair says, by model and then quantile.
    fn all(&self, log_in: f64) -> Vec<f64> {
        let mut said = Vec::with_capacity(MODELS.len() * QUANTILES.len());
        let mut by_size: Vec<f64> = self.samples.iter().map(|sample| sample.peak).collect();
        by_size.sort_by(f64::total_cmp);
        let (slope, intercept) = fit(self.samples.iter().map(|sample| (sample.log_in, sample.peak.ln())), (-2.0, 4.0));
        let line = |at: f64| intercept + slope * at;
        let mut residuals: Vec<f64> = self.samples.iter().map(|sample| sample.peak.ln() - line(sample.log_in)).collect();
        residuals.sort_by(f64::total_cmp);
        let (part, fixed) = fit(self.samples.iter().map(|sample| (sample.log_in.exp(), sample.peak)), (0.0, 1e6));
        let plain = |log_in: f64| (fixed + part * log_in.exp()).max(LEAST_BYTES);
        let mut ratios: Vec<f64> = self.samples.iter().map(|sample| sample.peak / plain(sample.log_in)).collect();
        ratios.sort_by(f64::total_cmp);
        let least = least_waste(&by_size);
        for model in MODELS {
            let nearest = match model {
                Model::Nearest(count) => self.nearest(log_in, count),
                _ => Vec::new(),
            };
            for (quantile, pad) in QUANTILES.into_iter().zip(PADS) {
                said.push(match model {
                    Model::LeastWaste => least * pad,
                    Model::Constant => quantile_of(&by_size, quantile).unwrap_or_default(),
                    Model::Linear => (plain(log_in) * quantile_of(&ratios, quantile).unwrap_or(1.0)).min(self.largest * 10.0),
                    // A line through few points can lead anywhere; ten times the largest is as far as it is believed.
                    Model::LogLinear => {
                        let log = line(log_in) + quantile_of(&residuals, quantile).unwrap_or_default();
                        log.min((self.largest * 10.0).ln()).exp()
                    }
                    Model::Nearest(_) => quantile_of(&nearest, quantile).unwrap_or_default(),
                });
            }
        }
        said
    }

    fn nearest(&self, log_in: f64, count: usize) -> Vec<f64> {
        let mut by_distance: Vec<(f64, f64)> =
            self.samples.iter().map(|sample| ((sample.log_in - log_in).abs(), sample.peak)).collect();
        by_distance.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut peaks: Vec<f64> = by_distance.into_iter().take(count).map(|(_, peak)| peak).collect();
        peaks.sort_by(f64::total_cmp);
        peaks
    }

    /// How much to ask for. After a kill: what was enough for others, or else twice what was not, and above all that was seen. (What was
    /// seen of one that was killed is just above its limit: alone it would be asked for step by step, with a kill at each.)
    pub fn advise(&self, bytes_in: f64, killed_at: Option<f64>) -> Option<Advice> {
        let samples = self.samples.len();
        if let Some(killed_at) = killed_at {
            let known = self.enough * ABOVE_LARGEST;
            let bytes = if known > killed_at * 1.01 { known } else { (killed_at * 2.0).max(self.largest * ABOVE_LARGEST) };
            return Some(Advice { bytes, model: Model::Constant, quantile: 1.0, samples });
        }
        if samples < ENOUGH {
            return None;
        }
        let said = self.all(bytes_in.max(1.0).ln());
        // Without a judgement yet: the largest seen.
        let fallback = QUANTILES.len() - 1;
        let least = self.waste.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1)).map_or(fallback, |(index, _)| index);
        let bytes = said.get(least).copied().unwrap_or_default().max(LEAST_BYTES);
        let model = MODELS.get(least / QUANTILES.len()).copied().unwrap_or(Model::Constant);
        let quantile = QUANTILES.get(least % QUANTILES.len()).copied().unwrap_or(1.0);
        Some(Advice { bytes, model, quantile, samples })
    }
}

/// The line of least squares through points: its slope within bounds, and where it begins.
fn fit(points: impl Iterator<Item = (f64, f64)> + Clone, bounds: (f64, f64)) -> (f64, f64) {
    let n = points.clone().count().max(1) as f64;
    let (sum_x, sum_y) = points.clone().fold((0.0, 0.0), |sums, (x, y)| (sums.0 + x, sums.1 + y));
    let (mean_x, mean_y) = (sum_x / n, sum_y / n);
    let (along, across) =
        points.fold((0.0, 0.0), |sums, (x, y)| (sums.0 + (x - mean_x) * (y - mean_y), sums.1 + (x - mean_x).powi(2)));
    let slope = if across > 1e-9 { (along / across).clamp(bounds.0, bounds.1) } else { 0.0 };
    (slope, mean_y - slope * mean_x)
}

/// Of sorted peaks the one that wastes least as the first request, when the largest is the second.
fn least_waste(sorted: &[f64]) -> f64 {
    let largest = sorted.last().copied().unwrap_or_default();
    let (all, count) = (sorted.iter().sum::<f64>(), sorted.len() as f64);
    let mut best = (f64::INFINITY, largest);
    for (index, first) in sorted.iter().enumerate() {
        let above = count - (index + 1) as f64;
        let waste = first * count + largest * above - all;
        if waste < best.0 {
            best = (waste, *first);
        }
    }
    best.1
}

/// Byte-seconds that a request wastes on an attempt that holds `peak`: with a kill, all that the killed attempt reserved, and what the next
/// one has too much.
pub fn wasted(request: f64, peak: f64, largest: f64, wall_s: f64) -> f64 {
    let (mut request, mut waste) = (request.max(1.0), 0.0);
    let mut first = true;
    while request < peak {
        waste += request * wall_s;
        request = if first && largest * ABOVE_LARGEST > request { largest * ABOVE_LARGEST } else { request * 2.0 };
        first = false;
    }
    waste + (request - peak) * wall_s
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: f64 = 1_048_576.0;

    #[test]
    fn memory_that_follows_the_input_is_asked_for_by_the_input() {
        let mut sizer = Sizer::default();
        for n in 1..80 {
            let bytes_in = f64::from(n % 20 + 1) * 100.0 * MIB;
            sizer.learn(bytes_in, bytes_in * 2.0, 60.0, false);
        }
        let (small, large) = (sizer.advise(200.0 * MIB, None).unwrap(), sizer.advise(2000.0 * MIB, None).unwrap());
        assert!(small.bytes < 900.0 * MIB && small.bytes >= 390.0 * MIB, "{small:?}");
        assert!(large.bytes > 3900.0 * MIB, "{large:?}");
    }

    #[test]
    fn after_a_kill_more_is_asked_for() {
        let mut sizer = Sizer::default();
        assert_eq!(sizer.advise(0.0, None), None);
        assert_eq!(sizer.advise(0.0, Some(100.0 * MIB)).unwrap().bytes, 200.0 * MIB);
        (0..10).for_each(|_| sizer.learn(1.0, 500.0 * MIB, 1.0, false));
        let next = sizer.advise(0.0, Some(400.0 * MIB)).unwrap().bytes;
        assert!((next - 525.0 * MIB).abs() < MIB);
        assert!(sizer.advise(0.0, Some(600.0 * MIB)).unwrap().bytes >= 1200.0 * MIB);
    }

    #[test]
    fn a_kill_wastes_all_that_was_reserved() {
        assert_eq!(wasted(100.0, 80.0, 80.0, 2.0), 40.0);
        assert!(wasted(70.0, 80.0, 100.0, 1.0) > 70.0);
    }
}
