//! The decision for like actions that are queued now.

use std::borrow::Cow;

use model::site::{Prices, is_near};
use model::{Money, Resources};

use crate::demand::{Demand, Outlook, SiteView};
use crate::explain::{Candidate, Explanation, Verdict};
use crate::explore::{Trial, worth_a_try};
use crate::objective::{Ask, Odds, Terms, money, price};

/// The name of the rule.
const RULE: &str = "least expected money: compute, boot, egress, repeats, lateness";
/// Seconds after which an action takes any permitted site with room, where nothing else is set: waiting is bounded.
pub const PATIENCE_S: f64 = 900.0;
/// Megabits a second where nothing is known.
const BANDWIDTH_MBPS: f64 = 1000.0;

/// Where the work should go.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Sites with how many actions each takes, best first.
    pub assignments: Vec<(String, u32)>,
    /// How many get no place for now.
    pub unplaced: u32,
    /// Why.
    pub explanation: Explanation,
}

struct Judged<'a> {
    candidate: Candidate,
    site: &'a SiteView,
    terms: Terms,
    /// What it would cost if it ran as quickly as it may, where that is asked for.
    optimistic: f64,
    /// Attempts of the task that were seen there.
    known: u64,
}

/// Plans work over sites.
pub fn plan(sites: &[SiteView], demand: &Demand) -> Plan {
    let mut ranked: Vec<Judged<'_>> =
        sites.iter().enumerate().map(|(index, site)| judge(site, sites, demand.outlooks.get(index), demand)).collect();
    let planned = demand.planned.as_deref();
    let keeps = keeps_plan(&ranked, demand);
    ranked.sort_by(|a, b| {
        let first = |judged: &Judged<'_>| !(keeps && planned == Some(judged.candidate.site.as_str()));
        (rank(a), first(a))
            .cmp(&(rank(b), first(b)))
            .then_with(|| a.terms.total().total_cmp(&b.terms.total()))
            // Where nothing is known of length, the price of an hour decides between equals.
            .then_with(|| a.candidate.compute_per_hour.cmp(&b.candidate.compute_per_hour))
            .then_with(|| b.site.free.cpu_millis.cmp(&a.site.free.cpu_millis))
            .then_with(|| a.candidate.site.cmp(&b.candidate.site))
    });
    // What the quota holds back stays in the queue, whatever room there is.
    let held_back = demand.count.saturating_sub(demand.at_most.unwrap_or(u32::MAX));
    let mut left = demand.count - held_back;
    let mut assignments = Vec::new();
    let mut budget = demand.budget.map(Money::units);
    let tried = if left > 0 { try_one(&mut ranked, demand) } else { None };
    if let Some((at, _)) = tried
        && let Some(judged) = ranked.get(at)
    {
        left -= 1;
        budget = budget.map(|budget| budget - judged.terms.money());
        assignments.push((judged.candidate.site.clone(), 1));
    }
    for judged in &mut ranked {
        if left == 0 || !matches!(judged.candidate.verdict, Verdict::Possible | Verdict::Awaited) {
            continue;
        }
        if judged.candidate.verdict == Verdict::Awaited {
            // The best of what is left is worth waiting for: what is cheaper than going elsewhere stays in the queue.
            break;
        }
        let takes = fits(&judged.site.free, &demand.needs.resources).min(affordable(judged, budget)).min(left);
        if takes == 0 {
            continue;
        }
        left -= takes;
        budget = budget.map(|budget| budget - judged.terms.money() * f64::from(takes));
        judged.candidate.verdict = Verdict::Chosen;
        judged.candidate.why =
            match (assignments.len() == usize::from(tried.is_some()), keeps && planned == Some(judged.candidate.site.as_str())) {
                (_, true) => "the run's plan names it".into(),
                (true, _) => "costs least".into(),
                _ => "takes what the better sites have no room for".into(),
            };
        assignments.push((judged.candidate.site.clone(), takes));
    }
    let left = left + held_back;
    compare(&mut ranked);
    let instead_of = demand.planned.clone().filter(|planned| assignments.first().is_none_or(|(site, _)| site != planned));
    let sites = ranked.into_iter().map(|judged| judged.candidate).collect();
    Plan {
        assignments,
        unplaced: left,
        explanation: Explanation {
            rule: RULE.into(),
            sites,
            instead_of,
            tried: tried.map(|(_, more)| more),
            bounds: demand.bounds.clone(),
        },
    }
}

/// Lets one action try a site of which little is known, when that is worth it and paid for.
fn try_one(ranked: &mut [Judged<'_>], demand: &Demand) -> Option<(usize, Money)> {
    let first = ranked.first()?;
    if demand.explore.0 <= 0 || first.candidate.verdict != Verdict::Possible {
        return None;
    }
    let possible: Vec<usize> =
        (0..ranked.len()).filter(|at| ranked.get(*at).is_some_and(|of| of.candidate.verdict == Verdict::Possible)).collect();
    let trial =
        |judged: &Judged<'_>| Trial { expected: judged.terms.total(), optimistic: judged.optimistic, known: judged.known };
    let trials: Vec<Trial> = possible.iter().filter_map(|at| ranked.get(*at)).map(trial).collect();
    let (at, more) = worth_a_try(&trials, demand.explore, demand.settings.enough)?;
    let at = *possible.get(at)?;
    let judged = ranked.get_mut(at)?;
    if affordable(judged, demand.budget.map(Money::units)) == 0 {
        return None;
    }
    judged.candidate.verdict = Verdict::Chosen;
    judged.candidate.why =
        format!("tried, since it may be the cheapest and little is known of it; it is expected to cost {more} more");
    Some((at, more))
}

/// Possible and awaited sites compete; what cannot be used follows.
fn rank(judged: &Judged<'_>) -> u8 {
    match judged.candidate.verdict {
        Verdict::Chosen | Verdict::Possible | Verdict::Awaited => 0,
        Verdict::Full => 1,
        Verdict::Closed => 2,
        Verdict::OverBudget => 3,
        Verdict::Unfit => 4,
        Verdict::Refused => 5,
    }
}

/// Whether the plan's site is still good enough: a little dearer than the best of now is not worth leaving a plan that looked at the
/// whole graph, and changing one's mind at every small change is how oscillation begins.
fn keeps_plan(judged: &[Judged<'_>], demand: &Demand) -> bool {
    let usable = |judged: &&Judged<'_>| rank(judged) == 0;
    let Some(planned) = demand.planned.as_deref() else { return false };
    let Some(own) = judged.iter().filter(usable).find(|judged| judged.candidate.site == planned) else { return false };
    let best = judged.iter().filter(usable).map(|judged| judged.terms.total()).fold(f64::INFINITY, f64::min);
    own.terms.total() <= best * (1.0 + demand.settings.deviate) + 1e-6
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

/// How many the rest of the project's budget pays.
fn affordable(judged: &Judged<'_>, budget: Option<f64>) -> u32 {
    let Some(budget) = budget else { return u32::MAX };
    let each = judged.terms.money();
    if each <= 0.0 { u32::MAX } else { (budget.max(0.0) / each) as u32 }
}

/// The cheapest way to have the inputs at a site: money, bytes, seconds.
pub(crate) fn bringing(site: &SiteView, sites: &[SiteView], demand: &Demand) -> (Money, u64, f64) {
    let (mut egress, mut bytes, mut slowest) = (Money(0), 0u64, f64::INFINITY);
    for input in demand.inputs.iter().filter(|input| !input.sites.contains(&site.name)) {
        bytes = bytes.saturating_add(input.size);
        // The engine brings it from the first of its sites, and that one is on the bill.
        let source = input.sites.first().and_then(|name| sites.iter().find(|known| known.name == *name));
        let Some(source) = source else { continue };
        egress += source.prices.of_transfer(source.sent_bytes, input.size, is_near(&source.attributes, &site.attributes));
        slowest = slowest.min(bandwidth(&source.prices));
    }
    let rate = slowest.min(bandwidth(&site.prices)) * 1e6 / 8.0;
    (egress, bytes, bytes as f64 / rate)
}

fn bandwidth(prices: &Prices) -> f64 {
    prices.terms.map(|terms| f64::from(terms.bandwidth_mbps)).filter(|mbps| *mbps > 0.0).unwrap_or(BANDWIDTH_MBPS)
}

fn judge<'a>(site: &'a SiteView, sites: &[SiteView], outlook: Option<&Outlook>, demand: &Demand) -> Judged<'a> {
    let outlook = outlook.map_or_else(|| Cow::Owned(Outlook::default()), Cow::Borrowed);
    let (egress, bytes_to_bring, transfer_s) = bringing(site, sites, demand);
    let needs = &demand.needs.resources;
    let has_room = site.free.covers(needs);
    let offer = site.prices.terms.unwrap_or_default();
    let rented = offer.boot.0 > 0 || offer.idle.0 > 0;
    let cold = rented && site.started.is_none();
    // For what is taken of a pool the next boots, and stands idle as this one would: the bill is that of a cold start, the wait is not.
    let replaced = rented && site.started.as_ref().is_some_and(|started| started.replaced);
    let boots_s = if cold || replaced { offer.boot.as_secs_f64() + offer.idle.as_secs_f64() } else { 0.0 };
    let boot_s = if cold { offer.boot.as_secs_f64() } else { 0.0 };
    let wait = if has_room { Odds::certain(0.0) } else { outlook.wait };
    let ask = Ask {
        needs,
        run: outlook.run,
        failure_rate: outlook.failure_rate,
        wait: one_after_the_other(wait, outlook.start),
        transfer_s,
        egress: egress.units(),
        boot_s,
        idle_s: boots_s - boot_s,
        hazard: outlook.hazard.max(f64::from(offer.preemptions_per_1000h) / 1000.0),
        rest_s: demand.rest_s,
        late: demand.late,
    };
    let terms = price(&site.prices, &ask, &demand.settings);
    let known = if outlook.here { outlook.samples } else { 0 };
    let optimistic = if demand.explore.0 > 0 && known < demand.settings.enough {
        price(&site.prices, &Ask { run: Odds::certain(outlook.interval_s.0), ..ask }, &demand.settings).total()
    } else {
        terms.total()
    };
    let (verdict, why) = verdict(site, demand, &terms, has_room);
    let would = would_take(verdict, site, demand, &terms, wait);
    let candidate = Candidate {
        site: site.name.clone(),
        verdict,
        why,
        obstacle: demand.permitted.obstacle(&site.name).filter(|_| verdict == Verdict::Refused).cloned(),
        compute_per_hour: site.prices.of_use(needs, 3_600_000_000),
        egress,
        bytes_to_bring,
        simulated: site.simulated,
        expected: money(terms.total()),
        compute: money(terms.compute),
        boot: money(terms.boot),
        started: site.started.as_ref().filter(|_| rented).map(|started| started.why.clone()),
        preemption: money(terms.preemption),
        repeats: money(terms.repeats),
        late: money(terms.late),
        p_late: demand.late.map(|_| (terms.p_late * 1e4).round() / 1e4),
        runs_s: (outlook.samples > 0).then(|| [outlook.interval_s.0, outlook.run.mid, outlook.interval_s.1].map(millis)),
        wait_s: millis(wait.sane().mid),
        transfer_s: millis(transfer_s),
        basis: (outlook.samples > 0).then(|| (outlook.basis.to_owned(), outlook.samples)),
        lost_on: None,
        would,
    };
    Judged { candidate, site, terms, optimistic, known }
}

/// Two lengths, the one after the other.
fn one_after_the_other(one: Odds, other: Odds) -> Odds {
    let (one, other) = (one.sane(), other.sane());
    Odds { mid: one.mid + other.mid, mean: one.mean + other.mean, deviation: one.deviation.hypot(other.deviation) }
}

/// Seconds to the thousandth.
fn millis(seconds: f64) -> f64 {
    (seconds * 1e3).round() / 1e3
}

fn verdict(site: &SiteView, demand: &Demand, terms: &Terms, has_room: bool) -> (Verdict, String) {
    let needs = &demand.needs;
    if let Some((key, wanted)) = needs.unmet(&site.attributes) {
        let found = site.attributes.get(key).map_or("not set".to_owned(), |found| format!("`{found}`"));
        return (Verdict::Unfit, format!("needs `{key}` to be `{wanted}`, and it is {found} here"));
    }
    if !site.capacity.covers(&needs.resources) {
        return (Verdict::Unfit, too_small(&site.capacity, &needs.resources));
    }
    if let Some(why) = demand.permitted.refusal(&site.name) {
        return (Verdict::Refused, why.to_owned());
    }
    if let Some(why) = &site.closed {
        return (Verdict::Closed, why.clone());
    }
    if let Some(budget) = demand.budget
        && terms.money() > budget.units().max(0.0)
    {
        let (costs, left) = (money(terms.money()), budget);
        return (Verdict::OverBudget, format!("it would cost {costs}, and the project may spend {left} more"));
    }
    if has_room {
        return (Verdict::Possible, "could take it".into());
    }
    let small = too_small(&site.free, &needs.resources);
    // Without a deadline nobody says what waiting costs, so that nobody waits while another permitted site has room.
    if demand.late.is_some() && demand.waited_s < demand.settings.patience_s {
        return (Verdict::Awaited, format!("no room at the moment: {small}"));
    }
    (Verdict::Full, format!("no room at the moment: {small}"))
}

/// What would have to change for a site to be looked at beside the others; none where it is. What would have to change for it to win is said later,
/// when it is known who did: see [`compare`].
fn would_take(verdict: Verdict, site: &SiteView, demand: &Demand, terms: &Terms, wait: Odds) -> Option<String> {
    let needs = &demand.needs;
    match verdict {
        Verdict::Chosen | Verdict::Possible | Verdict::Awaited => None,
        Verdict::Full => {
            let wait = wait.sane().mid;
            Some(if wait > 0.0 {
                format!("something there to end, in about {wait:.0} s")
            } else {
                "something there to end".into()
            })
        }
        Verdict::Closed => Some("the site to be open again".into()),
        Verdict::OverBudget => {
            let more = money(terms.money() - demand.budget.map_or(0.0, Money::units));
            Some(format!("a budget that is larger by {more}"))
        }
        Verdict::Unfit => match needs.unmet(&site.attributes) {
            Some((key, wanted)) => Some(format!("a node that does not ask for `{key}: {wanted}`, or a site that has it")),
            None => Some("a node that asks for less, or a larger site".into()),
        },
        Verdict::Refused => Some("another rule, or data that does not carry what the rule is about".into()),
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

/// Says of every site that lost which term it lost on, and what would have to change.
fn compare(ranked: &mut [Judged<'_>]) {
    let Some(best) = ranked.iter().find(|judged| matches!(judged.candidate.verdict, Verdict::Chosen | Verdict::Awaited)) else {
        return;
    };
    let (won, name) = (best.terms, best.candidate.site.clone());
    for judged in ranked.iter_mut() {
        if judged.candidate.site == name || rank(judged) != 0 {
            continue;
        }
        let own = judged.terms;
        let gap = own.total() - won.total();
        let worst = [
            ("compute", own.compute - won.compute),
            ("boot", own.boot - won.boot),
            ("egress", own.egress - won.egress),
            ("preemption", own.preemption - won.preemption),
            ("repeats", own.repeats - won.repeats),
            ("lateness", own.late - won.late),
        ];
        let Some((term, by)) = worst.into_iter().max_by(|a, b| a.1.total_cmp(&b.1)).filter(|(_, by)| *by > 0.0) else { continue };
        judged.candidate.lost_on = Some((term.to_owned(), money(by)));
        let others = own.total() - own.compute;
        let pays = won.total() - others;
        let hour = judged.candidate.compute_per_hour;
        judged.candidate.would = match () {
            () if gap <= 0.0 => None,
            () if own.compute > 0.0 && pays > 0.0 => {
                Some(format!("an hour of it below {} instead of {hour}", money(hour.units() * pays / own.compute)))
            }
            () => Some(format!("{term} lower by {}", money(gap))),
        };
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use model::graph::Needs;

    use super::*;
    use crate::demand::{Input, Permitted, Started};
    use crate::objective::Late;

    fn site(name: &str, zone: &str, cpu: u32, price: f64) -> SiteView {
        let capacity = Resources { cpu_millis: cpu, memory_bytes: 8 << 30, gpus: 0, disk_bytes: 0 };
        SiteView {
            name: name.into(),
            capacity,
            free: capacity,
            attributes: BTreeMap::from([("zone".into(), zone.into())]),
            prices: Prices { cpu_hour: Money::from_units(price), egress_gb: Money::from_units(0.09), ..Prices::default() },
            ..SiteView::default()
        }
    }

    fn demand(cpu: u32, count: u32) -> Demand {
        let resources = Resources { cpu_millis: cpu, ..Resources::default() };
        Demand::new(Needs { resources, site: BTreeMap::new() }, count, Vec::new())
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
        let mut demand = demand(2000, 1);
        demand.needs.site.insert("zone".into(), "a".into());
        demand.permitted.refuse("refused", "policy p1 forbids it");
        let sites = [closed, site("refused", "a", 4000, 0.1), site("other", "b", 4000, 0.0), site("small", "a", 1000, 0.0)];
        let plan = plan(&sites, &demand);
        assert_eq!(plan.unplaced, 1);
        assert_eq!(verdict(&plan, "closed").verdict, Verdict::Closed);
        assert_eq!(verdict(&plan, "refused").verdict, Verdict::Refused);
        assert_eq!(verdict(&plan, "refused").why, "policy p1 forbids it");
        assert!(verdict(&plan, "other").why.contains("`zone` to be `a`"));
        assert!(verdict(&plan, "small").why.contains("2 cores of 1"));
        // And what would have to change.
        for (site, would) in
            [("closed", "open again"), ("refused", "another rule"), ("other", "`zone: a`"), ("small", "a larger site")]
        {
            let said = verdict(&plan, site).would.as_deref();
            assert!(said.is_some_and(|said| said.contains(would)), "{site}: {said:?}");
        }
    }

    #[test]
    fn only_what_is_permitted_is_chosen() {
        let sites = [site("free", "a", 4000, 0.0), site("dear", "a", 1000, 9.0)];
        let mut demand = demand(1000, 3);
        demand.permitted = Permitted::only(["dear".to_owned()]);
        let plan = plan(&sites, &demand);
        assert_eq!(plan.assignments, vec![("dear".into(), 1)]);
        assert_eq!(verdict(&plan, "free").verdict, Verdict::Refused);
    }

    #[test]
    fn heavy_inputs_keep_work_near_them() {
        let sites = [site("here", "a", 4000, 0.11), site("there", "b", 4000, 0.10)];
        let mut demand = demand(1000, 1);
        demand.inputs.push(Input { size: 10_000_000_000, sites: vec!["here".into()] });
        let plan = plan(&sites, &demand);
        assert_eq!(plan.assignments, vec![("here".into(), 1)]);
        assert_eq!(verdict(&plan, "there").egress, Money::from_units(0.9));
        assert_eq!(verdict(&plan, "there").lost_on.as_ref().unwrap().0, "egress");
    }

    #[test]
    fn a_cheap_site_is_awaited_while_the_deadline_holds_and_no_longer() {
        let mut own = site("own", "a", 4000, 0.01);
        own.free = Resources::default();
        let sites = [own, site("cloud", "b", 64_000, 1.0)];
        let mut demand = demand(1000, 2);
        let outlook = |wait: f64| Outlook {
            run: Odds { mid: 600.0, mean: 600.0, deviation: 60.0 },
            samples: 9,
            wait: Odds::certain(wait),
            ..Outlook::default()
        };
        demand.outlooks = vec![outlook(300.0), outlook(0.0)];
        demand.late = Some(Late { deadline_s: 10_000.0, per_hour: 100.0, fee: 0.0 });
        let waits = plan(&sites, &demand);
        assert_eq!((waits.assignments.len(), waits.unplaced), (0, 2));
        assert_eq!(verdict(&waits, "own").verdict, Verdict::Awaited);
        demand.late = Some(Late { deadline_s: 850.0, per_hour: 100.0, fee: 0.0 });
        assert_eq!(plan(&sites, &demand).assignments, vec![("cloud".into(), 2)]);
        demand.late = Some(Late { deadline_s: 10_000.0, per_hour: 100.0, fee: 0.0 });
        demand.waited_s = PATIENCE_S;
        assert_eq!(plan(&sites, &demand).assignments, vec![("cloud".into(), 2)], "waiting is bounded");
    }

    #[test]
    fn a_plan_is_kept_unless_reality_says_otherwise() {
        let sites = [site("cheap", "a", 4000, 0.10), site("planned", "a", 4000, 0.11), site("dear", "a", 4000, 0.9)];
        let mut demand = demand(1000, 1);
        demand.planned = Some("planned".into());
        assert_eq!(plan(&sites, &demand).assignments, vec![("planned".into(), 1)]);
        demand.planned = Some("dear".into());
        let left = plan(&sites, &demand);
        assert_eq!(left.assignments, vec![("cheap".into(), 1)]);
        assert_eq!(left.explanation.instead_of.as_deref(), Some("dear"));
    }

    #[test]
    fn a_budget_is_a_cap() {
        let sites = [site("a", "a", 64_000, 3.0)];
        let mut demand = demand(1000, 10);
        demand.outlooks = vec![Outlook { run: Odds::certain(1200.0), failure_rate: 0.0, ..Outlook::default() }];
        demand.budget = Some(Money::from_units(3.5));
        let some = plan(&sites, &demand);
        assert_eq!((some.assignments, some.unplaced), (vec![("a".into(), 3)], 7));
        demand.budget = Some(Money::from_units(0.5));
        let none = plan(&sites, &demand);
        assert_eq!(verdict(&none, "a").verdict, Verdict::OverBudget);
        assert_eq!(verdict(&none, "a").would.as_deref(), Some("a budget that is larger by 0.500000"));
        assert_eq!(none.unplaced, 10);
        // More was spent than may be: what costs nothing is taken all the same.
        demand.budget = Some(Money::from_units(-1.0));
        let free = plan(&[site("a", "a", 64_000, 3.0), site("free", "a", 64_000, 0.0)], &demand);
        assert_eq!((verdict(&free, "a").verdict, free.assignments.clone()), (Verdict::OverBudget, vec![("free".into(), 10)]));
        assert_eq!(verdict(&free, "a").would.as_deref(), Some("a budget that is larger by 2.000000"));
    }

    #[test]
    fn what_one_site_spends_of_a_budget_another_does_not_spend_again() {
        let sites = [site("a", "a", 2_000, 3.0), site("b", "a", 64_000, 3.3)];
        let mut demand = demand(1000, 10);
        let outlook = Outlook { run: Odds::certain(1200.0), failure_rate: 0.0, ..Outlook::default() };
        demand.outlooks = vec![outlook.clone(), outlook];
        demand.budget = Some(Money::from_units(4.3));
        let some = plan(&sites, &demand);
        assert_eq!((some.assignments, some.unplaced), (vec![("a".into(), 2), ("b".into(), 2)], 6));
    }

    #[test]
    fn one_action_tries_what_may_be_cheaper_and_the_record_says_so() {
        let sites = [site("known", "a", 64_000, 0.10), site("new", "a", 64_000, 0.10)];
        let mut demand = demand(1000, 5);
        let outlook = |mid: f64, low: f64, here: bool| Outlook {
            run: Odds { mid, mean: mid, deviation: mid / 4.0 },
            interval_s: (low, 2.0 * mid),
            samples: 50,
            here,
            ..Outlook::default()
        };
        demand.outlooks = vec![outlook(600.0, 550.0, true), outlook(700.0, 100.0, false)];
        assert_eq!(plan(&sites, &demand).assignments, vec![("known".into(), 5)]);
        demand.explore = Money::from_units(0.01);
        let tries = plan(&sites, &demand);
        assert_eq!(tries.assignments, vec![("new".into(), 1), ("known".into(), 4)]);
        assert!(tries.explanation.tried.is_some_and(|more| more.0 > 0 && more <= demand.explore), "{:?}", tries.explanation);
        assert!(verdict(&tries, "new").why.starts_with("tried"));
        // What it costs more is lateness, too: where time is short, nothing is tried.
        demand.late = Some(Late { deadline_s: 700.0, per_hour: 100.0, fee: 0.0 });
        assert_eq!(plan(&sites, &demand).assignments, vec![("known".into(), 5)]);
        demand.late = None;
        demand.permitted.refuse("new", "p1 forbids it");
        assert_eq!(plan(&sites, &demand).explanation.tried, None);
    }

    #[test]
    fn a_place_of_a_pool_saves_time_and_no_money() {
        let terms = |started: Option<Started>| {
            let terms = model::site::Terms { boot: model::Duration::from_secs(60), ..Default::default() };
            let prices = Prices { cpu_hour: Money::from_units(0.05), terms: Some(terms), ..Prices::default() };
            let capacity = Resources { cpu_millis: 8_000, ..Resources::default() };
            let site = SiteView { name: "burst".into(), capacity, free: capacity, prices, started, ..SiteView::default() };
            let needs = Needs { resources: Resources { cpu_millis: 1_000, ..Resources::default() }, ..Needs::default() };
            let mut demand = Demand::new(needs, 1, Vec::new());
            demand.late = Some(Late { deadline_s: 90.0, per_hour: 10.0, fee: 0.0 });
            let plan = plan(&[site], &demand);
            (plan.explanation.sites[0].boot, plan.explanation.sites[0].late)
        };
        let started = |replaced: bool| Some(Started { why: "said".into(), replaced });
        let (cold, pool, left) = (terms(None), terms(started(true)), terms(started(false)));
        assert!(cold.0.0 > 0 && pool.0 == cold.0 && left.0.0 == 0, "{cold:?}, {pool:?}, {left:?}");
        assert!(pool.1 < cold.1 && pool.1 == left.1, "{cold:?}, {pool:?}, {left:?}");
    }

    #[test]
    fn a_quota_is_a_cap_and_says_so() {
        let mut demand = demand(1000, 10);
        (demand.at_most, demand.bounds) = (Some(4), Some("the project holds 4 of 8 cores".into()));
        let some = plan(&[site("a", "a", 64_000, 3.0)], &demand);
        assert_eq!((some.assignments, some.unplaced), (vec![("a".into(), 4)], 6));
        assert_eq!(some.explanation.bounds.as_deref(), Some("the project holds 4 of 8 cores"));
        demand.at_most = Some(0);
        let none = plan(&[site("a", "a", 64_000, 3.0)], &demand);
        assert_eq!((none.assignments.len(), none.unplaced), (0, 10));
    }
}
