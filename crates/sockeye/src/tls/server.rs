//! A server's side of TLS: its configuration, and its handshake.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::server::ServerConfig;
use tokio::net::TcpStream;

use super::alpn;
use super::error::TlsError;
use super::file::{read_certificates, read_private_key};
use super::provider::with_provider;
use super::rustls;
use crate::transport::Stream;

/// A server's configuration for TLS 1.2 and 1.3 from two PEM files.
///
/// The first file holds the server's own certificate, followed by the certificates up to its root. The second holds
/// the private key in PKCS #8, PKCS #1 or SEC 1.
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

/// Accepts TLS connections with one configuration.
#[derive(Clone)]
pub(crate) struct TlsAcceptor(tokio_rustls::TlsAcceptor);

impl TlsAcceptor {
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
        Ok(Stream::from_tls(stream))
    }
}

impl fmt::Debug for TlsAcceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsAcceptor").finish_non_exhaustive()
    }
}
