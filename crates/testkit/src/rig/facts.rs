//! What can be read from the events alone: a small projection for the assertions of tests.

use std::collections::{BTreeMap, BTreeSet};

use engine::Event;
use engine::event::RunFinished;
use model::{ActionKey, AttemptKey, AttemptNo, Failure, Payload, Phase, RunId, TransferPath};
use serde_json::Value;

#[derive(Default)]
pub(super) struct Facts {
    runs: BTreeMap<RunId, RunFacts>,
    actions: BTreeMap<ActionKey, ActionFacts>,
}

#[derive(Default)]
struct RunFacts {
    project: String,
    key: Option<String>,
    by_path: BTreeMap<String, ActionKey>,
    skipped: BTreeSet<String>,
    ended: Option<RunFinished>,
}

#[derive(Default)]
struct ActionFacts {
    path: String,
    site: String,
    attempt: AttemptNo,
    phase: Option<Phase>,
    output: Option<Payload>,
    failure: Option<Failure>,
}

impl Facts {
    pub(super) fn note(&mut self, event: &Event) {
        match event {
            Event::RunSubmitted(e) => {
                let facts = RunFacts { project: e.project.clone(), key: e.idempotency_key.clone(), ..RunFacts::default() };
                self.runs.insert(e.run, facts);
            }
            Event::ActionsOpened(e) => {
                for opened in &e.actions {
                    let key = ActionKey::new(e.run, opened.action);
                    let mut facts = ActionFacts { path: opened.path.clone(), ..ActionFacts::default() };
                    if let engine::event::Role::Transfer { to, .. } = &opened.role {
                        (facts.site, facts.attempt) = (to.clone(), AttemptNo(1));
                    }
                    self.actions.insert(key, facts);
                    let known = self.runs.entry(e.run).or_default().by_path.insert(opened.path.clone(), key);
                    assert!(known.is_none(), "the path `{}` is not unique within its run", opened.path);
                }
            }
            Event::ChildOpened(e) => {
                let (key, path) = (ActionKey::new(e.run, e.opened.action), e.opened.path.clone());
                self.actions.insert(key, ActionFacts { path: path.clone(), ..ActionFacts::default() });
                let known = self.runs.entry(e.run).or_default().by_path.insert(path, key);
                assert!(known.is_none(), "the path `{}` is not unique within its run", e.opened.path);
            }
            Event::NodesSkipped(e) => {
                let paths = e.nodes.iter().map(|node| node.path.clone());
                self.runs.entry(e.run).or_default().skipped.extend(paths);
            }
            Event::ActionsPlaced(e) => {
                for placed in &e.actions {
                    let facts = self.actions.entry(ActionKey::new(e.run, placed.action)).or_default();
                    (facts.site, facts.attempt) = (e.site.clone(), placed.attempt);
                }
            }
            Event::AttemptFinished(e) => {
                let facts = self.actions.entry(ActionKey::new(e.run, e.action)).or_default();
                if e.retry_at.is_none() {
                    facts.end(e.phase, e.output.clone(), e.failure.clone());
                } else if TransferPath::is_one(&facts.path) {
                    facts.attempt = AttemptNo(e.attempt.0 + 1);
                }
            }
            Event::ActionFinished(e) => {
                let facts = self.actions.entry(ActionKey::new(e.run, e.action)).or_default();
                facts.end(e.phase, e.output.clone(), e.failure.clone());
            }
            Event::CancelRequested(e) => {
                for action in &e.ended {
                    let facts = self.actions.entry(ActionKey::new(e.run, *action)).or_default();
                    facts.end(Phase::Aborted, None, None);
                }
            }
            Event::RunFinished(e) => {
                let run = self.runs.entry(e.run).or_default();
                assert!(run.ended.is_none(), "run {} ends twice", e.run);
                let open: Vec<&String> =
                    run.by_path.iter().filter(|(_, key)| self.actions[key].phase.is_none()).map(|(path, _)| path).collect();
                assert!(open.is_empty(), "run {} ends with open actions: {open:?}", e.run);
                run.ended = Some((**e).clone());
            }
            _ => {}
        }
    }

    pub(super) fn project(&self, run: RunId) -> String {
        self.runs.get(&run).map(|run| run.project.clone()).unwrap_or_default()
    }

    pub(super) fn newest(&self) -> Option<RunId> {
        self.runs.keys().next_back().copied()
    }

    pub(super) fn by_key(&self, key: Option<&str>) -> RunId {
        let found = self.runs.iter().find(|(_, run)| run.key.is_some() && run.key.as_deref() == key);
        found.map(|(run, _)| *run).unwrap_or_default()
    }

    pub(super) fn action(&self, run: RunId, path: &str) -> ActionKey {
        match self.runs.get(&run).and_then(|run| run.by_path.get(path)) {
            Some(key) => *key,
            None => panic!("there is no action `{path}` in run {run}"),
        }
    }

    pub(super) fn path(&self, key: ActionKey) -> String {
        self.actions.get(&key).map(|action| action.path.clone()).unwrap_or_default()
    }

    pub(super) fn attempt(&self, key: ActionKey) -> AttemptKey {
        let attempt = self.actions.get(&key).map(|action| action.attempt).unwrap_or_default();
        AttemptKey { run: key.run, action: key.action, attempt }
    }

    pub(super) fn site(&self, key: ActionKey) -> String {
        self.actions.get(&key).map(|action| action.site.clone()).unwrap_or_default()
    }

    pub(super) fn phase(&self, run: RunId, path: &str) -> Option<Phase> {
        let run = self.runs.get(&run)?;
        if run.skipped.contains(path) {
            return Some(Phase::Skipped);
        }
        self.actions.get(run.by_path.get(path)?)?.phase
    }

    pub(super) fn failure(&self, run: RunId, path: &str) -> Option<Failure> {
        self.actions.get(&self.action(run, path))?.failure.clone()
    }

    pub(super) fn output(&self, run: RunId, path: &str) -> Value {
        let action = self.actions.get(&self.action(run, path));
        action.and_then(|action| action.output.as_ref()).map_or(Value::Null, |output| output.value().clone())
    }

    pub(super) fn ended(&self, run: RunId) -> Option<&RunFinished> {
        self.runs.get(&run)?.ended.as_ref()
    }

    pub(super) fn paths(&self, run: RunId) -> BTreeSet<String> {
        self.runs.get(&run).map(|run| run.by_path.keys().cloned().collect()).unwrap_or_default()
    }
}

impl ActionFacts {
    fn end(&mut self, phase: Phase, output: Option<Payload>, failure: Option<Failure>) {
        assert!(self.phase.is_none(), "`{}` ends twice", self.path);
        (self.phase, self.output, self.failure) = (Some(phase), output, failure);
    }
}
