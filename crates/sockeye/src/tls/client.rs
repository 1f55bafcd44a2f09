//! A client's side of TLS: its configuration (the certificates that it trusts, and its own certificate), and its
//! handshake.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConfig, ResolvesClientCert};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio_rustls::TlsConnector;

use super::alpn;
use super::error::{FileProblem, TlsError};
use super::file::{read_certificates, read_private_key};
use super::provider::with_provider;
use super::rustls;
use crate::transport::Stream;

/// Makes a client's configuration that trusts the system's roots: the default for `wss:` URLs.
///
/// # Errors
///
/// [`TlsError::Config`] when the system's verifier is not available.
pub fn client_config() -> Result<ClientConfig, TlsError> {
    ClientOptions::default().build()
}

/// Makes a client's configuration that trusts only the certificates of a PEM file, for example a private authority's.
///
/// # Errors
///
/// [`TlsError::File`] when the file, or a certificate in it, cannot be used.
pub fn client_config_trusting(roots: impl AsRef<Path>) -> Result<ClientConfig, TlsError> {
    ClientOptions::default().roots(roots.as_ref()).build()
}

/// Options that build a client's configuration for TLS 1.2 and 1.3.
///
/// ```no_run
/// use sockeye::{Client, tls};
///
/// let config = tls::ClientOptions::default()
///     .roots("our-authority.pem")
///     .identity("client.pem", "client.key")
///     .build()?;
/// let client = Client::builder().tls(config).build();
/// # Ok::<(), tls::TlsError>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct ClientOptions {
    roots: Option<PathBuf>,
    identity: Option<(PathBuf, PathBuf)>,
    accepts_any: bool,
}

impl ClientOptions {
    /// Trusts only the certificates of this PEM file. By default the client trusts the system's roots.
    pub fn roots(mut self, certificates: impl Into<PathBuf>) -> Self {
        self.roots = Some(certificates.into());
        self
    }

    /// Sets the client's certificate, for servers that ask for one.
    ///
    /// The first PEM file holds the client's own certificate, followed by the certificates up to its root. The second
    /// holds the private key in PKCS #8, PKCS #1 or SEC 1.
    pub fn identity(
        mut self,
        certificates: impl Into<PathBuf>,
        private_key: impl Into<PathBuf>,
    ) -> Self {
        self.identity = Some((certificates.into(), private_key.into()));
        self
    }

    /// Accepts any certificate: expired, of another host, of an authority, signed with SHA-1 or a short key,
    /// malformed. The client checks neither the certificate nor the handshake's signature. So an attacker between the
    /// two sides can read and change all data. Use it only for tests.
    ///
    /// Handshakes that rustls does not support still fail: TLS 1.1 and older, key exchange only by RSA or by a finite
    /// field, DSA keys, and a server without a certificate. In TLS 1.2 keys of P-521, Ed448 and RSA-PSS fail too.
    pub fn dangerously_accept_any_certificate(mut self) -> Self {
        self.accepts_any = true;
        self
    }

    /// Reads the files and builds the configuration.
    ///
    /// # Errors
    ///
    /// [`TlsError::File`] names the file that cannot be used; [`TlsError::Config`] when the key is not that of the
    /// certificate, or the system's verifier is not available.
    pub fn build(&self) -> Result<ClientConfig, TlsError> {
        let builder = with_provider(ClientConfig::builder_with_provider)?;
        let builder = if self.accepts_any {
            let any = Arc::new(AnyCertificate);
            builder.dangerous().with_custom_certificate_verifier(any)
        } else if let Some(roots) = &self.roots {
            let mut store = RootCertStore::empty();
            for root in read_certificates(roots)? {
                let added = store.add(root);
                added.map_err(|error| TlsError::file(roots, FileProblem::Certificate(error)))?;
            }
            builder.with_root_certificates(store)
        } else {
            builder.with_platform_verifier()?
        };
        let Some((certificates, private_key)) = &self.identity else {
            return Ok(builder.with_no_client_auth());
        };
        let certificates = read_certificates(certificates)?;
        let private_key = read_private_key(private_key)?;
        Ok(builder.with_client_auth_cert(certificates, private_key)?)
    }
}

/// The same configuration, without a certificate of the client's own.
pub(crate) fn anonymous(config: &Arc<ClientConfig>) -> Arc<ClientConfig> {
    if !config.client_auth_cert_resolver.has_certs() {
        return Arc::clone(config);
    }
    let mut config = ClientConfig::clone(config);
    config.client_auth_cert_resolver = Arc::new(NoCertificate);
    Arc::new(config)
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
    Ok(Stream::from_tls(stream))
}

/// Replaces the ALPN protocols of a client's configuration, as [`TlsAcceptor::new`](super::TlsAcceptor) does for a server.
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

#[derive(Debug)]
struct NoCertificate;

impl ResolvesClientCert for NoCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

/// A verifier that accepts any certificate and any signature. A signature proves nothing here: an attacker signs with
/// the key of a certificate of its own. A check would only refuse keys and certificates that rustls cannot read.
#[derive(Debug)]
struct AnyCertificate;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    /// All schemes: a server whose key fits none of the offered schemes does not answer.
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![
            SignatureScheme::ECDSA_NISTP256_SHA256,
            SignatureScheme::ECDSA_NISTP384_SHA384,
            SignatureScheme::ECDSA_NISTP521_SHA512,
            SignatureScheme::ED25519,
            SignatureScheme::ED448,
            SignatureScheme::RSA_PSS_SHA256,
            SignatureScheme::RSA_PSS_SHA384,
            SignatureScheme::RSA_PSS_SHA512,
            // RFC 8446 §4.2.3: rsa_pss_pss, for keys that are restricted to PSS.
            SignatureScheme::Unknown(0x0809),
            SignatureScheme::Unknown(0x080a),
            SignatureScheme::Unknown(0x080b),
            SignatureScheme::RSA_PKCS1_SHA256,
            SignatureScheme::RSA_PKCS1_SHA384,
            SignatureScheme::RSA_PKCS1_SHA512,
            SignatureScheme::ECDSA_SHA1_Legacy,
            SignatureScheme::RSA_PKCS1_SHA1,
        ]
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};

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
