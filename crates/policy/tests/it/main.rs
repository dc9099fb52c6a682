//! Questions and answers, attacks included.

mod deep;
mod equal;
mod people;
mod places;
mod support;
