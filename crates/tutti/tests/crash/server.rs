//! A real server in a process of its own, and the little HTTP that it takes to talk to it.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::leftovers;

/// The longest that anything here is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A data directory and what lies beside it.
pub(crate) struct Place {
    pub(crate) folder: tempfile::TempDir,
}

impl Drop for Place {
    fn drop(&mut self) {
        leftovers::end(&self.data());
    }
}

impl Place {
    pub(crate) fn new() -> Place {
        Place { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Where failpoints note what happened.
    pub(crate) fn hits(&self) -> PathBuf {
        self.folder.path().join("hits")
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("server.log")
    }

    /// The end of the server's log, for messages.
    pub(crate) fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

/// A running server. It is killed when this is dropped.
pub(crate) struct Server {
    child: Child,
    out: Option<BufReader<ChildStdout>>,
    pub(crate) url: String,
}

impl Server {
    /// Starts one and does not wait for it.
    pub(crate) fn spawn(place: &Place, failpoints: &str) -> Server {
        let log = File::options().create(true).append(true).open(place.log()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_tutti"));
        command.args(["up", "--stop-with-stdin", "--listen", "127.0.0.1:0", "--data"]).arg(place.data());
        command.env("TUTTI_FAILPOINTS", failpoints).env("TUTTI_FAILPOINT_LOG", place.hits());
        // It ends with this process, however that ends.
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let out = child.stdout.take().map(BufReader::new);
        Server { child, out, url: String::new() }
    }

    /// Waits until it takes requests. False when it ended before.
    pub(crate) fn comes_up(&mut self) -> bool {
        let mut line = String::new();
        let read = self.out.as_mut().map(|out| out.read_line(&mut line));
        match (read, line.trim().strip_prefix("tutti is up at http://")) {
            (Some(Ok(_)), Some(url)) => {
                self.url = url.to_owned();
                true
            }
            _ => false,
        }
    }

    /// Starts one that has to come up.
    pub(crate) fn start(place: &Place, failpoints: &str) -> Server {
        let mut server = Server::spawn(place, failpoints);
        assert!(server.comes_up(), "the server did not start:\n{}", place.log_tail());
        server
    }

    /// `kill -9`, and nothing left of it.
    pub(crate) fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// How it ended by itself, when it did in this time.
    pub(crate) fn ended_within(&mut self, patience: Duration) -> Option<ExitStatus> {
        let until = Instant::now() + patience;
        loop {
            match self.child.try_wait().unwrap() {
                Some(status) => return Some(status),
                None if Instant::now() >= until => return None,
                None => pause(Duration::from_millis(5)),
            }
        }
    }

    /// SIGTERM, and an orderly end.
    pub(crate) fn stop(mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let status = self.ended_within(PATIENCE);
        assert!(status.is_some_and(|status| status.success()), "it did not stop in order: {status:?}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Looks again after a moment: what is waited for is in another process and cannot call back.
#[expect(clippy::disallowed_methods, reason = "moments of a kill are random, and other processes can only be asked again")]
pub(crate) fn pause(span: Duration) {
    std::thread::sleep(span);
}

/// One request on a connection of its own.
pub(crate) fn call(url: &str, method: &str, path: &str, body: &Value) -> std::io::Result<(u16, Value)> {
    let mut stream = TcpStream::connect(url)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: {url}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let broken = || std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "the answer broke off");
    let text = String::from_utf8_lossy(&answer);
    let (head, content) = text.split_once("\r\n\r\n").ok_or_else(broken)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(broken)?;
    let value = if content.is_empty() { Value::Null } else { serde_json::from_str(content).map_err(|_| broken())? };
    Ok((status, value))
}

/// The wrappers of attempts that are running: only processes that are wrappers of this test's program.
pub(crate) fn wrappers(data: &Path) -> Vec<i32> {
    let Ok(attempts) = std::fs::read_dir(data.join("sites/local/attempts")) else { return Vec::new() };
    let pid_in = |folder: PathBuf| {
        let text = std::fs::read_to_string(folder.join("shim.pid")).ok()?;
        let pid: i32 = text.split(' ').next()?.parse().ok()?;
        let program = std::fs::read_link(format!("/proc/{pid}/exe")).ok()?;
        (program == Path::new(env!("CARGO_BIN_EXE_tutti")) && !folder.join("result.json").exists()).then_some(pid)
    };
    attempts.filter_map(|attempt| pid_in(attempt.ok()?.path())).collect()
}
