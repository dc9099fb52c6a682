//! A sanitizer through the real server: what it gives is looked at, who vouches for it is counted, and what changes, ends or is taken back does
//! not count any more.

use serde_json::{Value, json};

use crate::home::{Home, until};
use crate::policy::RULES;

/// The rules of `policy.rs`, with a sanitizer that has checks.
fn rules() -> String {
    let checks = "checks: {bytes_max: 40, fields: [masked], without: [email]}\n";
    RULES.replace("name: pseudonymise\n", "name: mask\n") + checks
}

/// Gives exactly what it is told to give: a sanitizer that is only as good as its checks.
const MASK: &str = "sed -e 's/^{\"give\"://' -e 's/}$//' input.json > \"$TUTTI_OUTPUT\"\n";

const WORKFLOW: &str = "workflow: t/masked
inputs:
  give: {type: object, labels: [pii]}
nodes:
  mask:
    run: {command: [sh, mask.sh], files: [mask.sh]}
    with: {give: '${ inputs.give }'}
    lowers: {pii: pseudonymous}
    outputs: {masked: string}
  score:
    use: core/noop
    with: {value: '${ nodes.mask.masked }'}
    needs: {site: {zone: cloud}}
";

struct Bench {
    home: Home,
    _server: crate::home::Server,
}

impl Bench {
    fn new() -> Bench {
        let home = Home::new();
        home.write("mask.sh", MASK);
        home.write("rules.yaml", &rules());
        home.write("masked.workflow.yaml", WORKFLOW);
        let server = home.up();
        home.ok(&["apply", "-f", "rules.yaml"]);
        Bench { home, _server: server }
    }

    fn vouch(&self, person: &str) -> String {
        self.home.ok(&["policy", "approve", "mask", "--as", person, "--groups", "officers"]).stdout
    }

    /// Runs it on what it is to give; gives the exit code and what was said.
    fn run(&self, name: &str, give: &Value) -> (i32, String) {
        self.home.write("in.json", &json!({ "give": give }).to_string());
        let ended = self.home.run(&["run", "t/masked", "--name", name, "--inputs", "in.json", "--wait"]);
        (ended.code, format!("{}{}", ended.stdout, ended.stderr))
    }

    fn phase(&self, run: &str, path: &str) -> Value {
        let actions = self.home.json(&["get", "actions", run]);
        let action = actions.as_array().unwrap().iter().find(|action| action["path"] == path);
        action.map_or(Value::Null, |action| action["phase"].clone())
    }
}

#[test]
fn what_a_sanitizer_gives_is_looked_at_before_anybody_reads_it() {
    let bench = Bench::new();
    bench.vouch("ada");
    bench.vouch("bob");
    bench.home.ok(&["apply", "-f", "masked.workflow.yaml"]);
    let (code, said) = bench.run("good", &json!({"masked": "x"}));
    assert_eq!((code, bench.phase("good", "score")), (0, json!("succeeded")), "{said}");
    for (name, give, why) in [
        ("field", json!({"masked": "x", "ssn": "078-05-1120"}), "`ssn`"),
        ("size", json!({"masked": "x".repeat(60)}), "bytes"),
        ("detector", json!({"masked": "ada@mail.example"}), "e-mail"),
    ] {
        let (code, said) = bench.run(name, &give);
        assert_eq!(code, 1, "{name}: {said}");
        assert_eq!((bench.phase(name, "mask"), bench.phase(name, "score") == json!("succeeded")), (json!("failed"), false));
        let described = bench.home.ok(&["explain", name, "mask"]).stdout + &said;
        assert!(
            described.contains("did not pass a check of the sanitizer `mask`") && described.contains(why),
            "{name}: {described}"
        );
        assert!(!described.contains("ada@mail.example") && !described.contains("078-05"), "{name}: {described}");
    }
    // The account comes out again, refused outputs and all.
    let verified = bench.home.run(&["audit", "verify"]);
    assert_eq!(verified.code, 0, "{verified:?}");
}

#[test]
fn a_sanitizer_that_is_changed_taken_back_or_has_expired_takes_nothing_off() {
    let bench = Bench::new();
    bench.vouch("ada");
    bench.vouch("bob");
    bench.home.ok(&["apply", "-f", "masked.workflow.yaml"]);
    let good = json!({"masked": "x"});
    assert_eq!(bench.run("first", &good).0, 0);

    let revoke = ["policy", "revoke", "mask", "--as", "ada", "--groups", "officers", "--reason", "the key leaked"];
    bench.home.ok(&revoke);
    let (code, said) = bench.run("revoked", &good);
    assert!(
        code == 3 && said.contains("1 of 2 owners of `pii`") && said.contains("earlier approvals have ended"),
        "{code} {said}"
    );
    assert!(bench.vouch("cid").contains("in force"));
    assert_eq!(bench.run("again", &good).0, 0);

    // The same code under weaker checks is another sanitizer.
    bench.home.write("rules.yaml", &rules().replace("bytes_max: 40, ", ""));
    bench.home.ok(&["apply", "-f", "rules.yaml"]);
    let (code, said) = bench.run("weaker", &good);
    assert!(code == 3 && said.contains("0 of 2 owners of `pii`"), "{code} {said}");

    // Approvals that are good for a moment.
    bench.home.write("rules.yaml", &(rules() + "expires: 1s\n"));
    bench.home.ok(&["apply", "-f", "rules.yaml"]);
    bench.vouch("ada");
    bench.vouch("bob");
    let mut number = 0;
    let said = until("the approvals have ended", || {
        number += 1;
        let (code, said) = bench.run(&format!("late-{number}"), &good);
        (code == 3).then_some(said)
    });
    assert!(said.contains("earlier approvals have ended"), "{said}");
    // Nor do they come back when somebody writes another end.
    bench.home.write("rules.yaml", &(rules() + "expires: 900d\n"));
    bench.home.ok(&["apply", "-f", "rules.yaml"]);
    let (code, said) = bench.run("longer", &good);
    assert!(code == 3 && said.contains("earlier approvals have ended"), "{code} {said}");

    // Other code than what was vouched for, in a workflow of its own.
    bench.home.write("mask.sh", "cat input.json > \"$TUTTI_OUTPUT\"\n");
    bench.home.write("masked.workflow.yaml", &WORKFLOW.replace("t/masked", "t/other"));
    let changed = bench.home.run(&["apply", "-f", "masked.workflow.yaml"]);
    assert!(changed.code == 3 && changed.stderr.contains("no sanitizer is registered that is exactly this code"), "{changed:?}");
}

/// A run is accepted with what was approved then: checks that are left out afterwards, which nobody approved, are carried out on it all the same.
#[test]
fn checks_hold_for_runs_that_were_accepted_under_them() {
    let bench = Bench::new();
    let home = &bench.home;
    bench.vouch("ada");
    bench.vouch("bob");
    let asks = "nodes:\n  ok: {human: {title: Well, assign: {users: [desk]}, form: {type: object}}}\n";
    let waiting = WORKFLOW.replace("nodes:\n", asks).replace("    lowers:", "    after: ok\n    lowers:");
    home.write("masked.workflow.yaml", &waiting);
    home.ok(&["apply", "-f", "masked.workflow.yaml"]);
    let leaks = json!({ "give": {"masked": "ada@mail.example"} }).to_string();
    for (name, inputs) in [("leaks", leaks.as_str()), ("good", "{\"give\": {\"masked\": \"x\"}}"), ("gone", leaks.as_str())] {
        home.write("in.json", inputs);
        home.ok(&["run", "t/masked", "--name", name, "--inputs", "in.json"]);
    }
    let go_on = |name: &str| {
        home.ok(&["approve", name, "--as", "desk"]);
        let code = home.run(&["watch", name]).code;
        (code, home.ok(&["explain", name, "mask"]).stdout)
    };
    home.write("rules.yaml", &RULES.replace("name: pseudonymise\n", "name: mask\n"));
    home.ok(&["apply", "-f", "rules.yaml"]);
    let (code, said) = go_on("leaks");
    assert!(code == 1 && said.contains("did not pass a check of the sanitizer `mask`"), "{code} {said}");
    assert_ne!(bench.phase("leaks", "score"), json!("succeeded"));
    let (code, said) = go_on("good");
    assert_eq!((code, bench.phase("good", "score")), (0, json!("succeeded")), "{said}");
    // Nor does it help to take the sanitizer away, or to begin anew.
    home.ok(&["delete", "sanitizer", "mask"]);
    let Bench { home, _server: server } = bench;
    drop(server);
    let _server = home.up();
    home.ok(&["approve", "gone", "--as", "desk"]);
    assert_eq!(home.run(&["watch", "gone"]).code, 1);
    let said = home.ok(&["explain", "gone", "mask"]).stdout;
    assert!(said.contains("did not pass a check of the sanitizer `mask`"), "{said}");
    let verified = home.run(&["audit", "verify"]);
    assert_eq!(verified.code, 0, "{verified:?}");
}
