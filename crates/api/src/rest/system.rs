//! The server about itself.

use std::collections::BTreeMap;

use axum::extract::{Extension, State};
use axum::http::{Method, Uri, header};
use axum::response::{IntoResponse, Response};
use controlplane::{Fault, FaultKind};
use model::{Duration, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::App;
use super::access::Caller;
use super::extract::{Json, Path, Query};
use super::problem::{ApiError, ApiResult, blocking};

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// `ok`.
    status: &'static str,
    /// The version of the server.
    version: &'static str,
    /// The position of the last entry of the journal.
    seq: u64,
}

/// Whether the server works: its journal can be read.
#[utoipa::path(get, path = "/healthz", operation_id = "getHealth", tag = "system", responses((status = 200, description = "It works.", body = Health)))]
pub(crate) async fn healthz(State(app): State<App>) -> ApiResult<Json<Health>> {
    let reader = app.control.reader().clone();
    let (_, seq, _) = blocking(move || reader.last().map_err(Fault::internal)).await?;
    Ok(Json(Health { status: "ok", version: env!("CARGO_PKG_VERSION"), seq: seq.0 }))
}

/// The pages of errors, so that the `type` of a problem leads somewhere on every server.
macro_rules! pages {
    ($($code:literal)*) => {
        &[$(($code, include_str!(concat!("../../../../docs/errors/", $code, ".md")))),*]
    };
}

const PAGES: &[(&str, &str)] = pages!(
    "E0001" "E0002" "E0003" "E0004" "E0005" "E0006" "E0007" "E0008" "E0009" "E0010" "E0011" "E0012" "E0013" "E0014" "E0015" "E0016"
    "E0017" "E0018" "E0019" "E0020" "E0021" "E0022" "E0023" "E0024" "E0025" "E0026" "E0027" "E0028" "E0029" "E0030" "E0031" "E0032" "E0033" "E0034" "E0035" "E0036"
    "E0040" "E0041"
    "W0001" "W0002" "W0003" "W0004" "W0005" "W0101" "W0102" "W0103" "W0104" "W0105" "W0106" "W0107" "W0201" "W0202" "W0203" "W0204"
    "W0205" "W0206" "W0207" "W0208" "W0301" "W0302" "W0303" "W0304" "W0305" "W0306" "W0307" "W0501" "W0502" "W0503" "W0504" "W0601" "W0602" "W0701"
);

/// The page of an error code: what it means, what to do.
#[utoipa::path(get, path = "/docs/errors/{code}", operation_id = "getErrorPage", tag = "system",
    responses((status = 200, description = "A page of Markdown.", body = String, content_type = "text/markdown")))]
pub(crate) async fn error_page(Path(code): Path<String>) -> ApiResult<Response> {
    let page = PAGES.iter().find(|(known, _)| *known == code).map(|(_, page)| *page);
    let page = page.ok_or_else(|| ApiError(Fault::new(FaultKind::NotFound, format!("there is no error `{code}`"))))?;
    Ok(([(header::CONTENT_TYPE, "text/markdown; charset=utf-8")], page).into_response())
}

/// The JSON Schema of the workflow language, for editors.
#[utoipa::path(get, path = "/api/v1/schemas/workflow", operation_id = "getWorkflowSchema", tag = "system",
    responses((status = 200, description = "A JSON Schema, 2020-12.", body = serde_json::Value, content_type = "application/schema+json")))]
pub(crate) async fn workflow_schema() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/schema+json")], workflow::schema::TEXT)
}

/// Anything else.
pub(crate) async fn not_found(uri: Uri) -> ApiError {
    ApiError(
        Fault::new(FaultKind::NotFound, format!("there is nothing at `{}`", uri.path()))
            .hint("/api/v1/openapi.json describes what there is"),
    )
}

/// Another method.
pub(crate) async fn method_not_allowed(method: Method, uri: Uri) -> ApiError {
    ApiError(Fault::new(FaultKind::MethodNotAllowed, format!("`{}` does not take {method}", uri.path())))
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Verification {
    /// Entries looked at.
    entries: u64,
    /// Values looked at.
    bodies: u64,
    /// Values that were pruned: an entry of the journal says so, and their commitments are still there.
    pruned: u64,
    /// Values that were erased: an entry of the journal says so, and their key is destroyed.
    erased: u64,
    /// Values that are sealed and were not looked at.
    sealed: u64,
    /// The root of the Merkle tree, in hexadecimal digits.
    root: String,
    /// Whether nothing is wrong.
    holds: bool,
    /// How many things are wrong.
    problems_total: u64,
    /// The first of them.
    #[schema(value_type = Vec<Object>)]
    problems: Vec<journal::Problem>,
    /// Levels 3 and 4: every decision of the rules made again, and every label and ticket computed again. None when it was not asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object, required = false)]
    derived: Option<controlplane::Rederived>,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct VerifyQuery {
    /// How far to look: 2 for hashes, the tree and the order of entries; 4, which is usual, for decisions, labels and tickets too.
    levels: Option<u8>,
}

/// Computes every hash of the journal again and compares.
#[utoipa::path(get, path = "/api/v1/audit/verify", operation_id = "verifyJournal", tag = "audit",
    params(VerifyQuery), responses((status = 200, description = "What was found.", body = Verification)))]
pub(crate) async fn verify(State(app): State<App>, Query(query): Query<VerifyQuery>) -> ApiResult<Json<Verification>> {
    let control = app.control.clone();
    let (report, derived) = blocking(move || {
        let report = journal::verify(control.reader()).map_err(Fault::internal)?;
        let derived = (query.levels.unwrap_or(4) > 2).then(|| control.rederive()).transpose()?;
        Ok((report, derived))
    })
    .await?;
    let journal::Report { entries, bodies, pruned, erased, sealed, root, holds, problems_total, problems } = report;
    let holds = holds && derived.as_ref().is_none_or(controlplane::Rederived::holds);
    Ok(Json(Verification { entries, bodies, pruned, erased, sealed, root, holds, problems_total, problems, derived }))
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BackupRequest {
    /// A directory of the server's machine that does not exist yet, as an absolute path.
    to: String,
    /// Leave the keys out: nobody can read what is sealed in it without them.
    #[serde(default)]
    without_keys: bool,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BackupAnswer {
    /// Where the backup lies.
    backup: String,
    /// What it holds: entries and root of the journal, files and their bytes, the version that made it.
    #[schema(value_type = Object)]
    summary: controlplane::BackupSummary,
}

/// Copies journal and artifacts to a new directory while the server runs.
#[utoipa::path(post, path = "/api/v1/backup", operation_id = "backUp", tag = "system", request_body = BackupRequest,
    responses((status = 200, description = "It is there.", body = BackupAnswer)))]
pub(crate) async fn backup(State(app): State<App>, Json(request): Json<BackupRequest>) -> ApiResult<Json<BackupAnswer>> {
    let to = std::path::PathBuf::from(&request.to);
    if !to.is_absolute() {
        return Err(ApiError(Fault::new(FaultKind::Malformed, format!("`{}` is not an absolute path", request.to))));
    }
    let inside = std::path::absolute(app.control.data()).is_ok_and(|data| to.starts_with(data));
    if inside {
        return Err(ApiError(Fault::new(FaultKind::Malformed, "a backup cannot lie in the data directory itself")));
    }
    if tokio::fs::try_exists(&to).await.unwrap_or(true) {
        return Err(ApiError(Fault::new(
            FaultKind::Conflict,
            format!("`{}` is there already; a backup makes a new directory", request.to),
        )));
    }
    let summary = app.control.backup(to, request.without_keys).await?;
    Ok(Json(BackupAnswer { backup: request.to, summary }))
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PruneRequest {
    /// Runs that ended so long ago: `30d`. Either this or `by_tags`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    older_than: Option<String>,
    /// Erase the runs that carry a tag and ended longer ago than its `retention`, with their artifacts.
    #[serde(default)]
    by_tags: bool,
    /// Say what would go, and destroy nothing.
    #[serde(default)]
    dry_run: bool,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SweepRequest {
    /// Say what would happen, and change nothing.
    #[serde(default)]
    dry_run: bool,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SweepAnswer {
    /// Artifacts that nothing refers to any more, set aside.
    set_aside: u64,
    /// Artifacts that lay aside and are referred to again, put back.
    restored: u64,
    /// Artifacts that had lain aside for a day, removed.
    removed: u64,
    /// Bytes of those.
    bytes: u64,
}

/// Takes artifacts out of the stores of sites that nothing refers to any more. The server does so by itself every six hours.
#[utoipa::path(post, path = "/api/v1/sweep", operation_id = "sweep", tag = "system", request_body = SweepRequest,
    responses((status = 200, description = "What was done, or would be.", body = SweepAnswer)))]
pub(crate) async fn sweep(State(app): State<App>, Json(request): Json<SweepRequest>) -> ApiResult<Json<SweepAnswer>> {
    let swept = app.control.sweep_artifacts(request.dry_run).await?;
    Ok(Json(SweepAnswer { set_aside: swept.set_aside, restored: swept.restored, removed: swept.removed, bytes: swept.bytes }))
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PruneAnswer {
    /// Runs concerned.
    runs: u64,
    /// Values destroyed.
    bodies: u64,
    /// Their bytes, when they were counted.
    bytes: u64,
    /// With `by_tags`: for which tags, and of how many runs.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tags: BTreeMap<String, u64>,
}

/// Destroys the values of runs that ended long ago, or longer ago than a tag of theirs permits. Facts and hashes stay.
#[utoipa::path(post, path = "/api/v1/prune", operation_id = "prune", tag = "system", request_body = PruneRequest,
    responses((status = 200, description = "What went, or would go.", body = PruneAnswer)))]
pub(crate) async fn prune(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Json(request): Json<PruneRequest>,
) -> ApiResult<Json<PruneAnswer>> {
    let malformed = |message: String| Fault::new(FaultKind::Malformed, message);
    let age = match (request.older_than, request.by_tags) {
        (Some(age), false) => age,
        (None, true) => {
            let (overdue, erased) = app.control.erase_overdue(request.dry_run, &caller.principal).await?;
            let mut tags: BTreeMap<String, u64> = BTreeMap::new();
            overdue.iter().for_each(|one| *tags.entry(one.tag.clone()).or_default() += 1);
            return Ok(Json(PruneAnswer { runs: overdue.len() as u64, bodies: erased.bodies, bytes: 0, tags }));
        }
        _ => return Err(malformed("give either `older_than` or `by_tags`".into()).into()),
    };
    let age: Duration = age.parse().map_err(|error| malformed(format!("{error}")))?;
    let before = Timestamp(controlplane::wall().0.saturating_sub(age.0));
    let pruned = app.control.prune(before, request.dry_run, &caller.principal).await?;
    Ok(Json(PruneAnswer { runs: pruned.runs, bodies: pruned.bodies, bytes: pruned.bytes, tags: BTreeMap::new() }))
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EraseRequest {
    /// Runs, by name or number. They must have ended.
    #[serde(default)]
    runs: Vec<String>,
    /// Every run about this subject.
    #[serde(default)]
    subject: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EraseAnswer {
    /// The runs that are erased now.
    runs: Vec<u64>,
    /// Values destroyed.
    bodies: u64,
    /// Artifacts that nobody else holds, and that are destroyed.
    artifacts: u64,
    /// Artifacts of theirs that somebody brought once more, and that no run has taken yet. They stay until one does, or a sweep removes them with their keys.
    brought: u64,
    /// Triggers that give something of what these runs were given to their runs to come. It stays until they are removed.
    triggers: Vec<String>,
    /// Workflows whose latest version names something of what these runs were given, such as the default of an input. It stays until a version
    /// that names it no more.
    workflows: Vec<String>,
}

/// Destroys the keys of runs, and with them their values and the artifacts that no other run holds. Facts and hashes stay, and the log still
/// verifies.
#[utoipa::path(post, path = "/api/v1/erase", operation_id = "erase", tag = "keys", request_body = EraseRequest,
    responses((status = 200, description = "They are gone.", body = EraseAnswer)))]
pub(crate) async fn erase(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Json(request): Json<EraseRequest>,
) -> ApiResult<Json<EraseAnswer>> {
    let erased = app.control.erase(&request.runs, request.subject.as_deref(), &caller.principal).await?;
    let controlplane::Erased { runs, bodies, artifacts, brought, triggers, workflows } = erased;
    let runs = runs.iter().map(|run| run.0).collect();
    Ok(Json(EraseAnswer { runs, bodies, artifacts, brought, triggers, workflows }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_page_here() {
        for kind in FaultKind::ALL {
            let page = PAGES.iter().find(|(code, _)| *code == kind.code()).unwrap().1;
            assert_eq!(page.lines().next(), Some(format!("# {}: {}", kind.code(), kind.title()).as_str()));
            let status = format!("HTTP status {}", kind.status());
            let startup = matches!(
                kind,
                FaultKind::DataDirectoryInUse
                    | FaultKind::DataDirectory
                    | FaultKind::Exposed
                    | FaultKind::Listen
                    | FaultKind::Keys
                    // Told by the command line, and by no server.
                    | FaultKind::Unreachable
                    | FaultKind::Untrusted
                    | FaultKind::Usage
                    | FaultKind::File
                    | FaultKind::Configuration
                    | FaultKind::Answer
                    | FaultKind::NoSolver
            );
            assert!(startup || page.contains(&status), "{}", kind.code());
        }
    }
}
