//! Drives the engine in tests: commands in, events out. Effects are kept until the scripted fleet answers them.

mod asked;
mod facts;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use engine::event::{Located, RunFinished};
use engine::{Command, Context, Effect, Event, Outcome, Recall, Rejection, Report, SiteOrder, State, Submit};
use model::{ActionKey, ArtifactRef, AttemptKey, Digest, Duration, Epoch, Failure, Graph, RunId, SiteSpec, Timestamp};
use serde_json::Value;

use crate::script::{Answer, Script};
use crate::{Paths, Tape, placements};
use asked::Asked;
use facts::Facts;

/// The time at which every test begins.
const START: Timestamp = Timestamp(1_800_000_000_000_000);
/// Turns after which a test that does not come to rest is given up.
const TURNS_MAX: usize = 200_000;

/// The engine, a clock, a journal in memory and a scripted fleet. After every command it checks that a replay gives the same state, and
/// that what is outstanding is what was asked for and not answered.
pub struct Rig {
    /// The engine.
    pub state: State,
    /// What has happened, through the real codec.
    pub tape: Tape,
    /// What the fleet answers.
    pub script: Script,
    now: Timestamp,
    entropy: u64,
    asked: Asked,
    facts: Facts,
    events: Vec<Event>,
    memory: BTreeMap<(String, Digest), (Value, Vec<Located>)>,
    dispatched: Vec<String>,
    released: Vec<AttemptKey>,
    checks: bool,
    places: bool,
}

impl Rig {
    /// A rig over these sites, in its first epoch.
    pub fn new(sites: impl IntoIterator<Item = SiteSpec>) -> Rig {
        let mut rig = Rig {
            state: State::new(0),
            tape: Tape::default(),
            script: Script::default(),
            now: START,
            entropy: 1,
            asked: Asked::default(),
            facts: Facts::default(),
            events: Vec::new(),
            memory: BTreeMap::new(),
            dispatched: Vec::new(),
            released: Vec::new(),
            checks: true,
            places: true,
        };
        rig.step(Command::BeginEpoch { version: "test".into(), ticket_key: None });
        for site in sites {
            rig.step(Command::RegisterSite { site, principal: "test".into() });
        }
        rig
    }

    /// Checks only when [`Rig::check`] is called: each check costs as much as the state is large.
    pub fn unchecked(mut self) -> Rig {
        self.checks = false;
        self
    }

    /// Places nothing by itself, so that a test can see and choose.
    pub fn unplaced(mut self) -> Rig {
        self.places = false;
        self
    }

    /// Scripts the attempts of a path.
    pub fn on(&mut self, path: &str, answers: impl IntoIterator<Item = Answer>) {
        self.script.on(path, answers);
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Gives a command, then places what is queued, as the shell does in one turn. Gives all that happened.
    pub fn try_step(&mut self, command: Command) -> Result<Vec<Event>, Rejection> {
        let graph = match &command {
            Command::Submit(submit) => Some((submit.graph_digest, submit.graph.clone())),
            _ => None,
        };
        let mut events = self.decide(command)?;
        if let Some((digest, graph)) = graph {
            self.tape.keep_graph(digest, &graph);
        }
        while self.places {
            let candidates = self.state.take_candidates(4_096);
            if candidates.is_empty() {
                break;
            }
            for candidate in candidates {
                let placements = placements(self.state.fleet(), &candidate);
                events.extend(self.decide(Command::Place(placements))?);
            }
        }
        let effects = self.state.take_effects();
        for event in &events {
            self.tape.append(event, self.now);
            self.facts.note(event);
            if let Event::OutputKept(kept) = event {
                let project = self.facts.project(kept.run);
                self.memory.insert((project, kept.key.key), (kept.output.value().clone(), kept.locations.clone()));
            }
        }
        for effect in &effects {
            match effect {
                Effect::Dispatch(dispatch) => self.dispatched.push(dispatch.path.clone()),
                Effect::Release { attempt, .. } => self.released.push(*attempt),
                _ => {}
            }
        }
        self.asked.note(&events, effects);
        self.events.extend(events.iter().cloned());
        if self.checks {
            self.check();
        }
        Ok(events)
    }

    fn decide(&mut self, command: Command) -> Result<Vec<Event>, Rejection> {
        self.entropy = self.entropy.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let context = Context { now: self.now, entropy: self.entropy, evaluator: &Paths };
        self.state.step(command, &context).map(|step| step.events)
    }

    /// Gives a command that has to be accepted.
    pub fn step(&mut self, command: Command) -> Vec<Event> {
        match self.try_step(command) {
            Ok(events) => events,
            Err(rejection) => panic!("a command was rejected: {rejection}"),
        }
    }

    /// A replay gives the same state, all of it or open runs only, and what is outstanding is what was asked for and not answered.
    pub fn check(&self) {
        let live = self.state.fingerprint();
        assert_eq!(self.tape.replay().fingerprint(), live, "a replay gives another state");
        assert_eq!(self.tape.restore().fingerprint(), live, "a restart gives another state");
        assert_eq!(asked::names(self.state.outstanding().iter()), self.asked.names(), "what is outstanding");
    }

    /// Starts again from the journal, under the next epoch.
    pub fn restart(&mut self) {
        self.state = self.tape.restore();
        self.asked.forget_orders();
        self.step(Command::BeginEpoch { version: "test".into(), ticket_key: None });
    }

    /// A submission of a graph, to be changed.
    pub fn submission(&mut self, graph: &Arc<Graph>, inputs: Value) -> Submit {
        let mut salt = [0; 32];
        salt[..8].copy_from_slice(&self.events.len().to_le_bytes());
        Submit {
            project: graph.workflow.split('/').next().unwrap_or_default().to_owned(),
            domain: "development".into(),
            graph: graph.clone(),
            graph_digest: graph.digest(),
            inputs,
            principal: "ada".into(),
            salt,
            ..Submit::default()
        }
    }

    /// Submits.
    pub fn try_submit(&mut self, submit: Submit) -> Result<RunId, Rejection> {
        let newest = self.facts.newest();
        let key = submit.idempotency_key.clone();
        self.try_step(Command::Submit(Box::new(submit)))?;
        Ok(self.facts.newest().filter(|run| Some(*run) != newest).unwrap_or_else(|| self.facts.by_key(key.as_deref())))
    }

    /// Submits a graph with these inputs.
    pub fn submit(&mut self, graph: &Arc<Graph>, inputs: Value) -> RunId {
        let submit = self.submission(graph, inputs);
        match self.try_submit(submit) {
            Ok(run) => run,
            Err(rejection) => panic!("a submission was rejected: {rejection}"),
        }
    }

    /// Answers what was asked for, by the script, until nothing is left that has an answer. No time passes.
    pub fn work(&mut self) {
        for _ in 0..TURNS_MAX {
            let Some(effect) = self.asked.next() else { return };
            self.answer(effect);
        }
        panic!("the fleet does not come to rest");
    }

    fn answer(&mut self, effect: Effect) {
        match effect {
            Effect::Dispatch(dispatch) => {
                let answer = self.script.answer(&dispatch.path, dispatch.key.attempt.0);
                self.asked.expect(dispatch.key, &answer);
                match answer {
                    Answer::Done(output) => self.report(dispatch.key, Outcome::Succeeded(output)),
                    Answer::Fail(failure) => self.report(dispatch.key, Outcome::Failed(failure)),
                    Answer::Silent | Answer::Deaf => {}
                }
            }
            Effect::Transfer(transfer) => {
                let path = self.facts.path(transfer.key.action_key());
                match self.script.answer(&path, transfer.key.attempt.0) {
                    Answer::Done(_) => {
                        let moved = Located { artifact: transfer.artifact, size: transfer.size, site: transfer.to.clone() };
                        self.report_with(transfer.key, transfer.epoch, Outcome::Succeeded(Value::Null), vec![moved]);
                    }
                    Answer::Fail(failure) => self.report(transfer.key, Outcome::Failed(failure)),
                    answer => self.asked.expect(transfer.key, &answer),
                }
            }
            Effect::Cancel { attempt, .. } => {
                if self.asked.hears(attempt) {
                    self.report(attempt, Outcome::Aborted);
                }
            }
            Effect::Recall { action, project, key } => {
                let answer = match self.memory.get(&(project, key.key)) {
                    Some((value, locations)) => {
                        Recall::Output { value: value.clone(), locations: locations.clone(), carried: Default::default() }
                    }
                    None => Recall::Unknown,
                };
                self.step(Command::Recalled { action, answer });
            }
            Effect::Release { .. } => {}
        }
    }

    /// Reports how an attempt ended, under the current epoch. Artifacts of the output lie at the attempt's site.
    pub fn report(&mut self, attempt: AttemptKey, outcome: Outcome) {
        let site = self.facts.site(attempt.action_key());
        let locations = match &outcome {
            Outcome::Succeeded(value) => ArtifactRef::all_in(value)
                .into_iter()
                .map(|artifact| Located { artifact: artifact.digest, size: artifact.size, site: site.clone() })
                .collect(),
            _ => Vec::new(),
        };
        self.report_with(attempt, self.state.fleet().epoch(), outcome, locations);
    }

    /// Reports under an epoch.
    pub fn report_with(&mut self, attempt: AttemptKey, epoch: Epoch, outcome: Outcome, locations: Vec<Located>) {
        let usage = engine::event::Usage { wall_us: 1_000_000, bytes_in: 1_000_000, ..Default::default() };
        self.step(Command::Report(Box::new(Report { attempt, epoch, outcome, usage, locations })));
    }

    /// Lets time pass and fires what came due.
    pub fn advance(&mut self, span: Duration) {
        self.now = self.now.after(span);
        while self.state.next_due().is_some_and(|due| due <= self.now) {
            self.step(Command::Tick);
        }
    }

    /// Works, and lets time pass from timer to timer, until the run has ended.
    pub fn finish(&mut self, run: RunId) -> RunFinished {
        for _ in 0..TURNS_MAX {
            self.work();
            if let Some(finished) = self.facts.ended(run) {
                let finished = finished.clone();
                self.check();
                return finished;
            }
            match self.state.next_due() {
                Some(due) => self.advance(due.since(self.now)),
                None => panic!("the run does not end, and nothing is due"),
            }
        }
        panic!("the run does not end");
    }

    /// Submits, and works until the run has ended.
    pub fn run(&mut self, graph: &Arc<Graph>, inputs: Value) -> RunFinished {
        let run = self.submit(graph, inputs);
        self.finish(run)
    }

    /// Gives an order to a site.
    pub fn order(&mut self, site: &str, order: SiteOrder) -> Vec<Event> {
        self.step(Command::SiteOrder { site: site.into(), order, principal: "operator".into() })
    }

    /// Cancels a run.
    pub fn cancel(&mut self, run: RunId) -> Vec<Event> {
        self.step(Command::Cancel { run, principal: "ada".into(), reason: "not needed".into() })
    }

    /// Everything that happened.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// The paths of all attempts that were ordered, in order.
    pub fn dispatched(&self) -> &[String] {
        &self.dispatched
    }

    /// Attempts that may be forgotten.
    pub fn released(&self) -> &[AttemptKey] {
        &self.released
    }

    /// The action at a path of a run.
    pub fn action(&self, run: RunId, path: &str) -> ActionKey {
        self.facts.action(run, path)
    }

    /// The current attempt at a path of a run.
    pub fn attempt(&self, run: RunId, path: &str) -> AttemptKey {
        self.facts.attempt(self.facts.action(run, path))
    }

    /// The site of the current attempt at a path.
    pub fn site_of(&self, run: RunId, path: &str) -> String {
        self.facts.site(self.facts.action(run, path))
    }

    /// How the action at a path ended; none while it is open or when there is none.
    pub fn phase(&self, run: RunId, path: &str) -> Option<model::Phase> {
        self.facts.phase(run, path)
    }

    /// Why the action at a path failed.
    pub fn failure(&self, run: RunId, path: &str) -> Option<Failure> {
        self.facts.failure(run, path)
    }

    /// The output of the action at a path.
    pub fn output(&self, run: RunId, path: &str) -> Value {
        self.facts.output(run, path)
    }

    /// The end of a run, when it has ended.
    pub fn ended(&self, run: RunId) -> Option<&RunFinished> {
        self.facts.ended(run)
    }

    /// The paths of the actions that a run has ever opened.
    pub fn paths(&self, run: RunId) -> BTreeSet<String> {
        self.facts.paths(run)
    }
}
