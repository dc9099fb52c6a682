//! What can be run, for people who look for it: registered workflows with who began them and what the rules say of them, and deployed tasks.

use std::collections::{BTreeMap, BTreeSet};

use axum::extract::State;
use controlplane::{Certification, FLYTE_TASKS, Fault};
use journal::RunFilter;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::App;
use super::extract::{Listed, Query, page_size};
use super::problem::{ApiResult, blocking};
use super::projection::{rfc3339, run_view};

/// Rows of a page when nothing is said, and at most. Each is looked at by the rules.
const PAGE: usize = 200;
const PAGE_MAX: usize = 1_000;
/// Runs that are marked beside each other when nothing is said, and at most.
const MARKS: usize = 20;
const MARKS_MAX: usize = 50;

/// A registered workflow, as a list shows it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct WorkflowView {
    /// Its name.
    pub name: String,
    /// Its latest version.
    pub version: u64,
    /// When that was applied (RFC 3339).
    pub applied_at: String,
    /// Who applied it.
    pub by: String,
    /// Who applied its first version.
    pub owner: String,
    /// Its flow certificate.
    pub certificate: CertificateState,
}

/// How a workflow stands with the rules in force at the sites of now.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct CertificateState {
    /// Whether there are rules: without any, nothing is certified and nothing refused.
    pub governed: bool,
    /// The domains in which every step of it has a place.
    pub domains: Vec<String>,
    /// Why it has no certificate in the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// The latest version of a task that a Flyte program deployed.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct TaskView {
    /// Its name, which a `task` node says.
    pub name: String,
    /// Its project.
    pub project: String,
    /// Its domain.
    pub domain: String,
    /// The version that was deployed last.
    pub version: String,
    /// How many versions there are.
    pub versions: u64,
    /// The environment that it belongs to.
    pub environment: String,
    /// When it was deployed (RFC 3339).
    pub deployed_at: String,
    /// Who deployed it.
    pub by: String,
    /// Who deployed the first version that there is.
    pub owner: String,
    /// What it takes: a JSON Schema.
    pub inputs: Value,
    /// What it gives: a JSON Schema.
    pub outputs: Value,
}

/// The latest runs of a workflow or of a task.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct LatestRunsView {
    /// The workflow; of a task its project and its name.
    pub workflow: String,
    /// Its runs, the newest first.
    pub runs: Vec<RunMark>,
}

/// A run as a mark beside others.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct RunMark {
    /// Its name.
    pub name: String,
    /// Its number.
    pub number: u64,
    /// Its domain.
    pub domain: String,
    /// How it stands.
    pub phase: String,
    /// How long it has taken.
    pub seconds: f64,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct LatestQuery {
    /// Runs of each: 20 when nothing is said, at most 50.
    #[param(minimum = 1, maximum = 50)]
    limit: Option<usize>,
    /// The cursor of the next page, from the header `Link` of the page before.
    cursor: Option<String>,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageQuery {
    /// `next` of the page before.
    cursor: Option<String>,
    /// Rows of the page: 200 when nothing is said, at most 1,000.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// Lists the registered workflows by name: who began each, and in which domains the rules have a place for every step of it.
#[utoipa::path(get, path = "/api/v1/workflows", operation_id = "listWorkflows", tag = "resources", params(PageQuery),
    responses((status = 200, description = "A page of workflows.", body = Vec<WorkflowView>)))]
pub(crate) async fn workflows(State(app): State<App>, Query(query): Query<PageQuery>) -> ApiResult<Listed<WorkflowView>> {
    let limit = page_size(query.limit, PAGE, PAGE_MAX)?;
    let control = app.control.clone();
    let items = blocking(move || {
        let rows = control.reader().resources("workflow", None, None).map_err(Fault::internal)?;
        let after = |row: &journal::ResourceRow| query.cursor.as_ref().is_none_or(|cursor| row.name > *cursor);
        let rows: Vec<journal::ResourceRow> = rows.into_iter().filter(after).take(limit).collect();
        let mut owners = control.reader().first_applied_by("workflow").map_err(Fault::internal)?;
        let names: Vec<String> = rows.iter().map(|row| row.name.clone()).collect();
        let found = control.certifications(&names)?;
        let view = |(row, certification): (journal::ResourceRow, Option<Certification>)| {
            let Certification { domains, refused } = certification.unwrap_or_default();
            let domains = domains.into_iter().map(str::to_owned).collect();
            WorkflowView {
                owner: owners.remove(&row.name).unwrap_or_else(|| row.principal.clone()),
                name: row.name,
                version: row.version,
                applied_at: rfc3339(row.at),
                by: row.principal,
                certificate: CertificateState { governed: found.governed, domains, refused },
            }
        };
        Ok(rows.into_iter().zip(found.of).map(view).collect::<Vec<_>>())
    });
    let items = items.await?;
    let next = items.last().filter(|_| items.len() == limit).map(|last| last.name.clone());
    Ok(Listed { items, next, limit })
}

/// Lists the tasks that Flyte programs deployed, the latest version of each, with what it takes and gives.
#[utoipa::path(get, path = "/api/v1/tasks", operation_id = "listTasks", tag = "resources", params(PageQuery),
    responses((status = 200, description = "A page of tasks.", body = Vec<TaskView>)))]
pub(crate) async fn tasks(State(app): State<App>, Query(query): Query<PageQuery>) -> ApiResult<Listed<TaskView>> {
    let limit = page_size(query.limit, PAGE, PAGE_MAX)?;
    let reader = app.control.reader().clone();
    let rows = blocking(move || reader.resources(FLYTE_TASKS, None, None).map_err(Fault::internal)).await?;
    let mut found: BTreeMap<String, Vec<journal::ResourceRow>> = BTreeMap::new();
    for row in rows {
        found.entry(key_of(&row)).or_default().push(row);
    }
    let after = |(key, _): &(String, Vec<journal::ResourceRow>)| query.cursor.as_ref().is_none_or(|cursor| key > cursor);
    let page: Vec<(String, Vec<journal::ResourceRow>)> = found.into_iter().filter(after).take(limit).collect();
    let next = page.last().filter(|_| page.len() == limit).map(|(key, _)| key.clone());
    Ok(Listed { items: page.into_iter().filter_map(|(_, versions)| task(versions)).collect(), next, limit })
}

/// The latest runs of each registered workflow and deployed task that has any, by name: a page looks at a thousand of them.
#[utoipa::path(get, path = "/api/v1/runs:latest", operation_id = "latestRuns", tag = "runs", params(LatestQuery),
    responses((status = 200, description = "The latest runs of each.", body = Vec<LatestRunsView>)))]
pub(crate) async fn latest(State(app): State<App>, Query(query): Query<LatestQuery>) -> ApiResult<Listed<LatestRunsView>> {
    let limit = page_size(query.limit, MARKS, MARKS_MAX)?;
    let reader = app.control.reader().clone();
    let found = blocking(move || {
        // Names alone are read: the documents of all of them would be much for a list that is asked for often.
        let named = |kind: &str| reader.first_applied_by(kind).map_err(Fault::internal).map(BTreeMap::into_keys);
        let mut names: BTreeSet<String> = named("workflow")?.collect();
        names.extend(named(FLYTE_TASKS)?.filter_map(|name| workflow_of_task(&name)));
        let after = |name: &String| query.cursor.as_ref().is_none_or(|cursor| name > cursor);
        let names: Vec<String> = names.into_iter().filter(after).take(PAGE_MAX).collect();
        let next = names.last().filter(|_| names.len() == PAGE_MAX).cloned();
        let mut found = Vec::new();
        for workflow in names {
            let filter = RunFilter { workflow: Some(workflow.clone()), limit, ..RunFilter::default() };
            let runs: Vec<RunMark> = reader.runs(&filter).map_err(Fault::internal)?.iter().map(mark).collect();
            if !runs.is_empty() {
                found.push(LatestRunsView { workflow, runs });
            }
        }
        Ok(Listed { items: found, next, limit })
    });
    found.await
}

/// What the runs of a task are runs of, by the name under which one of its versions is kept.
fn workflow_of_task(kept: &str) -> Option<String> {
    let mut parts = kept.splitn(3, '/');
    let (project, _domain, rest) = (parts.next()?, parts.next()?, parts.next()?);
    Some(format!("{project}/{}", rest.rsplit_once('@')?.0))
}

fn mark(row: &journal::RunRow) -> RunMark {
    let view = run_view(row);
    RunMark { name: view.name, number: view.number, domain: view.domain, phase: view.phase, seconds: view.seconds }
}

fn text(row: &journal::ResourceRow, key: &str) -> String {
    row.body.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// What the versions of a task have in common: its name first, since the list is read by name.
fn key_of(row: &journal::ResourceRow) -> String {
    format!("{} {} {}", text(row, "name"), text(row, "project"), text(row, "domain"))
}

fn task(mut versions: Vec<journal::ResourceRow>) -> Option<TaskView> {
    versions.sort_by_key(|row| row.at);
    let owner = versions.first()?.principal.clone();
    let count = versions.iter().map(|row| text(row, "version")).collect::<BTreeSet<_>>().len() as u64;
    let row = versions.pop()?;
    let part = |key: &str| row.body.get(key).cloned().unwrap_or_default();
    Some(TaskView {
        name: text(&row, "name"),
        project: text(&row, "project"),
        domain: text(&row, "domain"),
        version: text(&row, "version"),
        versions: count,
        environment: text(&row, "environment"),
        deployed_at: rfc3339(row.at),
        inputs: part("inputs"),
        outputs: part("outputs"),
        by: row.principal.clone(),
        owner,
    })
}
