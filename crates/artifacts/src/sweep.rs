//! Taking out of a store what nobody refers to any more, in two steps: it is set aside first, and removed when it has lain aside for as long
//! as it had to be unwanted before. Whoever asks for it meanwhile gets it back, so that a sweep that knew too little loses nothing.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use model::Digest;

use crate::error::{Result, at};
use crate::store::sync_folder;
use crate::{Store, StoreError};

/// What a sweep did, or would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Swept {
    /// Files that nobody refers to any more and that were set aside.
    pub set_aside: u64,
    /// Files that lay aside and are referred to again.
    pub restored: u64,
    /// Files that had lain aside long enough and are gone.
    pub removed: u64,
    /// Bytes of those.
    pub bytes: u64,
}

impl Swept {
    /// The sum of two.
    pub fn plus(self, other: Swept) -> Swept {
        Swept {
            set_aside: self.set_aside + other.set_aside,
            restored: self.restored + other.restored,
            removed: self.removed + other.removed,
            bytes: self.bytes + other.bytes,
        }
    }
}

/// What a sweep goes by.
pub struct Sweeping<'s> {
    /// What is referred to. The files of directories among it are found by the sweep itself.
    pub wanted: &'s HashSet<Digest>,
    /// How long a file has to have been in its place: what was stored a moment ago may not be referred to yet.
    pub grace: Duration,
    /// The time now.
    pub now: SystemTime,
    /// Whether to count alone.
    pub dry_run: bool,
    /// Called before every change, and for every file that is looked at. An error ends the sweep where it is.
    pub step: &'s mut dyn FnMut() -> io::Result<()>,
    /// Called with everything that was removed.
    pub removed: &'s mut dyn FnMut(Digest),
}

impl Store {
    /// Where files lie that are set aside.
    fn aside(&self) -> PathBuf {
        self.root.join("aside")
    }

    /// Puts what was set aside back in its place. False when it was not.
    pub(crate) fn bring_back(&self, digest: &Digest) -> bool {
        let (from, to) = (self.aside().join(digest.hex()), self.place(digest));
        // The common case is that there is no such file.
        if !from.exists() {
            return false;
        }
        let Some(folder) = to.parent() else { return false };
        self.make_folder(folder).is_ok() && fs::rename(&from, &to).is_ok() && sync_folder(folder).is_ok()
    }

    /// Whether something of a digest lies here, in its place or aside.
    pub fn has_any(&self, digest: &Digest) -> bool {
        self.place(digest).exists() || self.aside().join(digest.hex()).exists()
    }

    /// Removes what was set aside under a digest.
    pub(crate) fn remove_aside(&self, digest: &Digest) -> io::Result<()> {
        match fs::remove_file(self.aside().join(digest.hex())) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Sets aside what is not wanted, and removes what has lain aside for long enough. It can be stopped anywhere and done again.
    pub fn sweep(&self, mut sweeping: Sweeping<'_>) -> Result<Swept> {
        let aside = self.aside();
        if !sweeping.dry_run {
            fs::create_dir_all(&aside).map_err(at(&aside))?;
        }
        let mut swept = Swept::default();
        let wanted = self.with_listed(&mut sweeping, &mut swept)?;
        // Before others are set aside: nothing goes both steps in one sweep.
        self.remove_old(&wanted, &mut sweeping, &mut swept)?;
        for (digest, _) in self.list()? {
            (sweeping.step)().map_err(at(&self.root))?;
            let place = self.place(&digest);
            if wanted.contains(&digest) || !is_older(&place, &sweeping) {
                continue;
            }
            if !sweeping.dry_run {
                match fs::rename(&place, aside.join(digest.hex())) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    other => other.map_err(at(&place))?,
                }
            }
            swept.set_aside += 1;
        }
        if sweeping.dry_run { Ok(swept) } else { sync_folder(&aside).map(|()| swept) }
    }

    /// What is wanted, with the files of directories among it. What of it lies aside is put back.
    fn with_listed(&self, sweeping: &mut Sweeping<'_>, swept: &mut Swept) -> Result<HashSet<Digest>> {
        let mut wanted = sweeping.wanted.clone();
        for digest in sweeping.wanted {
            (sweeping.step)().map_err(at(&self.root))?;
            swept.restored += u64::from(self.return_wanted(digest, sweeping.dry_run));
            if !self.place(digest).is_file() {
                continue;
            }
            match self.listing(digest) {
                Ok(listing) => wanted.extend(listing.iter().flat_map(|listing| &listing.entries).map(|entry| entry.digest)),
                // It holds nothing that could be read.
                Err(StoreError::Missing(_) | StoreError::Damaged { .. } | StoreError::Tampered(_) | StoreError::Erased(_)) => {}
                Err(error) => return Err(error),
            }
        }
        for digest in wanted.difference(sweeping.wanted) {
            swept.restored += u64::from(self.return_wanted(digest, sweeping.dry_run));
        }
        Ok(wanted)
    }

    fn return_wanted(&self, digest: &Digest, dry_run: bool) -> bool {
        if dry_run { self.aside().join(digest.hex()).exists() } else { self.bring_back(digest) }
    }

    fn remove_old(&self, wanted: &HashSet<Digest>, sweeping: &mut Sweeping<'_>, swept: &mut Swept) -> Result<()> {
        let aside = self.aside();
        let Ok(lying) = fs::read_dir(&aside) else { return Ok(()) };
        for file in lying {
            let file = file.map_err(at(&aside))?;
            (sweeping.step)().map_err(at(&aside))?;
            let digest: Option<Digest> = file.file_name().to_str().and_then(|name| name.parse().ok());
            let path = file.path();
            let Some(digest) = digest.filter(|digest| !wanted.contains(digest) && is_older(&path, sweeping)) else { continue };
            let bytes = file.metadata().map_or(0, |found| found.len());
            if !sweeping.dry_run {
                match fs::remove_file(&path) {
                    // Somebody asked for it just now.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    other => other.map_err(at(&path))?,
                }
                (sweeping.removed)(digest);
            }
            swept.removed += 1;
            swept.bytes += bytes;
        }
        Ok(())
    }
}

/// Whether a file has been where it is for longer than the grace. Its own date says nothing: everything in a store has the same. The
/// time of its last change of state is that of its last change of name.
fn is_older(file: &Path, sweeping: &Sweeping<'_>) -> bool {
    let Ok(found) = fs::symlink_metadata(file) else { return false };
    let since = SystemTime::UNIX_EPOCH + Duration::new(found.ctime().max(0).unsigned_abs(), found.ctime_nsec().max(0) as u32);
    sweeping.now.duration_since(since).is_ok_and(|age| age >= sweeping.grace)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(3_600);

    struct Place {
        folder: tempfile::TempDir,
        store: Store,
        wanted: HashSet<Digest>,
    }

    /// A store with a wanted file, a wanted directory of two files, and three that nobody wants.
    fn place() -> Place {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open_at(folder.path().join("store")).unwrap();
        let source = folder.path().join("d");
        fs::create_dir(&source).unwrap();
        fs::write(source.join("a"), "aaa").unwrap();
        fs::write(source.join("b"), "bb").unwrap();
        let wanted = HashSet::from([store.put_bytes(b"wanted").unwrap().digest, store.put_directory(&source).unwrap().digest]);
        for text in ["x", "yy", "zzz"] {
            store.put_bytes(text.as_bytes()).unwrap();
        }
        Place { folder, store, wanted }
    }

    impl Place {
        /// Sweeps as if so many hours had passed, at most so many steps far.
        fn sweep(&self, hours: u64, steps: usize) -> Result<Swept> {
            let mut left = steps;
            let mut step = || {
                left = left.checked_sub(1).ok_or_else(|| io::Error::other("stopped"))?;
                Ok(())
            };
            let now = SystemTime::now() + Duration::from_secs(hours * 3_600 + 60);
            let removed = &mut |_: Digest| {};
            self.store.sweep(Sweeping { wanted: &self.wanted, grace: GRACE, now, dry_run: false, step: &mut step, removed })
        }

        fn all_wanted_is_there(&self) -> bool {
            let files = [&b"wanted"[..], b"aaa", b"bb"].map(Digest::of);
            files.iter().chain(&self.wanted).all(|digest| self.store.open(digest).is_ok())
        }
    }

    #[test]
    fn what_nobody_wants_goes_in_two_steps_and_what_is_young_stays() {
        let place = place();
        assert_eq!(place.sweep(0, usize::MAX).unwrap(), Swept::default(), "it was stored a moment ago");
        let first = place.sweep(1, usize::MAX).unwrap();
        assert_eq!((first.set_aside, first.removed), (3, 0));
        assert_eq!(place.store.usage().unwrap().objects, 4, "a file, two of a directory, and the directory");
        // Nobody asked for it.
        let second = place.sweep(1, usize::MAX).unwrap();
        assert_eq!(second, Swept { removed: 3, bytes: 6, ..Swept::default() });
        assert!(!place.store.has(&Digest::of(b"x")) && place.all_wanted_is_there());
        assert_eq!(place.sweep(9, usize::MAX).unwrap(), Swept::default());
    }

    #[test]
    fn whoever_asks_for_what_lies_aside_has_it() {
        let mut place = place();
        let [x, y, z] = [&b"x"[..], b"yy", b"zzz"].map(Digest::of);
        place.sweep(1, usize::MAX).unwrap();
        assert!(place.store.open(&x).is_ok(), "it is read");
        assert_eq!(place.store.put_bytes(b"yy").unwrap().digest, y, "it is made again");
        place.wanted.insert(z);
        let again = place.sweep(0, usize::MAX).unwrap();
        assert_eq!((again.restored, again.set_aside, again.removed), (1, 0, 0));
        assert_eq!(place.store.usage().unwrap().objects, 7);
        let other = Store::open_at(place.folder.path().join("other")).unwrap();
        assert_eq!(crate::transfer(&place.store, &other, &x, &mut crate::to_the_end).unwrap(), 1);
    }

    #[test]
    fn a_sweep_that_stops_anywhere_is_done_again() {
        for steps in 0.. {
            let place = place();
            let broke_off = place.sweep(1, steps).is_err() | place.sweep(1, steps).is_err();
            assert!(place.all_wanted_is_there(), "after {steps} steps");
            place.sweep(1, usize::MAX).unwrap();
            place.sweep(1, usize::MAX).unwrap();
            assert!(place.all_wanted_is_there() && place.store.usage().unwrap().objects == 4, "after {steps} steps");
            if !broke_off {
                assert!(steps > 5, "{steps} steps are all");
                return;
            }
        }
    }

    #[test]
    fn counting_changes_nothing() {
        let place = place();
        let now = SystemTime::now() + GRACE + GRACE;
        let removed = &mut |digest: Digest| assert_eq!(digest.hex(), "", "nothing is removed");
        let sweeping = Sweeping { wanted: &place.wanted, grace: GRACE, now, dry_run: true, step: &mut || Ok(()), removed };
        assert_eq!(place.store.sweep(sweeping).unwrap().set_aside, 3);
        assert_eq!(place.store.usage().unwrap().objects, 7);
        assert!(!place.store.aside().exists());
    }
}
