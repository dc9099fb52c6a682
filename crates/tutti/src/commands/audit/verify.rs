//! Verification: of the server's journal by the server, and of files without any server.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use api::rest::audit_views::{AuditEntry, AuditProof};
use audit::evidence::{self, Verdict};
use audit::export::{Problem, Report, Trust, hash_of_hex};
use audit::policy::Policy;
use audit::{Checkpoint, Note, PublicKey, entry_hash, verify_inclusion};
use base64::Engine as _;
use serde_json::Value;

use super::offline;
use crate::cli::Door;
use crate::failure::{CommandError, Exit};
use crate::in_process::Need;
use crate::output::{self, Form, Format};
use crate::session;

#[derive(Debug, clap::Args)]
pub(super) struct Verify {
    /// An export, a proof, or an evidence pack; the server's own journal when there is none.
    file: Option<PathBuf>,
    /// The public key of the log that you trust, or a file that holds it. Without it a signature is only checked with the key that the file
    /// names.
    #[arg(long, value_name = "KEY", requires = "file")]
    key: Option<String>,
    /// A checkpoint that you kept: nothing before it may have changed. It can be given several times; it wants --key or --policy.
    #[arg(long, value_name = "FILE", requires = "file")]
    checkpoint: Vec<PathBuf>,
    /// Who has to have signed: logs, witnesses and a quorum of them (c2sp.org/tlog-policy).
    #[arg(long, value_name = "FILE", requires = "file")]
    policy: Option<PathBuf>,
    /// The root that you trust.
    #[arg(long, value_name = "HEX", requires = "file")]
    root: Option<String>,
    /// How far to look: 1 and 2 are hashes, signatures, the tree and the order of entries; 3 makes every decision of the rules again; 4
    /// computes every label and ticket again.
    #[arg(long, value_name = "LEVEL", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=4))]
    levels: u8,
    #[command(flatten)]
    form: Form,
}

impl Verify {
    pub(super) async fn run(self, door: &Door) -> Result<Exit, CommandError> {
        match &self.file {
            Some(file) => self.offline(file),
            None => self.online(door).await,
        }
    }

    async fn online(&self, door: &Door) -> Result<Exit, CommandError> {
        let path = format!("/api/v1/audit/verify?levels={}", self.levels);
        let report: Value = session::with(door, Need::Look, async |session| session.client.get(&path).await).await?;
        let problems = problems(&report);
        match self.form.output {
            Format::Table | Format::Name => {
                let text = format!("{} entries, root {}\n", report["entries"], report["root"].as_str().unwrap_or_default());
                output::write(&text)?;
                if !report["derived"].is_null() {
                    output::write(&super::derived::lines(&report["derived"]))?;
                }
                problems.iter().for_each(|problem| eprintln!("problem: {problem}"));
                match (problems.is_empty(), report["derived"].is_null()) {
                    (false, _) => {}
                    (true, true) => eprintln!("every hash is as it should be"),
                    (true, false) => {
                        eprintln!("every hash is as it should be, and every decision, label and ticket comes out as recorded")
                    }
                }
            }
            form => output::value(&report, form)?,
        }
        Ok(if problems.is_empty() { Exit::Done } else { Exit::Failed })
    }

    /// What is trusted already.
    fn trust(&self) -> anyhow::Result<Trust> {
        let key = self.key.as_deref().map(read_key).transpose()?;
        let policy = self.policy.as_deref().map(read_policy).transpose()?;
        let root = self.root.as_deref().map(|root| hash_of_hex(root).with_context(|| format!("`{root}` is not a hash")));
        let mut trust = Trust { key, root: root.transpose()?, kept: Vec::new(), policy };
        for file in &self.checkpoint {
            let shown = file.display();
            let bytes = std::fs::read(file).with_context(|| format!("`{shown}` cannot be read"))?;
            let note = Note::parse(&bytes).with_context(|| format!("`{shown}`"))?;
            let opened = match (&trust.key, &trust.policy) {
                (Some(key), _) => Checkpoint::open(&note, key),
                (None, Some(policy)) => policy.open(&note).map(|(checkpoint, _)| checkpoint),
                (None, None) => return Err(anyhow::anyhow!("a checkpoint wants the key of its log: give --key or --policy")),
            };
            trust.kept.push(opened.with_context(|| format!("`{shown}`"))?);
        }
        Ok(trust)
    }

    fn offline(&self, file: &Path) -> Result<Exit, CommandError> {
        let trust = self.trust().map_err(CommandError::file)?;
        let about = || format!("`{}`", file.display());
        let verdict = look(file, trust).with_context(about).map_err(CommandError::file)?;
        // What was changed gives no decisions to make again.
        let derived = match verdict.holds && self.levels > 2 {
            true => Some(offline::derive(file).with_context(about).map_err(CommandError::file)?),
            false => None,
        };
        self.print(&verdict, derived.as_ref())?;
        let derived_holds = derived.and_then(Result::ok).is_none_or(|derived| derived.holds());
        Ok(if verdict.holds && derived_holds { Exit::Done } else { Exit::Failed })
    }

    fn print(&self, verdict: &Verdict, derived: Option<&offline::Derived>) -> Result<(), CommandError> {
        let report = &verdict.report;
        let not_derived = derived.and_then(|derived| derived.as_ref().err());
        let derived = derived.and_then(|derived| derived.as_ref().ok());
        match self.form.output {
            Format::Table | Format::Name => {
                output::write(&format!("{}: tree of {} entries, root {}\n", verdict.what, report.entries, report.root))?;
                if let Some(derived) = derived {
                    output::write(&super::derived::lines(&serde_json::to_value(derived)?))?;
                }
                let derived_problems = derived.map(|derived| derived.problems.as_slice()).unwrap_or_default();
                for problem in report.problems.iter().chain(derived_problems) {
                    let place = problem.seq.map(|seq| format!("entry {seq}: ")).unwrap_or_default();
                    eprintln!("problem: {place}{}", problem.what);
                }
                if let Some(why) = not_derived {
                    eprintln!("levels 3 and 4 (decisions, labels and tickets) were not looked at: {why}");
                }
                match (verdict.holds && derived_problems.is_empty(), report.sealed) {
                    (false, _) => {}
                    (true, 0) => eprintln!(
                        "it holds in itself; compare it with something that you trust: a key (--key), a checkpoint that you kept (--checkpoint), a root (--root)"
                    ),
                    (true, sealed) if sealed == report.entries => eprintln!("it holds, under what you trust"),
                    (true, sealed) => {
                        eprintln!("it holds, under what you trust, up to entry {sealed}; later entries hold in themselves");
                    }
                }
            }
            form => {
                let mut value = serde_json::to_value(verdict)?;
                if let Some(derived) = derived {
                    value["derived"] = serde_json::to_value(derived)?;
                }
                if let Some(why) = not_derived {
                    value["not_derived"] = (*why).into();
                }
                output::value(&value, form)?;
            }
        }
        Ok(())
    }
}

/// Looks at a file, or at the folder of a pack.
fn look(file: &Path, trust: Trust) -> anyhow::Result<Verdict> {
    if file.is_dir() {
        let mut files = BTreeMap::new();
        take_folder(file, "", &mut files)?;
        let lent = files.iter().map(|(name, bytes)| (name.clone(), bytes.as_slice())).collect();
        return Ok(evidence::check_files(&lent, &trust));
    }
    let mut reader = BufReader::with_capacity(1 << 18, std::fs::File::open(file)?);
    if reader.fill_buf()?.starts_with(b"{\n") {
        let proof = serde_json::from_reader::<_, AuditProof>(reader);
        return Ok(check_proof(&proof.context("it begins like a proof in JSON")?, &trust));
    }
    Ok(evidence::check(reader, trust)?)
}

fn take_folder(folder: &Path, prefix: &str, files: &mut BTreeMap<String, Vec<u8>>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        match entry.file_type()?.is_dir() {
            true => take_folder(&entry.path(), &format!("{name}/"), files)?,
            false => drop(files.insert(name, std::fs::read(entry.path())?)),
        }
    }
    Ok(())
}

/// A key as it is given: itself, or a file that holds it.
pub(crate) fn read_key(given: &str) -> anyhow::Result<PublicKey> {
    if let Ok(key) = given.parse() {
        return Ok(key);
    }
    let text = std::fs::read_to_string(given).with_context(|| format!("`{given}` is neither a key nor a file with one"))?;
    text.trim().parse().with_context(|| format!("`{given}`"))
}

/// A policy of who has to have signed.
pub(crate) fn read_policy(file: &Path) -> anyhow::Result<Policy> {
    let shown = file.display();
    let text = std::fs::read_to_string(file).with_context(|| format!("`{shown}` cannot be read"))?;
    Policy::parse(&text).with_context(|| format!("`{shown}`"))
}

/// What a report of the server says is wrong.
fn problems(report: &Value) -> Vec<String> {
    let one = report["problem"].as_str().map(str::to_owned);
    let derived = report["derived"]["problems"].as_array().into_iter().flatten();
    let many = report["problems"].as_array().into_iter().flatten().chain(derived).map(|problem| {
        let what = problem["what"].as_str().unwrap_or_default();
        problem["seq"].as_u64().map_or_else(|| what.to_owned(), |seq| format!("entry {seq}: {what}"))
    });
    one.into_iter().chain(many).collect()
}

fn hash_of(hex: &str) -> anyhow::Result<[u8; 32]> {
    hash_of_hex(hex).with_context(|| format!("`{hex}` is not a hash"))
}

/// The hash of an entry's time and bytes, and what is wrong with it.
fn leaf_of(entry: &AuditEntry) -> anyhow::Result<([u8; 32], Option<String>)> {
    let stated = hash_of(&entry.leaf)?;
    let bytes = base64::engine::general_purpose::STANDARD.decode(&entry.bytes).context("an entry is not base64")?;
    let found = entry_hash(entry.at_us, &bytes);
    Ok((found, (found != stated).then(|| format!("entry {} is not what was hashed", entry.seq))))
}

/// Checks a proof in JSON, which has no checkpoint: only a root that is trusted makes it worth anything.
fn check_proof(proof: &AuditProof, trust: &Trust) -> Verdict {
    let hashes: anyhow::Result<Vec<[u8; 32]>> = proof.proof.iter().map(|hash| hash_of(hash)).collect();
    let checked = (|| {
        let ((leaf, problem), root, path) = (leaf_of(&proof.entry)?, hash_of(&proof.root)?, hashes?);
        let index = proof.entry.seq.checked_sub(1).context("entries are counted from 1")?;
        let leads = verify_inclusion(leaf, index, proof.size, &path, &root);
        let problem = problem.or((!leads).then(|| "the hashes do not lead from the entry to the root".to_owned()));
        let other = trust.root.is_some_and(|trusted| trusted != root);
        anyhow::Ok(problem.or(other.then(|| "its root is not the one that is trusted".to_owned())))
    })();
    let problem = checked.unwrap_or_else(|error| Some(format!("{error:#}")));
    let mut report = Report { entries: proof.size, root: proof.root.clone(), ..Report::default() };
    if trust.root.is_some() && problem.is_none() {
        report.sealed = proof.size;
    }
    if let Some(what) = problem {
        report.note(Problem { level: 1, seq: Some(proof.entry.seq), what });
    }
    let holds = report.holds();
    Verdict { what: format!("entry {}", proof.entry.seq), proofs: 1, report, holds }
}
