//! A bucket of a store that speaks S3, for the bytes of large objects. What lies there is what would otherwise lie in a file, sealed or not; names are
//! made here and never written twice, so that nothing there is ever replaced.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use sha2::{Digest as _, Sha256};

use crate::call::to_hex;
use crate::sign::{self, Signing};

/// How long a connection may take to come about, and how long nothing may come or go on it.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(60));
/// How often a request is made that gets no answer, or one that says that the store is out of order.
const TRIES: u32 = 4;
/// The longest head of an answer, and the longest account of an error that is repeated, in bytes.
const HEAD_BYTES_MAX: u64 = 64 << 10;
const SAID_BYTES_MAX: u64 = 400;

/// A bucket, with the keys to it. Cheap to clone.
#[derive(Clone)]
pub struct Bucket {
    inner: Arc<Inner>,
}

struct Inner {
    tls: Option<Arc<ClientConfig>>,
    /// As it stands in requests: the host, and the port where that is another than the usual one.
    authority: String,
    host: String,
    port: u16,
    /// What stands before every name: the bucket, and the folder in it.
    path: String,
    access: String,
    secret: String,
    region: String,
}

impl std::fmt::Debug for Bucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.inner.authority, self.inner.path)
    }
}

/// Why an address of a bucket is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no address of a bucket: `http://HOST:PORT/BUCKET` or `https://HOST/BUCKET/FOLDER`")]
pub struct NoBucket(String);

trait Both: Read + Write {}
impl<T: Read + Write> Both for T {}

/// An answer whose head was read.
struct Answered {
    status: u16,
    body: Box<dyn Read>,
}

impl Bucket {
    /// The bucket at an address, opened with a pair of keys.
    pub fn new(address: &str, (access, secret): (&str, &str), region: &str) -> Result<Bucket, NoBucket> {
        let wrong = || NoBucket(address.to_owned());
        let (is_tls, rest) = match address.split_once("://").ok_or_else(wrong)? {
            ("http", rest) => (false, rest),
            ("https", rest) => (true, rest),
            _ => return Err(wrong()),
        };
        let (authority, path) = rest.split_once('/').ok_or_else(wrong)?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/');
        let path = path.trim_end_matches('/');
        if path.is_empty() || path.contains("//") || !path.bytes().all(plain) || authority.contains('@') {
            return Err(wrong());
        }
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| wrong())?),
            None => (authority, if is_tls { 443 } else { 80 }),
        };
        if host.is_empty() {
            return Err(wrong());
        }
        let inner = Inner {
            tls: is_tls.then(trusting),
            authority: authority.to_owned(),
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
            path: format!("/{path}"),
            access: access.to_owned(),
            secret: secret.to_owned(),
            region: region.to_owned(),
        };
        Ok(Bucket { inner: Arc::new(inner) })
    }

    /// Writes a file as what is called so.
    pub fn put(&self, name: &str, file: &Path) -> io::Result<()> {
        let mut hash = Sha256::new();
        let size = io::copy(&mut File::open(file)?, &mut hash)?;
        let payload = to_hex(&hash.finalize());
        self.ask("PUT", name, &payload, &|| Ok((size, Some(File::open(file)?)))).map(drop)
    }

    /// Copies what is called so; gives its size. Nothing is kept of a copy that breaks off.
    pub fn get(&self, name: &str, to: &mut dyn Write) -> io::Result<u64> {
        let mut answered = self.ask("GET", name, &empty(), &|| Ok((0, None)))?;
        io::copy(&mut answered.body, to)
    }

    /// Removes what is called so. What is not there is removed already.
    pub fn delete(&self, name: &str) -> io::Result<()> {
        match self.ask("DELETE", name, &empty(), &|| Ok((0, None))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Makes a request until it is answered: all of them may be made twice.
    fn ask(&self, method: &str, name: &str, payload: &str, body: &dyn Fn() -> io::Result<(u64, Option<File>)>) -> io::Result<Answered> {
        let mut tried = 0;
        loop {
            tried += 1;
            match body().and_then(|(size, body)| self.ask_once(method, name, (payload, size), body)) {
                Ok(answered) => return Ok(answered),
                Err(error) if tried < TRIES && is_passing(&error) => pause(tried),
                Err(error) => return Err(error),
            }
        }
    }

    fn ask_once(&self, method: &str, name: &str, (payload, size): (&str, u64), body: Option<File>) -> io::Result<Answered> {
        let inner = &self.inner;
        let path = format!("{}/{name}", inner.path);
        let time = sign::written(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs());
        let headers = [("host", inner.authority.as_str()), ("x-amz-content-sha256", payload), ("x-amz-date", time.as_str())];
        let signing = Signing { access: &inner.access, secret: &inner.secret, region: &inner.region, time: &time };
        let authorization = signing.header((method, &path), &headers, payload);
        let mut head = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\ncontent-length: {size}\r\nauthorization: {authorization}\r\n");
        headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
        head.push_str("\r\n");
        let mut stream = self.connect()?;
        stream.write_all(head.as_bytes())?;
        if let Some(body) = body {
            io::copy(&mut body.take(size), &mut stream)?;
        }
        stream.flush()?;
        let answered = answered(stream)?;
        match answered.status {
            200..=299 => Ok(answered),
            404 => Err(io::ErrorKind::NotFound.into()),
            status => {
                let mut said = String::new();
                let _ = answered.body.take(SAID_BYTES_MAX).read_to_string(&mut said);
                let kind = if status >= 500 || status == 429 { io::ErrorKind::ResourceBusy } else { io::ErrorKind::PermissionDenied };
                Err(io::Error::new(kind, format!("the store at `{}` answers {status}: {said}", inner.authority)))
            }
        }
    }

    fn connect(&self) -> io::Result<Box<dyn Both>> {
        let inner = &self.inner;
        let mut last = io::Error::new(io::ErrorKind::NotFound, format!("`{}` has no address", inner.host));
        for address in (inner.host.as_str(), inner.port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, PATIENCE.0) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(PATIENCE.1))?;
                    stream.set_write_timeout(Some(PATIENCE.1))?;
                    let Some(config) = &inner.tls else { return Ok(Box::new(stream)) };
                    let name = ServerName::try_from(inner.host.clone()).map_err(io::Error::other)?;
                    let connection = ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
                    return Ok(Box::new(StreamOwned::new(connection, stream)));
                }
                Err(error) => last = error,
            }
        }
        Err(io::Error::new(io::ErrorKind::ConnectionRefused, last))
    }
}

/// Whom the machine trusts.
fn trusting() -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}

fn empty() -> String {
    to_hex(&Sha256::digest(b""))
}

/// Whether a request may come to something when it is made again.
fn is_passing(error: &io::Error) -> bool {
    !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput)
}

/// Waits before a request is made again.
#[expect(clippy::disallowed_methods, reason = "whoever calls is on a thread that may wait, and nobody says when another machine is well again")]
fn pause(tried: u32) {
    std::thread::sleep(Duration::from_millis(200_u64 << tried.min(5)));
}

/// Reads the head of an answer.
fn answered(stream: Box<dyn Both>) -> io::Result<Answered> {
    let broken = |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("the store answers something that is no answer: {what}"));
    let mut reader = BufReader::new(stream);
    let mut line = |reader: &mut BufReader<Box<dyn Both>>| {
        let mut line = String::new();
        reader.by_ref().take(HEAD_BYTES_MAX).read_line(&mut line)?;
        line.ends_with('\n').then(|| line.trim_end().to_owned()).ok_or_else(|| broken("it breaks off"))
    };
    loop {
        let first = line(&mut reader)?;
        let status = first.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)?.parse::<u16>().ok());
        let status = status.ok_or_else(|| broken(&first))?;
        let (mut length, mut is_chunked) = (None, false);
        loop {
            let header = line(&mut reader)?;
            let Some((name, value)) = header.split_once(':') else { break };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse::<u64>().ok(),
                "transfer-encoding" => is_chunked = value.trim().eq_ignore_ascii_case("chunked"),
                _ => {}
            }
        }
        if status == 100 {
            continue;
        }
        let body: Box<dyn Read> = match (is_chunked, length) {
            (true, _) => Box::new(Chunked { reader, left: 0, is_over: false }),
            (false, Some(length)) => Box::new(Whole { reader, left: length }),
            (false, None) => Box::new(reader),
        };
        return Ok(Answered { status, body });
    }
}

/// A body whose length was said: one that breaks off is an error.
struct Whole<R> {
    reader: R,
    left: u64,
}

impl<R: Read> Read for Whole<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let Some(room) = buffer.get_mut(..most).filter(|room| !room.is_empty()) else { return Ok(0) };
        let read = self.reader.read(room)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= read as u64;
        Ok(read)
    }
}

/// A body that comes in pieces, each after its length.
struct Chunked<R> {
    reader: R,
    left: u64,
    is_over: bool,
}

impl<R: io::BufRead> Read for Chunked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.left == 0 && !self.is_over {
            let mut line = String::new();
            self.reader.by_ref().take(HEAD_BYTES_MAX).read_line(&mut line)?;
            // What ends a piece stands before the length of the next.
            if line == "\r\n" {
                continue;
            }
            let length = line.trim_end().split(';').next().and_then(|digits| u64::from_str_radix(digits, 16).ok());
            self.left = length.ok_or(io::ErrorKind::UnexpectedEof)?;
            self.is_over = self.left == 0;
        }
        if self.is_over || buffer.is_empty() {
            return Ok(0);
        }
        let mut piece = Whole { reader: &mut self.reader, left: self.left };
        let read = piece.read(buffer)?;
        self.left = piece.left;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(answer: &'static [u8]) -> io::Result<(u16, Vec<u8>)> {
        struct Told(&'static [u8]);
        impl Read for Told {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                // As slowly as can be.
                let most = buffer.len().min(1);
                (&mut self.0).take(most as u64).read(buffer)
            }
        }
        impl Write for Told {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut answered = answered(Box::new(Told(answer)))?;
        let mut bytes = Vec::new();
        answered.body.read_to_end(&mut bytes)?;
        Ok((answered.status, bytes))
    }

    #[test]
    fn answers_of_every_kind_are_read_and_none_that_breaks_off() {
        let whole = body(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello and more").unwrap();
        assert_eq!(whole, (200, b"hello".to_vec()));
        let pieces = body(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n").unwrap();
        assert_eq!(pieces, (200, b"hello".to_vec()));
        let told_to_go_on = body(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 404 Not Found\r\nContent-Length: 0\r\n\r\n").unwrap();
        assert_eq!(told_to_go_on, (404, Vec::new()));
        assert_eq!(body(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap(), (204, Vec::new()));
        for broken in [
            &b""[..],
            b"HTTP/1.1 200",
            b"nothing of the kind\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nhello",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
        ] {
            assert!(body(broken).is_err(), "{}", String::from_utf8_lossy(broken));
        }
    }

    #[test]
    fn an_address_names_a_bucket() {
        let at = |address: &str| Bucket::new(address, ("a", "s"), "us-east-1").map(|bucket| format!("{bucket:?} {}", bucket.inner.port));
        assert_eq!(at("http://127.0.0.1:9000/b").unwrap(), "127.0.0.1:9000/b 9000");
        assert_eq!(at("https://store.example/b/deep/er/").unwrap(), "store.example/b/deep/er 443");
        for wrong in ["", "b", "s3://b", "http://h", "http://h/", "http://h:x/b", "http:///b", "http://u@h/b", "http://h/b//c", "http://h/b?x"] {
            assert_eq!(at(wrong), Err(NoBucket(wrong.into())), "{wrong}");
        }
        // Keys are shown nowhere.
        let bucket = Bucket::new("http://h/b", ("access", "secret"), "r").unwrap();
        assert!(!format!("{bucket:?}").contains("secret"));
    }
}
