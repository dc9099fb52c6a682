//! What is remembered under a key, unless it was undone since.

use engine::Event;
use engine::event::{Located, RecallKey};
use keyring::Keyring;
use model::{Phase, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, params};
use serde_json::Value;

use super::{Reader, Result, body_of, event_of};
use crate::rows::RecallRow;

impl Reader {
    /// The output kept under a key, when it is young enough.
    pub fn recall(&self, project: &str, key: &RecallKey, now: Timestamp) -> Result<Option<RecallRow>> {
        self.with(|db| {
            let sql = "SELECT seq, at, locations FROM recalls WHERE project = ?1 AND kind = ?2 AND key = ?3";
            let found = db.prepare_cached(sql)?.query_row(params![project, key.kind as i64, key.key.0], |row| {
                Ok((row.get::<_, u64>(0)?, row.get::<_, u64>(1)?, row.get::<_, String>(2)?))
            });
            let Some((seq, at, locations)) = found.optional()? else { return Ok(None) };
            let at = Timestamp(at);
            if key.max_age.is_some_and(|age| now.since(at) > age) {
                return Ok(None);
            }
            if was_undone(db, seq)? {
                return Ok(None);
            }
            let Some(output) = body_of(db, self.keys(), seq, 0)? else { return Ok(None) };
            let carried = carried_at(db, self.keys(), seq)?;
            Ok(Some(RecallRow { output, locations: locations_of(&locations), at, carried }))
        })
    }
}

/// What an output carries that an entry kept: what its run says of the node that gave it.
fn carried_at(db: &Connection, keys: Option<&Keyring>, seq: u64) -> Result<model::Carried> {
    let sql = "SELECT bytes FROM journal WHERE seq = ?1 AND bytes IS NOT NULL";
    let bytes: Option<Vec<u8>> = db.prepare_cached(sql)?.query_row([seq], |row| row.get(0)).optional()?;
    let Some(bytes) = bytes else { return Ok(model::Carried::default()) };
    let Event::OutputKept(kept) = event_of(db, keys, seq, &bytes)? else { return Ok(model::Carried::default()) };
    // It is written with the acceptance of the run.
    let sql =
        "SELECT j.seq, j.bytes FROM journal j JOIN runs r ON r.id = ?1 WHERE j.seq BETWEEN r.first_seq AND r.first_seq + 1000
               AND j.run = ?1 AND j.kind = 31 ORDER BY j.seq LIMIT 1";
    let found = db.prepare_cached(sql)?.query_row([kept.run.0], |row| Ok((row.get::<_, u64>(0)?, row.get::<_, Vec<u8>>(1)?)));
    let Some((at, bytes)) = found.optional()? else { return Ok(model::Carried::default()) };
    let Event::RunLabelled(labelled) = event_of(db, keys, at, &bytes)? else { return Ok(model::Carried::default()) };
    let sql = "SELECT path FROM actions WHERE run = ?1 AND no = ?2";
    let path = db.prepare_cached(sql)?.query_row(params![kept.run.0, kept.action.0], |row| row.get::<_, Option<String>>(0));
    let path = path.optional()?.flatten().unwrap_or_default();
    let sql = "SELECT EXISTS (SELECT 1 FROM children WHERE run = ?1 AND no = ?2)";
    let child: bool = db.prepare_cached(sql)?.query_row(params![kept.run.0, kept.action.0], |row| row.get(0))?;
    if !child {
        return Ok(labelled.gives.get(&engine::without_items(&path)).cloned().unwrap_or_default());
    }
    // What another action asked for is no node, and gives what could be read where it was asked for: at most all of it.
    let mut all = model::Label::empty();
    labelled.reads.values().for_each(|label| all.join(label));
    Ok(model::Carried { all, ..model::Carried::default() })
}

/// Whether what was kept by an entry was undone since: an effect that stands no more is nobody's output any more.
fn was_undone(db: &Connection, seq: u64) -> Result<bool> {
    let sql = "SELECT bytes FROM journal WHERE seq = ?1 AND bytes IS NOT NULL";
    let bytes: Option<Vec<u8>> = db.prepare_cached(sql)?.query_row([seq], |row| row.get(0)).optional()?;
    let Some(bytes) = bytes else { return Ok(false) };
    let Ok(Event::OutputKept(kept)) = engine::codec::decode(&bytes) else { return Ok(false) };
    let sql = "SELECT EXISTS (SELECT 1 FROM actions AS kept JOIN actions AS undo ON undo.run = kept.run AND undo.no > kept.no
               WHERE kept.run = ?1 AND kept.no = ?2 AND undo.path = kept.path || '!undo' AND undo.phase = ?3)";
    let succeeded = Phase::Succeeded as i64;
    Ok(db.prepare_cached(sql)?.query_row(params![kept.run.0, kept.action.0, succeeded], |row| row.get(0))?)
}

fn locations_of(json: &str) -> Vec<Located> {
    let list: Vec<Value> = serde_json::from_str(json).unwrap_or_default();
    let read = |value: &Value| {
        Some(Located {
            artifact: value.get("artifact")?.as_str()?.parse().ok()?,
            size: value.get("size")?.as_u64()?,
            site: value.get("site")?.as_str()?.to_owned(),
        })
    };
    list.iter().filter_map(read).collect()
}
