//! L1: estimates from what has happened, each with an interval whose coverage is measured.
//!
//! [`Estimates`] learns from [`Observation`]s, one for each attempt that ended, and says how long an action of a task will take at a
//! site, how much memory it will hold, how much it will give back, how long it will wait, how often it fails. It is a projection: made
//! anew from the journal whenever that is asked, and never a source of truth. [`sizing`] chooses how much memory to ask for, [`forecast`]
//! how much work will come. No number here has authority; whoever uses one says so in the explanation of what was decided with it.

#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod beliefs;
mod estimates;
pub mod forecast;
pub mod normal;
mod series;
pub mod sizing;
mod window;

pub use beliefs::Beliefs;
pub use estimates::{Basis, Ended, Estimate, Estimates, Family, Observation};
pub use series::{Interval, Series};
