//! Checkpoints: what the server shows of its journal, as somebody sees it who looks after every step and at the last moment before every
//! crash. What was seen once has to be the beginning of every later journal.

use audit::{Frontier, Hash, consistency_proof, root_of, verify_consistency};

use super::World;
use crate::disk::Disk;
use crate::monitor::{Checked, broken};

/// The tree of the server, over frames that it takes for synced, and what it shows of it. It is gone with the server.
#[derive(Default)]
pub(super) struct Tree {
    edge: Frontier,
    frames: usize,
    shown: Option<(u64, Hash)>,
}

impl Tree {
    /// The tree of a journal as it was read at a start. Nothing of it is shown before the first sync: what the process before had written
    /// and not synced was read as well.
    pub(super) fn read(disk: &Disk) -> Tree {
        let mut tree = Tree::default();
        tree.grow(disk, disk.written());
        tree
    }

    fn grow(&mut self, disk: &Disk, frames: usize) {
        let news = disk.frames.get(self.frames..frames).unwrap_or_default();
        news.iter().flat_map(|frame| &frame.entries).for_each(|entry| self.edge.append(entry.leaf()));
        self.frames = self.frames.max(frames);
    }

    /// Goes on over the first `frames` frames, and shows them.
    pub(super) fn show(&mut self, disk: &Disk, frames: usize) {
        self.grow(disk, frames);
        self.shown = Some((self.edge.size(), self.edge.root()));
    }
}

/// What others have seen: they follow the log, entry after entry, as a mirror of it does.
#[derive(Default)]
pub(super) struct Seen {
    tree: Frontier,
    root: Hash,
}

impl World {
    /// Somebody looks at the checkpoint that the server shows.
    pub(super) fn look(&mut self) {
        let Some((size, root)) = self.server.as_ref().and_then(|server| server.tree.shown) else { return };
        if (size, root) == (self.seen.tree.size(), self.seen.root) {
            return;
        }
        self.stats.checkpoints += 1;
        let checked = self.follow(size, root);
        self.judge(checked);
    }

    fn follow(&mut self, size: u64, root: Hash) -> Checked {
        let seen = self.seen.tree.size();
        if size < seen {
            return broken("I11 checkpoints", format!("one of {size} entries is shown after one of {seen}"));
        }
        let news = self.disk.entries().skip(seen as usize).take((size - seen) as usize);
        news.for_each(|entry| self.seen.tree.append(entry.leaf()));
        self.seen.root = root;
        match self.seen.tree.size() == size && self.seen.tree.root() == root {
            true => Ok(()),
            false => broken("I11 checkpoints", format!("one of {size} entries does not go on from one of {seen}")),
        }
    }

    /// The journal as it was found at a start goes on from what was seen.
    pub(super) fn check_seen(&mut self) {
        let leaves: Vec<Hash> = self.disk.entries().map(|entry| entry.leaf()).collect();
        let checked = self.check_leaves(&leaves);
        self.judge(checked);
    }

    fn check_leaves(&self, leaves: &[Hash]) -> Checked {
        let (old, new) = (self.seen.tree.size(), leaves.len() as u64);
        if new < old {
            return broken("I11 checkpoints", format!("one of {old} entries was shown, and the journal has {new}"));
        }
        if old == 0 {
            return Ok(());
        }
        let proof = consistency_proof(leaves, old).unwrap_or_default();
        match verify_consistency(old, new, &self.seen.root, &root_of(leaves), &proof) {
            true => Ok(()),
            false => broken("I11 checkpoints", format!("the journal of {new} entries is not one that went on from {old}")),
        }
    }
}
