//! Questions and answers, attacks included.

mod equal;
mod people;
mod places;
mod support;
