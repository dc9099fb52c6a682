//! Nothing is ever placed where it may not go, no more than there is room for, and what is said to be paid for egress is what is billed.

use std::collections::BTreeMap;

use model::graph::Needs;
use model::site::{Prices, Terms, Tier};
use model::{Money, Resources};
use placement::objective::{Late, Odds};
use placement::search::Random;
use placement::{Demand, Input, Outlook, Permitted, SiteView, Verdict, plan};

/// What is asked for, what there is, what is held; now and then as nobody means it.
fn amount(random: &mut Random, most: usize) -> Resources {
    if random.below(40) == 0 {
        return Resources { cpu_millis: u32::MAX, memory_bytes: u64::MAX, gpus: u32::MAX, disk_bytes: u64::MAX };
    }
    Resources {
        cpu_millis: (random.below(most) * 500) as u32,
        memory_bytes: (random.below(most) as u64) << 30,
        gpus: (random.below(8) / 7) as u32,
        disk_bytes: 0,
    }
}

/// Numbers as people and clocks make them, and worse.
fn wild(random: &mut Random) -> f64 {
    match random.below(12) {
        0 => f64::NAN,
        1 => f64::INFINITY,
        2 => -1.0,
        3 => 1e300,
        4 => 0.0,
        _ => 10_000.0 * random.share(),
    }
}

fn sites(random: &mut Random) -> Vec<SiteView> {
    (0..1 + random.below(6))
        .map(|number| {
            let capacity = amount(random, 40);
            let used = amount(random, 40);
            let tier = Tier { from_gb: 1 + random.below(50) as u32, gb: Money(random.below(90_000) as i64) };
            let terms = Terms {
                egress_tiers: [tier, Tier::default(), Tier::default()],
                egress_near_gb: (random.below(2) == 0).then_some(Money(10_000)),
                bandwidth_mbps: random.below(3) as u32 * 1_000,
                boot: model::Duration::from_secs(random.below(3) as u64 * 60),
                idle: model::Duration::from_secs(random.below(3) as u64 * 60),
                preemptions_per_1000h: random.below(3) as u32 * 5_000_000,
            };
            SiteView {
                name: format!("s{number}"),
                capacity,
                free: capacity.minus(&used),
                attributes: BTreeMap::from([
                    ("zone".into(), ["a", "b"][random.below(2)].into()),
                    ("provider".into(), ["p", "q"][random.below(2)].into()),
                ]),
                prices: Prices {
                    cpu_hour: Money(random.below(100_000) as i64),
                    memory_gib_hour: Money(random.below(9_000) as i64),
                    gpu_hour: Money(i64::MAX / 4 * random.below(2) as i64),
                    egress_gb: Money(random.below(120_000) as i64),
                    terms: (random.below(2) == 0).then_some(terms),
                },
                closed: (random.below(6) == 0).then(|| "cordoned".into()),
                sent_bytes: random.below(100) as u64 * 1_000_000_000,
                ..SiteView::default()
            }
        })
        .collect()
}

/// What so many actions are expected to cost, lateness left out.
fn bill_of(candidate: &placement::Candidate, count: u32) -> f64 {
    let parts = [candidate.compute, candidate.boot, candidate.preemption, candidate.repeats, candidate.egress];
    parts.iter().map(|part| part.units()).sum::<f64>() * f64::from(count)
}

fn demand(random: &mut Random, sites: &[SiteView]) -> Demand {
    let site = match random.below(4) {
        0 => BTreeMap::from([("zone".into(), "a".into())]),
        _ => BTreeMap::new(),
    };
    let inputs = (0..random.below(3)).map(|_| Input {
        size: random.bits() >> (20 + random.below(40)),
        sites: sites.iter().filter(|_| random.below(3) == 0).map(|site| site.name.clone()).collect(),
    });
    let inputs: Vec<Input> = inputs.collect();
    let mut demand = Demand::new(Needs { resources: amount(random, 12), site }, random.below(40) as u32, inputs);
    demand.permitted = match random.below(3) {
        0 => Permitted::all(),
        1 => Permitted::only(sites.iter().filter(|_| random.below(2) == 0).map(|site| site.name.clone())),
        _ => {
            let mut permitted = Permitted::all();
            sites.iter().filter(|_| random.below(2) == 0).for_each(|site| permitted.refuse(site.name.clone(), "p1 forbids it"));
            permitted
        }
    };
    if random.below(2) == 0 {
        demand.outlooks = sites
            .iter()
            .map(|_| Outlook {
                run: Odds { mid: wild(random), mean: wild(random), deviation: wild(random) },
                samples: random.below(9) as u64,
                failure_rate: wild(random),
                wait: Odds { mid: wild(random), mean: wild(random), deviation: wild(random) },
                hazard: wild(random),
                ..Outlook::default()
            })
            .collect();
    }
    if random.below(2) == 0 {
        demand.late = Some(Late { deadline_s: wild(random), per_hour: wild(random), fee: wild(random) });
    }
    if random.below(4) == 0 {
        demand.budget = Some(Money(random.below(3_000_000) as i64));
    }
    if random.below(3) == 0 {
        demand.explore = Money(random.below(3_000_000) as i64);
    }
    if random.below(3) == 0 {
        demand.at_most = Some(random.below(50) as u32);
    }
    if random.below(2) == 0 {
        demand.planned = Some(format!("s{}", random.below(7)));
    }
    demand.rest_s = wild(random);
    demand.waited_s = wild(random);
    demand
}

#[expect(clippy::disallowed_methods, reason = "a test that can be run for longer")]
/// How many cases are looked at: 100,000, or as many as `TUTTI_PLACEMENT_CASES` says. A million is the long run.
fn cases() -> u64 {
    std::env::var("TUTTI_PLACEMENT_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(100_000)
}

#[test]
fn nothing_is_placed_where_it_may_not_go_or_has_no_room() {
    let mut random = Random(20_261_126);
    for case in 0..cases() {
        let sites = sites(&mut random);
        let demand = demand(&mut random, &sites);
        let plan = plan(&sites, &demand);
        let placed: u32 = plan.assignments.iter().map(|(_, count)| count).sum();
        assert_eq!(placed + plan.unplaced, demand.count, "case {case}: every action is somewhere");
        assert!(placed <= demand.at_most.unwrap_or(u32::MAX), "case {case}: more than the quota lets begin");
        let chosen = |name: &str| plan.explanation.sites.iter().find(|candidate| candidate.site == name);
        let mut taken: BTreeMap<&str, u32> = BTreeMap::new();
        plan.assignments.iter().for_each(|(name, count)| *taken.entry(name).or_default() += count);
        let bill: f64 =
            taken.iter().filter_map(|(name, count)| Some((chosen(name)?, count))).map(|(of, count)| bill_of(of, *count)).sum();
        if let Some(budget) = demand.budget {
            // A millionth for each term of each action is rounding.
            assert!(bill <= budget.units() + 6e-6 * f64::from(placed), "case {case}: {bill} of {budget}");
        }
        for (name, count) in &taken {
            let site = sites.iter().find(|site| site.name == **name).unwrap();
            assert_eq!(demand.permitted.refusal(name), None, "case {case}: `{name}` is not permitted");
            assert!(site.closed.is_none(), "case {case}: `{name}` is closed");
            let wanted = |(key, value): (&String, &String)| site.attributes.get(key) == Some(value);
            assert!(demand.needs.site.iter().all(wanted), "case {case}: `{name}` is unlike what is needed");
            let (each, count) = (&demand.needs.resources, u64::from(*count));
            let fits = |free: u64, each: u64| each.saturating_mul(count) <= free;
            assert!(
                fits(site.free.cpu_millis.into(), each.cpu_millis.into())
                    && fits(site.free.memory_bytes, each.memory_bytes)
                    && fits(site.free.gpus.into(), each.gpus.into()),
                "case {case}: `{name}` has no room for {count}"
            );
        }
        // Every site is accounted for, with a sentence, and no number that cannot be shown.
        assert_eq!(plan.explanation.sites.len(), sites.len(), "case {case}");
        for candidate in &plan.explanation.sites {
            assert!(!candidate.why.is_empty(), "case {case}");
            assert!(candidate.wait_s.is_finite() && candidate.transfer_s.is_finite(), "case {case}: {candidate:?}");
            let chosen = plan.assignments.iter().any(|(name, _)| *name == candidate.site);
            assert_eq!(candidate.verdict == Verdict::Chosen, chosen, "case {case}: {candidate:?}");
        }
    }
}

#[test]
fn what_is_said_of_egress_is_what_is_billed_to_the_cent() {
    let (mut random, mut priced) = (Random(7), 0);
    for case in 0..20_000 {
        let sites = sites(&mut random);
        let mut demand = demand(&mut random, &sites);
        demand.inputs.truncate(1);
        let plan = plan(&sites, &demand);
        let Some(input) = demand.inputs.first() else { continue };
        for candidate in &plan.explanation.sites {
            let here = sites.iter().find(|site| site.name == candidate.site).unwrap();
            // As the engine bills the transfer: from the first of its sites, after what has left that in the month.
            let source = input.sites.first().and_then(|name| sites.iter().find(|site| site.name == *name));
            let billed = match source {
                Some(source) if !input.sites.contains(&candidate.site) => {
                    let near = model::site::is_near(&source.attributes, &here.attributes);
                    source.prices.of_transfer(source.sent_bytes, input.size, near)
                }
                _ => Money(0),
            };
            assert_eq!(candidate.egress, billed, "case {case}: {}", candidate.site);
            if let Some(source) = source.filter(|_| !input.sites.contains(&candidate.site)) {
                let by_hand = by_hand(&source.prices, source.sent_bytes, input.size, &source.attributes, &here.attributes);
                let off = i128::from(billed.0) - by_hand;
                assert!(off.abs() <= 2, "case {case}: {billed} and {by_hand} millionths");
                priced += u32::from(by_hand > 0);
            }
        }
    }
    assert!(priced > 10_000, "{priced}");
}

/// Millionths for bytes that leave, tier by tier in whole numbers: how a provider's page says it, and not how the program does it.
fn by_hand(prices: &Prices, before: u64, bytes: u64, from: &BTreeMap<String, String>, to: &BTreeMap<String, String>) -> i128 {
    let terms = prices.terms.unwrap_or_default();
    if let (Some(gb), true) = (terms.egress_near_gb, from["provider"] == to["provider"]) {
        return i128::from(gb.0) * i128::from(bytes) / 1_000_000_000;
    }
    let tier = terms.egress_tiers[0];
    let dear = match tier.from_gb {
        0 => bytes,
        gb => (u64::from(gb) * 1_000_000_000).saturating_sub(before).min(bytes),
    };
    let parts = i128::from(prices.egress_gb.0) * i128::from(dear) + i128::from(tier.gb.0) * i128::from(bytes - dear);
    parts / 1_000_000_000
}

#[test]
fn equal_questions_have_equal_answers() {
    let (mut one, mut other) = (Random(99), Random(99));
    for _ in 0..2_000 {
        let (a, b) = (sites(&mut one), sites(&mut other));
        let (x, y) = (demand(&mut one, &a), demand(&mut other, &b));
        // Text, since a number that is none equals nothing.
        assert_eq!(format!("{:?}", plan(&a, &x)), format!("{:?}", plan(&b, &y)));
    }
}

#[test]
fn noise_does_not_send_work_to_and_fro() {
    // Two sites that cost nearly the same, with prices that stray by a tenth: whoever plans by the cheapest of the moment changes their mind
    // every other time.
    let mut random = Random(17);
    let (mut fickle, mut moves, mut planned) = (0, 0, None::<String>);
    let mut cheapest = String::new();
    for _ in 0..2_000 {
        let site = |name: &str, random: &mut Random| SiteView {
            name: name.into(),
            capacity: Resources { cpu_millis: 8_000, ..Resources::default() },
            free: Resources { cpu_millis: 8_000, ..Resources::default() },
            prices: Prices { cpu_hour: Money(95_000 + random.below(10_000) as i64), ..Prices::default() },
            ..SiteView::default()
        };
        let sites = [site("a", &mut random), site("b", &mut random)];
        let needs = Needs { resources: Resources { cpu_millis: 1_000, ..Resources::default() }, ..Needs::default() };
        let mut demand = Demand::new(needs, 1, Vec::new());
        let now = plan(&sites, &demand).assignments[0].0.clone();
        fickle += u32::from(std::mem::replace(&mut cheapest, now.clone()) != now);
        demand.planned = planned.clone();
        let chosen = plan(&sites, &demand).assignments[0].0.clone();
        moves += u32::from(planned.is_some_and(|before| before != chosen));
        planned = Some(chosen);
    }
    assert!(fickle > 500, "{fickle}");
    assert_eq!(moves, 0);
}

#[test]
fn a_site_that_is_said_to_lose_what_it_is_given_is_priced_out() {
    let site = |name: &str, price: i64| SiteView {
        name: name.into(),
        capacity: Resources { cpu_millis: 8_000, ..Resources::default() },
        free: Resources { cpu_millis: 8_000, ..Resources::default() },
        prices: Prices { cpu_hour: Money(price), ..Prices::default() },
        ..SiteView::default()
    };
    let needs = Needs { resources: Resources { cpu_millis: 1_000, ..Resources::default() }, ..Needs::default() };
    let mut demand = Demand::new(needs, 1, Vec::new());
    let hour = Odds { mid: 3_600.0, mean: 3_600.0, deviation: 300.0 };
    let outlook = |hazard: f64| Outlook { run: hour, hazard, ..Outlook::default() };
    let chosen = |demand: &Demand| plan(&[site("spot", 20_000), site("steady", 48_000)], demand).assignments[0].0.clone();
    demand.outlooks = vec![outlook(0.05), outlook(0.0)];
    assert_eq!(chosen(&demand), "spot", "five losses in a hundred hours are worth it");
    demand.outlooks = vec![outlook(5.0), outlook(0.0)];
    assert_eq!(chosen(&demand), "steady", "five an hour are not");
}
