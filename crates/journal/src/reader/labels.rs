//! What entries say of labels: what was counted when runs were accepted, and what actions could read when they were opened.

use engine::Event;
use engine::event::RunLabelled;
use model::{Digest, RunId, Seq};
use rusqlite::{Connection, OptionalExtension as _, params};

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

    /// The sanitizer by which an action takes tags off, and what was approved of it, as it was when its run, or the workflow within it, was
    /// accepted. None when it takes nothing off.
    pub fn lowered_at(&self, run: RunId, path: &str) -> Result<Option<Lowered>> {
        let node = engine::without_items(path);
        self.with(|db| {
            // It is written with the acceptance of the run.
            let sql = "SELECT j.seq, j.bytes FROM journal j JOIN runs r ON r.id = ?1 WHERE j.seq BETWEEN r.first_seq AND r.first_seq + 1000
                       AND j.run = ?1 AND j.kind = 31 AND j.bytes IS NOT NULL ORDER BY j.seq LIMIT 1";
            let found = db.prepare_cached(sql)?.query_row([run.0], |row| Ok((row.get::<_, u64>(0)?, row.get::<_, Vec<u8>>(1)?)));
            if let Some((seq, bytes)) = found.optional()?
                && let Event::RunLabelled(labelled) = bare_event_of(seq, &bytes)?
                && let Some(lowered) = lowered_by(&labelled, &node)
            {
                return Ok(Some(lowered));
            }
            lowered_inside(db, run, &node)
        })
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

/// A sanitizer by its name, with the digest of what was approved of it; none in entries of earlier versions.
pub type Lowered = (String, Option<Digest>);

fn lowered_by(labelled: &RunLabelled, node: &str) -> Option<Lowered> {
    let name = labelled.lowered.get(node)?;
    Some((name.clone(), labelled.vouched.as_ref().and_then(|vouched| vouched.get(name)).copied()))
}

/// The same of a node of a workflow that an action asked for.
fn lowered_inside(db: &Connection, run: RunId, node: &str) -> Result<Option<Lowered>> {
    let sql = "SELECT EXISTS (SELECT 1 FROM children WHERE run = ?1)";
    if !db.prepare_cached(sql)?.query_row([run.0], |row| row.get::<_, bool>(0))? {
        return Ok(None);
    }
    let sql = "SELECT j.seq, j.bytes FROM journal j JOIN runs r ON r.id = ?1 WHERE j.seq BETWEEN r.first_seq AND r.last_seq
               AND j.run = ?1 AND j.kind = 23 AND j.bytes IS NOT NULL ORDER BY j.seq";
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query([run.0])?;
    while let Some(row) = rows.next()? {
        let Event::ChildOpened(opened) = bare_event_of(row.get(0)?, row.get_ref(1)?.as_blob().unwrap_or_default())? else {
            continue;
        };
        let within = engine::without_items(&opened.opened.path);
        let below = node.strip_prefix(&within).and_then(|rest| rest.strip_prefix('/'));
        if let Some((inside, below)) = opened.inside.as_deref().zip(below)
            && let Some(lowered) = lowered_by(inside, below)
        {
            return Ok(Some(lowered));
        }
    }
    Ok(None)
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
