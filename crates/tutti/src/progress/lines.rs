//! Progress where nothing can move: a line when an action ends, fails for now, or waits.

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
            if let Some(line) = line(action) {
                let known = self.said.insert(action.path.clone(), line.clone());
                if known.as_deref() != Some(&line) {
                    eprintln!("{line}");
                }
            }
        }
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
        line += &format!("  {}", failure.message.lines().next().unwrap_or_default());
    }
    Some(line)
}
