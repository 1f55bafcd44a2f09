//! TLS over another transport, by rustls: configurations from files or from the system's roots, and the two
//! handshakes. Knows nothing of HTTP except its ALPN name.
//!
//! A client needs no configuration for servers with certificates of public authorities. A server, and a client that
//! trusts another authority, have one:
//!
//! ```no_run
//! use sockeye::{Client, Server, tls};
//!
//! # async fn example() -> sockeye::Result {
//! let config = tls::server_config("chat.example.pem", "chat.example.key")?;
//! let server = Server::builder().tls(config).bind("0.0.0.0:443").await?;
//!
//! let config = tls::client_config_trusting("authority.pem")?;
//! let client = Client::builder().tls(config).build();
//! # Ok(())
//! # }
//! ```

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::client::ClientConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, InvalidDnsNameError, PrivateKeyDer, ServerName};
use rustls::server::ServerConfig;
use rustls::{ConfigBuilder, ConfigSide, WantsVerifier};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::error::Error;
use crate::transport::Stream;

mod alpn;
mod client;
mod explain;

pub(crate) use self::client::anonymous;
pub use self::client::{ClientOptions, client_config, client_config_trusting};
use self::explain::Explained;

/// The TLS library, for programs that build a configuration of their own.
pub use tokio_rustls::rustls;

pub(crate) type TlsStream = tokio_rustls::TlsStream<Stream>;

/// Makes a server's configuration for TLS 1.2 and 1.3 from two PEM files.
///
/// The first file holds the server's own certificate, followed by the certificates up to its root. The second holds
/// the private key in PKCS #8, PKCS #1 or SEC 1.
///
/// ```no_run
/// # async fn example() -> sockeye::Result {
/// use sockeye::{Server, tls};
///
/// let config = tls::server_config("chat.example.pem", "chat.example.key")?;
/// let server = Server::builder().tls(config).bind("0.0.0.0:443").await?;
/// # server.serve().await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// [`TlsError::File`] names the file that cannot be used; [`TlsError::Config`] when the key is not that of the
/// certificate.
pub fn server_config(
    certificates: impl AsRef<Path>,
    private_key: impl AsRef<Path>,
) -> Result<ServerConfig, TlsError> {
    let certificates = read_certificates(certificates.as_ref())?;
    let private_key = read_private_key(private_key.as_ref())?;
    let config = with_provider(ServerConfig::builder_with_provider)?
        .with_no_client_auth()
        .with_single_cert(certificates, private_key)?;
    Ok(config)
}

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
    fn file(path: &Path, problem: FileProblem) -> Self {
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

impl From<rustls::Error> for TlsError {
    fn from(error: rustls::Error) -> Self {
        Self::Config(error)
    }
}

impl From<TlsError> for Error {
    fn from(error: TlsError) -> Self {
        Self::Tls(error.into())
    }
}

impl FileProblem {
    fn of(error: pem::Error, nothing: Self) -> Self {
        match error {
            pem::Error::Io(error) => Self::Io(error),
            pem::Error::NoItemsFound => nothing,
            error => Self::Pem(error),
        }
    }
}

/// Accepts TLS connections with one configuration.
#[derive(Clone)]
pub(crate) struct Acceptor(TlsAcceptor);

impl Acceptor {
    /// Replaces the ALPN protocols of `config` by those that this server speaks. A client that offers only others is
    /// then refused (RFC 7301 §3.2).
    pub(crate) fn new(mut config: ServerConfig) -> Self {
        config.alpn_protocols = alpn::protocols();
        Self(Arc::new(config).into())
    }

    pub(crate) async fn accept(&self, tcp: TcpStream) -> Result<Stream, TlsError> {
        let stream = self
            .0
            .accept(Stream::from(tcp))
            .await
            .map_err(TlsError::handshake)?;
        Ok(Stream::secured(stream.into()))
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor").finish_non_exhaustive()
    }
}

/// Performs the client's handshake with the server `host`: a name, or an address without brackets.
pub(crate) async fn connect(
    config: Option<&Arc<ClientConfig>>,
    host: &str,
    stream: Stream,
) -> Result<Stream, TlsError> {
    let name = ServerName::try_from(host)?.to_owned();
    let config = given_or_system(config)?;
    let connector = TlsConnector::from(config);
    let stream = connector.connect(name, stream).await;
    let stream = stream.map_err(TlsError::handshake)?;
    Ok(Stream::secured(stream.into()))
}

/// Replaces the ALPN protocols of a client's configuration, as [`Acceptor::new`] does for a server.
pub(crate) fn for_client(mut config: ClientConfig) -> Arc<ClientConfig> {
    config.alpn_protocols = alpn::protocols();
    Arc::new(config)
}

pub(crate) fn given_or_system(
    given: Option<&Arc<ClientConfig>>,
) -> Result<Arc<ClientConfig>, TlsError> {
    given.map_or_else(system_config, |config| Ok(Arc::clone(config)))
}

/// The configuration that trusts the system's roots. They are read once, because some systems have hundreds of files.
/// All clients share the configuration, so they also resume each other's TLS sessions.
fn system_config() -> Result<Arc<ClientConfig>, TlsError> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(config) = CONFIG.get() {
        return Ok(Arc::clone(config));
    }
    let config = for_client(client_config()?);
    Ok(Arc::clone(CONFIG.get_or_init(|| config)))
}

/// Explains an end of the stream without `close_notify`. An attacker may have caused it, so it is an error instead of
/// an end (RFC 8446 §6.1).
pub(crate) fn explain_truncation(error: io::Error) -> io::Error {
    const CUT_OFF: &str = "the TLS stream was cut off: it ended without close_notify";
    match error.kind() {
        io::ErrorKind::UnexpectedEof => io::Error::new(io::ErrorKind::UnexpectedEof, CUT_OFF),
        _ => error,
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

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = || CertificateDer::pem_file_iter(path)?.collect::<Result<Vec<_>, _>>();
    let problem = match read() {
        Ok(certificates) if certificates.is_empty() => FileProblem::NoCertificate,
        Ok(certificates) => return Ok(certificates),
        Err(error) => FileProblem::of(error, FileProblem::NoCertificate),
    };
    Err(TlsError::file(path, problem))
}

fn read_private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
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

/// A configuration's builder with the program's default cryptography, or else ring. Without a provider, rustls panics
/// when it finds none or several.
fn with_provider<S: ConfigSide>(
    builder: impl FnOnce(Arc<CryptoProvider>) -> ConfigBuilder<S, rustls::WantsVersions>,
) -> Result<ConfigBuilder<S, WantsVerifier>, rustls::Error> {
    builder(provider()).with_safe_default_protocol_versions()
}

fn provider() -> Arc<CryptoProvider> {
    let provider = CryptoProvider::get_default().cloned();
    provider.unwrap_or_else(|| Arc::new(rustls::crypto::ring::default_provider()))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_host_that_no_certificate_can_hold_has_its_own_error() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tcp = TcpStream::connect(listener.local_addr().unwrap()).await;
        let error = connect(None, "a..b", Stream::from(tcp.unwrap()))
            .await
            .unwrap_err();
        assert!(matches!(error, TlsError::ServerName(_)), "{error:?}");
    }
}
