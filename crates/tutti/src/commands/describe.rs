//! `tutti describe`: one thing in full, for people.

use std::fmt::Write as _;

use api::rest::triggers::{FiringView, TriggerView};
use api::rest::views::{ActionView, PoolView, ResourceView, RunView, SiteView, UsageView};
use serde_json::Value;

use crate::cli::Door;
use crate::client::Client;
use crate::commands::get::not_found;
use crate::failure::{CommandError, Exit};
use crate::in_process::Need;
use crate::names::{self, Kind, resource_path, run_path};
use crate::output::{self, Form, Format, Row, money, seconds, size};
use crate::rows::{became, moment, place};
use crate::session;

/// Show one thing in full.
///
/// With one word it is a run; `tutti describe action RUN ACTION` shows an action with its input and output.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  tutti describe run fraud-model-7\n  tutti describe action fraud-model-7 train\n  tutti describe workflow bank/fraud-model\n  tutti describe site onprem"
)]
pub(crate) struct Describe {
    /// The kind, then the name: `run NAME`, `workflow NAME`, `site NAME`, `action RUN ACTION`, …
    #[arg(value_name = "[KIND] NAME", num_args = 1..=3, required = true)]
    what: Vec<String>,
    #[command(flatten)]
    form: Form,
}

impl Describe {
    /// Prints.
    pub(crate) async fn run(self, door: &Door) -> Result<Exit, CommandError> {
        let (kind, name, action) = match self.what.as_slice() {
            [name] => (Kind::Run, name, None),
            [kind, name] => (names::parse_kind(kind)?, name, None),
            [kind, name, action] => (names::parse_kind(kind)?, name, Some(action)),
            _ => return Err(CommandError::usage("a kind and a name are wanted")),
        };
        session::with(door, Need::Look, async |session| self.print(&session.client, kind, name, action).await).await?;
        Ok(Exit::Done)
    }

    async fn print(&self, client: &Client, kind: Kind, name: &str, action: Option<&String>) -> Result<(), CommandError> {
        match (kind, action) {
            (Kind::Run, None) => {
                let run = names::run(client, name, "?actions=100000").await?;
                self.show(&run, &run.name, describe_run)
            }
            (Kind::Action, Some(action)) => {
                let path = format!("{}/action?path={}", run_path(name), crate::client::segment(action));
                match client.get::<ActionView>(&path).await {
                    Ok(view) => self.show(&view, &view.path, describe_action),
                    Err(error) => Err(names::suggest_action(client, name, action, error).await),
                }
            }
            (Kind::Action, None) => {
                Err(CommandError::usage("an action belongs to a run").hint("`tutti describe action RUN ACTION`"))
            }
            (_, Some(extra)) => Err(CommandError::usage(format!("`{extra}` is one word too many"))),
            (Kind::Site, None) => {
                let sites: Vec<SiteView> = client.get("/api/v1/sites").await?;
                match sites.iter().find(|site| site.name == name) {
                    Some(site) => self.show(site, &site.name, describe_site),
                    None => Err(not_found(client, kind, name).await),
                }
            }
            (Kind::Approval | Kind::Finding | Kind::Token | Kind::App | Kind::Task, None) => {
                Err(CommandError::usage(format!("`tutti get {}s -o yaml` shows all there is of them", kind.word())))
            }
            (Kind::Trigger, None) => {
                let trigger = names::trigger(client, name).await?;
                self.show(&trigger, &trigger.name, describe_trigger)
            }
            (Kind::Workflow | Kind::Queue | Kind::Connector | Kind::Tag | Kind::Policy | Kind::Sanitizer, None) => {
                match client.get::<ResourceView>(&resource_path(kind, name)).await {
                    Ok(resource) => self.show(&resource, &resource.name, describe_resource),
                    Err(error) => Err(names::suggest(client, kind, name, error).await),
                }
            }
        }
    }

    fn show<T: serde::Serialize>(&self, view: &T, name: &str, text: impl Fn(&T) -> String) -> Result<(), CommandError> {
        match self.form.output {
            Format::Table => output::write(&text(view)),
            Format::Name => output::write(&format!("{name}\n")),
            form => output::value(view, form),
        }
    }
}

/// Lines of `name: value`, values in a column.
fn fields(pairs: &[(&str, String)]) -> String {
    let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or(0) + 2;
    let shown = pairs.iter().filter(|(_, value)| !value.is_empty());
    shown.map(|(name, value)| format!("{:<width$}{value}\n", format!("{name}:"))).collect()
}

/// A document of several lines under a heading.
fn section(title: &str, value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::Object(fields)) if fields.is_empty() => String::new(),
        Some(value) => {
            let text: String = output::to_yaml(value).lines().map(|line| format!("  {line}\n")).collect();
            format!("\n{title}:\n{text}")
        }
    }
}

fn failure_of(failure: Option<&api::rest::views::FailureView>) -> String {
    failure.map_or(String::new(), |failure| format!("{} ({})", failure.message, failure.class))
}

pub(crate) fn describe_run(run: &RunView) -> String {
    let waiting = if run.waiting_for_human > 0 { run.waiting_for_human.to_string() } else { String::new() };
    let mut text = fields(&[
        ("Run", run.name.clone()),
        ("Phase", run.phase.clone()),
        ("Failure", failure_of(run.failure.as_ref())),
        ("Workflow", run.workflow.clone()),
        ("Project", run.project.clone()),
        ("Domain", run.domain.clone()),
        ("Started by", run.principal.clone()),
        ("Origin", run.origin.clone()),
        ("Labels", run.run_labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(", ")),
        ("Submitted", moment(&run.submitted_at)),
        ("Finished", run.finished_at.as_deref().map(moment).unwrap_or_default()),
        ("Time", seconds(run.seconds)),
        ("Cost", money(run.cost)),
        ("Actions", format!("{} of {} done", run.actions_done, run.actions_total)),
        ("Waiting for people", waiting),
    ]);
    text += &section("Inputs", run.inputs.as_ref());
    text += &section("Outputs", run.outputs.as_ref());
    if !run.actions.is_empty() {
        let cells: Vec<Vec<String>> = run.actions.iter().map(Row::cells).collect();
        let _ = write!(text, "\n{}", output::table(ActionView::COLUMNS, &cells));
    }
    for action in run.actions.iter().filter(|action| action.phase != "skipped") {
        if action.failure.is_some() {
            let _ = write!(text, "\n{}: {}\n", action.path, failure_of(action.failure.as_ref()));
        }
        if let Some(what) = &action.waits_for {
            let _ = write!(text, "\n{} waits for {what}\n", action.path);
        }
    }
    text
}

fn used(usage: &UsageView) -> String {
    format!("{} of processor time, {} of memory at its peak", seconds(usage.cpu_seconds), size(usage.memory_peak_bytes))
}

fn describe_action(action: &ActionView) -> String {
    let mut text = fields(&[
        ("Action", action.path.clone()),
        ("Kind", action.kind.clone()),
        ("Phase", action.phase.clone()),
        ("Waits for", action.waits_for.clone().unwrap_or_default()),
        ("Failure", failure_of(action.failure.as_ref())),
        ("Again", action.retry_at.as_deref().map(moment).unwrap_or_default()),
        ("Site", place(action.site.as_deref(), action.simulates.as_deref())),
        ("Stands for", action.simulates.clone().unwrap_or_default()),
        ("Attempts", action.attempts.to_string()),
        ("Opened", action.opened_at.as_deref().map(moment).unwrap_or_default()),
        ("Started", action.started_at.as_deref().map(moment).unwrap_or_default()),
        ("Finished", action.finished_at.as_deref().map(moment).unwrap_or_default()),
        ("Time", seconds(action.seconds)),
        ("Used", action.usage.as_ref().map(used).unwrap_or_default()),
        ("Cost", money(action.cost)),
        ("Reused", if action.reused { "an earlier output was taken".into() } else { String::new() }),
    ]);
    text += &section("Input", action.input.as_ref());
    text += &section("Output", action.output.as_ref());
    text
}

fn describe_sandbox(site: &SiteView) -> String {
    let sandbox = &site.sandbox;
    let walls = if sandbox.enforced.is_empty() { "nothing".to_owned() } else { sandbox.enforced.join(", ") };
    format!("{} ({}): {walls} enforced", sandbox.isolation, sandbox.mode)
}

/// What runs without walls where they are only preferred.
fn without_walls(site: &SiteView) -> String {
    let said =
        "without walls, unless a policy asks for `sandbox`, or with `sandbox: require`; they see none of the server's data";
    if site.sandbox.mode == "prefer" { said.to_owned() } else { String::new() }
}

/// What is kept started for work that is expected, and why.
fn kept_started(pool: &PoolView) -> String {
    format!("{} ({} without work now): {}", pool.pieces, pool.idle, pool.why)
}

fn describe_site(site: &SiteView) -> String {
    let attributes: Vec<String> = site.attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
    fields(&[
        ("Site", site.name.clone()),
        ("State", site.state.clone()),
        ("Reason", site.reason.clone()),
        ("Stands for", site.simulates.as_ref().map(|place| format!("{place} (simulated)")).unwrap_or_default()),
        ("Executor", site.executor.clone()),
        ("Sandbox", describe_sandbox(site)),
        ("Not enforced", site.sandbox.lacking.join("; ")),
        ("Flyte apps", without_walls(site)),
        ("May reach", site.sandbox.egress.join(", ")),
        ("Attributes", attributes.join(", ")),
        ("Cores", site.capacity.cpu.to_string()),
        ("Memory", size(site.capacity.memory_bytes)),
        ("Accelerators", site.capacity.gpus.to_string()),
        ("Running", site.running.to_string()),
        ("Kept started", site.pool.as_ref().map(kept_started).unwrap_or_default()),
        ("Core for an hour", money(site.cpu_hour)),
        ("GiB for an hour", money(site.memory_gib_hour)),
        ("GB that leaves", money(site.egress_gb)),
    ])
}

fn describe_trigger(trigger: &TriggerView) -> String {
    let mut text = fields(&[
        ("Trigger", trigger.name.clone()),
        ("Workflow", trigger.workflow.clone()),
        ("Starts", trigger.starts.clone()),
        ("Next", if trigger.paused { "paused".into() } else { trigger.next_due.as_deref().map(moment).unwrap_or_default() }),
        ("Last", trigger.firings.first().map(|last| format!("{}: {}", moment(&last.due), became(last))).unwrap_or_default()),
        ("Started", format!("{} runs", trigger.started).replace("1 runs", "1 run")),
        ("Left out", format!("{} firings", trigger.left_out)),
        ("Trouble", trigger.trouble.clone().unwrap_or_default()),
        ("Overlap", trigger.overlap.clone()),
        ("Catch-up", trigger.catch_up.clone()),
        ("Version", trigger.version.to_string()),
        ("Applied", moment(&trigger.applied_at)),
        ("By", trigger.principal.clone()),
    ]);
    text += &section("Inputs", trigger.definition.get("inputs"));
    if !trigger.firings.is_empty() {
        let cells: Vec<Vec<String>> = trigger.firings.iter().map(Row::cells).collect();
        let _ = write!(text, "\n{}", output::table(FiringView::COLUMNS, &cells));
    }
    text
}

fn describe_resource(resource: &ResourceView) -> String {
    let mut text = fields(&[
        (kind_title(&resource.kind), resource.name.clone()),
        ("Description", resource.body["description"].as_str().unwrap_or_default().to_owned()),
        ("Version", resource.version.to_string()),
        ("Applied", moment(&resource.applied_at)),
        ("By", resource.principal.clone()),
    ]);
    if resource.kind != "workflow" {
        return text + &section("Definition", Some(&resource.body));
    }
    let list = |key: &str| resource.body[key].as_array().cloned().unwrap_or_default();
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let inputs: Vec<Vec<String>> = list("inputs")
        .iter()
        .map(|port| {
            let default = port.get("default").map_or("(required)".to_owned(), Value::to_string);
            vec![word(&port["name"]), port["schema"]["type"].as_str().unwrap_or("any").to_owned(), default]
        })
        .collect();
    if !inputs.is_empty() {
        let _ = write!(text, "\n{}", output::table(&["INPUT", "TYPE", "DEFAULT"], &inputs));
    }
    let nodes: Vec<Vec<String>> = list("nodes").iter().map(|node| vec![word(&node["id"]), word(&node["kind"])]).collect();
    let _ = write!(text, "\n{}", output::table(&["NODE", "KIND"], &nodes));
    text
}

fn kind_title(kind: &str) -> &'static str {
    match kind {
        "workflow" => "Workflow",
        "tag" => "Tag",
        "policy" => "Policy",
        "sanitizer" => "Sanitizer",
        _ => "Connector",
    }
}
