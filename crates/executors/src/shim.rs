//! The wrapper under which every process runs. It lives as long as the process and outlives the server: it captures the output, counts
//! what is used, stops what runs too long or takes too much, and writes the completion record. No runtime, no threads but the pumps.

mod control;
mod limits;
mod logs;
mod tree;

use std::ffi::OsString;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::time::{Duration as StdDuration, Instant};

use engine::event::Usage;
use model::{AttemptKey, Epoch, Failure, FailureClass};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::record::CompletionRecord;
pub(crate) use control::{ask_to_stop, make as make_control};
pub(crate) use logs::read as read_log;
pub(crate) use tree::start_time;

/// What the wrapper is told, in `shim.json`.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct ShimSpec {
    pub(crate) attempt: AttemptKey,
    pub(crate) epoch: Epoch,
    pub(crate) command: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    /// The work folder, below the attempt's folder.
    pub(crate) work: String,
    /// Bytes of memory for all processes together; 0 for no limit.
    pub(crate) memory_bytes: u64,
    /// Processes and threads at once.
    pub(crate) processes_max: u32,
    /// Bytes of one file.
    pub(crate) file_bytes_max: u64,
    /// Microseconds it may take; 0 for no limit.
    pub(crate) timeout_us: u64,
    /// Microseconds between the polite request to stop and force.
    pub(crate) grace_us: u64,
}

pub(crate) const SPEC: &str = "shim.json";
/// Holds the wrapper's process id and start time; created by the wrapper that won.
pub(crate) const OWNER: &str = "shim.pid";

/// The program: `DIR` is the attempt's folder.
pub fn main(folder: Option<OsString>) -> ExitCode {
    let Some(folder) = folder else { return ExitCode::from(2) };
    match run(Path::new(&folder)) {
        Ok(()) => ExitCode::SUCCESS,
        // Nobody reads this; the absence of a record says that the wrapper failed.
        Err(_) => ExitCode::FAILURE,
    }
}

fn run(folder: &Path) -> std::io::Result<()> {
    if !claim(folder)? {
        return Ok(());
    }
    let spec: ShimSpec = serde_json::from_slice(&std::fs::read(folder.join(SPEC))?)?;
    // Orphans of the process become ours, so that none outlives it.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let control = control::open(folder)?;
    let (confinement, unenforced) = limits::confine(&spec);
    let began = Instant::now();
    let ended = match start(folder, &spec) {
        Ok(mut child) => {
            let pumps = logs::pump(folder, &mut child)?;
            let ended = watch(&spec, &mut child, &control, &confinement, began)?;
            tree::kill_all(child.id());
            pumps.into_iter().for_each(|pump| drop(pump.join()));
            ended
        }
        Err(failure) => Ended { failure: Some(failure), ..Ended::default() },
    };
    let usage = usage(began, ended.memory_peak.max(confinement.memory_peak()));
    confinement.remove();
    let Ended { failure, stopped, .. } = ended;
    let record = CompletionRecord { attempt: spec.attempt, epoch: spec.epoch, failure, stopped, usage, unenforced };
    record.create(folder).map(drop)
}

/// Takes the attempt: of two wrappers started for it one wins.
fn claim(folder: &Path) -> std::io::Result<bool> {
    use std::io::Write as _;
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

fn start(folder: &Path, spec: &ShimSpec) -> Result<Child, Failure> {
    let broken = |message: String| Failure::new(FailureClass::Environment, message);
    let (program, arguments) = spec.command.split_first().ok_or_else(|| broken("the command is empty".into()))?;
    limits::set_inherited(spec);
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(spec.environment.iter().cloned());
    command
        .current_dir(folder.join(&spec.work))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    command.spawn().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => broken(format!("there is no program `{program}` at this site")),
        std::io::ErrorKind::PermissionDenied => broken(format!("`{program}` may not be executed")),
        _ => broken(format!("`{program}` could not be started: {error}")),
    })
}

#[derive(Default)]
struct Ended {
    failure: Option<Failure>,
    stopped: bool,
    memory_peak: u64,
}

/// Waits for the process, its deadline, its limits and an order to stop.
fn watch(
    spec: &ShimSpec,
    child: &mut Child,
    control: &control::Control,
    confinement: &limits::Confinement,
    began: Instant,
) -> std::io::Result<Ended> {
    let pid = rustix::process::Pid::from_child(child);
    let process = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())?;
    let mut ended = Ended::default();
    let mut force_at: Option<Instant> = None;
    let mut cause: Option<Failure> = None;
    let deadline = (spec.timeout_us > 0).then(|| began + StdDuration::from_micros(spec.timeout_us));
    loop {
        let sample = sampling_pause(began);
        let next = [Some(Instant::now() + sample), deadline.filter(|_| cause.is_none()), force_at].into_iter().flatten().min();
        let pause = next.map_or(sample, |next| next.saturating_duration_since(Instant::now()));
        let pause = Timespec { tv_sec: pause.as_secs() as i64, tv_nsec: i64::from(pause.subsec_nanos()) };
        let mut ready = [PollFd::new(&process, PollFlags::IN), PollFd::new(control, PollFlags::IN)];
        match poll(&mut ready, Some(&pause)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let (exited, ordered) = (!ready[0].revents().is_empty(), !ready[1].revents().is_empty());
        if exited {
            let status = child.wait()?;
            ended.memory_peak = ended.memory_peak.max(confinement.memory_peak());
            ended.failure = cause.or_else(|| failure_of(status, spec, ended.memory_peak, ended.stopped));
            return Ok(ended);
        }
        if ordered && let Some(grace) = control.order() {
            ended.stopped = true;
            tree::terminate(child.id());
            force_at = Some(Instant::now() + grace);
        }
        let seen = tree::measure();
        ended.memory_peak = ended.memory_peak.max(seen.memory_bytes);
        let now = Instant::now();
        if cause.is_none() {
            cause = over_limit(spec, &seen).or_else(|| deadline.filter(|deadline| *deadline <= now).map(|_| timed_out(spec)));
            if let Some(failure) = &cause {
                if failure.class == FailureClass::Timeout {
                    tree::terminate(child.id());
                    force_at = Some(now + StdDuration::from_micros(spec.grace_us));
                } else {
                    tree::kill_all(child.id());
                }
            }
        }
        if force_at.is_some_and(|at| at <= now) {
            tree::kill_all(child.id());
            force_at = Some(now + StdDuration::from_secs(1));
        }
    }
}

/// Often at first, since most processes are short, then five times a second.
fn sampling_pause(began: Instant) -> StdDuration {
    (began.elapsed() / 8).clamp(StdDuration::from_millis(10), StdDuration::from_millis(200))
}

fn timed_out(spec: &ShimSpec) -> Failure {
    let span = model::Duration(spec.timeout_us);
    Failure::new(FailureClass::Timeout, format!("it took longer than its timeout of {span}"))
}

fn over_limit(spec: &ShimSpec, seen: &tree::Seen) -> Option<Failure> {
    if spec.memory_bytes > 0 && seen.memory_bytes > spec.memory_bytes {
        return Some(out_of_memory(spec));
    }
    (seen.processes > spec.processes_max)
        .then(|| Failure::new(FailureClass::Quota, format!("it had more than {} processes at once", spec.processes_max)))
}

fn out_of_memory(spec: &ShimSpec) -> Failure {
    let limit = spec.memory_bytes >> 20;
    Failure::new(FailureClass::Oom, format!("it used more than the {limit} MiB of memory it asked for; raise `needs.memory`"))
}

fn failure_of(status: ExitStatus, spec: &ShimSpec, memory_peak: u64, stopped: bool) -> Option<Failure> {
    if status.success() {
        return None;
    }
    let signal = status.signal();
    // A kill that nobody here ordered, by a process near its limit, is the kernel's.
    if signal == Some(9) && !stopped && spec.memory_bytes > 0 && memory_peak > spec.memory_bytes / 10 * 8 {
        return Some(out_of_memory(spec));
    }
    let message = match (status.code(), signal) {
        (Some(code), _) => format!("it exited with {code}"),
        (_, Some(signal)) => format!("it was ended by signal {signal}"),
        _ => "it ended in an unknown way".into(),
    };
    let mut failure = Failure::new(FailureClass::User, message);
    failure.exit_code = status.code().or(signal.map(|signal| 128 + signal));
    Some(failure)
}

fn usage(began: Instant, memory_peak: u64) -> Usage {
    let children = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_CHILDREN).ok();
    let micros = |time: nix::sys::time::TimeVal| (time.tv_sec() as u64) * 1_000_000 + time.tv_usec() as u64;
    let cpu_us = children.map_or(0, |usage| micros(usage.user_time()) + micros(usage.system_time()));
    // The kernel's figure is of the largest single process and misses none; ours is of all together and may miss a short one.
    let largest = children.map_or(0, |usage| usage.max_rss().max(0) as u64 * 1024);
    Usage {
        wall_us: u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX),
        cpu_us,
        memory_peak_bytes: memory_peak.max(largest),
        ..Usage::default()
    }
}
