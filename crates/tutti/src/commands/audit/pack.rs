//! Evidence packs: what an auditor gets, in one file that needs no server.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

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
use serde_json::Value;

use super::formats::{Kind, Place, Translator};
use super::summary;
use crate::cli::Door;
use crate::client::Client;
use crate::failure::{CommandError, Exit};
use crate::in_process::Need;
use crate::{names, session};

/// Entries that are proved one by one; of a run with more there is a pack of all entries.
const PROOFS_MAX: usize = 20_000;
/// The longest wait for a checkpoint over the entries of a pack, and between two looks.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_millis(100));
/// The folder of the documents that rules were made of.
const POLICIES: &str = "policies/";

#[derive(Debug, clap::Args)]
pub(super) struct Pack {
    /// Where to write it, a file that does not exist yet.
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// Only this run and the rules before its end, with a proof for each entry; all entries when there is none.
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
    /// What stands beside it.
    pub(super) document: Option<Value>,
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
        let public: PublicKey = key.parse().context("the key")?;
        let run = match &self.run {
            Some(run) => Some(names::run(client, run, "?actions=1").await?),
            None => None,
        };
        let chosen = run.as_ref().map(|run| format!("?run={}&rules=true", run.number)).unwrap_or_default();
        let export = bytes(client, &format!("/api/v1/audit/export{chosen}")).await?;
        let mut facts = decoded(&export)?;
        let mut files = BTreeMap::new();
        let (note, checkpoint) = match &run {
            None => {
                files.insert(ENTRIES.to_owned(), export);
                checkpoint(client, &status, &public).await?
            }
            Some(_) => {
                // What came after the run's last entry is of other rules than its own.
                let last = facts.iter().filter(|fact| fact.place.run != RunId(0)).map(|fact| fact.place.seq).max().unwrap_or(0);
                facts.retain(|fact| fact.place.seq <= last);
                let sealed = covering(client, &status, &public, last).await?;
                files.extend(proofs(client, &facts, &sealed).await?);
                sealed
            }
        };
        files.extend(facts.iter().filter_map(policy_of).collect::<Result<Vec<_>, _>>()?);
        for (name, kind) in
            [("ocsf.jsonl", Kind::Ocsf), ("openlineage.jsonl", Kind::Openlineage), ("in-toto.jsonl", Kind::InToto)]
        {
            let mut translator = Translator::new(kind, &checkpoint.origin);
            let mut made = Vec::new();
            facts.iter().for_each(|fact| made.extend(translator.take(fact.place, &fact.event, fact.document.as_ref())));
            made.extend(translator.finish());
            let text: String = made.iter().map(|(_, document)| format!("{document}\n")).collect();
            files.insert(name.to_owned(), text.into_bytes());
        }
        files.insert(CHECKPOINT.to_owned(), note.to_string().into_bytes());
        files.insert(KEY.to_owned(), format!("{key}\n").into_bytes());
        files.insert("VERIFY.md".to_owned(), instructions(&checkpoint, self.run.as_deref()).into_bytes());
        files.insert("summary.html".to_owned(), summary::page(&checkpoint, &status, &facts, self.run.as_deref()).into_bytes());
        Ok(files)
    }
}

/// The last checkpoint, that of the witnesses when there are some.
async fn checkpoint(client: &Client, status: &AuditStatus, key: &PublicKey) -> Result<(Note, Checkpoint), CommandError> {
    let witnessed = if status.witnessed.is_some() { "?witnessed=true" } else { "" };
    let note = bytes(client, &format!("/api/v1/audit/checkpoint{witnessed}")).await?;
    let note = Note::parse(&note).context("the checkpoint")?;
    let checkpoint = Checkpoint::open(&note, key).context("the checkpoint")?;
    Ok((note, checkpoint))
}

/// A checkpoint over an entry, which may have been written a moment ago. A pack that left it out would look as if there were nothing.
async fn covering(client: &Client, status: &AuditStatus, key: &PublicKey, last: u64) -> Result<(Note, Checkpoint), CommandError> {
    let end = Instant::now() + PATIENCE.0;
    loop {
        let found = checkpoint(client, status, key).await?;
        if found.1.size >= last {
            return Ok(found);
        }
        if Instant::now() >= end {
            let what = format!("the last checkpoint is over {} entries, and the run has entries up to {last}", found.1.size);
            return Err(CommandError::of(FaultKind::Conflict, what));
        }
        tokio::time::sleep(PATIENCE.1).await;
    }
}

/// A proof of each entry.
async fn proofs(client: &Client, facts: &[Fact], sealed: &(Note, Checkpoint)) -> Result<Vec<(String, Vec<u8>)>, CommandError> {
    if facts.len() > PROOFS_MAX {
        let what =
            format!("the run has {} entries, and at most {PROOFS_MAX} are proved one by one: leave --run out", facts.len());
        return Err(CommandError::of(FaultKind::TooLarge, what));
    }
    let mut files = Vec::new();
    for fact in facts {
        let proof = prove(client, fact.place.seq, sealed.1.size, &sealed.0).await?;
        files.push((format!("{PROOFS}{}.tlog-proof", fact.place.seq), proof.to_string().into_bytes()));
    }
    Ok(files)
}

/// The document of an entry by which rules changed, as a file of its own.
fn policy_of(fact: &Fact) -> Option<anyhow::Result<(String, Vec<u8>)>> {
    let (Event::ResourceApplied(applied), Some(document)) = (&fact.event, &fact.document) else { return None };
    let plain = |text: &str| text.replace(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | '.'), "_");
    let name =
        format!("{POLICIES}{:08}-{}-{}@{}.json", fact.place.seq, plain(&applied.kind), plain(&applied.name), applied.version);
    Some(serde_json::to_vec_pretty(document).context("a document of rules").map(|text| (name, text)))
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
        if let Some((place, event)) = fact_of(line)? {
            let document = super::offline::document_of(line)?;
            facts.push(Fact { place, event, document });
        }
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

fn instructions(checkpoint: &Checkpoint, run: Option<&str>) -> String {
    let (holds, kept, shows) = match run {
        None => (
            format!("what the log `{}` said about its first {} entries", checkpoint.origin, checkpoint.size),
            "With a checkpoint that you kept from an earlier audit, add `--checkpoint FILE`: then nothing before it\n   \
             can have been changed since.",
            "that these entries are the ones that were signed, in this order, without gaps.",
        ),
        Some(run) => (
            format!(
                "what the log `{}` said about the run `{run}` and about rules before its end, each entry with its proof",
                checkpoint.origin
            ),
            "A checkpoint that you kept is compared only when it is over as many entries;\n   \
             whether this log continues an older one is shown by a pack of all entries.",
            "that each of these entries is the one that was signed, at this place of the log. It does not show that they\n\
             are all entries of the run: whoever made the pack may have left some out. Ask for a pack of all entries where that matters.",
        ),
    };
    format!(
        "# How to check this pack\n\n\
         It holds {holds}. Nothing in it is to be believed before it is checked.\n\n\
         1. Get the public key of the log from somewhere that the log's administrator cannot change, and not from this pack: from your own notes of an\n   \
            earlier audit, or from the person who started the server (`tutti audit key`).\n\
         2. Get `tutti-verify`, built from the sources of Tutti (`cargo build --release -p verifier`). It opens files and nothing else.\n\
         3. Run `tutti-verify --key KEY PACK.zip`. {kept} With witnesses that you trust, add `--policy FILE`.\n\
         4. It ends with 0 and says `it holds, under what you trust`, or says which entry is not as it was recorded. These are levels 1 and 2 of a check.\n\
         5. `tutti audit verify PACK.zip --key KEY` (`cargo build --release -p tutti`) makes every decision again, too, and computes every label and ticket\n   \
            (levels 3 and 4), where the pack holds all entries.\n\n\
         `policies/` holds the documents by which rules changed, under the numbers of the entries, which name their commitments. They, `summary.html`, \
         `ocsf.jsonl`,\n`openlineage.jsonl` and `in-toto.jsonl` are for people and programs; the entries are the evidence.\n\
         What a check shows: {shows} What it does not show either: that what was recorded is\n\
         what happened outside of the server, or that the law was kept.\n"
    )
}
