//! What would have been: a recorded period played again with other prices, sites, capacities or settings, beside what happened.

mod one;

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::without_items;
use journal::{HistoryFilter, HistoryRow, RunFilter};
use model::limits::WHATIF_ACTIONS_MAX;
use model::{Digest, Graph, Money, NodeKind, Resources, RunId, Timestamp};
use placement::SiteView;
use placement::objective::{Odds, Settings};
use placement::sim::{Chooser, Played, Reality, play};
use placement::world::{Flow, Need, Task, World};
use prediction::{Estimates, Family};

use crate::foresight::world_of;
use crate::learning::node_at;
use crate::placer::outlook;
use crate::{ControlPlane, Fault, FaultKind};

pub use one::{Side, Suppose, Supposed};

/// Parents kept of a task that waited for more: those that ended last.
const PARENTS_MAX: usize = 64;
/// Runs looked at for deadlines.
const RUNS_MAX: usize = 20_000;

/// What is to be different.
#[derive(Clone, Debug, Default)]
pub struct WhatIf {
    /// From when on.
    pub since: Timestamp,
    /// Until when.
    pub until: Timestamp,
    /// Of this project only.
    pub project: Option<String>,
    /// What is different about sites.
    pub sites: Vec<SiteChange>,
    /// How the rule is set.
    pub settings: Settings,
}

/// What is different about a site; a name that is not known is a new site.
#[derive(Clone, Debug, Default)]
pub struct SiteChange {
    /// The site.
    pub site: String,
    /// It is not there.
    pub gone: bool,
    /// Prices an hour of a core, a GiB, an accelerator, and of a GB that leaves.
    pub cpu_hour: Option<Money>,
    /// The same of a GiB of memory.
    pub memory_gib_hour: Option<Money>,
    /// The same of an accelerator.
    pub gpu_hour: Option<Money>,
    /// Of a GB that leaves.
    pub egress_gb: Option<Money>,
    /// What it has.
    pub capacity: Option<Resources>,
    /// A new site has the attributes of this one.
    pub like: Option<String>,
}

/// What a period comes to.
#[derive(Clone, Debug, Default)]
pub struct Sum {
    /// What it was called.
    pub name: &'static str,
    /// The bill.
    pub cost: Money,
    /// Of that: egress.
    pub egress: Money,
    /// Runs that missed their deadline, and what that cost by their own prices.
    pub late_runs: u64,
    /// What lateness cost.
    pub late_cost: Money,
    /// Seconds from the acceptance of a run to its end: the mean.
    pub mean_run_s: f64,
    /// The longest that an action waited for a place.
    pub longest_wait_s: f64,
    /// Actions that no site may take.
    pub stuck: u64,
    /// By site: how many actions, and the share of its cores that was held.
    pub sites: Vec<(String, u64, f64)>,
}

/// The answer.
#[derive(Clone, Debug, Default)]
pub struct Compared {
    /// Runs and actions that were played.
    pub runs: u64,
    /// Actions.
    pub actions: u64,
    /// As it happened; the same places played; the rule as it is; the rule and the fleet as asked.
    pub sums: Vec<Sum>,
    /// What such a replay cannot know.
    pub limits: Vec<String>,
}

struct Recorded {
    world: World,
    /// By task: the site it ran at, and by how much it took longer there than expected.
    sites: Vec<u16>,
    strays: Vec<f64>,
    happened: Sum,
}

impl Reality for Recorded {
    fn runs(&self, task: usize, _: usize, expected: f64) -> f64 {
        expected * self.strays.get(task).copied().unwrap_or(1.0)
    }

    fn called_back(&self, _: usize, _: usize, _: u32, _: f64) -> Option<f64> {
        None
    }
}

impl ControlPlane {
    /// Plays a recorded period again.
    pub fn what_if(&self, asked: &WhatIf) -> Result<Compared, Fault> {
        let filter = HistoryFilter {
            project: asked.project.clone(),
            since: Some(asked.since),
            until: Some(asked.until),
            limit: WHATIF_ACTIONS_MAX + 1,
            ..HistoryFilter::default()
        };
        let rows = self.reader().history(&filter).map_err(Fault::internal)?;
        if rows.len() > WHATIF_ACTIONS_MAX {
            let message = format!("the period holds more than {WHATIF_ACTIONS_MAX} actions");
            return Err(Fault::new(FaultKind::TooLarge, message).hint("take a shorter one, or one project"));
        }
        let fleet: Vec<SiteView> = self.reader().sites().map_err(Fault::internal)?.iter().map(crate::planning::idle).collect();
        let changed = changed(&fleet, &asked.sites)?;
        let estimates = self.learned().read();
        let goals = self.goals(asked)?;
        let before = self.record(&rows, &fleet, &estimates, &goals)?;
        let after = self.record(&rows, &changed, &estimates, &goals)?;
        drop(estimates);
        let names = |sites: &[SiteView]| sites.iter().map(|site| site.name.clone()).collect::<Vec<_>>();
        let mut sums = vec![before.happened.clone()];
        let mut add = |name: &'static str, recorded: &Recorded, names: &[String], chooser: Chooser| {
            let played = play(&recorded.world, &chooser, recorded);
            sums.push(sum(name, &played, &recorded.world, names));
        };
        add("the same places, played", &before, &names(&fleet), Chooser::Fixed(before.sites.clone()));
        add("the rule as it is", &before, &names(&fleet), Chooser::Priced(Settings::default()));
        add("as asked", &after, &names(&changed), Chooser::Priced(asked.settings));
        let runs = before.world.flows.len() as u64;
        Ok(Compared { runs, actions: rows.len() as u64, sums, limits: limits() })
    }

    /// When runs should have been done, as their plans say.
    fn goals(&self, asked: &WhatIf) -> Result<BTreeMap<RunId, engine::event::Goal>, Fault> {
        let mut goals = BTreeMap::new();
        let filter = RunFilter { project: asked.project.clone(), limit: RUNS_MAX, ..RunFilter::default() };
        for run in self.reader().runs(&filter).map_err(Fault::internal)? {
            if run.submitted_at < asked.since || run.submitted_at >= asked.until {
                continue;
            }
            let graph = self.graph_of_run(&run.graph)?;
            if graph.is_some_and(|graph| graph.deadline.is_some())
                && let Some(goal) = self.reader().last_plan(&run).map_err(Fault::internal)?.and_then(|plan| plan.goal)
            {
                goals.insert(run.id, goal);
            }
        }
        Ok(goals)
    }

    fn graph_of_run(&self, digest: &Digest) -> Result<Option<Arc<Graph>>, Fault> {
        if let Some(graph) = self.known_graphs().lock().get(digest) {
            return Ok(Some(graph.clone()));
        }
        let graph = self.reader().graph(digest).map_err(Fault::internal)?;
        if let Some(graph) = &graph {
            self.known_graphs().lock().insert(*digest, graph.clone());
        }
        Ok(graph)
    }

    /// The world of what was recorded, with these sites.
    fn record(
        &self,
        rows: &[HistoryRow],
        sites: &[SiteView],
        estimates: &Estimates,
        goals: &BTreeMap<RunId, engine::event::Goal>,
    ) -> Result<Recorded, Fault> {
        let mut world = world_of(sites);
        let origin = rows.iter().map(|row| row.submitted_at.0).min().unwrap_or_default();
        let at = |time: Timestamp| time.0.saturating_sub(origin) as f64 / 1e6;
        let (mut numbers, mut strays) = (Vec::new(), Vec::new());
        let mut happened = Sum { name: "as it happened", ..Sum::default() };
        let mut paths: BTreeMap<(Digest, String), Arc<Known>> = BTreeMap::new();
        for run in rows.chunk_by(|a, b| a.run == b.run) {
            let Some(head) = run.first() else { continue };
            let graph = self.graph_of_run(&head.graph)?;
            let first = world.tasks.len() as u32;
            let mut ended: BTreeMap<String, Vec<(u32, Timestamp)>> = BTreeMap::new();
            for row in run {
                happened.cost += row.cost;
                if row.kind == engine::event::ActionKind::Transfer {
                    happened.egress += row.cost;
                    continue;
                }
                let path = without_items(&row.path);
                let key = (row.graph, path.clone());
                let known = paths
                    .entry(key)
                    .or_insert_with(|| Arc::new(Known::of(graph.as_deref(), &row.workflow, &path, sites, estimates)));
                let mut parents: Vec<(u32, Timestamp)> = known.after.iter().flat_map(|on| within(&ended, on)).copied().collect();
                if parents.len() > PARENTS_MAX {
                    parents.sort_by_key(|(_, end)| std::cmp::Reverse(*end));
                    parents.truncate(PARENTS_MAX);
                }
                let behind = parents.iter().map(|(_, end)| *end).max().unwrap_or(row.submitted_at);
                let mut parents: Vec<u32> = parents.into_iter().map(|(number, _)| number).collect();
                // People and waits take as long as they took.
                let pause = row.opened_at.since(behind).as_secs_f64();
                if pause > 1.0 {
                    let runs = vec![Odds::certain(pause)];
                    world.tasks.push(Task { runs, permitted: u64::MAX, parents, ..Task::default() });
                    numbers.push(0);
                    strays.push(1.0);
                    parents = vec![world.tasks.len() as u32 - 1];
                }
                let site = sites.iter().position(|site| site.name == row.site);
                let expected = known.runs.get(site.unwrap_or(0)).map_or(1.0, |odds| odds.mid).max(1e-3);
                let wall = row.usage.wall_us as f64 / 1e6;
                world.tasks.push(Task {
                    need: known.need,
                    resources: known.resources,
                    runs: known.runs.clone(),
                    permitted: known.permitted,
                    parents,
                    output: row.usage.bytes_out as f64,
                    ..Task::default()
                });
                numbers.push(site.unwrap_or(0) as u16);
                strays.push((wall / expected).clamp(1e-4, 1e4));
                ended.entry(path).or_default().push((world.tasks.len() as u32 - 1, row.finished_at));
            }
            let end = run.iter().map(|row| row.finished_at).max().unwrap_or(head.submitted_at);
            happened.mean_run_s += end.since(head.submitted_at).as_secs_f64();
            let goal = goals.get(&head.run);
            if let Some(goal) = goal.filter(|goal| end > goal.deadline) {
                happened.late_runs += 1;
                let hours = end.since(goal.deadline).as_secs_f64() / 3600.0;
                happened.late_cost += Money::from_units(hours * goal.late_per_hour.units()) + goal.late_fee;
            }
            world.flows.push(Flow {
                first,
                last: world.tasks.len() as u32,
                arrives: at(head.submitted_at),
                deadline: goal.map(|goal| at(goal.deadline)),
                late_per_hour: goal.map_or(0.0, |goal| goal.late_per_hour.units()),
                late_fee: goal.map_or(0.0, |goal| goal.late_fee.units()),
            });
        }
        happened.mean_run_s /= world.flows.len().max(1) as f64;
        let waits = rows.iter().filter(|row| row.attempt <= 1).map(|row| row.started_at.since(row.opened_at).as_secs_f64());
        happened.longest_wait_s = waits.fold(0.0, f64::max);
        happened.sites = held(rows, sites);
        Ok(Recorded { world: world.finish(), sites: numbers, strays, happened })
    }
}

/// What is known of a node.
struct Known {
    need: Need,
    resources: Resources,
    runs: Vec<Odds>,
    permitted: u64,
    /// The paths that it waits for.
    after: Vec<String>,
}

impl Known {
    fn of(graph: Option<&Graph>, workflow: &str, path: &str, sites: &[SiteView], estimates: &Estimates) -> Known {
        let node = graph.and_then(|graph| node_at(graph, path));
        let work = node.map_or_else(|| "run".to_owned(), |node| node.kind.work());
        let family = Family { workflow, path, work: &work };
        let needs = node.map(|node| node.needs.clone()).unwrap_or_default();
        let fits = |site: &&SiteView| needs.unmet(&site.attributes).is_none() && site.capacity.covers(&needs.resources);
        let permitted = sites.iter().enumerate().take(64).filter(|(_, site)| fits(site));
        Known {
            need: Need::from(&needs.resources),
            resources: needs.resources,
            runs: sites.iter().map(|site| outlook(estimates, &family, site).run).collect(),
            permitted: permitted.fold(0, |bits, (index, _)| bits | 1 << index),
            after: graph.map(|graph| waits_for(graph, path)).unwrap_or_default(),
        }
    }
}

/// The paths of the nodes that one waits for, in its own graph and, for the first of a sub-workflow, in the one around it.
fn waits_for(graph: &Graph, path: &str) -> Vec<String> {
    let (first, rest) = path.split_once('/').map_or((path, None), |(first, rest)| (first, Some(rest)));
    let id = first.split(['[', '!']).next().unwrap_or_default();
    let Some(node) = graph.nodes.iter().find(|node| node.id == id) else { return Vec::new() };
    let on = node.refs.iter().chain(&node.after).chain(&node.chosen_by).filter_map(|on| graph.nodes.get(*on as usize));
    let own: Vec<String> = on.map(|node| node.id.clone()).collect();
    match (rest, &node.kind) {
        (Some(rest), NodeKind::Workflow { graph }) => {
            let inner: Vec<String> = waits_for(graph, rest).into_iter().map(|path| format!("{first}/{path}")).collect();
            if inner.is_empty() { own } else { inner }
        }
        _ => own,
    }
}

/// What ended of a node: itself, its items, the nodes of its sub-workflow.
fn within<'e>(
    ended: &'e BTreeMap<String, Vec<(u32, Timestamp)>>,
    on: &str,
) -> impl Iterator<Item = &'e (u32, Timestamp)> + use<'e> {
    let on = on.to_owned();
    let from = on.clone();
    ended
        .range(from..)
        .take_while({
            let on = on.clone();
            move |(path, _)| path.starts_with(&on)
        })
        .filter(move |(path, _)| path[on.len()..].is_empty() || path[on.len()..].starts_with(['[', '/']))
        .flat_map(|(_, tasks)| tasks)
}

fn held(rows: &[HistoryRow], sites: &[SiteView]) -> Vec<(String, u64, f64)> {
    let begin = rows.iter().map(|row| row.opened_at.0).min().unwrap_or_default();
    let end = rows.iter().map(|row| row.finished_at.0).max().unwrap_or_default();
    let span = (end.saturating_sub(begin) as f64 / 1e6).max(1.0);
    let of = |site: &SiteView| {
        let there = rows.iter().filter(|row| row.site == site.name && row.kind != engine::event::ActionKind::Transfer);
        let (count, seconds) = there.fold((0u64, 0.0), |(count, sum), row| (count + 1, sum + row.usage.wall_us as f64 / 1e6));
        (site.name.clone(), count, seconds / span / (f64::from(site.capacity.cpu_millis) / 1000.0).max(1e-3))
    };
    sites.iter().map(of).collect()
}

fn sum(name: &'static str, played: &Played, world: &World, names: &[String]) -> Sum {
    let first = world.flows.iter().map(|flow| flow.arrives).fold(f64::INFINITY, f64::min);
    let span = (played.makespan - first).max(1.0);
    let mut by_site = vec![(0u64, 0.0); names.len()];
    for ((task, site), _) in world.tasks.iter().zip(&played.sites).zip(&played.ends) {
        if let Some(entry) = by_site.get_mut(usize::from(*site)).filter(|_| task.need != Need::default() || task.runs.len() > 1) {
            entry.0 += 1;
            entry.1 += task.runs_at(usize::from(*site)).mid * world.share(usize::from(*site), &task.need);
        }
    }
    let ends = world.flows.iter().map(|flow| {
        let ends = played.ends.get(flow.first as usize..flow.last as usize).unwrap_or_default();
        ends.iter().copied().fold(flow.arrives, f64::max) - flow.arrives
    });
    let money = placement::objective::money;
    Sum {
        name,
        cost: money(played.money),
        egress: money(played.egress),
        late_runs: played.late.iter().filter(|late| **late > 1e-6).count() as u64,
        late_cost: money(played.late_money),
        mean_run_s: ends.sum::<f64>() / world.flows.len().max(1) as f64,
        longest_wait_s: played.longest_wait,
        stuck: u64::from(played.stuck),
        sites: names.iter().zip(by_site).map(|(name, (count, busy))| (name.clone(), count, busy / span)).collect(),
    }
}

/// The fleet with the changes made.
fn changed(fleet: &[SiteView], changes: &[SiteChange]) -> Result<Vec<SiteView>, Fault> {
    let mut sites = fleet.to_vec();
    for change in changes {
        if change.gone {
            // It keeps its place in the list, so that what ran there can be told of; nothing may go there.
            let site =
                sites.iter_mut().find(|site| site.name == change.site).ok_or_else(|| Fault::not_found("site", &change.site))?;
            site.capacity = Resources::default();
            site.attributes.clear();
            continue;
        }
        let known = sites.iter().position(|site| site.name == change.site);
        let index = match (known, &change.like) {
            (Some(index), _) => index,
            (None, Some(like)) => {
                let like = sites.iter().find(|site| site.name == *like).ok_or_else(|| Fault::not_found("site", like))?;
                let site = SiteView { name: change.site.clone(), ..like.clone() };
                sites.push(site);
                sites.len() - 1
            }
            (None, None) => {
                let fault = Fault::not_found("site", &change.site);
                return Err(
                    fault.hint("a new site needs `like`, the site whose attributes and prices it has but for what is given")
                );
            }
        };
        let Some(site) = sites.get_mut(index) else { continue };
        let prices = &mut site.prices;
        prices.cpu_hour = change.cpu_hour.unwrap_or(prices.cpu_hour);
        prices.memory_gib_hour = change.memory_gib_hour.unwrap_or(prices.memory_gib_hour);
        prices.gpu_hour = change.gpu_hour.unwrap_or(prices.gpu_hour);
        prices.egress_gb = change.egress_gb.unwrap_or(prices.egress_gb);
        site.capacity = change.capacity.unwrap_or(site.capacity);
        site.free = site.capacity;
    }
    Ok(sites)
}

fn limits() -> Vec<String> {
    [
        "how long an action would have taken at a site where it did not run is estimated, and the estimates have seen the period",
        "people and waits take as long as they took; actions that failed are played once, as they ended last",
        "inputs of runs are taken to lie where the work is; egress is that between actions",
        "policies are not asked again: attributes and sizes are, and a change that a policy would refuse is not noticed here",
        "beside `the same places, played` stands how far the replay itself is from what happened",
    ]
    .map(str::to_owned)
    .to_vec()
}
