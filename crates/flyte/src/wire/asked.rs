//! Actions that running ones ask for.

#![expect(missing_docs, reason = "the names are those of the protocol, whose documents say what they mean")]

use prost::Message;

use super::*;

#[derive(Clone, PartialEq, Message)]
pub struct EnqueueRequest {
    #[prost(message, optional, tag = "1")]
    pub action: Option<Enqueued>,
    #[prost(bytes = "vec", tag = "2")]
    pub run_spec: Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub struct Enqueued {
    #[prost(message, optional, tag = "1")]
    pub action_id: Option<ActionId>,
    #[prost(string, optional, tag = "2")]
    pub parent_action_name: Option<String>,
    #[prost(string, tag = "3")]
    pub input_uri: String,
    #[prost(string, tag = "4")]
    pub run_output_base: String,
    #[prost(string, tag = "5")]
    pub group: String,
    #[prost(message, optional, tag = "7")]
    pub task: Option<TaskAction>,
    #[prost(message, optional, tag = "8")]
    pub trace: Option<TraceAction>,
    #[prost(message, optional, tag = "9")]
    pub condition: Option<ConditionAction>,
}

#[derive(Clone, PartialEq, Message)]
pub struct TaskAction {
    #[prost(message, optional, tag = "1")]
    pub id: Option<TaskId>,
    #[prost(bytes = "vec", tag = "2")]
    pub spec: Bytes,
    #[prost(message, optional, tag = "3")]
    pub cache_key: Option<Text>,
    #[prost(string, tag = "4")]
    pub queue: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct TraceAction {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(int32, tag = "2")]
    pub phase: i32,
    #[prost(message, optional, tag = "3")]
    pub start_time: Option<Time>,
    #[prost(message, optional, tag = "4")]
    pub end_time: Option<Time>,
    #[prost(message, optional, tag = "5")]
    pub outputs: Option<OutputReferences>,
    #[prost(bytes = "vec", tag = "6")]
    pub spec: Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub struct ConditionAction {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, optional, tag = "6")]
    pub kind: Option<LiteralType>,
    #[prost(string, tag = "7")]
    pub prompt: String,
    #[prost(string, tag = "8")]
    pub description: String,
    #[prost(int32, tag = "9")]
    pub prompt_type: i32,
    #[prost(message, optional, tag = "10")]
    pub timeout: Option<Time>,
    #[prost(message, optional, tag = "11")]
    pub webhook: Option<ConditionWebhook>,
}

/// What stands beside the state of a condition.
#[derive(Clone, PartialEq, Message)]
pub struct ConditionMeta {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, optional, tag = "5")]
    pub kind: Option<LiteralType>,
}

/// Who is to be told that a condition waits.
#[derive(Clone, PartialEq, Message)]
pub struct ConditionWebhook {
    #[prost(string, tag = "1")]
    pub url: String,
    #[prost(message, optional, tag = "2")]
    pub payload: Option<Fields>,
}

/// An object of JSON (`google.protobuf.Struct`).
#[derive(Clone, PartialEq, Message)]
pub struct Fields {
    #[prost(message, repeated, tag = "1")]
    pub fields: Vec<Field>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Field {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(message, optional, tag = "2")]
    pub value: Option<Json>,
}

/// A value of JSON; none of the fields is set for `null`.
#[derive(Clone, PartialEq, Message)]
pub struct Json {
    #[prost(double, optional, tag = "2")]
    pub number: Option<f64>,
    #[prost(string, optional, tag = "3")]
    pub text: Option<String>,
    #[prost(bool, optional, tag = "4")]
    pub boolean: Option<bool>,
    #[prost(message, optional, tag = "5")]
    pub object: Option<Fields>,
    #[prost(message, optional, tag = "6")]
    pub list: Option<JsonList>,
}

#[derive(Clone, PartialEq, Message)]
pub struct JsonList {
    #[prost(message, repeated, tag = "1")]
    pub values: Vec<Json>,
}

#[derive(Clone, PartialEq, Message)]
pub struct LiteralType {
    #[prost(int32, tag = "1")]
    pub simple: i32,
}

#[derive(Clone, PartialEq, Message)]
pub struct WatchResponse {
    #[prost(message, optional, tag = "1")]
    pub action_update: Option<ActionUpdate>,
    #[prost(message, optional, tag = "2")]
    pub control_message: Option<ControlMessage>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ControlMessage {
    #[prost(bool, tag = "1")]
    pub sentinel: bool,
}

#[derive(Clone, PartialEq, Message)]
pub struct ActionUpdate {
    #[prost(message, optional, tag = "1")]
    pub action_id: Option<ActionId>,
    #[prost(int32, tag = "2")]
    pub phase: i32,
    #[prost(message, optional, tag = "3")]
    pub error: Option<ExecutionError>,
    #[prost(string, tag = "4")]
    pub output_uri: String,
    #[prost(message, optional, tag = "5")]
    pub value: Option<Literal>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ExecutionError {
    #[prost(string, tag = "1")]
    pub code: String,
    #[prost(string, tag = "2")]
    pub message: String,
    #[prost(string, tag = "3")]
    pub error_uri: String,
    #[prost(int32, tag = "4")]
    pub kind: i32,
    #[prost(int32, tag = "7")]
    pub recoverability: i32,
}
