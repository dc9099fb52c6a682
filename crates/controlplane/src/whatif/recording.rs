//! From what was recorded to what is played: one run after another, so that a long period takes no more memory than its world does.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use engine::event::{ActionKind, Goal};
use engine::without_items;
use journal::{HistoryFilter, HistoryRow};
use model::limits::WHATIF_ACTIONS_MAX;
use model::{Digest, Graph, Money, NodeKind, Resources, RunId, SiteSpec, Timestamp};
use parking_lot::Mutex;
use placement::objective::Odds;
use placement::world::{Flow, Need, Task};
use placement::{Permitted, SiteView};
use policy::{Cache, Rules};
use prediction::{Estimates, Family};

use super::{Recorded, Sum};
use crate::foresight::world_of;
use crate::governing::{Ahead, CarriedByRun, CarriedByRuns};
use crate::learning::node_at;
use crate::placer::outlook;
use crate::{ControlPlane, Fault, FaultKind};

/// Parents kept of a task that waited for more: those that ended last.
const PARENTS_MAX: usize = 64;

/// Where people and waits are, which take no place.
const ANYWHERE: u64 = u64::MAX;

impl ControlPlane {
    /// The world of what was recorded, with these sites.
    pub(super) fn record(
        &self,
        filter: &HistoryFilter,
        sites: &[SiteView],
        gate: &Gate,
        goals: &BTreeMap<RunId, Goal>,
        carried: &CarriedByRuns,
    ) -> Result<Recorded, Fault> {
        let mut recorder = Recorder {
            control: self,
            sites,
            gate,
            goals,
            carried,
            aheads: BTreeMap::new(),
            paths: BTreeMap::new(),
            origin: None,
            held: vec![(0, 0.0); sites.len()],
            span: (u64::MAX, 0),
            recorded: Recorded {
                world: world_of(sites),
                sites: Vec::new(),
                strays: Vec::new(),
                happened: Sum { name: "as it happened", ..Sum::default() },
                actions: 0,
                refused: 0,
                refusals: BTreeMap::new(),
            },
        };
        // The rows of one run at a time.
        let (mut run, mut fault): (Vec<HistoryRow>, Option<Fault>) = (Vec::new(), None);
        let mut each = |row: HistoryRow| {
            if run.first().is_some_and(|first| first.run != row.run) {
                fault = recorder.add(&run).err();
                run.clear();
            }
            run.push(row);
            if fault.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        self.reader().history_each(filter, &mut each).map_err(Fault::internal)?;
        match fault {
            Some(fault) => Err(fault),
            None => {
                recorder.add(&run)?;
                Ok(recorder.finish())
            }
        }
    }
}

/// What says where work may go.
pub(super) struct Gate {
    pub(super) specs: Vec<SiteSpec>,
    /// Made once for the whole period, with the answers that they gave: every graph asks the same.
    pub(super) rules: Arc<Rules>,
    pub(super) cache: Arc<Mutex<Cache>>,
}

/// What runs have in common of which the rules say the same: graph, domain, and the number of what their data carried, where that is known.
type Alike = (Digest, String, Option<usize>);

/// Makes a world of rows, run after run.
struct Recorder<'a> {
    control: &'a ControlPlane,
    sites: &'a [SiteView],
    gate: &'a Gate,
    /// What the data of the runs carried.
    carried: &'a CarriedByRuns,
    /// By graph, domain and what the data of a run carried: the gate, asked with that.
    aheads: BTreeMap<Alike, Option<Ahead>>,
    goals: &'a BTreeMap<RunId, Goal>,
    paths: BTreeMap<(Alike, String), Arc<Known>>,
    origin: Option<Timestamp>,
    /// By site: how many actions, and the seconds that they ran.
    held: Vec<(u64, f64)>,
    /// The first beginning and the last end.
    span: (u64, u64),
    recorded: Recorded,
}

impl Recorder<'_> {
    /// Adds a run with its actions.
    fn add(&mut self, run: &[HistoryRow]) -> Result<(), Fault> {
        let Some(head) = run.first() else { return Ok(()) };
        self.recorded.actions += run.len() as u64;
        if self.recorded.actions > WHATIF_ACTIONS_MAX as u64 {
            let message = format!("the period holds more than {WHATIF_ACTIONS_MAX} actions");
            return Err(Fault::new(FaultKind::TooLarge, message).hint("take a shorter one, or one project"));
        }
        let origin = *self.origin.get_or_insert(head.submitted_at);
        let at = |time: Timestamp| time.0.saturating_sub(origin.0) as f64 / 1e6;
        let graph = self.control.graph_of_run(&head.graph)?;
        let first = self.recorded.world.tasks.len() as u32;
        let mut ended: BTreeMap<String, Vec<(u32, Timestamp)>> = BTreeMap::new();
        for row in run {
            self.note(row);
            if row.kind != ActionKind::Transfer {
                self.add_action(row, graph.as_deref(), &mut ended);
            }
        }
        let end = run.iter().map(|row| row.finished_at).max().unwrap_or(head.submitted_at);
        let happened = &mut self.recorded.happened;
        happened.mean_run_s += end.since(head.submitted_at).as_secs_f64();
        let goal = self.goals.get(&head.run);
        if let Some(goal) = goal.filter(|goal| end > goal.deadline) {
            happened.late_runs += 1;
            let hours = end.since(goal.deadline).as_secs_f64() / 3600.0;
            happened.late_cost += Money::from_units(hours * goal.late_per_hour.units()) + goal.late_fee;
        }
        let world = &mut self.recorded.world;
        world.flows.push(Flow {
            first,
            last: world.tasks.len() as u32,
            arrives: at(head.submitted_at),
            deadline: goal.map(|goal| at(goal.deadline)),
            late_per_hour: goal.map_or(0.0, |goal| goal.late_per_hour.units()),
            late_fee: goal.map_or(0.0, |goal| goal.late_fee.units()),
        });
        Ok(())
    }

    /// Notes what an action cost, held and waited.
    fn note(&mut self, row: &HistoryRow) {
        let happened = &mut self.recorded.happened;
        happened.cost += row.cost;
        if row.attempt <= 1 {
            let waited = row.started_at.since(row.opened_at).as_secs_f64();
            happened.longest_wait_s = happened.longest_wait_s.max(waited);
        }
        self.span = (self.span.0.min(row.opened_at.0), self.span.1.max(row.finished_at.0));
        if row.kind == ActionKind::Transfer {
            happened.egress += row.cost;
            return;
        }
        let site = self.sites.iter().position(|site| site.name == row.site);
        if let Some(held) = site.and_then(|site| self.held.get_mut(site)) {
            *held = (held.0 + 1, held.1 + row.usage.wall_us as f64 / 1e6);
        }
    }

    /// What is known of a node: looked up once for each, so that whoever learns is not held up, and with them those who decide.
    fn known(&mut self, row: &HistoryRow, path: &str, graph: Option<&Graph>) -> Arc<Known> {
        let carried = self.carried.of(row.run);
        let key = ((row.graph, row.domain.clone(), carried.map(|(number, _)| number)), path.to_owned());
        if let Some(known) = self.paths.get(&key) {
            return known.clone();
        }
        let of_run = key.0.clone();
        if !self.aheads.contains_key(&of_run) {
            let Gate { specs, rules, cache } = self.gate;
            let asked = || (rules.clone(), cache.clone());
            let ahead = graph.map(|graph| {
                let declared = CarriedByRun::declared(graph);
                let carried = carried.map_or_else(|| declared.clone(), |(_, carried)| carried.clone().with(&declared));
                self.control.ahead_by(asked(), graph, &row.domain, specs, &carried)
            });
            self.aheads.insert(of_run.clone(), ahead);
        }
        let node = graph.and_then(|graph| node_at(graph, path));
        let work = node.map_or_else(|| "run".to_owned(), |node| node.kind.work());
        let ahead = self.aheads.get(&of_run).and_then(Option::as_ref);
        let gate = ahead.map_or_else(Permitted::all, |ahead| ahead.permitted(path, &work, &|_| None));
        let family = Family { workflow: &row.workflow, path, work: &work };
        let known = Arc::new(Known::of(graph, &family, self.sites, &gate, &self.control.learned().read()));
        self.paths.insert(key, known.clone());
        known
    }

    fn add_action(&mut self, row: &HistoryRow, graph: Option<&Graph>, ended: &mut BTreeMap<String, Vec<(u32, Timestamp)>>) {
        let sites = self.sites;
        let path = without_items(&row.path);
        let known = self.known(row, &path, graph);
        let site = sites.iter().position(|site| site.name == row.site);
        self.recorded.refused += u64::from(known.refused);
        if let Some(why) = site.and_then(|site| known.refusals.get(site)?.as_ref()) {
            let key = (row.workflow.clone(), path.clone(), row.site.clone());
            self.recorded.refusals.entry(key).or_insert_with(|| (0, why.clone())).0 += 1;
        }
        let mut parents: Vec<(u32, Timestamp)> = known.after.iter().flat_map(|on| within(ended, on)).copied().collect();
        if parents.len() > PARENTS_MAX {
            parents.sort_by_key(|(_, end)| std::cmp::Reverse(*end));
            parents.truncate(PARENTS_MAX);
        }
        let behind = parents.iter().map(|(_, end)| *end).max().unwrap_or(row.submitted_at);
        let mut parents: Vec<u32> = parents.into_iter().map(|(number, _)| number).collect();
        let Recorded { world, sites: numbers, strays, .. } = &mut self.recorded;
        // People and waits take as long as they took.
        let pause = row.opened_at.since(behind).as_secs_f64();
        if pause > 1.0 {
            world.tasks.push(Task { runs: vec![Odds::certain(pause)], permitted: ANYWHERE, parents, ..Task::default() });
            numbers.push(0);
            strays.push(1.0);
            parents = vec![world.tasks.len() as u32 - 1];
        }
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

    fn finish(mut self) -> Recorded {
        let mut recorded = self.recorded;
        // A site that is closed now was open while work ran there. Where none did, it is taken to have been closed.
        let closed = self.sites.iter().zip(&self.held).enumerate().take(64);
        let closed = closed.filter(|(_, (site, (count, _)))| site.closed.is_some() && *count == 0);
        let closed = closed.fold(0u64, |bits, (index, _)| bits | 1 << index);
        for task in recorded.world.tasks.iter_mut().filter(|task| task.permitted != ANYWHERE) {
            task.permitted &= !closed;
        }
        let span = (self.span.1.saturating_sub(self.span.0) as f64 / 1e6).max(1.0);
        let of = |(site, (count, seconds)): (&SiteView, (u64, f64))| {
            (site.name.clone(), count, seconds / span / (f64::from(site.capacity.cpu_millis) / 1000.0).max(1e-3))
        };
        recorded.happened.mean_run_s /= recorded.world.flows.len().max(1) as f64;
        recorded.happened.sites = self.sites.iter().zip(self.held.drain(..)).map(of).collect();
        recorded.world = recorded.world.finish();
        recorded
    }
}

/// What is known of a node.
struct Known {
    need: Need,
    resources: Resources,
    runs: Vec<Odds>,
    permitted: u64,
    /// By site that could take it: why the rules do not let it go there.
    refusals: Vec<Option<String>>,
    /// Whether they leave it none.
    refused: bool,
    /// The paths that it waits for.
    after: Vec<String>,
}

impl Known {
    fn of(graph: Option<&Graph>, family: &Family<'_>, sites: &[SiteView], gate: &Permitted, estimates: &Estimates) -> Known {
        let path = family.path;
        let node = graph.and_then(|graph| node_at(graph, path));
        let needs = node.map(|node| node.needs.clone()).unwrap_or_default();
        let fits = |site: &&SiteView| needs.unmet(&site.attributes).is_none() && site.capacity.covers(&needs.resources);
        let refusals: Vec<Option<String>> =
            sites.iter().map(|site| gate.refusal(&site.name).filter(|_| fits(&site)).map(str::to_owned)).collect();
        let bits = |may: &dyn Fn(usize, &SiteView) -> bool| {
            let sites = sites.iter().enumerate().take(64).filter(|(index, site)| may(*index, site));
            sites.fold(0u64, |bits, (index, _)| bits | 1 << index)
        };
        let could = bits(&|_, site| fits(&site));
        let permitted = could & bits(&|index, _| refusals.get(index).is_some_and(Option::is_none));
        Known {
            need: Need::from(&needs.resources),
            resources: needs.resources,
            runs: sites.iter().map(|site| outlook(estimates, family, site).run).collect(),
            permitted,
            refusals,
            refused: could != 0 && permitted == 0,
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
