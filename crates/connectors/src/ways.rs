//! The ways out of an action that runs within the server: what its ticket grants and no more, counted, and written down like the connections
//! of processes.

use std::collections::BTreeSet;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{SystemTime, UNIX_EPOCH};

use model::{Connection, EgressGrant, Failure, FailureClass};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// The ways out of an action.
#[derive(Clone, Copy)]
pub struct Ways<'p> {
    /// What it may reach.
    pub granted: &'p BTreeSet<EgressGrant>,
    /// Where every connection is written down when it is over, also one that was refused.
    pub note: &'p (dyn Fn(&Connection) + Sync),
}

/// Bytes of a connection, and how many there may be each way.
#[derive(Debug)]
struct Counts {
    sent: AtomicU64,
    received: AtomicU64,
    most: u64,
}

/// A connection under way. It is written down when it is dropped, however that comes about.
pub(crate) struct Way<'p> {
    connection: Connection,
    counts: Arc<Counts>,
    note: &'p (dyn Fn(&Connection) + Sync),
}

fn now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros()).unwrap_or(u64::MAX)
}

impl<'p> Ways<'p> {
    /// Asks for a way. One that is not granted is written down as refused.
    pub(crate) fn ask(&self, host: &str, port: u16) -> Result<(Way<'p>, &'p EgressGrant), Failure> {
        match self.granted.iter().find(|granted| granted.covers(host, port)) {
            Some(granted) => Ok((self.begin(host, port, granted.bytes_max), granted)),
            None => {
                let mut way = self.begin(host, port, 0);
                let reason = format!("`{host}:{port}` is not granted to this attempt");
                way.ended("refused", &reason);
                Err(Failure { code: Some("E0036".into()), ..Failure::new(FailureClass::Refused, reason) })
            }
        }
    }

    /// A way by which nothing goes out: it needs no grant.
    pub(crate) fn inwards(&self, host: &str, port: u16) -> Way<'p> {
        self.begin(host, port, u64::MAX)
    }

    fn begin(&self, host: &str, port: u16, most: u64) -> Way<'p> {
        let connection = Connection { at: now(), host: host.to_owned(), port, ..Connection::default() };
        let counts = Arc::new(Counts { sent: 0.into(), received: 0.into(), most });
        Way { connection, counts, note: self.note }
    }
}

impl Way<'_> {
    /// Looks a host up and connects to the first address that answers, of those that the grant opens.
    pub(crate) async fn connect(&mut self, granted: &EgressGrant) -> io::Result<Counted> {
        let (host, port) = (self.connection.host.clone(), self.connection.port);
        let mut last = io::Error::new(io::ErrorKind::NotFound, format!("`{host}` has no address"));
        for address in tokio::net::lookup_host((host.as_str(), port)).await? {
            if !granted.opens(address.ip()) {
                let words = format!("`{host}` leads to {}, which only a grant of that address itself opens", address.ip());
                last = io::Error::new(io::ErrorKind::PermissionDenied, words);
                continue;
            }
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    self.connection.address = Some(address.ip().to_string());
                    return Ok(Counted { stream, counts: self.counts.clone() });
                }
                Err(error) => last = error,
            }
        }
        let outcome = if last.kind() == io::ErrorKind::PermissionDenied { "refused" } else { "failed" };
        self.ended(outcome, &last.to_string());
        Err(last)
    }

    /// How it ended, when it does not just end with its attempt.
    pub(crate) fn ended(&mut self, outcome: &str, reason: &str) {
        self.connection.outcome = outcome.to_owned();
        self.connection.reason = reason.chars().take(300).collect();
    }

    /// What went over it that is no stream.
    pub(crate) fn carried(&mut self, sent: u64, received: u64) {
        self.counts.sent.store(sent, Ordering::Release);
        self.counts.received.store(received, Ordering::Release);
    }
}

impl Drop for Way<'_> {
    fn drop(&mut self) {
        self.connection.sent = self.counts.sent.load(Ordering::Acquire);
        self.connection.received = self.counts.received.load(Ordering::Acquire);
        if self.connection.outcome.is_empty() {
            self.ended("ended", "with the attempt");
        }
        (self.note)(&self.connection);
    }
}

/// A stream whose bytes are counted, and which breaks when there are more than were granted.
#[derive(Debug)]
pub(crate) struct Counted {
    stream: TcpStream,
    counts: Arc<Counts>,
}

impl Counted {
    fn count(&self, counter: &AtomicU64, bytes: usize) -> io::Result<()> {
        match counter.fetch_add(bytes as u64, Ordering::AcqRel).saturating_add(bytes as u64) > self.counts.most {
            true => Err(io::Error::other(format!("more than the {} bytes that were granted", self.counts.most))),
            false => Ok(()),
        }
    }
}

impl AsyncRead for Counted {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let count = buffer.filled().len() - before;
        match read {
            Poll::Ready(Ok(())) => Poll::Ready(self.count(&self.counts.received, count)),
            other => other,
        }
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.counts.sent.load(Ordering::Acquire).saturating_add(bytes.len() as u64) > self.counts.most {
            return Poll::Ready(Err(io::Error::other(format!("more than the {} bytes that were granted", self.counts.most))));
        }
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        if let Poll::Ready(Ok(count)) = &written {
            self.counts.sent.fetch_add(*count as u64, Ordering::AcqRel);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
