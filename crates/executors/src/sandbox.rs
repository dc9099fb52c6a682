//! Walls around the process of an attempt: namespaces of its own for users, files, processes, network and messages; a root that holds its
//! work folder and the site's runtime and nothing else; Landlock and a filter of system calls on top. What this machine does not give is
//! found out before, by trying it, and said.
//!
//! The wrapper stays outside. It makes a child in new namespaces, which builds the walls, shuts itself in, and then starts the command as
//! its own child: the first process of the namespace reaps what is orphaned, and when it ends, the kernel ends all the others.
//!
//! Most of the time goes into making and taking away namespaces, and most of that into waiting for the kernel. So a wrapper without work
//! has a child build what is the same for the site's next attempt, and does not wait for the end of a namespace in which nothing runs.

pub(crate) mod cover;
pub(crate) mod egress;
pub(crate) mod enter;
mod filter;
mod inside;
pub(crate) mod joined;
mod network;
mod probe;
mod root;
mod rules;
pub(crate) mod runtime;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use model::EgressGrant;
use model::site::SandboxMode;

pub use cover::keeps_signals_in;
pub(crate) use inside::processes_within;
pub use model::Connection;
pub(crate) use network::PROXY_PORT;
pub use probe::{Isolation, probe, time_starts};
pub(crate) use probe::{answer as answer_probe, answer_starts};

/// Kinds of walls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Layers {
    /// Namespaces of users, mounts and processes: a root of its own, and no sight of other processes.
    pub namespaces: bool,
    /// A namespace of the network: nothing is there but what was granted.
    pub network: bool,
    /// Rules of Landlock on files, signals and abstract sockets.
    pub landlock: bool,
    /// A filter of system calls.
    pub seccomp: bool,
}

impl Layers {
    /// All of them.
    pub const ALL: Layers = Layers { namespaces: true, network: true, landlock: true, seccomp: true };
}

/// The walls of one attempt, as the wrapper builds them.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Walls {
    #[serde(flatten)]
    pub(crate) site: Site,
    #[serde(flatten)]
    pub(crate) attempt: Attempt,
    /// What this machine does not enforce of what was asked for.
    pub(crate) lacking: Vec<String>,
}

/// What is the same for most attempts at a site: it can be built before there is one.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Site {
    pub(crate) layers: Layers,
    /// The folder of the folders of attempts by its own path. The new root is mounted over it.
    #[serde(default)]
    pub(crate) attempts: PathBuf,
    /// What can be read and executed.
    pub(crate) runtime: runtime::Runtime,
    /// What is not shown though something above it is: the data of the server.
    pub(crate) hidden: Vec<PathBuf>,
    /// What can be written beside the work folder.
    pub(crate) writable: Vec<PathBuf>,
    /// Whether accelerators are let in.
    pub(crate) accelerators: bool,
}

/// What is an attempt's own.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Attempt {
    /// Its folder by its own path.
    pub(crate) folder: PathBuf,
    /// The work folder by its own path.
    pub(crate) work: PathBuf,
    /// What can be reached.
    pub(crate) egress: Vec<EgressGrant>,
    /// Bytes of shared memory; 0 for what the kernel gives.
    pub(crate) shared_memory_bytes: u64,
    /// Processes and threads of the user within the walls, kept by the kernel also where there are no control groups.
    pub(crate) processes_max: u32,
}

impl Walls {
    /// Whether the network is as it is outside: something of it was granted, and this machine cannot give that alone.
    pub(crate) fn network_is_open(&self) -> bool {
        !self.site.layers.network && !self.attempt.egress.is_empty()
    }
}

/// How a site keeps its processes in.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whether there are walls.
    pub mode: SandboxMode,
    /// What the machine can build.
    pub machine: Arc<Machine>,
    /// Folders that are shown beside the system and the search path.
    pub runtime: Vec<PathBuf>,
    /// Folders that can be written beside the work folder and the site's files: of tests.
    pub writable: Vec<PathBuf>,
    /// What is never shown: the data of the server.
    pub hidden: Vec<PathBuf>,
}

/// What the machine can build, found out when it is first asked for.
#[derive(Debug)]
pub struct Machine {
    shim: (PathBuf, Vec<String>),
    found: OnceLock<Isolation>,
}

impl Machine {
    /// The machine as a wrapper sees it.
    pub fn new(shim: (PathBuf, Vec<String>)) -> Arc<Machine> {
        Arc::new(Machine { shim, found: OnceLock::new() })
    }

    /// What it can build. The first time this starts a process and waits for it.
    pub fn isolation(&self) -> &Isolation {
        self.found.get_or_init(|| probe(&self.shim))
    }
}

impl Settings {
    /// Without walls.
    pub fn off(shim: (PathBuf, Vec<String>)) -> Settings {
        let (runtime, writable, hidden) = Default::default();
        Settings { mode: SandboxMode::Off, machine: Machine::new(shim), runtime, writable, hidden }
    }

    /// Whether a folder lies within what is never shown, wherever its links lead.
    pub fn hides(&self, folder: &Path) -> bool {
        folder.canonicalize().is_ok_and(|lies| self.hidden.iter().any(|hidden| lies.starts_with(hidden)))
    }

    /// Why nothing may run here, when that is so.
    pub(crate) fn unfit(&self) -> Option<String> {
        let isolation = (self.mode == SandboxMode::Require).then(|| self.machine.isolation())?;
        (isolation.layers != Layers::ALL)
            .then(|| format!("it requires a sandbox, and this machine cannot build one: {}", isolation.lacking.join("; ")))
    }
}

/// A step in building walls that did not work.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) step: String,
    pub(crate) error: std::io::Error,
}

pub(crate) type Built<T> = Result<T, Broken>;

/// Names the step that failed.
pub(crate) trait Step<T> {
    fn step(self, step: impl FnOnce() -> String) -> Built<T>;
}

impl<T, E: Into<std::io::Error>> Step<T> for Result<T, E> {
    fn step(self, step: impl FnOnce() -> String) -> Built<T> {
        self.map_err(|error| Broken { step: step(), error: error.into() })
    }
}

/// A path as one below another root.
fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}
