//! The binary from outside: every command, its exit codes, and what it prints where. Each test has a folder of its own, and a server of its
//! own where it needs one.

mod advice;
mod alone;
mod completion;
mod connections;
mod deaf;
mod demo;
mod documents;
mod errors;
mod evidence;
mod foresight;
mod guides;
mod home;
mod keeping;
mod leftovers;
mod looking;
mod people;
mod policy;
mod readme;
mod runs;
mod sanitizers;
mod secrets;
mod server;
mod sites;
mod terminal;
mod tls;
mod traces;
mod words;
