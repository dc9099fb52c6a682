//! The local executor, and the contract that every executor has to pass.

use std::path::{Path, PathBuf};

use executors::contract::{Incarnation, Rig};
use executors::local::{LocalExecutor, Options};
use executors::sandbox::Settings;
use executors::{Executor, Observed, contract_suite};
use model::Resources;
use tokio::sync::mpsc::UnboundedSender;

/// The program that wraps processes.
pub(crate) fn shim() -> (PathBuf, Vec<String>) {
    (env!("CARGO_BIN_EXE_tutti-shim").into(), Vec::new())
}

/// A site in a folder of its own.
pub(crate) struct LocalRig {
    folder: tempfile::TempDir,
    shared: PathBuf,
}

impl LocalRig {
    pub(crate) fn new() -> LocalRig {
        LocalRig::within(&std::env::temp_dir())
    }

    pub(crate) fn within(folder: &Path) -> LocalRig {
        let folder = tempfile::tempdir_in(folder).unwrap();
        let shared = folder.path().join("shared");
        std::fs::create_dir(&shared).unwrap();
        LocalRig { folder, shared }
    }

    pub(crate) fn site(&self) -> PathBuf {
        self.folder.path().join("site")
    }

    pub(crate) fn options(&self) -> Options {
        Options {
            site: executors::contract::SITE.into(),
            folder: self.site(),
            shim: shim(),
            path: std::env::var("PATH").unwrap_or_default(),
            capacity: Resources::default(),
            tickets: executors::contract::authority().key(),
            keys: None,
            sandbox: Settings::off(shim()),
        }
    }
}

impl Drop for LocalRig {
    /// A test that failed leaves nothing running, though attempts are made to outlive whoever ordered them.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let control = Incarnation::start(self, u64::MAX);
            for owned in control.ask(control.executor().list_owned()).unwrap_or_default() {
                control.ask(control.executor().cancel(owned.key, model::Duration(0)));
            }
        }
    }
}

impl Rig for LocalRig {
    fn open(&self, observed: UnboundedSender<Observed>) -> Box<dyn Executor> {
        Box::new(LocalExecutor::open(self.options(), observed).unwrap())
    }

    fn shared(&self) -> &Path {
        &self.shared
    }
}

mod contract {
    use super::*;

    contract_suite!(LocalRig::new());
}

/// Attempts outlive their server, but not the folder in which what they come to would be found.
#[test]
fn an_attempt_whose_folder_is_removed_ends() {
    let rig = LocalRig::new();
    let mut control = Incarnation::start(&rig, 1);
    let key = control.run("mark ran; exec sleep 1000");
    control.until_marked(key, "ran");
    let process = PathBuf::from(format!("/proc/{}/stat", control.marks(key, "ran")[0]));
    let owner = std::fs::read_to_string(rig.site().join(format!("attempts/{key}/shim.pid"))).unwrap();
    let wrapper = Path::new("/proc").join(owner.split(' ').next().unwrap()).join("stat");
    assert!(process.exists() && wrapper.exists());
    std::fs::remove_dir_all(rig.site()).unwrap();
    executors::contract::until("the process is gone", || is_gone(&process));
    executors::contract::until("the wrapper is gone", || is_gone(&wrapper));
    assert_eq!(control.end_of(key).failure().class, model::FailureClass::NodeLost);
}

/// What is started ahead of work is a process that waits, is replaced when it is killed, and goes as soon as it is wanted no more.
#[test]
fn what_is_kept_started_is_there_before_the_work_and_goes_with_the_wish() {
    let rig = LocalRig::new();
    // A program of its own name: other tests of this process have wrappers too.
    let program = rig.shared().join("shim-of-pool");
    std::fs::copy(shim().0, &program).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let _within = runtime.enter();
    let options = Options { shim: (program, Vec::new()), ..rig.options() };
    let executor = LocalExecutor::open(options, tokio::sync::mpsc::unbounded_channel().0).unwrap();
    let ours = |pid: &i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.contains("(shim-of-pool)") && !stat.contains(") Z ")
    };
    let wrappers = || {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(ours).collect::<Vec<i32>>()
    };
    assert_eq!((executor.idle(), wrappers().len()), (0, 0));
    executor.keep_warm(12);
    executors::contract::until("twelve are there", || wrappers().len() == 12);
    assert_eq!(executor.idle(), 12);
    executor.keep_warm(2);
    assert_eq!(executor.idle(), 2);
    executors::contract::until("ten have gone", || wrappers().len() == 2);
    let killed = wrappers()[0];
    let pid = rustix::process::Pid::from_raw(killed).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    executors::contract::until("it is known to be gone", || executor.idle() == 1);
    runtime.block_on(executor.probe());
    executors::contract::until("another has taken its place", || wrappers().len() == 2 && !wrappers().contains(&killed));
    executor.keep_warm(0);
    executors::contract::until("all have gone", || wrappers().is_empty());
}

/// Gone, or dead and not yet reaped by whoever inherited it.
fn is_gone(stat: &Path) -> bool {
    std::fs::read_to_string(stat).map_or(true, |stat| stat.contains(") Z "))
}

mod killed_server {
    use super::*;
    use executors::contract::{gated, until};
    use model::{ActionNo, AttemptKey, AttemptNo, RunId};
    use std::os::unix::process::ExitStatusExt as _;

    const SITE: &str = "EXECUTORS_TEST_SITE";

    struct Elsewhere(PathBuf);

    impl Rig for Elsewhere {
        fn open(&self, observed: UnboundedSender<Observed>) -> Box<dyn Executor> {
            let options = Options { folder: self.0.join("site"), ..LocalRig::new().options() };
            Box::new(LocalExecutor::open(options, observed).unwrap())
        }

        fn shared(&self) -> &Path {
            &self.0
        }
    }

    /// Two attempts that both processes know.
    fn keys() -> [AttemptKey; 2] {
        [1, 2].map(|number| AttemptKey { run: RunId(8), action: ActionNo(number), attempt: AttemptNo(1) })
    }

    /// Not a test but the server of the next one, which runs it in a process of its own: it orders two attempts and waits to be killed.
    #[test]
    fn server() {
        let Some(folder) = std::env::var_os(SITE) else { return };
        let rig = Elsewhere(folder.into());
        let mut control = Incarnation::start(&rig, 1);
        let [short, key] = keys();
        control.order(short, "mark ran");
        control.end_of(short);
        control.order(key, &gated(key));
        // Until whoever started it is gone, at the latest.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    }

    #[test]
    fn attempts_outlive_a_server_that_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let rig = Elsewhere(folder.path().to_owned());
        let mut server = std::process::Command::new(std::env::current_exe().unwrap());
        server.args(["--exact", "local::killed_server::server", "--nocapture"]).env(SITE, folder.path());
        let mut server = server.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::null()).spawn().unwrap();
        let [short, key] = keys();
        let mark = folder.path().join(format!("{key}.ran"));
        until("the attempt of the server runs", || mark.exists());
        server.kill().unwrap();
        assert_eq!(server.wait().unwrap().signal(), Some(9));
        let mut control = Incarnation::start(&rig, 2);
        control.order(key, &gated(key));
        control.order(short, "mark ran");
        assert!(control.end_of(short).output().is_object());
        control.open_gate(key);
        assert_eq!(control.end_of(key).output()["n"], 42);
        assert_eq!((control.marks(key, "ran").len(), control.marks(short, "ran").len()), (1, 1));
        // Wrappers of the server that is gone go too.
        let owner = std::fs::read_to_string(folder.path().join(format!("site/attempts/{key}/shim.pid"))).unwrap();
        let stat = Path::new("/proc").join(owner.split(' ').next().unwrap()).join("stat");
        until("the wrapper is gone", || is_gone(&stat));
    }
}
