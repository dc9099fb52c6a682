//! What concerns no run: sites, resources, firings, what is kept under keys, and which bodies are to go.

use engine::Event;
use model::RunId;
use serde_json::{Value, json};

use super::{Projection, Statement, column};
use crate::Entry;

impl Projection {
    pub(super) fn note_fleet(&mut self, seq: u64, entry: &Entry) {
        let at = entry.at.0 as i64;
        let site_order = |sql: &'static str, site: &str| (sql, vec![site.to_owned().into()]);
        let statement: Statement = match &entry.event {
            Event::OutputKept(e) => {
                let locations: Vec<Value> =
                    e.locations.iter().map(|l| json!({"artifact": l.artifact, "size": l.size, "site": l.site})).collect();
                let values = vec![
                    (e.run.0 as i64).into(),
                    (e.key.kind as i64).into(),
                    e.key.key.0.to_vec().into(),
                    (seq as i64).into(),
                    at.into(),
                    Value::Array(locations).to_string().into(),
                ];
                // The run of the output was written before, in this transaction or in an earlier one.
                ("INSERT OR REPLACE INTO recalls SELECT project, ?2, ?3, ?4, ?1, ?5, ?6 FROM runs WHERE id = ?1", values)
            }
            Event::SiteRegistered(e) => {
                let spec = serde_json::to_string(&e.site).unwrap_or_default();
                let sql = "INSERT INTO sites VALUES (?1, ?2, 0, 0, 1, '') ON CONFLICT (name) DO UPDATE SET spec = excluded.spec";
                (sql, vec![e.site.name.clone().into(), spec.into()])
            }
            Event::SiteRemoved(e) => site_order("DELETE FROM sites WHERE name = ?1", &e.site),
            Event::SiteCordoned(e) => site_order("UPDATE sites SET cordoned = 1, drained = 0 WHERE name = ?1", &e.site),
            Event::SiteUncordoned(e) => site_order("UPDATE sites SET cordoned = 0, drained = 0 WHERE name = ?1", &e.site),
            Event::SiteDrained(e) => site_order("UPDATE sites SET cordoned = 1, drained = 1 WHERE name = ?1", &e.site),
            Event::SiteHealthChanged(e) => {
                let values = vec![e.site.clone().into(), i64::from(e.healthy).into(), e.reason.clone().into()];
                ("UPDATE sites SET healthy = ?2, reason = ?3 WHERE name = ?1", values)
            }
            Event::ResourceApplied(e) => {
                let values = vec![
                    e.kind.clone().into(),
                    e.name.clone().into(),
                    column(e.version).into(),
                    at.into(),
                    e.principal.clone().into(),
                    e.body.value().to_string().into(),
                    (seq as i64).into(),
                ];
                ("INSERT OR REPLACE INTO resources VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)", values)
            }
            Event::ResourceDeleted(e) => {
                ("DELETE FROM resources WHERE kind = ?1 AND name = ?2", vec![e.kind.clone().into(), e.name.clone().into()])
            }
            Event::BodiesPruned(e) => return self.prune(seq, e.before.0),
            Event::DataErased(e) => return self.erase(seq, &e.runs),
            Event::TriggerFired(e) => {
                let run = e.run.map_or(rusqlite::types::Value::Null, |run| (run.0 as i64).into());
                let left_out = e.left_out.map_or(rusqlite::types::Value::Null, |why| why.as_str().to_owned().into());
                let values = vec![
                    (seq as i64).into(),
                    e.trigger.clone().into(),
                    column(e.due.0).into(),
                    at.into(),
                    run,
                    e.missed.into(),
                    left_out,
                ];
                ("INSERT OR REPLACE INTO firings VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)", values)
            }
            _ => return,
        };
        self.rest.push(statement);
    }

    /// Marks the runs whose bodies are to go, and forgets what is kept of them under keys. Of the runs that end in this transaction only those
    /// count that ended before this entry.
    fn prune(&mut self, seq: u64, before: u64) {
        let values = || vec![column(seq).into(), column(before).into()];
        let mark = "UPDATE runs SET pruned = -?1 WHERE finished_at < ?2 AND finished_seq < ?1 AND pruned = 0";
        let forget = "DELETE FROM recalls WHERE run IN (SELECT id FROM runs WHERE pruned = -?1) AND ?2 IS NOT NULL";
        self.rest.extend([(mark, values()), (forget, values())]);
    }

    /// The same for runs that are erased.
    fn erase(&mut self, seq: u64, runs: &[RunId]) {
        for run in runs {
            let values = || vec![column(seq).into(), column(run.0).into()];
            let mark = "UPDATE runs SET pruned = -?1 WHERE id = ?2 AND pruned != 1";
            let forget = "DELETE FROM recalls WHERE run = ?2 AND ?1 IS NOT NULL";
            self.rest.extend([(mark, values()), (forget, values())]);
        }
    }
}
