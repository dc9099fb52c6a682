//! The REST door of a real server on loopback, through a plain HTTP client.

mod access;
mod approvals;
mod attempts;
mod description;
mod endpoints;
mod events;
mod flyte_addresses;
mod flyte_attempts;
mod flyte_doors;
mod frames;
mod fuzz;
mod hostile;
mod language;
mod named_artifacts;
mod outlook;
mod pasts;
mod python;
mod reference;
mod registered;
mod runs;
mod shared;
mod support;
mod system;
mod triggers;
mod workers;
