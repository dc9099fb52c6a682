//! Artifacts, by their digests.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;
use controlplane::FaultKind;
use http_body_util::BodyExt as _;
use tokio::io::AsyncWriteExt as _;

use crate::cli::Door;
use crate::client::{Client, segment};
use crate::failure::{CommandError, Exit};
use crate::in_process::Need;
use crate::{output, session};

/// Download and upload artifacts.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  tutti artifact get sha256:9f86… --to report.html\n  tutti artifact put accounts.csv --site onprem"
)]
pub(crate) struct Artifact {
    #[command(subcommand)]
    order: Order,
}

#[derive(Debug, Subcommand)]
enum Order {
    /// Download an artifact: to a file, or to standard output.
    #[command(after_help = "Examples:\n  tutti artifact get sha256:9f86… --to report.html")]
    Get(Get),
    /// Upload a file to a site's store. What is printed stands for it in inputs.
    #[command(after_help = "Examples:\n  tutti artifact put accounts.csv --site onprem")]
    Put(Put),
}

#[derive(Debug, clap::Args)]
struct Get {
    /// The digest, as outputs show it.
    digest: String,
    /// Where to write it; a file that exists is not written over.
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct Put {
    /// The file.
    file: PathBuf,
    /// The site that stores it; the first when there is none.
    #[arg(long)]
    site: Option<String>,
}

impl Artifact {
    /// Does it.
    pub(crate) async fn run(self, door: &Door) -> Result<Exit, CommandError> {
        match &self.order {
            Order::Get(get) => {
                session::with(door, Need::Look, async |session| get.download(&session.client).await).await?;
            }
            Order::Put(put) => {
                let value = session::with(door, Need::Change, async |session| {
                    session.client.upload(&put.file, put.site.as_deref()).await
                })
                .await?;
                output::value(&value, output::Format::Json)?;
            }
        }
        Ok(Exit::Done)
    }
}

impl Get {
    async fn download(&self, client: &Client) -> Result<(), CommandError> {
        let mut body = client.bytes(&format!("/api/v1/artifacts/{}", segment(&self.digest))).await?;
        let mut file = match &self.to {
            Some(path) => {
                let created = tokio::fs::File::create_new(path).await;
                Some(created.with_context(|| format!("`{}` cannot be written", path.display()))?)
            }
            None => None,
        };
        while let Some(frame) = body.frame().await {
            let frame =
                frame.map_err(|error| CommandError::of(FaultKind::Unreachable, format!("the download broke off: {error}")))?;
            let Some(data) = frame.data_ref() else { continue };
            match &mut file {
                Some(file) => file.write_all(data).await?,
                None => output::bytes(data)?,
            }
        }
        if let Some(mut file) = file {
            file.flush().await?;
        }
        Ok(())
    }
}
