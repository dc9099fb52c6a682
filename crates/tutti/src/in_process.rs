//! The same engine in this process, when no server has the data directory: a server of its own behind a door on loopback, so that every
//! command takes one way.

use std::path::Path;
use std::time::Duration;

use api::{Access, Server};
use controlplane::{ControlPlane, Fault, FaultKind, Options, random_bytes};
use model::Digest;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::client::Client;
use crate::failure::CommandError;

/// How long requests of other commands may take after this one is done.
const GRACE: Duration = Duration::from_millis(500);

/// What stands behind the address of an owner that is a command and no server: it goes away when it is done.
pub(crate) const ONE_COMMAND: &str = " (a command that does its work itself)";

/// What a command wants of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// To look.
    Look,
    /// To change something, and to have it carried on.
    Change,
}

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
        keys: Default::default(),
    })
}

/// Why a control plane can write nothing any more, when that comes.
pub(crate) async fn broken(control: &ControlPlane) -> Fault {
    let reason = control.notices().failure().await;
    let fault = Fault::new(FaultKind::Unavailable, format!("the journal cannot be written: {reason}"));
    fault.hint("make room or repair the disk, then start again: what was acknowledged is there, and goes on")
}

impl InProcess {
    /// Takes the directory and opens its engine.
    pub(crate) async fn open(data: &Path, need: Need) -> Result<(InProcess, Client), CommandError> {
        let control = match need {
            Need::Look => ControlPlane::look(options(data)?).await?,
            Need::Change => ControlPlane::open(options(data)?).await?,
        };
        let token = Digest(random_bytes()).hex();
        let access = Access { own_token: Some(token.clone()), local_user: true };
        let server = Server::bind(std::net::SocketAddr::from(([127, 0, 0, 1], 0)), control.clone(), access).await?;
        let url = format!("http://{}", server.address);
        // Other commands may look in, and a second terminal may approve, while this one waits. One that only looks is gone in a moment, and
        // could not do what they ask: they wait for it.
        if need == Need::Change {
            control.announce(&format!("{url}{ONE_COMMAND}"))?;
        }
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(api::serve(server, async move { drop(stopped.await) }));
        Ok((InProcess { control, stop, serving }, Client::new(&url, Some(token), None)?))
    }

    /// Why the journal can be written no more, when that comes.
    pub(crate) async fn broken(&self) -> Fault {
        broken(&self.control).await
    }

    /// Writes what was decided, and ends.
    pub(crate) async fn close(self) {
        drop(self.stop);
        let mut serving = self.serving;
        if tokio::time::timeout(GRACE, &mut serving).await.is_err() {
            serving.abort();
        }
        self.control.stop().await;
    }
}
