//! What would have been: a recorded period played again with other prices, sites, rules, capacities or settings, beside what happened.

mod one;
mod recording;

use std::collections::BTreeMap;
use std::sync::Arc;

use journal::{HistoryFilter, RunFilter, SiteRow};
use model::{Digest, Graph, Money, Resources, RunId, SiteSpec, Timestamp};
use placement::SiteView;
use placement::objective::Settings;
use placement::sim::{Chooser, Played, Reality, play};
use placement::world::{Need, World};

use crate::applying::{Sourced, read_all};
use crate::governing::CarriedByRuns;
use crate::{ControlPlane, Fault, FaultKind, SourceFile};
use recording::Gate;

pub use one::{Budgeted, Side, Suppose, Supposed};

/// Nodes that are told of among those that rules do not let run where they ran.
const REFUSALS_MAX: usize = 100;
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
    /// Documents of rules that count as if they were applied: policies, tags, sanitizers.
    pub rules: Vec<SourceFile>,
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
    /// Of those: actions that rules leave no site, of all that could take them.
    pub refused: u64,
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
    /// What the rules that were asked for do not let run where it ran.
    pub refusals: Vec<Barred>,
    /// What such a replay cannot know.
    pub limits: Vec<String>,
}

/// Actions of a node that may not run where they ran.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Barred {
    /// The workflow.
    pub workflow: String,
    /// The path of the node, without the numbers of items.
    pub path: String,
    /// Where they ran.
    pub site: String,
    /// How many they are.
    pub actions: u64,
    /// Which policy is in the way, or which tag.
    pub why: String,
}

struct Recorded {
    world: World,
    /// By task: the site it ran at, and by how much it took longer there than expected.
    sites: Vec<u16>,
    strays: Vec<f64>,
    happened: Sum,
    actions: u64,
    refused: u64,
    /// By workflow, path and site: how many, and why.
    refusals: BTreeMap<(String, String, String), (u64, String)>,
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
            ..HistoryFilter::default()
        };
        let rows = self.reader().sites().map_err(Fault::internal)?;
        let fleet: Vec<SiteView> = rows.iter().map(crate::planning::idle).collect();
        let changed = changed(&fleet, &asked.sites)?;
        let documents = self.rules_asked(&asked.rules)?;
        let gate = |views: &[SiteView], documents: &[Sourced]| {
            Ok::<_, Fault>(Gate {
                specs: specs(views, &rows, &asked.sites),
                rules: self.rules_with(documents, &[])?,
                cache: Arc::default(),
            })
        };
        let goals = self.goals(asked)?;
        let (first, second) = (gate(&fleet, &[])?, gate(&changed, &documents)?);
        // Where no rule asks for it nobody need know what data carried.
        let governed = first.rules.governed() || second.rules.governed();
        let carried = if governed { self.carried_in(&filter)? } else { CarriedByRuns::default() };
        let names = |sites: &[SiteView]| sites.iter().map(|site| site.name.clone()).collect::<Vec<_>>();
        let mut sums = Vec::new();
        let mut add = |name: &'static str, recorded: &Recorded, names: &[String], chooser: Chooser| {
            let played = play(&recorded.world, &chooser, recorded);
            sums.push(Sum { refused: recorded.refused, ..sum(name, &played, &recorded.world, names) });
        };
        let mut before = self.record(&filter, &fleet, &first, &goals, &carried)?;
        let (runs, actions) = (before.world.flows.len() as u64, before.actions);
        let happened = std::mem::take(&mut before.happened);
        let sites = std::mem::take(&mut before.sites);
        add("the same places, played", &before, &names(&fleet), Chooser::Fixed(sites));
        add("the rule as it is", &before, &names(&fleet), Chooser::Priced(Settings::default()));
        let after = if asked.sites.is_empty() && documents.is_empty() {
            before
        } else {
            // One world at a time is in memory: the period is read again.
            drop(before);
            self.record(&filter, &changed, &second, &goals, &carried)?
        };
        add("as asked", &after, &names(&changed), Chooser::Priced(asked.settings));
        sums.insert(0, happened);
        let refusal = |((workflow, path, site), (actions, why))| Barred { workflow, path, site, actions, why };
        let mut refusals: Vec<Barred> = after.refusals.into_iter().map(refusal).collect();
        refusals.sort_by_key(|refusal| std::cmp::Reverse(refusal.actions));
        refusals.truncate(REFUSALS_MAX);
        Ok(Compared { runs, actions, sums, refusals, limits: limits() })
    }

    /// The rules that are asked for.
    fn rules_asked(&self, rules: &[SourceFile]) -> Result<Vec<Sourced>, Fault> {
        if rules.is_empty() {
            return Ok(Vec::new());
        }
        let (documents, outcome) = read_all(self.reader(), rules, &BTreeMap::new());
        if outcome.failed() {
            return Err(outcome.into());
        }
        let (rules, others): (Vec<Sourced>, Vec<Sourced>) =
            documents.into_iter().partition(|sourced| crate::governing::KINDS.contains(&sourced.document.kind()));
        match others.first() {
            Some(other) if rules.is_empty() => {
                let message = format!("a {} is no rule", other.document.kind());
                let fault = Fault::new(FaultKind::Malformed, message);
                Err(fault
                    .hint("rules are documents of the kinds policy, tag, sanitizer and approval; sites are changed one by one"))
            }
            _ => Ok(rules),
        }
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
        refused: 0,
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
                // It is there to be used, whatever the one that it is like is closed for.
                let site = SiteView { name: change.site.clone(), closed: None, ..like.clone() };
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

/// The sites as rules see them: registered ones as they are, a new one as a copy of the one that it is like.
fn specs(views: &[SiteView], rows: &[SiteRow], changes: &[SiteChange]) -> Vec<SiteSpec> {
    let known = |name: &str| rows.iter().find(|row| row.spec.name == name).map(|row| row.spec.clone());
    let like = |name: &str| changes.iter().find(|change| change.site == name).and_then(|change| known(change.like.as_deref()?));
    // One that is like another new one has no registered site behind it.
    let seen = |view: &SiteView| SiteSpec {
        name: view.name.clone(),
        executor: Default::default(),
        capacity: view.capacity,
        attributes: view.attributes.clone(),
        prices: view.prices,
        simulates: None,
        sandbox: None,
        store: None,
    };
    let copied = |view: &SiteView| like(&view.name).map(|spec| SiteSpec { name: view.name.clone(), ..spec });
    views.iter().map(|view| known(&view.name).or_else(|| copied(view)).unwrap_or_else(|| seen(view))).collect()
}

fn limits() -> Vec<String> {
    [
        "how long an action would have taken at a site where it did not run is estimated, and the estimates have seen the period",
        "people and waits take as long as they took; actions that failed are played once, as they ended last",
        "inputs of runs are taken to lie where the work is; egress is that between actions",
        "rules are asked with what data carried when their actions were queued; what came to a program while it ran is not counted",
        "beside `the same places, played` stands how far the replay itself is from what happened",
    ]
    .map(str::to_owned)
    .to_vec()
}
