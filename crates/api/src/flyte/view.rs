//! Actions of a run as the client of Flyte sees them.

use controlplane::ControlPlane;
use engine::event::ActionKind;
use flyte::wire::{
    self, ActionAttempt, ActionDetails, ActionId, ActionMetadata, ActionStatus, ActionUpdate, EventPayload, Literal, Primitive,
    Scalar, TaskActionMetadata, TaskId, Text, Time,
};
use flyte::{Call, Message as _};
use journal::{ActionRow, ChildRow, Reader, RunRow};
use model::{Failure, Phase, Timestamp};
use serde_json::Value;

use super::connect::{Answer, Refusal};
use crate::rest::App;
use crate::rest::access::Caller;
use crate::rest::sight::Sight;

/// Runs what blocks on a thread for it.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Answer<T> + Send + 'static) -> Answer<T> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Refusal::new("internal", error.to_string()))?
}

pub(super) fn broken(error: impl std::fmt::Display) -> Refusal {
    Refusal::new("internal", error.to_string())
}

/// Entries of a page when nothing is said, and at most.
const PAGE: (usize, usize) = (100, 1_000);

/// A page of a list, and what asks for the next: so many entries, from where an earlier answer said.
pub(super) fn page<T>(all: Vec<T>, limit: usize, token: &str) -> (Vec<T>, String) {
    let limit = if limit == 0 { PAGE.0 } else { limit.min(PAGE.1) };
    let from: usize = token.parse().unwrap_or(0);
    let more = all.len() > from.saturating_add(limit);
    let token = if more { (from + limit).to_string() } else { String::new() };
    (all.into_iter().skip(from).take(limit).collect(), token)
}

/// A page of a list as a client asks for it: as long as may be when it does not say.
pub(super) fn page_of<T>(all: Vec<T>, asked: Option<&wire::ListRequest>) -> (Vec<T>, String) {
    let limit = asked.map(|asked| asked.limit as usize).filter(|limit| *limit > 0).unwrap_or(PAGE.1);
    page(all, limit, asked.map_or("", |asked| &asked.token))
}

/// A phase on the wire.
pub(super) fn phase(phase: Phase) -> i32 {
    match phase {
        Phase::Queued => 1,
        Phase::WaitingForResources => 2,
        Phase::Initializing => 3,
        Phase::Running => 4,
        Phase::Succeeded => 5,
        Phase::Failed => 6,
        Phase::Aborted | Phase::Skipped => 7,
        Phase::TimedOut => 8,
        Phase::Paused => 9,
    }
}

/// The code of a condition that somebody rejected.
const REJECTED: &str = "ConditionRejected";
/// What was taken from an earlier run.
const RECOVERED: i32 = 10;

/// Whether an action is the workflow that a run consists of, wound up because one of its nodes failed or the run was stopped: what it came to
/// is what the run came to.
fn is_wound_up(row: &ActionRow) -> bool {
    row.path == controlplane::FLYTE_ROOT && row.kind == ActionKind::Workflow && row.phase == Phase::Aborted
}

/// An action as the client sees it.
pub(super) fn shown(run: &RunRow, row: &ActionRow) -> ActionRow {
    let phase = match is_wound_up(row) {
        true if run.finished_at.is_none() => Phase::Running,
        true => run.phase,
        false => row.phase,
    };
    ActionRow { phase, ..row.clone() }
}

/// The phase of an action: one that waits for a person is paused.
pub(super) fn phase_of(row: &ActionRow, call: &Call) -> i32 {
    match row.phase {
        Phase::Succeeded if row.reused && !call.recovered_from.is_empty() => RECOVERED,
        _ if row.kind == ActionKind::Human && row.finished_at.is_none() => phase(Phase::Paused),
        of_row => phase(of_row),
    }
}

/// A point in time on the wire.
pub(super) fn time(at: Timestamp) -> Time {
    Time { seconds: (at.0 / 1_000_000) as i64, nanos: (at.0 % 1_000_000) as i32 * 1_000 }
}

/// The run that a client names.
pub(super) fn run_of(reader: &Reader, id: Option<&wire::RunId>) -> Answer<RunRow> {
    let id = id.ok_or_else(|| Refusal::new("invalid_argument", "the run is not named"))?;
    let known = reader.find_run(&id.project, &id.domain, Some(&id.name), None).map_err(broken)?;
    let run = known.by_name.map(|run| reader.run(run)).transpose().map_err(broken)?.flatten();
    run.ok_or_else(|| Refusal::not_found("run", &id.name))
}

/// The action that a client names, and its run.
pub(super) fn action_of(reader: &Reader, id: Option<&ActionId>) -> Answer<(RunRow, ActionRow)> {
    let id = id.ok_or_else(|| Refusal::new("invalid_argument", "the action is not named"))?;
    let run = run_of(reader, id.run.as_ref())?;
    let action = reader.action(run.id, &id.name).map_err(broken)?;
    let action = action.ok_or_else(|| Refusal::not_found("action", &id.name))?;
    Ok((run, action))
}

/// What an action was given, when it is a program or was asked for by one. What a node of a workflow is given only looks like that.
pub(super) fn call_of(reader: &Reader, row: &ActionRow) -> Answer<Call> {
    let body = |seq, n| reader.body(seq, n).map_err(broken);
    let found = if row.path == controlplane::FLYTE_ROOT {
        // What was taken from elsewhere was given nothing, and a workflow what it takes; the call was given to the run.
        let run = reader.run(row.run).map_err(broken)?;
        let given = run.map(|run| body(run.first_seq, 0)).transpose()?.flatten().unwrap_or_default();
        given.get("call").and_then(Call::of)
    } else if reader.child(row.run, row.no).map_err(broken)?.is_some() {
        row.input.map(|(seq, n)| body(seq, n)).transpose()?.flatten().as_ref().and_then(Call::of)
    } else {
        None
    };
    Ok(found.unwrap_or_default())
}

/// A failure as the caller may see it: to whom its text is not shown, that there is one and its code.
fn seen(sight: Option<&Sight>, path: Option<&str>, row: Option<&Value>) -> Option<Failure> {
    let failure: Failure = serde_json::from_value(row?.clone()).ok()?;
    Some(match sight {
        Some(sight) => sight.of_failure(path, failure),
        None => failure,
    })
}

/// Where the outputs of an action lie; empty when it has none.
pub(super) fn outputs_of(reader: &Reader, row: &ActionRow) -> Answer<(String, Value)> {
    let output = row.output_seq.map(|seq| reader.body(seq, 0)).transpose().map_err(broken)?.flatten().unwrap_or_default();
    Ok((output.get("output_uri").and_then(Value::as_str).unwrap_or_default().to_owned(), output))
}

pub(super) fn run_id(run: &RunRow) -> wire::RunId {
    wire::RunId { org: String::new(), project: run.project.clone(), domain: run.domain.clone(), name: run.name.clone() }
}

pub(super) fn task_id([org, project, domain, name, version]: &[String; 5]) -> TaskId {
    TaskId { org: org.clone(), project: project.clone(), domain: domain.clone(), name: name.clone(), version: version.clone() }
}

/// The last part of a task's name.
pub(super) fn short(name: &str) -> String {
    name.rsplit('.').next().unwrap_or(name).to_owned()
}

fn action_type(kind: ActionKind) -> i32 {
    match kind {
        ActionKind::Trace => 2,
        ActionKind::Human => 3,
        _ => 1,
    }
}

/// Where a run comes from, as its root says.
fn relation(row: &ActionRow, call: &Call) -> Option<wire::Relation> {
    let bytes =
        flyte::call::from_hex(&call.run_spec).filter(|bytes| !bytes.is_empty() && row.path == controlplane::FLYTE_ROOT)?;
    wire::Provenance::decode(bytes.as_slice()).ok()?.relation
}

/// What stands beside the state of an action.
pub(super) fn metadata(reader: &Reader, run: &RunRow, row: &ActionRow, call: &Call) -> Answer<ActionMetadata> {
    let child = reader.child(row.run, row.no).map_err(broken)?;
    let parent = match &child {
        Some(child) => {
            let filter = journal::ActionFilter { from: child.parent, limit: 1, phase: None };
            reader.actions(row.run, &filter).map_err(broken)?.pop().map(|parent| parent.path).unwrap_or_default()
        }
        // A node of a workflow is below what it is written in.
        None => row.path.rsplit_once('/').map(|(above, _)| above.to_owned()).unwrap_or_default(),
    };
    let own = || row.path.rsplit('/').next().unwrap_or_default().to_owned();
    let work = child.map(|child| child.work).unwrap_or_else(own);
    let is_task = !matches!(row.kind, ActionKind::Trace | ActionKind::Human);
    let name = if is_task && !call.task[3].is_empty() { call.task[3].clone() } else { work };
    let mut metadata = ActionMetadata {
        parent,
        group: call.group.clone(),
        action_type: action_type(row.kind),
        function_name: short(&name),
        relation: relation(row, call),
        recovered_from: (!call.recovered_from.is_empty() && row.reused).then(|| ActionId {
            run: Some(wire::RunId { name: call.recovered_from.clone(), ..run_id(run) }),
            name: row.path.clone(),
        }),
        environment_name: name.split('.').next().unwrap_or_default().to_owned(),
        ..ActionMetadata::default()
    };
    match row.kind {
        ActionKind::Trace => metadata.trace = Some(Text { value: name }),
        ActionKind::Human => {
            // By its type a client reads what a person types.
            let kind = super::questions::condition_of(call).kind;
            metadata.condition = Some(wire::ConditionMeta { name, kind });
        }
        _ => {
            let short_name = Some(call.short_name.clone()).filter(|own| !own.is_empty()).unwrap_or_else(|| short(&name));
            let (id, task_type) = (Some(task_id(&call.task)), "python".into());
            metadata.task = Some(TaskActionMetadata { id, task_type, short_name });
        }
    }
    Ok(metadata)
}

pub(super) fn status(row: &ActionRow, call: &Call) -> ActionStatus {
    let begun = row.started_at.unwrap_or(row.opened_at);
    let duration = row.finished_at.map(|end| end.since(begun).0 / 1_000);
    ActionStatus {
        phase: phase_of(row, call),
        start_time: Some(time(begun)),
        end_time: row.finished_at.map(time),
        attempts: row.attempt.max(1),
        cache_status: cache_status(row, call),
        duration_ms: duration,
    }
}

/// Whether it was taken from what is remembered.
fn cache_status(row: &ActionRow, call: &Call) -> i32 {
    if row.reused && call.recovered_from.is_empty() { 2 } else { 0 }
}

/// An action in a list.
pub(super) fn listed(reader: &Reader, run: &RunRow, row: &ActionRow) -> Answer<wire::Action> {
    let call = call_of(reader, row)?;
    Ok(wire::Action {
        id: Some(ActionId { run: Some(run_id(run)), name: row.path.clone() }),
        metadata: Some(metadata(reader, run, row, &call)?),
        status: Some(status(&shown(run, row), &call)),
    })
}

/// Everything of an action.
pub(super) fn details(app: &App, caller: &Caller, run: &RunRow, row: &ActionRow) -> Answer<ActionDetails> {
    let reader = app.control.reader();
    let sight = super::auth::sight(app, caller, run)?;
    let sight = sight.as_ref();
    let call = call_of(reader, row)?;
    let stopped = reader.child(row.run, row.no).map_err(broken)?.and_then(|child| child.stopped);
    // That of the run may quote any action.
    let run_failure = seen(sight, None, run.failure.as_ref());
    let failure = match is_wound_up(row) {
        true => run_failure.clone(),
        false => seen(sight, Some(&row.path), row.failure.as_ref()),
    };
    let run_failure = run_failure.map(|failure| failure.message);
    let row = &shown(run, row);
    let aborted = (row.phase == Phase::Aborted).then(|| stopped.or(run_failure).unwrap_or_default());
    let other = flyte::call::from_hex(&call.other);
    let spec = if call.spec.is_empty() { None } else { Some(app.control.flyte().spec(&call.spec)?) };
    Ok(ActionDetails {
        id: Some(ActionId { run: Some(run_id(run)), name: row.path.clone() }),
        metadata: Some(metadata(reader, run, row, &call)?),
        status: Some(status(row, &call)),
        error_info: failure.as_ref().filter(|_| row.finished_at.is_some()).map(flyte::ending::error_info),
        abort_info: aborted.map(|value| Text { value }),
        task: spec,
        attempts: attempts(reader, sight, row, &call, failure.as_ref())?,
        trace: other.clone().filter(|_| row.kind == ActionKind::Trace),
        condition: other.filter(|_| row.kind == ActionKind::Human),
    })
}

fn attempts(
    reader: &Reader,
    sight: Option<&Sight>,
    row: &ActionRow,
    call: &Call,
    failure: Option<&Failure>,
) -> Answer<Vec<ActionAttempt>> {
    let has_logs = !matches!(row.kind, ActionKind::Trace | ActionKind::Human);
    let mut attempts = Vec::new();
    for earlier in reader.attempts(row.run, row.no).map_err(broken)? {
        let failure = seen(sight, Some(&row.path), earlier.failure.as_ref());
        attempts.push(ActionAttempt {
            phase: phase(earlier.phase),
            start_time: Some(time(Timestamp(earlier.finished_at.0.saturating_sub(earlier.wall_us)))),
            end_time: Some(time(earlier.finished_at)),
            error_info: failure.as_ref().map(flyte::ending::error_info),
            attempt: earlier.attempt,
            logs_available: has_logs,
            cluster: earlier.site.clone().unwrap_or_default(),
            ..ActionAttempt::default()
        });
    }
    let (output_uri, _) = outputs_of(reader, row)?;
    let begun = row.started_at.unwrap_or(row.opened_at);
    let own =
        wire::PhaseTransition { phase: phase_of(row, call), start_time: Some(time(begun)), end_time: row.finished_at.map(time) };
    let report_uri = format!("{}/report.html", call.outputs(row.attempt));
    attempts.push(ActionAttempt {
        phase: phase_of(row, call),
        start_time: Some(time(begun)),
        end_time: row.finished_at.map(time),
        error_info: failure.filter(|_| row.finished_at.is_some()).map(flyte::ending::error_info),
        attempt: row.attempt.max(1),
        outputs: Some(wire::OutputReferences { output_uri, report_uri }),
        logs_available: has_logs && row.attempt > 0,
        cache_status: cache_status(row, call),
        phase_transitions: vec![own],
        cluster: row.site.clone().unwrap_or_default(),
    });
    attempts.dedup_by_key(|attempt| attempt.attempt);
    Ok(attempts)
}

/// Whether what is told of something that was asked for may hold values.
pub(super) fn says_something(child: &ChildRow) -> bool {
    child.action.failure.is_some() || child.action.kind == ActionKind::Human
}

/// What became of a question to a person.
pub(super) enum Decided {
    /// What they said.
    Value(Value),
    /// They did not want to, and there is no value that says so. Who it was.
    Rejected(String),
    /// It ended without anybody.
    Unanswered,
}

/// What became of a question that has ended.
pub(super) fn decided(row: &ActionRow, condition: &wire::ConditionAction, output: &Value) -> Decided {
    let text = |key: &str| output.get(key).and_then(Value::as_str).unwrap_or_default();
    match (row.phase, text("decision"), flyte::conditions::type_of(condition)) {
        (Phase::Succeeded, "reject", "boolean") => Decided::Value(false.into()),
        (Phase::Succeeded, "reject", _) => Decided::Rejected(text("by").to_owned()),
        (Phase::Succeeded, ..) => Decided::Value(output.get("value").cloned().unwrap_or_default()),
        _ => Decided::Unanswered,
    }
}

/// What the program is told of something that it asked for.
pub(super) fn update(control: &ControlPlane, sight: Option<&Sight>, run: &RunRow, child: &ChildRow) -> Answer<ActionUpdate> {
    let (reader, row) = (control.reader(), &child.action);
    let (mut output_uri, output) = outputs_of(reader, row)?;
    if row.kind == ActionKind::Workflow && row.phase == Phase::Succeeded {
        output_uri = control.output_of_asked(run, child, &output)?;
    }
    let failure = seen(sight, Some(&row.path), row.failure.as_ref()).filter(|_| row.finished_at.is_some());
    let hidden = sight.is_some_and(|sight| sight.withheld(Some(&row.path)).is_some());
    let is_answered = row.kind == ActionKind::Human && row.finished_at.is_some();
    // Only what was taken from elsewhere and what people decided has to be looked at.
    let call = if row.reused || is_answered { call_of(reader, row)? } else { Call::default() };
    let mut update = ActionUpdate {
        action_id: Some(ActionId { run: Some(run_id(run)), name: row.path.clone() }),
        phase: phase_of(row, &call),
        error: failure.as_ref().map(flyte::ending::execution_error),
        output_uri,
        value: None,
    };
    if is_answered {
        let condition = super::questions::condition_of(&call);
        match decided(row, &condition, &output) {
            Decided::Value(value) => update.value = literal(Some(&value)).filter(|_| !hidden),
            Decided::Rejected(by) => {
                let message = format!("`{}` was rejected by {by}", condition.name);
                let failure = Failure { code: Some(REJECTED.into()), ..Failure::new(model::FailureClass::User, message) };
                (update.phase, update.error) = (phase(Phase::Failed), Some(flyte::ending::execution_error(&failure)));
            }
            Decided::Unanswered => {}
        }
    }
    Ok(update)
}

/// A value that a person gave.
fn literal(value: Option<&Value>) -> Option<Literal> {
    let primitive = match value? {
        Value::Bool(value) => Primitive { boolean: Some(*value), ..Primitive::default() },
        Value::String(value) => Primitive { string_value: Some(value.clone()), ..Primitive::default() },
        Value::Number(value) if value.is_i64() => Primitive { integer: value.as_i64(), ..Primitive::default() },
        Value::Number(value) => Primitive { float_value: value.as_f64(), ..Primitive::default() },
        _ => return None,
    };
    let scalar = Scalar { primitive: Some(primitive), ..Scalar::default() };
    Some(Literal { scalar: Some(scalar), ..Literal::default() })
}

/// What a client sends for a person.
pub(super) fn value_of(payload: &EventPayload) -> Value {
    let number = |value: f64| serde_json::Number::from_f64(value).map(Value::Number);
    let value = payload.bool_value.map(Value::Bool).or(payload.int_value.map(Value::from));
    value.or(payload.float_value.and_then(number)).or(payload.string_value.clone().map(Value::String)).unwrap_or_default()
}

/// A run specification in hexadecimal digits, as bytes.
pub(super) fn run_spec(call: &Call) -> Option<Vec<u8>> {
    let bytes = flyte::call::from_hex(&call.run_spec)?;
    wire::RunSpec::decode(bytes.as_slice()).ok().map(|_| bytes)
}
