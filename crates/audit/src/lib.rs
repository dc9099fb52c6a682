//! L1: the Merkle tree over the journal (RFC 6962), its signed checkpoints and its proofs (c2sp.org). Pure functions of bytes; a verifier
//! needs nothing else.

#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod checkpoint;
mod entry_proof;
pub mod evidence;
pub mod export;
mod frontier;
mod keys;
mod note;
pub mod pack;
pub mod policy;
mod proof;
pub mod shape;
pub mod witness;

pub use checkpoint::{Checkpoint, CheckpointError};
pub use entry_proof::{EntryProof, PROOF_BYTES_MAX, ProofError};
pub use frontier::{BadFrontier, Frontier};
pub use keys::{BadKey, KeyKind, PublicKey, SecretKey, is_name};
pub use note::{NOTE_BYTES_MAX, Note, NoteError, SIGNATURES_MAX, Signature};
pub use proof::{
    consistency_path, consistency_proof, inclusion_path, inclusion_proof, root_of, verify_consistency, verify_inclusion,
};

use sha2::{Digest as _, Sha256};

/// A SHA-256 hash of a leaf or of an inner node.
pub type Hash = [u8; 32];

/// The hash of an entry: SHA-256 over 0x00 and its bytes.
pub fn leaf_hash(entry: &[u8]) -> Hash {
    Sha256::new().chain_update([0u8]).chain_update(entry).finalize().into()
}

/// The hash of an entry of the journal: that of the leaf which is its time (microseconds since 1970, 8 bytes, big-endian) and its bytes.
/// When something happened is as much a part of the account as what.
pub fn entry_hash(at_us: u64, bytes: &[u8]) -> Hash {
    Sha256::new().chain_update([0u8]).chain_update(at_us.to_be_bytes()).chain_update(bytes).finalize().into()
}

/// The hash of an inner node: SHA-256 over 0x01 and its children.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    // In one piece, which is quicker than three.
    let mut bytes = [1u8; 65];
    let (_, children) = bytes.split_at_mut(1);
    children.iter_mut().zip(left.iter().chain(right)).for_each(|(to, from)| *to = *from);
    Sha256::digest(bytes).into()
}

/// The root of the tree without leaves: SHA-256 over nothing.
pub fn empty_root() -> Hash {
    Sha256::digest([]).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_a_leaf_of_its_time_and_its_bytes() {
        let (at, bytes) = (1_800_000_000_000_000u64, b"what happened".as_slice());
        let record = [at.to_be_bytes().as_slice(), bytes].concat();
        assert_eq!(entry_hash(at, bytes), leaf_hash(&record));
        assert_ne!(entry_hash(at, bytes), entry_hash(at + 1, bytes));
    }
}
