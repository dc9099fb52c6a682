//! The processes below the wrapper, as `/proc` shows them.

use std::path::Path;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// How many processes there are below the wrapper, and the memory they hold together.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    /// Processes and their threads.
    pub(super) processes: u32,
    pub(super) memory_bytes: u64,
}

/// Processes looked at in one measurement: a bomb is not counted to its end.
const LOOKED_AT_MAX: usize = 4_096;
/// Up to so many processes it is worth asking the kernel for what they share.
const SHARES_COUNTED_MAX: usize = 32;
/// Turns of killing. Each kills all there is; more are needed when some make others meanwhile, or take their time to go.
const TURNS_MAX: usize = 5_000;
/// Turns without a pause.
const QUICK_TURNS: usize = 50;

/// Children of this process that are no processes of the attempt.
#[derive(Debug, Default)]
pub(super) struct Spared {
    /// With all below them.
    pub(super) whole: Vec<u32>,
    /// But for what is below: the first process of walls, to which what is orphaned inside comes.
    pub(super) alone: Option<u32>,
}

fn children(pid: u32, threads: &mut u32) -> Vec<u32> {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let mut found = Vec::new();
    for task in tasks.flatten() {
        *threads += 1;
        let list = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        found.extend(list.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
    }
    found
}

/// Everything below this process (orphans come to it, since it is their subreaper), and the number of their threads; but for children that
/// are no processes of the attempt.
fn descendants(spared: &Spared) -> (Vec<u32>, u32) {
    let mut threads = 0;
    let mut found = children(std::process::id(), &mut threads);
    found.retain(|pid| !spared.whole.contains(pid) && spared.alone != Some(*pid));
    found.extend(spared.alone.into_iter().flat_map(|first| children(first, &mut threads)));
    let (mut next, mut threads) = (0, 0);
    while let Some(pid) = found.get(next).copied() {
        next += 1;
        if found.len() < LOOKED_AT_MAX {
            found.extend(children(pid, &mut threads));
        }
    }
    (found, threads)
}

/// Everything below a process.
fn below(pid: u32) -> Vec<u32> {
    let (mut next, mut threads) = (0, 0);
    let mut found = children(pid, &mut threads);
    while let Some(pid) = found.get(next).copied() {
        next += 1;
        if found.len() < LOOKED_AT_MAX {
            found.extend(children(pid, &mut threads));
        }
    }
    found
}

/// Microseconds of processor time that everything below a process has used; none when there is nothing.
pub(super) fn cpu_us_below(pid: u32) -> Option<u64> {
    let all = below(pid);
    (!all.is_empty()).then(|| all.into_iter().map(cpu_us).sum())
}

/// Resident memory of a process in bytes.
fn resident(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    text.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * rustix::param::page_size() as u64
}

/// Memory of a process in bytes, what it shares divided by those it shares it with.
fn proportional(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// When a process started, in ticks since boot: with its id it names it for ever. None for one that has ended and waits to be reaped.
pub(crate) fn start_time(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the name in brackets, which may hold anything.
    let mut fields = text.rsplit_once(") ")?.1.split_whitespace();
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// Whether a child of this process has not ended.
pub(super) fn is_alive(pid: u32) -> bool {
    start_time(pid).is_some()
}

/// Microseconds of processor time that a process and its children that were waited for have used.
pub(super) fn cpu_us(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = text.rsplit_once(") ").map_or("", |(_, fields)| fields);
    let ticks: u64 = fields.split_whitespace().skip(11).take(4).filter_map(|field| field.parse::<u64>().ok()).sum();
    ticks * 1_000_000 / rustix::param::clock_ticks_per_second().max(1)
}

/// The largest resident memory that a process ever had since [`reset_peak`].
pub(super) fn peak(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// From here on the peak of a process's memory is counted anew.
pub(super) fn reset_peak(pid: u32) {
    let _ = std::fs::write(format!("/proc/{pid}/clear_refs"), "5");
}

/// Measures. `limit` is the memory they may have, when it is this measurement that decides.
pub(super) fn measure(limit: Option<u64>, spared: &Spared) -> Seen {
    let (all, threads) = descendants(spared);
    let mut memory_bytes: u64 = all.iter().map(|pid| resident(*pid)).sum();
    let decides = limit.is_some_and(|limit| memory_bytes > limit);
    if all.len() > 1 && (all.len() <= SHARES_COUNTED_MAX || decides) {
        // Pages that a fork shares with its parent were counted for both.
        memory_bytes = all.iter().map(|pid| proportional(*pid).unwrap_or_else(|| resident(*pid))).sum();
    }
    Seen { processes: threads.max(all.len() as u32), memory_bytes }
}

fn pid(number: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(number).ok()?)
}

/// Asks the process group to end.
pub(super) fn terminate(leader: u32) {
    if let Some(group) = pid(leader) {
        // A group that has ended cannot be asked.
        let _ = kill_process_group(group, Signal::TERM);
    }
}

/// Kills the group, and everything that escaped from it as far as it is seen now.
pub(super) fn kill_group(leader: u32, spared: &Spared) {
    if let Some(group) = pid(leader) {
        let _ = kill_process_group(group, Signal::KILL);
    }
    kill(&descendants(spared).0);
}

fn kill(all: &[u32]) {
    // Stopped first, so that none makes another while the rest is being killed.
    for signal in [Signal::STOP, Signal::KILL] {
        for pid in all.iter().filter_map(|number| pid(*number)) {
            let _ = kill_process(pid, signal);
        }
    }
}

/// Kills one, and waits for nothing.
pub(super) fn kill_one(number: u32) {
    if let Some(pid) = pid(number) {
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// Kills whatever `find` gives until it gives nothing, for a limited number of times.
pub(super) fn kill_until_none(find: &mut dyn FnMut() -> Vec<u32>) {
    for turn in 0..TURNS_MAX {
        let left = find();
        if left.is_empty() {
            return;
        }
        kill(&left);
        // The kernel needs a moment to take them away, and more of one when they held much memory.
        let pause = if turn < QUICK_TURNS { 0 } else { 1_000_000 };
        let _ = rustix::event::poll(&mut [], Some(&rustix::event::Timespec { tv_sec: 0, tv_nsec: pause }));
        std::thread::yield_now();
    }
}

/// Kills everything below the wrapper, and waits until nothing is left.
pub(super) fn kill_all(leader: u32, spared: &Spared, reap: &mut dyn FnMut()) {
    if let Some(group) = pid(leader) {
        let _ = kill_process_group(group, Signal::KILL);
    }
    kill_until_none(&mut || {
        reap();
        descendants(spared).0
    });
}

/// Kills everything below the wrapper but one process and its threads, and waits until nothing else is left.
pub(super) fn kill_all_but(kept: u32, spared: &Spared, reap: &mut dyn FnMut()) {
    kill_until_none(&mut || {
        reap();
        let mut found = descendants(spared).0;
        found.retain(|pid| *pid != kept);
        found
    });
}

/// Whether what is started from here on is the kernel's first choice when memory runs out.
pub(super) fn offer_for_memory(offered: bool) {
    // Where this is not allowed, the kernel chooses by size alone.
    let _ = std::fs::write("/proc/self/oom_score_adj", if offered { "800" } else { "0" });
}

/// A process is the kernel's first choice when memory runs out.
pub(super) fn offer_other_for_memory(pid: u32) {
    let _ = std::fs::write(format!("/proc/{pid}/oom_score_adj"), "800");
}

/// Kills every process that has this in its environment: what is left of an attempt whose wrapper was killed.
pub(crate) fn kill_marked(variable: &str, value: &Path) {
    let mut mark = format!("{variable}=").into_bytes();
    mark.extend_from_slice(std::os::unix::ffi::OsStrExt::as_bytes(value.as_os_str()));
    kill_until_none(&mut || {
        let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let is_marked = |pid: &u32| {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|entry| entry == mark.as_slice())
        };
        pids.filter(is_marked).filter(|pid| start_time(*pid).is_some()).collect()
    });
}
