//! Secrets. A value comes from standard input or a prompt, never from the command line, where other users of the machine would see it.

use std::io::{BufRead as _, IsTerminal as _, Read as _};

use clap::Subcommand;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use serde_json::{Value, json};

use crate::cli::Door;
use crate::client::segment;
use crate::failure::{CommandError, Exit};
use crate::in_process::Need;
use crate::output::{self, Form, Format};
use crate::session;

/// Set, list and remove secrets, which workflows name as `secret://NAME`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  tutti secrets set bank/api-token < token.txt\n  tutti secrets list bank\n  tutti secrets remove bank/api-token"
)]
pub(crate) struct Secrets {
    #[command(subcommand)]
    order: Order,
}

#[derive(Debug, Subcommand)]
enum Order {
    /// Set a secret. Its value is read from standard input; on a terminal it is asked for.
    #[command(
        after_help = "Examples:\n  tutti secrets set bank/api-token\n  tutti secrets set bank/api-token --tag pii < token.txt\n  tutti secrets set bank/api-token --domain production < token.txt"
    )]
    Set(Set),
    /// List the secrets, without their values.
    #[command(after_help = "Examples:\n  tutti secrets list\n  tutti secrets list bank")]
    List(List),
    /// Destroy a secret.
    #[command(after_help = "Examples:\n  tutti secrets remove bank/api-token")]
    Remove(Remove),
}

#[derive(Debug, clap::Args)]
struct Set {
    /// `PROJECT/NAME`.
    name: String,
    /// The domain whose runs alone are given it: it comes before a secret of the whole project.
    #[arg(long)]
    domain: Option<String>,
    /// A tag that whoever is given it carries; may be given several times.
    #[arg(long)]
    tag: Vec<String>,
}

#[derive(Debug, clap::Args)]
struct List {
    /// Those of this project alone.
    project: Option<String>,
    #[command(flatten)]
    form: Form,
}

#[derive(Debug, clap::Args)]
struct Remove {
    /// `PROJECT/NAME`.
    name: String,
    /// The one of this domain.
    #[arg(long)]
    domain: Option<String>,
}

impl Secrets {
    /// Does it.
    pub(crate) async fn run(self, door: &Door) -> Result<Exit, CommandError> {
        match self.order {
            Order::Set(set) => {
                let path = path_of(&set.name, set.domain.as_deref())?;
                let request = json!({"value": read_value(&set.name)?, "tags": set.tag});
                let answer: Value =
                    session::with(door, Need::Change, async |session| session.client.put(&path, &request).await).await?;
                eprintln!("`{}` is set, version {}", set.name, answer["version"]);
            }
            Order::List(list) => {
                let query = list.project.map(|project| format!("?project={}", segment(&project))).unwrap_or_default();
                let path = format!("/api/v1/secrets{query}");
                let secrets: Value = session::with(door, Need::Look, async |session| session.client.get(&path).await).await?;
                print(&secrets, list.form.output)?;
            }
            Order::Remove(remove) => {
                let path = path_of(&remove.name, remove.domain.as_deref())?;
                let _: Value = session::with(door, Need::Change, async |session| session.client.delete(&path).await).await?;
                eprintln!("`{}` is gone", remove.name);
            }
        }
        Ok(Exit::Done)
    }
}

fn path_of(name: &str, domain: Option<&str>) -> Result<String, CommandError> {
    let (project, name) = name.split_once('/').ok_or_else(|| CommandError::usage(format!("`{name}` is not PROJECT/NAME")))?;
    let query = domain.map(|domain| format!("?domain={}", segment(domain))).unwrap_or_default();
    Ok(format!("/api/v1/secrets/{}/{}{query}", segment(project), segment(name)))
}

/// The value, without its last line break.
fn read_value(name: &str) -> Result<String, CommandError> {
    let input = std::io::stdin();
    let mut value = String::new();
    if input.is_terminal() {
        eprint!("value of `{name}`: ");
        let before = tcgetattr(&input).map_err(std::io::Error::from)?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&input, OptionalActions::Now, &hidden).map_err(std::io::Error::from)?;
        let read = input.lock().read_line(&mut value);
        let shown = tcsetattr(&input, OptionalActions::Now, &before);
        eprintln!();
        shown.map_err(std::io::Error::from)?;
        read?;
    } else {
        input.lock().take(1 << 20).read_to_string(&mut value)?;
    }
    let length = value.trim_end_matches(['\n', '\r']).len();
    value.truncate(length);
    Ok(value)
}

fn print(secrets: &Value, form: Format) -> Result<(), CommandError> {
    let list = secrets.as_array().cloned().unwrap_or_default();
    let text = |secret: &Value, key: &str| secret[key].as_str().unwrap_or_default().to_owned();
    let full = |secret: &Value| format!("{}/{}", text(secret, "project"), text(secret, "name"));
    match form {
        Format::Name => output::write(&list.iter().map(|secret| full(secret) + "\n").collect::<String>()),
        Format::Table => {
            let tags = |secret: &Value| {
                let tags = secret["tags"].as_array().into_iter().flatten().filter_map(Value::as_str);
                tags.collect::<Vec<_>>().join(" ")
            };
            let row = |secret: &Value| {
                let domain = secret["domain"].as_str().unwrap_or("all").to_owned();
                vec![
                    full(secret),
                    domain,
                    secret["version"].to_string(),
                    tags(secret),
                    text(secret, "set_at"),
                    text(secret, "set_by"),
                ]
            };
            let rows: Vec<Vec<String>> = list.iter().map(row).collect();
            output::write(&output::table(&["secret", "domain", "version", "tags", "set", "by"], &rows))
        }
        form => output::value(secrets, form),
    }
}
