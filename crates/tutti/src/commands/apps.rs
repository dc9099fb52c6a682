//! Orders to apps.

use api::rest::apps::AppView;
use clap::Subcommand;

use crate::cli::Door;
use crate::client::segment;
use crate::failure::{CommandError, Exit};
use crate::in_process::Need;
use crate::names::{self, Kind};
use crate::output::{self, Form};
use crate::session;

/// Start or stop an app of a Flyte program. `flyte serve` and `flyte deploy` bring them, `tutti get apps` shows them.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tutti app stop demo/development/scores\n  tutti app start demo/development/scores")]
pub(crate) struct App {
    #[command(subcommand)]
    order: Order,
}

#[derive(Debug, Subcommand)]
enum Order {
    /// Start it, also when it has failed.
    #[command(after_help = "Examples:\n  tutti app start demo/development/scores")]
    Start(Name),
    /// Stop it. It stays deployed.
    #[command(after_help = "Examples:\n  tutti app stop demo/development/scores")]
    Stop(Name),
}

#[derive(Debug, clap::Args)]
struct Name {
    /// The app: PROJECT/DOMAIN/NAME.
    app: String,
    #[command(flatten)]
    form: Form,
}

impl App {
    /// Gives the order.
    pub(crate) async fn run(self, door: &Door) -> Result<Exit, CommandError> {
        let (word, name) = match &self.order {
            Order::Start(name) => ("start", name),
            Order::Stop(name) => ("stop", name),
        };
        let path: Vec<String> = name.app.split('/').map(segment).collect();
        if path.len() != 3 {
            let error = CommandError::usage(format!("`{}` is no app", name.app));
            return Err(error.hint("an app is PROJECT/DOMAIN/NAME, as `tutti get apps` shows it"));
        }
        let mut apps: Vec<AppView> = session::with(door, Need::Change, async |session| {
            match session.client.order(&format!("/api/v1/apps/{}/{word}", path.join("/"))).await {
                Ok(apps) => Ok(apps),
                Err(error) => Err(names::suggest(&session.client, Kind::App, &name.app, error).await),
            }
        })
        .await?;
        apps.retain(|app| app.name == name.app);
        output::list(&apps, name.form.output, "it is gone")?;
        Ok(Exit::Done)
    }
}
