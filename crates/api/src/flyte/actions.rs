//! What a running program asks for, stops, and is told.

use std::sync::Arc;

use controlplane::{AskedTask, AskedWorkflow, ControlPlane};
use engine::event::{RecallKey, RecallKind};
use engine::{Command, Event, Outcome, Spawn};
use flyte::wire::{
    AbortAction, ActionId, ConditionAction, ControlMessage, Empty, EnqueueRequest, Enqueued, RunSpec, SignalEvent, TaskAction,
    TaskSpec, TraceAction, WatchResponse,
};
use flyte::{Call, Message as _};
use futures::Stream;
use journal::{ActionRow, ChildRow, RunRow};
use model::{ActionKey, ActionNo, Failure, FailureClass, Label, Node, NodeKind, Phase, Seq};
use serde_json::{Value, json};

use super::connect::{Answer, Refusal};
use super::view::{self, blocking, broken};
use super::{auth, naming, recovering};
use crate::rest::access::Caller;
use crate::rest::{App, approvals};

/// The longest name of an action, in bytes.
const NAME_BYTES_MAX: usize = 30;
/// Children and events read at a time.
const BATCH: usize = 500;

/// Accepts what a running program asks for. Asked again, it is the same action.
pub(super) async fn enqueue(app: &App, caller: &Caller, request: EnqueueRequest) -> Answer<Empty> {
    let invalid = |what: &str| Refusal::new("invalid_argument", what);
    let asked = request.action.ok_or_else(|| invalid("there is no action"))?;
    let id = asked.action_id.clone().ok_or_else(|| invalid("the action is not named"))?;
    if id.name.is_empty() || id.name.len() > NAME_BYTES_MAX {
        return Err(invalid("the name of the action has to have 1 to 30 bytes"));
    }
    // In paths these stand between what is within one another.
    if id.name.contains(['/', '[', '!', '<']) {
        return Err(invalid("the name of the action has none of `/`, `[`, `!`, `<`"));
    }
    let parent_id = ActionId { run: id.run.clone(), name: asked.parent_action_name.clone().unwrap_or_default() };
    let (shared, caller) = (app.clone(), caller.clone());
    let (spawn, told) = blocking(move || {
        let control = &shared.control;
        let reader = control.reader();
        let (run, parent) = view::action_of(reader, Some(&parent_id))?;
        auth::own(&caller, &run)?;
        check_places(&shared, &caller, &run, &asked, &id.name)?;
        let above = view::call_of(reader, &parent)?;
        let call = Call {
            inputs: asked.input_uri.clone(),
            base: controlplane::flyte_base(&run.project, &run.domain, &run.name),
            name: id.name.clone(),
            group: asked.group.clone(),
            queue: above.queue.clone(),
            envs: above.envs.clone(),
            start: above.start.clone(),
            task: above.task.clone(),
            recovers: above.recovers.clone(),
            ..Call::default()
        };
        let run_spec = RunSpec::decode(request.run_spec.as_slice()).unwrap_or_default();
        let Enqueued { task, trace, condition, .. } = asked;
        let mut request = None;
        let spawn = match (task, trace, condition) {
            (Some(task), _, _) => {
                // What is asked for begins with what its parent carries, which is not always who asks.
                let is_parent = caller.attempt.is_some_and(|attempt| attempt.action.0 == parent.no);
                let reach = if is_parent { naming::reach_of(control, &caller)? } else { None };
                let known = reach.map(|reach| reach.label.clone()).unwrap_or_default();
                of_task(control, (&run, &parent), call, task, (&run_spec, &known))?
            }
            (_, Some(trace), _) => return Ok((of_trace(control, key_of(&parent), call, &trace)?, None)),
            (_, _, Some(condition)) => {
                request = webhook(control, &run, &call.name, &condition)?;
                of_condition(key_of(&parent), call, &condition)
            }
            _ => return Err(Refusal::new("invalid_argument", "the action is neither a task nor a trace nor a condition")),
        };
        let spawn = recovering::taken(control, &run, spawn)?;
        // What was answered in an earlier run is not asked.
        let told = request.filter(|_| spawn.reused.is_none()).map(|request| (run, spawn.path.clone(), request));
        Ok((spawn, told))
    })
    .await?;
    app.control.inbox().ask(Command::Spawn(Box::new(spawn))).await?;
    if let Some((run, name, request)) = told {
        // What fails before it is accepted is asked for again with the action, which is there then.
        app.control.tell_of_condition(&run, &name, request).await?;
    }
    Ok(Empty {})
}

/// Refuses addresses that whoever asks may not read, and places for outputs that are not of the run: the server and what it starts read and write there
/// in their stead. The inputs of what is asked for lie in its own folder, and bring along what they carry.
fn check_places(app: &App, caller: &Caller, run: &RunRow, asked: &Enqueued, name: &str) -> Answer<()> {
    let base = controlplane::flyte_base(&run.project, &run.domain, &run.name);
    let place = asked.run_output_base.trim_end_matches('/');
    if !place.is_empty() && place != base {
        let message = format!("outputs of an action lie below `{base}`, and `{place}` is another place");
        return Err(Refusal::new("permission_denied", message));
    }
    let said = asked.trace.as_ref().and_then(|trace| trace.outputs.as_ref()).map_or("", |outputs| &outputs.output_uri);
    let own = format!("{base}/{name}/");
    if !said.is_empty() && !said.starts_with(&own) {
        let message = format!("what a step gave lies below `{own}`, and `{said}` does not");
        return Err(Refusal::new("permission_denied", message));
    }
    if asked.input_uri.is_empty() || asked.input_uri == format!("{base}/{name}/inputs.pb") {
        return Ok(());
    }
    naming::check(app, caller, (&run.project, &run.domain), [asked.input_uri.as_str()])
}

/// The request that tells somebody that a condition waits, as the program wants it.
fn webhook(control: &ControlPlane, run: &RunRow, action: &str, condition: &ConditionAction) -> Answer<Option<Value>> {
    let callback = format!("{}/api/v1/runs/{}/decision?path={action}", control.flyte().address(), run.name);
    let Some(request) = flyte::conditions::webhook(condition, &callback) else { return Ok(None) };
    let url = request.get("url").and_then(Value::as_str).unwrap_or_default();
    if url.starts_with("http://") || url.starts_with("https://") {
        return Ok(Some(request));
    }
    let message = format!("`{url}` is no address for a webhook: it begins with `http://` or `https://`");
    Err(Refusal::new("invalid_argument", message))
}

fn of_task(
    control: &ControlPlane,
    (run, parent): (&RunRow, &ActionRow),
    mut call: Call,
    task: TaskAction,
    (run_spec, known): (&RunSpec, &Label),
) -> Answer<Spawn> {
    let invalid = |error: flyte::task::Unfit| Refusal::new("invalid_argument", error.to_string());
    let spec = flyte::task::read(&task.spec).map_err(invalid)?;
    if flyte::workflows::is_workflow(&spec) {
        return of_workflow(control, (run, parent), call, (&task, &spec), known);
    }
    let mut node = flyte::task::node(&call.name, &spec).map_err(invalid)?;
    if !task.queue.is_empty() {
        call.queue = task.queue.clone();
    }
    control.send_to_queue(&mut node, &call.queue)?;
    let metadata = spec.task_template.as_ref().and_then(|template| template.metadata.clone()).unwrap_or_default();
    call.spec = control.flyte().keep_spec(&task.spec)?;
    call.short_name.clone_from(&spec.short_name);
    if let Some(id) = &task.id {
        call.task = [&id.org, &id.project, &id.domain, &id.name, &id.version].map(Clone::clone);
    }
    // What the run was started with holds for all of it; the SDK says it once.
    let is_cached = task.cache_key.as_ref().is_some_and(|key| !key.value.is_empty());
    let anew = is_cached && flyte::task::overwrites_cache(&root_spec(control, run)?);
    let recall = task.cache_key.filter(|key| !key.value.is_empty()).map(|key| RecallKey {
        kind: if metadata.cache_serializable { RecallKind::Once } else { RecallKind::Cache },
        key: flyte::task::cache_key(&run.domain, &key.value),
        max_age: if anew { Some(model::Duration(0)) } else { flyte::task::max_age(&metadata, run_spec) },
    });
    let template = spec.task_template.unwrap_or_default();
    let secrets = flyte::task::secrets(&template).map_err(invalid)?.into_values().collect();
    let entered = control.entering(&AskedTask {
        project: &run.project,
        domain: &run.domain,
        task: &flyte::task::name_of(&template),
        inputs: &call.inputs,
        secrets: &secrets,
        run_labels: &run_labels(control, run)?,
        run: &run.name,
        known,
    })?;
    let (parent, path) = (key_of(parent), call.name.clone());
    Ok(Spawn { parent, path, node: Arc::new(node), input: Some(call.input()), recall, entered, ..Spawn::default() })
}

fn key_of(row: &ActionRow) -> ActionKey {
    ActionKey::new(row.run, ActionNo(row.no))
}

/// A registered workflow as an action of the program. What the program gives it lies among what it may write for what it asks for, and nowhere else:
/// the server reads it.
fn of_workflow(
    control: &ControlPlane,
    (run, parent): (&RunRow, &ActionRow),
    mut call: Call,
    (task, spec): (&TaskAction, &TaskSpec),
    known: &Label,
) -> Answer<Spawn> {
    let invalid = |message: String| Refusal::new("invalid_argument", message);
    let id = flyte::workflows::named(spec);
    if id.project != run.project {
        return Err(invalid(format!("the workflow is one of the project `{}`", id.project)));
    }
    if !task.queue.is_empty() {
        return Err(invalid("a workflow is not sent to a queue: its nodes say where they run".into()));
    }
    let own = format!("{}/{}/", controlplane::flyte_run_key(&run.project, &run.domain, &run.name), call.name);
    let key = flyte::key(&call.inputs).filter(|key| key.starts_with(&own) && !key.contains("/../"));
    let key = key.ok_or_else(|| invalid("the inputs of a workflow lie below the name of its action".into()))?;
    let values = control.flyte().objects().get(key).map_err(|error| invalid(format!("the inputs cannot be read: {error}")))?;
    let entered = control.entering(&AskedTask {
        project: &run.project,
        domain: &run.domain,
        task: &id.name,
        inputs: &call.inputs,
        secrets: &Default::default(),
        run_labels: &run_labels(control, run)?,
        run: &run.name,
        known,
    })?;
    let asked = control.workflow_for_action(&id, &values, (run, parent), (&call, &entered))?;
    call.spec = control.flyte().keep_spec(&task.spec)?;
    call.short_name.clone_from(&spec.short_name);
    call.task = [id.org, id.project, id.domain, id.name, id.version];
    call.given = asked.given;
    let AskedWorkflow { node, inside, refused, .. } = asked;
    let (parent, path, input) = (key_of(parent), call.name.clone(), Some(call.input()));
    Ok(Spawn { parent, path, node: Arc::new(node), input, entered, inside, refused, ..Spawn::default() })
}

/// What a run was started with.
fn root_spec(control: &ControlPlane, run: &RunRow) -> Answer<RunSpec> {
    let root = control.reader().action(run.id, controlplane::FLYTE_ROOT).map_err(broken)?;
    let call = root.map(|root| view::call_of(control.reader(), &root)).transpose()?.unwrap_or_default();
    let bytes = flyte::call::from_hex(&call.run_spec).unwrap_or_default();
    Ok(RunSpec::decode(bytes.as_slice()).unwrap_or_default())
}

/// What a run says of itself, which only rules ask for.
fn run_labels(control: &ControlPlane, run: &RunRow) -> Answer<std::collections::BTreeMap<String, String>> {
    if !control.rules().tags_tasks() {
        return Ok(Default::default());
    }
    let root = control.reader().action(run.id, controlplane::FLYTE_ROOT).map_err(broken)?;
    let call = root.map(|root| view::call_of(control.reader(), &root)).transpose()?.unwrap_or_default();
    Ok(controlplane::flyte_run_labels(&call.run_spec))
}

/// A step that the program took by itself and now says so.
fn of_trace(control: &ControlPlane, parent: ActionKey, mut call: Call, trace: &TraceAction) -> Answer<Spawn> {
    let outputs = trace.outputs.clone().unwrap_or_default().output_uri;
    call.other = flyte::call::to_hex(&trace.spec);
    let done = match trace.phase {
        5 => Outcome::Succeeded(json!({ "output_uri": outputs })),
        7 => Outcome::Aborted,
        _ => {
            let place = outputs.rsplit_once('/').map_or("", |(folder, _)| folder);
            let place = if place.is_empty() { format!("{}/{}", call.base, call.name) } else { place.to_owned() };
            let key = format!("{place}/error.pb");
            let document = flyte::key(&key).and_then(|key| control.flyte().objects().get(key).ok());
            let unknown = || Failure::new(FailureClass::User, format!("`{}` failed", trace.name));
            Outcome::Failed(document.map_or_else(unknown, |document| flyte::ending::failure_of(&document)))
        }
    };
    let kind = NodeKind::Task { name: trace.name.clone() };
    let node = Node { id: call.name.clone(), kind, ..Node::default() };
    let path = call.name.clone();
    Ok(Spawn { parent, path, node: Arc::new(node), input: Some(call.input()), done: Some(done), ..Spawn::default() })
}

/// A question to a person: it goes to the inbox like that of any workflow.
pub(super) fn of_condition(parent: ActionKey, mut call: Call, condition: &ConditionAction) -> Spawn {
    let kind = flyte::conditions::type_of(condition);
    call.other = flyte::call::to_hex(&condition.encode_to_vec());
    let mut input = call.input();
    input["title"] = if condition.prompt.is_empty() { condition.name.clone() } else { condition.prompt.clone() }.into();
    input["show"] = json!({ "condition": condition.name, "description": condition.description });
    input["form"] = json!({
        "type": "object", "properties": { "value": { "type": kind } }, "required": ["value"],
    });
    let timeout = flyte::task::span(condition.timeout.as_ref());
    let node = Node { id: condition.name.clone(), kind: NodeKind::Human, timeout, ..Node::default() };
    Spawn { parent, path: call.name.clone(), node: Arc::new(node), input: Some(input), ..Spawn::default() }
}

/// Stops one action; the root is the run.
pub(super) async fn abort(app: &App, caller: &Caller, request: AbortAction) -> Answer<Empty> {
    let control = app.control.clone();
    let (run, action) = blocking(move || view::action_of(control.reader(), request.action_id.as_ref())).await?;
    auth::own(caller, &run)?;
    let (principal, reason) = (caller.principal.clone(), request.reason.unwrap_or_default());
    if action.finished_at.is_some() {
        return Ok(Empty {});
    }
    let command = match action.path.as_str() {
        controlplane::FLYTE_ROOT => Command::Cancel { run: run.id, principal, reason },
        _ => Command::StopAction { action: ActionKey::new(run.id, ActionNo(action.no)), principal, reason },
    };
    app.control.inbox().ask(command).await?;
    Ok(Empty {})
}

/// Answers a condition.
pub(super) async fn signal(app: &App, caller: &Caller, request: SignalEvent) -> Answer<Empty> {
    let control = app.control.clone();
    let (run, action, input) = blocking(move || {
        let (run, action) = view::action_of(control.reader(), request.action_id.as_ref())?;
        let input = action.input.map(|(seq, n)| control.reader().body(seq, n)).transpose().map_err(broken)?.flatten();
        Ok((run, action, input.unwrap_or_default()))
    })
    .await?;
    approvals::may_answer(app, caller, &run, &input)?;
    let form = json!({ "value": view::value_of(&request.payload.unwrap_or_default()) });
    approvals::check_form(&input, &form)?;
    app.control
        .inbox()
        .ask(Command::Decide {
            action: ActionKey::new(run.id, ActionNo(action.no)),
            principal: caller.principal.clone(),
            groups: caller.groups.clone(),
            decision: "approve".into(),
            form,
            reason: String::new(),
        })
        .await?;
    Ok(Empty {})
}

/// What is worth telling: ends, and questions to people. The client makes noise about anything else.
fn is_news(child: &ChildRow) -> bool {
    child.action.finished_at.is_some() || child.action.kind == engine::event::ActionKind::Human
}

/// The numbers of the actions that an event is about.
fn touched(event: &Event) -> Vec<u32> {
    match event {
        Event::AttemptFinished(e) if e.retry_at.is_none() => vec![e.action.0],
        Event::ActionFinished(e) => vec![e.action.0],
        Event::ChildOpened(e) => vec![e.opened.action.0],
        Event::CancelRequested(e) => e.ended.iter().map(|action| action.0).collect(),
        _ => Vec::new(),
    }
}

struct Watching {
    app: App,
    caller: Caller,
    run: RunRow,
    parent: u32,
    after: Seq,
    seen: tokio::sync::watch::Receiver<Seq>,
    ready: std::collections::VecDeque<WatchResponse>,
}

/// Tells a program of what it asked for: first how everything is, then what changes. It never ends by itself.
pub(super) async fn watch(
    app: &App,
    caller: &Caller,
    request: flyte::wire::OfAction,
) -> Answer<impl Stream<Item = Answer<WatchResponse>> + Send + use<>> {
    let mut seen = app.control.notices().watch();
    // Before looking: what happens meanwhile is told twice rather than never.
    let after = *seen.borrow_and_update();
    recovering::traces(app, caller, request.action_id.clone()).await?;
    let (shared, asker) = (app.clone(), caller.clone());
    let (run, parent, mut ready) = blocking(move || {
        let (reader, caller) = (shared.control.reader(), asker);
        let (run, parent) = view::action_of(reader, request.action_id.as_ref())?;
        auth::own(&caller, &run)?;
        let sight = auth::sight(&shared, &caller, &run)?;
        let (mut from, mut ready) = (0, std::collections::VecDeque::new());
        loop {
            let children = reader.children(run.id, parent.no, from, BATCH).map_err(broken)?;
            for child in children.iter().filter(|child| is_news(child)) {
                let action_update = Some(view::update(&shared.control, sight.as_ref(), &run, child)?);
                ready.push_back(WatchResponse { action_update, control_message: None });
            }
            match children.last() {
                Some(last) if children.len() == BATCH => from = last.action.no + 1,
                _ => break,
            }
        }
        shared.control.flyte().keep_grown(run.id, ActionNo(parent.no)).map_err(broken)?;
        Ok((run, parent.no, ready))
    })
    .await?;
    ready.push_back(WatchResponse { action_update: None, control_message: Some(ControlMessage { sentinel: true }) });
    let watching = Watching { app: app.clone(), caller: caller.clone(), run, parent, after, seen, ready };
    Ok(futures::stream::unfold(Some(watching), |watching| async move {
        let mut watching = watching?;
        loop {
            if let Some(message) = watching.ready.pop_front() {
                return Some((Ok(message), Some(watching)));
            }
            if *watching.app.stopped.borrow() {
                return None;
            }
            match news(&mut watching).await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(refusal) => return Some((Err(refusal), None)),
            }
            tokio::select! {
                changed = watching.seen.changed() => changed.ok()?,
                () = watching.app.stopping() => return None,
            }
        }
    }))
}

/// Reads what happened since; true when something did.
async fn news(watching: &mut Watching) -> Answer<bool> {
    let (app, caller, run) = (watching.app.clone(), watching.caller.clone(), watching.run.clone());
    let (parent, after) = (watching.parent, watching.after);
    let (last, found) = blocking(move || {
        let reader = app.control.reader();
        let events = reader.facts_within(after, Some(run.id), BATCH, usize::MAX).map_err(broken)?;
        let mut numbers: Vec<u32> = events.iter().flat_map(|(.., event)| touched(event)).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let mut found = Vec::new();
        for number in numbers {
            let child = reader.child(run.id, number).map_err(broken)?;
            found.extend(child.filter(|child| child.parent == parent && is_news(child)));
        }
        // What may be seen of a run hangs on all of it: that is looked at where there is something to see.
        let sight = if found.iter().any(view::says_something) { auth::sight(&app, &caller, &run)? } else { None };
        let updates = found.iter().map(|child| view::update(&app.control, sight.as_ref(), &run, child));
        let found = updates.collect::<Answer<Vec<_>>>()?;
        // What is told now came before: whatever it brought along is kept first.
        app.control.flyte().keep_grown(run.id, ActionNo(parent)).map_err(broken)?;
        Ok((events.last().map(|(seq, ..)| *seq), found))
    })
    .await?;
    let Some(last) = last else { return Ok(false) };
    watching.after = last;
    let message = |update| WatchResponse { action_update: Some(update), control_message: None };
    watching.ready.extend(found.into_iter().map(message));
    Ok(true)
}

/// Whether a phase is the last.
pub(super) fn is_over(phase: Phase) -> bool {
    matches!(phase, Phase::Succeeded | Phase::Failed | Phase::Aborted | Phase::TimedOut | Phase::Skipped)
}
