//! Errors as RFC 9457 problem details.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use controlplane::Fault;

use super::observe::request_id;
use super::views::Problem;

/// An error on its way out.
#[derive(Debug)]
pub(crate) struct ApiError(pub(crate) Fault);

pub(crate) type ApiResult<T> = Result<T, ApiError>;

impl<E: Into<Fault>> From<E> for ApiError {
    fn from(error: E) -> ApiError {
        ApiError(error.into())
    }
}

/// An error as its body.
pub fn problem(fault: &Fault) -> Problem {
    let code = fault.kind.code();
    Problem {
        kind: format!("/docs/errors/{code}"),
        title: fault.kind.title().into(),
        status: fault.kind.status(),
        detail: fault.detail.clone(),
        code: code.into(),
        hint: fault.hint.clone(),
        instance: request_id().map(|id| format!("urn:tutti:request:{id}")),
        diagnostics: fault.diagnostics.clone(),
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = problem(&self.0);
        if body.status >= 500 {
            tracing::error!(code = body.code, detail = body.detail, request = body.instance, "a request failed");
        }
        let status = StatusCode::from_u16(body.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/problem+json"));
        match status {
            // RFC 6750 asks for it.
            StatusCode::UNAUTHORIZED => {
                drop(headers.insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer")))
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                drop(headers.insert(header::RETRY_AFTER, header::HeaderValue::from_static("1")));
            }
            _ => {}
        }
        response
    }
}

/// Runs what blocks (the store) on a thread for it.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Fault> + Send + 'static) -> ApiResult<T> {
    tokio::task::spawn_blocking(work).await.map_err(Fault::internal)?.map_err(ApiError)
}
