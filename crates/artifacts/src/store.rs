//! The store of one site: files named by their digest.

use std::fs::{self, File};
use std::io::{self, Read, Seek as _, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use keyring::{FileKey, Holder, KeyError, Keyring, SealedReader, SealedWriter};
use model::Digest;
use sha2::{Digest as _, Sha256};
use tempfile::TempPath;

use crate::directory::{HEAD, LISTING_BYTES_MAX, Listing};
use crate::error::{Result, at, of_keys, reading};
use crate::{Content, Progress, StoreError};

/// A content-addressed store in a directory. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    pub(crate) root: PathBuf,
    /// What seals; without it everything lies open.
    pub(crate) keys: Option<Keyring>,
    /// On whose behalf things are stored.
    holder: Holder,
}

/// What was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Put {
    /// Its digest.
    pub digest: Digest,
    /// Bytes of it; of all files for a directory.
    pub size: u64,
}

/// How much a store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Files.
    pub objects: u64,
    /// Bytes of them.
    pub bytes: u64,
}

/// Content that has its digest and waits, not yet durable, to be given its name.
pub(crate) struct Staged {
    pub(crate) path: TempPath,
    pub(crate) put: Put,
    /// The key that it is sealed under, which is nowhere else yet.
    key: Option<FileKey>,
}

/// The date of everything in a store. A file that has another was written to, by a process it was laid out for or by an operator, and is
/// read whole before it is believed again.
pub(crate) fn untouched() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1)
}

/// What the names of files begin with that this process has in the making. Another process of the same number is another process.
fn ours() -> &'static str {
    static OURS: OnceLock<String> = OnceLock::new();
    OURS.get_or_init(|| {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        format!("{}-{}-", std::process::id(), since.as_nanos())
    })
}

const BUFFER_BYTES: usize = 128 << 10;
/// From so many files on it is quicker to sync the file system once.
const SYNC_EACH_MAX: usize = 16;

impl Store {
    /// Opens a store that seals nothing in a directory, which is made when it is not there. What a killed process left half written is
    /// removed.
    pub fn open_at(root: impl Into<PathBuf>) -> Result<Store> {
        Store::open_with(root, None)
    }

    /// Opens a store that seals what it takes when there are keys.
    pub fn open_with(root: impl Into<PathBuf>, keys: Option<Keyring>) -> Result<Store> {
        let store = Store { root: root.into(), keys, holder: Holder::Unclaimed };
        let temporary = store.temporary();
        fs::create_dir_all(store.objects()).map_err(at(&store.root))?;
        fs::create_dir_all(&temporary).map_err(at(&temporary))?;
        for left in fs::read_dir(&temporary).map_err(at(&temporary))? {
            let left = left.map_err(at(&temporary))?;
            // What this process writes and has not given its name yet is nobody's to remove.
            if left.file_name().to_str().is_some_and(|name| name.starts_with(ours())) {
                continue;
            }
            let left = left.path();
            // Whoever else is writing holds a lock on it.
            let abandoned = File::open(&left).is_ok_and(|file| file.try_lock().is_ok());
            match if abandoned { fs::remove_file(&left) } else { Ok(()) } {
                // Somebody else who opens the store was quicker.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => other.map_err(at(&left))?,
            }
        }
        Ok(store)
    }

    /// The same store, for things that somebody holds. When the last holder of a content is erased, the content is.
    #[must_use]
    pub fn held_by(&self, holder: Holder) -> Store {
        Store { holder, ..self.clone() }
    }

    pub(crate) fn objects(&self) -> PathBuf {
        self.root.join("objects")
    }

    pub(crate) fn temporary(&self) -> PathBuf {
        self.root.join("tmp")
    }

    pub(crate) fn place(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        self.objects().join(&hex[..2]).join(&hex[2..])
    }

    /// Whether the artifact is here.
    pub fn has(&self, digest: &Digest) -> bool {
        self.place(digest).is_file() || self.bring_back(digest)
    }

    /// Opens the artifact to read. One that was written to since it was stored is read through first: if it is damaged, it is taken out of
    /// the store. One that is sealed is looked at as it is read.
    pub fn open(&self, digest: &Digest) -> Result<Content> {
        let place = self.place(digest);
        let file = self.file(digest).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => self.missing(digest),
            _ => StoreError::Io { path: place.clone(), error },
        })?;
        let date = file.metadata().and_then(|file| file.modified()).map_err(at(&place))?;
        let mut content = self.content(digest, file).inspect_err(|error| {
            if matches!(error, StoreError::Tampered(_)) {
                self.set_aside(digest);
            }
        })?;
        // Where things are sealed, what lies open is older than the keys, or was put there by somebody who has none.
        if date == untouched() && (content.is_sealed() || self.keys.is_none()) {
            return Ok(content);
        }
        let found = match hash(&mut content, &mut |_| Ok(())) {
            Ok((found, _)) => found,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                self.set_aside(digest);
                return Err(StoreError::Tampered(*digest));
            }
            Err(error) => return Err(at(&place)(error)),
        };
        if found != *digest {
            self.set_aside(digest);
            return Err(StoreError::Damaged { wanted: *digest, found });
        }
        // Only a convenience: without the date it is read through again the next time.
        let _ = File::open(&place).and_then(|file| file.set_modified(untouched()));
        content.rewind().map_err(at(&place))?;
        Ok(content)
    }

    /// The file of an artifact, from where it was set aside if need be.
    fn file(&self, digest: &Digest) -> io::Result<File> {
        match File::open(self.place(digest)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.bring_back(digest) => File::open(self.place(digest)),
            other => other,
        }
    }

    fn missing(&self, digest: &Digest) -> StoreError {
        match self.keys.as_ref().map(|keys| keys.was_erased(digest)) {
            Some(Ok(true)) => StoreError::Erased(*digest),
            _ => StoreError::Missing(*digest),
        }
    }

    /// The content of a file, by what it begins with.
    fn content(&self, digest: &Digest, mut file: File) -> Result<Content> {
        let number = head(&mut file).map_err(at(&self.root))?;
        let Some(number) = number else { return Ok(Content::plain(file)) };
        let Some(keys) = &self.keys else { return Err(StoreError::Keys(KeyError::NoKeys(self.root.clone()))) };
        let (key, sealed) = keys.file_key(&number).map_err(of_keys(digest))?;
        if sealed != *digest {
            // A sealed file in the place of another.
            return Err(StoreError::Tampered(*digest));
        }
        SealedReader::new(file, key).map(Content::sealed).map_err(of_keys(digest))
    }

    /// Opens the artifact to read; the reader fails at the end when the content was not what its name says.
    pub fn open_verified(&self, digest: &Digest) -> Result<Verified> {
        Ok(Verified { content: self.open(digest)?, hasher: Sha256::new(), wanted: *digest, ended: false })
    }

    /// Takes a damaged artifact out of the store. It is kept beside it, for people.
    pub(crate) fn set_aside(&self, digest: &Digest) {
        let damaged = self.root.join("damaged");
        let moved = fs::create_dir_all(&damaged).and_then(|()| fs::rename(self.place(digest), damaged.join(digest.hex())));
        if moved.is_err() {
            let _ = fs::remove_file(self.place(digest));
        }
    }

    /// Bytes of the artifact.
    pub fn size(&self, digest: &Digest) -> Result<u64> {
        let mut file = self.file(digest).map_err(|_| self.missing(digest))?;
        let length = file.metadata().map_err(at(&self.root))?.len();
        match head(&mut file).map_err(at(&self.root))? {
            None => Ok(length),
            Some(_) => keyring::plain_size(length).ok_or(StoreError::Tampered(*digest)),
        }
    }

    /// Stores what a reader gives, hashing on the way.
    pub fn put(&self, source: &mut dyn Read) -> Result<Put> {
        let staged = self.stage(source, false, &mut crate::to_the_end)?;
        let put = staged.put;
        self.keep(vec![staged])?;
        Ok(put)
    }

    /// Stores what a reader gives, when it is what it should be. Nothing is stored otherwise.
    pub fn put_expecting(&self, source: &mut dyn Read, wanted: &Digest, progress: Progress<'_>) -> Result<Put> {
        let staged = self.stage(source, true, progress)?;
        let put = staged.put;
        if put.digest != *wanted {
            return Err(StoreError::Damaged { wanted: *wanted, found: put.digest });
        }
        self.keep(vec![staged])?;
        Ok(put)
    }

    /// Stores bytes.
    pub fn put_bytes(&self, mut bytes: &[u8]) -> Result<Put> {
        self.put(&mut bytes)
    }

    /// Writes what a reader gives to a file of its own, hashing on the way.
    pub(crate) fn stage(&self, source: &mut dyn Read, may_list: bool, progress: Progress<'_>) -> Result<Staged> {
        let temporary = self.temporary();
        let mut file = tempfile::Builder::new().prefix(ours()).tempfile_in(&temporary).map_err(at(&temporary))?;
        // Held until it is closed: another process that opens the store meanwhile leaves the file alone.
        let _ = file.as_file().try_lock();
        let (mut written, mut stopped) = (0, false);
        let mut head = Vec::with_capacity(HEAD.len());
        let key = self.keys.as_ref().map(|_| FileKey::new()).transpose().map_err(StoreError::Keys)?;
        let mut sink = Sink::new(file.as_file_mut(), key.as_ref()).map_err(at(&temporary))?;
        let hashed = hash(source, &mut |bytes| {
            head.extend_from_slice(&bytes[..bytes.len().min(HEAD.len() - head.len())]);
            sink.write_all(bytes)?;
            written += bytes.len() as u64;
            stopped = progress(written).is_break();
            if stopped { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
        });
        if stopped {
            return Err(StoreError::Stopped);
        }
        let (digest, size) = hashed.map_err(at(&temporary))?;
        sink.finish().map_err(at(&temporary))?;
        if head == HEAD && !may_list {
            return Err(StoreError::ForgedListing);
        }
        Ok(Staged { path: file.into_temp_path(), put: Put { digest, size }, key })
    }

    /// Makes staged files durable and gives them their names. Nobody is told of one before: the content comes first, then the name.
    pub(crate) fn keep(&self, staged: Vec<Staged>) -> Result<()> {
        let placed = staged.into_iter().map(|staged| {
            let place = self.place(&staged.put.digest);
            (staged, place)
        });
        // What is there is held before anybody can erase it, and what is erased is gone before it is stored again.
        let storing = self.keys.as_ref().map(Keyring::storing);
        let (new, known): (Vec<(Staged, PathBuf)>, Vec<_>) = placed.partition(|(staged, _)| !self.is_kept(&staged.put.digest));
        if let Some(keys) = &self.keys {
            // Whoever brings what is there already holds it too.
            let known: Vec<Digest> = known.iter().map(|(staged, _)| staged.put.digest).collect();
            keys.hold(&known, self.holder).map_err(StoreError::Keys)?;
            // A key before its file has a name: a file without its key would be lost.
            let files = new.iter().filter_map(|(staged, _)| Some((staged.key.clone()?, staged.put.digest)));
            keys.keep_files(&files.collect::<Vec<_>>(), self.holder).map_err(StoreError::Keys)?;
        }
        let one_by_one = new.len() <= SYNC_EACH_MAX;
        for (staged, _) in &new {
            let file = File::open(&staged.path).map_err(at(&staged.path))?;
            finish(&file).map_err(at(&staged.path))?;
            if one_by_one {
                file.sync_all().map_err(at(&staged.path))?;
            }
        }
        if !one_by_one {
            let root = File::open(&self.root).map_err(at(&self.root))?;
            rustix::fs::syncfs(&root).map_err(at(&self.root))?;
        }
        let mut folders = std::collections::BTreeSet::new();
        for (staged, place) in new {
            let folder = place.parent().unwrap_or(&self.root).to_owned();
            self.make_folder(&folder)?;
            staged.path.persist(&place).map_err(|error| at(&place)(error.error))?;
            folders.insert(folder);
        }
        drop(storing);
        folders.iter().try_for_each(|folder| sync_folder(folder))
    }

    /// Whether a content is here and can be opened: what is left of one that was erased is nothing.
    fn is_kept(&self, digest: &Digest) -> bool {
        let Ok(file) = self.file(digest) else { return false };
        self.content(digest, file).is_ok()
    }

    /// Makes a folder for objects, durably.
    pub(crate) fn make_folder(&self, folder: &Path) -> Result<()> {
        match fs::create_dir(folder) {
            Ok(()) => sync_folder(&self.objects()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(at(folder)(error)),
        }
    }

    /// The listing that an artifact is, when it is one.
    pub fn listing(&self, digest: &Digest) -> Result<Option<Listing>> {
        let mut file = self.open(digest)?;
        let mut head = Vec::with_capacity(HEAD.len());
        (&mut file).take(HEAD.len() as u64).read_to_end(&mut head).map_err(reading(digest, &self.root))?;
        if head != HEAD || self.size(digest)? > LISTING_BYTES_MAX {
            return Ok(None);
        }
        let mut bytes = head;
        file.take(LISTING_BYTES_MAX).read_to_end(&mut bytes).map_err(reading(digest, &self.root))?;
        Ok(Listing::read(&bytes))
    }

    /// Removes an artifact. One that is not there is no error. The files of a directory stay: others may have them too.
    pub fn remove(&self, digest: &Digest) -> Result<()> {
        let place = self.place(digest);
        match fs::remove_file(&place) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(&place)(error)),
            _ => self.remove_aside(digest).map_err(at(&place)),
        }
    }

    /// Every file of the store with its size, in no order. What is removed meanwhile may be missing.
    pub fn list(&self) -> Result<impl Iterator<Item = (Digest, u64)> + use<>> {
        let objects = self.objects();
        let folders: Vec<PathBuf> =
            fs::read_dir(&objects).map_err(at(&objects))?.filter_map(|folder| Some(folder.ok()?.path())).collect();
        Ok(folders.into_iter().flat_map(|folder| {
            let first = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            let files = fs::read_dir(&folder).into_iter().flatten();
            files.filter_map(move |file| {
                let file = file.ok()?;
                let digest = format!("{first}{}", file.file_name().to_str()?).parse().ok()?;
                Some((digest, file.metadata().ok()?.len()))
            })
        }))
    }

    /// How much the store holds.
    pub fn usage(&self) -> Result<Usage> {
        let add = |usage: Usage, (_, size): (Digest, u64)| Usage { objects: usage.objects + 1, bytes: usage.bytes + size };
        Ok(self.list()?.fold(Usage::default(), add))
    }
}

/// Reads to the end, hashing, and hands on every piece.
pub(crate) fn hash(source: &mut dyn Read, piece: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<(Digest, u64)> {
    let (mut hasher, mut size, mut buffer) = (Sha256::new(), 0u64, vec![0u8; BUFFER_BYTES]);
    loop {
        let count = match source.read(&mut buffer) {
            Ok(0) => return Ok((Digest(hasher.finalize().into()), size)),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hasher.update(&buffer[..count]);
        piece(&buffer[..count])?;
        size += count as u64;
    }
}

/// Gives a file the mode and the date of everything in a store.
pub(crate) fn finish(file: &File) -> io::Result<()> {
    file.set_permissions(fs::Permissions::from_mode(0o444))?;
    file.set_modified(untouched())
}

pub(crate) fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(at(folder))
}

/// The number of the key of a sealed file; none of one that lies open. The file is at its beginning again.
fn head(file: &mut File) -> io::Result<Option<[u8; 16]>> {
    let mut head = Vec::with_capacity(keyring::HEAD_BYTES);
    file.take(keyring::HEAD_BYTES as u64).read_to_end(&mut head)?;
    file.rewind()?;
    Ok(keyring::sealed_head(&head))
}

/// Where the bytes of a new file go.
enum Sink<'f> {
    Plain(&'f mut File),
    Sealed(Box<SealedWriter<&'f mut File>>),
}

impl<'f> Sink<'f> {
    fn new(file: &'f mut File, key: Option<&FileKey>) -> io::Result<Sink<'f>> {
        match key {
            None => Ok(Sink::Plain(file)),
            Some(FileKey { number, key }) => Ok(Sink::Sealed(Box::new(SealedWriter::new(file, *number, key.clone())?))),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Sink::Plain(file) => file.write_all(bytes),
            Sink::Sealed(writer) => writer.write_all(bytes),
        }
    }

    fn finish(self) -> io::Result<()> {
        match self {
            Sink::Plain(_) => Ok(()),
            Sink::Sealed(writer) => writer.finish().map(drop),
        }
    }
}

/// An artifact that is checked while it is read.
pub struct Verified {
    content: Content,
    hasher: Sha256,
    wanted: Digest,
    ended: bool,
}

impl Read for Verified {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.content.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        if count == 0 && !buffer.is_empty() && !self.ended {
            self.ended = true;
            let found = Digest(self.hasher.finalize_reset().into());
            if found != self.wanted {
                return Err(io::Error::new(io::ErrorKind::InvalidData, StoreError::Damaged { wanted: self.wanted, found }));
            }
        }
        Ok(count)
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

    /// Changes an artifact behind the store's back.
    fn damage(store: &Store, digest: &Digest, hide: bool) {
        let place = store.place(digest);
        fs::set_permissions(&place, fs::Permissions::from_mode(0o644)).unwrap();
        fs::write(&place, "abX").unwrap();
        if hide {
            File::options().write(true).open(&place).unwrap().set_modified(untouched()).unwrap();
        }
    }

    #[test]
    fn what_is_put_comes_back_under_its_digest() {
        let (_folder, store) = store();
        let put = store.put_bytes(b"abc").unwrap();
        assert_eq!((put.digest, put.size), (Digest::of(b"abc"), 3));
        assert_eq!(store.put_bytes(b"abc").unwrap(), put);
        let mut text = String::new();
        store.open_verified(&put.digest).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "abc");
        store.put_bytes(b"defg").unwrap();
        assert_eq!(store.usage().unwrap(), Usage { objects: 2, bytes: 7 });
        assert!(store.list().unwrap().any(|entry| entry == (put.digest, 3)));
        store.remove(&put.digest).unwrap();
        store.remove(&put.digest).unwrap();
        assert!(matches!(store.open(&put.digest), Err(StoreError::Missing(_))));
    }

    #[test]
    fn an_artifact_that_was_written_to_is_found_out() {
        let (_folder, store) = store();
        let put = store.put_bytes(b"abc").unwrap();
        damage(&store, &put.digest, false);
        assert!(matches!(store.open(&put.digest), Err(StoreError::Damaged { .. })));
        assert!(!store.has(&put.digest) && store.root.join("damaged").join(put.digest.hex()).is_file());
        store.put_bytes(b"abc").unwrap();
        damage(&store, &put.digest, true);
        let mut bytes = Vec::new();
        let read = store.open_verified(&put.digest).unwrap().read_to_end(&mut bytes);
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn an_artifact_that_was_only_touched_is_believed_again() {
        let (_folder, store) = store();
        let put = store.put_bytes(b"abc").unwrap();
        let place = store.place(&put.digest);
        File::open(&place).unwrap().set_modified(SystemTime::now()).unwrap();
        let mut text = String::new();
        store.open(&put.digest).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "abc");
        assert_eq!(fs::metadata(&place).unwrap().modified().unwrap(), untouched());
    }

    #[test]
    fn nobody_but_the_store_makes_listings() {
        let (_folder, store) = store();
        let forged = format!(
            "{{\"format\":\"tutti-directory-1\",\"entries\":[{{\"path\":\"x\",\"digest\":\"{}\",\"size\":0}}]}}",
            Digest::of(b"")
        );
        assert!(matches!(store.put_bytes(forged.as_bytes()), Err(StoreError::ForgedListing)));
        assert_eq!(store.usage().unwrap().objects, 0);
    }

    #[test]
    fn what_a_killed_process_left_is_removed_and_what_is_being_written_is_not() {
        let (folder, store) = store();
        fs::write(store.temporary().join("half"), "x").unwrap();
        let mut source = Slow { store: folder.path().join("store"), left: 2 };
        assert_eq!(store.put(&mut source).unwrap().digest, Digest::of(b"xx"));
        assert!(!store.temporary().join("half").exists());
    }

    /// What was staged and had no name yet was once removed by whoever opened the same store.
    #[test]
    fn what_waits_for_its_name_outlives_an_opening_of_the_store() {
        let (folder, store) = store();
        let staged = store.stage(&mut &b"abc"[..], false, &mut crate::to_the_end).unwrap();
        Store::open_at(folder.path().join("store")).unwrap();
        store.keep(vec![staged]).unwrap();
        assert!(store.has(&Digest::of(b"abc")));
    }

    /// Opens the store anew while it is being read.
    struct Slow {
        store: PathBuf,
        left: usize,
    }

    impl Read for Slow {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            Store::open_at(&self.store).unwrap();
            buffer[0] = b'x';
            let count = self.left.min(1);
            self.left -= count;
            Ok(count)
        }
    }
}
