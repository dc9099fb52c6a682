//! The life of a process: prepared, started under its wrapper, followed to its record, collected. Each step finds what an earlier server
//! left of it.

use std::path::Path;
use std::sync::Arc;

use engine::Outcome;
use engine::event::Usage;
use failpoint::Point;
use model::{AttemptKey, Epoch, Failure, FailureClass, Ticket};
use tokio::io::unix::AsyncFd;
use tokio::task::spawn_blocking;

use super::{Inner, attempt, outputs};
use crate::record::{self, CompletionRecord};
use crate::shim::{self, Word};
use crate::{AttemptSpec, Observed};

/// Runs an attempt, or goes on with what is there of it.
pub(super) async fn drive(inner: Arc<Inner>, spec: AttemptSpec, ticket: Ticket) {
    let folder = inner.folder(spec.key);
    let (key, epoch) = (spec.key, spec.epoch);
    if is_known(&folder) {
        inner.begin(key);
        return follow(inner.clone(), key).await;
    }
    // So many at once: a wide map must not take the machine down with processes that ask for nothing.
    let Ok(_place) = inner.places.acquire().await else { return };
    let Ok(starting) = inner.starting.acquire().await else { return };
    // Cancelled while it waited, and reported so.
    if !inner.is_watched(key) {
        return;
    }
    let (host, cover) = match spec.host {
        Some(_) => {
            let (inner, spec, ticket) = (inner.clone(), spec.clone(), ticket.clone());
            let found = spawn_blocking(move || {
                let host = attempt::host(&inner.site, &spec, &ticket)?;
                let cover = attempt::cover_of_nursery(&inner.site, &spec);
                Some((Some(host), cover))
            });
            found.await.ok().flatten().unwrap_or_default()
        }
        None => (None, None),
    };
    let reuse = host.as_ref().and_then(|host| host.reuse.clone());
    let wrapper = match inner.wrappers.find(host.as_ref(), cover.as_ref()).await {
        Ok(wrapper) => wrapper,
        Err(error) => {
            let failure = attempt::of_io("the wrapper")(error);
            return inner.finish(key, epoch, Outcome::Failed(failure), Usage::default(), Vec::new());
        }
    };
    let prepared = spawn_blocking({
        let (inner, folder, home) = (inner.clone(), folder.clone(), wrapper.home().map(Path::to_owned));
        move || {
            failpoint::check(Point::ExecutorBeforePrepare).map_err(attempt::of_io("the attempt's folder"))?;
            match attempt::clear_half_made(&folder) {
                Ok(true) => attempt::prepare(&inner.site, &inner.store, &folder, &spec, &ticket, home.as_deref()).map(|()| true),
                Ok(false) => Ok(false),
                Err(error) => Err(attempt::of_io("the attempt's folder")(error)),
            }
        }
    });
    let prepared = prepared.await.unwrap_or_else(|error| Err(Failure::new(FailureClass::Unknown, error.to_string())));
    let fresh = match prepared {
        Ok(fresh) => fresh,
        Err(failure) => return inner.finish(key, epoch, Outcome::Failed(failure), Usage::default(), Vec::new()),
    };
    if !inner.begin(key) {
        return;
    }
    if !fresh {
        drop(starting);
        return follow(inner.clone(), key).await;
    }
    let handed_over = match failpoint::check(Point::ExecutorPrepared) {
        Ok(()) => inner.wrappers.hand_over(wrapper, &folder).await,
        Err(error) => Err(error),
    };
    let mut wrapper = match handed_over {
        Ok(wrapper) => wrapper,
        Err(error) => {
            let failure = Failure::new(FailureClass::NodeLost, format!("the wrapper could not be started: {error}"));
            return inner.finish(key, epoch, Outcome::Failed(failure), Usage::default(), Vec::new());
        }
    };
    let taken = wrapper.word().await == Some(Word::Taken);
    drop(starting);
    if !taken {
        return follow(inner.clone(), key).await;
    }
    if let Some((pid, _)) = owner_of(&folder) {
        inner.observe(Observed::Started { key, host: format!("process {pid}") });
    }
    // An order to stop that came before the wrapper listened.
    if let Some(grace) = inner.stop_ordered(key) {
        let _ = shim::ask_to_stop(&folder, grace.to_std());
    }
    match (wrapper.word().await, &reuse) {
        (Some(Word::Done), _) => inner.wrappers.take_back(wrapper),
        (Some(Word::Kept), Some(reuse)) => inner.wrappers.take_back_kept(wrapper, reuse),
        // It is gone, or ends when it hears nothing more.
        _ => {}
    }
    finish(inner.clone(), key).await;
}

/// Whether somebody began it: a wrapper took it, or it has ended.
pub(super) fn is_known(folder: &Path) -> bool {
    folder.join(shim::OWNER).exists() || folder.join(record::FILE).exists()
}

/// Waits for the end of an attempt that a wrapper of an earlier server has, and reports it.
pub(super) async fn follow(inner: Arc<Inner>, key: AttemptKey) {
    let folder = inner.folder(key);
    // With the record there, its wrapper may have gone on to another attempt.
    if !folder.join(record::FILE).exists()
        && let Some((pid, started)) = owner_of(&folder)
    {
        inner.observe(Observed::Started { key, host: format!("process {pid}") });
        wait_for_end(pid, started).await;
    }
    finish(inner, key).await;
}

/// Collects what an attempt left whose wrapper is done with it or gone, and reports it.
async fn finish(inner: Arc<Inner>, key: AttemptKey) {
    let folder = inner.folder(key);
    let collected = spawn_blocking({
        let inner = inner.clone();
        move || collect(&inner, &folder, key)
    });
    let lost = |message: String| {
        (Epoch(0), Outcome::Failed(Failure::new(FailureClass::NodeLost, message)), Usage::default(), Vec::new())
    };
    let (epoch, outcome, usage, stored) = collected.await.unwrap_or_else(|error| lost(error.to_string()));
    failpoint::hit(Point::ExecutorCollected);
    inner.finish(key, epoch, outcome, usage, stored);
}

/// The process id and start time of the wrapper.
pub(super) fn owner_of(folder: &Path) -> Option<(u32, u64)> {
    let text = String::from_utf8(record::read_note(folder, shim::OWNER).ok()?).ok()?;
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
    let ended =
        |epoch, class, message: &str| (epoch, Outcome::Failed(Failure::new(class, message)), Usage::default(), Vec::new());
    let Some(record) = CompletionRecord::read(folder) else {
        clear_away(folder);
        return ended(Epoch(0), FailureClass::NodeLost, "its wrapper vanished without leaving a record");
    };
    if record.attempt != key {
        return ended(record.epoch, FailureClass::Unknown, "its record is of another attempt");
    }
    if record.boot != record::boot() {
        // Nothing it wrote was synced.
        return ended(record.epoch, FailureClass::NodeLost, "the machine went down before its outcome was collected");
    }
    for limit in &record.unenforced {
        tracing::debug!(attempt = %key, "{limit}");
    }
    let mut usage = record.usage;
    let (outcome, stored) = match record.failure {
        Some(_) if record.stopped => (Outcome::Aborted, Vec::new()),
        Some(failure) => (Outcome::Failed(failure), Vec::new()),
        None => match outputs::collect(&inner.store_of(key), folder) {
            Ok((output, stored)) => (Outcome::Succeeded(output), stored),
            Err(failure) => (Outcome::Failed(failure), Vec::new()),
        },
    };
    usage.bytes_out = stored.iter().map(|(_, size)| size).sum();
    (record.epoch, outcome, usage, stored)
}

/// Ends what an attempt left running whose wrapper was killed.
fn clear_away(folder: &Path) {
    if let Some((pid, started)) = owner_of(folder)
        && shim::start_time(pid) != Some(started)
    {
        shim::kill_group_of(pid, started);
    }
    let (mark, path) = attempt::mark(folder);
    shim::kill_marked(mark, &path);
}
