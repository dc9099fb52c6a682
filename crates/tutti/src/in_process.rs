//! The same engine in this process, when no server has the data directory: a server of its own behind a door on loopback, so that every
//! command takes one way.

use std::path::Path;

use api::{Access, Server};
use controlplane::{ControlPlane, Options, random_bytes};
use model::Digest;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::client::Client;
use crate::failure::CommandError;

/// An engine in this process.
pub(crate) struct InProcess {
    control: ControlPlane,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<std::io::Result<()>>,
}

/// How every control plane of this binary is opened.
pub(crate) fn options(data: &Path) -> Result<Options, CommandError> {
    Ok(Options {
        data: data.to_path_buf(),
        durability: journal::Durability::Full,
        shim: (std::env::current_exe()?, vec!["shim".into()]),
        path: std::env::var("PATH").unwrap_or_else(|_| "/usr/local/bin:/usr/bin:/bin".into()),
    })
}

impl InProcess {
    /// Takes the directory and opens its engine.
    pub(crate) async fn open(data: &Path) -> Result<(InProcess, Client), CommandError> {
        let control = ControlPlane::open(options(data)?).await?;
        let token = Digest(random_bytes()).hex();
        let access = Access { own_token: Some(token.clone()), local_user: true };
        let server = Server::bind(std::net::SocketAddr::from(([127, 0, 0, 1], 0)), control.clone(), access).await?;
        let url = format!("http://{}", server.address);
        control.announce(&url)?;
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(api::serve(server, async move { drop(stopped.await) }));
        Ok((InProcess { control, stop, serving }, Client::new(&url, Some(token))?))
    }

    /// Writes what was decided, and ends.
    pub(crate) async fn close(self) {
        drop(self.stop);
        self.control.stop().await;
        self.serving.abort();
    }
}
