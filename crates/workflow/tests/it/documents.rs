//! Sites, triggers, connectors.

use model::Money;
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
