//! Starting a command within walls. The wrapper makes a child in new namespaces, which builds the walls and shuts itself in, starts the
//! command, reaps what is orphaned, and ends when the command does. How it goes it tells through a pipe.

use std::fs::File;
use std::io::{self, IoSlice, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, sendmsg};
use rustix::process::{Pid, Signal, WaitOptions};

use super::inside::{Place, live};
use super::{Broken, Site, Walls, egress, network};

/// The command was started.
pub(super) const STARTED: u8 = b'S';
/// A step of building failed: its error number and name.
pub(super) const BROKEN: u8 = b'B';
/// The command could not be started: its error number.
pub(super) const NOT_STARTED: u8 = b'N';
/// The command ended, and nothing runs inside any more: its status, and what was used.
pub(super) const ENDED: u8 = b'E';
/// Bytes of what is told of the end.
const ENDED_BYTES: usize = 21;

/// Why a command was not started.
#[derive(Debug)]
pub(crate) enum NotStarted {
    /// The walls could not be built.
    Walls(Broken),
    /// It is the command's fault.
    Command(io::Error),
}

/// What is to be started.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Order {
    /// The program and its arguments. Empty for a process that is there already, and goes in by itself.
    pub(crate) command: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) walls: Walls,
}

/// A child that builds the walls of a site's next attempt, or has, and waits to be told of it. Dropped without that, it is ended.
pub(crate) struct Ready {
    leader: Leader,
    site: Site,
    orders: UnixStream,
    report: File,
    listeners: OwnedFd,
}

/// A command that runs within walls.
pub(crate) struct Inside {
    /// The first process inside, as it is numbered outside. It leads the process group.
    pub(crate) leader: u32,
    pub(crate) stdout: Option<OwnedFd>,
    pub(crate) stderr: Option<OwnedFd>,
    /// The process that connects it to what was granted.
    pub(crate) egress: Option<egress::Proxy>,
    /// Whether the first process is one of ours, which tells how the command ended.
    pub(crate) tells: bool,
    report: File,
    told: Vec<u8>,
}

/// How a command ended, as it was told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told {
    pub(crate) status: ExitStatus,
    /// Microseconds of processor time of all processes inside.
    pub(crate) cpu_us: u64,
    /// Resident memory of the largest, in bytes.
    pub(crate) memory_peak_bytes: u64,
}

/// The first process inside as long as nobody else looks after it.
pub(super) struct Leader(Option<u32>);

impl Leader {
    /// Somebody else looks after it from now on.
    pub(super) fn release(mut self) -> u32 {
        self.0.take().unwrap_or_default()
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        if let Some(pid) = self.0.and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
            let _ = rustix::process::waitpid(Some(pid), WaitOptions::empty());
        }
    }
}

/// Starts a command. The caller has one thread, as every wrapper has: a child made by hand could not trust locks that others held.
pub(crate) fn start(ready: Option<Ready>, folder: &File, order: &Order) -> Result<Inside, NotStarted> {
    if let Some(ready) = ready.filter(|ready| ready.site == order.walls.site && ready.waits()) {
        match ready.begin(folder, order) {
            // What it was built around is gone, perhaps with it.
            Err(Failed::Before(_)) => {}
            Err(Failed::For(why)) => return Err(why),
            Ok(inside) => return Ok(inside),
        }
    }
    prepare(&order.walls.site)?.begin(folder, order).map_err(|(Failed::Before(why) | Failed::For(why))| why)
}

/// Why nothing began.
pub(super) enum Failed {
    /// Before anything was started: it may go better with walls that are built anew.
    Before(NotStarted),
    /// For good.
    For(NotStarted),
}

/// Has a child build what is the same for every attempt of a site. The caller has one thread.
pub(crate) fn prepare(site: &Site) -> Result<Ready, NotStarted> {
    let (report, inner_report) = pipe().map_err(broken("making pipes"))?;
    let pair = rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None);
    let (listeners, inner_listeners) = pair.map_err(io::Error::from).map_err(broken("making a pair of sockets"))?;
    let (orders, inner_orders) = UnixStream::pair().map_err(broken("making a pair of sockets"))?;
    let user = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let child = clone(site).map_err(broken("making namespaces"))?;
    let Some(leader) = child else {
        drop((report, listeners, orders));
        let report = File::from(inner_report);
        live(Place { site: site.clone(), orders: inner_orders, report, listeners: inner_listeners, user });
    };
    Ok(Ready { leader: Leader(Some(leader)), site: site.clone(), orders, report: File::from(report), listeners })
}

pub(super) fn broken(step: &str) -> impl Fn(io::Error) -> NotStarted {
    move |error| NotStarted::Walls(Broken { step: step.to_owned(), error })
}

fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?)
}

/// Makes a child in the namespaces that the walls ask for. None within the child.
#[expect(unsafe_code, reason = "the standard library makes no children in namespaces")]
fn clone(site: &Site) -> io::Result<Option<u32>> {
    let mut flags = libc::SIGCHLD;
    if site.layers.namespaces {
        flags |= libc::CLONE_NEWUSER | libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWIPC;
    }
    if site.layers.network {
        flags |= libc::CLONE_NEWUSER | libc::CLONE_NEWNET;
    }
    let none = std::ptr::null::<libc::c_void>();
    // SAFETY: without a stack of its own the child goes on with a copy of this one, as after `fork`. This process has one thread, so that
    // no lock is held by anybody who is not there in the child.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags as libc::c_long, none, none, none, none) };
    match pid {
        0 => Ok(None),
        pid => u32::try_from(pid).map(Some).map_err(|_| io::Error::last_os_error()),
    }
}

impl Ready {
    /// Whether it is there and has said nothing: it says only what went wrong before it is told of an attempt.
    fn waits(&self) -> bool {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        matches!(poll(&mut [PollFd::new(&self.report, PollFlags::IN)], Some(&now)), Ok(0))
    }

    /// Tells it of the attempt: with its folder, and where its command prints when it has one.
    pub(super) fn tell(&self, files: &[BorrowedFd<'_>], order: &Order) -> io::Result<()> {
        let order = serde_json::to_vec(order)?;
        let length = u32::try_from(order.len()).map_err(io::Error::other)?.to_ne_bytes();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
        let mut attached = SendAncillaryBuffer::new(&mut space);
        attached.push(SendAncillaryMessage::ScmRights(files));
        sendmsg(&self.orders, &[IoSlice::new(&length)], &mut attached, SendFlags::NOSIGNAL)?;
        // Rust programs ignore the signal that a closed pipe gives.
        (&self.orders).write_all(&order)
    }

    fn begin(self, folder: &File, order: &Order) -> Result<Inside, Failed> {
        let untold = |error| Failed::Before(broken("telling of the attempt")(error));
        let (stdout, inner_stdout) = pipe().map_err(untold)?;
        let (stderr, inner_stderr) = pipe().map_err(untold)?;
        self.tell(&[folder.as_fd(), inner_stdout.as_fd(), inner_stderr.as_fd()], order).map_err(untold)?;
        drop((inner_stdout, inner_stderr));
        let grants = &order.walls.attempt.egress;
        let (mut inside, leader, listeners) = self.split(Some((stdout, stderr)));
        // Fails when the walls do: what failed is told through the pipe.
        if let Ok(listeners) = network::take_in(grants, &listeners)
            && !listeners.is_empty()
        {
            let started = egress::start(listeners, grants, folder);
            inside.egress = Some(started.map_err(|error| Failed::For(broken("starting the proxy")(error)))?);
        }
        if let Err(why) = inside.began() {
            drop(leader);
            if let Some(proxy) = inside.egress.take() {
                proxy.end();
            }
            return Err(why);
        }
        leader.release();
        Ok(inside)
    }

    /// What there is once it was told: what says how it goes, its first process, and where listeners come from.
    pub(super) fn split(self, outputs: Option<(OwnedFd, OwnedFd)>) -> (Inside, Leader, OwnedFd) {
        let Ready { leader, site, orders, report, listeners } = self;
        drop(orders);
        let (stdout, stderr) = outputs.unzip();
        let number = leader.0.unwrap_or_default();
        let tells = site.layers.namespaces;
        (Inside { leader: number, stdout, stderr, egress: None, tells, report, told: Vec::new() }, leader, listeners)
    }
}

impl Inside {
    /// Waits until the command was started, or was not.
    pub(super) fn began(&mut self) -> Result<(), Failed> {
        // Whether the command was started nobody knows then.
        let lost = || Failed::For(broken("building them")(io::ErrorKind::UnexpectedEof.into()));
        self.hear(1).ok_or_else(lost)?;
        let started = self.told.first() == Some(&STARTED);
        if started && self.tells {
            self.told.drain(..1);
            return Ok(());
        }
        // What became the command closed the pipe with that; or more follows.
        let mut rest = Vec::new();
        let _ = self.report.read_to_end(&mut rest);
        self.told.extend(rest);
        if started {
            self.told.drain(..1);
            if self.told.is_empty() {
                return Ok(());
            }
        }
        let kind = self.told.first().copied().unwrap_or_default();
        let number = self.told.get(1..5).and_then(|bytes| bytes.try_into().ok()).map(i32::from_ne_bytes);
        let error = number.map_or_else(|| io::ErrorKind::UnexpectedEof.into(), io::Error::from_raw_os_error);
        let step = String::from_utf8_lossy(self.told.get(5..).unwrap_or_default()).into_owned();
        Err(match kind {
            NOT_STARTED => Failed::For(NotStarted::Command(error)),
            BROKEN => Failed::Before(NotStarted::Walls(Broken { step, error })),
            _ => lost(),
        })
    }

    /// Reads until so many bytes are there.
    fn hear(&mut self, wanted: usize) -> Option<()> {
        let mut buffer = [0; 64];
        while self.told.len() < wanted {
            match self.report.read(&mut buffer) {
                Ok(0) => return None,
                Ok(count) => self.told.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
        Some(())
    }

    /// How the command ended, once that was told or the first process inside has ended. None when that one was killed before it could say.
    pub(crate) fn ended(&mut self) -> Option<Told> {
        self.tells.then_some(())?;
        self.hear(ENDED_BYTES)?;
        let mut told = self.told.get(..ENDED_BYTES)?;
        (told.split_off_first() == Some(&ENDED)).then_some(())?;
        let mut take = |count| told.split_off(..count);
        let status = i32::from_ne_bytes(take(4)?.try_into().ok()?);
        let cpu_us = u64::from_ne_bytes(take(8)?.try_into().ok()?);
        let memory_peak_bytes = u64::from_ne_bytes(take(8)?.try_into().ok()?);
        Some(Told { status: ExitStatus::from_raw(status), cpu_us, memory_peak_bytes })
    }
}

impl AsFd for Inside {
    /// Readable when the end is told, and when the first process inside has ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.report.as_fd()
    }
}
