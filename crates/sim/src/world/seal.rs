//! Checkpoints: what the journal holds is shown to others now and then, and no later journal may contradict it.

use audit::{Hash, consistency_proof, root_of, verify_consistency};

use super::World;
use crate::monitor::{Checked, broken};

/// Batches that are released between two checkpoints. No dice are rolled for it: worlds are as they were without.
const EVERY: u64 = 40;

/// The last checkpoint that others have seen.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sealed {
    size: usize,
    root: Hash,
    releases: u64,
}

impl World {
    /// A batch was released.
    pub(super) fn seal(&mut self) {
        self.sealed.releases += 1;
        if !self.sealed.releases.is_multiple_of(EVERY) {
            return;
        }
        let leaves = self.disk.leaves();
        let checked = self.check_sealed(&leaves);
        self.judge(checked);
        (self.sealed.size, self.sealed.root) = (leaves.len(), root_of(&leaves));
    }

    /// The journal as it was found at a start goes on from what was shown.
    pub(super) fn check_seal(&mut self) {
        let checked = self.check_sealed(&self.disk.leaves());
        self.judge(checked);
    }

    fn check_sealed(&self, leaves: &[Hash]) -> Checked {
        let Sealed { size, root, .. } = self.sealed;
        if leaves.len() < size {
            return broken("I11 checkpoints", format!("one of {size} entries was shown, and the journal has {}", leaves.len()));
        }
        if size == 0 {
            return Ok(());
        }
        let (old, new) = (size as u64, leaves.len() as u64);
        let proof = consistency_proof(leaves, old).unwrap_or_default();
        match verify_consistency(old, new, &root, &root_of(leaves), &proof) {
            true => Ok(()),
            false => broken("I11 checkpoints", format!("the journal of {new} entries is not one that went on from {old}")),
        }
    }
}
