//! Artifacts of Flyte programs: values with a name and a version. A version is a resource like a deployed task. What a task says it produced is
//! registered before its success is reported, so that no artifact of a success is missing; triggers on artifacts are fired once a version is durable.
//!
//! What is said of a version holds values: its document only says where that lies, among the objects of the run that it comes from, and goes with them
//! when the run is erased. Documents of earlier servers hold it themselves.

use std::collections::BTreeSet;
use std::sync::Arc;

use engine::{Command, Outcome};
use flyte::artifacts::{self, Unfit};
use flyte::call::from_hex;
use flyte::wire::{ActionId, ArtifactId, ArtifactName, ArtifactSpec, PartitionSchema, RunId, TimeKey};
use flyte::{Call, Message as _, Objects, Reach};
use journal::{Reader, ResourceRow};
use model::{AttemptKey, Digest, Label, Timestamp};
use serde_json::{Value, json};

use super::Flyte;
use crate::{ControlPlane, Fault, FaultKind, Inbox, Refusal, random_bytes};

/// The kind of resource that a version of an artifact is.
const ARTIFACTS: &str = "flyte-artifact";
/// The kind of resource that says which partitions an artifact has.
const SCHEMAS: &str = "flyte-artifact-schema";
/// The event that triggers on artifacts wait for.
pub const ARTIFACT_EVENT: &str = "flyte.artifact";
/// How old a version may be for which a trigger is made up for after a stop of the server.
const MADE_UP_FOR: model::Duration = model::Duration::from_secs(7 * 86_400);
/// The pause before a full inbox is asked again.
const ROOM_EVERY: std::time::Duration = std::time::Duration::from_millis(50);

/// A version of an artifact.
#[derive(Clone, Debug)]
pub struct Version {
    /// Its name and version.
    pub id: ArtifactId,
    /// What is said of it, as it was sent.
    pub spec: Vec<u8>,
    /// Who created it.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Why its partitions are not those of its name.
    pub mismatch: Option<String>,
    /// What it carries: whoever reads it is held to that.
    pub label: Label,
}

impl Version {
    /// None when what is said of it was erased, or cannot be read as a version.
    fn of(row: &ResourceRow, objects: &Objects) -> std::io::Result<Option<Version>> {
        let spec = match object_of(row) {
            Some(key) => match objects.get(key) {
                Ok(spec) => Some(spec),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
                Err(error) => return Err(error),
            },
            None => row.body.get("spec").and_then(Value::as_str).and_then(from_hex),
        };
        Ok(spec.and_then(|spec| Version::with(row, spec)))
    }

    fn with(row: &ResourceRow, spec: Vec<u8>) -> Option<Version> {
        let text = |key: &str| row.body.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let name = ArtifactName { org: text("org"), project: text("project"), domain: text("domain"), name: text("name") };
        // Earlier versions of the server kept none.
        let label = row.body.get("label").map(|label| serde_json::from_value(label.clone()));
        Some(Version {
            id: ArtifactId { name: Some(name), version: text("version") },
            spec,
            by: text("by"),
            at: row.at,
            mismatch: row.body.get("mismatch").and_then(Value::as_str).map(str::to_owned),
            label: label.transpose().ok()?.unwrap_or_default(),
        })
    }
}

/// Where what is said of a version lies.
fn object_of(row: &ResourceRow) -> Option<&str> {
    row.body.get("object").and_then(Value::as_str)
}

/// Below which folder what is said of a version is kept: with the objects of an action, or of nobody.
fn beside(reach: Option<&Reach>) -> String {
    let action = reach.and_then(|reach| Some(format!("{}/{}", flyte::key(&reach.base)?.trim_end_matches('/'), reach.name)));
    format!("{}artifact", action.map(|action| format!("{action}/")).unwrap_or_default())
}

fn unfit(unfit: Unfit) -> Fault {
    Fault::new(FaultKind::Malformed, unfit.to_string())
}

/// The partitions of a name, and whether they were declared. None when there is neither a declaration nor a version.
fn schema_of(reader: &Reader, objects: &Objects, name: &ArtifactName) -> Result<Option<(PartitionSchema, bool)>, Fault> {
    let stem = artifacts::stem(name);
    if let Some(row) = reader.resources(SCHEMAS, Some(&stem), None).map_err(Fault::internal)?.pop() {
        let keys = row.body.get("keys").and_then(Value::as_array).into_iter().flatten();
        let time = row.body.get("time_key").and_then(Value::as_str).map(|key| TimeKey {
            key: key.to_owned(),
            granularity: row.body.get("granularity").and_then(Value::as_i64).unwrap_or_default() as i32,
        });
        let partition_keys = keys.filter_map(|key| key.as_str().map(str::to_owned)).collect();
        return Ok(Some((PartitionSchema { time_partition: time, partition_keys }, true)));
    }
    let mut versions = versions(reader, objects, Some(name), Timestamp(0))?;
    versions.sort_by_key(|version| version.at);
    let first = versions.iter().find(|version| version.mismatch.is_none());
    let spec = first.map(|first| artifacts::read(&first.spec)).transpose().map_err(unfit)?;
    Ok(spec.map(|spec| (artifacts::schema_of(&spec), false)))
}

/// Versions since a time, the newest first: of one name, of one project when that is empty, or all.
fn versions(reader: &Reader, objects: &Objects, name: Option<&ArtifactName>, since: Timestamp) -> Result<Vec<Version>, Fault> {
    let rows = reader.resources(ARTIFACTS, None, None).map_err(Fault::internal)?;
    let of = name.map(|name| match name.name.is_empty() {
        true => artifacts::stem(name),
        false => format!("{}@", artifacts::stem(name)),
    });
    let mine = |row: &&ResourceRow| row.at >= since && of.as_ref().is_none_or(|of| row.name.starts_with(of.as_str()));
    let found = rows.iter().filter(mine).filter_map(|row| Version::of(row, objects).transpose());
    let mut versions: Vec<Version> = found.collect::<std::io::Result<_>>().map_err(Fault::internal)?;
    versions.sort_by(|one, other| (other.at, &other.id.version).cmp(&(one.at, &one.id.version)));
    Ok(versions)
}

/// What is to be registered as a version.
struct Registering<'a> {
    id: &'a ArtifactId,
    spec: &'a [u8],
    mismatch: Option<String>,
    by: &'a str,
    label: &'a Label,
    /// Below which folder what is said of it is kept.
    beside: String,
}

/// The command that registers a version; none when it is there. What is said of it is kept before.
fn register(reader: &Reader, objects: &Objects, version: Registering<'_>) -> Result<Option<Command>, Fault> {
    let Registering { id, spec, mismatch, by, label, beside } = version;
    let full = artifacts::full_name(id).map_err(unfit)?;
    if !reader.resources(ARTIFACTS, Some(&full), None).map_err(Fault::internal)?.is_empty() {
        return Ok(None);
    }
    let name = id.name.clone().unwrap_or_default();
    // Of two that come at once one is refused, and the other keeps what is its own. A digest of values would outlive them.
    let key = format!("{beside}/{}.pb", Digest(random_bytes()).hex());
    objects.put(&key, spec).map_err(Fault::internal)?;
    let mut body = json!({
        "org": name.org, "project": name.project, "domain": name.domain, "name": name.name, "version": id.version,
        "object": key, "by": by,
    });
    if !label.is_empty() {
        body["label"] = json!(label);
    }
    if let Some(why) = mismatch {
        body["mismatch"] = why.into();
    }
    Ok(Some(Command::ApplyResource { kind: ARTIFACTS.into(), name: full, body, principal: by.to_owned() }))
}

impl Flyte {
    /// What the outputs of an attempt that ended well are registered as. Blocks.
    fn produced(&self, key: AttemptKey, reader: &Reader) -> Vec<Command> {
        let attempts = self.inner.attempts.lock();
        let Some(reach) = attempts.get(&key).filter(|open| open.produces).map(|open| open.reach.clone()) else {
            return Vec::new();
        };
        drop(attempts);
        let outputs = flyte::key(&format!("{}/outputs.pb", reach.outputs())).and_then(|key| self.inner.objects.get(key).ok());
        let name = reach.base.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
        let org = "tutti".to_owned();
        let run = RunId { org, project: reach.project.clone(), domain: reach.domain.clone(), name };
        let action = ActionId { run: Some(run), name: reach.name.clone() };
        let by = format!("run:{}", action.run.as_ref().map(|run| run.name.as_str()).unwrap_or_default());
        let mut commands = Vec::new();
        for (id, spec) in artifacts::produced(&outputs.unwrap_or_default(), &action, reach.attempt) {
            let known = id.name.as_ref().map(|name| schema_of(reader, self.objects(), name)).transpose();
            let wrong = match known {
                Ok(Some(Some((schema, _)))) => {
                    let name = id.name.clone().unwrap_or_default().name;
                    let checked = artifacts::check_schema(&name, &schema, &artifacts::schema_of(&spec));
                    checked.err().map(|unfit| unfit.to_string())
                }
                _ => None,
            };
            let (spec, beside) = (spec.encode_to_vec(), beside(Some(&*reach)));
            let version = Registering { id: &id, spec: &spec, mismatch: wrong, by: &by, label: &reach.label, beside };
            match register(reader, self.objects(), version) {
                Ok(command) => commands.extend(command),
                Err(fault) => tracing::warn!(attempt = %key, %fault, "an artifact that a task produced is not registered"),
            }
        }
        commands
    }

    /// Whether the outputs of an attempt have to be looked at before its success is reported.
    pub(crate) fn produces(&self, key: AttemptKey, outcome: &Outcome) -> bool {
        matches!(outcome, Outcome::Succeeded(_)) && self.inner.attempts.lock().get(&key).is_some_and(|open| open.produces)
    }

    /// Registers what an attempt produced. False when the server is stopping: then its success must not be reported, and is found again.
    pub(crate) async fn register_produced(&self, key: AttemptKey, inbox: &Inbox, reader: &Reader) -> bool {
        let (this, reader) = (self.clone(), reader.clone());
        let Ok(commands) = tokio::task::spawn_blocking(move || this.produced(key, &reader)).await else { return false };
        for command in commands {
            loop {
                match inbox.ask(command.clone()).await {
                    Ok(_) => break,
                    Err(Refusal::Busy) => tokio::time::sleep(ROOM_EVERY).await,
                    Err(Refusal::Stopping | Refusal::Journal(_)) => return false,
                    Err(refusal) => {
                        tracing::warn!(attempt = %key, %refusal, "an artifact that a task produced is not registered");
                        break;
                    }
                }
            }
        }
        self.inner.artifacts.notify_one();
        true
    }
}

impl ControlPlane {
    /// The partitions of an artifact, and whether they were declared. None when there is neither a declaration nor a version. Blocks.
    pub fn artifact_schema(&self, name: &ArtifactName) -> Result<Option<(PartitionSchema, bool)>, Fault> {
        schema_of(self.reader(), self.flyte().objects(), name)
    }

    /// Versions, the newest first: of one name, or of one project when that is empty. Blocks.
    pub fn artifact_versions(&self, name: &ArtifactName) -> Result<Vec<Version>, Fault> {
        versions(self.reader(), self.flyte().objects(), Some(name), Timestamp(0))
    }

    /// A version by its full name. Blocks.
    pub fn artifact_version(&self, id: &ArtifactId) -> Result<Option<Version>, Fault> {
        let name = artifacts::full_name(id).map_err(unfit)?;
        let row = self.reader().resources(ARTIFACTS, Some(&name), None).map_err(Fault::internal)?.pop();
        let found = row.as_ref().map(|row| Version::of(row, self.flyte().objects())).transpose().map_err(Fault::internal)?;
        Ok(found.flatten())
    }

    /// Registers a version of an artifact that somebody publishes, with what the data of an attempt carry that does; what the objects carry that
    /// its value names comes to it.
    pub async fn create_artifact(
        &self,
        id: ArtifactId,
        spec: Vec<u8>,
        principal: &str,
        reach: Option<Arc<Reach>>,
    ) -> Result<Version, Fault> {
        let (control, by, wanted) = (self.clone(), principal.to_owned(), id.clone());
        let command = tokio::task::spawn_blocking(move || {
            let read = artifacts::read(&spec).map_err(unfit)?;
            artifacts::full_name(&wanted).map_err(unfit)?;
            let name = wanted.name.clone().unwrap_or_default();
            if let Some((schema, _)) = control.artifact_schema(&name)? {
                artifacts::check_schema(&name.name, &schema, &artifacts::schema_of(&read)).map_err(unfit)?;
            }
            let taken = || {
                let message = format!("the artifact `{}` has a version `{}` already", name.name, wanted.version);
                Fault::new(FaultKind::NameTaken, message)
            };
            let value = input("value", read.value.clone().unwrap_or_default());
            let own = reach.as_ref().map(|reach| reach.label.clone()).unwrap_or_default();
            let label = &own.joined(&control.flyte().label_of_values(&value).map_err(Fault::internal)?);
            let beside = beside(reach.as_deref());
            let version = Registering { id: &wanted, spec: &spec, mismatch: None, by: &by, label, beside };
            register(control.reader(), control.flyte().objects(), version)?.ok_or_else(taken)
        });
        let command = command.await.map_err(Fault::internal)??;
        self.inbox().ask(command).await?;
        self.flyte().inner.artifacts.notify_one();
        let control = self.clone();
        let found = tokio::task::spawn_blocking(move || control.artifact_version(&id)).await.map_err(Fault::internal)??;
        found.ok_or_else(|| Fault::internal("an artifact that was registered is missing"))
    }

    /// Removes a version. What it is made of stays where it lies.
    pub async fn delete_artifact(&self, id: &ArtifactId, principal: &str) -> Result<(), Fault> {
        let name = artifacts::full_name(id).map_err(unfit)?;
        let (control, of) = (self.clone(), name.clone());
        let look = move || control.reader().resources(ARTIFACTS, Some(&of), None);
        let row = tokio::task::spawn_blocking(look).await.map_err(Fault::internal)?.map_err(Fault::internal)?.pop();
        let command = Command::DeleteResource { kind: ARTIFACTS.into(), name, principal: principal.to_owned() };
        self.inbox().ask(command).await?;
        if let Some(key) = row.as_ref().and_then(object_of).map(str::to_owned) {
            let objects = self.flyte().objects().clone();
            tokio::task::spawn_blocking(move || objects.delete(&key)).await.map_err(Fault::internal)?.map_err(Fault::internal)?;
        }
        Ok(())
    }

    /// Says which partitions an artifact has, before there is a version. Said again it is the same.
    pub async fn declare_artifact(
        &self,
        name: ArtifactName,
        schema: PartitionSchema,
        principal: &str,
    ) -> Result<PartitionSchema, Fault> {
        let full = ArtifactId { name: Some(name.clone()), version: "1".into() };
        artifacts::full_name(&full).map_err(unfit)?;
        let (control, of) = (self.clone(), name.clone());
        let known = tokio::task::spawn_blocking(move || control.artifact_schema(&of)).await.map_err(Fault::internal)??;
        if let Some((known, declared)) = known {
            artifacts::check_schema(&name.name, &known, &schema).map_err(unfit)?;
            if declared {
                return Ok(known);
            }
        }
        let time = schema.time_partition.clone();
        let body = json!({
            "keys": schema.partition_keys, "time_key": time.as_ref().map(|time| &time.key),
            "granularity": time.as_ref().map(|time| time.granularity),
        });
        let command =
            Command::ApplyResource { kind: SCHEMAS.into(), name: artifacts::stem(&name), body, principal: principal.to_owned() };
        self.inbox().ask(command).await?;
        Ok(schema)
    }

    /// Fires triggers on artifacts, for as long as the process lives. At the start what came while no server ran is made up for.
    pub(crate) async fn run_artifact_triggers(self) {
        let mut since = Timestamp(crate::clock::wall().0.saturating_sub(MADE_UP_FOR.0));
        // Several may have one time: what was looked at last is looked at again, and not fired for again.
        let mut latest = BTreeSet::new();
        loop {
            match self.fire_for_artifacts(since, &mut latest).await {
                Ok(last) => since = since.max(last),
                Err(fault) => {
                    tracing::warn!(%fault, "triggers on artifacts cannot be fired; it is tried again");
                    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
                    continue;
                }
            }
            self.flyte().inner.artifacts.notified().await;
        }
    }

    async fn fire_for_artifacts(&self, since: Timestamp, latest: &mut BTreeSet<String>) -> Result<Timestamp, Fault> {
        let control = self.clone();
        let found = tokio::task::spawn_blocking(move || {
            let mut found = versions(control.reader(), control.flyte().objects(), None, since)?;
            found.reverse();
            Ok::<_, Fault>(found)
        });
        let mut last = since;
        for version in found.await.map_err(Fault::internal)?? {
            let full = artifacts::full_name(&version.id).map_err(unfit)?;
            if latest.contains(&full) {
                continue;
            }
            let told = artifacts::told(&version.id, &artifacts::read(&version.spec).map_err(unfit)?);
            let call = format!("artifact/{}", &Digest::of(full.as_bytes()).hex()[..32]);
            let untagged = (!version.label.is_empty()).then(|| artifacts::withheld(&told, &version.label));
            self.fire_for(ARTIFACT_EVENT, (&told, untagged.as_ref()), &call, version.at).await?;
            if version.at > last {
                latest.clear();
            }
            latest.insert(full);
            last = version.at;
        }
        Ok(last)
    }

    /// The call of a trigger with the artifact that started it bound to its inputs. `call` names the firing. Blocks.
    pub(super) fn bind_artifact(&self, call: &mut Call, payload: &Value, firing: &str) -> Result<(), Fault> {
        let Some(binds) = call.binds.take() else { return Ok(()) };
        let text = |key: &str| payload.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let name = ArtifactName { org: "tutti".into(), project: text("project"), domain: text("domain"), name: text("name") };
        let id = ArtifactId { name: Some(name), version: text("version") };
        let version = self.artifact_version(&id)?.ok_or_else(|| Fault::not_found("artifact", &text("name")))?;
        let spec = artifacts::read(&version.spec).map_err(unfit)?;
        let mut inputs = match flyte::key(&call.inputs).map(|key| self.flyte().objects().get(key)) {
            Some(Ok(bytes)) => bytes,
            _ => return Err(Fault::internal("the inputs of a trigger are missing")),
        };
        // Messages that are joined are one message: the inputs of before, and those that the artifact gives.
        if !binds.input.is_empty() {
            inputs.extend(input(&binds.input, artifacts::value(&spec, &version.id)));
        }
        for (name, key) in &binds.partitions {
            let literal = partition_literal(&spec, key)
                .ok_or_else(|| Fault::new(FaultKind::Malformed, format!("the artifact has no partition `{key}`")))?;
            inputs.extend(input(name, literal));
        }
        let [_, project, domain, ..] = &call.task;
        let key = flyte::objects::inputs_key(project, domain, &Digest::of(firing.as_bytes()).hex()[..32]);
        self.flyte().objects().put(&key, &inputs).map_err(Fault::internal)?;
        call.inputs = flyte::uri(&key);
        for tag in version.label.0 {
            call.entered.entry(tag).or_insert_with(|| "the artifact that started it".to_owned());
        }
        Ok(())
    }
}

/// An input as one more field of a task's inputs.
fn input(name: &str, value: Vec<u8>) -> Vec<u8> {
    let raw = flyte::wire::RawLiteral { name: name.to_owned(), value };
    flyte::wire::ProducingOutputs { literals: vec![raw], ..Default::default() }.encode_to_vec()
}

/// The value of a partition as a task takes it: a time, or a text.
fn partition_literal(spec: &ArtifactSpec, key: &str) -> Option<Vec<u8>> {
    use flyte::wire::{Literal, Primitive, Scalar};
    let primitive = match artifacts::time_of(spec).filter(|(known, _)| known == key) {
        Some((_, at)) => Primitive { datetime: Some(at), ..Primitive::default() },
        None => Primitive { string_value: Some(artifacts::partitions(spec).remove(key)?), ..Primitive::default() },
    };
    let scalar = Scalar { primitive: Some(primitive), ..Scalar::default() };
    Some(Literal { scalar: Some(scalar), ..Literal::default() }.encode_to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_carries_what_was_kept_and_is_not_there_when_that_cannot_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let objects = Objects::open(folder.path(), None).unwrap();
        let of = |label: Option<Value>| {
            let mut body = json!({ "project": "p", "domain": "d", "name": "n", "version": "1", "spec": "", "by": "me" });
            if let Some(label) = label {
                body["label"] = label;
            }
            let (kind, name) = (ARTIFACTS.to_owned(), "p/d/n@1".to_owned());
            let row = ResourceRow { kind, name, version: 1, at: Timestamp(1), principal: "me".into(), body };
            Version::of(&row, &objects).unwrap().map(|version| version.label)
        };
        assert_eq!(of(None), Some(Label::empty()));
        assert_eq!(of(Some(json!(["pii"]))), Some(Label::of(["pii"])));
        assert_eq!(of(Some(json!("pii"))), None);
    }
}
