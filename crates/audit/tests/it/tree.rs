//! The tree against the definition of RFC 6962, word for word, and against the vectors that certificate transparency logs are tested
//! with.

use audit::{Frontier, Hash, empty_root, leaf_hash, node_hash};
use proptest::prelude::*;

/// MTH of RFC 6962, 2.1.
fn tree_hash(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty_root(),
        [one] => *one,
        many => {
            let middle = largest_power_below(many.len());
            node_hash(&tree_hash(&many[..middle]), &tree_hash(&many[middle..]))
        }
    }
}

/// PATH of RFC 6962, 2.1.1.
fn path(index: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let (left, right) = leaves.split_at(largest_power_below(leaves.len()));
    let (mut proof, other) =
        if index < left.len() { (path(index, left), right) } else { (path(index - left.len(), right), left) };
    proof.push(tree_hash(other));
    proof
}

/// SUBPROOF of RFC 6962, 2.1.2.
fn subproof(old: usize, leaves: &[Hash], whole: bool) -> Vec<Hash> {
    if old == leaves.len() {
        return if whole { Vec::new() } else { vec![tree_hash(leaves)] };
    }
    let (left, right) = leaves.split_at(largest_power_below(leaves.len()));
    let (mut proof, other) =
        if old <= left.len() { (subproof(old, left, whole), right) } else { (subproof(old - left.len(), right, false), left) };
    proof.push(tree_hash(other));
    proof
}

fn largest_power_below(size: usize) -> usize {
    (0..).map(|bit| 1usize << bit).take_while(|power| *power < size).last().unwrap()
}

fn leaves(count: usize) -> Vec<Hash> {
    (0..count).map(|index| leaf_hash(&index.to_be_bytes())).collect()
}

fn hex(hash: Hash) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The entries and roots of the reference implementation's tests.
const VECTORS: [(&[u8], &str); 8] = [
    (b"", "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
    (b"\x00", "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"),
    (b"\x10", "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"),
    (b" !", "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"),
    (b"01", "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4"),
    (b"@ABC", "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef"),
    (b"PQRSTUVW", "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c"),
    (b"`abcdefghijklmno", "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"),
];

#[test]
fn roots_are_those_of_the_reference_implementation() {
    assert_eq!(hex(empty_root()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    let mut frontier = Frontier::new();
    assert_eq!(frontier.root(), empty_root());
    for (entry, root) in VECTORS {
        frontier.append(leaf_hash(entry));
        assert_eq!(hex(frontier.root()), root, "after {} leaves", frontier.size());
    }
}

#[test]
fn proofs_are_those_of_the_definition_for_every_small_tree() {
    for size in 1..70usize {
        let leaves = leaves(size);
        let root = tree_hash(&leaves);
        assert_eq!(audit::root_of(&leaves), root);
        for at in 0..size {
            let proof = audit::inclusion_proof(&leaves, at as u64).unwrap();
            assert_eq!(proof, path(at, &leaves), "leaf {at} of {size}");
            assert!(audit::verify_inclusion(leaves[at], at as u64, size as u64, &proof, &root));
            let old = at + 1;
            let proof = audit::consistency_proof(&leaves, old as u64).unwrap();
            assert_eq!(proof, subproof(old, &leaves, true), "{old} of {size}");
            let old_root = tree_hash(&leaves[..old]);
            assert!(audit::verify_consistency(old as u64, size as u64, &old_root, &root, &proof));
        }
        assert!(audit::inclusion_proof(&leaves, size as u64).is_none());
        assert!(audit::consistency_proof(&leaves, 0).is_none());
        assert!(audit::consistency_proof(&leaves, size as u64 + 1).is_none());
    }
}

#[test]
fn an_edge_is_read_back_and_nothing_else_is_one() {
    for size in 0..300 {
        let mut frontier = Frontier::new();
        leaves(size).into_iter().for_each(|leaf| frontier.append(leaf));
        let bytes = frontier.to_bytes();
        assert_eq!(Frontier::from_bytes(&bytes), Ok(frontier));
        assert!(Frontier::from_bytes(&bytes[..bytes.len() - 1]).is_err());
        assert!(Frontier::from_bytes(&[&bytes[..], &[0; 32]].concat()).is_err());
    }
}

proptest! {
    #[test]
    fn the_edge_gives_the_root_of_the_definition(size in 0usize..3_000) {
        let leaves = leaves(size);
        let mut frontier = Frontier::new();
        leaves.iter().for_each(|leaf| frontier.append(*leaf));
        prop_assert_eq!(frontier.size(), size as u64);
        prop_assert_eq!(frontier.root(), tree_hash(&leaves));
    }

    /// Whatever is bent, the proof holds no more: the leaf, its place, the size, a step, their number, the root.
    #[test]
    fn a_bent_inclusion_proof_is_refused(size in 2u64..500, at in any::<prop::sample::Index>(), bend in 0u8..7, bit in 0usize..256) {
        let leaves = leaves(size as usize);
        let index = at.index(size as usize) as u64;
        let (mut leaf, mut root) = (leaves[index as usize], tree_hash(&leaves));
        let (mut place, mut claimed) = (index, size);
        let mut proof = audit::inclusion_proof(&leaves, index).unwrap();
        let flip = |hash: &mut Hash| hash[bit / 8] ^= 1 << (bit % 8);
        match bend {
            0 => flip(&mut leaf),
            1 => flip(&mut root),
            2 => place = (index + 1) % size,
            3 => claimed = size + 1,
            4 => { let step = bit % proof.len(); flip(&mut proof[step]); }
            5 => drop(proof.pop()),
            _ => proof.push(root),
        }
        // A path does not say how large the tree is, only which way it turns: a size under which it turns alike is not told apart.
        prop_assume!(bend != 3 || proof.len() != audit::inclusion_path(index, claimed).unwrap().len());
        prop_assert!(!audit::verify_inclusion(leaf, place, claimed, &proof, &root));
    }

    #[test]
    fn a_bent_consistency_proof_is_refused(new in 2u64..500, at in any::<prop::sample::Index>(), bend in 0u8..5, bit in 0usize..256) {
        let leaves = leaves(new as usize);
        let old = at.index(new as usize - 1) as u64 + 1;
        let (mut old_root, mut new_root) = (tree_hash(&leaves[..old as usize]), tree_hash(&leaves));
        let mut proof = audit::consistency_proof(&leaves, old).unwrap();
        prop_assert!(audit::verify_consistency(old, new, &old_root, &new_root, &proof));
        let flip = |hash: &mut Hash| hash[bit / 8] ^= 1 << (bit % 8);
        match bend {
            0 => flip(&mut old_root),
            1 => flip(&mut new_root),
            2 => { let step = bit % proof.len(); flip(&mut proof[step]); }
            3 => drop(proof.pop()),
            _ => proof.push(new_root),
        }
        prop_assert!(!audit::verify_consistency(old, new, &old_root, &new_root, &proof));
    }

    #[test]
    fn paths_of_huge_trees_are_short(size in 1u64.., at in any::<u64>()) {
        let (index, old) = (at % size, at % size + 1);
        prop_assert!(audit::inclusion_path(index, size).unwrap().len() <= 64);
        prop_assert!(audit::consistency_path(old, size).unwrap().len() <= 65);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), numbers in any::<[u64; 3]>()) {
        let _ = Frontier::from_bytes(&bytes);
        let proof: Vec<Hash> = bytes.as_chunks::<32>().0.to_vec();
        let hash = [7; 32];
        let _ = audit::verify_inclusion(hash, numbers[0], numbers[1], &proof, &hash);
        let _ = audit::verify_consistency(numbers[0], numbers[1], &hash, &hash, &proof);
    }
}
