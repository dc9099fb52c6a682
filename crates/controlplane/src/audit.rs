//! The audit log as the server keeps it: checkpoints of the tree that are signed as it grows, the check of what was signed before, and the
//! stop of dispatch when that does not fit.
//!
//! In the folder `audit` of the data directory lie the key, the last checkpoint, and the edge of the tree at it. What is signed is the edge
//! that the writer has in memory, not what a file says. A checkpoint that was given out once has to stay true: at start the journal is
//! compared with the last one, and when they contradict each other nothing is signed and nothing dispatched until a person accepts it.

mod files;
mod halt;
mod proofs;
mod witnesses;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use audit::{Checkpoint, Frontier, KeyKind, Note, PublicKey, SecretKey};
use journal::{Leaves, Reader, Tree};
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

pub(crate) use halt::Halt;
pub use proofs::Proven;
pub use witnesses::{Answering, Ask, Reply, WitnessState};
use witnesses::{WITNESSED, Witnessing};

use crate::start::unusable;
use crate::{ControlPlane, Fault, FaultKind, random_bytes};

/// The folder in the data directory.
pub(crate) const FOLDER: &str = "audit";
/// The file of the secret key.
const KEY: &str = "key";
/// The file of the last checkpoint.
const CHECKPOINT: &str = "checkpoint";
/// The file of a checkpoint that proves a second history.
const SPLIT_VIEW: &str = "split-view";
/// The file of the edge of the tree at it.
const EDGE: &str = "edge";
/// The kind of resource that an accepted break is recorded as.
pub const AUDIT_EXCEPTION: &str = "audit-exception";
/// Checkpoints are at least so far apart.
const SEAL_EVERY: Duration = Duration::from_secs(1);
/// How long a checkpoint that could not be written is left alone.
const SEAL_AGAIN: Duration = Duration::from_secs(5);

/// A checkpoint with its signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// What it says.
    pub checkpoint: Checkpoint,
    /// The signed note.
    pub note: Note,
}

/// The audit log. Cheap to clone.
#[derive(Clone)]
pub struct AuditLog {
    inner: Arc<Inner>,
}

struct Inner {
    folder: PathBuf,
    /// None when the directory is only looked at and never had one.
    key: RwLock<Option<Arc<SecretKey>>>,
    /// None when the directory is only looked at.
    tree: Option<Tree>,
    leaves: Leaves,
    reader: Reader,
    latest: watch::Sender<Option<Arc<Sealed>>>,
    witnessing: Mutex<Witnessing>,
    /// One at a time.
    sealing: Mutex<()>,
    halt: Halt,
}

impl AuditLog {
    /// The audit log of a data directory that is served. The key is made when there is none.
    pub(crate) fn open(data: &Path, reader: Reader, tree: Tree) -> Result<AuditLog, Fault> {
        let folder = data.join(FOLDER);
        files::make_folder(&folder).map_err(unusable)?;
        let key = match read_key(&folder)? {
            Some(key) => key,
            None => make_key(&folder)?,
        };
        let halt = Halt::read(&folder)?;
        let log = AuditLog::new(folder, Some(key), Some(tree), reader, halt);
        log.check()?;
        Ok(log)
    }

    /// The audit log of a data directory that is only looked at.
    pub(crate) fn look(data: &Path, reader: Reader) -> Result<AuditLog, Fault> {
        let folder = data.join(FOLDER);
        let (key, halt) = (read_key(&folder)?, Halt::read(&folder)?);
        let log = AuditLog::new(folder, key, None, reader, halt);
        if let Ok(Some(sealed)) = log.kept() {
            log.inner.latest.send_replace(Some(Arc::new(sealed)));
        }
        Ok(log)
    }

    fn new(folder: PathBuf, key: Option<SecretKey>, tree: Option<Tree>, reader: Reader, halt: Halt) -> AuditLog {
        let (leaves, latest) = (Leaves::new(reader.clone()), watch::Sender::new(None));
        let (key, witnessing, sealing) = (RwLock::new(key.map(Arc::new)), Mutex::default(), Mutex::default());
        AuditLog { inner: Arc::new(Inner { folder, key, tree, leaves, reader, latest, witnessing, sealing, halt }) }
    }

    /// The key that signs checkpoints; none in a directory that was never served.
    pub fn key(&self) -> Option<PublicKey> {
        self.inner.key.read().as_ref().map(|key| key.public().clone())
    }

    /// The last checkpoint; none before the first.
    pub fn checkpoint(&self) -> Option<Arc<Sealed>> {
        self.inner.latest.borrow().clone()
    }

    /// Why nothing is dispatched; none when it is.
    pub fn halted(&self) -> Option<String> {
        self.inner.halt.reason()
    }

    pub(crate) fn halt(&self) -> &Halt {
        &self.inner.halt
    }

    /// Compares the last checkpoint with the journal.
    fn check(&self) -> Result<(), Fault> {
        let kept = match self.kept() {
            Ok(Some(kept)) => kept,
            Ok(None) => return Ok(()),
            Err(reason) => return self.inner.halt.stop(&reason).map_err(unusable),
        };
        match self.contradiction(&kept.checkpoint)? {
            Some(reason) => self.inner.halt.stop(&reason).map_err(unusable)?,
            None => drop(self.inner.latest.send_replace(Some(Arc::new(kept)))),
        }
        Ok(())
    }

    /// The last checkpoint as it lies in the folder, or what is wrong with it.
    fn kept(&self) -> Result<Option<Sealed>, String> {
        let file = self.inner.folder.join(CHECKPOINT);
        let bytes = match std::fs::read(&file) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(|error| format!("the last checkpoint cannot be read: {error}"))?,
        };
        let key = self.key().ok_or("there is a checkpoint, and no key that could have signed it")?;
        let opened = Note::parse(&bytes).map_err(audit::CheckpointError::from);
        let opened = opened.and_then(|note| Ok(Sealed { checkpoint: Checkpoint::open(&note, &key)?, note }));
        opened.map(Some).map_err(|error| format!("the last checkpoint was changed: {error}"))
    }

    /// How the journal contradicts a checkpoint; none when it does not.
    fn contradiction(&self, kept: &Checkpoint) -> Result<Option<String>, Fault> {
        let Some(tree) = &self.inner.tree else { return Ok(None) };
        let (edge, size) = (tree.edge(), kept.size);
        if edge.size() < size {
            let found = edge.size();
            return Ok(Some(format!(
                "a checkpoint over {size} entries was given out, and the journal has {found}: entries are gone"
            )));
        }
        if edge.size() == size && edge.root() == kept.root {
            return Ok(None);
        }
        // Only what came after the checkpoint is read, when its edge lies beside it.
        let beside = std::fs::read(self.inner.folder.join(EDGE)).ok().and_then(|bytes| Frontier::from_bytes(&bytes).ok());
        let holds = match beside.filter(|edge| edge.size() == size && edge.root() == kept.root) {
            Some(mut grown) => {
                let rest = self.inner.leaves.hashes(size..edge.size()).map_err(unusable)?;
                rest.into_iter().for_each(|leaf| grown.append(leaf));
                grown == edge
            }
            None => self.inner.leaves.root(0..size).map_err(unusable)? == kept.root,
        };
        Ok((!holds)
            .then(|| format!("the first {size} entries of the journal are not those over which a checkpoint was given out")))
    }

    /// Signs the tree as it is, when it has grown. True when there is a new checkpoint.
    pub(crate) fn seal(&self) -> std::io::Result<bool> {
        let _one = self.inner.sealing.lock();
        let (Some(key), Some(tree)) = (self.inner.key.read().clone(), &self.inner.tree) else { return Ok(false) };
        let edge = tree.edge();
        let known = self.checkpoint().map(|sealed| sealed.checkpoint.size);
        // What contradicts a checkpoint is not signed: that would be a second history.
        if self.halted().is_some() || known.is_some_and(|known| known >= edge.size()) {
            return Ok(false);
        }
        let checkpoint = Checkpoint::of(key.public().name(), &edge);
        let note = checkpoint.sign(&key);
        files::replace(&self.inner.folder, EDGE, &edge.to_bytes(), false)?;
        files::replace(&self.inner.folder, CHECKPOINT, note.to_string().as_bytes(), true)?;
        self.inner.latest.send_replace(Some(Arc::new(Sealed { checkpoint, note })));
        Ok(true)
    }
}

fn read_key(folder: &Path) -> Result<Option<SecretKey>, Fault> {
    let file = folder.join(KEY);
    let text = match std::fs::read_to_string(&file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|error| unusable(format!("`{}`: {error}", file.display())))?,
    };
    let key = SecretKey::parse(&text).map_err(|error| unusable(format!("`{}`: {error}", file.display())))?;
    match key.public().kind() {
        KeyKind::Log => Ok(Some(key)),
        KeyKind::Witness => Err(unusable(format!("`{}` is the key of a witness", file.display()))),
    }
}

/// Makes a key under a name of its own.
fn make_key(folder: &Path) -> Result<SecretKey, Fault> {
    let name: String = random_bytes::<6>().iter().map(|byte| format!("{byte:02x}")).collect();
    let key = SecretKey::from_seed(&format!("tutti/{name}"), KeyKind::Log, random_bytes()).map_err(Fault::internal)?;
    files::replace_secret(folder, KEY, format!("{}\n", key.to_text()).as_bytes()).map_err(unusable)?;
    tracing::debug!(key = %key.public(), "a key for the audit log was made");
    Ok(key)
}

impl ControlPlane {
    /// Seals the tree as it grows, for as long as the server runs.
    pub(crate) async fn seal_as_it_grows(self) {
        let mut durable = self.notices().watch();
        loop {
            let log = self.audit().clone();
            let sealed = tokio::task::spawn_blocking(move || log.seal()).await;
            let pause = match sealed.map_err(std::io::Error::other).flatten() {
                Ok(_) => SEAL_EVERY,
                Err(error) => {
                    tracing::error!(%error, "the checkpoint of the audit log cannot be written");
                    SEAL_AGAIN
                }
            };
            tokio::time::sleep(pause).await;
            if durable.changed().await.is_err() {
                return;
            }
        }
    }

    /// Goes on although the journal contradicts what was signed. A log that forks is another log: it gets another name and another key, and
    /// whoever relied on the old ones has to be told. Who says so and why is recorded; what was signed stays in the folder under other names.
    pub async fn accept_break(&self, reason: &str, principal: &str) -> Result<String, Fault> {
        let log = self.audit();
        let Some(broken) = log.halted() else {
            return Err(Fault::new(FaultKind::Conflict, "the audit log has no break to accept"));
        };
        if reason.trim().is_empty() {
            return Err(Fault::new(FaultKind::Malformed, "accepting a break of the audit log wants a reason"));
        }
        let folder = log.inner.folder.clone();
        let kept = std::fs::read_to_string(folder.join(CHECKPOINT)).unwrap_or_default();
        let proof = std::fs::read_to_string(folder.join(SPLIT_VIEW)).unwrap_or_default();
        let name = format!("break-{}", crate::wall().0);
        let key = log.key().map(|key| key.to_string());
        let body = serde_json::json!({"broken": broken, "reason": reason, "checkpoint": kept, "proof": proof, "key": key});
        let command = engine::Command::ApplyResource {
            kind: AUDIT_EXCEPTION.into(),
            name: name.clone(),
            body,
            principal: principal.to_owned(),
        };
        self.inbox().ask(command).await?;
        {
            let _one = log.inner.sealing.lock();
            for file in [CHECKPOINT, WITNESSED, SPLIT_VIEW, KEY] {
                files::set_aside(&folder, file, &format!("{file}.{name}")).map_err(unusable)?;
            }
            *log.inner.key.write() = Some(Arc::new(make_key(&folder)?));
            log.inner.latest.send_replace(None);
            log.inner.witnessing.lock().forget();
            log.halt().lift().map_err(unusable)?;
        }
        let sealed = log.clone();
        let sealed = tokio::task::spawn_blocking(move || sealed.seal()).await;
        sealed.map_err(std::io::Error::other).flatten().map_err(unusable)?;
        // What waited is looked at now.
        self.inbox().report(engine::Command::Tick);
        Ok(broken)
    }
}
