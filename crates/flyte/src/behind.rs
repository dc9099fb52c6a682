//! Large objects that lie in a bucket, and what is kept of them here: in the place of each a small file that says where, and copies of those that were
//! written or read of late.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use model::Digest;

use crate::bucket::Bucket;

/// Bytes of copies that are kept, unless one alone is larger.
const KEPT_BYTES_MAX: u64 = 4 << 30;

/// What lies in a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stub {
    /// What it is called there.
    pub(crate) name: String,
    /// Its bytes there.
    pub(crate) size: u64,
    /// Whether they are sealed.
    pub(crate) is_sealed: bool,
}

impl Stub {
    /// What a small file says.
    pub(crate) fn read(place: &Path) -> io::Result<Stub> {
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, "what says where an object lies is damaged");
        let text = fs::read_to_string(place)?;
        let [name, size, form] = text.split_whitespace().collect::<Vec<_>>()[..] else { return Err(damaged()) };
        let is_sealed = match form {
            "sealed" => true,
            "open" => false,
            _ => return Err(damaged()),
        };
        Ok(Stub { name: name.to_owned(), size: size.parse().map_err(|_| damaged())?, is_sealed })
    }

    /// Writes such a file.
    pub(crate) fn write(&self, place: &Path) -> io::Result<()> {
        let form = if self.is_sealed { "sealed" } else { "open" };
        fs::write(place, format!("{} {} {form}\n", self.name, self.size))?;
        File::open(place)?.sync_all()
    }
}

/// A bucket with the copies of what lies there. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Behind {
    bucket: Bucket,
    copies: Arc<PathBuf>,
}

static NEXT: AtomicU64 = AtomicU64::new(0);

impl Behind {
    /// Opens the folder of copies, which is made when it is not there.
    pub(crate) fn open(bucket: Bucket, copies: PathBuf) -> io::Result<Behind> {
        fs::create_dir_all(&copies)?;
        for entry in fs::read_dir(&copies)? {
            let place = entry?.path();
            // What a killed server left half copied.
            if place.extension().is_some() {
                fs::remove_file(place)?;
            }
        }
        Ok(Behind { bucket, copies: Arc::new(copies) })
    }

    /// Takes a file: it lies in the bucket from now on, and what is left here is a copy.
    pub(crate) fn take(&self, file: &Path, size: u64, is_sealed: bool) -> io::Result<Stub> {
        let name = fresh_name(file);
        self.bucket.put(&name, file)?;
        self.make_room(size)?;
        fs::rename(file, self.copies.join(&name))?;
        Ok(Stub { name, size, is_sealed })
    }

    /// Opens what lies in the bucket, through a copy.
    pub(crate) fn open_file(&self, stub: &Stub) -> io::Result<File> {
        let place = self.copies.join(&stub.name);
        match File::open(&place) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            file => return file,
        }
        self.make_room(stub.size)?;
        // Of two that come at once each makes a copy, and one of them stays.
        let beside = place.with_extension(format!("{}", NEXT.fetch_add(1, Ordering::Relaxed)));
        let copied = File::create(&beside).and_then(|mut file| self.bucket.get(&stub.name, &mut file));
        match copied {
            Ok(size) if size == stub.size => {}
            other => {
                let _ = fs::remove_file(&beside);
                let why = other.err().unwrap_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "an object in the bucket has another size"));
                return Err(why);
            }
        }
        let file = File::open(&beside)?;
        fs::rename(&beside, &place)?;
        Ok(file)
    }

    /// Removes what belongs to no object any more.
    pub(crate) fn forget(&self, stub: &Stub) -> io::Result<()> {
        let _ = fs::remove_file(self.copies.join(&stub.name));
        self.bucket.delete(&stub.name)
    }

    /// Removes the oldest copies until one more of this size has room.
    fn make_room(&self, size: u64) -> io::Result<()> {
        let mut copies = Vec::new();
        for entry in fs::read_dir(&*self.copies)? {
            let entry = entry?;
            // It may have gone meanwhile.
            if let Ok(file) = entry.metadata() {
                copies.push((file.accessed().or_else(|_| file.modified())?, file.len(), entry.path()));
            }
        }
        copies.sort();
        let mut kept: u64 = copies.iter().map(|(_, bytes, _)| bytes).sum();
        for (_, bytes, place) in copies {
            if kept.saturating_add(size) <= KEPT_BYTES_MAX {
                break;
            }
            // Whoever has it open reads on.
            let _ = fs::remove_file(place);
            kept = kept.saturating_sub(bytes);
        }
        Ok(())
    }
}

/// A name that nothing in the bucket has: of the time, of this process and of the file that is taken.
fn fresh_name(file: &Path) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let text = format!("{now} {} {} {}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed), file.display());
    Digest::of(text.as_bytes()).hex()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_says_where_an_object_lies_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("x@");
        for is_sealed in [true, false] {
            let stub = Stub { name: fresh_name(&place), size: 7 << 20, is_sealed };
            stub.write(&place).unwrap();
            assert_eq!(Stub::read(&place).unwrap(), stub);
        }
        for damaged in ["", "a", "a b sealed", "a 1 sealed more", "a 1 closed"] {
            fs::write(&place, damaged).unwrap();
            assert_eq!(Stub::read(&place).unwrap_err().kind(), io::ErrorKind::InvalidData, "{damaged}");
        }
        assert_ne!(fresh_name(&place), fresh_name(&place));
    }
}
