//! Without a server: the same engine in the command itself.

use std::process::Stdio;

use crate::home::{GREET, Home, PATIENT, Running, until};

#[test]
fn a_file_is_run_where_there_is_no_server() {
    let home = Home::new();
    home.write("greet.workflow.yaml", GREET);
    let run = home.run(&["run", "greet.workflow.yaml", "--input", "name=Ada", "--wait", "-o", "json"]);
    assert_eq!((run.code, run.stdout.as_str()), (0, "{\n  \"name\": \"greet-1\",\n  \"phase\": \"succeeded\"\n}\n"), "{run:?}");
    // Everything is there for the next command, and for a server.
    assert_eq!(home.json(&["get", "run", "greet-1"])["outputs"]["letters"], 3);
    assert_eq!(home.ok(&["logs", "greet-1", "measure"]).stdout, "measuring\n");
    // It is waited for without being asked, since nobody else would carry it on.
    let run = home.ok(&["run", "demo/greet", "-i", "name=Eva"]);
    assert!(run.stdout.contains("succeeded"), "{run:?}");
    let _server = home.up();
    assert_eq!(home.ok(&["get", "runs", "-o", "name"]).stdout, "greet-2\ngreet-1\n");
}

#[test]
fn a_decision_carries_the_run_on() {
    let home = Home::new();
    home.write("greet.workflow.yaml", GREET);
    let run = home.run(&["run", "greet.workflow.yaml", "-i", "name=Wilhelmina"]);
    assert_eq!(run.code, 4, "{run:?}");
    assert!(home.ok(&["get", "approvals"]).stdout.contains("greet-1"));
    let approved = home.ok(&["approve", "greet-1", "--as", "ada", "--groups", "registrars"]);
    assert!(approved.stdout.contains("succeeded"), "{approved:?}");
}

#[test]
fn looking_changes_nothing() {
    let home = Home::new();
    home.write("greet.workflow.yaml", GREET);
    home.ok(&["run", "greet.workflow.yaml", "-i", "name=Ada"]);
    let entries = || home.json(&["audit", "verify"])["entries"].as_u64().unwrap();
    let before = entries();
    for arguments in [
        &["get", "runs"][..],
        &["describe", "greet-1"],
        &["explain", "greet-1"],
        &["logs", "greet-1"],
        &["check", "greet.workflow.yaml"],
        &["plan", "demo/greet"],
        &["events", "--after", "0", "--limit", "1"],
        &["audit", "export"],
    ] {
        home.ok(arguments);
    }
    assert_eq!(entries(), before);
}

#[test]
fn another_command_looks_in_while_one_works() {
    let home = Home::new();
    home.write("patient.workflow.yaml", PATIENT);
    let mut working = home.command(&["run", "patient.workflow.yaml", "--name", "held", "-o", "json"]);
    let working = Running::start(working.stdout(Stdio::piped()).stderr(Stdio::piped()));
    until("the run is there", || (home.run(&["get", "run", "held"]).code == 0).then_some(()));
    // A server is told who has the directory.
    let second = home.run(&["up", "--listen", "127.0.0.1:0"]);
    assert!(
        second.code == 1 && second.stderr.contains("error[E0013]") && second.stderr.contains("http://127.0.0.1:"),
        "{second:?}"
    );
    home.ok(&["signal", "held", "go", "--payload", "{\"n\": 5}"]);
    let ended = working.wait_with_output().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(home.json(&["get", "run", "held"])["outputs"]["got"], 5);
}

#[test]
fn commands_at_once_wait_for_each_other() {
    let home = Home::new();
    home.write("greet.workflow.yaml", GREET);
    home.ok(&["run", "greet.workflow.yaml", "-i", "name=Ada"]);
    let start = |n: usize| {
        let name = format!("name=n{n}");
        let arguments = if n.is_multiple_of(2) { vec!["get", "runs"] } else { vec!["run", "demo/greet", "-i", &name] };
        Running::start(home.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()))
    };
    let children: Vec<_> = (0..8).map(start).collect();
    for child in children {
        let ended = child.wait_with_output().unwrap();
        assert!(ended.status.success(), "{ended:?}");
    }
    assert_eq!(home.json(&["get", "runs", "--phase", "succeeded"]).as_array().unwrap().len(), 5);
}

#[test]
fn ctrl_c_leaves_a_run_that_can_be_carried_on() {
    let home = Home::new();
    home.write("patient.workflow.yaml", PATIENT);
    let mut command = home.command(&["run", "patient.workflow.yaml", "--name", "held"]);
    let working = Running::start(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
    until("the run waits", || home.json_or_none(&["get", "run", "held"])?["actions_done"].as_u64().filter(|done| *done == 1));
    let sent = std::process::Command::new("kill").args(["-INT", &working.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let ended = working.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(130), "{ended:?}");
    assert!(String::from_utf8_lossy(&ended.stderr).contains("carries it on"), "{ended:?}");
    let signalled = home.ok(&["signal", "held", "go", "--payload", "{\"n\": 1}"]);
    assert!(signalled.stdout.contains("succeeded"), "{signalled:?}");
}

#[test]
fn what_used_up_its_memory_is_repeated_with_more() {
    let home = Home::new();
    let hungry = "workflow: demo/hungry\nnodes:\n  eat:\n    run: {command: [python3, -c, \"x = bytearray(140 << 20); print(len(x))\"]}\n    \
                  needs: {memory: 100Mi}\n    retry: {max: 1, backoff: 10ms..10ms}\n";
    home.write("hungry.workflow.yaml", hungry);
    let run = home.run(&["run", "hungry.workflow.yaml", "--wait", "-o", "json"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(home.json(&["get", "run", "hungry-1"])["actions"][0]["attempts"], 2);
}

#[test]
fn a_journal_that_fails_ends_the_command() {
    let home = Home::new();
    home.write("greet.workflow.yaml", GREET);
    home.ok(&["run", "greet.workflow.yaml", "--input", "name=Ada", "--wait"]);
    let mut command = home.command(&["run", "demo/greet", "--input", "name=Eva", "--wait"]);
    let ended = command.env("TUTTI_FAILPOINTS", "journal-before-commit=error@3").stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.code() == Some(1) && said.contains("error[E0012]") && said.contains("make room"), "{ended:?}");
    // What was acknowledged is there, and goes on.
    home.ok(&["run", "demo/greet", "--input", "name=Eva", "--wait"]);
}

#[test]
fn a_plan_may_be_the_first_thing_that_is_asked_for() {
    let home = Home::new();
    home.write("greet.workflow.yaml", GREET);
    let plan = home.ok(&["plan", "greet.workflow.yaml"]);
    assert!(plan.stdout.contains("local"), "{plan:?}");
}
