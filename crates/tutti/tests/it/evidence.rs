//! Witnesses as programs of their own, and what an auditor takes away.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::home::{GREET, Home};

/// The longest that something may take to come about; what takes longer never does.
const PATIENCE: Duration = Duration::from_secs(30);

/// A witness that is stopped when it is dropped.
struct Witness {
    child: Child,
    key: String,
    url: String,
}

impl Witness {
    fn up(home: &Home, listen: &str) -> Witness {
        let words = ["witness", "--log", "log.key", "--state", "w", "--name", "example.com/w", "--listen", listen];
        let mut child = home.command(&words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let line = |from: &mut dyn std::io::Read| BufReader::new(from).lines().next().unwrap().unwrap();
        let key = line(child.stdout.as_mut().unwrap());
        let said = line(child.stderr.as_mut().unwrap());
        let url = said.rsplit(' ').next().unwrap().to_owned();
        Witness { child, key, url }
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks until an answer is right. Each question is a process, so that nothing has to be slept.
fn until(home: &Home, right: impl Fn(&Value) -> bool) -> Value {
    let end = Instant::now() + PATIENCE;
    loop {
        let status = home.json_or_none(&["audit", "status"]).unwrap_or_default();
        if right(&status) {
            return status;
        }
        assert!(Instant::now() < end, "{status}");
    }
}

#[test]
fn a_witness_signs_what_continues_and_an_older_copy_of_everything_is_found() {
    let home = Home::new();
    home.write("greet.workflow.yaml", GREET);
    home.ok(&["run", "greet.workflow.yaml", "-i", "name=Ada"]);
    home.write("log.key", &home.ok(&["audit", "key"]).stdout);
    let witness = Witness::up(&home, "127.0.0.1:0");
    let log = std::fs::read_to_string(home.path().join("log.key")).unwrap();
    home.write("policy", &format!("log {}\nwitness w {} {}\nquorum w\n", log.trim(), witness.key, witness.url));
    let is_witnessed = |status: &Value| status["witnessed"]["size"].as_u64() > Some(5) && status["witnessed"] == status["sealed"];
    {
        let _server = home.up_with(&["--witnesses", "policy"]);
        home.ok(&["run", "greet.workflow.yaml", "-i", "name=Grace", "-w"]);
        until(&home, is_witnessed);
    }
    // The whole data directory as it was: what lies in it agrees with itself.
    let copied = std::process::Command::new("cp").args(["-a", "data", "older"]).current_dir(home.path()).status().unwrap();
    assert!(copied.success());
    {
        let _server = home.up_with(&["--witnesses", "policy"]);
        home.ok(&["run", "greet.workflow.yaml", "-i", "name=Alan", "-w"]);
        let status = until(&home, is_witnessed);
        assert_eq!((&status["witnesses"][0]["trouble"], &status["halted"]), (&Value::Null, &Value::Null));
        home.ok(&["audit", "pack", "--to", "all.zip", "--policy", "policy"]);
        home.ok(&["audit", "verify", "all.zip", "--policy", "policy"]);
        // A policy that asks for somebody else as well is not met.
        let other = "witness x example.com/x+0b0b0b0b+BA";
        home.write("wrong", &format!("log {}\n{other}\nquorum none\n", log.trim()));
        assert_ne!(home.run(&["audit", "verify", "all.zip", "--policy", "wrong"]).code, 0);
    }
    std::fs::rename(home.path().join("data"), home.path().join("newer")).unwrap();
    std::fs::rename(home.path().join("older"), home.path().join("data")).unwrap();
    let _server = home.up_with(&["--witnesses", "policy"]);
    let status = until(&home, |status| status["halted"].is_string());
    assert!(status["halted"].as_str().unwrap().contains("split view"), "{status}");
    let run = home.json(&["run", "greet.workflow.yaml", "-i", "name=Edsger"])["name"].as_str().unwrap().to_owned();
    assert_eq!(home.json(&["get", "run", &run])["actions"][0]["site"], Value::Null, "nothing is dispatched");
    home.ok(&["audit", "accept", "--reason", "the newer copy was lost"]);
    assert_eq!(home.run(&["watch", &run]).code, 0);
    assert_ne!(home.ok(&["audit", "key"]).stdout, log, "it is another log now");
}

#[test]
fn an_evidence_pack_needs_no_server() {
    let home = Home::new();
    home.write("greet.workflow.yaml", GREET);
    let first = home.json(&["run", "greet.workflow.yaml", "-i", "name=Ada"])["name"].as_str().unwrap().to_owned();
    let key = home.ok(&["audit", "key"]).stdout.trim().to_owned();
    home.ok(&["audit", "pack", "--to", "all.zip"]);
    home.ok(&["audit", "pack", "--run", &first, "--to", "run.zip"]);
    assert_eq!(home.run(&["audit", "pack", "--run", &first, "--to", "run.zip"]).code, 1, "it is there already");
    let verdict = home.json(&["audit", "verify", "all.zip", "--key", &key]);
    assert_eq!((&verdict["holds"], &verdict["sealed"]), (&json!(true), &verdict["entries"]));
    let verdict = home.json(&["audit", "verify", "run.zip", "--key", &key]);
    assert!(verdict["holds"] == true && verdict["proofs"].as_u64() > Some(4), "{verdict}");
    assert!(verdict["sealed"] == verdict["entries"] && verdict["not_derived"].is_string(), "{verdict}");
    // A run that just ended: each entry of it has a proof, those that were written last, too.
    let whole = home.json(&["audit", "verify", "all.zip", "--key", &key])["entries"].as_u64().unwrap();
    home.ok(&["audit", "export", "--to", "entries.jsonl"]);
    let run = home.json(&["get", "run", &first])["number"].as_u64().unwrap();
    let lines = std::fs::read_to_string(home.path().join("entries.jsonl")).unwrap();
    let lines: Vec<Value> = lines.lines().skip(1).map(|line| serde_json::from_str(line).unwrap()).collect();
    let own = lines.iter().filter(|line| line["run"] == run).count() as u64;
    assert!(own > 4 && whole >= own && verdict["proofs"].as_u64() >= Some(own), "{own} {verdict}");
    // Other programs open it.
    let script = "import zipfile,sys,json\nz=zipfile.ZipFile('all.zip')\nassert z.testzip() is None\nfor n in ('ocsf.jsonl','openlineage.jsonl','in-toto.jsonl'):\n  [json.loads(l) for l in z.read(n).decode().splitlines()]\nz.extractall('unpacked')\nprint(z.read('summary.html').decode())";
    let page = std::process::Command::new("python3").args(["-c", script]).current_dir(home.path()).output().unwrap();
    let page = String::from_utf8(page.stdout).unwrap() + &String::from_utf8(page.stderr).unwrap();
    assert!(page.contains("demo/greet") && page.contains("nothing here is a statement of compliance"), "{page}");
    home.ok(&["audit", "verify", "unpacked", "--key", &key]);
    // One byte.
    let mut archive = std::fs::read(home.path().join("all.zip")).unwrap();
    let place = archive.windows(9).position(|window| window == b"\"bytes\":\"").unwrap() + 12;
    archive[place] = if archive[place] == b'A' { b'B' } else { b'A' };
    std::fs::write(home.path().join("changed.zip"), archive).unwrap();
    assert_eq!(home.run(&["audit", "verify", "changed.zip", "--key", &key]).code, 1);
}

#[test]
fn the_account_in_other_forms() {
    let home = Home::new();
    home.write("greet.workflow.yaml", GREET);
    let first = home.json(&["run", "greet.workflow.yaml", "-i", "name=Ada"])["name"].clone();
    let lines = |form: &str| -> Vec<Value> {
        let text = home.ok(&["audit", "export", "--format", form]).stdout;
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let ocsf = lines("ocsf");
    let submitted = ocsf.iter().find(|event| event["api"]["operation"] == "run.submit").unwrap();
    assert_eq!(
        (&submitted["class_uid"], &submitted["type_uid"], &submitted["resources"][0]["name"]),
        (&json!(6003), &json!(600_301), &first)
    );
    assert!(ocsf.iter().any(|event| event["api"]["operation"] == "run.finish" && event["status_id"] == 1));
    let lineage = lines("openlineage");
    let kinds: Vec<&str> = lineage.iter().map(|event| event["eventType"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["START", "COMPLETE"]);
    assert_eq!(lineage[0]["run"]["runId"], lineage[1]["run"]["runId"]);
    assert_eq!(lineage[0]["run"]["facets"]["tutti_label"]["tags"], json!([]));
}

const TAGGED: &str = "kind: tag
name: pii
owners: [officers]
---
kind: tag
name: masked
---
kind: policy
name: ways
cedar: |
  @id(\"home\")
  forbid (principal, action == Action::\"run\", resource) when { context.data in Tag::\"pii\" } unless { resource == Site::\"local\" };
---
kind: sanitizer
name: mask
run: {command: [sh, mask.sh], files: [mask.sh]}
strips: {pii: masked}
---
workflow: t/tagged
inputs:
  who: {type: string, labels: [pii]}
nodes:
  make:
    run: {command: [sh, make.sh], files: [make.sh]}
    with: {who: '${ inputs.who }'}
    outputs: {table: file}
  mask:
    run: {command: [sh, mask.sh], files: [mask.sh]}
    with: {table: '${ nodes.make.table }'}
    lowers: {pii: masked}
    outputs: {clean: file}
  other:
    run: {command: [sh, make.sh], files: [make.sh]}
    outputs: {table: file}
";

/// What is told outside holds the tags of a run, what its steps read at their own site, and what rules decided of it.
#[test]
fn the_account_in_other_forms_tells_tags_dependencies_and_decisions() {
    let home = Home::new();
    home.write(
        "make.sh",
        "echo made-$TUTTI_ACTION > \"$TUTTI_OUT_DIR/t.txt\"\nprintf '{\"table\": {\"$file\": \"t.txt\"}}' > \"$TUTTI_OUTPUT\"\n",
    );
    home.write(
        "mask.sh",
        "echo clean > \"$TUTTI_OUT_DIR/c.txt\"\nprintf '{\"clean\": {\"$file\": \"c.txt\"}}' > \"$TUTTI_OUTPUT\"\n",
    );
    home.write("tagged.yaml", TAGGED);
    let _server = home.up();
    let (rules, workflow) = TAGGED.split_once("---\nworkflow:").unwrap();
    home.write("rules.yaml", rules);
    home.write("tagged.workflow.yaml", &format!("workflow:{workflow}"));
    home.ok(&["apply", "-f", "rules.yaml"]);
    for person in ["ada", "bob"] {
        home.ok(&["policy", "approve", "mask", "--as", person, "--groups", "officers"]);
    }
    home.ok(&["apply", "-f", "tagged.workflow.yaml"]);
    home.ok(&["run", "t/tagged", "--name", "one", "--input", "who=ada", "--wait"]);
    let lines = |form: &str| -> Vec<Value> {
        let text = home.ok(&["audit", "export", "--format", form]).stdout;
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let lineage = lines("openlineage");
    assert_eq!(lineage.iter().map(|event| event["eventType"].as_str().unwrap()).collect::<Vec<_>>(), ["START", "COMPLETE"]);
    for event in &lineage {
        let facet = &event["run"]["facets"]["tutti_label"];
        assert_eq!((&facet["tags"], &facet["readable"]), (&json!(["pii"]), &json!(["pii"])), "{facet}");
    }
    let statements = lines("in-toto");
    let of = |action: &str| statements.iter().find(|one| one["subject"][0]["name"] == format!("one/{action}")).unwrap();
    assert!(statements.iter().all(|one| one["_type"] == "https://in-toto.io/Statement/v1"));
    let made = &of("make")["subject"][0]["digest"];
    let read = |action: &str| of(action)["predicate"]["buildDefinition"]["resolvedDependencies"].as_array().unwrap().clone();
    assert!(read("mask").iter().any(|one| one["digest"] == *made && one["name"] == "output of make"), "{:?}", read("mask"));
    assert!(read("other").iter().all(|one| one["digest"] != *made), "{:?}", read("other"));
    let lowered = lines("ocsf").into_iter().find(|event| event["api"]["operation"] == "tags.lower").unwrap();
    assert_eq!(lowered["resources"][0]["name"], "one: mask by the sanitizer mask");
    home.ok(&["audit", "pack", "--run", "one", "--to", "one.zip"]);
    let script = "import zipfile\nz=zipfile.ZipFile('one.zip')\nprint([n for n in z.namelist() if n.startswith('policies/')])\nprint(z.read('summary.html').decode())";
    let page = std::process::Command::new("python3").args(["-c", script]).current_dir(home.path()).output().unwrap();
    let page = String::from_utf8(page.stdout).unwrap() + &String::from_utf8(page.stderr).unwrap();
    for words in ["-policy-ways@1.json", "-sanitizer-mask@1.json", "<td>[pii]</td>", "tags come off: mask by the sanitizer mask"]
    {
        assert!(page.contains(words), "{words}: {page}");
    }
}

/// What an auditor has is a file: the decisions in it are made again without a server, and one that was forged is found although every hash was made anew.
#[test]
fn decisions_are_made_again_from_a_file_alone() {
    let home = Home::new();
    home.write(
        "rules.yaml",
        "kind: site\nname: onprem\ncapacity: {cpu: 4}\nattributes: {zone: on-premise}\n---\nkind: site\nname: cloud\ncapacity: {cpu: 4}\nattributes: {zone: cloud}\n---\n\
         kind: tag\nname: pii\nowners: [officers]\n---\nkind: policy\nname: personal\ncedar: |\n  @id(\"home\")\n  forbid (principal, action == Action::\"run\", resource)\n  \
         when { context.data in Tag::\"pii\" } unless { resource.zone == \"on-premise\" };\n",
    );
    home.write(
        "w.workflow.yaml",
        "workflow: t/w\ninputs:\n  x: {type: string, labels: [pii]}\nnodes:\n  a: {use: core/noop, with: {v: '${ inputs.x }'}}\n  b: {use: core/noop, after: a}\n",
    );
    home.ok(&["apply", "-f", "rules.yaml", "w.workflow.yaml"]);
    home.ok(&["run", "t/w", "--input", "x=the first to ask", "--wait"]);
    home.ok(&["run", "t/w", "--input", "x=the second to ask", "--wait"]);
    let key = home.ok(&["audit", "key"]).stdout.trim().to_owned();
    home.ok(&["audit", "export", "--to", "audit.jsonl"]);
    home.ok(&["audit", "pack", "--to", "all.zip"]);
    let whole = home.json(&["audit", "verify"]);
    for file in ["audit.jsonl", "all.zip"] {
        let verdict = home.json(&["audit", "verify", file, "--key", &key]);
        assert!(verdict["holds"] == true && verdict["derived"]["problems_total"] == 0, "{verdict}");
        assert_eq!(verdict["derived"]["decisions"], whole["derived"]["decisions"], "{file}");
        assert!(verdict["derived"]["decisions"]["placements"].as_u64() >= Some(4), "{verdict}");
        assert_eq!(home.json(&["audit", "verify", file, "--key", &key, "--levels", "2"])["derived"], Value::Null);
    }
    let export = std::fs::read_to_string(home.path().join("audit.jsonl")).unwrap();
    assert!(!export.contains(" to ask"), "values stay where they are");
    assert_eq!(
        export.matches("\"document\":{\"workflow\"").count() + export.matches("\"document\":{\"nodes\"").count(),
        1,
        "a graph stands there once"
    );
    // Another text of the rule beside the same entry: no hash of the log covers it, the commitment in the entry does.
    std::fs::write(home.path().join("changed.jsonl"), export.replace("on-premise\\\" };", "cloud\\\" };")).unwrap();
    let changed = home.run(&["audit", "verify", "changed.jsonl", "--key", &key]);
    assert!(changed.code == 1 && changed.stderr.contains("not what was committed to"), "{changed:?}");
}
