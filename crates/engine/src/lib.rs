//! L1: the state machine of runs and of the fleet.
//!
//! [`State::step`] takes a [`Command`], the time and some entropy, and gives [`Event`]s; [`State::evolve`] folds an event into the
//! state; [`Effect`]s say what the shell has to do. No I/O, no clock, no threads, no random state: the same commands give the
//! same events, and the same events give the same state.

#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod action;
pub mod codec;
pub mod command;
mod decide;
pub mod effect;
pub mod evaluate;
pub mod event;
mod evolve;
pub mod fleet;
mod outstanding;
mod run;
pub mod state;
mod timer;
mod unit;
mod wait;

pub use command::{Command, Known, KnownItem, Outcome, Overlap, Placement, Recall, Rejection, Report, SiteOrder, Spawn, Submit};
pub use effect::{Dispatch, Effect, RunNames, Transfer};
pub use evaluate::{EvalError, Evaluate, Scope};
pub use event::Event;
pub use state::{AskedBy, Candidate, Context, Glimpse, InputArtifact, Moving, State, Step, without_items};
