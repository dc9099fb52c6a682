//! Tests of the executors against real processes.

mod local;
