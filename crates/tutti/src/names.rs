//! The kinds of things that have names, and what to say when a name is not known.

use api::rest::apps::AppView;
use api::rest::registered::TaskView;
use api::rest::triggers::TriggerView;
use api::rest::views::{Page, ResourceView, RunView, SiteView, TokenView};

use crate::client::{Client, segment};
use crate::failure::CommandError;

/// A kind of thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// Runs, the newest first.
    #[value(alias = "runs")]
    Run,
    /// The actions of a run.
    #[value(alias = "actions")]
    Action,
    /// Registered workflows.
    #[value(alias = "workflows")]
    Workflow,
    /// Tasks that Flyte programs deployed.
    #[value(alias = "tasks")]
    Task,
    /// Sites.
    #[value(alias = "sites")]
    Site,
    /// Apps of Flyte programs.
    #[value(alias = "apps")]
    App,
    /// Queues that Flyte programs use.
    #[value(alias = "queues")]
    Queue,
    /// Triggers.
    #[value(alias = "triggers")]
    Trigger,
    /// Connectors that workers serve.
    #[value(alias = "connectors")]
    Connector,
    /// Tags that data can carry.
    #[value(alias = "tags")]
    Tag,
    /// Policies.
    #[value(alias = "policies")]
    Policy,
    /// Sanitizers.
    #[value(alias = "sanitizers")]
    Sanitizer,
    /// Decisions that wait for a person.
    #[value(alias = "approvals")]
    Approval,
    /// What is wrong with what ran, and what is proposed against it.
    #[value(alias = "findings")]
    Finding,
    /// Tokens, without the tokens.
    #[value(alias = "tokens")]
    Token,
}

impl Kind {
    /// The word for several of them.
    pub(crate) fn words(self) -> String {
        match self {
            Kind::Policy => "policies".into(),
            other => format!("{}s", other.word()),
        }
    }

    /// The word for one of them.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Kind::Run => "run",
            Kind::Action => "action",
            Kind::Workflow => "workflow",
            Kind::Task => "task",
            Kind::Site => "site",
            Kind::App => "app",
            Kind::Queue => "queue",
            Kind::Trigger => "trigger",
            Kind::Connector => "connector",
            Kind::Tag => "tag",
            Kind::Policy => "policy",
            Kind::Sanitizer => "sanitizer",
            Kind::Approval => "approval",
            Kind::Finding => "finding",
            Kind::Token => "token",
        }
    }
}

/// Reads the word for a kind.
pub(crate) fn parse_kind(text: &str) -> Result<Kind, CommandError> {
    <Kind as clap::ValueEnum>::from_str(text, true).map_err(|_| {
        let known: Vec<&str> = <Kind as clap::ValueEnum>::value_variants().iter().map(|kind| kind.word()).collect();
        let near = workflow::nearest(text, known.iter().copied()).map(|near| format!("did you mean `{near}`? "));
        CommandError::usage(format!("`{text}` is not a kind")).hint(format!(
            "{}there are {}",
            near.unwrap_or_default(),
            known.join(", ")
        ))
    })
}

/// The path of a run.
pub(crate) fn run_path(name: &str) -> String {
    format!("/api/v1/runs/{}", segment(name))
}

/// The path of a resource. Names of workflows hold a `/`, which stays.
pub(crate) fn resource_path(kind: Kind, name: &str) -> String {
    let name: Vec<String> = name.split('/').map(segment).collect();
    format!("/api/v1/resources/{}/{}", kind.word(), name.join("/"))
}

/// Adds to an error about an unknown name which known one is near.
pub(crate) async fn suggest(client: &Client, kind: Kind, name: &str, mut error: CommandError) -> CommandError {
    let Some(problem) = error.problem("E0002") else { return error };
    let known = names(client, kind).await.unwrap_or_default();
    if let Some(near) = workflow::nearest(name, known.iter().map(String::as_str)).filter(|near| *near != name) {
        let rest = problem.hint.take().map(|hint| format!(" {hint}")).unwrap_or_default();
        problem.hint = Some(format!("did you mean `{near}`?{rest}"));
    }
    error
}

async fn names(client: &Client, kind: Kind) -> Result<Vec<String>, CommandError> {
    Ok(with_words(client, kind).await?.into_iter().map(|(name, _)| name).collect())
}

/// The names of what there is of a kind, each with a few words on it.
pub(crate) async fn with_words(client: &Client, kind: Kind) -> Result<Vec<(String, String)>, CommandError> {
    Ok(match kind {
        Kind::Run => {
            let page: Page<RunView> = client.get("/api/v1/runs?limit=200").await?;
            page.items.into_iter().map(|run| (run.name, format!("{}, {}", run.workflow, run.phase.replace('_', " ")))).collect()
        }
        Kind::Site => {
            let sites: Vec<SiteView> = client.get("/api/v1/sites").await?;
            sites
                .into_iter()
                .map(|site| (site.name, site.simulates.map(|place| format!("simulates {place}")).unwrap_or_default()))
                .collect()
        }
        Kind::Workflow | Kind::Queue | Kind::Trigger | Kind::Connector | Kind::Tag | Kind::Policy | Kind::Sanitizer => {
            let list: Vec<ResourceView> = client.get(&format!("/api/v1/resources/{}", kind.word())).await?;
            list.into_iter().map(|resource| (resource.name, format!("version {}", resource.version))).collect()
        }
        Kind::Task => {
            let tasks = tasks(client).await?;
            tasks.into_iter().map(|task| (task_name(&task), format!("version {}", task.version))).collect()
        }
        Kind::App => {
            let apps: Vec<AppView> = client.get("/api/v1/apps").await?;
            apps.into_iter().map(|app| (app.name, app.state)).collect()
        }
        Kind::Token => {
            let tokens: Vec<TokenView> = client.get("/api/v1/tokens").await?;
            tokens.into_iter().map(|token| (token.name, token.user)).collect()
        }
        Kind::Action | Kind::Approval | Kind::Finding => Vec::new(),
    })
}

/// Tasks asked for at a time.
const TASKS: usize = 1_000;

/// What tells a task from every other.
pub(crate) fn task_name(task: &TaskView) -> String {
    format!("{}/{}/{}", task.project, task.domain, task.name)
}

/// The tasks that Flyte programs deployed, page after page.
pub(crate) async fn tasks(client: &Client) -> Result<Vec<TaskView>, CommandError> {
    let mut tasks: Vec<TaskView> = Vec::new();
    loop {
        // Pages go by what versions of a task have in common.
        let cursor = |last: &TaskView| segment(&format!("{} {} {}", last.name, last.project, last.domain));
        let cursor = tasks.last().map(|last| format!("&cursor={}", cursor(last))).unwrap_or_default();
        let page: Vec<TaskView> = client.get(&format!("/api/v1/tasks?limit={TASKS}{cursor}")).await?;
        let last = page.len() < TASKS;
        tasks.extend(page);
        if last {
            return Ok(tasks);
        }
    }
}

/// Reads a trigger.
pub(crate) async fn trigger(client: &Client, name: &str) -> Result<TriggerView, CommandError> {
    match client.get(&format!("/api/v1/triggers/{}", segment(name))).await {
        Ok(trigger) => Ok(trigger),
        Err(error) => Err(suggest(client, Kind::Trigger, name, error).await),
    }
}

/// Reads a run by its name or number.
pub(crate) async fn run(client: &Client, name: &str, query: &str) -> Result<RunView, CommandError> {
    match client.get(&format!("{}{query}", run_path(name))).await {
        Ok(run) => Ok(run),
        Err(error) => Err(suggest(client, Kind::Run, name, error).await),
    }
}

/// An error about an unknown action of a known run, with the one that is near.
pub(crate) async fn suggest_action(client: &Client, run: &str, path: &str, mut error: CommandError) -> CommandError {
    let Some(problem) = error.problem("E0002") else { return error };
    let Ok(view) = client.get::<RunView>(&run_path(run)).await else {
        return suggest(client, Kind::Run, run, error).await;
    };
    let near = workflow::nearest(path, view.actions.iter().map(|action| action.path.as_str()));
    problem.hint = Some(match near {
        Some(near) if near != path => format!("did you mean `{near}`? `tutti describe run {run}` lists all"),
        _ => format!("`tutti describe run {run}` lists its actions"),
    });
    error
}
