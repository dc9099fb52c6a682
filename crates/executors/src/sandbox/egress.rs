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
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions};

use model::limits::EGRESS_CONNECTIONS_MAX;
use model::{Connection, EgressGrant};

use super::inside;
use super::network::Leads;
use crate::record::open_plain;

/// Where connections are written down, a line of JSON each, in the attempt's folder.
pub(crate) const RECORD: &str = "egress.jsonl";
/// Connections of an attempt that go out. Each of them is written down; further ones are refused, so that none goes unseen.
const GOING_OUT_MAX: u32 = EGRESS_CONNECTIONS_MAX as u32;
/// Refused connections that are written down one by one; further ones are counted.
const REFUSED_MAX: u32 = 10_000;
/// The outcome of a connection that was not let out.
const REFUSED: &str = "refused";
/// How long the proxy may take to write down what is open when the attempt has ended.
const PATIENCE: Duration = Duration::from_secs(2);

/// Connections, where they are written down.
struct Book {
    page: Mutex<Page>,
}

struct Page {
    file: File,
    /// Connections that went out, or are about to.
    going_out: u32,
    /// Connections that were refused.
    refused: u64,
}

impl Book {
    fn open(folder: &Path) -> io::Result<Book> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(folder.join(RECORD))?;
        Ok(Book { page: Mutex::new(Page { file, going_out: 0, refused: 0 }) })
    }

    fn page(&self) -> MutexGuard<'_, Page> {
        self.page.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Keeps a line for a connection that is about to go out. False when there is none left.
    fn admits(&self) -> bool {
        let mut page = self.page();
        let is_room = page.going_out < GOING_OUT_MAX;
        page.going_out += u32::from(is_room);
        is_room
    }

    /// Writes a connection down. Of what is refused without end only the number is kept: it carries nothing.
    fn note(&self, connection: &Connection) {
        let mut page = self.page();
        if connection.outcome == REFUSED {
            page.refused += 1;
            if page.refused > u64::from(REFUSED_MAX) {
                return;
            }
        }
        page.write(connection);
    }

    /// Writes down how many more were refused than stand in the file.
    fn close(&self) {
        let mut page = self.page();
        let more = page.refused.saturating_sub(u64::from(REFUSED_MAX));
        if more > 0 {
            let reason = format!("{more} more were refused, of which nothing else is kept");
            page.write(&Connection { outcome: REFUSED.into(), reason, more: more - 1, ..Connection::default() });
        }
    }
}

impl Page {
    fn write(&mut self, connection: &Connection) {
        let mut line = serde_json::to_vec(connection).unwrap_or_default();
        line.push(b'\n');
        // A full disk ends the attempt anyway.
        let _ = self.file.write_all(&line);
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
    let lines = io::BufReader::new(file).lines().map_while(Result::ok).take((GOING_OUT_MAX + REFUSED_MAX) as usize + 1);
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
        kept.extend([alive.as_raw_fd(), book.page().file.as_raw_fd()]);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn one(outcome: &str, sent: u64) -> Connection {
        Connection { host: "h".into(), port: 443, outcome: outcome.into(), sent, ..Connection::default() }
    }

    /// Whoever wants to go unseen asks for what is refused until the book is full.
    #[test]
    fn what_goes_out_is_written_down_however_much_was_refused_before() {
        let folder = tempfile::tempdir().unwrap();
        let book = Book::open(folder.path()).unwrap();
        let asked = u64::from(REFUSED_MAX) + 25;
        (0..asked).for_each(|_| book.note(&one(REFUSED, 0)));
        assert!(book.admits());
        book.note(&one("closed", 1 << 30));
        book.close();
        let read = read(folder.path());
        assert_eq!(read.iter().map(|one| one.sent).sum::<u64>(), 1 << 30);
        let refused = read.iter().filter(|one| one.outcome == REFUSED).map(|one| 1 + one.more);
        assert_eq!((refused.sum::<u64>(), read.last().unwrap().reason.starts_with("25 more")), (asked, true));
    }

    #[test]
    fn no_more_go_out_than_are_written_down() {
        let folder = tempfile::tempdir().unwrap();
        let book = Book::open(folder.path()).unwrap();
        let admitted = (0..GOING_OUT_MAX + 5).filter(|_| book.admits()).count();
        (0..admitted).for_each(|_| book.note(&one("closed", 1)));
        (0..5).for_each(|_| book.note(&one(REFUSED, 0)));
        book.close();
        let read = read(folder.path());
        let sent = read.iter().map(|one| one.sent).sum::<u64>();
        assert_eq!((admitted, sent), (GOING_OUT_MAX as usize, u64::from(GOING_OUT_MAX)));
        assert_eq!(read.iter().filter(|one| one.outcome == REFUSED).count(), 5);
    }
}
