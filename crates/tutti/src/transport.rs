//! Connections to servers, plain or with TLS: which certificates are trusted, and what is said of one that is not.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use anyhow::Context as _;
use controlplane::FaultKind;
use hyper::Uri;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::failure::CommandError;

/// How long a server may take for its part of the handshake.
const HANDSHAKE: std::time::Duration = std::time::Duration::from_secs(10);

/// Bytes in both directions.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send {}

impl<T: AsyncRead + AsyncWrite + Send> Stream for T {}

/// A connection.
pub(crate) type Connection = Pin<Box<dyn Stream>>;

/// An address that is spoken to.
#[derive(Clone)]
pub(crate) struct Target {
    /// `http://host:port` or `https://host:port`.
    pub(crate) url: String,
    /// `host:port`, as the header `Host` has it.
    pub(crate) authority: String,
    /// What stands after it, without a slash at the end.
    pub(crate) path: String,
    tls: Option<(ServerName<'static>, TlsConnector)>,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Target").field(&self.url).finish()
    }
}

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum NoConnection {
    /// Nobody answers.
    Io(io::Error),
    /// Somebody answers who is not trusted: why, and what to do.
    Untrusted(String, &'static str),
}

impl Target {
    /// The address of a URL. `authorities` is a file of the certificates to trust instead of those of the system.
    pub(crate) fn parse(url: &str, authorities: Option<&Path>) -> Result<Target, CommandError> {
        let wrong = || CommandError::usage(format!("`{url}` is not a server: give http://HOST:PORT or https://HOST:PORT"));
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let (scheme, usual) = match uri.scheme_str() {
            Some("http") => ("http", 80),
            Some("https") => ("https", 443),
            _ => return Err(wrong()),
        };
        let named = uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or_else(wrong)?;
        let authority = format!("{}:{}", named.host(), named.port_u16().unwrap_or(usual));
        let tls = match scheme {
            "https" => {
                let host = named.host().trim_start_matches('[').trim_end_matches(']').to_owned();
                let name = ServerName::try_from(host).map_err(|_| wrong())?;
                Some((name, TlsConnector::from(Arc::new(config(authorities)?))))
            }
            _ => None,
        };
        Ok(Target { url: format!("{scheme}://{authority}"), authority, path: uri.path().trim_end_matches('/').to_owned(), tls })
    }

    /// Connects.
    pub(crate) async fn connect(&self) -> Result<Connection, NoConnection> {
        let stream = TcpStream::connect(&self.authority).await.map_err(NoConnection::Io)?;
        // Small requests must not wait for more to send.
        let _ = stream.set_nodelay(true);
        let Some((name, connector)) = &self.tls else { return Ok(Box::pin(stream)) };
        match tokio::time::timeout(HANDSHAKE, connector.connect(name.clone(), stream)).await {
            Ok(Ok(stream)) => Ok(Box::pin(stream)),
            Ok(Err(error)) => Err(self.explain(error)),
            Err(_) => Err(NoConnection::Io(io::Error::new(io::ErrorKind::TimedOut, "no TLS in time"))),
        }
    }

    /// What a handshake that came to nothing means.
    fn explain(&self, error: io::Error) -> NoConnection {
        let untrusted = |why: &str, hint| NoConnection::Untrusted(format!("{} {why}", self.url), hint);
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::InvalidCertificate(reason)) => match reason {
                CertificateError::UnknownIssuer | CertificateError::BadSignature => untrusted(
                    "shows a certificate of an authority that is not trusted here",
                    "give the authority's certificate with --ca FILE or TUTTI_CA",
                ),
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => untrusted(
                    "shows a certificate that is for another name",
                    "call the server by a name that its certificate has: --server https://NAME:PORT",
                ),
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                    untrusted("shows a certificate that has expired", "the server wants a new certificate")
                }
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                    untrusted("shows a certificate that is not valid yet", "compare the clocks of both machines")
                }
                CertificateError::Revoked => {
                    untrusted("shows a certificate that was revoked", "the server wants a new certificate")
                }
                CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => untrusted(
                    "shows a certificate that is not meant for servers",
                    "the server wants a certificate with the use `serverAuth`",
                ),
                CertificateError::Other(error) if error.to_string().contains("CaUsedAsEndEntity") => untrusted(
                    "shows the certificate of an authority where its own should be",
                    "the server wants a certificate that is none of an authority (`CA:FALSE`); the page of security has a recipe",
                ),
                other => {
                    untrusted(&format!("shows a certificate that is not accepted: {other}"), "look at it with `openssl s_client`")
                }
            },
            Some(rustls::Error::InvalidMessage(_)) => {
                NoConnection::Io(io::Error::new(io::ErrorKind::InvalidData, "it does not speak TLS: is it http://?"))
            }
            _ => NoConnection::Io(error),
        }
    }
}

/// What is trusted: the certificates of a file, or those of the system.
fn config(authorities: Option<&Path>) -> Result<ClientConfig, CommandError> {
    let mut roots = RootCertStore::empty();
    match authorities {
        Some(file) => {
            let unusable = || format!("`{}` holds no certificates that can be read (PEM is wanted)", file.display());
            let certificates = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
            let found = certificates.map_err(|error| CommandError::of(FaultKind::File, format!("{}: {error}", unusable())))?;
            let (added, _) = roots.add_parsable_certificates(found);
            if added == 0 {
                return Err(CommandError::of(FaultKind::File, unusable()));
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                let message = "this machine has no certificates of authorities, so that no server can be trusted";
                return Err(CommandError::of(FaultKind::Configuration, message)
                    .hint("install them (ca-certificates), or give --ca FILE or TUTTI_CA"));
            }
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = config.context("TLS")?.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// The file of authorities that was named.
pub(crate) fn authorities(given: Option<&PathBuf>) -> Option<&Path> {
    given.map(PathBuf::as_path).filter(|path| !path.as_os_str().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let of = |url: &str| Target::parse(url, None).map(|target| (target.url, target.authority, target.path));
        let plain = of("http://localhost:7200/").unwrap();
        assert_eq!(plain, ("http://localhost:7200".into(), "localhost:7200".into(), String::new()));
        assert_eq!(of("http://[::1]/v1/x").unwrap(), ("http://[::1]:80".into(), "[::1]:80".into(), "/v1/x".into()));
        for wrong in ["", "localhost:7200", "ftp://x", "http://", "http://me@x", "unix:/x", "http://a b"] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
        let nothing = tempfile::NamedTempFile::new().unwrap();
        assert!(Target::parse("https://localhost:1", Some(nothing.path())).is_err());
        assert!(Target::parse("https://localhost:1", Some(Path::new("nowhere.pem"))).is_err());
    }
}
