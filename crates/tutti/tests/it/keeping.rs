//! Sites, tokens, audit, backup and restore, retention, `doctor`.

use serde_json::{Value, json};

use crate::home::{GREET, Home, end_of};

#[test]
fn sites_are_closed_and_opened() {
    let home = Home::new();
    let _server = home.up();
    let state = |order: &str| home.json(&["site", order, "local"])[0]["state"].as_str().map(str::to_owned);
    assert_eq!(state("cordon").as_deref(), Some("cordoned"));
    assert_eq!(state("drain").as_deref(), Some("drained"));
    assert_eq!(state("uncordon").as_deref(), Some("open"));
    let unknown = home.run(&["site", "cordon", "lokal"]);
    assert!(unknown.code == 1 && unknown.stderr.contains("did you mean `local`?"), "{unknown:?}");
    let gone = home.ok(&["site", "remove", "local"]);
    assert!(gone.stdout.is_empty() && gone.stderr.contains("it is gone"), "{gone:?}");
    assert_eq!(home.run(&["site", "paint", "local"]).code, 2);
}

#[test]
fn from_the_first_token_on_everybody_needs_one() {
    let home = Home::new();
    // Made without a server, for one that is yet to start.
    let admin = home.ok(&["token", "create", "--name", "root", "--scope", "admin"]).stdout.trim().to_owned();
    assert!(admin.starts_with("root."), "{admin}");
    let _server = home.up();
    let anonymous = home.run(&["get", "runs"]);
    assert!(
        anonymous.code == 1 && anonymous.stderr.contains("error[E0006]") && anonymous.stderr.contains("--token"),
        "{anonymous:?}"
    );
    let as_admin = |arguments: &[&str]| {
        let mut command = home.command(arguments);
        command.env("TUTTI_TOKEN", &admin);
        end_of(command)
    };
    let made = as_admin(&["token", "create", "--name", "ci", "--scope", "run,read", "--group", "builders", "-o", "json"]);
    let made: Value = serde_json::from_str(&made.stdout).unwrap();
    let token = made["token"].as_str().unwrap();
    assert_eq!((&made["scopes"], &made["groups"]), (&json!(["run", "read"]), &json!(["builders"])));
    assert_eq!(home.run(&["get", "runs", "--token", token]).code, 0);
    let refused = home.run(&["token", "list", "--token", token]);
    assert!(refused.code == 1 && refused.stderr.contains("error[E0005]"), "{refused:?}");
    let list = as_admin(&["token", "list"]);
    assert!(list.stdout.contains("ci") && !list.stdout.contains(token), "{list:?}");
    assert_eq!(as_admin(&["token", "revoke", "ci"]).code, 0);
    assert!(home.run(&["get", "runs", "--token", token]).stderr.contains("error[E0006]"));
    assert_eq!(as_admin(&["token", "create", "--name", "x", "--scope", "fly"]).code, 1);
    assert_eq!(as_admin(&["token", "create", "--name", "x"]).code, 2);
}

#[test]
fn the_account_of_the_journal() {
    let home = Home::new();
    home.write("greet.workflow.yaml", GREET);
    let _server = home.up();
    home.ok(&["run", "greet.workflow.yaml", "-i", "name=Ada", "-w"]);
    let verified = home.ok(&["audit", "verify"]);
    assert!(verified.stdout.contains("entries, root ") && verified.stderr.contains("every hash"), "{verified:?}");
    let report = home.json(&["audit", "verify"]);
    let root = report["root"].as_str().unwrap().to_owned();
    home.ok(&["audit", "export", "--to", "audit.jsonl"]);
    let piped = home.ok(&["audit", "export"]).stdout;
    assert_eq!(piped, std::fs::read_to_string(home.path().join("audit.jsonl")).unwrap());
    assert_eq!(home.run(&["audit", "export", "--to", "audit.jsonl"]).code, 1);
    let held = home.ok(&["audit", "verify", "audit.jsonl", "--root", &root]);
    assert!(held.stderr.contains("the root that you trust"), "{held:?}");
    let proof = home.ok(&["audit", "prove", "3"]).stdout;
    home.write("proof.json", &proof);
    home.ok(&["audit", "verify", "proof.json", "--root", &root]);
    // Against an earlier tree.
    let earlier: Value = serde_json::from_str(&home.ok(&["audit", "prove", "3", "--size", "4"]).stdout).unwrap();
    assert_eq!((&earlier["size"], earlier["proof"].as_array().unwrap().len()), (&json!(4), 2));
    home.write("earlier.json", &earlier.to_string());
    home.ok(&["audit", "verify", "earlier.json"]);
    assert_eq!(home.run(&["audit", "prove", "0"]).code, 1);
    assert_eq!(home.run(&["audit", "prove", "999"]).code, 1);
    assert_eq!(home.run(&["audit", "prove", "3", "--size", "999"]).code, 1);
}

#[test]
fn what_was_tampered_with_is_found() {
    let home = Home::new();
    home.write("greet.workflow.yaml", GREET);
    home.ok(&["run", "greet.workflow.yaml", "-i", "name=Ada"]);
    let root = home.json(&["audit", "verify"])["root"].as_str().unwrap().to_owned();
    let export = home.ok(&["audit", "export"]).stdout;
    let proof = home.ok(&["audit", "prove", "3"]).stdout;
    let lines: Vec<&str> = export.lines().collect();
    let mut entry: Value = serde_json::from_str(lines[3]).unwrap();
    let other: Value = serde_json::from_str(lines[4]).unwrap();
    entry["bytes"] = other["bytes"].clone();
    let changed = export.replace(lines[3], &entry.to_string());
    let mut later: Value = serde_json::from_str(lines[3]).unwrap();
    later["at_us"] = (later["at_us"].as_u64().unwrap() + 1).into();
    let moved = export.replace(lines[3], &later.to_string());
    let left_out = export.replace(&format!("{}\n", lines[3]), "");
    let cut: String = lines[..lines.len() - 1].iter().map(|line| format!("{line}\n")).collect();
    for (name, text, why) in [
        ("changed.jsonl", changed, "is not what was hashed"),
        ("moved.jsonl", moved, "is not what was hashed"),
        ("left-out.jsonl", left_out, "after entry 2 comes entry 4"),
        ("cut.jsonl", cut, "give another root"),
        ("proof.json", proof.replacen("\"seq\": 3", "\"seq\": 4", 1), "do not lead"),
    ] {
        home.write(name, &text);
        let found = home.run(&["audit", "verify", name]);
        assert!(found.code == 1 && found.stderr.contains(why), "{name}: {found:?}");
    }
    // Another root than the one that is trusted.
    home.write("audit.jsonl", &export);
    let found = home.run(&["audit", "verify", "audit.jsonl", "--root", &root.replace(&root[..4], "0000")]);
    assert!(found.code == 1 && found.stderr.contains("not the trusted"), "{found:?}");
    assert_eq!(home.run(&["audit", "verify", "greet.workflow.yaml"]).code, 1);
}

#[test]
fn backup_and_restore() {
    let home = Home::new();
    home.write("greet.workflow.yaml", GREET);
    let server = home.up();
    home.ok(&["run", "greet.workflow.yaml", "-i", "name=Ada", "-w", "--name", "kept"]);
    home.ok(&["backup", "--to", "copy"]);
    let again = home.run(&["backup", "--to", "copy"]);
    assert_eq!(again.code, 1, "{again:?}");
    drop(server);
    let full = home.run(&["restore", "--from", "copy"]);
    assert!(full.code == 1 && full.stderr.contains("error[E0004]"), "{full:?}");
    let restored = home.ok(&["restore", "--from", "copy", "--data", "other"]);
    assert!(restored.stdout.contains("verified; root "), "{restored:?}");
    assert_eq!(home.json(&["--data", "other", "get", "run", "kept"])["outputs"]["letters"], 3);
    assert_eq!(home.run(&["restore", "--from", "nowhere", "--data", "third"]).code, 1);
    // A copy that was changed is not taken.
    let file = home.path().join("copy/journal/journal.db");
    let mut bytes = std::fs::read(&file).unwrap();
    // Wherever the name of the run stands, the entry that says it was submitted among them.
    let places: Vec<usize> = (0..bytes.len() - 4).filter(|at| &bytes[*at..*at + 4] == b"kept").collect();
    places.iter().for_each(|at| bytes[*at] = b'X');
    std::fs::write(&file, bytes).unwrap();
    let refused = home.run(&["restore", "--from", "copy", "--data", "fourth"]);
    assert!(refused.code == 1 && refused.stderr.contains("error["), "{refused:?}");
}

#[test]
fn old_values_are_destroyed() {
    let home = Home::new();
    home.write("greet.workflow.yaml", GREET);
    let _server = home.up();
    home.ok(&["run", "greet.workflow.yaml", "-i", "name=Ada", "-w", "--name", "old"]);
    let none = home.json(&["prune", "--older-than", "1h"]);
    assert_eq!(none["runs"], 0);
    let would = home.ok(&["prune", "--older-than", "0s", "--dry-run"]);
    assert!(would.stdout.contains("of 1 runs") && would.stdout.contains("would go"), "{would:?}");
    home.ok(&["prune", "--older-than", "0s"]);
    assert!(home.json(&["get", "run", "old"]).get("outputs").is_none_or(Value::is_null));
    home.ok(&["audit", "verify"]);
    assert_eq!(home.run(&["prune", "--older-than", "a while"]).code, 1);
    assert_eq!(home.run(&["prune"]).code, 2);
}

#[test]
fn the_machine_is_looked_at() {
    let home = Home::new();
    let alone = home.json(&["doctor"]);
    let find = |report: &Value, name: &str| {
        report
            .as_array()
            .unwrap()
            .iter()
            .find(|check| check["name"] == name)
            .unwrap_or_else(|| panic!("{name}: {report}"))
            .clone()
    };
    for name in [
        "kernel",
        "machine",
        "data directory",
        "disk",
        "file system",
        "durability",
        "python",
        "cgroups",
        "wrapper",
        "open files",
        "server",
        "port",
    ] {
        assert!(["ok", "degraded"].contains(&find(&alone, name)["state"].as_str().unwrap()), "{name}: {alone}");
    }
    assert!(find(&alone, "durability")["found"].as_str().unwrap().contains("synchronous=FULL"));
    assert!(find(&alone, "server")["found"].as_str().unwrap().contains("none runs"));
    // Looking leaves nothing behind.
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
    let server = home.up();
    let with_server = home.json(&["doctor"]);
    assert!(find(&with_server, "server")["found"].as_str().unwrap().contains(&server.url), "{with_server}");
    assert!(find(&with_server, "data directory")["found"].as_str().unwrap().contains("owned by"), "{with_server}");
    let gone = home.run(&["doctor", "--server", "http://127.0.0.1:1"]);
    assert!(gone.code == 1 && gone.stdout.contains("broken") && gone.stderr.contains("tutti up"), "{gone:?}");
}
