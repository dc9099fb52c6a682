//! What things cost, what they will, and what they would have.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use api::rest::foresight_views::{
    AdviceView, CostView, DemandView, ProjectView, RunOutlookView, RunWhatIfRequest, SiteChangeView, SumView, WhatIfRequest,
    WhatIfView,
};

use super::supposing;
use crate::cli::Door;
use crate::client::segment;
use crate::failure::{CommandError, Exit};
use crate::in_process::Need;
use crate::names::{self, Kind, run_path};
use crate::output::{self, Form, Format, Row, money, seconds};
use crate::rows::{marked, simulated};
use crate::session;

/// Show what was spent, or what a run has cost and will.
///
/// Without a run: what actions cost in the last days, added up by project, workflow, site, kind or day; by project with what is left of its
/// budget. `--focus` gives the rows as a CSV file in the
/// columns of FOCUS 1.0, for tools that read cloud bills.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  tutti cost\n  tutti cost --by site --days 7\n  tutti cost fraud-model-7\n  tutti cost --focus > bill.csv"
)]
pub(crate) struct Cost {
    /// The run.
    run: Option<String>,
    /// Add up by this.
    #[arg(long, value_enum, default_value_t)]
    by: By,
    /// So many days back.
    #[arg(long, default_value_t = 30.0)]
    days: f64,
    /// Of this project only.
    #[arg(long)]
    project: Option<String>,
    /// Print the rows as FOCUS 1.0 CSV.
    #[arg(long, conflicts_with = "run")]
    focus: bool,
    #[command(flatten)]
    form: Form,
}

/// What costs are added up by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum By {
    /// The project.
    #[default]
    Project,
    /// The workflow.
    Workflow,
    /// The site that is paid.
    Site,
    /// compute or egress.
    Kind,
    /// The day in UTC.
    Day,
}

/// A sum of costs.
#[derive(Clone, Debug, Default, serde::Serialize)]
struct Sum {
    name: String,
    cost: f64,
    actions: u64,
    hours: f64,
    gb: f64,
    /// Of a project with a budget: what may still be spent, less what runs is expected to cost.
    #[serde(skip_serializing_if = "Option::is_none")]
    left: Option<f64>,
    /// Of a project with a budget: what was spent of it and what it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    budget: Option<String>,
}

impl Row for Sum {
    const COLUMNS: &'static [&'static str] = &["OF", "COST", "ACTIONS", "HOURS", "GB MOVED", "LEFT", "OF ITS BUDGET"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            money(self.cost),
            self.actions.to_string(),
            format!("{:.2}", self.hours),
            format!("{:.2}", self.gb),
            self.left.map_or("-".into(), money),
            self.budget.clone().unwrap_or_else(|| "-".into()),
        ]
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

/// What was spent of a project's budgets, in words; none without one.
fn spent(project: &ProjectView) -> Option<String> {
    let of = |cap: Option<f64>, spent: f64, what: &str| cap.map(|cap| format!("{} of {} a {what}", money(spent), money(cap)));
    let parts = [of(project.budget_day, project.spent_day, "day"), of(project.budget_month, project.spent_month, "month")];
    Some(parts.into_iter().flatten().collect::<Vec<_>>().join(", ")).filter(|text| !text.is_empty())
}

impl Cost {
    /// Prints.
    pub(crate) async fn run(self, door: &Door) -> Result<Exit, CommandError> {
        if let Some(run) = &self.run {
            return outlook(door, run, self.form.output).await;
        }
        let project = self.project.as_ref().map(|project| format!("&project={}", segment(project))).unwrap_or_default();
        let path = format!("/api/v1/costs?days={}{project}", self.days);
        let by_project = self.by == By::Project && !self.focus;
        let (rows, simulated, projects): (Vec<CostView>, BTreeSet<String>, Vec<ProjectView>) =
            session::with(door, Need::Look, async |session| {
                let projects = if by_project { session.client.get("/api/v1/costs/projects").await? } else { Vec::new() };
                Ok((session.client.get(&path).await?, simulated(&session.client).await?, projects))
            })
            .await?;
        if self.focus {
            output::write(&focus(&rows))?;
            return Ok(Exit::Done);
        }
        let mut sums: BTreeMap<String, Sum> = BTreeMap::new();
        for row in rows {
            let name = match self.by {
                By::Project => row.project,
                By::Workflow => row.workflow,
                By::Site if self.form.output == Format::Table => marked(&row.site, &simulated),
                By::Site if row.site.is_empty() => "-".into(),
                By::Site => row.site,
                By::Kind => row.kind,
                By::Day => row.day,
            };
            let sum = sums.entry(name.clone()).or_insert(Sum { name, ..Sum::default() });
            sum.cost += row.cost;
            sum.actions += row.actions;
            sum.hours += row.hours;
            sum.gb += row.gb;
        }
        let wanted = |project: &&ProjectView| self.project.as_ref().is_none_or(|only| *only == project.name);
        for project in projects.iter().filter(wanted) {
            let Some(budget) = spent(project) else { continue };
            let (name, left) = (project.name.clone(), project.left);
            let sum = sums.entry(name.clone()).or_insert(Sum { name, ..Sum::default() });
            (sum.left, sum.budget) = (left, Some(budget));
        }
        let sums: Vec<Sum> = sums.into_values().collect();
        output::list(&sums, self.form.output, "nothing was spent")?;
        if self.form.output == Format::Table && sums.len() > 1 {
            eprintln!("{} in all", money(sums.iter().map(|sum| sum.cost).sum()));
        }
        Ok(Exit::Done)
    }
}

/// The rows in the columns that FOCUS 1.0 asks for. What a place bills is what was charged: there are no discounts here.
fn focus(rows: &[CostView]) -> String {
    let mut text = String::from(
        "BillingAccountId,BillingAccountName,BillingCurrency,BillingPeriodStart,BillingPeriodEnd,ChargePeriodStart,ChargePeriodEnd,\
         ChargeCategory,ChargeClass,ChargeDescription,BilledCost,EffectiveCost,ListCost,ContractedCost,PricingQuantity,PricingUnit,\
         ConsumedQuantity,ConsumedUnit,ProviderName,PublisherName,InvoiceIssuerName,ServiceCategory,ServiceName,SubAccountId,\
         SubAccountName,ResourceId,ResourceName\n",
    );
    // What people did and what was decided had no site and is on no bill.
    for row in rows.iter().filter(|row| !row.site.is_empty() || row.cost != 0.0) {
        let egress = row.kind == "egress";
        let (quantity, unit) = if egress { (row.gb, "GB") } else { (row.hours, "Hours") };
        let site = if row.site.is_empty() { "none" } else { &row.site };
        let (category, what) = if egress { ("Networking", "Data transfer") } else { ("Compute", "Actions") };
        let cost = format!("{:.6}", row.cost);
        let cells = [
            "tutti",
            "tutti",
            model::money::CURRENCY,
            &month(&row.day, 0),
            &month(&row.day, 1),
            &instant(&row.day, 0),
            &instant(&row.day, 1),
            "Usage",
            "",
            &format!("{what} of {} at {site}", row.workflow),
            &cost,
            &cost,
            &cost,
            &cost,
            &format!("{quantity:.6}"),
            unit,
            &format!("{quantity:.6}"),
            unit,
            site,
            "tutti",
            site,
            category,
            what,
            &row.project,
            &row.project,
            &row.workflow,
            &row.workflow,
        ];
        let quoted: Vec<String> = cells.iter().map(|cell| quote(cell)).collect();
        text += &(quoted.join(",") + "\n");
    }
    text
}

fn quote(cell: &str) -> String {
    if cell.contains([',', '"', '\n']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell.to_owned() }
}

/// The first of the day's month, or of the one after.
fn month(day: &str, later: u32) -> String {
    let number = |range: std::ops::Range<usize>| day.get(range).and_then(|text| text.parse::<u32>().ok()).unwrap_or(1);
    let months = number(0..4) * 12 + number(5..7) - 1 + later;
    format!("{:04}-{:02}-01T00:00:00Z", months / 12, months % 12 + 1)
}

/// The begin of a day, or of the one after.
fn instant(day: &str, later: u32) -> String {
    let number = |range: std::ops::Range<usize>| day.get(range).and_then(|text| text.parse::<u32>().ok()).unwrap_or(1);
    let (year, month_no, date) = (number(0..4), number(5..7), number(8..10) + later);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month_no {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if date > last { month(day, 1) } else { format!("{year:04}-{month_no:02}-{date:02}T00:00:00Z") }
}

async fn outlook(door: &Door, run: &str, format: Format) -> Result<Exit, CommandError> {
    let path = format!("{}/outlook", run_path(run));
    let (view, simulated) = session::with(door, Need::Look, async |session| match session.client.get(&path).await {
        Ok(view) => Ok::<(RunOutlookView, _), _>((view, simulated(&session.client).await?)),
        Err(error) => Err(names::suggest(&session.client, Kind::Run, run, error).await),
    })
    .await?;
    match format {
        Format::Table => output::write(&told(&view, &simulated))?,
        Format::Name => output::write(&format!("{}\n", view.run.name))?,
        form => output::value(&view, form)?,
    }
    Ok(Exit::Done)
}

/// A run's outlook in words.
fn told(view: &RunOutlookView, simulated: &BTreeSet<String>) -> String {
    let mut text = format!("{} ({}): {} so far\n", view.run.name, view.run.phase, money(view.cost_so_far));
    if let Some(deadline) = &view.deadline {
        text += &format!("deadline: {deadline}\n");
    }
    for wait in &view.waits {
        let who = if wait.actions > 1 { format!("{} actions", wait.actions) } else { wait.first.clone() };
        text += &format!("{}waits for {}\n", if who.is_empty() { who } else { format!("{who}: ") }, wait.words);
    }
    if let Some(come) = &view.to_come {
        let [low, mid, high] = come.cost;
        text += &format!("to come: {} (nine of ten futures between {} and {})\n", money(mid), money(low), money(high));
        let [low, mid, high] = come.ends_in_s;
        text += &format!("ends in: {} (between {} and {})\n", seconds(mid), seconds(low), seconds(high));
        if let Some(p_late) = come.p_late {
            text += &format!("late in {:.0} of 100 futures\n", p_late * 100.0);
        }
        let steps: Vec<String> =
            come.critical_path.iter().map(|step| format!("{} {}", step.path, seconds(step.seconds))).collect();
        text += &format!("critical path: {}\n", steps.join(" > "));
        for (path, slack) in come.slack_s.iter().filter(|(_, slack)| **slack > 0.0) {
            text += &format!("slack: {path} {}\n", seconds(*slack));
        }
    }
    if let (Some(why), Some(plan)) = (&view.planned_because, &view.plan) {
        text += &format!("plan: made at {why}, by {}\n", plan["variant"].as_str().unwrap_or("no variant"));
        if let Some(said) = plan["budget"]["said"].as_str() {
            let over = plan["budget"]["over"].as_f64().unwrap_or_default() / 1e6;
            let beyond =
                if over > 0.0 { format!("; the plan costs {} more than may be spent", money(over)) } else { String::new() };
            text += &format!("  within bounds: {said}{beyond}\n");
        }
        for (path, site) in &view.places {
            text += &format!("  {path} at {}\n", marked(site, simulated));
        }
    }
    text
}

impl Row for DemandView {
    const COLUMNS: &'static [&'static str] = &["PROJECT", "SITE", "NEXT HOUR", "NEXT DAY", "BETWEEN", "SEEN", "COVERAGE"];

    fn cells(&self) -> Vec<String> {
        let day = |index: usize| self.core_hours.iter().take(24).map(|hour| hour[index]).sum::<f64>();
        vec![
            self.project.clone(),
            self.site.clone(),
            format!("{:.2}", self.core_hours.first().map_or(0.0, |hour| hour[1])),
            format!("{:.2}", day(1)),
            format!("{:.2} and {:.2}", day(0), day(2)),
            format!("{} h", self.hours_seen),
            if self.judged > 0 { format!("{:.0} %", self.coverage * 100.0) } else { "-".into() },
        ]
    }

    fn name(&self) -> String {
        format!("{}@{}", self.project, self.site)
    }
}

/// Show how much work will come, by project and site.
///
/// In core-hours, from what came in the last weeks: what was a day and a week ago, the level and the trend, each weighed by how well it did. The
/// interval is of nine in ten hours; how often it held is beside it.
#[derive(Debug, clap::Args)]
#[command(name = "forecast", after_help = "Examples:\n  tutti forecast\n  tutti forecast --hours 168 -o json")]
pub(crate) struct ForecastDemand {
    /// So many hours ahead.
    #[arg(long, default_value_t = 24)]
    hours: u32,
    /// So many days are looked back on.
    #[arg(long, default_value_t = 28)]
    days: u32,
    #[command(flatten)]
    form: Form,
}

impl ForecastDemand {
    /// Prints.
    pub(crate) async fn run(self, door: &Door) -> Result<Exit, CommandError> {
        let path = format!("/api/v1/forecast?hours={}&days={}", self.hours, self.days);
        let rows: Vec<DemandView> = session::with(door, Need::Look, async |session| session.client.get(&path).await).await?;
        output::list(&rows, self.form.output, "nothing ran in that time")?;
        Ok(Exit::Done)
    }
}

impl Row for SumView {
    const COLUMNS: &'static [&'static str] =
        &["", "COST", "EGRESS", "LATE", "LATE COST", "MEAN RUN", "LONGEST WAIT", "STUCK", "REFUSED", "SITES"];

    fn cells(&self) -> Vec<String> {
        let sites: Vec<String> = self
            .sites
            .iter()
            .filter(|(_, site)| site.actions > 0)
            .map(|(name, site)| format!("{name} {} ({:.0} %)", site.actions, site.utilisation * 100.0))
            .collect();
        vec![
            self.name.clone(),
            money(self.cost),
            money(self.egress),
            self.late_runs.to_string(),
            money(self.late_cost),
            seconds(self.mean_run_s),
            seconds(self.longest_wait_s),
            self.stuck.to_string(),
            self.refused.to_string(),
            sites.join(", "),
        ]
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

/// Show what would have been, with other prices, sites, rules, capacities or settings.
///
/// A recorded period is played again with the simulator that plans. Beside the answer stands what happened, and the same places played, which
/// says how far the replay itself is off. With a run, what is left of that is planned as things are and as asked, and nothing of it is
/// touched; of one that has ended, the whole.
#[derive(Debug, clap::Args)]
#[command(
    name = "whatif",
    after_help = "Examples:\n  tutti whatif --without cloud-virginia\n  tutti whatif --site onprem:cpu=16 --days 30\n  tutti whatif --site cloud:cpu_hour=0.03,egress_gb=0\n  tutti whatif --site second:like=onprem,cpu=8 --margin 0.5\n  tutti whatif --rules stricter.yaml\n  tutti whatif fraud-model-7 --site cloud:cpu_hour=1 --deadline 30m"
)]
pub(crate) struct WhatIf {
    /// Of this run alone.
    run: Option<String>,
    /// Change a site: `NAME:KEY=VALUE,…` with cpu, memory_gib, gpus, cpu_hour, memory_gib_hour, gpu_hour, egress_gb, like.
    #[arg(long = "site", value_name = "CHANGE")]
    sites: Vec<String>,
    /// Leave a site out.
    #[arg(long, value_name = "SITE")]
    without: Vec<String>,
    /// The share of the time to a deadline that is planned with.
    #[arg(long)]
    margin: Option<f64>,
    /// What expected lateness is multiplied with.
    #[arg(long)]
    risk: Option<f64>,
    /// The part of the work to come that goes before what waits: 0 where forecasts count for nothing.
    #[arg(long)]
    before: Option<f64>,
    /// Do not price what outputs will cost to reach nodes that may not run beside them.
    #[arg(long)]
    no_lookahead: bool,
    /// Rules that count as if they were applied: files or folders of policies, tags, sanitizers and approvals; of a run also its project, with
    /// another budget or quota.
    #[arg(long, value_name = "PATH")]
    rules: Vec<PathBuf>,
    /// So many days back.
    #[arg(long, default_value_t = 7.0)]
    days: f64,
    /// Of this project only.
    #[arg(long)]
    project: Option<String>,
    /// Of a run: it should be done so long after its acceptance (`30m`).
    #[arg(long, requires = "run", value_name = "DURATION")]
    deadline: Option<String>,
    /// Of a run: without this policy.
    #[arg(long, requires = "run", value_name = "POLICY")]
    without_policy: Vec<String>,
    #[command(flatten)]
    form: Form,
}

/// `NAME:KEY=VALUE,…` as a change.
fn change(text: &str) -> Result<SiteChangeView, CommandError> {
    let wrong = |what: &str| CommandError::usage(format!("`{text}`: {what}"));
    let (site, rest) = text.split_once(':').ok_or_else(|| wrong("a change is NAME:KEY=VALUE,…"))?;
    let mut change = SiteChangeView { site: site.into(), ..SiteChangeView::default() };
    for pair in rest.split(',') {
        let (key, value) = pair.split_once('=').ok_or_else(|| wrong("a change is NAME:KEY=VALUE,…"))?;
        let number =
            || value.parse::<f64>().ok().filter(|number| number.is_finite()).ok_or_else(|| wrong("a value is no number"));
        match key {
            "like" => change.like = Some(value.into()),
            "cpu" => change.cpu = Some(number()?),
            "memory_gib" => change.memory_gib = Some(number()?),
            "gpus" => change.gpus = Some(number()? as u32),
            "cpu_hour" => change.cpu_hour = Some(number()?),
            "memory_gib_hour" => change.memory_gib_hour = Some(number()?),
            "gpu_hour" => change.gpu_hour = Some(number()?),
            "egress_gb" => change.egress_gb = Some(number()?),
            other => return Err(wrong(&format!("there is no key `{other}`"))),
        }
    }
    Ok(change)
}

impl WhatIf {
    /// Prints.
    pub(crate) async fn run(self, door: &Door) -> Result<Exit, CommandError> {
        let mut sites: Vec<SiteChangeView> = self.sites.iter().map(|text| change(text)).collect::<Result<_, _>>()?;
        let gone = |site: &String| SiteChangeView { site: site.clone(), gone: true, ..SiteChangeView::default() };
        sites.extend(self.without.iter().map(gone));
        let rules = if self.rules.is_empty() { Vec::new() } else { crate::sources::read(&self.rules)?.documents };
        if let Some(run) = &self.run {
            let request = RunWhatIfRequest {
                sites,
                deadline_s: self.deadline.as_deref().map(supposing::within).transpose()?,
                without: self.without_policy.clone(),
                documents: rules,
                ..RunWhatIfRequest::default()
            };
            return supposing::suppose(door, run, request, self.form.output).await;
        }
        let request = WhatIfRequest {
            days: Some(self.days),
            project: self.project.clone(),
            sites,
            margin: self.margin,
            risk: self.risk,
            before: self.before,
            lookahead: self.no_lookahead.then_some(false),
            rules,
        };
        let view: WhatIfView =
            session::with(door, Need::Look, async |session| session.client.post("/api/v1/whatif", &request).await).await?;
        if !matches!(self.form.output, Format::Table | Format::Name) {
            output::value(&view, self.form.output)?;
            return Ok(Exit::Done);
        }
        output::list(&view.sums, self.form.output, "nothing ran in that time")?;
        if self.form.output == Format::Table {
            for barred in &view.refusals {
                let (many, node) = (barred.actions, format!("{} {}", barred.workflow, barred.path));
                output::write(&format!("refused: {many} of {node} at {}: {}\n", barred.site, barred.why))?;
            }
            eprintln!("{} runs with {} actions. What such a replay cannot know:", view.runs, view.actions);
            view.limits.iter().for_each(|limit| eprintln!("- {limit}"));
        }
        Ok(Exit::Done)
    }
}

impl Row for AdviceView {
    const COLUMNS: &'static [&'static str] = &["NODE", "KIND", "SAVES", "SAVES TIME", "WHAT"];

    fn cells(&self) -> Vec<String> {
        let time = if self.saves_s > 0.0 { seconds(self.saves_s) } else { "-".into() };
        vec![self.node.clone(), self.kind.clone(), money(self.saves), time, format!("{} ({})", self.what, self.evidence)]
    }

    fn name(&self) -> String {
        format!("{}/{}", self.node, self.kind)
    }
}

/// Show what would make a workflow cheaper, quicker or safer, from what it did.
///
/// Each piece of advice has what it would save a run, what that rests on, and the edits that make it so: with `-o json`, or alone with `--patch`, as
/// `tutti edit` takes them. Nothing is changed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tutti advise bank/fraud-model\n  tutti advise bank/fraud-model -o json\n  \
    tutti advise bank/fraud-model --patch train/cache | tutti edit fraud-model.workflow.yaml -")]
pub(crate) struct Advise {
    /// The registered workflow.
    workflow: String,
    /// Print the edits of one piece of advice, named as `-o name` does.
    #[arg(long, value_name = "NODE/KIND")]
    patch: Option<String>,
    #[command(flatten)]
    form: Form,
}

impl Advise {
    /// Prints.
    pub(crate) async fn run(self, door: &Door) -> Result<Exit, CommandError> {
        let path = format!("/api/v1/advice?workflow={}", segment(&self.workflow));
        let rows: Vec<AdviceView> = session::with(door, Need::Look, async |session| match session.client.get(&path).await {
            Ok(rows) => Ok(rows),
            Err(error) => Err(names::suggest(&session.client, Kind::Workflow, &self.workflow, error).await),
        })
        .await?;
        if let Some(wanted) = &self.patch {
            let names = || rows.iter().map(Row::name).collect::<Vec<_>>().join(", ");
            let one = rows.iter().find(|row| row.name() == *wanted);
            let one = one.ok_or_else(|| CommandError::usage(format!("there is no advice `{wanted}`; there is {}", names())))?;
            output::value(&one.patch, Format::Json)?;
            return Ok(Exit::Done);
        }
        output::list(&rows, self.form.output, "nothing to say of it yet")?;
        Ok(Exit::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_read_and_what_is_none_is_said() {
        let read = change("burst:like=onprem,cpu=16,cpu_hour=0.03").unwrap();
        assert_eq!(
            (read.site.as_str(), read.like.as_deref(), read.cpu, read.cpu_hour),
            ("burst", Some("onprem"), Some(16.0), Some(0.03))
        );
        for wrong in ["burst", "burst:cpu", "burst:cpu=many", "burst:colour=3"] {
            assert!(change(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_bill_has_whole_days_and_months() {
        let row = CostView {
            day: "2028-02-29".into(),
            workflow: "a,b".into(),
            cost: 1.25,
            kind: "egress".into(),
            ..CostView::default()
        };
        assert_eq!(focus(&[CostView { day: "2028-02-29".into(), ..CostView::default() }]).lines().count(), 1, "nobody bills it");
        let text = focus(&[row]);
        let line = text.lines().nth(1).unwrap();
        for part in [
            "2028-02-01T00:00:00Z,2028-03-01T00:00:00Z,2028-02-29T00:00:00Z,2028-03-01T00:00:00Z",
            "1.250000",
            "\"Data transfer of a,b at none\"",
        ] {
            assert!(line.contains(part), "{part} in {line}");
        }
        assert_eq!(instant("2026-12-31", 1), "2027-01-01T00:00:00Z");
    }
}
