//! One process owns a data directory: a locked file says which, and where it listens.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use crate::{Fault, FaultKind};

/// The name of the locked file in the directory.
pub(crate) const FILE: &str = "owner";
/// How often the lock is tried: whoever only asks who the owner is holds it for a moment.
const TRIES: u32 = 10;
/// The pause between.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(10);

/// The ownership of a data directory. It ends with the process, however that ends.
pub struct Owner {
    file: File,
}

impl Owner {
    /// Takes the directory, or says who has it.
    #[expect(clippy::disallowed_methods, reason = "nothing tells when a look at the lock is over, and it is over in a moment")]
    pub fn take(data: &Path) -> Result<Owner, Fault> {
        let unusable =
            |error: std::io::Error| Fault::new(FaultKind::DataDirectory, format!("`{}` cannot be used: {error}", data.display()));
        std::fs::create_dir_all(data).map_err(unusable)?;
        if let Some(Ok(above)) = data.canonicalize().map_err(unusable)?.parent().map(File::open) {
            // The name of a new directory is to survive a power cut as well as what is in it.
            above.sync_all().map_err(unusable)?;
        }
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(data.join(FILE));
        let file = options.map_err(unusable)?;
        let mut tries = TRIES;
        while flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            tries -= 1;
            if tries > 0 {
                std::thread::sleep(PAUSE);
                continue;
            }
            let who = holder(data).unwrap_or_else(|| "another process".into());
            let fault = Fault::new(FaultKind::DataDirectoryInUse, format!("`{}` is owned by {who}", data.display()));
            return Err(fault.hint("use that server (--server), stop it, or give another directory with --data"));
        }
        // Where an earlier owner listened is nobody's address any more.
        file.set_len(0).map_err(unusable)?;
        Ok(Owner { file })
    }

    /// Whether the directory is still there: without it nothing that is written can be found again.
    pub(crate) fn is_there(&self) -> bool {
        // One that cannot be asked is not known to be gone.
        self.file.metadata().map_or(true, |file| file.nlink() > 0)
    }

    /// Tells others where the owner listens.
    pub fn announce(&mut self, address: &str) -> std::io::Result<()> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(address.as_bytes())?;
        self.file.sync_data()
    }
}

/// Where the owner of a directory listens; none when nobody owns it.
pub fn holder(data: &Path) -> Option<String> {
    let mut file = OpenOptions::new().read(true).write(true).open(data.join(FILE)).ok()?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
        return None;
    }
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    Some(if text.is_empty() { "a server that is starting".into() } else { text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(holder(folder.path()), None);
        let mut owner = Owner::take(folder.path()).unwrap();
        owner.announce("http://127.0.0.1:1").unwrap();
        assert_eq!(holder(folder.path()).as_deref(), Some("http://127.0.0.1:1"));
        assert_eq!(Owner::take(folder.path()).err().map(|fault| fault.kind), Some(FaultKind::DataDirectoryInUse));
        drop(owner);
        let owner = Owner::take(folder.path()).unwrap();
        assert!(owner.is_there());
        std::fs::remove_dir_all(folder.path()).unwrap();
        assert!(!owner.is_there());
    }
}
