//! Tasks that were deployed, projects, and who one is.

use controlplane::{ControlPlane, RegisteredWorkflow};
use engine::Command;
use flyte::Message as _;
use flyte::wire::{
    BuiltImage, DeployTaskRequest, DeployedMetadata, DeployedTask, DeployedVersion, Empty, GetImageRequest, GetImageResponse,
    KeyValue, ListProjectsRequest, ListProjectsResponse, ListRequest, ListTasksRequest, ListTasksResponse, ListVersionsRequest,
    ListVersionsResponse, OfTask, Project, ProjectResponse, Projects, TaskDetails, TaskDetailsResponse, TaskId, Text, UserInfo,
};
use journal::ResourceRow;
use serde_json::{Value, json};

use super::connect::{Answer, Refusal};
use super::view::{self, blocking, broken};
use crate::rest::access::Caller;
use crate::rest::{App, permission};

const KIND: &str = controlplane::FLYTE_TASKS;

fn name_of(id: &TaskId) -> String {
    format!("{}/{}/{}@{}", id.project, id.domain, id.name, id.version)
}

fn id_of(row: &ResourceRow) -> TaskId {
    let text = |key: &str| row.body.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    TaskId { org: text("org"), project: text("project"), domain: text("domain"), name: text("name"), version: text("version") }
}

fn rows(control: &ControlPlane) -> Answer<Vec<ResourceRow>> {
    let mut rows = control.reader().resources(KIND, None, None).map_err(broken)?;
    rows.sort_by_key(|row| std::cmp::Reverse(row.at));
    Ok(rows)
}

/// A deployed task: its whole identifier and its specification.
pub(super) fn find(control: &ControlPlane, id: &TaskId) -> Answer<(TaskId, Vec<u8>)> {
    if let Some(builder) = builder(control, id) {
        return Ok(builder);
    }
    let Some(row) = control.reader().resources(KIND, Some(&name_of(id)), None).map_err(broken)?.pop() else {
        let (found, spec) = control.workflow_as_task(id)?.ok_or_else(|| Refusal::not_found("task", &name_of(id)))?;
        return Ok((found.id, spec.encode_to_vec()));
    };
    let spec = row.body.get("spec").and_then(Value::as_str).unwrap_or_default();
    Ok((id_of(&row), control.flyte().spec(spec)?))
}

/// The task that builds images, which nobody deploys.
fn builder(control: &ControlPlane, id: &TaskId) -> Option<(TaskId, Vec<u8>)> {
    if !flyte::images::is_builder(&id.project, &id.domain, &id.name) {
        return None;
    }
    let (id, spec) = control.flyte().image_builder();
    Some((id, spec.encode_to_vec()))
}

/// An image that was built, and that the project may use. Of those of others nothing is told.
pub(super) async fn image(app: &App, request: GetImageRequest) -> Answer<GetImageResponse> {
    let control = app.control.clone();
    blocking(move || {
        let name = request.id.unwrap_or_default().value;
        let project = request.project_id.unwrap_or_default().name;
        match control.flyte().has_image(&name, &project) {
            true => {
                let image = BuiltImage { id: Some(Text { value: name.clone() }), fqin: name };
                Ok(GetImageResponse { image: Some(image) })
            }
            false => Err(Refusal::not_found("image", &name)),
        }
    })
    .await
}

/// Deploys a task. A version that is there is left as it is, but for triggers of it that are not: a deployment may have ended before they were set.
pub(super) async fn deploy(app: &App, caller: &Caller, request: DeployTaskRequest) -> Answer<Empty> {
    let id = request.task_id.ok_or_else(|| Refusal::new("invalid_argument", "the task is not named"))?;
    let (shared, by, name, triggers) = (app.clone(), caller.clone(), name_of(&id), request.triggers);
    let found = blocking(move || {
        let control = &shared.control;
        if !control.reader().resources(KIND, Some(&name_of(&id)), None).map_err(broken)?.is_empty() {
            let (id, spec) = find(control, &id)?;
            return Ok((None, super::triggers::look_at_all(&shared, &by, &id, &spec, (triggers, true))?));
        }
        let spec = flyte::task::read(&request.spec).map_err(|unfit| Refusal::new("invalid_argument", unfit.to_string()))?;
        let node = flyte::task::node("a0", &spec).map_err(|unfit| Refusal::new("invalid_argument", unfit.to_string()))?;
        let triggers = super::triggers::look_at_all(&shared, &by, &id, &request.spec, (triggers, false))?;
        let kept = control.flyte().keep_spec(&request.spec)?;
        let environment = spec.environment.clone().unwrap_or_default().value;
        let body = json!({
            "org": id.org, "project": id.project, "domain": id.domain, "name": id.name, "version": id.version,
            (controlplane::FLYTE_TAKES_FILES): true, "spec": kept, "short_name": spec.short_name, "environment": environment, "resources": node.needs.resources,
            "inputs": flyte::interface::inputs_schema(&spec), "outputs": flyte::interface::outputs_schema(&spec),
        });
        Ok((Some(body), triggers))
    });
    let (body, triggers) = found.await?;
    let is_there = body.is_none();
    if let Some(body) = body {
        let (kind, name, principal) = (KIND.to_owned(), name.clone(), caller.principal.clone());
        app.control.inbox().ask(Command::ApplyResource { kind, name, body, principal }).await?;
    }
    super::triggers::set_all(app, caller, triggers).await?;
    if is_there {
        return Err(Refusal::new("already_exists", format!("`{name}` is deployed already")));
    }
    Ok(Empty {})
}

fn metadata(row: &ResourceRow) -> DeployedMetadata {
    let text = |key: &str| row.body.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let deployed_at = Some(view::time(row.at));
    DeployedMetadata { short_name: text("short_name"), deployed_at, environment_name: text("environment") }
}

/// What stands beside a registered workflow, which is as good as a task that was deployed.
fn metadata_of(found: &RegisteredWorkflow) -> DeployedMetadata {
    let deployed_at = Some(view::time(found.at));
    DeployedMetadata { short_name: found.id.name.clone(), deployed_at, environment_name: String::new() }
}

/// One version of a task.
pub(super) async fn details(app: &App, request: OfTask) -> Answer<TaskDetailsResponse> {
    let control = app.control.clone();
    blocking(move || {
        let id = request.task_id.ok_or_else(|| Refusal::new("invalid_argument", "the task is not named"))?;
        if let Some((id, spec)) = builder(&control, &id) {
            let metadata = DeployedMetadata { short_name: id.name.clone(), ..DeployedMetadata::default() };
            return Ok(TaskDetailsResponse { details: Some(TaskDetails { task_id: Some(id), metadata: Some(metadata), spec }) });
        }
        let row = control.reader().resources(KIND, Some(&name_of(&id)), None).map_err(broken)?.pop();
        let Some(row) = row else {
            let (found, spec) = control.workflow_as_task(&id)?.ok_or_else(|| Refusal::not_found("task", &name_of(&id)))?;
            let (metadata, spec) = (Some(metadata_of(&found)), spec.encode_to_vec());
            return Ok(TaskDetailsResponse { details: Some(TaskDetails { task_id: Some(found.id), metadata, spec }) });
        };
        let (id, spec) = find(&control, &id)?;
        Ok(TaskDetailsResponse { details: Some(TaskDetails { task_id: Some(id), metadata: Some(metadata(&row)), spec }) })
    })
    .await
}

/// Whether a row is what a list asks for. Filters on what is not known here let everything pass.
fn is_asked(id: &TaskId, request: Option<&ListRequest>) -> bool {
    request.iter().flat_map(|request| &request.filters).all(|filter| {
        let value = match filter.field.rsplit('.').next().unwrap_or_default() {
            "name" => &id.name,
            "version" => &id.version,
            "project" => &id.project,
            "domain" => &id.domain,
            _ => return true,
        };
        match filter.function {
            0 | 7 => filter.values.contains(value),
            6 => filter.values.iter().any(|wanted| value.contains(wanted.as_str())),
            14 => filter.values.iter().any(|wanted| value.to_lowercase().contains(&wanted.to_lowercase())),
            _ => true,
        }
    })
}

/// Deployed tasks, the newest version of each.
pub(super) async fn list(app: &App, request: ListTasksRequest) -> Answer<ListTasksResponse> {
    let control = app.control.clone();
    blocking(move || {
        let mut seen = std::collections::BTreeSet::new();
        let asks_version = request.request.iter().flat_map(|list| &list.filters).any(|filter| filter.field.ends_with("version"));
        let mut tasks = Vec::new();
        let (builder, _) = control.flyte().image_builder();
        let asks_builder =
            request.project_id.as_ref().is_some_and(|id| (&id.name, &id.domain) == (&builder.project, &builder.domain));
        if asks_builder && is_asked(&builder, request.request.as_ref()) {
            tasks.push(DeployedTask { task_id: Some(builder), metadata: Some(DeployedMetadata::default()) });
        }
        for row in rows(&control)? {
            let id = id_of(&row);
            let here = request.project_id.as_ref().is_none_or(|asked| asked.name == id.project && asked.domain == id.domain);
            if !here || !is_asked(&id, request.request.as_ref()) {
                continue;
            }
            if asks_version || seen.insert((id.project.clone(), id.domain.clone(), id.name.clone())) {
                tasks.push(DeployedTask { task_id: Some(id), metadata: Some(metadata(&row)) });
            }
        }
        if let Some(place) = &request.project_id {
            for found in control.workflows_as_tasks(&place.name, &place.domain, None)? {
                if is_asked(&found.id, request.request.as_ref()) {
                    tasks.push(DeployedTask { metadata: Some(metadata_of(&found)), task_id: Some(found.id) });
                }
            }
        }
        let (tasks, token) = view::page_of(tasks, request.request.as_ref());
        Ok(ListTasksResponse { tasks, token })
    })
    .await
}

/// The versions of a task, the newest first.
pub(super) async fn versions(app: &App, request: ListVersionsRequest) -> Answer<ListVersionsResponse> {
    let control = app.control.clone();
    blocking(move || {
        let asked = request.task_name.unwrap_or_default();
        let mut versions = Vec::new();
        for row in rows(&control)? {
            let id = id_of(&row);
            if (&id.project, &id.domain, &id.name) == (&asked.project, &asked.domain, &asked.name) {
                versions.push(DeployedVersion { version: id.version, deployed_at: Some(view::time(row.at)) });
            }
        }
        if versions.is_empty() {
            // Of a workflow the latest is named here; earlier ones are found by their numbers.
            for found in control.workflows_as_tasks(&asked.project, &asked.domain, Some(&asked.name))? {
                versions.push(DeployedVersion { version: found.id.version, deployed_at: Some(view::time(found.at)) });
            }
        }
        let (versions, token) = view::page_of(versions, request.request.as_ref());
        Ok(ListVersionsResponse { versions, token })
    })
    .await
}

fn project_named(name: &str) -> Project {
    let domains = ["development", "staging", "production"].map(|name| KeyValue { key: name.into(), value: name.into() });
    Project { id: name.into(), name: name.into(), domains: domains.into(), org: String::new() }
}

/// Projects are not made: they are there as soon as something is in them. Those that the caller may not read are not told of.
pub(super) async fn projects(app: &App, caller: &Caller, request: ListProjectsRequest) -> Answer<ListProjectsResponse> {
    let (app, caller) = (app.clone(), caller.clone());
    blocking(move || {
        let control = &app.control;
        let mut names: std::collections::BTreeSet<String> = rows(control)?.iter().map(|row| id_of(row).project).collect();
        names.extend(control.reader().projects().map_err(broken)?.into_iter().map(|project| project.name));
        names.retain(|name| {
            if caller.home.as_ref().is_some_and(|home| home.project != *name) {
                return false;
            }
            let target = policy::Target { project: name.clone(), ..policy::Target::server() };
            permission::permits(&app, &caller, "read", &target, &model::Label::empty())
        });
        let projects = names.iter().map(|name| project_named(name)).collect();
        let (projects, token) = view::page(projects, request.limit as usize, &request.token);
        Ok(ListProjectsResponse { projects: Some(Projects { projects, token }) })
    })
    .await
}

/// A project.
pub(super) async fn project(request: Text) -> Answer<ProjectResponse> {
    Ok(ProjectResponse { project: Some(project_named(&request.value)) })
}

/// Who one is.
pub(super) async fn user(caller: &Caller, _: Empty) -> Answer<UserInfo> {
    Ok(UserInfo { subject: caller.principal.clone(), name: caller.principal.clone() })
}
