//! The engine from outside: commands in, events out. Every rig checks after each command that a replay gives the same state and that
//! what is outstanding is what was asked for and not answered.

mod asked;
mod cancelling;
mod children;
mod egress;
mod fleet;
mod labels;
mod maps;
mod named;
mod random;
mod remembering;
mod retries;
mod skipping;
mod submitting;
mod suspending;
mod timeouts;
mod triggers;
mod undoing;
mod waits;
