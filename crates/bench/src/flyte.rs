//! Programs of the Flyte SDK: what a child costs its parent by how its process begins, beside the SDK's own local mode. The unmodified client measures
//! (`python/flyte/speed.py`); without it the part is left out, with the reason.

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
const FIGURES: [&str; 10] = [
    "one_ms",
    "one_slowest_ms",
    "ten_ms",
    "five_hundred_s",
    "actions_per_s",
    "five_thousand_s",
    "growth",
    "rss_mib",
    "own_mib",
    "load",
];
/// Where the program lies, from the root of the repository.
const FOLDER: &str = "python/flyte";

/// A line of the program.
#[derive(Deserialize)]
struct Told {
    name: String,
    figures: BTreeMap<String, f64>,
}

/// Measures it.
pub(crate) fn measure(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let python = match interpreter(options) {
        Ok(python) => python,
        Err(why) => {
            eprintln!("flyte: left out, {why}");
            return Ok(());
        }
    };
    let tutti = options.tutti.canonicalize().unwrap_or_else(|_| options.tutti.clone());
    for round in 0..options.rounds.clamp(1, 3) {
        eprintln!("flyte: round {}", round + 1);
        one_round(&python, &tutti, report)?;
    }
    Ok(())
}

/// The Python that has the SDK.
fn interpreter(options: &Options) -> Result<PathBuf, String> {
    let Some(venv) = &options.flyte else { return Err("no environment with the SDK is named (--flyte)".into()) };
    if !Path::new(FOLDER).join("speed.py").exists() {
        return Err(format!("`{FOLDER}/speed.py` is not here: run it from the root of the repository"));
    }
    match venv.join("bin/a0").exists() {
        true => Ok(venv.join("bin/python")),
        false => Err(format!("the Flyte SDK is not in `{}`", venv.display())),
    }
}

fn one_round(python: &Path, tutti: &Path, report: &mut Report) -> anyhow::Result<()> {
    let mut child = Command::new(python)
        .args(["speed.py", "--json"])
        .current_dir(FOLDER)
        .env("TUTTI_BIN", tutti)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("start `{}`", python.display()))?;
    let lines = BufReader::new(child.stdout.take().context("no output")?).lines();
    for line in lines {
        let line = line?;
        // The SDK says things too.
        let Ok(told) = serde_json::from_str::<Told>(&line) else { continue };
        let mut sample = Sample::one("load", crate::proc::load());
        for figure in FIGURES {
            if let Some(value) = told.figures.get(figure) {
                sample = sample.with(figure, *value);
            }
        }
        report.add(&told.name, sample);
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("the measurement of Flyte programs ended with {status}");
    }
    Ok(())
}
