//! L2: what holds of rules for every request there could be, and not only for those that were tried.
//!
//! Cedar's symbolic compiler turns a question about policies into one about formulas, and a solver (cvc5, a program of its own) answers that:
//! no request does it, or here is one that does. Asked is, for each action: can a policy err, is anything permitted at all, is anything
//! refused at all, and, beside other rules, is anything permitted that those did not.
//!
//! Cedar leaves out a policy that errs; here it is a refusal. The two are the same where no policy errs, so that this is proved first, and what is
//! found is decided once more by the rules as they are here before it is told.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod assumed;
mod example;
mod questions;
mod solver;

pub use example::Example;
pub use questions::{Analysis, Compared, Erring, OfAction, Range, analyze};
pub use solver::{NoSolver, Solver};

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ProveError {
    /// The solver cannot be used.
    #[error(transparent)]
    NoSolver(#[from] NoSolver),
    /// The rules have no meaning that could be asked about.
    #[error("the rules cannot be put to the solver: {0}")]
    Rules(String),
}
