//! The life of a process: prepared, started under its wrapper, followed to its record, collected. Each step finds what an earlier server
//! left of it.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use engine::Outcome;
use engine::event::Usage;
use model::{AttemptKey, Epoch, Failure, FailureClass};
use tokio::io::unix::AsyncFd;
use tokio::task::spawn_blocking;

use super::{Inner, attempt};
use crate::record::CompletionRecord;
use crate::{AttemptSpec, Observed, Owned, OwnedPhase, shim};

/// Runs an attempt, or goes on with what is there of it.
pub(super) async fn drive(inner: Arc<Inner>, spec: AttemptSpec) {
    let folder = inner.folder(spec.key);
    let (key, epoch) = (spec.key, spec.epoch);
    let known = folder.join(shim::OWNER).exists() || CompletionRecord::read(&folder).is_some();
    if !known {
        let prepared = spawn_blocking({
            let (inner, folder) = (inner.clone(), folder.clone());
            move || attempt::prepare(&inner.options, &inner.store, &folder, &spec)
        });
        let prepared = prepared.await.unwrap_or_else(|error| Err(Failure::new(FailureClass::Unknown, error.to_string())));
        if let Err(failure) = prepared {
            inner.finish(key, epoch, Outcome::Failed(failure), Usage::default(), Vec::new());
            return;
        }
        // Cancelled while it was being prepared, and reported so: nothing is started.
        if !inner.running().watched.contains_key(&key) {
            return;
        }
        if let Err(error) = start(&inner, &folder).await {
            let failure = Failure::new(FailureClass::NodeLost, format!("the wrapper could not be started: {error}"));
            inner.finish(key, epoch, Outcome::Failed(failure), Usage::default(), Vec::new());
            return;
        }
    }
    follow(inner, key).await;
}

/// Starts the wrapper and waits until it has taken the attempt or is gone.
async fn start(inner: &Inner, folder: &Path) -> std::io::Result<()> {
    let (program, arguments) = &inner.options.shim;
    let mut command = Command::new(program);
    command.args(arguments).arg(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // A group of its own: a signal to the server's terminal is not meant for it.
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut child = tokio::process::Command::from(command).kill_on_drop(false).spawn()?;
    let owner = folder.join(shim::OWNER);
    let mut pause = std::time::Duration::from_micros(200);
    loop {
        tokio::select! {
            // It ended already: its record, or the lack of one, says how.
            _ = child.wait() => return Ok(()),
            () = tokio::time::sleep(pause) => {}
        }
        if owner.exists() {
            // Somebody has to reap it when it ends.
            tokio::spawn(async move { child.wait().await });
            return Ok(());
        }
        pause = (pause * 2).min(std::time::Duration::from_millis(10));
    }
}

/// Waits for the end of an attempt that has a wrapper, and reports it.
pub(super) async fn follow(inner: Arc<Inner>, key: AttemptKey) {
    let folder = inner.folder(key);
    if let Some((pid, started)) = owner_of(&folder) {
        inner.observe(Observed::Started { key, host: format!("process {pid}") });
        wait_for_end(pid, started).await;
    }
    let collected = spawn_blocking({
        let (inner, folder) = (inner.clone(), folder.clone());
        move || collect(&inner, &folder, key)
    });
    let lost = |message: String| {
        (Epoch(0), Outcome::Failed(Failure::new(FailureClass::NodeLost, message)), Usage::default(), Vec::new())
    };
    let (epoch, outcome, usage, stored) = collected.await.unwrap_or_else(|error| lost(error.to_string()));
    inner.finish(key, epoch, outcome, usage, stored);
}

/// The process id and start time of the wrapper.
fn owner_of(folder: &Path) -> Option<(u32, u64)> {
    let text = std::fs::read_to_string(folder.join(shim::OWNER)).ok()?;
    let (pid, started) = text.split_once(' ')?;
    Some((pid.parse().ok()?, started.parse().ok()?))
}

/// Waits until the process with this id and start time is gone. Another process of the same id is not it.
async fn wait_for_end(pid: u32, started: u64) {
    let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) else { return };
    let Ok(process) = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()) else { return };
    if shim::start_time(pid.as_raw_nonzero().get().unsigned_abs()) != Some(started) {
        return;
    }
    #[expect(deprecated, reason = "unsound only for descriptors that are closed elsewhere; this one is owned")]
    let process = AsyncFd::with_interest(process, tokio::io::Interest::READABLE);
    match process {
        Ok(process) => drop(process.readable().await),
        Err(error) => tracing::error!(%error, "a process cannot be watched"),
    }
}

type Collected = (Epoch, Outcome, Usage, Vec<(model::Digest, u64)>);

/// Reads the record and takes the outputs into the store.
fn collect(inner: &Inner, folder: &Path, key: AttemptKey) -> Collected {
    let Some(record) = CompletionRecord::read(folder) else {
        let failure = Failure::new(FailureClass::NodeLost, "its process vanished without leaving a record");
        return (Epoch(0), Outcome::Failed(failure), Usage::default(), Vec::new());
    };
    if record.attempt != key {
        let failure = Failure::new(FailureClass::Unknown, "its record is of another attempt");
        return (record.epoch, Outcome::Failed(failure), Usage::default(), Vec::new());
    }
    let mut usage = record.usage;
    let (outcome, stored) = match record.failure {
        Some(_) if record.stopped => (Outcome::Aborted, Vec::new()),
        Some(failure) => (Outcome::Failed(failure), Vec::new()),
        None => match attempt::outputs(&inner.store, folder) {
            Ok((output, stored)) => (Outcome::Succeeded(output), stored),
            Err(failure) => (Outcome::Failed(failure), Vec::new()),
        },
    };
    usage.bytes_out = stored.iter().map(|(_, size)| size).sum();
    (record.epoch, outcome, usage, stored)
}

/// The attempts that have a folder.
pub(super) fn owned(attempts: &Path) -> std::io::Result<Vec<Owned>> {
    let mut owned = Vec::new();
    for entry in std::fs::read_dir(attempts)? {
        let folder = entry?.path();
        let Some(key) = folder.file_name().and_then(|name| name.to_str()?.parse().ok()) else { continue };
        let phase = match owner_of(&folder) {
            _ if CompletionRecord::read(&folder).is_some() => OwnedPhase::Ended,
            Some((pid, started)) if shim::start_time(pid) == Some(started) => OwnedPhase::Running,
            _ => OwnedPhase::Begun,
        };
        owned.push(Owned { key, phase });
    }
    owned.sort_unstable();
    Ok(owned)
}
