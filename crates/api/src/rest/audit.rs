//! The account of the journal for people who do not trust the server: its entries with their hashes, and proofs from its tree.

use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use bytes::Bytes;
use controlplane::{Fault, FaultKind};
use journal::{EntryRow, Reader};
use model::{Digest, Seq};
use serde::Deserialize;

use super::App;
use super::extract::{Json, Query};
use super::problem::{ApiResult, blocking};
use super::views::{AuditEntry, AuditHead, AuditProof};

/// Entries read at a time.
const BATCH: usize = 1_000;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
pub(crate) struct ExportQuery {
    /// Entries after this position; all when there is none.
    after: Option<u64>,
}

fn head(reader: &Reader) -> Result<AuditHead, Fault> {
    let tree = reader.tree().map_err(Fault::internal)?;
    Ok(AuditHead { size: tree.size(), root: Digest(tree.root()).hex() })
}

fn view(entry: EntryRow) -> AuditEntry {
    AuditEntry {
        seq: entry.seq.0,
        run: entry.run.0,
        at_us: entry.at.0,
        leaf: Digest(entry.leaf).hex(),
        bytes: base64::engine::general_purpose::STANDARD.encode(entry.bytes),
    }
}

/// The journal's entries as lines of JSON: first the head of the tree, then one entry a line up to it.
#[utoipa::path(get, path = "/api/v1/audit/export", operation_id = "exportAudit", tag = "system", params(ExportQuery),
    responses((status = 200, description = "The entries.", body = String, content_type = "application/x-ndjson")))]
pub(crate) async fn export(State(app): State<App>, Query(query): Query<ExportQuery>) -> ApiResult<Response> {
    let reader = app.control.reader().clone();
    let asked = reader.clone();
    let head = blocking(move || head(&asked)).await?;
    let end = head.size;
    let first = serde_json::to_string(&head).map_err(Fault::internal)? + "\n";
    let rest = futures::stream::unfold(query.after.unwrap_or(0), move |after| {
        let reader = reader.clone();
        async move {
            if after >= end {
                return None;
            }
            let limit = usize::try_from(end - after).unwrap_or(BATCH).min(BATCH);
            let read = tokio::task::spawn_blocking(move || lines(&reader, after, limit)).await;
            match read.map_err(std::io::Error::other).flatten() {
                Ok((_, last)) if last == after => None,
                Ok((bytes, last)) => Some((Ok(bytes), last)),
                // The answer breaks off, so that nobody takes a part for the whole.
                Err(error) => Some((Err(error), end)),
            }
        }
    });
    let first = futures::stream::once(async move { Ok::<Bytes, std::io::Error>(first.into()) });
    let body = Body::from_stream(futures::StreamExt::chain(first, rest));
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

fn lines(reader: &Reader, after: u64, limit: usize) -> std::io::Result<(Bytes, u64)> {
    let mut text = Vec::new();
    let mut last = after;
    for entry in reader.entries(Seq(after), limit).map_err(std::io::Error::other)? {
        last = entry.seq.0;
        serde_json::to_writer(&mut text, &view(entry))?;
        text.push(b'\n');
    }
    Ok((text.into(), last))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
pub(crate) struct ProofQuery {
    /// The position of the entry.
    seq: u64,
    /// The size of the tree to prove it against; the present one when there is none.
    size: Option<u64>,
}

/// An entry with the proof that it is in the tree (RFC 6962, inclusion).
#[utoipa::path(get, path = "/api/v1/audit/proof", operation_id = "proveEntry", tag = "system", params(ProofQuery),
    responses((status = 200, description = "The proof.", body = AuditProof)))]
pub(crate) async fn prove(State(app): State<App>, Query(query): Query<ProofQuery>) -> ApiResult<Json<AuditProof>> {
    let reader = app.control.reader().clone();
    Ok(Json(blocking(move || proof(&reader, &query)).await?))
}

fn proof(reader: &Reader, query: &ProofQuery) -> Result<AuditProof, Fault> {
    let now = head(reader)?;
    let size = query.size.unwrap_or(now.size);
    let unknown = || Fault::new(FaultKind::NotFound, format!("the tree of {size} entries has no entry {}", query.seq));
    if size > now.size {
        return Err(Fault::new(FaultKind::NotFound, format!("the journal has {} entries, and not {size} yet", now.size)));
    }
    let index = query.seq.checked_sub(1).ok_or_else(unknown)?;
    let path = audit::inclusion_path(index, size).ok_or_else(unknown)?;
    let proof = path.into_iter().map(|range| root_of(reader, range).map(|root| Digest(root).hex())).collect::<Result<_, _>>()?;
    let entry = reader.entries(Seq(index), 1).map_err(Fault::internal)?.pop().ok_or_else(unknown)?;
    let root = if size == now.size { now.root } else { Digest(root_of(reader, 0..size)?).hex() };
    Ok(AuditProof { entry: view(entry), size, root, proof })
}

/// The root over a range of leaves, read in pieces.
fn root_of(reader: &Reader, range: std::ops::Range<u64>) -> Result<[u8; 32], Fault> {
    let mut frontier = audit::Frontier::new();
    let mut after = range.start;
    while after < range.end {
        let limit = usize::try_from(range.end - after).unwrap_or(BATCH).min(BATCH);
        let entries = reader.entries(Seq(after), limit).map_err(Fault::internal)?;
        let Some(last) = entries.last() else {
            return Err(Fault::internal(format!("the journal has no entry after {after}")));
        };
        after = last.seq.0;
        entries.iter().for_each(|entry| frontier.append(entry.leaf));
    }
    Ok(frontier.root())
}
