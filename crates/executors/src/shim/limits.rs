//! Limits on processes: inherited resource limits, and control groups where the machine lets us make them. What cannot be enforced is
//! said in the completion record.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{Resource, Rlimit, setrlimit};

use super::ShimSpec;

/// The control groups of one attempt.
#[derive(Debug, Default)]
pub(crate) struct Confinement {
    folders: Vec<PathBuf>,
    peak: Option<PathBuf>,
}

/// Limits that the process inherits.
pub(crate) fn set_inherited(spec: &ShimSpec) {
    let set = |resource, limit: u64| {
        let limit = Some(limit);
        // A limit above what the wrapper itself has cannot be set, and need not be.
        let _ = setrlimit(resource, Rlimit { current: limit, maximum: limit });
    };
    set(Resource::Core, 0);
    set(Resource::Fsize, spec.file_bytes_max);
    set(Resource::Nofile, 4_096);
}

/// Puts the wrapper, and so everything it starts, into control groups. Gives them and what could not be enforced.
pub(crate) fn confine(spec: &ShimSpec) -> (Confinement, Vec<String>) {
    let name = format!("{}-{}", spec.attempt, std::process::id());
    let mut confinement = Confinement::default();
    let mut unenforced = Vec::new();
    let memory = if spec.memory_bytes == 0 { None } else { Some(spec.memory_bytes.to_string()) };
    let wanted = [("memory", "memory.limit_in_bytes", memory), ("pids", "pids.max", Some(spec.processes_max.to_string()))];
    for (controller, file, value) in wanted {
        let Some(value) = value else { continue };
        match join(Path::new("/sys/fs/cgroup").join(controller), &name, file, &value) {
            Some(folder) => {
                if controller == "memory" {
                    confinement.peak = Some(folder.join("memory.max_usage_in_bytes"));
                }
                confinement.folders.push(folder);
            }
            None => unenforced.push(format!("{controller} is watched, not enforced by a control group")),
        }
    }
    (confinement, unenforced)
}

/// Makes a group in a version 1 hierarchy, sets its limit, and joins it.
fn join(root: PathBuf, name: &str, file: &str, value: &str) -> Option<PathBuf> {
    if !root.join("cgroup.procs").exists() {
        return None;
    }
    let folder = root.join("tutti").join(name);
    fs::create_dir_all(&folder).ok()?;
    let joined = fs::write(folder.join(file), value).and_then(|()| fs::write(folder.join("cgroup.procs"), "0"));
    if joined.is_err() {
        let _ = fs::remove_dir(&folder);
        return None;
    }
    Some(folder)
}

impl Confinement {
    /// The most memory the group ever held, in bytes; 0 when that is not known.
    pub(crate) fn memory_peak(&self) -> u64 {
        self.peak.as_ref().and_then(|file| fs::read_to_string(file).ok()?.trim().parse().ok()).unwrap_or(0)
    }

    /// Leaves the groups and removes them.
    pub(crate) fn remove(&self) {
        for folder in &self.folders {
            // An empty group that stays behind costs nothing; the next start of the machine clears it.
            let root = folder.parent().and_then(Path::parent);
            let _ = root.map(|root| fs::write(root.join("cgroup.procs"), "0"));
            let _ = fs::remove_dir(folder);
        }
    }
}
