//! A server in this process and a client for it.

use std::net::SocketAddr;
use std::path::PathBuf;

use api::{Access, Listen, Server};
use bytes::Bytes;
use controlplane::{ControlPlane, Options};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::{HeaderMap, Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A wait that only ends when something is broken.
pub(crate) const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

/// A server that is up.
pub(crate) struct Up {
    pub(crate) address: SocketAddr,
    pub(crate) control: ControlPlane,
    stop: oneshot::Sender<()>,
    served: JoinHandle<std::io::Result<()>>,
    data: TempDir,
}

impl Up {
    /// On a new data directory, for the local user.
    pub(crate) async fn start() -> Up {
        Up::on(tempfile::tempdir().unwrap(), Access::local()).await
    }

    /// On a data directory.
    pub(crate) async fn on(data: TempDir, access: Access) -> Up {
        Up::listening(data, access, Listen::from(SocketAddr::from(([127, 0, 0, 1], 0)))).await
    }

    /// With little patience for clients that read nothing.
    pub(crate) async fn impatient() -> Up {
        let patience = std::time::Duration::from_secs(1);
        let listen = Listen { patience, ..Listen::from(SocketAddr::from(([127, 0, 0, 1], 0))) };
        Up::listening(tempfile::tempdir().unwrap(), Access::local(), listen).await
    }

    /// With room for so many connections.
    pub(crate) async fn with_room(connections: usize) -> Up {
        let listen = Listen { connections, ..Listen::from(SocketAddr::from(([127, 0, 0, 1], 0))) };
        Up::listening(tempfile::tempdir().unwrap(), Access::local(), listen).await
    }

    /// Where what is to run is at work for ever: its wrapper takes it and starts nothing.
    pub(crate) async fn at_work() -> Up {
        let take = r#"IFS= read -r -d "" folder; [ -n "$folder" ] || exit 1
            echo "$$ 0" > "$folder/shim.pid"; printf '\001'; exec cat > /dev/null"#;
        let shim = ("/bin/bash".into(), vec!["-c".into(), take.into()]);
        let listen = Listen::from(SocketAddr::from(([127, 0, 0, 1], 0)));
        Up::with_shim(tempfile::tempdir().unwrap(), Access::local(), listen, shim).await
    }

    async fn listening(data: TempDir, access: Access, listen: Listen) -> Up {
        // No test here starts a process.
        Up::with_shim(data, access, listen, ("/bin/false".into(), Vec::new())).await
    }

    async fn with_shim(data: TempDir, access: Access, listen: Listen, shim: (PathBuf, Vec<String>)) -> Up {
        let options = Options {
            data: data.path().join("data"),
            durability: journal::Durability::Full,
            shim,
            path: "/usr/bin:/bin".into(),
            keys: Default::default(),
        };
        let control = ControlPlane::open(options).await.unwrap();
        let server = Server::bind(listen, control.clone(), access).await.unwrap();
        let address = server.address;
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(api::serve(server, async {
            let _ = stopped.await;
        }));
        Up { address, control, stop, served, data }
    }

    /// Stops the server as a process that ends does, and gives its data directory back.
    pub(crate) async fn down(self) -> TempDir {
        let _ = self.stop.send(());
        self.served.await.unwrap().unwrap();
        self.control.stop().await;
        self.data
    }

    /// The same data directory under a new server.
    pub(crate) async fn restart(self) -> Up {
        let data = self.down().await;
        Up::on(data, Access::local()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, &[], Bytes::new()).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.call(Method::POST, path, &[("content-type", "application/json")], body.to_string().into()).await
    }

    pub(crate) async fn call(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Bytes) -> Answer {
        let answer = self.open(method, path, headers, Full::new(body).map_err(|never| match never {}).boxed()).await;
        let (head, body) = answer.into_parts();
        let body = tokio::time::timeout(PATIENCE, body.collect()).await.expect("the answer ends").unwrap().to_bytes();
        Answer { status: head.status, headers: head.headers, body }
    }

    /// Sends a request and gives the answer as it comes.
    pub(crate) async fn open(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: BoxBody<Bytes, std::io::Error>,
    ) -> hyper::Response<Incoming> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path);
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            request = request.header("host", self.address.to_string());
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let sent = sender.send_request(request.body(body).unwrap());
        tokio::time::timeout(PATIENCE, sent).await.expect("the server answers").unwrap()
    }

    /// Opens a stream of server-sent events.
    pub(crate) async fn events(&self, path: &str, headers: &[(&str, &str)]) -> Lines {
        let answer = self.open(Method::GET, path, headers, Full::new(Bytes::new()).map_err(|never| match never {}).boxed()).await;
        assert_eq!(answer.status(), StatusCode::OK);
        Lines { body: answer.into_body(), buffer: Vec::new() }
    }

    /// Opens the stream of a worker: lines out, lines in.
    pub(crate) async fn worker_stream(&self, headers: &[(&str, &str)]) -> (tokio::sync::mpsc::Sender<Bytes>, Lines) {
        let (lines, mut sent) = tokio::sync::mpsc::channel::<Bytes>(64);
        let stream = futures::stream::poll_fn(move |context| {
            sent.poll_recv(context).map(|line| line.map(|line| Ok::<_, std::io::Error>(Frame::data(line))))
        });
        let answer = self.open(Method::POST, "/api/v1/workers/stream", headers, BodyExt::boxed(StreamBody::new(stream))).await;
        assert_eq!(answer.status(), StatusCode::OK);
        (lines, Lines { body: answer.into_body(), buffer: Vec::new() })
    }

    /// Waits until there is no connection but the one that asks.
    pub(crate) async fn alone(&self) {
        while !self.get("/metrics").await.text().contains("\ntutti_http_connections 1\n") {
            tokio::task::yield_now().await;
        }
    }

    /// Registers documents.
    pub(crate) async fn apply(&self, text: &str) {
        let answer = self.post("/api/v1/apply", json!({"documents": [{"path": "test.yaml", "text": text}]})).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    }

    /// Runs a workflow to its end.
    pub(crate) async fn run(&self, workflow: &str, inputs: Value) -> Value {
        let answer = self.post("/api/v1/runs?wait=30", json!({"workflow": workflow, "inputs": inputs})).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
        answer.json()
    }
}

/// No body.
pub(crate) fn empty() -> BoxBody<Bytes, std::io::Error> {
    Full::new(Bytes::new()).map_err(|never| match never {}).boxed()
}

/// An answer as a whole.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    /// Asserts that this is a problem of a code.
    #[track_caller]
    pub(crate) fn is_problem(&self, status: u16, code: &str) {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text());
        let problem = self.json();
        assert_eq!((&problem["code"], &problem["status"]), (&json!(code), &json!(status)));
        assert!(problem["title"].is_string() && problem["detail"].is_string() && problem["type"].is_string());
    }
}

/// Lines as they come.
pub(crate) struct Lines {
    body: Incoming,
    buffer: Vec<u8>,
}

impl Lines {
    /// The next line without its end; none when the stream has ended.
    pub(crate) async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Some(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            let frame = tokio::time::timeout(PATIENCE, self.body.frame()).await.expect("the stream goes on")?;
            match frame {
                Ok(frame) => self.buffer.extend_from_slice(frame.data_ref().map_or(&[], |data| data)),
                Err(_) => return None,
            }
        }
    }

    /// The next line of JSON.
    pub(crate) async fn json(&mut self) -> Value {
        loop {
            let line = self.next().await.expect("another line");
            if !line.trim().is_empty() {
                return serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
            }
        }
    }

    /// The next server-sent event: id, name, data.
    pub(crate) async fn event(&mut self) -> Option<(u64, String, Value)> {
        let (mut id, mut name, mut data) = (None, String::new(), Value::Null);
        loop {
            let line = self.next().await?;
            match line.split_once(": ").or_else(|| line.split_once(':')) {
                Some(("id", text)) => id = text.parse().ok(),
                Some(("event", text)) => name = text.to_owned(),
                Some(("data", text)) => data = serde_json::from_str(text).unwrap(),
                _ if line.is_empty() && id.is_some() => return Some((id.unwrap(), name, data)),
                _ => {}
            }
        }
    }
}
