//! Following a run to its end, across deaths of the server, and asking the people it waits for.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::time::Duration;

use api::rest::approval_views::ApprovalView;
use api::rest::views::{ActionView, RunView};
use model::TransferPath;

use crate::client::{Client, segment};
use crate::failure::CommandError;
use crate::output;

use super::say;
use super::server::Served;

/// The run is read again this often at most.
const PAUSE: Duration = Duration::from_millis(150);
/// The run is read again after this, whatever the stream says.
const PATIENCE: Duration = Duration::from_secs(5);
/// Actions of the tree shown at once.
const TREE_LINES_MAX: usize = 14;
/// Characters of a line that is drawn anew: a wrapped line would not be taken away whole.
const LINE_CHARS_MAX: usize = 79;
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
        shown.clear();
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
            shown.clear();
            return Ok(view);
        }
        if let Some(approval) = waiting(client, run).await? {
            shown.clear();
            decide(served, &approval).await?;
            continue;
        }
        let pause = tokio::time::sleep(PAUSE);
        if let Ok(line) = tokio::time::timeout(PATIENCE, stream.next()).await
            && line?.is_none()
        {
            return Err(CommandError::unreachable(&client.url(), true, &"the stream of events ended"));
        }
        pause.await;
    }
}

async fn waiting(client: &Client, run: &str) -> Result<Option<ApprovalView>, CommandError> {
    let approvals: Vec<ApprovalView> = client.get("/api/v1/approvals").await?;
    Ok(approvals.into_iter().find(|approval| approval.run == run))
}

/// What has been shown: lines of what is settled, which stay, and on a terminal a tree of what is not, which is drawn anew each time.
#[derive(Default)]
struct Shown {
    phases: BTreeMap<String, String>,
    drawn: usize,
}

impl Shown {
    fn show(&mut self, run: &RunView) {
        self.clear();
        for action in in_order(&run.actions) {
            let settled = SETTLED.contains(&action.phase.as_str());
            if !settled || self.phases.get(&action.path) == Some(&action.phase) {
                continue;
            }
            self.phases.insert(action.path.clone(), action.phase.clone());
            say(&line(action));
        }
        if std::io::stderr().is_terminal() && run.finished_at.is_none() {
            let lines = tree(run);
            lines.iter().for_each(|line| say(line));
            self.drawn = lines.len();
        }
    }

    /// Takes away what was drawn last.
    fn clear(&mut self) {
        let drawn = std::mem::take(&mut self.drawn);
        if drawn > 0 {
            eprint!("\x1b[{drawn}A\x1b[J");
        }
    }
}

/// Actions as they were opened, but what was brought for one before it: it had to be there first.
fn in_order(actions: &[ActionView]) -> Vec<&ActionView> {
    let numbers: BTreeMap<&str, Option<u32>> = actions.iter().map(|action| (action.path.as_str(), action.number)).collect();
    let mut ordered: Vec<&ActionView> = actions.iter().collect();
    ordered.sort_by_key(|action| {
        let reader = TransferPath::parse(&action.path).and_then(|parts| numbers.get(parts.reader).copied().flatten());
        // Skipped nodes have no number and stand at the end, as they came.
        (reader.or(action.number).unwrap_or(u32::MAX), reader.is_none())
    });
    ordered
}

/// What is under way, as lines that fit a terminal.
fn tree(run: &RunView) -> Vec<String> {
    let open = |action: &&ActionView| !SETTLED.contains(&action.phase.as_str());
    let mut open: Vec<&ActionView> = run.actions.iter().filter(open).collect();
    // Items of a map, and what is brought for a node, stand below it.
    let root = |action: &ActionView| action.path.split(['[', '<']).next().unwrap_or_default().to_owned();
    let first: BTreeMap<String, usize> = open.iter().enumerate().rev().map(|(at, action)| (root(action), at)).collect();
    open.sort_by_key(|action| (first.get(&root(action)).copied(), action.number));
    let mut lines =
        vec![format!("  ┄ {} of {} actions done, {} so far", run.actions_done, run.actions_total, output::seconds(run.seconds))];
    for action in open.iter().take(TREE_LINES_MAX) {
        let branch = if root(action) == action.path { "⋯" } else { "└─" };
        let what = match action.phase.as_str() {
            "running" if action.kind == "each" => String::new(),
            "running" => output::seconds(action.seconds),
            other => other.replace('_', " "),
        };
        let text = format!("  {branch} {:<22} {:<28} {what}", action.path, place(action));
        lines.push(text.chars().take(LINE_CHARS_MAX).collect());
    }
    if open.len() > TREE_LINES_MAX {
        lines.push(format!("  ⋯ and {} more", open.len() - TREE_LINES_MAX));
    }
    lines
}

fn line(action: &ActionView) -> String {
    if action.kind == "transfer" && action.phase == "succeeded" {
        let reader = TransferPath::parse(&action.path).map_or("", |parts| parts.reader);
        return format!("  → {:<22} {:<28} {}", format!("brought for {reader}"), place(action), output::seconds(action.seconds));
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
    format!("  {mark} {:<22} {:<28} {what}", action.path, place(action))
}

/// The site of an action, with its mark when it stands for another place.
pub(super) fn place(action: &ActionView) -> String {
    match (&action.site, &action.simulates) {
        (Some(site), Some(_)) => format!("{site} (simulated)"),
        (Some(site), None) => site.clone(),
        (None, _) => "-".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_stand_below_their_map_and_lines_fit() {
        let action = |path: &str, number, phase: &str| ActionView {
            path: path.into(),
            number: Some(number),
            kind: if path == "score" { "each".into() } else { "run".into() },
            phase: phase.into(),
            site: Some("cloud-frankfurt".into()),
            simulates: Some("elsewhere".into()),
            ..ActionView::default()
        };
        let actions = vec![
            action("split", 0, "succeeded"),
            action("score", 1, "running"),
            action("card", 2, "waiting_for_resources"),
            action("score[0]", 3, "running"),
            action("score[1]<-0123456789ab@x", 4, "queued"),
        ];
        let lines = tree(&RunView { actions, ..RunView::default() });
        let starts: Vec<&str> = lines[1..].iter().map(|line| line.split_whitespace().nth(1).unwrap()).collect();
        assert_eq!(starts, ["score", "score[0]", "score[1]<-0123456789ab@x", "card"]);
        assert!(lines[4].contains("waiting for resources") && lines.iter().all(|line| line.chars().count() <= LINE_CHARS_MAX));
    }
}
