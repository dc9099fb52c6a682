//! Where artifacts come from, and steps that are tested by themselves.

use std::collections::BTreeMap;

use axum::extract::{Extension, State};
use axum::http::StatusCode;
use controlplane::{ArtifactOrigin, Fault, FaultKind, StepTest};
use model::{ArtifactRef, Digest, Label, Seq};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::access::Caller;
use super::extract::{Json, Listed, Path, Query, page_size};
use super::problem::{ApiResult, blocking};
use super::projection::rfc3339;
use super::views::RunView;
use super::{App, permission};

/// Rows of a page when nothing is said, and at most.
const PAGE: usize = 100;
const PAGE_MAX: usize = 1_000;

/// An artifact, and where it came to be.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct ArtifactOriginView {
    /// Its digest.
    pub digest: String,
    /// Its name; none when the value that named it is not kept any more, or may not be seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// file, directory, table or model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Its bytes.
    pub size: u64,
    /// What it carries.
    pub label: Vec<String>,
    /// The run.
    pub run: String,
    /// Its workflow.
    pub workflow: String,
    /// The action that made it; none when the run was given it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// When the run was submitted.
    pub at: String,
    /// The entry that says so.
    pub entry: u64,
    /// Sites that have a copy.
    pub sites: Vec<String>,
}

/// A content that an artifact had from a run on.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct VersionView {
    /// Its number, from 1 on; none when earlier runs were not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// What it is, and the run in which it came to be first.
    #[serde(flatten)]
    pub origin: ArtifactOriginView,
}

/// The versions of an artifact.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct VersionsView {
    /// The name; none when it may not be seen, or the value that named it is not kept any more. Then there are no versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The workflow whose runs have them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<String>,
    /// The step that gives them; none when runs are given them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// The latest first.
    pub versions: Vec<VersionView>,
    /// Whether there are earlier runs than were looked at.
    pub more: bool,
}

/// An artifact that another was made from.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct IngredientView {
    /// Its digest.
    digest: String,
    /// Its name.
    name: String,
    /// Its kind.
    kind: String,
    /// Its bytes.
    size: u64,
}

/// An action that read an artifact.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReaderView {
    /// The run.
    run: String,
    /// The action.
    action: String,
}

/// Where an artifact comes from, and what became of it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LineageView {
    /// Its digest.
    digest: String,
    /// Where it came to be, the first time first. Runs that were given it are among them.
    origins: Vec<ArtifactOriginView>,
    /// What it was made from.
    from: Vec<IngredientView>,
    /// Who read it.
    used: Vec<ReaderView>,
    /// Whether there were more actions than are looked at.
    more: bool,
    /// What it carries.
    label: Vec<String>,
    /// How each tag came to it: from where it was said, to the action that made it.
    trails: BTreeMap<String, Vec<String>>,
    /// Sites that have a copy.
    sites: Vec<String>,
}

fn tags(label: Label) -> Vec<String> {
    label.0.into_iter().collect()
}

fn word(value: &impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

/// Names are values: they are shown to those who may see these.
fn origin_view(app: &App, caller: &Caller, origin: ArtifactOrigin) -> Result<ArtifactOriginView, Fault> {
    let hidden = super::sight::withheld(app, caller, &origin.run, origin.path.as_deref())?.is_some();
    let known = origin.artifact.filter(|_| !hidden);
    Ok(ArtifactOriginView {
        digest: origin.row.artifact.to_string(),
        name: known.as_ref().map(|one| one.name.clone()),
        kind: known.as_ref().map(|one| word(&one.kind)),
        size: origin.row.size,
        label: tags(origin.label),
        at: rfc3339(origin.run.submitted_at),
        run: origin.run.name,
        workflow: origin.run.workflow,
        action: origin.path,
        entry: origin.row.seq.0,
        sites: app.control.sites().with_copy(&origin.row.artifact),
    })
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ArtifactsQuery {
    /// Only what carries this tag.
    tag: Option<String>,
    /// `next` of the page before.
    cursor: Option<u64>,
    /// Rows of the page: 100 when nothing is said, at most 1,000.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// Lists artifacts where they came to be, the latest first.
#[utoipa::path(get, path = "/api/v1/artifacts", operation_id = "listArtifacts", tag = "artifacts", params(ArtifactsQuery),
    responses((status = 200, description = "A page of artifacts.", body = Vec<ArtifactOriginView>)))]
pub(crate) async fn list(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<ArtifactsQuery>,
) -> ApiResult<Listed<ArtifactOriginView>> {
    let limit = page_size(query.limit, PAGE, PAGE_MAX)?;
    let page = blocking(move || {
        let reader = app.control.reader();
        let mut rows = reader.origins(query.cursor.map(Seq), query.tag.as_deref(), limit).map_err(Fault::internal)?;
        let full = rows.len() == limit;
        // A page ends between entries: the cursor is an entry.
        if let (Some(last), true, None) = (rows.last().cloned(), full, &query.tag) {
            rows.retain(|row| row.seq != last.seq);
            rows.extend(reader.origins_at(last.seq).map_err(Fault::internal)?);
        }
        let next = rows.last().filter(|_| full).map(|row| row.seq.0.to_string());
        let mut items = Vec::with_capacity(rows.len());
        for row in rows {
            if let Some(origin) = app.control.origin(row)? {
                items.push(origin_view(&app, &caller, origin)?);
            }
        }
        Ok(Listed { items, next, limit })
    });
    page.await
}

/// Where an artifact comes from: what made it from what, who read it, where it lies, and why it carries what it carries.
#[utoipa::path(get, path = "/api/v1/artifacts/{digest}/lineage", operation_id = "getLineage", tag = "artifacts",
    responses((status = 200, description = "Its lineage.", body = LineageView)))]
pub(crate) async fn lineage(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(digest): Path<String>,
) -> ApiResult<Json<LineageView>> {
    let parsed: Digest = digest.parse().map_err(|error| Fault::new(FaultKind::Malformed, format!("{error}")))?;
    let view = blocking(move || {
        let found = app.control.lineage(&parsed)?;
        let made = found.origins.iter().find(|origin| origin.path.is_some()).or(found.origins.first());
        let hidden = match made {
            Some(made) => super::sight::withheld(&app, &caller, &made.run, made.path.as_deref())?.is_some(),
            None => false,
        };
        let ingredient = |one: ArtifactRef| IngredientView {
            digest: one.digest.to_string(),
            kind: word(&one.kind),
            name: if hidden { String::new() } else { one.name },
            size: one.size,
        };
        let origins = found.origins.into_iter().map(|origin| origin_view(&app, &caller, origin));
        Ok(LineageView {
            digest: parsed.to_string(),
            origins: origins.collect::<Result<_, Fault>>()?,
            from: found.from.into_iter().map(ingredient).collect(),
            used: found.used.into_iter().map(|(run, action)| ReaderView { run, action }).collect(),
            more: found.more,
            label: tags(found.label),
            trails: found.trails,
            sites: found.sites,
        })
    });
    Ok(Json(view.await?))
}

/// The versions of an artifact: what the step that made it gave under its name, or what runs of the workflow were given under it, run by run.
#[utoipa::path(get, path = "/api/v1/artifacts/{digest}/versions", operation_id = "listVersions", tag = "artifacts",
    responses((status = 200, description = "Its versions, the latest first.", body = VersionsView)))]
pub(crate) async fn versions(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(digest): Path<String>,
) -> ApiResult<Json<VersionsView>> {
    let parsed: Digest = digest.parse().map_err(|error| Fault::new(FaultKind::Malformed, format!("{error}")))?;
    let view = blocking(move || {
        // Which have the same name is told to those who may see the name, and read the run.
        let may = |origin: &ArtifactOrigin| {
            let reads = permission::permits(&app, &caller, "read", &permission::run_target(&origin.run), &Label::empty());
            Ok(reads && super::sight::withheld(&app, &caller, &origin.run, origin.path.as_deref())?.is_none())
        };
        let Some(found) = app.control.versions(&parsed, may)? else { return Ok(VersionsView::default()) };
        let all = found.versions.len() as u64;
        let mut versions = Vec::with_capacity(found.versions.len());
        for (before, origin) in (0..).zip(found.versions) {
            let version = (!found.more).then_some(all - before);
            versions.push(VersionView { version, origin: origin_view(&app, &caller, origin)? });
        }
        Ok(VersionsView {
            name: found.of.artifact.map(|one| one.name),
            workflow: Some(found.of.run.workflow),
            action: found.of.path,
            versions,
            more: found.more,
        })
    });
    Ok(Json(view.await?))
}

/// A step to test.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StepTestRequest {
    /// The text of the workflow file.
    text: String,
    /// The registered workflow whose files the text may refer to.
    #[serde(default)]
    workflow: Option<String>,
    /// The node.
    node: String,
    /// The inputs of the workflow that it reads.
    #[serde(default)]
    inputs: serde_json::Map<String, Value>,
    /// What the nodes that it reads give, by their ids.
    #[serde(default)]
    outputs: BTreeMap<String, Value>,
}

/// Runs one node of a text with given values, as a run like any other: gated, placed, recorded. Nothing is registered.
#[utoipa::path(post, path = "/api/v1/test-step", operation_id = "testStep", tag = "runs", request_body = StepTestRequest,
    responses((status = 201, description = "The run.", body = RunView)))]
pub(crate) async fn test_step(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Json(request): Json<StepTestRequest>,
) -> ApiResult<(StatusCode, Json<RunView>)> {
    let StepTestRequest { text, workflow: beside, node, inputs, outputs } = request;
    let (control, read, folder) = (app.control.clone(), text.clone(), beside.clone());
    let name = blocking(move || control.workflow_of(&read, folder.as_deref()).map(|graph| graph.workflow.clone())).await?;
    let target = policy::Target {
        kind: "workflow".into(),
        project: name.split_once('/').map_or("default", |(project, _)| project).to_owned(),
        domain: "development".into(),
        name,
        ..policy::Target::default()
    };
    // What is not registered is started only by those who could have written it.
    permission::may(&app, &caller, "submit", &target, &Label::empty())?;
    permission::may(&app, &caller, "author", &target, &Label::empty())?;
    super::naming::check(&app, &caller, inputs.values().chain(outputs.values()))?;
    let principal = caller.principal.clone();
    let submitted = app.control.test_step(StepTest { text, beside, node, inputs, outputs, principal }).await?;
    let view = blocking(move || {
        let row = app.control.reader().run(submitted.run).map_err(Fault::internal)?;
        super::sight::seen_run(&app, &caller, &row.ok_or_else(|| Fault::internal("a test made no run"))?)
    });
    Ok((StatusCode::CREATED, Json(view.await?)))
}
