//! Apps as the SDK deploys, watches, starts and stops them.

use controlplane::{AppState, ControlPlane, DeployedApp};
use flyte::Message as _;
use flyte::wire::{
    AppChanged, AppCondition, AppId, AppLogBatch, AppLogLines, AppLogsResponse, AppMeta, AppRequest, AppSpec, AppStatus,
    CreatingUser, Creator, Empty, FlyteApp, Ingress, ListAppsRequest, ListAppsResponse, OfApp, TailLogsRequest, Text,
    WatchAppsRequest, WatchAppsResponse,
};
use futures::{Stream, StreamExt as _};

use super::connect::{Answer, Refusal};
use super::view::{self, blocking};
use super::{data, front, naming};
use crate::rest::App;
use crate::rest::access::Caller;

/// How often a watched app is looked at.
const LOOK: std::time::Duration = std::time::Duration::from_millis(300);

fn named(id: Option<AppId>) -> Answer<AppId> {
    let id = id.ok_or_else(|| Refusal::new("invalid_argument", "the app is not named"))?;
    match [&id.project, &id.domain, &id.name].iter().any(|part| part.is_empty() || part.contains('/')) {
        true => Err(Refusal::new("invalid_argument", "an app has a project, a domain and a name, without `/`")),
        false => Ok(id),
    }
}

/// Apps are for people and programs outside: what runs within one does not change them. The service of the plugin for people is deployed by
/// programs that run; nothing is started for it.
fn may_deploy(control: &ControlPlane, caller: &Caller, id: &AppId, spec: &[u8]) -> Answer<()> {
    match naming::reach_of(control, caller)? {
        Some(reach) if flyte::conditions::is_service(spec) => Ok(front::at_home(&reach, id)?),
        _ => outside(caller),
    }
}

fn outside(caller: &Caller) -> Answer<()> {
    match caller.attempt {
        None => Ok(()),
        Some(_) => Err(Refusal::new("permission_denied", "an attempt does not deploy, stop or remove apps")),
    }
}

fn status_of(state: AppState) -> i32 {
    match state {
        AppState::Pending => 3,
        AppState::Stopped => 4,
        AppState::Failed => 6,
        AppState::Active => 7,
        AppState::Starting => 10,
    }
}

/// An app as the client sees it. Blocks.
fn shown(control: &ControlPlane, app: DeployedApp) -> Answer<FlyteApp> {
    let (state, message) = control.app_state(&app)?;
    let at = Some(view::time(app.at));
    let condition =
        AppCondition { last_transition_time: at, deployment_status: status_of(state), message, revision: app.revision };
    let mut spec = app.spec.clone();
    // The client holds an app that it deploys again against this, with its maker in it.
    let id = Some(Text { value: app.by.clone() });
    let creator = Some(Creator { user: Some(CreatingUser { id }) });
    AppSpec { creator, ..AppSpec::default() }.encode(&mut spec).map_err(view::broken)?;
    Ok(FlyteApp {
        spec,
        status: Some(AppStatus {
            current_replicas: u32::from(state == AppState::Active),
            ingress: Some(Ingress { public_url: front::url(control, &app) }),
            created_at: at,
            conditions: vec![condition],
        }),
        metadata: Some(AppMeta { id: Some(app.id), revision: app.revision, labels: app.labels, code_bundle_uri: app.bundle }),
    })
}

async fn deployed(
    app: &App,
    caller: &Caller,
    request: AppRequest,
    replaces: impl FnOnce(u64) -> Option<u64>,
) -> Answer<AppRequest> {
    let given = request.app.unwrap_or_default();
    let meta = given.metadata.unwrap_or_default();
    let id = named(meta.id)?;
    may_deploy(&app.control, caller, &id, &given.spec)?;
    if caller.attempt.is_some() {
        let (control, id) = (app.control.clone(), id.clone());
        blocking(move || match control.app(&id) {
            Ok(before) if !flyte::conditions::is_service(&before.spec) => {
                Err(Refusal::new("permission_denied", "an attempt does not deploy, stop or remove apps"))
            }
            _ => Ok(()),
        })
        .await?;
    }
    let replaces = replaces(meta.revision);
    let deployed = app.control.deploy_app(id, given.spec, meta.labels, meta.code_bundle_uri, &caller.principal, replaces).await?;
    let control = app.control.clone();
    let app = blocking(move || shown(&control, deployed)).await?;
    Ok(AppRequest { app: Some(app), reason: String::new() })
}

/// Deploys an app that is not there.
pub(super) async fn create(app: &App, caller: &Caller, request: AppRequest) -> Answer<AppRequest> {
    deployed(app, caller, request, |_| None).await
}

/// Changes an app, starts it, stops it.
pub(super) async fn update(app: &App, caller: &Caller, request: AppRequest) -> Answer<AppRequest> {
    deployed(app, caller, request, Some).await
}

/// An app.
pub(super) async fn get(app: &App, request: OfApp) -> Answer<AppRequest> {
    let (control, id) = (app.control.clone(), named(request.app_id)?);
    let app = blocking(move || shown(&control, control.app(&id)?)).await?;
    Ok(AppRequest { app: Some(app), reason: String::new() })
}

/// Stops an app and takes it away.
pub(super) async fn delete(app: &App, caller: &Caller, request: OfApp) -> Answer<Empty> {
    outside(caller)?;
    app.control.remove_app(&named(request.app_id)?, &caller.principal).await?;
    Ok(Empty {})
}

/// The apps of a project.
pub(super) async fn list(app: &App, request: ListAppsRequest) -> Answer<ListAppsResponse> {
    let control = app.control.clone();
    blocking(move || {
        let mut apps = Vec::new();
        for app in control.apps()? {
            let here = request.project.as_ref().is_none_or(|project| {
                project.name == app.id.project && (project.domain.is_empty() || project.domain == app.id.domain)
            });
            if here {
                apps.push(shown(&control, app)?);
            }
        }
        Ok(ListAppsResponse { apps, token: String::new() })
    })
    .await
}

/// An app, whenever it changes, for as long as somebody looks.
pub(super) async fn watch(
    app: &App,
    request: WatchAppsRequest,
) -> Answer<impl Stream<Item = Answer<WatchAppsResponse>> + Send + use<>> {
    let id = named(request.app_id)?;
    get(app, OfApp { app_id: Some(id.clone()) }).await?;
    let state = Some((app.clone(), id, None::<FlyteApp>));
    Ok(futures::stream::unfold(state, |state| async move {
        let (app, id, mut last) = state?;
        loop {
            let found = match get(&app, OfApp { app_id: Some(id.clone()) }).await {
                Ok(found) => found.app,
                Err(refusal) => return Some((Err(refusal), None)),
            };
            if found.is_some() && last != found {
                last = found.clone();
                let message = WatchAppsResponse { update_event: Some(AppChanged { updated_app: found }) };
                return Some((Ok(message), Some((app, id, last))));
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = app.stopping() => return None,
            }
        }
    }))
}

/// What an app prints.
pub(super) async fn logs(
    app: &App,
    caller: &Caller,
    request: OfApp,
) -> Answer<impl Stream<Item = Answer<AppLogsResponse>> + Send + use<>> {
    let (control, id) = (app.control.clone(), named(request.app_id)?);
    let found = blocking(move || Ok(control.app(&id)?)).await?;
    let run = flyte::wire::RunId { org: String::new(), project: found.id.project, domain: found.id.domain, name: found.run };
    let action_id = flyte::wire::ActionId { run: Some(run), name: controlplane::FLYTE_ROOT.into() };
    let lines = data::logs(app, caller, TailLogsRequest { action_id: Some(action_id), attempt: 0 }).await?;
    let batch = |read: Answer<flyte::wire::TailLogsResponse>| {
        let logs = read?.logs.into_iter().map(|logs| AppLogLines { lines: logs.lines }).collect();
        Ok(AppLogsResponse { batches: Some(AppLogBatch { logs }) })
    };
    Ok(lines.map(batch))
}
