//! What the machine has, for the site that it is.

use std::path::Path;

use model::Resources;

use crate::Capacity;

/// A field of `/proc/meminfo` in bytes; 0 when it cannot be read.
fn memory(field: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// Bytes of the disk below a folder: all, and those that may still be written.
pub(super) fn disk(folder: &Path) -> std::io::Result<(u64, u64)> {
    let disk = rustix::fs::statvfs(folder)?;
    Ok((disk.f_blocks.saturating_mul(disk.f_frsize), disk.f_bavail.saturating_mul(disk.f_frsize)))
}

/// The machine's capacity, less what these attempts asked for.
pub(super) fn capacity(folder: &Path, asked: &[Resources], attempts: u32) -> Capacity {
    let (disk_total, disk_free) = disk(folder).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let total = Resources {
        cpu_millis: u32::try_from(cores * 1000).unwrap_or(u32::MAX),
        memory_bytes: memory("MemTotal"),
        gpus: 0,
        disk_bytes: disk_total,
    };
    let mut free = asked.iter().fold(total, |free, asked| free.minus(asked));
    free.memory_bytes = free.memory_bytes.min(memory("MemAvailable"));
    free.disk_bytes = free.disk_bytes.min(disk_free);
    Capacity { total, free, attempts }
}
