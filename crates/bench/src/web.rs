//! The web app in a headless Chromium: what is loaded, how a large run is drawn, how quickly what is typed is checked, and what fifty browsers
//! cost the server. A program of the web app drives the browser (`web/bench/figures.mjs`); without Node.js, its packages or a Chromium the part
//! is left out, with the reason.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use serde::Deserialize;

use crate::options::Options;
use crate::report::Report;
use crate::sample::Sample;

/// The figures that the program speaks of.
const FIGURES: [&str; 30] = [
    "compressed_kb",
    "plain_kb",
    "files",
    "first_paint_ms",
    "floor_first_paint_ms",
    "actions",
    "first_picture_ms",
    "next_picture_ms",
    "frame_p50_ms",
    "frame_p95_ms",
    "floor_frame_p95_ms",
    "dom_nodes",
    "keys",
    "p50_ms",
    "p95_ms",
    "said_p50_ms",
    "said_p95_ms",
    "floor_check_p50_ms",
    "floor_check_p95_ms",
    "server_cores",
    "floor_cores",
    "changes_per_s",
    "floor_changes_per_s",
    "real_pages",
    "clients",
    "page_age_p50_ms",
    "page_age_p95_ms",
    "client_age_p50_ms",
    "client_age_p95_ms",
    "reads_per_client_per_s",
];
/// The web app, from the root of the repository.
const FOLDER: &str = "web";
const PROGRAM: &str = "bench/figures.mjs";
/// Where a Chromium is when nobody says, as the tests of the web app have it.
const CHROMIUM: &str = "/usr/bin/chromium";

/// A line of the program: which browser it is, or figures.
#[derive(Deserialize)]
#[serde(untagged)]
enum Told {
    Browser { browser: String },
    Figures { name: String, figures: BTreeMap<String, f64> },
}

/// Measures it.
pub(crate) fn measure(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let chromium = match chromium() {
        Ok(chromium) => chromium,
        Err(why) => {
            eprintln!("web: left out, {why}");
            return Ok(());
        }
    };
    for round in 0..options.rounds.clamp(1, 3) {
        eprintln!("web: round {}", round + 1);
        one_round(options, &chromium, round, report)?;
    }
    Ok(())
}

/// The browser, when everything that drives it is there too.
fn chromium() -> Result<PathBuf, String> {
    let folder = Path::new(FOLDER);
    if !folder.join(PROGRAM).exists() {
        return Err(format!("`{FOLDER}/{PROGRAM}` is not here: run it from the root of the repository"));
    }
    if !folder.join("node_modules/playwright-core").exists() {
        return Err("the packages of the web app are not installed (`make web`)".into());
    }
    let version = Command::new("node").arg("--version").stdin(Stdio::null()).output();
    if !version.is_ok_and(|output| output.status.success()) {
        return Err("there is no Node.js".into());
    }
    let chromium = std::env::var_os("TUTTI_CHROMIUM").map_or_else(|| PathBuf::from(CHROMIUM), PathBuf::from);
    if chromium.exists() {
        Ok(chromium)
    } else {
        Err(format!("there is no Chromium at `{}` (TUTTI_CHROMIUM names another)", chromium.display()))
    }
}

fn one_round(options: &Options, chromium: &Path, round: u32, report: &mut Report) -> anyhow::Result<()> {
    let tutti = options.tutti.canonicalize().unwrap_or_else(|_| options.tutti.clone());
    let folder = options.folder("web")?.canonicalize()?;
    let mut child = Command::new("node")
        .arg(PROGRAM)
        .current_dir(FOLDER)
        .env("TUTTI_BIN", tutti)
        .env("TUTTI_CHROMIUM", chromium)
        .env("TUTTI_SEED", (round + 1).to_string())
        .env("TMPDIR", &folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("start `node`")?;
    let lines = BufReader::new(child.stdout.take().context("no output")?).lines();
    for line in lines {
        let line = line?;
        match serde_json::from_str::<Told>(&line).with_context(|| format!("`{line}` is no figure"))? {
            Told::Browser { browser } => report.machine("browser", browser),
            Told::Figures { name, figures } => {
                let mut sample = Sample::one("load", crate::proc::load());
                for (figure, value) in figures {
                    let known =
                        FIGURES.iter().find(|known| **known == figure).with_context(|| format!("`{figure}` is not known"))?;
                    sample = sample.with(known, value);
                }
                report.add(&name, sample);
            }
        }
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("the measurement of the web app ended with {status}");
    }
    crate::rounds::remove(&folder)
}
