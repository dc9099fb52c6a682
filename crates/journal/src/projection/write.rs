//! Writing the changes, once for each run and each action.

use std::collections::BTreeMap;

use rusqlite::{Transaction, params};

use super::{ActionChange, Projection, RunChange, Statement, column};
use crate::JournalError;

impl Projection {
    /// Writes the changes.
    pub(crate) fn write(self, transaction: &Transaction<'_>) -> Result<(), JournalError> {
        for (id, json) in &self.explanations {
            transaction.prepare_cached("INSERT OR IGNORE INTO explanations VALUES (?1, ?2)")?.execute(params![id, json])?;
        }
        write_runs(transaction, &self.runs)?;
        write_statements(transaction, self.attempts)?;
        write_actions(transaction, &self.actions)?;
        write_statements(transaction, self.rest)
    }
}

fn write_statements(transaction: &Transaction<'_>, statements: Vec<Statement>) -> Result<(), JournalError> {
    for (sql, values) in statements {
        transaction.prepare_cached(sql)?.execute(rusqlite::params_from_iter(values))?;
    }
    Ok(())
}

fn write_runs(transaction: &Transaction<'_>, runs: &BTreeMap<u64, RunChange>) -> Result<(), JournalError> {
    // Whole, as it is at the end of the transaction: a run that begins and ends in one is written once.
    let mut insert = transaction.prepare_cached(
        "INSERT INTO runs (id, phase, paused, cost, failure, outputs_seq, last_seq, actions_total, actions_done, finished_at, finished_seq,
         name, project, domain, workflow, graph, principal, origin, idempotency_key, submitted_at, first_seq, run_labels)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22)",
    )?;
    let mut update = transaction.prepare_cached(
        "UPDATE runs SET phase = coalesce(?2, phase), paused = coalesce(?3, paused), cost = cost + ?4, failure = coalesce(?5, failure),
         outputs_seq = coalesce(?6, outputs_seq), last_seq = ?7, actions_total = actions_total + ?8, actions_done = actions_done + ?9
         WHERE id = ?1",
    )?;
    // On its own: the index of open runs hangs on it, and would otherwise be written at every change of a run.
    let mut finish = transaction.prepare_cached("UPDATE runs SET finished_at = ?2, finished_seq = ?3 WHERE id = ?1")?;
    for (id, run) in runs {
        let phase = run.phase.map(|phase| phase as i64);
        if let Some(s) = &run.submitted {
            insert.execute(params![
                id,
                phase,
                run.paused.unwrap_or_default(),
                run.cost,
                run.failure,
                run.outputs_seq,
                run.last_seq,
                run.opened,
                run.done,
                run.finished_at,
                run.finished_seq,
                s.name,
                s.project,
                s.domain,
                s.workflow,
                s.graph,
                s.principal,
                s.origin,
                s.key,
                s.at,
                s.seq,
                s.run_labels,
            ])?;
            continue;
        }
        update.execute(params![
            id,
            phase,
            run.paused,
            run.cost,
            run.failure,
            run.outputs_seq,
            run.last_seq,
            run.opened,
            run.done
        ])?;
        if run.finished_at.is_some() {
            finish.execute(params![id, run.finished_at, run.finished_seq])?;
        }
    }
    Ok(())
}

/// What a change of an action writes over what is known of it.
const ACTION_CHANGES: &str = "phase = coalesce(excluded.phase, phase),
    site = coalesce(excluded.site, site), host = coalesce(excluded.host, host), opened_at = coalesce(excluded.opened_at, opened_at),
    started_at = coalesce(?11, started_at, ?29), finished_at = coalesce(excluded.finished_at, finished_at),
    attempt = coalesce(excluded.attempt, attempt), cost = cost + excluded.cost, wall_us = coalesce(excluded.wall_us, wall_us),
    cpu_us = coalesce(excluded.cpu_us, cpu_us), memory_peak = coalesce(excluded.memory_peak, memory_peak),
    bytes_in = coalesce(excluded.bytes_in, bytes_in), bytes_out = coalesce(excluded.bytes_out, bytes_out),
    failure = CASE WHEN excluded.finished_at IS NOT NULL OR excluded.failure IS NOT NULL THEN excluded.failure ELSE failure END,
    input_seq = coalesce(excluded.input_seq, input_seq), input_n = coalesce(excluded.input_n, input_n),
    output_seq = coalesce(excluded.output_seq, output_seq), reused = coalesce(excluded.reused, reused),
    explanation = coalesce(excluded.explanation, explanation), first_by = coalesce(excluded.first_by, first_by),
    escalated = coalesce(excluded.escalated, escalated), waits_for = CASE WHEN ?28 IS NULL THEN waits_for ELSE nullif(?28, '') END";

/// What only its opening writes. On its own: an index hangs on it, and would otherwise be written at every change of an action.
const ACTION_OPENING: &str = "path = coalesce(excluded.path, path), kind = coalesce(excluded.kind, kind),
    scope = coalesce(excluded.scope, scope), node = coalesce(excluded.node, node), ";

fn write_actions(transaction: &Transaction<'_>, actions: &BTreeMap<(u64, u32), ActionChange>) -> Result<(), JournalError> {
    let statement = |opening: &str| {
        transaction.prepare_cached(&format!(
            "INSERT INTO actions VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, coalesce(?11, ?29), ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19,
             ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, nullif(?28, '')) ON CONFLICT (run, no) DO UPDATE SET {opening}{ACTION_CHANGES}"
        ))
    };
    let (mut open, mut change) = (statement(ACTION_OPENING)?, statement("")?);
    for ((run, no), a) in actions {
        let upsert = if a.path.is_some() { &mut open } else { &mut change };
        upsert.execute(params![
            run,
            no,
            a.path,
            a.kind.map(|kind| kind as i64),
            a.place.map(|place| place.0),
            a.place.map(|place| place.1),
            a.phase.map(|phase| phase as i64),
            a.site,
            a.host,
            a.opened_at,
            a.started_at,
            a.finished_at,
            a.attempt,
            a.cost,
            a.usage.map(|usage| column(usage.wall_us)),
            a.usage.map(|usage| column(usage.cpu_us)),
            a.usage.map(|usage| column(usage.memory_peak_bytes)),
            a.usage.map(|usage| column(usage.bytes_in)),
            a.usage.map(|usage| column(usage.bytes_out)),
            a.failure,
            a.input.map(|input| input.0),
            a.input.map(|input| input.1),
            a.output_seq,
            a.reused,
            a.explanation,
            a.first_by,
            a.escalated,
            a.waits_for,
            a.began_by,
        ])?;
    }
    Ok(())
}
