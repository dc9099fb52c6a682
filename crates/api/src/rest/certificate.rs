//! The certificate of the server, read again when its files have changed: it is renewed long before the server has to be started anew.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use controlplane::{Fault, FaultKind};
use parking_lot::Mutex;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::listen::Tls;

/// When the files were written last; none for one that is not there.
type Stamp = [Option<SystemTime>; 2];

/// A certificate as it is in its files.
pub(crate) struct Certificate {
    files: Tls,
    held: Mutex<(Stamp, TlsAcceptor)>,
}

impl Certificate {
    /// Reads it for the first time.
    pub(crate) fn open(files: Tls) -> Result<Certificate, Fault> {
        // Before the files: what is written while they are read is read again.
        let stamp = stamp(&files);
        let held = Mutex::new((stamp, acceptor(&files)?));
        Ok(Certificate { files, held })
    }

    /// What the next client is met with. Files that changed are read again; while they cannot be used, such as between the one and the other, the
    /// certificate of before stays.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        let mut held = self.held.lock();
        let found = stamp(&self.files);
        if found != held.0 {
            held.0 = found;
            match acceptor(&self.files) {
                Ok(acceptor) => {
                    tracing::info!(certificate = %self.files.certificate.display(), "the certificate was read again");
                    held.1 = acceptor;
                }
                Err(fault) => {
                    tracing::warn!(error = %fault.detail, "the certificate changed and cannot be used: the one of before stays")
                }
            }
        }
        held.1.clone()
    }
}

fn stamp(files: &Tls) -> Stamp {
    let written = |file: &Path| std::fs::metadata(file).and_then(|found| found.modified()).ok();
    [written(&files.certificate), written(&files.key)]
}

fn acceptor(tls: &Tls) -> Result<TlsAcceptor, Fault> {
    let unusable = |what: &Path, error: &dyn std::fmt::Display| {
        Fault::new(FaultKind::Listen, format!("`{}` cannot be used for TLS: {error}", what.display()))
    };
    let chain = CertificateDer::pem_file_iter(&tls.certificate).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = chain.map_err(|error| unusable(&tls.certificate, &error))?;
    if chain.is_empty() {
        return Err(unusable(&tls.certificate, &"it holds no certificate"));
    }
    let key = PrivateKeyDer::from_pem_file(&tls.key).map_err(|error| unusable(&tls.key, &error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|config| config.with_no_client_auth().with_single_cert(chain, key));
    let mut config = config.map_err(|error| unusable(&tls.certificate, &error))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
