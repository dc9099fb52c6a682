//! Evidence packs: what an auditor gets, in one file that needs no server.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context as _;
use api::rest::audit_views::{AuditProof, AuditStatus};
use api::rest::rfc3339;
use audit::evidence::{CHECKPOINT, ENTRIES, FORMAT, KEY, MANIFEST, Manifest, PROOFS};
use audit::export::hash_of_hex;
use audit::{Checkpoint, EntryProof, Note, PublicKey, pack};
use base64::Engine as _;
use controlplane::FaultKind;
use engine::{Event, codec};
use http_body_util::BodyExt as _;
use model::{Digest, RunId, Timestamp};

use super::formats::{Kind, Place, Translator};
use super::summary;
use crate::cli::Door;
use crate::client::Client;
use crate::failure::{CommandError, Exit};
use crate::in_process::Need;
use crate::{names, session};

/// Entries of a run that are proved one by one.
const PROOFS_MAX: usize = 2_000;

#[derive(Debug, clap::Args)]
pub(super) struct Pack {
    /// Where to write it, a file that does not exist yet.
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// Only this run, with a proof for each of its entries; all entries when there is none.
    #[arg(long)]
    run: Option<String>,
    /// A policy of who has to have signed, to go with it.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
}

/// An entry of the export, decoded.
pub(super) struct Fact {
    pub(super) place: Place,
    pub(super) event: Event,
}

impl Pack {
    pub(super) async fn run(self, door: &Door) -> Result<Exit, CommandError> {
        let mut files = session::with(door, Need::Look, async |session| self.gather(&session.client).await).await?;
        if let Some(policy) = &self.policy {
            let text = std::fs::read(policy).with_context(|| format!("`{}` cannot be read", policy.display()))?;
            super::verify::read_policy(policy).map_err(CommandError::file)?;
            files.insert("witnesses.policy".into(), text);
        }
        let about = self.run.as_ref().map_or_else(|| "all entries".to_owned(), |run| format!("the run {run}"));
        let digests = files.iter().map(|(name, bytes)| (name.clone(), Digest::of(bytes).hex())).collect();
        let manifest = Manifest { format: FORMAT.into(), about, made_at: rfc3339(controlplane::wall()), files: digests };
        files.insert(MANIFEST.into(), serde_json::to_vec_pretty(&manifest)?);
        let archive = pack::write(&files).context("the pack")?;
        let written = std::fs::File::create_new(&self.to).and_then(|mut file| std::io::Write::write_all(&mut file, &archive));
        written.with_context(|| format!("`{}` cannot be written", self.to.display()))?;
        eprintln!("{} files, {} bytes; check it with: tutti-verify --key KEY {}", files.len(), archive.len(), self.to.display());
        Ok(Exit::Done)
    }

    async fn gather(&self, client: &Client) -> Result<BTreeMap<String, Vec<u8>>, CommandError> {
        let status: AuditStatus = client.get("/api/v1/audit/status").await?;
        let key =
            status.key.clone().ok_or_else(|| CommandError::of(FaultKind::NotFound, "there is no key yet: nothing was signed"))?;
        let witnessed = if status.witnessed.is_some() { "?witnessed=true" } else { "" };
        let note = bytes(client, &format!("/api/v1/audit/checkpoint{witnessed}")).await?;
        let parsed = Note::parse(&note).context("the checkpoint")?;
        let public: PublicKey = key.parse().context("the key")?;
        let checkpoint = Checkpoint::open(&parsed, &public).context("the checkpoint")?;
        let run = match &self.run {
            Some(run) => Some(names::run(client, run, "?actions=1").await?),
            None => None,
        };
        let chosen = run.as_ref().map(|run| format!("?run={}", run.number)).unwrap_or_default();
        let export = bytes(client, &format!("/api/v1/audit/export{chosen}")).await?;
        let facts = decoded(&export)?;
        let mut files = BTreeMap::new();
        match &run {
            None => drop(files.insert(ENTRIES.to_owned(), export)),
            Some(_) => {
                for fact in facts.iter().filter(|fact| fact.place.seq <= checkpoint.size).take(PROOFS_MAX) {
                    let proof = prove(client, fact.place.seq, checkpoint.size, &parsed).await?;
                    files.insert(format!("{PROOFS}{}.tlog-proof", fact.place.seq), proof.to_string().into_bytes());
                }
            }
        }
        for (name, kind) in
            [("ocsf.jsonl", Kind::Ocsf), ("openlineage.jsonl", Kind::Openlineage), ("in-toto.jsonl", Kind::InToto)]
        {
            let mut translator = Translator::new(kind, &checkpoint.origin);
            let made = facts.iter().filter_map(|fact| translator.take(fact.place, &fact.event));
            let text: String = made.map(|document| format!("{document}\n")).collect();
            files.insert(name.to_owned(), text.into_bytes());
        }
        files.insert(CHECKPOINT.to_owned(), note);
        files.insert(KEY.to_owned(), format!("{key}\n").into_bytes());
        files.insert("VERIFY.md".to_owned(), instructions(&checkpoint).into_bytes());
        files.insert("summary.html".to_owned(), summary::page(&checkpoint, &status, &facts, self.run.as_deref()).into_bytes());
        Ok(files)
    }
}

async fn bytes(client: &Client, path: &str) -> Result<Vec<u8>, CommandError> {
    Ok(client.bytes(path).await?.collect().await.map_err(super::broke_off)?.to_bytes().to_vec())
}

async fn prove(client: &Client, seq: u64, size: u64, note: &Note) -> Result<EntryProof, CommandError> {
    let proof: AuditProof = client.get(&format!("/api/v1/audit/proof?seq={seq}&size={size}")).await?;
    let entry = base64::engine::general_purpose::STANDARD.decode(&proof.entry.bytes).context("an entry is not base64")?;
    let path = proof.proof.iter().map(|hash| hash_of_hex(hash).context("a hash is not one")).collect::<anyhow::Result<_>>()?;
    Ok(EntryProof { leaf: Some(EntryProof::leaf_of(proof.entry.at_us, &entry)), index: seq - 1, path, note: note.clone() })
}

/// The entries of an export; what this version does not know is left out of the summary.
fn decoded(export: &[u8]) -> anyhow::Result<Vec<Fact>> {
    let text = std::str::from_utf8(export).context("the export is not UTF-8")?;
    let mut facts = Vec::new();
    for line in text.lines().skip(1) {
        facts.extend(fact_of(line)?.map(|(place, event)| Fact { place, event }));
    }
    Ok(facts)
}

/// A line of an export as an event.
pub(super) fn fact_of(line: &str) -> anyhow::Result<Option<(Place, Event)>> {
    let line: audit::export::Line<'_> = serde_json::from_str(line).context("a line of the export")?;
    let bytes = base64::engine::general_purpose::STANDARD.decode(line.bytes.as_bytes()).context("an entry is not base64")?;
    let place = Place { seq: line.seq, run: RunId(line.run), at: Timestamp(line.at_us) };
    Ok(codec::decode(&bytes).ok().map(|event| (place, event)))
}

fn instructions(checkpoint: &Checkpoint) -> String {
    format!(
        "# How to check this pack\n\n\
         It holds what the log `{}` said about its first {} entries. Nothing in it is to be believed before it is checked.\n\n\
         1. Get the public key of the log from somewhere that the log's administrator cannot change, and not from this pack: from your own notes of an\n   \
            earlier audit, or from the person who started the server (`tutti audit key`).\n\
         2. Get `tutti-verify`, built from the sources of Tutti (`cargo build --release -p verifier`). It opens files and nothing else.\n\
         3. Run `tutti-verify --key KEY PACK.zip`. With a checkpoint that you kept from an earlier audit, add `--checkpoint FILE`: then nothing before it\n   \
            can have been changed since. With witnesses that you trust, add `--policy FILE`.\n\
         4. It ends with 0 and says `it holds, under what you trust`, or says which entry is not as it was recorded. These are levels 1 and 2 of a check.\n\
         5. `tutti audit verify PACK.zip --key KEY` (`cargo build --release -p tutti`) makes every decision again, too, and computes every label and ticket\n   \
            (levels 3 and 4), where the pack holds all entries.\n\n\
         `summary.html`, `ocsf.jsonl`, `openlineage.jsonl` and `in-toto.jsonl` are made from the entries for people and programs; the entries are the evidence.\n\
         What a check shows: that these entries are the ones that were signed, in this order, without gaps. What it does not show: that what was recorded is\n\
         what happened outside of the server, or that the law was kept.\n",
        checkpoint.origin, checkpoint.size
    )
}
