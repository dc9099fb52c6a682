//! How long a start takes when much is open: from nothing to the first action given to a worker.
//!
//! `cargo run --release -p controlplane --example restart [-- RUNS [ITEMS]]`: so many runs (100), each a map over so many actions (1,000)
//! of a worker, all of them open: placed, ordered, and not answered. A closed run of ten thousand entries lies before and behind.

use std::path::Path;
use std::time::{Duration, Instant};

use controlplane::{ControlPlane, LeaseRequest, Options, SourceFile, Submission};
use journal::Durability;
use model::RunId;
use serde_json::{Value, json};

const DOCUMENTS: &str = "
kind: site
name: wide
capacity: {cpu: 100000, memory: 100000Gi}
---
kind: connector
name: far/work
runtime: worker
---
workflow: t/open
inputs: {items: {type: array, items: {type: integer}, maxItems: 10000}}
nodes:
  wide:
    each:
      items: ${ inputs.items }
      concurrency: 10000
      do: {use: far/work, with: {n: \"${ item }\", text: about forty bytes of an input for each one}}
  last: {use: core/noop, after: [wide]}
---
workflow: t/closed
inputs: {items: {type: array, items: {type: integer}, maxItems: 10000}}
nodes:
  wide: {each: {items: \"${ inputs.items }\", concurrency: 10000, do: {use: core/noop, with: {n: \"${ item }\"}}}}
";

async fn open(data: &Path) -> ControlPlane {
    let options = Options {
        data: data.to_owned(),
        durability: Durability::Full,
        shim: ("/bin/false".into(), Vec::new()),
        path: String::new(),
        keys: Default::default(),
    };
    ControlPlane::open(options).await.expect("the data directory opens")
}

fn submission(workflow: &str, items: u64) -> Submission {
    let items: Vec<u64> = (0..items).collect();
    let inputs = match json!({ "items": items }) {
        Value::Object(inputs) => inputs,
        _ => serde_json::Map::new(),
    };
    Submission { workflow: workflow.into(), inputs, principal: "restart".into(), ..Submission::default() }
}

async fn closed(control: &ControlPlane, items: u64) {
    let run = control.submit(submission("t/closed", items)).await.expect("it is accepted").run;
    control.end_of(run, Duration::from_secs(120)).await.expect("it ends");
}

async fn fill(data: &Path, runs: u64, items: u64) {
    let control = open(data).await;
    let sources = vec![SourceFile { path: "restart.yaml".into(), text: DOCUMENTS.into() }];
    let outcome = control.apply(sources, Default::default(), false, "restart").await.expect("it is applied");
    assert!(!outcome.failed(), "{}", outcome.rendered);
    closed(&control, 3_000).await;
    for _ in 0..runs {
        control.submit(submission("t/open", items)).await.expect("it is accepted");
    }
    closed(&control, 3_000).await;
    control.stop().await;
}

fn resident_mib() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("VmRSS:"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).unwrap_or(0) / 1024
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1).filter_map(|text| text.parse().ok());
    let (runs, items) = (arguments.next().unwrap_or(100), arguments.next().unwrap_or(1_000));
    // On the disk, not in memory.
    let folder = std::env::current_dir().expect("a current directory").join(".restart");
    let _ = std::fs::remove_dir_all(&folder);
    let began = Instant::now();
    fill(&folder, runs, items).await;
    let bytes = std::fs::metadata(folder.join("journal/journal.db")).map_or(0, |file| file.len());
    println!("filled in {:.1} s: {} MiB", began.elapsed().as_secs_f64(), bytes >> 20);
    for round in 1..=3 {
        let before = resident_mib();
        let began = Instant::now();
        let control = open(&folder).await;
        let opened = began.elapsed();
        let request =
            LeaseRequest { worker: "w".into(), connectors: vec!["far/work@1".into()], slots: 1, ..LeaseRequest::default() };
        let turn = control.workers().lease(&request, Duration::from_secs(60)).await;
        let leased = began.elapsed();
        assert_eq!(turn.leases.len(), 1, "nothing is dispatched");
        let counted = control.reader().stats().expect("counts");
        let row = control.reader().run(RunId(2)).expect("a run").expect("the first open run");
        println!(
            "round {round}: open after {:.2} s, first dispatch after {:.2} s; {} open runs, {} actions open in the first; {} entries; {} MiB resident (before {before})",
            opened.as_secs_f64(),
            leased.as_secs_f64(),
            counted.open_runs,
            row.actions_total - row.actions_done,
            counted.entries,
            resident_mib(),
        );
        control.stop().await;
    }
    let _ = std::fs::remove_dir_all(&folder);
}
