//! Artifacts, by their digests.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use api::rest::lineage::VersionsView;
use clap::Subcommand;
use controlplane::FaultKind;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::io::AsyncWriteExt as _;

use crate::cli::Door;
use crate::client::{Client, segment};
use crate::failure::{CommandError, Exit};
use crate::in_process::Need;
use crate::output::{self, Form};
use crate::session;

/// Download and upload artifacts, and see their versions.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  tutti artifact get sha256:9f86… --to report.html\n  tutti artifact versions sha256:9f86…\n  tutti artifact put accounts.csv --site onprem"
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
    /// List what the same step gave under the same name from run to run, and where each of it lies.
    #[command(after_help = "Examples:\n  tutti artifact versions sha256:9f86…")]
    Versions(Of),
}

#[derive(Debug, clap::Args)]
struct Of {
    /// The digest, as outputs show it.
    digest: String,
    #[command(flatten)]
    form: Form,
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
            Order::Versions(of) => {
                let path = format!("/api/v1/artifacts/{}/versions", segment(&of.digest));
                let found: VersionsView =
                    session::with(door, Need::Look, async |session| session.client.get(&path).await).await?;
                if found.more {
                    eprintln!("earlier runs were not looked at");
                }
                output::list(
                    &found.versions,
                    of.form.output,
                    "its name is not known, or may not be seen: so its versions are not",
                )?;
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
        let body = client.bytes(&format!("/api/v1/artifacts/{}", segment(&self.digest))).await?;
        let Some(path) = &self.to else { return copy(body, async |data| output::bytes(data)).await };
        let unwritable = || format!("`{}` cannot be written", path.display());
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // Whole or not at all: what broke off would be taken for all of it, and be in the way of the next try.
        let usual = std::fs::Permissions::from_mode(0o666);
        let new = tempfile::Builder::new().permissions(usual).tempfile_in(folder).with_context(unwritable)?;
        let mut file = tokio::fs::File::from_std(new.reopen().with_context(unwritable)?);
        copy(body, async |data| Ok(file.write_all(data).await?)).await?;
        file.flush().await.with_context(unwritable)?;
        new.persist_noclobber(path).map_err(|error| error.error).with_context(unwritable)?;
        Ok(())
    }
}

/// Hands on what comes, piece by piece.
async fn copy(mut body: Incoming, mut put: impl AsyncFnMut(&[u8]) -> Result<(), CommandError>) -> Result<(), CommandError> {
    while let Some(frame) = body.frame().await {
        let broken = |error| CommandError::of(FaultKind::Unreachable, format!("the download broke off: {error}"));
        if let Some(data) = frame.map_err(broken)?.data_ref() {
            put(data).await?;
        }
    }
    Ok(())
}
