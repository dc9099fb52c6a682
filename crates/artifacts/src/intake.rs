//! Taking files and directories into a store. Links and special files are refused, wherever they are.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use model::limits::DIRECTORY_FILES_MAX;
use model::value::ArtifactKind;
use rustix::fs::{AtFlags, CWD, Dir, FileType, linkat};

use crate::beneath::{open_child, open_root};
use crate::directory::{DEPTH_MAX, FORMAT, Listing, ListingEntry, is_inside};
use crate::error::{Result, at};
use crate::store::{Staged, finish, hash, sync_folder};
use crate::{Put, Store, StoreError, open_beneath};

/// What becomes of a file that a store takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taking {
    /// It stays, and the store has a copy.
    Copy,
    /// It becomes the store's: it is given a second name there, when that is possible, and nobody may write to it any more.
    Link,
}

/// Files that are made durable together.
const BATCH_FILES: usize = 256;

fn refused(path: &Path) -> impl FnOnce(io::Error) -> StoreError + '_ {
    move |error| match error.kind() {
        io::ErrorKind::InvalidInput | io::ErrorKind::NotADirectory => StoreError::BadPath(path.display().to_string()),
        _ => at(path)(error),
    }
}

impl Store {
    /// Stores a file. A link is refused.
    pub fn put_file(&self, path: &Path) -> Result<Put> {
        let kind = fs::symlink_metadata(path).map_err(at(path))?.file_type();
        if !kind.is_file() {
            return Err(StoreError::BadPath(path.display().to_string()));
        }
        self.put(&mut File::open(path).map_err(at(path))?)
    }

    /// Stores a directory with all its files. Links and special files are refused.
    pub fn put_directory(&self, path: &Path) -> Result<Put> {
        let folder = open_root(path).map_err(refused(path))?;
        self.take_folder(folder, path, Taking::Copy)
    }

    /// Stores the file or directory at a relative path below `root`. No link on the way is followed.
    pub fn take(&self, root: &Path, path: &str, taking: Taking) -> Result<(Put, ArtifactKind)> {
        let whole = root.join(path);
        let opened = open_beneath(root, path).map_err(|error| match error.kind() {
            // The path as it was given, which need not be below the root.
            io::ErrorKind::InvalidInput => StoreError::BadPath(path.to_owned()),
            _ => refused(&whole)(error),
        })?;
        if opened.metadata().map_err(at(&whole))?.is_dir() {
            return Ok((self.take_folder(opened.into(), &whole, taking)?, ArtifactKind::Directory));
        }
        let put = match self.take_file(opened, &whole, taking)? {
            Taken::Linked(put) => put,
            Taken::Staged(staged) => {
                let put = staged.put;
                self.keep(vec![staged])?;
                put
            }
        };
        Ok((put, ArtifactKind::File))
    }

    fn take_file(&self, mut file: File, path: &Path, taking: Taking) -> Result<Taken> {
        // What is to be sealed is written anew.
        if taking == Taking::Link
            && self.keys.is_none()
            && let Some(put) = self.link_in(&mut file, path)?
        {
            return Ok(Taken::Linked(put));
        }
        io::Seek::rewind(&mut file).map_err(at(path))?;
        self.stage(&mut file, false, &mut crate::to_the_end).map(Taken::Staged)
    }

    /// Gives a file a name in the store. None when it has to be copied: it has names elsewhere, or lies on another file system.
    fn link_in(&self, file: &mut File, path: &Path) -> Result<Option<Put>> {
        let found = file.metadata().map_err(at(path))?;
        if found.nlink() != 1 || found.len() < LINK_BYTES_MIN {
            return Ok(None);
        }
        let mut head = Vec::new();
        let (digest, size) = hash(file, &mut |bytes| {
            let wanted = crate::directory::HEAD.len() - head.len();
            head.extend_from_slice(&bytes[..bytes.len().min(wanted)]);
            Ok(())
        })
        .map_err(at(path))?;
        if head == crate::directory::HEAD {
            return Err(StoreError::ForgedListing);
        }
        let put = Put { digest, size };
        if self.has(&digest) {
            return Ok(Some(put));
        }
        if finish(file).and_then(|()| file.sync_all()).is_err() {
            return Ok(None);
        }
        let place = self.place(&digest);
        let folder = place.parent().unwrap_or(&self.root);
        self.make_folder(folder)?;
        // By its descriptor: whatever has its path by now, this is the file that was hashed.
        let name = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
        match linkat(CWD, name, CWD, &place, AtFlags::SYMLINK_FOLLOW) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(_) => return Ok(None),
        }
        sync_folder(folder)?;
        Ok(Some(put))
    }

    /// Stores a directory of files that are stored here already.
    pub fn put_listing(&self, mut entries: Vec<ListingEntry>) -> Result<Put> {
        if entries.len() > DIRECTORY_FILES_MAX {
            return Err(StoreError::TooManyFiles);
        }
        if let Some(bad) = entries.iter().find(|entry| !is_inside(&entry.path)) {
            return Err(StoreError::BadPath(bad.path.clone()));
        }
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        let size = entries.iter().map(|entry| entry.size).sum();
        let json = serde_json::to_vec(&Listing { format: FORMAT.into(), entries });
        let json = json.map_err(|error| at(&self.root)(io::Error::from(error)))?;
        let staged = self.stage(&mut json.as_slice(), true, &mut crate::to_the_end)?;
        let digest = staged.put.digest;
        // The listing last: whoever sees it finds all it lists.
        self.keep(vec![staged])?;
        Ok(Put { digest, size })
    }

    fn take_folder(&self, folder: OwnedFd, path: &Path, taking: Taking) -> Result<Put> {
        // Before the first file is taken: what is refused leaves nothing in the store.
        count_files(&folder, path, 0, &mut 0)?;
        let mut walk = Walk { store: self, taking, entries: Vec::new(), batch: Vec::new() };
        walk.folder(folder, path, "", 0)?;
        let Walk { entries, batch, .. } = walk;
        self.keep(batch)?;
        self.put_listing(entries)
    }
}

/// Files below this size are copied: a file of their own costs less than the care a shared one needs.
pub(crate) const LINK_BYTES_MIN: u64 = 4 << 20;

enum Taken {
    Linked(Put),
    Staged(Staged),
}

/// Counts the files of a folder, as far as they may go.
fn count_files(folder: &OwnedFd, path: &Path, depth: usize, files: &mut usize) -> Result<()> {
    if depth >= DEPTH_MAX {
        return Err(StoreError::TooDeep(path.display().to_string()));
    }
    for found in Dir::read_from(folder).map_err(at(path))? {
        let found = found.map_err(at(path))?;
        let name = match found.file_name().to_str() {
            Ok("." | "..") => continue,
            Ok(name) => name,
            Err(_) => return Err(StoreError::BadPath(path.join("…").display().to_string())),
        };
        let whole = path.join(name);
        match found.file_type() {
            FileType::RegularFile => *files += 1,
            // Some file systems do not say.
            FileType::Directory | FileType::Unknown => match open_child(folder, name).map_err(refused(&whole))? {
                (inner, FileType::Directory) => count_files(&inner, &whole, depth + 1, files)?,
                _ => *files += 1,
            },
            _ => return Err(StoreError::BadPath(whole.display().to_string())),
        }
        if *files > DIRECTORY_FILES_MAX {
            return Err(StoreError::TooManyFiles);
        }
    }
    Ok(())
}

struct Walk<'s> {
    store: &'s Store,
    taking: Taking,
    entries: Vec<ListingEntry>,
    batch: Vec<Staged>,
}

impl Walk<'_> {
    fn folder(&mut self, folder: OwnedFd, path: &Path, prefix: &str, depth: usize) -> Result<()> {
        if depth >= DEPTH_MAX {
            return Err(StoreError::TooDeep(path.display().to_string()));
        }
        for found in Dir::read_from(&folder).map_err(at(path))? {
            let found = found.map_err(at(path))?;
            let name = match found.file_name().to_str() {
                Ok("." | "..") => continue,
                Ok(name) => name,
                Err(_) => return Err(StoreError::BadPath(path.join("…").display().to_string())),
            };
            let whole = path.join(name);
            let relative = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
            let (opened, kind) = open_child(&folder, name).map_err(refused(&whole))?;
            if kind == FileType::Directory {
                self.folder(opened, &whole, &relative, depth + 1)?;
            } else {
                self.file(opened.into(), &whole, relative)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, file: File, path: &Path, relative: String) -> Result<()> {
        if self.entries.len() >= DIRECTORY_FILES_MAX {
            return Err(StoreError::TooManyFiles);
        }
        let executable = file.metadata().map_err(at(path))?.permissions().mode() & 0o111 != 0;
        // A file that may be executed has a mode that no other name of it in the store could have.
        let taking = if executable { Taking::Copy } else { self.taking };
        let put = match self.store.take_file(file, path, taking)? {
            Taken::Linked(put) => put,
            Taken::Staged(staged) => {
                let put = staged.put;
                self.batch.push(staged);
                put
            }
        };
        self.entries.push(ListingEntry { path: relative, digest: put.digest, size: put.size, executable });
        if self.batch.len() >= BATCH_FILES {
            self.store.keep(std::mem::take(&mut self.batch))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use model::ArtifactRef;

    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open_at(folder.path().join("store")).unwrap();
        (folder, store)
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
        assert!(crate::transfer(&store, &other, &put.digest, &mut crate::to_the_end).unwrap() > 2);
        let artifact = ArtifactRef { digest: put.digest, size: put.size, kind: ArtifactKind::Directory, name: "d".into() };
        let laid = folder.path().join("laid");
        other.lay_out(&artifact, &laid).unwrap();
        assert_eq!(fs::read_to_string(laid.join("sub/a.txt")).unwrap(), "a");
        assert_ne!(fs::metadata(laid.join("b.sh")).unwrap().permissions().mode() & 0o111, 0);
        assert_eq!(store.put_directory(&laid).unwrap().digest, put.digest, "what was laid out is what was taken");
        std::os::unix::fs::symlink("/etc/passwd", source.join("link")).unwrap();
        assert!(matches!(store.put_directory(&source), Err(StoreError::BadPath(_))));
        assert!(matches!(store.put_file(&source.join("link")), Err(StoreError::BadPath(_))));
        assert!(matches!(store.take(&source, "link", Taking::Link), Err(StoreError::BadPath(_))));
        assert!(matches!(store.take(&source, "../store", Taking::Link), Err(StoreError::BadPath(_))));
        assert_eq!(store.take(&source, "sub", Taking::Copy).unwrap().1, ArtifactKind::Directory);
    }

    #[test]
    fn many_files_are_kept_in_batches() {
        let (folder, store) = store();
        let source = folder.path().join("d");
        fs::create_dir(&source).unwrap();
        for index in 0..BATCH_FILES + 3 {
            fs::write(source.join(format!("{index:04}")), index.to_string()).unwrap();
        }
        let put = store.put_directory(&source).unwrap();
        let listing = store.listing(&put.digest).unwrap().unwrap();
        assert_eq!(listing.entries.len(), BATCH_FILES + 3);
        assert!(listing.entries.iter().all(|entry| store.has(&entry.digest)));
        assert_eq!(fs::read_dir(store.temporary()).unwrap().count(), 0);
    }

    #[test]
    fn folders_without_an_end_are_refused() {
        let (folder, store) = store();
        let mut deep = folder.path().join("d");
        for _ in 0..=DEPTH_MAX {
            deep = deep.join("x");
        }
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join("f"), "").unwrap();
        assert!(matches!(store.put_directory(&folder.path().join("d")), Err(StoreError::TooDeep(_))));
    }

    #[test]
    fn large_files_are_linked_and_small_ones_or_shared_ones_copied() {
        let (folder, store) = store();
        let write = |name: &str, size: u64| {
            let file = File::create(folder.path().join(name)).unwrap();
            file.set_len(size).unwrap();
            file
        };
        let inode = |path: &Path| fs::metadata(path).unwrap().ino();
        let taken = |name: &str| {
            let (put, _) = store.take(folder.path(), name, Taking::Link).unwrap();
            inode(&store.place(&put.digest)) == inode(&folder.path().join(name))
        };
        write("large", LINK_BYTES_MIN);
        assert!(taken("large"));
        let large = folder.path().join("large");
        assert_eq!(fs::metadata(&large).unwrap().permissions().mode() & 0o222, 0);
        write("small", LINK_BYTES_MIN - 1);
        assert!(!taken("small"));
        write("shared", LINK_BYTES_MIN + 1);
        fs::hard_link(folder.path().join("shared"), folder.path().join("twin")).unwrap();
        assert!(!taken("shared"), "whoever has the other name could write to it");
    }
}
