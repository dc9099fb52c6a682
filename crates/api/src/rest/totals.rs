//! How many runs there were, how they stand and what they cost: counted by the server, whatever page a client has read.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use axum::extract::State;
use controlplane::{Fault, FaultKind};
use model::{Phase, Timestamp};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::App;
use super::extract::{Json, Query};
use super::problem::{ApiError, ApiResult, blocking};
use super::projection::rfc3339;

/// Hours looked back on when nothing is said.
const HOURS: f64 = 24.0;
/// A month: what is older is history, and `costs` knows it by the day.
const HOURS_MAX: f64 = 744.0;
const HOUR_US: f64 = 3_600e6;
/// Counting takes at most this part of the time, however many look and however much happens.
const REST: u32 = 20;
/// What was counted is shown for so long at least.
const FRESH: Duration = Duration::from_millis(200);

#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct TotalsQuery {
    /// So many hours back: 24 when nothing is said, at most 744.
    #[param(minimum = 0, maximum = 744)]
    hours: Option<f64>,
}

/// The runs that were accepted since a time.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct RunTotalsView {
    /// Accepted at this time (RFC 3339) or later.
    since: String,
    /// How many.
    runs: u64,
    /// Those that have not ended.
    open: u64,
    /// How many stand in each phase: `succeeded`, `failed`, `timed_out`, …. A phase that none is in is left out.
    phases: BTreeMap<String, u64>,
    /// What their attempts have cost so far, in the catalogue's currency.
    cost: f64,
}

/// What was counted last, for how many microseconds back, when, and how long that took.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    last: Mutex<Option<(u64, Instant, Duration, RunTotalsView)>>,
}

/// Counts the runs of the last hours, by phase. It may be a moment old on a server that accepts many.
#[utoipa::path(get, path = "/api/v1/runs:totals", operation_id = "countRuns", tag = "runs", params(TotalsQuery),
    responses((status = 200, description = "The runs of the last hours.", body = RunTotalsView)))]
pub(crate) async fn totals(State(app): State<App>, Query(query): Query<TotalsQuery>) -> ApiResult<Json<RunTotalsView>> {
    let hours = query.hours.unwrap_or(HOURS);
    if !(0.0..=HOURS_MAX).contains(&hours) {
        return Err(ApiError(Fault::new(FaultKind::Malformed, format!("`hours` is {hours}, not from 0 to {HOURS_MAX}"))));
    }
    let back = (hours * HOUR_US) as u64;
    let view = blocking(move || {
        // Whoever asks while somebody counts waits for that, and takes it.
        let mut last = app.counted.last.lock();
        if let Some((of, at, took, view)) = last.as_ref()
            && *of == back
            && at.elapsed() < FRESH.max(*took * REST)
        {
            return Ok(view.clone());
        }
        let began = Instant::now();
        let since = Timestamp(controlplane::wall().0.saturating_sub(back));
        let totals = app.control.reader().run_totals(since).map_err(Fault::internal)?;
        let view = view_of(since, &totals);
        *last = Some((back, Instant::now(), began.elapsed(), view.clone()));
        Ok(view)
    });
    Ok(Json(view.await?))
}

fn view_of(since: Timestamp, totals: &journal::RunTotals) -> RunTotalsView {
    let sum = |of: fn(Phase) -> bool| totals.phases.iter().filter(|(phase, _)| of(*phase)).map(|(_, runs)| runs).sum();
    RunTotalsView {
        since: rfc3339(since),
        runs: sum(|_| true),
        open: sum(|phase| !phase.is_terminal()),
        phases: totals.phases.iter().map(|(phase, runs)| (phase.as_str().to_owned(), *runs)).collect(),
        cost: totals.cost.units(),
    }
}
