//! The scenarios that settings of decisions are judged in: see `knobs.rs` for what each is.

use std::collections::BTreeMap;

use model::site::Prices;
use model::{Money, Resources};
use placement::SiteView;
use placement::search::Random;

use super::yard::{Job, Outcome, Project, Rules, Truth, Yard};

const HOUR_S: f64 = 3_600.0;
const FAMILIES: usize = 10;

fn site(name: &str, cores: u32, price: f64) -> SiteView {
    let capacity = Resources { cpu_millis: cores * 1_000, ..Resources::default() };
    SiteView {
        name: name.into(),
        capacity,
        free: capacity,
        prices: Prices { cpu_hour: Money::from_units(price), ..Prices::default() },
        attributes: BTreeMap::new(),
        ..SiteView::default()
    }
}

/// The median of each family.
fn families(random: &mut Random) -> Vec<f64> {
    (0..FAMILIES).map(|_| 300.0 * (0.8 * random.normal()).exp()).collect()
}

/// Lengths by family, site and chance; the same job takes as long whatever the rules are.
struct Lengths<'a> {
    seed: u64,
    jobs: &'a [Job],
    medians: Vec<f64>,
    /// By site: how much longer everything takes there.
    slower: Vec<f64>,
    /// Families of which one job in five takes ten times as long.
    two_kinds: usize,
    /// From when on the first site begins what it takes so late, and by how much; and how often starts take ten minutes.
    lies: Option<(f64, f64)>,
    slow_starts: f64,
}

impl<'a> Lengths<'a> {
    fn new(seed: u64, jobs: &'a [Job], medians: Vec<f64>, sites: usize) -> Lengths<'a> {
        Lengths { seed, jobs, medians, slower: vec![1.0; sites], two_kinds: 0, lies: None, slow_starts: 0.0 }
    }

    fn chance(&self, job: usize, salt: u64) -> Random {
        let mut random = Random(self.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ ((job as u64) << 8) ^ salt);
        random.bits();
        random
    }
}

impl Truth for Lengths<'_> {
    fn runs(&self, job: usize, site: usize) -> f64 {
        let (mut random, family) = (self.chance(job, 1), self.jobs[job].family);
        let kind = if family < self.two_kinds && random.share() < 0.2 { 10.0 } else { 1.0 };
        self.medians[family] * kind * (0.35 * random.normal()).exp() * self.slower[site]
    }

    fn starts(&self, job: usize, site: usize) -> f64 {
        let mut random = self.chance(job, 2 + site as u64);
        if self.lies.is_some_and(|(from_s, _)| site == 0 && self.jobs[job].arrives_s >= from_s) {
            return self.lies.map_or(0.0, |(_, late_s)| late_s) * (0.5 + random.share());
        }
        if random.share() < self.slow_starts { 600.0 } else { 0.5 + random.share() }
    }
}

/// What is known of families at the first site before anything comes: thirty jobs of each.
fn known(medians: &[f64], random: &mut Random) -> Vec<(usize, usize, f64)> {
    let mut known = Vec::new();
    for _ in 0..30 {
        known.extend(medians.iter().enumerate().map(|(family, median)| (family, 0, median * (0.35 * random.normal()).exp())));
    }
    known
}

fn alone() -> Vec<Project> {
    vec![Project { weight: 1.0, budget: None }]
}

/// Work that is due, on few own cores and many dear ones.
pub(super) fn patience(seed: u64, rules: &Rules) -> Outcome {
    let mut random = Random(seed.wrapping_mul(7_919) | 1);
    let medians = families(&mut random);
    let (mut jobs, mut now_s) = (Vec::new(), 0.0);
    while jobs.len() < 400 {
        now_s += HOUR_S * -random.share().max(1e-9).ln() / 2.0;
        for _ in 0..5 + random.below(25) {
            let family = random.below(FAMILIES);
            let due_s = Some(now_s + medians[family] * (2.0 + 6.0 * random.share()));
            jobs.push(Job {
                family,
                cores: 1 + random.below(2) as u32,
                arrives_s: now_s,
                due_s,
                late_per_hour: 0.5,
                ..Job::default()
            });
        }
    }
    let known = known(&medians, &mut random);
    let lengths = Lengths { two_kinds: 3, ..Lengths::new(seed, &jobs, medians, 2) };
    let sites = vec![site("own", 8, 0.012), site("rented", 64, 0.096)];
    Yard { sites, jobs: &jobs, projects: alone(), period_s: HOUR_S, known }.play(&lengths, rules)
}

/// Four sites at the same price, of which three may be better than they seem.
pub(super) fn trying(seed: u64, rules: &Rules) -> Outcome {
    let mut random = Random(seed.wrapping_mul(6_007) | 1);
    let medians = families(&mut random);
    let jobs: Vec<Job> = (0..600)
        .map(|number| Job { family: random.below(FAMILIES), cores: 1, arrives_s: 60.0 * f64::from(number), ..Job::default() })
        .collect();
    let known = known(&medians, &mut random);
    let mut lengths = Lengths::new(seed, &jobs, medians, 4);
    for slower in lengths.slower.iter_mut().skip(1) {
        *slower = (0.4 * random.normal()).exp();
    }
    let sites = ["a", "b", "c", "d"].map(|name| site(name, 64, 0.05)).to_vec();
    Yard { sites, jobs: &jobs, projects: alone(), period_s: HOUR_S, known }.play(&lengths, rules)
}

/// A cheap site that takes more than it can begin.
pub(super) fn starts(seed: u64, rules: &Rules) -> Outcome {
    let mut random = Random(seed.wrapping_mul(4_001) | 1);
    let medians = families(&mut random);
    let jobs: Vec<Job> = (0..300)
        .map(|number| {
            let (family, arrives_s) = (random.below(FAMILIES), 90.0 * f64::from(number));
            let due_s = Some(arrives_s + 3.0 * medians[family]);
            Job { family, cores: 1, arrives_s, due_s, late_per_hour: 2.0, ..Job::default() }
        })
        .collect();
    let known = known(&medians, &mut random);
    let lengths = Lengths { lies: Some((9_000.0, 1_800.0)), slow_starts: 0.05, ..Lengths::new(seed, &jobs, medians, 2) };
    let sites = vec![site("cheap", 64, 0.02), site("dear", 64, 0.05)];
    Yard { sites, jobs: &jobs, projects: alone(), period_s: HOUR_S, known }.play(&lengths, rules)
}

/// A budget that pays for half of what is in a hurry, and little of it that is worth it.
pub(super) fn thrift(seed: u64, rules: &Rules) -> Outcome {
    const DAY_S: f64 = 24.0 * HOUR_S;
    let mut random = Random(seed.wrapping_mul(3_001) | 1);
    let medians = families(&mut random);
    let (mut jobs, mut now_s) = (Vec::new(), 0.0);
    while now_s < 5.0 * DAY_S {
        now_s += 2.0 * HOUR_S * -random.share().max(1e-9).ln();
        for _ in 0..10 + random.below(20) {
            let family = random.below(FAMILIES);
            let late_per_hour = if random.share() < 0.2 { 20.0 } else { 0.1 };
            let due_s = Some(now_s + medians[family] * (1.5 + random.share()));
            jobs.push(Job {
                family,
                cores: 1 + random.below(3) as u32,
                arrives_s: now_s,
                due_s,
                late_per_hour,
                ..Job::default()
            });
        }
    }
    let known = known(&medians, &mut random);
    let lengths = Lengths::new(seed, &jobs, medians, 2);
    let sites = || vec![site("own", 8, 0.0), site("rented", 64, 0.1)];
    let mut yard = Yard { sites: sites(), jobs: &jobs, projects: alone(), period_s: DAY_S, known };
    // Half of what would be rented in a day if nobody asked what it costs.
    let free = yard.play(&lengths, &Rules::default()).bill / 5.0;
    yard.projects = vec![Project { weight: 1.0, budget: Some(0.5 * free) }];
    yard.play(&lengths, rules)
}

/// A flood of small work, and something wide now and then.
pub(super) fn keeping(seed: u64, rules: &Rules) -> Outcome {
    const CORES: u32 = 8;
    let mut random = Random(seed.wrapping_mul(2_003) | 1);
    let medians: Vec<f64> = (0..FAMILIES).map(|_| 300.0 * (0.5 * random.normal()).exp()).collect();
    let mean: f64 = medians.iter().sum::<f64>() / FAMILIES as f64;
    let (mut jobs, mut now_s) = (Vec::new(), 0.0);
    while now_s < 8.0 * HOUR_S {
        now_s += mean / (1.5 * f64::from(CORES)) * -random.share().max(1e-9).ln();
        jobs.push(Job { family: random.below(FAMILIES), cores: 1, arrives_s: now_s, ..Job::default() });
    }
    for number in 0..4 {
        let arrives_s = HOUR_S * (0.5 + 2.0 * f64::from(number));
        jobs.push(Job { project: 1, family: random.below(FAMILIES), cores: CORES, arrives_s, ..Job::default() });
    }
    let known = known(&medians, &mut random);
    let lengths = Lengths::new(seed, &jobs, medians, 1);
    let projects = vec![Project { weight: 1.0, budget: None }; 2];
    Yard { sites: vec![site("own", CORES, 0.01)], jobs: &jobs, projects, period_s: HOUR_S, known }.play(&lengths, rules)
}
