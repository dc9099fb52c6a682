//! The transit engine of an OpenBao or Vault server as a key service: it wraps and unwraps, and its key never leaves it. Asked when the keys
//! are opened and when they are rotated, and never for a run or a file.

use std::io::{Read as _, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::error::at;
use crate::{KeyError, KeyService, Result};

/// How long a step of a request may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of the largest answer that is read.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// Where the engine is, and what it is asked with.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransitOptions {
    /// The server: `https://HOST:PORT`. `http://` is taken for a server of this machine alone.
    pub address: String,
    /// Where the engine is mounted; usually `transit`.
    #[serde(default = "usual_mount")]
    pub mount: String,
    /// The name of the key.
    pub key: String,
    /// The file that holds the token. It is read anew for each request, so that an agent may renew it.
    pub token: PathBuf,
    /// The namespace, if there are any.
    #[serde(default)]
    pub namespace: Option<String>,
    /// Certificates to trust, PEM, instead of those of the system.
    #[serde(default)]
    pub ca: Option<PathBuf>,
}

fn usual_mount() -> String {
    "transit".into()
}

/// A client of a transit engine.
pub struct Transit {
    options: TransitOptions,
    host: String,
    port: u16,
    tls: Option<Arc<ClientConfig>>,
}

impl Transit {
    /// A client. Nothing is asked yet.
    pub fn new(options: TransitOptions) -> Result<Transit> {
        let wrong = |why: &str| KeyError::Setting(format!("the address `{}` of the transit engine {why}", options.address));
        let (scheme, rest) = options.address.split_once("://").ok_or_else(|| wrong("is not a URL"))?;
        let authority = rest.trim_end_matches('/');
        if authority.is_empty() || authority.contains(['/', '@', '?', '#']) {
            return Err(wrong("is not `https://HOST:PORT`"));
        }
        let usual = if scheme == "https" { 443 } else { 80 };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| wrong("has a port that is none"))?),
            _ => (authority, usual),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let here = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        let tls = match scheme {
            "https" => Some(trusting(options.ca.as_ref())?),
            // A token and a root key would go over the wire in the open.
            "http" if here => None,
            "http" => return Err(wrong("is not encrypted: give one with `https://`")),
            _ => return Err(wrong("is neither http nor https")),
        };
        let plain = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c));
        if !plain(&options.mount) || !plain(&options.key) || options.key.contains('/') {
            return Err(KeyError::Setting(
                "the mount and the key of the transit engine are letters, digits, `-`, `_`, `.`".into(),
            ));
        }
        Ok(Transit { options, host, port, tls })
    }

    fn broken(&self, why: impl std::fmt::Display) -> KeyError {
        KeyError::Service { service: self.name(), why: why.to_string() }
    }

    fn ask(&self, path: &str, body: &Value) -> Result<Value> {
        let token = Zeroizing::new(std::fs::read_to_string(&self.options.token).map_err(at(&self.options.token))?);
        let token = token.trim();
        let namespace = self.options.namespace.as_deref().unwrap_or_default();
        if token.chars().chain(namespace.chars()).any(|c| c.is_control() || !c.is_ascii()) {
            return Err(self.broken("its token or its namespace holds a character that no header may hold"));
        }
        let body = Zeroizing::new(body.to_string());
        let mut head = format!(
            "POST /v1/{}/{path} HTTP/1.1\r\nhost: {}:{}\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {}\r\nx-vault-request: true\r\nx-vault-token: {token}\r\n",
            self.options.mount,
            self.host,
            self.port,
            body.len()
        );
        if !namespace.is_empty() {
            head.push_str(&format!("x-vault-namespace: {namespace}\r\n"));
        }
        let request = Zeroizing::new(format!("{head}\r\n{}", &*body));
        drop(Zeroizing::new(head));
        let answer = Zeroizing::new(
            self.exchange(request.as_bytes()).map_err(|error| self.broken(format!("it cannot be reached: {error}")))?,
        );
        let (status, text) = parse(&answer).ok_or_else(|| self.broken("its answer is not one of HTTP"))?;
        let value: Value = serde_json::from_slice(&text).unwrap_or_default();
        if !(200..300).contains(&status) {
            let errors = value.get("errors").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
            let said: Vec<&str> = errors.collect();
            return Err(self.broken(format!("it answered {status}: {}", said.join("; "))));
        }
        Ok(value)
    }

    fn exchange(&self, request: &[u8]) -> std::io::Result<Vec<u8>> {
        let mut failed = std::io::Error::other("its name gives no address");
        for address in (self.host.as_str(), self.port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, PATIENCE) {
                Ok(stream) => return self.exchange_over(stream, request),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    fn exchange_over(&self, mut stream: TcpStream, request: &[u8]) -> std::io::Result<Vec<u8>> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut answer = Vec::new();
        match &self.tls {
            None => {
                stream.write_all(request)?;
                stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
            }
            Some(config) => {
                let name = ServerName::try_from(self.host.clone()).map_err(std::io::Error::other)?;
                let connection = ClientConnection::new(config.clone(), name).map_err(std::io::Error::other)?;
                let mut stream = StreamOwned::new(connection, stream);
                stream.write_all(request)?;
                stream.flush()?;
                match stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer) {
                    // Some servers hang up without the word for it; the length in the head says whether all is there.
                    Err(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => return Err(error),
                    _ => {}
                }
            }
        }
        Ok(answer)
    }
}

fn trusting(ca: Option<&PathBuf>) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(path) => {
            let wrong =
                |error: &dyn std::fmt::Display| KeyError::Setting(format!("the certificates in `{}`: {error}", path.display()));
            for certificate in CertificateDer::pem_file_iter(path).map_err(|error| wrong(&error))? {
                roots.add(certificate.map_err(|error| wrong(&error))?).map_err(|error| wrong(&error))?;
            }
        }
        None => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| KeyError::Setting(format!("TLS: {error}")))?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

/// The status and the body of an answer; none when it is not whole.
fn parse(answer: &[u8]) -> Option<(u16, Zeroizing<Vec<u8>>)> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let mut body = &answer[end + 4..];
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let header = |wanted: &str| {
        lines.clone().find_map(|line| {
            line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim())
        })
    };
    if header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        let mut whole = Zeroizing::new(Vec::new());
        loop {
            let end = body.windows(2).position(|two| two == b"\r\n")?;
            let size = std::str::from_utf8(&body[..end]).ok()?.split(';').next()?.trim();
            let size = usize::from_str_radix(size, 16).ok()?;
            body = &body[end + 2..];
            if size == 0 {
                return Some((status, whole));
            }
            whole.extend_from_slice(body.get(..size)?);
            body = body.get(size..)?.strip_prefix(b"\r\n")?;
        }
    }
    if let Some(length) = header("content-length") {
        body = body.get(..length.parse().ok()?)?;
    }
    Some((status, Zeroizing::new(body.to_vec())))
}

impl KeyService for Transit {
    fn name(&self) -> String {
        format!("the transit key `{}/{}` at {}", self.options.mount, self.options.key, self.options.address)
    }

    fn wrap(&self, key: &[u8; 32], about: &[u8]) -> Result<Vec<u8>> {
        let plain = Zeroizing::new(STANDARD.encode(key));
        let body = json!({"plaintext": &*plain, "associated_data": STANDARD.encode(about)});
        let answer = self.ask(&format!("encrypt/{}", self.options.key), &body)?;
        let wrapped = answer.pointer("/data/ciphertext").and_then(Value::as_str);
        Ok(wrapped.ok_or_else(|| self.broken("it gave no ciphertext"))?.as_bytes().to_vec())
    }

    fn unwrap(&self, wrapped: &[u8], about: &[u8]) -> Result<Zeroizing<[u8; 32]>> {
        let wrong = || KeyError::WrongKey(self.name());
        // What another service wrapped is none of its business.
        let text = std::str::from_utf8(wrapped).ok().filter(|text| text.starts_with("vault:v")).ok_or_else(wrong)?;
        let body = json!({"ciphertext": text, "associated_data": STANDARD.encode(about)});
        let answer = match self.ask(&format!("decrypt/{}", self.options.key), &body) {
            // Any other key of the engine, and any other use of this one, is refused in the same way.
            Err(KeyError::Service { why, .. }) if why.starts_with("it answered 400") => return Err(wrong()),
            other => other?,
        };
        let plain =
            answer.pointer("/data/plaintext").and_then(Value::as_str).ok_or_else(|| self.broken("it gave no plaintext"))?;
        let bytes = Zeroizing::new(STANDARD.decode(plain).map_err(|_| wrong())?);
        bytes[..].try_into().map(Zeroizing::new).map_err(|_| wrong())
    }

    fn renew(&self) -> Result<()> {
        self.ask(&format!("keys/{}/rotate", self.options.key), &json!({})).map(drop)
    }

    /// Which versions the engine keeps is its owner's to say (`min_decryption_version`).
    fn retire(&self) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_would_show_the_key_are_refused() {
        let of = |address: &str| {
            Transit::new(TransitOptions {
                address: address.into(),
                mount: "transit".into(),
                key: "tutti".into(),
                token: "token".into(),
                namespace: None,
                ca: None,
            })
        };
        assert!(of("http://127.0.0.1:8200").is_ok() && of("http://localhost:8200/").is_ok() && of("http://[::1]:8200").is_ok());
        for bad in
            ["http://vault.example:8200", "vault:8200", "ftp://127.0.0.1", "https://", "https://a/b", "http://me@localhost"]
        {
            assert!(of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn answers_are_read_whole_or_not_at_all() {
        let read = |text: &str| parse(text.as_bytes()).map(|(status, body)| (status, String::from_utf8(body.to_vec()).unwrap()));
        assert_eq!(read("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"), Some((200, "{}".into())));
        assert_eq!(read("HTTP/1.1 204 No\r\n\r\n"), Some((204, String::new())));
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\n";
        assert_eq!(read(chunked), Some((200, "abcde".into())));
        for half in [&chunked[..chunked.len() - 6], "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n{}", "HTTP/1.1 200", "x\r\n\r\n"]
        {
            assert_eq!(read(half), None, "{half}");
        }
    }
}
