//! L4: every inbound door. Today the REST API; others get a room beside it.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod flyte;
pub mod rest;
mod web;

pub use crate::flyte::METHODS as FLYTE_METHODS;
pub use rest::{Access, Listen, Server, Tls, serve};
