//! From the fleet, the estimates and a candidate to the placer's problem, and from its plan to the engine's placements.
//!
//! Every dispatch goes through [`Placer::decide`], on the run loop. What a decision needs is kept at hand: sites as the placer sees them,
//! and when those that are full will have room.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::fleet::Site;
use engine::{Candidate, Event, Placement, RunNames, State};
use model::{ActionKey, Money, Resources, SiteSpec, Timestamp};
use placement::burst;
use placement::explore::Purse;
use placement::keeping::Kept;
use placement::objective::{Late, Odds, Settings};
use placement::shares::PATIENCE_OF_ORDER_S;
use placement::warm::{Pool, TRUST, Warm, keep_for_s};
use placement::{Backlog, Candidate as Judged, Demand, Input, Outlook, Permitted, Plan, SiteView, Started, Verdict};
use prediction::{Basis, Estimates, Family};

use crate::learning::Learned;
use crate::projects::{Bounds, Line, Projects};
use crate::warm::Arrivals;

/// Attempts at a site from which on the time that they take to begin there is counted.
const STARTS_LEAST: u64 = 8;

/// Decides where actions go.
pub(crate) struct Placer {
    learned: Learned,
    views: Vec<SiteView>,
    specs: Vec<Arc<SiteSpec>>,
    backlogs: BTreeMap<String, Backlog>,
    at: BTreeMap<ActionKey, (String, Resources)>,
    projects: Projects,
    /// Sites that are kept free for what has waited too long.
    kept: Kept,
    /// Whether the project of what is decided is entitled to more than it holds.
    entitled: bool,
    /// By site that rents: what of it stands idle.
    warm: BTreeMap<String, Warm>,
    /// By site that rents: what of it is kept started for work that is expected.
    pools: BTreeMap<String, Pool>,
    /// Whether what is decided takes places of pools.
    pooled: bool,
    arrivals: Arrivals,
    /// What decisions cost, and what of it was for trying.
    purse: Purse,
}

impl Placer {
    pub(crate) fn new(learned: Learned, projects: Projects, arrivals: Arrivals) -> Placer {
        Placer {
            learned,
            views: Vec::new(),
            specs: Vec::new(),
            backlogs: BTreeMap::new(),
            at: BTreeMap::new(),
            projects,
            kept: Kept::default(),
            entitled: true,
            warm: BTreeMap::new(),
            pools: BTreeMap::new(),
            pooled: false,
            arrivals,
            purse: Purse::default(),
        }
    }

    /// Takes what happened. `names` are those of the run that the command was about.
    pub(crate) fn note(&mut self, event: &Event, names: Option<&RunNames>, now: Timestamp) {
        if let Event::AttemptFinished(end) = event {
            let lost = end.failure.as_ref().is_some_and(|failure| failure.class.is_system());
            self.ended(ActionKey::new(end.run, end.action), lost, now);
        }
        self.projects.note(event, names, now);
    }

    /// The next of a line that is looked at.
    pub(crate) fn next(&mut self, line: &mut Line, now: Timestamp) -> Option<Candidate> {
        let candidate = line.take(&self.projects, now)?;
        self.entitled = line.entitles(&candidate.names.project, &self.projects);
        Some(candidate)
    }

    /// What was learned.
    pub(crate) fn learned(&self) -> &Learned {
        &self.learned
    }

    /// Takes the fleet as it is now. Only what changed is made anew.
    fn look(&mut self, state: &State, now: Timestamp) {
        let fleet = state.fleet();
        let same = self.specs.len() == fleet.sites().len()
            && self.specs.iter().zip(fleet.sites().values()).all(|(known, site)| Arc::ptr_eq(known, &site.spec));
        if !same {
            self.specs = fleet.sites().values().map(|site| site.spec.clone()).collect();
            self.views = fleet.sites().values().map(view).collect();
        }
        for (view, site) in self.views.iter_mut().zip(fleet.sites().values()) {
            view.free = site.free();
            view.closed = closed(site);
            view.sent_bytes = state.sent_bytes(&site.spec.name, now);
            let pieces = site.pool.as_ref().map_or(0, |pool| pool.pieces);
            let boot_s = view.prices.terms.map_or(0.0, |terms| terms.boot.as_secs_f64());
            if pieces > 0 || self.pools.contains_key(&view.name) {
                self.pools.entry(view.name.clone()).or_default().size(seconds(now), pieces, boot_s);
            }
        }
    }

    /// Which idle capacity of a site takes so many actions without a boot; none when none does, or not all of them. What takes no place of a
    /// pool, such as a connector, needs none of it.
    fn started(&self, site: &str, needs: &Resources, count: Option<u32>, now: Timestamp) -> Option<Started> {
        if self.warm.get(site).is_some_and(|warm| warm.has(seconds(now), needs)) {
            let why = "what ran there before has left a place that is kept for a while".into();
            return Some(Started { why, replaced: false });
        }
        let ready = self.pools.get(site).map_or(0, |pool| pool.ready(seconds(now)));
        let wanted = places(needs)?.saturating_mul(count?.max(1));
        let why = || format!("the forecast has places started ahead, of which {ready} are free");
        (wanted <= ready).then(|| Started { why: why(), replaced: true })
    }

    /// Decides where the actions of a candidate go. `permitted` is the gate's answer.
    pub(crate) fn decide(
        &mut self,
        state: &State,
        candidate: &Candidate,
        permitted: Permitted,
        now: Timestamp,
    ) -> Vec<Placement> {
        self.look(state, now);
        self.kept.tidy(|key| state.is_queued(key));
        let bounds = self.projects.bounds(&candidate.names.project, &candidate.needs.resources, now);
        let mut demand = self.demand(candidate, permitted, bounds, now);
        let by_worker = is_for_workers(candidate);
        if by_worker {
            // They hold nothing there: where one has room, all have.
            demand.count = 1;
        }
        self.pooled = is_process(candidate);
        let count = self.pooled.then_some(demand.count);
        let started = |view: &SiteView| self.started(&view.name, &demand.needs.resources, count, now);
        let started: Vec<Option<Started>> = self.views.iter().map(started).collect();
        for (view, started) in self.views.iter_mut().zip(started) {
            view.started = started;
        }
        let plan = match self.closed_to(candidate, &demand, now) {
            None => placement::plan(&self.views, &demand),
            Some(views) => placement::plan(&views, &demand),
        };
        // Serializing plain data cannot fail.
        let explanation: Arc<str> = serde_json::to_string(&plan.explanation).unwrap_or_default().into();
        self.count(&plan);
        let mut actions = candidate.actions.iter().copied();
        let mut placements: Vec<Placement> = Vec::with_capacity(plan.assignments.len() + 1);
        for (site, count) in plan.assignments {
            let actions: Vec<ActionKey> = actions.by_ref().take(if by_worker { usize::MAX } else { count as usize }).collect();
            if !by_worker {
                let judged = plan.explanation.sites.iter().find(|judged| judged.site == site);
                self.begin(judged, &site, &actions, &candidate.names.project, &demand, now);
            }
            placements.push(Placement { actions, site: Some(site), explanation: explanation.clone(), by_worker, refused: None });
        }
        let left: Vec<_> = actions.collect();
        if let (Some(first), None, true) =
            (left.first().filter(|_| !by_worker), demand.at_most.filter(|most| *most < demand.count), self.entitled)
        {
            self.keep(*first, &plan.explanation.sites, &demand, now);
        }
        if !left.is_empty() {
            let refused = candidate.asked_by.as_ref().and_then(|_| self.nowhere(candidate, &demand));
            placements.push(Placement { actions: left, site: None, explanation, by_worker, refused });
        }
        placements
    }

    /// Why work may run nowhere by the rules; none when some site may have it, now or later.
    fn nowhere(&self, candidate: &Candidate, demand: &Demand) -> Option<String> {
        let said = |view: &SiteView| Some(format!("`{}`: {}", view.name, demand.permitted.refusal(&view.name)?));
        let said = self.views.iter().map(said).collect::<Option<Vec<String>>>().filter(|said| !said.is_empty())?;
        let label = &candidate.label;
        Some(format!("`{}` on data with {label} may run nowhere. {}", candidate.work, said.join(". ")))
    }

    fn demand(&self, candidate: &Candidate, permitted: Permitted, bounds: Bounds, now: Timestamp) -> Demand {
        let inputs = candidate.inputs.iter().map(|input| Input { size: input.size, sites: input.sites.clone() }).collect();
        let mut demand = Demand::new(candidate.needs.clone(), candidate.actions.len() as u32, inputs);
        demand.permitted = permitted;
        demand.waited_s = now.since(candidate.queued_at).as_secs_f64();
        demand.settings.risk /= bounds.thrift;
        demand.explore = self.purse.allowance();
        (demand.budget, demand.at_most, demand.bounds) = (bounds.budget, bounds.count, bounds.said);
        // Where there is no choice and nothing to pay, nothing needs to be known.
        if self.views.len() < 2 && demand.budget.is_none() && demand.waited_s < PATIENCE_OF_ORDER_S {
            return demand;
        }
        let family = Family { workflow: &candidate.names.workflow, path: &candidate.path, work: &candidate.work };
        let estimates = self.learned.read();
        let needs = &candidate.needs.resources;
        demand.outlooks = self
            .views
            .iter()
            .map(|view| {
                let mut outlook = outlook(&estimates, &family, view);
                if !view.free.covers(needs) {
                    outlook.wait = self.wait(&estimates, view, needs, now);
                }
                outlook
            })
            .collect();
        drop(estimates);
        demand.late = candidate.goal.map(|goal| Late {
            deadline_s: goal.deadline.0 as f64 / 1e6 - now.0 as f64 / 1e6,
            per_hour: goal.late_per_hour.units(),
            fee: goal.late_fee.units(),
        });
        if let Some((site, rest_s)) = &candidate.planned {
            demand.planned = Some(site.clone());
            demand.rest_s = f64::from(*rest_s);
        }
        demand
    }

    /// Counts what a decision is expected to cost, and what of it is for trying.
    fn count(&mut self, plan: &Plan) {
        for (site, count) in &plan.assignments {
            let expected =
                plan.explanation.sites.iter().find(|judged| judged.site == *site).map_or(0, |judged| judged.expected.0);
            self.purse.note(Money(expected.saturating_mul(i64::from(*count))), None);
        }
        self.purse.note(Money(0), plan.explanation.tried);
    }

    /// The sites with those closed that are kept free for others; none when none is.
    fn closed_to(&self, candidate: &Candidate, demand: &Demand, now: Timestamp) -> Option<Vec<SiteView>> {
        if self.kept.is_empty() || demand.needs.resources == Resources::default() {
            return None;
        }
        let mut views = self.views.clone();
        for (index, view) in views.iter_mut().enumerate() {
            // As long as it may take, not as long as it usually does: who waits is not to wait for a guess.
            let longest = demand.outlooks.get(index).map_or(f64::INFINITY, |outlook| outlook.interval_s.1);
            let why = self.kept.closes(&view.name, &candidate.actions, seconds(now), longest);
            view.closed = view.closed.take().or(why);
        }
        Some(views)
    }

    /// Keeps a site free for an action that has waited too long: the one where there will be room first.
    fn keep(&mut self, key: ActionKey, judged: &[Judged], demand: &Demand, now: Timestamp) {
        let full = judged.iter().filter(|judged| matches!(judged.verdict, Verdict::Full | Verdict::Awaited));
        if let Some(first) = full.min_by(|a, b| a.wait_s.total_cmp(&b.wait_s)) {
            self.kept.keep(&first.site, self.views.len(), key, demand.waited_s, seconds(now), first.wait_s);
        }
    }

    /// How long work waits at a full site: until enough of what runs there has ended, or as it was measured where nothing is known of that.
    fn wait(&self, estimates: &Estimates, view: &SiteView, needs: &Resources, now: Timestamp) -> Odds {
        let measured = estimates.wait(&view.name);
        let backlog = self.backlogs.get(&view.name).filter(|backlog| !backlog.is_empty());
        match (backlog, measured) {
            (Some(backlog), measured) => {
                let wait = backlog.wait_s(now.0, &view.free, needs);
                let deviation = measured.map_or(wait * 0.5, |measured| measured.deviation().min(wait.max(1.0)));
                burst::wait(wait, deviation, self.arrivals.load(&view.name), Settings::default().before)
            }
            (None, Some(measured)) => Odds { mid: measured.mid, mean: measured.mean, deviation: measured.deviation() },
            (None, None) => Odds { mid: 60.0, mean: 60.0, deviation: 60.0 },
        }
    }

    fn begin(
        &mut self,
        judged: Option<&Judged>,
        site: &str,
        actions: &[ActionKey],
        project: &str,
        demand: &Demand,
        now: Timestamp,
    ) {
        let bill = judged.map_or(0, |judged| judged.expected.0.saturating_sub(judged.late.0));
        let promised = if demand.budget.is_some() { Money(bill) } else { Money(0) };
        for key in actions {
            self.projects.hold(*key, project, demand.needs.resources, promised);
        }
        let boot_s = self.views.iter().find(|view| view.name == site).and_then(|view| view.prices.terms);
        let boot_s = boot_s.map_or(0.0, |terms| terms.boot.as_secs_f64());
        for _ in actions {
            let left = self.warm.get_mut(site).is_some_and(|warm| warm.take(seconds(now), &demand.needs.resources));
            if let (false, true, Some(pool)) = (left, self.pooled, self.pools.get_mut(site)) {
                pool.take(seconds(now), places(&demand.needs.resources).unwrap_or(u32::MAX), boot_s);
            }
        }
        if self.views.len() < 2 {
            return;
        }
        let index = self.views.iter().position(|view| view.name == site);
        let expected = index.and_then(|index| demand.outlooks.get(index)).map_or(60.0, |outlook| outlook.run.sane().mid);
        let ends_at = now.0.saturating_add((expected * 1e6) as u64);
        let backlog = self.backlogs.entry(site.to_owned()).or_default();
        for key in actions {
            backlog.begin(*key, ends_at, demand.needs.resources);
            self.at.insert(*key, (site.to_owned(), demand.needs.resources));
        }
    }

    /// An attempt has ended. What it held stands idle for a while where capacity is rented, unless it was `lost`.
    fn ended(&mut self, key: ActionKey, lost: bool, now: Timestamp) {
        let Some((site, held)) = self.at.remove(&key) else { return };
        if let Some(backlog) = self.backlogs.get_mut(&site) {
            backlog.end(key);
        }
        let terms = self.views.iter().find(|view| view.name == site).and_then(|view| view.prices.terms);
        if let Some(terms) = terms.filter(|terms| !lost && (terms.boot.0 > 0 || terms.idle.0 > 0)) {
            let keep = match terms.idle.0 {
                0 => keep_for_s(terms.boot.as_secs_f64(), self.arrivals.an_hour(&site), TRUST),
                _ => terms.idle.as_secs_f64(),
            };
            self.warm.entry(site).or_default().idle(seconds(now), seconds(now) + keep, held);
        }
    }
}

fn seconds(at: Timestamp) -> f64 {
    at.0 as f64 / 1e6
}

/// How many places of a pool an action takes: one a core. None for what no such place has.
fn places(needs: &Resources) -> Option<u32> {
    (needs.gpus == 0).then(|| needs.cpu_millis.div_ceil(1_000).max(1))
}

/// Whether the actions of a candidate become plain processes: connectors run elsewhere, and programs are made by what has loaded them.
fn is_process(candidate: &Candidate) -> bool {
    !candidate.uses && candidate.work == "run"
}

/// Whether workers take the actions of a candidate: they use a connector that no site runs by itself.
fn is_for_workers(candidate: &Candidate) -> bool {
    let connector = candidate.work.rsplit_once('@').filter(|_| candidate.uses);
    connector.is_some_and(|(name, version)| version.parse().is_ok_and(|version| connectors::find(name, version).is_none()))
}

/// What is expected of a task at a site.
pub(crate) fn outlook(estimates: &Estimates, family: &Family<'_>, view: &SiteView) -> Outlook {
    let mut outlook = Outlook::default();
    if let Some(run) = estimates.duration(family, &view.name) {
        outlook.run = Odds { mid: run.mid, mean: run.mean, deviation: run.deviation() };
        outlook.interval_s = (run.low, run.high);
        outlook.samples = run.samples;
        outlook.here = run.basis == Basis::TaskAtSite;
        outlook.basis = basis(run.basis);
    }
    if let Some(start) = estimates.overhead(&view.name).filter(|start| start.samples >= STARTS_LEAST) {
        outlook.start = Odds { mid: start.mid, mean: start.mean, deviation: start.deviation() };
    }
    outlook.failure_rate = estimates.failure_rate(family, &view.name);
    let said = view.prices.terms.map_or(0.0, |terms| f64::from(terms.preemptions_per_1000h) / 1000.0);
    outlook.hazard = estimates.hazard_per_hour(&view.name, said);
    outlook
}

/// The name of a basis.
pub(crate) fn basis(basis: Basis) -> &'static str {
    match basis {
        Basis::TaskAtSite => "this task here",
        Basis::Task => "this task elsewhere",
        Basis::Work => "other tasks of this kind",
        Basis::Everything => "everything seen",
        Basis::Assumed => "assumed",
    }
}

fn closed(site: &Site) -> Option<String> {
    match (site.drained, site.cordoned, site.healthy) {
        (true, _, _) => Some("it is being drained".to_owned()),
        (_, true, _) => Some("it is cordoned".to_owned()),
        (_, _, false) => Some(format!("it is not healthy: {}", site.reason)),
        _ => None,
    }
}

/// A site as the placer sees it.
pub fn view(site: &Site) -> SiteView {
    SiteView {
        name: site.spec.name.clone(),
        capacity: site.spec.capacity,
        free: site.free(),
        attributes: site.spec.attributes.clone(),
        prices: site.spec.prices,
        closed: closed(site),
        simulated: site.spec.simulates.is_some(),
        ..SiteView::default()
    }
}

#[cfg(test)]
mod tests {
    use model::site::Prices;
    use prediction::{Ended, Observation};

    use super::*;

    #[test]
    fn a_site_that_takes_more_than_it_can_begin_is_known_by_it_and_left_where_time_is_short() {
        let cores = |cores: u32| Resources { cpu_millis: cores * 1_000, memory_bytes: 1 << 34, ..Resources::default() };
        let site = |name: &str, price: f64| SiteView {
            name: name.into(),
            capacity: cores(64),
            free: cores(64),
            prices: Prices { cpu_hour: Money::from_units(price), ..Prices::default() },
            ..SiteView::default()
        };
        let sites = [site("liar", 0.02), site("honest", 0.05)];
        let family = Family { workflow: "t/w", path: "a", work: "run" };
        let mut estimates = Estimates::default();
        let decide = |estimates: &Estimates| {
            let mut demand = Demand::new(model::graph::Needs { resources: cores(1), ..Default::default() }, 1, Vec::new());
            demand.needs.resources.memory_bytes = 0;
            demand.late = Some(Late { deadline_s: 900.0, per_hour: 20.0, fee: 0.0 });
            demand.outlooks = sites.iter().map(|view| outlook(estimates, &family, view)).collect();
            placement::plan(&sites, &demand).assignments[0].0.clone()
        };
        let see = |estimates: &mut Estimates, site: &'static str, overhead_s: f64| {
            estimates.learn(&Observation {
                family,
                site,
                ended: Ended::Succeeded,
                wall_s: 60.0,
                memory_bytes: 1e8,
                asked_bytes: 0.0,
                bytes_in: 0.0,
                bytes_out: 0.0,
                wait_s: 0.0,
                overhead_s,
            });
        };
        (0..8).for_each(|_| see(&mut estimates, "honest", 0.2));
        (0..8).for_each(|_| see(&mut estimates, "liar", 0.2));
        assert_eq!(decide(&estimates), "liar", "as long as it begins what it takes");
        // It says that it has 64 cores, and begins what it was given half an hour later.
        (0..12).for_each(|_| see(&mut estimates, "liar", 1_800.0));
        assert_eq!(decide(&estimates), "honest");
        // A clock that is hours off says nothing sane of a start, and no decision hangs on a number that is none.
        for skewed in [-7_200.0, f64::NAN, f64::INFINITY] {
            see(&mut estimates, "honest", skewed);
            assert!(outlook(&estimates, &family, &sites[1]).start.sane().mid < 60.0, "{skewed}");
        }
        assert_eq!(decide(&estimates), "honest");
    }

    #[test]
    fn places_that_a_forecast_has_started_take_work_without_a_boot_once_each_and_only_when_they_are_there() {
        use engine::event::{PoolSized, SiteRegistered};
        use model::site::Terms;

        let resources = Resources { cpu_millis: 1_000, ..Resources::default() };
        let spec = |name: &str, boot: u64| SiteSpec {
            name: name.into(),
            executor: Default::default(),
            capacity: Resources { cpu_millis: 8_000, ..Resources::default() },
            attributes: BTreeMap::new(),
            prices: Prices {
                terms: Some(Terms { boot: model::Duration::from_secs(boot), ..Terms::default() }),
                ..Prices::default()
            },
            simulates: None,
            sandbox: None,
            store: None,
        };
        let at = |s: u64| Timestamp(s * 1_000_000);
        let mut state = State::new(0);
        for site in [spec("burst", 60), spec("home", 0)] {
            state.evolve(&Event::SiteRegistered(Box::new(SiteRegistered { site, principal: "test".into() })), at(0));
        }
        let pool = |pieces| Event::PoolSized(Box::new(PoolSized { site: "burst".into(), pieces, ..PoolSized::default() }));
        let mut placer = Placer::new(Learned::new().0, Projects::default(), Arrivals::default());
        let started = |placer: &mut Placer, state: &State, s: u64| {
            placer.look(state, at(s));
            placer.started("burst", &resources, Some(1), at(s)).map(|started| started.why)
        };
        state.evolve(&pool(2), at(0));
        assert_eq!(started(&mut placer, &state, 0), None, "they boot");
        assert!(started(&mut placer, &state, 60).unwrap().contains("2 are free"));
        let wide = Resources { cpu_millis: 3_000, ..resources };
        assert_eq!(placer.started("burst", &wide, Some(1), at(60)), None, "three cores are three places");
        assert_eq!(placer.started("burst", &resources, Some(3), at(60)), None, "not all of three would have one");
        assert_eq!(placer.started("burst", &resources, None, at(60)), None, "what is no process takes none");
        assert!(placer.started("burst", &resources, Some(2), at(60)).unwrap().replaced);
        placer.pooled = true;
        let demand = Demand::new(model::graph::Needs { resources, ..Default::default() }, 1, Vec::new());
        let key = |action| ActionKey::new(model::RunId(1), model::ActionNo(action));
        placer.begin(None, "burst", &[key(1)], "p", &demand, at(61));
        placer.begin(None, "home", &[key(2)], "p", &demand, at(61));
        assert!(started(&mut placer, &state, 61).unwrap().contains("1 are free"));
        placer.begin(None, "burst", &[key(3)], "p", &demand, at(62));
        assert_eq!(started(&mut placer, &state, 63), None, "one boots for each that was taken");
        assert!(started(&mut placer, &state, 123).unwrap().contains("2 are free"));
        state.evolve(&pool(0), at(124));
        assert_eq!(started(&mut placer, &state, 124), None, "they were given back");
    }
}
