//! The doors of apps: a port of this machine for each, whose requests are looked at and handed to the app's process wherever that listens at the
//! moment. A port of its own is an origin of its own to browsers: what a page of an app does there, it cannot do to this server.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use controlplane::{AppState, ControlPlane, DeployedApp, Fault, FaultKind};
use flyte::wire::AppId;
use hyper_util::rt::TokioIo;
use model::{AttemptKey, Label};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::rest::access::{self, Caller};
use crate::rest::problem::ApiError;
use crate::rest::{App, permission};

/// What calling an app is to the rules: it lets work be done.
const OPERATION: &str = "submit";
/// What tells an app who calls. The server alone says it.
const PRINCIPAL: &str = "x-tutti-principal";
/// Headers that are of one connection, and none of what goes through.
const OF_THE_WAY: [HeaderName; 6] =
    [header::CONNECTION, header::PROXY_AUTHENTICATE, header::PROXY_AUTHORIZATION, header::TE, header::TRAILER, header::UPGRADE];
/// The pause before a door that could not be opened is tried again.
const AGAIN: std::time::Duration = std::time::Duration::from_secs(5);

/// Where an app is called.
pub(crate) fn url(control: &ControlPlane, app: &DeployedApp) -> String {
    match app.is_service_for_people() {
        true => format!("{}{}", control.flyte().address(), super::questions::HOME),
        false => format!("http://127.0.0.1:{}", app.front),
    }
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
    for deployed in apps.into_iter().filter(|app| !app.is_service_for_people()) {
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
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                // Whoever keeps the doors hears of the other port and ends this one.
                if let Err(fault) = door.app.control.move_door(&door.id, port).await {
                    tracing::warn!(app = door.id.name, port, %fault, "an app cannot be given another port; it is tried again");
                }
                tokio::time::sleep(AGAIN).await;
            }
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
        // The label after the port: what listens somewhere has a run, and with it a label.
        let port = control.app_port(&app)?;
        Ok::<_, Fault>((app.read()?.anonymous, port, label_of(&control, &app)?, state, why))
    });
    let broken = |fault: Fault| Box::new(ApiError(fault).into_response());
    let (anonymous, port, label, state, why) = found.await.map_err(|error| broken(Fault::internal(error)))?.map_err(broken)?;
    let caller = permitted(door, &request, anonymous, &label).map_err(broken)?;
    let Some(port) = port.filter(|_| matches!(state, AppState::Active | AppState::Starting)) else {
        let why = if why.is_empty() { state.as_str() } else { &why };
        return Err(Box::new(unavailable(&door.id, why)));
    };
    introduce(request.headers_mut(), caller.as_ref().map(|caller| caller.principal.as_str()));
    Ok((port, request))
}

/// What can be read in the run that serves an app. Blocks.
fn label_of(control: &ControlPlane, app: &DeployedApp) -> Result<Label, Fault> {
    if app.run.is_empty() {
        return Ok(Label::empty());
    }
    let (id, reader) = (&app.id, control.reader());
    let known = reader.find_run(&id.project, &id.domain, Some(&app.run), None).map_err(Fault::internal)?;
    let Some(run) = known.by_name else { return Ok(Label::empty()) };
    match reader.run(run).map_err(Fault::internal)? {
        Some(row) => control.label_of_run(&row, None),
        None => Ok(Label::empty()),
    }
}

/// Leaves out what opens this server, what only it says, and what is of the caller's connection; then says who calls.
fn introduce(headers: &mut HeaderMap, principal: Option<&str>) {
    leave_named(headers);
    // Programs that are told of headers by variables read `_` and `-` as the same.
    let ours = |name: &&HeaderName| {
        let name = name.as_str().replace('_', "-");
        name == "authorization" || name == "proxy-authorization" || name.starts_with("x-tutti-")
    };
    let names: Vec<HeaderName> = headers.keys().filter(ours).cloned().collect();
    for name in names {
        headers.remove(name);
    }
    if let Some(Ok(principal)) = principal.map(HeaderValue::from_str) {
        headers.insert(PRINCIPAL, principal);
    }
}

/// An attempt has to do with apps of its own project and domain alone.
pub(super) fn within_reach(control: &ControlPlane, id: &AppId, attempt: AttemptKey) -> Result<(), Fault> {
    let over = || Fault::new(FaultKind::Unauthenticated, "the attempt that this token was made for is over");
    let reach = tokio::task::block_in_place(|| control.flyte_reach(attempt))?.ok_or_else(over)?;
    if (&reach.project, &reach.domain) == (&id.project, &id.domain) {
        return Ok(());
    }
    let message = format!("an attempt calls apps of its own project and domain alone, and `{}` is of another", id.name);
    Err(Fault::new(FaultKind::Forbidden, message))
}

/// Who calls; none when anybody may. What carries tags is for those who may view them, whoever else it was meant for.
fn permitted(door: &Door, request: &Request, anonymous: bool, label: &Label) -> Result<Option<Caller>, Fault> {
    let anonymous = anonymous && label.is_empty();
    let caller = match access::caller(&door.app, super::APPS, request) {
        Ok(caller) => caller,
        // Without any token the server is for this machine alone, and so are its apps.
        Err(error) if anonymous && error.0.kind == FaultKind::Unauthenticated => return Ok(None),
        Err(error) => return Err(error.0),
    };
    if let Some(attempt) = caller.attempt {
        within_reach(&door.app.control, &door.id, attempt)?;
    }
    if !anonymous {
        let target = permission::app_target(&door.id.project, &door.id.domain, &door.id.name);
        permission::may(&door.app, &caller, OPERATION, &target, &Label::empty()).map_err(|error| error.0)?;
        if !label.is_empty() {
            permission::may(&door.app, &caller, "view", &target, label).map_err(|error| error.0)?;
        }
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

/// Leaves out what a connection names as its own, but for the upgrade, which is looked at by itself.
fn leave_named(headers: &mut HeaderMap) {
    let mut names: Vec<HeaderName> = Vec::new();
    for value in headers.get_all(header::CONNECTION).iter() {
        let named = value.as_bytes().split(|byte| *byte == b',');
        names.extend(named.filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok()));
    }
    names.retain(|name| *name != header::UPGRADE);
    for name in names {
        headers.remove(name);
    }
    for name in ["connection", "keep-alive", "proxy-connection"] {
        headers.remove(name);
    }
}

/// Leaves out what is of one connection.
fn only_through(headers: &mut HeaderMap, upgrade: Option<&HeaderValue>) {
    leave_named(headers);
    for name in OF_THE_WAY {
        headers.remove(name);
    }
    if let Some(upgrade) = upgrade {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, upgrade.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for &(name, value) in pairs {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_caller_cannot_say_what_only_the_server_says() {
        let sent = [
            ("authorization", "Bearer a.b"),
            ("proxy-authorization", "Basic a"),
            ("proxy_authorization", "Basic a"),
            ("x-tutti-principal", "root"),
            ("x-tutti-principal", "root too"),
            ("x_tutti_principal", "root"),
            ("x-tutti_principal", "root"),
            ("x-tutti-groups", "officers"),
            ("x-tuttifrutti", "stays"),
            ("accept", "text/html"),
        ];
        let mut told = headers(&sent);
        introduce(&mut told, Some("ada"));
        assert_eq!(told, headers(&[("x-tuttifrutti", "stays"), ("accept", "text/html"), ("x-tutti-principal", "ada")]));
        let mut nobody = headers(&sent);
        introduce(&mut nobody, None);
        assert_eq!(nobody, headers(&[("x-tuttifrutti", "stays"), ("accept", "text/html")]));
    }

    #[test]
    fn what_a_connection_names_ends_with_it_and_the_caller_is_told_all_the_same() {
        let mut told = headers(&[
            ("connection", "Upgrade, X-Hop"),
            ("connection", "x-tutti-principal ,, close"),
            ("upgrade", "websocket"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("cookie", "a=b"),
        ]);
        introduce(&mut told, Some("ada"));
        assert_eq!(told, headers(&[("upgrade", "websocket"), ("cookie", "a=b"), ("x-tutti-principal", "ada")]));
        let upgrade = upgrade_of(&told);
        only_through(&mut told, upgrade.as_ref());
        let through = [("upgrade", "websocket"), ("cookie", "a=b"), ("x-tutti-principal", "ada"), ("connection", "upgrade")];
        assert_eq!(told, headers(&through));
    }
}
