//! Proofs of inclusion and of consistency (RFC 6962, 2.1; RFC 9162). A proof is a list of roots of subtrees: which ones follows from
//! numbers alone ([`inclusion_path`], [`consistency_path`]), their roots come from wherever the hashes of the leaves lie, and the check
//! needs neither.

use std::ops::Range;

use crate::{Frontier, Hash, node_hash};

/// The root of the tree over these leaves.
pub fn root_of(leaves: &[Hash]) -> Hash {
    let mut frontier = Frontier::new();
    leaves.iter().for_each(|leaf| frontier.append(*leaf));
    frontier.root()
}

/// The largest power of two below `size`, which is at least 2.
fn split(size: u64) -> u64 {
    1 << (u64::BITS - 1 - (size - 1).leading_zeros())
}

/// The subtrees, as ranges of leaves, whose roots prove that leaf `index` is in the tree of `size` leaves: the lowest first. None when
/// there is no such leaf.
pub fn inclusion_path(index: u64, size: u64) -> Option<Vec<Range<u64>>> {
    if index >= size {
        return None;
    }
    let (mut range, mut from_root) = (0..size, Vec::new());
    while range.end - range.start > 1 {
        let middle = range.start + split(range.end - range.start);
        if index < middle {
            from_root.push(middle..range.end);
            range.end = middle;
        } else {
            from_root.push(range.start..middle);
            range.start = middle;
        }
    }
    from_root.reverse();
    Some(from_root)
}

/// The subtrees, as ranges of leaves, whose roots prove that the tree of the first `old` leaves is the beginning of the tree of `new`
/// leaves. None when `old` is not between 1 and `new`.
pub fn consistency_path(old: u64, new: u64) -> Option<Vec<Range<u64>>> {
    if old == 0 || old > new {
        return None;
    }
    let (mut range, mut from_root) = (0..new, Vec::new());
    while range.end != old {
        let middle = range.start + split(range.end - range.start);
        if old <= middle {
            from_root.push(middle..range.end);
            range.end = middle;
        } else {
            from_root.push(range.start..middle);
            range.start = middle;
        }
    }
    // Who has the old root knows this subtree already when it is the whole of the old tree.
    if range.start != 0 {
        from_root.push(range);
    }
    from_root.reverse();
    Some(from_root)
}

fn roots(leaves: &[Hash], path: Vec<Range<u64>>) -> Option<Vec<Hash>> {
    let part = |range: Range<u64>| leaves.get(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?).map(root_of);
    path.into_iter().map(part).collect()
}

/// The hashes that lead from leaf `index` to the root of the tree over `leaves`; none when there is no such leaf.
pub fn inclusion_proof(leaves: &[Hash], index: u64) -> Option<Vec<Hash>> {
    roots(leaves, inclusion_path(index, leaves.len() as u64)?)
}

/// The hashes that show that the tree over the first `old` leaves is the beginning of the one over all; none when `old` is not between
/// 1 and their number.
pub fn consistency_proof(leaves: &[Hash], old: u64) -> Option<Vec<Hash>> {
    roots(leaves, consistency_path(old, leaves.len() as u64)?)
}

/// Whether `proof` leads from `leaf` at `index` to `root` in a tree of `size` leaves.
pub fn verify_inclusion(leaf: Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut place, mut last, mut hash) = (index, size - 1, leaf);
    for step in proof {
        if last == 0 {
            return false;
        }
        if place & 1 == 1 || place == last {
            hash = node_hash(step, &hash);
            while place & 1 == 0 && place != 0 {
                place >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, step);
        }
        place >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// Whether `proof` shows that the tree of `old` leaves with `old_root` is the beginning of the one of `new` leaves with `new_root`.
pub fn verify_consistency(old: u64, new: u64, old_root: &Hash, new_root: &Hash, proof: &[Hash]) -> bool {
    if old == 0 || old > new {
        return false;
    }
    if old == new {
        return proof.is_empty() && old_root == new_root;
    }
    let mut steps = proof.iter();
    let (mut place, mut last) = (old - 1, new - 1);
    while place & 1 == 1 {
        place >>= 1;
        last >>= 1;
    }
    let Some(start) = (if place == 0 { Some(*old_root) } else { steps.next().copied() }) else { return false };
    let (mut old_hash, mut new_hash) = (start, start);
    for step in steps {
        if last == 0 {
            return false;
        }
        if place & 1 == 1 || place == last {
            old_hash = node_hash(step, &old_hash);
            new_hash = node_hash(step, &new_hash);
            while place & 1 == 0 && place != 0 {
                place >>= 1;
                last >>= 1;
            }
        } else {
            new_hash = node_hash(&new_hash, step);
        }
        place >>= 1;
        last >>= 1;
    }
    last == 0 && old_hash == *old_root && new_hash == *new_root
}
