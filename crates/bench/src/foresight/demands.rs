//! The constants within forecasts of demand, each over its values: what the forecasts come to beside the default.
//!
//! The protocol, written down before it was run. Tuning and held-out seeds are those of `knobs.rs`. Five kinds of demand, hour by hour for 35 days, each
//! at 3, 30 and 300 an hour on average, counts off by what a Poisson process is off by:
//! - **office**: by day ten times as much as by night, and a fifth of that at weekends;
//! - **flat**: the same in every hour;
//! - **growing**: the day of the office, and 2 % more every day;
//! - **moved**: the day of the office, which from the middle on begins six hours later and comes to twice as much;
//! - **bursts**: flat, and one hour in forty comes to five times as much.
//!
//! From the eighth day on, what is said of an hour 1, 6 and 24 hours before it is scored by the interval score of nine in ten (Gneiting and Raftery
//! 2007), as a part of the mean of its series, so that much demand counts no more than little. Less is better. Beside it stands how many of a hundred
//! hours lay inside of what was said one hour before.

use prediction::forecast::{Forecast, Forecaster, Habits};
use testkit::Random;

use super::knobs::{Seeds, sweep};
use crate::report::Report;
use crate::sample::Sample;

/// The share of values that may lie outside.
const OUTSIDE: f64 = 0.1;
const HOURS: u32 = 35 * 24;
/// Hours that are not scored.
const FIRST: u32 = 7 * 24;
const KINDS: u32 = 5;
const LEVELS: [f64; 3] = [3.0, 30.0, 300.0];
const AHEAD: [usize; 3] = [1, 6, 24];

/// Plays every constant.
pub(super) fn measure(report: &mut Report, set: &str, seeds: &Seeds) {
    let habits = Habits::default();
    let mut over = |name: &str, default: f64, values: &[f64], with: &dyn Fn(f64) -> Habits| {
        sweep(report, set, name, default, values, |value| seeds.clone().map(|seed| played(seed, with(value)).score).sum());
    };
    over("demand: misses", 200.0, &[50.0, 100.0, 200.0, 400.0], &|misses| Habits { misses: misses as usize, ..habits });
    over("demand: kept", 0.98, &[0.9, 0.95, 0.98, 0.99, 0.995], &|kept| Habits { kept, ..habits });
    over("demand: sharpness", 2.0, &[0.0, 1.0, 2.0, 4.0, 8.0, 16.0], &|sharpness| Habits { sharpness, ..habits });
    over("demand: step", 0.02, &[0.0, 0.005, 0.01, 0.02, 0.05], &|step| Habits { step, ..habits });
    over("demand: level", 0.3, &[0.05, 0.1, 0.2, 0.3, 0.5], &|level| Habits { level, ..habits });
    over("demand: trend", 0.05, &[0.0, 0.02, 0.05, 0.1, 0.2], &|trend| Habits { trend, ..habits });
    over("demand: damped", 0.9, &[0.0, 0.5, 0.8, 0.9, 0.95], &|damped| Habits { damped, ..habits });
    over("demand: reach", 0.05, &[0.0, 0.02, 0.05, 0.1, 0.2], &|reach| Habits { reach, ..habits });
    let all: Vec<Outcome> = seeds.clone().map(|seed| played(seed, habits)).collect();
    let inside = all.iter().map(|outcome| outcome.inside).sum::<f64>() / all.len().max(1) as f64;
    report.add(&format!("knobs {set} demand"), Sample::one("coverage_percent", inside * 100.0));
}

/// What the forecasts of a seed came to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Outcome {
    score: f64,
    /// The share of hours that lay inside of what was said an hour before.
    inside: f64,
}

/// What begins in an hour on average, as a part of the level.
fn expected(kind: u32, hour: u32, random: &mut Random) -> f64 {
    let (day, half) = (hour / 24, hour * 2 >= HOURS);
    let office = |hour: u32| if (8..18).contains(&(hour % 24)) { 1.9 } else { 0.19 };
    match kind {
        0 if matches!(day % 7, 5 | 6) => office(hour) / 5.0,
        0 => office(hour),
        2 => office(hour) * 1.02f64.powi(day as i32),
        3 if half => 2.0 * office(hour + 18),
        3 => office(hour),
        4 if random.share() < 1.0 / 40.0 => 5.0,
        _ => 1.0,
    }
}

/// A count around a mean: by multiplying shares while it is small (Knuth), by the normal approximation when it is not.
fn count(mean: f64, random: &mut Random) -> f64 {
    if mean > 50.0 {
        return (mean + mean.sqrt() * random.normal()).round().max(0.0);
    }
    let (least, mut product, mut count) = ((-mean).exp(), random.share(), 0.0);
    while product > least {
        product *= random.share();
        count += 1.0;
    }
    count
}

fn scored(said: &Forecast, value: f64) -> f64 {
    (said.high - said.low) + 2.0 / OUTSIDE * ((said.low - value).max(0.0) + (value - said.high).max(0.0))
}

fn played(seed: u64, habits: Habits) -> Outcome {
    let mut random = Random(seed.wrapping_mul(0xD605_BBB5_8C8A_BC2D) | 1);
    let mut outcome = Outcome::default();
    for kind in 0..KINDS {
        for level in LEVELS {
            let values: Vec<f64> = (0..HOURS).map(|hour| count(level * expected(kind, hour, &mut random), &mut random)).collect();
            let one = series(&values, habits);
            outcome.score += one.score;
            outcome.inside += one.inside;
        }
    }
    let series = f64::from(KINDS) * LEVELS.len() as f64;
    Outcome { score: outcome.score / series, inside: outcome.inside / series }
}

fn series(values: &[f64], habits: Habits) -> Outcome {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let mut forecaster = Forecaster::with(&[24, 168], habits);
    let mut outcome = Outcome::default();
    let (mut scores, mut hours) = (0.0, 0.0);
    for (hour, value) in values.iter().enumerate() {
        if hour >= FIRST as usize {
            for ahead in AHEAD {
                // What comes `ahead` hours from the last that is known.
                let Some(comes) = values.get(hour + ahead - 1) else { continue };
                outcome.score += scored(&forecaster.ahead(ahead), *comes) / mean.max(1e-9);
                scores += 1.0;
            }
            let said = forecaster.ahead(1);
            outcome.inside += f64::from(u8::from((said.low..=said.high).contains(value)));
            hours += 1.0;
        }
        forecaster.learn(*value);
    }
    Outcome { score: outcome.score / scores, inside: outcome.inside / hours }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_played_is_the_same_for_the_same_seed_and_other_habits_change_it() {
        let drawn = || {
            let mut random = Random(5);
            (0..HOURS).map(|hour| count(30.0 * expected(0, hour, &mut random), &mut random)).collect::<Vec<f64>>()
        };
        let (values, habits) = (drawn(), Habits::default());
        let said = series(&values, habits);
        assert_eq!(said, series(&drawn(), habits));
        assert!((0.8..=1.0).contains(&said.inside), "{said:?}");
        let worse = series(&values, Habits { sharpness: 0.0, reach: 5.0, ..habits });
        assert!(worse.score > said.score * 1.05, "{worse:?}");
    }

    #[test]
    fn counts_lie_around_their_mean() {
        let mut random = Random(7);
        for mean in [0.5, 20.0, 500.0] {
            let all: f64 = (0..4_000).map(|_| count(mean, &mut random)).sum();
            assert!((all / 4_000.0 - mean).abs() < 0.1 * mean, "{mean}: {}", all / 4_000.0);
        }
        assert_eq!(count(0.0, &mut random), 0.0);
    }
}
