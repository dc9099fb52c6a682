//! TLS for requests to servers that speak https. Whom to trust is what the machine says (or `SSL_CERT_FILE`).

use std::io;
use std::sync::{Arc, OnceLock};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::ways::Counted;

/// The settings, which are read once.
static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();

fn config() -> io::Result<Arc<ClientConfig>> {
    if let Some(config) = CONFIG.get() {
        return Ok(config.clone());
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = builder.map_err(io::Error::other)?.with_root_certificates(roots).with_no_client_auth();
    Ok(CONFIG.get_or_init(|| Arc::new(config)).clone())
}

/// Speaks TLS with a host over a stream.
pub(crate) async fn secure(host: &str, stream: Counted) -> io::Result<TlsStream<Counted>> {
    // Reading the certificates of the machine takes a while, once.
    let config = match CONFIG.get() {
        Some(config) => config.clone(),
        None => tokio::task::spawn_blocking(config).await.map_err(io::Error::other)??,
    };
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    TlsConnector::from(config).connect(name, stream).await
}
