//! What the journal alone allows on this disk: commits, events and steps a second, and bytes written for each, by size of batch.
//!
//! `cargo run --release -p journal --example append_bench [-- DIRECTORY [SECONDS]]`
//!
//! A step is what a chain of actions costs: one attempt that finished with an output, one action opened with an input, one placed with its
//! explanation. "in flight 1" waits for every commit before it sends the next batch, as a chain does; more in flight is the pipeline.

use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use engine::Event;
use engine::event::*;
use journal::{Batch, Durability, Entry, Options, Writer};
use model::{ActionNo, AttemptNo, Digest, Epoch, Label, Money, Payload, Phase, RunId, Timestamp};
use serde_json::json;

const EXPLANATION: &str = r#"{"sites":[{"site":"on-premise","verdict":"chosen","why":"the cheapest of those that fit","compute":0.000031,"egress":0.0,"total":0.000031,"simulated":false},{"site":"cloud-a","verdict":"dearer","why":"0.000044 more","compute":0.000075,"egress":0.0,"total":0.000075,"simulated":true},{"site":"edge","verdict":"full","why":"needs 2 cores of 1","compute":0.0,"egress":0.0,"total":0.0,"simulated":true}]}"#;

struct Bench {
    writer: Writer,
    folder: std::path::PathBuf,
    runs: u64,
    clock: u64,
}

fn entry(run: u64, at: u64, event: Event) -> Entry {
    Entry { run: RunId(run), at: Timestamp(at), event }
}

fn submitted(run: u64, at: u64) -> Entry {
    let event = RunSubmitted {
        run: RunId(run),
        name: format!("chain-{run}"),
        project: "bench".into(),
        domain: "development".into(),
        workflow: "bench/chain".into(),
        graph: Digest::of(b"graph"),
        inputs: Payload::new(&[7; 32], json!({"n": run})),
        principal: "bench".into(),
        idempotency_key: None,
        origin: Origin::Submitted,
        reused: Vec::new(),
        priority: 0,
        label: Label::empty(),
        locations: Vec::new(),
        traceparent: None,
        behind: None,
        run_labels: None,
        concurrency: None,
        reused_items: None,
        salt: [7; 32],
        subject: None,
    };
    entry(run, at, Event::RunSubmitted(Box::new(event)))
}

fn opened(action: u32) -> Opened {
    Opened {
        action: ActionNo(action),
        role: Role::Node,
        scope: 0,
        node: action,
        input: Some(Payload::new(&[7; 32], json!({"n": action, "text": "forty-two bytes or so of an input"}))),
        label: Label::empty(),
        recall: None,
        path: format!("step-{action}"),
        kind: ActionKind::Use,
        instant: false,
    }
}

fn placed(run: u64, actions: std::ops::Range<u32>) -> Event {
    let actions = actions.map(|no| Placed { action: ActionNo(no), attempt: AttemptNo(1), awaits: Vec::new() }).collect();
    Event::ActionsPlaced(ActionsPlaced {
        run: RunId(run),
        site: "on-premise".into(),
        epoch: Epoch(1),
        actions,
        explanation: EXPLANATION.into(),
        worker: None,
    })
}

fn finished(run: u64, action: u32) -> Event {
    Event::AttemptFinished(Box::new(AttemptFinished {
        run: RunId(run),
        action: ActionNo(action),
        attempt: AttemptNo(1),
        phase: Phase::Succeeded,
        output: Some(Payload::new(&[7; 32], json!({"value": action, "text": "and of an output"}))),
        failure: None,
        usage: Usage { wall_us: 1_500, cpu_us: 900, ..Usage::default() },
        cost: Money(12),
        retry_at: None,
        locations: Vec::new(),
        memory_bytes: None,
    }))
}

/// Bytes that this process has handed to the disk.
fn written() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    io.lines().find_map(|line| line.strip_prefix("write_bytes: ")?.parse().ok()).unwrap_or(0)
}

type Acks = Receiver<Result<journal::Appended, journal::JournalError>>;

impl Bench {
    fn send(&self, entries: Vec<Entry>) -> Acks {
        let (sender, receiver) = channel();
        let durable = Box::new(move |result| drop(sender.send(result)));
        self.writer.append(Batch { entries, graphs: Vec::new(), durable }).expect("the writer has stopped");
        receiver
    }

    fn submit(&mut self, count: usize) -> Vec<u64> {
        let first = self.runs + 1;
        self.runs += count as u64;
        let runs: Vec<u64> = (first..=self.runs).collect();
        let entries = runs.iter().flat_map(|run| {
            let open = Event::ActionsOpened(ActionsOpened { run: RunId(*run), actions: vec![opened(0)] });
            [submitted(*run, self.clock), entry(*run, self.clock, open), entry(*run, self.clock, placed(*run, 0..1))]
        });
        self.send(entries.collect()).recv().expect("an answer").expect("a commit");
        runs
    }

    /// One step of each run.
    fn step(&mut self, runs: &[u64], step: u32) -> Vec<Entry> {
        self.clock += 1_000;
        let at = self.clock;
        let entries = runs.iter().flat_map(|run| {
            let open = Event::ActionsOpened(ActionsOpened { run: RunId(*run), actions: vec![opened(step + 1)] });
            [entry(*run, at, finished(*run, step)), entry(*run, at, open), entry(*run, at, placed(*run, step + 1..step + 2))]
        });
        entries.collect()
    }

    fn measure(&mut self, steps: usize, in_flight: usize, time: Duration) {
        let groups: Vec<Vec<u64>> = (0..in_flight).map(|_| self.submit(steps)).collect();
        let mut waiting: std::collections::VecDeque<(Instant, Acks)> = Default::default();
        let (mut commits, mut times) = (0u64, Vec::new());
        let (before, start) = (written(), Instant::now());
        let mut done = |(sent, acks): (Instant, Acks)| {
            acks.recv().expect("an answer").expect("a commit");
            times.push(sent.elapsed());
        };
        for step in 0.. {
            for group in &groups {
                if waiting.len() >= in_flight {
                    done(waiting.pop_front().expect("one"));
                }
                let entries = self.step(group, step);
                waiting.push_back((Instant::now(), self.send(entries)));
                commits += 1;
            }
            if start.elapsed() > time {
                break;
            }
        }
        waiting.into_iter().for_each(&mut done);
        let seconds = start.elapsed().as_secs_f64();
        times.sort();
        let count = commits as f64 * steps as f64;
        println!(
            "{steps:>6} {in_flight:>9} {:>11.0} {:>11.0} {:>11.0} {:>9.0} {:>9.0} {:>10.0}",
            commits as f64 / seconds,
            count / seconds,
            3.0 * count / seconds,
            times[times.len() / 2].as_micros(),
            times[times.len() * 99 / 100].as_micros(),
            (written() - before) as f64 / count,
        );
    }

    /// A map of 1,000 items: opened and placed by one event each, finished in a few batches.
    fn bulk(&mut self, rounds: u32) {
        const ITEMS: u32 = 1_000;
        let (before, start) = (written(), Instant::now());
        for _ in 0..rounds {
            self.runs += 1;
            let (run, at) = (self.runs, self.clock);
            let open = Event::ActionsOpened(ActionsOpened { run: RunId(run), actions: (0..ITEMS).map(opened).collect() });
            let batch = vec![submitted(run, at), entry(run, at, open), entry(run, at, placed(run, 0..ITEMS))];
            self.send(batch).recv().expect("an answer").expect("a commit");
            let acks: Vec<Acks> = (0..ITEMS)
                .collect::<Vec<_>>()
                .chunks(250)
                .map(|part| self.send(part.iter().map(|no| entry(run, at, finished(run, *no))).collect()))
                .collect();
            acks.into_iter().for_each(|ack| {
                let _ = ack.recv().expect("an answer").expect("a commit");
            });
        }
        let steps = f64::from(rounds * ITEMS);
        println!(
            "\na map of {ITEMS} items: {:.1} ms, {:.0} steps/s, {:.0} bytes written a step",
            start.elapsed().as_secs_f64() * 1e3 / f64::from(rounds),
            steps / start.elapsed().as_secs_f64(),
            (written() - before) as f64 / steps,
        );
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let parent = arguments.next().map_or_else(std::env::temp_dir, Into::into);
    let seconds: f64 = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(1.5);
    let folder = parent.join(format!("append-bench-{}", std::process::id()));
    let relaxed = std::env::var_os("RELAXED").is_some();
    let durability = if relaxed { Durability::Relaxed } else { Durability::Full };
    let opened = journal::open(Options { path: folder.clone(), shard: 0, durability, keys: None }).expect("a journal");
    println!("in {}, {durability:?}", folder.display());
    println!(
        "{:>6} {:>9} {:>11} {:>11} {:>11} {:>9} {:>9} {:>10}",
        "steps", "in flight", "commits/s", "steps/s", "events/s", "p50 µs", "p99 µs", "bytes/step"
    );
    let mut bench = Bench { writer: opened.writer, folder, runs: 0, clock: 1_700_000_000_000_000 };
    for (steps, in_flight) in [(1, 1), (1, 16), (10, 1), (10, 4), (100, 1), (100, 4), (1_000, 1), (1_000, 4)] {
        bench.measure(steps, in_flight, Duration::from_secs_f64(seconds));
    }
    bench.bulk(10);
    let size: u64 =
        std::fs::read_dir(&bench.folder).expect("a folder").flatten().map(|file| file.metadata().map_or(0, |m| m.len())).sum();
    let stats = opened.reader.stats().expect("counts");
    println!("{} entries, {} runs, {:.0} bytes of disk an entry", stats.entries, stats.runs, size as f64 / stats.entries as f64);
    let start = Instant::now();
    let report = journal::verify(&opened.reader).expect("a report");
    println!("verified in {:.2} s: {:?}", start.elapsed().as_secs_f64(), report.problems);
    let start = Instant::now();
    let mut replayed = 0;
    opened.reader.replay(|_, _, _| replayed += 1).expect("a replay");
    println!("{replayed} entries of open runs replayed in {:.2} s", start.elapsed().as_secs_f64());
    let memory = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    memory.lines().filter(|line| line.starts_with("VmHWM") || line.starts_with("VmRSS")).for_each(|line| println!("{line}"));
    let folder = bench.folder.clone();
    bench.writer.stop();
    // Nothing of a bench stays.
    let _ = std::fs::remove_dir_all(folder);
}
