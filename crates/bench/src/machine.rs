//! The machine, named, so that figures can be compared.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::options::Options;
use crate::proc;

fn line_of(file: &str, prefix: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(prefix))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The file system and the device under a path.
fn disk_of(path: &Path) -> Option<(String, String)> {
    let path = path.canonicalize().ok()?;
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let mounts = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ');
        Some((fields.next()?, fields.next()?, fields.next()?))
    });
    let (device, _, kind) = mounts.filter(|(_, at, _)| path.starts_with(at)).max_by_key(|(_, at, _)| at.len())?;
    Some((device.to_owned(), kind.to_owned()))
}

/// Everything about the machine that figures depend on.
pub(crate) fn describe(options: &Options) -> anyhow::Result<Value> {
    let folder = options.folder("machine")?;
    let (device, file_system) = disk_of(&folder).unwrap_or_default();
    fs::remove_dir_all(&folder)?;
    let version = std::process::Command::new(&options.tutti).arg("--version").output();
    let version = version.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    Ok(json!({
        "cpu": line_of("/proc/cpuinfo", "model name").unwrap_or_default(),
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "memory": line_of("/proc/meminfo", "MemTotal").unwrap_or_default(),
        "kernel": fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim(),
        "disk": device,
        "file_system": file_system,
        "load_before": proc::load(),
        "tutti": version,
        "durability": "SQLite WAL, synchronous=FULL: an acknowledgement survives a power cut",
        "at": date(),
    }))
}

/// Today, as `date` says it: no calendar is linked for one line.
fn date() -> String {
    let output = std::process::Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%SZ"]).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}
