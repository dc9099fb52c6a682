//! `tutti demo`: a story, end to end, through a server of its own and the public API.

mod evidence;
mod governed;
mod officer;
mod planned;
mod program;
mod server;
mod story;
mod summary;
mod watch;

use std::net::SocketAddr;
use std::path::PathBuf;

use api::rest::views::{ApplyResult, Page, RunView, SiteView, SubmitRequest};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::Door;
use crate::failure::{CommandError, Exit};
use crate::output::{self, Format};
use crate::session;

use server::Served;

/// Who submits the runs of the demonstration.
const SUBMITTER: &str = "demo";
/// The site that is there before any is registered.
const THIS_MACHINE: &str = "local";

/// Run a story end to end: a server, its sites, a workflow, a person who signs off.
///
/// A run of the same story that did not end, because something was killed, goes on where it was.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tutti demo bank --data .demo\n  tutti demo bank --data .demo --up")]
pub(crate) struct Demo {
    /// The story: bank.
    #[arg(default_value = "bank", value_parser = ["bank"])]
    story: String,
    /// Leave the server running in the end.
    #[arg(long)]
    up: bool,
    /// Where the server listens [default: a free port; 127.0.0.1:7200 with --up].
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// The form of what is printed in the end.
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,
}

/// Tells people what happens. Talk, so it goes to standard error.
fn say(text: &str) {
    eprintln!("{text}");
}

impl Demo {
    /// Tells the story.
    pub(crate) async fn run(self, door: &Door) -> Result<Exit, CommandError> {
        if door.server.is_some() {
            return Err(CommandError::usage("the demo starts a server of its own: give --data, not --server"));
        }
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let usual = if self.up { 7200 } else { 0 };
        let listen = self.listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], usual)));
        let mut served = Served::open(session::data_directory(door), listen).await?;
        let told = tokio::select! {
            told = self.tell(&mut served) => Some(told),
            _ = terminate.recv() => None,
            _ = interrupt.recv() => None,
        };
        let exit = match told {
            Some(Ok((exit, run))) if self.up && served.is_ours() => {
                say(&summary::try_next(&served, &run));
                let stayed = tokio::select! {
                    _ = terminate.recv() => Ok(()),
                    _ = interrupt.recv() => Ok(()),
                    stayed = served.stay_up() => stayed,
                };
                say("stopping the server");
                stayed.map(|()| exit)
            }
            Some(ended) => ended.map(|(exit, _)| exit),
            None => {
                say("interrupted: the run goes on when the demo is started again");
                Ok(Exit::Failed)
            }
        };
        served.close().await;
        exit
    }

    /// Tells the story; gives the name of the run that it is about.
    async fn tell(&self, served: &mut Served) -> Result<(Exit, String), CommandError> {
        let mut applied: ApplyResult = served.client.post("/api/v1/apply", &story::rules()).await?;
        leave_this_machine_out(served).await?;
        governed::vouch(served).await?;
        let workflow: ApplyResult = served.client.post("/api/v1/apply", &story::workflow()).await?;
        applied.applied.extend(workflow.applied);
        let changed = applied.applied.iter().filter(|applied| applied.change != "unchanged").count();
        say(&format!("three sites, the rules and the workflow {} are registered ({changed} new)", story::WORKFLOW));
        governed::refuse(served).await?;
        let run = self.submit(served).await?;
        let run = watch::to_the_end(served, &run, officer::decide).await?;
        let kept = summary::keep(served, &run).await?;
        evidence::check(served, &run.name).await?;
        let program = program::show(served).await?;
        match self.output {
            Format::Table => output::write(&summary::table(served, &run, &kept).await?)?,
            Format::Name => output::write(&format!("{}\n", run.name))?,
            form => output::value(&json!({"name": run.name, "phase": run.phase, "files": kept, "flyte": program}), form)?,
        }
        Ok((if run.phase == "succeeded" { Exit::Done } else { Exit::Failed }, run.name))
    }

    /// A new run, or the one of before that has not ended.
    async fn submit(&self, served: &Served) -> Result<String, CommandError> {
        let path = format!("/api/v1/runs?workflow={}", crate::client::segment(story::WORKFLOW));
        let known: Page<RunView> = served.client.get(&path).await?;
        let open = known.items.iter().find(|run| run.finished_at.is_none() && run.principal == SUBMITTER);
        if let Some(run) = open {
            say(&format!("the run {} of before has not ended: it goes on; {}", run.name, in_a_browser(served, &run.name)));
            return Ok(run.name.clone());
        }
        let request = SubmitRequest { workflow: story::WORKFLOW.into(), ..SubmitRequest::default() };
        let run: RunView = served.client.speaking_for(Some(SUBMITTER), &[]).post("/api/v1/runs", &request).await?;
        say(&format!("run {} is submitted; {}", run.name, in_a_browser(served, &run.name)));
        Ok(run.name)
    }
}

/// Where a run is looked at.
fn in_a_browser(served: &Served, run: &str) -> String {
    format!("in a browser: {}/runs/{}", served.client.url(), crate::client::segment(run))
}

/// Removes the site that a new directory begins with, the machine itself: it costs nothing, and would get whatever may run anywhere.
async fn leave_this_machine_out(served: &Served) -> Result<(), CommandError> {
    let sites: Vec<SiteView> = served.client.get("/api/v1/sites").await?;
    if sites.iter().any(|site| site.name == THIS_MACHINE && site.running == 0) {
        let _: Vec<SiteView> = served.client.post(&format!("/api/v1/sites/{THIS_MACHINE}/remove"), &json!({})).await?;
    }
    Ok(())
}

/// Where files for people go: below the data directory.
fn folder_of(data: &std::path::Path, run: &str) -> PathBuf {
    data.join("demo").join(run)
}
