//! Proofs from the tree.

use audit::Hash;
use journal::EntryRow;
use model::Seq;

use super::AuditLog;
use crate::{Fault, FaultKind};

/// An entry with the hashes that lead from it to the root of a tree.
#[derive(Clone, Debug)]
pub struct Proven {
    /// The entry.
    pub entry: EntryRow,
    /// Leaves of the tree.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
    /// The hashes, from the leaf upwards.
    pub path: Vec<Hash>,
}

impl AuditLog {
    /// The root of the tree over the first entries.
    pub fn root_at(&self, size: u64) -> Result<Hash, Fault> {
        self.check_size(size)?;
        self.inner.leaves.root(0..size).map_err(Fault::internal)
    }

    /// The hashes of leaves, in a range of the tree.
    pub fn leaves(&self, range: std::ops::Range<u64>) -> Result<Vec<Hash>, Fault> {
        self.check_size(range.end)?;
        self.inner.leaves.hashes(range).map_err(Fault::internal)
    }

    /// The proof that an entry is in the tree over the first `size` entries.
    pub fn inclusion(&self, seq: Seq, size: u64) -> Result<Proven, Fault> {
        self.check_size(size)?;
        let unknown = || Fault::new(FaultKind::NotFound, format!("the tree of {size} entries has no entry {seq}"));
        let index = seq.0.checked_sub(1).ok_or_else(unknown)?;
        let path = audit::inclusion_path(index, size).ok_or_else(unknown)?;
        let path = self.inner.leaves.roots(path).map_err(Fault::internal)?;
        let entry = self.inner.reader.entries(Seq(index), 1).map_err(Fault::internal)?.pop().ok_or_else(unknown)?;
        Ok(Proven { entry, size, root: self.root_at(size)?, path })
    }

    /// The proof that the tree of the first `old` entries is the beginning of the one of `new`. It is empty when there is nothing to prove.
    pub fn consistency(&self, old: u64, new: u64) -> Result<Vec<Hash>, Fault> {
        self.check_size(new)?;
        if old == 0 {
            return Ok(Vec::new());
        }
        let path = audit::consistency_path(old, new).ok_or_else(|| {
            Fault::new(FaultKind::Malformed, format!("a tree of {old} entries is not the beginning of one of {new}"))
        })?;
        self.inner.leaves.roots(path).map_err(Fault::internal)
    }

    fn check_size(&self, size: u64) -> Result<(), Fault> {
        let now = self.inner.reader.tree().map_err(Fault::internal)?.size();
        match size <= now {
            true => Ok(()),
            false => Err(Fault::new(FaultKind::NotFound, format!("the journal has {now} entries, and not {size} yet"))),
        }
    }
}
