//! The keys that what is stored is sealed under.

use clap::Subcommand;
use serde_json::{Value, json};

use crate::cli::Door;
use crate::failure::{CommandError, Exit};
use crate::in_process::Need;
use crate::output::{self, Form, Format};
use crate::session;

/// See and rotate the keys that values and artifacts are sealed under.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tutti keys status\n  tutti keys rotate")]
pub(crate) struct Keys {
    #[command(subcommand)]
    order: Order,
}

#[derive(Debug, Subcommand)]
enum Order {
    /// How the keys stand. No key is shown.
    #[command(after_help = "Examples:\n  tutti keys status")]
    Status(Shown),
    /// Make a new root key and wrap every key anew. What is stored stays as it is, and work goes on.
    #[command(after_help = "Examples:\n  tutti keys rotate")]
    Rotate(Shown),
}

#[derive(Debug, clap::Args)]
struct Shown {
    #[command(flatten)]
    form: Form,
}

impl Keys {
    /// Shows, or rotates.
    pub(crate) async fn run(self, door: &Door) -> Result<Exit, CommandError> {
        match self.order {
            Order::Status(shown) => {
                let status: Value =
                    session::with(door, Need::Look, async |session| session.client.get("/api/v1/keys").await).await?;
                let text = |key: &str| status[key].as_str().unwrap_or_default().to_owned();
                let rows: Vec<Vec<String>> = [
                    ("keyring", text("keyring")),
                    ("wrapped by", text("service")),
                    ("rotated", text("rotated_at")),
                    ("keys of runs", status["run_keys"].to_string()),
                    ("keys of files", status["file_keys"].to_string()),
                    ("secrets", status["secrets"].to_string()),
                ]
                .map(|(name, value)| vec![name.to_owned(), value])
                .to_vec();
                print(&status, shown.form.output, &output::table(&["what", "value"], &rows))?;
                if status["roots"].as_u64() > Some(1) {
                    eprintln!("a rotation was interrupted: `tutti keys rotate` finishes it");
                }
            }
            Order::Rotate(shown) => {
                let rotated: Value = session::with(door, Need::Change, async |session| {
                    session.client.post("/api/v1/keys/rotate", &json!({})).await
                })
                .await?;
                let text = format!(
                    "{} keys of runs, {} keys of files and {} secrets are wrapped anew\n",
                    rotated["run_keys"], rotated["file_keys"], rotated["secrets"]
                );
                print(&rotated, shown.form.output, &text)?;
            }
        }
        Ok(Exit::Done)
    }
}

fn print(answer: &Value, form: Format, text: &str) -> Result<(), CommandError> {
    match form {
        Format::Table | Format::Name => output::write(text),
        form => output::value(answer, form),
    }
}
