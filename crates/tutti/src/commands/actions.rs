//! What single actions wrote, and why they are where they are.

use std::collections::BTreeSet;

use api::rest::views::{ActionView, ExplanationView, ResourceView, RunView};
use controlplane::FaultKind;
use http_body_util::BodyExt as _;
use placement::{Candidate, Explanation};

use crate::cli::Door;
use crate::client::{Client, segment};
use crate::failure::{CommandError, Exit};
use crate::in_process::Need;
use crate::names::{self, Kind, run_path};
use crate::output::{self, Form, Format};
use crate::session;

/// Show what the processes of a run wrote.
///
/// Of one action: its standard output on standard output and its standard error on standard error. Of a run: all of it, action by action, each
/// line under the action's name.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  tutti logs fraud-model-7 train\n  tutti logs fraud-model-7 train -f\n  tutti logs fraud-model-7"
)]
pub(crate) struct Logs {
    /// The run.
    run: String,
    /// The action; all of the run when there is none.
    action: Option<String>,
    /// Go on until it has ended.
    #[arg(short, long)]
    follow: bool,
    /// One stream only: stdout or stderr.
    #[arg(long, value_parser = ["stdout", "stderr"])]
    stream: Option<String>,
    /// Another attempt than the last.
    #[arg(long, value_name = "NUMBER")]
    attempt: Option<u32>,
}

/// How a stream is shown.
#[derive(Clone)]
struct Showing {
    stream: &'static str,
    /// What stands before every line.
    prefix: Option<String>,
}

impl Logs {
    /// Prints.
    pub(crate) async fn run(self, door: &Door) -> Result<Exit, CommandError> {
        // Who follows a run that nobody else carries on wants it carried on.
        let need = if self.follow { Need::Change } else { Need::Look };
        session::with(door, need, async |session| match &self.action {
            Some(action) => self.one(&session.client, action, None).await,
            None => self.all(&session.client).await,
        })
        .await?;
        Ok(Exit::Done)
    }

    fn streams(&self) -> Vec<&'static str> {
        ["stdout", "stderr"].into_iter().filter(|name| self.stream.as_deref().is_none_or(|wanted| wanted == *name)).collect()
    }

    /// Both streams of one action, at once.
    async fn one(&self, client: &Client, action: &str, prefix: Option<&str>) -> Result<(), CommandError> {
        if self.follow {
            self.wait_for_process(client, action).await?;
        }
        let attempt = self.attempt.map(|attempt| format!("&attempt={attempt}")).unwrap_or_default();
        let copies = self.streams().into_iter().map(|stream| {
            let path =
                format!("{}/logs?path={}&stream={stream}&follow={}{attempt}", run_path(&self.run), segment(action), self.follow);
            copy(client, path, Showing { stream, prefix: prefix.map(str::to_owned) })
        });
        match futures::future::try_join_all(copies).await {
            Ok(_) => Ok(()),
            Err(error) if prefix.is_none() => Err(names::suggest_action(client, &self.run, action, error).await),
            Err(error) => Err(error),
        }
    }

    /// Waits until an action has a process, or has ended without one.
    async fn wait_for_process(&self, client: &Client, action: &str) -> Result<(), CommandError> {
        let path = format!("{}/action?path={}", run_path(&self.run), segment(action));
        let mut events = client.lines(&format!("/api/v1/events?run={}", segment(&self.run))).await?;
        loop {
            let view: ActionView = match client.get(&path).await {
                Ok(view) => view,
                Err(error) if self.is_to_come(client, action).await => {
                    drop(error);
                    ActionView::default()
                }
                Err(error) => return Err(names::suggest_action(client, &self.run, action, error).await),
            };
            if view.started_at.is_some()
                || (view.site.is_some() && view.waits_for.is_none())
                || view.finished_at.is_some()
                || view.phase == "skipped"
            {
                return Ok(());
            }
            if events.next().await?.is_none() {
                return Err(CommandError::unreachable(&client.url(), true, &"it has gone away"));
            }
        }
    }

    /// Whether an action that is not there yet may still be opened: its node is one of the workflow's, and the run goes on.
    async fn is_to_come(&self, client: &Client, action: &str) -> bool {
        let Ok(run) = names::run(client, &self.run, "?actions=1").await else { return false };
        let path = names::resource_path(Kind::Workflow, &run.workflow);
        let Ok(workflow) = client.get::<ResourceView>(&path).await else { return false };
        let node = action.split(['/', '[']).next().unwrap_or_default();
        let known = workflow.body["nodes"].as_array().is_some_and(|nodes| nodes.iter().any(|known| known["id"] == node));
        known && run.finished_at.is_none()
    }

    /// Every action of the run that has a process.
    async fn all(&self, client: &Client) -> Result<(), CommandError> {
        let mut events = client.lines(&format!("/api/v1/events?run={}", segment(&self.run))).await?;
        let mut shown: BTreeSet<String> = BTreeSet::new();
        loop {
            let run = names::run(client, &self.run, "?actions=100000").await?;
            for action in run.actions.iter().filter(|action| has_log(action)) {
                if shown.insert(action.path.clone()) {
                    match self.one(client, &action.path, Some(&action.path)).await {
                        Err(CommandError::Problem(problem)) if problem.code == "E0002" => {}
                        other => other?,
                    }
                }
            }
            if !self.follow || run.finished_at.is_some() {
                return Ok(());
            }
            if events.next().await?.is_none() {
                return Err(CommandError::unreachable(&client.url(), true, &"it has gone away"));
            }
        }
    }
}

fn has_log(action: &ActionView) -> bool {
    action.kind == "run" && action.site.is_some()
}

/// Copies a stream to where it belongs.
async fn copy(client: &Client, path: String, showing: Showing) -> Result<(), CommandError> {
    let (gone, mut body) = client.log(&path).await?;
    if gone > 0 {
        eprintln!("({} of the log before this are not kept)", output::size(gone));
    }
    let mut rest: Vec<u8> = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| CommandError::of(FaultKind::Unreachable, format!("the log broke off: {error}")))?;
        let Some(data) = frame.data_ref() else { continue };
        let Some(prefix) = &showing.prefix else {
            put(showing.stream, data)?;
            continue;
        };
        rest.extend_from_slice(data);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            put(showing.stream, &[format!("{prefix} | ").as_bytes(), &line].concat())?;
        }
    }
    if let Some(prefix) = showing.prefix.filter(|_| !rest.is_empty()) {
        put(showing.stream, &[format!("{prefix} | ").as_bytes(), &rest, b"\n"].concat())?;
    }
    Ok(())
}

fn put(stream: &str, bytes: &[u8]) -> Result<(), CommandError> {
    use std::io::Write as _;
    if stream == "stdout" {
        return output::bytes(bytes);
    }
    Ok(std::io::stderr().lock().write_all(bytes)?)
}

/// Show why actions run where they run, or wait, or nowhere.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tutti explain fraud-model-7 train\n  tutti explain fraud-model-7 -o json")]
pub(crate) struct Explain {
    /// The run.
    run: String,
    /// The action; all that had to be placed when there is none.
    action: Option<String>,
    #[command(flatten)]
    form: Form,
}

impl Explain {
    /// Prints.
    pub(crate) async fn run(self, door: &Door) -> Result<Exit, CommandError> {
        session::with(door, Need::Look, async |session| self.print(&session.client).await).await?;
        Ok(Exit::Done)
    }

    async fn print(&self, client: &Client) -> Result<(), CommandError> {
        let query = self.action.as_ref().map(|action| format!("?path={}", segment(action))).unwrap_or_default();
        let views: Vec<ExplanationView> = match client.get(&format!("{}/explain{query}", run_path(&self.run))).await {
            Ok(views) => views,
            Err(error) => {
                let action = self.action.as_deref().unwrap_or_default();
                return Err(names::suggest_action(client, &self.run, action, error).await);
            }
        };
        match self.form.output {
            Format::Table => {
                let run: RunView = names::run(client, &self.run, "?actions=1").await?;
                output::write(&views.iter().map(explanation).collect::<Vec<_>>().join("\n"))?;
                if views.is_empty() {
                    eprintln!("nothing of `{}` needed a place", run.name);
                }
                Ok(())
            }
            Format::Name => output::write(&views.iter().map(|view| format!("{}\n", view.path)).collect::<String>()),
            form => output::value(&views, form),
        }
    }
}

fn explanation(view: &ExplanationView) -> String {
    let mut text = format!("{} ({}): {}\n", view.path, view.phase, view.summary);
    let Ok(placement) = serde_json::from_value::<Explanation>(view.placement.clone()) else { return text };
    text += &format!("rule: {}\n", placement.rule);
    if let Some(planned) = &placement.instead_of {
        text += &format!("the run's plan had named `{planned}`\n");
    }
    if let Some(bounds) = &placement.bounds {
        text += &format!("bounds: {bounds}\n");
    }
    text + &candidates(&placement.sites)
}

/// Sites with their terms, as a table.
pub(crate) fn candidates(sites: &[Candidate]) -> String {
    let cells: Vec<Vec<String>> = sites
        .iter()
        .map(|site| {
            let verdict = serde_json::to_value(site.verdict).ok();
            vec![
                if site.simulated { format!("{} (simulated)", site.site) } else { site.site.clone() },
                verdict.and_then(|verdict| verdict.as_str().map(str::to_owned)).unwrap_or_default(),
                output::money(site.compute_per_hour.units()),
                output::money(site.expected.units()),
                terms(site),
                if site.wait_s > 0.0 { output::seconds(site.wait_s) } else { "-".into() },
                output::size(site.bytes_to_bring),
                reasons(site),
            ]
        })
        .collect();
    output::table(&["  SITE", "VERDICT", "PER HOUR", "EXPECTED", "OF THAT", "WAIT", "TO BRING", "WHY"], &indented(cells))
}

/// What the expected price is made of.
fn terms(site: &Candidate) -> String {
    let parts = [
        ("compute", site.compute),
        ("boot", site.boot),
        ("egress", site.egress),
        ("preemption", site.preemption),
        ("repeats", site.repeats),
        ("lateness", site.late),
    ];
    let shown =
        parts.into_iter().filter(|(_, part)| part.0 > 0).map(|(name, part)| format!("{name} {}", output::money(part.units())));
    let shown: Vec<String> = shown.collect();
    if shown.is_empty() { "-".into() } else { shown.join(", ") }
}

/// Why a site was or was not chosen, what the numbers rest on, and what would have to change.
fn reasons(site: &Candidate) -> String {
    let mut text = site.why.clone();
    if let Some((term, by)) = &site.lost_on {
        text += &format!("; lost on {term} by {}", output::money(by.units()));
    }
    if let Some(started) = &site.started {
        text += &format!("; no boot: {started}");
    }
    if let Some(would) = &site.would {
        text += &format!("; it would take {would}");
    }
    if let (Some([low, mid, high]), Some((basis, samples))) = (site.runs_s, &site.basis) {
        let (low, mid, high) = (output::seconds(low), output::seconds(mid), output::seconds(high));
        text += &format!("; runs {mid} ({low} to {high}; {basis}, {samples} seen)");
    }
    text
}

fn indented(mut cells: Vec<Vec<String>>) -> Vec<Vec<String>> {
    for row in &mut cells {
        row[0].insert_str(0, "  ");
    }
    cells
}
