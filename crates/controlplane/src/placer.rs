//! From the fleet and a candidate to the placer's problem, and from its plan to the engine's placements.

use std::sync::Arc;

use engine::fleet::{Fleet, Site};
use engine::{Candidate, Placement};
use placement::{Demand, Input, SiteView};

/// Decides where the actions of a candidate go.
pub(crate) fn decide(fleet: &Fleet, candidate: &Candidate) -> Vec<Placement> {
    let sites: Vec<SiteView> = fleet.sites().values().map(view).collect();
    let inputs = candidate.inputs.iter().map(|input| Input { size: input.size, sites: input.sites.clone() }).collect();
    let demand = Demand { needs: candidate.needs.clone(), count: candidate.actions.len() as u32, inputs };
    let plan = placement::plan(&sites, &demand);
    // Serializing plain data cannot fail.
    let explanation: Arc<str> = serde_json::to_string(&plan.explanation).unwrap_or_default().into();
    let mut actions = candidate.actions.iter().copied();
    let mut placements: Vec<Placement> = Vec::with_capacity(plan.assignments.len() + 1);
    for (site, count) in plan.assignments {
        let actions = actions.by_ref().take(count as usize).collect();
        placements.push(Placement { actions, site: Some(site), explanation: explanation.clone() });
    }
    let left: Vec<_> = actions.collect();
    if !left.is_empty() {
        placements.push(Placement { actions: left, site: None, explanation });
    }
    placements
}

/// A site as the placer sees it.
pub fn view(site: &Site) -> SiteView {
    let closed = match (site.drained, site.cordoned, site.healthy) {
        (true, _, _) => Some("it is being drained".to_owned()),
        (_, true, _) => Some("it is cordoned".to_owned()),
        (_, _, false) => Some(format!("it is not healthy: {}", site.reason)),
        _ => None,
    };
    SiteView {
        name: site.spec.name.clone(),
        capacity: site.spec.capacity,
        free: site.free(),
        attributes: site.spec.attributes.clone(),
        prices: site.spec.prices,
        closed,
        refused: None,
        simulated: site.spec.simulates.is_some(),
    }
}
