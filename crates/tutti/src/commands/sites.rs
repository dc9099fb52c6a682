//! Orders to sites.

use api::rest::views::SiteView;
use clap::Subcommand;

use crate::cli::Door;
use crate::client::segment;
use crate::failure::{CommandError, Exit};
use crate::in_process::Need;
use crate::names::{self, Kind};
use crate::output::{self, Form};
use crate::session;

/// Close, empty, open or remove a site.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tutti site cordon onprem\n  tutti site drain onprem\n  tutti site uncordon onprem")]
pub(crate) struct Site {
    #[command(subcommand)]
    order: Order,
}

#[derive(Debug, Subcommand)]
enum Order {
    /// Let no new work go there; what runs there runs on.
    #[command(after_help = "Examples:\n  tutti site cordon onprem")]
    Cordon(Name),
    /// Open it again.
    #[command(after_help = "Examples:\n  tutti site uncordon onprem")]
    Uncordon(Name),
    /// Let no new work go there, stop what runs there and repeat it elsewhere.
    #[command(after_help = "Examples:\n  tutti site drain onprem")]
    Drain(Name),
    /// Forget it. It has to be empty.
    #[command(after_help = "Examples:\n  tutti site remove onprem")]
    Remove(Name),
}

#[derive(Debug, clap::Args)]
struct Name {
    /// The site.
    site: String,
    #[command(flatten)]
    form: Form,
}

impl Site {
    /// Gives the order.
    pub(crate) async fn run(self, door: &Door) -> Result<Exit, CommandError> {
        let (word, name) = match &self.order {
            Order::Cordon(name) => ("cordon", name),
            Order::Uncordon(name) => ("uncordon", name),
            Order::Drain(name) => ("drain", name),
            Order::Remove(name) => ("remove", name),
        };
        let mut sites: Vec<SiteView> = session::with(door, Need::Change, async |session| {
            match session.client.order(&format!("/api/v1/sites/{}/{word}", segment(&name.site))).await {
                Ok(sites) => Ok(sites),
                Err(error) => Err(names::suggest(&session.client, Kind::Site, &name.site, error).await),
            }
        })
        .await?;
        sites.retain(|site| site.name == name.site);
        output::list(&sites, name.form.output, "it is gone")?;
        Ok(Exit::Done)
    }
}
