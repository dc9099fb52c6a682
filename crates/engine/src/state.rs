//! The state of a shard: its open runs, its fleet, what is due, and what the shell has to do.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use model::{ActionKey, AttemptKey, Digest, Graph, Label, Needs, Resources, RunId, Timestamp};

use crate::decide::Stepper;
use crate::effect::RunNames;
use crate::event::Goal;
use crate::fleet::Fleet;
use crate::run::Run;
use crate::timer::Timers;
use crate::unit::Compiled;
use crate::{Command, Effect, Evaluate, Event, Rejection};

/// Closed runs whose names and keys are still remembered here, because the store may not have them yet.
const RECENT_RUNS_MAX: usize = 65_536;
/// Graphs kept although no open run uses them.
const IDLE_GRAPHS_MAX: usize = 1_024;

/// What a step may know beyond the state: everything that is not a function of the past comes in here.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The time of the command.
    pub now: Timestamp,
    /// Random bits of the command; jitter is made from them and recorded in the event.
    pub entropy: u64,
    /// Evaluates expressions.
    pub evaluator: &'a dyn Evaluate,
}

/// The outcome of a command.
#[derive(Clone, Debug, Default)]
pub struct Step {
    /// What happened, in order, already folded into the state.
    pub events: Vec<Event>,
    /// The run concerned, when there is one: for a submission the new or the already known run.
    pub run: Option<RunId>,
}

/// The state of a shard.
#[derive(Default)]
pub struct State {
    pub(crate) runs: BTreeMap<RunId, Run>,
    pub(crate) fleet: Fleet,
    pub(crate) timers: Timers,
    pub(crate) graphs: BTreeMap<Digest, Arc<Compiled>>,
    /// The highest run number given so far.
    pub(crate) last_run: u64,
    /// By the [`handle`] of project, domain and name.
    pub(crate) names: BTreeMap<Digest, RunId>,
    /// By the [`handle`] of project and idempotency key.
    pub(crate) keys: BTreeMap<Digest, RunId>,
    /// Actions that wait for an event, by its name.
    pub(crate) event_waits: BTreeMap<String, BTreeSet<ActionKey>>,
    /// Open runs by the trigger that started them.
    pub(crate) triggered: BTreeMap<Arc<str>, BTreeSet<RunId>>,
    /// By project and once key: who runs under it, and who waits for that.
    pub(crate) once: BTreeMap<(String, Digest), OnceHolder>,
    /// What lives only within a step or as a hint; never part of what a replay has to restore.
    pub(crate) passing: Passing,
}

/// Who holds a once key.
pub(crate) struct OnceHolder {
    pub(crate) holder: ActionKey,
    /// In the order in which they came.
    pub(crate) waiting: BTreeMap<u64, ActionKey>,
    pub(crate) place_of: BTreeMap<ActionKey, u64>,
    pub(crate) next: u64,
}

/// The numbers of places are of no consequence, only their order.
impl std::fmt::Debug for OnceHolder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} before ", self.holder)?;
        f.debug_list().entries(self.waiting.values()).finish()
    }
}

impl OnceHolder {
    pub(crate) fn new(holder: ActionKey) -> OnceHolder {
        OnceHolder { holder, waiting: BTreeMap::new(), place_of: BTreeMap::new(), next: 0 }
    }

    pub(crate) fn wait(&mut self, key: ActionKey) {
        if self.place_of.contains_key(&key) {
            return;
        }
        self.waiting.insert(self.next, key);
        self.place_of.insert(key, self.next);
        self.next += 1;
    }

    pub(crate) fn leave(&mut self, key: ActionKey) {
        if let Some(place) = self.place_of.remove(&key) {
            self.waiting.remove(&place);
        }
    }

    /// Makes the first who waits the holder.
    pub(crate) fn hand_over(&mut self) -> Option<ActionKey> {
        let (_, next) = self.waiting.pop_first()?;
        self.place_of.remove(&next);
        self.holder = next;
        Some(next)
    }
}

/// An action whose turn has come, since the one that held its once key has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Freed {
    pub(crate) waiting: ActionKey,
    /// Who held the key and succeeded; none when the key is free again.
    pub(crate) twin: Option<ActionKey>,
}

/// What lives only within a step or as a hint.
#[derive(Default)]
pub(crate) struct Passing {
    pub(crate) effects: Vec<Effect>,
    /// Runs in which something may have to follow.
    pub(crate) dirty: BTreeSet<RunId>,
    /// Actions whose twin under the same once key has ended.
    pub(crate) freed: VecDeque<Freed>,
    /// Whether parked actions are worth another look.
    pub(crate) room: bool,
    /// Parked actions that are looked at again and have not been given to the placer yet.
    pub(crate) heads: VecDeque<ActionKey>,
    /// What a repeat should ask for after a kill, as the shell knows it.
    pub(crate) memory_hint: Option<(ActionKey, u64)>,
    /// Graphs that were in use when idle ones were last forgotten.
    pub(crate) graphs_in_use: usize,
    /// By site: a calendar month, and the bytes that left it then. Closed runs had their part in it, so that a replay cannot restore it:
    /// the shell does, with [`State::count_sent`].
    pub(crate) sent: BTreeMap<String, (u32, u64)>,
    /// Closed runs of late, oldest first.
    pub(crate) recent: VecDeque<RecentRun>,
    /// Attempts whose data carry more than before, and what they carry now.
    pub(crate) grown: Vec<(AttemptKey, Label)>,
}

/// The names of a run that closed a moment ago.
pub(crate) struct RecentRun {
    pub(crate) name: Digest,
    /// The number that its name ends with.
    pub(crate) number: Option<u64>,
    pub(crate) key: Option<Digest>,
}

/// What stands for words by which a run is found. Tens of thousands are kept and none is ever read back: as texts they would take ten
/// times the memory, in small pieces that keep what lies between them from being given back.
pub(crate) fn handle<const N: usize>(words: [&str; N]) -> Digest {
    let mut bytes = Vec::with_capacity(128);
    for word in words {
        // With its length, so that no two lists of words are the same bytes.
        bytes.extend_from_slice(&(word.len() as u64).to_le_bytes());
        bytes.extend_from_slice(word.as_bytes());
    }
    Digest::of(&bytes)
}

/// Queued actions that are alike for the placer: same needs, same label, same artifacts at the same places.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The run.
    pub run: RunId,
    /// The actions, first come first.
    pub actions: Vec<ActionKey>,
    /// What each needs.
    pub needs: Needs,
    /// Their label.
    pub label: Label,
    /// The connector, the task, or `run`.
    pub work: String,
    /// Whether it is a connector that they use.
    pub uses: bool,
    /// The artifacts each reads, with their sizes and the sites that have a copy.
    pub inputs: Vec<InputArtifact>,
    /// The names of the run.
    pub names: Arc<RunNames>,
    /// The path of the first, without the numbers of items. Where there is but one site, actions of several nodes stand together.
    pub path: String,
    /// When the first came into the queue.
    pub queued_at: Timestamp,
    /// The priority of the run.
    pub priority: i32,
    /// When the run should be done.
    pub goal: Option<Goal>,
    /// The site that the run's plan names, and the seconds that are to follow.
    pub planned: Option<(String, u32)>,
    /// Who asked for them, when it was a running action.
    pub asked_by: Option<AskedBy>,
}

/// A running action that asked for others, and is told what they come to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AskedBy {
    /// What it runs.
    pub work: String,
    /// Where; none when it is nowhere at the moment.
    pub site: Option<Arc<str>>,
    /// What it carries.
    pub label: Label,
}

/// What is known of an action with an attempt, for whoever learns from how it ends.
#[derive(Clone, Debug)]
pub struct Glimpse {
    /// The names of the run.
    pub names: Arc<RunNames>,
    /// The path of the action, without the numbers of items.
    pub path: String,
    /// The connector, the task, or `run`.
    pub work: String,
    /// Where the attempt is; none when it is nowhere any more.
    pub site: Option<Arc<str>>,
    /// What it holds there, or would if it were at work.
    pub holds: Resources,
    /// Bytes of artifacts that it reads.
    pub bytes_in: u64,
    /// When it came into the queue, and when it was placed.
    pub queued_at: Timestamp,
    /// When it was placed.
    pub placed_at: Timestamp,
}

/// `score[3]/clean` as `score[]/clean`: what the items of a map have in common.
pub fn without_items(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    let mut inside = false;
    for c in path.chars() {
        inside = inside && c != ']';
        if !inside {
            out.push(c);
        }
        inside = inside || c == '[';
    }
    out
}

/// A file on its way to a site.
#[derive(Clone, Debug)]
pub struct Moving {
    /// The transfer.
    pub key: ActionKey,
    /// The names of its run.
    pub names: Arc<RunNames>,
    /// What runs that wants it.
    pub work: String,
    /// What that work can read.
    pub label: Label,
    /// Where it comes from.
    pub from: String,
    /// Where it goes.
    pub to: String,
}

/// An artifact that a candidate reads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct InputArtifact {
    /// The artifact.
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
    /// Sites with a copy.
    pub sites: Vec<String>,
}

/// The number that a name ends with, when it does.
pub(crate) fn number_at_end(name: &str) -> Option<u64> {
    name.rsplit_once('-')?.1.parse().ok()
}

impl State {
    /// An empty state whose next run is numbered after `last_run`: the highest number the store has ever given.
    pub fn new(last_run: u64) -> State {
        State { last_run, ..State::default() }
    }

    /// Decides a command and folds what comes of it into the state. A rejection leaves the state as it was.
    pub fn step(&mut self, command: Command, context: &Context<'_>) -> Result<Step, Rejection> {
        let mut stepper = Stepper::new(self, context);
        let run = stepper.decide(command)?;
        stepper.progress();
        Ok(Step { events: stepper.into_events(), run })
    }

    /// Folds a fact into the state: the only way the state ever changes. `at` is the time the fact was recorded with.
    pub fn evolve(&mut self, event: &Event, at: Timestamp) {
        crate::evolve::evolve(self, event, at);
    }

    /// What is known of an action whose attempt may end; none of transfers, which are no work.
    pub fn glimpse(&self, key: ActionKey) -> Option<Glimpse> {
        let run = self.runs.get(&key.run)?;
        let action = run.action(key.action)?;
        if matches!(action.role, crate::event::Role::Transfer { .. }) {
            return None;
        }
        let read = action.input.as_ref().map(|input| model::ArtifactRef::all_in(input.value())).unwrap_or_default();
        Some(Glimpse {
            names: run.names.clone(),
            path: without_items(&action.path),
            work: action.unit.work(),
            site: action.site.clone(),
            holds: action.unit.node.needs.resources,
            bytes_in: read.iter().map(|artifact| artifact.size).sum(),
            queued_at: action.queued_at,
            placed_at: action.placed_at,
        })
    }

    /// Every action that holds a place: the action, the run's names, what it runs, its label and its site. Stopping ones are left out.
    pub fn held(&self) -> Vec<(ActionKey, Arc<RunNames>, String, Label, Arc<str>)> {
        let mut held = Vec::new();
        for key in self.fleet.sites.values().flat_map(|site| &site.running) {
            let Some((run, action)) = self.runs.get(&key.run).and_then(|run| Some((run, run.action(key.action)?))) else {
                continue;
            };
            if let (Some(site), false) = (&action.site, matches!(action.state, crate::action::ActionState::Stopping(_))) {
                held.push((*key, run.names.clone(), action.unit.work(), action.label.clone(), site.clone()));
            }
        }
        held
    }

    /// Every file that is on its way to a site, or about to be tried again. Those that are being stopped are left out.
    pub fn moving(&self) -> Vec<Moving> {
        let transfers = self.runs.iter().flat_map(|(id, run)| {
            let of_run = run.arriving.values().filter_map(|arriving| arriving.transfer);
            of_run.map(move |number| (ActionKey::new(*id, number), run))
        });
        let moving = |(key, run): (ActionKey, &Run)| {
            let action = run.action(key.action)?;
            let crate::event::Role::Transfer { from, to, .. } = &action.role else { return None };
            let (names, work, label) = (run.names.clone(), action.unit.work(), action.label.clone());
            let goes_on = matches!(action.state, crate::action::ActionState::Running | crate::action::ActionState::Backoff);
            goes_on.then(|| Moving { key, names, work, label, from: from.clone(), to: to.clone() })
        };
        transfers.filter_map(moving).collect()
    }

    /// Every action that holds capacity of a site: the action, the run's names, and how much.
    pub fn holdings(&self) -> Vec<(ActionKey, Arc<RunNames>, Resources)> {
        let keys = self.fleet.sites.values().flat_map(|site| &site.running);
        let holding = |key: &ActionKey| {
            let run = self.runs.get(&key.run)?;
            let action = run.action(key.action)?;
            action.holds.then(|| (*key, run.names.clone(), action.unit.node.needs.resources))
        };
        keys.filter_map(holding).collect()
    }

    /// The names of an open run.
    pub fn names_of(&self, run: RunId) -> Option<Arc<RunNames>> {
        self.runs.get(&run).map(|run| run.names.clone())
    }

    /// Whether an action waits for a place.
    pub fn is_queued(&self, key: ActionKey) -> bool {
        let action = self.runs.get(&key.run).and_then(|run| run.action(key.action));
        action.is_some_and(|action| action.state == crate::action::ActionState::Queued)
    }

    /// Bytes that have left a site in the month of this time: what the price of the next ones hangs on.
    pub fn sent_bytes(&self, site: &str, at: Timestamp) -> u64 {
        self.passing.sent.get(site).filter(|(month, _)| *month == at.month()).map_or(0, |(_, bytes)| *bytes)
    }

    /// Counts bytes that left a site.
    pub fn count_sent(&mut self, site: &str, at: Timestamp, bytes: u64) {
        let before = self.sent_bytes(site, at);
        self.passing.sent.insert(site.to_owned(), (at.month(), before.saturating_add(bytes)));
    }

    /// What the repeat of an action should ask for if the next command says that it was killed for its memory: what the shell has learned of it. It is
    /// a decision like others, and recorded with the attempt's end.
    pub fn hint_memory(&mut self, key: ActionKey, bytes: u64) {
        self.passing.memory_hint = Some((key, bytes));
    }

    /// Lets actions that fitted nowhere be looked at again: time has passed, and what was worth waiting for may not be any more.
    pub fn look_again(&mut self) {
        self.passing.room = true;
    }

    /// Keeps a name from being made for another run. The store knows those that were chosen by somebody and that a later run could be given
    /// by its number; a restart tells them here, since closed runs are not folded.
    pub fn reserve_name(&mut self, project: &str, domain: &str, name: &str, run: RunId) {
        self.names.entry(handle([project, domain, name])).or_insert(run);
    }

    /// Ends a replay: what passed by while folding is dropped, since all that was asked for is in [`State::outstanding`].
    pub fn replayed(&mut self) {
        self.passing = Passing { room: true, ..Passing::default() };
    }

    /// Attempts whose data carry more since the last call, and what they carry now: who let them in where they are has to look again.
    pub fn take_grown(&mut self) -> Vec<(AttemptKey, Label)> {
        std::mem::take(&mut self.passing.grown)
    }

    /// What the facts folded since the last call ask the shell to do.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.passing.effects)
    }

    /// When the next timer is due; send [`Command::Tick`] then.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.timers.next().map(|timer| timer.at)
    }

    /// The sites and the queue.
    pub fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    /// The numbers of the open runs.
    pub fn open_runs(&self) -> impl Iterator<Item = RunId> + '_ {
        self.runs.keys().copied()
    }

    /// Whether a run is open.
    pub fn is_open(&self, run: RunId) -> bool {
        self.runs.contains_key(&run)
    }

    /// The number of actions that are open over all runs.
    pub fn open_actions(&self) -> u64 {
        self.runs.values().map(|run| u64::from(run.open)).sum()
    }

    /// Where an action of an open run is, by the name of its state.
    pub fn state_of(&self, key: ActionKey) -> Option<&'static str> {
        Some(self.runs.get(&key.run)?.action(key.action)?.state.name())
    }

    /// Makes a graph known. Graphs are content-addressed and lie beside the journal; those of open runs must be known before
    /// their events are folded.
    pub fn add_graph(&mut self, digest: Digest, graph: &Arc<Graph>) {
        self.graphs.entry(digest).or_insert_with(|| Arc::new(Compiled::new(graph.clone())));
    }

    /// Whether a graph is known.
    pub fn has_graph(&self, digest: &Digest) -> bool {
        self.graphs.contains_key(digest)
    }

    /// A digest over all that a replay restores: two states with the same fingerprint behave alike.
    pub fn fingerprint(&self) -> Digest {
        let text = format!(
            "{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?}",
            self.last_run,
            self.runs,
            self.fleet.epoch,
            self.fleet.sites,
            self.fleet.resources,
            self.timers,
            self.event_waits,
            self.once,
            self.fleet.queue.order(),
            self.keys.values().chain(self.names.values()).filter(|run| self.runs.contains_key(run)).collect::<BTreeSet<_>>(),
        );
        Digest::of(text.as_bytes())
    }

    /// Remembers a run that closed, and forgets the oldest.
    pub(crate) fn remember(&mut self, recent: RecentRun) {
        self.passing.recent.push_back(recent);
        while self.passing.recent.len() > RECENT_RUNS_MAX {
            let Some(old) = self.passing.recent.pop_front() else { break };
            let gone = |id: &RunId, runs: &BTreeMap<RunId, Run>| !runs.contains_key(id);
            // One that a later run could be given by its number is remembered until its number has passed.
            let ahead = old.number.is_some_and(|number| number > self.last_run);
            if !ahead && self.names.get(&old.name).is_some_and(|id| gone(id, &self.runs)) {
                self.names.remove(&old.name);
            }
            if let Some(key) = old.key
                && self.keys.get(&key).is_some_and(|id| gone(id, &self.runs))
            {
                self.keys.remove(&key);
            }
        }
        // Looking through all runs pays only when as many graphs again have come as were in use the last time.
        if self.graphs.len() > IDLE_GRAPHS_MAX + 2 * self.passing.graphs_in_use {
            let used: BTreeSet<Digest> = self.runs.values().map(|run| run.graph).collect();
            self.graphs.retain(|digest, _| used.contains(digest));
            self.passing.graphs_in_use = self.graphs.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_items_of_a_map_are_taken_together() {
        assert_eq!(without_items("score[31]/clean"), "score[]/clean");
        assert_eq!(without_items("a[1][2]"), "a[][]");
        assert_eq!(without_items("train"), "train");
    }
}
