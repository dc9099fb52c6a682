//! How clients of the SDK come to a token: they ask where one is had, and have it for a name and a secret. Tokens are those of this server;
//! the name is what stands before the dot in one, the secret what stands after it.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use flyte::wire::{OAuth2Metadata, PublicClientConfig};
use model::Label;
use serde_json::json;

use super::connect::{Answer, Refusal};
use super::data::origin;
use super::view::broken;
use crate::rest::App;
use crate::rest::access::{self, Caller};
use crate::rest::sight::Sight;

/// Where tokens are had.
pub(super) const TOKENS: &str = "/flyte/token";
/// Seconds after which a client asks again. Tokens have no end; one that was taken back is refused at once.
const ASK_AGAIN_SECONDS: u64 = 3_600;

pub(super) fn metadata(headers: &HeaderMap) -> OAuth2Metadata {
    let origin = origin(headers);
    OAuth2Metadata {
        token_endpoint: format!("{origin}{TOKENS}"),
        authorization_endpoint: format!("{origin}/flyte/authorize"),
        issuer: origin,
        token_endpoint_auth_methods_supported: vec!["client_secret_basic".into()],
        grant_types_supported: vec!["client_credentials".into()],
    }
}

pub(super) fn client() -> PublicClientConfig {
    PublicClientConfig {
        client_id: "flyte".into(),
        redirect_uri: "http://localhost:53593/callback".into(),
        authorization_metadata_key: "authorization".into(),
    }
}

/// The name and the secret of whoever asks for a token.
fn given(headers: &HeaderMap) -> Option<(String, String)> {
    let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Basic ")?;
    let bytes = base64::engine::general_purpose::STANDARD.decode(text.trim()).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (name, secret) = text.split_once(':')?;
    Some((name.to_owned(), secret.to_owned()))
}

/// A token for a name and its secret (RFC 6749, 4.4).
pub(super) async fn token(State(app): State<App>, headers: HeaderMap) -> Response {
    let Some((name, secret)) = given(&headers) else {
        return (StatusCode::UNAUTHORIZED, Json(json!({ "error": "invalid_client" }))).into_response();
    };
    let token = format!("{name}.{secret}");
    match access::is_known(&app, &token) {
        Ok(true) => {
            let body = json!({ "access_token": token, "token_type": "Bearer", "expires_in": ASK_AGAIN_SECONDS });
            ([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
        }
        Ok(false) => (StatusCode::UNAUTHORIZED, Json(json!({ "error": "invalid_client" }))).into_response(),
        Err(error) => error.into_response(),
    }
}

/// Refuses an attempt what is of another run. `asks` is for what a program does with its own actions alone.
pub(super) fn own(caller: &Caller, run: &journal::RunRow) -> Answer<()> {
    match caller.attempt {
        Some(attempt) if attempt.run != run.id => {
            let message = format!("an attempt of another run does not ask for actions of `{}`", run.name);
            Err(Refusal::new("permission_denied", message))
        }
        _ => Ok(()),
    }
}

/// Refuses everybody but the program itself, where it is known who asks: what is asked for runs in the name of whoever started the run.
pub(super) fn within(app: &App, caller: &Caller, run: &journal::RunRow) -> Answer<()> {
    own(caller, run)?;
    if caller.attempt.is_some() || !access::wants_tokens(app)? {
        return Ok(());
    }
    let message = format!("only `{}` itself asks for actions of it: its tasks have tokens of their own", run.name);
    Err(Refusal::new("permission_denied", message))
}

/// What a caller may see of a run; none for an attempt of it, which sees what it asked for.
pub(super) fn sight(app: &App, caller: &Caller, run: &journal::RunRow) -> Answer<Option<Sight>> {
    if caller.attempt.is_some_and(|attempt| attempt.run == run.id) {
        return Ok(None);
    }
    Ok(Some(Sight::of(app, caller, run)?))
}

/// Refuses an attempt values of another action that are of another project, or that carry what its own data do not; and a person values of an
/// action that the rules do not let them see.
pub(super) fn sees(app: &App, caller: &Caller, run: &journal::RunRow, action: &journal::ActionRow) -> Answer<()> {
    let control = &app.control;
    let Some(attempt) = caller.attempt else {
        return match Sight::of(app, caller, run)?.withheld(Some(&action.path)) {
            None => Ok(()),
            Some(withheld) => Err(Refusal::new("permission_denied", format!("its values are not shown: {}", withheld.why))),
        };
    };
    if attempt.run == run.id && attempt.action.0 == action.no {
        return Ok(());
    }
    let reach = control.flyte_reach(attempt)?.ok_or_else(|| Refusal::new("unauthenticated", "the attempt is over"))?;
    let key = controlplane::flyte_run_key(&run.project, &run.domain, &run.name);
    let mut label: Label = control.flyte().label_of(&key, &action.path).map_err(broken)?;
    label.join(&control.flyte().label_within(&key, &action.path).map_err(broken)?);
    if (&reach.project, &reach.domain) == (&run.project, &run.domain) && label.0.is_subset(&reach.label.0) {
        return Ok(());
    }
    let message =
        format!("values of `{}` are not for this attempt: another project, or tags that its data do not carry", run.name);
    Err(Refusal::new("permission_denied", message))
}
