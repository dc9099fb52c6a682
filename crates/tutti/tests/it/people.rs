//! `approve`, `reject`.

use crate::home::{GREET, Home};

fn asking(names: &[&str]) -> (Home, crate::home::Server) {
    let home = Home::new();
    home.write("greet.workflow.yaml", GREET);
    let server = home.up();
    home.ok(&["apply", "-f", "greet.workflow.yaml"]);
    for name in names {
        assert_eq!(home.run(&["run", "demo/greet", "-i", "name=Wilhelmina", "-w", "--name", name]).code, 4);
    }
    (home, server)
}

#[test]
fn a_decision_with_its_form() {
    let (home, _server) = asking(&["one", "two"]);
    let waiting = home.ok(&["get", "approvals", "one"]).stdout;
    assert!(
        waiting.contains("Is `Wilhelmina` a name?") && waiting.contains("registrars") && !waiting.contains("two"),
        "{waiting}"
    );
    // Who is not asked may not answer.
    let stranger = home.run(&["approve", "one", "--as", "eve", "--groups", "tourists"]);
    assert!(stranger.code == 1 && stranger.stderr.contains("error[E0005]"), "{stranger:?}");
    // The form has types.
    let wrong = home.run(&["approve", "one", "--as", "ada", "--groups", "registrars", "--form", "sure=perhaps"]);
    assert!(wrong.code == 1 && wrong.stderr.contains("error[E0009]"), "{wrong:?}");
    let arguments = ["approve", "one", "approve", "--as", "ada", "--groups", "registrars,clerks", "--form", "sure=true"];
    home.ok(&[&arguments[..], &["--form", "code=0042", "--comment", "looks right"]].concat());
    assert_eq!(home.run(&["watch", "one"]).code, 0);
    let action = home.json(&["describe", "action", "one", "approve"]);
    let output = &action["output"];
    assert_eq!((output["decision"].as_str(), output["by"].as_str()), (Some("approve"), Some("ada")), "{action}");
    assert_eq!((output["comment"].as_str(), output["code"].as_str()), (Some("looks right"), Some("0042")), "{action}");
    assert_eq!(output["sure"], true);

    home.ok(&["reject", "two", "--as", "ada", "--groups", "registrars"]);
    home.run(&["watch", "two"]);
    assert_eq!(home.json(&["describe", "action", "two", "approve"])["output"]["decision"], "reject");
    let late = home.run(&["approve", "two", "--as", "ada", "--groups", "registrars"]);
    assert!(late.code == 1 && late.stderr.contains("nothing of it waits for a person"), "{late:?}");
}

#[test]
fn names_that_are_not_known() {
    let (home, _server) = asking(&["one"]);
    let unknown = home.run(&["approve", "oen", "--as", "ada", "--groups", "registrars"]);
    assert!(unknown.code == 1 && unknown.stderr.contains("did you mean `one`?"), "{unknown:?}");
    let unknown = home.run(&["approve", "one", "aprove", "--as", "ada", "--groups", "registrars"]);
    assert!(unknown.code == 1 && unknown.stderr.contains("these wait: approve"), "{unknown:?}");
    assert_eq!(home.run(&["approve"]).code, 2);
}
