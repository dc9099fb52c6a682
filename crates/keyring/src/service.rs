//! Key services: who holds the key that wraps the root keys. One trait; a key file and a passphrase here, a transit engine beside.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use argon2::{Algorithm, Argon2, Params, Version};
use model::Digest;
use zeroize::Zeroizing;

use crate::error::at;
use crate::seal::{KEY_BYTES, random};
use crate::transit::{Transit, TransitOptions};
use crate::{DataKey, KeyError, Result};

/// Holds the key that wraps root keys, and shows it to nobody. Calls block.
pub trait KeyService: Send + Sync {
    /// What it is, for people.
    fn name(&self) -> String;

    /// Wraps a root key under the newest version of its key. `about` has to be the same to unwrap it.
    fn wrap(&self, key: &[u8; 32], about: &[u8]) -> Result<Vec<u8>>;

    /// Unwraps what any version wrapped that it still has.
    fn unwrap(&self, wrapped: &[u8], about: &[u8]) -> Result<Zeroizing<[u8; 32]>>;

    /// Begins a new version of its key. Older ones stay, so that what they wrapped can be unwrapped.
    fn renew(&self) -> Result<()>;

    /// Nothing is wrapped under older versions any more: they may go.
    fn retire(&self) -> Result<()>;
}

/// Which key service a data directory has.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A key file; made when it is not there and nothing was sealed yet.
    File(PathBuf),
    /// A passphrase that stands in a file.
    PassphraseFile(PathBuf),
    /// The transit engine of an OpenBao or Vault server.
    Transit(TransitOptions),
}

impl Source {
    /// The service. `fresh` says that nothing was sealed yet, so that a key may be made.
    pub(crate) fn open(&self, fresh: bool) -> Result<Box<dyn KeyService>> {
        Ok(match self {
            Source::File(path) => Box::new(KeyFile::open(path, fresh)?),
            Source::PassphraseFile(path) => Box::new(Passphrase::read(path)?),
            Source::Transit(options) => Box::new(Transit::new(options.clone())?),
        })
    }
}

/// What a line of a key file begins with.
const LINE: &str = "tutti-key-1 ";

/// A key in a file that nobody but its owner may read: a line a version, the newest last.
pub struct KeyFile {
    path: PathBuf,
}

impl KeyFile {
    /// The key file at a path. One that is not there is made when `fresh`, with a new key and mode 0600; otherwise nothing is.
    pub fn open(path: &Path, fresh: bool) -> Result<KeyFile> {
        let file = KeyFile { path: path.to_owned() };
        match file.versions() {
            Err(KeyError::NoKeyFile(_)) if fresh => file.write(&[random()?])?,
            other => drop(other?),
        }
        Ok(file)
    }

    fn versions(&self) -> Result<Vec<Zeroizing<[u8; KEY_BYTES]>>> {
        let path = &self.path;
        let mut opened = match File::open(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(KeyError::NoKeyFile(path.clone())),
            other => other.map_err(at(path))?,
        };
        let mode = opened.metadata().map_err(at(path))?.permissions().mode();
        if mode & 0o027 != 0 {
            let shown = path.display();
            return Err(KeyError::Setting(format!(
                "the key file `{shown}` may be read by others (mode {:o}): `chmod 600 {shown}`",
                mode & 0o777
            )));
        }
        let mut text = Zeroizing::new(String::new());
        opened.read_to_string(&mut text).map_err(at(path))?;
        let line = |line: &str| {
            let hex: Digest = format!("sha256:{}", line.strip_prefix(LINE)?.trim()).parse().ok()?;
            Some(Zeroizing::new(hex.0))
        };
        let versions: Option<Vec<_>> = text.lines().filter(|text| !text.trim().is_empty()).map(line).collect();
        match versions {
            Some(versions) if !versions.is_empty() => Ok(versions),
            _ => Err(KeyError::Setting(format!(
                "`{}` is no key file: a line of one is `{LINE}` and 64 hexadecimal digits",
                path.display()
            ))),
        }
    }

    /// Beside and renamed: a reader sees the old file or the new one.
    fn write(&self, versions: &[[u8; KEY_BYTES]]) -> Result<()> {
        let path = &self.path;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !folder.is_dir() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(at(folder))?;
        }
        let beside = path.with_extension("new");
        let _ = fs::remove_file(&beside);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside).map_err(at(&beside))?;
        for version in versions {
            let line = Zeroizing::new(format!("{LINE}{}\n", Digest(*version).hex()));
            file.write_all(line.as_bytes()).map_err(at(&beside))?;
        }
        file.sync_all().map_err(at(&beside))?;
        fs::rename(&beside, path).map_err(at(path))?;
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(at(folder))
    }
}

/// What tells one version of a key from another, and nothing else of it.
fn fingerprint(key: &[u8; KEY_BYTES]) -> [u8; 4] {
    let Digest(bytes) = Digest::of_parts(&[b"tutti key fingerprint", key]);
    [bytes[0], bytes[1], bytes[2], bytes[3]]
}

fn unwrapped(key: &DataKey, about: &[u8], sealed: &[u8], service: &dyn KeyService) -> Result<Zeroizing<[u8; 32]>> {
    let opened = key.open(about, sealed, "a root key").map_err(|_| KeyError::WrongKey(service.name()))?;
    opened[..].try_into().map(Zeroizing::new).map_err(|_| KeyError::WrongKey(service.name()))
}

impl KeyService for KeyFile {
    fn name(&self) -> String {
        format!("the key file `{}`", self.path.display())
    }

    fn wrap(&self, key: &[u8; 32], about: &[u8]) -> Result<Vec<u8>> {
        let versions = self.versions()?;
        let newest = versions.last().ok_or_else(|| KeyError::NoKeyFile(self.path.clone()))?;
        let mut wrapped = vec![b'F'];
        wrapped.extend_from_slice(&fingerprint(newest));
        wrapped.extend(DataKey::new(newest.clone())?.seal(about, key)?);
        Ok(wrapped)
    }

    fn unwrap(&self, wrapped: &[u8], about: &[u8]) -> Result<Zeroizing<[u8; 32]>> {
        let wrong = || KeyError::WrongKey(self.name());
        let (mark, sealed) = wrapped.strip_prefix(b"F").and_then(|rest| rest.split_at_checked(4)).ok_or_else(wrong)?;
        let versions = self.versions()?;
        let version = versions.into_iter().find(|version| fingerprint(version) == mark).ok_or_else(wrong)?;
        unwrapped(&DataKey::new(version)?, about, sealed, self)
    }

    fn renew(&self) -> Result<()> {
        let mut versions: Zeroizing<Vec<[u8; KEY_BYTES]>> =
            Zeroizing::new(self.versions()?.iter().map(|version| **version).collect());
        versions.push(random()?);
        self.write(&versions)
    }

    fn retire(&self) -> Result<()> {
        let versions = self.versions()?;
        match versions.last() {
            Some(newest) if versions.len() > 1 => self.write(&[**newest]),
            _ => Ok(()),
        }
    }
}

/// What deriving a key from a passphrase costs, by Argon2id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// KiB of memory.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
}

impl Default for Cost {
    fn default() -> Self {
        Cost { memory_kib: 64 << 10, passes: 3 }
    }
}

/// The most that a wrapped key may ask for: it comes from a file that somebody may have changed.
const COST_MAX: Cost = Cost { memory_kib: 1 << 20, passes: 16 };
/// Bytes of the shortest passphrase.
const PHRASE_BYTES_MIN: usize = 12;

/// A key derived from a passphrase. A wrapped key has its own salt, and says what deriving it costs.
pub struct Passphrase {
    phrase: Zeroizing<String>,
    cost: Cost,
}

impl Passphrase {
    /// A passphrase, at the usual cost.
    pub fn new(phrase: String) -> Result<Passphrase> {
        let phrase = Zeroizing::new(phrase);
        if phrase.len() < PHRASE_BYTES_MIN {
            return Err(KeyError::Setting(format!("the passphrase is shorter than {PHRASE_BYTES_MIN} bytes")));
        }
        Ok(Passphrase { phrase, cost: Cost::default() })
    }

    /// A passphrase at another cost.
    #[must_use]
    pub fn with_cost(mut self, cost: Cost) -> Passphrase {
        self.cost = cost;
        self
    }

    /// The passphrase in a file, without its last line break.
    fn read(path: &Path) -> Result<Passphrase> {
        let text = Zeroizing::new(fs::read_to_string(path).map_err(at(path))?);
        Passphrase::new(text.trim_end_matches(['\n', '\r']).to_owned())
    }

    fn derive(&self, salt: &[u8], cost: Cost) -> Result<DataKey> {
        let wrong = |why: argon2::Error| KeyError::Setting(format!("the passphrase: {why}"));
        let params = Params::new(cost.memory_kib, cost.passes, 1, Some(KEY_BYTES)).map_err(wrong)?;
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        argon.hash_password_into(self.phrase.as_bytes(), salt, &mut key[..]).map_err(wrong)?;
        DataKey::new(key)
    }
}

impl KeyService for Passphrase {
    fn name(&self) -> String {
        "the passphrase".into()
    }

    fn wrap(&self, key: &[u8; 32], about: &[u8]) -> Result<Vec<u8>> {
        let salt: [u8; 16] = random()?;
        let mut wrapped = vec![b'P'];
        wrapped.extend_from_slice(&self.cost.memory_kib.to_be_bytes());
        wrapped.extend_from_slice(&self.cost.passes.to_be_bytes());
        wrapped.extend_from_slice(&salt);
        wrapped.extend(self.derive(&salt, self.cost)?.seal(about, key)?);
        Ok(wrapped)
    }

    fn unwrap(&self, wrapped: &[u8], about: &[u8]) -> Result<Zeroizing<[u8; 32]>> {
        let wrong = || KeyError::WrongKey(self.name());
        let number = |at: usize| Some(u32::from_be_bytes(wrapped.get(at..at + 4)?.try_into().ok()?));
        let read = || {
            let cost = Cost { memory_kib: number(1)?, passes: number(5)? };
            let fits = cost.memory_kib <= COST_MAX.memory_kib && cost.passes <= COST_MAX.passes;
            (wrapped.first() == Some(&b'P') && fits).then_some((cost, wrapped.get(9..25)?, wrapped.get(25..)?))
        };
        let (cost, salt, sealed) = read().ok_or_else(wrong)?;
        unwrapped(&self.derive(salt, cost)?, about, sealed, self)
    }

    /// Wrapping anew takes a new salt. Another passphrase is another service.
    fn renew(&self) -> Result<()> {
        Ok(())
    }

    fn retire(&self) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_files_are_made_once_and_read_by_their_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/key");
        assert!(matches!(KeyFile::open(&path, false), Err(KeyError::NoKeyFile(_))));
        assert!(!path.exists(), "nothing is made where there should be a key");
        let service = KeyFile::open(&path, true).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let wrapped = service.wrap(&[5; 32], b"root").unwrap();
        assert_eq!(*service.unwrap(&wrapped, b"root").unwrap(), [5; 32]);
        assert!(matches!(service.unwrap(&wrapped, b"other"), Err(KeyError::WrongKey(_))));
        // The same file is not made anew.
        assert_eq!(*KeyFile::open(&path, true).unwrap().unwrap(&wrapped, b"root").unwrap(), [5; 32]);
        let other = KeyFile::open(&folder.path().join("other"), true).unwrap();
        assert!(matches!(other.unwrap(&wrapped, b"root"), Err(KeyError::WrongKey(_))));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(service.unwrap(&wrapped, b"root").unwrap_err().to_string().contains("chmod 600"));
        fs::write(folder.path().join("bad"), "tutti-key-1 12\n").unwrap();
        fs::set_permissions(folder.path().join("bad"), fs::Permissions::from_mode(0o600)).unwrap();
        let error = KeyFile::open(&folder.path().join("bad"), true).err().unwrap().to_string();
        assert!(error.contains("is no key file") && !error.contains("12\n"), "{error}");
    }

    #[test]
    fn a_new_version_of_a_key_file_opens_what_the_old_one_wrapped_until_that_goes() {
        let folder = tempfile::tempdir().unwrap();
        let service = KeyFile::open(&folder.path().join("key"), true).unwrap();
        let old = service.wrap(&[1; 32], b"").unwrap();
        service.renew().unwrap();
        let new = service.wrap(&[2; 32], b"").unwrap();
        assert_eq!((*service.unwrap(&old, b"").unwrap(), *service.unwrap(&new, b"").unwrap()), ([1; 32], [2; 32]));
        service.retire().unwrap();
        assert!(service.unwrap(&old, b"").is_err());
        assert_eq!(*service.unwrap(&new, b"").unwrap(), [2; 32]);
    }

    #[test]
    fn passphrases_open_what_they_wrapped() {
        let cost = Cost { memory_kib: 64, passes: 1 };
        let service = Passphrase::new("correct horse".into()).unwrap().with_cost(cost);
        let wrapped = service.wrap(&[9; 32], b"root").unwrap();
        assert_eq!(*service.unwrap(&wrapped, b"root").unwrap(), [9; 32]);
        let wrong = Passphrase::new("incorrect horse".into()).unwrap();
        assert!(matches!(wrong.unwrap(&wrapped, b"root"), Err(KeyError::WrongKey(_))));
        // What asks for more memory than any machine has is not tried.
        let mut greedy = wrapped.clone();
        greedy[1] = 0xff;
        assert!(matches!(service.unwrap(&greedy, b"root"), Err(KeyError::WrongKey(_))));
        assert!(Passphrase::new("short".into()).is_err());
    }
}
