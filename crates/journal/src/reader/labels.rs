//! What entries say of labels: what was counted when runs were accepted, and what actions could read when they were opened.

use engine::Event;
use model::{RunId, Seq};
use rusqlite::params;

use super::entries::bare_event_of;
use super::{Reader, Result};
use crate::{HistoryFilter, RunRow};

/// The kinds of the entries that say it: actions were opened, a child was opened, a run was labelled.
const KINDS: [u8; 3] = [1, 23, 31];

impl Reader {
    /// What the entries of a run say of labels, in their order, without values.
    pub fn labels_of(&self, run: &RunRow, each: &mut dyn FnMut(RunId, Event)) -> Result<()> {
        self.labels_between((run.first_seq, run.last_seq), Some(run.id), each)
    }

    /// The same of all runs that have actions in a period. Entries of other runs that lie between theirs are among them.
    pub fn labels_in(&self, filter: &HistoryFilter, each: &mut dyn FnMut(RunId, Event)) -> Result<()> {
        match self.span_of(filter)? {
            Some(span) => self.labels_between(span, None, each),
            None => Ok(()),
        }
    }

    fn labels_between(&self, span: (Seq, Seq), run: Option<RunId>, each: &mut dyn FnMut(RunId, Event)) -> Result<()> {
        self.with(|db| {
            let kinds = KINDS.map(|kind| kind.to_string()).join(", ");
            let sql = format!(
                "SELECT seq, run, bytes FROM journal WHERE seq >= ?1 AND seq <= ?2 AND (?3 IS NULL OR run = ?3) AND kind IN ({kinds})
                 AND bytes IS NOT NULL ORDER BY seq"
            );
            let mut statement = db.prepare_cached(&sql)?;
            let mut rows = statement.query(params![span.0.0, span.1.0, run.map(|run| run.0)])?;
            while let Some(row) = rows.next()? {
                let bytes = row.get_ref(2)?.as_blob().unwrap_or_default();
                each(RunId(row.get(1)?), bare_event_of(row.get(0)?, bytes)?);
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use engine::event::ActionsOpened;
    use model::{ActionNo, Label};

    use super::*;

    #[test]
    fn the_kinds_are_those_of_the_events_that_name_labels() {
        let opened = engine::event::Opened {
            action: ActionNo(1),
            role: engine::event::Role::Child { parent: ActionNo(0) },
            scope: Default::default(),
            node: 0,
            input: None,
            label: Label::empty(),
            recall: None,
            path: "a/b".into(),
            kind: engine::event::ActionKind::Run,
            instant: false,
        };
        let child = engine::event::ChildOpened {
            run: RunId(1),
            opened: opened.clone(),
            definition: String::new(),
            entered: None,
            inside: None,
        };
        let told = [
            Event::ActionsOpened(ActionsOpened { run: RunId(1), actions: vec![opened] }),
            Event::ChildOpened(Box::new(child)),
            Event::RunLabelled(Box::default()),
        ];
        assert_eq!(told.map(|event| engine::codec::kind(&engine::codec::encode(&event))), KINDS);
    }
}
