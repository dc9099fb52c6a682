//! The Connect protocol over HTTP/1.1: one message in, one out, or a stream of them out; binary, compressed or not.

use std::io::Read as _;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use controlplane::{Fault, FaultKind};
use flyte::Message;
use futures::{Stream, StreamExt as _};
use model::limits::FLYTE_MESSAGE_BYTES_MAX;

use super::asking::{self, About};
use crate::rest::App;
use crate::rest::access::Caller;

/// Why a call is refused, with a code that the client knows.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) code: &'static str,
    pub(super) message: String,
}

pub(super) type Answer<T> = Result<T, Refusal>;

impl Refusal {
    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Refusal {
        Refusal { code, message: message.into() }
    }

    pub(super) fn not_found(what: &str, name: &str) -> Refusal {
        Refusal::new("not_found", format!("there is no {what} `{name}`"))
    }

    fn status(&self) -> StatusCode {
        match self.code {
            "invalid_argument" | "failed_precondition" | "out_of_range" => StatusCode::BAD_REQUEST,
            "unauthenticated" => StatusCode::UNAUTHORIZED,
            "permission_denied" => StatusCode::FORBIDDEN,
            "not_found" => StatusCode::NOT_FOUND,
            "already_exists" | "aborted" => StatusCode::CONFLICT,
            "resource_exhausted" => StatusCode::TOO_MANY_REQUESTS,
            "unimplemented" => StatusCode::NOT_IMPLEMENTED,
            "unavailable" => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn json(&self) -> serde_json::Value {
        serde_json::json!({ "code": self.code, "message": self.message })
    }

    /// The answer to a call that is not even looked at.
    pub(super) fn to(&self, headers: &HeaderMap) -> Response {
        if !is(headers, "content-type", "application/connect+proto") {
            return self.response();
        }
        let end = envelope(2, serde_json::json!({ "error": self.json() }).to_string().as_bytes());
        ([(header::CONTENT_TYPE, "application/connect+proto")], end).into_response()
    }

    pub(super) fn response(&self) -> Response {
        if self.status() == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(message = self.message, "a call failed");
        }
        (self.status(), [(header::CONTENT_TYPE, "application/json")], self.json().to_string()).into_response()
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Refusal {
        let code = match fault.kind.status() {
            // The client takes it for success when what it makes is there.
            409 if fault.kind != FaultKind::NameTaken => "failed_precondition",
            400 | 413 | 415 | 422 => "invalid_argument",
            401 => "unauthenticated",
            403 => "permission_denied",
            404 => "not_found",
            409 => "already_exists",
            429 => "resource_exhausted",
            503 => "unavailable",
            _ => "internal",
        };
        Refusal::new(code, fault.detail)
    }
}

impl From<controlplane::Refusal> for Refusal {
    fn from(refusal: controlplane::Refusal) -> Refusal {
        Fault::from(refusal).into()
    }
}

/// Unpacks a body, to a size.
fn gunzip(bytes: &[u8]) -> Answer<Vec<u8>> {
    let mut plain = Vec::new();
    let limit = FLYTE_MESSAGE_BYTES_MAX as u64 + 1;
    let read = flate2::read::GzDecoder::new(bytes).take(limit).read_to_end(&mut plain);
    read.map_err(|_| Refusal::new("invalid_argument", "the body is not compressed as it says"))?;
    if plain.len() > FLYTE_MESSAGE_BYTES_MAX {
        let message = format!("the message is larger than {FLYTE_MESSAGE_BYTES_MAX} bytes");
        return Err(Refusal::new("resource_exhausted", message));
    }
    Ok(plain)
}

fn decode<Q: Message + Default>(bytes: &[u8]) -> Answer<Q> {
    Q::decode(bytes).map_err(|error| Refusal::new("invalid_argument", format!("the message cannot be read: {error}")))
}

fn is(headers: &HeaderMap, name: &str, value: &str) -> bool {
    headers.get(name).and_then(|header| header.to_str().ok()).is_some_and(|header| header.eq_ignore_ascii_case(value))
}

/// The message of a call that has one.
fn single<Q: Message + Default>(headers: &HeaderMap, body: &Bytes) -> Answer<Q> {
    if !is(headers, "content-type", "application/proto") {
        return Err(Refusal::new("invalid_argument", "the body has to be `application/proto`"));
    }
    match headers.get(header::CONTENT_ENCODING).map(|encoding| encoding.to_str().unwrap_or("?")) {
        None | Some("identity") => decode(body),
        Some("gzip") => decode(&gunzip(body)?),
        Some(other) => Err(Refusal::new("unimplemented", format!("`{other}` is not an encoding that this server knows"))),
    }
}

/// The one message of a call that is answered with a stream.
fn enveloped<Q: Message + Default>(headers: &HeaderMap, body: &Bytes) -> Answer<Q> {
    if !is(headers, "content-type", "application/connect+proto") {
        return Err(Refusal::new("invalid_argument", "the body has to be `application/connect+proto`"));
    }
    let broken = || Refusal::new("invalid_argument", "the envelope of the message is broken");
    let (head, rest) = body.split_first_chunk::<5>().ok_or_else(broken)?;
    let size = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    let message = rest.get(..size).ok_or_else(broken)?;
    if head[0] & 1 == 1 { decode(&gunzip(message)?) } else { decode(message) }
}

/// A call as it came in.
#[derive(Clone, Copy)]
pub(super) struct Incoming<'a> {
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a Bytes,
    /// Who calls, and the operation that the rules are asked about; none where nobody has to be known.
    pub(super) asks: Option<(&'a App, &'a Caller, &'static str)>,
}

impl Incoming<'_> {
    /// The message, when the rules permit what it is about.
    async fn permitted<Q: About>(&self, message: Answer<Q>) -> Answer<Q> {
        let message = message?;
        if let Some((app, caller, operation)) = self.asks {
            asking::ask(app, caller, operation, &message).await?;
        }
        Ok(message)
    }
}

/// Answers a call with one message.
pub(super) async fn unary<Q: Message + Default + About, R: Message, F: Future<Output = Answer<R>>>(
    call: Incoming<'_>,
    work: impl FnOnce(Q) -> F,
) -> Response {
    let answer = match call.permitted(single(call.headers, call.body)).await {
        Ok(request) => work(request).await,
        Err(refusal) => Err(refusal),
    };
    match answer {
        Ok(message) => ([(header::CONTENT_TYPE, "application/proto")], message.encode_to_vec()).into_response(),
        Err(refusal) => refusal.response(),
    }
}

fn envelope(flag: u8, message: &[u8]) -> Bytes {
    let mut bytes = Vec::with_capacity(message.len() + 5);
    bytes.push(flag);
    bytes.extend_from_slice(&u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    bytes.extend_from_slice(message);
    bytes.into()
}

/// Answers a call with a stream. What goes wrong is said at its end.
pub(super) async fn stream<Q, R, S, F>(call: Incoming<'_>, work: impl FnOnce(Q) -> F) -> Response
where
    Q: Message + Default + About,
    R: Message,
    S: Stream<Item = Answer<R>> + Send + 'static,
    F: Future<Output = Answer<S>>,
{
    let messages = match call.permitted(enveloped(call.headers, call.body)).await {
        Ok(request) => work(request).await,
        Err(refusal) => Err(refusal),
    };
    let end = |refusal: Option<Refusal>| {
        let text = refusal.map_or_else(|| "{}".to_owned(), |refusal| serde_json::json!({ "error": refusal.json() }).to_string());
        envelope(2, text.as_bytes())
    };
    let body = match messages {
        Err(refusal) => Body::from(end(Some(refusal))),
        Ok(messages) => {
            let state = (Box::pin(messages), false);
            Body::from_stream(futures::stream::unfold(state, move |(mut messages, ended)| async move {
                if ended {
                    return None;
                }
                let (bytes, ended) = match messages.next().await {
                    Some(Ok(message)) => (envelope(0, &message.encode_to_vec()), false),
                    Some(Err(refusal)) => (end(Some(refusal)), true),
                    None => (end(None), true),
                };
                Some((Ok::<_, std::convert::Infallible>(bytes), (messages, ended)))
            }))
        }
    };
    ([(header::CONTENT_TYPE, "application/connect+proto")], body).into_response()
}
