//! A program of the Flyte SDK in the demonstration: the unmodified client, on the server that told the story. Without the SDK it is left out,
//! and why is said.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use api::rest::views::RunView;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::client::segment;
use crate::failure::CommandError;

use super::say;
use super::server::Served;

/// The program.
const PROGRAM: &str = include_str!("../../../../../examples/flyte/limits.py");
/// Says where `python/flyte/setup.sh` puts the Python environment with the SDK, when not where it does by itself.
const VENV: &str = "TUTTI_FLYTE_VENV";
/// How long it may take: the SDK is imported for each of its first processes.
const PATIENCE: Duration = Duration::from_secs(300);

/// The Python environment with the SDK.
pub(super) fn environment() -> Result<PathBuf, String> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let named = std::env::var_os(VENV).filter(|venv| !venv.is_empty()).map(PathBuf::from);
    let venv = named.or_else(|| Some(cache?.join("tutti/flyte-venv"))).ok_or("there is no home directory")?;
    match venv.join("bin/a0").exists() {
        true => Ok(venv),
        false => Err(format!("the Flyte SDK is not in {} (python/flyte/setup.sh installs it)", venv.display())),
    }
}

/// Runs the program, and gives what came of it.
pub(super) async fn show(served: &Served) -> Result<Value, CommandError> {
    let venv = match environment() {
        Ok(venv) => venv,
        Err(why) => return Ok(left_out(&why)),
    };
    say("\n  a program of the Flyte SDK, unmodified, on the same server (examples/flyte/limits.py):");
    let folder = served.data.join("demo").join("flyte");
    std::fs::create_dir_all(&folder).with_context(|| format!("`{}` cannot be made", folder.display()))?;
    let program = folder.join("limits.py");
    std::fs::write(&program, PROGRAM).with_context(|| format!("`{}` cannot be written", program.display()))?;
    let name = match call(&venv, &program, served).await? {
        Ok(name) => name,
        Err(why) => return Ok(left_out(&why)),
    };
    let path = format!("/api/v1/runs/{}?actions=100", segment(&name));
    let run: RunView = served.client.get(&path).await?;
    let work = run.actions.iter().filter(|action| action.kind == "task").count();
    let sites: std::collections::BTreeSet<&str> = run.actions.iter().filter_map(|action| action.site.as_deref()).collect();
    let sites: Vec<&str> = sites.into_iter().collect();
    say(&format!("    run {name} {}: {work} tasks at {}, {:.1} s", run.phase, sites.join(", "), run.seconds));
    say(&format!("    look at it with `tutti describe run {name}` and `tutti explain {name}`"));
    Ok(json!({ "name": name, "phase": run.phase, "tasks": work, "sites": sites }))
}

fn left_out(why: &str) -> Value {
    say(&format!("\n  no Flyte program is shown: {why}"));
    json!({ "left_out": why })
}

/// Calls the program as a person would. It prints the name of its run; otherwise why there is none.
async fn call(venv: &Path, program: &Path, served: &Served) -> Result<Result<String, String>, CommandError> {
    let mut command = Command::new(venv.join("bin/python"));
    command
        .arg(program)
        .env("TUTTI_SERVER", served.client.url())
        // The SDK reports errors to its makers unless it is told otherwise.
        .envs([("FLYTE_DISABLE_SENTRY", "true"), ("DO_NOT_TRACK", "1")])
        .env_remove("FLYTECTL_CONFIG")
        .env_remove("UCTL_CONFIG")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = match tokio::time::timeout(PATIENCE, command.output()).await {
        Ok(output) => output.context("the program cannot be started")?,
        Err(_) => return Ok(Err(format!("it has not ended after {} s", PATIENCE.as_secs()))),
    };
    let said = String::from_utf8_lossy(&output.stdout);
    match said.lines().last().filter(|_| output.status.success()) {
        Some(name) => Ok(Ok(name.trim().to_owned())),
        None => {
            let why = String::from_utf8_lossy(&output.stderr);
            Ok(Err(format!("it failed: {}", why.lines().last().unwrap_or("without a word"))))
        }
    }
}
