//! The right edge of a growing tree: all that is needed to append and to know the root.

use crate::{Hash, empty_root, node_hash};

/// The roots of the complete subtrees that make up a tree, largest first: one for each bit set in its size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    subtrees: Vec<Hash>,
}

/// Bytes that are not a frontier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the right edge of a Merkle tree")]
pub struct BadFrontier;

impl Frontier {
    /// The edge of the tree without leaves.
    pub fn new() -> Frontier {
        Frontier::default()
    }

    /// The number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends the hash of a leaf.
    pub fn append(&mut self, leaf: Hash) {
        let mut hash = leaf;
        // Each trailing one bit of the size is a complete subtree that the new leaf completes into a larger one.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.subtrees.pop() {
                hash = node_hash(&left, &hash);
            }
        }
        self.subtrees.push(hash);
        self.size += 1;
    }

    /// The root of the tree.
    pub fn root(&self) -> Hash {
        let mut smallest_first = self.subtrees.iter().rev();
        let Some(first) = smallest_first.next() else { return empty_root() };
        smallest_first.fold(*first, |root, left| node_hash(left, &root))
    }

    /// The root of the tree whose leaves are those of this one, each of them the root of a subtree, and then those of `rest`, which has
    /// fewer than such a subtree.
    pub fn root_before(&self, rest: &Frontier) -> Hash {
        match rest.size {
            0 => self.root(),
            _ => self.subtrees.iter().rev().fold(rest.root(), |root, left| node_hash(left, &root)),
        }
    }

    /// The edge as bytes: the size (8, big-endian) and the hashes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.size.to_be_bytes().to_vec();
        self.subtrees.iter().for_each(|hash| bytes.extend(hash));
        bytes
    }

    /// The edge of these bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Frontier, BadFrontier> {
        let (size, hashes) = bytes.split_first_chunk::<8>().ok_or(BadFrontier)?;
        let size = u64::from_be_bytes(*size);
        let (subtrees, rest) = hashes.as_chunks::<32>();
        if !rest.is_empty() || subtrees.len() != size.count_ones() as usize {
            return Err(BadFrontier);
        }
        Ok(Frontier { size, subtrees: subtrees.to_vec() })
    }
}
