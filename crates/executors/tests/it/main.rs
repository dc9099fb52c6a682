//! Tests of the executors against real processes.

mod boxed;
mod egress;
mod escape;
mod hostile;
mod local;
