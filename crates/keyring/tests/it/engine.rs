//! A stand-in for the transit engine of an OpenBao or Vault server, in this process: it speaks the requests and answers of its HTTP API
//! that the client uses. It is no such server: what a real one does beyond them is not tested here.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyring::DataKey;
use serde_json::{Value, json};

/// The token that is let in.
pub(crate) const TOKEN: &str = "hvs.test";

pub(crate) struct Engine {
    pub(crate) address: String,
    /// Method, path and body of what was asked.
    pub(crate) asked: Arc<Mutex<Vec<String>>>,
}

impl Engine {
    /// Serves until the process ends; a connection a request.
    pub(crate) fn start() -> Engine {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = asked.clone();
        std::thread::spawn(move || {
            let mut versions: BTreeMap<u64, DataKey> = BTreeMap::from([(1, DataKey::random().unwrap())]);
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let (mut text, mut buffer) = (Vec::new(), [0; 4096]);
                let (head, body) = loop {
                    let count = stream.read(&mut buffer).unwrap();
                    text.extend_from_slice(&buffer[..count]);
                    let whole = String::from_utf8(text.clone()).unwrap();
                    let Some((head, body)) = whole.split_once("\r\n\r\n") else { continue };
                    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
                    if body.len() == length.parse::<usize>().unwrap() {
                        break (head.to_owned(), body.to_owned());
                    }
                };
                let line = head.lines().next().unwrap().to_owned();
                log.lock().unwrap().push(line.clone());
                let (status, answer) = if !head.lines().any(|line| line == format!("x-vault-token: {TOKEN}")) {
                    (403, json!({"errors": ["permission denied"]}))
                } else {
                    answer(&mut versions, &line, &serde_json::from_str(&body).unwrap())
                };
                let answer = answer.to_string();
                write!(stream, "HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{answer}", answer.len()).unwrap();
            }
        });
        Engine { address, asked }
    }
}

fn answer(versions: &mut BTreeMap<u64, DataKey>, line: &str, body: &Value) -> (u16, Value) {
    let bytes = |field: &str| STANDARD.decode(body[field].as_str().unwrap()).unwrap();
    let newest = *versions.last_key_value().unwrap().0;
    match line {
        "POST /v1/transit/keys/tutti/rotate HTTP/1.1" => {
            versions.insert(newest + 1, DataKey::random().unwrap());
            (200, json!({}))
        }
        "POST /v1/transit/encrypt/tutti HTTP/1.1" => {
            let sealed = versions[&newest].seal(&bytes("associated_data"), &bytes("plaintext")).unwrap();
            (200, json!({"data": {"ciphertext": format!("vault:v{newest}:{}", STANDARD.encode(sealed)), "key_version": newest}}))
        }
        "POST /v1/transit/decrypt/tutti HTTP/1.1" => {
            let text = body["ciphertext"].as_str().unwrap();
            let (version, sealed) = text.strip_prefix("vault:v").unwrap().split_once(':').unwrap();
            let sealed = STANDARD.decode(sealed).unwrap();
            let version = versions.get(&version.parse().unwrap());
            match version.map(|version| version.open(&bytes("associated_data"), &sealed, "it")) {
                Some(Ok(plain)) => (200, json!({"data": {"plaintext": STANDARD.encode(&plain[..])}})),
                _ => (400, json!({"errors": ["cipher: message authentication failed"]})),
            }
        }
        _ => (404, json!({"errors": ["no handler for route"]})),
    }
}
