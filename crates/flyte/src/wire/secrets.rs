//! Messages of secrets: what a task asks for, and the service that looks after them.

use prost::Message;

use super::Time;

/// What a task asks for beside its code.
#[derive(Clone, PartialEq, Message)]
pub struct SecurityContext {
    #[prost(message, repeated, tag = "2")]
    pub secrets: Vec<SecretRequest>,
}

/// A secret that a task asks for.
#[derive(Clone, PartialEq, Message)]
pub struct SecretRequest {
    #[prost(string, tag = "1")]
    pub group: String,
    #[prost(string, tag = "3")]
    pub key: String,
    /// 0 for whatever suits, 1 for a variable, 2 for a file.
    #[prost(int32, tag = "4")]
    pub mount_requirement: i32,
    #[prost(string, tag = "5")]
    pub env_var: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct SecretId {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub organization: String,
    #[prost(string, tag = "3")]
    pub domain: String,
    #[prost(string, tag = "4")]
    pub project: String,
}

/// A value. Its text is not printed with the message.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct SecretValue {
    #[prost(string, tag = "1")]
    pub string_value: String,
    #[prost(bytes = "vec", tag = "2")]
    pub binary_value: Vec<u8>,
    /// 0 for any, 1 for one that pulls images.
    #[prost(int32, tag = "3")]
    pub kind: i32,
}

impl std::fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretValue")
    }
}

#[derive(Clone, PartialEq, Message)]
pub struct SetSecretRequest {
    #[prost(message, optional, tag = "1")]
    pub id: Option<SecretId>,
    #[prost(message, optional, tag = "2")]
    pub secret_spec: Option<SecretValue>,
}

#[derive(Clone, PartialEq, Message)]
pub struct OfSecret {
    #[prost(message, optional, tag = "1")]
    pub id: Option<SecretId>,
}

#[derive(Clone, PartialEq, Message)]
pub struct SecretResponse {
    #[prost(message, optional, tag = "1")]
    pub secret: Option<KnownSecret>,
}

/// What is known of a secret without its value.
#[derive(Clone, PartialEq, Message)]
pub struct KnownSecret {
    #[prost(message, optional, tag = "1")]
    pub id: Option<SecretId>,
    #[prost(message, optional, tag = "2")]
    pub secret_metadata: Option<SecretMetadata>,
}

#[derive(Clone, PartialEq, Message)]
pub struct SecretMetadata {
    #[prost(message, optional, tag = "1")]
    pub created_time: Option<Time>,
    #[prost(message, optional, tag = "2")]
    pub secret_status: Option<SecretStatus>,
}

#[derive(Clone, PartialEq, Message)]
pub struct SecretStatus {
    /// 2 for being there wherever it is needed.
    #[prost(int32, tag = "1")]
    pub overall_status: i32,
}

#[derive(Clone, PartialEq, Message)]
pub struct ListSecretsRequest {
    #[prost(string, tag = "1")]
    pub organization: String,
    #[prost(string, tag = "2")]
    pub domain: String,
    #[prost(string, tag = "3")]
    pub project: String,
    #[prost(int32, tag = "4")]
    pub limit: i32,
    #[prost(string, tag = "5")]
    pub token: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct ListSecretsResponse {
    #[prost(message, repeated, tag = "1")]
    pub secrets: Vec<KnownSecret>,
    #[prost(string, tag = "2")]
    pub token: String,
}
