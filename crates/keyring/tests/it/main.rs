//! The keyring from outside: over restarts, with the wrong keys, without any, against another server.

mod engine;
mod keys;
