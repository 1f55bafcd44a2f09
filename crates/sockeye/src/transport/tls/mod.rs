//! TLS over another transport, by rustls: configurations made of files or of what the system trusts, and the
//! two handshakes. Knows nothing of HTTP but its name in ALPN.

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

use super::{Kind, Stream};

mod client;
mod explain;

pub(crate) use self::client::anonymous;
pub use self::client::{ClientOptions, client_config, client_config_trusting};
use self::explain::Explained;

/// The library that encrypts, for who makes a configuration of their own.
pub use tokio_rustls::rustls;

pub(super) type TlsStream = tokio_rustls::TlsStream<Stream>;

/// The protocols that this build speaks over TLS, as ALPN names them (RFC 7301 §3.1), the preferred one first. A server
/// and a client have the same list. RFC 6455 begins with HTTP/1.1.
fn alpn_protocols() -> Vec<Vec<u8>> {
    let built_in: &[&[u8]] = &[b"http/1.1"];
    built_in.iter().map(|name| name.to_vec()).collect()
}

/// A server's configuration from two PEM files: its certificate and those up to its root, its own
/// first; and its private key in PKCS #8, PKCS #1 or SEC 1. TLS 1.2 and 1.3.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
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
/// [`TlsError::File`] names the file that cannot be used; [`TlsError::Config`] when key and certificate
/// do not belong together.
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

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A configuration contradicts itself.
    #[error("the TLS configuration cannot be used: {}", Explained::of_configuration(.0))]
    Config(rustls::Error),
    /// A file that a configuration is made of cannot be used.
    #[error("cannot use {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        problem: FileProblem,
    },
    /// The two sides could not agree, or the peer's certificate is not good. The text says what is wrong, and the
    /// remedy.
    #[error("the TLS handshake failed: {}", Explained::of_peer(.0))]
    Handshake(rustls::Error),
    /// The transport failed, or ended, during the handshake.
    #[error("the TLS handshake failed{}", explain_end(.0))]
    Io(#[source] io::Error),
    /// The host's name can stand in no certificate.
    #[error("the host's name cannot stand in a certificate")]
    ServerName(#[from] InvalidDnsNameError),
}

/// What is wrong with a PEM file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileProblem {
    /// A certificate in the file cannot be trusted.
    #[error("{}", Explained::of_configuration(.0))]
    Certificate(rustls::Error),
    /// The private key in the file is encrypted.
    #[error(
        "the key has a password, which cannot be asked for here; write the key without it: \
         openssl pkey -in FILE -out NEW_FILE"
    )]
    Encrypted,
    /// The file cannot be read.
    #[error(transparent)]
    Io(io::Error),
    /// It holds no certificate.
    #[error("there is no certificate in it (a PEM file has lines that say BEGIN CERTIFICATE)")]
    NoCertificate,
    /// It holds no private key.
    #[error("there is no private key in it (a PEM file has a line that says BEGIN PRIVATE KEY)")]
    NoPrivateKey,
    /// It is not PEM.
    #[error("it is no PEM file")]
    Pem(#[source] pem::Error),
}

impl TlsError {
    fn file(path: &Path, problem: FileProblem) -> Self {
        let path = path.to_owned();
        Self::File { path, problem }
    }

    /// The error of TLS that another error comes from. In TLS 1.3 a server judges the client's certificate when the
    /// client takes the handshake for done: its alert comes in the place of an answer.
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

    /// tokio knows I/O errors only.
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

impl FileProblem {
    fn of(error: pem::Error, nothing: Self) -> Self {
        match error {
            pem::Error::Io(error) => Self::Io(error),
            pem::Error::NoItemsFound => nothing,
            error => Self::Pem(error),
        }
    }
}

/// Accepts TLS.
#[derive(Clone)]
pub(crate) struct Acceptor(TlsAcceptor);

impl Acceptor {
    /// What this server speaks is what ALPN is to say, whatever `config` has there: a client that asks
    /// for something else alone must learn that it is not to be had (RFC 7301 §3.2).
    pub(crate) fn new(mut config: ServerConfig) -> Self {
        config.alpn_protocols = alpn_protocols();
        Self(Arc::new(config).into())
    }

    pub(crate) async fn accept(&self, tcp: TcpStream) -> Result<Stream, TlsError> {
        let stream = self
            .0
            .accept(Stream::from(tcp))
            .await
            .map_err(TlsError::handshake)?;
        Ok(Stream(Kind::Tls(Box::new(stream.into()))))
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor").finish_non_exhaustive()
    }
}

/// Begins TLS with the server that is called `host`: a name, or an address without brackets.
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
    Ok(Stream(Kind::Tls(Box::new(stream.into()))))
}

/// The client's configuration as this client uses it; see [`Acceptor::new`].
pub(crate) fn for_client(mut config: ClientConfig) -> Arc<ClientConfig> {
    config.alpn_protocols = alpn_protocols();
    Arc::new(config)
}

pub(crate) fn given_or_system(
    given: Option<&Arc<ClientConfig>>,
) -> Result<Arc<ClientConfig>, TlsError> {
    given.map_or_else(system_config, |config| Ok(Arc::clone(config)))
}

/// What the system trusts is read once: it is hundreds of files on some systems. Sessions are resumed
/// across clients too.
fn system_config() -> Result<Arc<ClientConfig>, TlsError> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(config) = CONFIG.get() {
        return Ok(Arc::clone(config));
    }
    let config = for_client(client_config()?);
    Ok(Arc::clone(CONFIG.get_or_init(|| config)))
}

/// The end of the peer's stream without its `close_notify` may be an attacker's doing (RFC 8446 §6.1);
/// it is an error, and no end.
pub(super) fn explain_truncation(error: io::Error) -> io::Error {
    const CUT_OFF: &str = "the TLS stream was cut off: it ended without close_notify";
    match error.kind() {
        io::ErrorKind::UnexpectedEof => io::Error::new(io::ErrorKind::UnexpectedEof, CUT_OFF),
        _ => error,
    }
}

/// The end of the stream, or a reset, in the middle of a handshake: what servers without TLS do.
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

/// Whether a file has an encrypted key: of PKCS #8 (RFC 7468 §11), or of the older form of OpenSSL (RFC 1421 §4.6.1.1).
fn is_encrypted(path: &Path) -> bool {
    let text = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    text.lines().any(|line| {
        line.contains("BEGIN ENCRYPTED PRIVATE KEY") || line.starts_with("Proc-Type: 4,ENCRYPTED")
    })
}

/// With the cryptography that the program has chosen for itself, or else ring: rustls panics where
/// there is none to choose, or more than one.
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
    async fn a_host_that_no_certificate_can_be_for_is_told_as_such() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tcp = TcpStream::connect(listener.local_addr().unwrap()).await;
        let error = connect(None, "a..b", Stream::from(tcp.unwrap()))
            .await
            .unwrap_err();
        assert!(matches!(error, TlsError::ServerName(_)), "{error:?}");
    }
}
