//! What is stored, and for whom: bytes of everything that grows, and the projects.

use axum::extract::State;
use controlplane::Fault;
use serde::Serialize;
use utoipa::ToSchema;

use super::App;
use super::extract::Json;
use super::problem::{ApiResult, blocking};
use super::projection::rfc3339;

/// What is stored.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StorageView {
    /// The data directory.
    data: String,
    /// Entries of the journal.
    entries: u64,
    /// Their bytes. They are kept for ever: the log is verified by them.
    entries_bytes: u64,
    /// Bytes of the values beside them: what pruning destroys.
    values_bytes: u64,
    /// Bytes of the database with everything that is read from the entries.
    database_bytes: u64,
    /// Files by site.
    stores: Vec<StoreView>,
    /// Runs that have not ended.
    open_runs: u64,
    /// All runs.
    runs: u64,
}

/// The files at a site.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StoreView {
    /// The site.
    site: String,
    /// Files.
    files: u64,
    /// Their bytes.
    bytes: u64,
}

/// What is stored, by what it is, in bytes.
#[utoipa::path(get, path = "/api/v1/storage", operation_id = "getStorage", tag = "system",
    responses((status = 200, description = "What is stored.", body = StorageView)))]
pub(crate) async fn storage(State(app): State<App>) -> ApiResult<Json<StorageView>> {
    let view = blocking(move || {
        let reader = app.control.reader();
        let (entries_bytes, values_bytes, database_bytes) = reader.bytes().map_err(Fault::internal)?;
        let stats = reader.stats().map_err(Fault::internal)?;
        let sites = app.control.sites();
        let mut stores = Vec::new();
        for site in sites.names() {
            if let Some(store) = sites.store(&site) {
                let usage = store.usage().map_err(Fault::internal)?;
                stores.push(StoreView { site, files: usage.objects, bytes: usage.bytes });
            }
        }
        Ok(StorageView {
            data: app.control.data().display().to_string(),
            entries: stats.entries,
            entries_bytes,
            values_bytes,
            database_bytes,
            stores,
            open_runs: stats.open_runs,
            runs: stats.runs,
        })
    });
    Ok(Json(view.await?))
}

/// A project.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProjectUseView {
    /// Its name.
    name: String,
    /// Its registered workflows.
    workflows: u64,
    /// Its runs.
    runs: u64,
    /// Those that have not ended.
    open: u64,
    /// What they cost.
    cost: f64,
    /// When its last run was submitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<String>,
}

/// The projects: everything before the `/` of a workflow's name, with what ran there.
#[utoipa::path(get, path = "/api/v1/storage/projects", operation_id = "listProjectUse", tag = "system",
    responses((status = 200, description = "All projects.", body = Vec<ProjectUseView>)))]
pub(crate) async fn projects(State(app): State<App>) -> ApiResult<Json<Vec<ProjectUseView>>> {
    let view = blocking(move || {
        let reader = app.control.reader();
        let mut workflows: std::collections::BTreeMap<String, u64> = Default::default();
        for row in reader.resources("workflow", None, None).map_err(Fault::internal)? {
            let project = row.name.split_once('/').map_or("default", |(project, _)| project).to_owned();
            *workflows.entry(project).or_default() += 1;
        }
        let mut projects: Vec<ProjectUseView> = Vec::new();
        for row in reader.projects().map_err(Fault::internal)? {
            let known = workflows.remove(&row.name).unwrap_or(0);
            let last = Some(rfc3339(row.last));
            projects.push(ProjectUseView {
                name: row.name,
                workflows: known,
                runs: row.runs,
                open: row.open,
                cost: row.cost.units(),
                last,
            });
        }
        let idle = |(name, workflows)| ProjectUseView { name, workflows, runs: 0, open: 0, cost: 0.0, last: None };
        projects.extend(workflows.into_iter().map(idle));
        projects.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(projects)
    });
    Ok(Json(view.await?))
}
