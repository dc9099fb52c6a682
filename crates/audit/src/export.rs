//! Checking an export line by line: levels 1 and 2 of a verification. Level 1: every entry is what was hashed, the tree over them has the
//! roots that were signed, and the signatures are those of the keys that are trusted. Level 2: positions without gaps, times that never go
//! back, bytes that are events, and runs that begin, go on and end once.
//!
//! The first line of an export is its head, every other an entry. Entries are not held; of a run one bit is.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{BufRead, Read as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::keys::PublicKey;
use crate::policy::{Policy, Signers};
use crate::shape::{RUN_FINISHED, RUN_SUBMITTED, Shape, shape};
use crate::{Checkpoint, CheckpointError, Frontier, Hash, Note, entry_hash};

/// Problems that are told one by one; the rest is only counted.
pub const PROBLEMS_MAX: usize = 100;

/// Bytes of a line that is read.
const LINE_BYTES_MAX: u64 = 64 << 20;

/// The first line of an export.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Entries of the tree.
    pub size: u64,
    /// The root over them, in hexadecimal digits.
    pub root: String,
    /// The public key of the log, as the server says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The last checkpoint: a signed note.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
}

/// A line of an export after the first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line<'t> {
    /// Its position, from 1.
    pub seq: u64,
    /// Its run; 0 for what concerns none.
    pub run: u64,
    /// Its time, in microseconds since 1970.
    pub at_us: u64,
    /// The hash of its leaf, in hexadecimal digits.
    #[serde(borrow)]
    pub leaf: Cow<'t, str>,
    /// Its bytes, in base64.
    #[serde(borrow)]
    pub bytes: Cow<'t, str>,
}

/// What whoever checks trusts already.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// The key of the log. Without it a checkpoint is only compared with the entries, and its signature with the key that the export names.
    pub key: Option<PublicKey>,
    /// Checkpoints that were kept from before, and whose signatures were checked.
    pub kept: Vec<Checkpoint>,
    /// A root that is known from elsewhere, of the whole tree.
    pub root: Option<Hash>,
    /// Who has to have signed a checkpoint. Its logs are trusted.
    pub policy: Option<Policy>,
}

/// A checkpoint whose signature was checked.
pub(crate) struct Opened {
    pub(crate) checkpoint: Checkpoint,
    /// Whether the key is one that is trusted.
    trusted: bool,
    pub(crate) signers: Option<Signers>,
}

impl Trust {
    /// Checks the signatures of a checkpoint; `named` is the key that whoever brings it names.
    pub(crate) fn open(&self, note: &Note, named: Option<&str>) -> Result<Opened, String> {
        let say = |error: CheckpointError| error.to_string();
        let signers = self.policy.as_ref().map(|policy| policy.signers(note));
        if let Some(key) = &self.key {
            return Ok(Opened { checkpoint: Checkpoint::open(note, key).map_err(say)?, trusted: true, signers });
        }
        if let Some(policy) = self.policy.as_ref().filter(|policy| !policy.logs().is_empty()) {
            return Ok(Opened { checkpoint: policy.open(note).map_err(say)?.0, trusted: true, signers });
        }
        let key = named.ok_or("there is no key to check it with")?.parse::<PublicKey>();
        let key = key.map_err(|error| format!("the key beside it: {error}"))?;
        Ok(Opened { checkpoint: Checkpoint::open(note, &key).map_err(say)?, trusted: false, signers })
    }
}

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The level at which it was found.
    pub level: u8,
    /// The entry; none when it concerns none alone.
    pub seq: Option<u64>,
    /// What is wrong.
    pub what: String,
}

/// A checkpoint that was compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Compared {
    /// Where it is from.
    pub from: &'static str,
    /// Entries that it is over.
    pub size: u64,
    /// Whether its signature was checked with a key that is trusted.
    pub trusted: bool,
    /// Whether the entries have its root.
    pub holds: bool,
}

/// What a check came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Entries looked at.
    pub entries: u64,
    /// Runs that begin in them.
    pub runs: u64,
    /// The root over them, in hexadecimal digits.
    pub root: String,
    /// Checkpoints compared.
    pub checkpoints: Vec<Compared>,
    /// The witnesses that signed the last checkpoint compared, by the names of the policy, with the time in seconds since 1970.
    pub witnesses: BTreeMap<String, u64>,
    /// Entries before which everything is fixed by a checkpoint that is trusted.
    pub sealed: u64,
    /// How many things are wrong.
    pub problems_total: u64,
    /// The first of them.
    pub problems: Vec<Problem>,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn holds(&self) -> bool {
        self.problems_total == 0
    }

    /// Notes that something is wrong.
    pub fn note(&mut self, problem: Problem) {
        self.problems_total += 1;
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(problem);
        }
    }

    /// What was found elsewhere, and these problems.
    pub(crate) fn with(self, mut found: Report) -> Report {
        found.problems_total += self.problems_total;
        let mut problems = self.problems;
        problems.append(&mut found.problems);
        problems.truncate(PROBLEMS_MAX);
        Report { problems, ..found }
    }
}

/// A checkpoint and the root that was found at its size.
struct Mark {
    from: &'static str,
    trusted: bool,
    size: u64,
    root: Hash,
    found: Option<Hash>,
}

/// A check under way.
pub struct Check {
    trust: Trust,
    head: Option<Head>,
    tree: Frontier,
    last_at: u64,
    last_run: u64,
    /// Whether runs have ended.
    runs: BTreeMap<u64, bool>,
    marks: Vec<Mark>,
    /// Whether a checkpoint that comes with the entries was looked at, here or beside them.
    looked_at_signatures: bool,
    report: Report,
}

impl Check {
    /// A check before the first line.
    pub fn new(trust: Trust) -> Check {
        let kept = trust.kept.iter().map(|kept| Mark {
            from: "a checkpoint that was kept",
            trusted: true,
            size: kept.size,
            root: kept.root,
            found: None,
        });
        let marks = kept.collect();
        let (head, tree, runs, report) = (None, Frontier::new(), BTreeMap::new(), Report::default());
        Check { trust, head, tree, last_at: 0, last_run: 0, runs, marks, looked_at_signatures: false, report }
    }

    /// The same, for entries beside which a checkpoint was looked at already.
    pub(crate) fn beside_a_checkpoint(trust: Trust) -> Check {
        Check { looked_at_signatures: true, ..Check::new(trust) }
    }

    /// Notes that something is wrong.
    pub fn problem(&mut self, level: u8, seq: Option<u64>, what: impl Into<String>) {
        self.report.note(Problem { level, seq, what: what.into() });
    }

    /// What was noted so far, without a look at entries.
    pub(crate) fn problems(self) -> Report {
        self.report
    }

    /// Takes the next line. It never fails: what cannot be read is a problem.
    pub fn line(&mut self, text: &str) {
        if self.head.is_none() {
            match serde_json::from_str::<Head>(text) {
                Ok(head) => self.head(head),
                Err(error) => {
                    self.problem(1, None, format!("the first line is not the head of an export: {error}"));
                    self.head = Some(Head::default());
                }
            }
            return;
        }
        match serde_json::from_str::<Line<'_>>(text) {
            Ok(line) => match STANDARD.decode(line.bytes.as_bytes()) {
                Ok(bytes) => self.entry(line.seq, line.run, line.at_us, &bytes, Some(&line.leaf)),
                Err(_) => self.problem(1, Some(line.seq), "its bytes are not base64"),
            },
            Err(error) => self.problem(1, None, format!("the line after entry {} is not an entry: {error}", self.tree.size())),
        }
    }

    /// Takes the head.
    pub fn head(&mut self, head: Head) {
        if let Some(note) = &head.checkpoint {
            self.checkpoint("the checkpoint in the head", note, head.key.as_deref());
        }
        self.head = Some(head);
    }

    /// Compares with a checkpoint that comes with the entries.
    pub fn checkpoint(&mut self, from: &'static str, note: &str, named: Option<&str>) -> Option<Checkpoint> {
        let opened = Note::parse(note.as_bytes()).map_err(|error| error.to_string());
        let opened = opened.and_then(|note| self.trust.open(&note, named));
        self.looked_at_signatures = true;
        match opened {
            Ok(Opened { checkpoint, trusted, signers }) => {
                let Checkpoint { size, root, .. } = checkpoint;
                self.marks.push(Mark { from, trusted, size, root, found: None });
                if let Some(signers) = signers {
                    self.report.witnesses = signers.witnesses;
                    if !signers.quorum {
                        self.problem(1, None, format!("{from} is not signed by a quorum of the witnesses"));
                    }
                }
                Some(checkpoint)
            }
            Err(error) => {
                self.problem(1, None, format!("{from}: {error}"));
                None
            }
        }
    }

    /// Takes an entry; `leaf` is the hash that somebody says it has.
    pub fn entry(&mut self, seq: u64, run: u64, at_us: u64, bytes: &[u8], leaf: Option<&str>) {
        if self.tree.size() == 0 {
            self.found(0);
        }
        if seq != self.tree.size() + 1 {
            self.problem(2, Some(seq), format!("it comes after entry {}", self.tree.size()));
        }
        if at_us < self.last_at {
            self.problem(2, Some(seq), "it is older than the one before it");
        }
        self.last_at = at_us;
        let hash = entry_hash(at_us, bytes);
        if leaf.is_some_and(|leaf| hash_of_hex(leaf) != Some(hash)) {
            self.problem(1, Some(seq), "its time or its bytes are not what was hashed");
        }
        match shape(bytes) {
            Some(shape) => self.structure(seq, run, shape),
            None => self.problem(2, Some(seq), "its bytes are not those of an event"),
        }
        self.tree.append(hash);
        self.found(self.tree.size());
    }

    /// Remembers the root where a checkpoint is.
    fn found(&mut self, size: u64) {
        if self.marks.iter().any(|mark| mark.size == size) {
            let root = self.tree.root();
            self.marks.iter_mut().filter(|mark| mark.size == size).for_each(|mark| mark.found = Some(root));
        }
    }

    fn structure(&mut self, seq: u64, run: u64, shape: Shape) {
        if shape.run != run {
            self.problem(2, Some(seq), format!("it is filed under run {run}, and its bytes say {}", shape.run));
        }
        let run = shape.run;
        match (run, shape.kind) {
            (0, _) => {}
            (_, RUN_SUBMITTED) => {
                if run <= self.last_run {
                    self.problem(2, Some(seq), format!("run {run} begins after run {}", self.last_run));
                }
                self.last_run = self.last_run.max(run);
                self.report.runs += 1;
                self.runs.insert(run, false);
            }
            (_, kind) => {
                let is_end = kind == RUN_FINISHED;
                match self.runs.get_mut(&run).map(|ended| std::mem::replace(ended, *ended || is_end)) {
                    None => self.problem(2, Some(seq), format!("it belongs to run {run}, which has not begun")),
                    Some(true) if is_end => self.problem(2, Some(seq), format!("run {run} ends a second time")),
                    Some(_) => {}
                }
            }
        }
    }

    /// Entries taken so far.
    pub fn entries(&self) -> u64 {
        self.tree.size()
    }

    /// What it came to.
    pub fn finish(mut self) -> Report {
        let (size, root) = (self.tree.size(), self.tree.root());
        if size == 0 {
            self.found(0);
        }
        match self.head.take() {
            None => self.problem(1, None, "it is empty"),
            Some(head) if head.size != size => {
                self.problem(1, None, format!("the head speaks of {} entries, and there are {size}", head.size));
            }
            Some(head) if hash_of_hex(&head.root) != Some(root) => {
                self.problem(1, None, "the entries give another root than the head says");
            }
            Some(_) => {}
        }
        if self.trust.root.is_some_and(|trusted| trusted != root) {
            self.problem(1, None, "the root is not the one that is trusted");
        }
        // Whoever gives a key or a policy asks for a signature: that there is none is no lesser find than a wrong one.
        let asked = self.trust.policy.is_some() || self.trust.key.is_some() && self.trust.kept.is_empty();
        if asked && !self.looked_at_signatures {
            self.problem(1, None, "no checkpoint comes with it: nothing is signed by what you trust");
        }
        for mark in std::mem::take(&mut self.marks) {
            let Mark { from, trusted, size: at, root, found } = mark;
            let holds = found == Some(root);
            if found.is_none() {
                self.problem(1, None, format!("{from} is over {at} entries, and there are {size}: entries are gone"));
            } else if !holds {
                self.problem(1, None, format!("{from} is over {at} entries with another root: entries before it were changed"));
            } else if trusted {
                self.report.sealed = self.report.sealed.max(at);
            }
            self.report.checkpoints.push(Compared { from, size: at, trusted, holds });
        }
        if self.trust.root.is_some_and(|trusted| trusted == root) {
            self.report.sealed = size;
        }
        // Two things that are trusted and contradict each other: neither vouches for anything.
        if self.report.checkpoints.iter().any(|compared| compared.trusted && !compared.holds) {
            self.report.sealed = 0;
        }
        self.report.entries = size;
        self.report.root = root.iter().map(|byte| format!("{byte:02x}")).collect();
        self.report
    }
}

/// Checks all lines of an export.
pub fn check_lines(lines: impl BufRead, trust: Trust) -> std::io::Result<Report> {
    take_lines(lines, Check::new(trust))
}

/// Has a check take all lines of an export.
pub(crate) fn take_lines(mut lines: impl BufRead, mut check: Check) -> std::io::Result<Report> {
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut bounded = (&mut lines).take(LINE_BYTES_MAX);
        if bounded.read_until(b'\n', &mut line)? == 0 {
            return Ok(check.finish());
        }
        match std::str::from_utf8(&line).map(str::trim_end) {
            Ok("") => {}
            Ok(text) => check.line(text),
            Err(_) => {
                let after = check.entries();
                check.problem(1, None, format!("the line after entry {after} is not UTF-8"));
            }
        }
    }
}

/// A hash in hexadecimal digits, with or without the name of the function in front.
pub fn hash_of_hex(text: &str) -> Option<Hash> {
    let digits = text.strip_prefix("sha256:").unwrap_or(text).as_bytes();
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = digits.as_chunks::<2>();
    if !rest.is_empty() || pairs.len() != 32 {
        return None;
    }
    let mut hash = [0; 32];
    for (byte, [high, low]) in hash.iter_mut().zip(pairs) {
        *byte = digit(high)? << 4 | digit(low)?;
    }
    Some(hash)
}
