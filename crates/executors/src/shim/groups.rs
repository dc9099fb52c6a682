//! Control groups, where the machine lets us make them: version 1 hierarchies, and version 2 where its controllers are delegated to us.
//! What cannot be enforced is said in the completion record, and watched instead.
//!
//! A wrapper has a group of its own for as long as it lives, and what it starts is in it. The group is named after the wrapper, so that
//! whoever finds it later knows whether anybody still looks after it.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};

use super::{ShimSpec, tree};

/// Bytes of a memory limit that are the wrapper's own.
const WRAPPER_BYTES: u64 = 8 << 20;
/// The name of the group that the server itself is in, when its parent was delegated to it (`DelegateSubgroup=` of systemd).
const SERVER_GROUP: &str = "server";

/// A folder of control groups below which ours are made.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Base {
    folder: PathBuf,
    memory: bool,
    pids: bool,
    version: u8,
}

/// A group, and the counter of its events when the present attempt began.
#[derive(Debug)]
struct Group {
    folder: PathBuf,
    base: Base,
    before: Cell<u64>,
}

/// The control groups of a wrapper.
#[derive(Debug, Default)]
pub(super) struct Groups {
    memory: Option<Group>,
    pids: Option<Group>,
    limits_memory: Cell<bool>,
    others: Vec<PathBuf>,
}

/// The folders below which groups may be made, as `/proc/self/cgroup` and the mounted hierarchies say.
fn bases(own: &str, mount: &Path) -> Vec<Base> {
    let mut bases = Vec::new();
    for line in own.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let below = path.trim_start_matches('/');
        if controllers.is_empty() {
            // Beside hierarchies of version 1, that of version 2 is mounted below them.
            let unified = mount.join("unified");
            let root = if unified.is_dir() { unified } else { mount.to_owned() };
            let own = root.join(below);
            let delegated = own.file_name().is_some_and(|name| name == SERVER_GROUP);
            let folder = if delegated { own.parent().unwrap_or(&root).to_owned() } else { own };
            bases.push(Base { folder, memory: true, pids: true, version: 2 });
            continue;
        }
        let has = |wanted: &str| controllers.split(',').any(|controller| controller == wanted);
        let (memory, pids) = (has("memory"), has("pids"));
        if memory || pids {
            bases.push(Base { folder: mount.join(controllers).join(below), memory, pids, version: 1 });
        }
    }
    bases.retain(|base| base.folder.join("cgroup.procs").exists());
    bases
}

fn our_bases() -> Vec<Base> {
    bases(&fs::read_to_string("/proc/self/cgroup").unwrap_or_default(), Path::new("/sys/fs/cgroup"))
}

fn name_of(pid: u32, started: u64) -> String {
    format!("tutti-{pid}-{started}")
}

impl Groups {
    /// Makes groups for this process and puts it, and so everything it starts, into them.
    pub(super) fn join() -> Groups {
        let pid = std::process::id();
        let name = name_of(pid, tree::start_time(pid).unwrap_or_default());
        let mut groups = Groups::default();
        for base in our_bases() {
            if base.version == 2 {
                // Refused where processes are beside, or nothing was delegated: then the files below are missing.
                let _ = fs::write(base.folder.join("cgroup.subtree_control"), "+memory +pids");
            }
            let folder = base.folder.join(&name);
            let made = fs::create_dir(&folder).and_then(|()| fs::write(folder.join("cgroup.procs"), "0"));
            if made.is_err() {
                let _ = fs::remove_dir(&folder);
                continue;
            }
            groups.others.push(folder.clone());
            let group = || Group { folder: folder.clone(), base: base.clone(), before: Cell::new(0) };
            if base.memory && groups.memory.is_none() && folder.join(memory_file(base.version)).exists() {
                groups.memory = Some(group());
            }
            if base.pids && groups.pids.is_none() && folder.join("pids.max").exists() {
                groups.pids = Some(group());
            }
        }
        groups
    }

    /// Puts a process into the groups that was made before the wrapper was in them.
    pub(super) fn adopt(&self, pid: u32) {
        for folder in &self.others {
            // One that has ended needs no limits.
            let _ = fs::write(folder.join("cgroup.procs"), pid.to_string());
        }
    }

    /// Sets the limits of an attempt. Gives what could not be enforced.
    pub(super) fn limit(&self, spec: &ShimSpec) -> Vec<String> {
        let mut unenforced = Vec::new();
        let memory = self.memory.as_ref().is_some_and(|group| group.limit_memory(spec.memory_bytes));
        self.limits_memory.set(memory && spec.memory_bytes > 0);
        if !memory && spec.memory_bytes > 0 {
            unenforced.push("memory is watched, not enforced by a control group".to_owned());
        }
        let processes = (u64::from(spec.processes_max) + 1).to_string();
        if !self.pids.as_ref().is_some_and(|group| group.set("pids.max", &processes)) {
            unenforced.push("the number of processes is watched, not enforced by a control group".to_owned());
        }
        for group in [&self.memory, &self.pids].into_iter().flatten() {
            group.before.set(0);
        }
        if let Some(group) = &self.memory {
            group.before.set(group.count(memory_events(group.base.version), "oom_kill"));
        }
        if let Some(group) = &self.pids {
            group.before.set(group.count("pids.events", "max"));
        }
        unenforced
    }

    /// Whether the kernel can keep limits of memory here.
    pub(super) fn keep_memory(&self) -> bool {
        self.memory.is_some()
    }

    /// Whether the kernel can keep limits of processes here.
    pub(super) fn keep_processes(&self) -> bool {
        self.pids.is_some()
    }

    /// Whether the kernel keeps the limit of memory of the present attempt.
    pub(super) fn limit_memory(&self) -> bool {
        self.limits_memory.get()
    }

    /// Whether the kernel killed a process of the present attempt for memory.
    pub(super) fn killed_for_memory(&self) -> bool {
        self.memory.as_ref().is_some_and(|group| group.count(memory_events(group.base.version), "oom_kill") > group.before.get())
    }

    fn refusals(&self) -> u64 {
        self.pids.as_ref().map_or(0, |group| group.count("pids.events", "max").saturating_sub(group.before.get()))
    }

    /// Whether a process of the present attempt was refused another.
    pub(super) fn refused_processes(&self) -> bool {
        self.refusals() > 0
    }

    /// From now on nothing in the group gets another process, so that killing comes to an end.
    pub(super) fn forbid_new_processes(&self) {
        if let Some(group) = &self.pids {
            // What the kernel counts as refused from here on is our doing.
            let refused = self.refusals();
            group.set("pids.max", "0");
            group.before.set(group.count("pids.events", "max").saturating_sub(refused));
        }
    }

    /// What is in the group may have another process again.
    pub(super) fn allow_new_processes(&self) {
        if let Some(group) = &self.pids {
            group.set("pids.max", "max");
        }
    }

    /// Leaves the groups and removes them.
    pub(super) fn remove(&self) {
        for folder in &self.others {
            // An empty group that stays behind costs nothing; it is cleared away when a site is opened.
            let _ = folder.parent().map(|base| fs::write(base.join("cgroup.procs"), "0"));
            let _ = fs::remove_dir(folder);
        }
    }
}

fn memory_file(version: u8) -> &'static str {
    if version == 1 { "memory.limit_in_bytes" } else { "memory.max" }
}

fn memory_events(version: u8) -> &'static str {
    if version == 1 { "memory.oom_control" } else { "memory.events" }
}

impl Group {
    fn set(&self, file: &str, value: &str) -> bool {
        fs::write(self.folder.join(file), value).is_ok()
    }

    fn limit_memory(&self, bytes: u64) -> bool {
        let (none, swap) = if self.base.version == 1 { ("-1", None) } else { ("max", Some("memory.swap.max")) };
        let value = if bytes == 0 { none.to_owned() } else { (bytes + WRAPPER_BYTES).to_string() };
        // Without this a limit on memory is one on how much of it is not swapped out.
        if let Some(swap) = swap {
            self.set(swap, if bytes == 0 { none } else { "0" });
        }
        self.set(memory_file(self.base.version), &value)
    }

    /// A counter in a file of lines with a name and a number.
    fn count(&self, file: &str, name: &str) -> u64 {
        let text = fs::read_to_string(self.folder.join(file)).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
    }
}

/// Kills what a wrapper that is gone left in its groups, and removes them.
pub(crate) fn kill_group_of(pid: u32, started: u64) {
    for base in our_bases() {
        clear(&base.folder.join(name_of(pid, started)));
    }
}

/// Kills what wrappers that are gone left in their groups, whosever they were, and removes them.
pub(crate) fn clear_abandoned() {
    for base in our_bases() {
        for entry in fs::read_dir(&base.folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let Some((pid, started)) = name.to_str().and_then(|name| name.strip_prefix("tutti-")?.split_once('-')) else {
                continue;
            };
            let (Ok(pid), Ok(started)) = (pid.parse(), started.parse()) else { continue };
            if tree::start_time(pid) != Some(started) {
                clear(&entry.path());
            }
        }
    }
}

fn clear(group: &Path) {
    let _ = fs::write(group.join("pids.max"), "0");
    tree::kill_until_none(&mut || {
        let text = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
        text.lines().filter_map(|pid| pid.parse().ok()).collect()
    });
    let _ = fs::remove_dir(group);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(folders: &[&str]) -> tempfile::TempDir {
        let mount = tempfile::tempdir().unwrap();
        for folder in folders {
            fs::create_dir_all(mount.path().join(folder)).unwrap();
            fs::write(mount.path().join(folder).join("cgroup.procs"), "").unwrap();
        }
        mount
    }

    #[test]
    fn groups_are_made_below_our_own() {
        let mount = mount(&["memory/box", "pids", "unified"]);
        let found = bases("8:pids:/\n5:cpu,cpuacct:/\n4:memory:/box\n0::/\n", mount.path());
        let folders: Vec<_> = found.iter().map(|base| base.folder.strip_prefix(mount.path()).unwrap().to_owned()).collect();
        assert_eq!(folders, [PathBuf::from("pids"), "memory/box".into(), "unified".into()]);
        assert!(found[0].pids && !found[0].memory && found[1].memory && found[2].version == 2);
    }

    #[test]
    fn a_delegated_group_is_used_beside_that_of_the_server() {
        let mount = mount(&["system.slice/tutti.service", "system.slice/tutti.service/server"]);
        let found = bases("0::/system.slice/tutti.service/server\n", mount.path());
        assert_eq!(found[0].folder, mount.path().join("system.slice/tutti.service"));
        let found = bases("0::/system.slice/tutti.service\n", mount.path());
        assert_eq!(found[0].folder, mount.path().join("system.slice/tutti.service"));
        assert!(bases("0::/elsewhere\n", mount.path()).is_empty());
    }

    #[test]
    fn limits_are_written_and_events_counted_from_the_attempt_on() {
        let mount = mount(&["g"]);
        let folder = mount.path().join("g");
        for version in [1, 2] {
            let base = Base { folder: mount.path().to_owned(), memory: true, pids: true, version };
            let group = Group { folder: folder.clone(), base, before: Cell::new(0) };
            assert!(group.limit_memory(1 << 20));
            let written = fs::read_to_string(folder.join(memory_file(version))).unwrap();
            assert_eq!(written, ((1 << 20) + WRAPPER_BYTES).to_string());
            fs::write(folder.join(memory_events(version)), "oom 7\noom_kill 3\n").unwrap();
            assert_eq!(group.count(memory_events(version), "oom_kill"), 3);
            assert_eq!(group.count("missing", "oom_kill"), 0);
        }
    }
}
