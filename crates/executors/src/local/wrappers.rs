//! Wrappers that are ready: starting one costs more than most short processes take, so that one serves many attempts, one at a time.
//! Some have a child that has loaded what an attempt needs; of those that keep their child, each serves attempts of one kind.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use super::nurseries::Nurseries;
use crate::sandbox::cover::Cover;
use crate::shim::Word;
use crate::{Host, Reuse};

/// Wrappers kept without work, where no more are wanted.
const IDLE_MAX: usize = 8;
/// How long one is kept without work.
const IDLE_FOR: Duration = Duration::from_secs(60);

/// The wrappers of a site.
pub(super) struct Wrappers {
    program: PathBuf,
    arguments: Vec<String>,
    nurseries: Nurseries,
    /// Where those that keep their child are at home.
    homes: PathBuf,
    /// Those without work, the one that worked last at the end.
    idle: Mutex<Vec<(Wrapper, Instant)>>,
    /// How many are to be without work, however long that is.
    wanted: AtomicUsize,
    topping_up: Mutex<()>,
    /// Those without work that keep their child, by what it serves.
    kept: Mutex<BTreeMap<String, Vec<(Wrapper, Instant)>>>,
    /// How often everything began anew.
    era: AtomicU64,
}

/// A wrapper that runs. Dropped, it ends with the attempt it has.
pub(super) struct Wrapper {
    channel: UnixStream,
    home: Option<Home>,
    /// Whether it was made by a program, and has no attempts of others.
    of_program: bool,
    /// How often everything had begun anew when it was made.
    era: u64,
}

/// The folder of a process that is used again. It goes with the last who knows of it.
#[derive(Debug)]
pub(super) struct Home(tempfile::TempDir);

impl Home {
    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Wrappers {
    pub(super) fn new((program, arguments): (PathBuf, Vec<String>), homes: PathBuf) -> Wrappers {
        let nurseries = Nurseries::new((program.clone(), arguments.clone()));
        Wrappers {
            program,
            arguments,
            nurseries,
            homes,
            idle: Mutex::default(),
            wanted: AtomicUsize::new(0),
            topping_up: Mutex::default(),
            kept: Mutex::default(),
            era: AtomicU64::new(0),
        }
    }

    /// A wrapper for an attempt, which has not been told of it yet.
    pub(super) async fn find(&self, host: Option<&Host>, cover: Option<&Cover>) -> std::io::Result<Wrapper> {
        if let Some(host) = host {
            let era = self.era.load(Ordering::Acquire);
            if let Some(wrapper) = host.reuse.as_ref().and_then(|reuse| self.kept_for(&reuse.key)) {
                return Ok(wrapper);
            }
            if let Some(channel) = self.nurseries.wrapper(&host.program, cover).await {
                let home = match &host.reuse {
                    Some(_) => Some(Home(tempfile::TempDir::new_in(&self.homes)?)),
                    None => None,
                };
                return Ok(Wrapper { channel, home, of_program: true, era });
            }
        }
        match self.idle.lock().pop() {
            Some((wrapper, _)) => Ok(wrapper),
            None => self.start(),
        }
    }

    fn kept_for(&self, key: &str) -> Option<Wrapper> {
        Some(self.kept.lock().get_mut(key)?.pop()?.0)
    }

    /// Hands an attempt to a wrapper. One that was killed while it was idle has a plain one take its place.
    pub(super) async fn hand_over(&self, mut wrapper: Wrapper, folder: &Path) -> std::io::Result<Wrapper> {
        if wrapper.order(folder).await.is_ok() {
            return Ok(wrapper);
        }
        loop {
            let idle = self.idle.lock().pop();
            let Some((mut wrapper, _)) = idle else { break };
            if wrapper.order(folder).await.is_ok() {
                return Ok(wrapper);
            }
        }
        let mut wrapper = self.start()?;
        wrapper.order(folder).await?;
        Ok(wrapper)
    }

    fn start(&self) -> std::io::Result<Wrapper> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let channel = UnixStream::from_std(ours)?;
        let mut command = Command::new(&self.program);
        // The process could read the wrapper's environment, so the server's secrets are not in it.
        command.args(&self.arguments).env_clear().current_dir("/");
        #[cfg(debug_assertions)]
        command.envs(failpoint::VARIABLES.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        command.stdin(OwnedFd::from(theirs.try_clone()?)).stdout(OwnedFd::from(theirs)).stderr(Stdio::null());
        // The runtime reaps it.
        drop(tokio::process::Command::from(command).kill_on_drop(false).spawn()?);
        Ok(Wrapper { channel, home: None, of_program: false, era: self.era.load(Ordering::Acquire) })
    }

    /// Takes a wrapper back that has finished its attempt. One that a program made ends: what made it could look into it.
    pub(super) fn take_back(&self, wrapper: Wrapper) {
        let mut idle = self.idle.lock();
        if !wrapper.of_program && idle.len() < IDLE_MAX.max(self.wanted.load(Ordering::Relaxed)) {
            idle.push((wrapper, Instant::now()));
        }
    }

    /// Has so many be without work from now on. As many as are wanted less go, those first that have had none for the longest time.
    pub(super) fn keep(&self, wanted: usize) {
        let before = self.wanted.swap(wanted, Ordering::Relaxed);
        {
            let mut idle = self.idle.lock();
            idle.retain(|(wrapper, _)| wrapper.is_there());
            let less = before.saturating_sub(wanted).min(idle.len().saturating_sub(wanted));
            idle.drain(..less);
        }
        self.top_up();
    }

    /// How many are without work.
    pub(super) fn idle(&self) -> usize {
        let mut idle = self.idle.lock();
        idle.retain(|(wrapper, _)| wrapper.is_there());
        idle.len()
    }

    /// Starts what is wanted and not there: some have begun to work, or were killed.
    fn top_up(&self) {
        // One at a time: two would start twice as many.
        let Some(_topping_up) = self.topping_up.try_lock() else { return };
        while self.idle.lock().len() < self.wanted.load(Ordering::Relaxed) {
            match self.start() {
                // Before all others: those that worked last are warmer.
                Ok(wrapper) => self.idle.lock().insert(0, (wrapper, Instant::now())),
                Err(error) => return tracing::warn!(%error, "no more wrappers can be started ahead of work"),
            }
        }
    }

    /// Takes a wrapper back that has finished its attempt and kept its child.
    pub(super) fn take_back_kept(&self, wrapper: Wrapper, reuse: &Reuse) {
        let until = Instant::now() + reuse.idle.to_std();
        let mut kept = self.kept.lock();
        let of_its_kind = kept.entry(reuse.key.clone()).or_default();
        if wrapper.era == self.era.load(Ordering::Acquire) && of_its_kind.len() < reuse.keep {
            of_its_kind.push((wrapper, until));
        }
    }

    /// Lets those go that have loaded something: what is around them is as it was when they began.
    pub(super) fn begin_anew(&self) {
        self.era.fetch_add(1, Ordering::AcqRel);
        self.kept.lock().clear();
        self.nurseries.clear();
    }

    /// Lets those go that have had no work for long.
    pub(super) fn expire(&self) {
        let now = Instant::now();
        self.let_go();
        let mut kept = self.kept.lock();
        for of_a_kind in kept.values_mut() {
            of_a_kind.retain(|(_, until)| now < *until);
        }
        kept.retain(|_, of_a_kind| !of_a_kind.is_empty());
        self.nurseries.expire();
        self.top_up();
    }

    /// Lets those go that are wanted no more and have had no work for long.
    fn let_go(&self) {
        let mut idle = self.idle.lock();
        idle.retain(|(wrapper, _)| wrapper.is_there());
        let mut more = idle.len().saturating_sub(self.wanted.load(Ordering::Relaxed));
        idle.retain(|(_, since)| {
            let goes = more > 0 && since.elapsed() >= IDLE_FOR;
            more -= usize::from(goes);
            !goes
        });
    }
}

impl Wrapper {
    /// Whether it was not killed while it had no work. One that has says nothing.
    fn is_there(&self) -> bool {
        matches!(self.channel.try_read(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
    }

    /// Where its child is at home, when that stays.
    pub(super) fn home(&self) -> Option<&Path> {
        self.home.as_ref().map(Home::path)
    }

    async fn order(&mut self, folder: &Path) -> std::io::Result<()> {
        let mut order = std::os::unix::ffi::OsStrExt::as_bytes(folder.as_os_str()).to_vec();
        order.push(0);
        self.channel.write_all(&order).await
    }

    /// What it says next; none when it is gone. What is no word is passed over.
    pub(super) async fn word(&mut self) -> Option<Word> {
        let mut byte = [0];
        while self.channel.read(&mut byte).await.is_ok_and(|count| count == 1) {
            let words = [Word::Taken, Word::Lost, Word::Done, Word::Kept];
            if let Some(known) = words.into_iter().find(|word| *word as u8 == byte[0]) {
                return Some(known);
            }
        }
        None
    }
}
