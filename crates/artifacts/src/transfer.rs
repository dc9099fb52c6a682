//! Transfers between stores.

use std::ops::ControlFlow;

use model::Digest;

use crate::error::Result;
use crate::{Store, StoreError};

/// Where a transfer stands: told the bytes moved so far, it says whether to go on.
pub type Progress<'p> = &'p mut dyn FnMut(u64) -> ControlFlow<()>;

/// Whoever wants all of it.
pub fn to_the_end(_moved: u64) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Brings an artifact from one store to another, verifying what is read. What is there already is not moved again, so that a transfer that
/// broke off goes on where it was, file by file; the answer is the number of bytes that were moved.
///
/// The listing of a directory comes after its files: whoever sees it there finds all it lists.
pub fn transfer(from: &Store, to: &Store, digest: &Digest, progress: Progress<'_>) -> Result<u64> {
    let mut moved = 0;
    let listing = match to.listing(digest) {
        // It is there whole, unless files of it were removed since.
        Ok(listing) => listing,
        Err(StoreError::Missing(_) | StoreError::Damaged { .. } | StoreError::Tampered(_)) => from.listing(digest)?,
        Err(error) => return Err(error),
    };
    for entry in listing.iter().flat_map(|listing| &listing.entries) {
        moved += bring(from, to, &entry.digest, moved, progress)?;
    }
    Ok(moved + bring(from, to, digest, moved, progress)?)
}

fn bring(from: &Store, to: &Store, digest: &Digest, before: u64, progress: Progress<'_>) -> Result<u64> {
    if to.has(digest) {
        return Ok(0);
    }
    let mut source = from.open(digest)?;
    match to.put_expecting(&mut source, digest, &mut |bytes| progress(before + bytes)) {
        Ok(put) => Ok(put.size),
        Err(error @ StoreError::Damaged { .. }) => {
            from.set_aside(digest);
            Err(error)
        }
        // Only what is read can say so.
        Err(StoreError::Io { error, .. }) if error.kind() == std::io::ErrorKind::InvalidData => {
            from.set_aside(digest);
            Err(StoreError::Tampered(*digest))
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn stores() -> (tempfile::TempDir, Store, Store) {
        let folder = tempfile::tempdir().unwrap();
        let open = |name: &str| Store::open_at(folder.path().join(name)).unwrap();
        let (from, to) = (open("from"), open("to"));
        (folder, from, to)
    }

    #[test]
    fn a_transfer_that_is_stopped_leaves_nothing() {
        let (_folder, from, to) = stores();
        let put = from.put(&mut vec![7u8; 3 << 20].as_slice()).unwrap();
        let mut seen = 0;
        let mut until = |bytes| {
            seen = bytes;
            if bytes < 1 << 20 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        assert!(matches!(transfer(&from, &to, &put.digest, &mut until), Err(StoreError::Stopped)));
        assert!(seen < put.size, "it went on to its end: {seen}");
        assert!(!to.has(&put.digest));
        // Wanted again, it is brought.
        assert_eq!(transfer(&from, &to, &put.digest, &mut to_the_end).unwrap(), put.size);
    }

    #[test]
    fn a_transfer_that_broke_off_goes_on() {
        let (folder, from, to) = stores();
        let source = folder.path().join("d");
        fs::create_dir_all(source.join("sub")).unwrap();
        for (name, text) in [("a", "aaa"), ("b", "bb"), ("sub/c", "c")] {
            fs::write(source.join(name), text).unwrap();
        }
        let put = from.put_directory(&source).unwrap();
        let missing = Digest::of(b"c");
        from.remove(&missing).unwrap();
        assert!(
            matches!(transfer(&from, &to, &put.digest, &mut to_the_end), Err(StoreError::Missing(digest)) if digest == missing)
        );
        // A listing that is there says that all of it is there.
        assert!(to.has(&Digest::of(b"aaa")) && !to.has(&put.digest));
        from.put_bytes(b"c").unwrap();
        let mut seen = Vec::new();
        let moved = transfer(&from, &to, &put.digest, &mut |bytes| {
            seen.push(bytes);
            ControlFlow::Continue(())
        })
        .unwrap();
        assert_eq!(moved, 1 + from.size(&put.digest).unwrap());
        assert_eq!(seen.last(), Some(&moved));
        assert_eq!(transfer(&from, &to, &put.digest, &mut to_the_end).unwrap(), 0);
    }

    #[test]
    fn damage_does_not_spread_even_when_it_hides() {
        let (_folder, from, to) = stores();
        let put = from.put_bytes(b"abc").unwrap();
        let place = from.place(&put.digest);
        let date = fs::metadata(&place).unwrap().modified().unwrap();
        fs::set_permissions(&place, fs::Permissions::from_mode(0o644)).unwrap();
        fs::write(&place, "abX").unwrap();
        fs::File::options().write(true).open(&place).unwrap().set_modified(date).unwrap();
        assert!(matches!(transfer(&from, &to, &put.digest, &mut to_the_end), Err(StoreError::Damaged { .. })));
        assert!(!to.has(&put.digest) && !from.has(&put.digest), "what is damaged is nobody's artifact");
    }
}
