//! What a client's octets go over: TCP, TLS, or a socket pair within this process.

use std::io::{self, IoSlice};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::uri::{TlsOptions, Uri};
use crate::tls::pem;

/// Where Debian, Red Hat, Alpine and their kin keep whom the system trusts.
const SYSTEM_AUTHORITIES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// A connected stream.
#[derive(Debug)]
pub enum Transport {
    /// To another process.
    Tcp(TcpStream),
    /// To another process, encrypted.
    Tls(Box<TlsStream<TcpStream>>),
    /// To the broker that this process is.
    Local(UnixStream),
}

impl Transport {
    /// Connects to where the URI says.
    pub(super) async fn connect(uri: &Uri) -> io::Result<Self> {
        if uri.is_local() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the URI names no host"));
        }
        let stream = TcpStream::connect(&uri.authority).await?;
        stream.set_nodelay(true)?;
        let Some(options) = &uri.tls else { return Ok(Self::Tcp(stream)) };
        let name = options.server_name.clone().unwrap_or_else(|| uri.host().to_owned());
        let name = ServerName::try_from(name).map_err(pem::invalid)?;
        let stream = TlsConnector::from(Arc::new(config(options)?)).connect(name, stream).await?;
        Ok(Self::Tls(Box::new(stream)))
    }

    fn inner(self: Pin<&mut Self>) -> Inner<'_> {
        match self.get_mut() {
            Self::Tcp(stream) => Inner::Tcp(Pin::new(stream)),
            Self::Tls(stream) => Inner::Tls(Pin::new(stream)),
            Self::Local(stream) => Inner::Local(Pin::new(stream)),
        }
    }
}

enum Inner<'a> {
    Tcp(Pin<&'a mut TcpStream>),
    Tls(Pin<&'a mut TlsStream<TcpStream>>),
    Local(Pin<&'a mut UnixStream>),
}

impl AsyncRead for Transport {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.inner() {
            Inner::Tcp(stream) => stream.poll_read(cx, buffer),
            Inner::Tls(stream) => stream.poll_read(cx, buffer),
            Inner::Local(stream) => stream.poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        match self.inner() {
            Inner::Tcp(stream) => stream.poll_write(cx, octets),
            Inner::Tls(stream) => stream.poll_write(cx, octets),
            Inner::Local(stream) => stream.poll_write(cx, octets),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.inner() {
            Inner::Tcp(stream) => stream.poll_write_vectored(cx, slices),
            Inner::Tls(stream) => stream.poll_write_vectored(cx, slices),
            Inner::Local(stream) => stream.poll_write_vectored(cx, slices),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.inner() {
            Inner::Tcp(stream) => stream.poll_flush(cx),
            Inner::Tls(stream) => stream.poll_flush(cx),
            Inner::Local(stream) => stream.poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.inner() {
            Inner::Tcp(stream) => stream.poll_shutdown(cx),
            Inner::Tls(stream) => stream.poll_shutdown(cx),
            Inner::Local(stream) => stream.poll_shutdown(cx),
        }
    }
}

fn config(options: &TlsOptions) -> io::Result<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(pem::invalid)?;
    let builder = if options.verify {
        builder.with_root_certificates(authorities(options)?)
    } else {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
    };
    match &options.identity {
        None => Ok(builder.with_no_client_auth()),
        Some((certificate, key)) => {
            builder.with_client_auth_cert(pem::certificates(certificate)?, pem::key(key)?).map_err(pem::invalid)
        }
    }
}

fn authorities(options: &TlsOptions) -> io::Result<RootCertStore> {
    let system = || SYSTEM_AUTHORITIES.map(Path::new).into_iter().find(|path| path.is_file());
    let path = options.authorities.as_deref().or_else(system);
    pem::authorities(path.ok_or_else(|| pem::invalid("whom to trust is not known: give cacertfile in the URI"))?)
}

/// `verify_none`: encrypted, to whomever it may be.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
