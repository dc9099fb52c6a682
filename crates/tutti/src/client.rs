//! The HTTP client of the CLI: one request a call, JSON in and out, problem details as errors, streams line by line.

use std::path::Path;

use anyhow::Context as _;
use api::rest::views::Problem;
use bytes::Bytes;
use controlplane::FaultKind;
use futures::TryStreamExt as _;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::failure::CommandError;
use crate::transport::{NoConnection, Target};
use crate::variables;

/// How long a server may take to say that it is there.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(2);

/// A server to talk to.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    target: Target,
    token: Option<String>,
    /// Headers that say for whom the request is made.
    person: Vec<(&'static str, String)>,
}

type Body = BoxBody<Bytes, std::io::Error>;

fn whole(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed()
}

/// A stream of lines, as server-sent events and logs come.
pub(crate) struct Lines {
    body: Incoming,
    rest: Vec<u8>,
    ended: bool,
}

impl Client {
    /// A client of the server at `url` (`http://host:port`, `https://host:port`). `authorities` is a file of the certificates to trust
    /// instead of those of the system.
    pub(crate) fn new(url: &str, token: Option<String>, authorities: Option<&Path>) -> Result<Client, CommandError> {
        Ok(Client { target: Target::parse(url, authorities)?, token, person: Vec::new() })
    }

    /// The same for a person: only where the server takes callers at their word, on loopback without tokens.
    pub(crate) fn speaking_for(&self, user: Option<&str>, groups: &[String]) -> Client {
        let mut client = self.clone();
        client.person.extend(user.map(|user| ("x-tutti-user", user.to_owned())));
        if !groups.is_empty() {
            client.person.push(("x-tutti-groups", groups.join(",")));
        }
        client
    }

    /// The address, for messages.
    pub(crate) fn url(&self) -> String {
        self.target.url.clone()
    }

    /// Whether a server of ours answers there.
    pub(crate) async fn is_alive(&self) -> bool {
        self.version().await.is_some()
    }

    /// The version of the server, when one of ours answers.
    pub(crate) async fn version(&self) -> Option<String> {
        let health = tokio::time::timeout(PATIENCE, self.get::<serde_json::Value>("/healthz")).await.ok()?.ok()?;
        // Something else may listen at the usual address.
        (health["status"] == "ok").then(|| health["version"].as_str().map(str::to_owned))?
    }

    /// Reads a resource.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CommandError> {
        self.call(Method::GET, path, None).await
    }

    /// Sends a request with a body.
    pub(crate) async fn post<B: Serialize, T: DeserializeOwned>(&self, path: &str, body: &B) -> Result<T, CommandError> {
        let bytes = serde_json::to_vec(body).context("encode the request")?;
        self.call(Method::POST, path, Some(bytes)).await
    }

    /// Puts something in its place.
    pub(crate) async fn put<B: Serialize, T: DeserializeOwned>(&self, path: &str, body: &B) -> Result<T, CommandError> {
        let bytes = serde_json::to_vec(body).context("encode the request")?;
        self.call(Method::PUT, path, Some(bytes)).await
    }

    /// Gives an order that needs no words.
    pub(crate) async fn order<T: DeserializeOwned>(&self, path: &str) -> Result<T, CommandError> {
        self.call(Method::POST, path, None).await
    }

    /// Deletes a resource.
    pub(crate) async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, CommandError> {
        self.call(Method::DELETE, path, None).await
    }

    async fn call<T: DeserializeOwned>(&self, method: Method, path: &str, body: Option<Vec<u8>>) -> Result<T, CommandError> {
        let kind = body.is_some().then_some("application/json");
        let answer = answer(self.send(method, path, whole(body.unwrap_or_default().into()), kind).await?).await?;
        let bytes: &[u8] = if answer.is_empty() { b"null" } else { &answer };
        serde_json::from_slice(bytes).map_err(|error| strange(format!("the answer to {path} is not what was expected: {error}")))
    }

    /// Uploads a file. What comes back is the value that stands for it in inputs.
    pub(crate) async fn upload(&self, path: &Path, site: Option<&str>) -> Result<serde_json::Value, CommandError> {
        let file = tokio::fs::File::open(path).await.with_context(|| format!("`{}` cannot be read", path.display()))?;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let site = site.map(|site| format!("&site={}", segment(site))).unwrap_or_default();
        let target = format!("/api/v1/artifacts?name={}{site}", segment(&name));
        let body = StreamBody::new(tokio_util::io::ReaderStream::new(file).map_ok(Frame::data)).boxed();
        let answer = answer(self.send(Method::PUT, &target, body, Some("application/octet-stream")).await?).await?;
        Ok(serde_json::from_slice(&answer)?)
    }

    /// Reads bytes as they are.
    pub(crate) async fn bytes(&self, path: &str) -> Result<Incoming, CommandError> {
        Ok(self.open(path).await?.into_body())
    }

    /// Opens a log, with the place in it at which what is still there begins.
    pub(crate) async fn log(&self, path: &str) -> Result<(u64, Incoming), CommandError> {
        let response = self.open(path).await?;
        let offset = response.headers().get("tutti-log-offset").and_then(|offset| offset.to_str().ok()?.parse().ok());
        Ok((offset.unwrap_or(0), response.into_body()))
    }

    /// Asks for something that is read as it comes.
    async fn open(&self, path: &str) -> Result<Response<Incoming>, CommandError> {
        let response = self.send(Method::GET, path, whole(Bytes::new()), None).await?;
        if !response.status().is_success() {
            answer(response).await?;
            return Err(strange(format!("the server gave no answer to {path}")));
        }
        Ok(response)
    }

    /// Opens a stream.
    pub(crate) async fn lines(&self, path: &str) -> Result<Lines, CommandError> {
        Ok(Lines { body: self.bytes(path).await?, rest: Vec::new(), ended: false })
    }

    async fn send(&self, method: Method, path: &str, body: Body, kind: Option<&str>) -> Result<Response<Incoming>, CommandError> {
        let unreachable = |asked: bool| move |error: &dyn std::fmt::Display| CommandError::unreachable(&self.url(), asked, error);
        let stream = self.target.connect().await.map_err(|error| match error {
            NoConnection::Io(error) => unreachable(false)(&error),
            NoConnection::Untrusted(message, hint) => CommandError::Untrusted(message, hint),
        })?;
        let connected = http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = connected.map_err(|error| unreachable(false)(&error))?;
        tokio::spawn(connection);
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.target.path))
            .header("host", &self.target.authority)
            .header("accept", "*/*");
        if let Some(kind) = kind {
            request = request.header("content-type", kind);
        }
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        // Whoever calls this command may be in a trace: what it starts continues it.
        if let Some(context) = std::env::var(variables::TRACEPARENT).ok().filter(|context| context.is_ascii()) {
            request = request.header("traceparent", context);
        }
        for (name, value) in &self.person {
            request = request.header(*name, value);
        }
        let request = request.body(body).map_err(|error| CommandError::usage(format!("`{path}` is not a request: {error}")))?;
        sender.send_request(request).await.map_err(|error| unreachable(true)(&error))
    }
}

/// Bytes of a witness's answer that are read.
const WITNESS_BYTES_MAX: usize = 64 << 10;

/// Asks a witness: one request, and whatever it answers.
pub(crate) async fn ask_witness(url: String, body: Option<String>) -> Result<controlplane::Reply, String> {
    let say = |error: &dyn std::fmt::Display| error.to_string();
    let place = url.strip_prefix("http://").ok_or("witnesses are asked at http://HOST:PORT")?;
    let (host, path) = place.find('/').map_or((place, "/"), |at| place.split_at(at));
    let unreachable = |error: CommandError| match error {
        CommandError::Unreachable { message, .. } => message,
        error => format!("{error:?}"),
    };
    let client = Client::new(&format!("http://{host}"), None, None).map_err(unreachable)?;
    let (method, kind) = if body.is_some() { (Method::POST, Some("text/plain; charset=utf-8")) } else { (Method::GET, None) };
    let response = client.send(method, path, whole(body.unwrap_or_default().into()), kind).await.map_err(unreachable)?;
    let status = response.status().as_u16();
    let body =
        http_body_util::Limited::new(response.into_body(), WITNESS_BYTES_MAX).collect().await.map_err(|error| say(&error))?;
    Ok(controlplane::Reply { status, body: body.to_bytes().to_vec() })
}

/// The body of an answer, or the problem it tells of.
async fn answer(response: Response<Incoming>) -> Result<Bytes, CommandError> {
    let status = response.status();
    let read = response.into_body().collect().await;
    let broken = |error| CommandError::Unreachable { message: format!("the answer broke off: {error}"), asked: true };
    let bytes = read.map_err(broken)?.to_bytes();
    if status.is_success() { Ok(bytes) } else { Err(problem(status, &bytes)) }
}

impl Lines {
    /// The next line without its end; none when the stream has ended.
    pub(crate) async fn next(&mut self) -> Result<Option<String>, CommandError> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                let text = String::from_utf8_lossy(&line);
                return Ok(Some(text.trim_end_matches(['\n', '\r']).to_owned()));
            }
            if self.ended {
                let rest = std::mem::take(&mut self.rest);
                return Ok((!rest.is_empty()).then(|| String::from_utf8_lossy(&rest).into_owned()));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => self.rest.extend(frame.data_ref().into_iter().flatten()),
                Some(Err(error)) => {
                    return Err(CommandError::Unreachable { message: format!("the stream broke off: {error}"), asked: true });
                }
                None => self.ended = true,
            }
        }
    }
}

fn problem(status: StatusCode, bytes: &[u8]) -> CommandError {
    match serde_json::from_slice::<Problem>(bytes) {
        Ok(problem) => CommandError::Problem(Box::new(problem)),
        Err(_) => {
            let text: String = String::from_utf8_lossy(bytes).chars().take(300).collect();
            strange(format!("the server answered {status}: {text}"))
        }
    }
}

/// An answer that is none of a server of this version.
fn strange(message: String) -> CommandError {
    CommandError::of(FaultKind::Answer, message).hint("is it a Tutti server, and of this version? `tutti doctor` compares")
}

/// A path segment with everything but letters, digits and `-._~` escaped.
pub(crate) fn segment(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte as char);
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}
