//! Settings of decisions, each by a back-test: the objective with every value of one setting, all others at their defaults.
//!
//! The protocol, written down before anything was run. Every setting has a scenario in which it matters, and a list of values around its
//! default. Seeds 0..8 are tuning: the default may be changed by them. Seeds 5000..5016 are held out: they are run for the table, and nothing
//! is changed after that. What is reported is the sum over the seeds, to that of the default, with both sets of seeds. Except where it is said,
//! what is counted is money: the bill and lateness.
//!
//! Scenarios, played by `yard.rs` (jobs of one to four cores, families whose median lengths are log-normal around 300 s with a deviation of 0.8,
//! a job strays by e^(0.35 N) from its family):
//!
//! - **patience**: 8 own cores at 0.012, 64 rented ones at 0.096; bursts of work that is due after 2 to 8 times its length, lateness at 0.5 an hour; three
//!   of ten families are of two kinds (one job in five takes ten times as long), so that waits are worse than they look.
//! - **enough** and **share of trying**: four sites at the same price of which only the first is known; how quick the others are (e^(0.4 N)) nobody
//!   knows. No deadlines.
//! - **starts**: two sites; the cheaper one begins what it takes half an hour late from a third of the time on (it lies about its room); one start in twenty
//!   takes ten minutes at both. Work is due after 3 times its length, lateness at 2 an hour.
//! - **thrift**: one project, 8 own cores that cost nothing and 64 rented ones; a budget for each of 5 days that pays for about half of what would
//!   be rented without one. Four jobs in five are worth 0.1 an hour of lateness, one in five is worth 20.
//! - **patience of the order** and **keeping**: 8 cores; a project that asks for half as much again as there is in small pieces, one that asks for
//!   all eight cores at once now and then. What is counted is the longest wait of what asks for all, and for keeping also the core-seconds that all
//!   others wait. (First it was the core-hours that are waited: those fall when short work always goes first, which is what keeping is against.)
//! - **deviate**: the graphs and the streams of `worlds.rs`; plans as the server makes them at admission (each workflow for itself, on idle sites, 48,000
//!   plays by the tasks), followed with noise of e^(0.35 N) and spot capacity that is called back.
//! - **risk** and **looking ahead**: the same graphs and streams with no plan, decided action by action, with the same noise. A graph counts as a part of what
//!   it comes to with the default, since what workflows cost differs by orders of magnitude. Looking ahead is 1 for yes and 0 for no.
//! - **before** and **hours of the past**: the waves of `waves.rs`; for **before** also with a wave that goes behind.
//! - **trust**: idle pieces that take 60 s to boot, beginnings that follow the hour of the day (2 to 200 an hour, each hour off by e^(0.3 N)), a forecaster
//!   that has seen fourteen days; what is counted is the seconds paid.
//! - **worth**: `places.rs`.
//! - **effort**: the large graphs of `worlds.rs`, by plays of moved plans for all tasks together.

use placement::explore::SHARE;
use placement::keeping::KEEP_S;
use placement::objective::Settings;
use placement::search::{Effort, Random, search};
use placement::sim::{Chooser, play};
use placement::warm::keep_for_s;
use placement::world::World;
use prediction::forecast::Forecaster;

use super::worlds::{Noisy, graph, part, stream};
use super::yard::{Outcome, Rules};
use super::{beliefs, demands, places, scenarios, waves};
use crate::report::Report;
use crate::sample::Sample;

/// Seeds that a default may be changed by, and seeds that it may not.
const SETS: [(&str, std::ops::Range<u64>); 2] = [("tuning", 0..8), ("held out", 5_000..5_016)];
/// Plays of moved plans for all tasks together, as a server makes them.
const ADMISSION: u32 = 48_000;

/// Plays every setting.
pub(super) fn measure(report: &mut Report) {
    for (set, seeds) in SETS {
        decisions(report, set, &seeds);
        rule(report, set, &seeds);
        plans(report, set, &seeds);
        forecasts(report, set, &seeds);
        beliefs::measure(report, set, &seeds);
        demands::measure(report, set, &seeds);
        eprintln!("knobs {set}: done");
    }
}

pub(super) type Seeds = std::ops::Range<u64>;

/// Settings of single decisions, and of who is next.
fn decisions(report: &mut Report, set: &str, seeds: &Seeds) {
    let yard = |scenario: fn(u64, &Rules) -> Outcome, rules: Rules, of: fn(&Outcome) -> f64| {
        seeds.clone().map(|seed| of(&scenario(seed, &rules))).sum::<f64>()
    };
    let (money, settings) = (Outcome::objective, Settings::default());
    sweep(report, set, "patience_s", 900.0, &[60.0, 300.0, 900.0, 1_800.0, 3_600.0, 1e9], |patience_s| {
        let rules = Rules { settings: Settings { patience_s, ..settings }, ..Rules::default() };
        yard(scenarios::patience, rules, money)
    });
    sweep(report, set, "enough", 4.0, &[1.0, 2.0, 4.0, 8.0, 16.0], |enough| {
        let rules = Rules { settings: Settings { enough: enough as u64, ..settings }, ..Rules::default() };
        yard(scenarios::trying, rules, money)
    });
    sweep(report, set, "share_of_trying", SHARE, &[0.0, 0.005, 0.01, 0.02, 0.05, 0.1], |share| {
        yard(scenarios::trying, Rules { share, ..Rules::default() }, money)
    });
    sweep(report, set, "starts", 8.0, &[1.0, 2.0, 4.0, 8.0, 16.0, 1e9], |starts| {
        yard(scenarios::starts, Rules { starts: starts as u64, ..Rules::default() }, money)
    });
    sweep(report, set, "thrift", 4.0, &[1.0, 2.0, 4.0, 8.0, 16.0], |thrift| {
        yard(scenarios::thrift, Rules { thrift, ..Rules::default() }, money)
    });
    sweep(report, set, "power of thrift", 1.0, &[0.0, 1.0, 2.0, 4.0, 8.0], |power| {
        yard(scenarios::thrift, Rules { power, thrift: 1e4, ..Rules::default() }, money)
    });
    let longest = |outcome: &Outcome| outcome.longest_of_last_s;
    sweep(report, set, "order_s", 1_800.0, &[300.0, 900.0, 1_800.0, 3_600.0, 1e9], |order_s| {
        yard(scenarios::keeping, Rules { order_s, ..Rules::default() }, longest)
    });
    let kept = |keep_s: f64| Rules { keep_s, ..Rules::default() };
    sweep(report, set, "keep_s", KEEP_S, &KEEP, |keep_s| yard(scenarios::keeping, kept(keep_s), longest));
    let others = |outcome: &Outcome| outcome.waited_of_others_s;
    sweep(report, set, "keep_s, what others wait", KEEP_S, &KEEP, |keep_s| yard(scenarios::keeping, kept(keep_s), others));
}

/// The rule of decisions, where no plan is followed.
fn rule(report: &mut Report, set: &str, seeds: &Seeds) {
    let settings = Settings::default();
    let graphs = graphs(seeds);
    let on_graphs = |settings: Settings| graphs.clone().map(|seed| priced_graph(seed, settings)).sum::<f64>();
    let on_streams = |settings: Settings| seeds.clone().map(|seed| priced_stream(seed, settings)).sum::<f64>();
    let worlds: [(&str, &dyn Fn(Settings) -> f64); 2] = [("graphs", &on_graphs), ("streams", &on_streams)];
    for (name, total) in worlds {
        sweep(report, set, &format!("risk on {name}"), settings.risk, &[0.0, 0.5, 1.0, 2.0, 4.0, 8.0], |risk| {
            total(Settings { risk, ..settings })
        });
        let ahead = f64::from(u8::from(settings.lookahead));
        sweep(report, set, &format!("looking ahead on {name}"), ahead, &[0.0, 1.0], |ahead| {
            total(Settings { lookahead: ahead > 0.5, ..settings })
        });
    }
}

/// Single graphs are quick to play, and each says little: five times as many.
fn graphs(seeds: &Seeds) -> Seeds {
    seeds.start..seeds.start + 5 * (seeds.end - seeds.start)
}

/// How plans are followed, and how long they are looked for.
fn plans(report: &mut Report, set: &str, seeds: &Seeds) {
    let deviate = Settings::default().deviate;
    let graphs = graphs(seeds);
    sweep(report, set, "deviate on graphs", deviate, &DEVIATE, |deviate| {
        graphs.clone().map(|seed| followed_graph(seed, deviate)).sum()
    });
    sweep(report, set, "deviate on streams", deviate, &DEVIATE, |deviate| {
        seeds.clone().map(|seed| followed_stream(seed, Some(deviate))).sum()
    });
    let planned: f64 = seeds.clone().map(|seed| followed_stream(seed, Some(deviate))).sum();
    let unplanned: f64 = seeds.clone().map(|seed| followed_stream(seed, None)).sum();
    report.add(&format!("knobs {set} streams planned"), Sample::one("to_unplanned", planned / unplanned));
    sweep(report, set, "effort", f64::from(ADMISSION), &[0.0, 12_000.0, 48_000.0, 200_000.0, 2_000_000.0], |plays| {
        seeds.clone().map(|seed| planned_graph(seed, plays as u32)).sum()
    });
}

/// What forecasts change.
fn forecasts(report: &mut Report, set: &str, seeds: &Seeds) {
    let before = placement::burst::BEFORE;
    for (name, due) in [("before, what comes goes before", waves::SOON), ("before, what comes goes behind", waves::LATE)] {
        sweep(report, set, name, before, &[0.0, 0.25, 0.5, 0.75, 1.0], |before| {
            seeds.clone().map(|seed| waves::total(seed, before, waves::PAST_HOURS, due)).sum()
        });
    }
    sweep(report, set, "hours of the past", f64::from(waves::PAST_HOURS), &[6.0, 12.0, 24.0, 48.0, 96.0, 343.0], |hours| {
        seeds.clone().map(|seed| waves::total(seed, before, hours as u32, waves::SOON)).sum()
    });
    for price in places::PRICES {
        let name = format!("worth, waiting {price} times a place");
        sweep(report, set, &name, placement::warm::WORTH, &[0.0, 0.25, 0.5, 1.0, 2.0, 4.0], |worth| {
            seeds.clone().map(|seed| places::week(seed, worth, price)).sum()
        });
    }
    sweep(report, set, "trust", placement::warm::TRUST, &[0.1, 0.25, 0.5, 0.75, 1.0], |trust| {
        seeds.clone().map(|seed| idle_pieces(seed, trust)).sum()
    });
}

const KEEP: [f64; 6] = [600.0, 1_800.0, 3_600.0, 7_200.0, 14_400.0, 1e9];
const DEVIATE: [f64; 7] = [0.0, 0.05, 0.1, 0.25, 0.5, 1.0, 1e9];

/// One setting over its values: what each comes to beside the default.
pub(super) fn sweep(report: &mut Report, set: &str, name: &str, default: f64, values: &[f64], total: impl Fn(f64) -> f64) {
    let of_default = total(default);
    let mut best = (f64::INFINITY, default);
    for value in values {
        let to_default = if *value == default { 1.0 } else { total(*value) / of_default };
        if to_default < best.0 {
            best = (to_default, *value);
        }
        let shown = if *value >= 1e8 { "never".to_owned() } else { format!("{value}") };
        report.add(&format!("knobs {set} {name} {shown}"), Sample::one("to_default", to_default));
    }
    eprintln!("knobs {set}: {name}: the best is {}, at {:.3} of the default {default}", best.1, best.0);
}

/// A graph with no plan, decided by these settings while everything strays, as a part of what it comes to by the default.
fn priced_graph(seed: u64, settings: Settings) -> f64 {
    let world = graph(seed, &[24, 40, 60, 100]);
    let total = |settings| play(&world, &Chooser::Priced(settings), &Noisy { seed, stray: 0.35 }).total();
    total(settings) / total(Settings::default())
}

/// A stream of workflows with no plan.
fn priced_stream(seed: u64, settings: Settings) -> f64 {
    play(&stream(seed), &Chooser::Priced(settings), &Noisy { seed, stray: 0.35 }).total()
}

/// A graph planned at admission and followed, while everything strays.
fn followed_graph(seed: u64, deviate: f64) -> f64 {
    let world = graph(seed, &[24, 40, 60, 100]);
    let effort = Effort { moves: ADMISSION / world.tasks.len().max(1) as u32, seed: 1 };
    let found = search(&world, &effort);
    let chooser = Chooser::Planned(found.sites, Settings { deviate, ..Settings::default() });
    // What a workflow costs differs by orders of magnitude: each counts as a part of what it was planned to.
    play(&world, &chooser, &Noisy { seed, stray: 0.35 }).total() / found.played.total()
}

/// A stream of workflows, each planned for itself on idle sites when it comes; or with no plan at all.
fn followed_stream(seed: u64, deviate: Option<f64>) -> f64 {
    let Some(deviate) = deviate else { return priced_stream(seed, Settings::default()) };
    let world = stream(seed);
    let mut sites = Vec::with_capacity(world.tasks.len());
    for flow in 0..world.flows.len() {
        let alone: World = part(&world, flow);
        let effort = Effort { moves: ADMISSION / alone.tasks.len().max(1) as u32, seed: 1 };
        sites.extend(search(&alone, &effort).sites);
    }
    let chooser = Chooser::Planned(sites, Settings { deviate, ..Settings::default() });
    play(&world, &chooser, &Noisy { seed, stray: 0.35 }).total()
}

/// What a plan comes to, by the plays that it is looked for with.
fn planned_graph(seed: u64, plays: u32) -> f64 {
    let world = graph(seed, &[24, 40, 60, 100]);
    let found = search(&world, &Effort { moves: plays / world.tasks.len().max(1) as u32, seed: 1 });
    found.played.total() / found.before_moves
}

/// Seconds that are paid for idle pieces and for boots of a week, one piece at a time.
fn idle_pieces(seed: u64, trust: f64) -> f64 {
    const BOOT_S: f64 = 60.0;
    let mut random = Random(seed.wrapping_mul(0x517C_C1B7_2722_0A95) | 1);
    let rate = |hour: u32, random: &mut Random| {
        let mean = if (8..18).contains(&(hour % 24)) { 200.0 } else { 2.0 };
        mean * (0.3 * random.normal()).exp()
    };
    let mut forecaster = Forecaster::new(&[24, 168]);
    (0..14 * 24).for_each(|hour| forecaster.learn(rate(hour, &mut random)));
    let mut paid = 0.0;
    for hour in 14 * 24..21 * 24 {
        let (said, really) = (forecaster.ahead(1).mid, rate(hour, &mut random));
        let keep_s = keep_for_s(BOOT_S, Some(said), trust);
        let mut left_s = 3_600.0;
        while left_s > 0.0 {
            let gap_s = -random.share().max(1e-12).ln() * 3_600.0 / really;
            left_s -= gap_s;
            paid += if gap_s <= keep_s { gap_s } else { keep_s + BOOT_S };
        }
        forecaster.learn(really);
    }
    paid
}
