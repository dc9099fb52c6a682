//! The tree, notes, checkpoints, proofs, witnesses, exports and packs.
mod exports;
mod notes;
mod packs;
mod tampers;
mod tree;
mod witnesses;
