//! L1: which site an action should run on, in money, and why.
//!
//! Every term is priced by one objective ([`objective`]).
//!
//! - [`sim`] plays whole graphs through the sites in microseconds of processor time: what planning, what-if, benchmarks and back-tests use.
//! - [`search`] plays variants of the rule and then moves single tasks until the plan gets no better.
//! - [`plan`] decides for like actions that are queued now. It gives sites with counts and an [`Explanation`] that names every site, its
//!   terms in money and time, and what it lost on.
//!
//! What is permitted is an input ([`Permitted`]): nothing here can put work where the gate does not let it go.

#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod backlog;
pub mod burst;
mod demand;
mod explain;
pub mod explore;
pub mod keeping;
pub mod objective;
mod ranking;
pub mod search;
pub mod shares;
pub mod sim;
pub mod thrift;
pub mod warm;
pub mod world;

pub use backlog::Backlog;
pub use demand::{Demand, Input, Outlook, Permitted, SiteView, Started};
pub use explain::{Candidate, Explanation, Obstacle, Verdict};
pub use ranking::{PATIENCE_S, Plan, plan};
