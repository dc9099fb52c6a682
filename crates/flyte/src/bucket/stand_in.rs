//! A store that speaks S3, as far as it is asked here, for tests: it looks at every signature and at the bucket's name, and goes wrong in every way it
//! is told to.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use model::site::StoreSpec;
use sha2::{Digest as _, Sha256};

use super::Bucket;
use crate::call::to_hex;
use crate::sign;

const ACCESS: &str = "access";
const SECRET: &str = "of the store";

/// What it does instead of what it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// It answers with this status, and does nothing.
    Status(u16),
    /// It says that it did it, and does nothing.
    Lies,
    /// It does it, and hangs up without a word.
    Silent,
    /// It keeps or gives half of it.
    Half,
    /// It gives something else than it was given.
    Other,
    /// It gives all where a part was asked for.
    All,
}

#[derive(Default)]
pub(crate) struct State {
    /// What it keeps, by name.
    pub(crate) objects: BTreeMap<String, Vec<u8>>,
    pub(crate) uploads: BTreeMap<String, BTreeMap<u32, Vec<u8>>>,
    /// What goes wrong with the next requests, one after another; none for what goes well.
    pub(crate) wrong: VecDeque<Option<Wrong>>,
    /// What was asked, and how many bytes were given.
    pub(crate) asked: Vec<String>,
    pub(crate) given: u64,
}

/// A store that is up until it is dropped.
pub(crate) struct StandIn {
    pub(crate) state: Arc<parking_lot::Mutex<State>>,
    pub(crate) spec: StoreSpec,
    over: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

struct Asked {
    request: sign::Request,
    body: Vec<u8>,
}

impl StandIn {
    pub(crate) fn new() -> StandIn {
        StandIn::with(Arc::default())
    }

    /// One that keeps what another kept.
    pub(crate) fn with(state: Arc<parking_lot::Mutex<State>>) -> StandIn {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/bucket/folder", listener.local_addr().unwrap());
        let over = Arc::new(AtomicBool::new(false));
        let (shared, ends) = (state.clone(), over.clone());
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if ends.load(Ordering::SeqCst) {
                    return;
                }
                if let Ok(stream) = stream {
                    let _ = serve(stream, &shared);
                }
            }
        });
        let spec = StoreSpec { url, region: "eu-x".into(), access_key: ACCESS.into(), secret_key: String::new() };
        StandIn { state, spec, over, thread: Some(thread) }
    }

    pub(crate) fn bucket(&self) -> Bucket {
        Bucket::new("clinic", &self.spec, &sign::secret_of(SECRET, ACCESS)).unwrap().with(1 << 20, Duration::from_millis(1))
    }

    pub(crate) fn goes_wrong(&self, wrong: impl IntoIterator<Item = Option<Wrong>>) {
        self.state.lock().wrong.extend(wrong);
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.state.lock().objects.keys().cloned().collect()
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        let place = self.spec.place().unwrap();
        let _ = TcpStream::connect(place.authority);
        self.thread.take().map(|thread| thread.join());
    }
}

fn read(stream: &mut BufReader<TcpStream>) -> Option<Asked> {
    let mut line = String::new();
    stream.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let mut request = sign::Request { method, path: path.into(), query: query.into(), ..sign::Request::default() };
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        request.headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = request.headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some(Asked { request, body })
}

fn serve(stream: TcpStream, state: &parking_lot::Mutex<State>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut reader = BufReader::new(stream);
    let Some(asked) = read(&mut reader) else { return Ok(()) };
    let mut stream = reader.into_inner();
    let mut state = state.lock();
    let shown = format!("{} {}", asked.request.method, asked.request.query.split('=').next().unwrap_or_default());
    state.asked.push(shown.trim().to_owned());
    let wrong = state.wrong.pop_front().flatten();
    let is_head = asked.request.method == "HEAD";
    let (status, headers, body) = match wrong {
        Some(Wrong::Status(status)) => (status, String::new(), b"<Error><Code>Wrong</Code></Error>".to_vec()),
        Some(Wrong::Lies) => (200, "etag: \"x\"\r\n".into(), Vec::new()),
        wrong => answer(&mut state, &asked, wrong),
    };
    if wrong == Some(Wrong::Silent) {
        return Ok(());
    }
    state.given += body.len() as u64;
    write!(stream, "HTTP/1.1 {status} X\r\ncontent-length: {}\r\n{headers}\r\n", body.len())?;
    let sent = if wrong == Some(Wrong::Half) && asked.request.method == "GET" { &body[..body.len() / 2] } else { &body[..] };
    stream.write_all(if is_head { &[] } else { sent })
}

fn answer(state: &mut State, asked: &Asked, wrong: Option<Wrong>) -> (u16, String, Vec<u8>) {
    let plain = |status: u16, text: &str| (status, String::new(), text.as_bytes().to_vec());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let request = &asked.request;
    if sign::check(request, SECRET, now).as_deref() != Ok(ACCESS) {
        return plain(403, "<Error><Code>SignatureDoesNotMatch</Code></Error>");
    }
    if request.headers["x-amz-content-sha256"] != to_hex(&Sha256::digest(&asked.body)) {
        return plain(400, "<Error><Code>XAmzContentSHA256Mismatch</Code></Error>");
    }
    let Some(name) = request.path.strip_prefix("/bucket/folder/").map(str::to_owned) else {
        return plain(404, "<Error><Code>NoSuchBucket</Code></Error>");
    };
    let field = |name: &str| {
        let pair = request.query.split('&').find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name));
        pair.map(|(_, value)| value.to_owned())
    };
    let (upload, number) = (field("uploadId"), field("partNumber").map(|number| number.parse().unwrap()));
    match (request.method.as_str(), upload, number) {
        ("PUT", Some(upload), Some(number)) => {
            let Some(parts) = state.uploads.get_mut(&upload) else {
                return plain(404, "<Error><Code>NoSuchUpload</Code></Error>");
            };
            parts.insert(number, asked.body.clone());
            (200, format!("etag: \"part-{number}\"\r\n"), Vec::new())
        }
        ("PUT", ..) if request.headers.contains_key("if-none-match") && state.objects.contains_key(&name) => plain(412, ""),
        ("PUT", ..) => {
            let kept = if wrong == Some(Wrong::Half) { asked.body.len() / 2 } else { asked.body.len() };
            state.objects.insert(name, asked.body[..kept].to_vec());
            plain(200, "")
        }
        ("POST", None, _) => {
            // A name that has to be written in another way in an address.
            let upload = format!("up+{}", state.uploads.len());
            state.uploads.insert(upload.replace('+', "%2B"), BTreeMap::new());
            plain(200, &format!("<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>"))
        }
        ("POST", Some(upload), _) => {
            let Some(parts) = state.uploads.remove(&upload) else {
                return plain(404, "<Error><Code>NoSuchUpload</Code></Error>");
            };
            let said = String::from_utf8_lossy(&asked.body).into_owned();
            if !parts.keys().all(|number| said.contains(&format!("<ETag>\"part-{number}\"</ETag>"))) {
                return plain(200, "<Error><Code>InvalidPart</Code></Error>");
            }
            state.objects.insert(name, parts.into_values().flatten().collect());
            plain(200, "<CompleteMultipartUploadResult></CompleteMultipartUploadResult>")
        }
        ("DELETE", Some(upload), _) => {
            let known = state.uploads.remove(&upload).is_some();
            plain(if known { 204 } else { 404 }, "")
        }
        ("DELETE", ..) => {
            state.objects.remove(&name);
            plain(204, "")
        }
        ("GET" | "HEAD", ..) => give(state, request, &name, wrong),
        _ => plain(405, ""),
    }
}

fn give(state: &State, request: &sign::Request, name: &str, wrong: Option<Wrong>) -> (u16, String, Vec<u8>) {
    let Some(mut bytes) = state.objects.get(name).cloned() else { return (404, String::new(), Vec::new()) };
    if wrong == Some(Wrong::Other) {
        bytes.iter_mut().for_each(|byte| *byte = !*byte);
    }
    let Some(range) = request.headers.get("range").filter(|_| wrong != Some(Wrong::All)) else {
        return (200, String::new(), bytes);
    };
    let (from, last) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
    let (from, last): (usize, usize) = (from.parse().unwrap(), last.parse().unwrap());
    let size = bytes.len();
    if from > last || last >= size {
        return (416, String::new(), Vec::new());
    }
    (206, format!("content-range: bytes {from}-{last}/{size}\r\n"), bytes[from..=last].to_vec())
}
