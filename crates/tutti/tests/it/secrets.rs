//! Secrets and erasing on the binary.

use std::path::Path;
use std::process::Stdio;

use serde_json::json;

use crate::home::{Ended, Home, end_of, until};

const VALUE: &str = "s3cr3t/Wert+4711";

fn set(home: &Home, name: &str, value: &str) -> Ended {
    home.write("value", &format!("{value}\n"));
    let mut command = home.command(&["secrets", "set", name]);
    command.stdin(Stdio::from(std::fs::File::open(home.path().join("value")).unwrap()));
    let ended = end_of(command);
    std::fs::remove_file(home.path().join("value")).unwrap();
    ended
}

/// Whether a text lies open in any file of a folder.
fn lies_open(folder: &Path, text: &str) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(lies_open(&path, text));
        } else if path.is_file()
            && let Ok(bytes) = std::fs::read(&path)
            && bytes.windows(text.len()).any(|window| window == text.as_bytes())
        {
            found.push(path);
        }
    }
    found
}

const WORKFLOW: &str = r#"
workflow: bank/pay
inputs: {chosen: {type: string, default: "secret://token"}}
nodes:
  pay:
    run:
      script: |
        echo "plain $TOKEN end"
        printf %s "user:$TOKEN" | base64
        printf %s "$TOKEN" | od -An -tx1 | tr -d ' \n'; echo
        printf 'half %s' "$${TOKEN%4711}" >&2; sleep 0.1; printf '4711 whole' >&2
        test "$${#TOKEN}" = 16
      env: {TOKEN: "secret://token"}
"#;

#[test]
fn a_secret_is_given_to_its_node_and_shown_nowhere() {
    let home = Home::new();
    home.write("pay.workflow.yaml", WORKFLOW);
    let _server = home.up();
    let unknown = home.run(&["apply", "-f", "pay.workflow.yaml"]);
    assert!(unknown.code != 0 && unknown.stderr.contains("W0701"), "{unknown:?}");
    assert_eq!(set(&home, "bank/token", VALUE).code, 0);
    assert_eq!(set(&home, "bank/token", "short").code, 1);
    let list = home.ok(&["secrets", "list"]);
    assert!(list.stdout.contains("bank/token") && !list.stdout.contains(VALUE), "{list:?}");
    home.ok(&["run", "pay.workflow.yaml", "-w"]);
    let logs = home.ok(&["logs", "pay-1", "pay"]);
    let all = format!("{}{}", logs.stdout, logs.stderr);
    assert!(all.contains("plain [secret] end") && all.contains("half [secret] whole"), "{all}");
    for form in [VALUE, "czNjcjN0", "733363723374", "s3cr3t/Wert"] {
        assert!(!all.contains(form), "{form}: {all}");
    }
    assert_eq!(lies_open(home.path(), VALUE), Vec::<std::path::PathBuf>::new());
    let facts = home.ok(&["audit", "export"]).stdout;
    assert!(!facts.contains(VALUE));
    let events = home.ok(&["get", "runs", "-o", "json"]).stdout;
    assert!(!events.contains(VALUE));
    // Of another project there is no such secret.
    home.write("other.workflow.yaml", &WORKFLOW.replace("bank/pay", "shop/pay"));
    assert!(home.run(&["apply", "-f", "other.workflow.yaml"]).stderr.contains("W0701"));
    home.ok(&["secrets", "remove", "bank/token"]);
    let failed = home.run(&["run", "bank/pay", "-w"]);
    assert!(failed.code == 1 && format!("{failed:?}").contains("no secret"), "{failed:?}");
}

#[test]
fn whoever_starts_a_run_chooses_no_secret_and_a_message_holds_none() {
    let home = Home::new();
    let workflow = "workflow: bank/w\ninputs: {chosen: {type: string}}\nnodes:\n  a:\n    run:\n      command: [sh, -c, 'echo got $X']\n      env: {X: \"${ inputs.chosen }\"}\n";
    home.write("w.workflow.yaml", workflow);
    let named = "workflow: bank/n\noutputs: {n: \"${ nodes.a.n }\"}\nnodes:\n  a:\n    run:\n      command: [sh, -c, 'printf \"{\\\"n\\\":\\\"%s\\\"}\" $X > $TUTTI_OUTPUT']\n      env: {X: \"secret://token\"}\n    outputs: {n: {type: number}}\n";
    home.write("n.workflow.yaml", named);
    let _server = home.up();
    assert_eq!(set(&home, "bank/token", VALUE).code, 0);
    let refused = home.run(&["run", "w.workflow.yaml", "-i", "chosen=secret://token", "-w"]);
    assert!(refused.code == 1 && !format!("{refused:?}").contains(VALUE), "{refused:?}");
    assert!(format!("{refused:?}").contains("was not released"), "{refused:?}");
    // An output of the wrong type is quoted in the message; the secret in it is not.
    let failed = home.run(&["run", "n.workflow.yaml", "-w"]);
    assert!(failed.code == 1 && format!("{failed:?}").contains("[secret]"), "{failed:?}");
    assert!(!format!("{failed:?}").contains(VALUE), "{failed:?}");
}

#[test]
fn runs_about_a_subject_are_erased_and_the_log_verifies() {
    let home = Home::new();
    home.write(
        "w.workflow.yaml",
        "workflow: t/w\ninputs: {name: {type: string}}\nnodes:\n  a: {use: core/noop, with: {n: \"${ inputs.name }\"}}\n",
    );
    let _server = home.up();
    for (subject, name) in [("p1", "Ada"), ("p1", "Ada again"), ("p2", "Bob")] {
        home.ok(&["run", "w.workflow.yaml", "-i", &format!("name={name}"), "--subject", subject, "-w"]);
    }
    assert_eq!(home.run(&["erase", "--subject", "p3"]).code, 1);
    let erased = home.json(&["erase", "--subject", "p1"]);
    assert_eq!(erased["runs"], json!([1, 2]));
    let run = home.json(&["get", "run", "w-1"]);
    assert_eq!((&run["erased"], &run["inputs"]), (&json!("E0023"), &json!(null)));
    assert_eq!(home.json(&["get", "run", "w-3"])["inputs"]["name"], "Bob");
    let report = home.json(&["audit", "verify"]);
    assert!(report["holds"] == true && report["erased"].as_u64() > Some(0), "{report}");
    home.ok(&["keys", "rotate"]);
    assert_eq!(home.json(&["get", "run", "w-3"])["inputs"]["name"], "Bob");
    let backup = home.ok(&["backup", "--to", "saved", "--without-keys"]);
    assert!(backup.stderr.contains("holds no keys"), "{backup:?}");
}

/// What stands between a placed attempt and its process takes time where secrets are released. One that is cancelled meanwhile never begins.
#[test]
fn an_attempt_that_is_cancelled_before_its_site_was_told_never_begins() {
    let home = Home::new();
    let workflow = |name: &str| {
        format!(
            "workflow: bank/{name}\nnodes:\n  a:\n    run:\n      script: 'echo {name} >> \"$TUTTI_SITE_FILES/began\"'\n      env: {{X: \"secret://token\"}}\n"
        )
    };
    let hits = home.path().join("hits");
    let held = [
        ("TUTTI_FAILPOINTS", "order-before=delay:6000".to_owned()),
        ("TUTTI_FAILPOINT_LOG", hits.to_string_lossy().into_owned()),
    ];
    let _server = home.up_as(&[], &held);
    assert_eq!(set(&home, "bank/token", VALUE).code, 0);
    for name in ["late", "next"] {
        home.write(&format!("{name}.workflow.yaml"), &workflow(name));
        home.ok(&["apply", "-f", &format!("{name}.workflow.yaml")]);
    }
    home.ok(&["run", "bank/late", "--name", "late"]);
    until("the order is held", || std::fs::read_to_string(&hits).ok().filter(|hits| hits.contains("order-before")));
    home.ok(&["cancel", "late"]);
    until("it is cancelled", || (home.json(&["get", "run", "late"])["phase"] == "aborted").then_some(()));
    // Held up as long, from later on: the first would have begun before this one.
    home.ok(&["run", "bank/next", "-w"]);
    let began = find(home.path(), "began").map(|file| std::fs::read_to_string(file).unwrap());
    assert_eq!(began.as_deref(), Some("next\n"));
}

/// A file of this name below a folder.
fn find(folder: &Path, name: &str) -> Option<std::path::PathBuf> {
    std::fs::read_dir(folder).ok()?.flatten().find_map(|entry| match entry.path() {
        path if path.is_dir() => find(&path, name),
        path => (path.file_name()?.to_str()? == name).then_some(path),
    })
}
