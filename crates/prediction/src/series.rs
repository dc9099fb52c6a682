//! A positive quantity as it was seen, and what the next value will be.

use crate::beliefs::Beliefs;
use crate::normal::student_quantile;
use crate::window::Window;

/// The share of values that may lie outside of the interval.
const MISSES: f64 = 0.10;

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
        Series { logs: Window::default(), seen: 0, aim: MISSES, judged: 0, covered: 0 }
    }
}

impl Series {
    /// Takes a value in, after judging what would have been said of it.
    pub fn learn(&mut self, value: f64, beliefs: &Beliefs) {
        if !value.is_finite() || value <= 0.0 {
            return;
        }
        if let Some(said) = self.interval(beliefs) {
            let hit = (said.low..=said.high).contains(&value);
            self.judged += 1;
            self.covered += u64::from(hit);
            let missed = f64::from(u8::from(!hit));
            self.aim = (self.aim + beliefs.step * (MISSES - missed)).clamp(0.004, 0.4);
        }
        self.logs.push(value.ln(), beliefs.window);
        self.seen += 1;
    }

    /// Where the next value will lie with 90 of 100; none before the first value.
    pub fn interval(&self, beliefs: &Beliefs) -> Option<Interval> {
        let mid = self.logs.quantile(0.5)?;
        let (low, high) = (self.log_at(self.aim / 2.0, beliefs), self.log_at(1.0 - self.aim / 2.0, beliefs));
        Some(Interval { low: low.min(mid).exp(), mid: mid.exp(), high: high.max(mid).exp() })
    }

    /// The value that the next one stays below with probability `p`.
    pub fn at(&self, p: f64, beliefs: &Beliefs) -> Option<f64> {
        (self.logs.len() > 0).then(|| self.log_at(p, beliefs).exp())
    }

    fn log_at(&self, p: f64, beliefs: &Beliefs) -> f64 {
        let n = self.logs.len();
        if n >= beliefs.order_from && p * (n + 1) as f64 >= 1.0 && (1.0 - p) * (n + 1) as f64 >= 1.0 {
            return self.logs.quantile(p).unwrap_or_default();
        }
        let freedom = beliefs.spread_worth + n as f64 - 1.0;
        let reach = self.deviation(beliefs) * (1.0 + 1.0 / n.max(1) as f64).sqrt();
        self.logs.mean() + student_quantile(p, freedom) * reach
    }

    /// The standard deviation of the logarithms, with what was believed before the first value.
    pub fn deviation(&self, beliefs: &Beliefs) -> f64 {
        let (n, worth) = (self.logs.len() as f64, beliefs.spread_worth);
        ((worth * beliefs.spread.powi(2) + self.logs.squares()) / (worth + n - 1.0).max(1.0)).sqrt()
    }

    /// The mean of the next value, of a log-normal variable of this spread; at most four times the median, since one wild value says
    /// little of the next.
    pub fn mean(&self, beliefs: &Beliefs) -> Option<f64> {
        let mid = self.logs.quantile(0.5)?.exp();
        Some(mid * (self.deviation(beliefs).powi(2) / 2.0).exp().min(4.0))
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
        let (mut series, beliefs) = (Series::default(), Beliefs::default());
        assert_eq!(series.interval(&beliefs), None);
        series.learn(10.0, &beliefs);
        let first = series.interval(&beliefs).unwrap();
        assert!(first.low < 5.0 && first.high > 20.0, "{first:?}");
        (0..60).for_each(|_| series.learn(10.0, &beliefs));
        let later = series.interval(&beliefs).unwrap();
        assert!(later.high - later.low < first.high - first.low);
        assert!((later.mid - 10.0).abs() < 1e-9);
    }

    #[test]
    fn what_is_no_quantity_teaches_nothing() {
        let (mut series, beliefs) = (Series::default(), Beliefs::default());
        [0.0, -1.0, f64::NAN, f64::INFINITY].into_iter().for_each(|value| series.learn(value, &beliefs));
        assert_eq!(series.seen(), 0);
    }

    #[test]
    fn a_task_that_changed_is_known_anew() {
        let (mut series, beliefs) = (Series::default(), Beliefs::default());
        (0..200).for_each(|n| series.learn(10.0 + f64::from(n % 5), &beliefs));
        (0..40).for_each(|n| series.learn(100.0 + f64::from(n % 5), &beliefs));
        let now = series.interval(&beliefs).unwrap();
        assert!(now.high > 100.0, "the interval reaches the new values: {now:?}");
        (0..100).for_each(|n| series.learn(100.0 + f64::from(n % 5), &beliefs));
        assert!(series.interval(&beliefs).unwrap().low > 75.0);
    }
}
