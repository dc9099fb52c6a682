//! Pages that somebody follows word for word: what they say is typed, and what they show is what comes.

use std::process::Command;

use crate::home::{Ended, GREET, Home, end_of};

fn page(name: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide").join(name);
    std::fs::read_to_string(path).expect("the page")
}

/// The blocks of a language, in their order.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let open = format!("```{language}\n");
    text.split(open.as_str()).skip(1).filter_map(|rest| Some(rest.split_once("```")?.0.to_owned())).collect()
}

/// The commands of blocks, each with what is shown below it.
fn shown(blocks: &[String]) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for line in blocks.iter().flat_map(|block| block.lines()) {
        match (line.strip_prefix("$ "), found.last_mut()) {
            (Some(command), _) => found.push((command.to_owned(), String::new())),
            (None, Some((_, below))) => *below += &format!("{line}\n"),
            (None, None) => panic!("`{line}` stands below no command"),
        }
    }
    found
}

/// Lines with other numbers and another root in them.
fn shape(text: &str) -> String {
    let mut shaped = String::new();
    for line in text.lines() {
        let mut after_root = false;
        for word in line.split(' ') {
            let is_number = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
            shaped += match (after_root, is_number) {
                (true, _) => "ROOT",
                (false, true) => "N",
                (false, false) => word,
            };
            shaped.push(' ');
            after_root = word == "root";
        }
        shaped.push('\n');
    }
    shaped
}

/// Types a command of a page. The small verifier is built beside this program when the whole is.
fn typed(home: &Home, command: &str) -> Option<Ended> {
    let words: Vec<&str> = command.split(' ').collect();
    match words[0] {
        "tutti" => Some(home.run(&words[1..])),
        "tutti-verify" => {
            let small = std::path::Path::new(env!("CARGO_BIN_EXE_tutti")).with_file_name("tutti-verify");
            if !small.is_file() {
                eprintln!("SKIPPED, ONLY HALF WAS SHOWN: tutti-verify was not built beside tutti (`cargo build -p verifier`)");
                return None;
            }
            let mut program = Command::new(small);
            program.args(&words[1..]).current_dir(home.path()).stdin(std::process::Stdio::null());
            Some(end_of(program))
        }
        other => panic!("`{other}` is no program of the page"),
    }
}

#[test]
fn the_auditors_guide_does_what_it_says() {
    let text = page("auditor.md");
    let all = shown(&blocks(&text, "console"));
    let is_check = |command: &str| command.starts_with("tutti-verify ") || command.starts_with("tutti audit verify ");
    let (checks, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|(command, _)| is_check(command));
    // Witnesses have a test of their own, in `evidence.rs`.
    let others: Vec<&str> = others.iter().map(|(command, _)| command.split(" --").next().unwrap_or_default()).collect();
    assert_eq!(
        (checks.len(), others.as_slice()),
        (2, ["tutti witness", "tutti up"].as_slice()),
        "a command of the page is not tried"
    );

    let home = Home::new();
    home.write("greet.workflow.yaml", GREET);
    home.ok(&["run", "greet.workflow.yaml", "-i", "name=Ada"]);
    home.write("tutti.key", &home.ok(&["audit", "key"]).stdout);
    home.ok(&["audit", "pack", "--to", "last-year.zip"]);
    let script = "import zipfile; open('last-year.checkpoint', 'wb').write(zipfile.ZipFile('last-year.zip').read('checkpoint'))";
    assert!(Command::new("python3").args(["-c", script]).current_dir(home.path()).status().unwrap().success());
    let kept = std::fs::read_to_string(home.path().join("last-year.checkpoint")).unwrap();
    assert_eq!(kept.lines().count(), 5, "a text file of five lines: {kept}");
    home.ok(&["run", "greet.workflow.yaml", "-i", "name=Grace"]);
    home.ok(&["audit", "pack", "--to", "evidence.zip"]);
    for (command, expected) in &checks {
        let Some(ended) = typed(&home, command) else { continue };
        assert_eq!(ended.code, 0, "{command}: {ended:?}");
        if !expected.is_empty() {
            assert_eq!(shape(&ended.stdout), shape(expected), "{command}: the page shows something else");
        }
    }
    // And it ends with 1 when something does not hold.
    let mut archive = std::fs::read(home.path().join("evidence.zip")).unwrap();
    let place = archive.windows(9).position(|window| window == b"\"bytes\":\"").unwrap() + 12;
    archive[place] = if archive[place] == b'A' { b'B' } else { b'A' };
    std::fs::write(home.path().join("evidence.zip"), archive).unwrap();
    for (command, _) in &checks {
        if let Some(ended) = typed(&home, command) {
            assert_ne!(ended.code, 0, "{command}: {ended:?}");
        }
    }
}

#[test]
fn the_tutorial_of_a_rule_does_what_it_says() {
    let text = page("write-a-rule.md");
    let home = Home::new();
    let yaml = blocks(&text, "yaml");
    let [rules, score, leaky, step, sanitizer, test] = yaml.as_slice() else { panic!("{} blocks", yaml.len()) };
    home.write("rules.yaml", rules);
    home.write("score.workflow.yaml", score);
    home.write("leaky.workflow.yaml", leaky);
    home.write("rules.test.yaml", test);
    home.write("pseudonymise.py", "pass\n");
    let commands = shown(&blocks(&text, "console"));
    let names: Vec<&str> = commands.iter().map(|(command, _)| command.as_str()).collect();
    let [apply, ada, bob, status, tests] = names.as_slice() else { panic!("a command of the page is not tried: {names:?}") };
    let type_in = |command: &str| {
        let words = shlex(command);
        home.run(&words.iter().skip(1).map(String::as_str).collect::<Vec<_>>())
    };
    assert_eq!(type_in(apply).code, 0);
    // The one that keeps to it.
    home.ok(&["run", "score.workflow.yaml", "-i", "ssn=1", "--wait"]);
    let run = home.json(&["get", "run", "score-1"]);
    let site =
        |node: &str| run["actions"].as_array().unwrap().iter().find(|action| action["path"] == node).unwrap()["site"].clone();
    assert_eq!(site("join"), "onprem");
    let why = home.ok(&["explain", "score-1", "join"]).stdout;
    assert!(why.contains("cloud") && why.contains("personal-data/stays-home"), "{why}");
    // The one that does not: every line that the page shows is among what is said.
    let refused = home.run(&["apply", "-f", "leaky.workflow.yaml"]);
    assert_eq!(refused.code, 3, "{refused:?}");
    let expected = blocks(&text, "text");
    for line in expected[0].lines() {
        assert!(refused.stderr.contains(line), "{line}\n{}", refused.stderr);
    }
    assert_ne!(home.run(&["get", "workflow", "demo/leaky"]).code, 0, "nothing is registered");
    // Taking a tag off: the step and its sanitizer, and two owners who vouch for it.
    home.write("sanitizer.yaml", sanitizer);
    home.ok(&["apply", "-f", "sanitizer.yaml"]);
    let with_step = leaky.replace("  score:\n", &format!("{step}  score:\n")).replace("nodes.join", "nodes.pseudonymise");
    let with_step = with_step.replacen("nodes.pseudonymise", "nodes.join", 1).replace("demo/leaky", "demo/safe");
    home.write("safe.workflow.yaml", &with_step);
    assert_eq!(home.run(&["apply", "-f", "safe.workflow.yaml"]).code, 3, "nobody has vouched for it yet");
    for command in [ada, bob, status] {
        let ended = type_in(command);
        assert_eq!(ended.code, 0, "{command}: {ended:?}");
    }
    home.ok(&["apply", "-f", "safe.workflow.yaml"]);
    home.write("pseudonymise.py", "pass # changed\n");
    assert_eq!(home.run(&["apply", "-f", "safe.workflow.yaml"]).code, 3, "a byte of it has changed");
    // The test beside the rule, and an edit that opens the hole.
    let tested = type_in(tests);
    assert_eq!((tested.code, tested.stdout.as_str()), (0, commands[4].1.as_str()));
    home.write("rules.yaml", &rules.replace("unless { resource.zone == \"on-premise\" }", "unless { true }"));
    assert_eq!(type_in(tests).code, 1);
}

/// The words of a command as a shell takes them apart.
fn shlex(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut is_quoted = false;
    for c in command.chars() {
        match c {
            '"' => is_quoted = !is_quoted,
            ' ' if !is_quoted => words.push(String::new()),
            c => words.last_mut().expect("a word").push(c),
        }
    }
    words
}
