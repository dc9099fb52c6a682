//! Tests of the executors against real processes.

mod hostile;
mod local;
