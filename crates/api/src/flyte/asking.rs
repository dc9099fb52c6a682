//! What a message of the SDK is about, and whether the rules permit it there.
//!
//! The address of a call says nothing of a project: what is sent does. So the rules are asked when a message was read and before anything is
//! done with it, in the one place that reads messages. A message that does not say what it is about is none that can be read here.

use controlplane::ControlPlane;
use flyte::wire::{self, ActionId, AppId, ArtifactName, ProjectId, RunId, TaskId, TriggerName};
use model::Label;
use policy::Target;

use super::connect::{Answer, Refusal};
use super::data::plain;
use super::view::{self, blocking};
use crate::rest::App;
use crate::rest::access::{Caller, Home};
use crate::rest::permission;

/// The operation of a door, and what it is asked about.
pub(super) type Question = (&'static str, Target);

/// A message that says what it is about.
pub(super) trait About {
    /// What has to be permitted, all of it, for an operation; nothing for what is about no project.
    fn about(&self, operation: &'static str) -> Vec<Question>;
}

/// Refuses what the rules do not permit for what a message names. A program that runs has to do with its own project and domain alone, whatever else
/// whoever started it may; with its run it does what it is there for.
pub(super) async fn ask(app: &App, caller: &Caller, operation: &'static str, message: &impl About) -> Answer<()> {
    for (operation, mut target) in message.about(operation) {
        match &caller.home {
            Some(home) if home.is_run(&target) => continue,
            Some(home) if !home.holds(&target) => return Err(beyond(home)),
            _ => {}
        }
        if permission::always(app, caller, operation) {
            continue;
        }
        if target.kind == "run" {
            let control = app.control.clone();
            target = blocking(move || with_author(&control, target)).await?;
        }
        permission::may(app, caller, operation, &target, &Label::empty()).map_err(|error| error.0)?;
    }
    Ok(())
}

fn beyond(home: &Home) -> Refusal {
    let (project, domain) = (&home.project, &home.domain);
    let message =
        format!("a program that runs has to do with its own project and domain alone, which are `{project}` and `{domain}`");
    Refusal::new("permission_denied", message)
}

/// A run with who started it, whom rules may look at. One that is not there has nobody.
fn with_author(control: &ControlPlane, target: Target) -> Answer<Target> {
    let (project, domain, name) = (target.project.clone(), target.domain.clone(), target.name.clone());
    let author = match view::run_of(control.reader(), Some(&RunId { org: String::new(), project, domain, name })) {
        Ok(run) => run.principal,
        Err(refusal) if refusal.code == "not_found" => String::new(),
        Err(refusal) => return Err(refusal),
    };
    Ok(Target { author, ..target })
}

fn named(kind: &str, project: &str, domain: &str, name: &str) -> Target {
    Target { kind: kind.into(), name: name.into(), project: project.into(), domain: domain.into(), author: String::new() }
}

/// What has no name is of no project: only who may everywhere may.
fn of_server() -> Target {
    Target::server()
}

fn run(id: Option<&RunId>) -> Target {
    id.map_or_else(of_server, |id| named("run", &id.project, &id.domain, &id.name))
}

fn action(id: Option<&ActionId>) -> Target {
    run(id.and_then(|id| id.run.as_ref()))
}

fn project(id: Option<&ProjectId>) -> Target {
    id.map_or_else(of_server, |id| Target { project: id.name.clone(), domain: id.domain.clone(), ..Target::server() })
}

fn workflow(project: &str, domain: &str, name: &str) -> Target {
    named("workflow", project, domain, &format!("{project}/{name}"))
}

fn task(id: Option<&TaskId>) -> Target {
    id.map_or_else(of_server, |id| workflow(&id.project, &id.domain, &id.name))
}

/// What is read of a task. The one that builds images is everybody's, and nobody's project.
fn reads(operation: &'static str, id: Option<&TaskId>) -> Vec<Question> {
    match id {
        Some(id) if flyte::images::is_builder(&id.project, &id.domain, &id.name) => Vec::new(),
        id => vec![(operation, task(id))],
    }
}

fn trigger(name: &TriggerName) -> Target {
    named("trigger", &name.project, &name.domain, &name.name)
}

fn app(id: Option<&AppId>) -> Target {
    id.map_or_else(of_server, |id| permission::app_target(&id.project, &id.domain, &id.name))
}

fn artifact(name: Option<&ArtifactName>) -> Target {
    name.map_or_else(of_server, |name| named("artifact", &name.project, &name.domain, &flyte::artifacts::stem(name)))
}

fn secret(id: Option<&wire::SecretId>) -> Target {
    id.map_or_else(of_server, |id| named("secret", &id.project, &id.domain, &id.name))
}

/// Settings of a project; those of wider scopes are the server's.
fn settings(key: Option<&wire::SettingsKey>) -> Target {
    match key.filter(|key| !key.project.is_empty()) {
        Some(key) => Target { project: key.project.clone(), domain: key.domain.clone(), ..of_server() },
        None => of_server(),
    }
}

/// One question about one thing.
macro_rules! about {
    ($($message:ident => |$given:ident| $target:expr;)+) => {
        $(impl About for wire::$message {
            fn about(&self, operation: &'static str) -> Vec<Question> {
                let $given = self;
                vec![(operation, $target)]
            }
        })+
    };
}

about! {
    UploadInputsRequest => |m| match &m.run_id {
        Some(id) => run(Some(id)),
        None => project(m.project_id.as_ref()),
    };
    OfRun => |m| run(m.run_id.as_ref());
    OfAction => |m| action(m.action_id.as_ref());
    AbortAction => |m| action(m.action_id.as_ref());
    TailLogsRequest => |m| action(m.action_id.as_ref());
    SignalEvent => |m| action(m.action_id.as_ref());
    ListActionsRequest => |m| run(m.run_id.as_ref());
    DeployTaskRequest => |m| task(m.task_id.as_ref());
    SetSecretRequest => |m| secret(m.id.as_ref());
    OfSecret => |m| secret(m.id.as_ref());
    ListSecretsRequest => |m| Target { project: m.project.clone(), domain: m.domain.clone(), ..of_server() };
    OfTrigger => |m| m.name.as_ref().map_or_else(of_server, trigger);
    DeployTriggerRequest => |m| m.name.as_ref().map_or_else(of_server, trigger);
    AppRequest => |m| app(m.app.as_ref().and_then(|app| app.metadata.as_ref()).and_then(|meta| meta.id.as_ref()));
    OfApp => |m| app(m.app_id.as_ref());
    WatchAppsRequest => |m| app(m.app_id.as_ref());
    ListAppsRequest => |m| project(m.project.as_ref());
    OfSettings => |m| settings(m.key.as_ref());
    SetSettingsRequest => |m| settings(m.key.as_ref());
    GetImageRequest => |m| project(m.project_id.as_ref());
    CreateArtifactRequest => |m| artifact(m.artifact_id.as_ref().and_then(|id| id.name.as_ref()));
    DeleteArtifactRequest => |m| artifact(m.artifact_id.as_ref().and_then(|id| id.name.as_ref()));
    GetArtifactRequest => |m| artifact(m.name.as_ref());
    DeclareArtifactRequest => |m| artifact(m.name.as_ref());
    GetSchemaRequest => |m| artifact(m.name.as_ref());
    ListArtifactsRequest => |m| project(m.project_id.as_ref());
    ListArtifactNamesRequest => |m| project(m.project_id.as_ref());
    MetadataKeysRequest => |m| project(m.project_id.as_ref());
    PartitionValuesRequest => |m| project(m.project_id.as_ref());
    // Names as they stand in the address of what is uploaded.
    CreateUploadLocationRequest => |m| match m.project.is_empty() {
        true => of_server(),
        false => Target { project: plain(&m.project), domain: plain(&m.domain), ..of_server() },
    };
    // A project that is named narrows a list, whatever else does.
    ListRunsRequest => |m| match &m.project_id {
        Some(id) => project(Some(id)),
        None => task(m.task_name.as_ref().or(m.task_id.as_ref())),
    };
    ListTriggersRequest => |m| match &m.project_id {
        Some(id) => project(Some(id)),
        None => task(m.task_name.as_ref().or(m.task_id.as_ref())),
    };
    // The name of a project.
    Text => |m| Target { project: m.value.clone(), ..of_server() };
}

impl About for wire::CreateRunRequest {
    /// A run is of the project that it is started in; the task that it runs may be another's, and has to be one that may be read.
    fn about(&self, operation: &'static str) -> Vec<Question> {
        let (place, domain) = match (&self.run_id, &self.project_id) {
            (Some(id), _) => (id.project.as_str(), id.domain.as_str()),
            (None, Some(id)) => (id.name.as_str(), id.domain.as_str()),
            (None, None) => ("", ""),
        };
        let of_trigger = self.trigger_name.as_ref().map(|name| TaskId {
            project: name.project.clone(),
            domain: name.domain.clone(),
            name: name.task_name.clone(),
            ..TaskId::default()
        });
        // A registered workflow is what it is, also when a client that repeats a run sends it as a specification.
        let sent = self.task_spec.as_deref().and_then(flyte::workflows::sent);
        let named = self.task_id.as_ref().or(of_trigger.as_ref()).or(sent.as_ref());
        let mut questions = vec![(operation, workflow(place, domain, named.map_or("", |task| &task.name)))];
        // The handler looks the trigger up even where a task is named beside it.
        for task in self.task_id.iter().chain(&of_trigger).chain(&sent) {
            questions.extend(reads("read", Some(task)));
        }
        questions
    }
}

impl About for wire::EnqueueRequest {
    /// An action is of its run; a workflow has to be one that may be read and started in the project too, as for a run of its own.
    fn about(&self, operation: &'static str) -> Vec<Question> {
        let asked = self.action.as_ref();
        let mut questions = vec![(operation, action(asked.and_then(|asked| asked.action_id.as_ref())))];
        let sent = asked.and_then(|asked| flyte::workflows::sent(&asked.task.as_ref()?.spec));
        if let Some(mut id) = sent {
            // A workflow has no domain of its own: it would run in that of the run.
            if let Some(run) = asked.and_then(|asked| asked.action_id.as_ref()?.run.as_ref()) {
                id.domain.clone_from(&run.domain);
            }
            questions.push((operation, task(Some(&id))));
            questions.extend(reads("read", Some(&id)));
        }
        questions
    }
}

impl About for wire::CreateDownloadLinkRequest {
    fn about(&self, operation: &'static str) -> Vec<Question> {
        match &self.task_id {
            Some(id) => reads(operation, Some(id)),
            None => vec![(operation, action(self.action_attempt_id.as_ref().and_then(|id| id.action_id.as_ref())))],
        }
    }
}

impl About for wire::OfTask {
    fn about(&self, operation: &'static str) -> Vec<Question> {
        reads(operation, self.task_id.as_ref())
    }
}

impl About for wire::ListVersionsRequest {
    fn about(&self, operation: &'static str) -> Vec<Question> {
        reads(operation, self.task_name.as_ref())
    }
}

impl About for wire::ListTasksRequest {
    fn about(&self, operation: &'static str) -> Vec<Question> {
        vec![(operation, project(self.project_id.as_ref()))]
    }
}

impl About for wire::SelectClusterRequest {
    /// Where the site of an action is asked is told to whoever may read of its run.
    fn about(&self, operation: &'static str) -> Vec<Question> {
        super::clusters::action_of(self).map(|id| (operation, action(Some(id)))).into_iter().collect()
    }
}

impl About for wire::ChangeTriggersRequest {
    /// All of them have to be permitted before one is changed.
    fn about(&self, operation: &'static str) -> Vec<Question> {
        self.names.iter().map(|name| (operation, trigger(name))).collect()
    }
}

/// What is about nothing of anybody's, or is a list of which only what may be read is told.
impl About for wire::Empty {
    fn about(&self, _: &'static str) -> Vec<Question> {
        Vec::new()
    }
}

impl About for wire::ListProjectsRequest {
    fn about(&self, _: &'static str) -> Vec<Question> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use flyte::Message as _;

    use super::*;

    #[test]
    fn a_workflow_that_is_sent_as_a_specification_is_asked_about_by_its_name() {
        let id = |name: &str| TaskId { project: "p".into(), domain: "d".into(), name: name.into(), ..TaskId::default() };
        let project_id = Some(ProjectId { name: "p".into(), domain: "d".into(), ..ProjectId::default() });
        let sent = flyte::workflows::spec(&id("loan"), &[], "").unwrap().encode_to_vec();
        let by_spec = wire::CreateRunRequest { project_id: project_id.clone(), task_spec: Some(sent), ..Default::default() };
        let by_name = wire::CreateRunRequest { project_id, task_id: Some(id("loan")), ..Default::default() };
        assert_eq!(by_spec.about("submit"), by_name.about("submit"));
        assert!(by_spec.about("submit").contains(&("submit", workflow("p", "d", "loan"))));
        let task = wire::TaskAction { spec: by_spec.task_spec.unwrap_or_default(), ..Default::default() };
        let asked = wire::EnqueueRequest {
            action: Some(wire::Enqueued { task: Some(task), ..Default::default() }),
            ..Default::default()
        };
        assert!(asked.about("submit").contains(&("submit", workflow("p", "d", "loan"))));
        assert!(asked.about("submit").contains(&("read", workflow("p", "d", "loan"))));
        // Whatever domain is sent with it: it runs in that of the run.
        let run = RunId { project: "p".into(), domain: "production".into(), ..Default::default() };
        let mut asked = asked;
        if let Some(action) = asked.action.as_mut() {
            action.action_id = Some(ActionId { run: Some(run), ..Default::default() });
        }
        assert!(asked.about("submit").contains(&("submit", workflow("p", "production", "loan"))));
        assert!(!asked.about("submit").iter().any(|(_, target)| *target == workflow("p", "d", "loan")));
    }
}
