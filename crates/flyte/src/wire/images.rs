//! Images that were built.

use prost::Message;

use super::{ProjectId, Text};

#[derive(Clone, PartialEq, Message)]
pub struct GetImageRequest {
    #[prost(message, optional, tag = "1")]
    pub id: Option<Text>,
    #[prost(message, optional, tag = "3")]
    pub project_id: Option<ProjectId>,
}

#[derive(Clone, PartialEq, Message)]
pub struct GetImageResponse {
    #[prost(message, optional, tag = "1")]
    pub image: Option<BuiltImage>,
}

#[derive(Clone, PartialEq, Message)]
pub struct BuiltImage {
    #[prost(message, optional, tag = "1")]
    pub id: Option<Text>,
    #[prost(string, tag = "2")]
    pub fqin: String,
}
