//! `apply`, `check`, `plan`, `diff`, `delete`.

use serde_json::json;

use crate::home::{GREET, Home};

/// A workflow with a form, code files and a sub-workflow beside it.
fn write_all(home: &Home) {
    home.write(
        "all/read/read.workflow.yaml",
        "workflow: demo/read
nodes:
  step:
    run: {command: [sh, step.sh], files: ['*.sh']}
  ask:
    human: {title: Well?, assign: {users: [ada]}, form: {$ref: ./forms/ask.json}}
    after: [step]
",
    );
    home.write("all/read/step.sh", "echo stepped\n");
    home.write("all/read/forms/ask.json", "{\"type\": \"object\", \"properties\": {\"n\": {\"type\": \"integer\"}}}");
    home.write("all/read/notes.txt", "not wanted");
    home.write("all/more/greet.workflow.yaml", GREET);
    home.write("all/.hidden/x.yaml", "kind: nonsense\n");
}

#[test]
fn a_folder_with_what_lies_beside_the_workflows() {
    let home = Home::new();
    write_all(&home);
    let _server = home.up();
    let dry = home.ok(&["apply", "-f", "all", "--dry-run"]);
    assert!(dry.stdout.contains("demo/read") && dry.stderr.contains("nothing was registered"), "{dry:?}");
    assert_eq!(home.ok(&["get", "workflows"]).stdout, "");
    let applied = home.ok(&["apply", "-f", "all", "-o", "json"]).stdout;
    let applied: serde_json::Value = serde_json::from_str(&applied).unwrap();
    assert_eq!(applied.as_array().unwrap().len(), 2);
    assert!(applied.as_array().unwrap().iter().all(|one| one["change"] == "created" && one["version"] == 1), "{applied}");
    assert_eq!(home.json(&["apply", "-f", "all"])[0]["change"], "unchanged");
    // The code came along.
    assert_eq!(home.run(&["run", "demo/read", "-w", "--name", "read"]).code, 4);
    assert_eq!(home.ok(&["logs", "read", "step"]).stdout, "stepped\n");
    let form = &home.json(&["get", "approvals"])[0]["form"];
    assert_eq!(form["properties"]["n"]["type"], "integer");
}

#[test]
fn with_an_error_nothing_is_registered() {
    let home = Home::new();
    write_all(&home);
    home.write("all/bad.workflow.yaml", "workflow: demo/bad\nnodes:\n  a: {use: core/nop}\n  b: {use: core/noop, retyr: 3}\n");
    let _server = home.up();
    let refused = home.run(&["apply", "-f", "all"]);
    assert_eq!((refused.code, refused.stdout.as_str()), (1, ""), "{refused:?}");
    assert!(refused.stderr.contains("error[E0008]") && refused.stderr.contains("all/bad.workflow.yaml:3:"), "{refused:?}");
    assert!(refused.stderr.contains("did you mean `retry`?"), "{refused:?}");
    assert_eq!(home.ok(&["get", "workflows"]).stdout, "");
    assert_eq!(home.run(&["apply", "-f", "nowhere.yaml"]).code, 1);
    assert_eq!(home.run(&["apply"]).code, 2);
    std::fs::create_dir(home.path().join("empty")).unwrap();
    let empty = home.run(&["apply", "-f", "empty"]);
    assert!(empty.code == 1 && empty.stderr.contains("error[E0027]: there is no `*.yaml` in `empty`"), "{empty:?}");
    std::fs::write(home.path().join("bytes.yaml"), b"workflow: \xff\xfe").unwrap();
    let bytes = home.run(&["apply", "-f", "bytes.yaml"]);
    assert!(bytes.code == 1 && bytes.stderr.contains("UTF-8"), "{bytes:?}");
}

#[test]
fn findings_without_registering() {
    let home = Home::new();
    home.write("good.workflow.yaml", GREET);
    home.write("bad.workflow.yaml", "workflow: demo/bad\nnodes:\n  a: {use: core/noop, with: {n: '${ nodes.b.x }'}}\n");
    // Without a server too.
    let good = home.ok(&["check", "good.workflow.yaml"]);
    assert_eq!(good.stdout, "1 file: no findings\n");
    let bad = home.run(&["check", "bad.workflow.yaml", "good.workflow.yaml"]);
    assert_eq!((bad.code, bad.stdout.as_str()), (1, "2 files: 1 error, 0 warnings\n"), "{bad:?}");
    assert!(bad.stderr.contains("bad.workflow.yaml:3:"), "{bad:?}");
    let found = home.run(&["check", "bad.workflow.yaml", "-o", "json"]);
    let found: serde_json::Value = serde_json::from_str(&found.stdout).unwrap();
    assert_eq!((&found[0]["path"], &found[0]["finding"]["severity"]), (&json!("bad.workflow.yaml"), &json!("error")));
    let code = home.run(&["check", "bad.workflow.yaml", "-o", "name"]).stdout;
    assert!(code.starts_with('W') && home.run(&["error", code.trim()]).code == 0, "{code}");
}

const PLANNED: &str = "workflow: demo/planned
inputs: {n: {type: integer, default: 2}}
nodes:
  here:
    run: {command: ['true']}
    needs: {site: {zone: on-premise}}
  many:
    each: {items: '${ [1, 2] }', do: {run: {command: ['true']}, needs: {site: {zone: on-premise}}}}
  stuck:
    run: {command: ['true']}
    needs: {cpu: 64}
  ask:
    human: {title: Well?, assign: {users: [ada]}}
";

#[test]
fn where_it_would_run() {
    let home = Home::new();
    home.write("p/planned.workflow.yaml", PLANNED);
    home.write(
        "p/sites.yaml",
        "kind: site\nname: onprem\ncapacity: {cpu: 2, memory: 1Gi}\nattributes: {zone: on-premise}\nprices: {cpu_hour: 0.05}\n---\nkind: site\nname: cloud\ncapacity: {cpu: 4, memory: 1Gi}\nattributes: {zone: cloud}\nprices: {cpu_hour: 0.5}\nsimulates: a cloud\n",
    );
    let _server = home.up();
    home.ok(&["apply", "-f", "p/sites.yaml"]);
    home.ok(&["site", "remove", "local"]);
    // One node fits nowhere, which is told and fails.
    let plan = home.run(&["plan", "p/planned.workflow.yaml"]);
    assert_eq!(plan.code, 1, "{plan:?}");
    assert!(plan.stdout.contains("stuck: no site can take it") && plan.stdout.contains("needs 64 cores of 4"), "{plan:?}");
    let view = home.run(&["plan", "p/planned.workflow.yaml", "-o", "json"]);
    let view: serde_json::Value = serde_json::from_str(&view.stdout).unwrap();
    let node = |path: &str| view["nodes"].as_array().unwrap().iter().find(|node| node["path"] == path).unwrap().clone();
    assert_eq!((&node("here")["site"], &node("here")["verdict"]), (&json!("onprem"), &json!("placed")));
    assert_eq!((&node("ask")["verdict"], &node("stuck")["verdict"]), (&json!("unplaced"), &json!("nowhere")));
    assert_eq!(node("many[]")["verdict"], "placed");
    assert!(node("here")["per_hour"].as_f64().unwrap() > 0.0 && node("here").get("seconds").is_none());
    assert_eq!(home.ok(&["get", "workflows"]).stdout, "");
    // What ran before says how long it takes.
    home.write(
        "p/planned.workflow.yaml",
        &PLANNED
            .replace("needs: {cpu: 64}", "needs: {cpu: 1}")
            .replace("  ask:\n    human: {title: Well?, assign: {users: [ada]}}\n", ""),
    );
    home.ok(&["run", "p/planned.workflow.yaml", "-w"]);
    // It is learned beside the run, so that the end of the run may be known first.
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    let mut plan = home.ok(&["plan", "demo/planned"]);
    while !(plan.stdout.contains("2 earlier") && plan.stderr.contains("for 3 of 3 nodes")) && std::time::Instant::now() < until {
        plan = home.ok(&["plan", "demo/planned"]);
    }
    assert!(
        plan.stdout.contains("1 earlier") && plan.stdout.contains("2 earlier") && plan.stderr.contains("for 3 of 3 nodes"),
        "{plan:?}"
    );
    assert!(home.ok(&["plan", "demo/planned", "--all"]).stdout.contains("cloud (simulated)"));
    // A closed site takes nothing.
    home.ok(&["site", "cordon", "onprem"]);
    let closed = home.run(&["plan", "demo/planned"]);
    assert!(closed.code == 1 && closed.stdout.contains("it is cordoned"), "{closed:?}");
    let unknown = home.run(&["plan", "demo/planed"]);
    assert!(unknown.code == 1 && unknown.stderr.contains("did you mean `demo/planned`?"), "{unknown:?}");
}

#[test]
fn what_differs_in_meaning() {
    let home = Home::new();
    home.write("greet.workflow.yaml", GREET);
    let _server = home.up();
    home.ok(&["apply", "-f", "greet.workflow.yaml"]);
    home.write("same.workflow.yaml", &format!("# A comment.\n{GREET}"));
    let same = home.ok(&["diff", "demo/greet", "same.workflow.yaml"]);
    assert_eq!((same.stdout.as_str(), same.stderr.as_str()), ("", "they mean the same\n"));
    home.write("other.workflow.yaml", &GREET.replace("default: false", "default: true"));
    let other = home.run(&["diff", "demo/greet@1", "other.workflow.yaml", "-o", "json"]);
    assert_eq!(other.code, 1, "{other:?}");
    let changes: serde_json::Value = serde_json::from_str(&other.stdout).unwrap();
    assert_eq!(
        (changes.as_array().unwrap().len(), &changes[0]["at"], &changes[0]["after"]),
        (1, &json!("inputs.loud.default"), &json!(true))
    );
    assert!(home.run(&["diff", "demo/greet", "other.workflow.yaml"]).stdout.contains("inputs.loud.default"));
    assert_eq!(home.run(&["diff", "demo/greet@x", "other.workflow.yaml"]).code, 2);
    assert_eq!(home.run(&["diff", "demo/gone", "other.workflow.yaml"]).code, 2);
}

#[test]
fn a_file_is_edited_and_nothing_else_of_it_changes() {
    let home = Home::new();
    let text = "# Mine.\nworkflow: demo/edit   # and yours\nnodes:\n  # Counts.\n  first: {use: core/noop, with: {n: 1}}\n\n  second: {use: core/noop, with: {n: '${ nodes.first.n }'}}\n";
    let file = home.write("edit.workflow.yaml", text);
    let rename = r#"{"op": "rename", "node": "first", "to": "count"}"#;
    let renamed = text.replace("first", "count");
    assert_eq!(home.ok(&["edit", "edit.workflow.yaml", rename]).stdout, renamed);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text, "printed, and not written");

    let written = home.ok(&[
        "edit",
        "edit.workflow.yaml",
        "--write",
        rename,
        r#"[{"op": "set", "path": "/nodes/count/with/n", "value": 2}]"#,
    ]);
    assert_eq!((written.stdout.as_str(), std::fs::read_to_string(&file).unwrap()), ("", renamed.replace("n: 1", "n: 2")));
    home.ok(&["check", "edit.workflow.yaml"]);
    let removed = home.ok(&["edit", "edit.workflow.yaml", r#"{"op": "remove", "node": "count"}"#]);
    assert!(
        removed.stderr.contains("second") && !removed.stdout.contains("# Counts."),
        "what still refers to it is told: {removed:?}"
    );

    // All or none.
    let none = home.run(&[
        "edit",
        "edit.workflow.yaml",
        "-w",
        r#"{"op": "remove", "node": "count"}"#,
        r#"{"op": "remove", "node": "cuont"}"#,
    ]);
    assert!(none.code == 1 && none.stderr.contains("error[W0201]"), "{none:?}");
    assert!(std::fs::read_to_string(&file).unwrap().contains("# Counts."));
    let wrong = home.run(&["edit", "edit.workflow.yaml", r#"{"op": "paint"}"#]);
    assert!(wrong.code == 2 && wrong.stderr.contains("paint"), "{wrong:?}");
}

#[test]
fn what_is_taken_away() {
    let home = Home::new();
    home.write("greet.workflow.yaml", GREET);
    let _server = home.up();
    home.ok(&["apply", "-f", "greet.workflow.yaml"]);
    home.ok(&["delete", "workflow", "demo/greet"]);
    assert_eq!(home.ok(&["get", "workflows"]).stdout, "");
    assert_eq!(home.run(&["delete", "workflow", "demo/greet"]).code, 1);
    let site = home.run(&["delete", "site", "local"]);
    assert!(site.code == 2 && site.stderr.contains("tutti site remove"), "{site:?}");
}

#[test]
fn files_that_links_lead_to_outside_of_the_folder_are_not_taken_along() {
    let home = Home::new();
    home.write("secret.txt", "nobody else's business\n");
    home.write("w/inner/real.txt", "ours\n");
    home.write(
        "w/links.workflow.yaml",
        "workflow: demo/links\nnodes:\n  show: {run: {command: [cat, there.txt], files: [there.txt]}}\n",
    );
    let link = home.path().join("w/there.txt");
    std::os::unix::fs::symlink("../secret.txt", &link).unwrap();
    let refused = home.run(&["run", "w/links.workflow.yaml", "--wait"]);
    assert!(refused.code == 1 && refused.stderr.contains("W0205"), "{refused:?}");
    std::fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink("inner/real.txt", &link).unwrap();
    home.ok(&["run", "w/links.workflow.yaml", "--wait", "--name", "inside"]);
    assert_eq!(home.ok(&["logs", "inside", "show"]).stdout, "ours\n");
}

#[test]
fn what_is_too_large_is_named_and_not_sent() {
    let home = Home::new();
    home.write("big.workflow.yaml", &format!("workflow: demo/big\nnodes: {{}}\n#{}\n", "x".repeat(5 << 20)));
    home.write(
        "w/code.workflow.yaml",
        "workflow: demo/code\nnodes:\n  a: {run: {command: [cat, data.bin], files: [data.bin]}}\n",
    );
    home.write("w/data.bin", &"x".repeat(9 << 20));
    let _server = home.up();
    for (file, named) in [("big.workflow.yaml", "big.workflow.yaml"), ("w/code.workflow.yaml", "data.bin")] {
        let refused = home.run(&["check", file]);
        assert!(refused.code == 1 && refused.stderr.contains("error[E0007]") && refused.stderr.contains(named), "{refused:?}");
    }
}
