//! What this machine can enforce: found out by trying it in a process of its own, never by version numbers.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::enter::{self, NotStarted, Order};
use super::runtime::Runtime;
use super::{Attempt, Layers, Site, Walls};
use crate::shim;

/// Starts that are timed when somebody asks for it.
const STARTS: u32 = 50;

/// What a machine enforces around the processes of attempts, and what it does not.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Isolation {
    /// What works.
    pub layers: Layers,
    /// Whether the kernel keeps limits of memory, through control groups.
    pub memory: bool,
    /// Whether the kernel keeps limits of processes, through control groups.
    pub processes: bool,
    /// What does not work, and why.
    pub lacking: Vec<String>,
}

impl Isolation {
    /// The tier, as the attribute `isolation` of a site has it: `sandbox` when every wall stands, `partial` when some do, `none`.
    pub fn tier(&self) -> &'static str {
        match self.layers {
            Layers::ALL => "sandbox",
            none if none == Layers::default() => "none",
            _ => "partial",
        }
    }

    /// Of a machine about which nothing could be found out.
    pub fn unknown(why: impl Into<String>) -> Isolation {
        Isolation { lacking: vec![why.into()], ..Isolation::default() }
    }
}

/// Asks a wrapper what works here. The caller may have threads; the wrapper has none.
pub fn probe((program, arguments): &(PathBuf, Vec<String>)) -> Isolation {
    let mut command = Command::new(program);
    command.args(arguments).arg(shim::PROBE).env_clear().current_dir("/");
    let answered = match command.output() {
        Ok(answered) => answered,
        Err(error) => return Isolation::unknown(format!("the wrapper could not be started: {error}")),
    };
    serde_json::from_slice(&answered.stdout)
        .unwrap_or_else(|_| Isolation::unknown(format!("the wrapper did not say what works ({})", answered.status)))
}

/// The answer of a wrapper, on its standard output.
pub(crate) fn answer(memory: bool, processes: bool) -> std::io::Result<()> {
    let folder = std::env::temp_dir().join(format!("tutti-probe-{}", std::process::id()));
    let work = folder.join("work");
    std::fs::create_dir_all(work.join("in"))?;
    let folder = folder.canonicalize()?;
    let isolation = find_out(&folder, memory, processes);
    let removed = std::fs::remove_dir_all(&folder);
    println!("{}", serde_json::to_string(&isolation)?);
    removed
}

fn find_out(folder: &Path, memory: bool, processes: bool) -> Isolation {
    let mut isolation = Isolation { memory, processes, ..Isolation::default() };
    for (has, what) in [(memory, "memory"), (processes, "processes")] {
        if !has {
            isolation.lacking.push(format!("no control group for {what}: watched by sampling instead"));
        }
    }
    if attempt(folder, Layers::ALL).is_ok() {
        isolation.layers = Layers::ALL;
        return isolation;
    }
    // One after the other, each on top of what works.
    let mut layers = Layers::default();
    let kinds: [(&str, fn(&mut Layers)); 4] = [
        ("namespaces", |layers| layers.namespaces = true),
        ("a network of its own", |layers| layers.network = true),
        ("Landlock", |layers| layers.landlock = true),
        ("the filter of system calls", |layers| layers.seccomp = true),
    ];
    for (what, add) in kinds {
        let mut more = layers;
        add(&mut more);
        match attempt(folder, more) {
            Ok(()) => layers = more,
            Err(why) => isolation.lacking.push(format!("no {what}: {why}")),
        }
    }
    isolation.layers = layers;
    isolation
}

/// How long it takes to build walls, run a program within them that succeeds, and see it end and the walls go: what a step costs at
/// least. For benches. The caller has one thread.
pub fn time_starts(layers: Layers, path: &str, rounds: u32, command: &[&str]) -> Result<Vec<Duration>, String> {
    let folder = std::env::temp_dir().join(format!("tutti-starts-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("work/in")).map_err(|error| error.to_string())?;
    let folder = folder.canonicalize().map_err(|error| error.to_string())?;
    let runtime = Runtime::of(path, &[]);
    let times: Result<Vec<Duration>, String> = (0..rounds)
        .map(|_| {
            let began = Instant::now();
            run(&folder, layers, &runtime, command).map(|()| began.elapsed())
        })
        .collect();
    let _ = std::fs::remove_dir_all(&folder);
    times
}

/// Prints how many microseconds each of some starts within walls takes, as JSON. The caller has one thread.
pub(crate) fn answer_starts() -> std::io::Result<()> {
    let path = std::env::var("PATH").unwrap_or_default();
    let times = time_starts(Layers::ALL, &path, STARTS, &["true"]).map_err(std::io::Error::other)?;
    let micros: Vec<f64> = times.iter().map(|time| time.as_secs_f64() * 1e6).collect();
    println!("{}", serde_json::to_string(&micros)?);
    Ok(())
}

/// Runs a program that does nothing within walls.
fn attempt(folder: &Path, layers: Layers) -> Result<(), String> {
    run(folder, layers, &Runtime::of("/usr/bin:/bin", &[]), &["/bin/sh", "-c", "exit 0"])
}

fn run(folder: &Path, layers: Layers, runtime: &Runtime, command: &[&str]) -> Result<(), String> {
    let open = File::open(folder).map_err(|error| error.to_string())?;
    let attempts = folder.parent().unwrap_or(folder).to_owned();
    let site = Site { layers, attempts, runtime: runtime.clone(), ..Site::default() };
    let attempt = Attempt { folder: folder.to_owned(), work: folder.join("work"), ..Attempt::default() };
    let walls = Walls { site, attempt, lacking: Vec::new() };
    let command = command.iter().map(|&part| part.to_owned()).collect();
    let mut inside = match enter::start(None, &open, &Order { command, environment: Vec::new(), walls }) {
        Ok(inside) => inside,
        Err(NotStarted::Walls(broken)) => return Err(format!("{}: {}", broken.step, broken.error)),
        Err(NotStarted::Command(error)) => return Err(format!("starting a program: {error}")),
    };
    let pid = i32::try_from(inside.leader).ok().and_then(rustix::process::Pid::from_raw);
    let waited = rustix::process::waitpid(pid, rustix::process::WaitOptions::empty()).map_err(|error| error.to_string())?;
    let code = match inside.ended() {
        Some(told) => told.status.code(),
        None => waited.and_then(|(_, status)| status.exit_status()),
    };
    if code == Some(0) { Ok(()) } else { Err(format!("a program ended with {code:?}")) }
}
