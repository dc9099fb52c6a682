//! Several sites through the binary: where work goes and why, what a site that is closed, emptied, removed or sick does to it, and what data
//! that moves costs. The clouds here are simulated, and say so.

use std::process::Command;

use serde_json::Value;

use crate::home::{Home, Server, until};

const SITES: &str = "kind: site
name: onprem
capacity: {cpu: 1, memory: 1Gi}
attributes: {zone: on-premise}
prices: {egress_gb: 1000}
---
kind: site
name: cloud
capacity: {cpu: 2, memory: 1Gi}
attributes: {zone: cloud}
prices: {cpu_hour: 3600}
simulates: a public cloud
";

/// Makes a file of a million bytes where it has to, and reads it elsewhere.
const MOVE: &str = r#"workflow: demo/move
nodes:
  make:
    run: {script: "head -c 1000000 /dev/zero > \"$TUTTI_OUT_DIR/f\"; printf '{\"file\":{\"$file\":\"f\"}}' > \"$TUTTI_OUTPUT\""}
    needs: {cpu: 1, site: {zone: on-premise}}
    outputs: {file: artifact}
  use:
    run: {script: "wc -c < $F", env: {F: "${ nodes.make.file }"}}
    needs: {cpu: 1, site: {zone: cloud}}
"#;

/// Runs until a file is there.
const HOLD: &str = r#"workflow: demo/hold
inputs: {file: {type: string}}
nodes:
  hold:
    run: {script: 'while [ ! -e "$WAIT_FOR" ]; do sleep 0.02; done', env: {WAIT_FOR: "${ inputs.file }"}}
    needs: {cpu: 1, site: {kind: batch}}
"#;

fn with_sites(sites: &str) -> (Home, Server) {
    let home = Home::new();
    home.write("sites.yaml", sites);
    home.write("move.workflow.yaml", MOVE);
    home.write("hold.workflow.yaml", HOLD);
    let server = home.up();
    home.ok(&["apply", "-f", "sites.yaml", "-f", "move.workflow.yaml", "-f", "hold.workflow.yaml"]);
    (home, server)
}

fn action(home: &Home, run: &str, path: &str) -> Value {
    let run = home.json(&["get", "run", run]);
    let found = run["actions"].as_array().unwrap().iter().find(|action| action["path"].as_str().unwrap().starts_with(path));
    found.unwrap_or_else(|| panic!("no action {path}: {run}")).clone()
}

/// Starts `demo/hold` under a name, and gives the file that lets it go.
fn hold(home: &Home, name: &str) -> std::path::PathBuf {
    let file = home.path().join(format!("{name}.go"));
    home.ok(&["run", "demo/hold", "--name", name, "-i", &format!("file={}", file.display())]);
    file
}

/// Waits until the run's only action is in a phase, and gives its site.
fn in_phase(home: &Home, run: &str, phase: &str) -> Value {
    until(&format!("{run} is {phase}"), || {
        let found = action(home, run, "hold");
        (found["phase"] == phase).then(|| found["site"].clone())
    })
}

/// Millionths of the currency.
fn micros(cost: &Value) -> i64 {
    (cost.as_f64().unwrap() * 1e6).round() as i64
}

#[test]
fn data_that_moves_is_measured_and_priced_and_the_run_costs_the_sum() {
    let (home, _server) = with_sites(SITES);
    home.ok(&["run", "demo/move", "-w", "--name", "m"]);
    let (make, used, moved) = (action(&home, "m", "make"), action(&home, "m", "use"), action(&home, "m", "use<-"));
    assert_eq!((&make["site"], &used["site"], &moved["site"]), (&"onprem".into(), &"cloud".into(), &"cloud".into()));
    // A million bytes at 1,000 for a gigabyte.
    assert_eq!((&moved["kind"], &moved["phase"], micros(&moved["cost"])), (&"transfer".into(), &"succeeded".into(), 1_000_000));
    assert_eq!(micros(&make["cost"]), 0);
    // A core for an hour costs 3,600: a second costs one.
    let (seconds, cost) = (micros(&used["seconds"]), micros(&used["cost"]));
    assert!(cost > 0 && (cost - seconds).abs() <= 1, "{used}");
    let run = home.json(&["get", "run", "m"]);
    assert_eq!(micros(&run["cost"]), 1_000_000 + cost, "{run}");
}

#[test]
fn what_waits_for_a_site_is_listed_and_a_run_is_shown_as_it_was() {
    let (home, _server) = with_sites(&BATCH.replace("cpu: 2", "cpu: 1"));
    assert!(home.ok(&["site", "queue", "cheap"]).stderr.contains("nothing waits for it"));
    let files = ["a", "b", "c"].map(|name| hold(&home, name));
    let waiting = until("one of three waits", || {
        let found = home.json(&["site", "queue", "cheap"]);
        found.as_array().unwrap().first().filter(|item| item["run"] == "c").cloned()
    });
    assert!(waiting["why"].as_str().unwrap().starts_with("its room"), "{waiting}");
    let sites = home.json(&["get", "sites"]);
    let cheap = sites.as_array().unwrap().iter().find(|site| site["name"] == "cheap").unwrap();
    assert_eq!((&cheap["used"]["cpu"], &cheap["running"]), (&1.0.into(), &1.into()), "{cheap}");
    let table = home.ok(&["site", "queue", "cheap"]).stdout;
    assert!(table.contains("WAITS FOR") && table.contains("hold"), "{table}");
    let then = home.json(&["get", "run", "a"])["actions"][0]["started_at"].as_str().unwrap().to_owned();
    for file in files {
        std::fs::write(file, "").unwrap();
    }
    for name in ["a", "b", "c"] {
        in_phase(&home, name, "succeeded");
    }
    // To the millisecond it is told, and it began within that: the next one is after it for sure.
    let then = then.replace('Z', "999Z");
    let past = home.json(&["get", "run", "a", "--at", &then]);
    assert_eq!((&past["phase"], &past["actions"][0]["phase"]), (&"running".into(), &"running".into()), "{past}");
    assert_eq!(home.json(&["get", "actions", "a", "--at", &then])[0]["phase"], "running");
    assert!(home.run(&["get", "runs", "--at", &then]).stderr.contains("goes with a run"));
    assert_eq!(home.json(&["get", "tasks"]), serde_json::json!([]));
}

#[test]
fn a_simulated_site_says_so_wherever_it_shows() {
    let (home, _server) = with_sites(SITES);
    home.ok(&["run", "demo/move", "-w", "--name", "m"]);
    for arguments in [
        &["get", "sites"][..],
        &["describe", "site", "cloud"],
        &["describe", "run", "m"],
        &["explain", "m", "use"],
        &["plan", "move.workflow.yaml"],
    ] {
        let text = home.ok(arguments).stdout;
        assert!(text.contains("simulated"), "{arguments:?}: {text}");
    }
    for path in ["use", "use<-"] {
        assert_eq!(action(&home, "m", path)["simulates"], "a public cloud");
    }
    assert_eq!(action(&home, "m", "make").get("simulates"), None);
    let sites = home.json(&["get", "sites"]);
    let cloud = sites.as_array().unwrap().iter().find(|site| site["name"] == "cloud").unwrap();
    assert_eq!(cloud["simulates"], "a public cloud");
    assert!(home.json(&["explain", "m", "use"]).to_string().contains("\"simulated\":true"));
}

/// Two sites that take `demo/hold` (without walls, so that its process sees the file that lets it go), a cheap one for one at a time and a dear one for two.
const BATCH: &str = "kind: site
name: cheap
capacity: {cpu: 1, memory: 1Gi}
attributes: {kind: batch}
sandbox: off
prices: {cpu_hour: 1}
---
kind: site
name: dear
capacity: {cpu: 2, memory: 1Gi}
attributes: {kind: batch}
sandbox: off
prices: {cpu_hour: 50}
";

#[test]
fn work_goes_where_it_costs_least_then_where_there_is_room_and_then_waits_with_the_reason() {
    let (home, _server) = with_sites(BATCH);
    let files: Vec<_> = ["a", "b", "c", "d"].iter().map(|name| hold(&home, name)).collect();
    let sites: Vec<Value> = ["a", "b", "c"].iter().map(|run| in_phase(&home, run, "running")).collect();
    assert_eq!(sites, ["cheap", "dear", "dear"]);
    let waiting = home.ok(&["explain", "d", "hold"]).stdout;
    assert!(waiting.contains("no room at the moment") && waiting.contains("needs `kind` to be `batch`"), "{waiting}");
    assert_eq!(action(&home, "d", "hold").get("site"), None);
    std::fs::write(&files[0], "").unwrap();
    assert_eq!(in_phase(&home, "d", "running"), "cheap", "the place that came free");
    for file in &files {
        std::fs::write(file, "").unwrap();
    }
    in_phase(&home, "d", "succeeded");
}

#[test]
fn a_site_is_closed_emptied_opened_and_removed() {
    let (home, _server) = with_sites(BATCH);
    home.ok(&["site", "cordon", "cheap"]);
    let first = hold(&home, "first");
    assert_eq!(in_phase(&home, "first", "running"), "dear", "a closed site takes nothing");
    assert!(home.ok(&["explain", "first", "hold"]).stdout.contains("it is cordoned"));
    home.ok(&["site", "uncordon", "cheap"]);
    let refused = home.run(&["site", "remove", "dear"]);
    assert!(refused.code == 1 && refused.stderr.contains("drain it first"), "{refused:?}");
    home.ok(&["site", "drain", "dear"]);
    // What ran there goes on elsewhere, as another attempt.
    let moved = until("it moves", || Some(action(&home, "first", "hold")).filter(|found| found["site"] == "cheap"));
    until("it runs again", || (action(&home, "first", "hold")["phase"] == "running").then_some(()));
    assert_eq!(moved["attempts"], 2);
    until("the site is empty", || (home.run(&["site", "remove", "dear"]).code == 0).then_some(()));
    assert!(!home.ok(&["get", "sites", "-o", "name"]).stdout.contains("dear"));
    std::fs::write(&first, "").unwrap();
    in_phase(&home, "first", "succeeded");
}

#[test]
fn a_sick_site_takes_nothing_until_it_is_well_again() {
    let (home, _server) = with_sites(BATCH);
    home.ok(&["site", "cordon", "dear"]);
    // Its folder cannot be written any more.
    let attempts = home.path().join("data/sites/cheap/attempts");
    std::fs::remove_dir(&attempts).unwrap();
    let state = || home.ok(&["get", "sites"]).stdout;
    until("the probe finds it", || state().lines().find(|line| line.starts_with("cheap"))?.contains("unhealthy").then_some(()));
    let file = hold(&home, "late");
    let waiting =
        until("it waits", || Some(home.ok(&["explain", "late", "hold"]).stdout).filter(|text| text.contains("healthy")));
    assert!(waiting.contains("cannot be written"), "{waiting}");
    std::fs::create_dir(&attempts).unwrap();
    assert_eq!(in_phase(&home, "late", "running"), "cheap");
    std::fs::write(&file, "").unwrap();
    in_phase(&home, "late", "succeeded");
}

#[test]
fn an_input_that_was_lost_fails_the_run_and_says_which() {
    let (home, _server) = with_sites(SITES);
    home.ok(&["site", "cordon", "cloud"]);
    home.ok(&["run", "demo/move", "--name", "m"]);
    until("the file is made", || (action(&home, "m", "make")["phase"] == "succeeded").then_some(()));
    std::fs::remove_dir_all(home.path().join("data/sites/onprem/store/objects")).unwrap();
    std::fs::create_dir(home.path().join("data/sites/onprem/store/objects")).unwrap();
    home.ok(&["site", "uncordon", "cloud"]);
    let failed = until("it fails", || Some(home.json(&["get", "run", "m"])).filter(|run| run["phase"] == "failed"));
    assert_eq!(failed["failure"]["class"], "transfer", "{failed}");
    assert!(failed["failure"]["message"].as_str().unwrap().contains("is lost: no site has a copy"), "{failed}");
}

/// A small disk of its own, as long as the test runs.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    /// None where this machine does not let us.
    fn mount(at: std::path::PathBuf) -> Option<SmallDisk> {
        std::fs::create_dir_all(&at).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(&at).output();
        mounted.is_ok_and(|mounted| mounted.status.success()).then_some(SmallDisk(at))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Wrappers of the site may be in it for a moment more.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// Writes so many bytes at the site that is asked for.
const FILL: &str = r#"workflow: demo/fill
inputs: {bytes: {type: integer}}
nodes:
  fill:
    run: {script: 'head -c "$BYTES" /dev/zero > "$TUTTI_OUT_DIR/f"; echo "{\"f\":{\"\$file\":\"f\"}}" > "$TUTTI_OUTPUT"', env: {BYTES: "${ string(inputs.bytes) }"}}
    needs: {site: {kind: small}}
    outputs: {f: artifact}
"#;

#[test]
fn a_site_whose_disk_is_full_fails_its_attempt_and_nothing_else() {
    let home = Home::new();
    let Some(disk) = SmallDisk::mount(home.path().join("data/sites/small")) else {
        eprintln!("skipped: this machine does not let a test mount a disk of its own");
        return;
    };
    home.write(
        "sites.yaml",
        &format!("{BATCH}---\nkind: site\nname: small\ncapacity: {{cpu: 1, memory: 1Gi}}\nattributes: {{kind: small}}\n"),
    );
    home.write("hold.workflow.yaml", HOLD);
    home.write("fill.workflow.yaml", FILL);
    let _server = home.up();
    home.ok(&["apply", "-f", "sites.yaml", "-f", "hold.workflow.yaml", "-f", "fill.workflow.yaml"]);
    let beside = hold(&home, "beside");
    assert_eq!(in_phase(&home, "beside", "running"), "cheap");
    home.ok(&["run", "demo/fill", "--name", "large", "-i", "bytes=8000000"]);
    // The platform's doing: it would be tried again when there is room.
    let failed = until("it fails for want of room", || {
        let found = action(&home, "large", "fill");
        (found["failure"]["class"] == "disk_full").then_some(found)
    });
    assert_eq!(failed["site"], "small", "{failed}");
    home.ok(&["cancel", "large"]);
    until("it is cancelled", || (home.json(&["get", "run", "large"])["phase"] == "aborted").then_some(()));
    // What ran beside it goes on, and other sites take work.
    std::fs::write(&beside, "").unwrap();
    in_phase(&home, "beside", "succeeded");
    let other = hold(&home, "other");
    std::fs::write(&other, "").unwrap();
    in_phase(&home, "other", "succeeded");
    takes_work_again_when_there_is_room(&home, &disk);
    drop(disk);
}

/// Somebody else fills the disk: the site says so, what only it could run waits, and begins by itself as soon as there is room.
fn takes_work_again_when_there_is_room(home: &Home, disk: &SmallDisk) {
    let filler = disk.0.join("filler");
    std::fs::write(&filler, vec![1; 8 << 20]).unwrap_err();
    let sick =
        until("the site is sick", || Some(home.json(&["get", "site", "small"])).filter(|site| site["state"] == "unhealthy"));
    assert_eq!(sick["reason"], "its disk is full", "{sick}");
    home.ok(&["run", "demo/fill", "--name", "little", "-i", "bytes=1000"]);
    let waits = until("it waits", || {
        Some(action(home, "little", "fill")).filter(|fill| fill["phase"] == "waiting_for_resources" || fill["phase"] == "queued")
    });
    assert!(waits["site"].is_null() && waits["attempts"].as_u64().unwrap_or_default() == 0, "{waits}");
    std::fs::remove_file(&filler).unwrap();
    let done = until("it succeeds", || Some(action(home, "little", "fill")).filter(|fill| fill["phase"] == "succeeded"));
    assert_eq!((done["site"].as_str(), done["attempts"].as_u64()), (Some("small"), Some(1)), "{done}");
    until("the site is well", || (home.json(&["get", "site", "small"])["state"] == "open").then_some(()));
}
