//! From the fleet, the estimates and a candidate to the placer's problem, and from its plan to the engine's placements.
//!
//! Every dispatch goes through [`Placer::decide`], on the run loop. What a decision needs is kept at hand: sites as the placer sees them,
//! and when those that are full will have room.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::fleet::Site;
use engine::{Candidate, Placement, State};
use model::{ActionKey, Resources, SiteSpec, Timestamp};
use placement::objective::{Late, Odds};
use placement::{Backlog, Demand, Input, Outlook, Permitted, SiteView};
use prediction::{Basis, Estimates, Family};

use crate::learning::Learned;

/// Decides where actions go.
pub(crate) struct Placer {
    learned: Learned,
    views: Vec<SiteView>,
    specs: Vec<Arc<SiteSpec>>,
    backlogs: BTreeMap<String, Backlog>,
    at: BTreeMap<ActionKey, String>,
}

impl Placer {
    pub(crate) fn new(learned: Learned) -> Placer {
        Placer { learned, views: Vec::new(), specs: Vec::new(), backlogs: BTreeMap::new(), at: BTreeMap::new() }
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
        }
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
        let demand = self.demand(candidate, permitted, now);
        let plan = placement::plan(&self.views, &demand);
        // Serializing plain data cannot fail.
        let explanation: Arc<str> = serde_json::to_string(&plan.explanation).unwrap_or_default().into();
        let mut actions = candidate.actions.iter().copied();
        let mut placements: Vec<Placement> = Vec::with_capacity(plan.assignments.len() + 1);
        for (site, count) in plan.assignments {
            let actions: Vec<ActionKey> = actions.by_ref().take(count as usize).collect();
            self.begin(&site, &actions, &demand, now);
            placements.push(Placement { actions, site: Some(site), explanation: explanation.clone() });
        }
        let left: Vec<_> = actions.collect();
        if !left.is_empty() {
            placements.push(Placement { actions: left, site: None, explanation });
        }
        placements
    }

    fn demand(&self, candidate: &Candidate, permitted: Permitted, now: Timestamp) -> Demand {
        let inputs = candidate.inputs.iter().map(|input| Input { size: input.size, sites: input.sites.clone() }).collect();
        let mut demand = Demand::new(candidate.needs.clone(), candidate.actions.len() as u32, inputs);
        demand.permitted = permitted;
        // Where there is no choice, nothing needs to be known.
        if self.views.len() < 2 {
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
        demand.waited_s = now.since(candidate.queued_at).as_secs_f64();
        demand
    }

    /// How long work waits at a full site: until enough of what runs there has ended, or as it was measured where nothing is known of that.
    fn wait(&self, estimates: &Estimates, view: &SiteView, needs: &Resources, now: Timestamp) -> Odds {
        let measured = estimates.wait(&view.name);
        let backlog = self.backlogs.get(&view.name).filter(|backlog| !backlog.is_empty());
        match (backlog, measured) {
            (Some(backlog), measured) => {
                let wait = backlog.wait_s(now.0, &view.free, needs);
                let deviation = measured.map_or(wait * 0.5, |measured| measured.deviation().min(wait.max(1.0)));
                Odds { mid: wait, mean: wait, deviation }
            }
            (None, Some(measured)) => Odds { mid: measured.mid, mean: measured.mean, deviation: measured.deviation() },
            (None, None) => Odds { mid: 60.0, mean: 60.0, deviation: 60.0 },
        }
    }

    fn begin(&mut self, site: &str, actions: &[ActionKey], demand: &Demand, now: Timestamp) {
        if self.views.len() < 2 {
            return;
        }
        let index = self.views.iter().position(|view| view.name == site);
        let expected = index.and_then(|index| demand.outlooks.get(index)).map_or(60.0, |outlook| outlook.run.sane().mid);
        let ends_at = now.0.saturating_add((expected * 1e6) as u64);
        let backlog = self.backlogs.entry(site.to_owned()).or_default();
        for key in actions {
            backlog.begin(*key, ends_at, demand.needs.resources);
            self.at.insert(*key, site.to_owned());
        }
    }

    /// An attempt has ended.
    pub(crate) fn ended(&mut self, key: ActionKey) {
        if let Some(site) = self.at.remove(&key)
            && let Some(backlog) = self.backlogs.get_mut(&site)
        {
            backlog.end(key);
        }
    }
}

/// What is expected of a task at a site.
pub(crate) fn outlook(estimates: &Estimates, family: &Family<'_>, view: &SiteView) -> Outlook {
    let mut outlook = Outlook::default();
    if let Some(run) = estimates.duration(family, &view.name) {
        outlook.run = Odds { mid: run.mid, mean: run.mean, deviation: run.deviation() };
        outlook.interval_s = (run.low, run.high);
        outlook.samples = run.samples;
        outlook.basis = basis(run.basis);
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
