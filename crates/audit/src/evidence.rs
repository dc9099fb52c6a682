//! Checking what an auditor is given: an export, a proof file, or an evidence pack, which holds both, with the digests of all its files.

use std::collections::BTreeMap;
use std::io::BufRead;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::export::{Check, Compared, Problem, Report, Trust, check_lines, hash_of_hex, take_lines};
use crate::{Checkpoint, EntryProof, Hash, PROOF_BYTES_MAX, pack};

/// The name of the format of evidence packs.
pub const FORMAT: &str = "tutti-evidence/1";
/// The file of a pack that lists the others.
pub const MANIFEST: &str = "manifest.json";
/// The file of the entries.
pub const ENTRIES: &str = "entries.jsonl";
/// The file of the checkpoint.
pub const CHECKPOINT: &str = "checkpoint";
/// The file of the log's public key.
pub const KEY: &str = "log.key";
/// The folder of proofs of entries.
pub const PROOFS: &str = "proofs/";
/// Bytes of a pack that is read.
pub const PACK_BYTES_MAX: u64 = 4 << 30;

/// The list of a pack's files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The name of the format.
    pub format: String,
    /// What the pack is about, for people.
    pub about: String,
    /// When it was made, for people.
    pub made_at: String,
    /// SHA-256 of each file, in hexadecimal digits.
    pub files: BTreeMap<String, String>,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// What was looked at.
    pub what: String,
    /// Proofs of single entries that were checked.
    pub proofs: u64,
    /// What came of it.
    #[serde(flatten)]
    pub report: Report,
    /// Whether nothing is wrong.
    pub holds: bool,
}

/// Something that cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// It is none of what is known.
    #[error("it is neither an export, a proof file nor an evidence pack")]
    Unknown,
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Io(#[from] std::io::Error),
    /// It is an archive that cannot be read.
    #[error(transparent)]
    Pack(#[from] pack::BadPack),
}

impl Verdict {
    fn of(what: impl Into<String>, proofs: u64, report: Report) -> Verdict {
        let holds = report.holds();
        Verdict { what: what.into(), proofs, report, holds }
    }
}

/// Looks at what is given, whatever it is.
pub fn check(mut given: impl BufRead, trust: Trust) -> Result<Verdict, Unreadable> {
    let start = given.fill_buf()?;
    if start.starts_with(b"PK") {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut std::io::Read::take(given, PACK_BYTES_MAX), &mut bytes)?;
        return Ok(check_files(&pack::read(&bytes)?, &trust));
    }
    if start.starts_with(b"c2sp.org/tlog-proof@") {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut std::io::Read::take(given, PROOF_BYTES_MAX as u64 + 1), &mut bytes)?;
        return Ok(check_proof(&bytes, &trust));
    }
    match start.first() {
        Some(b'{') => Ok(Verdict::of("export", 0, check_lines(given, trust)?)),
        _ => Err(Unreadable::Unknown),
    }
}

/// Looks at the files of a pack.
pub fn check_files(files: &BTreeMap<String, &[u8]>, trust: &Trust) -> Verdict {
    let text = |name: &str| files.get(name).and_then(|bytes| std::str::from_utf8(bytes).ok());
    let named = text(KEY).map(str::trim);
    // A place to note problems; what the entries come to is added.
    let mut noted = Check::new(Trust { policy: trust.policy.clone(), key: trust.key.clone(), ..Trust::default() });
    manifest(files, &mut noted);
    let checkpoint = match text(CHECKPOINT) {
        Some(note) => noted.checkpoint("the checkpoint of the pack", note, named),
        None => {
            noted.problem(1, None, format!("there is no file `{CHECKPOINT}`"));
            None
        }
    };
    let mut proofs = 0;
    for (name, bytes) in files.iter().filter(|(name, _)| name.starts_with(PROOFS)) {
        proofs += 1;
        if let Err(error) = proof(bytes, trust, named, checkpoint.as_ref()) {
            noted.problem(1, None, format!("`{name}`: {error}"));
        }
    }
    let mut report = noted.problems();
    if let Some(entries) = files.get(ENTRIES) {
        let mut whole = Trust { ..trust.clone() };
        let trusted = whole.key.is_some() || whole.policy.as_ref().is_some_and(|policy| !policy.logs().is_empty());
        if let (Some(checkpoint), true) = (&checkpoint, trusted) {
            whole.kept.push(checkpoint.clone());
        }
        match take_lines(*entries, Check::beside_a_checkpoint(whole)) {
            Ok(found) => report = report.with(found),
            Err(error) => report.note(Problem { level: 1, seq: None, what: format!("`{ENTRIES}`: {error}") }),
        }
    } else if let Some(checkpoint) = &checkpoint {
        report.root = hex(&checkpoint.root);
        report.entries = checkpoint.size;
        alone("the checkpoint of the pack", checkpoint, trust, &mut report);
    }
    Verdict::of("evidence pack", proofs, report)
}

fn manifest(files: &BTreeMap<String, &[u8]>, noted: &mut Check) {
    let listed = files.get(MANIFEST).and_then(|bytes| serde_json::from_slice::<Manifest>(bytes).ok());
    let Some(listed) = listed.filter(|listed| listed.format == FORMAT) else {
        return noted.problem(1, None, format!("`{MANIFEST}` is missing or not one of a pack of this format"));
    };
    for (name, digest) in &listed.files {
        match files.get(name) {
            None => noted.problem(1, None, format!("`{name}` is missing")),
            Some(bytes) if Some(Hash::from(Sha256::digest(bytes))) != hash_of_hex(digest) => {
                noted.problem(1, None, format!("`{name}` is not the file that `{MANIFEST}` lists"));
            }
            Some(_) => {}
        }
    }
    for name in files.keys().filter(|name| *name != MANIFEST && !listed.files.contains_key(*name)) {
        noted.problem(1, None, format!("`{name}` is not listed in `{MANIFEST}`"));
    }
}

/// Checks a proof with what is trusted, or else with the key that comes with it. It has to be about the checkpoint of the pack.
fn proof(bytes: &[u8], trust: &Trust, named: Option<&str>, pack: Option<&Checkpoint>) -> Result<Checkpoint, String> {
    let proof = EntryProof::parse(bytes).map_err(|error| error.to_string())?;
    let opened = trust.open(&proof.note, named)?;
    if opened.signers.is_some_and(|signers| !signers.quorum) {
        return Err("its checkpoint is not signed by a quorum of the witnesses".into());
    }
    if pack.is_some_and(|pack| *pack != opened.checkpoint) {
        return Err("it is about another checkpoint than the pack".into());
    }
    proof.leads_to(&opened.checkpoint, None).map_err(|error| error.to_string())?;
    Ok(opened.checkpoint)
}

/// Compares a checkpoint, beside which not all entries are, with what is trusted. What cannot be compared is told: whoever gave it relies on it.
fn alone(from: &'static str, checkpoint: &Checkpoint, trust: &Trust, report: &mut Report) {
    let size = checkpoint.size;
    let trusted = trust.key.is_some() || trust.policy.as_ref().is_some_and(|policy| !policy.logs().is_empty());
    report.checkpoints.push(Compared { from, size, trusted, holds: true });
    let mut problem = |what: String| report.note(Problem { level: 1, seq: None, what });
    if trust.root.is_some_and(|root| root != checkpoint.root) {
        problem("the root is not the one that is trusted".into());
    }
    for kept in &trust.kept {
        if kept.size != size {
            problem(format!(
                "the checkpoint over {} entries that was kept cannot be compared with a pack of one run or a proof, whose checkpoint is over {size}: check a \
                 pack of all entries with it",
                kept.size
            ));
        } else if kept.root != checkpoint.root {
            problem(format!("the checkpoint over {size} entries that was kept has another root: entries before it were changed"));
        }
    }
    if (trusted || trust.root.is_some()) && report.holds() {
        report.sealed = size;
    }
}

fn check_proof(bytes: &[u8], trust: &Trust) -> Verdict {
    let mut report = Report::default();
    let index = EntryProof::parse(bytes).map(|proof| proof.index).unwrap_or_default();
    match proof(bytes, trust, None, None) {
        Ok(checkpoint) => {
            report.root = hex(&checkpoint.root);
            report.entries = checkpoint.size;
            alone("the checkpoint of the proof", &checkpoint, trust, &mut report);
        }
        Err(what) => report.note(Problem { level: 1, seq: Some(index + 1), what }),
    }
    Verdict::of(format!("proof of entry {}", index + 1), 1, report)
}

fn hex(hash: &Hash) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}
