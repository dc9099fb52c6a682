//! L1: which site an action should run on, and why.
//!
//! [`plan`] takes the sites as they are and a number of like actions, and gives sites with counts and an [`Explanation`] that names every
//! site, its terms in money and its verdict. Today's rule is simple: among the sites that can take the work, the one where an hour of
//! it and the bytes it has to bring cost least; equal prices go to the site with most room. The explanation is recorded with the
//! decision, so that a later rule never has to guess what an earlier one thought.

#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

use std::collections::BTreeMap;

use model::graph::Needs;
use model::site::Prices;
use model::{Money, Resources};
use serde::{Deserialize, Serialize};

/// A site as the placer sees it.
#[derive(Clone, Debug)]
pub struct SiteView {
    /// Its name.
    pub name: String,
    /// All it has.
    pub capacity: Resources,
    /// What is not reserved.
    pub free: Resources,
    /// Facts that `needs.site` refers to.
    pub attributes: BTreeMap<String, String>,
    /// What its use costs.
    pub prices: Prices,
    /// Why it takes no new work, when it does not.
    pub closed: Option<String>,
    /// Why the gate does not let this work go there, when it does not.
    pub refused: Option<String>,
    /// Whether it stands for another place.
    pub simulated: bool,
}

/// Work that wants a place: a number of actions that are alike.
#[derive(Clone, Debug)]
pub struct Demand {
    /// What each needs.
    pub needs: Needs,
    /// How many there are.
    pub count: u32,
    /// What each reads.
    pub inputs: Vec<Input>,
}

/// An artifact that the work reads.
#[derive(Clone, Debug)]
pub struct Input {
    /// Bytes.
    pub size: u64,
    /// Sites with a copy.
    pub sites: Vec<String>,
}

/// Where the work should go.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Sites with how many actions each takes, best first.
    pub assignments: Vec<(String, u32)>,
    /// How many fit nowhere for now.
    pub unplaced: u32,
    /// Why.
    pub explanation: Explanation,
}

/// Why work went where it went, or nowhere.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// The rule that chose.
    pub rule: String,
    /// Every site, best first.
    pub sites: Vec<Candidate>,
}

/// A site with its terms and its verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// The site.
    pub site: String,
    /// What became of it.
    pub verdict: Verdict,
    /// Why, as a sentence.
    pub why: String,
    /// One hour of the work there.
    pub compute_per_hour: Money,
    /// What bringing the inputs costs once.
    pub egress: Money,
    /// Bytes to bring.
    pub bytes_to_bring: u64,
    /// Whether it stands for another place.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub simulated: bool,
}

/// What became of a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It takes the work, or some of it.
    Chosen,
    /// It could, and others were better.
    Possible,
    /// It has no room at the moment.
    Full,
    /// It takes no new work.
    Closed,
    /// It can never take this work: attributes or size.
    Unfit,
    /// The gate does not let this work go there.
    Refused,
}

/// The name of today's rule.
const RULE: &str = "cheapest hour and egress, then most room";

/// Plans work over sites.
pub fn plan(sites: &[SiteView], demand: &Demand) -> Plan {
    let prices: BTreeMap<&str, &Prices> = sites.iter().map(|site| (site.name.as_str(), &site.prices)).collect();
    let mut ranked: Vec<(Candidate, &SiteView)> = sites.iter().map(|site| (judge(site, demand, &prices), site)).collect();
    ranked.sort_by(|(a, site_a), (b, site_b)| {
        let cost = |candidate: &Candidate| candidate.compute_per_hour + candidate.egress;
        (a.verdict, cost(a))
            .cmp(&(b.verdict, cost(b)))
            .then_with(|| site_b.free.cpu_millis.cmp(&site_a.free.cpu_millis))
            .then_with(|| a.site.cmp(&b.site))
    });
    let mut left = demand.count;
    let mut assignments = Vec::new();
    for (candidate, site) in &mut ranked {
        if candidate.verdict != Verdict::Possible || left == 0 {
            continue;
        }
        let takes = fits(&site.free, &demand.needs.resources).min(left);
        left -= takes;
        candidate.verdict = Verdict::Chosen;
        candidate.why =
            if assignments.is_empty() { "costs least".into() } else { "takes what the better sites have no room for".into() };
        assignments.push((candidate.site.clone(), takes));
    }
    let sites = ranked.into_iter().map(|(candidate, _)| candidate).collect();
    Plan { assignments, unplaced: left, explanation: Explanation { rule: RULE.into(), sites } }
}

/// How many times `needs` fits into `free`.
fn fits(free: &Resources, needs: &Resources) -> u32 {
    let times = |free: u64, needs: u64| free.checked_div(needs).unwrap_or(u64::MAX);
    let least = times(free.cpu_millis.into(), needs.cpu_millis.into())
        .min(times(free.memory_bytes, needs.memory_bytes))
        .min(times(free.gpus.into(), needs.gpus.into()))
        .min(times(free.disk_bytes, needs.disk_bytes));
    u32::try_from(least).unwrap_or(u32::MAX)
}

fn judge(site: &SiteView, demand: &Demand, prices: &BTreeMap<&str, &Prices>) -> Candidate {
    let needs = &demand.needs;
    let missing = demand.inputs.iter().filter(|input| !input.sites.contains(&site.name));
    let (mut bytes_to_bring, mut egress) = (0u64, Money(0));
    for input in missing {
        bytes_to_bring = bytes_to_bring.saturating_add(input.size);
        let source = input.sites.first().and_then(|source| prices.get(source.as_str()));
        egress += source.map(|prices| prices.of_egress(input.size)).unwrap_or_default();
    }
    let unlike = needs.site.iter().find(|(key, wanted)| site.attributes.get(*key) != Some(*wanted));
    let (verdict, why) = if let Some((key, wanted)) = unlike {
        let found = site.attributes.get(key).map_or("not set".to_owned(), |found| format!("`{found}`"));
        (Verdict::Unfit, format!("needs `{key}` to be `{wanted}`, and it is {found} here"))
    } else if !site.capacity.covers(&needs.resources) {
        (Verdict::Unfit, too_small(&site.capacity, &needs.resources))
    } else if let Some(why) = &site.refused {
        (Verdict::Refused, why.clone())
    } else if let Some(why) = &site.closed {
        (Verdict::Closed, why.clone())
    } else if !site.free.covers(&needs.resources) {
        (Verdict::Full, format!("no room at the moment: {}", too_small(&site.free, &needs.resources)))
    } else {
        (Verdict::Possible, "could take it".into())
    };
    Candidate {
        site: site.name.clone(),
        verdict,
        why,
        compute_per_hour: site.prices.of_use(&needs.resources, 3_600_000_000),
        egress,
        bytes_to_bring,
        simulated: site.simulated,
    }
}

/// Which of the needs is not covered, in words.
fn too_small(has: &Resources, needs: &Resources) -> String {
    if has.cpu_millis < needs.cpu_millis {
        format!("needs {} cores of {}", f64::from(needs.cpu_millis) / 1000.0, f64::from(has.cpu_millis) / 1000.0)
    } else if has.memory_bytes < needs.memory_bytes {
        format!("needs {} MiB of memory of {}", needs.memory_bytes >> 20, has.memory_bytes >> 20)
    } else if has.gpus < needs.gpus {
        format!("needs {} accelerators of {}", needs.gpus, has.gpus)
    } else {
        format!("needs {} MiB of disk of {}", needs.disk_bytes >> 20, has.disk_bytes >> 20)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(name: &str, zone: &str, cpu: u32, price: f64) -> SiteView {
        let capacity = Resources { cpu_millis: cpu, memory_bytes: 8 << 30, gpus: 0, disk_bytes: 0 };
        SiteView {
            name: name.into(),
            capacity,
            free: capacity,
            attributes: BTreeMap::from([("zone".into(), zone.into())]),
            prices: Prices { cpu_hour: Money::from_units(price), egress_gb: Money::from_units(0.09), ..Prices::default() },
            closed: None,
            refused: None,
            simulated: false,
        }
    }

    fn demand(cpu: u32, count: u32) -> Demand {
        let resources = Resources { cpu_millis: cpu, ..Resources::default() };
        Demand { needs: Needs { resources, site: BTreeMap::new() }, count, inputs: Vec::new() }
    }

    fn verdict<'a>(plan: &'a Plan, site: &str) -> &'a Candidate {
        plan.explanation.sites.iter().find(|candidate| candidate.site == site).unwrap()
    }

    #[test]
    fn the_cheapest_takes_what_it_can_and_the_next_the_rest() {
        let sites = [site("dear", "a", 4000, 0.2), site("cheap", "b", 2000, 0.1)];
        let plan = plan(&sites, &demand(1000, 9));
        assert_eq!(plan.assignments, vec![("cheap".into(), 2), ("dear".into(), 4)]);
        assert_eq!(plan.unplaced, 3);
    }

    #[test]
    fn work_that_needs_nothing_always_fits() {
        let mut full = site("full", "a", 1000, 0.1);
        full.free = Resources::default();
        assert_eq!(plan(&[full], &demand(0, 1_000_000)).unplaced, 0);
    }

    #[test]
    fn every_refusal_says_why() {
        let mut closed = site("closed", "a", 4000, 0.1);
        closed.closed = Some("cordoned".into());
        let mut refused = site("refused", "a", 4000, 0.1);
        refused.refused = Some("policy p1 forbids it".into());
        let mut demand = demand(2000, 1);
        demand.needs.site.insert("zone".into(), "a".into());
        let sites = [closed, refused, site("other", "b", 4000, 0.0), site("small", "a", 1000, 0.0)];
        let plan = plan(&sites, &demand);
        assert_eq!(plan.unplaced, 1);
        assert_eq!(verdict(&plan, "closed").verdict, Verdict::Closed);
        assert_eq!(verdict(&plan, "refused").verdict, Verdict::Refused);
        assert!(verdict(&plan, "other").why.contains("`zone` to be `a`"));
        assert!(verdict(&plan, "small").why.contains("2 cores of 1"));
    }

    #[test]
    fn heavy_inputs_keep_work_near_them() {
        let sites = [site("here", "a", 4000, 0.11), site("there", "b", 4000, 0.10)];
        let mut demand = demand(1000, 1);
        demand.inputs.push(Input { size: 10_000_000_000, sites: vec!["here".into()] });
        let plan = plan(&sites, &demand);
        assert_eq!(plan.assignments, vec![("here".into(), 1)]);
        assert_eq!(verdict(&plan, "there").egress, Money::from_units(0.9));
    }
}
