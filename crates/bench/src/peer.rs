//! A peer in the same rounds, when it is installed: Restate's server with a Node service, over HTTP. It is never required.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::http::Client;
use crate::proc;
use crate::sample::{Sample, quantile};

const INGRESS: &str = "127.0.0.1:18080";
const ADMIN: &str = "127.0.0.1:19070";
const SERVICE: &str = "http://127.0.0.1:19080";

/// A running Restate with the service of the workloads.
pub(crate) struct Peer {
    server: Child,
    service: Child,
    client: Client,
}

impl Peer {
    /// Starts `restate=FOLDER`: the folder holds the `node_modules` with the server and the SDK.
    pub(crate) fn start(which: &str, data: &Path) -> anyhow::Result<Peer> {
        let Some(("restate", folder)) = which.split_once('=') else { bail!("`{which}` is not `restate=FOLDER`") };
        let folder = PathBuf::from(folder);
        let program = folder.join("node_modules/@restatedev/restate-server-linux-x64/bin/restate-server");
        let base = data.join("restate");
        std::fs::create_dir_all(&base)?;
        let log = std::fs::File::create(data.join("restate.log"))?;
        let settings = [
            ("RESTATE_BASE_DIR", base.to_string_lossy().into_owned()),
            ("RESTATE_BIND_IP", "127.0.0.1".into()),
            ("RESTATE_BIND_PORT", "15122".into()),
            ("RESTATE_INGRESS__BIND_PORT", "18080".into()),
            ("RESTATE_ADMIN__BIND_PORT", "19070".into()),
            ("RESTATE_LISTEN_MODE", "tcp".into()),
            ("RESTATE_ADVERTISED_HOST", "127.0.0.1".into()),
            ("RESTATE_DISABLE_TELEMETRY", "true".into()),
            ("RESTATE_LOG_FILTER", "error".into()),
        ];
        let server = Command::new(&program)
            .arg("--no-logo")
            .envs(settings)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log.try_clone()?)
            .spawn()
            .with_context(|| format!("start `{}`", program.display()))?;
        let source = include_str!("../restate.mjs");
        std::fs::write(folder.join("tutti-bench.mjs"), source)?;
        let service = Command::new("node")
            .arg("tutti-bench.mjs")
            .current_dir(&folder)
            .env("NODE_ENV", "production")
            .env("RESTATE_LOGGING", "ERROR")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("start node")?;
        // From here on dropping it ends both.
        let client = eventually(|| {
            let mut admin = Client::connect(ADMIN)?;
            admin.call("POST", "/deployments", &serde_json::json!({"uri": SERVICE}))?;
            Client::connect(INGRESS)
        });
        let (mut server, mut service) = (server, service);
        match client {
            Ok(client) => Ok(Peer { server, service, client }),
            Err(error) => {
                for child in [&mut service, &mut server] {
                    child.kill()?;
                    child.wait()?;
                }
                Err(error)
            }
        }
    }

    fn call(&mut self, handler: &str, count: usize) -> anyhow::Result<()> {
        self.client.call("POST", &format!("/bench/{handler}"), &count.into())?;
        Ok(())
    }

    /// One workload, as [`crate::rounds`] has it.
    pub(crate) fn measure(&mut self, what: &str) -> anyhow::Result<Sample> {
        let (cpu, written) = (proc::cpu_ms(self.server.id()), proc::written(self.server.id()));
        let began = Instant::now();
        let (steps, mut sample) = match what {
            "W1" => {
                self.call("chain", 40)?;
                (40, Sample::default())
            }
            "W2" => {
                self.call("fan", 1_000)?;
                (1_000, Sample::default())
            }
            "W3" => {
                let runs = 500;
                burst(runs)?;
                (runs * 3, Sample::one("runs_per_s", runs as f64 / began.elapsed().as_secs_f64()))
            }
            _ => {
                let mut taken = Vec::new();
                for _ in 0..200 {
                    let began = Instant::now();
                    self.call("chain", 1)?;
                    taken.push(began.elapsed().as_secs_f64() * 1e3);
                }
                taken.sort_by(f64::total_cmp);
                (200, Sample::one("p50_ms", quantile(&taken, 0.5)).with("p99_ms", quantile(&taken, 0.99)))
            }
        };
        sample = sample.with("ms", began.elapsed().as_secs_f64() * 1e3);
        let per_step = |value: f64| value / steps as f64;
        Ok(sample
            .with("cpu_ms_per_step", per_step(proc::cpu_ms(self.server.id()) - cpu))
            .with("bytes_per_step", per_step((proc::written(self.server.id()) - written) as f64))
            .with("load", proc::load()))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        for child in [&mut self.service, &mut self.server] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Many runs of three steps over 64 connections.
fn burst(runs: usize) -> anyhow::Result<()> {
    let left = AtomicUsize::new(runs);
    let connection = || -> anyhow::Result<()> {
        let mut client = Client::connect(INGRESS)?;
        while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
            client.call("POST", "/bench/chain", &3.into())?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..64).map(|_| scope.spawn(connection)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| anyhow::anyhow!("a connection's thread failed"))?)
    })
}

fn eventually<T>(mut attempt: impl FnMut() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let until = Instant::now() + Duration::from_secs(90);
    loop {
        match attempt() {
            Ok(done) => return Ok(done),
            Err(error) if Instant::now() > until => return Err(error.context("the peer did not come up")),
            Err(_) => proc::pause(Duration::from_millis(500)),
        }
    }
}
