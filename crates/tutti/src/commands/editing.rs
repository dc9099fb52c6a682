//! `tutti edit`: patches on a workflow file, as the picture and the forms of the web app make them.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use controlplane::{Fault, FaultKind};
use serde_json::Value;

use crate::failure::{CommandError, Exit};
use crate::output;

/// Change a workflow file by edits, and no byte that they do not concern.
///
/// Comments, quotes and the order of keys stay as they are.
/// An edit is a JSON object: `{"op": "add" | "set" | "unset" | "rename" | "remove" | "note" | "pin" | "unpin", …}`; docs/reference/edits.md has
/// the fields of each. Edits are made in order, all or none. The new text is printed, or written into the file with --write. It is not
/// checked: `tutti check` does that.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  tutti edit greet.workflow.yaml '{\"op\": \"rename\", \"node\": \"measure\", \"to\": \"count\"}'\n  \
    tutti edit greet.workflow.yaml '{\"op\": \"set\", \"path\": \"/nodes/measure/retry\", \"value\": 3}' --write\n  \
    tutti edit greet.workflow.yaml - < edits.json"
)]
pub(crate) struct Edit {
    /// The workflow file.
    file: PathBuf,
    /// An edit or a list of edits, as JSON; `-` reads them from standard input.
    #[arg(required = true, value_name = "EDIT")]
    edits: Vec<String>,
    /// Write the file instead of printing its new text.
    #[arg(short, long)]
    write: bool,
}

impl Edit {
    /// Edits.
    pub(crate) fn run(self) -> Result<Exit, CommandError> {
        let unreadable = || format!("`{}` cannot be read", self.file.display());
        let text = std::fs::read_to_string(&self.file).with_context(unreadable).map_err(CommandError::file)?;
        let edited = workflow::edit::apply(&text, &edits(&self.edits)?).map_err(|error| {
            let mut fault = Fault::new(FaultKind::InvalidWorkflow, error.message);
            fault.hint = error.hint;
            let mut problem = api::rest::problem_of(&fault);
            problem.code = error.code.into();
            CommandError::Problem(Box::new(problem))
        })?;
        for notice in &edited.notices {
            eprintln!("{}: {}", notice.path, notice.message);
        }
        if !self.write {
            output::write(&edited.text)?;
        } else if edited.text != text {
            replace(&self.file, &edited.text).map_err(CommandError::file)?;
        }
        Ok(Exit::Done)
    }
}

fn edits(words: &[String]) -> Result<Vec<workflow::edit::Edit>, CommandError> {
    let mut edits = Vec::new();
    for word in words {
        let mut text = word.clone();
        if word == "-" {
            text.clear();
            std::io::stdin().read_to_string(&mut text).context("standard input cannot be read").map_err(CommandError::file)?;
        }
        let wrong = |error: serde_json::Error| {
            CommandError::usage(format!("`{word}` is no edit: {error}"))
                .hint(r#"an edit is a JSON object such as {"op": "remove", "node": "measure"}"#)
        };
        match serde_json::from_str::<Value>(&text).map_err(wrong)? {
            Value::Array(several) => {
                for one in several {
                    edits.push(serde_json::from_value(one).map_err(wrong)?);
                }
            }
            one => edits.push(serde_json::from_value(one).map_err(wrong)?),
        }
    }
    Ok(edits)
}

/// Puts a text in the place of a file, whole or not at all, and behind a link where there is one.
fn replace(path: &Path, text: &str) -> anyhow::Result<()> {
    let path = std::fs::canonicalize(path)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let unwritable = || format!("`{}` cannot be written", path.display());
    let mut new = tempfile::NamedTempFile::new_in(folder).with_context(unwritable)?;
    new.write_all(text.as_bytes()).and_then(|()| new.as_file().sync_all()).with_context(unwritable)?;
    std::fs::set_permissions(new.path(), std::fs::metadata(&path)?.permissions()).with_context(unwritable)?;
    new.persist(&path).with_context(unwritable)?;
    Ok(())
}
