//! The workloads W1 to W4, each once a round, in another order every round.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::http::{self, Client};
use crate::options::Options;
use crate::peer::Peer;
use crate::report::Report;
use crate::sample::{Meter, Sample, quantile};
use crate::server::{CHAIN, SHORT, Server, Worker, run, submission};
use crate::workflows::Mode;
use crate::{floor, proc};

/// Steps of W2 besides the join.
pub(crate) const FAN: usize = 1_000;
/// Connections of W3 when every run is a request of its own.
const CONNECTIONS: usize = 64;

/// A part of a round.
#[derive(Clone, Copy, Debug)]
enum Part {
    Floor(&'static str),
    Chain(Mode),
    Fan(Mode),
    Batch(Mode),
    Singles(Mode),
    Series(Mode),
    Peer(&'static str),
}

impl Part {
    fn name(self) -> String {
        match self {
            Part::Floor(what) => format!("floor {what}"),
            Part::Chain(mode) => format!("W1 {}", mode.name()),
            Part::Fan(mode) => format!("W2 {}", mode.name()),
            Part::Batch(mode) => format!("W3 {} one request", mode.name()),
            Part::Singles(mode) => format!("W3 {} {CONNECTIONS} connections", mode.name()),
            Part::Series(mode) => format!("W4 {}", mode.name()),
            Part::Peer(what) => format!("{what} restate"),
        }
    }
}

fn parts(peer: bool) -> Vec<Part> {
    let mut parts: Vec<Part> = ["append", "overwrite", "chain", "fan", "spawn", "walls"].into_iter().map(Part::Floor).collect();
    for mode in [Mode::Builtin, Mode::Worker, Mode::Process] {
        parts.extend([Part::Chain(mode), Part::Fan(mode), Part::Batch(mode), Part::Singles(mode), Part::Series(mode)]);
    }
    if peer {
        parts.extend(["W1", "W2", "W3", "W4"].into_iter().map(Part::Peer));
    }
    parts
}

/// What a round is measured on.
struct Bench {
    server: Server,
    worker: Worker,
    client: Client,
    store: floor::Store,
    folder: std::path::PathBuf,
    tutti: std::path::PathBuf,
    peer: Option<Peer>,
}

/// Runs all rounds.
pub(crate) fn run_all(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let folder = options.folder("rounds")?;
    let data = folder.join("data");
    std::fs::create_dir_all(&data)?;
    let server = Server::start(&options.tutti, &data)?;
    server.apply_all()?;
    let worker = server.start_worker()?;
    let client = server.client()?;
    let peer = options.peer.as_deref().map(|peer| Peer::start(peer, &folder)).transpose()?;
    let mut bench = Bench {
        server,
        worker,
        client,
        store: floor::Store::open(&folder)?,
        folder: folder.clone(),
        tutti: options.tutti.clone(),
        peer,
    };
    report.note("client_p50_us", http::own_cost()?);
    let parts: Vec<Part> = parts(bench.peer.is_some()).into_iter().filter(|part| options.wants_workload(&part.name())).collect();
    // Warm once, so that the first round is like the others.
    for part in &parts {
        bench.measure(*part)?;
    }
    for round in 0..options.rounds {
        let mut order = parts.clone();
        shuffle(&mut order, u64::from(round) + 1);
        for part in order {
            let sample = bench.measure(part)?;
            report.add(&part.name(), sample);
        }
        eprintln!("round {} of {}, load {:.1}", round + 1, options.rounds, proc::load());
    }
    let Bench { server, worker, client, peer, .. } = bench;
    drop((worker, client, peer));
    server.stop()?;
    std::fs::remove_dir_all(folder)?;
    Ok(())
}

/// The same order for the same seed.
fn shuffle<T>(items: &mut [T], mut seed: u64) {
    for last in (1..items.len()).rev() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        items.swap(last, (seed >> 33) as usize % (last + 1));
    }
}

impl Bench {
    fn measure(&mut self, part: Part) -> anyhow::Result<Sample> {
        let (process_like, worker_like) = match part {
            Part::Chain(mode) | Part::Fan(mode) | Part::Batch(mode) | Part::Singles(mode) | Part::Series(mode) => {
                (mode == Mode::Process, mode == Mode::Worker)
            }
            _ => (false, false),
        };
        let worker = worker_like.then_some(&self.worker);
        // Processes take a hundred times as long; fewer of them say as much.
        let (fan, batch, singles, series) = if process_like { (200, 50, 64, 20) } else { (FAN, 500, 1_280, 200) };
        match part {
            Part::Floor(what) => self.floor(what),
            Part::Chain(mode) => {
                let meter = Meter::start(&self.server, worker);
                run(&mut self.client, &format!("chain-{}", mode.name()), json!({}))?;
                Ok(meter.stop(CHAIN))
            }
            Part::Fan(mode) => {
                let items: Vec<usize> = (0..fan).collect();
                let meter = Meter::start(&self.server, worker);
                run(&mut self.client, &format!("fan-{}", mode.name()), json!({"items": items}))?;
                let sample = meter.stop(fan + 1);
                let per_second = fan as f64 * 1e3 / sample.0["ms"];
                Ok(sample.with("steps_per_s", per_second))
            }
            Part::Batch(mode) => {
                let meter = Meter::start(&self.server, worker);
                batch_of(&mut self.client, &format!("short-{}", mode.name()), batch)?;
                let per_second = batch as f64 * 1e3 / meter.ms();
                Ok(meter.stop(batch * SHORT).with("runs_per_s", per_second))
            }
            Part::Singles(mode) => {
                let meter = Meter::start(&self.server, worker);
                singles_of(&self.server.address, &format!("short-{}", mode.name()), singles)?;
                let per_second = singles as f64 * 1e3 / meter.ms();
                Ok(meter.stop(singles * SHORT).with("runs_per_s", per_second))
            }
            Part::Series(mode) => {
                let meter = Meter::start(&self.server, worker);
                let taken = series_of(&mut self.client, &format!("one-{}", mode.name()), series)?;
                let sample = meter.stop(series);
                Ok(sample.with("p50_ms", quantile(&taken, 0.5)).with("p99_ms", quantile(&taken, 0.99)))
            }
            Part::Peer(what) => match &mut self.peer {
                Some(peer) => peer.measure(what),
                None => Ok(Sample::default()),
            },
        }
    }

    fn floor(&mut self, what: &str) -> anyhow::Result<Sample> {
        match what {
            "append" => floor::append(&self.folder),
            "overwrite" => floor::overwrite(&self.folder),
            "chain" => self.store.chain(),
            "fan" => self.store.fan(),
            "walls" => floor::walls(&self.tutti),
            _ => floor::spawn(),
        }
    }
}

/// Many runs in one request; the answer comes when all have ended.
pub(crate) fn batch_of(client: &mut Client, workflow: &str, runs: usize) -> anyhow::Result<()> {
    let runs: Vec<Value> = (0..runs).map(|_| submission(workflow, json!({}))).collect();
    let answer = client.call("POST", "/api/v1/runs:batch?wait=300", &json!({"runs": runs}))?;
    let refused = answer.as_array().into_iter().flatten().find(|run| run["number"].is_null());
    refused.map_or(Ok(()), |run| Err(anyhow::anyhow!("a run of a batch was refused: {run}")))
}

/// Many runs, each a request, over many connections.
fn singles_of(address: &str, workflow: &str, runs: usize) -> anyhow::Result<()> {
    let left = AtomicUsize::new(runs);
    let connection = || -> anyhow::Result<()> {
        let mut client = Client::connect(address)?;
        while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
            run(&mut client, workflow, json!({}))?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(connection)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| anyhow::anyhow!("a connection's thread failed"))?)
    })
}

/// Runs in series: the milliseconds of each, sorted.
pub(crate) fn series_of(client: &mut Client, workflow: &str, runs: usize) -> anyhow::Result<Vec<f64>> {
    let mut taken = Vec::with_capacity(runs);
    for _ in 0..runs {
        let began = Instant::now();
        run(client, workflow, json!({}))?;
        taken.push(began.elapsed().as_secs_f64() * 1e3);
    }
    taken.sort_by(f64::total_cmp);
    Ok(taken)
}

/// Memory of a server that has just started, and its peak over five fan-outs, for each kind of steps.
pub(crate) fn memory(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    for mode in [Mode::Builtin, Mode::Worker] {
        for _ in 0..3 {
            let folder = options.folder("memory")?;
            let server = Server::start(&options.tutti, &folder)?;
            server.apply_all()?;
            let worker = if mode == Mode::Worker { Some(server.start_worker()?) } else { None };
            proc::pause(Duration::from_secs(1));
            let sample = memory_of(&server, mode)?;
            report.add(&format!("memory {}", mode.name()), sample);
            drop(worker);
            server.stop()?;
            remove(&folder)?;
        }
    }
    Ok(())
}

fn memory_of(server: &Server, mode: Mode) -> anyhow::Result<Sample> {
    let idle = proc::memory(server.pid());
    proc::forget_peak(server.pid());
    let (done, pid) = (AtomicBool::new(false), server.pid());
    let items: Vec<usize> = (0..FAN).collect();
    let peak_pss = std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut peak = 0.0f64;
            while !done.load(Ordering::Relaxed) {
                peak = peak.max(proc::memory(pid).pss);
                proc::pause(Duration::from_millis(2));
            }
            peak
        });
        let fan = || -> anyhow::Result<()> {
            let mut client = server.client()?;
            (0..5).try_for_each(|_| run(&mut client, &format!("fan-{}", mode.name()), json!({"items": items})).map(drop))
        };
        let ran = fan();
        done.store(true, Ordering::Relaxed);
        let peak = watch.join().unwrap_or(0.0);
        ran.map(|()| peak)
    })?;
    Ok(Sample::one("idle_rss_mib", idle.rss)
        .with("idle_pss_mib", idle.pss)
        .with("peak_rss_mib", proc::peak_rss(pid))
        .with("peak_pss_mib", peak_pss))
}

/// Removes a data directory and the log beside it.
pub(crate) fn remove(folder: &Path) -> anyhow::Result<()> {
    std::fs::remove_dir_all(folder)?;
    // The log may be elsewhere.
    let _ = std::fs::remove_file(folder.with_extension("log"));
    Ok(())
}
