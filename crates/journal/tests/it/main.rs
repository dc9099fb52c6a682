//! The journal: what it promises, and what it says when a promise cannot be kept.

mod appending;
mod disk;
mod golden;
mod keeping;
mod leaves;
mod past;
mod power;
mod read_models;
mod retention;
mod rows;
mod samples;
mod sealing;
mod verifying;
mod vfs;
