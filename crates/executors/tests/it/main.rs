//! Tests of the executors against real processes.

mod boxed;
mod egress;
mod escape;
mod hosted;
mod hostile;
mod local;
