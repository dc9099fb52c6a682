//! The processes below the wrapper, as `/proc` shows them.

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// How many processes there are below the wrapper, and the memory they hold together.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) processes: u32,
    pub(crate) memory_bytes: u64,
}

/// Processes looked at in one measurement: a bomb is not counted to its end.
const LOOKED_AT_MAX: usize = 4_096;

fn children(pid: u32) -> Vec<u32> {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let lists = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<u32>>()).collect()
}

/// Everything below this process: orphans come to it, since it is their subreaper.
fn descendants() -> Vec<u32> {
    let mut found = children(std::process::id());
    let mut next = 0;
    while let Some(pid) = found.get(next).copied() {
        next += 1;
        if found.len() < LOOKED_AT_MAX {
            found.extend(children(pid));
        }
    }
    found
}

/// Resident memory of a process in bytes.
fn resident(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    text.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * rustix::param::page_size() as u64
}

/// When a process started, in ticks since boot: with its id it names it for ever.
pub(crate) fn start_time(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the name in brackets, which may hold anything.
    text.rsplit_once(") ")?.1.split_whitespace().nth(19)?.parse().ok()
}

pub(crate) fn measure() -> Seen {
    let all = descendants();
    Seen { processes: all.len() as u32, memory_bytes: all.iter().map(|pid| resident(*pid)).sum() }
}

fn pid(number: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(number).ok()?)
}

/// Asks the process group to end.
pub(crate) fn terminate(leader: u32) {
    if let Some(group) = pid(leader) {
        // A group that has ended cannot be asked.
        let _ = kill_process_group(group, Signal::TERM);
    }
}

/// Kills the group and everything that escaped from it, and waits until nothing is left below the wrapper.
pub(crate) fn kill_all(leader: u32) {
    if let Some(group) = pid(leader) {
        let _ = kill_process_group(group, Signal::KILL);
    }
    for _ in 0..1_000 {
        let left: Vec<u32> = descendants();
        let others: Vec<u32> = left.into_iter().filter(|pid| *pid != leader).collect();
        if others.is_empty() {
            return;
        }
        // Stopped first, so that none makes another while the rest is being killed.
        for signal in [Signal::STOP, Signal::KILL] {
            for pid in others.iter().filter_map(|number| pid(*number)) {
                let _ = kill_process(pid, signal);
            }
        }
        for number in others {
            if let Some(pid) = pid(number) {
                let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::NOHANG);
            }
        }
        std::thread::yield_now();
    }
}
