//! Messages, by the service that speaks them.

#![expect(missing_docs, reason = "the names are those of the protocol, whose documents say what they mean")]

mod apps;
mod artifacts;
mod asked;
mod deployed;
mod images;
mod notifications;
mod provenance;
mod secrets;
mod settings;
mod spec;
mod triggers;
mod values;

use std::collections::BTreeMap;

use prost::Message;

pub use apps::*;
pub use artifacts::*;
pub use asked::*;
pub use deployed::*;
pub use images::*;
pub use notifications::*;
pub use provenance::*;
pub use secrets::*;
pub use settings::*;
pub use spec::*;
pub use triggers::*;
pub use values::*;

type Bytes = Vec<u8>;

/// A point in time or a span of it.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Time {
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

#[derive(Clone, PartialEq, Message)]
pub struct Empty {}

#[derive(Clone, PartialEq, Message)]
pub struct Text {
    #[prost(string, tag = "1")]
    pub value: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct KeyValue {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(string, tag = "2")]
    pub value: String,
}

// Identifiers.

#[derive(Clone, PartialEq, Message)]
pub struct ProjectId {
    #[prost(string, tag = "1")]
    pub organization: String,
    #[prost(string, tag = "2")]
    pub domain: String,
    #[prost(string, tag = "3")]
    pub name: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct RunId {
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
pub struct ActionId {
    #[prost(message, optional, tag = "1")]
    pub run: Option<RunId>,
    #[prost(string, tag = "2")]
    pub name: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct AttemptId {
    #[prost(message, optional, tag = "1")]
    pub action_id: Option<ActionId>,
    #[prost(uint32, tag = "2")]
    pub attempt: u32,
}

/// Where something is to be asked for, as far as it is about an action.
#[derive(Clone, PartialEq, Message)]
pub struct SelectClusterRequest {
    #[prost(message, optional, tag = "4")]
    pub action_id: Option<ActionId>,
    #[prost(message, optional, tag = "5")]
    pub action_attempt_id: Option<AttemptId>,
    #[prost(int32, tag = "8")]
    pub operation: i32,
}

#[derive(Clone, PartialEq, Message)]
pub struct SelectClusterResponse {
    #[prost(string, tag = "1")]
    pub cluster_endpoint: String,
    #[prost(string, tag = "2")]
    pub cluster: String,
}

#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct TaskId {
    #[prost(string, tag = "1")]
    pub org: String,
    #[prost(string, tag = "2")]
    pub project: String,
    #[prost(string, tag = "3")]
    pub domain: String,
    #[prost(string, tag = "4")]
    pub name: String,
    #[prost(string, tag = "5")]
    pub version: String,
}

// Lists.

#[derive(Clone, PartialEq, Message)]
pub struct ListRequest {
    #[prost(uint32, tag = "1")]
    pub limit: u32,
    #[prost(string, tag = "2")]
    pub token: String,
    #[prost(message, optional, tag = "3")]
    pub sort_by: Option<Sort>,
    #[prost(message, repeated, tag = "4")]
    pub filters: Vec<Filter>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Sort {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(int32, tag = "2")]
    pub direction: i32,
}

#[derive(Clone, PartialEq, Message)]
pub struct Filter {
    #[prost(int32, tag = "1")]
    pub function: i32,
    #[prost(string, tag = "2")]
    pub field: String,
    #[prost(string, repeated, tag = "3")]
    pub values: Vec<String>,
}

// Data.

#[derive(Clone, PartialEq, Message)]
pub struct CreateUploadLocationRequest {
    #[prost(string, tag = "1")]
    pub project: String,
    #[prost(string, tag = "2")]
    pub domain: String,
    #[prost(string, tag = "3")]
    pub filename: String,
    #[prost(bytes = "vec", tag = "5")]
    pub content_md5: Bytes,
    #[prost(string, tag = "6")]
    pub filename_root: String,
    #[prost(string, tag = "8")]
    pub org: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct CreateUploadLocationResponse {
    #[prost(string, tag = "1")]
    pub signed_url: String,
    #[prost(string, tag = "2")]
    pub native_url: String,
    #[prost(message, optional, tag = "3")]
    pub expires_at: Option<Time>,
    #[prost(btree_map = "string, string", tag = "4")]
    pub headers: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct UploadInputsRequest {
    #[prost(message, optional, tag = "1")]
    pub run_id: Option<RunId>,
    #[prost(message, optional, tag = "2")]
    pub project_id: Option<ProjectId>,
    #[prost(bytes = "vec", tag = "6")]
    pub inputs: Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub struct UploadInputsResponse {
    #[prost(message, optional, tag = "1")]
    pub offloaded_input_data: Option<Offloaded>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Offloaded {
    #[prost(string, tag = "1")]
    pub uri: String,
    #[prost(string, tag = "2")]
    pub inputs_hash: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct CreateDownloadLinkRequest {
    #[prost(int32, tag = "1")]
    pub artifact_type: i32,
    #[prost(message, optional, tag = "3")]
    pub action_attempt_id: Option<AttemptId>,
    #[prost(message, optional, tag = "5")]
    pub task_id: Option<TaskId>,
}

#[derive(Clone, PartialEq, Message)]
pub struct CreateDownloadLinkResponse {
    #[prost(message, optional, tag = "1")]
    pub pre_signed_urls: Option<PreSigned>,
}

#[derive(Clone, PartialEq, Message)]
pub struct PreSigned {
    #[prost(string, repeated, tag = "1")]
    pub signed_url: Vec<String>,
    #[prost(message, optional, tag = "2")]
    pub expires_at: Option<Time>,
}

#[derive(Clone, PartialEq, Message)]
pub struct GetActionDataResponse {
    #[prost(bytes = "vec", optional, tag = "1")]
    pub inputs: Option<Bytes>,
    #[prost(bytes = "vec", optional, tag = "2")]
    pub outputs: Option<Bytes>,
    #[prost(string, tag = "3")]
    pub inputs_uri: String,
    #[prost(string, tag = "4")]
    pub outputs_uri: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct TailLogsResponse {
    #[prost(message, repeated, tag = "1")]
    pub logs: Vec<Logs>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Logs {
    #[prost(message, repeated, tag = "1")]
    pub lines: Vec<LogLine>,
}

#[derive(Clone, PartialEq, Message)]
pub struct LogLine {
    #[prost(message, optional, tag = "1")]
    pub timestamp: Option<Time>,
    #[prost(string, tag = "2")]
    pub message: String,
    #[prost(int32, tag = "3")]
    pub originator: i32,
}

// Runs.

#[derive(Clone, PartialEq, Message)]
pub struct CreateRunRequest {
    #[prost(message, optional, tag = "1")]
    pub run_id: Option<RunId>,
    #[prost(message, optional, tag = "2")]
    pub task_id: Option<TaskId>,
    #[prost(bytes = "vec", optional, tag = "3")]
    pub task_spec: Option<Bytes>,
    #[prost(bytes = "vec", optional, tag = "4")]
    pub inputs: Option<Bytes>,
    #[prost(bytes = "vec", tag = "5")]
    pub run_spec: Bytes,
    #[prost(message, optional, tag = "6")]
    pub project_id: Option<ProjectId>,
    #[prost(message, optional, tag = "7")]
    pub trigger_name: Option<TriggerName>,
    #[prost(int32, tag = "8")]
    pub source: i32,
    #[prost(message, optional, tag = "9")]
    pub offloaded_input_data: Option<Offloaded>,
}

#[derive(Clone, PartialEq, Message)]
pub struct CreateRunResponse {
    #[prost(message, optional, tag = "1")]
    pub run: Option<Run>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Run {
    #[prost(message, optional, tag = "1")]
    pub action: Option<Action>,
    #[prost(btree_map = "string, string", tag = "2")]
    pub labels: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Action {
    #[prost(message, optional, tag = "1")]
    pub id: Option<ActionId>,
    #[prost(message, optional, tag = "2")]
    pub metadata: Option<ActionMetadata>,
    #[prost(message, optional, tag = "3")]
    pub status: Option<ActionStatus>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ActionMetadata {
    #[prost(string, tag = "3")]
    pub parent: String,
    #[prost(string, tag = "5")]
    pub group: String,
    #[prost(message, optional, tag = "7")]
    pub task: Option<TaskActionMetadata>,
    #[prost(message, optional, tag = "8")]
    pub trace: Option<Text>,
    #[prost(message, optional, tag = "9")]
    pub condition: Option<ConditionMeta>,
    #[prost(int32, tag = "10")]
    pub action_type: i32,
    #[prost(string, tag = "12")]
    pub environment_name: String,
    #[prost(string, tag = "13")]
    pub function_name: String,
    #[prost(int32, tag = "16")]
    pub source: i32,
    #[prost(message, optional, tag = "17")]
    pub relation: Option<Relation>,
    #[prost(message, optional, tag = "18")]
    pub recovered_from: Option<ActionId>,
}

#[derive(Clone, PartialEq, Message)]
pub struct TaskActionMetadata {
    #[prost(message, optional, tag = "1")]
    pub id: Option<TaskId>,
    #[prost(string, tag = "2")]
    pub task_type: String,
    #[prost(string, tag = "3")]
    pub short_name: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct ActionStatus {
    #[prost(int32, tag = "1")]
    pub phase: i32,
    #[prost(message, optional, tag = "2")]
    pub start_time: Option<Time>,
    #[prost(message, optional, tag = "3")]
    pub end_time: Option<Time>,
    #[prost(uint32, tag = "4")]
    pub attempts: u32,
    #[prost(int32, tag = "5")]
    pub cache_status: i32,
    #[prost(uint64, optional, tag = "6")]
    pub duration_ms: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ActionDetails {
    #[prost(message, optional, tag = "1")]
    pub id: Option<ActionId>,
    #[prost(message, optional, tag = "2")]
    pub metadata: Option<ActionMetadata>,
    #[prost(message, optional, tag = "3")]
    pub status: Option<ActionStatus>,
    #[prost(message, optional, tag = "4")]
    pub error_info: Option<ErrorInfo>,
    #[prost(message, optional, tag = "5")]
    pub abort_info: Option<Text>,
    #[prost(bytes = "vec", optional, tag = "6")]
    pub task: Option<Bytes>,
    #[prost(message, repeated, tag = "7")]
    pub attempts: Vec<ActionAttempt>,
    #[prost(bytes = "vec", optional, tag = "8")]
    pub trace: Option<Bytes>,
    #[prost(bytes = "vec", optional, tag = "9")]
    pub condition: Option<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ActionAttempt {
    #[prost(int32, tag = "1")]
    pub phase: i32,
    #[prost(message, optional, tag = "2")]
    pub start_time: Option<Time>,
    #[prost(message, optional, tag = "3")]
    pub end_time: Option<Time>,
    #[prost(message, optional, tag = "4")]
    pub error_info: Option<ErrorInfo>,
    #[prost(uint32, tag = "5")]
    pub attempt: u32,
    #[prost(message, optional, tag = "7")]
    pub outputs: Option<OutputReferences>,
    #[prost(bool, tag = "8")]
    pub logs_available: bool,
    #[prost(int32, tag = "9")]
    pub cache_status: i32,
    #[prost(message, repeated, tag = "11")]
    pub phase_transitions: Vec<PhaseTransition>,
    #[prost(string, tag = "12")]
    pub cluster: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct PhaseTransition {
    #[prost(int32, tag = "1")]
    pub phase: i32,
    #[prost(message, optional, tag = "2")]
    pub start_time: Option<Time>,
    #[prost(message, optional, tag = "3")]
    pub end_time: Option<Time>,
}

#[derive(Clone, PartialEq, Message)]
pub struct OutputReferences {
    #[prost(string, tag = "1")]
    pub output_uri: String,
    #[prost(string, tag = "2")]
    pub report_uri: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct ErrorInfo {
    #[prost(string, tag = "1")]
    pub message: String,
    #[prost(int32, tag = "2")]
    pub kind: i32,
    #[prost(string, tag = "3")]
    pub code: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct RunDetails {
    #[prost(bytes = "vec", optional, tag = "1")]
    pub run_spec: Option<Bytes>,
    #[prost(message, optional, tag = "2")]
    pub action: Option<ActionDetails>,
}

#[derive(Clone, PartialEq, Message)]
pub struct RunDetailsResponse {
    #[prost(message, optional, tag = "1")]
    pub details: Option<RunDetails>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ActionDetailsResponse {
    #[prost(message, optional, tag = "1")]
    pub details: Option<ActionDetails>,
}

/// Every request about one run.
#[derive(Clone, PartialEq, Message)]
pub struct OfRun {
    #[prost(message, optional, tag = "1")]
    pub run_id: Option<RunId>,
    #[prost(string, optional, tag = "2")]
    pub reason: Option<String>,
}

/// Every request about one action.
#[derive(Clone, PartialEq, Message)]
pub struct OfAction {
    #[prost(message, optional, tag = "1")]
    pub action_id: Option<ActionId>,
}

#[derive(Clone, PartialEq, Message)]
pub struct AbortAction {
    #[prost(message, optional, tag = "1")]
    pub action_id: Option<ActionId>,
    #[prost(string, optional, tag = "2")]
    pub reason: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct TailLogsRequest {
    #[prost(message, optional, tag = "1")]
    pub action_id: Option<ActionId>,
    #[prost(uint32, tag = "2")]
    pub attempt: u32,
}

#[derive(Clone, PartialEq, Message)]
pub struct ListRunsRequest {
    #[prost(message, optional, tag = "1")]
    pub request: Option<ListRequest>,
    #[prost(message, optional, tag = "4")]
    pub project_id: Option<ProjectId>,
    #[prost(message, optional, tag = "7")]
    pub task_name: Option<TaskId>,
    #[prost(message, optional, tag = "8")]
    pub task_id: Option<TaskId>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ListRunsResponse {
    #[prost(message, repeated, tag = "1")]
    pub runs: Vec<Run>,
    #[prost(string, tag = "2")]
    pub token: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct ListActionsRequest {
    #[prost(message, optional, tag = "1")]
    pub request: Option<ListRequest>,
    #[prost(message, optional, tag = "2")]
    pub run_id: Option<RunId>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ListActionsResponse {
    #[prost(message, repeated, tag = "1")]
    pub actions: Vec<Action>,
    #[prost(string, tag = "2")]
    pub token: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct SignalEvent {
    #[prost(message, optional, tag = "1")]
    pub action_id: Option<ActionId>,
    #[prost(string, tag = "2")]
    pub parent_action_name: String,
    #[prost(message, optional, tag = "3")]
    pub payload: Option<EventPayload>,
}

#[derive(Clone, PartialEq, Message)]
pub struct EventPayload {
    #[prost(bool, optional, tag = "1")]
    pub bool_value: Option<bool>,
    #[prost(int64, optional, tag = "2")]
    pub int_value: Option<i64>,
    #[prost(double, optional, tag = "3")]
    pub float_value: Option<f64>,
    #[prost(string, optional, tag = "4")]
    pub string_value: Option<String>,
}
