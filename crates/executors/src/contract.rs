//! What every executor has to pass: the suite that its tests run against it, on the real engine behind it or on an emulator.
//!
//! A [`Rig`] brings the executor up; [`contract_suite!`](crate::contract_suite) makes a test of every case. The attempts are `run` nodes with scripts for
//! `/bin/sh`, which tell the suite what they do through a folder that both can reach.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration as StdDuration, Instant};

use engine::Outcome;
use engine::event::Usage;
use model::{
    ActionNo, AttemptKey, AttemptNo, Duration, Epoch, Label, NodeKind, Resources, RunId, SignedTicket, Ticket, Timestamp,
};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use crate::tickets::{Authority, LIFETIME, task_digest};
use crate::{AttemptSpec, Executor, Observed, SubmitError};

mod cases;
pub use cases::*;

/// The longest that anything is waited for. What is waited for comes long before, or never.
const PATIENCE: StdDuration = StdDuration::from_secs(60);

/// The name of the site in the suite.
pub const SITE: &str = "here";

/// The control plane of the suite, as far as it signs. Executors are opened with its key.
pub fn authority() -> Authority {
    Authority::from_seed(&[7; 32]).expect("any seed is one")
}

/// A ticket for an order, good from now on.
pub fn ticket(spec: &AttemptSpec) -> SignedTicket {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("it is later than 1970");
    authority().sign(Ticket {
        attempt: spec.key,
        epoch: spec.epoch,
        site: SITE.into(),
        task: task_digest(spec),
        label: Label::empty(),
        secrets: Default::default(),
        egress: Default::default(),
        expires: Timestamp(now.as_micros() as u64).after(LIFETIME),
    })
}

/// Brings an executor up for tests.
pub trait Rig {
    /// Opens the executor, or opens it again on what is there. Called within a runtime.
    fn open(&self, observed: UnboundedSender<Observed>) -> Box<dyn Executor>;
    /// A folder that the suite and the attempts see under the same path.
    fn shared(&self) -> &Path;
}

/// A control plane as far as an executor sees one: from its start to its death.
pub struct Incarnation {
    // Dropped before the runtime that its tasks are on.
    executor: Option<Box<dyn Executor>>,
    observed: UnboundedReceiver<Observed>,
    seen: Vec<Observed>,
    runtime: Option<Runtime>,
    epoch: Epoch,
    shared: PathBuf,
}

/// How an attempt ended.
#[derive(Clone, Debug)]
pub struct End {
    /// The epoch of the order that was carried out.
    pub epoch: Epoch,
    /// How.
    pub outcome: Outcome,
    /// What it used.
    pub usage: Usage,
}

/// Waits until something holds.
#[track_caller]
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "{what} did not come to hold within {PATIENCE:?}");
        std::thread::park_timeout(StdDuration::from_millis(5));
    }
}

/// An attempt that no other case has.
pub fn fresh_key() -> AttemptKey {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    AttemptKey { run: RunId(7), action: ActionNo(number), attempt: AttemptNo(1) }
}

/// An order to run a script. In it `$SHARED` is the shared folder, and `mark NAME` leaves a mark there each time it is run.
pub fn script(key: AttemptKey, epoch: u64, shared: &Path, text: &str) -> AttemptSpec {
    let text = format!("mark() {{ echo $$ >> \"$SHARED/{key}.$1\"; }}\n{text}");
    AttemptSpec {
        key,
        epoch: Epoch(epoch),
        kind: NodeKind::Run { image: None, code: Vec::new() },
        input: json!({ "script": text, "env": { "SHARED": shared } }),
        outputs: Vec::new(),
        resources: Resources::default(),
        timeout: None,
        environment: Vec::new(),
        idempotency_key: format!("contract/{key}"),
        shown: Vec::new(),
        writable: Vec::new(),
        unboxed: false,
        secrets: Vec::new(),
        host: None,
    }
}

impl Incarnation {
    /// A control plane starts.
    pub fn start(rig: &dyn Rig, epoch: u64) -> Incarnation {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        let (sender, observed) = tokio::sync::mpsc::unbounded_channel();
        let executor = {
            let _inside = runtime.enter();
            rig.open(sender)
        };
        Incarnation {
            executor: Some(executor),
            observed,
            seen: Vec::new(),
            runtime: Some(runtime),
            epoch: Epoch(epoch),
            shared: rig.shared().to_owned(),
        }
    }

    /// It dies: its tasks stop wherever they are. What it is in the middle of writing it may finish, as a killed process may.
    pub fn die(mut self) {
        self.kill();
    }

    fn kill(&mut self) {
        drop(self.executor.take());
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(PATIENCE);
        }
    }

    /// The executor.
    pub fn executor(&self) -> &dyn Executor {
        self.executor.as_deref().expect("it lives")
    }

    /// Waits for an answer of the executor.
    pub fn ask<T>(&self, answer: impl Future<Output = T>) -> T {
        self.runtime.as_ref().expect("it lives").block_on(answer)
    }

    /// Orders a script; gives its attempt.
    pub fn run(&self, text: &str) -> AttemptKey {
        let key = fresh_key();
        self.order(key, text);
        key
    }

    /// Orders a script as a given attempt.
    pub fn order(&self, key: AttemptKey, text: &str) {
        let spec = script(key, self.epoch.0, &self.shared, text);
        self.submit(spec).expect("the order is taken");
    }

    /// Gives an order with a ticket for it.
    pub fn submit(&self, spec: AttemptSpec) -> Result<(), SubmitError> {
        let ticket = ticket(&spec);
        self.ask(self.executor().submit(spec, ticket))
    }

    fn next(&mut self) -> Observed {
        let runtime = self.runtime.as_ref().expect("it lives");
        let next = runtime.block_on(async { tokio::time::timeout(PATIENCE, self.observed.recv()).await });
        let next = next.expect("something is observed").expect("the executor lives");
        self.seen.push(next.clone());
        next
    }

    /// Waits until an attempt is reported as finished anew.
    pub fn end_of(&mut self, key: AttemptKey) -> End {
        loop {
            if let Observed::Finished { key: ended, epoch, outcome, usage, .. } = self.next()
                && ended == key
            {
                return End { epoch, outcome, usage };
            }
        }
    }

    /// How an attempt ended: as it was reported first, whenever that was.
    pub fn first_end_of(&mut self, wanted: AttemptKey) -> End {
        let found = self.seen.iter().find_map(|seen| match seen {
            Observed::Finished { key, epoch, outcome, usage, .. } if *key == wanted => {
                Some(End { epoch: *epoch, outcome: outcome.clone(), usage: *usage })
            }
            _ => None,
        });
        found.unwrap_or_else(|| self.end_of(wanted))
    }

    /// The process ids that left a mark.
    pub fn marks(&self, key: AttemptKey, name: &str) -> Vec<u32> {
        let text = std::fs::read_to_string(self.shared.join(format!("{key}.{name}"))).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// Waits for a mark.
    #[track_caller]
    pub fn until_marked(&self, key: AttemptKey, name: &str) {
        until(&format!("the mark {name} of {key}"), || !self.marks(key, name).is_empty());
    }

    /// Lets a script go on that waits with [`GATE`].
    pub fn open_gate(&self, key: AttemptKey) {
        std::fs::write(self.shared.join(format!("{key}.gate")), "").expect("the shared folder can be written");
    }

    /// The text of a stream from an offset on, as far as it is there.
    pub fn log(&self, key: AttemptKey, stream: crate::Stream, offset: u64) -> crate::LogChunk {
        self.ask(self.executor().logs(key, stream, offset, 1 << 20)).expect("logs can be read")
    }

    /// Where an attempt is, when the executor holds something of it.
    pub fn owned(&self, wanted: AttemptKey) -> Option<crate::OwnedPhase> {
        let owned = self.ask(self.executor().list_owned()).expect("the list can be had");
        owned.into_iter().find(|owned| owned.key == wanted).map(|owned| owned.phase)
    }
}

impl Drop for Incarnation {
    fn drop(&mut self) {
        self.kill();
    }
}

impl End {
    /// The output of an attempt that succeeded.
    #[track_caller]
    pub fn output(&self) -> &Value {
        match &self.outcome {
            Outcome::Succeeded(output) => output,
            other => panic!("it did not succeed: {other:?}"),
        }
    }

    /// The failure of an attempt that failed.
    #[track_caller]
    pub fn failure(&self) -> &model::Failure {
        match &self.outcome {
            Outcome::Failed(failure) => failure,
            other => panic!("it did not fail: {other:?}"),
        }
    }
}

/// A script that says it runs, waits for the gate, and gives a number.
pub fn gated(key: AttemptKey) -> String {
    format!(
        "mark ran; echo began; while [ ! -e \"$SHARED/{key}.gate\" ]; do sleep 0.02 || :; done; echo ended\n\
         echo '{{\"n\": 42}}' > \"$TUTTI_OUTPUT\""
    )
}

/// What a cancellation gives a process to end by itself.
pub const GRACE: Duration = Duration::from_secs(20);

/// Makes a test of every case of the contract for a rig.
#[macro_export]
macro_rules! contract_suite {
    ($rig:expr) => {
        $crate::contract_suite!(@ $rig;
            orders_given_twice_run_once, a_response_that_was_lost, deaths_in_every_phase, outcomes_are_reported_until_released,
            cancelling_what_runs, cancelling_what_is_unknown, cancelling_races_with_the_end, cancelling_after_a_restart,
            a_process_that_does_not_listen_is_killed, logs_go_on_where_they_were_left, stale_orders_are_refused,
            the_first_outcome_stays, what_is_released_is_gone, orphans_are_found_and_ended, capacity_is_told,
            what_cannot_run_is_rejected, orders_without_a_good_ticket_are_refused, a_used_ticket_begins_nothing, usage_is_measured, failures_have_their_class);
    };
    (@ $rig:expr; $($case:ident),*) => {
        $(
            #[test]
            fn $case() {
                $crate::contract::$case(&$rig);
            }
        )*
    };
}
