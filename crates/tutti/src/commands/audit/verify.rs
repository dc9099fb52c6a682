//! Verification: of the server's journal by the server, and of files without any server.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use api::rest::views::{AuditEntry, AuditProof};
use audit::export::{Check, Report, Trust, hash_of_hex};
use audit::{Checkpoint, EntryProof, Note, PublicKey, entry_hash, verify_inclusion};
use base64::Engine as _;
use serde_json::{Value, json};

use crate::cli::Door;
use crate::failure::{CommandError, Exit};
use crate::in_process::Need;
use crate::output::{self, Form, Format};
use crate::session;

#[derive(Debug, clap::Args)]
pub(super) struct Verify {
    /// An export or a proof; the server's own journal when there is none.
    file: Option<PathBuf>,
    /// The public key of the log that you trust, or a file that holds it. Without it a signature is only checked with the key that the file
    /// names.
    #[arg(long, value_name = "KEY", requires = "file")]
    key: Option<String>,
    /// A checkpoint that you kept: nothing before it may have changed. It can be given several times.
    #[arg(long, value_name = "FILE", requires = "key")]
    checkpoint: Vec<PathBuf>,
    /// The root that you trust.
    #[arg(long, value_name = "HEX", requires = "file")]
    root: Option<String>,
    #[command(flatten)]
    form: Form,
}

/// What a verification came to.
struct Verdict {
    what: String,
    size: u64,
    root: String,
    problems: Vec<String>,
    /// Entries that are fixed by something that is trusted.
    sealed: u64,
    report: Value,
}

impl Verify {
    pub(super) async fn run(self, door: &Door) -> Result<Exit, CommandError> {
        match &self.file {
            Some(file) => self.offline(file),
            None => self.online(door).await,
        }
    }

    async fn online(&self, door: &Door) -> Result<Exit, CommandError> {
        let report: Value =
            session::with(door, Need::Look, async |session| session.client.get("/api/v1/audit/verify").await).await?;
        let problems = problems(&report);
        match self.form.output {
            Format::Table | Format::Name => {
                let text = format!("{} entries, root {}\n", report["entries"], report["root"].as_str().unwrap_or_default());
                output::write(&text)?;
                problems.iter().for_each(|problem| eprintln!("problem: {problem}"));
                if problems.is_empty() {
                    eprintln!("every hash is as it should be");
                }
            }
            form => output::value(&report, form)?,
        }
        Ok(if problems.is_empty() { Exit::Done } else { Exit::Failed })
    }

    /// What is trusted already.
    fn trust(&self) -> anyhow::Result<Trust> {
        let key = self.key.as_deref().map(read_key).transpose()?;
        let root = self.root.as_deref().map(|root| hash_of_hex(root).with_context(|| format!("`{root}` is not a hash")));
        let mut trust = Trust { key, root: root.transpose()?, kept: Vec::new() };
        for file in &self.checkpoint {
            let shown = file.display();
            let bytes = std::fs::read(file).with_context(|| format!("`{shown}` cannot be read"))?;
            let key = trust.key.as_ref().context("a checkpoint wants the key of its log")?;
            let note = Note::parse(&bytes).with_context(|| format!("`{shown}`"))?;
            trust.kept.push(Checkpoint::open(&note, key).with_context(|| format!("`{shown}`"))?);
        }
        Ok(trust)
    }

    fn offline(&self, file: &Path) -> Result<Exit, CommandError> {
        let trust = self.trust()?;
        let shown = file.display();
        let mut reader =
            BufReader::with_capacity(1 << 16, std::fs::File::open(file).with_context(|| format!("`{shown}` cannot be read"))?);
        let start = reader.fill_buf().with_context(|| format!("`{shown}` cannot be read"))?;
        let verdict = if start.starts_with(b"c2sp.org/tlog-proof@") {
            check_proof_file(&std::fs::read(file)?, &trust)
        } else if start.starts_with(b"{\n") {
            let proof = serde_json::from_slice::<AuditProof>(&std::fs::read(file)?);
            proof.context("it begins like a proof").map(|proof| check_proof(&proof, &trust))
        } else {
            check_export(reader, trust)
        };
        let verdict = verdict.with_context(|| format!("`{shown}` is neither an export nor a proof"))?;
        self.print(&verdict)?;
        Ok(if verdict.problems.is_empty() { Exit::Done } else { Exit::Failed })
    }

    fn print(&self, verdict: &Verdict) -> Result<(), CommandError> {
        match self.form.output {
            Format::Table | Format::Name => {
                output::write(&format!("{}: tree of {} entries, root {}\n", verdict.what, verdict.size, verdict.root))?;
                verdict.problems.iter().for_each(|problem| eprintln!("problem: {problem}"));
                match (verdict.problems.is_empty(), verdict.sealed) {
                    (false, _) => {}
                    (true, 0) => eprintln!(
                        "it holds in itself; compare it with something that you trust: a key (--key), a checkpoint that you kept (--checkpoint), a root (--root)"
                    ),
                    (true, sealed) if sealed == verdict.size => eprintln!("it holds, under what you trust"),
                    (true, sealed) => {
                        eprintln!("it holds, under what you trust, up to entry {sealed}; later entries hold in themselves")
                    }
                }
            }
            form => output::value(&verdict.report, form)?,
        }
        Ok(())
    }
}

/// A key as it is given: itself, or a file that holds it.
pub(super) fn read_key(given: &str) -> anyhow::Result<PublicKey> {
    if let Ok(key) = given.parse() {
        return Ok(key);
    }
    let text = std::fs::read_to_string(given).with_context(|| format!("`{given}` is neither a key nor a file with one"))?;
    text.trim().parse().with_context(|| format!("`{given}`"))
}

/// What a report of the server says is wrong.
fn problems(report: &Value) -> Vec<String> {
    let one = report["problem"].as_str().map(str::to_owned);
    let many = report["problems"].as_array().into_iter().flatten().map(|problem| {
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

/// The verdict over one entry.
fn verdict_of_entry(seq: u64, size: u64, root: String, problem: Option<String>, trust: &Trust, signed: bool) -> Verdict {
    let other = trust.root.filter(|trusted| hash_of_hex(&root) != Some(*trusted));
    let problem = problem.or_else(|| other.map(|_| format!("its root is {root}, and not the trusted one")));
    let holds = problem.is_none();
    let sealed = if holds && (signed || trust.root.is_some()) { size } else { 0 };
    let what = format!("entry {seq}");
    let report = json!({"what": what, "size": size, "root": root, "holds": holds, "sealed": sealed, "problem": problem});
    Verdict { what, size, root, problems: problem.into_iter().collect(), sealed, report }
}

fn check_proof(proof: &AuditProof, trust: &Trust) -> Verdict {
    let hashes: anyhow::Result<Vec<[u8; 32]>> = proof.proof.iter().map(|hash| hash_of(hash)).collect();
    let checked = (|| {
        let ((leaf, problem), root, path) = (leaf_of(&proof.entry)?, hash_of(&proof.root)?, hashes?);
        let index = proof.entry.seq.checked_sub(1).context("entries are counted from 1")?;
        let leads = verify_inclusion(leaf, index, proof.size, &path, &root);
        anyhow::Ok(problem.or((!leads).then(|| "the hashes do not lead from the entry to the root".to_owned())))
    })();
    let problem = checked.unwrap_or_else(|error| Some(format!("{error:#}")));
    verdict_of_entry(proof.entry.seq, proof.size, proof.root.clone(), problem, trust, false)
}

fn check_proof_file(bytes: &[u8], trust: &Trust) -> anyhow::Result<Verdict> {
    let proof = EntryProof::parse(bytes)?;
    let key = trust.key.as_ref().context("a proof with a checkpoint is checked with the key of its log: give it with --key")?;
    let (size, root, problem) = match proof.verify(key, None) {
        Ok(checkpoint) => (checkpoint.size, checkpoint.root, None),
        Err(error) => (0, [0; 32], Some(error.to_string())),
    };
    Ok(verdict_of_entry(proof.index + 1, size, model::Digest(root).hex(), problem, trust, true))
}

fn check_export(mut reader: impl std::io::BufRead, trust: Trust) -> anyhow::Result<Verdict> {
    let mut check = Check::new(trust);
    let mut line = String::new();
    let mut is_first = true;
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            break;
        }
        let text = line.trim_end();
        if is_first {
            serde_json::from_str::<audit::export::Head>(text).context("the first line is not the head of an export")?;
            is_first = false;
        }
        if !text.is_empty() {
            check.line(text);
        }
    }
    let report = check.finish();
    Ok(verdict_of_export(report))
}

fn verdict_of_export(report: Report) -> Verdict {
    let problems = report.problems.iter().map(|problem| match problem.seq {
        Some(seq) => format!("entry {seq}: {}", problem.what),
        None => problem.what.clone(),
    });
    let mut value = serde_json::to_value(&report).unwrap_or_default();
    value["what"] = "export".into();
    value["holds"] = report.holds().into();
    Verdict {
        what: "export".into(),
        size: report.entries,
        root: report.root.clone(),
        problems: problems.collect(),
        sealed: report.sealed,
        report: value,
    }
}
