//! What estimates promise, on series that nobody tuned anything on.

use prediction::sizing::{MODELS, QUANTILES};
use prediction::{Basis, Ended, Estimates, Family, Observation};
use testkit::{Random, rivals::judge};

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
fn what_was_killed_just_above_its_limit_is_asked_for_twice_and_not_step_by_step() {
    let mut estimates = Estimates::default();
    let killed = |held: f64| Observation { ended: Ended::OutOfMemory, memory_bytes: held, ..seen(FAMILY, "a", 1.0) };
    (0..5).for_each(|at| estimates.learn(&killed(50e6 + f64::from(at) * 1e6)));
    let asked = |estimates: &Estimates, killed_at| estimates.memory_to_ask(&FAMILY, 1e6, Some(killed_at)).unwrap().bytes;
    assert_eq!(asked(&estimates, 48e6), 96e6, "five that were killed did not say how much is enough");
    estimates.learn(&killed(200e6));
    assert!(asked(&estimates, 48e6) > 200e6, "that is known not to be enough");
    estimates.learn(&Observation { memory_bytes: 150e6, ..seen(FAMILY, "a", 1.0) });
    assert_eq!(asked(&estimates, 48e6), 150e6 * 1.05, "and this was, once");
    assert!(asked(&estimates, 180e6) >= 360e6, "but not for the one that was killed with more");
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

/// Seeds below 100 were looked at when the models were chosen; these were not.
#[test]
fn sizing_wastes_at_most_three_quarters_of_the_best_known_rule() {
    let mut logs = Vec::new();
    for seed in 500..503 {
        let judged = judge(seed);
        let ratio = judged.ours / judged.best_of_others();
        println!("seed {seed}: {ratio:.3} of the best; {judged:?}");
        logs.push(ratio.ln());
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
