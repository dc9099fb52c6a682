//! The server: the engine's own state and steps, batches on their way to the disk, and what may leave once they are there. It does what
//! `controlplane`'s run loop does, with a simulated disk, and dies at every point of it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use engine::event::RecallKind;
use engine::{Command, Context, Effect, Event, Rejection, State, codec};
use model::{ActionKey, AttemptKey, RunId, Timestamp};
use placement::Permitted;
use testkit::{Paths, placements_within};

use super::instants::Instants;
use super::seal::Tree;
use super::{Happening, Kept, World};
use crate::disk::Stored;
use crate::fleet::Leases;
use crate::monitor::{Broken, Monitor, broken};
use crate::mutation::Mutation;
use crate::tags::Gate;

/// Turns between two comparisons of the state with a fold of what was stored.
const COMPARE_EVERY: u64 = 32;

pub(super) struct Server {
    pub(super) state: State,
    /// What a fold of the stored entries gives.
    shadow: State,
    inbox: VecDeque<Message>,
    batches: VecDeque<Batch>,
    flushing: bool,
    turn_planned: bool,
    clock: Timestamp,
    pub(super) tree: Tree,
    gate: Gate,
    pub(super) leases: Leases,
    /// Attempts that were sent to sites and not heard of.
    pub(super) sent: BTreeMap<AttemptKey, String>,
    turns: u64,
    /// The epoch of the one before, until this one has begun its own.
    old_epoch: Option<u64>,
}

struct Message {
    command: Command,
    ticket: Option<u64>,
}

/// What leaves when so many frames are durable.
struct Batch {
    frames: usize,
    seq: u64,
    effects: Vec<Effect>,
    replies: Vec<(u64, Result<Option<RunId>, Rejection>)>,
}

impl Server {
    pub(super) fn is_idle(&self) -> bool {
        self.inbox.is_empty() && self.batches.is_empty() && !self.flushing
    }
}

impl World {
    /// Gives the server a command, with a ticket when somebody waits for the answer.
    pub(super) fn ask(&mut self, command: Command, ticket: Option<u64>) {
        let Some(server) = &mut self.server else { return };
        server.inbox.push_back(Message { command, ticket });
        self.plan_turn();
    }

    fn plan_turn(&mut self) {
        let delay = self.rng.below(300);
        let incarnation = self.incarnation;
        if let Some(server) = &mut self.server
            && !server.turn_planned
        {
            server.turn_planned = true;
            self.after(delay, Happening::Turn(incarnation));
        }
    }

    fn wall(&self) -> Timestamp {
        Timestamp(self.now.saturating_add_signed(self.skew))
    }

    /// A turn: decides what is in the inbox, fires timers, places what is queued, and hands one batch to the disk.
    pub(super) fn turn(&mut self) {
        if self.fault(4, "crash before a turn") {
            return self.crash();
        }
        let wall = self.wall();
        let raw_clock = self.has(Mutation::ClockBack);
        let Some(server) = &mut self.server else { return };
        server.turn_planned = false;
        server.clock = if raw_clock { wall } else { server.clock.max(wall) };
        let messages: Vec<Message> = server.inbox.drain(..).collect();
        let mut turn = Turn::default();
        for Message { command, ticket } in messages {
            let result = self.step(command, &mut turn);
            turn.replies.extend(ticket.map(|ticket| (ticket, result)));
        }
        self.tick(&mut turn);
        self.revoke(&mut turn);
        self.settle(&mut turn);
        self.check_turn(&turn);
        self.hand_over(turn);
        self.wake();
    }

    fn tick(&mut self, turn: &mut Turn) {
        let early = if self.has(Mutation::EarlyTimer) { 600_000_000 } else { 0 };
        let Some(server) = &self.server else { return };
        let due = server.state.next_due().is_some_and(|due| due.0 <= server.clock.0 + early);
        if due && !self.has(Mutation::DeafTimer) {
            // A tick is never rejected.
            let _ = self.step(Command::Tick, turn);
        }
    }

    /// Stops what runs where the rules do not let it be any more.
    fn revoke(&mut self, turn: &mut Turn) {
        let Some(server) = &self.server else { return };
        let actions = server.gate.denied(&server.state, !self.has(Mutation::ForgetMoving));
        if !actions.is_empty() && !self.has(Mutation::ForgetRevoke) {
            self.stats.fault("a rule changed under what ran");
            // Revoking is never rejected.
            let _ = self.step(Command::Revoke { actions }, turn);
        }
    }

    /// Places what is queued and computes what is a function of its input, until nothing follows from that.
    fn settle(&mut self, turn: &mut Turn) {
        let mut instants = Instants::default();
        loop {
            self.place(turn);
            let reports = instants.take(&mut turn.effects);
            if reports.is_empty() || self.broken.is_some() {
                return;
            }
            for report in reports {
                self.stats.instants += 1;
                // A report is never rejected.
                let _ = self.step(Command::Report(Box::new(report)), turn);
            }
        }
    }

    fn place(&mut self, turn: &mut Turn) {
        loop {
            let Some(server) = &mut self.server else { return };
            let candidates = server.state.take_candidates(4_096);
            if candidates.is_empty() || self.broken.is_some() {
                return;
            }
            for candidate in candidates {
                let Some(server) = &self.server else { return };
                let mut permitted = Permitted::all();
                for site in server.state.fleet().sites().keys().filter(|_| !self.has(Mutation::OpenGate)) {
                    if let Some(why) = server.gate.refusal(site, &candidate.label) {
                        permitted.refuse(site.clone(), why);
                    }
                }
                let mut placements = placements_within(server.state.fleet(), &candidate, permitted);
                // Tasks are what workers take here.
                let by_worker = !candidate.uses && candidate.work != "run";
                placements.iter_mut().for_each(|placement| placement.by_worker = by_worker);
                let _ = self.step(Command::Place(placements), turn);
            }
        }
    }

    fn step(&mut self, command: Command, turn: &mut Turn) -> Result<Option<RunId>, Rejection> {
        let entropy = self.rng.bits();
        let mutation = self.options.mutation;
        let begins = matches!(command, Command::BeginEpoch { .. });
        let early = matches!(command, Command::Tick) && self.has(Mutation::EarlyTimer);
        let graph = match &command {
            Command::Submit(submit) => Some((submit.graph_digest, submit.graph.clone())),
            Command::FireTrigger { submit: Some(submit), .. } => Some((submit.graph_digest, submit.graph.clone())),
            _ => None,
        };
        let Some(server) = &mut self.server else { return Ok(None) };
        let at = server.clock;
        let now = if early { Timestamp(at.0 + 600_000_000) } else { at };
        let step = server.state.step(command, &Context { now, entropy, evaluator: &Paths })?;
        let effects = server.state.take_effects();
        if !(begins && matches!(mutation, Some(Mutation::ForgetOutstanding | Mutation::OldEpochAfterRestart))) {
            turn.effects.extend(effects);
        }
        let mut events = step.events;
        if let Some(graph) = graph.filter(|_| !events.is_empty())
            && mutation != Some(Mutation::LoseGraph)
        {
            turn.graphs.push(graph);
        }
        let altered = mutation.is_some_and(|mutation| mutation.alter(&mut events, &mut self.rng));
        for event in events {
            if let Some(server) = &mut self.server {
                server.gate.note(&event);
            }
            self.say(|| format!("{event:?}").chars().take(200).collect());
            let checked = self.monitor.note(&event, at);
            self.judge(checked);
            turn.entries.push((event, at));
        }
        let settled = self.monitor.settled();
        self.judge(settled);
        if altered {
            self.refold(turn);
        }
        Ok(step.run)
    }

    /// After a planted bug has changed what a step decided: the server goes on as if it had decided that.
    fn refold(&mut self, turn: &Turn) {
        let mut state = State::new(0);
        let graphs = self.disk.graphs().chain(&turn.graphs);
        graphs.for_each(|(digest, graph)| state.add_graph(*digest, graph));
        for stored in self.disk.entries() {
            if let Ok(event) = stored.event() {
                state.evolve(&event, stored.at);
            }
        }
        turn.entries.iter().for_each(|(event, at)| state.evolve(event, *at));
        state.replayed();
        if let Some(server) = &mut self.server {
            server.state = state;
        }
    }

    fn check_turn(&mut self, turn: &Turn) {
        let epoch = self.monitor.epoch.0;
        let deaf = self.has(Mutation::DeafTimer);
        let Some(server) = &mut self.server else { return };
        let due = server.state.next_due().filter(|due| *due <= server.clock);
        let mut checked = Ok(());
        if due.is_some() && (deaf || turn.entries.len() < 10_000) {
            checked = broken("I7 timers", "a timer is due after all that was due was fired");
        }
        if let Some(old) = server.old_epoch.take()
            && epoch <= old
        {
            checked = broken("I6 epochs", format!("a server has begun its work in epoch {epoch}, which another began"));
        }
        self.judge(checked);
        let held = self.monitor.check_held();
        self.judge(held);
    }

    fn hand_over(&mut self, turn: Turn) {
        if turn.entries.is_empty() && turn.effects.is_empty() && turn.replies.is_empty() {
            return;
        }
        let swaps = self.has(Mutation::SwapBatches) && self.rng.chance(50);
        let gap = u64::from(self.has(Mutation::GapInSequence) && self.rng.chance(20));
        let mutation = self.options.mutation;
        let first = self.disk.written_seq() + 1 + gap;
        let mut stored = Vec::with_capacity(turn.entries.len());
        for (index, (mut event, at)) in turn.entries.into_iter().enumerate() {
            if let Some(mutation) = mutation {
                mutation.misstore(&mut event);
            }
            stored.push(Stored::new(first + index as u64, at, &event));
        }
        let Some(server) = &mut self.server else { return };
        turn.graphs.iter().for_each(|(digest, graph)| server.shadow.add_graph(*digest, graph));
        for entry in &stored {
            match entry.event() {
                Ok(event) => {
                    note_ways(&mut self.stats.ways, &mut server.shadow, &event, entry.at);
                }
                Err(error) => {
                    let what = format!("an entry cannot be read back: {error}");
                    return self.judge(Err(Broken { rule: "I10 replay", what }));
                }
            }
        }
        server.turns += 1;
        let compares = server.turns.is_multiple_of(COMPARE_EVERY);
        if !stored.is_empty() && self.disk.append(stored, turn.graphs).is_err() {
            self.stats.fault("the disk was full");
            return self.crash();
        }
        if swaps && self.disk.frames.len() > 1 {
            let last = self.disk.frames.len() - 1;
            self.disk.frames.swap(last, last - 1);
        }
        let (frames, seq) = (self.disk.written(), self.disk.written_seq());
        let mut batch = Batch { frames, seq, effects: turn.effects, replies: turn.replies };
        if self.has(Mutation::AckBeforeDurable) {
            self.told = self.told.max(batch.seq);
            for (ticket, result) in std::mem::take(&mut batch.replies) {
                self.answered(ticket, result);
            }
        }
        if self.has(Mutation::ReleaseBeforeDurable) {
            self.release(&mut batch);
        }
        let ahead = self.has(Mutation::SealAhead);
        if let Some(server) = &mut self.server {
            server.batches.push_back(batch);
            if ahead {
                server.tree.show(&self.disk, frames);
            }
        }
        if compares {
            self.compare();
        }
        self.flush();
        if self.fault(15, "crash between write and sync") {
            self.crash();
        }
    }

    fn flush(&mut self) {
        let (incarnation, frames) = (self.incarnation, self.disk.written());
        let delay = self.rng.between(50, 4_000);
        if let Some(server) = &mut self.server
            && !server.flushing
            && !server.batches.is_empty()
        {
            server.flushing = true;
            self.after(delay, Happening::Flushed(incarnation, frames));
        }
    }

    /// The disk has synced: what these frames hold may leave.
    pub(super) fn flushed(&mut self, frames: usize) {
        if self.server.is_none() {
            return;
        }
        if !self.has(Mutation::LyingSync) {
            self.disk.sync(frames);
        }
        let upto = if self.has(Mutation::LyingSync) { self.disk.written() } else { self.disk.durable() };
        self.project(upto);
        if let Some(server) = &mut self.server {
            server.tree.show(&self.disk, frames);
        }
        if self.fault(4, "crash between sync and release") {
            return self.crash();
        }
        loop {
            let Some(server) = &mut self.server else { return };
            let Some(mut batch) = server.batches.pop_front_if(|batch| batch.frames <= frames) else { break };
            if !self.release(&mut batch) {
                return;
            }
        }
        if let Some(server) = &mut self.server {
            server.flushing = false;
        }
        self.flush();
        if self.fault(2, "crash after a release") {
            self.crash();
        }
    }

    /// Lets effects and answers of a batch leave. False when the server died on the way.
    fn release(&mut self, batch: &mut Batch) -> bool {
        let lying = self.has(Mutation::LyingSync);
        for effect in std::mem::take(&mut batch.effects) {
            let durable = lying || batch.seq <= self.disk.durable_seq();
            let checked = if durable { self.monitor.check_effect(&effect) } else { broken("I1 durable", "an effect left early") };
            self.judge(checked);
            self.carry_out(effect);
            if self.fault(2, "crash among the effects of a batch") {
                self.crash();
                return false;
            }
        }
        if batch.seq > self.told {
            (self.told, self.told_what) = (batch.seq, "an answer");
        }
        for (ticket, result) in std::mem::take(&mut batch.replies) {
            self.answered(ticket, result);
        }
        true
    }

    /// The state is what a fold of the stored entries gives.
    pub(super) fn compare(&mut self) {
        let Some(server) = &self.server else { return };
        if server.state.fingerprint() != server.shadow.fingerprint() {
            self.judge(broken("I10 replay", "a fold of what was stored gives another state than the server has"));
        }
    }

    /// The server looks again when the next timer is due.
    fn wake(&mut self) {
        let Some(server) = &self.server else { return };
        let Some(due) = server.state.next_due() else { return };
        let wait = due.0.saturating_sub(self.wall().0).max(1);
        let incarnation = self.incarnation;
        self.after(wait, Happening::Turn(incarnation));
    }

    /// The process dies, and mostly the power goes with it.
    pub(super) fn crash(&mut self) {
        self.look();
        if self.server.take().is_none() {
            return;
        }
        self.incarnation += 1;
        let power = self.rng.chance(700);
        let tail = if power { self.disk.crash(&mut self.rng) } else { "only the process died" };
        self.stats.fault(tail);
        self.say(|| format!("the server dies; {tail}"));
        let delay = self.rng.between(10_000, 5_000_000);
        self.after(delay, Happening::Start);
    }

    /// The server starts from what the disk holds.
    pub(super) fn start(&mut self) {
        if self.server.is_some() {
            return;
        }
        self.incarnation += 1;
        self.disk.recover(self.has(Mutation::TrustTornTail));
        if self.has(Mutation::RewriteSealed) {
            self.disk.rewrite();
        }
        let (told, what) = (self.told, self.told_what);
        if self.disk.durable_seq() < told {
            let what = format!("{what} spoke of entry {told}, and the journal ends with {}", self.disk.durable_seq());
            self.judge(broken("I1 durable", what));
        }
        self.check_seen();
        let (full, open, clock, gate) = match self.recover() {
            Ok(recovered) => recovered,
            Err(broken) => return self.judge(Err(broken)),
        };
        (self.projected, self.kept, self.known_keys, self.gives) = Default::default();
        // What is read at a start is all that is there.
        self.project(self.disk.written());
        let first = self.monitor.epoch.0 == 0;
        let mut batches = VecDeque::new();
        let old = matches!(self.options.mutation, Some(Mutation::OldEpochAfterRestart | Mutation::SameEpochAfterRestart));
        if old && !first {
            let effects = open.outstanding();
            batches.push_back(Batch { frames: 0, seq: 0, effects, replies: Vec::new() });
        }
        let mut tree = Tree::read(&self.disk);
        if self.has(Mutation::SealAtStart) {
            tree.show(&self.disk, self.disk.written());
        }
        let mut server = Server {
            state: open,
            shadow: full,
            inbox: VecDeque::new(),
            batches,
            flushing: false,
            turn_planned: false,
            clock,
            tree,
            gate,
            leases: Leases::default(),
            sent: BTreeMap::new(),
            turns: 0,
            old_epoch: Some(self.monitor.epoch.0),
        };
        if first || !self.has(Mutation::SameEpochAfterRestart) {
            server
                .inbox
                .push_back(Message { command: Command::BeginEpoch { version: "sim".into(), ticket_key: None }, ticket: None });
        }
        self.say(|| format!("the server starts, entry {told} was told"));
        self.server = Some(server);
        self.plan_turn();
        self.reconnect();
        if self.fault(80, "crash at a start") {
            self.crash();
        }
    }

    /// Reads the journal: the state of all entries, that of the fleet and open runs only, the time of the last entry, and the rules.
    fn recover(&mut self) -> Result<(State, State, Timestamp, Gate), Broken> {
        let graphs = std::mem::take(&mut self.monitor.graphs);
        self.monitor = Monitor::new(graphs);
        let mut entries = Vec::new();
        for (index, stored) in self.disk.entries().enumerate() {
            if stored.seq != index as u64 + 1 {
                return broken("I3 dense", format!("entry {} follows entry {index}", stored.seq));
            }
            let event = stored.event().map_err(|error| Broken { rule: "I10 replay", what: error.to_string() })?;
            self.monitor.note(&event, stored.at)?;
            entries.push((event, stored.at));
        }
        // What a torn or forged tail left half done shows here.
        self.monitor.settled()?;
        let last_run =
            if self.has(Mutation::ReuseRunNumbers) { 0 } else { self.monitor.runs.keys().next_back().map_or(0, |run| run.0) };
        let (mut full, mut open) = (State::new(0), State::new(last_run));
        for (digest, graph) in self.disk.graphs() {
            full.add_graph(*digest, graph);
            open.add_graph(*digest, graph);
        }
        let closed: BTreeSet<RunId> =
            self.monitor.runs.iter().filter(|(_, run)| run.ended.is_some()).map(|(id, _)| *id).collect();
        let mut gate = Gate::default();
        for (event, at) in &entries {
            if !self.has(Mutation::ForgetRules) {
                gate.note(event);
            }
            full.evolve(event, *at);
            if event.run().is_none_or(|run| !closed.contains(&run)) {
                open.evolve(event, *at);
            }
        }
        full.replayed();
        open.replayed();
        let expected: Vec<RunId> = self.monitor.open_runs().map(|(run, _)| run).collect();
        if full.open_runs().collect::<Vec<_>>() != expected {
            return broken("I10 replay", "a restart knows other open runs than the journal");
        }
        if !self.has(Mutation::ReuseRunNumbers) && full.fingerprint() != open.fingerprint() {
            return broken("I10 replay", "a fold of open runs gives another state than a fold of all");
        }
        let clock = entries.last().map_or(Timestamp(0), |(_, at)| *at);
        Ok((full, open, clock, gate))
    }

    /// Read models: what is known under keys, from the first frames of the journal.
    fn project(&mut self, upto: usize) {
        let news = self.disk.frames.get(self.projected..upto).unwrap_or_default();
        self.projected = self.projected.max(upto);
        for stored in news.iter().flat_map(|frame| &frame.entries) {
            // Only these three kinds are of interest.
            if !matches!(codec::kind(&stored.bytes), 0 | 22 | 31) {
                continue;
            }
            match stored.event() {
                Ok(Event::RunSubmitted(e)) => {
                    if let Some(key) = &e.idempotency_key {
                        self.known_keys.insert((e.project.clone(), key.clone()), e.run);
                    }
                    self.projects.insert(e.run, e.project.clone());
                }
                Ok(Event::RunLabelled(e)) => {
                    self.gives.insert(e.run, e.gives);
                }
                Ok(Event::OutputKept(e)) => {
                    let forgotten = self.options.mutation == Some(Mutation::ForgetOnce) && e.key.kind == RecallKind::Once;
                    if !forgotten {
                        let of = ActionKey::new(e.run, e.action);
                        let project = self.projects.get(&e.run).cloned().unwrap_or_default();
                        let path = self.monitor.action(of).map(|action| engine::without_items(&action.path));
                        let given = path.and_then(|path| self.gives.get(&e.run)?.get(&path).cloned());
                        let (output, locations, carried) = (e.output.value().clone(), e.locations, given.unwrap_or_default());
                        self.kept.insert((project, e.key.key), Kept { output, since: stored.at, locations, of, carried });
                    }
                }
                _ => {}
            }
        }
    }
}

/// Folds an event, and notes which way the actions it is about have taken.
fn note_ways(ways: &mut BTreeMap<(&'static str, &'static str), u64>, shadow: &mut State, event: &Event, at: Timestamp) {
    let run = event.run().unwrap_or_default();
    let numbers: Vec<model::ActionNo> = match event {
        Event::ActionsOpened(e) => e.actions.iter().map(|opened| opened.action).collect(),
        Event::ActionsPlaced(e) => e.actions.iter().map(|placed| placed.action).collect(),
        Event::AttemptFinished(e) => vec![e.action],
        Event::ActionFinished(e) => vec![e.action],
        Event::RetryDue(e) | Event::RecallMissed(e) => vec![e.action],
        Event::RecallAsked(e) => vec![e.action],
        Event::CancelRequested(e) => e.actions.iter().chain(&e.ended).copied().collect(),
        _ => Vec::new(),
    };
    let keys: Vec<ActionKey> = numbers.into_iter().map(|number| ActionKey::new(run, number)).collect();
    let before: Vec<_> = keys.iter().map(|key| shadow.state_of(*key).unwrap_or("none")).collect();
    shadow.evolve(event, at);
    for (key, before) in keys.iter().zip(before) {
        let after = shadow.state_of(*key).unwrap_or("none");
        *ways.entry((before, after)).or_default() += 1;
    }
}

/// A turn in the making.
#[derive(Default)]
struct Turn {
    entries: Vec<(Event, Timestamp)>,
    graphs: Vec<(model::Digest, std::sync::Arc<model::Graph>)>,
    effects: Vec<Effect>,
    replies: Vec<(u64, Result<Option<RunId>, Rejection>)>,
}
