//! Tasks that were deployed, projects and people.

#![expect(missing_docs, reason = "the names are those of the protocol, whose documents say what they mean")]

use prost::Message;

use super::*;

#[derive(Clone, PartialEq, Message)]
pub struct DeployTaskRequest {
    #[prost(message, optional, tag = "1")]
    pub task_id: Option<TaskId>,
    #[prost(bytes = "vec", tag = "2")]
    pub spec: Bytes,
    #[prost(message, repeated, tag = "3")]
    pub triggers: Vec<TaskTrigger>,
}

#[derive(Clone, PartialEq, Message)]
pub struct OfTask {
    #[prost(message, optional, tag = "1")]
    pub task_id: Option<TaskId>,
}

#[derive(Clone, PartialEq, Message)]
pub struct TaskDetailsResponse {
    #[prost(message, optional, tag = "1")]
    pub details: Option<TaskDetails>,
}

#[derive(Clone, PartialEq, Message)]
pub struct TaskDetails {
    #[prost(message, optional, tag = "1")]
    pub task_id: Option<TaskId>,
    #[prost(message, optional, tag = "2")]
    pub metadata: Option<DeployedMetadata>,
    #[prost(bytes = "vec", tag = "3")]
    pub spec: Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub struct DeployedMetadata {
    #[prost(string, tag = "2")]
    pub short_name: String,
    #[prost(message, optional, tag = "3")]
    pub deployed_at: Option<Time>,
    #[prost(string, tag = "4")]
    pub environment_name: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct ListTasksRequest {
    #[prost(message, optional, tag = "1")]
    pub request: Option<ListRequest>,
    #[prost(message, optional, tag = "3")]
    pub project_id: Option<ProjectId>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ListTasksResponse {
    #[prost(message, repeated, tag = "1")]
    pub tasks: Vec<DeployedTask>,
    #[prost(string, tag = "2")]
    pub token: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct DeployedTask {
    #[prost(message, optional, tag = "1")]
    pub task_id: Option<TaskId>,
    #[prost(message, optional, tag = "2")]
    pub metadata: Option<DeployedMetadata>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ListVersionsRequest {
    #[prost(message, optional, tag = "1")]
    pub request: Option<ListRequest>,
    #[prost(message, optional, tag = "2")]
    pub task_name: Option<TaskId>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ListVersionsResponse {
    #[prost(message, repeated, tag = "1")]
    pub versions: Vec<DeployedVersion>,
    #[prost(string, tag = "2")]
    pub token: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct DeployedVersion {
    #[prost(string, tag = "1")]
    pub version: String,
    #[prost(message, optional, tag = "2")]
    pub deployed_at: Option<Time>,
}

// Projects and people.

#[derive(Clone, PartialEq, Message)]
pub struct Project {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(message, repeated, tag = "3")]
    pub domains: Vec<KeyValue>,
    #[prost(string, tag = "7")]
    pub org: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct Projects {
    #[prost(message, repeated, tag = "1")]
    pub projects: Vec<Project>,
    #[prost(string, tag = "2")]
    pub token: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct ListProjectsRequest {
    #[prost(uint32, tag = "1")]
    pub limit: u32,
    #[prost(string, tag = "2")]
    pub token: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct ListProjectsResponse {
    #[prost(message, optional, tag = "1")]
    pub projects: Option<Projects>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ProjectResponse {
    #[prost(message, optional, tag = "1")]
    pub project: Option<Project>,
}

#[derive(Clone, PartialEq, Message)]
pub struct UserInfo {
    #[prost(string, tag = "1")]
    pub subject: String,
    #[prost(string, tag = "2")]
    pub name: String,
}

/// Where tokens are had.
#[derive(Clone, PartialEq, Message)]
pub struct OAuth2Metadata {
    #[prost(string, tag = "1")]
    pub issuer: String,
    #[prost(string, tag = "2")]
    pub authorization_endpoint: String,
    #[prost(string, tag = "3")]
    pub token_endpoint: String,
    #[prost(string, repeated, tag = "6")]
    pub token_endpoint_auth_methods_supported: Vec<String>,
    #[prost(string, repeated, tag = "9")]
    pub grant_types_supported: Vec<String>,
}

/// What a client has to know to ask for a token.
#[derive(Clone, PartialEq, Message)]
pub struct PublicClientConfig {
    #[prost(string, tag = "1")]
    pub client_id: String,
    #[prost(string, tag = "2")]
    pub redirect_uri: String,
    #[prost(string, tag = "4")]
    pub authorization_metadata_key: String,
}
