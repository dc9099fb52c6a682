//! A server that is measured: `tutti up` on a folder of its own, and what is sent to it.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use crate::http::Client;
use crate::workflows::{self, Mode};

/// Steps of the chain of W1.
pub(crate) const CHAIN: usize = 40;
/// Steps of a run of W3.
pub(crate) const SHORT: usize = 3;
/// Actions that the worker takes at a time.
const SLOTS: usize = 256;

/// A running server.
pub(crate) struct Server {
    child: Child,
    /// `host:port`.
    pub(crate) address: String,
    /// Seconds from the start of the process to its line.
    pub(crate) up_seconds: f64,
    data: PathBuf,
}

impl Server {
    /// Starts `tutti up` on a data directory and waits for its line.
    pub(crate) fn start(tutti: &Path, data: &Path) -> anyhow::Result<Server> {
        Server::start_with(tutti, data, &[])
    }

    /// The same with more words on its command line.
    pub(crate) fn start_with(tutti: &Path, data: &Path, words: &[&OsStr]) -> anyhow::Result<Server> {
        let began = Instant::now();
        let log = std::fs::File::create(data.with_extension("log"))?;
        let mut child = Command::new(tutti)
            .args(["up", "--stop-with-stdin", "--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .with_context(|| format!("start `{}`", tutti.display()))?;
        let lines = BufReader::new(child.stdout.take().context("no output")?);
        for line in lines.lines() {
            if let Some(url) = line?.strip_prefix("tutti is up at http://") {
                let address = url.trim_end_matches('/').to_owned();
                return Ok(Server { child, address, up_seconds: began.elapsed().as_secs_f64(), data: data.to_owned() });
            }
        }
        bail!("the server did not come up: see {}", data.with_extension("log").display())
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A new connection to it.
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        Client::connect(&self.address)
    }

    /// Registers the workflows of all workloads.
    pub(crate) fn apply_all(&self) -> anyhow::Result<()> {
        let mut texts = vec![workflows::connector()];
        for mode in [Mode::Builtin, Mode::Worker, Mode::Process] {
            let name = mode.name();
            texts.push(workflows::chain(&format!("chain-{name}"), mode, CHAIN));
            texts.push(workflows::chain(&format!("short-{name}"), mode, SHORT));
            texts.push(workflows::chain(&format!("one-{name}"), mode, 1));
            texts.push(workflows::fan(&format!("fan-{name}"), mode));
        }
        let mut client = self.client()?;
        for (index, text) in texts.into_iter().enumerate() {
            let documents = json!([{"path": format!("bench-{index}.yaml"), "text": text}]);
            client.call("POST", "/api/v1/apply", &json!({"documents": documents}))?;
        }
        Ok(())
    }

    /// Starts a worker in a process of its own and waits until it has served something.
    pub(crate) fn start_worker(&self) -> anyhow::Result<Worker> {
        let program = std::env::current_exe()?;
        let mut command = Command::new(program);
        command.args(["worker", &self.address, &format!("{}@1", workflows::CONNECTOR), &SLOTS.to_string()]);
        let child = command.stdin(Stdio::null()).spawn().context("start a worker")?;
        let worker = Worker(child);
        run(&mut self.client()?, "one-worker", json!({}))?;
        Ok(worker)
    }

    /// Kills it: nothing is written any more.
    pub(crate) fn kill(mut self) -> anyhow::Result<PathBuf> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(self.data.clone())
    }

    /// Asks it to stop and gives the data directory.
    pub(crate) fn stop(mut self) -> anyhow::Result<PathBuf> {
        self.end()?;
        Ok(self.data.clone())
    }

    fn end(&mut self) -> anyhow::Result<()> {
        if self.child.try_wait()?.is_some() {
            return Ok(());
        }
        if let Some(pid) = rustix::process::Pid::from_raw(self.child.id() as i32) {
            rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        }
        let until = Instant::now() + Duration::from_secs(30);
        while self.child.try_wait()?.is_none() {
            if Instant::now() > until {
                self.child.kill()?;
                self.child.wait()?;
                bail!("the server did not stop when asked to");
            }
            crate::proc::pause(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Whatever went wrong, no server stays behind.
        let _ = self.end();
    }
}

/// A worker's process.
pub(crate) struct Worker(Child);

impl Worker {
    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The body of a submission.
pub(crate) fn submission(workflow: &str, inputs: Value) -> Value {
    json!({"workflow": format!("bench/{workflow}"), "inputs": inputs})
}

/// Starts a run and waits for its end; one that does not end well is an error.
pub(crate) fn run(client: &mut Client, workflow: &str, inputs: Value) -> anyhow::Result<Value> {
    let answer = client.call("POST", "/api/v1/runs?wait=300", &submission(workflow, inputs))?;
    if answer["phase"] != "succeeded" {
        bail!("a run of bench/{workflow} is {}: {}", answer["phase"], answer["failure"]);
    }
    Ok(answer)
}
