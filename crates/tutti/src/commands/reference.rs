//! What `tutti` says about itself: error pages, the API's description, completion, the reference of the command line.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::completion;
use crate::failure::{CommandError, Exit};
use crate::output::{self, Document};
use crate::reference_page;

// `PAGES: &[(&str, &str)]`: every page of docs/errors by its code.
include!(concat!(env!("OUT_DIR"), "/error_pages.rs"));

/// The page of a code.
#[cfg(test)]
pub(crate) fn page(code: &str) -> Option<&'static str> {
    PAGES.iter().find(|(known, _)| *known == code).map(|(_, page)| *page)
}

/// Show the page of an error code, or list the codes.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tutti error E0013\n  tutti error")]
pub(crate) struct Error {
    /// The code, as messages show it.
    code: Option<String>,
}

impl Error {
    /// Prints.
    pub(crate) fn run(self) -> Result<Exit, CommandError> {
        let Some(code) = self.code else {
            let title = |page: &str| page.lines().next().unwrap_or_default().trim_start_matches("# ").to_owned() + "\n";
            output::write(&PAGES.iter().map(|(_, page)| title(page)).collect::<String>())?;
            return Ok(Exit::Done);
        };
        let wanted = code.trim().to_uppercase();
        match PAGES.iter().find(|(known, _)| *known == wanted) {
            Some((_, page)) => {
                output::write(page)?;
                Ok(Exit::Done)
            }
            None => {
                let near = workflow::nearest(&wanted, PAGES.iter().map(|(known, _)| *known));
                let hint = near.map_or("`tutti error` lists them".to_owned(), |near| {
                    format!("did you mean `{near}`? `tutti error` lists all")
                });
                Err(CommandError::usage(format!("there is no error code `{code}`")).hint(hint))
            }
        }
    }
}

/// Print the JSON Schema of the workflow language, for editors.
///
/// An editor with a YAML language server takes it from a first line of a file: `# yaml-language-server: $schema=./workflow.schema.json`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tutti schema > workflow.schema.json")]
pub(crate) struct Schema {
    /// The form of what is printed.
    #[arg(short, long, value_name = "FORMAT", default_value = "json")]
    output: Document,
}

impl Schema {
    /// Prints.
    pub(crate) fn run(self) -> Result<Exit, CommandError> {
        output::value(&workflow::schema(), self.output.into())?;
        Ok(Exit::Done)
    }
}

/// Print the OpenAPI description of the REST API.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tutti openapi > openapi.json")]
pub(crate) struct OpenApi {
    /// The form of what is printed.
    #[arg(short, long, value_name = "FORMAT", default_value = "json")]
    output: Document,
}

impl OpenApi {
    /// Prints.
    pub(crate) fn run(self) -> Result<Exit, CommandError> {
        output::value(&api::rest::description(), self.output.into())?;
        Ok(Exit::Done)
    }
}

/// Print what a shell reads to complete commands on the tab key.
///
/// The shell then asks this program each time: it knows the commands, and the names of runs, actions, workflows and sites that a running server
/// has. Have it read when the shell starts, or write it anew after an upgrade: what the shell and the program say to each other may change.
#[derive(Debug, clap::Args)]
#[command(
    alias = "completions",
    after_help = "Examples:\n  tutti completion bash > ~/.local/share/bash-completion/completions/tutti\n  tutti completion zsh > ~/.zfunc/_tutti\n  tutti completion fish > ~/.config/fish/completions/tutti.fish"
)]
pub(crate) struct Completion {
    /// The shell.
    shell: Shell,
}

impl Completion {
    /// Prints.
    pub(crate) fn run(self) -> Result<Exit, CommandError> {
        output::bytes(&completion::script(self.shell)?)?;
        Ok(Exit::Done)
    }
}

/// Print the reference of the command line, from which `docs/reference/cli.md` is.
#[derive(Debug, clap::Args)]
#[command(hide = true, after_help = "Examples:\n  tutti markdown-help > docs/reference/cli.md")]
pub(crate) struct MarkdownHelp {}

impl MarkdownHelp {
    /// Prints.
    pub(crate) fn run(self) -> Result<Exit, CommandError> {
        output::write(&reference_page::page(&Cli::command()))?;
        Ok(Exit::Done)
    }
}

/// Wrap the processes of attempts. The server starts it; nobody else has a use for it.
#[derive(Debug, clap::Args)]
#[command(hide = true, after_help = "Examples:\n  tutti shim DIR")]
pub(crate) struct Shim {
    /// The folder of the attempt; those told on standard input when there is none.
    folder: Option<std::ffi::OsString>,
}

impl Shim {
    /// `main` catches `tutti shim` before there is a runtime; what comes here came with options before it.
    pub(crate) fn run(self) -> Result<Exit, CommandError> {
        let folder = self.folder.unwrap_or_default().to_string_lossy().into_owned();
        Err(CommandError::usage(format!("`tutti shim {folder}` takes no options before it")))
    }
}
