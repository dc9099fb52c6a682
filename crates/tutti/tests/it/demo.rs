//! The demonstration that stays up. Its steps are told elsewhere (`examples/bank/test_demo.py`); here they fail, and nothing of Python is needed.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use crate::home::{Home, Running, until};

/// What a demonstration has said so far.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<String>>);

impl Said {
    fn hear(&self, stream: impl std::io::Read + Send + 'static) {
        let said = self.0.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                let mut said = said.lock().unwrap();
                said.push_str(&line);
                said.push('\n');
            }
        });
    }

    fn text(&self) -> String {
        self.0.lock().unwrap().clone()
    }

    fn after(&self, words: &str) -> Option<String> {
        self.text().split_once(words).map(|(_, rest)| rest.to_owned())
    }
}

fn kill(signal: &str, pid: &str) {
    assert!(Command::new("kill").args([signal, pid]).status().unwrap().success());
}

#[test]
fn a_server_that_is_to_stay_stays_and_is_started_again_when_it_dies() {
    let home = Home::new();
    // It says yes to every question and does nothing.
    let python = home.write("venv/bin/python", "#!/bin/sh\n");
    std::fs::set_permissions(&python, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = home.command(&["demo", "bank", "--up", "--listen", "127.0.0.1:0"]);
    command.env("TUTTI_BANK_VENV", home.path().join("venv")).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut demo = Running::start(&mut command);
    let said = Said::default();
    said.hear(demo.stderr.take().unwrap());

    let pid = until("it says how to kill its server", || {
        said.after("kill -9 ")?.split_once(" # the server").map(|(pid, _)| pid.trim().to_owned())
    });
    kill("-9", &pid);
    let rest = until("the server is noticed to be gone", || said.after("the server died"));
    assert!(rest.starts_with(" (signal: 9"), "{}", said.text());
    let runs = until("a new server answers", || home.json_or_none(&["get", "runs"]));
    // Where the SDK of Flyte is there, a program of it ran too.
    let bank = runs.as_array().map(|runs| runs.iter().filter(|run| run["workflow"] == "bank/fraud-model").count());
    assert_eq!(bank, Some(1), "{runs}");

    kill("-TERM", &demo.id().to_string());
    let ended = demo.wait_with_output().unwrap();
    let text = until("the last word", || said.text().ends_with("stopping the server\n").then(|| said.text()));
    // The run failed, since its steps do nothing.
    assert_eq!((ended.status.code(), text.matches("the server died").count()), (Some(1), 1), "{text}");
    assert!(home.json_or_none(&["get", "runs"]).is_some(), "the directory is free again");
}
