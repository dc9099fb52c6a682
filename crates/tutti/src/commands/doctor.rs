//! `tutti doctor`: what this machine and this data directory are good for, and what is degraded.

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Serialize;

use crate::cli::Door;
use crate::failure::{CommandError, Exit};
use crate::output::{self, Form, Row};
use crate::session::{self, USUAL, data_directory};

/// Free space below which the disk is called full, in bytes.
const FREE_MIN: u64 = 1 << 30;
/// Syncs measured.
const SYNCS: u32 = 20;
/// Open files a server should be allowed.
const FILES_MIN: u64 = 1_024;
/// The oldest kernel that all of it works on.
const KERNEL_MIN: (u32, u32) = (5, 10);

/// Look at the machine and the data directory, and say what is degraded.
///
/// It fails when something does not work at all.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tutti doctor\n  tutti doctor --data /var/lib/tutti -o json")]
pub(crate) struct Doctor {
    #[command(flatten)]
    form: Form,
}

/// How something was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    Degraded,
    Broken,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    state: State,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

impl Row for Check {
    const COLUMNS: &'static [&'static str] = &["CHECK", "STATE", "FOUND"];

    fn cells(&self) -> Vec<String> {
        let state = match self.state {
            State::Ok => "ok",
            State::Degraded => "degraded",
            State::Broken => "broken",
        };
        vec![self.name.into(), state.into(), self.found.clone()]
    }

    fn name(&self) -> String {
        self.name.into()
    }
}

fn ok(name: &'static str, found: impl Into<String>) -> Check {
    Check { name, state: State::Ok, found: found.into(), hint: None }
}

fn degraded(name: &'static str, found: impl Into<String>, hint: impl Into<String>) -> Check {
    Check { name, state: State::Degraded, found: found.into(), hint: Some(hint.into()) }
}

fn broken(name: &'static str, found: impl Into<String>, hint: impl Into<String>) -> Check {
    Check { name, state: State::Broken, found: found.into(), hint: Some(hint.into()) }
}

impl Doctor {
    /// Looks.
    pub(crate) async fn run(self, door: &Door) -> Result<Exit, CommandError> {
        let data = data_directory(door);
        let there = nearest_existing(&data);
        let mut checks = vec![kernel(), machine(), directory(&data, &there), disk(&there), file_system(&there)];
        checks.push(durability(&there));
        checks.extend([python(), cgroups(), wrapper(), sandbox(), open_files()]);
        checks.push(server(door).await);
        checks.push(port().await);
        output::list(&checks, self.form.output, "")?;
        for check in &checks {
            if let Some(hint) = check.hint.as_ref().filter(|_| self.form.output == output::Format::Table) {
                eprintln!("{}: {hint}", check.name);
            }
        }
        let fails = checks.iter().any(|check| check.state == State::Broken);
        Ok(if fails { Exit::Failed } else { Exit::Done })
    }
}

/// The directory itself, or the one in which it would be made.
fn nearest_existing(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    absolute.ancestors().find(|ancestor| ancestor.is_dir()).unwrap_or(Path::new("/")).to_path_buf()
}

fn kernel() -> Check {
    let names = rustix::system::uname();
    let release = names.release().to_string_lossy().into_owned();
    let mut numbers = release.split(['.', '-']).map(|part| part.parse::<u32>().unwrap_or(0));
    let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let text = format!("{} {release} on {}", names.sysname().to_string_lossy(), names.machine().to_string_lossy());
    if found >= KERNEL_MIN {
        ok("kernel", text)
    } else {
        degraded("kernel", text, format!("Linux {}.{} or later is what it is tested on", KERNEL_MIN.0, KERNEL_MIN.1))
    }
}

fn machine() -> Check {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let amount = |key: &str| {
        let line = memory.lines().find(|line| line.starts_with(key))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| output::size(kib << 10))
    };
    let (total, free) = (amount("MemTotal:").unwrap_or_default(), amount("MemAvailable:").unwrap_or_default());
    ok("machine", format!("{cores} cores, {total} of memory, {free} of it free"))
}

fn directory(data: &Path, there: &Path) -> Check {
    let shown = data.display();
    let probe = tempfile::Builder::new().prefix(".tutti-doctor-").tempfile_in(there);
    if let Err(error) = probe {
        return broken("data directory", format!("{shown}: {error}"), "give a directory that can be written with --data");
    }
    match data.is_dir().then(|| controlplane::holder(data)).flatten() {
        Some(owner) => ok("data directory", format!("{shown}, owned by {owner}")),
        None if data.is_dir() => ok("data directory", format!("{shown}, owned by nobody")),
        None => ok("data directory", format!("{shown}, not there yet; it can be made")),
    }
}

fn disk(there: &Path) -> Check {
    match rustix::fs::statvfs(there) {
        Err(error) => broken("disk", error.to_string(), "the file system says nothing about itself"),
        Ok(stat) => {
            let (free, total) = (stat.f_bavail * stat.f_frsize, stat.f_blocks * stat.f_frsize);
            let text = format!("{} of {} free", output::size(free), output::size(total));
            // A journal that cannot be written stops the server.
            if free < FREE_MIN {
                degraded("disk", text, "make room: a journal that cannot be written stops the server")
            } else {
                ok("disk", text)
            }
        }
    }
}

fn file_system(there: &Path) -> Check {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mut best: (&str, &str) = ("/", "unknown");
    for line in mounts.lines() {
        let mut words = line.split(' ').skip(1);
        let (Some(at), Some(kind)) = (words.next(), words.next()) else { continue };
        if there.starts_with(at) && at.len() >= best.0.len() {
            best = (at, kind);
        }
    }
    let text = format!("{} at {}", best.1, best.0);
    let far = ["nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "fuse.s3fs", "fuse.gcsfuse"];
    let lost = ["tmpfs", "ramfs"];
    if far.contains(&best.1) {
        broken("file system", text, "network file systems do not keep SQLite's locks: use a local disk")
    } else if lost.contains(&best.1) {
        degraded("file system", text, "it is in memory: nothing survives a power cut")
    } else {
        ok("file system", text)
    }
}

/// Opens a journal beside, which reads its pragmas back, and measures what a sync costs.
fn durability(there: &Path) -> Check {
    let folder = match tempfile::Builder::new().prefix(".tutti-doctor-").tempdir_in(there) {
        Ok(folder) => folder,
        Err(error) => return broken("durability", error.to_string(), "give a directory that can be written with --data"),
    };
    let options =
        journal::Options { path: folder.path().join("journal"), shard: 0, durability: journal::Durability::Full, keys: None };
    if let Err(error) = journal::open(options) {
        return broken("durability", error.to_string(), "SQLite does not keep its promise here: use another disk");
    }
    let measured = (|| {
        use std::io::Write as _;
        let mut file = std::fs::File::create(folder.path().join("sync"))?;
        let began = Instant::now();
        for _ in 0..SYNCS {
            file.write_all(&[0; 4096])?;
            file.sync_data()?;
        }
        std::io::Result::Ok(began.elapsed() / SYNCS)
    })();
    match measured {
        Ok(sync) => {
            ok("durability", format!("WAL and synchronous=FULL read back; a sync takes {:.2} ms", sync.as_secs_f64() * 1e3))
        }
        Err(error) => broken("durability", error.to_string(), "the disk cannot be synced"),
    }
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

fn python() -> Check {
    let Some(program) = on_path("python3").or_else(|| on_path("python")) else {
        return degraded("python", "not on the search path", "`run` nodes that call Python will fail; others do not need it");
    };
    let version = std::process::Command::new(&program).arg("--version").output();
    match version {
        Ok(output) if output.status.success() => {
            ok("python", format!("{} at {}", String::from_utf8_lossy(&output.stdout).trim(), program.display()))
        }
        _ => degraded("python", format!("{} does not start", program.display()), "`run` nodes that call Python will fail"),
    }
}

/// Whether limits of memory and processes can be the kernel's.
fn cgroups() -> Check {
    let hint = "memory and processes of `run` nodes are watched by sampling, which a quick one can outrun";
    if !Path::new("/sys/fs/cgroup/cgroup.controllers").is_file() {
        return degraded("cgroups", "no cgroup v2", hint);
    }
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let path = own.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/").trim_start_matches('/').to_owned();
    let folder = Path::new("/sys/fs/cgroup").join(path);
    let controllers = std::fs::read_to_string(folder.join("cgroup.controllers")).unwrap_or_default();
    let writable = rustix::fs::access(&folder, rustix::fs::Access::WRITE_OK).is_ok();
    let enough = ["memory", "pids"].iter().all(|wanted| controllers.split_whitespace().any(|has| has == *wanted));
    if writable && enough {
        ok("cgroups", format!("v2, {} delegated", controllers.trim()))
    } else {
        degraded("cgroups", format!("v2, not delegated to this user ({})", folder.display()), hint)
    }
}

fn wrapper() -> Check {
    match std::env::current_exe() {
        Ok(program) if rustix::fs::access(&program, rustix::fs::Access::EXEC_OK).is_ok() => {
            ok("wrapper", format!("{} shim", program.display()))
        }
        Ok(program) => broken("wrapper", format!("{} cannot be executed", program.display()), "processes of `run` nodes need it"),
        Err(error) => broken("wrapper", error.to_string(), "processes of `run` nodes need it"),
    }
}

/// What walls can be built around processes, by building them.
fn sandbox() -> Check {
    let Ok(program) = std::env::current_exe() else {
        return broken("sandbox", "this program does not know where it lies", "walls around processes need it");
    };
    let isolation = executors::sandbox::probe(&(program, vec!["shim".into()]));
    let layers = isolation.layers;
    let walls = [
        ("namespaces", layers.namespaces),
        ("network", layers.network),
        ("landlock", layers.landlock),
        ("seccomp", layers.seccomp),
    ];
    let (stand, fall): (Vec<_>, Vec<_>) = walls.into_iter().partition(|(_, stands)| *stands);
    let names = |walls: &[(&str, bool)]| walls.iter().map(|(wall, _)| *wall).collect::<Vec<_>>().join(", ");
    match fall.is_empty() {
        true => ok("sandbox", format!("all walls stand: {}", names(&stand))),
        false => {
            let found = format!("{}: missing {}", isolation.tier(), names(&fall));
            let hint = format!("processes of `run` nodes are kept in less than they should be: {}", isolation.lacking.join("; "));
            degraded("sandbox", found, hint)
        }
    }
}

fn open_files() -> Check {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let text = limit.map_or("no limit".to_owned(), |limit| format!("{limit} at once"));
    match limit {
        Some(limit) if limit < FILES_MIN => {
            degraded("open files", text, "raise it (`ulimit -n`): connections and processes need files")
        }
        _ => ok("open files", text),
    }
}

async fn server(door: &Door) -> Check {
    let own = env!("CARGO_PKG_VERSION");
    let client = match session::running(door).await {
        Ok(Some(client)) => client,
        Ok(None) => return ok("server", "none runs: commands do their work in-process"),
        Err(error) => return broken("server", format!("{error:?}"), "give http://HOST:PORT with --server"),
    };
    match client.version().await {
        Some(version) if version == own => ok("server", format!("version {version} at {}", client.url())),
        Some(version) => degraded("server", format!("version {version} at {}", client.url()), format!("this program is {own}")),
        None => broken(
            "server",
            format!("nothing answers at {}", client.url()),
            "start one with `tutti up`, or name another with --server",
        ),
    }
}

/// Whether the usual address is free, or ours.
async fn port() -> Check {
    let address = USUAL.trim_start_matches("http://");
    match tokio::net::TcpListener::bind(address).await {
        Ok(_) => ok("port", format!("{address} is free")),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            let ours = match crate::client::Client::new(USUAL, None, None) {
                Ok(client) => client.is_alive().await,
                Err(_) => false,
            };
            if ours {
                ok("port", format!("{address} is held by a Tutti server"))
            } else {
                degraded("port", format!("{address} is held by another program"), "give `tutti up` another address with --listen")
            }
        }
        Err(error) => degraded("port", format!("{address}: {error}"), "give `tutti up` another address with --listen"),
    }
}
