//! Dev: builders and fakes for every port.
//!
//! [`flow`] and [`step`] build graphs, [`site`] builds sites, [`Paths`] evaluates the little language of expressions that tests need,
//! [`placements`] places like the shell does, [`Tape`] is a journal in memory that uses the real codec, and [`Rig`] drives the engine:
//! commands in, events out, with a scripted fleet that answers its effects. [`rivals`] are the known rules that sizing is held against.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod expressions;
mod graphs;
mod placing;
mod rig;
pub mod rivals;
mod script;
mod sites;
mod tape;

pub use expressions::Paths;
pub use graphs::{Flow, Step, flow, step};
pub use placement::search::Random;
pub use placing::{placements, placements_within};
pub use rig::Rig;
pub use script::{Answer, Script, fail, system};
pub use sites::{SiteBuilder, site};
pub use tape::Tape;
