//! A positive quantity as it was seen, and what the next value will be.

use crate::normal::student_quantile;
use crate::window::Window;

/// Values that are looked back on.
const WINDOW: usize = 96;
/// From so many values on the order of what was seen is believed; below, a distribution with wide tails is.
const ORDER_FROM: usize = 24;
/// How far values of a new series lie apart, as a standard deviation of logarithms, and how many values that belief is worth.
const SPREAD: (f64, f64) = (0.5, 2.0);
/// The share of values that may lie outside of the interval.
const MISSES: f64 = 0.10;
/// How fast the interval widens after a miss (adaptive conformal inference, Gibbs and Candès 2021).
const STEP: f64 = 0.01;

/// Where the next value will lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Below it lie 5 of 100.
    pub low: f64,
    /// As many lie below as above.
    pub mid: f64,
    /// Above it lie 5 of 100.
    pub high: f64,
}

/// A positive quantity as it was seen.
#[derive(Clone, Debug)]
pub struct Series {
    logs: Window,
    seen: u64,
    /// The share of misses that is aimed at now, so that the share that comes out is [`MISSES`].
    aim: f64,
    judged: u64,
    covered: u64,
}

impl Default for Series {
    fn default() -> Self {
        Series { logs: Window::new(WINDOW), seen: 0, aim: MISSES, judged: 0, covered: 0 }
    }
}

impl Series {
    /// Takes a value in, after judging what would have been said of it.
    pub fn learn(&mut self, value: f64) {
        if !value.is_finite() || value <= 0.0 {
            return;
        }
        if let Some(said) = self.interval() {
            let hit = (said.low..=said.high).contains(&value);
            self.judged += 1;
            self.covered += u64::from(hit);
            let missed = f64::from(u8::from(!hit));
            self.aim = (self.aim + STEP * (MISSES - missed)).clamp(0.004, 0.4);
        }
        self.logs.push(value.ln());
        self.seen += 1;
    }

    /// Where the next value will lie with 90 of 100; none before the first value.
    pub fn interval(&self) -> Option<Interval> {
        let mid = self.logs.quantile(0.5)?;
        let (low, high) = (self.log_at(self.aim / 2.0), self.log_at(1.0 - self.aim / 2.0));
        Some(Interval { low: low.min(mid).exp(), mid: mid.exp(), high: high.max(mid).exp() })
    }

    /// The value that the next one stays below with probability `p`.
    pub fn at(&self, p: f64) -> Option<f64> {
        (self.logs.len() > 0).then(|| self.log_at(p).exp())
    }

    fn log_at(&self, p: f64) -> f64 {
        let n = self.logs.len();
        if n >= ORDER_FROM && p * (n + 1) as f64 >= 1.0 && (1.0 - p) * (n + 1) as f64 >= 1.0 {
            return self.logs.quantile(p).unwrap_or_default();
        }
        let freedom = SPREAD.1 + n as f64 - 1.0;
        let reach = self.deviation() * (1.0 + 1.0 / n.max(1) as f64).sqrt();
        self.logs.mean() + student_quantile(p, freedom) * reach
    }

    /// The standard deviation of the logarithms, with what was believed before the first value.
    pub fn deviation(&self) -> f64 {
        let n = self.logs.len() as f64;
        ((SPREAD.1 * SPREAD.0.powi(2) + self.logs.squares()) / (SPREAD.1 + n - 1.0).max(1.0)).sqrt()
    }

    /// The mean of the next value, of a log-normal variable of this spread; at most four times the median, since one wild value says
    /// little of the next.
    pub fn mean(&self) -> Option<f64> {
        let mid = self.logs.quantile(0.5)?.exp();
        Some(mid * (self.deviation().powi(2) / 2.0).exp().min(4.0))
    }

    /// How many values it has seen.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// The share of values that lay inside the interval that was said of them before they came, and how many were judged.
    pub fn coverage(&self) -> (f64, u64) {
        (self.covered as f64 / self.judged.max(1) as f64, self.judged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_gives_a_wide_interval_and_more_a_narrower_one() {
        let mut series = Series::default();
        assert_eq!(series.interval(), None);
        series.learn(10.0);
        let first = series.interval().unwrap();
        assert!(first.low < 5.0 && first.high > 20.0, "{first:?}");
        (0..60).for_each(|_| series.learn(10.0));
        let later = series.interval().unwrap();
        assert!(later.high - later.low < first.high - first.low);
        assert!((later.mid - 10.0).abs() < 1e-9);
    }

    #[test]
    fn what_is_no_quantity_teaches_nothing() {
        let mut series = Series::default();
        [0.0, -1.0, f64::NAN, f64::INFINITY].into_iter().for_each(|value| series.learn(value));
        assert_eq!(series.seen(), 0);
    }

    #[test]
    fn a_task_that_changed_is_known_anew() {
        let mut series = Series::default();
        (0..200).for_each(|n| series.learn(10.0 + f64::from(n % 5)));
        (0..40).for_each(|n| series.learn(100.0 + f64::from(n % 5)));
        let now = series.interval().unwrap();
        assert!(now.high > 100.0, "the interval reaches the new values: {now:?}");
        (0..100).for_each(|n| series.learn(100.0 + f64::from(n % 5)));
        assert!(series.interval().unwrap().low > 75.0);
    }
}
