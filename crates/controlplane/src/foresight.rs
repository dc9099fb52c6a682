//! From a workflow, the fleet and the estimates to the simulator's world, and back: where the nodes of a run should go, when it will be
//! done and for how much. Planning, forecasts of runs and what-if all look through here.

use std::collections::BTreeMap;

use engine::event::{Goal, PlannedPlace};
use model::project::Quota;
use model::site::is_near;
use model::{Graph, Money, Node, NodeKind, Timestamp};
use placement::objective::Odds;
use placement::search::{Effort, Found, Random, search};
use placement::sim::{Chooser, Played, Reality, play};
use placement::world::{File, Flow, Link, Need, Place, Task, World};
use placement::{Permitted, SiteView};
use prediction::{Estimates, Family};
use serde_json::{Value, json};

use crate::placer::outlook;
use crate::projects::Bounds;

/// Tasks that stand for the items of a map: more are folded into these.
const ITEMS_MAX: usize = 16;
/// Items of a map of which nothing is known.
const ITEMS_ASSUMED: usize = 8;
/// Tasks of a world that is worth playing before every run.
pub(crate) const TASKS_MAX: usize = 600;
/// Futures that a forecast is read off.
const FUTURES: u64 = 40;
/// Bytes a second where nothing is known.
const RATE: f64 = 1.25e8;
/// What an hour of lateness costs when a deadline is given and no price.
pub(crate) const LATE_PER_HOUR: Money = Money(10_000_000);

/// A world with the names of what is in it.
pub(crate) struct Sketch {
    pub(crate) world: World,
    /// By task: the path without the numbers of items.
    pub(crate) paths: Vec<String>,
    pub(crate) sites: Vec<String>,
    /// By task: how far its length strays, as a standard deviation of logarithms.
    strays: Vec<f64>,
    /// By task: how many it stands for.
    weights: Vec<f64>,
}

/// What a world is made from.
pub(crate) struct Ground<'a> {
    pub(crate) workflow: &'a str,
    pub(crate) sites: &'a [SiteView],
    pub(crate) estimates: &'a Estimates,
    /// Data that lie somewhere from the beginning: bytes and sites.
    pub(crate) files: Vec<(u64, Vec<String>)>,
    /// Where the node at a path may go, whose work is named as the engine names it.
    pub(crate) permitted: &'a dyn Fn(&str, &str) -> Permitted,
    /// Nodes, by path, that need not run any more.
    pub(crate) done: &'a dyn Fn(&str) -> bool,
    pub(crate) goal: Option<Goal>,
    pub(crate) now: Timestamp,
}

/// How far the actions of a path are.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Progress {
    /// How many there will be, where that is known.
    pub(crate) known: Option<f64>,
    /// How many have ended.
    pub(crate) done: f64,
    /// Seconds that those which run have run, on average.
    pub(crate) running_s: f64,
}

/// What a run is expected to come to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outlook {
    /// Money from now on: 5 of 100 futures below, the median, 5 of 100 above.
    pub cost: [Money; 3],
    /// Seconds from now to the end, likewise.
    pub ends_in_s: [f64; 3],
    /// The share of futures in which the deadline is missed; none without a deadline.
    pub p_late: Option<f64>,
    /// The nodes that decide when it ends, first to last, with the seconds that each takes.
    pub critical: Vec<(String, f64)>,
    /// By node: the seconds that it may be late without the run's end being later.
    pub slack: Vec<(String, f64)>,
}

impl Sketch {
    /// Draws the world of a graph.
    pub(crate) fn of(graph: &Graph, ground: &Ground<'_>) -> Sketch {
        let mut sketch = Sketch {
            world: World::default(),
            paths: Vec::new(),
            sites: ground.sites.iter().map(|site| site.name.clone()).collect(),
            strays: Vec::new(),
            weights: Vec::new(),
        };
        sketch.world = world_of(ground.sites);
        for (bytes, at) in &ground.files {
            let bits = ground.sites.iter().enumerate().filter(|(_, site)| at.contains(&site.name));
            sketch
                .world
                .files
                .push(File { bytes: *bytes as f64, at: bits.fold(0, |bits, (index, _)| bits | 1 << index.min(63)) });
        }
        sketch.add_graph(graph, "", &[], ground);
        let deadline = ground.goal.map(|goal| goal.deadline.0 as f64 / 1e6 - ground.now.0 as f64 / 1e6);
        sketch.world.flows.push(Flow {
            first: 0,
            last: sketch.world.tasks.len() as u32,
            arrives: 0.0,
            deadline,
            late_per_hour: ground.goal.map_or(0.0, |goal| goal.late_per_hour.units()),
            late_fee: ground.goal.map_or(0.0, |goal| goal.late_fee.units()),
        });
        sketch.world = std::mem::take(&mut sketch.world).finish();
        sketch
    }

    /// Adds the nodes of a graph that begins after these tasks. Gives the tasks that it ends with.
    fn add_graph(&mut self, graph: &Graph, prefix: &str, after: &[u32], ground: &Ground<'_>) -> Vec<u32> {
        let mut exits: Vec<Vec<u32>> = vec![Vec::new(); graph.nodes.len()];
        let mut followed = vec![false; graph.nodes.len()];
        // Nodes stand in the order written, which need not be the order in which they run.
        let mut left: Vec<usize> = (0..graph.nodes.len()).collect();
        let mut placed = vec![false; graph.nodes.len()];
        while !left.is_empty() {
            let ready = |index: &usize| dependencies(&graph.nodes[*index]).all(|on| placed.get(on).copied().unwrap_or(true));
            let next: Vec<usize> = left.iter().copied().filter(ready).collect();
            if next.is_empty() || self.world.tasks.len() > TASKS_MAX {
                break;
            }
            for index in &next {
                let node = &graph.nodes[*index];
                let mut parents: Vec<u32> = Vec::new();
                for on in dependencies(node).filter(|on| *on < exits.len()) {
                    followed[on] = true;
                    parents.extend(&exits[on]);
                }
                if dependencies(node).next().is_none() {
                    parents.extend(after);
                }
                parents.sort_unstable();
                parents.dedup();
                exits[*index] = self.add_node(node, format!("{prefix}{}", node.id), parents, ground);
                placed[*index] = true;
            }
            left.retain(|index| !placed[*index]);
        }
        let ends: Vec<u32> =
            exits.iter().zip(&followed).filter(|(_, followed)| !**followed).flat_map(|(ends, _)| ends.clone()).collect();
        if ends.is_empty() { after.to_vec() } else { ends }
    }

    fn add_node(&mut self, node: &Node, path: String, parents: Vec<u32>, ground: &Ground<'_>) -> Vec<u32> {
        match &node.kind {
            NodeKind::Use { connector, .. } if connectors::run_instant(connector, &Value::Null, 1).is_some() => parents,
            _ if (ground.done)(&path) => parents,
            NodeKind::Use { .. } | NodeKind::Run { .. } | NodeKind::Task { .. } => {
                vec![self.add_task(node, path, parents, 1.0, ground)]
            }
            NodeKind::Each { body, concurrency, .. } => {
                let items = ground.estimates.items(ground.workflow, &path).map_or(ITEMS_ASSUMED, |items| items.round() as usize);
                let tasks = items.clamp(1, ITEMS_MAX).min((*concurrency).max(1) as usize);
                let weight = items.max(1) as f64 / tasks as f64;
                let item = format!("{path}[]");
                let mut ends = Vec::new();
                for _ in 0..tasks {
                    if body.kind.is_placed() {
                        ends.push(self.add_task(body, item.clone(), parents.clone(), weight, ground));
                    } else {
                        ends.extend(self.add_node(body, item.clone(), parents.clone(), ground));
                    }
                }
                ends.sort_unstable();
                ends.dedup();
                ends
            }
            NodeKind::Workflow { graph } => self.add_graph(graph, &format!("{path}/"), &parents, ground),
            // Nobody knows how long a person takes; what is planned begins when they have decided.
            NodeKind::Human | NodeKind::Wait | NodeKind::Decide { .. } => parents,
        }
    }

    fn add_task(&mut self, node: &Node, path: String, parents: Vec<u32>, weight: f64, ground: &Ground<'_>) -> u32 {
        let work = node.kind.work();
        let family = Family { workflow: ground.workflow, path: &path, work: &work };
        let needs = &node.needs;
        let gate = (ground.permitted)(&path, &work);
        let mut permitted = 0u64;
        let mut runs = Vec::with_capacity(ground.sites.len());
        let mut stray = 0.3f64;
        for (index, site) in ground.sites.iter().enumerate() {
            let outlook = outlook(ground.estimates, &family, site);
            let (low, high) = outlook.interval_s;
            stray = stray.max(((high.max(1e-3) / low.max(1e-3)).ln() / 3.29).min(1.5));
            let scaled = |seconds: f64| seconds * weight;
            runs.push(Odds {
                mid: scaled(outlook.run.mid),
                mean: scaled(outlook.run.mean),
                deviation: scaled(outlook.run.deviation),
            });
            let fits = needs.unmet(&site.attributes).is_none() && site.capacity.covers(&needs.resources);
            if fits && site.closed.is_none() && gate.refusal(&site.name).is_none() && index < 64 {
                permitted |= 1 << index;
            }
        }
        let output = ground.sites.first().and_then(|site| ground.estimates.output(&family, &site.name));
        let files = if parents.is_empty() { (0..ground.files.len() as u32).collect() } else { Vec::new() };
        self.world.tasks.push(Task {
            need: Need::from(&needs.resources),
            resources: needs.resources,
            runs,
            permitted,
            parents,
            files,
            output: output.map_or(0.0, |output| output.mid) * weight,
            rest: 0.0,
        });
        self.paths.push(path);
        self.strays.push(stray);
        self.weights.push(weight);
        self.world.tasks.len() as u32 - 1
    }

    /// Takes off what is done already: the items of maps that have ended, and the time that running tasks have run.
    pub(crate) fn advance(&mut self, how: &dyn Fn(&str) -> Option<Progress>) {
        let mut standing: BTreeMap<&str, f64> = BTreeMap::new();
        for (path, weight) in self.paths.iter().zip(&self.weights) {
            *standing.entry(path).or_default() += weight;
        }
        for (path, task) in self.paths.iter().zip(&mut self.world.tasks) {
            let Some(progress) = how(path) else { continue };
            let expected = standing.get(path.as_str()).copied().unwrap_or(1.0).max(1.0);
            let left = (progress.known.unwrap_or(expected) - progress.done).max(0.0);
            let share = if expected > 1.0 || progress.done > 0.0 { left / expected } else { 1.0 };
            for odds in &mut task.runs {
                let mid = odds.mid * share;
                // What takes longer than expected already will take some time more.
                let rest = (mid - progress.running_s).max(0.1 * progress.running_s).min(mid.max(0.1 * progress.running_s));
                let by = if odds.mid > 0.0 { rest / odds.mid } else { 0.0 };
                *odds = Odds { mid: rest, mean: odds.mean * by, deviation: odds.deviation * by };
            }
        }
        self.world = std::mem::take(&mut self.world).finish();
    }

    /// No site gives a project more at once than its quota. (That it holds over all sites together is asked for every action.)
    pub(crate) fn hold_to(&mut self, quota: &Quota) {
        let least = |most: f64, quota: Option<f64>| quota.map_or(most, |quota| most.min(quota));
        for site in &mut self.world.sites {
            let has = &mut site.capacity;
            has.cpu = least(has.cpu, quota.cpu_millis.map(f64::from));
            has.memory = least(has.memory, quota.memory_bytes.map(|bytes| bytes as f64));
            has.gpus = least(has.gpus, quota.gpus.map(f64::from));
        }
    }

    /// Looks for a plan. None where there is nothing to choose: no task, one site, or a task that no site can take.
    pub(crate) fn plan(&self, effort: &Effort) -> Option<Found> {
        let tasks = self.world.tasks.len();
        if tasks == 0 || tasks > TASKS_MAX || self.sites.len() < 2 {
            return None;
        }
        let found = search(&self.world, effort);
        (found.played.stuck == 0).then_some(found)
    }

    /// The places of a plan, by path: of the items of a map the site of most of them.
    pub(crate) fn places(&self, sites: &[u16]) -> Vec<PlannedPlace> {
        let mut by_path: BTreeMap<&str, (BTreeMap<u16, usize>, f64)> = BTreeMap::new();
        for ((path, site), task) in self.paths.iter().zip(sites).zip(&self.world.tasks) {
            let entry = by_path.entry(path).or_default();
            *entry.0.entry(*site).or_default() += 1;
            entry.1 = entry.1.max(task.rest);
        }
        let place = |(path, (counts, rest)): (&str, (BTreeMap<u16, usize>, f64))| {
            let (site, _) = counts.into_iter().max_by_key(|(_, count)| *count)?;
            let site = self.sites.get(usize::from(site))?.clone();
            Some(PlannedPlace { path: path.to_owned(), site, rest_s: rest.min(4e9) as u32 })
        };
        by_path.into_iter().filter_map(place).collect()
    }

    /// What a plan is expected to come to: played through futures that stray as the tasks do.
    pub(crate) fn outlook(&self, sites: &[u16]) -> Outlook {
        let chooser = Chooser::Fixed(sites.to_vec());
        let (mut costs, mut ends, mut late) = (Vec::new(), Vec::new(), 0u32);
        for seed in 0..FUTURES {
            let played = play(&self.world, &chooser, &Straying { seed, strays: &self.strays, world: &self.world });
            costs.push(played.money);
            ends.push(played.makespan);
            late += u32::from(played.late.iter().any(|late| *late > 1e-6));
        }
        let expected = play(&self.world, &chooser, &placement::sim::AsExpected);
        let (critical, slack) = self.critical(&expected);
        costs.sort_by(f64::total_cmp);
        ends.sort_by(f64::total_cmp);
        let at = |sorted: &[f64], share: f64| sorted[((sorted.len() - 1) as f64 * share).round() as usize];
        let three = |sorted: &[f64]| [at(sorted, 0.05), at(sorted, 0.5), at(sorted, 0.95)];
        let has_deadline = self.world.flows.iter().any(|flow| flow.deadline.is_some());
        Outlook {
            cost: three(&costs).map(placement::objective::money),
            ends_in_s: three(&ends).map(|seconds| (seconds * 1e3).round() / 1e3),
            p_late: has_deadline.then(|| f64::from(late) / FUTURES as f64),
            critical,
            slack,
        }
    }

    /// The chain of nodes that decides the end, and how late every other may be.
    fn critical(&self, played: &Played) -> (Vec<(String, f64)>, Vec<(String, f64)>) {
        let tasks = &self.world.tasks;
        let length = |index: usize| tasks[index].runs_at(usize::from(played.sites[index])).mid;
        let mut chain = Vec::new();
        let mut at = (0..tasks.len()).max_by(|a, b| played.ends[*a].total_cmp(&played.ends[*b]));
        while let Some(index) = at {
            chain.push((self.paths[index].clone(), (length(index) * 1e3).round() / 1e3));
            let parents = tasks[index].parents.iter().map(|parent| *parent as usize);
            at = parents.max_by(|a, b| played.ends[*a].total_cmp(&played.ends[*b]));
        }
        chain.reverse();
        // The latest end of each that leaves the end of all where it is.
        let mut latest = vec![played.makespan; tasks.len()];
        for index in (0..tasks.len()).rev() {
            let begins = |child: &u32| latest[*child as usize] - length(*child as usize);
            let least = self.world.children[index].iter().map(begins).fold(latest[index], f64::min);
            latest[index] = least;
        }
        let mut slack: BTreeMap<&str, f64> = BTreeMap::new();
        for ((path, latest), ends) in self.paths.iter().zip(&latest).zip(&played.ends) {
            let own = (latest - ends).max(0.0);
            slack.entry(path).and_modify(|least| *least = least.min(own)).or_insert(own);
        }
        let slack = slack.into_iter().map(|(path, own)| (path.to_owned(), (own * 1e3).round() / 1e3)).collect();
        (chain, slack)
    }
}

/// Futures in which every task strays as far as its estimate says, and rented places are called back as often as theirs does.
struct Straying<'a> {
    seed: u64,
    strays: &'a [f64],
    world: &'a World,
}

impl Reality for Straying<'_> {
    fn runs(&self, task: usize, _: usize, expected: f64) -> f64 {
        let mut random = Random(self.seed.wrapping_mul(0x9E37_79B9) ^ (task as u64) << 24 ^ 0x5DEE_CE66);
        expected * (self.strays.get(task).copied().unwrap_or(0.3) * random.normal()).exp()
    }

    fn called_back(&self, task: usize, site: usize, attempt: u32, runs: f64) -> Option<f64> {
        let hazard = self.world.sites.get(site)?.hazard;
        if hazard <= 0.0 {
            return None;
        }
        let mut random = Random(self.seed ^ (task as u64) << 32 ^ u64::from(attempt) << 8 ^ 0x2545_F491);
        let after = -random.share().max(1e-12).ln() / hazard * 3600.0;
        (after < runs).then_some(after)
    }
}

fn dependencies(node: &Node) -> impl Iterator<Item = usize> {
    node.refs.iter().chain(&node.after).chain(&node.chosen_by).map(|index| *index as usize)
}

/// A world of these sites and the ways between them, in which nothing is to be done yet.
pub(crate) fn world_of(sites: &[SiteView]) -> World {
    let mut world = World { sites: sites.iter().map(place).collect(), ..World::default() };
    for from in sites {
        for to in sites {
            let near = is_near(&from.attributes, &to.attributes);
            let byte = from.prices.of_transfer(from.sent_bytes, 1_000_000_000, near).units() / 1e9;
            world.links.push(Link { byte, rate: rate(from).min(rate(to)) });
        }
    }
    world
}

fn place(site: &SiteView) -> Place {
    let terms = site.prices.terms.unwrap_or_default();
    Place {
        capacity: Need::from(&site.capacity),
        busy: Need::from(&site.capacity.minus(&site.free)),
        prices: site.prices,
        rented: terms.boot.0 > 0 || terms.idle.0 > 0,
        boot: terms.boot.as_secs_f64(),
        idle: terms.idle.as_secs_f64(),
        hazard: f64::from(terms.preemptions_per_1000h) / 1000.0,
        coming: Vec::new(),
    }
}

fn rate(site: &SiteView) -> f64 {
    let mbps = site.prices.terms.map_or(0, |terms| terms.bandwidth_mbps);
    if mbps == 0 { RATE } else { f64::from(mbps) * 125_000.0 }
}

/// What is kept of how a plan was found.
pub(crate) fn explanation(found: &Found, outlook: &Outlook, bounds: &Bounds) -> Value {
    let money = placement::objective::money;
    let mut explanation = json!({
        "variant": found.variant,
        "plays": found.plays,
        "before_moves": (found.before_moves * 1e6).round() / 1e6,
        "objective": (found.played.total() * 1e6).round() / 1e6,
        "expected": {
            "cost": outlook.cost,
            "ends_in_s": outlook.ends_in_s,
            "p_late": outlook.p_late,
            "egress": money(found.played.egress),
            "boot_and_idle": money(found.played.idle_money),
        },
        "critical_path": outlook.critical.iter().map(|(path, seconds)| json!({"path": path, "seconds": seconds})).collect::<Vec<_>>(),
    });
    if let Some(left) = bounds.budget {
        explanation["budget"] = json!({
            "left": left,
            "over": money(found.played.over_budget),
            "lateness_divided_by": (bounds.thrift * 100.0).round() / 100.0,
            "said": bounds.said,
        });
    }
    explanation
}
