//! The account of the journal: verify it, take it away, prove an entry of it, and see who signs it.

mod connections;
mod derived;
mod formats;
mod offline;
mod pack;
mod prove;
mod summary;
mod verify;

pub(crate) use verify::{read_key, read_policy};

use std::path::PathBuf;

use anyhow::Context as _;
use api::rest::audit_views::AuditStatus;
use clap::Subcommand;
use controlplane::FaultKind;
use http_body_util::BodyExt as _;
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
    after_help = "Examples:\n  tutti audit status\n  tutti audit key > tutti.key\n  tutti audit export --to audit.jsonl\n  tutti audit verify audit.jsonl --key tutti.key\n  tutti audit prove 17 --to entry.tlog-proof"
)]
pub(crate) struct Audit {
    #[command(subcommand)]
    order: Order,
}

#[derive(Debug, Subcommand)]
enum Order {
    /// Compute every hash again and compare: of the server's journal, or of an export or a proof, without any server.
    #[command(
        after_help = "Examples:\n  tutti audit verify\n  tutti audit verify audit.jsonl --key tutti.key --checkpoint kept.checkpoint\n  tutti audit verify entry.tlog-proof --key tutti.key"
    )]
    Verify(verify::Verify),
    /// Write the entries of the journal with their hashes, a JSON object a line.
    #[command(after_help = "Examples:\n  tutti audit export --to audit.jsonl")]
    Export(Export),
    /// Write an evidence pack: one file with the signed checkpoint, the entries (or the proofs of those of one run), and pages for people.
    #[command(
        after_help = "Examples:\n  tutti audit pack --to evidence.zip\n  tutti audit pack --run fraud-model-7 --to run.zip\n  tutti audit verify evidence.zip --key tutti.key"
    )]
    Pack(pack::Pack),
    /// Prove that an entry is in the journal: a file that holds the entry, the hashes that lead from it to the root (RFC 6962), and the
    /// signed checkpoint.
    #[command(
        after_help = "Examples:\n  tutti audit prove 17 --to entry.tlog-proof\n  tutti audit verify entry.tlog-proof --key tutti.key\n  tutti audit prove 17 --json --size 20"
    )]
    Prove(prove::Prove),
    /// Show every connection that the attempts of a run made or wanted to make over the network: where to, how it ended, bytes each way.
    #[command(
        after_help = "Examples:\n  tutti audit connections fraud-model-7\n  tutti audit connections fraud-model-7 score -o json"
    )]
    Connections(connections::Connections),
    /// Show the public key that signs checkpoints. Keep it where the server cannot change it.
    #[command(after_help = "Examples:\n  tutti audit key > tutti.key")]
    Key(Shown),
    /// Show the last signed checkpoint: size and root of the tree. One that is kept elsewhere shows later whether anything before it was
    /// changed.
    #[command(after_help = "Examples:\n  tutti audit checkpoint > kept.checkpoint")]
    Checkpoint,
    /// Show how the audit log is: entries, the last checkpoint, and whether dispatch is stopped.
    #[command(after_help = "Examples:\n  tutti audit status")]
    Status(Shown),
    /// Go on although the journal contradicts what was signed before. Dispatch was stopped for it; who goes on and why is recorded.
    #[command(after_help = "Examples:\n  tutti audit accept --reason \"restored from Monday's backup\"")]
    Accept(Accept),
}

#[derive(Debug, clap::Args)]
struct Shown {
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
    /// The form: the entries as they are hashed, or another one that is made from them.
    #[arg(long, value_enum, default_value_t)]
    format: formats::Kind,
}

#[derive(Debug, clap::Args)]
struct Accept {
    /// Why it is right to go on.
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

impl Audit {
    /// Does it.
    pub(crate) async fn run(self, door: &Door) -> Result<Exit, CommandError> {
        match self.order {
            Order::Verify(verify) => verify.run(door).await,
            Order::Export(export) => export.run(door).await,
            Order::Pack(pack) => pack.run(door).await,
            Order::Prove(prove) => prove.run(door).await,
            Order::Connections(connections) => connections.run(door).await,
            Order::Key(shown) => shown.key(door).await,
            Order::Checkpoint => {
                output::write(&text(door, "/api/v1/audit/checkpoint").await?)?;
                Ok(Exit::Done)
            }
            Order::Status(shown) => shown.status(door).await,
            Order::Accept(accept) => accept.run(door).await,
        }
    }
}

/// Reads what the server answers as it is.
async fn text(door: &Door, path: &str) -> Result<String, CommandError> {
    session::with(door, Need::Look, async |session| {
        let bytes = session.client.bytes(path).await?.collect().await.map_err(broke_off)?.to_bytes();
        Ok(String::from_utf8(bytes.to_vec()).context("the answer is not text")?)
    })
    .await
}

/// An answer that did not come to its end.
fn broke_off(error: hyper::Error) -> CommandError {
    CommandError::of(FaultKind::Unreachable, format!("the answer broke off: {error}"))
}

async fn status(door: &Door) -> Result<AuditStatus, CommandError> {
    session::with(door, Need::Look, async |session| session.client.get("/api/v1/audit/status").await).await
}

impl Shown {
    async fn key(self, door: &Door) -> Result<Exit, CommandError> {
        let status = status(door).await?;
        let Some(key) = &status.key else {
            let message = "there is no key yet: the first server on the data directory makes it";
            return Err(CommandError::of(FaultKind::NotFound, message).hint("`tutti up` starts one"));
        };
        match self.form.output {
            Format::Table | Format::Name => output::write(&format!("{key}\n"))?,
            form => output::value(&json!({"key": key, "origin": status.origin, "id": status.key_id}), form)?,
        }
        Ok(Exit::Done)
    }

    async fn status(self, door: &Door) -> Result<Exit, CommandError> {
        let status = status(door).await?;
        let halted = status.halted.is_some();
        match self.form.output {
            Format::Table | Format::Name => {
                let size = |head: &Option<api::rest::audit_views::AuditHead>| head.as_ref().map_or(0, |head| head.size);
                let (sealed, witnessed) = (size(&status.sealed), size(&status.witnessed));
                let origin = status.origin.as_deref().unwrap_or("-");
                output::write(&format!(
                    "log       {origin}\nkey       {}\nentries   {}\nsealed    {sealed}\ndispatch  {}\n",
                    status.key_id.as_deref().unwrap_or("-"),
                    status.entries,
                    if halted { "stopped" } else { "goes on" },
                ))?;
                if !status.witnesses.is_empty() {
                    output::write(&format!("witnessed {witnessed}\n"))?;
                }
                for witness in &status.witnesses {
                    let how = witness.trouble.clone().unwrap_or_else(|| format!("signed {} entries", witness.size));
                    output::write(&format!("witness   {}: {how}\n", witness.name))?;
                }
                if let Some(why) = &status.halted {
                    eprintln!("nothing is dispatched: {why}");
                    eprintln!("hint: find out what happened; then `tutti audit accept --reason …` goes on");
                }
            }
            form => output::value(&serde_json::to_value(&status)?, form)?,
        }
        Ok(if halted { Exit::Failed } else { Exit::Done })
    }
}

impl Accept {
    async fn run(self, door: &Door) -> Result<Exit, CommandError> {
        let request = json!({"reason": self.reason});
        let answer: Value =
            session::with(door, Need::Change, async |session| session.client.post("/api/v1/audit/accept", &request).await)
                .await?;
        eprintln!("accepted: {}", answer["broken"].as_str().unwrap_or_default());
        Ok(Exit::Done)
    }
}

impl Export {
    /// Writes what is told of an entry, unless that was told before.
    async fn tell(&self, file: &mut Option<tokio::fs::File>, seq: u64, document: &Value) -> Result<(), CommandError> {
        match seq > self.after.unwrap_or_default() {
            true => write_to(file, format!("{document}\n").as_bytes()).await,
            false => Ok(()),
        }
    }

    async fn run(self, door: &Door) -> Result<Exit, CommandError> {
        // Another form wants to know what came before.
        let translated = self.format != formats::Kind::Entries;
        let after = self.after.filter(|_| !translated).map(|after| format!("?after={after}")).unwrap_or_default();
        session::with(door, Need::Look, async |session| {
            let mut file = match &self.to {
                Some(path) => {
                    let created = tokio::fs::File::create_new(path).await;
                    Some(created.with_context(|| format!("`{}` cannot be written", path.display()))?)
                }
                None => None,
            };
            if translated {
                let mut lines = session.client.lines("/api/v1/audit/export").await?;
                let head = lines.next().await?.context("the export is empty")?;
                let head: audit::export::Head = serde_json::from_str(&head).context("the head of the export")?;
                let origin = head.key.as_deref().and_then(|key| key.split('+').next()).unwrap_or("tutti").to_owned();
                let mut translator = formats::Translator::new(self.format, &origin);
                while let Some(line) = lines.next().await? {
                    let Some((place, event)) = pack::fact_of(&line)? else { continue };
                    let made = translator.take(place, &event, offline::document_of(&line)?.as_ref());
                    for (seq, document) in made {
                        self.tell(&mut file, seq, &document).await?;
                    }
                }
                for (seq, document) in translator.finish() {
                    self.tell(&mut file, seq, &document).await?;
                }
            } else {
                let mut body = session.client.bytes(&format!("/api/v1/audit/export{after}")).await?;
                while let Some(frame) = body.frame().await {
                    let frame = frame.map_err(broke_off)?;
                    if let Some(data) = frame.data_ref() {
                        write_to(&mut file, data).await?;
                    }
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

async fn write_to(file: &mut Option<tokio::fs::File>, bytes: &[u8]) -> Result<(), CommandError> {
    match file {
        Some(file) => file.write_all(bytes).await?,
        None => output::bytes(bytes)?,
    }
    Ok(())
}
