//! The command line as types. Each command's arguments stand beside what it does, in `commands/`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use controlplane::FaultKind;

use crate::client::Client;
use crate::commands::{
    actions, applying, approvals, apps, artifacts, audit, demo, describe, doctor, editing, events, foresight, get, keeping, keys,
    planning, policy, prices, reference, runs, secrets, sites, tokens, up, witness,
};
use crate::failure::Exit;
use crate::variables;

/// One control plane to design, run, watch and govern workflows across places.
#[derive(Debug, Parser)]
#[command(name = "tutti", version, propagate_version = true, disable_help_subcommand = true, max_term_width = 120)]
#[command(after_help = "Exit codes: 0 done, 1 failed, 2 usage, 3 refused by policy, 4 waiting for a human, 5 unreachable.\n\
    Without --server a command uses the server that owns the data directory, then the one at http://127.0.0.1:7200;\n\
    when there is none, it does the work itself, on the data directory.")]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) door: Door,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Reads the command line; or says what is wrong with it, or what was asked of it, and how the process ends.
pub(crate) fn read() -> Result<Cli, ExitCode> {
    let root = Cli::command();
    let template = template(&root);
    let read = root.help_template(template).try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches));
    read.map_err(|error| {
        let code = FaultKind::Usage.code();
        match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                // Whoever read it has gone away.
                let _ = error.print();
            }
            // As every other error: a code, and where more stands.
            _ => {
                let text = error.render().to_string();
                let rest = text.strip_prefix("error:").unwrap_or(&text).trim_end();
                eprintln!("error[{code}]:{rest}\n  more: tutti error {code}");
            }
        }
        ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(Exit::Usage as u8))
    })
}

/// The commands by what they are for, in the order in which a person comes to need them.
const GROUPS: [(&str, &[&str]); 8] = [
    ("Begin", &["demo", "up", "doctor"]),
    ("Write workflows", &["check", "plan", "diff", "edit", "apply", "delete", "schema"]),
    ("Run them", &["run", "watch", "logs", "cancel", "pause", "resume", "signal", "retry", "rerun", "app"]),
    ("Decide", &["approve", "reject"]),
    ("Look around", &["get", "describe", "explain", "events", "artifact"]),
    ("Places and money", &["site", "cost", "prices", "forecast", "whatif", "advise"]),
    ("Rules and proof", &["policy", "audit", "witness", "token", "secrets", "keys", "erase"]),
    ("Keep it", &["backup", "restore", "prune", "error", "openapi", "completion"]),
];
/// Where the names of commands end, and where lines do.
const NAMES: usize = 14;
const WIDTH: usize = 100;

/// The help of the program: the commands in groups.
fn template(root: &clap::Command) -> String {
    let mut text = String::from("{about-with-newline}\n{usage-heading} {usage}\n\nCommands:\n");
    for (title, names) in GROUPS {
        text += &format!(" {title}\n");
        for name in names {
            let about = root.find_subcommand(name).and_then(clap::Command::get_about).map(ToString::to_string);
            let mut line = format!("  {name:<0$}", NAMES - 2);
            for word in about.unwrap_or_default().split(' ') {
                if line.chars().count() + word.chars().count() >= WIDTH {
                    text += line.trim_end();
                    line = format!("\n{:NAMES$}", "");
                }
                line += &format!("{word} ");
            }
            text += line.trim_end();
            text += "\n";
        }
    }
    text + "\nOptions:\n{options}{after-help}"
}

/// Which server, or which directory.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Server")]
pub(crate) struct Door {
    /// The server to talk to: `http://HOST:PORT` or `https://HOST:PORT`.
    #[arg(long, global = true, value_name = "URL", env = variables::SERVER, hide_env_values = true)]
    pub(crate) server: Option<String>,
    /// The token to show to it.
    #[arg(long, global = true, value_name = "TOKEN", env = variables::TOKEN, hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// Certificates to trust for https, PEM, instead of those of the system.
    #[arg(long, global = true, value_name = "FILE", env = variables::CA, hide_env_values = true)]
    pub(crate) ca: Option<PathBuf>,
    /// The data directory [default: .tutti]. When it is given, no other server than its owner is used.
    #[arg(long, global = true, value_name = "DIR", env = variables::DATA, hide_env_values = true)]
    pub(crate) data: Option<PathBuf>,
}

/// Whom a command speaks for, where the server takes callers at their word.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Speaker {
    /// Speak as this person: only on loopback and without tokens, where the server takes callers at their word.
    #[arg(long = "as", value_name = "USER")]
    user: Option<String>,
    /// Groups of that person, with commas between.
    #[arg(long, value_name = "GROUP", value_delimiter = ',')]
    groups: Vec<String>,
}

impl Speaker {
    /// A client that speaks for them.
    pub(crate) fn client(&self, client: &Client) -> Client {
        client.speaking_for(self.user.as_deref(), &self.groups)
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Up(up::Up),
    Apply(applying::Apply),
    Check(applying::Check),
    Plan(planning::Plan),
    Diff(planning::Diff),
    Edit(editing::Edit),
    Delete(applying::Delete),
    Run(runs::Run),
    Get(get::Get),
    Describe(describe::Describe),
    Watch(runs::Watch),
    Logs(actions::Logs),
    Explain(actions::Explain),
    Cost(foresight::Cost),
    Prices(prices::Prices),
    Forecast(foresight::ForecastDemand),
    Whatif(foresight::WhatIf),
    Advise(foresight::Advise),
    Cancel(runs::Cancel),
    Pause(runs::Pause),
    Resume(runs::Resume),
    Signal(runs::Signal),
    Rerun(runs::Rerun),
    Retry(runs::Retry),
    Approve(approvals::Approve),
    Reject(approvals::Reject),
    Events(events::Events),
    Artifact(artifacts::Artifact),
    Site(sites::Site),
    App(apps::App),
    Token(tokens::Token),
    Policy(policy::Policy),
    Audit(audit::Audit),
    Witness(witness::Witness),
    Secrets(secrets::Secrets),
    Keys(keys::Keys),
    Backup(keeping::Backup),
    Restore(keeping::Restore),
    Erase(keeping::Erase),
    Prune(keeping::Prune),
    Doctor(doctor::Doctor),
    Demo(demo::Demo),
    Error(reference::Error),
    Openapi(reference::OpenApi),
    Schema(reference::Schema),
    Completion(reference::Completion),
    MarkdownHelp(reference::MarkdownHelp),
    Shim(reference::Shim),
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_command_is_in_one_group() {
        let root = Cli::command();
        let shown: BTreeSet<&str> =
            root.get_subcommands().filter(|command| !command.is_hide_set()).map(clap::Command::get_name).collect();
        let grouped: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        assert_eq!((grouped.len(), grouped.into_iter().collect()), (shown.len(), shown));
        let help = template(&root);
        assert!(help.contains("\n Begin\n  demo        Run a story end to end") && help.lines().all(|line| line.len() <= WIDTH));
    }
}
