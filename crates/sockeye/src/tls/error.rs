//! The errors of TLS: of configurations, their files, and handshakes.

use std::io;
use std::path::{Path, PathBuf};

use rustls::pki_types::InvalidDnsNameError;
use rustls::pki_types::pem;

use super::explain::Explained;
use super::rustls;
use crate::error::Error;

/// Why a configuration or a handshake of TLS failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A configuration is invalid: for example, the key is not that of the certificate.
    #[error("invalid TLS configuration: {}", Explained::of_configuration(.0))]
    Config(rustls::Error),
    /// A file of a configuration cannot be used.
    #[error("cannot use {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The mistake in the file.
        #[source]
        problem: FileProblem,
    },
    /// The two sides did not agree, or a certificate was rejected. The text names the mistake and the remedy.
    #[error("the TLS handshake failed: {}", Explained::of_peer(.0))]
    Handshake(rustls::Error),
    /// The transport failed, or ended, during the handshake.
    #[error("the TLS handshake failed{}", explain_end(.0))]
    Io(#[source] io::Error),
    /// The host is not a name that a certificate can hold.
    #[error("the host is not a valid certificate name")]
    ServerName(#[from] InvalidDnsNameError),
}

/// The mistake in a PEM file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileProblem {
    /// A certificate in the file cannot be trusted.
    #[error("{}", Explained::of_configuration(.0))]
    Certificate(rustls::Error),
    /// The private key in the file is encrypted.
    #[error(
        "the private key is encrypted; write it without a password: \
         openssl pkey -in FILE -out NEW_FILE"
    )]
    Encrypted,
    /// The file cannot be read.
    #[error(transparent)]
    Io(io::Error),
    /// The file holds no certificate.
    #[error("the file holds no certificate: expected a line such as -----BEGIN CERTIFICATE-----")]
    NoCertificate,
    /// The file holds no private key.
    #[error("the file holds no private key: expected a line such as -----BEGIN PRIVATE KEY-----")]
    NoPrivateKey,
    /// The file is not PEM.
    #[error("not a PEM file")]
    Pem(#[source] pem::Error),
}

impl TlsError {
    pub(super) fn file(path: &Path, problem: FileProblem) -> Self {
        let path = path.to_owned();
        Self::File { path, problem }
    }

    /// Finds a TLS error among the sources of another error. A TLS 1.3 server checks the client's certificate after
    /// the client has finished the handshake. So its alert arrives in place of an HTTP response.
    pub(crate) fn within(error: &(dyn std::error::Error + 'static)) -> Option<Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            let inner = error
                .downcast_ref::<io::Error>()
                .and_then(io::Error::get_ref);
            let tls = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>());
            if let Some(tls) = tls {
                return Some(Self::Handshake(tls.clone()));
            }
            next = error.source();
        }
        None
    }

    /// Unwraps the TLS error of a handshake. tokio reports it inside an I/O error.
    pub(crate) fn handshake(error: io::Error) -> Self {
        match error.downcast::<rustls::Error>() {
            Ok(error) => Self::Handshake(error),
            Err(error) => Self::Io(error),
        }
    }
}

impl From<TlsError> for Error {
    fn from(error: TlsError) -> Self {
        Self::Tls(error.into())
    }
}

impl From<rustls::Error> for TlsError {
    fn from(error: rustls::Error) -> Self {
        Self::Config(error)
    }
}

impl FileProblem {
    pub(super) fn of(error: pem::Error, nothing: Self) -> Self {
        match error {
            pem::Error::Io(error) => Self::Io(error),
            pem::Error::NoItemsFound => nothing,
            error => Self::Pem(error),
        }
    }
}

/// Explains an end of the stream, or a reset, during a handshake: servers without TLS cause it.
fn explain_end(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::BrokenPipe => {
            ": the peer ended the connection; it may not speak TLS on this port"
        }
        _ => "",
    }
}
