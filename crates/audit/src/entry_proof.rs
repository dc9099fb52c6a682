//! Proof files (c2sp.org/tlog-proof): an entry, the hashes that lead from it to a root, and the checkpoint of that root. Who has such a file
//! and the key of the log needs nothing else, and no server.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::checkpoint::{decimal, hash_of};
use crate::keys::PublicKey;
use crate::note::{Note, NoteError};
use crate::{Checkpoint, CheckpointError, Hash, leaf_hash, verify_inclusion};

/// The first line.
const HEAD: &str = "c2sp.org/tlog-proof@v1";
/// Bytes of a file that is read.
pub const PROOF_BYTES_MAX: usize = 16 << 20;
/// A tree of more leaves than can be counted has no longer proof.
const PATH_MAX: usize = 63;

/// The proof that a leaf is in a tree whose checkpoint is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryProof {
    /// The leaf's own bytes: the time of the entry (microseconds since 1970, 8 bytes, big-endian) and what was recorded. A file without
    /// them proves something about an entry that whoever checks it has from elsewhere.
    pub leaf: Option<Vec<u8>>,
    /// The place of the leaf, from 0.
    pub index: u64,
    /// The hashes, from the leaf upwards.
    pub path: Vec<Hash>,
    /// The checkpoint, signed.
    pub note: Note,
}

/// What is wrong with a proof.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// It does not have the form of one.
    #[error("not a proof: {0}")]
    Form(&'static str),
    /// Its checkpoint cannot be read.
    #[error("its checkpoint: {0}")]
    Note(#[from] NoteError),
    /// Its checkpoint is not one of the log.
    #[error("its checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// The hashes lead elsewhere.
    #[error("the hashes do not lead from the entry to the root that was signed")]
    Elsewhere,
    /// It does not hold the entry.
    #[error("the entry is not in it")]
    NoLeaf,
}

impl EntryProof {
    /// The leaf of an entry of the journal.
    pub fn leaf_of(at_us: u64, bytes: &[u8]) -> Vec<u8> {
        [at_us.to_be_bytes().as_slice(), bytes].concat()
    }

    /// The time and the bytes of the entry; none when it is not in the file.
    pub fn entry(&self) -> Option<(u64, &[u8])> {
        let (at, bytes) = self.leaf.as_ref()?.split_first_chunk::<8>()?;
        Some((u64::from_be_bytes(*at), bytes))
    }

    /// The proof of these bytes.
    pub fn parse(bytes: &[u8]) -> Result<EntryProof, ProofError> {
        if bytes.len() > PROOF_BYTES_MAX {
            return Err(ProofError::Form("it is too long"));
        }
        let whole = std::str::from_utf8(bytes).map_err(|_| ProofError::Form("it is not UTF-8"))?;
        let (head, note) = whole.split_once("\n\n").ok_or(ProofError::Form("no blank line stands before its checkpoint"))?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(HEAD) {
            return Err(ProofError::Form("its first line is another"));
        }
        let leaf = lines.next_if(|line| line.starts_with("extra ")).and_then(|line| line.strip_prefix("extra "));
        let leaf = leaf.map(|text| STANDARD.decode(text)).transpose().map_err(|_| ProofError::Form("its entry is not base64"))?;
        let index = lines.next().and_then(|line| line.strip_prefix("index ")).and_then(decimal);
        let index = index.ok_or(ProofError::Form("it does not say which entry"))?;
        let mut path = Vec::new();
        for line in lines {
            if path.len() == PATH_MAX {
                return Err(ProofError::Form("it has too many hashes"));
            }
            path.push(hash_of(line).ok_or(ProofError::Form("one of its hashes is not one"))?);
        }
        Ok(EntryProof { leaf, index, path, note: Note::parse(note.as_bytes())? })
    }

    /// Checks all of it with the key of the log and the hash of the leaf, which is that of the leaf in the file when none is given.
    pub fn verify(&self, log: &PublicKey, leaf: Option<Hash>) -> Result<Checkpoint, ProofError> {
        let checkpoint = Checkpoint::open(&self.note, log)?;
        self.leads_to(&checkpoint, leaf)?;
        Ok(checkpoint)
    }

    /// Checks the hashes alone; that the checkpoint is the one of the file, and signed, was checked before.
    pub(crate) fn leads_to(&self, checkpoint: &Checkpoint, leaf: Option<Hash>) -> Result<(), ProofError> {
        let leaf = leaf.or_else(|| self.leaf.as_ref().map(|leaf| leaf_hash(leaf))).ok_or(ProofError::NoLeaf)?;
        match verify_inclusion(leaf, self.index, checkpoint.size, &self.path, &checkpoint.root) {
            true => Ok(()),
            false => Err(ProofError::Elsewhere),
        }
    }
}

impl fmt::Display for EntryProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEAD}")?;
        if let Some(leaf) = &self.leaf {
            writeln!(f, "extra {}", STANDARD.encode(leaf))?;
        }
        writeln!(f, "index {}", self.index)?;
        self.path.iter().try_for_each(|hash| writeln!(f, "{}", STANDARD.encode(hash)))?;
        write!(f, "\n{}", self.note)
    }
}
