//! Processes that have loaded what many attempts need, and make wrappers with a child that has loaded it too. One for each program that
//! attempts name; started with the first that does, and left alone when the program says that it cannot serve here.

use std::collections::BTreeMap;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use tokio::io::{AsyncReadExt as _, Interest};
use tokio::net::UnixStream;

use super::attempt::MARK;
use crate::sandbox::cover::Cover;
use crate::shim::COVERED;

/// How long a program may take until it is ready.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How long one that could not serve is not tried again.
const TRIED_AGAIN_AFTER: Duration = Duration::from_secs(300);
/// How long one is kept that makes nothing.
const IDLE_FOR: Duration = Duration::from_secs(900);
/// Bytes of the longest path of an attempt, with room.
const MARK_BYTES: usize = 4_096;

/// The nurseries of a site.
pub(super) struct Nurseries {
    /// The wrapper's command line.
    shim: (PathBuf, Vec<String>),
    known: Mutex<BTreeMap<Vec<String>, Arc<tokio::sync::Mutex<State>>>>,
}

#[derive(Default)]
enum State {
    #[default]
    Unknown,
    Ready(Nursery),
    /// It cannot serve, as of then.
    Unfit(Instant),
}

struct Nursery {
    channel: UnixStream,
    used: Instant,
}

impl Nurseries {
    pub(super) fn new(shim: (PathBuf, Vec<String>)) -> Nurseries {
        Nurseries { shim, known: Mutex::default() }
    }

    /// The channel to a new wrapper whose child has loaded the program; none when the program cannot serve here.
    pub(super) async fn wrapper(&self, program: &[String], cover: Option<&Cover>) -> Option<UnixStream> {
        let state = self.known.lock().entry(program.to_vec()).or_default().clone();
        let mut state = state.lock().await;
        // Once more when the one that was there is gone.
        for _ in 0..2 {
            if matches!(&*state, State::Unfit(since) if since.elapsed() < TRIED_AGAIN_AFTER) {
                return None;
            }
            if !matches!(*state, State::Ready(_)) {
                *state = match self.start(program, cover).await {
                    Ok(nursery) => State::Ready(nursery),
                    Err(error) => {
                        tracing::warn!(program = program.join(" "), %error, "processes of this program are started cold");
                        State::Unfit(Instant::now())
                    }
                };
            }
            let State::Ready(nursery) = &mut *state else { return None };
            match nursery.make().await {
                Ok(wrapper) => return Some(wrapper),
                Err(_) => *state = State::Unknown,
            }
        }
        None
    }

    /// Lets all go.
    pub(super) fn clear(&self) {
        self.known.lock().clear();
    }

    /// Lets those go that have made nothing for long.
    pub(super) fn expire(&self) {
        self.known.lock().retain(|_, state| {
            let Ok(state) = state.try_lock() else { return true };
            !matches!(&*state, State::Ready(nursery) if nursery.used.elapsed() > IDLE_FOR)
        });
    }

    async fn start(&self, program: &[String], cover: Option<&Cover>) -> std::io::Result<Nursery> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let mut channel = UnixStream::from_std(ours)?;
        let (first, arguments) = program.split_first().ok_or(std::io::ErrorKind::NotFound)?;
        // A process of many threads cannot cover its child: a wrapper does that, and becomes the program.
        let mut command = match cover {
            Some(cover) => {
                let mut command = tokio::process::Command::new(&self.shim.0);
                command.args(&self.shim.1).arg(COVERED).arg(serde_json::to_string(cover)?).arg(first);
                command
            }
            None => tokio::process::Command::new(first),
        };
        command.args(arguments).arg(&self.shim.0).args(&self.shim.1).current_dir("/");
        // Nothing of the server's; what is here is what every attempt is told. The padding is room for the mark of an attempt.
        command.env_clear().env("LANG", "C.UTF-8").env("TZ", "UTC").env(MARK, "x".repeat(MARK_BYTES));
        command.env("PYTHONUNBUFFERED", "1").env("PYTHONDONTWRITEBYTECODE", "1");
        #[cfg(debug_assertions)]
        command.envs(failpoint::VARIABLES.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        command.stdin(Stdio::from(OwnedFd::from(theirs))).stdout(Stdio::null()).stderr(Stdio::null());
        // It ends with its channel, and the runtime reaps it.
        drop(command.kill_on_drop(false).spawn()?);
        let mut line = Vec::new();
        let read = async {
            while !line.ends_with(b"\n") && channel.read_buf(&mut line).await? > 0 {}
            std::io::Result::Ok(())
        };
        tokio::time::timeout(READY_WITHIN, read).await.map_err(std::io::Error::other)??;
        let line = String::from_utf8_lossy(&line);
        match line.trim().split_once(' ') {
            Some(("ready", version)) => {
                tracing::debug!(program = program.join(" "), version, "a nursery is ready");
                Ok(Nursery { channel, used: Instant::now() })
            }
            Some(("unfit", reason)) => Err(std::io::Error::other(reason.to_owned())),
            _ => Err(std::io::Error::other("it ended before it was ready")),
        }
    }
}

impl Nursery {
    /// Has a wrapper made.
    async fn make(&mut self) -> std::io::Result<UnixStream> {
        self.used = Instant::now();
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let send = || {
            let descriptors = [theirs.as_fd()];
            let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut attached = SendAncillaryBuffer::new(&mut space);
            attached.push(SendAncillaryMessage::ScmRights(&descriptors));
            let byte = [std::io::IoSlice::new(b"n")];
            Ok(sendmsg(&self.channel, &byte, &mut attached, SendFlags::NOSIGNAL | SendFlags::DONTWAIT).map(drop)?)
        };
        loop {
            self.channel.writable().await?;
            match self.channel.try_io(Interest::WRITABLE, send) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                sent => break sent?,
            }
        }
        UnixStream::from_std(ours)
    }
}
