//! Costs, outlooks, forecasts and advice as they go out. Money is in units of currency, time in seconds.

use std::collections::BTreeMap;

use controlplane::{Advice, Barred, Budgeted, Demand, Outlook, ProjectStand, Side, Sum, Supposed, Waited};
use model::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::projection::rfc3339;
use super::views::{RunView, SourceFile};

/// What actions of one kind cost on one day.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct CostView {
    /// The day in UTC, `2026-11-26`.
    pub day: String,
    /// The project.
    pub project: String,
    /// The workflow.
    pub workflow: String,
    /// The site that is paid: of a transfer the one that the bytes left.
    pub site: String,
    /// compute or egress.
    pub kind: String,
    /// What it cost.
    pub cost: f64,
    /// How many actions.
    pub actions: u64,
    /// Hours that they ran.
    pub hours: f64,
    /// GB that moved.
    pub gb: f64,
}

impl From<journal::CostRow> for CostView {
    fn from(row: journal::CostRow) -> CostView {
        let egress = row.kind == 8;
        CostView {
            day: rfc3339(Timestamp(row.day * 86_400_000_000)).chars().take(10).collect(),
            project: row.project,
            workflow: row.workflow,
            site: row.site,
            kind: if egress { "egress" } else { "compute" }.into(),
            cost: row.cost.units(),
            actions: row.actions,
            hours: row.wall_us as f64 / 3.6e9,
            gb: if egress { row.bytes_in as f64 / 1e9 } else { 0.0 },
        }
    }
}

/// What a project may, and what it has.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[schema(as = ProjectCostView)]
pub struct ProjectView {
    /// Its name.
    pub name: String,
    /// How much it gets beside others that want the same.
    pub share: u32,
    /// What was spent this day, in UTC.
    pub spent_day: f64,
    /// What may be spent in a day; none without such a cap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget_day: Option<f64>,
    /// What was spent this month, in UTC.
    pub spent_month: f64,
    /// What may be spent in a month; none without such a cap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget_month: Option<f64>,
    /// What its running actions are expected to cost: it is as good as spent.
    pub promised: f64,
    /// What may still be spent; none without a budget, and below 0 when more was spent than may be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left: Option<f64>,
    /// Cores that its actions hold.
    pub cpu: f64,
    /// Bytes of memory that they hold.
    pub memory_bytes: u64,
    /// Accelerators that they hold.
    pub gpus: u32,
    /// Cores that they may hold at once; none without such a bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota_cpu: Option<f64>,
    /// Bytes of memory that they may hold at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota_memory_bytes: Option<u64>,
    /// Accelerators that they may hold at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota_gpus: Option<u32>,
}

impl From<ProjectStand> for ProjectView {
    fn from(stand: ProjectStand) -> ProjectView {
        let (budget, quota) = (stand.spec.budget, stand.spec.quota);
        ProjectView {
            share: stand.spec.weight(),
            spent_day: stand.day.units(),
            budget_day: budget.day.map(model::Money::units),
            spent_month: stand.month.units(),
            budget_month: budget.month.map(model::Money::units),
            promised: stand.promised.units(),
            left: stand.left().map(model::Money::units),
            cpu: f64::from(stand.held.cpu_millis) / 1000.0,
            memory_bytes: stand.held.memory_bytes,
            gpus: stand.held.gpus,
            quota_cpu: quota.cpu_millis.map(|cpu| f64::from(cpu) / 1000.0),
            quota_memory_bytes: quota.memory_bytes,
            quota_gpus: quota.gpus,
            name: stand.spec.name,
        }
    }
}

/// What is to come.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct OutlookView {
    /// What it will still cost: 5 of 100 futures below, the median, 5 of 100 above.
    pub cost: [f64; 3],
    /// Seconds from now to the end, likewise.
    pub ends_in_s: [f64; 3],
    /// The share of futures in which the deadline is missed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p_late: Option<f64>,
    /// The nodes that decide when it ends, first to last.
    pub critical_path: Vec<StepView>,
    /// By node: seconds that it may be late without the end being later.
    pub slack_s: BTreeMap<String, f64>,
}

/// A node and its length.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct StepView {
    /// Its path, without the numbers of items.
    pub path: String,
    /// Seconds that it takes.
    pub seconds: f64,
}

impl From<Outlook> for OutlookView {
    fn from(outlook: Outlook) -> OutlookView {
        OutlookView {
            cost: outlook.cost.map(|cost| cost.units()),
            ends_in_s: outlook.ends_in_s,
            p_late: outlook.p_late,
            critical_path: outlook.critical.into_iter().map(|(path, seconds)| StepView { path, seconds }).collect(),
            slack_s: outlook.slack.into_iter().collect(),
        }
    }
}

/// Where a run stands.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct RunOutlookView {
    /// The run.
    pub run: RunView,
    /// What its attempts have cost.
    pub cost_so_far: f64,
    /// When it should be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<String>,
    /// What is to come; none for a run that has ended, or of which nothing is left that needs a place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_come: Option<OutlookView>,
    /// How its plan was found and what that expected: variant, objective, cost, end, critical path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Value>,
    /// Why it was planned last: `admission`, or what changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planned_because: Option<String>,
    /// By node: the site that the plan names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub places: BTreeMap<String, String>,
    /// What its open actions wait for, what most of them wait for first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waits: Vec<WaitView>,
    /// Actions that run, maps and sub-workflows themselves not counted.
    #[serde(default)]
    pub running: u64,
    /// The sites that its actions are or were at, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sites: Vec<RunSiteView>,
}

/// A site of a run.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct RunSiteView {
    /// Its name.
    pub name: String,
    /// What it stands for, when it is simulated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub simulates: Option<String>,
}

/// Something that actions wait for.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct WaitView {
    /// resume, person, time, event, signal, retry, worker, inputs, room, cheaper, budget, quota, closed, fit, policy or turn.
    pub kind: String,
    /// What is waited for, in words that follow `waits for`.
    pub words: String,
    /// How many actions wait for it; 0 when it is the run.
    pub actions: u64,
    /// The path of the first.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub first: String,
    /// Since when (RFC 3339).
    pub since: String,
    /// Until when, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

impl From<Waited> for WaitView {
    fn from(waited: Waited) -> WaitView {
        WaitView {
            kind: waited.kind.as_str().into(),
            words: waited.words,
            actions: waited.actions,
            first: waited.first,
            since: rfc3339(waited.since),
            until: waited.until.map(rfc3339),
        }
    }
}

/// How much work will come.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct DemandView {
    /// The project.
    pub project: String,
    /// The site.
    pub site: String,
    /// Hours that were looked back on.
    pub hours_seen: usize,
    /// The share of hours inside of the interval that had been said of them.
    pub coverage: f64,
    /// How many hours that share is of.
    pub judged: u64,
    /// Core-hours of each hour to come: 5 of 100 below, what is expected, 5 of 100 above.
    pub core_hours: Vec<[f64; 3]>,
}

impl From<Demand> for DemandView {
    fn from(demand: Demand) -> DemandView {
        DemandView {
            project: demand.project,
            site: demand.site,
            hours_seen: demand.hours,
            coverage: demand.coverage.0,
            judged: demand.coverage.1,
            core_hours: demand.core_hours.iter().map(|hour| [hour.low, hour.mid, hour.high]).collect(),
        }
    }
}

/// How busy sites were.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct LoadView {
    /// Where the first step begins (RFC 3339).
    pub from: String,
    /// Seconds of a step.
    pub step_s: f64,
    /// Whether there were more actions than are looked at: those of the earliest runs are missing then.
    pub cut: bool,
    /// Each site at which something was; an empty name stands for actions that have no place yet.
    pub sites: Vec<SiteLoadView>,
}

/// How busy one site was, step by step, on average over the step.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct SiteLoadView {
    /// The site.
    pub site: String,
    /// Cores that it has now.
    pub capacity_cores: f64,
    /// Actions that ran.
    pub running: Vec<f64>,
    /// Actions that waited to begin there.
    pub waiting: Vec<f64>,
    /// Cores in use, as it was measured of actions that have ended.
    pub cores: Vec<f64>,
}

/// A question about the past.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WhatIfRequest {
    /// So many days back; 7 when nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days: Option<f64>,
    /// Of this project only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// What is different about sites.
    #[serde(default)]
    pub sites: Vec<SiteChangeView>,
    /// The share of the time to a deadline that is planned with, from 0.05 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin: Option<f64>,
    /// What expected lateness is multiplied with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub risk: Option<f64>,
    /// The part of the work to come that goes before what waits, from 0 to 1; 0 where forecasts count for nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<f64>,
    /// Whether what outputs will cost to reach nodes that may not run beside them is priced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lookahead: Option<bool>,
    /// Documents of rules (policies, tags, sanitizers, approvals) that count as if they were applied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<SourceFile>,
}

/// What is different about a site.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SiteChangeView {
    /// The site. A name that is not known is a new site, and needs `like`.
    pub site: String,
    /// It is not there.
    #[serde(default)]
    pub gone: bool,
    /// A new site has the attributes, prices and capacity of this one, but for what is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub like: Option<String>,
    /// A core for an hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_hour: Option<f64>,
    /// A GiB of memory for an hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_gib_hour: Option<f64>,
    /// An accelerator for an hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu_hour: Option<f64>,
    /// A GB that leaves it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress_gb: Option<f64>,
    /// Cores. With one of the three given, the others are 0 cores, memory without end, 0 accelerators unless given too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<f64>,
    /// GiB of memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_gib: Option<f64>,
    /// Accelerators.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpus: Option<u32>,
}

/// What would have been.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct WhatIfView {
    /// Runs that were played.
    pub runs: u64,
    /// Recorded actions.
    pub actions: u64,
    /// As it happened; the same places, played; the rule as it is; as asked.
    pub sums: Vec<SumView>,
    /// What the rules that were asked for do not let run where it ran, the most actions first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refusals: Vec<BarredView>,
    /// What such a replay cannot know.
    pub limits: Vec<String>,
}

/// Actions of a node that may not run where they ran.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct BarredView {
    /// The workflow.
    pub workflow: String,
    /// The path of the node, without the numbers of items.
    pub path: String,
    /// Where they ran.
    pub site: String,
    /// How many they are.
    pub actions: u64,
    /// Which policy is in the way.
    pub why: String,
}

impl From<Barred> for BarredView {
    fn from(barred: Barred) -> BarredView {
        let Barred { workflow, path, site, actions, why } = barred;
        BarredView { workflow, path, site, actions, why }
    }
}

/// What a period comes to.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct SumView {
    /// Of what.
    pub name: String,
    /// The bill.
    pub cost: f64,
    /// Of that: egress.
    pub egress: f64,
    /// Runs that missed their deadline.
    pub late_runs: u64,
    /// What that cost, by the prices of the runs.
    pub late_cost: f64,
    /// Seconds from the acceptance of a run to its end: the mean.
    pub mean_run_s: f64,
    /// The longest that an action waited for a place.
    pub longest_wait_s: f64,
    /// Actions that no site may take.
    pub stuck: u64,
    /// Of those: actions that rules leave no site.
    #[serde(default)]
    pub refused: u64,
    /// By site.
    pub sites: BTreeMap<String, SiteSumView>,
}

/// A site's part.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct SiteSumView {
    /// Actions that ran there.
    pub actions: u64,
    /// The share of its capacity that was held, over the period.
    pub utilisation: f64,
}

impl From<Sum> for SumView {
    fn from(sum: Sum) -> SumView {
        let site = |(name, actions, utilisation)| (name, SiteSumView { actions, utilisation });
        SumView {
            name: sum.name.into(),
            cost: sum.cost.units(),
            egress: sum.egress.units(),
            late_runs: sum.late_runs,
            late_cost: sum.late_cost.units(),
            mean_run_s: sum.mean_run_s,
            longest_wait_s: sum.longest_wait_s,
            stuck: sum.stuck,
            refused: sum.refused,
            sites: sum.sites.into_iter().map(site).collect(),
        }
    }
}

/// A question about one run.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RunWhatIfRequest {
    /// The action whose sites are compared one by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// What is different about sites.
    #[serde(default)]
    pub sites: Vec<SiteChangeView>,
    /// Seconds from its acceptance in which it should be done; as it was asked for when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_s: Option<f64>,
    /// It has no deadline, whatever was asked for.
    #[serde(default)]
    pub no_deadline: bool,
    /// What an hour of lateness costs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late_per_hour: Option<f64>,
    /// What being late at all costs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late_fee: Option<f64>,
    /// Documents of rules (tags, policies, sanitizers) in the place of those of the same names, which count as approved; and of its project, with
    /// another budget or quota.
    #[serde(default)]
    pub documents: Vec<SourceFile>,
    /// Policies that are not there.
    #[serde(default)]
    pub without: Vec<String>,
}

/// What one run would come to.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct RunWhatIfView {
    /// As things are.
    pub before: SideView,
    /// As asked.
    pub after: SideView,
    /// Nodes that would go elsewhere, or nowhere.
    pub moved: Vec<MovedView>,
    /// What such a comparison cannot know.
    pub limits: Vec<String>,
}

/// One side of a comparison.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct SideView {
    /// What is to come; none when nothing is left that needs a place, or something has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_come: Option<OutlookView>,
    /// When it should be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<String>,
    /// By node: the site that it would go to.
    pub places: BTreeMap<String, String>,
    /// By node that would have no place: why.
    pub nowhere: BTreeMap<String, String>,
    /// What may be spent on what is to come, and by how much that goes beyond it; none without a budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<BudgetedView>,
    /// Every site with its terms and verdict, for the action that was asked for, as in its recorded explanation.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub placement: Value,
}

/// What may be spent, and what a plan does with it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct BudgetedView {
    /// What may be spent on what is to come: below 0 when more was spent than may be.
    pub left: f64,
    /// By how much the plan goes beyond that.
    pub over: f64,
    /// The bounds in words.
    pub said: String,
}

/// A node that would go elsewhere.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct MovedView {
    /// Its path, without the numbers of items.
    pub path: String,
    /// Where it goes as things are; none when it has no place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Where it would go; none when it would have no place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Why it would have no place.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
}

impl From<Side> for SideView {
    fn from(side: Side) -> SideView {
        SideView {
            to_come: side.to_come.map(OutlookView::from),
            deadline: side.deadline.map(rfc3339),
            places: side.places,
            nowhere: side.nowhere,
            budget: side.budget.map(|Budgeted { left, over, said }| BudgetedView {
                left: left.units(),
                over: over.units(),
                said,
            }),
            placement: side.explanation.and_then(|explained| serde_json::to_value(explained).ok()).unwrap_or(Value::Null),
        }
    }
}

impl From<Supposed> for RunWhatIfView {
    fn from(supposed: Supposed) -> RunWhatIfView {
        let Supposed { before, after, limits } = supposed;
        let paths: std::collections::BTreeSet<&String> =
            [&before, &after].into_iter().flat_map(|side| side.places.keys().chain(side.nowhere.keys())).collect();
        let moved = paths.into_iter().filter_map(|path| {
            let (from, to) = (before.places.get(path).cloned(), after.places.get(path).cloned());
            let why = after.nowhere.get(path).cloned().unwrap_or_default();
            (from != to).then(|| MovedView { path: path.clone(), from, to, why })
        });
        RunWhatIfView { moved: moved.collect(), before: before.into(), after: after.into(), limits }
    }
}

/// A piece of advice.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct AdviceView {
    /// right_size, more_memory, cache, parallel, move, bring, copy_ahead, spot, merge or split.
    pub kind: String,
    /// The node.
    pub node: String,
    /// What to do.
    pub what: String,
    /// What it would save a run.
    pub saves: f64,
    /// Seconds that a run would end earlier.
    pub saves_s: f64,
    /// What that rests on.
    pub evidence: String,
    /// The edits that make it so, as `POST /api/v1/edit` takes them.
    pub patch: Vec<Value>,
}

impl From<Advice> for AdviceView {
    fn from(advice: Advice) -> AdviceView {
        AdviceView {
            kind: advice.kind.into(),
            node: advice.node,
            what: advice.what,
            saves: advice.saves.units(),
            saves_s: advice.saves_s,
            evidence: advice.evidence,
            patch: advice.patch,
        }
    }
}
