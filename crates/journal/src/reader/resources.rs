//! Resources in all their versions, what happened to them, and the firings of triggers.

use std::collections::BTreeMap;

use engine::Event;
use model::{RunId, Seq, Timestamp};
use rusqlite::params;

use super::{Reader, Result, event_of};
use crate::{FiringRow, ResourceRow};

impl Reader {
    /// The latest version of every resource of a kind, or the one of a name, or an exact version.
    pub fn resources(&self, kind: &str, name: Option<&str>, version: Option<u64>) -> Result<Vec<ResourceRow>> {
        self.with(|db| {
            let sql = "SELECT kind, name, version, at, principal, body FROM resources r WHERE kind = ?1 AND (?2 IS NULL OR name = ?2)
                 AND version = coalesce(?3, (SELECT max(version) FROM resources WHERE kind = r.kind AND name = r.name)) ORDER BY name";
            let mut statement = db.prepare_cached(sql)?;
            let rows = statement.query_map(params![kind, name, version], resource_row)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// Every version of the resources of a kind, by name and number.
    pub fn versions(&self, kind: &str) -> Result<Vec<ResourceRow>> {
        self.with(|db| {
            let sql = "SELECT kind, name, version, at, principal, body FROM resources WHERE kind = ?1 ORDER BY name, version";
            let mut statement = db.prepare_cached(sql)?;
            let rows = statement.query_map(params![kind], resource_row)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// Who applied the first version of each resource of a kind, by name.
    pub fn first_applied_by(&self, kind: &str) -> Result<BTreeMap<String, String>> {
        self.with(|db| {
            // A bare column beside `min` is of the row that has it.
            let sql = "SELECT name, principal, min(version) FROM resources WHERE kind = ?1 GROUP BY name";
            let mut statement = db.prepare_cached(sql)?;
            let rows = statement.query_map(params![kind], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// What happened to resources after a position, bodies in place: at most so many entries.
    pub fn resource_events(&self, after: Seq, limit: usize) -> Result<Vec<(Seq, Timestamp, Event)>> {
        self.with(|db| {
            let sql = "SELECT seq, at, bytes FROM journal WHERE run = 0 AND seq > ?1 AND kind IN (47, 48) AND bytes IS NOT NULL
                 ORDER BY seq LIMIT ?2";
            let mut statement = db.prepare_cached(sql)?;
            let mut rows = statement.query(params![after.0, limit as i64])?;
            let mut events = Vec::new();
            while let Some(row) = rows.next()? {
                let (seq, at): (u64, u64) = (row.get(0)?, row.get(1)?);
                let bytes = row.get_ref(2)?.as_blob().unwrap_or_default();
                events.push((Seq(seq), Timestamp(at), event_of(db, self.keys(), seq, bytes)?));
            }
            Ok(events)
        })
    }

    /// The last firings of a trigger, the latest due first.
    pub fn firings(&self, trigger: &str, limit: usize) -> Result<Vec<FiringRow>> {
        self.with(|db| {
            let sql =
                "SELECT name, due, at, run, missed, left_out FROM firings WHERE name = ?1 ORDER BY due DESC, seq DESC LIMIT ?2";
            let mut statement = db.prepare_cached(sql)?;
            let rows = statement.query_map(params![trigger, limit as i64], |row| {
                Ok(FiringRow {
                    trigger: row.get(0)?,
                    due: Timestamp(row.get(1)?),
                    at: Timestamp(row.get(2)?),
                    run: row.get::<_, Option<u64>>(3)?.map(RunId),
                    missed: row.get(4)?,
                    left_out: row.get(5)?,
                })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// How many firings of a trigger started a run, and how many were left out, for whatever reason.
    pub fn firings_counted(&self, trigger: &str) -> Result<(u64, u64)> {
        self.with(|db| {
            let sql = "SELECT count(run), count(*) - count(run) + coalesce(sum(missed), 0) FROM firings WHERE name = ?1";
            let mut statement = db.prepare_cached(sql)?;
            Ok(statement.query_row(params![trigger], |row| Ok((row.get(0)?, row.get(1)?)))?)
        })
    }

    /// When the last firing of each trigger was due.
    pub fn last_firings(&self) -> Result<BTreeMap<String, Timestamp>> {
        self.with(|db| {
            // One look-up a trigger, however often each has fired.
            let sql = "SELECT name, (SELECT max(due) FROM firings WHERE name = t.name) AS due
                 FROM (SELECT DISTINCT name FROM resources WHERE kind = 'trigger') t WHERE due IS NOT NULL";
            let mut statement = db.prepare(sql)?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, Timestamp(row.get(1)?))))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }
}

fn resource_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<ResourceRow> {
    let body: Option<String> = row.get(5)?;
    Ok(ResourceRow {
        kind: row.get(0)?,
        name: row.get(1)?,
        version: row.get(2)?,
        at: Timestamp(row.get(3)?),
        principal: row.get(4)?,
        body: body.and_then(|body| serde_json::from_str(&body).ok()).unwrap_or_default(),
    })
}
