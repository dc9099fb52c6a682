//! The proxy at work: a thread for each listener, two for each connection.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs as _};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use model::EgressGrant;
use model::limits::EGRESS_CONNECTIONS_MAX;
use model::ticket::is_loopback;

use super::super::network::Leads;
use super::request::{self, HEAD_BYTES_MAX, Wanted};
use super::{Book, Connection};

/// Connections at a time. More wait, or are refused by the listener.
const CONNECTIONS_MAX: usize = 128;
/// How long a client may take to say where it wants to go, and how long connecting there may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// A grant, and what is left of it.
struct Granted {
    grant: EgressGrant,
    sent: AtomicU64,
    received: AtomicU64,
}

struct Shared {
    granted: Vec<Granted>,
    book: Book,
    open: Mutex<Vec<Weak<Open>>>,
    count: AtomicUsize,
}

/// A connection that is open.
struct Open {
    connection: Connection,
    client: TcpStream,
    server: TcpStream,
    sent: AtomicU64,
    received: AtomicU64,
    cut: AtomicBool,
    noted: AtomicBool,
}

/// Serves until nobody holds the other end of `alive`.
pub(super) fn serve(listeners: Vec<(TcpListener, Leads)>, grants: &[EgressGrant], book: Book, alive: &OwnedFd) {
    let granted = grants.iter().map(|grant| Granted { grant: grant.clone(), sent: 0.into(), received: 0.into() });
    let shared = Shared { granted: granted.collect(), book, open: Mutex::default(), count: AtomicUsize::new(0) };
    let shared = Arc::new(shared);
    for (listener, leads) in listeners {
        let shared = shared.clone();
        std::thread::spawn(move || accept(&listener, &leads, &shared));
    }
    let mut byte = [0; 1];
    while matches!(rustix::io::read(alive, &mut byte), Ok(1..) | Err(rustix::io::Errno::INTR)) {}
    let open: Vec<Weak<Open>> = std::mem::take(&mut *shared.open.lock().unwrap_or_else(PoisonError::into_inner));
    for open in open.iter().filter_map(Weak::upgrade) {
        // An attempt may end of having been cut off, before that was written down.
        match open.cut.load(Ordering::Acquire) {
            true => shared.close(&open, "cut", "more than the bytes that were granted"),
            false => shared.close(&open, "ended", "with the attempt"),
        }
    }
    shared.book.close();
}

fn accept(listener: &TcpListener, leads: &Leads, shared: &Arc<Shared>) {
    loop {
        let client = match listener.accept() {
            Ok((client, _)) => client,
            // Too many files: some will be closed.
            Err(_) => {
                std::thread::park_timeout(Duration::from_millis(50));
                continue;
            }
        };
        while shared.count.load(Ordering::Acquire) >= CONNECTIONS_MAX {
            std::thread::park_timeout(Duration::from_millis(10));
        }
        shared.count.fetch_add(1, Ordering::AcqRel);
        let (leads, own) = (leads.clone(), shared.clone());
        let spawned = std::thread::Builder::new().spawn(move || {
            own.serve_one(client, &leads);
            own.count.fetch_sub(1, Ordering::AcqRel);
        });
        if spawned.is_err() {
            shared.count.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

fn now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros()).unwrap_or(u64::MAX)
}

impl Shared {
    fn serve_one(&self, mut client: TcpStream, leads: &Leads) {
        let _ = client.set_read_timeout(Some(PATIENCE));
        let (wanted, rest, speaks) = match leads {
            Leads::To(grant) => (Wanted { host: grant.host.clone(), port: grant.port, head: None }, Vec::new(), false),
            Leads::Anywhere => match ask(&mut client) {
                Some((wanted, rest)) => (wanted, rest, true),
                None => return answer(&mut client, "400 Bad Request", "this proxy takes CONNECT, and http:// in absolute form"),
            },
        };
        let Wanted { host, port, head } = wanted;
        let mut connection = Connection { at: now(), host, port, ..Connection::default() };
        let found = self.granted.iter().find(|granted| granted.grant.covers(&connection.host, port));
        // This machine is reached by its own listener, never by a name that somebody chose.
        let Some(granted) = found.filter(|_| !speaks || !is_loopback(&connection.host)) else {
            let reason = format!("`{}:{port}` is not granted to this attempt", connection.host);
            self.note(&mut connection, "refused", &reason);
            return if speaks {
                answer(&mut client, "403 Forbidden", &format!("E0036: {reason}"))
            };
        };
        if !self.book.admits() {
            let reason = format!("this attempt has made {EGRESS_CONNECTIONS_MAX} connections, and more are not written down");
            self.note(&mut connection, "refused", &reason);
            return if speaks {
                answer(&mut client, "429 Too Many Requests", &reason)
            };
        }
        let server = match connect(&granted.grant, &connection.host, port) {
            Ok((server, address)) => {
                connection.address = Some(address.ip().to_string());
                server
            }
            Err(error) => {
                let outcome = if error.kind() == io::ErrorKind::PermissionDenied { "refused" } else { "failed" };
                self.note(&mut connection, outcome, &error.to_string());
                return if speaks {
                    answer(&mut client, "502 Bad Gateway", &error.to_string())
                };
            }
        };
        let _ = (client.set_read_timeout(None), client.set_nodelay(true), server.set_nodelay(true));
        let first = match head {
            Some(head) => [head, rest].concat(),
            None if speaks && client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").is_err() => return,
            None => rest,
        };
        self.pass(granted, connection, client, server, &first);
    }

    fn note(&self, connection: &mut Connection, outcome: &str, reason: &str) {
        connection.outcome = outcome.to_owned();
        connection.reason = reason.chars().take(300).collect();
        self.book.note(connection);
    }

    /// Passes bytes both ways until both have ended, or the grant is used up.
    fn pass(&self, granted: &Granted, connection: Connection, client: TcpStream, server: TcpStream, first: &[u8]) {
        let open = Arc::new(Open {
            connection,
            client,
            server,
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            cut: AtomicBool::new(false),
            noted: AtomicBool::new(false),
        });
        {
            let mut all = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            all.retain(|open| open.strong_count() > 0);
            all.push(Arc::downgrade(&open));
        }
        let cap = granted.grant.bytes_max;
        std::thread::scope(|scope| {
            scope.spawn(|| copy(&open, &open.server, &open.client, &open.received, (&granted.received, cap)));
            let begun =
                take(&open, first.len() as u64, &open.sent, (&granted.sent, cap)) && (&open.server).write_all(first).is_ok();
            if begun {
                copy(&open, &open.client, &open.server, &open.sent, (&granted.sent, cap));
            }
        });
        match open.cut.load(Ordering::Acquire) {
            true => self.close(&open, "cut", &format!("more than the {cap} bytes that were granted")),
            false => self.close(&open, "closed", ""),
        }
    }

    /// Closes a connection and writes it down, once.
    fn close(&self, open: &Open, outcome: &str, reason: &str) {
        if open.noted.swap(true, Ordering::AcqRel) {
            return;
        }
        let _ = (open.client.shutdown(Shutdown::Both), open.server.shutdown(Shutdown::Both));
        let mut connection = open.connection.clone();
        connection.sent = open.sent.load(Ordering::Acquire);
        connection.received = open.received.load(Ordering::Acquire);
        self.note(&mut connection, outcome, reason);
    }
}

/// Takes bytes from what is left of a grant. False when it does not suffice.
fn take(open: &Open, count: u64, own: &AtomicU64, (used, cap): (&AtomicU64, u64)) -> bool {
    if used.fetch_add(count, Ordering::AcqRel).saturating_add(count) > cap {
        open.cut.store(true, Ordering::Release);
        let _ = (open.client.shutdown(Shutdown::Both), open.server.shutdown(Shutdown::Both));
        return false;
    }
    own.fetch_add(count, Ordering::AcqRel);
    true
}

fn copy(open: &Open, mut from: &TcpStream, mut to: &TcpStream, own: &AtomicU64, grant: (&AtomicU64, u64)) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                if !take(open, count as u64, own, grant) {
                    return;
                }
                if to.write_all(&buffer[..count]).is_err() {
                    let _ = from.shutdown(Shutdown::Read);
                    return;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    // The other direction may go on.
    let _ = to.shutdown(Shutdown::Write);
}

/// Where a client wants to go, and what it sent beyond that.
fn ask(client: &mut TcpStream) -> Option<(Wanted, Vec<u8>)> {
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some(end) = request::end_of_head(&head) {
            let rest = head.split_off(end);
            return Some((request::read(&head)?, rest));
        }
        if head.len() > HEAD_BYTES_MAX {
            return None;
        }
        match client.read(&mut buffer) {
            Ok(0) | Err(_) => return None,
            Ok(count) => head.extend_from_slice(&buffer[..count]),
        }
    }
}

fn answer(client: &mut TcpStream, status: &str, text: &str) {
    let length = text.len() + 1;
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\nConnection: close\r\n"
    );
    // A client that is gone has no use for it.
    let _ = client.write_all(format!("{head}\r\n{text}\n").as_bytes());
    let _ = client.shutdown(Shutdown::Write);
}

/// Looks a name up and connects to it.
fn connect(grant: &EgressGrant, host: &str, port: u16) -> io::Result<(TcpStream, SocketAddr)> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, format!("`{host}` has no address"));
    let mut tried = 0;
    for address in (host, port).to_socket_addrs()? {
        if !grant.opens(address.ip()) {
            let words = format!("`{host}` leads to {}, which only a grant of that address itself opens", address.ip());
            last = io::Error::new(io::ErrorKind::PermissionDenied, words);
            continue;
        }
        tried += 1;
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(server) => return Ok((server, address)),
            Err(error) => last = error,
        }
        if tried == 4 {
            break;
        }
    }
    Err(last)
}
