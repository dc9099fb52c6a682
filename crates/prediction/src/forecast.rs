//! How much work will come: a blend of what was a season ago, of the level and of the trend, with intervals from what each has missed by.

use std::collections::VecDeque;

use crate::window::quantile_of;

/// The share of values that may lie outside.
const OUTSIDE: f64 = 0.10;

/// The constants within a forecast. The defaults are held by back-tests: `docs/reference/placement.md` has them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Habits {
    /// Misses that are looked back on for the interval.
    pub misses: usize,
    /// How much of what a model missed by still counts after every step.
    pub kept: f64,
    /// How much less a model counts that misses by more than the best of them.
    pub sharpness: f64,
    /// How fast the interval answers to a value outside (adaptive conformal inference, Gibbs and Candès 2021).
    pub step: f64,
    /// How much of a new value goes into the level.
    pub level: f64,
    /// How much of a change of the level goes into the trend.
    pub trend: f64,
    /// How much of the trend is left with every step that is looked ahead.
    pub damped: f64,
    /// How much wider the square of the interval is with every step that is looked ahead.
    pub reach: f64,
}

impl Default for Habits {
    fn default() -> Self {
        Habits { misses: 200, kept: 0.98, sharpness: 2.0, step: 0.02, level: 0.3, trend: 0.05, damped: 0.9, reach: 0.05 }
    }
}

/// What will come in one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Forecast {
    /// Below it lie 5 of 100.
    pub low: f64,
    /// What is expected.
    pub mid: f64,
    /// Above it lie 5 of 100.
    pub high: f64,
}

/// Learns a series of counts or amounts in steps of equal length.
#[derive(Clone, Debug)]
pub struct Forecaster {
    habits: Habits,
    seasons: Vec<usize>,
    past: VecDeque<f64>,
    level: f64,
    trend: f64,
    /// The mean miss of each model: level, trend, then every season.
    errors: Vec<f64>,
    misses: VecDeque<f64>,
    aim: f64,
    judged: u64,
    covered: u64,
}

impl Forecaster {
    /// For steps of which so many make a season (24 and 168 for hours that follow the day and the week).
    pub fn new(seasons: &[usize]) -> Forecaster {
        Forecaster::with(seasons, Habits::default())
    }

    /// The same with other constants.
    pub fn with(seasons: &[usize], habits: Habits) -> Forecaster {
        Forecaster {
            habits,
            seasons: seasons.to_vec(),
            past: VecDeque::new(),
            level: 0.0,
            trend: 0.0,
            errors: vec![1.0; seasons.len() + 2],
            misses: VecDeque::new(),
            aim: OUTSIDE,
            judged: 0,
            covered: 0,
        }
    }

    /// Takes in the next step.
    pub fn learn(&mut self, value: f64) {
        let value = if value.is_finite() { value.max(0.0) } else { return };
        let habits = self.habits;
        if !self.past.is_empty() {
            let said = self.ahead(1);
            if self.misses.len() >= 10 {
                let hit = (said.low..=said.high).contains(&value);
                self.judged += 1;
                self.covered += u64::from(hit);
                self.aim = (self.aim + habits.step * (OUTSIDE - f64::from(u8::from(!hit)))).clamp(0.01, 0.4);
            }
            let models = self.models(1);
            for (error, model) in self.errors.iter_mut().zip(models) {
                // Before a season is over its model says nothing and is not judged.
                let miss = model.map_or(*error, |said| (said - value).abs());
                *error = *error * habits.kept + miss * (1.0 - habits.kept);
            }
            if self.misses.len() >= habits.misses.max(1) {
                self.misses.pop_front();
            }
            self.misses.push_back(value - said.mid);
        }
        let (before, first) = (self.level, self.past.is_empty());
        self.level = if first { value } else { (1.0 - habits.level) * (self.level + self.trend) + habits.level * value };
        self.trend = if first { 0.0 } else { (1.0 - habits.trend) * self.trend + habits.trend * (self.level - before) };
        let longest = self.seasons.iter().copied().max().unwrap_or(1) * 2;
        if self.past.len() >= longest.max(2) {
            self.past.pop_front();
        }
        self.past.push_back(value);
    }

    /// What each model says of the step `ahead` steps from the last.
    fn models(&self, ahead: usize) -> Vec<Option<f64>> {
        let damped: f64 = (1..=ahead.min(48)).map(|step| self.habits.damped.powi(step as i32)).sum();
        let mut said = vec![Some(self.level), Some((self.level + self.trend * damped).max(0.0))];
        for season in &self.seasons {
            let back = season - (ahead - 1) % season.max(&1);
            said.push(self.past.len().checked_sub(back).and_then(|at| self.past.get(at)).copied());
        }
        said
    }

    /// What will come in the step `ahead` steps from the last (1 is the next). The interval widens with the distance.
    pub fn ahead(&self, ahead: usize) -> Forecast {
        let ahead = ahead.max(1);
        let models = self.models(ahead);
        let scale = self.errors.iter().copied().fold(f64::INFINITY, f64::min).max(1e-9);
        let (mut sum, mut weights) = (0.0, 0.0);
        for (model, error) in models.iter().zip(&self.errors) {
            if let Some(said) = model {
                let weight = (-self.habits.sharpness * (error / scale - 1.0)).exp();
                sum += weight * said;
                weights += weight;
            }
        }
        let mid = if weights > 0.0 { sum / weights } else { self.level };
        let mut misses: Vec<f64> = self.misses.iter().copied().collect();
        misses.sort_by(f64::total_cmp);
        let reach = (1.0 + self.habits.reach * (ahead - 1) as f64).sqrt();
        let at = |p: f64| quantile_of(&misses, p).unwrap_or_default() * reach;
        // Before there is a miss to learn from: anything between nothing and three times as much.
        if misses.len() < 5 {
            return Forecast { low: 0.0, mid, high: mid * 3.0 + 1.0 };
        }
        Forecast { low: (mid + at(self.aim / 2.0)).max(0.0), mid, high: (mid + at(1.0 - self.aim / 2.0)).max(mid) }
    }

    /// The share of steps that lay inside of the interval said of them, and how many were judged.
    pub fn coverage(&self) -> (f64, u64) {
        (self.covered as f64 / self.judged.max(1) as f64, self.judged)
    }

    /// Steps taken in that are still looked back on.
    pub fn steps(&self) -> usize {
        self.past.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_that_repeats_is_foreseen() {
        let mut forecaster = Forecaster::new(&[24]);
        for hour in 0..240u32 {
            forecaster.learn(if (8..18).contains(&(hour % 24)) { 100.0 } else { 5.0 });
        }
        assert!(forecaster.ahead(1).mid < 20.0, "midnight: {:?}", forecaster.ahead(1));
        assert!(forecaster.ahead(13).mid > 80.0, "noon: {:?}", forecaster.ahead(13));
    }

    #[test]
    fn nothing_seen_and_nonsense_stay_sane() {
        let mut forecaster = Forecaster::new(&[24, 168]);
        let empty = forecaster.ahead(5);
        assert!(empty.low <= empty.mid && empty.mid <= empty.high);
        [f64::NAN, f64::INFINITY, -5.0, 1e300, 0.0].into_iter().for_each(|value| forecaster.learn(value));
        for ahead in [1, 2, 23, 24, 25, 400] {
            let said = forecaster.ahead(ahead);
            assert!(said.low <= said.mid && said.mid <= said.high && said.high.is_finite(), "{ahead} {said:?}");
        }
    }
}
