//! What the machine has.

use std::path::Path;

use model::Resources;

use crate::Capacity;

/// A field of `/proc/meminfo` in bytes; 0 when it cannot be read.
fn memory(field: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// Bytes of a disk that are left alone: the journal may be on the same one, and everything else at the site.
const DISK_RESERVE_BYTES: u64 = 256 << 20;
/// Of a small disk the reserve is one part in so many.
const DISK_RESERVE_PART: u64 = 20;

/// Bytes of the disk below a folder: all, and those that may still be written.
fn disk(folder: &Path) -> std::io::Result<(u64, u64)> {
    let disk = rustix::fs::statvfs(folder)?;
    Ok((disk.f_blocks.saturating_mul(disk.f_frsize), disk.f_bavail.saturating_mul(disk.f_frsize)))
}

/// Whether so little is left of the disk that nothing may be written any more. A disk that cannot be asked is not full.
pub(crate) fn disk_is_nearly_full(folder: &Path) -> bool {
    disk(folder).is_ok_and(|(total, free)| free < DISK_RESERVE_BYTES.min(total / DISK_RESERVE_PART))
}

/// What a site has: what it was registered with, where that says something, and the machine's otherwise.
pub(crate) fn capacity(folder: &Path, registered: &Resources, asked: &[Resources]) -> Capacity {
    let (disk_total, disk_free) = disk(folder).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let or = |registered: u64, machine: u64| if registered > 0 { registered } else { machine };
    let total = Resources {
        cpu_millis: or(registered.cpu_millis.into(), cores as u64 * 1000).try_into().unwrap_or(u32::MAX),
        memory_bytes: or(registered.memory_bytes, memory("MemTotal")),
        gpus: registered.gpus,
        disk_bytes: or(registered.disk_bytes, disk_total),
    };
    let mut free = asked.iter().fold(total, |free, asked| free.minus(asked));
    free.memory_bytes = free.memory_bytes.min(memory("MemAvailable"));
    free.disk_bytes = free.disk_bytes.min(disk_free);
    Capacity { total, free, attempts: asked.len() as u32 }
}
