//! Following a run to its end, across deaths of the server, and asking the people it waits for.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::time::Duration;

use api::rest::views::{ActionView, ApprovalView, RunView};

use crate::client::{Client, segment};
use crate::failure::CommandError;
use crate::output;

use super::say;
use super::server::Served;

/// The run is read again this often at most.
const PAUSE: Duration = Duration::from_millis(150);
/// The run is read again after this, whatever the stream says.
const PATIENCE: Duration = Duration::from_secs(5);
const SETTLED: [&str; 5] = ["succeeded", "failed", "aborted", "timed_out", "skipped"];

/// Follows a run to its end. `decide` is asked for every decision of a person.
pub(super) async fn to_the_end(
    served: &mut Served,
    run: &str,
    decide: impl AsyncFn(&Served, &ApprovalView) -> Result<(), CommandError>,
) -> Result<RunView, CommandError> {
    let mut shown = Shown::default();
    loop {
        let error = match follow(served, run, &mut shown, &decide).await {
            Ok(run) => return Ok(run),
            Err(error) => error,
        };
        shown.clear_line();
        // What the server says stands. A server that says nothing may have died.
        if matches!(error, CommandError::Problem(_)) || !served.revive().await? {
            return Err(error);
        }
    }
}

async fn follow(
    served: &Served,
    run: &str,
    shown: &mut Shown,
    decide: &impl AsyncFn(&Served, &ApprovalView) -> Result<(), CommandError>,
) -> Result<RunView, CommandError> {
    let client = &served.client;
    // Opened before the run is read, so that nothing happens unseen in between.
    let mut stream = client.lines(&format!("/api/v1/events?run={}", segment(run))).await?;
    loop {
        let view: RunView = client.get(&format!("/api/v1/runs/{}?actions=100000", segment(run))).await?;
        shown.show(&view);
        if view.finished_at.is_some() {
            shown.clear_line();
            return Ok(view);
        }
        if let Some(approval) = waiting(client, run).await? {
            shown.clear_line();
            decide(served, &approval).await?;
            continue;
        }
        let pause = tokio::time::sleep(PAUSE);
        if let Ok(line) = tokio::time::timeout(PATIENCE, stream.next()).await
            && line?.is_none()
        {
            return Err(CommandError::unreachable(&client.url(), &"the stream of events ended"));
        }
        pause.await;
    }
}

async fn waiting(client: &Client, run: &str) -> Result<Option<ApprovalView>, CommandError> {
    let approvals: Vec<ApprovalView> = client.get("/api/v1/approvals").await?;
    Ok(approvals.into_iter().find(|approval| approval.run == run))
}

/// What has been shown.
#[derive(Default)]
struct Shown {
    phases: BTreeMap<String, String>,
    line: bool,
}

impl Shown {
    fn show(&mut self, run: &RunView) {
        for action in &run.actions {
            let settled = SETTLED.contains(&action.phase.as_str());
            if !settled || self.phases.get(&action.path) == Some(&action.phase) {
                continue;
            }
            self.phases.insert(action.path.clone(), action.phase.clone());
            self.clear_line();
            say(&line(action));
        }
        let busy: Vec<&str> =
            run.actions.iter().filter(|action| action.phase == "running").map(|action| action.path.as_str()).collect();
        if std::io::stderr().is_terminal() && run.finished_at.is_none() {
            eprint!("\r\x1b[K  … {}/{} done, running: {}", run.actions_done, run.actions_total, busy.join(", "));
            self.line = true;
        }
    }

    fn clear_line(&mut self) {
        if std::mem::take(&mut self.line) {
            eprint!("\r\x1b[K");
        }
    }
}

fn line(action: &ActionView) -> String {
    if action.kind == "transfer" && action.phase == "succeeded" {
        let reader = action.path.split("<-").next().unwrap_or_default();
        return format!("  → {:<34} {:<28} {}", format!("a file for {reader}"), place(action), output::seconds(action.seconds));
    }
    let mark = match action.phase.as_str() {
        "succeeded" => "✓",
        "skipped" => "-",
        _ => "✗",
    };
    let what = match (&action.failure, action.reused) {
        (Some(failure), _) => failure.message.clone(),
        (None, true) => "taken from an earlier run".into(),
        (None, false) => output::seconds(action.seconds),
    };
    format!("  {mark} {:<34} {:<28} {what}", action.path, place(action))
}

/// The site of an action, with its mark when it stands for another place.
pub(super) fn place(action: &ActionView) -> String {
    match (&action.site, &action.simulates) {
        (Some(site), Some(_)) => format!("{site} (simulated)"),
        (Some(site), None) => site.clone(),
        (None, _) => "-".into(),
    }
}
