//! Whom the end of a run is told.

#![expect(missing_docs, reason = "the names are those of the protocol, whose documents say what they mean")]

use std::collections::BTreeMap;

use prost::Message;

use super::Bytes;

#[derive(Clone, PartialEq, Message)]
pub struct NotificationRules {
    #[prost(message, repeated, tag = "1")]
    pub rules: Vec<NotificationRule>,
}

#[derive(Clone, PartialEq, Message)]
pub struct NotificationRule {
    #[prost(int32, repeated, tag = "1")]
    pub on_phases: Vec<i32>,
    #[prost(string, tag = "2")]
    pub delivery: String,
    #[prost(message, optional, tag = "3")]
    pub template: Option<DeliveryTemplate>,
}

#[derive(Clone, PartialEq, Message)]
pub struct DeliveryTemplate {
    #[prost(message, optional, tag = "1")]
    pub webhook: Option<Webhook>,
    #[prost(bytes = "vec", optional, tag = "2")]
    pub email: Option<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Webhook {
    #[prost(string, tag = "1")]
    pub url: String,
    #[prost(int32, tag = "2")]
    pub method: i32,
    #[prost(btree_map = "string, string", tag = "3")]
    pub headers: BTreeMap<String, String>,
    #[prost(string, tag = "4")]
    pub body_template: String,
}
