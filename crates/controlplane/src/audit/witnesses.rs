//! Witnesses of this log: every new checkpoint is shown to those of the policy, and their signatures are kept beside it.
//!
//! A witness that does not sign may have seen another history, or may be wrong, or lie. Its word alone stops nothing: it is asked for what it
//! signed last. Only a checkpoint under this log's own key that the journal contradicts is proof of a second history, and stops dispatch.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use audit::policy::{Policy, Witness};
use audit::witness::AddCheckpoint;
use audit::{Checkpoint, Note, Signature};
use tokio::task::JoinSet;

use super::{AuditLog, SPLIT_VIEW, Sealed, files};
use crate::ControlPlane;

/// How long a witness may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a witness that failed is left alone.
const LEFT_ALONE: Duration = Duration::from_secs(10);
/// Requests to a witness about one checkpoint: it may have to say first what it knows.
const TRIES: u32 = 3;
/// The file of the last checkpoint that a quorum signed.
pub(super) const WITNESSED: &str = "witnessed";

/// What a witness answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

/// An answer to come.
pub type Answering = Pin<Box<dyn Future<Output = Result<Reply, String>> + Send>>;

/// A way to witnesses: sends a body to an address, or asks without one.
pub type Ask = Arc<dyn Fn(String, Option<String>) -> Answering + Send + Sync>;

/// How a witness is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WitnessState {
    /// Entries of the checkpoint that it signed last.
    pub size: u64,
    /// What went wrong last; none when it signs.
    pub trouble: Option<String>,
}

/// What is known of the witnesses.
#[derive(Default)]
pub(super) struct Witnessing {
    /// By the names of the policy.
    pub(super) states: BTreeMap<String, WitnessState>,
    /// The last checkpoint that a quorum signed.
    pub(super) witnessed: Option<Arc<Sealed>>,
}

impl Witnessing {
    /// Begins anew: the log is another one.
    pub(super) fn forget(&mut self) {
        self.witnessed = None;
        self.states.values_mut().for_each(|state| *state = WitnessState::default());
    }
}

/// Why there is no signature.
enum Unsigned {
    /// It failed, or said what does not hold.
    Trouble(String),
    /// It showed what this log signed and the journal contradicts.
    Proof { note: Note, why: String },
}

impl AuditLog {
    /// The last checkpoint that a quorum of the witnesses signed; none before the first, or without witnesses.
    pub fn witnessed(&self) -> Option<Arc<Sealed>> {
        self.inner.witnessing.lock().witnessed.clone()
    }

    /// The witnesses and how they are, by the names of the policy.
    pub fn witnesses(&self) -> BTreeMap<String, WitnessState> {
        self.inner.witnessing.lock().states.clone()
    }

    /// Asks a witness to sign a checkpoint.
    async fn have_signed(&self, witness: &Witness, url: &str, sealed: &Sealed, ask: &Ask) -> Result<Signature, Unsigned> {
        let size = sealed.checkpoint.size;
        let mut old = self.inner.witnessing.lock().states.get(&witness.name).map_or(0, |state| state.size).min(size);
        for _ in 0..TRIES {
            let log = self.clone();
            let proof = tokio::task::spawn_blocking(move || log.consistency(old, size)).await;
            let proof = proof.map_err(|error| error.to_string()).and_then(|proof| proof.map_err(|error| error.to_string()));
            let request = AddCheckpoint { old, proof: proof.map_err(Unsigned::Trouble)?, note: sealed.note.clone() };
            let reply = answer(ask, format!("{url}/add-checkpoint"), Some(request.to_string())).await?;
            let body = String::from_utf8_lossy(&reply.body).into_owned();
            match reply.status {
                200 => return signature(&body, witness, &sealed.note),
                409 => match body.trim().parse::<u64>() {
                    Ok(known) if known != old && known <= size => old = known,
                    _ => return Err(self.look_into(witness, url, ask, &body).await),
                },
                422 => return Err(self.look_into(witness, url, ask, &body).await),
                status => return Err(Unsigned::Trouble(format!("it answered {status}: {}", short(&body)))),
            }
        }
        Err(Unsigned::Trouble("it says something else each time it is asked".into()))
    }

    /// A witness says that what it signed is not the beginning of this log. It is asked for it.
    async fn look_into(&self, witness: &Witness, url: &str, ask: &Ask, said: &str) -> Unsigned {
        let Some(key) = self.key() else { return Unsigned::Trouble("there is no key".into()) };
        let origin: String = key.name().bytes().map(|byte| format!("%{byte:02x}")).collect();
        let shown = match answer(ask, format!("{url}/checkpoint?origin={origin}"), None).await {
            Ok(reply) if reply.status == 200 => Note::parse(&reply.body).map_err(audit::CheckpointError::from),
            Ok(_) | Err(_) => return Unsigned::Trouble(format!("it refuses to sign and shows nothing for it: {}", short(said))),
        };
        let opened = shown.and_then(|note| Checkpoint::open(&note, &key).map(|checkpoint| (note, checkpoint)));
        let (note, checkpoint) = match opened {
            Ok(opened) => opened,
            Err(error) => return Unsigned::Trouble(format!("it refuses to sign and shows what this log never signed: {error}")),
        };
        let (log, size) = (self.clone(), checkpoint.size);
        let root = tokio::task::spawn_blocking(move || log.root_at(size).ok()).await.ok().flatten();
        let name = &witness.name;
        match root {
            Some(root) if root == checkpoint.root => {
                Unsigned::Trouble("it refuses to sign, though what it signed before is the beginning of this log".into())
            }
            Some(_) => {
                let why = format!(
                    "the witness `{name}` has a checkpoint over {size} entries under this log's key, and the journal has others there"
                );
                Unsigned::Proof { note, why }
            }
            None => {
                let why = format!(
                    "the witness `{name}` has a checkpoint over {size} entries under this log's key, and the journal has fewer"
                );
                Unsigned::Proof { note, why }
            }
        }
    }

    /// Shows a checkpoint to all witnesses of a policy, and keeps it when they are a quorum.
    async fn show(&self, sealed: Arc<Sealed>, policy: &Arc<Policy>, ask: &Ask) {
        let mut asked = JoinSet::new();
        for witness in policy.witnesses() {
            let Some(url) = witness.url.clone().filter(|_| self.halted().is_none()) else { continue };
            let (log, witness, sealed, ask) = (self.clone(), witness.clone(), sealed.clone(), ask.clone());
            asked.spawn(async move {
                let signed = log.have_signed(&witness, url.trim_end_matches('/'), &sealed, &ask).await;
                (witness.name, signed)
            });
        }
        let mut note = sealed.note.clone();
        while let Some(answered) = asked.join_next().await {
            let Ok((name, signed)) = answered else { continue };
            let mut witnessing = self.inner.witnessing.lock();
            let state = witnessing.states.entry(name.clone()).or_default();
            match signed {
                Ok(signature) => {
                    (state.size, state.trouble) = (sealed.checkpoint.size, None);
                    note.add(signature);
                }
                Err(Unsigned::Trouble(trouble)) => {
                    if state.trouble.as_ref() != Some(&trouble) {
                        tracing::warn!(witness = name, trouble, "a witness does not sign");
                    }
                    state.trouble = Some(trouble);
                }
                Err(Unsigned::Proof { note, why }) => {
                    state.trouble = Some(why.clone());
                    drop(witnessing);
                    self.stop_for(&note, &why);
                }
            }
        }
        if policy.signers(&note).quorum {
            let kept = Sealed { checkpoint: sealed.checkpoint.clone(), note };
            if let Err(error) = files::replace(&self.inner.folder, WITNESSED, kept.note.to_string().as_bytes(), true) {
                tracing::error!(%error, "the witnessed checkpoint cannot be written");
            }
            self.inner.witnessing.lock().witnessed = Some(Arc::new(kept));
        }
    }

    /// What a quorum signed before this server.
    fn kept_by_quorum(&self, policy: &Policy) -> Option<Sealed> {
        let note = Note::parse(&std::fs::read(self.inner.folder.join(WITNESSED)).ok()?).ok()?;
        let checkpoint = Checkpoint::open(&note, &self.key()?).ok()?;
        let known = self.checkpoint().is_some_and(|latest| latest.checkpoint.size >= checkpoint.size);
        (known && policy.signers(&note).quorum).then_some(Sealed { checkpoint, note })
    }

    /// Keeps the proof and stops dispatch.
    fn stop_for(&self, proof: &Note, why: &str) {
        let kept = files::replace(&self.inner.folder, SPLIT_VIEW, proof.to_string().as_bytes(), true);
        let stopped = kept.and_then(|()| self.inner.halt.stop(&format!("split view: {why}")));
        if let Err(error) = stopped {
            tracing::error!(%error, "the proof of a split view cannot be written");
        }
    }
}

/// Asks within bounds.
async fn answer(ask: &Ask, url: String, body: Option<String>) -> Result<Reply, Unsigned> {
    match tokio::time::timeout(PATIENCE, ask(url, body)).await {
        Ok(answered) => answered.map_err(Unsigned::Trouble),
        Err(_) => Err(Unsigned::Trouble(format!("it did not answer within {} seconds", PATIENCE.as_secs()))),
    }
}

/// The signature of a witness among the lines that it answered.
fn signature(lines: &str, witness: &Witness, note: &Note) -> Result<Signature, Unsigned> {
    let trouble = |error: &dyn std::fmt::Display| Unsigned::Trouble(format!("it answered with no signature: {error}"));
    let signatures = Signature::parse_lines(lines.trim_end_matches('\n')).map_err(|error| trouble(&error))?;
    for signature in signatures {
        let mut alone = note.clone();
        alone.add(signature.clone());
        if alone.verify(&witness.key).is_ok() {
            return Ok(signature);
        }
    }
    Err(trouble(&"none of them is of its key and over this checkpoint"))
}

fn short(text: &str) -> String {
    text.trim().chars().take(200).collect()
}

impl ControlPlane {
    /// Has every new checkpoint signed by the witnesses of a policy, for as long as the server runs.
    pub fn witness_by(&self, policy: Policy, ask: Ask) {
        let policy = Arc::new(policy);
        {
            let mut witnessing = self.audit().inner.witnessing.lock();
            witnessing.states =
                policy.witnesses().iter().map(|witness| (witness.name.clone(), WitnessState::default())).collect();
            witnessing.witnessed = self.audit().kept_by_quorum(&policy).map(Arc::new);
        }
        let (log, mut sealed) = (self.audit().clone(), self.audit().inner.latest.subscribe());
        self.start_task(async move {
            loop {
                let latest = sealed.borrow_and_update().clone();
                let mut signed = true;
                if let Some(latest) = latest.filter(|_| log.halted().is_none()) {
                    log.show(latest, &policy, &ask).await;
                    signed = log.witnesses().values().all(|state| state.trouble.is_none());
                }
                // Whoever failed is asked again after a while, also when nothing happens meanwhile.
                let again = async {
                    match signed {
                        true => std::future::pending().await,
                        false => tokio::time::sleep(LEFT_ALONE).await,
                    }
                };
                tokio::select! {
                    changed = sealed.changed() => if changed.is_err() { return },
                    () = again => {}
                }
            }
        });
    }
}
