//! Reading: the journal for a restart and for streams, and the read models for everybody else. Calls block: from async code they belong
//! on a blocking thread.

mod approvals;
mod entries;
mod labels;
mod origins;
mod recall;
mod references;
mod refused;
mod resources;
mod subjects;
mod waiting;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use engine::Known;
use keyring::Keyring;
use model::{Digest, Graph, Phase, RunId, Seq, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, params};
use serde_json::Value;

use crate::bodies::{Kept, open};
use crate::rows::{ACTION_COLUMNS, RUN_COLUMNS, kind_of, phase_of};
use crate::{ActionRow, AttemptRow, ChildRow, JournalError, RunRow, SiteRow, SkippedRow, schema};

pub use entries::Told;
pub(crate) use entries::{bare_event_of, event_of};
pub use labels::Lowered;
pub use refused::{RefusedAt, RefusedFilter};
pub use waiting::WaitingRow;

/// What stands for the sentence of a failure that was pruned or erased.
const UNSAID: &str = "what it said is not kept any more";
/// Connections kept for the next caller.
const IDLE_MAX: usize = 4;

/// Reads a journal that a [`crate::Writer`] of this or another process may be writing. Cheap to clone.
#[derive(Clone)]
pub struct Reader {
    file: Arc<PathBuf>,
    idle: Arc<Mutex<Vec<Connection>>>,
    /// The one connection that answers, where the tables of the past lie.
    pinned: Option<Arc<Mutex<Connection>>>,
    keys: Option<Keyring>,
}

/// Which runs.
#[derive(Clone, Debug, Default)]
pub struct RunFilter {
    /// Of this project.
    pub project: Option<String>,
    /// Of this workflow.
    pub workflow: Option<String>,
    /// In this phase.
    pub phase: Option<Phase>,
    /// Of this domain.
    pub domain: Option<String>,
    /// With all of these labels of runs: by key, and by value where one is given.
    pub run_labels: Vec<(String, Option<String>)>,
    /// With a number below this one (for the next page; the newest come first).
    pub before: Option<RunId>,
    /// At most so many.
    pub limit: usize,
}

/// Which actions.
#[derive(Clone, Debug, Default)]
pub struct ActionFilter {
    /// From this number on.
    pub from: u32,
    /// At most so many.
    pub limit: usize,
    /// In this phase.
    pub phase: Option<Phase>,
}

/// Counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Entries.
    pub entries: u64,
    /// Runs.
    pub runs: u64,
    /// Runs that have not ended.
    pub open_runs: u64,
    /// Bytes of the file.
    pub file_bytes: u64,
}

type Result<T> = std::result::Result<T, JournalError>;

impl Reader {
    pub(crate) fn new(file: PathBuf, keys: Option<Keyring>) -> Reader {
        Reader { file: Arc::new(file), idle: Arc::default(), pinned: None, keys }
    }

    /// The same over one connection alone.
    pub(crate) fn pinned(&self, connection: Arc<Mutex<Connection>>) -> Reader {
        Reader { pinned: Some(connection), ..self.clone() }
    }

    pub(crate) fn keys(&self) -> Option<&Keyring> {
        self.keys.as_ref()
    }

    pub(crate) fn file(&self) -> &std::path::Path {
        &self.file
    }

    pub(crate) fn with<T>(&self, read: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        if let Some(pinned) = &self.pinned {
            return read(&pinned.lock().unwrap_or_else(|poison| poison.into_inner()));
        }
        let idle = self.idle.lock().unwrap_or_else(|poison| poison.into_inner()).pop();
        let connection = idle.map_or_else(|| schema::open_to_read(&self.file), Ok)?;
        let result = read(&connection);
        let mut idle = self.idle.lock().unwrap_or_else(|poison| poison.into_inner());
        if idle.len() < IDLE_MAX {
            idle.push(connection);
        }
        result
    }

    /// The graphs of open runs.
    pub fn open_graphs(&self) -> Result<Vec<(Digest, Arc<Graph>)>> {
        self.with(|db| {
            let sql = "SELECT digest, json FROM graphs WHERE digest IN (SELECT graph FROM runs WHERE finished_at IS NULL)";
            let mut statement = db.prepare(sql)?;
            let rows = statement.query_map([], |row| Ok((row.get::<_, [u8; 32]>(0)?, row.get::<_, String>(1)?)))?;
            rows.map(|row| row.map_err(JournalError::from).and_then(|(digest, json)| Ok((Digest(digest), graph_of(&json)?))))
                .collect()
        })
    }

    /// The graph with this digest.
    pub fn graph(&self, digest: &Digest) -> Result<Option<Arc<Graph>>> {
        self.with(|db| {
            let sql = "SELECT json FROM graphs WHERE digest = ?1";
            let json: Option<String> = db.prepare_cached(sql)?.query_row(params![digest.0], |row| row.get(0)).optional()?;
            json.map(|json| graph_of(&json)).transpose()
        })
    }

    /// The highest run number, the last position and the time of the last entry.
    pub fn last(&self) -> Result<(RunId, Seq, Timestamp)> {
        self.with(|db| {
            let run: u64 = db.query_row("SELECT coalesce(max(id), 0) FROM runs", [], |row| row.get(0))?;
            let last =
                db.query_row("SELECT seq, at FROM journal ORDER BY seq DESC LIMIT 1", [], |row| Ok((row.get(0)?, row.get(1)?)));
            let (seq, at): (u64, u64) = last.optional()?.unwrap_or_default();
            Ok((RunId(run), Seq(seq), Timestamp(at)))
        })
    }

    /// A run by its number.
    pub fn run(&self, id: RunId) -> Result<Option<RunRow>> {
        self.with(|db| self.run_where(db, "id = ?1", params![id.0]))
    }

    /// A run by its name; the newest of that name over projects and domains.
    pub fn run_named(&self, name: &str) -> Result<Option<RunRow>> {
        self.with(|db| self.run_where(db, "name = ?1 ORDER BY id DESC LIMIT 1", params![name]))
    }

    /// The run that a submission with this name or key made before.
    pub fn find_run(&self, project: &str, domain: &str, name: Option<&str>, key: Option<&str>) -> Result<Known> {
        self.with(|db| {
            let by_key = "SELECT id FROM runs WHERE idempotency_key = ?1 AND project = ?2";
            let by_name = "SELECT id FROM runs WHERE name = ?1 AND project = ?2 AND domain = ?3";
            let mut known = Known::default();
            if let Some(key) = key {
                known.by_key =
                    db.prepare_cached(by_key)?.query_row(params![key, project], |row| row.get(0)).optional()?.map(RunId);
            }
            if let Some(name) = name {
                let found = db.prepare_cached(by_name)?.query_row(params![name, project, domain], |row| row.get(0)).optional()?;
                known.by_name = found.map(RunId);
            }
            Ok(known)
        })
    }

    /// Names that somebody chose and that a run after this one could be given by its number: project, domain, name and the run that has it.
    pub fn names_ahead(&self, last: RunId) -> Result<Vec<(String, String, String, RunId)>> {
        self.with(|db| {
            // As in `tables/v4.sql`, word for word: that makes it an index and no search.
            let number = "CAST(substr(name, length(rtrim(name, '0123456789')) + 1) AS INTEGER)";
            let sql = format!("SELECT project, domain, name, id FROM runs WHERE {number} > id AND {number} > ?1");
            let mut statement = db.prepare_cached(&sql)?;
            let rows =
                statement.query_map(params![last.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, RunId(row.get(3)?))))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// Runs, the newest first.
    pub fn runs(&self, filter: &RunFilter) -> Result<Vec<RunRow>> {
        self.with(|db| {
            let (sql, also) = runs_sql(filter);
            let before = filter.before.map_or(i64::MAX, |run| run.0 as i64);
            let phase = filter.phase.map(|phase| phase as i64);
            let limit = filter.limit as i64;
            let mut values: Vec<&dyn rusqlite::ToSql> = vec![&filter.project, &filter.workflow, &phase, &before, &limit];
            values.extend(also.iter().map(|value| value as &dyn rusqlite::ToSql));
            let mut statement = db.prepare_cached(&sql)?;
            let rows = statement.query_map(values.as_slice(), RunRow::read)?;
            let mut rows = rows.collect::<rusqlite::Result<Vec<_>>>()?;
            rows.iter_mut().for_each(|row| self.say(db, &mut row.failure));
            Ok(rows)
        })
    }

    /// Actions of a run, in the order in which they were opened.
    pub fn actions(&self, run: RunId, filter: &ActionFilter) -> Result<Vec<ActionRow>> {
        self.find_actions(run, filter, None)
    }

    /// Those of them that have some letters somewhere in their path, large or small.
    pub fn find_actions(&self, run: RunId, filter: &ActionFilter, words: Option<&str>) -> Result<Vec<ActionRow>> {
        self.with(|db| {
            let sql = format!(
                "SELECT {ACTION_COLUMNS} FROM actions WHERE run = ?1 AND no >= ?2 AND (?3 IS NULL OR phase = ?3)
                 AND (?5 IS NULL OR instr(lower(path), lower(?5)) > 0) ORDER BY no LIMIT ?4"
            );
            let phase = filter.phase.map(|phase| phase as i64);
            let mut statement = db.prepare_cached(&sql)?;
            let rows = statement.query_map(params![run.0, filter.from, phase, filter.limit as i64, words], ActionRow::read)?;
            let mut rows = rows.collect::<rusqlite::Result<Vec<_>>>()?;
            rows.iter_mut().for_each(|row| self.say(db, &mut row.failure));
            Ok(rows)
        })
    }

    /// An action by its path.
    pub fn action(&self, run: RunId, path: &str) -> Result<Option<ActionRow>> {
        self.with(|db| {
            let sql = format!("SELECT {ACTION_COLUMNS} FROM actions WHERE run = ?1 AND path = ?2");
            let mut row = db.prepare_cached(&sql)?.query_row(params![run.0, path], ActionRow::read).optional()?;
            row.iter_mut().for_each(|row| self.say(db, &mut row.failure));
            Ok(row)
        })
    }

    /// What a running action asked for, in the order in which it did, from a number on.
    pub fn children(&self, run: RunId, parent: u32, from: u32, limit: usize) -> Result<Vec<ChildRow>> {
        self.children_where("c.parent = ?2 AND c.no >= ?3", params![run.0, parent, from], limit)
    }

    /// The same for all actions of a run, whoever asked.
    pub fn descendants(&self, run: RunId, from: u32, limit: usize) -> Result<Vec<ChildRow>> {
        self.children_where("c.no >= ?2", params![run.0, from], limit)
    }

    /// An action that another one asked for; none when it is a node.
    pub fn child(&self, run: RunId, no: u32) -> Result<Option<ChildRow>> {
        Ok(self.children_where("c.no = ?2", params![run.0, no], 1)?.pop())
    }

    fn children_where(&self, which: &str, values: &[&dyn rusqlite::ToSql], limit: usize) -> Result<Vec<ChildRow>> {
        self.with(|db| {
            let columns: Vec<String> = ACTION_COLUMNS.split(", ").map(|column| format!("a.{column}")).collect();
            let sql = format!(
                "SELECT {}, c.parent, c.work, c.stopped FROM children c JOIN actions a ON a.run = c.run AND a.no = c.no
                 WHERE c.run = ?1 AND {which} ORDER BY c.no LIMIT {limit}",
                columns.join(", ")
            );
            let mut statement = db.prepare_cached(&sql)?;
            let rows = statement.query_map(values, |row| {
                let after = columns.len();
                Ok(ChildRow {
                    action: ActionRow::read(row)?,
                    parent: row.get(after)?,
                    work: row.get(after + 1)?,
                    stopped: row.get(after + 2)?,
                })
            })?;
            let mut rows = rows.collect::<rusqlite::Result<Vec<ChildRow>>>()?;
            rows.iter_mut().for_each(|row| self.say(db, &mut row.action.failure));
            Ok(rows)
        })
    }

    /// Nodes of a run that were left out.
    pub fn skipped(&self, run: RunId) -> Result<Vec<SkippedRow>> {
        self.with(|db| {
            let mut statement = db.prepare_cached("SELECT path, kind, why FROM skipped WHERE run = ?1 ORDER BY path")?;
            let rows = statement.query_map(params![run.0], |row| {
                let why = ["condition", "upstream", "branch"];
                let number: usize = row.get(2)?;
                Ok(SkippedRow {
                    path: row.get(0)?,
                    kind: kind_of(row.get(1)?),
                    why: why.get(number).copied().unwrap_or("unknown"),
                })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// Earlier attempts of an action.
    pub fn attempts(&self, run: RunId, action: u32) -> Result<Vec<AttemptRow>> {
        self.with(|db| {
            let sql = "SELECT attempt, site, phase, finished_at, cost, wall_us, failure FROM attempts WHERE run = ?1 AND no = ?2 ORDER BY attempt";
            let mut statement = db.prepare_cached(sql)?;
            let rows = statement.query_map(params![run.0, action], |row| {
                Ok(AttemptRow {
                    attempt: row.get(0)?,
                    site: row.get(1)?,
                    phase: phase_of(row.get(2)?),
                    finished_at: Timestamp(row.get(3)?),
                    cost: model::Money(row.get(4)?),
                    wall_us: row.get(5)?,
                    failure: row.get::<_, Option<String>>(6)?.and_then(|text| serde_json::from_str(&text).ok()),
                })
            })?;
            let mut rows = rows.collect::<rusqlite::Result<Vec<AttemptRow>>>()?;
            rows.iter_mut().for_each(|row| self.say(db, &mut row.failure));
            Ok(rows)
        })
    }

    fn run_where(&self, db: &Connection, condition: &str, values: impl rusqlite::Params) -> Result<Option<RunRow>> {
        let sql = format!("SELECT {RUN_COLUMNS} FROM runs WHERE {condition}");
        let mut row = db.prepare_cached(&sql)?.query_row(values, RunRow::read).optional()?;
        row.iter_mut().for_each(|row| self.say(db, &mut row.failure));
        Ok(row)
    }

    /// Puts what a failure says into it: that lies with the bodies, and is sealed, pruned and erased with them. Whatever becomes of it, that there
    /// was a failure can be told.
    pub(super) fn say(&self, db: &Connection, failure: &mut Option<Value>) {
        let Some(failure) = failure.as_mut().and_then(Value::as_object_mut) else { return };
        let Some(place) = failure.remove("text") else { return };
        let place = place[0].as_u64().zip(place[1].as_i64());
        let said = place.and_then(|(seq, n)| body_of(db, self.keys(), seq, n).ok().flatten());
        failure.insert("message".into(), said.unwrap_or_else(|| UNSAID.into()));
    }

    /// A body: the `n`-th payload of an entry. None after pruning.
    pub fn body(&self, seq: Seq, n: u32) -> Result<Option<Value>> {
        self.with(|db| body_of(db, self.keys(), seq.0, n.into()))
    }

    /// The explanation of a placement.
    pub fn explanation(&self, id: i64) -> Result<Option<Value>> {
        self.with(|db| {
            let sql = "SELECT json FROM explanations WHERE id = ?1";
            let json: Option<String> = db.prepare_cached(sql)?.query_row(params![id], |row| row.get(0)).optional()?;
            Ok(json.and_then(|json| serde_json::from_str(&json).ok()))
        })
    }

    /// The sites.
    pub fn sites(&self) -> Result<Vec<SiteRow>> {
        self.with(|db| {
            let mut statement = db.prepare_cached("SELECT spec, cordoned, drained, healthy, reason FROM sites ORDER BY name")?;
            let mut rows = statement.query([])?;
            let mut sites = Vec::new();
            while let Some(row) = rows.next()? {
                let spec: String = row.get(0)?;
                let spec = serde_json::from_str(&spec).map_err(|error| JournalError::Damaged(format!("a site: {error}")))?;
                sites.push(SiteRow {
                    spec,
                    cordoned: row.get(1)?,
                    drained: row.get(2)?,
                    healthy: row.get(3)?,
                    reason: row.get(4)?,
                });
            }
            Ok(sites)
        })
    }

    /// The tags that an artifact carries, from every run that made or was given it.
    pub fn artifact_label(&self, artifact: &Digest) -> Result<model::Label> {
        self.with(|db| {
            let mut statement = db.prepare_cached("SELECT tag FROM artifact_labels WHERE artifact = ?1")?;
            let tags = statement.query_map(params![artifact.0], |row| row.get::<_, String>(0))?;
            Ok(model::Label(tags.collect::<rusqlite::Result<_>>()?))
        })
    }

    /// How many actions of open runs have not ended, by phase.
    pub fn open_actions(&self) -> Result<std::collections::BTreeMap<Phase, u64>> {
        self.with(|db| {
            let sql = "SELECT phase, count(*) FROM actions WHERE run IN (SELECT id FROM runs WHERE finished_at IS NULL)
                 AND finished_at IS NULL GROUP BY phase";
            let mut statement = db.prepare_cached(sql)?;
            let rows = statement.query_map([], |row| Ok((phase_of(row.get(0)?), row.get(1)?)))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// How many actions of open runs run at each site.
    pub fn running_by_site(&self) -> Result<std::collections::BTreeMap<String, u64>> {
        self.with(|db| {
            let sql = "SELECT site, count(*) FROM actions WHERE run IN (SELECT id FROM runs WHERE finished_at IS NULL)
                 AND phase IN (2, 3) AND site IS NOT NULL GROUP BY site";
            let mut statement = db.prepare_cached(sql)?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// Counts.
    pub fn stats(&self) -> Result<Stats> {
        let file_bytes = std::fs::metadata(&*self.file).map(|file| file.len()).unwrap_or_default();
        self.with(|db| {
            let sql = "SELECT (SELECT size FROM tree), (SELECT coalesce(max(id), 0) FROM runs), (SELECT count(*) FROM runs WHERE finished_at IS NULL)";
            let (entries, runs, open_runs) = db.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            Ok(Stats { entries, runs, open_runs, file_bytes })
        })
    }
}

/// The statement that finds runs, and its values after the first five. Only conditions that were asked for stand in it, so that each can find
/// its index.
fn runs_sql(filter: &RunFilter) -> (String, Vec<&str>) {
    let mut conditions = String::from("id < ?4");
    let mut also = |asked: bool, condition: &str| {
        if asked {
            conditions.push_str(" AND ");
            conditions.push_str(condition);
        }
    };
    also(filter.project.is_some(), "project = ?1");
    also(filter.workflow.is_some(), "workflow = ?2");
    also(filter.phase.is_some(), "phase = ?3");
    // An index of some of the runs is used for a condition that says in its own words that only those are meant.
    also(filter.phase.is_some_and(|phase| !phase.is_terminal()), "finished_at IS NULL");
    also(filter.phase.is_some_and(|phase| phase as i64 > Phase::Succeeded as i64), "phase > 4");
    let mut values: Vec<&str> = Vec::new();
    let mut place = |value| {
        values.push(value);
        format!("?{}", values.len() + 5)
    };
    if let Some(domain) = &filter.domain {
        conditions += &format!(" AND domain = {}", place(domain.as_str()));
    }
    for (key, value) in &filter.run_labels {
        let key = place(key.as_str());
        let value = value.as_ref().map(|value| format!(" AND value = {}", place(value.as_str()))).unwrap_or_default();
        conditions += &format!(" AND id IN (SELECT run FROM run_labels WHERE key = {key}{value})");
    }
    (format!("SELECT {RUN_COLUMNS} FROM runs WHERE {conditions} ORDER BY id DESC LIMIT ?5"), values)
}

fn graph_of(json: &str) -> Result<Arc<Graph>> {
    serde_json::from_str(json).map(Arc::new).map_err(|error| JournalError::Damaged(format!("a graph: {error}")))
}

/// The bytes of a body; none when it was pruned or erased.
fn bytes_of(db: &Connection, keys: Option<&Keyring>, seq: u64, n: i64) -> Result<Option<Vec<u8>>> {
    let sql = "SELECT bytes FROM bodies WHERE seq = ?1 AND n = ?2";
    let kept: Option<Vec<u8>> = db.prepare_cached(sql)?.query_row(params![seq, n], |row| row.get(0)).optional()?;
    let Some(kept) = kept else { return Ok(None) };
    match open(keys, seq, n, kept)? {
        Kept::Bytes(bytes) => Ok(Some(bytes)),
        Kept::Erased => Ok(None),
        Kept::Sealed => Err(JournalError::Keys("its values are sealed, and there are no keys to open them with".into())),
        Kept::Tampered => Err(JournalError::Damaged(format!("the value {seq}.{n} is not what was sealed"))),
    }
}

fn body_of(db: &Connection, keys: Option<&Keyring>, seq: u64, n: i64) -> Result<Option<Value>> {
    bytes_of(db, keys, seq, n)?
        .map(|bytes| serde_json::from_slice(&bytes).map_err(|error| JournalError::Damaged(format!("body {seq}.{n}: {error}"))))
        .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How SQLite goes about finding runs.
    fn plan(filter: &RunFilter) -> String {
        let folder = tempfile::tempdir().unwrap();
        let db = schema::open_to_write(&folder.path().join(schema::FILE), schema::Durability::Full).unwrap();
        let mut statement = db.prepare(&format!("EXPLAIN QUERY PLAN {}", runs_sql(filter).0)).unwrap();
        let values = params!["p", "w", 5, 9, 50];
        let lines: Vec<String> = statement.query_map(values, |row| row.get(3)).unwrap().collect::<rusqlite::Result<_>>().unwrap();
        lines.join("; ")
    }

    #[test]
    fn rare_runs_are_found_without_looking_through_all() {
        let of = |phase| RunFilter { phase: Some(phase), ..RunFilter::default() };
        let workflow = RunFilter { workflow: Some("p/w".into()), ..RunFilter::default() };
        assert!(plan(&workflow).contains("runs_workflow"), "{}", plan(&workflow));
        for phase in [Phase::Failed, Phase::Aborted, Phase::TimedOut] {
            assert!(plan(&of(phase)).contains("runs_troubled"), "{}", plan(&of(phase)));
        }
        assert!(plan(&of(Phase::Running)).contains("runs_open"), "{}", plan(&of(Phase::Running)));
        // In the order of the answer: no list is sorted as a whole for its first page.
        for filter in [RunFilter::default(), workflow, of(Phase::Failed), of(Phase::Running), of(Phase::Succeeded)] {
            assert!(!plan(&filter).contains("TEMP B-TREE"), "{}", plan(&filter));
        }
    }
}
