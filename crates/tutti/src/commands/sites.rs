//! Orders to sites.

use api::rest::sites::{QueuedView, SiteQueueView};
use api::rest::views::SiteView;
use clap::Subcommand;

use crate::cli::Door;
use crate::client::segment;
use crate::failure::{CommandError, Exit};
use crate::in_process::Need;
use crate::names::{self, Kind};
use crate::output::{self, Form};
use crate::session;

/// Close, empty, open or remove a site, or see what waits for it.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  tutti site cordon onprem\n  tutti site drain onprem\n  tutti site uncordon onprem\n  tutti site queue onprem"
)]
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
    /// List what waits for it: since when, and why.
    #[command(after_help = "Examples:\n  tutti site queue onprem")]
    Queue(Name),
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
            Order::Queue(name) => return queue(door, name).await,
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

/// Groups of waiting actions that are asked for.
const QUEUED: usize = 500;

/// Prints what waits for a site.
async fn queue(door: &Door, name: &Name) -> Result<Exit, CommandError> {
    let path = format!("/api/v1/sites/queues?site={}&limit={QUEUED}", segment(&name.site));
    let queues: Vec<SiteQueueView> = session::with(door, Need::Look, async |session| match session.client.get(&path).await {
        Ok(queues) => Ok(queues),
        Err(error) => Err(names::suggest(&session.client, Kind::Site, &name.site, error).await),
    })
    .await?;
    let items: Vec<QueuedView> = queues.iter().flat_map(|queue| queue.items.iter().cloned()).collect();
    let (waiting, shown) = (queues.iter().map(|queue| queue.waiting).sum::<u64>(), items.iter().map(|item| item.actions).sum());
    let cut = queues.iter().any(|queue| queue.cut);
    let none = match (waiting, cut) {
        (0, false) => "nothing waits for it",
        (0, true) => "nothing waits for it among what was looked at",
        _ => "what waits for it is of runs that may not be read",
    };
    output::list(&items, name.form.output, none)?;
    if waiting > shown {
        eprintln!("{} more actions wait for it", waiting - shown);
    }
    Ok(Exit::Done)
}
