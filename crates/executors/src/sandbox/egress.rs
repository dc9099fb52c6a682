//! The way out of the walls: a process beside the wrapper that has the machine's network, accepts at the listeners inside, and connects to
//! what was granted. It looks names up itself, counts bytes, and writes down every connection, also those it refused.

mod proxy;
mod request;

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::net::TcpListener;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions};

use model::{Connection, EgressGrant};

use super::inside;
use super::network::Leads;
use crate::record::open_plain;

/// Where connections are written down, a line of JSON each, in the attempt's folder.
pub(crate) const RECORD: &str = "egress.jsonl";
/// Connections that are written down; of more only the number is known.
const RECORDED_MAX: u32 = 10_000;
/// How long the proxy may take to write down what is open when the attempt has ended.
const PATIENCE: Duration = Duration::from_secs(2);

/// Connections, where they are written down.
struct Book {
    file: Mutex<(File, u32)>,
}

impl Book {
    fn open(folder: &Path) -> io::Result<Book> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(folder.join(RECORD))?;
        Ok(Book { file: Mutex::new((file, 0)) })
    }

    fn note(&self, connection: &Connection) {
        let mut file = self.file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        file.1 += 1;
        if file.1 > RECORDED_MAX {
            return;
        }
        let mut line = serde_json::to_vec(connection).unwrap_or_default();
        line.push(b'\n');
        // A full disk ends the attempt anyway.
        let _ = file.0.write_all(&line);
    }
}

/// Writes down what was done over the network within the server, in a folder that may not be there yet.
pub(crate) fn note(folder: &Path, connection: &Connection) {
    match std::fs::create_dir_all(folder).and_then(|()| Book::open(folder)) {
        Ok(book) => book.note(connection),
        Err(error) => tracing::error!(folder = %folder.display(), %error, "a connection could not be written down"),
    }
}

/// What an attempt did over the network: what was written down, from the beginning.
pub(crate) fn read(folder: &Path) -> Vec<Connection> {
    use std::io::BufRead as _;
    let Ok(file) = open_plain(&folder.join(RECORD)) else { return Vec::new() };
    let lines = io::BufReader::new(file).lines().map_while(Result::ok).take(RECORDED_MAX as usize);
    lines.filter_map(|line| serde_json::from_str(&line).ok()).collect()
}

/// The proxy of an attempt, as the wrapper sees it.
pub(crate) struct Proxy {
    pub(crate) pid: u32,
    /// Closed when the attempt has ended, or the wrapper is gone.
    lifeline: OwnedFd,
}

/// Starts the proxy. The caller has one thread.
#[expect(unsafe_code, reason = "a process of its own without a program of its own")]
pub(super) fn start(listeners: Vec<(TcpListener, Leads)>, grants: &[EgressGrant], folder: &File) -> io::Result<Proxy> {
    let (alive, lifeline) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let folder = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string());
    let book = Book::open(&folder)?;
    // SAFETY: this process has one thread; the child is a whole copy of it and never returns from here.
    let pid = unsafe { libc::fork() };
    if pid != 0 {
        let pid = u32::try_from(pid).map_err(|_| io::Error::last_os_error())?;
        return Ok(Proxy { pid, lifeline });
    }
    drop(lifeline);
    let served = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let mut kept: Vec<i32> = listeners.iter().map(|(listener, _)| listener.as_raw_fd()).collect();
        kept.extend([alive.as_raw_fd(), book.file.lock().map_or(-1, |file| file.0.as_raw_fd())]);
        inside::keep_only(kept)?;
        proxy::serve(listeners, grants, book, &alive);
        Ok::<(), io::Error>(())
    }));
    let failed = !matches!(served, Ok(Ok(())));
    // SAFETY: ends the process, and does nothing else.
    unsafe { libc::_exit(i32::from(failed)) }
}

impl Proxy {
    /// Ends it: what is open is cut and written down.
    pub(crate) fn end(self) {
        let Proxy { pid, lifeline } = self;
        drop(lifeline);
        let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return };
        let until = Instant::now() + PATIENCE;
        if let Ok(process) = rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            let mut left = until.saturating_duration_since(Instant::now());
            while !left.is_zero() {
                let pause = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
                match poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&pause)) {
                    Err(rustix::io::Errno::INTR) => left = until.saturating_duration_since(Instant::now()),
                    _ => break,
                }
            }
        }
        let _ = rustix::process::kill_process(pid, Signal::KILL);
        let _ = rustix::process::waitpid(Some(pid), WaitOptions::empty());
    }
}
