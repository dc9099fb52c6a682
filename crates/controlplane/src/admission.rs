//! Plans of runs: one when a run is accepted, another when the fleet changes under it. A plan is recorded with its reasons, the dispatcher
//! follows it and leaves it when the moment says that it is no longer good; nothing waits for a plan.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::Command;
use engine::event::{Goal, Located, RunPlanned};
use journal::{ActionFilter, RunFilter, SiteRow};
use model::{Digest, Graph, Label, NodeKind, Phase, Resources, RunId, Timestamp};
use parking_lot::Mutex;
use placement::search::Effort;
use placement::{Permitted, SiteView};

use crate::ControlPlane;
use crate::foresight::{Ground, LATE_PER_HOUR, Sketch, explanation};
use crate::governing::CarriedByRun;
use crate::projects::Bounds;
use crate::warm::Arrivals;

/// Plays of moved plans, for all tasks together: about thirty milliseconds.
const EFFORT: usize = 48_000;
/// Plans kept for the next run of the same workflow.
const KEPT_MAX: usize = 256;
/// How old a kept plan may be, in microseconds.
const KEPT_FOR_US: u64 = 10_000_000;
/// Millionths by which what is left of a budget has to change for a kept plan to be another one.
const GRAIN: i64 = 10_000;
/// Runs that are planned anew when the fleet changes.
const REPLANNED_MAX: usize = 200;

/// Plans of a moment ago, by workflow: many runs of one are started.
#[derive(Default)]
pub(crate) struct Plans {
    kept: Mutex<BTreeMap<Digest, (Timestamp, String, Option<Arc<RunPlanned>>)>>,
    /// What is about to come, by site.
    arrivals: Arrivals,
}

impl Plans {
    /// Plans that look at what is about to come.
    pub(crate) fn with(arrivals: Arrivals) -> Plans {
        Plans { arrivals, ..Plans::default() }
    }
}

/// What a plan is asked for.
struct Asked<'a> {
    graph: &'a Graph,
    views: &'a [SiteView],
    /// Data that lie somewhere from the beginning: bytes and sites.
    files: Vec<(u64, Vec<String>)>,
    goal: Option<Goal>,
    /// What its project may spend.
    bounds: Bounds,
    permitted: &'a dyn Fn(&str, &str) -> Permitted,
    done: &'a dyn Fn(&str) -> bool,
    run: RunId,
    why: &'a str,
}

/// When a run should be done, as its workflow or its submission says.
pub(crate) fn goal(graph: &Graph, asked: Option<model::Duration>, now: Timestamp) -> Option<Goal> {
    let own = graph.deadline.as_ref();
    let within = asked.or(own.map(|deadline| deadline.within))?;
    Some(Goal {
        deadline: now.after(within),
        late_per_hour: own.and_then(|deadline| deadline.late_per_hour).unwrap_or(LATE_PER_HOUR),
        late_fee: own.and_then(|deadline| deadline.late_fee).unwrap_or_default(),
    })
}

/// Whether anything of a graph has to be given a place by the dispatcher.
fn has_work(graph: &Graph) -> bool {
    graph.nodes.iter().any(|node| match &node.kind {
        NodeKind::Use { connector, .. } => connectors::run_instant(connector, &serde_json::Value::Null, 1).is_none(),
        NodeKind::Each { body, .. } => {
            !matches!(&body.kind, NodeKind::Use { connector, .. } if connectors::run_instant(connector, &serde_json::Value::Null, 1).is_some())
        }
        NodeKind::Workflow { graph } => has_work(graph),
        kind => kind.is_placed(),
    })
}

impl ControlPlane {
    /// The plan of a run that is about to be accepted; none where there is nothing to choose and nothing to be in time for.
    pub(crate) fn plan_admission(
        &self,
        (graph, digest): (&Graph, Digest),
        names: (&str, &str),
        carried: Option<&BTreeMap<String, Label>>,
        locations: &[Located],
        goal: Option<Goal>,
    ) -> Option<Box<RunPlanned>> {
        let only_goal = |goal: Option<Goal>| {
            let why = "admission".to_owned();
            goal.map(|goal| {
                Box::new(RunPlanned { run: RunId(0), goal: Some(goal), places: Vec::new(), explanation: String::new(), why })
            })
        };
        let fleet = self.sites().names().len();
        if fleet < 2 || !has_work(graph) {
            return only_goal(goal);
        }
        tokio::task::block_in_place(|| self.plan_of_now((graph, digest), names, carried, locations, goal))
            .or_else(|| only_goal(goal))
    }

    /// The plan as the fleet is now, or the one that was made of the same a moment ago.
    fn plan_of_now(
        &self,
        (graph, digest): (&Graph, Digest),
        names: (&str, &str),
        carried: Option<&BTreeMap<String, Label>>,
        locations: &[Located],
        goal: Option<Goal>,
    ) -> Option<Box<RunPlanned>> {
        let now = crate::clock::wall();
        let rows = self.reader().sites().ok()?;
        let governed = self.rules();
        let by_rules = governed.governed().then(|| (governed.digest(), names, carried));
        let bounds = self.bounds_of(names.0, now);
        let state = format!("{rows:?} {by_rules:?} {:?} {:.1}", bounds.budget.map(|left| left.0 / GRAIN), bounds.thrift);
        let kept = self.plans().kept.lock().get(&digest).cloned();
        if let Some((at, of, plan)) = kept
            && now.since(at).0 < KEPT_FOR_US
            && of == state
            && locations.is_empty()
        {
            return plan.map(|plan| Box::new(RunPlanned { goal, ..(*plan).clone() }));
        }
        let views: Vec<SiteView> = rows.iter().map(crate::planning::idle).collect();
        let files = files_of(locations);
        let carried = carried.map(CarriedByRun::of_inputs).unwrap_or_default();
        let ahead = self.ahead_of_run(graph, names, &carried, &rows);
        let permitted = |path: &str, work: &str| ahead.permitted(path, work, &|_| None);
        let plan = self.look_ahead(&Asked {
            graph,
            views: &views,
            files,
            goal,
            bounds,
            permitted: &permitted,
            done: &|_| false,
            run: RunId(0),
            why: "admission",
        });
        if locations.is_empty() {
            let mut all = self.plans().kept.lock();
            if all.len() >= KEPT_MAX {
                all.clear();
            }
            all.insert(digest, (now, state, plan.clone().map(Arc::new)));
        }
        plan.map(Box::new)
    }

    /// What bounds the work of a project now, as the dispatcher will ask it for every action.
    fn bounds_of(&self, project: &str, now: Timestamp) -> Bounds {
        self.stands().read().of(project, now).bounds(project, &Resources::default(), now)
    }

    /// Holds a sketch to what binds a plan beside its deadline: work that is about to come, and what its project may spend and hold.
    pub(crate) fn bind(&self, sketch: &mut Sketch, views: &[SiteView], bounds: &Bounds) {
        for (site, view) in sketch.world.sites.iter_mut().zip(views) {
            site.coming = self.plans().arrivals.loads(&view.name);
        }
        sketch.world.budget = bounds.budget.map(|left| left.units().max(0.0));
        sketch.hold_to(&bounds.quota);
    }

    fn look_ahead(&self, asked: &Asked<'_>) -> Option<RunPlanned> {
        let Asked { graph, views, goal, run, bounds, .. } = asked;
        let estimates = self.learned().read();
        let ground = Ground {
            workflow: &graph.workflow,
            sites: views,
            estimates: &estimates,
            files: asked.files.clone(),
            // The gate is asked again for every action, with what its data really carries; that answer counts, whatever a plan says.
            permitted: asked.permitted,
            done: asked.done,
            // In its plans as in the decisions that follow.
            goal: goal.map(|goal| bounds.thrifty(goal)),
            now: crate::clock::wall(),
        };
        let mut sketch = Sketch::of(graph, &ground);
        drop(estimates);
        self.bind(&mut sketch, views, bounds);
        let tasks = sketch.world.tasks.len();
        if tasks < 2 {
            return None;
        }
        let found = sketch.plan(&Effort { moves: (EFFORT / tasks) as u32, seed: 1 })?;
        let outlook = sketch.outlook(&found.sites);
        let places = sketch.places(&found.sites);
        let explanation = explanation(&found, &outlook, bounds).to_string();
        Some(RunPlanned { run: *run, goal: *goal, places, explanation, why: asked.why.into() })
    }

    /// Plans open runs anew after the fleet changed: only those whose plan names a site that is closed now, and only what is left of them.
    pub(crate) async fn replan(&self, rows: &[SiteRow]) {
        let views: Vec<SiteView> = rows.iter().map(crate::planning::idle).collect();
        let closed: Vec<&str> = views.iter().filter(|view| view.closed.is_some()).map(|view| view.name.as_str()).collect();
        let filter = RunFilter { phase: Some(Phase::Running), limit: REPLANNED_MAX, ..RunFilter::default() };
        let Ok(runs) = self.reader().runs(&filter) else { return };
        for run in runs {
            let Some(planned) = self.reader().last_plan(&run).ok().flatten() else { continue };
            let named = |site: &&str| planned.places.iter().any(|place| place.site == *site);
            let lost: Vec<&str> = closed.iter().copied().filter(named).collect();
            if lost.is_empty() {
                continue;
            }
            let why = format!("{} takes no new work", lost.join(", "));
            let Ok(Some(graph)) = self.reader().graph(&run.graph) else { continue };
            let filter = ActionFilter { from: 0, limit: 10_000, phase: Some(Phase::Succeeded) };
            let Ok(actions) = self.reader().actions(run.id, &filter) else { continue };
            let done: std::collections::BTreeSet<String> = actions.into_iter().map(|action| action.path).collect();
            // What the plan has at a site that is still open stays there: a loss is no reason to move what runs well.
            let stays = |path: &str| {
                let place = planned.places.iter().find(|place| place.path == path);
                place.filter(|place| !closed.contains(&place.site.as_str())).map(|place| place.site.clone())
            };
            let names = (run.project.as_str(), run.domain.as_str());
            let Ok(carried) = self.carried_at_first(&run, &graph) else { continue };
            let ahead = self.ahead_of_run(&graph, names, &carried, rows);
            let permitted = |path: &str, work: &str| match stays(path) {
                Some(site) => Permitted::only([site]),
                None => ahead.permitted(path, work, &|_| None),
            };
            let is_done = |path: &str| done.contains(path);
            let plan = self.look_ahead(&Asked {
                graph: &graph,
                views: &views,
                files: Vec::new(),
                goal: planned.goal,
                bounds: self.bounds_of(&run.project, crate::clock::wall()),
                permitted: &permitted,
                done: &is_done,
                run: run.id,
                why: &why,
            });
            if let Some(plan) = plan.filter(|plan| plan.places != planned.places) {
                // A run that has ended meanwhile needs no plan.
                let _ = self.inbox().ask(Command::PlanRun(Box::new(plan))).await;
            }
        }
    }

    /// Watches the fleet, and plans anew what hangs on a site that takes no work any more.
    pub(crate) async fn watch_fleet(self) {
        let mut seq = self.notices().watch();
        let mut before: BTreeMap<String, bool> = BTreeMap::new();
        while seq.changed().await.is_ok() {
            let this = self.clone();
            let Ok(Ok(rows)) = tokio::task::spawn_blocking(move || this.reader().sites()).await else { continue };
            let open: BTreeMap<String, bool> =
                rows.iter().map(|row| (row.spec.name.clone(), row.healthy && !row.cordoned && !row.drained)).collect();
            // The first look too: a site may have been lost while nobody watched.
            if open != before {
                self.replan(&rows).await;
            }
            before = open;
            // At most a look a second: what happens in between is seen together.
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
    }
}

/// Input artifacts with their copies.
fn files_of(locations: &[Located]) -> Vec<(u64, Vec<String>)> {
    let mut files: BTreeMap<Digest, (u64, Vec<String>)> = BTreeMap::new();
    for located in locations {
        let entry = files.entry(located.artifact).or_insert((located.size, Vec::new()));
        entry.1.push(located.site.clone());
    }
    files.into_values().collect()
}
