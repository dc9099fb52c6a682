//! What a person gets who presses the tab key: asked of the shells themselves, where they are there.

use std::process::Command;

use crate::home::{GREET, Home};

/// Runs a script in a shell with `tutti` on its path. None when the shell is not there.
fn in_shell(home: &Home, shell: &str, arguments: &[&str], script: &str) -> Option<Vec<String>> {
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_tutti"));
    let mut path = program.parent().expect("a folder").as_os_str().to_owned();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    let mut command = Command::new(shell);
    command.args(arguments).arg(script).current_dir(home.path()).env("PATH", path).env("TUTTI_DATA", "data");
    for name in ["TUTTI_SERVER", "TUTTI_TOKEN", "TUTTI_CA"] {
        command.env_remove(name);
    }
    let Ok(ended) = command.output() else {
        eprintln!("there is no {shell} here");
        return None;
    };
    assert!(ended.status.success() && ended.stderr.is_empty(), "{ended:?}");
    Some(String::from_utf8_lossy(&ended.stdout).lines().map(str::to_owned).collect())
}

/// A server with two runs of a workflow, one of which waits for a person.
fn served(home: &Home) -> crate::home::Server {
    let server = home.up();
    home.write("greet.workflow.yaml", GREET);
    home.ok(&["run", "greet.workflow.yaml", "-i", "name=Ada", "--wait"]);
    assert_eq!(home.run(&["run", "demo/greet", "-i", "name=Wilhelmina", "--wait"]).code, 4);
    server
}

#[test]
fn there_is_a_script_for_every_shell() {
    let home = Home::new();
    for (shell, mark) in [
        ("bash", "-F _clap_complete_tutti tutti"),
        ("zsh", "#compdef tutti"),
        ("fish", "--command tutti"),
        ("elvish", "arg-completer[tutti]"),
        ("powershell", "-CommandName tutti"),
    ] {
        let script = home.ok(&["completion", shell]).stdout;
        assert!(script.contains(mark) && script.contains("TUTTI_COMPLETE"), "{shell}: {script}");
    }
    assert_eq!(home.run(&["completion", "dosshell"]).code, 2);
}

#[test]
fn bash_offers_commands_options_and_names() {
    let home = Home::new();
    let _server = served(&home);
    let script = r#"source <(tutti completion bash)
        try() { COMP_WORDS=("$@"); COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 )); COMPREPLY=(); COMP_TYPE=9
            _clap_complete_tutti tutti "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"; echo "${COMPREPLY[*]}"; }
        try tutti ap; try tutti get runs -o ''; try tutti audit v; try tutti delete workflow x --f
        try tutti watch g; try tutti approve ''; try tutti run --wait d; try tutti check g"#;
    let Some(lines) = in_shell(&home, "bash", &["--norc", "-uc"], script) else { return };
    assert_eq!(lines.len(), 8, "{lines:?}");
    assert_eq!((lines[0].as_str(), lines[2].as_str(), lines[3].as_str()), ("apply approve app", "verify", "--force"));
    assert!(lines[1].contains("json") && lines[1].contains("yaml"), "{lines:?}");
    assert_eq!(lines[4], "greet-2 greet-1");
    assert!(lines[5].starts_with("greet-2 ") && !lines[5].contains("greet-1"), "only what waits for a person: {lines:?}");
    assert_eq!((lines[6].as_str(), lines[7].as_str()), ("demo/greet data/", "greet.workflow.yaml"));
}

#[test]
fn zsh_offers_names_with_words_on_them() {
    let home = Home::new();
    let _server = served(&home);
    // Outside of its line editor zsh has neither of these two; what is offered goes through them.
    let script = r#"compdef() { }; _describe() { local name=${@[-1]}; print -r -- "${(Pj: | :)name}"; }
        source <(tutti completion zsh)
        try() { words=("$@"); CURRENT=$#words; _clap_dynamic_completer_tutti; }
        try tutti ap; try tutti watch g; try tutti describe action greet-1 m; try tutti site cordon ''"#;
    let Some(lines) = in_shell(&home, "zsh", &["-f", "-c"], script) else { return };
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert!(lines[0].starts_with("apply:Register ") && lines[0].contains(" | approve:Approve "), "{lines:?}");
    assert_eq!(lines[1], "greet-2:demo/greet, running | greet-1:demo/greet, succeeded");
    assert_eq!(lines[2], "measure:succeeded");
    assert!(lines[3].starts_with("local"), "{lines:?}");
}

#[test]
fn fish_offers_names_with_words_on_them() {
    let home = Home::new();
    let _server = served(&home);
    let script = "tutti completion fish | source
        complete -C 'tutti ap'; echo ==; complete -C 'tutti watch g'; echo ==; complete -C 'tutti rerun greet-2 --from '; echo ==
        complete -C 'tutti get workflows '; echo ==; complete -C 'tutti check gre'";
    let Some(lines) = in_shell(&home, "fish", &["--no-config", "-c"], script) else { return };
    let groups: Vec<Vec<&str>> =
        lines.split(|line| line == "==").map(|group| group.iter().map(String::as_str).collect()).collect();
    assert!(groups[0][0].starts_with("apply\tRegister ") && groups[0][1].starts_with("approve\tApprove "), "{groups:?}");
    assert_eq!(groups[1], ["greet-2\tdemo/greet, running", "greet-1\tdemo/greet, succeeded"]);
    assert_eq!(groups[2], ["approve", "measure"]);
    assert_eq!(groups[3][0], "demo/greet\tversion 1");
    assert_eq!(groups[4], ["greet.workflow.yaml"]);
}

/// Nobody waits long for an answer that does not come, and nothing is begun for a key.
#[test]
fn without_a_server_the_words_are_offered_and_nothing_is_opened() {
    let home = Home::new();
    let ask = |words: &[&str]| {
        let mut command = home.command(&[&["--", "tutti"], words].concat());
        command.env("TUTTI_COMPLETE", "fish").env("TUTTI_SERVER", "http://127.0.0.1:9");
        crate::home::end_of(command)
    };
    let offered = ask(&["describe", ""]);
    assert!(offered.code == 0 && offered.stdout.contains("workflow\n") && offered.stderr.is_empty(), "{offered:?}");
    assert_eq!(ask(&["watch", "g"]).stdout, "");
    assert!(!home.path().join("data").exists());
}
