//! Artifacts in and out. Both directions stream.

use std::io::{Read as _, Seek as _, SeekFrom};

use artifacts::{Content, StoreError};
use axum::body::{Body, Bytes};
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use controlplane::{Fault, FaultKind};
use futures::{Stream, StreamExt as _};
use model::value::ArtifactKind;
use model::{ArtifactRef, Digest};
use serde::Deserialize;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;

use super::App;
use super::access::Caller;
use super::extract::{Json, Path, Query};
use super::problem::{ApiError, ApiResult, blocking};

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct UploadQuery {
    /// The site that stores it; the first by name when there is none.
    site: Option<String>,
    /// The file name.
    name: Option<String>,
}

/// Uploads a file to a site's store. The answer is the value that stands for it in inputs.
#[utoipa::path(put, path = "/api/v1/artifacts", operation_id = "uploadArtifact", tag = "artifacts", params(UploadQuery),
    request_body(content = String, content_type = "application/octet-stream", description = "The bytes. Any type is taken."),
    responses((status = 200, description = "The artifact as a value.", body = Value)))]
pub(crate) async fn upload(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<UploadQuery>,
    body: Body,
) -> ApiResult<Json<Value>> {
    let site = query.site.or_else(|| app.control.sites().names().into_iter().next()).unwrap_or_default();
    let store = app.control.sites().store(&site).ok_or_else(|| Fault::not_found("site", &site))?;
    let name = query.name.unwrap_or_default();
    if name.len() > 255 || name.contains(['/', '\\', '\0']) || matches!(name.as_str(), "." | "..") {
        return Err(ApiError(Fault::new(FaultKind::Malformed, format!("`{name}` is not a file name"))));
    }
    let folder = app.control.data().join("uploads");
    let failed = |error: std::io::Error| Fault::internal(format!("the upload could not be stored: {error}"));
    tokio::fs::create_dir_all(&folder).await.map_err(failed)?;
    let upload = Upload(folder.join(format!("{:016x}", u64::from_le_bytes(controlplane::random_bytes()))));
    match receive(&upload.0, body).await {
        Ok(()) => {}
        Err(Broken::Client(error)) => {
            return Err(ApiError(Fault::new(FaultKind::Malformed, format!("the upload broke off: {error}"))));
        }
        Err(Broken::Disk(error)) => return Err(failed(error).into()),
    }
    let put = blocking(move || {
        let put = store.put_file(&upload.0).map_err(|error| match error {
            StoreError::ForgedListing => Fault::new(FaultKind::Malformed, error.to_string()),
            other => Fault::internal(other),
        });
        drop(upload);
        put
    });
    let put = put.await?;
    app.uploads.brought(put.digest, &caller.principal);
    Ok(Json(ArtifactRef { digest: put.digest, size: put.size, kind: ArtifactKind::File, name }.to_value()))
}

/// A file that is removed however the request ends: also when the client goes away in the middle.
struct Upload(std::path::PathBuf);

impl Drop for Upload {
    fn drop(&mut self) {
        // It may never have been made.
        let _ = std::fs::remove_file(&self.0);
    }
}

enum Broken {
    Client(axum::Error),
    Disk(std::io::Error),
}

async fn receive(path: &std::path::Path, body: Body) -> Result<(), Broken> {
    let mut file = tokio::fs::File::create_new(path).await.map_err(Broken::Disk)?;
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        file.write_all(&chunk.map_err(Broken::Client)?).await.map_err(Broken::Disk)?;
    }
    file.flush().await.map_err(Broken::Disk)
}

/// The part of a file that a request asks for.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    Whole,
    /// The first byte and how many.
    Some(u64, u64),
    /// It begins after the end.
    Nowhere,
}

/// RFC 9110, 14: a range that is not understood, or more than one, is answered with the whole.
fn part(range: Option<&HeaderValue>, length: u64) -> Part {
    let range =
        range.and_then(|range| range.to_str().ok()?.strip_prefix("bytes=")).and_then(|range| range.trim().split_once('-'));
    let Some((first, last)) = range else { return Part::Whole };
    match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), _) if first >= length && (last.is_empty() || last.parse::<u64>().is_ok()) => Part::Nowhere,
        (Ok(first), Ok(last)) if last >= first => Part::Some(first, last.min(length - 1) - first + 1),
        (Ok(first), Err(_)) if last.is_empty() => Part::Some(first, length - first),
        (Err(_), Ok(0)) if first.is_empty() => Part::Nowhere,
        (Err(_), Ok(_)) if first.is_empty() && length == 0 => Part::Nowhere,
        (Err(_), Ok(count)) if first.is_empty() => Part::Some(length - count.min(length), count.min(length)),
        _ => Part::Whole,
    }
}

/// Downloads an artifact, or a part of it, from a site that has it.
#[utoipa::path(get, path = "/api/v1/artifacts/{digest}", operation_id = "downloadArtifact", tag = "artifacts",
    params(("Range" = Option<String>, Header, description = "One range of bytes: `bytes=0-1023`, `bytes=1024-`, `bytes=-100`.")),
    responses(
        (status = 200, description = "The bytes.", body = String, content_type = "application/octet-stream"),
        (status = 206, description = "The range.", body = String, content_type = "application/octet-stream"),
        (status = 304, description = "The client has it: `If-None-Match` named its digest.")
    ))]
pub(crate) async fn download(State(app): State<App>, Path(digest): Path<String>, headers: HeaderMap) -> ApiResult<Response> {
    let parsed: Digest = digest.parse().map_err(|error| Fault::new(FaultKind::Malformed, format!("{error}")))?;
    let sites = app.control.sites().clone();
    let (content, length) = blocking(move || {
        let site = sites.with_copy(&parsed).into_iter().next().or_else(|| sites.names().into_iter().next());
        let unknown = || Fault::new(FaultKind::NotFound, format!("no site has the artifact {parsed}"));
        let store = site.and_then(|site| sites.store(&site)).ok_or_else(unknown)?;
        let failed = |error: StoreError| match error {
            StoreError::Missing(_) => unknown(),
            StoreError::Erased(_) => Fault::new(FaultKind::Erased, error.to_string()),
            other => Fault::internal(other),
        };
        Ok((store.open(&parsed).map_err(failed)?, store.size(&parsed).map_err(failed)?))
    })
    .await?;
    // What has this digest never changes.
    let tag = format!("\"{parsed}\"");
    if headers.get(header::IF_NONE_MATCH).and_then(|tags| tags.to_str().ok()).is_some_and(|tags| tags.contains(&tag)) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
    }
    let (status, first, count) = match part(headers.get(header::RANGE), length) {
        Part::Whole => (StatusCode::OK, 0, length),
        Part::Some(first, count) => (StatusCode::PARTIAL_CONTENT, first, count),
        Part::Nowhere => {
            let fault = Fault::new(FaultKind::Range, format!("the artifact has {length} bytes"));
            return Ok(([(header::CONTENT_RANGE, format!("bytes */{length}"))], ApiError(fault)).into_response());
        }
    };
    let body = Body::from_stream(pieces(content, first, count));
    // Never shown in place: an artifact may be a page with scripts.
    let answer = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, count.to_string()),
        (header::CONTENT_DISPOSITION, "attachment".to_owned()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (header::ACCEPT_RANGES, "bytes".to_owned()),
        (header::ETAG, tag),
    ];
    let mut answer = (status, answer, body).into_response();
    if status == StatusCode::PARTIAL_CONTENT
        && let Ok(range) = HeaderValue::from_str(&format!("bytes {first}-{}/{length}", first + count - 1))
    {
        answer.headers_mut().insert(header::CONTENT_RANGE, range);
    }
    Ok(answer)
}

/// Pieces of a content that are read ahead of a client.
const AHEAD: usize = 2;
/// Bytes of a piece.
const PIECE_BYTES: u64 = 64 << 10;

/// A part of a content, piece by piece, read on a thread where that may wait. An error ends it, and with it the answer.
pub(crate) fn pieces(mut content: Content, first: u64, count: u64) -> impl Stream<Item = std::io::Result<Bytes>> {
    let (sender, receiver) = tokio::sync::mpsc::channel(AHEAD);
    let read = move || {
        let sought = content.seek(SeekFrom::Start(first));
        let mut content = content.take(count);
        let mut failed = sought.err();
        while failed.is_none() {
            let mut piece = Vec::new();
            match (&mut content).take(PIECE_BYTES).read_to_end(&mut piece) {
                Ok(0) => return,
                // A client that went away wants no more.
                Ok(_) if sender.blocking_send(Ok(Bytes::from(piece))).is_err() => return,
                Ok(_) => {}
                Err(error) => failed = Some(error),
            }
        }
        failed.into_iter().for_each(|error| drop(sender.blocking_send(Err(error))));
    };
    // It ends with its client, or with the content.
    drop(tokio::task::spawn_blocking(read));
    futures::stream::unfold(receiver, |mut receiver| async move { Some((receiver.recv().await?, receiver)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let of = |range: &str| part(Some(&HeaderValue::from_str(range).unwrap()), 10);
        assert_eq!(part(None, 10), Part::Whole);
        for (range, wanted) in [
            ("bytes=0-3", Part::Some(0, 4)),
            ("bytes=8-100", Part::Some(8, 2)),
            ("bytes=4-", Part::Some(4, 6)),
            ("bytes=-3", Part::Some(7, 3)),
            ("bytes=-30", Part::Some(0, 10)),
            ("bytes=10-", Part::Nowhere),
            ("bytes=10-20", Part::Nowhere),
            ("bytes=-0", Part::Nowhere),
            ("bytes=3-1", Part::Whole),
            ("bytes=0-1,3-4", Part::Whole),
            ("bytes=x-", Part::Whole),
            ("lines=0-3", Part::Whole),
            ("bytes=18446744073709551616-", Part::Whole),
        ] {
            assert_eq!(of(range), wanted, "{range}");
        }
        assert_eq!(part(Some(&HeaderValue::from_static("bytes=0-")), 0), Part::Nowhere);
        assert_eq!(part(Some(&HeaderValue::from_static("bytes=-5")), 0), Part::Nowhere);
    }
}
