//! Witnesses (c2sp.org/tlog-witness): what a log sends to one, and what it answers. A witness remembers the last checkpoint of each log that it
//! signed, and signs another only when the earlier tree is the beginning of the later one. No log can show one history to a witness and
//! another to somebody who asks for the witness's signature.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::checkpoint::{decimal, hash_of};
use crate::keys::PublicKey;
use crate::note::Note;
use crate::{Checkpoint, CheckpointError, Hash, verify_consistency};

/// Hashes of a request.
const HASHES_MAX: usize = 63;
/// Bytes of a request that is read.
pub const REQUEST_BYTES_MAX: usize = 128 << 10;

/// A checkpoint for a witness, with the proof that the one it signed before is the beginning of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// Leaves of the tree that the witness signed last; 0 for none.
    pub old: u64,
    /// The proof; empty when there is nothing to prove.
    pub proof: Vec<Hash>,
    /// The checkpoint, signed by the log.
    pub note: Note,
}

/// What a witness remembers of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Leaves.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
}

/// Why a witness does not sign.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsigned {
    /// The request is not one.
    #[error("not a request to a witness: {0}")]
    Form(&'static str),
    /// The checkpoint is of a log that it does not know.
    #[error("the log `{0}` is not known here")]
    UnknownLog(String),
    /// The checkpoint is not signed by the log's key.
    #[error("the checkpoint: {0}")]
    NotOfLog(CheckpointError),
    /// It signed another tree last: what it knows comes with it.
    #[error("the last checkpoint signed here is over {0} entries")]
    OtherSize(u64),
    /// It signed a tree of the same size with another root: the log has two histories.
    #[error("a checkpoint over as many entries with another root was signed here: the log has two histories")]
    SplitView,
    /// The proof does not lead from one tree to the other: the log has two histories, or the proof is not one.
    #[error("the proof does not lead from the {0} entries that were signed here to the checkpoint")]
    Inconsistent(u64),
}

impl Unsigned {
    /// The status of the answer over HTTP.
    pub fn status(&self) -> u16 {
        match self {
            Unsigned::Form(_) => 400,
            Unsigned::UnknownLog(_) => 404,
            Unsigned::NotOfLog(_) => 403,
            Unsigned::OtherSize(_) | Unsigned::SplitView => 409,
            Unsigned::Inconsistent(_) => 422,
        }
    }
}

impl AddCheckpoint {
    /// The request of these bytes.
    pub fn parse(bytes: &[u8]) -> Result<AddCheckpoint, Unsigned> {
        if bytes.len() > REQUEST_BYTES_MAX {
            return Err(Unsigned::Form("it is too long"));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| Unsigned::Form("it is not UTF-8"))?;
        let (head, note) = text.split_once("\n\n").ok_or(Unsigned::Form("no blank line stands before the checkpoint"))?;
        let mut lines = head.split('\n');
        let old = lines.next().and_then(|line| line.strip_prefix("old ")).and_then(decimal);
        let old = old.ok_or(Unsigned::Form("it does not say what was signed before"))?;
        let mut proof = Vec::new();
        for line in lines {
            if proof.len() == HASHES_MAX {
                return Err(Unsigned::Form("it has too many hashes"));
            }
            proof.push(hash_of(line).ok_or(Unsigned::Form("one of its hashes is not one"))?);
        }
        let note = Note::parse(note.as_bytes()).map_err(|_| Unsigned::Form("its checkpoint is not a signed note"))?;
        Ok(AddCheckpoint { old, proof, note })
    }

    /// The name of the log that it says it is from.
    pub fn origin(&self) -> &str {
        self.note.text().lines().next().unwrap_or_default()
    }

    /// Whether a witness that remembers `seen` may sign it. What it says is to be remembered before the signature leaves.
    pub fn judge(&self, log: &PublicKey, seen: Option<Seen>) -> Result<Seen, Unsigned> {
        let checkpoint = Checkpoint::open(&self.note, log).map_err(Unsigned::NotOfLog)?;
        let (size, root) = (checkpoint.size, checkpoint.root);
        if self.old > size {
            return Err(Unsigned::Form("what was signed before is larger than the checkpoint"));
        }
        let known = seen.map_or(0, |seen| seen.size);
        if self.old != known {
            return Err(Unsigned::OtherSize(known));
        }
        let holds = match seen.filter(|seen| seen.size > 0) {
            None => self.proof.is_empty(),
            Some(seen) if seen.size == size && seen.root != root => return Err(Unsigned::SplitView),
            Some(seen) => verify_consistency(seen.size, size, &seen.root, &root, &self.proof),
        };
        match holds {
            true => Ok(Seen { size, root }),
            false => Err(Unsigned::Inconsistent(known)),
        }
    }
}

impl fmt::Display for AddCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old)?;
        self.proof.iter().try_for_each(|hash| writeln!(f, "{}", STANDARD.encode(hash)))?;
        write!(f, "\n{}", self.note)
    }
}
