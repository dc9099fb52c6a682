//! The life of a process under its wrapper: output, deadline, limits, orders to stop, end.

use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::ExitStatus;
use std::time::{Duration as StdDuration, Instant};

use engine::event::Usage;
use keyring::Secret;
use model::{Failure, FailureClass};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::groups::Groups;
use super::host::Host;
use super::logs::Pump;
use super::reap::Reaper;
use super::tree::Spared;
use super::{ShimSpec, Started, control, tree};
use crate::Stream;
use crate::machine::disk_is_nearly_full;
use crate::sandbox::enter::Inside;

/// How long what is left in the pipes is read after every process is dead.
const DRAIN: StdDuration = StdDuration::from_secs(5);

/// How it ended.
#[derive(Debug, Default)]
pub(super) struct Ended {
    pub(super) failure: Option<Failure>,
    pub(super) stopped: bool,
    /// Whether its process is there for the next attempt.
    pub(super) kept: bool,
    /// The first process within walls in which nothing runs any more, until the kernel has taken them away.
    pub(super) leaving: Option<u32>,
}

struct Watch<'w> {
    folder: &'w Path,
    spec: &'w ShimSpec,
    groups: &'w Groups,
    leader: u32,
    /// Children that are no processes of the attempt: what connects it to the outside, and what has told its end.
    spared: Spared,
    began: Instant,
    next_sample: Instant,
    deadline: Option<Instant>,
    force_at: Option<Instant>,
    /// Why the wrapper ended it.
    cause: Option<Failure>,
    stopped: bool,
    memory_peak: u64,
}

/// Waits for the process, its deadline, its limits and an order to stop; leaves nothing of it behind.
pub(super) fn until_the_end(
    folder: &Path,
    spec: &ShimSpec,
    mut started: Started<'_>,
    secrets: &[Secret],
    control: &control::Control,
    groups: &Groups,
    began: Instant,
) -> std::io::Result<(Ended, Usage)> {
    let (leader, host) = (started.leader, started.host.filter(|_| started.keeps));
    let process = pidfd(leader)?;
    let egress = started.inside.as_mut().and_then(|inside| inside.egress.take()).or(started.around.egress.take());
    let mut tells = started.inside.take().filter(|inside| inside.tells);
    let spared = Spared { whole: egress.iter().map(|egress| egress.pid).collect(), alone: started.around.first };
    let mut reaper = Reaper::new(leader);
    let mut pumps = [
        Pump::new(folder, Stream::Stdout, started.stdout.take(), secrets)?,
        Pump::new(folder, Stream::Stderr, started.stderr.take(), secrets)?,
    ];
    let mut watch = Watch {
        folder,
        spec,
        groups,
        leader,
        spared,
        began,
        next_sample: began + sampling_pause(began),
        deadline: (spec.timeout_us > 0).then(|| began + StdDuration::from_micros(spec.timeout_us)),
        force_at: None,
        cause: None,
        stopped: false,
        memory_peak: 0,
    };
    let mut said = None;
    while reaper.status.is_none() && said.is_none() {
        let mut ready = vec![PollFd::new(&process, PollFlags::IN), PollFd::new(control, PollFlags::IN)];
        let open: Vec<usize> = (0..pumps.len()).filter(|index| pumps[*index].pipe().is_some()).collect();
        ready.extend(open.iter().filter_map(|index| Some(PollFd::from_borrowed_fd(pumps[*index].pipe()?, PollFlags::IN))));
        if let Some(host) = host {
            ready.push(PollFd::new(host, PollFlags::IN));
        }
        if let Some(inside) = &tells {
            ready.push(PollFd::new(inside, PollFlags::IN));
        }
        wait(&mut ready, watch.pause())?;
        let fired: Vec<bool> = ready.iter().map(|ready| !ready.revents().is_empty()).collect();
        drop(ready);
        // Before it is reaped: what it told is more than how it ended itself.
        if tells.is_some() && fired.last() == Some(&true) {
            match tells.as_mut().and_then(Inside::ended) {
                Some(told) => reaper.take(told),
                // It was killed before it could say.
                None => tells = None,
            }
        }
        if fired[0] {
            reaper.reap();
        }
        if fired[1]
            && let Some(grace) = control.order()
        {
            watch.stop(grace);
        }
        if host.is_some() && fired.last() == Some(&true) {
            // Nothing said: it is about to be reaped.
            said = host.and_then(Host::ended);
        }
        for (index, fired) in open.into_iter().zip(&fired[2..]) {
            if *fired {
                pumps[index].copy_some();
            }
        }
        watch.look(&mut reaper);
    }
    let kept = said.is_some() && reaper.status.is_none() && watch.cause.is_none() && !watch.stopped;
    watch.clear(&mut reaper, kept);
    let until = Instant::now() + DRAIN;
    for pump in &mut pumps {
        pump.drain(until);
    }
    if let Some(egress) = egress {
        egress.end();
    }
    let mut used = reaper.used;
    let first = started.around.first.filter(|_| !kept);
    if !kept {
        used.cpu_us += started.host.and_then(Host::leave_walls).unwrap_or_default();
    }
    if kept {
        used.cpu_us += tree::cpu_us(leader);
        used.memory_peak_bytes = used.memory_peak_bytes.max(tree::peak(leader));
    }
    let usage = Usage {
        wall_us: u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX),
        cpu_us: used.cpu_us.saturating_sub(started.before_us),
        // The kernel's figure is of the largest single process and misses none; ours is of all together and may miss a short one.
        memory_peak_bytes: watch.memory_peak.max(used.memory_peak_bytes),
        ..Usage::default()
    };
    let stopped = watch.stopped;
    // Within walls it is the first process there that knows, unless it was killed itself; of one that stays, it is what it says.
    let told = match said {
        Some(code) => Some(ExitStatus::from_raw((code & 0xff) << 8)),
        // It was reaped before it was heard.
        None if !reaper.is_told => tells.as_mut().and_then(Inside::ended).map(|told| told.status),
        None => None,
    };
    let status = told.or(reaper.status).unwrap_or_default();
    let leaving = (reaper.is_told && !reaper.is_gone).then_some(leader).or(first);
    Ok((Ended { failure: watch.judge(status), stopped, kept, leaving }, usage))
}

fn pidfd(pid: u32) -> std::io::Result<OwnedFd> {
    let gone = || std::io::Error::from(std::io::ErrorKind::NotFound);
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw).ok_or_else(gone)?;
    Ok(rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())?)
}

fn wait(ready: &mut [PollFd<'_>], pause: StdDuration) -> std::io::Result<()> {
    let pause = Timespec { tv_sec: pause.as_secs() as i64, tv_nsec: i64::from(pause.subsec_nanos()) };
    match poll(ready, Some(&pause)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Often at first, since most processes are short, then five times a second.
fn sampling_pause(began: Instant) -> StdDuration {
    (began.elapsed() / 8).clamp(StdDuration::from_millis(10), StdDuration::from_millis(200))
}

impl Watch<'_> {
    /// Leaves nothing running; of a process that stays, nothing but itself.
    fn clear(&mut self, reaper: &mut Reaper, kept: bool) {
        if kept {
            return tree::kill_all_but(self.leader, &self.spared, &mut || reaper.reap());
        }
        self.groups.forbid_new_processes();
        if reaper.is_told {
            // Nothing runs inside any more. The kernel takes its time to take the namespaces away, and nobody need wait for that.
            self.spared.whole.push(self.leader);
        }
        tree::kill_all(self.leader, &self.spared, &mut || reaper.reap());
    }

    fn pause(&self) -> StdDuration {
        let deadline = self.deadline.filter(|_| self.cause.is_none());
        let next = [deadline, self.force_at].into_iter().flatten().fold(self.next_sample, Instant::min);
        next.saturating_duration_since(Instant::now())
    }

    /// Asks it to stop, by force after `grace`.
    fn stop(&mut self, grace: StdDuration) {
        self.stopped = true;
        tree::terminate(self.leader);
        let at = Instant::now() + grace;
        self.force_at = Some(self.force_at.map_or(at, |known| known.min(at)));
    }

    /// Ends it for a reason of the wrapper's own, at once.
    fn end(&mut self, failure: Failure) {
        self.cause = Some(failure);
        self.force();
    }

    fn force(&mut self) {
        self.groups.forbid_new_processes();
        if let Some(first) = self.spared.alone {
            // With the first process of its walls everything inside ends at once, however fast it makes more.
            tree::kill_one(first);
        }
        tree::kill_group(self.leader, &self.spared);
        self.force_at = Some(Instant::now() + StdDuration::from_millis(200));
    }

    /// Measures when it is time to, and acts on limits and times that have passed.
    fn look(&mut self, reaper: &mut Reaper) {
        let now = Instant::now();
        if self.next_sample <= now {
            reaper.reap();
            self.measure();
            self.next_sample = now + sampling_pause(self.began);
        }
        if self.cause.is_none() && self.deadline.is_some_and(|deadline| deadline <= now) {
            let span = model::Duration(self.spec.timeout_us);
            self.cause = Some(Failure::new(FailureClass::Timeout, format!("it took longer than its timeout of {span}")));
            tree::terminate(self.leader);
            self.force_at = Some(now + StdDuration::from_micros(self.spec.grace_us));
        }
        if self.force_at.is_some_and(|at| at <= now) {
            self.force();
        }
    }

    /// Whether the attempt's folder was removed, with the site it was at.
    fn is_removed(&self) -> bool {
        std::fs::metadata(self.folder).is_ok_and(|folder| folder.nlink() == 0)
    }

    fn measure(&mut self) {
        let spec = self.spec;
        let limit = (spec.memory_bytes > 0 && !self.groups.limit_memory()).then_some(spec.memory_bytes);
        if self.is_removed() {
            // Nobody can ever collect what it comes to.
            self.end(Failure::new(FailureClass::NodeLost, "its folder was removed"));
            return;
        }
        let seen = tree::measure(limit, &self.spared);
        self.memory_peak = self.memory_peak.max(seen.memory_bytes);
        if self.cause.is_some() {
            return;
        }
        // One of its processes killed for memory, or refused another: many programs then wait for ever for what will not come.
        if limit.is_some_and(|limit| seen.memory_bytes > limit) || self.groups.killed_for_memory() {
            self.end(out_of_memory(spec));
        } else if seen.processes > spec.processes_max || self.groups.refused_processes() {
            self.end(too_many_processes(spec));
        } else if disk_is_nearly_full(self.folder) {
            self.end(disk_full());
        }
    }

    fn judge(self, status: ExitStatus) -> Option<Failure> {
        let Watch { spec, cause, groups, folder, stopped, .. } = self;
        if cause.is_some() || status.success() {
            return cause;
        }
        let mut failure = if groups.killed_for_memory() {
            out_of_memory(spec)
        } else if groups.refused_processes() && !stopped {
            too_many_processes(spec)
        } else if disk_is_nearly_full(folder) && !stopped {
            disk_full()
        } else {
            Failure::new(FailureClass::User, describe(status))
        };
        failure.exit_code = status.code().or(status.signal().map(|signal| 128 + signal));
        Some(failure)
    }
}

fn too_many_processes(spec: &ShimSpec) -> Failure {
    let limit = spec.processes_max;
    Failure::new(FailureClass::Quota, format!("it had, or tried to have, more than {limit} processes and threads at once"))
}

fn disk_full() -> Failure {
    Failure::new(FailureClass::DiskFull, "the site's disk is full")
}

fn out_of_memory(spec: &ShimSpec) -> Failure {
    let limit = spec.memory_bytes >> 20;
    let message = if spec.memory_asked {
        format!("it used more than the {limit} MiB of memory it asked for; raise `needs.memory`")
    } else {
        format!("it used more than the {limit} MiB of memory that the site has")
    };
    Failure::new(FailureClass::Oom, message)
}

fn describe(status: ExitStatus) -> String {
    let named = |signal| match signal {
        4 => " (illegal instruction)",
        6 => " (abort)",
        8 => " (arithmetic error)",
        9 => " (killed)",
        11 => " (segmentation fault)",
        15 => " (asked to end)",
        25 => " (a file became larger than allowed)",
        _ => "",
    };
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("it exited with {code}"),
        (_, Some(signal)) => format!("it was ended by signal {signal}{}", named(signal)),
        _ => "it ended in an unknown way".into(),
    }
}
