//! The door for programs of the Flyte 2 SDK: its services over Connect, signed links, and the objects of tasks over S3.
//!
//! A run of a Flyte program is a run like any other: its root is the node `a0`, and what the program asks for are actions that it asked for.
//! This room only translates.

mod actions;
mod apps;
mod artifacts;
mod asking;
mod auth;
mod clusters;
mod connect;
mod data;
mod front;
mod naming;
mod questions;
mod recovering;
mod runs;
mod secrets;
mod settings;
mod store;
mod tasks;
mod triggers;
mod uploads;
mod view;

pub(crate) use data::report_of;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Extension, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use axum::routing::{get, post};
use model::limits::FLYTE_MESSAGE_BYTES_MAX;

use crate::rest::App;
use crate::rest::access::{Caller, Needs};
use connect::{Incoming, Refusal, stream, unary};

// What is sent says what it is about: the rules are asked again when it has been read, see `asking`.
const READ: Needs = Needs::Within(&["read"]);
const VIEW: Needs = Needs::Within(&["view"]);
const SUBMIT: Needs = Needs::Within(&["submit"]);
const STEER: Needs = Needs::Within(&["steer"]);
const SECRETS: Needs = Needs::Within(&["secrets"]);
const OPERATE: Needs = Needs::Within(&["operate"]);
const DECIDE: Needs = Needs::Within(&["decide"]);

/// Every method, and what it needs.
pub const METHODS: &[(&str, Needs)] = &[
    ("/flyteidl2.auth.AuthMetadataService/GetOAuth2Metadata", Needs::Nothing),
    ("/flyteidl2.auth.AuthMetadataService/GetPublicClientConfig", Needs::Nothing),
    ("/flyteidl2.cluster.ClusterService/SelectCluster", READ),
    ("/flyteidl2.auth.IdentityService/UserInfo", READ),
    ("/flyteidl2.project.ProjectService/ListProjects", READ),
    ("/flyteidl2.project.ProjectService/GetProject", READ),
    ("/flyteidl2.dataproxy.DataProxyService/CreateUploadLocation", SUBMIT),
    ("/flyteidl2.dataproxy.DataProxyService/UploadInputs", SUBMIT),
    ("/flyteidl2.dataproxy.DataProxyService/CreateDownloadLink", VIEW),
    ("/flyteidl2.dataproxy.DataProxyService/GetActionData", VIEW),
    ("/flyteidl2.dataproxy.DataProxyService/TailLogs", VIEW),
    ("/flyteidl2.task.TaskService/DeployTask", SUBMIT),
    ("/flyteidl2.task.TaskService/GetTaskDetails", READ),
    ("/flyteidl2.task.TaskService/ListTasks", READ),
    ("/flyteidl2.task.TaskService/ListVersions", READ),
    ("/flyteidl2.workflow.RunService/CreateRun", SUBMIT),
    ("/flyteidl2.workflow.RunService/AbortRun", STEER),
    ("/flyteidl2.workflow.RunService/AbortAction", STEER),
    ("/flyteidl2.workflow.RunService/GetRunDetails", READ),
    ("/flyteidl2.workflow.RunService/GetActionDetails", READ),
    ("/flyteidl2.workflow.RunService/WatchActionDetails", READ),
    ("/flyteidl2.workflow.RunService/GetActionData", VIEW),
    ("/flyteidl2.workflow.RunService/ListRuns", READ),
    ("/flyteidl2.workflow.RunService/ListActions", READ),
    ("/flyteidl2.workflow.RunService/SignalEvent", DECIDE),
    ("/flyteidl2.secret.SecretService/CreateSecret", SECRETS),
    ("/flyteidl2.secret.SecretService/UpdateSecret", SECRETS),
    ("/flyteidl2.secret.SecretService/GetSecret", SECRETS),
    ("/flyteidl2.secret.SecretService/ListSecrets", SECRETS),
    ("/flyteidl2.secret.SecretService/DeleteSecret", SECRETS),
    ("/flyteidl2.trigger.TriggerService/DeployTrigger", SUBMIT),
    ("/flyteidl2.trigger.TriggerService/GetTriggerDetails", READ),
    ("/flyteidl2.trigger.TriggerService/ListTriggers", READ),
    ("/flyteidl2.trigger.TriggerService/UpdateTriggers", SUBMIT),
    ("/flyteidl2.trigger.TriggerService/DeleteTriggers", SUBMIT),
    ("/flyteidl2.imagebuilder.ImageService/GetImage", READ),
    ("/flyteidl2.app.AppService/Create", SUBMIT),
    ("/flyteidl2.app.AppService/Get", READ),
    ("/flyteidl2.app.AppService/Update", SUBMIT),
    ("/flyteidl2.app.AppService/Delete", SUBMIT),
    ("/flyteidl2.app.AppService/List", READ),
    ("/flyteidl2.app.AppService/Watch", READ),
    ("/flyteidl2.app.AppLogsService/TailLogs", VIEW),
    ("/flyteidl2.artifact.ArtifactService/CreateArtifact", SUBMIT),
    ("/flyteidl2.artifact.ArtifactService/GetArtifact", VIEW),
    ("/flyteidl2.artifact.ArtifactService/ListArtifacts", VIEW),
    ("/flyteidl2.artifact.ArtifactService/ListArtifactNames", VIEW),
    ("/flyteidl2.artifact.ArtifactService/ListArtifactMetadataKeys", VIEW),
    ("/flyteidl2.artifact.ArtifactService/ListPartitionValues", VIEW),
    ("/flyteidl2.artifact.ArtifactService/DeclareArtifact", SUBMIT),
    ("/flyteidl2.artifact.ArtifactService/GetArtifactSchema", READ),
    ("/flyteidl2.artifact.ArtifactService/DeleteArtifact", SUBMIT),
    ("/flyteidl2.settings.SettingsService/GetSettings", READ),
    ("/flyteidl2.settings.SettingsService/GetSettingsForEdit", READ),
    ("/flyteidl2.settings.SettingsService/CreateSettings", OPERATE),
    ("/flyteidl2.settings.SettingsService/UpdateSettings", OPERATE),
    ("/flyteidl2.actions.ActionsService/Enqueue", SUBMIT),
    ("/flyteidl2.actions.ActionsService/WatchForUpdates", READ),
    ("/flyteidl2.actions.ActionsService/Abort", STEER),
];

/// What an address of this room needs; none when it is not one. Links and objects have signatures of their own.
pub(crate) fn needs(route: &str) -> Option<Needs> {
    let route = route.strip_prefix(AS).unwrap_or(route);
    if matches!(route, store::LINKS | store::OBJECTS | store::BUCKET | auth::TOKENS | APPS) {
        return Some(Needs::Nothing);
    }
    match route {
        // They lead to the inbox, which asks who comes.
        questions::HOME | questions::FORM => Some(Needs::Nothing),
        questions::SUBMIT => Some(DECIDE),
        _ => METHODS.iter().find(|(known, _)| *known == route).map(|(_, needs)| *needs),
    }
}

/// The operation that the rules are asked about at the address of a call.
fn operation_of(path: &str) -> Option<&'static str> {
    let (_, needs) = METHODS.iter().find(|(known, _)| path.ends_with(known))?;
    match needs {
        Needs::Within([operation]) => Some(operation),
        _ => None,
    }
}

/// What calls of apps count as where a caller is looked for: they come in by doors of their own.
const APPS: &str = "/flyte/apps";

/// Before the address of a call: over plain HTTP the SDK sends no token in any other place.
const AS: &str = "/flyte/as/{token}";

/// The token that stands in the address of a call.
pub(crate) fn token_in<'p>(route: &str, path: &'p str) -> Option<&'p str> {
    route.strip_prefix(AS)?;
    Some(path.strip_prefix("/flyte/as/")?.split_once('/')?.0)
}

/// The answer to a call of somebody who may not.
pub(crate) fn refuse(headers: &HeaderMap, fault: controlplane::Fault) -> Response {
    Refusal::from(fault).to(headers)
}

pub(crate) use front::{keep_doors, url as app_url};

/// The routes.
pub(crate) fn routes() -> Router<App> {
    let mut router = Router::new();
    for (route, _) in METHODS {
        router = router.route(route, post(call)).route(&format!("{AS}{route}"), post(call));
    }
    let router = router.layer(DefaultBodyLimit::max(FLYTE_MESSAGE_BYTES_MAX));
    let stored = Router::new()
        .route(store::LINKS, get(store::follow_link).put(uploads::upload))
        .route(store::BUCKET, get(store::list).head(store::bucket).post(store::bucket))
        .route(store::OBJECTS, get(store::get).put(store::put).post(store::post).delete(store::delete))
        .layer(DefaultBodyLimit::disable());
    let asked = Router::new()
        .route(questions::HOME, get(questions::home))
        .route(questions::FORM, get(questions::form))
        .route(questions::SUBMIT, post(questions::submit));
    router.merge(stored).merge(asked).route(auth::TOKENS, post(auth::token))
}

/// Answers a call.
async fn call(
    State(app): State<App>,
    caller: Option<Extension<Caller>>,
    uri: Uri,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let app = &app;
    let body = match body {
        Ok(body) => body,
        Err(rejection) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            let message = format!("the body is larger than {FLYTE_MESSAGE_BYTES_MAX} bytes");
            return Refusal::new("resource_exhausted", message).to(&headers);
        }
        Err(_) => return Refusal::new("invalid_argument", "the body ended before its end").to(&headers),
    };
    let method = uri.path().rsplit_once('/').map_or("", |(_, method)| method);
    let Some(Extension(caller)) = &caller else {
        let call = Incoming { headers: &headers, body: &body, asks: None };
        // Whoever is not known yet asks how to be.
        return match method {
            "GetOAuth2Metadata" => unary(call, async |_: flyte::wire::Empty| Ok(auth::metadata(&headers))).await,
            "GetPublicClientConfig" => unary(call, async |_: flyte::wire::Empty| Ok(auth::client())).await,
            _ => Refusal::new("unauthenticated", "this call needs somebody who makes it").to(&headers),
        };
    };
    let Some(operation) = operation_of(uri.path()) else {
        return Refusal::new("unimplemented", format!("`{method}` is not known here")).response();
    };
    let call = Incoming { headers: &headers, body: &body, asks: Some((app, caller, operation)) };
    match method {
        "SelectCluster" => unary(call, |request| clusters::select(app, request)).await,
        "UserInfo" => unary(call, |request| tasks::user(caller, request)).await,
        "ListProjects" => unary(call, |request| tasks::projects(app, caller, request)).await,
        "GetProject" => unary(call, tasks::project).await,
        "CreateUploadLocation" => unary(call, |request| data::upload_location(app, caller, &headers, request)).await,
        "UploadInputs" => unary(call, |request| data::upload_inputs(app, caller, request)).await,
        "CreateDownloadLink" => unary(call, |request| data::download_link(app, caller, &headers, request)).await,
        "GetActionData" => unary(call, |request| data::action_data(app, caller, request)).await,
        "TailLogs" if uri.path().contains("AppLogsService") => stream(call, |request| apps::logs(app, caller, request)).await,
        "TailLogs" => stream(call, |request| data::logs(app, caller, request)).await,
        "DeployTask" => unary(call, |request| tasks::deploy(app, caller, request)).await,
        "GetTaskDetails" => unary(call, |request| tasks::details(app, request)).await,
        "ListTasks" => unary(call, |request| tasks::list(app, request)).await,
        "ListVersions" => unary(call, |request| tasks::versions(app, request)).await,
        "CreateSecret" => unary(call, |request| secrets::create(app, caller, request)).await,
        "UpdateSecret" => unary(call, |request| secrets::update(app, caller, request)).await,
        "GetSecret" => unary(call, |request| secrets::get(app, request)).await,
        "ListSecrets" => unary(call, |request| secrets::list(app, request)).await,
        "DeleteSecret" => unary(call, |request| secrets::delete(app, caller, request)).await,
        "DeployTrigger" => unary(call, |request| triggers::deploy(app, caller, request)).await,
        "GetTriggerDetails" => unary(call, |request| triggers::details(app, request)).await,
        "ListTriggers" => unary(call, |request| triggers::list(app, request)).await,
        "UpdateTriggers" => unary(call, |request| triggers::update(app, caller, request)).await,
        "DeleteTriggers" => unary(call, |request| triggers::delete(app, caller, request)).await,
        "GetImage" => unary(call, |request| tasks::image(app, request)).await,
        "Create" => unary(call, |request| apps::create(app, caller, request)).await,
        "Get" => unary(call, |request| apps::get(app, request)).await,
        "Update" => unary(call, |request| apps::update(app, caller, request)).await,
        "Delete" => unary(call, |request| apps::delete(app, caller, request)).await,
        "List" => unary(call, |request| apps::list(app, request)).await,
        "Watch" => stream(call, |request| apps::watch(app, request)).await,
        "CreateArtifact" => unary(call, |request| artifacts::create(app, caller, request)).await,
        "GetArtifact" => unary(call, |request| artifacts::get(app, caller, request)).await,
        "ListArtifacts" => unary(call, |request| artifacts::list(app, caller, request)).await,
        "ListArtifactNames" => unary(call, |request| artifacts::names(app, caller, request)).await,
        "ListArtifactMetadataKeys" => unary(call, |request| artifacts::metadata_keys(app, caller, request)).await,
        "ListPartitionValues" => unary(call, |request| artifacts::partition_values(app, caller, request)).await,
        "DeclareArtifact" => unary(call, |request| artifacts::declare(app, caller, request)).await,
        "GetArtifactSchema" => unary(call, |request| artifacts::schema(app, caller, request)).await,
        "DeleteArtifact" => unary(call, |request| artifacts::delete(app, caller, request)).await,
        "GetSettings" => unary(call, |request| settings::get(app, request)).await,
        "GetSettingsForEdit" => unary(call, |request| settings::for_edit(app, request)).await,
        "CreateSettings" => unary(call, |request| settings::create(app, caller, request)).await,
        "UpdateSettings" => unary(call, |request| settings::update(app, caller, request)).await,
        "CreateRun" => unary(call, |request| runs::create(app, caller, &headers, request)).await,
        "AbortRun" => unary(call, |request| runs::abort(app, caller, request)).await,
        "AbortAction" | "Abort" => unary(call, |request| actions::abort(app, caller, request)).await,
        "GetRunDetails" => unary(call, |request| runs::details(app, caller, request)).await,
        "GetActionDetails" => unary(call, |request| runs::action(app, caller, request)).await,
        "WatchActionDetails" => stream(call, |request| runs::watch_action(app, caller, request)).await,
        "ListRuns" => unary(call, |request| runs::list(app, request)).await,
        "ListActions" => unary(call, |request| runs::list_actions(app, request)).await,
        "SignalEvent" => unary(call, |request| actions::signal(app, caller, request)).await,
        "Enqueue" => unary(call, |request| actions::enqueue(app, caller, request)).await,
        "WatchForUpdates" => stream(call, |request| actions::watch(app, caller, request)).await,
        other => Refusal::new("unimplemented", format!("`{other}` is not known here")).response(),
    }
}
