//! Errors as RFC 9457 problem details.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use controlplane::Fault;

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
        diagnostics: fault.diagnostics.clone(),
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = problem(&self.0);
        if body.status >= 500 {
            tracing::error!(code = body.code, detail = body.detail, "a request failed");
        }
        let status = StatusCode::from_u16(body.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, [(header::CONTENT_TYPE, "application/problem+json")], Json(body)).into_response()
    }
}

/// Runs what blocks (the store) on a thread for it.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Fault> + Send + 'static) -> ApiResult<T> {
    tokio::task::spawn_blocking(work).await.map_err(Fault::internal)?.map_err(ApiError)
}
