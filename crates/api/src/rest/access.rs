//! Who calls. What they may do is asked of the rules, see [`super::permission`].
//!
//! Without tokens every caller of the loopback address is the local user with all scopes; with tokens every call needs one. Tokens are
//! stored as hashes.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;
use controlplane::{ControlPlane, Fault, FaultKind};
use flyte::Rights;
use model::{AttemptKey, Digest};
use parking_lot::RwLock;
use serde_json::Value;

use super::App;
use super::endpoints::needs;
pub use super::endpoints::{Needs, TABLE};
use super::problem::{ApiError, ApiResult};

/// What a token may be allowed.
pub(crate) const SCOPES: [&str; 5] = ["read", "run", "approve", "admin", "worker"];

/// What programs do while they run, as far as whoever started them may.
const OF_ATTEMPTS: [&str; 4] = ["read", "view", "submit", "steer"];

/// Where it stands in what is stored of a token when it ends, in microseconds since 1970. Tokens of earlier versions have no end.
pub(crate) const EXPIRES_AT: &str = "expires_at";

/// The role that a scope stands for.
fn role_of(scope: &str) -> &str {
    match scope {
        "read" => "scope-read",
        "run" => "scope-run",
        "approve" => "approver",
        other => other,
    }
}

/// How callers are known.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// A token that may do everything, for the process itself (the in-process command line).
    pub own_token: Option<String>,
    /// Whether callers without a token are the local user. Only ever true on loopback.
    pub local_user: bool,
}

impl Access {
    /// For a server on loopback: whoever can connect is the local user, until there are tokens.
    pub fn local() -> Access {
        Access { own_token: None, local_user: true }
    }
}

/// A caller.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) principal: String,
    pub(crate) groups: Vec<String>,
    /// Roles of theirs, those that their scopes stand for among them.
    roles: Vec<String>,
    /// The attempt that calls, when it is one of a Flyte program.
    pub(crate) attempt: Option<AttemptKey>,
    /// Where that is at home, and has to do with nothing else.
    pub(crate) home: Option<Home>,
}

/// Where a running program is at home: its run, and the project and domain of that.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    pub(crate) project: String,
    pub(crate) domain: String,
    pub(crate) run: String,
}

impl Home {
    /// Whether something is of the project and domain.
    pub(crate) fn holds(&self, target: &policy::Target) -> bool {
        (&target.project, &target.domain) == (&self.project, &self.domain)
    }

    /// Whether something is the run itself.
    pub(crate) fn is_run(&self, target: &policy::Target) -> bool {
        target.kind == "run" && target.name == self.run && self.holds(target)
    }
}

/// Who was answered, for the log.
#[derive(Clone, Debug)]
pub(crate) struct Principal(pub(crate) String);

impl Caller {
    /// The caller as policies see them.
    pub(crate) fn as_policy(&self) -> policy::Caller {
        policy::Caller { name: self.principal.clone(), groups: self.groups.clone(), roles: self.roles.clone() }
    }

    /// What is theirs, for what they start to be held to.
    pub(crate) fn rights(&self) -> Rights {
        Rights { groups: self.groups.clone(), roles: self.roles.clone() }
    }
}

/// Tokens as they are stored, for as long as no resource is applied.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    known: RwLock<Option<(u64, Arc<BTreeMap<String, Value>>)>>,
}

impl Tokens {
    pub(crate) fn read(&self, control: &ControlPlane) -> ApiResult<Arc<BTreeMap<String, Value>>> {
        let resources = control.notices().resources();
        if let Some((at, tokens)) = &*self.known.read()
            && *at == resources
        {
            return Ok(tokens.clone());
        }
        let rows = tokio::task::block_in_place(|| control.reader().resources("token", None, None)).map_err(Fault::internal)?;
        let tokens: Arc<BTreeMap<String, Value>> = Arc::new(rows.into_iter().map(|row| (row.name, row.body)).collect());
        *self.known.write() = Some((resources, tokens.clone()));
        Ok(tokens)
    }
}

/// On loopback without tokens whoever calls is the local user, and may answer for anyone.
fn local_user(headers: &HeaderMap) -> Caller {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    Caller {
        principal: header("x-tutti-user").unwrap_or_else(|| "local".into()),
        groups: header("x-tutti-groups")
            .map(|groups| groups.split(',').map(|group| group.trim().to_owned()).collect())
            .unwrap_or_default(),
        roles: vec!["admin".into()],
        attempt: None,
        home: None,
    }
}

/// Whether a name can only mean this machine. A web page of somebody else reaches the loopback address under a name of its own.
fn is_loopback(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.rsplit_once(':').map_or(authority, |(host, _)| host),
    };
    let host = host.to_ascii_lowercase();
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The local user has no password, so that a browser must not be talked into calling in their name: neither by a name that was bent to
/// this machine, nor by a page of another origin.
fn check_local(request: &Request) -> ApiResult<()> {
    let refuse = |what: String| {
        let fault = Fault::new(FaultKind::Forbidden, what);
        Err(ApiError(fault.hint(
            "without tokens only programs of this machine may call, as localhost or 127.0.0.1; make a token for anything else",
        )))
    };
    let text = |name| request.headers().get(name).map(|value| value.to_str().unwrap_or("?"));
    let host = request.uri().authority().map(|authority| authority.as_str()).or_else(|| text(header::HOST)).unwrap_or_default();
    if !is_loopback(host) {
        return refuse(format!("the request is for the host `{host}`, and this server answers without a token on loopback only"));
    }
    let own = |origin: &str| origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://")) == Some(host);
    if let Some(origin) = text(header::ORIGIN).filter(|origin| !own(origin)) {
        return refuse(format!("the request comes from a page of `{origin}`"));
    }
    let site = text(header::HeaderName::from_static("sec-fetch-site"));
    match site.filter(|site| !matches!(*site, "same-origin" | "none")) {
        Some(site) => refuse(format!("the request comes from a page of another origin (`Sec-Fetch-Site: {site}`)")),
        None => Ok(()),
    }
}

fn token_of(headers: &HeaderMap) -> ApiResult<Option<&str>> {
    let Some(given) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let token =
        given.to_str().ok().and_then(|text| text.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    match token {
        Some((_, token)) => Ok(Some(token.trim())),
        None => Err(ApiError(Fault::new(FaultKind::Unauthenticated, "`Authorization` is not `Bearer TOKEN`"))),
    }
}

/// Who makes a request.
pub(crate) fn caller(app: &App, route: &str, request: &Request) -> ApiResult<Caller> {
    let tokens = app.tokens.read(&app.control)?;
    let given = token_of(request.headers())?.or_else(|| crate::flyte::token_in(route, request.uri().path()));
    if let Some(token) = given
        && let Some(caller) = attempt(app, route, token)?
    {
        return Ok(caller);
    }
    match given {
        Some(token)
            if app.access.own_token.as_ref().is_some_and(|own| Digest::of(own.as_bytes()) == Digest::of(token.as_bytes())) =>
        {
            Ok(local_user(request.headers()))
        }
        Some(token) => known(&tokens, token),
        None if app.access.local_user && tokens.is_empty() => {
            check_local(request)?;
            Ok(local_user(request.headers()))
        }
        None => {
            let fault = Fault::new(FaultKind::Unauthenticated, "this server wants a token");
            Err(ApiError(
                fault.hint("give one with --token or TUTTI_TOKEN; an administrator makes them with `tutti token create`"),
            ))
        }
    }
}

fn not_of_attempts(needs: Needs) -> Fault {
    let operation = needs.operations().first().copied().unwrap_or("administer");
    Fault::new(FaultKind::Forbidden, format!("a program that runs does not `{operation}`: people and programs outside do"))
}

/// Finds the caller, looks whether they may, and hands them on.
pub(crate) async fn authenticate(State(app): State<App>, request: Request, next: Next) -> ApiResult<Response> {
    let route = request.extensions().get::<MatchedPath>().cloned();
    // What matches nothing is answered by the fallback.
    let Some(route) = route else { return Ok(next.run(request).await) };
    let known_route = TABLE.iter().any(|(_, at, _)| *at == route.as_str());
    let Some(needs) = needs(request.method(), route.as_str()).or_else(|| crate::flyte::needs(route.as_str())) else {
        if known_route {
            // Another method of this address: the router says which there are.
            return Ok(next.run(request).await);
        }
        tracing::error!(route = route.as_str(), "an endpoint is missing from the table of access");
        return Err(super::system::not_found(request.uri().clone()).await);
    };
    if needs == Needs::Nothing {
        return Ok(next.run(request).await);
    }
    let (mut request, caller) = match admit(&app, route.as_str(), needs, request).await {
        Ok(admitted) => admitted,
        Err((headers, error)) if crate::flyte::needs(route.as_str()).is_some() => {
            return Ok(crate::flyte::refuse(&headers, error.0));
        }
        Err((_, error)) => return Err(error),
    };
    let principal = Principal(caller.principal.clone());
    request.extensions_mut().insert(caller);
    let mut response = next.run(request).await;
    response.extensions_mut().insert(principal);
    Ok(response)
}

/// The request with its caller; with its headers when they may not.
async fn admit(app: &App, route: &str, needs: Needs, request: Request) -> Result<(Request, Caller), (HeaderMap, ApiError)> {
    let headers = request.headers().clone();
    let caller = match caller(app, route, &request) {
        Ok(caller) => caller,
        Err(error) => return Err((headers, error)),
    };
    if caller.attempt.is_some() {
        // The rest is asked when it is known what was sent.
        return match needs.operations().iter().all(|operation| OF_ATTEMPTS.contains(operation)) {
            true => Ok((request, caller)),
            false => Err((headers, ApiError(not_of_attempts(needs)))),
        };
    }
    let (mut parts, body) = request.into_parts();
    match super::permission::check(app, &caller, needs, &mut parts).await {
        Ok(()) => Ok((Request::from_parts(parts, body), caller)),
        Err(error) => Err((headers, error)),
    }
}

fn known(tokens: &BTreeMap<String, Value>, token: &str) -> ApiResult<Caller> {
    let unknown = || ApiError(Fault::new(FaultKind::Unauthenticated, "the token is not known, or was revoked"));
    // `NAME.SECRET`: the name finds the hash, the hash checks the secret.
    let (name, _) = token.split_once('.').ok_or_else(unknown)?;
    let body = tokens.get(name).ok_or_else(unknown)?;
    // A digest of 256 random bits: comparing digests tells nothing about the token.
    if body.get("hash").and_then(Value::as_str) != Some(&Digest::of(token.as_bytes()).to_string()) {
        return Err(unknown());
    }
    // Only who has the whole of it is told.
    if body.get(EXPIRES_AT).and_then(Value::as_u64).is_some_and(|end| end <= controlplane::wall().0) {
        let fault = Fault::new(FaultKind::Unauthenticated, format!("the token `{name}` has expired"));
        return Err(ApiError(fault.hint("an administrator makes another one with `tutti token create`")));
    }
    let Rights { groups, roles } = rights_in(body);
    Ok(Caller { principal: user_in(name, body).to_owned(), groups, roles, attempt: None, home: None })
}

/// Whose token it is.
fn user_in<'t>(name: &'t str, token: &'t Value) -> &'t str {
    token.get("user").and_then(Value::as_str).unwrap_or(name)
}

/// The groups and roles of a token, those that its scopes stand for among them.
fn rights_in(token: &Value) -> Rights {
    let texts = |key: &str| -> Vec<String> {
        let list = token.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
        list.iter().filter_map(|text| text.as_str().map(str::to_owned)).collect()
    };
    let mut roles: Vec<String> = texts("scopes").iter().map(|scope| role_of(scope).to_owned()).collect();
    roles.extend(texts("roles"));
    Rights { groups: texts("groups"), roles }
}

/// What somebody may whose run does not say it, such as one of a workflow: what all their tokens may; where they have none, what a program needs.
fn rights_of(tokens: &BTreeMap<String, Value>, principal: &str) -> Rights {
    let own = tokens.iter().filter(|(name, token)| user_in(name, token) == principal).map(|(_, token)| rights_in(token));
    let all = own.reduce(|mut all, one| {
        all.groups.extend(one.groups);
        all.roles.extend(one.roles);
        all
    });
    let basic = || ["read", "run"].map(|scope| role_of(scope).to_owned()).to_vec();
    all.unwrap_or_else(|| Rights { groups: Vec::new(), roles: basic() })
}

/// A running attempt of a Flyte program calls in the name of whoever started its run, to read, to start and to steer what they may, in the project and
/// domain of the run; none when the token is none of an attempt's. It is good for as long as the attempt is under way, and at the doors of the SDK alone.
fn attempt(app: &App, route: &str, token: &str) -> ApiResult<Option<Caller>> {
    let Some(name) = flyte::sign::attempt_of(app.control.flyte().secret(), token) else { return Ok(None) };
    let over = || ApiError(Fault::new(FaultKind::Unauthenticated, "the attempt that this token was made for is over"));
    let key: AttemptKey = name.parse().map_err(|_| over())?;
    if crate::flyte::needs(route).is_none() {
        let fault = Fault::new(FaultKind::Forbidden, "the token of an attempt is good for the services of the Flyte SDK alone");
        return Err(ApiError(fault));
    }
    tokio::task::block_in_place(|| {
        let reach = app.control.flyte_reach(key)?.ok_or_else(over)?;
        let run = app.control.reader().run(key.run).map_err(Fault::internal)?.ok_or_else(over)?;
        let Rights { groups, roles } = match &reach.by {
            Some(rights) => rights.clone(),
            None => rights_of(&*app.tokens.read(&app.control)?, &run.principal),
        };
        let home = Some(Home { project: run.project, domain: run.domain, run: run.name });
        Ok(Some(Caller { principal: run.principal, groups, roles, attempt: Some(key), home }))
    })
}

/// Whether there are tokens, so that everybody has one, attempts too.
pub(crate) fn wants_tokens(app: &App) -> Result<bool, Fault> {
    Ok(!app.tokens.read(&app.control).map_err(|error| error.0)?.is_empty())
}

/// Whether a token is known.
pub(crate) fn is_known(app: &App, token: &str) -> ApiResult<bool> {
    Ok(known(&*app.tokens.read(&app.control)?, token).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_loopback() {
        for host in ["localhost", "LOCALHOST:7200", "127.0.0.1:7200", "127.8.9.1", "[::1]:7200", "[::1]"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["", "evil.example:7200", "localhost.evil.example", "127.0.0.1.nip.io", "10.0.0.1:7200", "[::2]:1", "0.0.0.0"]
        {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
