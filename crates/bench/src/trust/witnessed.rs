//! From a commit to a checkpoint that a witness has signed, with the real programs.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::options::Options;
use crate::report::Report;
use crate::rounds::remove;
use crate::sample::{Sample, quantile};
use crate::server::{Server, run};

/// Commits that are followed.
const COMMITS: usize = 40;
/// The longest that one may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A witness, which ends with this.
struct Witness(Child);

impl Drop for Witness {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs one at a time; after each it is asked for until the log's last witnessed checkpoint covers it.
pub(super) fn measure(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let folder = options.folder("witness")?;
    let data = folder.join("data");
    std::fs::create_dir_all(&data)?;
    // The first start makes the log's key.
    let first = Server::start(&options.tutti, &data)?;
    first.apply_all()?;
    first.stop()?;
    let key = output(Command::new(&options.tutti).args(["audit", "key"]).env("TUTTI_DATA", &data))?;
    let log = folder.join("log.key");
    std::fs::write(&log, &key)?;
    let mut witnesses = Vec::new();
    let mut policy = format!("log {}\n", key.trim());
    for number in 0..3 {
        let (witness, line) = witness(&options.tutti, &log, &folder.join(format!("w{number}")), number)?;
        witnesses.push(witness);
        policy += &format!("witness w{number} {line}\n");
    }
    policy += "group all 2 w0 w1 w2\nquorum all\n";
    std::fs::write(folder.join("policy"), policy)?;
    let server = Server::start_with(&options.tutti, &data, &["--witnesses".as_ref(), folder.join("policy").as_os_str()])?;
    let mut client = server.client()?;
    let mut taken = Vec::new();
    for _ in 0..COMMITS {
        run(&mut client, "one-builtin", json!({}))?;
        let begun = Instant::now();
        let entries = status(&mut client)?["entries"].as_u64().context("a log without entries")?;
        while status(&mut client)?["witnessed"]["size"].as_u64() < Some(entries) {
            anyhow::ensure!(begun.elapsed() < PATIENCE, "no witness signed: {}", status(&mut client)?);
            crate::proc::pause(Duration::from_millis(2));
        }
        taken.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    taken.sort_by(f64::total_cmp);
    let sample = Sample::one("p50_ms", quantile(&taken, 0.5)).with("p99_ms", quantile(&taken, 0.99));
    report.add("witness, commit to checkpoint", sample.with("witnesses", 3.0));
    server.stop()?;
    drop(witnesses);
    remove(&folder)
}

fn status(client: &mut crate::http::Client) -> anyhow::Result<Value> {
    client.call("GET", "/api/v1/audit/status", &Value::Null)
}

fn output(command: &mut Command) -> anyhow::Result<String> {
    let output = command.stdin(Stdio::null()).output()?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// Starts a witness; gives it and what a policy says of it: its key and where it is.
fn witness(tutti: &Path, log: &Path, state: &Path, number: usize) -> anyhow::Result<(Witness, String)> {
    let mut command = Command::new(tutti);
    command.arg("witness").arg("--log").arg(log).arg("--state").arg(state);
    command.args(["--name", &format!("example.com/w{number}"), "--listen", "127.0.0.1:0"]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut witness = Witness(child);
    let first = |from: &mut dyn std::io::Read| BufReader::new(from).lines().next().context("it says nothing")?.context("no line");
    let key = first(witness.0.stdout.as_mut().context("no output")?)?;
    let said = first(witness.0.stderr.as_mut().context("no messages")?)?;
    let url = said.rsplit(' ').next().unwrap_or_default().to_owned();
    Ok((witness, format!("{key} {url}")))
}
