//! `tutti up`: the server.

use std::net::SocketAddr;
use std::path::Path;

use api::{Access, Server};
use controlplane::{ControlPlane, Fault, FaultKind};
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::Door;
use crate::failure::{CommandError, Exit};
use crate::telemetry::{self, LogFormat};
use crate::{in_process, output, session, variables};

/// How long requests in flight may take after the order to stop: a stream has no end of its own.
const GRACE: std::time::Duration = std::time::Duration::from_secs(2);

/// Start the server, with everything embedded.
///
/// It prints one line when it takes requests, and stops in order on SIGTERM and Ctrl-C.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tutti up\n  tutti up --data /var/lib/tutti --listen 127.0.0.1:7300 --log-format json")]
pub(crate) struct Up {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", env = variables::LISTEN, default_value = "127.0.0.1:7200")]
    listen: SocketAddr,
    /// How logs look.
    #[arg(long, value_name = "FORMAT", env = variables::LOG_FORMAT, default_value = "text")]
    log_format: LogFormat,
}

impl Up {
    /// Serves until it is told to stop.
    pub(crate) async fn run(self, door: &Door) -> Result<Exit, CommandError> {
        telemetry::start(self.log_format, "info")?;
        if !self.listen.ip().is_loopback() {
            let message = format!("`{}` can be reached by others: that wants tokens and TLS", self.listen);
            return Err(CommandError::usage(message));
        }
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let data = session::data_directory(door);
        let control = ControlPlane::open(in_process::options(&data)?).await?;
        let served = serve(&control, self.listen, &data, async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        });
        let served = served.await;
        control.stop().await;
        served.map(|()| Exit::Done)
    }
}

async fn serve(
    control: &ControlPlane,
    listen: SocketAddr,
    data: &Path,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), CommandError> {
    let access = Access { own_token: None, local_user: true };
    let server = Server::bind(listen, control.clone(), access).await?;
    let url = server.url();
    control.announce(&url)?;
    output::write(&format!("tutti is up at {url}\n"))?;
    tracing::info!(%url, data = %data.display(), "up");
    let (stopping, stopped) = tokio::sync::oneshot::channel::<()>();
    let stop = async move {
        stop.await;
        tracing::info!("stopping");
        drop(stopping);
    };
    tokio::select! {
        served = api::serve(server, stop) => served?,
        () = async { let _ = stopped.await; tokio::time::sleep(GRACE).await; } => {}
        // What the disk holds has to be read anew, by the next start.
        reason = control.notices().failure() => {
            let fault = Fault::new(FaultKind::Unavailable, format!("the journal cannot be written: {reason}"));
            return Err(fault.hint("make room or repair the disk, then start the server again").into());
        }
    }
    Ok(())
}
