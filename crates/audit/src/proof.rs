//! Proofs of inclusion and of consistency, made from the hashes of the leaves and checked without them (RFC 6962, 2.1; RFC 9162).

use crate::{Frontier, Hash, node_hash};

/// The root of the tree over these leaves.
pub fn root_of(leaves: &[Hash]) -> Hash {
    let mut frontier = Frontier::new();
    leaves.iter().for_each(|leaf| frontier.append(*leaf));
    frontier.root()
}

/// The largest power of two below `size`, which is at least 2.
fn split(size: usize) -> usize {
    1 << (usize::BITS - 1 - (size - 1).leading_zeros())
}

/// The hashes that lead from leaf `index` to the root of the tree over `leaves`; none when there is no such leaf.
pub fn inclusion_proof(leaves: &[Hash], index: usize) -> Option<Vec<Hash>> {
    if index >= leaves.len() {
        return None;
    }
    let (mut leaves, mut index, mut from_root) = (leaves, index, Vec::new());
    while leaves.len() > 1 {
        let (left, right) = leaves.split_at(split(leaves.len()));
        if index < left.len() {
            from_root.push(root_of(right));
            leaves = left;
        } else {
            from_root.push(root_of(left));
            index -= left.len();
            leaves = right;
        }
    }
    from_root.reverse();
    Some(from_root)
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

/// The hashes that show that the tree over the first `old` leaves is the beginning of the tree over all; none when `old` is not
/// between 1 and their number.
pub fn consistency_proof(leaves: &[Hash], old: usize) -> Option<Vec<Hash>> {
    fn walk(leaves: &[Hash], old: usize, whole: bool, proof: &mut Vec<Hash>) {
        if old == leaves.len() {
            if !whole {
                proof.push(root_of(leaves));
            }
            return;
        }
        let (left, right) = leaves.split_at(split(leaves.len()));
        if old <= left.len() {
            walk(left, old, whole, proof);
            proof.push(root_of(right));
        } else {
            walk(right, old - left.len(), false, proof);
            proof.push(root_of(left));
        }
    }
    if old == 0 || old > leaves.len() {
        return None;
    }
    let mut proof = Vec::new();
    walk(leaves, old, true, &mut proof);
    Some(proof)
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
    let start = if place == 0 { *old_root } else { steps.next().copied().unwrap_or_default() };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{empty_root, leaf_hash};

    fn leaves(count: usize) -> Vec<Hash> {
        (0..count).map(|index| leaf_hash(&index.to_be_bytes())).collect()
    }

    /// The definition of the RFC, word for word.
    fn oracle(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => empty_root(),
            [one] => *one,
            many => {
                let (left, right) = many.split_at(split(many.len()));
                node_hash(&oracle(left), &oracle(right))
            }
        }
    }

    #[test]
    fn the_edge_gives_the_root_of_the_definition() {
        for count in 0..130 {
            let leaves = leaves(count);
            assert_eq!(root_of(&leaves), oracle(&leaves), "{count}");
            let mut frontier = Frontier::new();
            leaves.iter().for_each(|leaf| frontier.append(*leaf));
            assert_eq!(Frontier::from_bytes(&frontier.to_bytes()), Ok(frontier));
        }
        assert!(Frontier::from_bytes(&[0; 9]).is_err() && Frontier::from_bytes(&[0, 0, 0, 0, 0, 0, 0, 3]).is_err());
    }

    #[test]
    fn known_roots() {
        let hex = |hash: Hash| hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(hex(empty_root()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(hex(leaf_hash(b"")), "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
    }

    #[test]
    fn inclusion_is_proved_and_nothing_else() {
        for count in 1..40usize {
            let leaves = leaves(count);
            let root = root_of(&leaves);
            for index in 0..count {
                let proof = inclusion_proof(&leaves, index).unwrap();
                assert!(verify_inclusion(leaves[index], index as u64, count as u64, &proof, &root));
                for wrong in 0..count {
                    if wrong != index {
                        assert!(!verify_inclusion(leaves[index], wrong as u64, count as u64, &proof, &root));
                    }
                }
                let mut bent = proof.clone();
                if let Some(step) = bent.first_mut() {
                    step[0] ^= 1;
                    assert!(!verify_inclusion(leaves[index], index as u64, count as u64, &bent, &root));
                }
            }
            assert!(inclusion_proof(&leaves, count).is_none());
        }
    }

    #[test]
    fn consistency_is_proved_and_nothing_else() {
        for new in 1..40usize {
            let all = leaves(new);
            let new_root = root_of(&all);
            for old in 1..=new {
                let old_root = root_of(&all[..old]);
                let proof = consistency_proof(&all, old).unwrap();
                assert!(verify_consistency(old as u64, new as u64, &old_root, &new_root, &proof), "{old} {new}");
                let mut other = old_root;
                other[5] ^= 4;
                assert!(!verify_consistency(old as u64, new as u64, &other, &new_root, &proof));
            }
        }
    }
}
