//! What leaves a site is billed to the cent as the ledger of what moved says: over months, tiers, ways between sites, failures and restarts.

use std::collections::BTreeMap;

use engine::event::{Located, Role, Usage};
use engine::{Command, Event, Outcome, Report};
use model::site::{Terms, Tier};
use model::value::ArtifactKind;
use model::{ActionKey, ArtifactRef, Digest, Duration, Failure, FailureClass, Money, SiteSpec, Timestamp};
use serde_json::json;
use testkit::{Answer, Random, Rig, flow, site, step};

const GB: u64 = 1_000_000_000;

/// Sites of two providers, with tiers or without, each at a price of its own.
fn sites(random: &mut Random) -> Vec<SiteSpec> {
    let names = ["a", "b", "c", "d"];
    let one = |(number, name): (usize, &&str)| {
        let provider = if number < 2 { "p" } else { "q" };
        let mut spec =
            site(name).attribute("zone", name).attribute("provider", provider).prices(0.0, 0.05 + 0.1 * random.share()).spec();
        if number != 3 {
            let tier = |from_gb: u32, gb: i64| Tier { from_gb, gb: Money(gb) };
            let first = 50 + random.below(200) as u32;
            spec.prices.terms = Some(Terms {
                egress_tiers: [tier(first, 40_000), tier(first + 400, 30_001), tier(first + 900, 7)],
                egress_near_gb: (number == 0).then_some(Money(10_003)),
                ..Terms::default()
            });
        }
        spec
    };
    names.iter().enumerate().map(one).collect()
}

/// Billionths of a millionth for bytes that leave a site after so many in the month: in whole numbers, tier by tier, as a provider's page says it.
fn by_hand(from: &SiteSpec, to: &SiteSpec, before: u64, bytes: u64) -> i128 {
    let terms = from.prices.terms.unwrap_or_default();
    if let (Some(near), true) = (terms.egress_near_gb, from.attributes["provider"] == to.attributes["provider"]) {
        return i128::from(near.0) * i128::from(bytes);
    }
    let mut bounds: Vec<(u64, i64)> = vec![(0, from.prices.egress_gb.0)];
    bounds
        .extend(terms.egress_tiers.iter().filter(|tier| tier.from_gb > 0).map(|tier| (u64::from(tier.from_gb) * GB, tier.gb.0)));
    bounds.push((u64::MAX, 0));
    let within = |pair: &[(u64, i64)]| {
        let (begin, end) = (before.max(pair[0].0), (before + bytes).min(pair[1].0));
        i128::from(end.saturating_sub(begin)) * i128::from(pair[0].1)
    };
    bounds.windows(2).map(within).sum()
}

#[test]
fn what_is_billed_for_egress_is_what_the_ledger_says_to_the_cent() {
    for seed in 0..6 {
        let mut random = Random(seed * 101 + 7);
        let specs = sites(&mut random);
        let mut rig = Rig::new(specs.clone()).unchecked();
        rig.on("use<-*", [Answer::Silent]);
        // By site and month: what left it, as the ledger of moves says.
        let mut ledger: BTreeMap<(String, u32), u64> = BTreeMap::new();
        let (mut expected, mut moves) = (0i128, 0i64);
        for number in 0..60 {
            let (from, to) = (random.below(4), random.below(4));
            let size = (random.share().powi(3) * 200.0 * GB as f64) as u64;
            let name = format!("{seed}-{number}");
            let file = ArtifactRef { digest: Digest::of(name.as_bytes()), size, kind: ArtifactKind::File, name };
            rig.on("make", [Answer::Done(json!({"file": file.to_value()}))]);
            let graph = flow("t/t")
                .step(step("make").at("zone", &specs[from].name))
                .step(step("use").input(json!({"file": "${ nodes.make.file }"})).at("zone", &specs[to].name).reads(&["make"]))
                .build();
            let run = rig.submit(&graph, json!({}));
            rig.work();
            if from == to {
                continue;
            }
            let digest: String = file.digest.hex().chars().take(12).collect();
            let path = format!("use<-{digest}@{}", specs[to].name);
            // Some break off in the middle, and what had moved by then is billed, too.
            let tries = if random.below(5) == 0 { 2 } else { 1 };
            for attempt in 1..=tries {
                let bytes = if attempt < tries { size / 3 } else { size };
                let month = month_of(rig.now());
                let before = ledger.entry((specs[from].name.clone(), month)).or_default();
                expected += by_hand(&specs[from], &specs[to], *before, bytes);
                (*before, moves) = (*before + bytes, moves + 1);
                let located = Located { artifact: file.digest, size, site: specs[to].name.clone() };
                let (outcome, locations) = match attempt < tries {
                    true => (Outcome::Failed(Failure::new(FailureClass::SiteDown, "it broke off")), Vec::new()),
                    false => (Outcome::Succeeded(json!(null)), vec![located]),
                };
                let usage = Usage { wall_us: 1, bytes_in: bytes, ..Usage::default() };
                let (attempt, epoch) = (rig.attempt(run, &path), rig.state.fleet().epoch());
                rig.step(Command::Report(Box::new(Report { attempt, epoch, outcome, usage, locations })));
                // The pause before it is tried again.
                rig.advance(Duration::from_secs(120));
            }
            rig.work();
            rig.advance(Duration::from_secs(60 * random.below(2_000) as u64));
            if random.below(20) == 0 {
                // A server that starts again counts what the journal says of the month.
                rig.restart();
                let (now, month) = (rig.now(), month_of(rig.now()));
                for ((site, of), bytes) in ledger.iter().filter(|((_, of), _)| *of == month) {
                    assert_eq!(*of, month);
                    rig.state.count_sent(site, now, *bytes);
                }
            }
        }
        let mut transfers = std::collections::BTreeSet::new();
        let (mut billed, mut of_runs) = (0i64, 0i64);
        for event in rig.events() {
            match event {
                Event::ActionsOpened(opened) => {
                    let moves = opened.actions.iter().filter(|action| matches!(action.role, Role::Transfer { .. }));
                    transfers.extend(moves.map(|action| ActionKey::new(opened.run, action.action)));
                }
                Event::AttemptFinished(end) if transfers.contains(&ActionKey::new(end.run, end.action)) => billed += end.cost.0,
                Event::RunFinished(end) => of_runs += end.cost.0,
                _ => {}
            }
        }
        assert!(moves > 30 && ledger.len() > 4, "seed {seed}: {moves} moves in {} site-months", ledger.len());
        let off = i128::from(billed) - expected / i128::from(GB);
        // Half a millionth of rounding for each move, and a cent is ten thousand.
        assert!(off.abs() <= i128::from(moves), "seed {seed}: billed {billed}, the ledger says {}", expected / i128::from(GB));
        assert_eq!(of_runs, billed, "seed {seed}: nothing else cost anything here, and every run knows its part");
    }
}

/// The month of a time, counted as bills are.
fn month_of(at: Timestamp) -> u32 {
    at.month()
}
