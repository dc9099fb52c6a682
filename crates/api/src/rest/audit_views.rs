//! What the REST API says of the audit log, as types.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The head of the journal's tree.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct AuditHead {
    /// Entries.
    pub size: u64,
    /// The root over them, in hexadecimal digits.
    pub root: String,
    /// The public key that signs checkpoints; in the first line of an export.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The last checkpoint, a signed note; in the first line of an export.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
}

/// An entry of the journal as it is hashed.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct AuditEntry {
    /// Its position, from 1: the leaf with the index one less.
    pub seq: u64,
    /// Its run; 0 for what concerns none.
    pub run: u64,
    /// Its time, in microseconds since 1970.
    pub at_us: u64,
    /// The hash of the leaf, in hexadecimal digits.
    pub leaf: String,
    /// Its bytes, in base64. The leaf is the hash over its time (8 bytes, big-endian) and these.
    pub bytes: String,
}

/// An entry, and the hashes that lead from it to the root.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct AuditProof {
    /// The entry.
    pub entry: AuditEntry,
    /// Entries of the tree.
    pub size: u64,
    /// The root over them, in hexadecimal digits.
    pub root: String,
    /// The hashes, from the leaf upwards, in hexadecimal digits.
    pub proof: Vec<String>,
}

/// The hashes that lead from an earlier tree to a later one.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct AuditConsistency {
    /// Entries of the earlier tree.
    pub old: u64,
    /// Entries of the later tree.
    pub new: u64,
    /// The root of the earlier tree, in hexadecimal digits.
    pub old_root: String,
    /// The root of the later tree, in hexadecimal digits.
    pub new_root: String,
    /// The hashes, in hexadecimal digits.
    pub proof: Vec<String>,
}

/// How the audit log is.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct AuditStatus {
    /// Entries of the journal.
    pub entries: u64,
    /// The name of the log; none in a directory that was never served.
    pub origin: Option<String>,
    /// The public key, as verifiers take it: `NAME+NUMBER+BYTES`.
    pub key: Option<String>,
    /// The number of the key, in hexadecimal digits.
    pub key_id: Option<String>,
    /// What the last checkpoint is over.
    pub sealed: Option<AuditHead>,
    /// What the last checkpoint is over that a quorum of the witnesses signed.
    pub witnessed: Option<AuditHead>,
    /// The witnesses.
    pub witnesses: Vec<AuditWitness>,
    /// Why nothing is dispatched; none when it is.
    pub halted: Option<String>,
    /// Breaks that a person accepted, the oldest first.
    pub accepted: Vec<AuditBreak>,
}

/// A witness of the audit log.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct AuditWitness {
    /// What the policy calls it.
    pub name: String,
    /// Entries of the checkpoint that it signed last.
    pub size: u64,
    /// What went wrong last; none when it signs.
    pub trouble: Option<String>,
}

/// A break of the audit log that a person accepted.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct AuditBreak {
    /// When.
    pub at: String,
    /// Who accepted it.
    pub principal: String,
    /// What it was.
    pub broken: String,
    /// Why it was right to go on.
    pub reason: String,
    /// The checkpoint that the journal contradicts.
    pub checkpoint: String,
}
