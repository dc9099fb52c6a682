//! Reading requests. What does not fit becomes a coded problem, never the plain text of a library.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, OptionalFromRequest, Request};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use controlplane::{Fault, FaultKind};
use model::limits::REQUEST_BYTES_MAX;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::problem::{ApiError, ApiResult};

/// A body of JSON, in or out.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

fn is_json(request: &Request) -> bool {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json")
}

async fn bytes(request: Request) -> ApiResult<Bytes> {
    Bytes::from_request(request, &()).await.map_err(|rejection| {
        ApiError(match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => {
                let fault = Fault::new(FaultKind::TooLarge, format!("the body is larger than {REQUEST_BYTES_MAX} bytes"));
                fault.hint("large things are artifacts: upload them with PUT /api/v1/artifacts")
            }
            _ => Fault::new(FaultKind::Malformed, "the body broke off"),
        })
    })
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> ApiResult<T> {
    serde_json::from_slice(bytes).map_err(|error| {
        ApiError(
            Fault::new(FaultKind::Malformed, format!("the body: {error}")).hint("/api/v1/openapi.json describes every request"),
        )
    })
}

fn wrong_type() -> ApiError {
    let fault = Fault::new(FaultKind::MediaType, "the body has to be JSON, and say so");
    ApiError(fault.hint("set the header `Content-Type: application/json`"))
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> ApiResult<Json<T>> {
        if !is_json(&request) {
            return Err(wrong_type());
        }
        Ok(Json(parse(&bytes(request).await?)?))
    }
}

/// A body that may be left out.
impl<S: Send + Sync, T: DeserializeOwned> OptionalFromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> ApiResult<Option<Json<T>>> {
        let typed = is_json(&request);
        let bytes = bytes(request).await?;
        match (bytes.is_empty(), typed) {
            (true, _) => Ok(None),
            (false, false) => Err(wrong_type()),
            (false, true) => Ok(Some(Json(parse(&bytes)?))),
        }
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(bytes) => ([(header::CONTENT_TYPE, "application/json")], bytes).into_response(),
            Err(error) => ApiError(Fault::internal(error)).into_response(),
        }
    }
}

/// The query. Fields that are not known are errors.
#[derive(Debug)]
pub(crate) struct Query<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> ApiResult<Query<T>> {
        axum::extract::Query::try_from_uri(&parts.uri)
            .map(|query| Query(query.0))
            .map_err(|rejection| ApiError(Fault::new(FaultKind::Malformed, format!("the query: {}", cause(&rejection)))))
    }
}

/// Parts of the path.
#[derive(Debug)]
pub(crate) struct Path<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> ApiResult<Path<T>> {
        axum::extract::Path::from_request_parts(parts, state)
            .await
            .map(|path| Path(path.0))
            .map_err(|rejection| ApiError(Fault::new(FaultKind::Malformed, format!("the path: {}", cause(&rejection)))))
    }
}

/// What is behind a rejection: its own text is about the library.
fn cause(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// Rows of a page, within bounds.
pub(crate) fn page_size(limit: Option<usize>, usual: usize, max: usize) -> ApiResult<usize> {
    match limit {
        None => Ok(usual),
        Some(limit) if (1..=max).contains(&limit) => Ok(limit),
        Some(limit) => Err(ApiError(Fault::new(FaultKind::Malformed, format!("`limit` is {limit}, not from 1 to {max}")))),
    }
}

/// A list as a plain array. The address of the page after a full one stands in the header `Link` (RFC 8288).
#[derive(Debug)]
pub(crate) struct Listed<T> {
    pub(crate) items: Vec<T>,
    /// The cursor of the next page.
    pub(crate) next: Option<String>,
    pub(crate) limit: usize,
}

impl<T: Serialize> IntoResponse for Listed<T> {
    fn into_response(self) -> Response {
        let link = self.next.map(|next| {
            let mut cursor = String::new();
            for byte in next.bytes() {
                match byte {
                    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => cursor.push(char::from(byte)),
                    other => cursor.push_str(&format!("%{other:02X}")),
                }
            }
            HeaderValue::from_str(&format!("<?limit={}&cursor={cursor}>; rel=\"next\"", self.limit))
        });
        let mut response = Json(self.items).into_response();
        if let Some(Ok(link)) = link {
            response.headers_mut().insert(header::LINK, link);
        }
        response
    }
}
