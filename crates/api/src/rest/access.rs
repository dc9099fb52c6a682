//! Who calls, and what they may do. Without tokens every caller of the loopback address is the local user with all scopes; with
//! tokens every call needs one. Tokens are stored as hashes.

use axum::extract::{Request, State};
use axum::http::{Method, header};
use axum::middleware::Next;
use axum::response::Response;
use controlplane::{Fault, FaultKind};
use model::Digest;
use serde_json::Value;

use super::App;
use super::problem::{ApiError, ApiResult};

/// What a token may be allowed.
pub(crate) const SCOPES: [&str; 5] = ["read", "run", "approve", "admin", "worker"];

/// How callers are known.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// A token that may do everything, for the process itself (the in-process command line).
    pub own_token: Option<String>,
    /// Whether callers without a token are the local user. Only ever true on loopback.
    pub local_user: bool,
}

/// A caller.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) principal: String,
    pub(crate) groups: Vec<String>,
    scopes: Vec<String>,
}

impl Caller {
    /// Refuses a caller without a scope. `admin` includes all.
    pub(crate) fn needs(&self, scope: &str) -> ApiResult<()> {
        if self.scopes.iter().any(|has| has == scope || has == "admin") {
            return Ok(());
        }
        let message = format!("`{}` has not the scope `{scope}`", self.principal);
        Err(ApiError(Fault::new(FaultKind::Forbidden, message).hint("use a token that has it: `tutti token create --scope …`")))
    }
}

/// The name of a local user's groups: on loopback without tokens whoever calls may answer for anyone.
fn local_user(request: &Request) -> Caller {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    Caller {
        principal: header("x-tutti-user").unwrap_or_else(|| "local".into()),
        groups: header("x-tutti-groups")
            .map(|groups| groups.split(',').map(|group| group.trim().to_owned()).collect())
            .unwrap_or_default(),
        scopes: vec!["admin".into()],
    }
}

fn token_of(request: &Request) -> Option<&str> {
    request.headers().get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

/// Finds the caller and hands them on.
pub(crate) async fn authenticate(State(app): State<App>, mut request: Request, next: Next) -> ApiResult<Response> {
    let caller = match token_of(&request) {
        Some(token) if app.access.own_token.as_deref() == Some(token) => local_user(&request),
        Some(token) => known(&app, token)?,
        None if app.access.local_user && !has_tokens(&app)? => local_user(&request),
        None => {
            let fault = Fault::new(FaultKind::Unauthenticated, "this server wants a token");
            return Err(ApiError(
                fault.hint("give one with --token or TUTTI_TOKEN; an administrator makes them with `tutti token create`"),
            ));
        }
    };
    let safe = matches!(*request.method(), Method::GET | Method::HEAD);
    if safe {
        caller.needs("read")?;
    }
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

fn has_tokens(app: &App) -> ApiResult<bool> {
    let rows = tokio::task::block_in_place(|| app.control.reader().resources("token", None, None)).map_err(Fault::internal)?;
    Ok(!rows.is_empty())
}

fn known(app: &App, token: &str) -> ApiResult<Caller> {
    let unknown = || ApiError(Fault::new(FaultKind::Unauthenticated, "the token is not known, or was revoked"));
    // `NAME.SECRET`: the name finds the hash, the hash checks the secret.
    let (name, _) = token.split_once('.').ok_or_else(unknown)?;
    let rows =
        tokio::task::block_in_place(|| app.control.reader().resources("token", Some(name), None)).map_err(Fault::internal)?;
    let body = rows.into_iter().next().ok_or_else(unknown)?.body;
    // A digest of 256 random bits: comparing digests tells nothing about the token.
    if body.get("hash").and_then(Value::as_str) != Some(&Digest::of(token.as_bytes()).to_string()) {
        return Err(unknown());
    }
    let texts = |key: &str| -> Vec<String> {
        let list = body.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
        list.iter().filter_map(|text| text.as_str().map(str::to_owned)).collect()
    };
    let principal = body.get("user").and_then(Value::as_str).unwrap_or(name).to_owned();
    let scopes = texts("scopes");
    let mut caller = Caller { principal, groups: texts("groups"), scopes };
    if !caller.scopes.iter().any(|scope| scope == "read") {
        caller.scopes.push("read".into());
    }
    Ok(caller)
}
