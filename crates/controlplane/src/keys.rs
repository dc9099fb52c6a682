//! The keys of a data directory: where they are, which key service wraps them, and that data which is sealed never meets other keys.

use std::io::Write as _;
use std::path::{Path, PathBuf};

pub use keyring::Status as KeyStatus;
use keyring::{KeyError, Keyring, Rotated, Source};
use model::{Digest, RunId};

use crate::{ControlPlane, Fault, FaultKind};

/// The folder of the keys in a data directory.
pub(crate) const FOLDER: &str = "keys";
/// The key file that is made when nothing else was said.
pub(crate) const KEY_FILE: &str = "key";
/// Says which key service the keys have, in their folder. It names places and holds no key.
pub(crate) const SOURCE: &str = "source.json";
/// Says which keyring the data is sealed under, beside the journal: keys that are lost are not mistaken for keys that were never made.
pub(crate) const MARK: &str = "journal/keyring";

/// Whether and how a data directory is sealed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Sealing {
    /// As it was the last time; the first time under a key file that is made in it.
    #[default]
    AsBefore,
    /// Under this key service. What another one wrapped is wrapped anew, when that can still be asked.
    Under(Source),
    /// Not at all. Only a directory where nothing was sealed can be used so.
    Off,
}

pub(crate) fn fault(error: &KeyError) -> Fault {
    let fault = Fault::new(FaultKind::Keys, error.to_string());
    match error {
        KeyError::Erased(_) => Fault::new(FaultKind::Erased, error.to_string()),
        KeyError::Rotating => Fault::new(FaultKind::Conflict, error.to_string()).hint("it goes on; look with `tutti keys`"),
        KeyError::NoKeyFile(_) | KeyError::NoKeys(_) | KeyError::ForeignKeys(_) => {
            fault.hint("put them back from a backup; nothing was changed, and nothing can be read without them")
        }
        KeyError::WrongKey(_) => {
            fault.hint("give the key file, the passphrase or the transit key that was there before; nothing was changed")
        }
        _ => fault,
    }
}

/// Opens the keys of a data directory; none when it is not sealed.
pub(crate) fn open(data: &Path, sealing: &Sealing) -> Result<Option<Keyring>, Fault> {
    let (folder, mark) = (data.join(FOLDER), data.join(MARK));
    let remembered = match std::fs::read_to_string(&mark) {
        Ok(name) => Some(name.trim().to_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(crate::start::unusable(format!("`{}`: {error}", mark.display()))),
    };
    let before = recorded(&folder)?;
    let source = match sealing {
        Sealing::Off if remembered.is_none() && !folder.exists() => return Ok(None),
        Sealing::Off => {
            let fault = Fault::new(FaultKind::Keys, format!("what is in `{}` is sealed", data.display()));
            return Err(fault.hint("leave `keys: none` away; a directory that was sealed once stays so"));
        }
        Sealing::Under(source) => source.clone(),
        Sealing::AsBefore => before.clone().unwrap_or_else(|| Source::File(folder.join(KEY_FILE))),
    };
    // What was wrapped by what was there before is wrapped anew. The usual key file is not written down.
    let earlier = match before {
        Some(before) => Some(before),
        None => folder.join(KEY_FILE).is_file().then(|| Source::File(folder.join(KEY_FILE))),
    };
    let earlier = earlier.filter(|earlier| *earlier != source);
    let opened = Keyring::open(&folder, &source, earlier.as_ref(), remembered.as_deref());
    let keys = opened.map_err(|error| fault(&error))?;
    if let Sealing::Under(_) = sealing
        && recorded(&folder)?.as_ref() != Some(&source)
    {
        let text = serde_json::to_string_pretty(&source).map_err(Fault::internal)?;
        replace(&folder.join(SOURCE), &text)?;
    }
    if remembered.is_none() {
        replace(&mark, &keys.name())?;
    }
    Ok(Some(keys))
}

/// The key service that the keys had the last time, when it is not the usual key file.
fn recorded(folder: &Path) -> Result<Option<Source>, Fault> {
    let path = folder.join(SOURCE);
    match std::fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|error| {
            Fault::new(FaultKind::Keys, format!("`{}` does not say which key service there is: {error}", path.display()))
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Fault::new(FaultKind::Keys, format!("`{}`: {error}", path.display()))),
    }
}

fn replace(path: &PathBuf, text: &str) -> Result<(), Fault> {
    let write = || {
        let folder = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)?;
        let beside = path.with_extension("new");
        let mut file = std::fs::File::create(&beside)?;
        file.write_all(text.as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        std::fs::rename(&beside, path)?;
        std::fs::File::open(folder)?.sync_all()
    };
    write().map_err(|error| crate::start::unusable(format!("`{}`: {error}", path.display())))
}

/// What is known of an artifact that may be a directory.
pub(crate) enum Listed {
    /// It is one.
    Directory(artifacts::Listing),
    /// It is none.
    File,
    /// No open site has it whole.
    Unknown,
}

impl ControlPlane {
    /// How the keys stand; none when nothing is sealed.
    pub async fn key_status(&self) -> Result<Option<KeyStatus>, Fault> {
        let Some(keys) = self.keys().cloned() else { return Ok(None) };
        let status = tokio::task::spawn_blocking(move || keys.status()).await.map_err(Fault::internal)?;
        status.map(Some).map_err(|error| fault(&error))
    }

    /// A run takes artifacts that were brought, with the files of those that are directories: from then on they live as long as it does.
    /// Blocks.
    pub(crate) fn take_artifacts(&self, run: RunId, artifacts: &[Digest]) -> Result<(), Fault> {
        let Some(keys) = self.keys() else { return Ok(()) };
        // Of one whose listing cannot be read now its files are taken when something is erased.
        let all = self.with_files(artifacts).unwrap_or_else(|_| artifacts.to_vec());
        keys.claim(&all, run.0).map_err(|error| fault(&error))
    }

    /// Artifacts, with the files of those that are directories, as far as a site can say; what cannot be read now is an error. Blocks.
    pub(crate) fn with_files(&self, artifacts: &[Digest]) -> Result<Vec<Digest>, Fault> {
        Ok(self.files_within(artifacts)?.0)
    }

    /// The same, and whether that is all of them: of a directory that no open site has whole nobody knows the files. Blocks.
    pub(crate) fn files_within(&self, artifacts: &[Digest]) -> Result<(Vec<Digest>, bool), Fault> {
        let (mut all, mut is_whole) = (artifacts.to_vec(), true);
        for artifact in artifacts {
            match self.listed(artifact)? {
                Listed::Directory(listing) => all.extend(listing.entries.iter().map(|entry| entry.digest)),
                Listed::File => {}
                Listed::Unknown => is_whole = false,
            }
        }
        Ok((all, is_whole))
    }

    /// What the open sites say of an artifact. Blocks.
    pub(crate) fn listed(&self, artifact: &Digest) -> Result<Listed, Fault> {
        use artifacts::StoreError::{Damaged, Erased, Missing, Tampered};
        let mut unread = None;
        for store in self.sites().with_copy(artifact).iter().filter_map(|site| self.sites().store(site)) {
            match store.listing(artifact) {
                Ok(Some(listing)) => return Ok(Listed::Directory(listing)),
                Ok(None) => return Ok(Listed::File),
                Err(Missing(_) | Erased(_) | Damaged { .. } | Tampered(_)) => {}
                Err(error) => unread = Some(error),
            }
        }
        if let Some(error) = unread {
            return Err(Fault::internal(error));
        }
        // What was erased has no files any more.
        let erased = self.keys().map(|keys| keys.was_erased(artifact)).transpose().map_err(|error| fault(&error))?;
        Ok(if erased == Some(true) { Listed::File } else { Listed::Unknown })
    }

    /// Rotates the keys: what is stored stays as it is, and work goes on.
    pub async fn rotate_keys(&self) -> Result<Rotated, Fault> {
        let keys = self.keys().cloned().ok_or_else(|| Fault::new(FaultKind::Conflict, "nothing is sealed here"))?;
        let rotated = tokio::task::spawn_blocking(move || keys.rotate()).await.map_err(Fault::internal)?;
        rotated.map_err(|error| fault(&error))
    }
}
