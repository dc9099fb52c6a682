//! The store of one site: files named by their digest.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use model::{ArtifactRef, Digest, limits::DIRECTORY_FILES_MAX, value::ArtifactKind};
use sha2::{Digest as _, Sha256};

use crate::Progress;
use crate::directory::{FORMAT, LISTING_BYTES_MAX, Listing, ListingEntry, is_inside};

/// A content-addressed store in a directory. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

/// What was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Put {
    /// Its digest.
    pub digest: Digest,
    /// Bytes of it; of all files for a directory.
    pub size: u64,
}

/// What goes wrong with a store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such artifact here.
    #[error("there is no artifact {0} in this store")]
    Missing(Digest),
    /// The content is not what its name says.
    #[error("the content of {wanted} is damaged: its digest is {found}")]
    Damaged {
        /// The name.
        wanted: Digest,
        /// The digest of what was read.
        found: Digest,
    },
    /// The disk is full.
    #[error("the disk of the store is full")]
    DiskFull,
    /// A path that leads out of its folder, or something that is neither file nor folder.
    #[error("`{0}` is not a file inside its folder (links and special files are not taken)")]
    BadPath(String),
    /// More files than a directory artifact may have.
    #[error("more than {DIRECTORY_FILES_MAX} files in one directory artifact")]
    TooManyFiles,
    /// Something else of the file system.
    #[error("`{path}`: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

type Result<T> = std::result::Result<T, StoreError>;

fn at(path: &Path) -> impl FnOnce(io::Error) -> StoreError + '_ {
    move |error| match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::DiskFull,
        _ => StoreError::Io { path: path.to_owned(), error },
    }
}

impl Store {
    /// Opens the store in a directory, which is made when it is not there. What a killed process left half written is removed.
    pub fn open_at(root: impl Into<PathBuf>) -> Result<Store> {
        let root: PathBuf = root.into();
        let temporary = root.join("tmp");
        fs::create_dir_all(root.join("objects")).map_err(at(&root))?;
        fs::create_dir_all(&temporary).map_err(at(&temporary))?;
        for left in fs::read_dir(&temporary).map_err(at(&temporary))? {
            let left = left.map_err(at(&temporary))?.path();
            fs::remove_file(&left).map_err(at(&left))?;
        }
        Ok(Store { root })
    }

    fn place(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        self.root.join("objects").join(&hex[..2]).join(&hex[2..])
    }

    /// Whether the artifact is here.
    pub fn has(&self, digest: &Digest) -> bool {
        self.place(digest).is_file()
    }

    /// Opens the artifact to read.
    pub fn open(&self, digest: &Digest) -> Result<File> {
        let place = self.place(digest);
        File::open(&place).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => StoreError::Missing(*digest),
            _ => StoreError::Io { path: place, error },
        })
    }

    /// Bytes of the artifact as it lies here.
    pub fn size(&self, digest: &Digest) -> Result<u64> {
        let place = self.place(digest);
        fs::metadata(&place).map(|file| file.len()).map_err(|_| StoreError::Missing(*digest))
    }

    /// Stores what a reader gives, hashing on the way.
    pub fn put(&self, source: &mut dyn Read) -> Result<Put> {
        self.put_checked(source, None, &mut |_| {})
    }

    /// Stores what a reader gives, when it is what it should be.
    pub fn put_expecting(&self, source: &mut dyn Read, wanted: &Digest, progress: Progress<'_>) -> Result<Put> {
        self.put_checked(source, Some(wanted), progress)
    }

    /// Stores bytes.
    pub fn put_bytes(&self, mut bytes: &[u8]) -> Result<Put> {
        self.put(&mut bytes)
    }

    /// Stores a file. A link is refused.
    pub fn put_file(&self, path: &Path) -> Result<Put> {
        let kind = fs::symlink_metadata(path).map_err(at(path))?.file_type();
        if !kind.is_file() {
            return Err(StoreError::BadPath(path.display().to_string()));
        }
        self.put(&mut File::open(path).map_err(at(path))?)
    }

    fn put_checked(&self, source: &mut dyn Read, wanted: Option<&Digest>, progress: Progress<'_>) -> Result<Put> {
        let temporary = self.root.join("tmp");
        let mut file = tempfile::NamedTempFile::new_in(&temporary).map_err(at(&temporary))?;
        let (mut hasher, mut size, mut buffer) = (Sha256::new(), 0u64, vec![0u8; 128 << 10]);
        loop {
            let count = match source.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(at(&temporary)(error)),
            };
            hasher.update(&buffer[..count]);
            file.write_all(&buffer[..count]).map_err(at(&temporary))?;
            size += count as u64;
            progress(size);
        }
        let digest = Digest(hasher.finalize().into());
        if let Some(wanted) = wanted.filter(|wanted| **wanted != digest) {
            return Err(StoreError::Damaged { wanted: *wanted, found: digest });
        }
        let place = self.place(&digest);
        if !place.is_file() {
            let folder = place.parent().unwrap_or(&self.root);
            fs::create_dir_all(folder).map_err(at(folder))?;
            // Durable before anybody is told of it: content first, then the name.
            file.as_file().set_permissions(fs::Permissions::from_mode(0o444)).map_err(at(&temporary))?;
            file.as_file().sync_all().map_err(at(&temporary))?;
            file.persist(&place).map_err(|error| at(&place)(error.error))?;
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(at(folder))?;
        }
        Ok(Put { digest, size })
    }

    /// Stores a directory with all its files. Links and special files are refused.
    pub fn put_directory(&self, path: &Path) -> Result<Put> {
        let mut entries = Vec::new();
        self.put_files_below(path, "", &mut entries)?;
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        let size = entries.iter().map(|entry| entry.size).sum();
        let listing = Listing { format: FORMAT.into(), entries };
        let json = serde_json::to_vec(&listing).map_err(|error| at(path)(error.into()))?;
        Ok(Put { digest: self.put_bytes(&json)?.digest, size })
    }

    fn put_files_below(&self, folder: &Path, prefix: &str, entries: &mut Vec<ListingEntry>) -> Result<()> {
        for found in fs::read_dir(folder).map_err(at(folder))? {
            let found = found.map_err(at(folder))?;
            let path = found.path();
            let name = found.file_name().into_string().map_err(|_| StoreError::BadPath(path.display().to_string()))?;
            let relative = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
            let kind = found.file_type().map_err(at(&path))?;
            if kind.is_dir() {
                self.put_files_below(&path, &relative, entries)?;
            } else if kind.is_file() {
                let put = self.put_file(&path)?;
                let mode = fs::metadata(&path).map_err(at(&path))?.permissions().mode();
                entries.push(ListingEntry { path: relative, digest: put.digest, size: put.size, executable: mode & 0o111 != 0 });
                if entries.len() > DIRECTORY_FILES_MAX {
                    return Err(StoreError::TooManyFiles);
                }
            } else {
                return Err(StoreError::BadPath(path.display().to_string()));
            }
        }
        Ok(())
    }

    /// The listing that an artifact is, when it is one.
    pub fn listing(&self, digest: &Digest) -> Result<Option<Listing>> {
        let mut file = self.open(digest)?;
        let mut head = [0u8; 30];
        let read = file.read(&mut head).map_err(at(&self.root))?;
        let mark = format!("{{\"format\":\"{FORMAT}\"");
        if !head[..read].starts_with(mark.as_bytes()) || self.size(digest)? > LISTING_BYTES_MAX {
            return Ok(None);
        }
        let bytes = fs::read(self.place(digest)).map_err(at(&self.root))?;
        let listing: Option<Listing> = serde_json::from_slice(&bytes).ok();
        Ok(listing.filter(|listing| listing.entries.iter().all(|entry| is_inside(&entry.path))))
    }

    /// Lays an artifact out as a copy at `to`: a file, or a folder for a directory. The copy is the caller's to change.
    pub fn lay_out(&self, artifact: &ArtifactRef, to: &Path) -> Result<()> {
        if artifact.kind != ArtifactKind::Directory {
            return self.copy_out(&artifact.digest, to, false);
        }
        let listing = self.listing(&artifact.digest)?.ok_or(StoreError::Missing(artifact.digest))?;
        fs::create_dir_all(to).map_err(at(to))?;
        for entry in &listing.entries {
            let file = to.join(&entry.path);
            let folder = file.parent().unwrap_or(to);
            fs::create_dir_all(folder).map_err(at(folder))?;
            self.copy_out(&entry.digest, &file, entry.executable)?;
        }
        Ok(())
    }

    /// Copies a file out.
    pub fn copy_out(&self, digest: &Digest, to: &Path, executable: bool) -> Result<()> {
        let mut source = self.open(digest)?;
        let mut target = File::create_new(to).map_err(at(to))?;
        io::copy(&mut source, &mut target).map_err(at(to))?;
        let mode = if executable { 0o755 } else { 0o644 };
        target.set_permissions(fs::Permissions::from_mode(mode)).map_err(at(to))
    }

    /// Removes an artifact. One that is not there is no error.
    pub fn remove(&self, digest: &Digest) -> Result<()> {
        let place = self.place(digest);
        match fs::remove_file(&place) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(&place)(error)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open_at(folder.path().join("store")).unwrap();
        (folder, store)
    }

    #[test]
    fn what_is_put_comes_back_under_its_digest() {
        let (_folder, store) = store();
        let put = store.put_bytes(b"abc").unwrap();
        assert_eq!((put.digest, put.size), (Digest::of(b"abc"), 3));
        assert_eq!(store.put_bytes(b"abc").unwrap(), put);
        let mut text = String::new();
        store.open(&put.digest).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "abc");
        store.remove(&put.digest).unwrap();
        store.remove(&put.digest).unwrap();
        assert!(matches!(store.open(&put.digest), Err(StoreError::Missing(_))));
    }

    #[test]
    fn directories_move_whole_and_links_do_not() {
        let (folder, store) = store();
        let source = folder.path().join("d");
        fs::create_dir_all(source.join("sub")).unwrap();
        fs::write(source.join("sub/a.txt"), "a").unwrap();
        fs::write(source.join("b.sh"), "b").unwrap();
        fs::set_permissions(source.join("b.sh"), fs::Permissions::from_mode(0o755)).unwrap();
        let put = store.put_directory(&source).unwrap();
        let other = Store::open_at(folder.path().join("other")).unwrap();
        assert!(crate::transfer(&store, &other, &put.digest, &mut |_| {}).unwrap() > 2);
        assert_eq!(crate::transfer(&store, &other, &put.digest, &mut |_| {}).unwrap(), 0);
        let artifact = ArtifactRef { digest: put.digest, size: put.size, kind: ArtifactKind::Directory, name: "d".into() };
        let laid = folder.path().join("laid");
        other.lay_out(&artifact, &laid).unwrap();
        assert_eq!(fs::read_to_string(laid.join("sub/a.txt")).unwrap(), "a");
        assert_ne!(fs::metadata(laid.join("b.sh")).unwrap().permissions().mode() & 0o111, 0);
        std::os::unix::fs::symlink("/etc/passwd", source.join("link")).unwrap();
        assert!(matches!(store.put_directory(&source), Err(StoreError::BadPath(_))));
        assert!(matches!(store.put_file(&source.join("link")), Err(StoreError::BadPath(_))));
    }

    #[test]
    fn damage_is_seen_on_the_way() {
        let (folder, store) = store();
        let put = store.put_bytes(b"abc").unwrap();
        let place = store.place(&put.digest);
        fs::set_permissions(&place, fs::Permissions::from_mode(0o644)).unwrap();
        fs::write(&place, "abX").unwrap();
        let other = Store::open_at(folder.path().join("other")).unwrap();
        assert!(matches!(crate::transfer(&store, &other, &put.digest, &mut |_| {}), Err(StoreError::Damaged { .. })));
        assert!(!other.has(&put.digest));
    }

    #[test]
    fn a_listing_that_leads_outside_is_no_listing() {
        let (_folder, store) = store();
        let evil = format!(
            "{{\"format\":\"{FORMAT}\",\"entries\":[{{\"path\":\"../x\",\"digest\":\"{}\",\"size\":0}}]}}",
            Digest::of(b"")
        );
        let put = store.put_bytes(evil.as_bytes()).unwrap();
        assert_eq!(store.listing(&put.digest).unwrap(), None);
    }

    #[test]
    fn what_a_killed_process_left_is_removed() {
        let (folder, store) = store();
        fs::write(store.root.join("tmp/half"), "x").unwrap();
        Store::open_at(folder.path().join("store")).unwrap();
        assert!(!store.root.join("tmp/half").exists());
    }
}
