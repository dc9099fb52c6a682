//! What it costs as work grows: a restart with many open actions, many actions in one run, many actions in the journal.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::json;

use crate::options::Options;
use crate::report::Report;
use crate::rounds::{batch_of, remove, series_of};
use crate::sample::{Meter, Sample, quantile};
use crate::server::{CHAIN, SHORT, Server, run, submission};
use crate::worker::Stream;
use crate::{proc, workflows};

/// Actions of one map: the most that the language allows.
const MAP_MAX: u64 = 10_000;

/// Kills a server with many open actions, and starts it again: how long until it is up, and until a worker gets the first of them.
pub(crate) fn restart(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let folder = options.folder("restart")?;
    let server = Server::start(&options.tutti, &folder)?;
    server.apply_all()?;
    let mut client = server.client()?;
    let mut open = 0;
    while open < options.open {
        let items: Vec<u64> = (0..MAP_MAX.min(options.open - open)).collect();
        open += items.len() as u64;
        // Nobody serves them: they are placed, offered to workers, and stay.
        let answer = client.call("POST", "/api/v1/runs", &submission("fan-worker", json!({"items": items})))?;
        let number = answer["number"].as_u64().context("a run without a number")?;
        wait_for_actions(&mut client, number, items.len() as u64 + 1)?;
    }
    server.kill()?;
    for _ in 0..3 {
        let sample = open_again(options, &folder, open)?;
        report.add("restart", sample);
    }
    remove(&folder)
}

fn wait_for_actions(client: &mut crate::http::Client, run: u64, count: u64) -> anyhow::Result<()> {
    let until = Instant::now() + Duration::from_secs(120);
    while Instant::now() < until {
        let view = client.call("GET", &format!("/api/v1/runs/{run}?actions=1"), &serde_json::Value::Null)?;
        if view["actions_total"].as_u64() >= Some(count) {
            return Ok(());
        }
        proc::pause(Duration::from_millis(50));
    }
    anyhow::bail!("the run {run} did not open its {count} actions")
}

fn open_again(options: &Options, folder: &std::path::Path, open: u64) -> anyhow::Result<Sample> {
    // The last server is gone, killed with everything open.
    let server = Server::start(&options.tutti, folder)?;
    let began = Instant::now();
    let mut stream = Stream::open(&server.address, &format!("{}@1", workflows::CONNECTOR), 1)?;
    loop {
        let message = stream.hear()?.context("the stream ended before anything was leased")?;
        if message["leases"].as_array().is_some_and(|leases| !leases.is_empty()) {
            break;
        }
    }
    let first = server.up_seconds + began.elapsed().as_secs_f64();
    let sample = Sample::one("up_s", server.up_seconds)
        .with("first_dispatch_s", first)
        .with("open_actions", open as f64)
        .with("rss_mib", proc::memory(server.pid()).rss)
        .with("load", proc::load());
    server.kill()?;
    Ok(sample)
}

/// From ten to ten thousand actions in one run.
pub(crate) fn within_a_run(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let folder = options.folder("run")?;
    let server = Server::start(&options.tutti, &folder)?;
    server.apply_all()?;
    let worker = server.start_worker()?;
    let mut client = server.client()?;
    for round in 0..options.rounds {
        for count in [10usize, 100, 1_000, 10_000] {
            for mode in ["builtin", "worker"] {
                let items: Vec<usize> = (0..count).collect();
                let meter = Meter::start(&server, Some(&worker));
                run(&mut client, &format!("fan-{mode}"), json!({"items": items}))?;
                let sample = meter.stop(count);
                let each = sample.0["ms"] * 1e3 / count as f64;
                report.add(&format!("run of {count} actions, {mode}"), sample.with("us_per_action", each));
            }
        }
        eprintln!("actions in one run: round {} of {}", round + 1, options.rounds);
    }
    drop(worker);
    server.stop()?;
    remove(&folder)
}

/// From a thousand actions in the journal on, by tens.
pub(crate) fn over_the_journal(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let folder = options.folder("journal")?;
    let mut server = Server::start(&options.tutti, &folder)?;
    server.apply_all()?;
    let (mut actions, mut wanted) = (0, 1_000);
    while wanted <= options.actions {
        let mut client = server.client()?;
        let began = Instant::now();
        let (from, mut meter) = (actions, Some(Meter::start(&server, None)));
        while actions < wanted {
            let runs = (wanted - actions).div_ceil(SHORT as u64).clamp(1, 2_000) as usize;
            batch_of(&mut client, "short-builtin", runs)?;
            actions += (runs * SHORT) as u64;
        }
        let filling = meter.take().map(|meter| meter.stop((actions - from) as usize)).unwrap_or_default();
        let rate = (actions - from) as f64 / began.elapsed().as_secs_f64();
        for _ in 0..options.rounds {
            let meter = Meter::start(&server, None);
            run(&mut client, "chain-builtin", json!({}))?;
            actions += CHAIN as u64;
            let chain = meter.ms();
            let taken = series_of(&mut client, "one-builtin", 100)?;
            actions += 100;
            let sample =
                Sample::one("w1_ms", chain).with("w4_p50_ms", quantile(&taken, 0.5)).with("w4_p99_ms", quantile(&taken, 0.99));
            report.add(&format!("journal of {wanted} actions"), sample.with("load", proc::load()));
        }
        let views = views(&mut client, options.rounds)?;
        report.add(&format!("journal of {wanted} actions"), views);
        report.add(&format!("whatif over {wanted} actions"), what_if(options, &server)?);
        // A start reads what is open, not what ever was.
        let rss = proc::memory(server.pid()).rss;
        let data = server.stop()?;
        let size = std::fs::metadata(data.join("journal/journal.db")).map_or(0, |file| file.len());
        server = Server::start(&options.tutti, &folder)?;
        let state = Sample::one("start_s", server.up_seconds)
            .with("rss_mib", rss)
            .with("file_bytes_per_action", size as f64 / actions as f64)
            .with("actions_per_s", rate)
            .with("cpu_ms_per_action", filling.0["cpu_ms_per_step"])
            .with("bytes_per_action", filling.0["bytes_per_step"]);
        report.add(&format!("journal of {wanted} actions"), state);
        eprintln!("{actions} actions in the journal");
        wanted *= 10;
    }
    server.stop()?;
    remove(&folder)
}

/// Asks what would have been of all that is in the journal, on the command line: reading it, playing it three times with other prices, and showing it.
fn what_if(options: &Options, server: &Server) -> anyhow::Result<Sample> {
    let (began, rss) = (Instant::now(), proc::memory(server.pid()).rss);
    let asked = std::process::Command::new(&options.tutti)
        .args([
            "--server",
            &format!("http://{}", server.address),
            "whatif",
            "--days",
            "30",
            "--site",
            "local:cpu_hour=1",
            "-o",
            "json",
        ])
        .output()?;
    anyhow::ensure!(asked.status.success(), "tutti whatif: {}", String::from_utf8_lossy(&asked.stderr));
    let seconds = began.elapsed().as_secs_f64();
    let view: serde_json::Value = serde_json::from_slice(&asked.stdout)?;
    let count = |name: &str| view[name].as_f64().unwrap_or_default();
    let sample = Sample::one("s", seconds).with("actions", count("actions")).with("runs", count("runs"));
    Ok(sample.with("rss_before_mib", rss).with("rss_after_mib", proc::memory(server.pid()).rss).with("load", proc::load()))
}

/// How long it takes to look: lists, and runs of long ago. The longest answers are those that find nothing.
fn views(client: &mut crate::http::Client, rounds: u32) -> anyhow::Result<Sample> {
    let paths = [
        ("list_runs_ms", "/api/v1/runs?limit=50"),
        ("list_workflow_ms", "/api/v1/runs?limit=50&workflow=bench%2Fone-process"),
        ("list_failed_ms", "/api/v1/runs?limit=50&phase=failed"),
        ("list_running_ms", "/api/v1/runs?limit=50&phase=running"),
        ("first_run_ms", "/api/v1/runs/1"),
        ("approvals_ms", "/api/v1/approvals"),
        ("sites_ms", "/api/v1/sites"),
        ("metrics_ms", "/metrics"),
    ];
    let mut sample = Sample::default();
    for (name, path) in paths {
        let mut taken = Vec::new();
        for _ in 0..rounds.max(3) * 4 {
            let began = Instant::now();
            let (status, _) = client.send("GET", path, &[])?;
            anyhow::ensure!(status == 200, "GET {path}: {status}");
            taken.push(began.elapsed().as_secs_f64() * 1e3);
        }
        taken.sort_by(f64::total_cmp);
        sample = sample.with(name, quantile(&taken, 0.5));
    }
    Ok(sample)
}
