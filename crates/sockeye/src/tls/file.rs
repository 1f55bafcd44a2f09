//! Certificates and private keys in PEM files.

use std::path::Path;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::error::{FileProblem, TlsError};
use super::rustls;

/// Reads the certificates of a PEM file; at least one.
pub(super) fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = || CertificateDer::pem_file_iter(path)?.collect::<Result<Vec<_>, _>>();
    let problem = match read() {
        Ok(certificates) if certificates.is_empty() => FileProblem::NoCertificate,
        Ok(certificates) => return Ok(certificates),
        Err(error) => FileProblem::of(error, FileProblem::NoCertificate),
    };
    Err(TlsError::file(path, problem))
}

/// Reads the first private key of a PEM file.
pub(super) fn read_private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| {
        let problem = match FileProblem::of(error, FileProblem::NoPrivateKey) {
            FileProblem::NoPrivateKey | FileProblem::Pem(_) if is_encrypted(path) => {
                FileProblem::Encrypted
            }
            problem => problem,
        };
        TlsError::file(path, problem)
    })
}

/// Whether a file holds an encrypted key, in PKCS #8 (RFC 7468 §11) or in OpenSSL's older form (RFC 1421 §4.6.1.1).
fn is_encrypted(path: &Path) -> bool {
    let text = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    text.lines().any(|line| {
        line.contains("BEGIN ENCRYPTED PRIVATE KEY") || line.starts_with("Proc-Type: 4,ENCRYPTED")
    })
}
