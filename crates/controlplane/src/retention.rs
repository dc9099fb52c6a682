//! How long data with a tag may be kept: runs that carried it and ended longer ago are erased, values and artifacts, as if somebody had named them.

use std::collections::BTreeMap;

use engine::Event;
use model::{Duration, Label, RunId, Seq, Timestamp};
use policy::Rules;

use crate::{ControlPlane, Erased, Fault};

/// Entries of a run among which its labels are.
const BEGINNING: usize = 8;

/// A run that carries a tag for longer than data with it may be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overdue {
    /// The run.
    pub run: RunId,
    /// The tag whose time is over; of several the one that is over first.
    pub tag: String,
    /// When it ended.
    pub ended_at: Timestamp,
}

/// The shortest time that data with a label may be kept, and by which tag. What holds for a tag holds for those below it.
fn kept_for(rules: &Rules, label: &Label) -> Option<(Duration, String)> {
    let closed = rules.closed(label);
    let spans = closed.0.iter().filter_map(|tag| Some((rules.tags().get(tag)?.retention?, tag.clone())));
    spans.min()
}

/// All that a run carries anywhere.
fn carried(events: &[(Seq, Timestamp, RunId, Event)]) -> Option<Label> {
    let labels =
        events.iter().find_map(|(_, _, _, event)| if let Event::RunLabelled(labels) = event { Some(labels) } else { None })?;
    let mut all = Label::empty();
    labels.inputs.values().chain(labels.reads.values()).for_each(|label| all.join(label));
    labels.gives.values().for_each(|given| all.join(&given.of(None)));
    Some(all)
}

impl ControlPlane {
    /// The runs whose time is over by the rules in force. Blocks.
    pub fn overdue(&self) -> Result<Vec<Overdue>, Fault> {
        let (rules, now) = (self.rules(), crate::clock::wall());
        let mut overdue = Vec::new();
        let Some(shortest) = rules.tags().values().filter_map(|tag| tag.retention).min() else { return Ok(overdue) };
        let ended = self.reader().ended_before(Timestamp(now.0.saturating_sub(shortest.0))).map_err(Fault::internal)?;
        // Many runs carry the same.
        let mut known: BTreeMap<Label, Option<(Duration, String)>> = BTreeMap::new();
        for (run, first, ended_at) in ended {
            let events = self.reader().events(Seq(first.0.saturating_sub(1)), Some(run), BEGINNING).map_err(Fault::internal)?;
            let Some(label) = carried(&events) else { continue };
            let kept = known.entry(label.clone()).or_insert_with(|| kept_for(&rules, &label)).clone();
            if let Some((_, tag)) = kept.filter(|(span, _)| ended_at.after(*span) < now) {
                overdue.push(Overdue { run, tag, ended_at });
            }
        }
        Ok(overdue)
    }

    /// Erases what is overdue, or only says what would be.
    pub async fn erase_overdue(&self, dry_run: bool, principal: &str) -> Result<(Vec<Overdue>, Erased), Fault> {
        let overdue = tokio::task::block_in_place(|| self.overdue())?;
        if dry_run || overdue.is_empty() {
            return Ok((overdue, Erased::default()));
        }
        let runs: Vec<String> = overdue.iter().map(|one| one.run.0.to_string()).collect();
        let erased = self.erase(&runs, None, principal).await?;
        Ok((overdue, erased))
    }
}
