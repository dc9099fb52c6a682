//! Keeping a data directory: backup while the server runs, restore, retention.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use artifacts::{Store, StoreError};
use engine::Command;
use failpoint::Point;
use keyring::Keyring;
use model::Digest;

use crate::start::unusable;
use crate::{ControlPlane, Fault, FaultKind, Owner, owner};

/// What a backup is made of beside the journal.
const FOLDERS: [&str; 2] = ["sites", "code"];
/// What is left out of a site's folder: work in progress and its logs.
const LEFT_OUT: [&str; 2] = ["tmp", "attempts"];
/// The last file to be written: a backup without it is not whole.
const SUMMARY: &str = "backup.json";

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct BackupSummary {
    /// The version of the program that made it.
    pub version: String,
    /// Entries of the journal.
    pub entries: u64,
    /// The root of the journal's tree, in hexadecimal digits.
    pub root: String,
    /// Files of artifacts, of code and of sites.
    pub files: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// What it holds of the keys.
    #[serde(default)]
    pub keys: KeysKept,
}

/// What a backup holds of the keys that its values and artifacts are sealed under.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeysKept {
    /// Nothing is sealed.
    #[default]
    Unsealed,
    /// The keys and the key file: whoever has the backup can read everything in it.
    WithKeyFile,
    /// The keys as they are wrapped: whoever has the key service too can read it.
    Wrapped,
    /// None: without the keys nobody can read it.
    Without,
}

impl ControlPlane {
    /// Copies journal and stores of artifacts to a new directory while the server runs. Artifacts are never changed, so that a copy made
    /// after the journal's holds everything the journal refers to.
    ///
    /// The keys are part of it as they are wrapped, and the key file when it lies in the data directory, unless `without_keys`.
    pub async fn backup(&self, to: PathBuf, without_keys: bool) -> Result<BackupSummary, Fault> {
        let (reader, data, keys) = (self.reader().clone(), self.data().to_owned(), self.keys().cloned());
        let made = tokio::task::spawn_blocking(move || {
            must_be_empty(&to)?;
            let report = journal::backup(&reader, &to.join("journal")).map_err(unusable)?;
            failpoint::check(Point::BackupJournal).map_err(unusable)?;
            let mut copied = Copied::default();
            for folder in FOLDERS {
                copied.folder(&data.join(folder), &to.join(folder)).map_err(unusable)?;
            }
            // The keys last: each of what was copied is among them, unless it was erased meanwhile.
            let keys = back_up_keys(keys.filter(|_| !without_keys).as_ref(), &data, &to, without_keys)?;
            let Copied { files, bytes } = copied;
            let (entries, root) = (report.entries, report.root);
            let summary = BackupSummary { version: crate::start::VERSION.into(), entries, root, files, bytes, keys };
            let mut text = serde_json::to_string_pretty(&summary).map_err(Fault::internal)?;
            text.push('\n');
            write_synced(&to.join(SUMMARY), text.as_bytes()).map_err(unusable)?;
            sync_folder(&to).map_err(unusable)?;
            Ok(summary)
        });
        made.await.map_err(Fault::internal)?
    }

    /// Destroys bodies of runs that ended before a time. That they go is recorded first; a stop before all are gone is made good by the next
    /// start.
    pub async fn prune(&self, before: model::Timestamp, dry_run: bool, principal: &str) -> Result<journal::Pruned, Fault> {
        let reader = self.reader().clone();
        let prunable = tokio::task::spawn_blocking(move || reader.prunable(before));
        let prunable = prunable.await.map_err(Fault::internal)?.map_err(Fault::internal)?;
        if dry_run || prunable.runs == 0 {
            return Ok(prunable);
        }
        let command = Command::RecordPruning { before, runs: prunable.runs, principal: principal.to_owned() };
        self.inbox().ask(command).await?;
        failpoint::check(Point::PruneRecorded).map_err(|error| Fault::new(FaultKind::Unavailable, error.to_string()))?;
        self.sweep().await
    }

    /// Destroys what the journal says is pruned and is still there.
    pub(crate) async fn sweep(&self) -> Result<journal::Pruned, Fault> {
        let keeper = self.keeper().clone();
        let swept = tokio::task::spawn_blocking(move || keeper.sweep());
        swept.await.map_err(Fault::internal)?.map_err(|error| Fault::new(FaultKind::Unavailable, error.to_string()))
    }
}

/// Copies the keys, and says what there is of them.
fn back_up_keys(keys: Option<&Keyring>, data: &Path, to: &Path, without: bool) -> Result<KeysKept, Fault> {
    let mark = Path::new(crate::keys::MARK);
    if data.join(mark).is_file() {
        std::fs::copy(data.join(mark), to.join(mark)).map_err(unusable)?;
    }
    let Some(keys) = keys else {
        return Ok(if without && data.join(mark).is_file() { KeysKept::Without } else { KeysKept::Unsealed });
    };
    let folder = to.join(crate::keys::FOLDER);
    keys.copy_to(&folder).map_err(|error| crate::keys::fault(&error))?;
    let mut kept = KeysKept::Wrapped;
    for name in [crate::keys::SOURCE, crate::keys::KEY_FILE] {
        let file = keys.folder().join(name);
        if file.is_file() {
            std::fs::copy(&file, folder.join(name)).map_err(unusable)?;
            // A key file that is not the one in use any more is no key to anything.
            let in_use = name == crate::keys::KEY_FILE && !keys.folder().join(crate::keys::SOURCE).exists();
            kept = if in_use { KeysKept::WithKeyFile } else { kept };
        }
    }
    sync_folder(&folder).map_err(unusable)?;
    Ok(kept)
}

/// Puts the keys of a backup in their place, and opens them; none when there are none, or the key service is not at hand.
fn restore_keys(from: &Path, to: &Path) -> Result<Option<Keyring>, Fault> {
    let mark = Path::new(crate::keys::MARK);
    if from.join(mark).is_file() {
        std::fs::create_dir_all(to.join("journal")).map_err(unusable)?;
        std::fs::copy(from.join(mark), to.join(mark)).map_err(unusable)?;
    }
    let folder = to.join(crate::keys::FOLDER);
    if !from.join(crate::keys::FOLDER).is_dir() {
        return Ok(None);
    }
    Copied::default().folder(&from.join(crate::keys::FOLDER), &folder).map_err(unusable)?;
    std::fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o700)).map_err(unusable)?;
    match crate::keys::open(to, &crate::Sealing::AsBefore) {
        Ok(keys) => Ok(keys),
        Err(fault) => {
            tracing::warn!(error = %fault, "the keys cannot be opened here: sealed artifacts are not verified");
            Ok(None)
        }
    }
}

/// Puts a backup into an empty directory, and verifies the journal's hashes and every artifact on the way. Sealed artifacts are verified when
/// the backup's keys can be opened.
pub fn restore(from: &Path, to: &Path) -> Result<BackupSummary, Fault> {
    let summary = std::fs::read(from.join(SUMMARY)).ok().and_then(|text| serde_json::from_slice::<BackupSummary>(&text).ok());
    let summary = summary.ok_or_else(|| {
        let fault = Fault::new(FaultKind::DataDirectory, format!("`{}` holds no backup that was finished", from.display()));
        fault.hint("a backup is the directory that `tutti backup --to` made; a copy of a server's data directory is none")
    })?;
    // Nobody else may take the directory meanwhile.
    let _owner = Owner::take(to)?;
    if std::fs::read_dir(to).map_err(unusable)?.flatten().any(|entry| entry.file_name() != owner::FILE) {
        return Err(not_empty(to));
    }
    let keys = restore_keys(from, to)?;
    let report = journal::restore(&from.join("journal"), &to.join("journal"), keys.as_ref()).map_err(unusable)?;
    if report.entries != summary.entries || report.root != summary.root {
        return Err(unusable(format!("the journal in `{}` is not the one that was backed up", from.display())));
    }
    let mut copied = Copied::default();
    for folder in FOLDERS {
        copied.folder(&from.join(folder), &to.join(folder)).map_err(unusable)?;
    }
    if (copied.files, copied.bytes) != (summary.files, summary.bytes) {
        let (files, bytes) = (copied.files, copied.bytes);
        return Err(unusable(format!(
            "the backup had {} files of {} bytes beside the journal, and there are {files} of {bytes}",
            summary.files, summary.bytes
        )));
    }
    let stores = stores(to).map_err(unusable)?;
    let damaged = stores.iter().map(|store| damaged(store, keys.as_ref())).collect::<Result<Vec<_>, _>>().map_err(unusable)?;
    if let Some((store, digest)) = damaged.into_iter().flatten().next() {
        return Err(unusable(format!("the artifact {digest} in `{}` is not what its name says", store.display())));
    }
    sync_folder(to).map_err(unusable)?;
    Ok(summary)
}

fn must_be_empty(folder: &Path) -> Result<(), Fault> {
    std::fs::create_dir_all(folder).map_err(unusable)?;
    match std::fs::read_dir(folder).map_err(unusable)?.next() {
        Some(_) => Err(not_empty(folder)),
        None => Ok(()),
    }
}

fn not_empty(folder: &Path) -> Fault {
    let fault = Fault::new(FaultKind::Conflict, format!("`{}` is not empty", folder.display()));
    fault.hint("give a directory that is empty or does not exist yet")
}

/// The stores of artifacts in a data directory.
fn stores(data: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut stores = vec![data.join("code")];
    if let Ok(sites) = std::fs::read_dir(data.join("sites")) {
        for site in sites {
            stores.push(site?.path().join("store"));
        }
    }
    stores.retain(|store| store.is_dir());
    Ok(stores)
}

/// The first artifact of a store that is not what its name says.
fn damaged(folder: &Path, keys: Option<&Keyring>) -> Result<Option<(PathBuf, Digest)>, StoreError> {
    let store = Store::open_with(folder, keys.cloned())?;
    for (digest, _) in store.list()? {
        let sound = match store.open_verified(&digest) {
            Ok(mut content) => std::io::copy(&mut content, &mut std::io::sink()).is_ok(),
            Err(StoreError::Damaged { .. } | StoreError::Tampered(_)) => false,
            // What was erased is nothing, and without keys nothing can be said.
            Err(StoreError::Erased(_)) => true,
            Err(StoreError::Keys(_)) if keys.is_none() => true,
            Err(error) => return Err(error),
        };
        if !sound {
            return Ok(Some((folder.to_owned(), digest)));
        }
    }
    Ok(None)
}

#[derive(Default)]
struct Copied {
    files: u64,
    bytes: u64,
}

impl Copied {
    /// Copies a folder and makes the copy durable; a file that vanishes on the way was temporary.
    fn folder(&mut self, from: &Path, to: &Path) -> std::io::Result<()> {
        std::fs::create_dir_all(to)?;
        let Ok(entries) = std::fs::read_dir(from) else { return sync_folder(to) };
        for entry in entries {
            let entry = entry?;
            let (source, target, kind) = (entry.path(), to.join(entry.file_name()), entry.file_type()?);
            let copied = match () {
                () if kind.is_dir() && LEFT_OUT.iter().any(|name| entry.file_name() == *name) => Ok(()),
                () if kind.is_dir() => self.folder(&source, &target),
                () if kind.is_file() => self.file(&source, &target),
                () => Ok(()),
            };
            match copied {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                other => other?,
            }
        }
        sync_folder(to)
    }

    fn file(&mut self, from: &Path, to: &Path) -> std::io::Result<()> {
        let bytes = std::fs::copy(from, to)?;
        let copy = File::open(to)?;
        // Its date says whether an artifact was written to since it was stored.
        copy.set_modified(std::fs::metadata(from)?.modified()?)?;
        copy.sync_all()?;
        self.files += 1;
        self.bytes += bytes;
        Ok(())
    }
}

fn write_synced(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = File::create_new(file)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}
