//! How a command comes to a server: the one that was named, the one that owns the data directory, the one at the usual address, or the
//! engine in this process.

use std::path::{Path, PathBuf};

use crate::cli::Door;
use crate::client::Client;
use crate::failure::CommandError;
use crate::in_process::InProcess;

/// The data directory when none is given.
const DATA: &str = ".tutti";
/// Where a server listens when nothing else is said.
const USUAL: &str = "http://127.0.0.1:7200";

/// A way to a server.
pub(crate) struct Session {
    /// The client.
    pub(crate) client: Client,
    /// The engine in this process.
    local: Option<InProcess>,
}

/// The data directory.
pub(crate) fn data_directory(door: &Door) -> PathBuf {
    door.data.clone().unwrap_or_else(|| PathBuf::from(DATA))
}

impl Session {
    /// Finds the server.
    pub(crate) async fn open(door: &Door) -> Result<Session, CommandError> {
        if let Some(client) = Session::running(door).await? {
            return Ok(Session { client, local: None });
        }
        let (local, client) = InProcess::open(&data_directory(door)).await?;
        Ok(Session { client, local: Some(local) })
    }

    /// A server that runs.
    pub(crate) async fn running(door: &Door) -> Result<Option<Client>, CommandError> {
        if let Some(url) = &door.server {
            return Client::new(url, door.token.clone()).map(Some);
        }
        if let Some(url) = owner(&data_directory(door)) {
            return Client::new(&url, door.token.clone()).map(Some);
        }
        // A directory that was named is meant, and no other.
        if door.data.is_some() {
            return Ok(None);
        }
        let client = Client::new(USUAL, door.token.clone())?;
        Ok(client.is_alive().await.then_some(client))
    }

    /// Whether the work is done in this process: what is not waited for would stop with it.
    pub(crate) fn is_local(&self) -> bool {
        self.local.is_some()
    }

    /// Ends it.
    pub(crate) async fn close(self) {
        if let Some(local) = self.local {
            local.close().await;
        }
    }
}

/// Where the owner of a directory listens.
fn owner(data: &Path) -> Option<String> {
    data.is_dir().then(|| controlplane::holder(data)).flatten().filter(|text| text.starts_with("http"))
}
