//! Read models, changed in the transaction of the facts they are made from. Changes of one transaction are gathered first, so that an
//! action that is opened, placed and finished in one commit is written once.

use std::collections::BTreeMap;

use engine::Event;
use engine::event::{ActionKind, ActionsPlaced, Opened, Origin, Placed};
use model::{ActionNo, Failure, Phase, RunId};
use rusqlite::{Transaction, params};
use serde_json::{Value, json};

use crate::{Entry, JournalError};

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

pub(crate) fn failure_json(failure: &Failure) -> String {
    let mut json = json!({"class": failure.class, "message": failure.message, "exit_code": failure.exit_code});
    if let Some(code) = &failure.code {
        json["code"] = code.clone().into();
    }
    if failure.permanent {
        json["permanent"] = true.into();
    }
    json.to_string()
}

/// A failure after which it is tried again, with when.
fn repeated_json(failure: &Failure, at: model::Timestamp) -> String {
    let mut json: Value = serde_json::from_str(&failure_json(failure)).unwrap_or_default();
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
                    at,
                    seq,
                });
            }
            Event::RunFailing(e) => self.run(e.run).failure = Some(failure_json(&e.failure)),
            Event::RunPaused(e) => self.run(e.run).paused = Some(true),
            Event::RunResumed(e) => self.run(e.run).paused = Some(false),
            Event::RunBegan(e) => self.run(e.run).phase = Some(Phase::Running),
            Event::RunCancelRequested(e) => self.run(e.run).paused = Some(false),
            Event::RunFinished(e) => {
                let change = self.run(e.run);
                change.phase = Some(e.phase);
                change.finished_at = Some(at);
                change.finished_seq = Some(seq);
                change.failure = e.failure.as_ref().map(failure_json).or(change.failure.take());
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
                change.failure = e.failure.as_ref().map(failure_json);
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
        let failure = e.failure.as_ref().map(failure_json);
        change.attempt = Some(e.attempt.0);
        change.cost += e.cost.0;
        change.usage = Some(e.usage);
        change.failure = match (e.retry_at, &e.failure) {
            (Some(at), Some(failure)) => Some(repeated_json(failure, at)),
            _ => failure.clone(),
        };
        change.phase = Some(if e.retry_at.is_some() { Phase::Queued } else { e.phase });
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

    fn note_fleet(&mut self, seq: u64, entry: &Entry) {
        let at = entry.at.0 as i64;
        let site_order = |sql: &'static str, site: &str| (sql, vec![site.to_owned().into()]);
        let statement: Statement = match &entry.event {
            Event::OutputKept(e) => {
                let locations: Vec<Value> =
                    e.locations.iter().map(|l| json!({"artifact": l.artifact, "size": l.size, "site": l.site})).collect();
                let values = vec![
                    (e.run.0 as i64).into(),
                    (e.key.kind as i64).into(),
                    e.key.key.0.to_vec().into(),
                    (seq as i64).into(),
                    at.into(),
                    Value::Array(locations).to_string().into(),
                ];
                // The run of the output was written before, in this transaction or in an earlier one.
                ("INSERT OR REPLACE INTO recalls SELECT project, ?2, ?3, ?4, ?1, ?5, ?6 FROM runs WHERE id = ?1", values)
            }
            Event::SiteRegistered(e) => {
                let spec = serde_json::to_string(&e.site).unwrap_or_default();
                let sql = "INSERT INTO sites VALUES (?1, ?2, 0, 0, 1, '') ON CONFLICT (name) DO UPDATE SET spec = excluded.spec";
                (sql, vec![e.site.name.clone().into(), spec.into()])
            }
            Event::SiteRemoved(e) => site_order("DELETE FROM sites WHERE name = ?1", &e.site),
            Event::SiteCordoned(e) => site_order("UPDATE sites SET cordoned = 1, drained = 0 WHERE name = ?1", &e.site),
            Event::SiteUncordoned(e) => site_order("UPDATE sites SET cordoned = 0, drained = 0 WHERE name = ?1", &e.site),
            Event::SiteDrained(e) => site_order("UPDATE sites SET cordoned = 1, drained = 1 WHERE name = ?1", &e.site),
            Event::SiteHealthChanged(e) => {
                let values = vec![e.site.clone().into(), i64::from(e.healthy).into(), e.reason.clone().into()];
                ("UPDATE sites SET healthy = ?2, reason = ?3 WHERE name = ?1", values)
            }
            Event::ResourceApplied(e) => {
                let values = vec![
                    e.kind.clone().into(),
                    e.name.clone().into(),
                    column(e.version).into(),
                    at.into(),
                    e.principal.clone().into(),
                    e.body.value().to_string().into(),
                    (seq as i64).into(),
                ];
                ("INSERT OR REPLACE INTO resources VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)", values)
            }
            Event::ResourceDeleted(e) => {
                ("DELETE FROM resources WHERE kind = ?1 AND name = ?2", vec![e.kind.clone().into(), e.name.clone().into()])
            }
            Event::BodiesPruned(e) => return self.prune(seq, e.before.0),
            Event::DataErased(e) => return self.erase(seq, &e.runs),
            Event::TriggerFired(e) => {
                let run = e.run.map_or(rusqlite::types::Value::Null, |run| (run.0 as i64).into());
                let left_out = e.left_out.map_or(rusqlite::types::Value::Null, |why| why.as_str().to_owned().into());
                let values = vec![
                    (seq as i64).into(),
                    e.trigger.clone().into(),
                    column(e.due.0).into(),
                    at.into(),
                    run,
                    e.missed.into(),
                    left_out,
                ];
                ("INSERT OR REPLACE INTO firings VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)", values)
            }
            _ => return,
        };
        self.rest.push(statement);
    }

    /// Marks the runs whose bodies are to go, and forgets what is kept of them under keys. Of the runs that end in this transaction only those
    /// count that ended before this entry.
    fn prune(&mut self, seq: u64, before: u64) {
        let values = || vec![column(seq).into(), column(before).into()];
        let mark = "UPDATE runs SET pruned = -?1 WHERE finished_at < ?2 AND finished_seq < ?1 AND pruned = 0";
        let forget = "DELETE FROM recalls WHERE run IN (SELECT id FROM runs WHERE pruned = -?1) AND ?2 IS NOT NULL";
        self.rest.extend([(mark, values()), (forget, values())]);
    }

    /// The same for runs that are erased.
    fn erase(&mut self, seq: u64, runs: &[RunId]) {
        for run in runs {
            let values = || vec![column(seq).into(), column(run.0).into()];
            let mark = "UPDATE runs SET pruned = -?1 WHERE id = ?2 AND pruned != 1";
            let forget = "DELETE FROM recalls WHERE run = ?2 AND ?1 IS NOT NULL";
            self.rest.extend([(mark, values()), (forget, values())]);
        }
    }

    /// Writes the changes.
    pub(crate) fn write(self, transaction: &Transaction<'_>) -> Result<(), JournalError> {
        for (id, json) in &self.explanations {
            transaction.prepare_cached("INSERT OR IGNORE INTO explanations VALUES (?1, ?2)")?.execute(params![id, json])?;
        }
        write_runs(transaction, &self.runs)?;
        write_statements(transaction, self.attempts)?;
        write_actions(transaction, &self.actions)?;
        write_statements(transaction, self.rest)
    }
}

fn write_statements(transaction: &Transaction<'_>, statements: Vec<Statement>) -> Result<(), JournalError> {
    for (sql, values) in statements {
        transaction.prepare_cached(sql)?.execute(rusqlite::params_from_iter(values))?;
    }
    Ok(())
}

/// A count as a column can hold it. What reports a count beyond that is not believed anyway.
fn column(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn write_runs(transaction: &Transaction<'_>, runs: &BTreeMap<u64, RunChange>) -> Result<(), JournalError> {
    // Whole, as it is at the end of the transaction: a run that begins and ends in one is written once.
    let mut insert = transaction.prepare_cached(
        "INSERT INTO runs (id, phase, paused, cost, failure, outputs_seq, last_seq, actions_total, actions_done, finished_at, finished_seq,
         name, project, domain, workflow, graph, principal, origin, idempotency_key, submitted_at, first_seq)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21)",
    )?;
    let mut update = transaction.prepare_cached(
        "UPDATE runs SET phase = coalesce(?2, phase), paused = coalesce(?3, paused), cost = cost + ?4, failure = coalesce(?5, failure),
         outputs_seq = coalesce(?6, outputs_seq), last_seq = ?7, actions_total = actions_total + ?8, actions_done = actions_done + ?9
         WHERE id = ?1",
    )?;
    // On its own: the index of open runs hangs on it, and would otherwise be written at every change of a run.
    let mut finish = transaction.prepare_cached("UPDATE runs SET finished_at = ?2, finished_seq = ?3 WHERE id = ?1")?;
    for (id, run) in runs {
        let phase = run.phase.map(|phase| phase as i64);
        if let Some(s) = &run.submitted {
            insert.execute(params![
                id,
                phase,
                run.paused.unwrap_or_default(),
                run.cost,
                run.failure,
                run.outputs_seq,
                run.last_seq,
                run.opened,
                run.done,
                run.finished_at,
                run.finished_seq,
                s.name,
                s.project,
                s.domain,
                s.workflow,
                s.graph,
                s.principal,
                s.origin,
                s.key,
                s.at,
                s.seq,
            ])?;
            continue;
        }
        update.execute(params![
            id,
            phase,
            run.paused,
            run.cost,
            run.failure,
            run.outputs_seq,
            run.last_seq,
            run.opened,
            run.done
        ])?;
        if run.finished_at.is_some() {
            finish.execute(params![id, run.finished_at, run.finished_seq])?;
        }
    }
    Ok(())
}

/// What a change of an action writes over what is known of it.
const ACTION_CHANGES: &str = "phase = coalesce(excluded.phase, phase),
    site = coalesce(excluded.site, site), host = coalesce(excluded.host, host), opened_at = coalesce(excluded.opened_at, opened_at),
    started_at = coalesce(?11, started_at, ?29), finished_at = coalesce(excluded.finished_at, finished_at),
    attempt = coalesce(excluded.attempt, attempt), cost = cost + excluded.cost, wall_us = coalesce(excluded.wall_us, wall_us),
    cpu_us = coalesce(excluded.cpu_us, cpu_us), memory_peak = coalesce(excluded.memory_peak, memory_peak),
    bytes_in = coalesce(excluded.bytes_in, bytes_in), bytes_out = coalesce(excluded.bytes_out, bytes_out),
    failure = CASE WHEN excluded.finished_at IS NOT NULL OR excluded.failure IS NOT NULL THEN excluded.failure ELSE failure END,
    input_seq = coalesce(excluded.input_seq, input_seq), input_n = coalesce(excluded.input_n, input_n),
    output_seq = coalesce(excluded.output_seq, output_seq), reused = coalesce(excluded.reused, reused),
    explanation = coalesce(excluded.explanation, explanation), first_by = coalesce(excluded.first_by, first_by),
    escalated = coalesce(excluded.escalated, escalated), waits_for = CASE WHEN ?28 IS NULL THEN waits_for ELSE nullif(?28, '') END";

/// What only its opening writes. On its own: an index hangs on it, and would otherwise be written at every change of an action.
const ACTION_OPENING: &str = "path = coalesce(excluded.path, path), kind = coalesce(excluded.kind, kind),
    scope = coalesce(excluded.scope, scope), node = coalesce(excluded.node, node), ";

fn write_actions(transaction: &Transaction<'_>, actions: &BTreeMap<(u64, u32), ActionChange>) -> Result<(), JournalError> {
    let statement = |opening: &str| {
        transaction.prepare_cached(&format!(
            "INSERT INTO actions VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, coalesce(?11, ?29), ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19,
             ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, nullif(?28, '')) ON CONFLICT (run, no) DO UPDATE SET {opening}{ACTION_CHANGES}"
        ))
    };
    let (mut open, mut change) = (statement(ACTION_OPENING)?, statement("")?);
    for ((run, no), a) in actions {
        let upsert = if a.path.is_some() { &mut open } else { &mut change };
        upsert.execute(params![
            run,
            no,
            a.path,
            a.kind.map(|kind| kind as i64),
            a.place.map(|place| place.0),
            a.place.map(|place| place.1),
            a.phase.map(|phase| phase as i64),
            a.site,
            a.host,
            a.opened_at,
            a.started_at,
            a.finished_at,
            a.attempt,
            a.cost,
            a.usage.map(|usage| column(usage.wall_us)),
            a.usage.map(|usage| column(usage.cpu_us)),
            a.usage.map(|usage| column(usage.memory_peak_bytes)),
            a.usage.map(|usage| column(usage.bytes_in)),
            a.usage.map(|usage| column(usage.bytes_out)),
            a.failure,
            a.input.map(|input| input.0),
            a.input.map(|input| input.1),
            a.output_seq,
            a.reused,
            a.explanation,
            a.first_by,
            a.escalated,
            a.waits_for,
            a.began_by,
        ])?;
    }
    Ok(())
}
