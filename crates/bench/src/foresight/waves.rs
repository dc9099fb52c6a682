//! Whether the forecast of demand pays for itself: streams beside a wave of other work at home, with it and without, and with one that is wrong.
//!
//! Written down before it was run: every day from the ninth to the seventeenth hour, work of others takes 0.7 of the 24 own slots on average, at other
//! times 0.15; each hour strays by a factor of e^(0.25 N(0, 1)). Its tasks run 300 to 900 s, may run at home alone, and are due after 1.3 of their length, so that
//! they go before most of the stream. A forecaster learns fourteen such days and says the hours of the fifteenth; the stream of
//! `worlds.rs` arrives from half past seven on. Seeds 0..8 were looked at when the stretch of waits was chosen, seeds 3000..3024 were not.

use placement::burst::{BEFORE, Coming};
use placement::objective::{Odds, Settings};
use placement::search::Random;
use placement::sim::{Chooser, play};
use placement::world::{Flow, Need, Task, World};
use prediction::forecast::Forecaster;

use super::worlds::{Noisy, SITES, SLOT, stream};
use crate::report::Report;
use crate::sample::Sample;

const OWN_SLOTS: f64 = 24.0;
/// Times its length after which work of the wave is due, when it goes before most of the stream.
pub(super) const SOON: f64 = 1.3;
/// And when it goes behind.
pub(super) const LATE: f64 = 60.0;
/// Hours that a forecaster has seen: fourteen days, and the hours of the day before the play begins.
pub(super) const PAST_HOURS: u32 = 14 * 24 + BEGINS;
/// The hour of the day at which the play begins.
const BEGINS: u32 = 7;

/// The load of an hour, as a part of the own slots.
fn load(hour: u32, random: &mut Random) -> f64 {
    let mean = if (9..17).contains(&(hour % 24)) { 0.7 } else { 0.15 };
    mean * (0.25 * random.normal()).exp()
}

/// What a forecaster says of the hours of the day that is played, that has seen so many hours. `late` hours are how far it is off.
fn forecast(random: &mut Random, late: u32, hours: u32) -> Vec<Coming> {
    let mut forecaster = Forecaster::new(&[24]);
    (PAST_HOURS.saturating_sub(hours)..PAST_HOURS).for_each(|hour| forecaster.learn(load(hour + 24 - late, random)));
    (1..=24).map(|ahead| forecaster.ahead(ahead)).map(|said| Coming { mid: said.mid, high: said.high }).collect()
}

/// The stream with the wave beside it, whose work is due after so many times its length: soon, so that it goes before, or late, so that it goes
/// behind.
fn world(seed: u64, due: f64) -> World {
    let mut random = Random(seed.wrapping_mul(0x9E6C_63D0_876A_68DE) | 1);
    let mut world = stream(seed);
    for flow in &mut world.flows {
        flow.arrives += 1_800.0;
        flow.deadline = flow.deadline.map(|deadline| deadline + 1_800.0);
    }
    for hour in 0..12 {
        let work = load(BEGINS + hour, &mut random) * OWN_SLOTS * 3_600.0;
        let mut done = 0.0;
        while done < work {
            let runs = 300.0 + 600.0 * random.share();
            done += runs;
            let first = world.tasks.len() as u32;
            let arrives = (f64::from(hour) + random.share()) * 3_600.0;
            world.tasks.push(Task {
                need: Need::from(&SLOT),
                resources: SLOT,
                runs: vec![Odds { mid: runs, mean: runs, deviation: 0.1 * runs }; SITES],
                permitted: 1,
                ..Task::default()
            });
            let deadline = Some(arrives + due * runs);
            world.flows.push(Flow { first, last: first + 1, arrives, deadline, ..Flow::default() });
        }
    }
    world.finish()
}

/// What a seed comes to, when such a part of what comes goes before, and the forecaster has seen so many hours.
pub(super) fn total(seed: u64, before: f64, hours: u32, due: f64) -> f64 {
    let mut world = world(seed, due);
    world.sites[0].coming = forecast(&mut Random(seed.wrapping_mul(77) | 1), 0, hours);
    play(&world, &Chooser::Priced(Settings { before, ..Settings::default() }), &Noisy { seed, stray: 0.35 }).total()
}

/// Plays the seeds.
pub(super) fn measure(name: &str, seeds: std::ops::Range<u64>, report: &mut Report) {
    let mut rows: [(&str, f64, f64, f64); 3] =
        [("without", 0.0, 0.0, 0.0), ("with the forecast", 0.0, 0.0, 0.0), ("with one six hours late", 0.0, 0.0, 0.0)];
    for seed in seeds {
        let mut world = world(seed, SOON);
        for (number, (_, total, bill, late)) in rows.iter_mut().enumerate() {
            let mut random = Random(seed.wrapping_mul(77) | 1);
            world.sites[0].coming = forecast(&mut random, if number == 2 { 6 } else { 0 }, PAST_HOURS);
            let settings = Settings { before: if number > 0 { BEFORE } else { 0.0 }, ..Settings::default() };
            let played = play(&world, &Chooser::Priced(settings), &Noisy { seed, stray: 0.35 });
            *total += played.total();
            *bill += played.money;
            *late += played.late.iter().take(24).filter(|late| **late > 1e-6).count() as f64;
        }
    }
    let without = rows[0].1;
    for (rule, total, bill, late) in rows {
        let sample = Sample::one("objective", total).with("bill", bill).with("late", late).with("to_without", total / without);
        report.add(&format!("waves {name} {rule}"), sample);
    }
}
