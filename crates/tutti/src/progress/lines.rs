//! Progress where nothing can move: a line when an action ends, when an attempt of it fails, or when it waits.

use std::collections::BTreeMap;

use api::rest::views::{ActionView, RunView};

use super::tree;
use crate::output::seconds;
use crate::rows::place;

/// Items of a map that get lines of their own; of larger ones only what failed.
const ITEMS_MAX: usize = 20;

/// What was said so far.
#[derive(Default)]
pub(super) struct Lines {
    said: BTreeMap<String, String>,
    /// The last attempt of an action that was said to have failed.
    failed: BTreeMap<String, u32>,
}

impl Lines {
    pub(super) fn run(&mut self, run: &RunView) {
        let mut items: BTreeMap<&str, usize> = BTreeMap::new();
        for action in &run.actions {
            *items.entry(tree::map_of(&action.path).unwrap_or_default()).or_default() += 1;
        }
        for action in &run.actions {
            let many = tree::map_of(&action.path).is_some_and(|map| items.get(map).is_some_and(|count| *count > ITEMS_MAX));
            if many && !tree::is_bad(&action.phase) {
                continue;
            }
            if let Some(line) = self.repeated(action) {
                eprintln!("{line}");
            }
            if let Some(line) = line(action) {
                let known = self.said.insert(action.path.clone(), line.clone());
                if known.as_deref() != Some(&line) {
                    eprintln!("{line}");
                }
            }
        }
    }
}

impl Lines {
    /// A line about attempts that failed since, of an action that is tried again.
    fn repeated(&mut self, action: &ActionView) -> Option<String> {
        let last = tree::failed_attempt(action)?;
        let before = self.failed.insert(action.path.clone(), last).unwrap_or(0);
        if before >= last {
            return None;
        }
        // Those that were over between two looks are told of together.
        let which = if last - before > 1 { format!("attempts {} to {last}", before + 1) } else { format!("attempt {last}") };
        Some(format!("{:<10}  {}  {which} {}", "repeats", action.path, tree::why_again(action, controlplane::wall())))
    }
}

fn line(action: &ActionView) -> Option<String> {
    let waits = action.kind == "human" && action.phase == "running";
    let parked = action.phase == "waiting_for_resources";
    let over = tree::is_over(&action.phase);
    if !over && !waits && !parked {
        return None;
    }
    let phase = if waits {
        "waits for a person"
    } else if let Some(what) = action.waits_for.as_deref() {
        return Some(format!("waits       {}  for {what}", action.path));
    } else if action.reused {
        "reused"
    } else {
        &action.phase
    };
    let mut line = format!("{phase:<10}  {}", action.path);
    if let Some(site) = action.site.as_deref().filter(|_| over) {
        line += &format!("  {}  {}", place(Some(site), action.simulates.as_deref()), seconds(action.seconds));
    }
    if let Some(failure) = &action.failure {
        line += &format!("  {}", tree::first_line(&failure.message));
    }
    Some(line)
}

#[cfg(test)]
mod tests {
    use api::rest::views::FailureView;

    use super::*;

    fn action(phase: &str, attempts: u32) -> ActionView {
        let failure =
            FailureView { class: "task".into(), message: "no luck\nat all".into(), exit_code: Some(3), ..FailureView::default() };
        ActionView { path: "try".into(), phase: phase.into(), attempts, failure: Some(failure), ..ActionView::default() }
    }

    #[test]
    fn every_failed_attempt_is_told_of_once() {
        let mut lines = Lines::default();
        assert_eq!(lines.repeated(&action("running", 1)), None);
        let later = ActionView { retry_at: Some("2999-01-01T00:00:00Z".into()), ..action("queued", 1) };
        let first = lines.repeated(&later).unwrap();
        assert!(first.starts_with("repeats     try  attempt 1 failed, again in ") && first.ends_with(": no luck"), "{first}");
        assert_eq!(lines.repeated(&later), None);
        // It is placed again, and what failed was told.
        assert_eq!(lines.repeated(&action("running", 2)), None);
        assert_eq!(lines.repeated(&action("running", 4)).as_deref(), Some("repeats     try  attempts 2 to 3 failed: no luck"));
        assert_eq!(lines.repeated(&action("failed", 5)), None, "the end has a line of its own");
    }
}
