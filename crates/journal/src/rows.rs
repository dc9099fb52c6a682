//! What the read models say.

use std::collections::BTreeMap;

use engine::event::{ActionKind, Located};
use model::{Phase, RunId, Seq, SiteSpec, Timestamp};
use rusqlite::Row;
use serde_json::Value;

/// A run.
#[derive(Clone, Debug)]
pub struct RunRow {
    /// Its number.
    pub id: RunId,
    /// Its name.
    pub name: String,
    /// Its project.
    pub project: String,
    /// Its domain.
    pub domain: String,
    /// Its workflow.
    pub workflow: String,
    /// The digest of its graph.
    pub graph: model::Digest,
    /// Who submitted it.
    pub principal: String,
    /// Where it came from: `{"kind": "submitted" | "trigger" | "rerun", …}`.
    pub origin: Value,
    /// Its phase; running until it has ended.
    pub phase: Phase,
    /// Whether an operator holds it.
    pub paused: bool,
    /// When it was accepted.
    pub submitted_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// What its attempts cost, in millionths.
    pub cost: model::Money,
    /// Why it failed: `{"class", "message", "exit_code"}`.
    pub failure: Option<Value>,
    /// The entry whose body its outputs are.
    pub outputs_seq: Option<Seq>,
    /// Its first entry; the inputs are its first body.
    pub first_seq: Seq,
    /// Its last entry so far.
    pub last_seq: Seq,
    /// Actions opened so far.
    pub actions_total: u64,
    /// Actions that have ended.
    pub actions_done: u64,
    /// What whoever started it put on it to find it again: values by key.
    pub run_labels: BTreeMap<String, String>,
}

pub(crate) const RUN_COLUMNS: &str = "id, name, project, domain, workflow, graph, principal, origin, phase, paused, submitted_at, finished_at, cost, failure, outputs_seq, first_seq, last_seq, actions_total, actions_done, run_labels";

pub(crate) fn phase_of(number: i64) -> Phase {
    usize::try_from(number).ok().and_then(|number| Phase::ALL.get(number).copied()).unwrap_or(Phase::Queued)
}

fn json_of(text: Option<String>) -> Option<Value> {
    text.and_then(|text| serde_json::from_str(&text).ok())
}

impl RunRow {
    pub(crate) fn read(row: &Row<'_>) -> rusqlite::Result<RunRow> {
        Ok(RunRow {
            id: RunId(row.get(0)?),
            name: row.get(1)?,
            project: row.get(2)?,
            domain: row.get(3)?,
            workflow: row.get(4)?,
            graph: model::Digest(row.get(5)?),
            principal: row.get(6)?,
            origin: json_of(row.get(7)?).unwrap_or_default(),
            phase: phase_of(row.get(8)?),
            paused: row.get(9)?,
            submitted_at: Timestamp(row.get(10)?),
            finished_at: row.get::<_, Option<u64>>(11)?.map(Timestamp),
            cost: model::Money(row.get(12)?),
            failure: json_of(row.get(13)?),
            outputs_seq: row.get::<_, Option<u64>>(14)?.map(Seq),
            first_seq: Seq(row.get(15)?),
            last_seq: Seq(row.get(16)?),
            actions_total: row.get(17)?,
            actions_done: row.get(18)?,
            run_labels: row.get::<_, Option<String>>(19)?.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default(),
        })
    }
}

/// An action that another one asked for.
#[derive(Clone, Debug)]
pub struct ChildRow {
    /// The action.
    pub action: ActionRow,
    /// Who asked.
    pub parent: u32,
    /// The task that it runs, or what it is called.
    pub work: String,
    /// Why somebody stopped it.
    pub stopped: Option<String>,
}

/// An action.
#[derive(Clone, Debug)]
pub struct ActionRow {
    /// The run.
    pub run: RunId,
    /// Its number.
    pub no: u32,
    /// Its path.
    pub path: String,
    /// Its kind.
    pub kind: ActionKind,
    /// The scope of its node.
    pub scope: u32,
    /// Its node.
    pub node: u32,
    /// Its phase.
    pub phase: Phase,
    /// The site of its last attempt.
    pub site: Option<String>,
    /// The process or worker of its last attempt.
    pub host: Option<String>,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When its last attempt began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// The number of its last attempt.
    pub attempt: u32,
    /// What its attempts cost.
    pub cost: model::Money,
    /// What its last attempt used.
    pub usage: engine::event::Usage,
    /// Why it failed, or why its last attempt did.
    pub failure: Option<Value>,
    /// The entry and the number of the body that its input is.
    pub input: Option<(Seq, u32)>,
    /// The entry whose body its output is.
    pub output_seq: Option<Seq>,
    /// Whether an earlier output was taken.
    pub reused: bool,
    /// The explanation of its last placement, or of why it has none.
    pub explanation: Option<i64>,
    /// The first of two people who decided.
    pub first_by: Option<String>,
    /// Steps of escalation so far.
    pub escalated: u32,
    /// The connector of which it waits for a worker.
    pub waits_for: Option<String>,
}

pub(crate) const ACTION_COLUMNS: &str = "run, no, path, kind, scope, node, phase, site, host, opened_at, started_at, finished_at, attempt, cost, wall_us, cpu_us, memory_peak, bytes_in, bytes_out, failure, input_seq, input_n, output_seq, reused, explanation, first_by, escalated, waits_for";

pub(crate) fn kind_of(number: i64) -> ActionKind {
    use ActionKind::*;
    match number {
        0 => Use,
        1 => Run,
        2 => Task,
        3 => Workflow,
        4 => Human,
        5 => Wait,
        6 => Each,
        7 => Decide,
        9 => Trace,
        _ => Transfer,
    }
}

impl ActionRow {
    pub(crate) fn read(row: &Row<'_>) -> rusqlite::Result<ActionRow> {
        let number = |index: usize| row.get::<_, Option<u64>>(index).map(Option::unwrap_or_default);
        let phase = phase_of(row.get::<_, Option<i64>>(6)?.unwrap_or_default());
        let waits_for: Option<String> = row.get(27)?;
        Ok(ActionRow {
            run: RunId(row.get(0)?),
            no: row.get(1)?,
            path: row.get::<_, Option<String>>(2)?.unwrap_or_default(),
            kind: kind_of(row.get::<_, Option<i64>>(3)?.unwrap_or_default()),
            scope: number(4)? as u32,
            node: number(5)? as u32,
            phase,
            site: row.get(7)?,
            host: row.get(8)?,
            opened_at: Timestamp(number(9)?),
            started_at: row.get::<_, Option<u64>>(10)?.map(Timestamp),
            finished_at: row.get::<_, Option<u64>>(11)?.map(Timestamp),
            attempt: number(12)? as u32,
            cost: model::Money(row.get(13)?),
            usage: engine::event::Usage {
                wall_us: number(14)?,
                cpu_us: number(15)?,
                memory_peak_bytes: number(16)?,
                bytes_in: number(17)?,
                bytes_out: number(18)?,
            },
            failure: json_of(row.get(19)?),
            input: row.get::<_, Option<u64>>(20)?.map(Seq).zip(row.get::<_, Option<u32>>(21)?),
            output_seq: row.get::<_, Option<u64>>(22)?.map(Seq),
            reused: row.get::<_, Option<bool>>(23)?.unwrap_or_default(),
            explanation: row.get(24)?,
            first_by: row.get(25)?,
            escalated: number(26)? as u32,
            waits_for: waits_for.filter(|_| phase == Phase::WaitingForResources),
        })
    }
}

/// A node that was left out.
#[derive(Clone, Debug)]
pub struct SkippedRow {
    /// Its path.
    pub path: String,
    /// Its kind.
    pub kind: ActionKind,
    /// condition, upstream or branch.
    pub why: &'static str,
}

/// An attempt that was followed by another.
#[derive(Clone, Debug)]
pub struct AttemptRow {
    /// Its number.
    pub attempt: u32,
    /// Where it ran.
    pub site: Option<String>,
    /// How it ended.
    pub phase: Phase,
    /// When.
    pub finished_at: Timestamp,
    /// What it cost.
    pub cost: model::Money,
    /// Microseconds of its process.
    pub wall_us: u64,
    /// Why it failed.
    pub failure: Option<Value>,
}

/// A human action that waits.
#[derive(Clone, Debug)]
pub struct ApprovalRow {
    /// Its run.
    pub run: RunRow,
    /// The action.
    pub action: ActionRow,
    /// Its input: title, assign, show, form, second.
    pub input: Value,
    /// What the first of two people gave.
    pub first_form: Option<Value>,
}

/// A site.
#[derive(Clone, Debug)]
pub struct SiteRow {
    /// As registered.
    pub spec: SiteSpec,
    /// Takes no new work by order.
    pub cordoned: bool,
    /// What ran there was moved by order.
    pub drained: bool,
    /// What its probe says.
    pub healthy: bool,
    /// Why.
    pub reason: String,
}

/// A resource.
#[derive(Clone, Debug)]
pub struct ResourceRow {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: u64,
    /// When it was applied.
    pub at: Timestamp,
    /// Who applied it.
    pub principal: String,
    /// Its body.
    pub body: Value,
}

/// Where an artifact came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginRow {
    /// The artifact.
    pub artifact: model::Digest,
    /// The run.
    pub run: RunId,
    /// The action that made it; none when the run was given it.
    pub action: Option<u32>,
    /// Its bytes.
    pub size: u64,
    /// The entry that says so.
    pub seq: Seq,
}

/// A project, by its runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectRow {
    /// Its name.
    pub name: String,
    /// Its runs.
    pub runs: u64,
    /// Those that have not ended.
    pub open: u64,
    /// When the last was submitted.
    pub last: Timestamp,
    /// What they cost.
    pub cost: model::Money,
}

/// A firing of a trigger.
#[derive(Clone, Debug)]
pub struct FiringRow {
    /// The trigger.
    pub trigger: String,
    /// When it was due.
    pub due: Timestamp,
    /// When it was recorded.
    pub at: Timestamp,
    /// The run it started.
    pub run: Option<RunId>,
    /// Firings left out before it.
    pub missed: u32,
    /// Why it started no run: `still_runs`, `queue_full` or `refused`.
    pub left_out: Option<String>,
}

/// An output kept under a key.
#[derive(Clone, Debug)]
pub struct RecallRow {
    /// The output.
    pub output: Value,
    /// Where its artifacts lie.
    pub locations: Vec<Located>,
    /// When it was kept.
    pub at: Timestamp,
    /// What it carries, as it was counted when the run that made it was accepted.
    pub carried: model::Carried,
}

/// An entry of the journal.
#[derive(Clone, Debug)]
pub struct EntryRow {
    /// Its position.
    pub seq: Seq,
    /// Its run.
    pub run: RunId,
    /// When it was recorded.
    pub at: Timestamp,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The hash of its leaf: over its time and its bytes.
    pub leaf: audit::Hash,
}
