//! Following a run to its end, and showing how it goes: a tree that moves on a terminal, plain lines elsewhere.

mod lines;
mod screen;
mod tree;

use std::time::{Duration, Instant};

use api::rest::views::RunView;

use crate::client::{Client, Lines};
use crate::failure::{CommandError, Exit};
use crate::names::{self, run_path};
use crate::session::Session;
use screen::Screen;

/// The shortest and the longest pause between two readings of the run while things happen.
const PAUSES: [Duration; 2] = [Duration::from_millis(5), Duration::from_millis(100)];
/// The run is read again after this, whatever the stream says; times of running actions are seen to grow.
const PATIENCE: Duration = Duration::from_millis(500);
/// How often the tree is drawn.
const FRAME: Duration = Duration::from_millis(100);
/// How long a server that has gone away is waited for: it may be being restarted.
const ABSENCE: Duration = Duration::from_secs(15);
/// Actions read at most.
const ACTIONS_MAX: u32 = 100_000;

/// When following ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// At the end of the run, or when nothing but decisions of people can take it further.
    People,
    /// At the end of the run.
    End,
}

/// Follows a run.
pub(crate) async fn follow(session: &Session, name: &str, until: Until) -> Result<(RunView, Exit), CommandError> {
    let client = &session.client;
    // A name that is not known is told at once.
    names::run(client, name, "?actions=1").await?;
    let mut show = Show::new();
    let followed = tokio::select! {
        followed = watch(session, name, until, &mut show) => followed,
        _ = tokio::signal::ctrl_c() => {
            // All of it: the picture stays.
            let run = client.get(&format!("{}?actions={ACTIONS_MAX}", run_path(name))).await?;
            Ok((run, Exit::Interrupted))
        }
    };
    show.end(followed.as_ref().ok().map(|(run, _)| run));
    let (run, exit) = followed?;
    match exit {
        Exit::Waiting => {
            eprintln!(
                "{} waits for a person\n  hint: `tutti get approvals {}` shows for what, `tutti approve {}` decides",
                run.name, run.name, run.name
            );
        }
        Exit::Interrupted => {
            let becomes = match session.is_local() {
                true => "stops here; the next command or server on the data directory carries it on",
                false => "goes on",
            };
            eprintln!(
                "{} {becomes}\n  hint: `tutti watch {}` follows it, `tutti cancel {}` ends it",
                run.name, run.name, run.name
            );
        }
        Exit::Failed => {
            if let Some(failure) = &run.failure {
                eprintln!("{} {}: {} ({})", run.name, run.phase, failure.message, failure.class);
            }
            // What its process wrote is what a person looks for.
            let process = run.actions.iter().find(|action| action.kind == "run" && action.failure.is_some());
            let shows = match process {
                Some(action) => format!("`tutti logs {} {}` shows what it wrote", run.name, action.path),
                None => format!("`tutti describe run {}` shows where", run.name),
            };
            eprintln!("  hint: {shows}, `tutti retry {}` repeats what did not succeed", run.name);
        }
        _ => {}
    }
    Ok((run, exit))
}

async fn watch(session: &Session, name: &str, until: Until, show: &mut Show) -> Result<(RunView, Exit), CommandError> {
    let mut away: Option<Instant> = None;
    loop {
        match attend(&session.client, name, until, show).await {
            // Following is only looking: it can begin anew with whatever has the directory then.
            Err(CommandError::Unreachable { message, .. }) if session.is_fleeting() => {
                return Err(CommandError::Unreachable { message, asked: false });
            }
            // Runs outlive servers: one that is being restarted is waited for.
            Err(CommandError::Unreachable { message, asked }) => {
                let since = *away.get_or_insert_with(|| {
                    show.say(&format!("{message}; waiting for it"));
                    Instant::now()
                });
                if since.elapsed() > ABSENCE {
                    return Err(CommandError::Unreachable { message, asked });
                }
                tokio::time::sleep(FRAME).await;
            }
            other => return other,
        }
    }
}

/// Follows a run as long as the server is there.
async fn attend(client: &Client, name: &str, until: Until, show: &mut Show) -> Result<(RunView, Exit), CommandError> {
    // Opened before the run is read, so that nothing happens unseen in between.
    let mut stream = client.lines(&format!("/api/v1/events?run={}", crate::client::segment(name))).await?;
    let began = Instant::now();
    loop {
        let asked = Instant::now();
        let run: RunView = client.get(&format!("{}?actions={ACTIONS_MAX}", run_path(name))).await?;
        show.run(&run);
        if run.finished_at.is_some() {
            return Ok((run.clone(), if run.phase == "succeeded" { Exit::Done } else { refused_or_failed(&run) }));
        }
        if until == Until::People && waits_for_people(&run) {
            return Ok((run, Exit::Waiting));
        }
        // Young runs are looked at often; a run that takes long to read, seldom.
        let pause = (began.elapsed() / 8).clamp(PAUSES[0], PAUSES[1]).max(asked.elapsed() * 4);
        let until = Instant::now() + pause;
        wait(&mut stream, show).await?;
        tokio::time::sleep_until(until.into()).await;
        drain(&mut stream).await?;
    }
}

/// Waits until something happens, and keeps the tree moving.
async fn wait(stream: &mut Lines, show: &mut Show) -> Result<(), CommandError> {
    let since = Instant::now();
    while since.elapsed() < PATIENCE {
        match tokio::time::timeout(FRAME, stream.next()).await {
            Ok(line) => return line?.map(drop).ok_or_else(gone),
            Err(_) => show.tick(),
        }
    }
    Ok(())
}

/// Takes what is there already: it is all in the next reading.
async fn drain(stream: &mut Lines) -> Result<(), CommandError> {
    while let Ok(line) = tokio::time::timeout(Duration::ZERO, stream.next()).await {
        line?.ok_or_else(gone)?;
    }
    Ok(())
}

fn gone() -> CommandError {
    CommandError::Unreachable { message: "the server has gone away".into(), asked: true }
}

fn refused_or_failed(run: &RunView) -> Exit {
    let refused = run.failure.as_ref().is_some_and(|failure| failure.class == "policy");
    if refused { Exit::Refused } else { Exit::Failed }
}

/// Whether nothing but decisions of people can take the run further.
fn waits_for_people(run: &RunView) -> bool {
    let mut open = run.actions.iter().filter(|action| !tree::is_over(&action.phase));
    // A map or a sub-workflow is as far as what is in it.
    run.waiting_for_human > 0
        && run.phase != "paused"
        && open.all(|action| matches!(action.kind.as_str(), "human" | "workflow" | "each"))
}

/// Where progress goes.
enum Show {
    Screen(Screen),
    Lines(lines::Lines),
}

impl Show {
    fn new() -> Show {
        Screen::open().map_or_else(|| Show::Lines(lines::Lines::default()), Show::Screen)
    }

    fn run(&mut self, run: &RunView) {
        match self {
            Show::Screen(screen) => screen.run(run),
            Show::Lines(lines) => lines.run(run),
        }
    }

    fn tick(&mut self) {
        if let Show::Screen(screen) = self {
            screen.tick();
        }
    }

    fn say(&mut self, text: &str) {
        match self {
            Show::Screen(screen) => screen.say(text),
            Show::Lines(_) => eprintln!("{text}"),
        }
    }

    fn end(&mut self, run: Option<&RunView>) {
        if let Show::Screen(screen) = self {
            screen.end(run);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::rest::views::ActionView;

    fn run(actions: &[(&str, &str)]) -> RunView {
        let action =
            |(kind, phase): &(&str, &str)| ActionView { kind: (*kind).into(), phase: (*phase).into(), ..ActionView::default() };
        RunView {
            waiting_for_human: 1,
            phase: "running".into(),
            actions: actions.iter().map(action).collect(),
            ..RunView::default()
        }
    }

    #[test]
    fn only_people_are_waited_for() {
        assert!(waits_for_people(&run(&[("run", "succeeded"), ("human", "running"), ("each", "running")])));
        assert!(!waits_for_people(&run(&[("human", "running"), ("run", "queued")])));
        assert!(!waits_for_people(&run(&[("human", "running"), ("wait", "running")])));
        assert!(!waits_for_people(&RunView { waiting_for_human: 0, ..run(&[("workflow", "running")]) }));
        assert!(!waits_for_people(&RunView { phase: "paused".into(), ..run(&[("human", "running")]) }));
    }
}
