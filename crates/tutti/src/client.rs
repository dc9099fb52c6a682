//! The HTTP client of the CLI: one request a call, JSON in and out, problem details as errors, streams line by line.

use anyhow::{Context as _, anyhow};
use api::rest::views::Problem;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;

use crate::failure::CommandError;

/// A server to talk to.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    address: String,
    token: Option<String>,
}

/// A stream of lines, as server-sent events and logs come.
pub(crate) struct Lines {
    body: Incoming,
    rest: Vec<u8>,
    ended: bool,
}

impl Client {
    /// A client of the server at `url` (`http://host:port`).
    pub(crate) fn new(url: &str, token: Option<String>) -> Result<Client, CommandError> {
        let address = url.trim_end_matches('/').strip_prefix("http://").ok_or_else(|| {
            CommandError::usage(format!(
                "`{url}` is not a server: give http://HOST:PORT (put a TLS proxy in front for other machines)"
            ))
        })?;
        let address = if address.contains(':') { address.to_owned() } else { format!("{address}:80") };
        Ok(Client { address, token })
    }

    /// The address, for messages.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Whether a server answers there.
    pub(crate) async fn is_alive(&self) -> bool {
        let probe = self.send(Method::GET, "/healthz", Bytes::new(), &[]);
        matches!(tokio::time::timeout(std::time::Duration::from_secs(2), probe).await, Ok(Ok(response)) if response.status().is_success())
    }

    /// Reads a resource.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CommandError> {
        self.call(Method::GET, path, None::<&()>, &[]).await
    }

    /// Sends a request with a body.
    pub(crate) async fn post<B: Serialize, T: DeserializeOwned>(&self, path: &str, body: &B) -> Result<T, CommandError> {
        self.call(Method::POST, path, Some(body), &[]).await
    }

    /// Sends a request and reads the JSON of its answer.
    pub(crate) async fn call<B: Serialize, T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&B>,
        headers: &[(&str, &str)],
    ) -> Result<T, CommandError> {
        let bytes = match body {
            Some(body) => serde_json::to_vec(body).context("encode the request")?.into(),
            None => Bytes::new(),
        };
        let response = self.send(method, path, bytes, headers).await?;
        let status = response.status();
        let bytes = response.into_body().collect().await.context("read the answer")?.to_bytes();
        if !status.is_success() {
            return Err(problem(status, &bytes));
        }
        let bytes: &[u8] = if bytes.is_empty() { b"null" } else { &bytes };
        serde_json::from_slice(bytes)
            .with_context(|| format!("the answer to {path} is not what was expected"))
            .map_err(CommandError::from)
    }

    /// Uploads a file. What comes back is the value that stands for it in inputs.
    pub(crate) async fn upload(&self, path: &std::path::Path) -> Result<serde_json::Value, CommandError> {
        let bytes = tokio::fs::read(path).await.with_context(|| format!("`{}` cannot be read", path.display()))?;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let response = self.send(Method::PUT, &format!("/api/v1/artifacts?name={}", segment(&name)), bytes.into(), &[]).await?;
        let status = response.status();
        let bytes = response.into_body().collect().await.context("read the answer")?.to_bytes();
        if !status.is_success() {
            return Err(problem(status, &bytes));
        }
        Ok(serde_json::from_slice(&bytes)?)
    }

    /// Reads bytes as they are.
    pub(crate) async fn bytes(&self, path: &str) -> Result<Incoming, CommandError> {
        let response = self.send(Method::GET, path, Bytes::new(), &[]).await?;
        let status = response.status();
        if !status.is_success() {
            let bytes = response.into_body().collect().await.context("read the answer")?.to_bytes();
            return Err(problem(status, &bytes));
        }
        Ok(response.into_body())
    }

    /// Opens a stream.
    pub(crate) async fn lines(&self, path: &str) -> Result<Lines, CommandError> {
        Ok(Lines { body: self.bytes(path).await?, rest: Vec::new(), ended: false })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        headers: &[(&str, &str)],
    ) -> Result<Response<Incoming>, CommandError> {
        let unreachable = |error: &dyn std::fmt::Display| CommandError::unreachable(&self.url(), error);
        let stream = TcpStream::connect(&self.address).await.map_err(|error| unreachable(&error))?;
        // Small requests must not wait for more to send.
        let _ = stream.set_nodelay(true);
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| unreachable(&error))?;
        tokio::spawn(connection);
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.address)
            .header("accept", "application/json")
            .header("content-type", "application/json");
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body)).map_err(|error| anyhow!("`{path}` is not a request: {error}"))?;
        sender.send_request(request).await.map_err(|error| unreachable(&error))
    }
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
                Some(Err(error)) => return Err(anyhow!("the stream broke off: {error}").into()),
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
            anyhow!("the server answered {status}: {text}").into()
        }
    }
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
