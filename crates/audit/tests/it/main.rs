//! The tree, notes, checkpoints and proofs.
mod exports;
mod notes;
mod tree;
