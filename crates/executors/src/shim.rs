//! The wrapper under which every process runs. It lives as long as the process and outlives the server: it captures the output, counts
//! what is used, stops what runs too long or takes too much, and writes the completion record. No runtime and no threads.
//!
//! A wrapper serves one attempt at a time, and many after one another: the server hands it folders of attempts, each ended by a zero byte,
//! on its standard input, and hears [`Word`]s on its standard output. When the server is gone, so is the input: the wrapper ends with the
//! attempt it has.

mod ahead;
mod control;
mod groups;
mod host;
mod logs;
mod reap;
mod tree;
mod watch;

use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use failpoint::Point;
use keyring::Secret;
use model::graph::Port;
use model::{AttemptKey, Epoch, Failure, FailureClass};
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::Stream;
use crate::record::{self, CompletionRecord};
use crate::sandbox::cover::Cover;
use crate::sandbox::enter::{self, Inside, NotStarted, Order, Ready};
use crate::sandbox::{Broken, Walls, answer_probe, answer_starts};
use crate::secrets;
use ahead::Ahead;
pub(crate) use control::{ask_to_stop, make as make_control, remove as remove_control};
use groups::Groups;
pub(crate) use groups::{clear_abandoned, kill_group_of};
use host::Host;
pub(crate) use logs::{are_empty as logs_are_empty, read as read_log};
pub(crate) use tree::{kill_marked, start_time};

/// What the wrapper is told, in `shim.json`.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct ShimSpec {
    pub(crate) attempt: AttemptKey,
    pub(crate) epoch: Epoch,
    pub(crate) command: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    /// The work folder, below the attempt's folder.
    pub(crate) work: String,
    /// Bytes of memory for all processes together; 0 for no limit.
    pub(crate) memory_bytes: u64,
    /// Whether the node asked for that much, or it is all that the site has.
    pub(crate) memory_asked: bool,
    /// Processes and threads at once.
    pub(crate) processes_max: u32,
    /// Bytes of one file.
    pub(crate) file_bytes_max: u64,
    /// Microseconds it may take; 0 for no limit.
    pub(crate) timeout_us: u64,
    /// Microseconds between the polite request to stop and force.
    pub(crate) grace_us: u64,
    /// Bytes of artifacts that were laid out.
    pub(crate) bytes_in: u64,
    /// The declared outputs, for collecting after a restart.
    pub(crate) ports: Vec<Port>,
    /// The walls around it; none where it runs as the server does.
    #[serde(default)]
    pub(crate) walls: Option<Walls>,
    /// What it is not shown where it has no walls.
    #[serde(default)]
    pub(crate) cover: Option<Cover>,
    /// What this machine does not enforce around it though it has no walls.
    #[serde(default)]
    pub(crate) lacking: Vec<String>,
    /// What a process is told that is there already; without one the command is started.
    #[serde(default)]
    pub(crate) host: Option<HostSpec>,
}

/// What a process that is there already is told beside its environment.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct HostSpec {
    /// Instead of the command.
    pub(crate) arguments: Vec<String>,
    /// Whether it stays for the next attempt.
    pub(crate) keep: bool,
    /// Where one that stays is at home.
    pub(crate) home: String,
}

/// The code of a failure to build walls.
const WALLS: &str = "E0034";
/// Asks what walls this machine can build.
pub(crate) const PROBE: &str = "--probe";
/// Asks what starting something within walls costs.
const STARTS: &str = "--starts";
/// Has this process become another program, with what it is not shown before that on the command line.
pub(crate) const COVERED: &str = "--covered";
pub(crate) const SPEC: &str = "shim.json";
/// Holds the wrapper's process id and start time; created by the wrapper that won.
pub(crate) const OWNER: &str = "shim.pid";
/// Bytes of `shim.json` and of other files that the wrapper and the server leave each other.
pub(crate) const NOTE_BYTES_MAX: u64 = 16 << 20;

/// What the processes of an attempt have done so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Activity {
    /// Bytes that they have printed.
    pub log_bytes: u64,
    /// Microseconds of processor time that they have used, those that ended among them as far as somebody waited for them.
    pub cpu_us: u64,
}

/// What the processes below a wrapper have done; none when there are none.
pub(crate) fn activity(folder: &Path, wrapper: u32) -> Option<Activity> {
    let log_bytes = [Stream::Stdout, Stream::Stderr].into_iter().map(|stream| logs::end(folder, stream)).sum();
    Some(Activity { log_bytes, cpu_us: tree::cpu_us_below(wrapper)? })
}

/// What a wrapper tells its server, a byte each; none that any text has in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Word {
    /// It has the attempt.
    Taken = 1,
    /// Another wrapper has the attempt.
    Lost = 2,
    /// The attempt has ended, and its record is there.
    Done = 3,
    /// As [`Word::Done`], and the process that it had is there for another attempt.
    Kept = 4,
}

/// The program. With `folder` it serves that attempt and ends; without it, or with a child that it finds itself with, it serves those it is
/// told on its standard input. With `--probe` it says what walls this machine can build, with
/// `--starts` what starting something within them costs.
pub fn main(folder: Option<OsString>) -> ExitCode {
    serve_in(Groups::join, folder)
}

/// The program as it is where no control groups can be made.
pub fn main_without_groups(folder: Option<OsString>) -> ExitCode {
    serve_in(Groups::default, folder)
}

fn serve_in(groups: fn() -> Groups, folder: Option<OsString>) -> ExitCode {
    if folder.as_ref().is_some_and(|folder| folder == COVERED) {
        let error = become_covered();
        eprintln!("{error}");
        return ExitCode::FAILURE;
    }
    // A session of its own: no terminal, and no signal meant for the server's.
    let _ = rustix::process::setsid();
    // Orphans of the process become ours, so that none outlives it.
    if rustix::process::set_child_subreaper(Some(rustix::process::getpid())).is_err() {
        return ExitCode::FAILURE;
    }
    let groups = groups();
    let mut host = Host::of(folder.as_deref());
    if let Some(host) = &host {
        host.adopt(&groups);
    }
    let served = match folder {
        Some(folder) if folder == PROBE => answer_probe(groups.keep_memory(), groups.keep_processes()),
        Some(folder) if folder == STARTS => answer_starts(),
        Some(folder) if host.is_none() => run(Path::new(&folder), &groups, &mut None, &mut Ahead::default()).map(drop),
        _ => serve(&groups, &mut host),
    };
    if host.is_some() {
        // A child that stayed has no more to do. It leads a group of its own, and ours is that of the wrapper itself.
        tree::kill_all(0, &tree::Spared::default(), &mut || reap::Reaper::new(0).reap());
    }
    groups.remove();
    // Nobody reads this; the absence of a record says that the wrapper failed.
    if served.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Becomes the program on the command line, covered as that says. Comes back with why it could not.
fn become_covered() -> std::io::Error {
    let mut arguments = std::env::args_os().skip_while(|argument| argument != COVERED).skip(1);
    let malformed = || std::io::Error::from(std::io::ErrorKind::InvalidInput);
    let (Some(cover), Some(program)) = (arguments.next(), arguments.next()) else { return malformed() };
    let Some(cover) = cover.to_str().and_then(|text| serde_json::from_str::<Cover>(text).ok()) else { return malformed() };
    match cover.put_on() {
        Ok(()) => Command::new(program).args(arguments).exec(),
        Err(error) => error,
    }
}

fn serve(groups: &Groups, host: &mut Option<Host>) -> std::io::Result<()> {
    let (mut orders, mut pending, mut ahead) = (std::io::stdin().lock(), Vec::new(), Ahead::default());
    loop {
        while let Some(end) = pending.iter().position(|byte| *byte == 0) {
            let mut folder: Vec<u8> = pending.drain(..=end).collect();
            folder.pop();
            let folder = PathBuf::from(OsString::from_vec(folder));
            let taken = run(&folder, groups, host, &mut ahead)?;
            say(match (taken, &host) {
                (false, _) => Word::Lost,
                (true, Some(_)) => Word::Kept,
                (true, None) => Word::Done,
            });
        }
        ahead.use_the_pause(groups);
        let mut buffer = [0; 4096];
        match orders.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => pending.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Tells the server, which may be gone.
fn say(word: Word) {
    let mut out = std::io::stdout();
    let _ = out.write_all(&[word as u8]).and_then(|()| out.flush());
}

/// Serves one attempt. False when it is another wrapper's.
fn run(folder: &Path, groups: &Groups, host: &mut Option<Host>, ahead: &mut Ahead) -> std::io::Result<bool> {
    // By its descriptor from here on: a later server may put a new folder in the place of this one.
    let Ok(opened) = std::fs::File::open(folder) else { return Ok(false) };
    let folder = PathBuf::from(format!("/proc/self/fd/{}", opened.as_raw_fd()));
    let folder = folder.as_path();
    // An attempt without orders is being prepared anew by a later server, which has a wrapper of its own for it.
    let spec = record::read_note(folder, SPEC).ok().and_then(|bytes| serde_json::from_slice::<ShimSpec>(&bytes).ok());
    let Some(spec) = spec else { return Ok(false) };
    let control = control::open(folder)?;
    if !claim(folder)? {
        return Ok(false);
    }
    let secrets = secrets::take(folder);
    say(Word::Taken);
    failpoint::hit(Point::WrapperClaimed);
    // Space for the record, so that a process that fills the disk does not also take the place of what says so.
    let reserved = record::reserve(folder);
    let ready = ahead.take(&spec);
    let mut unenforced = groups.limit(&spec);
    unenforced.extend(spec.lacking.iter().cloned());
    unenforced.extend(spec.walls.iter().flat_map(|walls| walls.lacking.iter().cloned()));
    let began = Instant::now();
    let given = host.take();
    let (ended, mut usage) = match start(folder, &opened, &spec, &secrets, given.as_ref(), ready) {
        Ok(started) => watch::until_the_end(folder, &spec, started, &secrets, &control, groups, began)?,
        Err(failure) => (watch::Ended { failure: Some(failure), ..watch::Ended::default() }, engine::event::Usage::default()),
    };
    usage.bytes_in = spec.bytes_in;
    let watch::Ended { failure, stopped, kept, leaving } = ended;
    ahead.is_leaving(leaving);
    *host = given.filter(|_| kept);
    let (attempt, epoch, boot) = (spec.attempt, spec.epoch, record::boot());
    failpoint::hit(Point::WrapperBeforeRecord);
    CompletionRecord { attempt, epoch, failure, stopped, usage, unenforced, boot }.create(folder, reserved)?;
    failpoint::hit(Point::WrapperAfterRecord);
    Ok(true)
}

/// Takes the attempt: of two wrappers started for it one wins. A server that finds an attempt without an owner takes it in the same way
/// before it clears it away, so that no wrapper of an earlier server begins it late.
pub(crate) fn claim(folder: &Path) -> std::io::Result<bool> {
    let text = format!("{} {}", std::process::id(), start_time(std::process::id()).unwrap_or_default());
    // Written beside and linked, so that whoever sees the file sees all of it.
    let beside = folder.join(format!(".{OWNER}.{}", std::process::id()));
    std::fs::File::create(&beside)?.write_all(text.as_bytes())?;
    let linked = std::fs::hard_link(&beside, folder.join(OWNER));
    std::fs::remove_file(&beside)?;
    match linked {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        other => other.map(|()| true),
    }
}

/// A process of an attempt that has begun.
pub(crate) struct Started<'h> {
    /// The process that leads its group.
    leader: u32,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
    /// What there is more of it within walls.
    inside: Option<Inside>,
    /// What is around it when it went into them by itself.
    around: host::Around,
    /// Processor time that it had used before.
    before_us: u64,
    /// The process that was there before.
    host: Option<&'h Host>,
    /// Whether that one stays, and says how the attempt ended.
    keeps: bool,
}

impl Started<'_> {
    /// A process that was started for the attempt.
    fn new(leader: u32, stdout: Option<OwnedFd>, stderr: Option<OwnedFd>) -> Self {
        Started { leader, stdout, stderr, inside: None, around: host::Around::default(), before_us: 0, host: None, keeps: false }
    }
}

fn start<'h>(
    folder: &Path,
    opened: &std::fs::File,
    spec: &ShimSpec,
    secrets: &[Secret],
    host: Option<&'h Host>,
    ready: Option<Ready>,
) -> Result<Started<'h>, Failure> {
    // Secrets go to nothing that was there before or stays: the orders say so too.
    if let (Some(host), Some(told), []) = (host, &spec.host, secrets) {
        match host.begin(folder, opened, spec, told) {
            Ok(host::Begun { pid, stdout, stderr, before_us, around }) => {
                let started = Started::new(pid, Some(stdout), Some(stderr));
                return Ok(Started { around, before_us, host: Some(host), keeps: told.keep, ..started });
            }
            Err(host::Unbegun::Walls(broken)) => {
                host.give_up();
                return Err(no_walls(&broken));
            }
            // It is started instead.
            Err(host::Unbegun::Gone) => drop(host.leave_walls()),
        }
    }
    let broken = broken_by;
    let (program, arguments) = spec.command.split_first().ok_or_else(|| broken("the command is empty".into()))?;
    for (resource, limit) in inherited_limits(spec) {
        // A limit above what the wrapper itself has cannot be set, and need not be.
        let _ = setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) });
    }
    let environment: Vec<(String, String)> = spec
        .environment
        .iter()
        .map(|(name, value)| (name.clone(), secrets::value_of(value, secrets).unwrap_or_default().to_owned()))
        .collect();
    // Inherited: when memory runs out, the kernel takes the process before its wrapper or the server.
    tree::offer_for_memory(true);
    let started = match &spec.walls {
        Some(walls) => {
            let order = Order { command: spec.command.clone(), environment, walls: walls.clone() };
            enter::start(ready, opened, &order).map(|mut inside| {
                let started = Started::new(inside.leader, inside.stdout.take(), inside.stderr.take());
                Started { inside: Some(inside), ..started }
            })
        }
        None => {
            let mut command = Command::new(program);
            command.args(arguments).env_clear().envs(environment);
            start_open(folder, spec, &mut command).map_err(NotStarted::Command)
        }
    };
    tree::offer_for_memory(false);
    let error = match started {
        Ok(started) => return Ok(started),
        Err(NotStarted::Walls(broken)) => return Err(no_walls(&broken)),
        Err(NotStarted::Command(error)) => error,
    };
    Err(match error.kind() {
        std::io::ErrorKind::NotFound => broken(format!("there is no program `{program}` at this site")),
        std::io::ErrorKind::PermissionDenied => broken(format!("`{program}` may not be executed")),
        std::io::ErrorKind::StorageFull => Failure::new(FailureClass::DiskFull, "the site's disk is full"),
        _ => broken(format!("`{program}` could not be started: {error}")),
    })
}

fn no_walls(Broken { step, error }: &Broken) -> Failure {
    Failure { code: Some(WALLS.into()), ..broken_by(format!("the walls around it could not be built: {step}: {error}")) }
}

fn broken_by(message: String) -> Failure {
    Failure::new(FailureClass::Environment, message)
}

/// Starts a command as this process itself runs.
fn start_open(folder: &Path, spec: &ShimSpec, command: &mut Command) -> std::io::Result<Started<'static>> {
    command.current_dir(folder.join(&spec.work)).process_group(0);
    if let Some(cover) = spec.cover.clone() {
        put_on(cover, command);
    }
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let (stdout, stderr) = (child.stdout.take().map(OwnedFd::from), child.stderr.take().map(OwnedFd::from));
    Ok(Started::new(child.id(), stdout, stderr))
}

/// Has what a command becomes be covered before it begins.
#[expect(unsafe_code, reason = "the child does it for itself, between its beginning and the command")]
fn put_on(cover: Cover, command: &mut Command) {
    // SAFETY: the wrapper has one thread, so that no lock is held in the child by anybody who is not there.
    unsafe { command.pre_exec(move || cover.put_on()) };
}

/// Limits that processes inherit. They are the same for every attempt that a wrapper serves.
fn inherited_limits(spec: &ShimSpec) -> host::Limits {
    [(Resource::Core, 0), (Resource::Fsize, spec.file_bytes_max), (Resource::Nofile, 4_096)]
}
