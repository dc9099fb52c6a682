//! The root that a process within the walls sees: an empty file system in memory, into which what it may see is bound.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind_recursive, mount_change, unmount};

use super::{Attempt, Built, Site, Step, Walls, below};

/// Where the machine's root lies while the new one is built.
const OLD: &str = "/.old";
/// Where the folders of a site lie until it is known which of them an attempt is shown.
const KEPT: &str = "/.kept";
/// An empty folder, which covers them then.
const NOTHING: &str = "/.nothing";
/// Device files that do no harm.
const DEVICES: [&str; 5] = ["null", "zero", "full", "random", "urandom"];
/// Beginnings of the names of device files of accelerators.
const ACCELERATORS: [&str; 4] = ["nvidia", "dri", "kfd", "accel"];
/// Files of `/proc` that tell of the whole machine. They are hidden behind an empty device.
const HIDDEN: [&str; 2] = ["/proc/kcore", "/proc/keys"];

/// Builds the root and moves into it, as far as that can be done before there is an attempt. Called in namespaces of its own, with the
/// rights that come with them.
pub(super) fn build(site: &Site) -> Built<()> {
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private).step(|| "making mounts private".into())?;
    let base = site.attempts.as_path();
    mount("tmpfs", base, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, c"mode=0755,size=4m,nr_inodes=4096")
        .step(|| "mounting a root".into())?;
    fs::create_dir(base.join(".old")).step(|| "laying out the root".into())?;
    rustix::process::pivot_root(base, base.join(".old")).step(|| "changing the root".into())?;
    rustix::process::chdir("/").step(|| "entering the root".into())?;
    for (link, to) in &site.runtime.links {
        std::os::unix::fs::symlink(to, link).step(|| format!("linking {}", link.display()))?;
    }
    let is_within = |at: &Path| site.hidden.iter().any(|hidden| at.starts_with(hidden));
    let (within, before): (Vec<_>, Vec<_>) = site.runtime.shown.iter().partition(|(at, _)| is_within(at));
    show(&before)?;
    for hidden in hidden_at(site).iter().filter(|hidden| hidden.is_dir()) {
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        mount("tmpfs", hidden, "tmpfs", flags, c"mode=0755,size=1m").step(|| "hiding the server's data".into())?;
    }
    show(&within)?;
    devices(site)?;
    proc()?;
    keep(site)?;
    unmount(OLD, UnmountFlags::DETACH).step(|| "leaving the old root".into())?;
    fs::remove_dir(OLD).step(|| "leaving the old root".into())
}

/// Puts what belongs to the attempt into the root, and closes it.
pub(super) fn complete(site: &Site, attempt: &Attempt, folder: &fs::File) -> Built<()> {
    writable(site, attempt, folder)?;
    shared_memory(attempt)?;
    notes(attempt).step(|| "writing /etc".into())?;
    fs::create_dir(NOTHING).step(|| "covering the site's folders".into())?;
    // Nobody inside may uncover it. To unmount would have this process wait for every other that looks up a path.
    bind(Path::new(NOTHING), Path::new(KEPT), Mode::Read)?;
    set(Path::new("/"), Mode::Read, false).step(|| "closing the root".into())
}

/// Keeps the folders of a site at hand after the old root is gone.
fn keep(site: &Site) -> Built<()> {
    let old = |path: &Path| below(Path::new(OLD), path);
    bind(&old(&site.attempts), &Path::new(KEPT).join("attempts"), Mode::Write)?;
    for (number, folder) in site.writable.iter().enumerate() {
        bind(&old(folder), &kept(number), Mode::Write)?;
    }
    for (number, (_, lies)) in covered(site).enumerate() {
        if old(lies).exists() {
            bind(&old(lies), &kept_shown(number), Mode::Read)?;
        }
    }
    Ok(())
}

/// What is shown below `/tmp`: the attempt's own is put over it, and it is shown again on top of that. What something hidden lies in is not: it
/// would be shown with it.
fn covered(site: &Site) -> impl Iterator<Item = (&PathBuf, &PathBuf)> {
    let is_covered = |at: &Path| at.starts_with("/tmp") && at != Path::new("/tmp");
    let hides = move |lies: &Path| site.hidden.iter().any(|hidden| hidden.starts_with(lies));
    site.runtime.shown.iter().filter(move |(at, lies)| is_covered(at) && !hides(lies))
}

fn kept_shown(number: usize) -> PathBuf {
    Path::new(KEPT).join(format!("shown-{number}"))
}

fn kept(number: usize) -> PathBuf {
    Path::new(KEPT).join(number.to_string())
}

/// Whether the path still leads to the folder that the wrapper has open: a later server may have put another in its place.
fn same(path: &Path, folder: &fs::File) -> io::Result<()> {
    let (found, meant) = (fs::metadata(path)?, folder.metadata()?);
    let is_same = (found.dev(), found.ino()) == (meant.dev(), meant.ino());
    if is_same { Ok(()) } else { Err(io::Error::new(io::ErrorKind::NotFound, "it was replaced")) }
}

/// Where what is hidden would be seen: by its own path, and below every link that leads to something above it.
fn hidden_at(site: &Site) -> BTreeSet<PathBuf> {
    let mut all: BTreeSet<PathBuf> = site.hidden.iter().cloned().collect();
    for (at, lies) in &site.runtime.shown {
        all.extend(
            site.hidden.iter().filter_map(|hidden| Some(at.join(hidden.strip_prefix(lies).ok()?))).filter(|path| path != at),
        );
    }
    all
}

fn show(shown: &[(&PathBuf, &PathBuf)]) -> Built<()> {
    for (at, lies) in shown {
        // What was removed since the site was opened is not there inside either.
        let source = below(Path::new(OLD), lies);
        if source.exists() {
            bind(&source, at, Mode::Read)?;
        }
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Read,
    Write,
    /// Device files work.
    Device,
}

/// Shows what lies at `source` at `at`.
fn bind(source: &Path, at: &Path, mode: Mode) -> Built<()> {
    let step = || format!("showing {}", at.display());
    if source.is_dir() {
        fs::create_dir_all(at).step(step)?;
    } else {
        fs::create_dir_all(at.parent().unwrap_or(at)).step(step)?;
        if !at.exists() {
            fs::File::create(at).step(step)?;
        }
    }
    mount_bind_recursive(source, at).step(step)?;
    if mode == Mode::Device { Ok(()) } else { set(at, mode, true).step(step) }
}

/// Makes a mount one to be read alone. What else holds of it goes on to hold: of a file system of which no programs are started none are.
pub(super) fn close(at: &Path) -> io::Result<()> {
    set(at, Mode::Read, true)
}

/// The same, and nothing that is mounted below it.
pub(super) fn close_alone(at: &Path) -> io::Result<()> {
    set(at, Mode::Read, false)
}

#[repr(C)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    userns: u64,
}

/// Takes rights off a mount, and off those below it.
#[expect(unsafe_code, reason = "no safe binding of mount_setattr")]
fn set(at: &Path, mode: Mode, recursive: bool) -> io::Result<()> {
    let path = std::ffi::CString::new(std::os::unix::ffi::OsStrExt::as_bytes(at.as_os_str()))?;
    let mut attributes =
        MountAttributes { set: libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV, clear: 0, propagation: 0, userns: 0 };
    if mode == Mode::Read {
        attributes.set |= libc::MOUNT_ATTR_RDONLY;
    }
    let flags = if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path ends with a zero byte, and the structure is of the size that is said and outlives the call.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            flags,
            &raw const attributes,
            size_of::<MountAttributes>(),
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn devices(site: &Site) -> Built<()> {
    let step = || "laying out /dev".to_owned();
    fs::create_dir_all("/dev/shm").step(step)?;
    let old = below(Path::new(OLD), Path::new("/dev"));
    for device in DEVICES {
        bind(&old.join(device), &Path::new("/dev").join(device), Mode::Device)?;
    }
    if site.accelerators {
        for entry in fs::read_dir(&old).step(step)?.flatten() {
            let name = entry.file_name();
            if ACCELERATORS.iter().any(|begin| name.to_string_lossy().starts_with(begin)) {
                bind(&entry.path(), &Path::new("/dev").join(&name), Mode::Device)?;
            }
        }
    }
    for (link, to) in [("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")] {
        std::os::unix::fs::symlink(to, Path::new("/dev").join(link)).step(step)?;
    }
    Ok(())
}

fn shared_memory(attempt: &Attempt) -> Built<()> {
    let step = || "mounting /dev/shm".to_owned();
    let size = if attempt.shared_memory_bytes > 0 { format!("size={}", attempt.shared_memory_bytes) } else { "size=25%".into() };
    let options = std::ffi::CString::new(format!("mode=1777,{size}")).step(step)?;
    mount("tmpfs", "/dev/shm", "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, options.as_c_str()).step(step)
}

/// The processes of this namespace, and no others. To be read only: what the machine lets root change there, nobody changes from here.
fn proc() -> Built<()> {
    let step = || "mounting /proc".to_owned();
    fs::create_dir("/proc").step(step)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::RDONLY;
    mount("proc", "/proc", "proc", flags, None).step(step)?;
    for hidden in HIDDEN {
        if Path::new(hidden).exists() {
            mount_bind_recursive("/dev/null", hidden).step(|| format!("hiding {hidden}"))?;
        }
    }
    Ok(())
}

fn writable(site: &Site, attempt: &Attempt, folder: &fs::File) -> Built<()> {
    let broken = || "finding the attempt's folder".to_owned();
    let own = attempt.folder.strip_prefix(&site.attempts).map_err(io::Error::other).step(broken)?;
    let own = Path::new(KEPT).join("attempts").join(own);
    same(&own, folder).step(broken)?;
    let work = own.join(attempt.work.strip_prefix(&attempt.folder).map_err(io::Error::other).step(broken)?);
    let temporary = work.join(".tmp");
    fs::create_dir_all(&temporary).step(|| "making a folder for /tmp".into())?;
    // First, so that what lies below it is put into it.
    bind(&temporary, Path::new("/tmp"), Mode::Write)?;
    for (number, (at, _)) in covered(site).enumerate() {
        if kept_shown(number).exists() {
            bind(&kept_shown(number), at, Mode::Read)?;
        }
    }
    for (number, folder) in site.writable.iter().enumerate() {
        bind(&kept(number), folder, Mode::Write)?;
    }
    bind(&work, &attempt.work, Mode::Write)?;
    // The home of a process that serves many attempts has no inputs of one.
    let inputs = work.join("in");
    if inputs.exists() { bind(&inputs, &attempt.work.join("in"), Mode::Read) } else { Ok(()) }
}

/// The users, hosts and name servers that there are inside.
fn notes(attempt: &Attempt) -> io::Result<()> {
    fs::create_dir_all("/etc")?;
    let (user, group) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    let home = attempt.work.display();
    let root = if user == 0 { format!("root:x:0:0:root:{home}:/bin/sh\n") } else { "root:x:0:0:root:/:/bin/sh\n".into() };
    let own = if user == 0 { String::new() } else { format!("tutti:x:{user}:{group}:tutti:{home}:/bin/sh\n") };
    fs::write("/etc/passwd", format!("{root}{own}nobody:x:65534:65534:nobody:/:/bin/false\n"))?;
    let own = if group == 0 { String::new() } else { format!("tutti:x:{group}:\n") };
    fs::write("/etc/group", format!("root:x:0:\n{own}nogroup:x:65534:\n"))?;
    fs::write("/etc/resolv.conf", "")?;
    let mut hosts = "127.0.0.1 localhost\n::1 localhost\n".to_owned();
    for (address, host) in super::network::names(&attempt.egress) {
        hosts.push_str(&format!("{address} {host}\n"));
    }
    fs::write("/etc/hosts", hosts)
}

/// What can be written inside, by the paths inside.
pub(super) fn written(walls: &Walls) -> Vec<PathBuf> {
    let mut paths = vec![PathBuf::from("/tmp"), walls.attempt.work.clone(), "/dev/shm".into()];
    paths.extend(walls.site.writable.iter().cloned());
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hidden_is_so_by_every_path_that_leads_there() {
        let mut site = Site { hidden: vec!["/lab/data".into()], ..Site::default() };
        let shown = [("/lab", "/lab"), ("/opt/link", "/lab"), ("/opt/tools", "/usr/tools"), ("/opt/kept", "/lab/data/kept")];
        site.runtime.shown = shown.map(|(at, lies)| (PathBuf::from(at), PathBuf::from(lies))).into();
        assert_eq!(hidden_at(&site), ["/lab/data", "/opt/link/data"].map(PathBuf::from).into());
    }

    #[test]
    fn what_something_hidden_lies_in_is_not_shown_again() {
        let mut site = Site { hidden: vec!["/tmp/lab/data".into()], ..Site::default() };
        let shown = ["/tmp", "/tmp/lab", "/tmp/lab/data", "/tmp/lab/data/kept", "/tmp/lab/tools", "/usr"].map(PathBuf::from);
        site.runtime.shown = shown.iter().map(|path| (path.clone(), path.clone())).collect();
        // It lies elsewhere than it is shown.
        site.runtime.shown.insert("/tmp/link".into(), "/tmp/lab".into());
        let again: Vec<&Path> = covered(&site).map(|(at, _)| at.as_path()).collect();
        assert_eq!(again, [Path::new("/tmp/lab/data/kept"), Path::new("/tmp/lab/tools")]);
    }
}
