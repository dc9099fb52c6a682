//! Placing as the shell does it: the real placer, with the translation a shell has to make.

use std::sync::Arc;

use engine::fleet::{Fleet, Site};
use engine::{Candidate, Placement};
use placement::{Demand, Input, Permitted, SiteView};

/// Where the actions of a candidate go, by the placer's rule of the day.
/// A connector that is not built in is for workers.
pub fn placements(fleet: &Fleet, candidate: &Candidate) -> Vec<Placement> {
    placements_within(fleet, candidate, Permitted::all())
}

/// The same within what a gate permits.
pub fn placements_within(fleet: &Fleet, candidate: &Candidate, permitted: Permitted) -> Vec<Placement> {
    let by_worker = candidate.uses && !candidate.work.starts_with("core/");
    let sites: Vec<SiteView> = fleet.sites().values().map(view).collect();
    let inputs = candidate.inputs.iter().map(|input| Input { size: input.size, sites: input.sites.clone() }).collect();
    let mut demand = Demand::new(candidate.needs.clone(), if by_worker { 1 } else { candidate.actions.len() as u32 }, inputs);
    demand.permitted = permitted;
    let plan = placement::plan(&sites, &demand);
    let explanation: Arc<str> = serde_json::to_string(&plan.explanation).unwrap_or_default().into();
    let mut actions = candidate.actions.iter().copied();
    let mut placements = Vec::new();
    for (site, count) in plan.assignments {
        let actions = actions.by_ref().take(if by_worker { usize::MAX } else { count as usize }).collect();
        placements.push(Placement { actions, site: Some(site), explanation: explanation.clone(), by_worker, refused: None });
    }
    let left: Vec<_> = actions.collect();
    if !left.is_empty() {
        placements.push(Placement { actions: left, site: None, explanation, by_worker, refused: None });
    }
    placements
}

fn view(site: &Site) -> SiteView {
    SiteView {
        name: site.spec.name.clone(),
        capacity: site.spec.capacity,
        free: site.free(),
        attributes: site.spec.attributes.clone(),
        prices: site.spec.prices,
        closed: (!site.is_open()).then(|| "it takes no new work".to_owned()),
        simulated: site.spec.simulates.is_some(),
        ..SiteView::default()
    }
}
