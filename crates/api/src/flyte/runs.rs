//! Runs of Flyte programs: started, looked at, watched, stopped.

use std::collections::BTreeMap;

use axum::http::HeaderMap;
use controlplane::{ControlPlane, FLYTE_ROOT, Program, random_bytes};
use engine::{Command, Event};
use flyte::wire::{
    ActionDetails, ActionDetailsResponse, CreateRunRequest, CreateRunResponse, Empty, Filter, ListActionsRequest,
    ListActionsResponse, ListRunsRequest, ListRunsResponse, OfAction, OfRun, Run, RunDetails, RunDetailsResponse, RunSpec,
    TaskId, TaskSpec,
};
use flyte::{Call, Message as _};
use futures::{Stream, StreamExt as _};
use journal::{ActionFilter, RunFilter};
use model::limits::{RUN_LABEL_BYTES_MAX, RUN_LABELS_MAX};
use model::{AttemptKey, Digest, Node, RunId, Seq};
use serde_json::Value;

use super::actions::is_over;
use super::connect::{Answer, Refusal};
use super::view::{self, blocking, broken};
use super::{auth, data, naming, recovering, tasks, triggers};
use crate::rest::App;
use crate::rest::access::Caller;

/// The longest name of a run, in bytes.
const NAME_BYTES_MAX: usize = 30;
/// Rows of a page when nothing is said, and at most.
const PAGE: (usize, usize) = (100, 1_000);
/// Facts that are read at a time.
const FACTS: usize = 500;
/// What stands before the key where runs are asked for by their labels.
const LABELS: &str = "labels.";
/// How a field is compared.
const EQUAL: i32 = 0;
const VALUE_IN: i32 = 7;
const EXISTS: i32 = 15;

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new("invalid_argument", message)
}

/// Project, domain and name of the run that is to be.
fn place(request: &CreateRunRequest) -> Answer<(String, String, String)> {
    let (project, domain, name) = match (&request.run_id, &request.project_id) {
        (Some(id), _) => (id.project.clone(), id.domain.clone(), id.name.clone()),
        (None, Some(id)) => (id.name.clone(), id.domain.clone(), String::new()),
        (None, None) => return Err(invalid("the project is not named")),
    };
    if name.len() > NAME_BYTES_MAX {
        return Err(invalid(format!("the name of a run has at most {NAME_BYTES_MAX} bytes")));
    }
    let is_plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if project.is_empty() || !is_plain(&project) || !is_plain(&name) {
        return Err(invalid("a project or a name is not one: letters, digits, `-`, `_` and `.`"));
    }
    if !["development", "staging", "production"].contains(&domain.as_str()) {
        return Err(invalid(format!("`{domain}` is not a domain: development, staging or production")));
    }
    let name = if name.is_empty() { format!("r{}", &Digest(random_bytes()).hex()[..19]) } else { name };
    Ok((project, domain, name))
}

/// Refuses what a run asks for and cannot have, before it begins.
pub(super) fn check(spec: &RunSpec) -> Answer<()> {
    flyte::notifications::check(spec).map_err(|unfit| Refusal::new("invalid_argument", unfit.to_string()))?;
    let labels = spec.labels.iter().flat_map(|labels| &labels.values);
    if labels.clone().count() > RUN_LABELS_MAX {
        return Err(invalid(format!("a run has at most {RUN_LABELS_MAX} labels")));
    }
    for (key, value) in labels {
        if key.is_empty() || key.len().max(value.len()) > RUN_LABEL_BYTES_MAX {
            return Err(invalid(format!("the key of a label has 1 to {RUN_LABEL_BYTES_MAX} bytes, its value at most as many")));
        }
    }
    Ok(())
}

/// The task that is asked for: its specification, read and as it was sent, and its identifier.
fn asked(control: &ControlPlane, request: &mut CreateRunRequest) -> Answer<(TaskSpec, Vec<u8>, TaskId)> {
    let of_trigger = request.trigger_name.take().map(|name| triggers::task_of(control, name)).transpose()?;
    let (id, bytes) = match (request.task_id.take().or(of_trigger), request.task_spec.take()) {
        (Some(id), _) => {
            let (id, spec) = tasks::find(control, &id)?;
            (Some(id), spec)
        }
        (None, Some(spec)) => (None, spec),
        (None, None) => return Err(invalid("there is no task")),
    };
    let spec = flyte::task::read(&bytes).map_err(|unfit| invalid(unfit.to_string()))?;
    let id = id.unwrap_or_else(|| flyte::workflows::named(&spec));
    Ok((spec, bytes, id))
}

/// The node that runs a task.
fn task(control: &ControlPlane, spec: &TaskSpec, run_spec: &RunSpec) -> Answer<Node> {
    let mut node = flyte::task::node(FLYTE_ROOT, spec).map_err(|unfit| invalid(unfit.to_string()))?;
    control.send_to_queue(&mut node, &run_spec.queue)?;
    Ok(node)
}

/// The node that runs a workflow, and what it is given.
fn workflow(control: &ControlPlane, id: &TaskId, (run_spec, inputs): (&RunSpec, &str)) -> Answer<(Node, Value)> {
    if !run_spec.queue.is_empty() {
        return Err(invalid("a workflow is not sent to a queue: its nodes say where they run"));
    }
    // The server reads them in the name of whoever asks, who may not read everything.
    let key = flyte::key(inputs).filter(|key| key.starts_with(flyte::objects::INPUTS));
    let key = key.ok_or_else(|| invalid("the inputs of a workflow are sent with the call, or uploaded before it"))?;
    let values = control.flyte().objects().get(key).map_err(|error| invalid(format!("the inputs cannot be read: {error}")))?;
    Ok(control.workflow_for_program(id, &values)?)
}

/// What an attempt could read goes on with what it starts.
pub(super) fn tags_of(control: &ControlPlane, attempt: Option<AttemptKey>) -> Answer<BTreeMap<String, String>> {
    let Some(attempt) = attempt else { return Ok(BTreeMap::new()) };
    let reach = control.flyte_reach(attempt)?.ok_or_else(|| Refusal::new("unauthenticated", "the attempt is over"))?;
    let by = format!("the program `{}`, which started it", reach.name);
    Ok(reach.label.0.iter().map(|tag| (tag.clone(), by.clone())).collect())
}

/// What a call and its repetitions have in common. The request id alone says little: within a task it is made of four random letters, which a program
/// that sets the seed makes the same each time.
fn key_of(caller: &Caller, headers: &HeaderMap, domain: &str, request: &CreateRunRequest) -> Option<String> {
    let id = headers.get("x-request-id")?;
    let of = request.encode_to_vec();
    let parts: [&[u8]; 7] = [id.as_bytes(), b"\0", domain.as_bytes(), b"\0", caller.principal.as_bytes(), b"\0", &of];
    Some(format!("flyte:{}", Digest::of_parts(&parts).hex()))
}

/// Starts a run. The client repeats a call that failed, under the same request id and with the same words: that is one run.
pub(super) async fn create(
    app: &App,
    caller: &Caller,
    headers: &HeaderMap,
    mut request: CreateRunRequest,
) -> Answer<CreateRunResponse> {
    let (project, domain, name) = place(&request)?;
    let key = key_of(caller, headers, &domain, &request);
    let (shared, caller) = (app.clone(), caller.clone());
    let program = blocking(move || {
        let control = &shared.control;
        let (spec, bytes, id) = asked(control, &mut request)?;
        let (said, kept) = flyte::subject::take(&request.run_spec).map_err(|error| invalid(error.to_string()))?;
        request.run_spec = kept;
        let run_spec = RunSpec::decode(request.run_spec.as_slice()).map_err(|error| invalid(error.to_string()))?;
        check(&run_spec)?;
        let (inputs, inputs_hash) = match (request.offloaded_input_data, request.inputs) {
            (Some(offloaded), _) => (offloaded.uri, offloaded.inputs_hash),
            (None, inputs) => {
                let inputs = inputs.unwrap_or_default();
                (data::keep_inputs(control, &caller, (&project, &domain), &inputs)?, data::hash_of_inputs(&inputs))
            }
        };
        naming::check_inputs(&shared, &caller, (&project, &domain), &inputs)?;
        let short_name = spec.short_name.clone();
        let template = spec.task_template.clone().unwrap_or_default();
        let cache = flyte::task::cache_of_root(&template, &run_spec, &domain, &inputs_hash);
        let (mut node, given) = match flyte::workflows::is_workflow(&spec) {
            true if id.project != project => return Err(invalid(format!("the workflow is one of the project `{}`", id.project))),
            true => workflow(control, &id, (&run_spec, &inputs))?,
            false => (task(control, &spec, &run_spec)?, Value::Null),
        };
        if !cache.is_null() && given.is_null() {
            node.cache = Some(controlplane::flyte_cache_of_root());
        }
        let entered = tags_of(control, caller.attempt)?;
        let envs = run_spec.envs.unwrap_or_default().values;
        let start = run_spec.run_start_time.map(|time| time.seconds.max(0) as u64 * 1_000_000).map(model::Timestamp);
        let recovers = recovering::asked(&shared, &caller, &request.run_spec, (&project, &domain))?;
        let spec = control.flyte().keep_spec(&bytes)?;
        let reused = match &recovers {
            Some(recovery) => recovering::root(control, recovery, (&project, &domain), &inputs, &spec)?,
            None => None,
        };
        let recovered_from = recovers.as_ref().filter(|_| reused.is_some()).map(|recovery| recovery.run.clone());
        let call = Call {
            recovers,
            recovered_from: recovered_from.unwrap_or_default(),
            spec,
            task: [id.org, id.project, id.domain, id.name, id.version],
            inputs,
            base: controlplane::flyte_base(&project, &domain, &name),
            name: FLYTE_ROOT.into(),
            short_name,
            queue: run_spec.queue,
            envs: envs.into_iter().map(|pair| (pair.key, pair.value)).collect::<BTreeMap<_, _>>(),
            start: crate::rest::rfc3339(start.unwrap_or_else(controlplane::wall)),
            run_spec: flyte::call::to_hex(&request.run_spec),
            cache,
            given,
            entered,
            by: Some(caller.rights()),
            ..Call::default()
        };
        let run_labels = run_spec.labels.unwrap_or_default().values;
        let subject = match said {
            Some(subject) => Some(subject),
            None => recovering::subject(control, &request.run_spec, (&project, &domain), caller.attempt)?,
        };
        let principal = caller.principal;
        Ok(Program { name, project, domain, node, call, principal, idempotency_key: key, run_labels, subject, reused })
    })
    .await?;
    let submitted = app.control.submit_program(program).await?;
    let control = app.control.clone();
    let action = blocking(move || {
        let reader = control.reader();
        let run = reader.run(submitted.run).map_err(broken)?.ok_or_else(|| broken("the run is missing"))?;
        let root = reader.action(run.id, FLYTE_ROOT).map_err(broken)?.ok_or_else(|| broken("the run has no root"))?;
        Ok((view::listed(reader, &run, &root)?, run.run_labels))
    });
    let (action, labels) = action.await?;
    Ok(CreateRunResponse { run: Some(Run { action: Some(action), labels }) })
}

/// Stops a run.
pub(super) async fn abort(app: &App, caller: &Caller, request: OfRun) -> Answer<Empty> {
    let control = app.control.clone();
    let run = blocking(move || view::run_of(control.reader(), request.run_id.as_ref())).await?;
    auth::own(caller, &run)?;
    if run.finished_at.is_none() {
        let (principal, reason) = (caller.principal.clone(), request.reason.unwrap_or_default());
        app.control.inbox().ask(Command::Cancel { run: run.id, principal, reason }).await?;
    }
    Ok(Empty {})
}

/// A run and its root.
pub(super) async fn details(app: &App, caller: &Caller, request: OfRun) -> Answer<RunDetailsResponse> {
    let (app, caller) = (app.clone(), caller.clone());
    blocking(move || {
        let reader = app.control.reader();
        let run = view::run_of(reader, request.run_id.as_ref())?;
        let root = reader.action(run.id, FLYTE_ROOT).map_err(broken)?;
        let root = root.ok_or_else(|| Refusal::not_found("action", FLYTE_ROOT))?;
        let run_spec = view::run_spec(&view::call_of(reader, &root)?);
        let action = Some(view::details(&app, &caller, &run, &root)?);
        Ok(RunDetailsResponse { details: Some(RunDetails { run_spec, action }) })
    })
    .await
}

/// An action as the client is told it.
struct Seen {
    run: RunId,
    no: u32,
    /// Whether nothing of it changes any more.
    over: bool,
    details: ActionDetails,
}

async fn look(app: &App, caller: &Caller, request: &OfAction) -> Answer<Seen> {
    let (app, caller, request) = (app.clone(), caller.clone(), request.clone());
    blocking(move || {
        let (run, action) = view::action_of(app.control.reader(), request.action_id.as_ref())?;
        let over = is_over(view::shown(&run, &action).phase) && action.finished_at.is_some();
        Ok(Seen { run: run.id, no: action.no, over, details: view::details(&app, &caller, &run, &action)? })
    })
    .await
}

/// An action.
pub(super) async fn action(app: &App, caller: &Caller, request: OfAction) -> Answer<ActionDetailsResponse> {
    Ok(ActionDetailsResponse { details: Some(look(app, caller, &request).await?.details) })
}

/// Somebody who watches an action.
struct Watching {
    app: App,
    caller: Caller,
    request: OfAction,
    of: (RunId, u32),
    /// What was recorded up to here was looked at.
    after: Seq,
    seen: tokio::sync::watch::Receiver<Seq>,
    last: ActionDetails,
}

/// An action, whenever it changes, to its end.
pub(super) async fn watch_action(
    app: &App,
    caller: &Caller,
    request: OfAction,
) -> Answer<impl Stream<Item = Answer<ActionDetailsResponse>> + Send + use<>> {
    let mut seen = app.control.notices().watch();
    // Before looking: what happens meanwhile is looked at once more.
    let after = *seen.borrow_and_update();
    let Seen { run, no, over, details } = look(app, caller, &request).await?;
    let message = |details| -> Answer<_> { Ok(ActionDetailsResponse { details: Some(details) }) };
    let first = futures::stream::once(std::future::ready(message(details.clone())));
    let watching = Watching { app: app.clone(), caller: caller.clone(), request, of: (run, no), after, seen, last: details };
    let rest = futures::stream::unfold((!over).then_some(watching), move |watching| async move {
        let mut watching = watching?;
        loop {
            tokio::select! {
                changed = watching.seen.changed() => changed.ok()?,
                () = watching.app.stopping() => return None,
            }
            watching.seen.borrow_and_update();
            match what_changed(&mut watching).await {
                Ok(None) => {}
                Ok(Some((over, details))) => return Some((message(details), (!over).then_some(watching))),
                Err(refusal) => return Some((Err(refusal), None)),
            }
        }
    });
    Ok(first.chain(rest))
}

/// How an action is now, and whether that is its end, when it is not as it was.
async fn what_changed(watching: &mut Watching) -> Answer<Option<(bool, ActionDetails)>> {
    let (app, (run, no)) = (watching.app.clone(), watching.of);
    let mut touched = false;
    loop {
        let (app, after) = (app.clone(), watching.after);
        let facts =
            blocking(move || app.control.reader().facts_within(after, Some(run), FACTS, usize::MAX).map_err(broken)).await?;
        touched |= facts.iter().any(|(.., event)| may_touch(event, no));
        watching.after = facts.last().map_or(watching.after, |(seq, ..)| *seq);
        if facts.len() < FACTS {
            break;
        }
    }
    // A run with thousands of actions changes all the time, and most of it is about others.
    if !touched {
        return Ok(None);
    }
    let Seen { over, details, .. } = look(&watching.app, &watching.caller, &watching.request).await?;
    if watching.last == details {
        return Ok(None);
    }
    watching.last = details.clone();
    Ok(Some((over, details)))
}

/// Whether what is told of an action may be another after a fact of its run.
fn may_touch(event: &Event, no: u32) -> bool {
    match event {
        Event::ActionsOpened(_) | Event::ChildOpened(_) | Event::TicketIssued(_) | Event::EgressDecided(_) => false,
        Event::ActionsPlaced(e) => e.actions.iter().any(|placed| placed.action.0 == no),
        Event::ActionsParked(e) => e.actions.iter().any(|action| action.0 == no),
        Event::AttemptStarted(e) => e.action.0 == no,
        Event::AttemptFinished(e) => e.action.0 == no,
        Event::ActionFinished(e) => e.action.0 == no,
        Event::RetryDue(e) | Event::RecallMissed(e) => e.action.0 == no,
        _ => true,
    }
}

fn page(request: Option<&flyte::wire::ListRequest>) -> usize {
    match request.map_or(0, |request| request.limit as usize) {
        0 => PAGE.0,
        limit => limit.min(PAGE.1),
    }
}

/// Runs of Flyte programs, the newest first.
pub(super) async fn list(app: &App, request: ListRunsRequest) -> Answer<ListRunsResponse> {
    let control = app.control.clone();
    blocking(move || {
        let reader = control.reader();
        let limit = page(request.request.as_ref());
        let token = request.request.as_ref().map(|request| request.token.as_str()).unwrap_or_default();
        let task = request.task_name.or(request.task_id);
        let place = request.project_id.map(|id| (id.name, id.domain));
        let (project, domain) = place.or(task.as_ref().map(|task| (task.project.clone(), task.domain.clone()))).unzip();
        let workflow = task.map(|task| format!("{}/{}", task.project, task.name));
        let domain = domain.filter(|domain| !domain.is_empty());
        let before = token.parse().ok().map(RunId);
        let mut filter = RunFilter { project, domain, workflow, before, limit, ..RunFilter::default() };
        let asked = request.request.iter().flat_map(|request| &request.filters);
        let left = asked.filter(|asked| !narrow(&mut filter, asked)).collect::<Vec<_>>();
        let rows = reader.runs(&filter).map_err(broken)?;
        let token = rows.last().filter(|_| rows.len() == limit).map(|last| last.id.to_string()).unwrap_or_default();
        let mut runs = Vec::new();
        for run in &rows {
            // Runs of drawn workflows have no such root.
            if let Some(root) = reader.action(run.id, FLYTE_ROOT).map_err(broken)? {
                let action = view::listed(reader, run, &root)?;
                if left.iter().all(|asked| fits(&action, asked)) {
                    runs.push(Run { action: Some(action), labels: run.run_labels.clone() });
                }
            }
        }
        Ok(ListRunsResponse { runs, token })
    })
    .await
}

/// Narrows a question by what a client asks for; false when that is not known here by a column.
fn narrow(filter: &mut RunFilter, asked: &Filter) -> bool {
    let value = asked.values.first().cloned();
    match (asked.field.as_str(), asked.function) {
        (field, EQUAL) if field.starts_with(LABELS) => {
            filter.run_labels.push((field[LABELS.len()..].to_owned(), Some(value.unwrap_or_default())));
        }
        (field, EXISTS) if field.starts_with(LABELS) => filter.run_labels.push((field[LABELS.len()..].to_owned(), None)),
        ("task_name", EQUAL) if filter.workflow.is_none() && filter.project.is_some() => {
            filter.workflow = Some(format!("{}/{}", filter.project.as_deref().unwrap_or_default(), value.unwrap_or_default()));
        }
        _ => return false,
    }
    true
}

/// Whether a run is what is asked for by its phase; other questions let everything pass.
fn fits(action: &flyte::wire::Action, asked: &Filter) -> bool {
    match (asked.field.as_str(), asked.function) {
        ("phase", EQUAL | VALUE_IN) => {
            asked.values.contains(&action.status.as_ref().map(|status| status.phase).unwrap_or_default().to_string())
        }
        _ => true,
    }
}

/// Whether an action is what a list asks for. Filters on what is not known here let everything pass.
fn is_asked(action: &flyte::wire::Action, filters: &[Filter]) -> bool {
    let (metadata, status) = (action.metadata.clone().unwrap_or_default(), action.status.clone().unwrap_or_default());
    filters.iter().all(|filter| {
        let value = match filter.field.as_str() {
            "action_type" => metadata.action_type.to_string(),
            "parent_name" => metadata.parent.clone(),
            "group" => metadata.group.clone(),
            "phase" => status.phase.to_string(),
            "name" => action.id.as_ref().map(|id| id.name.clone()).unwrap_or_default(),
            _ => return true,
        };
        match filter.function {
            0 | 7 => filter.values.contains(&value),
            1 | 9 => !filter.values.contains(&value),
            _ => true,
        }
    })
}

/// The actions of a run, in the order in which they came to be.
pub(super) async fn list_actions(app: &App, request: ListActionsRequest) -> Answer<ListActionsResponse> {
    let control = app.control.clone();
    blocking(move || {
        let reader = control.reader();
        let run = view::run_of(reader, request.run_id.as_ref())?;
        let limit = page(request.request.as_ref());
        let (token, filters) = request.request.map(|request| (request.token, request.filters)).unwrap_or_default();
        let filter = ActionFilter { from: token.parse().unwrap_or(0), limit, phase: None };
        let rows = reader.actions(run.id, &filter).map_err(broken)?;
        let next = rows.last().filter(|_| rows.len() == limit).map(|last| (last.no + 1).to_string()).unwrap_or_default();
        let mut actions = rows.iter().map(|row| view::listed(reader, &run, row)).collect::<Answer<Vec<_>>>()?;
        actions.retain(|action| is_asked(action, &filters));
        Ok(ListActionsResponse { actions, token: next })
    })
    .await
}
