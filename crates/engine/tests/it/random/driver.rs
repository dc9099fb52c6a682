//! Tells a story to the engine and to the reference, and compares.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use engine::{Command, Effect, Event, Outcome, Report, SiteOrder, Spawn, Submit};
use model::graph::Retry;
use model::{AttemptKey, AttemptNo, Duration, Epoch, Failure, FailureClass, Graph, Node, NodeKind, Phase, RunId};
use proptest::sample::Index;
use serde_json::json;
use testkit::{Answer, Rig, site};

use super::reference::{At, Doing, Reference, Role, Seen, Settled, Why, Wrong};
use super::spec::{BACKOFF, Ends, Order, SITES, Spec, Story, Work, name};

/// Turns after which runs that do not end are given up.
const TURNS_MAX: usize = 400;

struct Driver {
    rig: Rig,
    reference: Reference,
    seen: Seen,
    specs: Vec<(Rc<Spec>, Arc<Graph>)>,
    children: u32,
    read: usize,
}

/// Tells a story, and then brings everything in it to an end. What differs is the error.
pub(super) fn tell(story: &Story, wrong: Option<Wrong>) -> Result<(), String> {
    let mut rig = Rig::new(SITES.map(|name| site(name).cores(100_000).spec())).unchecked();
    // Nothing ends by itself: the story says when, and how.
    rig.on("*", [Answer::Deaf]);
    let reference = Reference::new(rig.now(), wrong);
    let graph = |(number, spec): (usize, &Spec)| (Rc::new(spec.clone()), spec.graph(number));
    let specs = story.specs.iter().enumerate().map(graph).collect();
    let mut driver = Driver { rig, reference, seen: Seen::default(), specs, children: 0, read: 0 };
    for (number, order) in story.orders.iter().enumerate() {
        driver.obey(order).and_then(|()| driver.compare()).map_err(|what| format!("at {number}, {order:?}: {what}"))?;
        // A replay costs as much as all that came before.
        if wrong.is_none() && number % 4 == 3 {
            driver.rig.check();
        }
    }
    driver.finish()?;
    driver.rig.check();
    Ok(())
}

fn pick<T: Clone>(from: &[T], index: Index) -> Option<T> {
    (!from.is_empty()).then(|| from[index.index(from.len())].clone())
}

impl Driver {
    fn obey(&mut self, order: &Order) -> Result<(), String> {
        let runs: Vec<RunId> = self.reference.runs.keys().copied().collect();
        match order {
            Order::Submit { graph, key } => self.submit(graph.index(self.specs.len()), *key, BTreeSet::new()),
            Order::Rerun { of } => match pick(&runs, *of) {
                Some(run) => self.rerun(run),
                None => Ok(()),
            },
            Order::Report { attempt, ends } => match pick(&self.reference.at_work(), *attempt) {
                Some((run, path)) => self.report(run, &path, *ends),
                None => Ok(()),
            },
            Order::Late { attempt, ahead, ends } => self.late(*attempt, *ahead, *ends),
            Order::Foreign { attempt, ahead, ends } => self.foreign(*attempt, *ahead, *ends),
            Order::Spawn { parent, retries } => self.spawn(*parent, *retries),
            Order::Ask { parent } => self.ask(*parent),
            Order::Answer(question) => match pick(&self.questions(), *question) {
                Some((run, path)) => self.answer(run, &path),
                None => Ok(()),
            },
            Order::Suspend { attempt, later } => self.suspend(*attempt, *later),
            Order::Stop(action) => self.stop(*action),
            Order::Wait(seconds) => {
                let span = Duration::from_secs(*seconds);
                self.rig.advance(span);
                self.catch_up();
                self.reference.pass(span, &self.seen)?;
                self.settle()
            }
            Order::Restart => {
                let running = |action: &&super::reference::Action| action.at == At::Running;
                let ordered = self.reference.runs.values().flat_map(|run| run.actions.values()).filter(running).count();
                self.rig.restart();
                self.reference.ordered += ordered;
                self.reference.epoch += 1;
                self.settle()
            }
            Order::Cancel(run) | Order::Pause(run) | Order::Resume(run) | Order::Signal { run, .. } => match pick(&runs, *run) {
                Some(run) => self.of_run(order, run),
                None => Ok(()),
            },
            Order::Cordon(site) => self.of_site(*site, SiteOrder::Cordon),
            Order::Uncordon(site) => self.of_site(*site, SiteOrder::Uncordon),
            Order::Drain(site) => self.of_site(*site, SiteOrder::Drain),
            Order::Health(site, healthy) => {
                let name = SITES[*site];
                self.rig.step(Command::SiteHealth { site: name.into(), healthy: *healthy, reason: "a probe".into() });
                self.reference.sites.get_mut(name).expect("it is one").healthy = *healthy;
                self.settle()
            }
        }
    }

    /// Answers what is asked of the store, reads what happened, and lets the reference follow.
    fn settle(&mut self) -> Result<(), String> {
        self.catch_up();
        self.reference.follow(&self.seen)?;
        self.reference.place(&self.seen)
    }

    fn catch_up(&mut self) {
        self.rig.work();
        self.seen.note(&self.rig.events()[self.read..]);
        self.read = self.rig.events().len();
    }

    fn submit(&mut self, graph: usize, key: Option<u8>, reused: BTreeSet<usize>) -> Result<(), String> {
        let (spec, made) = self.specs[graph].clone();
        let mut submit: Submit = self.rig.submission(&made, json!({"yes": true, "no": false}));
        submit.idempotency_key = key.map(|key| format!("key-{key}"));
        let known = key.and_then(|key| self.reference.keys.get(&key).copied());
        submit.known.by_key = known;
        submit.reused = reused.iter().map(|node| (*node as u32, json!({}))).collect();
        let events = self.rig.step(Command::Submit(Box::new(submit)));
        let begun = events.iter().find_map(|event| match event {
            Event::RunSubmitted(e) => Some(e.run),
            _ => None,
        });
        let is_new = known.is_none() || self.reference.is(Wrong::KeyTwice);
        match begun {
            Some(run) if is_new => {
                if let Some(key) = key {
                    self.reference.keys.insert(key, run);
                }
                self.reference.submit(run, graph, spec, reused);
            }
            None if !is_new => {}
            other => return Err(format!("a submission gave {other:?} where {known:?} was known")),
        }
        self.settle()
    }

    /// The same again, with what succeeded standing for itself.
    fn rerun(&mut self, of: RunId) -> Result<(), String> {
        let run = &self.reference.runs[&of];
        let well = run.settled.iter().enumerate().filter(|(_, settled)| **settled == Some(Settled::Well));
        let (graph, reused) = (run.graph, well.map(|(node, _)| node).collect());
        self.submit(graph, None, reused)
    }

    fn send(&mut self, attempt: AttemptKey, epoch: u64, ends: Ends) -> Vec<Event> {
        let failed = |class, permanent| Outcome::Failed(Failure { permanent, ..Failure::new(class, "it failed") });
        let outcome = match ends {
            Ends::Well => Outcome::Succeeded(json!({})),
            Ends::Badly => failed(FailureClass::User, false),
            Ends::ForGood => failed(FailureClass::User, true),
            Ends::NodeLost => failed(FailureClass::NodeLost, false),
            Ends::Aborted => Outcome::Aborted,
        };
        let report = Report { attempt, epoch: Epoch(epoch), outcome, usage: Default::default(), locations: Vec::new() };
        self.rig.step(Command::Report(Box::new(report)))
    }

    fn report(&mut self, run: RunId, path: &str, ends: Ends) -> Result<(), String> {
        let key = self.reference.attempt(run, path);
        self.send(key, self.reference.epoch, ends);
        self.catch_up();
        self.reference.report(run, path, ends, &self.seen)?;
        self.settle()
    }

    /// A report about an attempt that has ended, or that never was: recorded, and nothing else.
    fn late(&mut self, attempt: Index, ahead: bool, ends: Ends) -> Result<(), String> {
        let key = if ahead {
            let current = pick(&self.reference.at_work(), attempt);
            current.map(|(run, path)| self.reference.attempt(run, &path)).map(|mut key| {
                key.attempt = AttemptNo(key.attempt.0 + 1);
                key
            })
        } else {
            pick(&self.reference.past, attempt)
        };
        let Some(key) = key else { return Ok(()) };
        let events = self.send(key, self.reference.epoch, ends);
        if !matches!(events.as_slice(), [Event::ReportIgnored(_)]) {
            return Err(format!("a report about {key} that comes too late or too early gave {events:?}"));
        }
        self.settle()
    }

    fn foreign(&mut self, attempt: Index, ahead: bool, ends: Ends) -> Result<(), String> {
        let Some((run, path)) = pick(&self.reference.at_work(), attempt) else { return Ok(()) };
        let (key, placed) = (self.reference.attempt(run, &path), self.reference.runs[&run].actions[&path].epoch);
        // Epoch 0 is the shell, which may always speak.
        let epoch = if ahead { self.reference.epoch + 1 } else { placed - 1 };
        if epoch == 0 {
            return Ok(());
        }
        self.send(key, epoch, ends);
        self.catch_up();
        if self.reference.is(Wrong::ForeignCounts) {
            self.reference.report(run, &path, ends, &self.seen)?;
        }
        self.settle()
    }

    fn of_run(&mut self, order: &Order, run: RunId) -> Result<(), String> {
        let principal = "ada".to_owned();
        let is_open = self.reference.is_open(run);
        let doing = self.reference.run(run).doing;
        let nodes = self.reference.run(run).settled.len();
        let (command, accepted) = match order {
            Order::Cancel(_) => {
                (Command::Cancel { run, principal, reason: "enough".into() }, !matches!(doing, Doing::Undoing(_)))
            }
            Order::Pause(_) => (Command::Pause { run, principal }, true),
            Order::Resume(_) => (Command::Resume { run, principal }, true),
            Order::Signal { node, .. } => {
                (Command::Signal { run, name: name(node.index(nodes)), payload: json!({}), principal }, true)
            }
            _ => return Ok(()),
        };
        let (taken, right) = (self.rig.try_step(command).is_ok(), is_open && accepted);
        if taken != right {
            return Err(format!("taken: {taken}, where {right} was right, of a run that is {doing:?}"));
        }
        if taken {
            let run = self.reference.run(run);
            match order {
                Order::Cancel(_) if run.doing != Doing::Cancelling => {
                    (run.doing, run.told, run.paused, run.trouble) = (Doing::Cancelling, false, false, false);
                }
                Order::Pause(_) => run.paused = true,
                Order::Resume(_) => run.paused = false,
                Order::Signal { node, .. } => run.signals[node.index(nodes)] += 1,
                _ => {}
            }
        }
        self.settle()
    }

    fn of_site(&mut self, site: usize, order: SiteOrder) -> Result<(), String> {
        self.rig.order(SITES[site], order);
        self.reference.sites.get_mut(SITES[site]).expect("it is one").cordoned = order != SiteOrder::Uncordon;
        if order == SiteOrder::Drain {
            self.reference.drain(SITES[site]);
        }
        self.settle()
    }

    fn spawn(&mut self, parent: Index, retries: u32) -> Result<(), String> {
        let Some((run, above)) = pick(&self.reference.at_work(), parent) else { return Ok(()) };
        self.children += 1;
        let path = format!("child{}", self.children);
        let mut node = Node { id: "child".into(), kind: NodeKind::Task { name: "t".into() }, ..Node::default() };
        node.retry = Retry { max: retries, backoff_min: BACKOFF.0, backoff_max: BACKOFF.1, growth_percent: None };
        let asked = Spawn { parent: self.rig.action(run, &above), path: path.clone(), node: Arc::new(node), ..Spawn::default() };
        let right = self.reference.run(run).doing == Doing::Active && self.reference.action(run, &above).at == At::Running;
        let taken = self.rig.try_step(Command::Spawn(Box::new(asked))).is_ok();
        if taken != right {
            return Err(format!("`{above}` may ask for work: {taken}, where {right} was right"));
        }
        self.catch_up();
        if taken {
            let work = Work { retries, ..Work::default() };
            self.reference.open(run, &path, Role::Child { parent: above }, work, At::Queued, &self.seen)?;
        }
        self.settle()
    }

    /// Something at work asks a person.
    fn ask(&mut self, parent: Index) -> Result<(), String> {
        let Some((run, above)) = pick(&self.reference.at_work(), parent) else { return Ok(()) };
        self.children += 1;
        let path = format!("question{}", self.children);
        let node = Arc::new(Node { id: "question".into(), kind: NodeKind::Human, ..Node::default() });
        let (parent, input) = (self.rig.action(run, &above), Some(json!({ "title": "may it?" })));
        let asked = Spawn { parent, path: path.clone(), node, input, ..Spawn::default() };
        let right = self.reference.run(run).doing == Doing::Active && self.reference.action(run, &above).at == At::Running;
        let taken = self.rig.try_step(Command::Spawn(Box::new(asked))).is_ok();
        if taken != right {
            return Err(format!("`{above}` may ask a person: {taken}, where {right} was right"));
        }
        self.catch_up();
        if taken {
            self.reference.open(run, &path, Role::Child { parent: above }, Work::default(), At::Person, &self.seen)?;
        }
        self.settle()
    }

    /// The questions that wait for somebody.
    fn questions(&self) -> Vec<(RunId, String)> {
        let open = self.reference.runs.iter().filter(|(id, _)| self.reference.is_open(**id));
        let waits = |(id, run): (&RunId, &super::reference::Run)| {
            let paths = run.order.iter().filter(|path| run.actions[*path].at == At::Person);
            paths.map(|path| (*id, path.clone())).collect::<Vec<_>>()
        };
        open.flat_map(waits).collect()
    }

    fn answer(&mut self, run: RunId, path: &str) -> Result<(), String> {
        let (action, principal) = (self.rig.action(run, path), "ada".to_owned());
        let (decision, form) = ("approve".to_owned(), json!({}));
        let decided =
            self.rig.try_step(Command::Decide { action, principal, groups: Vec::new(), decision, form, reason: String::new() });
        decided.map_err(|refusal| format!("`{path}` is not decided: {refusal:?}"))?;
        self.catch_up();
        self.reference.end(run, path, Phase::Succeeded, false);
        self.settle()
    }

    /// Lets go of a process, by preference one that asked for something.
    fn suspend(&mut self, attempt: Index, later: bool) -> Result<(), String> {
        let at_work = self.reference.at_work();
        let asks = |(run, path): &&(RunId, String)| self.reference.runs[run].asked(path) > 0;
        let asking: Vec<(RunId, String)> = at_work.iter().filter(asks).cloned().collect();
        let Some((run, path)) = pick(if asking.is_empty() { &at_work } else { &asking }, attempt) else { return Ok(()) };
        let since = self.rig.now().after(Duration(u64::from(later)));
        let key = self.reference.attempt(run, &path);
        let right = self.reference.may_let_go(run, &path, since);
        let order = Command::Suspend { action: key.action_key(), attempt: key.attempt, since };
        let taken = self.rig.try_step(order).is_ok();
        if taken != right {
            return Err(format!("`{path}` may be let go: {taken}, where {right} was right"));
        }
        if taken {
            self.reference.let_go(run, &path);
        }
        self.settle()
    }

    fn stop(&mut self, action: Index) -> Result<(), String> {
        let children = self.reference.runs.iter().filter(|(id, _)| self.reference.is_open(**id)).flat_map(|(id, run)| {
            let children = run.order.iter().filter(|path| matches!(run.actions[*path].role, Role::Child { .. }));
            children.map(|path| (*id, path.clone()))
        });
        let Some((run, path)) = pick(&children.collect::<Vec<_>>(), action) else { return Ok(()) };
        let key = self.rig.action(run, &path);
        self.rig.step(Command::StopAction { action: key, principal: "ada".into(), reason: "enough".into() });
        // What was to go on elsewhere does not.
        if matches!(self.reference.action(run, &path).at, At::Stopping(Why::Drained | Why::Suspended)) {
            self.reference.action(run, &path).at = At::Running;
        }
        if !matches!(self.reference.action(run, &path).at, At::Done(_) | At::Stopping(_)) {
            self.reference.stop(run, &path);
        }
        self.settle()
    }

    /// Ends everything: sites open, nothing is held, whoever works succeeds. A run that does not end has lost something.
    fn finish(&mut self) -> Result<(), String> {
        for site in 0..SITES.len() {
            self.obey(&Order::Uncordon(site))?;
            self.obey(&Order::Health(site, true))?;
        }
        for _ in 0..TURNS_MAX {
            let open: Vec<RunId> = self.reference.runs.keys().copied().filter(|id| self.reference.is_open(*id)).collect();
            if open.is_empty() {
                return self.compare();
            }
            for run in open {
                self.rig.step(Command::Resume { run, principal: "ada".into() });
                self.reference.run(run).paused = false;
                self.settle()?;
                if !self.reference.is_open(run) {
                    continue;
                }
                let waits = |node: &usize| {
                    self.reference.runs[&run].actions.get(&name(*node)).is_some_and(|action| action.at == At::Signal)
                };
                let nodes = self.reference.runs[&run].settled.len();
                if let Some(node) = (0..nodes).find(waits) {
                    let (name, payload, principal) = (name(node), json!({}), "ada".into());
                    self.rig.step(Command::Signal { run, name, payload, principal });
                    self.reference.run(run).signals[node] += 1;
                    self.settle()?;
                }
            }
            for (run, path) in self.questions() {
                if self.questions().contains(&(run, path.clone())) {
                    self.answer(run, &path)?;
                }
            }
            for (run, path) in self.reference.at_work() {
                if matches!(self.reference.action(run, &path).at, At::Running | At::Stopping(_)) {
                    self.report(run, &path, Ends::Well)?;
                }
            }
            self.obey(&Order::Wait(61))?;
            self.compare().map_err(|what| format!("at the end: {what}"))?;
        }
        Err("some runs do not end".into())
    }

    /// Both have to be in the same place.
    fn compare(&mut self) -> Result<(), String> {
        let mut due: BTreeSet<String> = BTreeSet::new();
        let (mut open, mut queued) = (0, 0);
        for (id, run) in &self.reference.runs {
            let ended = match run.doing {
                Doing::Ended(phase) => Some(phase),
                _ => None,
            };
            same(&format!("the end of run {id}"), self.rig.ended(*id).map(|ended| ended.phase), ended)?;
            same(&format!("run {id} is open"), self.rig.state.is_open(*id), ended.is_none())?;
            same(&format!("the actions of run {id}"), self.rig.paths(*id), run.actions.keys().cloned().collect())?;
            for (path, action) in &run.actions {
                let key = self.rig.action(*id, path);
                let (name, phase) = named(&action.at);
                same(&format!("the phase of `{path}` of run {id}"), self.rig.phase(*id, path), phase)?;
                if ended.is_none() {
                    same(&format!("`{path}` of run {id}"), self.rig.state.state_of(key), Some(name))?;
                }
                let attempt = self.reference.attempt(*id, path);
                match action.at {
                    At::Running => drop(due.insert(format!("begin {attempt}"))),
                    At::Stopping(_) => drop(due.insert(format!("stop {attempt}"))),
                    At::Queued => queued += 1,
                    _ => {}
                }
            }
            for (node, _) in run.settled.iter().enumerate().filter(|(_, settled)| **settled == Some(Settled::Skipped)) {
                same("a node left out", self.rig.phase(*id, &name(node)), Some(Phase::Skipped))?;
            }
            open += run.open() as u64;
        }
        same("open actions", self.rig.state.open_actions(), open)?;
        same("queued actions", self.rig.state.fleet().queued(), queued)?;
        let outstanding = self.rig.state.outstanding().into_iter().map(|effect| match effect {
            Effect::Dispatch(order) => format!("begin {}", order.key),
            Effect::Cancel { attempt, .. } => format!("stop {attempt}"),
            other => format!("{other:?}"),
        });
        same("what is outstanding", outstanding.collect(), due)?;
        same("orders to begin", self.rig.dispatched().len(), self.reference.ordered)?;
        for (name, site) in self.rig.state.fleet().sites() {
            let here: BTreeSet<_> = site.running.iter().copied().collect();
            let at_work = self.reference.at_work();
            let right = at_work.iter().filter(|(id, path)| self.reference.runs[id].actions[path].site.as_deref() == Some(name));
            same(&format!("what is at `{name}`"), here, right.map(|(id, path)| self.rig.action(*id, path)).collect())?;
        }
        Ok(())
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, is: T, right: T) -> Result<(), String> {
    if is == right { Ok(()) } else { Err(format!("{what}: the engine has {is:?}, {right:?} is right")) }
}

/// What the engine calls it.
fn named(at: &At) -> (&'static str, Option<Phase>) {
    match at {
        At::Queued => ("queued", None),
        At::Running => ("running", None),
        At::Stopping(_) => ("stopping", None),
        At::Backoff => ("backoff", None),
        At::AwaitingTwin => ("awaiting_twin", None),
        At::Signal => ("awaiting_signal", None),
        At::Person => ("human", None),
        At::Suspended => ("suspended", None),
        At::Each { .. } => ("each", None),
        At::Done(phase) => ("done", Some(*phase)),
    }
}
