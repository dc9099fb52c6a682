//! The account of the journal: verify it, take it away, prove an entry of it.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use api::rest::views::{AuditEntry, AuditHead, AuditProof};
use audit::{Frontier, entry_hash, verify_inclusion};
use base64::Engine as _;
use clap::Subcommand;
use http_body_util::BodyExt as _;
use model::Digest;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use crate::cli::Door;
use crate::failure::{CommandError, Exit};
use crate::in_process::Need;
use crate::output::{self, Form, Format};
use crate::session;

/// Verify, export and prove what the journal says.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  tutti audit verify\n  tutti audit export --to audit.jsonl\n  tutti audit verify audit.jsonl --root 3f0c…\n  tutti audit prove 17 > proof.json"
)]
pub(crate) struct Audit {
    #[command(subcommand)]
    order: Order,
}

#[derive(Debug, Subcommand)]
enum Order {
    /// Compute every hash again and compare: of the server's journal, or of an export or a proof, without any server.
    #[command(
        after_help = "Examples:\n  tutti audit verify\n  tutti audit verify audit.jsonl --root 3f0c…\n  tutti audit verify proof.json"
    )]
    Verify(Verify),
    /// Write the entries of the journal with their hashes, a JSON object a line.
    #[command(after_help = "Examples:\n  tutti audit export --to audit.jsonl")]
    Export(Export),
    /// Prove that an entry is in the journal: the hashes that lead from it to the root (RFC 6962).
    #[command(after_help = "Examples:\n  tutti audit prove 17 > proof.json\n  tutti audit verify proof.json --root 3f0c…")]
    Prove(Prove),
}

#[derive(Debug, clap::Args)]
struct Verify {
    /// An export or a proof; the server's own journal when there is none.
    file: Option<PathBuf>,
    /// The root that you trust. Without it a file is only checked against itself.
    #[arg(long, value_name = "HEX", requires = "file")]
    root: Option<String>,
    #[command(flatten)]
    form: Form,
}

#[derive(Debug, clap::Args)]
struct Export {
    /// Where to write it, a file that does not exist yet; standard output when there is none.
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// Entries after this position.
    #[arg(long, value_name = "SEQ")]
    after: Option<u64>,
}

#[derive(Debug, clap::Args)]
struct Prove {
    /// The position of the entry.
    seq: u64,
    /// The size of the tree to prove it against; the present one when there is none.
    #[arg(long, value_name = "COUNT")]
    size: Option<u64>,
}

impl Audit {
    /// Does it.
    pub(crate) async fn run(self, door: &Door) -> Result<Exit, CommandError> {
        match self.order {
            Order::Verify(verify) => match &verify.file {
                Some(file) => verify.offline(file),
                None => verify.online(door).await,
            },
            Order::Export(export) => export.run(door).await,
            Order::Prove(prove) => {
                let size = prove.size.map(|size| format!("&size={size}")).unwrap_or_default();
                let path = format!("/api/v1/audit/proof?seq={}{size}", prove.seq);
                let proof: AuditProof = session::with(door, Need::Look, async |session| session.client.get(&path).await).await?;
                output::value(&proof, Format::Json)?;
                Ok(Exit::Done)
            }
        }
    }
}

/// What a verification came to.
struct Verdict {
    what: String,
    size: u64,
    root: String,
    problem: Option<String>,
}

impl Verify {
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

    fn offline(&self, file: &Path) -> Result<Exit, CommandError> {
        let text = std::fs::read_to_string(file).with_context(|| format!("`{}` cannot be read", file.display()))?;
        let mut verdict = match serde_json::from_str::<AuditProof>(&text) {
            Ok(proof) => check_proof(&proof),
            Err(_) => check_export(&text).with_context(|| format!("`{}` is neither an export nor a proof", file.display()))?,
        };
        if let Some(trusted) = self.root.as_ref().filter(|trusted| trusted.trim_start_matches("sha256:") != verdict.root) {
            verdict.problem.get_or_insert(format!("its root is {}, and not the trusted {trusted}", verdict.root));
        }
        let holds = verdict.problem.is_none();
        match self.form.output {
            Format::Table | Format::Name => {
                output::write(&format!("{}: tree of {} entries, root {}\n", verdict.what, verdict.size, verdict.root))?;
                match &verdict.problem {
                    Some(problem) => eprintln!("problem: {problem}"),
                    None if self.root.is_some() => eprintln!("it holds under the root that you trust"),
                    None => eprintln!("it holds in itself; compare the root with one that you trust (--root)"),
                }
            }
            form => {
                let verdict = json!({"what": verdict.what, "size": verdict.size, "root": verdict.root, "holds": holds, "problem": verdict.problem});
                output::value(&verdict, form)?;
            }
        }
        Ok(if holds { Exit::Done } else { Exit::Failed })
    }
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
    let digest: Digest =
        format!("sha256:{}", hex.trim_start_matches("sha256:")).parse().map_err(|error| anyhow::anyhow!("{error}"))?;
    Ok(digest.0)
}

/// The hash of an entry's time and bytes, and what is wrong with it.
fn leaf_of(entry: &AuditEntry) -> anyhow::Result<([u8; 32], Option<String>)> {
    let stated = hash_of(&entry.leaf)?;
    let bytes = base64::engine::general_purpose::STANDARD.decode(&entry.bytes).context("an entry is not base64")?;
    let found = entry_hash(entry.at_us, &bytes);
    Ok((found, (found != stated).then(|| format!("entry {} is not what was hashed", entry.seq))))
}

fn check_proof(proof: &AuditProof) -> Verdict {
    let hashes: anyhow::Result<Vec<[u8; 32]>> = proof.proof.iter().map(|hash| hash_of(hash)).collect();
    let checked = (|| {
        let ((leaf, problem), root, path) = (leaf_of(&proof.entry)?, hash_of(&proof.root)?, hashes?);
        let index = proof.entry.seq.checked_sub(1).context("entries are counted from 1")?;
        let leads = verify_inclusion(leaf, index, proof.size, &path, &root);
        anyhow::Ok(problem.or((!leads).then(|| "the hashes do not lead from the entry to the root".to_owned())))
    })();
    Verdict {
        what: format!("entry {}", proof.entry.seq),
        size: proof.size,
        root: proof.root.clone(),
        problem: checked.unwrap_or_else(|error| Some(format!("{error:#}"))),
    }
}

fn check_export(text: &str) -> anyhow::Result<Verdict> {
    let mut lines = text.lines().filter(|line| !line.is_empty());
    let head: AuditHead = serde_json::from_str(lines.next().context("it is empty")?)?;
    let mut frontier = Frontier::new();
    let mut problem = None;
    for line in lines {
        let entry: AuditEntry = serde_json::from_str(line)?;
        if entry.seq != frontier.size() + 1 {
            problem.get_or_insert(format!("after entry {} comes entry {}", frontier.size(), entry.seq));
        }
        let (leaf, wrong) = leaf_of(&entry)?;
        problem = problem.or(wrong);
        frontier.append(leaf);
    }
    let root = Digest(frontier.root()).hex();
    if problem.is_none() && (frontier.size() != head.size || root != head.root) {
        problem = Some(format!("its {} entries give another root than the head says over {}", frontier.size(), head.size));
    }
    Ok(Verdict { what: "export".into(), size: frontier.size(), root, problem })
}

impl Export {
    async fn run(&self, door: &Door) -> Result<Exit, CommandError> {
        let after = self.after.map(|after| format!("?after={after}")).unwrap_or_default();
        session::with(door, Need::Look, async |session| {
            let mut body = session.client.bytes(&format!("/api/v1/audit/export{after}")).await?;
            let mut file = match &self.to {
                Some(path) => {
                    let created = tokio::fs::File::create_new(path).await;
                    Some(created.with_context(|| format!("`{}` cannot be written", path.display()))?)
                }
                None => None,
            };
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|error| anyhow::anyhow!("the export broke off: {error}"))?;
                let Some(data) = frame.data_ref() else { continue };
                match &mut file {
                    Some(file) => file.write_all(data).await?,
                    None => output::bytes(data)?,
                }
            }
            if let Some(mut file) = file {
                file.flush().await?;
            }
            Ok(Exit::Done)
        })
        .await
    }
}
