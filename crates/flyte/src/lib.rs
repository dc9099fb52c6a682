//! L2: what the control plane has to know of Flyte 2: the messages of its protocol, what a task becomes as a process, how that ended, and
//! the objects that tasks read and write.
//!
//! Messages are a subset, written by hand after the published interface. A message that is only kept and given back is bytes here: on the
//! wire that is the same, and fields that this version does not know survive.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod addresses;
pub mod apps;
pub mod artifacts;
mod bucket;
pub mod call;
pub mod chunks;
pub mod conditions;
mod elsewhere;
pub mod ending;
pub mod images;
pub mod interface;
pub mod msgpack;
pub mod notifications;
pub mod objects;
pub mod process;
pub mod reach;
pub mod seals;
pub mod settings;
pub mod sign;
#[cfg(test)]
mod strange;
pub mod subject;
pub mod task;
pub mod wire;
pub mod workflows;

pub use addresses::{Addresses, addresses};
pub use bucket::{Away, Bucket, away};
pub use call::{Call, Recovery};
pub use elsewhere::Buckets;
pub use objects::Objects;
pub use prost::Message;
pub use reach::Reach;

/// The bucket under which all objects lie.
pub const BUCKET: &str = "tutti";

/// The address of an object, as tasks write it.
pub fn uri(key: &str) -> String {
    format!("s3://{BUCKET}/{key}")
}

/// The key of an object by its address; none when it lies elsewhere.
pub fn key(uri: &str) -> Option<&str> {
    uri.strip_prefix("s3://")?.strip_prefix(BUCKET)?.strip_prefix('/')
}
