//! `tutti witness`: a small server of its own that signs the checkpoints of logs it is told to watch, as long as each is the continuation of the
//! one before (c2sp.org/tlog-witness). It remembers in a folder what it signed last.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use audit::witness::{AddCheckpoint, REQUEST_BYTES_MAX, Seen, Unsigned};
use audit::{Checkpoint, KeyKind, Note, PublicKey, SecretKey};
use bytes::Bytes;
use controlplane::FaultKind;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use model::Digest;
use rustix::fs::{FlockOperation, flock};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::commands::audit::read_key;
use crate::failure::{CommandError, Exit};
use crate::output;

/// How long a request may take to come in.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);
/// Connections at a time.
const CONNECTIONS_MAX: usize = 256;

/// Watch audit logs as a witness: sign their checkpoints, and never two histories of one log.
///
/// Run it on a machine that the administrators of the logs do not control. It prints its public key, for the policy of whoever relies on it.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  tutti witness --name example.com/auditor --state witness --log tutti.key --listen 0.0.0.0:7300"
)]
pub(crate) struct Witness {
    /// The public key of a log to watch, or a file that holds it. It can be given several times.
    #[arg(long, value_name = "KEY", required = true)]
    log: Vec<String>,
    /// The folder in which it remembers; made when it is not there.
    #[arg(long, value_name = "DIR", default_value = "witness")]
    state: PathBuf,
    /// Its name, when it has no key yet.
    #[arg(long, default_value = "tutti-witness")]
    name: String,
    /// Where to listen; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7300")]
    listen: SocketAddr,
}

/// What a witness knows.
struct Memory {
    key: SecretKey,
    logs: BTreeMap<String, PublicKey>,
    folder: PathBuf,
    /// One request at a time: what was signed is looked up and replaced in one go.
    turn: tokio::sync::Mutex<()>,
    /// Nobody else signs from this folder.
    _owner: std::fs::File,
}

impl Witness {
    /// Serves until it is told to stop.
    pub(crate) async fn run(self) -> Result<Exit, CommandError> {
        let mut logs = BTreeMap::new();
        for given in &self.log {
            let key = read_key(given).map_err(CommandError::file)?;
            if key.kind() != KeyKind::Log {
                return Err(CommandError::usage(format!("`{given}` is not the key of a log")).hint("`tutti audit key` prints it"));
            }
            logs.insert(key.name().to_owned(), key);
        }
        let memory = Arc::new(Memory::open(&self.state, &self.name, logs).map_err(CommandError::file)?);
        let listener = TcpListener::bind(self.listen).await.map_err(|error| {
            CommandError::of(FaultKind::Listen, format!("cannot listen on {}: {error}", self.listen))
                .hint("give another address with --listen")
        })?;
        let url = format!("http://{}", listener.local_addr()?);
        output::write(&format!("{}\n", memory.key.public()))?;
        eprintln!("the witness is up at {url}");
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let room = Arc::new(tokio::sync::Semaphore::new(CONNECTIONS_MAX));
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = terminate.recv() => return Ok(Exit::Done),
                _ = interrupt.recv() => return Ok(Exit::Done),
            };
            // A connection that could not be taken is the other side's to try again.
            let (Ok((stream, _)), Ok(permit)) = (accepted, room.clone().acquire_owned().await) else { continue };
            let memory = memory.clone();
            tokio::spawn(async move {
                let service = hyper::service::service_fn(move |request| {
                    let memory = memory.clone();
                    async move { Ok::<_, std::convert::Infallible>(memory.answer(request).await) }
                });
                let mut http = hyper::server::conn::http1::Builder::new();
                http.timer(TokioTimer::new()).header_read_timeout(PATIENCE);
                // A client that goes away is its own business.
                let _ = http.serve_connection(TokioIo::new(stream), service).await;
                drop(permit);
            });
        }
    }
}

type Answer = Response<Full<Bytes>>;

fn text(status: u16, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer.headers_mut().insert("content-type", hyper::header::HeaderValue::from_static(kind));
    answer
}

const PLAIN: &str = "text/plain; charset=utf-8";

impl Memory {
    /// What lies in a folder. The key is made when there is none.
    fn open(folder: &Path, name: &str, logs: BTreeMap<String, PublicKey>) -> anyhow::Result<Memory> {
        let shown = folder.display();
        std::fs::create_dir_all(folder).with_context(|| format!("`{shown}` cannot be made"))?;
        let owner = std::fs::File::create(folder.join("owner")).with_context(|| format!("`{shown}` cannot be used"))?;
        flock(&owner, FlockOperation::NonBlockingLockExclusive).with_context(|| format!("another witness uses `{shown}`"))?;
        let file = folder.join("key");
        let key = match std::fs::read_to_string(&file) {
            Ok(text) => SecretKey::parse(&text).with_context(|| format!("`{}`", file.display()))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let key = SecretKey::from_seed(name, KeyKind::Witness, controlplane::random_bytes())?;
                replace(folder, "key", &format!("{}\n", key.to_text()))?;
                key
            }
            Err(error) => return Err(error).with_context(|| format!("`{}`", file.display())),
        };
        anyhow::ensure!(key.public().kind() == KeyKind::Witness, "`{}` is not the key of a witness", file.display());
        Ok(Memory { key, logs, folder: folder.to_owned(), turn: tokio::sync::Mutex::default(), _owner: owner })
    }

    async fn answer(&self, request: Request<Incoming>) -> Answer {
        match (request.method(), request.uri().path()) {
            (&Method::POST, "/add-checkpoint") => {
                let Ok(body) = Limited::new(request.into_body(), REQUEST_BYTES_MAX).collect().await else {
                    return text(400, PLAIN, "the request is too long or broke off\n");
                };
                self.add_checkpoint(&body.to_bytes()).await
            }
            (&Method::GET, "/checkpoint") => self.shown(request.uri().query().unwrap_or_default()),
            (&Method::GET, "/") => text(200, PLAIN, format!("{}\n", self.key.public())),
            _ => text(404, PLAIN, "a witness answers POST /add-checkpoint, GET /checkpoint?origin=NAME and GET /\n"),
        }
    }

    async fn add_checkpoint(&self, body: &[u8]) -> Answer {
        let _turn = self.turn.lock().await;
        match tokio::task::block_in_place(|| self.sign(body)) {
            Ok(Ok(signature)) => text(200, PLAIN, format!("{signature}\n")),
            Ok(Err(Unsigned::OtherSize(known))) => text(409, "text/x.tlog.size", format!("{known}\n")),
            Ok(Err(unsigned)) => text(unsigned.status(), PLAIN, format!("{unsigned}\n")),
            Err(error) => {
                eprintln!("problem: {error:#}");
                text(500, PLAIN, "what was signed cannot be remembered\n")
            }
        }
    }

    /// Signs a checkpoint, and remembers it before anybody hears of it.
    fn sign(&self, body: &[u8]) -> anyhow::Result<Result<audit::Signature, Unsigned>> {
        let request = match AddCheckpoint::parse(body) {
            Ok(request) => request,
            Err(unsigned) => return Ok(Err(unsigned)),
        };
        let Some(log) = self.logs.get(request.origin()) else {
            return Ok(Err(Unsigned::UnknownLog(request.origin().to_owned())));
        };
        let seen = self.seen(log)?;
        if let Err(unsigned) = request.judge(log, seen) {
            if matches!(unsigned, Unsigned::SplitView | Unsigned::Inconsistent(_)) {
                eprintln!("problem: the log `{}`: {unsigned}", log.name());
            }
            return Ok(Err(unsigned));
        }
        let mut note = request.note.only(std::slice::from_ref(log));
        let signature = self.key.sign(note.text(), controlplane::wall().0 / 1_000_000);
        note.add(signature.clone());
        replace(&self.folder, &file_of(log.name()), &note.to_string())?;
        Ok(Ok(signature))
    }

    /// What it signed last of a log.
    fn seen(&self, log: &PublicKey) -> anyhow::Result<Option<Seen>> {
        let file = self.folder.join(file_of(log.name()));
        let bytes = match std::fs::read(&file) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other.with_context(|| format!("`{}`", file.display()))?,
        };
        let note = Note::parse(&bytes).with_context(|| format!("`{}`", file.display()))?;
        note.verify(self.key.public()).with_context(|| format!("`{}`", file.display()))?;
        let checkpoint = Checkpoint::open(&note, log).with_context(|| format!("`{}`", file.display()))?;
        Ok(Some(Seen { size: checkpoint.size, root: checkpoint.root }))
    }

    /// What it signed last of the log that a query names.
    fn shown(&self, query: &str) -> Answer {
        let origin = query.split('&').find_map(|part| part.strip_prefix("origin=")).and_then(decoded);
        let log = origin.and_then(|origin| self.logs.get(&origin));
        match log.map(|log| std::fs::read(self.folder.join(file_of(log.name())))) {
            Some(Ok(note)) => text(200, PLAIN, note),
            Some(Err(_)) => text(404, PLAIN, "nothing of this log was signed here\n"),
            None => text(404, PLAIN, "this log is not known here\n"),
        }
    }
}

/// A value of a query without its escapes.
fn decoded(value: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::new(), value.bytes());
    while let Some(byte) = rest.next() {
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        bytes.push(match byte {
            b'%' => u8::try_from(digit(rest.next())? << 4 | digit(rest.next())?).ok()?,
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

/// The file of a log: names may hold anything.
fn file_of(origin: &str) -> String {
    format!("{}.checkpoint", Digest::of(origin.as_bytes()).hex())
}

/// Puts a text in place of a file; it is there after a power cut.
fn replace(folder: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(folder.join(name))?;
    std::fs::File::open(folder)?.sync_all()?;
    Ok(())
}
