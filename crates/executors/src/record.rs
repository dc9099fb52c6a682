//! The completion record: what decides how a process ended. It is created once; whoever comes second finds it there.
//!
//! It is not synced. It has to survive the server, and pages of the kernel do; when the machine itself went down, neither the record nor
//! the outputs beside it can be trusted, and the boot's id in it says so.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use model::{AttemptKey, Epoch, Failure};

use crate::shim::NOTE_BYTES_MAX;

/// What the wrapper of a process leaves behind.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct CompletionRecord {
    pub(crate) attempt: AttemptKey,
    pub(crate) epoch: Epoch,
    /// None when it ended well.
    pub(crate) failure: Option<Failure>,
    /// Whether it was stopped on request.
    pub(crate) stopped: bool,
    pub(crate) usage: engine::event::Usage,
    /// Limits that could not be enforced here.
    pub(crate) unenforced: Vec<String>,
    /// The boot of the machine it was written in.
    pub(crate) boot: String,
}

pub(crate) const FILE: &str = "result.json";
/// A record is this large at most: its longest part is the message of a failure, which has a limit.
const RESERVED_BYTES: usize = 16 << 10;

/// What names this boot of the machine.
pub(crate) fn boot() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

fn beside(folder: &Path) -> PathBuf {
    folder.join(format!(".{FILE}.{}", std::process::id()))
}

/// Takes the space that a record will need. None when there is none.
pub(crate) fn reserve(folder: &Path) -> Option<File> {
    let path = beside(folder);
    let mut file = File::create(&path).ok()?;
    let written = file.write_all(&[b' '; RESERVED_BYTES]);
    written.is_ok().then_some(file)
}

impl CompletionRecord {
    /// Writes the record unless there is one. True when this one is it.
    pub(crate) fn create(&self, folder: &Path, reserved: Option<File>) -> io::Result<bool> {
        use std::os::unix::fs::FileExt as _;
        let beside = beside(folder);
        let bytes = serde_json::to_vec(self)?;
        match reserved {
            // Spaces after it do no harm to JSON.
            Some(file) => file.write_all_at(&bytes, 0)?,
            None => File::create(&beside)?.write_all(&bytes)?,
        }
        // Linking fails when the name is taken: created once, by one.
        let linked = std::fs::hard_link(&beside, folder.join(FILE));
        std::fs::remove_file(&beside)?;
        match linked {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            other => other.map(|()| true),
        }
    }

    /// The record, when there is one.
    pub(crate) fn read(folder: &Path) -> Option<CompletionRecord> {
        serde_json::from_slice(&read_note(folder, FILE).ok()?).ok()
    }
}

/// Opens a file by its own name: never a link, and never waiting for the other end of a pipe.
pub(crate) fn open_plain(path: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file")) }
}

/// Reads a file that wrapper and server leave each other. The process could have put anything there.
pub(crate) fn read_note(folder: &Path, name: &str) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_plain(&folder.join(name))?.take(NOTE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > NOTE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than anything that belongs there"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::event::Usage;

    fn record(epoch: u64) -> CompletionRecord {
        let attempt = "tutti-1-2-3".parse().unwrap();
        CompletionRecord {
            attempt,
            epoch: Epoch(epoch),
            failure: None,
            stopped: false,
            usage: Usage::default(),
            unenforced: Vec::new(),
            boot: boot(),
        }
    }

    #[test]
    fn the_first_record_stays() {
        let folder = tempfile::tempdir().unwrap();
        assert!(CompletionRecord::read(folder.path()).is_none());
        assert!(record(1).create(folder.path(), reserve(folder.path())).unwrap());
        assert!(!record(2).create(folder.path(), None).unwrap());
        assert_eq!(CompletionRecord::read(folder.path()), Some(record(1)));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn only_files_are_read_as_records() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
        assert!(CompletionRecord::read(folder.path()).is_none());
        std::fs::remove_file(&path).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
        assert!(CompletionRecord::read(folder.path()).is_none());
        std::fs::remove_file(&path).unwrap();
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        assert!(CompletionRecord::read(folder.path()).is_none());
    }
}
