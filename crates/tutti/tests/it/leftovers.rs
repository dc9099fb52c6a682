//! What a server leaves running: its attempts are made to outlive it, and a test is not.

use std::fs::{File, OpenOptions, read_dir};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The longest that is waited for them to be gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// Ends every attempt in a data directory at once, and waits until the wrappers are gone. The server is gone already.
#[expect(clippy::disallowed_methods, reason = "another process is looked at again, with a deadline: it tells nobody here")]
pub(crate) fn end(data: &Path) {
    let folders = |folder: &Path| read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect::<Vec<_>>();
    let attempts: Vec<PathBuf> = folders(&data.join("sites")).iter().flat_map(|site| folders(&site.join("attempts"))).collect();
    for attempt in &attempts {
        if let Ok(mut control) = open(&attempt.join("control")) {
            // A grace of nothing. Without a wrapper nobody reads it.
            let _ = control.write_all(b"0\n");
        }
    }
    let until = Instant::now() + PATIENCE;
    while attempts.iter().any(|attempt| is_served(attempt)) && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn open(pipe: &Path) -> std::io::Result<File> {
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOFOLLOW;
    OpenOptions::new().read(true).write(true).custom_flags(flags.bits().cast_signed()).open(pipe)
}

/// Whether a wrapper is still at it: one of this test's program.
fn is_served(attempt: &Path) -> bool {
    let owner = std::fs::read_to_string(attempt.join("shim.pid")).unwrap_or_default();
    let program = owner.split(' ').next().and_then(|pid| std::fs::read_link(format!("/proc/{pid}/exe")).ok());
    program.is_some_and(|program| program == Path::new(env!("CARGO_BIN_EXE_tutti"))) && !attempt.join("result.json").exists()
}
