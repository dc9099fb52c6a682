//! A folder with a data directory, commands that run there, and servers that are stopped after.
#![expect(clippy::disallowed_methods, reason = "another process is looked at again, with a deadline: it tells nobody here")]

use std::io::{BufRead as _, BufReader, Read as _};
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::leftovers;

/// The longest that a command may take; what takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// A folder with the files of a test.
pub(crate) struct Home {
    folder: tempfile::TempDir,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A server that is stopped when it is dropped, or when this process ends however that happens: its standard input is closed then.
pub(crate) struct Server {
    pub(crate) url: String,
    child: Running,
}

/// A process that is killed when it is dropped.
pub(crate) struct Running(Option<Child>);

impl Running {
    /// Starts a command.
    pub(crate) fn start(command: &mut Command) -> Running {
        Running(Some(command.spawn().expect("tutti starts")))
    }

    /// Waits for its end, reading what it writes.
    pub(crate) fn wait_with_output(mut self) -> std::io::Result<Output> {
        self.0.take().expect("it runs").wait_with_output()
    }
}

impl Deref for Running {
    type Target = Child;

    fn deref(&self) -> &Child {
        self.0.as_ref().expect("it runs")
    }
}

impl DerefMut for Running {
    fn deref_mut(&mut self) -> &mut Child {
        self.0.as_mut().expect("it runs")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        for entry in std::fs::read_dir(self.path()).into_iter().flatten().flatten() {
            leftovers::end(&entry.path());
        }
    }
}

impl Home {
    pub(crate) fn new() -> Home {
        Home { folder: tempfile::tempdir().expect("a folder for the test") }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file, with its folders.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("the folder");
        std::fs::write(&path, text).expect("the file");
        path
    }

    /// The command, yet to be started. Nothing of this machine's own settings comes in.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tutti"));
        command.args(arguments).current_dir(self.path()).stdin(Stdio::null());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TUTTI_")) {
            command.env_remove(name);
        }
        command.env("TUTTI_DATA", "data").env_remove("NO_COLOR");
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        end_of(self.command(arguments))
    }

    /// Runs a command that has to succeed.
    pub(crate) fn ok(&self, arguments: &[&str]) -> Ended {
        let ended = self.run(arguments);
        assert_eq!(ended.code, 0, "{arguments:?}: {ended:?}");
        ended
    }

    /// Runs a command that has to succeed and print JSON.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let ended = self.ok(&[arguments, &["-o", "json"]].concat());
        serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {ended:?}"))
    }

    /// The same of a command that may fail yet.
    pub(crate) fn json_or_none(&self, arguments: &[&str]) -> Option<Value> {
        serde_json::from_str(&self.run(&[arguments, &["-o", "json"]].concat()).stdout).ok()
    }

    /// Starts a server on the data directory.
    pub(crate) fn up(&self) -> Server {
        self.up_with(&[])
    }

    pub(crate) fn up_with(&self, arguments: &[&str]) -> Server {
        self.up_as(arguments, &[])
    }

    /// The same at an address.
    pub(crate) fn up_at(&self, address: &str, arguments: &[&str]) -> Server {
        self.start(address, arguments, &[])
    }

    /// The same with variables in its environment.
    pub(crate) fn up_as(&self, arguments: &[&str], variables: &[(&str, String)]) -> Server {
        self.start("127.0.0.1:0", arguments, variables)
    }

    fn start(&self, address: &str, arguments: &[&str], variables: &[(&str, String)]) -> Server {
        let mut command = self.command(&[&["up", "--listen", address, "--stop-with-stdin"], arguments].concat());
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        let log = std::fs::File::create(self.path().join("server.log")).expect("the server's log");
        let mut child = Running::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log));
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("its output")).read_line(&mut line).expect("a line");
        let url = line.trim_end().strip_prefix("tutti is up at ").map(str::to_owned);
        let url = url.unwrap_or_else(|| panic!("{line:?}: {}", self.log()));
        Server { url, child }
    }

    /// What the server wrote to its log.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path().join("server.log")).unwrap_or_default()
    }
}

impl Server {
    /// The number of its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(sent.expect("kill").success());
    }

    /// Waits for the end; gives the exit code, none after a signal.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait().expect("its end") {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("the server does not end");
    }

    /// Closes its standard input.
    pub(crate) fn close(&mut self) {
        drop(self.child.stdin.take());
    }
}

/// Runs a command to its end, and not longer than that may take.
pub(crate) fn end_of(mut command: Command) -> Ended {
    let mut child = Running::start(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
    let (mut out, mut err) = (child.stdout.take().expect("stdout"), child.stderr.take().expect("stderr"));
    let reading = std::thread::spawn(move || {
        let mut text = Vec::new();
        out.read_to_end(&mut text).map(|_| text)
    });
    let talking = std::thread::spawn(move || {
        let mut text = Vec::new();
        err.read_to_end(&mut text).map(|_| text)
    });
    let until = Instant::now() + PATIENCE;
    let status = loop {
        match child.try_wait().expect("its end") {
            Some(status) => break status,
            None if Instant::now() < until => std::thread::sleep(Duration::from_millis(2)),
            None => {
                let _ = child.kill();
                let output: Output = child.wait_with_output().expect("its output");
                panic!("{command:?} does not end: {output:?} {:?}", talking.join());
            }
        }
    };
    let text = |thread: std::thread::JoinHandle<std::io::Result<Vec<u8>>>| {
        String::from_utf8_lossy(&thread.join().expect("a reader").expect("what it wrote")).into_owned()
    };
    Ended { code: status.code().unwrap_or(-1), stdout: text(reading), stderr: text(talking) }
}

/// Calls `look` until it gives something.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        if let Some(found) = look() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("it never came to this: {what}");
}

/// Greets, and asks a person about long names.
pub(crate) const GREET: &str = r#"workflow: demo/greet
description: Greets.
inputs:
  name: {type: string}
  loud: {type: boolean, default: false}
nodes:
  measure:
    run:
      script: |
        echo "measuring"
        echo "with care" >&2
        printf '{"letters":%s}' "${ size(inputs.name) }" > "$TUTTI_OUTPUT"
    outputs: {letters: {type: integer}}
  approve:
    if: ${ nodes.measure.letters > 8 }
    human:
      title: "Is `${ inputs.name }` a name?"
      assign: {groups: [registrars]}
      form: {type: object, properties: {comment: {type: string}, sure: {type: boolean}, code: {type: string}}}
outputs: {letters: "${ nodes.measure.letters }"}
"#;

/// Fails, after something that works.
pub(crate) const BROKEN: &str = "workflow: demo/broken
nodes:
  first: {use: core/noop, with: {n: 1}}
  second: {use: core/fail, with: {message: out of luck}, after: [first]}
";

/// Waits for a signal.
pub(crate) const PATIENT: &str = "workflow: demo/patient
nodes:
  first: {use: core/noop, with: {n: 1}}
  hold: {wait: {signal: go}, after: [first]}
  last: {use: core/noop, with: {got: '${ nodes.hold.n }'}}
outputs: {got: '${ nodes.last.got }'}
";
