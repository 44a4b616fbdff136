//! The certificate: read at the start, and again whenever its files change.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, ServerConfig};
use tokio_rustls::{TlsAcceptor, server};

/// How soon a renewed certificate is noticed.
const WATCHED: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read {path}: {source}", path = path.display())]
    Pem { path: PathBuf, source: pem::Error },
    #[error("{0} contains no certificate")]
    Empty(String),
    #[error("cannot use certificate and key: {0}")]
    Unusable(#[from] rustls::Error),
}

/// TLS with a certificate that may be renewed while the server runs.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    certificate: Arc<Certificate>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

impl Tls {
    pub fn load(cert: &Path, key: &Path) -> Result<Self, TlsError> {
        let stamp = stamp(cert, key);
        let certificate = Arc::new(Certificate {
            cert: cert.to_owned(),
            key: key.to_owned(),
            current: RwLock::new((stamp, read(cert, key)?)),
        });
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&certificate) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), certificate })
    }

    pub(super) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
    ) -> io::Result<server::TlsStream<S>> {
        self.acceptor.accept(stream).await
    }

    /// Checks for a renewed certificate every few seconds. Never returns.
    pub async fn watch(&self) {
        loop {
            tokio::time::sleep(WATCHED).await;
            self.reload();
        }
    }

    /// Loads changed files; an unusable one is reported once and leaves the old certificate in use.
    pub fn reload(&self) {
        let Certificate { cert, key, current } = &*self.certificate;
        let found = stamp(cert, key);
        if current.read().unwrap_or_else(PoisonError::into_inner).0 == found {
            return;
        }
        let read = read(cert, key);
        let mut current = current.write().unwrap_or_else(PoisonError::into_inner);
        current.0 = found;
        match read {
            Ok(renewed) => {
                current.1 = renewed;
                tracing::info!(file = %cert.display(), "certificate reloaded");
            }
            Err(error) => {
                tracing::error!(%error, "cannot load the changed certificate; still using the old one");
            }
        }
    }
}

#[derive(Debug)]
struct Certificate {
    cert: PathBuf,
    key: PathBuf,
    current: RwLock<(Stamp, Arc<CertifiedKey>)>,
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner).1))
    }
}

/// Changes whenever a file does, also when another is moved into its place.
type Stamp = [Option<(u64, u64, i64, i64)>; 2];

fn stamp(cert: &Path, key: &Path) -> Stamp {
    [cert, key].map(|path| {
        let about = std::fs::metadata(path).ok()?;
        Some((about.ino(), about.size(), about.mtime(), about.mtime_nsec()))
    })
}

fn read(cert: &Path, key: &Path) -> Result<Arc<CertifiedKey>, TlsError> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |source| TlsError::Pem { path, source }
    };
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_file_iter(cert).and_then(Iterator::collect).map_err(unreadable(cert))?;
    if chain.is_empty() {
        return Err(TlsError::Empty(cert.display().to_string()));
    }
    let secret = PrivateKeyDer::from_pem_file(key).map_err(unreadable(key))?;
    // Also checks that the two belong together.
    Ok(Arc::new(CertifiedKey::from_der(chain, secret, &ring::default_provider())?))
}
