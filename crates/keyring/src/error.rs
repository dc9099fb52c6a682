//! What goes wrong with keys.

use std::path::{Path, PathBuf};

/// What goes wrong with keys. No message holds a key, a secret or what was sealed.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The key was destroyed, and with it what it sealed.
    #[error("it was erased: the key of {0} is destroyed")]
    Erased(String),
    /// What was read is not what was sealed, or was sealed under another key.
    #[error("{0} is damaged, or was sealed under another key")]
    Tampered(String),
    /// The key service has another key than the one that wrapped the root key.
    #[error("{0} does not open the keys of this data directory: it is not the key they were wrapped under")]
    WrongKey(String),
    /// The key file is gone, and there are keys wrapped under it.
    #[error("the key file `{0}` is not there, and what is stored is sealed under it")]
    NoKeyFile(PathBuf),
    /// The keys are gone, and there is data sealed under them.
    #[error("the keys in `{0}` are not there, and what is stored is sealed under them")]
    NoKeys(PathBuf),
    /// The keys are not those that the data was sealed under.
    #[error("the keys in `{0}` are those of another data directory")]
    ForeignKeys(PathBuf),
    /// The key service cannot be used now.
    #[error("{service}: {why}")]
    Service {
        /// The service, for people.
        service: String,
        /// Why.
        why: String,
    },
    /// Keys are rotated one rotation at a time.
    #[error("the keys are being rotated already")]
    Rotating,
    /// Something that was set up is not right.
    #[error("{0}")]
    Setting(String),
    /// The database of keys said no.
    #[error("the keys: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// A file could not be made or read.
    #[error("`{path}`: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
}

impl KeyError {
    /// Whether it says that what was asked for was erased on purpose.
    pub fn is_erased(&self) -> bool {
        matches!(self, KeyError::Erased(_))
    }
}

/// An error of the file system, at a path.
pub(crate) fn at(path: &Path) -> impl FnOnce(std::io::Error) -> KeyError + '_ {
    move |error| KeyError::Io { path: path.to_owned(), error }
}
