//! The reference: where every action has to be, by the documented rules and with the plainest means. It looks through everything at each
//! step, keeps no queues and no events, and shares no code with the engine. Two things it takes from the engine, and checks: which open
//! site was chosen, and how long a pause is within its bounds.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use engine::Event;
use model::{ActionNo, AttemptKey, AttemptNo, Phase, RunId, Timestamp};

use super::spec::{SITES, Spec, Work};

/// Rules that can be bent, to see whether it is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// What succeeded is undone first things first.
    UndoInOrder,
    /// Drained work is not repeated.
    DrainedIsLost,
    /// A paused run goes on placing.
    PausedPlaces,
    /// One repeat more than asked for.
    OneRetryMore,
    /// A map that goes on stops at the first failure.
    MapStops,
    /// Two work under one once key at a time.
    OnceTwice,
    /// A report without a mandate counts.
    ForeignCounts,
    /// The failure of a child is one of the run.
    ChildFails,
    /// A second submission with the same key is another run.
    KeyTwice,
    /// Orphans work on.
    OrphansStay,
    /// Attempts never run out of time.
    NoTimeouts,
    /// What was let go sleeps on when it has something to be told.
    SleepsOn,
    /// Processes are let go although something that they asked for is at work.
    LetGoBusy,
    /// Letting go costs a repeat.
    LetGoCosts,
}

impl Wrong {
    pub(super) const ALL: &[Wrong] = &[
        Wrong::UndoInOrder,
        Wrong::DrainedIsLost,
        Wrong::PausedPlaces,
        Wrong::OneRetryMore,
        Wrong::MapStops,
        Wrong::OnceTwice,
        Wrong::ForeignCounts,
        Wrong::ChildFails,
        Wrong::KeyTwice,
        Wrong::OrphansStay,
        Wrong::NoTimeouts,
        Wrong::SleepsOn,
        Wrong::LetGoBusy,
        Wrong::LetGoCosts,
    ];
}

/// Where an action is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum At {
    Queued,
    Running,
    Stopping(Why),
    Backoff,
    AwaitingTwin,
    Signal,
    /// A question, until somebody answers it.
    Person,
    /// Its process was let go.
    Suspended,
    Each {
        next: u32,
        running: u32,
    },
    Done(Phase),
}

/// Why an attempt is stopped, as far as it matters for what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    Unwanted,
    Timeout,
    Drained,
    Suspended,
}

/// What an action stands for.
#[derive(Clone, Debug)]
pub(super) enum Role {
    Node(usize),
    Item { map: String },
    Undo,
    Child { parent: String },
}

/// What is due for an action. It has one timer at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Retry,
    Timeout,
    Grace,
}

#[derive(Clone, Debug)]
pub(super) struct Action {
    pub(super) role: Role,
    pub(super) work: Work,
    pub(super) at: At,
    pub(super) number: ActionNo,
    pub(super) attempt: u32,
    pub(super) retries: u32,
    pub(super) system: u32,
    pub(super) site: Option<String>,
    pub(super) epoch: u64,
    pub(super) due: Option<(Timestamp, Due)>,
    /// When it last asked for something, or something of that ended.
    pub(super) told: Timestamp,
    /// How much of what it asked for was open when its process was let go.
    pub(super) let_go_with: usize,
}

/// What a run as a whole is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    Active,
    Failing,
    Cancelling,
    Undoing(Phase),
    Ended(Phase),
}

/// How a node came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settled {
    Well,
    Skipped,
    Badly,
}

#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) graph: usize,
    pub(super) spec: Rc<Spec>,
    pub(super) doing: Doing,
    pub(super) paused: bool,
    pub(super) trouble: bool,
    /// Whether everything was told to stop.
    pub(super) told: bool,
    pub(super) actions: BTreeMap<String, Action>,
    /// Their paths in the order in which they came into being.
    pub(super) order: Vec<String>,
    pub(super) settled: Vec<Option<Settled>>,
    pub(super) reused: BTreeSet<usize>,
    pub(super) signals: Vec<u32>,
    pub(super) succeeded: Vec<String>,
    pub(super) undo: VecDeque<String>,
    pub(super) undoing: Option<String>,
}

/// Who works under a once key, and who waits for that.
#[derive(Clone, Debug)]
pub(super) struct Holder {
    pub(super) holder: (RunId, String),
    pub(super) waiting: Vec<(RunId, String)>,
}

#[derive(Clone, Debug)]
pub(super) struct Site {
    pub(super) cordoned: bool,
    pub(super) healthy: bool,
}

/// What is taken from the events of the engine: numbers, sites, pauses.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) numbers: BTreeMap<(RunId, String), ActionNo>,
    pub(super) sites: BTreeMap<AttemptKey, String>,
    pub(super) repeats: BTreeMap<AttemptKey, Option<Timestamp>>,
}

impl Seen {
    pub(super) fn note(&mut self, events: &[Event]) {
        for event in events {
            match event {
                Event::ActionsOpened(e) => {
                    for opened in &e.actions {
                        self.numbers.insert((e.run, opened.path.clone()), opened.action);
                    }
                }
                Event::ChildOpened(e) => drop(self.numbers.insert((e.run, e.opened.path.clone()), e.opened.action)),
                Event::ActionsPlaced(e) => {
                    for placed in &e.actions {
                        let key = AttemptKey { run: e.run, action: placed.action, attempt: placed.attempt };
                        self.sites.insert(key, e.site.clone());
                    }
                }
                Event::AttemptFinished(e) => {
                    let key = AttemptKey { run: e.run, action: e.action, attempt: e.attempt };
                    self.repeats.insert(key, e.retry_at);
                }
                _ => {}
            }
        }
    }
}

/// Everything the reference knows.
pub(super) struct Reference {
    pub(super) wrong: Option<Wrong>,
    pub(super) now: Timestamp,
    pub(super) epoch: u64,
    pub(super) runs: BTreeMap<RunId, Run>,
    pub(super) sites: BTreeMap<&'static str, Site>,
    /// By graph and node.
    pub(super) once: BTreeMap<(usize, usize), Holder>,
    pub(super) kept: BTreeSet<(usize, usize)>,
    pub(super) keys: BTreeMap<u8, RunId>,
    /// Attempts that have ended.
    pub(super) past: Vec<AttemptKey>,
    /// Orders to begin that must have left.
    pub(super) ordered: usize,
}

impl Reference {
    pub(super) fn new(now: Timestamp, wrong: Option<Wrong>) -> Reference {
        let open = || Site { cordoned: false, healthy: true };
        Reference {
            wrong,
            now,
            epoch: 1,
            runs: BTreeMap::new(),
            sites: SITES.into_iter().map(|name| (name, open())).collect(),
            once: BTreeMap::new(),
            kept: BTreeSet::new(),
            keys: BTreeMap::new(),
            past: Vec::new(),
            ordered: 0,
        }
    }

    pub(super) fn is(&self, wrong: Wrong) -> bool {
        self.wrong == Some(wrong)
    }

    pub(super) fn run(&mut self, id: RunId) -> &mut Run {
        self.runs.get_mut(&id).expect("a run of the story")
    }

    pub(super) fn action(&mut self, id: RunId, path: &str) -> &mut Action {
        self.run(id).actions.get_mut(path).expect("an action of the story")
    }

    pub(super) fn is_open(&self, id: RunId) -> bool {
        self.runs.get(&id).is_some_and(|run| !matches!(run.doing, Doing::Ended(_)))
    }

    /// Every action with an attempt at work, by run and number.
    pub(super) fn at_work(&self) -> Vec<(RunId, String)> {
        let mut found = Vec::new();
        for (id, run) in &self.runs {
            let here = run.order.iter().filter(|path| matches!(run.actions[*path].at, At::Running | At::Stopping(_)));
            found.extend(here.map(|path| (*id, path.clone())));
        }
        found
    }

    pub(super) fn attempt(&self, id: RunId, path: &str) -> AttemptKey {
        let action = &self.runs[&id].actions[path];
        AttemptKey { run: id, action: action.number, attempt: AttemptNo(action.attempt) }
    }
}

impl Run {
    pub(super) fn new(graph: usize, spec: Rc<Spec>, reused: BTreeSet<usize>) -> Run {
        let count = spec.nodes.len();
        Run {
            graph,
            spec,
            doing: Doing::Active,
            paused: false,
            trouble: false,
            told: false,
            actions: BTreeMap::new(),
            order: Vec::new(),
            settled: vec![None; count],
            reused,
            signals: vec![0; count],
            succeeded: Vec::new(),
            undo: VecDeque::new(),
            undoing: None,
        }
    }

    pub(super) fn open(&self) -> usize {
        self.actions.values().filter(|action| !matches!(action.at, At::Done(_))).count()
    }

    /// How much is open of what an action asked for.
    pub(super) fn asked(&self, path: &str) -> usize {
        let open = |action: &&Action| {
            matches!(&action.role, Role::Child { parent } if parent == path) && !matches!(action.at, At::Done(_))
        };
        self.actions.values().filter(open).count()
    }

    /// Whether something below an action goes on by itself.
    pub(super) fn is_busy_below(&self, above: &str) -> bool {
        let waits = |at: &At| matches!(at, At::Done(_) | At::Person | At::Suspended | At::Signal | At::Each { .. });
        self.order.iter().any(|path| self.is_below(path, above) && !waits(&self.actions[path].at))
    }

    /// The action that an action belongs to.
    pub(super) fn parent(&self, path: &str) -> Option<&str> {
        match &self.actions[path].role {
            Role::Item { map } => Some(map),
            Role::Child { parent } => Some(parent),
            Role::Node(_) | Role::Undo => None,
        }
    }

    pub(super) fn is_below(&self, path: &str, above: &str) -> bool {
        let mut current = self.parent(path);
        while let Some(parent) = current {
            if parent == above {
                return true;
            }
            current = self.parent(parent);
        }
        false
    }
}
