//! A child that is there before there is an attempt: it has loaded what the attempt needs, and becomes its process when it is told. What is
//! not to be used again ends like any process; what is says how the attempt ended, and waits for the next.
//!
//! Where there are to be walls, the child goes into them by itself, before anything of the attempt is loaded: they are built around nothing, it is handed
//! what leads inside, and has a child of its own there, which is the process of the attempt. It ends with that, and its child becomes the wrapper's.

use std::cell::{Cell, RefCell};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{IoSlice, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::{Pid, Resource, Rlimit, WaitOptions};
use serde_json::json;

use super::groups::Groups;
use super::{HostSpec, ShimSpec, tree};
use crate::sandbox::enter::NotStarted;
use crate::sandbox::joined::{self, Standing};
use crate::sandbox::{Broken, Walls, egress, processes_within};

/// What stands before the process id on a wrapper's command line.
const OPTION: &str = "--host=";
/// How long it may take to take an order: it does nothing else.
const PATIENCE: Duration = Duration::from_secs(10);

/// The child.
pub(super) struct Host {
    /// The process that an attempt has, once there is one.
    pid: Cell<u32>,
    channel: UnixStream,
    /// The walls that it went into. They stay as long as it does.
    walls: RefCell<Option<Standing>>,
}

/// What is around the process of an attempt that was there before it.
#[derive(Default)]
pub(super) struct Around {
    /// The process that connects it to what was granted.
    pub(super) egress: Option<egress::Proxy>,
    /// The first process of its walls.
    pub(super) first: Option<u32>,
}

/// A process of an attempt that has begun.
pub(super) struct Begun {
    pub(super) pid: u32,
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
    /// Processor time that its process had used before.
    pub(super) before_us: u64,
    pub(super) around: Around,
}

/// Why nothing has begun.
pub(super) enum Unbegun {
    /// The child is gone, or takes no orders: something else may be started instead.
    Gone,
    /// There were to be walls, and it is not within.
    Walls(Broken),
}

impl From<std::io::Error> for Unbegun {
    fn from(_: std::io::Error) -> Self {
        Unbegun::Gone
    }
}

impl From<NotStarted> for Unbegun {
    fn from(why: NotStarted) -> Self {
        match why {
            NotStarted::Walls(broken) => Unbegun::Walls(broken),
            NotStarted::Command(error) => broken("going inside", error),
        }
    }
}

fn broken(step: &str, error: std::io::Error) -> Unbegun {
    Unbegun::Walls(Broken { step: step.into(), error })
}

impl Host {
    /// The child that the option on the command line names, whose channel is this process's standard error; none when it is not such an
    /// option.
    pub(super) fn of(option: Option<&OsStr>) -> Option<Host> {
        let pid = option?.to_str()?.strip_prefix(OPTION)?.parse().ok()?;
        let channel = UnixStream::from(std::io::stderr().as_fd().try_clone_to_owned().ok()?);
        rustix::stdio::dup2_stderr(File::options().write(true).open("/dev/null").ok()?).ok()?;
        channel.set_write_timeout(Some(PATIENCE)).ok()?;
        channel.set_read_timeout(Some(PATIENCE)).ok()?;
        Some(Host { pid: Cell::new(pid), channel, walls: RefCell::default() })
    }

    /// Puts it where the wrapper is, which it was not born in.
    pub(super) fn adopt(&self, groups: &Groups) {
        groups.adopt(self.pid.get());
    }

    /// Makes it the process of an attempt. An error means that nothing has begun.
    pub(super) fn begin(&self, folder: &Path, opened: &File, spec: &ShimSpec, told: &HostSpec) -> Result<Begun, Unbegun> {
        if !tree::is_alive(self.pid.get()) {
            return Err(Unbegun::Gone);
        }
        self.limit(spec);
        let fresh = self.walls.borrow().is_none();
        if let (Some(walls), true) = (&spec.walls, fresh) {
            let home = if told.keep { Some(File::open(&told.home)?) } else { None };
            tree::offer_for_memory(true);
            let walls = if told.keep { at_home(walls, told) } else { walls.clone() };
            let standing = joined::stand(home.as_ref().unwrap_or(opened), &walls);
            tree::offer_for_memory(false);
            self.walls.replace(Some(standing?));
        }
        let pipe = || rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(std::io::Error::from);
        let ((stdout, stdout_of_host), (stderr, stderr_of_host)) = (pipe()?, pipe()?);
        let before_us = tree::cpu_us(self.pid.get());
        tree::reset_peak(self.pid.get());
        self.tell(folder, spec, told, [stdout_of_host.as_fd(), stderr_of_host.as_fd()], fresh)?;
        drop((stdout_of_host, stderr_of_host));
        let standing = self.walls.borrow();
        let Some(walls) = standing.as_ref() else {
            return Ok(Begun { pid: self.pid.get(), stdout, stderr, before_us, around: Around::default() });
        };
        let before_us = if fresh { self.goes_in(walls)? } else { before_us };
        let egress = walls.connect(opened).map_err(|error| broken("starting the proxy", error))?;
        let around = Around { egress, first: Some(walls.first) };
        Ok(Begun { pid: self.pid.get(), stdout, stderr, before_us, around })
    }

    fn tell(
        &self,
        folder: &Path,
        spec: &ShimSpec,
        told: &HostSpec,
        outputs: [BorrowedFd<'_>; 2],
        fresh: bool,
    ) -> Result<(), Unbegun> {
        let standing = self.walls.borrow();
        let walls = standing.as_ref().filter(|_| fresh);
        // Whoever has something open outside of the walls sees all of it from there.
        let work = if standing.is_some() { None } else { Some(File::open(folder.join(&spec.work))?) };
        let environment: serde_json::Map<String, serde_json::Value> =
            spec.environment.iter().map(|(key, value)| (key.clone(), value.as_str().into())).collect();
        let HostSpec { arguments, keep, home } = told;
        let to_go_in = match walls {
            Some(standing) => {
                let filters = standing.filters().map_err(Unbegun::Walls)?;
                let filters: Vec<String> = filters.iter().map(|one| hex(one)).collect();
                json!({ "work": standing.work(), "namespaces": standing.namespaces(), "filters": filters })
            }
            None => serde_json::Value::Null,
        };
        let within = standing.is_some();
        let order = json!({
            "arguments": arguments, "keep": keep, "home": home, "environment": environment, "walls": to_go_in, "within": within,
        });
        let order = order.to_string();
        let length = u32::try_from(order.len()).map_err(std::io::Error::other)?.to_be_bytes();
        let ways_in = walls.map(Standing::ways_in).unwrap_or_default();
        let descriptors: Vec<BorrowedFd<'_>> = outputs.into_iter().chain(work.as_ref().map(AsFd::as_fd)).chain(ways_in).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut attached = SendAncillaryBuffer::new(&mut space);
        attached.push(SendAncillaryMessage::ScmRights(&descriptors));
        sendmsg(&self.channel, &[IoSlice::new(&length)], &mut attached, SendFlags::NOSIGNAL).map_err(std::io::Error::from)?;
        Ok((&self.channel).write_all(order.as_bytes())?)
    }

    /// The child says which process went in, in its place, and ends. Gives what that one used before.
    fn goes_in(&self, walls: &Standing) -> Result<u64, Unbegun> {
        let mut number = [0; 4];
        (&self.channel).read_exact(&mut number).map_err(|error| broken("going inside", error))?;
        let inside = u32::from_be_bytes(number);
        if inside == 0 {
            let mut why = String::new();
            // What does not come is not said.
            let _ = (&self.channel).take(1_000).read_to_string(&mut why);
            return Err(broken("going inside", std::io::Error::other(why)));
        }
        let before = self.pid.replace(inside);
        if let Some(before) = i32::try_from(before).ok().and_then(Pid::from_raw) {
            // Until then the other is not a child of this process.
            while let Err(rustix::io::Errno::INTR) = rustix::process::waitpid(Some(before), WaitOptions::empty()) {}
        }
        walls.hold(inside).map_err(|why| broken("going inside", std::io::Error::other(why)))?;
        // Until then it waits.
        (&self.channel).write_all(&[1])?;
        Ok(0)
    }

    /// Ends it: it did not become the process of an attempt.
    pub(super) fn give_up(&self) {
        tree::kill_one(self.pid.get());
        self.leave_walls();
    }

    /// Limits that other processes inherit from their wrapper.
    fn limit(&self, spec: &ShimSpec) {
        let Some(pid) = i32::try_from(self.pid.get()).ok().and_then(Pid::from_raw) else { return };
        for (resource, limit) in super::inherited_limits(spec) {
            // One above what it has cannot be set, and need not be.
            let limit = Rlimit { current: Some(limit), maximum: Some(limit) };
            let _ = rustix::process::prlimit(Some(pid), resource, limit);
        }
        if let Some(most) = spec.walls.as_ref().and_then(processes_within) {
            let _ = rustix::process::prlimit(Some(pid), Resource::Nproc, Rlimit { current: Some(most), maximum: Some(most) });
        }
        tree::offer_other_for_memory(self.pid.get());
    }

    /// Ends the walls that it went into, without waiting: nothing runs inside any more. Gives what was used by what was orphaned there.
    pub(super) fn leave_walls(&self) -> Option<u64> {
        let first = self.walls.take()?.first;
        let used = tree::cpu_us(first);
        tree::kill_one(first);
        Some(used)
    }

    /// How an attempt ended whose process stays: the exit code.
    pub(super) fn ended(&self) -> Option<i32> {
        let mut code = [0; 4];
        (&self.channel).read_exact(&mut code).ok()?;
        Some(i32::from_be_bytes(code))
    }
}

/// The walls of a process that stays: they are around its home, and not around the folder of one attempt.
fn at_home(walls: &Walls, told: &HostSpec) -> Walls {
    let mut walls = walls.clone();
    let home = std::fs::canonicalize(&told.home).unwrap_or_else(|_| told.home.clone().into());
    walls.site.attempts = home.parent().unwrap_or(&home).to_owned();
    (walls.attempt.folder, walls.attempt.work) = (home.clone(), home);
    walls
}

/// The most that comes with an order: where it prints, and its work folder or what leads into its walls.
const DESCRIPTORS_MAX: usize = 8;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl AsFd for Host {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }
}

/// What [`super::inherited_limits`] gives.
pub(super) type Limits = [(Resource, u64); 3];
