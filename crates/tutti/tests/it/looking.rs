//! `get`, `describe`, `logs`, `explain`, `events`.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use serde_json::json;

use crate::home::{BROKEN, GREET, Home, PATIENT, Running};

const SITES: &str = "kind: site
name: onprem
capacity: {cpu: 2, memory: 1Gi}
attributes: {zone: on-premise}
prices: {cpu_hour: 0.05}
---
kind: site
name: cloud
capacity: {cpu: 2, memory: 1Gi}
attributes: {zone: cloud}
prices: {cpu_hour: 0.5}
simulates: a public cloud
---
kind: trigger
name: nightly
workflow: demo/greet
inputs: {name: Nox}
schedule: {cron: '0 3 * * *', timezone: Europe/Berlin}
---
kind: connector
name: ml/score
runtime: worker
";

const FLEET: &str = "workflow: demo/fleet
nodes:
  here:
    run: {command: [sh, -c, 'echo here; exit 0']}
    needs: {site: {zone: on-premise}}
  there:
    run: {command: [sh, -c, 'echo there']}
    needs: {site: {zone: cloud}}
    after: [here]
";

fn with_server() -> (Home, crate::home::Server) {
    let home = Home::new();
    home.write("w/greet.workflow.yaml", GREET);
    home.write("w/broken.workflow.yaml", BROKEN);
    home.write("w/patient.workflow.yaml", PATIENT);
    home.write("w/fleet.workflow.yaml", FLEET);
    home.write("w/sites.yaml", SITES);
    let server = home.up();
    home.ok(&["apply", "-f", "w"]);
    (home, server)
}

#[test]
fn every_kind_is_listed_in_every_form() {
    let (home, _server) = with_server();
    home.run(&["run", "demo/greet", "-i", "name=Wilhelmina", "-w", "--name", "asks"]);
    for (kind, name) in [
        ("runs", "asks"),
        ("workflows", "demo/broken"),
        ("sites", "cloud"),
        ("triggers", "nightly"),
        ("connectors", "ml/score"),
        ("approvals", "asks/approve"),
    ] {
        let names = home.ok(&["get", kind, "-o", "name"]).stdout;
        assert!(names.lines().any(|line| line == name), "{kind}: {names}");
        let table = home.ok(&["get", kind]);
        assert!(table.stdout.lines().count() > names.lines().count() && table.stderr.is_empty(), "{kind}: {table:?}");
        assert!(home.json(&["get", kind]).as_array().is_some_and(|list| !list.is_empty()));
        assert!(home.ok(&["get", kind, "-o", "yaml"]).stdout.starts_with("- "));
        // The singular is the same kind.
        assert_eq!(home.ok(&["get", &kind[..kind.len() - 1], "-o", "name"]).stdout, names);
    }
    assert!(home.ok(&["get", "tokens"]).stdout.is_empty());
    let actions = home.ok(&["get", "actions", "asks"]).stdout;
    assert!(actions.contains("measure") && actions.contains("approve"), "{actions}");
    // Filters and pages.
    for _ in 0..3 {
        home.run(&["run", "demo/broken", "-w"]);
    }
    assert_eq!(home.json(&["get", "runs", "--phase", "failed", "--limit", "2"]).as_array().unwrap().len(), 2);
    assert_eq!(home.json(&["get", "runs", "--workflow", "demo/greet"]).as_array().unwrap().len(), 1);
    assert_eq!(home.json(&["get", "runs", "--project", "other"]), json!([]));
}

#[test]
fn single_things_and_names_that_are_not_known() {
    let (home, _server) = with_server();
    home.ok(&["run", "demo/fleet", "-w", "--name", "fleet"]);
    for (kind, name, near) in [
        ("run", "fleet", "fleat"),
        ("workflow", "demo/greet", "demo/greett"),
        ("site", "onprem", "omprem"),
        ("trigger", "nightly", "nihgtly"),
        ("connector", "ml/score", "ml/scor"),
    ] {
        let view = home.json(&["get", kind, name]);
        assert_eq!(view["name"], name);
        let text = home.ok(&["describe", kind, name]).stdout;
        assert!(text.contains(name) && text.contains(": "), "{text}");
        assert_eq!(home.ok(&["describe", kind, name, "-o", "name"]).stdout, format!("{name}\n"));
        for verb in ["get", "describe"] {
            let unknown = home.run(&[verb, kind, near]);
            assert_eq!((unknown.code, unknown.stdout.as_str()), (1, ""), "{unknown:?}");
            assert!(unknown.stderr.contains("error[E0002]"), "{unknown:?}");
            assert!(unknown.stderr.contains(&format!("did you mean `{name}`?")), "{unknown:?}");
        }
    }
    let text = home.ok(&["describe", "fleet"]).stdout;
    assert!(text.starts_with("Run:") && text.contains("cloud (simulated)") && text.contains("onprem"), "{text}");
    let action = home.ok(&["describe", "action", "fleet", "there"]).stdout;
    assert!(action.contains("Stands for:") && action.contains("a public cloud"), "{action}");
    let site = home.ok(&["describe", "site", "cloud"]).stdout;
    assert!(site.contains("a public cloud (simulated)") && site.contains("zone=cloud"), "{site}");
    let workflow = home.ok(&["describe", "workflow", "demo/greet"]).stdout;
    assert!(workflow.contains("Greets.") && workflow.contains("(required)") && workflow.contains("approve"), "{workflow}");
    // Words that are no kinds.
    let kind = home.run(&["get", "rnus"]);
    assert!(kind.code == 2 && kind.stderr.contains("a similar value exists: 'run'"), "{kind:?}");
    let kind = home.run(&["describe", "siet", "x"]);
    assert!(kind.code == 2 && kind.stderr.contains("did you mean `site`?"), "{kind:?}");
    let action = home.run(&["describe", "action", "fleet", "theer"]);
    assert!(action.code == 1 && action.stderr.contains("did you mean `there`?"), "{action:?}");
    assert_eq!(home.run(&["get", "actions"]).code, 2);
}

#[test]
fn logs_of_one_action_and_of_a_run() {
    let (home, _server) = with_server();
    home.ok(&["run", "demo/greet", "-i", "name=Ada", "-w", "--name", "one"]);
    let logs = home.ok(&["logs", "one", "measure"]);
    assert_eq!((logs.stdout.as_str(), logs.stderr.as_str()), ("measuring\n", "with care\n"));
    let only = home.ok(&["logs", "one", "measure", "--stream", "stderr"]);
    assert_eq!((only.stdout.as_str(), only.stderr.as_str()), ("", "with care\n"));
    let all = home.ok(&["logs", "one"]);
    assert_eq!((all.stdout.as_str(), all.stderr.as_str()), ("measure | measuring\n", "measure | with care\n"));
    assert_eq!(home.ok(&["logs", "one", "measure", "-f"]).stdout, "measuring\n");
    let unknown = home.run(&["logs", "one", "mesure"]);
    assert!(unknown.code == 1 && unknown.stderr.contains("did you mean `measure`?"), "{unknown:?}");
    let unknown = home.run(&["logs", "on", "measure"]);
    assert!(unknown.code == 1 && unknown.stderr.contains("did you mean `one`?"), "{unknown:?}");
}

#[test]
fn logs_are_followed_while_they_are_written() {
    let (home, _server) = with_server();
    home.write(
        "slow.workflow.yaml",
        "workflow: demo/slow
nodes:
  hold: {wait: {signal: go}}
  talk:
    after: [hold]
    run: {script: 'echo begun; while [ ! -e \"$TUTTI_SITE_FILES/go-on\" ]; do sleep 0.05; done; echo ended'}
    needs: {site: {zone: on-premise}}
",
    );
    let file = home.path().join("data/sites/onprem/files/go-on");
    home.ok(&["apply", "-f", "slow.workflow.yaml"]);
    home.ok(&["run", "demo/slow", "--name", "slow"]);
    // Asked for before there is a process.
    let mut following = Running::start(home.command(&["logs", "slow", "talk", "-f"]).stdout(Stdio::piped()));
    home.ok(&["signal", "slow", "go"]);
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "begun");
    std::fs::write(&file, "").unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "ended");
    assert!(lines.next().is_none() && following.wait().unwrap().success());
}

#[test]
fn why_an_action_is_where_it_is() {
    let (home, _server) = with_server();
    home.ok(&["run", "demo/fleet", "-w", "--name", "fleet"]);
    let text = home.ok(&["explain", "fleet", "there"]).stdout;
    assert!(text.contains("it was placed at `cloud`") && text.contains("cloud (simulated)"), "{text}");
    assert!(text.contains("onprem") && text.contains("unfit") && text.contains("needs `zone` to be `cloud`"), "{text}");
    let all = home.json(&["explain", "fleet"]);
    assert_eq!(all.as_array().unwrap().len(), 2);
    assert_eq!(home.ok(&["explain", "fleet", "-o", "name"]).stdout, "here\nthere\n");
    let unknown = home.run(&["explain", "fleet", "hree"]);
    assert!(unknown.code == 1 && unknown.stderr.contains("did you mean `here`?"), "{unknown:?}");
}

#[test]
fn what_happens_as_a_stream() {
    let (home, _server) = with_server();
    home.ok(&["run", "demo/fleet", "-w", "--name", "fleet"]);
    let lines = home.ok(&["events", "--run", "fleet", "--after", "0", "--limit", "2", "-o", "json"]).stdout;
    let events: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((events.len(), &events[0]["event"], &events[1]["event"]), (2, &json!("run_submitted"), &json!("run_planned")));
    let after = events[0]["seq"].to_string();
    let next = home.ok(&["events", "--run", "fleet", "--after", &after, "--limit", "1", "-o", "name"]).stdout;
    assert_eq!(next, "run_planned\n");
    assert!(home.ok(&["events", "--after", "0", "--limit", "1"]).stdout.contains("epoch_began"));
    // What happened outside.
    home.write(
        "on.yaml",
        "workflow: demo/on\ninputs: {event: {type: object, default: {}}}\nnodes: {a: {use: core/noop, with: {n: 1}}}\n---\nkind: trigger\nname: arrival\nworkflow: demo/on\nevent: {name: file-arrived}\n",
    );
    home.ok(&["apply", "-f", "on.yaml"]);
    let told = home.ok(&["events", "--report", "file-arrived", "--payload", "{\"day\": \"monday\"}"]);
    assert!(told.stderr.contains("1 run was started"), "{told:?}");
    assert_eq!(home.run(&["events", "--report", "x", "--payload", "{"]).code, 2);
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let (home, _server) = with_server();
    home.ok(&["run", "demo/greet", "-i", "name=Ada", "-w"]);
    let mut child = Running::start(home.command(&["events", "--after", "0"]).stdout(Stdio::piped()).stderr(Stdio::piped()));
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    drop(out);
    // The next thing it has to say finds nobody.
    home.ok(&["run", "demo/greet", "-i", "name=Ada", "-w"]);
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success() && ended.stderr.is_empty(), "{ended:?}");
}
