//! Made-up stories of runs: random from a seed, in an order that an engine could have recorded.

use std::sync::Arc;
use std::sync::mpsc::channel;

use engine::Event;
use engine::event::*;
use journal::{Appended, Batch, Durability, Entry, JournalError, Options, Writer};
use model::site::ExecutorKind;
use model::{
    ActionNo, AttemptNo, Digest, Epoch, Failure, FailureClass, Graph, Label, Money, Node, Payload, Phase, Resources, RunId,
    SiteSpec, Timestamp,
};
use serde_json::json;

/// Random numbers that are the same for the same seed.
#[derive(Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 11) % end.max(1)
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

pub(crate) fn options(path: &std::path::Path) -> Options {
    Options { path: path.to_owned(), shard: 0, durability: Durability::Full, keys: None }
}

pub(crate) fn graph() -> Arc<Graph> {
    let nodes = (0..4).map(|number| Node { id: format!("n{number}"), ..Node::default() }).collect();
    Arc::new(Graph { workflow: "test/story".into(), nodes, ..Graph::default() })
}

pub(crate) fn salt(run: u64) -> [u8; 32] {
    Digest::of(&run.to_be_bytes()).0
}

/// A value that can be looked for in files: it is in nothing but the body.
pub(crate) fn secret(run: u64) -> String {
    format!("secret-of-run-{run:06}-and-of-no-other")
}

pub(crate) fn submitted(run: u64, key: Option<String>) -> Event {
    Event::RunSubmitted(Box::new(RunSubmitted {
        run: RunId(run),
        name: format!("story-{run}"),
        project: "test".into(),
        domain: "development".into(),
        workflow: "test/story".into(),
        graph: graph().digest(),
        inputs: Payload::new(&salt(run), json!({ "patient": secret(run) })),
        principal: "tester".into(),
        idempotency_key: key,
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
        salt: salt(run),
        subject: None,
    }))
}

pub(crate) fn finished(run: u64, phase: Phase) -> Event {
    Event::RunFinished(Box::new(RunFinished {
        run: RunId(run),
        phase,
        outputs: (phase == Phase::Succeeded).then(|| Payload::new(&salt(run), json!({ "result": secret(run) }))),
        failure: (phase != Phase::Succeeded).then(|| Failure::new(FailureClass::User, "it exited with 1")),
        cost: Money(5),
    }))
}

fn site(name: &str) -> Event {
    let site = SiteSpec {
        name: name.into(),
        executor: ExecutorKind::Local,
        capacity: Resources::default(),
        attributes: Default::default(),
        prices: Default::default(),
        simulates: None,
        sandbox: None,
        store: None,
    };
    Event::SiteRegistered(Box::new(SiteRegistered { site, principal: "tester".into() }))
}

/// Tells stories, one fact at a time.
pub(crate) struct Teller {
    pub(crate) dice: Dice,
    pub(crate) at: u64,
    runs: u64,
    /// Open runs: number, actions opened, actions that have ended.
    open: Vec<(u64, Vec<(u32, u32, bool)>)>,
    opening: Vec<Event>,
}

impl Teller {
    pub(crate) fn new(seed: u64) -> Teller {
        let begun = Event::EpochBegan(EpochBegan { epoch: Epoch(1), version: "test".into(), ticket_key: None });
        Teller {
            dice: Dice::new(seed),
            at: 1_800_000_000_000_000,
            runs: 0,
            open: Vec::new(),
            opening: vec![site("b"), site("a"), begun],
        }
    }

    /// The next fact.
    pub(crate) fn next(&mut self) -> Entry {
        self.at += self.dice.below(3);
        let event = match self.opening.pop() {
            Some(event) => event,
            None if self.open.is_empty() || self.dice.one_in(12) => self.submit(),
            None if self.dice.one_in(15) => self.of_the_fleet(),
            None => self.of_a_run(),
        };
        Entry { run: event.run().unwrap_or(RunId::FLEET), at: Timestamp(self.at), event }
    }

    pub(crate) fn entries(&mut self, count: usize) -> Vec<Entry> {
        (0..count).map(|_| self.next()).collect()
    }

    fn submit(&mut self) -> Event {
        self.runs += 1;
        self.open.push((self.runs, Vec::new()));
        let key = self.dice.one_in(2).then(|| format!("key-{}", self.runs));
        submitted(self.runs, key)
    }

    fn of_the_fleet(&mut self) -> Event {
        let named = |site: &str| SiteNamed { site: site.into(), principal: "tester".into() };
        let name = if self.dice.one_in(2) { "a" } else { "b" };
        match self.dice.below(9) {
            0 => Event::SiteCordoned(named(name)),
            1 => Event::SiteUncordoned(named(name)),
            2 => Event::SiteDrained(named(name)),
            3 => {
                let reason = format!("probe {}", self.at);
                Event::SiteHealthChanged(SiteHealthChanged { site: name.into(), healthy: self.dice.one_in(2), reason })
            }
            4 => Event::ResourceApplied(Box::new(ResourceApplied {
                kind: "workflow".into(),
                name: format!("test/{name}"),
                version: self.at,
                body: Payload::new(&[0; 32], json!({ "text": self.at })),
                principal: "tester".into(),
            })),
            5 => {
                let (kind, name) = ("workflow".into(), format!("test/{name}"));
                Event::ResourceDeleted(ResourceDeleted { kind, name, principal: "tester".into() })
            }
            6 => Event::BodiesPruned(BodiesPruned { before: Timestamp(self.at), runs: 1, principal: "tester".into() }),
            7 => site(name),
            _ => {
                let due = Timestamp(self.at + self.dice.below(5));
                Event::TriggerFired(Box::new(TriggerFired {
                    trigger: name.into(),
                    due,
                    run: None,
                    missed: 1,
                    left_out: Some(LeftOut::StillRuns),
                }))
            }
        }
    }

    fn of_a_run(&mut self) -> Event {
        let which = self.dice.below(self.open.len() as u64) as usize;
        let (number, mut actions) = self.open.swap_remove(which);
        let event = self.fact_of(number, &mut actions);
        if !matches!(event, Event::RunFinished(_)) {
            self.open.push((number, actions));
        }
        event
    }

    fn fact_of(&mut self, number: u64, actions: &mut Vec<(u32, u32, bool)>) -> Event {
        let run = RunId(number);
        if actions.is_empty() || self.dice.one_in(8) {
            let first = actions.len() as u32;
            let count = 1 + self.dice.below(3) as u32;
            actions.extend((first..first + count).map(|no| (no, 0, false)));
            let opened = (first..first + count).map(|no| self.opened(number, no)).collect();
            return Event::ActionsOpened(ActionsOpened { run, actions: opened });
        }
        let Some(index) = actions.iter().position(|(_, _, ended)| !ended) else {
            let phases = [Phase::Succeeded, Phase::Failed, Phase::Aborted];
            return finished(number, phases[self.dice.below(3) as usize]);
        };
        let index = (index + self.dice.below(2) as usize).min(actions.len() - 1);
        let (no, attempt, ended) = &mut actions[index];
        let action = ActionNo(*no);
        match self.dice.below(12) {
            0..3 => {
                *attempt += 1;
                self.placed(run, action, *attempt)
            }
            3 => {
                Event::ActionsParked(ActionsParked { run, actions: vec![action], explanation: format!("no room at {}", self.at) })
            }
            4 => {
                let host = format!("process {}", self.at);
                Event::AttemptStarted(AttemptStarted { run, action, attempt: AttemptNo(*attempt), host })
            }
            5 => Event::RetryDue(ActionRef { run, action }),
            6 => Event::HumanEscalated(HumanEscalated { run, action, step: *attempt }),
            7 if !*ended => {
                *ended = true;
                let why = CancelReason::RunFailing;
                Event::CancelRequested(CancelRequested { run, actions: vec![], why, ended: vec![action] })
            }
            8 => self.kept(number, action),
            9 if self.dice.one_in(3) => Event::RunPaused(ByWhom { run, principal: "tester".into() }),
            9 => Event::RunFailing(RunFailing { run, action: None, failure: Failure::new(FailureClass::Oom, "too large") }),
            10 if !*ended => {
                *ended = true;
                Event::ActionFinished(Box::new(ActionFinished {
                    run,
                    action,
                    phase: Phase::Succeeded,
                    output: Some(Payload::new(&salt(number), json!({ "reused": secret(number) }))),
                    failure: None,
                    reused: self.dice.one_in(2),
                    locations: Vec::new(),
                }))
            }
            _ if !*ended => {
                let retry = self.dice.one_in(2);
                *ended = !retry;
                self.attempt_finished(number, action, *attempt, retry)
            }
            _ => Event::ReportIgnored(ReportIgnored { run, action, attempt: AttemptNo(*attempt), phase: Phase::Failed }),
        }
    }

    fn opened(&mut self, run: u64, no: u32) -> Opened {
        let kinds = [ActionKind::Use, ActionKind::Human, ActionKind::Each, ActionKind::Run];
        Opened {
            action: ActionNo(no),
            role: Role::Node,
            scope: 0,
            node: no,
            input: (!self.dice.one_in(3)).then(|| Payload::new(&salt(run), json!({ "input": secret(run), "of": no }))),
            label: Label::empty(),
            recall: None,
            path: format!("step[{no}]"),
            kind: kinds[self.dice.below(4) as usize],
            instant: false,
        }
    }

    fn placed(&mut self, run: RunId, action: ActionNo, attempt: u32) -> Event {
        let awaits = if self.dice.one_in(3) { vec![Digest::of(b"artifact")] } else { Vec::new() };
        Event::ActionsPlaced(ActionsPlaced {
            run,
            site: if self.dice.one_in(2) { "a" } else { "b" }.into(),
            epoch: Epoch(1),
            actions: vec![Placed { action, attempt: AttemptNo(attempt), awaits }],
            explanation: format!("{{\"chosen\": {}}}", self.dice.below(4)),
            worker: self.dice.one_in(3).then(|| "shop/price@1".to_owned()),
        })
    }

    fn kept(&mut self, run: u64, action: ActionNo) -> Event {
        let key = RecallKey { kind: RecallKind::Cache, key: Digest::of(&[self.dice.below(3) as u8]), max_age: None };
        let output = Payload::new(&salt(run), json!({ "kept": secret(run) }));
        Event::OutputKept(OutputKept { run: RunId(run), action, key, output, locations: Vec::new() })
    }

    fn attempt_finished(&mut self, run: u64, action: ActionNo, attempt: u32, retry: bool) -> Event {
        let failed = retry || self.dice.one_in(3);
        Event::AttemptFinished(Box::new(AttemptFinished {
            run: RunId(run),
            action,
            attempt: AttemptNo(attempt),
            phase: if failed { Phase::Failed } else { Phase::Succeeded },
            output: (!failed).then(|| Payload::new(&salt(run), json!({ "output": secret(run) }))),
            failure: failed.then(|| Failure::new(FailureClass::User, format!("it exited with {}", self.dice.below(3)))),
            // What a worker reports is not believed, but must not do harm either.
            usage: Usage {
                wall_us: self.dice.below(99),
                bytes_in: if self.dice.one_in(9) { u64::MAX } else { 7 },
                ..Usage::default()
            },
            cost: Money(self.dice.below(50) as i64),
            retry_at: retry.then(|| Timestamp(self.at + 1)),
            locations: Vec::new(),
            memory_bytes: None,
        }))
    }
}

/// Appends a batch and waits until it is durable, or is not.
pub(crate) fn append(writer: &Writer, entries: Vec<Entry>) -> Result<Appended, JournalError> {
    let (sender, receiver) = channel();
    let durable = Box::new(move |result| drop(sender.send(result)));
    let sent = writer.append(Batch { entries, graphs: vec![(graph().digest(), graph())], durable });
    sent.map_err(|closed| JournalError::Stopped(closed.to_string()))?;
    receiver.recv().unwrap()
}

/// A journal of random stories, in batches of random size.
pub(crate) fn filled(folder: &std::path::Path, seed: u64, count: usize) -> journal::Opened {
    let opened = journal::open(options(folder)).unwrap();
    let mut teller = Teller::new(seed);
    let mut left = count;
    while left > 0 {
        let size = (1 + teller.dice.below(20) as usize).min(left);
        left -= size;
        append(&opened.writer, teller.entries(size)).unwrap();
    }
    opened
}
