//! Apps: services that run until they are stopped.

#![expect(missing_docs, reason = "the names are those of the protocol, whose documents say what they mean")]

use std::collections::BTreeMap;

use prost::Message;

use super::{Bytes, Container, Creator, ListRequest, LogLine, ProjectId, SecretRequest, Time};

#[derive(Clone, PartialEq, Eq, Message)]
pub struct AppId {
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
pub struct AppMeta {
    #[prost(message, optional, tag = "1")]
    pub id: Option<AppId>,
    #[prost(uint64, tag = "2")]
    pub revision: u64,
    #[prost(btree_map = "string, string", tag = "3")]
    pub labels: BTreeMap<String, String>,
    #[prost(string, tag = "4")]
    pub code_bundle_uri: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct FlyteApp {
    #[prost(message, optional, tag = "1")]
    pub metadata: Option<AppMeta>,
    #[prost(bytes = "vec", tag = "2")]
    pub spec: Bytes,
    #[prost(message, optional, tag = "3")]
    pub status: Option<AppStatus>,
}

#[derive(Clone, PartialEq, Message)]
pub struct AppStatus {
    #[prost(uint32, tag = "2")]
    pub current_replicas: u32,
    #[prost(message, optional, tag = "3")]
    pub ingress: Option<Ingress>,
    #[prost(message, optional, tag = "4")]
    pub created_at: Option<Time>,
    #[prost(message, repeated, tag = "6")]
    pub conditions: Vec<AppCondition>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Ingress {
    #[prost(string, tag = "1")]
    pub public_url: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct AppCondition {
    #[prost(message, optional, tag = "1")]
    pub last_transition_time: Option<Time>,
    #[prost(int32, tag = "2")]
    pub deployment_status: i32,
    #[prost(string, tag = "3")]
    pub message: String,
    #[prost(uint64, tag = "4")]
    pub revision: u64,
}

/// What is said of an app, as far as running it needs.
#[derive(Clone, PartialEq, Message)]
pub struct AppSpec {
    #[prost(message, optional, tag = "1")]
    pub container: Option<Container>,
    #[prost(bytes = "vec", optional, tag = "2")]
    pub pod: Option<Bytes>,
    #[prost(int32, tag = "5")]
    pub desired_state: i32,
    #[prost(message, optional, tag = "8")]
    pub security_context: Option<AppSecurity>,
    #[prost(message, optional, tag = "10")]
    pub runtime: Option<AppRuntime>,
    #[prost(message, optional, tag = "12")]
    pub creator: Option<Creator>,
}

#[derive(Clone, PartialEq, Message)]
pub struct AppSecurity {
    #[prost(message, repeated, tag = "2")]
    pub secrets: Vec<SecretRequest>,
    #[prost(bool, tag = "5")]
    pub allow_anonymous: bool,
}

#[derive(Clone, PartialEq, Message)]
pub struct AppRuntime {
    #[prost(string, tag = "2")]
    pub version: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct AppRequest {
    #[prost(message, optional, tag = "1")]
    pub app: Option<FlyteApp>,
    #[prost(string, tag = "2")]
    pub reason: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct OfApp {
    #[prost(message, optional, tag = "1")]
    pub app_id: Option<AppId>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ListAppsRequest {
    #[prost(message, optional, tag = "1")]
    pub request: Option<ListRequest>,
    #[prost(message, optional, tag = "4")]
    pub project: Option<ProjectId>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ListAppsResponse {
    #[prost(message, repeated, tag = "1")]
    pub apps: Vec<FlyteApp>,
    #[prost(string, tag = "2")]
    pub token: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct WatchAppsRequest {
    #[prost(message, optional, tag = "4")]
    pub app_id: Option<AppId>,
}

#[derive(Clone, PartialEq, Message)]
pub struct WatchAppsResponse {
    #[prost(message, optional, tag = "2")]
    pub update_event: Option<AppChanged>,
}

#[derive(Clone, PartialEq, Message)]
pub struct AppChanged {
    #[prost(message, optional, tag = "1")]
    pub updated_app: Option<FlyteApp>,
}

#[derive(Clone, PartialEq, Message)]
pub struct AppLogsResponse {
    #[prost(message, optional, tag = "3")]
    pub batches: Option<AppLogBatch>,
}

#[derive(Clone, PartialEq, Message)]
pub struct AppLogBatch {
    #[prost(message, repeated, tag = "1")]
    pub logs: Vec<AppLogLines>,
}

#[derive(Clone, PartialEq, Message)]
pub struct AppLogLines {
    #[prost(message, repeated, tag = "3")]
    pub lines: Vec<LogLine>,
}
