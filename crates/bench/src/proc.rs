//! What Linux knows of a process: memory, CPU time, bytes handed to the disk.

use std::fs;

/// Memory of a process, in MiB.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub(crate) struct Memory {
    /// Resident.
    pub(crate) rss: f64,
    /// Resident, shared pages counted by their share.
    pub(crate) pss: f64,
}

fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok())
}

/// The memory now.
pub(crate) fn memory(pid: u32) -> Memory {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let mib = |name: &str| field(&text, name).unwrap_or(0) as f64 / 1024.0;
    Memory { rss: mib("Rss:"), pss: mib("Pss:") }
}

/// The highest resident memory since [`forget_peak`], in MiB.
pub(crate) fn peak_rss(pid: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    field(&text, "VmHWM:").unwrap_or(0) as f64 / 1024.0
}

/// Begins to look for the highest resident memory anew.
pub(crate) fn forget_peak(pid: u32) {
    // Without the right to, the peak since the start is shown, which is no less.
    let _ = fs::write(format!("/proc/{pid}/clear_refs"), "5");
}

/// CPU time used so far by a process and by its children that have ended, in milliseconds.
pub(crate) fn cpu_ms(pid: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name, in parentheses, may hold spaces.
    let Some((_, rest)) = text.rsplit_once(')') else { return 0.0 };
    let fields: Vec<u64> = rest.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect();
    let ticks: u64 = fields.get(11..15).map(|ticks| ticks.iter().sum()).unwrap_or(0);
    ticks as f64 * 1000.0 / rustix::param::clock_ticks_per_second() as f64
}

/// Bytes that the process has caused to be written to a disk so far.
pub(crate) fn written(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    field(&text, "write_bytes:").unwrap_or(0)
}

/// The load average of the last minute.
pub(crate) fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0)
}

/// Lets other processes work for a moment.
#[expect(clippy::disallowed_methods, reason = "what is waited for happens in another process, which tells nobody")]
pub(crate) fn pause(span: std::time::Duration) {
    std::thread::sleep(span);
}
