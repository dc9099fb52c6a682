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

/// The first token that is no administrator's shuts everybody out of making another: that is said, and there is a way back.
#[test]
fn who_locks_themselves_out_is_told_of_the_way_back() {
    let home = Home::new();
    let mut server = home.up();
    let first = home.ok(&["token", "create", "--name", "ci", "--scope", "run"]);
    assert!(first.stderr.contains("warning: no token has the scope or the role `admin`"), "{first:?}");
    assert!(home.run(&["token", "create", "--name", "admin", "--scope", "admin"]).stderr.contains("error[E0006]"));
    server.signal("-TERM");
    server.wait();
    let admin = home.ok(&["token", "create", "--name", "admin", "--scope", "admin"]);
    assert!(!admin.stderr.contains("warning"), "{admin:?}");
    let _server = home.up();
    let second = home.ok(&["token", "create", "--name", "cd", "--scope", "run", "--token", admin.stdout.trim()]);
    assert!(!second.stderr.contains("warning"), "{second:?}");
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
    assert!(held.stderr.contains("under what you trust"), "{held:?}");
    let proof = home.ok(&["audit", "prove", "3", "--json"]).stdout;
    home.write("proof.json", &proof);
    home.ok(&["audit", "verify", "proof.json", "--root", &root]);
    // Against an earlier tree.
    let earlier: Value = serde_json::from_str(&home.ok(&["audit", "prove", "3", "--json", "--size", "4"]).stdout).unwrap();
    assert_eq!((&earlier["size"], earlier["proof"].as_array().unwrap().len()), (&json!(4), 2));
    home.write("earlier.json", &serde_json::to_string_pretty(&earlier).unwrap());
    home.ok(&["audit", "verify", "earlier.json"]);
    assert_eq!(home.run(&["audit", "prove", "0", "--json"]).code, 1);
    assert_eq!(home.run(&["audit", "prove", "999"]).code, 1);
    assert_eq!(home.run(&["audit", "prove", "3", "--json", "--size", "999"]).code, 1);
}

/// The key, a checkpoint that was kept, and an export and a proof that were made later.
fn signed(home: &Home) -> String {
    home.write("greet.workflow.yaml", GREET);
    home.ok(&["run", "greet.workflow.yaml", "-i", "name=Ada"]);
    let key = home.ok(&["audit", "key"]).stdout;
    home.write("log.key", &key);
    home.write("kept.checkpoint", &home.ok(&["audit", "checkpoint"]).stdout);
    home.ok(&["run", "greet.workflow.yaml", "-i", "name=Grace"]);
    home.ok(&["audit", "export", "--to", "audit.jsonl"]);
    home.ok(&["audit", "prove", "3", "--to", "entry.tlog-proof"]);
    key.trim().to_owned()
}

#[test]
fn checkpoints_are_signed_and_kept_ones_hold_what_came_before() {
    let home = Home::new();
    let key = signed(&home);
    let kept = std::fs::read_to_string(home.path().join("kept.checkpoint")).unwrap();
    let origin = key.split('+').next().unwrap();
    assert!(origin.starts_with("tutti/") && kept.starts_with(&format!("{origin}\n")), "{key} {kept}");
    let mode = std::os::unix::fs::PermissionsExt::mode(&home.path().join("data/audit/key").metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    // A command that ends has sealed all that it did.
    let status = home.json(&["audit", "status"]);
    assert_eq!((&status["sealed"]["size"], &status["halted"]), (&status["entries"], &Value::Null));
    let whole = ["audit", "verify", "audit.jsonl", "--key", "log.key", "--checkpoint", "kept.checkpoint"];
    let held = home.ok(&whole);
    assert!(held.stderr.contains("it holds, under what you trust\n"), "{held:?}");
    let report = home.json(&whole);
    assert_eq!((&report["holds"], report["checkpoints"].as_array().unwrap().len()), (&json!(true), 2));
    home.ok(&["audit", "verify", "entry.tlog-proof", "--key", &key]);
    assert_eq!(home.run(&["audit", "verify", "entry.tlog-proof"]).code, 1, "without a key it proves nothing");
    // Another key.
    let other = "tutti/000000000000+7c0d1f66+AQ";
    assert_eq!(home.run(&["audit", "verify", "audit.jsonl", "--key", other]).code, 1);
    // A proof whose entry was changed.
    let proof = std::fs::read_to_string(home.path().join("entry.tlog-proof")).unwrap();
    let (before, after) = proof.split_at(proof.find("extra ").unwrap() + 12);
    let letter = if after.starts_with('A') { "B" } else { "A" };
    home.write("changed.tlog-proof", &format!("{before}{letter}{}", &after[1..]));
    let found = home.run(&["audit", "verify", "changed.tlog-proof", "--key", &key]);
    assert!(found.code == 1 && found.stderr.contains("do not lead"), "{found:?}");
}

#[test]
fn an_older_copy_stops_dispatch_until_a_person_accepts_it() {
    let home = Home::new();
    home.write("greet.workflow.yaml", GREET);
    home.ok(&["run", "greet.workflow.yaml", "-i", "name=Ada"]);
    let journal = home.path().join("data/journal/journal.db");
    let older = std::fs::read(&journal).unwrap();
    home.ok(&["run", "greet.workflow.yaml", "-i", "name=Grace"]);
    home.write("kept.checkpoint", &home.ok(&["audit", "checkpoint"]).stdout);
    let key = home.ok(&["audit", "key"]).stdout.trim().to_owned();
    std::fs::write(&journal, older).unwrap();
    let _server = home.up();
    let status = home.run(&["audit", "status"]);
    assert!(status.code == 1 && status.stderr.contains("entries are gone"), "{status:?}");
    // Work is taken, and nothing of it is dispatched.
    let run = home.json(&["run", "greet.workflow.yaml", "-i", "name=Edsger"]);
    let name = run["name"].as_str().unwrap().to_owned();
    let get = || home.json(&["get", "run", &name]);
    assert_eq!((&get()["phase"], &get()["actions"][0]["site"]), (&json!("running"), &Value::Null));
    // The auditor's copy finds it too.
    home.ok(&["audit", "export", "--to", "rolled-back.jsonl"]);
    let found = home.run(&["audit", "verify", "rolled-back.jsonl", "--key", &key, "--checkpoint", "kept.checkpoint"]);
    assert!(
        found.code == 1 && found.stderr.contains("entries before it were changed") || found.stderr.contains("entries are gone")
    );
    assert_eq!(home.run(&["audit", "accept", "--reason", " "]).code, 1);
    let accepted = home.ok(&["audit", "accept", "--reason", "restored on purpose"]);
    assert!(accepted.stderr.contains("entries are gone"), "{accepted:?}");
    assert_eq!(home.run(&["watch", &name]).code, 0);
    assert_eq!(get()["phase"], json!("succeeded"));
    assert_eq!(home.run(&["audit", "status"]).code, 0);
    assert_eq!(home.run(&["audit", "accept", "--reason", "again"]).code, 1);
    let accepted = home.json(&["audit", "status"])["accepted"].take();
    assert_eq!((&accepted[0]["reason"], &accepted[0]["principal"]), (&json!("restored on purpose"), &json!("local")));
}

#[test]
fn what_was_tampered_with_is_found() {
    let home = Home::new();
    home.write("greet.workflow.yaml", GREET);
    home.ok(&["run", "greet.workflow.yaml", "-i", "name=Ada"]);
    let root = home.json(&["audit", "verify"])["root"].as_str().unwrap().to_owned();
    let export = home.ok(&["audit", "export"]).stdout;
    let proof = home.ok(&["audit", "prove", "3", "--json"]).stdout;
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
        ("changed.jsonl", changed, "are not what was hashed"),
        ("moved.jsonl", moved, "are not what was hashed"),
        ("left-out.jsonl", left_out, "entry 4: it comes after entry 2"),
        ("cut.jsonl", cut, "entries are gone"),
        ("proof.json", proof.replacen("\"seq\": 3", "\"seq\": 4", 1), "do not lead"),
    ] {
        home.write(name, &text);
        let found = home.run(&["audit", "verify", name]);
        assert!(found.code == 1 && found.stderr.contains(why), "{name}: {found:?}");
    }
    // Another root than the one that is trusted.
    home.write("audit.jsonl", &export);
    let found = home.run(&["audit", "verify", "audit.jsonl", "--root", &root.replace(&root[..4], "0000")]);
    assert!(found.code == 1 && found.stderr.contains("not the one that is trusted"), "{found:?}");
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
