//! What is shown in the end: where each action ran, what travelled, what it cost, where the outputs are, and where to look next.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::Context as _;
use api::rest::views::{ActionView, ExplanationView, RunView};
use http_body_util::BodyExt as _;
use model::{ArtifactRef, TransferPath};
use serde_json::Value;

use crate::client::segment;
use crate::failure::CommandError;
use crate::{output, rows};

use super::server::Served;
use super::watch::place;
use super::{folder_of, officer, planned};

/// Failed actions whose last words are shown, and lines of each.
const FAILED_MAX: usize = 3;
const LAST_WORDS: usize = 4;

/// Fetches the outputs that are files. Gives their paths by the output's name.
pub(super) async fn keep(served: &Served, run: &RunView) -> Result<BTreeMap<String, PathBuf>, CommandError> {
    let mut kept = BTreeMap::new();
    let folder = folder_of(&served.data, &run.name);
    std::fs::create_dir_all(&folder).with_context(|| format!("`{}` cannot be made", folder.display()))?;
    for (name, value) in run.outputs.as_ref().and_then(Value::as_object).into_iter().flatten() {
        let Some(artifact) = ArtifactRef::from_value(value) else { continue };
        let Some(file) = artifact.name.rsplit('/').next().filter(|file| !file.is_empty() && *file != "..") else { continue };
        let path = folder.join(file);
        let bytes = officer::fetch(&served.client, value).await?;
        std::fs::write(&path, bytes).with_context(|| format!("`{}` cannot be written", path.display()))?;
        kept.insert(name.clone(), path);
    }
    Ok(kept)
}

/// The whole account.
pub(super) async fn table(served: &Served, run: &RunView, kept: &BTreeMap<String, PathBuf>) -> Result<String, CommandError> {
    let mut work: Vec<&ActionView> = run.actions.iter().filter(|action| action.kind != "transfer").collect();
    // Items of a map stand below it.
    let opened = |path: &str| work.iter().position(|action| action.path == path.split('[').next().unwrap_or(path));
    let places: BTreeMap<&str, Option<usize>> = work.iter().map(|action| (action.path.as_str(), opened(&action.path))).collect();
    work.sort_by_key(|action| places.get(action.path.as_str()).copied().flatten());
    let work: Vec<Vec<String>> = work.into_iter().map(cells).collect();
    let mut text = output::table(&["ACTION", "KIND", "WHERE", "PHASE", "TIME", "COST"], &work);
    let simulated = rows::simulated(&served.client).await?;
    let travelled = transfers(served, run, &simulated).await?;
    if !travelled.is_empty() {
        text += "\n";
        text += &output::table(&["TRANSFER", "FROM", "TO", "BYTES", "COST"], &travelled);
    }
    let people: f64 = run.actions.iter().filter(|action| action.kind == "human").map(|action| action.seconds).sum();
    text += &format!(
        "\n{} {}: {} ({} of it waiting for a person), cost {} USD\n",
        run.name,
        run.phase,
        output::seconds(run.seconds),
        output::seconds(people),
        output::money(run.cost)
    );
    if let Some(failure) = &run.failure {
        text += &format!("  {}: {}\n", failure.class, failure.message);
        text += &last_words(served, run).await?;
    }
    if let Some(why) = why_there(served, run, &simulated).await? {
        text += &format!("\n{why}");
    }
    if let Some(planned) = planned::beside(served, run, &simulated).await? {
        text += &format!("\n{planned}");
    }
    if !kept.is_empty() {
        text += "\nOUTPUTS\n";
        for (name, path) in kept {
            text += &format!("  {name:<9} {}\n", path.display());
        }
    }
    text += &look_further(served, run);
    Ok(text)
}

/// What the failed processes said last.
async fn last_words(served: &Served, run: &RunView) -> Result<String, CommandError> {
    let mut text = String::new();
    let failed =
        run.actions.iter().filter(|action| action.kind == "run" && ["failed", "timed_out"].contains(&action.phase.as_str()));
    for action in failed.take(FAILED_MAX) {
        let path = format!("/api/v1/runs/{}/logs?stream=stderr&path={}", segment(&run.name), segment(&action.path));
        let log = served.client.bytes(&path).await?.collect().await.context("read a log")?.to_bytes();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().rev().take(LAST_WORDS).collect();
        lines.iter().rev().for_each(|line| text += &format!("  {} | {line}\n", action.path));
    }
    Ok(text)
}

fn cells(action: &ActionView) -> Vec<String> {
    let phase = if action.reused { "succeeded, reused".into() } else { action.phase.clone() };
    let time = if action.phase == "skipped" { "-".into() } else { output::seconds(action.seconds) };
    vec![action.path.clone(), action.kind.clone(), place(action), phase, time, output::money(action.cost)]
}

/// What travelled: the names of artifacts are found in what the actions gave back.
async fn transfers(served: &Served, run: &RunView, simulated: &BTreeSet<String>) -> Result<Vec<Vec<String>>, CommandError> {
    let mut made: BTreeMap<String, (String, String)> = BTreeMap::new();
    let mut rows = Vec::new();
    for action in run.actions.iter().filter(|action| action.kind == "run" && action.phase == "succeeded") {
        let whole = whole(served, run, action).await?;
        for artifact in ArtifactRef::all_in(&whole.output.unwrap_or_default()) {
            let name = (artifact.name, action.site.clone().unwrap_or_default());
            made.entry(TransferPath::digits(&artifact.digest)).or_insert(name);
        }
    }
    for action in run.actions.iter().filter(|action| action.kind == "transfer") {
        let bytes = whole(served, run, action).await?.output.and_then(|output| output["bytes"].as_u64());
        let parts = TransferPath::parse(&action.path);
        let TransferPath { reader: to, digest } = parts.unwrap_or(TransferPath { reader: &action.path, digest: "" });
        let (name, from) = made.get(digest).cloned().unwrap_or_else(|| (digest.to_owned(), String::new()));
        let bytes = match bytes {
            Some(0) => "was there".into(),
            Some(bytes) => bytes.to_string(),
            None => action.phase.clone(),
        };
        rows.push(vec![
            format!("{name} for {to}"),
            rows::marked(&from, simulated),
            place(action),
            bytes,
            output::money(action.cost),
        ]);
    }
    Ok(rows)
}

async fn whole(served: &Served, run: &RunView, action: &ActionView) -> Result<ActionView, CommandError> {
    served.client.get(&format!("/api/v1/runs/{}/action?path={}", segment(&run.name), segment(&action.path))).await
}

/// Why the scoring ran where it did, as it was recorded.
async fn why_there(served: &Served, run: &RunView, simulated: &BTreeSet<String>) -> Result<Option<String>, CommandError> {
    let Some(action) = run.actions.iter().find(|action| action.path == "score[0]") else { return Ok(None) };
    let path = format!("/api/v1/runs/{}/explain?path={}", segment(&run.name), segment(&action.path));
    let found: Vec<ExplanationView> = served.client.get(&path).await?;
    let sites = found.first().and_then(|found| found.placement["sites"].as_array().cloned()).unwrap_or_default();
    let rows: Vec<Vec<String>> = sites
        .iter()
        .map(|site| {
            let text = |key: &str| site[key].as_str().unwrap_or_default().to_owned();
            let hour = site["compute_per_hour"].as_f64().unwrap_or_default() / 1e6;
            vec![rows::marked(&text("site"), simulated), text("verdict"), format!("{hour:.4}"), text("why")]
        })
        .collect();
    let table = output::table(&["SITE", "VERDICT", "USD/HOUR", "WHY"], &rows);
    Ok((!rows.is_empty()).then(|| format!("Why `{}` ran there:\n{table}", action.path)))
}

/// This program, as it is called here.
fn program() -> String {
    std::env::current_exe().map_or_else(|_| "tutti".into(), |path| path.display().to_string())
}

fn look_further(served: &Served, run: &RunView) -> String {
    let (data, name) = (served.data.display(), &run.name);
    format!(
        "\nLOOK FURTHER\n  alias tutti='{} --data {data}'\n  tutti get run {name} -o json\n  tutti explain {name} 'score[0]'\n  \
         tutti cost {name}\n  tutti logs {name} train\n",
        program()
    )
}

/// What to try on a server that stays up.
pub(super) fn try_next(served: &Served, run: &str) -> String {
    let url = served.client.url();
    let pid = served.pid().map_or_else(String::new, |pid| pid.to_string());
    format!(
        "\nThe server stays up at {url} (its log: {}). The run is there, {}.\nIn another terminal:\n  \
         alias tutti='{} --server {url}'\n  \
         tutti get runs\n  \
         tutti run bank/fraud-model --input partitions=12 --wait   # then it waits for you: tutti get approvals\n  \
         tutti site cordon cloud-frankfurt                         # and run again: tutti explain says why scoring waits\n  \
         kill -9 {pid:<49} # the server: it is started again, and runs go on\n\
         Ctrl-C stops it.",
        served.data.join("server.log").display(),
        super::in_a_browser(served, run),
        program()
    )
}
