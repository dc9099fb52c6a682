//! What things cost, what they will, and what they would have: costs, outlooks of runs, demand to come, what-if, advice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Extension, State};
use axum::http::HeaderMap;
use axum::response::Response;
use controlplane::{ControlPlane, Fault, FaultKind, RunOutlook, SiteChange, Suppose, Waited, WhatIf};
use journal::RunRow;
use model::{Money, RunId, Seq, Timestamp};
use parking_lot::Mutex;
use serde::Deserialize;

use super::App;
use super::access::Caller;
use super::applying::source_files;
use super::extract::{Json, Path, Query};
use super::foresight_views::{
    AdviceView, BarredView, CostView, DemandView, LoadView, OutlookView, ProjectView, RunOutlookView, RunSiteView,
    RunWhatIfRequest, RunWhatIfView, SiteChangeView, SiteLoadView, SumView, WaitView, WhatIfRequest, WhatIfView,
};
use super::problem::{ApiError, ApiResult, blocking};
use super::projection::rfc3339;
use super::shared::{self, What};
use super::views::RunView;

/// A day, in microseconds.
const DAY_US: u64 = 86_400_000_000;
/// The longest time that is looked back on.
const DAYS_MAX: f64 = 3_660.0;

/// Outlooks that are kept.
const OUTLOOKS_MAX: usize = 1_000;
/// How long the outlook of a run that has not changed is good for: time passes in it too.
const SAME: Duration = Duration::from_secs(5);
/// How long that of a large run that is under way is good for, whatever happens in it.
const NEAR: Duration = Duration::from_secs(3);
/// Actions from which on a run is large.
const LARGE_RUN: u64 = 1_000;

/// From so many days ago to now.
fn period(days: Option<f64>, otherwise: f64) -> ApiResult<(Timestamp, Timestamp)> {
    let days = days.unwrap_or(otherwise);
    if !(0.0..=DAYS_MAX).contains(&days) {
        return Err(ApiError(Fault::new(FaultKind::Malformed, format!("`days` is {days}, not from 0 to {DAYS_MAX}"))));
    }
    let now = controlplane::wall();
    // What ends in this very moment counts.
    Ok((Timestamp(now.0.saturating_sub((days * DAY_US as f64) as u64)), Timestamp(now.0 + 1)))
}

#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct CostQuery {
    /// So many days back; 30 when nothing is said.
    #[param(minimum = 0)]
    days: Option<f64>,
    /// Of this project.
    project: Option<String>,
}

/// What was spent, by project, workflow, site, kind of action and day.
#[utoipa::path(get, path = "/api/v1/costs", operation_id = "listCosts", tag = "costs", params(CostQuery),
    responses((status = 200, description = "What was spent.", body = Vec<CostView>)))]
pub(crate) async fn costs(State(app): State<App>, Query(query): Query<CostQuery>) -> ApiResult<Json<Vec<CostView>>> {
    let (since, until) = period(query.days, 30.0)?;
    let control = app.control.clone();
    let rows = blocking(move || control.costs(since, until)).await?;
    let of = |row: &journal::CostRow| query.project.as_ref().is_none_or(|project| *project == row.project);
    Ok(Json(rows.into_iter().filter(of).map(CostView::from).collect()))
}

/// What projects may spend and hold at once, and how much of it they have.
#[utoipa::path(get, path = "/api/v1/costs/projects", operation_id = "listProjectCosts", tag = "costs",
    responses((status = 200, description = "The projects that have bounds, or that spent something this month.", body = Vec<ProjectView>)))]
pub(crate) async fn projects(State(app): State<App>) -> ApiResult<Json<Vec<ProjectView>>> {
    Ok(Json(app.control.project_stands().into_iter().map(ProjectView::from).collect()))
}

/// Where a run stands: what it has cost, what it will, when it will be done, what that hangs on.
#[utoipa::path(get, path = "/api/v1/runs/{run}/outlook", operation_id = "getRunOutlook", tag = "costs",
    params(("run" = String, Path, description = "The run's name or number.")),
    responses((status = 200, description = "What is to come.", body = RunOutlookView)))]
pub(crate) async fn outlook(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    Path(run): Path<String>,
) -> ApiResult<Response> {
    let control = app.control.clone();
    let run = blocking(move || Ok(control.find_run(&run)?.id)).await?;
    let read = move |app: &App, caller: &Caller| {
        let row = app.control.reader().run(run).map_err(Fault::internal)?;
        let row = row.ok_or_else(|| Fault::not_found("run", &run.to_string()))?;
        let shown = super::sight::withheld(app, caller, &row, None)?.is_none();
        let outlook = app.outlooks.of(&app.control, &row)?;
        let (waits, running) = app.control.waits(&row, shown)?;
        let view = super::sight::seen_run(app, caller, &outlook.0.row)?;
        Ok(outlook_view(&outlook, view, waits, running))
    };
    Ok(shared::of_run(&app, &caller, run, What::Outlook, read).await?.respond(&headers))
}

fn outlook_view((outlook, sites): &Seen, run: RunView, waits: Vec<Waited>, running: u64) -> RunOutlookView {
    let plan = outlook.plan.as_ref();
    RunOutlookView {
        cost_so_far: outlook.so_far.units(),
        deadline: plan.and_then(|plan| plan.goal).map(|goal| rfc3339(goal.deadline)),
        planned_because: plan.map(|plan| plan.why.clone()),
        plan: plan.and_then(|plan| serde_json::from_str(&plan.explanation).ok()),
        places: plan
            .map(|plan| plan.places.iter().map(|place| (place.path.clone(), place.site.clone())).collect())
            .unwrap_or_default(),
        to_come: outlook.to_come.clone().map(OutlookView::from),
        run,
        waits: waits.into_iter().map(WaitView::from).collect(),
        running,
        sites: sites.clone(),
    }
}

/// Outlooks that were made a moment ago: many browsers that look at one run ask the same.
#[derive(Debug, Default)]
pub(crate) struct Outlooks {
    known: Mutex<BTreeMap<RunId, Kept>>,
}

/// What was made: where a run stands, and the sites that its actions are or were at.
type Seen = (RunOutlook, Vec<RunSiteView>);
/// One of them, with when it was made and of which entry of the run.
type Kept = Arc<Mutex<Option<(Instant, Seq, Arc<Seen>)>>>;

impl Outlooks {
    /// As it was made of the same state a moment ago; of large runs that are under way, which change all the time, as it was a few seconds ago. Blocks.
    fn of(&self, control: &ControlPlane, row: &RunRow) -> Result<Arc<Seen>, Fault> {
        let slot = {
            let mut known = self.known.lock();
            if known.len() >= OUTLOOKS_MAX {
                known.clear();
            }
            known.entry(row.id).or_default().clone()
        };
        // Whoever asks for the same meanwhile waits for this answer instead of making another.
        let mut kept = slot.lock();
        if let Some((at, seq, outlook)) = &*kept {
            let age = at.elapsed();
            // Of a run that is over everything is told at once, however large it is.
            let changes_all_the_time = row.finished_at.is_none() && row.actions_total > LARGE_RUN;
            if (*seq == row.last_seq && age < SAME) || (changes_all_the_time && age < NEAR) {
                return Ok(outlook.clone());
            }
        }
        let outlook = Arc::new((control.run_outlook(&row.id.to_string())?, sites_of(control, row.id)?));
        *kept = Some((Instant::now(), row.last_seq, outlook.clone()));
        Ok(outlook)
    }
}

/// The sites of a run's actions. A site that is not registered any more stands for nothing that is known.
fn sites_of(control: &ControlPlane, run: RunId) -> Result<Vec<RunSiteView>, Fault> {
    let known = control.reader().sites().map_err(Fault::internal)?;
    let simulates = |name: &str| known.iter().find(|site| site.spec.name == name)?.spec.simulates.clone();
    let names = control.reader().sites_of_run(run).map_err(Fault::internal)?;
    Ok(names.into_iter().map(|name| RunSiteView { simulates: simulates(&name), name }).collect())
}

#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct LoadQuery {
    /// So many hours back; 24 when nothing is said.
    #[param(minimum = 0, maximum = 8784)]
    hours: Option<f64>,
    /// In so many steps; 96 when nothing is said.
    #[param(minimum = 1, maximum = 1000)]
    steps: Option<usize>,
}

/// How busy sites were: actions that ran and waited and cores in use, in equal steps of time up to now.
#[utoipa::path(get, path = "/api/v1/sites/load", operation_id = "siteLoad", tag = "sites", params(LoadQuery),
    responses((status = 200, description = "Each site, step by step.", body = LoadView)))]
pub(crate) async fn load(State(app): State<App>, Query(query): Query<LoadQuery>) -> ApiResult<Json<LoadView>> {
    let (hours, steps) = (query.hours.unwrap_or(24.0), query.steps.unwrap_or(96));
    if !(0.01..=8784.0).contains(&hours) || !(1..=1_000).contains(&steps) {
        return Err(ApiError(Fault::new(FaultKind::Malformed, "`hours` is from 0.01 to 8784, and `steps` from 1 to 1000")));
    }
    let until = controlplane::wall();
    let since = Timestamp(until.0.saturating_sub((hours * 3.6e9) as u64));
    let control = app.control.clone();
    let view = blocking(move || {
        let load = control.load(since, until, steps)?;
        let known = control.reader().sites().map_err(Fault::internal)?;
        let cores =
            |name: &str| known.iter().find(|row| row.spec.name == name).map(|row| f64::from(row.spec.capacity.cpu_millis) / 1e3);
        let sites = load.sites.into_iter().map(|(site, of)| SiteLoadView {
            capacity_cores: cores(&site).unwrap_or(0.0),
            site,
            running: of.running.into_iter().map(rounded).collect(),
            waiting: of.waiting.into_iter().map(rounded).collect(),
            cores: of.cores.into_iter().map(rounded).collect(),
        });
        Ok(LoadView { from: rfc3339(load.from), step_s: load.step_us as f64 / 1e6, cut: load.cut, sites: sites.collect() })
    });
    Ok(Json(view.await?))
}

/// To the thousandth: more digits say nothing of an average.
fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DemandQuery {
    /// So many days are looked back on; 28 when nothing is said.
    #[param(minimum = 1, maximum = 366)]
    days: Option<u64>,
    /// So many hours ahead; 24 when nothing is said.
    #[param(minimum = 1, maximum = 336)]
    hours: Option<usize>,
}

/// How much work will come, by project and site, hour by hour.
#[utoipa::path(get, path = "/api/v1/forecast", operation_id = "forecastDemand", tag = "costs", params(DemandQuery),
    responses((status = 200, description = "Core-hours to come.", body = Vec<DemandView>)))]
pub(crate) async fn demand(State(app): State<App>, Query(query): Query<DemandQuery>) -> ApiResult<Json<Vec<DemandView>>> {
    let (days, hours) = (query.days.unwrap_or(28), query.hours.unwrap_or(24));
    if !(1..=366).contains(&days) || !(1..=336).contains(&hours) {
        return Err(ApiError(Fault::new(FaultKind::Malformed, "`days` is from 1 to 366, and `hours` from 1 to 336")));
    }
    let control = app.control.clone();
    let demand = blocking(move || control.demand(days, hours)).await?;
    Ok(Json(demand.into_iter().map(DemandView::from).collect()))
}

/// Plays a recorded period again with other sites, prices, rules, capacities or settings, beside what happened.
#[utoipa::path(post, path = "/api/v1/whatif", operation_id = "whatIf", tag = "costs", request_body = WhatIfRequest,
    responses((status = 200, description = "What would have been.", body = WhatIfView)))]
pub(crate) async fn what_if(State(app): State<App>, Json(request): Json<WhatIfRequest>) -> ApiResult<Json<WhatIfView>> {
    let (since, until) = period(request.days, 7.0)?;
    let mut asked = WhatIf { since, until, project: request.project, ..WhatIf::default() };
    asked.settings.margin = bounded("margin", request.margin, asked.settings.margin, 0.05, 1.0)?;
    asked.settings.risk = bounded("risk", request.risk, asked.settings.risk, 0.0, 100.0)?;
    asked.settings.before = bounded("before", request.before, asked.settings.before, 0.0, 1.0)?;
    asked.settings.lookahead = request.lookahead.unwrap_or(asked.settings.lookahead);
    asked.rules = source_files(request.rules);
    asked.sites = site_changes(request.sites)?;
    let control = app.control.clone();
    let compared = blocking(move || control.what_if(&asked)).await?;
    Ok(Json(WhatIfView {
        runs: compared.runs,
        actions: compared.actions,
        sums: compared.sums.into_iter().map(SumView::from).collect(),
        refusals: compared.refusals.into_iter().map(BarredView::from).collect(),
        limits: compared.limits,
    }))
}

/// What is different about sites, with its bounds checked.
fn site_changes(changes: Vec<SiteChangeView>) -> ApiResult<Vec<SiteChange>> {
    let mut sites = Vec::with_capacity(changes.len());
    for change in changes {
        let price = |name: &str, price: Option<f64>| {
            price.map(|price| bounded(name, Some(price), 0.0, 0.0, 1e6).map(Money::from_units)).transpose()
        };
        let capacity = change.cpu.or(change.memory_gib).or(change.gpus.map(f64::from)).is_some().then(|| model::Resources {
            cpu_millis: (change.cpu.unwrap_or(0.0).clamp(0.0, 1e6) * 1000.0) as u32,
            memory_bytes: change.memory_gib.map_or(1 << 50, |gib| (gib.clamp(0.0, 1e6) * f64::from(1u32 << 30)) as u64),
            gpus: change.gpus.unwrap_or(0),
            disk_bytes: 1 << 60,
        });
        sites.push(SiteChange {
            cpu_hour: price("cpu_hour", change.cpu_hour)?,
            memory_gib_hour: price("memory_gib_hour", change.memory_gib_hour)?,
            gpu_hour: price("gpu_hour", change.gpu_hour)?,
            egress_gb: price("egress_gb", change.egress_gb)?,
            site: change.site,
            gone: change.gone,
            like: change.like,
            capacity,
        });
    }
    Ok(sites)
}

/// What one run would come to with other prices, another deadline or other rules. Nothing is recorded, and the run is not touched.
#[utoipa::path(post, path = "/api/v1/runs/{run}/whatif", operation_id = "whatIfRun", tag = "costs",
    params(("run" = String, Path, description = "The run's name or number.")), request_body = RunWhatIfRequest,
    responses((status = 200, description = "As things are, and as asked.", body = RunWhatIfView)))]
pub(crate) async fn what_if_run(
    State(app): State<App>,
    Path(run): Path<String>,
    Json(request): Json<RunWhatIfRequest>,
) -> ApiResult<Json<RunWhatIfView>> {
    let money = |name: &str, given: Option<f64>| {
        given.map(|given| bounded(name, Some(given), 0.0, 0.0, 1e9).map(Money::from_units)).transpose()
    };
    let within =
        request.deadline_s.map(|seconds| bounded("deadline_s", Some(seconds), 0.0, 0.0, DAYS_MAX * 86_400.0)).transpose()?;
    let asked = Suppose {
        action: request.action,
        within: within.map(|seconds| model::Duration((seconds * 1e6) as u64)),
        no_deadline: request.no_deadline,
        late_per_hour: money("late_per_hour", request.late_per_hour)?,
        late_fee: money("late_fee", request.late_fee)?,
        sites: site_changes(request.sites)?,
        documents: source_files(request.documents),
        without: request.without,
    };
    let control = app.control.clone();
    let supposed = blocking(move || control.suppose(&run, &asked)).await?;
    Ok(Json(RunWhatIfView::from(supposed)))
}

fn bounded(name: &str, given: Option<f64>, otherwise: f64, least: f64, most: f64) -> ApiResult<f64> {
    let value = given.unwrap_or(otherwise);
    match (least..=most).contains(&value) {
        true => Ok(value),
        false => Err(ApiError(Fault::new(FaultKind::Malformed, format!("`{name}` is {value}, not from {least} to {most}")))),
    }
}

#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AdviceQuery {
    /// The registered workflow.
    workflow: String,
}

/// Advice on a workflow from what it did, each piece with its gain, its evidence and the edits that make it so.
#[utoipa::path(get, path = "/api/v1/advice", operation_id = "adviseWorkflow", tag = "costs", params(AdviceQuery),
    responses((status = 200, description = "What gains most first.", body = Vec<AdviceView>)))]
pub(crate) async fn advice(State(app): State<App>, Query(query): Query<AdviceQuery>) -> ApiResult<Json<Vec<AdviceView>>> {
    let control = app.control.clone();
    let advice = blocking(move || control.advise(&query.workflow)).await?;
    Ok(Json(advice.into_iter().map(AdviceView::from).collect()))
}
