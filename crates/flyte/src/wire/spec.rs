//! What a task is, as far as running it needs.

#![expect(missing_docs, reason = "the names are those of the protocol, whose documents say what they mean")]

use prost::Message;

use super::*;

#[derive(Clone, PartialEq, Message)]
pub struct TaskSpec {
    #[prost(message, optional, tag = "1")]
    pub task_template: Option<TaskTemplate>,
    #[prost(message, repeated, tag = "2")]
    pub default_inputs: Vec<NamedParameter>,
    #[prost(string, tag = "3")]
    pub short_name: String,
    #[prost(message, optional, tag = "4")]
    pub environment: Option<Text>,
}

#[derive(Clone, PartialEq, Message)]
pub struct TaskTemplate {
    #[prost(message, optional, tag = "1")]
    pub id: Option<TemplateId>,
    #[prost(string, tag = "2")]
    pub kind: String,
    #[prost(message, optional, tag = "3")]
    pub metadata: Option<TaskMetadata>,
    #[prost(bytes = "vec", tag = "4")]
    pub interface: Bytes,
    #[prost(message, optional, tag = "6")]
    pub container: Option<Container>,
    #[prost(message, optional, tag = "8")]
    pub security_context: Option<SecurityContext>,
    #[prost(message, optional, tag = "19")]
    pub reuse_policy: Option<ReusePolicy>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ReusePolicy {
    #[prost(int32, tag = "2")]
    pub max_replicas: i32,
    #[prost(message, optional, tag = "4")]
    pub idle_ttl: Option<Time>,
    #[prost(int32, tag = "6")]
    pub scope: i32,
}

#[derive(Clone, PartialEq, Message)]
pub struct TemplateId {
    #[prost(string, tag = "2")]
    pub project: String,
    #[prost(string, tag = "3")]
    pub domain: String,
    #[prost(string, tag = "4")]
    pub name: String,
    #[prost(string, tag = "5")]
    pub version: String,
    #[prost(string, tag = "6")]
    pub org: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct TaskMetadata {
    #[prost(bool, tag = "1")]
    pub discoverable: bool,
    #[prost(message, optional, tag = "2")]
    pub runtime: Option<Runtime>,
    #[prost(message, optional, tag = "4")]
    pub timeout: Option<Time>,
    #[prost(message, optional, tag = "5")]
    pub retries: Option<Retries>,
    #[prost(string, tag = "6")]
    pub discovery_version: String,
    #[prost(bool, tag = "9")]
    pub cache_serializable: bool,
    #[prost(message, optional, tag = "22")]
    pub timeouts: Option<Timeouts>,
    #[prost(bool, tag = "23")]
    pub produces_artifacts: bool,
    #[prost(message, optional, tag = "24")]
    pub cache_max_age: Option<Time>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Timeouts {
    #[prost(message, optional, tag = "1")]
    pub queued: Option<Time>,
    #[prost(message, optional, tag = "2")]
    pub deadline: Option<Time>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Runtime {
    #[prost(string, tag = "2")]
    pub version: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct Retries {
    #[prost(uint32, tag = "5")]
    pub retries: u32,
    #[prost(message, optional, tag = "6")]
    pub backoff: Option<Backoff>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Backoff {
    #[prost(message, optional, tag = "1")]
    pub base: Option<Time>,
    #[prost(double, tag = "2")]
    pub factor: f64,
    #[prost(message, optional, tag = "3")]
    pub cap: Option<Time>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Container {
    #[prost(string, tag = "1")]
    pub image: String,
    #[prost(string, repeated, tag = "2")]
    pub command: Vec<String>,
    #[prost(string, repeated, tag = "3")]
    pub args: Vec<String>,
    #[prost(message, optional, tag = "4")]
    pub resources: Option<Resources>,
    #[prost(message, repeated, tag = "5")]
    pub env: Vec<KeyValue>,
    #[prost(message, repeated, tag = "7")]
    pub ports: Vec<ContainerPort>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ContainerPort {
    #[prost(uint32, tag = "1")]
    pub container_port: u32,
    #[prost(string, tag = "2")]
    pub name: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct Resources {
    #[prost(message, repeated, tag = "1")]
    pub requests: Vec<ResourceEntry>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ResourceEntry {
    #[prost(int32, tag = "1")]
    pub name: i32,
    #[prost(string, tag = "2")]
    pub value: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct RunSpec {
    #[prost(message, optional, tag = "1")]
    pub labels: Option<RunLabels>,
    #[prost(message, optional, tag = "3")]
    pub envs: Option<Envs>,
    #[prost(bool, tag = "5")]
    pub overwrite_cache: bool,
    #[prost(string, tag = "6")]
    pub queue: String,
    #[prost(message, optional, tag = "9")]
    pub cache_config: Option<CacheConfig>,
    #[prost(string, tag = "10")]
    pub notification_rule: String,
    #[prost(message, optional, tag = "11")]
    pub notifications: Option<NotificationRules>,
    #[prost(message, optional, tag = "12")]
    pub run_start_time: Option<Time>,
    #[prost(uint32, tag = "13")]
    pub max_action_concurrency: u32,
}

#[derive(Clone, PartialEq, Message)]
pub struct RunLabels {
    #[prost(btree_map = "string, string", tag = "1")]
    pub values: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Envs {
    #[prost(message, repeated, tag = "1")]
    pub values: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
pub struct CacheConfig {
    #[prost(bool, tag = "1")]
    pub overwrite_cache: bool,
}
