//! Artifacts: what identifies a version, which versions a list asks for, and what a task said it produced.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use model::Label;
use prost::Message as _;
use serde_json::{Value, json};

use crate::wire::{
    ActionId, ArtifactId, ArtifactKey, ArtifactName, ArtifactSource, ArtifactSpec, ArtifactVersionId, Filter, MarkedLiteral,
    PartitionSchema, ProducedArtifact, ProducingOutputs, TaskActionSource, Time, TimeKey,
};

/// Bytes of a name or a version, at most.
const WORD_BYTES_MAX: usize = 255;
/// How a field of a list is compared.
const EQUAL: i32 = 0;
const GREATER: i32 = 2;
const GREATER_OR_EQUAL: i32 = 3;
const LESS: i32 = 4;
const LESS_OR_EQUAL: i32 = 5;
const CONTAINS: i32 = 6;
const VALUE_IN: i32 = 7;

/// What is wrong with an artifact or a question about some.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// No name that could be kept.
    #[error(
        "the name, the project and the domain of an artifact have 1 to {WORD_BYTES_MAX} bytes and hold no `/` and no `@`; so has its version"
    )]
    Name,
    /// What cannot be read.
    #[error("the artifact cannot be read: {0}")]
    Malformed(String),
    /// A question that this version does not answer.
    #[error("artifacts are not found by `{0}` in this way")]
    Filter(String),
    /// Other partitions than before.
    #[error("the artifact `{0}` has {1}, and this version has {2}: other keys are another artifact")]
    Schema(String, String, String),
}

/// The full name of a version: `PROJECT/DOMAIN/NAME@VERSION`.
pub fn full_name(id: &ArtifactId) -> Result<String, Unfit> {
    let name = id.name.clone().unwrap_or_default();
    let is_good = |part: &str| !part.is_empty() && part.len() <= WORD_BYTES_MAX && !part.contains(['/', '@']);
    let is_version = !id.version.is_empty() && id.version.len() <= WORD_BYTES_MAX;
    match is_version && [&name.project, &name.domain, &name.name].into_iter().all(|part| is_good(part)) {
        true => Ok(format!("{}@{}", stem(&name), id.version)),
        false => Err(Unfit::Name),
    }
}

/// What all versions of a name begin with, up to the `@`.
pub fn stem(name: &ArtifactName) -> String {
    format!("{}/{}/{}", name.project, name.domain, name.name)
}

/// Reads what is said of an artifact.
pub fn read(spec: &[u8]) -> Result<ArtifactSpec, Unfit> {
    ArtifactSpec::decode(spec).map_err(|error| Unfit::Malformed(error.to_string()))
}

/// The keys of the partitions of a version.
pub fn schema_of(spec: &ArtifactSpec) -> PartitionSchema {
    let time = spec.time_partition.as_ref().filter(|time| time.value.is_some());
    let time = time.map(|time| TimeKey { key: time_key(&time.key, time.granularity), granularity: time.granularity });
    let keys = spec.partitions.iter().flat_map(|partitions| partitions.value.keys().cloned());
    PartitionSchema { time_partition: time, partition_keys: keys.collect() }
}

/// What the SDK calls the time when nothing is said: `hour` for hours, `date` for longer spans.
fn time_key(key: &str, granularity: i32) -> String {
    match (key.is_empty(), granularity) {
        (false, _) => key.to_owned(),
        (true, 2) => "hour".into(),
        (true, _) => "date".into(),
    }
}

fn keys_of(schema: &PartitionSchema) -> (Option<(String, i32)>, Vec<String>) {
    let mut keys = schema.partition_keys.clone();
    keys.sort();
    (schema.time_partition.as_ref().map(|time| (time.key.clone(), time.granularity)), keys)
}

/// Refuses partitions with other keys than the name has.
pub fn check_schema(name: &str, wanted: &PartitionSchema, found: &PartitionSchema) -> Result<(), Unfit> {
    let said = |schema: &PartitionSchema| {
        let (time, keys) = keys_of(schema);
        let all: Vec<String> = time.map(|(key, _)| key).into_iter().chain(keys).collect();
        if all.is_empty() { "no partitions".to_owned() } else { format!("the partitions {}", all.join(", ")) }
    };
    match keys_of(wanted) == keys_of(found) {
        true => Ok(()),
        false => Err(Unfit::Schema(name.to_owned(), said(wanted), said(found))),
    }
}

/// The partitions of a version, by key: times as RFC 3339.
pub fn partitions(spec: &ArtifactSpec) -> BTreeMap<String, String> {
    let texts = spec.partitions.iter().flat_map(|partitions| &partitions.value);
    let mut all: BTreeMap<String, String> =
        texts.map(|(key, value)| (key.clone(), value.static_value.clone().unwrap_or_default())).collect();
    if let Some((key, at)) = time_of(spec) {
        all.insert(key, rfc3339(at));
    }
    all
}

/// The key and the value of the partition by time.
pub fn time_of(spec: &ArtifactSpec) -> Option<(String, Time)> {
    let time = spec.time_partition.as_ref()?;
    Some((time_key(&time.key, time.granularity), time.value.as_ref()?.time_value?))
}

/// A point in time as the lists compare it.
pub fn rfc3339(time: Time) -> String {
    let nanos = u32::try_from(time.nanos).unwrap_or_default();
    DateTime::from_timestamp(time.seconds, nanos).unwrap_or_default().to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

fn moment(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text).ok().map(|at| at.to_utc())
}

/// Whether a version is what a list asks for.
pub fn fits(name: &str, spec: &ArtifactSpec, created: Time, filters: &[Filter]) -> Result<bool, Unfit> {
    for filter in filters {
        if !fits_one(name, spec, created, filter)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn fits_one(name: &str, spec: &ArtifactSpec, created: Time, filter: &Filter) -> Result<bool, Unfit> {
    let source = spec.source.clone().unwrap_or_default();
    let action = source.task_action.and_then(|source| source.action).unwrap_or_default();
    let text = match filter.field.as_str() {
        "name" => Some(name.to_owned()),
        "source_run" => Some(action.run.unwrap_or_default().name),
        "source_action" => Some(action.name),
        "source_external_ref" => source.external_ref,
        "created_at" => return times(filter, Some(created)),
        "time_partition" => return times(filter, time_of(spec).map(|(_, at)| at)),
        field => match (field.strip_prefix("user_metadata."), field.strip_prefix("partition.")) {
            (Some(key), _) => spec.info.as_ref().and_then(|info| info.user_metadata.get(key).cloned()),
            (_, Some(key)) => partitions(spec).remove(key),
            _ => return Err(Unfit::Filter(filter.field.clone())),
        },
    };
    match filter.function {
        EQUAL | VALUE_IN => Ok(text.is_some_and(|text| filter.values.contains(&text))),
        CONTAINS => Ok(text.is_some_and(|text| filter.values.iter().any(|part| text.contains(part.as_str())))),
        _ => Err(Unfit::Filter(filter.field.clone())),
    }
}

fn times(filter: &Filter, at: Option<Time>) -> Result<bool, Unfit> {
    let wrong = || Unfit::Filter(filter.field.clone());
    let wanted = filter.values.first().and_then(|text| moment(text)).ok_or_else(wrong)?;
    let Some(at) = at.and_then(|at| DateTime::from_timestamp(at.seconds, at.nanos.unsigned_abs())) else { return Ok(false) };
    match filter.function {
        EQUAL => Ok(at == wanted),
        GREATER => Ok(at > wanted),
        GREATER_OR_EQUAL => Ok(at >= wanted),
        LESS => Ok(at < wanted),
        LESS_OR_EQUAL => Ok(at <= wanted),
        _ => Err(wrong()),
    }
}

/// What is said of an artifact, with its value marked as that artifact: whoever is given the value is told where it comes from.
pub fn marked(mut spec: Vec<u8>, id: &ArtifactId) -> Vec<u8> {
    let value = mark(id);
    // Messages that are joined are one message, and what both have is joined in turn.
    ArtifactSpec { value: Some(value), ..ArtifactSpec::default() }.encode(&mut spec).unwrap_or_default();
    spec
}

fn mark(id: &ArtifactId) -> Vec<u8> {
    let name = id.name.clone().unwrap_or_default();
    let key = ArtifactKey { project: name.project, domain: name.domain, name: name.name, org: name.org };
    let artifact_id = Some(ArtifactVersionId { key: Some(key), version: id.version.clone() });
    MarkedLiteral { artifact_id }.encode_to_vec()
}

/// The value of an artifact, marked, as an input may have it.
pub fn value(spec: &ArtifactSpec, id: &ArtifactId) -> Vec<u8> {
    let mut value = spec.value.clone().unwrap_or_default();
    value.extend(mark(id));
    value
}

/// The artifacts that a task says its outputs are, each with its name and what is to be kept of it.
pub fn produced(outputs: &[u8], action: &ActionId, attempt: u32) -> Vec<(ArtifactId, ArtifactSpec)> {
    let Ok(outputs) = ProducingOutputs::decode(outputs) else { return Vec::new() };
    let value_of = |output: &str| outputs.literals.iter().find(|literal| literal.name == output).map(|l| l.value.clone());
    let one = |artifact: &ProducedArtifact| {
        let run = action.run.clone().unwrap_or_default();
        let version = match artifact.version.is_empty() {
            true => format!("{}-{}-{attempt}", run.name, action.name),
            false => artifact.version.clone(),
        };
        let name = ArtifactName { org: run.org.clone(), project: run.project, domain: run.domain, name: artifact.name.clone() };
        let source = TaskActionSource { action: Some(action.clone()), attempt };
        let spec = ArtifactSpec {
            value: Some(value_of(&artifact.output)?),
            of: artifact.of.clone(),
            info: artifact.info.clone(),
            source: Some(ArtifactSource { task_action: Some(source), external_ref: None }),
            parent_artifacts: artifact.parent_artifacts.clone(),
            partitions: artifact.partitions.clone(),
            time_partition: artifact.time_partition.clone(),
        };
        Some((ArtifactId { name: Some(name), version }, spec))
    };
    outputs.produced_artifacts.iter().filter_map(one).collect()
}

/// What triggers and events are told of a new version.
pub fn told(id: &ArtifactId, spec: &ArtifactSpec) -> Value {
    let name = id.name.clone().unwrap_or_default();
    let metadata = spec.info.as_ref().map(|info| info.user_metadata.clone()).unwrap_or_default();
    json!({
        "project": name.project, "domain": name.domain, "name": name.name, "version": id.version,
        "partitions": partitions(spec), "metadata": metadata,
    })
}

/// The same for those who would not carry on what the version carries: which version it is and its tags, and nothing that is said of it.
pub fn withheld(told: &Value, label: &Label) -> Value {
    let mut left = told.clone();
    if let Some(fields) = left.as_object_mut() {
        fields.insert("partitions".into(), json!({}));
        fields.insert("metadata".into(), json!({}));
        fields.insert("withheld".into(), json!(label));
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{LabelValue, Partitions, RawLiteral, RunId, TimePartition};

    fn id(version: &str) -> ArtifactId {
        let name = ArtifactName { org: "o".into(), project: "p".into(), domain: "d".into(), name: "n".into() };
        ArtifactId { name: Some(name), version: version.into() }
    }

    fn spec(region: &str, seconds: i64) -> ArtifactSpec {
        let text = |text: &str| LabelValue { static_value: Some(text.into()), time_value: None };
        let value = LabelValue { static_value: None, time_value: Some(Time { seconds, nanos: 0 }) };
        ArtifactSpec {
            partitions: Some(Partitions { value: [("region".to_owned(), text(region))].into() }),
            time_partition: Some(TimePartition { value: Some(value), granularity: 3, key: String::new() }),
            ..ArtifactSpec::default()
        }
    }

    #[test]
    fn of_what_carries_tags_nothing_is_told_but_which_it_is() {
        let spec = ArtifactSpec {
            info: Some(crate::wire::ArtifactInfo { user_metadata: [("who".into(), "Ada".into())].into(), ..Default::default() }),
            ..spec("north", 0)
        };
        let all = told(&id("1"), &spec);
        assert!(all.to_string().contains("north") && all.to_string().contains("Ada"), "{all}");
        let left = withheld(&all, &Label::of(["pii"]));
        let expected = json!({
            "project": "p", "domain": "d", "name": "n", "version": "1", "partitions": {}, "metadata": {}, "withheld": ["pii"],
        });
        assert_eq!(left, expected);
    }

    fn filter(field: &str, function: i32, value: &str) -> Filter {
        Filter { function, field: field.into(), values: vec![value.into()] }
    }

    #[test]
    fn versions_have_names_that_lead_nowhere_else() {
        assert_eq!(full_name(&id("1/2")).as_deref(), Ok("p/d/n@1/2"));
        assert_eq!(full_name(&id("")), Err(Unfit::Name));
        let mut other = id("1");
        other.name.as_mut().unwrap().name = "a@b".into();
        assert_eq!(full_name(&other), Err(Unfit::Name));
    }

    #[test]
    fn lists_are_answered_by_partitions_times_and_sources_and_by_nothing_else() {
        let (spec, at) = (spec("us", 86_400), Time { seconds: 7, nanos: 0 });
        let ask = |field: &str, function, value: &str| fits("n", &spec, at, &[filter(field, function, value)]);
        assert_eq!(ask("partition.region", EQUAL, "us"), Ok(true));
        assert_eq!(ask("partition.region", EQUAL, "eu"), Ok(false));
        assert_eq!(ask("time_partition", EQUAL, "1970-01-02T00:00:00Z"), Ok(true));
        assert_eq!(ask("time_partition", LESS_OR_EQUAL, "1970-01-01T23:00:00Z"), Ok(false));
        assert_eq!(ask("created_at", GREATER, "1970-01-01T00:00:06Z"), Ok(true));
        assert_eq!(ask("user_metadata.kind", VALUE_IN, "model"), Ok(false));
        assert_eq!(ask("name", CONTAINS, "n"), Ok(true));
        assert_eq!(ask("size", EQUAL, "3"), Err(Unfit::Filter("size".into())));
        assert!(ask("time_partition", EQUAL, "soon").is_err());
    }

    #[test]
    fn the_keys_of_partitions_stay_those_of_the_first_version() {
        let known = schema_of(&spec("us", 0));
        assert_eq!(known.time_partition.as_ref().map(|time| time.key.as_str()), Some("date"));
        assert_eq!(check_schema("n", &known, &schema_of(&spec("eu", 5))), Ok(()));
        let other = check_schema("n", &known, &PartitionSchema::default()).unwrap_err().to_string();
        assert!(other.contains("the partitions date, region") && other.contains("no partitions"), "{other}");
    }

    #[test]
    fn what_a_task_produced_is_kept_with_where_it_comes_from() {
        let produced_artifacts = vec![ProducedArtifact { output: "o0".into(), name: "n".into(), ..ProducedArtifact::default() }];
        let literals = vec![RawLiteral { name: "o0".into(), value: vec![0x22, 1, b'h'] }];
        let run = RunId { org: "o".into(), project: "p".into(), domain: "d".into(), name: "r".into() };
        let action = ActionId { run: Some(run), name: "a".into() };
        let outputs = ProducingOutputs { literals, produced_artifacts }.encode_to_vec();
        let (id, spec) = produced(&outputs, &action, 2).remove(0);
        assert_eq!(full_name(&id).as_deref(), Ok("p/d/n@r-a-2"));
        // Marked, the value is what it was, and says what it is.
        let whole = read(&marked(spec.encode_to_vec(), &id)).unwrap();
        let value = MarkedLiteral::decode(whole.value.unwrap().as_slice()).unwrap();
        assert_eq!(value.artifact_id.unwrap().version, "r-a-2");
        assert!(super::value(&spec, &id).starts_with(&[0x22, 1, b'h']));
    }
}
