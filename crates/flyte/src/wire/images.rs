//! Images that were built.

use prost::Message;

use super::Text;

#[derive(Clone, PartialEq, Message)]
pub struct GetImageRequest {
    #[prost(message, optional, tag = "1")]
    pub id: Option<Text>,
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
