//! The account of the journal for people who do not trust the server: its entries with their hashes, and proofs from its tree.

use std::collections::BTreeSet;

use audit::EntryProof;
use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use bytes::Bytes;
use controlplane::{AUDIT_EXCEPTION, Fault, FaultKind, Proven, Sealed};
use engine::{Event, codec};
use journal::{EntryRow, Reader};
use model::limits::AUDIT_LEAVES_MAX;
use model::{Digest, Seq};
use serde::{Deserialize, Serialize};

use super::App;
use super::access::Caller;
use super::audit_views::{AuditBreak, AuditConsistency, AuditEntry, AuditHead, AuditProof, AuditStatus, AuditWitness};
use super::extract::{Json, Query};
use super::problem::{ApiResult, blocking};
use super::projection::rfc3339;

/// Entries read at a time.
const BATCH: usize = 1_000;

#[derive(Clone, Copy, Debug, Deserialize, utoipa::IntoParams)]
pub(crate) struct ExportQuery {
    /// Entries after this position; all when there is none.
    after: Option<u64>,
    /// Entries of the run with this number only. Such a part cannot be checked by itself: it wants a proof for each entry.
    run: Option<u64>,
    /// With `run`: also the entries by which rules changed.
    #[serde(default)]
    rules: bool,
}

impl ExportQuery {
    fn takes(&self, entry: &EntryRow) -> bool {
        let changes_rules = || match codec::decode(&entry.bytes) {
            Ok(Event::ResourceApplied(applied)) => controlplane::is_of_rules(&applied.kind),
            Ok(Event::ResourceDeleted(deleted)) => controlplane::is_of_rules(&deleted.kind),
            _ => false,
        };
        self.run.is_none_or(|run| run == entry.run.0 || self.rules && entry.run.0 == 0 && changes_rules())
    }
}

fn head(reader: &Reader) -> Result<AuditHead, Fault> {
    let tree = reader.tree().map_err(Fault::internal)?;
    Ok(AuditHead { size: tree.size(), root: Digest(tree.root()).hex(), ..AuditHead::default() })
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

/// A line of an export. Beside an entry stands what it names by its digest and whoever makes decisions again needs: the documents that rules are
/// made of, and of each workflow's graph the first time that a run has it. Values of users do not stand there.
#[derive(Serialize)]
struct Exported {
    #[serde(flatten)]
    entry: AuditEntry,
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<serde_json::Value>,
}

/// What stands beside an entry.
fn document(reader: &Reader, entry: &EntryRow, graphs: &mut BTreeSet<Digest>) -> std::io::Result<Option<serde_json::Value>> {
    let failed = std::io::Error::other::<journal::JournalError>;
    // What a later version wrote has nothing beside it here.
    match codec::decode(&entry.bytes) {
        Ok(Event::ResourceApplied(applied)) if controlplane::is_of_rules(&applied.kind) => {
            reader.body(entry.seq, 0).map_err(failed)
        }
        Ok(Event::RunSubmitted(submitted)) if graphs.insert(submitted.graph) => {
            let graph = reader.graph(&submitted.graph).map_err(failed)?;
            Ok(graph.map(|graph| serde_json::to_value(&*graph)).transpose()?)
        }
        _ => Ok(None),
    }
}

/// The journal's entries as lines of JSON: first the head of the tree, then one entry a line up to it. `document` beside an entry is what it names by its digest:
/// a document that rules are made of, or the graph of a workflow.
#[utoipa::path(get, path = "/api/v1/audit/export", operation_id = "exportAudit", tag = "audit", params(ExportQuery),
    responses((status = 200, description = "The entries.", body = String, content_type = "application/x-ndjson")))]
pub(crate) async fn export(State(app): State<App>, Query(query): Query<ExportQuery>) -> ApiResult<Response> {
    let reader = app.control.reader().clone();
    let control = app.control.clone();
    let head = blocking(move || {
        // The checkpoint first: the head is over no fewer entries.
        let audit = control.audit();
        let sealed = audit.witnessed().or_else(|| audit.checkpoint()).map(|sealed| sealed.note.to_string());
        let key = control.audit().key().map(|key| key.to_string());
        Ok(AuditHead { key, checkpoint: sealed, ..head(control.reader())? })
    });
    let head = head.await?;
    let end = head.size;
    let first = serde_json::to_string(&head).map_err(Fault::internal)? + "\n";
    let rest = futures::stream::unfold((query.after.unwrap_or(0), BTreeSet::new()), move |(after, mut graphs)| {
        let reader = reader.clone();
        async move {
            if after >= end {
                return None;
            }
            let limit = usize::try_from(end - after).unwrap_or(BATCH).min(BATCH);
            let read = tokio::task::spawn_blocking(move || {
                lines(&reader, after, limit, query, &mut graphs).map(|(bytes, last)| (bytes, last, graphs))
            });
            match read.await.map_err(std::io::Error::other).flatten() {
                Ok((_, last, _)) if last == after => None,
                Ok((bytes, last, graphs)) => Some((Ok(bytes), (last, graphs))),
                // The answer breaks off, so that nobody takes a part for the whole.
                Err(error) => Some((Err(error), (end, BTreeSet::new()))),
            }
        }
    });
    let first = futures::stream::once(async move { Ok::<Bytes, std::io::Error>(first.into()) });
    let body = Body::from_stream(futures::StreamExt::chain(first, rest));
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

fn lines(
    reader: &Reader,
    after: u64,
    limit: usize,
    query: ExportQuery,
    graphs: &mut BTreeSet<Digest>,
) -> std::io::Result<(Bytes, u64)> {
    let mut text = Vec::new();
    let mut last = after;
    for entry in reader.entries(Seq(after), limit).map_err(std::io::Error::other)? {
        last = entry.seq.0;
        if query.takes(&entry) {
            let document = document(reader, &entry, graphs)?;
            serde_json::to_writer(&mut text, &Exported { entry: view(entry), document })?;
            text.push(b'\n');
        }
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

fn hex(hashes: Vec<[u8; 32]>) -> Vec<String> {
    hashes.into_iter().map(|hash| Digest(hash).hex()).collect()
}

/// An entry with the proof that it is in the tree (RFC 6962, inclusion).
#[utoipa::path(get, path = "/api/v1/audit/proof", operation_id = "proveEntry", tag = "audit", params(ProofQuery),
    responses((status = 200, description = "The proof.", body = AuditProof)))]
pub(crate) async fn prove(State(app): State<App>, Query(query): Query<ProofQuery>) -> ApiResult<Json<AuditProof>> {
    let control = app.control.clone();
    let proven = blocking(move || {
        let size = query.size.map_or_else(|| head(control.reader()).map(|head| head.size), Ok)?;
        control.audit().inclusion(Seq(query.seq), size)
    });
    let Proven { entry, size, root, path } = proven.await?;
    Ok(Json(AuditProof { entry: view(entry), size, root: Digest(root).hex(), proof: hex(path) }))
}

/// The proof of an entry as a file that needs no server (c2sp.org/tlog-proof): the entry, the hashes, and the last signed checkpoint.
#[utoipa::path(get, path = "/api/v1/audit/tlog-proof", operation_id = "proveEntryByFile", tag = "audit", params(TlogProofQuery),
    responses((status = 200, description = "The file.", body = String, content_type = "text/plain")))]
pub(crate) async fn tlog_proof(State(app): State<App>, Query(query): Query<TlogProofQuery>) -> ApiResult<Response> {
    let control = app.control.clone();
    let sealed = chosen(&app, query.witnessed)?;
    let file = blocking(move || {
        let size = sealed.checkpoint.size;
        if query.seq > size {
            let detail = format!("the last checkpoint is over {size} entries, and entry {} is not among them", query.seq);
            return Err(Fault::new(FaultKind::NotFound, detail).hint("a checkpoint follows a commit within seconds; try again"));
        }
        let proven = control.audit().inclusion(Seq(query.seq), size)?;
        let leaf = Some(EntryProof::leaf_of(proven.entry.at.0, &proven.entry.bytes));
        let proof = EntryProof { leaf, index: query.seq - 1, path: proven.path, note: sealed.note.clone() };
        Ok(proof.to_string())
    });
    Ok(text(file.await?))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
pub(crate) struct TlogProofQuery {
    /// The position of the entry.
    seq: u64,
    /// Under the last checkpoint that a quorum of the witnesses signed.
    #[serde(default)]
    witnessed: bool,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
pub(crate) struct ConsistencyQuery {
    /// Entries of the earlier tree.
    old: u64,
    /// Entries of the later tree; the present one when there is none.
    new: Option<u64>,
}

/// The proof that an earlier tree is the beginning of a later one (RFC 6962, consistency).
#[utoipa::path(get, path = "/api/v1/audit/consistency", operation_id = "proveConsistency", tag = "audit", params(ConsistencyQuery),
    responses((status = 200, description = "The proof.", body = AuditConsistency)))]
pub(crate) async fn consistency(
    State(app): State<App>,
    Query(query): Query<ConsistencyQuery>,
) -> ApiResult<Json<AuditConsistency>> {
    let control = app.control.clone();
    let answer = blocking(move || {
        let new = query.new.map_or_else(|| head(control.reader()).map(|head| head.size), Ok)?;
        let audit = control.audit();
        Ok(AuditConsistency {
            old: query.old,
            new,
            proof: hex(audit.consistency(query.old, new)?),
            old_root: Digest(audit.root_at(query.old)?).hex(),
            new_root: Digest(audit.root_at(new)?).hex(),
        })
    });
    Ok(Json(answer.await?))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
pub(crate) struct LeavesQuery {
    /// The first leaf, from 0.
    from: u64,
    /// How many, at most 10,000; fewer come at the end of the tree.
    limit: Option<u64>,
}

/// The hashes of leaves: 32 bytes each, one after the other.
#[utoipa::path(get, path = "/api/v1/audit/leaves", operation_id = "listLeaves", tag = "audit", params(LeavesQuery),
    responses((status = 200, description = "The hashes.", body = Vec<u8>, content_type = "application/octet-stream")))]
pub(crate) async fn leaves(State(app): State<App>, Query(query): Query<LeavesQuery>) -> ApiResult<Response> {
    let control = app.control.clone();
    let bytes = blocking(move || {
        let size = head(control.reader())?.size;
        let limit = query.limit.unwrap_or(AUDIT_LEAVES_MAX).min(AUDIT_LEAVES_MAX);
        let from = query.from.min(size);
        let hashes = control.audit().leaves(from..from.saturating_add(limit).min(size))?;
        Ok(Bytes::from(hashes.concat()))
    });
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], bytes.await?).into_response())
}

fn no_checkpoint() -> Fault {
    Fault::new(FaultKind::NotFound, "there is no checkpoint yet").hint("the first follows the first commit within seconds")
}

fn text(text: String) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}

/// The last checkpoint: origin, size and root of the tree, signed (c2sp.org/tlog-checkpoint).
#[utoipa::path(get, path = "/api/v1/audit/checkpoint", operation_id = "getCheckpoint", tag = "audit", params(CheckpointQuery),
    responses((status = 200, description = "A signed note.", body = String, content_type = "text/plain")))]
pub(crate) async fn checkpoint(State(app): State<App>, Query(query): Query<CheckpointQuery>) -> ApiResult<Response> {
    Ok(text(chosen(&app, query.witnessed)?.note.to_string()))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
pub(crate) struct CheckpointQuery {
    /// The last that a quorum of the witnesses signed, with their signatures.
    #[serde(default)]
    witnessed: bool,
}

fn chosen(app: &App, witnessed: bool) -> Result<std::sync::Arc<Sealed>, Fault> {
    let audit = app.control.audit();
    match witnessed {
        false => audit.checkpoint().ok_or_else(no_checkpoint),
        true => audit.witnessed().ok_or_else(|| {
            let fault = Fault::new(FaultKind::NotFound, "no quorum of witnesses has signed a checkpoint yet");
            fault.hint("`tutti audit status` says how the witnesses are")
        }),
    }
}

/// How the audit log is: its key, its last checkpoint, and whether dispatch is stopped.
#[utoipa::path(get, path = "/api/v1/audit/status", operation_id = "getAuditStatus", tag = "audit",
    responses((status = 200, description = "The status.", body = AuditStatus)))]
pub(crate) async fn status(State(app): State<App>) -> ApiResult<Json<AuditStatus>> {
    let control = app.control.clone();
    let read = blocking(move || Ok((head(control.reader())?.size, accepted(control.reader())?)));
    let (entries, accepted) = read.await?;
    let audit = app.control.audit();
    let head = |sealed: std::sync::Arc<Sealed>| AuditHead {
        size: sealed.checkpoint.size,
        root: Digest(sealed.checkpoint.root).hex(),
        ..AuditHead::default()
    };
    let witnesses = audit.witnesses().into_iter();
    let witnesses = witnesses.map(|(name, state)| AuditWitness { name, size: state.size, trouble: state.trouble });
    let key = audit.key();
    Ok(Json(AuditStatus {
        entries,
        origin: key.as_ref().map(|key| key.name().to_owned()),
        key: key.as_ref().map(ToString::to_string),
        key_id: key.as_ref().map(audit::PublicKey::id_hex),
        sealed: audit.checkpoint().map(head),
        witnessed: audit.witnessed().map(head),
        witnesses: witnesses.collect(),
        halted: audit.halted(),
        accepted,
    }))
}

fn accepted(reader: &Reader) -> Result<Vec<AuditBreak>, Fault> {
    let rows = reader.resources(AUDIT_EXCEPTION, None, None).map_err(Fault::internal)?;
    let text = |row: &journal::ResourceRow, key: &str| row.body[key].as_str().unwrap_or_default().to_owned();
    let view = |row: journal::ResourceRow| AuditBreak {
        at: rfc3339(row.at),
        broken: text(&row, "broken"),
        reason: text(&row, "reason"),
        checkpoint: text(&row, "checkpoint"),
        principal: row.principal,
    };
    Ok(rows.into_iter().map(view).collect())
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AcceptRequest {
    /// Why it is right to go on. It is recorded with the name of who says so.
    reason: String,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct AcceptAnswer {
    /// What was accepted.
    broken: String,
}

/// Goes on although the audit log contradicts what was signed before: dispatch was stopped for it.
#[utoipa::path(post, path = "/api/v1/audit/accept", operation_id = "acceptAuditBreak", tag = "audit", request_body = AcceptRequest,
    responses((status = 200, description = "Dispatch goes on.", body = AcceptAnswer)))]
pub(crate) async fn accept(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Json(request): Json<AcceptRequest>,
) -> ApiResult<Json<AcceptAnswer>> {
    Ok(Json(AcceptAnswer { broken: app.control.accept_break(&request.reason, &caller.principal).await? }))
}
