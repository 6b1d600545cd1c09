//! Certificates and keys from PEM files; every error names the file.

use std::io;
use std::path::Path;

use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::pem::{Error, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Something that cannot be used as it is.
pub fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error)
}

fn named(path: &Path) -> impl Fn(Error) -> io::Error + '_ {
    move |error| invalid(format!("{}: {error}", path.display()))
}

/// All certificates of a file, in its order.
///
/// # Errors
/// The file cannot be read, or has none.
pub fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let found: Vec<_> =
        CertificateDer::pem_file_iter(path).map_err(named(path))?.collect::<Result<_, _>>().map_err(named(path))?;
    if found.is_empty() {
        return Err(invalid(format!("{} has no certificate", path.display())));
    }
    Ok(found)
}

/// The first private key of a file: PKCS#8, PKCS#1 or SEC1.
///
/// # Errors
/// The file cannot be read, or has none.
pub fn key(path: &Path) -> io::Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_file(path).map_err(named(path))
}

/// The authorities of a file.
///
/// # Errors
/// The file cannot be read, or has none that can be understood.
pub fn authorities(path: &Path) -> io::Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    let (taken, _) = store.add_parsable_certificates(certificates(path)?);
    if taken == 0 {
        return Err(invalid(format!("{} has no certificate that can be understood", path.display())));
    }
    Ok(store)
}
