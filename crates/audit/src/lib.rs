//! L1: the Merkle tree over the journal and its proofs.
