//! L2: content-addressed stores, one per site, and transfers between them. Large files stream; nothing is held in memory.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod directory;
mod store;

pub use directory::{Listing, ListingEntry};
pub use store::{Put, Store, StoreError};

/// Where a transfer stands: bytes moved so far.
pub type Progress<'p> = &'p mut dyn FnMut(u64);

/// Brings an artifact from one store to another, verifying what is read. What is there already is not moved again; the answer is the
/// number of bytes that were.
pub fn transfer(from: &Store, to: &Store, digest: &model::Digest, progress: Progress<'_>) -> Result<u64, StoreError> {
    let mut moved = 0;
    if !to.has(digest) {
        let mut source = from.open(digest)?;
        let put = to.put_expecting(&mut source, digest, &mut |bytes| progress(moved + bytes))?;
        moved += put.size;
    }
    // A listing brings its files.
    if let Some(listing) = to.listing(digest)? {
        for entry in &listing.entries {
            if !to.has(&entry.digest) {
                let mut source = from.open(&entry.digest)?;
                let put = to.put_expecting(&mut source, &entry.digest, &mut |bytes| progress(moved + bytes))?;
                moved += put.size;
            }
        }
    }
    Ok(moved)
}
