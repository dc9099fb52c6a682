//! A bucket of a store that speaks S3, for the bytes of large objects. What lies there is what would otherwise lie in a file, sealed or not; names are
//! made here and never written twice, so that nothing there is ever replaced.

mod answers;
mod reading;
#[cfg(test)]
pub(crate) mod stand_in;

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use model::site::{StorePlace, StoreSpec};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use sha2::{Digest as _, Sha256};

use answers::{Answered, Both, answered};
pub(crate) use reading::Reading;

use crate::call::to_hex;
use crate::sign::{self, Signing};

/// How long a connection may take to come about, and how long nothing may come or go on it.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(60));
/// How often a request is made that gets no answer, or one that says that the store is out of order.
const TRIES: u32 = 4;
/// The longest account of an error that is looked at, and that is repeated, in bytes.
const SAID_BYTES_MAX: (u64, usize) = (64 << 10, 300);
/// What is larger is written in parts of this size, in bytes; there are 10,000 of them at most.
const PART_BYTES: u64 = 64 << 20;

/// A bucket, with the keys to it. Cheap to clone.
#[derive(Clone)]
pub struct Bucket {
    inner: Arc<Inner>,
}

struct Inner {
    site: String,
    url: String,
    place: StorePlace,
    tls: Option<Arc<ClientConfig>>,
    access: String,
    secret: zeroize::Zeroizing<String>,
    region: String,
    part_bytes: u64,
    /// The first pause before a request is made again; it doubles with each.
    pause: Duration,
}

impl std::fmt::Debug for Bucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.inner.url)
    }
}

/// The store of a site cannot be used. What is asked of it may come to something later: nothing is lost by asking again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: the store of the site `{site}` at {url} cannot be used: {why}", Away::CODE)]
pub struct Away {
    /// The site.
    pub site: String,
    /// The address of its bucket.
    pub url: String,
    /// What happened.
    pub why: String,
}

impl Away {
    /// The code of this error.
    pub const CODE: &str = "E0041";
}

impl From<Away> for io::Error {
    fn from(away: Away) -> io::Error {
        io::Error::other(away)
    }
}

/// Whether an error is that the store of a site cannot be used.
pub fn away(error: &io::Error) -> Option<&Away> {
    error.get_ref()?.downcast_ref()
}

/// What is asked.
#[derive(Clone, Copy, Default)]
struct Ask<'a> {
    method: &'a str,
    name: &'a str,
    /// Parts of the query, in the order of their names, as they are meant.
    query: &'a [(&'a str, &'a str)],
    /// Headers that are not signed.
    headers: &'a [(&'a str, &'a str)],
    /// The digest of the body; none for no body.
    payload: Option<&'a str>,
    size: u64,
}

/// Makes the body of a request, as often as the request is made.
type Body<'a> = &'a dyn Fn() -> io::Result<Box<dyn Read>>;

fn no_body() -> io::Result<Box<dyn Read>> {
    Ok(Box::new(io::empty()))
}

impl Bucket {
    /// The bucket that a site names, opened with a secret key; none when its address is none.
    pub fn new(site: &str, spec: &StoreSpec, secret: &str) -> Option<Bucket> {
        let place = spec.place()?;
        let inner = Inner {
            site: site.to_owned(),
            url: spec.url.clone(),
            tls: place.is_tls.then(trusting).flatten(),
            place,
            access: spec.access_key.clone(),
            secret: zeroize::Zeroizing::new(secret.to_owned()),
            region: spec.region.clone(),
            part_bytes: PART_BYTES,
            pause: Duration::from_millis(400),
        };
        Some(Bucket { inner: Arc::new(inner) })
    }

    /// The same in a hurry, and with parts of another size.
    #[cfg(test)]
    pub(crate) fn with(self, part_bytes: u64, pause: Duration) -> Bucket {
        let Inner { site, url, place, access, secret, region, .. } = &*self.inner;
        let (site, url, place, region) = (site.clone(), url.clone(), place.clone(), region.clone());
        let (access, secret) = (access.clone(), secret.clone());
        Bucket { inner: Arc::new(Inner { site, url, place, tls: None, access, secret, region, part_bytes, pause }) }
    }

    /// Its address.
    pub fn url(&self) -> &str {
        &self.inner.url
    }

    /// The error that it cannot be used.
    pub(crate) fn is_away(&self, why: impl Into<String>) -> io::Error {
        Away { site: self.inner.site.clone(), url: self.inner.url.clone(), why: why.into() }.into()
    }

    /// Writes a file as what is called so, and looks whether it is there. `begun` is told the name of an upload before its first part is sent: until
    /// it is ended or given up, the store keeps its parts.
    pub(crate) fn put(&self, name: &str, file: &Path, begun: &mut dyn FnMut(&str) -> io::Result<()>) -> io::Result<()> {
        let size = File::open(file)?.metadata()?.len();
        match size > self.inner.part_bytes {
            true => self.put_parts(name, file, size, begun)?,
            false => self.put_whole(name, file, size)?,
        }
        // An answer that says so is not enough: what was kept is what counts.
        let there = self.ask(Ask { method: "HEAD", name, ..Ask::default() }, &no_body)?;
        match (there.status, there.length) {
            (200, Some(length)) if length == size => Ok(()),
            (200, length) => Err(self.is_away(format!("of {size} bytes that were written it keeps {length:?}"))),
            (status, _) => Err(self.is_away(format!("it does not keep what was written: {status}"))),
        }
    }

    fn put_whole(&self, name: &str, file: &Path, size: u64) -> io::Result<()> {
        let payload = hash(&mut File::open(file)?)?;
        let body = || Ok(Box::new(File::open(file)?) as Box<dyn Read>);
        let once = [("if-none-match", "*")];
        let ask = Ask { method: "PUT", name, headers: &once, payload: Some(&payload), size, ..Ask::default() };
        let answered = self.ask(ask, &body)?;
        match answered.status {
            200..=299 => Ok(()),
            // Nobody else makes such a name: an earlier try came through, and its answer did not.
            409 | 412 => Ok(()),
            // Some stores do not know the condition.
            501 => self.expect(self.ask(Ask { headers: &[], ..ask }, &body)?).map(drop),
            _ => self.expect(answered).map(drop),
        }
    }

    fn put_parts(&self, name: &str, file: &Path, size: u64, begun: &mut dyn FnMut(&str) -> io::Result<()>) -> io::Result<()> {
        let begin = Ask { method: "POST", name, query: &[("uploads", "")], ..Ask::default() };
        let said = self.said(self.expect(self.ask(begin, &no_body)?)?)?;
        let upload = element(&said, "UploadId").ok_or_else(|| self.is_away("it gives an upload no name"))?;
        begun(upload)?;
        let mut whole = String::from("<CompleteMultipartUpload>");
        for number in 1..=size.div_ceil(self.inner.part_bytes) {
            let from = (number - 1) * self.inner.part_bytes;
            let bytes = self.inner.part_bytes.min(size - from);
            let body = || {
                let mut part = File::open(file)?;
                part.seek(SeekFrom::Start(from))?;
                Ok(Box::new(part.take(bytes)) as Box<dyn Read>)
            };
            let (payload, number) = (hash(&mut body()?)?, number.to_string());
            let query = [("partNumber", number.as_str()), ("uploadId", upload)];
            let ask = Ask { method: "PUT", name, query: &query, payload: Some(&payload), size: bytes, ..Ask::default() };
            let etag = self.expect(self.ask(ask, &body)?)?.etag.ok_or_else(|| self.is_away("it gives a part no name"))?;
            let etag = etag.replace('&', "&amp;").replace('<', "&lt;");
            whole.push_str(&format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"));
        }
        whole.push_str("</CompleteMultipartUpload>");
        let payload = to_hex(&Sha256::digest(whole.as_bytes()));
        let query = [("uploadId", upload)];
        let size = whole.len() as u64;
        let ask = Ask { method: "POST", name, query: &query, payload: Some(&payload), size, ..Ask::default() };
        let answered = self.ask(ask, &|| Ok(Box::new(io::Cursor::new(whole.clone()))))?;
        // It is not there any more when an earlier try came through; whether the object is there is looked at anyway.
        if answered.status == 404 {
            return Ok(());
        }
        let said = self.said(self.expect(answered)?)?;
        // Here an error may come with a good status.
        match said.contains("<CompleteMultipartUploadResult") {
            true => Ok(()),
            false => Err(self.is_away(format!("it did not put the parts together: {}", short(&said)))),
        }
    }

    /// Gives an upload up that was begun. One that is not there is given up already.
    pub(crate) fn abandon(&self, name: &str, upload: &str) -> io::Result<()> {
        let answered = self.ask(Ask { method: "DELETE", name, query: &[("uploadId", upload)], ..Ask::default() }, &no_body)?;
        if answered.status == 404 { Ok(()) } else { self.expect(answered).map(drop) }
    }

    /// A part of what is called so and has this many bytes.
    fn get(&self, name: &str, (from, end): (u64, u64), size: u64) -> io::Result<Box<dyn Read + Send>> {
        let range = format!("bytes={from}-{}", end.saturating_sub(1));
        let ask = Ask { method: "GET", name, headers: &[("range", &range)], ..Ask::default() };
        let answered = self.ask(ask, &no_body)?;
        match answered.status {
            206 => {
                let expected = format!("bytes {from}-{}/{size}", end.saturating_sub(1));
                match answered.range.as_deref() == Some(expected.as_str()) {
                    true => Ok(answered.body),
                    false => Err(self.is_away(format!("it gives {:?} where {expected} was asked for", answered.range))),
                }
            }
            200 if from == 0 && answered.length == Some(size) => Ok(answered.body),
            200 => Err(self.is_away("it gives all where a part was asked for")),
            404 => Err(self.is_away(format!("an object that was written there is there no more: `{name}`"))),
            _ => Err(self.expect(answered).err().unwrap_or_else(|| self.is_away("it gives something else"))),
        }
    }

    /// Removes what is called so, and looks whether it is gone. What is not there is removed already.
    pub(crate) fn delete(&self, name: &str) -> io::Result<()> {
        let answered = self.ask(Ask { method: "DELETE", name, ..Ask::default() }, &no_body)?;
        if answered.status != 404 {
            self.expect(answered)?;
        } else if self.said(answered)?.contains("NoSuchBucket") {
            return Err(self.is_away("there is no such bucket"));
        }
        match self.ask(Ask { method: "HEAD", name, ..Ask::default() }, &no_body)?.status {
            404 => Ok(()),
            status => Err(self.is_away(format!("of what was removed it says {status} still"))),
        }
    }

    /// An answer that is good.
    fn expect(&self, answered: Answered) -> io::Result<Answered> {
        match answered.status {
            200..=299 => Ok(answered),
            status => {
                let said = self.said(answered).unwrap_or_default();
                Err(self.is_away(format!("it answers {status}: {}", short(&said))))
            }
        }
    }

    fn said(&self, answered: Answered) -> io::Result<String> {
        let mut said = Vec::new();
        let read = answered.body.take(SAID_BYTES_MAX.0).read_to_end(&mut said);
        read.map_err(|error| self.is_away(format!("its answer breaks off: {error}")))?;
        Ok(String::from_utf8_lossy(&said).into_owned())
    }

    /// Makes a request until it is answered: all of them may be made twice.
    fn ask(&self, ask: Ask<'_>, body: Body<'_>) -> io::Result<Answered> {
        let mut tried = 0;
        loop {
            tried += 1;
            let is_last = tried >= TRIES;
            match self.ask_once(ask, body()?) {
                Ok(answered) if !matches!(answered.status, 408 | 429 | 500 | 502..=599) => return Ok(answered),
                Ok(answered) if is_last => return self.expect(answered),
                Err(error) if is_last => return Err(self.is_away(error.to_string())),
                _ => pause(self.inner.pause * (1 << (tried - 1))),
            }
        }
    }

    fn ask_once(&self, ask: Ask<'_>, body: Box<dyn Read>) -> io::Result<Answered> {
        let inner = &self.inner;
        let path = format!("{}/{}", inner.place.path, ask.name);
        let query: Vec<String> = ask.query.iter().map(|(key, value)| format!("{}={}", encoded(key), encoded(value))).collect();
        let query = query.join("&");
        let time = sign::written(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs());
        let empty = to_hex(&Sha256::digest(b""));
        let payload = ask.payload.unwrap_or(&empty);
        let authority = inner.place.authority.as_str();
        let headers = [("host", authority), ("x-amz-content-sha256", payload), ("x-amz-date", time.as_str())];
        let signing = Signing { access: &inner.access, secret: &inner.secret, region: &inner.region, time: &time };
        let authorization = signing.header((ask.method, &path, &query), &headers, payload);
        let (method, size) = (ask.method, ask.size);
        let target = if query.is_empty() { path } else { format!("{path}?{query}") };
        let mut head = format!("{method} {target} HTTP/1.1\r\nconnection: close\r\nauthorization: {authorization}\r\n");
        if size > 0 || matches!(method, "PUT" | "POST") {
            head.push_str(&format!("content-length: {size}\r\n"));
        }
        headers.iter().chain(ask.headers).for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
        head.push_str("\r\n");
        let mut stream = self.connect()?;
        let sent = stream.write_all(head.as_bytes()).and_then(|()| {
            io::copy(&mut body.take(size), &mut stream)?;
            stream.flush()
        });
        // Whoever refuses may say so before it was sent the whole.
        match (answered(stream, method == "HEAD"), sent) {
            (Ok(answered), Ok(())) => Ok(answered),
            (Ok(answered), Err(_)) if answered.status >= 400 => Ok(answered),
            (Ok(_), Err(error)) | (Err(_), Err(error)) | (Err(error), Ok(())) => Err(error),
        }
    }

    fn connect(&self) -> io::Result<Box<dyn Both>> {
        let (place, tls) = (&self.inner.place, &self.inner.tls);
        let mut last = io::Error::new(io::ErrorKind::NotFound, format!("`{}` has no address", place.host));
        for address in (place.host.as_str(), place.port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, PATIENCE.0) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(PATIENCE.1))?;
                    stream.set_write_timeout(Some(PATIENCE.1))?;
                    if !place.is_tls {
                        return Ok(Box::new(stream));
                    }
                    let config = tls.clone().ok_or_else(|| io::Error::other("there is no TLS"))?;
                    let name = ServerName::try_from(place.host.clone()).map_err(io::Error::other)?;
                    let connection = ClientConnection::new(config, name).map_err(io::Error::other)?;
                    return Ok(Box::new(StreamOwned::new(connection, stream)));
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

/// Whom the machine trusts.
fn trusting() -> Option<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()?;
    Some(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

/// Waits before a request is made again.
#[expect(
    clippy::disallowed_methods,
    reason = "whoever calls is on a thread that may wait, and nobody says when another machine is well again"
)]
fn pause(span: Duration) {
    std::thread::sleep(span);
}

/// The digest of all that a reader gives, as it is signed.
pub(crate) fn hash(source: &mut dyn Read) -> io::Result<String> {
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 64 << 10]);
    loop {
        match source.read(&mut buffer) {
            Ok(0) => return Ok(to_hex(&hash.finalize())),
            Ok(count) => hash.update(buffer.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// A part of a query, as it is sent and signed.
fn encoded(text: &str) -> String {
    let mut all = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => all.push(char::from(byte)),
            other => all.push_str(&format!("%{other:02X}")),
        }
    }
    all
}

/// The text of the first element of a name.
fn element<'t>(body: &'t str, name: &str) -> Option<&'t str> {
    let (_, rest) = body.split_once(&format!("<{name}>"))?;
    Some(rest.split_once("</")?.0.trim()).filter(|text| !text.is_empty())
}

/// What an error says in a sentence.
fn short(said: &str) -> String {
    let text = match (element(said, "Code"), element(said, "Message")) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        _ => said.split_whitespace().collect::<Vec<_>>().join(" "),
    };
    text.chars().take(SAID_BYTES_MAX.1).collect()
}

#[cfg(test)]
mod tests;
