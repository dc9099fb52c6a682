//! Following a run to its end, and showing how it goes.

use std::collections::BTreeMap;
use std::time::Duration;

use api::rest::views::RunView;

use crate::client::{Client, segment};
use crate::failure::{CommandError, Exit};
use crate::output;

/// The run is read again this often at most.
const PAUSE: Duration = Duration::from_millis(100);
/// The run is read again after this, whatever the stream says.
const PATIENCE: Duration = Duration::from_secs(5);

/// Follows a run to its end, or to where only people can go on.
pub(crate) async fn follow(client: &Client, name: &str) -> Result<(RunView, Exit), CommandError> {
    let path = segment(name);
    // Opened before the run is read, so that nothing happens unseen in between.
    let mut stream = client.lines(&format!("/api/v1/events?run={path}")).await?;
    let mut shown = BTreeMap::new();
    loop {
        let run: RunView = client.get(&format!("/api/v1/runs/{path}?actions=100000")).await?;
        show(&run, &mut shown);
        if run.finished_at.is_some() {
            let exit = if run.phase == "succeeded" { Exit::Done } else { Exit::Failed };
            return Ok((run, exit));
        }
        if waits_for_people(&run) {
            eprintln!("{} waits for a person: `tutti get approvals` shows for what", run.name);
            return Ok((run, Exit::Waiting));
        }
        let pause = tokio::time::sleep(PAUSE);
        if let Ok(line) = tokio::time::timeout(PATIENCE, stream.next()).await
            && line?.is_none()
        {
            return Err(CommandError::unreachable(&client.url(), &"the server has gone away; the run goes on when it is back"));
        }
        pause.await;
    }
}

/// Whether nothing but decisions of people can take the run further.
pub(crate) fn waits_for_people(run: &RunView) -> bool {
    let open = ["queued", "waiting_for_resources", "initializing", "running"];
    let mut waiting = run.actions.iter().filter(|action| open.contains(&action.phase.as_str())).peekable();
    let composed = ["workflow", "each"];
    run.waiting_for_human > 0 && waiting.all(|action| action.kind == "human" || composed.contains(&action.kind.as_str()))
}

fn show(run: &RunView, shown: &mut BTreeMap<String, String>) {
    for action in &run.actions {
        if shown.get(&action.path) == Some(&action.phase) {
            continue;
        }
        shown.insert(action.path.clone(), action.phase.clone());
        if ["succeeded", "failed", "aborted", "timed_out", "skipped"].contains(&action.phase.as_str()) {
            let site = action.site.as_deref().unwrap_or("-");
            eprintln!("{:<10} {}  {site}  {}", action.phase, action.path, output::seconds(action.seconds));
        }
    }
}
