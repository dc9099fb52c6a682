//! `docs/reference/cli.md`, made from the definitions of the command line.

use std::fmt::Write as _;

use clap::{Arg, Command};

use crate::variables;

/// The page.
pub(crate) fn page(root: &Command) -> String {
    let mut root = root.clone();
    root.build();
    let mut text = String::from(
        "# The command line\n\n\
         Made from the program by `tutti markdown-help`; a test compares the two.\n\n\
         `tutti` is the server and its client in one program. Data goes to standard output, talk to standard error.\n\n\
         ## Which server\n\n\
         1. the one that `--server` or `TUTTI_SERVER` names;\n\
         2. the one that owns the data directory (`--data`, `TUTTI_DATA`, or `.tutti` here);\n\
         3. the one at `http://127.0.0.1:7200`, unless a data directory was named;\n\
         4. none: the same engine runs inside the command, on the data directory. What the command started is waited for, since nobody else\n\
            would carry it on; other commands can look in meanwhile.\n\n\
         ## Exit codes\n\n\
         | code | meaning |\n|---|---|\n\
         | 0 | done |\n| 1 | failed |\n| 2 | the command line is not right |\n| 3 | refused by a policy |\n\
         | 4 | it waits for a person, and for nothing else |\n| 5 | the server cannot be reached |\n| 130 | stopped by Ctrl-C |\n\n\
         ## Forms of output\n\n\
         Every command that prints data takes `-o table` (for people, the default), `-o json`, `-o yaml` or `-o name`. Fields of JSON are those of the\n\
         REST API; they are added, not renamed. `tutti run … -o json` prints `{\"name\": …, \"phase\": …}`.\n\n",
    );
    text += &environment();
    text += "## Options of every command\n\n";
    text += &options(root.get_arguments().filter(|argument| argument.is_global_set()));
    for command in root.get_subcommands().filter(|command| !command.is_hide_set()) {
        section(command, "tutti", &mut text);
    }
    text.trim_end().to_owned() + "\n"
}

fn environment() -> String {
    let mut text = String::from("## Environment\n\n| variable | what |\n|---|---|\n");
    for (name, what) in variables::ALL {
        let _ = writeln!(text, "| `{name}` | {what} |");
    }
    text + "\nAn option on the command line goes before its variable, and a variable before the configuration file.\n\n"
}

fn section(command: &Command, path: &str, text: &mut String) {
    let path = format!("{path} {}", command.get_name());
    let level = if path.matches(' ').count() == 1 { "##" } else { "###" };
    let about = command.get_long_about().or_else(|| command.get_about()).map(ToString::to_string).unwrap_or_default();
    let _ = write!(text, "{level} `{path}`\n\n{}\n\n", sentence(about.trim()));
    let subcommands: Vec<&Command> = command.get_subcommands().filter(|inner| !inner.is_hide_set()).collect();
    if subcommands.is_empty() {
        let usage = command.clone().render_usage().to_string();
        let _ = write!(text, "```text\n{}\n```\n\n", usage.trim_start_matches("Usage: ").trim());
        *text += &options(command.get_arguments().filter(|argument| !argument.is_global_set() && argument.get_id() != "help"));
        if let Some(examples) = command.get_after_help() {
            let examples = examples.to_string();
            let lines: String = examples.lines().skip(1).map(|line| format!("$ {}\n", line.trim())).collect();
            let _ = write!(text, "```console\n{lines}```\n\n");
        }
    }
    for inner in subcommands {
        section(inner, &path, text);
    }
}

fn options<'c>(arguments: impl Iterator<Item = &'c Arg>) -> String {
    let mut rows = String::new();
    for argument in arguments.filter(|argument| !argument.is_hide_set() && argument.get_id() != "version") {
        let mut help = argument.get_long_help().or_else(|| argument.get_help()).map(ToString::to_string).unwrap_or_default();
        help = sentence(&help);
        let values: Vec<String> = argument
            .get_possible_values()
            .iter()
            .filter(|value| !value.is_hide_set() && argument.get_action().takes_values())
            .map(|value| format!("`{}`", value.get_name()))
            .collect();
        if !values.is_empty() && !argument.is_hide_possible_values_set() {
            help += &format!(" One of {}.", values.join(", "));
        }
        let defaults: Vec<String> =
            argument.get_default_values().iter().map(|value| format!("`{}`", value.to_string_lossy())).collect();
        if !defaults.is_empty() && argument.get_action().takes_values() && !argument.is_hide_default_value_set() {
            help += &format!(" Default: {}.", defaults.join(", "));
        }
        let _ = writeln!(rows, "| {} | {} |", name_of(argument), help.replace('\n', " ").replace('|', "\\|"));
    }
    if rows.is_empty() { rows } else { format!("| option | what |\n|---|---|\n{rows}\n") }
}

/// A text with a full stop, which the parser of the command line takes away.
fn sentence(text: &str) -> String {
    if text.is_empty() || text.ends_with(['.', '?', '!']) { text.to_owned() } else { format!("{text}.") }
}

fn name_of(argument: &Arg) -> String {
    let values = argument.get_value_names().unwrap_or_default().join(" ");
    let values = if argument.get_action().takes_values() { values.replace('|', "\\|") } else { String::new() };
    let spaced = if values.is_empty() { String::new() } else { format!(" {values}") };
    match (argument.get_short(), argument.get_long()) {
        (Some(short), Some(long)) => format!("`-{short}`, `--{long}{spaced}`"),
        (None, Some(long)) => format!("`--{long}{spaced}`"),
        (Some(short), None) => format!("`-{short}{spaced}`"),
        (None, None) => format!("`{}`", if values.is_empty() { argument.get_id().to_string() } else { values }),
    }
}
