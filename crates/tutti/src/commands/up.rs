//! `tutti up`: the server.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use api::{Access, Listen, Server, Tls};
use controlplane::{ControlPlane, FaultKind};
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::Door;
use crate::failure::{CommandError, Exit};
use crate::settings::{self, Config};
use crate::telemetry::{self, Collector, LogFormat};
use crate::{in_process, output, session, variables};

/// How long requests in flight may take after the order to stop: a stream has no end of its own.
const GRACE: std::time::Duration = std::time::Duration::from_secs(2);
/// Where to listen when nothing is said.
const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 7200);

/// Start the server, with everything embedded.
///
/// It prints one line when it takes requests, and stops in order on SIGTERM and Ctrl-C. On an address that others can reach it refuses to start
/// without tokens and TLS.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  tutti up\n  tutti up --data /var/lib/tutti --listen 127.0.0.1:7300 --log-format json\n  tutti up --config /etc/tutti.toml"
)]
pub(crate) struct Up {
    /// Where to listen [default: 127.0.0.1:7200]; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", env = variables::LISTEN, hide_env_values = true)]
    listen: Option<SocketAddr>,
    /// A configuration file, TOML or YAML.
    #[arg(long, value_name = "FILE", env = variables::CONFIG, hide_env_values = true)]
    config: Option<PathBuf>,
    /// The certificate and what it hangs from, PEM: the server speaks HTTPS.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The private key of the certificate, PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Who signs the checkpoints of the audit log beside the server: witnesses and a quorum of them (c2sp.org/tlog-policy).
    #[arg(long, value_name = "FILE")]
    witnesses: Option<PathBuf>,
    /// How logs look [default: text].
    #[arg(long, value_name = "FORMAT", env = variables::LOG_FORMAT, hide_env_values = true)]
    log_format: Option<LogFormat>,
    /// Stop when standard input is closed: for a program that starts a server for itself.
    #[arg(long)]
    stop_with_stdin: bool,
}

impl Up {
    /// Serves until it is told to stop.
    pub(crate) async fn run(self, door: &Door) -> Result<Exit, CommandError> {
        let config = match &self.config {
            Some(path) => settings::read(path)?,
            None => Config::default(),
        };
        telemetry::start(self.log_format.or(config.log_format).unwrap_or_default(), config.log.as_deref().unwrap_or("info"))?;
        let sealing = config.sealing();
        let collector = Collector::configured(&config.traces)?;
        let listen = self.listen.or(config.listen).unwrap_or(LISTEN);
        let tls = match (self.tls_cert.or(config.tls.cert), self.tls_key.or(config.tls.key)) {
            (Some(certificate), Some(key)) => Some(Tls { certificate, key }),
            (None, None) => None,
            _ => {
                return Err(CommandError::of(FaultKind::Configuration, "TLS wants a certificate and its key")
                    .hint("give both --tls-cert and --tls-key"));
            }
        };
        // Whether there are tokens is known when the data directory is open.
        if !listen.ip().is_loopback() && tls.is_none() {
            let message = format!("will not listen on {listen} without TLS: others can reach it, and that wants tokens and TLS");
            return Err(CommandError::of(FaultKind::Exposed, message).hint(
                "`--tls-cert` and `--tls-key` name a certificate and its key, `tutti token create` makes a token; or listen on 127.0.0.1",
            ));
        }
        // Whoever can be reached by others asks everybody for a token, on loopback too.
        let local_user = listen.ip().is_loopback();
        let data = door.data.clone().or(config.data).unwrap_or_else(|| session::data_directory(door));
        let witnesses = self.witnesses.or(config.witnesses);
        let witnesses = witnesses.as_deref().map(super::audit::read_policy).transpose().map_err(CommandError::file)?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let control = open(&data, sealing).await?;
        if let Some(policy) = witnesses {
            control.witness_by(policy, std::sync::Arc::new(|url, body| Box::pin(crate::client::ask_witness(url, body))));
        }
        let (stop_traces, stopped) = tokio::sync::watch::channel(false);
        let traces = collector.map(|collector| tokio::spawn(telemetry::follow(control.clone(), collector, stopped)));
        let listen = Listen { tls, ..Listen::from(listen) };
        let closed = self.stop_with_stdin.then(stdin_closed).transpose()?;
        let served = serve(&control, listen, local_user, &data, async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                Some(_) = async { Some(closed?.await) } => {}
            }
        });
        let served = served.await;
        let _ = stop_traces.send(true);
        if let Some(traces) = traces {
            // What is not sent by then is sent after the next start.
            let _ = tokio::time::timeout(GRACE, traces).await;
        }
        control.stop().await;
        served.map(|()| Exit::Done)
    }
}

/// Opens the data directory. A command that only looks at it has it for a moment, and is waited for.
async fn open(data: &Path, keys: controlplane::Sealing) -> Result<ControlPlane, CommandError> {
    for tries in (0..session::TRIES).rev() {
        let options = controlplane::Options { keys: keys.clone(), ..in_process::options(data)? };
        match ControlPlane::open(options).await {
            Err(fault) if fault.kind == FaultKind::DataDirectoryInUse && tries > 0 && session::is_held_for_a_moment(data) => {
                if tries + 1 == session::TRIES {
                    tracing::info!(data = %data.display(), "somebody looks at the data directory: waiting for it");
                }
                tokio::time::sleep(session::PAUSE).await;
            }
            opened => return Ok(opened?),
        }
    }
    Err(CommandError::of(FaultKind::DataDirectoryInUse, format!("`{}` is in use", data.display())))
}

/// Told when standard input has come to its end. On a thread that nobody waits for: it may read for ever.
fn stdin_closed() -> std::io::Result<tokio::sync::oneshot::Receiver<()>> {
    let (open, closed) = tokio::sync::oneshot::channel();
    let read = move || {
        // An input that cannot be read says as little as one that has ended.
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        drop(open);
    };
    std::thread::Builder::new().name("tutti-stdin".into()).spawn(read)?;
    Ok(closed)
}

async fn serve(
    control: &ControlPlane,
    listen: Listen,
    local_user: bool,
    data: &Path,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), CommandError> {
    let access = Access { own_token: None, local_user };
    let server = Server::bind(listen, control.clone(), access).await?;
    let url = server.url();
    // Where commands on this machine find it: an address that stands for all of them is none to call.
    control.announce(&server.url_from_here())?;
    control.programs_call(&server.url_from_inside()?);
    match output::write(&format!("tutti is up at {url}\n")) {
        // Who started it may not want to know.
        Ok(()) | Err(CommandError::ReaderGone) => {}
        Err(error) => return Err(error),
    }
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
        fault = in_process::broken(control) => return Err(fault.into()),
    }
    Ok(())
}
