//! L1: what is permitted: which site may see which data, what may move, who may do what, and why not.
//!
//! [`Rules`] is made of tags, policies in Cedar and sanitizers with their approvals. It answers questions and never acts: [`Rules::places`]
//! says of every site whether work on data with a label may run there, and names what refuses it; [`Rules::may`] answers for people and
//! their operations; [`Rules::lowering`] says whether a node may take tags off. The rules are named by a digest, so that every recorded
//! decision can be made again from the same rules.
//!
//! Two things are different from plain Cedar. An evaluation that errs is a refusal: Cedar leaves out a `forbid` that errs, and so lets
//! through what it was written against. And policies have to be monotone in labels: a tag more never permits a place more.

#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod bounds;
mod cache;
mod certificate;
mod egress;
mod entering;
mod entities;
mod lint;
mod operations;
mod places;
mod releases;
mod rules;
mod sanitizers;
mod schema;
mod slices;
mod verdict;
mod versions;

pub use cache::Cache;
pub use certificate::{Certificate, Certified, Flow, Refused, Step};
pub use entering::Entering;
pub use entities::{Fleet, Work};
pub use operations::{Caller, Ever, OPERATIONS, ROLES, Target};
pub use rules::{About, Problem, Rules, Sources};
pub use sanitizers::Standing;
pub use schema::schema;
pub use verdict::{Reason, Verdict};
pub use versions::{Stand, Version, Waiting, stand};
