//! The REST door of a real server on loopback, through a plain HTTP client.

mod approvals;
mod events;
mod runs;
mod support;
mod system;
mod workers;
