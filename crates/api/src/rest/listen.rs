//! Listening: connections, TLS, patience with clients that do not read, room for those that ask, and an orderly end.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use controlplane::{ControlPlane, Fault, FaultKind};
use hyper::body::{Frame, SizeHint};
use hyper::header::HeaderValue;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use model::limits::CONNECTIONS_MAX;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore, watch};

use super::access::Access;
use super::certificate::Certificate;
use super::{App, router};

/// How long a client may take none of what is sent to it.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a client may take for its hello of TLS.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How a request came, as far as the next behind it does not see.
const FORWARDED_PROTO: &str = "x-forwarded-proto";
/// How long requests in flight may take to end when the server stops.
const DRAIN: Duration = Duration::from_secs(10);

/// Where to listen, and how.
#[derive(Clone, Debug)]
pub struct Listen {
    /// The address.
    pub address: SocketAddr,
    /// The certificate and its key; without, the server speaks plain HTTP, and only on loopback.
    pub tls: Option<Tls>,
    /// How long a client may take none of what is sent to it before it is dropped.
    pub patience: Duration,
    /// Connections at a time. When there are so many, one that asks for nothing makes room for the next.
    pub connections: usize,
}

impl From<SocketAddr> for Listen {
    fn from(address: SocketAddr) -> Listen {
        Listen { address, tls: None, patience: PATIENCE, connections: CONNECTIONS_MAX }
    }
}

/// Files of a certificate.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The certificate and what it hangs from, as PEM.
    pub certificate: PathBuf,
    /// Its private key, as PEM.
    pub key: PathBuf,
}

/// The address of who calls.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Remote(pub(crate) SocketAddr);

/// A server that listens.
pub struct Server {
    /// Where.
    pub address: SocketAddr,
    listener: TcpListener,
    tls: Option<Arc<Certificate>>,
    /// Where programs that this server runs find it, when others have to speak TLS: they know no certificate of it, and no name.
    inside: Option<TcpListener>,
    patience: Duration,
    stopping: watch::Sender<bool>,
    app: App,
}

impl Server {
    /// Binds the address. It refuses to listen for other machines without tokens and TLS.
    pub async fn bind(listen: impl Into<Listen>, control: ControlPlane, access: Access) -> Result<Server, Fault> {
        let listen = listen.into();
        let tls = listen.tls.clone().map(Certificate::open).transpose()?.map(Arc::new);
        if !listen.address.ip().is_loopback() {
            check_exposed(&listen, &control, &access)?;
        }
        let cannot = |error: io::Error| {
            Fault::new(FaultKind::Listen, format!("cannot listen on {}: {error}", listen.address))
                .hint("give another address with --listen")
        };
        let listener = TcpListener::bind(listen.address).await.map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        let inside = match tls {
            Some(_) => Some(bind_inside(&control).await.map_err(cannot)?),
            None => None,
        };
        let (stopping, stopped) = watch::channel(false);
        let app = App::new(control, access, stopped, listen.connections);
        Ok(Server { address, listener, tls, inside, patience: listen.patience, stopping, app })
    }

    /// The address as clients write it.
    pub fn url(&self) -> String {
        self.url_of(self.address)
    }

    /// The address as clients on this machine write it: whoever listens on all addresses is called on loopback.
    pub fn url_from_here(&self) -> String {
        let mut address = self.address;
        match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
            IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
            _ => {}
        }
        self.url_of(address)
    }

    /// The address as programs that this server runs write it: on this machine, and never with TLS.
    pub fn url_from_inside(&self) -> io::Result<String> {
        match &self.inside {
            Some(inside) => Ok(format!("http://{}", inside.local_addr()?)),
            None => Ok(self.url_from_here()),
        }
    }

    fn url_of(&self, address: SocketAddr) -> String {
        format!("{}://{address}", if self.tls.is_some() { "https" } else { "http" })
    }
}

/// A door for programs on this machine. It stays where it was: some of them outlive the server that started them.
async fn bind_inside(control: &ControlPlane) -> io::Result<TcpListener> {
    let file = control.data().join("flyte/inside");
    let before = tokio::fs::read_to_string(&file).await.ok().and_then(|port| port.trim().parse::<u16>().ok());
    let listener = match before {
        Some(port) => match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
            Ok(listener) => listener,
            Err(_) => TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?,
        },
        None => TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?,
    };
    tokio::fs::write(&file, listener.local_addr()?.port().to_string()).await?;
    Ok(listener)
}

/// For other machines: nobody without a token, nothing in clear text. There is no flag to say that it is all right.
fn check_exposed(listen: &Listen, control: &ControlPlane, access: &Access) -> Result<(), Fault> {
    let refuse = |what: &str, hint: &str| {
        Err(Fault::new(FaultKind::Exposed, format!("will not listen on {} {what}", listen.address)).hint(hint))
    };
    if listen.tls.is_none() {
        return refuse("without TLS", "give --tls-cert and --tls-key, or listen on 127.0.0.1 behind a proxy");
    }
    if access.local_user {
        return refuse("with a local user who needs no token", "callers without a token are let in on loopback only");
    }
    let tokens = tokio::task::block_in_place(|| control.reader().resources("token", None, None)).map_err(Fault::internal)?;
    if tokens.is_empty() && access.own_token.is_none() {
        return refuse("without tokens", "make the first one on this machine: `tutti token create --name admin --scope admin`");
    }
    Ok(())
}

/// Serves until `stop` is done, then lets requests in flight end.
pub async fn serve(server: Server, stop: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
    let Server { listener, tls, inside, patience, stopping, app, .. } = server;
    let room = app.room.clone();
    tokio::spawn(crate::flyte::keep_doors(app.clone()));
    let within = super::inside(app.clone());
    let router = router(app);
    let graceful = GracefulShutdown::new();
    let idle = Arc::new(Idle::default());
    let all = Listening { room, idle, patience, graceful: &graceful };
    tokio::select! {
        () = stop => {}
        () = all.take(&listener, tls, router) => {}
        () = async { match &inside {
            Some(inside) => all.take(inside, None, within).await,
            None => std::future::pending().await,
        } } => {}
    }
    drop((listener, inside));
    // Streams and long waits end by themselves when they are told.
    let _ = stopping.send(true);
    if tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests did not end in time and were cut off");
    }
    Ok(())
}

/// What all connections share.
struct Listening<'s> {
    room: Arc<Semaphore>,
    idle: Arc<Idle>,
    patience: Duration,
    graceful: &'s GracefulShutdown,
}

impl Listening<'_> {
    /// Takes connections for as long as there is room for some.
    async fn take(&self, listener: &TcpListener, tls: Option<Arc<Certificate>>, router: Router) {
        while let Some((stream, remote, permit)) = accept(listener, &self.room, &self.idle).await {
            self.begin((stream, remote, permit), tls.clone(), router.clone());
        }
    }

    fn begin(
        &self,
        (stream, remote, permit): (TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit),
        tls: Option<Arc<Certificate>>,
        router: Router,
    ) {
        // Answers are small and waited for.
        let _ = stream.set_nodelay(true);
        let (watcher, patience) = (self.graceful.watcher(), self.patience);
        let seat = Seat::take(&self.idle);
        tokio::spawn(async move {
            let stream = Patient::new(stream, patience);
            let asked = seat.clone();
            let conversation = async {
                match tls {
                    None => converse(stream, router, (remote, false), watcher, seat).await,
                    Some(tls) => match tokio::time::timeout(HANDSHAKE, tls.acceptor().accept(stream)).await {
                        Ok(Ok(stream)) => converse(stream, router, (remote, true), watcher, seat).await,
                        Ok(Err(error)) => tracing::debug!(%remote, %error, "no TLS"),
                        Err(_) => tracing::debug!(%remote, "no TLS in time"),
                    },
                }
            };
            tokio::select! {
                () = conversation => {}
                () = asked.close.notified() => tracing::debug!(%remote, "an idle connection made room for another"),
            }
            asked.work();
            drop(permit);
        });
    }
}

/// The next connection, when there is room for one.
async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
    idle: &Idle,
) -> Option<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => {
                // When all room is taken, the connection that has asked for nothing for the longest time goes. When all are at work this one
                // waits, and those behind it in the queue of the system.
                if room.available_permits() == 0 {
                    idle.close_one();
                }
                return Some((stream, remote, room.clone().acquire_owned().await.ok()?));
            }
            // A client that went away at once, or no more file descriptors: others are still served.
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    (remote, is_secure): (SocketAddr, bool),
    watcher: hyper_util::server::graceful::Watcher,
    seat: Arc<Seat>,
) {
    let router = TowerToHyperService::new(router);
    let service = hyper::service::service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(Remote(remote));
        if is_secure {
            // As a proxy says it that speaks TLS before this server; addresses that are given out begin with it.
            request.headers_mut().entry(FORWARDED_PROTO).or_insert(HeaderValue::from_static("https"));
        }
        seat.work();
        let (answer, seat) = (hyper::service::Service::call(&router, request), seat.clone());
        async move {
            // It is idle again when the last of the answer is on its way, or nobody wants it any more.
            let working = Working(seat);
            answer.await.map(|answer| answer.map(|body| Answering { body, _working: working }))
        }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    // A client that is slow to say what it wants is cut off after half a minute.
    http.timer(TokioTimer::new());
    let connection = watcher.watch(http.serve_connection(TokioIo::new(stream), service));
    if let Err(error) = connection.await {
        // hyper wraps what the connection said.
        let cut = std::error::Error::source(&error).and_then(|source| source.downcast_ref::<io::Error>());
        match cut.filter(|cut| cut.kind() == io::ErrorKind::TimedOut) {
            Some(cut) => tracing::warn!(%remote, reason = %cut, "a connection was cut off"),
            None => tracing::debug!(%remote, %error, "a connection broke off"),
        }
    }
}

/// Connections that ask for nothing, the longest first.
#[derive(Default)]
struct Idle {
    queue: Mutex<(u64, BTreeMap<u64, Arc<Notify>>)>,
}

impl Idle {
    fn close_one(&self) {
        if let Some((_, close)) = self.queue.lock().1.pop_first() {
            close.notify_one();
        }
    }
}

/// A connection's place among those that are idle.
struct Seat {
    idle: Arc<Idle>,
    close: Arc<Notify>,
    at: Mutex<Option<u64>>,
}

impl Seat {
    /// Of a connection that has not asked for anything yet.
    fn take(idle: &Arc<Idle>) -> Arc<Seat> {
        let seat = Seat { idle: idle.clone(), close: Arc::default(), at: Mutex::default() };
        seat.rest();
        Arc::new(seat)
    }

    fn rest(&self) {
        let at = {
            let mut queue = self.idle.queue.lock();
            queue.0 += 1;
            let at = queue.0;
            queue.1.insert(at, self.close.clone());
            at
        };
        *self.at.lock() = Some(at);
    }

    fn work(&self) {
        let at = self.at.lock().take();
        if let Some(at) = at {
            self.idle.queue.lock().1.remove(&at);
        }
    }
}

/// As long as this is there, the connection works at an answer.
struct Working(Arc<Seat>);

impl Drop for Working {
    fn drop(&mut self) {
        self.0.rest();
    }
}

/// The body of an answer that is being sent.
struct Answering {
    body: Body,
    _working: Working,
}

impl hyper::body::Body for Answering {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A connection whose other end has to take what is sent to it within some time.
struct Patient<S> {
    stream: S,
    patience: Duration,
    waiting: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl<S> Patient<S> {
    fn new(stream: S, patience: Duration) -> Patient<S> {
        Patient { stream, patience, waiting: None }
    }

    /// What came of a try to write; an error when there has been nothing but waiting for too long.
    fn judge<T>(&mut self, context: &mut Context<'_>, tried: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if tried.is_ready() {
            self.waiting = None;
            return tried;
        }
        let patience = self.patience;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        ready!(waiting.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the other side takes nothing of what is sent to it")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let tried = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judge(context, tried)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let tried = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.judge(context, tried)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let tried = Pin::new(&mut self.stream).poll_flush(context);
        self.judge(context, tried)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let tried = Pin::new(&mut self.stream).poll_shutdown(context);
        self.judge(context, tried)
    }
}
