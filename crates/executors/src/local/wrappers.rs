//! Wrappers that are ready: starting one costs more than most short processes take, so that one serves many attempts, one at a time.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, ChildStdout};

use crate::shim::Word;

/// Wrappers kept without work.
const IDLE_MAX: usize = 8;
/// How long one is kept without work.
const IDLE_FOR: Duration = Duration::from_secs(60);

/// The wrappers of a site.
pub(super) struct Wrappers {
    program: PathBuf,
    arguments: Vec<String>,
    /// Those without work, the one that worked last at the end.
    idle: Mutex<Vec<(Wrapper, Instant)>>,
}

/// A wrapper that runs. Dropped, it ends with the attempt it has.
pub(super) struct Wrapper {
    child: Child,
    orders: ChildStdin,
    words: ChildStdout,
}

impl Wrappers {
    pub(super) fn new((program, arguments): (PathBuf, Vec<String>)) -> Wrappers {
        Wrappers { program, arguments, idle: Mutex::default() }
    }

    /// Hands an attempt to a wrapper: one that is idle, or a new one.
    pub(super) async fn hand_over(&self, folder: &Path) -> std::io::Result<Wrapper> {
        loop {
            let idle = self.idle.lock().pop();
            let Some((mut wrapper, _)) = idle else { break };
            // One that was killed meanwhile cannot be written to.
            if wrapper.order(folder).await.is_ok() {
                return Ok(wrapper);
            }
        }
        let mut wrapper = self.start()?;
        wrapper.order(folder).await?;
        Ok(wrapper)
    }

    fn start(&self) -> std::io::Result<Wrapper> {
        let mut command = Command::new(&self.program);
        // The process could read the wrapper's environment, so the server's secrets are not in it.
        command.args(&self.arguments).env_clear().current_dir("/");
        #[cfg(debug_assertions)]
        command.envs(failpoint::VARIABLES.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = tokio::process::Command::from(command).kill_on_drop(false).spawn()?;
        let broken = || std::io::Error::other("the wrapper has no pipes");
        let (orders, words) = (child.stdin.take().ok_or_else(broken)?, child.stdout.take().ok_or_else(broken)?);
        Ok(Wrapper { child, orders, words })
    }

    /// Takes a wrapper back that has finished its attempt.
    pub(super) fn take_back(&self, wrapper: Wrapper) {
        let mut idle = self.idle.lock();
        if idle.len() < IDLE_MAX {
            idle.push((wrapper, Instant::now()));
        }
    }

    /// Lets those go that have had no work for long.
    pub(super) fn expire(&self) {
        self.idle.lock().retain(|(_, since)| since.elapsed() < IDLE_FOR);
    }
}

impl Wrapper {
    async fn order(&mut self, folder: &Path) -> std::io::Result<()> {
        let mut order = std::os::unix::ffi::OsStrExt::as_bytes(folder.as_os_str()).to_vec();
        order.push(0);
        self.orders.write_all(&order).await
    }

    /// What it says next; none when it is gone. What is no word is passed over.
    pub(super) async fn word(&mut self) -> Option<Word> {
        let mut byte = [0];
        while self.words.read(&mut byte).await.is_ok_and(|count| count == 1) {
            let known = [Word::Taken, Word::Lost, Word::Done].into_iter().find(|word| *word as u8 == byte[0]);
            if known.is_some() {
                return known;
            }
        }
        // Somebody has to reap it.
        let _ = self.child.wait().await;
        None
    }
}
