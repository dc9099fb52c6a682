//! The README, done as it stands by somebody who has only just got here.

use crate::home::Home;

fn readme() -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    std::fs::read_to_string(path).expect("the README")
}

/// The commands of the README that are no `make`, in their order.
fn commands(text: &str) -> Vec<String> {
    text.lines().filter_map(|line| line.trim().strip_prefix("$ tutti ")).map(str::to_owned).collect()
}

#[test]
fn its_workflow_and_its_commands_do_what_it_says() {
    let text = readme();
    let home = Home::new();
    let workflow = text.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a workflow");
    home.write("greet.workflow.yaml", workflow);
    // Those of the third step look around in the demo; here they look at what the fourth has made.
    let (around, own): (Vec<String>, Vec<String>) =
        commands(&text).into_iter().partition(|command| command.contains("NAME") || command == "get runs");
    assert_eq!((around.len(), own.len()), (4, 4), "a command of the README is not tried here: {around:?} {own:?}");
    for (command, exit) in own.iter().zip([0, 0, 4, 0]) {
        let command = command.replace("RUN", "greet-1");
        let words: Vec<&str> = command.split(' ').collect();
        let ended = home.run(&words);
        assert_eq!(ended.code, exit, "{command}: {ended:?}");
        match words[0] {
            "plan" => assert!(ended.stdout.contains("measure"), "{ended:?}"),
            "run" => assert!(ended.stderr.contains("waits for a person"), "{ended:?}"),
            _ => {}
        }
    }
    assert_eq!(home.json(&["get", "run", "greet-1"])["outputs"]["letters"], 10);
    for command in around {
        let command = command.replace("NAME", "greet-1").replace("train", "measure");
        home.ok(&command.split(' ').collect::<Vec<_>>());
    }
}

/// Every command that a page shows is one that the program has, with options that it has.
#[test]
fn commands_of_the_pages_are_those_of_the_program() {
    let home = Home::new();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut folders = vec![root.join("docs")];
    let mut pages = vec![root.join("README.md")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            match path.is_dir() {
                true => folders.push(path),
                false if path.extension().is_some_and(|extension| extension == "md") => pages.push(path),
                false => {}
            }
        }
    }
    let mut tried = 0;
    let mut wrong = Vec::new();
    for page in pages {
        let text = std::fs::read_to_string(&page).unwrap();
        for command in commands(&text) {
            let words = words(&command);
            // What stands before the first argument names the command; its help has every option.
            let named: Vec<&str> = words.iter().map(String::as_str).take_while(|word| is_word(word)).collect();
            let options: Vec<&str> = words.iter().filter(|word| word.starts_with("--")).map(String::as_str).collect();
            let help = (1..=named.len().min(3)).rev().map(|count| home.run(&[&named[..count], &["--help"]].concat()));
            let Some(help) = help.into_iter().find(|ended| ended.code == 0).map(|ended| ended.stdout) else {
                wrong.push(format!("{}: {command}", page.display()));
                continue;
            };
            for option in options {
                let name = option.split('=').next().unwrap_or_default();
                let known = help.split_whitespace().any(|word| word.trim_end_matches(',') == name);
                if !known {
                    wrong.push(format!("{}: {command}: there is no {name}", page.display()));
                }
            }
            tried += 1;
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(tried > 60, "{tried}");
}

fn is_word(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !word.starts_with('-')
}

/// The words of a command as a shell takes them apart, up to what is no part of it.
fn words(command: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for c in command.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None, '|' | '>' | '#' | '\\' | ';' | '&') => break,
            (None, ' ') => words.push(std::mem::take(&mut word)),
            (_, c) => word.push(c),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}
