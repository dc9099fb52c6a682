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
mod hash;
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
pub use hash::{Hash, empty_root, entry_hash, leaf_hash, node_hash};
pub use keys::{BadKey, KeyKind, PublicKey, SecretKey, is_name};
pub use note::{NOTE_BYTES_MAX, Note, NoteError, SIGNATURES_MAX, Signature};
pub use proof::{
    consistency_path, consistency_proof, inclusion_path, inclusion_proof, root_of, verify_consistency, verify_inclusion,
};
