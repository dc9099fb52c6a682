//! From rows of the read models to views.

use controlplane::{Fault, Sites, wall};
use engine::event::{ActionKind, PoolSized};
use executors::sandbox::Isolation;
use journal::{ActionFilter, ActionRow, AttemptRow, Reader, RunRow, SiteRow, SkippedRow};
use model::site::SandboxMode;
use model::{Phase, RunId, Timestamp};
use serde_json::Value;

use super::views::{ActionView, AttemptView, FailureView, PoolView, ResourcesView, RunView, SandboxView, SiteView, UsageView};

/// A point in time as RFC 3339.
pub fn rfc3339(at: Timestamp) -> String {
    chrono::DateTime::from_timestamp_micros(at.0 as i64)
        .map(|moment| moment.to_rfc3339_opts(chrono::SecondsFormat::Millis, true))
        .unwrap_or_default()
}

/// Seconds from `now` until a moment in RFC 3339; none when it has come.
pub fn seconds_until(moment: &str, now: Timestamp) -> Option<f64> {
    let until = chrono::DateTime::parse_from_rfc3339(moment).ok()?.timestamp_micros();
    let left = until.saturating_sub(i64::try_from(now.0).ok()?);
    (left > 0).then_some(left as f64 / 1e6)
}

/// When an action is tried again, while it waits for that.
pub(crate) fn retry_at(row: &ActionRow) -> Option<Timestamp> {
    let at = row.failure.as_ref().filter(|_| row.phase == Phase::Queued)?.get("retry_at")?.as_u64()?;
    Some(Timestamp(at))
}

fn failure(value: Option<&Value>) -> Option<FailureView> {
    serde_json::from_value(value?.clone()).ok()
}

fn origin(value: &Value) -> String {
    match value.get("kind").and_then(Value::as_str) {
        Some("trigger") => format!("trigger:{}", value["trigger"].as_str().unwrap_or_default()),
        Some("rerun") => format!("rerun:{}", value["of"]),
        _ => "submitted".into(),
    }
}

/// A run without its values and actions.
pub(crate) fn run_view(row: &RunRow) -> RunView {
    run_view_at(row, wall())
}

/// The same as it was when it was `now`.
fn run_view_at(row: &RunRow, now: Timestamp) -> RunView {
    let end = row.finished_at.unwrap_or(now);
    RunView {
        name: row.name.clone(),
        number: row.id.0,
        phase: if row.paused && row.finished_at.is_none() { Phase::Paused } else { row.phase }.to_string(),
        workflow: row.workflow.clone(),
        project: row.project.clone(),
        domain: row.domain.clone(),
        principal: row.principal.clone(),
        origin: origin(&row.origin),
        submitted_at: rfc3339(row.submitted_at),
        finished_at: row.finished_at.map(rfc3339),
        seconds: end.since(row.submitted_at).as_secs_f64(),
        cost: row.cost.units(),
        actions_total: row.actions_total,
        actions_done: row.actions_done,
        failure: failure(row.failure.as_ref()),
        run_labels: row.run_labels.clone(),
        ..RunView::default()
    }
}

/// A run with its values and the first of its actions, when it is, or was, `now`.
pub(crate) fn whole_run(reader: &Reader, row: &RunRow, actions_max: usize, now: Timestamp) -> Result<RunView, Fault> {
    let mut view = run_view_at(row, now);
    view.waiting_for_human = if row.finished_at.is_none() { reader.waiting(row.id).map_err(Fault::internal)? } else { 0 };
    view.inputs = reader.body(row.first_seq, 0).map_err(Fault::internal)?;
    if view.inputs.is_none() && reader.is_erased(row.id).map_err(Fault::internal)? {
        view.erased = Some(controlplane::FaultKind::Erased.code().into());
    }
    view.outputs = row.outputs_seq.map(|seq| reader.body(seq, 0)).transpose().map_err(Fault::internal)?.flatten();
    let sites = reader.sites().map_err(Fault::internal)?;
    let filter = ActionFilter { limit: actions_max, ..ActionFilter::default() };
    let actions = reader.actions(row.id, &filter).map_err(Fault::internal)?;
    view.actions = actions.iter().map(|action| action_view(action, &sites, now)).collect();
    view.actions.extend(skipped_views(reader, row.id)?);
    Ok(view)
}

/// Nodes of a run that were left out, as actions that never were.
pub(crate) fn skipped_views(reader: &Reader, run: RunId) -> Result<Vec<ActionView>, Fault> {
    let view = |skipped: SkippedRow| {
        let why = match skipped.why {
            "condition" => "its condition was false",
            "branch" => "its branch was not chosen",
            _ => "what it refers to was left out",
        };
        ActionView {
            path: skipped.path,
            kind: kind_name(skipped.kind).into(),
            phase: Phase::Skipped.to_string(),
            failure: Some(FailureView { class: "skipped".into(), message: why.into(), ..FailureView::default() }),
            ..ActionView::default()
        }
    };
    Ok(reader.skipped(run).map_err(Fault::internal)?.into_iter().map(view).collect())
}

/// The kind of an action as users write it.
pub(crate) fn kind_name(kind: ActionKind) -> &'static str {
    match kind {
        ActionKind::Use => "use",
        ActionKind::Run => "run",
        ActionKind::Task => "task",
        ActionKind::Workflow => "workflow",
        ActionKind::Human => "human",
        ActionKind::Wait => "wait",
        ActionKind::Each => "each",
        ActionKind::Decide => "decide",
        ActionKind::Transfer => "transfer",
        ActionKind::Trace => "trace",
    }
}

/// An action without its values, when it is, or was, `now`.
pub(crate) fn action_view(row: &ActionRow, sites: &[SiteRow], now: Timestamp) -> ActionView {
    let site = row.site.as_ref().and_then(|name| sites.iter().find(|site| site.spec.name == *name));
    let measured = row.usage.wall_us as f64 / 1e6;
    let spanned = row.started_at.map(|start| row.finished_at.unwrap_or(now).since(start).as_secs_f64());
    ActionView {
        path: row.path.clone(),
        number: Some(row.no),
        kind: kind_name(row.kind).into(),
        phase: row.phase.to_string(),
        site: row.site.clone(),
        simulates: site.and_then(|site| site.spec.simulates.clone()),
        opened_at: Some(rfc3339(row.opened_at)),
        started_at: row.started_at.map(rfc3339),
        finished_at: row.finished_at.map(rfc3339),
        attempts: row.attempt,
        seconds: if measured > 0.0 { measured } else { spanned.unwrap_or(0.0) },
        cost: row.cost.units(),
        usage: (row.usage.cpu_us > 0 || row.usage.memory_peak_bytes > 0)
            .then(|| UsageView { cpu_seconds: row.usage.cpu_us as f64 / 1e6, memory_peak_bytes: row.usage.memory_peak_bytes }),
        reused: row.reused,
        waits_for: row.waits_for.as_ref().map(|connector| format!("a worker that serves {connector}")),
        failure: failure(row.failure.as_ref()),
        retry_at: retry_at(row).map(rfc3339),
        input: None,
        output: None,
        ..ActionView::default()
    }
}

/// An attempt that was followed by another.
pub(crate) fn attempt_view(row: &AttemptRow) -> AttemptView {
    AttemptView {
        attempt: row.attempt,
        site: row.site.clone(),
        phase: row.phase.to_string(),
        finished_at: rfc3339(row.finished_at),
        seconds: row.wall_us as f64 / 1e6,
        cost: row.cost.units(),
        failure: failure(row.failure.as_ref()),
    }
}

/// What is wanted of the walls of a site, and what there is.
fn sandbox_view(row: &SiteRow, isolation: &Isolation) -> SandboxView {
    let wanted = row.spec.sandbox.clone().unwrap_or_default();
    let (layers, off) = (isolation.layers, wanted.mode == SandboxMode::Off);
    let walls = [
        ("namespaces", layers.namespaces && !off),
        ("network", layers.network && !off),
        ("landlock", layers.landlock && !off),
        ("seccomp", layers.seccomp && !off),
        ("memory", isolation.memory),
        ("processes", isolation.processes),
    ];
    SandboxView {
        mode: wanted.mode.as_str().into(),
        isolation: if off { "none" } else { isolation.tier() }.into(),
        enforced: walls.iter().filter(|(_, stands)| *stands).map(|(wall, _)| (*wall).to_owned()).collect(),
        lacking: if off { vec!["the site has `sandbox: off`".into()] } else { isolation.lacking.clone() },
        egress: wanted.egress.into_iter().collect(),
        runtime: wanted.runtime.into_iter().collect(),
    }
}

pub(crate) fn site_view(row: &SiteRow, sites: &Sites, used: model::Resources, running: u64) -> SiteView {
    let resources = |amount: model::Resources| ResourcesView {
        cpu: f64::from(amount.cpu_millis) / 1000.0,
        memory_bytes: amount.memory_bytes,
        gpus: amount.gpus,
    };
    let state = match (row.drained, row.cordoned, row.healthy) {
        (true, _, _) => "drained",
        (_, true, _) => "cordoned",
        (_, _, false) => "unhealthy",
        _ => "open",
    };
    SiteView {
        name: row.spec.name.clone(),
        executor: "local".into(),
        state: state.into(),
        reason: row.reason.clone(),
        simulates: row.spec.simulates.clone(),
        sandbox: sandbox_view(row, &sites.isolation()),
        attributes: row.spec.attributes.clone(),
        capacity: resources(row.spec.capacity),
        used: resources(used),
        running,
        pool: sites.pool(&row.spec.name).map(pool_view),
        cpu_hour: row.spec.prices.cpu_hour.units(),
        memory_gib_hour: row.spec.prices.memory_gib_hour.units(),
        egress_gb: row.spec.prices.egress_gb.units(),
    }
}

fn pool_view((pool, idle): (PoolSized, usize)) -> PoolView {
    PoolView { pieces: pool.pieces, idle: idle as u64, an_hour: pool.an_hour, boot_s: pool.boot.as_secs_f64(), why: pool.why }
}
