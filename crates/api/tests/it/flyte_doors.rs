//! Every door of the Flyte SDK, for somebody who may do everything in one project and nothing in any other.

use api::FLYTE_METHODS;
use api::rest::access::Needs;
use bytes::Bytes;
use flyte::Message;
use flyte::wire::*;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::access::{token, token_with_role};
use super::support::{Answer, Up};

pub(crate) const KEEPERS: &str = "kind: policy
name: keepers
cedar: |
  @id(\"keeper\")
  permit (principal in Role::\"keeper\", action in [Action::\"read\", Action::\"view\", Action::\"submit\", Action::\"steer\",
          Action::\"secrets\", Action::\"decide\", Action::\"operate\"], resource in Project::\"mine\");
";

/// What is sent to a door about a project; none where it is about nobody's.
pub(crate) type Sent = Option<fn(&str) -> Vec<u8>>;

pub(crate) fn run(project: &str) -> Option<RunId> {
    Some(RunId { project: project.into(), domain: "development".into(), name: "r".into(), ..Default::default() })
}

fn action(project: &str) -> Option<ActionId> {
    Some(ActionId { run: run(project), name: "a0".into() })
}

pub(crate) fn task(project: &str) -> Option<TaskId> {
    let [project, domain, name, version] = [project, "development", "t", "1"].map(str::to_owned);
    Some(TaskId { org: String::new(), project, domain, name, version })
}

pub(crate) fn project(project: &str) -> Option<ProjectId> {
    Some(ProjectId { name: project.into(), domain: "development".into(), ..Default::default() })
}

pub(crate) fn trigger(project: &str) -> TriggerName {
    let [project, domain, name, task_name] = [project, "development", "n", "t"].map(str::to_owned);
    TriggerName { org: String::new(), project, domain, name, task_name }
}

fn app(project: &str) -> Option<AppId> {
    Some(AppId { project: project.into(), domain: "development".into(), name: "a".into(), ..Default::default() })
}

fn artifact(project: &str) -> Option<ArtifactName> {
    Some(ArtifactName { project: project.into(), domain: "development".into(), name: "x".into(), ..Default::default() })
}

fn version(project: &str) -> Option<ArtifactId> {
    Some(ArtifactId { name: artifact(project), version: "1".into() })
}

fn secret(project: &str) -> Option<SecretId> {
    Some(SecretId { project: project.into(), name: "s".into(), ..Default::default() })
}

fn of_run(p: &str) -> Vec<u8> {
    OfRun { run_id: run(p), reason: None }.encode_to_vec()
}

fn of_action(p: &str) -> Vec<u8> {
    OfAction { action_id: action(p) }.encode_to_vec()
}

fn of_app(p: &str) -> Vec<u8> {
    OfApp { app_id: app(p) }.encode_to_vec()
}

fn app_request(p: &str) -> Vec<u8> {
    let metadata = Some(AppMeta { id: app(p), ..Default::default() });
    AppRequest { app: Some(FlyteApp { metadata, ..Default::default() }), ..Default::default() }.encode_to_vec()
}

fn set_secret(p: &str) -> Vec<u8> {
    SetSecretRequest { id: secret(p), secret_spec: None }.encode_to_vec()
}

fn of_secret(p: &str) -> Vec<u8> {
    OfSecret { id: secret(p) }.encode_to_vec()
}

fn change_triggers(p: &str) -> Vec<u8> {
    ChangeTriggersRequest { names: vec![trigger("mine"), trigger(p)], active: false }.encode_to_vec()
}

fn upload_location(p: &str) -> Vec<u8> {
    let [project, domain, filename] = [p, "development", "f"].map(str::to_owned);
    CreateUploadLocationRequest { project, domain, filename, ..Default::default() }.encode_to_vec()
}

fn enqueue(p: &str) -> Vec<u8> {
    let action = Some(Enqueued { action_id: action(p), ..Default::default() });
    EnqueueRequest { action, ..Default::default() }.encode_to_vec()
}

fn download_link(p: &str) -> Vec<u8> {
    let action_attempt_id = Some(AttemptId { action_id: action(p), attempt: 1 });
    CreateDownloadLinkRequest { action_attempt_id, ..Default::default() }.encode_to_vec()
}

fn settings_key(p: &str) -> Option<SettingsKey> {
    Some(SettingsKey { org: String::new(), domain: "development".into(), project: p.into() })
}

fn of_settings(p: &str) -> Vec<u8> {
    OfSettings { key: settings_key(p) }.encode_to_vec()
}

fn set_settings(p: &str) -> Vec<u8> {
    SetSettingsRequest { key: settings_key(p), ..Default::default() }.encode_to_vec()
}

/// Every door by its service and method.
pub(crate) const DOORS: &[(&str, Sent)] = &[
    ("auth.AuthMetadataService/GetOAuth2Metadata", None),
    ("auth.AuthMetadataService/GetPublicClientConfig", None),
    ("cluster.ClusterService/SelectCluster", None),
    ("auth.IdentityService/UserInfo", None),
    // What may not be read is left out.
    ("project.ProjectService/ListProjects", None),
    ("project.ProjectService/GetProject", Some(|p| Text { value: p.into() }.encode_to_vec())),
    ("dataproxy.DataProxyService/CreateUploadLocation", Some(upload_location)),
    (
        "dataproxy.DataProxyService/UploadInputs",
        Some(|p| UploadInputsRequest { project_id: project(p), ..Default::default() }.encode_to_vec()),
    ),
    ("dataproxy.DataProxyService/CreateDownloadLink", Some(download_link)),
    ("dataproxy.DataProxyService/GetActionData", Some(of_action)),
    ("dataproxy.DataProxyService/TailLogs", Some(|p| TailLogsRequest { action_id: action(p), attempt: 0 }.encode_to_vec())),
    ("task.TaskService/DeployTask", Some(|p| DeployTaskRequest { task_id: task(p), ..Default::default() }.encode_to_vec())),
    ("task.TaskService/GetTaskDetails", Some(|p| OfTask { task_id: task(p) }.encode_to_vec())),
    ("task.TaskService/ListTasks", Some(|p| ListTasksRequest { project_id: project(p), request: None }.encode_to_vec())),
    ("task.TaskService/ListVersions", Some(|p| ListVersionsRequest { task_name: task(p), request: None }.encode_to_vec())),
    ("workflow.RunService/CreateRun", Some(|p| CreateRunRequest { run_id: run(p), ..Default::default() }.encode_to_vec())),
    ("workflow.RunService/AbortRun", Some(of_run)),
    ("workflow.RunService/AbortAction", Some(of_action)),
    ("workflow.RunService/GetRunDetails", Some(of_run)),
    ("workflow.RunService/GetActionDetails", Some(of_action)),
    ("workflow.RunService/WatchActionDetails", Some(of_action)),
    ("workflow.RunService/GetActionData", Some(of_action)),
    ("workflow.RunService/ListRuns", Some(|p| ListRunsRequest { project_id: project(p), ..Default::default() }.encode_to_vec())),
    ("workflow.RunService/ListActions", Some(|p| ListActionsRequest { run_id: run(p), request: None }.encode_to_vec())),
    ("workflow.RunService/SignalEvent", Some(|p| SignalEvent { action_id: action(p), ..Default::default() }.encode_to_vec())),
    ("secret.SecretService/CreateSecret", Some(set_secret)),
    ("secret.SecretService/UpdateSecret", Some(set_secret)),
    ("secret.SecretService/GetSecret", Some(of_secret)),
    (
        "secret.SecretService/ListSecrets",
        Some(|p| ListSecretsRequest { project: p.into(), ..Default::default() }.encode_to_vec()),
    ),
    ("secret.SecretService/DeleteSecret", Some(of_secret)),
    (
        "trigger.TriggerService/DeployTrigger",
        Some(|p| DeployTriggerRequest { name: Some(trigger(p)), ..Default::default() }.encode_to_vec()),
    ),
    ("trigger.TriggerService/GetTriggerDetails", Some(|p| OfTrigger { name: Some(trigger(p)) }.encode_to_vec())),
    (
        "trigger.TriggerService/ListTriggers",
        Some(|p| ListTriggersRequest { project_id: project(p), ..Default::default() }.encode_to_vec()),
    ),
    ("trigger.TriggerService/UpdateTriggers", Some(change_triggers)),
    ("trigger.TriggerService/DeleteTriggers", Some(change_triggers)),
    ("imagebuilder.ImageService/GetImage", Some(|p| GetImageRequest { id: None, project_id: project(p) }.encode_to_vec())),
    ("app.AppService/Create", Some(app_request)),
    ("app.AppService/Get", Some(of_app)),
    ("app.AppService/Update", Some(app_request)),
    ("app.AppService/Delete", Some(of_app)),
    ("app.AppService/List", Some(|p| ListAppsRequest { project: project(p), request: None }.encode_to_vec())),
    ("app.AppService/Watch", Some(|p| WatchAppsRequest { app_id: app(p) }.encode_to_vec())),
    ("app.AppLogsService/TailLogs", Some(of_app)),
    (
        "artifact.ArtifactService/CreateArtifact",
        Some(|p| CreateArtifactRequest { artifact_id: version(p), ..Default::default() }.encode_to_vec()),
    ),
    ("artifact.ArtifactService/GetArtifact", Some(|p| GetArtifactRequest { name: artifact(p), version: None }.encode_to_vec())),
    (
        "artifact.ArtifactService/ListArtifacts",
        Some(|p| ListArtifactsRequest { project_id: project(p), ..Default::default() }.encode_to_vec()),
    ),
    (
        "artifact.ArtifactService/ListArtifactNames",
        Some(|p| ListArtifactNamesRequest { project_id: project(p), request: None }.encode_to_vec()),
    ),
    (
        "artifact.ArtifactService/ListArtifactMetadataKeys",
        Some(|p| MetadataKeysRequest { project_id: project(p), name: None }.encode_to_vec()),
    ),
    (
        "artifact.ArtifactService/ListPartitionValues",
        Some(|p| PartitionValuesRequest { project_id: project(p), ..Default::default() }.encode_to_vec()),
    ),
    (
        "artifact.ArtifactService/DeclareArtifact",
        Some(|p| DeclareArtifactRequest { name: artifact(p), partition_schema: None }.encode_to_vec()),
    ),
    ("artifact.ArtifactService/GetArtifactSchema", Some(|p| GetSchemaRequest { name: artifact(p) }.encode_to_vec())),
    ("artifact.ArtifactService/DeleteArtifact", Some(|p| DeleteArtifactRequest { artifact_id: version(p) }.encode_to_vec())),
    ("settings.SettingsService/GetSettings", Some(of_settings)),
    ("settings.SettingsService/GetSettingsForEdit", Some(of_settings)),
    ("settings.SettingsService/CreateSettings", Some(set_settings)),
    ("settings.SettingsService/UpdateSettings", Some(set_settings)),
    ("actions.ActionsService/Enqueue", Some(enqueue)),
    ("actions.ActionsService/WatchForUpdates", Some(of_action)),
    ("actions.ActionsService/Abort", Some(of_action)),
];

fn streams(door: &str) -> bool {
    let method = door.rsplit('/').next().unwrap_or_default();
    matches!(method, "TailLogs" | "Watch" | "WatchActionDetails" | "WatchForUpdates")
}

/// The code that a call is refused with, and what is said; empty when it is answered.
pub(crate) async fn call(up: &Up, token: &str, door: &str, query: &str, message: Vec<u8>) -> (String, String) {
    let (kind, body) = match streams(door) {
        false => ("application/proto", message),
        true => {
            let size = u32::try_from(message.len()).unwrap().to_be_bytes();
            ("application/connect+proto", [&[0][..], &size, &message].concat())
        }
    };
    let path = format!("/flyteidl2.{door}{query}");
    let headers = [("content-type", kind), ("authorization", token)];
    refusal_of(door, &up.call(Method::POST, &path, &headers, Bytes::from(body)).await)
}

fn refusal_of(door: &str, answer: &Answer) -> (String, String) {
    let error: Value = match (streams(door), answer.status) {
        (true, _) => {
            // Each of them ends at once here: there is no such thing, or it may not be seen.
            let end: Value = serde_json::from_slice(&answer.body[5..]).unwrap();
            end["error"].clone()
        }
        (false, StatusCode::OK) => return Default::default(),
        (false, _) => answer.json(),
    };
    let text = |key: &str| error[key].as_str().unwrap_or_default().to_owned();
    (text("code"), text("message"))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_door_asks_about_the_project_that_is_sent() {
    let listed: Vec<String> = DOORS.iter().map(|(door, _)| format!("/flyteidl2.{door}")).collect();
    let known: Vec<&str> = FLYTE_METHODS.iter().map(|(door, _)| *door).collect();
    assert_eq!(listed, known, "a door is missing here, or stands in another order");
    let up = Up::start().await;
    up.apply(KEEPERS).await;
    let admin = token(&up, "admin", &["admin"], "").await;
    let keeper = token_with_role(&up, "keeper", "keeper", &admin).await;
    let nobody = token_with_role(&up, "nobody", "nobody", &admin).await;
    for ((door, sent), (_, needs)) in DOORS.iter().zip(FLYTE_METHODS) {
        let Some(sent) = sent else {
            assert_eq!(call(&up, &keeper, door, "", Vec::new()).await.0.replace("not_found", ""), "", "{door}");
            continue;
        };
        assert!(matches!(needs, Needs::Within(_)), "{door}");
        let (code, why) = call(&up, &keeper, door, "", sent("mine")).await;
        assert_ne!(code, "permission_denied", "{door} of one's own: {why}");
        for query in ["", "?project=mine"] {
            let (code, why) = call(&up, &keeper, door, query, sent("bank")).await;
            assert_eq!(code, "permission_denied", "{door}{query} of another's: {why}");
            assert!(why.starts_with("`keeper` may not `"), "{door}: {why}");
        }
        let (code, why) = call(&up, &keeper, door, "", sent("")).await;
        assert_eq!(code, "permission_denied", "{door} of no project: {why}");
        let (code, _) = call(&up, &nobody, door, "", sent("mine")).await;
        assert_eq!(code, "permission_denied", "{door} without a role");
        let (code, why) = call(&up, &admin, door, "", sent("bank")).await;
        assert_ne!(code, "permission_denied", "{door} for whoever may everywhere: {why}");
    }
    up.down().await;
}

/// The token may stand in the address too, and a query beside it says nothing.
#[tokio::test(flavor = "multi_thread")]
async fn the_token_in_the_address_opens_no_other_project() {
    let up = Up::start().await;
    up.apply(KEEPERS).await;
    let admin = token(&up, "admin", &["admin"], "").await;
    let keeper = token_with_role(&up, "keeper", "keeper", &admin).await;
    let secret = keeper.strip_prefix("Bearer ").unwrap();
    for (door, sent) in DOORS.iter().filter_map(|(door, sent)| Some((*door, (*sent)?))).filter(|(door, _)| !streams(door)) {
        let path = format!("/flyte/as/{secret}/flyteidl2.{door}?project=mine");
        let headers = [("content-type", "application/proto")];
        let ask = async |of: &str| refusal_of(door, &up.call(Method::POST, &path, &headers, sent(of).into()).await).0;
        assert_eq!(ask("bank").await, "permission_denied", "{door}");
        assert_ne!(ask("mine").await, "permission_denied", "{door}");
    }
    up.down().await;
}

/// A run of one's own project does not bring the task of another's with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_takes_no_task_from_a_project_that_may_not_be_read() {
    let up = Up::start().await;
    up.apply(KEEPERS).await;
    let admin = token(&up, "admin", &["admin"], "").await;
    let keeper = token_with_role(&up, "keeper", "keeper", &admin).await;
    let create = async |request: CreateRunRequest| {
        let request = CreateRunRequest { run_id: run("mine"), ..request };
        call(&up, &keeper, "workflow.RunService/CreateRun", "", request.encode_to_vec()).await.0
    };
    assert_eq!(create(CreateRunRequest { task_id: task("bank"), ..Default::default() }).await, "permission_denied");
    let trigger_name = Some(trigger("bank"));
    assert_eq!(create(CreateRunRequest { trigger_name, ..Default::default() }).await, "permission_denied");
    assert_eq!(create(CreateRunRequest { task_id: task("mine"), ..Default::default() }).await, "not_found");
    let link = CreateDownloadLinkRequest { task_id: task("bank"), action_attempt_id: None, artifact_type: 2 };
    let asked = call(&up, &keeper, "dataproxy.DataProxyService/CreateDownloadLink", "", link.encode_to_vec()).await;
    assert_eq!(asked.0, "permission_denied");
    up.down().await;
}

/// Rules that look at who started a run hold at these doors as they do at the others; and projects that may not be read are not told of.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_started_a_run_does_not_decide_in_it_here_either() {
    let up = Up::start().await;
    up.apply(super::access::OWN).await;
    let admin = token(&up, "admin", &["admin"], "").await;
    let desk = token_with_role(&up, "desk", "desk", &admin).await;
    let other = token_with_role(&up, "other", "desk", &admin).await;
    for (token, run) in [(&desk, json!({"workflow": "bank/ask", "name": "mine"})), (&admin, json!({"workflow": "other/go"}))] {
        let headers = [("content-type", "application/json"), ("authorization", token.as_str())];
        let made = up.call(Method::POST, "/api/v1/runs", &headers, run.to_string().into()).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
    }
    let run = RunId { project: "bank".into(), domain: "development".into(), name: "mine".into(), ..Default::default() };
    let payload = Some(EventPayload { bool_value: Some(true), ..Default::default() });
    let event = SignalEvent { action_id: Some(ActionId { run: Some(run), name: "ok".into() }), payload, ..Default::default() };
    let signal = async |token: &str| call(&up, token, "workflow.RunService/SignalEvent", "", event.encode_to_vec()).await;
    let (code, why) = signal(&desk).await;
    assert_eq!(code, "permission_denied", "{why}");
    assert!(why.contains("two-people"), "{why}");
    assert_eq!(signal(&other).await, Default::default());
    let headers = [("content-type", "application/proto"), ("authorization", desk.as_str())];
    let listed = up.call(Method::POST, "/flyteidl2.project.ProjectService/ListProjects", &headers, Bytes::new()).await;
    let projects = ListProjectsResponse::decode(listed.body.as_ref()).unwrap().projects.unwrap().projects;
    assert_eq!(projects.iter().map(|project| project.id.as_str()).collect::<Vec<_>>(), ["bank"]);
    up.down().await;
}
