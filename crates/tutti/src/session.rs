//! How a command comes to a server: the one that was named, the one that owns the data directory, the one at the usual address, or the
//! engine in this process.

use std::path::{Path, PathBuf};
use std::time::Duration;

use controlplane::Fault;

use crate::cli::Door;
use crate::client::Client;
use crate::failure::CommandError;
use crate::in_process::{InProcess, Need, ONE_COMMAND};
use crate::transport;

/// The data directory when none is given.
const DATA: &str = ".tutti";
/// Where a server listens when nothing else is said.
pub(crate) const USUAL: &str = "http://127.0.0.1:7200";
/// How often a server that was found and has gone is looked for anew, or one that is starting is asked for.
pub(crate) const TRIES: u32 = 100;
/// The pause between.
pub(crate) const PAUSE: Duration = Duration::from_millis(100);

/// A way to a server.
pub(crate) struct Session {
    /// The client.
    pub(crate) client: Client,
    /// The engine in this process.
    local: Option<InProcess>,
    found: Found,
}

/// What answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// The server that was named.
    Named,
    /// A server that was found.
    Server,
    /// The engine of another command, which goes away with it.
    Command,
    /// The engine in this process.
    Here,
}

/// The data directory.
pub(crate) fn data_directory(door: &Door) -> PathBuf {
    door.data.clone().unwrap_or_else(|| PathBuf::from(DATA))
}

/// Does some work with the server, wherever it is.
pub(crate) async fn with<T>(
    door: &Door,
    need: Need,
    work: impl AsyncFn(&Session) -> Result<T, CommandError>,
) -> Result<T, CommandError> {
    let mut tries = TRIES;
    loop {
        tries -= 1;
        let opened = Session::open(door, need).await;
        let session = match opened {
            Ok(session) => session,
            // Another command took it first.
            Err(CommandError::Problem(problem)) if problem.code == "E0013" && tries > 0 => {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            Err(error) => return Err(error),
        };
        let found = session.found;
        let done = tokio::select! {
            done = work(&session) => done,
            // What the disk holds has to be read anew: nothing more comes of waiting for this engine.
            fault = session.broken() => Err(fault.into()),
        };
        session.close().await;
        match done {
            // It went away before it was asked anything, or was only looked at: the directory is free now.
            Err(CommandError::Unreachable { asked, .. })
                if tries > 0 && matches!(found, Found::Server | Found::Command) && (!asked || need == Need::Look) => {}
            done => return done,
        }
        tokio::time::sleep(PAUSE).await;
    }
}

impl Session {
    /// Finds the server.
    async fn open(door: &Door, need: Need) -> Result<Session, CommandError> {
        if let Some((client, found)) = find(door).await? {
            return Ok(Session { client, local: None, found });
        }
        let (local, client) = InProcess::open(&data_directory(door), need).await?;
        Ok(Session { client, local: Some(local), found: Found::Here })
    }

    /// Whether the work is done in this process: what is not waited for would stop with it.
    pub(crate) fn is_local(&self) -> bool {
        self.local.is_some()
    }

    /// Whether what answers goes away with another command: nobody starts it anew.
    pub(crate) fn is_fleeting(&self) -> bool {
        self.found == Found::Command
    }

    /// Why the engine in this process can write nothing any more, when that comes.
    async fn broken(&self) -> Fault {
        match &self.local {
            Some(local) => local.broken().await,
            None => std::future::pending().await,
        }
    }

    async fn close(self) {
        if let Some(local) = self.local {
            local.close().await;
        }
    }
}

/// A server that runs.
pub(crate) async fn running(door: &Door) -> Result<Option<Client>, CommandError> {
    Ok(find(door).await?.map(|(client, _)| client))
}

async fn find(door: &Door) -> Result<Option<(Client, Found)>, CommandError> {
    let client = |url: &str| Client::new(url, door.token.clone(), transport::authorities(door.ca.as_ref()));
    if let Some(url) = &door.server {
        return Ok(Some((client(url)?, Found::Named)));
    }
    let data = data_directory(door);
    for _ in 0..TRIES {
        match owner(&data) {
            Owner::None => break,
            Owner::At(text) => {
                return Ok(Some(match text.strip_suffix(ONE_COMMAND) {
                    Some(url) => (client(url)?, Found::Command),
                    None => (client(&text)?, Found::Server),
                }));
            }
            Owner::Starting => tokio::time::sleep(PAUSE).await,
        }
    }
    // A directory that was named is meant, and no other.
    if door.data.is_some() {
        return Ok(None);
    }
    let client = client(USUAL)?;
    Ok(client.is_alive().await.then_some((client, Found::Server)))
}

enum Owner {
    None,
    Starting,
    At(String),
}

/// Whether somebody has the directory and does not say where: a command that only looks, or one that is starting. Neither lasts.
pub(crate) fn is_held_for_a_moment(data: &Path) -> bool {
    matches!(owner(data), Owner::Starting | Owner::None)
}

/// Where the owner of a directory listens.
fn owner(data: &Path) -> Owner {
    match data.is_dir().then(|| controlplane::holder(data)).flatten() {
        None => Owner::None,
        Some(url) if url.starts_with("http") => Owner::At(url),
        Some(_) => Owner::Starting,
    }
}
