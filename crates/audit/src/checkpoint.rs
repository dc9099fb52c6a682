//! Checkpoints (c2sp.org/tlog-checkpoint): the size and the root of a log's tree, signed.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::keys::{PublicKey, SecretKey};
use crate::note::{Note, NoteError};
use crate::{Frontier, Hash};

/// The size and the root of a tree, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The name of the log.
    pub origin: String,
    /// Leaves.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
    /// Further lines that the log signed.
    pub extensions: Vec<String>,
}

/// What is wrong with a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Its note.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// Its text.
    #[error("not a checkpoint: {0}")]
    Form(&'static str),
    /// It is of another log.
    #[error("it is of the log `{0}`")]
    Origin(String),
}

impl Checkpoint {
    /// The checkpoint of a tree.
    pub fn of(origin: &str, tree: &Frontier) -> Checkpoint {
        Checkpoint { origin: origin.to_owned(), size: tree.size(), root: tree.root(), extensions: Vec::new() }
    }

    /// Signs it.
    pub fn sign(&self, key: &SecretKey) -> Note {
        Note::sign(self.to_string(), key)
    }

    /// The checkpoint of a text without signatures.
    pub fn parse(text: &str) -> Result<Checkpoint, CheckpointError> {
        let lines = text.strip_suffix('\n').ok_or(CheckpointError::Form("its last line does not end"))?;
        let mut lines = lines.split('\n');
        let origin = lines.next().filter(|origin| !origin.is_empty()).ok_or(CheckpointError::Form("it names no log"))?;
        let size = lines.next().and_then(decimal).ok_or(CheckpointError::Form("its size is not a number"))?;
        let root = lines.next().and_then(hash_of).ok_or(CheckpointError::Form("its root is not a hash"))?;
        let extensions: Vec<String> = lines.map(str::to_owned).collect();
        if extensions.iter().any(String::is_empty) {
            return Err(CheckpointError::Form("one of its lines is empty"));
        }
        Ok(Checkpoint { origin: origin.to_owned(), size, root, extensions })
    }

    /// The checkpoint of a note that a log signed.
    pub fn open(note: &Note, log: &PublicKey) -> Result<Checkpoint, CheckpointError> {
        note.verify(log)?;
        let checkpoint = Checkpoint::parse(note.text())?;
        match checkpoint.origin == log.name() {
            true => Ok(checkpoint),
            false => Err(CheckpointError::Origin(checkpoint.origin)),
        }
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.size, STANDARD.encode(self.root))?;
        self.extensions.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// A number in decimal digits as these formats write it: without sign and without zeros in front.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    plain.then(|| text.parse().ok())?
}

/// A hash in base64.
pub(crate) fn hash_of(text: &str) -> Option<Hash> {
    STANDARD.decode(text).ok()?.try_into().ok()
}
