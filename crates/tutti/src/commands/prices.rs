//! What machines cost: the lists that come with the program, those that were applied instead, and how they are kept fresh.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use api::rest::views::{ApplyRequest, ApplyResult, ResourceView, SourceFile};
use clap::Subcommand;
use controlplane::FaultKind;
use http_body_util::{BodyExt, Limited};
use model::limits::REQUEST_BYTES_MAX;
use workflow::documents::{Document, PriceList, price_lists};

use crate::cli::Door;
use crate::client::{Client, segment};
use crate::failure::{CommandError, Exit};
use crate::in_process::Need;
use crate::output::{self, Form, Row, money};
use crate::session::{self, Session};

/// Show what machines of providers cost, or take a newer list.
///
/// A site names a machine of a list (`prices: {instance: aws/m5.xlarge}`) and has its prices. Lists of AWS, Azure, GCP and OCI come with Tutti;
/// a list that is applied takes the place of the one with its name.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  tutti prices list\n  tutti prices list aws\n  tutti prices refresh https://prices.example/aws.yaml --dry-run"
)]
pub(crate) struct Prices {
    #[command(subcommand)]
    order: Order,
}

#[derive(Debug, Subcommand)]
enum Order {
    /// Show the machines of all lists, or of one.
    #[command(after_help = "Examples:\n  tutti prices list\n  tutti prices list gcp -o json")]
    List(List),
    /// Take a list from a file or an address, and show what changes.
    ///
    /// Sites keep the prices that they were applied with: apply their files again to have the new ones.
    #[command(
        after_help = "Examples:\n  tutti prices refresh our-prices.yaml\n  tutti prices refresh https://prices.example/aws.yaml"
    )]
    Refresh(Refresh),
}

#[derive(Debug, clap::Args)]
struct List {
    /// The provider.
    provider: Option<String>,
    #[command(flatten)]
    form: Form,
}

#[derive(Debug, clap::Args)]
struct Refresh {
    /// A file, or an `http://` or `https://` address, with documents of `kind: prices`.
    source: String,
    /// Show what would change and register nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    form: Form,
}

/// A machine of a list.
#[derive(Clone, Debug, serde::Serialize)]
struct Machine {
    instance: String,
    cpu: f64,
    memory_gib: f64,
    gpus: u32,
    hour: f64,
    spot_hour: Option<f64>,
    currency: String,
    region: String,
    as_of: String,
    source: String,
}

impl Row for Machine {
    const COLUMNS: &'static [&'static str] =
        &["INSTANCE", "CPU", "GIB", "GPUS", "HOUR", "SPOT HOUR", "CURRENCY", "REGION", "AS OF"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.instance.clone(),
            self.cpu.to_string(),
            self.memory_gib.to_string(),
            self.gpus.to_string(),
            money(self.hour),
            self.spot_hour.map_or("-".into(), money),
            self.currency.clone(),
            self.region.clone(),
            self.as_of.clone(),
        ]
    }

    fn name(&self) -> String {
        self.instance.clone()
    }
}

/// What a machine cost and will.
#[derive(Clone, Debug, serde::Serialize)]
struct Change {
    instance: String,
    before: Option<f64>,
    after: Option<f64>,
}

impl Row for Change {
    const COLUMNS: &'static [&'static str] = &["INSTANCE", "HOUR BEFORE", "HOUR NOW", "CHANGE"];

    fn cells(&self) -> Vec<String> {
        let change = match (self.before, self.after) {
            (Some(before), Some(after)) if before > 0.0 => format!("{:+.1} %", (after / before - 1.0) * 100.0),
            (None, Some(_)) => "new".into(),
            (Some(_), None) => "gone".into(),
            _ => "-".into(),
        };
        let amount = |units: Option<f64>| units.map_or("-".into(), money);
        vec![self.instance.clone(), amount(self.before), amount(self.after), change]
    }

    fn name(&self) -> String {
        self.instance.clone()
    }
}

impl Prices {
    /// Shows or takes.
    pub(crate) async fn run(self, door: &Door) -> Result<Exit, CommandError> {
        match self.order {
            Order::List(list) => list.run(door).await,
            Order::Refresh(refresh) => refresh.run(door).await,
        }
    }
}

/// The lists that hold: what comes with the program, and what was applied.
async fn lists(session: &Session) -> Result<BTreeMap<String, PriceList>, CommandError> {
    let mut lists: BTreeMap<String, PriceList> = price_lists().iter().map(|list| (list.name.clone(), list.clone())).collect();
    let applied: Vec<ResourceView> = session.client.get("/api/v1/resources/prices").await?;
    for row in applied {
        let whole: ResourceView = session.client.get(&format!("/api/v1/resources/prices/{}", segment(&row.name))).await?;
        lists.insert(
            row.name,
            serde_json::from_value(whole.body).map_err(|error| {
                CommandError::of(FaultKind::Answer, format!("the server's price list is not understood: {error}"))
            })?,
        );
    }
    Ok(lists)
}

impl List {
    async fn run(self, door: &Door) -> Result<Exit, CommandError> {
        let lists = session::with(door, Need::Look, async |session| lists(session).await).await?;
        if let Some(provider) = self.provider.as_ref().filter(|provider| !lists.contains_key(*provider)) {
            let known: Vec<&str> = lists.keys().map(String::as_str).collect();
            return Err(CommandError::usage(format!("there is no price list `{provider}`"))
                .hint(format!("there are {}", known.join(", "))));
        }
        let wanted = |list: &&PriceList| self.provider.as_ref().is_none_or(|provider| list.name == *provider);
        let rows: Vec<Machine> = lists.values().filter(wanted).flat_map(machines).collect();
        output::list(&rows, self.form.output, "the list has no machines")?;
        Ok(Exit::Done)
    }
}

fn machines(list: &PriceList) -> impl Iterator<Item = Machine> {
    list.instances.iter().map(|(name, instance)| Machine {
        instance: format!("{}/{name}", list.name),
        cpu: f64::from(instance.capacity.cpu_millis) / 1000.0,
        memory_gib: instance.capacity.memory_bytes as f64 / f64::from(1u32 << 30),
        gpus: instance.capacity.gpus,
        hour: instance.hour.units(),
        spot_hour: instance.spot_hour.map(model::Money::units),
        currency: list.currency.clone(),
        region: list.region.clone(),
        as_of: list.as_of.clone(),
        source: list.source.clone(),
    })
}

impl Refresh {
    async fn run(self, door: &Door) -> Result<Exit, CommandError> {
        let text = fetch(&self.source, door).await?;
        let found = workflow::documents::read(&text, &BTreeMap::new(), &workflow::Nothing);
        let odd = found.documents.iter().find(|document| !matches!(document, Document::Prices(_)));
        if let Some(odd) = odd {
            let message = format!("`{}` has a {} in it, and a price list was asked for", self.source, odd.kind());
            return Err(CommandError::usage(message).hint("`tutti apply -f FILE` takes everything"));
        }
        let source = SourceFile { path: self.source.clone(), text };
        let request = ApplyRequest { documents: vec![source], dry_run: self.dry_run, ..ApplyRequest::default() };
        let (before, result) = session::with(door, Need::Change, async |session| {
            let before = lists(session).await?;
            let result: ApplyResult = session.client.post("/api/v1/apply", &request).await?;
            Ok((before, result))
        })
        .await?;
        eprint!("{}", result.rendered);
        let now = found
            .documents
            .into_iter()
            .filter_map(|document| if let Document::Prices(list) = document { Some(list) } else { None });
        let changes: Vec<Change> = now.flat_map(|list| changes(before.get(&list.name), &list)).collect();
        output::list(&changes, self.form.output, "no price changes")?;
        match self.dry_run {
            true => eprintln!("nothing was registered (--dry-run)"),
            false => eprintln!("sites keep the prices that they were applied with: apply their files again to have these"),
        }
        Ok(Exit::Done)
    }
}

fn changes(before: Option<&PriceList>, now: &PriceList) -> Vec<Change> {
    let old = before.map(|list| &list.instances);
    let names: std::collections::BTreeSet<&String> =
        old.into_iter().flat_map(BTreeMap::keys).chain(now.instances.keys()).collect();
    let rows = names.into_iter().map(|name| Change {
        instance: format!("{}/{name}", now.name),
        before: old.and_then(|old| old.get(name)).map(|instance| instance.hour.units()),
        after: now.instances.get(name).map(|instance| instance.hour.units()),
    });
    rows.filter(|row| row.before != row.after).collect()
}

/// The text of a file or of an address.
async fn fetch(source: &str, door: &Door) -> Result<String, CommandError> {
    let Some((scheme, rest)) = source.split_once("://") else {
        return Ok(std::fs::read_to_string(Path::new(source)).with_context(|| format!("`{source}` cannot be read"))?);
    };
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    // The token is for our server, not for whoever has prices.
    let client = Client::new(&format!("{scheme}://{host}"), None, door.ca.as_deref())?;
    let body = Limited::new(client.bytes(&format!("/{path}")).await?, REQUEST_BYTES_MAX);
    let read = body
        .collect()
        .await
        .map_err(|error| CommandError::of(FaultKind::Unreachable, format!("`{source}` cannot be read: {error}")))?;
    String::from_utf8(read.to_bytes().to_vec())
        .map_err(|_| CommandError::of(FaultKind::File, format!("`{source}` is not text (UTF-8)")))
}
