//! Settings of the organisation, of a domain and of a project.

#![expect(missing_docs, reason = "the names are those of the protocol, whose documents say what they mean")]

use std::collections::BTreeMap;

use prost::Message;

use super::Bytes;

#[derive(Clone, PartialEq, Eq, Message)]
pub struct SettingsKey {
    #[prost(string, tag = "1")]
    pub org: String,
    #[prost(string, tag = "2")]
    pub domain: String,
    #[prost(string, tag = "3")]
    pub project: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct SettingsRecord {
    #[prost(message, optional, tag = "1")]
    pub key: Option<SettingsKey>,
    #[prost(bytes = "vec", tag = "2")]
    pub settings: Bytes,
    #[prost(uint64, tag = "3")]
    pub version: u64,
}

#[derive(Clone, PartialEq, Message)]
pub struct OfSettings {
    #[prost(message, optional, tag = "1")]
    pub key: Option<SettingsKey>,
}

#[derive(Clone, PartialEq, Message)]
pub struct SettingsResponse {
    #[prost(message, optional, tag = "1")]
    pub record: Option<SettingsRecord>,
}

#[derive(Clone, PartialEq, Message)]
pub struct SettingsLevels {
    #[prost(message, optional, tag = "1")]
    pub requested: Option<SettingsKey>,
    #[prost(message, repeated, tag = "2")]
    pub levels: Vec<SettingsRecord>,
}

/// Makes settings, or replaces those of a version.
#[derive(Clone, PartialEq, Message)]
pub struct SetSettingsRequest {
    #[prost(message, optional, tag = "1")]
    pub key: Option<SettingsKey>,
    #[prost(bytes = "vec", tag = "2")]
    pub settings: Bytes,
    #[prost(uint64, tag = "3")]
    pub version: u64,
}

/// What is said. What this server does not keep to is only looked at.
#[derive(Clone, PartialEq, Message)]
pub struct Settings {
    #[prost(message, optional, tag = "1")]
    pub run: Option<RunSettings>,
    #[prost(bytes = "vec", optional, tag = "2")]
    pub security: Option<Bytes>,
    #[prost(bytes = "vec", optional, tag = "3")]
    pub storage: Option<Bytes>,
    #[prost(bytes = "vec", optional, tag = "4")]
    pub task_resource: Option<Bytes>,
    #[prost(bytes = "vec", optional, tag = "5")]
    pub labels: Option<Bytes>,
    #[prost(bytes = "vec", optional, tag = "6")]
    pub annotations: Option<Bytes>,
    #[prost(message, optional, tag = "7")]
    pub environment_variables: Option<MapSetting>,
    #[prost(bytes = "vec", optional, tag = "8")]
    pub app: Option<Bytes>,
    #[prost(bytes = "vec", optional, tag = "9")]
    pub pod_template_name: Option<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
pub struct RunSettings {
    #[prost(message, optional, tag = "1")]
    pub default_queue: Option<TextSetting>,
    #[prost(message, optional, tag = "2")]
    pub max_action_concurrency: Option<IntSetting>,
    #[prost(bytes = "vec", optional, tag = "3")]
    pub run_base_dir: Option<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
pub struct TextSetting {
    #[prost(int32, tag = "1")]
    pub state: i32,
    #[prost(string, tag = "2")]
    pub value: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct IntSetting {
    #[prost(int32, tag = "1")]
    pub state: i32,
    #[prost(int64, tag = "2")]
    pub value: i64,
}

#[derive(Clone, PartialEq, Message)]
pub struct MapSetting {
    #[prost(int32, tag = "1")]
    pub state: i32,
    #[prost(message, optional, tag = "2")]
    pub value: Option<TextMap>,
}

#[derive(Clone, PartialEq, Message)]
pub struct TextMap {
    #[prost(btree_map = "string, string", tag = "1")]
    pub entries: BTreeMap<String, String>,
}
