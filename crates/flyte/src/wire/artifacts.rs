//! Artifacts: values that were given a name and a version.

#![expect(missing_docs, reason = "the names are those of the protocol, whose documents say what they mean")]

use std::collections::BTreeMap;

use prost::Message;

use super::{ActionId, Bytes, ListRequest, ProjectId, Time};

#[derive(Clone, PartialEq, Eq, Message)]
pub struct ArtifactName {
    #[prost(string, tag = "1")]
    pub org: String,
    #[prost(string, tag = "2")]
    pub project: String,
    #[prost(string, tag = "3")]
    pub domain: String,
    #[prost(string, tag = "4")]
    pub name: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct ArtifactId {
    #[prost(message, optional, tag = "1")]
    pub name: Option<ArtifactName>,
    #[prost(string, tag = "2")]
    pub version: String,
}

/// A name and a version as values carry them.
#[derive(Clone, PartialEq, Message)]
pub struct ArtifactVersionId {
    #[prost(message, optional, tag = "1")]
    pub key: Option<ArtifactKey>,
    #[prost(string, tag = "2")]
    pub version: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct ArtifactKey {
    #[prost(string, tag = "1")]
    pub project: String,
    #[prost(string, tag = "2")]
    pub domain: String,
    #[prost(string, tag = "3")]
    pub name: String,
    #[prost(string, tag = "4")]
    pub org: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct LabelValue {
    #[prost(string, optional, tag = "1")]
    pub static_value: Option<String>,
    #[prost(message, optional, tag = "2")]
    pub time_value: Option<Time>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Partitions {
    #[prost(btree_map = "string, message", tag = "1")]
    pub value: BTreeMap<String, LabelValue>,
}

#[derive(Clone, PartialEq, Message)]
pub struct TimePartition {
    #[prost(message, optional, tag = "1")]
    pub value: Option<LabelValue>,
    #[prost(int32, tag = "2")]
    pub granularity: i32,
    #[prost(string, tag = "3")]
    pub key: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct ArtifactInfo {
    #[prost(string, tag = "1")]
    pub description: String,
    #[prost(btree_map = "string, string", tag = "2")]
    pub user_metadata: BTreeMap<String, String>,
    #[prost(bytes = "vec", optional, tag = "3")]
    pub card: Option<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ArtifactSource {
    #[prost(message, optional, tag = "1")]
    pub task_action: Option<TaskActionSource>,
    #[prost(string, optional, tag = "2")]
    pub external_ref: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct TaskActionSource {
    #[prost(message, optional, tag = "1")]
    pub action: Option<ActionId>,
    #[prost(uint32, tag = "2")]
    pub attempt: u32,
}

#[derive(Clone, PartialEq, Message)]
pub struct ArtifactSpec {
    #[prost(bytes = "vec", optional, tag = "1")]
    pub value: Option<Bytes>,
    #[prost(bytes = "vec", optional, tag = "2")]
    pub of: Option<Bytes>,
    #[prost(message, optional, tag = "3")]
    pub info: Option<ArtifactInfo>,
    #[prost(message, optional, tag = "6")]
    pub source: Option<ArtifactSource>,
    #[prost(bytes = "vec", repeated, tag = "7")]
    pub parent_artifacts: Vec<Bytes>,
    #[prost(message, optional, tag = "8")]
    pub partitions: Option<Partitions>,
    #[prost(message, optional, tag = "9")]
    pub time_partition: Option<TimePartition>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Artifact {
    #[prost(message, optional, tag = "1")]
    pub artifact_id: Option<ArtifactId>,
    #[prost(bytes = "vec", tag = "2")]
    pub spec: Bytes,
    #[prost(message, optional, tag = "3")]
    pub created_at: Option<Time>,
    #[prost(message, optional, tag = "4")]
    pub created_by: Option<Creator>,
    #[prost(message, optional, tag = "5")]
    pub mismatch: Option<SchemaMismatch>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Creator {
    #[prost(message, optional, tag = "1")]
    pub user: Option<CreatingUser>,
}

#[derive(Clone, PartialEq, Message)]
pub struct CreatingUser {
    #[prost(message, optional, tag = "1")]
    pub id: Option<super::Text>,
}

#[derive(Clone, PartialEq, Message)]
pub struct SchemaMismatch {
    #[prost(message, optional, tag = "1")]
    pub expected: Option<PartitionSchema>,
    #[prost(message, optional, tag = "2")]
    pub actual: Option<PartitionSchema>,
    #[prost(string, tag = "3")]
    pub message: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct PartitionSchema {
    #[prost(message, optional, tag = "1")]
    pub time_partition: Option<TimeKey>,
    #[prost(string, repeated, tag = "2")]
    pub partition_keys: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct TimeKey {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(int32, tag = "2")]
    pub granularity: i32,
}

#[derive(Clone, PartialEq, Message)]
pub struct CreateArtifactRequest {
    #[prost(message, optional, tag = "1")]
    pub artifact_id: Option<ArtifactId>,
    #[prost(bytes = "vec", tag = "2")]
    pub spec: Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub struct ArtifactResponse {
    #[prost(message, optional, tag = "1")]
    pub artifact: Option<Artifact>,
}

#[derive(Clone, PartialEq, Message)]
pub struct GetArtifactRequest {
    #[prost(message, optional, tag = "1")]
    pub name: Option<ArtifactName>,
    #[prost(string, optional, tag = "2")]
    pub version: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ListArtifactsRequest {
    #[prost(message, optional, tag = "1")]
    pub request: Option<ListRequest>,
    #[prost(message, optional, tag = "2")]
    pub project_id: Option<ProjectId>,
    #[prost(string, optional, tag = "3")]
    pub name: Option<String>,
    #[prost(bool, tag = "4")]
    pub latest_per_partition: bool,
}

#[derive(Clone, PartialEq, Message)]
pub struct ListArtifactsResponse {
    #[prost(message, repeated, tag = "1")]
    pub artifacts: Vec<Artifact>,
    #[prost(string, tag = "2")]
    pub token: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct ListArtifactNamesRequest {
    #[prost(message, optional, tag = "1")]
    pub request: Option<ListRequest>,
    #[prost(message, optional, tag = "2")]
    pub project_id: Option<ProjectId>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ArtifactGroup {
    #[prost(message, optional, tag = "1")]
    pub latest: Option<Artifact>,
    #[prost(uint64, tag = "2")]
    pub versions: u64,
    #[prost(message, optional, tag = "3")]
    pub partition_schema: Option<PartitionSchema>,
    #[prost(message, optional, tag = "4")]
    pub latest_time_partition: Option<Time>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ListArtifactNamesResponse {
    #[prost(message, repeated, tag = "1")]
    pub groups: Vec<ArtifactGroup>,
    #[prost(string, tag = "2")]
    pub token: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct MetadataKeysRequest {
    #[prost(message, optional, tag = "1")]
    pub project_id: Option<ProjectId>,
    #[prost(string, optional, tag = "2")]
    pub name: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Texts {
    #[prost(string, repeated, tag = "1")]
    pub values: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct DeclareArtifactRequest {
    #[prost(message, optional, tag = "1")]
    pub name: Option<ArtifactName>,
    #[prost(message, optional, tag = "2")]
    pub partition_schema: Option<PartitionSchema>,
}

#[derive(Clone, PartialEq, Message)]
pub struct SchemaResponse {
    #[prost(message, optional, tag = "1")]
    pub partition_schema: Option<PartitionSchema>,
    #[prost(bool, tag = "2")]
    pub declared: bool,
}

#[derive(Clone, PartialEq, Message)]
pub struct GetSchemaRequest {
    #[prost(message, optional, tag = "1")]
    pub name: Option<ArtifactName>,
}

#[derive(Clone, PartialEq, Message)]
pub struct PartitionValuesRequest {
    #[prost(message, optional, tag = "1")]
    pub request: Option<ListRequest>,
    #[prost(message, optional, tag = "2")]
    pub project_id: Option<ProjectId>,
    #[prost(string, tag = "3")]
    pub name: String,
    #[prost(string, tag = "4")]
    pub key: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct DeleteArtifactRequest {
    #[prost(message, optional, tag = "1")]
    pub artifact_id: Option<ArtifactId>,
}

/// The outputs of a task, as far as they say which of them are artifacts.
#[derive(Clone, PartialEq, Message)]
pub struct ProducingOutputs {
    #[prost(message, repeated, tag = "1")]
    pub literals: Vec<RawLiteral>,
    #[prost(message, repeated, tag = "3")]
    pub produced_artifacts: Vec<ProducedArtifact>,
}

#[derive(Clone, PartialEq, Message)]
pub struct RawLiteral {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(bytes = "vec", tag = "2")]
    pub value: Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub struct ProducedArtifact {
    #[prost(string, tag = "1")]
    pub output: String,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(string, tag = "3")]
    pub version: String,
    #[prost(message, optional, tag = "4")]
    pub info: Option<ArtifactInfo>,
    #[prost(bytes = "vec", optional, tag = "5")]
    pub of: Option<Bytes>,
    #[prost(bytes = "vec", repeated, tag = "6")]
    pub parent_artifacts: Vec<Bytes>,
    #[prost(message, optional, tag = "7")]
    pub partitions: Option<Partitions>,
    #[prost(message, optional, tag = "8")]
    pub time_partition: Option<TimePartition>,
}

/// What starts a trigger when an artifact comes.
#[derive(Clone, PartialEq, Message)]
pub struct OnArtifact {
    #[prost(string, tag = "1")]
    pub artifact_name: String,
    #[prost(string, tag = "2")]
    pub version: String,
    #[prost(string, tag = "3")]
    pub input_arg: String,
    #[prost(btree_map = "string, string", tag = "4")]
    pub partitions: BTreeMap<String, String>,
    #[prost(btree_map = "string, string", tag = "5")]
    pub partition_input_args: BTreeMap<String, String>,
}

/// A literal of which only the mark of an artifact is known here: joined to another it gives that the mark.
#[derive(Clone, PartialEq, Message)]
pub struct MarkedLiteral {
    #[prost(message, optional, tag = "9")]
    pub artifact_id: Option<ArtifactVersionId>,
}
