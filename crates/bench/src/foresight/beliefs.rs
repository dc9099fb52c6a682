//! The constants within the estimates, each over its values: what the estimates come to beside the default.
//!
//! The protocol, written down before it was run. Tuning and held-out seeds are those of `knobs.rs`. What is said of a value before it comes is
//! scored, and less is better:
//! - **series**: tasks of six kinds (log-normal, heavy-tailed, uniform, two-peaked, drifting, and one that takes five times as long from its middle on),
//!   5, 20, 80 or 300 attempts each: the interval score of nine in ten (Gneiting and Raftery 2007) on logarithms, so that a task of an hour
//!   counts as much as one of a second;
//! - **kin**: 40 tasks of six kinds of work at three sites of other speeds, most of them rare: the same score, whatever an estimate rests on;
//! - **failures**: tasks of which most hardly ever fail and some often do: the logarithm of what an outcome was said to be worth;
//! - **preemptions**: sites that say of their preemptions what is off by a factor of two: likewise, for each run of half an hour;
//! - **memory**: the traces of `testkit::rivals`: byte-seconds wasted.

use prediction::{Beliefs, Ended, Estimate, Estimates, Family, Observation};
use testkit::{Random, rivals::judge_believing};

use super::knobs::{Seeds, sweep};
use crate::report::Report;

/// The share of values that may lie outside.
const OUTSIDE: f64 = 0.1;
const KINDS: u32 = 6;
const NEVER: f64 = 1e9;

/// Plays every constant.
pub(super) fn measure(report: &mut Report, set: &str, seeds: &Seeds) {
    let believed = Beliefs::default();
    let mut over = |name: &str, default: f64, values: &[f64], of: Scenario, with: &dyn Fn(f64) -> Beliefs| {
        sweep(report, set, name, default, values, |value| seeds.clone().map(|seed| of(seed, with(value))).sum());
    };
    over("window", 96.0, &[24.0, 48.0, 96.0, 192.0, 384.0], series, &|window| Beliefs { window: window as usize, ..believed });
    over("order_from", 24.0, &[12.0, 24.0, 48.0, NEVER], series, &|from| Beliefs { order_from: from as usize, ..believed });
    over("spread", 0.5, &[0.25, 0.5, 1.0], series, &|spread| Beliefs { spread, ..believed });
    over("spread_worth", 2.0, &[1.0, 2.0, 4.0, 8.0], series, &|spread_worth| Beliefs { spread_worth, ..believed });
    over("step", 0.01, &[0.0, 0.005, 0.01, 0.02, 0.05], series, &|step| Beliefs { step, ..believed });
    over("enough of a task", 4.0, &[1.0, 2.0, 4.0, 8.0], kin, &|enough| Beliefs { enough: enough as u64, ..believed });
    over("same_speed", 4.0, &[0.5, 1.0, 4.0, 16.0, NEVER], kin, &|same_speed| Beliefs { same_speed, ..believed });
    let [task, work, all] = believed.widen;
    over("widen elsewhere", task, &[1.0, 1.2, 1.5, 2.0], kin, &|task| Beliefs { widen: [task, work, all], ..believed });
    over("widen of its kind", work, &[1.0, 1.5, 2.0, 3.0], kin, &|work| Beliefs { widen: [task, work, all], ..believed });
    over("widen of everything", all, &[1.0, 2.0, 4.0, 8.0], kin, &|all| Beliefs { widen: [task, work, all], ..believed });
    // One in fifty, whatever it is worth.
    let worth = |attempts: f64| Beliefs { attempts, failures: attempts / 50.0, ..believed };
    over("attempts", 5.0, &[1.0, 2.0, 5.0, 10.0, 20.0], failures, &worth);
    over("hazard_hours", 10.0, &[1.0, 3.0, 10.0, 30.0, 100.0], preemptions, &|hazard_hours| Beliefs { hazard_hours, ..believed });
    over("sizes", 128.0, &[32.0, 64.0, 128.0, 256.0], memory, &|sizes| Beliefs { sizes: sizes as usize, ..believed });
    over("waste_kept", 0.995, &[0.95, 0.98, 0.99, 0.995, 1.0], memory, &|waste_kept| Beliefs { waste_kept, ..believed });
}

type Scenario = fn(u64, Beliefs) -> f64;

/// The interval score of what was said of a value, on logarithms.
fn scored(said: &Estimate, value: f64) -> f64 {
    let [low, high, value] = [said.low, said.high, value].map(|number| number.max(1e-9).ln());
    (high - low) + 2.0 / OUTSIDE * ((low - value).max(0.0) + (value - high).max(0.0))
}

fn seen<'a>(family: Family<'a>, site: &'a str, ended: Ended, wall_s: f64) -> Observation<'a> {
    Observation {
        family,
        site,
        ended,
        wall_s,
        memory_bytes: 0.0,
        asked_bytes: 0.0,
        bytes_in: 0.0,
        bytes_out: 0.0,
        wait_s: 0.0,
        overhead_s: 0.0,
    }
}

fn random(seed: u64) -> Random {
    Random(seed.wrapping_mul(0x9E6C_63D0_876A_68E5) | 1)
}

/// The length of an attempt of a task of a kind, which has so many.
fn drawn(kind: u32, number: u32, attempts: u32, random: &mut Random) -> f64 {
    match kind {
        0 => 60.0 * (0.5 * random.normal()).exp(),
        1 => 10.0 / random.share().max(1e-6).powf(0.5),
        2 => 10.0 + 90.0 * random.share(),
        3 if random.share() < 0.3 => 300.0 * (0.1 * random.normal()).exp(),
        3 => 20.0 * (0.1 * random.normal()).exp(),
        4 => (30.0 + f64::from(number)) * (0.3 * random.normal()).exp(),
        _ if number * 2 > attempts => 300.0 * (0.1 * random.normal()).exp(),
        _ => 60.0 * (0.1 * random.normal()).exp(),
    }
}

fn series(seed: u64, beliefs: Beliefs) -> f64 {
    let family = Family { workflow: "bench/one", path: "task", work: "run" };
    let mut random = random(seed);
    let (mut sum, mut count) = (0.0, 0.0);
    for kind in 0..KINDS {
        for (attempts, tasks) in [(5, 24), (20, 8), (80, 4), (300, 2)] {
            for _ in 0..tasks {
                let mut estimates = Estimates::believing(beliefs);
                for number in 0..attempts {
                    let wall_s = drawn(kind, number, attempts, &mut random);
                    if let Some(said) = estimates.duration(&family, "a") {
                        sum += scored(&said, wall_s) / f64::from(tasks * attempts);
                        count += 1.0 / f64::from(tasks * attempts);
                    }
                    estimates.learn(&seen(family, "a", Ended::Succeeded, wall_s));
                }
            }
        }
    }
    sum / count
}

fn kin(seed: u64, beliefs: Beliefs) -> f64 {
    const SITES: [&str; 3] = ["a", "b", "c"];
    const WORKS: [&str; KINDS as usize] = ["run", "sql/query", "core/http", "train", "render", "copy"];
    let mut random = random(seed);
    let speeds = SITES.map(|_| (0.4 * random.normal()).exp());
    let medians = WORKS.map(|_| 60.0 * (1.2 * random.normal()).exp());
    let tasks: Vec<(String, usize, f64)> = (0..40)
        .map(|number| {
            let work = random.below(WORKS.len());
            (format!("task{number}"), work, medians[work] * (0.6 * random.normal()).exp())
        })
        .collect();
    let mut estimates = Estimates::believing(beliefs);
    let (mut sum, mut count) = (0.0, 0.0);
    for _ in 0..600 {
        // Most tasks are rare, and most attempts are at the first site.
        let (path, work, median) = &tasks[(random.share().powi(3) * tasks.len() as f64) as usize];
        let site = if random.share() < 0.6 { 0 } else { random.below(SITES.len()) };
        let wall_s = median * speeds[site] * (0.3 * random.normal()).exp();
        let family = Family { workflow: "bench/kin", path, work: WORKS[*work] };
        if let Some(said) = estimates.duration(&family, SITES[site]) {
            sum += scored(&said, wall_s);
            count += 1.0;
        }
        estimates.learn(&seen(family, SITES[site], Ended::Succeeded, wall_s));
    }
    sum / count
}

fn failures(seed: u64, beliefs: Beliefs) -> f64 {
    let family = Family { workflow: "bench/one", path: "task", work: "run" };
    let mut random = random(seed);
    let (mut sum, mut count) = (0.0, 0.0);
    for _ in 0..200 {
        let often = if random.share() < 0.8 { 0.02 * random.share() } else { 0.5 * random.share() };
        let mut estimates = Estimates::believing(beliefs);
        for _ in 0..1 + random.below(40) {
            let said = estimates.failure_rate(&family, "a").clamp(1e-6, 1.0 - 1e-6);
            let fails = random.share() < often;
            sum -= if fails { said.ln() } else { (1.0 - said).ln() };
            count += 1.0;
            estimates.learn(&seen(family, "a", if fails { Ended::Failed } else { Ended::Succeeded }, 60.0));
        }
    }
    sum / count
}

fn preemptions(seed: u64, beliefs: Beliefs) -> f64 {
    const RUN_S: f64 = 1_800.0;
    let family = Family { workflow: "bench/one", path: "task", work: "run" };
    let mut random = random(seed);
    let (mut sum, mut count) = (0.0, 0.0);
    for _ in 0..60 {
        let really = 0.05 * (random.normal()).exp();
        let told = really * (0.7 * random.normal()).exp();
        let mut estimates = Estimates::believing(beliefs);
        for _ in 0..1 + random.below(400) {
            let survives = |hazard: f64| (-hazard * RUN_S / 3_600.0).exp().clamp(1e-6, 1.0 - 1e-6);
            let said = survives(estimates.hazard_per_hour("a", told));
            let after_s = -random.share().max(1e-12).ln() / really * 3_600.0;
            let lost = after_s < RUN_S;
            sum -= if lost { (1.0 - said).ln() } else { said.ln() };
            count += 1.0;
            let (ended, wall_s) = if lost { (Ended::Preempted, after_s) } else { (Ended::Succeeded, RUN_S) };
            estimates.learn(&seen(family, "a", ended, wall_s));
        }
    }
    sum / count
}

fn memory(seed: u64, beliefs: Beliefs) -> f64 {
    let judged = judge_believing(seed, beliefs);
    judged.ours / judged.best_of_others()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_believed_changes_every_score_but_not_what_is_drawn() {
        let believed = Beliefs::default();
        let other = Beliefs {
            window: 6,
            widen: [9.0, 9.0, 9.0],
            attempts: 500.0,
            failures: 250.0,
            hazard_hours: 1e6,
            sizes: 8,
            ..believed
        };
        let all: [(&str, Scenario); 4] = [("series", series), ("kin", kin), ("failures", failures), ("preemptions", preemptions)];
        for (name, scenario) in all {
            let (default, again, worse) = (scenario(3, believed), scenario(3, believed), scenario(3, other));
            assert!(default.is_finite() && default == again, "{name}: {default} and {again}");
            assert!(worse > default, "{name}: {worse} and {default}");
        }
    }

    #[test]
    fn what_lies_outside_costs_twenty_times_its_distance() {
        let said = Estimate { low: 1.0, high: std::f64::consts::E, ..Estimate::assumed(1.0) };
        assert!((scored(&said, 2.0) - 1.0).abs() < 1e-12);
        assert!((scored(&said, std::f64::consts::E.powi(2)) - 21.0).abs() < 1e-9);
    }
}
