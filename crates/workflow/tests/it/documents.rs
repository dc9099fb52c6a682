//! Sites, triggers, connectors.

use model::Money;
use model::site::SandboxMode;
use workflow::documents::{CatchUp, Document, TriggerKind, read};

use crate::{Shelf, files};

#[test]
fn several_documents_in_one_file() {
    let text = "kind: site
name: onprem
capacity: {cpu: 4, memory: 6Gi}
attributes: {zone: on-premise, tier: 2}
prices: {cpu_hour: 0.031}
simulates: a data centre
---
kind: trigger
name: nightly
workflow: bank/fraud-model
schedule: {cron: '0 6 * * 1-5', timezone: Europe/Berlin}
catch_up: all
---
kind: connector
name: ml/score
runtime: worker
---
workflow: t/w
nodes: {a: {use: core/noop}}
";
    let found = read(text, &files(&[]), &Shelf);
    assert_eq!(found.diagnostics, []);
    let kinds: Vec<&str> = found.documents.iter().map(Document::kind).collect();
    assert_eq!(kinds, ["site", "trigger", "connector", "workflow"]);
    let Document::Site(site) = &found.documents[0] else { panic!() };
    assert_eq!((site.capacity.cpu_millis, site.prices.cpu_hour, site.attributes["tier"].as_str()), (4000, Money(31_000), "2"));
    let Document::Trigger(trigger) = &found.documents[1] else { panic!() };
    assert!(matches!(&trigger.on, TriggerKind::Cron { timezone, .. } if timezone == "Europe/Berlin"));
    assert_eq!(trigger.catch_up, CatchUp::All);
}

#[test]
fn mistakes_in_resources_are_found() {
    for (text, code) in [
        ("kind: site\nname: x", "W0102"),
        ("kind: sight\nname: x", "W0104"),
        ("kind: site\nname: x\ncapacity: {cpu: many}", "W0104"),
        ("kind: site\nname: x\ncapacity: {cpu: 1}\nprice: 1", "W0101"),
        ("kind: site\nname: x\ncapacity: {cpu: 1}\nsandbox: strict", "W0104"),
        ("kind: site\nname: x\ncapacity: {cpu: 1}\nsandbox: {egress: ['a b']}", "W0104"),
        ("kind: site\nname: x\ncapacity: {cpu: 1}\nsandbox: {egress: all}", "W0103"),
        ("kind: site\nname: x\ncapacity: {cpu: 1}\nsandbox: {runtime: [models]}", "W0104"),
        ("kind: trigger\nname: x\nworkflow: a/b", "W0106"),
        ("kind: trigger\nname: x\nworkflow: a/b\nevery: 10ms", "W0104"),
        ("kind: trigger\nname: x\nworkflow: a/b\nevery: 1m\ncatch_up: some", "W0104"),
        ("kind: connector\nname: core/x", "W0105"),
        ("name: x", "W0102"),
    ] {
        let found = read(text, &files(&[]), &Shelf);
        assert!(found.diagnostics.iter().any(|finding| finding.code == code), "{text}: {:?}", found.diagnostics);
        assert!(found.documents.is_empty());
    }
}

#[test]
fn how_processes_of_a_site_are_kept_in() {
    let spec = |sandbox: &str| {
        let found = read(&format!("{SITE}sandbox: {sandbox}\n"), &files(&[]), &Shelf);
        match (&found.documents[..], &found.diagnostics[..]) {
            ([Document::Site(site)], []) => site.sandbox.clone().unwrap(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((spec("require").mode, spec("off").mode), (SandboxMode::Require, SandboxMode::Off));
    let full = spec("{egress: [a.example, 'b.example:80'], runtime: [/opt/x]}");
    assert_eq!((full.mode, full.egress.len(), full.runtime.len()), (SandboxMode::Prefer, 2, 1));
}

const SITE: &str = "kind: site\nname: burst\ncapacity: {cpu: 64, memory: 256Gi}\n";

fn priced(prices: &str) -> Result<model::site::Prices, String> {
    let found = read(&format!("{SITE}prices: {{{prices}}}\n"), &files(&[]), &Shelf);
    match (&found.documents[..], &found.diagnostics[..]) {
        ([Document::Site(site)], []) => Ok(site.prices),
        (_, found) => Err(found.iter().map(|found| format!("{} {}", found.code, found.message)).collect::<Vec<_>>().join("; ")),
    }
}

#[test]
fn the_lists_that_come_with_the_program_have_no_findings() {
    let names: Vec<&str> = workflow::documents::price_lists().iter().map(|list| list.name.as_str()).collect();
    assert_eq!(names, ["aws", "azure", "gcp", "oci"]);
    let text = include_str!("../../src/documents/prices.yaml");
    assert!(read(text, &files(&[]), &Shelf).diagnostics.is_empty());
}

#[test]
fn the_parts_of_a_machine_cost_together_what_the_machine_costs() {
    for list in workflow::documents::price_lists() {
        for (name, instance) in &list.instances {
            for (spot, hour) in [(false, Some(instance.hour)), (true, instance.spot_hour)] {
                let Some((prices, hour)) = list.prices(instance, spot).zip(hour) else { continue };
                let whole = prices.per_hour(&instance.capacity);
                // Each part is rounded to a millionth an hour.
                let parts =
                    f64::from(instance.capacity.cpu_millis) / 1000.0 + instance.capacity.memory_bytes as f64 / 2f64.powi(30);
                assert!((whole - hour.0 as f64).abs() <= parts + 8.0, "{}/{name}: {whole} and not {}", list.name, hour.0);
            }
        }
    }
}

#[test]
fn a_site_may_name_a_machine_of_a_list_and_say_otherwise_where_it_knows_better() {
    let on_demand = priced("instance: aws/m5.xlarge").expect("it is in the list");
    assert_eq!(
        (on_demand.cpu_hour, on_demand.memory_gib_hour, on_demand.egress_gb),
        (Money(33_000), Money(3_750), Money(90_000))
    );
    assert_eq!(
        on_demand.terms.map(|terms| (terms.egress_near_gb, terms.egress_tiers[0].from_gb)),
        Some((Some(Money(20_000)), 10_000))
    );
    let spot = priced("instance: aws/m5.xlarge, spot: true, egress_gb: 0, boot: 60s, preemptions_per_1000h: 50")
        .expect("has a spot price");
    assert_eq!(spot.cpu_hour, Money(12_107), "0.033 times 0.07044 / 0.192");
    assert_eq!((spot.egress_gb, spot.terms.map(|terms| terms.preemptions_per_1000h)), (Money(0), Some(50)));
    let gpu = priced("instance: aws/g4dn.xlarge").expect("it is in the list");
    assert_eq!(gpu.gpu_hour, Money(334_000), "0.526 less four cores and 16 GiB");

    let list = "kind: prices\nname: ours\nas_of: 2026-11-01\nsource: the contract\ncore_hour: 0.02\nmemory_gib_hour: 0.002\ninstances:\n  \
                small: {cpu: 2, memory: 4Gi, hour: 0.048}\n";
    let both = format!("{SITE}prices: {{instance: ours/small}}\n---\n{list}");
    let found = read(&both, &files(&[]), &Shelf);
    assert!(
        matches!(&found.documents[..], [Document::Site(site), Document::Prices(_)] if site.prices.cpu_hour == Money(20_000)),
        "{found:?}"
    );

    // Prices in another currency are converted, egress and its tiers with them.
    let list = list.replace(
        "kind: prices",
        "kind: prices\ncurrency: EUR\nexchange: {usd: 1.25, as_of: 2026-11-20, source: the bank}\n\
        egress_gb: 0.04\negress_tiers: [{from_gb: 10, gb: 0.02}]",
    );
    let found = read(&format!("{SITE}prices: {{instance: ours/small}}\n---\n{list}"), &files(&[]), &Shelf);
    let Some(Document::Site(site)) = found.documents.first() else { panic!("{found:?}") };
    assert_eq!((site.prices.cpu_hour, site.prices.egress_gb), (Money(25_000), Money(50_000)));
    assert_eq!(site.prices.terms.map(|terms| terms.egress_tiers[0].gb), Some(Money(25_000)));
}

#[test]
fn what_is_wrong_with_a_price_is_said() {
    for (prices, expected) in [
        ("instance: m5.xlarge", "W0204 `m5.xlarge` is not `provider/machine`, such as `aws/m5.xlarge`"),
        ("instance: awss/m5.xlarge", "W0204 there is no price list `awss`: apply one, or see `tutti prices`"),
        ("instance: aws/m5.xlarg", "W0204 the price list `aws` of 2026-09-06 has no machine `m5.xlarg`"),
        ("instance: gcp/n2-standard-2, spot: true", "W0204 the price list `gcp` has no spot price of `n2-standard-2`"),
        ("spot: true", "W0107 `spot` says which price of an `instance` holds, and there is none"),
    ] {
        assert_eq!(priced(prices), Err(expected.to_owned()), "{prices}");
    }
    for (field, expected) in [
        ("currency: CHF\ninstances: {}", "a price list in `CHF` needs `exchange`: everything is counted in USD"),
        ("currency: CHF\nexchange: {as_of: today, source: bank}", "`exchange` needs `usd`: how many USD one `CHF` is worth"),
        ("currency: usd", "`currency` has to be three capital letters such as `EUR`"),
        ("instances: {a: {cpu: 2, memory: 4Gi}}", "a machine needs `hour`, its price"),
        ("instances: {a: {hour: 1}}", "a machine needs `cpu` and `memory`: its price is divided between them"),
    ] {
        let text = format!("kind: prices\nname: x\nas_of: 2026-01-01\nsource: x\ncore_hour: 1\nmemory_gib_hour: 1\n{field}\n");
        let found = read(&text, &files(&[]), &Shelf);
        assert!(found.diagnostics.iter().any(|found| found.message == expected), "{field}: {:?}", found.diagnostics);
    }
}
