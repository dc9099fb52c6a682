//! Artifacts in and out. Both directions stream.

use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use controlplane::{Fault, FaultKind};
use futures::StreamExt as _;
use model::value::ArtifactKind;
use model::{ArtifactRef, Digest};
use serde::Deserialize;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;

use super::App;
use super::access::Caller;
use super::problem::{ApiError, ApiResult};

#[derive(Debug, Deserialize, utoipa::IntoParams)]
pub(crate) struct UploadQuery {
    /// The site that stores it; the first when there is none.
    site: Option<String>,
    /// The file name.
    name: Option<String>,
}

/// Uploads a file to a site's store. The answer is the value that stands for it in inputs.
#[utoipa::path(put, path = "/api/v1/artifacts", params(UploadQuery), request_body = String, responses((status = 200, body = Value)))]
pub(crate) async fn upload(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<UploadQuery>,
    body: Body,
) -> ApiResult<Json<Value>> {
    caller.needs("run")?;
    let site = query.site.or_else(|| app.control.sites().names().into_iter().next()).unwrap_or_default();
    let store = app.control.sites().store(&site).ok_or_else(|| Fault::not_found("site", &site))?;
    let folder = app.control.data().join("uploads");
    let failed = |error: std::io::Error| Fault::internal(format!("the upload could not be stored: {error}"));
    tokio::fs::create_dir_all(&folder).await.map_err(failed)?;
    let path = folder.join(format!("{:016x}", u64::from_le_bytes(controlplane::random_bytes())));
    let stored = receive(&path, body).await;
    let put = match stored {
        Ok(()) => {
            let path = path.clone();
            tokio::task::spawn_blocking(move || store.put_file(&path)).await.map_err(Fault::internal)?.map_err(Fault::internal)
        }
        Err(error) => Err(Fault::new(FaultKind::Malformed, format!("the upload broke off: {error}"))),
    };
    let _ = tokio::fs::remove_file(&path).await;
    let put = put.map_err(ApiError)?;
    let artifact =
        ArtifactRef { digest: put.digest, size: put.size, kind: ArtifactKind::File, name: query.name.unwrap_or_default() };
    Ok(Json(artifact.to_value()))
}

async fn receive(path: &std::path::Path, body: Body) -> std::io::Result<()> {
    let mut file = tokio::fs::File::create_new(path).await?;
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        file.write_all(&chunk.map_err(std::io::Error::other)?).await?;
    }
    file.flush().await
}

/// Downloads an artifact from a site that has it.
#[utoipa::path(get, path = "/api/v1/artifacts/{digest}", responses((status = 200, body = String, content_type = "application/octet-stream")))]
pub(crate) async fn download(State(app): State<App>, Path(digest): Path<String>) -> ApiResult<Response> {
    let parsed: Digest = digest.parse().map_err(|error| Fault::new(FaultKind::Malformed, format!("{error}")))?;
    let sites = app.control.sites();
    let store = sites.with_copy(&parsed).first().and_then(|site| sites.store(site));
    let store = store.ok_or_else(|| Fault::new(FaultKind::NotFound, format!("no site has the artifact {parsed}")))?;
    let file = store.open(&parsed).map_err(Fault::internal)?;
    let length = store.size(&parsed).map_err(Fault::internal)?;
    let body = Body::from_stream(tokio_util::io::ReaderStream::new(tokio::fs::File::from_std(file)));
    // Never shown in place: an artifact may be a page with scripts.
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, length.to_string()),
        (header::CONTENT_DISPOSITION, "attachment".to_owned()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
    ];
    Ok((headers, body).into_response())
}
