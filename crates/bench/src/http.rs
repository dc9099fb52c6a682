//! A client that costs little: one socket that stays open, one request at a time, the answer's body by its length or in chunks.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::Value;

/// A connection.
pub(crate) struct Client {
    reader: BufReader<TcpStream>,
    out: Vec<u8>,
    line: String,
}

impl Client {
    /// Connects to `host:port`.
    pub(crate) fn connect(address: &str) -> anyhow::Result<Client> {
        let stream = TcpStream::connect(address).with_context(|| format!("connect to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(600)))?;
        Ok(Client { reader: BufReader::with_capacity(64 << 10, stream), out: Vec::new(), line: String::new() })
    }

    /// Sends a request and reads its answer: the status and the body.
    pub(crate) fn send(&mut self, method: &str, path: &str, body: &[u8]) -> anyhow::Result<(u16, Vec<u8>)> {
        self.out.clear();
        write!(
            self.out,
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        )?;
        self.out.extend_from_slice(body);
        self.reader.get_mut().write_all(&self.out)?;
        self.answer()
    }

    /// Sends JSON and reads JSON; anything but success is an error.
    pub(crate) fn call(&mut self, method: &str, path: &str, body: &Value) -> anyhow::Result<Value> {
        let bytes = if body.is_null() { Vec::new() } else { serde_json::to_vec(body)? };
        let (status, answer) = self.send(method, path, &bytes)?;
        if !(200..300).contains(&status) {
            bail!("{method} {path}: {status} {}", String::from_utf8_lossy(&answer));
        }
        Ok(if answer.is_empty() { Value::Null } else { serde_json::from_slice(&answer)? })
    }

    fn next_line(&mut self) -> anyhow::Result<&str> {
        self.line.clear();
        if self.reader.read_line(&mut self.line)? == 0 {
            bail!("the server closed the connection");
        }
        Ok(self.line.trim_end())
    }

    fn answer(&mut self) -> anyhow::Result<(u16, Vec<u8>)> {
        let status = self.next_line()?.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status: u16 = status.context("an answer without a status")?;
        let (mut length, mut chunked) = (0usize, false);
        loop {
            let line = self.next_line()?;
            if line.is_empty() {
                break;
            }
            let Some((name, value)) = line.split_once(':') else { continue };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse()?;
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                chunked = value.trim().eq_ignore_ascii_case("chunked");
            }
        }
        let mut body = Vec::new();
        if !chunked {
            body.resize(length, 0);
            self.reader.read_exact(&mut body)?;
            return Ok((status, body));
        }
        loop {
            let size = usize::from_str_radix(self.next_line()?, 16)?;
            let from = body.len();
            body.resize(from + size, 0);
            self.reader.read_exact(&mut body[from..])?;
            self.next_line()?;
            if size == 0 {
                return Ok((status, body));
            }
        }
    }
}

/// What a request costs this client itself, in microseconds: the median against a server that answers with a fixed text.
pub(crate) fn own_cost() -> anyhow::Result<f64> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    std::thread::spawn(move || {
        let Ok((mut stream, _)) = listener.accept() else { return };
        // The requests below fit into one read.
        let mut buffer = [0; 4096];
        while matches!(stream.read(&mut buffer), Ok(read) if read > 0) {
            if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").is_err() {
                return;
            }
        }
    });
    let mut client = Client::connect(&address)?;
    let mut taken = Vec::new();
    for _ in 0..1_000 {
        let began = std::time::Instant::now();
        client.call("POST", "/", &serde_json::json!({"workflow": "none"}))?;
        taken.push(began.elapsed().as_secs_f64() * 1e6);
    }
    taken.sort_by(f64::total_cmp);
    Ok(crate::sample::quantile(&taken, 0.5))
}
