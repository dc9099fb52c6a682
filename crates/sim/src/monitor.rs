//! The monitor: a second, independent account of what the events say, which finds every event that must not have happened. It knows the
//! rules and the graphs, and nothing of how the engine decides.

mod actions;
mod attempts;
mod labels;
mod runs;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use engine::Event;
use engine::event::RecallKind;
use model::{ActionKey, ActionNo, AttemptKey, Digest, Epoch, Graph, Label, Node, Phase, Resources, RunId, SiteSpec, Timestamp};

use crate::tags::{RULES, Tags, read_rules};

/// A rule that was broken: its name, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The rule, by the name it has in the documentation of the simulator.
    pub rule: &'static str,
    /// What happened.
    pub what: String,
}

pub(crate) type Checked = Result<(), Broken>;

pub(crate) fn broken<T>(rule: &'static str, what: impl Into<String>) -> Result<T, Broken> {
    Err(Broken { rule, what: what.into() })
}

/// Everything the monitor knows.
#[derive(Default)]
pub(crate) struct Monitor {
    pub(crate) graphs: BTreeMap<Digest, Arc<Graph>>,
    pub(crate) runs: BTreeMap<RunId, RunFacts>,
    pub(crate) sites: BTreeMap<String, SiteFacts>,
    pub(crate) epoch: Epoch,
    /// By project and key: which run.
    pub(crate) keys: BTreeMap<(String, String), RunId>,
    /// Successes that were no reuse, by project and once key.
    once: BTreeMap<(String, Digest), ActionKey>,
    /// Where and under which epoch each attempt was placed.
    pub(crate) placed: BTreeMap<AttemptKey, (String, Epoch)>,
    resources: BTreeMap<(String, String), u64>,
    /// Which tags must not go to which sites.
    rules: BTreeMap<String, Tags>,
    /// What artifacts were made from, and what they are labelled.
    made_from: BTreeMap<Digest, Tags>,
    labelled: BTreeMap<Digest, Label>,
    /// Those that were made in this step.
    unlabelled: BTreeSet<Digest>,
    /// Transfers of open runs.
    moving: BTreeSet<ActionKey>,
    last_at: Timestamp,
    /// Runs that something happened to since the last look.
    touched: BTreeSet<RunId>,
    drained: bool,
}

/// What is known of a site.
pub(crate) struct SiteFacts {
    pub(crate) spec: SiteSpec,
    pub(crate) cordoned: bool,
    pub(crate) drained: bool,
    pub(crate) healthy: bool,
    pub(crate) holds: BTreeMap<ActionKey, Resources>,
}

/// What is known of a run.
pub(crate) struct RunFacts {
    pub(crate) project: String,
    pub(crate) graph: Arc<Graph>,
    pub(crate) doing: Doing,
    pub(crate) paused: bool,
    pub(crate) submitted: Timestamp,
    pub(crate) actions: Vec<ActionFacts>,
    pub(crate) by_path: BTreeMap<String, ActionNo>,
    /// The sub-workflow action that each scope belongs to.
    scopes: BTreeMap<u32, Option<ActionNo>>,
    /// How nodes were settled, by scope and node: whether what waits for them may go on.
    settled: BTreeMap<(u32, u32), bool>,
    reused: BTreeSet<u32>,
    /// Actions with an undo, in order of success.
    succeeded: Vec<ActionNo>,
    undo: Vec<ActionNo>,
    undone: usize,
    pub(crate) open: usize,
    pub(crate) ended: Option<Phase>,
    signals: BTreeMap<String, u32>,
    inputs: serde_json::Value,
    /// The actions that nodes are, by scope and node.
    at_node: BTreeMap<(u32, u32), ActionNo>,
}

/// What a run as a whole is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doing {
    Active,
    Failing,
    Cancelling,
    Undoing,
}

/// What is known of an action.
pub(crate) struct ActionFacts {
    pub(crate) path: String,
    pub(crate) role: engine::event::Role,
    scope: u32,
    node_ix: u32,
    pub(crate) node: Arc<Node>,
    pub(crate) input: serde_json::Value,
    pub(crate) recall: Option<engine::event::RecallKey>,
    pub(crate) phase: At,
    /// The last attempt placed, from 1.
    pub(crate) attempt: u32,
    /// When it was opened, or began after a question about its key.
    pub(crate) began: Timestamp,
    /// When the current attempt was placed.
    placed_at: Timestamp,
    pub(crate) site: Option<String>,
    escalated: u32,
    escalated_at: Timestamp,
    open_items: u32,
    /// For an action that waits under a once key for another.
    pub(crate) output: Option<model::Payload>,
    /// What it could read.
    read: labels::Read,
}

/// Where an action is, as far as events tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    Open,
    Placed,
    Stopping,
    Backoff(Timestamp),
    Ended(Phase),
}

impl ActionFacts {
    pub(crate) fn is_open(&self) -> bool {
        !matches!(self.phase, At::Ended(_))
    }
}

impl Monitor {
    /// A monitor of an empty journal, over these graphs.
    pub(crate) fn new(graphs: BTreeMap<Digest, Arc<Graph>>) -> Monitor {
        Monitor { graphs, ..Monitor::default() }
    }

    /// Takes note of an event, or says which rule it breaks.
    pub(crate) fn note(&mut self, event: &Event, at: Timestamp) -> Checked {
        if at < self.last_at {
            return broken("time", format!("an entry of {} follows one of {}", at.0, self.last_at.0));
        }
        self.last_at = at;
        if let Some(run) = event.run() {
            self.touched.insert(run);
            if let Some(facts) = self.runs.get(&run)
                && facts.ended.is_some()
                && !matches!(event, Event::ReportIgnored(_))
            {
                return broken("I2 one end", format!("{event:?} after the end of run {run}"));
            }
        }
        match event {
            Event::RunSubmitted(e) => self.submitted(e, at),
            Event::RunCancelRequested(e) => self.doing(e.run, Doing::Cancelling),
            Event::RunFailing(e) => self.failing(e, at),
            Event::RunPaused(e) => self.paused(e.run, true),
            Event::RunResumed(e) => self.paused(e.run, false),
            Event::RunFinished(e) => self.finished(e),
            Event::CompensationStarted(e) => self.compensation(e),
            Event::NodesSkipped(e) => self.skipped(e),
            Event::SignalReceived(e) => self.signalled(e),
            Event::ActionsOpened(e) => self.opened(e, at),
            Event::ActionFinished(e) => self.action_finished(e, at),
            Event::HumanEscalated(e) => self.escalated(e, at),
            Event::RecallMissed(e) => self.began(e.run, e.action, at),
            Event::ActionsPlaced(e) => self.placed(e, at),
            Event::AttemptFinished(e) => self.attempt_finished(e, at),
            Event::RetryDue(e) => self.retry_due(e.run, e.action, at),
            Event::CancelRequested(e) => self.cancel_requested(e, at),
            Event::AttemptStarted(e) => self.started(e),
            Event::ArtifactsLabelled(e) => {
                self.artifacts_labelled(e);
                Ok(())
            }
            Event::EpochBegan(e) => {
                if e.epoch.0 != self.epoch.0 + 1 {
                    return broken("I6 epochs", format!("epoch {} follows epoch {}", e.epoch, self.epoch));
                }
                self.epoch = e.epoch;
                Ok(())
            }
            _ => self.fleet(event),
        }
    }

    fn fleet(&mut self, event: &Event) -> Checked {
        match event {
            Event::SiteRegistered(e) => {
                let spec = e.site.clone();
                match self.sites.get_mut(&spec.name) {
                    Some(site) => site.spec = spec,
                    None => {
                        let holds = BTreeMap::new();
                        let facts = SiteFacts { spec, cordoned: false, drained: false, healthy: true, holds };
                        self.sites.insert(e.site.name.clone(), facts);
                    }
                }
            }
            Event::SiteRemoved(e) => {
                let busy = self.sites.remove(&e.site).is_some_and(|site| !site.holds.is_empty());
                if busy {
                    return broken("sites", format!("`{}` was removed while work ran there", e.site));
                }
            }
            Event::SiteCordoned(e) => self.site(&e.site, |site| (site.cordoned, site.drained) = (true, false)),
            Event::SiteUncordoned(e) => self.site(&e.site, |site| (site.cordoned, site.drained) = (false, false)),
            Event::SiteDrained(e) => {
                self.drained = true;
                self.site(&e.site, |site| (site.cordoned, site.drained) = (true, true));
            }
            Event::SiteHealthChanged(e) => self.site(&e.site, |site| site.healthy = e.healthy),
            Event::ResourceApplied(e) => {
                let version = self.resources.entry((e.kind.clone(), e.name.clone())).or_default();
                if e.version != *version + 1 {
                    return broken("resources", format!("version {} of {} follows {version}", e.version, e.name));
                }
                *version = e.version;
                if e.kind == RULES {
                    self.rules = read_rules(e.body.value());
                }
            }
            Event::ResourceDeleted(e) => {
                if e.kind == RULES {
                    self.rules.clear();
                }
                self.resources.remove(&(e.kind.clone(), e.name.clone()));
            }
            _ => {}
        }
        Ok(())
    }

    fn site(&mut self, name: &str, change: impl FnOnce(&mut SiteFacts)) {
        if let Some(site) = self.sites.get_mut(name) {
            change(site);
        }
    }

    /// What has to hold at the end of a step, over the runs it touched.
    pub(crate) fn settled(&mut self) -> Checked {
        self.check_artifacts()?;
        for run in std::mem::take(&mut self.touched) {
            let Some(facts) = self.runs.get(&run) else { continue };
            if facts.ended.is_none() {
                facts.check(run)?;
            }
        }
        if std::mem::take(&mut self.drained) {
            for site in self.sites.values().filter(|site| site.drained) {
                for key in site.holds.keys() {
                    let Some(action) = self.action(*key) else { continue };
                    if action.phase == At::Placed {
                        return broken("drain", format!("`{}` still runs at `{}`", action.path, site.spec.name));
                    }
                }
            }
        }
        Ok(())
    }

    pub(crate) fn action(&self, key: ActionKey) -> Option<&ActionFacts> {
        self.runs.get(&key.run)?.actions.get(key.action.0 as usize)
    }

    /// Runs that have not ended.
    pub(crate) fn open_runs(&self) -> impl Iterator<Item = (RunId, &RunFacts)> {
        self.runs.iter().filter(|(_, run)| run.ended.is_none()).map(|(id, run)| (*id, run))
    }

    /// Whether what an action did was undone.
    pub(crate) fn is_undone(&self, key: ActionKey) -> bool {
        let undoes = |action: &ActionFacts| matches!(action.role, engine::event::Role::Undo { of } if of == key.action);
        let done = |action: &ActionFacts| undoes(action) && action.phase == At::Ended(Phase::Succeeded);
        self.runs.get(&key.run).is_some_and(|run| run.actions.iter().any(done))
    }

    /// Notes a success that was no reuse, under its once key.
    fn note_once(&mut self, key: ActionKey) -> Checked {
        let Some(run) = self.runs.get(&key.run) else { return Ok(()) };
        let Some(action) = run.actions.get(key.action.0 as usize) else { return Ok(()) };
        let Some(recall) = action.recall.as_ref().filter(|recall| recall.kind == RecallKind::Once) else { return Ok(()) };
        let place = (run.project.clone(), recall.key);
        match self.once.insert(place, key) {
            Some(other) if other != key && !self.is_undone(other) => {
                broken("once", format!("`{}` ({key}) and {other} succeeded under one once key", action.path))
            }
            _ => Ok(()),
        }
    }
}
