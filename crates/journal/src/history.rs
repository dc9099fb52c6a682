//! What ran, joined with what it was part of: what estimates, costs and replays of the past are made from.

use std::ops::ControlFlow;

use engine::event::{ActionKind, RunPlanned, Usage};
use model::{Digest, Money, Phase, RunId, Seq, Timestamp};
use rusqlite::{OptionalExtension as _, params};

use crate::rows::{kind_of, phase_of};
use crate::{JournalError, Reader, RunRow};

/// Which actions.
#[derive(Clone, Debug, Default)]
pub struct HistoryFilter {
    /// Of this project.
    pub project: Option<String>,
    /// Of this workflow.
    pub workflow: Option<String>,
    /// Opened at this time or later.
    pub since: Option<Timestamp>,
    /// Opened before this time.
    pub until: Option<Timestamp>,
    /// At most so many, the latest.
    pub limit: usize,
}

impl HistoryFilter {
    /// From when and until when, as the tables count time.
    fn period(&self) -> (u64, u64) {
        (self.since.map_or(0, |at| at.0), self.until.map_or(i64::MAX as u64, |at| at.0.min(i64::MAX as u64)))
    }
}

/// An action that had a place and has ended, with what it was part of.
#[derive(Clone, Debug)]
pub struct HistoryRow {
    /// The run.
    pub run: RunId,
    /// The project of the run.
    pub project: String,
    /// Its domain.
    pub domain: String,
    /// Its workflow.
    pub workflow: String,
    /// The digest of its graph.
    pub graph: Digest,
    /// When the run was accepted.
    pub submitted_at: Timestamp,
    /// The path of the action.
    pub path: String,
    /// Its kind.
    pub kind: ActionKind,
    /// How it ended.
    pub phase: Phase,
    /// Where its last attempt ran.
    pub site: String,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When its last attempt began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Timestamp,
    /// The number of its last attempt.
    pub attempt: u32,
    /// What its attempts cost.
    pub cost: Money,
    /// What its last attempt used.
    pub usage: Usage,
    /// The class of its failure.
    pub failure: Option<String>,
}

/// What actions cost together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CostRow {
    /// The project.
    pub project: String,
    /// The workflow.
    pub workflow: String,
    /// The site; empty for what never had one.
    pub site: String,
    /// The kind of action.
    pub kind: u8,
    /// The day in UTC, as days since 1970.
    pub day: u64,
    /// What they cost.
    pub cost: Money,
    /// How many they are.
    pub actions: u64,
    /// Microseconds that they ran.
    pub wall_us: u64,
    /// Bytes that moved for them.
    pub bytes_in: u64,
}

/// Work of one project that began at one site within one hour.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkRow {
    /// The project.
    pub project: String,
    /// The site.
    pub site: String,
    /// The hour in UTC, as hours since 1970.
    pub hour: u64,
    /// How many actions began.
    pub begun: u64,
    /// Microseconds of cores that they took: what was measured, and a quarter of a core at least while they ran.
    pub core_us: u64,
}

/// What one action can be counted with at most: a month, and 64 TiB. What workers say is not believed, and a sum of it must not overflow.
const LONGEST_US: u64 = 2_592_000_000_000;
const LARGEST_BYTES: u64 = 1 << 46;

const COLUMNS: &str = "r.id, r.project, r.domain, r.workflow, r.graph, r.submitted_at, a.path, a.kind, a.phase, a.site, a.opened_at, a.started_at, a.finished_at, a.attempt, a.cost, a.wall_us, a.cpu_us, a.memory_peak, a.bytes_in, a.bytes_out, json_extract(a.failure, '$.class')";

/// What had a place and has ended, of a project, a workflow and a period. Of runs that had ended before it, or came after, no action is looked at:
/// what a question costs grows with its period, and not with all that ever was. (Joined in this order whatever the statistics say.)
const FROM: &str = "FROM runs r CROSS JOIN actions a ON a.run = r.id
    WHERE (?1 IS NULL OR r.project = ?1) AND (?2 IS NULL OR r.workflow = ?2)
    AND (r.finished_at IS NULL OR r.finished_at >= ?3) AND r.submitted_at < ?4
    AND a.finished_at IS NOT NULL AND a.site IS NOT NULL AND a.wall_us IS NOT NULL AND a.opened_at >= ?3 AND a.opened_at < ?4";

impl Reader {
    /// Actions that had a place and have ended, the oldest first; of more than the limit the latest.
    pub fn history(&self, filter: &HistoryFilter) -> Result<Vec<HistoryRow>, JournalError> {
        self.with(|db| {
            let sql = format!("SELECT {COLUMNS} {FROM} ORDER BY r.id DESC, a.no DESC LIMIT ?5");
            let (since, until) = filter.period();
            let mut statement = db.prepare_cached(&sql)?;
            let limit = i64::try_from(filter.limit).unwrap_or(i64::MAX);
            let rows = statement.query_map(params![filter.project, filter.workflow, since, until, limit], HistoryRow::read)?;
            let mut rows: Vec<HistoryRow> = rows.collect::<rusqlite::Result<_>>()?;
            rows.reverse();
            Ok(rows)
        })
    }

    /// The same, row after row in the order of runs and their actions, as long as `each` goes on: for periods that nobody wants in memory. The
    /// limit of the filter says nothing here.
    pub fn history_each(
        &self,
        filter: &HistoryFilter,
        each: &mut dyn FnMut(HistoryRow) -> ControlFlow<()>,
    ) -> Result<(), JournalError> {
        self.with(|db| {
            let sql = format!("SELECT {COLUMNS} {FROM} ORDER BY r.id, a.no");
            let (since, until) = filter.period();
            let mut statement = db.prepare_cached(&sql)?;
            let mut rows = statement.query(params![filter.project, filter.workflow, since, until])?;
            while let Some(row) = rows.next()? {
                if each(HistoryRow::read(row)?).is_break() {
                    break;
                }
            }
            Ok(())
        })
    }

    /// The entries between which the runs lie that may have actions in a period; none when there is no such run.
    pub(crate) fn span_of(&self, filter: &HistoryFilter) -> Result<Option<(Seq, Seq)>, JournalError> {
        self.with(|db| {
            let sql = "SELECT min(r.first_seq), max(r.last_seq) FROM runs r
                 WHERE (?1 IS NULL OR r.project = ?1) AND (?2 IS NULL OR r.workflow = ?2)
                 AND (r.finished_at IS NULL OR r.finished_at >= ?3) AND r.submitted_at < ?4";
            let (since, until) = filter.period();
            let row = |row: &rusqlite::Row<'_>| Ok(row.get::<_, Option<u64>>(0)?.zip(row.get::<_, Option<u64>>(1)?));
            let span = db.prepare_cached(sql)?.query_row(params![filter.project, filter.workflow, since, until], row)?;
            Ok(span.map(|(first, last)| (Seq(first), Seq(last))))
        })
    }

    /// How much work began since a time, by project, site and hour: what forecasts are made from. Added up by the store, so that a long past takes
    /// no memory; moving data is no work of a site.
    pub fn work_by_hour(&self, since: Timestamp) -> Result<Vec<WorkRow>, JournalError> {
        self.with(|db| {
            let sql = format!(
                "SELECT r.project, a.site, coalesce(a.started_at, a.opened_at) / 3600000000 AS hour, count(*),
                 sum(min(max(coalesce(a.cpu_us, 0), a.wall_us / 4), {LONGEST_US})) {FROM} AND coalesce(a.kind, 0) <> 8 GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
            );
            let (since, until) = HistoryFilter { since: Some(since), ..HistoryFilter::default() }.period();
            let mut statement = db.prepare_cached(&sql)?;
            let rows = statement.query_map(params![None::<String>, None::<String>, since, until], |row| {
                let (project, site, hour) = (row.get(0)?, row.get(1)?, row.get(2)?);
                Ok(WorkRow { project, site, hour, begun: row.get(3)?, core_us: row.get(4)? })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// How many commands and scripts began since a time, by site and hour, those that still run among them: what is forecast for places that are started
    /// ahead. Connectors, programs and what workers take have no such places.
    pub fn begun_by_hour(&self, since: Timestamp) -> Result<Vec<(String, u64, u64)>, JournalError> {
        self.with(|db| {
            let sql = "SELECT a.site, coalesce(a.started_at, a.opened_at) / 3600000000 AS hour, count(*)
                 FROM runs r CROSS JOIN actions a ON a.run = r.id
                 WHERE (r.finished_at IS NULL OR r.finished_at >= ?1) AND a.kind = 1 AND a.site IS NOT NULL
                 AND (a.started_at IS NOT NULL OR a.finished_at IS NOT NULL) AND coalesce(a.started_at, a.opened_at) >= ?1
                 GROUP BY 1, 2 ORDER BY 1, 2";
            let mut statement = db.prepare_cached(sql)?;
            let rows = statement.query_map(params![i64::try_from(since.0).unwrap_or(i64::MAX)], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// What actions cost, by project, workflow, site, kind and day. Running ones count with the attempts that have ended.
    pub fn costs(&self, since: Timestamp, until: Timestamp) -> Result<Vec<CostRow>, JournalError> {
        self.with(|db| {
            let sql = format!(
                "SELECT r.project, r.workflow, coalesce(CASE a.kind WHEN 8 THEN a.host ELSE a.site END, ''), coalesce(a.kind, 0),
                 coalesce(a.finished_at, a.opened_at) / 86400000000 AS day, sum(a.cost), count(*),
                 sum(min(coalesce(a.wall_us, 0), {LONGEST_US})), sum(min(coalesce(a.bytes_in, 0), {LARGEST_BYTES}))
                 FROM runs r CROSS JOIN actions a ON a.run = r.id
                 WHERE (r.finished_at IS NULL OR r.finished_at >= ?1) AND r.submitted_at < ?2
                 AND coalesce(a.finished_at, a.opened_at) >= ?1 AND coalesce(a.finished_at, a.opened_at) < ?2
                 GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5"
            );
            let mut statement = db.prepare_cached(&sql)?;
            let rows = statement.query_map(params![since.0, until.0.min(i64::MAX as u64)], |row| {
                Ok(CostRow {
                    project: row.get(0)?,
                    workflow: row.get(1)?,
                    site: row.get(2)?,
                    kind: row.get(3)?,
                    day: row.get(4)?,
                    cost: Money(row.get(5)?),
                    actions: row.get(6)?,
                    wall_us: row.get(7)?,
                    bytes_in: row.get(8)?,
                })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// Bytes that transfers took from each site since a time.
    pub fn sent_since(&self, since: Timestamp) -> Result<Vec<(String, u64)>, JournalError> {
        self.with(|db| {
            let sql = "SELECT host, sum(bytes_in) FROM actions WHERE kind = 8 AND finished_at >= ?1 AND bytes_in > 0 AND host IS NOT NULL
                 GROUP BY host";
            let mut statement = db.prepare_cached(sql)?;
            let rows = statement.query_map(params![since.0], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// The last plan that was recorded for a run.
    pub fn last_plan(&self, run: &RunRow) -> Result<Option<RunPlanned>, JournalError> {
        self.with(|db| {
            let sql =
                "SELECT bytes FROM journal WHERE run = ?1 AND seq BETWEEN ?2 AND ?3 AND kind = 30 ORDER BY seq DESC LIMIT 1";
            let mut statement = db.prepare_cached(sql)?;
            let bytes: Option<Vec<u8>> =
                statement.query_row(params![run.id.0, run.first_seq.0, run.last_seq.0], |row| row.get(0)).optional()?;
            Ok(bytes.and_then(|bytes| match engine::codec::decode(&bytes) {
                Ok(engine::Event::RunPlanned(plan)) => Some(*plan),
                _ => None,
            }))
        })
    }

    /// What the runs of every project have cost since a time.
    pub fn spent_since(&self, since: Timestamp) -> Result<Vec<(String, Money)>, JournalError> {
        self.with(|db| {
            let sql = "SELECT project, sum(cost) FROM runs WHERE submitted_at >= ?1 GROUP BY project";
            let mut statement = db.prepare_cached(sql)?;
            let rows = statement.query_map(params![since.0], |row| Ok((row.get(0)?, Money(row.get(1)?))))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }
}

/// How many runs were accepted since a time, by how they stand, and what they have cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunTotals {
    /// Runs in each phase that there is one in.
    pub phases: Vec<(Phase, u64)>,
    /// What their attempts have cost so far.
    pub cost: Money,
}

impl Reader {
    /// Counts the runs that were accepted at a time or later. Runs are numbered as they are accepted and the time of the loop never goes
    /// backward, so that the first of them is found by halving, and only they are read.
    pub fn run_totals(&self, since: Timestamp) -> Result<RunTotals, JournalError> {
        self.with(|db| {
            let since = since.0.min(i64::MAX as u64);
            let mut at = db.prepare_cached("SELECT id, submitted_at FROM runs WHERE id >= ?1 ORDER BY id LIMIT 1")?;
            let newest: u64 = db.query_row("SELECT coalesce(max(id), 0) FROM runs", [], |row| row.get(0))?;
            let (mut from, mut to) = (0, newest.saturating_add(1));
            while from < to {
                let middle = from + (to - from) / 2;
                match at.query_row(params![middle], |row| Ok((row.get::<_, u64>(0)?, row.get::<_, u64>(1)?))).optional()? {
                    Some((id, submitted)) if submitted < since => from = id + 1,
                    _ => to = middle,
                }
            }
            let sql = "SELECT phase, count(*), sum(cost) FROM runs WHERE id >= ?1 GROUP BY phase ORDER BY phase";
            let mut statement = db.prepare_cached(sql)?;
            let mut totals = RunTotals::default();
            let rows = statement.query_map(params![from], |row| Ok((row.get(0)?, row.get(1)?, Money(row.get(2)?))))?;
            for row in rows {
                let (phase, runs, cost) = row?;
                totals.phases.push((phase_of(phase), runs));
                totals.cost += cost;
            }
            Ok(totals)
        })
    }
}

impl HistoryRow {
    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<HistoryRow> {
        let count = |index: usize| Ok::<u64, rusqlite::Error>(row.get::<_, Option<u64>>(index)?.unwrap_or_default());
        let opened: u64 = count(10)?;
        Ok(HistoryRow {
            run: RunId(row.get(0)?),
            project: row.get(1)?,
            domain: row.get(2)?,
            workflow: row.get(3)?,
            graph: Digest(row.get(4)?),
            submitted_at: Timestamp(row.get(5)?),
            path: row.get::<_, Option<String>>(6)?.unwrap_or_default(),
            kind: kind_of(row.get::<_, Option<i64>>(7)?.unwrap_or_default()),
            phase: phase_of(row.get::<_, Option<i64>>(8)?.unwrap_or_default()),
            site: row.get(9)?,
            opened_at: Timestamp(opened),
            started_at: Timestamp(row.get::<_, Option<u64>>(11)?.unwrap_or(opened)),
            finished_at: Timestamp(count(12)?),
            attempt: row.get::<_, Option<u32>>(13)?.unwrap_or_default(),
            cost: Money(row.get(14)?),
            usage: Usage {
                wall_us: count(15)?,
                cpu_us: count(16)?,
                memory_peak_bytes: count(17)?,
                bytes_in: count(18)?,
                bytes_out: count(19)?,
            },
            failure: row.get(20)?,
        })
    }
}
