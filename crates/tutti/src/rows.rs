//! What the views of the API look like in tables.

use std::collections::BTreeSet;

use api::rest::approval_views::ApprovalView;
use api::rest::apps::AppView;
use api::rest::findings::FindingView;
use api::rest::lineage::VersionView;
use api::rest::planning_views::{ChangeView, PlannedNodeView};
use api::rest::registered::TaskView;
use api::rest::sites::QueuedView;
use api::rest::triggers::{FiringView, TriggerView};
use api::rest::views::{ActionView, Applied, ResourceView, RunView, SiteView, TokenView};
use serde_json::Value;

use crate::client::Client;
use crate::failure::CommandError;
use crate::names::task_name;
use crate::output::{Row, money, seconds, size};

impl Row for RunView {
    const COLUMNS: &'static [&'static str] = &["NAME", "WORKFLOW", "PHASE", "ACTIONS", "TIME", "COST", "SUBMITTED"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            self.workflow.clone(),
            self.phase.clone(),
            format!("{}/{}", self.actions_done, self.actions_total),
            seconds(self.seconds),
            money(self.cost),
            moment(&self.submitted_at),
        ]
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

impl Row for ActionView {
    const COLUMNS: &'static [&'static str] = &["ACTION", "KIND", "PHASE", "SITE", "TIME", "COST", "ATTEMPTS"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.path.clone(),
            self.kind.clone(),
            if self.reused { format!("{} (reused)", self.phase) } else { self.phase.clone() },
            place(self.site.as_deref(), self.simulates.as_deref()),
            if self.started_at.is_some() { seconds(self.seconds) } else { "-".into() },
            money(self.cost),
            self.attempts.to_string(),
        ]
    }

    fn name(&self) -> String {
        self.path.clone()
    }
}

impl Row for Applied {
    const COLUMNS: &'static [&'static str] = &["KIND", "NAME", "CHANGE", "VERSION"];

    fn cells(&self) -> Vec<String> {
        vec![self.kind.clone(), self.name.clone(), self.change.clone(), self.version.to_string()]
    }

    fn name(&self) -> String {
        format!("{}/{}", self.kind, self.name)
    }
}

impl Row for ResourceView {
    const COLUMNS: &'static [&'static str] = &["NAME", "VERSION", "APPLIED", "BY"];

    fn cells(&self) -> Vec<String> {
        vec![self.name.clone(), self.version.to_string(), moment(&self.applied_at), self.principal.clone()]
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

impl Row for TriggerView {
    const COLUMNS: &'static [&'static str] = &["NAME", "WORKFLOW", "STARTS", "NEXT", "LAST", "LEFT OUT", "OVERLAP"];

    fn cells(&self) -> Vec<String> {
        let next = self.next_due.as_deref().map(moment);
        vec![
            self.name.clone(),
            self.workflow.clone(),
            self.starts.clone(),
            if self.paused { "paused".into() } else { next.unwrap_or_else(|| "-".into()) },
            self.firings.first().map_or("-".into(), |last| format!("{} {}", moment(&last.due), became(last))),
            self.left_out.to_string(),
            self.overlap.clone(),
        ]
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

impl Row for FiringView {
    const COLUMNS: &'static [&'static str] = &["DUE", "RUN", "PHASE", "MISSED BEFORE"];

    fn cells(&self) -> Vec<String> {
        let or_none = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".into());
        vec![moment(&self.due), or_none(&self.run), self.phase.clone().unwrap_or_else(|| became(self)), self.missed.to_string()]
    }

    fn name(&self) -> String {
        self.due.clone()
    }
}

/// What became of a firing, in a few words.
pub(crate) fn became(firing: &FiringView) -> String {
    match (&firing.run, firing.left_out.as_deref()) {
        (Some(run), _) => run.clone(),
        (None, Some("still_runs")) => "left out: an earlier run still runs".into(),
        (None, Some("queue_full")) => "left out: too many wait".into(),
        (None, Some("refused")) => "left out: its workflow does not take it".into(),
        (None, _) => "left out".into(),
    }
}

impl Row for AppView {
    const COLUMNS: &'static [&'static str] = &["NAME", "STATE", "URL", "RUN", "REVISION", "WHY"];

    fn cells(&self) -> Vec<String> {
        let run = if self.run.is_empty() { "-".into() } else { self.run.clone() };
        vec![self.name.clone(), self.state.clone(), self.url.clone(), run, self.revision.to_string(), self.why.clone()]
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

impl Row for TaskView {
    const COLUMNS: &'static [&'static str] = &["NAME", "VERSION", "VERSIONS", "ENVIRONMENT", "DEPLOYED", "BY"];

    fn cells(&self) -> Vec<String> {
        let environment = if self.environment.is_empty() { "-".into() } else { self.environment.clone() };
        let versions = self.versions.to_string();
        vec![task_name(self), self.version.clone(), versions, environment, moment(&self.deployed_at), self.by.clone()]
    }

    fn name(&self) -> String {
        task_name(self)
    }
}

impl Row for VersionView {
    const COLUMNS: &'static [&'static str] = &["VERSION", "DIGEST", "RUN", "SINCE", "SIZE", "SITES", "CARRIES"];

    fn cells(&self) -> Vec<String> {
        let or_none = |all: &[String]| if all.is_empty() { "-".into() } else { all.join(",") };
        vec![
            self.version.map_or("-".into(), |version| version.to_string()),
            self.origin.digest.clone(),
            self.origin.run.clone(),
            moment(&self.origin.at),
            size(self.origin.size),
            or_none(&self.origin.sites),
            or_none(&self.origin.label),
        ]
    }

    fn name(&self) -> String {
        self.origin.digest.clone()
    }
}

impl Row for QueuedView {
    const COLUMNS: &'static [&'static str] = &["RUN", "ACTION", "ACTIONS", "SINCE", "WAITS FOR", "OR AT"];

    fn cells(&self) -> Vec<String> {
        let or_at = if self.or_at.is_empty() { "-".into() } else { self.or_at.join(",") };
        let (actions, since) = (self.actions.to_string(), moment(&self.since));
        vec![self.run.clone(), self.path.clone(), actions, since, self.why.clone(), or_at]
    }

    fn name(&self) -> String {
        format!("{}/{}", self.run, self.path)
    }
}

impl Row for SiteView {
    const COLUMNS: &'static [&'static str] =
        &["NAME", "STATE", "STANDS FOR", "RUNNING", "WARM", "CPU", "MEMORY", "CPU/H", "GiB/H", "EGRESS/GB"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            self.state.clone(),
            self.simulates.as_ref().map_or("-".into(), |place| format!("{place} (simulated)")),
            self.running.to_string(),
            self.pool.as_ref().map_or("-".into(), |pool| pool.pieces.to_string()),
            format!("{}", self.capacity.cpu),
            size(self.capacity.memory_bytes),
            money(self.cpu_hour),
            money(self.memory_gib_hour),
            money(self.egress_gb),
        ]
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

impl Row for ApprovalView {
    const COLUMNS: &'static [&'static str] = &["RUN", "ACTION", "TITLE", "FOR", "SINCE"];

    fn cells(&self) -> Vec<String> {
        vec![self.run.clone(), self.action.clone(), self.title.clone(), assignees(&self.assign), moment(&self.since)]
    }

    fn name(&self) -> String {
        format!("{}/{}", self.run, self.action)
    }
}

impl Row for FindingView {
    const COLUMNS: &'static [&'static str] = &["WHEN", "KIND", "RUN", "ACTION", "WHAT", "THEN"];

    fn cells(&self) -> Vec<String> {
        let line = self.failure.message.lines().next().unwrap_or_default();
        let then = self.remedies.first().map(|remedy| remedy.command.clone()).unwrap_or_default();
        vec![moment(&self.at), self.kind.clone(), self.run.clone(), self.action.clone(), line.to_owned(), then]
    }

    fn name(&self) -> String {
        format!("{}/{}", self.run, self.action)
    }
}

impl Row for TokenView {
    const COLUMNS: &'static [&'static str] = &["NAME", "USER", "GROUPS", "SCOPES", "ROLES", "CREATED", "EXPIRES"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            self.user.clone(),
            self.groups.join(","),
            self.scopes.join(","),
            self.roles.join(","),
            moment(&self.created_at),
            self.expires_at.as_deref().map(moment).unwrap_or_default(),
        ]
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

impl Row for PlannedNodeView {
    const COLUMNS: &'static [&'static str] = &["NODE", "KIND", "SITE", "PER HOUR", "TIME", "COST", "FROM"];

    fn cells(&self) -> Vec<String> {
        let site = match self.verdict.as_str() {
            "placed" => {
                let site = self.site.clone().unwrap_or_default();
                if self.simulated { format!("{site} (simulated)") } else { site }
            }
            "refused" => "refused".into(),
            "nowhere" => "nowhere".into(),
            _ => "-".into(),
        };
        vec![
            self.path.clone(),
            self.kind.clone(),
            site,
            self.per_hour.map_or("-".into(), money),
            self.seconds.map_or("not known yet".into(), |taken| format!("~{}", seconds(taken))),
            self.cost.map_or("-".into(), |cost| format!("~{}", money(cost))),
            if self.seen == 0 { "-".into() } else { format!("{} earlier", self.seen) },
        ]
    }

    fn name(&self) -> String {
        self.path.clone()
    }
}

impl Row for ChangeView {
    const COLUMNS: &'static [&'static str] = &["CHANGE", "AT", "BEFORE", "AFTER", "LABELS"];

    fn cells(&self) -> Vec<String> {
        let short = |value: &Value| {
            let text = if value.is_null() { "-".into() } else { value.to_string() };
            let cut: String = text.chars().take(60).collect();
            if cut.len() < text.len() { cut + "…" } else { cut }
        };
        let labels = if self.labels { "yes" } else { "" };
        vec![self.change.clone(), self.at.clone(), short(&self.before), short(&self.after), labels.into()]
    }

    fn name(&self) -> String {
        self.at.clone()
    }
}

/// The sites that stand for other places.
pub(crate) async fn simulated(client: &Client) -> Result<BTreeSet<String>, CommandError> {
    let sites: Vec<SiteView> = client.get("/api/v1/sites").await?;
    Ok(sites.into_iter().filter(|site| site.simulates.is_some()).map(|site| site.name).collect())
}

/// A site, marked when it stands for another place.
pub(crate) fn marked(site: &str, simulated: &BTreeSet<String>) -> String {
    place(Some(site).filter(|site| !site.is_empty()), simulated.get(site).map(String::as_str))
}

/// A site, with the place it stands for.
pub(crate) fn place(site: Option<&str>, simulates: Option<&str>) -> String {
    match (site, simulates) {
        (None, _) => "-".into(),
        (Some(site), None) => site.into(),
        (Some(site), Some(_)) => format!("{site} (simulated)"),
    }
}

/// A point in time to the second.
pub(crate) fn moment(rfc3339: &str) -> String {
    rfc3339.split_once('.').map_or_else(|| rfc3339.to_owned(), |(seconds, _)| seconds.replace('T', " "))
}

/// Whom a decision is offered to.
pub(crate) fn assignees(assign: &Value) -> String {
    let names = |key: &str| assign.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let list: Vec<&str> = names("users").chain(names("groups")).collect();
    if list.is_empty() { "anyone".into() } else { list.join(",") }
}
