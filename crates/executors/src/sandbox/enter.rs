//! Starting a command within walls. The wrapper makes a child in new namespaces, which builds the walls and shuts itself in, starts the
//! command, reaps what is orphaned, and ends when the command does. How it goes it tells through a pipe.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, ExitStatus, Stdio};

use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::process::{Signal, WaitOptions};

use super::{Broken, Built, Step, Walls, egress, filter, network, root, rules};

/// The command was started.
const STARTED: u8 = b'S';
/// A step of building failed: its error number and name.
const BROKEN: u8 = b'B';
/// The command could not be started: its error number.
const NOT_STARTED: u8 = b'N';
/// The command ended: its status.
const ENDED: u8 = b'E';

/// Why a command was not started.
#[derive(Debug)]
pub(crate) enum NotStarted {
    /// The walls could not be built.
    Walls(Broken),
    /// It is the command's fault.
    Command(io::Error),
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
    tells: bool,
    report: File,
    told: Vec<u8>,
}

/// What the child is given.
struct Job<'j> {
    walls: &'j Walls,
    folder: &'j File,
    command: &'j mut Command,
    stdout: OwnedFd,
    stderr: OwnedFd,
    report: File,
    listeners: OwnedFd,
    /// The user and the group outside: inside nobody knows them before they are mapped.
    user: (u32, u32),
}

/// Starts a command. The caller has one thread, as every wrapper has: a child made by hand could not trust locks that others held.
pub(crate) fn start(walls: &Walls, folder: &File, command: &mut Command) -> Result<Inside, NotStarted> {
    let broken = |step: &str| {
        let step = step.to_owned();
        move |error: rustix::io::Errno| NotStarted::Walls(Broken { step, error: error.into() })
    };
    let pipe = || rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(broken("making pipes"));
    let ((stdout, inner_stdout), (stderr, inner_stderr), (report, inner_report)) = (pipe()?, pipe()?, pipe()?);
    let pair = rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None);
    let (listeners, inner_listeners) = pair.map_err(broken("making a pair of sockets"))?;
    let user = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let child = clone(walls).map_err(|error| NotStarted::Walls(Broken { step: "making namespaces".into(), error }))?;
    let Some(leader) = child else {
        drop((stdout, stderr, report, listeners));
        let report = File::from(inner_report);
        live(Job {
            walls,
            folder,
            command,
            stdout: inner_stdout,
            stderr: inner_stderr,
            report,
            listeners: inner_listeners,
            user,
        });
    };
    drop((inner_stdout, inner_stderr, inner_report, inner_listeners));
    let mut inside = Inside {
        leader,
        stdout: Some(stdout),
        stderr: Some(stderr),
        egress: None,
        tells: walls.layers.namespaces,
        report: File::from(report),
        told: Vec::new(),
    };
    // Fails when the walls do: what failed is told through the pipe.
    if let Ok(listeners) = network::take_in(&walls.egress, &listeners)
        && !listeners.is_empty()
    {
        match egress::start(listeners, walls, folder) {
            Ok(proxy) => inside.egress = Some(proxy),
            Err(error) => {
                inside.give_up();
                return Err(NotStarted::Walls(Broken { step: "starting the proxy".into(), error }));
            }
        }
    }
    match inside.began() {
        Ok(()) => Ok(inside),
        Err(why) => {
            inside.give_up();
            Err(why)
        }
    }
}

/// Makes a child in the namespaces that the walls ask for. None within the child.
#[expect(unsafe_code, reason = "the standard library makes no children in namespaces")]
fn clone(walls: &Walls) -> io::Result<Option<u32>> {
    let mut flags = libc::SIGCHLD;
    if walls.layers.namespaces {
        flags |= libc::CLONE_NEWUSER | libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWIPC;
    }
    if walls.layers.network {
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

impl Inside {
    /// Waits until the command was started, or was not.
    fn began(&mut self) -> Result<(), NotStarted> {
        let vanished = || Broken { step: "building them".into(), error: io::ErrorKind::UnexpectedEof.into() };
        self.hear(1).ok_or_else(|| NotStarted::Walls(vanished()))?;
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
        match kind {
            NOT_STARTED => Err(NotStarted::Command(error)),
            BROKEN => Err(NotStarted::Walls(Broken { step, error })),
            _ => Err(NotStarted::Walls(vanished())),
        }
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

    /// How the command ended, once the first process inside has. None when that one was killed before it could say.
    pub(crate) fn status(&mut self) -> Option<ExitStatus> {
        self.tells.then_some(())?;
        self.hear(5)?;
        let status = self.told.get(1..5).and_then(|bytes| bytes.try_into().ok()).map(i32::from_ne_bytes)?;
        (self.told.first() == Some(&ENDED)).then(|| ExitStatus::from_raw(status))
    }

    /// Ends and reaps what was begun.
    fn give_up(&mut self) {
        if let Some(pid) = i32::try_from(self.leader).ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
            let _ = rustix::process::waitpid(Some(pid), WaitOptions::empty());
        }
        if let Some(proxy) = self.egress.take() {
            proxy.end();
        }
    }
}

/// The life of the child. It never goes back to where it was called from: that is the wrapper's.
#[expect(unsafe_code, reason = "what runs at the end of a process is the wrapper's, and must not run twice")]
fn live(mut job: Job<'_>) -> ! {
    let mut report = job.report.try_clone();
    let lived = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| inside(&mut job)));
    if let (Ok(Err(broken)), Ok(report)) = (&lived, &mut report) {
        tell(report, BROKEN, broken.error.raw_os_error().unwrap_or(libc::EIO), &explain(broken));
    }
    // SAFETY: ends the process, and does nothing else.
    unsafe { libc::_exit(1) }
}

/// An error that has no number is told in words.
fn explain(broken: &Broken) -> String {
    if broken.error.raw_os_error().is_some() { broken.step.clone() } else { format!("{} ({})", broken.step, broken.error) }
}

fn tell(report: &mut File, kind: u8, number: i32, text: &str) -> bool {
    let mut message = vec![kind];
    message.extend(number.to_ne_bytes());
    message.extend(text.bytes().take(500));
    report.write_all(&message).is_ok()
}

fn inside(job: &mut Job<'_>) -> Built<()> {
    let walls = job.walls;
    // The group that the wrapper asks to stop.
    rustix::process::setpgid(None, None).step(|| "making a process group".into())?;
    if walls.layers.namespaces || walls.layers.network {
        map_users(job.user).step(|| "mapping users".into())?;
    }
    if walls.layers.network {
        network::bring_up()?;
        network::hand_out(&walls.egress, &job.listeners)?;
    }
    if walls.layers.namespaces {
        root::build(walls, job.folder)?;
    }
    rustix::process::chdir(&walls.work).step(|| "entering the work folder".into())?;
    limit_processes(walls);
    drop_rights().step(|| "dropping rights".into())?;
    // Its memory is a copy of the wrapper's, and so of what other attempts were told: nobody inside may look into it.
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .step(|| "closing its memory".into())?;
    // When the wrapper is killed, the kernel ends this process, and with it all of the namespace.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).step(|| "binding it to its wrapper".into())?;
    if walls.layers.landlock {
        rules::shut(walls)?;
    }
    if walls.layers.seccomp {
        filter::shut(walls.layers.network || walls.network_is_open())?;
    }
    run(job)
}

/// Users inside are numbered as outside. There is one, with no rights over anything outside.
fn map_users((user, group): (u32, u32)) -> io::Result<()> {
    std::fs::write("/proc/self/setgroups", "deny")?;
    std::fs::write("/proc/self/uid_map", format!("{user} {user} 1"))?;
    std::fs::write("/proc/self/gid_map", format!("{group} {group} 1"))
}

fn limit_processes(walls: &Walls) {
    // A little more than the wrapper allows: it ends what reaches for more, instead of letting that wait for ever.
    let limit = Some(u64::from(walls.processes_max) + 32);
    if walls.layers.namespaces && walls.processes_max > 0 {
        // Counted within the namespace, and not at all for root, whom control groups limit.
        let _ = rustix::process::setrlimit(
            rustix::process::Resource::Nproc,
            rustix::process::Rlimit { current: limit, maximum: limit },
        );
    }
}

/// Gives up every capability, and the way to ever get one.
fn drop_rights() -> io::Result<()> {
    use rustix::thread::{CapabilitySet, CapabilitySets};
    rustix::thread::set_no_new_privs(true)?;
    for number in 0..64 {
        let Some(one) = CapabilitySet::from_bits(1 << number) else { continue };
        // Those that the kernel does not know end the list; without the right to drop them there are none to drop.
        let _ = rustix::thread::remove_capability_from_bounding_set(one);
    }
    let _ = rustix::thread::clear_ambient_capability_set();
    let none = CapabilitySet::empty();
    rustix::thread::set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    Ok(())
}

/// Starts the command and waits for its end.
#[expect(unsafe_code, reason = "what runs at the end of a process is the wrapper's, and must not run twice")]
fn run(job: &mut Job<'_>) -> Built<()> {
    // Whatever the wrapper was started with that is not its own.
    pass_nothing_on();
    let duplicate = |file: &OwnedFd| file.try_clone().step(|| "its output".into());
    let (stdout, stderr) = (duplicate(&job.stdout)?, duplicate(&job.stderr)?);
    job.command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
    if !job.walls.layers.namespaces {
        // Nothing to be the first process of: this one becomes the command.
        let mut report = job.report.try_clone().step(|| "telling".into())?;
        if report.write_all(&[STARTED]).is_err() {
            return Ok(());
        }
        let error = job.command.exec();
        tell(&mut job.report, NOT_STARTED, error.raw_os_error().unwrap_or(libc::EIO), "");
        return Ok(());
    }
    let child = match job.command.spawn() {
        Ok(child) => child,
        Err(error) => {
            tell(&mut job.report, NOT_STARTED, error.raw_os_error().unwrap_or(libc::EIO), "");
            return Ok(());
        }
    };
    // Nobody hears it: the wrapper died before this process was bound to it.
    if job.report.write_all(&[STARTED]).is_err() {
        return Ok(());
    }
    close_but(job.report.as_raw_fd());
    let main = rustix::process::Pid::from_child(&child);
    loop {
        match rustix::process::waitpid(None, WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == main => {
                tell(&mut job.report, ENDED, status.as_raw(), "");
                // SAFETY: ends the process, and does nothing else.
                unsafe { libc::_exit(0) }
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return Ok(()),
        }
    }
}

/// Marks every file beyond the three to be closed where a program begins.
#[expect(unsafe_code, reason = "no safe binding of close_range")]
fn pass_nothing_on() {
    // SAFETY: nothing is closed here, and no descriptor of this process is meant to be passed on.
    unsafe {
        libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
    }
}

/// Closes every file but one: pipes of the wrapper must not stay open for as long as the command lives.
#[expect(unsafe_code, reason = "no safe binding of close_range")]
fn close_but(kept: i32) {
    let kept = kept.unsigned_abs();
    for (first, last) in [(0, kept.saturating_sub(1)), (kept + 1, u32::MAX)] {
        // SAFETY: the values that own these descriptors are never used or dropped again: from here on this process waits, writes to the
        // one that is kept, and ends without destructors.
        unsafe {
            libc::syscall(libc::SYS_close_range, first, last, 0);
        }
    }
}
