//! Orders to the wrapper: a named pipe in the attempt's folder, so that a server that was restarted can give them too.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

const PIPE: &str = "control";

/// The reading end.
pub(crate) struct Control(File);

/// Makes the pipe, before the wrapper is started.
pub(crate) fn make(folder: &Path) -> std::io::Result<()> {
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    match rustix::fs::mknodat(rustix::fs::CWD, folder.join(PIPE), rustix::fs::FileType::Fifo, mode, 0) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Takes the pipe away when the attempt is over: whoever reads the files of a folder would wait at it for ever.
pub(crate) fn remove(folder: &Path) {
    // What cannot be removed is found again by the sweep of old logs.
    let _ = std::fs::remove_file(folder.join(PIPE));
}

fn open_pipe(folder: &Path) -> std::io::Result<File> {
    // Open for both, so that the pipe has a reader and a writer at all times: no end of file, no waiting to open.
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOFOLLOW;
    let pipe = OpenOptions::new().read(true).write(true).custom_flags(flags.bits() as i32).open(folder.join(PIPE))?;
    // The process could have put anything there, and orders are not written into just any file.
    if std::os::unix::fs::FileTypeExt::is_fifo(&pipe.metadata()?.file_type()) {
        return Ok(pipe);
    }
    Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, "the control pipe is not a pipe"))
}

/// Opens the reading end.
pub(crate) fn open(folder: &Path) -> std::io::Result<Control> {
    open_pipe(folder).map(Control)
}

/// Asks the wrapper to stop its process, by force after `grace`.
pub(crate) fn ask_to_stop(folder: &Path, grace: Duration) -> std::io::Result<()> {
    open_pipe(folder)?.write_all(format!("{}\n", grace.as_millis()).as_bytes())
}

impl Control {
    /// The pause before force, when an order to stop has come.
    pub(crate) fn order(&self) -> Option<Duration> {
        let mut bytes = [0; 256];
        let count = (&self.0).read(&mut bytes).ok()?;
        let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
        text.lines().filter_map(|line| line.parse().ok()).min().map(Duration::from_millis)
    }
}

impl AsFd for Control {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
