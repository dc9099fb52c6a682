//! Artifacts as the SDK publishes and finds them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use controlplane::{ArtifactVersion, ControlPlane};
use flyte::Reach;
use flyte::artifacts::{self, Unfit};
use flyte::wire::{
    Artifact, ArtifactGroup, ArtifactName, ArtifactResponse, ArtifactSpec, CreateArtifactRequest, CreatingUser, Creator,
    DeclareArtifactRequest, DeleteArtifactRequest, Empty, Filter, GetArtifactRequest, GetSchemaRequest, ListArtifactNamesRequest,
    ListArtifactNamesResponse, ListArtifactsRequest, ListArtifactsResponse, ListRequest, MetadataKeysRequest,
    PartitionValuesRequest, ProjectId, SchemaMismatch, SchemaResponse, Text, Texts, Time,
};

use super::connect::{Answer, Refusal};
use super::naming::reach_of;
use super::view::{self, blocking};
use crate::rest::App;
use crate::rest::access::Caller;
use crate::rest::sight;

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new("invalid_argument", message)
}

fn unfit(unfit: Unfit) -> Refusal {
    invalid(unfit.to_string())
}

fn named(name: Option<ArtifactName>) -> Answer<ArtifactName> {
    name.ok_or_else(|| invalid("the artifact is not named"))
}

/// Refuses an attempt artifacts of another project than its own.
fn own(control: &ControlPlane, caller: &Caller, name: &ArtifactName) -> Answer<()> {
    let Some(reach) = reach_of(control, caller)? else { return Ok(()) };
    match (&reach.project, &reach.domain) == (&name.project, &name.domain) {
        true => Ok(()),
        false => {
            Err(Refusal::new("permission_denied", "an attempt has to do with artifacts of its own project and domain alone"))
        }
    }
}

/// Who reads versions, and is held to what each carries.
struct Reading<'a> {
    app: &'a App,
    caller: &'a Caller,
    reach: Option<Arc<Reach>>,
    /// Whether the caller is a person who sees everything, whatever it carries.
    always: bool,
}

impl<'a> Reading<'a> {
    /// Blocks.
    fn of(app: &'a App, caller: &'a Caller) -> Answer<Reading<'a>> {
        let reach = reach_of(&app.control, caller)?;
        let always = reach.is_none() && sight::sees_all(app, caller);
        Ok(Reading { app, caller, reach, always })
    }

    /// Whether the caller may see a version: an attempt when its own data carry as much, a person by the rules.
    fn sees(&self, version: &ArtifactVersion) -> bool {
        if let Some(reach) = &self.reach {
            return version.label.0.is_subset(&reach.label.0);
        }
        if self.always {
            return true;
        }
        let name = version.id.name.clone().unwrap_or_default();
        let target = policy::Target {
            kind: "artifact".into(),
            name: artifacts::stem(&name),
            project: name.project,
            domain: name.domain,
            author: version.by.clone(),
        };
        self.app.control.rules().may(&self.caller.as_policy(), "view", &target, &version.label).allowed
    }
}

fn of_project(id: Option<ProjectId>, name: &str) -> ArtifactName {
    let id = id.unwrap_or_default();
    ArtifactName { org: id.organization, project: id.name, domain: id.domain, name: name.to_owned() }
}

fn shown(version: ArtifactVersion) -> Artifact {
    let id = Some(Text { value: version.by });
    let mismatch = version.mismatch.map(|message| SchemaMismatch { message, ..SchemaMismatch::default() });
    Artifact {
        spec: artifacts::marked(version.spec, &version.id),
        artifact_id: Some(version.id),
        created_at: Some(view::time(version.at)),
        created_by: Some(Creator { user: Some(CreatingUser { id }) }),
        mismatch,
    }
}

/// Publishes a version.
pub(super) async fn create(app: &App, caller: &Caller, request: CreateArtifactRequest) -> Answer<ArtifactResponse> {
    let id = request.artifact_id.ok_or_else(|| invalid("the artifact is not named"))?;
    let (control, asking, name) = (app.control.clone(), caller.clone(), named(id.name.clone())?);
    let reach = blocking(move || {
        own(&control, &asking, &name)?;
        reach_of(&control, &asking)
    });
    let version = app.control.create_artifact(id, request.spec, &caller.principal, reach.await?).await?;
    Ok(ArtifactResponse { artifact: Some(shown(version)) })
}

/// A version; the newest that the caller may see when none is named.
pub(super) async fn get(app: &App, caller: &Caller, request: GetArtifactRequest) -> Answer<ArtifactResponse> {
    let (app, caller) = (app.clone(), caller.clone());
    blocking(move || {
        let name = named(request.name)?;
        own(&app.control, &caller, &name)?;
        let found: Vec<ArtifactVersion> = match request.version.filter(|version| !version.is_empty()) {
            Some(version) => {
                let id = flyte::wire::ArtifactId { name: Some(name.clone()), version };
                app.control.artifact_version(&id)?.into_iter().collect()
            }
            None => app.control.artifact_versions(&name)?,
        };
        let reading = Reading::of(&app, &caller)?;
        let found = found.into_iter().find(|version| reading.sees(version));
        let found = found.ok_or_else(|| Refusal::not_found("artifact", &artifacts::stem(&name)))?;
        Ok(ArtifactResponse { artifact: Some(shown(found)) })
    })
    .await
}

/// Versions that a list asks for and the caller may see, the newest first, each with what is said of it.
fn asked(app: &App, caller: &Caller, name: &ArtifactName, filters: &[Filter]) -> Answer<Vec<(ArtifactVersion, ArtifactSpec)>> {
    own(&app.control, caller, name)?;
    let reading = Reading::of(app, caller)?;
    let mut found = Vec::new();
    for version in app.control.artifact_versions(name)? {
        let of = version.id.name.clone().unwrap_or_default();
        if (&of.project, &of.domain) != (&name.project, &name.domain) || !reading.sees(&version) {
            continue;
        }
        let spec = artifacts::read(&version.spec).map_err(unfit)?;
        if artifacts::fits(&of.name, &spec, view::time(version.at), filters).map_err(unfit)? {
            found.push((version, spec));
        }
    }
    Ok(found)
}

/// A page of a list, and what asks for the next.
fn page<T>(all: Vec<T>, request: Option<&ListRequest>) -> (Vec<T>, String) {
    let (limit, token) = request.map_or((0, ""), |request| (request.limit as usize, request.token.as_str()));
    view::page(all, limit, token)
}

fn filters(request: Option<&ListRequest>) -> Vec<Filter> {
    request.map(|request| request.filters.clone()).unwrap_or_default()
}

/// Versions of a project, or of a name.
pub(super) async fn list(app: &App, caller: &Caller, request: ListArtifactsRequest) -> Answer<ListArtifactsResponse> {
    let (app, caller) = (app.clone(), caller.clone());
    blocking(move || {
        let name = of_project(request.project_id, request.name.as_deref().unwrap_or_default());
        let mut found = asked(&app, &caller, &name, &filters(request.request.as_ref()))?;
        if request.latest_per_partition {
            let mut seen = BTreeSet::new();
            found.retain(|(_, spec)| seen.insert(artifacts::partitions(spec)));
        }
        let (page, token) = page(found, request.request.as_ref());
        Ok(ListArtifactsResponse { artifacts: page.into_iter().map(|(version, _)| shown(version)).collect(), token })
    })
    .await
}

/// Names, each with its newest version.
pub(super) async fn names(app: &App, caller: &Caller, request: ListArtifactNamesRequest) -> Answer<ListArtifactNamesResponse> {
    let (app, caller) = (app.clone(), caller.clone());
    blocking(move || {
        let place = of_project(request.project_id, "");
        let found = asked(&app, &caller, &place, &filters(request.request.as_ref()))?;
        let mut order: Vec<String> = Vec::new();
        let mut groups: BTreeMap<String, (ArtifactVersion, u64, Option<Time>)> = BTreeMap::new();
        for (version, spec) in found {
            let name = version.id.name.clone().unwrap_or_default().name;
            let time = artifacts::time_of(&spec).map(|(_, at)| at);
            let group = groups.entry(name.clone()).or_insert_with(|| {
                order.push(name);
                (version, 0, None)
            });
            group.1 += 1;
            group.2 = group.2.into_iter().chain(time).max_by_key(|at| (at.seconds, at.nanos));
        }
        let (names, token) = page(order, request.request.as_ref());
        let mut answer = Vec::new();
        for name in names {
            let Some((latest, versions, latest_time_partition)) = groups.remove(&name) else { continue };
            let of = ArtifactName { name, ..place.clone() };
            let partition_schema = app.control.artifact_schema(&of)?.map(|(schema, _)| schema);
            answer.push(ArtifactGroup { latest: Some(shown(latest)), versions, partition_schema, latest_time_partition });
        }
        Ok(ListArtifactNamesResponse { groups: answer, token })
    })
    .await
}

/// Keys of what is said of artifacts.
pub(super) async fn metadata_keys(app: &App, caller: &Caller, request: MetadataKeysRequest) -> Answer<Texts> {
    let (app, caller) = (app.clone(), caller.clone());
    blocking(move || {
        let name = of_project(request.project_id, request.name.as_deref().unwrap_or_default());
        let found = asked(&app, &caller, &name, &[])?;
        let keys: BTreeSet<String> =
            found.into_iter().flat_map(|(_, spec)| spec.info.unwrap_or_default().user_metadata.into_keys()).collect();
        Ok(Texts { values: keys.into_iter().collect() })
    })
    .await
}

/// The values that a partition has.
pub(super) async fn partition_values(app: &App, caller: &Caller, request: PartitionValuesRequest) -> Answer<Texts> {
    let (app, caller) = (app.clone(), caller.clone());
    blocking(move || {
        let name = of_project(request.project_id, &request.name);
        let found = asked(&app, &caller, &name, &filters(request.request.as_ref()))?;
        let values: BTreeSet<String> =
            found.iter().filter_map(|(_, spec)| artifacts::partitions(spec).remove(&request.key)).collect();
        let (values, _) = page(values.into_iter().collect(), request.request.as_ref());
        Ok(Texts { values })
    })
    .await
}

/// Says which partitions an artifact has.
pub(super) async fn declare(app: &App, caller: &Caller, request: DeclareArtifactRequest) -> Answer<SchemaResponse> {
    let name = named(request.name)?;
    let (control, asking, of) = (app.control.clone(), caller.clone(), name.clone());
    blocking(move || own(&control, &asking, &of)).await?;
    let schema = request.partition_schema.unwrap_or_default();
    let declared = app.control.declare_artifact(name, schema, &caller.principal).await;
    let schema = declared.map_err(|fault| Refusal::new("failed_precondition", fault.detail))?;
    Ok(SchemaResponse { partition_schema: Some(schema), declared: true })
}

/// The partitions of an artifact.
pub(super) async fn schema(app: &App, caller: &Caller, request: GetSchemaRequest) -> Answer<SchemaResponse> {
    let (control, caller) = (app.control.clone(), caller.clone());
    blocking(move || {
        let name = named(request.name)?;
        own(&control, &caller, &name)?;
        let known = control.artifact_schema(&name)?;
        let (schema, declared) = known.ok_or_else(|| Refusal::not_found("artifact", &artifacts::stem(&name)))?;
        Ok(SchemaResponse { partition_schema: Some(schema), declared })
    })
    .await
}

/// Removes a version.
pub(super) async fn delete(app: &App, caller: &Caller, request: DeleteArtifactRequest) -> Answer<Empty> {
    let id = request.artifact_id.ok_or_else(|| invalid("the artifact is not named"))?;
    let (shared, asking, name, of) = (app.clone(), caller.clone(), named(id.name.clone())?, id.clone());
    blocking(move || {
        own(&shared.control, &asking, &name)?;
        let reading = Reading::of(&shared, &asking)?;
        match shared.control.artifact_version(&of)?.filter(|version| !reading.sees(version)) {
            Some(_) => Err(Refusal::not_found("artifact", &artifacts::stem(&name))),
            None => Ok(()),
        }
    })
    .await?;
    app.control.delete_artifact(&id, &caller.principal).await?;
    Ok(Empty {})
}
