//! What estimates promise, on series that nobody tuned anything on.

use prediction::sizing::{MODELS, QUANTILES, Sizer, wasted};
use prediction::{Basis, Ended, Estimates, Family, Observation};

/// SplitMix64.
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }

    fn share(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * self.share().max(1e-12).ln()).sqrt() * (2.0 * std::f64::consts::PI * self.share()).cos()
    }
}

const FAMILY: Family<'_> = Family { workflow: "bank/fraud", path: "train", work: "run" };

fn seen(family: Family<'static>, site: &'static str, wall_s: f64) -> Observation<'static> {
    Observation {
        family,
        site,
        ended: Ended::Succeeded,
        wall_s,
        memory_bytes: 1e9,
        asked_bytes: 2e9,
        bytes_in: 1e6,
        bytes_out: 1e6,
        wait_s: 0.5,
        overhead_s: 0.1,
    }
}

/// The share of values of a task inside of what was said of them, over many tasks of different kinds.
fn coverage(seed: u64, draw: impl Fn(&mut Random, u32) -> f64) -> f64 {
    let mut random = Random(seed);
    let (mut inside, mut all) = (0.0, 0.0);
    for _ in 0..30 {
        let mut estimates = Estimates::default();
        for number in 0..300 {
            let wall = draw(&mut random, number);
            if let Some(said) = estimates.duration(&FAMILY, "a").filter(|_| number > 0) {
                inside += f64::from(u8::from((said.low..=said.high).contains(&wall)));
                all += 1.0;
            }
            estimates.learn(&seen(FAMILY, "a", wall));
        }
    }
    inside / all
}

#[test]
fn intervals_hold_nine_of_ten_whatever_the_shape() {
    let shapes: [(&str, Box<dyn Fn(&mut Random, u32) -> f64>); 5] = [
        ("log-normal", Box::new(|random, _| 60.0 * (0.5 * random.normal()).exp())),
        ("heavy tail", Box::new(|random, _| 10.0 / random.share().max(1e-6).powf(0.5))),
        ("uniform", Box::new(|random, _| 10.0 + 90.0 * random.share())),
        ("two kinds", Box::new(|random, _| if random.share() < 0.3 { 300.0 } else { 20.0 } * (0.1 * random.normal()).exp())),
        ("drifting", Box::new(|random, number| (30.0 + f64::from(number)) * (0.3 * random.normal()).exp())),
    ];
    for (name, draw) in shapes {
        let share = coverage(4_711, draw);
        assert!((0.88..=0.93).contains(&share), "{name}: {share:.3}");
    }
}

#[test]
fn a_new_task_falls_back_on_its_kin_with_wider_intervals() {
    let mut estimates = Estimates::default();
    let mut random = Random(5);
    assert_eq!(estimates.duration(&FAMILY, "a"), None);
    for _ in 0..50 {
        estimates.learn(&seen(FAMILY, "a", 100.0 * (0.1 * random.normal()).exp()));
    }
    let here = estimates.duration(&FAMILY, "a").unwrap();
    let elsewhere = estimates.duration(&FAMILY, "b").unwrap();
    let other = estimates.duration(&Family { path: "score", ..FAMILY }, "a").unwrap();
    let stranger = estimates.duration(&Family { workflow: "x/y", path: "z", work: "w" }, "a").unwrap();
    assert_eq!(
        [here.basis, elsewhere.basis, other.basis, stranger.basis],
        [Basis::TaskAtSite, Basis::Task, Basis::Work, Basis::Everything]
    );
    let width = |of: prediction::Estimate| of.high / of.low;
    assert!(width(here) < width(elsewhere) && width(elsewhere) < width(other) && width(other) < width(stranger));
}

#[test]
fn a_slower_site_is_known_as_such_before_it_ran_the_task() {
    let mut estimates = Estimates::default();
    for number in 0..40 {
        let family = Family { path: ["one", "two"][number % 2], ..FAMILY };
        estimates.learn(&seen(family, "quick", 100.0));
        estimates.learn(&seen(family, "slow", 200.0));
    }
    (0..20).for_each(|_| estimates.learn(&seen(FAMILY, "quick", 60.0)));
    let (quick, slow) = (estimates.duration(&FAMILY, "quick").unwrap(), estimates.duration(&FAMILY, "slow").unwrap());
    assert!(slow.mid > quick.mid * 1.2, "{quick:?} {slow:?}");
}

#[test]
fn what_cannot_be_teaches_nothing_that_cannot_be() {
    let mut estimates = Estimates::default();
    for wild in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -5.0, 0.0, 1e300] {
        let mut observation = seen(FAMILY, "a", wild);
        (observation.memory_bytes, observation.bytes_out, observation.wait_s, observation.overhead_s) = (wild, wild, wild, wild);
        for ended in [Ended::Succeeded, Ended::Failed, Ended::OutOfMemory, Ended::Preempted] {
            estimates.learn(&Observation { ended, ..observation });
        }
    }
    for estimate in
        [estimates.duration(&FAMILY, "a"), estimates.wait("a"), estimates.overhead("a"), estimates.memory(&FAMILY, "a")]
    {
        for number in estimate.iter().flat_map(|of| [of.low, of.mid, of.high, of.mean]) {
            assert!(number.is_finite() && number >= 0.0, "{estimate:?}");
        }
    }
    assert!((0.0..=1.0).contains(&estimates.failure_rate(&FAMILY, "a")));
    assert!(estimates.hazard_per_hour("a", 0.05).is_finite());
}

#[test]
fn failures_only_say_that_a_success_takes_at_least_as_long() {
    let mut estimates = Estimates::default();
    (0..10).for_each(|_| estimates.learn(&Observation { ended: Ended::Failed, ..seen(FAMILY, "a", 500.0) }));
    let said = estimates.duration(&FAMILY, "a").unwrap();
    assert!(said.high > 900.0, "{said:?}");
    assert!(estimates.failure_rate(&FAMILY, "a") > 0.6);
}

#[test]
fn the_same_history_gives_the_same_estimates() {
    let learned = || {
        let (mut estimates, mut random) = (Estimates::default(), Random(1));
        (0..500).for_each(|_| estimates.learn(&seen(FAMILY, "a", 1.0 + random.share())));
        estimates
    };
    assert_eq!(learned().duration(&FAMILY, "a"), learned().duration(&FAMILY, "a"));
}

/// Byte-seconds that a way of asking wastes on a task, from the thirtieth of its attempts on.
fn waste(samples: &[(f64, f64)], ask: impl Fn(&[(f64, f64)], f64) -> f64) -> f64 {
    let mut sum = 0.0;
    for (number, (bytes_in, peak)) in samples.iter().enumerate().skip(30) {
        let past = &samples[..number];
        let largest = past.iter().map(|sample| sample.1).fold(0.0, f64::max);
        sum += wasted(ask(past, *bytes_in).max(1.0), *peak, largest, 60.0);
    }
    sum
}

fn percentile(past: &[(f64, f64)], share: f64) -> f64 {
    let mut peaks: Vec<f64> = past.iter().map(|sample| sample.1).collect();
    peaks.sort_by(f64::total_cmp);
    peaks[((peaks.len() - 1) as f64 * share).round() as usize]
}

/// Witt's linear regression with the standard deviation of its residuals on top.
fn witt_regression(past: &[(f64, f64)], bytes_in: f64) -> f64 {
    let n = past.len() as f64;
    let (mean_x, mean_y) = (past.iter().map(|s| s.0).sum::<f64>() / n, past.iter().map(|s| s.1).sum::<f64>() / n);
    let across: f64 = past.iter().map(|s| (s.0 - mean_x).powi(2)).sum();
    let slope = past.iter().map(|s| (s.0 - mean_x) * (s.1 - mean_y)).sum::<f64>() / across.max(1e-9);
    let line = |x: f64| mean_y + slope * (x - mean_x);
    let deviation = (past.iter().map(|s| (s.1 - line(s.0)).powi(2)).sum::<f64>() / n).sqrt();
    line(bytes_in) + deviation
}

/// Tovar's first allocation: of the peaks seen, the one that would have wasted least if the next request were the largest.
fn tovar(past: &[(f64, f64)]) -> f64 {
    let largest = past.iter().map(|sample| sample.1).fold(0.0, f64::max);
    let cost =
        |first: f64| past.iter().map(|(_, peak)| if *peak <= first { first - peak } else { first + largest - peak }).sum::<f64>();
    past.iter().map(|sample| sample.1).min_by(|a, b| cost(*a).total_cmp(&cost(*b))).unwrap_or(largest)
}

/// A task whose memory follows its input, or does not, in one of six ways.
fn samples(random: &mut Random, kind: u32) -> Vec<(f64, f64)> {
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
    (0..250).map(one).collect()
}

/// A trace is one task of each kind; a rule is judged by all that it wastes on it, from the thirtieth attempt of each task on, and held
/// against the best of the known rules on that trace. Seeds below 100 were looked at when the models were chosen; these were not.
#[test]
fn sizing_wastes_at_most_three_quarters_of_the_best_known_rule() {
    let mut logs = Vec::new();
    for seed in 500..503 {
        let mut random = Random(seed);
        let (mut ours, mut known) = (0.0, [0.0; 4]);
        for kind in 0..6 {
            let samples = samples(&mut random, kind);
            let mut sizer = Sizer::default();
            for (number, (bytes_in, peak)) in samples.iter().enumerate() {
                if number >= 30 {
                    let largest = samples[..number].iter().map(|sample| sample.1).fold(0.0, f64::max);
                    ours += wasted(sizer.advise(*bytes_in, None).unwrap().bytes, *peak, largest, 60.0);
                }
                sizer.learn(*bytes_in, *peak, 60.0, false);
            }
            known[0] += waste(&samples, witt_regression);
            known[1] += waste(&samples, |past, _| percentile(past, 0.95));
            known[2] += waste(&samples, |past, _| percentile(past, 0.99));
            known[3] += waste(&samples, |past, _| tovar(past));
        }
        let best = known.into_iter().fold(f64::INFINITY, f64::min);
        println!("seed {seed}: {:.3} of the best; ours {ours:.3e}, Witt regression, percentiles, Tovar {known:?}", ours / best);
        logs.push((ours / best).ln());
    }
    let mean = (logs.iter().sum::<f64>() / logs.len() as f64).exp();
    println!("geometric mean {mean:.3}");
    assert!(mean <= 0.75, "{mean:.3}");
    assert_eq!(MODELS.len() * QUANTILES.len(), 54);
}

#[test]
fn one_sample_says_little_and_the_interval_says_so() {
    let mut estimates = Estimates::default();
    estimates.learn(&seen(FAMILY, "a", 100.0));
    let one = estimates.duration(&FAMILY, "a").unwrap();
    assert!(one.low <= 100.0 && one.high >= 100.0 && one.high / one.low >= 2.0, "{one:?}");
    assert_eq!(one.samples, 1);
    let mut random = Random(8);
    (0..100).for_each(|_| estimates.learn(&seen(FAMILY, "a", 100.0 * (0.05 * random.normal()).exp())));
    let many = estimates.duration(&FAMILY, "a").unwrap();
    assert!(many.high / many.low < one.high / one.low, "{many:?} after {one:?}");
}

#[test]
fn a_task_whose_behaviour_changes_is_believed_again_soon() {
    let mut estimates = Estimates::default();
    let mut random = Random(21);
    let mut draw = |mid: f64| mid * (0.1 * random.normal()).exp();
    (0..200).for_each(|_| estimates.learn(&seen(FAMILY, "a", draw(60.0))));
    let before = estimates.duration(&FAMILY, "a").unwrap();
    // It takes five times as long from now on: at first the interval widens, then it moves.
    let mut held = Vec::new();
    let mut widest = 0.0f64;
    for _ in 0..150 {
        let wall = draw(300.0);
        let said = estimates.duration(&FAMILY, "a").unwrap();
        held.push((said.low..=said.high).contains(&wall));
        widest = widest.max(said.high / said.low);
        estimates.learn(&seen(FAMILY, "a", wall));
    }
    let after = estimates.duration(&FAMILY, "a").unwrap();
    assert!(widest > 2.0 * before.high / before.low, "{widest} after {before:?}");
    let late = held[50..].iter().filter(|held| **held).count();
    assert!(late >= 85, "{late} of the last 100 lay inside");
    assert!((after.mid / 300.0 - 1.0).abs() < 0.35, "{after:?}");
}

#[test]
fn a_site_that_loses_what_it_is_given_is_known_for_it_and_one_that_did_long_ago_is_forgiven() {
    let mut estimates = Estimates::default();
    (0..20).for_each(|_| estimates.learn(&Observation { ended: Ended::Preempted, ..seen(FAMILY, "liar", 60.0) }));
    let lost = estimates.hazard_per_hour("liar", 0.0);
    assert!(lost > 1.0, "{lost}");
    (0..2_000).for_each(|_| estimates.learn(&seen(FAMILY, "liar", 600.0)));
    assert!(estimates.hazard_per_hour("liar", 0.0) < lost / 10.0);
}
