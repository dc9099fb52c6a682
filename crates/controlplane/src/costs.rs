//! What was spent, what a run will still cost and when it will be done, and how much work will come.

use std::collections::{BTreeMap, BTreeSet};

use engine::event::RunPlanned;
use engine::without_items;
use journal::{ActionFilter, CostRow, RunRow};
use model::{Graph, Money, NodeKind, Phase, Timestamp};
use placement::objective::Settings;
use placement::sim::{AsExpected, Chooser, play};
use prediction::forecast::{Forecast, Forecaster};

use crate::foresight::{Ground, Outlook, Progress, Sketch};
use crate::learning::node_at;
use crate::planning::idle;
use crate::{ControlPlane, Fault, ProjectStand};

/// Actions of a run that a forecast looks at.
const ACTIONS_MAX: usize = 100_000;
/// An hour, in microseconds.
pub(crate) const HOUR_US: u64 = 3_600_000_000;

/// Where a run stands, and what is to come.
#[derive(Clone, Debug)]
pub struct RunOutlook {
    /// The run.
    pub row: RunRow,
    /// What its attempts have cost so far.
    pub so_far: Money,
    /// What is to come; none for a run that has ended, or of which nothing is left that needs a place.
    pub to_come: Option<Outlook>,
    /// The plan it follows.
    pub plan: Option<RunPlanned>,
}

/// Work of one project at one site, by the hour.
#[derive(Clone, Debug)]
pub struct Demand {
    /// The project.
    pub project: String,
    /// The site.
    pub site: String,
    /// Hours that were looked back on.
    pub hours: usize,
    /// The share of hours inside of what had been said of them, and how many were judged.
    pub coverage: (f64, u64),
    /// Core-hours, by hour to come: the next first.
    pub core_hours: Vec<Forecast>,
}

/// What a run has done already.
#[derive(Clone, Debug, Default)]
pub(crate) struct SoFar {
    /// Paths of what succeeded or was left out.
    pub(crate) done: BTreeSet<String>,
    /// By path without the numbers of items: how far it is.
    pub(crate) progress: BTreeMap<String, Progress>,
    /// What runs: the path without the numbers of items, the site, for how many seconds.
    pub(crate) running: Vec<(String, String, f64)>,
}

impl ControlPlane {
    /// What actions cost, by project, workflow, site, kind and day.
    pub fn costs(&self, since: Timestamp, until: Timestamp) -> Result<Vec<CostRow>, Fault> {
        self.reader().costs(since, until).map_err(Fault::internal)
    }

    /// Where projects stand: what they may spend and hold, and what they have.
    pub fn project_stands(&self) -> Vec<ProjectStand> {
        self.stands().read().all().cloned().collect()
    }

    /// Where a run stands and what is to come: played from what it has done already.
    pub fn run_outlook(&self, name: &str) -> Result<RunOutlook, Fault> {
        let row = self.find_run(name)?;
        let plan = self.reader().last_plan(&row).map_err(Fault::internal)?;
        let mut outlook = RunOutlook { so_far: row.cost, to_come: None, plan, row };
        if outlook.row.finished_at.is_some() {
            return Ok(outlook);
        }
        let graph = self.reader().graph(&outlook.row.graph).map_err(Fault::internal)?;
        let Some(graph) = graph else { return Ok(outlook) };
        let so_far = self.so_far(&outlook.row, &graph)?;
        let rows = self.reader().sites().map_err(Fault::internal)?;
        let names = (outlook.row.project.as_str(), outlook.row.domain.as_str());
        let ahead = self.ahead_of_run(&graph, names, &self.carried_at_first(&outlook.row, &graph)?, &rows);
        let sites: Vec<_> = rows.iter().map(idle).collect();
        let estimates = self.learned().read();
        let ground = Ground {
            workflow: &graph.workflow,
            sites: &sites,
            estimates: &estimates,
            files: Vec::new(),
            permitted: &|path, work| ahead.permitted(path, work, &|_| None),
            done: &|path| so_far.done.contains(path),
            goal: outlook.plan.as_ref().and_then(|plan| plan.goal),
            now: crate::clock::wall(),
        };
        let mut sketch = Sketch::of(&graph, &ground);
        sketch.advance(&|path| so_far.progress.get(path).copied());
        if sketch.paths.is_empty() {
            return Ok(outlook);
        }
        let planned: BTreeMap<&str, &str> = outlook
            .plan
            .iter()
            .flat_map(|plan| plan.places.iter().map(|place| (place.path.as_str(), place.site.as_str())))
            .collect();
        // What the plan does not name goes where the rule would put it now.
        let rule = play(&sketch.world, &Chooser::Priced(Settings::default()), &AsExpected);
        let chosen = sketch.paths.iter().zip(&rule.sites).map(|(path, site)| {
            let planned = planned.get(path.as_str()).and_then(|name| sketch.sites.iter().position(|site| site == name));
            planned.map_or(*site, |site| site as u16)
        });
        let chosen: Vec<u16> = chosen.collect();
        outlook.to_come = (rule.stuck == 0).then(|| sketch.outlook(&chosen));
        drop(estimates);
        Ok(outlook)
    }

    /// What a run has done already.
    pub(crate) fn so_far(&self, run: &RunRow, graph: &Graph) -> Result<SoFar, Fault> {
        let now = crate::clock::wall();
        let filter = ActionFilter { from: 0, limit: ACTIONS_MAX, phase: None };
        let mut so_far = SoFar::default();
        let mut opened: BTreeMap<String, (f64, f64)> = BTreeMap::new();
        for action in self.reader().actions(run.id, &filter).map_err(Fault::internal)? {
            let path = without_items(&action.path);
            let progress = so_far.progress.entry(path.clone()).or_default();
            let (opened, running) = opened.entry(path).or_default();
            *opened += 1.0;
            if action.finished_at.is_some() {
                progress.done += 1.0;
            } else if let Some(started) = action.started_at.filter(|_| action.phase == Phase::Running) {
                let seconds = now.since(started).as_secs_f64();
                *running += 1.0;
                progress.running_s += (seconds - progress.running_s) / *running;
                so_far.running.extend(action.site.map(|site| (without_items(&action.path), site, seconds)));
            }
            if action.phase == Phase::Succeeded {
                so_far.done.insert(action.path);
            }
        }
        so_far.done.extend(self.reader().skipped(run.id).map_err(Fault::internal)?.into_iter().map(|skipped| skipped.path));
        for (path, progress) in &mut so_far.progress {
            // A map that has opened fewer items than may run at once has opened all it has.
            let map = path.strip_suffix("[]").and_then(|map| node_at(graph, map));
            if let (Some(NodeKind::Each { concurrency, .. }), Some((opened, _))) = (map.map(|map| &map.kind), opened.get(path))
                && *opened < f64::from(*concurrency)
            {
                progress.known = Some(*opened);
            }
        }
        Ok(so_far)
    }

    /// How much work will come, hour by hour: of every project at every site that had some in the days looked back on.
    pub fn demand(&self, days: u64, ahead: usize) -> Result<Vec<Demand>, Fault> {
        let now = crate::clock::wall();
        let since = Timestamp(now.0.saturating_sub(days * 24 * HOUR_US));
        let rows = self.reader().work_by_hour(since).map_err(Fault::internal)?;
        let first = rows.iter().map(|row| row.hour).min().unwrap_or(now.0 / HOUR_US);
        // The hour that is not over yet says too little.
        let last = now.0 / HOUR_US;
        let mut series: BTreeMap<(String, String), BTreeMap<u64, f64>> = BTreeMap::new();
        for row in rows.into_iter().filter(|row| row.core_us > 0) {
            let hours = series.entry((row.project, row.site)).or_default();
            *hours.entry(row.hour).or_default() += row.core_us as f64 / HOUR_US as f64;
        }
        let demand = series.into_iter().map(|((project, site), hours)| {
            let mut forecaster = Forecaster::new(&[24, 168]);
            (first..last).for_each(|hour| forecaster.learn(hours.get(&hour).copied().unwrap_or_default()));
            let core_hours = (1..=ahead).map(|step| forecaster.ahead(step)).collect();
            Demand { project, site, hours: (last - first) as usize, coverage: forecaster.coverage(), core_hours }
        });
        Ok(demand.collect())
    }
}
