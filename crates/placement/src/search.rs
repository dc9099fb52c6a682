//! Finding a plan: variants of the rule are played, then single tasks, families and chains are moved until nothing gets better.

use crate::objective::Settings;
use crate::sim::{AsExpected, Board, Chooser, Played};
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
    let mut board = Board::new(world);
    let mut best: Option<(Played, String)> = None;
    let mut plays = 0;
    for (name, chooser) in variants() {
        let played = board.play(&chooser, &AsExpected);
        plays += 1;
        if best.as_ref().is_none_or(|(known, _)| played.total() < known.total()) {
            best = Some((played, name));
        }
    }
    let (played, variant) = best.unwrap_or_default();
    let mut found = Found { before_moves: played.total(), sites: played.sites.clone(), played, variant, plays };
    improve(world, &mut board, effort, &mut found);
    found
}

/// How much worse than the present plan a moved one may be at the beginning of the search, as a share; nothing at its end.
const TOLERANCE: f64 = 0.03;

/// Local search with a tolerance that falls (threshold accepting, Dueck and Scheuer 1990); the best plan on the way is what comes of it.
fn improve(world: &World, board: &mut Board<'_>, effort: &Effort, found: &mut Found) {
    let tasks = world.tasks.len();
    let sites = world.sites.len();
    if tasks == 0 || sites < 2 {
        return;
    }
    let kin = Kin::of(world);
    let mut random = Random(effort.seed | 1);
    let (mut present, mut total) = (found.sites.clone(), found.played.total());
    let mut moved = Chooser::Fixed(present.clone());
    for step in 0..effort.moves {
        let tolerance = TOLERANCE * (1.0 - f64::from(step) / f64::from(effort.moves) * 1.25).max(0.0);
        let Chooser::Fixed(plan) = &mut moved else { return };
        plan.clone_from(&present);
        shift(world, &kin, &mut random, plan);
        if *plan == present {
            continue;
        }
        found.plays += 1;
        // What is worse than what would be taken is given up as soon as that is certain.
        let Some(played) = board.play_below(&moved, total * (1.0 + tolerance) - 1e-9) else { continue };
        total = played.total();
        present.clone_from(&played.sites);
        if total < found.played.total() - 1e-9 {
            found.sites.clone_from(&played.sites);
            found.played = played;
        }
    }
}

/// Changes a plan a little.
fn shift(world: &World, kin: &Kin, random: &mut Random, plan: &mut [u16]) {
    let task = random.below(world.tasks.len());
    let to = random.below(world.sites.len()) as u16;
    match random.below(10) {
        0..=4 => put(world, plan, task, to),
        // Two change places.
        5 => {
            let other = random.below(world.tasks.len());
            let (own, others) = (plan.get(task).copied().unwrap_or_default(), plan.get(other).copied().unwrap_or_default());
            put(world, plan, task, others);
            put(world, plan, other, own);
        }
        6 | 7 => kin.of_task(task).iter().for_each(|task| put(world, plan, *task, to)),
        8 => chain(world, task).into_iter().for_each(|task| put(world, plan, task, to)),
        // A part of all that is at one site.
        _ => {
            let from = plan.get(task).copied().unwrap_or_default();
            let share = 1 + random.below(4);
            for task in 0..plan.len() {
                if plan.get(task) == Some(&from) && random.below(share) == 0 {
                    put(world, plan, task, to);
                }
            }
        }
    }
}

/// Tasks that wait for the same and hold as much: the items of a map.
struct Kin {
    groups: Vec<Vec<usize>>,
    /// By task: its group.
    group: Vec<usize>,
}

impl Kin {
    fn of(world: &World) -> Kin {
        let mut kin = Kin { groups: Vec::new(), group: Vec::with_capacity(world.tasks.len()) };
        let mut seen: std::collections::BTreeMap<&[u32], Vec<usize>> = std::collections::BTreeMap::new();
        for (number, task) in world.tasks.iter().enumerate() {
            let known = seen.entry(task.parents.as_slice()).or_default();
            let alike = |group: &&usize| {
                let first = kin.groups.get(**group).and_then(|group| group.first()).and_then(|first| world.tasks.get(*first));
                first.is_some_and(|first| first.need == task.need)
            };
            let group = known.iter().find(alike).copied().unwrap_or(kin.groups.len());
            if group == kin.groups.len() {
                kin.groups.push(Vec::new());
                known.push(group);
            }
            if let Some(group) = kin.groups.get_mut(group) {
                group.push(number);
            }
            kin.group.push(group);
        }
        kin
    }

    fn of_task(&self, task: usize) -> &[usize] {
        self.group.get(task).and_then(|group| self.groups.get(*group)).map_or(&[], Vec::as_slice)
    }
}

/// Moves a task where that is permitted.
fn put(world: &World, sites: &mut [u16], task: usize, to: u16) {
    let may = world.tasks.get(task).is_some_and(|task| world.may(task, usize::from(to)));
    if let (true, Some(slot)) = (may, sites.get_mut(task)) {
        *slot = to;
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objective::Odds;
    use crate::world::{Flow, Link, Need, Place, Task};

    /// Some tasks over two sites, of which one is small and cheap.
    fn world(seed: u64) -> World {
        let mut random = Random(seed | 1);
        let place = |cores: f64, price: f64, boot: f64| Place {
            capacity: Need { cpu: cores * 1000.0, ..Need::default() },
            prices: model::site::Prices { cpu_hour: model::Money::from_units(price), ..Default::default() },
            rented: boot > 0.0,
            boot,
            idle: boot,
            ..Place::default()
        };
        let tasks = (0..6 + random.below(30)).map(|number| {
            let runs = 30.0 + 600.0 * random.share();
            let parents: Vec<u32> = (0..random.below(3).min(number))
                .map(|_| random.below(number) as u32)
                .collect::<std::collections::BTreeSet<u32>>()
                .into_iter()
                .collect();
            Task {
                need: Need { cpu: 1000.0, ..Need::default() },
                resources: model::Resources { cpu_millis: 1000, ..Default::default() },
                runs: vec![Odds { mid: runs, mean: runs, deviation: runs * 0.2 }],
                permitted: [0b11, 0b11, 0b01, 0b10][random.below(4)],
                parents,
                output: 1e8,
                ..Task::default()
            }
        });
        let tasks: Vec<Task> = tasks.collect();
        let flow =
            Flow { last: tasks.len() as u32, deadline: Some(1200.0), late_per_hour: 40.0, late_fee: 1.0, ..Flow::default() };
        World {
            sites: vec![place(2.0, 0.012, 0.0), place(32.0, 0.048, 45.0)],
            links: vec![Link { byte: 9e-11, rate: 1.25e8 }; 4],
            tasks,
            flows: vec![flow],
            budget: seed.is_multiple_of(3).then_some(0.05),
            ..World::default()
        }
        .finish()
    }

    #[test]
    fn what_is_given_up_would_not_have_been_taken_and_boards_play_as_plays_do() {
        let (mut kept, mut given_up) = (0, 0);
        for seed in 0..60 {
            let world = world(seed);
            let (mut board, kin, mut random) = (Board::new(&world), Kin::of(&world), Random(seed * 3 + 1));
            let first = crate::sim::play(&world, &Chooser::EarliestFinish, &AsExpected);
            assert_eq!(board.play(&Chooser::EarliestFinish, &AsExpected), first, "seed {seed}");
            let mut plan = first.sites.clone();
            for step in 0..60 {
                shift(&world, &kin, &mut random, &mut plan);
                let chooser = Chooser::Fixed(plan.clone());
                let whole = crate::sim::play(&world, &chooser, &AsExpected);
                // Limits on both sides of what it comes to, and near to it.
                let limit = whole.total() * (0.8 + 0.4 * random.share());
                let below = board.play_below(&chooser, limit);
                assert_eq!(below.is_some(), whole.total() < limit, "seed {seed}, step {step}: {} and {limit}", whole.total());
                kept += u32::from(below.is_some());
                given_up += u32::from(below.is_none());
                assert!(below.is_none_or(|below| below == whole), "seed {seed}, step {step}");
            }
        }
        assert!(kept > 500 && given_up > 500, "{kept} and {given_up}");
    }

    #[test]
    fn a_plan_keeps_within_the_budget_where_one_can() {
        let mut world = world(1);
        for task in &mut world.tasks {
            task.permitted = 0b11;
        }
        let (effort, free) = (Effort { moves: 400, seed: 1 }, world.clone());
        let dear = search(&free, &effort).played;
        // Everything at home costs this much, whatever it means for the deadline.
        let home = crate::sim::play(&world, &Chooser::Fixed(vec![0; world.tasks.len()]), &AsExpected).money;
        assert!(dear.money > home * 1.2, "with money it goes away: {} and {home}", dear.money);
        world.budget = Some(home * 1.1);
        let kept = search(&world, &effort).played;
        assert!(kept.money <= home * 1.1 + 1e-9 && kept.over_budget == 0.0, "{} of {}", kept.money, home * 1.1);
        assert!(kept.late_money > dear.late_money, "lateness is what it is paid with");
        world.budget = Some(home * 0.5);
        let over = search(&world, &effort).played;
        assert!((over.over_budget - home * 0.5).abs() < home * 0.05, "as little over as can be: {}", over.over_budget);
    }
}
