//! L0: the words of Tutti as types. Ids, time, money, values, labels, the workflow graph, resources, phases, sites, limits.
//!
//! No I/O, no clock, no randomness and no behaviour beyond validation: every crate of the workspace may depend on this one,
//! and this one depends on none of them. What is journaled derives `minicbor` with explicit field numbers; a number, once
//! released, is never given another meaning.

#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

pub mod connection;
pub mod digest;
pub mod failure;
pub mod govern;
pub mod graph;
pub mod ids;
pub mod label;
pub mod limits;
pub mod money;
pub mod phase;
pub mod project;
mod queue;
pub mod resources;
pub mod site;
pub mod template;
pub mod ticket;
pub mod time;
pub mod transfer;
pub mod value;

pub use connection::Connection;
pub use digest::Digest;
pub use failure::{Failure, FailureClass};
pub use graph::{Graph, Needs, Node, NodeIx, NodeKind};
pub use ids::{ActionKey, ActionNo, AttemptKey, AttemptNo, Epoch, RunId, Seq};
pub use label::{Carried, Label, Lowering, Read};
pub use money::Money;
pub use phase::Phase;
pub use project::ProjectSpec;
pub use queue::QueueSpec;
pub use resources::Resources;
pub use site::{SiteName, SiteSpec};
pub use template::Template;
pub use ticket::{EgressGrant, SignedTicket, Ticket};
pub use time::{Duration, Timestamp};
pub use transfer::TransferPath;
pub use value::{ArtifactRef, Payload};
