//! Laying artifacts out for a process to read.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use model::value::ArtifactKind;
use model::{ArtifactRef, Digest};

use crate::error::{Result, at, reading};
use crate::{Content, Store, StoreError};

/// Files from this size on are shared with the store where the file system allows; what is written to one is found out, see
/// [`Store::open`]. Smaller ones are copied.
const SHARED_BYTES_MIN: u64 = 16 << 20;

impl Store {
    /// Lays an artifact out at `to`, to be read and not written: a file, or a folder for a directory.
    pub fn lay_out(&self, artifact: &ArtifactRef, to: &Path) -> Result<()> {
        if artifact.kind != ArtifactKind::Directory {
            return self.lay_out_file(&artifact.digest, to, false);
        }
        let listing = self.listing(&artifact.digest)?.ok_or(StoreError::Missing(artifact.digest))?;
        fs::create_dir_all(to).map_err(at(to))?;
        for entry in &listing.entries {
            let file = to.join(&entry.path);
            let folder = file.parent().unwrap_or(to);
            fs::create_dir_all(folder).map_err(at(folder))?;
            self.lay_out_file(&entry.digest, &file, entry.executable)?;
        }
        Ok(())
    }

    fn lay_out_file(&self, digest: &Digest, to: &Path, executable: bool) -> Result<()> {
        let source = self.open(digest)?;
        let shared = !executable && !source.is_sealed() && self.size(digest)? >= SHARED_BYTES_MIN;
        if shared && fs::hard_link(self.place(digest), to).is_ok() {
            return Ok(());
        }
        self.copy(digest, source, to, if executable { 0o555 } else { 0o444 })
    }

    /// Copies a file out. The copy is the caller's to change.
    pub fn copy_out(&self, digest: &Digest, to: &Path, executable: bool) -> Result<()> {
        self.copy(digest, self.open(digest)?, to, if executable { 0o755 } else { 0o644 })
    }

    fn copy(&self, digest: &Digest, source: Content, to: &Path, mode: u32) -> Result<()> {
        let mut target = File::create_new(to).map_err(at(to))?;
        if let Err(error) = source.copy_to(&mut target).map_err(reading(digest, to)) {
            // Half of a content is nobody's.
            let _ = fs::remove_file(to);
            if matches!(error, StoreError::Tampered(_)) {
                self.set_aside(digest);
            }
            return Err(error);
        }
        target.set_permissions(fs::Permissions::from_mode(mode)).map_err(at(to))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write as _};

    use super::*;

    #[test]
    fn what_is_laid_out_is_not_written_to_unnoticed() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open_at(folder.path().join("store")).unwrap();
        let put = store.put(&mut io::Read::take(io::repeat(7), SHARED_BYTES_MIN)).unwrap();
        let artifact = ArtifactRef { digest: put.digest, size: put.size, kind: ArtifactKind::File, name: "f".into() };
        let laid = folder.path().join("laid");
        store.lay_out(&artifact, &laid).unwrap();
        assert_eq!(fs::metadata(&laid).unwrap().permissions().mode() & 0o777, 0o444);
        store.open(&put.digest).unwrap();
        // A process that insists: it owns the file.
        fs::set_permissions(&laid, fs::Permissions::from_mode(0o644)).unwrap();
        File::options().write(true).open(&laid).unwrap().write_all(b"x").unwrap();
        assert!(matches!(store.open(&put.digest), Err(StoreError::Damaged { .. })));
        assert!(matches!(store.lay_out(&artifact, &folder.path().join("again")), Err(StoreError::Missing(_))));
    }

    #[test]
    fn copies_belong_to_the_caller() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open_at(folder.path().join("store")).unwrap();
        let put = store.put_bytes(b"abc").unwrap();
        let to = folder.path().join("copy");
        store.copy_out(&put.digest, &to, false).unwrap();
        fs::write(&to, "changed").unwrap();
        store.open(&put.digest).unwrap();
    }
}
