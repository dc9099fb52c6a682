//! The doors of apps: a port of this machine for each, whose requests are looked at and handed to the app's process wherever that listens at the
//! moment. A port of its own is an origin of its own to browsers: what a page of an app does there, it cannot do to this server.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use controlplane::{AppState, DeployedApp, Fault, FaultKind};
use flyte::wire::AppId;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::rest::access::{self, Caller};
use crate::rest::problem::ApiError;
use crate::rest::{App, permission};

/// What calling an app is to the rules: it lets work be done.
const OPERATION: &str = "submit";
/// Headers that are of one connection, and none of what goes through.
const OF_THE_WAY: [HeaderName; 6] =
    [header::CONNECTION, header::PROXY_AUTHENTICATE, header::PROXY_AUTHORIZATION, header::TE, header::TRAILER, header::UPGRADE];
/// The pause before a door that is taken by another program is tried again.
const AGAIN: std::time::Duration = std::time::Duration::from_secs(5);

/// Where an app is called.
pub(super) fn url(app: &DeployedApp) -> String {
    format!("http://127.0.0.1:{}", app.front)
}

/// What a door knows.
#[derive(Clone)]
struct Door {
    app: App,
    id: AppId,
}

/// Opens a door for each app, and closes it when the app is gone, until the server stops.
pub(crate) async fn keep_doors(app: App) {
    let mut doors: BTreeMap<String, (u16, JoinHandle<()>)> = BTreeMap::new();
    let (mut seen, mut known) = (app.control.notices().watch(), None);
    loop {
        seen.borrow_and_update();
        let resources = app.control.notices().resources();
        if known != Some(resources) {
            let control = app.control.clone();
            if let Ok(Ok(apps)) = tokio::task::spawn_blocking(move || control.apps()).await {
                known = Some(resources);
                renew(&app, &mut doors, apps);
            }
        }
        tokio::select! {
            changed = seen.changed() => if changed.is_err() { break },
            () = app.stopping() => break,
        }
    }
    doors.into_values().for_each(|(_, door)| door.abort());
}

fn renew(app: &App, doors: &mut BTreeMap<String, (u16, JoinHandle<()>)>, apps: Vec<DeployedApp>) {
    doors.retain(|name, (port, door)| {
        let stays = apps.iter().any(|app| app.name() == *name && app.front == *port);
        if !stays {
            door.abort();
        }
        stays
    });
    for deployed in apps {
        doors.entry(deployed.name()).or_insert_with(|| {
            let door = Door { app: app.clone(), id: deployed.id.clone() };
            (deployed.front, tokio::spawn(serve(door, deployed.front)))
        });
    }
}

async fn serve(door: Door, port: u16) {
    let listener = loop {
        match TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await {
            Ok(listener) => break listener,
            Err(error) => {
                tracing::warn!(app = door.id.name, port, %error, "the door of an app cannot be opened; it is tried again");
                tokio::time::sleep(AGAIN).await;
            }
        }
    };
    let router = axum::Router::new().fallback(pass).with_state(door);
    if let Err(error) = axum::serve(listener, router).await {
        tracing::warn!(port, %error, "the door of an app is closed");
    }
}

/// Hands a request to the app.
async fn pass(State(door): State<Door>, request: Request) -> Response {
    match admit(&door, request).await {
        Ok((port, request)) => match forward(port, request).await {
            Ok(response) => response,
            Err(error) => unavailable(&door.id, &format!("it does not answer: {error}")),
        },
        Err(response) => *response,
    }
}

fn unavailable(id: &AppId, why: &str) -> Response {
    let text = format!("the app `{}` of `{}` is not there: {why}\n", id.name, id.project);
    (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "1")], text).into_response()
}

/// Looks whether the caller may, and where the app is; the request comes back without what opens this server.
async fn admit(door: &Door, mut request: Request) -> Result<(u16, Request), Box<Response>> {
    let (control, id) = (door.app.control.clone(), door.id.clone());
    let found = tokio::task::spawn_blocking(move || {
        let app = control.app(&id)?;
        let (state, why) = control.app_state(&app)?;
        Ok::<_, Fault>((app.read()?.anonymous, control.app_port(&app)?, state, why))
    });
    let broken = |fault: Fault| Box::new(ApiError(fault).into_response());
    let (anonymous, port, state, why) = found.await.map_err(|error| broken(Fault::internal(error)))?.map_err(broken)?;
    let caller = permitted(door, &request, anonymous).map_err(broken)?;
    let Some(port) = port.filter(|_| matches!(state, AppState::Active | AppState::Starting)) else {
        let why = if why.is_empty() { state.as_str() } else { &why };
        return Err(Box::new(unavailable(&door.id, why)));
    };
    let headers = request.headers_mut();
    headers.remove(header::AUTHORIZATION);
    headers.remove("x-tutti-principal");
    if let Some(Ok(name)) = caller.map(|caller| HeaderValue::from_str(&caller.principal)) {
        headers.insert("x-tutti-principal", name);
    }
    Ok((port, request))
}

/// Who calls; none when anybody may.
fn permitted(door: &Door, request: &Request, anonymous: bool) -> Result<Option<Caller>, Fault> {
    let caller = match access::caller(&door.app, super::APPS, request) {
        Ok(caller) => caller,
        // Without any token the server is for this machine alone, and so are its apps.
        Err(error) if anonymous && error.0.kind == FaultKind::Unauthenticated => return Ok(None),
        Err(error) => return Err(error.0),
    };
    if !anonymous {
        let target = policy::Target {
            kind: "app".into(),
            name: door.id.name.clone(),
            project: door.id.project.clone(),
            domain: door.id.domain.clone(),
            ..policy::Target::default()
        };
        permission::may(&door.app, &caller, OPERATION, &target, &model::Label::empty()).map_err(|error| error.0)?;
    }
    Ok(Some(caller))
}

/// Sends a request to the app's process and gives its answer, both as they come. What becomes another protocol goes both ways from then on.
async fn forward(port: u16, mut request: Request) -> Result<Response, Box<dyn std::error::Error + Send + Sync>> {
    let upgrade = upgrade_of(request.headers());
    let theirs = upgrade.is_some().then(|| hyper::upgrade::on(&mut request));
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    *request.uri_mut() = path.parse::<Uri>()?;
    only_through(request.headers_mut(), upgrade.as_ref());
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection.with_upgrades());
    let mut response = sender.send_request(request).await?;
    if let (Some(theirs), StatusCode::SWITCHING_PROTOCOLS) = (theirs, response.status()) {
        let ours = hyper::upgrade::on(&mut response);
        tokio::spawn(async move {
            if let (Ok(theirs), Ok(ours)) = (theirs.await, ours.await) {
                let (mut theirs, mut ours) = (TokioIo::new(theirs), TokioIo::new(ours));
                // However it ends, it has ended.
                let _ = tokio::io::copy_bidirectional(&mut theirs, &mut ours).await;
            }
        });
        return Ok(response.map(Body::new));
    }
    only_through(response.headers_mut(), None);
    Ok(response.map(Body::new))
}

fn upgrade_of(headers: &HeaderMap) -> Option<HeaderValue> {
    headers.get(header::UPGRADE).cloned()
}

/// Leaves out what is of one connection.
fn only_through(headers: &mut HeaderMap, upgrade: Option<&HeaderValue>) {
    for name in OF_THE_WAY {
        headers.remove(name);
    }
    if let Some(upgrade) = upgrade {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, upgrade.clone());
    }
}
