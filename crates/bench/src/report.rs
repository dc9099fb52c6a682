//! What was measured: samples of every round as JSON, and a table with the goals beside the figures.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::proc;
use crate::sample::{Sample, spread};
use crate::server::CHAIN;

/// A goal: the workload, the figure, its unit, what is wanted, and whether more is better.
struct Goal {
    workload: &'static str,
    figure: &'static str,
    unit: &'static str,
    wanted: f64,
    more: bool,
}

const fn at_most(workload: &'static str, figure: &'static str, unit: &'static str, wanted: f64) -> Goal {
    Goal { workload, figure, unit, wanted, more: false }
}

const fn at_least(workload: &'static str, figure: &'static str, unit: &'static str, wanted: f64) -> Goal {
    Goal { workload, figure, unit, wanted, more: true }
}

/// The goals, in the order of the table.
const GOALS: &[Goal] = &[
    at_most("W1 builtin", "ms", "ms", 20.0),
    at_most("W1 worker", "ms", "ms", 40.0),
    at_most("W2 builtin", "ms", "ms", 50.0),
    at_most("W2 worker", "ms", "ms", 200.0),
    at_least("W3 builtin one request", "runs_per_s", "runs/s", 5_000.0),
    at_least("W3 worker one request", "runs_per_s", "runs/s", 1_500.0),
    at_least("W3 builtin 64 connections", "runs_per_s", "runs/s", 5_000.0),
    at_least("W3 worker 64 connections", "runs_per_s", "runs/s", 1_500.0),
    at_most("W4 builtin", "p50_ms", "ms", 1.5),
    at_most("W4 builtin", "p99_ms", "ms", 5.0),
    at_most("W4 worker", "p50_ms", "ms", 2.5),
    at_most("W4 worker", "p99_ms", "ms", 8.0),
    at_most("memory builtin", "idle_rss_mib", "MiB", 30.0),
    at_most("memory builtin", "peak_rss_mib", "MiB", 80.0),
    at_most("memory worker", "idle_rss_mib", "MiB", 40.0),
    at_most("memory worker", "peak_rss_mib", "MiB", 120.0),
    at_most("restart", "first_dispatch_s", "s", 10.0),
    at_most("W1 process", "overhead_ms_per_step", "ms", 2.0),
    at_most("placement decision", "p50_us", "µs", 50.0),
    at_most("placement decision", "p99_us", "µs", 1_000.0),
    at_most("placement rollout", "ms", "ms", 50.0),
    at_most("placement replay", "s", "s", 60.0),
    at_most("whatif over 1000000 actions", "s", "s", 60.0),
    at_most("rules cached look-up", "p99_us", "µs", 5.0),
    at_most("rules cold enumeration", "p99_ms", "ms", 25.0),
    at_most("rules request to the API", "p99_us", "µs", 1_000.0),
    at_most("rules certificate", "ms", "ms", 50.0),
    at_most("log levels 1 and 2 from memory", "s", "s", 5.0),
    at_most("log hashing", "percent_of_throughput", "%", 2.0),
    at_most("account levels 1 and 2", "us_per_entry", "µs", 5.0),
    at_most("account levels 1 to 4", "us_per_entry", "µs", 600.0),
    at_most("account after a run was erased", "erase_s", "s", 1.0),
    at_most("witness, commit to checkpoint", "p99_ms", "ms", 3_000.0),
    at_most("flyte kept", "one_ms", "ms", 50.0),
    at_most("flyte kept", "ten_ms", "ms", 200.0),
    at_most("web first load", "compressed_kb", "kB", 220.0),
    at_most("web run of 100000 actions", "dom_nodes", "nodes", 2_999.0),
    at_most("web run of 100000 actions", "frame_p95_ms", "ms", 50.0),
    at_most("web run of 100000 actions", "first_picture_ms", "ms", 1_500.0),
    at_most("web keys in 300 nodes", "p50_ms", "ms", 100.0),
    at_most("web keys in 300 nodes", "p95_ms", "ms", 100.0),
    at_most("web 50 browsers", "server_cores", "cores", 1.0),
    at_most("graphs small plan", "geometric_mean", "of the best plan", 1.10),
    at_most("graphs small plan", "worst", "of the best plan", 1.30),
    at_most("graphs small plan", "late", "avoidable", 0.0),
    at_most("graphs large plan", "geometric_mean", "of the bound", 1.10),
    at_most("graphs large plan", "worst", "of the bound", 1.30),
    at_most("graphs large plan", "late", "avoidable", 0.0),
    at_most("graphs large plan", "slowest_s", "s", 2.0),
    at_most("streams held out margin 1", "to_best_known", "", 0.70),
    at_most("streams held out margin 1", "late_points_over_HEFT", "points", 2.0),
    at_most("waves held out with the forecast", "to_without", "", 1.0),
    at_most("memory sizing held out", "to_best_known", "", 0.75),
    at_least("intervals log-normal", "least", "percent", 88.0),
    at_most("intervals log-normal", "most", "percent", 92.0),
    at_least("intervals heavy tail", "least", "percent", 88.0),
    at_most("intervals heavy tail", "most", "percent", 92.0),
    at_least("intervals uniform", "least", "percent", 88.0),
    at_most("intervals uniform", "most", "percent", 92.0),
    at_least("intervals two kinds", "least", "percent", 88.0),
    at_most("intervals two kinds", "most", "percent", 92.0),
    at_least("intervals drifting", "least", "percent", 88.0),
    at_most("intervals drifting", "most", "percent", 92.0),
];

/// All that was measured.
pub(crate) struct Report {
    machine: Value,
    notes: BTreeMap<&'static str, f64>,
    samples: BTreeMap<String, Vec<Sample>>,
}

impl Report {
    pub(crate) fn new(machine: Value) -> Report {
        Report { machine, notes: BTreeMap::new(), samples: BTreeMap::new() }
    }

    /// A figure about the measuring itself.
    pub(crate) fn note(&mut self, name: &'static str, value: f64) {
        self.notes.insert(name, value);
    }

    /// Something about the machine that only a part of the measurement knows.
    pub(crate) fn machine(&mut self, name: &str, value: String) {
        self.machine[name] = value.into();
    }

    /// A sample of a workload.
    pub(crate) fn add(&mut self, workload: &str, sample: Sample) {
        self.samples.entry(workload.to_owned()).or_default().push(sample);
    }

    /// Writes everything as JSON, and gives the file.
    pub(crate) fn save(&mut self, folder: &Path) -> anyhow::Result<PathBuf> {
        self.derive();
        self.machine["load_after"] = proc::load().into();
        std::fs::create_dir_all(folder)?;
        let at = self.machine["at"].as_str().unwrap_or("now").replace([':', '-'], "");
        let file = folder.join(format!("{at}.json"));
        let all = json!({"machine": self.machine, "notes": self.notes, "samples": self.samples});
        let text = serde_json::to_string_pretty(&all)? + "\n";
        std::fs::write(&file, text).with_context(|| format!("write `{}`", file.display()))?;
        Ok(file)
    }

    /// Figures made from two workloads of the same round.
    fn derive(&mut self) {
        let before = self.samples.clone();
        let figure = |workload: &str, figure: &str, round: usize| before.get(workload)?.get(round)?.0.get(figure).copied();
        for (name, samples) in &mut self.samples {
            for (round, sample) in samples.iter_mut().enumerate() {
                let what = name.get(..2).unwrap_or_default();
                let mine = |figure: &str| sample.0.get(figure).copied();
                let mut derived = Vec::new();
                if let ("W1", Some(ms), Some(floor)) = (what, mine("ms"), figure("floor chain", "ms", round)) {
                    derived.push(("times_floor", ms / floor));
                }
                if let ("W1 process", Some(ms), Some(plain)) = (name.as_str(), mine("ms"), figure("floor spawn", "p50_us", round))
                {
                    derived.push(("ms_per_step_over_spawn", ms / CHAIN as f64 - plain / 1e3));
                }
                // Where there are no walls, the floor is without them too.
                let floor = figure("floor walls", "p50_us", round).or_else(|| figure("floor spawn", "p50_us", round));
                if let ("W1 process", Some(ms), Some(floor)) = (name.as_str(), mine("ms"), floor) {
                    derived.push(("overhead_ms_per_step", ms / CHAIN as f64 - floor / 1e3));
                }
                // What the log takes of the time that a server takes for an entry.
                if let ("log hashing", Some(us), Some(whole)) =
                    (name.as_str(), mine("us_per_entry"), figure("account filled by a server", "us_per_entry", 0))
                {
                    derived.push(("percent_of_throughput", us / whole * 100.0));
                }
                // How many times longer the peer takes for the same work.
                let peer = format!("{what} restate");
                let compared = ["runs_per_s", "p50_ms", "ms"].into_iter().find_map(|figure_name| {
                    let (mine, theirs) = (mine(figure_name)?, figure(&peer, figure_name, round)?);
                    Some(if figure_name == "runs_per_s" { mine / theirs } else { theirs / mine })
                });
                if let (false, Some(times)) = (name.ends_with("restate"), compared) {
                    derived.push(("times_faster_than_restate", times));
                }
                sample.0.extend(derived);
            }
        }
    }

    fn values(&self, workload: &str, figure: &str) -> Vec<f64> {
        let samples = self.samples.get(workload).into_iter().flatten();
        samples.filter_map(|sample| sample.0.get(figure).copied()).collect()
    }

    /// The tables: goals first, then everything.
    pub(crate) fn table(&self) -> String {
        let mut text = String::new();
        for name in ["cpu", "cores", "kernel", "disk", "file_system", "browser", "durability", "at", "load_before", "load_after"]
        {
            let value = &self.machine[name];
            if value.is_null() {
                continue;
            }
            // Writing to a text takes no errors, here and below.
            let _ = writeln!(text, "- {name}: {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        }
        for (name, value) in &self.notes {
            let _ = writeln!(text, "- {name}: {}", short(*value));
        }
        let _ = writeln!(text, "\n| goal | figure | min | median | max | wanted | met |\n|---|---|---:|---:|---:|---:|---|");
        for goal in GOALS {
            let values = self.values(goal.workload, goal.figure);
            if values.is_empty() {
                continue;
            }
            let (min, median, max) = spread(&values);
            let met = if goal.more { median >= goal.wanted } else { median <= goal.wanted };
            let sign = if goal.more { "≥" } else { "≤" };
            let _ = writeln!(
                text,
                "| {} | {}, {} | {} | {} | {} | {sign} {} | {} |",
                goal.workload,
                goal.figure,
                goal.unit,
                short(min),
                short(median),
                short(max),
                short(goal.wanted),
                if met { "yes" } else { "**no**" }
            );
        }
        let _ = writeln!(text, "\n| measured | figure | samples | min | median | max |\n|---|---|---:|---:|---:|---:|");
        for (workload, samples) in &self.samples {
            let figures: std::collections::BTreeSet<&str> = samples.iter().flat_map(|sample| sample.0.keys().copied()).collect();
            for figure in figures {
                let values = self.values(workload, figure);
                let (min, median, max) = spread(&values);
                let (min, median, max) = (short(min), short(median), short(max));
                let _ = writeln!(text, "| {workload} | {figure} | {} | {min} | {median} | {max} |", values.len());
            }
        }
        text
    }
}

/// Three digits that say something.
fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}
