//! What the program says about itself: help, error pages, the reference.

use crate::home::Home;

/// Every command, subcommands too, with what `--help` says of it.
fn commands(home: &Home, path: &[&str], found: &mut Vec<(String, String)>) {
    let help = home.ok(&[path, &["--help"]].concat()).stdout;
    let inner: Vec<String> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .collect();
    for name in inner.iter().filter(|name| *name != "help") {
        commands(home, &[path, &[name.as_str()]].concat(), found);
    }
    if !path.is_empty() {
        found.push((path.join(" "), help));
    }
}

#[test]
fn every_command_says_what_it_does_and_shows_it() {
    let home = Home::new();
    let mut found = Vec::new();
    commands(&home, &[], &mut found);
    for hidden in ["shim", "markdown-help"] {
        commands(&home, &[hidden], &mut found);
    }
    assert!(found.len() > 40, "{}", found.len());
    for (path, help) in found {
        let about = help.lines().next().unwrap_or_default();
        assert!(about.len() > 10 && about.starts_with(char::is_uppercase) && !about.starts_with("Usage"), "{path}: {about}");
        assert!(help.contains("Examples:\n  tutti "), "{path} has no example");
        let first = path.split(' ').next().unwrap();
        let example = help.split("Examples:\n").nth(1).unwrap();
        assert!(example.lines().all(|line| line.starts_with(&format!("  tutti {first}"))), "{path}: {example}");
    }
}

#[test]
fn wrong_words_are_usage_errors() {
    let home = Home::new();
    for (arguments, hint) in [
        (&["apprve"][..], "approve"),
        (&["get", "runs", "--frm", "x"], "--"),
        (&["get", "runs", "-o", "toml"], "table"),
        (&["error", "E9999"], "tutti error"),
        (&["demo", "no-such-story"], "bank"),
        (&[], "Usage"),
    ] {
        let wrong = home.run(arguments);
        assert!(wrong.code == 2 && wrong.stdout.is_empty() && wrong.stderr.contains(hint), "{arguments:?}: {wrong:?}");
    }
    assert!(home.ok(&["--version"]).stdout.starts_with("tutti "));
    assert!(home.ok(&["--help"]).stdout.contains("Exit codes: 0 done"));
}

#[test]
fn error_pages() {
    let home = Home::new();
    let page = home.ok(&["error", "e0013"]).stdout;
    assert!(page.starts_with("# E0013: the data directory is in use") && page.contains("## What to do"), "{page}");
    let list = home.ok(&["error"]).stdout;
    assert!(list.lines().count() > 20 && list.contains("E0001: ") && list.contains("W0101"), "{list}");
}

#[test]
fn the_schema_of_the_language() {
    let home = Home::new();
    let schema: serde_json::Value = serde_json::from_str(&home.ok(&["schema"]).stdout).unwrap();
    assert_eq!(schema, workflow::schema());
    assert!(home.ok(&["schema", "-o", "yaml"]).stdout.contains("json-schema.org/draft/2020-12"));
}

#[test]
fn the_description_of_the_api() {
    let home = Home::new();
    let text = home.ok(&["openapi"]).stdout;
    let description: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(description["openapi"].as_str().unwrap().starts_with("3.1"));
    assert!(
        description["paths"]["/api/v1/plan"]["post"].is_object()
            && description["paths"]["/api/v1/audit/proof"]["get"].is_object()
    );
}

/// The reference of the command line is what the program says. `TUTTI_BLESS=1` writes it anew.
#[test]
fn the_reference_is_fresh() {
    let home = Home::new();
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/cli.md");
    let made = home.ok(&["markdown-help"]).stdout;
    if std::env::var_os("TUTTI_BLESS").is_some() {
        std::fs::write(&file, &made).unwrap();
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    let fresh = kept.lines().zip(made.lines()).find(|(kept, made)| kept != made);
    assert!(kept == made, "docs/reference/cli.md is stale; TUTTI_BLESS=1 with this test writes it. First difference: {fresh:?}");
}
