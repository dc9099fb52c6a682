//! Triggers of tasks. Each is a trigger of Tutti that starts the task as it was deployed; what the client said of it is kept in its body.

use std::collections::BTreeMap;

use controlplane::{ControlPlane, FLYTE_ARTIFACT_EVENT, FLYTE_SAID, inputs_of_trigger};
use flyte::call::{Binds, from_hex, to_hex};
use flyte::wire::{
    Automation, ChangeTriggersRequest, DeployTriggerRequest, Empty, ListTriggersRequest, ListTriggersResponse, OfTrigger,
    Offloaded, OnArtifact, RunSpec, Schedule, TaskId, TaskTrigger, Trigger, TriggerDetails, TriggerId, TriggerName,
    TriggerResponse, TriggerSpec, TriggerStatus,
};
use flyte::{Call, Message as _};
use journal::ResourceRow;
use model::{Duration, Timestamp};
use serde_json::{Value, json};
use workflow::documents::{CatchUp, Overlap, TriggerKind, TriggerSpec as OwnSpec};

use super::connect::{Answer, Refusal};
use super::view::{self, blocking, broken};
use super::{data, naming, tasks};
use crate::rest::App;
use crate::rest::access::Caller;

/// The kind of resource that a trigger is.
const KIND: &str = "trigger";
/// Nothing is said of what starts it, or that whoever wants to does.
const UNSAID: i32 = 0;
const BY_HAND: i32 = 1;
/// What starts it is a schedule.
const SCHEDULE: i32 = 2;
/// What starts it is a new version of an artifact.
const ARTIFACT: i32 = 3;

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new("invalid_argument", message)
}

fn name_of(name: &TriggerName) -> String {
    format!("{}/{}/{}/{}", name.project, name.domain, name.task_name, name.name)
}

fn named(name: Option<TriggerName>) -> Answer<TriggerName> {
    let name = name.ok_or_else(|| invalid("the trigger is not named"))?;
    let parts = [&name.project, &name.domain, &name.task_name, &name.name];
    if parts.iter().any(|part| part.is_empty() || part.contains('/')) || parts.iter().map(|part| part.len()).sum::<usize>() > 400
    {
        return Err(invalid("a trigger has a project, a domain, a task and a name, without `/`"));
    }
    Ok(name)
}

/// The event that a new version of an artifact is, as a trigger waits for it.
fn on_artifact(on: &OnArtifact, of: (&str, &str)) -> Answer<TriggerKind> {
    if on.artifact_name.is_empty() {
        return Err(invalid("the trigger names no artifact"));
    }
    let mut matching = json!({ "project": of.0, "domain": of.1, "name": on.artifact_name });
    if !on.version.is_empty() {
        matching["version"] = on.version.clone().into();
    }
    if !on.partitions.is_empty() {
        matching["partitions"] = json!(on.partitions);
    }
    Ok(TriggerKind::Event { name: FLYTE_ARTIFACT_EVENT.into(), matching })
}

/// When it fires, of what the client says; `of` is the project and the domain.
fn fires_on(automation: &[u8], of: (&str, &str)) -> Answer<(TriggerKind, Option<Binds>)> {
    let automation = Automation::decode(automation).map_err(|error| invalid(error.to_string()))?;
    match (automation.kind, &automation.artifact) {
        (ARTIFACT, Some(on)) => {
            let binds = Binds { input: on.input_arg.clone(), partitions: on.partition_input_args.clone() };
            Ok((on_artifact(on, of)?, Some(binds)))
        }
        _ => Ok((schedule_of(automation)?, None)),
    }
}

/// When a trigger with a schedule fires.
fn schedule_of(automation: Automation) -> Answer<TriggerKind> {
    let schedule = match (automation.kind, automation.schedule) {
        (SCHEDULE, Some(schedule)) => schedule,
        (UNSAID | BY_HAND, _) => return Ok(TriggerKind::Demand),
        _ => return Err(Refusal::new("unimplemented", "what starts the trigger is not known here: give it a schedule")),
    };
    Ok(match schedule {
        Schedule { rate: Some(rate), .. } => {
            let minutes = match rate.unit {
                1 => 1,
                2 => 60,
                3 => 24 * 60,
                _ => return Err(invalid("the rate has no unit")),
            };
            if rate.value == 0 {
                return Err(invalid("a rate of 0 is none"));
            }
            let every = Duration::from_secs(u64::from(rate.value) * minutes * 60);
            match rate.start_time {
                Some(start) => {
                    TriggerKind::EveryFrom { every, from: Timestamp(start.seconds.max(0).cast_unsigned() * 1_000_000) }
                }
                None => TriggerKind::Every(every),
            }
        }
        Schedule { cron: Some(cron), .. } => {
            let timezone = if cron.timezone.is_empty() { "UTC".into() } else { cron.timezone };
            TriggerKind::Cron { expression: cron.expression, timezone }
        }
        Schedule { cron_expression, .. } => TriggerKind::Cron { expression: cron_expression, timezone: "UTC".into() },
    })
}

/// A trigger that was looked at: it can be set.
pub(super) struct Ready {
    own: OwnSpec,
    /// What the client said of it.
    said: Value,
}

/// What is set for a trigger of a task, whose identifier and specification are given. Nothing is set yet. Blocks.
fn looked_at(
    app: &App,
    by: &Caller,
    name: &TriggerName,
    (id, bytes): (TaskId, &[u8]),
    (spec, automation): (TriggerSpec, Vec<u8>),
) -> Answer<Ready> {
    let (on, binds) = fires_on(&automation, (&name.project, &name.domain))?;
    let control = &app.control;
    if flyte::task::read(bytes).is_ok_and(|spec| flyte::workflows::is_workflow(&spec)) {
        return Err(invalid("a trigger of the SDK starts no workflow: declare one with a document of `kind: trigger`"));
    }
    let inputs = match &spec.offloaded_input_data {
        Some(offloaded) => offloaded.clone(),
        None => {
            let place = (name.project.as_str(), name.domain.as_str());
            let uri = data::keep_inputs(control, by, place, spec.inputs.as_deref().unwrap_or_default())?;
            Offloaded { uri, inputs_hash: String::new() }
        }
    };
    // Its runs read them, whoever set it.
    naming::check_inputs(app, by, (&name.project, &name.domain), &inputs.uri)?;
    let run_spec = RunSpec::decode(spec.run_spec.as_slice()).map_err(|error| invalid(error.to_string()))?;
    super::runs::check(&run_spec)?;
    if run_spec.labels.iter().any(|labels| labels.values.contains_key(flyte::subject::LABEL)) {
        // It would lie open with the trigger, for as long as that is known.
        return Err(invalid(format!("a trigger is about nobody: the label `{}` is one of runs", flyte::subject::LABEL)));
    }
    control.send_to_queue(&mut model::Node::default(), &run_spec.queue)?;
    let call = Call {
        spec: control.flyte().keep_spec(bytes)?,
        task: [id.org, id.project.clone(), id.domain, id.name.clone(), id.version.clone()],
        inputs: inputs.uri.clone(),
        base: flyte::uri(&format!("runs/{}/{}", name.project, name.domain)),
        name: controlplane::FLYTE_ROOT.into(),
        envs: run_spec.envs.unwrap_or_default().values.into_iter().map(|pair| (pair.key, pair.value)).collect::<BTreeMap<_, _>>(),
        queue: run_spec.queue,
        entered: super::runs::tags_of(control, by.attempt)?,
        binds,
        run_spec: to_hex(&spec.run_spec),
        by: Some(by.rights()),
        ..Call::default()
    };
    let own = OwnSpec {
        name: name_of(name),
        workflow: format!("{}/{}", id.project, id.name),
        domain: Some(name.domain.clone()),
        inputs: inputs_of_trigger(&call),
        on,
        catch_up: CatchUp::Skip,
        overlap: Overlap::Allow,
        paused: !spec.active,
    };
    let said = json!({
        "org": name.org, "project": name.project, "domain": name.domain, "task": name.task_name, "name": name.name,
        "version": id.version, "automation": to_hex(&automation), "run_spec": to_hex(&spec.run_spec),
        "description": spec.description, "inputs": inputs.uri, "inputs_hash": inputs.inputs_hash,
    });
    control.check_program_trigger(&own)?;
    Ok(Ready { own, said })
}

async fn set(app: &App, caller: &Caller, Ready { own, said }: Ready) -> Answer<()> {
    Ok(app.control.set_program_trigger(own, said, &caller.principal).await?)
}

/// Looks at the triggers that come with the deployment of a task before that is deployed: what is wrong with one is said while nothing is done. Of a task
/// that is there already, at those that are not. Blocks.
pub(super) fn look_at_all(
    app: &App,
    caller: &Caller,
    task: &TaskId,
    spec: &[u8],
    (triggers, is_there): (Vec<TaskTrigger>, bool),
) -> Answer<Vec<Ready>> {
    let mut all = Vec::new();
    for TaskTrigger { name, spec: said, automation_spec } in triggers {
        let of = (task.org.clone(), task.project.clone(), task.domain.clone(), task.name.clone());
        let name = named(Some(TriggerName { org: of.0, project: of.1, domain: of.2, name, task_name: of.3 }))?;
        if is_there && !app.control.reader().resources(KIND, Some(&name_of(&name)), None).map_err(broken)?.is_empty() {
            continue;
        }
        let said = said.unwrap_or_default();
        let said = TriggerSpec {
            inputs: said.inputs,
            run_spec: said.run_spec,
            active: said.active,
            task_version: task.version.clone(),
            description: said.description,
            offloaded_input_data: said.offloaded_input_data,
        };
        all.push(looked_at(app, caller, &name, (task.clone(), spec), (said, automation_spec))?);
    }
    Ok(all)
}

/// Sets triggers that were looked at.
pub(super) async fn set_all(app: &App, caller: &Caller, triggers: Vec<Ready>) -> Answer<()> {
    for trigger in triggers {
        set(app, caller, trigger).await?;
    }
    Ok(())
}

/// Sets one trigger of a deployed task.
pub(super) async fn deploy(app: &App, caller: &Caller, request: DeployTriggerRequest) -> Answer<TriggerResponse> {
    let name = named(request.name)?;
    let spec = request.spec.unwrap_or_default();
    let task = TaskId {
        org: name.org.clone(),
        project: name.project.clone(),
        domain: name.domain.clone(),
        name: name.task_name.clone(),
        version: spec.task_version.clone(),
    };
    let (shared, by, of, automation) = (app.clone(), caller.clone(), name.clone(), request.automation_spec);
    let ready = blocking(move || {
        let (id, bytes) = tasks::find(&shared.control, &task)?;
        looked_at(&shared, &by, &of, (id, &bytes), (spec, automation))
    });
    set(app, caller, ready.await?).await?;
    details(app, OfTrigger { name: Some(name) }).await
}

/// A trigger of a task; none when the row is one of another kind.
fn read(control: &ControlPlane, row: &ResourceRow) -> Answer<Option<TriggerDetails>> {
    let Some(said) = row.body.get(FLYTE_SAID) else { return Ok(None) };
    let text = |key: &str| said.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let bytes = |key: &str| from_hex(&text(key)).unwrap_or_default();
    let name = TriggerName {
        org: text("org"),
        project: text("project"),
        domain: text("domain"),
        name: text("name"),
        task_name: text("task"),
    };
    let fired = control.reader().firings(&row.name, 1).map_err(broken)?.pop();
    let at = Some(view::time(row.at));
    Ok(Some(TriggerDetails {
        id: Some(TriggerId { name: Some(name), revision: row.version }),
        spec: Some(TriggerSpec {
            inputs: None,
            run_spec: bytes("run_spec"),
            active: !row.body.get("paused").and_then(Value::as_bool).unwrap_or(false),
            task_version: text("version"),
            description: text("description"),
            offloaded_input_data: Some(Offloaded { uri: text("inputs"), inputs_hash: text("inputs_hash") }),
        }),
        status: Some(TriggerStatus { deployed_at: at, updated_at: at, triggered_at: fired.map(|fired| view::time(fired.at)) }),
        automation_spec: bytes("automation"),
    }))
}

fn find(control: &ControlPlane, name: &TriggerName) -> Answer<(ResourceRow, TriggerDetails)> {
    let missing = || Refusal::not_found("trigger", &name_of(name));
    let row = control.reader().resources(KIND, Some(&name_of(name)), None).map_err(broken)?.pop().ok_or_else(missing)?;
    let details = read(control, &row)?.ok_or_else(missing)?;
    Ok((row, details))
}

/// A trigger.
pub(super) async fn details(app: &App, request: OfTrigger) -> Answer<TriggerResponse> {
    let control = app.control.clone();
    let name = named(request.name)?;
    blocking(move || Ok(TriggerResponse { trigger: Some(find(&control, &name)?.1) })).await
}

/// The task that a trigger starts.
pub(super) fn task_of(control: &ControlPlane, name: TriggerName) -> Answer<TaskId> {
    let name = named(Some(name))?;
    let version = find(control, &name)?.1.spec.unwrap_or_default().task_version;
    Ok(TaskId { org: name.org, project: name.project, domain: name.domain, name: name.task_name, version })
}

/// The triggers of a project, or of a task.
pub(super) async fn list(app: &App, request: ListTriggersRequest) -> Answer<ListTriggersResponse> {
    let control = app.control.clone();
    blocking(move || {
        let task = request.task_name.or(request.task_id);
        let mut triggers = Vec::new();
        for row in control.reader().resources(KIND, None, None).map_err(broken)? {
            let Some(found) = read(&control, &row)? else { continue };
            let name = found.id.as_ref().and_then(|id| id.name.clone()).unwrap_or_default();
            let is_of_task = task
                .as_ref()
                .is_none_or(|task| (&task.project, &task.domain, &task.name) == (&name.project, &name.domain, &name.task_name));
            let is_of_project = request.project_id.as_ref().is_none_or(|id| id.name == name.project && id.domain == name.domain);
            if is_of_task && is_of_project {
                let active = found.spec.as_ref().is_some_and(|spec| spec.active);
                triggers.push(Trigger { id: found.id, status: found.status, active, automation_spec: found.automation_spec });
            }
        }
        let (triggers, token) = view::page_of(triggers, request.request.as_ref());
        Ok(ListTriggersResponse { triggers, token })
    })
    .await
}

/// Holds triggers, or lets them go on.
pub(super) async fn update(app: &App, caller: &Caller, request: ChangeTriggersRequest) -> Answer<Empty> {
    for name in request.names {
        let (control, name) = (app.control.clone(), named(Some(name))?);
        let (row, _) = blocking(move || find(&control, &name)).await?;
        let mut own: OwnSpec = serde_json::from_value(row.body.clone()).map_err(broken)?;
        own.paused = !request.active;
        let said = row.body.get(FLYTE_SAID).cloned().unwrap_or_default();
        app.control.set_program_trigger(own, said, &caller.principal).await?;
    }
    Ok(Empty {})
}

/// Removes triggers.
pub(super) async fn delete(app: &App, caller: &Caller, request: ChangeTriggersRequest) -> Answer<Empty> {
    for name in request.names {
        let (control, name) = (app.control.clone(), named(Some(name))?);
        let (row, _) = blocking(move || find(&control, &name)).await?;
        app.control.remove_program_trigger(&row.name, &caller.principal).await?;
    }
    Ok(Empty {})
}
