//! Roots of subtrees, with and without what is kept of them, are those of the leaves.

use audit::{Hash, consistency_path, inclusion_path, root_of};
use journal::Leaves;
use model::Seq;

use crate::samples::filled;

#[test]
fn roots_are_those_of_the_leaves() {
    let folder = tempfile::tempdir().unwrap();
    let opened = filled(folder.path(), 11, 700);
    let stored = opened.reader.entries(Seq(0), usize::MAX >> 1).unwrap();
    let all: Vec<Hash> = stored.iter().map(|entry| entry.leaf).collect();
    let size = all.len() as u64;
    assert!(size > 600, "several tiles: {size}");
    assert_eq!(opened.writer.tree().edge(), opened.reader.tree().unwrap(), "the writer knows what is on the disk");
    let leaves = Leaves::new(opened.reader.clone());
    for n in [0, 1, 2, 255, 256, 257, 511, 512, 513, size - 1, size] {
        assert_eq!(leaves.root(0..n).unwrap(), root_of(&all[..n as usize]), "{n}");
    }
    for n in [256, 300, 600, size] {
        for index in [0, 1, 200, 255, 256, n - 1].into_iter().filter(|index| *index < n) {
            assert_eq!(
                leaves.roots(inclusion_path(index, n).unwrap()).unwrap(),
                audit::inclusion_proof(&all[..n as usize], index).unwrap()
            );
        }
        for old in [1, 100, 256, n] {
            if let Some(path) = consistency_path(old, n) {
                assert_eq!(leaves.roots(path).unwrap(), audit::consistency_proof(&all[..n as usize], old).unwrap(), "{old} {n}");
            }
        }
    }
    assert!(leaves.root(0..size + 1).is_err() && leaves.hashes(size - 1..size + 1).is_err());
}
