//! TLS for those who connect: the node's certificate, and what is asked of
//! clients. The files are read again when they change, so that a certificate is
//! renewed without a restart; connections that are open keep theirs.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::server::TlsStream;
use tracing::{info, warn};

use super::{login, pem};
use crate::config::{ClientCertificates, TlsConfig};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(5);

/// A client whose octets are encrypted.
#[derive(Debug)]
pub struct Secured {
    /// What it says and hears.
    pub stream: TlsStream<TcpStream>,
    /// The user that its certificate stands for, if it showed one that an
    /// authority vouches for.
    pub certified: Option<String>,
}

/// What a node that listens with TLS needs.
#[derive(Debug)]
pub struct Server {
    told: TlsConfig,
    present: ArcSwap<ServerConfig>,
}

impl Server {
    /// Reads the files.
    ///
    /// # Errors
    /// A file is missing or of no use, or key and certificate are no pair; the
    /// error names the file.
    pub fn new(told: TlsConfig) -> io::Result<Self> {
        let present = ArcSwap::from_pointee(read(&told)?);
        Ok(Self { told, present })
    }

    /// The TLS handshake of one client.
    ///
    /// # Errors
    /// It went away, speaks no TLS, or its certificate is not good.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<Secured> {
        let stream = TlsAcceptor::from(self.present.load_full()).accept(stream).await?;
        let (_, connection) = stream.get_ref();
        let shown = connection.peer_certificates().and_then(|chain| chain.first());
        let certified = shown.and_then(|certificate| login::user(certificate, self.told.login_from));
        Ok(Secured { stream, certified })
    }

    /// Reads the files again whenever they change. What cannot be used is told,
    /// and the present certificate stays.
    pub async fn follow(&self) {
        let mut seen = self.changed_at();
        loop {
            tokio::time::sleep(LOOK).await;
            let now = self.changed_at();
            if now == seen {
                continue;
            }
            seen = now;
            match read(&self.told) {
                Ok(config) => {
                    self.present.store(Arc::new(config));
                    info!("the TLS certificate was read again");
                }
                Err(error) => warn!(%error, "the changed TLS files cannot be used; the ones before are"),
            }
        }
    }

    fn changed_at(&self) -> Vec<Option<SystemTime>> {
        let files = [&self.told.certificate, &self.told.key, &self.told.authorities];
        let changed = |path| std::fs::metadata(path).and_then(|file| file.modified()).ok();
        files.into_iter().flatten().map(changed).collect()
    }
}

fn read(told: &TlsConfig) -> io::Result<ServerConfig> {
    let (Some(certificate), Some(key)) = (&told.certificate, &told.key) else {
        return Err(pem::invalid("tls.certificate and tls.key are needed"));
    };
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(pem::invalid)?;
    let builder = match (told.client_certificates, &told.authorities) {
        (ClientCertificates::Ignored, _) | (_, None) => builder.with_no_client_auth(),
        (asked, Some(path)) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(pem::authorities(path)?), provider);
            let verifier = match asked {
                ClientCertificates::Required => verifier,
                _ => verifier.allow_unauthenticated(),
            };
            builder.with_client_cert_verifier(verifier.build().map_err(pem::invalid)?)
        }
    };
    let pair = builder.with_single_cert(pem::certificates(certificate)?, pem::key(key)?);
    pair.map_err(|error| pem::invalid(format!("{} and {}: {error}", certificate.display(), key.display())))
}
