//! `tutti get`: lists and single things of every kind.

use api::rest::approval_views::ApprovalView;
use api::rest::apps::AppView;
use api::rest::findings::FindingView;
use api::rest::triggers::TriggerView;
use api::rest::views::{ActionView, Page, ResourceView, RunView, SiteView, TokenView};

use crate::cli::Door;
use crate::client::{Client, segment};
use crate::failure::{CommandError, Exit};
use crate::in_process::Need;
use crate::names::{self, Kind, resource_path, run_path};
use crate::output::{self, Form, Format, Row};
use crate::session;

/// Actions asked for at a time.
const PAGE: usize = 10_000;
/// Triggers asked for at a time.
const TRIGGERS: usize = 1_000;

/// Show what there is: runs, workflows, tasks, sites, apps, queues, triggers, connectors, rules, approvals, findings, tokens.
#[derive(Debug, clap::Args)]
#[command(
    visible_alias = "ls",
    after_help = "Examples:\n  tutti get runs --phase failed\n  tutti get run fraud-model-7 -o json\n  tutti get actions fraud-model-7\n  tutti get sites"
)]
pub(crate) struct Get {
    /// The kind of thing, in the singular or the plural.
    kind: Kind,
    /// The name; all of the kind when there is none. For actions, approvals and findings the run.
    name: Option<String>,
    /// Runs of this workflow only.
    #[arg(long)]
    workflow: Option<String>,
    /// Runs (or findings) of this project only.
    #[arg(long)]
    project: Option<String>,
    /// Runs (or actions) in this phase only.
    #[arg(long)]
    phase: Option<String>,
    /// Runs with this label only: `KEY=VALUE` or `KEY`. Several times for several labels.
    #[arg(long, value_name = "KEY[=VALUE]")]
    label: Vec<String>,
    /// A run, or its actions, as they were then: a point in time as RFC 3339.
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// Runs (or findings) to show at most.
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    limit: usize,
    #[command(flatten)]
    form: Form,
}

impl Get {
    /// Prints.
    pub(crate) async fn run(self, door: &Door) -> Result<Exit, CommandError> {
        session::with(door, Need::Look, async |session| self.print(&session.client).await).await?;
        Ok(Exit::Done)
    }

    async fn print(&self, client: &Client) -> Result<(), CommandError> {
        let form = self.form.output;
        if self.at.is_some() && (self.name.is_none() || !matches!(self.kind, Kind::Run | Kind::Action)) {
            let error = CommandError::usage("`--at` goes with a run, or with the actions of one");
            return Err(error.hint("`tutti get actions RUN --at 2026-03-01T09:30:00Z`"));
        }
        match (self.kind, &self.name) {
            (Kind::Run, None) => output::list(&self.runs(client).await?, form, "no runs"),
            (Kind::Run, Some(name)) => {
                // Whoever reads the JSON wants all of it, the actions too.
                let actions = if matches!(form, Format::Json | Format::Yaml) { "?actions=100000" } else { "?actions=1" };
                let query = format!("{actions}{}", self.then());
                output::one(&names::run(client, name, &query).await?, form)
            }
            (Kind::Action, None) => Err(CommandError::usage("actions belong to a run").hint("`tutti get actions RUN`")),
            (Kind::Action, Some(run)) => output::list(&self.actions(client, run).await?, form, "no actions"),
            (Kind::Site, name) => {
                let sites: Vec<SiteView> = client.get("/api/v1/sites").await?;
                choose(sites, Kind::Site, name.as_deref(), form, client).await
            }
            (Kind::Task, name) => choose(names::tasks(client).await?, Kind::Task, name.as_deref(), form, client).await,
            (Kind::App, name) => {
                let apps: Vec<AppView> = client.get("/api/v1/apps").await?;
                choose(apps, Kind::App, name.as_deref(), form, client).await
            }
            (Kind::Token, name) => {
                let tokens: Vec<TokenView> = client.get("/api/v1/tokens").await?;
                choose(tokens, Kind::Token, name.as_deref(), form, client).await
            }
            (Kind::Approval, run) => {
                let mut waiting: Vec<ApprovalView> = client.get("/api/v1/approvals").await?;
                waiting.retain(|approval| run.as_ref().is_none_or(|run| approval.run == *run));
                output::list(&waiting, form, "nothing waits for a person")
            }
            (Kind::Finding, run) => output::list(&self.findings(client, run.as_deref()).await?, form, "nothing was found wrong"),
            (Kind::Trigger, None) => triggers(&self.triggers(client).await?, form),
            (Kind::Trigger, Some(name)) => {
                let trigger = names::trigger(client, name).await?;
                match form {
                    Format::Table => triggers(&[trigger], form),
                    other => output::one(&trigger, other),
                }
            }
            (kind, None) => {
                let list: Vec<ResourceView> = client.get(&format!("/api/v1/resources/{}", kind.word())).await?;
                output::list(&list, form, &format!("no {}", kind.words()))
            }
            (kind, Some(name)) => match client.get::<ResourceView>(&resource_path(kind, name)).await {
                Ok(resource) => output::one(&resource, form),
                Err(error) => Err(names::suggest(client, kind, name, error).await),
            },
        }
    }

    /// When a run is looked at, as a part of a query.
    fn then(&self) -> String {
        self.at.as_ref().map(|at| format!("&at={}", segment(at))).unwrap_or_default()
    }

    /// Runs, page by page up to the limit.
    async fn runs(&self, client: &Client) -> Result<Vec<RunView>, CommandError> {
        let mut query = String::new();
        let labels = Some(self.label.join(",")).filter(|labels| !labels.is_empty());
        for (key, value) in [("workflow", &self.workflow), ("project", &self.project), ("phase", &self.phase), ("label", &labels)]
        {
            query += &value.as_ref().map(|value| format!("&{key}={}", segment(value))).unwrap_or_default();
        }
        self.pages(client, "/api/v1/runs", &query).await
    }

    /// What is wrong with what ran, page by page up to the limit.
    async fn findings(&self, client: &Client, run: Option<&str>) -> Result<Vec<FindingView>, CommandError> {
        let mut query = String::new();
        for (key, value) in [("project", self.project.as_deref()), ("run", run)] {
            query += &value.map(|value| format!("&{key}={}", segment(value))).unwrap_or_default();
        }
        match (self.pages(client, "/api/v1/findings", &query).await, run) {
            (Err(error), Some(run)) => Err(names::suggest(client, Kind::Run, run, error).await),
            (found, _) => found,
        }
    }

    /// What a list holds, page by page up to the limit.
    async fn pages<T: serde::de::DeserializeOwned>(
        &self,
        client: &Client,
        list: &str,
        query: &str,
    ) -> Result<Vec<T>, CommandError> {
        let mut all: Vec<T> = Vec::new();
        let mut cursor = String::new();
        while all.len() < self.limit {
            let count = (self.limit - all.len()).min(1_000);
            let page: Page<T> = client.get(&format!("{list}?limit={count}{query}{cursor}")).await?;
            all.extend(page.items);
            let Some(next) = page.next else { break };
            cursor = format!("&cursor={next}");
        }
        Ok(all)
    }

    async fn triggers(&self, client: &Client) -> Result<Vec<TriggerView>, CommandError> {
        let mut triggers: Vec<TriggerView> = Vec::new();
        loop {
            let cursor = triggers.last().map(|last| format!("&cursor={}", segment(&last.name))).unwrap_or_default();
            let page: Vec<TriggerView> = client.get(&format!("/api/v1/triggers?limit={TRIGGERS}{cursor}")).await?;
            let last = page.len() < TRIGGERS;
            triggers.extend(page);
            if last {
                return Ok(triggers);
            }
        }
    }

    async fn actions(&self, client: &Client, run: &str) -> Result<Vec<ActionView>, CommandError> {
        let phase = self.phase.as_ref().map(|phase| format!("&phase={}", segment(phase))).unwrap_or_default();
        let mut actions: Vec<ActionView> = Vec::new();
        let mut cursor = String::new();
        loop {
            let path = format!("{}/actions?limit={PAGE}{phase}{}{cursor}", run_path(run), self.then());
            let page: Page<ActionView> = match client.get(&path).await {
                Ok(page) => page,
                Err(error) => return Err(names::suggest(client, Kind::Run, run, error).await),
            };
            actions.extend(page.items);
            let Some(next) = page.next else { return Ok(actions) };
            cursor = format!("&cursor={next}");
        }
    }
}

/// Prints triggers, and says of those that could start nothing why.
fn triggers(list: &[TriggerView], form: Format) -> Result<(), CommandError> {
    output::list(list, form, "no triggers")?;
    for trigger in list {
        if let Some(why) = &trigger.trouble {
            eprintln!("warning: {}: {why}", trigger.name);
        }
    }
    Ok(())
}

/// Prints all of a list, or the one with a name.
async fn choose<T: Row>(rows: Vec<T>, kind: Kind, name: Option<&str>, form: Format, client: &Client) -> Result<(), CommandError> {
    let Some(name) = name else { return output::list(&rows, form, &format!("no {}s", kind.word())) };
    match rows.iter().find(|row| row.name() == name) {
        Some(row) => output::one(row, form),
        None => Err(not_found(client, kind, name).await),
    }
}

/// The error that the server would give.
pub(crate) async fn not_found(client: &Client, kind: Kind, name: &str) -> CommandError {
    let fault = controlplane::Fault::not_found(kind.word(), name);
    names::suggest(client, kind, name, fault.into()).await
}
