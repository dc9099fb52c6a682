//! A child that is there before there is an attempt: it has loaded what the attempt needs, and becomes its process when it is told. What is
//! not to be used again ends like any process; what is says how the attempt ended, and waits for the next.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{IoSlice, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::{Pid, Resource, Rlimit};
use serde_json::json;

use super::groups::Groups;
use super::{HostSpec, ShimSpec, tree};
use crate::sandbox::cover::Cover;

/// What stands before the process id on a wrapper's command line.
const OPTION: &str = "--host=";
/// How long it may take to take an order: it does nothing else.
const PATIENCE: Duration = Duration::from_secs(10);

/// The child.
#[derive(Debug)]
pub(super) struct Host {
    pid: u32,
    channel: UnixStream,
}

/// A process of an attempt that has begun.
pub(super) struct Begun {
    pub(super) pid: u32,
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
    /// Processor time that its process had used before.
    pub(super) before_us: u64,
}

impl Host {
    /// The child that the option on the command line names, whose channel is this process's standard error; none when it is not such an
    /// option.
    pub(super) fn of(option: Option<&OsStr>) -> Option<Host> {
        let pid = option?.to_str()?.strip_prefix(OPTION)?.parse().ok()?;
        let channel = UnixStream::from(std::io::stderr().as_fd().try_clone_to_owned().ok()?);
        rustix::stdio::dup2_stderr(File::options().write(true).open("/dev/null").ok()?).ok()?;
        channel.set_write_timeout(Some(PATIENCE)).ok()?;
        Some(Host { pid, channel })
    }

    /// Puts it where the wrapper is, which it was not born in.
    pub(super) fn adopt(&self, groups: &Groups) {
        groups.adopt(self.pid);
    }

    /// Makes it the process of an attempt. An error means that nothing has begun.
    pub(super) fn begin(&self, folder: &Path, spec: &ShimSpec, told: &HostSpec) -> std::io::Result<Begun> {
        if !tree::is_alive(self.pid) {
            return Err(std::io::ErrorKind::BrokenPipe.into());
        }
        self.limit(spec);
        let before_us = tree::cpu_us(self.pid);
        tree::reset_peak(self.pid);
        let (stdout, stdout_of_host) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        let (stderr, stderr_of_host) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        // Whoever has something open within what is hidden sees all of it from there.
        let work = if spec.cover.is_some() { None } else { Some(File::open(folder.join(&spec.work))?) };
        let environment: serde_json::Map<String, serde_json::Value> =
            spec.environment.iter().map(|(key, value)| (key.clone(), value.as_str().into())).collect();
        let HostSpec { arguments, keep, home } = told;
        let cover = spec.cover.clone().map(|cover| cover_of(cover, told));
        let order = json!({ "arguments": arguments, "keep": keep, "home": home, "environment": environment, "cover": cover });
        let order = order.to_string();
        let length = u32::try_from(order.len()).map_err(std::io::Error::other)?.to_be_bytes();
        let outputs = [stdout_of_host.as_fd(), stderr_of_host.as_fd()];
        let descriptors: Vec<BorrowedFd<'_>> = outputs.into_iter().chain(work.as_ref().map(AsFd::as_fd)).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
        let mut attached = SendAncillaryBuffer::new(&mut space);
        attached.push(SendAncillaryMessage::ScmRights(&descriptors));
        sendmsg(&self.channel, &[IoSlice::new(&length)], &mut attached, SendFlags::NOSIGNAL)?;
        (&self.channel).write_all(order.as_bytes())?;
        Ok(Begun { pid: self.pid, stdout, stderr, before_us })
    }

    /// Limits that other processes inherit from their wrapper.
    fn limit(&self, spec: &ShimSpec) {
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else { return };
        for (resource, limit) in super::inherited_limits(spec) {
            // One above what it has cannot be set, and need not be.
            let limit = Rlimit { current: Some(limit), maximum: Some(limit) };
            let _ = rustix::process::prlimit(Some(pid), resource, limit);
        }
        tree::offer_other_for_memory(self.pid);
    }

    /// How an attempt ended whose process stays: the exit code.
    pub(super) fn ended(&self) -> Option<i32> {
        let mut code = [0; 4];
        (&self.channel).read_exact(&mut code).ok()?;
        Some(i32::from_be_bytes(code))
    }
}

/// What a process is covered with: one that stays has its home, and not the folder of one attempt.
fn cover_of(mut cover: Cover, told: &HostSpec) -> Cover {
    if told.keep {
        cover.work = std::fs::canonicalize(&told.home).unwrap_or_else(|_| told.home.clone().into());
    }
    cover
}

impl AsFd for Host {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }
}

/// What [`super::inherited_limits`] gives.
pub(super) type Limits = [(Resource, u64); 3];
