//! The simulator and the search: capacities hold, everything ends, waiting is bounded, nothing goes to and fro.

use model::site::Prices;
use model::{Money, Resources};
use placement::burst::{BEFORE, Coming};
use placement::objective::{Odds, Settings};
use placement::search::{Effort, Random, search};
use placement::sim::{AsExpected, Chooser, Reality, play};
use placement::world::{Flow, Link, Need, Place, Task, World};

const CORE: Resources = Resources { cpu_millis: 1000, memory_bytes: 0, gpus: 0, disk_bytes: 0 };

fn place(cores: u32, price: f64, boot: f64) -> Place {
    Place {
        capacity: Need { cpu: f64::from(cores) * 1000.0, ..Need::default() },
        prices: Prices { cpu_hour: Money::from_units(price), ..Prices::default() },
        rented: boot > 0.0,
        boot,
        idle: boot * 2.0,
        ..Place::default()
    }
}

fn task(runs: f64, parents: &[u32], permitted: u64) -> Task {
    Task {
        need: Need::from(&CORE),
        resources: CORE,
        runs: vec![Odds { mid: runs, mean: runs, deviation: runs * 0.2 }],
        permitted,
        parents: parents.to_vec(),
        output: 1e8,
        ..Task::default()
    }
}

fn world(tasks: Vec<Task>, deadline: Option<f64>) -> World {
    let last = tasks.len() as u32;
    World {
        sites: vec![place(2, 0.012, 0.0), place(32, 0.048, 45.0)],
        links: vec![Link { byte: 9e-11, rate: 1.25e8 }; 4],
        tasks,
        flows: vec![Flow { first: 0, last, deadline, late_per_hour: 50.0, ..Flow::default() }],
        ..World::default()
    }
    .finish()
}

fn random_world(seed: u64) -> World {
    let mut random = Random(seed | 1);
    let tasks = (0..3 + random.below(60)).map(|number| {
        let parents: Vec<u32> = match number {
            0 => Vec::new(),
            _ => (0..random.below(3)).map(|_| random.below(number) as u32).collect(),
        };
        let permitted = [0b11, 0b11, 0b01, 0b10][random.below(4)];
        task(30.0 + 600.0 * random.share(), &parents, permitted)
    });
    let tasks: Vec<Task> = tasks.collect();
    world(tasks, Some(600.0 + 3000.0 * random.share()))
}

/// The end of every task and its length say when it ran: at no moment more of them than the site has cores.
fn most_at_once(world: &World, chooser: &Chooser, site: u16) -> usize {
    let played = play(world, chooser, &AsExpected);
    let mut edges: Vec<(f64, i32)> = Vec::new();
    for (number, task) in world.tasks.iter().enumerate().filter(|(number, _)| played.sites[*number] == site) {
        let (end, runs) = (played.ends[number], task.runs_at(site.into()).mid);
        edges.extend([(end - runs, 1), (end - 1e-6, -1)]);
    }
    edges.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut now, mut most) = (0, 0);
    for (_, step) in edges {
        now += step;
        most = most.max(now);
    }
    most as usize
}

#[test]
fn capacities_and_permissions_hold_whatever_chooses() {
    for seed in 0..200 {
        let world = random_world(seed);
        let spread: Vec<u16> = (0..world.tasks.len()).map(|number| (number % 2) as u16).collect();
        let choosers = [
            Chooser::Priced(Settings::default()),
            Chooser::EarliestFinish,
            Chooser::Cheapest,
            Chooser::QueueBurst(1.0),
            Chooser::Fixed(spread),
        ];
        for chooser in choosers {
            let played = play(&world, &chooser, &AsExpected);
            assert_eq!(played.stuck, 0);
            for (number, task) in world.tasks.iter().enumerate() {
                let site = usize::from(played.sites[number]);
                assert!(world.may(task, site), "seed {seed}, {chooser:?}: task {number} is at {site}");
                for parent in &task.parents {
                    let begun = played.ends[number] - task.runs_at(site).mid;
                    assert!(begun >= played.ends[*parent as usize] - 1e-6, "seed {seed}: {number} began before {parent} ended");
                }
            }
            assert!(most_at_once(&world, &chooser, 0) <= 2, "seed {seed}, {chooser:?}");
            assert!(most_at_once(&world, &chooser, 1) <= 32, "seed {seed}, {chooser:?}");
        }
    }
}

#[test]
fn a_plan_is_no_worse_than_any_rule_and_the_same_every_time() {
    for seed in 0..12 {
        let world = random_world(seed);
        let effort = Effort { moves: 150, seed: 3 };
        let (found, again) = (search(&world, &effort), search(&world, &effort));
        assert_eq!(found.sites, again.sites);
        for chooser in [Chooser::EarliestFinish, Chooser::Cheapest, Chooser::Priced(Settings::default())] {
            assert!(found.played.total() <= play(&world, &chooser, &AsExpected).total() + 1e-9, "seed {seed}, {chooser:?}");
        }
        let planned = play(&world, &Chooser::Fixed(found.sites.clone()), &AsExpected);
        assert!((planned.total() - found.played.total()).abs() < 1e-6, "what was planned is what is played");
    }
}

#[test]
fn work_bursts_when_the_deadline_asks_for_it_and_comes_home_when_it_does_not() {
    let many = |deadline| world((0..24).map(|_| task(300.0, &[], 0b11)).collect(), Some(deadline));
    let away = |world: &World| search(world, &Effort { moves: 200, seed: 1 }).sites.iter().filter(|site| **site == 1).count();
    assert_eq!(away(&many(10_000.0)), 0, "two own cores are enough");
    let some = away(&many(1_500.0));
    assert!((12..=18).contains(&some), "own cores do 10 of 24 in time: {some} went away");
    assert!(away(&many(400.0)) >= 22, "no time for a second round at home");
}

#[test]
fn nothing_starves_behind_a_stream_of_smaller_work() {
    // One task that needs the whole of the small site, and small ones that would always fit before it.
    let mut tasks: Vec<Task> = vec![task(60.0, &[], 0b01)];
    tasks[0].need.cpu = 2000.0;
    (0..400).for_each(|_| tasks.push(task(50.0, &[], 0b01)));
    // Chains of two, so that there is always something new.
    for (number, task) in tasks.iter_mut().enumerate().skip(3) {
        task.parents = vec![number as u32 - 2];
    }
    let world = world(tasks, None);
    let played = play(&world, &Chooser::Priced(Settings::default()), &AsExpected);
    assert!(played.ends[0] > 0.0 && played.ends[0] < placement::PATIENCE_S * 4.0 + 400.0, "it ended at {}", played.ends[0]);
}

/// Half of all runs at the second site are called back at once.
struct Flaky;

impl Reality for Flaky {
    fn runs(&self, _: usize, _: usize, expected: f64) -> f64 {
        expected
    }

    fn called_back(&self, task: usize, site: usize, attempt: u32, runs: f64) -> Option<f64> {
        (site == 1 && (task as u32 + attempt).is_multiple_of(2)).then_some(runs / 2.0)
    }
}

#[test]
fn what_is_called_back_is_done_again_and_paid_for() {
    let world = world((0..20).map(|_| task(300.0, &[], 0b10)).collect(), None);
    let chooser = Chooser::Priced(Settings::default());
    let (calm, flaky) = (play(&world, &chooser, &AsExpected), play(&world, &chooser, &Flaky));
    assert_eq!(flaky.preempted, 10);
    assert!(flaky.ends.iter().all(|end| *end > 0.0));
    assert!(flaky.money > calm.money, "{} and {}", flaky.money, calm.money);
}

#[test]
fn what_a_forecast_expects_sends_work_away_while_there_is_time() {
    let many = |coming: Vec<Coming>| {
        let mut world = world((0..24).map(|_| task(300.0, &[], 0b11)).collect(), Some(6_500.0));
        world.sites[0].coming = coming;
        world
    };
    let away = |world: &World, foresee: bool| {
        let played = play(
            world,
            &Chooser::Priced(Settings { before: if foresee { BEFORE } else { 0.0 }, ..Settings::default() }),
            &AsExpected,
        );
        played.sites.iter().filter(|site| **site == 1).count()
    };
    let busy = vec![Coming { mid: 1.0, high: 1.2 }];
    let calm = away(&many(Vec::new()), true);
    assert!(calm <= 4, "own cores do it in time: {calm}");
    let warned = away(&many(busy.clone()), true);
    assert!(warned >= calm + 6, "half of what becomes free goes to others: {calm} and {warned}");
    assert_eq!(away(&many(busy), false), calm, "the setting is what makes it so");
    let unsure = away(&many(vec![Coming { mid: 0.3, high: 1.2 }]), true);
    let sure = away(&many(vec![Coming { mid: 0.3, high: 0.3 }]), true);
    assert!(unsure > sure, "what may come counts, not only what is expected: {unsure} and {sure}");
}
