//! L2: content-addressed stores, one per site, and transfers between them. Large files stream; nothing is held in memory.
//!
//! A store holds files that are named by their digest and never changed. A store with keys seals what it takes, each file under a key of its
//! own; what lay open before stays readable. What is told to anybody is durable: the content is synced
//! before the name, and the name before the answer. Everything here blocks: async code calls it on a thread for that.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod beneath;
mod directory;
mod error;
mod intake;
mod layout;
mod store;
mod sweep;
mod transfer;

#[cfg(test)]
mod sealed_tests;

pub use beneath::{open_beneath, replace_beneath};
pub use directory::{Listing, ListingEntry};
pub use error::StoreError;
pub use intake::Taking;
pub use keyring::Content;
pub use store::{Put, Store, Usage, Verified};
pub use sweep::{Sweeping, Swept};
pub use transfer::{Progress, to_the_end, transfer};
