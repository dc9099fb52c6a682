//! What a story is made of: small workflows, and commands about whatever there is at that moment.

use std::sync::Arc;

use model::{Duration, Graph};
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::json;
use testkit::{flow, step};

/// The pauses of every retry, first and longest.
pub(super) const BACKOFF: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(40));
/// The timeout of nodes that have one.
pub(super) const TIMEOUT: Duration = Duration::from_secs(600);
/// The sites.
pub(super) const SITES: [&str; 2] = ["a", "b"];

/// A workflow, as the reference reads it.
#[derive(Clone, Debug)]
pub(super) struct Spec {
    pub(super) nodes: Vec<NodeSpec>,
    /// Whether what runs may finish when a node has failed.
    pub(super) finishes: bool,
}

/// A node.
#[derive(Clone, Debug)]
pub(super) struct NodeSpec {
    pub(super) kind: Kind,
    /// Earlier nodes that it waits for; of those it `reads`, it needs an output.
    pub(super) waits_for: Vec<(usize, bool)>,
    /// What its condition comes to, when it has one.
    pub(super) condition: Option<bool>,
}

/// What a node is.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Work { work: Work, once: bool },
    Each { items: u32, at_once: u32, go_on: bool, work: Work },
    Signal,
}

/// Work that is placed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Work {
    pub(super) retries: u32,
    pub(super) times_out: bool,
    /// With how many retries it is undone.
    pub(super) undo: Option<u32>,
}

/// How an attempt ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ends {
    Well,
    Badly,
    ForGood,
    NodeLost,
    Aborted,
}

/// A command. What it is about is chosen among what there is.
#[derive(Clone, Debug)]
pub(super) enum Order {
    Submit {
        graph: Index,
        key: Option<u8>,
    },
    Rerun {
        of: Index,
    },
    Report {
        attempt: Index,
        ends: Ends,
    },
    /// Of an attempt that has ended, or of an attempt that never was.
    Late {
        attempt: Index,
        ahead: bool,
        ends: Ends,
    },
    /// Of a running attempt, by somebody without a mandate: of an earlier epoch or of one to come.
    Foreign {
        attempt: Index,
        ahead: bool,
        ends: Ends,
    },
    Cancel(Index),
    Pause(Index),
    Resume(Index),
    Signal {
        run: Index,
        node: Index,
    },
    Spawn {
        parent: Index,
        retries: u32,
    },
    /// A question to a person, which is asked by something at work.
    Ask {
        parent: Index,
    },
    Answer(Index),
    /// Lets go of the process of something at work; `later` when it is looked at a moment after what it was told last.
    Suspend {
        attempt: Index,
        later: bool,
    },
    Stop(Index),
    Cordon(usize),
    Uncordon(usize),
    Drain(usize),
    Health(usize, bool),
    Wait(u64),
    Restart,
}

/// Some workflows, and what happens to them.
#[derive(Clone, Debug)]
pub(super) struct Story {
    pub(super) specs: Vec<Spec>,
    pub(super) orders: Vec<Order>,
}

pub(super) fn stories() -> impl Strategy<Value = Story> {
    let specs = prop::collection::vec(spec(), 1..3);
    (specs, prop::collection::vec(order(), 1..70)).prop_map(|(specs, orders)| Story { specs, orders })
}

fn spec() -> impl Strategy<Value = Spec> {
    let nodes = prop::collection::vec((kind(), any::<u8>(), any::<u8>(), 0u8..8), 1..6);
    (nodes, prop::bool::weighted(0.2)).prop_map(|(nodes, finishes)| {
        let made = nodes.into_iter().enumerate().map(|(index, (kind, waits, reads, condition))| NodeSpec {
            kind,
            // Half of all pairs: both bits have to be set.
            waits_for: (0..index).filter(|other| waits >> other & 1 == 1).map(|other| (other, reads >> other & 1 == 1)).collect(),
            condition: match condition {
                0 => Some(false),
                1 => Some(true),
                _ => None,
            },
        });
        Spec { nodes: made.collect(), finishes }
    })
}

fn work() -> impl Strategy<Value = Work> {
    (0u32..3, prop::bool::weighted(0.3), prop::option::weighted(0.4, 0u32..2)).prop_map(|(retries, times_out, undo)| Work {
        retries,
        times_out,
        undo,
    })
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        6 => (work(), prop::bool::weighted(0.3)).prop_map(|(work, once)| Kind::Work { work, once }),
        3 => (0u32..5, 1u32..4, any::<bool>(), work())
            .prop_map(|(items, at_once, go_on, work)| Kind::Each { items, at_once, go_on, work }),
        1 => Just(Kind::Signal),
    ]
}

fn ends() -> impl Strategy<Value = Ends> {
    prop_oneof![
        8 => Just(Ends::Well),
        3 => Just(Ends::Badly),
        1 => Just(Ends::ForGood),
        1 => Just(Ends::NodeLost),
        2 => Just(Ends::Aborted),
    ]
}

fn order() -> impl Strategy<Value = Order> {
    let at = any::<Index>;
    let run = any::<Index>;
    prop_oneof![
        6 => (at(), prop::option::weighted(0.4, 0u8..3)).prop_map(|(graph, key)| Order::Submit { graph, key }),
        2 => run().prop_map(|of| Order::Rerun { of }),
        24 => (at(), ends()).prop_map(|(attempt, ends)| Order::Report { attempt, ends }),
        3 => (at(), any::<bool>(), ends()).prop_map(|(attempt, ahead, ends)| Order::Late { attempt, ahead, ends }),
        2 => (at(), any::<bool>(), ends()).prop_map(|(attempt, ahead, ends)| Order::Foreign { attempt, ahead, ends }),
        2 => run().prop_map(Order::Cancel),
        2 => run().prop_map(Order::Pause),
        3 => run().prop_map(Order::Resume),
        3 => (run(), at()).prop_map(|(run, node)| Order::Signal { run, node }),
        4 => (at(), 0u32..2).prop_map(|(parent, retries)| Order::Spawn { parent, retries }),
        4 => at().prop_map(|parent| Order::Ask { parent }),
        3 => at().prop_map(Order::Answer),
        5 => (at(), prop::bool::weighted(0.8)).prop_map(|(attempt, later)| Order::Suspend { attempt, later }),
        1 => at().prop_map(Order::Stop),
        1 => (0..SITES.len()).prop_map(Order::Cordon),
        3 => (0..SITES.len()).prop_map(Order::Uncordon),
        2 => (0..SITES.len()).prop_map(Order::Drain),
        1 => (0..SITES.len(), prop::bool::weighted(0.7)).prop_map(|(site, healthy)| Order::Health(site, healthy)),
        5 => prop_oneof![Just(1u64), Just(15), Just(45), Just(61), Just(700)].prop_map(Order::Wait),
        2 => Just(Order::Restart),
    ]
}

impl Spec {
    /// The same as a graph of the engine's.
    pub(super) fn graph(&self, number: usize) -> Arc<Graph> {
        let mut flow = flow(&format!("t/w{number}"));
        for (index, node) in self.nodes.iter().enumerate() {
            let id = name(index);
            let mut made = match &node.kind {
                Kind::Work { work, once } => {
                    let made = work.step(&id);
                    if *once { made.once(json!("key")) } else { made }
                }
                Kind::Each { items, at_once, go_on, work } => {
                    let items: Vec<u32> = (0..*items).collect();
                    let made = step(&id).each(json!(items), *at_once, work.step(&id));
                    if *go_on { made.goes_on() } else { made }
                }
                Kind::Signal => step(&id).waits(json!({ "signal": id })),
            };
            for (other, reads) in &node.waits_for {
                made = if *reads { made.reads(&[&name(*other)]) } else { made.after(&[&name(*other)]) };
            }
            if let Some(condition) = node.condition {
                made = made.when(if condition { "inputs.yes" } else { "inputs.no" });
            }
            flow = flow.step(made);
        }
        if self.finishes { flow.finishes_on_failure().build() } else { flow.build() }
    }
}

impl Work {
    fn step(self, id: &str) -> testkit::Step {
        let mut made = step(id).needs(1).retry(self.retries, BACKOFF.0, BACKOFF.1);
        if self.times_out {
            made = made.timeout(TIMEOUT);
        }
        match self.undo {
            Some(retries) => made.undo(json!({ "undoes": id })).undo_retry(retries),
            None => made,
        }
    }
}

/// The id of a node.
pub(super) fn name(index: usize) -> String {
    format!("n{index}")
}
