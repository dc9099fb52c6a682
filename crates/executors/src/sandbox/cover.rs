//! What there is where walls are not wanted: a process runs as the server does, sees the machine and its network, but not the server's data, which
//! lie under an empty folder for it; nor can it look into other processes of the user or send them signals. It costs two namespaces and a few mounts.
//!
//! A process that was there before puts the same on by itself: `host.py` of the Flyte tasks, which is told of it with its order.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use landlock::{CompatLevel, Compatible as _, Ruleset, RulesetAttr as _, Scope};
use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind_recursive, mount_change};
use rustix::thread::CapabilitySet;

use super::inside::{drop_rights, map_users};
use super::root;

/// What is said of an attempt where a machine cannot hide anything.
pub(crate) const LACKING: &str = "the server's data are not hidden from it: this machine makes no namespaces for users";

/// What is said of an attempt where the kernel cannot keep its signals in.
pub(crate) const LOUD: &str = "signals and abstract sockets to other processes are not kept in: the kernel is older than 6.12";

/// Whether the kernel keeps signals in, and the way to sockets without a file.
#[expect(unsafe_code, reason = "no safe binding that says which version of Landlock there is")]
pub fn keeps_signals_in() -> bool {
    const VERSION: libc::c_uint = 1;
    // SAFETY: asked for its version, the call reads no memory.
    let version = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0_usize, VERSION) };
    version >= 6
}

/// What an attempt is not shown, and what of that it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Cover {
    /// Folders that are empty for it: the data of the server.
    pub(crate) hidden: Vec<PathBuf>,
    /// What lies within them and can be read all the same.
    pub(crate) shown: Vec<PathBuf>,
    /// Folders within them that can be written, beside the work folder.
    pub(crate) written: Vec<PathBuf>,
    /// The work folder by its own path.
    pub(crate) work: PathBuf,
    /// Whether processes that this one starts put on another of their own.
    #[serde(default)]
    pub(crate) is_outer: bool,
}

impl Cover {
    /// Puts it on, for this process and all that it starts, and enters the work folder. The caller has one thread, and no file open within what is
    /// hidden: whatever is open stays so.
    pub(crate) fn put_on(&self) -> io::Result<()> {
        let user = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        leave_namespaces()?;
        map_users(user)?;
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
        // By descriptors: their paths lead nowhere once they are covered.
        let shown: Vec<(&Path, File, bool)> = self.seen().filter_map(|(path, own)| Some((path, opened(path)?, own))).collect();
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        for hidden in self.hidden.iter().filter(|hidden| hidden.is_dir()) {
            mount("tmpfs", hidden, "tmpfs", flags, c"mode=0755,size=1m")?;
        }
        for (path, open, own) in shown {
            make_place(path, open.metadata()?.is_dir())?;
            mount_bind_recursive(format!("/proc/self/fd/{}", open.as_raw_fd()), path)?;
            if !own {
                root::close(path)?;
            }
        }
        for hidden in self.hidden.iter().filter(|hidden| hidden.is_dir()) {
            root::close_alone(hidden)?;
        }
        // What others load is not changed from here, wherever it lies.
        for path in self.shown.iter().filter(|path| !self.is_hidden(path) && path.exists()) {
            mount_bind_recursive(path, path)?;
            root::close(path)?;
        }
        // The folder that this process was in is the one that is covered: what lies above that would be seen from there.
        rustix::process::chdir(&self.work)?;
        // Where root's own number is handed on, whoever does it has to be able to set rights of files.
        drop_rights(if self.is_outer && user.0 == 0 { CapabilitySet::SETFCAP } else { CapabilitySet::empty() })?;
        if self.is_outer {
            // Every set of rules refuses to move files from folder to folder, one that has none for files too as soon as another has; and with one that
            // allows that no walls could be built any more.
            return Ok(());
        }
        let rules =
            Ruleset::default().set_compatibility(CompatLevel::BestEffort).scope(Scope::Signal | Scope::AbstractUnixSocket);
        rules.and_then(Ruleset::create).and_then(landlock::RulesetCreated::restrict_self).map_err(io::Error::other)?;
        Ok(())
    }

    /// Everything within what is hidden that is seen, and whether it can be written.
    fn seen(&self) -> impl Iterator<Item = (&Path, bool)> {
        let own = self.written.iter().chain([&self.work]);
        let only_read = self.shown.iter().filter(|path| !self.written.contains(path));
        let all = only_read.map(|path| (path, false)).chain(own.map(|path| (path, true)));
        all.map(|(path, own)| (path.as_path(), own)).filter(|(path, _)| self.is_hidden(path))
    }

    fn is_hidden(&self, path: &Path) -> bool {
        self.hidden.iter().any(|hidden| path.starts_with(hidden))
    }
}

fn opened(path: &Path) -> Option<File> {
    rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok().map(File::from)
}

/// Something to put what is seen on.
fn make_place(path: &Path, is_folder: bool) -> io::Result<()> {
    if is_folder {
        return fs::create_dir_all(path);
    }
    fs::create_dir_all(path.parent().unwrap_or(path))?;
    File::create(path).map(drop)
}

#[expect(unsafe_code, reason = "the one thread of this process leaves namespaces, which no other has to share")]
fn leave_namespaces() -> io::Result<()> {
    // SAFETY: touches no memory.
    let done = unsafe { libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
