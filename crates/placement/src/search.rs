//! Finding a plan: variants of the rule are played, then single tasks, families and chains are moved until nothing gets better.

use crate::objective::Settings;
use crate::sim::{AsExpected, Chooser, Played, play};
use crate::world::World;

/// The plan that was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// The site of each task.
    pub sites: Vec<u16>,
    /// What it is expected to come to.
    pub played: Played,
    /// The variant that the search began from.
    pub variant: String,
    /// What that variant came to, before tasks were moved.
    pub before_moves: f64,
    /// How many plays it took.
    pub plays: u32,
}

/// How long to search, counted in plays: a clock would make the plan another one on another machine.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Plays of moved plans.
    pub moves: u32,
    /// Where the order of moves begins.
    pub seed: u64,
}

/// The variants of the rule.
pub fn variants() -> Vec<(String, Chooser)> {
    let mut variants = vec![("earliest finish".to_owned(), Chooser::EarliestFinish), ("cheapest".to_owned(), Chooser::Cheapest)];
    for margin in [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.35] {
        for lookahead in [true, false] {
            for risk in [1.0, 4.0] {
                let name = format!("priced, margin {margin}, risk {risk}{}", if lookahead { ", looking ahead" } else { "" });
                variants.push((name, Chooser::Priced(Settings { margin, risk, lookahead, ..Settings::default() })));
            }
        }
    }
    variants
}

/// Finds a plan.
pub fn search(world: &World, effort: &Effort) -> Found {
    let mut best: Option<(Played, String)> = None;
    let mut plays = 0;
    for (name, chooser) in variants() {
        let played = play(world, &chooser, &AsExpected);
        plays += 1;
        if best.as_ref().is_none_or(|(known, _)| played.total() < known.total()) {
            best = Some((played, name));
        }
    }
    let (played, variant) = best.unwrap_or_default();
    let mut found = Found { before_moves: played.total(), sites: played.sites.clone(), played, variant, plays };
    improve(world, effort, &mut found);
    found
}

/// How much worse than the present plan a moved one may be at the beginning of the search, as a share; nothing at its end.
const TOLERANCE: f64 = 0.03;

/// Local search with a tolerance that falls (threshold accepting, Dueck and Scheuer 1990); the best plan on the way is what comes of it.
fn improve(world: &World, effort: &Effort, found: &mut Found) {
    let tasks = world.tasks.len();
    let sites = world.sites.len();
    if tasks == 0 || sites < 2 {
        return;
    }
    let mut random = Random(effort.seed | 1);
    let mut present = (found.sites.clone(), found.played.total());
    for step in 0..effort.moves {
        let tolerance = TOLERANCE * (1.0 - f64::from(step) / f64::from(effort.moves) * 1.25).max(0.0);
        let task = random.below(tasks);
        let to = random.below(sites) as u16;
        let mut moved = present.0.clone();
        match random.below(10) {
            0..=5 => put(world, &mut moved, task, to),
            6 | 7 => kin(world, task).into_iter().for_each(|task| put(world, &mut moved, task, to)),
            8 => chain(world, task).into_iter().for_each(|task| put(world, &mut moved, task, to)),
            // A part of all that is at one site.
            _ => {
                let from = moved.get(task).copied().unwrap_or_default();
                let share = 1 + random.below(4);
                let there: Vec<usize> = moved.iter().enumerate().filter(|(_, at)| **at == from).map(|(index, _)| index).collect();
                there
                    .into_iter()
                    .filter(|_| random.below(share) == 0)
                    .collect::<Vec<_>>()
                    .into_iter()
                    .for_each(|task| put(world, &mut moved, task, to));
            }
        }
        if moved == present.0 {
            continue;
        }
        let played = play(world, &Chooser::Fixed(moved), &AsExpected);
        found.plays += 1;
        let total = played.total();
        if total < present.1 * (1.0 + tolerance) - 1e-9 {
            present = (played.sites.clone(), total);
        }
        if total < found.played.total() - 1e-9 {
            found.sites = played.sites.clone();
            found.played = played;
        }
    }
}

/// Moves a task where that is permitted.
fn put(world: &World, sites: &mut [u16], task: usize, to: u16) {
    let may = world.tasks.get(task).is_some_and(|task| world.may(task, usize::from(to)));
    if let (true, Some(slot)) = (may, sites.get_mut(task)) {
        *slot = to;
    }
}

/// Tasks that wait for the same and take as long: the items of a map.
fn kin(world: &World, task: usize) -> Vec<usize> {
    let Some(own) = world.tasks.get(task) else { return Vec::new() };
    let alike = |other: &&crate::world::Task| other.parents == own.parents && other.need == own.need;
    world.tasks.iter().enumerate().filter(|(_, other)| alike(other)).map(|(index, _)| index).collect()
}

/// A task and what follows it, one child after the other.
fn chain(world: &World, task: usize) -> Vec<usize> {
    let mut chain = vec![task];
    let mut at = task;
    while let Some(child) = world.children.get(at).and_then(|children| children.first()) {
        at = *child as usize;
        chain.push(at);
    }
    chain
}

/// A small generator (SplitMix64): the same seed gives the same search.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }

    /// A number below a bound.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.bits() % bound.max(1) as u64) as usize
    }

    /// A number from 0 to 1.
    pub fn share(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A standard normal number (Box and Muller).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.share().max(1e-12).ln()).sqrt();
        radius * (2.0 * std::f64::consts::PI * self.share()).cos()
    }
}
