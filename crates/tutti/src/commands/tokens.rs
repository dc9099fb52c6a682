//! Tokens.

use api::rest::views::TokenView;
use clap::Subcommand;
use serde_json::{Value, json};

use crate::cli::Door;
use crate::client::segment;
use crate::failure::{CommandError, Exit};
use crate::in_process::Need;
use crate::output::{self, Form, Format};
use crate::session;

/// Make, list and revoke tokens.
///
/// From the first token on every caller needs one, so the first is best an administrator's.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tutti token create --name ci --scope run\n  tutti token list\n  tutti token revoke ci")]
pub(crate) struct Token {
    #[command(subcommand)]
    order: Order,
}

#[derive(Debug, Subcommand)]
enum Order {
    /// Make a token. It is shown this once.
    #[command(
        after_help = "Examples:\n  tutti token create --name ada --scope run --scope approve --group risk\n  tutti token create --name eve --role policy-admin"
    )]
    Create(Create),
    /// List the tokens, without the tokens.
    #[command(after_help = "Examples:\n  tutti token list")]
    List(List),
    /// Revoke a token.
    #[command(after_help = "Examples:\n  tutti token revoke ci")]
    Revoke(Revoke),
}

#[derive(Debug, clap::Args)]
struct Create {
    /// Its name.
    #[arg(long)]
    name: String,
    /// What it allows: read, run, approve, worker or admin; may be given several times.
    #[arg(long, value_name = "SCOPE", required_unless_present = "role", value_delimiter = ',')]
    scope: Vec<String>,
    /// A role of that user, built-in (viewer, runner, author, operator, policy-admin, auditor, …) or of your own; may be given several times.
    #[arg(long, value_name = "ROLE", value_delimiter = ',')]
    role: Vec<String>,
    /// Who uses it; the name when nobody is given.
    #[arg(long)]
    user: Option<String>,
    /// A group of that user; may be given several times.
    #[arg(long, value_delimiter = ',')]
    group: Vec<String>,
    /// After how long it is worth nothing, such as `12h` or `90d`, at most 3650d; a year when nothing is said.
    #[arg(long, value_name = "DURATION")]
    expires: Option<model::Duration>,
    #[command(flatten)]
    form: Form,
}

#[derive(Debug, clap::Args)]
struct List {
    #[command(flatten)]
    form: Form,
}

#[derive(Debug, clap::Args)]
struct Revoke {
    /// The token's name.
    name: String,
}

impl Token {
    /// Does it.
    pub(crate) async fn run(self, door: &Door) -> Result<Exit, CommandError> {
        match self.order {
            Order::Create(create) => create.run(door).await,
            Order::List(list) => {
                let tokens: Vec<TokenView> =
                    session::with(door, Need::Look, async |session| session.client.get("/api/v1/tokens").await).await?;
                output::list(&tokens, list.form.output, "no tokens: callers on loopback need none")?;
                Ok(Exit::Done)
            }
            Order::Revoke(revoke) => {
                session::with(door, Need::Change, async |session| {
                    session.client.delete::<Value>(&format!("/api/v1/tokens/{}", segment(&revoke.name))).await
                })
                .await?;
                eprintln!("the token `{}` is revoked", revoke.name);
                Ok(Exit::Done)
            }
        }
    }
}

/// Whether whoever has it may make tokens, as far as the built-in words say.
fn administers(token: &TokenView) -> bool {
    token.scopes.iter().chain(&token.roles).any(|word| word == "admin")
}

impl Create {
    async fn run(self, door: &Door) -> Result<Exit, CommandError> {
        let mut request =
            json!({"name": self.name, "user": self.user, "groups": self.group, "scopes": self.scope, "roles": self.role});
        if let Some(expires) = self.expires {
            request["expires"] = expires.to_string().into();
        }
        let (view, others) = session::with(door, Need::Change, async |session| {
            let view: TokenView = session.client.post("/api/v1/tokens", &request).await?;
            // With a token in force only an administrator is told, and then there is one.
            let all: Vec<TokenView> = session.client.get("/api/v1/tokens").await.unwrap_or_default();
            Ok((view, all))
        })
        .await?;
        if !std::iter::once(&view).chain(&others).any(administers) {
            eprintln!(
                "warning: no token has the scope or the role `admin`: nobody can make or revoke another one over the network\n  \
                 hint: stop the server, then `tutti token create --name admin --scope admin` on its data directory"
            );
        }
        match self.form.output {
            Format::Table | Format::Name => {
                eprintln!("keep it: it is not shown again, and from now on every caller needs one");
                output::write(&format!("{}\n", view.token.unwrap_or_default()))?;
            }
            form => output::value(&view, form)?,
        }
        Ok(Exit::Done)
    }
}
