//! How much the database does for a run: counted in steps of its machine, since time would say something else on every machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;

use engine::Event;
use engine::event::{
    ActionKind, ActionsOpened, ActionsPlaced, AttemptFinished, Opened, Origin, Placed, Role, RunFinished, RunSubmitted, Usage,
};
use model::{ActionNo, AttemptNo, Digest, Epoch, Label, Money, Payload, Phase, RunId, Timestamp};
use serde_json::json;

use super::{Batch, Entry, Writer};
use crate::schema;

/// Runs that are counted together.
const RUNS: u64 = 100;

fn payload(run: u64) -> Option<Payload> {
    Some(Payload::new(&[7; 32], json!({ "n": run })))
}

fn submitted(run: RunId) -> Event {
    Event::RunSubmitted(Box::new(RunSubmitted {
        run,
        name: format!("short-{}", run.0),
        project: "test".into(),
        domain: "development".into(),
        workflow: "test/short".into(),
        graph: Digest::of(b"graph"),
        inputs: Payload::new(&[7; 32], json!({})),
        principal: "tester".into(),
        idempotency_key: Some(format!("{}", Digest::of(&run.0.to_le_bytes()))),
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
    }))
}

fn opened(number: u32) -> Opened {
    Opened {
        action: ActionNo(number),
        role: Role::Node,
        scope: 0,
        node: number,
        input: payload(1),
        label: Label::empty(),
        recall: None,
        path: format!("s{number}"),
        kind: ActionKind::Use,
        instant: false,
    }
}

/// A run of three actions, each placed and ended.
fn a_run(number: u64) -> Vec<Entry> {
    let run = RunId(number);
    let mut events = vec![submitted(run)];
    for number in 0..3 {
        let (action, attempt) = (ActionNo(number), AttemptNo(1));
        events.push(Event::ActionsOpened(ActionsOpened { run, actions: vec![opened(number)] }));
        events.push(Event::ActionsPlaced(ActionsPlaced {
            run,
            site: "a".into(),
            epoch: Epoch(1),
            actions: vec![Placed { action, attempt, awaits: Vec::new() }],
            explanation: "{}".into(),
            worker: None,
        }));
        events.push(Event::AttemptFinished(Box::new(AttemptFinished {
            run,
            action,
            attempt,
            phase: Phase::Succeeded,
            output: payload(run.0),
            failure: None,
            usage: Usage::default(),
            cost: Money(1),
            retry_at: None,
            locations: Vec::new(),
            memory_bytes: None,
        })));
    }
    let (outputs, cost) = (payload(run.0), Money(3));
    events.push(Event::RunFinished(Box::new(RunFinished { run, phase: Phase::Succeeded, outputs, failure: None, cost })));
    let at = Timestamp(1_800_000_000_000_000 + number);
    events.into_iter().map(|event| Entry { run, at, event }).collect()
}

/// Writes each of these runs in a batch of its own, or all in one, and waits for the last.
fn write(writer: &Writer, runs: std::ops::Range<u64>, apart: bool) {
    let (sender, receiver) = channel();
    let append = |entries: Vec<Entry>| {
        let sender = sender.clone();
        let durable = Box::new(move |result: Result<_, _>| drop(sender.send(result)));
        writer.append(Batch { entries, graphs: Vec::new(), durable }).unwrap();
        receiver.recv().unwrap().unwrap();
    };
    if apart {
        runs.map(a_run).for_each(append);
    } else {
        append(runs.flat_map(a_run).collect());
    }
}

#[test]
fn a_run_takes_as_many_steps_behind_a_long_journal_as_behind_a_short_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut connection = schema::open_to_write(&folder.path().join(schema::FILE), schema::Durability::Relaxed).unwrap();
    let steps = Arc::new(AtomicU64::new(0));
    let counted = steps.clone();
    let count = move || {
        counted.fetch_add(1, Ordering::Relaxed);
        false
    };
    connection.progress_handler(1, Some(count)).unwrap();
    let writer = Writer::start(connection, 0, None).unwrap();
    let taken = |runs: std::ops::Range<u64>| {
        let before = steps.load(Ordering::Relaxed);
        write(&writer, runs, true);
        steps.load(Ordering::Relaxed) - before
    };
    // What is prepared once is prepared by then.
    taken(1..RUNS);
    let early = taken(RUNS..2 * RUNS);
    for first in (2..50).map(|hundred| hundred * RUNS) {
        write(&writer, first..first + RUNS, false);
    }
    let late = taken(50 * RUNS..51 * RUNS);
    assert!(early > RUNS, "nothing was counted");
    assert_eq!(late, early, "of {RUNS} runs");
}
