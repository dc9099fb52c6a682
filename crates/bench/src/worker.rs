//! An external worker: one stream in each direction, lines of JSON. It leases, computes, and reports what came in one message in one
//! message.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

/// The worker's end of the stream.
pub(crate) struct Stream {
    reader: BufReader<TcpStream>,
    /// Bytes of the answer's body that are not a whole line yet.
    rest: Vec<u8>,
}

impl Stream {
    /// Opens the stream and says what is served.
    pub(crate) fn open(address: &str, connector: &str, slots: usize) -> anyhow::Result<Stream> {
        let stream = TcpStream::connect(address).with_context(|| format!("connect to {address}"))?;
        stream.set_nodelay(true)?;
        let mut stream = Stream { reader: BufReader::with_capacity(256 << 10, stream), rest: Vec::new() };
        let head = "POST /api/v1/workers/stream HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n";
        stream.reader.get_mut().write_all(head.as_bytes())?;
        let worker = format!("bench-{}", std::process::id());
        stream.say(&json!({"hello": {"worker": worker, "connectors": [connector], "slots": slots}}))?;
        let mut line = String::new();
        stream.reader.read_line(&mut line)?;
        if !line.contains(" 200 ") {
            bail!("the server does not take the stream: {line}");
        }
        while line.trim_end() != "" {
            line.clear();
            stream.reader.read_line(&mut line)?;
        }
        Ok(stream)
    }

    fn say(&mut self, message: &Value) -> anyhow::Result<()> {
        let line = message.to_string() + "\n";
        let chunk = format!("{:x}\r\n{line}\r\n", line.len());
        self.reader.get_mut().write_all(chunk.as_bytes())?;
        Ok(())
    }

    /// The next message, null for a sign of life; none when the server has ended the stream.
    pub(crate) fn hear(&mut self) -> anyhow::Result<Option<Value>> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line = self.rest[..end].trim_ascii();
                let message = if line.is_empty() { Value::Null } else { serde_json::from_slice(line)? };
                self.rest.drain(..=end);
                return Ok(Some(message));
            }
            let mut size = String::new();
            if self.reader.read_line(&mut size)? == 0 {
                return Ok(None);
            }
            let size = usize::from_str_radix(size.trim_end(), 16).with_context(|| format!("`{size}` is not a size"))?;
            if size == 0 {
                return Ok(None);
            }
            let from = self.rest.len();
            self.rest.resize(from + size, 0);
            self.reader.read_exact(&mut self.rest[from..])?;
            self.reader.read_exact(&mut [0; 2])?;
        }
    }
}

fn fib(n: u64) -> u64 {
    (0..n).fold((0u64, 1u64), |(a, b), _| (b, a.wrapping_add(b))).0
}

/// Serves until the stream ends.
pub(crate) fn serve(address: &str, connector: &str, slots: usize) -> anyhow::Result<()> {
    let mut stream = Stream::open(address, connector, slots)?;
    while let Some(message) = stream.hear()? {
        if !message["error"].is_null() {
            bail!("the server ends the stream: {}", message["error"]);
        }
        let Some(leases) = message["leases"].as_array() else {
            // Answered, so that the leases hold while other workloads have their turn.
            stream.say(&json!({}))?;
            continue;
        };
        let reports = leases.iter().map(|lease| {
            let value = fib(lease["input"]["n"].as_u64().unwrap_or(0));
            json!({"attempt": lease["attempt"], "epoch": lease["epoch"], "output": {"value": value}, "wall_us": 1})
        });
        let reports: Vec<Value> = reports.collect();
        stream.say(&json!({"reports": reports}))?;
    }
    Ok(())
}
