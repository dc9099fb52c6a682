//! What goes wrong with a store.

use std::io;
use std::path::{Path, PathBuf};

use keyring::KeyError;
use model::Digest;
use model::limits::DIRECTORY_FILES_MAX;

use crate::directory::DEPTH_MAX;

/// What goes wrong with a store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such artifact here.
    #[error("there is no artifact {0} in this store")]
    Missing(Digest),
    /// The content is not what its name says. It is no longer in the store.
    #[error("the content of {wanted} is damaged: its digest is {found}")]
    Damaged {
        /// The name.
        wanted: Digest,
        /// The digest of what was read.
        found: Digest,
    },
    /// A sealed artifact was changed. It is no longer in the store.
    #[error("the content of {0} is damaged: it is not what was sealed")]
    Tampered(Digest),
    /// The key of the artifact was destroyed, and with it the content.
    #[error("the artifact {0} was erased")]
    Erased(Digest),
    /// The keys cannot be used.
    #[error(transparent)]
    Keys(KeyError),
    /// Whoever wanted it does not want it any more. Nothing of it was stored.
    #[error("it was stopped")]
    Stopped,
    /// The disk is full.
    #[error("the disk of the store is full")]
    DiskFull,
    /// A path that leads out of its folder, or something that is neither file nor folder.
    #[error("`{0}` is not a file inside its folder (links and special files are not taken)")]
    BadPath(String),
    /// More files than a directory artifact may have.
    #[error("more than {DIRECTORY_FILES_MAX} files in one directory artifact: pack them into one file")]
    TooManyFiles,
    /// Folders within folders, more than a directory artifact may have.
    #[error("`{0}` has more than {DEPTH_MAX} levels of folders")]
    TooDeep(String),
    /// A file that says of itself that it is the listing of a directory. Only the store makes those.
    #[error("a file that begins as the listing of a directory is not taken: give the directory itself")]
    ForgedListing,
    /// Something else of the file system.
    #[error("`{path}`: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

pub(crate) type Result<T> = std::result::Result<T, StoreError>;

/// An error of the file system, at a path.
pub(crate) fn at<E: Into<io::Error>>(path: &Path) -> impl FnOnce(E) -> StoreError + '_ {
    move |error| {
        let error = error.into();
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::DiskFull,
            _ => StoreError::Io { path: path.to_owned(), error },
        }
    }
}

/// An error of the keys, about an artifact.
pub(crate) fn of_keys(digest: &Digest) -> impl FnOnce(KeyError) -> StoreError + '_ {
    move |error| match error {
        KeyError::Erased(_) => StoreError::Erased(*digest),
        KeyError::Tampered(_) => StoreError::Tampered(*digest),
        other => StoreError::Keys(other),
    }
}

/// An error while an artifact was read.
pub(crate) fn reading<'p>(digest: &'p Digest, path: &'p Path) -> impl FnOnce(io::Error) -> StoreError + 'p {
    move |error| match error.kind() {
        io::ErrorKind::InvalidData => StoreError::Tampered(*digest),
        _ => at(path)(error),
    }
}
