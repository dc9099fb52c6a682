//! Read models, changed in the transaction of the facts they are made from. Changes of one transaction are gathered first, so that an
//! action that is opened, placed and finished in one commit is written once.

mod fleet;
mod write;

use std::collections::BTreeMap;

use engine::Event;
use engine::event::{ActionKind, ActionsPlaced, Opened, Origin, Placed};
use model::{ActionNo, Failure, Phase, RunId};
use serde_json::{Value, json};

use crate::Entry;

/// Changes to read models in the making.
#[derive(Default)]
pub(crate) struct Projection {
    runs: BTreeMap<u64, RunChange>,
    actions: BTreeMap<(u64, u32), ActionChange>,
    explanations: BTreeMap<i64, String>,
    /// Written before the actions: they look at how the actions were.
    attempts: Vec<Statement>,
    rest: Vec<Statement>,
}

/// A change that is written as it is.
type Statement = (&'static str, Vec<rusqlite::types::Value>);

#[derive(Default)]
struct RunChange {
    /// name, project, domain, workflow, principal, origin, key, graph, submitted_at, first_seq
    submitted: Option<Submitted>,
    phase: Option<Phase>,
    paused: Option<bool>,
    finished_at: Option<u64>,
    finished_seq: Option<u64>,
    cost: i64,
    failure: Option<String>,
    outputs_seq: Option<u64>,
    last_seq: u64,
    opened: i64,
    done: i64,
}

struct Submitted {
    name: String,
    project: String,
    domain: String,
    workflow: String,
    principal: String,
    origin: String,
    key: Option<String>,
    graph: [u8; 32],
    run_labels: Option<String>,
    at: u64,
    seq: u64,
}

#[derive(Default)]
struct ActionChange {
    path: Option<String>,
    kind: Option<ActionKind>,
    place: Option<(u32, u32)>,
    phase: Option<Phase>,
    site: Option<String>,
    host: Option<String>,
    opened_at: Option<u64>,
    started_at: Option<u64>,
    finished_at: Option<u64>,
    attempt: Option<u32>,
    cost: i64,
    usage: Option<engine::event::Usage>,
    failure: Option<String>,
    input: Option<(u64, u32)>,
    output_seq: Option<u64>,
    reused: Option<bool>,
    explanation: Option<i64>,
    first_by: Option<String>,
    escalated: Option<u32>,
    /// Empty when it waits for nobody any more.
    waits_for: Option<String>,
    /// When its attempt can have begun at the latest, where nobody said when it did.
    began_by: Option<u64>,
}

/// A failure as projections hold it. What it says lies with the bodies of the entry, behind its output if it has one: `text` says where.
fn failure_json(failure: &Failure, seq: u64, output: bool) -> String {
    let mut json = json!({"class": failure.class, "message": failure.message, "exit_code": failure.exit_code});
    if failure.text.is_some() {
        json["text"] = json!([seq, u32::from(output)]);
    }
    if let Some(code) = &failure.code {
        json["code"] = code.clone().into();
    }
    if failure.permanent {
        json["permanent"] = true.into();
    }
    json.to_string()
}

/// A failure after which it is tried again, with when.
fn repeated_json(failure: &str, at: model::Timestamp) -> String {
    let mut json: Value = serde_json::from_str(failure).unwrap_or_default();
    json["retry_at"] = at.0.into();
    json.to_string()
}

/// Where a run came from, as projections store it.
fn origin_json(origin: &Origin) -> String {
    match origin {
        Origin::Submitted => json!({"kind": "submitted"}),
        Origin::Trigger { trigger, due } => json!({"kind": "trigger", "trigger": trigger, "due": due.0}),
        Origin::Rerun { of } => json!({"kind": "rerun", "of": of.0}),
    }
    .to_string()
}

impl Projection {
    /// Notes what an entry at `seq` changes.
    pub(crate) fn note(&mut self, seq: u64, entry: &Entry) {
        if entry.run != RunId::FLEET {
            self.run(entry.run).last_seq = seq;
        }
        match &entry.event {
            Event::RunSubmitted(_)
            | Event::RunCancelRequested(_)
            | Event::RunFailing(_)
            | Event::RunPaused(_)
            | Event::RunResumed(_)
            | Event::RunBegan(_)
            | Event::RunFinished(_)
            | Event::NodesSkipped(_) => self.note_run(seq, entry),
            Event::ActionsOpened(_)
            | Event::ChildOpened(_)
            | Event::ActionStopRequested(_)
            | Event::ActionsPlaced(_)
            | Event::ActionsParked(_)
            | Event::AttemptStarted(_)
            | Event::AttemptFinished(_)
            | Event::RetryDue(_)
            | Event::ActionFinished(_)
            | Event::CancelRequested(_)
            | Event::HumanDecided(_)
            | Event::HumanEscalated(_)
            | Event::RecallMissed(_) => self.note_action(seq, entry),
            Event::HumanDelegated(e) => self.person(e.run, e.action, seq),
            Event::HumanSeen(e) => self.person(e.run, e.action, seq),
            Event::ArtifactsLabelled(e) => {
                for (artifact, label) in &e.labels {
                    for tag in &label.0 {
                        let values = vec![artifact.0.to_vec().into(), tag.clone().into()];
                        self.rest.push(("INSERT OR IGNORE INTO artifact_labels VALUES (?1, ?2)", values));
                    }
                }
            }
            _ => self.note_fleet(seq, entry),
        }
    }

    fn run(&mut self, run: RunId) -> &mut RunChange {
        self.runs.entry(run.0).or_default()
    }

    fn action(&mut self, run: RunId, action: ActionNo) -> &mut ActionChange {
        self.actions.entry((run.0, action.0)).or_default()
    }

    fn note_run(&mut self, seq: u64, entry: &Entry) {
        let at = entry.at.0;
        match &entry.event {
            Event::RunSubmitted(e) => {
                self.origins(e.run, None, &e.locations, seq);
                for (key, value) in e.run_labels.iter().flatten() {
                    let values = vec![key.clone().into(), value.clone().into(), (e.run.0 as i64).into()];
                    self.rest.push(("INSERT OR IGNORE INTO run_labels VALUES (?1, ?2, ?3)", values));
                }
                let change = self.run(e.run);
                change.phase = Some(if e.behind.is_some() { Phase::Queued } else { Phase::Running });
                change.submitted = Some(Submitted {
                    name: e.name.clone(),
                    project: e.project.clone(),
                    domain: e.domain.clone(),
                    workflow: e.workflow.clone(),
                    principal: e.principal.clone(),
                    origin: origin_json(&e.origin),
                    key: e.idempotency_key.clone(),
                    graph: e.graph.0,
                    run_labels: e.run_labels.as_ref().and_then(|labels| serde_json::to_string(labels).ok()),
                    at,
                    seq,
                });
            }
            Event::RunFailing(e) => self.run(e.run).failure = Some(failure_json(&e.failure, seq, false)),
            Event::RunPaused(e) => self.run(e.run).paused = Some(true),
            Event::RunResumed(e) => self.run(e.run).paused = Some(false),
            Event::RunBegan(e) => self.run(e.run).phase = Some(Phase::Running),
            Event::RunCancelRequested(e) => self.run(e.run).paused = Some(false),
            Event::RunFinished(e) => {
                let change = self.run(e.run);
                change.phase = Some(e.phase);
                change.finished_at = Some(at);
                change.finished_seq = Some(seq);
                let output = e.outputs.is_some();
                let failure = e.failure.as_ref().map(|failure| failure_json(failure, seq, output));
                change.failure = failure.or(change.failure.take());
                change.outputs_seq = e.outputs.is_some().then_some(seq);
            }
            Event::NodesSkipped(e) => {
                for node in &e.nodes {
                    let values = vec![e.run.0 as i64, 0, node.kind as i64, node.why as i64, at as i64];
                    let mut values: Vec<rusqlite::types::Value> = values.into_iter().map(Into::into).collect();
                    values[1] = node.path.clone().into();
                    self.rest.push(("INSERT OR REPLACE INTO skipped VALUES (?1, ?2, ?3, ?4, ?5)", values));
                }
            }
            _ => {}
        }
    }

    fn open(&mut self, run: RunId, opened: &Opened, at: u64, seq: u64, input_n: &mut u32) {
        let change = self.action(run, opened.action);
        change.path = Some(opened.path.clone());
        change.kind = Some(opened.kind);
        change.place = Some((opened.scope, opened.node));
        change.opened_at = Some(at);
        let placed = matches!(opened.kind, ActionKind::Use | ActionKind::Run | ActionKind::Task) || opened.recall.is_some();
        change.phase = Some(if placed { Phase::Queued } else { Phase::Running });
        if !placed {
            change.started_at = Some(at);
        }
        if let engine::event::Role::Transfer { from, to, .. } = &opened.role {
            change.site = Some(to.clone());
            // Where it comes from, as other actions say which process they are: that site's price is on the bill.
            change.host = Some(from.clone());
        }
        if opened.input.is_some() {
            change.input = Some((seq, *input_n));
            *input_n += 1;
        }
        self.run(run).opened += 1;
    }

    fn note_action(&mut self, seq: u64, entry: &Entry) {
        let at = entry.at.0;
        match &entry.event {
            Event::ActionsOpened(e) => {
                let mut input_n = 0;
                e.actions.iter().for_each(|opened| self.open(e.run, opened, at, seq, &mut input_n));
            }
            Event::ChildOpened(e) => {
                self.open(e.run, &e.opened, at, seq, &mut 0);
                self.child(e);
            }
            Event::ActionStopRequested(e) => {
                let values = vec![(e.run.0 as i64).into(), e.action.0.into(), e.reason.clone().into()];
                self.rest.push(("UPDATE children SET stopped = ?3 WHERE run = ?1 AND no = ?2", values));
            }
            Event::ActionsPlaced(e) => {
                let explanation = self.explanation(&e.explanation);
                e.actions.iter().for_each(|placed| self.place(e, placed, explanation, at));
            }
            Event::ActionsParked(e) => {
                let explanation = self.explanation(&e.explanation);
                for action in &e.actions {
                    let change = self.action(e.run, *action);
                    change.phase = Some(Phase::WaitingForResources);
                    change.explanation = Some(explanation);
                    change.waits_for = Some(String::new());
                }
            }
            Event::AttemptStarted(e) => {
                let change = self.action(e.run, e.action);
                change.phase = Some(Phase::Running);
                change.started_at = Some(at);
                change.host = Some(e.host.clone());
                change.waits_for = Some(String::new());
            }
            Event::AttemptFinished(_) => self.finish_attempt(seq, entry),
            Event::RetryDue(e) | Event::RecallMissed(e) => self.action(e.run, e.action).phase = Some(Phase::Queued),
            Event::ActionFinished(e) => {
                let change = self.action(e.run, e.action);
                change.phase = Some(e.phase);
                change.finished_at = Some(at);
                change.output_seq = e.output.is_some().then_some(seq);
                change.failure = e.failure.as_ref().map(|failure| failure_json(failure, seq, e.output.is_some()));
                change.reused = e.reused.then_some(true);
                self.run(e.run).done += 1;
            }
            Event::CancelRequested(e) => {
                for action in &e.ended {
                    let change = self.action(e.run, *action);
                    change.phase = Some(Phase::Aborted);
                    change.finished_at = Some(at);
                    change.failure = None;
                }
                self.run(e.run).done += e.ended.len() as i64;
            }
            Event::HumanDecided(e) => {
                self.action(e.run, e.action).first_by = Some(e.principal.clone());
                self.person(e.run, e.action, seq);
            }
            Event::HumanEscalated(e) => self.action(e.run, e.action).escalated = Some(e.step + 1),
            _ => {}
        }
    }

    /// Notes that a person did something about a question.
    fn person(&mut self, run: RunId, action: ActionNo, seq: u64) {
        let values = vec![(run.0 as i64).into(), action.0.into(), (seq as i64).into()];
        self.rest.push(("INSERT OR IGNORE INTO people VALUES (?1, ?2, ?3)", values));
    }

    /// Notes where artifacts came from: from an action, or into the run from outside.
    fn origins(&mut self, run: RunId, action: Option<ActionNo>, located: &[engine::event::Located], seq: u64) {
        for one in located {
            let no = action.map_or(-1, |action| i64::from(action.0));
            let values = vec![
                one.artifact.0.to_vec().into(),
                (run.0 as i64).into(),
                no.into(),
                (one.size as i64).into(),
                (seq as i64).into(),
            ];
            self.rest.push(("INSERT OR IGNORE INTO artifact_origins VALUES (?1, ?2, ?3, ?4, ?5)", values));
        }
    }

    fn child(&mut self, e: &engine::event::ChildOpened) {
        let engine::event::Role::Child { parent } = e.opened.role else { return };
        let node: Option<model::Node> = serde_json::from_str(&e.definition).ok();
        let work = match node.map(|node| (node.id, node.kind)) {
            Some((_, model::NodeKind::Task { name })) => name,
            Some((id, _)) => id,
            None => String::new(),
        };
        let values = vec![(e.run.0 as i64).into(), e.opened.action.0.into(), parent.0.into(), work.into()];
        self.rest.push(("INSERT OR REPLACE INTO children VALUES (?1, ?2, ?3, ?4, NULL)", values));
    }

    fn place(&mut self, event: &ActionsPlaced, placed: &Placed, explanation: i64, at: u64) {
        let change = self.action(event.run, placed.action);
        let ready = placed.awaits.is_empty();
        change.phase = Some(match &event.worker {
            Some(_) => Phase::WaitingForResources,
            None if ready => Phase::Running,
            None => Phase::Initializing,
        });
        if ready && event.worker.is_none() {
            change.started_at = Some(at);
        }
        change.waits_for = event.worker.clone().or(Some(String::new()));
        change.site = Some(event.site.clone());
        change.attempt = Some(placed.attempt.0);
        change.explanation = Some(explanation);
    }

    /// Equal explanations are stored once.
    fn explanation(&mut self, json: &str) -> i64 {
        let digest = model::Digest::of(json.as_bytes());
        let id = digest.0.first_chunk::<8>().map(|head| i64::from_be_bytes(*head)).unwrap_or_default();
        self.explanations.entry(id).or_insert_with(|| json.to_owned());
        id
    }

    fn finish_attempt(&mut self, seq: u64, entry: &Entry) {
        let Event::AttemptFinished(e) = &entry.event else { return };
        self.origins(e.run, Some(e.action), &e.locations, seq);
        let at = entry.at.0;
        let change = self.action(e.run, e.action);
        let failure = e.failure.as_ref().map(|failure| failure_json(failure, seq, e.output.is_some()));
        change.attempt = Some(e.attempt.0);
        change.cost += e.cost.0;
        change.usage = Some(e.usage);
        change.failure = match (e.retry_at, &failure) {
            (Some(at), Some(failure)) => Some(repeated_json(failure, at)),
            _ => failure.clone(),
        };
        change.phase = Some(match e.retry_at {
            // Without a process, until there is something to tell it.
            Some(_) if e.phase != Phase::Paused => Phase::Queued,
            _ => e.phase,
        });
        let site = change.site.clone();
        if e.retry_at.is_none() {
            change.finished_at = Some(at);
            change.began_by.get_or_insert(at.saturating_sub(e.usage.wall_us));
            change.output_seq = e.output.is_some().then_some(seq);
        } else {
            let values = vec![
                (e.run.0 as i64).into(),
                e.action.0.into(),
                e.attempt.0.into(),
                site.map_or(rusqlite::types::Value::Null, Into::into),
                (e.phase as i64).into(),
                (at as i64).into(),
                e.cost.0.into(),
                column(e.usage.wall_us).into(),
                failure.map_or(rusqlite::types::Value::Null, Into::into),
            ];
            let sql = "INSERT OR REPLACE INTO attempts VALUES (?1, ?2, ?3, coalesce(?4, (SELECT site FROM actions WHERE run = ?1 AND no = ?2)), ?5, ?6, ?7, ?8, ?9)";
            self.attempts.push((sql, values));
        }
        let run = self.run(e.run);
        run.cost += e.cost.0;
        run.done += i64::from(e.retry_at.is_none());
    }
}

/// A count as a column can hold it. What reports a count beyond that is not believed anyway.
fn column(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
